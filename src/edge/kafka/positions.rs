//! Where to start in a partition that was just assigned: where the engine says, else where the group's committed offset
//! stands, else what the configuration says.
//!
//! librdkafka would find most of that out by itself. It is asked for here because what was wanted must be known when
//! Kafka turns out to hold it no longer ([`super::gaps`]), and because librdkafka cannot start at a timestamp. That means
//! requests that wait for an answer on the consumer thread: three to six an assignment, however many its partitions, each
//! bounded. Nothing is read meanwhile; nor would it be otherwise, as librdkafka pauses all while an assignment is open.
//!
//! A partition of which nobody left anything is read from further back than where it starts, so that its windows are whole
//! there: that place is looked for by record timestamps ([`crate::checkpoint::look_back`]), with a few requests more. The
//! embedded cluster knows no times; there such a partition is read from its start.

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
use crate::checkpoint::look_back::Search;
use crate::edge::clock;
use crate::engine::state::CellStart;
use crate::model::position::{Position, SourceId, TopicId};
use crate::model::time::Millis;

/// How long one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(3);

/// Where the engine wants to go on: the offset of the next record of each partition whose state it holds. Shared between
/// the engine, which writes, and the consumer, which reads it at every assignment (and writes where it was, if alone). It counts more than what the group
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
    /// Finds that out and says it to the [`ResumePositions`]. Gives those that begin: nobody left anything of them. Called on
    /// the consumer's thread, where it may wait a few seconds; called again a second after it, or what follows, failed.
    ///
    /// # Errors
    /// It cannot be found out now; why.
    fn arrive(&self, sources: &[SourceId]) -> Result<Vec<SourceId>, String>;

    /// How far back windows look in a topic that these streams read.
    fn reach(&self, streams: &[usize]) -> Millis;

    /// A partition, read for these streams, begins there.
    fn begin(&self, source: &SourceId, streams: &[usize], at: CellStart);

    /// They are read from now on.
    fn read(&self, sources: &[SourceId]);

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

    /// Partitions that are to go on there when they come back.
    pub fn go_on(&self, next: impl IntoIterator<Item = Position>) {
        self.resume.set(next);
    }

    /// Fills in the offsets of an assignment; none of them if something cannot be found out. Says what the logs are, where
    /// Kafka tells, and the places of those that `begin`, each read from so far back.
    pub fn set(
        &self,
        consumer: &BaseConsumer<Context>,
        list: &mut TopicPartitionList,
        begin: Vec<(Millis, SourceId)>,
    ) -> KafkaResult<(Vec<Log>, Vec<(SourceId, CellStart)>)> {
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
            Start::Latest => starts.extend(ask_all(consumer, &open, Offset::End)?),
            Start::Timestamp(at) => since(consumer, &open, at, &mut starts)?,
        }
        let begun = look_back(consumer, begin, &mut starts)?;
        starts.extend(begun.iter().map(|(source, at)| (source.clone(), Offset::Offset(at.read_from))));
        for mut element in list.elements() {
            let source = SourceId::new(element.topic(), element.partition());
            if let Some(offset) = starts.get(&source) {
                element.set_offset(*offset)?;
            }
        }
        let first = |log: &Log| Position { source: log.source.clone(), offset: 0 };
        self.resume.set(logs.iter().filter(|log| log.anew_at.is_some()).map(first));
        self.resume.set_topics(logs.iter().map(|log| (log.source.clone(), log.topic.clone())));
        Ok((logs, begun))
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
    let (first, older): (Vec<_>, Vec<_>) = ask_all(consumer, sources, Offset::Offset(at))?.into_iter().partition(found);
    starts.extend(first);
    let older: Vec<SourceId> = older.into_iter().map(|(source, _)| source).collect();
    starts.extend(ask_all(consumer, &older, Offset::End)?);
    starts.extend(ask_all(consumer, &older, Offset::Offset(at))?.into_iter().filter(found));
    Ok(())
}

/// Where partitions are read from so that windows which look so far back are whole at their starts.
fn look_back(
    consumer: &BaseConsumer<Context>,
    begin: Vec<(Millis, SourceId)>,
    starts: &mut Starts,
) -> KafkaResult<Vec<(SourceId, CellStart)>> {
    let offset = |offset: Option<&Offset>| match offset {
        Some(Offset::Offset(offset)) => Some(*offset),
        _ => None,
    };
    let sources: Vec<SourceId> = begin.iter().map(|(_, source)| source.clone()).collect();
    let whole = sources.iter().filter(|source| starts.get(*source) == Some(&Offset::Beginning)).cloned();
    starts.extend(ask_all(consumer, &whole.collect::<Vec<_>>(), Offset::Beginning)?);
    let ends: Starts = ask_all(consumer, &sources, Offset::End)?.into_iter().collect();
    let mut searches: BTreeMap<SourceId, (i64, Search)> = BTreeMap::new();
    for (reach, source) in begin {
        let Some(start) = offset(starts.get(&source)) else { continue };
        let end = offset(ends.get(&source)).unwrap_or(start);
        searches.insert(source, (start, Search::new(start, end, reach, clock::now())));
    }
    loop {
        let questions = searches.iter().filter_map(|(source, (_, search))| Some((source, search.question()?)));
        let answers = ask(consumer, questions.map(|(source, at)| (source, Offset::Offset(at.0))))?;
        if answers.is_empty() {
            break;
        }
        for (source, first) in &answers {
            searches.entry(source.clone()).and_modify(|(_, search)| search.answer(offset(Some(first))));
        }
    }
    let place = |(start, search): (i64, Search)| CellStart { read_from: search.found(), judged_from: start };
    Ok(searches.into_iter().map(|(source, found)| (source, place(found))).collect())
}

/// As [`ask`], the same of all.
fn ask_all(
    consumer: &BaseConsumer<Context>,
    sources: &[SourceId],
    what: Offset,
) -> KafkaResult<Vec<(SourceId, Offset)>> {
    ask(consumer, sources.iter().map(|source| (source, what)))
}

/// Asks for the offsets that stand for what is named: a timestamp (epoch milliseconds), the beginning, or the end.
fn ask<'s>(
    consumer: &BaseConsumer<Context>,
    questions: impl Iterator<Item = (&'s SourceId, Offset)>,
) -> KafkaResult<Vec<(SourceId, Offset)>> {
    let mut list = TopicPartitionList::new();
    for (source, what) in questions {
        list.add_partition_offset(&source.topic, source.partition, what)?;
    }
    if list.count() == 0 {
        return Ok(Vec::new());
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
