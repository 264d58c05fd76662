//! The live page: one HTML document that asks for its changing part every second.
//!
//! Rendered here, from values, with everything inline: it works behind a proxy, without the internet, in a browser
//! that is ten years old, and a fragment that is swapped keeps what the reader has opened. A later page may be prettier;
//! it must not be needed to see why one was paged.

use std::collections::BTreeMap;

use askama::Template;
use serde_json::{Value, json};

use crate::alert::life::{Alert, Life};
use crate::alert::silence::{Silence, SilenceState};
use crate::api::Api;
use crate::edge::history::Stored;
use crate::model::time::{EventTime, Millis, WallTime};
use crate::notify::present;

/// Alerts of one state the page shows.
const ALERTS_SHOWN_MAX: usize = 200;

/// Partitions of one stream the page shows.
const PARTITIONS_SHOWN_MAX: usize = 64;

#[derive(Template)]
#[template(path = "page.html", config = "src/askama.toml")]
struct Page {
    title: String,
    version: &'static str,
    live: String,
}

#[derive(Template)]
#[template(path = "live.html", config = "src/askama.toml")]
struct LivePart {
    now: String,
    uptime: String,
    not_ready: Option<String>,
    sections: Vec<Section>,
    streams: Vec<StreamRow>,
    rules: Vec<RuleRow>,
    receivers: Vec<ReceiverRow>,
    silences: Vec<SilenceRow>,
    problems: Vec<String>,
    history_problem: Option<String>,
    past: Vec<PastRow>,
}

/// An alert that moved.
struct PastRow {
    at: String,
    what: String,
    state: &'static str,
    line: String,
}

/// Alerts of one state.
struct Section {
    state: &'static str,
    title: &'static str,
    count: usize,
    hidden: usize,
    alerts: Vec<AlertCard>,
}

struct AlertCard {
    id: String,
    name: String,
    severity: String,
    place: String,
    summary: String,
    since: String,
    reasons: Vec<String>,
    values: Vec<(String, String)>,
    contributors: Vec<(String, Vec<(String, String)>)>,
    examples: Vec<String>,
    annotations: Vec<(String, String)>,
    condition: String,
    rule: String,
    /// Who silenced it, until when and why.
    silenced: Option<String>,
}

struct SilenceRow {
    id: String,
    state: &'static str,
    matchers: String,
    times: String,
    by: String,
    comment: String,
}

struct StreamRow {
    name: String,
    records: String,
    events: String,
    bytes: String,
    delay: String,
    watermark: String,
    refused: Vec<(String, String, String)>,
    partitions: Vec<PartitionRow>,
}

struct PartitionRow {
    source: String,
    watermark: String,
    note: String,
    lag: String,
}

struct RuleRow {
    name: String,
    group: String,
    source: String,
    query: String,
    state: &'static str,
    groups: usize,
    active: usize,
    evaluations: String,
}

struct ReceiverRow {
    name: String,
    kind: String,
    delivered: u64,
    failed: u64,
    waiting: usize,
    last: String,
    error: String,
}

/// The whole document.
pub fn page(api: &Api, now: WallTime, past: &[Stored]) -> askama::Result<String> {
    Page { title: api.title.to_string(), version: env!("CARGO_PKG_VERSION"), live: live(api, now, past)? }.render()
}

/// What changes.
pub fn live(api: &Api, now: WallTime, past: &[Stored]) -> askama::Result<String> {
    let kafka = api.kafka();
    LivePart {
        now: now.to_string(),
        uptime: Millis(now.since(api.status.started).0 / 1_000 * 1_000).to_string(),
        not_ready: api.status.not_ready(),
        sections: sections(api, now),
        streams: streams(api, now),
        rules: rules(api),
        receivers: receivers(api, now),
        silences: silences(api, now),
        past: past.iter().map(past_row).collect(),
        history_problem: api.status.history().and_then(|history| history.health(now).problem),
        problems: kafka.iter().flat_map(|stats| &stats.problems).map(|problem| problem.text.clone()).collect(),
    }
    .render()
}

fn past_row(stored: &Stored) -> PastRow {
    let record = &stored.entry.record;
    PastRow {
        at: stored.entry.at.to_string(),
        what: record.what().replace('_', " "),
        state: match record.what() {
            "began" => "pending",
            "fired" | "fired_again" => "firing",
            "resolved" => "resolved",
            _ => "inactive",
        },
        line: record.line(),
    }
}

fn sections(api: &Api, now: WallTime) -> Vec<Section> {
    let mut alerts: Vec<Alert> = api.status.alerts.iter().map(|alert| alert.value().clone()).collect();
    alerts.sort_by(|a, b| (&a.rule, &a.labels).cmp(&(&b.rule, &b.labels)));
    let desk = api.status.desk.lock();
    let silenced = |alert: &Alert| {
        let live = !matches!(alert.life, Life::Resolved { .. });
        live.then(|| desk.hiding(&alert.labels, now)).flatten().map(|silence| silenced(silence))
    };
    let section = |state: &'static str, title, of: fn(&Life) -> bool, newest_first: bool| {
        let mut found: Vec<&Alert> = alerts.iter().filter(|alert| of(&alert.life)).collect();
        if newest_first {
            found.sort_by_key(|alert| std::cmp::Reverse(alert.changed_at));
        }
        let count = found.len();
        let shown = found.into_iter().take(ALERTS_SHOWN_MAX).map(|alert| card(alert, silenced(alert), now)).collect();
        Section { state, title, count, hidden: count.saturating_sub(ALERTS_SHOWN_MAX), alerts: shown }
    };
    vec![
        section("firing", "Firing", |life| matches!(life, Life::Firing { .. }), false),
        section("pending", "Pending", |life| matches!(life, Life::Pending { .. }), false),
        section("resolved", "Lately resolved", |life| matches!(life, Life::Resolved { .. }), true),
    ]
}

fn silenced(silence: &Silence) -> String {
    let comment = if silence.comment.is_empty() { String::new() } else { format!(": {}", silence.comment) };
    format!("silenced by {} until {}{comment} ({})", silence.created_by, silence.ends_at, silence.id)
}

fn card(alert: &Alert, silenced: Option<String>, now: WallTime) -> AlertCard {
    let view = alert.shown();
    let since = match alert.life {
        Life::Pending { since } => format!("holds since {} ({})", present::moment(since), ago(now, since)),
        Life::Firing { since, fired_at } => {
            format!(
                "fires since {} ({}), holds since {}",
                present::moment(fired_at),
                ago(now, fired_at),
                present::moment(since)
            )
        }
        Life::Resolved { fired_at, ended_at, .. } => {
            format!(
                "fired {}, resolved {} ({})",
                present::moment(fired_at),
                present::moment(ended_at),
                ago(now, ended_at)
            )
        }
    };
    AlertCard {
        id: format!("alert-{}", alert.labels.fingerprint()),
        name: alert.rule.name.to_string(),
        severity: present::severity(&view).unwrap_or("none").to_owned(),
        place: alert.labels.with([("alertname", ""), ("severity", "")]).to_string(),
        summary: present::summary(&view),
        since,
        reasons: present::reasons(&view).iter().map(ToString::to_string).collect(),
        values: present::values(&view),
        contributors: present::contributors(&view),
        examples: present::examples(&view),
        annotations: alert
            .annotations
            .iter()
            .filter(|(name, _)| &**name != "summary")
            .map(|(name, value)| (name.to_string(), value.clone()))
            .collect(),
        condition: alert.evidence.condition.clone(),
        rule: format!("{}:{}", alert.rule.file, alert.rule.line),
        silenced,
    }
}

/// Those in force and those to come, by their end.
fn silences(api: &Api, now: WallTime) -> Vec<SilenceRow> {
    let desk = api.status.desk.lock();
    let mut found: Vec<&Silence> = desk.silences.iter().map(|silence| &**silence).collect();
    found.retain(|silence| silence.state(now) != SilenceState::Expired);
    found.sort_by_key(|silence| (silence.ends_at, silence.id));
    let row = |silence: &Silence| SilenceRow {
        id: silence.id.to_string(),
        state: silence.state(now).name(),
        matchers: silence.matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        times: format!("{} – {}", silence.starts_at, silence.ends_at),
        by: silence.created_by.to_string(),
        comment: silence.comment.to_string(),
    };
    found.into_iter().map(row).collect()
}

fn ago(now: WallTime, at: EventTime) -> String {
    match now.0 - at.0 {
        past if past < 0 => "in the future".to_owned(),
        past => format!("{} ago", Millis(past / 1_000 * 1_000)),
    }
}

fn streams(api: &Api, now: WallTime) -> Vec<StreamRow> {
    let kafka = api.kafka();
    let lag = |source: &crate::model::position::SourceId| {
        let stats = kafka.iter().flat_map(|stats| &stats.partitions).find(|stats| stats.source == *source);
        stats.and_then(|stats| stats.lag).map_or_else(|| "–".to_owned(), |lag| lag.to_string())
    };
    api.streams()
        .into_iter()
        .map(|stream| StreamRow {
            name: stream.name.to_string(),
            records: number(stream.records),
            events: number(stream.events),
            bytes: number(stream.bytes),
            delay: delay(now, stream.watermark),
            watermark: stream.watermark.map_or_else(|| "none yet".to_owned(), |at| at.to_string()),
            refused: stream
                .refused
                .iter()
                .map(|(reason, count)| (reason.name().to_owned(), number(count), reason.text().to_owned()))
                .collect(),
            partitions: stream
                .sources
                .iter()
                .take(PARTITIONS_SHOWN_MAX)
                .map(|source| PartitionRow {
                    source: source.source.to_string(),
                    watermark: delay(now, source.watermark),
                    note: source.state.name().to_owned(),
                    lag: lag(&source.source),
                })
                .collect(),
        })
        .collect()
}

fn delay(now: WallTime, watermark: Option<EventTime>) -> String {
    match watermark {
        None | Some(EventTime::MIN) => "–".to_owned(),
        Some(EventTime::MAX) => "ended".to_owned(),
        Some(at) => format!("{:.1} s", (now.0 - at.0) as f64 / 1e3),
    }
}

fn rules(api: &Api) -> Vec<RuleRow> {
    let mut states: BTreeMap<String, (bool, usize)> = BTreeMap::new();
    for alert in api.status.alerts.iter() {
        let entry = states.entry(alert.rule.to_string()).or_default();
        match alert.life {
            Life::Firing { .. } => entry.0 = true,
            Life::Pending { .. } => entry.1 += 1,
            Life::Resolved { .. } => {}
        }
    }
    api.plan
        .get()
        .rules
        .iter()
        .zip(api.rules())
        .map(|(rule, view)| RuleRow {
            name: rule.meta.name.to_string(),
            group: rule.meta.group.to_string(),
            source: format!("{}:{}", rule.meta.file, rule.meta.line),
            query: super::query(rule),
            state: match states.get(&rule.meta.to_string()) {
                Some((true, _)) => "firing",
                Some((false, pending)) if *pending > 0 => "pending",
                _ => "inactive",
            },
            groups: view.groups,
            active: view.active,
            evaluations: number(view.evaluations),
        })
        .collect()
}

fn receivers(api: &Api, now: WallTime) -> Vec<ReceiverRow> {
    let desk = api.status.desk.lock();
    desk.lanes
        .iter()
        .map(|lane| ReceiverRow {
            name: lane.receiver.to_string(),
            kind: lane.kind.to_string(),
            delivered: lane.counts.delivered,
            failed: lane.counts.attempts.saturating_sub(lane.counts.delivered + lane.in_flight as u64),
            waiting: lane.in_flight + lane.queued,
            last: lane.last.as_ref().map_or_else(
                || "nothing yet".to_owned(),
                |(at, outcome)| format!("{outcome:?} {} ago", now.since(*at)).to_lowercase(),
            ),
            error: lane.last_error.as_ref().map_or_else(String::new, |(_, error)| error.to_string()),
        })
        .collect()
}

/// `12,345,678`
fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What the page's tables show, for machines.
pub fn status_json(api: &Api, now: WallTime) -> Value {
    let streams: Vec<Value> = api
        .streams()
        .iter()
        .map(|stream| {
            json!({
                "name": &*stream.name,
                "records": stream.records,
                "bytes": stream.bytes,
                "events": stream.events,
                "repeated": stream.repeats,
                "refused": stream.refused.iter().map(|(r, n)| (r.name(), n)).collect::<BTreeMap<_, _>>(),
                "watermark": stream.watermark.map(|at| at.to_string()),
                "partitions": stream.sources.iter().map(|source| json!({
                    "source": source.source.to_string(),
                    "watermark": source.watermark.map(|at| at.to_string()),
                    "state": source.state.name(),
                })).collect::<Vec<_>>(),
            })
        })
        .collect();
    let history = api.status.history().map(|history| history.health(now)).map(|health| {
        json!({
            "file": health.path,
            "rows": health.rows,
            "bytes": health.bytes,
            "written": health.written.iter().map(|(kind, n)| (kind.name(), n)).collect::<BTreeMap<_, _>>(),
            "dropped": health.dropped.iter().map(|(reason, n)| (reason.name(), n)).collect::<BTreeMap<_, _>>(),
            "lastWrite": health.last_write.map(|at| at.to_string()),
            "problem": health.problem,
        })
    });
    let desk = api.status.desk.lock();
    json!({
        "now": now.to_string(),
        "started": api.status.started.to_string(),
        "ready": api.status.not_ready().is_none(),
        "notReady": api.status.not_ready(),
        "streams": streams,
        "desk": desk.counts,
        "receivers": desk.lanes,
        "history": history,
    })
}
