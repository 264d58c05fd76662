//! Partitions that move between members of the group, where all rules are local: the case in which each arrives, and the
//! parcels by which it leaves.
//!
//! ```text
//! consumer thread: assigned ─► newest parcel? ─► arrival ─► shard thread: cell ─► desk: home
//! shard thread: revoked ─► cell's cut ─► desk: home's cut ─► parcel ─► Kafka has it ─► consumer lets go
//! ```
//!
//! How a partition arrives is decided in [`crate::checkpoint::arrival`]. The order matters: the consumer's thread knows the
//! case before the partition is read, the shard's thread has the cell before the first record, and the desk has the home
//! before the first signal, as all three go through the same channels.
//!
//! Parcels are written when a partition leaves, when it is adopted (so that its last owner finds out) or begins (so that the
//! next begins there, too, and not where the group's offset is by then), with every checkpoint, and around every
//! notification: before it is sent, since it must not be sent again elsewhere, and after its receipt. Kafka is waited for a
//! second at most; a page that may come twice is better than one that does not come.
//!
//! - `O2` of a partition that was revoked nothing is told after its parcel was made

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::checkpoint::arrival::{Arrival, KnownCells};
use crate::checkpoint::holdings::Holdings;
use crate::edge::clock;
use crate::edge::kafka::{Arrivals, ConsumerHandle, Handover, PublishError, Publishing, ResumePositions};
use crate::engine::desk::Desk;
use crate::engine::plan::Plan;
use crate::engine::shard::{positions, topics};
use crate::engine::state::{CellCut, CellStart, ShardCut};
use crate::model::position::SourceId;
use crate::model::time::{Millis, WallTime};

/// How long a partition that was assigned waits for its newest parcel, before it is asked for again.
const LATEST_MAX: Duration = Duration::from_secs(5);

/// How long a notification waits for Kafka to have its parcel.
const PUBLISH_MAX: Duration = Duration::from_secs(1);

/// How long a partition that leaves waits for Kafka to have its parcel.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// How long partitions that are taken away may wait for their shards, their parcels and Kafka.
pub const LEAVING_MAX: Duration = Duration::from_secs(10);

/// The partitions that this process holds, and those that are arriving.
pub(super) struct Homes {
    handover: Arc<Handover>,
    resume: ResumePositions,
    held: Mutex<Holdings>,
    /// What the shards go by.
    plan: RwLock<Arc<Plan>>,
    /// Parcels that were made before this moment tell of a time after which the group's rules were not local.
    void_until: WallTime,
}

impl Homes {
    /// Holds what was restored.
    pub fn new(
        handover: Arc<Handover>,
        resume: ResumePositions,
        plan: Arc<Plan>,
        restored: &[ShardCut],
        void_until: WallTime,
    ) -> Homes {
        let held = Mutex::new(Holdings::restored(restored));
        Homes { handover, resume, held, plan: RwLock::new(plan), void_until }
    }

    /// The shards go by other rules.
    pub fn go_by(&self, plan: Arc<Plan>) {
        *self.plan.write() = plan;
    }

    /// How a partition that was just assigned arrived, once.
    pub fn arrived(&self, home: &SourceId) -> Option<Arrival> {
        self.held.lock().arrived(home)
    }

    /// As [`Holdings::tenure`].
    pub fn tenure(&self, home: &SourceId) -> Option<u64> {
        self.held.lock().tenure(home)
    }

    /// Whether the partition of a parcel of this tenure is still ours, as far as is known.
    fn is_ours(&self, home: &SourceId, tenure: u64) -> bool {
        self.held.lock().is_of(home, tenure) && self.handover.outpaced(home, tenure).is_none()
    }

    /// The cell of a partition is gone.
    pub fn forget(&self, home: &SourceId) {
        let mut held = self.held.lock();
        if held.forget(home) {
            self.resume.forget([home]);
        }
    }
}

impl std::fmt::Debug for Homes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Homes")
            .field("member", self.handover.member())
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

impl Arrivals for Homes {
    fn arrive(&self, sources: &[SourceId]) -> Result<Vec<SourceId>, String> {
        let mut latest = self.handover.latest(sources, LATEST_MAX).map_err(|error| error.to_string())?;
        let plan = self.plan.read();
        let mut held = self.held.lock();
        let mut begin = Vec::new();
        for home in sources {
            match held.find_out(self.handover.member(), home, latest.remove(home), self.void_until, &plan) {
                Arrival::Adopted { parcel, .. } => {
                    let left = std::slice::from_ref(&parcel.shard.0);
                    self.resume.forget([home]);
                    self.resume.set(positions(left));
                    self.resume.set_topics(topics(left));
                }
                Arrival::Begun { .. } => begin.push(home.clone()),
                Arrival::Confirmed { .. } => {}
            }
        }
        Ok(begin)
    }

    fn reach(&self, streams: &[usize]) -> Millis {
        let plan = self.plan.read();
        streams.iter().map(|stream| plan.look_back(*stream)).max().unwrap_or(Millis::ZERO)
    }

    fn begin(&self, home: &SourceId, streams: &[usize], at: CellStart) {
        let CellStart { read_from, judged_from } = at;
        tracing::info!(%home, read_from, judged_from, "nobody left anything of a partition: it begins");
        let plan = self.plan.read();
        let names = streams.iter().map(|stream| plan.streams[*stream].schema.name.clone());
        self.held.lock().begin_at(home, names, at);
    }

    fn read(&self, sources: &[SourceId]) {
        let mut held = self.held.lock();
        sources.iter().for_each(|home| held.arrive(home));
    }

    fn depart(&self, sources: &[SourceId]) {
        let mut held = self.held.lock();
        sources.iter().for_each(|home| held.depart(home));
        self.resume.forget(sources);
    }
}

/// The desk's half: the newest cut of each cell, to go into parcels.
pub(super) struct Parcels {
    homes: Arc<Homes>,
    cells: KnownCells,
    consumer: Weak<ConsumerHandle>,
}

impl Parcels {
    pub fn new(homes: Arc<Homes>, restored: &[ShardCut], consumer: &Arc<ConsumerHandle>) -> Parcels {
        let mut parcels = Parcels { homes, cells: KnownCells::default(), consumer: Arc::downgrade(consumer) };
        parcels.take(restored.iter().map(CellCut::of).map(Arc::new));
        parcels
    }

    /// As [`KnownCells::take`].
    pub fn take(&mut self, cells: impl IntoIterator<Item = Arc<CellCut>>) {
        self.cells.take(cells);
    }

    /// As [`KnownCells::missing`].
    pub fn missing(&self, desk: &Desk) -> Vec<SourceId> {
        self.cells.missing(desk)
    }

    /// As [`KnownCells::arrived`].
    pub fn arrived(&mut self, home: &SourceId, cell: Option<Arc<CellCut>>) {
        self.cells.arrived(home, cell);
    }

    pub fn forget(&mut self, home: &SourceId) {
        self.cells.forget(home);
    }

    /// As [`KnownCells::contest`].
    pub fn contest(&mut self, now: WallTime) {
        let handover = &self.homes.handover;
        let outpacing = |home: &SourceId, tenure| handover.outpaced(home, tenure).map(|(_, tenure)| tenure);
        for home in self.cells.contest(now, outpacing) {
            tracing::warn!(%home, "another member took a partition over that the group has given to us; it is told so");
        }
    }

    /// Writes a parcel of every partition that is ours. What is returned ends when Kafka has them, or a bound is over.
    pub fn publish_all(&self, desk: &Desk) -> impl Future<Output = ()> + Send + use<> {
        let sent: Vec<Sent> = self.cells.homes().filter_map(|home| self.publish(home, desk)).collect();
        async move {
            for sent in sent {
                sent.within(PUBLISH_MAX).await;
            }
        }
    }

    /// Writes a parcel of a partition, if it is ours.
    pub fn publish(&self, home: &SourceId, desk: &Desk) -> Option<Sent> {
        Some(self.send(home, self.cells.ours(home)?, desk))
    }

    /// Writes the last parcel of a partition and lets it go when Kafka has it.
    pub fn leave(&mut self, home: SourceId, cell: &CellCut, desk: &Desk) {
        let cell = self.cells.last(&home, cell);
        self.forget(&home);
        let sent = self.send(&home, cell, desk);
        let consumer = self.consumer.clone();
        tokio::spawn(async move {
            sent.within(LEAVE_MAX).await;
            if let Some(consumer) = consumer.upgrade() {
                consumer.release(vec![home]);
            }
        });
    }

    fn send(&self, home: &SourceId, cell: CellCut, desk: &Desk) -> Sent {
        let handover = &self.homes.handover;
        let tenure = cell.name().map_or(0, |name| name.tenure);
        let sent = handover.publish(home, clock::now(), cell, desk.home_cut(home));
        if let Ok(Publishing { left_out: left_out @ 1.., .. }) = &sent {
            tracing::warn!(%home, left_out, "a partition's parcel has no room for some pending alerts; if it moves, their `for` begins anew");
        }
        Sent { home: home.clone(), tenure, homes: self.homes.clone(), sent }
    }
}

/// A parcel on its way.
pub(super) struct Sent {
    home: SourceId,
    tenure: u64,
    homes: Arc<Homes>,
    sent: Result<Publishing, PublishError>,
}

impl Sent {
    /// Waits until Kafka has it, `limit` at most. Whether the partition is ours still, as far as is known.
    pub async fn within(self, limit: Duration) -> bool {
        let home = self.home;
        let done = match self.sent {
            Ok(sent) => sent.within(limit).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &done {
            tracing::warn!(%home, "a partition's parcel is not with Kafka; if it moves now, something may be told again: {error}");
        }
        !matches!(done, Err(PublishError::Outpaced { .. }))
    }

    /// As [`Sent::within`], before a notification. Who stood still did not know of who took over when it sent the parcel;
    /// now that Kafka has answered it does, as a rule. And the group may have taken the partition away meanwhile.
    pub async fn before_telling(self) -> bool {
        let (home, tenure, homes) = (self.home.clone(), self.tenure, self.homes.clone());
        self.within(PUBLISH_MAX).await && homes.is_ours(&home, tenure)
    }
}
