//! Apache's and nginx' `combined` format, and `common`, its prefix:
//!
//! ```text
//! 83.149.9.216 - frank [17/May/2015:10:05:03 +0000] "GET /a?b=c HTTP/1.1" 200 203023 "http://example.org/" "Mozilla/5.0"
//! remote ident user    time                          request                status bytes referer             agent
//! ```
//!
//! `request` is what stands between the quotes; `method`, `path` (without the query), `query` and `protocol` are its
//! parts, null when it does not look like a request (scanners send anything). What follows the agent, after a space,
//! is ignored: many nginx configurations append the forwarded address there. A line whose last quote is missing was
//! cut and does not match.

use memchr::{memchr, memchr2, memrchr};

use super::Capture;
use crate::model::schema::FieldType::{self, Int, String};

/// In the order of the captures.
pub(super) const FIELDS: &[(&str, FieldType)] = &[
    ("remote", String),
    ("ident", String),
    ("user", String),
    ("time", String),
    ("request", String),
    ("method", String),
    ("path", String),
    ("query", String),
    ("protocol", String),
    ("status", Int),
    ("bytes", Int),
    ("referer", String),
    ("agent", String),
];

pub(super) fn parse(line: &[u8], captures: &mut [Capture]) -> Option<()> {
    let remote = memchr(b' ', line).filter(|end| *end > 0)?;
    let ident = token_end(line, remote + 1)?;
    // A user name may hold spaces: it ends before the first ` [`.
    let user = user_end(line, ident + 1)?;
    let time = user + 2;
    let time_end = time + memchr(b']', line.get(time..)?)?;
    let request = time_end + 3;
    if line.get(time_end..request)? != b"] \"" {
        return None;
    }
    let request_end = quote_end(line, request)?;
    let status = request_end + 2;
    if *line.get(request_end + 1)? != b' ' {
        return None;
    }
    let status_end = token_end(line, status)?;
    let bytes = status_end + 1;
    let bytes_end = token_end(line, bytes).unwrap_or(line.len());
    if !is_count(&line[status..status_end]) || !is_count(&line[bytes..bytes_end]) {
        return None;
    }

    captures[0] = Capture::Text(0, remote);
    captures[1] = Capture::Text(remote + 1, ident);
    captures[2] = Capture::Text(ident + 1, user);
    captures[3] = Capture::Text(time, time_end);
    captures[4] = Capture::Text(request, request_end);
    request_parts(line, request, request_end, &mut captures[5..9]);
    captures[9] = Capture::Text(status, status_end);
    captures[10] = Capture::Text(bytes, bytes_end);

    if bytes_end < line.len() {
        let (from, to) = quoted(line, bytes_end + 1)?;
        captures[11] = Capture::Text(from, to);
        if *line.get(to + 1)? != b' ' {
            return None;
        }
        let (from, to) = quoted(line, to + 2)?;
        captures[12] = Capture::Text(from, to);
        if line.get(to + 1).is_some_and(|next| *next != b' ') {
            return None;
        }
    }
    Some(())
}

fn token_end(line: &[u8], from: usize) -> Option<usize> {
    memchr(b' ', line.get(from..)?).filter(|length| *length > 0).map(|length| from + length)
}

fn user_end(line: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += memchr(b'[', line.get(at..)?)?;
        if at > from + 1 && line[at - 1] == b' ' {
            return Some(at - 1);
        }
        at += 1;
    }
}

/// The range between the quotes that start at `from`.
fn quoted(line: &[u8], from: usize) -> Option<(usize, usize)> {
    if *line.get(from)? != b'"' {
        return None;
    }
    Some((from + 1, quote_end(line, from + 1)?))
}

/// The closing quote; `\"` is none.
fn quote_end(line: &[u8], mut from: usize) -> Option<usize> {
    loop {
        from += memchr2(b'"', b'\\', line.get(from..)?)?;
        if line[from] == b'"' {
            return Some(from);
        }
        from += 2;
    }
}

fn is_count(text: &[u8]) -> bool {
    text == b"-" || (!text.is_empty() && text.iter().all(u8::is_ascii_digit))
}

/// Method, path, query, protocol.
fn request_parts(line: &[u8], from: usize, to: usize, captures: &mut [Capture]) {
    let request = &line[from..to];
    let Some(method) = memchr(b' ', request) else { return };
    if method == 0 || !request[..method].iter().all(|b| b.is_ascii_alphabetic() || matches!(b, b'-' | b'_')) {
        return;
    }
    let target = method + 1;
    let target_end = match memrchr(b' ', request) {
        Some(space) if space > method && request[space + 1..].starts_with(b"HTTP/") => {
            captures[3] = Capture::Text(from + space + 1, to);
            space
        }
        _ => request.len(),
    };
    captures[0] = Capture::Text(from, from + method);
    match memchr(b'?', &request[target..target_end]) {
        Some(mark) => {
            captures[1] = Capture::Text(from + target, from + target + mark);
            captures[2] = Capture::Text(from + target + mark + 1, from + target_end);
        }
        None => captures[1] = Capture::Text(from + target, from + target_end),
    }
}
