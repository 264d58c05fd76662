//! Judging one group: how a condition reads the windows, and how a verdict becomes a signal with its evidence.
//!
//! A condition asks for values lazily, so that a quantile is computed only where the cheap parts of the condition have
//! not decided already, and `p99 > 800` is answered by counting (window's threshold push-down).
//!
//! - `J2` of a window that misses events (a gap in the log, an accumulator that is younger than the window) only this is
//!   believed: that a count which more events could only raise is above a limit. All else is unknown (`Partial`)
//! - `J1` a window that reaches back before the first event answers nothing that more events could only raise above
//!   a limit (`count < 5`): it is *warming*

use std::sync::Arc;

use crate::engine::feed::Active;
use crate::engine::plan::{LetPlan, Query, RulePlan};
use crate::model::labels::{LABEL_VALUE_BYTES_MAX, Labels};
use crate::model::signal::{Contributor, Evidence, Exemplar, Signal, Transition, UnknownReason};
use crate::model::time::{EventTime, Millis};
use crate::rule::condition::{Cmp, Values};
use crate::rule::hold::Hold;
use crate::rule::template::{Template, TemplateData};
use crate::stream::group::GroupIndex;
use crate::window::{self, Windows};

/// How often an alert that stays pending or firing is told afresh, for the page's numbers. Event time.
pub const REFRESH_EVERY: Millis = Millis::from_secs(15);

/// One group's windows as a rule's condition sees them.
pub struct GroupView<'a> {
    pub windows: &'a Windows,
    pub gid: u32,
    pub plan: &'a RulePlan,
    pub at: EventTime,
    pub coverage: Coverage<'a>,
}

/// From when on events were seen.
#[derive(Clone, Copy, Debug)]
pub struct Coverage<'a> {
    /// The first event, or the first tick: nothing is known of what was before.
    pub since: EventTime,
    /// Events before this are known to be missing.
    pub whole_since: EventTime,
    /// The same by accumulator.
    pub accs: &'a [EventTime],
}

impl GroupView<'_> {
    fn item(&self, slot: usize) -> LetPlan {
        self.plan.lets[slot]
    }

    fn warming(&self, slot: usize) -> bool {
        self.at - self.item(slot).reach < self.coverage.since
    }

    /// `J2`
    fn partial(&self, slot: usize) -> bool {
        let LetPlan { acc, reach, .. } = self.item(slot);
        let whole_since = self.coverage.whole_since.max(self.coverage.accs[acc]);
        whole_since > EventTime::MIN && self.at - reach < whole_since
    }

    /// The numeric value of a `let`; `None` where there is none, or where it is a `topk`.
    fn read(&mut self, slot: usize) -> Option<f64> {
        let LetPlan { view, query, offset, .. } = self.item(slot);
        if offset > Millis::ZERO && self.warming(slot) {
            return None; // the past was not seen
        }
        let (windows, gid) = (self.windows, self.gid);
        match query {
            Query::Count => Some(windows.count(gid, view) as f64),
            Query::CountRate(secs) => Some(windows.count(gid, view) as f64 / secs),
            Query::Sum => Some(windows.sum(gid, view).unwrap_or(0.0)),
            Query::SumRate(secs) => Some(windows.sum(gid, view).unwrap_or(0.0) / secs),
            Query::Avg => windows.avg(gid, view),
            Query::Stddev => windows.stddev(gid, view),
            Query::Min => windows.min(gid, view),
            Query::Max => windows.max(gid, view),
            Query::Quantile(q) => windows.quantile(gid, view, q),
            Query::Distinct => Some(windows.distinct(gid, view)),
            Query::Last => windows.last(gid, view),
            Query::TopK => None,
        }
    }
}

impl Values for GroupView<'_> {
    fn value(&mut self, slot: usize) -> Option<f64> {
        if self.partial(slot) { None } else { self.read(slot) }
    }

    fn compare(&mut self, slot: usize, cmp: Cmp, threshold: f64) -> Option<bool> {
        let LetPlan { view, query, .. } = self.item(slot);
        let upper_bound = !matches!(cmp, Cmp::Gt | Cmp::Ge);
        if query.accumulates() && upper_bound && self.warming(slot) {
            return None; // `J1`
        }
        if self.partial(slot) {
            let certain = query.accumulates() && !upper_bound && self.item(slot).offset.is_zero();
            return certain.then(|| self.read(slot).map(|value| cmp.holds(value, threshold)))?.filter(|holds| *holds);
        }
        match query {
            Query::Quantile(q) if self.item(slot).offset.is_zero() || !self.warming(slot) => {
                let test = order(cmp).and_then(|cmp| self.windows.quantile_test(view, q, cmp, threshold));
                match test {
                    Some(test) => self.windows.quantile_holds(self.gid, view, &test),
                    None => self.read(slot).map(|value| cmp.holds(value, threshold)),
                }
            }
            _ => self.read(slot).map(|value| cmp.holds(value, threshold)),
        }
    }

    fn missing(&self, slot: usize) -> UnknownReason {
        match (self.partial(slot), self.warming(slot)) {
            (true, _) => UnknownReason::Partial,
            (_, true) => UnknownReason::Warming,
            _ => UnknownReason::NoData,
        }
    }
}

/// The alert's identity: group-by values, then the rule's own labels, then its name.
pub fn labels(plan: &RulePlan, index: &GroupIndex, gid: u32) -> Labels {
    let rule = &plan.rule;
    let values = index.values(gid);
    let by = rule.by.iter().zip(values).map(|(key, value)| (key.name.clone(), value.unwrap_or_default()));
    let group = Labels::from_pairs(by.map(|(name, value)| (name, Arc::<str>::from(cut(value)))));
    let data = TemplateData {
        labels: &group,
        external_labels: &Labels::default(),
        external_url: &plan.external_url,
        value: None,
        evidence: &Evidence::default(),
        at: EventTime::MIN,
    };
    let own = rule
        .labels
        .iter()
        .map(|(name, template)| (name.clone(), Arc::<str>::from(cut(template.render_or_explain(&data)))));
    group.with(own).with([("alertname", rule.meta.name.clone())])
}

fn cut(mut value: String) -> String {
    if value.len() > LABEL_VALUE_BYTES_MAX {
        value.truncate(value.floor_char_boundary(LABEL_VALUE_BYTES_MAX));
        value.push('…');
    }
    value
}

/// A signal with everything a person may ask about it.
pub fn signal(
    view: &mut GroupView<'_>,
    active: &mut Active,
    before: Hold,
    after: Hold,
    transition: Transition,
    absent: bool,
    exemplars: Vec<Exemplar>,
) -> Signal {
    let rule = view.plan.rule.clone();
    let evidence = evidence(view, absent, exemplars);
    let told = if after == Hold::Clear { before } else { after };
    let value = match &rule.condition {
        Some(condition) if !absent => condition.slots().first().and_then(|slot| evidence.value(&rule.lets[*slot].name)),
        _ => None,
    };
    let ended = matches!(transition, Transition::Resolved(_));
    let data = TemplateData {
        labels: &active.labels,
        external_labels: &Labels::default(),
        external_url: &view.plan.external_url,
        value,
        evidence: &evidence,
        at: view.at,
    };
    if !ended || active.annotations.is_empty() {
        let render = |(name, template): &(Arc<str>, Arc<Template>)| (name.clone(), template.render_or_explain(&data));
        active.annotations = rule.annotations.iter().map(render).collect();
    }
    Signal {
        rule: rule.meta.clone(),
        labels: active.labels.clone(),
        transition,
        at: view.at,
        active_since: told.active_since().unwrap_or(view.at),
        fired_at: told.fired_at(),
        annotations: active.annotations.clone(),
        value,
        evidence: Arc::new(evidence),
        home: None,
    }
}

fn evidence(view: &mut GroupView<'_>, absent: bool, exemplars: Vec<Exemplar>) -> Evidence {
    let rule = view.plan.rule.clone();
    let mut values = Vec::new();
    let mut contributors = Vec::new();
    for (slot, item) in rule.lets.iter().enumerate() {
        match view.item(slot).query {
            Query::TopK => {
                let top = view.windows.topk(view.gid, view.item(slot).view);
                contributors.extend(top.entries.into_iter().map(|(value, count)| Contributor {
                    name: item.name.clone(),
                    value,
                    count,
                }));
            }
            _ => values.push((item.name.clone(), view.read(slot))),
        }
    }
    let (condition, comparisons) = match (&rule.condition, &rule.absent) {
        (_, Some(gone)) if absent => (format!("absent: {}", gone.after), Vec::new()),
        (Some(condition), _) => (condition.text().to_owned(), condition.comparisons(view)),
        (None, _) => (String::new(), Vec::new()),
    };
    Evidence { condition, comparisons, values, contributors, exemplars, window: rule.window }
}

/// The window's word for it; it has none for (in)equality, which needs the value.
fn order(cmp: Cmp) -> Option<window::Cmp> {
    match cmp {
        Cmp::Lt => Some(window::Cmp::Lt),
        Cmp::Le => Some(window::Cmp::Le),
        Cmp::Gt => Some(window::Cmp::Gt),
        Cmp::Ge => Some(window::Cmp::Ge),
        Cmp::Eq | Cmp::Ne => None,
    }
}
