//! What people and machines read from a running engine over HTTP.
//!
//! | path | what |
//! | --- | --- |
//! | `/` | the live page |
//! | `/live` | the page's changing part, which the page asks for every second |
//! | `/metrics` | Prometheus text |
//! | `/healthz`, `/readyz` | alive; partitions assigned and the desk running |
//! | `/api/v1/rules`, `/api/v1/alerts` | in Prometheus' shapes |
//! | `/api/v1/history` | what is on record, newest first, a page at a time |
//! | `/api/v1/silences` | silences: listed, made and changed; `DELETE /api/v1/silences/ID` ends one |
//! | `/api/v1/status` | streams, partitions and receivers as JSON |
//!
//! Reads are of [`Status`] alone. What changes something (a reload, a silence) is asked of those who do it, and answered
//! when it is done.

mod history;
pub mod metrics;
mod page;
mod prometheus;
pub mod reload;
mod silences;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::json;

use crate::edge::clock;
use crate::edge::kafka::ConsumerStats;
use crate::engine::plan::StreamPlan;
use crate::engine::shard::SourceReport;
use crate::model::refusal::RefusalCounts;
use crate::model::time::EventTime;
use crate::notify::outbox::LaneHealth;
use crate::rule::plan::Rule;
use crate::runtime::{Operators, PlanInUse, Status};

/// What the API serves from.
#[derive(Clone)]
pub struct Api {
    pub plan: PlanInUse,
    /// Where to ask for a reload; `None` where nothing can be reloaded.
    pub reload: Option<reload::Asker>,
    /// Where to ask for silences; `None` where nobody may.
    pub operators: Option<Operators>,
    pub status: Arc<Status>,
    /// Shown in the page's head: the configuration, or `demo`.
    pub title: Arc<str>,
}

impl Api {
    fn router(self) -> Router {
        Router::new()
            .route("/", get(index))
            .route("/live", get(live))
            .route("/metrics", get(scrape))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/-/reload", post(reload::reload).put(reload::reload))
            .route("/api/v1/rules", get(prometheus::rules))
            .route("/api/v1/alerts", get(prometheus::alerts))
            .route("/api/v1/history", get(history::history))
            .route("/api/v1/silences", get(silences::list).post(silences::set))
            .route("/api/v1/silences/{id}", delete(silences::expire))
            .route("/api/v1/status", get(prometheus::status))
            .with_state(self)
    }

    /// Serves until it is aborted. Handlers learn the address of who asks.
    ///
    /// # Errors
    /// None that can be seen: a connection that fails is that connection's end.
    pub async fn serve(self, listener: tokio::net::TcpListener) -> std::io::Result<()> {
        axum::serve(listener, self.router().into_make_service_with_connect_info::<SocketAddr>()).await
    }

    /// Takes the address the page is served on.
    ///
    /// # Errors
    /// The address cannot be bound: the text names it and what is usually the reason.
    pub async fn bind(listen: &str) -> Result<tokio::net::TcpListener, String> {
        tokio::net::TcpListener::bind(listen).await.map_err(|error| {
            format!(
                "cannot listen on {listen}: {error}; is another Foghorn running? choose another address with `--listen`"
            )
        })
    }
}

async fn index(State(api): State<Api>) -> Response {
    render(page::page(&api, clock::now(), &history::recent(&api).await))
}

async fn live(State(api): State<Api>) -> Response {
    render(page::live(&api, clock::now(), &history::recent(&api).await))
}

fn render(html: askama::Result<String>) -> Response {
    match html {
        Ok(html) => {
            let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:";
            ([(header::CONTENT_SECURITY_POLICY, policy), (header::CACHE_CONTROL, "no-store")], Html(html))
                .into_response()
        }
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("the page cannot be rendered: {error}\n")).into_response()
        }
    }
}

/// Whom a record names as the other end.
fn address(peer: SocketAddr) -> String {
    peer.ip().to_canonical().to_string()
}

/// What went wrong, as Prometheus' API says it.
fn refuse(code: StatusCode, kind: &str, text: &str) -> Response {
    (code, Json(json!({ "status": "error", "errorType": kind, "error": text }))).into_response()
}

async fn scrape(State(api): State<Api>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics::text(&api, clock::now()) {
        Ok(text) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("metrics cannot be written: {error}\n")).into_response()
        }
    }
}

async fn ready(State(api): State<Api>) -> Response {
    match api.status.not_ready() {
        None => "ready\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")).into_response(),
    }
}

/// One stream over all shards.
pub(crate) struct StreamView {
    pub name: Arc<str>,
    pub records: u64,
    pub bytes: u64,
    pub events: u64,
    pub repeats: u64,
    pub refused: RefusalCounts,
    pub watermark: Option<EventTime>,
    pub sources: Vec<SourceReport>,
}

/// One rule over all shards.
pub(crate) struct RuleView {
    pub name: Arc<str>,
    pub group: Arc<str>,
    pub groups: usize,
    pub active: usize,
    pub evaluations: u64,
}

impl Api {
    /// The consumer's counters, once there are any.
    pub(crate) fn kafka(&self) -> Option<ConsumerStats> {
        self.status.kafka.lock().as_ref().map(|(stats, _)| stats.clone())
    }

    pub(crate) fn streams(&self) -> Vec<StreamView> {
        let shards = self.status.shards();
        let view = |(at, stream): (usize, &StreamPlan)| {
            let mut view = StreamView {
                name: stream.schema.name.clone(),
                records: 0,
                bytes: 0,
                events: 0,
                repeats: 0,
                refused: RefusalCounts::default(),
                watermark: None,
                sources: Vec::new(),
            };
            for status in shards.iter().filter_map(|(shard, _)| shard.streams.get(at)) {
                view.records += status.records;
                view.bytes += status.record_bytes;
                view.events += status.events;
                view.repeats += status.repeats;
                view.refused.merge(&status.refused);
                // All shards know the stream's watermark; the one that is furthest behind is the careful answer.
                view.watermark = match (view.watermark, status.watermark) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                view.sources.extend(status.sources.iter().cloned());
            }
            view
        };
        self.plan.get().streams.iter().enumerate().map(view).collect()
    }

    pub(crate) fn rules(&self) -> Vec<RuleView> {
        let shards = self.status.shards();
        let view = |(at, rule): (usize, &Arc<Rule>)| {
            let of_rule = || shards.iter().flat_map(|(shard, _)| &shard.rules).filter(move |status| status.rule == at);
            RuleView {
                name: rule.meta.name.clone(),
                group: rule.meta.group.clone(),
                groups: of_rule().map(|status| status.groups).sum(),
                active: of_rule().map(|status| status.active).sum(),
                evaluations: of_rule().map(|status| status.evaluations).sum(),
            }
        };
        self.plan.get().rules.iter().enumerate().map(view).collect()
    }
}

/// One integration of one receiver.
pub(crate) struct ReceiverView {
    pub name: Arc<str>,
    pub integration: Arc<str>,
    /// Attempts by what became of them.
    pub outcomes: [(&'static str, u64); 6],
    pub waiting: usize,
}

impl Api {
    pub(crate) fn receivers(&self) -> Vec<ReceiverView> {
        let desk = self.status.desk.lock();
        let view = |lane: &LaneHealth| ReceiverView {
            name: lane.receiver.clone(),
            integration: format!("{}/{}", lane.kind, lane.integration).into(),
            outcomes: [
                ("delivered", lane.counts.delivered),
                ("failed", lane.counts.failed),
                ("throttled", lane.counts.throttled),
                ("rejected", lane.counts.rejected),
                ("timed_out", lane.counts.timed_out),
                ("given_up", lane.counts.dead),
            ],
            waiting: lane.in_flight + lane.queued,
        };
        desk.lanes.iter().map(view).collect()
    }
}

/// What a rule asks, in one line: its condition, or its silence.
pub(crate) fn query(rule: &Rule) -> String {
    let when = rule.condition.iter().map(|condition| condition.text().to_owned());
    let absent = rule.absent.iter().map(|absent| format!("absent: {}", absent.after));
    when.chain(absent).collect::<Vec<_>>().join(" or ")
}
