//! Go's `time` as templates show it: the default texts of instants and lengths, `Format` with a layout, and the other
//! methods without arguments that people use.

use gotmpl::Value;
use jiff::civil::DateTime;

use super::value::{instant, text};

const SECOND: i64 = 1_000_000_000;

/// `2015-06-23 13:19:44.128 +0000 UTC`.
pub(super) fn instant_text(nanos: i64) -> String {
    format(nanos, "2006-01-02 15:04:05.999999999 -0700 MST")
}

/// `1h2m3.5s`, `250ms`, `0s`.
pub(super) fn length_text(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let magnitude = nanos.unsigned_abs();
    let fraction = |unit: u64, name: &str| {
        let digits = unit.ilog10() as usize;
        let rest = format!("{:0digits$}", magnitude % unit);
        let rest = rest.trim_end_matches('0');
        let point = if rest.is_empty() { "" } else { "." };
        format!("{sign}{}{point}{rest}{name}", magnitude / unit)
    };
    match magnitude {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{magnitude}ns"),
        1_000..1_000_000 => fraction(1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(1_000_000, "ms"),
        _ => {
            let second = SECOND as u64;
            let (minutes, rest) = (magnitude / (60 * second), magnitude % (60 * second));
            let seconds = length_seconds(rest);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

fn length_seconds(nanos: u64) -> String {
    let rest = format!("{:09}", nanos % SECOND as u64);
    let rest = rest.trim_end_matches('0');
    format!("{}{}{rest}", nanos / SECOND as u64, if rest.is_empty() { "" } else { "." })
}

fn civil(nanos: i64) -> DateTime {
    let stamp =
        jiff::Timestamp::from_nanosecond(i128::from(nanos)).expect("64-bit nanoseconds are within jiff's range");
    stamp.to_zoned(jiff::tz::TimeZone::UTC).datetime()
}

/// A method of an instant; `None` where there is none of that name or number of arguments.
pub(super) fn instant_method(nanos: i64, name: &str, args: &[Value]) -> Option<Value> {
    let at = civil(nanos);
    Some(match (name, args) {
        ("Format", [Value::String(layout)]) => text(format(nanos, layout)),
        ("String", []) => text(instant_text(nanos)),
        ("UTC" | "Local", []) => instant(nanos),
        ("Unix", []) => Value::Int(nanos.div_euclid(SECOND)),
        ("UnixMilli", []) => Value::Int(nanos.div_euclid(1_000_000)),
        ("UnixNano", []) => Value::Int(nanos),
        ("Year", []) => Value::Int(at.year().into()),
        ("Month", []) => text(MONTHS[at.month() as usize - 1]),
        ("Day", []) => Value::Int(at.day().into()),
        ("YearDay", []) => Value::Int(at.day_of_year().into()),
        ("Weekday", []) => text(weekday(at)),
        ("Hour", []) => Value::Int(at.hour().into()),
        ("Minute", []) => Value::Int(at.minute().into()),
        ("Second", []) => Value::Int(at.second().into()),
        _ => return None,
    })
}

/// A method of a length of time.
pub(super) fn length_method(nanos: i64, name: &str, args: &[Value]) -> Option<Value> {
    let unit = |unit: i64| Value::Float(nanos as f64 / unit as f64);
    Some(match (name, args) {
        ("String", []) => text(length_text(nanos)),
        ("Hours", []) => unit(3600 * SECOND),
        ("Minutes", []) => unit(60 * SECOND),
        ("Seconds", []) => unit(SECOND),
        ("Milliseconds", []) => Value::Int(nanos / 1_000_000),
        ("Microseconds", []) => Value::Int(nanos / 1_000),
        ("Nanoseconds", []) => Value::Int(nanos),
        _ => return None,
    })
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

fn weekday(at: DateTime) -> &'static str {
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
        [at.weekday().to_monday_zero_offset() as usize]
}

/// Go's layouts: the parts of the reference time `Mon Jan 2 15:04:05 MST 2006`, longest first where one begins another.
const PARTS: [&str; 34] = [
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "002",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "15",
    "_2006",
    "_2",
    "__2",
    "Z07:00:00",
    "Z070000",
    "Z07:00",
    "Z0700",
    "Z07",
    "-07:00:00",
    "-070000",
    "-07:00",
    "-0700",
    "-07",
    "PM",
    "pm",
    "1",
    "2",
    "3",
    "4",
    "5",
];

/// `Time.Format` in UTC.
fn format(nanos: i64, layout: &str) -> String {
    let at = civil(nanos);
    let hour12 = (at.hour() + 11) % 12 + 1;
    let mut out = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        if let Some(length) = fraction(rest, &out) {
            let digits = length - 1;
            let all = format!("{:09}", at.subsec_nanosecond());
            let shown = &all[..digits.min(9)];
            let shown = if rest[1..].starts_with('9') { shown.trim_end_matches('0') } else { shown };
            if !shown.is_empty() {
                out.push(c);
                out.push_str(shown);
            }
            rest = &rest[length..];
            continue;
        }
        let Some(part) = PARTS.into_iter().find(|part| begins(rest, part)) else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        rest = &rest[part.len()..];
        match part {
            "January" => out.push_str(MONTHS[at.month() as usize - 1]),
            "Jan" => out.push_str(&MONTHS[at.month() as usize - 1][..3]),
            "Monday" => out.push_str(weekday(at)),
            "Mon" => out.push_str(&weekday(at)[..3]),
            "MST" => out.push_str("UTC"),
            "2006" => out.push_str(&format!("{:04}", at.year())),
            "_2006" => out.push_str(&format!("_{:04}", at.year())),
            "06" => out.push_str(&format!("{:02}", at.year().rem_euclid(100))),
            "01" => out.push_str(&format!("{:02}", at.month())),
            "1" => out.push_str(&at.month().to_string()),
            "02" => out.push_str(&format!("{:02}", at.day())),
            "_2" => out.push_str(&format!("{:2}", at.day())),
            "2" => out.push_str(&at.day().to_string()),
            "002" => out.push_str(&format!("{:03}", at.day_of_year())),
            "__2" => out.push_str(&format!("{:3}", at.day_of_year())),
            "15" => out.push_str(&format!("{:02}", at.hour())),
            "03" => out.push_str(&format!("{hour12:02}")),
            "3" => out.push_str(&hour12.to_string()),
            "04" => out.push_str(&format!("{:02}", at.minute())),
            "4" => out.push_str(&at.minute().to_string()),
            "05" => out.push_str(&format!("{:02}", at.second())),
            "5" => out.push_str(&at.second().to_string()),
            "PM" => out.push_str(if at.hour() < 12 { "AM" } else { "PM" }),
            "pm" => out.push_str(if at.hour() < 12 { "am" } else { "pm" }),
            zulu if zulu.starts_with('Z') => out.push('Z'),
            zone => out.extend(zone.chars().map(|c| match c {
                '-' => '+',
                '7' => '0',
                c => c,
            })),
        }
    }
    out
}

/// `Jan` and `Mon` are only themselves: no part of `Jane` and `Monsoon`.
fn begins(rest: &str, part: &str) -> bool {
    let whole = || !rest[part.len()..].starts_with(|c: char| c.is_ascii_lowercase());
    rest.starts_with(part) && (!matches!(part, "Jan" | "Mon") || whole())
}

/// The length of a fraction of seconds (`.000`, `,999`) that `rest` begins with: it must follow a digit and end before
/// one.
fn fraction(rest: &str, before: &str) -> Option<usize> {
    let digit = rest.strip_prefix(['.', ','])?.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let length = 1 + rest[1..].chars().take_while(|c| *c == digit).count();
    let ends = !rest[length..].starts_with(|c: char| c.is_ascii_digit());
    (ends && before.ends_with(|c: char| c.is_ascii_digit())).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go's `Format` gives for the same.
    fn check(layout: &str, expect: &str) {
        assert_eq!(format(1_435_065_584_128_000_000, layout), expect, "{layout}");
    }

    #[test]
    fn layouts_are_gos() {
        check("2006-01-02T15:04:05Z07:00", "2015-06-23T13:19:44Z");
        check("Mon, 02 Jan 2006 15:04:05 -0700", "Tue, 23 Jun 2015 13:19:44 +0000");
        check("Monday January _2 3:04PM", "Tuesday June 23 1:19PM");
        check("15:04:05.000", "13:19:44.128");
        check("15:04:05.999999", "13:19:44.128");
        check("15:04:05,00", "13:19:44,12");
        check("06/1/2 03:4:5 pm MST -07:00 -07", "15/6/23 01:19:44 pm UTC +00:00 +00");
        check("day 002 of 2006", "day 174 of 2015");
        check("at 15h04 (v1.000)", "at 13h19 (v6.128)");
        check("_2006 __2", "_2015 174");
        check("Jane Monsoon", "Jane Monsoon");
        check("2nd 05", "23nd 44");
        assert_eq!(format(0, "15:04:05.999"), "00:00:00");
    }

    #[test]
    fn lengths_print_as_go_prints_them() {
        let texts =
            [0, 1, 1_500, 250_000_000, 1_500_000_000, 60_000_000_000, 3_723_500_000_000, -2_000_000].map(length_text);
        assert_eq!(texts, ["0s", "1ns", "1.5µs", "250ms", "1.5s", "1m0s", "1h2m3.5s", "-2ms"]);
    }
}
