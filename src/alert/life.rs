//! One alert's life: what signals make of it.
//!
//! A signal says two things: that something happened (the transition) and how things stand (`fired_at`, the times).
//! The desk trusts how things stand. So the same signal twice changes nothing, a signal that got lost is healed by
//! the next one, and an alert that the desk had to refuse comes back as soon as there is room.
//!
//! Only an explicit end ends an alert: unknown verdicts (design D6) never reach the desk as transitions at all.
//!
//! - `L1` an alert is one rule and one label set, whatever values it has
//! - `L2` a signal older than the last one taken changes nothing
//! - `L3` a firing alert ends only by `Resolved`, or by `Dropped`, which says as surely that the condition is normal

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::signal::ResolvedBecause;
use crate::model::{
    AlertStatus, AlertView, EventTime, Evidence, Labels, RuleMeta, Signal, SourceId, Transition, WallTime,
};

/// A stable name of an alert: its rule (file, group, name) and its labels (`L1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlertId(pub u64);

impl AlertId {
    /// The rule's line is no part of it: a comment above a rule must not page anyone.
    pub fn of(rule: &RuleMeta, labels: &Labels) -> AlertId {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for part in [&rule.file, &rule.group, &rule.name] {
            hash.update(part.as_bytes());
            hash.update(&[0xff]);
        }
        hash.update(&labels.fingerprint().0.to_le_bytes());
        AlertId(hash.digest())
    }
}

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Life {
    /// The condition holds, `for` is running; nobody is told.
    Pending {
        since: EventTime,
    },
    Firing {
        /// Since when the condition holds.
        since: EventTime,
        /// When `for` was over. It names the episode.
        fired_at: EventTime,
    },
    Resolved {
        since: EventTime,
        fired_at: EventTime,
        ended_at: EventTime,
        because: ResolvedBecause,
    },
}

/// What a signal did to an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// → pending
    Began,
    /// pending → gone, untold
    Dropped,
    /// → firing
    Fired,
    /// firing → firing, another episode: its resolve got lost on the way.
    FiredAgain {
        before: EventTime,
    },
    /// Values and evidence are fresher; the state is the same.
    Refreshed,
    /// firing → resolved
    Resolved,
    Ignored(Ignored),
}

/// Why a signal changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ignored {
    /// Older than the last one taken (`L2`).
    Stale,
    /// It ends what the desk does not know.
    NotKnown,
    /// It says pending of an alert that fires: not an end (`L3`).
    StillFiring,
}

impl Ignored {
    pub const fn text(self) -> &'static str {
        match self {
            Ignored::Stale => "older than the last signal taken",
            Ignored::NotKnown => "it ends what is not known",
            Ignored::StillFiring => "the alert fires, and pending is no end",
        }
    }
}

/// The part of a signal that moves a life.
#[derive(Clone, Copy, Debug)]
pub struct Move {
    pub transition: Transition,
    pub at: EventTime,
    pub active_since: EventTime,
    pub fired_at: Option<EventTime>,
}

impl Move {
    pub fn of(signal: &Signal) -> Move {
        Move {
            transition: signal.transition,
            at: signal.at,
            active_since: signal.active_since,
            fired_at: signal.fired_at,
        }
    }
}

impl Life {
    /// The one function that moves a life; `None` is an alert that is not known. The table is snapshotted below.
    pub fn step(life: Option<Life>, by: Move) -> (Option<Life>, Change) {
        let since = by.active_since;
        let pending = Life::Pending { since };
        let firing = |fired_at| Life::Firing { since, fired_at };
        match (life, by.transition) {
            (Some(Life::Firing { fired_at: before, .. }), Transition::Firing | Transition::Refreshed) => {
                match by.fired_at.or((by.transition == Transition::Firing).then_some(by.at)) {
                    Some(fired_at) if fired_at == before => (Some(firing(fired_at)), Change::Refreshed),
                    Some(fired_at) => (Some(firing(fired_at)), Change::FiredAgain { before }),
                    None => (life, Change::Ignored(Ignored::StillFiring)),
                }
            }
            (_, Transition::Firing) => (Some(firing(by.fired_at.unwrap_or(by.at))), Change::Fired),
            (_, Transition::Refreshed) if by.fired_at.is_some() => (by.fired_at.map(firing), Change::Fired),

            (Some(Life::Firing { .. }), Transition::Pending) => (life, Change::Ignored(Ignored::StillFiring)),
            (Some(Life::Pending { .. }), Transition::Pending | Transition::Refreshed) => {
                (Some(pending), Change::Refreshed)
            }
            (None | Some(Life::Resolved { .. }), Transition::Pending | Transition::Refreshed) => {
                (Some(pending), Change::Began)
            }

            (Some(Life::Firing { since, fired_at }), Transition::Resolved(because)) => {
                (Some(Life::Resolved { since, fired_at, ended_at: by.at, because }), Change::Resolved)
            }
            (Some(Life::Firing { since, fired_at }), Transition::Dropped) => {
                let because = ResolvedBecause::Normal;
                (Some(Life::Resolved { since, fired_at, ended_at: by.at, because }), Change::Resolved)
            }
            (Some(Life::Pending { .. }), Transition::Dropped | Transition::Resolved(_)) => (None, Change::Dropped),
            (None | Some(Life::Resolved { .. }), Transition::Dropped | Transition::Resolved(_)) => {
                (life, Change::Ignored(Ignored::NotKnown))
            }
        }
    }

    /// When the episode began to fire; `None` while pending.
    pub const fn fired_at(&self) -> Option<EventTime> {
        match self {
            Life::Pending { .. } => None,
            Life::Firing { fired_at, .. } | Life::Resolved { fired_at, .. } => Some(*fired_at),
        }
    }

    pub const fn name(&self) -> &'static str {
        match self {
            Life::Pending { .. } => "pending",
            Life::Firing { .. } => "firing",
            Life::Resolved { .. } => "resolved",
        }
    }
}

/// What the desk keeps of one alert.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Alert {
    pub id: AlertId,
    pub rule: Arc<RuleMeta>,
    pub labels: Labels,
    pub life: Life,
    /// When its state last changed, on the desk's clock.
    pub changed_at: WallTime,
    /// The tick of the last signal taken.
    pub at: EventTime,
    pub annotations: Vec<(Arc<str>, String)>,
    pub value: Option<f64>,
    pub evidence: Arc<Evidence>,
    /// Keys of the groups it is in, in the order of the routing tree. Empty while pending.
    pub groups: Vec<Arc<str>>,
    /// The partition it speaks of alone, and moves with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<Arc<SourceId>>,
}

impl Alert {
    /// An alert that was not known, and what its first signal made of it; `None` when that is nothing.
    pub fn first(now: WallTime, signal: &Signal) -> (Option<Alert>, Change) {
        let (life, change) = Life::step(None, Move::of(signal));
        let alert = life.map(|life| Alert {
            id: AlertId::of(&signal.rule, &signal.labels),
            rule: signal.rule.clone(),
            labels: signal.labels.clone(),
            life,
            changed_at: now,
            at: signal.at,
            annotations: signal.annotations.clone(),
            value: signal.value,
            evidence: signal.evidence.clone(),
            groups: Vec::new(),
            home: signal.home.clone(),
        });
        (alert, change)
    }

    /// Takes a signal. After [`Change::Dropped`] the alert is over and done with. What another home says is not measured
    /// against the time of this one: each partition has its own.
    pub fn take(&mut self, now: WallTime, signal: &Signal) -> Change {
        if signal.at < self.at && signal.home == self.home {
            return Change::Ignored(Ignored::Stale);
        }
        let (life, change) = Life::step(Some(self.life), Move::of(signal));
        match change {
            Change::Ignored(_) => return change,
            Change::Refreshed => {}
            _ => self.changed_at = now,
        }
        self.life = life.unwrap_or(self.life);
        self.at = signal.at;
        // The line may have moved in an edited file.
        self.rule = signal.rule.clone();
        self.home.clone_from(&signal.home);
        // An end that comes from outside the rule (it was removed, the group expired) has nothing to show; what was
        // last seen says more than nothing.
        let bare = change == Change::Resolved && signal.evidence.condition.is_empty();
        if !bare {
            self.annotations.clone_from(&signal.annotations);
            self.value = signal.value;
            self.evidence = signal.evidence.clone();
        }
        change
    }

    /// Its end, where nobody is left who would speak of it; `None` where it is over.
    pub fn ended(&self, because: ResolvedBecause) -> Option<Signal> {
        let (transition, active_since, fired_at) = match self.life {
            Life::Pending { since } => (Transition::Dropped, since, None),
            Life::Firing { since, fired_at } => (Transition::Resolved(because), since, Some(fired_at)),
            Life::Resolved { .. } => return None,
        };
        Some(Signal {
            rule: self.rule.clone(),
            labels: self.labels.clone(),
            transition,
            at: self.at,
            active_since,
            fired_at,
            annotations: self.annotations.clone(),
            value: None,
            evidence: Arc::new(Evidence::default()),
            home: self.home.clone(),
        })
    }

    pub fn is_pending(&self) -> bool {
        matches!(self.life, Life::Pending { .. })
    }

    pub fn is_firing(&self) -> bool {
        matches!(self.life, Life::Firing { .. })
    }

    /// As notifications show it; `None` while pending.
    pub fn view(&self) -> Option<AlertView> {
        (!matches!(self.life, Life::Pending { .. })).then(|| self.shown())
    }

    /// As [`Alert::view`], with a pending alert as if it fired since it began: for the page, which shows both.
    pub fn shown(&self) -> AlertView {
        let (status, active_since, starts_at, ends_at) = match self.life {
            Life::Pending { since } => (AlertStatus::Firing, since, since, None),
            Life::Firing { since, fired_at } => (AlertStatus::Firing, since, fired_at, None),
            Life::Resolved { since, fired_at, ended_at, .. } => {
                (AlertStatus::Resolved, since, fired_at, Some(ended_at))
            }
        };
        AlertView {
            fingerprint: self.labels.fingerprint(),
            status,
            rule: self.rule.clone(),
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            starts_at,
            active_since,
            ends_at,
            value: self.value,
            evidence: self.evidence.clone(),
        }
    }
}

/// `SshFailedLoginBurst{host="a"}`: the rule, then the labels that are not its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertName {
    pub rule: Arc<str>,
    pub labels: Labels,
}

impl AlertName {
    pub fn new(rule: &RuleMeta, labels: &Labels) -> AlertName {
        AlertName { rule: rule.name.clone(), labels: labels.clone() }
    }
}

impl From<&Alert> for AlertName {
    fn from(alert: &Alert) -> AlertName {
        AlertName::new(&alert.rule, &alert.labels)
    }
}

impl From<&AlertView> for AlertName {
    fn from(view: &AlertView) -> AlertName {
        AlertName::new(&view.rule, &view.labels)
    }
}

impl Serialize for AlertName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for AlertName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rule)?;
        let others: Vec<&str> =
            self.labels.iter().filter(|(n, v)| *n != "alertname" || *v != &*self.rule).map(|(n, _)| n).collect();
        match others.is_empty() {
            true => Ok(()),
            false => write!(f, "{}", self.labels.only(others)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use expect_test::expect;

    use super::*;

    fn show(life: Option<Life>) -> String {
        match life {
            None => "-".into(),
            Some(Life::Pending { since }) => format!("pending({})", since.0),
            Some(Life::Firing { since, fired_at }) => format!("firing({}, {})", since.0, fired_at.0),
            Some(Life::Resolved { fired_at, ended_at, because, .. }) => {
                format!("resolved({}..{} {because:?})", fired_at.0, ended_at.0)
            }
        }
    }

    /// Every state × every transition. The old episode is pending since 1, fired at 5; the signal comes at 9.
    #[test]
    fn the_whole_table() {
        let t = EventTime;
        let lives = [
            None,
            Some(Life::Pending { since: t(1) }),
            Some(Life::Firing { since: t(1), fired_at: t(5) }),
            Some(Life::Resolved { since: t(1), fired_at: t(5), ended_at: t(7), because: ResolvedBecause::Normal }),
        ];
        let moves = [
            ("pending since 8", Transition::Pending, 8, None),
            ("dropped", Transition::Dropped, 1, None),
            ("firing since 5", Transition::Firing, 1, Some(5)),
            ("firing since 9", Transition::Firing, 8, Some(9)),
            ("refreshed, pending", Transition::Refreshed, 1, None),
            ("refreshed, fired 5", Transition::Refreshed, 1, Some(5)),
            ("refreshed, fired 9", Transition::Refreshed, 8, Some(9)),
            ("resolved", Transition::Resolved(ResolvedBecause::Normal), 1, Some(5)),
            ("rule removed", Transition::Resolved(ResolvedBecause::RuleRemoved), 1, Some(5)),
        ];
        let mut table = String::new();
        for life in lives {
            writeln!(table, "{}", show(life)).expect("string");
            for (name, transition, since, fired_at) in moves {
                let by = Move { transition, at: t(9), active_since: t(since), fired_at: fired_at.map(t) };
                let (next, change) = Life::step(life, by);
                writeln!(table, "  {name:<20} {:<26} {change:?}", show(next)).expect("string");
            }
        }
        expect![[r#"
            -
              pending since 8      pending(8)                 Began
              dropped              -                          Ignored(NotKnown)
              firing since 5       firing(1, 5)               Fired
              firing since 9       firing(8, 9)               Fired
              refreshed, pending   pending(1)                 Began
              refreshed, fired 5   firing(1, 5)               Fired
              refreshed, fired 9   firing(8, 9)               Fired
              resolved             -                          Ignored(NotKnown)
              rule removed         -                          Ignored(NotKnown)
            pending(1)
              pending since 8      pending(8)                 Refreshed
              dropped              -                          Dropped
              firing since 5       firing(1, 5)               Fired
              firing since 9       firing(8, 9)               Fired
              refreshed, pending   pending(1)                 Refreshed
              refreshed, fired 5   firing(1, 5)               Fired
              refreshed, fired 9   firing(8, 9)               Fired
              resolved             -                          Dropped
              rule removed         -                          Dropped
            firing(1, 5)
              pending since 8      firing(1, 5)               Ignored(StillFiring)
              dropped              resolved(5..9 Normal)      Resolved
              firing since 5       firing(1, 5)               Refreshed
              firing since 9       firing(8, 9)               FiredAgain { before: EventTime(5) }
              refreshed, pending   firing(1, 5)               Ignored(StillFiring)
              refreshed, fired 5   firing(1, 5)               Refreshed
              refreshed, fired 9   firing(8, 9)               FiredAgain { before: EventTime(5) }
              resolved             resolved(5..9 Normal)      Resolved
              rule removed         resolved(5..9 RuleRemoved) Resolved
            resolved(5..7 Normal)
              pending since 8      pending(8)                 Began
              dropped              resolved(5..7 Normal)      Ignored(NotKnown)
              firing since 5       firing(1, 5)               Fired
              firing since 9       firing(8, 9)               Fired
              refreshed, pending   pending(1)                 Began
              refreshed, fired 5   firing(1, 5)               Fired
              refreshed, fired 9   firing(8, 9)               Fired
              resolved             resolved(5..7 Normal)      Ignored(NotKnown)
              rule removed         resolved(5..7 Normal)      Ignored(NotKnown)
        "#]]
        .assert_eq(&table);
    }

    #[test]
    fn an_alert_is_its_rule_and_its_labels_whatever_line_the_rule_stands_on() {
        let rule = |file: &str, line| RuleMeta { name: "Slow".into(), group: "g".into(), file: file.into(), line };
        let labels = |host: &str| Labels::from_pairs([("alertname", "Slow"), ("host", host)]);
        let id = AlertId::of(&rule("a.yaml", 3), &labels("a"));
        assert_eq!(id, AlertId::of(&rule("a.yaml", 4), &labels("a")));
        assert_ne!(id, AlertId::of(&rule("b.yaml", 3), &labels("a")));
        assert_ne!(id, AlertId::of(&rule("a.yaml", 3), &labels("b")));
        let name = |labels: &Labels| AlertName::new(&rule("a.yaml", 3), labels).to_string();
        assert_eq!(name(&labels("a")), r#"Slow{host="a"}"#);
        assert_eq!(name(&labels("")), "Slow");
    }
}
