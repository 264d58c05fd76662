//! The consumer: reads partitions into the shards' queues, tells gaps and ends, and goes on where the engine says.

use std::collections::BTreeMap;

use rand::Rng;

use super::{Member, shard_of};
use crate::engine::shard::ShardInput;
use crate::model::batch::{RawBatch, RawBatchBuilder};
use crate::model::{Position, SourceId};
use crate::sim::storm::Outside;
use crate::sim::storm::options::Sabotage;
use crate::sim::storm::topic::Partition;

/// Batches a shard may have waiting.
const QUEUE_MAX: usize = 16;

/// What the consumer says to a shard.
#[derive(Debug)]
pub enum FromSource {
    /// Records, from the place whose offset was 0 when they were read.
    Records(usize, RawBatch),
    /// … and from where they are read.
    Assigned(Vec<(SourceId, i64)>),
    Revoked(Vec<SourceId>),
    /// They are another's already.
    Lost(Vec<SourceId>),
    Gap {
        source: SourceId,
        lost: Option<u64>,
    },
    End(Position),
}

#[derive(Debug)]
pub struct Consumer {
    resume: BTreeMap<SourceId, i64>,
    /// By partition that is ours.
    ours: BTreeMap<usize, Reading>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    /// The next place to be read; `None` before the first fetch of a partition that nobody has read.
    next: i64,
    /// The place after the last that was ever read of it.
    furthest: i64,
    at_end: bool,
}

impl Consumer {
    pub fn new(next: Vec<Position>) -> Consumer {
        let mut consumer = Consumer { resume: BTreeMap::new(), ours: BTreeMap::new() };
        consumer.resume_at(next);
        consumer
    }

    /// A partition goes where nobody here knows of.
    pub fn forget(&mut self, source: &SourceId) {
        self.resume.remove(source);
    }

    /// Where a partition goes on that is known here, or to the group.
    pub fn start(&self, of: &Partition) -> Option<i64> {
        self.resume.get(&of.source).copied().or(of.committed)
    }

    pub fn resume_at(&mut self, next: impl IntoIterator<Item = Position>) {
        let next = next.into_iter().filter(|position| position.offset >= 0);
        self.resume.extend(next.map(|position| (position.source, position.offset)));
    }
}

impl Member {
    /// Takes partitions on; every shard is told, also of nothing.
    pub fn assign(&mut self, outside: &mut Outside<'_>, partitions: Vec<usize>) {
        self.find_out(outside, &partitions);
        let mut told = vec![Vec::new(); self.shards.len()];
        for partition in partitions {
            let of = &outside.partitions[partition];
            let next = self.consumer.start(of).unwrap_or((of.start - of.base) as i64);
            if !self.consumer.resume.contains_key(&of.source) {
                outside.watch.begins(&of.source);
                if next > 0 || of.start > 0 {
                    outside.watch.inexact(|| format!("{} begins where its log does", of.source));
                }
            }
            self.consumer.ours.insert(partition, Reading { next, furthest: next, at_end: false });
            told[shard_of(partition, self.shards.len())].push((of.source.clone(), next));
        }
        for (shard, list) in told.into_iter().enumerate() {
            self.to_shards[shard].push_back(FromSource::Assigned(list));
        }
    }

    pub fn revoke(&mut self, outside: &mut Outside<'_>, partitions: &[usize]) {
        for home in self.take_away(outside, partitions, FromSource::Revoked) {
            self.lets_go(outside, home);
        }
    }

    /// They are another's already.
    pub fn lose_partitions(&mut self, outside: &mut Outside<'_>, partitions: &[usize]) {
        self.take_away(outside, partitions, FromSource::Lost);
    }

    /// Those that were ours.
    fn take_away(
        &mut self,
        outside: &Outside<'_>,
        partitions: &[usize],
        told: fn(Vec<SourceId>) -> FromSource,
    ) -> Vec<SourceId> {
        let mut taken = Vec::new();
        for partition in partitions {
            if let Some(reading) = self.consumer.ours.remove(partition) {
                let source = outside.partitions[*partition].source.clone();
                self.consumer.resume_at([Position { source: source.clone(), offset: reading.next }]);
                self.part_with(&source);
                taken.push(source.clone());
                self.to_shards[shard_of(*partition, self.shards.len())].push_back(told(vec![source]));
            }
        }
        taken
    }

    pub fn reads(&self, partition: usize) -> bool {
        self.consumer.ours.contains_key(&partition)
    }

    /// What is in the queues is the last.
    pub fn stop_reading(&mut self) {
        self.consumer.ours.clear();
    }

    /// A leader was lost: some records come again.
    pub fn reread(&mut self, partition: usize, records: i64) {
        if let Some(reading) = self.consumer.ours.get_mut(&partition) {
            reading.next = (reading.next - records).max(0);
            reading.at_end = false;
        }
    }

    pub(super) fn can_fetch(&self, outside: &Outside<'_>, partition: usize) -> bool {
        let Some(reading) = self.consumer.ours.get(&partition) else { return false };
        let of = &outside.partitions[partition];
        let shard = shard_of(partition, self.shards.len());
        let more = reading.next != (of.end(outside.now) - of.base) as i64 || of.anew;
        outside.now >= of.away_until && self.to_shards[shard].len() < QUEUE_MAX && (more || !reading.at_end)
    }

    pub(super) fn fetch(&mut self, outside: &mut Outside<'_>, partition: usize) {
        let queue = &mut self.to_shards[shard_of(partition, self.shards.len())];
        let Some(reading) = self.consumer.ours.get_mut(&partition) else { return };
        let of = &mut outside.partitions[partition];
        let source = of.source.clone();
        let first = (of.start - of.base) as i64;
        let hide = outside.options.sabotaged(Sabotage::HideGap);
        let behind_the_end = reading.next > (of.end(outside.now) - of.base) as i64;
        let other = std::mem::take(&mut of.anew);
        if other && reading.next == 0 {
            // Nobody can tell a log that is read from its beginning from one that is read from there again.
            outside.watch.inexact(|| format!("{source} was made anew and read again"));
        }
        let anew = other && reading.next > 0 || behind_the_end;
        if anew || reading.next < first {
            let lost = (!anew).then(|| (first - reading.next) as u64);
            match anew {
                true => reading.furthest = 0,
                false => outside.watch.lost(of, reading.furthest),
            }
            reading.next = first;
            if !hide {
                queue.push_back(FromSource::Gap { source: source.clone(), lost });
            }
        }
        let end = of.end(outside.now);
        let from = of.base + reading.next as usize;
        let to = end.min(from + outside.dice.random_range(1..20));
        if from >= to {
            reading.at_end = true;
            queue.push_back(FromSource::End(Position { source, offset: reading.next }));
            return;
        }
        let mut batch = RawBatchBuilder::default();
        let index = batch.source(&source.topic, source.partition);
        for place in from..to {
            let record = &of.records[place];
            batch.push(index, (place - of.base) as i64, record.produced_at, &record.bytes());
        }
        reading.next = (to - of.base) as i64;
        reading.furthest = reading.furthest.max(reading.next);
        reading.at_end = false;
        queue.push_back(FromSource::Records(of.base, batch.finish()));
    }

    /// A shard takes what its source has for it.
    pub(super) fn take(&mut self, outside: &mut Outside<'_>, shard: usize, event: FromSource) {
        let input = match event {
            FromSource::Revoked(list) if self.homes.is_some() => return self.depart(outside, shard, list),
            FromSource::Lost(list) => return self.lose(outside, shard, list),
            FromSource::Revoked(list) => ShardInput::Revoked(list),
            FromSource::Assigned(list) => {
                self.arrive(outside, shard, &list);
                ShardInput::Assigned(list.into_iter().map(|(source, _)| (0, source)).collect())
            }
            FromSource::Records(base, mut batch) => {
                self.handed += batch.records.len() as u64;
                outside.watch.handed(&batch, base, &outside.partitions);
                if outside.options.sabotaged(Sabotage::LoseRecord) && outside.dice.random_ratio(1, 50) {
                    batch.records.pop();
                }
                ShardInput::Records { stream: 0, batch }
            }
            FromSource::Gap { source, lost } => {
                if lost.is_none() {
                    outside.watch.rewinds(&source);
                }
                ShardInput::Gap { source, lost }
            }
            FromSource::End(end) => ShardInput::End(end),
        };
        self.handle(outside, shard, input);
    }

    /// What the broker says of the ends of a shard's partitions.
    pub(super) fn readings(&self, outside: &Outside<'_>, shard: usize) -> Vec<ShardInput> {
        let mine = self.consumer.ours.iter().filter(|(p, _)| shard_of(**p, self.shards.len()) == shard);
        let heard = mine.filter(|(p, _)| outside.now >= outside.partitions[**p].away_until);
        heard
            .map(|(partition, reading)| {
                let of = &outside.partitions[*partition];
                let left = (of.end(outside.now) - of.base) as i64 - reading.next;
                let end = (reading.at_end && left <= 0).then_some(reading.next);
                let lag = Some(left.max(0) as u64);
                ShardInput::Reading { source: of.source.clone(), now: outside.wall(), end, lag }
            })
            .collect()
    }
}
