//! Events that were never seen: what is lost is unknown, never normal (design D6), and a rebalance loses nothing.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use expect_test::{Expect, expect};
use foghorn::alert::life::{Alert, AlertId, Change};
use foghorn::config::load::load_rules_from_text;
use foghorn::engine::heard;
use foghorn::engine::plan::Plan;
use foghorn::engine::shard::{AWAY_MAX, Shard, ShardInput, ShardOutput, topics};
use foghorn::engine::state::ShardCut;
use foghorn::model::batch::RawBatchBuilder;
use foghorn::model::position::{Position, SourceId, TopicId};
use foghorn::model::signal::{Signal, Transition};
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

/// One shard that reads two partitions, what it said, and what a desk makes of it.
struct World {
    plan: Arc<Plan>,
    shard: Shard,
    offsets: [i64; 2],
    cuts: u64,
    said: String,
    alerts: BTreeMap<AlertId, Alert>,
    /// What changed of them.
    told: Vec<String>,
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
        let plan = plan(rules);
        let shard = Shard::new(0, 1, plan.clone(), 0).expect("it decodes").with_cuts();
        let alerts = BTreeMap::new();
        let mut world = World { plan, shard, offsets: [0; 2], cuts: 0, said: String::new(), alerts, told: Vec::new() };
        world.tell(ShardInput::Assigned(vec![(0, source(0)), (0, source(1))]));
        world
    }

    /// The process ends, and another one goes on from the cut and from what the desk has heard.
    fn crash(&mut self, cut: &ShardCut, offsets: [i64; 2]) {
        let mut cuts = [cut.clone()];
        heard::bring_in(&mut cuts, &self.plan, self.alerts.values());
        self.shard = Shard::new(0, 1, self.plan.clone(), 0).expect("it decodes").with_cuts();
        self.shard.restore(&cuts, &mut Vec::new()).expect("it is whole");
        self.offsets = offsets;
        self.said.push_str("- crash\n");
        self.tell(ShardInput::Assigned(vec![(0, source(0)), (0, source(1))]));
    }

    fn hear(&mut self, signal: &Signal) {
        let id = AlertId::of(&signal.rule, &signal.labels);
        let change = match self.alerts.get_mut(&id) {
            Some(alert) => alert.take(WallTime(0), signal),
            None => {
                let (alert, change) = Alert::first(WallTime(0), signal);
                self.alerts.extend(alert.map(|alert| (id, alert)));
                change
            }
        };
        if change == Change::Dropped {
            self.alerts.remove(&id);
        }
        if !matches!(change, Change::Ignored(_) | Change::Refreshed) {
            self.told.push(format!("{}s {} {} {change:?}", signal.at.0 / 1000, signal.rule.name, signal.labels));
        }
    }

    fn tell(&mut self, input: ShardInput) -> Option<ShardCut> {
        let mut out = Vec::new();
        self.shard.handle(input, &mut out);
        let mut cut = None;
        for output in out {
            if let ShardOutput::Signal(signal) = &output {
                self.hear(signal);
            }
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
        self.event_of(["cart", "web"][partition], partition, second, ms);
    }

    fn event_of(&mut self, service: &str, partition: usize, second: i64, ms: i64) {
        let record = format!(r#"{{"ts":{},"service":"{service}","ms":{ms}}}"#, second * 1000);
        let mut batch = RawBatchBuilder::default();
        let index = batch.source(&"requests".into(), partition as i32);
        batch.push(index, self.offsets[partition], second * 1000, record.as_bytes());
        self.offsets[partition] += 1;
        self.tell(ShardInput::Records { stream: 0, batch: batch.finish() });
    }

    fn cut(&mut self) -> ShardCut {
        self.cuts += 1;
        self.tell(ShardInput::Cut(self.cuts)).expect("one shard alone gives its cut at once")
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
            world.event_of("other", 0, second, 1);
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
    let cut = world.cut();
    world.crash(&cut, [140, 140]);
    world.traffic(140..190, 20);
    assert!(world.shard.mark(&source(0)).is_some_and(|mark| mark.own.0 >= Millis::from_secs(180).0));
    world.check(expect![[r#"
        10s Many cart Firing
        10s Many web Firing
        10s Slow cart Pending
        10s Slow web Pending
        20s Slow cart Firing
        20s Slow web Firing
        - requests/0 Expired { records: 100 }
        - crash
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

/// Whose log it was that was read stands with the place in it, over restarts and rebalances.
#[test]
fn whose_log_was_read_is_known_after_a_restart() {
    let mut world = World::new();
    let topic = TopicId("dGhlIGZpcnN0IG9uZQ".into());
    world.tell(ShardInput::Topic { source: source(0), topic: topic.clone() });
    world.traffic(0..12, 20);
    let cut = world.cut();
    assert_eq!(topics(std::slice::from_ref(&cut)), [(source(0), topic.clone())]);
    world.crash(&cut, [12, 12]);
    assert_eq!(topics(&[world.cut()]), [(source(0), topic.clone())]);
    world.wall(0);
    world.tell(ShardInput::Revoked(vec![source(0)]));
    world.wall(AWAY_MAX.0 / 1000 + 1);
    assert_eq!(topics(&[world.cut()]), [(source(0), topic)], "though it is another's");
}

/// As [`RULES`], with an alert that is not over at once.
fn easing() -> String {
    RULES.replace("for: 10s", "for: 10s\n        keep_firing_for: 20s")
}

/// Killed after an alert fired, with a checkpoint from before: the records that made it fire are gone. People were told that it
/// fires, so it ends as what fires ends, after `keep_firing_for`, though the shard's own state is pending.
#[test]
fn what_fired_after_the_checkpoint_is_no_pending_alert_after_a_crash_in_a_gap() {
    let mut world = World::of(&easing());
    world.traffic(0..12, 200);
    let cut = world.cut();
    world.traffic(12..35, 200);
    world.crash(&cut, [140, 140]);
    world.tell(ShardInput::Gap { source: source(0), lost: Some(128) });
    world.tell(ShardInput::Gap { source: source(1), lost: Some(128) });
    world.traffic(140..230, 20);
    world.check(expect![[r#"
        10s Many cart Firing
        10s Many web Firing
        10s Slow cart Pending
        10s Slow web Pending
        20s Slow cart Firing
        20s Slow web Firing
        - crash
        - requests/0 Expired { records: 128 }
        - requests/1 Expired { records: 128 }
        - whole again
        190s Slow cart Resolved(Normal)
        190s Slow web Resolved(Normal)
    "#]]);
}

/// The same for who was not known at all before the checkpoint: somebody has to say that it is over.
#[test]
fn who_was_first_seen_after_the_checkpoint_and_fires_is_not_forgotten_in_a_gap() {
    let mut world = World::of(&easing());
    for second in 0..12 {
        (0..2).for_each(|partition| world.event_of("web", partition, second, 20));
    }
    let cut = world.cut();
    world.traffic(12..45, 200);
    world.crash(&cut, [140, 140]);
    world.tell(ShardInput::Gap { source: source(0), lost: Some(128) });
    world.tell(ShardInput::Gap { source: source(1), lost: Some(128) });
    world.traffic(140..230, 20);
    world.check(expect![[r#"
        10s Many web Firing
        20s Many cart Firing
        20s Slow web Pending
        20s Slow cart Pending
        30s Slow web Firing
        30s Slow cart Firing
        - crash
        - requests/0 Expired { records: 128 }
        - requests/1 Expired { records: 128 }
        - whole again
        190s Slow web Resolved(Normal)
        190s Slow cart Resolved(Normal)
    "#]]);
}

/// The same for who was quiet at the checkpoint, gone soon after, and back behind the gap.
#[test]
fn who_was_gone_after_the_checkpoint_is_seen_again_behind_a_gap() {
    let mut world = World::new();
    world.traffic(0..12, 20);
    let cart_alone = |world: &mut World, seconds: std::ops::Range<i64>| {
        seconds.for_each(|second| (0..2).for_each(|partition| world.event_of("cart", partition, second, 20)));
    };
    cart_alone(&mut world, 12..30);
    let cut = world.cut();
    cart_alone(&mut world, 30..70);
    world.crash(&cut, [140, 140]);
    world.tell(ShardInput::Gap { source: source(0), lost: Some(110) });
    world.tell(ShardInput::Gap { source: source(1), lost: Some(110) });
    world.traffic(140..200, 20);
    world.check(expect![[r#"
        10s Many cart Firing
        10s Many web Firing
        40s Many web Resolved(Normal)
        60s Gone web Firing
        - crash
        - requests/0 Expired { records: 110 }
        - requests/1 Expired { records: 110 }
        150s Many web Firing
        150s Gone web Resolved(SeenAgain)
        - whole again
    "#]]);
}

/// The same for what ended after the checkpoint: its end was told, so what fires behind the gap is another episode.
#[test]
fn what_ended_after_the_checkpoint_does_not_come_back_behind_a_gap() {
    let mut world = World::new();
    world.traffic(0..35, 200);
    let cut = world.cut();
    world.traffic(35..90, 20);
    world.crash(&cut, [140, 140]);
    world.tell(ShardInput::Gap { source: source(0), lost: Some(105) });
    world.tell(ShardInput::Gap { source: source(1), lost: Some(105) });
    world.traffic(140..200, 20);
    world.traffic(200..240, 200);
    world.check(expect![[r#"
        10s Many cart Firing
        10s Many web Firing
        10s Slow cart Pending
        10s Slow web Pending
        20s Slow cart Firing
        20s Slow web Firing
        70s Slow cart Resolved(Normal)
        70s Slow web Resolved(Normal)
        - crash
        - requests/0 Expired { records: 105 }
        - requests/1 Expired { records: 105 }
        - whole again
        210s Slow cart Pending
        210s Slow web Pending
        220s Slow cart Firing
        220s Slow web Firing
    "#]]);
}

/// `D1`: where nothing is lost, what was heard changes nothing, whenever the checkpoint was taken and the process killed.
#[test]
fn what_was_heard_changes_nothing_where_everything_is_read_again() {
    let story = |world: &mut World, seconds: std::ops::Range<i64>| {
        for second in seconds {
            let slow = [14..30, 55..70, 78..83, 100..130].iter().any(|slow| slow.contains(&second));
            let silent = (140..190).contains(&second);
            world.event(1, second, if slow { 200 } else { 20 });
            if second > 20 && !silent {
                world.event(0, second, if slow { 20 } else { 200 });
            }
        }
    };
    let mut undisturbed = World::of(&easing());
    story(&mut undisturbed, 0..230);
    assert!(undisturbed.told.len() > 10, "{:#?}", undisturbed.told);
    for cut_at in (11..220).step_by(7) {
        let mut world = World::of(&easing());
        story(&mut world, 0..cut_at);
        let (cut, offsets) = (world.cut(), world.offsets);
        for killed_at in [cut_at + 3, cut_at + 10, cut_at + 41] {
            let mut world = World::of(&easing());
            story(&mut world, 0..killed_at);
            world.crash(&cut, offsets);
            story(&mut world, cut_at..230);
            assert_eq!(world.told, undisturbed.told, "cut at {cut_at}, killed at {killed_at}");
        }
    }
}
