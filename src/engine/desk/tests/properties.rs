//! What holds whatever happens: storms of signals and moods, then everything heals, and the books must balance.
//!
//! The oracle is simple: a receiver that only reads the messages it got, and believes each. When all is well again,
//! what it believes must be what is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::world::{Member, Mood, World, alert_name};
use crate::alert::life::AlertName;
use crate::alert::matcher::Matcher;
use crate::alert::route::{GroupBy, Route, RouteTree};
use crate::engine::desk::{Desk, DeskConfig, DeskInput, ReceiverPolicy};
use crate::model::signal::ResolvedBecause;
use crate::model::{Delivery, EventTime, Millis, SendReason, SourceId, Transition, WallTime};
use crate::notify::outbox::IntegrationPolicy;

const ALERTS: [&str; 6] = [
    "Slow{host=a,severity=critical}",
    "Slow{host=b,severity=critical}",
    "Slow{host=c,severity=warning}",
    "Down{host=a,severity=critical}",
    "Down{host=b,severity=info}",
    "Burst{host=a,severity=warning}",
];

const TARGETS: [&str; 4] = ["ops/slack", "ops/mail", "ops/quiet", "pager/pagerduty"];

#[derive(Clone, Debug)]
enum Act {
    Fire(usize),
    Resolve(usize),
    Pending(usize),
    Mood(usize, Mood),
    Delay(usize, i64),
    /// Of which alerts, in how many seconds, for how many.
    Silence(usize, i64, i64),
    /// One of the first silences there were.
    Expire(u128),
}

const SILENCED: [&str; 4] = ["host=a", "severity=critical", "alertname=~Slow|Burst", "host=b,alertname=Down"];

/// Seconds to wait, then what happens.
type Storm = Vec<(i64, Act)>;

pub(super) fn config() -> DeskConfig {
    paced(Millis(1_000), 2)
}

/// Slack takes one message per `slack_interval`, everyone `hands` at once.
fn paced(slack_interval: Millis, hands: usize) -> DeskConfig {
    let integration = |kind: &str, min_interval: Millis| IntegrationPolicy {
        min_interval,
        send_resolved: kind != "quiet",
        concurrency: hands,
        ..IntegrationPolicy::new(kind)
    };
    let receivers = vec![
        ReceiverPolicy {
            name: "ops".into(),
            integrations: vec![
                integration("slack", slack_interval),
                integration("mail", Millis::ZERO),
                integration("quiet", Millis::ZERO),
            ],
        },
        ReceiverPolicy { name: "pager".into(), integrations: vec![integration("pagerduty", Millis::ZERO)] },
    ];
    let by = |names: [&str; 1]| Some(GroupBy::from_names(names).expect("group_by"));
    let pager = Route {
        matchers: Matcher::parse_list(r#"severity="critical""#).expect("matchers"),
        continues: true,
        group_by: by(["..."]),
        group_wait: Some(Millis::ZERO),
        ..Route::to("pager")
    };
    let rest = Route { group_by: by(["alertname"]), ..Route::to("ops") };
    let routes = RouteTree::new(Route { routes: vec![pager, rest], ..Route::to("ops") }).expect("routes");
    DeskConfig::new(routes, receivers, "http://foghorn").expect("config")
}

fn mood() -> impl Strategy<Value = Mood> {
    let after = || prop::option::of((1..600i64).prop_map(Millis::from_secs));
    prop_oneof![
        3 => Just(Mood::Well),
        2 => after().prop_map(|after| Mood::Fails { after }),
        1 => after().prop_map(|after| Mood::Throttles { after }),
        1 => Just(Mood::Rejects),
        2 => Just(Mood::Hangs),
    ]
}

/// What rules do.
fn signal() -> impl Strategy<Value = Act> {
    let alert = 0..ALERTS.len();
    prop_oneof![
        4 => alert.clone().prop_map(Act::Fire),
        4 => alert.clone().prop_map(Act::Resolve),
        1 => alert.prop_map(Act::Pending),
    ]
}

fn act(targets: std::ops::Range<usize>) -> impl Strategy<Value = Act> {
    prop_oneof![
        9 => signal(),
        3 => (targets.clone(), mood()).prop_map(|(target, mood)| Act::Mood(target, mood)),
        1 => (targets, 1..50_000i64).prop_map(|(target, delay)| Act::Delay(target, delay)),
        2 => (0..SILENCED.len(), prop_oneof![Just(0i64), 0..600i64], 1..3_000i64)
            .prop_map(|(what, wait, length)| Act::Silence(what, wait, length)),
        1 => (1..6u128).prop_map(Act::Expire),
    ]
}

/// Seconds from nothing to hours; a storm stays well below the day for which ends are owed.
fn gap() -> impl Strategy<Value = i64> {
    prop_oneof![3 => 0..3i64, 4 => 3..120i64, 3 => 120..900i64, 1 => 900..2_400i64]
}

fn storm(targets: std::ops::Range<usize>) -> impl Strategy<Value = Storm> {
    prop::collection::vec((gap(), act(targets)), 1..32)
}

fn play(storm: &Storm, world: &mut World) {
    let mut at = world.now;
    for (gap, act) in storm {
        at = at + Millis::from_secs(*gap);
        world.advance(at);
        happen(act, world);
    }
}

fn happen(act: &Act, world: &mut World) {
    match act {
        Act::Fire(alert) => world.fire(&alert_name(ALERTS[*alert])),
        Act::Resolve(alert) => world.resolve(&alert_name(ALERTS[*alert])),
        Act::Pending(alert) => world.signal(&alert_name(ALERTS[*alert]), Transition::Pending, None),
        Act::Mood(target, mood) => world.stand_in(TARGETS[*target]).mood = mood.clone(),
        Act::Delay(target, delay) => world.stand_in(TARGETS[*target]).delay = Millis(*delay),
        Act::Silence(what, wait, length) => {
            let starts_at = world.now + Millis::from_secs(*wait);
            world.silence(SILENCED[*what], (Some(starts_at), starts_at + Millis::from_secs(*length)), None);
        }
        Act::Expire(nth) => world.expire(*nth),
    }
}

/// What happens where there are two members.
#[derive(Clone, Debug)]
enum Turn {
    Act(Act),
    /// A partition goes to a member, which may be the one that has it.
    Move(usize, Member),
    /// A member starts again, and is told that what it has is its own still.
    Restart(Member),
}

/// Partitions; alert `n` is of partition `n` modulo their number.
const HOMES: i32 = 3;

fn home(n: usize) -> SourceId {
    SourceId::new("orders", n as i32 % HOMES)
}

/// One a second at most: a rule says one thing a tick, and what was dropped is remembered by its tick.
fn turns(acts: impl Strategy<Value = Act>) -> impl Strategy<Value = Vec<(i64, Turn)>> {
    let turn = prop_oneof![
        4 => acts.prop_map(Turn::Act),
        2 => (0..HOMES as usize, 0..2usize).prop_map(|(home, to)| Turn::Move(home, to)),
        1 => (0..2usize).prop_map(Turn::Restart),
    ];
    prop::collection::vec((gap().prop_map(|gap| gap.max(1)), turn), 1..40)
}

/// Without `moving`, one member has everything all the time.
fn take_turns(turns: &[(i64, Turn)], world: &mut World, moving: bool) {
    let mut at = world.now;
    for (gap, turn) in turns {
        at = at + Millis::from_secs(*gap);
        world.advance(at);
        match turn {
            Turn::Act(act) => {
                if let Act::Fire(alert) | Act::Resolve(alert) | Act::Pending(alert) = act {
                    world.at_home(&home(*alert));
                }
                happen(act, world);
                world.away();
            }
            Turn::Move(from, to) if moving => world.move_home(&home(*from), *to),
            Turn::Restart(member) if moving => world.restart_sure(*member),
            Turn::Move(..) | Turn::Restart(_) => {}
        }
    }
}

/// What was sent for the first time, in full, in an order of its own; what was sent again.
fn firsts(world: &World) -> (Vec<String>, Vec<&Delivery>) {
    let (first, again): (Vec<_>, Vec<_>) = world.deliveries.iter().partition(|(_, delivery)| delivery.attempt == 1);
    let mut first: Vec<String> = first
        .into_iter()
        .map(|(at, Delivery { id: _, integration, notification, attempt: _, thread, perhaps_repeated })| {
            format!("{at} {integration} {notification:?} {thread:?} {perhaps_repeated}")
        })
        .collect();
    first.sort();
    (first, again.into_iter().map(|(_, delivery)| delivery).collect())
}

/// Everyone is well again, and time enough passes for silences to end and for everything that is owed.
fn heal(world: &mut World) {
    for target in TARGETS {
        let stand_in = world.stand_in(target);
        (stand_in.mood, stand_in.delay) = (Mood::Well, Millis(100));
    }
    world.advance(world.now + Millis::from_secs(4 * 3_600));
}

/// What one target was sent, and when: without the numbers, which all targets of a group share.
fn sent_to(world: &World, receiver: &str, integration: usize) -> Vec<(WallTime, SendReason, String)> {
    let to = world.deliveries.iter().filter(|(_, d)| &*d.notification.receiver == receiver);
    to.filter(|(_, d)| d.integration == integration)
        .map(|(at, d)| {
            let names: Vec<String> =
                d.notification.alerts.iter().map(|a| format!("{:?} {}", a.status, AlertName::from(a))).collect();
            (*at, d.notification.reason, names.join(", "))
        })
        .collect()
}

/// Every receiver believes exactly what is.
fn knows_what_is(world: &World) -> Result<(), TestCaseError> {
    let mut truth: BTreeMap<(Arc<str>, usize), BTreeSet<String>> = BTreeMap::new();
    for (desk, group) in world.desks().flat_map(|desk| desk.groups().map(move |group| (desk, group))) {
        for (leg, _) in group.legs.iter().enumerate() {
            let firing = group.firing.iter().map(|id| {
                let alert = desk.alerts().find(|alert| alert.id == *id).expect("what fires is known");
                format!("{} {}", group.key, AlertName::from(alert))
            });
            truth.entry((group.receiver.clone(), leg)).or_default().extend(firing);
        }
    }
    for ((receiver, integration), stand_in) in &world.stand_ins {
        let believes: BTreeSet<String> = stand_in.believes.values().flatten().cloned().collect();
        let is = truth.remove(&(receiver.clone(), *integration)).unwrap_or_default();
        match (&**receiver, integration) {
            ("ops", 2) => prop_assert!(is.is_subset(&believes), "quiet misses some of {is:?}: {believes:?}"),
            _ => prop_assert_eq!(&is, &believes, "{}/{}", receiver, integration),
        }
    }
    prop_assert!(world.desks().all(|desk| desk.counts().owed == 0));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    /// Once receivers heal, each believes exactly what is: no breach is forgotten, no end is lost.
    #[test]
    fn when_all_is_well_again_everyone_knows_what_is(storm in storm(0..TARGETS.len()), seed: u64) {
        let mut world = World::new(config(), seed);
        play(&storm, &mut world);
        heal(&mut world);
        knows_what_is(&world)?;
    }

    /// … wherever partitions went in the meantime.
    #[test]
    fn when_all_is_well_again_everyone_knows_what_is_of_partitions_that_moved(
        turns in turns(act(0..TARGETS.len())),
        seed: u64,
    ) {
        let mut world = World::new(config(), seed);
        take_turns(&turns, &mut world, true);
        heal(&mut world);
        knows_what_is(&world)?;
    }

    /// Two members say together what one says, at the same moments and under the same keys; what was under way when its
    /// partition moved is said again, and marked (`V1`).
    #[test]
    fn it_does_not_show_where_a_partition_is(turns in turns(signal()), seed: u64) {
        let free = || paced(Millis::ZERO, 100);
        let (mut one, mut two) = (World::new(free(), seed), World::new(free(), seed));
        for (world, moving) in [(&mut one, false), (&mut two, true)] {
            take_turns(&turns, world, moving);
            heal(world);
        }
        let ((of_one, none), (of_two, again)) = (firsts(&one), firsts(&two));
        prop_assert_eq!(of_one, of_two);
        prop_assert!(none.is_empty(), "{:?}", none);
        prop_assert!(again.iter().all(|delivery| delivery.perhaps_repeated), "{:?}", again);
    }

    /// Whatever was tried is told in the end, if only as something that is over.
    #[test]
    fn what_was_tried_is_told_in_the_end(storm in storm(0..TARGETS.len()), seed: u64) {
        let mut world = World::new(config(), seed);
        play(&storm, &mut world);
        heal(&mut world);
        let mut tried = BTreeSet::new();
        let mut told = BTreeSet::new();
        for (_, delivery) in &world.deliveries {
            let note = &delivery.notification;
            let stand_in = &world.stand_ins[&(note.receiver.clone(), delivery.integration)];
            if note.receiver.starts_with("ops") && delivery.integration == 2 {
                continue;
            }
            for alert in &note.alerts {
                let about = (note.dedup_key(), delivery.integration, AlertName::from(alert));
                if stand_in.accepted.contains(&note.idempotency_key()) {
                    told.insert(about.clone());
                }
                tried.insert(about);
            }
        }
        prop_assert!(tried.is_subset(&told), "{:?}", tried.difference(&told).collect::<Vec<_>>());
    }

    /// A receiver that answers in time never gets the same thing twice.
    #[test]
    fn nothing_arrives_twice_under_one_key(storm in storm(0..TARGETS.len()), seed: u64) {
        let mut world = World::new(config(), seed);
        play(&storm, &mut world);
        heal(&mut world);
        for ((receiver, integration), stand_in) in &world.stand_ins {
            let keys: BTreeSet<&String> = stand_in.accepted.iter().collect();
            prop_assert_eq!(keys.len(), stand_in.accepted.len(), "{}/{}", receiver, integration);
        }
    }

    /// Slack hangs for good, and the others are sent the same at the same times, to the millisecond, moods and all.
    #[test]
    fn a_receiver_that_hangs_delays_no_other(storm in storm(1..TARGETS.len()), seed: u64) {
        let mut well = World::new(config(), seed);
        let mut hung = World::new(config(), seed);
        hung.stand_in("ops/slack").mood = Mood::Hangs;
        for world in [&mut well, &mut hung] {
            play(&storm, world);
            world.advance(world.now + Millis::from_secs(3_600));
        }
        for (receiver, integration) in [("ops", 1), ("ops", 2), ("pager", 0)] {
            prop_assert_eq!(sent_to(&well, receiver, integration), sent_to(&hung, receiver, integration));
        }
    }

    /// A desk that is cut and gone on from, between any two inputs, sends what it would have sent, silences and all.
    #[test]
    fn a_desk_that_was_kept_goes_on_as_if_it_had_not_been(storm in storm(0..TARGETS.len()), seed: u64, at: prop::sample::Index) {
        let (before, after) = storm.split_at(at.index(storm.len()));
        let (mut whole, mut kept) = (World::new(config(), seed), World::new(config(), seed));
        for world in [&mut whole, &mut kept] {
            play(&before.to_vec(), world);
        }
        drop(whole.desk.cut()); // from a cut on, what is forgotten is remembered: by both of them
        let bytes = rmp_serde::to_vec_named(&kept.desk.cut()).expect("a cut is plain data");
        kept.desk = Desk::new(config(), seed);
        kept.desk.restore(rmp_serde::from_slice(&bytes).expect("it reads back"), &mut Vec::new());
        for world in [&mut whole, &mut kept] {
            play(&after.to_vec(), world);
            heal(world);
        }
        prop_assert_eq!(whole.transcript.json_lines(), kept.transcript.json_lines());
    }

    /// The same inputs give the same journal; another seed moves retries and nothing else.
    #[test]
    fn the_same_inputs_give_the_same_journal(storm in storm(0..TARGETS.len()), seed: u64) {
        let run = |seed| {
            let mut world = World::new(config(), seed);
            play(&storm, &mut world);
            heal(&mut world);
            (world.desk.journal().hash(), world.transcript.json_lines())
        };
        prop_assert_eq!(run(seed), run(seed));
    }

    /// It does not matter in which order, or in how many pieces, the signals of one instant come (`K1`).
    #[test]
    fn the_signals_of_one_instant_have_no_order(
        instants in prop::collection::vec(
            (prop_oneof![0..20i64, 20..700i64], prop::collection::btree_map(0..ALERTS.len(), any::<bool>(), 1..5)),
            1..16,
        ),
        turn in any::<prop::sample::Index>(),
    ) {
        let mut whole = World::new(config(), 1);
        let mut pieces = World::new(config(), 2);
        let mut at = WallTime(0);
        for (gap, signals) in instants {
            at = at + Millis::from_secs(gap);
            let mut batches = Vec::new();
            for world in [&mut whole, &mut pieces] {
                world.advance(at);
                let batch: Vec<_> = signals
                    .iter()
                    .map(|(alert, fires)| {
                        let transition = match fires {
                            true => Transition::Firing,
                            false => Transition::Resolved(ResolvedBecause::Normal),
                        };
                        let fired_at = fires.then_some(EventTime(at.0));
                        world.signal_now(&alert_name(ALERTS[*alert]), transition, fired_at)
                    })
                    .collect();
                batches.push(batch);
            }
            let mut batch = batches.pop().expect("two worlds");
            whole.handle(DeskInput::Signals(batches.pop().expect("two worlds")));
            let middle = turn.index(batch.len());
            batch.rotate_left(middle);
            batch.reverse();
            for signal in batch {
                pieces.handle(DeskInput::Signals(vec![signal]));
            }
        }
        for world in [&mut whole, &mut pieces] {
            world.advance(at + Millis::from_secs(3_600));
        }
        prop_assert_eq!(whole.transcript.json_lines(), pieces.transcript.json_lines());
    }
}
