//! A book as data, and data as a book: see [`crate::engine::state`].

use std::sync::Arc;

use super::{Active, Book};
use crate::engine::packet;
use crate::engine::pane_log::{Entries, Entry, PaneLog};
use crate::engine::plan::{FeedPlan, RulePlan};
use crate::engine::state::{AccCut, ActiveCut, Bytes, ExemplarsCut, FeedCut, GroupsCut, RuleCut, RuleMeaning};
use crate::model::labels::Labels;
use crate::model::signal::{Evidence, ResolvedBecause, RuleMeta, Signal};
use crate::model::time::EventTime;
use crate::rule::hold::Hold;
use crate::window::{PartialReader, PartialRewriter};

/// What of a cut goes into a book.
#[derive(Debug)]
pub struct Restoring<'a> {
    pub plan: &'a FeedPlan,
    pub cut: &'a FeedCut,
    /// The last pane that counts as judged, the same for all cuts.
    pub closed: i64,
    /// The time after the newest event any cut has seen: what is new is whole from here on.
    pub fresh_since: EventTime,
}

/// Why bytes that passed their checksums are no state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    #[error("the panes of feed `{feed}` are damaged: {what}")]
    Panes { feed: String, what: String },
}

impl Book {
    /// Keeps what is merged from now on, so that cuts can be taken.
    pub fn keep_log(&mut self) {
        self.log.get_or_insert_default();
    }

    /// What the book holds. `stored` and exemplars of panes to come are for the caller to add.
    ///
    /// # Panics
    /// Where no log is kept.
    pub fn cut(&mut self, plan: &FeedPlan) -> FeedCut {
        let log = self.log.as_mut().expect("cuts are taken of books that keep a log").blocks();
        let accs = plan.acc_texts.iter().zip(&plan.windows.accs).zip(&self.whole);
        FeedCut {
            meaning: plan.meaning.clone(),
            accs: accs
                .map(|((text, spec), whole)| AccCut { text: text.clone(), spec: *spec, whole_since: *whole })
                .collect(),
            reach: plan.reach_panes(),
            closed: self.closed(),
            last_merged: self.last_merged,
            group_limit: plan.group_limit,
            full: self.limit.full(),
            groups: self.groups_cut(),
            log,
            stored: Vec::new(),
            exemplars: self.exemplars_cut(),
            rules: plan.rules.iter().zip(&self.rules).map(|(plan, book)| rule_cut(plan, book)).collect(),
        }
    }

    fn groups_cut(&self) -> GroupsCut {
        let live = self.index.len();
        let mut cut = GroupsCut {
            gids: Vec::with_capacity(live),
            ends: Vec::with_capacity(live),
            keys: Bytes(Vec::with_capacity(self.index.key_bytes())),
            last_seen: Vec::with_capacity(live),
            assumed: Vec::new(),
        };
        for gid in (0..self.groups.len() as u32).filter(|gid| self.index.is_live(*gid)) {
            let group = self.groups[gid as usize];
            cut.gids.push(gid);
            cut.keys.0.extend_from_slice(self.index.key(gid));
            cut.ends.push(cut.keys.0.len() as u32);
            cut.last_seen.push(group.last_seen);
            if group.assumed {
                cut.assumed.push(gid);
            }
        }
        cut
    }

    fn exemplars_cut(&self) -> Vec<ExemplarsCut> {
        let of = |((pane, rule, gid), list): (&(i64, u32, u32), &Arc<Vec<_>>)| {
            self.index.is_live(*gid).then(|| ExemplarsCut {
                rule: *rule,
                pane: *pane,
                key: Bytes(self.index.key(*gid).to_vec()),
                list: list.clone(),
            })
        };
        self.exemplars.iter().filter_map(of).collect()
    }

    /// Takes in the groups of a cut that this shard owns, with their windows and the holds of rules that are still what
    /// they were. Says what became of the alerts of rules that are not. [`Book::begin`] is to follow the last cut.
    ///
    /// # Errors
    /// The panes in the cut cannot be read. The book is of no use then.
    pub fn restore(
        &mut self,
        restoring: &Restoring<'_>,
        owned: impl Fn(&[u8]) -> bool,
        signals: &mut Vec<Signal>,
    ) -> Result<(), RestoreError> {
        let Restoring { plan, cut, closed, fresh_since } = *restoring;
        let pairs = accumulators(plan, cut);
        self.cover(plan, cut, Some(closed), fresh_since);
        let gids = self.restore_groups(plan, cut, owned);
        self.restore_windows(restoring, &pairs, &gids)?;
        self.closed = closed;
        self.windows.advance_to(closed);
        self.windows.take_touched(&mut Vec::new());
        self.last_merged = self.last_merged.max(cut.last_merged);
        for at in 0..plan.rules.len() {
            self.restore_rule(plan, at, cut, &gids, signals);
        }
        for ExemplarsCut { rule, pane, key, list } in &cut.exemplars {
            let id = cut.rules.get(*rule as usize).map(|rule| rule.meaning.id);
            if let Some(rule) = plan.rules.iter().position(|rule| Some(rule.meaning.id) == id)
                && *pane <= closed
            {
                self.merge_exemplars(&key.0, *pane, rule as u32, list.clone());
            }
        }
        Ok(())
    }

    /// New ids of the cut's groups, by their old ones; [`NO_GROUP`] for those of other shards.
    fn restore_groups(&mut self, plan: &FeedPlan, cut: &FeedCut, owned: impl Fn(&[u8]) -> bool) -> Vec<u32> {
        let mut gids = vec![NO_GROUP; cut.groups.gids.iter().max().map_or(0, |gid| *gid as usize + 1)];
        for (old, key, last_seen) in cut.groups.iter() {
            if owned(key) {
                let gid = self.known_or_new(plan, key, last_seen);
                gids[old as usize] = gid;
                self.groups[gid as usize].assumed = cut.groups.assumed.binary_search(&old).is_ok();
            }
        }
        self.settle();
        gids
    }

    /// Merges the log again, pane by pane as it was merged the first time (`B1`).
    fn restore_windows(
        &mut self,
        restoring: &Restoring<'_>,
        pairs: &[Option<usize>],
        gids: &[u32],
    ) -> Result<(), RestoreError> {
        let Restoring { plan, cut, closed, .. } = *restoring;
        let damaged = |what: String| RestoreError::Panes { feed: format!("{:?}", cut.meaning), what };
        let old: Vec<_> = cut.accs.iter().map(|acc| acc.spec).collect();
        let mut rewriter = PartialRewriter::new(&old, &plan.windows.accs, pairs);
        let mut reader = PartialReader::new(&plan.windows);
        let mut bytes = Vec::new();
        let mut reached = i64::MIN;
        for block in &cut.log {
            let unpacked = block.unpack().ok_or_else(|| damaged("a block cannot be unpacked".into()))?;
            let mut entries = Entries::new(&unpacked);
            for entry in &mut entries {
                let (gid, pane, partial) = match entry {
                    Entry::Partial { gid, pane, partial } => (gid, pane, partial),
                    Entry::Forgotten { gid } => {
                        new_gid(gids, gid).into_iter().for_each(|gid| self.windows.remove(gid));
                        continue;
                    }
                };
                let Some(gid) = new_gid(gids, gid) else { continue };
                if pane > reached {
                    reached = pane;
                    self.windows.advance_to((pane - 1).min(closed));
                }
                rewriter.rewrite(partial, &mut bytes).map_err(|error| damaged(error.to_string()))?;
                let partial = reader.read(&bytes).map_err(|error| damaged(error.to_string()))?;
                self.windows.merge(gid, pane, &partial);
                self.log.iter_mut().for_each(|log: &mut PaneLog| log.push(gid, pane, partial.bytes()));
            }
            if !entries.rest().is_empty() {
                return Err(damaged("a block ends in what is no entry".into()));
            }
        }
        Ok(())
    }

    /// Goes on with a rule's holds, as far as it is still the same rule.
    fn restore_rule(&mut self, plan: &FeedPlan, at: usize, cut: &FeedCut, gids: &[u32], signals: &mut Vec<Signal>) {
        let meaning = plan.rules[at].meaning;
        let old = cut.rules.iter().find(|old| meaning.continues(old.meaning));
        let Some(old) = old else { return self.touch_all(at) };
        for active in &old.active {
            if let Some(gid) = new_gid(gids, active.gid) {
                self.carry(at, gid, (cut, old, active), meaning, signals);
            }
        }
        match old.meaning == meaning {
            true => self.rules[at].touched.extend(old.touched.iter().filter_map(|gid| new_gid(gids, *gid))),
            false => self.touch_all(at),
        }
    }

    /// A rule that stood in another feed, because it looked elsewhere or had other limits: its alerts are still its own.
    /// What that feed knew of their groups is not known here.
    pub fn adopt(
        &mut self,
        plan: &FeedPlan,
        at: usize,
        (feed, old): (&FeedCut, &RuleCut),
        owned: impl Fn(&[u8]) -> bool,
        signals: &mut Vec<Signal>,
    ) {
        for (gid, key, _) in feed.groups.iter().filter(|(_, key, _)| owned(key)) {
            let Ok(active) = old.active.binary_search_by_key(&gid, |active| active.gid) else { continue };
            let known = self.index.find(key);
            let gid = known.unwrap_or_else(|| self.add(plan, key, self.closed().unwrap_or(0)));
            self.groups[gid as usize].assumed |= known.is_none();
            self.carry(at, gid, (feed, old, &old.active[active]), plan.rules[at].meaning, signals);
        }
        self.settle();
        self.touch_all(at);
    }

    /// Nothing of what was seen before is believed to be all there was.
    pub fn distrust(&mut self, fresh_since: EventTime) {
        self.whole.iter_mut().for_each(|whole| *whole = fresh_since.max(*whole));
    }

    /// Everything is taken in: what new rules expect counts as seen now.
    pub fn begin(&mut self, plan: &FeedPlan, owned: impl Fn(&[u8]) -> bool) {
        if let Some(closed) = self.closed() {
            self.expect_named(plan, closed, owned);
        }
    }

    /// From when on each accumulator has seen everything, going on from `cut`.
    pub fn cover(&mut self, plan: &FeedPlan, cut: &FeedCut, closed: Option<i64>, fresh_since: EventTime) {
        let known = whole_since(plan, cut, closed, fresh_since);
        self.whole.iter_mut().zip(known).for_each(|(whole, known)| *whole = known.max(*whole));
    }

    /// Whoever was watched is, whatever the limit is now.
    fn known_or_new(&mut self, plan: &FeedPlan, key: &[u8], last_seen: i64) -> u32 {
        self.index.find(key).unwrap_or_else(|| self.add(plan, key, last_seen))
    }

    /// Goes on with one alert, or says that nothing is left of it.
    fn carry(
        &mut self,
        at: usize,
        gid: u32,
        (feed, old, active): (&FeedCut, &RuleCut, &ActiveCut),
        meaning: RuleMeaning,
        signals: &mut Vec<Signal>,
    ) {
        let Some(hold) = carried(old.meaning, meaning, active.hold) else {
            return signals.extend(ended(feed, &old.meta, active, ResolvedBecause::RuleRemoved));
        };
        let ActiveCut { labels, last_signal, absent, annotations, .. } = active.clone();
        let absent = absent && old.meaning.verdict == meaning.verdict; // it may end for another reason now
        self.rules[at].active.insert(gid, Active { hold, labels, last_signal, absent, annotations });
    }

    /// The slices that were full at the cut and are this book's. Whether any were.
    pub fn restore_limit(&mut self, plan: &FeedPlan, cut: &FeedCut, owns: impl Fn(usize) -> bool) -> bool {
        if cut.group_limit == plan.group_limit {
            self.limit.restore(cut.full.iter().copied().filter(|slice| owns(*slice)));
        }
        self.limit.reached()
    }

    /// Every group is judged at the rule's next tick, whether its window changes or not.
    pub fn touch_all(&mut self, at: usize) {
        let live = (0..self.groups.len() as u32).filter(|gid| self.index.is_live(*gid));
        self.rules[at].touched.extend(live);
    }

    /// Nothing of an older feed can be used: time begins after `closed`, and everything is whole from `fresh_since` on.
    pub fn start_fresh(&mut self, plan: &FeedPlan, closed: i64, fresh_since: EventTime, owned: impl Fn(&[u8]) -> bool) {
        self.start(plan, closed, owned);
        self.whole.fill(fresh_since);
    }
}

/// The hold a rule goes on with; `None` where there is nothing to go on with.
pub fn carried(old: RuleMeaning, new: RuleMeaning, hold: Hold) -> Option<Hold> {
    match hold {
        hold if old.verdict == new.verdict => Some(hold),
        Hold::Firing { since, fired_at } | Hold::Easing { since, fired_at, .. } => {
            Some(Hold::Firing { since, fired_at })
        }
        // What it waited for is another condition.
        Hold::Clear | Hold::Pending { .. } => None,
    }
}

/// The end of an alert whose rule cannot speak of it any more, at the last tick it could have; `None` where it has ended.
pub fn ended(feed: &FeedCut, rule: &Arc<RuleMeta>, active: &ActiveCut, because: ResolvedBecause) -> Option<Signal> {
    let ActiveCut { hold, labels, last_signal, annotations, .. } = active;
    let at = feed.judged().map_or(*last_signal, |judged| judged.max(*last_signal));
    let transition = hold.end(because).1?;
    Some(Signal {
        rule: rule.clone(),
        labels: Labels::clone(labels),
        transition,
        at,
        active_since: hold.active_since().unwrap_or(at),
        fired_at: hold.fired_at(),
        annotations: annotations.clone(),
        value: None,
        evidence: Arc::new(Evidence::default()),
        home: None,
    })
}

const NO_GROUP: u32 = u32::MAX;

fn new_gid(gids: &[u32], old: u32) -> Option<u32> {
    gids.get(old as usize).copied().filter(|gid| *gid != NO_GROUP)
}

/// For each accumulator of the plan its place in the cut, where it was there.
fn accumulators(plan: &FeedPlan, cut: &FeedCut) -> Vec<Option<usize>> {
    let place = |(text, spec): (&Arc<str>, &_)| cut.accs.iter().position(|old| old.text == *text && old.spec == *spec);
    plan.acc_texts.iter().zip(&plan.windows.accs).map(place).collect()
}

/// From when on each accumulator has seen everything: a window that grew longer reaches back to panes that are gone.
fn whole_since(plan: &FeedPlan, cut: &FeedCut, closed: Option<i64>, fresh_since: EventTime) -> Vec<EventTime> {
    let kept = closed
        .map_or(EventTime::MIN, |closed| EventTime((closed - i64::from(cut.reach) + 1).saturating_mul(plan.pane.0)));
    let of = |(acc, pair): (usize, Option<usize>)| match pair {
        None => fresh_since,
        Some(old) if plan.windows.retention(acc) > cut.reach => cut.accs[old].whole_since.max(kept),
        Some(old) => cut.accs[old].whole_since,
    };
    accumulators(plan, cut).into_iter().enumerate().map(of).collect()
}

fn rule_cut(plan: &RulePlan, book: &super::RuleBook) -> RuleCut {
    let active = |(gid, active): (&u32, &Active)| ActiveCut {
        gid: *gid,
        hold: active.hold,
        labels: active.labels.clone(),
        last_signal: active.last_signal,
        absent: active.absent,
        annotations: active.annotations.clone(),
    };
    RuleCut {
        meaning: plan.meaning,
        meta: plan.rule.meta.clone(),
        touched: book.touched.iter().copied().collect(),
        active: book.active.iter().map(active).collect(),
        absent: plan.rule.absent.is_some(),
    }
}

/// Packets of panes to come, for the plan's accumulators and for the groups this shard owns.
pub fn restore_stored(
    plan: &FeedPlan,
    cut: &FeedCut,
    owned: impl Fn(&[u8]) -> bool,
) -> Result<Vec<Vec<u8>>, RestoreError> {
    let damaged = |what: String| RestoreError::Panes { feed: format!("{:?}", cut.meaning), what };
    let old: Vec<_> = cut.accs.iter().map(|acc| acc.spec).collect();
    let mut rewriter = PartialRewriter::new(&old, &plan.windows.accs, &accumulators(plan, cut));
    let mut out = Vec::new();
    let mut rewritten = Vec::new();
    for packet in &cut.stored {
        let mut bytes = Vec::new();
        let mut reader = packet::PaneReader(&packet.0);
        for (pane, key, partial) in &mut reader {
            if owned(key) {
                rewriter.rewrite(partial, &mut rewritten).map_err(|error| damaged(error.to_string()))?;
                packet::push(&mut bytes, pane, key, |out| out.extend_from_slice(&rewritten));
            }
        }
        if !reader.0.is_empty() {
            return Err(damaged("a packet ends in what is no pane".into()));
        }
        out.push(bytes);
    }
    out.retain(|bytes| !bytes.is_empty());
    Ok(out)
}
