//! Time and lateness in a strand: panes enter and leave windows as it advances, and late partials find their place.

use super::codec::{put_varint, varint};
use super::extremes::Extremes;
use super::moments::Moments;
use super::partial::{PanePartial, decode_extreme};
use super::ring::{NEVER, PartKind};
use super::storage::prefetch;
use super::strand::{Cursors, FrameOp, Head, Histogram, Strand, samples_of};
use super::tiers::LogSpan;

/// How many groups ahead lines are fetched: far enough for memory, near enough to stay in the first-level cache.
const AHEAD_ROWS: usize = 16;
const AHEAD_HEAP: usize = 8;
const AHEAD_TOTALS: usize = 4;

/// Groups brought up between two looks at the set of those that are due.
const COMING: usize = 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Enter,
    Leave,
}

impl Strand {
    /// Moves on to `pane`; calls `touched` with every group of which a window changed, ascending.
    pub(super) fn advance_to(&mut self, pane: i64, mut touched: impl FnMut(u32)) {
        if pane <= self.wheel.now() {
            return;
        }
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(pane, &mut due);
        let mut coming = std::mem::take(&mut self.coming);
        let mut from = Some(0);
        while let Some(word) = from {
            coming.clear();
            from = due.take_some(word, COMING, &mut coming);
            for at in 0..coming.len() {
                if let Some(gid) = coming.get(at + AHEAD_ROWS) {
                    self.prefetch_rows(*gid);
                }
                if let Some(gid) = coming.get(at + AHEAD_HEAP) {
                    self.prefetch_heap(*gid);
                }
                if let Some(gid) = coming.get(at + AHEAD_TOTALS) {
                    self.prefetch_totals(*gid);
                }
                if self.heads.get(coming[at]).is_some() && self.bring_up(coming[at], pane) {
                    touched(coming[at]);
                }
            }
        }
        self.coming = coming;
        self.due = due;
    }

    #[inline]
    pub(super) fn prefetch_rows(&self, gid: u32) {
        self.heads.prefetch(gid);
        self.cursors.prefetch(gid);
        self.totals.prefetch(gid);
        self.spans.prefetch(gid);
        self.histograms.iter().for_each(|histogram| histogram.windows.prefetch(gid));
    }

    #[inline]
    pub(super) fn prefetch_heap(&self, gid: u32) {
        let Some(head) = self.heads.get(gid) else { return };
        let ring = head.ring.bytes.as_ptr();
        prefetch(ring.wrapping_add(head.ring.front as usize));
        prefetch(ring.wrapping_add(head.ring.last as usize));
        for histogram in &self.histograms {
            if let Some(window) = histogram.windows.get(gid) {
                window.prefetch();
            }
        }
    }

    #[inline]
    pub(super) fn prefetch_totals(&self, gid: u32) {
        for histogram in &self.histograms {
            if let Some(window) = histogram.windows.get(gid) {
                window.prefetch_totals();
            }
        }
    }

    /// Lets panes of one group enter and leave windows; says whether any did.
    fn bring_up(&mut self, gid: u32, now: i64) -> bool {
        let before = self.group_heap(gid);
        let mut moved = false;
        for frame in 0..self.frames.len() {
            moved |= self.bring_frame_up(gid, frame, now);
        }
        self.evict(gid);
        self.settle(gid);
        let wake = &mut self.heads.row_mut(gid)[0].wake;
        if *wake <= now {
            *wake = i64::MAX;
        }
        self.reschedule(gid);
        self.heap = self.heap + self.group_heap(gid) - before;
        moved
    }

    fn bring_frame_up(&mut self, gid: u32, frame: usize, now: i64) -> bool {
        let end = self.heads.row(gid)[0].ring.end();
        let window = self.frames[frame];
        let mut cursors = self.cursors.row(gid)[frame];
        let before = (cursors.start, cursors.end);
        while cursors.end < end && cursors.end_pane + window.offset <= now {
            cursors.end = self.step(gid, frame, Step::Enter, cursors.end, cursors.end_pane);
            cursors.end_pane = self.heads.row(gid)[0].ring.pane_after(cursors.end_pane, cursors.end);
        }
        while cursors.start < cursors.end && cursors.start_pane + window.offset + window.panes <= now {
            cursors.start = self.step(gid, frame, Step::Leave, cursors.start, cursors.start_pane);
            cursors.start_pane = self.heads.row(gid)[0].ring.pane_after(cursors.start_pane, cursors.start);
        }
        self.cursors.row_mut(gid)[frame] = cursors;
        before != (cursors.start, cursors.end)
    }

    /// Adds the entry to a window's totals or takes it off; returns where the next entry starts.
    fn step(&mut self, gid: u32, frame: usize, step: Step, entry: u32, pane: i64) -> u32 {
        let ring = &self.heads.row(gid)[0].ring;
        let bytes = &ring.bytes[..];
        let (_, mut at) = ring.gap(entry);
        for (acc, op) in self.accs.iter().zip(&self.ops[frame]) {
            match *op {
                FrameOp::None => acc.kind.skip(bytes, &mut at),
                FrameOp::Count { word } => {
                    let count = varint(bytes, &mut at).expect("rings hold whole entries");
                    let total = &mut self.totals.row_mut(gid)[word];
                    *total = match step {
                        Step::Enter => total.wrapping_add(count),
                        Step::Leave => total.wrapping_sub(count),
                    };
                }
                FrameOp::Moments { word } => {
                    let part = Moments::decode(bytes, &mut at).expect("rings hold whole entries");
                    let words = &mut self.totals.row_mut(gid)[word..];
                    let mut total = Moments::load(words);
                    match step {
                        Step::Enter => total.add(&part),
                        Step::Leave => total.subtract(&part),
                    }
                    total.store(words);
                }
                FrameOp::Extreme { slot, max } => {
                    let value = decode_extreme(bytes, &mut at).expect("rings hold whole entries");
                    let extremes = &mut self.extremes.row_mut(gid)[slot];
                    match (step, value) {
                        (Step::Enter, Some(value)) => join(extremes, pane, value, max),
                        (Step::Enter, None) => {}
                        (Step::Leave, _) => leave(extremes, pane),
                    }
                }
                FrameOp::Samples { histogram, local, span } => {
                    let count = varint(bytes, &mut at).expect("rings hold whole entries");
                    let windows = &mut self.histograms[histogram].windows;
                    let samples = &mut windows.row_mut(gid)[0];
                    let span = &mut self.spans.row_mut(gid)[span];
                    match step {
                        Step::Enter => samples.enter(local, span, pane, count),
                        Step::Leave => samples.leave(local, span, pane, count),
                    }
                }
            }
        }
        at as u32
    }

    /// Forgets what no window will see again: what is behind the furthest-reaching one.
    fn evict(&mut self, gid: u32) {
        let Cursors { start, start_pane, .. } = self.cursors.row(gid)[self.widest];
        let ring = &mut self.heads.row_mut(gid)[0].ring;
        if start == ring.front {
            return;
        }
        let kept_from = if start < ring.end() { start_pane } else { i64::MAX };
        ring.front = start;
        ring.first_pane = start_pane;
        for histogram in &mut self.histograms {
            let Histogram { shape, windows, first_span, widest } = histogram;
            let spans = &mut self.spans.row_mut(gid)[*first_span..][..shape.frames];
            windows.row_mut(gid)[0].evict(kept_from, spans, *widest);
        }
        if ring.is_empty() {
            ring.bytes = Vec::new();
            (ring.front, ring.last) = (0, 0);
            self.cursors.row_mut(gid).fill(Cursors::default());
        } else if ring.is_slack() {
            let moved = ring.compact();
            ring.shrink();
            self.shift(gid, moved);
        }
    }

    /// Lets the tiers give back what they do not need any more.
    fn settle(&mut self, gid: u32) {
        for index in 0..self.histograms.len() {
            let Histogram { shape, windows, .. } = &mut self.histograms[index];
            let samples = &mut windows.row_mut(gid)[0];
            let demoted = samples.should_demote(shape);
            if demoted {
                samples.demote();
                self.find_cursors(gid);
            }
            let Histogram { shape, windows, first_span, .. } = &mut self.histograms[index];
            let spans = &self.spans.row(gid)[*first_span..][..shape.frames];
            let samples = &mut windows.row_mut(gid)[0];
            if demoted {
                samples.recount(shape, spans);
            }
            samples.settle(shape, spans);
        }
    }

    /// Enters the group for the next pane at which something enters or leaves a window of it.
    pub(super) fn reschedule(&mut self, gid: u32) {
        let Head { ring, wake } = &self.heads.row(gid)[0];
        let end = ring.end();
        let mut due = i64::MAX;
        for (cursors, frame) in self.cursors.row(gid).iter().zip(&self.frames) {
            if cursors.end < end {
                due = due.min(cursors.end_pane.saturating_add(frame.offset));
            }
            if cursors.start < end {
                due = due.min(cursors.start_pane.saturating_add(frame.offset + frame.panes));
            }
        }
        if due < *wake {
            let wake = self.wheel.schedule(gid, due);
            self.heads.row_mut(gid)[0].wake = wake;
        }
    }

    /// A pane that is not the newest, or that windows look at already. Says whether one does.
    ///
    /// This rewrites the group's ring. It is what late sources cost, not what every event costs.
    pub(super) fn insert_late(&mut self, gid: u32, pane: i64, partial: &PanePartial) -> bool {
        let now = self.wheel.now();
        let mut entries = Vec::new();
        let mut before = vec![0; self.histograms.len()];
        self.walk(gid, |entry, other, counts| {
            entries.push((entry, other));
            if other <= pane {
                before.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            }
        });
        let inside: Vec<bool> = self
            .frames
            .iter()
            .map(|frame| pane + frame.offset <= now && pane + frame.offset + frame.panes > now)
            .collect();
        self.insert_samples(gid, pane, partial, &before, &inside);
        self.add_inside(gid, pane, partial, &inside);
        self.insert_entry(gid, pane, partial, &entries);
        self.find_cursors(gid);
        inside.contains(&true)
    }

    fn insert_samples(&mut self, gid: u32, pane: i64, partial: &PanePartial, before: &[u64], inside: &[bool]) {
        for index in 0..self.accs.len() {
            if self.accs[index].kind != PartKind::Samples {
                continue;
            }
            let histogram = self.accs[index].histogram;
            let set = samples_of(partial.part(self.accs[index].acc));
            if set.samples == 0 {
                continue;
            }
            self.promote_for(gid, histogram, set.samples);
            let locals = self.ops.iter().zip(inside).filter_map(|(ops, inside)| match ops[index] {
                FrameOp::Samples { local, .. } if *inside => Some(local),
                _ => None,
            });
            let Histogram { shape, windows, .. } = &mut self.histograms[histogram];
            windows.row_mut(gid)[0].insert(shape, before[histogram] as usize, pane, &set, locals);
        }
    }

    /// Adds the partial to the totals of windows that hold the pane.
    fn add_inside(&mut self, gid: u32, pane: i64, partial: &PanePartial, inside: &[bool]) {
        for (ops, _) in self.ops.iter().zip(inside).filter(|(_, inside)| **inside) {
            for (acc, op) in self.accs.iter().zip(ops) {
                let part = partial.part(acc.acc);
                let whole = match *op {
                    FrameOp::None | FrameOp::Samples { .. } => Some(()),
                    FrameOp::Count { word } => varint(part, &mut 0).map(|count| {
                        let total = &mut self.totals.row_mut(gid)[word];
                        *total = total.wrapping_add(count);
                    }),
                    FrameOp::Moments { word } => Moments::decode(part, &mut 0).map(|part| {
                        let words = &mut self.totals.row_mut(gid)[word..];
                        let mut total = Moments::load(words);
                        total.add(&part);
                        total.store(words);
                    }),
                    FrameOp::Extreme { slot, max } => decode_extreme(part, &mut 0).map(|value| {
                        if let Some(value) = value {
                            join(&mut self.extremes.row_mut(gid)[slot], pane, value, max);
                        }
                    }),
                };
                whole.expect("partials hold whole parts");
            }
        }
    }

    /// Writes the ring anew with the partial in its place among `entries`.
    fn insert_entry(&mut self, gid: u32, pane: i64, partial: &PanePartial, entries: &[(u32, i64)]) {
        let at = entries.partition_point(|(_, other)| *other < pane);
        let known = entries.get(at).is_some_and(|(_, other)| *other == pane);
        let ring = &self.heads.row(gid)[0].ring;
        let place = entries.get(at).map_or(ring.end(), |(entry, _)| *entry);
        let mut bytes = Vec::with_capacity(ring.bytes.len() - ring.front as usize + partial.bytes().len() + 8);
        bytes.extend_from_slice(&ring.bytes[ring.front as usize..place as usize]);
        put_varint(&mut bytes, at.checked_sub(1).map_or(0, |before| (pane - entries[before].1) as u64));
        if known {
            let (_, mut parts) = ring.gap(place);
            self.sum_entry(gid, &mut parts, partial, &mut bytes);
        } else {
            for acc in &self.accs {
                match acc.kind {
                    PartKind::Samples => put_varint(&mut bytes, samples_of(partial.part(acc.acc)).samples),
                    _ => bytes.extend_from_slice(partial.part(acc.acc)),
                }
            }
        }
        if let Some((entry, next)) = entries.get(at + usize::from(known)) {
            put_varint(&mut bytes, (next - pane) as u64);
            bytes.extend_from_slice(&ring.bytes[ring.gap(*entry).1..]);
        }
        let ring = &mut self.heads.row_mut(gid)[0].ring;
        ring.bytes = bytes;
        ring.front = 0;
        ring.first_pane = entries.first().map_or(pane, |(_, first)| pane.min(*first));
        ring.last_pane = ring.last_pane.max(pane);
    }

    /// Finds all cursors and spans of a group by what they mean (`S1`).
    fn find_cursors(&mut self, gid: u32) {
        let now = self.wheel.now();
        let ring = &self.heads.row(gid)[0].ring;
        let end = Cursors { start: ring.end(), end: ring.end(), start_pane: NEVER, end_pane: NEVER };
        let mut found = vec![end; self.frames.len()];
        let mut sums = vec![0u64; self.histograms.len()];
        let spans = self.spans.row(gid).len();
        let mut starts: Vec<Option<u64>> = vec![None; spans];
        let mut ends: Vec<Option<u64>> = vec![None; spans];
        let mut last = ring.front;
        self.walk(gid, |entry, pane, counts| {
            for (frame, cursors) in found.iter_mut().enumerate() {
                let window = self.frames[frame];
                let starts_here = cursors.start == end.start && pane + window.offset + window.panes > now;
                let ends_here = cursors.end == end.end && pane + window.offset > now;
                if starts_here {
                    (cursors.start, cursors.start_pane) = (entry, pane);
                }
                if ends_here {
                    (cursors.end, cursors.end_pane) = (entry, pane);
                }
                for op in &self.ops[frame] {
                    if let FrameOp::Samples { histogram, span, .. } = *op {
                        if starts_here {
                            starts[span] = Some(sums[histogram]);
                        }
                        if ends_here {
                            ends[span] = Some(sums[histogram]);
                        }
                    }
                }
            }
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            last = entry;
        });
        for op in self.ops.iter().flatten() {
            if let FrameOp::Samples { histogram, span, .. } = *op {
                let sum = sums[histogram];
                self.spans.row_mut(gid)[span] = match self.histograms[histogram].windows.row(gid)[0].is_busy() {
                    true => LogSpan::default(),
                    false => {
                        let (start, end) = (starts[span].unwrap_or(sum), ends[span].unwrap_or(sum));
                        LogSpan { start: start as u32, end: end as u32 }
                    }
                };
            }
        }
        self.heads.row_mut(gid)[0].ring.last = last;
        self.cursors.row_mut(gid).copy_from_slice(&found);
    }

    /// Heap bytes of one group.
    pub(super) fn group_heap(&self, gid: u32) -> usize {
        let samples = self.histograms.iter().map(|histogram| histogram.windows.row(gid)[0].heap_bytes());
        let extremes = self.extremes.row(gid).iter().flatten().map(|e| size_of::<Extremes>() + e.heap_bytes());
        self.heads.row(gid)[0].ring.bytes.capacity() + samples.sum::<usize>() + extremes.sum::<usize>()
    }
}

fn join(extremes: &mut Option<Box<Extremes>>, pane: i64, value: f64, max: bool) {
    let extremes = extremes.get_or_insert_default();
    match max {
        true => extremes.join(pane, value, |a, b| a > b),
        false => extremes.join(pane, value, |a, b| a < b),
    }
}

fn leave(extremes: &mut Option<Box<Extremes>>, pane: i64) {
    if let Some(kept) = extremes {
        kept.leave_through(pane);
        if kept.is_empty() {
            *extremes = None;
        }
    }
}
