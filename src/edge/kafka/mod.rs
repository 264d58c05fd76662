//! Kafka: records in as batches of values, dead letters out, and a cluster inside the process for demos and tests.
//!
//! ```text
//! cluster ─► librdkafka ─► queue of shard 0 ─┐                 ┌─► channel of shard 0
//!            (fetches)  ─► queue of shard 1 ─┴─ consumer thread┴─► channel of shard 1
//!                       ─► consumer queue: rebalances, errors, commits
//! ```
//!
//! One thread serves everything. It copies payloads into arenas ([`crate::model::batch`]) and hands them to shards as
//! [`SourceEvent`]s. A queue for each shard, rather than the one queue librdkafka offers by default, because
//! back-pressure then costs nothing: the queue of a shard that cannot keep up is left alone, librdkafka stops fetching
//! its partitions when the queue reaches its bound, and goes on when it drains. `rd_kafka_pause` would throw away what
//! was prefetched (tens of megabytes each time) and fetch it again.
//!
//! Messages are taken by the batch call (`rd_kafka_consume_batch_queue`), for two thirds of the CPU of a poll for each.
//! Two things must be known of it (librdkafka 2.12). It moves librdkafka's own position past the end of a partition when
//! it hands out that end; only pausing uses that position, and librdkafka pauses everything for a cooperative rebalance,
//! so what stays is told where it is before the rebalance is answered. And its sister that calls back for each message,
//! which is no slower and has not that fault, takes the whole queue out of sight while it works: fetches then know
//! no bound, and a consumer that fell behind was seen to grow past a gigabyte.
//!
//! - `K1` Records of one partition reach their shard in offset order, without a gap that the log does not have and
//!   without a repeat, from `Assigned` to `Revoked` or `Lost`; where the log does not hold what comes next, a `Gap` says so
//!   ([`gaps`]). Across assignments they may repeat.
//! - `K2` `Assigned`, `Revoked`, `Lost`, gaps and the end of a partition travel in the same channel as its records, and
//!   stand where they belong among them.
//! - `K3` The thread never waits for a shard. What a full channel refuses stays in that shard's outbox, in order, and
//!   nothing more is read for that shard until it is gone: an outbox holds no more than one call of librdkafka gave.
//! - `K4` Nothing is committed but what [`ConsumerHandle::commit`] was given, and only for partitions held now.
//! - `K5` A partition is read from where [`ResumePositions`] says when it is assigned, each time it is; only where that is
//!   silent, from what the group has committed.

pub mod consumer;
mod context;
pub mod embedded;
mod events;
mod gaps;
pub mod handover;
mod leaders;
mod lookup;
mod members;
mod native;
mod outbox;
mod partitions;
mod positions;
pub mod producer;
mod reader;
pub mod settings;
pub mod status;
pub mod topics;

use std::path::PathBuf;
use std::time::Duration;

pub use consumer::{ConsumerConfig, ConsumerHandle, start};
pub use embedded::EmbeddedCluster;
pub use events::{BatchLimits, SourceEvent};
pub use handover::{Handover, HandoverError, PublishError, Publishing};
pub use lookup::check_topics;
pub use members::{Company, check_company, local_client_id};
pub use positions::{Arrivals, ResumePositions};
pub use producer::{
    Compression, DeadLetter, DeadLetterProducer, Outgoing, Producer, ProducerCounts, ProducerOptions, SendError,
};
pub use settings::{KafkaSettings, Sasl, SaslMechanism, Secret, Start, Tls, TlsIdentity};
pub use status::{ConsumerStats, PartitionStats, Problem, ProblemKind};
pub use topics::{StreamTopics, shard_of};

/// Why a Kafka client could not be made or used. Troubles of a running client are [`Problem`]s: they pass.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    #[error("no brokers are given; name at least one as `host:port`")]
    NoBrokers,
    #[error("no consumer group is given; name one, so that positions can be kept and partitions shared")]
    NoGroup,
    #[error("stream `{stream}` has no topics; name at least one, or a pattern that begins with `^`")]
    NoTopics { stream: String },
    #[error("`{topic}` of stream `{stream}` cannot be a topic: {reason}")]
    Topic { stream: String, topic: String, reason: String },
    #[error("the Kafka property `{name}` is not yours to set: {reason}")]
    OwnedProperty { name: String, reason: &'static str },
    #[error("the Kafka client does not take the property `{name}`: {reason}")]
    Property { name: String, reason: String },
    #[error("cannot read the {what} `{}`; check the path and its permissions", path.display())]
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("`{name}` of the batch limits is {value}; it must be between {min} and {max}")]
    Limit { name: &'static str, value: u64, min: u64, max: u64 },
    #[error("at least one shard must take the records")]
    NoShards,
    #[error("the Kafka client could not be made: {0}")]
    Client(String),
    #[error("the subscription was refused: {0}")]
    Subscription(String),
    #[error(
        "there is no topic `{topic}` of stream `{stream}`; create it or correct the name in the stream's `topics`, and check \
         that this user may Describe it"
    )]
    MissingTopic { stream: String, topic: String },
    #[error("Kafka at {brokers} did not say within {} s which topics it has: {reason}", within.as_secs())]
    NoAnswer { brokers: String, within: Duration, reason: String },
    #[error(
        "the consumer group `{group}` has another member: {others}. Two Foghorns in one group would each see half of the \
         events, and {because}; stop the other, or give this one a `kafka.group` of its own"
    )]
    NotAlone { group: String, others: String, because: String },
    #[error(
        "the consumer group `{group}` has a member that is no Foghorn with local rules: {others}. It would see half of the \
         events; stop it, or give this one a `kafka.group` of its own"
    )]
    OtherNotLocal { group: String, others: String },
    #[error(transparent)]
    Handover(#[from] HandoverError),
    #[error("the thread of the Kafka consumer could not be started")]
    Thread(#[source] std::io::Error),
    #[error("the consumer thread ended by a fault of Foghorn's own: {0}")]
    Crashed(String),
    #[error("the embedded cluster refused to {what}: {reason}")]
    Embedded { what: String, reason: String },
}
