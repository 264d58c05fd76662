//! Which groups have something to do at which pane.
//!
//! Advancing must touch only groups that gain or lose a pane in some window. A group that got a pane is due when that
//! pane is complete: a bit in the set of that pane, of which there are few. When its panes enter other windows or leave is
//! known then, and the group stands in one list, that of the next pane where it happens: four bytes a group, where sets
//! or lists for every pane of the window would cost that for each.
//!
//! Entries are never searched: where a late partial makes a group due earlier, the old entry stays and is recognised as
//! stale, because the group says another pane.

use super::bits::BitSet;

/// Panes ahead the wheel can tell apart; a group due later is asked again then.
const SLOTS_MAX: u64 = 1024;

#[derive(Debug)]
pub(super) struct Wheel {
    now: i64,
    /// By pane: groups with something in a pane that is not complete. Ascending.
    arrivals: Vec<(i64, BitSet)>,
    slots: Vec<Vec<u32>>,
    /// Emptied, used again: as many hold memory as hold groups.
    spare_lists: Vec<Vec<u32>>,
    spare_sets: Vec<BitSet>,
}

impl Wheel {
    pub(super) fn new(retention: u32) -> Wheel {
        let slots = (u64::from(retention) + 2).min(SLOTS_MAX);
        Wheel {
            now: i64::MIN,
            arrivals: Vec::new(),
            slots: vec![Vec::new(); slots as usize],
            spare_lists: Vec::new(),
            spare_sets: Vec::new(),
        }
    }

    /// The last pane that was advanced to.
    pub(super) fn now(&self) -> i64 {
        self.now
    }

    /// A group got something in a pane that is not complete yet.
    #[inline]
    pub(super) fn arrive(&mut self, gid: u32, pane: i64) {
        let set = match self.arrivals.first_mut() {
            Some((first, set)) if *first == pane => set,
            _ => self.arrivals_of(pane),
        };
        set.insert(gid);
    }

    fn arrivals_of(&mut self, pane: i64) -> &mut BitSet {
        let at = self.arrivals.partition_point(|(other, _)| *other < pane);
        if self.arrivals.get(at).is_none_or(|(other, _)| *other != pane) {
            self.arrivals.insert(at, (pane, self.spare_sets.pop().unwrap_or_default()));
        }
        &mut self.arrivals[at].1
    }

    fn slot(&self, pane: i64) -> usize {
        pane.rem_euclid(self.slots.len() as i64) as usize
    }

    /// Enters a group that has something to do at `due`; returns the pane at which it will come up, no later than that.
    pub(super) fn schedule(&mut self, gid: u32, due: i64) -> i64 {
        let wake = due.min(self.now.saturating_add(self.slots.len() as i64 - 1));
        let slot = self.slot(wake);
        let list = &mut self.slots[slot];
        if list.capacity() == 0 {
            *list = self.spare_lists.pop().unwrap_or_default();
        }
        list.push(gid);
        wake
    }

    /// Moves on to `pane` and adds everything that came up to `due`.
    pub(super) fn advance(&mut self, pane: i64, due: &mut BitSet) {
        let arrived = self.arrivals.partition_point(|(other, _)| *other <= pane);
        for (_, mut set) in self.arrivals.drain(..arrived) {
            due.take_all(&mut set);
            self.spare_sets.push(set);
        }
        self.spare_sets.truncate(2);
        let all = self.slots.len() as i64;
        let from = self.now.max(pane.saturating_sub(all));
        for passed in from + 1..=pane {
            let slot = self.slot(passed);
            if self.slots[slot].capacity() > 0 {
                let mut list = std::mem::take(&mut self.slots[slot]);
                list.drain(..).for_each(|gid| {
                    due.insert(gid);
                });
                self.spare_lists.push(list);
                self.spare_lists.truncate(1);
            }
        }
        self.now = pane;
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let lists = self.slots.iter().chain(&self.spare_lists).map(|list| list.capacity() * 4);
        let sets = self.arrivals.iter().map(|(_, set)| set).chain(&self.spare_sets).map(BitSet::heap_bytes);
        self.slots.capacity() * size_of::<Vec<u32>>() + lists.sum::<usize>() + sets.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advance(wheel: &mut Wheel, pane: i64) -> Vec<u32> {
        let (mut due, mut gids) = (BitSet::default(), Vec::new());
        wheel.advance(pane, &mut due);
        due.take_some(0, usize::MAX, &mut gids);
        gids
    }

    #[test]
    fn what_is_due_comes_up_once_and_jumps_lose_nothing() {
        let mut wheel = Wheel::new(30);
        wheel.arrive(4, 1001);
        wheel.arrive(8, 1000);
        assert_eq!(wheel.schedule(7, 1000), i64::MIN + 31, "before the first advance nothing is known of time");
        assert_eq!(advance(&mut wheel, 1000), [7, 8]);
        assert_eq!(advance(&mut wheel, 1001), [4]);
        wheel.schedule(3, 1005);
        wheel.schedule(2, 1005);
        wheel.schedule(3, 1005);
        assert_eq!(wheel.schedule(9, 5000), 1032);
        assert!(advance(&mut wheel, 1004).is_empty());
        wheel.arrive(2, 1005);
        assert_eq!(advance(&mut wheel, 1005), [2, 3]);
        wheel.arrive(1, 2000);
        assert_eq!(advance(&mut wheel, 900_000), [1, 9]);
    }
}
