//! What an edit of the rules means, rule by rule: for the log, and for whoever asked for the reload.
//!
//! Told from two plans alone, by the same meanings by which shards go on ([`crate::engine::state`]), so that what is
//! announced is what happens.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::engine::plan::{FeedPlan, Plan, RulePlan};
use crate::model::signal::RuleMeta;
use crate::rule::plan::Rule;

/// What becomes of one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleChange {
    Added,
    /// Its alerts are resolved.
    Removed,
    /// Its alerts have other labels: those there are resolved, and it begins anew.
    Renamed,
    /// It looks at other events, or in other steps: windows begin anew.
    Elsewhere,
    /// It asks something else of the events it looks at: their panes are kept, as far back as they were.
    Otherwise,
    /// It asks the same and says it differently, or waits otherwise.
    Told,
    Unchanged,
}

impl RuleChange {
    pub fn name(self) -> &'static str {
        match self {
            RuleChange::Added => "added",
            RuleChange::Removed => "removed",
            RuleChange::Unchanged => "unchanged",
            RuleChange::Renamed | RuleChange::Elsewhere | RuleChange::Otherwise | RuleChange::Told => "changed",
        }
    }

    /// What is kept, and what is not.
    pub fn consequence(self) -> &'static str {
        match self {
            RuleChange::Added => "it is judged of what is known, and else when its windows are covered",
            RuleChange::Removed => "its alerts are resolved",
            RuleChange::Renamed => "its alerts have other labels: the old ones are resolved, and it begins anew",
            RuleChange::Elsewhere => {
                "it looks at other events or in other steps: what fires is kept until the new windows are covered"
            }
            RuleChange::Otherwise => {
                "it asks something else: what fires is kept until the answer is known, what was pending begins anew"
            }
            RuleChange::Told => "all state is kept",
            RuleChange::Unchanged => "all state is kept",
        }
    }
}

/// The rules of two plans, each with what becomes of it: those there are in their order, then those that are gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleChanges(pub Vec<(Arc<RuleMeta>, RuleChange)>);

impl RuleChanges {
    pub fn between(old: &Plan, new: &Plan) -> RuleChanges {
        let before = by_id(old);
        let after = by_id(new);
        let there = new.rules.iter().map(|rule| {
            let now = after[&rule.id];
            (rule.meta.clone(), before.get(&rule.id).map_or(RuleChange::Added, |then| compare(*then, now)))
        });
        let gone = old.rules.iter().filter(|rule| !after.contains_key(&rule.id));
        RuleChanges(there.chain(gone.map(|rule| (rule.meta.clone(), RuleChange::Removed))).collect())
    }

    /// How many rules share each name of a change.
    pub fn count(&self, name: &str) -> usize {
        self.0.iter().filter(|(_, change)| change.name() == name).count()
    }
}

/// A line for each rule that does not stay as it was, after one with the numbers.
impl fmt::Display for RuleChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [added, removed, changed, unchanged] =
            ["added", "removed", "changed", "unchanged"].map(|name| self.count(name));
        writeln!(f, "rules: {added} added, {removed} removed, {changed} changed, {unchanged} unchanged")?;
        for (rule, change) in self.0.iter().filter(|(_, change)| *change != RuleChange::Unchanged) {
            writeln!(f, "  {} {rule}: {}", change.name(), change.consequence())?;
        }
        Ok(())
    }
}

type Placed<'a> = (&'a FeedPlan, &'a RulePlan);

fn by_id(plan: &Plan) -> BTreeMap<u64, Placed<'_>> {
    plan.feeds.iter().flat_map(|feed| feed.rules.iter().map(move |rule| (rule.rule.id, (feed, rule)))).collect()
}

fn compare((old_feed, old): Placed<'_>, (feed, new): Placed<'_>) -> RuleChange {
    if !new.meaning.continues(old.meaning) {
        return RuleChange::Renamed;
    }
    match (new.meaning == old.meaning, feed.meaning == old_feed.meaning) {
        (true, _) if manner(&old.rule) == manner(&new.rule) => RuleChange::Unchanged,
        (true, _) => RuleChange::Told,
        (false, true) => RuleChange::Otherwise,
        (false, false) => RuleChange::Elsewhere,
    }
}

/// What of a rule is no part of its meaning.
fn manner(rule: &Rule) -> String {
    let Rule { hold, annotations, group_limit, expire, local, .. } = rule;
    let annotations: Vec<_> = annotations.iter().map(|(name, text)| (name, text.source())).collect();
    format!("{hold:?} {annotations:?} {group_limit} {expire} {local}")
}
