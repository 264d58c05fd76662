//! The desk: signals become alerts, alerts groups, groups notifications, notifications deliveries.
//!
//! One pure state machine for `run`, `replay`, `test` and the simulator. It is driven like this: hand in what happened
//! with [`Desk::handle`], then `Tick` whenever [`Desk::next_deadline`] has come. It reads no clock and starts no task.
//!
//! Alerts are what rules say now ([`table`]); what is owed to whom lives in groups ([`crate::alert::group`]); what is
//! on its way lives in the outbox ([`crate::notify::outbox`]). The three meet only here. Keeping "what is" apart from
//! "what was told" is what makes the awkward cases fall out by themselves: an alert may be pending again while its last
//! end is still owed, and a receiver that was away for an hour is told the difference, not the history.
//!
//! - `K1` only a `Tick` speaks: signals and receipts change what is owed, a `Tick` writes and starts deliveries. So it
//!   does not matter in which order, or in how many pieces, the signals of one instant arrive
//! - `K2` the clock never goes back: an input with an earlier `now` is taken at the latest `now` seen
//! - `K3` every alert that fires is in a group of each route that matches it, or its refusal is journalled
//! - `K4` a notification's keys are the same for every attempt and never used for another
//! - `K6` what has a home shares no group with what has another, so all of it can leave at once ([`home`]); an alert has
//!   one home at a time

mod clashes;
mod config;
mod home;
mod keep;
mod meta;
mod operator;
mod speak;
mod table;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub use config::{DeskBounds, DeskConfig, DeskConfigError, ReceiverPolicy};
pub use home::HomeCut;
pub use keep::{DeskCut, Dropped};
pub use operator::{Answer, Operation, Person};
pub use table::Refused;
pub use view::{DeskCounts, GroupView, LegView};

use serde::{Deserialize, Serialize};

use crate::alert::group::{Flush, Group, WaitReason};
use crate::alert::life::{AlertId, AlertName, Change, Life};
use crate::alert::route::RouteId;
use crate::alert::silence::Silences;
use crate::engine::journal::{Decision, Journal, JournalEntry, UntoldReason};
use crate::model::signal::ResolvedBecause;
use crate::model::{
    Delivery, DeliveryId, EventTime, Labels, Loss, Millis, Outcome, RuleMeta, Signal, SourceId, Transition, WallTime,
};
use crate::notify::outbox::{DeadLetter, LaneId, Outbox, OutboxEvent};
use clashes::Clashes;
use table::{AlertTable, Taken};

/// The label of groups that hold what no longer fits into groups of its own.
pub const OVERFLOW_LABEL: &str = "foghorn_overflow";

/// What can happen to a desk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum DeskInput {
    /// What rules say, in any order.
    Signals(Vec<Signal>),
    /// What became of a delivery attempt.
    Receipt { receiver: Arc<str>, id: DeliveryId, outcome: Outcome },
    /// The watermark of a source stands still although it is not idle. May be repeated as it gets worse.
    SourceStalled { stream: Arc<str>, source: SourceId, watermark: EventTime, still_for: Millis },
    /// … and moves again, or the source is no longer ours.
    SourceRecovered { stream: Arc<str>, source: SourceId },
    /// A rule has reached its limit of groups and refuses events of new ones.
    RuleDegraded { rule: Arc<RuleMeta>, groups_max: usize, refused: u64 },
    /// … and has room again.
    RuleRestored { rule: Arc<RuleMeta> },
    /// Events of a stream are gone that no rule has seen.
    InputLost { stream: Arc<str>, source: SourceId, loss: Loss },
    /// … and no window of the stream reaches back to them any more.
    InputWhole { stream: Arc<str> },
    /// The process that started what is under way is gone: nobody will answer for it any more.
    Restarted,
    /// As `Restarted`, by a member of a group whose partitions move: what has a home may be another's by now, and nothing
    /// of it is told until that is known.
    RestartedUnconfirmed,
    /// From here on every rule speaks of one partition at a time, or none does. To be told after a restart, as rules may have
    /// changed meanwhile: what was said in the other way has nobody left to speak of it, and ends.
    Speaking { local: bool },
    /// A home is ours still.
    HomeConfirmed { home: SourceId },
    /// A home is ours now, and this is all there is of it.
    HomeAdopted { home: SourceId, part: Box<HomeCut> },
    /// A home is about to be no longer ours: nothing new of it is told, and what is under way may still be answered.
    HomeLeaving { home: SourceId },
    /// A home is no longer ours.
    HomeReleased { home: SourceId },
    /// Somebody wants something.
    Operator(Operation),
    /// A deadline came.
    Tick,
}

/// What a desk wants done or known.
#[derive(Clone, Debug)]
pub enum DeskOutput {
    Deliver {
        receiver: Arc<str>,
        delivery: Delivery,
    },
    Journal(JournalEntry),
    DeadLetter(DeadLetter),
    /// What became of a [`DeskInput::Operator`].
    Answer(Answer),
}

/// A lane of the outbox as the desk sees it.
#[derive(Debug)]
struct LaneInfo {
    integration: usize,
    /// `ops/slack`, or `ops/slack[1]` where a receiver has several of a kind.
    target: Arc<str>,
    send_resolved: bool,
    /// Groups with a leg that is owed what was given up.
    owed: BTreeSet<Arc<str>>,
}

#[derive(Debug)]
struct Entry {
    group: Group,
    receiver: usize,
    /// One past the life before: see [`Group::open`].
    not_before: EventTime,
    deadline: Option<WallTime>,
    /// What was last journalled of it.
    waits: Vec<WaitReason>,
}

/// When the groups that are over began, so that a new life of the same name gets keys of its own (`K4`). Bounded: the
/// oldest are forgotten, which matters only to a group that returns with an earlier event time after all the others.
#[derive(Debug, Default)]
struct PastLives {
    since: BTreeMap<Arc<str>, (EventTime, u64)>,
    order: BTreeMap<u64, Arc<str>>,
    next: u64,
}

impl PastLives {
    fn add(&mut self, key: Arc<str>, since: EventTime, max: usize) {
        self.next += 1;
        if let Some((_, order)) = self.since.insert(key.clone(), (since, self.next)) {
            self.order.remove(&order);
        }
        self.order.insert(self.next, key);
        while self.order.len() > max {
            let (_, oldest) = self.order.pop_first().expect("longer than the bound");
            self.since.remove(&oldest);
        }
    }

    /// Oldest first.
    fn in_order(&self) -> impl Iterator<Item = (Arc<str>, EventTime)> {
        self.order.values().map(|key| (key.clone(), self.since[key].0))
    }

    fn next_since(&self, key: &str) -> EventTime {
        self.since.get(key).map_or(EventTime::MIN, |(since, _)| *since + Millis(1))
    }
}

#[derive(Debug)]
pub struct Desk {
    config: DeskConfig,
    lanes: Vec<LaneInfo>,
    /// By receiver: its lanes in the order of its integrations.
    lanes_of: Vec<Vec<LaneId>>,
    alerts: AlertTable,
    groups: BTreeMap<Arc<str>, Entry>,
    past: PastLives,
    timers: BTreeSet<(WallTime, Arc<str>)>,
    outbox: Outbox,
    journal: Journal,
    silences: Silences,
    /// Moments that passed without a word, by [`SkipReason::name`](crate::alert::SkipReason::name).
    suppressed: BTreeMap<&'static str, u64>,
    dead_letters: VecDeque<DeadLetter>,
    clashes: Clashes,
    /// Homes of which nobody knows whether they are still ours.
    unconfirmed: BTreeSet<SourceId>,
    now: WallTime,
}

impl Desk {
    /// `seed` decides the jitter of retries and nothing else.
    pub fn new(config: DeskConfig, seed: u64) -> Desk {
        let bounds = config.bounds;
        let mut outbox = Outbox::new(bounds.lane_queue_max, seed);
        let (mut lanes, mut lanes_of) = (Vec::new(), Vec::new());
        for receiver in &config.receivers {
            let mut of = Vec::new();
            for (integration, policy) in receiver.integrations.iter().enumerate() {
                let alike = receiver.integrations.iter().filter(|other| other.kind == policy.kind).count();
                let target = match alike {
                    1 => format!("{}/{}", receiver.name, policy.kind),
                    _ => format!("{}/{}[{integration}]", receiver.name, policy.kind),
                };
                lanes.push(LaneInfo {
                    integration,
                    target: target.into(),
                    send_resolved: policy.send_resolved,
                    owed: BTreeSet::new(),
                });
                of.push(outbox.add_lane(receiver.name.clone(), integration, policy.clone()));
            }
            lanes_of.push(of);
        }
        Desk {
            lanes,
            lanes_of,
            alerts: AlertTable::new(bounds.alerts_max, bounds.resolved_max),
            groups: BTreeMap::new(),
            past: PastLives::default(),
            timers: BTreeSet::new(),
            outbox,
            journal: Journal::new(bounds.journal_max),
            silences: Silences::default(),
            suppressed: BTreeMap::new(),
            dead_letters: VecDeque::new(),
            clashes: Clashes::default(),
            unconfirmed: BTreeSet::new(),
            now: WallTime::MIN,
            config,
        }
    }

    /// Takes one input; what follows from it is added to `out`.
    pub fn handle(&mut self, now: WallTime, input: DeskInput, out: &mut Vec<DeskOutput>) {
        self.now = self.now.max(now);
        self.turn_silences(out);
        match input {
            DeskInput::Signals(signals) => self.take_signals(&signals, out),
            DeskInput::Receipt { receiver, id, outcome } => {
                let mut events = Vec::new();
                self.outbox.receipt(self.now, &receiver, id, outcome, &mut events);
                self.follow(events, out);
            }
            DeskInput::SourceStalled { stream, source, watermark, still_for } => {
                let signal = meta::source_stalled(&self.config, self.now, &stream, &source, watermark, still_for);
                self.take_signals(&[self.as_episode(signal)], out);
            }
            DeskInput::SourceRecovered { stream, source } => {
                let signal = meta::source_recovered(&self.config, self.now, &stream, &source);
                self.take_signals(&[signal], out);
            }
            DeskInput::RuleDegraded { rule, groups_max, refused } => {
                let signal = meta::rule_degraded(&self.config, self.now, &rule, groups_max, refused);
                self.take_signals(&[self.as_episode(signal)], out);
            }
            DeskInput::RuleRestored { rule } => {
                let signal = meta::rule_restored(&self.config, self.now, &rule);
                self.take_signals(&[signal], out);
            }
            DeskInput::InputLost { stream, source, loss } => {
                let signal = meta::input_lost(&self.config, self.now, &stream, &source, loss);
                self.take_signals(&[self.as_episode(signal)], out);
            }
            DeskInput::InputWhole { stream } => {
                let signal = meta::input_whole(&self.config, self.now, &stream);
                self.take_signals(&[signal], out);
            }
            DeskInput::Restarted => self.restarted(out),
            DeskInput::RestartedUnconfirmed => {
                self.restarted(out);
                self.doubt_homes(out);
            }
            DeskInput::Speaking { local } => self.end_others(local, out),
            DeskInput::HomeConfirmed { home } => self.confirm_home(&home, out),
            DeskInput::HomeAdopted { home, part } => self.adopt_home(home, *part, out),
            DeskInput::HomeLeaving { home } => self.leave_home(home, out),
            DeskInput::HomeReleased { home } => self.release_home(&home, out),
            DeskInput::Operator(operation) => self.operate(operation, out),
            DeskInput::Tick => self.tick(out),
        }
    }

    /// When a [`DeskInput::Tick`] next has something to do. May lie in the past.
    pub fn next_deadline(&self) -> Option<WallTime> {
        let group = self.timers.first().map(|(at, _)| *at);
        group.into_iter().chain(self.outbox.next_deadline()).chain(self.silences.next_change()).min()
    }

    /// The latest `now` seen.
    pub fn now(&self) -> WallTime {
        self.now
    }

    fn tick(&mut self, out: &mut Vec<DeskOutput>) {
        let mut events = Vec::new();
        self.outbox.expire(self.now, &mut events);
        self.follow(std::mem::take(&mut events), out);
        // Written before older ones start, so that these give way unsent.
        while let Some((at, _)) = self.timers.first()
            && *at <= self.now
        {
            let (_, key) = self.timers.pop_first().expect("there is a first");
            self.flush(&key, out);
        }
        self.hush();
        self.outbox.start(self.now, &mut events);
        self.follow(events, out);
    }

    fn restarted(&mut self, out: &mut Vec<DeskOutput>) {
        let mut events = Vec::new();
        self.outbox.restarted(self.now, &mut events);
        self.follow(events, out);
    }

    fn take_signals(&mut self, signals: &[Signal], out: &mut Vec<DeskOutput>) {
        let mut touched = BTreeSet::new();
        for signal in signals {
            self.take_signal(signal, &mut touched, out);
        }
        if let Some(signal) = meta::desk_full(&self.config, self.now, &mut self.alerts) {
            self.take_signal(&self.as_episode(signal), &mut touched, out);
        }
        for rule in self.clashes.settled() {
            self.take_signal(&meta::rule_local_again(&self.config, self.now, &rule), &mut touched, out);
        }
        self.alerts.trim();
        for key in touched {
            self.reschedule(&key, out);
        }
    }

    /// A condition on wall time that is reported again is the same episode still.
    fn as_episode(&self, mut signal: Signal) -> Signal {
        let known = self.alerts.get(AlertId::of(&signal.rule, &signal.labels));
        if let Some(Life::Firing { since, fired_at }) = known.map(|alert| alert.life) {
            signal.transition = Transition::Refreshed;
            signal.active_since = since;
            signal.fired_at = Some(fired_at);
        }
        signal
    }

    fn take_signal(&mut self, signal: &Signal, touched: &mut BTreeSet<Arc<str>>, out: &mut Vec<DeskOutput>) {
        let name = || AlertName::new(&signal.rule, &signal.labels);
        match self.alerts.take(self.now, signal) {
            Taken::Elsewhere { id, home } => self.clash(signal, id, home, touched, out),
            Taken::Nothing(why) => self.enter(Decision::SignalIgnored { alert: name(), why }, out),
            Taken::Refused(Refused { firing, alerts_max }) => {
                self.enter(Decision::AlertRefused { alert: name(), firing, alerts_max }, out);
            }
            Taken::Changed { change: Change::Refreshed, .. } => {}
            Taken::Changed { id, change, displaced } => {
                self.clashes.over(id, signal.home.as_ref());
                if let Some(displaced) = displaced {
                    self.enter(Decision::AlertDisplaced { alert: displaced, by: name() }, out);
                }
                let because = match signal.transition {
                    Transition::Resolved(because) => Some(because),
                    _ => (change == Change::Resolved).then_some(ResolvedBecause::Normal),
                };
                let seen = Some(self.alerts.seen(id, signal));
                self.enter(Decision::Alert { alert: name(), change, at: signal.at, because, seen }, out);
                match change {
                    Change::Fired | Change::FiredAgain { .. } => self.join_groups(id, touched, out),
                    Change::Resolved => self.resolve(id, touched, out),
                    Change::Began | Change::Dropped | Change::Refreshed | Change::Ignored(_) => {}
                }
            }
        }
    }

    /// A home raises what another one has (`K6`).
    fn clash(
        &mut self,
        signal: &Signal,
        id: AlertId,
        holder: Option<Arc<SourceId>>,
        touched: &mut BTreeSet<Arc<str>>,
        out: &mut Vec<DeskOutput>,
    ) {
        if matches!(signal.transition, Transition::Dropped | Transition::Resolved(_)) {
            self.clashes.over(id, signal.home.as_ref());
            return;
        }
        let (Some(home), Some(holder)) = (signal.home.clone(), holder) else { return };
        if self.clashes.note(id, signal) {
            let alert = AlertName::new(&signal.rule, &signal.labels);
            let meta = meta::rule_not_local(&self.config, self.now, &signal.rule, &alert, &holder, &home);
            self.enter(Decision::NotLocal { alert, holder, home }, out);
            self.take_signal(&self.as_episode(meta), touched, out);
        }
    }

    /// Puts a firing alert into a group of every route that matches it (`K3`).
    fn join_groups(&mut self, id: AlertId, touched: &mut BTreeSet<Arc<str>>, out: &mut Vec<DeskOutput>) {
        let alert = self.alerts.get(id).expect("an alert that just fired is in the table");
        let (name, labels, home) = (AlertName::from(alert), alert.labels.clone(), alert.home.clone());
        let fired_at = alert.view().expect("it fires").starts_at;
        let mut groups = Vec::new();
        for route in self.config.routes.matching(&labels) {
            let key = self.open_group(route, &name, home.as_deref(), fired_at, out);
            let entry = self.groups.get_mut(&key).expect("just opened or found");
            entry.group.date_back(fired_at, entry.not_before);
            entry.group.fired(id, self.now);
            let receiver = self.config.receivers[entry.receiver].name.clone();
            let mute = entry.group.legs.is_empty();
            self.enter(Decision::Joined { alert: name.clone(), group: key.clone(), receiver }, out);
            if mute {
                let why = UntoldReason::NoIntegrations;
                self.enter(Decision::Untold { alert: name.clone(), why }, out);
            }
            touched.insert(key.clone());
            groups.push(key);
        }
        self.silence_alert(id, &name, &groups, out);
        self.alerts.get_mut(id).expect("still there").groups = groups;
    }

    /// The key of the group of `route` for an alert, opened where it is not yet.
    fn open_group(
        &mut self,
        route: RouteId,
        alert: &AlertName,
        home: Option<&SourceId>,
        fired_at: EventTime,
        out: &mut Vec<DeskOutput>,
    ) -> Arc<str> {
        let node = self.config.routes.node(route);
        let mut labels = node.group_by.labels_of(&alert.labels);
        let mut key = node.group_key(&labels, home);
        let groups_max = self.config.bounds.groups_max;
        let mut overflow = None;
        if self.groups.len() >= groups_max && !self.groups.contains_key(&key) {
            labels = Labels::from_pairs([(OVERFLOW_LABEL, "true")]);
            let into = node.group_key(&labels, home);
            let wanted = std::mem::replace(&mut key, into.clone());
            overflow = Some(Decision::GroupOverflow { alert: alert.clone(), wanted, into, groups_max });
        }
        let receiver = self.config.receiver_index[&node.receiver];
        let receiver_name = node.receiver.clone();
        if let Some(overflow) = overflow {
            self.enter(overflow, out);
        }
        if !self.groups.contains_key(&key) {
            let not_before = self.past.next_since(&key);
            let integrations = self.lanes_of[receiver].len();
            let group = Group::open(key.clone(), route, labels, integrations, fired_at, not_before, self.now);
            let since = group.since();
            let entry = Entry { group, receiver, not_before, deadline: None, waits: Vec::new() };
            self.groups.insert(key.clone(), entry);
            self.enter(Decision::GroupOpened { group: key.clone(), receiver: receiver_name, since }, out);
        }
        key
    }

    /// An alert ended: its groups owe that to whoever knows it.
    fn resolve(&mut self, id: AlertId, touched: &mut BTreeSet<Arc<str>>, out: &mut Vec<DeskOutput>) {
        let alert = self.alerts.get_mut(id).expect("an alert that just resolved is in the table");
        let groups = std::mem::take(&mut alert.groups);
        let (name, view) = (AlertName::from(&*alert), Arc::new(alert.view().expect("resolved, not pending")));
        let (mut owed, mut heard, mut silenced) = (false, false, false);
        for key in groups {
            let entry = self.groups.get_mut(&key).expect("a group lives while an alert of it fires");
            silenced |= entry.group.hidden_by(id).is_some();
            owed |= entry.group.resolved(id, &view, self.now);
            heard |= !entry.group.legs.is_empty();
            let ended_max = self.config.bounds.ended_per_group_max;
            if let Some(forgotten) = entry.group.forget_excess(ended_max) {
                let alert = AlertName::from(&*forgotten);
                self.enter(Decision::EndForgotten { alert, group: key.clone(), ended_max }, out);
            }
            touched.insert(key);
        }
        if heard && !owed {
            let why = if silenced { UntoldReason::Silenced } else { UntoldReason::ResolvedBeforeTold };
            self.enter(Decision::Untold { alert: name, why }, out);
        }
    }

    /// Sets a group's timer to the first of its legs' deadlines, journals what it waits for, closes it when it is over.
    fn reschedule(&mut self, key: &Arc<str>, out: &mut Vec<DeskOutput>) {
        let Some(entry) = self.groups.get(key) else { return };
        if entry.group.is_over() {
            self.close(key, out);
            return;
        }
        let mut deadline: Option<WallTime> = None;
        let mut waits = Vec::new();
        for leg in 0..entry.group.legs.len() {
            let until = match self.next(entry, leg) {
                Flush::Send(_) | Flush::Skip(_) => Some(self.now),
                Flush::Wait(why) => {
                    // What is under way, or given up, has entries of its own.
                    let quiet = matches!(
                        why,
                        WaitReason::Underway { .. }
                            | WaitReason::Undelivered { .. }
                            | WaitReason::NothingFiring
                            | WaitReason::Unconfirmed
                    );
                    if !quiet && !waits.contains(&why) {
                        waits.push(why);
                    }
                    why.until()
                }
            };
            deadline = deadline.into_iter().chain(until).min();
        }
        let entry = self.groups.get_mut(key).expect("looked up above");
        if let Some(old) = entry.deadline.take() {
            self.timers.remove(&(old, key.clone()));
        }
        if let Some(at) = deadline {
            entry.deadline = Some(at);
            self.timers.insert((at, key.clone()));
        }
        let before = std::mem::replace(&mut entry.waits, waits.clone());
        for why in waits.into_iter().filter(|why| !before.contains(why)) {
            self.enter(Decision::Wait { group: key.clone(), why }, out);
        }
    }

    fn close(&mut self, key: &Arc<str>, out: &mut Vec<DeskOutput>) {
        let entry = self.remove_group(key);
        self.past.add(key.clone(), entry.group.since(), self.config.bounds.groups_max);
        let notifications = entry.group.notifications();
        self.enter(Decision::GroupClosed { group: key.clone(), notifications }, out);
    }

    fn remove_group(&mut self, key: &Arc<str>) -> Entry {
        let entry = self.groups.remove(key).expect("a group that goes is there");
        if let Some(at) = entry.deadline {
            self.timers.remove(&(at, key.clone()));
        }
        for lane in &self.lanes_of[entry.receiver] {
            self.lanes[lane.0].owed.remove(key);
        }
        entry
    }

    /// Acts on what the outbox did.
    fn follow(&mut self, events: Vec<OutboxEvent>, out: &mut Vec<DeskOutput>) {
        for event in events {
            self.follow_one(event, out);
        }
    }

    fn enter(&mut self, decision: Decision, out: &mut Vec<DeskOutput>) {
        out.push(DeskOutput::Journal(self.journal.enter(self.now, decision)));
    }
}
