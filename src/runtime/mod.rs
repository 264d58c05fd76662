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
//! - `R3` every channel is bounded; what fills up pauses Kafka partitions, and nothing else
//! - `R4` shutting down goes with the flow: the source stops, shards finish what they have, the desk sends what is due

mod desk;
mod shard;
mod status;

pub use desk::{DeskClock, DeskReport};
pub use status::{Live, LiveAlert, Status};

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::Receiver;
use tokio::sync::mpsc;

use crate::decode::DecoderError;
use crate::edge::kafka::SourceEvent;
use crate::edge::senders::Senders;
use crate::engine::desk::Desk;
use crate::engine::plan::Plan;
use crate::engine::shard::{DeadLetter, Shard};

/// Messages a shard may have waiting from Kafka: each is a whole batch.
pub const SOURCE_QUEUE: usize = 16;

/// Messages a shard may have waiting from its peers.
pub const PEER_QUEUE: usize = 64;

/// Messages the desk may have waiting.
pub const DESK_QUEUE: usize = 4_096;

/// What is taken from a shard thread when it ends.
type ShardThread = JoinHandle<()>;

/// A running engine.
pub struct Engine {
    shards: Vec<ShardThread>,
    desk: tokio::task::JoinHandle<DeskReport>,
}
