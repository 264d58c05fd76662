//! Values of templates beyond what gotmpl knows: instants and lengths of time (which have methods in Go), label maps
//! (whose missing entries are empty strings), and the bound on how long a text may grow.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotmpl::Value;

use super::gofmt;
use super::time;

/// Bytes a single value may have while a template is rendered, and its output.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// A text would have become longer than [`OUTPUT_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// A text that does not grow beyond [`OUTPUT_BYTES_MAX`].
#[derive(Debug, Default)]
pub(super) struct Bounded {
    text: String,
    /// It was asked to; what was written before stays.
    pub overflowed: bool,
}

impl Bounded {
    pub fn push_str(&mut self, text: &str) -> Result<(), TooLong> {
        if self.overflowed || self.text.len() + text.len() > OUTPUT_BYTES_MAX {
            self.overflowed = true;
            return Err(TooLong);
        }
        self.text.push_str(text);
        Ok(())
    }

    pub fn into_string(self) -> String {
        self.text
    }
}

impl std::fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.push_str(text).map_err(|TooLong| std::fmt::Error)
    }
}

/// The key under which an instant keeps its nanoseconds. No field name of a template can have a space.
const INSTANT: &str = " instant";
const LENGTH: &str = " length";

pub(super) fn text(text: impl Into<Arc<str>>) -> Value {
    Value::String(text.into())
}

pub(super) fn map<N: Into<Arc<str>>>(entries: impl IntoIterator<Item = (N, Value)>) -> Value {
    Value::Map(Arc::new(entries.into_iter().map(|(name, value)| (name.into(), value)).collect::<BTreeMap<_, _>>()))
}

pub(super) fn number(value: Option<f64>) -> Value {
    value.map_or(Value::Nil, Value::Float)
}

/// Go's `time.Time` in UTC.
pub(super) fn instant(nanos: i64) -> Value {
    map([(INSTANT, Value::Int(nanos))])
}

/// Go's `time.Duration`.
pub(super) fn length(nanos: i64) -> Value {
    map([(LENGTH, Value::Int(nanos))])
}

/// The nanoseconds since the epoch of an instant.
pub(super) fn as_instant(value: &Value) -> Option<i64> {
    value.field(INSTANT).and_then(Value::as_int)
}

/// The nanoseconds of a length of time.
pub(super) fn as_length(value: &Value) -> Option<i64> {
    value.field(LENGTH).and_then(Value::as_int)
}

/// The text of what is a map to gotmpl but no map to its user.
pub(super) fn special_text(value: &Value) -> Option<String> {
    as_instant(value).map(time::instant_text).or_else(|| as_length(value).map(time::length_text))
}

pub(super) fn special_type(value: &Value) -> Option<&'static str> {
    as_instant(value).map(|_| "time.Time").or_else(|| as_length(value).map(|_| "time.Duration"))
}

/// An entry of a map. What is missing is nothing (`<no value>`), but an empty text where all entries are texts: Go's
/// `map[string]string`, which labels are.
pub(super) fn entry(entries: &BTreeMap<Arc<str>, Value>, name: &str) -> Value {
    match entries.get(name) {
        Some(value) => value.clone(),
        None if entries.values().all(|value| matches!(value, Value::String(_))) => text(""),
        None => Value::Nil,
    }
}

/// As `%v` writes it.
pub(super) fn write(value: &Value, out: &mut Bounded) -> Result<(), TooLong> {
    if let Some(text) = special_text(value) {
        return out.push_str(&text);
    }
    match value {
        Value::Nil => out.push_str("<nil>"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Int(n) => out.push_str(&n.to_string()),
        Value::Uint(n) => out.push_str(&n.to_string()),
        Value::Float(x) => out.push_str(&gofmt::float(*x)),
        Value::String(text) | Value::Safe { s: text, .. } => out.push_str(text),
        Value::Function(_) => out.push_str("<func>"),
        Value::List(items) => {
            out.push_str("[")?;
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { " " } else { "" })?;
                write(item, out)?;
            }
            out.push_str("]")
        }
        Value::Map(entries) => {
            out.push_str("map[")?;
            for (index, (name, item)) in entries.iter().enumerate() {
                out.push_str(if index > 0 { " " } else { "" })?;
                out.push_str(name)?;
                out.push_str(":")?;
                write(item, out)?;
            }
            out.push_str("]")
        }
    }
}
