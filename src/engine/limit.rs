//! A rule's limit of groups, in event time.
//!
//! Stage 1 cannot judge it: a shard that reads sees some partitions' groups, in the order in which they happen to come,
//! and knows neither who is watched nor who was forgotten. So it is judged where groups live, in the books of stage 2,
//! pane by pane. Groups new in the same pane are new at once; of these the smallest keys are taken, for the order in
//! which shards and batches bring them means nothing.
//!
//! Nor may the number of shards mean anything, and owners do not wait for each other to count. So a large limit is cut
//! into *slices* of the key space, as many as the limit says and never as many as there are shards; a slice lives in one
//! shard whole and has its share of the limit. Keys fall on slices by chance, so a share has four standard deviations
//! to spare: a rule must not be degraded below its limit because of an uneven hash. What stays approximate is therefore
//! the total of a rule with a limit of 2,048 groups or more, which may be exceeded by an eighth; which groups are
//! refused is exact for any limit.
//!
//! - `L1` who is refused depends on the events alone: not on batches, shards or interleaving
//! - `L2` nobody who is watched has to make room
//! - `L3` a rule is at its limit from the tick at which a slice refuses until the tick at which no slice does and every
//!   slice that did is well below its share again

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::signal::RuleMeta;
use crate::model::time::EventTime;
use crate::stream::group;

/// Slices of a key space at most: as many as shards can be.
pub const SLICES_MAX: usize = 64;

/// Groups a slice stands for at least; where the limit is below two of these there is one slice, and the limit is exact.
pub const SLICE_GROUPS_MIN: usize = 1_024;

/// Groups an intake can hold whatever the limit, so that the crowd at a small limit is judged in event time too.
pub const INTAKE_GROUPS_MIN: usize = 16_384;

/// Groups of one feed that may have open panes in one shard. Memory has to end somewhere: beyond this, stage 1 refuses
/// whom it did not know, and that does depend on who came first.
pub fn intake_max(limit: usize) -> usize {
    limit.saturating_mul(2).max(INTAKE_GROUPS_MIN)
}

/// The shard that owns a key of a feed. Feeds with few slices go to different shards.
pub fn owner(feed: usize, limit: usize, key: &[u8], shards: usize) -> usize {
    owner_of_slice(feed, limit, group::owner(key, slices(limit)), shards)
}

/// The shard that owns a slice of a feed.
fn owner_of_slice(feed: usize, limit: usize, slice: usize, shards: usize) -> usize {
    (slice * shards / slices(limit) + feed) % shards
}

/// Whether this shard owns a slice of a feed.
pub fn owns_slice(feed: usize, limit: usize, slice: usize, shard: usize, shards: usize) -> bool {
    owner_of_slice(feed, limit, slice, shards) == shard
}

fn slices(limit: usize) -> usize {
    (limit / SLICE_GROUPS_MIN).clamp(1, SLICES_MAX)
}

/// Groups one of `slices` may hold.
fn share_of(limit: usize, slices: usize) -> usize {
    let share = limit.div_ceil(slices);
    (share + 4 * (share.isqrt() + 1)).min(limit)
}

/// The groups one book holds of each slice.
#[derive(Debug)]
pub struct Limit {
    share: usize,
    slices: Vec<Slice>,
    /// Groups taken in the pane that is being merged, by slice and key.
    newcomers: BTreeMap<(usize, Vec<u8>), u32>,
    /// The events each of them brought.
    brought: BTreeMap<u32, u64>,
    /// Slices that are at their share (`L3`).
    full: BTreeSet<usize>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    groups: usize,
    /// Events refused in the pane that is being merged.
    refused: u64,
}

/// Whether a new group gets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Free,
    /// There is no room but that of another newcomer, whose key is greater. It has to go.
    InPlaceOf(u32),
    Refused,
}

/// What changed at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitChange {
    /// The limit is reached, and this many events were refused.
    Reached { refused: u64 },
    /// There is room again.
    Room,
    /// It was reached when the checkpoint was taken that this shard goes on from: no news, but somebody has to say when
    /// there is room again.
    StillReached,
}

impl Limit {
    pub fn new(limit: usize) -> Limit {
        let slices = slices(limit);
        Limit {
            share: share_of(limit, slices),
            slices: vec![Slice::default(); slices],
            newcomers: BTreeMap::new(),
            brought: BTreeMap::new(),
            full: BTreeSet::new(),
        }
    }

    /// May the group of this key, which is not known, get in? To be followed by [`Limit::take`] unless it is refused.
    pub fn ask(&mut self, key: &[u8]) -> Entry {
        let at = self.slice(key);
        if self.slices[at].groups < self.share {
            return Entry::Free;
        }
        let last = self.newcomers.range((at, Vec::new())..(at + 1, Vec::new())).next_back();
        let Some((greatest, gid)) = last.filter(|((_, greatest), _)| &greatest[..] > key) else {
            return Entry::Refused; // `L2`
        };
        let (greatest, gid) = (greatest.clone(), *gid);
        self.newcomers.remove(&greatest);
        let brought = self.brought.remove(&gid).unwrap_or_default();
        self.slices[at].refused += brought;
        self.slices[at].groups -= 1;
        Entry::InPlaceOf(gid)
    }

    pub fn take(&mut self, key: &[u8], gid: u32) {
        let at = self.slice(key);
        self.slices[at].groups += 1;
        self.newcomers.insert((at, key.to_vec()), gid);
        self.brought.insert(gid, 0);
    }

    /// A group that was taken in this pane brought events.
    pub fn bring(&mut self, gid: u32, events: u64) {
        *self.brought.entry(gid).or_default() += events;
    }

    /// Events of a group that was refused.
    pub fn refuse(&mut self, key: &[u8], events: u64) {
        let at = self.slice(key);
        self.slices[at].refused += events;
    }

    /// A group is forgotten.
    pub fn leave(&mut self, key: &[u8]) {
        let at = self.slice(key);
        self.slices[at].groups -= 1;
    }

    /// The pane is merged: who is in is in. Returns the newcomers.
    pub fn settle(&mut self) -> impl Iterator<Item = u32> {
        self.newcomers.clear();
        std::mem::take(&mut self.brought).into_keys()
    }

    /// Events refused since the last tick.
    pub fn refused(&self) -> u64 {
        self.slices.iter().map(|slice| slice.refused).sum()
    }

    /// At a tick, after groups were forgotten: what changed since the last one.
    pub fn tick(&mut self) -> Option<LimitChange> {
        let (refused, was_reached) = (self.refused(), self.reached());
        let well_below = self.share - self.share / 10;
        for (at, slice) in self.slices.iter_mut().enumerate() {
            if slice.refused > 0 {
                self.full.insert(at);
            } else if slice.groups < well_below {
                self.full.remove(&at);
            }
            slice.refused = 0;
        }
        match (was_reached, self.reached()) {
            (false, true) => Some(LimitChange::Reached { refused }),
            (true, false) => Some(LimitChange::Room),
            _ => None,
        }
    }

    /// Whether some slice is full (`L3`).
    pub fn reached(&self) -> bool {
        !self.full.is_empty()
    }

    /// Slices that are at their share.
    pub fn full(&self) -> Vec<usize> {
        self.full.iter().copied().collect()
    }

    /// Goes on from a checkpoint; slices of another limit mean nothing.
    pub fn restore(&mut self, full: impl Iterator<Item = usize>) {
        let slices = self.slices.len();
        self.full.extend(full.filter(|slice| *slice < slices));
    }

    fn slice(&self, key: &[u8]) -> usize {
        group::owner(key, self.slices.len())
    }
}

/// What a shard says of a rule's limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitNews {
    /// The tick at which it changed.
    pub at: EventTime,
    pub rule: Arc<RuleMeta>,
    pub groups_max: usize,
    pub change: LimitChange,
}

#[cfg(test)]
mod tests;
