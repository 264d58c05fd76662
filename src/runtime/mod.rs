//! Threads and channels, on one page.
//!
//! ```text
//! kafka thread ──bounded──► shard thread 0 ─┐                      ┌─► delivery task ─► receiver
//!              ──bounded──► shard thread 1 ─┼─bounded──► desk task ┼─► delivery task ─► receiver
//!                             ▲    │        │              ▲       └─► …    │
//!                             └────┘ peers ─┘              └──── receipts ──┘
//! ```
//!
//! - `R1` a shard never blocks on a peer: while a peer's channel is full it goes on listening to its own peers, and
//!   takes no new records, so two shards cannot wait for each other
//! - `R2` the desk never waits for a receiver; receivers never wait for each other
//! - `R3` every channel is bounded; what fills up holds Kafka partitions back, and nothing else
//! - `R4` shutting down goes with the flow: the source stops, shards finish what they have, the desk waits for what is
//!   under way

mod desk;
mod homes;
mod memory;
mod operator;
mod reload;
mod shard;
mod status;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use tokio::sync::mpsc;

pub use desk::{DRAIN_MAX, tell_dropped};
pub use memory::{Memory, until_next};
pub use operator::{Answered, Kept, Operations, Operators, operators};
pub use reload::{Next, ReloadError, Reloaded, Reloader, Reloads, reloads};
pub use shard::DeadLetterSink;
pub use status::{DeskSnapshot, Live, PlanInUse, ReloadOutcome, ReloadReport, StatePart, StateReport, Status};

use crate::edge::clock;
use crate::edge::kafka::{ConsumerConfig, ConsumerHandle, Handover, KafkaError, SourceEvent};
use crate::edge::senders::Senders;
use crate::engine::cells::Said;
use crate::engine::desk::{Desk, DeskConfig};
use crate::engine::feed::cut::RestoreError;
use crate::engine::local::{Happening, Timeline};
use crate::engine::merge::{LimitJoin, Relief, SignalMerger};
use crate::engine::plan::Plan;
use crate::engine::shard::{Peer, ShardError, positions, topics};
use crate::engine::stall::StallWatch;
use crate::engine::state::ShardCut;
use crate::engine::steady::SteadyClock;
use crate::model::time::{Millis, WallTime};
use desk::{DeskMail, EventDesk, WallDesk};
use homes::{Homes, LEAVING_MAX, Parcels};
use memory::{DeskMemory, Keeper};
use reload::Shards;

/// Batches a shard may have waiting from Kafka.
pub const SOURCE_QUEUE: usize = 16;

/// Messages a shard may have waiting from its peers.
pub const PEER_QUEUE: usize = 64;

/// Messages the desk may have waiting.
pub const DESK_QUEUE: usize = 4_096;

/// How often positions are committed where no state is kept: for lag tools and for a restart.
const COMMIT_EVERY: Duration = Duration::from_secs(5);

/// How often the read model gets the consumer's counters.
const STATS_EVERY: Duration = Duration::from_millis(500);

/// Why an engine could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Decoder(#[from] ShardError),
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error("the checkpoint cannot be gone on from: {0}")]
    Restore(#[from] RestoreError),
    #[error("the thread of shard {shard} could not be started")]
    Thread { shard: usize, source: std::io::Error },
}

/// What an engine is made of.
pub struct Parts {
    pub plan: Arc<Plan>,
    pub shards: usize,
    pub consumer: ConsumerConfig,
    pub dead_letters: DeadLetterSink,
    /// Randomises hashing, never results.
    pub seed: u64,
    pub status: Arc<Status>,
    /// The shards' part of the checkpoint to go on from; empty for a fresh start.
    pub restore: Vec<ShardCut>,
    /// Where state is kept; without it nothing outlives the process but the committed positions.
    pub memory: Option<Memory>,
    /// How partitions move between the members of the group, where all rules are local; without it, this is the only one.
    pub sharing: Option<Arc<Handover>>,
    /// Who may ask for other rules and receivers; without it nobody can.
    pub reloads: Option<Reloads>,
    /// Who may ask something of the desk; without it nobody can.
    pub operations: Option<Operations>,
}

/// Shards that run and a consumer that feeds them.
struct Plant {
    consumer: Arc<ConsumerHandle>,
    threads: Vec<JoinHandle<()>>,
    mail: mpsc::Receiver<DeskMail>,
    to_desk: mpsc::Sender<DeskMail>,
    status: Arc<Status>,
    memory: Option<DeskMemory>,
    /// `None` where no cuts are ever taken.
    keeper: Option<Keeper>,
    relief: Relief,
    /// Where partitions move.
    parcels: Option<Parcels>,
}

impl Plant {
    /// `before`: when whoever kept the state that is gone on from last did anything.
    fn start(parts: Parts, before: WallTime, until_end: bool) -> Result<Plant, StartError> {
        let Parts {
            plan,
            shards: count,
            mut consumer,
            dead_letters,
            seed,
            status,
            restore,
            memory,
            sharing,
            reloads,
            ..
        } = parts;
        consumer.resume.set(positions(&restore));
        consumer.resume.set_topics(topics(&restore));
        let local = sharing.is_some();
        // Shards do not go on from cells, nor cells from shards: of the other kind only the positions are of use.
        let changed = restore.iter().any(|cut| cut.cell.is_some() != local);
        let restore = if changed { Vec::new() } else { restore };
        let void_until = if changed { before } else { WallTime::MIN };
        let homes =
            sharing.map(|handover| Homes::new(handover, consumer.resume.clone(), plan.clone(), &restore, void_until));
        let homes = homes.map(Arc::new);
        consumer.is_alone = !local;
        if let Some(homes) = &homes {
            consumer.arrivals = Some(homes.clone());
            consumer.revoke_grace = LEAVING_MAX;
            consumer.gives_up = true;
        }
        let (desk, mail) = mpsc::channel(DESK_QUEUE);
        let (to_shards, sources): (Vec<_>, Vec<Receiver<SourceEvent>>) =
            (0..count).map(|_| bounded(SOURCE_QUEUE)).unzip();
        let (to_keeper, cuts) = mpsc::unbounded_channel();
        let (order, ordered): (Vec<_>, Vec<_>) = (0..count).map(|_| unbounded()).unzip();
        let making = Shards { count, seed, cuts: memory.is_some() || reloads.is_some(), local };
        let restored = reload::restore(making.make(&plan)?, &restore)?;
        let said = restored.iter().flat_map(|(_, said)| said).filter_map(Said::of_shard);
        let relief = Relief::new(&plan, &restore, said);
        let mut threads = Vec::new();
        let ready = restored.into_iter().zip(sources).zip(peer_channels(count)).zip(ordered);
        for (index, ((((machine, said), source), (peers, to_peers)), orders)) in ready.enumerate() {
            let links = shard::Links {
                index,
                source,
                peers,
                to_peers,
                desk: desk.clone(),
                orders,
                cuts: to_keeper.clone(),
                dead_letters: dead_letters.clone(),
                homes: homes.clone(),
                status: status.clone(),
                until_end,
            };
            let thread = std::thread::Builder::new().name(format!("shard-{index}"));
            let thread = thread
                .spawn(move || shard::run(machine, said, links))
                .map_err(|source| StartError::Thread { shard: index, source })?;
            threads.push(thread);
        }
        let consumer = Arc::new(crate::edge::kafka::start(consumer, to_shards)?);
        let parcels = homes.clone().map(|homes| Parcels::new(homes, &restore, &consumer));
        let next = memory.as_ref().map_or(1, |memory| memory.next);
        let (memory, store) = memory.map(|memory| memory.split(count)).unzip();
        let keeper = making.cuts.then(|| Keeper {
            store,
            next,
            shards: order,
            cuts,
            to_desk: desk.clone(),
            reloads: reloads.unwrap_or_else(|| mpsc::channel(1).1),
            making,
            plan,
            homes,
        });
        Ok(Plant { consumer, threads, mail, to_desk: desk, status, memory, keeper, relief, parcels })
    }
}

/// What each shard hears its peers by, and tells them by. Nobody sends to itself: its own end must not keep it alive.
fn peer_channels(shards: usize) -> Vec<(Receiver<Peer>, Vec<Sender<Peer>>)> {
    let (to_peers, peers): (Vec<_>, Vec<_>) = (0..shards).map(|_| bounded(PEER_QUEUE)).unzip();
    let links = |(index, peers)| {
        let mut to_peers: Vec<Sender<Peer>> = to_peers.clone();
        to_peers[index] = bounded(0).0;
        (peers, to_peers)
    };
    peers.into_iter().enumerate().map(links).collect()
}

/// Nanoseconds since some moment, for measuring.
fn stopwatch() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Runs on the real clock with real receivers until `stop` resolves, then drains (`R4`).
///
/// # Errors
/// The engine cannot be started. What goes wrong later shows in the status and mends, or does not.
pub async fn run(
    mut parts: Parts,
    desk: Desk,
    senders: Arc<Senders>,
    stop: impl Future<Output = ()>,
) -> Result<Desk, StartError> {
    let operations = parts.operations.take().unwrap_or_else(|| operators().1);
    let plan = parts.plan.clone();
    let streams = plan.streams.iter().map(|stream| stream.schema.name.clone()).collect();
    let Plant { consumer, threads, mail, to_desk, status, memory, keeper, relief, parcels } =
        Plant::start(parts, desk.now(), false)?;
    let keeps = memory.is_some();
    let (stop_keeping, stopped) = tokio::sync::watch::channel(false);
    let keeping = keeper.map(|keeper| tokio::spawn(keeper.run(consumer.clone(), status.clone(), stopped)));
    if keeps {
        status.state.keep();
    }
    let limits = LimitJoin::default();
    let watch = StallWatch::new(&plan).resume(desk.stalled());
    let (clock, started) = (SteadyClock::new(desk.now(), Millis::ZERO), Instant::now());
    let relief = Some(relief);
    let status_of_desk = status.clone();
    let desk = WallDesk {
        desk,
        senders,
        status: status_of_desk,
        streams,
        limits,
        clock,
        started,
        relief,
        memory,
        parcels,
        leaving: Vec::new(),
    };
    let desk = tokio::spawn(desk.run(mail, operations));
    status.set_running(true);
    supervise(&consumer, &status, watch, &to_desk, !keeps, stop).await;
    drop(to_desk);
    status.set_running(false);
    consumer.drain();
    let _ = stop_keeping.send(true); // takes the last checkpoint, then lets the shards end
    if let Some(keeping) = keeping {
        keeping.await.expect("the keeper does not panic");
    }
    let desk = desk.await.expect("the desk does not panic");
    for thread in threads {
        thread.join().expect("shards do not panic");
    }
    if !keeps {
        consumer.commit(status.positions());
    }
    Arc::into_inner(consumer).expect("nobody else holds it any more").stop()?;
    Ok(desk)
}

/// Reads what Kafka holds now, judges it in event time and returns what would have been sent. Sends nothing and commits
/// nothing.
pub async fn rehearse(parts: Parts, desk: DeskConfig) -> Result<Vec<Happening>, StartError> {
    let (shards, seed) = (parts.shards, parts.seed);
    let Plant { consumer, threads, mail, to_desk, .. } = Plant::start(parts, WallTime::MIN, true)?;
    drop(to_desk);
    let desk = EventDesk { timeline: Timeline::new(desk, seed), merger: SignalMerger::new(shards) };
    let happened = desk.run(mail, || consumer.drain()).await;
    for thread in threads {
        thread.join().expect("shards do not panic");
    }
    Arc::into_inner(consumer).expect("nobody else holds it").stop()?;
    Ok(happened)
}

/// Keeps positions committed and the read model fresh until it is time to stop, or the consumer's thread is gone.
async fn supervise(
    consumer: &ConsumerHandle,
    status: &Status,
    mut watch: StallWatch,
    desk: &mpsc::Sender<DeskMail>,
    commits: bool,
    stop: impl Future<Output = ()>,
) {
    let mut commit = tokio::time::interval(COMMIT_EVERY);
    let mut stats = tokio::time::interval(STATS_EVERY);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return,
            _ = commit.tick(), if commits => consumer.commit(status.positions()),
            _ = stats.tick() => {
                *status.kafka.lock() = Some((consumer.stats(), clock::now()));
                let shards = status.shards();
                for news in watch.look(clock::now(), shards.iter().map(|(shard, _)| shard)) {
                    let _ = desk.send(DeskMail::Source(news)).await; // a desk that is gone has nothing left to hear
                }
                if !consumer.is_running() {
                    tracing::error!("the Kafka consumer's thread is gone; stopping");
                    return;
                }
            }
        }
    }
}
