//! One shard's way out of the consumer thread: the batches being filled, and what its channel has not yet taken.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError};

use super::events::{BatchLimits, SourceEvent};
use crate::model::batch::RawBatchBuilder;
use crate::model::position::{Position, SourceId};

/// Where a partition stands in the open batch of one stream: saves looking for it at each record.
#[derive(Clone, Copy, Debug)]
pub struct Lane {
    pub stream: usize,
    batch: u64,
    source: u32,
}

impl Lane {
    pub fn new(stream: usize) -> Lane {
        Lane { stream, batch: 0, source: 0 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// Everything is with the shard.
    Done,
    /// The channel is full; the rest waits here.
    Held,
    /// The shard is gone.
    Gone,
}

pub struct Outbox {
    sender: Sender<SourceEvent>,
    limits: BatchLimits,
    /// By stream.
    open: Vec<OpenBatch>,
    /// In order; never overtaken (`K3`).
    pending: VecDeque<SourceEvent>,
    /// When the oldest thing that is not sealed came.
    waiting_since: Option<Instant>,
}

struct OpenBatch {
    builder: RawBatchBuilder,
    /// Changes with each builder, so that lanes notice; from 1.
    number: u64,
    /// What the last one held: a fair guess at what this one will.
    last: (usize, usize),
}

impl Outbox {
    pub fn new(sender: Sender<SourceEvent>, streams: usize, limits: BatchLimits) -> Outbox {
        let open = || OpenBatch { builder: RawBatchBuilder::default(), number: 1, last: (0, 0) };
        Outbox {
            sender,
            limits,
            open: (0..streams).map(|_| open()).collect(),
            pending: VecDeque::new(),
            waiting_since: None,
        }
    }

    /// Adds a record to the open batch of the lane's stream, and closes the batch when that fills it.
    pub fn push(&mut self, lane: &mut Lane, source: &SourceId, offset: i64, timestamp: i64, bytes: &[u8]) {
        let open = &mut self.open[lane.stream];
        if open.builder.is_empty() {
            open.builder = RawBatchBuilder::with_capacity(open.last.0, open.last.1);
            self.waiting_since.get_or_insert_with(Instant::now);
        }
        if lane.batch != open.number {
            lane.source = open.builder.source(&source.topic, source.partition);
            lane.batch = open.number;
        }
        open.builder.push(lane.source, offset, timestamp, bytes);
        if open.builder.records() >= self.limits.records || open.builder.bytes() >= self.limits.bytes {
            self.close(lane.stream);
        }
    }

    /// Something that is no record (the end of a partition) waits to be told.
    pub fn note(&mut self) {
        self.waiting_since.get_or_insert_with(Instant::now);
    }

    /// Whether what is open has waited long enough.
    pub fn is_due(&self, now: Instant) -> bool {
        self.due_in(now).is_some_and(|left| left.is_zero())
    }

    /// How long until it has.
    pub fn due_in(&self, now: Instant) -> Option<Duration> {
        self.waiting_since.map(|since| self.limits.wait.saturating_sub(now.saturating_duration_since(since)))
    }

    /// Closes all open batches and tells of the partitions that are read to their ends.
    pub fn flush(&mut self, ends: Vec<Position>) {
        (0..self.open.len()).for_each(|stream| self.close(stream));
        self.waiting_since = None;
        if !ends.is_empty() {
            self.pending.push_back(SourceEvent::EndOfPartition(ends));
        }
    }

    /// Adds an event after everything so far; flush first where it must not overtake open records.
    pub fn tell(&mut self, event: SourceEvent) {
        self.pending.push_back(event);
    }

    /// Gives the channel as much as it takes. Never waits.
    pub fn hand_over(&mut self) -> Handover {
        while let Some(event) = self.pending.pop_front() {
            match self.sender.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.pending.push_front(event);
                    return Handover::Held;
                }
                Err(TrySendError::Disconnected(_)) => return Handover::Gone,
            }
        }
        Handover::Done
    }

    /// Whether events wait for room in the channel.
    pub fn is_held(&self) -> bool {
        !self.pending.is_empty()
    }

    fn close(&mut self, stream: usize) {
        let open = &mut self.open[stream];
        if open.builder.is_empty() {
            return;
        }
        open.number += 1;
        open.last = (open.builder.records(), open.builder.bytes());
        let batch = std::mem::take(&mut open.builder).finish();
        self.pending.push_back(SourceEvent::Records { stream, batch });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A script of what comes in (`r` record of stream 0, `s` of stream 1, `e` end, `f` flush, `h` hand over, `t` the
    /// shard takes one), and what the shard has seen: batches as offsets with their stream.
    fn check(limits: BatchLimits, room: usize, script: &str, expect: &str) {
        let (sender, receiver) = crossbeam_channel::bounded(room);
        let mut outbox = Outbox::new(sender, 2, limits);
        let source = SourceId::new("t", 0);
        let mut lanes = [Lane::new(0), Lane::new(1)];
        let (mut offset, mut seen) = (0, Vec::new());
        let take = |seen: &mut Vec<String>| {
            if let Ok(event) = receiver.try_recv() {
                seen.push(match event {
                    SourceEvent::Records { stream, batch } => {
                        let offsets: Vec<String> = batch.records.iter().map(|r| r.offset.to_string()).collect();
                        format!("{stream}:{}", offsets.join(","))
                    }
                    SourceEvent::EndOfPartition(ends) => format!("end@{}", ends[0].offset),
                    other => format!("{other:?}"),
                });
            }
        };
        for step in script.chars() {
            match step {
                'r' | 's' => {
                    outbox.push(&mut lanes[usize::from(step == 's')], &source, offset, 0, b"12345");
                    offset += 1;
                }
                'e' => outbox.flush(vec![Position { source: source.clone(), offset }]),
                'f' => outbox.flush(Vec::new()),
                'h' => seen.push(format!("{:?}", outbox.hand_over())),
                't' => take(&mut seen),
                other => unreachable!("{other}"),
            }
        }
        assert_eq!(seen.join(" "), expect, "{script}");
    }

    const WIDE: BatchLimits = BatchLimits { records: 100, bytes: 1000, wait: Duration::ZERO };

    #[test]
    fn batches_close_at_their_limits_and_nothing_overtakes_when_the_channel_is_full() {
        check(WIDE, 9, "rrsrehttt", "Done 0:0,1,3 1:2 end@4");
        check(BatchLimits { records: 2, ..WIDE }, 9, "rrrrrhttt", "Done 0:0,1 0:2,3");
        check(BatchLimits { bytes: 10, ..WIDE }, 9, "rrrrrfhttt", "Done 0:0,1 0:2,3 0:4");
        check(
            BatchLimits { records: 1, ..WIDE },
            1,
            "rrrhtrehthththt",
            "Held 0:0 Held 0:1 Held 0:2 Held 0:3 Done end@4",
        );
    }

    #[test]
    fn a_shard_that_is_gone_is_noticed() {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        let mut outbox = Outbox::new(sender, 1, WIDE);
        drop(receiver);
        assert_eq!(outbox.hand_over(), Handover::Done);
        outbox.tell(SourceEvent::Revoked(Vec::new()));
        assert_eq!(outbox.hand_over(), Handover::Gone);
    }
}
