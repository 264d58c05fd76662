//! The keeper: asks for a checkpoint now and then, collects the cuts, writes them in one file, then commits.

use super::Member;
use crate::checkpoint::{Checkpoint, Head};
use crate::engine::desk::DeskCut;
use crate::engine::shard::positions;
use crate::engine::state::ShardCut;
use crate::model::EventTime;
use crate::rule::hold::Hold;
use crate::sim::storm::Outside;
use crate::sim::storm::options::{Fault, Options, Sabotage};

/// How often a checkpoint is taken.
const EVERY: i64 = 5_000;

/// How long shards and desk may take to give their cuts.
const CUT_MAX: i64 = 60_000;

#[derive(Debug)]
pub struct Keeper {
    next: u64,
    due: i64,
    collecting: Option<Collecting>,
}

#[derive(Debug)]
struct Collecting {
    number: u64,
    since: i64,
    shards: Vec<ShardCut>,
    desk: Option<DeskCut>,
}

impl Keeper {
    pub fn new(next: u64, now: i64) -> Keeper {
        Keeper { next, due: now + 100, collecting: None }
    }

    pub fn give(&mut self, cut: u64, state: ShardCut) {
        if let Some(collecting) = self.collecting.as_mut().filter(|collecting| collecting.number == cut) {
            collecting.shards.push(state);
        }
    }

    pub fn give_desk(&mut self, cut: u64, state: DeskCut) {
        if let Some(collecting) = self.collecting.as_mut().filter(|collecting| collecting.number == cut) {
            collecting.desk = Some(state);
        }
    }

    pub fn is_complete(&self, shards: usize) -> bool {
        self.collecting.as_ref().is_some_and(|c| c.shards.len() >= shards && c.desk.is_some())
    }
}

impl Member {
    /// Asks everybody for a cut, when it is time.
    pub(super) fn ask(&mut self, outside: &mut Outside<'_>) {
        let patience = if outside.options.has(Fault::Slow) { CUT_MAX / 15 } else { CUT_MAX };
        let given_up = |collecting: &mut Collecting| outside.now - collecting.since > patience;
        drop(self.keeper.collecting.take_if(given_up));
        if self.keeper.collecting.is_none() && outside.now >= self.keeper.due {
            self.begin_checkpoint(outside);
        }
    }

    pub fn begin_checkpoint(&mut self, outside: &mut Outside<'_>) {
        let number = self.keeper.next;
        self.keeper.next += 1;
        self.keeper.collecting = Some(Collecting { number, since: outside.now, shards: Vec::new(), desk: None });
        self.asks.iter_mut().for_each(|asks| asks.push_back(number));
    }

    /// Whether a checkpoint is under way.
    pub fn is_keeping(&self) -> bool {
        self.keeper.collecting.is_some()
    }

    pub(super) fn save(&mut self, outside: &mut Outside<'_>) {
        let Some(Collecting { number, mut shards, desk: Some(desk), .. }) = self.keeper.collecting.take() else {
            return;
        };
        self.keeper.due = outside.now + EVERY;
        shards.sort_by_key(|cut| cut.shard);
        let head = Head {
            number,
            taken_at: desk.now,
            program: "the storm".to_owned(),
            clean: false,
            desk_meaning: 0,
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
