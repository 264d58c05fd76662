//! What shards say of a rule's limit of groups.

use std::sync::Arc;

use crate::model::signal::RuleMeta;
use crate::model::time::EventTime;

/// What changed at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitChange {
    /// The limit is reached, and this many events were refused.
    Reached { refused: u64 },
    /// There is room again.
    Room,
}

/// What a shard says of a rule's limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitNews {
    /// The tick at which it changed.
    pub at: EventTime,
    pub rule: Arc<RuleMeta>,
    pub groups_max: usize,
    pub change: LimitChange,
}
