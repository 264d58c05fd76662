//! Rows being written: the open row of a [`Batch`], taken or dropped as a whole.
//!
//! Columns are filled with nulls ahead of the open row and written by index, not pushed. So a missing field costs
//! nothing, a key that comes twice simply overwrites (the last one counts, as in most JSON readers), and an event that
//! turns out to be bad halfway is dropped by blanking one row. Pushing would need a per-row list of what was seen.
//!
//! - `R1` behind the open row all columns hold nulls only
//! - `R2` what a dropped row or a dropped record wrote is never visible: [`Rows::finish`] cuts at the open row

use crate::model::batch::{Batch, Column, RefusedRow, StrSpan};
use crate::model::refusal::Refusal;

/// Strings of a batch that had to be made may take this much: what is above has no span (`B3`).
const EXTRA_BYTES_MAX: usize = (1 << 31) - 1;

/// The columns of one batch while rows are written to them.
pub(super) struct Rows<'a> {
    columns: &'a mut [Column],
    pub(super) extra: &'a mut Vec<u8>,
    time: &'a mut Vec<i64>,
    record: &'a mut Vec<u32>,
    raw: &'a mut Vec<StrSpan>,
    refused: &'a mut Vec<RefusedRow>,
    /// The open row.
    row: usize,
    /// Rows the columns have room for; more than `row`.
    room: usize,
    now: u32,
    record_row: usize,
    record_refused: usize,
}

impl<'a> Rows<'a> {
    /// Starts on a batch that was just reset. `expected` is a guess at the number of rows.
    pub fn new(out: &'a mut Batch, refused: &'a mut Vec<RefusedRow>, expected: usize) -> Self {
        let record_refused = refused.len();
        let Batch { columns, extra, time, record, raw, .. } = out;
        let mut rows =
            Rows { columns, extra, time, record, raw, refused, row: 0, room: 0, now: 0, record_row: 0, record_refused };
        rows.grow(expected.max(16));
        rows
    }

    /// What follows belongs to this record.
    pub fn begin_record(&mut self, record: u32) {
        self.now = record;
        self.record_row = self.row;
        self.record_refused = self.refused.len();
    }

    /// Events of this record so far, taken and refused.
    pub fn events(&self) -> usize {
        (self.row - self.record_row) + (self.refused.len() - self.record_refused)
    }

    #[inline(always)]
    pub fn int(&mut self, field: usize, value: i64) {
        if let Column::Int { values, nulls } = &mut self.columns[field] {
            values[self.row] = value;
            nulls[self.row] = false;
        }
    }

    #[inline(always)]
    pub fn float(&mut self, field: usize, value: f64) {
        if let Column::Float { values, nulls } = &mut self.columns[field] {
            values[self.row] = value;
            nulls[self.row] = false;
        }
    }

    #[inline(always)]
    pub fn bool(&mut self, field: usize, value: bool) {
        if let Column::Bool { values, nulls } = &mut self.columns[field] {
            values[self.row] = value;
            nulls[self.row] = false;
        }
    }

    #[inline(always)]
    pub fn str(&mut self, field: usize, span: StrSpan) {
        if let Column::Str(spans) = &mut self.columns[field] {
            spans[self.row] = span;
        }
    }

    pub fn null(&mut self, field: usize) {
        blank(&mut self.columns[field], self.row, self.row + 1);
    }

    /// The span of what was appended to `extra` since it was `from` long.
    pub fn extra_span(&self, from: usize) -> Result<StrSpan, Refusal> {
        if self.extra.len() > EXTRA_BYTES_MAX {
            return Err(Refusal::RecordTooLarge);
        }
        Ok(StrSpan::extra(from as u32, (self.extra.len() - from) as u32))
    }

    /// Takes the open row.
    #[inline]
    pub fn commit(&mut self, time: i64, raw: StrSpan) {
        self.time.push(time);
        self.record.push(self.now);
        self.raw.push(raw);
        self.row += 1;
        if self.row == self.room {
            self.grow(self.room);
        }
    }

    /// Drops the open row and says why. `at` counts from the start of the record.
    #[cold]
    pub fn refuse(&mut self, reason: Refusal, at: usize) {
        let row = self.row;
        self.columns.iter_mut().for_each(|column| blank(column, row, row + 1));
        self.refused.push(RefusedRow { record: self.now, reason, at: at as u32 });
    }

    /// Drops everything of this record, rows and refusals, for one refusal of the whole.
    #[cold]
    pub fn refuse_record(&mut self, reason: Refusal, at: usize) {
        let (from, to) = (self.record_row, self.row + 1);
        self.columns.iter_mut().for_each(|column| blank(column, from, to));
        self.row = from;
        self.time.truncate(from);
        self.record.truncate(from);
        self.raw.truncate(from);
        self.refused.truncate(self.record_refused);
        self.refused.push(RefusedRow { record: self.now, reason, at: at as u32 });
    }

    /// Cuts the columns to the rows taken.
    pub fn finish(self) {
        let rows = self.row;
        for column in self.columns.iter_mut() {
            match column {
                Column::Absent => {}
                Column::Str(spans) => spans.truncate(rows),
                Column::Int { values, nulls } => {
                    values.truncate(rows);
                    nulls.truncate(rows);
                }
                Column::Float { values, nulls } => {
                    values.truncate(rows);
                    nulls.truncate(rows);
                }
                Column::Bool { values, nulls } => {
                    values.truncate(rows);
                    nulls.truncate(rows);
                }
            }
        }
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        self.room += more;
        let room = self.room;
        for column in self.columns.iter_mut() {
            match column {
                Column::Absent => {}
                Column::Str(spans) => spans.resize(room, StrSpan::NULL),
                Column::Int { values, nulls } => {
                    values.resize(room, 0);
                    nulls.resize(room, true);
                }
                Column::Float { values, nulls } => {
                    values.resize(room, 0.0);
                    nulls.resize(room, true);
                }
                Column::Bool { values, nulls } => {
                    values.resize(room, false);
                    nulls.resize(room, true);
                }
            }
        }
    }
}

/// Makes a run of rows null again (`R1`).
fn blank(column: &mut Column, from: usize, to: usize) {
    match column {
        Column::Absent => {}
        Column::Str(spans) => spans[from..to].fill(StrSpan::NULL),
        Column::Int { values, nulls } => {
            values[from..to].fill(0);
            nulls[from..to].fill(true);
        }
        Column::Float { values, nulls } => {
            values[from..to].fill(0.0);
            nulls[from..to].fill(true);
        }
        Column::Bool { values, nulls } => {
            values[from..to].fill(false);
            nulls[from..to].fill(true);
        }
    }
}
