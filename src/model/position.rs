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

    /// The opposite of `Display`.
    pub fn parse(text: &str) -> Option<SourceId> {
        let (topic, partition) = text.rsplit_once('/')?;
        Some(SourceId::new(topic, partition.parse().ok()?))
    }
}

/// `topic/3`
impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// The id of a topic, as Kafka prints it. A topic that is deleted and made anew under the same name has another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TopicId(pub Arc<str>);

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

/// Where the record that was to be read next is no longer, or not yet, in its log, and reading goes on elsewhere. Offsets
/// that a log passes over by itself (compaction, transactions) are no gap: nothing is missing there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub source: SourceId,
    /// The offset of the record that was to be read next.
    pub from: i64,
    /// The offset at which reading goes on.
    pub to: i64,
}

impl Gap {
    /// The log ended before `from`: it was made anew, or cut. What is read from here on is not what the offsets below
    /// `from` once meant.
    pub fn is_rewind(&self) -> bool {
        self.to < self.from
    }

    /// Records that are gone unread, at most: some offsets may never have held one. After a rewind nobody knows.
    pub fn lost(&self) -> Option<u64> {
        u64::try_from(self.to - self.from).ok()
    }
}

/// Why events of a partition were not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Loss {
    /// Kafka no longer held them.
    Expired { records: u64 },
    /// The log was made anew; what the old one held behind our position nobody knows.
    Rewound,
    /// The partition belongs to another member of the group.
    TakenAway,
}

/// `topic/3@10, goes on at 50`
impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}, goes on at {}", self.source, self.from, self.to)
    }
}
