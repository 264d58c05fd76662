//! Stage 1: rows into open panes, by groups that this shard numbers for itself.

use std::sync::Arc;

use super::panes_of;
use crate::engine::exemplars::Exemplars;
use crate::engine::limit;
use crate::engine::plan::{FeedPlan, Input, InputValue, RulePlan, Source, Suspects};
use crate::engine::visitors::Visitors;
use crate::model::batch::{Batch, Column, StrSpan};
use crate::model::refusal::{Refusal, RefusalCounts};
use crate::model::signal::Exemplar;
use crate::model::time::Millis;
use crate::stream::expr::{Derived, Filter};
use crate::stream::group::{GROUP_OVERFLOW, GroupIndex};
use crate::stream::watermark::Timing;
use crate::window::{AccInput, AccValues, OpenPanes, PanePartial};

/// Stage 1: from rows to open panes. Groups are numbered within the shard.
pub struct Intake {
    filter: Option<Filter>,
    masks: Vec<Filter>,
    derived: Vec<Derived>,
    pub index: GroupIndex,
    open: OpenPanes,
    exemplars: Exemplars,
    visitors: Visitors,
    buffers: Buffers,
    pub counts: FeedCounts,
}

/// What became of the rows a feed was shown: `rows = filtered + late + overflowed + recorded` (conservation).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedCounts {
    pub rows: u64,
    pub filtered: u64,
    pub late: u64,
    pub overflowed: u64,
    pub recorded: u64,
    /// Values above a histogram's range; they count as its highest.
    pub saturated: u64,
}

impl FeedCounts {
    pub fn add(&mut self, other: FeedCounts) {
        self.rows += other.rows;
        self.filtered += other.filtered;
        self.late += other.late;
        self.overflowed += other.overflowed;
        self.recorded += other.recorded;
        self.saturated += other.saturated;
    }
}

/// Reused from batch to batch, so that a known group costs no allocation.
#[derive(Default)]
struct Buffers {
    sel: Vec<u32>,
    late: Vec<u32>,
    gids: Vec<u32>,
    panes: Vec<i64>,
    times: Vec<i64>,
    mask_sel: Vec<u32>,
    /// Per FILTER: one flag a selected row.
    masks: Vec<Vec<bool>>,
    /// Per accumulator: FILTER and not null, where both matter.
    joined: Vec<Vec<bool>>,
    numbers: Vec<Vec<f64>>,
    texts: Vec<Vec<StrSpan>>,
    derived: Vec<Column>,
}

impl Intake {
    pub fn new(plan: &FeedPlan, seed: u64) -> Self {
        Intake {
            filter: plan.filter.clone(),
            masks: plan.masks.clone(),
            derived: plan.derived.clone(),
            index: GroupIndex::new(limit::intake_max(plan.group_limit), seed),
            open: OpenPanes::new(plan.windows.clone()),
            exemplars: Exemplars::default(),
            visitors: Visitors::default(),
            buffers: Buffers::default(),
            counts: FeedCounts::default(),
        }
    }

    /// Records the rows of `batch` that came in time for this feed's panes and says which did not.
    pub fn record(
        &mut self,
        plan: &FeedPlan,
        batch: &mut Batch,
        timing: &Timing,
        exemplar_field: Option<usize>,
        refused: &mut RefusalCounts,
    ) -> &[u32] {
        let b = &mut self.buffers;
        b.sel.clone_from(&timing.admitted);
        timing.split_late(batch, plan.pane, &mut b.sel, &mut b.late);
        self.counts.rows += timing.admitted.len() as u64;
        self.counts.late += b.late.len() as u64;

        let timely = b.sel.len();
        if let Some(filter) = &mut self.filter {
            filter.select(batch, &mut b.sel);
        }
        self.counts.filtered += (timely - b.sel.len()) as u64;
        if b.sel.is_empty() {
            return &self.buffers.late;
        }

        b.derived.clear();
        for derived in &mut self.derived {
            let column = derived.eval(batch, &b.sel);
            b.derived.push(column);
        }
        let selected = b.sel.len();
        let keys: Vec<&Column> = plan.keys.iter().map(|key| column(batch, &b.derived, *key)).collect();
        self.index.lookup(batch, &keys, &b.sel, &mut b.gids);
        if b.gids.contains(&GROUP_OVERFLOW) && self.visitors.make_room(&mut self.index, self.open.first_pane()) {
            self.index.lookup(batch, &keys, &b.sel, &mut b.gids);
        }
        if b.gids.contains(&GROUP_OVERFLOW) {
            drop_overflowed(&mut b.sel, &mut b.gids);
            let lost = (selected - b.sel.len()) as u64;
            self.counts.overflowed += lost;
            refused.add(Refusal::TooManyGroups, lost);
        }
        self.counts.recorded += b.sel.len() as u64;

        gather_times(plan.pane, batch, &b.sel, &mut b.panes, &mut b.times);
        b.masks.resize_with(self.masks.len(), Vec::new);
        for (filter, mask) in self.masks.iter_mut().zip(&mut b.masks) {
            b.mask_sel.clone_from(&b.sel);
            filter.select(batch, &mut b.mask_sel);
            mark(&b.sel, &b.mask_sel, mask);
        }
        gather_values(plan, batch, b);
        let inputs = inputs(plan, batch, b);
        let stats = self.open.record(&b.gids, &b.panes, &b.times, &inputs, refused);
        self.counts.saturated += stats.saturated;

        for (rule, rule_plan) in plan.rules.iter().enumerate() {
            offer_suspects(rule as u32, rule_plan, batch, b, exemplar_field, &mut self.exemplars);
        }
        let pane = b.panes.iter().copied().max().unwrap_or(i64::MIN);
        self.visitors.came(&b.gids, pane);
        &self.buffers.late
    }

    /// The first pane that is still open, if any.
    pub fn first_open(&self) -> Option<i64> {
        self.open.first_pane()
    }

    /// Hands out every partial of panes up to and including `pane`, ascending, and their exemplars.
    pub fn close_through(
        &mut self,
        pane: i64,
        mut partial: impl FnMut(&GroupIndex, u32, i64, &PanePartial<'_>),
        mut exemplar: impl FnMut(&GroupIndex, u32, i64, u32, Arc<Vec<Exemplar>>),
    ) {
        let index = &self.index;
        self.visitors.closed();
        self.open.close_through(pane, |gid, pane, content| partial(index, gid, pane, content));
        for ((pane, rule, gid), list) in self.exemplars.take_through(pane) {
            exemplar(index, gid, pane, rule, list);
        }
    }

    /// Now and then forgets groups that contributed nothing for the feed's `expire`, now that `closed` is closed.
    pub fn sweep(&mut self, plan: &FeedPlan, closed: i64) {
        self.visitors.sweep(&mut self.index, self.open.first_pane(), closed, panes_of(plan, plan.expire));
    }
}

fn drop_overflowed(sel: &mut Vec<u32>, gids: &mut Vec<u32>) {
    let mut kept = 0;
    for at in 0..gids.len() {
        if gids[at] != GROUP_OVERFLOW {
            gids[kept] = gids[at];
            sel[kept] = sel[at];
            kept += 1;
        }
    }
    gids.truncate(kept);
    sel.truncate(kept);
}

/// Pane index and time of each selected row. Neighbours mostly share a pane, so the division is mostly skipped.
fn gather_times(pane: Millis, batch: &Batch, sel: &[u32], panes: &mut Vec<i64>, times: &mut Vec<i64>) {
    panes.clear();
    times.clear();
    let (mut index, mut start, mut end) = (0, 1, 0);
    for row in sel {
        let time = batch.time[*row as usize];
        if !(start..end).contains(&time) {
            index = time.div_euclid(pane.0);
            start = index * pane.0;
            end = start + pane.0;
        }
        panes.push(index);
        times.push(time);
    }
}

/// `mask[i]` is whether `sel[i]` is in `taken`, which is a subsequence of `sel`.
fn mark(sel: &[u32], taken: &[u32], mask: &mut Vec<bool>) {
    mask.clear();
    mask.resize(sel.len(), false);
    let mut at = 0;
    for row in taken {
        while sel[at] != *row {
            at += 1;
        }
        mask[at] = true;
    }
}

fn column<'a>(batch: &'a Batch, derived: &'a [Column], source: Source) -> &'a Column {
    match source {
        Source::Field(id) => &batch.columns[id],
        Source::Derived(id) => &derived[id],
    }
}

/// Gathers each accumulator's values by selected row, so that recording reads straight through memory.
fn gather_values(plan: &FeedPlan, batch: &mut Batch, b: &mut Buffers) {
    b.numbers.resize_with(plan.inputs.len(), Vec::new);
    b.texts.resize_with(plan.inputs.len(), Vec::new);
    b.joined.resize_with(plan.inputs.len(), Vec::new);
    for (at, input) in plan.inputs.iter().enumerate() {
        match input.value {
            InputValue::Rows => {}
            InputValue::NotNull(source) => {
                let column = column(batch, &b.derived, source);
                let mask = input.mask.map(|mask| &b.masks[mask]);
                let joined = &mut b.joined[at];
                joined.clear();
                joined.extend(
                    b.sel
                        .iter()
                        .enumerate()
                        .map(|(i, row)| !column.is_null(*row as usize) && mask.is_none_or(|mask| mask[i])),
                );
            }
            InputValue::Number(source) => {
                gather_numbers(column(batch, &b.derived, source), &b.sel, &mut b.numbers[at]);
            }
            InputValue::Text(source) => {
                let spans = &mut b.texts[at];
                spans.clear();
                match column(batch, &b.derived, source) {
                    Column::Str(all) => spans.extend(b.sel.iter().map(|row| all[*row as usize])),
                    _ => spans.resize(b.sel.len(), StrSpan::NULL),
                }
            }
        }
    }
}

/// NaN stands for null.
fn gather_numbers(column: &Column, sel: &[u32], out: &mut Vec<f64>) {
    out.clear();
    match column {
        Column::Float { values, nulls } => {
            out.extend(sel.iter().map(|row| if nulls[*row as usize] { f64::NAN } else { values[*row as usize] }));
        }
        Column::Int { values, nulls } => {
            out.extend(
                sel.iter().map(|row| if nulls[*row as usize] { f64::NAN } else { values[*row as usize] as f64 }),
            );
        }
        other => out.extend(sel.iter().map(|row| other.number(*row as usize).unwrap_or(f64::NAN))),
    }
}

fn inputs<'a>(plan: &FeedPlan, batch: &'a Batch, b: &'a Buffers) -> Vec<AccInput<'a>> {
    let input = |(at, input): (usize, &Input)| {
        let mask = input.mask.map(|mask| &*b.masks[mask]);
        match input.value {
            InputValue::Rows => AccInput { mask, values: AccValues::None },
            InputValue::NotNull(_) => AccInput { mask: Some(&b.joined[at]), values: AccValues::None },
            InputValue::Number(_) => AccInput { mask, values: AccValues::Numbers(&b.numbers[at]) },
            InputValue::Text(_) => AccInput { mask, values: AccValues::Texts { batch, spans: &b.texts[at] } },
        }
    };
    plan.inputs.iter().enumerate().map(input).collect()
}

fn offer_suspects(
    rule: u32,
    plan: &RulePlan,
    batch: &Batch,
    b: &Buffers,
    id_field: Option<usize>,
    exemplars: &mut Exemplars,
) {
    let mut offer = |i: usize| exemplars.offer(b.panes[i], rule, b.gids[i], batch, b.sel[i] as usize, id_field);
    match &plan.suspects {
        Suspects::All => (0..b.sel.len()).for_each(offer),
        Suspects::Some { masks, thresholds } => {
            for mask in masks {
                b.masks[*mask].iter().enumerate().filter(|(_, taken)| **taken).for_each(|(i, _)| offer(i));
            }
            for (source, cmp, threshold) in thresholds {
                let column = column(batch, &b.derived, *source);
                for (i, row) in b.sel.iter().enumerate() {
                    if column.number(*row as usize).is_some_and(|value| cmp.holds(value, *threshold)) {
                        offer(i);
                    }
                }
            }
        }
    }
}
