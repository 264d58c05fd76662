//! Signals of several shards in one order.
//!
//! Shards judge ticks at their own pace. Where the desk lives in event time (replay, tests) it must see signals tick by
//! tick, and within a tick in an order that does not depend on which shard owned which group. The merger holds signals
//! back until every shard is past their tick and hands them out sorted by (tick, rule, labels).
//!
//! A rule's limit of groups needs more than order. Each shard speaks of the groups it owns, and a rule is told about
//! once: [`LimitJoin`] says it is degraded when the first shard is, and restored when the last one is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::desk::DeskInput;
use crate::engine::limit::{LimitChange, LimitNews};
use crate::engine::plan::Plan;
use crate::engine::shard::ShardOutput;
use crate::engine::state::ShardCut;
use crate::model::signal::{RuleMeta, Signal};
use crate::model::time::EventTime;

#[derive(Debug)]
pub struct SignalMerger {
    judged: Vec<EventTime>,
    held: Vec<Signal>,
}

impl SignalMerger {
    pub fn new(shards: usize) -> Self {
        SignalMerger { judged: vec![EventTime::MIN; shards], held: Vec::new() }
    }

    pub fn push(&mut self, signal: Signal) {
        self.held.push(signal);
    }

    /// Shard `shard` has judged every tick up to and including `until`.
    pub fn judged(&mut self, shard: usize, until: EventTime) {
        self.judged[shard] = self.judged[shard].max(until);
    }

    /// Signals of ticks that are not complete.
    pub fn held(&self) -> &[Signal] {
        &self.held
    }

    /// Every tick up to and including this time is complete.
    pub fn complete(&self) -> EventTime {
        self.judged.iter().copied().min().unwrap_or(EventTime::MAX)
    }

    /// Appends the signals of complete ticks, in order.
    pub fn release(&mut self, out: &mut Vec<Signal>) {
        let complete = self.complete();
        let start = out.len();
        out.extend(self.held.extract_if(.., |signal| signal.at <= complete));
        out[start..].sort_by(|a, b| (a.at, &a.rule, &a.labels).cmp(&(b.at, &b.rule, &b.labels)));
    }
}

/// What shards say of rules' limits of groups, as one.
///
/// - `M1` a rule is degraded while some shard has reached the limit, and restored at the tick at which none has
/// - `M2` what is said does not depend on the order in which shards speak, if it is asked for when their ticks are complete
#[derive(Clone, Debug, Default)]
pub struct LimitJoin {
    /// By tick and rule: who said what.
    held: BTreeMap<(EventTime, Arc<RuleMeta>), Vec<(usize, LimitNews)>>,
    /// Shards that have reached the limit; rules with none are not listed.
    reached: BTreeMap<Arc<RuleMeta>, BTreeSet<usize>>,
}

impl LimitJoin {
    /// Goes on under another plan or with other shards: what is not told yet is still to be told, and shards say
    /// themselves which limits are reached.
    pub fn resume(mut self, plan: &Plan) -> LimitJoin {
        self.reached.clear();
        self.held.retain(|(_, rule), _| is_in(plan, rule));
        self
    }

    pub fn push(&mut self, shard: usize, news: LimitNews) {
        self.held.entry((news.at, news.rule.clone())).or_default().push((shard, news));
    }

    /// Appends what the desk is to hear of ticks up to and including `until`, in order, with the tick it is about.
    pub fn release(&mut self, until: EventTime, out: &mut Vec<(EventTime, DeskInput)>) {
        while let Some(entry) = self.held.first_entry()
            && entry.key().0 <= until
        {
            let ((at, rule), news) = entry.remove_entry();
            out.extend(self.join(rule, &news).map(|input| (at, input)));
        }
    }

    /// One tick of one rule (`M1`).
    fn join(&mut self, rule: Arc<RuleMeta>, news: &[(usize, LimitNews)]) -> Option<DeskInput> {
        let shards = self.reached.entry(rule.clone()).or_default();
        let was_reached = !shards.is_empty();
        let (mut refused_in_all, mut known) = (0, false);
        for (shard, news) in news {
            match news.change {
                LimitChange::Reached { refused } => {
                    shards.insert(*shard);
                    refused_in_all += refused;
                }
                LimitChange::StillReached => {
                    shards.insert(*shard);
                    known = true;
                }
                LimitChange::Room => drop(shards.remove(shard)),
            }
        }
        let is_reached = !shards.is_empty();
        if !is_reached {
            self.reached.remove(&rule);
        }
        let groups_max = news.first().map_or(0, |(_, news)| news.groups_max);
        match (was_reached, is_reached) {
            (false, true) if known && refused_in_all == 0 => None,
            (false, true) => Some(DeskInput::RuleDegraded { rule, groups_max, refused: refused_in_all }),
            (true, false) => Some(DeskInput::RuleRestored { rule }),
            _ => None,
        }
    }
}

/// Which of the rules that the desk calls degraded are so no more, when shards go on from cuts under a plan: a rule that is
/// gone, or has a limit now that is not reached, says nothing of it itself.
#[derive(Clone, Debug)]
pub struct Relief {
    plan: Arc<Plan>,
    /// Rules of feeds that were at their limit, and that are.
    was: Vec<Arc<RuleMeta>>,
    still: Vec<Arc<RuleMeta>>,
}

impl Relief {
    /// `said` is what the shards said as they went on.
    pub fn new<'a>(plan: &Arc<Plan>, cuts: &[ShardCut], said: impl Iterator<Item = &'a ShardOutput>) -> Relief {
        let reached = |output: &ShardOutput| match output {
            ShardOutput::Limit(LimitNews { rule, change, .. }) if *change != LimitChange::Room => Some(rule.clone()),
            _ => None,
        };
        let full = cuts.iter().flat_map(|cut| &cut.feeds).filter(|feed| !feed.full.is_empty());
        Relief {
            plan: plan.clone(),
            was: full.flat_map(|feed| feed.rules.iter().map(|rule| rule.meta.clone())).collect(),
            still: said.filter_map(reached).collect(),
        }
    }

    /// What the desk is to hear before anything else.
    pub fn of(&self, degraded: Vec<RuleMeta>) -> Vec<DeskInput> {
        let listed = |list: &[Arc<RuleMeta>], rule: &RuleMeta| list.iter().any(|other| other.names() == rule.names());
        let over =
            |rule: &RuleMeta| !is_in(&self.plan, rule) || (listed(&self.was, rule) && !listed(&self.still, rule));
        degraded.into_iter().filter(over).map(|rule| DeskInput::RuleRestored { rule: Arc::new(rule) }).collect()
    }
}

fn is_in(plan: &Plan, rule: &RuleMeta) -> bool {
    plan.rules.iter().any(|known| known.meta.names() == rule.names())
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    /// What shards say, as (tick, shard, events refused, or room), all at once or as it comes; and what is told.
    fn check(news: &[(i64, usize, Option<u64>)], at_once: bool, expect: Expect) {
        let rule = Arc::new(RuleMeta { name: "R".into(), group: "g".into(), file: "r.yaml".into(), line: 1 });
        let mut join = LimitJoin::default();
        let mut told = Vec::new();
        for (at, shard, refused) in news {
            let change = refused.map_or(LimitChange::Room, |refused| LimitChange::Reached { refused });
            join.push(*shard, LimitNews { at: EventTime(*at), rule: rule.clone(), groups_max: 9, change });
            if !at_once {
                join.release(EventTime::MAX, &mut told);
            }
        }
        join.release(EventTime::MAX, &mut told);
        assert!(join.held.is_empty());
        let line = |(at, input): &(EventTime, DeskInput)| match input {
            DeskInput::RuleDegraded { refused, .. } => format!("{} degraded, {refused} refused\n", at.0),
            DeskInput::RuleRestored { .. } => format!("{} restored\n", at.0),
            _ => unreachable!("limits say nothing else"),
        };
        expect.assert_eq(&told.iter().map(line).collect::<String>());
    }

    #[test]
    fn a_rule_is_restored_when_the_last_shard_is() {
        let news = [(10, 0, Some(5)), (20, 1, Some(7)), (30, 0, None), (40, 1, None)];
        for at_once in [true, false] {
            check(
                &news,
                at_once,
                expect![[r#"
                    10 degraded, 5 refused
                    40 restored
                "#]],
            );
        }
    }

    #[test]
    fn a_shard_that_takes_over_at_a_tick_keeps_the_rule_degraded_and_refusals_of_a_tick_add_up() {
        // In the order in which shards happen to speak: the first of them is far ahead (`M2`).
        check(
            &[(10, 0, Some(5)), (30, 0, None), (50, 0, Some(1)), (10, 2, Some(3)), (20, 2, None), (30, 1, Some(2))],
            true,
            expect![[r#"
                10 degraded, 8 refused
            "#]],
        );
    }
}
