//! The closed panes of one group as one run of bytes.
//!
//! A pane that saw events is an entry: the distance to the pane before as a varint, and then each accumulator's part as
//! its partial had it; of samples only their number, the samples themselves are in `tiers`. Panes without events take no
//! room. New panes are appended, old ones leave at the front, and a cursor that walks it decodes each entry twice in its
//! life. Four bytes a pane for two counts and a histogram is what makes a kibibyte a group possible.

use super::codec::{put_varint, take, varint};
use super::distinct::DistinctSet;
use super::moments::Moments;
use super::partial::{decode_extreme, decode_last, later, put_extreme, put_last};
use super::plan::AccSpec;
use super::storage::roomy;
use super::topk::TopValues;

/// How one accumulator stands in an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PartKind {
    Count,
    Moments,
    Min,
    Max,
    Last,
    /// The number of samples.
    Samples,
    Distinct,
    TopK,
}

impl PartKind {
    pub(super) fn of(spec: &AccSpec) -> PartKind {
        match spec {
            AccSpec::Count => PartKind::Count,
            AccSpec::Moments => PartKind::Moments,
            AccSpec::Min => PartKind::Min,
            AccSpec::Max => PartKind::Max,
            AccSpec::Last => PartKind::Last,
            AccSpec::Histogram(_) => PartKind::Samples,
            AccSpec::Distinct => PartKind::Distinct,
            AccSpec::TopK(_) => PartKind::TopK,
        }
    }

    /// Moves `at` behind one part of an entry.
    #[inline]
    pub(super) fn skip(self, bytes: &[u8], at: &mut usize) {
        let whole = match self {
            PartKind::Count | PartKind::Samples => varint(bytes, at).map(drop),
            PartKind::Moments => skip_moments(bytes, at),
            PartKind::Min | PartKind::Max => decode_extreme(bytes, at).map(drop),
            PartKind::Last => decode_last(bytes, at).map(drop),
            PartKind::Distinct => DistinctSet::skip(bytes, at),
            PartKind::TopK => TopValues::skip(bytes, at),
        };
        whole.expect("rings hold whole entries");
    }

    /// Appends the sum of two parts of one pane.
    pub(super) fn combine(self, left: &[u8], right: &[u8], out: &mut Vec<u8>) {
        self.try_combine(left, right, out).expect("rings and partials hold whole parts");
    }

    fn try_combine(self, left: &[u8], right: &[u8], out: &mut Vec<u8>) -> Option<()> {
        match self {
            PartKind::Count | PartKind::Samples => {
                put_varint(out, varint(left, &mut 0)?.wrapping_add(varint(right, &mut 0)?));
            }
            PartKind::Moments => {
                let mut sum = Moments::decode(left, &mut 0)?;
                sum.add(&Moments::decode(right, &mut 0)?);
                sum.encode(out);
            }
            PartKind::Min => {
                put_extreme(out, either(decode_extreme(left, &mut 0)?, decode_extreme(right, &mut 0)?, f64::min))
            }
            PartKind::Max => {
                put_extreme(out, either(decode_extreme(left, &mut 0)?, decode_extreme(right, &mut 0)?, f64::max))
            }
            PartKind::Last => put_last(out, either(decode_last(left, &mut 0)?, decode_last(right, &mut 0)?, later)),
            PartKind::Distinct => {
                let mut union = DistinctSet::decode(left, &mut 0)?;
                union.merge(DistinctSet::decode(right, &mut 0)?);
                union.encode(out);
            }
            PartKind::TopK => {
                let mut sum = TopValues::decode(left, &mut 0)?;
                sum.merge(&TopValues::decode(right, &mut 0)?);
                sum.encode(out);
            }
        }
        Some(())
    }
}

fn either<T>(left: Option<T>, right: Option<T>, both: impl Fn(T, T) -> T) -> Option<T> {
    match (left, right) {
        (Some(left), Some(right)) => Some(both(left, right)),
        (left, right) => left.or(right),
    }
}

fn skip_moments(bytes: &[u8], at: &mut usize) -> Option<()> {
    if varint(bytes, at)? > 0 {
        for _ in 0..2 {
            let length = usize::from(take(bytes, at, 1)?[0]);
            take(bytes, at, length)?;
        }
    }
    Some(())
}

/// The entries of one group. Offsets are into `bytes` and change when it is compacted.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    pub(super) bytes: Vec<u8>,
    /// Bytes before this one are gone.
    pub(super) front: u32,
    /// Where the newest entry starts.
    pub(super) last: u32,
    /// The pane of the entry at the front.
    pub(super) first_pane: i64,
    /// The newest pane there ever was.
    pub(super) last_pane: i64,
}

/// No pane yet.
pub(super) const NEVER: i64 = i64::MIN;

impl Default for Ring {
    fn default() -> Self {
        Ring { bytes: Vec::new(), front: 0, last: 0, first_pane: NEVER, last_pane: NEVER }
    }
}

impl Ring {
    #[inline]
    pub(super) fn end(&self) -> u32 {
        self.bytes.len() as u32
    }

    pub(super) fn is_empty(&self) -> bool {
        self.front == self.end()
    }

    /// The distance to the pane before, and where the parts start.
    #[inline]
    pub(super) fn gap(&self, entry: u32) -> (i64, usize) {
        let mut at = entry as usize;
        let gap = varint(&self.bytes, &mut at).expect("rings hold whole entries");
        (gap as i64, at)
    }

    /// The pane of the entry at `next`, which follows one of `pane`; anything at the end.
    #[inline]
    pub(super) fn pane_after(&self, pane: i64, next: u32) -> i64 {
        if next < self.end() { pane + self.gap(next).0 } else { NEVER }
    }

    /// Moves what is left to the start; returns by how much.
    pub(super) fn compact(&mut self) -> u32 {
        let front = std::mem::take(&mut self.front);
        self.bytes.drain(..front as usize);
        self.last = self.last.saturating_sub(front);
        front
    }

    /// Whether `more` bytes want more room than there is.
    #[inline]
    pub(super) fn is_full(&self, more: usize) -> bool {
        self.bytes.len() + more > self.bytes.capacity()
    }

    /// After compaction: room for `more` bytes, with some slack.
    pub(super) fn reserve(&mut self, more: usize) {
        let needed = self.bytes.len() + more;
        let slack = needed / 16;
        if needed + slack > self.bytes.capacity() {
            self.bytes.reserve_exact(roomy(needed + slack) - self.bytes.len());
        }
    }

    /// Whether much more room is held than used.
    pub(super) fn is_slack(&self) -> bool {
        self.bytes.capacity() > 64 && (self.end() - self.front) as usize * 8 < self.bytes.capacity() * 5
    }

    /// After compaction: gives unused room back.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to(roomy(self.bytes.len() + self.bytes.len() / 16));
    }
}
