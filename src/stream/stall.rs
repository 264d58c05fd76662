//! Time that stands still. Rules are judged when the watermark moves, so a watermark that does not move judges nothing,
//! and no rule can say so. This detector lives on wall time and can: whoever holds it hands the outcome to the desk as
//! a condition of its own.
//!
//! A healthy stream does not stall by being silent: idle sources let time go on (see [`super::watermark`]). What stalls
//! is a source that cannot be read, is never confirmed to be at its end, or whose events' times do not advance.

use crate::model::time::{EventTime, Millis, WallTime};

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StallChange {
    /// The watermark has not moved since then, which is too long.
    Stalled { since: WallTime, watermark: EventTime },
    /// It moves again.
    Recovered { since: WallTime, watermark: EventTime },
}

/// Watches one watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// How long a watermark may stand still.
    limit: Millis,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unknown,
    Moving { watermark: EventTime, since: WallTime },
    Stalled { watermark: EventTime, since: WallTime },
}

impl Stall {
    pub fn new(limit: Millis) -> Self {
        Stall { limit, state: State::Unknown }
    }

    /// Since when the watermark stands still, where that is too long.
    pub fn since(&self) -> Option<WallTime> {
        match self.state {
            State::Stalled { since, .. } => Some(since),
            State::Unknown | State::Moving { .. } => None,
        }
    }

    /// The watermark at a reading of the wall clock. Waiting for the first event counts as standing still.
    pub fn observe(&mut self, now: WallTime, watermark: EventTime) -> Option<StallChange> {
        let (next, change) = match self.state {
            State::Unknown => (State::Moving { watermark, since: now }, None),
            State::Moving { watermark: last, since } => {
                if watermark != last || now < since {
                    // A clock that was set back starts the wait anew, and so does a source that is further behind.
                    (State::Moving { watermark, since: now }, None)
                } else if now.since(since) >= self.limit {
                    (State::Stalled { watermark, since }, Some(StallChange::Stalled { since, watermark }))
                } else {
                    (self.state, None)
                }
            }
            State::Stalled { watermark: last, since } => {
                if watermark != last {
                    (State::Moving { watermark, since: now }, Some(StallChange::Recovered { since, watermark }))
                } else {
                    (self.state, None)
                }
            }
        };
        self.state = next;
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    /// Readings of (wall second, watermark second) with a limit of 60 s, and what they changed.
    fn check(readings: &[(i64, i64)], expect: Expect) {
        let mut stall = Stall::new(Millis::from_secs(60));
        let mut out = String::new();
        for (now, watermark) in readings {
            let change = stall.observe(WallTime(now * 1_000), EventTime(watermark * 1_000));
            let change = match change {
                None => "-".to_owned(),
                Some(StallChange::Stalled { since, .. }) => format!("stalled since {}", since.0 / 1_000),
                Some(StallChange::Recovered { since, .. }) => format!("recovered, stood since {}", since.0 / 1_000),
            };
            out.push_str(&format!("{now} {watermark} {change}\n"));
        }
        expect.assert_eq(&out);
    }

    #[test]
    fn a_watermark_that_stands_still_is_told_once_and_so_is_its_recovery() {
        check(
            &[(0, 5), (30, 6), (89, 6), (90, 6), (500, 6), (501, 7), (560, 7), (561, 7), (562, 9)],
            expect![[r#"
            0 5 -
            30 6 -
            89 6 -
            90 6 stalled since 30
            500 6 -
            501 7 recovered, stood since 30
            560 7 -
            561 7 stalled since 501
            562 9 recovered, stood since 501
        "#]],
        );
    }

    #[test]
    fn a_stream_without_any_event_stalls() {
        check(
            &[(0, i64::MIN / 1_000), (59, i64::MIN / 1_000), (60, i64::MIN / 1_000)],
            expect![[r#"
            0 -9223372036854775 -
            59 -9223372036854775 -
            60 -9223372036854775 stalled since 0
        "#]],
        );
    }

    #[test]
    fn a_clock_set_back_starts_the_wait_anew() {
        check(
            &[(1_000, 5), (100, 5), (159, 5), (160, 5)],
            expect![[r#"
            1000 5 -
            100 5 -
            159 5 -
            160 5 stalled since 100
        "#]],
        );
    }
}
