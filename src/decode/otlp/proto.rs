//! Requests in protobuf: resources, scopes, spans and log records. Data points are in [`super::proto_metrics`].
//!
//! Field numbers are those of `opentelemetry/proto/{common,resource,trace,logs}/v1`.

use super::buckets::Buckets;
use super::cells::{Any, List, Times, Writer, append_base64, append_json, append_quoted};
use super::plan::{Keys, Slot};
use super::wire::{Payload, Range, Wire};
use crate::decode::fault::Fault;
use crate::model::batch::StrSpan;
use crate::model::refusal::Refusal;
use crate::model::schema::OtlpSignal;

/// Messages around an attribute's value: request, resource spans, scope spans, span, attribute.
const ATTRIBUTE_DEPTH: usize = 5;

/// Walks one request.
pub(super) struct Walker<'x, 'r> {
    pub writer: Writer<'x, 'r>,
    pub buf: &'x [u8],
    pub buckets: &'x mut Buckets,
}

impl<'x, 'r> Walker<'x, 'r> {
    pub fn new(writer: Writer<'x, 'r>, buckets: &'x mut Buckets) -> Self {
        Walker { buf: writer.buf, writer, buckets }
    }

    /// `TracesData`, `LogsData` or `MetricsData`: they are alike down to the scope.
    pub fn request(mut self, message: Range) -> Result<(), Fault> {
        let mut wire = Wire::new(self.buf, message);
        while let Some((field, payload)) = wire.next()? {
            if let (1, Payload::Bytes(resource)) = (field, payload) {
                self.resource(resource)?;
            }
        }
        Ok(())
    }

    /// `ResourceSpans` and its like. The resource comes first by custom only (`O2`).
    fn resource(&mut self, message: Range) -> Result<(), Fault> {
        let mark = self.writer.mark();
        let plan = self.writer.plan;
        if !plan.resource.is_empty() {
            let mut wire = Wire::new(self.buf, message);
            while let Some((field, payload)) = wire.next()? {
                if let (1, Payload::Bytes(resource)) = (field, payload) {
                    self.carry_attributes(resource, 1, &plan.resource)?;
                }
            }
        }
        let mut wire = Wire::new(self.buf, message);
        while let Some((field, payload)) = wire.next()? {
            if let (2, Payload::Bytes(scope)) = (field, payload) {
                self.scope(scope)?;
            }
        }
        self.writer.back_to(mark);
        Ok(())
    }

    /// `ScopeSpans` and its like.
    fn scope(&mut self, message: Range) -> Result<(), Fault> {
        let mark = self.writer.mark();
        let plan = self.writer.plan;
        if !plan.scope.is_empty() || plan.wants(Slot::ScopeName) || plan.wants(Slot::ScopeVersion) {
            let mut wire = Wire::new(self.buf, message);
            while let Some((field, payload)) = wire.next()? {
                if let (1, Payload::Bytes(scope)) = (field, payload) {
                    self.carry_scope(scope)?;
                }
            }
        }
        let mut wire = Wire::new(self.buf, message);
        while let Some((field, payload)) = wire.next()? {
            if let (2, Payload::Bytes(item)) = (field, payload) {
                match plan.signal {
                    OtlpSignal::Spans => self.span(item)?,
                    OtlpSignal::Logs => self.log(item)?,
                    OtlpSignal::Metrics => self.metric(item)?,
                }
            }
        }
        self.writer.back_to(mark);
        Ok(())
    }

    fn carry_scope(&mut self, message: Range) -> Result<(), Fault> {
        let plan = self.writer.plan;
        let mut wire = Wire::new(self.buf, message);
        while let Some((field, payload)) = wire.next()? {
            match (field, payload) {
                (1, Payload::Bytes(name)) => self.carry_text(Slot::ScopeName, name),
                (2, Payload::Bytes(version)) => self.carry_text(Slot::ScopeVersion, version),
                _ => {}
            }
        }
        self.carry_attributes(message, 3, &plan.scope)
    }

    pub fn carry_text(&mut self, slot: Slot, text: Range) {
        let sinks = self.writer.plan.sinks(slot);
        if sinks.is_empty() || text.from == text.to {
            return;
        }
        match self.text(text) {
            Ok(any) => self.writer.carry(sinks, any, text.from),
            Err(fault) => self.writer.carry_fault(fault),
        }
    }

    /// The attributes of a resource or scope, which are its field `attributes`.
    fn carry_attributes(&mut self, message: Range, attributes: u32, keys: &Keys) -> Result<(), Fault> {
        let mut wire = Wire::new(self.buf, message);
        while let Some((field, payload)) = wire.next()? {
            let Payload::Bytes(attribute) = payload else { continue };
            if field != attributes {
                continue;
            }
            let (key, value) = self.key_value(attribute)?;
            if let Some(sinks) = keys.find(&self.buf[key.from..key.to]) {
                match self.any(value, ATTRIBUTE_DEPTH)? {
                    Ok(any) => self.writer.carry(sinks, any, value.from),
                    Err(fault) => self.writer.carry_fault(fault),
                }
            }
        }
        Ok(())
    }

    fn span(&mut self, message: Range) -> Result<(), Fault> {
        let plan = self.writer.plan;
        self.writer.open(message.from)?;
        let mut times = Times::default();
        let mut kind = 0;
        let mut status = 0;
        let mut wire = Wire::new(self.buf, message);
        while let Some((field, payload)) = wire.next()? {
            match (field, payload) {
                (9, Payload::Bytes(attribute)) => self.attribute(attribute, &plan.attributes)?,
                (7, Payload::Fixed64(nanos)) => times.start = nanos,
                (8, Payload::Fixed64(nanos)) => times.end = nanos,
                (5, Payload::Bytes(text)) => self.put_text(Slot::Name, text),
                (6, Payload::Varint(number)) => kind = number as i32,
                (1, Payload::Bytes(id)) => self.put_id(Slot::TraceId, id),
                (2, Payload::Bytes(id)) => self.put_id(Slot::SpanId, id),
                (4, Payload::Bytes(id)) => self.put_id(Slot::ParentSpanId, id),
                (3, Payload::Bytes(text)) => self.put_text(Slot::TraceState, text),
                (15, Payload::Bytes(message)) => status = self.status(message)?,
                _ => {}
            }
        }
        if plan.wants(Slot::Kind) {
            let kind = self.writer.listed(List::Kind, kind.into());
            self.writer.put(Slot::Kind, kind, message.from);
        }
        if plan.wants(Slot::StatusCode) {
            let status = self.writer.listed(List::Status, status.into());
            self.writer.put(Slot::StatusCode, status, message.from);
        }
        self.writer.close(times, StrSpan::NULL, message.from);
        Ok(())
    }

    fn status(&mut self, message: Range) -> Result<i32, Fault> {
        let mut code = 0;
        let mut wire = Wire::new(self.buf, message);
        while let Some((field, payload)) = wire.next()? {
            match (field, payload) {
                (2, Payload::Bytes(text)) => self.put_text(Slot::StatusMessage, text),
                (3, Payload::Varint(number)) => code = number as i32,
                _ => {}
            }
        }
        Ok(code)
    }

    fn log(&mut self, message: Range) -> Result<(), Fault> {
        let plan = self.writer.plan;
        self.writer.open(message.from)?;
        let mut times = Times::default();
        let mut severity = 0;
        let mut wire = Wire::new(self.buf, message);
        while let Some((field, payload)) = wire.next()? {
            match (field, payload) {
                (6, Payload::Bytes(attribute)) => self.attribute(attribute, &plan.attributes)?,
                (1, Payload::Fixed64(nanos)) => times.time = nanos,
                (11, Payload::Fixed64(nanos)) => times.observed = nanos,
                (2, Payload::Varint(number)) => severity = number as i32,
                (3, Payload::Bytes(text)) => self.put_text(Slot::SeverityText, text),
                (5, Payload::Bytes(value)) => self.body(value)?,
                (9, Payload::Bytes(id)) => self.put_id(Slot::TraceId, id),
                (10, Payload::Bytes(id)) => self.put_id(Slot::SpanId, id),
                (12, Payload::Bytes(text)) => self.put_text(Slot::EventName, text),
                _ => {}
            }
        }
        self.writer.put(Slot::SeverityNumber, Any::Int(severity.into()), message.from);
        self.writer.close(times, StrSpan::NULL, message.from);
        Ok(())
    }

    fn body(&mut self, value: Range) -> Result<(), Fault> {
        let plan = self.writer.plan;
        if plan.wants(Slot::Body) {
            match self.any(value, ATTRIBUTE_DEPTH - 1)? {
                Ok(any) => self.writer.put(Slot::Body, any, value.from),
                Err(fault) => self.writer.misfit(fault),
            }
        }
        if !plan.body.is_empty() {
            let mut wire = Wire::new(self.buf, value);
            while let Some((field, payload)) = wire.next()? {
                let (6, Payload::Bytes(map)) = (field, payload) else { continue };
                let mut wire = Wire::new(self.buf, map);
                while let Some((field, payload)) = wire.next()? {
                    if let (1, Payload::Bytes(member)) = (field, payload) {
                        self.attribute(member, &plan.body)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// One attribute of the open row.
    #[inline]
    pub fn attribute(&mut self, message: Range, keys: &Keys) -> Result<(), Fault> {
        let (key, value) = self.key_value(message)?;
        if let Some(sinks) = keys.find(&self.buf[key.from..key.to]) {
            match self.any(value, ATTRIBUTE_DEPTH)? {
                Ok(any) => self.writer.put_all(sinks, any, value.from),
                Err(fault) => self.writer.misfit(fault),
            }
        }
        Ok(())
    }

    /// A `KeyValue`: the key's text and the value's message.
    #[inline(always)]
    fn key_value(&self, message: Range) -> Result<(Range, Range), Fault> {
        let mut key = Range { from: message.from, to: message.from };
        let mut value = key;
        let mut wire = Wire::new(self.buf, message);
        while let Some((field, payload)) = wire.next()? {
            match (field, payload) {
                (1, Payload::Bytes(text)) => key = text,
                (2, Payload::Bytes(any)) => value = any,
                _ => {}
            }
        }
        Ok((key, value))
    }

    /// An `AnyValue`. The outer error is of the message, the inner one of this value.
    fn any(&mut self, message: Range, depth: usize) -> Result<Result<Any, Fault>, Fault> {
        let mut any = Any::Null;
        let mut wire = Wire::new(self.buf, message);
        while let Some((field, payload)) = wire.next()? {
            any = match (field, payload) {
                (1, Payload::Bytes(text)) => match self.text(text) {
                    Ok(any) => any,
                    Err(fault) => return Ok(Err(fault)),
                },
                (2, Payload::Varint(value)) => Any::Bool(value != 0),
                (3, Payload::Varint(value)) => Any::Int(value as i64),
                (4, Payload::Fixed64(bits)) => Any::Double(f64::from_bits(bits)),
                (5..=7, Payload::Bytes(_)) => {
                    let buf = self.buf;
                    let depth_max = self.writer.plan.depth_max;
                    let made = self.writer.text(|into| match (field, payload) {
                        (7, Payload::Bytes(bytes)) => {
                            append_base64(&buf[bytes.from..bytes.to], into);
                            Ok(())
                        }
                        _ => any_text(buf, message, depth, depth_max, into),
                    });
                    match made {
                        Ok(span) => Any::Text(span),
                        Err(fault) if fault.reason == Refusal::Malformed => return Err(fault),
                        Err(fault) => return Ok(Err(fault)),
                    }
                }
                _ => any,
            };
        }
        Ok(Ok(any))
    }

    /// Text of the payload, which must be UTF-8 (`B1`).
    #[inline]
    pub fn text(&self, text: Range) -> Result<Any, Fault> {
        utf8(self.buf, text)?;
        Ok(Any::Str(StrSpan::payload(text.from as u32, (text.to - text.from) as u32)))
    }

    /// A built-in that is text; empty is unset.
    #[inline]
    pub fn put_text(&mut self, slot: Slot, text: Range) {
        if self.writer.plan.wants(slot) && text.from < text.to {
            match self.text(text) {
                Ok(any) => self.writer.put(slot, any, text.from),
                Err(fault) => self.writer.misfit(fault),
            }
        }
    }

    #[inline]
    fn put_id(&mut self, slot: Slot, id: Range) {
        if self.writer.plan.wants(slot) {
            match self.writer.hex(&self.buf[id.from..id.to]) {
                Ok(any) => self.writer.put(slot, any, id.from),
                Err(reason) => self.writer.misfit(Fault { reason, at: id.from }),
            }
        }
    }
}

#[inline]
fn utf8(buf: &[u8], text: Range) -> Result<&[u8], Fault> {
    let bytes = &buf[text.from..text.to];
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Fault { reason: Refusal::NotUtf8, at: text.from + error.valid_up_to() }),
    }
}

/// An `AnyValue` as JSON text. Rare: only for arrays and maps that a field reads as a string.
fn any_text(buf: &[u8], message: Range, depth: usize, depth_max: usize, into: &mut Vec<u8>) -> Result<(), Fault> {
    if depth > depth_max {
        return Err(Fault { reason: Refusal::TooDeep, at: message.from });
    }
    let from = into.len();
    let mut wire = Wire::new(buf, message);
    while let Some((field, payload)) = wire.next()? {
        if !(1..=7).contains(&field) {
            continue;
        }
        // Of several values of a `oneof` the last one counts.
        into.truncate(from);
        match (field, payload) {
            (1, Payload::Bytes(text)) => append_quoted(utf8(buf, text)?, into),
            (2, Payload::Varint(value)) => append_json(Any::Bool(value != 0), into),
            (3, Payload::Varint(value)) => append_json(Any::Int(value as i64), into),
            (4, Payload::Fixed64(bits)) => append_json(Any::Double(f64::from_bits(bits)), into),
            (5 | 6, Payload::Bytes(list)) => list_text(buf, list, field == 6, depth, depth_max, into)?,
            (7, Payload::Bytes(bytes)) => {
                into.push(b'"');
                append_base64(&buf[bytes.from..bytes.to], into);
                into.push(b'"');
            }
            _ => {}
        }
    }
    if into.len() == from {
        into.extend_from_slice(b"null");
    }
    Ok(())
}

/// An `ArrayValue`, or a `KeyValueList` when `map`.
fn list_text(
    buf: &[u8],
    list: Range,
    map: bool,
    depth: usize,
    depth_max: usize,
    into: &mut Vec<u8>,
) -> Result<(), Fault> {
    into.push(if map { b'{' } else { b'[' });
    let mut first = true;
    let mut wire = Wire::new(buf, list);
    while let Some((field, payload)) = wire.next()? {
        let (1, Payload::Bytes(element)) = (field, payload) else { continue };
        if !std::mem::take(&mut first) {
            into.push(b',');
        }
        let mut value = element;
        if map {
            let (mut key, empty) = (Range { from: 0, to: 0 }, Range { from: element.to, to: element.to });
            value = empty;
            let mut wire = Wire::new(buf, element);
            while let Some((field, payload)) = wire.next()? {
                match (field, payload) {
                    (1, Payload::Bytes(text)) => key = text,
                    (2, Payload::Bytes(any)) => value = any,
                    _ => {}
                }
            }
            append_quoted(utf8(buf, key)?, into);
            into.push(b':');
        }
        // An array is a message in a message; a map has one more.
        any_text(buf, value, depth + 2 + usize::from(map), depth_max, into)?;
    }
    into.push(if map { b'}' } else { b']' });
    Ok(())
}
