//! What the running engine lets others see: the read model of the page, the API and the metrics.
//!
//! The engine's threads write here now and then; readers never touch the engine. Alerts live in a concurrent map of
//! their own, since a page may read them all while the desk changes one; everything else is a snapshot behind a lock
//! that is held for a copy.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::alert::life::{Alert, AlertId};
use crate::alert::silence::{Silence, SilenceState};
use crate::edge::clock;
use crate::edge::disk::Saved;
use crate::edge::history::Recorder;
use crate::edge::kafka::ConsumerStats;
use crate::engine::cells::Held;
use crate::engine::desk::{Desk, DeskCounts, GroupView};
use crate::engine::journal::JournalEntry;
use crate::engine::plan::Plan;
use crate::engine::record::{PartitionRecord, Record};
use crate::engine::shard::{ShardInput, ShardStatus};
use crate::model::delivery::Notification;
use crate::model::labels::Labels;
use crate::model::position::Position;
use crate::model::time::WallTime;
use crate::notify::outbox::LaneHealth;

/// Changes a slow reader of the live stream may be behind before it misses some.
const LIVE_BACKLOG: usize = 1_024;

/// The read model of one engine.
#[derive(Debug)]
pub struct Status {
    pub started: WallTime,
    shards: Vec<Slot>,
    /// Pending, firing and lately resolved alerts.
    pub alerts: DashMap<AlertId, Alert>,
    pub desk: Mutex<DeskSnapshot>,
    /// The consumer's counters, and when they were taken.
    pub kafka: Mutex<Option<(ConsumerStats, WallTime)>>,
    /// What is kept on disk, and how that goes.
    pub state: StateStatus,
    pub reloads: ReloadStatus,
    /// How often partitions came and went, by the names of [`PartitionEvent`](crate::engine::record::PartitionEvent).
    moves: Mutex<BTreeMap<&'static str, u64>>,
    live: broadcast::Sender<Live>,
    desk_runs: AtomicBool,
    waits_for: Mutex<Option<String>>,
    history: Option<Arc<Recorder>>,
}

#[derive(Debug, Default)]
struct Slot {
    status: Mutex<(ShardStatus, Vec<Position>)>,
    held: Mutex<Option<Held>>,
    busy_micros: AtomicU64,
}

/// Something happened that people watch.
#[derive(Clone, Debug)]
pub enum Live {
    /// The desk decided something about an alert, or did what somebody asked for.
    Journal(Arc<JournalEntry>),
    /// A delivery was started.
    Sent { receiver: Arc<str>, notification: Arc<Notification> },
}

/// The desk's counters, groups and receivers at one moment.
#[derive(Clone, Debug, Default)]
pub struct DeskSnapshot {
    pub counts: DeskCounts,
    pub lanes: Vec<LaneHealth>,
    pub groups: Vec<GroupView>,
    /// By id, expired ones for a while.
    pub silences: Vec<Arc<Silence>>,
    /// Moments that passed without a word, by reason.
    pub suppressed: BTreeMap<&'static str, u64>,
}

/// Groups a snapshot shows at most.
const GROUPS_SHOWN_MAX: usize = 500;

impl DeskSnapshot {
    pub fn of(desk: &Desk) -> Self {
        DeskSnapshot {
            counts: desk.counts(),
            lanes: desk.lanes().collect(),
            groups: desk.groups().take(GROUPS_SHOWN_MAX).collect(),
            silences: desk.silences().cloned().collect(),
            suppressed: desk.suppressed().clone(),
        }
    }

    /// The silence that hides an alert of these labels, or would, if it came to fire.
    pub fn hiding(&self, labels: &Labels, now: WallTime) -> Option<&Arc<Silence>> {
        let active = self.silences.iter().filter(|silence| silence.state(now) == SilenceState::Active);
        active.filter(|silence| silence.matches(labels)).max_by_key(|silence| (silence.ends_at, silence.id))
    }
}

impl Status {
    pub fn new(shards: usize, started: WallTime) -> Self {
        Status {
            started,
            shards: (0..shards).map(|_| Slot::default()).collect(),
            alerts: DashMap::new(),
            desk: Mutex::default(),
            kafka: Mutex::default(),
            state: StateStatus::default(),
            reloads: ReloadStatus::new(started),
            moves: Mutex::default(),
            live: broadcast::channel(LIVE_BACKLOG).0,
            desk_runs: AtomicBool::new(false),
            waits_for: Mutex::default(),
            history: None,
        }
    }

    /// With a history that remembers what the desk decides.
    pub fn with_history(mut self, history: Option<Arc<Recorder>>) -> Self {
        self.history = history;
        self
    }

    pub fn history(&self) -> Option<&Arc<Recorder>> {
        self.history.as_ref()
    }

    /// Remembers what the desk decided, where there is a history. Never waits.
    pub fn remember(&self, entry: &JournalEntry) {
        if let Some(history) = &self.history {
            history.entry(entry);
        }
    }

    /// Counts that a partition came or went, and remembers it where there is a history. Never waits.
    pub fn moved(&self, record: PartitionRecord) {
        *self.moves.lock().entry(record.what.name()).or_default() += 1;
        if let Some(history) = &self.history {
            history.record(clock::now(), Record::Partition(record));
        }
    }

    /// How often partitions came or went in this way.
    pub fn moves(&self, name: &str) -> u64 {
        self.moves.lock().get(name).copied().unwrap_or(0)
    }

    /// A shard's counters and positions, and its partitions where they move.
    pub fn publish(&self, shard: usize, status: ShardStatus, positions: Vec<Position>, held: Option<Held>) {
        *self.shards[shard].status.lock() = (status, positions);
        *self.shards[shard].held.lock() = held;
    }

    /// The partitions of this member; `None` where they do not move.
    pub fn held(&self) -> Option<Held> {
        let held = self.shards.iter().filter_map(|slot| *slot.held.lock());
        held.reduce(|a, b| Held { ours: a.ours + b.ours, unclaimed: a.unclaimed + b.unclaimed })
    }

    pub fn add_busy(&self, shard: usize, time: Duration) {
        self.shards[shard].busy_micros.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }

    /// What the broker last said about the ends of a shard's partitions. Old news is no news.
    pub(super) fn readings(&self, shard: usize) -> Vec<ShardInput> {
        let kafka = self.kafka.lock();
        let Some((stats, now)) = &*kafka else { return Vec::new() };
        let mine = stats.partitions.iter().filter(|partition| partition.shard == shard);
        mine.map(|partition| ShardInput::Reading {
            source: partition.source.clone(),
            now: *now,
            end: partition.position.filter(|_| partition.at_end),
            lag: partition.lag.map(|lag| lag.max(0) as u64),
        })
        .collect()
    }

    /// Each shard's counters and how long it has been at work.
    pub fn shards(&self) -> Vec<(ShardStatus, Duration)> {
        let read = |slot: &Slot| {
            (slot.status.lock().0.clone(), Duration::from_micros(slot.busy_micros.load(Ordering::Relaxed)))
        };
        self.shards.iter().map(read).collect()
    }

    /// After the last record taken of each partition.
    pub fn positions(&self) -> Vec<Position> {
        self.shards.iter().flat_map(|slot| slot.status.lock().1.clone()).collect()
    }

    /// Why the engine is not ready; `None` when it is.
    pub fn not_ready(&self) -> Option<String> {
        if !self.desk_runs.load(Ordering::Relaxed) {
            let waits = self.waits_for.lock().clone();
            return Some(waits.unwrap_or_else(|| "the engine is starting, or stopping".to_owned()));
        }
        if let Some(problem) = self.state.problem() {
            return Some(problem);
        }
        let kafka = self.kafka.lock();
        let Some((stats, _)) = &*kafka else { return Some("Kafka was not asked yet".to_owned()) };
        if let Some(problem) = stats.problems.iter().find(|problem| !problem.kind.is_past()) {
            return Some(problem.text.clone());
        }
        stats.partitions.is_empty().then(|| "no partitions are assigned yet".to_owned())
    }

    /// What the engine waits for before it can start.
    pub fn wait_for(&self, what: Option<String>) {
        *self.waits_for.lock() = what;
    }

    pub fn set_running(&self, running: bool) {
        self.desk_runs.store(running, Ordering::Relaxed);
    }

    /// Follows changes from now on.
    pub fn follow(&self) -> broadcast::Receiver<Live> {
        self.live.subscribe()
    }

    pub fn tell(&self, live: Live) {
        let _ = self.live.send(live); // nobody watching is fine
    }
}

/// What shards go by now; whoever shows their counters has to go by it too.
#[derive(Clone, Debug)]
pub struct PlanInUse(Arc<Mutex<Arc<Plan>>>);

impl PlanInUse {
    pub fn new(plan: Arc<Plan>) -> PlanInUse {
        PlanInUse(Arc::new(Mutex::new(plan)))
    }

    pub fn get(&self) -> Arc<Plan> {
        self.0.lock().clone()
    }

    pub fn set(&self, plan: Arc<Plan>) {
        *self.0.lock() = plan;
    }
}

/// What became of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadOutcome {
    Applied,
    /// The files have mistakes.
    Invalid,
    /// Something changed that a running process cannot change.
    RestartNeeded,
    /// Files cannot be read, or the engine cannot go on with them.
    Failed,
}

impl ReloadOutcome {
    pub const ALL: [ReloadOutcome; 4] =
        [ReloadOutcome::Applied, ReloadOutcome::Invalid, ReloadOutcome::RestartNeeded, ReloadOutcome::Failed];

    pub const fn name(self) -> &'static str {
        match self {
            ReloadOutcome::Applied => "applied",
            ReloadOutcome::Invalid => "invalid",
            ReloadOutcome::RestartNeeded => "restart_needed",
            ReloadOutcome::Failed => "failed",
        }
    }
}

/// How reloads go.
#[derive(Debug)]
pub struct ReloadStatus(Mutex<ReloadReport>);

/// See [`ReloadStatus::report`].
#[derive(Clone, Copy, Debug)]
pub struct ReloadReport {
    /// Whether the files were taken the last time they were read. They were at the start.
    pub successful: bool,
    pub success_at: WallTime,
    /// By outcome, in the order of [`ReloadOutcome::ALL`].
    pub counts: [u64; ReloadOutcome::ALL.len()],
}

impl ReloadStatus {
    fn new(started: WallTime) -> ReloadStatus {
        ReloadStatus(Mutex::new(ReloadReport { successful: true, success_at: started, counts: Default::default() }))
    }

    pub fn report(&self) -> ReloadReport {
        *self.0.lock()
    }

    pub fn count(&self, outcome: ReloadOutcome, now: WallTime) {
        let mut report = self.0.lock();
        report.counts[outcome as usize] += 1;
        report.successful = outcome == ReloadOutcome::Applied;
        if report.successful {
            report.success_at = now;
        }
    }
}

/// How keeping state on disk goes.
#[derive(Debug, Default)]
pub struct StateStatus(Mutex<StateReport>);

/// What mends by itself, each when its next one is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatePart {
    Checkpoint,
    Log,
}

/// See [`StateStatus::report`].
#[derive(Clone, Debug, Default)]
pub struct StateReport {
    /// Whether a state directory is configured.
    pub kept: bool,
    /// The newest checkpoint: its number, when it was safe on disk, its size and how long writing it took.
    pub saved: Option<(u64, WallTime, Saved)>,
    pub checkpoints: u64,
    /// Attempts to write or sync that failed, ever.
    pub failures: u64,
    /// What is wrong now, with which part.
    pub problems: BTreeMap<StatePart, String>,
    /// The longest a shard took no records because of a checkpoint: of the last one, and ever.
    pub stall: Duration,
    pub stall_max: Duration,
}

impl StateStatus {
    pub fn report(&self) -> StateReport {
        self.0.lock().clone()
    }

    pub fn keep(&self) {
        self.0.lock().kept = true;
    }

    pub fn problem(&self) -> Option<String> {
        self.0.lock().problems.values().next().cloned()
    }

    /// The disk refused something. Foghorn goes on, and a crash now would lose what is not on disk.
    pub fn fail(&self, part: StatePart, dir: &Path, what: &str, error: &std::io::Error) {
        let dir = dir.display();
        let text =
            format!("{what} in {dir}: {error}; pages still go out, but a crash now would forget what they were about");
        let mut report = self.0.lock();
        report.failures += 1;
        if report.problems.get(&part) != Some(&text) {
            tracing::error!("{text}");
        }
        report.problems.insert(part, text);
    }

    /// What was wrong with this part is over.
    pub fn well(&self, part: StatePart) {
        let mut report = self.0.lock();
        if report.problems.remove(&part).is_some() && report.problems.is_empty() {
            tracing::info!("state is on disk again");
        }
    }

    pub fn saved(&self, number: u64, at: WallTime, saved: Saved) {
        {
            let mut report = self.0.lock();
            report.saved = Some((number, at, saved));
            report.checkpoints += 1;
        }
        self.well(StatePart::Checkpoint);
    }

    /// A shard took no records for this long.
    pub fn stalled(&self, stall: Duration) {
        let mut report = self.0.lock();
        report.stall = stall;
        report.stall_max = report.stall_max.max(stall);
    }
}
