//! What is said to people, and what became of it. `alert` and the desk make notifications, `notify` turns one into a
//! request and a response into an outcome, `edge` carries the bytes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::labels::{Fingerprint, Labels};
use crate::model::signal::{Evidence, RuleMeta};
use crate::model::time::{EventTime, Millis, WallTime};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertStatus {
    Firing,
    Resolved,
}

/// One alert as a notification shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertView {
    pub fingerprint: Fingerprint,
    pub status: AlertStatus,
    pub rule: Arc<RuleMeta>,
    pub labels: Labels,
    pub annotations: Vec<(Arc<str>, String)>,
    /// When the episode began to fire.
    pub starts_at: EventTime,
    pub active_since: EventTime,
    /// When it resolved; `None` while firing.
    pub ends_at: Option<EventTime>,
    pub value: Option<f64>,
    pub evidence: Arc<Evidence>,
}

/// Why a group is notified now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendReason {
    /// The group's first notification, after `group_wait`.
    New,
    /// Alerts were added, or some resolved, since the last one.
    Changed,
    /// Nothing changed, `repeat_interval` is over and something still fires.
    Repeat,
    /// All alerts of the group are resolved.
    AllResolved,
}

impl SendReason {
    pub const fn text(self) -> &'static str {
        match self {
            SendReason::New => "new",
            SendReason::Changed => "changed",
            SendReason::Repeat => "repeat",
            SendReason::AllResolved => "all resolved",
        }
    }
}

/// What is said to one receiver about one group of alerts. The same value whatever the integration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// The receiver's name.
    pub receiver: Arc<str>,
    /// Stable name of the route and the group labels: `{}/{severity="critical"}:{alertname="X"}`.
    pub group_key: Arc<str>,
    pub group_labels: Labels,
    /// When this group came into being (event time of its first firing): tells one life of the group from the next.
    pub group_since: EventTime,
    /// Counts the notifications of this life of the group, from 1; retries share it.
    pub sequence: u32,
    pub reason: SendReason,
    pub at: WallTime,
    /// Firing first, then resolved, each in label order; all alerts of the group, or those that changed where the
    /// group is larger than the desk shows.
    pub alerts: Vec<AlertView>,
    /// Alerts of the group that are not in `alerts` because of the bound.
    pub truncated: usize,
    /// Where Foghorn's page can be reached, without a trailing slash.
    pub external_url: Arc<str>,
}

impl Notification {
    pub fn status(&self) -> AlertStatus {
        match self.alerts.iter().any(|alert| alert.status == AlertStatus::Firing) {
            true => AlertStatus::Firing,
            false => AlertStatus::Resolved,
        }
    }

    pub fn firing(&self) -> impl Iterator<Item = &AlertView> {
        self.alerts.iter().filter(|alert| alert.status == AlertStatus::Firing)
    }

    pub fn resolved(&self) -> impl Iterator<Item = &AlertView> {
        self.alerts.iter().filter(|alert| alert.status == AlertStatus::Resolved)
    }

    /// Labels all alerts share.
    pub fn common_labels(&self) -> Labels {
        let Some(first) = self.alerts.first() else { return Labels::default() };
        let shared =
            first.labels.iter().filter(|(n, v)| self.alerts.iter().all(|alert| alert.labels.get(n) == Some(v)));
        Labels::from_pairs(shared)
    }

    /// Stable over retries and restarts: one key per life of a group and receiver. Receivers that deduplicate get it.
    pub fn dedup_key(&self) -> String {
        let hash = xxhash_rust::xxh3::xxh3_128(
            format!("{}\u{ff}{}\u{ff}{}", self.receiver, self.group_key, self.group_since.0).as_bytes(),
        );
        format!("foghorn-{hash:032x}")
    }

    /// As [`Notification::dedup_key`], and one per notification of that life: what makes a repeated request harmless.
    ///
    /// It names what is said, too. A process whose disk took nothing counts from where an older one stood; under the
    /// place in the order alone, a receiver that drops repeats would drop what it was never told.
    pub fn idempotency_key(&self) -> String {
        format!("{}-{}-{:08x}", self.dedup_key(), self.sequence, self.digest() as u32)
    }

    /// Who fires since when, and who ended when.
    fn digest(&self) -> u64 {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for AlertView { fingerprint, starts_at, ends_at, .. } in &self.alerts {
            hash.update(&fingerprint.0.to_le_bytes());
            hash.update(&starts_at.0.to_le_bytes());
            hash.update(&ends_at.unwrap_or(EventTime::MAX).0.to_le_bytes());
        }
        hash.digest()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub u64);

/// One attempt to hand a notification to one integration of its receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    pub id: DeliveryId,
    /// Index of the integration within its receiver (a receiver may have a Slack channel and a mail address).
    pub integration: usize,
    /// 1 for the first try.
    pub attempt: u32,
    pub notification: Arc<Notification>,
    /// What an earlier delivery of the same group to the same integration gave back.
    pub thread: Option<ThreadHandle>,
    /// An earlier attempt of the same notification was never answered and may have arrived (a timeout, or Foghorn was
    /// stopped in between). Receivers that cannot tell a repeat by its key are told so in words.
    pub perhaps_repeated: bool,
}

/// What a receiver gave back so that the next message can join the first: Slack's channel and `ts`, for instance.
/// Opaque to the desk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadHandle(pub Vec<String>);

/// What became of a delivery attempt. Decided once, in `notify`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The receiver has it.
    Delivered { thread: Option<ThreadHandle> },
    /// Not now. `after` is what the receiver asked for (Retry-After), else the desk's backoff decides. `throttled`
    /// pauses the integration as a whole, not this group alone.
    Retry { after: Option<Millis>, throttled: bool, reason: String },
    /// Never: the same request will be refused again.
    Rejected { reason: String },
}
