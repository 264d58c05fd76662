//! Where partitions are handed over from one member of the group to the next: a compacted topic which holds the newest
//! parcel of each partition.
//!
//! The group's protocol can carry a few bytes from member to member, and only while both live. A topic outlives them: what a
//! member published last is there for whoever has the partition next, whether the member left in order or was killed. One
//! producer writes, and one consumer (of no group) follows the topic from its beginning, so that what is asked for at an
//! assignment is at hand; the answer waits only until the consumer has come to where the topic ended at the question.
//!
//! - `V4` [`Handover::latest`] knows whatever was acknowledged to anyone before it was asked
//! - `V5` who has been outpaced is told so instead of published: of two that think a partition theirs, the one of the lower
//!   tenure is wrong

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use parking_lot::{Condvar, Mutex};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::sync::oneshot;

use super::KafkaError;
use super::context::{self, Context};
use super::lookup::has_controller;
use super::native::{self, Queue, Room, Waker};
use super::settings::KafkaSettings;
use crate::checkpoint::parcel::{self, PARCEL_BYTES_MAX, Packed, Parcel, ParcelError};
use crate::engine::desk::HomeCut;
use crate::engine::state::CellCut;
use crate::model::WallTime;
use crate::model::position::SourceId;

/// What the topic is created with: the newest value of each key stays, and old ones go soon, for the topic is read from its
/// beginning at every start.
const TOPIC: [(&str, &str); 5] = [
    ("cleanup.policy", "compact"),
    ("max.message.bytes", "8388608"),
    ("segment.bytes", "67108864"),
    ("segment.ms", "3600000"),
    ("min.cleanable.dirty.ratio", "0.1"),
];

/// What Kafka may add to a value in a record batch.
const RECORD_EXTRA: usize = 64 << 10;

/// How long Kafka may take for one parcel before it is given up; a newer one is on its way by then.
const PUBLISH_MAX: Duration = Duration::from_secs(10);

/// How long the thread that follows the topic sleeps at most.
const NAP_MAX: Duration = Duration::from_millis(100);

/// How long Kafka may take to say how a topic is kept. Not every cluster knows; it is only to warn of a mistake.
const DESCRIBE_MAX: Duration = Duration::from_secs(2);

/// Between two looks for a topic that was just created.
const LOOK_EVERY: Duration = Duration::from_millis(50);

const MEMBER: &CStr = c"foghorn.member";
const TENURE: &CStr = c"foghorn.tenure";

/// Parcels taken from librdkafka at once.
const PARCELS_A_CALL: usize = 100;

/// Why nothing can be handed over.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    #[error(
        "the topic `{topic}`, through which partitions move, is not there and could not be created: {reason}; create it \
         with cleanup.policy=compact and max.message.bytes=8388608, or let this user create it"
    )]
    NoTopic { topic: String, reason: String },
    #[error(
        "the topic `{topic}`, through which partitions move, has cleanup.policy={policy}, so Kafka would forget what it \
         holds; set it to `compact`, or name another in `kafka.handover_topic`"
    )]
    NotCompacted { topic: String, policy: String },
    #[error("the topic `{topic}`, through which partitions move, could not be read to its end: {reason}")]
    NotRead { topic: String, reason: String },
    #[error("what the member {member} left of {partition} cannot be taken over: {reason}")]
    Parcel { partition: SourceId, member: Arc<str>, reason: ParcelError },
}

/// Why a parcel is not in the topic, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    #[error("the member {by} has the partition")]
    Outpaced { by: Arc<str> },
    #[error(transparent)]
    Parcel(#[from] ParcelError),
    #[error("Kafka did not take it: {0}")]
    Kafka(String),
    #[error("Kafka did not answer in time")]
    Slow,
}

/// A member's way to hand partitions over, and to take them over. Dropping it ends its threads.
pub struct Handover {
    member: Arc<str>,
    number: AtomicU64,
    bytes_max: usize,
    producer: ThreadedProducer<Receipts>,
    tail: Arc<Tail>,
    thread: Option<JoinHandle<()>>,
}

impl Handover {
    /// Creates the topic where it is missing, and begins to follow it. `member` is this member's instance id. Waits for
    /// Kafka, `within` at most for each question.
    ///
    /// # Errors
    /// There is no such topic that could be used, or Kafka does not answer.
    pub fn start(
        settings: &KafkaSettings,
        topic: &str,
        member: Arc<str>,
        within: Duration,
    ) -> Result<Handover, KafkaError> {
        // It never joins the group: what it is assigned it takes for itself.
        let client = KafkaSettings { instance: None, ..settings.clone() }.consumer()?;
        let consumer: BaseConsumer<Context> = client
            .create_with_context(Context::new(Default::default()))
            .map_err(|error| KafkaError::Client(error.to_string()))?;
        let bytes_max = ensure(settings, &consumer, topic, within)?;
        let properties = [
            ("linger.ms", "0".to_owned()),
            ("compression.codec", "none".to_owned()), // parcels are compressed
            ("acks", "all".to_owned()),
            ("enable.idempotence", "true".to_owned()),
            ("message.max.bytes", (bytes_max + RECORD_EXTRA).to_string()),
            ("message.timeout.ms", PUBLISH_MAX.as_millis().to_string()),
        ];
        let properties: Vec<(&str, &str)> = properties.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let producer = settings
            .producer(&properties)?
            .create_with_context(Receipts)
            .map_err(|error| KafkaError::Client(error.to_string()))?;
        let tail = Arc::new(Tail::start(consumer, topic, within)?);
        let thread = std::thread::Builder::new().name("kafka-handover".into());
        let thread = thread.spawn({
            let tail = tail.clone();
            move || tail.follow()
        });
        let thread = Some(thread.map_err(KafkaError::Thread)?);
        Ok(Handover { member, number: AtomicU64::new(0), bytes_max, producer, tail, thread })
    }

    pub fn member(&self) -> &Arc<str> {
        &self.member
    }

    /// Makes this the newest there is of a partition. Returns at once; parcels of one partition keep their order.
    ///
    /// # Errors
    /// Another member has the partition (`V5`), or the parcel cannot be sent.
    pub fn publish(
        &self,
        source: &SourceId,
        taken_at: WallTime,
        shard: CellCut,
        desk: HomeCut,
    ) -> Result<Publishing, PublishError> {
        let tenure = shard.name().map_or(0, |name| name.tenure);
        if let Some((by, _)) = self.outpaced(source, tenure) {
            return Err(PublishError::Outpaced { by });
        }
        let number = self.number.fetch_add(1, Ordering::Relaxed) + 1;
        let parcel = Parcel { source: source.clone(), member: self.member.clone(), number, taken_at, shard, desk };
        let Packed { bytes, left_out } = parcel::pack(&parcel, self.bytes_max)?;
        let (done, answer) = oneshot::channel();
        let name = |header: &'static CStr| header.to_str().expect("it is ASCII");
        let key = source.to_string();
        let headers = OwnedHeaders::new_with_capacity(2)
            .insert(Header { key: name(MEMBER), value: Some(&*self.member) })
            .insert(Header { key: name(TENURE), value: Some(&tenure.to_string()) });
        let record = BaseRecord::with_opaque_to(&self.tail.topic, Box::new(done)).key(&key).payload(&bytes);
        let sent = self.producer.send(record.headers(headers));
        sent.map_err(|(error, _)| PublishError::Kafka(error.to_string()))?;
        Ok(Publishing { answer, left_out })
    }

    /// Who has taken the partition over from whoever has it for this `tenure`, as far as was heard, and for which tenure.
    pub fn outpaced(&self, source: &SourceId, tenure: u64) -> Option<(Arc<str>, u64)> {
        let heard = self.tail.heard.lock();
        let newest = heard.newest.get(source)?;
        let outpaced = newest.tenure > tenure && newest.member != self.member;
        outpaced.then(|| (newest.member.clone(), newest.tenure))
    }

    /// The newest parcels of these partitions (`V4`); none of a partition of which there is none. One that is broken is said
    /// to be and left out: its partition begins anew.
    ///
    /// # Errors
    /// Kafka does not answer, or the topic is not read to its end, `within` that time; a parcel is a newer Foghorn's.
    pub fn latest(&self, sources: &[SourceId], within: Duration) -> Result<BTreeMap<SourceId, Parcel>, HandoverError> {
        self.tail.catch_up(within)?;
        let heard = self.tail.heard.lock();
        let mut latest = BTreeMap::new();
        for source in sources {
            let Some(newest) = heard.newest.get(source) else { continue };
            match parcel::unpack(&newest.bytes) {
                Ok(parcel) => drop(latest.insert(source.clone(), parcel)),
                Err(reason) if reason.is_broken() => {
                    tracing::error!(%source, member = &*newest.member, "what was left of a partition is of no use: {reason}");
                }
                Err(reason) => {
                    let (partition, member) = (source.clone(), newest.member.clone());
                    return Err(HandoverError::Parcel { partition, member, reason });
                }
            }
        }
        Ok(latest)
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        self.tail.ending.store(true, Ordering::Relaxed);
        let _ = self.producer.flush(PUBLISH_MAX);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that follows the handover topic did not end well");
        }
    }
}

/// A parcel on its way.
#[derive(Debug)]
pub struct Publishing {
    answer: oneshot::Receiver<Result<(), RDKafkaErrorCode>>,
    /// As in [`Packed`].
    pub left_out: usize,
}

impl Publishing {
    /// Waits until Kafka has it, `limit` at most.
    ///
    /// # Errors
    /// Kafka refused it, or did not answer.
    pub async fn within(self, limit: Duration) -> Result<(), PublishError> {
        match tokio::time::timeout(limit, self.answer).await {
            Ok(answer) => answered(answer),
            Err(_) => Err(PublishError::Slow),
        }
    }

    /// As [`Publishing::within`], for a thread that may block: ten seconds at most.
    ///
    /// # Errors
    /// As [`Publishing::within`].
    pub fn wait(self) -> Result<(), PublishError> {
        answered(self.answer.blocking_recv())
    }
}

fn answered(answer: Result<Result<(), RDKafkaErrorCode>, oneshot::error::RecvError>) -> Result<(), PublishError> {
    match answer {
        Ok(Ok(())) => Ok(()),
        Ok(Err(code)) => Err(PublishError::Kafka(code.to_string())),
        Err(_) => Err(PublishError::Slow), // the producer is gone
    }
}

/// Tells whoever published what became of it.
struct Receipts;

impl ClientContext for Receipts {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: ClientError, reason: &str) {
        tracing::debug!(%error, "Kafka: handing over: {reason}");
    }
}

impl ProducerContext for Receipts {
    type DeliveryOpaque = Box<oneshot::Sender<Result<(), RDKafkaErrorCode>>>;

    fn delivery(&self, result: &DeliveryResult<'_>, done: Self::DeliveryOpaque) {
        let code = |error: &ClientError| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        let _ = done.send(result.as_ref().map(|_| ()).map_err(|(error, _)| code(error))); // nobody has to wait for it
    }
}

/// Sees to it that the topic is there. How many bytes a parcel may have.
fn ensure(
    settings: &KafkaSettings,
    consumer: &BaseConsumer<Context>,
    topic: &str,
    within: Duration,
) -> Result<usize, KafkaError> {
    let admin: AdminClient<Receipts> =
        settings.producer(&[])?.create_with_context(Receipts).map_err(|error| KafkaError::Client(error.to_string()))?;
    // A consumer that asks for a topic does not make it.
    let there = !partitions_of(consumer.client(), topic, within).unwrap_or_default().is_empty();
    if !has_controller(admin.inner(), None, within) {
        let made = there || !partitions_of(admin.inner(), topic, within).unwrap_or_default().is_empty();
        let reason = "the cluster has no controller".to_owned();
        return made
            .then_some(PARCEL_BYTES_MAX)
            .ok_or(HandoverError::NoTopic { topic: topic.to_owned(), reason }.into());
    }
    if there {
        return Ok(check(&admin, topic)?);
    }
    let new = TOPIC
        .iter()
        .fold(NewTopic::new(topic, 1, TopicReplication::Fixed(-1)), |new, (name, value)| new.set(name, value));
    let options = AdminOptions::new().request_timeout(Some(within)).operation_timeout(Some(within));
    let made = block_on(admin.create_topics([&new], &options)).map(|mut made| made.pop());
    let reason = match made {
        Ok(Some(Ok(_))) => {
            tracing::info!(topic, "Kafka: created the topic through which partitions move");
            return Ok(PARCEL_BYTES_MAX);
        }
        // Another member was faster.
        Ok(Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists)))) => return Ok(check(&admin, topic)?),
        Ok(Some(Err((_, code)))) => code.to_string(),
        Ok(None) => "Kafka gave no answer".to_owned(),
        Err(error) => error.to_string(),
    };
    // Some clusters know no such requests, and make a topic when a producer asks for it.
    match partitions_of(admin.inner(), topic, within).unwrap_or_default().is_empty() {
        false => Ok(check(&admin, topic)?),
        true => Err(HandoverError::NoTopic { topic: topic.to_owned(), reason }.into()),
    }
}

/// Looks whether a topic that is there can be used, as far as Kafka says.
fn check(admin: &AdminClient<Receipts>, topic: &str) -> Result<usize, HandoverError> {
    let options = AdminOptions::new().request_timeout(Some(DESCRIBE_MAX));
    let described = block_on(admin.describe_configs([&ResourceSpecifier::Topic(topic)], &options));
    let config = match described.map(|mut described| described.pop()) {
        Ok(Some(Ok(config))) => config,
        other => {
            tracing::debug!(topic, "Kafka does not say how the handover topic is kept: {other:?}");
            return Ok(PARCEL_BYTES_MAX);
        }
    };
    let value = |name: &str| config.get(name).and_then(|entry| entry.value.clone());
    if let Some(policy) = value("cleanup.policy").filter(|policy| !policy.split(',').any(|part| part == "compact")) {
        return Err(HandoverError::NotCompacted { topic: topic.to_owned(), policy });
    }
    let taken = value("max.message.bytes").and_then(|bytes| bytes.parse::<usize>().ok());
    Ok(taken.map_or(PARCEL_BYTES_MAX, |bytes| bytes.saturating_sub(RECORD_EXTRA).min(PARCEL_BYTES_MAX)))
}

/// The topic as it is read, from its beginning on.
struct Tail {
    consumer: BaseConsumer<Context>,
    topic: String,
    partitions: Vec<i32>,
    heard: Mutex<Heard>,
    went_on: Condvar,
    ending: AtomicBool,
}

#[derive(Default)]
struct Heard {
    newest: BTreeMap<SourceId, Newest>,
    /// How far the topic was heard, by its partition: the next offset. Offsets that are gone are passed over at the end of
    /// the log at the latest, which librdkafka tells with its place.
    next: BTreeMap<i32, i64>,
}

/// The newest parcel of a partition, as it came.
struct Newest {
    member: Arc<str>,
    tenure: u64,
    bytes: Vec<u8>,
}

impl Tail {
    fn start(consumer: BaseConsumer<Context>, topic: &str, within: Duration) -> Result<Tail, KafkaError> {
        let partitions = partitions(&consumer, topic, within)?;
        let (heard, went_on, ending) = (Mutex::default(), Condvar::new(), AtomicBool::new(false));
        Ok(Tail { consumer, topic: topic.to_owned(), partitions, heard, went_on, ending })
    }

    fn follow(&self) {
        let (mut queue, waker, mut room) =
            (Queue::new(&self.consumer), Arc::new(Waker::default()), Room::new(PARCELS_A_CALL));
        waker.adopt_current();
        queue.wake_on_arrival(waker);
        let mut list = TopicPartitionList::new();
        for partition in &self.partitions {
            queue.adopt(&self.topic, *partition);
            list.add_partition_offset(&self.topic, *partition, Offset::Beginning).expect("the beginning is an offset");
        }
        if let Err(error) = self.consumer.assign(&list) {
            tracing::error!(%error, "Kafka: the handover topic cannot be read");
        }
        while !self.ending.load(Ordering::Relaxed) {
            let _ = self.consumer.poll(Duration::ZERO); // what troubles it goes to its context
            let count = queue.take(&mut room, &mut |message| self.heard.lock().hear(message));
            match count {
                0 => std::thread::park_timeout(NAP_MAX),
                _ => drop(self.went_on.notify_all()),
            }
        }
    }

    /// Waits until what is in the topic now has been heard.
    fn catch_up(&self, within: Duration) -> Result<(), HandoverError> {
        let until = Instant::now() + within;
        let not_read = |reason: String| HandoverError::NotRead { topic: self.topic.clone(), reason };
        let mut ends = Vec::new();
        for partition in &self.partitions {
            let left = until.saturating_duration_since(Instant::now()).max(LOOK_EVERY);
            let end = self.consumer.fetch_watermarks(&self.topic, *partition, left);
            ends.push((*partition, end.map_err(|error| not_read(error.to_string()))?.1));
        }
        let mut heard = self.heard.lock();
        while let Some((partition, end)) = ends.iter().find(|(partition, end)| heard.next_of(*partition) < *end) {
            if self.went_on.wait_until(&mut heard, until).timed_out() {
                let next = heard.next_of(*partition);
                return Err(not_read(format!("it is at {next} of {end} after {} s", within.as_secs())));
            }
        }
        Ok(())
    }
}

/// The partitions of the topic, which may have been created a moment ago.
fn partitions(consumer: &BaseConsumer<Context>, topic: &str, within: Duration) -> Result<Vec<i32>, HandoverError> {
    let until = Instant::now() + within;
    loop {
        let left = until.saturating_duration_since(Instant::now()).max(LOOK_EVERY);
        let reason = match partitions_of(consumer.client(), topic, left) {
            Ok(partitions) if !partitions.is_empty() => return Ok(partitions),
            Ok(_) => "it has no partitions".to_owned(),
            Err(error) => error.to_string(),
        };
        if Instant::now() >= until {
            return Err(HandoverError::NotRead { topic: topic.to_owned(), reason });
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// None where there is no such topic.
fn partitions_of<C: ClientContext>(client: &Client<C>, topic: &str, within: Duration) -> KafkaResult<Vec<i32>> {
    let metadata = client.fetch_metadata(Some(topic), within)?;
    let found = metadata.topics().iter().filter(|found| found.name() == topic);
    Ok(found.flat_map(|found| found.partitions()).map(|partition| partition.id()).collect())
}

impl Heard {
    fn next_of(&self, partition: i32) -> i64 {
        self.next.get(&partition).copied().unwrap_or(0)
    }

    fn hear(&mut self, message: native::Message<'_>) {
        match message.error() {
            None => {
                self.next.insert(message.partition(), message.offset() + 1);
                self.take(message);
            }
            Some(RDKafkaErrorCode::PartitionEOF) => drop(self.next.insert(message.partition(), message.offset())),
            Some(code) => tracing::debug!("Kafka: the handover topic is not read at the moment: {code}"),
        }
    }

    fn take(&mut self, message: native::Message<'_>) {
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let Some(source) = message.key().and_then(text).and_then(SourceId::parse) else {
            tracing::warn!(offset = message.offset(), "Kafka: a record of the handover topic is not Foghorn's");
            return;
        };
        match message.payload() {
            Some(bytes) => {
                let member = message.header(MEMBER).and_then(text).unwrap_or("(unknown)").into();
                let tenure = message.header(TENURE).and_then(text).and_then(|tenure| tenure.parse().ok()).unwrap_or(0);
                // Who has been outpaced and has not heard of it yet hides nobody's parcel (`V5`).
                if self.newest.get(&source).is_none_or(|newest| newest.tenure <= tenure) {
                    self.newest.insert(source, Newest { member, tenure, bytes: bytes.to_vec() });
                }
            }
            None => drop(self.newest.remove(&source)),
        }
    }
}
