//! Values on their way into columns.
//!
//! Both encodings of OTLP are read into [`Any`], which is what an attribute can hold; a field's [`Sink`] says what the
//! column wants, and [`Writer`] converts. What belongs to a resource, a scope or a metric is converted once and carried
//! to all the rows below it.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::plan::{EventTimeIs, Plan, Sink, Slot};
use crate::decode::fault::Fault;
use crate::decode::number;
use crate::decode::rows::Rows;
use crate::model::batch::StrSpan;
use crate::model::refusal::Refusal;
use crate::model::schema::FieldType;

/// One value as OTLP has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Any {
    Null,
    Str(StrSpan),
    Bool(bool),
    Int(i64),
    Double(f64),
    /// An array, a map, or bytes: the text that stands for it (JSON, base64), when a field can take text.
    Text(StrSpan),
    /// One of a closed list: its number, and its name.
    Enum(i64, StrSpan),
}

/// A value as its column has it.
#[derive(Clone, Copy, Debug)]
enum Cell {
    Null,
    Str(StrSpan),
    Int(i64),
    Float(f64),
    Bool(bool),
}

/// Names of the closed lists, as fields show them.
const KINDS: &[&str] = &["unspecified", "internal", "server", "client", "producer", "consumer"];
const STATUSES: &[&str] = &["unset", "ok", "error"];
const TEMPORALITIES: &[&str] = &["unspecified", "delta", "cumulative"];
const TYPES: &[&str] = &["gauge", "sum", "histogram", "exponential_histogram", "summary"];

const LISTS: [&[&str]; 4] = [KINDS, STATUSES, TEMPORALITIES, TYPES];

/// A list of [`LISTS`].
#[derive(Clone, Copy, Debug)]
pub(super) enum List {
    Kind,
    Status,
    Temporality,
    Type,
}

impl List {
    pub fn names(self) -> &'static [&'static str] {
        LISTS[self as usize]
    }
}

/// The names of the lists in `extra`, written once a batch.
#[derive(Debug, Default)]
pub(super) struct Names([Vec<StrSpan>; LISTS.len()]);

impl Names {
    pub fn begin_batch(&mut self, rows: &mut Rows<'_>) {
        for (spans, names) in self.0.iter_mut().zip(LISTS) {
            spans.clear();
            spans.extend(names.iter().map(|name| {
                rows.extra.extend_from_slice(name.as_bytes());
                StrSpan::extra((rows.extra.len() - name.len()) as u32, name.len() as u32)
            }));
        }
    }
}

/// What the levels around a row put into it: cells, outermost first, and the first misfit among them.
#[derive(Debug, Default)]
pub(super) struct Carried {
    cells: Vec<(usize, Cell)>,
    misfit: Option<Fault>,
}

/// A point to go back to, when a level ends.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    cells: usize,
    misfit: Option<Fault>,
}

/// The times of one event, in nanoseconds since the epoch; 0 where there is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    pub start: u64,
    pub end: u64,
    pub time: u64,
    pub observed: u64,
}

/// Writes the rows of one record.
pub(super) struct Writer<'x, 'r> {
    pub plan: &'x Plan,
    pub buf: &'x [u8],
    pub rows: &'x mut Rows<'r>,
    pub carried: &'x mut Carried,
    pub names: &'x Names,
    pub timestamp: i64,
    pub start: usize,
    misfit: Option<Fault>,
}

impl<'x, 'r> Writer<'x, 'r> {
    pub fn new(
        plan: &'x Plan,
        buf: &'x [u8],
        rows: &'x mut Rows<'r>,
        carried: &'x mut Carried,
        names: &'x Names,
        (timestamp, start): (i64, usize),
    ) -> Self {
        carried.cells.clear();
        carried.misfit = None;
        Writer { plan, buf, rows, carried, names, timestamp, start, misfit: None }
    }

    pub fn mark(&self) -> Mark {
        Mark { cells: self.carried.cells.len(), misfit: self.carried.misfit }
    }

    /// Forgets what was carried since.
    pub fn back_to(&mut self, mark: Mark) {
        self.carried.cells.truncate(mark.cells);
        self.carried.misfit = mark.misfit;
    }

    /// Carries a value to all rows until [`Writer::back_to`].
    pub fn carry(&mut self, sinks: &[Sink], any: Any, at: usize) {
        for sink in sinks {
            match self.cell(any, sink) {
                Ok(cell) => self.carried.cells.push((sink.field, cell)),
                Err(reason) => drop(self.carried.misfit.get_or_insert(Fault { reason, at })),
            }
        }
    }

    pub fn carry_fault(&mut self, fault: Fault) {
        self.carried.misfit.get_or_insert(fault);
    }

    /// Starts a row with what is carried. `Err` when the record holds too many.
    #[inline]
    pub fn open(&mut self, at: usize) -> Result<(), Fault> {
        if self.rows.events() == self.plan.events_max {
            return Err(Fault { reason: Refusal::TooManyEvents, at });
        }
        self.misfit = self.carried.misfit;
        for (field, cell) in &self.carried.cells {
            fill(self.rows, *field, *cell);
        }
        Ok(())
    }

    /// Puts a value into the open row.
    #[inline(always)]
    pub fn put(&mut self, slot: Slot, any: Any, at: usize) {
        let plan = self.plan;
        self.put_all(plan.sinks(slot), any, at);
    }

    #[inline(always)]
    pub fn put_all(&mut self, sinks: &[Sink], any: Any, at: usize) {
        for sink in sinks {
            match self.cell(any, sink) {
                Ok(cell) => fill(self.rows, sink.field, cell),
                Err(reason) => self.misfit(Fault { reason, at }),
            }
        }
    }

    /// Something in the open row does not fit; the first such thing names the refusal.
    #[cold]
    pub fn misfit(&mut self, fault: Fault) {
        self.misfit.get_or_insert(fault);
    }

    /// Ends the row. `raw` is its text, when it has one.
    pub fn close(&mut self, times: Times, raw: StrSpan, at: usize) {
        for (slot, nanos) in [
            (Slot::StartTime, times.start),
            (Slot::EndTime, times.end),
            (Slot::Time, times.time),
            (Slot::ObservedTime, times.observed),
        ] {
            if nanos != 0 {
                self.put(slot, Any::Int(millis(nanos)), at);
            }
        }
        if times.start != 0 && times.end != 0 {
            // A clock that went back gives a negative duration, and it is told as such.
            let nanos = times.end.wrapping_sub(times.start) as i64;
            self.put(Slot::DurationMs, Any::Double(nanos as f64 / 1e6), at);
        }
        let nanos = match self.plan.time {
            EventTimeIs::Record if self.timestamp >= 0 => return self.end(Some(self.timestamp), raw, at),
            EventTimeIs::Record => 0,
            EventTimeIs::Start => times.start,
            EventTimeIs::End => times.end,
            EventTimeIs::Observed => times.observed,
            // As the data model has it: a record without a time has the time at which it was seen.
            EventTimeIs::Time if times.time == 0 => times.observed,
            EventTimeIs::Time => times.time,
        };
        self.end((nanos != 0).then(|| millis(nanos)), raw, at);
    }

    fn end(&mut self, time: Option<i64>, raw: StrSpan, at: usize) {
        match (self.misfit, time) {
            (None, Some(time)) => self.rows.commit(time, raw),
            (Some(fault), _) => self.rows.refuse(fault.reason, fault.at - self.start),
            (None, None) => self.rows.refuse(Refusal::NoTime, at - self.start),
        }
    }

    /// An entry of a closed list; a number beyond it is shown as a number.
    pub fn listed(&self, list: List, number: i64) -> Any {
        let known = usize::try_from(number).ok().and_then(|at| self.names.0[list as usize].get(at));
        known.map_or(Any::Int(number), |name| Any::Enum(number, *name))
    }

    /// An id's bytes as lower-case hex; null when there is none (no bytes, or zeros).
    pub fn hex(&mut self, bytes: &[u8]) -> Result<Any, Refusal> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(Any::Null);
        }
        let from = self.rows.extra.len();
        self.rows
            .extra
            .extend(bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]));
        Ok(Any::Str(self.rows.extra_span(from)?))
    }

    /// Text that `make` appends.
    pub fn text(&mut self, make: impl FnOnce(&mut Vec<u8>) -> Result<(), Fault>) -> Result<StrSpan, Fault> {
        let from = self.rows.extra.len();
        make(self.rows.extra)?;
        self.rows.extra_span(from).map_err(|reason| Fault { reason, at: self.start })
    }

    #[inline(always)]
    fn cell(&mut self, any: Any, sink: &Sink) -> Result<Cell, Refusal> {
        Ok(match (any, sink.ty) {
            (Any::Str(span), FieldType::String) => self.string(span)?,
            (Any::Int(value), FieldType::Int) => Cell::Int(value),
            (Any::Double(value), FieldType::Float) => Cell::Float(value),
            (Any::Int(value), FieldType::Float) => Cell::Float(value as f64),
            (Any::Bool(value), FieldType::Bool) => Cell::Bool(value),
            _ => self.other_cell(any, sink)?,
        })
    }

    fn string(&self, span: StrSpan) -> Result<Cell, Refusal> {
        match span.len as usize <= self.plan.field_bytes_max {
            true => Ok(Cell::Str(span)),
            false => Err(Refusal::FieldTooLong),
        }
    }

    /// Conversions: whole doubles are integers, anything can be text, and text can be a number where that is declared.
    #[inline(never)]
    fn other_cell(&mut self, any: Any, sink: &Sink) -> Result<Cell, Refusal> {
        match (any, sink.ty) {
            (Any::Null, _) => Ok(Cell::Null),
            (Any::Text(span) | Any::Enum(_, span), FieldType::String) => self.string(span),
            (Any::Enum(number, _), FieldType::Int) => Ok(Cell::Int(number)),
            (Any::Double(value), FieldType::Int) => whole(value).map(Cell::Int).ok_or(Refusal::WrongType),
            (Any::Str(span), FieldType::Int | FieldType::Float) if sink.numeric_strings => {
                let text = if span.is_extra() { &self.rows.extra[..] } else { self.buf };
                let text = &text[span.start()..span.start() + span.len as usize];
                let cell = match sink.ty {
                    _ if !number::is_number(text) => None,
                    FieldType::Int => number::integer(text).map(Cell::Int),
                    _ => number::float(text).map(Cell::Float),
                };
                cell.ok_or(Refusal::WrongType)
            }
            (Any::Int(_) | Any::Double(_) | Any::Bool(_), FieldType::String) => {
                let from = self.rows.extra.len();
                append(any, self.rows.extra);
                let span = self.rows.extra_span(from)?;
                self.string(span)
            }
            _ => Err(Refusal::WrongType),
        }
    }
}

#[inline(always)]
fn fill(rows: &mut Rows<'_>, field: usize, cell: Cell) {
    match cell {
        Cell::Null => rows.null(field),
        Cell::Str(span) => rows.str(field, span),
        Cell::Int(value) => rows.int(field, value),
        Cell::Float(value) => rows.float(field, value),
        Cell::Bool(value) => rows.bool(field, value),
    }
}

fn millis(nanos: u64) -> i64 {
    (nanos / 1_000_000) as i64
}

fn whole(value: f64) -> Option<i64> {
    // 2^63 is exact as a float, the largest i64 is not.
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value);
    (fits && value.fract() == 0.0).then_some(value as i64)
}

/// A number or a truth value as JSON has it; what JSON has not (`NaN`, `Infinity`) as the protobuf mapping does.
pub(super) fn append(any: Any, into: &mut Vec<u8>) {
    let written = match any {
        Any::Int(value) => write!(into, "{value}"),
        Any::Bool(value) => write!(into, "{value}"),
        Any::Double(value) if value.is_nan() => into.write_all(b"NaN"),
        Any::Double(f64::INFINITY) => into.write_all(b"Infinity"),
        Any::Double(f64::NEG_INFINITY) => into.write_all(b"-Infinity"),
        Any::Double(value) => write!(into, "{value:?}"),
        Any::Null | Any::Str(_) | Any::Text(_) | Any::Enum(..) => Ok(()),
    };
    written.expect("a vector takes all");
}

/// As [`append`], inside JSON: `NaN` and the infinities become strings.
pub(super) fn append_json(any: Any, into: &mut Vec<u8>) {
    let quoted = matches!(any, Any::Double(value) if !value.is_finite());
    into.extend(quoted.then_some(b'"'));
    append(any, into);
    into.extend(quoted.then_some(b'"'));
}

pub(super) fn append_base64(bytes: &[u8], into: &mut Vec<u8>) {
    let from = into.len();
    into.resize(from + bytes.len().div_ceil(3) * 4, 0);
    STANDARD.encode_slice(bytes, &mut into[from..]).expect("four characters for three bytes");
}

/// A JSON string, with its quotes. `text` is known to be UTF-8.
pub(super) fn append_quoted(text: &[u8], into: &mut Vec<u8>) {
    let text = std::str::from_utf8(text).expect("checked UTF-8");
    serde_json::to_writer(into, text).expect("a string is always JSON, and a vector takes all");
}
