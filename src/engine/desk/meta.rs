//! Foghorn's alerts about itself: a source that stands still, a rule that has too many groups or is not as local as it
//! says, a desk that is full.
//!
//! They are ordinary alerts, routed and grouped like any other, because whoever is paged by a rule has to be paged when
//! that rule has gone blind. They have no rule file; their rule group is `foghorn`.

use std::sync::Arc;

use super::DeskConfig;
use super::table::AlertTable;
use crate::alert::life::{Alert, AlertName};
use crate::model::signal::ResolvedBecause;
use crate::model::{
    Comparison, EventTime, Evidence, Labels, Loss, Millis, RuleMeta, Signal, SourceId, Transition, WallTime,
};

/// The rule group of Foghorn's alerts about itself.
pub const META_GROUP: &str = "foghorn";
pub const SOURCE_STALLED: &str = "FoghornSourceStalled";
pub const RULE_DEGRADED: &str = "FoghornRuleDegraded";
pub const INPUT_LOST: &str = "FoghornInputLost";
pub const RULE_NOT_LOCAL: &str = "FoghornRuleNotLocal";
pub const DESK_FULL: &str = "FoghornDeskFull";

/// They have a place in a full table: they are few, and say that it is full.
pub(super) fn is_meta(rule: &RuleMeta) -> bool {
    &*rule.group == META_GROUP && rule.file.is_empty()
}

pub(super) fn source_stalled(
    config: &DeskConfig,
    now: WallTime,
    stream: &Arc<str>,
    source: &SourceId,
    watermark: EventTime,
    still_for: Millis,
) -> Signal {
    let seconds = still_for.as_secs_f64();
    Signal {
        annotations: vec![
            ("summary".into(), format!("stream {stream} stands still at {source}")),
            (
                "description".into(),
                format!(
                    "The watermark of {source} has stood at {watermark} for {still_for}. Rules on stream {stream} see \
                     nothing newer, and alerts of it neither fire nor resolve."
                ),
            ),
        ],
        value: Some(seconds),
        evidence: Arc::new(Evidence {
            condition: "the watermark stands still".into(),
            values: vec![("still_for_seconds".into(), Some(seconds))],
            ..Evidence::default()
        }),
        ..signal(config, now, SOURCE_STALLED, "critical", source_labels(stream, source), true)
    }
}

pub(super) fn source_recovered(config: &DeskConfig, now: WallTime, stream: &Arc<str>, source: &SourceId) -> Signal {
    signal(config, now, SOURCE_STALLED, "critical", source_labels(stream, source), false)
}

pub(super) fn rule_degraded(
    config: &DeskConfig,
    now: WallTime,
    rule: &RuleMeta,
    groups_max: usize,
    refused: u64,
) -> Signal {
    Signal {
        annotations: vec![
            ("summary".into(), format!("rule {rule} has reached its limit of {groups_max} groups")),
            (
                "description".into(),
                format!(
                    "New groups of rule {rule} are not watched: {refused} events were refused. Group by fewer labels, \
                     narrow `where`, or raise the limit."
                ),
            ),
        ],
        value: Some(refused as f64),
        evidence: Arc::new(Evidence {
            condition: "groups >= limit".into(),
            comparisons: vec![Comparison {
                text: format!("groups >= {groups_max}"),
                left: Some(groups_max as f64),
                right: Some(groups_max as f64),
                holds: Some(true),
            }],
            values: vec![("refused".into(), Some(refused as f64))],
            ..Evidence::default()
        }),
        ..signal(config, now, RULE_DEGRADED, "warning", rule_labels(rule), true)
    }
}

pub(super) fn rule_restored(config: &DeskConfig, now: WallTime, rule: &RuleMeta) -> Signal {
    signal(config, now, RULE_DEGRADED, "warning", rule_labels(rule), false)
}

/// `one` and `other` raise `alert` at once.
pub(super) fn rule_not_local(
    config: &DeskConfig,
    now: WallTime,
    rule: &RuleMeta,
    alert: &AlertName,
    one: &SourceId,
    other: &SourceId,
) -> Signal {
    Signal {
        annotations: vec![
            ("summary".into(), format!("rule {rule} says `local: true`, and its groups are in several partitions")),
            (
                "description".into(),
                format!(
                    "{alert} is raised from {one} and from {other}. Each sees a part of the group only, and what {other} \
                     says is not told. Let the producer key its records by what the rule groups by, or take \
                     `local: true` off the rule."
                ),
            ),
        ],
        evidence: Arc::new(Evidence { condition: "a group is in two partitions".into(), ..Evidence::default() }),
        ..signal(config, now, RULE_NOT_LOCAL, "warning", rule_labels(rule), true)
    }
}

pub(super) fn rule_local_again(config: &DeskConfig, now: WallTime, rule: &RuleMeta) -> Signal {
    signal(config, now, RULE_NOT_LOCAL, "warning", rule_labels(rule), false)
}

/// The rule that an alert of [`rule_degraded`] is about.
pub(super) fn degraded_rule(alert: &Alert) -> Option<RuleMeta> {
    let label = |name| alert.labels.get(name).map(Arc::from);
    let about = is_meta(&alert.rule) && &*alert.rule.name == RULE_DEGRADED && alert.is_firing();
    about.then_some(())?;
    Some(RuleMeta { name: label("rule")?, group: label("rule_group")?, file: label("rule_file")?, line: 0 })
}

/// Fires when a firing alert found no room, and ends when a tenth of the room is free again.
pub(super) fn desk_full(config: &DeskConfig, now: WallTime, alerts: &mut AlertTable) -> Option<Signal> {
    let refused = std::mem::take(&mut alerts.firing_refused);
    let (live, max) = (alerts.live(), alerts.alerts_max());
    let roomy = live < max - max / 10;
    let was_full = alerts.full;
    alerts.full = refused > 0 || (was_full && !roomy);
    match (refused, was_full) {
        (1.., _) => Some(Signal {
            annotations: vec![
                ("summary".into(), format!("the desk is full with {max} alerts; some that fire are not known to it")),
                (
                    "description".into(),
                    format!(
                        "{refused} firing alerts were refused just now. Group rules by fewer labels, or raise the \
                         bound of alerts."
                    ),
                ),
            ],
            value: Some(refused as f64),
            evidence: Arc::new(Evidence {
                condition: "alerts >= limit".into(),
                comparisons: vec![Comparison {
                    text: format!("alerts >= {max}"),
                    left: Some(live as f64),
                    right: Some(max as f64),
                    holds: Some(true),
                }],
                values: vec![("refused".into(), Some(refused as f64))],
                ..Evidence::default()
            }),
            ..signal(config, now, DESK_FULL, "warning", Vec::new(), true)
        }),
        (0, true) if roomy => Some(signal(config, now, DESK_FULL, "warning", Vec::new(), false)),
        _ => None,
    }
}

pub(super) fn input_lost(
    config: &DeskConfig,
    now: WallTime,
    stream: &Arc<str>,
    source: &SourceId,
    loss: Loss,
) -> Signal {
    let (summary, cause) = match loss {
        Loss::Expired { records } => (
            format!("{records} records of {source} were gone before Foghorn could read them"),
            "Kafka no longer held them: Foghorn was away for longer than the topic's retention.",
        ),
        Loss::Rewound => (
            format!("the log of {source} begins anew"),
            "The topic was made anew or cut; what it held behind the last record read is not known.",
        ),
        Loss::TakenAway => (
            format!("{source} is read by somebody else"),
            "Another member of the consumer group has the partition. Give each Foghorn a `kafka.group` of its own.",
        ),
    };
    let lost = match loss {
        Loss::Expired { records } => Some(records as f64),
        Loss::Rewound | Loss::TakenAway => None,
    };
    Signal {
        annotations: vec![
            ("summary".into(), summary),
            (
                "description".into(),
                format!(
                    "{cause} Rules on stream {stream} know nothing while their windows reach back to what is missing: \
                     they neither fire nor resolve."
                ),
            ),
        ],
        value: lost,
        evidence: Arc::new(Evidence {
            condition: "events are missing".into(),
            values: vec![("lost".into(), lost)],
            ..Evidence::default()
        }),
        ..signal(config, now, INPUT_LOST, "warning", vec![("stream", stream.clone())], true)
    }
}

pub(super) fn input_whole(config: &DeskConfig, now: WallTime, stream: &Arc<str>) -> Signal {
    signal(config, now, INPUT_LOST, "warning", vec![("stream", stream.clone())], false)
}

fn source_labels(stream: &Arc<str>, source: &SourceId) -> Vec<(&'static str, Arc<str>)> {
    vec![
        ("stream", stream.clone()),
        ("topic", source.topic.clone()),
        ("partition", source.partition.to_string().into()),
    ]
}

/// The stream and the source an alert of [`SOURCE_STALLED`] is about.
pub(super) fn stalled_source(alert: &Alert) -> Option<(Arc<str>, SourceId)> {
    let label = |name| alert.labels.get(name);
    let ours = is_meta(&alert.rule) && &*alert.rule.name == SOURCE_STALLED;
    ours.then(|| Some((label("stream")?.into(), SourceId::new(label("topic")?, label("partition")?.parse().ok()?))))?
}

fn rule_labels(rule: &RuleMeta) -> Vec<(&'static str, Arc<str>)> {
    vec![("rule", rule.name.clone()), ("rule_group", rule.group.clone()), ("rule_file", rule.file.clone())]
}

fn signal(
    config: &DeskConfig,
    now: WallTime,
    name: &'static str,
    severity: &'static str,
    labels: Vec<(&'static str, Arc<str>)>,
    firing: bool,
) -> Signal {
    let labels = Labels::from_pairs(labels).with([("alertname", name), ("severity", severity)]);
    let overlaid = config.meta_labels.iter().map(|(name, value)| (Arc::<str>::from(name), Arc::<str>::from(value)));
    let at = noticed_at(now);
    Signal {
        rule: Arc::new(RuleMeta { name: name.into(), group: META_GROUP.into(), file: "".into(), line: 0 }),
        labels: labels.with(overlaid),
        transition: match firing {
            true => Transition::Firing,
            false => Transition::Resolved(ResolvedBecause::Normal),
        },
        at,
        active_since: at,
        fired_at: firing.then_some(at),
        annotations: Vec::new(),
        value: None,
        evidence: Arc::new(Evidence::default()),
        home: None,
    }
}

/// The one place where wall time becomes event time: these are conditions on wall time (design D1), and the event is
/// that they were noticed.
const fn noticed_at(now: WallTime) -> EventTime {
    EventTime(now.0)
}
