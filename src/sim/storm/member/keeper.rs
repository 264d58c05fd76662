//! The keeper: asks for a checkpoint now and then, collects the cuts, writes them in one file, then commits. A reload is
//! another cut ([`super::reload`]), so one of them comes after the other.

use std::sync::Arc;

use super::reload::Order;
use super::{Actor, Member};
use crate::checkpoint::{Checkpoint, Head};
use crate::engine::desk::DeskCut;
use crate::engine::plan::Plan;
use crate::engine::shard::positions;
use crate::engine::state::ShardCut;
use crate::model::EventTime;
use crate::rule::hold::Hold;
use crate::sim::storm::Outside;
use crate::sim::storm::options::{Options, Sabotage};

/// How often a checkpoint is taken.
const EVERY: i64 = 5_000;

#[derive(Debug)]
pub struct Keeper {
    next: u64,
    due: i64,
    collecting: Option<Collecting>,
    /// What the process is to go on with.
    wanted: Option<Arc<Plan>>,
}

/// Cuts of one number.
#[derive(Debug)]
pub struct Collecting {
    pub number: u64,
    pub shards: Vec<ShardCut>,
    /// Shards that gave theirs.
    given: usize,
    pub desk: Option<DeskCut>,
    /// They are the last of their shards, and these rules are to be gone on with.
    pub next: Option<Arc<Plan>>,
}

impl Keeper {
    pub fn new(next: u64, now: i64) -> Keeper {
        Keeper { next, due: now + 100, collecting: None, wanted: None }
    }

    fn begin(&mut self, next: Option<Arc<Plan>>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.collecting = Some(Collecting { number, shards: Vec::new(), given: 0, desk: None, next });
        number
    }

    /// What a shard, or each of its cells, gives.
    pub fn give(&mut self, cut: u64, states: Vec<ShardCut>) {
        if let Some(collecting) = self.collecting.as_mut().filter(|collecting| collecting.number == cut) {
            collecting.shards.extend(states);
            collecting.given += 1;
        }
    }

    /// The desk's cut; without one, there is no checkpoint of this number.
    pub fn give_desk(&mut self, now: i64, cut: u64, state: Option<DeskCut>) {
        let Some(collecting) = self.collecting.as_mut().filter(|collecting| collecting.number == cut) else { return };
        collecting.desk = state;
        if collecting.desk.is_none() {
            (self.collecting, self.due) = (None, now + EVERY);
        }
    }

    /// What is to be done with what was collected.
    pub fn next_step(&self, shards: usize) -> Option<Actor> {
        let collecting = self.collecting.as_ref().filter(|collecting| collecting.given >= shards)?;
        match (&collecting.next, &collecting.desk) {
            (Some(_), _) => Some(Actor::Reload),
            (None, Some(_)) => Some(Actor::Save),
            (None, None) => None,
        }
    }

    /// The last cuts of shards that are succeeded by others. The checkpoint of them waits for the desk's.
    pub fn take_last(&mut self) -> Option<(u64, Arc<Plan>, &mut Vec<ShardCut>)> {
        let collecting = self.collecting.as_mut()?;
        let plan = collecting.next.take()?;
        collecting.shards.sort_by_key(|cut| cut.shard);
        Some((collecting.number, plan, &mut collecting.shards))
    }
}

impl Member {
    /// Asks everybody for a cut, when it is time.
    pub(super) fn ask(&mut self, outside: &Outside<'_>) {
        match self.keeper.wanted.take_if(|_| self.keeper.collecting.is_none()) {
            Some(plan) => self.order(Some(plan), Order::LastCut),
            None if outside.now >= self.keeper.due => self.begin_checkpoint(),
            None => {}
        }
    }

    /// Goes on with other rules, as soon as no checkpoint is under way.
    pub fn reload(&mut self, plan: Arc<Plan>) {
        self.keeper.wanted = Some(plan);
    }

    /// Takes a checkpoint, unless there is one under way.
    pub fn begin_checkpoint(&mut self) {
        if self.keeper.collecting.is_none() {
            self.order(None, Order::Cut);
        }
    }

    fn order(&mut self, next: Option<Arc<Plan>>, order: fn(u64) -> Order) {
        let number = self.keeper.begin(next);
        self.orders.iter_mut().for_each(|orders| orders.push_back(order(number)));
    }

    pub(super) fn save(&mut self, outside: &mut Outside<'_>) {
        let Some(Collecting { number, mut shards, desk: Some(desk), next: None, .. }) = self.keeper.collecting.take()
        else {
            return;
        };
        self.keeper.due = outside.now + EVERY;
        self.show(outside);
        shards.sort_by_key(|cut| cut.shard);
        let head = Head {
            number,
            taken_at: desk.now,
            program: "the storm".to_owned(),
            clean: false,
            desk_meaning: outside.stage.desk(outside.options, &self.plan).meaning(),
            seed: outside.options.seed,
        };
        let positions = positions(&shards);
        let checkpoint = Checkpoint { head, shards, desk };
        if outside.options.sabotaged(Sabotage::CommitEarly) {
            outside.commit(&positions);
        }
        match self.dir.save(&checkpoint) {
            Ok(_) => {
                self.begun = true;
                outside.watch.saved(&positions);
                outside.commit(&positions);
                outside.pass("offsets_committed");
            }
            Err(error) => outside.say(format!("checkpoint {number} was not written: {error}")),
        }
    }
}

/// Breaks what a process goes on from.
pub fn sabotage(options: &Options, cuts: &mut [ShardCut]) {
    for cut in cuts {
        if options.sabotaged(Sabotage::ForgetHolds) {
            let rules = cut.feeds.iter_mut().flat_map(|feed| &mut feed.rules);
            let active = rules.flat_map(|rule| &mut rule.active);
            active.filter(|active| matches!(active.hold, Hold::Pending { .. })).for_each(|a| a.hold = Hold::Clear);
        }
        for stream in &mut cut.streams {
            if options.sabotaged(Sabotage::ForgetMarks) {
                stream.joined = EventTime::MIN;
                stream.sources.iter_mut().for_each(|source| source.mark.own = EventTime::MIN);
            }
        }
    }
}
