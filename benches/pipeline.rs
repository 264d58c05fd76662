//! Bytes in memory → verdicts, on one shard: what a core can do when Kafka is left out.
//!
//! `cargo bench --bench pipeline` prints events a second for 10 k, 100 k and 1 M groups. Time is the thread's CPU time,
//! since neighbours on a shared machine take wall time. Events are made and cut into batches while the clock stands; the
//! five-minute windows are full before it starts, and what one iteration leaves behind is what the next one finds.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use foghorn::config::load::load_rules_from_text;
use foghorn::engine::plan::Plan;
use foghorn::engine::shard::{Shard, ShardInput};
use foghorn::model::batch::{RawBatch, RawBatchBuilder};
use foghorn::model::position::SourceId;
use foghorn::sim::traffic::{RULES, Traffic};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 8_192;

/// Events a second of event time.
const RATE: u64 = 200_000;

/// Event time that passes before the clock starts.
const FILL_SECS: u64 = 310;

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call to fill.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

struct Feed {
    traffic: Traffic,
    source: SourceId,
    offset: i64,
    event: Vec<u8>,
}

impl Feed {
    fn batch(&mut self) -> RawBatch {
        let mut batch = RawBatchBuilder::with_capacity(BATCH, BATCH * 220);
        let source = batch.source(&self.source.topic, self.source.partition);
        for _ in 0..BATCH {
            self.event.clear();
            let at = self.traffic.event(&mut self.event);
            batch.push(source, self.offset, at, &self.event);
            self.offset += 1;
        }
        batch.finish()
    }
}

fn pipeline(c: &mut Criterion) {
    let mut group = c.benchmark_group("pipeline");
    group.sample_size(10).measurement_time(Duration::from_secs(6)).warm_up_time(Duration::from_millis(500));
    for groups in [10_000, 100_000, 1_000_000] {
        let loaded = load_rules_from_text("bench.yaml", RULES);
        assert!(loaded.is_valid(), "{}", loaded.diagnostics.render(false));
        let schemas: Vec<_> = loaded.streams.iter().map(|stream| stream.schema.clone()).collect();
        let plan = Arc::new(Plan::build(&schemas, &loaded.rules.rules));
        let mut shard = Shard::new(0, 1, plan, 1).expect("the bench's stream decodes");
        let source = SourceId::new("bench", 0);
        let mut out = Vec::new();
        shard.handle(ShardInput::Assigned(vec![(0, source.clone())]), &mut out);
        let traffic = Traffic::new(1, groups, RATE, 1_767_225_600_000);
        let mut feed = Feed { traffic, source, offset: 0, event: Vec::new() };
        for _ in 0..(FILL_SECS * RATE) as usize / BATCH {
            shard.handle(ShardInput::Records { stream: 0, batch: feed.batch() }, &mut out);
            out.clear();
        }
        group.throughput(Throughput::Elements((BATCH * 16) as u64));
        group.bench_function(BenchmarkId::from_parameter(groups), |b| {
            b.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for _ in 0..iterations {
                    let batches: Vec<RawBatch> = (0..16).map(|_| feed.batch()).collect();
                    let started = cpu_time();
                    for batch in batches {
                        shard.handle(ShardInput::Records { stream: 0, batch }, &mut out);
                        out.clear();
                    }
                    spent += cpu_time() - started;
                }
                black_box(&shard);
                spent
            });
        });
        let status = shard.status();
        let bytes = status.window_bytes as f64 / groups as f64;
        println!("  {groups} groups: {bytes:.0} bytes of windows a group, {:?}", status.streams[0].feeds);
    }
    group.finish();
}

criterion_group!(benches, pipeline);
criterion_main!(benches);
