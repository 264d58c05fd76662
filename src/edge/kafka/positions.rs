//! Where to start in a partition that was just assigned: where the engine says, else where the group's committed offset
//! stands, else what the configuration says.
//!
//! librdkafka would find most of that out by itself. It is asked for here because what was wanted must be known when
//! Kafka turns out to hold it no longer ([`super::gaps`]), and because librdkafka cannot start at a timestamp. That means
//! requests that wait for an answer on the consumer thread: three to six an assignment, however many its partitions, each
//! bounded. Nothing is read meanwhile; nor would it be otherwise, as librdkafka pauses all while an assignment is open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use super::context::Context;
use super::lookup::has_controller;
use super::native::topic_ids;
use super::settings::Start;
use crate::model::position::{Position, SourceId, TopicId};

/// How long one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(3);

/// Where the engine wants to go on: the offset of the next record of each partition whose state it holds. Shared between
/// the engine, which writes, and the consumer, which reads it at every assignment. It counts more than what the group
/// has committed, so who gives up a partition's state must [`ResumePositions::forget`] it: the next owner moves on, and
/// when the partition comes back only the group knows how far.
///
/// An offset means something in one log only. So with it stands the id of the topic whose log it was, where that is known:
/// a topic that was made anew is told by that, however long its log has become.
#[derive(Clone, Debug, Default)]
pub struct ResumePositions(Arc<Mutex<BTreeMap<SourceId, Place>>>);

#[derive(Clone, Debug, Default)]
struct Place {
    next: Option<i64>,
    topic: Option<TopicId>,
}

impl ResumePositions {
    /// Says where to go on, for these partitions alone. What is known of others stays.
    pub fn set(&self, next: impl IntoIterator<Item = Position>) {
        let mut known = self.0.lock();
        for Position { source, offset } in next.into_iter().filter(|position| position.offset >= 0) {
            known.entry(source).or_default().next = Some(offset);
        }
    }

    /// Says of which topics the logs are in which these partitions were read.
    pub fn set_topics(&self, topics: impl IntoIterator<Item = (SourceId, TopicId)>) {
        let mut known = self.0.lock();
        for (source, topic) in topics {
            known.entry(source).or_default().topic = Some(topic);
        }
    }

    /// Leaves these partitions to what the group has committed.
    pub fn forget<'s>(&self, sources: impl IntoIterator<Item = &'s SourceId>) {
        let mut known = self.0.lock();
        for source in sources {
            known.remove(source);
        }
    }

    pub fn get(&self, source: &SourceId) -> Option<i64> {
        self.0.lock().get(source)?.next
    }

    fn topic(&self, source: &SourceId) -> Option<TopicId> {
        self.0.lock().get(source)?.topic.clone()
    }
}

impl FromIterator<Position> for ResumePositions {
    fn from_iter<I: IntoIterator<Item = Position>>(next: I) -> ResumePositions {
        let positions = ResumePositions::default();
        positions.set(next);
        positions
    }
}

/// Asked before partitions that were just assigned begin to be read: where what is known of them goes on. Told of those that
/// go.
pub trait Arrivals: std::fmt::Debug + Send + Sync {
    /// Finds that out and says it to the [`ResumePositions`]. Called on the consumer's thread, where it may wait a few
    /// seconds; called again a second after it failed.
    ///
    /// # Errors
    /// It cannot be found out now; why.
    fn arrive(&self, sources: &[SourceId]) -> Result<(), String>;

    /// The group takes partitions away; the engine hears of it behind what was read of them.
    fn depart(&self, sources: &[SourceId]);
}

pub struct StartPositions {
    start: Start,
    resume: ResumePositions,
}

/// Where each partition starts. `Beginning` is all that is left to librdkafka: every other start is an offset.
type Starts = BTreeMap<SourceId, Offset>;

impl StartPositions {
    pub fn new(start: Start, resume: ResumePositions) -> StartPositions {
        StartPositions { start, resume }
    }

    /// Fills in the offsets of an assignment; none of them if something cannot be found out. Says what the logs are, where
    /// Kafka tells.
    pub fn set(&self, consumer: &BaseConsumer<Context>, list: &mut TopicPartitionList) -> KafkaResult<Vec<Log>> {
        let mut starts = Starts::new();
        let mut open = Vec::new();
        let logs = self.logs(consumer, sources(list));
        let anew = |source: &SourceId| logs.iter().any(|log| log.source == *source && log.anew_at.is_some());
        for source in sources(list) {
            match self.resume.get(&source) {
                Some(_) if anew(&source) => drop(starts.insert(source, Offset::Offset(0))),
                Some(offset) => drop(starts.insert(source, Offset::Offset(offset))),
                None => open.push(source),
            }
        }
        let open = committed(consumer, open, &mut starts)?;
        match self.start {
            Start::Earliest => starts.extend(open.into_iter().map(|source| (source, Offset::Beginning))),
            Start::Latest => starts.extend(ask(consumer, &open, Offset::End)?),
            Start::Timestamp(at) => since(consumer, &open, at, &mut starts)?,
        }
        for mut element in list.elements() {
            let source = SourceId::new(element.topic(), element.partition());
            if let Some(offset) = starts.get(&source) {
                element.set_offset(*offset)?;
            }
        }
        let begun = |log: &Log| Position { source: log.source.clone(), offset: 0 };
        self.resume.set(logs.iter().filter(|log| log.anew_at.is_some()).map(begun));
        self.resume.set_topics(logs.iter().map(|log| (log.source.clone(), log.topic.clone())));
        Ok(logs)
    }

    /// The logs of these partitions. Nothing waits for that longer than once: where Kafka does not tell, a log that was made
    /// anew shows when it ends before the position, and else not.
    fn logs(&self, consumer: &BaseConsumer<Context>, sources: Vec<SourceId>) -> Vec<Log> {
        let topics: BTreeSet<&str> = sources.iter().map(|source| &*source.topic).collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        let asked = topics.first().is_some_and(|topic| has_controller(consumer.client(), Some(topic), REQUEST_MAX));
        let ids = if asked { topic_ids(consumer, &topics, REQUEST_MAX) } else { BTreeMap::new() };
        let log = |source: SourceId| {
            let topic = ids.get(&*source.topic)?.clone();
            let other = self.resume.topic(&source).is_some_and(|known| known != topic);
            let anew_at = self.resume.get(&source).filter(|next| other && *next > 0);
            Some(Log { source, topic, anew_at })
        };
        sources.into_iter().filter_map(log).collect()
    }
}

/// The log that a partition has now.
pub struct Log {
    pub source: SourceId,
    pub topic: TopicId,
    /// Where reading was to go on in another log, of a topic of the same name.
    pub anew_at: Option<i64>,
}

/// Starts at what the group has committed; returns the partitions for which that is nothing.
fn committed(
    consumer: &BaseConsumer<Context>,
    sources: Vec<SourceId>,
    starts: &mut Starts,
) -> KafkaResult<Vec<SourceId>> {
    if sources.is_empty() {
        return Ok(sources);
    }
    let mut list = TopicPartitionList::with_capacity(sources.len());
    for source in &sources {
        list.add_partition(&source.topic, source.partition);
    }
    let answer = consumer.committed_offsets(list, REQUEST_MAX)?;
    let mut open = Vec::new();
    for element in answer.elements() {
        element.error()?;
        let source = SourceId::new(element.topic(), element.partition());
        match element.offset() {
            Offset::Offset(offset) => drop(starts.insert(source, Offset::Offset(offset))),
            _ => open.push(source),
        }
    }
    Ok(open)
}

/// Starts at the first records at or after `at`, and at the end where all are older. Records written between the question
/// and the first fetch must not be missed there, so the end is noted first and the question asked again.
fn since(consumer: &BaseConsumer<Context>, sources: &[SourceId], at: i64, starts: &mut Starts) -> KafkaResult<()> {
    let found = |(_, offset): &(SourceId, Offset)| matches!(offset, Offset::Offset(_));
    let (first, older): (Vec<_>, Vec<_>) = ask(consumer, sources, Offset::Offset(at))?.into_iter().partition(found);
    starts.extend(first);
    let older: Vec<SourceId> = older.into_iter().map(|(source, _)| source).collect();
    starts.extend(ask(consumer, &older, Offset::End)?);
    starts.extend(ask(consumer, &older, Offset::Offset(at))?.into_iter().filter(found));
    Ok(())
}

/// Asks for the offsets that stand for `what`: a timestamp (epoch milliseconds), or the end.
fn ask(consumer: &BaseConsumer<Context>, sources: &[SourceId], what: Offset) -> KafkaResult<Vec<(SourceId, Offset)>> {
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    let mut list = TopicPartitionList::with_capacity(sources.len());
    for source in sources {
        list.add_partition_offset(&source.topic, source.partition, what)?;
    }
    let answer = consumer.offsets_for_times(list, REQUEST_MAX)?;
    let offset_of = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        element.error()?;
        Ok((SourceId::new(element.topic(), element.partition()), element.offset()))
    };
    answer.elements().iter().map(offset_of).collect()
}

/// The partitions of a list. Those of one topic share its name.
pub fn sources(list: &TopicPartitionList) -> Vec<SourceId> {
    let mut last: Option<Arc<str>> = None;
    let mut sources = Vec::with_capacity(list.count());
    for element in list.elements() {
        let topic = last.take().filter(|topic| **topic == *element.topic()).unwrap_or_else(|| element.topic().into());
        sources.push(SourceId { topic: topic.clone(), partition: element.partition() });
        last = Some(topic);
    }
    sources
}
