//! The storm: the whole machine on virtual time, from one seed, with everything going wrong that can.
//!
//! A seed draws a world (partitions, shards, what happens to four services) and a subset of the faults there are
//! ([`options::Fault`]). For two minutes they rage while the invariants are watched ([`watch`]); then everything is well, and
//! within three minutes all that is owed has to be told, and what was said must be what a slow oracle says of the same events
//! ([`oracle`]). What is simulated is what `edge` and `runtime` do: threads and channels ([`member`]), Kafka ([`topic`]),
//! the disk ([`disk`]), the receivers ([`receivers`]). Shards, desk, checkpoints and logs are the real ones.
//!
//! The same seed gives the same storm, to the last line of the journal; that is what makes a failure worth having. One that
//! fails is made smaller by leaving out faults ([`shrink`]), and is kept in `fixtures/seeds`.
//!
//! A group has one member or two ([`options::Options::members`]). Where there are two, each on a host of its own, all rules
//! are local, each key lives in one partition, and partitions move ([`group`], [`handover`]); nobody is to be told twice
//! ([`tellings`]).

pub mod disk;
pub mod group;
pub mod handover;
pub mod member;
pub mod operators;
pub mod options;
pub mod oracle;
pub mod plot;
pub mod receivers;
pub mod stage;
pub mod tellings;
pub mod topic;
pub mod verdict;
pub mod watch;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::StdRng;

pub use options::{Fault, Options, Sabotage};
pub use stage::Stage;
pub use watch::Broken;

use crate::alert::route::home_of;
use crate::model::{AlertStatus, Delivery, EventTime, Position, SourceId, WallTime};
use disk::SimDisk;
use group::Group;
use handover::Handover;
use receivers::{Answer, Receivers, Said};
use tellings::{Sender, Tellings};
use topic::Partition;
use watch::{Seen, Watch};

/// How one storm went.
#[derive(Clone, Debug)]
pub struct Report {
    pub options: Options,
    pub broken: Option<Broken>,
    /// Of every line of the journal.
    pub hash: u64,
    /// The last lines, or all.
    pub lines: Vec<String>,
    /// Why the oracle could be asked for safety only.
    pub inexact: Option<String>,
    /// Why from some time on alone.
    pub torn: Option<String>,
    /// What went wrong, one after the other.
    pub turns: u64,
    pub records: u64,
    pub deliveries: u64,
    pub checkpoints: u64,
    /// Processes that were started.
    pub lives: u32,
    pub episodes: usize,
    /// Partitions that came to one of two members.
    pub moves: u64,
}

/// Runs one storm.
pub fn run(options: &Options, stage: &Stage, all_lines: bool) -> Report {
    world::run(options, stage, all_lines)
}

/// Leaves out fault after fault, as long as the same invariant breaks.
pub fn shrink(report: &Report, stage: &Stage) -> Report {
    let Some(broken) = &report.broken else { return report.clone() };
    let mut least = report.clone();
    for fault in &report.options.faults {
        let faults = least.options.faults.iter().copied().filter(|other| other != fault);
        let smaller = run(&least.options.clone().with_faults(faults), stage, false);
        if smaller.broken.as_ref().is_some_and(|other| other.id == broken.id) {
            least = smaller;
        }
    }
    least
}

/// What a process sees of the world.
pub struct Outside<'a> {
    options: &'a Options,
    stage: &'a Stage,
    disk: SimDisk,
    partitions: Vec<Partition>,
    receivers: Receivers,
    /// On their way, with the life of the process that waits for them.
    answers: BTreeMap<(i64, u64), (u32, Answer)>,
    sent: u64,
    now: i64,
    /// How far the host's clock is off.
    skew: i64,
    power_was_cut: bool,
    /// The host stood still for longer than its session, and has not heard of that.
    is_unaware: bool,
    /// What the group said to the host waits for parcels.
    is_deaf: bool,
    dice: StdRng,
    watch: Watch,
    handover: Handover,
    group: Group,
    tellings: Tellings,
    moves: u64,
    /// The host that acts. What is its own is above, and what is the other's is below.
    host: usize,
    other: Host,
}

/// What belongs to a host and outlives its processes.
#[derive(Default)]
struct Host {
    disk: SimDisk,
    skew: i64,
    power_was_cut: bool,
    is_unaware: bool,
    is_deaf: bool,
    seen: Seen,
}

impl Outside<'_> {
    /// From here on it is this host that acts.
    fn act_as(&mut self, host: usize) {
        if host != self.host {
            self.host = host;
            std::mem::swap(&mut self.disk, &mut self.other.disk);
            std::mem::swap(&mut self.skew, &mut self.other.skew);
            std::mem::swap(&mut self.power_was_cut, &mut self.other.power_was_cut);
            std::mem::swap(&mut self.is_unaware, &mut self.other.is_unaware);
            std::mem::swap(&mut self.is_deaf, &mut self.other.is_deaf);
            std::mem::swap(&mut self.watch.seen, &mut self.other.seen);
        }
    }

    /// What the clock on the wall says.
    fn wall(&self) -> WallTime {
        WallTime(self.now + self.skew)
    }

    fn say(&mut self, line: String) {
        self.watch.line(format!("{} ---- {line}", EventTime(self.now)));
    }

    /// Whether the process ends here.
    fn pass(&self, point: &'static str) -> bool {
        use crate::checkpoint::dir::Disk;
        self.disk.pass(point).is_err()
    }

    /// `announced`: Kafka has a parcel that says so.
    fn deliver(&mut self, life: u32, receiver: Arc<str>, mut delivery: Delivery, announced: bool) {
        if self.options.sabotaged(Sabotage::OmitEnds) {
            Arc::make_mut(&mut delivery.notification).alerts.retain(|alert| alert.status == AlertStatus::Firing);
        }
        let out_of_turn = home_of(&delivery.notification.group_key).is_some_and(|home| self.is_out_of_turn(&home));
        let sender = Sender { host: self.host, announced, out_of_turn };
        if let Some(twice) = self.tellings.sends(sender, &receiver, &delivery, &self.handover) {
            self.watch.fail("V13", twice);
        }
        let key = (receiver.clone(), delivery.integration);
        let target = self.receivers.get_mut(&key).expect("every integration has another end");
        let said = match () {
            () if &*receiver == "hook" && self.options.sabotaged(Sabotage::Mute) => Said::Unheard,
            () if out_of_turn => Said::OutOfTurn,
            () => Said::InTurn,
        };
        if let Some((at, answer)) = target.take(self.now, &receiver, &delivery, said) {
            self.sent += 1;
            self.answers.insert((at, self.sent), (life, answer));
        }
    }

    /// A desk goes on from what the owner before it knew of a partition. Answers to what it sent of it before tell it nothing.
    fn adopts_told(&mut self, home: &SourceId) {
        self.watch.adopts_told(home);
        self.tellings.adopts(self.host, home);
    }

    /// A partition comes to the host from a member's parcel.
    fn comes_from(&mut self, member: &str, home: &SourceId) {
        let is_own = *member == *handover::member_of(self.host);
        let owner = if is_own { &self.watch.seen } else { &self.other.seen };
        let missed = owner.missed(home);
        self.watch.comes(home, missed);
    }

    /// Whether the partition is another member's, and this one, which stood still or waits for parcels, cannot know that.
    fn is_out_of_turn(&self, home: &SourceId) -> bool {
        let unaware = self.is_unaware || self.is_deaf || self.handover.is_behind(self.host, self.now);
        unaware && !self.group.is_of(self.host, home.partition as usize)
    }

    fn commit(&mut self, positions: &[Position]) {
        self.watch.commits(positions);
        for Position { source, offset } in positions {
            self.partitions[source.partition as usize].committed = Some(*offset);
        }
    }
}
