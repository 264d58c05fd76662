//! Group keys as bytes: typed and self-delimiting, so no two lists of values share a key (`["ab", "c"]` and
//! `["a", "bc"]`, the text `5` and the number 5), and the same on every machine: keys travel between shards and decide
//! which shard owns a group.
//!
//! - `K1` groups with different keys have different labels. Else two groups would be one alert. So the empty text is
//!   null, because a label with an empty value is no label, and a text longer than a label may be is cut as the label
//!   is.

use xxhash_rust::xxh3::xxh3_64;

use crate::model::batch::{Batch, Column, StrSpan};
use crate::model::labels::LABEL_VALUE_BYTES_MAX;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
/// Eight bytes follow, big-endian with the sign flipped, so that keys sort as the numbers do.
const INT: u8 = 3;
/// Eight bytes follow, big-endian in total order.
const FLOAT: u8 = 4;
/// Two bytes of length and the text follow.
const TEXT: u8 = 5;

const CUT: &str = "…";

/// One value of a group key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum KeyPart<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
}

/// The key of a list of values, appended to `key`.
pub fn encode_key(parts: &[KeyPart], key: &mut Vec<u8>) {
    for part in parts {
        match *part {
            KeyPart::Null => key.push(NULL),
            KeyPart::Bool(value) => key.push(if value { TRUE } else { FALSE }),
            KeyPart::Int(value) => number(key, INT, value as u64 ^ 1 << 63),
            KeyPart::Float(value) => number(key, FLOAT, ordered(value)),
            KeyPart::Text(text) => encode_text(text.as_bytes(), key),
        }
    }
}

/// Bytes that [`encode_row`] may write for one value, what it writes too much included.
pub(super) const VALUE_BYTES_MAX: usize = 3 + LABEL_VALUE_BYTES_MAX + 32;

/// The key of one row of a batch, the same as [`encode_key`] makes of its values, written to the front of `out`. Gives
/// its length. `out` must have [`VALUE_BYTES_MAX`] bytes for each column.
#[inline]
pub(super) fn encode_row(batch: &Batch, columns: &[&Column], row: usize, out: &mut [u8]) -> usize {
    let mut at = 0;
    for column in columns {
        let out = &mut out[at..at + VALUE_BYTES_MAX];
        at += match column {
            Column::Str(spans) => write_text(batch, spans[row], out),
            Column::Int { values, nulls } if !nulls[row] => write_number(out, INT, values[row] as u64 ^ 1 << 63),
            Column::Float { values, nulls } if !nulls[row] => write_number(out, FLOAT, ordered(values[row])),
            Column::Bool { values, nulls } if !nulls[row] => {
                out[0] = if values[row] { TRUE } else { FALSE };
                1
            }
            _ => {
                out[0] = NULL;
                1
            }
        };
    }
    at
}

#[inline]
fn write_number(out: &mut [u8], tag: u8, bits: u64) -> usize {
    out[0] = tag;
    out[1..9].copy_from_slice(&bits.to_be_bytes());
    9
}

/// Short texts are copied as 16 or 32 bytes, whatever their length: the length is not worth a call and a branch. What
/// is too much is overwritten by the next value or is behind the key's end.
#[inline]
fn write_text(batch: &Batch, span: StrSpan, out: &mut [u8]) -> usize {
    let len = span.len as usize;
    if span.is_null() || len == 0 {
        out[0] = NULL;
        return 1;
    }
    let arena: &[u8] = if span.is_extra() { &batch.extra } else { &batch.payload };
    let text = &arena[span.start()..];
    if len > LABEL_VALUE_BYTES_MAX {
        let mut cut = Vec::new();
        encode_text(&text[..len], &mut cut);
        out[..cut.len()].copy_from_slice(&cut);
        return cut.len();
    }
    out[0] = TEXT;
    out[1..3].copy_from_slice(&(len as u16).to_le_bytes());
    match text {
        text if len <= 16 && text.len() >= 16 => out[3..19].copy_from_slice(&text[..16]),
        text if len <= 32 && text.len() >= 32 => out[3..35].copy_from_slice(&text[..32]),
        text => out[3..3 + len].copy_from_slice(&text[..len]),
    }
    3 + len
}

fn encode_text(text: &[u8], key: &mut Vec<u8>) {
    if text.is_empty() {
        return key.push(NULL);
    }
    if text.len() > LABEL_VALUE_BYTES_MAX {
        return encode_cut(text, key);
    }
    let [low, high] = (text.len() as u16).to_le_bytes();
    key.extend_from_slice(&[TEXT, low, high]);
    key.extend_from_slice(text);
}

#[cold]
fn encode_cut(text: &[u8], key: &mut Vec<u8>) {
    let mut end = LABEL_VALUE_BYTES_MAX - CUT.len();
    // Not in the middle of a character.
    while text[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    let [low, high] = ((end + CUT.len()) as u16).to_le_bytes();
    key.extend_from_slice(&[TEXT, low, high]);
    key.extend_from_slice(&text[..end]);
    key.extend_from_slice(CUT.as_bytes());
}

fn number(key: &mut Vec<u8>, tag: u8, bits: u64) {
    key.push(tag);
    key.extend_from_slice(&bits.to_be_bytes());
}

/// A float as bits that sort as floats do, with one zero and one NaN (above all numbers).
fn ordered(value: f64) -> u64 {
    let value = if value.is_nan() { f64::NAN } else { value + 0.0 };
    let bits = value.to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

fn unordered(bits: u64) -> f64 {
    f64::from_bits(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits })
}

/// The values of a key as labels have them; `None` for null. Nothing if the bytes are no key.
pub fn decode_key(mut key: &[u8]) -> Option<Vec<Option<String>>> {
    let mut values = Vec::new();
    while let Some((tag, rest)) = key.split_first() {
        key = rest;
        values.push(match *tag {
            NULL => None,
            FALSE => Some("false".to_owned()),
            TRUE => Some("true".to_owned()),
            INT => Some(((take_number(&mut key)? ^ 1 << 63) as i64).to_string()),
            FLOAT => Some(float_text(unordered(take_number(&mut key)?))),
            TEXT => {
                let (len, rest) = key.split_first_chunk::<2>()?;
                let (text, rest) = rest.split_at_checked(u16::from_le_bytes(*len) as usize)?;
                key = rest;
                Some(std::str::from_utf8(text).ok()?.to_owned())
            }
            _ => return None,
        });
    }
    Some(values)
}

fn take_number(key: &mut &[u8]) -> Option<u64> {
    let (bytes, rest) = key.split_first_chunk::<8>()?;
    *key = rest;
    Some(u64::from_be_bytes(*bytes))
}

/// The shortest text that reads back as the same number: `1.5`, `3`, `1e300`.
fn float_text(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if value.fract() == 0.0 && value.abs() < 1e16 {
        return format!("{value:.0}");
    }
    format!("{value:?}")
}

/// Which of `shards` owns the group with this key. The same everywhere and for ever: it decides where state is.
pub fn owner(key: &[u8], shards: usize) -> usize {
    ((u128::from(xxh3_64(key)) * shards as u128) >> 64) as usize
}
