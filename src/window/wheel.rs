//! Which groups have something to do at which pane.
//!
//! Advancing must touch only groups that gain or lose a pane in some window, so each group with panes is due at the
//! next pane where that happens, and stands in the list of that pane. One entry a group costs four bytes; lists of
//! groups by pane would cost that for every pane of the window.
//!
//! Entries are never searched: when a group becomes due earlier, the old entry stays and is recognised as stale, because
//! the group says another pane.

/// Panes ahead the wheel can tell apart; a group due later is asked again then.
const SLOTS_MAX: u64 = 1024;

#[derive(Debug)]
pub(super) struct Wheel {
    now: i64,
    slots: Vec<Vec<u32>>,
    /// Emptied lists, used again: as many lists hold memory as hold groups.
    spare: Vec<Vec<u32>>,
}

impl Wheel {
    pub(super) fn new(retention: u32) -> Wheel {
        let slots = (u64::from(retention) + 2).min(SLOTS_MAX);
        Wheel { now: i64::MIN, slots: vec![Vec::new(); slots as usize], spare: Vec::new() }
    }

    /// The last pane that was advanced to.
    pub(super) fn now(&self) -> i64 {
        self.now
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
            *list = self.spare.pop().unwrap_or_default();
        }
        list.push(gid);
        wake
    }

    /// Moves on to `pane` and puts everything that came up into `due`, ascending, without repeats.
    pub(super) fn advance(&mut self, pane: i64, due: &mut Vec<u32>) {
        due.clear();
        let all = self.slots.len() as i64;
        let from = self.now.max(pane.saturating_sub(all));
        for passed in from + 1..=pane {
            let slot = self.slot(passed);
            if self.slots[slot].capacity() > 0 {
                let mut list = std::mem::take(&mut self.slots[slot]);
                due.append(&mut list);
                if self.spare.len() < 2 {
                    self.spare.push(list);
                }
            }
        }
        self.now = pane;
        due.sort_unstable();
        due.dedup();
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let lists = self.slots.iter().chain(&self.spare).map(|list| list.capacity() * 4);
        self.slots.capacity() * size_of::<Vec<u32>>() + lists.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_up_once_and_jumps_lose_nothing() {
        let mut wheel = Wheel::new(30);
        let mut due = Vec::new();
        assert_eq!(wheel.schedule(7, 1000), i64::MIN + 31, "before the first advance nothing is known of time");
        wheel.advance(1000, &mut due);
        assert_eq!(due, [7]);
        wheel.schedule(3, 1005);
        wheel.schedule(2, 1005);
        wheel.schedule(3, 1005);
        assert_eq!(wheel.schedule(9, 5000), 1031);
        wheel.advance(1004, &mut due);
        assert!(due.is_empty());
        wheel.advance(1005, &mut due);
        assert_eq!(due, [2, 3]);
        wheel.advance(900_000, &mut due);
        assert_eq!(due, [9]);
    }
}
