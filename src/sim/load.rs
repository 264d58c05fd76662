//! Made-up events as bytes, in the format of their stream.

use serde_json::{Map, Value};

use crate::model::schema::{FieldType, Format, StreamSchema, TimeFormat, TimeSource};
use crate::model::time::EventTime;
use crate::sim::script::Load;

/// One event: when it happens and its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub at: EventTime,
    pub record: Vec<u8>,
}

/// The events of `load`, in the order of time.
///
/// # Errors
/// A field the stream does not have, a value of the wrong type, a format that cannot be made up.
pub fn events(load: &Load, schema: &StreamSchema, start: EventTime) -> Result<Vec<Event>, String> {
    let mut events = Vec::new();
    let mut at = load.from;
    let mut turn = 0;
    while at < load.to {
        for _ in 0..load.times {
            let when = start + at;
            events.push(Event { at: when, record: record(load, schema, when, turn)? });
            turn += 1;
        }
        at = at + load.every;
    }
    Ok(events)
}

fn record(load: &Load, schema: &StreamSchema, at: EventTime, turn: usize) -> Result<Vec<u8>, String> {
    match &schema.format {
        Format::Json => json(load, schema, at, turn),
        Format::Lines(_) => line(load, schema, at, turn),
        Format::Otlp(_) => Err(format!(
            "stream `{}` is OTLP, which cannot be made up here; record some and write `load {} from FILE`",
            schema.name, schema.name
        )),
    }
}

fn json(load: &Load, schema: &StreamSchema, at: EventTime, turn: usize) -> Result<Vec<u8>, String> {
    let mut object = Map::new();
    if let TimeSource::Path(path) = &schema.time.source {
        put(&mut object, path, stamp(&schema.time.format, at)?);
    }
    for (name, values) in &load.fields {
        let (_, field) = schema.field(name).ok_or_else(|| unknown(name, schema))?;
        let text = &values[turn % values.len()];
        let wrong = || format!("`{text}` is no {} for field `{name}`", field.ty.name());
        let value = match field.ty {
            _ if text == "null" => Value::Null,
            FieldType::String => Value::String(text.clone()),
            FieldType::Int => text.parse::<i64>().map_err(|_| wrong())?.into(),
            FieldType::Float => text.parse::<f64>().map_err(|_| wrong())?.into(),
            FieldType::Bool => text.parse::<bool>().map_err(|_| wrong())?.into(),
        };
        put(&mut object, &field.path, value);
    }
    Ok(Value::Object(object).to_string().into_bytes())
}

fn unknown(name: &str, schema: &StreamSchema) -> String {
    let known: Vec<&str> = schema.fields.iter().map(|field| &*field.name).collect();
    format!("stream `{}` has no field `{name}`; it has {}", schema.name, known.join(", "))
}

fn put(object: &mut Map<String, Value>, path: &[std::sync::Arc<str>], value: Value) {
    let Some((last, outer)) = path.split_last() else { return };
    let mut inner = object;
    for key in outer {
        let slot = inner.entry(&**key).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(next) = slot else { return };
        inner = next;
    }
    inner.insert(last.to_string(), value);
}

fn line(load: &Load, schema: &StreamSchema, at: EventTime, turn: usize) -> Result<Vec<u8>, String> {
    let [(name, values)] = &load.fields[..] else {
        return Err("a stream of lines is loaded with `line=\"… {time} …\"` and nothing else".to_owned());
    };
    if name != "line" {
        return Err(format!("a stream of lines has no `{name}` to set; write `line=\"… {{time}} …\"`"));
    }
    let stamp = match stamp(&schema.time.format, at)? {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(values[turn % values.len()].replace("{time}", &stamp).into_bytes())
}

/// `at` as the stream writes its times.
fn stamp(format: &TimeFormat, at: EventTime) -> Result<Value, String> {
    let instant = jiff::Timestamp::from_millisecond(at.0).map_err(|error| error.to_string())?;
    Ok(match format {
        TimeFormat::Rfc3339 => instant.to_string().into(),
        TimeFormat::EpochSeconds => (at.0 as f64 / 1e3).into(),
        TimeFormat::EpochMillis => at.0.into(),
        TimeFormat::EpochMicros => (at.0 * 1_000).into(),
        TimeFormat::EpochNanos => (at.0 * 1_000_000).into(),
        TimeFormat::Rfc3164 { zone, .. } => {
            let zoned = instant.in_tz(zone).map_err(|error| error.to_string())?;
            zoned.strftime("%b %e %H:%M:%S").to_string().into()
        }
        TimeFormat::Clf => {
            let zoned = instant.to_zoned(jiff::tz::TimeZone::UTC);
            zoned.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string().into()
        }
    })
}
