//! Requests in OTLP JSON: resources, scopes, spans and log records. Data points are in [`super::json_metrics`].
//!
//! The text is walked once, in place, as protobuf is. Keys are those of the specification (lower camel case); what is
//! not known is stepped over, but held to the grammar. Where a thing that is carried (a resource, a scope, the
//! temporality) may still follow what it is carried to, the latter is stepped over first and read afterwards (`O2`).
//!
//! Numbers of 64 bits may be strings, enumerations may be names, ids are hex in either case. `null` is as good as
//! missing everywhere.

use super::buckets::Buckets;
use super::cells::{Any, List, Times, Writer, append_json, append_quoted};
use super::plan::{Keys, Slot};
use super::wire::Range;
use crate::decode::fault::Fault;
use crate::decode::json::skip::{Skipper, blanks};
use crate::decode::json::string;
use crate::decode::number;
use crate::model::batch::StrSpan;
use crate::model::refusal::Refusal;
use crate::model::schema::OtlpSignal;

/// Reads one request.
pub(super) struct Reader<'x, 'r> {
    pub writer: Writer<'x, 'r>,
    pub buf: &'x [u8],
    pub buckets: &'x mut Buckets,
    skipper: &'x mut Skipper,
    scratch: &'x mut Vec<u8>,
    message: Range,
    /// Objects and arrays around.
    depth: usize,
}

/// A value that is no object and no array. Ranges of strings are between the quotes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token {
    Null,
    Bool(bool),
    Number(Range),
    Text(Range),
    Other,
}

impl<'x, 'r> Reader<'x, 'r> {
    pub fn new(
        writer: Writer<'x, 'r>,
        buckets: &'x mut Buckets,
        skipper: &'x mut Skipper,
        scratch: &'x mut Vec<u8>,
        message: Range,
    ) -> Self {
        Reader { buf: writer.buf, writer, buckets, skipper, scratch, message, depth: 0 }
    }

    /// `{"resourceSpans": […]}` and its like, and nothing after it.
    pub fn request(mut self) -> Result<(), Fault> {
        let Range { from, to } = self.message;
        if let Err(error) = std::str::from_utf8(&self.buf[from..to]) {
            return Err(Fault { reason: Refusal::NotUtf8, at: from + error.valid_up_to() });
        }
        let resources: &[u8] = match self.writer.plan.signal {
            OtlpSignal::Spans => b"resourceSpans",
            OtlpSignal::Logs => b"resourceLogs",
            OtlpSignal::Metrics => b"resourceMetrics",
        };
        let after = self.object(from, |reader, key, at| match key == resources {
            true => reader.array(at, Self::resource),
            false => reader.skip(at),
        })?;
        match blanks(self.buf, after) {
            rest if rest < to => Err(Fault::malformed(rest)),
            _ => Ok(()),
        }
    }

    fn resource(&mut self, at: usize) -> Result<usize, Fault> {
        let scopes: &[u8] = match self.writer.plan.signal {
            OtlpSignal::Spans => b"scopeSpans",
            OtlpSignal::Logs => b"scopeLogs",
            OtlpSignal::Metrics => b"scopeMetrics",
        };
        self.level(at, b"resource", scopes, Self::carry_resource, Self::scope)
    }

    fn scope(&mut self, at: usize) -> Result<usize, Fault> {
        match self.writer.plan.signal {
            OtlpSignal::Spans => self.level(at, b"scope", b"spans", Self::carry_scope, Self::span),
            OtlpSignal::Logs => self.level(at, b"scope", b"logRecords", Self::carry_scope, Self::log),
            OtlpSignal::Metrics => self.level(at, b"scope", b"metrics", Self::carry_scope, Self::metric),
        }
    }

    /// An object with a head that is carried and a list of items it is carried to, in either order.
    fn level(
        &mut self,
        at: usize,
        head: &[u8],
        items: &[u8],
        carry: fn(&mut Self, usize) -> Result<usize, Fault>,
        each: fn(&mut Self, usize) -> Result<usize, Fault>,
    ) -> Result<usize, Fault> {
        let mark = self.writer.mark();
        let mut head_seen = false;
        let mut waiting = None;
        let after = self.object(at, |reader, key, at| {
            if key == head {
                head_seen = true;
                carry(reader, at)
            } else if key != items {
                reader.skip(at)
            } else if head_seen {
                reader.array(at, each)
            } else {
                waiting = Some(at);
                reader.skip(at)
            }
        })?;
        self.inside(waiting, |reader, at| reader.array(at, each))?;
        self.writer.back_to(mark);
        Ok(after)
    }

    fn carry_resource(&mut self, at: usize) -> Result<usize, Fault> {
        let plan = self.writer.plan;
        self.object(at, |reader, key, at| match key {
            b"attributes" => reader.attributes(at, &plan.resource, true),
            _ => reader.skip(at),
        })
    }

    fn carry_scope(&mut self, at: usize) -> Result<usize, Fault> {
        let plan = self.writer.plan;
        self.object(at, |reader, key, at| match key {
            b"name" => reader.carry_text(Slot::ScopeName, at),
            b"version" => reader.carry_text(Slot::ScopeVersion, at),
            b"attributes" => reader.attributes(at, &plan.scope, true),
            _ => reader.skip(at),
        })
    }

    fn span(&mut self, at: usize) -> Result<usize, Fault> {
        let plan = self.writer.plan;
        self.writer.open(at)?;
        let mut times = Times::default();
        let mut kind = Token::Null;
        let mut status = Token::Null;
        let after = self.object(at, |reader, key, at| match key {
            b"attributes" => reader.attributes(at, &plan.attributes, false),
            b"startTimeUnixNano" => reader.nanos(at, &mut times.start),
            b"endTimeUnixNano" => reader.nanos(at, &mut times.end),
            b"name" => reader.put_text(Slot::Name, at),
            b"traceState" => reader.put_text(Slot::TraceState, at),
            b"traceId" => reader.put_id(Slot::TraceId, at),
            b"spanId" => reader.put_id(Slot::SpanId, at),
            b"parentSpanId" => reader.put_id(Slot::ParentSpanId, at),
            b"kind" => reader.keep(at, &mut kind),
            b"status" => reader.object(at, |reader, key, at| match key {
                b"message" => reader.put_text(Slot::StatusMessage, at),
                b"code" => reader.keep(at, &mut status),
                _ => reader.skip(at),
            }),
            _ => reader.skip(at),
        })?;
        self.put_listed(Slot::Kind, List::Kind, "SPAN_KIND_", kind, at);
        self.put_listed(Slot::StatusCode, List::Status, "STATUS_CODE_", status, at);
        self.writer.close(times, raw(at, after), at);
        Ok(after)
    }

    fn log(&mut self, at: usize) -> Result<usize, Fault> {
        let plan = self.writer.plan;
        self.writer.open(at)?;
        let mut times = Times::default();
        let mut severity = Token::Null;
        let after = self.object(at, |reader, key, at| match key {
            b"attributes" => reader.attributes(at, &plan.attributes, false),
            b"timeUnixNano" => reader.nanos(at, &mut times.time),
            b"observedTimeUnixNano" => reader.nanos(at, &mut times.observed),
            b"severityNumber" => reader.keep(at, &mut severity),
            b"severityText" => reader.put_text(Slot::SeverityText, at),
            b"eventName" => reader.put_text(Slot::EventName, at),
            b"traceId" => reader.put_id(Slot::TraceId, at),
            b"spanId" => reader.put_id(Slot::SpanId, at),
            b"body" => reader.body(at),
            _ => reader.skip(at),
        })?;
        if plan.wants(Slot::SeverityNumber) {
            match self.severity(severity) {
                Some(number) => self.writer.put(Slot::SeverityNumber, Any::Int(number), at),
                None => self.writer.misfit(Fault { reason: Refusal::WrongType, at }),
            }
        }
        self.writer.close(times, raw(at, after), at);
        Ok(after)
    }

    fn body(&mut self, at: usize) -> Result<usize, Fault> {
        let plan = self.writer.plan;
        let after = self.skip(at)?;
        if plan.wants(Slot::Body) {
            match self.any(at) {
                Ok(any) => self.writer.put(Slot::Body, any, at),
                Err(fault) => self.writer.misfit(fault),
            }
        }
        if !plan.body.is_empty() && self.buf[at] == b'{' {
            self.object(at, |reader, key, at| match key {
                b"kvlistValue" => reader.object(at, |reader, key, at| match key {
                    b"values" => reader.attributes(at, &plan.body, false),
                    _ => reader.skip(at),
                }),
                _ => reader.skip(at),
            })?;
        }
        Ok(after)
    }

    /// A list of `{"key": …, "value": …}`: into the open row, or carried.
    pub fn attributes(&mut self, at: usize, keys: &Keys, carried: bool) -> Result<usize, Fault> {
        if keys.is_empty() {
            return self.skip(at);
        }
        self.array(at, |reader, at| {
            let (key, value, after) = reader.key_value(at)?;
            let (Some(key), Some(value)) = (key, value) else { return Ok(after) };
            let key = reader.plain(key)?;
            if let Some(sinks) = keys.find(key) {
                match (reader.any(value), carried) {
                    (Ok(any), true) => reader.writer.carry(sinks, any, value),
                    (Ok(any), false) => reader.writer.put_all(sinks, any, value),
                    (Err(fault), true) => reader.writer.carry_fault(fault),
                    (Err(fault), false) => reader.writer.misfit(fault),
                }
            }
            Ok(after)
        })
    }

    /// The key's text, where the value starts (both have been stepped over), and the end of the whole.
    fn key_value(&mut self, at: usize) -> Result<(Option<Range>, Option<usize>, usize), Fault> {
        let (mut key, mut value) = (None, None);
        let after = self.object(at, |reader, name, at| match name {
            b"key" => {
                let (token, after) = reader.token(at)?;
                if let Token::Text(text) = token {
                    key = Some(text);
                }
                Ok(after)
            }
            b"value" => {
                value = Some(at);
                reader.skip(at)
            }
            _ => reader.skip(at),
        })?;
        Ok((key, value, after))
    }

    /// A string's text without its escapes.
    fn plain(&mut self, text: Range) -> Result<&[u8], Fault> {
        let raw = &self.buf[text.from..text.to];
        if memchr::memchr(b'\\', raw).is_none() {
            return Ok(raw);
        }
        self.scratch.clear();
        string::unescape(raw, self.scratch).map_err(|bad| Fault::malformed(text.from + bad))?;
        Ok(self.scratch)
    }

    /// An attribute's value, which is known to be JSON. `Err`: it does not fit.
    fn any(&mut self, at: usize) -> Result<Any, Fault> {
        let depth = self.depth;
        let any = self.any_value(at);
        // An error leaves the objects it happened in without leaving their levels.
        self.depth = depth;
        any
    }

    fn any_value(&mut self, at: usize) -> Result<Any, Fault> {
        let mut any = Any::Null;
        let wrong = |at: usize| Fault { reason: Refusal::WrongType, at };
        if !matches!(self.buf[at], b'{' | b'n') {
            return Err(wrong(at));
        }
        self.object(at, |reader, key, at| {
            if let b"arrayValue" | b"kvlistValue" = key {
                any = reader.composite(at, key == b"kvlistValue")?;
                return reader.skip(at);
            }
            let (token, after) = reader.token(at)?;
            any = match (key, token) {
                (_, Token::Null) => any,
                (b"stringValue", Token::Text(text)) => Any::Str(reader.text_span(text)?),
                (b"bytesValue", Token::Text(text)) => Any::Text(reader.text_span(text)?),
                (b"boolValue", Token::Bool(value)) => Any::Bool(value),
                (b"intValue", token) => Any::Int(reader.integer(token).ok_or(wrong(at))?),
                (b"doubleValue", token) => Any::Double(reader.double(token).ok_or(wrong(at))?),
                (b"stringValue" | b"bytesValue" | b"boolValue", _) => return Err(wrong(at)),
                _ => any,
            };
            Ok(after)
        })?;
        Ok(any)
    }

    fn composite(&mut self, at: usize, map: bool) -> Result<Any, Fault> {
        let mut text = Vec::new();
        self.list_text(at, map, &mut text)?;
        self.writer
            .text(|into| {
                into.extend_from_slice(&text);
                Ok(())
            })
            .map(Any::Text)
    }

    /// `{"values": […]}` as JSON text.
    fn list_text(&mut self, at: usize, map: bool, into: &mut Vec<u8>) -> Result<usize, Fault> {
        into.push(if map { b'{' } else { b'[' });
        let mut first = true;
        let after = self.object(at, |reader, key, at| {
            if key != b"values" {
                return reader.skip(at);
            }
            reader.array(at, |reader, at| {
                if !std::mem::take(&mut first) {
                    into.push(b',');
                }
                if !map {
                    return reader.any_text(at, into);
                }
                let (key, value, after) = reader.key_value(at)?;
                let key = reader.plain(key.unwrap_or(Range { from: at, to: at }))?;
                append_quoted(key, into);
                into.push(b':');
                match value {
                    Some(value) => drop(reader.any_text(value, into)?),
                    None => into.extend_from_slice(b"null"),
                }
                Ok(after)
            })
        })?;
        into.push(if map { b'}' } else { b']' });
        Ok(after)
    }

    fn any_text(&mut self, at: usize, into: &mut Vec<u8>) -> Result<usize, Fault> {
        let from = into.len();
        let wrong = |at: usize| Fault { reason: Refusal::WrongType, at };
        let after = self.object(at, |reader, key, at| {
            // Of several values the last one counts.
            into.truncate(from);
            if let b"arrayValue" | b"kvlistValue" = key {
                return reader.list_text(at, key == b"kvlistValue", into);
            }
            let (token, after) = reader.token(at)?;
            match (key, token) {
                (b"stringValue" | b"bytesValue", Token::Text(text)) => append_quoted(reader.plain(text)?, into),
                (b"boolValue", Token::Bool(value)) => append_json(Any::Bool(value), into),
                (b"intValue", token) => append_json(Any::Int(reader.integer(token).ok_or(wrong(at))?), into),
                (b"doubleValue", token) => append_json(Any::Double(reader.double(token).ok_or(wrong(at))?), into),
                _ => {}
            }
            Ok(after)
        })?;
        if into.len() == from {
            into.extend_from_slice(b"null");
        }
        Ok(after)
    }

    /// A built-in that is text; empty is unset.
    pub fn put_text(&mut self, slot: Slot, at: usize) -> Result<usize, Fault> {
        let (token, after) = self.token(at)?;
        if self.writer.plan.wants(slot) {
            match self.text(token, at) {
                Ok(any) => self.writer.put(slot, any, at),
                Err(fault) => self.writer.misfit(fault),
            }
        }
        Ok(after)
    }

    pub fn carry_text(&mut self, slot: Slot, at: usize) -> Result<usize, Fault> {
        let (token, after) = self.token(at)?;
        let sinks = self.writer.plan.sinks(slot);
        if !sinks.is_empty() {
            match self.text(token, at) {
                Ok(any) => self.writer.carry(sinks, any, at),
                Err(fault) => self.writer.carry_fault(fault),
            }
        }
        Ok(after)
    }

    fn text(&mut self, token: Token, at: usize) -> Result<Any, Fault> {
        match token {
            Token::Null => Ok(Any::Null),
            Token::Text(text) if text.from == text.to => Ok(Any::Null),
            Token::Text(text) => Ok(Any::Str(self.text_span(text)?)),
            _ => Err(Fault { reason: Refusal::WrongType, at }),
        }
    }

    /// A string as a span; unescaped into `extra` when it has escapes.
    fn text_span(&mut self, text: Range) -> Result<StrSpan, Fault> {
        let raw = &self.buf[text.from..text.to];
        if memchr::memchr(b'\\', raw).is_none() {
            return Ok(StrSpan::payload(text.from as u32, raw.len() as u32));
        }
        self.writer.text(|into| string::unescape(raw, into).map_err(|bad| Fault::malformed(text.from + bad)))
    }

    fn put_id(&mut self, slot: Slot, at: usize) -> Result<usize, Fault> {
        let (token, after) = self.token(at)?;
        if !self.writer.plan.wants(slot) {
            return Ok(after);
        }
        match token {
            Token::Null => {}
            Token::Text(Range { from, to }) if self.buf[from..to].iter().all(u8::is_ascii_hexdigit) => {
                let raw = &self.buf[from..to];
                if raw.iter().any(u8::is_ascii_uppercase) {
                    let span = self.writer.text(|into| {
                        into.extend(raw.iter().map(u8::to_ascii_lowercase));
                        Ok(())
                    })?;
                    self.writer.put(slot, Any::Str(span), at);
                } else if raw.iter().any(|digit| *digit != b'0') {
                    self.writer.put(slot, Any::Str(StrSpan::payload(from as u32, raw.len() as u32)), at);
                }
            }
            _ => self.writer.misfit(Fault { reason: Refusal::WrongType, at }),
        }
        Ok(after)
    }

    /// Nanoseconds since the epoch, as a number or a string.
    pub fn nanos(&mut self, at: usize, into: &mut u64) -> Result<usize, Fault> {
        let (token, after) = self.token(at)?;
        match (token, self.integer(token).map(u64::try_from)) {
            (Token::Null, _) => {}
            (_, Some(Ok(nanos))) => *into = nanos,
            _ => self.writer.misfit(Fault { reason: Refusal::BadTime, at }),
        }
        Ok(after)
    }

    /// Remembers a value for when the object has been read.
    pub fn keep(&mut self, at: usize, into: &mut Token) -> Result<usize, Fault> {
        let (token, after) = self.token(at)?;
        *into = token;
        Ok(after)
    }

    fn put_listed(&mut self, slot: Slot, list: List, prefix: &str, token: Token, at: usize) {
        if !self.writer.plan.wants(slot) {
            return;
        }
        match self.listed(list, prefix, token) {
            Some(any) => self.writer.put(slot, any, at),
            None => self.writer.misfit(Fault { reason: Refusal::WrongType, at }),
        }
    }

    /// An enumeration's value, by number or by name; 0 when it is missing.
    pub fn listed(&self, list: List, prefix: &str, token: Token) -> Option<Any> {
        let number = match token {
            Token::Null => 0,
            Token::Text(text) if !number::is_number(&self.buf[text.from..text.to]) => {
                let name = self.buf[text.from..text.to].strip_prefix(prefix.as_bytes())?;
                let known = list.names().iter().position(|known| known.as_bytes().eq_ignore_ascii_case(name))?;
                known as i64
            }
            token => self.integer(token)?,
        };
        Some(self.writer.listed(list, number))
    }

    /// `17`, `"SEVERITY_NUMBER_ERROR"`: six levels of four numbers each, the first of them without a number.
    fn severity(&self, token: Token) -> Option<i64> {
        const LEVELS: [&[u8]; 6] = [b"TRACE", b"DEBUG", b"INFO", b"WARN", b"ERROR", b"FATAL"];
        match token {
            Token::Null => Some(0),
            Token::Text(text) if !number::is_number(&self.buf[text.from..text.to]) => {
                let name = self.buf[text.from..text.to].strip_prefix(b"SEVERITY_NUMBER_")?;
                if name == b"UNSPECIFIED" {
                    return Some(0);
                }
                let level = LEVELS.iter().position(|level| name.starts_with(level))?;
                let within = match &name[LEVELS[level].len()..] {
                    b"" => 1,
                    [digit @ b'2'..=b'4'] => i64::from(digit - b'0'),
                    _ => return None,
                };
                Some(level as i64 * 4 + within)
            }
            token => self.integer(token),
        }
    }

    pub fn integer(&self, token: Token) -> Option<i64> {
        match token {
            Token::Number(text) | Token::Text(text) => {
                let text = &self.buf[text.from..text.to];
                number::is_number(text).then(|| number::integer(text))?
            }
            _ => None,
        }
    }

    pub fn double(&self, token: Token) -> Option<f64> {
        match token {
            Token::Number(text) | Token::Text(text) => match &self.buf[text.from..text.to] {
                b"NaN" => Some(f64::NAN),
                b"Infinity" => Some(f64::INFINITY),
                b"-Infinity" => Some(f64::NEG_INFINITY),
                text => number::is_number(text).then(|| number::float(text))?,
            },
            _ => None,
        }
    }

    /// The members of an object; `null` has none.
    pub fn object(
        &mut self,
        at: usize,
        mut member: impl FnMut(&mut Self, &'x [u8], usize) -> Result<usize, Fault>,
    ) -> Result<usize, Fault> {
        let (buf, end) = (self.buf, self.message.to);
        let mut at = blanks(buf, at);
        if at >= end || buf[at] != b'{' {
            return self.null(at);
        }
        self.enter(at)?;
        at = blanks(buf, at + 1);
        if buf[at] == b'}' && at < end {
            self.depth -= 1;
            return Ok(at + 1);
        }
        loop {
            if at >= end || buf[at] != b'"' {
                return Err(Fault::malformed(at));
            }
            let close = string::end(buf, at + 1, end).map_err(Fault::malformed)?;
            let colon = blanks(buf, close + 1);
            if buf[colon] != b':' {
                return Err(Fault::malformed(colon));
            }
            let value = blanks(buf, colon + 1);
            if value >= end {
                return Err(Fault::malformed(end));
            }
            at = blanks(buf, member(self, &buf[at + 1..close], value)?);
            match buf[at] {
                _ if at >= end => return Err(Fault::malformed(end)),
                b',' => at = blanks(buf, at + 1),
                b'}' => {
                    self.depth -= 1;
                    return Ok(at + 1);
                }
                _ => return Err(Fault::malformed(at)),
            }
        }
    }

    /// The elements of an array; `null` has none.
    pub fn array(
        &mut self,
        at: usize,
        mut element: impl FnMut(&mut Self, usize) -> Result<usize, Fault>,
    ) -> Result<usize, Fault> {
        let (buf, end) = (self.buf, self.message.to);
        let mut at = blanks(buf, at);
        if at >= end || buf[at] != b'[' {
            return self.null(at);
        }
        self.enter(at)?;
        at = blanks(buf, at + 1);
        if buf[at] == b']' && at < end {
            self.depth -= 1;
            return Ok(at + 1);
        }
        loop {
            if at >= end {
                return Err(Fault::malformed(end));
            }
            at = blanks(buf, element(self, at)?);
            match buf[at] {
                _ if at >= end => return Err(Fault::malformed(end)),
                b',' => at = blanks(buf, at + 1),
                b']' => {
                    self.depth -= 1;
                    return Ok(at + 1);
                }
                _ => return Err(Fault::malformed(at)),
            }
        }
    }

    /// Reads a value that was stepped over, one level inside the object it is of.
    pub fn inside(
        &mut self,
        at: Option<usize>,
        read: impl FnOnce(&mut Self, usize) -> Result<usize, Fault>,
    ) -> Result<(), Fault> {
        if let Some(at) = at {
            self.depth += 1;
            read(self, at)?;
            self.depth -= 1;
        }
        Ok(())
    }

    /// What stands where an object or an array should: only `null` may.
    fn null(&mut self, at: usize) -> Result<usize, Fault> {
        match self.token(at)? {
            (Token::Null, after) => Ok(after),
            _ => Err(Fault::malformed(at)),
        }
    }

    fn enter(&mut self, at: usize) -> Result<(), Fault> {
        if self.depth >= self.writer.plan.depth_max {
            return Err(Fault { reason: Refusal::TooDeep, at });
        }
        self.depth += 1;
        Ok(())
    }

    pub fn skip(&mut self, at: usize) -> Result<usize, Fault> {
        if at >= self.message.to {
            return Err(Fault::malformed(self.message.to));
        }
        let left = self.writer.plan.depth_max - self.depth;
        self.skipper.value(self.buf, at, self.message.to, left)
    }

    /// Steps over a value and says what it is.
    pub fn token(&mut self, at: usize) -> Result<(Token, usize), Fault> {
        let after = self.skip(at)?;
        let token = match self.buf[at] {
            b'"' => Token::Text(Range { from: at + 1, to: after - 1 }),
            b'n' => Token::Null,
            b't' => Token::Bool(true),
            b'f' => Token::Bool(false),
            b'{' | b'[' => Token::Other,
            _ => Token::Number(Range { from: at, to: after }),
        };
        Ok((token, after))
    }
}

fn raw(from: usize, to: usize) -> StrSpan {
    StrSpan::payload(from as u32, (to - from) as u32)
}
