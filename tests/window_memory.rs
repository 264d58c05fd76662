//! What a group costs in memory, weighed with a counting allocator, and that known groups cost no allocations.
//!
//! The plan is that of a usual rule: `count(*)`, `count(*) FILTER (…)` and p50/p95/p99 of one field, `5m` in panes of
//! `10s`, two digits. The lateness is a pane, so two are open at any time. What is weighed is everything both stages
//! hold, at the fullest moment of a tick, divided by the groups.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foghorn::model::refusal::RefusalCounts;
use foghorn::model::schema::HistogramSpec;
use foghorn::model::time::Millis;
use foghorn::window::{AccInput, AccSpec, AccValues, OpenPanes, ViewSpec, WindowPlan, Windows};

struct Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system allocator as it came; only numbers are kept beside.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const GROUPS: u32 = 20_000;
const PANE_SECONDS: u32 = 10;
const BATCH: usize = 4096;

fn plan() -> Arc<WindowPlan> {
    Arc::new(WindowPlan {
        pane: Millis(i64::from(PANE_SECONDS) * 1000),
        accs: vec![AccSpec::Count, AccSpec::Count, AccSpec::Histogram(HistogramSpec::FLOAT)],
        views: (0..3).map(|acc| ViewSpec { acc, panes: 30, offset: 0 }).collect(),
    })
}

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

struct Engine {
    open: OpenPanes,
    windows: Windows,
    random: Random,
    pane: i64,
    batch: (Vec<u32>, Vec<i64>, Vec<i64>, Vec<f64>, Vec<bool>),
}

/// What one pane did to the allocator.
#[derive(Clone, Copy, Debug, Default)]
struct Weighed {
    events: usize,
    record_allocations: usize,
    tick_allocations: usize,
    /// Before the pane was closed.
    full_bytes: usize,
}

impl Engine {
    fn new() -> Engine {
        let plan = plan();
        let batch = (vec![], vec![], vec![], vec![], vec![]);
        let windows = Windows::new(plan.clone());
        Engine { open: OpenPanes::new(plan), windows, random: Random(0x1234_5678_9abc_def1), pane: 1000, batch }
    }

    /// Events of one pane, a tenth of them late by one; then the pane before it is closed and time moves on.
    fn pane(&mut self, events: usize) -> Weighed {
        let mut weighed = Weighed { events, ..Weighed::default() };
        let mut refused = RefusalCounts::default();
        let mut left = events;
        while left > 0 {
            let rows = left.min(BATCH);
            left -= rows;
            self.fill(rows);
            let (gids, panes, times, values, errors) = &self.batch;
            let rows_input = AccInput { mask: None, values: AccValues::None };
            let inputs = [
                rows_input,
                AccInput { mask: Some(errors), ..rows_input },
                AccInput { mask: None, values: AccValues::Numbers(values) },
            ];
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            self.open.record(gids, panes, times, &inputs, &mut refused);
            weighed.record_allocations += ALLOCATIONS.load(Ordering::Relaxed) - before;
        }
        assert_eq!(refused.total(), 0);
        weighed.full_bytes = BYTES.load(Ordering::Relaxed);
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        let windows = &mut self.windows;
        self.open.close_through(self.pane - 1, |gid, pane, partial| {
            windows.merge(gid, pane, partial);
        });
        windows.advance_to(self.pane - 1);
        self.pane += 1;
        weighed.tick_allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
        weighed
    }

    fn fill(&mut self, rows: usize) {
        let (gids, panes, times, values, errors) = &mut self.batch;
        gids.clear();
        panes.clear();
        times.clear();
        values.clear();
        errors.clear();
        for _ in 0..rows {
            let bits = self.random.next();
            let late = i64::from(bits >> 40 & 15 == 0);
            gids.push((bits as u32) % GROUPS);
            panes.push(self.pane - late);
            times.push((self.pane - late) * i64::from(PANE_SECONDS) * 1000);
            let normal = (0..6).map(|_| self.random.unit()).sum::<f64>() - 3.0;
            values.push((3.0 + 1.5 * normal).exp());
            errors.push(bits >> 50 & 31 == 0);
        }
    }

    fn panes(&mut self, count: usize, events: usize) -> Weighed {
        (0..count).map(|_| self.pane(events)).last().unwrap_or_default()
    }
}

fn check(events_per_second: f64, expected_bytes_max: usize) {
    let before = BYTES.load(Ordering::Relaxed);
    let mut engine = Engine::new();
    let events = (f64::from(GROUPS * PANE_SECONDS) * events_per_second) as usize;
    let weighed = engine.panes(45, events);
    let bytes = (weighed.full_bytes - before) / GROUPS as usize;
    let said = (engine.open.bytes() + engine.windows.bytes()) / GROUPS as usize;
    println!(
        "{events_per_second} events/s a group: {bytes} bytes a group (accounted for: {said}), \
         {} allocations for {} events recorded, {} at the tick of {GROUPS} groups",
        weighed.record_allocations, weighed.events, weighed.tick_allocations,
    );
    assert!(bytes <= expected_bytes_max, "{bytes} bytes a group");
    assert!(bytes.abs_diff(said) * 20 <= bytes, "bytes() says {said}, the allocator {bytes}");
    assert_eq!(weighed.record_allocations, 0, "known groups allocate nothing");
    assert!(weighed.tick_allocations * 5 <= GROUPS as usize, "a tick reuses what there is");

    // Silence: what groups held goes back; what is left is their rows.
    let silent_from = engine.pane;
    for pane in silent_from..silent_from + 40 {
        let windows = &mut engine.windows;
        engine.open.close_through(pane, |gid, pane, partial| {
            windows.merge(gid, pane, partial);
        });
        windows.advance_to(pane);
    }
    let silent = (BYTES.load(Ordering::Relaxed) - before) / GROUPS as usize;
    println!("  after silence {silent} bytes a group");
    assert!(silent <= 200, "{silent} bytes a group after silence");
    (0..GROUPS).for_each(|gid| engine.windows.remove(gid));
    let removed = (BYTES.load(Ordering::Relaxed) - before) / GROUPS as usize;
    assert!(removed <= 32, "{removed} bytes a group after they were removed");
}

/// One test, because the allocator counts for the whole process.
#[test]
fn a_quiet_group_costs_less_than_a_kibibyte() {
    check(0.2, 1024);
    check(0.5, 1024);
    // An event a second is no longer little traffic: three hundred samples in the window.
    check(1.0, 1300);
}
