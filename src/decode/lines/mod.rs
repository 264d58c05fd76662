//! Text lines: what a pattern captures becomes columns.
//!
//! `combined` and `syslog3164` are read by hand ([`combined`], [`syslog`]): they are what most files hold, a regular
//! expression for either takes several times as long, and the odd cases (escaped quotes, a user with a space, no
//! program) are easier to say in code. Everything else is a regular expression with named groups.
//!
//! A record may hold several lines, each an event of its own; empty lines are none. A line ends at `\n`, a `\r` before
//! it belongs to the end. Captures are spans of the line as it stands: escapes of the log writer (`\"`, `\x22`) stay.
//!
//! - `L1` a group that did not take part in the match, and in `combined` a lone `-`, is null; an empty capture is null
//!   for a field that is no string
//! - `L2` a capture that cannot be read as its field's type refuses the event; nothing is guessed

mod combined;
mod syslog;

use std::io::Write;

use regex::{CaptureLocations, Regex};

use crate::decode::rows::Rows;
use crate::decode::time::TimeReader;
use crate::decode::{DecoderError, number};
use crate::model::batch::{RawRecord, StrSpan};
use crate::model::refusal::Refusal;
use crate::model::schema::{FieldType, LinePattern, StreamSchema, TimeSource};

/// The groups a built-in pattern captures, and the type each has by nature. Empty for a regular expression, whose groups
/// are [`group_names`] and whose captures are text.
pub fn builtin_fields(pattern: &LinePattern) -> &'static [(&'static str, FieldType)] {
    match pattern {
        LinePattern::Combined => combined::FIELDS,
        LinePattern::Syslog3164 => syslog::FIELDS,
        LinePattern::Regex(_) => &[],
    }
}

/// The names of all groups that fields of this pattern may be read from.
pub fn group_names(pattern: &LinePattern) -> Result<Vec<String>, DecoderError> {
    match pattern {
        LinePattern::Regex(expression) => {
            Ok(compile(expression)?.capture_names().flatten().map(str::to_owned).collect())
        }
        _ => Ok(builtin_fields(pattern).iter().map(|(name, _)| (*name).to_owned()).collect()),
    }
}

fn compile(expression: &str) -> Result<Regex, DecoderError> {
    Regex::new(expression).map_err(|source| DecoderError::BadPattern { source })
}

/// What a group caught: a range of the line, or a number that was computed from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Capture {
    #[default]
    None,
    Text(usize, usize),
    Number(i64),
}

enum Parser {
    Combined,
    Syslog,
    Regex(Regex, CaptureLocations),
}

/// A field, and the group it is read from.
struct Sink {
    group: usize,
    field: usize,
    ty: FieldType,
}

/// Reads the records of one stream of lines.
pub(super) struct LineDecoder {
    parser: Parser,
    /// By group.
    captures: Vec<Capture>,
    sinks: Vec<Sink>,
    time: TimeReader,
    /// `None`: the record's own time.
    time_group: Option<usize>,
    dash_is_null: bool,
    events_max: usize,
    field_bytes_max: usize,
}

impl LineDecoder {
    pub fn new(schema: &StreamSchema, pattern: &LinePattern, needed: &[usize]) -> Result<LineDecoder, DecoderError> {
        let (parser, groups): (Parser, Vec<Option<String>>) = match pattern {
            LinePattern::Regex(expression) => {
                let regex = compile(expression)?;
                let names = regex.capture_names().map(|name| name.map(str::to_owned)).collect();
                let locations = regex.capture_locations();
                (Parser::Regex(regex, locations), names)
            }
            builtin => {
                let names = builtin_fields(builtin).iter().map(|(name, _)| Some((*name).to_owned())).collect();
                let parser = if *builtin == LinePattern::Combined { Parser::Combined } else { Parser::Syslog };
                (parser, names)
            }
        };
        let group = |path: &[std::sync::Arc<str>], who: String| match path {
            [name] => groups.iter().position(|known| known.as_deref() == Some(&**name)).ok_or_else(|| {
                let known = groups.iter().flatten().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                DecoderError::UnknownGroup { who, group: name.to_string(), known }
            }),
            [] => Err(DecoderError::NoPath { who }),
            path => Err(DecoderError::NestedGroup { who, path: path.join(".") }),
        };
        let mut sinks = Vec::new();
        for id in needed {
            let field = &schema.fields[*id];
            let group = group(&field.path, format!("field `{}`", field.name))?;
            sinks.push(Sink { group, field: *id, ty: field.ty });
        }
        let time_group = match &schema.time.source {
            TimeSource::Path(path) => Some(group(path, "the event time".into())?),
            TimeSource::Record => None,
        };
        Ok(LineDecoder {
            captures: vec![Capture::None; groups.len()],
            dash_is_null: matches!(parser, Parser::Combined),
            parser,
            sinks,
            time: TimeReader::new(&schema.time.format)?,
            time_group,
            events_max: schema.budgets.events_per_record_max,
            field_bytes_max: schema.budgets.field_bytes_max,
        })
    }

    pub fn time(&self) -> &TimeReader {
        &self.time
    }

    pub fn time_mut(&mut self) -> &mut TimeReader {
        &mut self.time
    }

    pub fn record(&mut self, buf: &[u8], record: &RawRecord, utf8: bool, rows: &mut Rows<'_>) {
        let start = record.start as usize;
        let end = start + record.len as usize;
        self.time.begin_record(record.source);
        let mut at = start;
        while at < end {
            let stop = memchr::memchr(b'\n', &buf[at..end]).map_or(end, |line| at + line);
            let close = if stop > at && buf[stop - 1] == b'\r' { stop - 1 } else { stop };
            if close > at {
                if rows.events() == self.events_max {
                    return rows.refuse_record(Refusal::TooManyEvents, at - start);
                }
                match self.line(&buf[at..close], at, record.timestamp, utf8, rows) {
                    Ok(time) => rows.commit(time, StrSpan::payload(at as u32, (close - at) as u32)),
                    Err((reason, offset)) => rows.refuse(reason, at - start + offset),
                }
            }
            at = stop + 1;
        }
        if rows.events() == 0 {
            rows.refuse_record(Refusal::NoMatch, 0);
        }
    }

    /// Writes the open row and gives its time, or says why not and where in the line. `base` is the line's place in the
    /// arena.
    fn line(
        &mut self,
        line: &[u8],
        base: usize,
        timestamp: i64,
        utf8: bool,
        rows: &mut Rows<'_>,
    ) -> Result<i64, (Refusal, usize)> {
        if !utf8 && let Err(error) = std::str::from_utf8(line) {
            return Err((Refusal::NotUtf8, error.valid_up_to()));
        }
        if !self.captured(line) {
            return Err((Refusal::NoMatch, 0));
        }
        for sink in &self.sinks {
            let capture = match self.captures[sink.group] {
                Capture::Text(from, to) if self.dash_is_null && line[from..to] == *b"-" => Capture::None,
                capture => capture,
            };
            match capture {
                Capture::None => {}
                Capture::Number(value) => number_into(sink, value, rows).map_err(|reason| (reason, 0))?,
                Capture::Text(from, to) if sink.ty == FieldType::String => {
                    if to - from > self.field_bytes_max {
                        return Err((Refusal::FieldTooLong, from));
                    }
                    rows.str(sink.field, StrSpan::payload((base + from) as u32, (to - from) as u32));
                }
                Capture::Text(from, to) => {
                    text_into(sink, &line[from..to], rows).ok_or((Refusal::WrongType, from))?;
                }
            }
        }
        match self.time_group.map(|group| self.captures[group]) {
            None if timestamp >= 0 => Ok(timestamp),
            None | Some(Capture::None) => Err((Refusal::NoTime, 0)),
            Some(Capture::Text(from, to)) => self.time.text(&line[from..to]).ok_or((Refusal::BadTime, from)),
            Some(Capture::Number(value)) => self.time.integer(value).ok_or((Refusal::BadTime, 0)),
        }
    }

    /// Fills `captures`; false when the line does not match.
    fn captured(&mut self, line: &[u8]) -> bool {
        match &mut self.parser {
            Parser::Combined => {
                self.captures.fill(Capture::None);
                combined::parse(line, &mut self.captures).is_some()
            }
            Parser::Syslog => {
                self.captures.fill(Capture::None);
                syslog::parse(line, &mut self.captures).is_some()
            }
            Parser::Regex(regex, locations) => {
                let Ok(text) = std::str::from_utf8(line) else { return false };
                if regex.captures_read(locations, text).is_none() {
                    return false;
                }
                for (group, capture) in self.captures.iter_mut().enumerate() {
                    *capture = locations.get(group).map_or(Capture::None, |(from, to)| Capture::Text(from, to));
                }
                true
            }
        }
    }
}

fn text_into(sink: &Sink, text: &[u8], rows: &mut Rows<'_>) -> Option<()> {
    if text.is_empty() {
        return Some(());
    }
    match sink.ty {
        FieldType::Int => rows.int(sink.field, number::text_int(text)?),
        FieldType::Float => rows.float(sink.field, number::float(text)?),
        FieldType::Bool => rows.bool(sink.field, number::text_bool(text)?),
        FieldType::String => {}
    }
    Some(())
}

fn number_into(sink: &Sink, value: i64, rows: &mut Rows<'_>) -> Result<(), Refusal> {
    match sink.ty {
        FieldType::Int => rows.int(sink.field, value),
        FieldType::Float => rows.float(sink.field, value as f64),
        FieldType::Bool => return Err(Refusal::WrongType),
        FieldType::String => {
            let from = rows.extra.len();
            write!(rows.extra, "{value}").expect("a vector takes all");
            let span = rows.extra_span(from)?;
            rows.str(sink.field, span);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
