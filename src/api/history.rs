//! `/api/v1/history`: records, newest first, a page at a time.
//!
//! `since`, `until`, `alert`, `label` and `kind` (both repeatable), `limit` and `cursor`; the answer's `next` is the cursor
//! of the page that follows. Each question opens the file anew, on a thread that may block: questions are rare, and one
//! that runs away is ended by its own clock and holds nothing that others need.

use std::path::PathBuf;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::api::{Api, refuse};
use crate::edge::clock;
use crate::edge::history::{HistoryError, InterruptHandle, Page, Reader, Stored};
use crate::engine::record::{Filter, Kind};

/// How long one question may take.
const QUESTION_MAX: Duration = Duration::from_secs(10);

/// Questions that may be looked up at the same time.
const QUESTIONS_AT_ONCE: usize = 4;

static QUESTIONS: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(QUESTIONS_AT_ONCE);

pub async fn history(State(api): State<Api>, Query(pairs): Query<Vec<(String, String)>>) -> Response {
    let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let filter = match Filter::from_pairs(pairs, clock::now()) {
        Ok(filter) => filter,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, "bad_data", &error.to_string()),
    };
    let Some(recorder) = api.status.history() else {
        let text = "no history is kept; name a `state.dir` in the configuration";
        return refuse(StatusCode::NOT_FOUND, "not_found", text);
    };
    let Ok(_permit) = QUESTIONS.try_acquire() else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "too many questions at once; ask again");
    };
    match look_up(recorder.path().to_owned(), filter).await {
        Ok(page) => {
            let records: Vec<Value> = page.records.iter().map(Stored::to_json).collect();
            let next = page.next.map(|next| next.to_string());
            Json(json!({ "status": "success", "data": { "records": records, "next": next } })).into_response()
        }
        Err(error) if error.is_interrupted() => {
            let text = format!("no answer within {QUESTION_MAX:?}; narrow it with `since` or `alert`");
            refuse(StatusCode::SERVICE_UNAVAILABLE, "timeout", &text)
        }
        Err(error) => {
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "internal", &format!("{:#}", anyhow::Error::from(error)))
        }
    }
}

/// Moves of alerts the page shows, and records it looks at for them: those between say who will hear of it.
const RECENT: usize = 12;
const RECENT_LOOKED_AT: usize = 60;

/// The last moves of alerts, newest first. The page has nothing to say about a history that cannot be read: what is
/// wrong with it stands above.
pub async fn recent(api: &Api) -> Vec<Stored> {
    let Some(history) = api.status.history() else { return Vec::new() };
    let filter = Filter { kinds: vec![Kind::Alert], limit: RECENT_LOOKED_AT, ..Filter::default() };
    let found = look_up(history.path().to_owned(), filter).await.map(|page| page.records).unwrap_or_default();
    found.into_iter().filter(|stored| stored.entry.record.facts().is_some()).take(RECENT).collect()
}

/// Asks the file, off the async threads.
async fn look_up(path: PathBuf, filter: Filter) -> Result<Page, HistoryError> {
    let (opened, interrupter) = oneshot::channel::<InterruptHandle>();
    let asked = tokio::task::spawn_blocking(move || {
        let reader = Reader::open(&path)?;
        let _ = opened.send(reader.interrupter()); // nobody waits for it where the question was dropped
        reader.find(&filter)
    });
    let watch = tokio::spawn(async move {
        let Ok(interrupter) = interrupter.await else { return };
        tokio::time::sleep(QUESTION_MAX).await;
        interrupter.interrupt();
    });
    let answer = asked.await.expect("reading does not panic");
    watch.abort();
    answer
}
