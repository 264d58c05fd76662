//! One object: keys by shape, values in place.

use super::fast;
use super::paths::{Action, Paths};
use super::shape::{Place, Shape, Step};
use super::skip::{self, Skipper, blanks};
use super::string;
use crate::decode::fault::Fault;
use crate::decode::rows::Rows;
use crate::decode::time::TimeReader;
use crate::decode::{DecoderError, number};
use crate::model::batch::StrSpan;
use crate::model::refusal::Refusal;
use crate::model::schema::StreamSchema;

/// Reads one object at a time into the open row.
pub(super) struct EventScanner {
    paths: Paths,
    shape: Shape,
    skipper: Skipper,
    /// The objects around the one being read: its context, and where its parent goes on.
    outer: Vec<(u16, Place)>,
    /// A key with escapes, unescaped.
    key: Vec<u8>,
    pub time: TimeReader,
    /// By field id: numbers may come as strings.
    numeric_strings: Vec<bool>,
    depth_max: usize,
    field_bytes_max: usize,
    /// Of the event being read: its time, and the first thing in it that does not fit.
    event_time: Option<i64>,
    misfit: Option<Fault>,
}

/// What the general scan found.
enum Found {
    Close { after: usize },
    Key { value: usize, action: Action, next: Place },
}

impl EventScanner {
    pub fn new(schema: &StreamSchema, needed: &[usize]) -> Result<EventScanner, DecoderError> {
        let paths = Paths::new(&schema.fields, needed, &schema.time.source)?;
        Ok(EventScanner {
            shape: Shape::new(paths.contexts()),
            paths,
            skipper: Skipper::default(),
            outer: Vec::new(),
            key: Vec::new(),
            time: TimeReader::new(&schema.time.format)?,
            numeric_strings: schema.fields.iter().map(|field| field.numeric_strings).collect(),
            depth_max: schema.budgets.depth_max,
            field_bytes_max: schema.budgets.field_bytes_max,
            event_time: None,
            misfit: None,
        })
    }

    /// The time of the object read last, and what does not fit in it.
    #[inline(always)]
    pub fn outcome(&self) -> (Option<i64>, Option<Fault>) {
        (self.event_time, self.misfit)
    }

    /// Steps over a value that stands where an object should.
    pub fn skip(&mut self, buf: &[u8], at: usize, end: usize) -> Result<usize, Fault> {
        self.skipper.value(buf, at, end, self.depth_max)
    }

    /// From the opening brace to just after the closing one. `Err` when it is not JSON; what merely does not fit is
    /// told by [`EventScanner::outcome`].
    pub fn object(&mut self, buf: &[u8], mut at: usize, end: usize, rows: &mut Rows<'_>) -> Result<usize, Fault> {
        self.shape.begin_event();
        self.outer.clear();
        self.event_time = None;
        self.misfit = None;
        if buf[at] != b'{' {
            return Err(Fault::malformed(at));
        }
        if self.depth_max == 0 {
            return Err(Fault { reason: Refusal::TooDeep, at });
        }
        let mut context = 0;
        let mut place = self.shape.start(context);
        loop {
            // Here `at` is at an opening brace, or just after a value.
            if buf[at] == b'}' && at < end {
                at += 1;
                match self.outer.pop() {
                    None => return Ok(at),
                    Some(outer) => (context, place) = outer,
                }
                continue;
            }
            let (action, next) = match self.shape.follow(place, buf, at) {
                Some(Step { len, action, next }) => {
                    at += len;
                    (action, next)
                }
                None => match self.general(context, place, buf, at, end)? {
                    Found::Key { value, action, next } => {
                        at = value;
                        (action, next)
                    }
                    Found::Close { after } => match self.outer.pop() {
                        None => return Ok(after),
                        Some(outer) => {
                            at = after;
                            (context, place) = outer;
                            continue;
                        }
                    },
                },
            };
            place = next;
            if at >= end {
                return Err(Fault::malformed(end));
            }
            at = match action {
                Action::Enter(inner) => {
                    at = blanks(buf, at);
                    if at >= end {
                        return Err(Fault::malformed(end));
                    }
                    if buf[at] == b'{' {
                        self.enter(at, (context, place))?;
                        context = inner;
                        place = self.shape.start(inner);
                        continue;
                    }
                    self.no_object(buf, at, end)?
                }
                _ => self.value(action, buf, at, end, rows)?,
            };
        }
    }

    #[inline]
    fn enter(&mut self, at: usize, outer: (u16, Place)) -> Result<(), Fault> {
        self.outer.push(outer);
        match self.outer.len() < self.depth_max {
            true => Ok(()),
            false => Err(Fault { reason: Refusal::TooDeep, at }),
        }
    }

    /// The way to a field leads through something else than an object.
    fn no_object(&mut self, buf: &[u8], at: usize, end: usize) -> Result<usize, Fault> {
        match buf[at] {
            b'n' => self.skip_inner(buf, at, end),
            _ => self.misfit(Refusal::WrongType, buf, at, end),
        }
    }

    /// Levels that may still be opened in the object being read.
    fn depth_left(&self) -> usize {
        self.depth_max - 1 - self.outer.len()
    }

    fn skip_inner(&mut self, buf: &[u8], at: usize, end: usize) -> Result<usize, Fault> {
        let depth = self.depth_left();
        self.skipper.value(buf, at, end, depth)
    }

    /// Reads to the next key or the closing brace as the grammar says, and learns what stood there.
    #[inline(never)]
    fn general(&mut self, context: u16, place: Place, buf: &[u8], from: usize, end: usize) -> Result<Found, Fault> {
        let mut at = blanks(buf, from);
        let opening = Shape::is_start(place, context);
        if opening {
            at = blanks(buf, at + 1);
        }
        if buf[at] == b'}' && at < end {
            return Ok(Found::Close { after: at + 1 });
        }
        if !opening {
            if buf[at] != b',' {
                return Err(Fault::malformed(at));
            }
            at = blanks(buf, at + 1);
        }
        if buf[at] != b'"' || at >= end {
            return Err(Fault::malformed(at));
        }
        let close = string::end(buf, at + 1, end).map_err(Fault::malformed)?;
        let key = &buf[at + 1..close];
        let key = if memchr::memchr(b'\\', key).is_some() {
            self.key.clear();
            string::unescape(key, &mut self.key).map_err(|bad| Fault::malformed(at + 1 + bad))?;
            &self.key
        } else {
            key
        };
        let colon = blanks(buf, close + 1);
        if buf[colon] != b':' {
            return Err(Fault::malformed(colon));
        }
        let value = blanks(buf, colon + 1);
        if value >= end {
            return Err(Fault::malformed(end));
        }
        let action = self.paths.action(context, key);
        let next = self.shape.learn(place, context, key, &buf[from..value], action);
        Ok(Found::Key { value, action, next })
    }

    #[inline(always)]
    fn value(
        &mut self,
        action: Action,
        buf: &[u8],
        at: usize,
        end: usize,
        rows: &mut Rows<'_>,
    ) -> Result<usize, Fault> {
        match self.usual(action, buf, at, end, rows) {
            Some(after) => Ok(after),
            None => self.unusual(action, buf, at, end, rows),
        }
    }

    /// The short roads, for values as most are. They may read past `end`, into a row that will not be taken: the caller
    /// finds out at once. Only the time, which a [`TimeReader`] may remember, is read with care.
    #[inline(always)]
    fn usual(&mut self, action: Action, buf: &[u8], at: usize, end: usize, rows: &mut Rows<'_>) -> Option<usize> {
        match action {
            Action::Skip => skip::usual(buf, at, end),
            Action::Str(field) => {
                if buf[at] != b'"' {
                    return None;
                }
                let stop = string::plain_end(buf, at + 1, end);
                let length = stop - (at + 1);
                if buf[stop] != b'"' || length > self.field_bytes_max {
                    return None;
                }
                rows.str(usize::from(field), StrSpan::payload(at as u32 + 1, length as u32));
                Some(stop + 1)
            }
            Action::Int(field) => {
                let (value, after) = fast::int(buf, at)?;
                rows.int(usize::from(field), value);
                Some(after)
            }
            Action::Float(field) => {
                let (value, after) = fast::float(buf, at)?;
                rows.float(usize::from(field), value);
                Some(after)
            }
            Action::Time => self.usual_time(buf, at, end),
            Action::Bool(_) | Action::Shared(_) | Action::Enter(_) => None,
        }
    }

    #[inline(always)]
    fn usual_time(&mut self, buf: &[u8], at: usize, end: usize) -> Option<usize> {
        if self.time.is_epoch() {
            let (value, after) = fast::int(buf, at)?;
            self.event_time = Some(self.time.integer(value)?);
            return Some(after);
        }
        if buf[at] != b'"' {
            return None;
        }
        let stop = string::plain_end(buf, at + 1, end);
        if stop >= end || buf[stop] != b'"' {
            return None;
        }
        self.event_time = Some(self.time.text(&buf[at + 1..stop])?);
        Some(stop + 1)
    }

    /// Everything that [`EventScanner::usual`] leaves.
    #[inline(never)]
    fn unusual(
        &mut self,
        action: Action,
        buf: &[u8],
        at: usize,
        end: usize,
        rows: &mut Rows<'_>,
    ) -> Result<usize, Fault> {
        let at = blanks(buf, at);
        if at >= end {
            return Err(Fault::malformed(end));
        }
        if let Action::Shared(index) = action {
            let mut after = at;
            for place in 0..self.paths.shared(index).len() {
                let action = self.paths.shared(index)[place];
                after = self.value(action, buf, at, end, rows)?;
            }
            return Ok(after);
        }
        // Whatever it is, it must be a value; only then its type matters (`J1`).
        let after = self.skip_inner(buf, at, end)?;
        if action == Action::Skip {
            return Ok(after);
        }
        if after >= end {
            return Err(Fault::malformed(end));
        }
        let text = &buf[at..after];
        let taken = match (action, text[0]) {
            (Action::Time, b'n') => {
                self.event_time = None;
                Ok(())
            }
            (Action::Time, _) => self.unusual_time(text),
            (Action::Str(field) | Action::Int(field) | Action::Float(field) | Action::Bool(field), b'n') => {
                rows.null(usize::from(field));
                Ok(())
            }
            (Action::Str(field), b'"') => self.escaped(usize::from(field), at, text, rows)?,
            (Action::Bool(field), b't' | b'f') => {
                rows.bool(usize::from(field), text[0] == b't');
                Ok(())
            }
            (Action::Int(field), b'-' | b'0'..=b'9') => int(usize::from(field), text, rows),
            (Action::Float(field), b'-' | b'0'..=b'9') => float(usize::from(field), text, rows),
            (Action::Int(field), b'"') if self.numeric_strings[usize::from(field)] => {
                self.numeric(text).and_then(|text| int(usize::from(field), text, rows))
            }
            (Action::Float(field), b'"') if self.numeric_strings[usize::from(field)] => {
                self.numeric(text).and_then(|text| float(usize::from(field), text, rows))
            }
            _ => Err(Refusal::WrongType),
        };
        if let Err(reason) = taken {
            self.note(reason, at);
        }
        Ok(after)
    }

    /// A string with escapes, or one that is too long.
    fn escaped(
        &mut self,
        field: usize,
        at: usize,
        text: &[u8],
        rows: &mut Rows<'_>,
    ) -> Result<Result<(), Refusal>, Fault> {
        let inner = &text[1..text.len() - 1];
        let span = if memchr::memchr(b'\\', inner).is_none() {
            StrSpan::payload(at as u32 + 1, inner.len() as u32)
        } else {
            let from = rows.extra.len();
            string::unescape(inner, rows.extra).map_err(|bad| Fault::malformed(at + 1 + bad))?;
            match rows.extra_span(from) {
                Ok(span) => span,
                Err(reason) => return Ok(Err(reason)),
            }
        };
        if span.len as usize > self.field_bytes_max {
            return Ok(Err(Refusal::FieldTooLong));
        }
        rows.str(field, span);
        Ok(Ok(()))
    }

    /// The number in a string. Escapes are no digits, so the text is looked at as it stands.
    fn numeric<'t>(&self, text: &'t [u8]) -> Result<&'t [u8], Refusal> {
        Some(&text[1..text.len() - 1]).filter(|text| number::is_number(text)).ok_or(Refusal::WrongType)
    }

    fn unusual_time(&mut self, text: &[u8]) -> Result<(), Refusal> {
        let time = match text[0] {
            b'"' if memchr::memchr(b'\\', text).is_some() => {
                self.key.clear();
                string::unescape(&text[1..text.len() - 1], &mut self.key).map_err(|_| Refusal::BadTime)?;
                self.time.text(&self.key)
            }
            b'"' => self.time.text(&text[1..text.len() - 1]),
            b'-' | b'0'..=b'9' => self.time.number(text),
            _ => None,
        };
        self.event_time = Some(time.ok_or(Refusal::BadTime)?);
        Ok(())
    }

    fn misfit(&mut self, reason: Refusal, buf: &[u8], at: usize, end: usize) -> Result<usize, Fault> {
        self.note(reason, at);
        self.skip_inner(buf, at, end)
    }

    /// Only the first misfit of an event is told (`J1`).
    #[cold]
    fn note(&mut self, reason: Refusal, at: usize) {
        self.misfit.get_or_insert(Fault { reason, at });
    }
}

fn int(field: usize, text: &[u8], rows: &mut Rows<'_>) -> Result<(), Refusal> {
    rows.int(field, number::integer(text).ok_or(Refusal::WrongType)?);
    Ok(())
}

fn float(field: usize, text: &[u8], rows: &mut Rows<'_>) -> Result<(), Refusal> {
    rows.float(field, number::float(text).ok_or(Refusal::WrongType)?);
    Ok(())
}
