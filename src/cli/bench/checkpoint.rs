//! `foghorn bench --runs checkpoint`: what keeping state costs, and how long going on from it takes.
//!
//! One shard with windows of five minutes that are full, as in the `memory` run. While events go on coming it is asked
//! for a cut every five seconds of event time, which is then written to a directory of its own. What delays records is
//! the cut alone, the *stall*: writing happens beside the shard. In the end the newest checkpoint is read back into a new
//! shard, which is given events until it judges again.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::super::CommandError;
use super::super::load::World;
use super::{BATCH, BenchArgs};
use crate::checkpoint::{Checkpoint, Head};
use crate::edge::clock;
use crate::edge::disk::{Saved, StateDir};
use crate::engine::desk::Desk;
use crate::engine::shard::{Shard, ShardInput, ShardOutput};
use crate::engine::state::ShardCut;
use crate::model::batch::{RawBatch, RawBatchBuilder};
use crate::model::position::SourceId;
use crate::sim::traffic::Traffic;

/// Checkpoints that are taken.
const ROUNDS: u64 = 20;

/// Event time from one to the next, in seconds.
const EVERY: u64 = 5;

/// Event time until all windows are full, in seconds.
const FILL: u64 = 310;

pub(super) fn run(world: &World, args: &BenchArgs) -> Result<(), CommandError> {
    let folder = Folder::new();
    let dir = StateDir::open(&folder.0)?;
    let mut feed = Feed::new(args);
    let (mut shard, mut out) = (shard(world)?, Vec::new());
    shard.handle(feed.assigned(), &mut out);
    feed.give(&mut shard, FILL * args.rate);
    let mut stalls = Vec::new();
    let mut saves = Vec::new();
    for number in 1..=ROUNDS {
        feed.give(&mut shard, EVERY * args.rate);
        let (cut, stall) = cut(&mut shard, number)?;
        stalls.push(stall);
        saves.push(dir.save(&checkpoint(world, number, cut))?);
    }
    println!("checkpoints of {} groups, {ROUNDS} of them:", args.groups);
    println!("  stall of the shard  {}", spread(stalls));
    println!("  writing and syncing {}", spread(saves.iter().map(|saved| saved.took).collect()));
    println!("  size                {}", size(&saves, args.groups));
    drop(shard);
    go_on(world, &dir, &mut feed)
}

fn shard(world: &World) -> Result<Shard, CommandError> {
    Ok(Shard::new(0, 1, world.plan.clone(), 1)?.with_cuts())
}

/// Asks for a cut; how long the shard took for it.
fn cut(shard: &mut Shard, number: u64) -> Result<(ShardCut, Duration), CommandError> {
    let mut out = Vec::new();
    let started = Instant::now();
    shard.handle(ShardInput::Cut(number), &mut out);
    let stall = started.elapsed();
    let state = out.into_iter().find_map(|output| match output {
        ShardOutput::Cut { state, .. } => Some(*state),
        _ => None,
    });
    Ok((state.context("a shard alone gives its cut at once")?, stall))
}

fn checkpoint(world: &World, number: u64, cut: ShardCut) -> Checkpoint {
    let head = Head {
        number,
        taken_at: clock::now(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        clean: false,
        desk_meaning: 0,
        seed: 1,
    };
    Checkpoint { head, shards: vec![cut], desk: Desk::new(world.desk(), 1).cut() }
}

/// From the directory to the first verdict.
fn go_on(world: &World, dir: &StateDir, feed: &mut Feed) -> Result<(), CommandError> {
    let started = Instant::now();
    let checkpoint = dir.load()?.checkpoint.context("what was written is there")?;
    let read = started.elapsed();
    let (mut shard, mut out) = (shard(world)?, Vec::new());
    shard.restore(&checkpoint.shards, &mut out)?;
    let restored = started.elapsed();
    shard.handle(feed.assigned(), &mut out);
    while shard.status().rules.iter().all(|rule| rule.evaluations == 0) {
        feed.give(&mut shard, 1);
    }
    println!(
        "going on: {:.2} s to read, {:.2} s to restore, {:.2} s from the start to the first verdict",
        read.as_secs_f64(),
        (restored - read).as_secs_f64(),
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Median, 99th percentile (of a few, the longest), longest.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: f64| times[((times.len() as f64 * share).ceil() as usize).clamp(1, times.len()) - 1];
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    format!("median {:.1} ms, p99 {:.1} ms, longest {:.1} ms", ms(at(0.5)), ms(at(0.99)), ms(at(1.0)))
}

fn size(saves: &[Saved], groups: u64) -> String {
    let largest = saves.iter().map(|saved| saved.bytes).max().unwrap_or(0);
    format!("{:.1} MB, {} bytes a group", largest as f64 / 1e6, largest / groups)
}

/// Events without an end, from one source.
struct Feed {
    traffic: Traffic,
    source: SourceId,
    offset: i64,
    event: Vec<u8>,
}

impl Feed {
    fn new(args: &BenchArgs) -> Feed {
        let traffic = Traffic::new(1, args.groups as usize, args.rate, clock::now().0);
        Feed { traffic, source: SourceId::new("memory", 0), offset: 0, event: Vec::new() }
    }

    fn assigned(&self) -> ShardInput {
        ShardInput::Assigned(vec![(0, self.source.clone())])
    }

    /// Gives at least so many events to a shard.
    fn give(&mut self, shard: &mut Shard, events: u64) {
        let mut out = Vec::new();
        for _ in 0..events.div_ceil(BATCH as u64) {
            let batch = self.batch();
            shard.handle(ShardInput::Records { stream: 0, batch }, &mut out);
            out.clear();
        }
    }

    fn batch(&mut self) -> RawBatch {
        let mut batch = RawBatchBuilder::with_capacity(BATCH, BATCH * 220);
        let index = batch.source(&self.source.topic, self.source.partition);
        for _ in 0..BATCH {
            self.event.clear();
            let at = self.traffic.event(&mut self.event);
            batch.push(index, self.offset, at, &self.event);
            self.offset += 1;
        }
        batch.finish()
    }
}

/// A directory that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        Folder(std::env::temp_dir().join(format!("foghorn-bench-{}-{:08x}", std::process::id(), rand::random::<u32>())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
