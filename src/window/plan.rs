//! What is kept of each group, and which windows are looked at.

use serde::{Deserialize, Serialize};

use crate::model::batch::{Batch, StrSpan};
use crate::model::schema::HistogramSpec;
use crate::model::time::Millis;

/// One thing accumulated for each pane of each group.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccSpec {
    /// Rows; of a column, its values that are not null.
    Count,
    /// Count, sum and sum of squares: sum, avg, stddev.
    Moments,
    Min,
    Max,
    /// Quantiles.
    Histogram(HistogramSpec),
    /// How many different values.
    Distinct,
    /// The most frequent values, this many.
    TopK(usize),
    /// The value with the greatest event time; of several at one time, the greatest value.
    Last,
}

/// One window over one accumulator: `panes` panes that end `offset` panes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewSpec {
    /// Index into [`WindowPlan::accs`].
    pub acc: usize,
    /// Length of the window; at least 1.
    pub panes: u32,
    /// How far in the past it ends.
    pub offset: u32,
}

/// What rules with the same stream, filter, group-by and pane length need together.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowPlan {
    /// Length of a pane; positive.
    pub pane: Millis,
    pub accs: Vec<AccSpec>,
    pub views: Vec<ViewSpec>,
}

impl WindowPlan {
    /// The pane an event time lies in.
    pub fn pane_of(&self, event_time: i64) -> i64 {
        event_time.div_euclid(self.pane.0)
    }

    /// How many closed panes one accumulator must be kept for; 0 where no view looks at it.
    pub fn retention(&self, acc: usize) -> u32 {
        let reach = |view: &ViewSpec| view.panes.saturating_add(view.offset);
        self.views.iter().filter(|view| view.acc == acc).map(reach).max().unwrap_or(0)
    }

    /// The longest any pane is kept.
    pub fn retention_max(&self) -> u32 {
        (0..self.accs.len()).map(|acc| self.retention(acc)).max().unwrap_or(0)
    }
}

/// The values one accumulator takes from a batch, indexed like the group ids beside it.
#[derive(Clone, Copy, Debug)]
pub enum AccValues<'a> {
    /// Rows are counted as they are.
    None,
    /// NaN stands for null and is skipped.
    Numbers(&'a [f64]),
    /// Spans into the batch; null spans are skipped.
    Texts { batch: &'a Batch, spans: &'a [StrSpan] },
}

/// One accumulator's input.
#[derive(Clone, Copy, Debug)]
pub struct AccInput<'a> {
    /// `FILTER (WHERE …)`: rows that are not `true` here are passed over.
    pub mask: Option<&'a [bool]>,
    pub values: AccValues<'a>,
}
