//! Watches on the wall clock what holds every stream's watermark: a silent source must not mean a silent pager (design
//! D1).
//!
//! What is watched is the least watermark among the sources that are not idle, as they report it themselves. The obvious
//! measure, the stream's watermark as rules see it, moves from pane to pane: with a rule that is judged every five
//! minutes it stands still for five, and for ever on a stream that no rule reads.

use std::sync::Arc;

use crate::engine::desk::DeskInput;
use crate::engine::plan::{Plan, StreamPlan};
use crate::engine::shard::{ShardStatus, SourceReport, SourceState, Stall, StallChange};
use crate::model::position::SourceId;
use crate::model::time::{EventTime, Millis, WallTime};

/// All streams of a plan.
#[derive(Debug)]
pub struct StallWatch {
    streams: Vec<Watched>,
}

#[derive(Debug)]
struct Watched {
    name: Arc<str>,
    limit: Millis,
    stall: Stall,
    /// Whom the desk was told of.
    told: Option<SourceId>,
}

impl StallWatch {
    pub fn new(plan: &Plan) -> StallWatch {
        let watched = |stream: &StreamPlan| Watched::new(stream.schema.name.clone(), stream.schema.stall_timeout);
        StallWatch { streams: plan.streams.iter().map(watched).collect() }
    }

    /// Looks at where all sources of all shards stand, and says what the desk is to hear.
    pub fn look<'a>(&mut self, now: WallTime, shards: impl Iterator<Item = &'a ShardStatus> + Clone) -> Vec<DeskInput> {
        let mut news = Vec::new();
        for (at, watched) in self.streams.iter_mut().enumerate() {
            let of_stream = shards.clone().filter_map(|shard| shard.streams.get(at));
            news.extend(watched.look(now, of_stream.flat_map(|stream| &stream.sources)));
        }
        news
    }
}

impl Watched {
    fn new(name: Arc<str>, limit: Millis) -> Watched {
        Watched { name, limit, stall: Stall::new(limit), told: None }
    }

    fn look<'a>(&mut self, now: WallTime, sources: impl Iterator<Item = &'a SourceReport>) -> Option<DeskInput> {
        let holds_back = |source: &&SourceReport| !matches!(source.state, SourceState::Idle | SourceState::Finished);
        let Some(slowest) = sources.filter(holds_back).min_by_key(|source| (source.watermark, &source.source)) else {
            self.stall = Stall::new(self.limit);
            return self.recovered();
        };
        match self.stall.observe(now, slowest.watermark.unwrap_or(EventTime::MIN))? {
            StallChange::Stalled { since, watermark } => {
                self.told = Some(slowest.source.clone());
                Some(DeskInput::SourceStalled {
                    stream: self.name.clone(),
                    source: slowest.source.clone(),
                    watermark,
                    still_for: now.since(since),
                })
            }
            StallChange::Recovered { .. } => self.recovered(),
        }
    }

    fn recovered(&mut self) -> Option<DeskInput> {
        let source = self.told.take()?;
        Some(DeskInput::SourceRecovered { stream: self.name.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    /// Looks at wall seconds, each with what the partitions report: `a5` active with a watermark of five seconds, `i5`
    /// idle, `w` without any event, `-` not ours. The limit is ten seconds.
    fn check(looks: &[(i64, &[&str])], expect: Expect) {
        let mut watched = Watched::new("orders".into(), Millis::from_secs(10));
        let mut out = String::new();
        for (now, reports) in looks {
            let reports: Vec<SourceReport> =
                reports.iter().enumerate().filter_map(|(partition, text)| report(partition as i32, text)).collect();
            let said = match watched.look(WallTime(now * 1_000), reports.iter()) {
                Some(DeskInput::SourceStalled { source, still_for, .. }) => format!("{source} stalled for {still_for}"),
                Some(DeskInput::SourceRecovered { source, .. }) => format!("{source} recovered"),
                _ => continue,
            };
            out.push_str(&format!("{now}s {said}\n"));
        }
        expect.assert_eq(&out);
    }

    fn report(partition: i32, text: &str) -> Option<SourceReport> {
        let state = match text.as_bytes()[0] {
            b'a' => SourceState::Active,
            b'i' => SourceState::Idle,
            b'w' => SourceState::Waiting,
            _ => return None,
        };
        let watermark = text[1..].parse().ok().map(|seconds: i64| EventTime(seconds * 1_000));
        let source = SourceId::new("orders", partition);
        Some(SourceReport { source, state, newest: watermark, watermark, at_end: false, late: 0, future: 0, lag: None })
    }

    #[test]
    fn the_partition_that_holds_time_back_is_told_and_ends_when_it_moves() {
        check(
            &[
                (0, &["a5", "a7"]),
                (9, &["a5", "a16"]),
                (10, &["a5", "a17"]),
                (30, &["a5", "a37"]),
                (31, &["a6", "a38"]),
            ],
            expect![[r#"
                10s orders/0 stalled for 10s
                31s orders/0 recovered
            "#]],
        );
    }

    #[test]
    fn an_idle_partition_holds_nothing_back_and_an_unread_one_does() {
        check(
            &[(0, &["a5", "i1"]), (9, &["a14", "i1"]), (20, &["a25", "i1"]), (21, &["a26", "w"]), (31, &["a36", "w"])],
            expect![[r#"
                31s orders/1 stalled for 10s
            "#]],
        );
    }

    #[test]
    fn what_falls_idle_or_is_revoked_has_recovered_and_waits_anew() {
        check(
            &[(0, &["a5"]), (10, &["a5"]), (11, &["i5"]), (12, &["a5"]), (22, &["a5"]), (23, &["-"]), (24, &["a5"])],
            expect![[r#"
                10s orders/0 stalled for 10s
                11s orders/0 recovered
                22s orders/0 stalled for 10s
                23s orders/0 recovered
            "#]],
        );
    }

    #[test]
    fn a_backlog_that_is_read_does_not_stand_still() {
        // Partition 1 comes with an old backlog: the least watermark goes back, and then moves.
        check(&[(0, &["a50", "-"]), (8, &["a58", "a1"]), (17, &["a67", "a20"]), (26, &["a76", "a40"])], expect![[""]]);
    }
}
