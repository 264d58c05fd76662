//! What the running engine lets others see: the read model of the page, the API and the metrics.
//!
//! The engine's threads write here now and then; readers never touch the engine. Alerts live in a concurrent map of
//! their own, since a page may read them all while the desk changes one; everything else is a snapshot behind a lock
//! that is held for a copy.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::alert::life::{Alert, AlertId};
use crate::edge::kafka::ConsumerStats;
use crate::engine::desk::DeskSnapshot;
use crate::engine::shard::ShardStatus;
use crate::model::position::Position;
use crate::model::time::WallTime;

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
    pub kafka: Mutex<Option<ConsumerStats>>,
    live: broadcast::Sender<Live>,
    ready: std::sync::atomic::AtomicBool,
}

#[derive(Debug, Default)]
struct Slot {
    status: Mutex<(ShardStatus, Vec<Position>)>,
    busy_micros: AtomicU64,
}

/// Something changed that people watch.
#[derive(Clone, Debug)]
pub enum Live {
    /// An alert began, fired, resolved or went.
    Alert(Box<Alert>),
    /// A line of the journal.
    Journal(String),
}

impl Status {
    pub fn new(shards: usize, started: WallTime) -> Self {
        Status {
            started,
            shards: (0..shards).map(|_| Slot::default()).collect(),
            alerts: DashMap::new(),
            desk: Mutex::default(),
            kafka: Mutex::default(),
            live: broadcast::channel(LIVE_BACKLOG).0,
            ready: std::sync::atomic::AtomicBool::new(false),
        }
    }

    /// A shard's counters and positions.
    pub fn publish(&self, shard: usize, status: ShardStatus, positions: Vec<Position>) {
        *self.shards[shard].status.lock() = (status, positions);
    }

    pub fn add_busy(&self, shard: usize, time: Duration) {
        self.shards[shard].busy_micros.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
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

    /// Whether partitions are assigned and the desk runs.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Follows changes from now on.
    pub fn follow(&self) -> broadcast::Receiver<Live> {
        self.live.subscribe()
    }

    pub fn tell(&self, live: Live) {
        let _ = self.live.send(live); // nobody watching is fine
    }
}
