//! Numbers as text, exactly.
//!
//! A decimal is never taken through a float on its way to an integer: `1700000000.123` seconds are ...123 ms, while
//! `(1700000000.123 * 1000.0).floor()` may be ...122. So integers and times are computed on the digits.

/// The length of the JSON number at the start of `text`; the offset of the byte at fault where there is none.
pub(super) fn length(text: &[u8]) -> Result<usize, usize> {
    let byte = |at: usize| text.get(at).copied().unwrap_or(0);
    let digits = |mut at: usize| {
        while byte(at).is_ascii_digit() {
            at += 1;
        }
        at
    };
    let mut at = usize::from(byte(0) == b'-');
    at = match byte(at) {
        b'0' => at + 1,
        b'1'..=b'9' => digits(at),
        _ => return Err(at),
    };
    if byte(at) == b'.' {
        let end = digits(at + 1);
        if end == at + 1 {
            return Err(end);
        }
        at = end;
    }
    if matches!(byte(at), b'e' | b'E') {
        let sign = usize::from(matches!(byte(at + 1), b'+' | b'-'));
        let end = digits(at + 1 + sign);
        if end == at + 1 + sign {
            return Err(end);
        }
        at = end;
    }
    Ok(at)
}

/// Whether the whole of `text` is one JSON number.
pub(super) fn is_number(text: &[u8]) -> bool {
    length(text) == Ok(text.len())
}

/// The integer a number is, however it is written (`3`, `3.0`, `3e2`); `None` when it has a fraction or leaves `i64`.
/// `text` must be a JSON number.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    match scaled(text, 0)? {
        (value, true) => Some(value),
        (_, false) => None,
    }
}

/// `floor(number × 10^shift)`; `None` when it leaves `i64`. `text` must be a JSON number.
pub(super) fn floor_scaled(text: &[u8], shift: i64) -> Option<i64> {
    let (value, exact) = scaled(text, shift)?;
    match exact || text[0] != b'-' {
        true => Some(value),
        false => value.checked_sub(1),
    }
}

/// The nearest float; `None` when it would be infinite (or says so: `inf`, `NaN`).
pub(super) fn float(text: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    value.is_finite().then_some(value)
}

/// An integer as people write it in text: a sign and leading zeros are fine, a fraction of zeros too.
pub(super) fn text_int(text: &[u8]) -> Option<i64> {
    let plain = std::str::from_utf8(text).ok()?.parse().ok();
    plain.or_else(|| is_number(text).then(|| integer(text))?)
}

/// `true`, `false`, in any case, `1` or `0`.
pub(super) fn text_bool(text: &[u8]) -> Option<bool> {
    match text {
        b"1" => Some(true),
        b"0" => Some(false),
        _ if text.eq_ignore_ascii_case(b"true") => Some(true),
        _ if text.eq_ignore_ascii_case(b"false") => Some(false),
        _ => None,
    }
}

/// `number × 10^shift` cut towards zero, and whether nothing was cut.
fn scaled(text: &[u8], shift: i64) -> Option<(i64, bool)> {
    let negative = text[0] == b'-';
    let text = &text[usize::from(negative)..];
    let (mantissa, exponent) = match text.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&text[..at], exponent(&text[at + 1..])),
        None => (text, 0),
    };
    let whole = mantissa.iter().position(|b| *b == b'.').unwrap_or(mantissa.len());
    // Digits before this count are of the result, those after it are cut.
    let kept = (whole as i64).saturating_add(exponent).saturating_add(shift);
    let (mut value, mut exact, mut digits) = (0i64, true, 0i64);
    for byte in mantissa.iter().filter(|b| **b != b'.') {
        let digit = i64::from(byte - b'0');
        match digits < kept {
            // Downwards, because `i64::MIN` has no positive counterpart.
            true => value = value.checked_mul(10)?.checked_sub(digit)?,
            false => exact &= digit == 0,
        }
        digits += 1;
    }
    while value != 0 && digits < kept {
        value = value.checked_mul(10)?;
        digits += 1;
    }
    Some((if negative { value } else { value.checked_neg()? }, exact))
}

/// Saturates: beyond a few hundred thousand only the sign matters.
fn exponent(text: &[u8]) -> i64 {
    let negative = text[0] == b'-';
    let digits = &text[usize::from(matches!(text[0], b'-' | b'+'))..];
    let value = digits.iter().fold(0i64, |sum, b| sum.saturating_mul(10).saturating_add(i64::from(b - b'0')));
    if negative { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: (Option<i64>, Option<i64>)) {
        assert!(is_number(text.as_bytes()), "{text}");
        assert_eq!((integer(text.as_bytes()), floor_scaled(text.as_bytes(), 3)), expect, "{text}");
    }

    #[test]
    fn decimals_become_integers_only_when_they_are() {
        check("0", (Some(0), Some(0)));
        check("-0", (Some(0), Some(0)));
        check("3.0", (Some(3), Some(3000)));
        check("3.5", (None, Some(3500)));
        check("1e3", (Some(1000), Some(1_000_000)));
        check("1.5E+1", (Some(15), Some(15_000)));
        check("1500e-2", (Some(15), Some(15_000)));
        check("1501e-2", (None, Some(15_010)));
        check("1700000000.123", (None, Some(1_700_000_000_123)));
        check("1700000000.1239999", (None, Some(1_700_000_000_123)));
        check("1.7000000001239E9", (None, Some(1_700_000_000_123)));
        check("-0.0001", (None, Some(-1)));
        check("-1.5", (None, Some(-1500)));
        check("-1.5001", (None, Some(-1501)));
        check("9223372036854775807", (Some(i64::MAX), None));
        check("-9223372036854775808", (Some(i64::MIN), None));
        check("9223372036854775808", (None, None));
        check("9223372036854775.807", (None, Some(i64::MAX)));
        check("1e999999999999999999999", (None, None));
        check("0e999999999999999999999", (Some(0), Some(0)));
        check("1e-99999999999999999999", (None, Some(0)));
        check("-1e-99999999999999999999", (None, Some(-1)));
    }

    #[test]
    fn what_is_no_number() {
        for text in ["", "-", "+1", "01", ".5", "5.", "1e", "1e+", "1.e3", "0x10", "NaN", "Infinity", "1 ", " 1", "1_0"]
        {
            assert!(!is_number(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn infinity_is_not_a_value() {
        assert_eq!(float(b"1e308"), Some(1e308));
        assert_eq!(float(b"1e309"), None);
        assert_eq!(float(b"-1e-400"), Some(-0.0));
    }
}
