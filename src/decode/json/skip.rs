//! Values nobody reads: stepped over, but not on trust.
//!
//! A skipped value is held to the whole grammar (balance, numbers, literals, escapes, control characters), so whether a
//! document is refused does not depend on which fields the rules happen to read. What is left out is meaning: the two
//! halves of a surrogate pair, and the size of a number. `serde_json::de::IgnoredAny` draws the same line.

use super::block::{leading_digits, load8};
use super::string;
use crate::decode::fault::Fault;
use crate::model::refusal::Refusal;

/// The first byte at or after `at` that is no white space.
#[inline(always)]
pub(in crate::decode) fn blanks(buf: &[u8], mut at: usize) -> usize {
    while matches!(buf[at], b' ' | b'\n' | b'\t' | b'\r') {
        at += 1;
    }
    at
}

/// Steps over values. Keeps its stack between calls so that it does not allocate.
#[derive(Debug, Default)]
pub(in crate::decode) struct Skipper {
    /// The closing brackets owed, outermost first.
    owed: Vec<u8>,
}

impl Skipper {
    /// From the first byte of a value, or white space before it, to just after it. `depth` more levels may be opened.
    #[inline]
    pub fn value(&mut self, buf: &[u8], at: usize, end: usize, depth: usize) -> Result<usize, Fault> {
        match usual(buf, at, end) {
            Some(after) => Ok(after),
            None => self.any(buf, at, end, depth),
        }
    }

    #[inline(never)]
    fn any(&mut self, buf: &[u8], mut at: usize, end: usize, depth: usize) -> Result<usize, Fault> {
        self.owed.clear();
        at = blanks(buf, at);
        'value: loop {
            if at >= end {
                return Err(Fault::malformed(end));
            }
            match buf[at] {
                open @ (b'{' | b'[') => {
                    if self.owed.len() == depth {
                        return Err(Fault { reason: Refusal::TooDeep, at });
                    }
                    // In ASCII both closing brackets stand two after the opening ones.
                    self.owed.push(open + 2);
                    at = blanks(buf, at + 1);
                    match buf[at] {
                        close if close == open + 2 => {}
                        _ if open == b'{' => {
                            at = key(buf, at, end).map_err(Fault::malformed)?;
                            continue 'value;
                        }
                        _ => continue 'value,
                    }
                }
                b'"' => at = string::end(buf, at + 1, end).map_err(Fault::malformed)? + 1,
                b'-' | b'0'..=b'9' => at = number(buf, at).map_err(Fault::malformed)?,
                _ => at = literal(buf, at, end).ok_or(Fault::malformed(at))?,
            }
            while let Some(close) = self.owed.last().copied() {
                at = blanks(buf, at);
                match buf[at] {
                    b if b == close => {
                        self.owed.pop();
                        at += 1;
                    }
                    b',' => {
                        at = blanks(buf, at + 1);
                        if close == b'}' {
                            at = key(buf, at, end).map_err(Fault::malformed)?;
                        }
                        continue 'value;
                    }
                    _ => return Err(Fault::malformed(at)),
                }
            }
            return Ok(at);
        }
    }
}

/// Just after a string without escapes, or a plain integer: what most values are. May be past `end`, when the record
/// ends within the value.
#[inline(always)]
pub(in crate::decode) fn usual(buf: &[u8], at: usize, end: usize) -> Option<usize> {
    if buf[at] == b'"' {
        let stop = string::plain_end(buf, at + 1, end);
        return (buf[stop] == b'"').then_some(stop + 1);
    }
    let count = leading_digits(load8(buf, at));
    let after = at + count;
    let plain = (1..8).contains(&count) && !matches!(buf[after], b'.' | b'e' | b'E') && (count == 1 || buf[at] != b'0');
    plain.then_some(after)
}

/// From the opening quote of a key to the first byte of its value.
fn key(buf: &[u8], at: usize, end: usize) -> Result<usize, usize> {
    if buf[at] != b'"' {
        return Err(at);
    }
    let at = blanks(buf, string::end(buf, at + 1, end)? + 1);
    if buf[at] != b':' {
        return Err(at);
    }
    Ok(blanks(buf, at + 1))
}

/// Just after `true`, `false` or `null`.
fn literal(buf: &[u8], at: usize, end: usize) -> Option<usize> {
    let rest = &buf[at..end];
    [&b"true"[..], b"false", b"null"].iter().find(|word| rest.starts_with(word)).map(|word| at + word.len())
}

/// Just after the number that starts at `at`, or the position at fault.
#[inline]
fn number(buf: &[u8], mut at: usize) -> Result<usize, usize> {
    at += usize::from(buf[at] == b'-');
    at = match buf[at] {
        b'0' => at + 1,
        b'1'..=b'9' => digits(buf, at),
        _ => return Err(at),
    };
    if buf[at] == b'.' {
        let from = at + 1;
        at = digits(buf, from);
        if at == from {
            return Err(at);
        }
    }
    if matches!(buf[at], b'e' | b'E') {
        let from = at + 1 + usize::from(matches!(buf[at + 1], b'+' | b'-'));
        at = digits(buf, from);
        if at == from {
            return Err(at);
        }
    }
    Ok(at)
}

#[inline(always)]
fn digits(buf: &[u8], mut at: usize) -> usize {
    loop {
        let count = leading_digits(load8(buf, at));
        at += count;
        if count < 8 {
            return at;
        }
    }
}
