//! Numbers of the usual length, eight digits at a time. Everything else is `None` and goes to [`crate::decode::number`].

use super::block::{eight_digits, leading_digits, load8};

const POWERS: [u64; 16] = {
    let mut powers = [1; 16];
    let mut i = 1;
    while i < 16 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// The plain integer of at most 15 digits at `at`, and the position after it.
#[inline(always)]
pub(super) fn int(buf: &[u8], at: usize) -> Option<(i64, usize)> {
    let negative = buf[at] == b'-';
    let from = at + usize::from(negative);
    let (value, digits) = digits(buf, from)?;
    let end = from + digits;
    if matches!(buf[end], b'.' | b'e' | b'E') || (buf[from] == b'0' && digits > 1) {
        return None;
    }
    let value = value as i64;
    Some((if negative { -value } else { value }, end))
}

/// The decimal of at most 15 digits and no exponent at `at`, correctly rounded, and the position after it.
///
/// Both the digits (below 2^53) and the power of ten (below 10^22) are exact as floats, so the one division rounds once.
#[inline(always)]
pub(super) fn float(buf: &[u8], at: usize) -> Option<(f64, usize)> {
    let negative = buf[at] == b'-';
    let from = at + usize::from(negative);
    let (whole, digits_whole) = digits(buf, from)?;
    let mut end = from + digits_whole;
    if buf[from] == b'0' && digits_whole > 1 {
        return None;
    }
    let mut value = whole as f64;
    if buf[end] == b'.' {
        let (fraction, digits_fraction) = digits(buf, end + 1)?;
        if digits_whole + digits_fraction > 15 {
            return None;
        }
        end += 1 + digits_fraction;
        value = (whole * POWERS[digits_fraction] + fraction) as f64 / POWERS[digits_fraction] as f64;
    }
    if matches!(buf[end], b'e' | b'E') {
        return None;
    }
    Some((if negative { -value } else { value }, end))
}

/// One to fifteen digits: their value and how many there are.
#[inline(always)]
fn digits(buf: &[u8], from: usize) -> Option<(u64, usize)> {
    let word = load8(buf, from);
    match leading_digits(word) {
        0 => None,
        8 => {
            let next = load8(buf, from + 8);
            let value = eight_digits(word, 8);
            match leading_digits(next) {
                0 => Some((value, 8)),
                8 => None,
                more => Some((value * POWERS[more] + eight_digits(next, more), 8 + more)),
            }
        }
        count => Some((eight_digits(word, count), count)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::batch::ARENA_SLACK;

    fn padded(text: &str) -> Vec<u8> {
        let mut buf = text.as_bytes().to_vec();
        buf.resize(text.len() + 1 + ARENA_SLACK, 0);
        buf[text.len()] = b',';
        buf
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        /// Where the fast road answers, it answers as the standard library does, to the bit.
        #[test]
        fn fast_equals_std(text in "-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,17})?") {
            let buf = padded(&text);
            if let Some((value, end)) = float(&buf, 0) {
                prop_assert_eq!(end, text.len());
                prop_assert_eq!(value.to_bits(), text.parse::<f64>().unwrap().to_bits());
            } else {
                prop_assert!(text.bytes().filter(u8::is_ascii_digit).count() > 15);
            }
            match int(&buf, 0) {
                Some((value, end)) => {
                    prop_assert_eq!(end, text.len());
                    prop_assert_eq!(value, text.parse::<i64>().unwrap());
                }
                None => prop_assert!(text.contains('.') || text.trim_start_matches('-').len() > 15),
            }
        }
    }

    #[test]
    fn leaves_odd_numbers_to_the_slow_road() {
        for text in ["", "-", "01", "-01", "1e3", "1E3", "x", "1234567890123456"] {
            assert_eq!(int(&padded(text), 0), None, "{text}");
            assert_eq!(float(&padded(text), 0), None, "{text}");
        }
        assert_eq!(float(&padded("1."), 0), None);
        assert_eq!(float(&padded("1.5e3"), 0), None);
        assert_eq!(int(&padded("1.0"), 0), None);
    }
}
