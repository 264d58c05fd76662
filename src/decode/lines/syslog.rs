//! BSD syslog as files and relays have it (RFC 3164):
//!
//! ```text
//! <38>Mar 30 15:04:05 host sshd[1291]: Failed password for root from 10.0.0.1 port 22 ssh2
//!  pri time           host program pid  message
//! ```
//!
//! `<pri>` is only on the wire; `facility` (pri ÷ 8) and `severity` (pri mod 8, 0 is the worst) are null without it.
//! A message without a tag (`last message repeated 2 times`) has neither program nor pid.

use memchr::memchr;

use super::Capture;
use crate::model::schema::FieldType::{self, Int, String};

/// In the order of the captures.
pub(super) const FIELDS: &[(&str, FieldType)] = &[
    ("pri", Int),
    ("facility", Int),
    ("severity", Int),
    ("time", String),
    ("host", String),
    ("program", String),
    ("pid", Int),
    ("message", String),
];

/// 23 facilities of 8 severities.
const PRI_MAX: i64 = 191;

pub(super) fn parse(line: &[u8], captures: &mut [Capture]) -> Option<()> {
    let mut at = 0;
    if line.first() == Some(&b'<') {
        let close = memchr(b'>', &line[..line.len().min(5)])?;
        let digits = &line[1..close];
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let pri = digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        if pri > PRI_MAX {
            return None;
        }
        captures[0] = Capture::Number(pri);
        captures[1] = Capture::Number(pri / 8);
        captures[2] = Capture::Number(pri % 8);
        at = close + 1;
    }

    let time_end = stamp_end(line, at)?;
    captures[3] = Capture::Text(at, time_end);
    let host = time_end + 1;
    let host_end = host + memchr(b' ', line.get(host..)?).filter(|length| *length > 0)?;
    captures[4] = Capture::Text(host, host_end);
    let message = tag(line, host_end + 1, captures).unwrap_or(host_end + 1);
    captures[7] = Capture::Text(message, line.len());
    Some(())
}

/// The end of `Mar 30 15:04:05` (the day may be one digit, padded or not), at the space that follows it.
fn stamp_end(line: &[u8], from: usize) -> Option<usize> {
    let month = line.get(from..from + 4)?;
    if !month[..3].iter().all(u8::is_ascii_alphabetic) || month[3] != b' ' {
        return None;
    }
    let mut at = from + 4 + usize::from(line.get(from + 4) == Some(&b' '));
    let day = line.get(at..)?.iter().take(2).take_while(|b| b.is_ascii_digit()).count();
    at += day + 1;
    let clock = line.get(at..at + 9)?;
    let shape = clock.iter().map(|b| if b.is_ascii_digit() { b'0' } else { *b });
    (day > 0 && line[at - 1] == b' ' && shape.eq(*b"00:00:00 ")).then_some(at + 8)
}

/// `program[pid]: ` or `program: `; where the message starts.
fn tag(line: &[u8], from: usize, captures: &mut [Capture]) -> Option<usize> {
    let rest = &line[from..];
    let program = rest.iter().position(|b| matches!(b, b'[' | b':' | b' ')).filter(|length| *length > 0)?;
    let mut after = program;
    if rest[program] == b'[' {
        let close = program + memchr(b']', &rest[program..])?;
        let pid = &rest[program + 1..close];
        if !pid.is_empty() && pid.iter().all(u8::is_ascii_digit) {
            captures[6] = Capture::Text(from + program + 1, from + close);
        }
        after = close + 1;
    }
    if rest.get(after) != Some(&b':') {
        captures[6] = Capture::None;
        return None;
    }
    captures[5] = Capture::Text(from, from + program);
    Some(from + after + 1 + usize::from(rest.get(after + 1) == Some(&b' ')))
}
