use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::model::batch::{RawBatchBuilder, StrSpan};
use crate::stream::testing::requests;

const PANE: Millis = Millis(10_000);

fn source(name: &str) -> SourceId {
    SourceId::new(name, 0)
}

/// A batch of events: source and seconds of event time.
fn batch(events: &[(&str, i64)]) -> Batch {
    let mut raw = RawBatchBuilder::default();
    for (name, _) in events {
        let at = raw.source(&(*name).into(), 0);
        raw.push(at, 0, -1, b"");
    }
    let mut batch = Batch::default();
    batch.reset(raw.finish());
    batch.time = events.iter().map(|(_, seconds)| seconds * 1_000).collect();
    batch.record = (0..events.len() as u32).collect();
    batch.raw = vec![StrSpan::NULL; events.len()];
    batch
}

fn seconds(time: EventTime) -> String {
    match time {
        EventTime::MIN => "before all time".to_owned(),
        EventTime(millis) => format!("{}", millis as f64 / 1_000.0),
    }
}

/// Runs a script with lateness 5 s, idle timeout 30 s, future bound 60 s and panes of 10 s. A line is one of
/// `assign a`, `revoke a`, `finish a`, `end a`, `behind a 12`, `wall 100` (the clock, which also settles), or
/// `a 10 12 b 9`: events in one batch. Says what was refused, and where the stream's watermark stands.
fn check(script: &str, expect: Expect) {
    let mut marks = Watermarks::new(&StreamSchema {
        lateness: Millis::from_secs(5),
        idle_timeout: Millis::from_secs(30),
        future_max: Millis::from_secs(60),
        ..requests()
    });
    let mut wall = None;
    let mut timing = Timing::default();
    let mut out = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut said = String::new();
        match words[0] {
            "assign" => marks.assign(&source(words[1]), EventTime::MIN),
            "revoke" => marks.revoke(&source(words[1])),
            "finish" => marks.finish(&source(words[1])),
            "end" => marks.at_end(&source(words[1]), wall.expect("a clock")),
            "behind" => marks.behind(&source(words[1]), words[2].parse().ok()),
            "wall" => {
                let now = WallTime(words[1].parse::<i64>().expect("seconds") * 1_000);
                wall = Some(now);
                marks.tick(now);
            }
            _ => {
                let mut name = "";
                let mut events = Vec::new();
                for word in words {
                    match word.parse() {
                        Ok(seconds) => events.push((name, seconds)),
                        Err(_) => name = word,
                    }
                }
                let batch = batch(&events);
                marks.observe(&batch, wall, &mut timing);
                let (mut sel, mut late) = (timing.admitted.clone(), Vec::new());
                timing.split_late(&batch, PANE, &mut sel, &mut late);
                marks.count_late(&batch, &late);
                let name = |row: &u32| format!(" {} {}", events[*row as usize].0, events[*row as usize].1);
                for (what, rows) in [("late", &late), ("future", &timing.future)] {
                    if !rows.is_empty() {
                        said += &format!("; {what}:{}", rows.iter().map(name).collect::<Vec<_>>().join(","));
                    }
                }
            }
        }
        let low = marks.low();
        let before = marks.watermark();
        let settled = marks.settle(low);
        assert!(settled >= before, "T1");
        let states: Vec<String> =
            marks.report().iter().map(|s| format!("{} {}", s.source.topic, s.state.name())).collect();
        out.push_str(&format!("{line:<16} → {}  [{}]{said}\n", seconds(settled), states.join(", ")));
    }
    expect.assert_eq(&out);
}

#[test]
fn the_slowest_source_holds_the_stream_and_each_is_judged_by_itself() {
    check(
        "
        assign a
        assign b
        a 100 103
        b 50
        a 94 99 89
        b 62 44 41 60
        b 58 49
        ",
        expect![[r#"
            assign a         → before all time  [a waiting]
            assign b         → before all time  [a waiting, b waiting]
            a 100 103        → before all time  [a active, b waiting]
            b 50             → 45  [a active, b active]
            a 94 99 89       → 45  [a active, b active]; late: a 89
            b 62 44 41 60    → 57  [a active, b active]; late: b 44, b 41
            b 58 49          → 57  [a active, b active]; late: b 49
        "#]],
    );
}

#[test]
fn a_bad_clock_does_not_move_time() {
    check(
        "
        wall 100
        a 100
        a 161 160 99999
        a 155 149
        b 500
        ",
        expect![[r#"
            wall 100         → before all time  []
            a 100            → 95  [a active]
            a 161 160 99999  → 155  [a active]; future: a 161, a 99999
            a 155 149        → 155  [a active]; late: a 149
            b 500            → 155  [a active, b waiting]; future: b 500
        "#]],
    );
}

#[test]
fn a_silent_source_at_its_end_lets_the_others_go_on_and_follows_them() {
    check(
        "
        assign a
        assign b
        wall 100
        a 100 b 100
        end b
        wall 120
        a 120
        end b
        wall 130
        a 130
        end b
        wall 131
        a 140
        b 141 129 131
        ",
        expect![[r#"
            assign a         → before all time  [a waiting]
            assign b         → before all time  [a waiting, b waiting]
            wall 100         → before all time  [a waiting, b waiting]
            a 100 b 100      → 95  [a active, b active]
            end b            → 95  [a active, b active]
            wall 120         → 95  [a active, b active]
            a 120            → 95  [a active, b active]
            end b            → 95  [a active, b active]
            wall 130         → 95  [a active, b active]
            a 130            → 95  [a active, b active]
            end b            → 95  [a active, b active]
            wall 131         → 125  [a active, b idle]
            a 140            → 135  [a active, b idle]
            b 141 129 131    → 135  [a active, b active]; late: b 129
        "#]],
    );
}

#[test]
fn when_all_is_silent_time_keeps_the_pace_of_the_wall_clock() {
    check(
        "
        wall 1000
        assign a
        assign b
        a 400 b 100
        end a
        end b
        wall 1029
        end a
        end b
        wall 1030
        end a
        end b
        wall 1040
        end a
        end b
        wall 1041
        b 410
        a 421
        ",
        expect![[r#"
            wall 1000        → before all time  []
            assign a         → before all time  [a waiting]
            assign b         → before all time  [a waiting, b waiting]
            a 400 b 100      → 95  [a active, b active]
            end a            → 95  [a active, b active]
            end b            → 95  [a active, b active]
            wall 1029        → 95  [a active, b active]
            end a            → 95  [a active, b active]
            end b            → 95  [a active, b active]
            wall 1030        → 95  [a active, b active]
            end a            → 95  [a active, b active]
            end b            → 95  [a active, b active]
            wall 1040        → 395  [a idle, b idle]
            end a            → 405  [a idle, b idle]
            end b            → 405  [a idle, b idle]
            wall 1041        → 405  [a idle, b idle]
            b 410            → 405  [a idle, b active]
            a 421            → 405  [a active, b active]
        "#]],
    );
}

#[test]
fn a_stream_that_never_had_an_event_takes_the_wall_clock() {
    check(
        "
        wall 1000
        assign a
        end a
        wall 1029
        end a
        wall 1030
        end a
        wall 1031
        a 1031
        ",
        expect![[r#"
            wall 1000        → before all time  []
            assign a         → before all time  [a waiting]
            end a            → before all time  [a waiting]
            wall 1029        → before all time  [a waiting]
            end a            → before all time  [a waiting]
            wall 1030        → before all time  [a waiting]
            end a            → before all time  [a waiting]
            wall 1031        → 995  [a idle]
            a 1031           → 1026  [a active]
        "#]],
    );
}

#[test]
fn a_broker_out_of_reach_is_not_silence() {
    check(
        "
        wall 1000
        assign a
        a 1000
        end a
        wall 1030
        end a
        wall 1031
        wall 1059
        wall 1060
        wall 2000
        a 1032 1990
        ",
        expect![[r#"
            wall 1000        → before all time  []
            assign a         → before all time  [a waiting]
            a 1000           → 995  [a active]
            end a            → 995  [a active]
            wall 1030        → 995  [a active]
            end a            → 995  [a active]
            wall 1031        → 995  [a idle]
            wall 1059        → 995  [a idle]
            wall 1060        → 995  [a active]
            wall 2000        → 995  [a active]
            a 1032 1990      → 1985  [a active]
        "#]],
    );
}

#[test]
fn a_source_read_behind_its_end_is_never_idle() {
    check(
        "
        wall 1000
        assign a
        assign b
        a 1000 b 500
        end a
        behind b 7000
        wall 1030
        end a
        wall 1060
        a 1060
        b 700
        ",
        expect![[r#"
            wall 1000        → before all time  []
            assign a         → before all time  [a waiting]
            assign b         → before all time  [a waiting, b waiting]
            a 1000 b 500     → 495  [a active, b active]
            end a            → 495  [a active, b active]
            behind b 7000    → 495  [a active, b active]
            wall 1030        → 495  [a active, b active]
            end a            → 495  [a active, b active]
            wall 1060        → 495  [a active, b active]
            a 1060           → 495  [a active, b active]
            b 700            → 695  [a active, b active]
        "#]],
    );
}

#[test]
fn a_source_that_comes_later_does_not_drag_time_back() {
    check(
        "
        assign a
        a 100
        assign b
        a 200
        b 50 60
        b 300
        revoke b
        a 310
        ",
        expect![[r#"
            assign a         → before all time  [a waiting]
            a 100            → 95  [a active]
            assign b         → 95  [a active, b waiting]
            a 200            → 95  [a active, b waiting]
            b 50 60          → 95  [a active, b active]
            b 300            → 195  [a active, b active]
            revoke b         → 195  [a active]
            a 310            → 305  [a active]
        "#]],
    );
}

#[test]
fn replay_finishes_its_files() {
    check(
        "
        assign a
        assign b
        a 100 120
        finish a
        b 90
        b 130
        finish b
        ",
        expect![[r#"
            assign a         → before all time  [a waiting]
            assign b         → before all time  [a waiting, b waiting]
            a 100 120        → before all time  [a active, b waiting]
            finish a         → before all time  [a finished, b waiting]
            b 90             → 85  [a finished, b active]
            b 130            → 125  [a finished, b active]
            finish b         → 125  [a finished, b finished]
        "#]],
    );
}

#[test]
fn the_report_is_what_the_status_page_shows() {
    let mut marks = Watermarks::new(&requests());
    marks.assign(&source("b"), EventTime::MIN);
    marks.assign(&source("a"), EventTime(7_000));
    let mut timing = Timing::default();
    let events = batch(&[("b", 100), ("b", 20)]);
    marks.observe(&events, None, &mut timing);
    marks.count_late(&events, &[1]);
    marks.behind(&source("b"), Some(12));
    let lines: Vec<String> = marks.report().iter().map(|report| format!("{report:?}\n")).collect();
    expect![[r#"
        SourceReport { source: SourceId { topic: "a", partition: 0 }, state: Waiting, newest: None, watermark: Some(EventTime(7000)), at_end: false, late: 0, future: 0, lag: None }
        SourceReport { source: SourceId { topic: "b", partition: 0 }, state: Active, newest: Some(EventTime(100000)), watermark: Some(EventTime(90000)), at_end: false, late: 1, future: 0, lag: Some(12) }
    "#]].assert_eq(&lines.concat());
    assert_eq!(marks.own(&source("a")), Some(EventTime(7_000)));
    assert_eq!(marks.newest(), Some(EventTime(100_000)));
}

/// Events of some sources, each in its order: times wander forward with strays both ways.
fn histories() -> impl Strategy<Value = Vec<Vec<i64>>> {
    let steps = prop::collection::vec((-25i64..20).prop_map(|step| if step < 0 { step } else { step / 3 }), 0..60);
    prop::collection::vec(steps, 1..5).prop_map(|sources| {
        let wander = |steps: Vec<i64>| {
            let mut now = 0;
            steps
                .into_iter()
                .map(|step| {
                    now += step.max(0);
                    now + step.min(0)
                })
                .collect()
        };
        sources.into_iter().map(wander).collect()
    })
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Reads the histories interleaved as `picks` says, cut into batches of `size`, by shards that share the sources as
/// `shards` says. Gives the late events of each source, by their place in its history.
fn run(histories: &[Vec<i64>], picks: &[usize], size: usize, shards: usize) -> BTreeMap<&'static str, Vec<usize>> {
    let schema = StreamSchema { lateness: Millis::from_secs(5), ..requests() };
    let mut marks: Vec<Watermarks> = (0..shards).map(|_| Watermarks::new(&schema)).collect();
    for (at, name) in NAMES.iter().enumerate().take(histories.len()) {
        marks[at % shards].assign(&source(name), EventTime::MIN);
    }
    let mut read = vec![0; histories.len()];
    let mut order = Vec::new();
    let total: usize = histories.iter().map(Vec::len).sum();
    for turn in 0.. {
        if order.len() == total {
            break;
        }
        let at = (picks[turn % picks.len()] + turn / picks.len()) % histories.len();
        if read[at] < histories[at].len() {
            order.push((at, read[at]));
            read[at] += 1;
        }
    }
    let mut late_events: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut settled = EventTime::MIN;
    let mut timing = Timing::default();
    for part in order.chunks(size) {
        for (shard, marks) in marks.iter_mut().enumerate() {
            let mine: Vec<(usize, usize)> = part.iter().copied().filter(|(at, _)| at % shards == shard).collect();
            let events: Vec<(&str, i64)> = mine.iter().map(|(at, i)| (NAMES[*at], histories[*at][*i])).collect();
            let batch = batch(&events);
            marks.observe(&batch, None, &mut timing);
            let (mut sel, mut late) = (timing.admitted.clone(), Vec::new());
            timing.split_late(&batch, PANE, &mut sel, &mut late);
            for row in sel {
                let end = pane_end(batch.time[row as usize], PANE);
                assert!(end > settled.0, "T3: pane {end} was closed at {settled:?}");
            }
            for row in late {
                let (at, i) = mine[row as usize];
                late_events.entry(NAMES[at]).or_default().push(i);
            }
        }
        let low = marks.iter().map(Watermarks::low).fold(Low::Nothing, Low::join);
        for marks in &mut marks {
            let next = marks.settle(low);
            assert!(next >= settled, "T1");
            settled = next;
        }
    }
    late_events
}

/// The obvious way: each source alone, event by event.
fn oracle(histories: &[Vec<i64>]) -> BTreeMap<&'static str, Vec<usize>> {
    let mut late = BTreeMap::new();
    for (name, history) in NAMES.iter().zip(histories) {
        let mut newest = i64::MIN / 2_000;
        for (i, seconds) in history.iter().enumerate() {
            newest = newest.max(*seconds);
            if (seconds.div_euclid(10) + 1) * 10 <= newest - 5 {
                late.entry(*name).or_insert_with(Vec::new).push(i);
            }
        }
    }
    late
}

proptest! {
    /// `T1`, `T2`, `T3`
    #[test]
    fn lateness_is_the_same_for_any_batches_shards_and_interleaving(
        histories in histories(),
        picks in prop::collection::vec(0usize..4, 1..50),
        size in 1usize..40,
        shards in 1usize..4,
    ) {
        prop_assert_eq!(run(&histories, &picks, size, shards), oracle(&histories));
    }

    /// `T1`, `T3` live: silence, ends and clocks in any order, as long as nobody comes late.
    #[test]
    fn whatever_the_wall_clock_does_no_closed_pane_is_opened(
        steps in prop::collection::vec((0usize..3, 0i64..40, -20i64..3), 1..120)
    ) {
        let schema = StreamSchema { lateness: Millis::from_secs(5), idle_timeout: Millis::from_secs(30), ..requests() };
        let mut marks = Watermarks::new(&schema);
        ["a", "b"].iter().for_each(|name| marks.assign(&source(name), EventTime::MIN));
        let mut timing = Timing::default();
        let mut wall = 1_000;
        for (what, ahead, shift) in steps {
            let settled = marks.watermark();
            match what {
                2 => {
                    wall += ahead;
                    ["a", "b"].iter().for_each(|name| marks.at_end(&source(name), WallTime(wall * 1_000)));
                    marks.tick(WallTime(wall * 1_000));
                }
                who => {
                    let batch = batch(&[(NAMES[who], wall + shift)]);
                    marks.observe(&batch, Some(WallTime(wall * 1_000)), &mut timing);
                    let (mut sel, mut late) = (timing.admitted.clone(), Vec::new());
                    timing.split_late(&batch, PANE, &mut sel, &mut late);
                    prop_assert!(sel.is_empty() || pane_end(batch.time[0], PANE) > settled.0);
                }
            }
            let low = marks.low();
            prop_assert!(marks.settle(low) >= settled);
        }
    }
}
