//! librdkafka's callbacks, as values. They come on the consumer thread, from within a poll; nothing is done there but to
//! put down what happened, because a rebalance must first be told to the shards.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError as ClientError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::leaders::Leaders;
use super::status::Problems;
use crate::model::position::{Position, SourceId};

/// What the group tells this member. librdkafka waits for the answer ([`accept`], [`give_up`]) before it goes on.
pub enum Rebalance {
    Assign(TopicPartitionList),
    Revoke { list: TopicPartitionList, lost: bool },
}

/// How a commit ended: what Kafka confirmed, and why it refused the rest.
pub struct Committed {
    pub confirmed: Vec<Position>,
    pub refused: Option<RDKafkaErrorCode>,
}

pub struct Context {
    pub rebalances: Mutex<VecDeque<Rebalance>>,
    pub commits: Mutex<VecDeque<Committed>>,
    pub problems: Arc<Problems>,
    pub leaders: Mutex<Leaders>,
    /// From now on rebalances are answered at once: nobody is left to be told.
    pub closing: AtomicBool,
}

impl Context {
    pub fn new(problems: Arc<Problems>) -> Context {
        Context {
            rebalances: Mutex::default(),
            commits: Mutex::default(),
            problems,
            leaders: Mutex::default(),
            closing: AtomicBool::new(false),
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if let Err(error) = self.leaders.lock().take(Instant::now(), statistics) {
            tracing::error!("Kafka: librdkafka's statistics cannot be read, so no partition counts as idle: {error}");
        }
    }

    fn error(&self, error: ClientError, reason: &str) {
        // `rdkafka` tells every event of this kind as an error, and hands it to whoever polls as what it is.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        self.problems.report(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown), reason);
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let rebalance = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assign(list.clone()),
            _ => Rebalance::Revoke { list: list.clone(), lost: consumer.assignment_lost() },
        };
        if !self.closing.load(Ordering::Relaxed) {
            self.rebalances.lock().push_back(rebalance);
            return;
        }
        match rebalance {
            Rebalance::Assign(list) => accept(consumer, &list),
            Rebalance::Revoke { list, .. } => give_up(consumer, &list),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let mut refused = result.err().and_then(|error| error.rdkafka_error_code());
        let mut confirmed = Vec::new();
        for element in offsets.elements() {
            match (element.error(), element.offset()) {
                (Ok(()), Offset::Offset(offset)) if refused.is_none() => {
                    confirmed.push(Position { source: SourceId::new(element.topic(), element.partition()), offset })
                }
                (Err(error), _) => refused = refused.or(error.rdkafka_error_code()),
                _ => {}
            }
        }
        self.commits.lock().push_back(Committed { confirmed, refused });
    }
}

/// Takes on an assignment.
pub fn accept(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) {
    let done = match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list),
    };
    if let Err(error) = done {
        tracing::error!(%error, "Kafka: the assignment could not be taken on");
    }
}

/// Lets partitions go.
pub fn give_up(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) {
    let done = match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
    };
    if let Err(error) = done {
        tracing::error!(%error, "Kafka: the revoked partitions could not be let go");
    }
}

/// librdkafka's log lines become ours. Its errors come as [`super::Problem`]s as well, so they are no more than info here.
pub fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
            tracing::info!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}
