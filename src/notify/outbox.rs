//! The outbox.

use std::sync::Arc;

use crate::model::Millis;
use crate::notify::retry::RetryPolicy;

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
