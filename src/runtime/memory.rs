//! What outlives the process: the desk's log while it runs, and a checkpoint of everything now and then.
//!
//! A checkpoint goes round like this. The keeper asks every shard; the shards agree on a moment among themselves (the
//! barrier in [`crate::engine::shard`]) and each hands its cut to the keeper and a mark to the desk, behind everything
//! it said before. The desk holds back what comes behind a mark until it has all of them, gives its own cut, and
//! begins the next log. The keeper writes it all in one file, off the threads that work, and only when that is safe on
//! disk tells Kafka how far it has come, for lag tools alone.
//!
//! Where the disk fails, pages go out all the same: a page that may come twice after a crash is better than one that does
//! not come. It is said on `/readyz` and in the metrics, and mends with the first checkpoint that can be written.
//!
//! - `M1` what is committed to Kafka is never ahead of the newest checkpoint
//! - `M2` a checkpoint is being made for at most a fortieth of the time, down to one a minute: a big state is written less
//!   often. What it costs the shards besides (memory and caches) is about as much again

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use tokio::sync::mpsc;

use crate::checkpoint::{Checkpoint, Head};
use crate::edge::clock;
use crate::edge::crash_point::crash_point;
use crate::edge::disk::{DeskLog, StateDir};
use crate::edge::kafka::ConsumerHandle;
use crate::engine::align::Alignment;
use crate::engine::desk::{Desk, DeskCut, DeskInput};
use crate::engine::plan::Plan;
use crate::engine::shard::committable;
use crate::engine::state::ShardCut;
use crate::model::time::WallTime;
use crate::runtime::desk::DeskMail;
use crate::runtime::homes::Homes;
use crate::runtime::reload::{Reloads, Shards};
use crate::runtime::shard::Order;
use crate::runtime::status::{StatePart, Status};

/// How rarely a checkpoint is taken for what one costs: a restart reads again what came since.
const CHECKPOINT_EVERY_MAX: Duration = Duration::from_secs(60);

/// How long to wait after a checkpoint that took so long (`M2`).
pub fn until_next(every: Duration, took: Duration) -> Duration {
    every.max((took * 40).min(CHECKPOINT_EVERY_MAX))
}

/// How long shards and desk may take to give their cuts before that is said. A desk that is busy with slow receivers
/// never takes long.
const CUT_MAX: Duration = Duration::from_secs(60);

/// Where an engine keeps what outlives it.
#[derive(Debug)]
pub struct Memory {
    pub dir: Arc<StateDir>,
    pub log: DeskLog,
    /// The number of the next checkpoint.
    pub next: u64,
    /// How often a checkpoint is taken, unless one takes longer than a fortieth of this.
    pub every: Duration,
    pub desk_meaning: u64,
    /// The desk's.
    pub seed: u64,
    /// There is a checkpoint already. A log without one is not read at a restart.
    pub begun: bool,
}

impl Memory {
    /// The desk's half and the keeper's.
    pub(super) fn split(self, shards: usize) -> (DeskMemory, Store) {
        let Memory { dir, log, every, desk_meaning, seed, begun, .. } = self;
        let (to_keeper, desk) = mpsc::unbounded_channel();
        let mail = Alignment::new(shards);
        let needs = u64::from(!begun);
        let memory = DeskMemory { dir: dir.clone(), log: Some(log), needs, to_keeper, mail };
        (memory, Store { dir, every, desk_meaning, seed, desk })
    }
}

/// The desk's half: its log, and the mail that waits for a cut.
pub(super) struct DeskMemory {
    dir: Arc<StateDir>,
    /// `None` after the disk refused it, until the next cut.
    log: Option<DeskLog>,
    /// The checkpoint without which a restart does not read the log: the first, or the first after a log that has no end. 0
    /// where what is on disk suffices.
    needs: u64,
    to_keeper: mpsc::UnboundedSender<(u64, Option<DeskCut>)>,
    pub mail: Alignment<DeskMail>,
}

impl DeskMemory {
    /// Begins the log that follows the desk's cut and gives the cut away. Where no log can be begun there is no cut
    /// either, and the log before goes on: a checkpoint whose log is missing would forget what was told since. Whether
    /// there is one.
    pub fn cut(&mut self, number: u64, desk: &mut Desk, status: &Status) -> bool {
        let cut = match self.dir.begin_log(number) {
            Ok(next) => {
                let cut = desk.cut();
                crash_point("checkpoint_cut");
                let sealed = self.log.replace(next).map(DeskLog::seal);
                if !matches!(sealed, Some(Ok(()))) {
                    self.needs = number;
                }
                match sealed.unwrap_or(Ok(())) {
                    Ok(()) => status.state.well(StatePart::Log),
                    Err(error) => self.fail(status, "the end of the desk's log cannot be written", &error),
                }
                Some(cut)
            }
            Err(error) => {
                self.fail(status, "the desk's log cannot be begun", &error);
                None
            }
        };
        let begun = cut.is_some();
        let _ = self.to_keeper.send((number, cut)); // a keeper that is gone keeps nothing any more
        begun
    }

    /// As [`DeskMemory::cut`], of a desk to which another gave way. The log before ends in any case: receipts of this one
    /// would be taken for receipts of that one (`N2` in [`crate::runtime::reload`]).
    pub fn cut_successor(&mut self, number: u64, desk: &mut Desk, status: &Status) {
        if !self.cut(number, desk, status) {
            self.log = None;
        }
    }

    fn fail(&self, status: &Status, what: &str, error: &io::Error) {
        status.state.fail(StatePart::Log, self.dir.path(), what, error);
    }

    pub fn log(&mut self, at: WallTime, input: &DeskInput, status: &Status) {
        if let Some(log) = &mut self.log
            && let Err(error) = log.append(at, input)
        {
            self.fail(status, "the desk's log cannot be written", &error);
            self.log = None;
        }
    }

    /// Whether what is logged will be there after a crash.
    pub fn is_kept(&self, status: &Status) -> bool {
        let saved = status.state.report().saved.map_or(0, |(number, ..)| number);
        self.log.is_some() && saved >= self.needs
    }

    pub fn sync(&mut self, status: &Status) {
        if let Some(log) = &self.log
            && let Err(error) = log.sync()
        {
            self.fail(status, "the desk's log cannot be synced", &error);
            self.log = None;
        }
    }
}

/// The keeper's half: where checkpoints go.
pub(super) struct Store {
    dir: Arc<StateDir>,
    every: Duration,
    desk_meaning: u64,
    seed: u64,
    desk: mpsc::UnboundedReceiver<(u64, Option<DeskCut>)>,
}

/// Takes checkpoints where there is a store for them, and sees to reloads ([`crate::runtime::reload`]). One after the other:
/// both are cuts.
pub(super) struct Keeper {
    pub store: Option<Store>,
    /// The number of the next cut.
    pub next: u64,
    pub shards: Vec<Sender<Order>>,
    pub cuts: mpsc::UnboundedReceiver<(u64, Vec<ShardCut>)>,
    pub to_desk: mpsc::Sender<DeskMail>,
    pub reloads: Reloads,
    pub making: Shards,
    /// What the shards go by.
    pub plan: Arc<Plan>,
    /// Who has to know that, too, where partitions move.
    pub homes: Option<Arc<Homes>>,
}

impl Keeper {
    /// Takes one checkpoint after the other, and reloads where it is asked to, until `stop`; then a last checkpoint, and
    /// lets the shards end.
    pub async fn run(
        mut self,
        consumer: Arc<ConsumerHandle>,
        status: Arc<Status>,
        mut stop: tokio::sync::watch::Receiver<bool>,
    ) {
        let every = self.store.as_ref().map(|store| store.every);
        let mut wait = Duration::from_millis(100); // what was restored is made one file soon
        loop {
            tokio::select! {
                _ = async { stop.wait_for(|stop| *stop).await.is_ok() } => break,
                Some(reload) = self.reloads.recv() => self.reload(reload, &consumer, &status).await,
                () = tokio::time::sleep(wait), if every.is_some() => {
                    let cost = self.take(false, &consumer, &status).await;
                    wait = until_next(every.unwrap_or_default(), cost);
                }
            }
        }
        self.take(true, &consumer, &status).await;
    }

    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Takes a checkpoint and says what it cost; nothing where there is none.
    async fn take(&mut self, clean: bool, consumer: &ConsumerHandle, status: &Status) -> Duration {
        if self.store.is_none() {
            return Duration::ZERO;
        }
        let number = self.number();
        let started = Instant::now();
        let Some((shards, desk)) = self.collect_patiently(number, status).await else { return Duration::ZERO };
        match self.save(number, clean, shards, desk, consumer, status).await {
            true => started.elapsed(),
            false => Duration::ZERO,
        }
    }

    /// Makes a checkpoint of cuts that were taken of the shards already, and of the desk's of this number.
    pub async fn keep(&mut self, number: u64, shards: Vec<ShardCut>, consumer: &ConsumerHandle, status: &Status) {
        if let Some(desk) = self.desk_cut(number).await {
            self.save(number, false, shards, desk, consumer, status).await;
        }
    }

    /// The desk is about to be another one.
    pub fn begin_desk(&mut self, meaning: u64) {
        self.store.iter_mut().for_each(|store| store.desk_meaning = meaning);
    }

    pub fn desk_seed(&self) -> u64 {
        self.store.as_ref().map_or(self.making.seed, |store| store.seed)
    }

    /// Whether it is on disk.
    async fn save(
        &self,
        number: u64,
        clean: bool,
        shards: Vec<ShardCut>,
        desk: DeskCut,
        consumer: &ConsumerHandle,
        status: &Status,
    ) -> bool {
        let Some(store) = &self.store else { return false };
        let head = Head {
            number,
            taken_at: desk.now,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            clean,
            desk_meaning: store.desk_meaning,
            seed: store.seed,
        };
        let positions = committable(&shards);
        let dir = store.dir.clone();
        let save = move || dir.save(&Checkpoint { head, shards, desk });
        match tokio::task::spawn_blocking(save).await.unwrap_or_else(|fault| Err(io::Error::other(fault))) {
            Ok(saved) => {
                status.state.saved(number, clock::now(), saved);
                consumer.commit(positions); // `M1`
                crash_point("offsets_committed");
                true
            }
            Err(error) => {
                status.state.fail(StatePart::Checkpoint, store.dir.path(), "the checkpoint cannot be written", &error);
                false
            }
        }
    }

    /// As [`Keeper::collect`]; says so where it takes long. It never gives up on a cut to ask for another: shards take one
    /// at a time.
    async fn collect_patiently(&mut self, number: u64, status: &Status) -> Option<(Vec<ShardCut>, DeskCut)> {
        let dir = self.store.as_ref()?.dir.clone();
        let collecting = self.collect(number);
        tokio::pin!(collecting);
        loop {
            if let Ok(collected) = tokio::time::timeout(CUT_MAX, &mut collecting).await {
                return collected;
            }
            let error = io::Error::other("shards or desk did not give their state in time");
            status.state.fail(StatePart::Checkpoint, dir.path(), "no checkpoint could be taken", &error);
        }
    }

    /// Asks everybody and waits for all cuts of this number. `None` where there is to be none, which was said already.
    async fn collect(&mut self, number: u64) -> Option<(Vec<ShardCut>, DeskCut)> {
        let shards = self.ask(Order::Cut, number).await?;
        Some((shards, self.desk_cut(number).await?))
    }

    /// Asks all shards for a cut and waits for it.
    pub async fn ask(&mut self, order: fn(u64) -> Order, number: u64) -> Option<Vec<ShardCut>> {
        for shard in &self.shards {
            let _ = shard.send(order(number)); // a shard that is gone gives nothing, which is noticed in time
        }
        let (mut shards, mut answers) = (Vec::new(), 0);
        while answers < self.shards.len() {
            let (cut, states) = self.cuts.recv().await?;
            if cut == number {
                shards.extend(states);
                answers += 1;
            }
        }
        shards.sort_by_key(|cut| cut.shard);
        Some(shards)
    }

    /// The desk's cut of this number.
    async fn desk_cut(&mut self, number: u64) -> Option<DeskCut> {
        let store = self.store.as_mut()?;
        loop {
            let (cut, desk) = store.desk.recv().await?;
            if cut == number {
                return desk;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::alert::route::{Route, RouteTree};
    use crate::checkpoint::dir::log_name;
    use crate::engine::desk::{DeskConfig, ReceiverPolicy};
    use crate::notify::outbox::IntegrationPolicy;

    /// A desk's half over a real directory, and what a process that comes after it would find there.
    struct World {
        folder: tempfile::TempDir,
        memory: DeskMemory,
        store: Store,
        desk: Desk,
        status: Status,
    }

    impl World {
        fn new() -> World {
            let folder = tempfile::tempdir().expect("a folder");
            let dir = Arc::new(StateDir::open(folder.path()).expect("it is ours"));
            let mut loaded = dir.load().expect("it is empty");
            let log = dir.resume_log(&mut loaded).expect("a log");
            let (every, begun) = (Duration::from_secs(5), false);
            let memory = Memory { next: loaded.next, log, every, desk_meaning: 1, seed: 1, begun, dir };
            let (memory, store) = memory.split(1);
            let routes = RouteTree::new(Route::to("hook")).expect("a tree");
            let integrations = vec![IntegrationPolicy::new("webhook")];
            let receivers = vec![ReceiverPolicy { name: "hook".into(), integrations }];
            let desk = Desk::new(DeskConfig::new(routes, receivers, "http://foghorn").expect("a desk"), 1);
            World { folder, memory, store, desk, status: Status::new(1, WallTime(0)) }
        }

        fn log(&mut self, at: i64) {
            self.memory.log(WallTime(at), &DeskInput::Tick, &self.status);
        }

        /// Saves the checkpoint that the desk gave its cut for.
        fn save(&mut self) {
            let (number, cut) = self.store.desk.try_recv().expect("the desk said something");
            let desk = cut.expect("a cut");
            let program = "a test".to_owned();
            let head = Head { number, taken_at: desk.now, program, clean: false, desk_meaning: 1, seed: 1 };
            let saved = self.store.dir.save(&Checkpoint { head, shards: Vec::new(), desk }).expect("there is room");
            self.status.state.saved(number, WallTime(0), saved);
        }

        /// A log of this number cannot be begun while there is a folder of that name.
        fn bar(&self, number: u64) -> PathBuf {
            let bar = self.folder.path().join(log_name(number));
            fs::create_dir(&bar).expect("it is not there");
            bar
        }

        /// The times of the inputs that a restart would find.
        fn found(&self) -> Vec<i64> {
            let loaded = self.store.dir.load().expect("it is readable");
            loaded.entries.iter().map(|entry| entry.at.0).collect()
        }
    }

    /// The disk takes no new log just then. What the same desk is told goes on in the old one; what its successor is told,
    /// whose deliveries have the same numbers, must not, and is said not to be kept (`N2` in [`crate::runtime::reload`]).
    #[test]
    fn no_log_holds_what_two_desks_were_told() {
        let mut world = World::new();
        assert!(world.memory.cut(1, &mut world.desk, &world.status));
        world.save();
        world.log(10);
        let bar = world.bar(2);
        assert!(!world.memory.cut(2, &mut world.desk, &world.status));
        world.log(20);
        assert!(world.memory.is_kept(&world.status), "the log before goes on");
        fs::remove_dir(&bar).expect("it is empty");
        assert_eq!(world.found(), [10, 20]);

        let bar = world.bar(3);
        world.memory.cut_successor(3, &mut world.desk, &world.status);
        world.log(30);
        fs::remove_dir(&bar).expect("it is empty");
        assert_eq!(world.found(), [10, 20], "the successor's are not among them");
        assert!(!world.memory.is_kept(&world.status));

        world.memory.cut_successor(4, &mut world.desk, &world.status);
        world.log(40);
        assert!(!world.memory.is_kept(&world.status), "the log before has no end");
        (0..2).for_each(|_| assert!(world.store.desk.try_recv().expect("it said so").1.is_none()));
        world.save();
        assert!(world.memory.is_kept(&world.status));
        assert_eq!(world.found(), [40]);
    }
}
