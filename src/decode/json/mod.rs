//! JSON events: one object, an array of objects, or objects on lines of their own, straight into columns.
//!
//! Only the fields that rules read are looked at, and no tree is built: values are parsed where they stand and strings
//! stay where they are. Keys are recognised, not parsed ([`shape`]); what is skipped is still validated ([`skip`]).
//! A parser library costs three to eight times as much here, because it reads every key and visits every value.
//!
//! What counts as one event, and what is lost with a bad one:
//!
//! | record | a value that does not fit (`wrong_type`, `bad_time`, …) | not JSON |
//! | --- | --- | --- |
//! | one object | that event | that event |
//! | lines of objects | that event | that line; reading goes on at the next |
//! | an array of objects | that event | the record: a document is read whole or not at all |
//!
//! An object may itself span lines. When such an object turns out bad, reading goes on at the first later line that
//! starts with `{`, so that the lines inside it are not taken for events.
//!
//! - `J1` fields read in the order of the text; the first thing that does not fit names the refusal, unless the event
//!   is not JSON at all, which outranks everything
//! - `J2` the same bytes give the same rows and refusals, whatever came before them and whichever batch they are in
//! - `J3` a missing field, a null and a null on the way to a nested field are all null
//! - `J4` an integer field takes any number without a fraction that fits 64 bits signed, so `3.0` and `3e2` too (JSON
//!   has one kind of number, and many writers print floats); `3.5` and 2^63 are of the wrong type. A float field takes
//!   any finite number
//! - `J5` a key that comes twice: the last one counts
//!
//! More lenient than the grammar only in what nobody reads: an unpaired surrogate (`"\ud800"`) in a skipped string,
//! and a skipped number beyond the range of a float. Everything else `serde_json` refuses is refused.

mod block;
mod event;
mod fast;
mod paths;
mod shape;
pub(in crate::decode) mod skip;
pub(in crate::decode) mod string;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

use self::event::EventScanner;
use self::skip::blanks;
use crate::decode::DecoderError;
use crate::decode::fault::Fault;
use crate::decode::rows::Rows;
use crate::decode::time::TimeReader;
use crate::model::batch::{RawRecord, StrSpan};
use crate::model::refusal::Refusal;
use crate::model::schema::{StreamSchema, TimeSource};

/// Reads the records of one stream of JSON events.
pub(super) struct JsonDecoder {
    scanner: EventScanner,
    /// The event time is the record's own.
    record_time: bool,
    events_max: usize,
}

/// One record being read. All positions are absolute in the arena `buf`.
struct Record<'b> {
    buf: &'b [u8],
    start: usize,
    end: usize,
    timestamp: i64,
    /// Not all of the record is UTF-8, so each event has to be looked at.
    suspect: bool,
}

impl Record<'_> {
    fn offset(&self, at: usize) -> usize {
        at.min(self.end) - self.start
    }

    /// Where `from..to` stops being UTF-8.
    fn not_utf8(&self, from: usize, to: usize) -> Option<Fault> {
        if !self.suspect {
            return None;
        }
        let error = std::str::from_utf8(&self.buf[from..to]).err()?;
        Some(Fault { reason: Refusal::NotUtf8, at: from + error.valid_up_to() })
    }
}

impl JsonDecoder {
    pub fn new(schema: &StreamSchema, needed: &[usize]) -> Result<JsonDecoder, DecoderError> {
        Ok(JsonDecoder {
            scanner: EventScanner::new(schema, needed)?,
            record_time: schema.time.source == TimeSource::Record,
            events_max: schema.budgets.events_per_record_max,
        })
    }

    pub fn time(&self) -> &TimeReader {
        &self.scanner.time
    }

    pub fn time_mut(&mut self) -> &mut TimeReader {
        &mut self.scanner.time
    }

    /// `buf` is the whole arena: scans look past the record's end, into the next record or the slack (`B4`), but act on
    /// nothing there. `utf8` says that the record is known to be valid UTF-8.
    pub fn record(&mut self, buf: &[u8], record: &RawRecord, utf8: bool, rows: &mut Rows<'_>) {
        let start = record.start as usize;
        let end = start + record.len as usize;
        self.scanner.time.begin_record(record.source);
        let record = Record { buf, start, end, timestamp: record.timestamp, suspect: !utf8 };
        let first = blanks(buf, start);
        if first >= end {
            rows.refuse_record(Refusal::Malformed, 0);
        } else if buf[first] == b'[' {
            if let Err(fault) = self.array(&record, first, rows) {
                let fault = record.not_utf8(start, end).unwrap_or(fault);
                rows.refuse_record(fault.reason, record.offset(fault.at));
            }
        } else {
            self.lines(&record, first, rows);
        }
    }

    fn lines(&mut self, record: &Record<'_>, first: usize, rows: &mut Rows<'_>) {
        let (buf, end) = (record.buf, record.end);
        let mut at = first;
        while at < end {
            if rows.events() == self.events_max {
                return rows.refuse_record(Refusal::TooManyEvents, record.offset(at));
            }
            match self.line(buf, at, end, rows) {
                Ok((close, next)) => {
                    self.close(record, at, close, rows);
                    at = next;
                }
                Err(fault) => {
                    let next = resume(buf, at, fault.at.min(end), end);
                    let fault = record.not_utf8(at, next).unwrap_or(fault);
                    rows.refuse(fault.reason, record.offset(fault.at));
                    at = next;
                }
            }
            at = blanks(buf, at);
        }
    }

    /// One object and the end of its line: the positions after each.
    #[inline(always)]
    fn line(&mut self, buf: &[u8], at: usize, end: usize, rows: &mut Rows<'_>) -> Result<(usize, usize), Fault> {
        let close = self.scanner.object(buf, at, end, rows)?;
        let mut next = close;
        while next < end && matches!(buf[next], b' ' | b'\t' | b'\r') {
            next += 1;
        }
        match next >= end || buf[next] == b'\n' {
            true => Ok((close, next)),
            false => Err(Fault::malformed(next)),
        }
    }

    fn array(&mut self, record: &Record<'_>, open: usize, rows: &mut Rows<'_>) -> Result<(), Fault> {
        let (buf, end) = (record.buf, record.end);
        let mut at = blanks(buf, open + 1);
        loop {
            if at >= end {
                return Err(Fault::malformed(end));
            }
            if rows.events() == self.events_max {
                return Err(Fault { reason: Refusal::TooManyEvents, at });
            }
            let close = if buf[at] == b'{' {
                let close = self.scanner.object(buf, at, end, rows)?;
                self.close(record, at, close, rows);
                close
            } else {
                let close = self.scanner.skip(buf, at, end)?;
                rows.refuse(Refusal::Malformed, record.offset(at));
                close
            };
            at = blanks(buf, close);
            match buf[at] {
                b',' => at = blanks(buf, at + 1),
                b']' if at < end => break,
                _ => return Err(Fault::malformed(at)),
            }
        }
        match blanks(buf, at + 1) {
            rest if rest < end => Err(Fault::malformed(rest)),
            _ => Ok(()),
        }
    }

    /// A whole object was read: it becomes a row, or is refused for what it says.
    #[inline(always)]
    fn close(&mut self, record: &Record<'_>, from: usize, to: usize, rows: &mut Rows<'_>) {
        let (time, fault) = self.scanner.outcome();
        let time = if self.record_time { Some(record.timestamp).filter(|at| *at >= 0) } else { time };
        match (record.not_utf8(from, to).or(fault), time) {
            (None, Some(time)) => rows.commit(time, StrSpan::payload(from as u32, (to - from) as u32)),
            (Some(fault), _) => rows.refuse(fault.reason, record.offset(fault.at)),
            (None, None) => rows.refuse(Refusal::NoTime, record.offset(from)),
        }
    }
}

/// Where to read on after the event at `from` turned out bad at `at`.
#[cold]
fn resume(buf: &[u8], from: usize, at: usize, end: usize) -> usize {
    let spans_lines = memchr::memchr(b'\n', &buf[from..at]).is_some();
    let mut next = if spans_lines { from } else { at };
    while let Some(line) = memchr::memchr(b'\n', &buf[next..end]) {
        next += line + 1;
        if !spans_lines || buf[next] == b'{' {
            return next;
        }
    }
    end
}
