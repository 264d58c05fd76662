//! What the consumer thread tells a shard.

use std::time::Duration;

use super::KafkaError;
use crate::model::batch::{ARENA_BYTES_MAX, RawBatch};
use crate::model::position::{Gap, Position, SourceId, TopicId};

/// One step of a shard's input. Everything a shard is told about a partition comes through one channel, in order.
#[derive(Clone, Debug)]
pub enum SourceEvent {
    /// Records of one stream, of any of the partitions the shard holds.
    Records { stream: usize, batch: RawBatch },
    /// These partitions are read from now on, each for the stream it is named with. A topic that two streams name is
    /// here twice, and its records come once for each. Every shard is told; one that gets none of them, with an empty list.
    Assigned(Vec<(usize, SourceId)>),
    /// These partitions go to another member; no more records of them will follow.
    Revoked(Vec<SourceId>),
    /// As `Revoked`, but they were another member's already: what was read last may have been read twice, and
    /// nothing may be committed for them.
    Lost(Vec<SourceId>),
    /// These partitions are read to their ends: `offset` is that of the next record that will be written.
    EndOfPartition(Vec<Position>),
    /// Kafka does not hold what was to be read next of this partition, which these streams read. The records before it
    /// have been told, those from `gap.to` on follow.
    Gap { gap: Gap, streams: Vec<usize> },
    /// What is read of this partition, assigned before, is the log of this topic. Told where Kafka tells it.
    Topic { source: SourceId, topic: TopicId },
}

/// How much a batch may hold, and how long a record may wait for company.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    pub records: usize,
    /// Payload bytes. One record that is larger travels alone.
    pub bytes: usize,
    pub wait: Duration,
}

impl Default for BatchLimits {
    fn default() -> Self {
        BatchLimits { records: 8_192, bytes: 2 << 20, wait: Duration::from_millis(10) }
    }
}

/// Payload bytes of one batch. Far below [`ARENA_BYTES_MAX`], because the last record may stand over it.
pub const BATCH_BYTES_MAX: usize = ARENA_BYTES_MAX / 4;

/// Records of one batch.
pub const BATCH_RECORDS_MAX: usize = 1 << 20;

/// How long a record may wait in an open batch.
pub const BATCH_WAIT_MAX: Duration = Duration::from_secs(5);

impl BatchLimits {
    pub(super) fn check(&self) -> Result<(), KafkaError> {
        let limit = |name, value: usize, max: usize| match value {
            value if (1..=max).contains(&value) => Ok(()),
            value => Err(KafkaError::Limit { name, value: value as u64, min: 1, max: max as u64 }),
        };
        limit("records", self.records, BATCH_RECORDS_MAX)?;
        limit("bytes", self.bytes, BATCH_BYTES_MAX)?;
        match self.wait <= BATCH_WAIT_MAX {
            true => Ok(()),
            false => Err(KafkaError::Limit {
                name: "wait",
                value: self.wait.as_millis() as u64,
                min: 0,
                max: BATCH_WAIT_MAX.as_millis() as u64,
            }),
        }
    }
}
