//! The samples of one group's closed panes, kept as its traffic deserves.
//!
//! | tier | samples kept | panes | what a window counts |
//! | --- | --- | --- | --- |
//! | quiet | up to 1,024 | one log of 16-bit bucket indexes in order of pane | nothing: it *is* a slice of the log |
//! | middle | up to 8,192 (32,768 at 3 digits) | the same log | coarse totals, a power of two of buckets each |
//! | busy | more | each pane as runs of (gap, count) bytes | coarse totals and one dense counter a bucket |
//!
//! In the log a pane is a number of samples, so a window moves by moving two indexes, and eviction moves the front. A
//! threshold is judged by counting the slice (quiet), or by the coarse totals and, only where the threshold's own coarse
//! bucket decides, that bucket (middle: the slice again; busy: its dense counters). Totals follow panes: added when a
//! pane enters a window, subtracted when it leaves, so no query and no step looks at all panes of a window.
//!
//! Which panes lie in which window is the strand's knowledge; here come only the resulting steps.
//!
//! - `Q1` in quiet and middle, `log[span]` are exactly the samples of the panes in that window
//! - `Q2` in middle and busy, totals equal the sum over the panes in their window
//! - `Q3` tiers differ in cost, never in an answer

use std::collections::VecDeque;

use super::codec::{RunWriter, Runs, samples};
use super::counts::Counts;
use super::histogram::{Geometry, QuantileTest, rank};
use super::partial::{SampleForm, SampleSet};
use super::storage::roomy;

/// Where the tiers meet. A group goes up above these and comes down again well below, so that it does not flutter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TierLimits {
    /// Samples a quiet group has at most: coarse totals pay beyond.
    pub(super) quiet: usize,
    /// Samples a log holds at most: one of more would take more memory than dense counters and runs do.
    pub(super) log: usize,
}

impl TierLimits {
    pub(super) fn of(geometry: &Geometry) -> TierLimits {
        TierLimits { quiet: 1024, log: if geometry.digits() < 3 { 8 << 10 } else { 32 << 10 } }
    }
}

/// Coarse buckets a total has at most.
const COARSE_MAX: usize = 192;

/// Buckets in a coarse bucket at most: 65,536 buckets make 128 coarse ones.
const COARSE_WIDTH_MAX: usize = 512;

/// What all groups of one histogram share.
#[derive(Debug)]
pub(super) struct SampleShape {
    pub(super) geometry: Geometry,
    /// Windows over this histogram.
    pub(super) frames: usize,
    /// log2 of the buckets in a coarse bucket.
    shift: u32,
    limits: TierLimits,
    scratch: Scratch,
}

#[derive(Debug)]
struct Scratch {
    counts: Counts,
    sorted: Vec<u16>,
    runs: Vec<u8>,
}

impl SampleShape {
    pub(super) fn new(geometry: Geometry, frames: usize, limits: TierLimits) -> SampleShape {
        let shift = (0..16).find(|shift| geometry.buckets() >> shift <= COARSE_MAX).expect("buckets fit 16 bits");
        let scratch = Scratch { counts: Counts::new(0), sorted: Vec::new(), runs: Vec::new() };
        SampleShape { geometry, frames, shift, limits, scratch }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.scratch.counts.heap_bytes() + self.scratch.sorted.capacity() * 2 + self.scratch.runs.capacity()
    }

    fn coarse_len(&self) -> usize {
        (self.geometry.buckets() >> self.shift) + 1
    }
}

impl Scratch {
    /// The set as runs.
    fn runs_of<'a>(&'a mut self, geometry: &Geometry, set: &SampleSet<'a>) -> &'a [u8] {
        match set.form {
            SampleForm::Runs(runs) => runs,
            SampleForm::Log(log) => self.runs_of_samples(geometry, samples(log)),
        }
    }

    fn runs_of_samples(&mut self, geometry: &Geometry, samples: impl ExactSizeIterator<Item = u16>) -> &[u8] {
        self.runs.clear();
        if samples.len() < 256 {
            self.sorted.clear();
            self.sorted.extend(samples);
            self.sorted.sort_unstable();
            let mut writer = RunWriter::new(&mut self.runs);
            self.sorted.chunk_by(|a, b| a == b).for_each(|equal| writer.push(equal[0], equal.len() as u64));
        } else {
            if self.counts.heap_bytes() == 0 {
                self.counts = Counts::new(geometry.buckets());
            }
            self.counts.add_samples(samples);
            self.counts.drain_runs(&mut self.runs);
        }
        &self.runs
    }
}

/// Where one window's samples stand in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LogSpan {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// The samples of one group's closed panes.
#[derive(Clone, Debug, Default)]
pub(super) struct SampleWindow {
    log: Vec<u16>,
    /// Samples before this one are gone.
    front: u32,
    upper: Option<Box<Upper>>,
}

/// What the middle and the busy tier have beside the log.
#[derive(Clone, Debug)]
struct Upper {
    /// By window.
    totals: Vec<Total>,
    busy: Option<BusyPanes>,
}

#[derive(Clone, Debug)]
struct Total {
    samples: u64,
    coarse: Box<[u64]>,
    /// Only in the busy tier.
    fine: Option<Counts>,
}

#[derive(Clone, Debug, Default)]
struct BusyPanes {
    panes: VecDeque<RunPane>,
    samples: u64,
    run_bytes: usize,
}

#[derive(Clone, Debug)]
struct RunPane {
    pane: i64,
    samples: u64,
    runs: Box<[u8]>,
}

impl Total {
    fn new(shape: &SampleShape, fine: bool) -> Total {
        let fine = fine.then(|| Counts::new(shape.geometry.buckets()));
        Total { samples: 0, coarse: vec![0; shape.coarse_len()].into(), fine }
    }

    fn add_runs(&mut self, shift: u32, samples: u64, runs: &[u8]) {
        self.samples += samples;
        Runs::new(runs).for_each(|(bucket, count)| self.coarse[usize::from(bucket >> shift)] += count);
        if let Some(fine) = &mut self.fine {
            fine.reserve(self.samples);
            fine.add_runs(Runs::new(runs));
        }
    }

    fn subtract_runs(&mut self, shift: u32, samples: u64, runs: &[u8]) {
        self.samples -= samples;
        Runs::new(runs).for_each(|(bucket, count)| self.coarse[usize::from(bucket >> shift)] -= count);
        if let Some(fine) = &mut self.fine {
            fine.subtract_runs(Runs::new(runs));
        }
    }

    fn add_log(&mut self, shift: u32, log: &[u16]) {
        self.samples += log.len() as u64;
        log.iter().for_each(|bucket| self.coarse[usize::from(bucket >> shift)] += 1);
        if let Some(fine) = &mut self.fine {
            fine.add_samples(log.iter().copied());
        }
    }

    fn subtract_log(&mut self, shift: u32, log: &[u16]) {
        self.samples -= log.len() as u64;
        log.iter().for_each(|bucket| self.coarse[usize::from(bucket >> shift)] -= 1);
    }

    /// The coarse bucket at which `rank` samples are reached, and how many of them lie in it.
    fn coarse_at(&self, rank: u64) -> (usize, u64) {
        let mut left = rank;
        for (coarse, count) in self.coarse.iter().enumerate() {
            if *count >= left {
                return (coarse, left);
            }
            left -= count;
        }
        unreachable!("the rank is at most the number of samples")
    }

    fn heap_bytes(&self) -> usize {
        self.coarse.len() * 8 + self.fine.as_ref().map_or(0, Counts::heap_bytes)
    }
}

impl SampleWindow {
    fn busy_mut(&mut self) -> Option<(&mut Vec<Total>, &mut BusyPanes)> {
        let upper = self.upper.as_deref_mut()?;
        Some((&mut upper.totals, upper.busy.as_mut()?))
    }

    pub(super) fn is_busy(&self) -> bool {
        self.upper.as_ref().is_some_and(|upper| upper.busy.is_some())
    }

    /// Samples kept, in windows or not.
    pub(super) fn samples(&self) -> u64 {
        match &self.upper {
            Some(upper) if upper.busy.is_some() => upper.busy.as_ref().map_or(0, |busy| busy.samples),
            _ => (self.log.len() - self.front as usize) as u64,
        }
    }

    /// Where the samples kept begin in the log.
    pub(super) fn front(&self) -> u32 {
        self.front
    }

    /// Whether the log cannot take so many more: [`SampleWindow::promote`] before adding them.
    #[inline]
    pub(super) fn must_promote(&self, shape: &SampleShape, more: u64) -> bool {
        !self.is_busy() && self.samples() + more > shape.limits.log as u64
    }

    /// Asks for the end of the log.
    #[inline]
    pub(super) fn prefetch(&self) {
        super::storage::prefetch(self.log.as_ptr().wrapping_add(self.log.len()));
        super::storage::prefetch(self.log.as_ptr().wrapping_add(self.front as usize));
    }

    /// Takes samples of the newest pane in. No window holds that pane yet.
    pub(super) fn append(&mut self, shape: &mut SampleShape, spans: &mut [LogSpan], pane: i64, set: &SampleSet) {
        if let Some((_, busy)) = self.busy_mut() {
            let runs = shape.scratch.runs_of(&shape.geometry, set);
            return busy.add(pane, set.samples, runs);
        }
        self.make_room(spans, set.samples as usize);
        match set.form {
            SampleForm::Log(log) => self.log.extend(samples(log)),
            SampleForm::Runs(runs) => self.log.extend(expanded(runs)),
        }
        if self.upper.is_none() && self.samples() > shape.limits.quiet as u64 {
            self.count_coarsely(shape, spans);
        }
    }

    /// Takes samples in for a pane that windows (`frames`) may hold already. In the log they go behind the first
    /// `before` samples kept, the end of that pane's; the spans are stale afterwards.
    pub(super) fn insert(
        &mut self,
        shape: &mut SampleShape,
        spans: &mut [LogSpan],
        before: usize,
        pane: i64,
        set: &SampleSet,
        frames: impl Iterator<Item = usize>,
    ) {
        let shift = shape.shift;
        if let Some((totals, busy)) = self.busy_mut() {
            let runs = shape.scratch.runs_of(&shape.geometry, set);
            frames.for_each(|frame| totals[frame].add_runs(shift, set.samples, runs));
            return busy.add(pane, set.samples, runs);
        }
        self.make_room(spans, set.samples as usize);
        let position = self.front as usize + before;
        let runs_or_log: Vec<u16> = match set.form {
            SampleForm::Log(log) => samples(log).collect(),
            SampleForm::Runs(runs) => expanded(runs).collect(),
        };
        if let Some(upper) = &mut self.upper {
            frames.for_each(|frame| upper.totals[frame].add_log(shift, &runs_or_log));
        }
        self.log.splice(position..position, runs_or_log);
    }

    /// The next pane, of `count` samples, enters a window.
    #[inline]
    pub(super) fn enter(&mut self, shape: &SampleShape, frame: usize, span: &mut LogSpan, pane: i64, count: u64) {
        if self.upper.is_some() && self.enter_upper(shape, frame, span, pane, count) {
            return;
        }
        span.end += count as u32;
    }

    /// Whether that was all there is to do.
    fn enter_upper(&mut self, shape: &SampleShape, frame: usize, span: &LogSpan, pane: i64, count: u64) -> bool {
        if let Some((totals, busy)) = self.busy_mut() {
            if let Some(pane) = busy.find(pane) {
                totals[frame].add_runs(shape.shift, pane.samples, &pane.runs);
            }
            return true;
        }
        if let Some(upper) = &mut self.upper {
            let end = span.end as usize;
            upper.totals[frame].add_log(shape.shift, &self.log[end..end + count as usize]);
        }
        false
    }

    /// The first pane of a window, of `count` samples, leaves it.
    #[inline]
    pub(super) fn leave(&mut self, shape: &SampleShape, frame: usize, span: &mut LogSpan, pane: i64, count: u64) {
        if self.upper.is_some() && self.leave_upper(shape, frame, span, pane, count) {
            return;
        }
        span.start += count as u32;
    }

    fn leave_upper(&mut self, shape: &SampleShape, frame: usize, span: &LogSpan, pane: i64, count: u64) -> bool {
        if let Some((totals, busy)) = self.busy_mut() {
            if let Some(pane) = busy.find(pane) {
                totals[frame].subtract_runs(shape.shift, pane.samples, &pane.runs);
            }
            return true;
        }
        if let Some(upper) = &mut self.upper {
            let start = span.start as usize;
            upper.totals[frame].subtract_log(shape.shift, &self.log[start..start + count as usize]);
        }
        false
    }

    /// Forgets the panes before `pane`, the samples before `position`.
    #[inline]
    pub(super) fn evict(&mut self, pane: i64, position: u32) {
        if let Some((_, busy)) = self.busy_mut() {
            return busy.evict(pane);
        }
        self.front = position;
    }

    /// Gives back what the tier no longer needs. Busy groups that calmed down want [`SampleWindow::demote`].
    #[inline]
    pub(super) fn settle(&mut self, shape: &SampleShape, spans: &mut [LogSpan]) {
        if self.is_busy() {
            return;
        }
        let kept = self.log.len() - self.front as usize;
        if kept == 0 {
            if self.log.capacity() > 0 {
                *self = SampleWindow::default();
                spans.fill(LogSpan::default());
            }
            return;
        }
        if self.upper.is_some() && kept < shape.limits.quiet / 2 {
            self.upper = None;
        }
        if self.log.capacity() > 64 && kept < self.log.capacity() / 8 * 5 {
            self.compact(spans);
            self.log.shrink_to(roomy((kept + kept / 16) * 2) / 2);
        }
    }

    pub(super) fn should_demote(&self, shape: &SampleShape) -> bool {
        self.is_busy() && self.samples() <= (shape.limits.log / 4) as u64
    }

    /// Room for `more` samples at the end: what is gone makes room first, then the log grows.
    fn make_room(&mut self, spans: &mut [LogSpan], more: usize) {
        if self.log.len() + more <= self.log.capacity() {
            return;
        }
        self.compact(spans);
        let needed = self.log.len() + more;
        // Some slack, or a full log would be compacted for every pane.
        let slack = needed / 16;
        if needed + slack > self.log.capacity() {
            let room = roomy((needed + slack) * 2) / 2;
            self.log.reserve_exact(room - self.log.len());
        }
    }

    fn compact(&mut self, spans: &mut [LogSpan]) {
        self.log.drain(..self.front as usize);
        for span in spans {
            span.start = span.start.saturating_sub(self.front);
            span.end = span.end.saturating_sub(self.front);
        }
        self.front = 0;
    }

    /// Quiet → middle.
    fn count_coarsely(&mut self, shape: &SampleShape, spans: &[LogSpan]) {
        let totals = self.totals_of_log(shape, spans, false);
        self.upper = Some(Box::new(Upper { totals, busy: None }));
    }

    fn totals_of_log(&self, shape: &SampleShape, spans: &[LogSpan], fine: bool) -> Vec<Total> {
        let total = |span: &LogSpan| {
            let mut total = Total::new(shape, fine);
            total.add_log(shape.shift, &self.log[span.start as usize..span.end as usize]);
            total
        };
        spans.iter().map(total).collect()
    }

    /// To the busy tier. `panes` are all panes kept, with their samples.
    pub(super) fn promote(
        &mut self,
        shape: &mut SampleShape,
        spans: &[LogSpan],
        panes: impl Iterator<Item = (i64, u64)>,
    ) {
        let totals = self.totals_of_log(shape, spans, true);
        let mut busy = BusyPanes::default();
        let mut at = self.front as usize;
        for (pane, count) in panes.filter(|(_, count)| *count > 0) {
            let log = &self.log[at..at + count as usize];
            let runs = shape.scratch.runs_of_samples(&shape.geometry, log.iter().copied());
            busy.add(pane, count, runs);
            at += count as usize;
        }
        *self = SampleWindow { log: Vec::new(), front: 0, upper: Some(Box::new(Upper { totals, busy: Some(busy) })) };
    }

    /// From the busy tier back to a log; the spans are stale afterwards.
    pub(super) fn demote(&mut self) {
        let Some(busy) = self.upper.take().and_then(|upper| upper.busy) else { return };
        let kept = busy.samples as usize;
        let mut log = Vec::with_capacity(roomy((kept + kept / 16) * 2) / 2);
        busy.panes.iter().for_each(|pane| log.extend(expanded(&pane.runs)));
        *self = SampleWindow { log, front: 0, upper: None };
    }

    /// After [`SampleWindow::demote`], with fresh spans: whatever totals the log's length asks for.
    pub(super) fn recount(&mut self, shape: &SampleShape, spans: &[LogSpan]) {
        if !self.is_busy() && self.samples() > shape.limits.quiet as u64 {
            self.count_coarsely(shape, spans);
        }
    }

    /// Samples in a window.
    #[inline]
    pub(super) fn count(&self, frame: usize, span: LogSpan) -> u64 {
        match &self.upper {
            Some(upper) if upper.busy.is_some() => upper.totals[frame].samples,
            _ => u64::from(span.end - span.start),
        }
    }

    /// The bucket of a quantile; `None` where the window is empty.
    pub(super) fn quantile(&self, shape: &SampleShape, frame: usize, span: LogSpan, quantile: f64) -> Option<u16> {
        let count = self.count(frame, span);
        if count == 0 {
            return None;
        }
        let rank = rank(quantile, count);
        let log = self.log.get(span.start as usize..span.end as usize).unwrap_or_default();
        let Some(upper) = &self.upper else { return Some(select(log, rank)) };
        let total = &upper.totals[frame];
        let (coarse, rank) = total.coarse_at(rank);
        let start = coarse << shape.shift;
        match &total.fine {
            Some(fine) => Some(fine.bucket_at(start, rank)),
            None => Some(select_within(log, start as u16, shape.shift, rank)),
        }
    }

    /// Judges by counting; `None` where the window is empty.
    pub(super) fn judge(&self, shape: &SampleShape, frame: usize, span: LogSpan, test: &QuantileTest) -> Option<bool> {
        let count = self.count(frame, span);
        if count == 0 {
            return None;
        }
        let cut = test.cut() as usize;
        let log = self.log.get(span.start as usize..span.end as usize).unwrap_or_default();
        let Some(upper) = &self.upper else { return Some(test.judge(count, count_in(log, 0, cut))) };
        let total = &upper.totals[frame];
        let coarse = cut >> shape.shift;
        let surely = total.coarse[..coarse].iter().sum::<u64>();
        let perhaps = total.coarse.get(coarse).copied().unwrap_or(0);
        let (least, most) = (test.judge(count, surely), test.judge(count, surely + perhaps));
        if least == most {
            return Some(least);
        }
        let start = coarse << shape.shift;
        let inside = match &total.fine {
            Some(fine) => fine.sum(start, cut),
            None => count_in(log, start, cut),
        };
        Some(test.judge(count, surely + inside))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let upper = self.upper.as_ref().map_or(0, |upper| {
            let totals: usize = upper.totals.iter().map(Total::heap_bytes).sum();
            let busy = upper.busy.as_ref().map_or(0, BusyPanes::heap_bytes);
            size_of::<Upper>() + upper.totals.capacity() * size_of::<Total>() + totals + busy
        });
        self.log.capacity() * 2 + upper
    }
}

impl BusyPanes {
    fn find(&self, pane: i64) -> Option<&RunPane> {
        self.panes.binary_search_by_key(&pane, |kept| kept.pane).ok().map(|at| &self.panes[at])
    }

    fn add(&mut self, pane: i64, samples: u64, runs: &[u8]) {
        if samples == 0 {
            return;
        }
        self.samples += samples;
        match self.panes.binary_search_by_key(&pane, |kept| kept.pane) {
            Err(at) => {
                self.run_bytes += runs.len();
                self.panes.insert(at, RunPane { pane, samples, runs: runs.into() });
            }
            Ok(at) => {
                let kept = &mut self.panes[at];
                let merged = merge_runs(&kept.runs, runs);
                self.run_bytes = self.run_bytes + merged.len() - kept.runs.len();
                kept.samples += samples;
                kept.runs = merged.into();
            }
        }
    }

    fn evict(&mut self, before: i64) {
        while let Some(first) = self.panes.front().filter(|first| first.pane < before) {
            self.samples -= first.samples;
            self.run_bytes -= first.runs.len();
            self.panes.pop_front();
        }
    }

    fn heap_bytes(&self) -> usize {
        self.panes.capacity() * size_of::<RunPane>() + self.run_bytes
    }
}

fn expanded(runs: &[u8]) -> impl Iterator<Item = u16> + '_ {
    Runs::new(runs).flat_map(|(bucket, count)| std::iter::repeat_n(bucket, count as usize))
}

fn merge_runs(left: &[u8], right: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(left.len() + right.len());
    let mut writer = RunWriter::new(&mut out);
    let (mut left, mut right) = (Runs::new(left).peekable(), Runs::new(right).peekable());
    loop {
        let (bucket, count) = match (left.peek().copied(), right.peek().copied()) {
            (None, None) => return out,
            (Some(run), None) => left.next().unwrap_or(run),
            (None, Some(run)) => right.next().unwrap_or(run),
            (Some(a), Some(b)) if a.0 == b.0 => {
                left.next();
                right.next();
                (a.0, a.1 + b.1)
            }
            (Some(a), Some(b)) if a.0 < b.0 => left.next().unwrap_or(a),
            (Some(_), Some(b)) => right.next().unwrap_or(b),
        };
        writer.push(bucket, count);
    }
}

/// Samples in buckets `start..end`. Sixteen-bit lanes, so that plain SSE2 counts eight at a time.
fn count_in(log: &[u16], start: usize, end: usize) -> u64 {
    let Some(width) = (end - start).checked_sub(1) else { return 0 };
    let (start, width) = (start as u16, width.min(usize::from(u16::MAX)) as u16);
    let inside = |chunk: &[u16]| chunk.iter().map(|bucket| u16::from(bucket.wrapping_sub(start) <= width)).sum::<u16>();
    log.chunks(1 << 14).map(|chunk| u64::from(inside(chunk))).sum()
}

/// The `rank`-th smallest bucket of the log.
fn select(log: &[u16], rank: u64) -> u16 {
    let mut copy = [0u16; 1024];
    let at = rank as usize - 1;
    match copy.get_mut(..log.len()) {
        Some(copy) => {
            copy.copy_from_slice(log);
            *copy.select_nth_unstable(at).1
        }
        None => *log.to_vec().select_nth_unstable(at).1,
    }
}

/// The `rank`-th smallest bucket of those in one coarse bucket.
fn select_within(log: &[u16], start: u16, shift: u32, rank: u64) -> u16 {
    let mut fine = [0u32; COARSE_WIDTH_MAX];
    for bucket in log {
        if bucket >> shift == start >> shift {
            fine[usize::from(bucket - start)] += 1;
        }
    }
    let mut left = rank;
    for (offset, count) in fine.iter().enumerate() {
        if u64::from(*count) >= left {
            return start + offset as u16;
        }
        left -= u64::from(*count);
    }
    unreachable!("the rank is at most the samples of the coarse bucket")
}
