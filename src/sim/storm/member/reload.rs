//! Other rules for a process that runs, in the order of `runtime/reload`: last cuts at one barrier, new shards from them all
//! at once, a desk that gives way to its successor behind everything the old shards said, and each thread going on with
//! another shard when it comes to it.

use std::sync::Arc;

use super::keeper::sabotage;
use super::{Mail, Member};
use crate::engine::merge::Relief;
use crate::engine::plan::Plan;
use crate::engine::shard::{Shard, ShardInput, ShardOutput};
use crate::engine::state::ShardCut;
use crate::sim::storm::Outside;

/// What the keeper wants of a shard.
pub enum Order {
    Cut(u64),
    /// The same; a successor follows it.
    LastCut(u64),
    Successor(Box<Restored>),
}

/// A shard that goes on, and what it said as it did.
pub type Restored = (Shard, Vec<ShardOutput>);

/// Shards that go on from cuts, and what the desk is to hear of them first.
pub fn restored(plan: &Arc<Plan>, shards: usize, seed: u64, cuts: &[ShardCut]) -> (Vec<Restored>, Relief) {
    let one = |index| {
        let made = Shard::new(index, shards, plan.clone(), seed);
        let mut shard = made.expect("the stream is decoded").with_cuts();
        let mut said = Vec::new();
        if !cuts.is_empty() {
            shard.restore(cuts, &mut said).expect("what passed its checksums is read");
        }
        (shard, said)
    };
    let made: Vec<Restored> = (0..shards).map(one).collect();
    let relief = Relief::new(plan, cuts, made.iter().flat_map(|(_, said)| said));
    (made, relief)
}

impl Member {
    pub(super) fn obey(&mut self, outside: &mut Outside<'_>, shard: usize) {
        match self.orders[shard].pop_front() {
            Some(Order::Cut(number)) => self.handle(outside, shard, ShardInput::Cut(number)),
            Some(Order::LastCut(number)) => self.handle(outside, shard, ShardInput::LastCut(number)),
            Some(Order::Successor(next)) => self.go_on_with(outside, shard, *next),
            None => {}
        }
    }

    /// All last cuts are here.
    pub(super) fn succeed(&mut self, outside: &mut Outside<'_>) {
        let Some((number, plan, cuts)) = self.keeper.take_last() else { return };
        outside.watch.goes_on(cuts);
        sabotage(outside.options, cuts);
        let (made, relief) = restored(&plan, self.shards.len(), outside.options.seed, cuts);
        self.mail.push_back(Mail::Successor { number, relief });
        for (orders, restored) in self.orders.iter_mut().zip(made) {
            orders.push_back(Order::Successor(Box::new(restored)));
        }
        self.plan = plan;
    }

    /// One thread goes on with another shard; what old shards sent it is over.
    fn go_on_with(&mut self, outside: &mut Outside<'_>, index: usize, (shard, said): Restored) {
        let old = std::mem::replace(&mut self.shards[index], shard);
        self.generations[index] += 1;
        let generation = self.generations[index];
        self.to_peers.retain(|(of, _, to), _| *to != index || *of >= generation);
        self.say(outside, index, said);
        for input in self.shards[index].succeed(&old) {
            self.handle(outside, index, input);
        }
        outside.watch.succeeded(index, &self.shards[index].status());
    }
}
