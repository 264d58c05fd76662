//! Between our columns and Arrow's: views of the rows an expression has to see, and results as columns of a batch.
//!
//! Strings do not move: a span becomes a string view into the batch's own arenas. Only rows that are still selected
//! are laid out, and only columns that are read.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringViewArray,
    TimestampMillisecondArray, make_view, new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::physical_expr::PhysicalExpr;

use super::check::sentence;
use crate::model::batch::{Batch, Column, StrSpan};

/// Where a column of the record batch comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Field(usize),
    EventTime,
}

/// A DataFusion expression with the columns it reads.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) expr: Arc<dyn PhysicalExpr>,
    pub(super) inputs: Vec<Input>,
    pub(super) schema: SchemaRef,
    pub(super) output: DataType,
    /// Rows whose value could not be computed since the last time somebody asked.
    pub(super) failed: u64,
    /// What was wrong with the latest of them.
    pub(super) failure: Option<String>,
}

impl Program {
    /// The expression's value for each row of `sel`; null where it could not be computed.
    pub(super) fn run(&mut self, batch: &Batch, sel: &[u32]) -> ArrayRef {
        if sel.is_empty() {
            return new_null_array(&self.output, 0);
        }
        let extra = LazyExtra::default();
        let columns = self
            .inputs
            .iter()
            .zip(self.schema.fields())
            .map(|(input, field)| match input {
                Input::Field(id) => column(batch, &batch.columns[*id], field.data_type(), sel, &extra),
                Input::EventTime => {
                    let times = sel.iter().map(|row| batch.time[*row as usize]).collect();
                    Arc::new(TimestampMillisecondArray::new(times, None))
                }
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(sel.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .expect("columns are made to the schema");
        let mut parts = Vec::new();
        self.isolate(&rows, &mut parts);
        match parts.len() {
            1 => parts.pop().expect("there is one"),
            _ => {
                let parts: Vec<&dyn Array> = parts.iter().map(|part| &**part).collect();
                arrow::compute::concat(&parts).expect("parts have one type")
            }
        }
    }

    /// An error (division by zero, a text that is no number) fails the whole batch in DataFusion, though it is one
    /// row's fault. Halving finds the rows at fault in `O(faults × log rows)` evaluations. What a single row gives
    /// does not depend on its neighbours, so neither does the outcome: a row's value is the value it has alone.
    fn isolate(&mut self, rows: &RecordBatch, parts: &mut Vec<ArrayRef>) {
        match self.evaluate(rows) {
            Ok(values) => parts.push(values),
            Err(error) if rows.num_rows() == 1 => {
                self.failed += 1;
                self.failure = Some(sentence(&error));
                parts.push(new_null_array(&self.output, 1));
            }
            Err(_) => {
                let half = rows.num_rows() / 2;
                self.isolate(&rows.slice(0, half), parts);
                self.isolate(&rows.slice(half, rows.num_rows() - half), parts);
            }
        }
    }

    /// Tries an event that has no field at all. What fails even then (`1 / 0`) would fail for every event.
    pub(super) fn try_out(&self) -> Result<(), DataFusionError> {
        let columns = self.schema.fields().iter().map(|field| match field.is_nullable() {
            true => new_null_array(field.data_type(), 1),
            false => Arc::new(TimestampMillisecondArray::from(vec![0])),
        });
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns.collect(), &options)?;
        self.evaluate(&rows).map(drop)
    }

    fn evaluate(&self, rows: &RecordBatch) -> Result<ArrayRef, DataFusionError> {
        let values = self.expr.evaluate(rows)?.into_array(rows.num_rows())?;
        if *values.data_type() == self.output {
            return Ok(values);
        }
        Ok(arrow::compute::cast(&values, &self.output)?)
    }
}

/// The batch's `extra` arena as an Arrow buffer, copied when the first string of the selection stands in it.
#[derive(Default)]
struct LazyExtra(std::cell::OnceCell<Buffer>);

impl LazyExtra {
    fn get(&self, batch: &Batch) -> Buffer {
        self.0.get_or_init(|| Buffer::from_slice_ref(&batch.extra)).clone()
    }
}

fn column(batch: &Batch, column: &Column, ty: &DataType, sel: &[u32], extra: &LazyExtra) -> ArrayRef {
    match column {
        // Not decoded although an expression reads it: to the expression it is a field no event has.
        Column::Absent => new_null_array(ty, sel.len()),
        Column::Str(spans) => Arc::new(strings(batch, spans, sel, extra)),
        Column::Int { values, nulls } => {
            let values: Vec<i64> = sel.iter().map(|row| values[*row as usize]).collect();
            Arc::new(Int64Array::new(values.into(), validity(nulls, sel)))
        }
        Column::Float { values, nulls } => {
            let values: Vec<f64> = sel.iter().map(|row| plain(values[*row as usize])).collect();
            Arc::new(Float64Array::new(values.into(), validity(nulls, sel)))
        }
        Column::Bool { values, nulls } => {
            let bits = BooleanBuffer::collect_bool(sel.len(), |at| values[sel[at] as usize]);
            Arc::new(BooleanArray::new(bits, validity(nulls, sel)))
        }
    }
}

/// Arrow orders floats by their bits: −0 below 0, and NaN of either sign at either end. One zero and one NaN leave
/// nothing but numbers and, above them, NaN, which is how PostgreSQL has it and what the predicates of `native` do.
fn plain(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value + 0.0 }
}

fn validity(nulls: &[bool], sel: &[u32]) -> Option<NullBuffer> {
    let any = sel.iter().any(|row| nulls[*row as usize]);
    any.then(|| NullBuffer::new(BooleanBuffer::collect_bool(sel.len(), |at| !nulls[sel[at] as usize])))
}

fn strings(batch: &Batch, spans: &[StrSpan], sel: &[u32], extra: &LazyExtra) -> StringViewArray {
    let mut any_null = false;
    let mut any_extra = false;
    let views: Vec<u128> = sel
        .iter()
        .map(|row| {
            let span = spans[*row as usize];
            if span.is_null() {
                any_null = true;
                return 0;
            }
            any_extra |= span.is_extra();
            make_view(batch.bytes(span), u32::from(span.is_extra()), span.start() as u32)
        })
        .collect();
    let nulls = any_null
        .then(|| NullBuffer::new(BooleanBuffer::collect_bool(sel.len(), |at| !spans[sel[at] as usize].is_null())));
    let mut buffers = vec![batch.payload.clone()];
    if any_extra {
        buffers.push(extra.get(batch));
    }
    StringViewArray::try_new(ScalarBuffer::from(views), buffers, nulls).expect("spans hold valid UTF-8 (B1)")
}

/// An array with one value per row of `sel` as a column with `rows` entries, null outside `sel`. New strings go to the
/// end of `extra`; strings that still stand in the payload are pointed at. Gives the column and how many strings found
/// no room in `extra`, which are null.
pub(super) fn spread(array: &ArrayRef, batch: &mut Batch, sel: &[u32]) -> (Column, u64) {
    let rows = batch.rows();
    let mut overflow = 0;
    let column = match array.data_type() {
        DataType::Int64 => {
            let (mut values, mut nulls) = (vec![0; rows], vec![true; rows]);
            let array = array.as_primitive::<Int64Type>();
            for (at, row) in sel.iter().enumerate() {
                values[*row as usize] = array.value(at);
                nulls[*row as usize] = array.is_null(at);
            }
            Column::Int { values, nulls }
        }
        DataType::Float64 => {
            let (mut values, mut nulls) = (vec![0.0; rows], vec![true; rows]);
            let array = array.as_primitive::<Float64Type>();
            for (at, row) in sel.iter().enumerate() {
                values[*row as usize] = array.value(at);
                nulls[*row as usize] = array.is_null(at);
            }
            Column::Float { values, nulls }
        }
        DataType::Boolean => {
            let (mut values, mut nulls) = (vec![false; rows], vec![true; rows]);
            let array = array.as_boolean();
            for (at, row) in sel.iter().enumerate() {
                values[*row as usize] = array.value(at);
                nulls[*row as usize] = array.is_null(at);
            }
            Column::Bool { values, nulls }
        }
        DataType::Utf8View => {
            let mut spans = vec![StrSpan::NULL; rows];
            let array = array.as_string_view();
            for (at, row) in sel.iter().enumerate() {
                if array.is_null(at) {
                    continue;
                }
                match keep(array.value(at).as_bytes(), batch) {
                    Some(span) => spans[*row as usize] = span,
                    None => overflow += 1,
                }
            }
            Column::Str(spans)
        }
        other => unreachable!("the value was cast to a field's type, not {other}"),
    };
    (column, overflow)
}

/// Where `text` stands in the batch, put into `extra` unless it is a part of the payload already.
fn keep(text: &[u8], batch: &mut Batch) -> Option<StrSpan> {
    let payload = batch.payload.as_ptr_range();
    let at = text.as_ptr_range();
    if !text.is_empty() && payload.start <= at.start && at.end <= payload.end {
        let start = at.start as usize - payload.start as usize;
        return Some(StrSpan::payload(start as u32, text.len() as u32));
    }
    let start = batch.extra.len();
    // `B3`: the top bit of an offset says which arena it is.
    if start + text.len() >= 1 << 31 {
        return None;
    }
    batch.extra.extend_from_slice(text);
    Some(StrSpan::extra(start as u32, text.len() as u32))
}
