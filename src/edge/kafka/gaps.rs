//! What Kafka no longer holds when we come for it.
//!
//! A fetch of an offset that is not in the log is answered by an error, upon which librdkafka goes to the log's start
//! (`auto.offset.reset`, which we fix to that) and says so in nothing but a line of its log, from another thread. Told to
//! give the error to us instead, it stops fetching the partition, and then neither a seek nor a resume moves it, only
//! another assignment, which is not ours to make while the group may be about to make one. So we let it jump, and see
//! the jump where it lands: in the partition's queue, in order, without a race and without a request.
//!
//! Not every jump is a gap. Compaction and transactions leave offsets that hold no record. What tells them apart is the
//! start of the log, which every fetch brings along and librdkafka keeps before it hands over the records of that fetch:
//! what was to be read next is gone if and only if it lies before that start. A jump back is always a gap: the log is
//! another one, or was cut.
//!
//! - `G1` A gap is told after the last record before it and before the first after it, once.
//! - `G2` Holes that the log has by itself are no gaps. (One exception, to the safe side: a hole which the start of the
//!   log passed while its neighbours waited in our queue.)
//!
//! Reading always goes on at the start of what the log holds, also where `start` is `latest`: that speaks of partitions
//! nobody has read before. After a rewind that means that what a recreated topic holds is read whole, and that records
//! from before a cut are read again, which come late for their windows.
//!
//! A log that was made anew and is longer than our position makes no jump: the offset is there and means another record. Its
//! topic's id is another one, which [`super::positions`] finds out at each assignment; then the gap is told at once.

use std::cell::Cell;
use std::cmp::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::context::Context;
use super::native::cached_watermarks;
use super::partitions::Partition;

/// How long Kafka may take to say where a log starts.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// How soon it is asked again.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Where a gap that begins at `from` ends, if `offset` coming in its place makes one.
pub fn end_of_gap(from: i64, offset: i64, log_start: impl FnOnce() -> Option<i64>) -> Option<i64> {
    match offset.cmp(&from) {
        Ordering::Equal => None,
        Ordering::Less => Some(offset),
        // The start may have moved on since the record was fetched.
        Ordering::Greater => log_start().filter(|start| *start > from).map(|start| start.min(offset)),
    }
}

/// Knows where logs start.
pub struct LogStarts<'c> {
    consumer: &'c BaseConsumer<Context>,
    asked_at: Cell<Option<Instant>>,
}

impl<'c> LogStarts<'c> {
    pub fn new(consumer: &'c BaseConsumer<Context>) -> LogStarts<'c> {
        LogStarts { consumer, asked_at: Cell::new(None) }
    }

    /// As the last fetch told it. A fetch that failed wipes that out; only then Kafka is asked, which waits for the
    /// answer, and so not often: a compacted topic may have a hole after every record. `None` where nobody knows.
    pub fn of(&self, partition: &Partition) -> Option<i64> {
        let told = cached_watermarks(self.consumer, &partition.topic, partition.source.partition);
        if let Some((start, _)) = told.filter(|(start, _)| *start >= 0) {
            return Some(start);
        }
        if self.asked_at.get().is_some_and(|at| at.elapsed() < ASK_EVERY) {
            return None;
        }
        let source = &partition.source;
        let answer = self.consumer.fetch_watermarks(&source.topic, source.partition, ANSWER_MAX);
        self.asked_at.set(Some(Instant::now()));
        answer.map(|(start, _)| start).inspect_err(|error| tracing::warn!(%error, %source, "Kafka: no log start")).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wanted, came, start of the log: where the gap ends.
    fn check(from: i64, offset: i64, start: Option<i64>, expect: Option<i64>) {
        assert_eq!(end_of_gap(from, offset, || start), expect, "{from} wanted, {offset} came, log from {start:?}");
    }

    #[test]
    fn a_jump_is_a_gap_where_the_log_starts_after_what_was_wanted() {
        check(10, 10, Some(0), None);
        check(10, 50, Some(50), Some(50));
        check(10, 60, Some(50), Some(50)); // the first ten that are left were compacted away
        check(10, 50, Some(70), Some(50)); // retention went on meanwhile
        check(10, 11, Some(11), Some(11));
    }

    #[test]
    fn a_hole_in_the_log_is_no_gap() {
        check(10, 11, Some(0), None);
        check(10, 50, Some(10), None);
        check(10, 50, None, None);
    }

    #[test]
    fn a_jump_back_is_a_gap_wherever_the_log_starts() {
        check(10, 0, Some(0), Some(0));
        check(10, 9, None, Some(9));
    }
}
