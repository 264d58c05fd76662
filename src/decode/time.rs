//! Event times, in the formats people have, to milliseconds since the epoch (rounded down).
//!
//! Stamps of one stream come in runs within the same minute, so everything down to the minute (calendar, time zone) is
//! computed once and remembered under the stamp's own text; what is left for each event is seconds and fraction. The
//! usual shapes are read here, byte by byte; odd but valid RFC 3339 goes to `jiff`.
//!
//! - `T1` a time outside the years 1 to 9999 is no time: nothing later in Foghorn can overflow on it, and it prints
//! - `T2` fractions are cut, downwards also before 1970: the same instant never lands in two panes
//!
//! # The year of RFC 3164 stamps
//!
//! `Dec 31 23:59:59` has no year. The stream's schema gives the year of the first stamp of each partition; from there
//! the year follows the stamps of that partition, in their order:
//!
//! - January after December: the next year
//! - the last days of December after the first days of January: a straggler, still the old year
//! - any other order of months: the same year. A machine that boots with its clock at `Jan  1` in June must not throw
//!   the partition a year ahead; its stamp is merely late
//!
//! That makes the year a function of the partition's records before it (`C2`), so it does not depend on batches,
//! shards or interleaving, but it is state: [`TimeReader::years`] and [`TimeReader::resume_years`] carry it over
//! checkpoints and rebalances.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use crate::decode::{DecoderError, number};
use crate::model::position::SourceId;
use crate::model::schema::TimeFormat;

/// 0001-01-01T00:00:00Z
const MILLIS_MIN: i64 = -62_135_596_800_000;
/// 9999-12-30T22:00:00Z, the last that `jiff` can print in every zone
const MILLIS_MAX: i64 = 253_402_207_200_000;

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;

/// Where the year of a partition's RFC 3164 stamps stands: the newest stamp's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Year {
    pub year: i16,
    pub month: i8,
    pub day: i8,
}

/// Reads the times of one stream.
pub struct TimeReader {
    format: Format,
    minute: Minute,
    /// RFC 3164 only.
    years: Vec<(SourceId, Year)>,
    /// By source of the batch: its place in `years`.
    batch_years: Vec<Option<usize>>,
    batch_sources: Vec<SourceId>,
    source: usize,
}

enum Format {
    Rfc3339,
    /// A number; times 10^`shift` it is milliseconds.
    Epoch {
        shift: i64,
    },
    Rfc3164 {
        year: i16,
        zone: TimeZone,
    },
    Clf,
}

/// The minute read last: the stamp's text up to it, and the instant it starts.
struct Minute {
    text: [u8; 24],
    len: usize,
    year: i16,
    millis: i64,
}

impl Minute {
    #[inline(always)]
    fn known(&self, text: &[u8], year: i16) -> Option<i64> {
        (self.text[..self.len] == *text && self.year == year).then_some(self.millis)
    }

    fn keep(&mut self, text: &[u8], year: i16, millis: i64) -> i64 {
        self.text[..text.len()].copy_from_slice(text);
        *self = Minute { text: self.text, len: text.len(), year, millis };
        millis
    }
}

impl TimeReader {
    pub fn new(format: &TimeFormat) -> Result<TimeReader, DecoderError> {
        let format = match format {
            TimeFormat::Rfc3339 => Format::Rfc3339,
            TimeFormat::EpochSeconds => Format::Epoch { shift: 3 },
            TimeFormat::EpochMillis => Format::Epoch { shift: 0 },
            TimeFormat::EpochMicros => Format::Epoch { shift: -3 },
            TimeFormat::EpochNanos => Format::Epoch { shift: -6 },
            TimeFormat::Rfc3164 { year, zone } => Format::Rfc3164 { year: *year, zone: time_zone(zone)? },
            TimeFormat::Clf => Format::Clf,
        };
        Ok(TimeReader {
            format,
            minute: Minute { text: [0; 24], len: 0, year: 0, millis: 0 },
            years: Vec::new(),
            batch_years: Vec::new(),
            batch_sources: Vec::new(),
            source: 0,
        })
    }

    /// Whether times are numbers (or numbers in strings), rather than stamps.
    #[inline(always)]
    pub fn is_epoch(&self) -> bool {
        matches!(self.format, Format::Epoch { .. })
    }

    pub(super) fn begin_batch(&mut self, sources: &[SourceId]) {
        if matches!(self.format, Format::Rfc3164 { .. }) {
            self.batch_years.clear();
            self.batch_years
                .extend(sources.iter().map(|source| self.years.iter().position(|(known, _)| known == source)));
            self.batch_sources.clear();
            self.batch_sources.extend_from_slice(sources);
        }
    }

    #[inline(always)]
    pub(super) fn begin_record(&mut self, source: u32) {
        self.source = source as usize;
    }

    pub fn years(&self) -> &[(SourceId, Year)] {
        &self.years
    }

    pub fn resume_years(&mut self, years: &[(SourceId, Year)]) {
        for (source, year) in years {
            self.years.retain(|(known, _)| known != source);
            self.years.push((source.clone(), *year));
        }
    }

    /// A whole number in an epoch format.
    #[inline(always)]
    pub fn integer(&self, value: i64) -> Option<i64> {
        let Format::Epoch { shift } = self.format else { return None };
        in_range(match shift {
            0 => value,
            3 => value.checked_mul(1000)?,
            -3 => value.div_euclid(1000),
            _ => value.div_euclid(1_000_000),
        })
    }

    /// A JSON number in an epoch format.
    pub fn number(&self, text: &[u8]) -> Option<i64> {
        match self.format {
            Format::Epoch { shift } => in_range(number::floor_scaled(text, shift)?),
            _ => None,
        }
    }

    /// A stamp; for the epoch formats, a number as text.
    pub fn text(&mut self, text: &[u8]) -> Option<i64> {
        match self.format {
            Format::Epoch { .. } if number::is_number(text) => self.number(text),
            Format::Epoch { .. } => None,
            Format::Rfc3339 => in_range(self.rfc3339(text).or_else(|| rfc3339_rare(text))?),
            Format::Rfc3164 { .. } => in_range(self.rfc3164(text)?),
            Format::Clf => in_range(self.clf(text)?),
        }
    }

    /// `2015-05-17T10:05:03.123Z`, `2015-05-17 10:05:03+02:00`
    #[inline]
    fn rfc3339(&mut self, text: &[u8]) -> Option<i64> {
        if text.len() < 20 || text[16] != b':' {
            return None;
        }
        let (minute, rest) = text.split_at(16);
        let minute = match self.minute.known(minute, 0) {
            Some(known) => known,
            None => self.minute.keep(minute, 0, rfc3339_minute(minute)?),
        };
        let second = two(&rest[1..3], 59)?;
        let (fraction, zone) = fraction(&rest[3..])?;
        Some(minute + second * 1000 + fraction - rfc3339_offset(zone)?)
    }

    /// `Mar 30 15:04:05`, the day padded with a space or not
    fn rfc3164(&mut self, text: &[u8]) -> Option<i64> {
        let (minute, rest) = text.split_at_checked(text.len().checked_sub(3)?)?;
        let second = two(rest.strip_prefix(b":")?, 60)?.min(59);
        let (month, day, clock) = match minute {
            [a, b, c, b' ', b' ', day, b' ', clock @ ..] => (month(&[*a, *b, *c])?, digit(*day)?, clock),
            [a, b, c, b' ', tens, ones, b' ', clock @ ..] => (month(&[*a, *b, *c])?, two(&[*tens, *ones], 31)?, clock),
            [a, b, c, b' ', day, b' ', clock @ ..] => (month(&[*a, *b, *c])?, digit(*day)?, clock),
            _ => return None,
        };
        let (hour, minutes) = match clock {
            [h1, h2, b':', m1, m2] => (two(&[*h1, *h2], 23)?, two(&[*m1, *m2], 59)?),
            _ => return None,
        };
        let Format::Rfc3164 { year: first, zone } = &self.format else { return None };
        let newest = self.batch_years.get(self.source)?.map(|place| self.years[place].1);
        let year = year_of(newest, *first, month as i8, day as i8);
        let millis = match self.minute.known(minute, year) {
            Some(known) => known,
            None => {
                let local = DateTime::new(year, month as i8, day as i8, hour as i8, minutes as i8, 0, 0).ok()?;
                let at = zone.to_ambiguous_timestamp(local).compatible().ok()?;
                self.minute.keep(minute, year, at.as_millisecond())
            }
        };
        self.advance(newest, Year { year, month: month as i8, day: day as i8 });
        Some(millis + second * 1000)
    }

    fn advance(&mut self, newest: Option<Year>, seen: Year) {
        let key = |at: Year| (at.year, at.month, at.day);
        match (newest, self.batch_years[self.source]) {
            (Some(newest), _) if key(seen) <= key(newest) => {}
            (_, Some(place)) => self.years[place].1 = seen,
            (_, None) => {
                self.batch_years[self.source] = Some(self.years.len());
                self.years.push((self.batch_sources[self.source].clone(), seen));
            }
        }
    }

    /// `17/May/2015:10:05:03 +0000`
    fn clf(&mut self, text: &[u8]) -> Option<i64> {
        let (minute, rest) = text.split_at_checked(17)?;
        let [b':', s1, s2, b' ', sign, h1, h2, m1, m2] = rest else { return None };
        let minute = match self.minute.known(minute, 0) {
            Some(known) => known,
            None => self.minute.keep(minute, 0, clf_minute(minute)?),
        };
        let second = two(&[*s1, *s2], 60)?.min(59);
        Some(minute + second * 1000 - offset(*sign, &[*h1, *h2], &[*m1, *m2])?)
    }
}

#[inline(always)]
fn in_range(millis: i64) -> Option<i64> {
    (MILLIS_MIN..=MILLIS_MAX).contains(&millis).then_some(millis)
}

/// See the module's page.
fn year_of(newest: Option<Year>, first: i16, month: i8, day: i8) -> i16 {
    match newest {
        None => first,
        Some(newest) if newest.month == 12 && month == 1 => newest.year.saturating_add(1),
        Some(newest) if (newest.month == 1 && newest.day <= 7) && (month == 12 && day >= 25) => {
            newest.year.saturating_sub(1)
        }
        Some(newest) => newest.year,
    }
}

fn time_zone(zone: &str) -> Result<TimeZone, DecoderError> {
    let unknown = || DecoderError::UnknownZone { zone: zone.into() };
    if let [sign @ (b'+' | b'-'), rest @ ..] = zone.as_bytes() {
        let (hours, minutes) = match rest {
            [h1, h2] => ([*h1, *h2], *b"00"),
            [h1, h2, m1, m2] | [h1, h2, b':', m1, m2] => ([*h1, *h2], [*m1, *m2]),
            _ => return Err(unknown()),
        };
        let millis = offset(*sign, &hours, &minutes).ok_or_else(unknown)?;
        let offset = Offset::from_seconds((millis / 1000) as i32).map_err(|_| unknown())?;
        return Ok(TimeZone::fixed(offset));
    }
    // The bundled database, so that every machine reads the same times from the same bytes.
    TimeZoneDatabase::bundled().get(zone).map_err(|_| unknown())
}

fn rfc3339_minute(text: &[u8]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b't' | b' ', h1, h2, b':', n1, n2] = text else {
        return None;
    };
    let year = two(&[*y1, *y2], 99)? * 100 + two(&[*y3, *y4], 99)?;
    let days = days(year, two(&[*m1, *m2], 12)?, two(&[*d1, *d2], 31)?)?;
    Some(days * DAY + (two(&[*h1, *h2], 23)? * 60 + two(&[*n1, *n2], 59)?) * MINUTE)
}

fn clf_minute(text: &[u8]) -> Option<i64> {
    let [d1, d2, b'/', a, b, c, b'/', y1, y2, y3, y4, b':', h1, h2, b':', n1, n2] = text else { return None };
    let year = two(&[*y1, *y2], 99)? * 100 + two(&[*y3, *y4], 99)?;
    let days = days(year, month(&[*a, *b, *c])?, two(&[*d1, *d2], 31)?)?;
    Some(days * DAY + (two(&[*h1, *h2], 23)? * 60 + two(&[*n1, *n2], 59)?) * MINUTE)
}

/// Milliseconds of `.123456`, cut, and what follows.
#[inline(always)]
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.', digits @ ..] = text else { return Some((0, text)) };
    let count = digits.iter().position(|b| !b.is_ascii_digit())?;
    let millis = match digits {
        _ if count == 0 => return None,
        [a, b, c, ..] if count >= 3 => two(&[*a, *b], 99)? * 10 + digit(*c)?,
        [a, b, ..] if count == 2 => two(&[*a, *b], 99)? * 10,
        _ => digit(digits[0])? * 100,
    };
    Some((millis, &digits[count..]))
}

#[inline(always)]
fn rfc3339_offset(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign, h1, h2, b':', m1, m2] => offset(*sign, &[*h1, *h2], &[*m1, *m2]),
        _ => None,
    }
}

/// Milliseconds east of UTC.
fn offset(sign: u8, hours: &[u8], minutes: &[u8]) -> Option<i64> {
    let millis = (two(hours, 23)? * 60 + two(minutes, 59)?) * MINUTE;
    match sign {
        b'+' => Some(millis),
        b'-' => Some(-millis),
        _ => None,
    }
}

/// Leap seconds, offsets without a colon, a comma before the fraction and other forms that are right but rare.
#[cold]
fn rfc3339_rare(text: &[u8]) -> Option<i64> {
    let stamp: jiff::Timestamp = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(stamp.as_nanosecond().div_euclid(1_000_000) as i64)
}

#[inline(always)]
fn digit(byte: u8) -> Option<i64> {
    byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
}

/// Two digits, at most `max`.
#[inline(always)]
fn two(text: &[u8], max: i64) -> Option<i64> {
    let [tens, ones] = text else { return None };
    let value = digit(*tens)? * 10 + digit(*ones)?;
    (value <= max).then_some(value)
}

fn month(name: &[u8; 3]) -> Option<i64> {
    const NAMES: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    NAMES.iter().position(|known| *known == name).map(|at| at as i64 + 1)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `None` when there is no such date.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years that start in March put the leap day at their end (Howard Hinnant's `days_from_civil`).
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::model::time::EventTime;

    fn reader(format: TimeFormat) -> TimeReader {
        let mut reader = TimeReader::new(&format).unwrap();
        reader.begin_batch(&[SourceId::new(Arc::from("topic"), 0)]);
        reader
    }

    /// A stamp, and the instant it should be in RFC 3339; empty for none.
    fn check(format: TimeFormat, stamp: &str, expect: &str) {
        let mut reader = reader(format);
        let show = |at: Option<i64>| at.map_or(String::new(), |at| EventTime(at).to_string());
        assert_eq!(show(reader.text(stamp.as_bytes())), expect, "{stamp}");
        assert_eq!(show(reader.text(stamp.as_bytes())), expect, "{stamp}, remembered");
    }

    #[test]
    fn rfc3339() {
        let check = |stamp, expect| check(TimeFormat::Rfc3339, stamp, expect);
        check("2015-05-17T10:05:03Z", "2015-05-17T10:05:03Z");
        check("2015-05-17T10:05:03.1Z", "2015-05-17T10:05:03.1Z");
        check("2015-05-17T10:05:03.12Z", "2015-05-17T10:05:03.12Z");
        check("2015-05-17T10:05:03.123Z", "2015-05-17T10:05:03.123Z");
        check("2015-05-17T10:05:03.123999999+02:00", "2015-05-17T08:05:03.123Z");
        check("2015-05-17t10:05:03-00:30", "2015-05-17T10:35:03Z");
        check("2015-05-17 10:05:03z", "2015-05-17T10:05:03Z");
        check("2016-02-29T23:59:59.999Z", "2016-02-29T23:59:59.999Z");
        check("1969-12-31T23:59:59.9995Z", "1969-12-31T23:59:59.999Z");
        check("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z");
        check("9999-12-30T22:00:00Z", "9999-12-30T22:00:00Z");
        // Rare, and read by jiff: a leap second, no colon in the offset, a comma.
        check("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z");
        check("2015-05-17T10:05:03+0200", "2015-05-17T08:05:03Z");
        check("2015-05-17T10:05:03,5Z", "2015-05-17T10:05:03.5Z");
        for bad in [
            "",
            "2015-05-17",
            "2015-05-17T10:05:03",
            "2015-13-17T10:05:03Z",
            "2015-02-29T10:05:03Z",
            "1900-02-29T00:00:00Z",
            "2015-05-17T24:05:03Z",
            "2015-05-17T10:60:03Z",
            "2015-05-17T10:05:61Z",
            "2015-05-17T10:05:03.Z",
            "2015-05-17T10:05:03Zx",
            "2015-05-17T10:05:0éZ",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59Z",
        ] {
            check(bad, "");
        }
    }

    #[test]
    fn epochs_in_every_unit() {
        check(TimeFormat::EpochSeconds, "1431857103", "2015-05-17T10:05:03Z");
        check(TimeFormat::EpochSeconds, "1431857103.9999", "2015-05-17T10:05:03.999Z");
        check(TimeFormat::EpochSeconds, "-0.0001", "1969-12-31T23:59:59.999Z");
        check(TimeFormat::EpochMillis, "1431857103123", "2015-05-17T10:05:03.123Z");
        check(TimeFormat::EpochMicros, "1431857103123999", "2015-05-17T10:05:03.123Z");
        check(TimeFormat::EpochNanos, "1431857103123999999", "2015-05-17T10:05:03.123Z");
        check(TimeFormat::EpochNanos, "-1", "1969-12-31T23:59:59.999Z");
        // Nanoseconds where milliseconds were declared lie beyond the year 9999 (T1).
        check(TimeFormat::EpochMillis, "1431857103123999999", "");
        check(TimeFormat::EpochSeconds, "99999999999999999999", "");
        check(TimeFormat::EpochSeconds, "now", "");
    }

    #[test]
    fn clf() {
        let check = |stamp, expect| check(TimeFormat::Clf, stamp, expect);
        check("17/May/2015:10:05:03 +0000", "2015-05-17T10:05:03Z");
        check("17/May/2015:10:05:03 -0730", "2015-05-17T17:35:03Z");
        check("31/Dec/1999:23:59:60 +0000", "1999-12-31T23:59:59Z");
        check("31/Feb/2015:10:05:03 +0000", "");
        check("17/Mai/2015:10:05:03 +0000", "");
        check("17/May/2015:10:05:03", "");
        check("17/May/2015:10:05:03 UTC", "");
    }

    fn rfc3164(zone: &str) -> TimeFormat {
        TimeFormat::Rfc3164 { year: 2015, zone: zone.into() }
    }

    #[test]
    fn rfc3164_stamps_are_local() {
        check(rfc3164("UTC"), "Mar 30 15:04:05", "2015-03-30T15:04:05Z");
        check(rfc3164("UTC"), "Mar  3 15:04:05", "2015-03-03T15:04:05Z");
        check(rfc3164("UTC"), "Mar 3 15:04:05", "2015-03-03T15:04:05Z");
        check(rfc3164("+05:30"), "Mar 30 15:04:05", "2015-03-30T09:34:05Z");
        check(rfc3164("-0800"), "Mar 30 15:04:05", "2015-03-30T23:04:05Z");
        check(rfc3164("Europe/Berlin"), "Mar 28 15:04:05", "2015-03-28T14:04:05Z");
        check(rfc3164("Europe/Berlin"), "Mar 30 15:04:05", "2015-03-30T13:04:05Z");
        // The hour that clocks skip, and the hour they repeat (the first of the two is meant).
        check(rfc3164("Europe/Berlin"), "Mar 29 02:30:00", "2015-03-29T01:30:00Z");
        check(rfc3164("Europe/Berlin"), "Oct 25 02:30:00", "2015-10-25T00:30:00Z");
        for bad in
            ["", "Mar 30", "Mar 30 15:04", "Foo 30 15:04:05", "Feb 29 15:04:05", "Mar 30 25:04:05", "Mar 30 15:04:0x"]
        {
            check(rfc3164("UTC"), bad, "");
        }
    }

    #[test]
    fn a_zone_nobody_knows_is_told() {
        for zone in ["Mars/Olympus", "+25:00", "+1", ""] {
            let error = TimeReader::new(&rfc3164(zone)).err().unwrap().to_string();
            assert!(error.starts_with(&format!("unknown time zone `{zone}`")), "{error}");
        }
    }

    /// Stamps of one partition in their order, and the years they come to.
    fn check_years(stamps: &[&str], expect: &[&str]) {
        let mut reader = reader(rfc3164("UTC"));
        let seen: Vec<String> = stamps
            .iter()
            .map(|stamp| {
                EventTime(reader.text(format!("{stamp} 00:00:00").as_bytes()).unwrap()).to_string()[..10].into()
            })
            .collect();
        assert_eq!(seen, expect);
    }

    #[test]
    fn the_year_follows_the_stamps() {
        check_years(&["Jan  1", "Dec 31"], &["2015-01-01", "2014-12-31"]);
        check_years(&["Feb  1", "Dec 31"], &["2015-02-01", "2015-12-31"]);
        check_years(
            &["Nov 30", "Dec 31", "Jan  1", "Dec 31", "Jan  1", "Jan 20", "Dec 30", "Jan  2"],
            &[
                "2015-11-30",
                "2015-12-31",
                "2016-01-01",
                "2015-12-31",
                "2016-01-01",
                "2016-01-20",
                "2016-12-30",
                "2017-01-02",
            ],
        );
        // A machine boots in June with its clock unset.
        check_years(&["Jun  5", "Jan  1", "Jun  5"], &["2015-06-05", "2015-01-01", "2015-06-05"]);
    }

    #[test]
    fn every_partition_has_its_own_year() {
        let sources = [SourceId::new("a", 0), SourceId::new("a", 1)];
        let mut reader = TimeReader::new(&rfc3164("UTC")).unwrap();
        reader.begin_batch(&sources);
        let mut read = |source: u32, stamp: &str| {
            reader.begin_record(source);
            EventTime(reader.text(stamp.as_bytes()).unwrap()).to_string()
        };
        assert_eq!(read(0, "Dec 31 23:59:59"), "2015-12-31T23:59:59Z");
        assert_eq!(read(0, "Jan  1 00:00:00"), "2016-01-01T00:00:00Z");
        assert_eq!(read(1, "Dec 31 23:59:59"), "2015-12-31T23:59:59Z");

        // Another decoder goes on where this one stopped, whatever the order of the sources.
        let years = reader.years().to_vec();
        let mut other = TimeReader::new(&rfc3164("UTC")).unwrap();
        other.resume_years(&years);
        other.begin_batch(&[sources[1].clone(), sources[0].clone()]);
        other.begin_record(1);
        assert_eq!(other.text(b"Jan  2 00:00:00"), reader_time("2016-01-02T00:00:00Z"));
        other.begin_record(0);
        assert_eq!(other.text(b"Jan  1 00:00:00"), reader_time("2016-01-01T00:00:00Z"));
    }

    fn reader_time(stamp: &str) -> Option<i64> {
        reader(TimeFormat::Rfc3339).text(stamp.as_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// The own reader of RFC 3339 and jiff's agree on every stamp either can print, remembered minutes or not.
        #[test]
        fn rfc3339_equals_jiff(
            stamps in proptest::collection::vec((MILLIS_MIN..=MILLIS_MAX, -1439i64..1440, 0..1_000_000i64, 0usize..4), 1..4),
        ) {
            let mut reader = reader(TimeFormat::Rfc3339);
            for (millis, east, nanos, digits) in stamps {
                let at = jiff::Timestamp::from_nanosecond(i128::from(millis) * 1_000_000 + i128::from(nanos)).unwrap();
                let zone = TimeZone::fixed(Offset::from_seconds(east as i32 * 60).unwrap());
                let local = at.to_zoned(zone).datetime();
                let digits = [0, 3, 6, 9][digits];
                let sign = if east < 0 { '-' } else { '+' };
                let stamp = format!("{local:.digits$}{sign}{:02}:{:02}", east.abs() / 60, east.abs() % 60);
                if local.year() < 1 { continue }
                prop_assert_eq!(reader.text(stamp.as_bytes()), rfc3339_rare(stamp.as_bytes()).and_then(in_range), "{}", stamp);
            }
        }

        /// Any text at all: read as jiff reads it, or not.
        #[test]
        fn odd_stamps_never_panic(text in "[0-9]{2,4}[-/ ]?[0-9]{1,2}[-:T ][0-9a-zé:.+Z-]{0,24}") {
            for format in [TimeFormat::Rfc3339, TimeFormat::Clf, rfc3164("UTC"), TimeFormat::EpochNanos] {
                let _ = reader(format).text(text.as_bytes());
            }
        }

        #[test]
        fn days_equal_jiff(year in 1i16..=9999, month in 0i8..=13, day in 0i8..=32) {
            let expect = jiff::civil::Date::new(year, month, day).ok()
                .map(|date| date.to_zoned(TimeZone::UTC).unwrap().timestamp().as_millisecond() / DAY);
            prop_assert_eq!(days(i64::from(year), i64::from(month), i64::from(day)), expect);
        }
    }
}
