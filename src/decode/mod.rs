//! Bytes to columns.
//!
//! A [`Decoder`] turns a [`RawBatch`] of one stream into a [`Batch`]: one row an event, one typed column a field, and
//! only the fields that some rule reads. No record ever becomes a tree or a map: values are parsed where they stand,
//! strings stay in the payload and are spans of it. That is what makes a core read millions of events a second; the
//! general libraries spend three to ten times as much on values nobody asked for.
//!
//! | format | module | one row is |
//! | --- | --- | --- |
//! | JSON | [`json`] | an object |
//! | OTLP, protobuf and JSON | [`otlp`] | a span, a log record, a data point |
//! | lines | [`lines`] | a line |
//!
//! - `C1` every record ends as rows, refusals, or both; none vanishes, and a record that holds no event is refused
//! - `C2` what a record gives does not depend on the records around it, how they are cut into batches, or what was
//!   learned from earlier ones; the one exception, the year of RFC 3164 stamps, depends on the earlier records of the
//!   same partition alone ([`time`])
//! - `C3` nothing is allocated for an event of a known shape: buffers are kept from batch to batch
//!
//! Time is judged elsewhere: whether an event is late or of the future is for the shard, which knows the watermark.

mod fault;
mod json;
pub mod lines;
mod number;
pub mod otlp;
mod rows;
#[cfg(test)]
mod testing;
pub mod time;

use std::sync::Arc;

use crate::model::batch::{ARENA_SLACK, Batch, Column, RawBatch, RefusedRow};
use crate::model::position::SourceId;
use crate::model::refusal::Refusal;
use crate::model::schema::{FieldType, Format, StreamSchema};

use self::json::JsonDecoder;
use self::lines::LineDecoder;
use self::otlp::OtlpDecoder;
use self::rows::Rows;
use self::time::Year;

/// Why a stream cannot be decoded as its schema says. Texts for `check`.
#[derive(Debug, thiserror::Error)]
pub enum DecoderError {
    #[error("unknown time zone `{zone}`; write an IANA name such as `Europe/Berlin`, or an offset such as `+02:00`")]
    UnknownZone { zone: String },
    #[error("the stream's pattern is no regular expression: {source}")]
    BadPattern { source: regex::Error },
    #[error("{who} is read from `{group}`, which the stream's pattern does not capture; it captures {known}")]
    UnknownGroup { who: String, group: String, known: String },
    #[error("{who} stands at `{path}`; the lines of this stream have no nesting, name one group of the pattern")]
    NestedGroup { who: String, path: String },
    #[error("{who} has an empty path; name the keys that lead to it")]
    NoPath { who: String },
    #[error("{who} stands at `{path}`, which is a value for one field and an object for another; use one path only")]
    PathConflict { who: String, path: String },
    #[error(
        "field `{field}` stands at `{path}`, which this signal does not have; write one of {known}, or `resource`, `scope` or `attributes` and a key"
    )]
    UnknownOtlpPath { field: String, path: String, known: String },
    #[error("the event time stands at `{path}`, which is no time of this signal; write one of {known}")]
    UnknownOtlpTime { path: String, known: String },
    #[error("field `{field}` is declared as {declared}, but `{builtin}` is {nature} and cannot be read as that")]
    ImpossibleType { field: String, builtin: String, declared: &'static str, nature: &'static str },
    #[error("{fields} fields are more than the 65536 a stream may have")]
    TooManyFields { fields: usize },
}

/// Decodes the records of one stream. Keeps what it learned of their shape; make one for each shard.
pub struct Decoder {
    schema: Arc<StreamSchema>,
    /// By field id: the column to make, or none.
    columns: Vec<Option<FieldType>>,
    reader: Reader,
}

enum Reader {
    Json(JsonDecoder),
    Lines(LineDecoder),
    Otlp(Box<OtlpDecoder>),
}

impl Decoder {
    /// `needed`: the ids of the fields to decode; the columns of the others stay [`Column::Absent`].
    pub fn new(schema: Arc<StreamSchema>, needed: &[usize]) -> Result<Decoder, DecoderError> {
        let mut columns = vec![None; schema.fields.len()];
        needed.iter().for_each(|id| columns[*id] = Some(schema.fields[*id].ty));
        let needed: Vec<usize> = (0..columns.len()).filter(|id| columns[*id].is_some()).collect();
        let reader = match &schema.format {
            Format::Json => Reader::Json(JsonDecoder::new(&schema, &needed)?),
            Format::Lines(pattern) => Reader::Lines(LineDecoder::new(&schema, pattern, &needed)?),
            Format::Otlp(signal) => Reader::Otlp(Box::new(OtlpDecoder::new(&schema, *signal, &needed)?)),
        };
        Ok(Decoder { schema, columns, reader })
    }

    /// Clears and refills `out`. What is refused is appended to `refused`; its record indexes are those of `out`.
    pub fn decode(&mut self, raw: RawBatch, out: &mut Batch, refused: &mut Vec<RefusedRow>) {
        prepare(&self.columns, out);
        out.reset(raw);
        let payload = out.payload.clone();
        let records = std::mem::take(&mut out.records);
        let sources = out.sources.clone();
        let mut rows = Rows::new(out, refused, records.len());
        self.reader.begin_batch(&sources, &mut rows);
        // Protobuf is no text; its strings are looked at one by one, when they are read.
        let all_utf8 = self.reader.is_text() && std::str::from_utf8(&payload[..payload.len() - ARENA_SLACK]).is_ok();
        for (index, record) in records.iter().enumerate() {
            rows.begin_record(index as u32);
            if record.len as usize > self.schema.budgets.record_bytes_max {
                rows.refuse_record(Refusal::RecordTooLarge, 0);
                continue;
            }
            let utf8 = || is_utf8(&payload, record.start as usize, record.len as usize, all_utf8);
            match &mut self.reader {
                Reader::Json(json) => json.record(&payload, record, utf8(), &mut rows),
                Reader::Lines(lines) => lines.record(&payload, record, utf8(), &mut rows),
                Reader::Otlp(otlp) => otlp.record(&payload, record, &mut rows),
            }
        }
        rows.finish();
        out.records = records;
    }

    /// The years that RFC 3164 stamps have come to, by partition. They belong to the state that a checkpoint keeps and
    /// that moves with a partition; empty for streams whose times carry their year.
    pub fn years(&self) -> &[(SourceId, Year)] {
        match &self.reader {
            Reader::Json(json) => json.time().years(),
            Reader::Lines(lines) => lines.time().years(),
            Reader::Otlp(_) => &[],
        }
    }

    /// Goes on where another decoder (before a restart, on another shard) left off.
    pub fn resume_years(&mut self, years: &[(SourceId, Year)]) {
        match &mut self.reader {
            Reader::Json(json) => json.time_mut().resume_years(years),
            Reader::Lines(lines) => lines.time_mut().resume_years(years),
            Reader::Otlp(_) => {}
        }
    }
}

impl Reader {
    fn begin_batch(&mut self, sources: &[SourceId], rows: &mut Rows<'_>) {
        match self {
            Reader::Json(json) => json.time_mut().begin_batch(sources),
            Reader::Lines(lines) => lines.time_mut().begin_batch(sources),
            Reader::Otlp(otlp) => otlp.begin_batch(rows),
        }
    }

    fn is_text(&self) -> bool {
        !matches!(self, Reader::Otlp(_))
    }
}

/// Gives `out` the columns of this stream; keeps those that are of the right kind already, with their capacity.
fn prepare(columns: &[Option<FieldType>], out: &mut Batch) {
    out.columns.resize_with(columns.len(), Column::default);
    for (column, ty) in out.columns.iter_mut().zip(columns) {
        match (&column, ty) {
            (Column::Absent, None)
            | (Column::Str(_), Some(FieldType::String))
            | (Column::Int { .. }, Some(FieldType::Int))
            | (Column::Float { .. }, Some(FieldType::Float))
            | (Column::Bool { .. }, Some(FieldType::Bool)) => {}
            (_, None) => *column = Column::Absent,
            (_, Some(FieldType::String)) => *column = Column::Str(Vec::new()),
            (_, Some(FieldType::Int)) => *column = Column::Int { values: Vec::new(), nulls: Vec::new() },
            (_, Some(FieldType::Float)) => *column = Column::Float { values: Vec::new(), nulls: Vec::new() },
            (_, Some(FieldType::Bool)) => *column = Column::Bool { values: Vec::new(), nulls: Vec::new() },
        }
    }
}

/// Whether one record is UTF-8. When the arena as a whole is, a record is too unless a character was cut at one of its
/// ends; so the check is one pass over the batch and two bytes a record.
fn is_utf8(payload: &[u8], start: usize, len: usize, all_utf8: bool) -> bool {
    let continues = |byte: u8| byte & 0xc0 == 0x80;
    match all_utf8 {
        true => !continues(payload[start]) && !continues(payload[start + len]),
        false => std::str::from_utf8(&payload[start..start + len]).is_ok(),
    }
}
