//! Panes and windows: what an event costs on its way through both stages, and what a tick costs a group.
//!
//! ```text
//! cargo bench --bench window
//! ```
//!
//! The load: Zipf-distributed groups, log-normal latencies around 20 ms, a million events a second of event time, three
//! per cent of them errors. The plan is that of a usual rule: `count(*)`, `count(*) FILTER (…)` and one histogram at two
//! digits over `5m` in panes of `10s`. Everything is measured in the steady state, after the window has filled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use foghorn::model::refusal::RefusalCounts;
use foghorn::model::schema::HistogramSpec;
use foghorn::model::time::Millis;
use foghorn::window::{AccInput, AccSpec, AccValues, Cmp, OpenPanes, QuantileTest, ViewSpec, WindowPlan, Windows};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 4096;

fn plan(pane_ms: i64, panes: u32, digits: u8) -> Arc<WindowPlan> {
    let histogram = HistogramSpec { digits, ..HistogramSpec::FLOAT };
    Arc::new(WindowPlan {
        pane: Millis(pane_ms),
        accs: vec![AccSpec::Count, AccSpec::Count, AccSpec::Histogram(histogram)],
        views: (0..3).map(|acc| ViewSpec { acc, panes, offset: 0 }).collect(),
    })
}

/// Random numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[derive(Clone, Copy, Default)]
struct Spent {
    events: u64,
    record: Duration,
    /// Closing, handing over and merging.
    hop: Duration,
    partials: u64,
    advance: Duration,
    judge: Duration,
    touched: u64,
}

impl std::ops::AddAssign for Spent {
    fn add_assign(&mut self, other: Spent) {
        self.events += other.events;
        self.record += other.record;
        self.hop += other.hop;
        self.partials += other.partials;
        self.advance += other.advance;
        self.judge += other.judge;
        self.touched += other.touched;
    }
}

impl Spent {
    fn whole(&self) -> Duration {
        self.record + self.hop + self.advance + self.judge
    }
}

/// Both stages under a steady load.
struct Engine {
    open: OpenPanes,
    windows: Windows,
    groups: u32,
    events_per_pane: usize,
    pane: i64,
    random: Random,
    values: Vec<f64>,
    test: QuantileTest,
    touched: Vec<u32>,
    breaches: u64,
}

impl Engine {
    fn new(plan: Arc<WindowPlan>, groups: u32, events_per_pane: usize) -> Engine {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let normal = |random: &mut Random| (0..12).map(|_| random.unit()).sum::<f64>() - 6.0;
        let values = (0..1 << 16).map(|_| (20f64.ln() + 1.1 * normal(&mut random)).exp()).collect();
        let windows = Windows::new(plan.clone());
        let test = windows.quantile_test(2, 0.99, Cmp::Gt, 400.0).expect("view 2 is a histogram");
        let open = OpenPanes::new(plan);
        Engine {
            open,
            windows,
            groups,
            events_per_pane,
            pane: 1000,
            random,
            values,
            test,
            touched: vec![],
            breaches: 0,
        }
    }

    /// One pane of events, and the tick that ends it.
    fn pane(&mut self) -> Spent {
        let mut spent = Spent::default();
        let scale = f64::from(self.groups).ln_1p();
        let (mut gids, mut values, mut errors) = (vec![0u32; BATCH], vec![0f64; BATCH], vec![false; BATCH]);
        let mut refused = RefusalCounts::default();
        let panes = vec![self.pane; BATCH];
        let times = vec![self.pane * self.open.plan().pane.0; BATCH];
        for start in (0..self.events_per_pane).step_by(BATCH) {
            let rows = BATCH.min(self.events_per_pane - start);
            for row in 0..rows {
                // Zipf with exponent 1, by the inverse of its (continuous) distribution.
                gids[row] = ((self.random.unit() * scale).exp() as u32 - 1).min(self.groups - 1);
                let bits = self.random.next();
                values[row] = self.values[bits as usize & 0xffff];
                errors[row] = bits >> 32 & 31 == 0;
            }
            let rows_input = AccInput { mask: None, values: AccValues::None };
            let inputs = [
                rows_input,
                AccInput { mask: Some(&errors[..rows]), ..rows_input },
                AccInput { mask: None, values: AccValues::Numbers(&values[..rows]) },
            ];
            let began = Instant::now();
            self.open.record(&gids[..rows], &panes[..rows], &times[..rows], &inputs, &mut refused);
            spent.record += began.elapsed();
        }
        spent.events = self.events_per_pane as u64;
        let began = Instant::now();
        let windows = &mut self.windows;
        self.open.close_through(self.pane, |gid, pane, partial| {
            spent.partials += 1;
            windows.merge(gid, pane, partial);
        });
        spent.hop = began.elapsed();
        let began = Instant::now();
        self.windows.advance_to(self.pane);
        spent.advance = began.elapsed();
        let began = Instant::now();
        self.touched.clear();
        self.windows.take_touched(&mut self.touched);
        spent.touched = self.touched.len() as u64;
        for gid in &self.touched {
            if self.windows.count(*gid, 0) >= 50 && self.windows.quantile_holds(*gid, 2, &self.test) == Some(true) {
                self.breaches += 1;
            }
        }
        spent.judge = began.elapsed();
        self.pane += 1;
        spent
    }

    fn panes(&mut self, count: u64) -> Spent {
        let mut spent = Spent::default();
        (0..count).for_each(|_| spent += self.pane());
        spent
    }
}

fn name(groups: u32) -> String {
    match groups {
        1_000_000.. => format!("{}M", groups / 1_000_000),
        _ => format!("{}k", groups / 1000),
    }
}

fn per(time: Duration, count: u64) -> f64 {
    time.as_nanos() as f64 / count.max(1) as f64
}

fn load(criterion: &mut Criterion) {
    let only = std::env::var("GROUPS").ok().and_then(|groups| groups.parse::<u32>().ok());
    for groups in [10_000u32, 100_000, 1_000_000].into_iter().filter(|groups| only.is_none_or(|only| only == *groups)) {
        let mut engine = Engine::new(plan(10_000, 30, 2), groups, 10_000_000);
        engine.panes(33);
        let known = engine.windows.groups() as u64;
        let mut all = Spent::default();
        let mut group = criterion.benchmark_group("window");
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
        group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_secs(2));
        group.throughput(Throughput::Elements(10_000_000));
        group.bench_function(BenchmarkId::new("record", name(groups)), |bencher| {
            bencher.iter_custom(|panes| {
                let spent = engine.panes(panes);
                all += spent;
                spent.record
            });
        });
        group.finish();
        let tick = all.touched / (all.events / 10_000_000);
        let mut group = criterion.benchmark_group("window");
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
        group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_millis(500));
        group.throughput(Throughput::Elements(known));
        group.bench_function(BenchmarkId::new("p99", name(groups)), |bencher| {
            bencher.iter(|| (0..groups).filter_map(|gid| engine.windows.quantile(gid, 2, 0.99)).sum::<f64>());
        });
        group.bench_function(BenchmarkId::new("p99 > t", name(groups)), |bencher| {
            let holds = |gid: &u32| engine.windows.quantile_holds(*gid, 2, &engine.test) == Some(true);
            bencher.iter(|| (0..groups).filter(holds).count());
        });
        group.finish();
        println!(
            "{}: record {:.1} ns/event, hop {:.0} ns/partial, advance {:.0} ns/group, judge {:.0} ns/group ({tick} a tick); \
             all {:.1} ns/event; {} groups, stage 1 {} B/group, stage 2 {} B/group, {} breaches\n",
            name(groups),
            per(all.record, all.events),
            per(all.hop, all.partials),
            per(all.advance, all.touched),
            per(all.judge, all.touched),
            per(all.whole(), all.events),
            known,
            engine.open.bytes() as u64 / known,
            engine.windows.bytes() as u64 / known,
            engine.breaches,
        );
    }
}

/// The same events, slide and groups; windows of 30 and of 300 panes.
fn ratio() {
    let mut spent = Vec::new();
    for panes in [30, 300] {
        let mut engine = Engine::new(plan(10_000, panes, 2), 20_000, 1_000_000);
        engine.panes(303);
        let all = engine.panes(30);
        println!(
            "window ÷ slide {panes}: {:.1} ns/event (record {:.1}, hop {:.1}, advance {:.1}, judge {:.1})",
            per(all.whole(), all.events),
            per(all.record, all.events),
            per(all.hop, all.events),
            per(all.advance, all.events),
            per(all.judge, all.events),
        );
        spent.push(per(all.whole(), all.events));
    }
    println!("window ÷ slide 300 costs {:.2}x of 30\n", spent[1] / spent[0]);
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    // Under `cargo test --benches` only the compilation is checked.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    if std::env::var("RATIO").is_err() {
        load(&mut criterion);
    }
    ratio();
    criterion.final_summary();
}
