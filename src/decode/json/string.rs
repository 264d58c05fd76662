//! JSON strings: where they end, and what they say once unescaped.
//!
//! Positions are absolute in the arena; `end` is where the record ends. A string that runs past it is caught by the
//! caller's comparison with `end`, so a scan may look a few bytes into the next record but never act on them.

use super::block::{BLOCK, load16};

/// The first byte at or after `at` that is a quote, a backslash or a control character; at or past `end` when the
/// record has none.
#[inline(always)]
pub(in crate::decode) fn plain_end(buf: &[u8], mut at: usize, end: usize) -> usize {
    loop {
        let stops = load16(buf, at).string_stops();
        if stops != 0 {
            return at + stops.trailing_zeros() as usize;
        }
        at += BLOCK;
        if at >= end {
            return end;
        }
    }
}

/// From just after the opening quote to the closing quote. Escapes are checked for form, not for meaning: an unpaired
/// surrogate is found only when the string is read. Errors are positions.
pub(in crate::decode) fn end(buf: &[u8], mut at: usize, end: usize) -> Result<usize, usize> {
    loop {
        at = plain_end(buf, at, end);
        if at >= end {
            return Err(end);
        }
        match buf[at] {
            b'"' => return Ok(at),
            b'\\' => at = escape_end(buf, at + 1)?,
            _ => return Err(at),
        }
    }
}

fn escape_end(buf: &[u8], at: usize) -> Result<usize, usize> {
    match buf[at] {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(at + 1),
        b'u' => match buf[at + 1..at + 5].iter().position(|b| !b.is_ascii_hexdigit()) {
            None => Ok(at + 5),
            Some(bad) => Err(at + 1 + bad),
        },
        _ => Err(at),
    }
}

/// Appends what `text` (between the quotes, escapes already checked for form) says. `Err` is the offset of an
/// unpaired surrogate, which stands for no character.
pub(in crate::decode) fn unescape(text: &[u8], into: &mut Vec<u8>) -> Result<(), usize> {
    let mut at = 0;
    while let Some(plain) = memchr::memchr(b'\\', &text[at..]) {
        into.extend_from_slice(&text[at..at + plain]);
        at += plain + 2;
        let character = match text[at - 1] {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let (character, taken) = unicode(&text[at..]).ok_or(at)?;
                at += taken;
                character
            }
            same => char::from(same),
        };
        into.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    into.extend_from_slice(&text[at..]);
    Ok(())
}

/// The character of `XXXX` or `XXXX\uXXXX`, and how many bytes it took.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let high = hex4(text)?;
    match high {
        0xd800..=0xdbff => {
            let low = text.get(4..6).filter(|mark| *mark == b"\\u").and_then(|_| hex4(&text[6..]))?;
            let offset = low.checked_sub(0xdc00).filter(|offset| *offset < 0x400)?;
            Some((char::from_u32(0x10000 + ((high - 0xd800) << 10) + offset)?, 10))
        }
        _ => Some((char::from_u32(high)?, 4)),
    }
}

fn hex4(text: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(text.get(..4)?).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::batch::ARENA_SLACK;

    /// Reads `text` as a JSON string with its quotes, as this module and as serde_json do.
    fn check(text: &str) {
        let mut buf = text.as_bytes().to_vec();
        let record = buf.len();
        buf.resize(record + ARENA_SLACK, 0);
        let mut said = Vec::new();
        let ours = end(&buf, 1, record).ok().filter(|at| at + 1 == record).and_then(|at| {
            unescape(&buf[1..at], &mut said).ok()?;
            String::from_utf8(said).ok()
        });
        assert_eq!(ours, serde_json::from_str(text).ok(), "{text}");
    }

    #[test]
    fn escapes_read_as_in_serde_json() {
        check(r#""plain, and longer than one block of sixteen""#);
        check(r#""""#);
        check(r#""\"\\\/\b\f\n\r\t""#);
        check(r#""\u00e9\u4e2d\ud83d\ude00 é中😀""#);
        check(r#""\ud83d""#);
        check(r#""\ude00\ud83d""#);
        check(r#""\ud83d\u0041""#);
        check(r#""\ud83dxude00""#);
        check(r#""\u12g4""#);
        check(r#""\u+123""#);
        check(r#""\x41""#);
        check(r#""open"#);
        check(r#""open\""#);
        check("\"control \u{1}\"");
        check("\"newline \n\"");
        check("\"del \u{7f} and \u{80}\"");
        check(r#""\u0000""#);
    }
}
