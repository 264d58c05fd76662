//! Where in its log a partition is read from that begins behind the log's start, so that its windows are whole where ticks
//! begin to be judged.
//!
//! What is looked for is a place as much older than the record before the start as windows reach back. Kafka does not say of
//! which time a record is without handing it over; it says which is the first record at or after a time. So the time is
//! searched: back from now in steps that double, then by halves, all partitions of an assignment with each question.
//!
//! Kafka goes by record timestamps, and rules by the times of events. Both need not be the same, only run about as fast: a
//! producer that is an hour behind is so throughout. Where they do not, and where the log does not reach back so far, windows
//! hold less than they reach for, and that shows when events are read: such a window is unknown until it is covered.
//!
//! Read is from the last record that is older than needed, so that the first event read tells that none was passed over; at
//! most twice as far back as asked for.
//!
//! - `L1` what is found is not behind the start; where nothing is older, or nobody knows of times, it is the start

use crate::model::{Millis, WallTime};

/// The search in one partition.
#[derive(Clone, Debug)]
pub struct Search {
    /// The offset at which judging begins.
    start: i64,
    /// The first offset there is, once that is known.
    first: i64,
    /// How far before the start windows look, milliseconds.
    reach: i64,
    now: i64,
    step: Step,
}

/// Times are epoch milliseconds.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Is there anything before the start, and do records have times?
    Knowing,
    /// Is there anything before the start that is no older than `back`?
    Doubling {
        back: i64,
    },
    /// Before the start there are records of `since` and later, and none of `until` and later.
    Halving {
        since: i64,
        until: i64,
    },
    /// Which is the first record of this time or later? The one before it is the place.
    Placing {
        time: i64,
    },
    Found {
        offset: i64,
    },
}

impl Search {
    /// For what windows look at that reach back so far from the record before the offset `start`. The log ends at `end`: a
    /// start behind that is of another log, of which nothing is to be read.
    pub fn new(start: i64, end: i64, reach: Millis, now: WallTime) -> Search {
        let step = if start > end { Step::Found { offset: start } } else { Step::Knowing };
        Search { start, first: start, reach: reach.0.max(1), now: now.0, step }
    }

    /// The time of which the first record at or after it is asked for; `None` when the place is found.
    pub fn question(&self) -> Option<WallTime> {
        match self.step {
            Step::Knowing => Some(WallTime(0)),
            Step::Doubling { back } => Some(WallTime((self.now - back).max(0))),
            Step::Halving { since, until } => Some(WallTime(since + (until - since) / 2)),
            Step::Placing { time } => Some(WallTime(time.max(0))),
            Step::Found { .. } => None,
        }
    }

    /// Takes the answer: that record's offset, `None` where there is none.
    pub fn answer(&mut self, offset: Option<i64>) {
        let Some(WallTime(time)) = self.question() else { return };
        let offset = offset.unwrap_or(self.start).min(self.start); // `L1`
        let before = offset < self.start;
        self.step = match self.step {
            Step::Knowing if before => {
                self.first = offset;
                Step::Doubling { back: self.reach }
            }
            Step::Doubling { back } if before => self.halving(time, self.now - back / 2),
            Step::Doubling { back } if time > 0 => Step::Doubling { back: back.saturating_mul(2) },
            Step::Halving { until, .. } if before => self.halving(time, until),
            Step::Halving { since, .. } => self.halving(since, time),
            Step::Placing { .. } => Step::Found { offset: (offset - 1).max(self.first) },
            // What was there when it was asked first is gone by now.
            Step::Knowing | Step::Doubling { .. } | Step::Found { .. } => Step::Found { offset },
        };
    }

    fn halving(&self, since: i64, until: i64) -> Step {
        match until - since > self.reach {
            true => Step::Halving { since, until },
            false => Step::Placing { time: since - self.reach },
        }
    }

    /// The offset to read from; the start while it is not found.
    pub fn found(&self) -> i64 {
        match self.step {
            Step::Found { offset } => offset,
            _ => self.start,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A log whose first offset is `first`: the times of its records.
    fn search(first: i64, times: &[i64], start: i64, reach: i64, now: i64) -> (i64, usize) {
        let end = first + times.len() as i64;
        let mut search = Search::new(start, end, Millis(reach), WallTime(now));
        let mut questions = 0;
        while let Some(WallTime(at)) = search.question() {
            search.answer(times.iter().position(|time| *time >= at).map(|place| first + place as i64));
            questions += 1;
            assert!(questions < 200, "it does not come to an end: {search:?}");
        }
        (search.found(), questions)
    }

    /// A record a second, from 1,000,000 s to 1,000,999 s, at offsets from 500 on.
    fn check(start: i64, reach_secs: i64, now_secs: i64, expect: i64) {
        let times: Vec<i64> = (0..1_000).map(|n| (1_000_000 + n) * 1_000).collect();
        let (found, _) = search(500, &times, start, reach_secs * 1_000, now_secs * 1_000);
        assert_eq!(found, expect, "from {start}, {reach_secs} s back, at {now_secs}");
    }

    #[test]
    fn the_place_lies_as_far_back_as_windows_reach_or_a_little_further() {
        check(1_500, 60, 1_000_999, 1_378); // all was read until now
        check(1_000, 60, 1_000_999, 898);
        check(1_000, 60, 9_000_000, 918); // everything is old
        check(520, 60, 1_000_999, 500); // the log begins behind it
    }

    #[test]
    fn where_nothing_is_known_or_nothing_is_older_it_is_the_start() {
        check(500, 60, 1_000_999, 500);
        check(400, 60, 1_000_999, 400); // gone: that is a gap, and found to be one by who reads
        check(2_000, 60, 1_000_999, 2_000); // of another log
        assert_eq!(search(500, &[-1; 10], 505, 60_000, 1_000_999_000).0, 505, "records without times");
    }

    #[test]
    fn what_is_gone_while_it_is_looked_for_is_looked_for_no_more() {
        let mut search = Search::new(50, 90, Millis(60_000), WallTime(1_000_000_000));
        search.answer(Some(20));
        for _ in 0..30 {
            search.answer(Some(60));
        }
        assert_eq!(search.question(), None);
        assert_eq!(search.found(), 50);
    }

    proptest! {
        /// As against a look at all records: the last that is older than what windows need, and not more than twice as much.
        #[test]
        fn it_is_far_enough_and_not_much_further(
            gaps in prop::collection::vec(0..100_000_i64, 1..60),
            start in 1..60_usize,
            reach in 1..1_000_000_i64,
            later in 0..100_000_000_i64,
        ) {
            let mut time = 1_700_000_000_000;
            let times: Vec<i64> = gaps.iter().map(|gap| { time += gap; time }).collect();
            let start = start.min(times.len());
            let last = times[start - 1];
            let (found, questions) = search(0, &times, start as i64, reach, time + later);
            let found = found as usize;
            prop_assert!(found == 0 || times[found] < last - reach, "{found} is not far enough");
            prop_assert!(found + 1 == start || times[found + 1] >= last - 2 * reach, "{found} is too far");
            prop_assert!(questions < 64, "{questions} questions");
        }
    }
}
