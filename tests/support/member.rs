//! A member of a consumer group as tests see it: the consumer, and shards that write down what they are told.

use std::collections::BTreeMap;

use crossbeam_channel::{Receiver, TryRecvError};
use foghorn::edge::kafka::{ConsumerConfig, ConsumerHandle, KafkaSettings, SourceEvent, StreamTopics, start};
use foghorn::model::position::TopicId;
use foghorn::model::{Position, SourceId};

use super::wait::wait_until;

pub struct Member {
    pub handle: ConsumerHandle,
    pub shards: Vec<Shard>,
}

/// One shard's channel and everything that came through it.
pub struct Shard {
    pub channel: Receiver<SourceEvent>,
    pub seen: BTreeMap<SourceId, Seen>,
    /// Records by stream.
    pub by_stream: BTreeMap<usize, usize>,
    closed: bool,
}

/// What a shard saw of one partition.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Offsets and payloads in the order they came, over all assignments.
    pub records: Vec<(i64, String)>,
    pub timestamps: Vec<i64>,
    pub streams: Vec<usize>,
    /// Ours now.
    pub assigned: bool,
    /// Whose log it is.
    pub topic: Option<TopicId>,
    /// `assigned`, `100..200` for records, `gap@200..300`, `end@200`, `revoked`, `lost`; a run of records is told when it
    /// ends.
    told: Vec<String>,
    run: Option<(i64, i64)>,
}

impl Seen {
    /// What happened, the open run of records included.
    pub fn story(&self) -> Vec<String> {
        let open = self.run.map(|(from, to)| format!("{from}..{to}"));
        self.told.iter().cloned().chain(open).collect()
    }

    /// The last thing told is the end of the partition.
    pub fn is_at_end(&self) -> bool {
        self.run.is_none() && self.told.last().is_some_and(|last| last.starts_with("end@"))
    }

    /// The offset after the last record.
    pub fn next(&self) -> Option<i64> {
        self.records.last().map(|(offset, _)| offset + 1)
    }

    pub fn offsets(&self) -> Vec<i64> {
        self.records.iter().map(|(offset, _)| *offset).collect()
    }

    fn note(&mut self, what: String) {
        if let Some((from, to)) = self.run.take() {
            self.told.push(format!("{from}..{to}"));
        }
        if !what.is_empty() {
            self.told.push(what);
        }
    }

    fn record(&mut self, offset: i64) {
        match &mut self.run {
            Some((_, to)) if *to == offset => *to += 1,
            _ => {
                self.note(String::new());
                self.run = Some((offset, offset + 1));
            }
        }
    }
}

impl Shard {
    /// Takes one event, if there is one. Checks what holds for every event.
    pub fn take(&mut self) -> bool {
        let event = match self.channel.try_recv() {
            Ok(event) => event,
            Err(TryRecvError::Empty) => return false,
            Err(TryRecvError::Disconnected) => {
                self.closed = true;
                return false;
            }
        };
        match event {
            SourceEvent::Records { stream, batch } => {
                *self.by_stream.entry(stream).or_default() += batch.records.len();
                for record in &batch.records {
                    let position = batch.position(record);
                    let seen = self.seen.get_mut(&position.source).expect("records come after their assignment");
                    assert!(seen.assigned, "{position} came outside of an assignment");
                    assert!(seen.streams.contains(&stream), "{position} came for stream {stream}");
                    // A topic of two streams comes twice; the story is told once.
                    if seen.streams[0] == stream {
                        seen.record(position.offset);
                        seen.timestamps.push(record.timestamp);
                        let payload = String::from_utf8(batch.bytes(record).to_vec()).expect("tests write text");
                        seen.records.push((position.offset, payload));
                    }
                }
            }
            SourceEvent::Assigned(list) => {
                for (stream, source) in list {
                    let seen = self.seen.entry(source).or_default();
                    if !seen.assigned {
                        seen.streams.clear();
                        seen.note("assigned".into());
                    }
                    seen.assigned = true;
                    seen.streams.push(stream);
                }
            }
            SourceEvent::Revoked(list) => self.leave(list, "revoked"),
            SourceEvent::Lost(list) => self.leave(list, "lost"),
            SourceEvent::Gap { gap, streams } => {
                let seen = self.seen.get_mut(&gap.source).expect("gaps come after their assignment");
                assert!(seen.assigned, "the gap {gap} came outside of an assignment");
                assert_eq!(seen.streams, streams, "{gap}");
                seen.note(format!("gap@{}..{}", gap.from, gap.to));
            }
            SourceEvent::Topic { source, topic } => {
                let seen = self.seen.get_mut(&source).expect("topics come after their assignment");
                seen.topic = Some(topic);
            }
            SourceEvent::EndOfPartition(ends) => {
                for end in ends {
                    let seen = self.seen.get_mut(&end.source).expect("ends come after their assignment");
                    assert!(seen.assigned, "the end {end} came outside of an assignment");
                    let told = format!("end@{}", end.offset);
                    if seen.run.is_some() || seen.told.last() != Some(&told) {
                        seen.note(told);
                    }
                }
            }
        }
        true
    }

    /// Whether the consumer has closed the channel, and everything in it was taken.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn leave(&mut self, list: Vec<SourceId>, how: &str) {
        for source in list {
            let seen = self.seen.get_mut(&source).expect("only what was assigned leaves");
            assert!(seen.assigned, "{source} left twice");
            seen.assigned = false;
            seen.note(how.into());
        }
    }
}

impl Member {
    pub fn join(settings: KafkaSettings, topics: &[&str], shards: usize) -> Member {
        let streams =
            vec![StreamTopics { stream: "test".into(), topics: topics.iter().map(|t| t.to_string()).collect() }];
        Member::start(ConsumerConfig::new(settings, streams), shards, 4)
    }

    /// `room`: events a shard's channel holds.
    pub fn start(config: ConsumerConfig, shards: usize, room: usize) -> Member {
        let (senders, channels): (Vec<_>, Vec<_>) = (0..shards).map(|_| crossbeam_channel::bounded(room)).unzip();
        let handle = start(config, senders).expect("a valid configuration");
        let shard = |channel| Shard { channel, seen: BTreeMap::new(), by_stream: BTreeMap::new(), closed: false };
        Member { handle, shards: channels.into_iter().map(shard).collect() }
    }

    /// Takes everything that has come.
    pub fn take(&mut self) {
        self.shards.iter_mut().for_each(|shard| while shard.take() {});
    }

    /// Takes what comes until `condition` holds.
    pub fn take_until(&mut self, what: &str, mut condition: impl FnMut(&Member) -> bool) {
        let mut looked = 0;
        wait_until(what, || {
            self.take();
            looked += 1;
            if looked % 2_000 == 0 {
                eprintln!("still waiting for {what}: {:?}", self.handle.stats());
            }
            condition(self)
        });
    }

    pub fn seen(&self) -> BTreeMap<SourceId, Seen> {
        self.shards.iter().flat_map(|shard| shard.seen.clone()).collect()
    }

    pub fn by_stream(&self) -> BTreeMap<usize, usize> {
        let mut all = BTreeMap::new();
        for (stream, count) in self.shards.iter().flat_map(|shard| &shard.by_stream) {
            *all.entry(*stream).or_default() += count;
        }
        all
    }

    pub fn of(&self, topic: &str, partition: i32) -> Seen {
        self.seen().remove(&SourceId::new(topic, partition)).unwrap_or_default()
    }

    pub fn records(&self) -> usize {
        self.shards.iter().flat_map(|shard| shard.seen.values()).map(|seen| seen.records.len()).sum()
    }

    pub fn assigned(&self) -> Vec<SourceId> {
        self.seen().into_iter().filter(|(_, seen)| seen.assigned).map(|(source, _)| source).collect()
    }

    /// Positions after everything taken so far of what is assigned.
    pub fn positions(&self) -> Vec<Position> {
        let next = |(source, seen): (SourceId, Seen)| Some(Position { offset: seen.next()?, source });
        self.seen().into_iter().filter(|(_, seen)| seen.assigned).filter_map(next).collect()
    }
}
