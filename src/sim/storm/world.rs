//! The course of a storm: moment by moment, who acts, and what happens to them.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::Rng;

use super::member::{Actor, Member};
use super::options::{Fault, Options};
use super::plot::{Turn, plot};
use super::topic::{self, HEAL, START, STORM};
use super::watch::Watch;
use super::{Outside, Report, SimDisk, Stage, receivers, verdict};
use crate::checkpoint::dir::Disk;
use crate::engine::plan::Plan;

/// One moment.
const STEP: i64 = 500;

/// Turns the actors may take in one moment before it counts as going round in circles.
const TURNS_MAX: usize = 5_000;

struct World<'a> {
    outside: Outside<'a>,
    member: Option<Member>,
    /// When the next process starts.
    back_at: i64,
    lives: u32,
    turns: u64,
    shards: usize,
    /// Which rules it has.
    edited: bool,
    was_edited: bool,
    frozen: BTreeSet<Actor>,
    rot: rand::rngs::StdRng,
}

pub(super) fn run(options: &Options, stage: &Stage, all_lines: bool) -> Report {
    let partitions = topic::partitions(options);
    let mut watch = Watch::new(&partitions);
    watch.all_lines = all_lines;
    let outside = Outside {
        options,
        stage,
        disk: SimDisk::default(),
        partitions,
        receivers: receivers::receivers(options),
        answers: Default::default(),
        sent: 0,
        now: START,
        skew: 0,
        power_was_cut: false,
        dice: options.dice("who acts"),
        watch,
    };
    let mut world = World {
        outside,
        member: None,
        back_at: START,
        lives: 0,
        turns: 0,
        shards: options.shards,
        edited: false,
        was_edited: false,
        frozen: BTreeSet::new(),
        rot: options.dice("rot"),
    };
    world.rage();
    world.heal();
    world.report()
}

impl World<'_> {
    fn rage(&mut self) {
        let mut turns = plot(self.outside.options).into_iter().peekable();
        while self.outside.now < START + STORM && self.outside.watch.broken.is_none() {
            while let Some((_, turn)) = turns.next_if(|(at, _)| *at <= self.outside.now) {
                self.turn(turn);
            }
            self.moment();
        }
    }

    /// Everything is well: whatever was away is back, and stays.
    fn heal(&mut self) {
        self.outside.say("all is well from here on".to_owned());
        self.outside.skew = 0;
        self.outside.disk.set_full(false);
        self.outside.partitions.iter_mut().for_each(|partition| partition.away_until = i64::MIN);
        self.frozen.clear();
        self.back_at = self.back_at.min(self.outside.now);
        self.assign((0..self.outside.partitions.len()).collect());
        while self.outside.now < START + STORM + HEAL && self.outside.watch.broken.is_none() {
            self.moment();
        }
        let Some(member) = &mut self.member else { return };
        verdict::judge(&mut self.outside, member, self.was_edited);
    }

    fn report(self) -> Report {
        let World { outside, lives, turns, .. } = self;
        Report {
            options: outside.options.clone(),
            hash: outside.watch.hash(),
            records: outside.partitions.iter().map(|partition| partition.records.len() as u64).sum(),
            deliveries: outside.watch.deliveries,
            checkpoints: outside.watch.checkpoints,
            episodes: outside.watch.fired.len(),
            lives,
            broken: outside.watch.broken,
            lines: outside.watch.lines.into(),
            inexact: outside.watch.inexact,
            torn: outside.watch.torn,
            turns,
        }
    }

    /// Half a second.
    fn moment(&mut self) {
        self.outside.now += STEP;
        self.start();
        self.freeze();
        let due: Vec<_> = self.outside.answers.range(..=(self.outside.now, u64::MAX)).map(|(key, _)| *key).collect();
        for key in due {
            let (life, answer) = self.outside.answers.remove(&key).expect("it was just there");
            self.member
                .iter_mut()
                .filter(|member| member.life == life)
                .for_each(|member| member.answer(answer.clone()));
        }
        if let Some(member) = &mut self.member {
            member.pulse(&mut self.outside);
        }
        let turns = match self.is_slow() {
            true => self.outside.dice.random_range(0..20),
            false => TURNS_MAX,
        };
        if self.run_actors(turns) == TURNS_MAX {
            self.outside.watch.fail("V11", "the process keeps itself busy without getting anywhere".to_owned());
        }
        self.bury();
    }

    fn is_slow(&self) -> bool {
        self.outside.options.has(Fault::Slow) && self.outside.now < START + STORM
    }

    /// Lets actors go in the order of the dice, until nobody has anything to do.
    fn run_actors(&mut self, turns: usize) -> usize {
        for turn in 0..turns {
            let Some(member) = &mut self.member else { return turn };
            let mut actors = member.actors(&self.outside);
            actors.retain(|actor| !self.frozen.contains(actor));
            if actors.is_empty() || self.outside.disk.is_dead() {
                return turn;
            }
            let actor = actors[self.outside.dice.random_range(0..actors.len())];
            member.act(&mut self.outside, actor);
        }
        turns
    }

    /// Some channels stand still for this moment.
    fn freeze(&mut self) {
        self.frozen.clear();
        if self.is_slow()
            && let Some(member) = &self.member
        {
            let actors = member.actors(&self.outside);
            self.frozen.extend(actors.into_iter().filter(|_| self.outside.dice.random_bool(0.4)));
        }
    }

    fn turn(&mut self, turn: Turn) {
        self.turns += 1;
        if !matches!(turn, Turn::Full(_) | Turn::Skew(_)) || self.outside.watch.all_lines {
            self.outside.say(format!("{turn:?}"));
        }
        let now = self.outside.now;
        match turn {
            Turn::Kill => self.end(false),
            Turn::CutPower => self.end(true),
            Turn::Trap(point, times) => self.outside.disk.set_trap(point, times),
            Turn::Stop => self.stop(),
            Turn::Reload => self.reload(),
            Turn::Revoke(partitions) => {
                if let Some(member) = &mut self.member {
                    member.revoke(&mut self.outside, &partitions);
                }
            }
            Turn::Assign(partitions) => self.assign(partitions),
            Turn::Reread(partition, records) => {
                self.member.iter_mut().for_each(|member| member.reread(partition, records));
            }
            Turn::Away(partition, until) => self.outside.partitions[partition].away_until = until,
            Turn::Retain(partition, left) => {
                let of = &mut self.outside.partitions[partition];
                of.start = of.start.max(of.end(now).saturating_sub(left));
            }
            Turn::Anew(partition) => {
                let of = &mut self.outside.partitions[partition];
                let end = of.end(now);
                (of.base, of.start, of.anew, of.committed) = (end, end, true, None);
            }
            Turn::Full(full) => self.outside.disk.set_full(full),
            Turn::Skew(skew) => self.outside.skew = skew,
            Turn::Ask(ask) => {
                if let Some(member) = &mut self.member {
                    member.operate(&mut self.outside, ask);
                }
            }
            Turn::Checkpoint => {
                self.member.iter_mut().for_each(Member::begin_checkpoint);
            }
        }
    }

    /// Partitions come back that are not ours at the moment.
    fn assign(&mut self, partitions: Vec<usize>) {
        if let Some(member) = &mut self.member {
            let missing = partitions.into_iter().filter(|partition| !member.reads(*partition)).collect();
            member.assign(&mut self.outside, missing);
        }
    }

    /// The process is gone, and with it everything that was only in memory.
    fn end(&mut self, power: bool) {
        if power {
            let mut dice = self.outside.options.dice(&format!("power {}", self.outside.now));
            self.outside.disk.cut_power(&mut dice);
            self.outside.power_was_cut = true;
        }
        if self.member.take().is_some() {
            self.outside.say(format!("the process is gone ({})", if power { "power cut" } else { "killed" }));
            self.back_at = self.outside.now + self.outside.dice.random_range(0..15_000);
        }
    }

    /// The process passed a point at which it ends.
    fn bury(&mut self) {
        if self.outside.disk.is_dead() {
            let power = self.outside.options.has(Fault::Power) && self.outside.dice.random_bool(0.5);
            self.end(power);
            self.outside.disk.restart();
        }
    }

    /// In good order: everything that was read is judged, a last checkpoint is taken, what is under way is waited for.
    fn stop(&mut self) {
        let Some(member) = &mut self.member else { return };
        member.stop_reading();
        self.frozen.clear();
        self.run_actors(TURNS_MAX);
        self.member.iter_mut().for_each(Member::begin_checkpoint);
        self.run_actors(TURNS_MAX);
        let patience = self.outside.now + 10_000;
        let due: Vec<_> = self.outside.answers.range(..=(patience, u64::MAX)).map(|(key, _)| *key).collect();
        for key in due {
            let (_, answer) = self.outside.answers.remove(&key).expect("it was just there");
            self.member.iter_mut().for_each(|member| member.answer(answer.clone()));
        }
        self.run_actors(TURNS_MAX);
        self.bury();
        self.end(false);
        if self.outside.options.has(Fault::Reload) {
            self.edit();
        }
    }

    /// The rules in its files are others.
    fn edit(&mut self) -> Arc<Plan> {
        self.edited = !self.edited;
        self.was_edited = true;
        self.plan()
    }

    fn plan(&self) -> Arc<Plan> {
        self.outside.stage.plans[usize::from(self.edited)].clone()
    }

    fn reload(&mut self) {
        let plan = self.edit();
        self.member.iter_mut().for_each(|member| member.reload(plan.clone()));
    }

    fn start(&mut self) {
        if self.member.is_some() || self.outside.now < self.back_at {
            return;
        }
        self.outside.disk.restart();
        if self.outside.options.has(Fault::Reshard) {
            self.shards = self.outside.dice.random_range(1..=4);
        }
        if self.outside.options.has(Fault::Rot) && self.checkpoints() > 1 && self.rot.random_bool(0.5) {
            self.outside.say("the newest checkpoint is damaged".to_owned());
            self.outside.disk.rot("checkpoint-", &mut self.rot);
            self.outside.watch.log_broke();
        }
        self.lives += 1;
        if let Some(anew) = self.outside.partitions.iter().find(|partition| partition.base > 0) {
            // Where the new log is longer than an old position, nobody can tell that it is another one.
            self.outside.watch.inexact(|| format!("{} was made anew before a restart", anew.source));
        }
        let plan = self.plan();
        self.outside.say(format!("process {} starts with {} shards", self.lives, self.shards));
        match Member::start(&mut self.outside, self.lives, plan, self.shards) {
            Ok(member) => self.member = Some(member),
            Err(error) => {
                self.outside.say(format!("it cannot: {error}"));
                self.back_at = self.outside.now + 2_000;
            }
        }
    }

    fn checkpoints(&self) -> usize {
        let names = self.outside.disk.names().unwrap_or_default();
        names.iter().filter(|name| name.ends_with(".fog")).count()
    }
}
