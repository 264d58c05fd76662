//! Records out: a producer for whoever makes load, and dead letters.
//!
//! Both are bounded and never wait unless asked to: what does not fit is refused and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext, ThreadedProducer,
};

use super::KafkaError;
use super::context;
use super::settings::KafkaSettings;
use super::status::{Problem, Problems};
use crate::model::position::Position;

/// How a producer trades latency against throughput.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerOptions {
    /// How long a record waits for others to share a batch.
    pub linger: Duration,
    pub compression: Compression,
    /// Whether the broker confirms only what all replicas have, and retries never make a record appear twice.
    pub safe: bool,
    /// Records that may wait to be sent.
    pub queue_records: usize,
    /// Payload bytes that may wait to be sent.
    pub queue_bytes: usize,
    /// Bytes of one batch.
    pub batch_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Lz4,
    Zstd,
}

impl ProducerOptions {
    /// As many records as possible.
    pub fn load() -> Self {
        ProducerOptions {
            linger: Duration::from_millis(20),
            compression: Compression::Lz4,
            safe: false,
            queue_records: 1_000_000,
            queue_bytes: 256 << 20,
            batch_bytes: 900_000,
        }
    }

    /// As few losses as possible.
    pub fn safe() -> Self {
        ProducerOptions {
            linger: Duration::from_millis(5),
            safe: true,
            queue_records: DEAD_LETTERS_QUEUED_MAX,
            queue_bytes: DEAD_LETTER_BYTES_QUEUED_MAX,
            ..ProducerOptions::load()
        }
    }

    fn properties(&self) -> [(&'static str, String); 8] {
        let compression = match self.compression {
            Compression::None => "none",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        };
        [
            ("linger.ms", self.linger.as_millis().to_string()),
            ("compression.codec", compression.to_owned()),
            ("acks", if self.safe { "all" } else { "1" }.to_owned()),
            ("enable.idempotence", self.safe.to_string()),
            ("queue.buffering.max.messages", self.queue_records.to_string()),
            ("queue.buffering.max.kbytes", self.queue_bytes.div_ceil(1024).max(1).to_string()),
            ("batch.size", self.batch_bytes.to_string()),
            ("batch.num.messages", "100000".to_owned()),
        ]
    }
}

/// A record to be written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outgoing<'a> {
    pub topic: &'a str,
    /// `None` lets the key decide, or chance where there is none.
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    pub payload: &'a [u8],
    /// Epoch milliseconds; `None` is now.
    pub timestamp: Option<i64>,
}

/// What became of a producer's records. `sent = delivered + failed + those under way`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducerCounts {
    pub sent: u64,
    pub delivered: u64,
    /// Taken, and then given up: the broker refused it, or did not answer for five minutes.
    pub failed: u64,
    /// Not taken: the queue was full, or the record is one no broker takes.
    pub refused: u64,
}

#[derive(Debug, Default)]
struct Counters {
    sent: AtomicU64,
    delivered: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
}

#[derive(Clone, Default)]
struct Reports {
    counters: Arc<Counters>,
    problems: Arc<Problems>,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: ClientError, reason: &str) {
        self.problems.report(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown), reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.counters.delivered.fetch_add(1, Ordering::Relaxed);
                self.problems.clear_by_reading();
            }
            Err((error, _)) => {
                self.counters.failed.fetch_add(1, Ordering::Relaxed);
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                self.problems.report(code, &format!("a record was not delivered: {code}"));
            }
        }
    }
}

/// Why a record was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("the producer's queue is full")]
    Full,
    #[error("the record cannot be sent: {0}")]
    Refused(String),
}

/// Sends records from a queue of its own, in the background.
pub struct Producer {
    producer: ThreadedProducer<Reports, NoCustomPartitioner>,
    reports: Reports,
}

impl Producer {
    pub fn new(settings: &KafkaSettings, options: &ProducerOptions) -> Result<Producer, KafkaError> {
        let properties = options.properties();
        let properties: Vec<(&str, &str)> = properties.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let config = settings.producer(&properties)?;
        let reports = Reports::default();
        let producer =
            config.create_with_context(reports.clone()).map_err(|error| KafkaError::Client(error.to_string()))?;
        Ok(Producer { producer, reports })
    }

    /// Takes a copy of the record, or refuses it. Never waits.
    pub fn send(&self, record: Outgoing<'_>) -> Result<(), SendError> {
        self.offer(record, None)
    }

    /// As [`Producer::send`], but waits while the queue is full.
    pub fn send_patiently(&self, record: Outgoing<'_>) -> Result<(), SendError> {
        loop {
            match self.offer(record, None) {
                Err(SendError::Full) => {
                    self.reports.counters.refused.fetch_sub(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(1));
                }
                done => return done,
            }
        }
    }

    fn offer(&self, outgoing: Outgoing<'_>, headers: Option<OwnedHeaders>) -> Result<(), SendError> {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(outgoing.topic).payload(outgoing.payload);
        record.partition = outgoing.partition;
        record.key = outgoing.key;
        record.timestamp = outgoing.timestamp;
        record.headers = headers;
        let counters = &self.reports.counters;
        match self.producer.send(record) {
            Ok(()) => {
                counters.sent.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err((error, _)) => {
                counters.refused.fetch_add(1, Ordering::Relaxed);
                Err(match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::QueueFull) => SendError::Full,
                    Some(code) => SendError::Refused(code.to_string()),
                    None => SendError::Refused(error.to_string()),
                })
            }
        }
    }

    /// Waits until everything taken is delivered or given up. False when `limit` is over first.
    pub fn flush(&self, limit: Duration) -> bool {
        self.producer.flush(limit).is_ok()
    }

    pub fn counts(&self) -> ProducerCounts {
        let counters = &self.reports.counters;
        ProducerCounts {
            sent: counters.sent.load(Ordering::Relaxed),
            delivered: counters.delivered.load(Ordering::Relaxed),
            failed: counters.failed.load(Ordering::Relaxed),
            refused: counters.refused.load(Ordering::Relaxed),
        }
    }

    pub fn problems(&self) -> Vec<Problem> {
        self.reports.problems.list(Instant::now())
    }
}

/// Dead letters that may wait to be sent; more are dropped and counted as `refused`.
pub const DEAD_LETTERS_QUEUED_MAX: usize = 10_000;

/// Bytes of dead letters that may wait to be sent.
pub const DEAD_LETTER_BYTES_QUEUED_MAX: usize = 32 << 20;

/// A record that could not be decoded, as it goes to the dead-letter topic: its bytes as they were, and where and why in
/// headers.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetter<'a> {
    pub payload: &'a [u8],
    /// The refusal's stable name.
    pub reason: &'a str,
    pub stream: &'a str,
    pub position: &'a Position,
    /// Byte of the payload where decoding gave up.
    pub at: u32,
    /// The record's own timestamp, which the dead letter keeps; negative when it has none.
    pub timestamp: i64,
}

/// Writes dead letters. Losing one must not stop anything, so nothing here waits.
pub struct DeadLetterProducer {
    producer: Producer,
    topic: String,
}

impl DeadLetterProducer {
    pub fn new(settings: &KafkaSettings, topic: impl Into<String>) -> Result<DeadLetterProducer, KafkaError> {
        Ok(DeadLetterProducer { producer: Producer::new(settings, &ProducerOptions::safe())?, topic: topic.into() })
    }

    pub fn send(&self, letter: DeadLetter<'_>) -> Result<(), SendError> {
        let source = &letter.position.source;
        let (partition, offset) = (source.partition.to_string(), letter.position.offset.to_string());
        let at = letter.at.to_string();
        let facts = [
            ("foghorn.reason", letter.reason),
            ("foghorn.stream", letter.stream),
            ("foghorn.topic", &source.topic),
            ("foghorn.partition", &partition),
            ("foghorn.offset", &offset),
            ("foghorn.at", &at),
        ];
        let headers = facts.iter().fold(OwnedHeaders::new_with_capacity(facts.len()), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(*value) })
        });
        let timestamp = (letter.timestamp >= 0).then_some(letter.timestamp);
        let outgoing = Outgoing { topic: &self.topic, payload: letter.payload, timestamp, ..Outgoing::default() };
        self.producer.offer(outgoing, Some(headers))
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub fn counts(&self) -> ProducerCounts {
        self.producer.counts()
    }

    pub fn problems(&self) -> Vec<Problem> {
        self.producer.problems()
    }

    /// As [`Producer::flush`].
    pub fn flush(&self, limit: Duration) -> bool {
        self.producer.flush(limit)
    }
}
