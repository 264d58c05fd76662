//! The consumer group: which member has which partition, and how one comes to the other: by a rebalance, in which the one
//! lets go before the other begins; by a death, after the session; by a return, which takes back a share.

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

    /// A member comes. Where it was away for less than a session it has what it had; else it gets a share.
    pub fn joins(&mut self, host: usize, now: i64) -> Vec<(usize, usize, Word)> {
        self.gone[host] = None;
        let mut words = Vec::new();
        for (partition, owner) in self.owners.iter_mut().enumerate() {
            match *owner {
                Owner::Of(of) | Owner::Leaves(of, _) if of == host => {
                    *owner = Owner::Of(host);
                    words.push((partition, host, Word::Assign));
                }
                Owner::Of(of) if partition % 2 == host && self.gone[of].is_none() => {
                    *owner = Owner::Leaves(of, now);
                    words.push((partition, of, Word::Revoke));
                }
                Owner::Nobody | Owner::Of(_) | Owner::Leaves(..) => {}
            }
        }
        words
    }

    pub fn leaves(&mut self, host: usize, now: i64) {
        self.gone[host] = Some(now);
        self.released.retain(|(_, of)| *of != host);
    }

    /// These partitions go to the other member, where there is one.
    pub fn rebalance(&mut self, partitions: &[usize], now: i64) -> Vec<(usize, usize, Word)> {
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
    pub fn look(&mut self, now: i64) -> Vec<(usize, usize, Word)> {
        let mut words = Vec::new();
        for partition in 0..self.owners.len() {
            let next = match self.owners[partition] {
                Owner::Nobody => partition % 2,
                Owner::Of(of) if self.gone[of].is_some_and(|since| now - since >= SESSION) => 1 - of,
                Owner::Leaves(of, _) if self.gone[of].is_some_and(|since| now - since >= SESSION) => 1 - of,
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
}
