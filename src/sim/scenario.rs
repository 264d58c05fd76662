//! Runs a scenario and says, for each `expect`, what was expected and what came.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::alert::silence::{SilenceId, Wish};
use crate::engine::desk::{DeskConfig, Operation};
use crate::engine::local::{Happening, Local};
use crate::engine::plan::Plan;
use crate::model::batch::RawBatchBuilder;
use crate::model::delivery::{AlertStatus, SendReason};
use crate::model::position::SourceId;
use crate::model::signal::{ResolvedBecause, Signal, Transition};
use crate::model::time::{EventTime, Millis, WallTime};
use crate::sim::load::{self, Event};
use crate::sim::script::{Script, What};

/// Events of one batch: small, so that scenarios go over batch borders.
const BATCH: usize = 512;

/// What a scenario plays in.
pub struct Stage<'a> {
    pub plan: &'a Arc<Plan>,
    pub desk: DeskConfig,
    pub shards: usize,
    /// Recorded lines of a file that the script names.
    pub lines: &'a dyn Fn(&str) -> Result<Vec<Vec<u8>>, String>,
}

/// One `expect` and what came.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub line: usize,
    pub range: Range<usize>,
    pub expected: Vec<String>,
    pub actual: Vec<String>,
}

impl Outcome {
    pub fn is_met(&self) -> bool {
        let folded = |lines: &[String]| -> Vec<String> {
            lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
        };
        folded(&self.expected) == folded(&self.actual)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScenarioError {
    pub line: usize,
    pub message: String,
}

/// Plays the whole script.
pub fn run(script: &Script, stage: Stage<'_>) -> Result<Vec<Outcome>, ScenarioError> {
    let plan = stage.plan;
    let mut local = Local::new(plan, stage.shards, stage.desk, 0)
        .map_err(|error| ScenarioError { line: 1, message: error.to_string() })?;
    let sources: Vec<SourceId> =
        plan.streams.iter().map(|stream| SourceId::new(format!("scenario:{}", stream.schema.name), 0)).collect();
    local.assign(&sources.iter().cloned().enumerate().collect::<Vec<_>>());
    let mut waiting: BTreeMap<usize, Vec<Event>> = BTreeMap::new();
    let mut offsets = vec![0; sources.len()];
    let mut outcomes = Vec::new();
    for step in &script.steps {
        let failed = |message: String| ScenarioError { line: step.line, message };
        match &step.what {
            What::Load(load) => {
                let stream = stream_index(plan, &load.stream).map_err(failed)?;
                let schema = &plan.streams[stream].schema;
                let events = load::events(load, schema, script.start).map_err(failed)?;
                waiting.entry(stream).or_default().extend(events);
            }
            What::Play { stream, file } => {
                let stream = stream_index(plan, stream).map_err(failed)?;
                let lines = (stage.lines)(file).map_err(failed)?;
                let records = lines.into_iter().map(|record| Event { at: EventTime::MIN, record });
                play(&mut local, stream, &sources[stream], &mut offsets[stream], records.collect());
            }
            What::Advance(to) => {
                let until = script.start + *to;
                for (stream, events) in &mut waiting {
                    events.sort_by_key(|event| event.at);
                    let due = events.partition_point(|event| event.at < until);
                    let due = events.drain(..due).collect();
                    play(&mut local, *stream, &sources[*stream], &mut offsets[*stream], due);
                }
                local.until(until);
            }
            What::Silence { matchers, from, length } => {
                let starts_at = WallTime::from_event(script.start + *from);
                let times = (Some(starts_at), starts_at + *length);
                let wish =
                    Wish::new(matchers.clone(), times, "scenario", "").map_err(|error| failed(error.to_string()))?;
                let fresh = SilenceId::of(step.line as u128);
                let answer = local.operate(Operation::Silence { from: None, wish, fresh });
                answer.map_err(|refused| failed(refused.to_string()))?;
            }
            What::Expect { lines, range } => {
                let happened = local.take_happened();
                outcomes.push(Outcome {
                    line: step.line,
                    range: range.clone(),
                    expected: lines.clone(),
                    actual: happened.iter().map(|what| line(what, script.start)).collect(),
                });
            }
        }
    }
    Ok(outcomes)
}

/// The script's text with every `expect` as it came.
pub fn rewritten(text: &str, outcomes: &[Outcome]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for outcome in outcomes.iter().rev() {
        lines.splice(outcome.range.clone(), outcome.actual.iter().map(|line| format!("  {line}")));
    }
    lines.join("\n") + "\n"
}

fn stream_index(plan: &Plan, name: &str) -> Result<usize, String> {
    plan.streams.iter().position(|stream| &*stream.schema.name == name).ok_or_else(|| {
        let known: Vec<&str> = plan.streams.iter().map(|stream| &*stream.schema.name).collect();
        format!("there is no stream `{name}`; the rules know {}", known.join(", "))
    })
}

fn play(local: &mut Local, stream: usize, source: &SourceId, offset: &mut i64, events: Vec<Event>) {
    for chunk in events.chunks(BATCH) {
        let mut batch = RawBatchBuilder::default();
        let index = batch.source(&source.topic, source.partition);
        for event in chunk {
            let stamp = if event.at == EventTime::MIN { -1 } else { event.at.0 };
            batch.push(index, *offset, stamp, &event.record);
            *offset += 1;
        }
        local.records(stream, batch.finish());
    }
}

/// One happening as a scenario writes it.
fn line(what: &Happening, start: EventTime) -> String {
    match what {
        Happening::Signal(signal) => signal_line(signal, start),
        Happening::Sent(block) => {
            let n = &block.notification;
            let count = |status| n.alerts.iter().filter(|alert| alert.status == status).count();
            let (firing, resolved) = (count(AlertStatus::Firing), count(AlertStatus::Resolved));
            let reason = match n.reason {
                SendReason::New => "new",
                SendReason::Changed => "changed",
                SendReason::Repeat => "still",
                SendReason::AllResolved => "all over",
            };
            let offset = Millis(n.at.0 - start.0).to_string();
            let counts = [(firing, "firing"), (resolved, "resolved")];
            let counts: Vec<String> =
                counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
            let group = &n.group_labels;
            format!("{offset:<9} sent       {}  {reason} {group}: {}", block.target(), counts.join(", "))
        }
    }
}

fn signal_line(signal: &Signal, start: EventTime) -> String {
    let state = match signal.transition {
        Transition::Pending => "pending",
        Transition::Dropped => "dropped",
        Transition::Firing => "firing",
        Transition::Refreshed => "refreshed",
        Transition::Resolved(ResolvedBecause::Normal) => "resolved",
        Transition::Resolved(ResolvedBecause::SeenAgain) => "seen again",
        Transition::Resolved(ResolvedBecause::Expired) => "expired",
        Transition::Resolved(ResolvedBecause::RuleRemoved) => "rule removed",
        Transition::Resolved(ResolvedBecause::LocalChanged) => "local changed",
    };
    let labels = signal.labels.with([("alertname", "")]);
    let values = signal.evidence.values.iter().map(|(name, value)| match value {
        Some(value) => format!("{name}={}", (value * 1e6).round() / 1e6),
        None => format!("{name}=?"),
    });
    let top = signal.evidence.contributors.iter().map(|c| format!("{}:{}×{}", c.name, c.value, c.count));
    let facts: Vec<String> = values.chain(top).collect();
    let offset = signal.at.since(start).to_string();
    format!("{offset:<9} {state:<10} {}{labels}  {}", signal.rule.name, facts.join(" ")).trim_end().to_owned()
}
