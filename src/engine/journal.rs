//! The journal: what was decided, with the facts it was decided on.
//!
//! "Why was I paged?" and "why was I not paged?" are answered from here, so it holds the silent decisions above all:
//! what was refused, ignored, put off, left unsaid, given up. A closed enum instead of log lines, because lines cannot
//! be asked anything; [`Journal::explain`] can.
//!
//! - `J1` the same inputs give the same journal: [`Journal::hash`] covers every entry ever made, kept or not
//! - `J2` it holds a bounded number of entries; the oldest go, and [`Journal::total`] tells how many there were

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::alert::group::{SkipReason, WaitReason};
use crate::alert::life::{AlertName, Change, Ignored};
use crate::alert::silence::{Done, Silence, SilenceRefused};
use crate::engine::desk::Person;
use crate::model::signal::ResolvedBecause;
use crate::model::{DeliveryId, EventTime, Evidence, Millis, RuleMeta, SendReason, SourceId, WallTime};
use crate::notify::outbox::DeadReason;

/// One decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "decision")]
pub enum Decision {
    /// An alert moved.
    Alert {
        alert: AlertName,
        change: Change,
        at: EventTime,
        because: Option<ResolvedBecause>,
        /// `None` in the journal's own copy: thousands of entries would hold on to as much evidence.
        #[serde(skip)]
        seen: Option<Arc<Seen>>,
    },
    /// A signal changed nothing.
    SignalIgnored {
        alert: AlertName,
        why: Ignored,
    },
    /// The desk is full; the alert is not known to it.
    AlertRefused {
        alert: AlertName,
        firing: bool,
        alerts_max: usize,
    },
    /// A pending alert made room for a firing one.
    AlertDisplaced {
        alert: AlertName,
        by: AlertName,
    },
    /// A rule says `local: true`, and its alert is raised from two partitions: `home` is not listened to while `holder` has
    /// it.
    NotLocal {
        alert: AlertName,
        holder: Arc<SourceId>,
        home: Arc<SourceId>,
    },
    /// A firing alert is in a group now.
    Joined {
        alert: AlertName,
        group: Arc<str>,
        receiver: Arc<str>,
    },
    /// There are too many groups, so the alert is in the overflow group of its route.
    GroupOverflow {
        alert: AlertName,
        wanted: Arc<str>,
        into: Arc<str>,
        groups_max: usize,
    },
    /// Nobody hears of the alert.
    Untold {
        alert: AlertName,
        why: UntoldReason,
    },
    /// A group is owed so many ends that it forgot its oldest.
    EndForgotten {
        alert: AlertName,
        group: Arc<str>,
        ended_max: usize,
    },
    GroupOpened {
        group: Arc<str>,
        receiver: Arc<str>,
        since: EventTime,
    },
    GroupClosed {
        group: Arc<str>,
        notifications: u32,
    },
    /// The group has something to say, and when it will.
    Wait {
        group: Arc<str>,
        why: WaitReason,
    },
    /// The moment came and nothing was said.
    Skip {
        group: Arc<str>,
        target: Arc<str>,
        why: SkipReason,
    },
    /// A notification was written.
    Flush {
        group: Arc<str>,
        why: SendReason,
        sequence: u32,
        targets: Vec<Arc<str>>,
        firing: usize,
        ended: usize,
        truncated: usize,
    },
    Attempt {
        group: Arc<str>,
        target: Arc<str>,
        sequence: u32,
        attempt: u32,
        id: DeliveryId,
    },
    Delivered {
        group: Arc<str>,
        target: Arc<str>,
        sequence: u32,
        attempt: u32,
        took: Millis,
        late: bool,
    },
    /// `next_at`: when it is tried again; `None` where it is not.
    Failed {
        group: Arc<str>,
        target: Arc<str>,
        sequence: u32,
        attempt: u32,
        reason: Arc<str>,
        next_at: Option<WallTime>,
    },
    Throttled {
        group: Arc<str>,
        target: Arc<str>,
        sequence: u32,
        attempt: u32,
        reason: Arc<str>,
        until: WallTime,
    },
    Superseded {
        group: Arc<str>,
        target: Arc<str>,
        sequence: u32,
        by: u32,
        attempts: u32,
    },
    /// Given up. `owed_until`: when it is written anew unless the receiver is back sooner; `None` where a newer
    /// notification carries it on.
    GivenUp {
        group: Arc<str>,
        target: Arc<str>,
        sequence: u32,
        attempts: u32,
        why: DeadReason,
        owed_until: Option<WallTime>,
    },
    /// A receiver took something after notifications to it had been given up: those groups are due now.
    ReceiverBack {
        target: Arc<str>,
        groups: usize,
    },
    /// Nobody knows whether these homes are still ours; nothing of them is told until then.
    HomesDoubted {
        homes: usize,
    },
    HomeConfirmed {
        home: SourceId,
    },
    /// The alerts of a partition came with it. `dropped`: groups and unsent notifications that have no place here.
    HomeAdopted {
        home: SourceId,
        alerts: usize,
        groups: usize,
        unsent: usize,
        dropped: usize,
    },
    /// They are about to go; nothing new of them is told.
    HomeLeaving {
        home: SourceId,
        under_way: usize,
    },
    /// … and went with it.
    HomeReleased {
        home: SourceId,
        alerts: usize,
        groups: usize,
        unsent: usize,
    },
    /// A receipt that changed nothing.
    ReceiptUnneeded {
        target: Option<Arc<str>>,
        id: DeliveryId,
        outcome: &'static str,
    },
    /// Somebody made, changed or ended a silence.
    Operated {
        person: Person,
        done: Done,
    },
    /// … or would have.
    OperationRefused {
        person: Person,
        why: SilenceRefused,
    },
    /// The time of a silence has come.
    SilenceBegan {
        silence: Arc<Silence>,
    },
    SilenceEnded {
        silence: Arc<Silence>,
    },
    /// Nobody hears of a firing alert, or of its end, until the silence is over.
    Silenced {
        alert: AlertName,
        silence: Arc<Silence>,
    },
    /// … which is now, and nobody else silences it.
    Unsilenced {
        alert: AlertName,
        silence: Arc<Silence>,
    },
}

/// What was seen of an alert when it moved, for those who keep records.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub rule: Arc<RuleMeta>,
    /// When the episode began to fire; `None` for what has not fired.
    pub fired_at: Option<EventTime>,
    pub value: Option<f64>,
    pub evidence: Arc<Evidence>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UntoldReason {
    /// It ended before anyone was told of it, so there is nothing to act on any more.
    ResolvedBeforeTold,
    /// Its receiver has no integrations.
    NoIntegrations,
    /// It ended before its silence did.
    Silenced,
}

impl UntoldReason {
    pub const fn text(self) -> &'static str {
        match self {
            UntoldReason::ResolvedBeforeTold => "it ended before anyone was told",
            UntoldReason::NoIntegrations => "its receiver has no integrations",
            UntoldReason::Silenced => "it was silenced until it ended",
        }
    }
}

impl Decision {
    /// A stable name, as metrics label it.
    pub const fn name(&self) -> &'static str {
        match self {
            Decision::Alert { .. } => "alert",
            Decision::SignalIgnored { .. } => "signal_ignored",
            Decision::AlertRefused { .. } => "alert_refused",
            Decision::AlertDisplaced { .. } => "alert_displaced",
            Decision::Joined { .. } => "joined",
            Decision::GroupOverflow { .. } => "group_overflow",
            Decision::Untold { .. } => "untold",
            Decision::EndForgotten { .. } => "end_forgotten",
            Decision::GroupOpened { .. } => "group_opened",
            Decision::GroupClosed { .. } => "group_closed",
            Decision::Wait { .. } => "wait",
            Decision::Skip { .. } => "skip",
            Decision::Flush { .. } => "flush",
            Decision::Attempt { .. } => "attempt",
            Decision::Delivered { .. } => "delivered",
            Decision::Failed { .. } => "failed",
            Decision::Throttled { .. } => "throttled",
            Decision::Superseded { .. } => "superseded",
            Decision::GivenUp { .. } => "given_up",
            Decision::ReceiverBack { .. } => "receiver_back",
            Decision::NotLocal { .. } => "not_local",
            Decision::HomesDoubted { .. } => "homes_doubted",
            Decision::HomeConfirmed { .. } => "home_confirmed",
            Decision::HomeAdopted { .. } => "home_adopted",
            Decision::HomeLeaving { .. } => "home_leaving",
            Decision::HomeReleased { .. } => "home_released",
            Decision::ReceiptUnneeded { .. } => "receipt_unneeded",
            Decision::Operated { .. } => "operated",
            Decision::OperationRefused { .. } => "operation_refused",
            Decision::SilenceBegan { .. } => "silence_began",
            Decision::SilenceEnded { .. } => "silence_ended",
            Decision::Silenced { .. } => "silenced",
            Decision::Unsilenced { .. } => "unsilenced",
        }
    }

    /// The alert it is about, where it is about one.
    pub const fn alert(&self) -> Option<&AlertName> {
        match self {
            Decision::Alert { alert, .. }
            | Decision::SignalIgnored { alert, .. }
            | Decision::AlertRefused { alert, .. }
            | Decision::AlertDisplaced { alert, .. }
            | Decision::NotLocal { alert, .. }
            | Decision::Joined { alert, .. }
            | Decision::GroupOverflow { alert, .. }
            | Decision::Untold { alert, .. }
            | Decision::EndForgotten { alert, .. }
            | Decision::Silenced { alert, .. }
            | Decision::Unsilenced { alert, .. } => Some(alert),
            _ => None,
        }
    }

    /// The group it is about, where it is about one.
    pub const fn group(&self) -> Option<&Arc<str>> {
        match self {
            Decision::Joined { group, .. }
            | Decision::GroupOverflow { into: group, .. }
            | Decision::EndForgotten { group, .. }
            | Decision::GroupOpened { group, .. }
            | Decision::GroupClosed { group, .. }
            | Decision::Wait { group, .. }
            | Decision::Skip { group, .. }
            | Decision::Flush { group, .. }
            | Decision::Attempt { group, .. }
            | Decision::Delivered { group, .. }
            | Decision::Failed { group, .. }
            | Decision::Throttled { group, .. }
            | Decision::Superseded { group, .. }
            | Decision::GivenUp { group, .. } => Some(group),
            _ => None,
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decision::Alert { alert, change, at, because, .. } => {
                write!(f, "alert {alert} ")?;
                match change {
                    Change::Began => f.write_str("pending")?,
                    Change::Dropped => f.write_str("dropped before it fired")?,
                    Change::Fired => f.write_str("firing")?,
                    Change::FiredAgain { before } => write!(f, "firing anew (its episode of {before} never ended)")?,
                    Change::Refreshed => f.write_str("refreshed")?,
                    Change::Resolved => f.write_str("resolved")?,
                    Change::Ignored(why) => write!(f, "unchanged: {}", why.text())?,
                }
                match because {
                    Some(ResolvedBecause::SeenAgain) => f.write_str(", seen again")?,
                    Some(ResolvedBecause::Expired) => f.write_str(", its group was forgotten")?,
                    Some(ResolvedBecause::RuleRemoved) => f.write_str(", its rule was removed")?,
                    Some(ResolvedBecause::LocalChanged) => f.write_str(", `local` of the rules changed")?,
                    Some(ResolvedBecause::Normal) | None => {}
                }
                write!(f, " at {at}")
            }
            Decision::SignalIgnored { alert, why } => write!(f, "ignored a signal of {alert}: {}", why.text()),
            Decision::AlertRefused { alert, firing, alerts_max } => {
                let state = if *firing { "firing" } else { "pending" };
                write!(f, "refused {state} {alert}: the desk holds {alerts_max} alerts")
            }
            Decision::AlertDisplaced { alert, by } => write!(f, "dropped pending {alert} to make room for {by}"),
            Decision::NotLocal { alert, holder, home } => {
                write!(f, "{alert} of {home} is not taken: {holder} has it, so its rule is not local")
            }
            Decision::Joined { alert, group, receiver } => write!(f, "{alert} joins {group} for {receiver}"),
            Decision::GroupOverflow { alert, wanted, into, groups_max } => {
                write!(f, "{alert} goes into {into} instead of {wanted}: the desk holds {groups_max} groups")
            }
            Decision::Untold { alert, why } => write!(f, "nobody hears of {alert}: {}", why.text()),
            Decision::EndForgotten { alert, group, ended_max } => {
                write!(f, "{group} forgets the end of {alert}: it is owed {ended_max} others")
            }
            Decision::GroupOpened { group, receiver, since } => {
                write!(f, "opened {group} for {receiver} since {since}")
            }
            Decision::GroupClosed { group, notifications } => {
                write!(f, "closed {group} after {notifications} notifications")
            }
            Decision::Wait { group, why } => write!(f, "{group} waits: {why}"),
            Decision::Skip { group, target, why } => write!(f, "{group} says nothing to {target}: {why}"),
            Decision::Flush { group, why, sequence, targets, firing, ended, truncated } => {
                let why = why.text();
                let targets = targets.join(", ");
                write!(f, "{group} #{sequence} to {targets}: {why}, {firing} firing, {ended} resolved")?;
                match truncated {
                    0 => Ok(()),
                    _ => write!(f, ", {truncated} not shown"),
                }
            }
            Decision::Attempt { group, target, sequence, attempt, id } => {
                write!(f, "{group} #{sequence} → {target}, attempt {attempt} (delivery {})", id.0)
            }
            Decision::Delivered { group, target, sequence, attempt, took, late } => {
                let late = if *late { ", reported late" } else { "" };
                write!(f, "{group} #{sequence} arrived at {target}, attempt {attempt}, took {took}{late}")
            }
            Decision::Failed { group, target, sequence, attempt, reason, next_at } => {
                write!(f, "{group} #{sequence} failed at {target}, attempt {attempt}: {reason}")?;
                match next_at {
                    Some(next_at) => write!(f, "; next at {next_at}"),
                    None => Ok(()),
                }
            }
            Decision::Throttled { group, target, sequence, attempt, reason, until } => {
                write!(
                    f,
                    "{group} #{sequence} throttled by {target}, attempt {attempt}: {reason}; paused until {until}"
                )
            }
            Decision::Superseded { group, target, sequence, by, attempts } => {
                write!(f, "{group} #{sequence} for {target} gives way to #{by} after {attempts} attempts")
            }
            Decision::GivenUp { group, target, sequence, attempts, why, owed_until } => {
                write!(f, "{group} #{sequence} for {target} given up after {attempts} attempts: {why}")?;
                match owed_until {
                    Some(until) => write!(f, "; still owed, anew at {until}"),
                    None => Ok(()),
                }
            }
            Decision::ReceiverBack { target, groups } => {
                write!(f, "{target} is back: {groups} groups that are owed to it are due")
            }
            Decision::HomesDoubted { homes } => {
                write!(f, "says nothing of {homes} partitions until it is known whose they are")
            }
            Decision::HomeConfirmed { home } => write!(f, "{home} is ours still"),
            Decision::HomeAdopted { home, alerts, groups, unsent, dropped } => {
                write!(f, "{home} came with {alerts} alerts, {groups} groups and {unsent} unsent notifications")?;
                match dropped {
                    0 => Ok(()),
                    _ => write!(f, "; {dropped} have no place here"),
                }
            }
            Decision::HomeLeaving { home, under_way } => {
                write!(f, "{home} is about to go, with {under_way} deliveries under way")
            }
            Decision::HomeReleased { home, alerts, groups, unsent } => {
                write!(f, "{home} went with {alerts} alerts, {groups} groups and {unsent} unsent notifications")
            }
            Decision::ReceiptUnneeded { target, id, outcome } => {
                let target = target.as_deref().unwrap_or("an unknown target");
                write!(f, "receipt `{outcome}` of {target} for delivery {} changes nothing", id.0)
            }
            Decision::Operated { person, done } => write!(f, "{person}: {} {done}", done.name()),
            Decision::OperationRefused { person, why } => write!(f, "{person} is refused: {why}"),
            Decision::SilenceBegan { silence } => write!(f, "silence {} begins: {silence}", silence.id),
            Decision::SilenceEnded { silence } => write!(f, "silence {} is over", silence.id),
            Decision::Silenced { alert, silence } => write!(f, "{alert} is silenced by {}: {silence}", silence.id),
            Decision::Unsilenced { alert, silence } => {
                write!(f, "{alert} is not silenced any more: {} is over", silence.id)
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JournalEntry {
    /// Counts from 1 over the desk's life.
    pub number: u64,
    pub at: WallTime,
    #[serde(flatten)]
    pub decision: Decision,
}

impl JournalEntry {
    fn without_evidence(&self) -> JournalEntry {
        let mut entry = self.clone();
        if let Decision::Alert { seen, .. } = &mut entry.decision {
            *seen = None;
        }
        entry
    }
}

/// `2015-03-30T15:07:10Z  alert SshFailedLoginBurst{host="a"} firing at 2015-03-30T15:07:00Z`
impl fmt::Display for JournalEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.at, self.decision)
    }
}

/// The last entries, and a fingerprint of all of them.
pub struct Journal {
    entries: VecDeque<JournalEntry>,
    max: usize,
    total: u64,
    hash: xxhash_rust::xxh3::Xxh3,
    counts: BTreeMap<&'static str, u64>,
}

impl Journal {
    pub fn new(max: usize) -> Journal {
        Journal {
            entries: VecDeque::new(),
            max,
            total: 0,
            hash: xxhash_rust::xxh3::Xxh3::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Enters a decision and gives back the entry.
    pub fn enter(&mut self, at: WallTime, decision: Decision) -> JournalEntry {
        self.total += 1;
        *self.counts.entry(decision.name()).or_insert(0) += 1;
        let entry = JournalEntry { number: self.total, at, decision };
        self.hash.update(entry.to_string().as_bytes());
        self.hash.update(b"\n");
        if self.entries.len() >= self.max {
            self.entries.pop_front();
        }
        if self.max > 0 {
            self.entries.push_back(entry.without_evidence());
        }
        entry
    }

    /// Goes on counting where another journal, before a restart, had come to. The fingerprint begins anew.
    pub fn resume(&mut self, total: u64) {
        self.total = self.total.max(total);
    }

    /// Oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &JournalEntry> + ExactSizeIterator {
        self.entries.iter()
    }

    /// Entries ever made (`J2`).
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Entries ever made, by [`Decision::name`].
    pub fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// A fingerprint of everything ever entered (`J1`).
    pub fn hash(&self) -> u64 {
        self.hash.digest()
    }

    /// The story of one alert, oldest first: what was decided about it, and about the groups it was in.
    pub fn explain(&self, alert: &AlertName) -> Vec<&JournalEntry> {
        let own = |entry: &&JournalEntry| entry.decision.alert() == Some(alert);
        let groups: BTreeSet<&Arc<str>> =
            self.entries.iter().filter(own).filter_map(|entry| entry.decision.group()).collect();
        let told = |entry: &&JournalEntry| match entry.decision.alert() {
            Some(about) => about == alert,
            None => entry.decision.group().is_some_and(|group| groups.contains(group)),
        };
        self.entries.iter().filter(told).collect()
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("total", &self.total).field("kept", &self.entries.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;

    fn name(host: &str) -> AlertName {
        AlertName { rule: "Slow".into(), labels: Labels::from_pairs([("alertname", "Slow"), ("host", host)]) }
    }

    fn fill(journal: &mut Journal, upto: i64) {
        for at in 0..upto {
            let decision = Decision::Untold { alert: name("a"), why: UntoldReason::NoIntegrations };
            journal.enter(WallTime(at), decision);
        }
    }

    #[test]
    fn it_keeps_the_newest_and_the_hash_remembers_the_rest() {
        let (mut short, mut long, mut other) = (Journal::new(3), Journal::new(100), Journal::new(100));
        fill(&mut short, 10);
        fill(&mut long, 10);
        fill(&mut other, 9);
        assert_eq!((short.entries().len(), short.total()), (3, 10));
        assert_eq!(short.entries().next().map(|entry| entry.number), Some(8));
        assert_eq!(short.hash(), long.hash());
        assert_ne!(long.hash(), other.hash());
        assert_eq!(long.counts()["untold"], 10);
    }

    #[test]
    fn the_story_of_one_alert_leaves_out_its_neighbours() {
        let mut journal = Journal::new(100);
        let joined = |host: &str, group: &str| Decision::Joined {
            alert: name(host),
            group: group.into(),
            receiver: "ops".into(),
        };
        let skip = |group: &str| Decision::Skip {
            group: group.into(),
            target: "ops/slack".into(),
            why: SkipReason::ResolvedBeforeTold,
        };
        for decision in [joined("a", "g1"), joined("b", "g1"), joined("b", "g2"), skip("g1"), skip("g2")] {
            journal.enter(WallTime(0), decision);
        }
        let story: Vec<String> = journal.explain(&name("a")).iter().map(ToString::to_string).collect();
        assert_eq!(
            story,
            [
                "1970-01-01T00:00:00Z  Slow{host=\"a\"} joins g1 for ops",
                "1970-01-01T00:00:00Z  g1 says nothing to ops/slack: everything ended within group_wait",
            ]
        );
        let json = serde_json::to_string(journal.explain(&name("a"))[0]).expect("serialises");
        assert_eq!(
            json,
            r#"{"number":1,"at":0,"decision":"joined","alert":"Slow{host=\"a\"}","group":"g1","receiver":"ops"}"#
        );
    }
}
