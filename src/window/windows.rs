//! Stage 2: closed panes and the sliding windows over them, in the shard that owns the group.

use std::sync::Arc;

use super::bits::BitSet;
use super::distinct::{DistinctSet, DistinctUnion};
use super::histogram::{Cmp, QuantileTest};
use super::moments::Moments;
use super::partial::{PanePartial, decode_last, later};
use super::plan::{AccSpec, WindowPlan};
use super::ring::{NEVER, PartKind};
use super::storage::page_of;
use super::strand::{FrameOp, Strand};
use super::tiers::TierLimits;
use super::topk::{TopK, TopValues};

/// Windows of all groups of one plan.
///
/// Panes come as partials, in any order, for any pane that is still kept; [`Windows::advance_to`] says which panes are
/// complete, and windows end there. What is asked afterwards is about that moment.
#[derive(Debug)]
pub struct Windows {
    plan: Arc<WindowPlan>,
    pub(super) strands: Vec<Strand>,
    views: Vec<View>,
    now: i64,
    /// Groups with rows.
    known: BitSet,
    /// Groups with rows on each page.
    page_groups: Vec<u16>,
    /// Groups of which a window changed.
    touched: BitSet,
}

/// Where a view's answers are.
#[derive(Clone, Copy, Debug)]
struct View {
    strand: usize,
    frame: usize,
    /// The strand's number of the accumulator.
    acc: usize,
    op: FrameOp,
}

impl Windows {
    pub fn new(plan: Arc<WindowPlan>) -> Windows {
        Windows::with_limits(plan, None)
    }

    pub(super) fn with_limits(plan: Arc<WindowPlan>, limits: Option<TierLimits>) -> Windows {
        let mut retentions: Vec<u32> = (0..plan.accs.len()).map(|acc| plan.retention(acc)).filter(|r| *r > 0).collect();
        retentions.sort_unstable();
        retentions.dedup();
        if retentions.is_empty() {
            retentions.push(0);
        }
        let strands: Vec<Strand> = retentions.iter().map(|retention| Strand::new(&plan, *retention, limits)).collect();
        let place = |view: &super::plan::ViewSpec| {
            let of = |strand: &Strand| strand.index_of(view.acc);
            let strand =
                strands.iter().position(|strand| of(strand).is_some()).expect("viewed accumulators have a strand");
            let acc = of(&strands[strand]).expect("it was just found");
            let frame = strands[strand].frame(view.panes, view.offset);
            View { strand, frame, acc, op: strands[strand].ops[frame][acc] }
        };
        let views = plan.views.iter().map(place).collect();
        Windows {
            views,
            strands,
            plan,
            now: i64::MIN,
            known: BitSet::default(),
            page_groups: Vec::new(),
            touched: BitSet::default(),
        }
    }

    pub fn plan(&self) -> &Arc<WindowPlan> {
        &self.plan
    }

    /// The last complete pane; `i64::MIN` before the first.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// Adds to a pane of a group. Says whether any accumulator still keeps that pane; where not, nothing happened.
    pub fn merge(&mut self, gid: u32, pane: i64, partial: &PanePartial) -> bool {
        let (mut held, mut touched) = (false, false);
        for strand in &mut self.strands {
            held |= strand.merge(gid, pane, partial, &mut touched);
        }
        if touched {
            self.touched.insert(gid);
        }
        if held && self.known.insert(gid) {
            let page = page_of(gid);
            if self.page_groups.len() <= page {
                self.page_groups.resize(page + 1, 0);
            }
            self.page_groups[page] += 1;
        }
        held
    }

    /// Panes up to and including `pane` are complete: they enter windows, old ones leave. Costs what groups change.
    pub fn advance_to(&mut self, pane: i64) {
        self.now = self.now.max(pane);
        for strand in &mut self.strands {
            strand.advance_to(pane, |gid| {
                self.touched.insert(gid);
            });
        }
    }

    /// Appends the groups of which a window changed since the last call, in ascending order.
    pub fn take_touched(&mut self, gids: &mut Vec<u32>) {
        self.touched.take_some(0, usize::MAX, gids);
    }

    /// The newest pane in which the group had events, complete or not, kept or not.
    pub fn last_pane(&self, gid: u32) -> Option<i64> {
        let newest = |strand: &Strand| strand.heads.get(gid).map(|head| head.ring.last_pane);
        self.strands.iter().filter_map(newest).max().filter(|pane| *pane != NEVER)
    }

    /// Whether no pane of the group is kept.
    pub fn is_empty(&self, gid: u32) -> bool {
        self.strands.iter().all(|strand| strand.heads.get(gid).is_none_or(|head| head.ring.is_empty()))
    }

    /// Groups that have been merged and not removed.
    pub fn groups(&self) -> usize {
        self.page_groups.iter().map(|groups| usize::from(*groups)).sum()
    }

    /// Forgets a group; its id may be given to another.
    pub fn remove(&mut self, gid: u32) {
        if !self.known.remove(gid) {
            return;
        }
        self.touched.remove(gid);
        self.strands.iter_mut().for_each(|strand| strand.remove(gid));
        let groups = &mut self.page_groups[page_of(gid)];
        *groups -= 1;
        if *groups == 0 {
            self.strands.iter_mut().for_each(|strand| strand.release(gid));
        }
    }

    /// Heap bytes held.
    pub fn bytes(&self) -> usize {
        let bits = self.known.heap_bytes() + self.touched.heap_bytes() + self.page_groups.capacity() * 2;
        let strands = self.strands.capacity() * size_of::<Strand>();
        self.strands.iter().map(Strand::heap_bytes).sum::<usize>() + bits + strands
    }

    /// The view's strand and place, for a group that has rows.
    #[inline]
    fn look(&self, gid: u32, view: usize) -> Option<(&Strand, View)> {
        let view = self.views[view];
        let strand = &self.strands[view.strand];
        strand.heads.get(gid).map(|_| (strand, view))
    }

    /// Rows, or values that are not null, of the window; of a histogram, its samples.
    #[inline]
    pub fn count(&self, gid: u32, view: usize) -> u64 {
        match self.look(gid, view) {
            Some((strand, View { op: FrameOp::Count { word } | FrameOp::Moments { word }, .. })) => {
                strand.totals.row(gid)[word]
            }
            Some((strand, View { op: FrameOp::Samples { histogram, local, span }, .. })) => {
                strand.histograms[histogram].windows.row(gid)[0].count(local, strand.spans.row(gid)[span])
            }
            _ => 0,
        }
    }

    #[inline]
    fn moments(&self, gid: u32, view: usize) -> Option<Moments> {
        match self.look(gid, view)? {
            (strand, View { op: FrameOp::Moments { word }, .. }) => {
                Some(Moments::load(&strand.totals.row(gid)[word..]))
            }
            _ => None,
        }
    }

    /// `None` where the window has no values; so with all that follow.
    pub fn sum(&self, gid: u32, view: usize) -> Option<f64> {
        self.moments(gid, view)?.sum()
    }

    pub fn avg(&self, gid: u32, view: usize) -> Option<f64> {
        self.moments(gid, view)?.average()
    }

    /// The standard deviation of the population.
    pub fn stddev(&self, gid: u32, view: usize) -> Option<f64> {
        self.moments(gid, view)?.deviation()
    }

    fn extreme(&self, gid: u32, view: usize, wanted_max: bool) -> Option<f64> {
        match self.look(gid, view)? {
            (strand, View { op: FrameOp::Extreme { slot, max }, .. }) if max == wanted_max => {
                strand.extremes.row(gid)[slot].as_ref()?.best()
            }
            _ => None,
        }
    }

    pub fn min(&self, gid: u32, view: usize) -> Option<f64> {
        self.extreme(gid, view, false)
    }

    pub fn max(&self, gid: u32, view: usize) -> Option<f64> {
        self.extreme(gid, view, true)
    }

    /// What `Histogram::value_at_quantile` says of the window's samples, in the field's unit.
    pub fn quantile(&self, gid: u32, view: usize, quantile: f64) -> Option<f64> {
        let (strand, View { op: FrameOp::Samples { histogram, local, span }, .. }) = self.look(gid, view)? else {
            return None;
        };
        let histogram = &strand.histograms[histogram];
        let span = strand.spans.row(gid)[span];
        let bucket = histogram.windows.row(gid)[0].quantile(&histogram.shape, local, span, quantile)?;
        Some(histogram.shape.geometry.quantile_value(bucket, quantile))
    }

    /// Compiles `quantile(q) <cmp> threshold` for a view; `None` where it looks at no histogram.
    pub fn quantile_test(&self, view: usize, quantile: f64, cmp: Cmp, threshold: f64) -> Option<QuantileTest> {
        match self.views[view] {
            View { op: FrameOp::Samples { histogram, .. }, strand, .. } => {
                Some(self.strands[strand].histograms[histogram].shape.geometry.test(quantile, cmp, threshold))
            }
            _ => None,
        }
    }

    /// Whether the compiled comparison holds: exactly `cmp.holds(quantile(…), threshold)`, without finding the quantile.
    #[inline]
    pub fn quantile_holds(&self, gid: u32, view: usize, test: &QuantileTest) -> Option<bool> {
        let (strand, View { op: FrameOp::Samples { histogram, local, span }, .. }) = self.look(gid, view)? else {
            return None;
        };
        let histogram = &strand.histograms[histogram];
        let span = strand.spans.row(gid)[span];
        histogram.windows.row(gid)[0].judge(&histogram.shape, local, span, test)
    }

    /// How many different values; zero for an empty window. Exact up to [`super::DISTINCT_EXACT_MAX`].
    pub fn distinct(&self, gid: u32, view: usize) -> f64 {
        let mut union = DistinctUnion::default();
        self.each_part(gid, view, PartKind::Distinct, |part| {
            union.add(DistinctSet::decode(part, &mut 0).expect("rings hold whole entries"));
        });
        union.estimate()
    }

    /// The most frequent values, as many as the accumulator says.
    pub fn topk(&self, gid: u32, view: usize) -> TopK {
        let mut top = TopValues::default();
        self.each_part(gid, view, PartKind::TopK, |part| {
            top.absorb(&TopValues::decode(part, &mut 0).expect("rings hold whole entries"));
        });
        match self.plan.accs[self.plan.views[view].acc] {
            AccSpec::TopK(k) => top.top(k),
            _ => TopK::default(),
        }
    }

    /// The value with the greatest event time.
    pub fn last(&self, gid: u32, view: usize) -> Option<f64> {
        let mut latest: Option<(i64, f64)> = None;
        self.each_part(gid, view, PartKind::Last, |part| {
            let part = decode_last(part, &mut 0).expect("rings hold whole entries");
            latest = match (latest, part) {
                (Some(known), Some(other)) => Some(later(known, other)),
                (known, other) => known.or(other),
            };
        });
        latest.map(|(_, value)| value)
    }

    /// Calls `each` with the view's part of every pane in its window, oldest first.
    fn each_part(&self, gid: u32, view: usize, kind: PartKind, mut each: impl FnMut(&[u8])) {
        if let Some((strand, view)) = self.look(gid, view)
            && strand.accs[view.acc].kind == kind
        {
            strand.each_part(gid, view.frame, view.acc, &mut each);
        }
    }
}
