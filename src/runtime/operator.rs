//! Who may ask something of a running desk, and how they hear what became of it.
//!
//! Operations come to the desk by a door of their own: the shards' one closes when the shards do, which is how the desk
//! knows that it is over, and whoever serves people outlives that.

use tokio::sync::{mpsc, oneshot};

use crate::engine::desk::{Answer, Operation};

/// Operations that may wait for the desk.
const WAITING_MAX: usize = 16;

/// Asks something of the desk.
#[derive(Clone, Debug)]
pub struct Operators(mpsc::Sender<Asked>);

/// The desk's end of it.
pub type Operations = mpsc::Receiver<Asked>;

/// One operation, and who waits for its end.
#[derive(Debug)]
pub struct Asked {
    pub(super) operation: Operation,
    pub(super) answer: oneshot::Sender<Answered>,
}

/// What became of an operation.
#[derive(Clone, Debug)]
pub struct Answered {
    pub answer: Answer,
    pub kept: Kept,
}

/// What is left of an operation when the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    OnDisk,
    /// The disk does not take it; with the next checkpoint it may.
    NotYet,
    /// No state is kept at all.
    InMemory,
}

/// Both ends.
pub fn operators() -> (Operators, Operations) {
    let (ask, asked) = mpsc::channel(WAITING_MAX);
    (Operators(ask), asked)
}

impl Operators {
    /// Waits until it is done and, where state is kept, on disk. `None` where the engine is stopping.
    pub async fn ask(&self, operation: Operation) -> Option<Answered> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Asked { operation, answer }).await.ok()?;
        answered.await.ok()
    }
}
