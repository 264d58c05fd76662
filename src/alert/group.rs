//! Notification groups: alerts that one route tells together, and what each integration knows of them.
//!
//! The unit of knowledge is not the group but the *leg*: one integration of the group's receiver. Mail may have
//! arrived where Slack hangs, and each is owed exactly the difference between what is and what *it* was told. A
//! notification shows the group as it stands, so dropping an unsent one for a newer loses nothing: the newer is
//! measured against what was delivered, never against what was merely written.
//!
//! When to speak is [`judge`]: pure, per leg, and always with a reason. It differs from Alertmanager's clockwork where
//! that costs people time:
//!
//! - there, news of an old group waits for the next beat of `group_interval`, up to five minutes for no reason. Here
//!   it waits `group_wait` for company, and longer only while the last notification is younger than `group_interval`;
//! - `repeat_interval` is kept to the second instead of being rounded up to a beat;
//! - an end that no one can be told of for hours is still owed, and told when the receiver is back.
//!
//! And agrees where people rely on it: what fires and ends before anyone was told is told to no one (`for` is the
//! place to say how long is long enough; the journal says that it happened); what ends and fires again between two
//! notifications is no news to those who still know it as firing.
//!
//! A silence hides alerts from all legs before they are judged ([`Group::facts`]): they go on firing and ending, and the
//! group keeps its beat, but where all that is new is hidden, the moment passes with [`SkipReason::Silenced`], and what is
//! told shows the others. What was hidden is measured like anything else when the silence is over: what fires and was not
//! shown is news, and so is an end of which the receiver has not heard. (Alertmanager forgets such an end, and what it
//! opened stays open.) To be silenced is no news by itself. Inhibition and mute times belong in the same place.
//!
//! - `G1` `shown ∪ withheld ⊆ known`; an alert leaves `known` only when its end was delivered, or is not wanted
//! - `G2` `ended` holds exactly those alerts that some leg knows as firing and that do not fire
//! - `G3` an alert that fires, is not hidden and is not in `shown` makes its leg due: nothing firing is ever forgotten
//! - `G4` no notification shows an alert that is hidden when it is written, and no end of one is taken for told

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::life::AlertId;
use crate::alert::route::{RouteId, Timing};
use crate::alert::silence::SilenceId;
use crate::model::{AlertView, EventTime, Labels, Millis, SendReason, ThreadHandle, WallTime};

/// What became of the newest notification of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum LegState {
    /// Nothing fires that it would have to hear of, and nothing is owed to it.
    Quiet,
    /// Something fires since then, and nothing was said yet.
    Untold { since: WallTime },
    /// With the outbox.
    Underway { flushed_at: WallTime, sequence: u32 },
    /// The receiver has it, or is not to hear of it any more.
    Told { flushed_at: WallTime, sequence: u32 },
    /// Given up; what it said is still owed.
    Owed { flushed_at: WallTime, sequence: u32, retry_at: WallTime },
}

/// One integration's share of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leg {
    pub state: LegState,
    /// What the receiver gave back for threading.
    pub thread: Option<ThreadHandle>,
    /// Alerts that the newest notification showed as firing.
    shown: BTreeSet<AlertId>,
    /// Alerts that any notification showed as firing and whose end was not delivered (`G1`). Written counts, not
    /// only delivered: an attempt without a receipt may have arrived.
    known: BTreeSet<AlertId>,
    /// Alerts it knows that the newest notification left out, as they were hidden then (`G4`).
    #[serde(default)]
    withheld: BTreeSet<AlertId>,
    /// When the group began to differ from `shown`; `None` while it does not.
    changed_at: Option<WallTime>,
    /// Since when nothing could be delivered; `None` while deliveries arrive.
    failing_since: Option<WallTime>,
    ever_told: bool,
}

impl Leg {
    fn new(now: WallTime) -> Leg {
        Leg {
            state: LegState::Untold { since: now },
            thread: None,
            shown: BTreeSet::new(),
            known: BTreeSet::new(),
            withheld: BTreeSet::new(),
            changed_at: None,
            failing_since: None,
            ever_told: false,
        }
    }

    fn set_back(&mut self, by: Millis) {
        match &mut self.state {
            LegState::Quiet => {}
            LegState::Untold { since: at }
            | LegState::Underway { flushed_at: at, .. }
            | LegState::Told { flushed_at: at, .. } => *at = *at - by,
            LegState::Owed { flushed_at, retry_at, .. } => {
                *flushed_at = *flushed_at - by;
                *retry_at = *retry_at - by;
            }
        }
        for at in [&mut self.changed_at, &mut self.failing_since].into_iter().flatten() {
            *at = *at - by;
        }
    }

    /// It was told everything, down to the last end.
    fn is_at_rest(&self) -> bool {
        matches!(self.state, LegState::Quiet | LegState::Told { .. }) && self.known.is_empty()
    }

    pub fn knows(&self, alert: AlertId) -> bool {
        self.known.contains(&alert)
    }

    /// Whether an end of the alert is a difference to what the newest notification said: it showed that the alert fires, or
    /// left it out, so that what was said before still stands.
    fn stands_for(&self, alert: AlertId) -> bool {
        self.shown.contains(&alert) || self.withheld.contains(&alert)
    }
}

/// The difference between a group, as far as it is not hidden, and what a leg was shown of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Alerts that fire.
    pub firing: usize,
    /// … of which the newest notification did not show.
    pub new: usize,
    /// Alerts that ended and that the newest notification showed as firing, or left out as they were hidden then.
    pub gone: usize,
    /// Alerts whose end is not delivered.
    pub owed_ends: usize,
    /// Who hides an alert that fires, or whose end is not delivered.
    pub hidden: Option<SilenceId>,
    /// Who hides one that would be a difference.
    pub hidden_news: Option<SilenceId>,
    /// When the first difference came about.
    pub changed_at: Option<WallTime>,
    pub failing_since: Option<WallTime>,
    pub ever_told: bool,
}

/// How a leg wants to be judged: the route's pace and the integration's wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    pub timing: Timing,
    pub send_resolved: bool,
    /// How long the end of an alert is owed to a receiver that cannot be reached.
    pub owed_max: Millis,
}

/// What to do about one leg of a group now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    Send(SendReason),
    Wait(WaitReason),
    /// The moment has come and there is nothing to say; the leg moves on without a word.
    Skip(SkipReason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "wait")]
pub enum WaitReason {
    /// News waits for company.
    GroupWait { until: WallTime },
    /// The last notification is too young.
    GroupInterval { until: WallTime },
    /// Nothing changed; it is told again then.
    RepeatInterval { until: WallTime },
    /// The last notification was given up; it is tried anew then, or when the receiver is back.
    Undelivered { until: WallTime },
    /// The newest notification says it all and is on its way.
    Underway { sequence: u32 },
    /// What fires, or is owed, is hidden until the silence is over.
    Silenced { by: SilenceId },
    /// Nothing fires and nothing is owed.
    NothingFiring,
    /// Its partition may be another member's by now.
    Unconfirmed,
}

impl WaitReason {
    pub const fn until(self) -> Option<WallTime> {
        match self {
            WaitReason::GroupWait { until }
            | WaitReason::GroupInterval { until }
            | WaitReason::RepeatInterval { until }
            | WaitReason::Undelivered { until } => Some(until),
            WaitReason::Underway { .. }
            | WaitReason::Silenced { .. }
            | WaitReason::NothingFiring
            | WaitReason::Unconfirmed => None,
        }
    }
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitReason::GroupWait { until } => write!(f, "group_wait until {until}"),
            WaitReason::GroupInterval { until } => write!(f, "group_interval until {until}"),
            WaitReason::RepeatInterval { until } => write!(f, "repeat_interval until {until}"),
            WaitReason::Undelivered { until } => write!(f, "undelivered, tried anew at {until}"),
            WaitReason::Underway { sequence } => write!(f, "notification {sequence} is under way"),
            WaitReason::Silenced { by } => write!(f, "silenced by {by}"),
            WaitReason::NothingFiring => f.write_str("nothing fires"),
            WaitReason::Unconfirmed => f.write_str("its partition may be another member's"),
        }
    }
}

/// Why nothing is said although the moment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "skip")]
pub enum SkipReason {
    /// Everything in the group ended within `group_wait`.
    ResolvedBeforeTold,
    /// What changed changed back: the receiver's picture is right again.
    CancelledOut,
    /// Alerts ended, and the integration has `send_resolved: false`.
    ResolvedNotWanted,
    /// The end was owed for longer than the bound.
    OwedTooLong { since: WallTime },
    /// All there is to say is hidden.
    Silenced { by: SilenceId },
}

impl SkipReason {
    /// Every one, for the README and its test.
    pub const NAMES: [&str; 5] =
        ["resolved_before_told", "cancelled_out", "resolved_not_wanted", "owed_too_long", "silenced"];

    /// A stable name, as metrics label it.
    pub const fn name(self) -> &'static str {
        SkipReason::NAMES[match self {
            SkipReason::ResolvedBeforeTold => 0,
            SkipReason::CancelledOut => 1,
            SkipReason::ResolvedNotWanted => 2,
            SkipReason::OwedTooLong { .. } => 3,
            SkipReason::Silenced { .. } => 4,
        }]
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SkipReason::ResolvedBeforeTold => f.write_str("everything ended within group_wait"),
            SkipReason::CancelledOut => f.write_str("what changed changed back"),
            SkipReason::ResolvedNotWanted => f.write_str("alerts ended, and send_resolved is off"),
            SkipReason::OwedTooLong { since } => write!(f, "its end could not be delivered since {since}"),
            SkipReason::Silenced { by } => write!(f, "silenced by {by}"),
        }
    }
}

/// When to speak, and why (the table is snapshotted below).
pub fn judge(state: LegState, facts: Facts, manner: Manner, now: WallTime) -> Flush {
    let Timing { group_wait, group_interval, repeat_interval } = manner.timing;
    let wait_or = |wait: WaitReason, due: Flush| match wait.until() {
        Some(until) if now < until => Flush::Wait(wait),
        _ => due,
    };
    // News waits for company, and for the last notification to be old enough.
    let news_wait = |flushed_at: WallTime, changed_at: WallTime| {
        let (company, interval) = (changed_at + group_wait, flushed_at + group_interval);
        match company > interval {
            true => WaitReason::GroupWait { until: company },
            false => WaitReason::GroupInterval { until: interval },
        }
    };
    let nothing_to_do = match facts.hidden {
        Some(by) => WaitReason::Silenced { by },
        None => WaitReason::NothingFiring,
    };
    match state {
        LegState::Quiet => Flush::Wait(nothing_to_do),
        LegState::Untold { since } => {
            let due = match (facts.firing, facts.hidden) {
                (1.., _) => Flush::Send(SendReason::New),
                (0, Some(by)) => Flush::Skip(SkipReason::Silenced { by }),
                (0, None) => Flush::Skip(SkipReason::ResolvedBeforeTold),
            };
            wait_or(WaitReason::GroupWait { until: since + group_wait }, due)
        }
        LegState::Underway { flushed_at, sequence } => match facts.changed_at {
            None => Flush::Wait(WaitReason::Underway { sequence }),
            Some(changed_at) => wait_or(news_wait(flushed_at, changed_at), news(facts, manner)),
        },
        LegState::Told { flushed_at, .. } => match facts.changed_at {
            Some(changed_at) => wait_or(news_wait(flushed_at, changed_at), news(facts, manner)),
            None if facts.firing == 0 => Flush::Wait(nothing_to_do),
            None => {
                let until = flushed_at + repeat_interval.max(group_interval);
                wait_or(WaitReason::RepeatInterval { until }, Flush::Send(SendReason::Repeat))
            }
        },
        LegState::Owed { flushed_at, retry_at, .. } => {
            let news_at = facts.changed_at.and_then(|changed_at| news_wait(flushed_at, changed_at).until());
            let until = retry_at.min(news_at.unwrap_or(WallTime::MAX));
            wait_or(WaitReason::Undelivered { until }, owed(facts, manner, now))
        }
    }
}

fn news(facts: Facts, manner: Manner) -> Flush {
    match facts {
        Facts { new: 1.., .. } => Flush::Send(SendReason::Changed),
        Facts { gone: 0, hidden_news: Some(by), .. } => Flush::Skip(SkipReason::Silenced { by }),
        Facts { gone: 0, .. } => Flush::Skip(SkipReason::CancelledOut),
        _ if !manner.send_resolved => Flush::Skip(SkipReason::ResolvedNotWanted),
        Facts { firing: 0, .. } => Flush::Send(SendReason::AllResolved),
        _ => Flush::Send(SendReason::Changed),
    }
}

fn owed(facts: Facts, manner: Manner, now: WallTime) -> Flush {
    match (facts.firing, facts.failing_since) {
        (1.., _) if facts.ever_told => Flush::Send(SendReason::Changed),
        (1.., _) => Flush::Send(SendReason::New),
        _ if facts.owed_ends == 0 => match facts.hidden {
            Some(by) => Flush::Wait(WaitReason::Silenced { by }),
            None => Flush::Skip(SkipReason::CancelledOut),
        },
        _ if !manner.send_resolved => Flush::Skip(SkipReason::ResolvedNotWanted),
        (_, Some(since)) if now.since(since) >= manner.owed_max => Flush::Skip(SkipReason::OwedTooLong { since }),
        _ => Flush::Send(SendReason::AllResolved),
    }
}

/// Which alerts a notification shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub firing: Vec<AlertId>,
    pub ended: Vec<AlertId>,
    /// Alerts of the group left out because of the bound.
    pub truncated: usize,
}

/// Alerts of one route that agree on its `group_by` labels, from the first that fires to the last end that is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    /// `{}/{severity="critical"}:{alertname="X"}`
    pub key: Arc<str>,
    pub route: RouteId,
    pub labels: Labels,
    pub opened_at: WallTime,
    /// One for each integration of the receiver.
    pub legs: Vec<Leg>,
    since: EventTime,
    sequence: u32,
    firing: BTreeSet<AlertId>,
    ended: BTreeMap<AlertId, Arc<AlertView>>,
    /// Of these two, the alerts that a silence hides, and which.
    #[serde(default)]
    hidden: BTreeMap<AlertId, SilenceId>,
}

impl Group {
    /// `not_before` is one past the `since` of the last group of this key, so that no two lives share their keys.
    pub fn open(
        key: Arc<str>,
        route: RouteId,
        labels: Labels,
        integrations: usize,
        first: EventTime,
        not_before: EventTime,
        now: WallTime,
    ) -> Group {
        Group {
            key,
            route,
            labels,
            opened_at: now,
            legs: vec![Leg::new(now); integrations],
            since: first.max(not_before),
            sequence: 0,
            firing: BTreeSet::new(),
            ended: BTreeMap::new(),
            hidden: BTreeMap::new(),
        }
    }

    /// When the group came into being: names this life in keys, so it stands still once anything was said.
    pub fn since(&self) -> EventTime {
        self.since
    }

    pub fn firing(&self) -> impl ExactSizeIterator<Item = AlertId> {
        self.firing.iter().copied()
    }

    /// How many notifications this life wrote.
    pub fn notifications(&self) -> u32 {
        self.sequence
    }

    /// Alerts that ended and whose end is still owed to some leg.
    pub fn ended(&self) -> impl ExactSizeIterator<Item = (AlertId, &Arc<AlertView>)> {
        self.ended.iter().map(|(id, view)| (*id, view))
    }

    /// All its moments were set by a clock that was ahead by this much.
    pub fn set_back(&mut self, by: Millis) {
        self.opened_at = self.opened_at - by;
        self.legs.iter_mut().for_each(|leg| leg.set_back(by));
    }

    /// Takes in an alert that fires (again), hidden or not.
    pub fn fired(&mut self, alert: AlertId, now: WallTime) {
        self.firing.insert(alert);
        self.ended.remove(&alert);
        self.due_for(alert, now);
    }

    /// An alert that fires is to be seen.
    fn due_for(&mut self, alert: AlertId, now: WallTime) {
        // A leg that heard all there was to hear begins anew, as the group would if no other leg held it open: a
        // receiver that is away must not cost another its `group_wait`.
        for leg in self.legs.iter_mut().filter(|leg| leg.is_at_rest()) {
            *leg = Leg::new(now);
        }
        for leg in self.legs.iter_mut().filter(|leg| !leg.shown.contains(&alert)) {
            leg.changed_at.get_or_insert(now);
        }
    }

    /// Which silence hides the alert from now on, and from whom it hides it: every leg.
    pub fn hide(&mut self, alert: AlertId, by: SilenceId) {
        self.hidden.insert(alert, by);
    }

    /// No silence hides the alert any more: what fires is news to legs that were not shown it, and so is an end to those
    /// that do not know of it.
    pub fn reveal(&mut self, alert: AlertId, now: WallTime) {
        self.hidden.remove(&alert);
        if self.firing.contains(&alert) {
            return self.due_for(alert, now);
        }
        for leg in self.legs.iter_mut().filter(|leg| leg.stands_for(alert)) {
            leg.changed_at.get_or_insert(now);
        }
    }

    pub fn hidden_by(&self, alert: AlertId) -> Option<SilenceId> {
        self.hidden.get(&alert).copied()
    }

    /// Alerts that a silence hides, and which.
    pub fn hidden(&self) -> impl ExactSizeIterator<Item = (AlertId, SilenceId)> {
        self.hidden.iter().map(|(alert, by)| (*alert, *by))
    }

    /// Until the first notification, the earliest firing names the group, in whatever order the signals came.
    pub fn date_back(&mut self, fired_at: EventTime, not_before: EventTime) {
        if self.sequence == 0 {
            self.since = self.since.min(fired_at).max(not_before);
        }
    }

    /// An alert of the group ended. Whether anyone has to be told.
    pub fn resolved(&mut self, alert: AlertId, view: &Arc<AlertView>, now: WallTime) -> bool {
        self.firing.remove(&alert);
        for leg in self.legs.iter_mut().filter(|leg| leg.stands_for(alert)) {
            leg.changed_at.get_or_insert(now);
        }
        let owed = self.legs.iter().any(|leg| leg.known.contains(&alert));
        match owed {
            true => drop(self.ended.insert(alert, view.clone())),
            false => drop(self.hidden.remove(&alert)),
        }
        owed
    }

    pub fn fires(&self, alert: AlertId) -> bool {
        self.firing.contains(&alert)
    }

    /// The alert is told by another group from now on: here it neither fires nor ends.
    pub fn leave(&mut self, alert: AlertId) {
        self.firing.remove(&alert);
        self.ended.remove(&alert);
        self.forget(alert);
    }

    fn forget(&mut self, alert: AlertId) {
        self.hidden.remove(&alert);
        for leg in &mut self.legs {
            leg.shown.remove(&alert);
            leg.known.remove(&alert);
            leg.withheld.remove(&alert);
        }
    }

    /// The integrations of the receiver are others than they were: `None` is one that has heard nothing yet.
    pub fn take_legs(&mut self, legs: Vec<Option<Leg>>, now: WallTime) {
        self.legs = legs.into_iter().map(|leg| leg.unwrap_or_else(|| Leg::new(now))).collect();
        self.prune();
    }

    /// Beyond `max` ends that are owed, gives up the oldest: no leg will hear of it.
    pub fn forget_excess(&mut self, max: usize) -> Option<Arc<AlertView>> {
        if self.ended.len() <= max {
            return None;
        }
        let (_, oldest) = self.ended.iter().map(|(id, view)| ((view.ends_at, *id), *id)).min()?;
        self.forget(oldest);
        self.ended.remove(&oldest)
    }

    pub fn facts(&self, leg: usize) -> Facts {
        let leg = &self.legs[leg];
        let ended = |id: &&AlertId| !self.firing.contains(id) && self.is_seen(**id);
        let told_to_fire = leg.shown.union(&leg.withheld);
        let fires_or_owed = |id: &AlertId| self.firing.contains(id) || leg.known.contains(id);
        let news = |id: &AlertId| match self.firing.contains(id) {
            true => !leg.shown.contains(id),
            false => leg.stands_for(*id),
        };
        let hidden = |which: &dyn Fn(&AlertId) -> bool| self.hidden.iter().find(|(id, _)| which(id)).map(|(_, by)| *by);
        Facts {
            firing: self.seen().count(),
            new: self.seen().filter(|id| !leg.shown.contains(id)).count(),
            gone: told_to_fire.filter(ended).count(),
            owed_ends: leg.known.iter().filter(ended).count(),
            hidden: hidden(&fires_or_owed),
            hidden_news: hidden(&news),
            changed_at: leg.changed_at,
            failing_since: leg.failing_since,
            ever_told: leg.ever_told,
        }
    }

    fn is_seen(&self, alert: AlertId) -> bool {
        !self.hidden.contains_key(&alert)
    }

    /// Alerts that fire and are not hidden.
    fn seen(&self) -> impl Iterator<Item = AlertId> {
        self.firing().filter(|id| self.is_seen(*id))
    }

    pub fn judge(&self, leg: usize, manner: Manner, now: WallTime) -> Flush {
        judge(self.legs[leg].state, self.facts(leg), manner, now)
    }

    /// What a notification to this leg shows now: all of the group while it fits, else what changed first. One firing
    /// alert always has a place, because a notification without any says that all is well.
    pub fn show(&self, leg: usize, send_resolved: bool, max: usize) -> Shown {
        let leg = &self.legs[leg];
        let (old, new): (Vec<AlertId>, Vec<AlertId>) = self.seen().partition(|id| leg.shown.contains(id));
        let fresh = new.len();
        let mut firing: Vec<AlertId> = new.into_iter().chain(old).collect();
        let mut ended: Vec<AlertId> = match send_resolved {
            true => leg.known.difference(&self.firing).copied().filter(|id| self.is_seen(*id)).collect(),
            false => Vec::new(),
        };
        let total = firing.len() + ended.len();
        if total > max {
            let first = fresh.clamp(firing.len().min(1), max);
            ended.truncate(max - first);
            firing.truncate(max - ended.len());
        }
        let truncated = total - firing.len() - ended.len();
        firing.sort_unstable();
        Shown { firing, ended, truncated }
    }

    /// The number of the next notification, from 1.
    pub fn next_sequence(&mut self) -> u32 {
        self.sequence += 1;
        self.sequence
    }

    /// A notification that shows the group as it is was written for this leg.
    pub fn wrote(&mut self, leg: usize, sequence: u32, send_resolved: bool, now: WallTime) {
        let seen: BTreeSet<AlertId> = self.seen().collect();
        let leg = &mut self.legs[leg];
        match send_resolved {
            true => leg.known.extend(&seen),
            false => leg.known.clone_from(&seen),
        }
        leg.shown = seen;
        leg.withheld = leg.known.iter().filter(|id| self.hidden.contains_key(id)).copied().collect();
        leg.changed_at = None;
        leg.state = LegState::Underway { flushed_at: now, sequence };
        self.prune();
    }

    /// The moment came and nothing was said.
    pub fn skipped(&mut self, leg: usize, reason: SkipReason) {
        let leg = &mut self.legs[leg];
        leg.changed_at = None;
        match reason {
            SkipReason::ResolvedBeforeTold => leg.state = LegState::Quiet,
            // What is hidden stays a difference, for when it is revealed.
            SkipReason::Silenced { .. } if !matches!(leg.state, LegState::Untold { .. }) => {}
            SkipReason::Silenced { .. } => leg.state = LegState::Quiet,
            SkipReason::OwedTooLong { .. } => {
                leg.shown.clear();
                leg.known.clear();
                leg.withheld.clear();
                leg.state = LegState::Quiet;
            }
            SkipReason::CancelledOut | SkipReason::ResolvedNotWanted => {
                let stays = |id: &AlertId| self.firing.contains(id) || self.hidden.contains_key(id);
                leg.shown.retain(stays);
                leg.withheld.retain(stays);
                // What is under way may still tell of an end, and has to be told otherwise by its successor.
                if !matches!(leg.state, LegState::Underway { .. }) || reason == SkipReason::ResolvedNotWanted {
                    leg.known.retain(stays);
                }
                if let LegState::Owed { flushed_at, sequence, .. } = leg.state {
                    leg.state = LegState::Told { flushed_at, sequence };
                }
            }
        }
        self.prune();
    }

    /// A receiver has notification `sequence`. Whether that was the newest.
    pub fn delivered(&mut self, leg: usize, sequence: u32) -> bool {
        let leg = &mut self.legs[leg];
        leg.ever_told = true;
        leg.failing_since = None;
        let newest = match leg.state {
            LegState::Underway { flushed_at, sequence: newest }
            | LegState::Owed { flushed_at, sequence: newest, .. }
                if newest == sequence =>
            {
                leg.state = LegState::Told { flushed_at, sequence };
                leg.known = leg.shown.union(&leg.withheld).copied().collect();
                true
            }
            _ => false,
        };
        self.prune();
        newest
    }

    /// Notification `sequence` was given up. Whether anything is owed for it: not where a newer one carries it on, nor
    /// where there is nothing left to say.
    pub fn gave_up(&mut self, leg: usize, sequence: u32, retry_at: WallTime, now: WallTime) -> bool {
        let nothing_left = self.firing.is_empty() && self.legs[leg].known.is_empty();
        let leg = &mut self.legs[leg];
        match leg.state {
            LegState::Underway { sequence: newest, .. } if newest == sequence && nothing_left => {
                leg.state = LegState::Quiet;
                false
            }
            LegState::Underway { flushed_at, sequence: newest } if newest == sequence => {
                leg.failing_since.get_or_insert(now);
                leg.state = LegState::Owed { flushed_at, sequence, retry_at };
                true
            }
            _ => false,
        }
    }

    /// The leg's receiver is back: what is owed is due now.
    pub fn receiver_back(&mut self, leg: usize, now: WallTime) {
        if let LegState::Owed { retry_at, .. } = &mut self.legs[leg].state {
            *retry_at = now.min(*retry_at);
        }
    }

    /// Nothing fires, nobody is owed anything, and no moment is still to come.
    pub fn is_over(&self) -> bool {
        let done = |leg: &Leg| match leg.state {
            LegState::Untold { .. } | LegState::Underway { .. } => false,
            LegState::Quiet | LegState::Told { .. } | LegState::Owed { .. } => true,
        };
        self.firing.is_empty() && self.ended.is_empty() && self.legs.iter().all(done)
    }

    /// Keeps `G2`.
    fn prune(&mut self) {
        let legs = &self.legs;
        self.ended.retain(|id, _| legs.iter().any(|leg| leg.known.contains(id)));
        let (firing, ended) = (&self.firing, &self.ended);
        self.hidden.retain(|id, _| firing.contains(id) || ended.contains_key(id));
    }
}

#[cfg(test)]
mod tests;
