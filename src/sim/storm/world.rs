//! The course of a storm: moment by moment, who acts, and what happens to them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use rand::Rng;

use super::group::{Group, Said, Word};
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

/// How long a process that stood still goes on before it hears from the group.
const UNAWARE_MAX: i64 = 1_500;

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
    /// How soon who stood still hears of it.
    wakes: rand::rngs::StdRng,
}

/// Where one process runs at a time.
struct Place {
    member: Option<Member>,
    /// When the next process starts.
    back_at: i64,
    shards: usize,
    frozen: BTreeSet<Actor>,
    /// The process stands still, or does not know yet that it did.
    stands: Option<Standstill>,
    /// What the group says that it has not heard.
    words: VecDeque<(usize, Word)>,
}

#[derive(Clone, Copy, Debug)]
struct Standstill {
    since: i64,
    until: i64,
    /// How long it goes on before it hears what became of it.
    unaware: i64,
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
        is_unaware: false,
        is_deaf: false,
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
        wakes: options.dice("wakes"),
    };
    world.rage();
    world.heal();
    world.report()
}

impl Place {
    fn new(shards: usize) -> Place {
        let (frozen, words) = (BTreeSet::new(), VecDeque::new());
        Place { member: None, back_at: START, shards, frozen, stands: None, words }
    }

    /// The process, unless it stands still.
    fn awake(&mut self, now: i64) -> Option<&mut Member> {
        self.member.as_mut().filter(|_| self.stands.is_none_or(|stands| now >= stands.until))
    }

    /// Hears what the group said, one word after the other, unless it stands still. Before a partition is read its newest
    /// parcel has to be found; one that is taken away has to be let go of.
    fn listen(&mut self, outside: &mut Outside<'_>) {
        let mut words = std::mem::take(&mut self.words);
        while let Some(member) = self.awake(outside.now) {
            let waits = |word| word == Word::Assign && outside.now < outside.handover.away_until;
            let next = words.pop_front_if(|(_, word)| !member.is_letting_go(outside) && !waits(*word));
            let Some((partition, word)) = next else { break };
            match word {
                Word::Assign => {
                    outside.moves += 1;
                    member.assign(outside, vec![partition]);
                }
                Word::Revoke => member.revoke(outside, &[partition]),
                Word::Lost => member.lose_partitions(outside, &[partition]),
            }
        }
        outside.is_deaf = !words.is_empty();
        self.words = words;
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
        self.outside.partitions.iter_mut().for_each(|partition| partition.away_until = i64::MIN);
        self.outside.handover.away_until = i64::MIN;
        for host in 0..self.hosts.len() {
            self.outside.act_as(host);
            self.outside.skew = 0;
            self.outside.disk.set_full(false);
            let (place, now) = (&mut self.hosts[host], self.outside.now);
            place.frozen.clear();
            place.back_at = place.back_at.min(now);
            place.stands.iter_mut().for_each(|stands| stands.until = stands.until.min(now));
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
        for host in 0..self.hosts.len() {
            self.outside.act_as(host);
            self.wake();
        }
        let due: Vec<_> = self.outside.answers.range(..=(self.outside.now, u64::MAX)).map(|(key, _)| *key).collect();
        for key in due {
            let (life, answer) = self.outside.answers.remove(&key).expect("it was just there");
            let members = self.hosts.iter_mut().filter_map(|place| place.member.as_mut());
            members.filter(|member| member.life == life).for_each(|member| member.answer(answer.clone()));
        }
        for host in 0..self.hosts.len() {
            self.outside.act_as(host);
            if let Some(member) = self.hosts[host].awake(self.outside.now) {
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
        for (host, place) in self.hosts.iter_mut().enumerate() {
            self.outside.act_as(host);
            let awake = place.awake(self.outside.now).is_some() && !self.outside.disk.is_dead();
            if let Some(member) = place.member.as_ref().filter(|_| awake) {
                let able = member.actors(&self.outside).into_iter().filter(|actor| !place.frozen.contains(actor));
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
            Turn::Full(true) => self.outside.disk.set_full(true),
            Turn::Full(false) => self.everywhere(|_, outside| outside.disk.set_full(false)),
            Turn::Skew(0) => self.everywhere(|_, outside| outside.skew = 0),
            Turn::Skew(skew) => self.outside.skew = skew,
            Turn::Ask(ask) => self.everywhere(|place, outside| {
                if let Some(member) = place.awake(outside.now) {
                    member.operate(outside, ask);
                }
            }),
            Turn::StandStill(length) => self.stand_still(length),
            Turn::NoParcels(until) => self.outside.handover.away_until = until,
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

    /// The group says something to its members.
    fn pass_on(&mut self, words: Vec<Said>) {
        if self.is_alone() {
            return;
        }
        for (partition, host, word) in words {
            self.outside.say(format!("host {host}: {word:?} {partition}"));
            self.hosts[host].words.push_back((partition, word));
        }
        self.everywhere(Place::listen);
    }

    /// The process stands still: it does nothing, and the group does not hear of it.
    fn stand_still(&mut self, length: i64) {
        let (host, now) = (self.outside.host, self.outside.now);
        if self.place().member.is_some() && self.place().stands.is_none() {
            let until = now + length;
            let unaware = self.wakes.random_range(0..UNAWARE_MAX);
            self.place().stands = Some(Standstill { since: now, until, unaware });
            self.outside.group.stands_still(host, now);
        }
    }

    /// Who stood still goes on, and hears some time later whether it is still a member.
    fn wake(&mut self) {
        let (host, now) = (self.outside.host, self.outside.now);
        let Some(Standstill { since, until, unaware }) = self.place().stands.filter(|stands| now >= stands.until)
        else {
            return;
        };
        if !self.outside.is_unaware {
            self.outside.say(format!("host {host} wakes"));
            self.outside.handover.wakes(host, since, now);
            self.outside.is_unaware = !self.outside.group.wakes(host, now);
        }
        if !self.outside.is_unaware {
            self.place().stands = None;
        } else if now >= until + unaware {
            self.place().stands = None;
            self.outside.is_unaware = false;
            self.join_again();
        }
    }

    /// It hears that it has nothing any more, and comes to the group anew.
    fn join_again(&mut self) {
        let (host, now, all) = (self.outside.host, self.outside.now, 0..self.outside.partitions.len());
        if self.is_alone() {
            let all: Vec<usize> = all.collect();
            self.hosts[host].member.iter_mut().for_each(|member| member.revoke(&mut self.outside, &all));
            return self.assign(all);
        }
        self.pass_on(all.map(|partition| (partition, host, Word::Lost)).collect());
        let words = self.outside.group.joins(host, now);
        self.pass_on(words);
    }

    /// The same for each host.
    fn everywhere(&mut self, mut act: impl FnMut(&mut Place, &mut Outside<'_>)) {
        let here = self.outside.host;
        for (host, place) in self.hosts.iter_mut().enumerate() {
            self.outside.act_as(host);
            act(place, &mut self.outside);
        }
        self.outside.act_as(here);
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
            let back_at = self.outside.now + self.outside.dice.random_range(0..BACK_MAX);
            let place = self.place();
            (place.back_at, place.stands) = (back_at, None);
            place.words.clear();
            (self.outside.is_unaware, self.outside.is_deaf) = (false, false);
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
        let Some(member) = self.hosts[host].awake(self.outside.now) else { return };
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
            self.reload();
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
        let plans = if self.is_alone() { &stage.plans } else { &stage.local };
        plans[usize::from(self.edited)].clone()
    }

    /// Whoever runs goes on with other rules.
    fn reload(&mut self) {
        let plan = self.edit();
        let members = self.hosts.iter_mut().filter_map(|place| place.member.as_mut());
        members.for_each(|member| member.reload(plan.clone()));
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
