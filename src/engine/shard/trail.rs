//! Where a partition's reading can begin again.
//!
//! A partition that moves to another member takes its holds along and leaves its panes behind: they are read again from
//! the log, from a place before the oldest event that a window still looks at. Kafka could be asked for that place by
//! record timestamps, but those are the producer's or the broker's word, and rules go by the events' own. So a cell
//! remembers places as it reads: an offset now and then, with how far the partition had come just before it. What is
//! late is decided by just that, and so it is decided the same when it is read again.
//!
//! A partition that begins within its log, because nobody has left anything of it, is read from further back as well. There
//! Kafka has to be asked for the place ([`crate::checkpoint::look_back`]), so it is read generously, and windows are whole
//! from the first event on that surely was not before that place.
//!
//! - `T1` reading again from the first step meets every event that a window of the next tick looks at
//! - `T2` steps are about a thirty-second of the memory apart, so there are few of them
//! - `T3` where a partition begins at an offset, no tick is judged that the records before it would have brought about

use std::collections::VecDeque;

use super::{Shard, ShardOutput, StreamState};
use crate::engine::state::{Reread, Step};
use crate::model::batch::RawBatch;
use crate::model::position::SourceId;
use crate::model::time::{EventTime, Millis};

/// Steps that the memory is divided into.
const STEPS: i64 = 32;

/// The steps of one stream's only partition.
#[derive(Debug, Default)]
pub(super) struct Trail(VecDeque<Step>);

impl Trail {
    pub fn steps(&self) -> Vec<Step> {
        self.0.iter().copied().collect()
    }

    pub fn restore(&mut self, steps: &[Step]) {
        self.0 = steps.iter().copied().collect();
    }

    fn add(&mut self, step: Step, apart: Millis) {
        match self.0.back_mut() {
            Some(last) if step.mark.newest < last.mark.newest + apart => last.newest = last.newest.max(step.newest),
            _ => self.0.push_back(step),
        }
    }

    /// Forgets steps that lead to nothing but events before `horizon` (`T1`).
    fn drop_before(&mut self, horizon: EventTime) {
        while self.0.front().is_some_and(|step| step.newest < horizon) {
            self.0.pop_front();
        }
    }
}

impl Shard {
    /// Keeps what a [`CellCut`](crate::engine::state::CellCut) is made of. To be said before the first record, of a shard
    /// that reads one partition.
    pub fn with_trail(mut self) -> Shard {
        self.streams.iter_mut().for_each(|stream| stream.trail = Some(Trail::default()));
        self
    }

    /// Streams of which events are missing from some window.
    pub fn lossy_streams(&self) -> Vec<usize> {
        (0..self.streams.len()).filter(|stream| self.streams[*stream].lossy).collect()
    }

    /// Takes what a batch holds of records that only fill windows, and gives back the rest (`T3`).
    pub(super) fn fill(&mut self, stream: usize, batch: RawBatch, out: &mut Vec<ShardOutput>) -> RawBatch {
        let Some(from) = self.streams[stream].judged_from else { return batch };
        let (filling, rest) = batch.split_at(from);
        let last = filling.records.iter().map(|record| record.offset).max();
        self.take(stream, filling, out);
        self.send_progress(stream, out);
        if !rest.records.is_empty() || last.is_some_and(|last| last + 1 >= from) {
            self.streams[stream].judged_from = None;
        }
        rest
    }

    /// Notes that records from `step` on were taken, and forgets what no window looks at any more.
    pub(super) fn note_step(&mut self, stream: usize, step: Option<Step>) {
        let Some(step) = step else { return };
        let feeds = || self.plan.streams[stream].feeds.iter().map(|at| (&self.plan.feeds[*at], &self.feeds[*at].book));
        let memory = self.plan.memory(stream);
        let horizon = feeds().map(|(plan, book)| match book.closed() {
            Some(closed) => EventTime(closed.saturating_sub(plan.memory_panes()).saturating_mul(plan.pane.0)),
            None => EventTime::MIN,
        });
        let horizon = horizon.min().unwrap_or(EventTime::MAX);
        let state = &mut self.streams[stream];
        let apart = Millis((memory + state.watermarks.lateness()).0 / STEPS);
        if let Some(trail) = &mut state.trail {
            trail.add(step, apart);
            trail.drop_before(horizon);
        }
        state.end_reread();
    }
}

impl StreamState {
    /// The place before a batch; nothing where no trail is kept.
    pub(super) fn place(&self, batch: &RawBatch) -> Option<Step> {
        self.trail.as_ref()?;
        let first = batch.records.first()?;
        let source = &batch.sources[first.source as usize];
        let year = self.decoder.years().iter().find(|(known, _)| known == source).map(|(_, year)| *year);
        Some(Step { offset: first.offset, mark: self.watermarks.mark(source)?, year, newest: EventTime::MIN })
    }

    /// What was read before is read again: from here on time stands where it stood.
    pub(super) fn end_reread(&mut self) {
        let Some(Reread { next, mark }) = self.reread else { return };
        let reached = self.offsets.iter().find(|(_, last)| **last + 1 >= next);
        if let Some((source, _)) = reached {
            self.watermarks.resume(source, mark);
            self.reread = None;
        }
    }

    /// So many records are gone, or all that were there, before they could be read again.
    pub(super) fn skip_reread(&mut self, source: &SourceId, lost: Option<u64>) {
        let Some(Reread { next, mark }) = self.reread else { return };
        if self.skips_to(source, lost, next) {
            self.watermarks.resume(source, mark);
            self.reread = None;
        }
    }

    /// … or before they could fill windows.
    pub(super) fn skip_filling(&mut self, source: &SourceId, lost: Option<u64>) {
        self.judged_from = self.judged_from.filter(|from| !self.skips_to(source, lost, *from));
    }

    /// Whether what is gone reaches up to this offset.
    fn skips_to(&self, source: &SourceId, lost: Option<u64>, offset: i64) -> bool {
        let from = self.offsets.get(source).map_or(0, |last| last + 1);
        lost.is_none_or(|lost| from.saturating_add_unsigned(lost) >= offset)
    }
}
