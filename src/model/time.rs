//! Time: a length ([`Millis`]) and two kinds of instant ([`EventTime`], [`WallTime`]), all in whole milliseconds.
//!
//! Milliseconds in an `i64` reach 292 million years either way, fit a register, and are finer than any window we
//! offer. Sub-millisecond stamps are rounded down on the way in, the same way everywhere.
//!
//! The two kinds of instant do not convert into each other by `From`: the one place where event time becomes wall
//! time on purpose is replay, and it says so with [`WallTime::from_event`].

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A length of time in milliseconds. Negative lengths only arise from subtraction; parsing refuses them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub i64);

impl Millis {
    pub const ZERO: Millis = Millis(0);

    pub const fn from_secs(secs: i64) -> Self {
        Millis(secs * 1_000)
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Seconds as a float, for rates and metrics.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1_000.0
    }

    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The std length, zero where this one is negative.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0.max(0) as u64)
    }
}

/// Why a text is not a length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("empty duration; write a number with a unit, such as `30s` or `5m`")]
    Empty,
    #[error("`{0}` has no unit; add one of ms, s, m, h, d, w, y")]
    NoUnit(String),
    #[error("unknown unit `{0}` in a duration; use ms, s, m, h, d, w, y")]
    Unit(String),
    #[error("`{0}` is not a duration; write a number with a unit, such as `30s` or `1h30m`")]
    Syntax(String),
    #[error("duration `{0}` is longer than 100 years")]
    TooLong(String),
}

const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Prometheus' duration syntax: `5m`, `1h30m`, `250ms`, and a bare `0`.
impl FromStr for Millis {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(DurationError::Empty);
        }
        if text == "0" {
            return Ok(Millis::ZERO);
        }
        let mut rest = text;
        let mut total: i64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            if digits == 0 {
                return Err(DurationError::Syntax(text.to_owned()));
            }
            let (number, tail) = rest.split_at(digits);
            let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            if unit.is_empty() {
                return Err(DurationError::NoUnit(text.to_owned()));
            }
            let (_, scale) =
                UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(|| DurationError::Unit(unit.to_owned()))?;
            let number: i64 = number.parse().map_err(|_| DurationError::TooLong(text.to_owned()))?;
            total = number
                .checked_mul(*scale)
                .and_then(|part| total.checked_add(part))
                .filter(|sum| *sum <= 100 * UNITS[0].1)
                .ok_or_else(|| DurationError::TooLong(text.to_owned()))?;
            rest = tail;
        }
        Ok(Millis(total))
    }
}

/// The shortest Prometheus spelling: `1h30m`, `250ms`, `0s`.
impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let mut rest = self.0.unsigned_abs();
        for (name, scale) in UNITS.iter().filter(|(name, _)| !matches!(*name, "y" | "w")) {
            let scale = *scale as u64;
            if rest >= scale {
                write!(f, "{}{name}", rest / scale)?;
                rest %= scale;
            }
        }
        Ok(())
    }
}

impl Serialize for Millis {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Millis {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A length of time: numbers with units ms, s, m, h, d, w, y, such as `30s` or `1h30m`.",
            "pattern": "^(0|([0-9]+(ms|[smhdwy]))+)$",
        })
    }
}

impl Add for Millis {
    type Output = Millis;
    fn add(self, other: Millis) -> Millis {
        Millis(self.0.saturating_add(other.0))
    }
}

impl Sub for Millis {
    type Output = Millis;
    fn sub(self, other: Millis) -> Millis {
        Millis(self.0.saturating_sub(other.0))
    }
}

macro_rules! instant {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl $name {
            /// Earlier than anything; what a watermark is before the first event.
            pub const MIN: $name = $name(i64::MIN);
            pub const MAX: $name = $name(i64::MAX);

            pub const fn from_millis(millis: i64) -> Self {
                $name(millis)
            }

            pub const fn as_millis(self) -> i64 {
                self.0
            }

            /// `self − earlier`, saturating.
            pub fn since(self, earlier: $name) -> Millis {
                Millis(self.0.saturating_sub(earlier.0))
            }

            /// The last multiple of `step` at or before this instant. `step` must be positive.
            pub fn floor_to(self, step: Millis) -> Self {
                $name(self.0.div_euclid(step.0).saturating_mul(step.0))
            }
        }

        impl Add<Millis> for $name {
            type Output = $name;
            fn add(self, length: Millis) -> $name {
                $name(self.0.saturating_add(length.0))
            }
        }

        impl Sub<Millis> for $name {
            type Output = $name;
            fn sub(self, length: Millis) -> $name {
                $name(self.0.saturating_sub(length.0))
            }
        }

        /// RFC 3339 in UTC with milliseconds only where there are any.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match jiff::Timestamp::from_millisecond(self.0) {
                    Ok(stamp) => write!(f, "{stamp}"),
                    Err(_) if self.0 < 0 => f.write_str("-∞"),
                    Err(_) => f.write_str("+∞"),
                }
            }
        }
    };
}

instant! {
    /// When something happened, in milliseconds since the Unix epoch, as the event itself says.
    EventTime
}
instant! {
    /// When we act, in milliseconds since the Unix epoch, as the clock in `edge` (or a simulated one) says.
    WallTime
}

impl WallTime {
    /// Replay lets the wall follow event time; nothing else may call this.
    pub const fn from_event(at: EventTime) -> Self {
        WallTime(at.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let got = match text.parse::<Millis>() {
            Ok(length) => format!("{} = {length}", length.0),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expect, "{text}");
    }

    #[test]
    fn durations_read_and_print_as_prometheus_writes_them() {
        check("5m", "300000 = 5m");
        check("1h30m", "5400000 = 1h30m");
        check("90m", "5400000 = 1h30m");
        check("1w", "604800000 = 7d");
        check("250ms", "250 = 250ms");
        check("0", "0 = 0s");
        check("", "empty duration; write a number with a unit, such as `30s` or `5m`");
        check("5", "`5` has no unit; add one of ms, s, m, h, d, w, y");
        check("5min", "unknown unit `min` in a duration; use ms, s, m, h, d, w, y");
        check("-5m", "`-5m` is not a duration; write a number with a unit, such as `30s` or `1h30m`");
        check("99999999999999999999s", "duration `99999999999999999999s` is longer than 100 years");
    }

    #[test]
    fn floor_goes_down_before_the_epoch_too() {
        assert_eq!(EventTime(-1).floor_to(Millis(10)), EventTime(-10));
        assert_eq!(EventTime(19).floor_to(Millis(10)), EventTime(10));
    }
}
