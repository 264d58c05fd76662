//! `foghorn run`: for real. And `--rehearse`: what would have been said of what Kafka holds now.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::keep;
use super::load::World;
use super::reload::{self, Reloading};
use super::state::{self, Beginning};
use super::{CommandError, GlobalArgs, LogFormatArg};
use crate::api::Api;
use crate::api::reload::asking;
use crate::config::checked::{Config, LogFormat, StreamConfig};
use crate::config::defaults;
use crate::edge::history::Retention;
use crate::edge::kafka::{
    Company, ConsumerConfig, DeadLetterProducer, Handover, HandoverError, KafkaError, KafkaSettings, Start,
    StreamTopics, local_client_id,
};
use crate::edge::observe;
use crate::edge::senders::Senders;
use crate::edge::{clock, kafka, secrets};
use crate::engine::local::Happening;
use crate::engine::plan::Plan;
use crate::engine::record::Restored;
use crate::engine::transcript::Paint;
use crate::runtime::{self, DeadLetterSink, DeskSnapshot, Parts, PlanInUse, Status};

/// How long others may take to leave our consumer group: a little longer than librdkafka's sessions are by default.
const OTHERS_LEAVE_MAX: Duration = Duration::from_secs(50);

/// Rules named at most where they are why a group cannot be shared.
const RULES_NAMED: usize = 3;

/// How long Kafka may take for each question about the topic through which partitions move.
const HANDOVER_MAX: Duration = Duration::from_secs(5);

/// How long a rehearsal waits for Kafka to say which topics it has.
const ANSWER_MAX: Duration = Duration::from_secs(15);

#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The configuration.
    #[arg(short, long, value_name = "FILE", default_value = "foghorn.yaml", env = "FOGHORN_CONFIG")]
    pub config: PathBuf,
    /// Address of the page, the API and the metrics, in place of the configuration's.
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Shards, in place of the configuration's; without either, one a core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub shards: Option<u16>,
    /// Directory for what outlives the process, in place of the configuration's `state.dir`.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Do not go by changes of files as they are made, whatever the configuration says. SIGHUP and `POST /-/reload` reload
    /// all the same.
    #[arg(long)]
    pub no_watch: bool,
    /// Read what Kafka holds now, from its beginning to its end, judge it in event time, print what would have been sent,
    /// and end. Sends nothing, commits nothing, joins no group that others are in.
    #[arg(long)]
    pub rehearse: bool,
}

pub(super) fn run(args: &RunArgs, global: &GlobalArgs) -> Result<ExitCode, CommandError> {
    let Some(world) = World::load(Some(&args.config), &[], global)? else { return Ok(ExitCode::from(1)) };
    let config = world.config.clone().context("the configuration has errors")?;
    start_log(&config, global)?;
    let settings = kafka_settings(&config)?;
    let shards = args.shards.map(usize::from).or(config.shards).unwrap_or_else(cores);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
    if args.rehearse {
        return runtime.block_on(rehearse(&world, settings, shards, global));
    }
    let listen = args.listen.clone().unwrap_or_else(|| config.server.listen.clone());
    runtime.block_on(serve(args, world, config, settings, shards, &listen))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn start_log(config: &Config, global: &GlobalArgs) -> Result<(), CommandError> {
    let format = match (global.log_format, config.log.format) {
        (Some(LogFormatArg::Json), _) | (None, LogFormat::Json) => observe::LogFormat::Json,
        (Some(LogFormatArg::Pretty), _) | (None, LogFormat::Pretty) => observe::LogFormat::Pretty,
    };
    let log = observe::LogConfig {
        format,
        level: config.log.level.clone(),
        environment: config.log.environment.clone().unwrap_or_default(),
        color: !global.no_color,
    };
    observe::init(&log).map_err(anyhow::Error::msg)
}

fn kafka_settings(config: &Config) -> Result<KafkaSettings, CommandError> {
    let kafka = config.kafka.as_ref().context(
        "the configuration names no Kafka cluster; add `kafka: { brokers: [\"host:9092\"] }`, or try `foghorn demo`",
    )?;
    Ok(kafka.settings(|secret| secrets::look_up(secret, secrets::process_environment))?)
}

/// Topics of all streams, in the order of the plan.
pub(super) fn topics(streams: &[StreamConfig]) -> Vec<StreamTopics> {
    let topics =
        |stream: &StreamConfig| StreamTopics { stream: stream.schema.name.clone(), topics: stream.topics.clone() };
    streams.iter().map(topics).collect()
}

/// Undecodable records go to their stream's dead-letter topic, where it has one.
pub(super) fn dead_letters(
    streams: &[StreamConfig],
    settings: &KafkaSettings,
) -> Result<(DeadLetterSink, Vec<Arc<DeadLetterProducer>>), CommandError> {
    let mut producers = Vec::new();
    for stream in streams {
        let producer = stream.dead_letter.as_ref().map(|topic| DeadLetterProducer::new(settings, &**topic));
        producers.push((stream.schema.name.clone(), producer.transpose()?.map(Arc::new)));
    }
    let all = producers.iter().filter_map(|(_, producer)| producer.clone()).collect();
    let sink = move |letter: crate::engine::shard::DeadLetter| {
        let (stream, producer) = &producers[letter.stream];
        let Some(producer) = producer else { return };
        let sent = producer.send(kafka::DeadLetter {
            payload: &letter.bytes,
            reason: letter.reason.name(),
            stream,
            position: &letter.position,
            at: letter.at,
            timestamp: letter.timestamp,
        });
        if let Err(error) = sent {
            tracing::warn!(stream = &**stream, position = %letter.position, "a dead letter was lost: {error}");
        }
    };
    Ok((Arc::new(sink), all))
}

async fn serve(
    args: &RunArgs,
    world: World,
    config: Config,
    mut settings: KafkaSettings,
    shards: usize,
    listen: &str,
) -> Result<ExitCode, CommandError> {
    let started = clock::now();
    let hangups = reload::hangups()?;
    let dir = args.state.as_deref().or(config.state.as_ref().map(|state| &*state.dir));
    let default = Retention { keep: defaults::HISTORY_KEEP, rows_max: defaults::HISTORY_ROWS_MAX };
    let retention = config.state.as_ref().map_or(default, |state| state.history);
    let every = config.state.as_ref().map_or(defaults::CHECKPOINT_EVERY, |state| state.checkpoint_every);
    let history = dir.map(|dir| keep::open(dir, retention, started)).transpose()?;
    let beginning = match dir {
        Some(dir) => state::remember(dir, every.to_std(), &world, history.as_deref())?,
        None => {
            tracing::warn!(
                "nothing outlives this process: after a restart, timers begin anew and open alerts are told again; \
                 name a directory for it: `state: {{ dir: /var/lib/foghorn }}`"
            );
            state::forgetful(&world)
        }
    };
    settings.instance.clone_from(&beginning.instance);
    let status = Arc::new(Status::new(shards, started).with_history(history.clone()));
    // What is asked before the desk runs is answered from what it begins with.
    *status.desk.lock() = DeskSnapshot::of(&beginning.desk);
    let senders = senders(&config)?;
    let listener = Api::bind(listen).await.map_err(anyhow::Error::msg)?;
    let address = listener.local_addr()?;
    let in_use = PlanInUse::new(world.plan.clone());
    let (asker, asks) = asking();
    let (operators, operations) = runtime::operators();
    let api = Api {
        plan: in_use.clone(),
        reload: Some(asker),
        operators: Some(operators),
        status: status.clone(),
        title: "foghorn".into(),
    };
    let server = tokio::spawn(api.serve(listener));
    tracing::info!("the page is on http://{address}");
    let sharing = join(&world.plan, &config, &mut settings, &status).await?;
    let (dead_letters, producers) = dead_letters(&world.streams, &settings)?;
    let consumer = ConsumerConfig::new(settings, topics(&world.streams));
    let Beginning { desk, restore, memory, from, .. } = beginning;
    let plan = world.plan.clone();
    let (engine, reloads) = runtime::reloads();
    let local = sharing.is_some();
    let parts = Parts {
        plan,
        shards,
        consumer,
        dead_letters,
        seed: seed(),
        status: status.clone(),
        restore,
        memory,
        sharing,
        reloads: Some(reloads),
        operations: Some(operations),
    };
    tracing::info!(rules = world.plan.rules.len(), streams = world.streams.len(), shards, "watching");
    if let Some(history) = &history {
        let restored = from.map_or(Restored::Nothing, |from| from.restored());
        keep::started(history, restored, &world.rules);
    }
    let reloading = Reloading {
        path: args.config.clone(),
        world,
        config,
        local,
        may_watch: !args.no_watch,
        engine,
        status,
        plan: in_use,
        history: history.clone(),
    };
    let reloading = tokio::spawn(reloading.run(asks, hangups));
    let ended = runtime::run(parts, desk, Arc::new(senders), stop_signal()).await;
    if let Some(history) = &history {
        keep::stopped(history, &ended.as_ref().map_or_else(ToString::to_string, |_| "told to".to_owned()));
    }
    ended?;
    for producer in producers {
        producer.flush(runtime::DRAIN_MAX);
    }
    server.abort();
    reloading.abort();
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Makes sure that we may join the group. The way by which partitions move, where it may be shared.
async fn join(
    plan: &Plan,
    config: &Config,
    settings: &mut KafkaSettings,
    status: &Status,
) -> Result<Option<Arc<Handover>>, CommandError> {
    status.wait_for(Some(
        "Kafka is asked who else is in the consumer group; the log names whom is waited for".to_owned(),
    ));
    let sharing = match (plan.is_local(), settings.instance.clone()) {
        (true, Some(member)) => {
            settings.client_id = local_client_id(&settings.client_id);
            company(settings, Company::Local).await?;
            Some(share(config, settings, &member, status).await?)
        }
        _ => {
            company(settings, Company::Nobody { because: why_alone(plan) }).await?;
            None
        }
    };
    status.wait_for(None);
    Ok(sharing)
}

/// Refuses to join a group with others in it that it may not be shared with, unless they leave in time: a process that
/// died is listed for a while.
async fn company(settings: &KafkaSettings, company: Company) -> Result<(), CommandError> {
    let settings = settings.clone();
    let check = move || kafka::check_company(&settings, &company, OTHERS_LEAVE_MAX);
    tokio::select! {
        checked = tokio::task::spawn_blocking(check) => Ok(checked??),
        () = stop_signal() => Err(anyhow::anyhow!("told to stop before it began")),
    }
}

/// The way by which partitions move to other members of the group.
async fn share(
    config: &Config,
    settings: &KafkaSettings,
    member: &str,
    status: &Status,
) -> Result<Arc<Handover>, CommandError> {
    let kafka = config.kafka.as_ref().context("the configuration names no Kafka cluster")?;
    let topic = kafka.handover().map_err(anyhow::Error::msg)?;
    let member: Arc<str> = member.into();
    status.wait_for(Some(format!("the topic `{topic}`, through which partitions move, is looked for")));
    let handover = loop {
        let (settings, member, name) = (settings.clone(), member.clone(), topic.clone());
        let start = move || Handover::start(&settings, &name, member, HANDOVER_MAX);
        match tokio::task::spawn_blocking(start).await? {
            Ok(handover) => break handover,
            Err(error @ KafkaError::Handover(HandoverError::NotCompacted { .. })) => return Err(error.into()),
            Err(error) => {
                tracing::warn!("{error}; trying again"); // Kafka may be away
                status.wait_for(Some(format!("{error}; Foghorn keeps trying")));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(HANDOVER_MAX) => {}
            () = stop_signal() => anyhow::bail!("told to stop before it began"),
        }
    };
    tracing::info!(
        topic = &*topic,
        "all rules are local: others may join the group, and partitions move through this topic"
    );
    Ok(Arc::new(handover))
}

/// Why nobody else may be in the group.
fn why_alone(plan: &Plan) -> String {
    let others: Vec<String> = plan.rules.iter().filter(|rule| !rule.local).map(|rule| rule.meta.to_string()).collect();
    let more = others.len().saturating_sub(RULES_NAMED);
    let named = others[..others.len() - more].join(", ");
    match (others.is_empty(), more) {
        (true, _) => "members of one group need rules, all of them `local: true`, and a `state.dir` each".to_owned(),
        (false, 0) => format!("these rules are not `local: true`: {named}"),
        (false, more) => format!("these rules are not `local: true`: {named} and {more} more"),
    }
}

pub(super) fn senders(config: &Config) -> Result<Senders, CommandError> {
    Senders::new(&config.receivers, secrets::process_environment).map_err(|errors| {
        let texts = errors.into_iter().map(|error| format!("\n  {:#}", anyhow::Error::from(error)));
        anyhow::anyhow!("receivers cannot be set up:{}", texts.collect::<String>())
    })
}

/// Ctrl-C, or SIGTERM.
pub(super) async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(signal) => signal,
        Err(error) => {
            tracing::warn!("SIGTERM cannot be listened to: {error}");
            let _ = interrupt.await;
            return;
        }
    };
    tokio::select! {
        _ = interrupt => {}
        _ = terminate.recv() => {}
    }
}

/// Different in each process: hashing must not be guessable from outside.
pub(super) fn seed() -> u64 {
    rand::random()
}

async fn rehearse(
    world: &World,
    mut settings: KafkaSettings,
    shards: usize,
    global: &GlobalArgs,
) -> Result<ExitCode, CommandError> {
    settings.group = format!("{}-rehearsal-{:016x}", settings.group, seed());
    settings.start = Start::Earliest;
    let topics = topics(&world.streams);
    // A topic that is missing never ends, so it is looked for first.
    kafka::check_topics(&settings, &topics, ANSWER_MAX)?;
    let status = Arc::new(Status::new(shards, clock::now()));
    let parts = Parts {
        plan: world.plan.clone(),
        shards,
        consumer: ConsumerConfig::new(settings, topics),
        dead_letters: Arc::new(|_| {}),
        seed: seed(),
        status,
        restore: Vec::new(),
        memory: None,
        sharing: None,
        reloads: None,
        operations: None,
    };
    let happened = runtime::rehearse(parts, world.desk()).await?;
    let paint = if global.colours() { Paint::Ansi } else { Paint::Plain };
    let mut out = std::io::stdout().lock();
    for what in happened {
        if let Happening::Sent(block) = what {
            write!(out, "{}", block.text(paint))?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
