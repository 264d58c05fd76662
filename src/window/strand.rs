//! The accumulators that must be kept equally long, for all groups: their panes, and the windows over them.
//!
//! A rule may count over the last five minutes and compare with five minutes an hour ago; its histogram need not live an
//! hour for that. So accumulators are grouped by retention, and a strand is one such group: a ring of panes, a cursor
//! pair for each distinct window, running totals, and the schedule of what changes when.
//!
//! - `S1` a pane counts in a window exactly while `now − offset − panes < pane ≤ now − offset`
//! - `S2` totals equal the sum over the entries between the window's cursors (Count, Moments, samples)
//! - `S3` a group with no panes holds no heap memory but its rows
//! - `S4` merging a newer pane and moving on cost the same however many panes a window has

use super::bits::BitSet;
use super::codec::{put_varint, varint};
use super::extremes::Extremes;
use super::histogram::Geometry;
use super::moments::Moments;
use super::partial::{PanePartial, SampleSet};
use super::plan::{AccSpec, WindowPlan};
use super::ring::{PartKind, Ring};
use super::storage::Pages;
use super::tiers::{LogSpan, SampleShape, SampleWindow, TierLimits};
use super::wheel::Wheel;

/// A run of panes some view looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) panes: i64,
    pub(super) offset: i64,
}

/// What one accumulator keeps for one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameOp {
    /// No view asks, or the answer is found by walking the entries.
    None,
    /// A running total at this word.
    Count {
        word: usize,
    },
    Moments {
        word: usize,
    },
    /// Extremes in this slot.
    Extreme {
        slot: usize,
        max: bool,
    },
    /// The histogram, its own number of the frame, and the span.
    Samples {
        histogram: usize,
        local: usize,
        span: usize,
    },
}

#[derive(Debug)]
pub(super) struct StrandAcc {
    /// Index in the plan.
    pub(super) acc: usize,
    pub(super) kind: PartKind,
    /// Which histogram of the strand.
    pub(super) histogram: usize,
}

#[derive(Debug)]
pub(super) struct Histogram {
    pub(super) shape: SampleShape,
    pub(super) windows: Pages<SampleWindow>,
    /// Its spans within a row of spans.
    pub(super) first_span: usize,
    /// The span of its longest-reaching window: what is behind it is gone.
    pub(super) widest_span: usize,
}

/// One group's panes.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) ring: Ring,
    /// The pane at which the schedule brings it up.
    pub(super) wake: i64,
}

impl Default for Head {
    fn default() -> Self {
        Head { ring: Ring::default(), wake: i64::MAX }
    }
}

/// Where one window stands in a ring: entries from `start` to `end`, and the panes of the entries at both.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursors {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) start_pane: i64,
    pub(super) end_pane: i64,
}

#[derive(Debug)]
pub(super) struct Strand {
    pub(super) retention: i64,
    pub(super) accs: Vec<StrandAcc>,
    pub(super) frames: Vec<Frame>,
    /// By frame, then by accumulator of the strand.
    pub(super) ops: Vec<Vec<FrameOp>>,
    /// The frame that reaches back furthest.
    pub(super) widest: usize,
    pub(super) histograms: Vec<Histogram>,
    pub(super) heads: Pages<Head>,
    pub(super) cursors: Pages<Cursors>,
    pub(super) totals: Pages<u64>,
    pub(super) spans: Pages<LogSpan>,
    pub(super) extremes: Pages<Option<Box<Extremes>>>,
    pub(super) wheel: Wheel,
    /// Groups that come up, and some of them at a time.
    pub(super) due: BitSet,
    pub(super) coming: Vec<u32>,
    pub(super) entry: Vec<u8>,
    /// Heap bytes of rings, samples and extremes.
    pub(super) heap: usize,
}

impl Strand {
    /// The strand of the accumulators with this retention. Tests set `limits`, to reach all tiers with few events.
    pub(super) fn new(plan: &WindowPlan, retention: u32, limits: Option<TierLimits>) -> Strand {
        let mut accs = Vec::new();
        for (acc, spec) in plan.accs.iter().enumerate().filter(|(acc, _)| plan.retention(*acc) == retention) {
            let histogram = accs.iter().filter(|acc: &&StrandAcc| acc.kind == PartKind::Samples).count();
            accs.push(StrandAcc { acc, kind: PartKind::of(spec), histogram });
        }
        let mut frames: Vec<Frame> = Vec::new();
        for view in plan.views.iter().filter(|view| plan.retention(view.acc) == retention) {
            let frame = Frame { panes: i64::from(view.panes), offset: i64::from(view.offset) };
            if !frames.contains(&frame) {
                frames.push(frame);
            }
        }
        if frames.is_empty() {
            // Nothing looks at these; the newest pane is still remembered.
            frames.push(Frame { panes: i64::from(retention.max(1)), offset: 0 });
        }
        let widest = (0..frames.len()).max_by_key(|at| frames[*at].panes + frames[*at].offset).unwrap_or(0);
        let mut strand = Strand {
            retention: frames[widest].panes + frames[widest].offset,
            ops: vec![vec![FrameOp::None; accs.len()]; frames.len()],
            accs,
            cursors: Pages::new(frames.len()),
            frames,
            widest,
            histograms: Vec::new(),
            heads: Pages::new(1),
            totals: Pages::new(0),
            spans: Pages::new(0),
            extremes: Pages::new(0),
            wheel: Wheel::new(retention),
            due: BitSet::default(),
            coming: Vec::new(),
            entry: Vec::new(),
            heap: 0,
        };
        strand.lay_out(plan, limits);
        strand
    }

    /// Gives each pair of frame and accumulator that a view asks for its place in the rows.
    fn lay_out(&mut self, plan: &WindowPlan, limits: Option<TierLimits>) {
        let (mut words, mut spans, mut extremes) = (0, 0, 0);
        for (index, acc) in self.accs.iter().enumerate() {
            let mut local = 0;
            let (first_span, mut widest_span, mut widest_reach) = (spans, spans, 0);
            for (at, frame) in self.frames.iter().enumerate() {
                let asked = plan.views.iter().any(|view| {
                    view.acc == acc.acc
                        && i64::from(view.panes) == frame.panes
                        && i64::from(view.offset) == frame.offset
                });
                if !asked {
                    continue;
                }
                self.ops[at][index] = match acc.kind {
                    PartKind::Count => {
                        words += 1;
                        FrameOp::Count { word: words - 1 }
                    }
                    PartKind::Moments => {
                        words += Moments::WORDS;
                        FrameOp::Moments { word: words - Moments::WORDS }
                    }
                    PartKind::Min | PartKind::Max => {
                        extremes += 1;
                        FrameOp::Extreme { slot: extremes - 1, max: acc.kind == PartKind::Max }
                    }
                    PartKind::Samples => {
                        if frame.panes + frame.offset > widest_reach {
                            (widest_reach, widest_span) = (frame.panes + frame.offset, spans);
                        }
                        local += 1;
                        spans += 1;
                        FrameOp::Samples { histogram: acc.histogram, local: local - 1, span: spans - 1 }
                    }
                    PartKind::Last | PartKind::Distinct | PartKind::TopK => FrameOp::None,
                };
            }
            if let AccSpec::Histogram(spec) = &plan.accs[acc.acc] {
                let geometry = Geometry::new(spec);
                let shape = SampleShape::new(geometry, local, limits.unwrap_or(TierLimits::of(&geometry)));
                self.histograms.push(Histogram { shape, windows: Pages::new(1), first_span, widest_span });
            }
        }
        self.totals = Pages::new(words);
        self.spans = Pages::new(spans);
        self.extremes = Pages::new(extremes);
    }

    pub(super) fn frame(&self, panes: u32, offset: u32) -> usize {
        let frame = Frame { panes: i64::from(panes), offset: i64::from(offset) };
        self.frames.iter().position(|other| *other == frame).expect("every view has its frame")
    }

    /// The strand's number of an accumulator of the plan.
    pub(super) fn index_of(&self, acc: usize) -> Option<usize> {
        self.accs.iter().position(|other| other.acc == acc)
    }

    /// Adds a partial to a pane of a group. `touched` is set where a window changed already; `false` is returned where
    /// the pane is gone.
    pub(super) fn merge(&mut self, gid: u32, pane: i64, partial: &PanePartial, touched: &mut bool) -> bool {
        let now = self.wheel.now();
        if pane <= now.saturating_sub(self.retention) {
            return false;
        }
        self.ensure(gid);
        let before = self.group_heap(gid);
        let ring = &self.heads.row(gid)[0].ring;
        let (last_pane, empty) = (ring.last_pane, ring.is_empty());
        if pane > now && (empty || pane > last_pane) {
            self.append(gid, pane, partial);
            self.wheel.arrive(gid, pane);
        } else if pane > now && pane == last_pane {
            self.add_to_newest(gid, pane, partial);
        } else {
            *touched |= self.insert_late(gid, pane, partial);
            if pane > now {
                self.wheel.arrive(gid, pane);
            }
            self.reschedule(gid);
        }
        self.heap = self.heap + self.group_heap(gid) - before;
        true
    }

    fn ensure(&mut self, gid: u32) {
        self.heads.ensure(gid);
        self.cursors.ensure(gid);
        self.totals.ensure(gid);
        self.spans.ensure(gid);
        self.extremes.ensure(gid);
        self.histograms.iter_mut().for_each(|histogram| histogram.windows.ensure(gid));
    }

    /// A pane newer than all others, in no window yet.
    fn append(&mut self, gid: u32, pane: i64, partial: &PanePartial) {
        let ring = &self.heads.row(gid)[0].ring;
        let gap = if ring.is_empty() { 0 } else { (pane - ring.last_pane) as u64 };
        let mut entry = std::mem::take(&mut self.entry);
        entry.clear();
        put_varint(&mut entry, gap);
        self.append_samples(gid, pane, partial, |kind, part, samples| match kind {
            PartKind::Samples => put_varint(&mut entry, samples),
            _ => entry.extend_from_slice(part),
        });
        self.make_room(gid, entry.len());
        let ring = &mut self.heads.row_mut(gid)[0].ring;
        let at = ring.end();
        if ring.is_empty() {
            ring.first_pane = pane;
        }
        ring.bytes.extend_from_slice(&entry);
        ring.last = at;
        ring.last_pane = pane;
        for cursors in self.cursors.row_mut(gid) {
            if cursors.end == at {
                cursors.end_pane = pane;
            }
            if cursors.start == at {
                cursors.start_pane = pane;
            }
        }
        self.entry = entry;
    }

    /// More of the newest pane, which is in no window yet.
    fn add_to_newest(&mut self, gid: u32, pane: i64, partial: &PanePartial) {
        let mut entry = std::mem::take(&mut self.entry);
        entry.clear();
        let ring = &self.heads.row(gid)[0].ring;
        let last = ring.last as usize;
        let (_, mut at) = ring.gap(ring.last);
        entry.extend_from_slice(&ring.bytes[last..at]);
        self.sum_entry(gid, &mut at, partial, &mut entry);
        self.append_samples(gid, pane, partial, |_, _, _| {});
        self.heads.row_mut(gid)[0].ring.bytes.truncate(last);
        self.make_room(gid, entry.len());
        self.heads.row_mut(gid)[0].ring.bytes.extend_from_slice(&entry);
        self.entry = entry;
    }

    /// Appends the sums of the parts at `at` of the ring and of the partial.
    pub(super) fn sum_entry(&self, gid: u32, at: &mut usize, partial: &PanePartial, entry: &mut Vec<u8>) {
        let bytes = &self.heads.row(gid)[0].ring.bytes;
        for acc in &self.accs {
            let start = *at;
            acc.kind.skip(bytes, at);
            let (left, right) = (&bytes[start..*at], partial.part(acc.acc));
            match acc.kind {
                PartKind::Samples => {
                    let sum = varint(left, &mut 0).unwrap_or(0) + samples_of(right).samples;
                    put_varint(entry, sum);
                }
                kind => kind.combine(left, right, entry),
            }
        }
    }

    /// Appends the partial's samples to the logs; `each` gets every accumulator's part and number of samples.
    #[inline]
    fn append_samples(
        &mut self,
        gid: u32,
        pane: i64,
        partial: &PanePartial,
        mut each: impl FnMut(PartKind, &[u8], u64),
    ) {
        for index in 0..self.accs.len() {
            let StrandAcc { acc, kind, histogram } = self.accs[index];
            let part = partial.part(acc);
            if kind != PartKind::Samples {
                each(kind, part, 0);
                continue;
            }
            let set = samples_of(part);
            each(kind, part, set.samples);
            if set.samples > 0 {
                self.promote_for(gid, histogram, set.samples);
                let Histogram { shape, windows, first_span, .. } = &mut self.histograms[histogram];
                let spans = &mut self.spans.row_mut(gid)[*first_span..][..shape.frames];
                windows.row_mut(gid)[0].append(shape, spans, pane, &set);
            }
        }
    }

    /// Makes the group busy where so many more samples would be too many for a log.
    #[inline]
    pub(super) fn promote_for(&mut self, gid: u32, histogram: usize, more: u64) {
        let Histogram { shape, windows, .. } = &self.histograms[histogram];
        if windows.row(gid)[0].must_promote(shape, more) {
            self.promote(gid, histogram);
        }
    }

    #[cold]
    fn promote(&mut self, gid: u32, histogram: usize) {
        let mut panes = Vec::new();
        self.walk(gid, |_, pane, counts| panes.push((pane, counts[histogram])));
        let Histogram { shape, windows, first_span, .. } = &mut self.histograms[histogram];
        let spans = &self.spans.row(gid)[*first_span..][..shape.frames];
        windows.row_mut(gid)[0].promote(shape, spans, panes.into_iter());
    }

    /// Calls `each` with every entry's offset, pane and numbers of samples (by histogram), oldest first.
    pub(super) fn walk(&self, gid: u32, mut each: impl FnMut(u32, i64, &[u64])) {
        let ring = &self.heads.row(gid)[0].ring;
        let mut counts = vec![0; self.histograms.len()];
        let (mut entry, mut pane) = (ring.front, ring.first_pane);
        while entry < ring.end() {
            let (_, mut at) = ring.gap(entry);
            for acc in &self.accs {
                match acc.kind {
                    PartKind::Samples => {
                        counts[acc.histogram] = varint(&ring.bytes, &mut at).expect("rings hold whole entries");
                    }
                    kind => kind.skip(&ring.bytes, &mut at),
                }
            }
            each(entry, pane, &counts);
            entry = at as u32;
            pane = ring.pane_after(pane, entry);
        }
    }

    #[inline]
    fn make_room(&mut self, gid: u32, more: usize) {
        let ring = &mut self.heads.row_mut(gid)[0].ring;
        if ring.is_full(more) {
            let moved = ring.compact();
            ring.reserve(more);
            self.shift(gid, moved);
        }
    }

    pub(super) fn shift(&mut self, gid: u32, moved: u32) {
        for cursors in self.cursors.row_mut(gid) {
            cursors.start -= moved;
            cursors.end -= moved;
        }
    }

    /// Calls `each` with one accumulator's part of every entry in a window, oldest first.
    pub(super) fn each_part(&self, gid: u32, frame: usize, wanted: usize, each: &mut dyn FnMut(&[u8])) {
        let ring = &self.heads.row(gid)[0].ring;
        let cursors = self.cursors.row(gid)[frame];
        let mut entry = cursors.start;
        while entry < cursors.end {
            let (_, mut at) = ring.gap(entry);
            for (index, acc) in self.accs.iter().enumerate() {
                let start = at;
                acc.kind.skip(&ring.bytes, &mut at);
                if index == wanted {
                    each(&ring.bytes[start..at]);
                }
            }
            entry = at as u32;
        }
    }

    pub(super) fn remove(&mut self, gid: u32) {
        if self.heads.get(gid).is_none() {
            return;
        }
        self.heap -= self.group_heap(gid);
        self.heads.row_mut(gid)[0] = Head::default();
        self.cursors.row_mut(gid).fill(Cursors::default());
        self.totals.row_mut(gid).fill(0);
        self.spans.row_mut(gid).fill(LogSpan::default());
        self.extremes.row_mut(gid).fill(None);
        for histogram in &mut self.histograms {
            histogram.windows.row_mut(gid)[0] = SampleWindow::default();
        }
    }

    /// Gives back the rows around `gid`, all of them removed.
    pub(super) fn release(&mut self, gid: u32) {
        self.heads.release(gid);
        self.cursors.release(gid);
        self.totals.release(gid);
        self.spans.release(gid);
        self.extremes.release(gid);
        self.histograms.iter_mut().for_each(|histogram| histogram.windows.release(gid));
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let rows = self.heads.heap_bytes()
            + self.cursors.heap_bytes()
            + self.totals.heap_bytes()
            + self.spans.heap_bytes()
            + self.extremes.heap_bytes();
        let histograms =
            self.histograms.iter().map(|h| size_of::<Histogram>() + h.windows.heap_bytes() + h.shape.heap_bytes());
        let scratch = self.due.heap_bytes() + self.coming.capacity() * 4 + self.entry.capacity();
        self.heap + rows + histograms.sum::<usize>() + self.wheel.heap_bytes() + scratch
    }
}

pub(super) fn samples_of(part: &[u8]) -> SampleSet<'_> {
    SampleSet::decode(part, &mut 0).expect("partials hold whole parts")
}
