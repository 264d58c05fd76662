//! The consumer as the runtime sees it: what to read, where it goes, and a handle.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender};
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::KafkaError;
use super::context::Context;
use super::events::{BatchLimits, SourceEvent};
use super::native::{Waker, is_member};
use super::outbox::Outbox;
use super::partitions::Intake;
use super::positions::{Arrivals, ResumePositions};
use super::reader::{self, Command, Reader};
use super::settings::KafkaSettings;
use super::status::{ConsumerStats, Problems};
use super::topics::{StreamTopics, Subscription};
use crate::model::position::{Position, SourceId};

/// What to read and how to hand it over.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    pub settings: KafkaSettings,
    /// A stream's number in events is its place here.
    pub streams: Vec<StreamTopics>,
    pub batch: BatchLimits,
    /// Where to go on, as the engine has it: looked at whenever a partition is assigned, and counting more than what the
    /// group has committed. Keep a clone to say more later.
    pub resume: ResumePositions,
    /// How long revoked partitions are kept for their shards to finish with them ([`ConsumerHandle::release`]), while
    /// nothing is read, of them or of others: librdkafka pauses all. Zero lets them go as soon as the shards are told.
    /// The group waits for it, so it must be shorter than `max.poll.interval.ms`.
    pub revoke_grace: Duration,
    /// Who is asked before partitions begin to be read, if anybody.
    pub arrivals: Option<Arc<dyn Arrivals>>,
    /// Nobody else reads for this engine: a partition that goes and comes back is read on from where reading it ended,
    /// however far the engine is with what it has.
    pub is_alone: bool,
    /// Whether a member that has an instance id gives its partitions up as it stops. Else they wait for it until its
    /// session is over, as Kafka has it for members with such a name.
    pub gives_up: bool,
}

impl ConsumerConfig {
    pub fn new(settings: KafkaSettings, streams: Vec<StreamTopics>) -> Self {
        ConsumerConfig {
            settings,
            streams,
            batch: BatchLimits::default(),
            resume: ResumePositions::default(),
            revoke_grace: Duration::ZERO,
            arrivals: None,
            is_alone: false,
            gives_up: false,
        }
    }
}

/// How long leaving the group may take at the end.
const LEAVING_MAX: Duration = Duration::from_secs(10);

/// How long the partitions may take to be given up before that.
const GIVING_UP_MAX: Duration = Duration::from_secs(3);

/// Revoked partitions are let go after this at the latest.
pub const REVOKE_GRACE_MAX: Duration = Duration::from_secs(60);

/// Joins the group and reads into `outputs`, one bounded channel a shard, from a thread of its own. Returns at once: that
/// no broker answers, or that a password is wrong, shows in [`ConsumerHandle::stats`], and mends when they do.
pub fn start(config: ConsumerConfig, outputs: Vec<Sender<SourceEvent>>) -> Result<ConsumerHandle, KafkaError> {
    config.batch.check()?;
    if outputs.is_empty() {
        return Err(KafkaError::NoShards);
    }
    if config.revoke_grace > REVOKE_GRACE_MAX {
        let (value, max) = (config.revoke_grace.as_millis() as u64, REVOKE_GRACE_MAX.as_millis() as u64);
        return Err(KafkaError::Limit { name: "revoke_grace", value, min: 0, max });
    }
    let subscription = Subscription::new(&config.streams)?;
    let client = config.settings.consumer()?;

    let problems = Arc::new(Problems::default());
    let context = Context::new(problems.clone());
    let mut consumer: BaseConsumer<Context> =
        client.create_with_context(context).map_err(|error| KafkaError::Client(error.to_string()))?;
    let waker = Arc::new(Waker::default());
    consumer.set_nonempty_callback({
        let waker = waker.clone();
        move || waker.wake()
    });
    consumer.subscribe(&subscription.topics()).map_err(|error| KafkaError::Subscription(error.to_string()))?;

    let streams = config.streams.len();
    let outboxes = outputs.into_iter().map(|sender| Outbox::new(sender, streams, config.batch)).collect();
    let intake = Intake::new(subscription, outboxes);
    let stats = Arc::new(Mutex::new(ConsumerStats::default()));
    let (commands, received) = crossbeam_channel::unbounded();
    let thread = std::thread::Builder::new().name("kafka-consumer".into());
    let thread = thread.spawn({
        let (waker, stats) = (waker.clone(), stats.clone());
        let plan = reader::Plan {
            start: config.settings.start,
            resume: config.resume,
            grace: config.revoke_grace,
            fetch_wait: config.settings.fetch_wait(),
            arrivals: config.arrivals,
            is_alone: config.is_alone,
        };
        move || {
            waker.adopt_current();
            Reader::new(&consumer, intake, plan, received, waker, stats).run();
            if config.gives_up {
                give_up(&consumer);
            }
            leave(consumer);
        }
    });
    let thread = thread.map_err(KafkaError::Thread)?;
    Ok(ConsumerHandle { commands, waker, stats, problems, thread: Some(thread) })
}

/// Unsubscribes and waits until the group was told. A client that is closed tells it nothing where it has an instance id;
/// one that unsubscribes does, and has no name in the group from then on.
fn give_up(consumer: &BaseConsumer<Context>) {
    consumer.unsubscribe();
    let until = Instant::now() + GIVING_UP_MAX;
    while is_member(consumer) && Instant::now() < until {
        let _ = consumer.poll(Duration::from_millis(20));
    }
}

/// Leaves the group, so that others get its partitions now and not when our session is over. A client does so as it is
/// dropped, and waits without end for it, as librdkafka can take as long as nobody answers; so it is dropped on a thread
/// that need not be waited for. One that was closed before it is dropped is closed twice, and complains.
fn leave(consumer: BaseConsumer<Context>) {
    let (dropped, told) = crossbeam_channel::bounded::<()>(1);
    let leaving = std::thread::Builder::new().name("kafka-leaving".into()).spawn(move || {
        drop(consumer);
        drop(dropped);
    });
    let waited = leaving.map(|_| told.recv_timeout(LEAVING_MAX));
    if matches!(waited, Ok(Err(RecvTimeoutError::Timeout))) {
        // The client's threads stay until the process ends, which is what it is about to do.
        tracing::warn!("Kafka: nobody answers, so the group is left without a word");
    }
}

/// A running consumer. Dropping it stops it.
#[derive(Debug)]
pub struct ConsumerHandle {
    commands: Sender<Command>,
    waker: Arc<Waker>,
    stats: Arc<Mutex<ConsumerStats>>,
    problems: Arc<Problems>,
    thread: Option<JoinHandle<()>>,
}

impl ConsumerHandle {
    /// Tells Kafka where to go on after a restart: `offset` is that of the next record to read. Returns at once; the
    /// latest offset of a partition wins. Those for partitions that are not ours (any more) are dropped, as they
    /// would set back their new owner.
    pub fn commit(&self, next: Vec<Position>) {
        self.send(Command::Commit(next));
    }

    /// The shards are done with these revoked partitions, and what is to be committed for them has been given to
    /// [`ConsumerHandle::commit`]. Does nothing without a `revoke_grace`.
    pub fn release(&self, sources: Vec<SourceId>) {
        self.send(Command::Release(sources));
    }

    /// Reads no more, hands over what was read, then closes the channels. Membership and commits go on until
    /// [`ConsumerHandle::stop`].
    pub fn drain(&self) {
        self.send(Command::Drain);
    }

    /// The consumer as of a quarter of a second ago or less, its problems as of now.
    pub fn stats(&self) -> ConsumerStats {
        let mut stats = self.stats.lock().clone();
        stats.problems = self.problems.list(Instant::now());
        stats
    }

    /// Whether the thread is there. It ends by [`ConsumerHandle::stop`], or by a fault of ours.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Commits what it was given (for five seconds at most), leaves the group (for ten at most), ends the thread. What was read and not
    /// handed over is not delivered; see [`ConsumerHandle::drain`].
    pub fn stop(mut self) -> Result<(), KafkaError> {
        self.join()
    }

    fn join(&mut self) -> Result<(), KafkaError> {
        self.send(Command::Stop);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().map_err(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no message)");
            KafkaError::Crashed(text.to_owned())
        })
    }

    fn send(&self, command: Command) {
        // The thread is gone only after a crash, which `stop` reports.
        let _ = self.commands.send(command);
        self.waker.wake();
    }
}

impl Drop for ConsumerHandle {
    fn drop(&mut self) {
        if let Err(error) = self.join() {
            tracing::error!(%error, "the Kafka consumer did not end well");
        }
    }
}
