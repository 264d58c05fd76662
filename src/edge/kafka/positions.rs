//! Where to start in a partition that was just assigned: a checkpoint's position, else the group's committed offset,
//! else what the configuration says.
//!
//! Committed offsets, earliest and latest are left to librdkafka. A timestamp it does not know how to start at, so that
//! is asked for here, which means requests that wait for an answer on the consumer thread. They are few (one or two an
//! assignment), each is bounded, and other partitions' records wait no longer than that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use super::context::Context;
use super::settings::Start;
use crate::model::position::{Position, SourceId};

/// How long one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(3);

pub struct StartPositions {
    start: Start,
    /// From the checkpoint; each is used once.
    resume: BTreeMap<SourceId, i64>,
}

impl StartPositions {
    pub fn new(start: Start, resume: Vec<Position>) -> StartPositions {
        let resume = resume.into_iter().map(|position| (position.source, position.offset)).collect();
        StartPositions { start, resume }
    }

    /// Fills in the offsets of an assignment. What is left invalid, librdkafka decides.
    pub fn set(&mut self, consumer: &BaseConsumer<Context>, list: &mut TopicPartitionList) -> KafkaResult<()> {
        let mut open = TopicPartitionList::new();
        for mut element in list.elements() {
            let source = SourceId::new(element.topic(), element.partition());
            match self.resume.get(&source) {
                Some(offset) => element.set_offset(Offset::Offset(*offset))?,
                None => {
                    open.add_partition(element.topic(), element.partition());
                }
            }
        }
        if let Start::Timestamp(at) = self.start
            && open.count() > 0
        {
            for (source, offset) in at_timestamp(consumer, open, at)? {
                list.set_partition_offset(&source.topic, source.partition, offset)?;
            }
        }
        for source in sources(list) {
            self.resume.remove(&source);
        }
        Ok(())
    }
}

/// Offsets of the first records at or after `at` in those partitions for which the group has committed nothing.
fn at_timestamp(
    consumer: &BaseConsumer<Context>,
    list: TopicPartitionList,
    at: i64,
) -> KafkaResult<Vec<(SourceId, Offset)>> {
    let committed = consumer.committed_offsets(list, REQUEST_MAX)?;
    let (mut found, mut open) = (Vec::new(), Vec::new());
    for element in committed.elements() {
        element.error()?;
        let source = SourceId::new(element.topic(), element.partition());
        match element.offset() {
            Offset::Offset(offset) => found.push((source, Offset::Offset(offset))),
            _ => open.push(source),
        }
    }
    // `End` says that all records are older. Those written between the question and the first fetch must not be
    // missed, so the end is noted first and the question asked again.
    let mut late = Vec::new();
    for (source, offset) in first_since(consumer, &open, at)? {
        match offset {
            Offset::Offset(_) => found.push((source, offset)),
            _ => {
                let (_, high) = consumer.fetch_watermarks(&source.topic, source.partition, REQUEST_MAX)?;
                late.push((source, high));
            }
        }
    }
    let sources: Vec<SourceId> = late.iter().map(|(source, _)| source.clone()).collect();
    let ends: BTreeMap<SourceId, i64> = late.into_iter().collect();
    for (source, offset) in first_since(consumer, &sources, at)? {
        let offset = match offset {
            Offset::Offset(_) => offset,
            _ => Offset::Offset(ends[&source]),
        };
        found.push((source, offset));
    }
    Ok(found)
}

fn first_since(
    consumer: &BaseConsumer<Context>,
    sources: &[SourceId],
    at: i64,
) -> KafkaResult<Vec<(SourceId, Offset)>> {
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    let mut list = TopicPartitionList::with_capacity(sources.len());
    for source in sources {
        list.add_partition_offset(&source.topic, source.partition, Offset::Offset(at))?;
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
