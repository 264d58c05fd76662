//! The consumer group: which member has which partition, and how one comes to the other: by a rebalance, in which the one
//! lets go before the other begins; by a death or a standstill, after the session; by a return. After every change of who is
//! there, neither has more than one partition more than the other.

use std::collections::BTreeSet;

/// How long the group waits for a member that is gone.
const SESSION: i64 = 10_000;

/// How long it waits for one that has to let go.
const REVOKE_MAX: i64 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Nobody,
    Of(usize),
    /// It is to let go since then.
    Leaves(usize, i64),
}

/// What the group says to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Assign,
    Revoke,
    /// It is another's already.
    Lost,
}

/// What is said of a partition, and to which host.
pub type Said = (usize, usize, Word);

/// A group of two.
#[derive(Debug)]
pub struct Group {
    owners: Vec<Owner>,
    /// By host: since when it is gone.
    gone: [Option<i64>; 2],
    /// Of partitions that are let go.
    released: BTreeSet<(usize, usize)>,
}

impl Group {
    pub fn new(partitions: usize, now: i64) -> Group {
        Group { owners: vec![Owner::Nobody; partitions], gone: [Some(now - SESSION); 2], released: BTreeSet::new() }
    }

    /// Whether the partition is the host's, as far as the group is concerned.
    pub fn is_of(&self, host: usize, partition: usize) -> bool {
        matches!(self.owners[partition], Owner::Of(of) | Owner::Leaves(of, _) if of == host)
    }

    /// A member comes. Where it was away for less than a session it has what it had.
    pub fn joins(&mut self, host: usize, now: i64) -> Vec<Said> {
        self.gone[host] = None;
        let mut words = Vec::new();
        for (partition, owner) in self.owners.iter_mut().enumerate() {
            if matches!(*owner, Owner::Of(of) | Owner::Leaves(of, _) if of == host) {
                *owner = Owner::Of(host);
                words.push((partition, host, Word::Assign));
            }
        }
        words.extend(self.even_out(now));
        words
    }

    /// A member is gone, and what it was about to say is, too.
    pub fn leaves(&mut self, host: usize, now: i64) {
        self.stands_still(host, now);
        self.released.retain(|(_, of)| *of != host);
    }

    /// A member is not heard of any more.
    pub fn stands_still(&mut self, host: usize, now: i64) {
        self.gone[host].get_or_insert(now);
    }

    /// A member that stood still is heard of again. Whether the group still knows it: else it has nothing, and has to join.
    pub fn wakes(&mut self, host: usize, now: i64) -> bool {
        let known = !self.has_expired(host, now);
        if known {
            self.gone[host] = None;
        }
        known
    }

    /// These partitions go to the other member, where there is one.
    pub fn rebalance(&mut self, partitions: &[usize], now: i64) -> Vec<Said> {
        let mut words = Vec::new();
        for partition in partitions {
            if let Owner::Of(of) = self.owners[*partition]
                && self.gone == [None; 2]
            {
                self.owners[*partition] = Owner::Leaves(of, now);
                words.push((*partition, of, Word::Revoke));
            }
        }
        words
    }

    /// A member has let go of a partition.
    pub fn releases(&mut self, host: usize, partition: usize) {
        if matches!(self.owners[partition], Owner::Leaves(of, _) if of == host) {
            self.released.insert((partition, host));
        }
    }

    /// What is due now.
    pub fn look(&mut self, now: i64) -> Vec<Said> {
        let mut words = Vec::new();
        for partition in 0..self.owners.len() {
            let next = match self.owners[partition] {
                Owner::Nobody => partition % 2,
                Owner::Of(of) | Owner::Leaves(of, _) if self.has_expired(of, now) => 1 - of,
                Owner::Leaves(of, _) if self.released.remove(&(partition, of)) => 1 - of,
                Owner::Leaves(of, since) if self.gone[of].is_none() && now - since >= REVOKE_MAX => {
                    words.push((partition, of, Word::Lost));
                    1 - of
                }
                Owner::Of(_) | Owner::Leaves(..) => continue,
            };
            let there = [next, 1 - next].into_iter().find(|host| self.gone[*host].is_none());
            self.owners[partition] = there.map_or(Owner::Nobody, Owner::Of);
            words.extend(there.map(|host| (partition, host, Word::Assign)));
        }
        words
    }

    fn has_expired(&self, host: usize, now: i64) -> bool {
        self.gone[host].is_some_and(|since| now - since >= SESSION)
    }

    /// Takes from who has more than one partition more than the other, where both are there.
    fn even_out(&mut self, now: i64) -> Vec<Said> {
        let mut words = Vec::new();
        while let Some(partition) = self.too_many() {
            words.extend(self.rebalance(&[partition], now));
        }
        words
    }

    /// A partition of the member that will have too many, where both are there.
    fn too_many(&self) -> Option<usize> {
        let will_be = |host: usize| {
            let here = |owner: &&Owner| match **owner {
                Owner::Nobody => false,
                Owner::Of(of) => of == host,
                Owner::Leaves(of, _) => of != host,
            };
            self.owners.iter().filter(here).count()
        };
        let more = if will_be(0) > will_be(1) { 0 } else { 1 };
        let uneven = self.gone == [None; 2] && will_be(more) > will_be(1 - more) + 1;
        self.owners.iter().rposition(|owner| uneven && *owner == Owner::Of(more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four partitions, and the words for each host in order.
    fn said(words: Vec<Said>) -> String {
        words.iter().map(|(partition, host, word)| format!("{host}:{word:?}{partition}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn shares_are_evened_out_whoever_comes_and_whenever() {
        let mut group = Group::new(4, 0);
        assert_eq!(said(group.joins(0, 0)), "");
        assert_eq!(said(group.look(0)), "0:Assign0 0:Assign1 0:Assign2 0:Assign3");
        group.leaves(0, 1_000);
        assert_eq!(said(group.joins(1, 2_000)), "", "the other's session is not over");
        assert_eq!(said(group.look(2_000)), "");
        let back = "0:Assign0 0:Assign1 0:Assign2 0:Assign3 0:Revoke3 0:Revoke2";
        assert_eq!(said(group.joins(0, 3_000)), back, "and now there are two");
        group.releases(0, 3);
        assert_eq!(said(group.look(4_000)), "1:Assign3");
        assert_eq!(said(group.look(13_000)), "0:Lost2 1:Assign2", "who does not let go loses it");
    }

    #[test]
    fn who_stands_still_for_longer_than_its_session_has_nothing_when_it_wakes() {
        let mut group = Group::new(2, 0);
        group.joins(0, 0);
        group.joins(1, 0);
        assert_eq!(said(group.look(0)), "0:Assign0 1:Assign1");
        group.stands_still(0, 1_000);
        assert!(group.wakes(0, 10_999) && group.is_of(0, 0));
        group.stands_still(0, 20_000);
        assert_eq!(said(group.look(30_000)), "1:Assign0");
        assert!(!group.wakes(0, 30_000) && !group.is_of(0, 0));
        assert_eq!(said(group.joins(0, 31_000)), "1:Revoke1");
    }
}
