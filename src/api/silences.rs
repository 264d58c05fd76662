//! `/api/v1/silences`: what there is, one made or changed (`POST`), one ended (`DELETE …/ID?by=NAME`).
//!
//! The shapes are those of Alertmanager's API, in the envelope of Prometheus'. Friendlier in what it takes: matchers may be
//! texts, `for` may stand in place of `endsAt` (the clocks of two machines need not agree then), and `startsAt` may be
//! left out. An answer is given when what was asked for is on disk; where it cannot be, a warning says so.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::alert::matcher::{MatchOp, Matcher, MatcherError};
use crate::alert::silence::{Done, Silence, SilenceId, SilenceRefused, SilenceState, Wish};
use crate::api::{Api, address, refuse};
use crate::edge::clock;
use crate::engine::desk::{Operation, Person};
use crate::model::time::{Millis, WallTime};
use crate::runtime::Kept;

/// A silence as it is asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Body {
    id: Option<String>,
    matchers: Vec<MatcherBody>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    #[serde(rename = "for")]
    length: Option<Millis>,
    created_by: String,
    #[serde(default)]
    comment: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum MatcherBody {
    /// `service=~"cart|pay.*"`
    Text(String),
    #[serde(rename_all = "camelCase")]
    Parts {
        name: String,
        value: String,
        #[serde(default)]
        is_regex: bool,
        #[serde(default = "yes")]
        is_equal: bool,
    },
}

const fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
pub struct ListQuery {
    /// Only those that are `pending`, `active` or `expired`.
    state: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct ExpireQuery {
    /// Who does it.
    by: Option<String>,
}

pub async fn list(State(api): State<Api>, Query(query): Query<ListQuery>) -> Response {
    let known = |text: &str| SilenceState::ALL.into_iter().find(|state| state.name() == text);
    let wanted = match query.state.as_deref().map(|text| known(text).ok_or(text)).transpose() {
        Ok(wanted) => wanted,
        Err(text) => {
            let text = format!("`{text}` is no state of a silence; there are pending, active, expired");
            return refuse(StatusCode::BAD_REQUEST, "bad_data", &text);
        }
    };
    let now = clock::now();
    let desk = api.status.desk.lock();
    let mut silences: Vec<&Silence> = desk
        .silences
        .iter()
        .map(|silence| &**silence)
        .filter(|s| wanted.is_none_or(|state| s.state(now) == state))
        .collect();
    silences.sort_by_key(|silence| (silence.state(now) == SilenceState::Expired, silence.ends_at, silence.id));
    let silences: Vec<Value> = silences.into_iter().map(|silence| value(silence, now)).collect();
    Json(json!({ "status": "success", "data": { "silences": silences } })).into_response()
}

pub async fn set(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    body: Result<Json<Body>, JsonRejection>,
) -> Response {
    let body = match body {
        Ok(Json(body)) => body,
        Err(rejection) => return refuse(rejection.status(), "bad_data", &rejection.body_text()),
    };
    match body.wish(clock::now()) {
        Ok(wish) => {
            let fresh = SilenceId::of(rand::random());
            operate(&api, Operation::Silence { from: Some(address(peer).into()), wish, fresh }).await
        }
        Err(text) => refuse(StatusCode::BAD_REQUEST, "bad_data", &text),
    }
}

pub async fn expire(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(id): Path<String>,
    Query(query): Query<ExpireQuery>,
) -> Response {
    match id.parse() {
        Ok(id) => {
            let who = query.by.filter(|by| !by.trim().is_empty()).map_or("somebody".into(), |by| by.trim().into());
            operate(&api, Operation::Expire { person: Person { who, from: Some(address(peer).into()) }, id }).await
        }
        Err(error) => refuse(StatusCode::BAD_REQUEST, "bad_data", &format!("{error}")),
    }
}

async fn operate(api: &Api, operation: Operation) -> Response {
    let Some(operators) = &api.operators else {
        return refuse(StatusCode::NOT_FOUND, "not_found", "this engine takes no silences");
    };
    let Some(answered) = operators.ask(operation).await else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Foghorn is stopping");
    };
    match answered.answer {
        Ok(done) => success(&done, answered.kept).into_response(),
        Err(refused) => {
            let (code, kind) = match refused {
                SilenceRefused::Unknown { .. } => (StatusCode::NOT_FOUND, "not_found"),
                SilenceRefused::TooMany { .. } => (StatusCode::CONFLICT, "too_many"),
                SilenceRefused::EndsInPast { .. } | SilenceRefused::EndsBeforeStart { .. } => {
                    (StatusCode::BAD_REQUEST, "bad_data")
                }
            };
            refuse(code, kind, &refused.to_string())
        }
    }
}

fn success(done: &Done, kept: Kept) -> Json<Value> {
    let warning = match kept {
        Kept::OnDisk => None,
        Kept::NotYet => Some("the disk does not take it: a crash before the next checkpoint would forget it"),
        Kept::InMemory => Some("no `state.dir` is configured: a restart forgets it"),
    };
    let silence = done.silence();
    Json(json!({
        "status": "success",
        "data": {
            "silenceID": silence.id,
            "done": done.name(),
            "durable": kept == Kept::OnDisk,
            "silence": value(silence, clock::now()),
        },
        "warnings": warning.into_iter().collect::<Vec<_>>(),
    }))
}

fn value(silence: &Silence, now: WallTime) -> Value {
    let matcher = |matcher: &Matcher| {
        let op = matcher.op();
        json!({
            "name": matcher.name(),
            "value": matcher.value(),
            "isRegex": matches!(op, MatchOp::Regex | MatchOp::NotRegex),
            "isEqual": matches!(op, MatchOp::Equal | MatchOp::Regex),
        })
    };
    json!({
        "id": silence.id,
        "matchers": silence.matchers.iter().map(matcher).collect::<Vec<_>>(),
        "startsAt": silence.starts_at.to_string(),
        "endsAt": silence.ends_at.to_string(),
        "updatedAt": silence.updated_at.to_string(),
        "createdBy": &*silence.created_by,
        "comment": &*silence.comment,
        "status": { "state": silence.state(now).name() },
    })
}

impl Body {
    fn wish(self, now: WallTime) -> Result<Wish, String> {
        let starts_at = self.starts_at.as_deref().map(|text| moment("startsAt", text)).transpose()?;
        let ends_at = match (&self.ends_at, self.length) {
            (Some(text), None) => moment("endsAt", text)?,
            (None, Some(length)) => starts_at.unwrap_or(now) + length,
            (Some(_), Some(_)) => return Err("`endsAt` and `for` both say when it ends; leave one out".to_owned()),
            (None, None) => return Err("nothing says when it ends; add `endsAt`, or `for` such as \"2h\"".to_owned()),
        };
        let matchers = self.matchers.into_iter().map(MatcherBody::read).collect::<Result<Vec<_>, _>>();
        let matchers = matchers.map_err(|error| format!("{:#}", anyhow::Error::from(error)))?;
        let wish = Wish::new(matchers, (starts_at, ends_at), &self.created_by, &self.comment);
        let wish = wish.map_err(|error| error.to_string())?;
        Ok(match self.id.as_deref().filter(|id| !id.is_empty()) {
            Some(id) => wish.instead_of(id.parse().map_err(|error| format!("{error}"))?),
            None => wish,
        })
    }
}

fn moment(field: &str, text: &str) -> Result<WallTime, String> {
    let read: Result<jiff::Timestamp, _> = text.parse();
    read.map(|stamp| WallTime(stamp.as_millisecond()))
        .map_err(|_| format!("`{field}` is `{text}`, which is not a time; write it as `2026-01-01T12:00:00Z`"))
}

impl MatcherBody {
    fn read(self) -> Result<Matcher, MatcherError> {
        match self {
            MatcherBody::Text(text) => text.parse(),
            MatcherBody::Parts { name, .. } if name.is_empty() => Err(MatcherError::Name(name)),
            MatcherBody::Parts { name, value, is_regex, is_equal } => {
                let op = match (is_regex, is_equal) {
                    (false, true) => MatchOp::Equal,
                    (false, false) => MatchOp::NotEqual,
                    (true, true) => MatchOp::Regex,
                    (true, false) => MatchOp::NotRegex,
                };
                Matcher::new(name, op, value)
            }
        }
    }
}
