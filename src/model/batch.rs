//! Records as they come in ([`RawBatch`]) and events as columns ([`Batch`]).
//!
//! A batch belongs to one stream but may mix partitions: with many partitions a batch per partition would be too small
//! to pay for itself. Order within a partition is the order of the records.
//!
//! Payloads are copied once, into one arena a batch, and strings are spans into it. That frees the Kafka client's
//! buffers early, gives 32-bit spans, and lets the arena become Arrow string views without another copy. What had to
//! be unescaped stands in a second arena, `extra`.
//!
//! - `B1` every span of a batch lies inside its arena, on character boundaries of valid UTF-8 (checked by the decoder)
//! - `B2` all columns that are present have exactly `rows()` entries
//! - `B3` an arena is shorter than 2 GiB, so the top bit of an offset is free to say `extra`
//! - `B4` the payload is followed by [`ARENA_SLACK`] readable bytes, so scanners may load whole vectors

use std::sync::Arc;

use arrow::buffer::Buffer;

use crate::model::position::{Position, SourceId};
use crate::model::refusal::Refusal;
use crate::model::time::EventTime;

/// Zero bytes after the last record of a payload arena (`B4`).
pub const ARENA_SLACK: usize = 64;

/// Payload bytes one raw batch may hold (`B3` leaves room above it).
pub const ARENA_BYTES_MAX: usize = 1 << 30;

/// One record's place in a [`RawBatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRecord {
    /// Index into [`RawBatch::sources`].
    pub source: u32,
    pub offset: i64,
    /// The record's own timestamp in epoch milliseconds; negative when it has none.
    pub timestamp: i64,
    pub start: u32,
    pub len: u32,
}

/// Records of one stream, undecoded.
#[derive(Clone, Debug)]
pub struct RawBatch {
    pub sources: Arc<[SourceId]>,
    pub records: Vec<RawRecord>,
    payload: Buffer,
}

impl RawBatch {
    pub fn payload(&self) -> &Buffer {
        &self.payload
    }

    pub fn bytes(&self, record: &RawRecord) -> &[u8] {
        &self.payload[record.start as usize..(record.start + record.len) as usize]
    }

    pub fn position(&self, record: &RawRecord) -> Position {
        Position { source: self.sources[record.source as usize].clone(), offset: record.offset }
    }
}

impl RawBatch {
    /// The records before an offset, and those from there on; of a batch of one partition.
    pub fn split_at(self, offset: i64) -> (RawBatch, RawBatch) {
        let RawBatch { sources, records, payload } = self;
        let (before, rest) = records.into_iter().partition(|record| record.offset < offset);
        let before = RawBatch { sources: sources.clone(), records: before, payload: payload.clone() };
        (before, RawBatch { sources, records: rest, payload })
    }

    /// The same records, each source's by themselves and in their order. Copies payloads where there are several.
    pub fn by_source(self) -> Vec<RawBatch> {
        if self.sources.len() <= 1 {
            return vec![self];
        }
        let of = |(at, source): (usize, &SourceId)| {
            let mut builder = RawBatchBuilder::default();
            let mine = self.records.iter().filter(|record| record.source as usize == at);
            for record in mine {
                let index = builder.source(&source.topic, source.partition);
                builder.push(index, record.offset, record.timestamp, self.bytes(record));
            }
            builder
        };
        let built = self.sources.iter().enumerate().map(of);
        built.filter(|builder| !builder.is_empty()).map(RawBatchBuilder::finish).collect()
    }
}

/// Builds a [`RawBatch`] record by record.
#[derive(Debug, Default)]
pub struct RawBatchBuilder {
    sources: Vec<SourceId>,
    records: Vec<RawRecord>,
    payload: Vec<u8>,
}

impl RawBatchBuilder {
    pub fn with_capacity(records: usize, bytes: usize) -> Self {
        RawBatchBuilder {
            sources: Vec::new(),
            records: Vec::with_capacity(records),
            payload: Vec::with_capacity(bytes + ARENA_SLACK),
        }
    }

    /// The index of `source` in this batch. Few sources a batch, so a scan from the back wins.
    pub fn source(&mut self, topic: &Arc<str>, partition: i32) -> u32 {
        let known = self.sources.iter().rposition(|s| s.partition == partition && s.topic == *topic);
        known.unwrap_or_else(|| {
            self.sources.push(SourceId::new(topic.clone(), partition));
            self.sources.len() - 1
        }) as u32
    }

    /// `source` is what [`RawBatchBuilder::source`] gave.
    pub fn push(&mut self, source: u32, offset: i64, timestamp: i64, bytes: &[u8]) {
        let start = self.payload.len() as u32;
        self.payload.extend_from_slice(bytes);
        self.records.push(RawRecord { source, offset, timestamp, start, len: bytes.len() as u32 });
    }

    pub fn records(&self) -> usize {
        self.records.len()
    }

    pub fn bytes(&self) -> usize {
        self.payload.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub fn finish(mut self) -> RawBatch {
        self.payload.resize(self.payload.len() + ARENA_SLACK, 0);
        RawBatch { sources: self.sources.into(), records: self.records, payload: Buffer::from_vec(self.payload) }
    }
}

/// A string's place: offset and length in the batch's payload, or in `extra` when the top bit of `offset` is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StrSpan {
    pub offset: u32,
    pub len: u32,
}

impl StrSpan {
    pub const NULL: StrSpan = StrSpan { offset: 0, len: u32::MAX };
    const EXTRA: u32 = 1 << 31;

    pub const fn payload(offset: u32, len: u32) -> Self {
        StrSpan { offset, len }
    }

    pub const fn extra(offset: u32, len: u32) -> Self {
        StrSpan { offset: offset | Self::EXTRA, len }
    }

    pub const fn is_null(self) -> bool {
        self.len == u32::MAX
    }

    pub const fn is_extra(self) -> bool {
        self.offset & Self::EXTRA != 0
    }

    /// The offset within whichever arena it is.
    pub const fn start(self) -> usize {
        (self.offset & !Self::EXTRA) as usize
    }
}

/// One bit a row; `true` where the value is null. Kept as bytes because the writers go row by row.
pub type Nulls = Vec<bool>;

/// One field of all rows.
#[derive(Clone, Debug, Default)]
pub enum Column {
    /// No rule reads this field, so it was not decoded.
    #[default]
    Absent,
    Str(Vec<StrSpan>),
    Int {
        values: Vec<i64>,
        nulls: Nulls,
    },
    Float {
        values: Vec<f64>,
        nulls: Nulls,
    },
    Bool {
        values: Vec<bool>,
        nulls: Nulls,
    },
}

impl Column {
    pub fn len(&self) -> usize {
        match self {
            Column::Absent => 0,
            Column::Str(spans) => spans.len(),
            Column::Int { values, .. } => values.len(),
            Column::Float { values, .. } => values.len(),
            Column::Bool { values, .. } => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps the type and the capacity, drops the rows.
    pub fn clear(&mut self) {
        match self {
            Column::Absent => {}
            Column::Str(spans) => spans.clear(),
            Column::Int { values, nulls } => {
                values.clear();
                nulls.clear();
            }
            Column::Float { values, nulls } => {
                values.clear();
                nulls.clear();
            }
            Column::Bool { values, nulls } => {
                values.clear();
                nulls.clear();
            }
        }
    }

    pub fn is_null(&self, row: usize) -> bool {
        match self {
            Column::Absent => true,
            Column::Str(spans) => spans[row].is_null(),
            Column::Int { nulls, .. } | Column::Float { nulls, .. } | Column::Bool { nulls, .. } => nulls[row],
        }
    }

    /// The value as a float; `None` for nulls and for what is no number. Booleans are 0 and 1.
    pub fn number(&self, row: usize) -> Option<f64> {
        match self {
            _ if self.is_null(row) => None,
            Column::Int { values, .. } => Some(values[row] as f64),
            Column::Float { values, .. } => Some(values[row]),
            Column::Bool { values, .. } => Some(f64::from(u8::from(values[row]))),
            Column::Absent | Column::Str(_) => None,
        }
    }
}

/// Decoded events of one stream as columns. Reused from batch to batch: a decoder clears and refills it.
#[derive(Clone, Debug)]
pub struct Batch {
    pub sources: Arc<[SourceId]>,
    pub records: Vec<RawRecord>,
    pub payload: Buffer,
    /// Unescaped or otherwise made strings.
    pub extra: Vec<u8>,
    /// Event time of each row, epoch milliseconds.
    pub time: Vec<i64>,
    /// Index into `records` of each row: its source and offset.
    pub record: Vec<u32>,
    /// The row's own text where the format has one (a line, a JSON object), for exemplars; NULL otherwise.
    pub raw: Vec<StrSpan>,
    /// By field id.
    pub columns: Vec<Column>,
}

impl Default for Batch {
    fn default() -> Self {
        Batch {
            sources: Arc::from([]),
            records: Vec::new(),
            payload: Buffer::from_vec(vec![0u8; ARENA_SLACK]),
            extra: Vec::new(),
            time: Vec::new(),
            record: Vec::new(),
            raw: Vec::new(),
            columns: Vec::new(),
        }
    }
}

impl Batch {
    pub fn rows(&self) -> usize {
        self.time.len()
    }

    /// Takes over the raw batch's arena and forgets all rows. `columns` must already hold the right variants.
    pub fn reset(&mut self, raw: RawBatch) {
        self.payload = raw.payload;
        self.sources = raw.sources;
        self.records = raw.records;
        self.extra.clear();
        self.time.clear();
        self.record.clear();
        self.raw.clear();
        self.columns.iter_mut().for_each(Column::clear);
    }

    /// The bytes of a span that is not null.
    pub fn bytes(&self, span: StrSpan) -> &[u8] {
        let arena: &[u8] = if span.is_extra() { &self.extra } else { &self.payload };
        &arena[span.start()..span.start() + span.len as usize]
    }

    /// The text of a span; `None` for null.
    pub fn text(&self, span: StrSpan) -> Option<&str> {
        if span.is_null() {
            return None;
        }
        // Checked rather than trusted (`B1`): this is not on the hot path, which compares bytes.
        std::str::from_utf8(self.bytes(span)).ok()
    }

    pub fn str(&self, field: usize, row: usize) -> Option<&str> {
        match &self.columns[field] {
            Column::Str(spans) => self.text(spans[row]),
            _ => None,
        }
    }

    pub fn event_time(&self, row: usize) -> EventTime {
        EventTime(self.time[row])
    }

    pub fn position(&self, row: usize) -> Position {
        let record = &self.records[self.record[row] as usize];
        Position { source: self.sources[record.source as usize].clone(), offset: record.offset }
    }

    /// The whole original record of one row or of one refusal.
    pub fn record_bytes(&self, record: u32) -> &[u8] {
        let record = &self.records[record as usize];
        &self.payload[record.start as usize..(record.start + record.len) as usize]
    }
}

/// One refusal while decoding: the record it happened in, why, and how far into the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedRow {
    /// Index into the batch's records.
    pub record: u32,
    pub reason: Refusal,
    /// Byte offset within the record where the decoder gave up; 0 where the record as a whole is meant.
    pub at: u32,
}
