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
mod shard;
mod stall;
mod status;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use tokio::sync::mpsc;

pub use desk::DRAIN_MAX;
pub use shard::DeadLetterSink;
pub use status::{DeskSnapshot, Live, Status};

use crate::edge::clock;
use crate::edge::kafka::{ConsumerConfig, ConsumerHandle, KafkaError, SourceEvent};
use crate::edge::senders::Senders;
use crate::engine::desk::{Desk, DeskConfig};
use crate::engine::local::{Happening, Timeline};
use crate::engine::merge::SignalMerger;
use crate::engine::plan::Plan;
use crate::engine::shard::{Shard, ShardError};
use desk::{DeskMail, EventDesk, WallDesk};
use stall::StallWatch;

/// Batches a shard may have waiting from Kafka.
pub const SOURCE_QUEUE: usize = 16;

/// Messages a shard may have waiting from its peers.
pub const PEER_QUEUE: usize = 64;

/// Messages the desk may have waiting.
pub const DESK_QUEUE: usize = 4_096;

/// How often positions are committed, for lag tools and for a restart.
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
}

/// Shards that run and a consumer that feeds them.
struct Plant {
    consumer: ConsumerHandle,
    threads: Vec<JoinHandle<()>>,
    mail: mpsc::Receiver<DeskMail>,
    to_desk: mpsc::Sender<DeskMail>,
    status: Arc<Status>,
}

impl Plant {
    fn start(parts: Parts, until_end: bool) -> Result<Plant, StartError> {
        let (desk, mail) = mpsc::channel(DESK_QUEUE);
        let (to_shards, sources): (Vec<_>, Vec<Receiver<SourceEvent>>) =
            (0..parts.shards).map(|_| bounded(SOURCE_QUEUE)).unzip();
        let (to_peers, peers): (Vec<_>, Vec<_>) = (0..parts.shards).map(|_| bounded(PEER_QUEUE)).unzip();
        let mut threads = Vec::new();
        for (index, (source, peers)) in sources.into_iter().zip(peers).enumerate() {
            let shard = Shard::new(index, parts.shards, parts.plan.clone(), parts.seed)?.with_stopwatch(stopwatch);
            let mut to_peers = to_peers.clone();
            to_peers[index] = bounded(0).0; // nobody sends to itself, and its own end must not keep it alive
            let links = shard::Links {
                index,
                source,
                peers,
                to_peers,
                desk: desk.clone(),
                dead_letters: parts.dead_letters.clone(),
                status: parts.status.clone(),
                until_end,
            };
            let thread = std::thread::Builder::new().name(format!("shard-{index}"));
            let thread = thread
                .spawn(move || shard::run(shard, links))
                .map_err(|source| StartError::Thread { shard: index, source })?;
            threads.push(thread);
        }
        let consumer = crate::edge::kafka::start(parts.consumer, to_shards)?;
        Ok(Plant { consumer, threads, mail, to_desk: desk, status: parts.status })
    }
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
    parts: Parts,
    desk: Desk,
    senders: Arc<Senders>,
    stop: impl Future<Output = ()>,
) -> Result<Desk, StartError> {
    let plan = parts.plan.clone();
    let plant = Plant::start(parts, false)?;
    let status = plant.status.clone();
    let desk = tokio::spawn(WallDesk { desk, senders, status: status.clone() }.run(plant.mail));
    status.set_running(true);
    supervise(&plant.consumer, &status, StallWatch::new(&plan), &plant.to_desk, stop).await;
    drop(plant.to_desk);
    status.set_running(false);
    plant.consumer.drain();
    let desk = desk.await.expect("the desk does not panic");
    for thread in plant.threads {
        thread.join().expect("shards do not panic");
    }
    plant.consumer.commit(status.positions());
    plant.consumer.stop()?;
    Ok(desk)
}

/// Reads what Kafka holds now, judges it in event time and returns what would have been sent. Sends nothing and commits
/// nothing.
pub async fn rehearse(parts: Parts, desk: DeskConfig) -> Result<Vec<Happening>, StartError> {
    let (shards, seed) = (parts.shards, parts.seed);
    let Plant { consumer, threads, mail, to_desk, .. } = Plant::start(parts, true)?;
    drop(to_desk);
    let desk = EventDesk { timeline: Timeline::new(desk, seed), merger: SignalMerger::new(shards) };
    let happened = desk.run(mail, || consumer.drain()).await;
    for thread in threads {
        thread.join().expect("shards do not panic");
    }
    consumer.stop()?;
    Ok(happened)
}

/// Keeps positions committed and the read model fresh until it is time to stop, or the consumer's thread is gone.
async fn supervise(
    consumer: &ConsumerHandle,
    status: &Status,
    mut watch: StallWatch,
    desk: &mpsc::Sender<DeskMail>,
    stop: impl Future<Output = ()>,
) {
    let mut commit = tokio::time::interval(COMMIT_EVERY);
    let mut stats = tokio::time::interval(STATS_EVERY);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return,
            _ = commit.tick() => consumer.commit(status.positions()),
            _ = stats.tick() => {
                *status.kafka.lock() = Some((consumer.stats(), clock::now()));
                watch.look(status, desk).await;
                if !consumer.is_running() {
                    tracing::error!("the Kafka consumer's thread is gone; stopping");
                    return;
                }
            }
        }
    }
}
