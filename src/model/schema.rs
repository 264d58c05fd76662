//! A stream's schema, valid and resolved: what `config` hands to everything that reads the stream.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::time::Millis;

/// What a stream's records look like and how its time works. Made by `config::checked`, so every value is in range.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamSchema {
    pub name: Arc<str>,
    pub format: Format,
    pub time: TimeSpec,
    /// Indexed by field id, which is what columns, filters and group-by keys use.
    pub fields: Vec<FieldSpec>,
    /// The field whose value identifies one event to a person (a trace id), shown in exemplars.
    pub exemplar: Option<usize>,
    /// How far behind the newest event of its partition an event may be and still be taken.
    pub lateness: Millis,
    /// A partition silent for this long (wall time, read to its end) no longer holds the watermark back.
    pub idle_timeout: Millis,
    /// A partition that holds the watermark still for this long, not being idle, is an alert of its own (wall time).
    pub stall_timeout: Millis,
    /// An event further ahead of the wall clock than this is refused.
    pub future_max: Millis,
    pub budgets: Budgets,
}

impl StreamSchema {
    pub fn field(&self, name: &str) -> Option<(usize, &FieldSpec)> {
        self.fields.iter().enumerate().find(|(_, field)| &*field.name == name)
    }

    /// What these fields are, in words that do not depend on the fields beside them.
    pub fn meaning_of(&self, mut fields: Vec<usize>) -> String {
        fields.sort_unstable();
        fields.dedup();
        let of = |id: &usize| {
            let FieldSpec { name, ty, path, numeric_strings, .. } = &self.fields[*id];
            format!("{name}: {} at {path:?}{};", ty.name(), if *numeric_strings { " or string" } else { "" })
        };
        fields.iter().map(of).collect()
    }
}

/// The bytes on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// One object, an array of objects, or newline-delimited objects in a message.
    Json,
    /// OTLP as the OpenTelemetry Collector's Kafka exporter writes it: an Export…ServiceRequest (also called
    /// TracesData, LogsData, MetricsData), protobuf or JSON, told apart by the first byte.
    Otlp(OtlpSignal),
    /// Text lines; the fields are what the pattern captures.
    Lines(LinePattern),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpSignal {
    Spans,
    Logs,
    Metrics,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinePattern {
    /// Apache's and nginx' "combined" log format (and "common", its prefix).
    Combined,
    /// BSD syslog as files have it: `Mar 30 15:04:05 host program[pid]: message`, an optional `<pri>` before it.
    Syslog3164,
    /// A regular expression with named groups.
    Regex(String),
}

/// Where an event's time comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeSpec {
    pub source: TimeSource,
    pub format: TimeFormat,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeSource {
    /// A place in the record (JSON: keys from the outside in; lines: one group name; OTLP: one of the times the
    /// signal defines, such as `start_time`, `end_time`, `time`, `observed_time`).
    Path(Vec<Arc<str>>),
    /// The Kafka record's own timestamp.
    Record,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    Rfc3339,
    EpochSeconds,
    EpochMillis,
    EpochMicros,
    EpochNanos,
    /// `Mar 30 15:04:05`: the stamp has neither year nor zone, so both are given (an IANA zone name or an offset).
    /// The year is that of the first month seen; a stamp in January after one in December belongs to the next year.
    Rfc3164 {
        year: i16,
        zone: String,
    },
    /// `17/May/2015:10:05:03 +0000`
    Clf,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FieldSpec {
    pub name: Arc<str>,
    pub ty: FieldType,
    /// Where the value stands. JSON: keys from the outside in. Lines: one group name. OTLP: a built-in name, or
    /// `resource` / `scope` / `attributes` and then the attribute's whole key (dots and all).
    pub path: Vec<Arc<str>>,
    /// JSON numbers may also come as strings. Off unless declared.
    pub numeric_strings: bool,
    pub histogram: HistogramSpec,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldType {
    String,
    Int,
    Float,
    Bool,
}

impl FieldType {
    pub fn name(self) -> &'static str {
        match self {
            FieldType::String => "string",
            FieldType::Int => "int",
            FieldType::Float => "float",
            FieldType::Bool => "bool",
        }
    }

    pub fn is_numeric(self) -> bool {
        matches!(self, FieldType::Int | FieldType::Float)
    }
}

/// How a field's values are laid into an HDR histogram: `round(value / unit)` is recorded as an integer in
/// `1..=highest/unit` with `digits` significant decimal digits. Values above `highest` saturate there and are counted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistogramSpec {
    /// The smallest difference that is told apart, in the field's own unit. Greater than zero.
    pub unit: f64,
    /// The largest value told apart, in the field's own unit.
    pub highest: f64,
    /// Significant decimal digits, 1..=3.
    pub digits: u8,
}

impl HistogramSpec {
    /// Integers: 1 to 3.6e9 (an hour in microseconds), two digits.
    pub const INT: HistogramSpec = HistogramSpec { unit: 1.0, highest: 3.6e9, digits: 2 };
    /// Floats: 0.001 to 3.6e6 (a microsecond to an hour, in milliseconds), two digits.
    pub const FLOAT: HistogramSpec = HistogramSpec { unit: 0.001, highest: 3.6e6, digits: 2 };
}

/// What one record may cost. More is refused by name, never truncated in silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Bytes of one Kafka record (or one line of a file).
    pub record_bytes_max: usize,
    /// Nested objects and arrays, or protobuf messages.
    pub depth_max: usize,
    /// Bytes of one string field that is read.
    pub field_bytes_max: usize,
    /// Events in one record.
    pub events_per_record_max: usize,
}

impl Default for Budgets {
    fn default() -> Self {
        Budgets { record_bytes_max: 4 << 20, depth_max: 32, field_bytes_max: 8 << 10, events_per_record_max: 100_000 }
    }
}
