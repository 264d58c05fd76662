//! What a partition says where all rules are local: the same, whoever reads it, beside whatever else, however often it
//! moves (`E1`, `E2`).

use std::collections::BTreeMap;
use std::sync::Arc;

use expect_test::expect;
use foghorn::alert::route::{Route, RouteTree};
use foghorn::checkpoint::holdings::Holdings;
use foghorn::checkpoint::parcel::Parcel;
use foghorn::checkpoint::{self, Checkpoint, Head};
use foghorn::config::load::load_rules_from_text;
use foghorn::engine::cells::{Cells, Said};
use foghorn::engine::desk::{Desk, DeskConfig, DeskInput, ReceiverPolicy};
use foghorn::engine::heard;
use foghorn::engine::plan::Plan;
use foghorn::engine::shard::{ShardInput, ShardOutput};
use foghorn::engine::state::{CellCut, CellStart, ShardCut};
use foghorn::model::batch::RawBatchBuilder;
use foghorn::model::position::SourceId;
use foghorn::model::{EventTime, Refusal, Signal, Transition, WallTime};
use foghorn::notify::outbox::IntegrationPolicy;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const RULES: &str = r#"
streams:
  orders:
    topics: orders
    format: json
    time: { field: ts, format: epoch_ms }
    lateness: 5s
    future_max: 100y
    fields: { shop: string, ok: bool, took: float }
groups:
  - name: local
    interval: 5s
    rules:
      - alert: Failing
        from: orders
        by: [shop]
        window: 30s
        let:
          failed: count(*) FILTER (WHERE NOT ok)
          p90: p90(took)
          before: { expr: count(*), window: 20s, offset: 40s }
        when: failed > 4 && p90 > 10 && before > 0
        for: 10s
        keep_firing_for: 10s
        local: true
      - alert: Slow
        from: orders
        where: ok
        by: [shop]
        every: 10s
        window: 20s
        let: { mean: avg(took), total: count(*) }
        when: mean > 60 && total > 3
        annotations: { summary: "{{ $labels.shop }} {{ $value }} of {{ $values.total }}" }
        local: true
      - alert: Gone
        from: orders
        by: [shop]
        absent: 35s
        local: true
"#;

const PARTITIONS: usize = 3;

fn source(partition: usize) -> SourceId {
    SourceId::new("orders", partition as i32)
}

fn plan(rules: &str) -> Arc<Plan> {
    let loaded = load_rules_from_text("local.yaml", rules);
    assert!(loaded.is_valid(), "{}", loaded.diagnostics.render(false));
    let schemas: Vec<_> = loaded.streams.iter().map(|stream| stream.schema.clone()).collect();
    let plan = Arc::new(Plan::build(&schemas, &loaded.rules.rules));
    assert!(plan.is_local());
    plan
}

/// Five minutes of records of each partition. Shops fail, fall silent and come back; some events are late, a few too late.
fn records(rng: &mut StdRng) -> Vec<Vec<String>> {
    let partition = |partition: usize, rng: &mut StdRng| {
        let mut now = 1_767_225_600_000_i64 + rng.random_range(0..5_000);
        let start = now;
        let mut out = Vec::new();
        while now < start + 300_000 {
            now += if rng.random_bool(0.003) { rng.random_range(0..40_000) } else { rng.random_range(50..1_500) };
            let second = (now - start) / 1_000;
            let shop = rng.random_range(0..3);
            if shop == 2 && (120..200).contains(&second) {
                continue;
            }
            let bad = shop == 1 && (60 + 20 * partition as i64..150).contains(&second);
            let late = if rng.random_bool(0.2) { rng.random_range(0..9_000) } else { 0 };
            let ok = !rng.random_bool(if bad { 0.7 } else { 0.05 });
            let took = f64::from(rng.random_range(0..if bad { 900 } else { 1_200 })) / 10.0;
            let at = now - late;
            out.push(format!(r#"{{"ts":{at},"shop":"{partition}-{shop}","ok":{ok},"took":{took}}}"#));
        }
        out
    };
    (0..PARTITIONS).map(|number| partition(number, rng)).collect()
}

/// One member's cells, and what they said.
struct Member {
    cells: Cells,
    said: Vec<Said>,
}

impl Member {
    fn new(plan: &Arc<Plan>) -> Member {
        Member { cells: Cells::new(plan.clone(), 0).expect("it decodes").with_cuts(), said: Vec::new() }
    }

    fn handle(&mut self, input: ShardInput) {
        self.cells.handle(input, &mut self.said);
    }

    /// Takes a partition over and says where its reading begins.
    fn take(&mut self, partition: usize, tenure: u64, left: Option<&CellCut>) -> usize {
        self.cells.adopt(source(partition), tenure, left, &mut self.said).expect("it was just cut");
        self.handle(ShardInput::Assigned(vec![(0, source(partition))]));
        let at = self.cells.positions().find(|position| position.source == source(partition));
        at.map_or(0, |position| position.offset as usize)
    }

    /// Records of several partitions in one batch: (partition, from, to).
    fn read(&mut self, records: &[Vec<String>], runs: &[(usize, usize, usize)]) {
        let mut batch = RawBatchBuilder::default();
        for (partition, from, to) in runs {
            let index = batch.source(&"orders".into(), *partition as i32);
            for (at, record) in records[*partition][*from..*to].iter().enumerate() {
                batch.push(index, (from + at) as i64, -1, record.as_bytes());
            }
        }
        if !batch.is_empty() {
            self.handle(ShardInput::Records { stream: 0, batch: batch.finish() });
        }
    }

    fn leave(&mut self, partition: usize) -> CellCut {
        let left = self.cells.leave(&source(partition), &mut self.said).expect("it is here");
        through_bytes(vec![left.0]).into_iter().map(CellCut).next().expect("as many as before")
    }

    fn cuts(&mut self, ask: ShardInput) -> Vec<ShardCut> {
        self.handle(ask);
        let states = self.said.extract_if(.., |said| matches!(said, Said::Cut { .. })).find_map(|said| match said {
            Said::Cut { states, .. } => Some(states),
            _ => None,
        });
        through_bytes(states.expect("it was asked for"))
    }

    /// The process ends and another one goes on from its checkpoint.
    fn crash(&mut self, plan: &Arc<Plan>, number: u64, owned: &[usize]) {
        let states = self.cuts(ShardInput::Cut(number));
        self.cells = Cells::new(plan.clone(), 0).expect("it decodes").with_cuts();
        self.cells.restore(states.iter(), &mut self.said).expect("panes are whole");
        self.handle(ShardInput::Assigned(owned.iter().map(|partition| (0, source(*partition))).collect()));
    }

    fn signals(&mut self, into: &mut BTreeMap<SourceId, Vec<String>>) {
        for said in std::mem::take(&mut self.said) {
            if let Said::Shard(ShardOutput::Signal(signal)) = said {
                let home = signal.home.as_deref().cloned().expect("a cell's signals have a home");
                into.entry(home).or_default().push(line(&signal));
            }
        }
    }
}

fn desk() -> DeskConfig {
    let receiver = ReceiverPolicy { name: "people".into(), integrations: vec![IntegrationPolicy::new("console")] };
    let tree = RouteTree::new(Route::to("people")).expect("a tree");
    DeskConfig::new(tree, vec![receiver], "http://foghorn").expect("a desk")
}

/// As a checkpoint file holds it.
fn through_bytes(shards: Vec<ShardCut>) -> Vec<ShardCut> {
    let head =
        Head { number: 1, taken_at: WallTime(0), program: "a test".into(), clean: false, desk_meaning: 0, seed: 0 };
    let mut bytes = Vec::new();
    checkpoint::write(&Checkpoint { head, shards, desk: Desk::new(desk(), 0).cut() }, &mut bytes)
        .expect("it is written");
    checkpoint::read(&bytes[..]).expect("it is whole").shards
}

fn line(signal: &Signal) -> String {
    let Signal { rule, labels, transition, at, active_since, fired_at, annotations, value, evidence, .. } = signal;
    format!(
        "{at:?} {rule} {labels} {transition:?} {active_since:?} {fired_at:?} {annotations:?} {value:?} {:?}",
        evidence.values
    )
}

/// The slow and obvious one: each partition by itself, record by record, never moved.
fn oracle(plan: &Arc<Plan>, records: &[Vec<String>]) -> BTreeMap<SourceId, Vec<String>> {
    let mut signals = BTreeMap::new();
    for (partition, list) in records.iter().enumerate() {
        let mut alone = Member::new(plan);
        alone.take(partition, 1, None);
        (0..list.len()).for_each(|at| alone.read(records, &[(partition, at, at + 1)]));
        alone.handle(ShardInput::Ended(source(partition)));
        alone.signals(&mut signals);
    }
    signals
}

/// Three members; partitions move between them at random, and a member crashes now and then.
fn moved(
    plan: &Arc<Plan>,
    records: &[Vec<String>],
    rng: &mut StdRng,
) -> (BTreeMap<SourceId, Vec<String>>, usize, usize) {
    let mut members: Vec<Member> = (0..3).map(|_| Member::new(plan)).collect();
    let mut owner: Vec<usize> = (0..PARTITIONS).map(|_| rng.random_range(0..3)).collect();
    let mut next = [0; PARTITIONS];
    let mut tenure = [1; PARTITIONS];
    for (partition, owner) in owner.iter().enumerate() {
        members[*owner].take(partition, 1, None);
    }
    let (mut moves, mut again, mut cuts) = (0, 0, 0);
    while (0..PARTITIONS).any(|partition| next[partition] < records[partition].len()) {
        let member = rng.random_range(0..3);
        let mine: Vec<usize> = (0..PARTITIONS).filter(|partition| owner[*partition] == member).collect();
        if !mine.is_empty() && rng.random_bool(0.2) {
            let partition = mine[rng.random_range(0..mine.len())];
            let left = members[member].leave(partition);
            tenure[partition] += 1;
            owner[partition] = rng.random_range(0..3);
            let from = members[owner[partition]].take(partition, tenure[partition], Some(&left));
            assert!(from <= next[partition], "nothing may be passed over");
            again += next[partition] - from;
            next[partition] = from;
            moves += 1;
        } else if rng.random_bool(0.02) {
            cuts += 1;
            members[member].crash(plan, cuts, &mine);
        } else {
            let runs: Vec<(usize, usize, usize)> = mine
                .iter()
                .map(|partition| {
                    let to = (next[*partition] + rng.random_range(0..60)).min(records[*partition].len());
                    (*partition, std::mem::replace(&mut next[*partition], to), to)
                })
                .collect();
            members[member].read(records, &runs);
        }
    }
    (0..PARTITIONS).for_each(|partition| members[owner[partition]].handle(ShardInput::Ended(source(partition))));
    let mut signals = BTreeMap::new();
    members.iter_mut().for_each(|member| member.signals(&mut signals));
    signals.values_mut().for_each(|list| list.sort());
    (signals, moves, again)
}

#[test]
fn a_partition_says_the_same_however_often_it_moves() {
    let plan = plan(RULES);
    let (mut moves, mut said, mut again) = (0, 0, 0);
    for seed in 0..24 {
        let mut rng = StdRng::seed_from_u64(seed);
        let records = records(&mut rng);
        let mut expected = oracle(&plan, &records);
        expected.values_mut().for_each(|list| list.sort());
        let (signals, moved, reread) = moved(&plan, &records, &mut rng);
        for (home, expected) in &expected {
            let differs = expected.iter().zip(&signals[home]).position(|(one, other)| one != other);
            let near = differs.map(|at| (&expected[at], &signals[home][at]));
            assert_eq!(expected.len(), signals[home].len(), "seed {seed}, {home}: {near:#?}");
            assert_eq!(near, None, "seed {seed}, {home}");
        }
        moves += moved;
        again += reread;
        said += expected.values().map(Vec::len).sum::<usize>();
    }
    assert!(moves > 100 && said > 1_000 && again > 1_000, "{moves} moves, {said} signals, {again} records read again");
}

/// A partition arrives, a checkpoint is taken before it is read again, and the process dies. Its desk has heard of a shop that
/// the checkpoint does not know: it was quiet while the partition moved, and then it was gone.
#[test]
fn what_was_heard_of_a_partition_that_was_read_again_changes_nothing_that_is_said_of_it() {
    let plan = plan(RULES);
    let records = vec![falls_silent()];
    let mut expected = oracle(&plan, &records).remove(&source(0)).expect("it says something");
    expected.sort();
    let mut unknown = 0;
    for moved_at in (1..records[0].len()).step_by(4) {
        for killed_at in [5, 20, 60].map(|later| (moved_at + later).min(records[0].len())) {
            let (mut said, met) = heard_and_killed(&plan, &records, moved_at, killed_at);
            said.sort();
            let differs = expected.iter().zip(&said).find(|(one, other)| one != other);
            assert_eq!((differs, said.len()), (None, expected.len()), "moved at {moved_at}, killed at {killed_at}");
            unknown += met;
        }
    }
    assert!(unknown > 20, "{unknown} groups were not known to a checkpoint");
}

/// One shop sells all the time; another is silent from the sixtieth second on, and comes back.
fn falls_silent() -> Vec<String> {
    let record = |second: i64, shop: &str| {
        let at = 1_767_225_600_000 + second * 1_000;
        format!(r#"{{"ts":{at},"shop":"{shop}","ok":true,"took":20}}"#)
    };
    let second = |second: i64| {
        let web = (!(60..140).contains(&second)).then(|| record(second, "web"));
        web.into_iter().chain([record(second, "cart")])
    };
    (0..200).flat_map(second).collect()
}

/// A shop falls silent, its partition moves, and the log has lost everything that it ever said. Who has the partition now knows
/// of it all the same, and says that it is gone; as late as it takes to be sure that it was not among what is lost.
#[test]
fn who_fell_silent_before_a_partition_moved_is_missed_although_the_log_holds_nothing_of_it() {
    let plan = plan(RULES);
    let records = vec![falls_silent()];
    let (quiet_from, moved_at) = (120, 140); // two records a second until then
    let (mut first, mut second) = (Member::new(&plan), Member::new(&plan));
    first.take(0, 1, None);
    first.read(&records, &[(0, 0, moved_at)]);
    let left = first.leave(0);
    let from = second.take(0, 2, Some(&left));
    let lost = Some((quiet_from - from) as u64);
    second.handle(ShardInput::Gap { source: source(0), lost });
    second.read(&records, &[(0, quiet_from, records[0].len())]);
    second.handle(ShardInput::Ended(source(0)));
    let gone = |signal: &Signal| &*signal.rule.name == "Gone" && signal.transition != Transition::Refreshed;
    let told: Vec<String> = signals(second.said).iter().filter(|signal| gone(signal)).map(line).collect();
    expect![[r#"
        EventTime(1767225700000) Gone (local.yaml:36) {alertname="Gone", shop="web"} Firing EventTime(1767225700000) Some(EventTime(1767225700000)) [] None []
        EventTime(1767225745000) Gone (local.yaml:36) {alertname="Gone", shop="web"} Resolved(SeenAgain) EventTime(1767225700000) Some(EventTime(1767225700000)) [] None []"#]].assert_eq(&told.join("\n"));
}

/// A shop is gone and back; the owner of its partition dies after it told the former, and the log loses what came until after
/// the latter began. The cell in the parcel is of a checkpoint before all that; the desk's part knows.
#[test]
fn what_was_told_after_the_last_checkpoint_is_ended_by_who_takes_over_although_the_log_lost_it() {
    let plan = plan(RULES);
    let records = vec![falls_silent()];
    let (saved_at, told_at, kept_from) = (140, 170, 210); // seconds 80, 110 and 145
    let mut first = Member::new(&plan);
    first.take(0, 1, None);
    first.read(&records, &[(0, 0, saved_at)]);
    let shard = CellCut::of(&first.cuts(ShardInput::Cut(1)).remove(0));
    first.read(&records, &[(0, saved_at, told_at)]);
    let mut desk = Desk::new(desk(), 0);
    desk.handle(WallTime(0), DeskInput::Signals(signals(first.said)), &mut Vec::new());
    let home = source(0);
    let (member, taken_at, part) = ("first".into(), WallTime(0), desk.home_cut(&home));
    let parcel = Parcel { source: home.clone(), member, number: 1, taken_at, shard, desk: part };

    let mut held = Holdings::default();
    let arrival = held.find_out("second", &home, Some(parcel), WallTime::MIN, &plan);
    let (tenure, left) = arrival.taken_over().expect("nobody here had it");
    let mut second = Member::new(&plan);
    let from = second.take(0, tenure, left);
    second.handle(ShardInput::Gap { source: home.clone(), lost: Some((kept_from - from) as u64) });
    second.read(&records, &[(0, kept_from, records[0].len())]);
    second.handle(ShardInput::Ended(home));
    desk.handle(WallTime(0), DeskInput::Signals(signals(second.said)), &mut Vec::new());
    let lives: Vec<String> = desk.alerts().map(|alert| format!("{} {:?}", alert.labels, alert.life)).collect();
    expect![[r#"{alertname="Gone", shop="web"} Resolved { since: EventTime(1767225695000), fired_at: EventTime(1767225695000), ended_at: EventTime(1767225750000), because: SeenAgain }"#]].assert_eq(&lives.join("\n"));
}

/// What is said of a partition that moves at one place and whose new owner is killed at another; how many groups its
/// checkpoint did not know of which its desk had heard.
fn heard_and_killed(
    plan: &Arc<Plan>,
    records: &[Vec<String>],
    moved_at: usize,
    killed_at: usize,
) -> (Vec<String>, usize) {
    let (mut first, mut second, mut third) = (Member::new(plan), Member::new(plan), Member::new(plan));
    first.take(0, 1, None);
    first.read(records, &[(0, 0, moved_at)]);
    let mut left = first.leave(0);
    left.leave_quiet(); // as in a parcel that has no room for more
    let from = second.take(0, 2, Some(&left));
    let mut cuts = second.cuts(ShardInput::Cut(1));
    second.read(records, &[(0, from, killed_at)]);

    let heard: Vec<Signal> = [first, second].into_iter().flat_map(|member| signals(member.said)).collect();
    let mut desk = Desk::new(desk(), 0);
    desk.handle(WallTime(0), DeskInput::Signals(heard.clone()), &mut Vec::new());
    let known = groups(&cuts);
    heard::bring_in(&mut cuts, plan, desk.alerts());
    let unknown = groups(&cuts) - known;

    third.cells.restore(cuts.iter(), &mut third.said).expect("panes are whole");
    third.handle(ShardInput::Assigned(vec![(0, source(0))]));
    third.read(records, &[(0, from, records[0].len())]);
    third.handle(ShardInput::Ended(source(0)));
    let last: BTreeMap<_, _> = heard.iter().map(|signal| (alert(signal), signal.at)).collect();
    let is_news = |signal: &Signal| last.get(&alert(signal)).is_none_or(|last| signal.at > *last);
    let news = signals(third.said).into_iter().filter(is_news);
    (heard.iter().cloned().chain(news).map(|signal| line(&signal)).collect(), unknown)
}

fn signals(said: Vec<Said>) -> Vec<Signal> {
    let signal = |said| match said {
        Said::Shard(ShardOutput::Signal(signal)) => Some(signal),
        _ => None,
    };
    said.into_iter().filter_map(signal).collect()
}

fn alert(signal: &Signal) -> (Arc<str>, String) {
    (signal.rule.name.clone(), signal.labels.to_string())
}

/// How many groups cuts know.
fn groups(cuts: &[ShardCut]) -> usize {
    cuts.iter().flat_map(|cut| &cut.feeds).map(|feed| feed.groups.gids.len()).sum()
}

/// An alert and when it fired and ended, with the numbers of its end.
type Firing = (String, i64, i64, String);

/// What of a partition fires after a tick, and of what fires then, what is left of it. That a shop is gone is not known of
/// those that were gone before: who begins has never seen them.
fn firing(said: Vec<Said>, after: i64) -> Vec<Firing> {
    let mut began: BTreeMap<String, i64> = BTreeMap::new();
    let mut all = Vec::new();
    for said in said {
        let Said::Shard(ShardOutput::Signal(signal)) = said else { continue };
        let alert = format!("{} {}", signal.rule.name, signal.labels);
        let every = if &*signal.rule.name == "Slow" { 10_000 } else { 5_000 };
        let first = (after.div_euclid(every) + 1) * every;
        match signal.transition {
            Transition::Firing => drop(began.insert(alert, signal.at.0)),
            Transition::Resolved(_) => {
                let from = began.remove(&alert).expect("what ends has fired").max(first);
                let seen = &*signal.rule.name != "Gone" || from > first;
                let ended = (alert, from, signal.at.0, format!("{:?}", signal.evidence.values));
                all.extend((signal.at.0 > first && seen).then_some(ended));
            }
            _ => {}
        }
    }
    all.sort();
    all
}

/// The member of a partition is gone with everything that it knew but the committed offset.
#[test]
fn a_partition_that_begins_within_its_log_goes_on_as_if_it_had_been_read_from_its_beginning() {
    let plan = plan(&RULES.replace("        for: 10s\n        keep_firing_for: 10s\n", ""));
    let (mut compared, mut filled) = (0, 0);
    for seed in 0..48 {
        let mut rng = StdRng::seed_from_u64(seed);
        let records = records(&mut rng);
        let list = &records[0];
        let start = rng.random_range(1..list.len());
        let newest = newest(&list[..start]);
        let needed = newest - plan.look_back(0).0;
        let from = (0..start).rfind(|at| self::newest(&list[..*at + 1]) < needed).unwrap_or(0);

        let mut alone = Member::new(&plan);
        alone.take(0, 1, None);
        alone.read(&records, &[(0, 0, list.len())]);
        alone.handle(ShardInput::Ended(source(0)));
        let expected = firing(alone.said, newest - 5_000);

        let mut member = Member::new(&plan);
        let place = CellStart { read_from: from as i64, judged_from: start as i64 };
        let mut left = CellCut::begun(&source(0), ["orders".into()], place);
        let mut next = member.take(0, 1, Some(&left));
        assert_eq!(next, from);
        while next < list.len() {
            let to = (next + rng.random_range(1..60)).min(list.len());
            member.read(&records, &[(0, next, to)]);
            next = to;
            if rng.random_bool(0.1) {
                left = member.leave(0);
                next = member.take(0, 2, Some(&left)); // somebody's, and be it our own
            } else if rng.random_bool(0.1) {
                member.crash(&plan, to as u64, &[0]);
            }
        }
        member.handle(ShardInput::Ended(source(0)));
        for said in &member.said {
            let Said::Shard(ShardOutput::Signal(signal)) = said else { continue };
            assert!(signal.at.0 > newest - 10_000 - 5_000, "seed {seed}: {} was judged before", signal.at);
        }
        assert_eq!(firing(member.said, newest - 5_000), expected, "seed {seed}, {from}..{start} of {}", list.len());
        compared += expected.len();
        filled += start - from;
    }
    assert!(compared > 300 && filled > 1_000, "{compared} firings, {filled} records for windows alone");
}

/// … or, where it could not be read from further back, knows nothing until windows are covered.
#[test]
fn a_partition_that_begins_in_the_midst_of_its_log_is_unknown_until_its_windows_are_covered() {
    let plan = plan(RULES);
    let mut said = 0;
    for seed in 0..16 {
        let mut rng = StdRng::seed_from_u64(seed);
        let records = records(&mut rng);
        let start = rng.random_range(1..records[0].len());
        let mut member = Member::new(&plan);
        let place = CellStart { read_from: start as i64, judged_from: start as i64 };
        member.take(0, 1, Some(&CellCut::begun(&source(0), ["orders".into()], place)));
        member.read(&records, &[(0, start, records[0].len())]);
        member.handle(ShardInput::Ended(source(0)));
        for signal in member.said.iter().filter_map(Said::of_shard) {
            let ShardOutput::Signal(Signal { rule, at, .. }) = signal else { continue };
            let reach = BTreeMap::from([("Failing", 60_000), ("Slow", 20_000), ("Gone", 35_000)])[&*rule.name];
            let first = newest(&records[0][start..=start]);
            assert!(
                at.0 - reach >= first + 5_000,
                "seed {seed}: {rule} spoke at {at}, and events are seen from {first}"
            );
            said += 1;
        }
    }
    assert!(said > 100, "{said} signals");
}

/// The newest event among records.
fn newest(records: &[String]) -> i64 {
    let at = |record: &String| record["{\"ts\":".len()..].split(',').next().and_then(|at| at.parse().ok());
    records.iter().filter_map(at).max().unwrap_or(i64::MIN)
}

/// A partition is taken over between two looks at the clock, and the first of its events is of tomorrow: it must not move
/// the partition's time there.
#[test]
fn a_partition_that_arrives_knows_what_time_it_is() {
    let plan = plan(&RULES.replace("future_max: 100y", "future_max: 1m"));
    let now = 1_767_225_600_000;
    let mut member = Member::new(&plan);
    member.handle(ShardInput::Wall(WallTime(now)));
    member.take(0, 1, None);
    let event = |at: i64| format!(r#"{{"ts":{at},"shop":"0-0","ok":true,"took":1.5}}"#);
    member.read(&[vec![event(now + 86_400_000), event(now)]], &[(0, 0, 2)]);
    let stream = &member.cells.status().streams[0];
    assert_eq!(stream.refused.get(Refusal::Future), 1);
    assert_eq!(stream.watermark, Some(EventTime(now - 5_000)));
}

/// Of partitions that went the counters stay. Under rules that were edited since, those of streams do; feeds and rules are
/// others, and are not to be shown under their predecessors' names, or not at all.
#[test]
fn what_was_counted_of_partitions_that_went_is_counted_under_other_rules() {
    let records = records(&mut StdRng::seed_from_u64(1));
    let (before, after) = RULES.split_once("      - alert: Slow").expect("a rule of its own feed");
    let fewer = format!("{before}{}", after.split_at(after.find("      - alert: Gone").expect("one after it")).1);
    let (all, fewer) = (plan(RULES), plan(&fewer));
    for (old, new) in [(&all, &fewer), (&fewer, &all)] {
        let mut member = Member::new(old);
        member.take(0, 1, None);
        member.take(1, 1, None);
        member.read(&records, &[(0, 0, 50), (1, 0, 40)]);
        member.leave(0);
        let cuts = member.cuts(ShardInput::LastCut(1));
        let mut next = Member::new(new);
        next.cells.restore(cuts.iter(), &mut next.said).expect("they were just cut");
        next.cells.succeed(&member.cells, &mut next.said);
        next.read(&records, &[(1, 40, 60)]);
        let status = next.cells.status();
        assert_eq!(status.streams[0].records, 110);
        assert_eq!(status.streams[0].feeds.iter().map(|feed| feed.rows).collect::<Vec<_>>(), vec![20; new.feeds.len()]);
        assert_eq!(status.rules.len(), new.feeds.iter().map(|feed| feed.rules.len()).sum::<usize>());
    }
}

/// The clock was an hour fast as the process started, and was put right: what it restored and does not get is not kept, and
/// shown as firing, for that hour.
#[test]
fn a_partition_that_nobody_claims_is_given_up_although_the_clock_went_back() {
    let plan = plan(RULES);
    let mut member = Member::new(&plan);
    member.take(0, 1, None);
    member.crash(&plan, 1, &[]);
    let now = 1_767_225_600_000;
    member.handle(ShardInput::Wall(WallTime(now + 3_600_000)));
    member.handle(ShardInput::Wall(WallTime(now)));
    assert_eq!(member.cells.tenure(&source(0)), Some(1));
    member.handle(ShardInput::Wall(WallTime(now + 60_000)));
    assert_eq!(member.cells.tenure(&source(0)), None);
}
