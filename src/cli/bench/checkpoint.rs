//! What checkpoints cost: how long a shard takes no records, what is written, and how soon a restart judges again.
//!
//! The same work as the `memory` run, with a checkpoint every five seconds of wall time written to a temporary
//! directory by another thread. Its row of the table counts the processor time of both, so the rows `memory` and
//! `checkpoint` of one call say what checkpoints cost in all.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::{BenchArgs, Feeder, Took, cpu_time};
use crate::checkpoint::{Checkpoint, Head};
use crate::cli::CommandError;
use crate::cli::load::World;
use crate::edge::disk::{Saved, StateDir};
use crate::edge::{clock, process};
use crate::engine::desk::Desk;
use crate::engine::shard::{Shard, ShardInput, ShardOutput};
use crate::engine::state::ShardCut;
use crate::runtime::CHECKPOINT_EVERY;

/// A directory that is gone when this is.
struct Scratch(std::path::PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn run(world: &World, args: &BenchArgs) -> Result<Took, CommandError> {
    let scratch = Scratch(std::env::temp_dir().join(format!("foghorn-bench-{}", std::process::id())));
    let dir = Arc::new(StateDir::open(&scratch.0)?);
    let mut shard = Shard::new(0, 1, world.plan.clone(), 1)?.with_cuts();
    let mut feeder = Feeder::new(args, &mut shard);
    let mut out = Vec::new();
    while !feeder.is_full() {
        shard.handle(feeder.next(), &mut out);
        out.clear();
    }
    let (to_writer, cuts) = mpsc::channel::<(u64, ShardCut)>();
    let desk = Desk::new(world.desk(), 1).cut();
    let writer = std::thread::spawn({
        let dir = dir.clone();
        move || -> std::io::Result<Vec<Saved>> {
            let write = |(number, cut)| {
                let head = Head {
                    number,
                    taken_at: clock::now(),
                    program: env!("CARGO_PKG_VERSION").to_owned(),
                    clean: false,
                    desk_meaning: 0,
                    seed: 1,
                };
                dir.save(&Checkpoint { head, shards: vec![cut], desk: desk.clone() })
            };
            cuts.into_iter().map(write).collect()
        }
    });
    let (mut stalls, mut number) = (Vec::new(), 0);
    let mut due = Instant::now();
    let mut took = Took { events: 0, cpu: Duration::ZERO, wall: Duration::ZERO };
    let cpu_of_writing = cpu_time();
    let mut making = Duration::ZERO;
    while took.events < args.events || number < 3 {
        let before = process::thread_cpu_seconds();
        let records = feeder.next();
        making += Duration::from_secs_f64(process::thread_cpu_seconds() - before);
        let wall = Instant::now();
        shard.handle(records, &mut out);
        out.clear();
        if Instant::now() >= due {
            due = Instant::now() + CHECKPOINT_EVERY;
            number += 1;
            let started = Instant::now();
            shard.handle(ShardInput::Cut(number), &mut out);
            stalls.push(started.elapsed());
            let cut = out.drain(..).find_map(|output| match output {
                ShardOutput::Cut { state, .. } => Some(*state),
                _ => None,
            });
            to_writer.send((number, cut.expect("one shard alone gives its cut at once")))?;
        }
        took.wall += wall.elapsed();
        took.events += super::BATCH as u64;
    }
    drop(to_writer);
    let saved = writer.join().map_err(|_| anyhow::anyhow!("the writing thread failed"))??;
    took.cpu = (cpu_time() - cpu_of_writing).saturating_sub(making);
    tell(&stalls, &saved);
    restore(world, &dir, feeder)?;
    Ok(took)
}

fn tell(stalls: &[Duration], saved: &[Saved]) {
    let most = stalls.iter().max().copied().unwrap_or_default();
    let mean = stalls.iter().sum::<Duration>() / stalls.len().max(1) as u32;
    eprintln!("checkpoint: {} taken; no records for {mean:.1?} in the mean, {most:.1?} at most", stalls.len());
    if let Some(last) = saved.last() {
        eprintln!("checkpoint: {:.1} MB, written and synced in {:.2?}", last.bytes as f64 / 1e6, last.took);
    }
}

/// From nothing to the first tick that is judged.
fn restore(world: &World, dir: &StateDir, mut feeder: Feeder) -> Result<(), CommandError> {
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
