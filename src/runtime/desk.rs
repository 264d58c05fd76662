//! The desk's task: signals, receipts and the clock in, deliveries out.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::edge::clock;
use crate::edge::senders::Senders;
use crate::engine::desk::{Desk, DeskInput, DeskOutput};
use crate::engine::local::Timeline;
use crate::engine::merge::SignalMerger;
use crate::model::delivery::{Delivery, DeliveryId, Outcome};
use crate::model::signal::{RuleMeta, Signal};
use crate::model::time::{EventTime, WallTime};
use crate::runtime::status::Status;

/// What shards (and the source) tell the desk.
#[derive(Debug)]
pub(super) enum DeskMail {
    /// Signals of a shard, and how far it has judged (`EventTime::MIN`: nothing new).
    Judged { shard: usize, signals: Vec<Signal>, until: EventTime },
    Degraded { rule: Arc<RuleMeta>, degraded: bool },
}
