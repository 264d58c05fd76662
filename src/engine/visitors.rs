//! Who was seen when, in stage 1: which groups an intake may drop from its index.
//!
//! An intake keeps the groups it sees to find them fast, not because they matter: whether a group is watched is known in
//! stage 2 alone. So it forgets what has been silent for the feed's `expire`, and earlier where room is needed, since a
//! group that comes back is only looked up the slow way once. Passers-by go first: where a field explodes, most groups
//! come once, and those a rule watches come again.
//!
//! - `V1` a group with an open pane is never forgotten: its id must not go to another while the pane has it

use crate::stream::group::GroupIndex;

/// By group id.
#[derive(Debug)]
pub struct Visitors {
    seen: Vec<Seen>,
    /// When idle groups were forgotten last.
    swept: i64,
    /// Whether panes have closed since room was made, so that others may be idle now.
    stale: bool,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// No pane of the group is later; the beginning of time for an id that is not in use.
    last: i64,
    /// Came again, later.
    regular: bool,
}

const NEVER: Seen = Seen { last: i64::MIN, regular: false };

impl Default for Visitors {
    fn default() -> Self {
        Visitors { seen: Vec::new(), swept: i64::MIN, stale: true }
    }
}

impl Visitors {
    /// These groups had events, none of them after `pane`.
    pub fn came(&mut self, gids: &[u32], pane: i64) {
        for gid in gids {
            let at = *gid as usize;
            if at >= self.seen.len() {
                self.seen.resize(at + 1, NEVER);
            }
            let seen = &mut self.seen[at];
            seen.regular |= seen.last != i64::MIN && seen.last < pane;
            seen.last = seen.last.max(pane);
        }
    }

    /// Panes have closed.
    pub fn closed(&mut self) {
        self.stale = true;
    }

    /// Now and then forgets groups that contributed nothing for `after` panes, now that `closed` is closed.
    pub fn sweep(&mut self, index: &mut GroupIndex, first_open: Option<i64>, closed: i64, after: i64) {
        if closed >= self.swept.saturating_add(after.max(4) / 4) {
            self.swept = closed;
            let silent = closed.saturating_sub(after);
            self.forget(index, first_open, |seen| seen.last < silent);
        }
    }

    /// The index is full: forgets idle groups, passers-by first. Says whether that can have helped.
    pub fn make_room(&mut self, index: &mut GroupIndex, first_open: Option<i64>) -> bool {
        let stale = std::mem::take(&mut self.stale);
        if stale {
            self.forget(index, first_open, |seen| !seen.regular);
            if index.len() > index.limit() / 4 * 3 {
                self.forget(index, first_open, |_| true);
            }
        }
        stale
    }

    /// `V1`
    fn forget(&mut self, index: &mut GroupIndex, first_open: Option<i64>, which: impl Fn(&Seen) -> bool) {
        for (gid, seen) in self.seen.iter_mut().enumerate() {
            let idle = seen.last != i64::MIN && first_open.is_none_or(|open| seen.last < open);
            if idle && which(seen) {
                *seen = NEVER;
                index.remove(gid as u32);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::group::GROUP_OVERFLOW;

    /// An index for four; each key comes in a pane.
    fn after(came: &[(&str, i64)]) -> (Visitors, GroupIndex) {
        let (mut visitors, mut index) = (Visitors::default(), GroupIndex::new(4, 0));
        for (key, pane) in came {
            let gid = index.lookup_key(key.as_bytes());
            assert_ne!(gid, GROUP_OVERFLOW, "`{key}` has room");
            visitors.came(&[gid], *pane);
        }
        (visitors, index)
    }

    fn known<'a>(index: &GroupIndex, keys: &[&'a str]) -> Vec<&'a str> {
        keys.iter().copied().filter(|key| index.find(key.as_bytes()).is_some()).collect()
    }

    #[test]
    fn passers_by_make_room_first_and_nobody_with_an_open_pane_does() {
        let came = [("a", 1), ("b", 1), ("a", 2), ("c", 2), ("d", 3), ("d", 1)];
        let (mut visitors, mut index) = after(&came);
        assert!(visitors.make_room(&mut index, Some(3)));
        assert_eq!(known(&index, &["a", "b", "c", "d"]), ["a", "d"], "`a` is a regular, `d` has an open pane (V1)");
        assert!(!visitors.make_room(&mut index, Some(3)), "nothing has closed since");
        visitors.closed();
        assert!(visitors.make_room(&mut index, None));
        assert_eq!(known(&index, &["a", "d"]), ["a"]);
    }

    #[test]
    fn regulars_go_too_where_passers_by_are_not_enough() {
        let came = ["a", "b", "c", "d"].map(|key| [(key, 1), (key, 2)]).concat();
        let (mut visitors, mut index) = after(&came);
        assert!(visitors.make_room(&mut index, Some(3)));
        assert_eq!(index.len(), 0);
    }

    #[test]
    fn the_silent_are_forgotten_in_time() {
        let (mut visitors, mut index) = after(&[("a", 1), ("b", 5)]);
        visitors.sweep(&mut index, None, 8, 5);
        assert_eq!(known(&index, &["a", "b"]), ["b"]);
    }
}
