//! Signals of several shards in one order.
//!
//! Shards judge ticks at their own pace. Where the desk lives in event time (replay, tests) it must see signals tick by
//! tick, and within a tick in an order that does not depend on which shard owned which group. The merger holds signals
//! back until every shard is past their tick and hands them out sorted by (tick, rule, labels).

use crate::model::signal::Signal;
use crate::model::time::EventTime;

#[derive(Debug)]
pub struct SignalMerger {
    judged: Vec<EventTime>,
    held: Vec<Signal>,
}

impl SignalMerger {
    pub fn new(shards: usize) -> Self {
        SignalMerger { judged: vec![EventTime::MIN; shards], held: Vec::new() }
    }

    pub fn push(&mut self, signal: Signal) {
        self.held.push(signal);
    }

    /// Shard `shard` has judged every tick up to and including `until`.
    pub fn judged(&mut self, shard: usize, until: EventTime) {
        self.judged[shard] = self.judged[shard].max(until);
    }

    /// Signals of ticks that are not complete.
    pub fn held(&self) -> &[Signal] {
        &self.held
    }

    /// Every tick up to and including this time is complete.
    pub fn complete(&self) -> EventTime {
        self.judged.iter().copied().min().unwrap_or(EventTime::MAX)
    }

    /// Appends the signals of complete ticks, in order.
    pub fn release(&mut self, out: &mut Vec<Signal>) {
        let complete = self.complete();
        let start = out.len();
        out.extend(self.held.extract_if(.., |signal| signal.at <= complete));
        out[start..].sort_by(|a, b| (a.at, &a.rule, &a.labels).cmp(&(b.at, &b.rule, &b.labels)));
    }
}
