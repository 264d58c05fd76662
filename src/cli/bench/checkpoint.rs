//! What checkpoints cost: how long a shard takes no records, what is written, and how soon a restart judges again.
//!
//! The same work as the `memory` run, with checkpoints as often as `run` takes them, written to a temporary directory by
//! another thread. The clock for that stands still while events are made up, since nobody does so in a Foghorn that runs. Its
//! row of the table counts the processor time of both, so the rows `memory` and `checkpoint` of one call say what checkpoints
//! cost in all. Those are few, so the stall is then taken of [`STALLS`] more cuts that nobody writes, a batch apart.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::{BenchArgs, Feeder, Took, cpu_time};
use crate::checkpoint::{Checkpoint, Head};
use crate::cli::CommandError;
use crate::cli::load::World;
use crate::config::defaults;
use crate::edge::disk::{Saved, StateDir};
use crate::edge::{clock, process};
use crate::engine::desk::{Desk, DeskCut};
use crate::engine::shard::{Shard, ShardInput, ShardOutput};
use crate::engine::state::ShardCut;
use crate::runtime::until_next;

/// A directory that is gone when this is.
struct Scratch(std::path::PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Cuts of which the stall's percentiles are.
const STALLS: u64 = 200;

/// A shard at work, of which cuts are taken.
struct Bench {
    shard: Shard,
    feeder: Feeder,
    out: Vec<ShardOutput>,
    cuts: u64,
}

impl Bench {
    fn start(world: &World, args: &BenchArgs) -> Result<Bench, CommandError> {
        let mut shard = Shard::new(0, 1, world.plan.clone(), 1)?.with_cuts();
        let feeder = Feeder::new(args, &mut shard);
        let mut bench = Bench { shard, feeder, out: Vec::new(), cuts: 0 };
        while !bench.feeder.is_full() {
            let records = bench.feeder.next();
            bench.take(records);
        }
        Ok(bench)
    }

    fn take(&mut self, records: ShardInput) {
        self.shard.handle(records, &mut self.out);
        self.out.clear();
    }

    /// A cut, its number, and for how long the shard took no records.
    fn cut(&mut self) -> (u64, ShardCut, Duration) {
        self.cuts += 1;
        let started = Instant::now();
        self.shard.handle(ShardInput::Cut(self.cuts), &mut self.out);
        let stall = started.elapsed();
        let cut = self.out.drain(..).find_map(|output| match output {
            ShardOutput::Cut { state, .. } => Some(*state),
            _ => None,
        });
        (self.cuts, cut.expect("one shard alone gives its cut at once"), stall)
    }
}

pub(super) fn run(world: &World, args: &BenchArgs) -> Result<Took, CommandError> {
    let scratch = Scratch(std::env::temp_dir().join(format!("foghorn-bench-{}", std::process::id())));
    let dir = Arc::new(StateDir::open(&scratch.0)?);
    let mut bench = Bench::start(world, args)?;
    let (to_writer, cuts) = mpsc::channel::<(u64, ShardCut)>();
    let (saved, answers) = mpsc::channel();
    let writer = std::thread::spawn({
        let (dir, desk) = (dir.clone(), Desk::new(world.desk(), 1).cut());
        move || cuts.into_iter().try_for_each(|(number, cut)| saved.send(dir.save(&checkpoint(number, cut, &desk))))
    });
    let (mut written, mut last) = (0, None);
    let mut due = Some(defaults::CHECKPOINT_EVERY.to_std());
    let mut took = Took { events: 0, cpu: Duration::ZERO, wall: Duration::ZERO };
    let cpu_of_writing = cpu_time();
    let mut making = Duration::ZERO;
    while took.events < args.events || bench.cuts < 3 {
        let before = process::thread_cpu_seconds();
        let records = bench.feeder.next();
        making += Duration::from_secs_f64(process::thread_cpu_seconds() - before);
        let wall = Instant::now();
        bench.take(records);
        if due.is_some_and(|due| took.wall >= due) {
            due = None;
            let (number, cut, _) = bench.cut();
            to_writer.send((number, cut))?;
        }
        took.wall += wall.elapsed();
        for saved in answers.try_iter() {
            let saved: Saved = saved?;
            due = Some(took.wall + until_next(defaults::CHECKPOINT_EVERY.to_std(), saved.took));
            (written, last) = (written + 1, Some(saved));
        }
        took.events += super::BATCH as u64;
    }
    drop(to_writer);
    writer.join().map_err(|_| anyhow::anyhow!("the writing thread failed"))??;
    took.cpu = (cpu_time() - cpu_of_writing).saturating_sub(making);
    for saved in answers {
        (written, last) = (written + 1, Some(saved?));
    }
    if let Some(Saved { bytes, took: time, .. }) = last {
        let megabytes = bytes as f64 / 1e6;
        eprintln!("checkpoint: {written} written; the last has {megabytes:.1} MB, written and synced in {time:.2?}");
    }
    restore(world, &dir, &mut bench.feeder)?;
    tell_stalls(&mut bench);
    Ok(took)
}

fn checkpoint(number: u64, cut: ShardCut, desk: &DeskCut) -> Checkpoint {
    let head = Head {
        number,
        taken_at: clock::now(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        clean: false,
        desk_meaning: 0,
        seed: 1,
    };
    Checkpoint { head, shards: vec![cut], desk: desk.clone() }
}

/// How long cuts keep records waiting that come a batch apart.
fn tell_stalls(bench: &mut Bench) {
    let mut stalls: Vec<Duration> = (0..STALLS)
        .map(|_| {
            let records = bench.feeder.next();
            bench.take(records);
            bench.cut().2
        })
        .collect();
    stalls.sort_unstable();
    let at = |share: f64| stalls[((stalls.len() - 1) as f64 * share).round() as usize];
    eprintln!(
        "checkpoint: no records for {:.1?} (p50), {:.1?} (p99), {:.1?} at most, of {STALLS} cuts",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// From nothing to the first tick that is judged.
fn restore(world: &World, dir: &StateDir, feeder: &mut Feeder) -> Result<(), CommandError> {
    let started = Instant::now();
    let loaded = dir.load()?;
    let checkpoint = loaded.checkpoint.ok_or_else(|| anyhow::anyhow!("no checkpoint was written"))?;
    let read = started.elapsed();
    let mut shard = Shard::new(0, 1, world.plan.clone(), 2)?.with_cuts();
    let mut out = Vec::new();
    shard.restore(&checkpoint.shards, &mut out)?;
    let restored = started.elapsed();
    out.clear();
    shard.handle(feeder.assignment(), &mut out);
    while !out.iter().any(|output| matches!(output, ShardOutput::Judged(_))) {
        shard.handle(feeder.next(), &mut out);
    }
    eprintln!("checkpoint: read in {read:.2?}, restored after {restored:.2?}, judging after {:.2?}", started.elapsed());
    Ok(())
}
