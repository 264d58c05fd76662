//! Which parts of OTLP the stream's fields and its time are.

use std::sync::Arc;

use crate::decode::DecoderError;
use crate::model::schema::FieldType::{self, Bool, Float, Int, String};
use crate::model::schema::{OtlpSignal, StreamSchema, TimeSource};

/// A built-in of some signal. Each has a list of sinks; the list is empty when no rule reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Slot {
    TraceId,
    SpanId,
    ParentSpanId,
    TraceState,
    Name,
    Kind,
    StartTime,
    EndTime,
    DurationMs,
    StatusCode,
    StatusMessage,
    Time,
    ObservedTime,
    SeverityNumber,
    SeverityText,
    Body,
    EventName,
    Metric,
    Description,
    Unit,
    Type,
    Temporality,
    Monotonic,
    Value,
    Count,
    Sum,
    Min,
    Max,
    P50,
    P90,
    P95,
    P99,
    P999,
    ScopeName,
    ScopeVersion,
}

const SLOTS: usize = Slot::ScopeVersion as usize + 1;

/// A built-in's name, the type it has by nature, and its slot. Kinds, codes and the like are strings by nature and may
/// be read as integers, too.
type Builtin = (&'static str, FieldType, Slot);

const SPANS: &[Builtin] = &[
    ("trace_id", String, Slot::TraceId),
    ("span_id", String, Slot::SpanId),
    ("parent_span_id", String, Slot::ParentSpanId),
    ("trace_state", String, Slot::TraceState),
    ("name", String, Slot::Name),
    ("kind", String, Slot::Kind),
    ("start_time", Int, Slot::StartTime),
    ("end_time", Int, Slot::EndTime),
    ("duration_ms", Float, Slot::DurationMs),
    ("status_code", String, Slot::StatusCode),
    ("status_message", String, Slot::StatusMessage),
];

const LOGS: &[Builtin] = &[
    ("time", Int, Slot::Time),
    ("observed_time", Int, Slot::ObservedTime),
    ("severity_number", Int, Slot::SeverityNumber),
    ("severity_text", String, Slot::SeverityText),
    ("body", String, Slot::Body),
    ("trace_id", String, Slot::TraceId),
    ("span_id", String, Slot::SpanId),
    ("event_name", String, Slot::EventName),
];

const METRICS: &[Builtin] = &[
    ("metric", String, Slot::Metric),
    ("description", String, Slot::Description),
    ("unit", String, Slot::Unit),
    ("type", String, Slot::Type),
    ("temporality", String, Slot::Temporality),
    ("monotonic", Bool, Slot::Monotonic),
    ("start_time", Int, Slot::StartTime),
    ("time", Int, Slot::Time),
    ("value", Float, Slot::Value),
    ("count", Int, Slot::Count),
    ("sum", Float, Slot::Sum),
    ("min", Float, Slot::Min),
    ("max", Float, Slot::Max),
    ("p50", Float, Slot::P50),
    ("p90", Float, Slot::P90),
    ("p95", Float, Slot::P95),
    ("p99", Float, Slot::P99),
    ("p999", Float, Slot::P999),
];

fn builtins(signal: OtlpSignal) -> &'static [Builtin] {
    match signal {
        OtlpSignal::Spans => SPANS,
        OtlpSignal::Logs => LOGS,
        OtlpSignal::Metrics => METRICS,
    }
}

/// The built-in fields of a signal and the types they have by nature. Besides these, a field's path may be
/// `resource`, `scope` or `attributes` and a key (for `scope` also `name` and `version`), and for logs `body` and a key.
pub fn builtin_fields(signal: OtlpSignal) -> impl Iterator<Item = (&'static str, FieldType)> {
    builtins(signal).iter().map(|(name, ty, _)| (*name, *ty))
}

/// The built-ins that can be an event's time.
pub fn time_sources(signal: OtlpSignal) -> &'static [&'static str] {
    match signal {
        OtlpSignal::Spans => &["start_time", "end_time"],
        OtlpSignal::Logs => &["time", "observed_time"],
        OtlpSignal::Metrics => &["time", "start_time"],
    }
}

/// Where one value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sink {
    pub field: usize,
    pub ty: FieldType,
    pub numeric_strings: bool,
}

/// Attribute keys somebody reads.
#[derive(Debug, Default)]
pub(super) struct Keys {
    entries: Vec<(Box<[u8]>, Vec<Sink>)>,
    /// Bit n: some key has n bytes (the last bit: or more). Turns most attributes away without a comparison.
    lengths: u64,
}

impl Keys {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    #[inline(always)]
    pub fn find(&self, key: &[u8]) -> Option<&[Sink]> {
        if self.lengths >> key.len().min(63) & 1 == 0 {
            return None;
        }
        self.entries.iter().find(|(known, _)| **known == *key).map(|(_, sinks)| &sinks[..])
    }

    fn add(&mut self, key: &str, sink: Sink) {
        self.lengths |= 1 << key.len().min(63);
        match self.entries.iter_mut().find(|(known, _)| **known == *key.as_bytes()) {
            Some((_, sinks)) => sinks.push(sink),
            None => self.entries.push((key.as_bytes().into(), vec![sink])),
        }
    }
}

/// The instant that is an event's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventTimeIs {
    Start,
    End,
    Time,
    Observed,
    Record,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub signal: OtlpSignal,
    slots: [Vec<Sink>; SLOTS],
    pub resource: Keys,
    pub scope: Keys,
    pub attributes: Keys,
    pub body: Keys,
    pub time: EventTimeIs,
    /// Some percentile is read, so buckets are.
    pub percentiles: bool,
    pub depth_max: usize,
    pub field_bytes_max: usize,
    pub events_max: usize,
}

impl Plan {
    pub fn new(schema: &StreamSchema, signal: OtlpSignal, needed: &[usize]) -> Result<Plan, DecoderError> {
        let time = match &schema.time.source {
            TimeSource::Record => EventTimeIs::Record,
            TimeSource::Path(path) => time_is(signal, path)?,
        };
        let mut plan = Plan {
            signal,
            slots: std::array::from_fn(|_| Vec::new()),
            resource: Keys::default(),
            scope: Keys::default(),
            attributes: Keys::default(),
            body: Keys::default(),
            time,
            percentiles: false,
            depth_max: schema.budgets.depth_max,
            field_bytes_max: schema.budgets.field_bytes_max,
            events_max: schema.budgets.events_per_record_max,
        };
        for id in needed {
            let field = &schema.fields[*id];
            let sink = Sink { field: *id, ty: field.ty, numeric_strings: field.numeric_strings };
            plan.add(&field.name, &field.path, sink)?;
        }
        plan.percentiles =
            [Slot::P50, Slot::P90, Slot::P95, Slot::P99, Slot::P999].iter().any(|slot| plan.wants(*slot));
        Ok(plan)
    }

    #[inline(always)]
    pub fn sinks(&self, slot: Slot) -> &[Sink] {
        &self.slots[slot as usize]
    }

    #[inline(always)]
    pub fn wants(&self, slot: Slot) -> bool {
        !self.sinks(slot).is_empty()
    }

    fn add(&mut self, name: &str, path: &[Arc<str>], sink: Sink) -> Result<(), DecoderError> {
        let path: Vec<&str> = path.iter().map(|key| &**key).collect();
        match path[..] {
            [] => return Err(DecoderError::NoPath { who: format!("field `{name}`") }),
            ["resource", key] => self.resource.add(key, sink),
            ["scope", "name"] => self.slots[Slot::ScopeName as usize].push(sink),
            ["scope", "version"] => self.slots[Slot::ScopeVersion as usize].push(sink),
            ["scope", key] => self.scope.add(key, sink),
            ["attributes", key] => self.attributes.add(key, sink),
            ["body", key] if self.signal == OtlpSignal::Logs => self.body.add(key, sink),
            [builtin] => {
                let known = builtins(self.signal).iter().find(|(known, _, _)| *known == builtin);
                let Some((_, nature, slot)) = known else { return Err(self.unknown(name, &path)) };
                if !may_be(*nature, *slot, sink.ty) {
                    return Err(DecoderError::ImpossibleType {
                        field: name.into(),
                        builtin: builtin.into(),
                        declared: sink.ty.name(),
                        nature: nature.name(),
                    });
                }
                self.slots[*slot as usize].push(sink);
            }
            _ => return Err(self.unknown(name, &path)),
        }
        Ok(())
    }

    fn unknown(&self, name: &str, path: &[&str]) -> DecoderError {
        let known = builtins(self.signal).iter().map(|(name, _, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        DecoderError::UnknownOtlpPath { field: name.into(), path: path.join("."), known }
    }
}

/// Whether a built-in can be read as this type at all. A body is whatever the producer made it.
fn may_be(nature: FieldType, slot: Slot, declared: FieldType) -> bool {
    match (nature, declared) {
        _ if slot == Slot::Body => true,
        (String, Int) => matches!(slot, Slot::Kind | Slot::StatusCode | Slot::Type | Slot::Temporality),
        (String, declared) => declared == String,
        (Bool, declared) => matches!(declared, Bool | String),
        (Int | Float, declared) => declared != Bool,
    }
}

fn time_is(signal: OtlpSignal, path: &[Arc<str>]) -> Result<EventTimeIs, DecoderError> {
    let known = time_sources(signal);
    let name = match path {
        [name] if known.contains(&&**name) => &**name,
        _ => {
            let known = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            return Err(DecoderError::UnknownOtlpTime { path: path.join("."), known });
        }
    };
    Ok(match name {
        "start_time" => EventTimeIs::Start,
        "end_time" => EventTimeIs::End,
        "time" => EventTimeIs::Time,
        _ => EventTimeIs::Observed,
    })
}
