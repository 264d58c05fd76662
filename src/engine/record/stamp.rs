//! Instants as RFC 3339 in records, because people read them with `sqlite3`; the ends of time have names of their own.

use serde::{Deserialize, Deserializer, Serializer};

use crate::model::{EventTime, WallTime};

/// Either kind of instant.
pub trait Instant: Copy + std::fmt::Display {
    fn from_millis(millis: i64) -> Self;
}

impl Instant for EventTime {
    fn from_millis(millis: i64) -> Self {
        EventTime(millis)
    }
}

impl Instant for WallTime {
    fn from_millis(millis: i64) -> Self {
        WallTime(millis)
    }
}

pub fn serialize<T: Instant, S: Serializer>(at: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

pub fn deserialize<'de, T: Instant, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map(T::from_millis).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a time")))
}

/// Milliseconds of what an instant prints.
pub fn parse(text: &str) -> Option<i64> {
    match text {
        "-∞" => Some(i64::MIN),
        "+∞" => Some(i64::MAX),
        text => text.parse::<jiff::Timestamp>().ok().map(|stamp| stamp.as_millisecond()),
    }
}

pub mod option {
    use super::{Instant, parse};
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<T: Instant, S: Serializer>(at: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => serializer.collect_str(at),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, T: Instant, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let millis = parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a time")))?;
        Ok(Some(T::from_millis(millis)))
    }
}
