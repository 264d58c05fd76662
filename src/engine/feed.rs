//! One feed of one shard: stage 1 records events into open panes, stage 2 keeps windows and judges rules.
//!
//! The two stages meet in the partial of a pane (design D4) even where one process plays both: with one shard a closed
//! pane is merged straight into the windows, with several it travels as bytes to the shard that owns the group. The
//! obvious alternative, recording straight into windows, would save one copy of a pane and cost the second road:
//! every difference between the roads would be a bug that only large installations see.
//!
//! - `F1` panes are merged in ascending order, and a tick is judged when every pane that ends by it is merged
//! - `F2` what a tick says depends on the events before it alone: not on batch cuts, shard count or arrival order
//! - `F3` a group without an active hold, a touched window or a due deadline costs nothing at a tick

pub mod cut;
mod intake;

use std::collections::{BTreeMap, BTreeSet};

use std::sync::Arc;

pub use intake::{FeedCounts, Intake};

use crate::engine::exemplars::Exemplars;
use crate::engine::judge::{self, Coverage, GroupView};
use crate::engine::limit::{Entry, Limit, LimitChange};
use crate::engine::pane_log::PaneLog;
use crate::engine::plan::{FeedPlan, RulePlan};
use crate::model::labels::Labels;
use crate::model::signal::{Exemplar, ResolvedBecause, Signal, Transition, UnknownReason, Verdict};
use crate::model::time::{EventTime, Millis};
use crate::rule::hold::Hold;
use crate::stream::group::{GROUPS_MAX, GroupIndex};
use crate::window::{PanePartial, Windows};

/// Stage 2: the groups this shard owns.
pub struct Book {
    pub index: GroupIndex,
    pub windows: Windows,
    groups: Vec<Group>,
    exemplars: Exemplars,
    rules: Vec<RuleBook>,
    /// The last pane that is merged and judged.
    closed: i64,
    /// When a group may be forgotten, at the earliest. Entries are moved when they come up and the group was seen since.
    expiries: BTreeSet<(i64, u32)>,
    /// The last pane anything was merged into; windows are empty when it is out of reach.
    last_merged: i64,
    reach: i64,
    /// What was merged, for checkpoints; none are taken without it.
    log: Option<PaneLog>,
    /// By accumulator: nothing before this went into it although there were events.
    whole: Vec<EventTime>,
    limit: Limit,
    /// Events that were refused for the limit of groups.
    pub overflowed: u64,
    touched: Vec<u32>,
    candidates: Vec<u32>,
}

/// Since when a stream's events were seen.
#[derive(Clone, Copy, Debug)]
pub struct SeenSince {
    /// The first event, or the first tick where there was none yet.
    pub first: EventTime,
    /// Events before this are known to be missing; [`EventTime::MIN`] where none are.
    pub whole: EventTime,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    last_seen: i64,
    /// Named in `expect`: never forgotten.
    expected: bool,
    /// Known only for an alert that was brought along, from another feed or from the desk: `last_seen` is when that was.
    assumed: bool,
    /// Taken in the pane that is being merged.
    new: bool,
}

const NO_GROUP: Group = Group { last_seen: i64::MIN, expected: false, assumed: false, new: false };

/// One rule's memory.
#[derive(Default)]
struct RuleBook {
    /// Groups that are not clear.
    active: BTreeMap<u32, Active>,
    /// Groups whose window changed since the last tick of this rule.
    touched: BTreeSet<u32>,
    /// When a group counts as absent, at the earliest; moved as `expiries` are.
    absences: BTreeSet<(i64, u32)>,
    evaluations: u64,
}

pub struct Active {
    pub hold: Hold,
    pub labels: Labels,
    pub last_signal: EventTime,
    pub absent: bool,
    /// As rendered at the last breach: what a resolved alert goes on saying, as in Prometheus.
    pub annotations: Vec<(Arc<str>, String)>,
}

/// What a rule looks like at the moment, for the page and for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleStatus {
    pub rule: usize,
    pub groups: usize,
    pub active: usize,
    pub evaluations: u64,
}

impl Book {
    pub fn new(plan: &FeedPlan, seed: u64) -> Self {
        Book {
            index: GroupIndex::new(GROUPS_MAX, seed),
            windows: Windows::new(plan.windows.clone()),
            groups: Vec::new(),
            exemplars: Exemplars::default(),
            rules: plan.rules.iter().map(|_| RuleBook::default()).collect(),
            closed: i64::MIN,
            expiries: BTreeSet::new(),
            last_merged: i64::MIN,
            reach: i64::from(plan.reach_panes()),
            log: None,
            whole: vec![EventTime::MIN; plan.windows.accs.len()],
            limit: Limit::new(plan.group_limit),
            overflowed: 0,
            touched: Vec::new(),
            candidates: Vec::new(),
        }
    }

    /// The last pane that is merged and judged; `None` before the first.
    pub fn closed(&self) -> Option<i64> {
        (self.closed != i64::MIN).then_some(self.closed)
    }

    /// Sets the pane before the first one. Groups named in `expect` that this shard owns count as seen just before.
    pub fn start(&mut self, plan: &FeedPlan, before: i64, owned: impl Fn(&[u8]) -> bool) {
        self.closed = before;
        self.windows.advance_to(before);
        self.expect_named(plan, before, owned);
    }

    /// Groups named in `expect` are never forgotten; those that are not known count as seen in pane `before`.
    fn expect_named(&mut self, plan: &FeedPlan, before: i64, owned: impl Fn(&[u8]) -> bool) {
        for key in plan.rules.iter().flat_map(|rule| &rule.expected).filter(|key| owned(key)) {
            let gid = self.index.find(key).unwrap_or_else(|| self.add(plan, key, before));
            self.groups[gid as usize].expected = true;
        }
        self.settle();
    }

    /// The number of a group that is not known yet; `None` where there is no room for it.
    fn admit(&mut self, plan: &FeedPlan, key: &[u8], pane: i64) -> Option<u32> {
        match self.limit.ask(key) {
            Entry::Refused => return None,
            Entry::InPlaceOf(other) => self.turn_away(plan, other, pane),
            Entry::Free => {}
        }
        Some(self.add(plan, key, pane))
    }

    fn add(&mut self, plan: &FeedPlan, key: &[u8], pane: i64) -> u32 {
        let gid = self.index.lookup_key(key);
        self.limit.take(key, gid);
        if gid as usize >= self.groups.len() {
            self.groups.resize(gid as usize + 1, NO_GROUP);
        }
        self.groups[gid as usize] = Group { last_seen: pane, new: true, ..NO_GROUP };
        self.watch_for(plan, gid, pane);
        gid
    }

    /// Notes what becomes of `gid`, and when, if it is not seen after `pane`.
    fn watch_for(&mut self, plan: &FeedPlan, gid: u32, pane: i64) {
        self.expiries.insert((pane.saturating_add(panes_of(plan, plan.expire)), gid));
        for rule in 0..plan.rules.len() {
            self.expect(plan, rule, gid, pane);
        }
    }

    /// Undoes [`Book::add`] in the pane of it.
    fn turn_away(&mut self, plan: &FeedPlan, gid: u32, pane: i64) {
        self.expiries.remove(&(pane.saturating_add(panes_of(plan, plan.expire)), gid));
        for (book, rule) in self.rules.iter_mut().zip(&plan.rules) {
            if let Some(absent) = &rule.rule.absent {
                book.absences.remove(&(pane.saturating_add(panes_of(plan, absent.after)), gid));
            }
        }
        self.remove(gid);
    }

    fn remove(&mut self, gid: u32) {
        self.windows.remove(gid);
        self.index.remove(gid);
        self.groups[gid as usize] = NO_GROUP;
    }

    /// The pane is merged: nobody is new any more.
    fn settle(&mut self) {
        self.limit.settle().for_each(|gid| self.groups[gid as usize].new = false);
    }

    /// Notes when `gid` becomes absent if it is not seen after `pane`.
    fn expect(&mut self, plan: &FeedPlan, rule: usize, gid: u32, pane: i64) {
        if let Some(absent) = &plan.rules[rule].rule.absent {
            self.rules[rule].absences.insert((pane.saturating_add(panes_of(plan, absent.after)), gid));
        }
    }

    /// Adds what one source contributed to one pane of a group.
    pub fn merge(&mut self, plan: &FeedPlan, key: &[u8], pane: i64, partial: &PanePartial<'_>) {
        self.last_merged = self.last_merged.max(pane);
        let known = self.index.find(key);
        let Some(gid) = known.or_else(|| self.admit(plan, key, pane)) else {
            self.limit.refuse(key, partial.count(plan.rows));
            return;
        };
        self.windows.merge(gid, pane, partial);
        if let Some(log) = &mut self.log {
            log.push(gid, pane, partial.bytes());
        }
        match &mut self.groups[gid as usize] {
            Group { assumed: true, .. } => self.meet(plan, gid, pane),
            group => group.last_seen = group.last_seen.max(pane),
        }
        if self.groups[gid as usize].new {
            self.limit.bring(gid, partial.count(plan.rows));
        }
    }

    /// A group that was assumed is seen: by now it may have been silent for longer than was thought, where what is read was
    /// read before.
    fn meet(&mut self, plan: &FeedPlan, gid: u32, pane: i64) {
        let group = &mut self.groups[gid as usize];
        (group.last_seen, group.assumed) = (pane, false);
        self.watch_for(plan, gid, pane);
    }

    pub fn merge_exemplars(&mut self, key: &[u8], pane: i64, rule: u32, list: Arc<Vec<Exemplar>>) {
        if let Some(gid) = self.index.find(key) {
            self.exemplars.put_all(pane, rule, gid, list);
        }
    }

    /// The first pane after `closed` at which something may change although nothing was merged: windows to slide,
    /// holds to step, deadlines. `None` when the book is quiet for ever.
    pub fn next_due(&self) -> Option<i64> {
        let sliding = self.closed < self.last_merged.saturating_add(self.reach);
        let busy = sliding || self.limit.reached() || self.rules.iter().any(|rule| !rule.active.is_empty());
        if busy {
            return Some(self.closed + 1);
        }
        let expiry = self.expiries.first().map(|(pane, _)| *pane);
        let absence = self.rules.iter().filter_map(|rule| rule.absences.first().map(|(pane, _)| *pane)).min();
        [expiry, absence].into_iter().flatten().min().map(|pane| pane.max(self.closed + 1))
    }

    /// Nothing happens before `pane`: goes there at once.
    pub fn skip_to(&mut self, pane: i64) {
        debug_assert!(pane >= self.closed, "F1: panes close in ascending order");
        self.closed = pane;
        self.windows.advance_to(pane);
    }

    /// Closes `pane` (everything up to it is merged) and judges the rules whose tick its end is, unless it is for others to
    /// judge: then nobody says since when events were `seen`. Says whether the limit of groups was reached in it, or has
    /// room again.
    pub fn close(
        &mut self,
        plan: &FeedPlan,
        pane: i64,
        seen: Option<SeenSince>,
        signals: &mut Vec<Signal>,
    ) -> Option<LimitChange> {
        self.closed = pane;
        self.settle();
        self.windows.advance_to(pane);
        self.touched.clear();
        self.windows.take_touched(&mut self.touched);
        let end = EventTime((pane + 1).saturating_mul(plan.pane.0));
        for at in 0..self.rules.len() {
            self.rules[at].touched.extend(self.touched.iter().copied());
            if let Some(seen) = seen
                && end.0.rem_euclid(plan.rules[at].rule.every.0) == 0
            {
                self.judge(plan, at, end, seen, signals);
            }
        }
        self.expire(plan, pane, end, signals);
        let unreached = pane - i64::from(plan.reach_panes());
        self.exemplars.drop_before(unreached);
        self.log.iter_mut().for_each(|log| log.drop_before(unreached + 1));
        self.overflowed += self.limit.refused();
        self.limit.tick()
    }

    fn judge(&mut self, plan: &FeedPlan, at: usize, end: EventTime, seen: SeenSince, signals: &mut Vec<Signal>) {
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        let book = &mut self.rules[at];
        candidates.extend(std::mem::take(&mut book.touched));
        candidates.extend(book.active.keys().copied());
        self.due_absences(plan, at, &mut candidates);
        candidates.sort_unstable();
        candidates.dedup();
        self.rules[at].evaluations += candidates.len() as u64;
        for gid in &candidates {
            self.judge_group(plan, at, *gid, end, seen, signals);
        }
        self.candidates = candidates;
    }

    fn due_absences(&mut self, plan: &FeedPlan, at: usize, candidates: &mut Vec<u32>) {
        let Some(absent) = &plan.rules[at].rule.absent else { return };
        let after = panes_of(plan, absent.after);
        while let Some((pane, gid)) = self.rules[at].absences.first().copied()
            && pane <= self.closed
        {
            self.rules[at].absences.pop_first();
            let last_seen = self.groups[gid as usize].last_seen;
            let due = last_seen.saturating_add(after);
            if last_seen == i64::MIN {
                continue; // forgotten meanwhile
            }
            if due > self.closed {
                self.rules[at].absences.insert((due, gid));
            } else {
                candidates.push(gid);
            }
        }
    }

    fn judge_group(
        &mut self,
        plan: &FeedPlan,
        at: usize,
        gid: u32,
        end: EventTime,
        seen: SeenSince,
        signals: &mut Vec<Signal>,
    ) {
        let Some(group) = self.groups.get(gid as usize).copied().filter(|g| g.last_seen != i64::MIN) else { return };
        let held = self.rules[at].active.get(&gid).map(|active| (active.hold, active.last_signal));
        if held.is_some_and(|(_, last_signal)| last_signal >= end) {
            return; // its hold is of a later tick: `D1` in `engine::heard`
        }
        let rule_plan = &plan.rules[at];
        let rule = &rule_plan.rule;
        let last_seen = EventTime((group.last_seen + 1).saturating_mul(plan.pane.0));
        let gone = rule.absent.as_ref().filter(|absent| end.since(last_seen) >= absent.after);
        let missing = gone.is_some();
        // It may have been in what was lost.
        let unsure = gone.is_some_and(|absent| seen.whole > EventTime::MIN && end - absent.after < seen.whole);
        if unsure {
            self.rules[at].absences.insert((self.closed + 1, gid)); // asked again at the next tick
        }
        let coverage = Coverage { since: seen.first, whole_since: seen.whole, accs: &self.whole };
        let mut view = GroupView { windows: &self.windows, gid, plan: rule_plan, at: end, coverage };
        let verdict = match &rule.condition {
            _ if unsure => Verdict::Unknown(UnknownReason::Partial),
            _ if missing => Verdict::Breach,
            // That it is silent no longer is not known either.
            _ if group.assumed && rule.absent.is_some() => Verdict::Unknown(UnknownReason::Partial),
            Some(condition) => condition.judge(&mut view),
            None => Verdict::Normal,
        };
        let before = held.map_or(Hold::Clear, |(hold, _)| hold);
        let (after, transition) = before.step(verdict, end, rule.hold);
        if after == Hold::Clear && before == Hold::Clear && transition.is_none() {
            if held.is_some() {
                self.let_go(plan, at, gid); // it was heard to have ended
            }
            return;
        }
        let book = &mut self.rules[at];
        let was_absent = book.active.get(&gid).is_some_and(|active| active.absent);
        let active = book.active.entry(gid).or_insert_with(|| Active {
            hold: after,
            labels: judge::labels(rule_plan, &self.index, gid),
            last_signal: EventTime::MIN,
            absent: missing,
            annotations: Vec::new(),
        });
        active.hold = after;
        active.absent = missing || (was_absent && after != Hold::Clear);
        let transition = match transition {
            Some(Transition::Resolved(ResolvedBecause::Normal)) if was_absent => {
                Some(Transition::Resolved(ResolvedBecause::SeenAgain))
            }
            Some(Transition::Refreshed) if end.since(active.last_signal) < judge::REFRESH_EVERY => None,
            other => other,
        };
        if let Some(transition) = transition {
            active.last_signal = end;
            let exemplars = self.exemplars.of(at as u32, gid, plan.first_pane(rule, self.closed), self.closed);
            signals.push(judge::signal(&mut view, active, before, after, transition, missing, exemplars));
        }
        if after == Hold::Clear {
            self.let_go(plan, at, gid);
        }
    }

    /// Nothing is said of a group any more, unless it will be missed.
    fn let_go(&mut self, plan: &FeedPlan, rule: usize, gid: u32) {
        self.rules[rule].active.remove(&gid);
        self.expect(plan, rule, gid, self.groups[gid as usize].last_seen);
    }

    /// Forgets groups that saw nothing for the feed's `expire`; what still fires for them is resolved by name.
    fn expire(&mut self, plan: &FeedPlan, pane: i64, end: EventTime, signals: &mut Vec<Signal>) {
        let after = panes_of(plan, plan.expire);
        while let Some((due, gid)) = self.expiries.first().copied()
            && due <= pane
        {
            self.expiries.pop_first();
            let group = self.groups[gid as usize];
            let due = group.last_seen.saturating_add(after);
            if group.last_seen == i64::MIN {
                continue; // turned away
            }
            if due > pane {
                self.expiries.insert((due, gid));
            } else if !group.expected {
                self.forget(plan, gid, end, signals);
            }
        }
    }

    fn forget(&mut self, plan: &FeedPlan, gid: u32, end: EventTime, signals: &mut Vec<Signal>) {
        for (at, rule_plan) in plan.rules.iter().enumerate() {
            if let Some(mut active) = self.rules[at].active.remove(&gid)
                && let (after, Some(transition)) = active.hold.end(ResolvedBecause::Expired)
            {
                let (before, absent) = (active.hold, active.absent);
                let coverage = Coverage { since: EventTime::MIN, whole_since: EventTime::MIN, accs: &self.whole };
                let mut view = GroupView { windows: &self.windows, gid, plan: rule_plan, at: end, coverage };
                let signal = judge::signal(&mut view, &mut active, before, after, transition, absent, Vec::new());
                signals.push(signal);
            }
            self.rules[at].touched.remove(&gid);
        }
        self.limit.leave(self.index.key(gid));
        self.remove(gid);
    }

    pub fn statuses(&self, plan: &FeedPlan) -> Vec<RuleStatus> {
        let status = |(rule, book): (&RulePlan, &RuleBook)| RuleStatus {
            rule: rule.index,
            groups: self.index.len(),
            active: book.active.len(),
            evaluations: book.evaluations,
        };
        plan.rules.iter().zip(&self.rules).map(status).collect()
    }
}

/// How many panes a length covers, rounded up.
fn panes_of(plan: &FeedPlan, length: Millis) -> i64 {
    length.0.div_euclid(plan.pane.0) + i64::from(length.0.rem_euclid(plan.pane.0) != 0)
}
