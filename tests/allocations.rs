//! An event of a known group allocates nothing, all the way from bytes to panes: only batches do, a fixed few each.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use foghorn::config::load::load_rules_from_text;
use foghorn::engine::plan::Plan;
use foghorn::engine::shard::{Shard, ShardInput};
use foghorn::model::batch::{RawBatch, RawBatchBuilder};
use foghorn::model::position::SourceId;
use foghorn::sim::traffic::{RULES, Traffic};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is handed to the system's allocator as it came; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps `realloc`'s contract.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BATCH: usize = 4_096;
const GROUPS: usize = 500;

/// Slow enough in event time that all batches fall into one pane after the windows have been filled.
const RATE: u64 = 20_000;

#[test]
fn events_of_known_groups_allocate_nothing() {
    let loaded = load_rules_from_text("bench.yaml", RULES);
    let schemas: Vec<_> = loaded.streams.iter().map(|stream| stream.schema.clone()).collect();
    let plan = Arc::new(Plan::build(&schemas, &loaded.rules.rules));
    let mut shard = Shard::new(0, 1, plan, 1).expect("the stream decodes");
    let source = SourceId::new("t", 0);
    let mut out = Vec::new();
    shard.handle(ShardInput::Assigned(vec![(0, source.clone())]), &mut out);
    let mut traffic = Traffic::new(3, GROUPS, RATE, 1_767_225_600_000);
    let (mut offset, mut event, mut newest) = (0, Vec::new(), 0);
    let mut batch = |newest: &mut i64| -> RawBatch {
        let mut batch = RawBatchBuilder::with_capacity(BATCH, BATCH * 220);
        let index = batch.source(&source.topic, source.partition);
        for _ in 0..BATCH {
            event.clear();
            *newest = traffic.event(&mut event);
            batch.push(index, offset, *newest, &event);
            offset += 1;
        }
        batch.finish()
    };
    // Into the middle of a pane, with every group known, every buffer grown and the pane's examples found.
    while newest < 1_767_225_600_000 + 66_000 {
        shard.handle(ShardInput::Records { stream: 0, batch: batch(&mut newest) }, &mut out);
    }
    let batches: Vec<RawBatch> = (0..8).map(|_| batch(&mut newest)).collect();
    assert!(newest < 1_767_225_600_000 + 70_000, "the measured batches stay in the pane");
    let before = ALLOCATIONS.with(Cell::get);
    for batch in batches {
        shard.handle(ShardInput::Records { stream: 0, batch }, &mut out);
    }
    let count = ALLOCATIONS.with(Cell::get) - before;
    let events = 8 * BATCH as u64;
    println!("{count} allocations for {events} events in 8 batches");
    assert!(count < 8 * 64, "{count} allocations for {events} events: more than a fixed few a batch");
    assert_eq!(shard.status().streams[0].events as i64, offset, "every event was decoded");
}
