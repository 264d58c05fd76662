//! The samples of one group's closed panes, kept as its traffic deserves.
//!
//! | tier | samples in the window | kept as | totals of a window |
//! | --- | --- | --- | --- |
//! | quiet | up to 1,024 | a log of 16-bit bucket indexes in order of pane | none: a window *is* a slice of the log |
//! | middle | more | the log | coarse: a power of two of buckets each |
//! | dense | over 4,096 (32,768 at 3 digits), and looked into | the log | coarse, and one counter a bucket |
//! | busy | over 4,096, 256 a pane on average | each pane as runs of (gap, count) | coarse, and one counter a bucket |
//!
//! In the log a pane is a number of samples, so a window moves by moving two indexes, and eviction moves the front.
//! Totals follow panes: added when a pane enters a window, subtracted when it leaves, so no step looks at all panes of a
//! window. A threshold is judged by counting the slice (quiet), or by the coarse totals and, only where the threshold's
//! own coarse bucket decides, by what is in that bucket. Runs are smaller than a log only where many samples of a pane
//! share a bucket, and cost more to add and subtract: hence the bound on samples a pane, not on samples.
//!
//! One counter a bucket is 6.7 KB a window at two digits, and two cache misses in the life of nearly every sample. The
//! longer the window, the more groups have samples enough to want it, and the cost of an event would grow with the
//! length of the window. Coarse totals are four lines that all samples share, fetched ahead, and they decide nearly
//! every threshold. So a group counts single buckets only while somebody looks into them: a quantile is read, or a
//! threshold was too near to tell. The first look scans the log, and the next step makes the counters.
//!
//! Which panes lie in which window is the strand's knowledge; here come only the resulting steps.
//!
//! - `Q1` but in the busy tier, `log[span]` are exactly the samples of the panes in that window
//! - `Q2` from the middle tier on, totals equal the sum over the panes in their window
//! - `Q3` tiers differ in cost, never in an answer

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};

use smallvec::SmallVec;

use super::codec::{RunWriter, Runs, samples};
use super::counts::{Counts, Total};
use super::histogram::{Geometry, QuantileTest, rank};
use super::log::SampleLog;
use super::partial::{SampleForm, SampleSet};
use super::storage::prefetch;

/// Where the tiers meet. A group goes up above these and comes down below half of them, so that it does not flutter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TierLimits {
    /// Samples a quiet group has at most: coarse totals pay beyond.
    pub(super) quiet: usize,
    /// Samples beyond which one counter a bucket pays, where somebody looks.
    pub(super) middle: usize,
    /// Samples a pane from which runs pay.
    pub(super) runs: usize,
    /// Steps without a look into single buckets after which they are no longer counted. A step counts two panes, to
    /// begin anew is to count all of a window: this is right for windows of some sixty panes.
    pub(super) unread: u8,
}

impl TierLimits {
    pub(super) fn of(geometry: &Geometry) -> TierLimits {
        let middle = if geometry.digits() < 3 { 4 << 10 } else { 32 << 10 };
        TierLimits { quiet: 1024, middle, runs: 256, unread: 30 }
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
}

impl Scratch {
    /// The set as runs.
    fn runs_of<'a>(&'a mut self, geometry: &Geometry, set: &SampleSet<'a>) -> &'a [u8] {
        match set.form {
            SampleForm::Runs(runs) => runs,
            SampleForm::Log(log) => self.runs_of_samples(geometry, log.len() / 2, samples(log)),
        }
    }

    fn runs_of_samples(&mut self, geometry: &Geometry, count: usize, samples: impl Iterator<Item = u16>) -> &[u8] {
        self.runs.clear();
        if count < 128 {
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

/// Where one window's samples stand in the log, counted from the oldest kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LogSpan {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// The samples of one group's closed panes.
#[derive(Clone, Debug, Default)]
pub(super) struct SampleWindow {
    log: SampleLog,
    upper: Option<Box<Upper>>,
}

/// What all tiers but the quiet one have beside the log, or instead of it.
#[derive(Clone, Debug)]
struct Upper {
    /// By window; of one window, the usual case, without another hop.
    totals: Totals,
    unread: Unread,
    busy: Option<BusyPanes>,
}

type Totals = SmallVec<[Total; 1]>;

/// Steps since somebody looked into single buckets. A hint about cost (`Q3`) that readers leave, hence the atomic.
#[derive(Debug)]
struct Unread(AtomicU8);

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

impl Unread {
    const NEVER_READ: u8 = u8::MAX;

    #[inline]
    fn read(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// How many steps there were before this one.
    #[inline]
    fn step(&mut self) -> u8 {
        let steps = *self.0.get_mut();
        *self.0.get_mut() = steps.saturating_add(1);
        steps
    }
}

impl Default for Unread {
    fn default() -> Self {
        Unread(AtomicU8::new(Self::NEVER_READ))
    }
}

impl Clone for Unread {
    fn clone(&self) -> Self {
        Unread(AtomicU8::new(self.0.load(Ordering::Relaxed)))
    }
}

impl SampleWindow {
    fn busy_mut(&mut self) -> Option<(&mut Totals, &mut BusyPanes)> {
        let upper = self.upper.as_deref_mut()?;
        Some((&mut upper.totals, upper.busy.as_mut()?))
    }

    fn busy(&self) -> Option<&BusyPanes> {
        self.upper.as_ref()?.busy.as_ref()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy().is_some()
    }

    /// Samples kept, in windows or not.
    pub(super) fn samples(&self) -> u64 {
        self.busy().map_or(self.log.len() as u64, |busy| busy.samples)
    }

    /// Asks for both ends of the log.
    #[inline]
    pub(super) fn prefetch(&self) {
        self.log.prefetch();
        if let Some(upper) = self.upper.as_deref() {
            prefetch(upper);
            prefetch(&raw const upper.busy);
        }
    }

    /// Asks for the coarse counters.
    #[inline]
    pub(super) fn prefetch_totals(&self) {
        if let Some(upper) = self.upper.as_deref() {
            upper.totals.iter().for_each(Total::prefetch);
        }
    }

    /// Whether so many samples of one pane may ask for the busy tier: [`SampleWindow::promote`] before adding them.
    #[inline]
    pub(super) fn may_promote(&self, shape: &SampleShape, more: u64) -> bool {
        more >= 2 * shape.limits.runs as u64 && !self.is_busy() && self.samples() + more > shape.limits.middle as u64
    }

    /// Takes samples of the newest pane in. No window holds that pane yet.
    #[inline]
    pub(super) fn append(&mut self, shape: &mut SampleShape, spans: &[LogSpan], pane: i64, set: &SampleSet) {
        if self.upper.is_some()
            && let Some((_, busy)) = self.busy_mut()
        {
            let runs = shape.scratch.runs_of(&shape.geometry, set);
            return busy.add(pane, set.samples, runs);
        }
        match set.form {
            SampleForm::Log(log) => self.log.extend_bytes(log),
            SampleForm::Runs(runs) => self.log.extend(expanded(runs)),
        }
        self.recount(shape, spans);
    }

    /// Takes samples in for a pane that windows (`frames`) may hold already. In the log they go behind the first
    /// `before` samples, the end of that pane's; the spans are stale afterwards.
    pub(super) fn insert(
        &mut self,
        shape: &mut SampleShape,
        before: usize,
        pane: i64,
        set: &SampleSet,
        frames: impl Iterator<Item = usize>,
    ) {
        if let Some((totals, busy)) = self.busy_mut() {
            let runs = shape.scratch.runs_of(&shape.geometry, set);
            frames.for_each(|frame| totals[frame].add_runs(set.samples, runs));
            return busy.add(pane, set.samples, runs);
        }
        let more: Vec<u16> = match set.form {
            SampleForm::Log(log) => samples(log).collect(),
            SampleForm::Runs(runs) => expanded(runs).collect(),
        };
        if let Some(upper) = &mut self.upper {
            frames.for_each(|frame| upper.totals[frame].add_log(&more));
        }
        self.log.insert(before, &more);
    }

    /// The next pane, of `count` samples, enters a window.
    #[inline]
    pub(super) fn enter(&mut self, frame: usize, span: &mut LogSpan, pane: i64, count: u64) {
        let entered = (span.end, span.end + count as u32);
        match self.upper.as_deref_mut() {
            Some(Upper { totals, busy: Some(busy), .. }) => {
                if let Some(pane) = busy.find(pane) {
                    totals[frame].add_runs(pane.samples, &pane.runs);
                }
                return;
            }
            Some(Upper { totals, .. }) => {
                let (a, b) = self.log.parts(entered.0 as usize, entered.1 as usize);
                totals[frame].add_log(a);
                totals[frame].add_log(b);
            }
            None => {}
        }
        span.end = entered.1;
    }

    /// The first pane of a window, of `count` samples, leaves it.
    #[inline]
    pub(super) fn leave(&mut self, frame: usize, span: &mut LogSpan, pane: i64, count: u64) {
        let left = (span.start, span.start + count as u32);
        match self.upper.as_deref_mut() {
            Some(Upper { totals, busy: Some(busy), .. }) => {
                if let Some(pane) = busy.find(pane) {
                    totals[frame].subtract_runs(pane.samples, &pane.runs);
                }
                return;
            }
            Some(Upper { totals, .. }) => {
                let (a, b) = self.log.parts(left.0 as usize, left.1 as usize);
                totals[frame].subtract_log(a);
                totals[frame].subtract_log(b);
            }
            None => {}
        }
        span.start = left.1;
    }

    /// Forgets the panes before `pane`: the samples before the span of the furthest-reaching window.
    #[inline]
    pub(super) fn evict(&mut self, pane: i64, spans: &mut [LogSpan], widest: usize) {
        if self.upper.is_some()
            && let Some((_, busy)) = self.busy_mut()
        {
            return busy.evict(pane);
        }
        let gone = spans[widest].start;
        self.log.drop_front(gone as usize);
        for span in spans {
            span.start -= gone;
            span.end -= gone;
        }
    }

    /// Gives back what the tier no longer needs. Busy groups that calmed down want [`SampleWindow::demote`].
    #[inline]
    pub(super) fn settle(&mut self, shape: &SampleShape, spans: &[LogSpan]) {
        if self.upper.is_some() {
            self.settle_totals(shape, spans);
        }
        if self.log.len() == 0 {
            self.log = SampleLog::default();
        }
        self.log.settle();
    }

    /// Keeps the totals that a log of this length, and those who read it, ask for.
    fn settle_totals(&mut self, shape: &SampleShape, spans: &[LogSpan]) {
        let limits = &shape.limits;
        let kept = self.log.len();
        let Some(upper @ Upper { busy: None, .. }) = self.upper.as_deref_mut() else { return };
        let unread = upper.unread.step();
        let fine = upper.totals.iter().all(Total::is_fine);
        if kept < limits.quiet / 2 {
            self.upper = None;
        } else if fine && (kept < limits.middle / 2 || unread > limits.unread) {
            upper.totals.iter_mut().for_each(Total::forget_fine);
        } else if !fine && kept > limits.middle && unread == 0 {
            let totals = self.totals_of_log(shape, spans, true);
            self.upper.as_deref_mut().expect("it was just looked at").totals = totals;
        }
    }

    /// Whether runs no longer pay.
    pub(super) fn should_demote(&self, shape: &SampleShape) -> bool {
        self.busy().is_some_and(|busy| busy.samples <= (busy.panes.len() * shape.limits.runs / 2) as u64)
    }

    /// Makes the totals that a log of this length asks for, where they are not there yet.
    #[inline]
    pub(super) fn recount(&mut self, shape: &SampleShape, spans: &[LogSpan]) {
        if self.upper.is_none() && self.log.len() > shape.limits.quiet {
            let totals = self.totals_of_log(shape, spans, false);
            self.upper = Some(Upper::boxed(totals, None));
        }
    }

    fn totals_of_log(&self, shape: &SampleShape, spans: &[LogSpan], fine: bool) -> Totals {
        let total = |span: &LogSpan| {
            let mut total = Total::new(shape.geometry.buckets(), shape.shift, fine);
            let (a, b) = self.parts(*span);
            total.add_log(a);
            total.add_log(b);
            total
        };
        spans.iter().map(total).collect()
    }

    /// To the busy tier, where so many more samples make it pay. `panes` are all panes kept, with their samples.
    pub(super) fn promote(&mut self, shape: &mut SampleShape, spans: &[LogSpan], panes: &[(i64, u64)], more: u64) {
        if self.samples() + more < ((panes.len() + 1) * shape.limits.runs) as u64 {
            return;
        }
        let totals = self.totals_of_log(shape, spans, true);
        let mut busy = BusyPanes::default();
        let mut at = 0;
        for &(pane, count) in panes.iter().filter(|(_, count)| *count > 0) {
            let (a, b) = self.log.parts(at, at + count as usize);
            at += count as usize;
            let runs = shape.scratch.runs_of_samples(&shape.geometry, a.len() + b.len(), a.iter().chain(b).copied());
            busy.add(pane, count, runs);
        }
        *self = SampleWindow { log: SampleLog::default(), upper: Some(Upper::boxed(totals, Some(busy))) };
    }

    /// From the busy tier back to a log; the spans are stale afterwards, and totals want a [`SampleWindow::recount`].
    pub(super) fn demote(&mut self) {
        let Some(busy) = self.upper.take().and_then(|upper| upper.busy) else { return };
        self.log.reserve(busy.samples as usize);
        busy.panes.iter().for_each(|pane| self.log.extend(expanded(&pane.runs)));
    }

    /// Samples in a window.
    #[inline]
    pub(super) fn count(&self, frame: usize, span: LogSpan) -> u64 {
        match &self.upper {
            Some(upper) => upper.totals[frame].samples(),
            None => u64::from(span.end - span.start),
        }
    }

    fn parts(&self, span: LogSpan) -> (&[u16], &[u16]) {
        self.log.parts(span.start as usize, span.end as usize)
    }

    /// The bucket of a quantile; `None` where the window is empty.
    pub(super) fn quantile(&self, shape: &SampleShape, frame: usize, span: LogSpan, quantile: f64) -> Option<u16> {
        let count = self.count(frame, span);
        if count == 0 {
            return None;
        }
        let rank = rank(quantile, count);
        let Some(upper) = &self.upper else { return Some(select(self.parts(span), rank)) };
        let total = &upper.totals[frame];
        let (coarse, rank) = total.reach_coarse(rank);
        let start = coarse << shape.shift;
        upper.unread.read();
        match total.is_fine() {
            true => Some(total.reach(start, rank)),
            false => Some(select_within(self.parts(span), start as u16, shape.shift, rank)),
        }
    }

    /// Judges by counting; `None` where the window is empty.
    pub(super) fn judge(&self, shape: &SampleShape, frame: usize, span: LogSpan, test: &QuantileTest) -> Option<bool> {
        let count = self.count(frame, span);
        if count == 0 {
            return None;
        }
        let cut = test.cut() as usize;
        let Some(upper) = &self.upper else { return Some(test.judge(count, count_in(self.parts(span), 0, cut))) };
        let total = &upper.totals[frame];
        let coarse = cut >> shape.shift;
        let (surely, perhaps) = total.around(coarse);
        let (least, most) = (test.judge(count, surely), test.judge(count, surely + perhaps));
        if least == most {
            return Some(least);
        }
        let start = coarse << shape.shift;
        upper.unread.read();
        let inside = match total.is_fine() {
            true => total.between(start, cut),
            false => count_in(self.parts(span), start, cut),
        };
        Some(test.judge(count, surely + inside))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.log.heap_bytes() + self.upper.as_ref().map_or(0, |upper| upper.heap_bytes())
    }
}

impl Upper {
    fn boxed(totals: Totals, busy: Option<BusyPanes>) -> Box<Upper> {
        Box::new(Upper { totals, unread: Unread::default(), busy })
    }

    fn heap_bytes(&self) -> usize {
        let totals: usize = self.totals.iter().map(Total::heap_bytes).sum();
        let busy = self.busy.as_ref().map_or(0, BusyPanes::heap_bytes);
        let spilled = if self.totals.spilled() { self.totals.capacity() * size_of::<Total>() } else { 0 };
        size_of::<Upper>() + spilled + totals + busy
    }
}

impl BusyPanes {
    /// Busy groups rarely miss a pane, so it usually stands where it would if there were no gaps.
    fn find(&self, pane: i64) -> Option<&RunPane> {
        let first = self.panes.front()?.pane;
        let likely = usize::try_from(pane.checked_sub(first)?).ok()?;
        match self.panes.get(likely) {
            Some(kept) if kept.pane == pane => Some(kept),
            _ => self.search(pane).ok().map(|at| &self.panes[at]),
        }
    }

    fn search(&self, pane: i64) -> Result<usize, usize> {
        self.panes.binary_search_by_key(&pane, |kept| kept.pane)
    }

    fn add(&mut self, pane: i64, samples: u64, runs: &[u8]) {
        if samples == 0 {
            return;
        }
        self.samples += samples;
        let newest = self.panes.back().is_none_or(|last| last.pane < pane);
        let place = if newest { Err(self.panes.len()) } else { self.search(pane) };
        match place {
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
#[inline]
fn count_in(log: (&[u16], &[u16]), start: usize, end: usize) -> u64 {
    let Some(width) = (end - start).checked_sub(1) else { return 0 };
    let (start, width) = (start as u16, width.min(usize::from(u16::MAX)) as u16);
    let inside = |chunk: &[u16]| chunk.iter().map(|bucket| u16::from(bucket.wrapping_sub(start) <= width)).sum::<u16>();
    let chunks = log.0.chunks(1 << 14).chain(log.1.chunks(1 << 14));
    chunks.map(|chunk| u64::from(inside(chunk))).sum()
}

/// The `rank`-th smallest bucket of the log.
fn select((a, b): (&[u16], &[u16]), rank: u64) -> u16 {
    let mut copy = [0u16; 1024];
    let (at, count) = (rank as usize - 1, a.len() + b.len());
    match copy.get_mut(..count) {
        Some(copy) => {
            copy[..a.len()].copy_from_slice(a);
            copy[a.len()..].copy_from_slice(b);
            *copy.select_nth_unstable(at).1
        }
        None => *[a, b].concat().select_nth_unstable(at).1,
    }
}

/// Samples looked at together: few lie in one coarse bucket, and plain SSE2 passes over these quickly.
const STRIDE: usize = 32;

/// The `rank`-th smallest bucket of those in one coarse bucket, which begins at `start`.
fn select_within((a, b): (&[u16], &[u16]), start: u16, shift: u32, rank: u64) -> u16 {
    let mut fine = [0u32; COARSE_WIDTH_MAX];
    let inside = |bucket: u16| bucket.wrapping_sub(start) >> shift == 0;
    for chunk in a.chunks(STRIDE).chain(b.chunks(STRIDE)) {
        if chunk.iter().fold(false, |any, bucket| any | inside(*bucket)) {
            chunk.iter().filter(|bucket| inside(**bucket)).for_each(|bucket| fine[usize::from(bucket - start)] += 1);
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
