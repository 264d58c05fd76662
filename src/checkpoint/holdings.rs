//! Which partitions a member holds, and how those arrived to which their shards have not come yet.
//!
//! The group is heard on one thread; shards act on what it says on others, each behind everything that was read before. So a
//! partition may go, and come back, before its shard has come to the first. What is held is therefore reckoned where the
//! group is heard: a partition that goes is not held from that moment on, although its cell is there still, and comes back
//! as any other does. To reckon it where the cell goes would confirm a partition whose cell is gone when its shard comes to
//! it. How a partition comes may have to be found out more than once before it is read, where Kafka does not say at which
//! place; what was found out first is not held by that.
//!
//! - `O3` when a shard comes to an arrival, the cell is there if the partition was confirmed

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::arrival::Arrival;
use super::parcel::Parcel;
use crate::engine::plan::Plan;
use crate::engine::state::{CellName, CellStart, ShardCut};
use crate::model::{SourceId, WallTime};

/// The partitions that a member holds, with their tenures.
#[derive(Debug, Default)]
pub struct Holdings {
    held: BTreeMap<SourceId, u64>,
    /// How those come that are not read yet.
    coming: BTreeMap<SourceId, Arrival>,
    /// Those of each partition that its shard has not come to, in order.
    arrivals: BTreeMap<SourceId, VecDeque<Arrival>>,
}

impl Holdings {
    /// What a checkpoint holds.
    pub fn restored(cuts: &[ShardCut]) -> Holdings {
        let names = cuts.iter().filter_map(|cut| cut.cell.clone());
        let held = names.map(|CellName { home, tenure }| (home, tenure)).collect();
        Holdings { held, ..Holdings::default() }
    }

    /// The tenure of a partition that is held.
    pub fn tenure(&self, home: &SourceId) -> Option<u64> {
        self.held.get(home).copied()
    }

    /// Whether a parcel of this tenure is of a partition that is held still, and not since.
    pub fn is_of(&self, home: &SourceId, tenure: u64) -> bool {
        self.tenure(home).is_some_and(|held| held <= tenure) // a contested one is higher
    }

    /// A partition is assigned; how it comes, as [`Arrival::of`] has it, to go on under the rules of `plan`.
    pub fn find_out(
        &mut self,
        member: &str,
        home: &SourceId,
        newest: Option<Parcel>,
        void_until: WallTime,
        plan: &Plan,
    ) -> &mut Arrival {
        let mut arrival = Arrival::of(member, self.tenure(home), newest, void_until);
        if let Arrival::Adopted { parcel, .. } = &mut arrival {
            parcel.bring_in_heard(plan);
        }
        self.coming.entry(home.clone()).insert_entry(arrival).into_mut()
    }

    /// As [`Arrival::begin_at`], of one that comes.
    pub fn begin_at(&mut self, home: &SourceId, streams: impl IntoIterator<Item = Arc<str>>, place: CellStart) {
        if let Some(arrival) = self.coming.get_mut(home) {
            arrival.begin_at(home, streams, place);
        }
    }

    /// A partition that comes is read from now on.
    pub fn arrive(&mut self, home: &SourceId) {
        if let Some(arrival) = self.coming.remove(home) {
            self.held.insert(home.clone(), arrival.tenure());
            self.arrivals.entry(home.clone()).or_default().push_back(arrival);
        }
    }

    /// How a partition came to which its shard comes now: to be asked once for each time that it came.
    pub fn arrived(&mut self, home: &SourceId) -> Option<Arrival> {
        let waiting = self.arrivals.get_mut(home)?;
        let arrival = waiting.pop_front();
        if waiting.is_empty() {
            self.arrivals.remove(home);
        }
        arrival
    }

    /// The group takes a partition away.
    pub fn depart(&mut self, home: &SourceId) {
        self.held.remove(home);
    }

    /// The cell of a partition is gone. Whether that was all there is of it: it may be on its way back (`O3`).
    pub fn forget(&mut self, home: &SourceId) -> bool {
        let is_all = !self.arrivals.contains_key(home);
        if is_all {
            self.held.remove(home);
        }
        is_all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A partition that nobody else had meanwhile goes and comes back while its shard is busy: its cell, which goes with what
    /// the shard hears first, is not counted on.
    #[test]
    fn a_partition_that_is_back_before_its_shard_heard_that_it_went_is_not_confirmed() {
        let (mut holdings, home) = (Holdings::default(), SourceId::new("requests", 0));
        let arrive = |holdings: &mut Holdings| {
            let arrival = holdings.find_out("one", &home, None, WallTime::MIN, &Plan::build(&[], &[])).clone();
            holdings.arrive(&home);
            arrival
        };
        assert!(matches!(arrive(&mut holdings), Arrival::Begun { .. }));
        assert!(holdings.arrived(&home).is_some() && holdings.arrived(&home).is_none());
        assert!(matches!(arrive(&mut holdings), Arrival::Confirmed { .. }), "as after a restart");
        holdings.depart(&home);
        assert!(matches!(arrive(&mut holdings), Arrival::Begun { .. }));
        assert!(matches!(holdings.arrived(&home), Some(Arrival::Confirmed { .. })), "the shard comes to that");
        assert!(!holdings.forget(&home), "and to its going");
        assert!(matches!(holdings.arrived(&home), Some(Arrival::Begun { .. })), "and to its coming");
        assert!(holdings.forget(&home));
    }

    /// Kafka has the parcel, and does not say yet where to read: it is asked for both again.
    #[test]
    fn what_is_found_out_twice_before_it_is_read_comes_once() {
        let (mut holdings, home) = (Holdings::default(), SourceId::new("requests", 0));
        for _ in 0..2 {
            let found = holdings.find_out("one", &home, None, WallTime::MIN, &Plan::build(&[], &[]));
            assert!(matches!(found, Arrival::Begun { .. }), "{found:?}");
        }
        assert!(holdings.arrived(&home).is_none(), "it is not read yet");
        holdings.arrive(&home);
        assert!(holdings.arrived(&home).is_some() && holdings.arrived(&home).is_none());
    }
}
