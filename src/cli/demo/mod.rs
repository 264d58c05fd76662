//! `foghorn demo`: a broker, a web shop with a bad half minute, the engine and the page, with nothing installed.
//!
//! Everything is real but the telemetry and the cluster: records go through the Kafka protocol to librdkafka's in-process
//! cluster and back, and from there on it is `foghorn run`.

mod shop;
mod sinks;
mod tell;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::keep;
use super::load::World;
use super::run::{seed, stop_signal, topics};
use super::{CommandError, GlobalArgs, LogFormatArg};
use crate::api::Api;
use crate::edge::history::Retention;
use crate::edge::kafka::producer::{Outgoing, Producer, ProducerOptions};
use crate::edge::kafka::{ConsumerConfig, EmbeddedCluster, KafkaSettings};
use crate::edge::{clock, observe};
use crate::engine::desk::Desk;
use crate::engine::record::Restored;
use crate::model::time::{Millis, WallTime};
use crate::runtime::{self, Parts, PlanInUse, Status};
use shop::{STORY, Shop, TOPICS};
use sinks::Sinks;
use tell::Teller;

/// The rules the demo runs: the shipped pack, compiled in so that the binary needs no files.
const RULES: &str = include_str!("../../../rules/shop/shop.yaml");

/// The demo's history is short.
const RETENTION: Retention = Retention { keep: Millis::from_secs(86_400), rows_max: 100_000 };

/// How often the shop's records are handed to the producer.
const PACE: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// End after the story, with a summary.
    #[arg(long)]
    pub once: bool,
    /// Start stand-ins for Slack, SMTP and PagerDuty on loopback and show what each is sent.
    #[arg(long)]
    pub sinks: bool,
    /// Address of the page.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9477")]
    pub listen: String,
    /// Keep the history in this directory; without it, it is gone when the demo ends.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// The story's dice.
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub seed: u64,
    /// Shards.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub shards: u16,
}

pub(super) fn run(args: &DemoArgs, global: &GlobalArgs) -> Result<ExitCode, CommandError> {
    let format = match global.log_format {
        Some(LogFormatArg::Json) => observe::LogFormat::Json,
        Some(LogFormatArg::Pretty) | None => observe::LogFormat::Pretty,
    };
    let log = observe::LogConfig { format, level: "warn".into(), environment: "demo".into(), color: !global.no_color };
    observe::init(&log).map_err(anyhow::Error::msg)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
    runtime.block_on(play(args, global))
}

async fn play(args: &DemoArgs, global: &GlobalArgs) -> Result<ExitCode, CommandError> {
    let world = World::of_text("rules/shop/shop.yaml", RULES)?;
    let cluster = EmbeddedCluster::start(TOPICS)?;
    let settings = KafkaSettings::new([cluster.bootstrap()], "foghorn-demo");
    let shards = usize::from(args.shards);
    let state = State::of(args.state.clone())?;
    let started = clock::now();
    let history = keep::open(&state.dir, RETENTION, started)?;
    let status = Arc::new(Status::new(shards, started).with_history(Some(history.clone())));

    let listener = Api::bind(&args.listen).await.map_err(anyhow::Error::msg)?;
    let address = listener.local_addr()?;
    let (operators, operations) = runtime::operators();
    let api = Api {
        plan: PlanInUse::new(world.plan.clone()),
        reload: None,
        operators: Some(operators),
        status: status.clone(),
        title: "demo".into(),
    };
    let server = tokio::spawn(api.serve(listener));

    let sinks = Sinks::start(args.sinks, &format!("http://{address}"), global.colours()).await?;
    let teller = Teller::new(global.colours());
    teller.welcome(&format!("http://{address}"), cluster.bootstrap(), &world, args.once);
    let telling = tokio::spawn(teller.clone().follow(status.follow()));

    keep::started(&history, Restored::Nothing, &world.rules);
    let over = Arc::new(AtomicBool::new(false));
    let started = clock::now();
    let load = std::thread::Builder::new().name("shop".into()).spawn({
        let (settings, over, seed) = (settings.clone(), over.clone(), args.seed);
        move || produce(&settings, started, seed, &over)
    })?;
    let consumer = ConsumerConfig::new(settings, topics(&world.streams));
    let parts = Parts {
        plan: world.plan.clone(),
        shards,
        consumer,
        dead_letters: Arc::new(|_| {}),
        seed: seed(),
        status: status.clone(),
        restore: Vec::new(),
        memory: None,
        sharing: None,
        reloads: None,
        operations: Some(operations),
    };
    let desk = Desk::new(sinks.desk(), seed());
    let story = async {
        match args.once {
            true => tokio::select! {
                () = stop_signal() => {}
                () = tokio::time::sleep(STORY.to_std()) => {}
            },
            false => stop_signal().await,
        }
        over.store(true, Ordering::Relaxed);
    };
    runtime::run(parts, desk, Arc::new(sinks.senders()?), story).await?;
    keep::stopped(&history, "the demo is over");
    let produced = load.join().map_err(|_| anyhow::anyhow!("the shop's thread ended by a fault"))?;
    telling.abort();
    server.abort();
    let fine = teller.summary(&status, produced?);
    Ok(ExitCode::from(u8::from(args.once && !fine)))
}

/// Where the demo keeps its state: where it was told to, or in a directory that goes with it.
struct State {
    dir: PathBuf,
    temporary: bool,
}

impl State {
    fn of(dir: Option<PathBuf>) -> std::io::Result<State> {
        let temporary = dir.is_none();
        let name = || format!("foghorn-demo-{}-{:08x}", std::process::id(), seed() as u32);
        let dir = dir.unwrap_or_else(|| std::env::temp_dir().join(name()));
        if temporary {
            std::fs::create_dir(&dir)?;
        }
        Ok(State { dir, temporary })
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.dir); // the system clears its own temporary directory in time
        }
    }
}

/// Plays the shop at the pace of the clock until `over`. After the story the shop goes on, calm, and begins again.
fn produce(settings: &KafkaSettings, started: WallTime, seed: u64, over: &AtomicBool) -> Result<u64, CommandError> {
    let producer = Producer::new(settings, &ProducerOptions::load())?;
    let mut records = Vec::new();
    let mut produced = 0;
    let mut chapter = 0;
    let mut shop = Shop::new(seed, started);
    while !over.load(Ordering::Relaxed) {
        let now = clock::now();
        let begins = started + Millis(STORY.0 * (chapter + 1));
        if now >= begins {
            chapter += 1;
            shop = Shop::new(seed.wrapping_add(chapter as u64), begins);
        }
        shop.until(now, &mut records);
        for record in records.drain(..) {
            producer.send_patiently(Outgoing {
                topic: record.topic,
                partition: Some(record.partition),
                payload: &record.payload,
                ..Outgoing::default()
            })?;
            produced += 1;
        }
        std::thread::sleep(PACE);
    }
    producer.flush(Duration::from_secs(2));
    Ok(produced)
}
