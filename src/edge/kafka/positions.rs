//! Where to start in a partition that was just assigned: where the engine says, else where the group's committed offset
//! stands, else what the configuration says.
//!
//! librdkafka would find most of that out by itself. It is asked for here because what was wanted must be known when
//! Kafka turns out to hold it no longer ([`super::gaps`]), and because librdkafka cannot start at a timestamp. That means
//! requests that wait for an answer on the consumer thread: one to four an assignment, however many its partitions, each
//! bounded. Nothing is read meanwhile; nor would it be otherwise, as librdkafka pauses all while an assignment is open.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use super::context::Context;
use super::settings::Start;
use crate::model::position::{Position, SourceId};

/// How long one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(3);

/// Where the engine wants to go on: the offset of the next record of each partition whose state it holds. Shared between
/// the engine, which writes, and the consumer, which reads it at every assignment. It counts more than what the group
/// has committed, so who gives up a partition's state must [`ResumePositions::forget`] it: the next owner moves on, and
/// when the partition comes back only the group knows how far.
#[derive(Clone, Debug, Default)]
pub struct ResumePositions(Arc<Mutex<BTreeMap<SourceId, i64>>>);

impl ResumePositions {
    /// Says where to go on, for these partitions alone. What is known of others stays.
    pub fn set(&self, next: impl IntoIterator<Item = Position>) {
        let next = next.into_iter().filter(|position| position.offset >= 0);
        self.0.lock().extend(next.map(|position| (position.source, position.offset)));
    }

    /// Leaves these partitions to what the group has committed.
    pub fn forget<'s>(&self, sources: impl IntoIterator<Item = &'s SourceId>) {
        let mut known = self.0.lock();
        for source in sources {
            known.remove(source);
        }
    }

    pub fn get(&self, source: &SourceId) -> Option<i64> {
        self.0.lock().get(source).copied()
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

    /// Fills in the offsets of an assignment; none of them if something cannot be found out.
    pub fn set(&self, consumer: &BaseConsumer<Context>, list: &mut TopicPartitionList) -> KafkaResult<()> {
        let mut starts = Starts::new();
        let mut open = Vec::new();
        for source in sources(list) {
            match self.resume.get(&source) {
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
        Ok(())
    }
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
