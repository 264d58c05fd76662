//! What the desk is told before it starts: routes, receivers, bounds. Valid by construction.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alert::route::RouteTree;
use crate::model::{Labels, Millis};
use crate::notify::outbox::IntegrationPolicy;

/// One receiver by name. One without integrations is allowed: what is routed to it is told to nobody, on purpose.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceiverPolicy {
    pub name: Arc<str>,
    /// In the order of `Delivery::integration`.
    pub integrations: Vec<IntegrationPolicy>,
}

/// What the desk holds at most, and what happens beyond (design D8). Each overflow is journalled and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeskBounds {
    /// Alerts known at once, pending ones included. Beyond it a pending alert is refused; a firing one takes the
    /// place of a pending one, and is refused only when all that are kept fire.
    pub alerts_max: usize,
    /// Groups at once. Beyond it, an alert that would open another goes into the overflow group of its route.
    pub groups_max: usize,
    /// Ended alerts of one group whose end is still owed. Beyond it the oldest end is never told.
    pub ended_per_group_max: usize,
    /// Alerts shown in one notification. Beyond it, changed ones are shown first and the rest is counted.
    pub alerts_per_notification_max: usize,
    /// Notifications waiting in one lane. Beyond it a new one is given up at once, and stays owed.
    pub lane_queue_max: usize,
    /// Entries of the journal kept in memory; the oldest go.
    pub journal_max: usize,
    /// Given-up notifications kept for the page; the oldest go.
    pub dead_letters_max: usize,
    /// Resolved alerts kept for the page after everyone was told; the oldest go.
    pub resolved_max: usize,
    /// How long a receiver that cannot be reached is owed the end of an alert. After that it will never hear of it.
    pub owed_max: Millis,
}

impl Default for DeskBounds {
    fn default() -> Self {
        DeskBounds {
            alerts_max: 100_000,
            groups_max: 10_000,
            ended_per_group_max: 1_000,
            alerts_per_notification_max: 100,
            lane_queue_max: 10_000,
            journal_max: 10_000,
            dead_letters_max: 1_000,
            resolved_max: 1_000,
            owed_max: Millis::from_secs(24 * 60 * 60),
        }
    }
}

/// Why a desk cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeskConfigError {
    #[error("route `{route}` names receiver `{receiver}`, which does not exist; known: {known}")]
    UnknownReceiver { route: Arc<str>, receiver: Arc<str>, known: String },
    #[error("receiver `{0}` is defined twice; rename one")]
    ReceiverTwice(Arc<str>),
    #[error("`{field}` is 0 for integration {integration} of receiver `{receiver}`; it must be at least 1")]
    Zero { field: &'static str, receiver: Arc<str>, integration: usize },
    #[error("desk bound `{0}` is 0; it must be at least 1")]
    ZeroBound(&'static str),
}

/// Everything a [`super::Desk`] needs to know.
#[derive(Clone, Debug)]
pub struct DeskConfig {
    pub(super) routes: RouteTree,
    pub(super) receivers: Vec<ReceiverPolicy>,
    pub(super) receiver_index: BTreeMap<Arc<str>, usize>,
    pub(super) external_url: Arc<str>,
    pub(super) bounds: DeskBounds,
    pub(super) meta_labels: Labels,
}

impl DeskConfig {
    /// `external_url` is where the page can be reached, for links in notifications; a trailing slash is dropped.
    pub fn new(
        routes: RouteTree,
        receivers: Vec<ReceiverPolicy>,
        external_url: &str,
    ) -> Result<DeskConfig, DeskConfigError> {
        let mut receiver_index = BTreeMap::new();
        for (index, receiver) in receivers.iter().enumerate() {
            if receiver_index.insert(receiver.name.clone(), index).is_some() {
                return Err(DeskConfigError::ReceiverTwice(receiver.name.clone()));
            }
            for (integration, policy) in receiver.integrations.iter().enumerate() {
                let zero = |field| DeskConfigError::Zero { field, receiver: receiver.name.clone(), integration };
                if policy.concurrency == 0 {
                    return Err(zero("concurrency"));
                }
                if policy.timeout <= Millis::ZERO {
                    return Err(zero("timeout"));
                }
                if policy.retry.attempts_max == 0 {
                    return Err(zero("attempts_max"));
                }
            }
        }
        for (_, node) in routes.nodes() {
            if !receiver_index.contains_key(&node.receiver) {
                let known: Vec<&str> = receiver_index.keys().map(|name| &**name).collect();
                return Err(DeskConfigError::UnknownReceiver {
                    route: node.key.clone(),
                    receiver: node.receiver.clone(),
                    known: known.join(", "),
                });
            }
        }
        Ok(DeskConfig {
            routes,
            receivers,
            receiver_index,
            external_url: external_url.trim_end_matches('/').into(),
            bounds: DeskBounds::default(),
            meta_labels: Labels::default(),
        })
    }

    pub fn with_bounds(mut self, bounds: DeskBounds) -> Result<DeskConfig, DeskConfigError> {
        let checked = [
            ("alerts_max", bounds.alerts_max),
            ("groups_max", bounds.groups_max),
            ("alerts_per_notification_max", bounds.alerts_per_notification_max),
            ("lane_queue_max", bounds.lane_queue_max),
        ];
        if let Some((name, _)) = checked.into_iter().find(|(_, bound)| *bound == 0) {
            return Err(DeskConfigError::ZeroBound(name));
        }
        self.bounds = bounds;
        Ok(self)
    }

    /// Labels laid over those of Foghorn's alerts about itself (`FoghornSourceStalled` has `severity="critical"`,
    /// `FoghornRuleDegraded`, `FoghornRuleNotLocal` and `FoghornDeskFull` have `severity="warning"`).
    pub fn with_meta_labels(mut self, labels: Labels) -> DeskConfig {
        self.meta_labels = labels;
        self
    }

    /// A fingerprint of routes, receivers and what decides how they are spoken to: the same inputs under the same meaning
    /// make the same deliveries.
    pub fn meaning(&self) -> u64 {
        let DeskConfig { routes, receivers, external_url, bounds, meta_labels, .. } = self;
        let nodes: Vec<_> = routes.nodes().collect();
        let text = format!("{nodes:?}\u{ff}{receivers:?}\u{ff}{external_url}\u{ff}{bounds:?}\u{ff}{meta_labels}");
        xxhash_rust::xxh3::xxh3_64(text.as_bytes())
    }

    pub fn routes(&self) -> &RouteTree {
        &self.routes
    }

    pub fn receivers(&self) -> &[ReceiverPolicy] {
        &self.receivers
    }
}
