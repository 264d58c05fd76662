//! What goes into an outbox and what comes out: policies, events, what a lane looks like from outside.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{Delivery, DeliveryId, Millis, Notification, ThreadHandle, WallTime};
use crate::notify::retry::RetryPolicy;

/// Bytes kept of what a receiver answered; longer reasons are cut at a character boundary and marked with `…`.
pub const REASON_BYTES_MAX: usize = 512;

/// How one integration of a receiver wants to be spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegrationPolicy {
    /// `slack`, `email`, `pagerduty`, `webhook`, `console`: how journals, counters and transcripts name it.
    pub kind: Arc<str>,
    /// Whether it hears of the end of alerts.
    pub send_resolved: bool,
    /// The least time between two attempts (Slack: a second a channel).
    pub min_interval: Millis,
    /// Integrations with the same `pace` share `min_interval` and the pause of a throttled one: several receivers
    /// may post into one Slack channel. `None` is a pace of its own.
    pub pace: Option<Arc<str>>,
    /// Attempts under way at once. At least 1.
    pub concurrency: usize,
    /// An attempt that has no receipt after this counts as failed. Greater than zero, and longer than what `edge`
    /// allows a request, so that it is a net and not the rule.
    pub timeout: Millis,
    pub retry: RetryPolicy,
}

impl IntegrationPolicy {
    /// Sensible for anything but Slack, which wants a `min_interval` and a `pace`.
    pub fn new(kind: impl Into<Arc<str>>) -> IntegrationPolicy {
        IntegrationPolicy {
            kind: kind.into(),
            send_resolved: true,
            min_interval: Millis::ZERO,
            pace: None,
            concurrency: 4,
            timeout: Millis::from_secs(60),
            retry: RetryPolicy::default(),
        }
    }
}

/// Index of a lane in its outbox, in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub usize);

/// A notification that was given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    pub at: WallTime,
    pub receiver: Arc<str>,
    pub integration: usize,
    pub kind: Arc<str>,
    pub notification: Arc<Notification>,
    pub attempts: u32,
    pub reason: DeadReason,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "dead")]
pub enum DeadReason {
    /// The receiver says the same request will be refused again.
    Rejected { answer: Arc<str> },
    /// `attempts_max` failures.
    Attempts { last: Arc<str> },
    /// The next attempt would come after `give_up_after`.
    TooOld { last: Arc<str> },
    /// The lane holds `queued` notifications, which is its bound.
    LaneFull { queued: usize },
}

impl std::fmt::Display for DeadReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DeadReason::Rejected { answer } => write!(f, "rejected: {answer}"),
            DeadReason::Attempts { last } => write!(f, "too many failures, the last: {last}"),
            DeadReason::TooOld { last } => write!(f, "tried for too long, the last failure: {last}"),
            DeadReason::LaneFull { queued } => write!(f, "the lane is full with {queued} notifications"),
        }
    }
}

/// What the outbox did, for the desk to act on and to journal.
#[derive(Clone, Debug, PartialEq)]
pub enum OutboxEvent {
    /// An attempt starts. `thread` of the delivery is for the desk to fill in.
    Started {
        lane: LaneId,
        delivery: Delivery,
    },
    /// `late`: the attempt had been counted as failed.
    Delivered {
        lane: LaneId,
        notification: Arc<Notification>,
        attempt: u32,
        took: Millis,
        thread: Option<ThreadHandle>,
        late: bool,
    },
    /// An attempt failed; the next starts at `next_at` or later, unless there is none.
    Failed {
        lane: LaneId,
        notification: Arc<Notification>,
        attempt: u32,
        reason: Arc<str>,
        next_at: Option<WallTime>,
    },
    /// The receiver asked for a pause, which holds for the whole pace.
    Throttled {
        lane: LaneId,
        notification: Arc<Notification>,
        attempt: u32,
        reason: Arc<str>,
        until: WallTime,
    },
    /// `newer` took the place of `older`, of which `attempts` had been made.
    Superseded {
        lane: LaneId,
        older: Arc<Notification>,
        newer: Arc<Notification>,
        attempts: u32,
    },
    Dead {
        lane: LaneId,
        letter: DeadLetter,
    },
    /// A receipt that changes nothing: of an attempt already settled, or of none that is known.
    Unneeded {
        lane: Option<LaneId>,
        id: DeliveryId,
        outcome: &'static str,
    },
}

/// What a lane did so far. `pushed = delivered + superseded + dead + released + held` (`O3`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneCounts {
    pub pushed: u64,
    pub delivered: u64,
    pub superseded: u64,
    pub dead: u64,
    /// They left with their partition.
    #[serde(default)]
    pub released: u64,
    /// Attempts, and how they failed.
    pub attempts: u64,
    pub failed: u64,
    pub throttled: u64,
    pub rejected: u64,
    pub timed_out: u64,
    /// Receipts that came after their attempt had been counted as timed out.
    pub late: u64,
}

/// How the last attempt with a receipt (or without one in time) went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastOutcome {
    Delivered,
    Failed,
    Throttled,
    Rejected,
    TimedOut,
}

/// A lane as the page shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LaneHealth {
    pub receiver: Arc<str>,
    pub integration: usize,
    pub kind: Arc<str>,
    pub in_flight: usize,
    /// Notifications waiting for their first or next attempt.
    pub queued: usize,
    /// All that is not settled (`O3`).
    pub held: usize,
    pub last: Option<(WallTime, LastOutcome)>,
    pub last_error: Option<(WallTime, Arc<str>)>,
    pub throttled_until: Option<WallTime>,
    pub counts: LaneCounts,
}
