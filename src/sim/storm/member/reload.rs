//! Other rules for a process that runs, in the order of `runtime/reload`: last cuts at one barrier, new shards from them all
//! at once, a desk that gives way to its successor behind everything the old shards said, and each thread going on with
//! another shard when it comes to it.

use std::sync::Arc;

use super::keeper::sabotage;
use super::{Mail, Member, shard_of};
use crate::engine::cells::{Cells, Said};
use crate::engine::machine::Machine;
use crate::engine::merge::Relief;
use crate::engine::plan::Plan;
use crate::engine::shard::{Shard, ShardInput};
use crate::engine::state::ShardCut;
use crate::model::SourceId;
use crate::sim::storm::{Options, Outside};

/// What the keeper wants of a shard.
pub enum Order {
    Cut(u64),
    /// The same; a successor follows it.
    LastCut(u64),
    Successor(Box<Restored>),
}

/// A shard that goes on, and what it said as it did.
pub type Restored = (Machine, Vec<Said>);

/// Shards, or the threads of cells, that go on from cuts, and what the desk is to hear of them first.
pub fn restored(plan: &Arc<Plan>, shards: usize, options: &Options, cuts: &[ShardCut]) -> (Vec<Restored>, Relief) {
    let one = |index| {
        let mut machine = match options.members {
            1 => Shard::new(index, shards, plan.clone(), options.seed)
                .map(|shard| Machine::Shard(Box::new(shard.with_cuts()))),
            _ => Cells::new(plan.clone(), options.seed).map(|cells| Machine::Cells(Box::new(cells.with_cuts()))),
        }
        .expect("the stream is decoded");
        let mut said = Vec::new();
        let mine = |home: &SourceId| shard_of(home.partition as usize, shards) == index;
        machine.restore(cuts, mine, &mut said).expect("what passed its checksums is read");
        (machine, said)
    };
    let made: Vec<Restored> = (0..shards).map(one).collect();
    let relief = Relief::new(plan, cuts, made.iter().flat_map(|(_, said)| said).filter_map(Said::of_shard));
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
        let (made, relief) = restored(&plan, self.shards.len(), outside.options, cuts);
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
        let mut said = Vec::new();
        self.shards[index].succeed(&old, &mut said);
        self.say(outside, index, said);
        outside.watch.succeeded(index, &self.shards[index].status());
    }
}
