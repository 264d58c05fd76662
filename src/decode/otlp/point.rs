//! A metric's data point, from either encoding, and the row it becomes.

use super::buckets::{Buckets, PERCENTILES};
use super::cells::{Any, List, Times, Writer};
use super::plan::Slot;
use crate::model::batch::StrSpan;

/// The point says that nothing was recorded: its numbers mean nothing.
const NO_RECORDED_VALUE: u64 = 1;

/// What kind of metric a point belongs to. The numbers are those of [`List::Type`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Gauge,
    Sum,
    Histogram,
    Exponential,
    Summary,
}

/// The numbers of one point; its attributes are in the open row already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub times: Times,
    pub flags: u64,
    pub value: Any,
    pub count: Option<u64>,
    pub sum: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// A summary's, in the order of [`PERCENTILES`].
    pub percentiles: [Option<f64>; PERCENTILES.len()],
}

impl Point {
    pub const EMPTY: Point = Point {
        times: Times { start: 0, end: 0, time: 0, observed: 0 },
        flags: 0,
        value: Any::Null,
        count: None,
        sum: None,
        min: None,
        max: None,
        percentiles: [None; PERCENTILES.len()],
    };

    /// One pair of a summary. The data model calls the 0th percentile the minimum, the 100th the maximum.
    pub fn quantile(&mut self, quantile: f64, value: f64) {
        if quantile == 0.0 {
            self.min = Some(value);
        } else if quantile == 1.0 {
            self.max = Some(value);
        }
        for (place, known) in self.percentiles.iter_mut().zip(PERCENTILES) {
            if (quantile - known).abs() < 1e-9 {
                *place = Some(value);
            }
        }
    }

    /// Puts the numbers into the open row and ends it.
    pub fn close(mut self, ty: Type, buckets: &Buckets, writer: &mut Writer<'_, '_>, raw: StrSpan, at: usize) {
        if self.flags & NO_RECORDED_VALUE != 0 {
            return writer.close(self.times, raw, at);
        }
        if writer.plan.percentiles && matches!(ty, Type::Histogram | Type::Exponential) {
            for (place, q) in self.percentiles.iter_mut().zip(PERCENTILES) {
                *place = match ty {
                    Type::Histogram => buckets.explicit(q, self.min, self.max),
                    _ => buckets.exponential(q, self.min, self.max),
                };
            }
        }
        writer.put(Slot::Value, self.value, at);
        if let Some(count) = self.count {
            writer.put(Slot::Count, Any::Int(i64::try_from(count).unwrap_or(i64::MAX)), at);
        }
        let [p50, p90, p95, p99, p999] = self.percentiles;
        for (slot, value) in [
            (Slot::Sum, self.sum),
            (Slot::Min, self.min),
            (Slot::Max, self.max),
            (Slot::P50, p50),
            (Slot::P90, p90),
            (Slot::P95, p95),
            (Slot::P99, p99),
            (Slot::P999, p999),
        ] {
            if let Some(value) = value {
                writer.put(slot, Any::Double(value), at);
            }
        }
        writer.close(self.times, raw, at);
    }
}

/// Told once per metric: what its points carry besides their own numbers.
pub(super) fn carry_type(writer: &mut Writer<'_, '_>, ty: Type, temporality: i64, monotonic: bool, at: usize) {
    let plan = writer.plan;
    let name = writer.listed(List::Type, ty as i64);
    writer.carry(plan.sinks(Slot::Type), name, at);
    if matches!(ty, Type::Sum | Type::Histogram | Type::Exponential) {
        let name = writer.listed(List::Temporality, temporality);
        writer.carry(plan.sinks(Slot::Temporality), name, at);
    }
    if ty == Type::Sum {
        writer.carry(plan.sinks(Slot::Monotonic), Any::Bool(monotonic), at);
    }
}
