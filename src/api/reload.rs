//! `POST /-/reload`: goes by the files as they are now. Who does it is handed in; here is the asking and the answering.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::sync::{mpsc, oneshot};

use crate::api::{Api, address};
use crate::runtime::ReloadOutcome;

/// Somebody wants the files read again.
#[derive(Debug)]
pub struct Ask {
    /// The address of who asks.
    pub from: String,
    answer: oneshot::Sender<Answer>,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub outcome: ReloadOutcome,
    /// What changed, or everything that is wrong; lines.
    pub text: String,
}

impl Ask {
    pub fn answer(self, answer: Answer) {
        let _ = self.answer.send(answer); // who asked may have hung up
    }
}

/// Where to ask.
#[derive(Clone, Debug)]
pub struct Asker(mpsc::Sender<Ask>);

/// Both ends of asking.
pub fn asking() -> (Asker, mpsc::Receiver<Ask>) {
    let (ask, asked) = mpsc::channel(1);
    (Asker(ask), asked)
}

/// Waits for those who asked before, and for the reload itself.
pub(super) async fn reload(State(api): State<Api>, ConnectInfo(peer): ConnectInfo<SocketAddr>) -> Response {
    let Some(Asker(asker)) = api.reload else {
        return (StatusCode::NOT_FOUND, "this engine goes by no files, so there is nothing to reload\n")
            .into_response();
    };
    let (answer, answered) = oneshot::channel();
    let asked = asker.send(Ask { from: address(peer), answer }).await.is_ok();
    match answered.await {
        Ok(Answer { outcome, text }) if asked => (status(outcome), text).into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "Foghorn is stopping\n").into_response(),
    }
}

fn status(outcome: ReloadOutcome) -> StatusCode {
    match outcome {
        ReloadOutcome::Applied => StatusCode::OK,
        ReloadOutcome::Invalid => StatusCode::BAD_REQUEST,
        ReloadOutcome::RestartNeeded => StatusCode::CONFLICT,
        ReloadOutcome::Failed => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
