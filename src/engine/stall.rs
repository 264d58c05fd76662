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
    /// What the desk was told by a process before, of streams that are no more.
    orphans: Vec<(Arc<str>, SourceId)>,
}

#[derive(Debug)]
struct Watched {
    name: Arc<str>,
    limit: Millis,
    stall: Stall,
    /// Whom the desk was told of, by us or by the process before.
    told: Option<SourceId>,
    /// The least watermark at the last look.
    seen: Option<EventTime>,
}

impl StallWatch {
    pub fn new(plan: &Plan) -> StallWatch {
        let watched = |stream: &StreamPlan| Watched::new(stream.schema.name.clone(), stream.schema.stall_timeout);
        StallWatch { streams: plan.streams.iter().map(watched).collect(), orphans: Vec::new() }
    }

    /// Goes on from what the desk was told before a restart: streams and sources for which the alert fires. Whoever
    /// tells of a beginning has to tell of the end, in whatever process that comes.
    pub fn resume(mut self, told: impl Iterator<Item = (Arc<str>, SourceId)>) -> StallWatch {
        for (stream, source) in told {
            match self.streams.iter_mut().find(|watched| watched.name == stream && watched.told.is_none()) {
                Some(watched) => watched.told = Some(source),
                None => self.orphans.push((stream, source)),
            }
        }
        self
    }

    /// Looks at where all sources of all shards stand, and says what the desk is to hear.
    pub fn look<'a>(&mut self, now: WallTime, shards: impl Iterator<Item = &'a ShardStatus> + Clone) -> Vec<DeskInput> {
        let recovered = |(stream, source)| DeskInput::SourceRecovered { stream, source };
        let mut news: Vec<DeskInput> = self.orphans.drain(..).map(recovered).collect();
        for (at, watched) in self.streams.iter_mut().enumerate() {
            let of_stream = shards.clone().filter_map(|shard| shard.streams.get(at));
            news.extend(watched.look(now, of_stream.flat_map(|stream| &stream.sources)));
        }
        news
    }
}

impl Watched {
    fn new(name: Arc<str>, limit: Millis) -> Watched {
        Watched { name, limit, stall: Stall::new(limit), told: None, seen: None }
    }

    fn look<'a>(&mut self, now: WallTime, sources: impl Iterator<Item = &'a SourceReport>) -> Vec<DeskInput> {
        let holds_back = |source: &&SourceReport| !matches!(source.state, SourceState::Idle | SourceState::Finished);
        let Some(slowest) = sources.filter(holds_back).min_by_key(|source| (source.watermark, &source.source)) else {
            (self.stall, self.seen) = (Stall::new(self.limit), None);
            return self.recovered().into_iter().collect();
        };
        let watermark = slowest.watermark.unwrap_or(EventTime::MIN);
        let moved = self.seen.replace(watermark).is_some_and(|seen| seen != watermark);
        match self.stall.observe(now, watermark) {
            Some(StallChange::Stalled { since, watermark }) => {
                let source = slowest.source.clone();
                let other = self.told.take_if(|told| *told != source);
                let over = other.map(|source| DeskInput::SourceRecovered { stream: self.name.clone(), source });
                self.told = Some(source.clone());
                let stream = self.name.clone();
                let stalled = DeskInput::SourceStalled { stream, source, watermark, still_for: now.since(since) };
                over.into_iter().chain([stalled]).collect()
            }
            Some(StallChange::Recovered { .. }) => self.recovered().into_iter().collect(),
            // What was told before a restart is over when time moves, however short this process has looked.
            None if moved => self.recovered().into_iter().collect(),
            None => Vec::new(),
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
        check_after(None, looks, expect);
    }

    /// As [`check`], after a restart; `told` is the partition of which the process before had told the desk.
    fn check_after(told: Option<i32>, looks: &[(i64, &[&str])], expect: Expect) {
        let mut watched = Watched::new("orders".into(), Millis::from_secs(10));
        watched.told = told.map(|partition| SourceId::new("orders", partition));
        let mut out = String::new();
        for (now, reports) in looks {
            let reports: Vec<SourceReport> =
                reports.iter().enumerate().filter_map(|(partition, text)| report(partition as i32, text)).collect();
            for news in watched.look(WallTime(now * 1_000), reports.iter()) {
                out.push_str(&match news {
                    DeskInput::SourceStalled { source, still_for, .. } => {
                        format!("{now}s {source} stalled for {still_for}\n")
                    }
                    DeskInput::SourceRecovered { source, .. } => format!("{now}s {source} recovered\n"),
                    _ => unreachable!("the watch says nothing else"),
                });
            }
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
    fn what_stood_still_before_a_restart_ends_when_it_moves_after_it() {
        check_after(
            Some(0),
            &[(0, &["a5", "a9"]), (1, &["a5", "a9"]), (2, &["a6", "a9"])],
            expect![[r#"
            2s orders/0 recovered
        "#]],
        );
    }

    #[test]
    fn what_stands_still_after_a_restart_in_place_of_another_is_told_in_its_place() {
        check_after(
            Some(0),
            &[(0, &["a7", "a5"]), (10, &["a9", "a5"]), (11, &["a9", "a6"])],
            expect![[r#"
            10s orders/0 recovered
            10s orders/1 stalled for 10s
            11s orders/1 recovered
        "#]],
        );
    }

    #[test]
    fn a_stream_that_is_no_more_stands_still_no_more() {
        let plan = Plan { streams: Vec::new(), feeds: Vec::new(), rules: Vec::new() };
        let told = ("orders".into(), SourceId::new("orders", 3));
        let mut watch = StallWatch::new(&plan).resume(std::iter::once(told));
        let news = watch.look(WallTime(0), std::iter::empty());
        assert!(matches!(&news[..], [DeskInput::SourceRecovered { source, .. }] if source.partition == 3), "{news:?}");
        assert!(watch.look(WallTime(1), std::iter::empty()).is_empty());
    }

    #[test]
    fn a_backlog_that_is_read_does_not_stand_still() {
        // Partition 1 comes with an old backlog: the least watermark goes back, and then moves.
        check(&[(0, &["a50", "-"]), (8, &["a58", "a1"]), (17, &["a67", "a20"]), (26, &["a76", "a40"])], expect![[""]]);
    }
}
