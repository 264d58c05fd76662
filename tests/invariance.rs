//! What is said depends on the events alone: not on batch sizes, shards, or how partitions interleave (design D1). And
//! what is said is true: every number in an alert's evidence equals what a slow, obvious count over all events gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn::alert::route::{GroupBy, Route, RouteTree};
use foghorn::checkpoint::{self, Checkpoint, Head};
use foghorn::config::load::load_rules_from_text;
use foghorn::engine::desk::{DeskConfig, ReceiverPolicy};
use foghorn::engine::local::{Happening, Local};
use foghorn::engine::plan::Plan;
use foghorn::engine::shard::positions;
use foghorn::engine::transcript::Paint;
use foghorn::model::batch::RawBatchBuilder;
use foghorn::model::position::SourceId;
use foghorn::model::time::Millis;
use foghorn::model::{EventTime, Signal, Transition, WallTime};
use foghorn::notify::outbox::IntegrationPolicy;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

const RULES: &str = r#"
streams:
  requests:
    topics: requests
    format: json
    time: { field: ts, format: epoch_ms }
    lateness: 5s
    future_max: 100y
    exemplar: trace
    fields: { service: string, status: int, latency_ms: float, ip: string, trace: string }
groups:
  - name: all
    interval: 5s
    rules:
      - alert: Everything
        from: requests
        by: [service]
        window: 30s
        let:
          total: count(*)
          errors: count(*) FILTER (WHERE status >= 500)
          known: count(latency_ms)
          p50: p50(latency_ms)
          p99: p99(latency_ms)
          mean: avg(latency_ms)
          volume: sum(latency_ms)
          spread: stddev(latency_ms)
          least: min(latency_ms)
          most: max(latency_ms)
          clients: distinct(ip)
          top: topk(ip, 3)
          earlier: { expr: count(*), window: 20s, offset: 30s }
          short: { expr: rate(*), window: 10s }
        when: errors / total > 0.3 && total >= 10
        for: 10s
        keep_firing_for: 10s
        labels: { severity: critical }
        annotations: { summary: "{{ $labels.service }} {{ $value }} of {{ $values.total }}" }
      - alert: Slow
        from: requests
        where: status < 500 OR service = 'cart'
        by: [service]
        window: 20s
        let: { p95: p95(latency_ms), total: count(*) }
        when: p95 > 400 && total > 5
        labels: { severity: warning }
      - alert: Gone
        from: requests
        by: [service]
        window: 10s
        absent: 40s
        labels: { severity: info }
"#;

/// One event as it happened.
#[derive(Clone, Debug)]
struct Event {
    at: i64,
    service: &'static str,
    status: i64,
    latency: Option<f64>,
    ip: String,
    record: String,
}

const START: i64 = 1_767_225_600_000;
const PARTITIONS: usize = 4;

/// Five minutes of four partitions in arrival order; each is late by less than the stream's lateness, and a few events
/// by more.
fn world(seed: u64) -> Vec<Vec<Event>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let services = ["cart", "web", "search", "login"];
    let mut partitions = vec![Vec::new(); PARTITIONS];
    for partition in &mut partitions {
        let mut now = START + rng.random_range(0..3_000);
        while now < START + 300_000 {
            now += rng.random_range(20..700);
            let service = services[rng.random_range(0..services.len())];
            let second = (now - START) / 1_000;
            if service == "login" && (100..190).contains(&second) {
                continue; // it falls silent
            }
            let bad = service == "cart" && (60..130).contains(&second);
            let late = match rng.random_range(0..100) {
                0 => rng.random_range(15_000..40_000),
                1..30 => rng.random_range(0..4_900),
                _ => 0,
            };
            let status = if rng.random_bool(if bad { 0.6 } else { 0.02 }) { 503 } else { 200 };
            let latency = rng.random_bool(0.95).then(|| {
                let base: f64 = rng.random::<f64>() * if bad { 900.0 } else { 200.0 };
                (base * 1_000.0).round() / 1_000.0
            });
            let ip = format!("10.0.0.{}", rng.random_range(0..12) * rng.random_range(0..3));
            let at = now - late;
            let shown = latency.map_or("null".to_owned(), |l| l.to_string());
            let trace: u32 = rng.random();
            let record = format!(
                r#"{{"ts":{at},"service":"{service}","status":{status},"latency_ms":{shown},"ip":"{ip}","trace":"{trace:08x}"}}"#
            );
            partition.push(Event { at, service, status, latency, ip, record });
        }
    }
    partitions
}

fn desk() -> DeskConfig {
    let route = Route { group_by: Some(GroupBy::from_names(["alertname"]).expect("a name")), ..Route::to("people") };
    let receiver = ReceiverPolicy { name: "people".into(), integrations: vec![IntegrationPolicy::new("console")] };
    DeskConfig::new(RouteTree::new(route).expect("a tree"), vec![receiver], "http://foghorn").expect("a desk")
}

fn plan() -> Arc<Plan> {
    plan_of(RULES)
}

fn plan_of(rules: &str) -> Arc<Plan> {
    let loaded = load_rules_from_text("all.yaml", rules);
    assert!(loaded.is_valid(), "{}", loaded.diagnostics.render(false));
    let schemas: Vec<_> = loaded.streams.iter().map(|stream| stream.schema.clone()).collect();
    Arc::new(Plan::build(&schemas, &loaded.rules.rules))
}

/// Runs the world and returns what happened. `pick` says which partition's next records come, and how many.
fn play(
    plan: &Arc<Plan>,
    partitions: &[Vec<Event>],
    shards: usize,
    pick: impl FnMut(&[usize]) -> (usize, usize),
) -> (Vec<Signal>, String) {
    play_with_crashes(plan, partitions, shards, pick, || None)
}

fn sources() -> Vec<(usize, SourceId)> {
    (0..PARTITIONS).map(|p| (0, SourceId::new("requests", p as i32))).collect()
}

/// Takes a checkpoint, throws the machine away, and goes on from the checkpoint's bytes with `shards` shards.
/// What was read of each partition is what the checkpoint says: Kafka is asked to go on there.
fn crash(mut local: Local, plan: &Arc<Plan>, shards: usize, read: &[usize; PARTITIONS]) -> Local {
    let mut cut = local.cut();
    let read = (0..).zip(read).filter(|(_, next)| **next > 0).map(|(partition, next)| (partition, *next as i64));
    let kept = positions(&cut.shards).into_iter().map(|position| (position.source.partition, position.offset));
    assert_eq!(kept.collect::<Vec<_>>(), read.collect::<Vec<_>>());
    let head =
        Head { number: 1, taken_at: WallTime(0), program: "a test".into(), clean: false, desk_meaning: 0, seed: 0 };
    let (mut bytes, desk_cut) = (Vec::new(), cut.desk);
    checkpoint::write(&Checkpoint { head, shards: cut.shards, desk: desk_cut }, &mut bytes).expect("it is written");
    let read = checkpoint::read(&bytes[..]).expect("it is whole");
    (cut.shards, cut.desk) = (read.shards, read.desk);
    let mut local = Local::new(plan, shards, desk(), 0).expect("it decodes").with_cuts();
    local.restore(cut).expect("panes are whole");
    local.assign(&sources());
    local
}

/// As [`play`]; `crashes` says whether the machine is thrown away before the next records, and how many shards the next
/// one has.
fn play_with_crashes(
    plan: &Arc<Plan>,
    partitions: &[Vec<Event>],
    shards: usize,
    mut pick: impl FnMut(&[usize]) -> (usize, usize),
    mut crashes: impl FnMut() -> Option<usize>,
) -> (Vec<Signal>, String) {
    let mut local = Local::new(plan, shards, desk(), 0).expect("it decodes").with_cuts();
    let sources = sources();
    local.assign(&sources);
    let mut happened = Vec::new();
    let mut next = [0; PARTITIONS];
    loop {
        let left: Vec<usize> = (0..PARTITIONS).filter(|p| next[*p] < partitions[*p].len()).collect();
        if left.is_empty() {
            break;
        }
        if let Some(shards) = crashes() {
            happened.extend(local.take_happened());
            local = crash(local, plan, shards, &next);
            for ended in (0..PARTITIONS).filter(|p| next[*p] == partitions[*p].len()) {
                local.ended(&sources[ended].1);
            }
        }
        let (partition, count) = pick(&left);
        let end = (next[partition] + count).min(partitions[partition].len());
        let mut batch = RawBatchBuilder::default();
        let source = batch.source(&sources[partition].1.topic, partition as i32);
        for (offset, event) in partitions[partition][next[partition]..end].iter().enumerate() {
            batch.push(source, (next[partition] + offset) as i64, event.at, event.record.as_bytes());
        }
        local.records(0, batch.finish());
        next[partition] = end;
        if end == partitions[partition].len() {
            local.ended(&sources[partition].1);
        }
    }
    local.finish();
    let (mut signals, mut transcript) = (Vec::new(), String::new());
    happened.extend(local.take_happened());
    for what in happened {
        match what {
            Happening::Signal(signal) => signals.push(*signal),
            Happening::Sent(block) => {
                let values: Vec<_> = block.notification.alerts.iter().map(|alert| alert.value).collect();
                transcript += &format!("{}      values: {values:?}\n", block.text(Paint::Plain));
            }
        }
    }
    (signals, transcript)
}

/// Whole partitions, largest batches: the plainest way to run.
fn plainly(plan: &Arc<Plan>, partitions: &[Vec<Event>]) -> (Vec<Signal>, String) {
    play(plan, partitions, 1, |left| (left[0], 100))
}

#[test]
fn the_transcript_is_the_same_for_any_batch_size_shard_count_and_interleaving() {
    let plan = plan();
    for seed in 0..4 {
        let partitions = world(seed);
        let (signals, expected) = plainly(&plan, &partitions);
        assert!(signals.iter().any(|s| s.transition == Transition::Firing), "seed {seed} has something to say");
        assert!(expected.contains("Gone{service=\"login\""), "seed {seed}: silence is noticed\n{expected}");
        for shards in 1..=8 {
            let mut rng = StdRng::seed_from_u64(seed * 100 + shards as u64);
            let batch_max = [1, 7, 50, 1_000][rng.random_range(0..4)];
            let (other, transcript) = play(&plan, &partitions, shards, |left| {
                (left[rng.random_range(0..left.len())], rng.random_range(1..=batch_max))
            });
            assert_eq!(expected, transcript, "seed {seed}, {shards} shards, batches up to {batch_max}");
            assert_eq!(
                signals, other,
                "seed {seed}, {shards} shards, batches up to {batch_max}: the signals behind it"
            );
        }
    }
}

/// Two rules that a crowd is too much for: one that may watch a handful of clients, one that may watch thousands.
const CROWDED: &str = r#"
streams:
  requests:
    topics: requests
    format: json
    time: { field: ts, format: epoch_ms }
    lateness: 5s
    future_max: 100y
    fields: { ip: string }
groups:
  - name: crowded
    interval: 5s
    rules:
      - alert: Few
        from: requests
        by: [ip]
        window: 10s
        let: { requests: count(*) }
        when: requests > 0
        limit: 12
        expire: 40s
      - alert: Many
        from: requests
        where: ip <> 'r3'
        by: [ip]
        window: 10s
        let: { requests: count(*) }
        when: requests > 2
        limit: 2100
        expire: 1m
"#;

/// Five minutes in which some clients come all the time, and two crowds come once, the second when the first is forgotten.
fn crowds(seed: u64) -> Vec<Vec<Event>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut partitions = vec![Vec::new(); PARTITIONS];
    for partition in &mut partitions {
        let mut at = START + rng.random_range(0..2_000);
        while at < START + 300_000 {
            let second = (at - START) / 1_000;
            let crowd = match second {
                60..80 => Some(("a", 3_000)),
                180..195 => Some(("b", 40)),
                _ => None,
            };
            at += crowd.map_or(300, |(_, size)| 24_000 / size);
            let late = rng.random_range(0..4_500);
            let ip = match crowd.filter(|_| rng.random_bool(0.9)) {
                Some((name, size)) => format!("{name}{}", rng.random_range(0..size)),
                None => format!("r{}", rng.random_range(0..6)),
            };
            let record = format!(r#"{{"ts":{},"ip":"{ip}"}}"#, at - late);
            partition.push(Event { at: at - late, service: "", status: 0, latency: None, ip, record });
        }
    }
    partitions
}

/// Who is watched and who is refused at the limit of groups, when that begins and ends, and how many events it cost.
#[test]
fn a_crowd_at_the_limit_is_refused_alike_for_any_batch_size_shard_count_and_interleaving() {
    let plan = plan_of(CROWDED);
    for seed in 0..2 {
        let partitions = crowds(seed);
        let (signals, expected) = plainly(&plan, &partitions);
        let fired =
            |rule: &str| signals.iter().filter(|s| &*s.rule.name == rule && s.transition == Transition::Firing).count();
        assert!(fired("Few") > 12 && fired("Many") > 100, "seed {seed}: {} and {}", fired("Few"), fired("Many"));
        for rule in ["Few", "Many"] {
            let told = format!("FoghornRuleDegraded{{rule=\"{rule}\"");
            assert!(expected.contains(&told), "seed {seed}: {rule} reaches its limit\n{expected}");
        }
        for shards in 1..=8 {
            let mut rng = StdRng::seed_from_u64(seed * 100 + shards as u64);
            let batch_max = [1, 7, 50, 1_000][(shards + seed as usize) % 4];
            let (other, transcript) = play(&plan, &partitions, shards, |left| {
                (left[rng.random_range(0..left.len())], rng.random_range(1..=batch_max))
            });
            assert_eq!(signals, other, "seed {seed}, {shards} shards, batches up to {batch_max}");
            assert!(expected == transcript, "seed {seed}, {shards} shards, batches up to {batch_max}: what is told");
        }
    }
}

/// The events that count: not later than their partition's watermark allows, pane by pane.
fn counted(partitions: &[Vec<Event>], pane: i64) -> Vec<Event> {
    let mut kept = Vec::new();
    for partition in partitions {
        let mut newest = i64::MIN;
        for event in partition {
            let watermark = newest.saturating_sub(5_000);
            if (event.at.div_euclid(pane) + 1) * pane > watermark {
                kept.push(event.clone());
            }
            newest = newest.max(event.at);
        }
    }
    kept
}

/// Values by an obvious count over all events of the window.
fn oracle(events: &[Event], service: &str, until: EventTime) -> BTreeMap<&'static str, Option<f64>> {
    let window = |length: i64, offset: i64| {
        let to = until.0 - offset;
        events.iter().filter(move |e| e.service == service && (to - length..to).contains(&e.at))
    };
    let latencies: Vec<f64> = window(30_000, 0).filter_map(|e| e.latency).collect();
    let mut histogram = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 2).expect("bounds");
    latencies.iter().for_each(|l| histogram.record((l / 0.001).round() as u64).expect("in range"));
    let n = latencies.len() as f64;
    let quantile = |q: f64| (!latencies.is_empty()).then(|| histogram.value_at_quantile(q) as f64 * 0.001);
    let mean = latencies.iter().sum::<f64>() / n;
    let variance = latencies.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / n;
    let clients: std::collections::BTreeSet<_> = window(30_000, 0).map(|e| e.ip.clone()).collect();
    BTreeMap::from([
        ("total", Some(window(30_000, 0).count() as f64)),
        ("errors", Some(window(30_000, 0).filter(|e| e.status >= 500).count() as f64)),
        ("known", Some(n)),
        ("p50", quantile(0.5)),
        ("p99", quantile(0.99)),
        ("mean", Some(mean)),
        ("volume", Some(latencies.iter().sum())),
        ("spread", Some(variance.sqrt())),
        ("least", latencies.iter().copied().reduce(f64::min)),
        ("most", latencies.iter().copied().reduce(f64::max)),
        ("clients", Some(clients.len() as f64)),
        ("earlier", Some(window(20_000, 30_000).count() as f64)),
        ("short", Some(window(10_000, 0).count() as f64 / 10.0)),
    ])
}

/// `C3`: a machine that is thrown away again and again, and goes on from its checkpoints with any number of shards.
#[test]
fn the_transcript_is_the_same_for_any_number_of_checkpoints_and_restarts() {
    let plan = plan();
    for seed in 0..6 {
        let partitions = world(seed);
        let (signals, expected) = plainly(&plan, &partitions);
        for crash_one_in in [400, 40, 8] {
            let mut rng = StdRng::seed_from_u64(seed * 1_000 + crash_one_in);
            let mut dice = StdRng::seed_from_u64(seed * 1_000 + crash_one_in + 1);
            let shards = rng.random_range(1..=5);
            let same_shards = rng.random_bool(0.5);
            let pick = |left: &[usize]| (left[rng.random_range(0..left.len())], rng.random_range(1..=30));
            let mut crashed = 0;
            let (other, transcript) = play_with_crashes(&plan, &partitions, shards, pick, || {
                let now = dice.random_ratio(1, crash_one_in as u32);
                crashed += usize::from(now);
                now.then(|| if same_shards { shards } else { dice.random_range(1..=5) })
            });
            assert_eq!(expected, transcript, "seed {seed}, {crashed} crashes, from {shards} shards");
            assert_eq!(signals, other, "seed {seed}, {crashed} crashes: the signals behind it");
        }
    }
}

#[test]
fn every_number_in_evidence_is_what_a_slow_count_gives() {
    let plan = plan();
    let mut checked = 0;
    for seed in 0..6 {
        let partitions = world(seed);
        let (signals, _) = plainly(&plan, &partitions);
        let events = counted(&partitions, 5_000);
        for signal in signals.iter().filter(|signal| &*signal.rule.name == "Everything") {
            let service = signal.labels.get("service").expect("a service");
            let expected = oracle(&events, service, signal.at);
            for (name, value) in &signal.evidence.values {
                let expected = expected[&**name];
                let near = match (value, expected) {
                    (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * b.abs().max(1.0),
                    (a, b) => a.is_none() && b.is_none(),
                };
                let warming = &**name == "earlier" && signal.at - Millis(50_000) < EventTime(START + 3_000);
                assert!(
                    near || warming,
                    "seed {seed}, {} at {}: {name} is {value:?}, {expected:?} by count",
                    signal.rule,
                    signal.at
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 100, "{checked} numbers were checked");
}

#[test]
fn what_a_shuffled_arrival_within_lateness_says_is_the_same() {
    // Within one partition, events may swap places as long as none gets later than the lateness: nothing changes.
    let plan = plan();
    let mut partitions = world(9);
    partitions.iter_mut().for_each(|p| p.retain(|e| e.at >= START));
    partitions.iter_mut().for_each(|p| p.sort_by_key(|e| e.at));
    let (_, in_order) = plainly(&plan, &partitions);
    let mut rng = StdRng::seed_from_u64(9);
    let mut shuffled = partitions.clone();
    for partition in &mut shuffled {
        for chunk in partition.chunk_by_mut(|a, b| a.at / 4_000 == b.at / 4_000) {
            chunk.shuffle(&mut rng);
        }
    }
    let (_, swapped) = plainly(&plan, &shuffled);
    assert_eq!(in_order, swapped);
}
