//! The consumer thread: one loop that serves the group, the shards and the handle, and sleeps when there is nothing to
//! do. Everything in it happens on this thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::context::{Context, Rebalance, accept, give_up};
use super::gaps::LogStarts;
use super::native::{Queue, Room, Waker, cached_watermarks, commit};
use super::partitions::{Intake, Partition};
use super::positions::{Arrivals, Log, ResumePositions, StartPositions, sources};
use super::settings::Start;
use super::status::{ConsumerStats, PartitionStats, ProblemKind, Problems};
use crate::model::position::{Position, SourceId};

/// The longest sleep: how often librdkafka sees us poll even when nothing happens.
const NAP_MAX: Duration = Duration::from_millis(100);

/// How soon a full channel is tried again. Channels do not say when they have room.
const NAP_HELD: Duration = Duration::from_millis(1);

/// How often statistics are published.
const STATS_EVERY: Duration = Duration::from_millis(250);

/// How soon a commit, or a start position, that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How often a topic that is missing is looked for, how long Kafka may take to answer.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const LOOK_MAX: Duration = Duration::from_secs(1);

/// How long a commit may be under way before it counts as failed: librdkafka gives up on requests after a minute.
const COMMIT_LOST_AFTER: Duration = Duration::from_secs(70);

/// How long [`super::ConsumerHandle::stop`] waits for the last commits.
const LAST_COMMITS: Duration = Duration::from_secs(5);

/// Events of the consumer queue handled before records get their turn.
const EVENTS_A_TURN: usize = 64;

/// Messages taken from a shard's queue at once. More gains nothing.
const MESSAGES_A_CALL: usize = 1_000;

/// Calls for one shard before the others get their turn.
const CALLS_A_TURN: usize = 16;

pub enum Command {
    Commit(Vec<Position>),
    Release(Vec<SourceId>),
    Drain,
    Stop,
}

/// What of the configuration matters after the start.
pub struct Plan {
    pub start: Start,
    pub resume: ResumePositions,
    pub grace: Duration,
    /// How long a broker may take over an answer.
    pub fetch_wait: Duration,
    pub arrivals: Option<Arc<dyn Arrivals>>,
    pub is_alone: bool,
}

/// A rebalance between being told and being answered.
enum Moving {
    /// An assignment whose start positions could not be found out yet.
    Starting { list: TopicPartitionList, again_at: Instant },
    /// Revoked partitions that their shards still work on.
    Leaving { list: TopicPartitionList, unreleased: Vec<SourceId>, until: Instant },
}

/// Reading, then handing over the rest, then only commits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Reading,
    Draining,
    Drained,
}

#[derive(Default)]
struct Commits {
    wanted: BTreeMap<SourceId, i64>,
    /// One at a time.
    sent: Option<(BTreeMap<SourceId, i64>, Instant)>,
    again_at: Option<Instant>,
    done: u64,
    failed: u64,
}

struct Rates {
    since: Instant,
    records: u64,
    bytes: u64,
    per_second: (f64, f64),
}

pub struct Reader<'c> {
    consumer: &'c BaseConsumer<Context>,
    /// Rebalances, errors, commits.
    control: Queue<'c>,
    /// Records, by shard.
    queues: Vec<Queue<'c>>,
    intake: Intake,
    room: Room,
    log_starts: LogStarts<'c>,
    positions: StartPositions,
    arrivals: Option<Arc<dyn Arrivals>>,
    is_alone: bool,
    moving: Option<Moving>,
    commits: Commits,
    phase: Phase,
    grace: Duration,
    fetch_wait: Duration,
    rebalances: u64,
    commands: Receiver<Command>,
    problems: Arc<Problems>,
    stats: Arc<Mutex<ConsumerStats>>,
    published_at: Instant,
    looked_at: Instant,
    /// The topic that was looked for last.
    looked_for: String,
    rates: Rates,
}

impl<'c> Reader<'c> {
    pub fn new(
        consumer: &'c BaseConsumer<Context>,
        intake: Intake,
        plan: Plan,
        commands: Receiver<Command>,
        waker: Arc<Waker>,
        stats: Arc<Mutex<ConsumerStats>>,
    ) -> Reader<'c> {
        let queue = || {
            let mut queue = Queue::new(consumer);
            queue.wake_on_arrival(waker.clone());
            queue
        };
        let now = Instant::now();
        Reader {
            consumer,
            control: Queue::of_consumer(consumer).expect("the settings insist on a group"),
            queues: (0..intake.shards()).map(|_| queue()).collect(),
            intake,
            room: Room::new(MESSAGES_A_CALL),
            log_starts: LogStarts::new(consumer),
            positions: StartPositions::new(plan.start, plan.resume),
            arrivals: plan.arrivals,
            is_alone: plan.is_alone,
            moving: None,
            commits: Commits::default(),
            phase: Phase::Reading,
            grace: plan.grace,
            fetch_wait: plan.fetch_wait,
            rebalances: 0,
            commands,
            problems: consumer.context().problems.clone(),
            stats,
            published_at: now,
            looked_at: now,
            looked_for: String::new(),
            rates: Rates { since: now, records: 0, bytes: 0, per_second: (0.0, 0.0) },
        }
    }

    pub fn run(mut self) {
        loop {
            self.poll();
            if self.obey() {
                break;
            }
            let now = Instant::now();
            self.rebalance(now);
            self.commit(now);
            let served = match self.phase {
                Phase::Reading => self.read(),
                Phase::Draining | Phase::Drained => false,
            };
            self.hand_over();
            self.publish(now);
            self.look_for_topics(now);
            if !served {
                self.rest();
            }
        }
        self.finish();
    }

    /// Lets librdkafka call back, and tells it that we are alive.
    fn poll(&self) {
        for _ in 0..EVENTS_A_TURN {
            match self.consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
                    // Going on would lose it (`K1`).
                    panic!("{topic}/{partition}@{offset} came past the queue of its shard");
                }
                Some(Err(error @ ClientError::MessageConsumptionFatal(_))) => {
                    self.problems.add(ProblemKind::Fatal, &error.to_string());
                }
                // Other errors have been told to the context by now.
                Some(Err(_)) | None => {}
            }
            if self.control.len() == 0 {
                break;
            }
        }
    }

    /// Does what the handle asks for. True when it asks to stop.
    fn obey(&mut self) -> bool {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Commit(next) => {
                    for position in next {
                        self.commits.wanted.insert(position.source, position.offset);
                    }
                }
                Command::Release(sources) => {
                    if let Some(Moving::Leaving { unreleased, .. }) = &mut self.moving {
                        unreleased.retain(|source| !sources.contains(source));
                    }
                }
                Command::Drain if self.phase == Phase::Reading => {
                    self.intake.flush_all();
                    self.phase = Phase::Draining;
                }
                Command::Drain => {}
                Command::Stop => return true,
            }
        }
        false
    }

    /// One turn for each shard that takes records. True when there were any.
    fn read(&mut self) -> bool {
        let mut served = 0;
        for (shard, queue) in self.queues.iter().enumerate() {
            for _ in 0..CALLS_A_TURN {
                if self.intake.is_held(shard) {
                    break;
                }
                let Reader { room, intake, log_starts, problems, .. } = self;
                let count = queue.take(room, &mut |message| intake.take(message, log_starts, problems));
                self.intake.hand_over_to(shard);
                served += count;
                if count < MESSAGES_A_CALL {
                    break;
                }
            }
        }
        if served > 0 {
            self.problems.clear_by_reading();
        }
        served > 0
    }

    fn hand_over(&mut self) {
        let all_there = self.intake.hand_over(Instant::now());
        if !all_there {
            tracing::warn!("Kafka: a shard takes no more records, so reading ends");
            self.intake.close();
            self.phase = Phase::Drained;
        }
        if self.phase == Phase::Draining && self.intake.is_handed_over() {
            self.intake.close();
            self.phase = Phase::Drained;
        }
    }

    /// Sleeps until something comes, or there is something to do. A queue wakes us only when it ceases to be empty, so
    /// one that was left alone while its shard was held is looked at first.
    fn rest(&self) {
        let waits = |(shard, queue): (usize, &Queue<'_>)| !self.intake.is_held(shard) && queue.len() > 0;
        if self.phase == Phase::Reading && self.queues.iter().enumerate().any(waits) {
            return;
        }
        let nap = match self.intake.is_handed_over() {
            false => NAP_HELD,
            true => self.intake.due_in(Instant::now()).unwrap_or(NAP_MAX).min(NAP_MAX),
        };
        std::thread::park_timeout(nap);
    }

    /// Asks whether a topic is there that was not. librdkafka says when one is missing and never that it has come, and
    /// its partitions may go to another member. One a time, as it waits for the answer.
    fn look_for_topics(&mut self, now: Instant) {
        if now.duration_since(self.looked_at) < LOOK_EVERY {
            return;
        }
        self.looked_at = now;
        self.problems.remind(now);
        let Some(topic) = self.problems.next_topic(&self.looked_for) else { return };
        let there = self.consumer.fetch_metadata(Some(&topic), LOOK_MAX).is_ok_and(|metadata| {
            metadata.topics().iter().any(|found| found.name() == topic && found.error().is_none())
        });
        if there {
            self.problems.clear_topic(&topic);
        }
        self.looked_for = topic;
    }

    /// Takes the group's wishes one after the other: librdkafka waits for the answer to each.
    fn rebalance(&mut self, now: Instant) {
        match self.moving.take() {
            None => {}
            Some(Moving::Starting { list, again_at }) if again_at <= now => self.begin(list),
            Some(Moving::Leaving { list, unreleased, until }) if self.is_over(&unreleased, until, now) => {
                self.let_go(&list);
            }
            waiting => self.moving = waiting,
        }
        if self.moving.is_some() {
            return;
        }
        let next = self.consumer.context().rebalances.lock().pop_front();
        match next {
            None => {}
            Some(Rebalance::Assign(list)) => {
                self.rebalances += 1;
                let sources = sources(&list);
                tracing::info!(partitions = %names(&sources), "Kafka: assigned");
                self.problems.clear_by_assignment(&sources);
                self.begin(list);
            }
            Some(Rebalance::Revoke { list, lost }) => {
                self.rebalances += 1;
                let sources = sources(&list);
                tracing::info!(partitions = %names(&sources), lost, "Kafka: revoked");
                self.arrivals.iter().for_each(|arrivals| arrivals.depart(&sources));
                self.intake.revoke(&sources, lost);
                if self.is_alone {
                    self.positions.go_on(self.intake.next_of(&sources));
                }
                let at_once = lost || self.grace.is_zero() || self.phase == Phase::Drained;
                match at_once {
                    true => self.let_go(&list),
                    false => {
                        self.moving = Some(Moving::Leaving { list, unreleased: sources, until: now + self.grace });
                    }
                }
            }
        }
    }

    /// Finds out where to start and starts, or tries again later.
    fn begin(&mut self, mut list: TopicPartitionList) {
        let logs = match self.find_starts(&mut list) {
            Ok(logs) => logs,
            Err(why) => {
                self.problems.add(ProblemKind::Start, &why);
                self.moving = Some(Moving::Starting { list, again_at: Instant::now() + RETRY_AFTER });
                return;
            }
        };
        self.problems.clear(|kind| kind == ProblemKind::Start);
        self.intake.assign(sources(&list));
        for element in list.elements() {
            let source = SourceId::new(element.topic(), element.partition());
            if let Offset::Offset(offset) = element.offset() {
                self.intake.begin(&source, offset);
            }
            self.queues[self.intake.shard_of(&source)].adopt(&source.topic, source.partition);
        }
        logs.into_iter().for_each(|log| self.intake.read(log, &self.problems));
        self.hold_kept();
        accept(self.consumer, &list);
    }

    fn find_starts(&self, list: &mut TopicPartitionList) -> Result<Vec<Log>, String> {
        let set = |list: &mut TopicPartitionList, begin| {
            self.positions.set(self.consumer, list, begin).map_err(|error| error.to_string())
        };
        let Some(arrivals) = &self.arrivals else { return Ok(set(list, Vec::new())?.0) };
        let streams = |source: &SourceId| self.intake.streams_of(source);
        let reach = |source: SourceId| (arrivals.reach(&streams(&source)), source);
        let begin = arrivals.arrive(&sources(list))?.into_iter().map(reach).collect();
        let (logs, begun) = set(list, begin)?;
        for (source, at) in begun {
            arrivals.begin(&source, &streams(&source), at);
        }
        arrivals.read(&sources(list));
        Ok(logs)
    }

    /// Tells librdkafka where we are in the partitions that stay. It has paused them for the rebalance and would go on at
    /// its own position, which the batch call moves one too far when it hands out the end of a partition: the next
    /// record would be missed (`K1`). To be called before the answer, while they are still paused.
    fn hold_kept(&self) {
        let mut list = TopicPartitionList::new();
        for (source, offset) in self.intake.kept() {
            if let Err(error) = list.add_partition_offset(&source.topic, source.partition, Offset::Offset(offset)) {
                tracing::error!(%error, %source, offset, "Kafka: not an offset");
            }
        }
        if list.count() == 0 {
            return;
        }
        if let Err(error) = self.consumer.seek_partitions(list, Duration::ZERO) {
            tracing::error!(%error, "Kafka: the kept partitions could not be held where they are");
        }
    }

    /// Whether revoked partitions may go: their shards are done and their commits are through, or time is up.
    fn is_over(&self, unreleased: &[SourceId], until: Instant, now: Instant) -> bool {
        let quiet = self.commits.wanted.is_empty() && self.commits.sent.is_none();
        now >= until || (unreleased.is_empty() && quiet)
    }

    fn let_go(&mut self, list: &TopicPartitionList) {
        self.hold_kept();
        give_up(self.consumer, list);
        let sources = sources(list);
        sources.iter().for_each(|source| self.problems.clear_partition(source));
        self.intake.remove(&sources);
    }

    fn commit(&mut self, now: Instant) {
        self.note_commits(now);
        let retry_later = self.commits.again_at.is_some_and(|at| now < at);
        if self.commits.sent.is_some() || self.commits.wanted.is_empty() || retry_later {
            return;
        }
        let mut wanted = std::mem::take(&mut self.commits.wanted);
        wanted.retain(|source, _| self.intake.find(source).is_some());
        if wanted.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::with_capacity(wanted.len());
        for (source, offset) in &wanted {
            let added = list.add_partition_offset(&source.topic, source.partition, Offset::Offset(*offset));
            if let Err(error) = added {
                tracing::error!(%error, %source, offset, "Kafka: not an offset");
            }
        }
        match commit(self.consumer, &list, &self.control) {
            Ok(()) => self.commits.sent = Some((wanted, now)),
            Err(error) => self.commit_failed(wanted, &error.to_string(), now),
        }
    }

    /// What became of the commit under way.
    fn note_commits(&mut self, now: Instant) {
        let ended = std::mem::take(&mut *self.consumer.context().commits.lock());
        for ended in ended {
            for position in ended.confirmed {
                if let Some(partition) = self.intake.find(&position.source) {
                    partition.committed = Some(position.offset);
                }
            }
            let Some((sent, _)) = self.commits.sent.take() else { continue };
            match ended.refused {
                None | Some(RDKafkaErrorCode::NoOffset) => {
                    self.commits.done += 1;
                    self.commits.again_at = None;
                    self.problems.clear(|kind| kind == ProblemKind::Commit);
                }
                Some(code) => self.commit_failed(sent, &code.to_string(), now),
            }
        }
        if let Some((sent, _)) = self.commits.sent.take_if(|(_, at)| now.duration_since(*at) > COMMIT_LOST_AFTER) {
            self.commit_failed(sent, "no answer", now);
        }
    }

    fn commit_failed(&mut self, sent: BTreeMap<SourceId, i64>, reason: &str, now: Instant) {
        self.commits.failed += 1;
        self.commits.again_at = Some(now + RETRY_AFTER);
        self.problems.add(ProblemKind::Commit, reason);
        for (source, offset) in sent {
            self.commits.wanted.entry(source).or_insert(offset);
        }
    }

    /// The last commits, then the answers librdkafka still waits for. Leaving the group is the consumer's own end.
    fn finish(mut self) {
        self.intake.close();
        let until = Instant::now() + LAST_COMMITS;
        loop {
            self.poll();
            let now = Instant::now();
            self.commit(now);
            let done = self.commits.wanted.is_empty() && self.commits.sent.is_none();
            if done || now >= until {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        self.consumer.context().closing.store(true, Ordering::Relaxed);
        match self.moving.take() {
            None => {}
            Some(Moving::Starting { list, .. }) => accept(self.consumer, &list),
            Some(Moving::Leaving { list, .. }) => give_up(self.consumer, &list),
        }
        let unanswered = std::mem::take(&mut *self.consumer.context().rebalances.lock());
        for rebalance in unanswered {
            match rebalance {
                Rebalance::Assign(list) => accept(self.consumer, &list),
                Rebalance::Revoke { list, .. } => give_up(self.consumer, &list),
            }
        }
    }

    fn publish(&mut self, now: Instant) {
        if now.duration_since(self.published_at) < STATS_EVERY {
            return;
        }
        self.published_at = now;
        let totals = self.intake.totals;
        self.rates.note(totals.records, totals.payload_bytes, now);
        let stats = ConsumerStats {
            records: totals.records,
            payload_bytes: totals.payload_bytes,
            tombstones: totals.tombstones,
            records_per_second: self.rates.per_second.0,
            bytes_per_second: self.rates.per_second.1,
            rebalances: self.rebalances,
            commits: self.commits.done,
            commit_failures: self.commits.failed,
            holds: totals.holds,
            gaps: totals.gaps,
            lost_records: totals.lost_records,
            rewinds: totals.rewinds,
            partitions: self.intake.partitions().iter().map(|partition| self.partition_stats(partition)).collect(),
            problems: Vec::new(),
        };
        *self.stats.lock() = stats;
    }

    fn answers(&self, partition: &Partition) -> bool {
        let leaders = self.consumer.context().leaders.lock();
        leaders.answers(Instant::now(), &partition.source.topic, partition.source.partition, self.fetch_wait)
    }

    fn partition_stats(&self, partition: &Partition) -> PartitionStats {
        let high = cached_watermarks(self.consumer, &partition.topic, partition.source.partition).map(|(_, high)| high);
        PartitionStats {
            source: partition.source.clone(),
            shard: partition.shard,
            streams: partition.streams(),
            records: partition.records,
            position: partition.position,
            committed: partition.committed,
            high_watermark: high,
            lag: partition.position.and_then(|position| high.map(|high| (high - position).max(0))),
            at_end: partition.at_end && self.answers(partition), // `B1`
            paused: self.intake.is_held(partition.shard),
        }
    }
}

impl Rates {
    fn note(&mut self, records: u64, bytes: u64, now: Instant) {
        let seconds = now.duration_since(self.since).as_secs_f64();
        if seconds < 1.0 {
            return;
        }
        let rate = |total: u64, before: u64| (total - before) as f64 / seconds;
        let per_second = (rate(records, self.records), rate(bytes, self.bytes));
        *self = Rates { since: now, records, bytes, per_second };
    }
}

fn names(sources: &[SourceId]) -> String {
    sources.iter().map(SourceId::to_string).collect::<Vec<_>>().join(" ")
}
