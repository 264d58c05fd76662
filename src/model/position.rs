//! Where a record stood: topic, partition, offset. A file read by replay is a partition, too; its "offset" is the
//! number of the record in it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One partition of one topic: the unit of order, of watermarks and of ownership.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceId {
    pub topic: Arc<str>,
    pub partition: i32,
}

impl SourceId {
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        SourceId { topic: topic.into(), partition }
    }
}

/// `topic/3`
impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// One record's place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    pub source: SourceId,
    pub offset: i64,
}

/// `topic/3@1042`
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.source, self.offset)
    }
}
