//! Messages of several senders that come to one cut: what is behind a sender's mark waits until all marks are here.
//!
//! The desk hears all shards through one mailbox. A shard that has come to its cut goes on talking while another has not
//! got there; what it says then belongs behind the desk's own cut (`C1` in [`crate::engine::state`]), so it is held.
//!
//! - `A1` what a sender said before its mark is handed out before the cut, what it said after it is handed out after
//! - `A2` the order of one sender's messages stays as it is

use std::collections::BTreeSet;

/// The mailbox of one receiver while cuts are taken.
#[derive(Debug)]
pub struct Alignment<M> {
    senders: usize,
    marked: BTreeSet<usize>,
    held: Vec<M>,
}

impl<M> Alignment<M> {
    pub fn new(senders: usize) -> Alignment<M> {
        Alignment { senders, marked: BTreeSet::new(), held: Vec::new() }
    }

    /// Gives the message back if it may be acted on now; `from` is `None` where a cut does not matter to it.
    pub fn admit(&mut self, from: Option<usize>, message: M) -> Option<M> {
        if from.is_some_and(|from| self.marked.contains(&from)) {
            self.held.push(message);
            return None;
        }
        Some(message)
    }

    /// A sender has come to its cut. Whether all have: then it is time for the receiver's own, and for
    /// [`Alignment::release`].
    pub fn mark(&mut self, sender: usize) -> bool {
        self.marked.insert(sender);
        self.marked.len() == self.senders
    }

    /// The cut is taken: gives what was held, to be handled like any message.
    pub fn release(&mut self) -> Vec<M> {
        self.marked.clear();
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_a_mark_waits_for_all_marks() {
        let mut alignment = Alignment::new(2);
        assert_eq!(alignment.admit(Some(0), "before"), Some("before"));
        assert!(!alignment.mark(0));
        assert_eq!(alignment.admit(Some(0), "first behind"), None);
        assert_eq!(alignment.admit(Some(1), "not yet there"), Some("not yet there"));
        assert_eq!(alignment.admit(None, "of no shard"), Some("of no shard"));
        assert_eq!(alignment.admit(Some(0), "second behind"), None);
        assert!(alignment.mark(1));
        assert_eq!(alignment.release(), ["first behind", "second behind"]);
        assert_eq!(alignment.admit(Some(0), "after"), Some("after"));
    }
}
