//! The input: a script in event time, told by the numbers of its steps alone.
//!
//! Event time is a count of steps, not the wall clock: a step is sent when the one before it is with the broker. So the
//! input stands still while there is no broker, and is the same whatever is killed when. It also stands still while
//! those who read it are far behind: of an alert that begins and ends while nobody is there people are not told
//! afterwards, on purpose, and that is not what is tested here.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use foghorn::edge::kafka::{Outgoing, Producer};

/// Event time between two steps.
pub const STEP_MS: i64 = 100;

/// Wall time between two steps, at least: the input runs at the speed of life.
const BEAT: Duration = Duration::from_millis(STEP_MS as u64);

pub const PARTITIONS: i32 = 4;

/// Services that have good times and bad ones. Each has its own alert.
pub const SERVICES: i64 = 24;

/// Services that are always well: load.
const BYSTANDERS: i64 = 100;

/// From the beginning of one bad time to the next, and how long it lasts.
const PERIOD: i64 = 200;
const BAD: i64 = 50;

/// Enough good steps for everything to be over.
const AFTERMATH: i64 = 150;

/// How far the input is ahead of the slowest reader's watermark at most: less than the time between the end of a bad
/// time and the next one's beginning, or the other way round, and more than a tick.
const LEAD_MAX: i64 = 45;

/// 2026-03-30 15:04:00 UTC
const START_MS: i64 = 1_774_883_040_000;

/// What all who take part look at.
#[derive(Debug, Default)]
pub struct Clock {
    /// The next step.
    step: AtomicI64,
    /// No bad time begins at this step or later; zero while that is open.
    last: AtomicI64,
    /// How far readers have come, by their place.
    reached: [AtomicI64; 2],
    pub events: AtomicU64,
    stop: AtomicBool,
}

impl Clock {
    /// A reader's watermark has come so far, in epoch milliseconds.
    pub fn reached(&self, reader: usize, watermark: i64) {
        self.reached[reader].fetch_max((watermark - START_MS) / STEP_MS, Ordering::Relaxed);
    }

    fn is_ahead(&self, step: i64, readers: usize) -> bool {
        let slowest = self.reached[..readers].iter().map(|reader| reader.load(Ordering::Relaxed)).min();
        slowest.is_some_and(|slowest| step - slowest > LEAD_MAX)
    }

    fn begins_before(&self, step: i64) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        last == 0 || step < last
    }

    /// Whether a service has a bad time: each at its own place in the period, and none in the first seconds.
    fn is_bad(&self, service: i64, step: i64) -> bool {
        let into = step - 30 - service * PERIOD / SERVICES;
        into >= 0 && into % PERIOD < BAD && self.begins_before(step - into % PERIOD)
    }

    /// Bad times that the script held for a service.
    pub fn bad_times(&self, service: i64) -> usize {
        let last = self.last.load(Ordering::Relaxed);
        let first = 30 + service * PERIOD / SERVICES;
        (first..last).step_by(PERIOD as usize).count()
    }
}

/// Which partitions the events of a service go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Each event to all of them.
    Everywhere,
    /// All to one, as keyed records do.
    Keyed,
}

impl Spread {
    fn goes_to(self, service: i64, partition: i32) -> bool {
        self == Spread::Everywhere || service % i64::from(PARTITIONS) == i64::from(partition)
    }
}

/// Sends the script from a thread of its own.
pub struct Load {
    pub clock: Arc<Clock>,
    threads: Vec<JoinHandle<()>>,
}

/// Asks a reader for its watermark, in epoch milliseconds.
pub type Reader = Box<dyn Fn() -> Option<i64> + Send>;

/// How often readers are asked how far they are.
const ASK_EVERY: Duration = Duration::from_millis(50);

impl Load {
    /// The script does not run away from the `readers`.
    pub fn start(producer: Producer, topic: String, spread: Spread, readers: Vec<Reader>) -> Load {
        let clock = Arc::new(Clock::default());
        let count = readers.len();
        let sends = std::thread::spawn({
            let clock = clock.clone();
            move || run(&producer, &topic, spread, &clock, count)
        });
        let follows = std::thread::spawn({
            let clock = clock.clone();
            move || {
                while !clock.stop.load(Ordering::Relaxed) {
                    for (at, reader) in readers.iter().enumerate() {
                        reader().into_iter().for_each(|watermark| clock.reached(at, watermark));
                    }
                    std::thread::sleep(ASK_EVERY);
                }
            }
        });
        Load { clock, threads: vec![follows, sends] }
    }

    /// Bad times of all services.
    pub fn bad_times(&self) -> usize {
        (0..SERVICES).map(|service| self.clock.bad_times(service)).sum()
    }

    /// No bad time begins any more; waits until the last is over and sent.
    pub fn end(&mut self) {
        self.clock.last.store(self.clock.step.load(Ordering::Relaxed).max(1), Ordering::Relaxed);
        let sends = self.threads.pop().expect("it ends once");
        sends.join().expect("the load goes through");
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.clock.stop.store(true, Ordering::Relaxed);
    }
}

fn run(producer: &Producer, topic: &str, spread: Spread, clock: &Clock, readers: usize) {
    let mut payload = String::new();
    for step in 0.. {
        let started = Instant::now();
        let last = clock.last.load(Ordering::Relaxed);
        if clock.stop.load(Ordering::Relaxed) || (last > 0 && step > last + AFTERMATH) {
            return;
        }
        for partition in 0..PARTITIONS {
            for service in (0..SERVICES + BYSTANDERS).filter(|service| spread.goes_to(*service, partition)) {
                let status = if service < SERVICES && clock.is_bad(service, step) { 503 } else { 200 };
                payload.clear();
                let (ts, latency) = (START_MS + step * STEP_MS, 5 + (service * 7 + step * 13) % 400);
                write!(
                    payload,
                    "{{\"ts\":{ts},\"service\":\"svc-{service:02}\",\"status\":{status},\"latency_ms\":{latency}}}"
                )
                .expect("a string takes any text");
                let payload = payload.as_bytes();
                let record = Outgoing { topic, partition: Some(partition), payload, ..Outgoing::default() };
                producer.send_patiently(record).expect("a record any broker takes");
                clock.events.fetch_add(1, Ordering::Relaxed);
            }
        }
        while !producer.flush(Duration::from_millis(500)) && !clock.stop.load(Ordering::Relaxed) {}
        clock.step.store(step + 1, Ordering::Relaxed);
        std::thread::sleep(BEAT.saturating_sub(started.elapsed()));
        while clock.is_ahead(step, readers) && !clock.stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
