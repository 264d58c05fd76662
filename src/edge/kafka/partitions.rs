//! The partitions that are ours, and the way of a message from librdkafka's hands into its shard's outbox.

use std::collections::HashMap;
use std::ffi::CString;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;

use super::events::SourceEvent;
use super::gaps::{LogStarts, end_of_gap};
use super::native::Message;
use super::outbox::{Handover, Lane, Outbox};
use super::positions::Log;
use super::status::{ProblemKind, Problems};
use super::topics::{Subscription, shard_of};
use crate::model::position::{Gap, Position, SourceId};

/// One partition that is ours.
pub struct Partition {
    pub source: SourceId,
    /// The topic as librdkafka wants it.
    pub topic: CString,
    pub shard: usize,
    lanes: Vec<Lane>,
    /// Where its reading was to begin, if that was an offset.
    begin: Option<i64>,
    /// The next offset to be read.
    pub position: Option<i64>,
    /// The end was reached at this offset, and the shard has not been told.
    end: Option<i64>,
    pub at_end: bool,
    /// The shard has been told that it goes; what still comes is for its next owner.
    leaving: bool,
    pub committed: Option<i64>,
    pub records: u64,
    /// Kafka refused a fetch, and nothing came since.
    refused: bool,
}

impl Partition {
    pub fn streams(&self) -> Vec<usize> {
        self.lanes.iter().map(|lane| lane.stream).collect()
    }
}

/// What has come in, ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub records: u64,
    pub payload_bytes: u64,
    pub tombstones: u64,
    pub holds: u64,
    /// Times that records were gone before they were read, and how many at most.
    pub gaps: u64,
    pub lost_records: u64,
    /// Times that a log ended before where we were.
    pub rewinds: u64,
}

pub struct Intake {
    subscription: Subscription,
    shards: usize,
    partitions: Vec<Partition>,
    /// By shard; empty once intake has ended, which is how shards learn of it.
    outboxes: Vec<Outbox>,
    held: Vec<bool>,
    /// From librdkafka's topic key and partition to the index in `partitions`; forgotten whenever those change.
    known: HashMap<(usize, i32), usize>,
    /// The last one found: messages come in runs.
    last: Option<(usize, i32, usize)>,
    pub totals: Totals,
}

impl Intake {
    pub fn new(subscription: Subscription, outboxes: Vec<Outbox>) -> Intake {
        Intake {
            subscription,
            shards: outboxes.len(),
            partitions: Vec::new(),
            held: vec![false; outboxes.len()],
            outboxes,
            known: HashMap::new(),
            last: None,
            totals: Totals::default(),
        }
    }

    pub fn shards(&self) -> usize {
        self.shards
    }

    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    pub fn find(&mut self, source: &SourceId) -> Option<&mut Partition> {
        self.partitions.iter_mut().find(|partition| partition.source == *source)
    }

    pub fn shard_of(&self, source: &SourceId) -> usize {
        shard_of(&source.topic, source.partition, self.shards)
    }

    /// The streams that read a partition, in order.
    pub fn streams_of(&self, source: &SourceId) -> Vec<usize> {
        self.subscription.streams_of(&source.topic)
    }

    pub fn is_held(&self, shard: usize) -> bool {
        self.held.get(shard).copied().unwrap_or(false)
    }

    /// Takes partitions on and tells the shards. A topic that no stream wants cannot come, as patterns mean the same
    /// to librdkafka and to us; if one did, its records would be passed over.
    pub fn assign(&mut self, sources: Vec<SourceId>) {
        let mut told: Vec<Vec<(usize, SourceId)>> = vec![Vec::new(); self.shards];
        for source in sources {
            let streams = self.subscription.streams_of(&source.topic);
            let shard = self.shard_of(&source);
            told[shard].extend(streams.iter().map(|stream| (*stream, source.clone())));
            self.partitions.retain(|partition| partition.source != source);
            self.partitions.push(Partition {
                topic: CString::new(&*source.topic).expect("topic names come from Kafka, which has no NUL in them"),
                source,
                shard,
                lanes: streams.into_iter().map(Lane::new).collect(),
                begin: None,
                position: None,
                end: None,
                at_end: false,
                leaving: false,
                committed: None,
                records: 0,
                refused: false,
            });
        }
        self.partitions.sort_by(|a, b| a.source.cmp(&b.source));
        self.forget_indexes();
        // To every shard: one that gets nothing has to know that it holds nobody back.
        self.tell(told.into_iter().map(|list| Some(SourceEvent::Assigned(list))));
    }

    /// The partition, assigned a moment ago, will be read from this offset on.
    pub fn begin(&mut self, source: &SourceId, offset: i64) {
        if let Some(partition) = self.find(source) {
            partition.begin = Some(offset);
        }
    }

    /// Tells the shard which log a partition has that was assigned a moment ago; if it is not the one that was to be gone on
    /// with, that is a gap.
    pub fn read(&mut self, log: Log, problems: &Problems) {
        let Log { source, topic, anew_at } = log;
        let Some(index) = self.partitions.iter().position(|partition| partition.source == source) else { return };
        if let Some(from) = anew_at {
            self.tell_gap(index, from, 0, problems);
        }
        self.outboxes[self.partitions[index].shard].tell(SourceEvent::Topic { source, topic });
    }

    /// Tells the shards that partitions go, after everything read of them. They are ours until [`Intake::remove`].
    pub fn revoke(&mut self, sources: &[SourceId], lost: bool) {
        let mut told: Vec<Vec<SourceId>> = vec![Vec::new(); self.shards];
        for source in sources {
            if let Some(partition) = self.find(source).filter(|partition| !partition.leaving) {
                partition.leaving = true;
                let shard = partition.shard;
                told[shard].push(source.clone());
            }
        }
        let event = if lost { SourceEvent::Lost } else { SourceEvent::Revoked };
        self.tell(told.into_iter().map(|list| (!list.is_empty()).then(|| event(list))));
    }

    /// Partitions that stay ours, with the next offset to be read.
    pub fn kept(&self) -> impl Iterator<Item = (&SourceId, i64)> {
        let kept = self.partitions.iter().filter(|partition| !partition.leaving);
        kept.filter_map(|partition| Some((&partition.source, partition.position?)))
    }

    /// What comes next of these partitions, as far as they were begun.
    pub fn next_of(&self, sources: &[SourceId]) -> Vec<Position> {
        let of = self.partitions.iter().filter(|partition| sources.contains(&partition.source));
        let next = of.filter_map(|of| Some((of.source.clone(), of.position.or(of.begin)?)));
        next.map(|(source, offset)| Position { source, offset }).collect()
    }

    pub fn remove(&mut self, sources: &[SourceId]) {
        self.partitions.retain(|partition| !sources.contains(&partition.source));
        self.forget_indexes();
    }

    fn forget_indexes(&mut self) {
        self.known.clear();
        self.last = None;
    }

    fn tell(&mut self, events: impl Iterator<Item = Option<SourceEvent>>) {
        for (shard, event) in events.enumerate() {
            let Some(event) = event else { continue };
            self.flush(shard);
            if let Some(outbox) = self.outboxes.get_mut(shard) {
                outbox.tell(event);
            }
        }
    }

    /// Seals what is open for a shard, and with it the ends that were reached.
    fn flush(&mut self, shard: usize) {
        let Some(outbox) = self.outboxes.get_mut(shard) else { return };
        let mut ends = Vec::new();
        for partition in self.partitions.iter_mut().filter(|partition| partition.shard == shard) {
            // One that leaves has been flushed before it began to.
            if let Some(offset) = partition.end.take() {
                ends.push(Position { source: partition.source.clone(), offset });
            }
        }
        outbox.flush(ends);
    }

    /// Seals what has waited long enough, and gives the channels what they take. Says whether all shards are there.
    pub fn hand_over(&mut self, now: Instant) -> bool {
        let mut all_there = true;
        for shard in 0..self.outboxes.len() {
            // While a shard is held, its open batch may as well go on filling.
            if !self.outboxes[shard].is_held() && self.outboxes[shard].is_due(now) {
                self.flush(shard);
            }
            all_there &= self.hand_over_to(shard) != Handover::Gone;
        }
        all_there
    }

    /// Gives one shard's channel what it takes.
    pub fn hand_over_to(&mut self, shard: usize) -> Handover {
        let Some(outbox) = self.outboxes.get_mut(shard) else { return Handover::Done };
        let handover = outbox.hand_over();
        let held = handover == Handover::Held;
        if held && !self.held[shard] {
            self.totals.holds += 1;
        }
        self.held[shard] = held;
        handover
    }

    /// Seals everything, due or not: no more will come.
    pub fn flush_all(&mut self) {
        (0..self.outboxes.len()).for_each(|shard| self.flush(shard));
    }

    /// Whether nothing waits for room in a channel.
    pub fn is_handed_over(&self) -> bool {
        !self.outboxes.iter().any(Outbox::is_held)
    }

    /// Closes the channels. What is not handed over is not delivered.
    pub fn close(&mut self) {
        self.outboxes.clear();
        self.held.clear();
    }

    /// How long nothing needs to be done for the open batches.
    pub fn due_in(&self, now: Instant) -> Option<Duration> {
        self.outboxes.iter().filter(|outbox| !outbox.is_held()).filter_map(|outbox| outbox.due_in(now)).min()
    }

    /// A message of one of our partitions. Those of others, and of partitions that leave, are passed over.
    pub fn take(&mut self, message: Message<'_>, log_starts: &LogStarts<'_>, problems: &Problems) {
        let Some(index) = self.index_of(&message) else { return };
        if self.partitions[index].leaving || self.outboxes.is_empty() {
            return;
        }
        match message.error() {
            None => {
                self.mind_gap(index, message.offset(), log_starts, problems);
                self.take_record(index, message);
            }
            Some(RDKafkaErrorCode::PartitionEOF) => {
                self.mind_gap(index, message.offset(), log_starts, problems);
                self.take_end(index, message.offset());
            }
            Some(code) => {
                let text = message.payload().map(String::from_utf8_lossy).unwrap_or_default();
                let partition = &mut self.partitions[index];
                partition.refused = true;
                problems.report_of(code, &partition.source, &format!("{}: {code}: {text}", partition.source));
                return;
            }
        }
        if std::mem::take(&mut self.partitions[index].refused) {
            problems.clear_partition(&self.partitions[index].source);
        }
    }

    fn take_record(&mut self, index: usize, message: Message<'_>) {
        let partition = &mut self.partitions[index];
        let offset = message.offset();
        partition.position = Some(offset + 1);
        partition.end = None;
        partition.at_end = false;
        partition.records += 1;
        self.totals.records += 1;
        let Some(payload) = message.payload() else {
            self.totals.tombstones += 1;
            return;
        };
        self.totals.payload_bytes += payload.len() as u64;
        let timestamp = message.timestamp();
        let outbox = &mut self.outboxes[partition.shard];
        for lane in &mut partition.lanes {
            outbox.push(lane, &partition.source, offset, timestamp, payload);
        }
    }

    fn take_end(&mut self, index: usize, offset: i64) {
        let partition = &mut self.partitions[index];
        partition.position = Some(offset);
        partition.end = Some(offset);
        partition.at_end = true;
        self.outboxes[partition.shard].note();
    }

    /// Tells the shard where what comes is not what was to come (`G1`).
    fn mind_gap(&mut self, index: usize, offset: i64, log_starts: &LogStarts<'_>, problems: &Problems) {
        let partition = &self.partitions[index];
        if partition.position == Some(offset) {
            return;
        }
        let Some(from) = partition.position.or(partition.begin) else { return };
        let Some(to) = end_of_gap(from, offset, || log_starts.of(partition)) else { return };
        self.tell_gap(index, from, to, problems);
    }

    fn tell_gap(&mut self, index: usize, from: i64, to: i64, problems: &Problems) {
        let partition = &self.partitions[index];
        let gap = Gap { source: partition.source.clone(), from, to };
        let (shard, streams) = (partition.shard, partition.streams());
        let kind = if gap.is_rewind() { ProblemKind::Rewind } else { ProblemKind::Retention };
        problems.add_of(kind, &gap.source.to_string(), &gap.to_string());
        match gap.lost() {
            Some(lost) => {
                self.totals.gaps += 1;
                self.totals.lost_records += lost;
            }
            None => self.totals.rewinds += 1,
        }
        self.flush(shard);
        self.outboxes[shard].tell(SourceEvent::Gap { gap, streams });
    }

    fn index_of(&mut self, message: &Message<'_>) -> Option<usize> {
        let (topic, partition) = (message.topic_key(), message.partition());
        if let Some((last_topic, last_partition, index)) = self.last
            && (last_topic, last_partition) == (topic, partition)
        {
            return Some(index);
        }
        let index = match self.known.get(&(topic, partition)) {
            Some(index) => *index,
            None => {
                let name = message.topic();
                let ours = |p: &Partition| p.source.partition == partition && *p.source.topic == *name;
                let index = self.partitions.iter().position(ours)?;
                self.known.insert((topic, partition), index);
                index
            }
        };
        self.last = Some((topic, partition, index));
        Some(index)
    }
}
