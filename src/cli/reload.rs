//! Reloads of `foghorn run`: files that change, SIGHUP and `/-/reload` all end here, one after the other.
//!
//! Everything is found wanting before anything is touched: files are read and checked as at the start, and compared with
//! what runs. What would need another Kafka client, another socket or other threads is refused by the name of its key,
//! and refuses the rest with it: half a configuration is nobody's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::load::World;
use super::run::senders;
use crate::api::reload::{Answer, Ask};
use crate::config::checked::{Config, KafkaConfig, StreamConfig};
use crate::config::load::{load_config, made_of};
use crate::edge::clock;
use crate::edge::history::Recorder;
use crate::edge::senders::Senders;
use crate::edge::watch::{FolderWatch, fingerprint};
use crate::engine::change::{RuleChange, RuleChanges};
use crate::engine::plan::Plan;
use crate::engine::record::{OperatorRecord, Record};
use crate::runtime::{Next, PlanInUse, ReloadOutcome, Reloader, Status};

/// How often files are looked at although nobody says that they changed.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Lines of what a reload changed, or of what was wrong, that are recorded with it.
const LINES_RECORDED_MAX: usize = 20;

/// Who asks when nobody does.
const FILES: &str = "a change of the files";

/// Reloads an engine.
pub(super) struct Reloading {
    pub path: PathBuf,
    /// What runs.
    pub world: World,
    /// What it was configured with.
    pub config: Config,
    /// Whether each partition is judged by itself, as all rules are local.
    pub local: bool,
    /// Whether changes of files are gone by, whatever the configuration says.
    pub may_watch: bool,
    pub engine: Reloader,
    pub status: Arc<Status>,
    pub plan: PlanInUse,
    pub history: Option<Arc<Recorder>>,
}

/// Why nothing was changed.
struct Refused {
    outcome: ReloadOutcome,
    text: String,
}

impl Refused {
    fn new(outcome: ReloadOutcome, text: impl Into<String>) -> Refused {
        Refused { outcome, text: text.into() }
    }
}

/// SIGHUP, which would end the process if nobody listened.
pub(super) fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

impl Reloading {
    /// Reloads whenever there is reason to, for ever.
    pub async fn run(mut self, mut asks: mpsc::Receiver<Ask>, mut hangups: Signal) {
        let (notice, mut noticed) = mpsc::channel(1);
        let mut files = Files::new(self.path.clone(), notice);
        files.go_by(self.watches());
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (why, ask) = tokio::select! {
                Some(ask) = asks.recv() => ("a request", Some(ask)),
                Some(()) = hangups.recv() => ("SIGHUP", None),
                Some(()) = noticed.recv(), if self.watches() => (FILES, None),
                _ = look.tick(), if self.watches() => (FILES, None),
            };
            let changed = files.look().await;
            if why == FILES && !changed {
                continue;
            }
            let answer = self.reload(why).await;
            self.record(why, ask.as_ref().map(|ask| ask.from.clone()), &answer);
            files.go_by(self.watches());
            ask.into_iter().for_each(|ask| ask.answer(answer.clone()));
        }
    }

    /// That somebody wanted it, and what came of it.
    fn record(&self, why: &str, from: Option<String>, answer: &Answer) {
        let Some(history) = &self.history else { return };
        let lines: Vec<&str> = answer.text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let mut detail = answer.outcome.name().to_owned();
        for line in lines.iter().take(LINES_RECORDED_MAX) {
            detail += &format!("; {line}");
        }
        if lines.len() > LINES_RECORDED_MAX {
            detail += &format!("; and {} lines more", lines.len() - LINES_RECORDED_MAX);
        }
        let record = OperatorRecord { who: why.to_owned(), what: "reload".to_owned(), detail, from };
        history.record(clock::now(), Record::Operator(record));
    }

    fn watches(&self) -> bool {
        self.may_watch && self.config.watch
    }

    async fn reload(&mut self, why: &'static str) -> Answer {
        let (outcome, text) = match self.try_reload().await {
            Ok(changes) => (ReloadOutcome::Applied, changes),
            Err(Refused { outcome, text }) => (outcome, text),
        };
        self.status.reloads.count(outcome, clock::now());
        match outcome {
            ReloadOutcome::Applied => {}
            _ => tracing::error!(why, outcome = outcome.name(), "nothing was reloaded: {}", text.trim_end()),
        }
        Answer { outcome, text }
    }

    /// What changed, as lines.
    async fn try_reload(&mut self) -> Result<String, Refused> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || read(&path)).await;
        let (world, config, senders) =
            read.map_err(|fault| Refused::new(ReloadOutcome::Failed, format!("{fault}\n")))??;
        refuse_restarts(&self.config, &config, &self.world.streams, &world.streams)?;
        refuse_other_than_local(self.local, &world.plan)?;
        let world = world.in_order_of(&self.world.streams);
        let changes = RuleChanges::between(&self.world.plan, &world.plan);
        let next = Next { plan: world.plan.clone(), desk: world.desk(), senders: Arc::new(senders) };
        let reloaded = self.engine.reload(next).await;
        let reloaded = reloaded.map_err(|error| Refused::new(ReloadOutcome::Failed, format!("{error}\n")))?;
        self.plan.set(world.plan.clone());
        (self.world, self.config) = (world, config);
        tell(&changes, reloaded.stall);
        if let Some(history) = &self.history {
            history.record(clock::now(), Record::Rules(self.world.rules.clone()));
        }
        Ok(changes.to_string())
    }
}

/// Everything as at the start of a process.
fn read(path: &std::path::Path) -> Result<(World, Config, Senders), Refused> {
    let failed = |text: String| Refused::new(ReloadOutcome::Failed, format!("{text}\n"));
    let invalid = |text: String| Refused::new(ReloadOutcome::Invalid, text);
    let loaded = load_config(path).map_err(|error| failed(format!("{:#}", anyhow::Error::from(error))))?;
    if !loaded.is_valid() {
        return Err(invalid(loaded.diagnostics.render(false)));
    }
    if loaded.diagnostics.warnings() > 0 {
        tracing::warn!("{}", loaded.diagnostics.render(false).trim_end());
    }
    let world = World::of(loaded);
    let config = world.config.clone().ok_or_else(|| failed("the configuration has errors".to_owned()))?;
    let senders = senders(&config).map_err(|error| invalid(format!("{error:#}\n")))?;
    Ok((world, config, senders))
}

fn tell(changes: &RuleChanges, stall: Duration) {
    for (rule, change) in changes.0.iter().filter(|(_, change)| *change != RuleChange::Unchanged) {
        tracing::info!(%rule, change = change.name(), "{}", change.consequence());
    }
    let [added, removed, changed, unchanged] =
        ["added", "removed", "changed", "unchanged"].map(|name| changes.count(name));
    tracing::info!(added, removed, changed, unchanged, ?stall, "reloaded");
}

/// What a running process cannot change.
fn refuse_restarts(
    old: &Config,
    new: &Config,
    old_streams: &[StreamConfig],
    new_streams: &[StreamConfig],
) -> Result<(), Refused> {
    let mut keys = kafka_changes(old.kafka.as_ref(), new.kafka.as_ref());
    keys.extend(stream_changes(old_streams, new_streams));
    let others = [
        ("`server.listen`", old.server.listen != new.server.listen),
        ("`shards`", old.shards != new.shards),
        ("`state`", old.state != new.state),
        ("`log`", old.log != new.log),
    ];
    keys.extend(others.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| format!("{key} changed")));
    if keys.is_empty() {
        return Ok(());
    }
    let lines: String = keys.iter().map(|key| format!("{key}: this needs a restart\n")).collect();
    Err(Refused::new(ReloadOutcome::RestartNeeded, format!("{lines}nothing was changed\n")))
}

/// Partitions that are judged each by itself cannot be put together while others read some of them.
fn refuse_other_than_local(local: bool, plan: &Plan) -> Result<(), Refused> {
    let other = plan.rules.iter().find(|rule| !rule.local).filter(|_| local);
    let Some(rule) = other else { return Ok(()) };
    let text = format!(
        "`local` of the rules changed: {} is not `local: true`, and all rules were: this needs a restart\nnothing was changed\n",
        rule.meta
    );
    Err(Refused::new(ReloadOutcome::RestartNeeded, text))
}

fn kafka_changes(old: Option<&KafkaConfig>, new: Option<&KafkaConfig>) -> Vec<String> {
    let (Some(old), Some(new)) = (old, new) else {
        return if old == new { Vec::new() } else { vec!["`kafka` changed".to_owned()] };
    };
    let KafkaConfig { brokers, group, client_id, handover_topic, tls, sasl, start, properties } = new;
    let keys = [
        ("brokers", *brokers != old.brokers),
        ("group", *group != old.group),
        ("client_id", *client_id != old.client_id),
        ("handover_topic", *handover_topic != old.handover_topic),
        ("tls", *tls != old.tls),
        ("sasl", *sasl != old.sasl),
        ("start", *start != old.start),
        ("properties", *properties != old.properties),
    ];
    keys.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| format!("`kafka.{key}` changed")).collect()
}

fn stream_changes(old: &[StreamConfig], new: &[StreamConfig]) -> Vec<String> {
    let find = |list: &'_ [StreamConfig], name: &str| list.iter().position(|stream| &*stream.schema.name == name);
    let now = new.iter().filter_map(|stream| {
        let name = &stream.schema.name;
        match find(old, name) {
            None => Some(format!("stream `{name}` was added")),
            Some(at) if old[at] != *stream => Some(format!("stream `{name}` changed")),
            Some(_) => None,
        }
    });
    let gone = old.iter().filter(|stream| find(new, &stream.schema.name).is_none());
    now.chain(gone.map(|stream| format!("stream `{}` was removed", stream.schema.name))).collect()
}

/// The files that are gone by, and whether they changed since they were last looked at.
struct Files {
    path: PathBuf,
    notice: mpsc::Sender<()>,
    watch: Option<FolderWatch>,
    folders: Vec<PathBuf>,
    seen: u64,
}

impl Files {
    fn new(path: PathBuf, notice: mpsc::Sender<()>) -> Files {
        let (folders, seen) = look_at(&path);
        Files { path, notice, watch: None, folders, seen }
    }

    /// Whether they are other than the last time.
    async fn look(&mut self) -> bool {
        let path = self.path.clone();
        let Ok((folders, seen)) = tokio::task::spawn_blocking(move || look_at(&path)).await else { return false };
        self.folders = folders;
        std::mem::replace(&mut self.seen, seen) != seen
    }

    /// Watches the folders there are now, or none.
    fn go_by(&mut self, watched: bool) {
        match &self.watch {
            Some(watch) if watched && watch.folders() == self.folders => {}
            _ if watched => self.watch = Some(FolderWatch::start(self.folders.clone(), self.notice.clone())),
            _ => self.watch = None,
        }
    }
}

fn look_at(path: &std::path::Path) -> (Vec<PathBuf>, u64) {
    let made = made_of(path);
    let seen = fingerprint(made.files.iter().map(PathBuf::as_path));
    (made.folders, seen)
}
