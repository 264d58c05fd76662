//! Records: what is still known of an alert when the process that raised it is long gone.
//!
//! The journal answers "why was I paged?" for as long as the process lives and its ring goes round. A record is the part
//! of it that outlives both, and the audit trail beside: which rules were in force, who did what, when Foghorn ran.
//! One closed enum, so that a reader of the table, of the API and of the command line meets the same words; times are
//! RFC 3339 in it and names are stable, because the text is what `sqlite3` shows.
//!
//! Not every decision is a record. Those that only say that nothing happened yet (a group waits, a signal was stale) are
//! worth their place in memory and not on a disk, and an attempt is recorded by what became of it. What a full desk
//! refuses is not recorded alert by alert: the refusal repeats with every signal and would push out what can still be
//! acted on; that the desk is full is an alert of its own, and recorded as one.
//!
//! - `Y1` [`Record::of`] is a function of the entry alone: an entry that is made again after a crash is the same record
//! - `Y2` a record that is written and read again is the same record

pub mod filter;
mod present;
pub mod stamp;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use filter::{Filter, FilterError};

use crate::alert::life::{AlertName, Change};
use crate::alert::silence::SilenceId;
use crate::engine::desk::Person;
use crate::engine::journal::{Decision, JournalEntry, Seen};
use crate::model::signal::ResolvedBecause;
use crate::model::{Comparison, EventTime, Evidence, Labels, Millis, SendReason, WallTime};

/// Contributors of one `let` that are recorded.
pub const CONTRIBUTORS_MAX: usize = 3;

/// Rule files a record lists one by one; its hash covers all of them.
pub const RULE_FILES_MAX: usize = 1_000;

/// One process of Foghorn, named by when it started (milliseconds since the epoch).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub i64);

/// A record with its circumstances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub run: RunId,
    /// The journal entry it comes from; `None` for what the desk did not decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    #[serde(with = "stamp")]
    pub at: WallTime,
    #[serde(flatten)]
    pub record: Record,
}

/// What records are about, as filters name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Alert,
    Delivery,
    Rules,
    Operator,
    Run,
    Partition,
}

impl Kind {
    pub const ALL: [Kind; 6] = [Kind::Alert, Kind::Delivery, Kind::Rules, Kind::Operator, Kind::Run, Kind::Partition];

    pub const fn name(self) -> &'static str {
        match self {
            Kind::Alert => "alert",
            Kind::Delivery => "delivery",
            Kind::Rules => "rules",
            Kind::Operator => "operator",
            Kind::Run => "run",
            Kind::Partition => "partition",
        }
    }

    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Record {
    Alert(AlertRecord),
    Delivery(DeliveryRecord),
    Rules(RulesRecord),
    Operator(OperatorRecord),
    Run(RunRecord),
    Partition(PartitionRecord),
}

/// Something about one alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertRecord {
    /// The rule's name.
    pub alert: Arc<str>,
    pub labels: Labels,
    #[serde(flatten)]
    pub what: AlertEvent,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum AlertEvent {
    /// The condition holds, `for` is running.
    Began {
        facts: Facts,
    },
    /// It ceased before `for` was over.
    Dropped {
        facts: Facts,
    },
    Fired {
        facts: Facts,
    },
    /// Another episode; the end of the one before got lost on the way.
    FiredAgain {
        #[serde(with = "stamp")]
        before: EventTime,
        facts: Facts,
    },
    Resolved {
        because: ResolvedBecause,
        facts: Facts,
    },
    /// It is in a group, and `receiver` will hear of it.
    Joined {
        group: Arc<str>,
        receiver: Arc<str>,
    },
    /// There are too many groups, so it shares `group` with others.
    Overflowed {
        group: Arc<str>,
        wanted: Arc<str>,
    },
    /// Nobody hears of it.
    Untold {
        reason: Arc<str>,
    },
    /// It was pending and made room for another.
    Displaced {
        by: Arc<str>,
    },
    /// The group is owed so many ends that it forgot this one.
    EndForgotten {
        group: Arc<str>,
    },
    /// Nobody hears of it until the silence is over.
    Silenced {
        silence: SilenceId,
        by: Arc<str>,
        comment: Arc<str>,
        #[serde(with = "stamp")]
        until: WallTime,
    },
    /// The silence is over.
    Unsilenced {
        silence: SilenceId,
        by: Arc<str>,
    },
}

/// What was seen when an alert moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The tick at which it moved.
    #[serde(with = "stamp")]
    pub event_time: EventTime,
    /// The episode: when it began to fire.
    #[serde(default, with = "stamp::option", skip_serializing_if = "Option::is_none")]
    pub fired_at: Option<EventTime>,
    /// `rules/ssh.yaml:12`; empty where it is not known.
    pub rule: Arc<str>,
    /// The rule's group in its file.
    pub rule_group: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    pub evidence: EvidenceSummary,
}

/// Evidence without the text of events: records are kept for months, what people wrote into their logs need not be.
/// Positions and ids lead back to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EvidenceSummary {
    pub condition: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<Comparison>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<Arc<str>, Option<f64>>,
    /// By `let`: the first [`CONTRIBUTORS_MAX`], largest first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub contributors: BTreeMap<Arc<str>, Vec<(String, u64)>>,
    /// Position of each example, and the id it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<(String, Option<String>)>,
    pub window: Millis,
}

/// Something about a notification. `sequence` counts the notifications of one life of a group; `target` is
/// `receiver/integration`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum DeliveryRecord {
    /// A notification was written, and goes to `targets`.
    Written {
        group: Arc<str>,
        sequence: u32,
        why: SendReason,
        targets: Vec<Arc<str>>,
        firing: usize,
        ended: usize,
        truncated: usize,
    },
    /// The moment came and nothing was said.
    Skipped {
        group: Arc<str>,
        target: Arc<str>,
        reason: Arc<str>,
    },
    Delivered {
        group: Arc<str>,
        target: Arc<str>,
        sequence: u32,
        attempt: u32,
        took: Millis,
        late: bool,
    },
    Failed {
        group: Arc<str>,
        target: Arc<str>,
        sequence: u32,
        attempt: u32,
        reason: Arc<str>,
        /// `None` where it is not tried again.
        #[serde(default, with = "stamp::option", skip_serializing_if = "Option::is_none")]
        next_at: Option<WallTime>,
    },
    Throttled {
        group: Arc<str>,
        target: Arc<str>,
        sequence: u32,
        attempt: u32,
        reason: Arc<str>,
        #[serde(with = "stamp")]
        until: WallTime,
    },
    /// A newer notification says it all.
    Superseded {
        group: Arc<str>,
        target: Arc<str>,
        sequence: u32,
        by: u32,
        attempts: u32,
    },
    /// The dead letter.
    GivenUp {
        group: Arc<str>,
        target: Arc<str>,
        sequence: u32,
        attempts: u32,
        reason: Arc<str>,
        /// When it is written anew unless the receiver is back sooner.
        #[serde(default, with = "stamp::option", skip_serializing_if = "Option::is_none")]
        owed_until: Option<WallTime>,
    },
    /// It took something after others had been given up.
    ReceiverBack {
        target: Arc<str>,
        groups: usize,
    },
}

/// The rules that are in force from now on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RulesRecord {
    /// XXH3 over names and bytes of all files, in order of their names.
    pub hash: String,
    pub rules: usize,
    /// Name → hash of its bytes.
    pub files: BTreeMap<String, String>,
    /// What is checked out where the files are, where that is a git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Against the last recorded rules; `None` where none were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<RulesChange>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RulesChange {
    pub was: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edited: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
}

/// Somebody did something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorRecord {
    pub who: String,
    /// A stable word: `silence_created`, `reload`, …
    pub what: String,
    /// To what, and what changed.
    pub detail: String,
    /// The address they asked from, where they did so over the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

impl OperatorRecord {
    pub fn new(person: &Person, what: &str, detail: impl fmt::Display) -> OperatorRecord {
        let from = person.from.as_deref().map(str::to_owned);
        OperatorRecord { who: person.who.to_string(), what: what.to_owned(), detail: detail.to_string(), from }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum RunRecord {
    Started {
        version: String,
        pid: u32,
        restored: Restored,
        /// What is known of the process before this one. Filled in when it is written.
        before: Before,
    },
    Stopped {
        why: String,
    },
}

/// What the process began with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub enum Restored {
    /// Nothing: journal numbers begin at 1.
    Nothing,
    /// A checkpoint, and this many inputs after it. Journal numbers go on.
    Checkpoint {
        #[serde(with = "stamp")]
        taken_at: WallTime,
        inputs: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ended")]
pub enum Before {
    /// There was none that history knows.
    None,
    Cleanly {
        run: RunId,
    },
    /// It never said that it stopped.
    Uncleanly {
        run: RunId,
    },
}

/// A partition came to this member of the group, or went from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRecord {
    /// `orders/3`
    pub partition: String,
    /// Grows with each owner; of this one.
    pub tenure: u64,
    #[serde(flatten)]
    pub what: PartitionEvent,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum PartitionEvent {
    /// It was here before, and nobody took it over since.
    Confirmed,
    /// With what another member left of it.
    Adopted { from: Arc<str> },
    /// Nobody left anything of it. The first offset that is read, and that ticks are judged from, where these are known.
    Begun {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        read_from: Option<i64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        judged_from: Option<i64>,
    },
    /// It goes to another member, with everything that one has to know.
    Left,
    /// It is another member's already.
    Lost,
}

impl PartitionEvent {
    /// How partitions come.
    pub const ARRIVALS: [&'static str; 3] = ["confirmed", "adopted", "begun"];

    /// How they go.
    pub const DEPARTURES: [&'static str; 2] = ["left", "lost"];

    pub const fn name(&self) -> &'static str {
        match self {
            PartitionEvent::Confirmed => "confirmed",
            PartitionEvent::Adopted { .. } => "adopted",
            PartitionEvent::Begun { .. } => "begun",
            PartitionEvent::Left => "left",
            PartitionEvent::Lost => "lost",
        }
    }
}

impl Record {
    /// The record of a decision; `None` for decisions that are not worth one.
    pub fn of(entry: &JournalEntry) -> Option<Record> {
        Some(match &entry.decision {
            Decision::Alert { alert, change, at, because, seen } => {
                let facts = Facts::of(*at, seen.as_deref());
                let what = match change {
                    Change::Began => AlertEvent::Began { facts },
                    Change::Dropped => AlertEvent::Dropped { facts },
                    Change::Fired => AlertEvent::Fired { facts },
                    Change::FiredAgain { before } => AlertEvent::FiredAgain { before: *before, facts },
                    Change::Resolved => {
                        AlertEvent::Resolved { because: because.unwrap_or(ResolvedBecause::Normal), facts }
                    }
                    Change::Refreshed | Change::Ignored(_) => return None,
                };
                about(alert, what)
            }
            Decision::AlertDisplaced { alert, by } => about(alert, AlertEvent::Displaced { by: by.to_string().into() }),
            Decision::Joined { alert, group, receiver } => {
                about(alert, AlertEvent::Joined { group: group.clone(), receiver: receiver.clone() })
            }
            Decision::GroupOverflow { alert, wanted, into, .. } => {
                about(alert, AlertEvent::Overflowed { group: into.clone(), wanted: wanted.clone() })
            }
            Decision::Untold { alert, why } => about(alert, AlertEvent::Untold { reason: why.text().into() }),
            Decision::EndForgotten { alert, group, .. } => {
                about(alert, AlertEvent::EndForgotten { group: group.clone() })
            }
            Decision::Silenced { alert, silence } => {
                let (by, comment, until) = (silence.created_by.clone(), silence.comment.clone(), silence.ends_at);
                about(alert, AlertEvent::Silenced { silence: silence.id, by, comment, until })
            }
            Decision::Unsilenced { alert, silence } => {
                about(alert, AlertEvent::Unsilenced { silence: silence.id, by: silence.created_by.clone() })
            }
            Decision::Operated { person, done } => Record::Operator(OperatorRecord::new(person, done.name(), done)),
            other => Record::Delivery(delivery(other)?),
        })
    }

    pub const fn kind(&self) -> Kind {
        match self {
            Record::Alert(_) => Kind::Alert,
            Record::Delivery(_) => Kind::Delivery,
            Record::Rules(_) => Kind::Rules,
            Record::Operator(_) => Kind::Operator,
            Record::Run(_) => Kind::Run,
            Record::Partition(_) => Kind::Partition,
        }
    }

    /// The alert it is about, by its rule's name and its labels.
    pub const fn alert(&self) -> Option<(&Arc<str>, &Labels)> {
        match self {
            Record::Alert(record) => Some((&record.alert, &record.labels)),
            _ => None,
        }
    }

    /// What was seen of an alert that moved.
    pub const fn facts(&self) -> Option<&Facts> {
        let Record::Alert(AlertRecord { what, .. }) = self else { return None };
        match what {
            AlertEvent::Began { facts }
            | AlertEvent::Dropped { facts }
            | AlertEvent::Fired { facts }
            | AlertEvent::FiredAgain { facts, .. }
            | AlertEvent::Resolved { facts, .. } => Some(facts),
            _ => None,
        }
    }

    /// The group it is about, or that its alert is in.
    pub const fn group(&self) -> Option<&Arc<str>> {
        match self {
            Record::Alert(AlertRecord {
                what:
                    AlertEvent::Joined { group, .. }
                    | AlertEvent::Overflowed { group, .. }
                    | AlertEvent::EndForgotten { group },
                ..
            }) => Some(group),
            Record::Delivery(record) => match record {
                DeliveryRecord::Written { group, .. }
                | DeliveryRecord::Skipped { group, .. }
                | DeliveryRecord::Delivered { group, .. }
                | DeliveryRecord::Failed { group, .. }
                | DeliveryRecord::Throttled { group, .. }
                | DeliveryRecord::Superseded { group, .. }
                | DeliveryRecord::GivenUp { group, .. } => Some(group),
                DeliveryRecord::ReceiverBack { .. } => None,
            },
            _ => None,
        }
    }

    pub const fn target(&self) -> Option<&Arc<str>> {
        match self {
            Record::Delivery(record) => match record {
                DeliveryRecord::Skipped { target, .. }
                | DeliveryRecord::Delivered { target, .. }
                | DeliveryRecord::Failed { target, .. }
                | DeliveryRecord::Throttled { target, .. }
                | DeliveryRecord::Superseded { target, .. }
                | DeliveryRecord::GivenUp { target, .. }
                | DeliveryRecord::ReceiverBack { target, .. } => Some(target),
                DeliveryRecord::Written { .. } => None,
            },
            _ => None,
        }
    }
}

fn about(alert: &AlertName, what: AlertEvent) -> Record {
    Record::Alert(AlertRecord { alert: alert.rule.clone(), labels: alert.labels.clone(), what })
}

/// A decision that is about no alert.
fn delivery(decision: &Decision) -> Option<DeliveryRecord> {
    Some(match decision.clone() {
        Decision::Flush { group, why, sequence, targets, firing, ended, truncated } => {
            DeliveryRecord::Written { group, sequence, why, targets, firing, ended, truncated }
        }
        Decision::Skip { group, target, why } => {
            DeliveryRecord::Skipped { group, target, reason: why.to_string().into() }
        }
        Decision::Delivered { group, target, sequence, attempt, took, late } => {
            DeliveryRecord::Delivered { group, target, sequence, attempt, took, late }
        }
        Decision::Failed { group, target, sequence, attempt, reason, next_at } => {
            DeliveryRecord::Failed { group, target, sequence, attempt, reason, next_at }
        }
        Decision::Throttled { group, target, sequence, attempt, reason, until } => {
            DeliveryRecord::Throttled { group, target, sequence, attempt, reason, until }
        }
        Decision::Superseded { group, target, sequence, by, attempts } => {
            DeliveryRecord::Superseded { group, target, sequence, by, attempts }
        }
        Decision::GivenUp { group, target, sequence, attempts, why, owed_until } => {
            DeliveryRecord::GivenUp { group, target, sequence, attempts, reason: why.to_string().into(), owed_until }
        }
        Decision::ReceiverBack { target, groups } => DeliveryRecord::ReceiverBack { target, groups },
        Decision::Alert { .. }
        | Decision::AlertDisplaced { .. }
        | Decision::Joined { .. }
        | Decision::GroupOverflow { .. }
        | Decision::Untold { .. }
        | Decision::EndForgotten { .. }
        | Decision::Silenced { .. }
        | Decision::Unsilenced { .. } => unreachable!("decisions about alerts are taken before"),
        Decision::Operated { .. } => unreachable!("what people do is taken before"),
        Decision::SignalIgnored { .. }
        | Decision::AlertRefused { .. }
        | Decision::GroupOpened { .. }
        | Decision::GroupClosed { .. }
        | Decision::Wait { .. }
        | Decision::Attempt { .. }
        | Decision::NotLocal { .. }
        | Decision::HomesDoubted { .. }
        | Decision::HomeConfirmed { .. }
        | Decision::HomeAdopted { .. }
        | Decision::HomeLeaving { .. }
        | Decision::HomeReleased { .. }
        | Decision::ReceiptUnneeded { .. }
        | Decision::OperationRefused { .. }
        | Decision::SilenceBegan { .. }
        | Decision::SilenceEnded { .. } => return None,
    })
}

impl Facts {
    fn of(event_time: EventTime, seen: Option<&Seen>) -> Facts {
        let nothing = || Facts {
            event_time,
            fired_at: None,
            rule: "".into(),
            rule_group: "".into(),
            value: None,
            evidence: EvidenceSummary::default(),
        };
        seen.map_or_else(nothing, |seen| Facts {
            event_time,
            fired_at: seen.fired_at,
            rule: format!("{}:{}", seen.rule.file, seen.rule.line).into(),
            rule_group: seen.rule.group.clone(),
            // JSON has no NaN, and what cannot be read again is no record (`Y2`).
            value: seen.value.filter(|value| value.is_finite()),
            evidence: EvidenceSummary::of(&seen.evidence),
        })
    }
}

impl EvidenceSummary {
    pub fn of(evidence: &Evidence) -> EvidenceSummary {
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        let mut contributors: BTreeMap<Arc<str>, Vec<(String, u64)>> = BTreeMap::new();
        for found in &evidence.contributors {
            let list = contributors.entry(found.name.clone()).or_default();
            if list.len() < CONTRIBUTORS_MAX {
                list.push((found.value.clone(), found.count));
            }
        }
        let comparisons = evidence.comparisons.iter().map(|comparison| Comparison {
            left: finite(comparison.left),
            right: finite(comparison.right),
            ..comparison.clone()
        });
        let example = |found: &crate::model::Exemplar| (found.position.to_string(), found.id.clone());
        EvidenceSummary {
            condition: evidence.condition.clone(),
            comparisons: comparisons.collect(),
            values: evidence.values.iter().map(|(name, value)| (name.clone(), finite(*value))).collect(),
            contributors,
            examples: evidence.exemplars.iter().map(example).collect(),
            window: evidence.window,
        }
    }
}

impl RulesRecord {
    /// Of rule files by name and text.
    pub fn of<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
        rules: usize,
        commit: Option<String>,
    ) -> RulesRecord {
        let files: BTreeMap<&str, &str> = files.into_iter().collect();
        let mut all = xxhash_rust::xxh3::Xxh3::new();
        for (name, text) in &files {
            for part in [name, text] {
                all.update(&(part.len() as u64).to_le_bytes());
                all.update(part.as_bytes());
            }
        }
        let hash = |text: &str| format!("{:032x}", xxhash_rust::xxh3::xxh3_128(text.as_bytes()));
        let listed = files.iter().take(RULE_FILES_MAX).map(|(name, text)| ((*name).to_owned(), hash(text)));
        RulesRecord { hash: format!("{:032x}", all.digest128()), rules, files: listed.collect(), commit, changed: None }
    }

    /// With what changed since `last`; `None` where nothing did.
    pub fn after(mut self, last: Option<&RulesRecord>) -> Option<RulesRecord> {
        let Some(last) = last else { return Some(self) };
        if last.hash == self.hash && last.commit == self.commit {
            return None;
        }
        let mut change = RulesChange { was: last.hash.clone(), ..RulesChange::default() };
        for (name, hash) in &self.files {
            match last.files.get(name) {
                None => change.added.push(name.clone()),
                Some(was) if was != hash => change.edited.push(name.clone()),
                Some(_) => {}
            }
        }
        change.removed = last.files.keys().filter(|name| !self.files.contains_key(*name)).cloned().collect();
        self.changed = Some(change);
        Some(self)
    }
}
