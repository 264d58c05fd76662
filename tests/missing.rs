//! Events that were never seen: what is lost is unknown, never normal (design D6), and a rebalance loses nothing.

use std::fmt::Write;
use std::sync::Arc;

use expect_test::{Expect, expect};
use foghorn::config::load::load_rules_from_text;
use foghorn::engine::plan::Plan;
use foghorn::engine::shard::{AWAY_MAX, Shard, ShardInput, ShardOutput};
use foghorn::engine::state::ShardCut;
use foghorn::model::batch::RawBatchBuilder;
use foghorn::model::position::{Position, SourceId};
use foghorn::model::signal::Transition;
use foghorn::model::time::{Millis, WallTime};

const RULES: &str = r#"
streams:
  requests:
    topics: requests
    format: json
    time: { field: ts, format: epoch_ms }
    lateness: 0s
    idle_timeout: 10m
    future_max: 100y
    fields: { service: string, ms: float }
groups:
  - name: all
    interval: 10s
    rules:
      - alert: Many
        from: requests
        by: [service]
        window: 30s
        let: { total: count(*) }
        when: total >= 5
      - alert: Slow
        from: requests
        by: [service]
        window: 30s
        let: { worst: max(ms) }
        when: worst > 100
        for: 10s
      - alert: Gone
        from: requests
        by: [service]
        window: 10s
        absent: 40s
"#;

/// One shard that reads two partitions, and what it said.
struct World {
    shard: Shard,
    offsets: [i64; 2],
    said: String,
}

fn source(partition: usize) -> SourceId {
    SourceId::new("requests", partition as i32)
}

fn plan(rules: &str) -> Arc<Plan> {
    let loaded = load_rules_from_text("all.yaml", rules);
    assert!(loaded.is_valid(), "{}", loaded.diagnostics.render(false));
    let schemas: Vec<_> = loaded.streams.iter().map(|stream| stream.schema.clone()).collect();
    Arc::new(Plan::build(&schemas, &loaded.rules.rules))
}

impl World {
    fn new() -> World {
        World::of(RULES)
    }

    fn of(rules: &str) -> World {
        let shard = Shard::new(0, 1, plan(rules), 0).expect("it decodes").with_cuts();
        let mut world = World { shard, offsets: [0; 2], said: String::new() };
        world.tell(ShardInput::Assigned(vec![(0, source(0)), (0, source(1))]));
        world
    }

    fn tell(&mut self, input: ShardInput) -> Option<ShardCut> {
        let mut out = Vec::new();
        self.shard.handle(input, &mut out);
        let mut cut = None;
        for output in out {
            match output {
                ShardOutput::Signal(signal) if signal.transition != Transition::Refreshed => {
                    let service = signal.labels.get("service").unwrap_or("-");
                    let at = signal.at.0 / 1000;
                    writeln!(self.said, "{at}s {} {service} {:?}", signal.rule.name, signal.transition).expect("text");
                }
                ShardOutput::Lost { source, loss, .. } => writeln!(self.said, "- {source} {loss:?}").expect("text"),
                ShardOutput::Whole { .. } => writeln!(self.said, "- whole again").expect("text"),
                ShardOutput::Cut { state, .. } => cut = Some(*state),
                _ => {}
            }
        }
        cut
    }

    /// One event of each partition at each second, of the service that partition has.
    fn traffic(&mut self, seconds: std::ops::Range<i64>, ms: i64) {
        for second in seconds {
            (0..2).for_each(|partition| self.event(partition, second, ms));
        }
    }

    fn event(&mut self, partition: usize, second: i64, ms: i64) {
        let service = ["cart", "web"][partition];
        let record = format!(r#"{{"ts":{},"service":"{service}","ms":{ms}}}"#, second * 1000);
        let mut batch = RawBatchBuilder::default();
        let index = batch.source(&"requests".into(), partition as i32);
        batch.push(index, self.offsets[partition], second * 1000, record.as_bytes());
        self.offsets[partition] += 1;
        self.tell(ShardInput::Records { stream: 0, batch: batch.finish() });
    }

    fn wall(&mut self, second: i64) {
        self.tell(ShardInput::Wall(WallTime(second * 1000)));
    }

    /// What the broker says of the end of a partition, from now to then; the shard looks at the clock each second.
    fn silence(&mut self, seconds: std::ops::Range<i64>, partition: usize, end: Option<i64>) {
        for second in seconds {
            let now = WallTime(second * 1000);
            self.tell(ShardInput::Reading { source: source(partition), now, end, lag: None });
            self.wall(second);
        }
    }

    fn check(&self, expect: Expect) {
        expect.assert_eq(&self.said);
    }
}

/// Cart is slow when records expire. What comes after the gap looks well, and proves nothing until a window is whole;
/// `total >= 5` is certain even so, because more events could only make it truer.
#[test]
fn after_a_gap_nothing_resolves_until_its_window_is_whole() {
    let mut world = World::new();
    world.traffic(0..40, 200);
    world.offsets = [140, 140];
    world.tell(ShardInput::Gap { source: source(0), lost: Some(100) });
    world.traffic(140..240, 20);
    world.check(expect![[r#"
        10s Many cart Firing
        10s Many web Firing
        10s Slow cart Pending
        10s Slow web Pending
        20s Slow cart Firing
        20s Slow web Firing
        - requests/0 Expired { records: 100 }
        170s Slow cart Resolved(Normal)
        170s Slow web Resolved(Normal)
        - whole again
    "#]]);
}

/// The log is made anew: its offsets begin again at zero, and are no repeats.
#[test]
fn after_a_rewind_the_new_records_count() {
    let mut world = World::new();
    world.traffic(0..30, 200);
    world.tell(ShardInput::Gap { source: source(0), lost: None });
    world.tell(ShardInput::Gap { source: source(1), lost: None });
    world.offsets = [0, 0];
    world.traffic(100..150, 20);
    world.check(expect![[r#"
        10s Many cart Firing
        10s Many web Firing
        10s Slow cart Pending
        10s Slow web Pending
        20s Slow cart Firing
        20s Slow web Firing
        - requests/0 Rewound
        - requests/1 Rewound
        130s Slow cart Resolved(Normal)
        130s Slow web Resolved(Normal)
        - whole again
    "#]]);
}

/// A group that may have been in what was lost is not absent.
#[test]
fn what_was_lost_may_have_held_the_group_that_is_missed() {
    let mut world = World::new();
    world.traffic(0..30, 20);
    world.tell(ShardInput::Gap { source: source(0), lost: Some(7) });
    world.offsets[0] += 7;
    for second in 30..140 {
        world.event(1, second, 20);
        // Partition 0 comes back with another service's events.
        if second >= 60 {
            world.offsets[0] += 1;
            let record = format!(r#"{{"ts":{},"service":"other","ms":1}}"#, second * 1000);
            let mut batch = RawBatchBuilder::default();
            let index = batch.source(&"requests".into(), 0);
            batch.push(index, world.offsets[0], second * 1000, record.as_bytes());
            world.tell(ShardInput::Records { stream: 0, batch: batch.finish() });
        }
    }
    // Last seen before 30, lost until 60: absent at 100, not at 70.
    world.check(expect![[r#"
        10s Many cart Firing
        10s Many web Firing
        - requests/0 Expired { records: 7 }
        70s Many other Firing
        90s Many cart Resolved(Normal)
        - whole again
        100s Gone cart Firing
    "#]]);
}

/// What a world says in which nothing is taken away.
fn undisturbed() -> String {
    let mut world = World::new();
    world.wall(0);
    world.traffic(0..40, 200);
    world.traffic(40..120, 20);
    world.said
}

#[test]
fn a_rebalance_changes_nothing_that_is_said() {
    for at in [5, 15, 25, 39] {
        let mut world = World::new();
        world.wall(0);
        world.traffic(0..at, 200);
        world.wall(at);
        world.tell(ShardInput::Revoked(vec![source(0), source(1)]));
        world.wall(at + AWAY_MAX.0 / 1000 - 1);
        world.tell(ShardInput::Assigned(vec![(0, source(1))]));
        // Partition 1 goes on before partition 0 is back, which holds time back for it.
        (at..40).for_each(|second| world.event(1, second, 200));
        world.tell(ShardInput::Assigned(vec![(0, source(0))]));
        (at..40).for_each(|second| world.event(0, second, 200));
        world.traffic(40..120, 20);
        assert_eq!(world.said, undisturbed(), "taken away at {at}");
    }
}

/// A partition that stays away is somebody else's: what is left knows nothing, fires nothing and resolves nothing.
#[test]
fn a_partition_that_stays_away_makes_its_streams_rules_unknown() {
    let mut world = World::new();
    world.wall(0);
    world.traffic(0..40, 200);
    world.wall(40);
    world.tell(ShardInput::Revoked(vec![source(0)]));
    (40..100).for_each(|second| world.event(1, second, 20));
    world.wall(40 + AWAY_MAX.0 / 1000 + 1);
    (100..160).for_each(|second| world.event(1, second, 20));
    world.tell(ShardInput::Assigned(vec![(0, source(0))]));
    (40..200).for_each(|second| world.event(0, second, 20));
    (160..200).for_each(|second| world.event(1, second, 20));
    world.check(expect![[r#"
        10s Many cart Firing
        10s Many web Firing
        10s Slow cart Pending
        10s Slow web Pending
        20s Slow cart Firing
        20s Slow web Firing
        - requests/0 TakenAway
        - whole again
        160s Slow cart Resolved(Normal)
        160s Slow web Resolved(Normal)
    "#]]);
}

/// `C3` with a gap that is not over: the process ends between the gap and the first event behind it.
#[test]
fn a_gap_outlives_the_process_that_saw_it() {
    let mut world = World::new();
    world.traffic(0..40, 200);
    world.tell(ShardInput::Gap { source: source(0), lost: Some(100) });
    let cut = world.tell(ShardInput::Cut(1)).expect("one shard alone gives its cut at once");
    let mut shard = Shard::new(0, 1, plan(RULES), 0).expect("it decodes").with_cuts();
    shard.restore(&[cut], &mut Vec::new()).expect("it is whole");
    let mut world = World { shard, offsets: [140, 140], said: String::new() };
    world.tell(ShardInput::Assigned(vec![(0, source(0)), (0, source(1))]));
    world.traffic(140..190, 20);
    assert!(world.shard.mark(&source(0)).is_some_and(|mark| mark.own.0 >= Millis::from_secs(180).0));
    world.check(expect![[r#"
        170s Slow cart Resolved(Normal)
        170s Slow web Resolved(Normal)
        - whole again
    "#]]);
}

/// `S8`: Kafka was away for longer than `idle_timeout`, and now partition 0 is read to its end: by the consumer, in whose
/// queue there are a gap and an event before that end. That the end is reached is known first, and was taken for
/// silence: the other partition carried time on over what was lost and over what was still to come.
#[test]
fn what_was_read_and_waits_to_be_taken_is_no_silence() {
    let mut world = World::new();
    world.traffic(0..40, 20);
    world.tell(ShardInput::End(Position { source: source(0), offset: 40 }));
    world.silence(40..100, 0, Some(40));
    world.silence(100..800, 0, None);
    world.silence(800..802, 0, Some(141));
    (40..90).for_each(|second| world.event(1, second, 20));
    world.said.push_str("- taken from the queue\n");
    world.tell(ShardInput::Gap { source: source(0), lost: Some(100) });
    world.offsets[0] = 140;
    world.event(0, 85, 20);
    world.tell(ShardInput::End(Position { source: source(0), offset: 141 }));
    world.silence(802..1403, 0, Some(141));
    (90..140).for_each(|second| world.event(1, second, 20));
    world.check(expect![[r#"
        10s Many cart Firing
        10s Many web Firing
        - taken from the queue
        - requests/0 Expired { records: 100 }
        120s Many cart Resolved(Normal)
        - whole again
        130s Gone cart Firing
    "#]]);
}

/// The clock is set back by an hour: what comes is refused, for its time has not come. The end of a partition that lost
/// records says nothing then of the time until when they are missing, and what was refused is not known to be nothing.
#[test]
fn a_clock_that_is_an_hour_slow_does_not_date_a_gap() {
    let rules = RULES.replace("future_max: 100y", "future_max: 1m");
    let mut world = World::of(&rules);
    world.wall(100);
    world.traffic(0..40, 20);
    world.tell(ShardInput::Gap { source: source(0), lost: Some(50) });
    world.offsets[0] = 90;
    world.wall(-3_500);
    world.event(0, 92, 20);
    world.tell(ShardInput::End(Position { source: source(0), offset: 91 }));
    world.silence(-3_500..-3_490, 0, Some(91));
    world.said.push_str("- the clock is right again\n");
    world.wall(100);
    world.traffic(100..160, 20);
    world.check(expect![[r#"
        10s Many cart Firing
        10s Many web Firing
        - requests/0 Expired { records: 50 }
        - the clock is right again
        - whole again
    "#]]);
}
