//! One process: shards, a desk and what lies in the channels between them, as `runtime` has them on its threads.
//!
//! Threads are actors here: each has something it could do next, and the dice say who does. Messages from one to another
//! stay in order, and nothing else is promised, as between threads. What the process writes goes through the real
//! checkpoint and log code to the simulated disk; when it ends, everything in here is gone.

mod desk;
mod homes;
mod keeper;
mod reload;
mod source;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;

use super::Outside;
use super::disk::SimDisk;
use super::options::{Options, Sabotage};
use super::receivers::Answer;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::arrival::still_here;
use crate::checkpoint::dir::{Dir, Log};
use crate::checkpoint::log::LogEntry;
use crate::engine::align::Alignment;
use crate::engine::cells::Said;
use crate::engine::desk::{Desk, DeskInput};
use crate::engine::heard;
use crate::engine::limit::LimitNews;
use crate::engine::machine::Machine;
use crate::engine::merge::{LimitJoin, Relief};
use crate::engine::plan::Plan;
use crate::engine::shard::{Peer, ShardInput, ShardOutput, ShardStatus, positions};
use crate::engine::stall::StallWatch;
use crate::engine::state::{CellCut, ShardCut};
use crate::engine::steady::SteadyClock;
use crate::model::{EventTime, Millis, Signal, SourceId};
use homes::Homes;
use keeper::Keeper;
use reload::{Order, restored};
use source::{Consumer, FromSource};

/// What can go next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    /// The consumer reads on in this partition.
    Fetch(usize),
    /// A shard takes what its source has for it.
    Source(usize),
    /// … what a peer has for it.
    Peer(usize, usize),
    /// … what the keeper wants of it.
    Order(usize),
    /// … its look at the clock.
    Pulse(usize),
    /// The desk reads its mail.
    Mail,
    /// The desk hears of a delivery.
    Receipt,
    /// A checkpoint is written.
    Save,
    /// Old shards have given their last cuts: others go on from them.
    Reload,
}

/// What the desk gets from shards.
#[derive(Debug)]
enum Mail {
    Signals {
        shard: usize,
        signals: Vec<Signal>,
    },
    Limit {
        shard: usize,
        news: LimitNews,
    },
    Input(DeskInput),
    Cut {
        shard: usize,
        cut: u64,
        cells: Vec<Arc<CellCut>>,
    },
    /// A partition arrived, with its cell where that is news, or is somebody else's.
    Home {
        shard: usize,
        input: DeskInput,
        cell: Option<Arc<CellCut>>,
    },
    /// A partition goes to the other member.
    Leaving {
        shard: usize,
        home: SourceId,
        cell: Box<CellCut>,
    },
    /// Another desk goes on from here, with a checkpoint of this number.
    Successor {
        number: u64,
        relief: Relief,
    },
}

impl Mail {
    fn shard(&self) -> Option<usize> {
        match self {
            Mail::Signals { shard, .. } | Mail::Limit { shard, .. } | Mail::Cut { shard, .. } => Some(*shard),
            Mail::Home { shard, .. } | Mail::Leaving { shard, .. } => Some(*shard),
            Mail::Input(_) | Mail::Successor { .. } => None,
        }
    }
}

pub struct Member {
    pub life: u32,
    plan: Arc<Plan>,
    pub shards: Vec<Machine>,
    to_shards: Vec<VecDeque<FromSource>>,
    /// By generation of who sent it, sender and receiver: what old shards sent each other is not for new ones.
    to_peers: BTreeMap<(u32, usize, usize), VecDeque<Peer>>,
    /// How often each shard gave way to another.
    generations: Vec<u32>,
    orders: Vec<VecDeque<Order>>,
    pulses: BTreeSet<usize>,
    mail: VecDeque<Mail>,
    answers: VecDeque<Answer>,
    pub desk: Desk,
    alignment: Alignment<Mail>,
    limits: LimitJoin,
    clock: SteadyClock,
    log: Option<Log<SimDisk>>,
    dir: Dir<SimDisk>,
    keeper: Keeper,
    consumer: Consumer,
    stalls: StallWatch,
    /// Where there are two members.
    homes: Option<Homes>,
    /// Records that were handed to shards.
    pub handed: u64,
    /// Goes on from a checkpoint.
    pub has_past: bool,
    /// There is one by now.
    begun: bool,
}

impl Member {
    /// A process starts: takes the directory, goes on from what it holds.
    ///
    /// # Errors
    /// The disk does not let it.
    pub fn start(outside: &mut Outside<'_>, life: u32, plan: Arc<Plan>, shards: usize) -> io::Result<Member> {
        let dir = Dir::new(outside.disk.clone());
        dir.tidy()?;
        let mut loaded = dir.load().map_err(|error| io::Error::other(format!("{error:?}")))?;
        let seed = outside.options.seed;
        let config = outside.stage.desk(outside.options, &plan);
        let meaning = config.meaning();
        let mut desk = Desk::new(config, seed);
        let checkpoint = loaded.checkpoint.take();
        let has_past = checkpoint.is_some();
        let (mut cuts, mut foreign) = (Vec::new(), false);
        if let Some(Checkpoint { head, shards: found, desk: cut }) = checkpoint {
            outside.say(format!("goes on from checkpoint {} and {} inputs", head.number, loaded.entries.len()));
            let mut out = Vec::new();
            desk.restore(cut, &mut out);
            foreign = head.desk_meaning != meaning;
            if !outside.options.sabotaged(Sabotage::ForgetLog) {
                // Under other routes the same numbers name other deliveries.
                let ours = |entry: &&LogEntry| !foreign || !matches!(entry.input, DeskInput::Receipt { .. });
                for entry in loaded.entries.iter().filter(ours) {
                    out.clear();
                    desk.handle(entry.at, entry.input.clone(), &mut out);
                    outside.watch.writes(&desk, &out);
                    if let DeskInput::Signals(signals) = &entry.input {
                        outside.watch.hears(signals, &out);
                    }
                }
            }
            cuts = match outside.options.sabotaged(Sabotage::KeepHome) {
                true => found,
                false => still_here(found, loaded.entries.iter().map(|entry| &entry.input)),
            };
            heard::bring_in(&mut cuts, &plan, desk.alerts());
        }
        outside.watch.starts(life, &cuts, std::mem::take(&mut outside.power_was_cut));
        if foreign {
            outside.watch.goes_by_other_routes();
        }
        outside.tellings.starts(outside.host, outside.watch.forgets());
        keeper::sabotage(outside.options, &mut cuts);
        let log = dir.resume_log(&mut loaded)?;
        let mut member = Member {
            life,
            shards: Vec::new(),
            to_shards: (0..shards).map(|_| VecDeque::new()).collect(),
            to_peers: BTreeMap::new(),
            generations: vec![0; shards],
            orders: (0..shards).map(|_| VecDeque::new()).collect(),
            pulses: BTreeSet::new(),
            mail: VecDeque::new(),
            answers: VecDeque::new(),
            alignment: Alignment::new(shards),
            limits: LimitJoin::default(),
            clock: SteadyClock::new(desk.now(), Millis(outside.now)),
            stalls: StallWatch::new(&plan).resume(desk.stalled()),
            desk,
            log: Some(log),
            dir,
            keeper: Keeper::new(loaded.next, outside.now),
            consumer: Consumer::new(positions(&cuts)),
            plan,
            homes: (outside.options.members == 2).then(|| Homes::new(&cuts)),
            handed: 0,
            has_past,
            begun: has_past,
        };
        outside.watch.keeps_promises(&member.desk);
        member.wake(outside, shards, &cuts);
        Ok(member)
    }

    fn wake(&mut self, outside: &mut Outside<'_>, shards: usize, cuts: &[ShardCut]) {
        let (made, relief) = restored(&self.plan, shards, outside.options, cuts);
        for (index, (shard, said)) in made.into_iter().enumerate() {
            self.shards.push(shard);
            self.say(outside, index, said);
            self.handle(outside, index, ShardInput::Wall(outside.wall()));
        }
        let alone = self.homes.is_none();
        self.tell(outside, if alone { DeskInput::Restarted } else { DeskInput::RestartedUnconfirmed });
        self.forget_missing(outside);
        self.relieve(outside, &relief);
        if alone {
            self.assign(outside, (0..outside.partitions.len()).collect());
        }
    }

    /// Everyone who has something to do.
    pub fn actors(&self, outside: &Outside<'_>) -> Vec<Actor> {
        let shards = 0..self.shards.len();
        let fetches = (0..outside.partitions.len()).filter(|p| self.can_fetch(outside, *p)).map(Actor::Fetch);
        let reads = |s: &usize| !self.shards[*s].is_cutting() && !self.shards[*s].is_over();
        let sources = shards.clone().filter(|s| !self.to_shards[*s].is_empty() && reads(s));
        let hears = |generation, to: usize| generation == self.generations[to];
        let peers = self.to_peers.iter().filter(|((of, _, to), queue)| !queue.is_empty() && hears(*of, *to));
        let mut actors: Vec<Actor> = fetches.collect();
        actors.extend(sources.map(Actor::Source));
        actors.extend(peers.map(|((_, from, to), _)| Actor::Peer(*from, *to)));
        actors.extend(shards.filter(|s| !self.orders[*s].is_empty()).map(Actor::Order));
        actors.extend(self.pulses.iter().map(|shard| Actor::Pulse(*shard)));
        actors.extend((!self.mail.is_empty()).then_some(Actor::Mail));
        actors.extend((!self.answers.is_empty()).then_some(Actor::Receipt));
        actors.extend(self.keeper.next_step(self.shards.len()));
        actors
    }

    pub fn act(&mut self, outside: &mut Outside<'_>, actor: Actor) {
        match actor {
            Actor::Fetch(partition) => self.fetch(outside, partition),
            Actor::Source(shard) => {
                let Some(event) = self.to_shards[shard].pop_front() else { return };
                self.take(outside, shard, event);
            }
            Actor::Peer(from, to) => {
                let queue = self.to_peers.get_mut(&(self.generations[to], from, to)).expect("a queue of an actor");
                let Some(message) = queue.pop_front() else { return };
                self.handle(outside, to, ShardInput::Peer(message));
            }
            Actor::Order(shard) => self.obey(outside, shard),
            Actor::Pulse(shard) => {
                self.pulses.remove(&shard);
                for reading in self.readings(outside, shard) {
                    self.handle(outside, shard, reading);
                }
                self.handle(outside, shard, ShardInput::Wall(outside.wall()));
            }
            Actor::Mail => {
                let Some(mail) = self.mail.pop_front() else { return };
                self.hear(outside, mail);
            }
            Actor::Receipt => self.receive(outside),
            Actor::Save => self.save(outside),
            Actor::Reload => self.succeed(outside),
        }
    }

    /// The clock moved: what is due now becomes something to do.
    pub fn pulse(&mut self, outside: &mut Outside<'_>) {
        self.pulses.extend(0..self.shards.len());
        let statuses = self.show(outside);
        let stalls = self.stalls.look(outside.wall(), statuses.iter());
        self.mail.extend(stalls.into_iter().map(Mail::Input));
        self.ask(outside);
        self.tick(outside);
        self.let_go(outside, false);
        self.go_out(outside);
    }

    /// What can be seen of it.
    fn show(&self, outside: &mut Outside<'_>) -> Vec<ShardStatus> {
        let statuses: Vec<ShardStatus> = self.shards.iter().map(Machine::status).collect();
        outside.watch.look(&statuses, &self.desk, self.handed);
        statuses
    }

    pub fn answer(&mut self, answer: Answer) {
        self.answers.push_back(answer);
    }

    fn handle(&mut self, outside: &mut Outside<'_>, shard: usize, input: ShardInput) {
        let mut out = Vec::new();
        self.shards[shard].handle(input, &mut out);
        self.say(outside, shard, out);
    }

    /// Sends everywhere what a shard said.
    fn say(&mut self, outside: &mut Outside<'_>, shard: usize, out: Vec<Said>) {
        let mut signals = Vec::new();
        for said in out {
            let output = match said {
                Said::Shard(output) => output,
                Said::Unclaimed(home) => {
                    self.give_up(shard, &home);
                    continue;
                }
                Said::Cut { cut, last, states } => {
                    self.mail.push_back(Mail::Signals { shard, signals: std::mem::take(&mut signals) });
                    let cells = states.iter().filter(|state| state.cell.is_some());
                    let cells = cells.map(|state| Arc::new(CellCut::of(state))).collect();
                    // A last cut is the successor's mark.
                    self.mail.extend((!last).then_some(Mail::Cut { shard, cut, cells }));
                    self.keeper.give(cut, states);
                    continue;
                }
            };
            match output {
                ShardOutput::Signal(signal) => {
                    let behind = signal.home.as_deref().is_some_and(|home| self.is_behind(outside, shard, home));
                    signals.extend(outside.watch.signal(outside.options, signal, behind));
                }
                ShardOutput::Judged(_) | ShardOutput::DeadLetter(_) => {}
                ShardOutput::ToPeer { shard: to, message } => {
                    let key = (self.generations[shard], shard, to);
                    self.to_peers.entry(key).or_default().push_back(message);
                }
                ShardOutput::Cut { .. } => unreachable!("told as cuts of whatever is driven"),
                ShardOutput::Lost { stream, source, loss } => {
                    outside.watch.tear(&source);
                    let stream = self.plan.streams[stream].schema.name.clone();
                    self.mail.push_back(Mail::Input(DeskInput::InputLost { stream, source, loss }));
                }
                ShardOutput::Whole { stream } => {
                    match self.homes {
                        None => outside.watch.mend(self.shards.iter().map(Machine::status)),
                        Some(_) => self.mend_own(outside, shard),
                    }
                    let stream = self.plan.streams[stream].schema.name.clone();
                    self.mail.push_back(Mail::Input(DeskInput::InputWhole { stream }));
                }
                ShardOutput::Limit(news) => self.mail.push_back(Mail::Limit { shard, news }),
            }
        }
        if !signals.is_empty() {
            self.mail.push_back(Mail::Signals { shard, signals });
        }
    }

    /// How far everything that is read is judged: by all shards, or, where partitions are judged by themselves, of each.
    /// `None`: it reads nothing.
    pub fn judged(&self, options: &Options) -> Option<EventTime> {
        let statuses = self.shards.iter().map(Machine::status);
        let marks: Vec<Option<EventTime>> = match options.members {
            1 => statuses.map(|status| status.streams[0].watermark).collect(),
            _ => statuses.flat_map(|s| s.streams[0].sources.clone()).map(|source| source.watermark).collect(),
        };
        marks.into_iter().map(|mark| mark.unwrap_or(EventTime::MIN)).min()
    }

    pub fn is_idle(&self, outside: &Outside<'_>) -> bool {
        self.actors(outside).is_empty()
    }
}

/// The shard that reads a partition.
fn shard_of(partition: usize, shards: usize) -> usize {
    (partition * 7 + 3) % shards
}
