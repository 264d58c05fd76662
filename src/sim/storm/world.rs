//! The course of a storm: moment by moment, who acts, and what happens to them.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::Rng;

use super::group::{Group, Word};
use super::handover::Handover;
use super::member::{Actor, Member};
use super::options::{Fault, Options};
use super::plot::{Turn, plot};
use super::tellings::Tellings;
use super::topic::{self, HEAL, START, STORM};
use super::watch::Watch;
use super::{Host, Outside, Report, SimDisk, Stage, receivers, verdict};
use crate::checkpoint::dir::Disk;
use crate::engine::plan::Plan;

/// One moment.
const STEP: i64 = 500;

/// How long a process that is gone stays away, at most.
const BACK_MAX: i64 = 15_000;

/// Turns the actors may take in one moment before it counts as going round in circles.
const TURNS_MAX: usize = 5_000;

struct World<'a> {
    outside: Outside<'a>,
    hosts: Vec<Place>,
    lives: u32,
    turns: u64,
    /// Which rules it has.
    edited: bool,
    was_edited: bool,
    rot: rand::rngs::StdRng,
    /// Whom what goes wrong hits.
    whom: rand::rngs::StdRng,
}

/// Where one process runs at a time.
struct Place {
    member: Option<Member>,
    /// When the next process starts.
    back_at: i64,
    shards: usize,
    frozen: BTreeSet<Actor>,
}

pub(super) fn run(options: &Options, stage: &Stage, all_lines: bool) -> Report {
    let partitions = topic::partitions(options);
    let mut watch = Watch::new(options, &partitions);
    watch.all_lines = all_lines;
    let outside = Outside {
        options,
        stage,
        disk: SimDisk::default(),
        handover: Handover::new(options.dice("handover")),
        group: Group::new(partitions.len(), START),
        tellings: Tellings::default(),
        host: 0,
        moves: 0,
        other: Host::default(),
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
        hosts: (0..options.members).map(|_| Place::new(options.shards)).collect(),
        lives: 0,
        turns: 0,
        edited: false,
        was_edited: false,
        rot: options.dice("rot"),
        whom: options.dice("whom"),
    };
    world.rage();
    world.heal();
    world.report()
}

impl Place {
    fn new(shards: usize) -> Place {
        Place { member: None, back_at: START, shards, frozen: BTreeSet::new() }
    }
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
        self.outside.partitions.iter_mut().for_each(|partition| partition.away_until = i64::MIN);
        for host in 0..self.hosts.len() {
            self.outside.act_as(host);
            self.outside.disk.set_full(false);
            let place = &mut self.hosts[host];
            place.frozen.clear();
            place.back_at = place.back_at.min(self.outside.now);
        }
        if self.is_alone() {
            self.assign((0..self.outside.partitions.len()).collect());
        }
        while self.outside.now < START + STORM + HEAL && self.outside.watch.broken.is_none() {
            self.moment();
        }
        let members: Option<Vec<&mut Member>> = self.hosts.iter_mut().map(|place| place.member.as_mut()).collect();
        let Some(members) = members else { return };
        verdict::judge(&mut self.outside, &members, self.was_edited);
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
            moves: outside.moves,
            lives,
            broken: outside.watch.broken,
            lines: outside.watch.lines.into(),
            inexact: outside.watch.inexact,
            torn: outside.watch.torn,
            turns,
        }
    }

    fn is_alone(&self) -> bool {
        self.hosts.len() == 1
    }

    /// The place of the host that acts.
    fn place(&mut self) -> &mut Place {
        &mut self.hosts[self.outside.host]
    }

    /// Half a second.
    fn moment(&mut self) {
        self.outside.now += STEP;
        for host in 0..self.hosts.len() {
            self.outside.act_as(host);
            self.start();
            self.freeze();
        }
        let words = self.outside.group.look(self.outside.now);
        self.pass_on(words);
        let due: Vec<_> = self.outside.answers.range(..=(self.outside.now, u64::MAX)).map(|(key, _)| *key).collect();
        for key in due {
            let (life, answer) = self.outside.answers.remove(&key).expect("it was just there");
            let members = self.hosts.iter_mut().filter_map(|place| place.member.as_mut());
            members.filter(|member| member.life == life).for_each(|member| member.answer(answer.clone()));
        }
        for host in 0..self.hosts.len() {
            self.outside.act_as(host);
            if let Some(member) = &mut self.hosts[host].member {
                member.pulse(&mut self.outside);
            }
        }
        let turns = match self.is_slow() {
            true => self.outside.dice.random_range(0..20),
            false => TURNS_MAX,
        };
        if self.run_actors(turns) == TURNS_MAX {
            self.outside.watch.fail("V11", "the process keeps itself busy without getting anywhere".to_owned());
        }
        for host in 0..self.hosts.len() {
            self.outside.act_as(host);
            self.bury();
        }
    }

    fn is_slow(&self) -> bool {
        self.outside.options.has(Fault::Slow) && self.outside.now < START + STORM
    }

    /// Lets actors go in the order of the dice, until nobody has anything to do.
    fn run_actors(&mut self, turns: usize) -> usize {
        for turn in 0..turns {
            let actors = self.actors();
            if actors.is_empty() {
                return turn;
            }
            let (host, actor) = actors[self.outside.dice.random_range(0..actors.len())];
            self.outside.act_as(host);
            if let Some(member) = &mut self.hosts[host].member {
                member.act(&mut self.outside, actor);
            }
        }
        turns
    }

    /// Who has something to do on a host that is not dead.
    fn actors(&mut self) -> Vec<(usize, Actor)> {
        let mut actors = Vec::new();
        for (host, Place { member, frozen, .. }) in self.hosts.iter().enumerate() {
            self.outside.act_as(host);
            if let Some(member) = member.as_ref().filter(|_| !self.outside.disk.is_dead()) {
                let able = member.actors(&self.outside).into_iter().filter(|actor| !frozen.contains(actor));
                actors.extend(able.map(|actor| (host, actor)));
            }
        }
        actors
    }

    /// Some channels stand still for this moment.
    fn freeze(&mut self) {
        let slow = self.is_slow();
        let Place { member, frozen, .. } = &mut self.hosts[self.outside.host];
        frozen.clear();
        if let Some(member) = member.as_ref().filter(|_| slow) {
            let actors = member.actors(&self.outside);
            frozen.extend(actors.into_iter().filter(|_| self.outside.dice.random_bool(0.4)));
        }
    }

    fn turn(&mut self, turn: Turn) {
        self.turns += 1;
        if !matches!(turn, Turn::Full(_) | Turn::Skew(_)) || self.outside.watch.all_lines {
            self.outside.say(format!("{turn:?}"));
        }
        self.outside.act_as(self.whom.random_range(0..self.hosts.len()));
        let now = self.outside.now;
        match turn {
            Turn::Kill => self.end(false),
            Turn::CutPower => self.end(true),
            Turn::Trap(point, times) => self.outside.disk.set_trap(point, times),
            Turn::Stop => self.stop(),
            Turn::Reload => self.reload(),
            Turn::Revoke(partitions) if self.is_alone() => {
                if let Some(member) = &mut self.hosts[0].member {
                    member.revoke(&mut self.outside, &partitions);
                }
            }
            Turn::Assign(partitions) if self.is_alone() => self.assign(partitions),
            Turn::Revoke(partitions) | Turn::Assign(partitions) => {
                let words = self.outside.group.rebalance(&partitions, now);
                self.pass_on(words);
            }
            Turn::Reread(partition, records) => {
                self.place().member.iter_mut().for_each(|member| member.reread(partition, records));
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
                if let Some(member) = &mut self.hosts[self.outside.host].member {
                    member.operate(&mut self.outside, ask);
                }
            }
            Turn::Checkpoint => {
                self.place().member.iter_mut().for_each(Member::begin_checkpoint);
            }
        }
    }

    /// Partitions come back that are not ours at the moment.
    fn assign(&mut self, partitions: Vec<usize>) {
        if let Some(member) = &mut self.hosts[self.outside.host].member {
            let missing = partitions.into_iter().filter(|partition| !member.reads(*partition)).collect();
            member.assign(&mut self.outside, missing);
        }
    }

    /// Members hear what the group says.
    fn pass_on(&mut self, words: Vec<(usize, usize, Word)>) {
        if self.is_alone() {
            return;
        }
        for (partition, host, word) in words {
            self.outside.act_as(host);
            self.outside.say(format!("host {host}: {word:?} {partition}"));
            let Some(member) = &mut self.hosts[host].member else { continue };
            match word {
                Word::Assign => {
                    self.outside.moves += 1;
                    member.assign(&mut self.outside, vec![partition]);
                }
                Word::Revoke => member.revoke(&mut self.outside, &[partition]),
                Word::Lost => member.lose_partitions(&mut self.outside, &[partition]),
            }
        }
    }

    /// The process is gone, and with it everything that was only in memory.
    fn end(&mut self, power: bool) {
        if power {
            let mut dice = self.outside.options.dice(&format!("power {}", self.outside.now));
            self.outside.disk.cut_power(&mut dice);
            self.outside.power_was_cut = true;
        }
        if let Some(member) = self.place().member.take() {
            self.outside.say(format!("the process is gone ({})", if power { "power cut" } else { "killed" }));
            self.outside.handover.dies(member.life, self.outside.now);
            self.outside.group.leaves(self.outside.host, self.outside.now);
            self.place().back_at = self.outside.now + self.outside.dice.random_range(0..BACK_MAX);
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
        let host = self.outside.host;
        let Some(member) = &mut self.hosts[host].member else { return };
        let life = member.life;
        member.stop_reading();
        self.hosts.iter_mut().for_each(|place| place.frozen.clear());
        self.run_actors(TURNS_MAX);
        self.hosts[host].member.iter_mut().for_each(Member::begin_checkpoint);
        self.run_actors(TURNS_MAX);
        let patience = self.outside.now + 10_000;
        let due = self.outside.answers.range(..=(patience, u64::MAX));
        let due: Vec<_> = due.filter(|(_, (of, _))| *of == life).map(|(key, _)| *key).collect();
        for key in due {
            let (_, answer) = self.outside.answers.remove(&key).expect("it was just there");
            self.hosts[host].member.iter_mut().for_each(|member| member.answer(answer.clone()));
        }
        self.run_actors(TURNS_MAX);
        self.outside.act_as(host);
        if let Some(member) = self.hosts[host].member.as_mut().filter(|_| !self.outside.disk.is_dead()) {
            member.close(&mut self.outside);
        }
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
        let stage = self.outside.stage;
        if self.is_alone() { stage.plans[usize::from(self.edited)].clone() } else { stage.local.clone() }
    }

    fn reload(&mut self) {
        let plan = self.edit();
        self.place().member.iter_mut().for_each(|member| member.reload(plan.clone()));
    }

    fn start(&mut self) {
        if self.place().member.is_some() || self.outside.now < self.place().back_at {
            return;
        }
        self.outside.disk.restart();
        if self.outside.options.has(Fault::Reshard) {
            self.place().shards = self.outside.dice.random_range(1..=4);
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
        let (plan, shards) = (self.plan(), self.place().shards);
        self.outside.say(format!("process {} starts with {shards} shards", self.lives));
        match Member::start(&mut self.outside, self.lives, plan, shards) {
            Ok(member) => self.join(member),
            Err(error) => {
                self.outside.say(format!("it cannot: {error}"));
                self.place().back_at = self.outside.now + 2_000;
            }
        }
    }

    /// A process runs and comes to the group.
    fn join(&mut self, member: Member) {
        self.place().member = Some(member);
        let words = self.outside.group.joins(self.outside.host, self.outside.now);
        let host = self.outside.host;
        self.pass_on(words);
        self.outside.act_as(host);
        if !self.is_alone() {
            self.assign(Vec::new()); // the group says so where it has nothing to give, too
        }
    }

    fn checkpoints(&self) -> usize {
        let names = self.outside.disk.names().unwrap_or_default();
        names.iter().filter(|name| name.ends_with(".fog")).count()
    }
}
