//! `absent: 5m`: silence as a verdict.
//!
//! A group is silent when no event of it was seen for that long, in event time. Groups are known because they were seen,
//! or because the rule lists them; a listed group that was never seen counts from the tick at which the engine started
//! to look. The verdicts go through the same [`Hold`] as those of a condition, so `for` and `keep_firing_for` apply.
//!
//! - `A1` the verdict is never unknown: silence is exactly what is asked about. (A source that stalls as a whole gives no
//!   ticks, and is a condition of its own on wall time.)
//! - `A2` an alert of absence resolves as *seen again*.
//! - `A3` an event with a time after the tick (seen, but ahead of the watermark) is being seen.

use crate::model::signal::{Comparison, ResolvedBecause, Transition, Verdict};
use crate::model::time::{EventTime, Millis};
use crate::rule::hold::{Hold, HoldPolicy};

/// A rule's `absent`, and since when the engine looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    pub absent: Millis,
    /// The first tick of the rule: what a listed group that was never seen is silent since.
    pub started: EventTime,
}

impl Absence {
    /// How long the group has been silent at the tick.
    pub fn silent_for(&self, last_seen: Option<EventTime>, at: EventTime) -> Millis {
        at.since(self.reference(last_seen)).max(Millis::ZERO)
    }

    pub fn verdict(&self, last_seen: Option<EventTime>, at: EventTime) -> Verdict {
        if self.silent_for(last_seen, at) >= self.absent { Verdict::Breach } else { Verdict::Normal }
    }

    /// The first instant at which the group is silent for long enough, unless it is seen again: what a queue of
    /// deadlines is ordered by, so that groups which are not due cost nothing.
    pub fn due(&self, last_seen: Option<EventTime>) -> EventTime {
        self.reference(last_seen) + self.absent
    }

    /// As [`Hold::step`] with the verdict at the tick; a group that is seen again resolves as such (`A2`).
    #[must_use]
    pub fn step(
        &self,
        hold: Hold,
        last_seen: Option<EventTime>,
        at: EventTime,
        policy: HoldPolicy,
    ) -> (Hold, Option<Transition>) {
        let (next, transition) = hold.step(self.verdict(last_seen, at), at, policy);
        let transition = transition.map(|transition| match transition {
            Transition::Resolved(ResolvedBecause::Normal) => Transition::Resolved(ResolvedBecause::SeenAgain),
            other => other,
        });
        (next, transition)
    }

    /// The evidence: seconds of silence against `absent`.
    pub fn comparison(&self, last_seen: Option<EventTime>, at: EventTime) -> Comparison {
        let silent = self.silent_for(last_seen, at);
        Comparison {
            text: format!("silent for {silent} >= absent {}", self.absent),
            left: Some(silent.as_secs_f64()),
            right: Some(self.absent.as_secs_f64()),
            holds: Some(silent >= self.absent),
        }
    }

    fn reference(&self, last_seen: Option<EventTime>) -> EventTime {
        last_seen.unwrap_or(self.started)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use expect_test::{Expect, expect};

    use super::*;

    /// A story by minutes: when events come (of a group that is expected from minute 0), and what each tick says.
    fn check(absent: &str, for_: &str, events: &[i64], minutes: i64, expect: Expect) {
        let absence = Absence { absent: absent.parse().unwrap(), started: EventTime(0) };
        let policy = HoldPolicy { for_: for_.parse().unwrap(), keep_firing_for: Millis::ZERO };
        let mut hold = Hold::Clear;
        let mut out = String::new();
        for minute in 0..=minutes {
            let at = EventTime(minute * 60_000);
            let last_seen = events.iter().filter(|event| **event <= minute).max().map(|m| EventTime(m * 60_000));
            let (next, transition) = absence.step(hold, last_seen, at, policy);
            hold = next;
            if let Some(transition) = transition.filter(|t| *t != Transition::Refreshed) {
                let text = absence.comparison(last_seen, at).text;
                writeln!(out, "{minute}m {transition:?}: {text}").unwrap();
            }
        }
        expect.assert_eq(&out);
    }

    #[test]
    fn a_group_that_falls_silent_fires_and_resolves_when_seen_again() {
        check(
            "5m",
            "0",
            &[0, 1, 2, 10],
            12,
            expect![[r#"
                7m Firing: silent for 5m >= absent 5m
                10m Resolved(SeenAgain): silent for 0s >= absent 5m
            "#]],
        );
    }

    #[test]
    fn an_expected_group_that_never_came_counts_from_the_start() {
        check(
            "5m",
            "0",
            &[],
            7,
            expect![[r#"
             5m Firing: silent for 5m >= absent 5m
        "#]],
        );
    }

    #[test]
    fn for_adds_to_absent() {
        check(
            "5m",
            "2m",
            &[1, 7],
            12,
            expect![[r#"
                6m Pending: silent for 5m >= absent 5m
                7m Dropped: silent for 0s >= absent 5m
                12m Pending: silent for 5m >= absent 5m
            "#]],
        );
    }

    #[test]
    fn a_steady_group_says_nothing() {
        check("5m", "0", &[0, 4, 8, 12], 16, expect![[""]]);
    }

    #[test]
    fn what_is_seen_ahead_of_the_tick_is_not_silent() {
        let absence = Absence { absent: Millis::from_secs(60), started: EventTime(0) };
        assert_eq!(absence.silent_for(Some(EventTime(90_000)), EventTime(60_000)), Millis::ZERO);
        assert_eq!(absence.verdict(Some(EventTime(90_000)), EventTime(60_000)), Verdict::Normal);
        assert_eq!(absence.due(Some(EventTime(90_000))), EventTime(150_000));
        assert_eq!(absence.due(None), EventTime(60_000));
    }
}
