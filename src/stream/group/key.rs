//! Group keys as bytes: typed and self-delimiting, so no two lists of values share a key (`["ab", "c"]` and
//! `["a", "bc"]`, the text `5` and the number 5), and the same on every machine: keys travel between shards and decide
//! which shard owns a group.
//!
//! - `K1` groups with different keys have different labels. Else two groups would be one alert. So the empty text is
//!   null, because a label with an empty value is no label, and a text longer than a label may be is cut as the label
//!   is.

use xxhash_rust::xxh3::xxh3_64;

use crate::model::batch::{Batch, Column};
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

/// The key of one row of a batch, appended to `key`.
#[inline]
pub(super) fn encode_row(batch: &Batch, columns: &[&Column], row: usize, key: &mut Vec<u8>) {
    for column in columns {
        match column {
            Column::Str(spans) => match spans[row] {
                span if span.is_null() => key.push(NULL),
                span => encode_text(batch.bytes(span), key),
            },
            Column::Int { values, nulls } => match nulls[row] {
                true => key.push(NULL),
                false => number(key, INT, values[row] as u64 ^ 1 << 63),
            },
            Column::Float { values, nulls } => match nulls[row] {
                true => key.push(NULL),
                false => number(key, FLOAT, ordered(values[row])),
            },
            Column::Bool { values, nulls } => key.push(match (nulls[row], values[row]) {
                (true, _) => NULL,
                (false, true) => TRUE,
                (false, false) => FALSE,
            }),
            Column::Absent => key.push(NULL),
        }
    }
}

#[inline]
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
