//! The protobuf wire: fields one after the other, no message ever built.
//!
//! A generated decoder allocates every string, list and message of a request, read or not; that is 80 % of its time.
//! Here a message is a range of the payload, and stepping over a field nobody reads is an addition.
//!
//! Positions are absolute in the arena. A range is checked against the message that holds it, so nothing outside the
//! record is ever acted on, though a varint may be read a few bytes into the slack (`B4`) before that is noticed.

use crate::model::refusal::Refusal;

use crate::decode::fault::Fault;

/// A message: a range of the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub from: usize,
    pub to: usize,
}

/// The value of one field, by wire type. Groups are stepped over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Payload {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(Range),
}

/// Reads the fields of one message.
#[derive(Clone, Copy)]
pub(super) struct Wire<'b> {
    buf: &'b [u8],
    at: usize,
    end: usize,
}

impl<'b> Wire<'b> {
    #[inline(always)]
    pub fn new(buf: &'b [u8], message: Range) -> Wire<'b> {
        Wire { buf, at: message.from, end: message.to }
    }

    /// The next field's number and value; `None` at the end of the message.
    #[inline(always)]
    pub fn next(&mut self) -> Result<Option<(u32, Payload)>, Fault> {
        loop {
            if self.at >= self.end {
                return Ok(None);
            }
            let start = self.at;
            let tag = self.varint()?;
            let payload = match tag & 7 {
                0 => Payload::Varint(self.varint()?),
                1 => Payload::Fixed64(u64::from_le_bytes(*self.take()?)),
                2 => {
                    let length = self.varint()?;
                    if length > (self.end - self.at) as u64 {
                        return Err(malformed(start));
                    }
                    let from = self.at;
                    self.at += length as usize;
                    Payload::Bytes(Range { from, to: self.at })
                }
                5 => Payload::Fixed32(u32::from_le_bytes(*self.take()?)),
                3 => {
                    self.skip_group(tag >> 3, start)?;
                    continue;
                }
                _ => return Err(malformed(start)),
            };
            let field = tag >> 3;
            if field == 0 || field > u64::from(u32::MAX >> 3) {
                return Err(malformed(start));
            }
            return Ok(Some((field as u32, payload)));
        }
    }

    /// A varint of the message, for packed lists.
    pub fn packed_varint(&mut self) -> Result<Option<u64>, Fault> {
        if self.at >= self.end { Ok(None) } else { self.varint().map(Some) }
    }

    /// Eight bytes of the message, for packed lists.
    pub fn packed_fixed64(&mut self) -> Result<Option<u64>, Fault> {
        if self.at >= self.end { Ok(None) } else { Ok(Some(u64::from_le_bytes(*self.take()?))) }
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64, Fault> {
        let first = self.buf[self.at];
        if first < 0x80 && self.at < self.end {
            self.at += 1;
            return Ok(u64::from(first));
        }
        self.long_varint()
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, Fault> {
        let start = self.at;
        let mut value = 0;
        for (index, byte) in self.buf[start..self.end].iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.at = start + index + 1;
                // The tenth byte has room for one bit.
                return if index == 9 && *byte > 1 { Err(malformed(start)) } else { Ok(value) };
            }
        }
        Err(malformed(start))
    }

    #[inline(always)]
    fn take<const N: usize>(&mut self) -> Result<&'b [u8; N], Fault> {
        let from = self.at;
        self.at += N;
        if self.at > self.end {
            return Err(malformed(from));
        }
        self.buf[from..].first_chunk().ok_or(malformed(from))
    }

    /// Groups are of an older protobuf, and OTLP has none; an unknown one is stepped over like any unknown field.
    #[cold]
    fn skip_group(&mut self, field: u64, start: usize) -> Result<(), Fault> {
        let mut open = vec![field];
        while let Some(inner) = open.last() {
            if self.at >= self.end || open.len() > GROUP_DEPTH_MAX {
                return Err(malformed(start));
            }
            let tag = self.varint()?;
            match tag & 7 {
                0 => drop(self.varint()?),
                1 => drop(self.take::<8>()?),
                2 => {
                    let length = self.varint()?;
                    if length > (self.end - self.at) as u64 {
                        return Err(malformed(start));
                    }
                    self.at += length as usize;
                }
                3 => open.push(tag >> 3),
                4 if tag >> 3 == *inner => drop(open.pop()),
                5 => drop(self.take::<4>()?),
                _ => return Err(malformed(start)),
            }
        }
        Ok(())
    }
}

/// As prost has it.
const GROUP_DEPTH_MAX: usize = 100;

#[cold]
fn malformed(at: usize) -> Fault {
    Fault { reason: Refusal::Malformed, at }
}

/// A sint32 or sint64.
pub(super) fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
