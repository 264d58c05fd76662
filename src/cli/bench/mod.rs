//! `foghorn bench`: what this machine can do, end to end, with the numbers the README quotes.
//!
//! The events are those of [`crate::sim::traffic`]. Broker and producer live in a process of their own, so the CPU time
//! of *this* process is what consuming, decoding and judging cost; wall time on a shared machine says little. Three
//! runs of the same events, each doing more than the one before, say where the time goes:
//!
//! | run | what happens to a record |
//! | --- | --- |
//! | `consume` | it is copied into an arena and counted |
//! | `decode` | and becomes a row of columns |
//! | `full` | and everything `foghorn run` does |
//! | `memory` | everything from bytes to verdicts, on one thread, without Kafka |
//! | `checkpoint` | the same, with checkpoints; says what they weigh and how soon a restart judges again |

mod broker;
mod checkpoint;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets};
use crossbeam_channel::bounded;
use tokio::sync::Notify;

use super::load::World;
use super::run::topics;
use super::{CommandError, GlobalArgs};
use crate::decode::Decoder;
use crate::edge::kafka::{self, ConsumerConfig, KafkaSettings, SourceEvent, Start};
use crate::edge::senders::Senders;
use crate::edge::{clock, process, secrets};
use crate::engine::desk::Desk;
use crate::engine::shard::{Shard, ShardInput};
use crate::model::batch::{Batch, RawBatchBuilder};
use crate::model::position::SourceId;
use crate::runtime::{self, Parts, Status};
use crate::sim::traffic::{RULES, Traffic};

pub use broker::BrokerArgs;
pub(super) use broker::run as run_broker;

/// Records of one batch of the in-memory run.
const BATCH: usize = 8_192;

/// A run that makes no progress for this long has lost its broker.
const STUCK: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// Events of each run.
    #[arg(long, value_name = "N", default_value_t = 4_000_000)]
    pub events: u64,
    /// Different groups.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=4_000_000))]
    pub groups: u64,
    /// Events in a message: 1, or many as newline-delimited JSON.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub packed: u32,
    /// Events a second of event time: how much falls into one pane.
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub rate: u64,
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub shards: u16,
    /// A real cluster, in place of the embedded one. The topic `foghorn-bench-…` is made there and left there.
    #[arg(long, value_name = "HOST:PORT")]
    pub brokers: Option<String>,
    /// Which runs.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Run::Memory, Run::Consume, Run::Decode, Run::Full])]
    pub runs: Vec<Run>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Run {
    Memory,
    Checkpoint,
    Consume,
    Decode,
    Full,
}

/// What one run took.
struct Took {
    events: u64,
    cpu: Duration,
    wall: Duration,
}

pub(super) fn run(args: &BenchArgs, _: &GlobalArgs) -> Result<ExitCode, CommandError> {
    let world = World::of_text("bench.yaml", RULES)?;
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["run", "events", "CPU s", "CPU s / M events", "events/s per core", "wall s", "events/s"]);
    (1..7)
        .filter_map(|column| table.column_mut(column).map(|c| c.set_cell_alignment(CellAlignment::Right)))
        .for_each(drop);
    for run in &args.runs {
        let took = match run {
            Run::Memory => memory(&world, args)?,
            Run::Checkpoint => checkpoint::run(&world, args)?,
            Run::Consume | Run::Decode | Run::Full => over_kafka(&world, args, *run)?,
        };
        let (cpu, wall) = (took.cpu.as_secs_f64(), took.wall.as_secs_f64());
        let events = took.events as f64;
        table.add_row([
            format!("{run:?}").to_lowercase(),
            took.events.to_string(),
            format!("{cpu:.2}"),
            format!("{:.3}", cpu / events * 1e6),
            format!("{:.0}", events / cpu),
            format!("{wall:.2}"),
            format!("{:.0}", events / wall),
        ]);
    }
    println!("{} groups, {} events a message, {} shards", args.groups, args.packed, args.shards);
    println!("{table}");
    if let Some(usage) = process::usage() {
        println!("resident memory at the end: {} MB", usage.resident_bytes >> 20);
    }
    Ok(ExitCode::SUCCESS)
}

fn cpu_time() -> Duration {
    Duration::from_secs_f64(process::cpu_seconds())
}

/// Makes batches of made-up events for one shard.
struct Feeder {
    source: SourceId,
    traffic: Traffic,
    event: Vec<u8>,
    offset: i64,
    /// Events until all windows are full.
    fill: i64,
}

impl Feeder {
    /// Five minutes of event time fill the windows.
    fn new(args: &BenchArgs, shard: &mut Shard) -> Feeder {
        let feeder = Feeder {
            source: SourceId::new("memory", 0),
            traffic: Traffic::new(1, args.groups as usize, args.rate, clock::now().0),
            event: Vec::new(),
            offset: 0,
            fill: (310 * args.rate) as i64,
        };
        shard.handle(feeder.assignment(), &mut Vec::new());
        feeder
    }

    fn assignment(&self) -> ShardInput {
        ShardInput::Assigned(vec![(0, self.source.clone())])
    }

    fn is_full(&self) -> bool {
        self.offset > self.fill
    }

    fn next(&mut self) -> ShardInput {
        let mut batch = RawBatchBuilder::with_capacity(BATCH, BATCH * 220);
        let index = batch.source(&self.source.topic, self.source.partition);
        for _ in 0..BATCH {
            self.event.clear();
            let at = self.traffic.event(&mut self.event);
            batch.push(index, self.offset, at, &self.event);
            self.offset += 1;
        }
        ShardInput::Records { stream: 0, batch: batch.finish() }
    }
}

/// Bytes in memory → verdicts on one thread. Five minutes of event time pass before the clock starts.
fn memory(world: &World, args: &BenchArgs) -> Result<Took, CommandError> {
    let mut shard = Shard::new(0, 1, world.plan.clone(), 1)?;
    let mut feeder = Feeder::new(args, &mut shard);
    let mut out = Vec::new();
    let mut took = Took { events: 0, cpu: Duration::ZERO, wall: Duration::ZERO };
    while took.events < args.events {
        let full = feeder.is_full();
        let records = feeder.next();
        let (cpu, wall) = (cpu_time(), Instant::now());
        shard.handle(records, &mut out);
        out.clear();
        if full {
            took.cpu += cpu_time() - cpu;
            took.wall += wall.elapsed();
            took.events += BATCH as u64;
        }
    }
    let status = shard.status();
    let bytes = status.window_bytes as f64 / args.groups as f64;
    eprintln!("memory: {bytes:.0} bytes of windows a group; judging took {:.2} s in all", status.judging.as_secs_f64());
    Ok(took)
}

/// Broker and producer in another process, this one consumes.
fn over_kafka(world: &World, args: &BenchArgs, run: Run) -> Result<Took, CommandError> {
    let mut load = Load::start(args, run)?;
    let mut settings = KafkaSettings::new([load.brokers.clone()], format!("foghorn-bench-{:?}", run));
    settings.start = Start::Earliest;
    let mut topics = topics(&world.streams);
    topics[0].topics = vec![load.topic.clone()];
    let consumer = ConsumerConfig::new(settings, topics);
    let seen = Arc::new(AtomicU64::new(0));
    let (cpu, wall) = (cpu_time(), Instant::now());
    match run {
        Run::Full => full(world, args, consumer, &mut load)?,
        _ => consume(world, args, consumer, run == Run::Decode, &seen, &mut load)?,
    }
    let took = Took { events: args.events, cpu: cpu_time() - cpu, wall: wall.elapsed() };
    load.end();
    Ok(took)
}

/// Counts records, or decodes them and counts rows.
fn consume(
    world: &World,
    args: &BenchArgs,
    consumer: ConsumerConfig,
    decode: bool,
    seen: &Arc<AtomicU64>,
    load: &mut Load,
) -> Result<(), CommandError> {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..args.shards).map(|_| bounded(runtime::SOURCE_QUEUE)).unzip();
    let handle = kafka::start(consumer, senders)?;
    let mut threads = Vec::new();
    for receiver in receivers {
        let stream = &world.plan.streams[0];
        let mut decoder = decode.then(|| Decoder::new(stream.schema.clone(), &stream.needed)).transpose()?;
        let (seen, packed) = (seen.clone(), u64::from(args.packed));
        threads.push(std::thread::spawn(move || {
            let (mut rows, mut refused) = (Batch::default(), Vec::new());
            for event in receiver {
                let SourceEvent::Records { batch, .. } = event else { continue };
                let events = match &mut decoder {
                    None => batch.records.len() as u64 * packed,
                    Some(decoder) => {
                        decoder.decode(batch, &mut rows, &mut refused);
                        rows.rows() as u64
                    }
                };
                seen.fetch_add(events, Ordering::Relaxed);
            }
        }));
    }
    load.follow(args.events, || seen.load(Ordering::Relaxed))?;
    handle.drain();
    threads
        .into_iter()
        .try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a counting thread failed")))?;
    handle.stop()?;
    Ok(())
}

/// Everything `foghorn run` does, except that nobody is told.
fn full(world: &World, args: &BenchArgs, consumer: ConsumerConfig, load: &mut Load) -> Result<(), CommandError> {
    let shards = usize::from(args.shards);
    let status = Arc::new(Status::new(shards, clock::now()));
    let parts = Parts {
        plan: world.plan.clone(),
        shards,
        consumer,
        dead_letters: Arc::new(|_| {}),
        seed: 1,
        status: status.clone(),
        restore: Vec::new(),
        memory: None,
        sharing: None,
        reloads: None,
        operations: None,
    };
    let senders = Senders::new(&[], secrets::process_environment).map_err(|_| anyhow::anyhow!("no senders"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build()?;
    let done = Arc::new(Notify::new());
    let running = runtime.spawn({
        let (desk, done) = (Desk::new(world.desk(), 1), done.clone());
        async move { runtime::run(parts, desk, Arc::new(senders), async move { done.notified().await }).await }
    });
    let seen = || status.shards().iter().flat_map(|(shard, _)| &shard.streams).map(|stream| stream.events).sum();
    let followed = load.follow(args.events, seen);
    done.notify_one();
    runtime.block_on(running)??;
    followed
}

/// The other process.
struct Load {
    child: Child,
    orders: ChildStdin,
    brokers: String,
    topic: String,
}

impl Load {
    fn start(args: &BenchArgs, run: Run) -> Result<Load, CommandError> {
        let topic = format!("foghorn-bench-{:?}-{:08x}", run, rand::random::<u32>()).to_lowercase();
        let mut command = Command::new(std::env::current_exe().context("where this program is")?);
        command.args(["bench-broker", "--topic", &topic]);
        command.args(["--events", &args.events.to_string(), "--groups", &args.groups.to_string()]);
        command.args(["--packed", &args.packed.to_string(), "--rate", &args.rate.to_string()]);
        if let Some(brokers) = &args.brokers {
            command.args(["--brokers", brokers]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("the load process")?;
        let orders = child.stdin.take().context("the load's input")?;
        let mut brokers = String::new();
        BufReader::new(child.stdout.take().context("the load's output")?).read_line(&mut brokers)?;
        anyhow::ensure!(!brokers.trim().is_empty(), "the load process did not start its broker");
        Ok(Load { child, orders, brokers: brokers.trim().to_owned(), topic })
    }

    /// Tells the producer how far we are until all events are seen.
    fn follow(&mut self, events: u64, seen: impl Fn() -> u64) -> Result<(), CommandError> {
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            let now = seen();
            if now > last {
                (last, moved) = (now, Instant::now());
            }
            writeln!(self.orders, "{now}").context("the load process is gone")?;
            if now >= events {
                return Ok(());
            }
            anyhow::ensure!(
                moved.elapsed() < STUCK,
                "{now} of {events} events came, and then nothing for {} s; the embedded broker keeps only what is \
                 read soon: try fewer events, or a real cluster with --brokers",
                STUCK.as_secs()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn end(mut self) {
        drop(self.orders); // the load ends when nobody listens
        let _ = self.child.wait();
    }
}
