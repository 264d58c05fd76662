//! Panes and windows: what an event costs on its way through both stages, and what a tick costs a group.
//!
//! ```text
//! cargo bench --bench window
//! ```
//!
//! The load: Zipf-distributed groups, log-normal latencies around 20 ms, a million events a second of event time, three
//! per cent of them errors. The plan is that of a usual rule: `count(*)`, `count(*) FILTER (…)` and one histogram at two
//! digits over `5m` in panes of `10s`. Everything is measured in the steady state, after the window has filled.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use foghorn::model::refusal::RefusalCounts;
use foghorn::model::schema::HistogramSpec;
use foghorn::model::time::Millis;
use foghorn::window::{
    AccInput, AccSpec, AccValues, Cmp, OpenPanes, PartialReader, QuantileTest, ViewSpec, WindowPlan, Windows,
};

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

/// A moment in CPU time of this thread: what neighbours on the machine do does not count.
struct Began(Duration);

impl Began {
    fn now() -> Began {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the clock writes to the struct it is given.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut now) };
        Began(Duration::new(now.tv_sec as u64, now.tv_nsec as u32))
    }

    fn elapsed(&self) -> Duration {
        Began::now().0 - self.0
    }
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
    crossing: Vec<u8>,
    closed: Vec<(u32, i64, usize, usize)>,
    reader: PartialReader,
    breaches: u64,
    /// Whether a tick reads every group's p99 beside judging it.
    reads: bool,
}

impl Engine {
    fn new(plan: Arc<WindowPlan>, groups: u32, events_per_pane: usize) -> Engine {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let normal = |random: &mut Random| (0..12).map(|_| random.unit()).sum::<f64>() - 6.0;
        let values = (0..1 << 16).map(|_| (20f64.ln() + 1.1 * normal(&mut random)).exp()).collect();
        let windows = Windows::new(plan.clone());
        let test = windows.quantile_test(2, 0.99, Cmp::Gt, 400.0).expect("view 2 is a histogram");
        let reader = PartialReader::new(&plan);
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
            crossing: vec![],
            closed: vec![],
            reader,
            breaches: 0,
            reads: false,
        }
    }

    /// What stage 1 closes crosses as bytes, as between shards, and stage 2 merges it.
    fn hand_over(&mut self) {
        self.crossing.clear();
        self.closed.clear();
        let (crossing, closed) = (&mut self.crossing, &mut self.closed);
        self.open.close_through(self.pane, |gid, pane, partial| {
            let start = crossing.len();
            partial.encode(crossing);
            closed.push((gid, pane, start, crossing.len()));
        });
        for (at, (gid, pane, start, end)) in self.closed.iter().enumerate() {
            if let Some((ahead, ..)) = self.closed.get(at + 16) {
                self.windows.prefetch_rows(*ahead);
            }
            if let Some((ahead, ..)) = self.closed.get(at + 8) {
                self.windows.prefetch_panes(*ahead);
            }
            let partial = self.reader.read(&self.crossing[*start..*end]).expect("stage 1 writes valid partials");
            self.windows.merge(*gid, *pane, &partial);
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
            let began = Began::now();
            self.open.record(&gids[..rows], &panes[..rows], &times[..rows], &inputs, &mut refused);
            spent.record += began.elapsed();
        }
        spent.events = self.events_per_pane as u64;
        let began = Began::now();
        self.hand_over();
        spent.partials = self.closed.len() as u64;
        spent.hop = began.elapsed();
        let began = Began::now();
        self.windows.advance_to(self.pane);
        spent.advance = began.elapsed();
        let began = Began::now();
        self.touched.clear();
        self.windows.take_touched(&mut self.touched);
        spent.touched = self.touched.len() as u64;
        for (at, gid) in self.touched.iter().enumerate() {
            if let Some(ahead) = self.touched.get(at + 16) {
                self.windows.prefetch_rows(*ahead);
            }
            if let Some(ahead) = self.touched.get(at + 8) {
                self.windows.prefetch_panes(*ahead);
            }
            if self.reads {
                black_box(self.windows.quantile(*gid, 2, 0.99));
            }
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
    let only = std::env::var("ONLY").ok().and_then(|only| only.parse::<u32>().ok());
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
            bencher.iter_custom(|times| {
                let began = Began::now();
                for _ in 0..times {
                    black_box((0..groups).filter_map(|gid| engine.windows.quantile(gid, 2, 0.99)).sum::<f64>());
                }
                began.elapsed()
            });
        });
        group.bench_function(BenchmarkId::new("p99 > t", name(groups)), |bencher| {
            let holds = |gid: &u32| engine.windows.quantile_holds(*gid, 2, &engine.test) == Some(true);
            bencher.iter_custom(|times| {
                let began = Began::now();
                for _ in 0..times {
                    black_box((0..groups).filter(holds).count());
                }
                began.elapsed()
            });
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
///
/// Both fill first, and then take turns of ten panes, so that a neighbour's burst or a change of clock speed meets both;
/// what is said is the median of the turns, and of the turns' ratios. That the other one's turn leaves cold caches is
/// as it should be: between two ticks lie ten seconds. The first twenty panes after the windows have filled are let pass
/// too, because logs still grow a little then, and the first touch of fresh memory is no cost of an event.
///
/// Judging is by threshold. `READ=1` also reads the p99 of every group at every tick, as few rules ask.
fn ratio() {
    const TURNS: usize = 9;
    let mut engines = [30, 300].map(|panes| Engine::new(plan(10_000, panes, 2), 20_000, 1_000_000));
    let mut turns = engines.each_ref().map(|_| Vec::new());
    for engine in &mut engines {
        engine.reads = std::env::var("READ").is_ok();
        engine.panes(320);
    }
    for _ in 0..TURNS {
        for (engine, turns) in engines.iter_mut().zip(&mut turns) {
            turns.push(engine.panes(10));
        }
    }
    for (panes, turns) in [30, 300].into_iter().zip(&turns) {
        let middle = |of: fn(&Spent) -> Duration| median(turns.iter().map(|turn| per(of(turn), turn.events)));
        println!(
            "window ÷ slide {panes}: {:.1} ns/event (record {:.1}, hop {:.1}, advance {:.1}, judge {:.1})",
            middle(Spent::whole),
            middle(|turn| turn.record),
            middle(|turn| turn.hop),
            middle(|turn| turn.advance),
            middle(|turn| turn.judge),
        );
    }
    let [short, long] = turns;
    let ratios = long.iter().zip(&short).map(|(long, short)| long.whole().div_duration_f64(short.whole()));
    println!("window ÷ slide 300 costs {:.2}x of 30\n", median(ratios));
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
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
