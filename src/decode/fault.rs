//! Why and where a document cannot be read on.

use crate::model::refusal::Refusal;

/// The position is absolute in the arena until it is told: [`RefusedRow`](crate::model::batch::RefusedRow) counts from
/// the start of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub reason: Refusal,
    pub at: usize,
}

impl Fault {
    #[cold]
    pub fn malformed(at: usize) -> Fault {
        Fault { reason: Refusal::Malformed, at }
    }
}
