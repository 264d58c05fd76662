//! Count, sum and sum of squares that neither the order of events nor subtraction can disturb.
//!
//! Floats do not add up the same in another order, and a running float sum keeps the dust of what was subtracted. So
//! sums are 256-bit fixed point with 64 binary places. A value is taken exactly where its last bit is worth at least
//! 2⁻⁶⁴ and rounded to that otherwise; values of magnitude 2⁶³ and more are refused, which leaves room for 2⁶⁴ events
//! without overflow, squares included.
//!
//! - `M1` equal multisets of values give equal moments, in whatever order and grouping they were added
//! - `M2` `(a + b) − b == a`, bit for bit

use super::codec::{put_varint, take, varint};

/// Magnitudes from here on are refused as not a number Foghorn can sum.
pub const MAGNITUDE_MAX: f64 = 9_223_372_036_854_775_808.0; // 2^63

/// A signed 256-bit integer, in units of 2⁻⁶⁴.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fixed {
    low: u128,
    high: i128,
}

impl Fixed {
    pub(super) const WORDS: usize = 4;

    /// `magnitude · 2^(exponent + 64)`, rounded to an integer.
    #[inline]
    fn from_parts(magnitude: u128, exponent: i32, negative: bool) -> Fixed {
        let shift = exponent + 64;
        let (low, high) = match shift {
            128.. => (0, magnitude << (shift - 128)),
            1..128 => (magnitude << shift, magnitude >> (128 - shift)),
            0 => (magnitude, 0),
            -127..0 => ((magnitude >> -shift) + (magnitude >> (-shift - 1) & 1), 0),
            _ => (0, 0),
        };
        let fixed = Fixed { low, high: high as i128 };
        if negative { fixed.negated() } else { fixed }
    }

    #[inline]
    fn negated(self) -> Fixed {
        let (low, carry) = (!self.low).overflowing_add(1);
        Fixed { low, high: (!self.high).wrapping_add(i128::from(carry)) }
    }

    #[inline]
    fn add(&mut self, other: Fixed) {
        let (low, carry) = self.low.overflowing_add(other.low);
        self.low = low;
        self.high = self.high.wrapping_add(other.high).wrapping_add(i128::from(carry));
    }

    pub(super) fn to_words(self) -> [u64; 4] {
        [self.low as u64, (self.low >> 64) as u64, self.high as u64, (self.high >> 64) as u64]
    }

    pub(super) fn from_words(words: &[u64]) -> Fixed {
        let pair = |low: u64, high: u64| u128::from(low) | u128::from(high) << 64;
        Fixed { low: pair(words[0], words[1]), high: pair(words[2], words[3]) as i128 }
    }

    fn is_negative(self) -> bool {
        self.high < 0
    }

    fn magnitude(self) -> [u64; 4] {
        if self.is_negative() { self.negated().to_words() } else { self.to_words() }
    }

    fn to_f64(self) -> f64 {
        let magnitude = limbs_to_f64(&self.magnitude(), -64);
        if self.is_negative() { -magnitude } else { magnitude }
    }

    /// A length byte and as many bytes of two's complement as are needed.
    fn encode(self, out: &mut Vec<u8>) {
        let mut bytes = [0u8; 32];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(self.to_words()) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        let fill = if self.is_negative() { 0xff } else { 0 };
        let mut length = 32;
        while length > 1 && bytes[length - 1] == fill && (bytes[length - 2] ^ fill) < 0x80 {
            length -= 1;
        }
        out.push(length as u8);
        out.extend_from_slice(&bytes[..length]);
    }

    fn decode(bytes: &[u8], at: &mut usize) -> Option<Fixed> {
        let length = usize::from(take(bytes, at, 1)?[0]);
        if length == 0 || length > 32 {
            return None;
        }
        let taken = take(bytes, at, length)?;
        let fill = if taken[length - 1] >= 0x80 { 0xff } else { 0 };
        let mut whole = [fill; 32];
        whole[..length].copy_from_slice(taken);
        let mut words = [0u64; 4];
        for (word, chunk) in words.iter_mut().zip(whole.chunks_exact(8)) {
            *word = u64::from_le_bytes(chunk.try_into().expect("chunks of eight"));
        }
        Some(Fixed::from_words(&words))
    }
}

/// `limbs · 2^exponent` to the nearest float.
fn limbs_to_f64(limbs: &[u64], exponent: i32) -> f64 {
    let Some(top) = limbs.iter().rposition(|limb| *limb != 0) else { return 0.0 };
    let zeros = limbs[top].leading_zeros();
    let mut head = limbs[top] << zeros;
    let mut rest = 0;
    if top > 0 {
        if zeros > 0 {
            head |= limbs[top - 1] >> (64 - zeros);
        }
        rest = limbs[top - 1] << zeros | limbs[..top - 1].iter().fold(0, |any, limb| any | limb);
    }
    // The conversion rounds to nearest; a sticky last bit stands for all that was cut off.
    let head = head | u64::from(rest != 0);
    head as f64 * f64::from(exponent + 64 * top as i32 - zeros as i32).exp2()
}

/// `a · b` of unsigned limbs; `out` must be long enough and zero.
fn multiply(a: &[u64], b: &[u64], out: &mut [u64]) {
    for (i, x) in a.iter().enumerate() {
        let mut carry = 0u128;
        for (j, y) in b.iter().enumerate() {
            let sum = u128::from(out[i + j]) + u128::from(*x) * u128::from(*y) + carry;
            out[i + j] = sum as u64;
            carry = sum >> 64;
        }
        if i + b.len() < out.len() {
            out[i + b.len()] = carry as u64;
        }
    }
}

/// Count, sum and sum of squares of some values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moments {
    pub(super) count: u64,
    sum: Fixed,
    squares: Fixed,
}

impl Moments {
    pub(super) const WORDS: usize = 1 + 2 * Fixed::WORDS;

    /// `value` is finite and smaller in magnitude than [`MAGNITUDE_MAX`].
    #[inline]
    pub(super) fn record(&mut self, value: f64) {
        let bits = value.to_bits();
        let biased = (bits >> 52 & 0x7ff) as i32;
        let fraction = bits & ((1 << 52) - 1);
        let (mantissa, exponent) = if biased == 0 { (fraction, -1074) } else { (fraction | 1 << 52, biased - 1075) };
        self.count = self.count.wrapping_add(1);
        self.sum.add(Fixed::from_parts(u128::from(mantissa), exponent, bits >> 63 == 1));
        self.squares.add(Fixed::from_parts(u128::from(mantissa) * u128::from(mantissa), 2 * exponent, false));
    }

    pub(super) fn add(&mut self, other: &Moments) {
        self.count = self.count.wrapping_add(other.count);
        self.sum.add(other.sum);
        self.squares.add(other.squares);
    }

    pub(super) fn subtract(&mut self, other: &Moments) {
        self.count = self.count.wrapping_sub(other.count);
        self.sum.add(other.sum.negated());
        self.squares.add(other.squares.negated());
    }

    pub(super) fn load(words: &[u64]) -> Moments {
        Moments { count: words[0], sum: Fixed::from_words(&words[1..5]), squares: Fixed::from_words(&words[5..9]) }
    }

    pub(super) fn store(&self, words: &mut [u64]) {
        words[0] = self.count;
        words[1..5].copy_from_slice(&self.sum.to_words());
        words[5..9].copy_from_slice(&self.squares.to_words());
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.count);
        if self.count > 0 {
            self.sum.encode(out);
            self.squares.encode(out);
        }
    }

    pub(super) fn decode(bytes: &[u8], at: &mut usize) -> Option<Moments> {
        match varint(bytes, at)? {
            0 => Some(Moments::default()),
            count => Some(Moments { count, sum: Fixed::decode(bytes, at)?, squares: Fixed::decode(bytes, at)? }),
        }
    }

    pub(super) fn sum(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum.to_f64())
    }

    pub(super) fn average(&self) -> Option<f64> {
        self.sum().map(|sum| sum / self.count as f64)
    }

    /// Of the population, as PromQL's `stddev_over_time`: one value has a deviation of zero.
    ///
    /// `n·Σx² − (Σx)²` is computed in whole numbers, so values far from zero but close together keep their deviation.
    pub(super) fn deviation(&self) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let mut scaled = [0u64; 8];
        // One limb up: both sides of the difference are then in units of 2⁻¹²⁸.
        multiply(&self.squares.magnitude(), &[self.count], &mut scaled[1..6]);
        let sum = self.sum.magnitude();
        let mut square = [0u64; 8];
        multiply(&sum, &sum, &mut square);
        let mut borrow = false;
        for (left, right) in scaled.iter_mut().zip(square) {
            let (difference, first) = left.overflowing_sub(right);
            let (difference, second) = difference.overflowing_sub(u64::from(borrow));
            *left = difference;
            borrow = first | second;
        }
        // Squares below 2⁻⁶⁴ were rounded, so the difference of tiny values may fall below zero.
        let variance = if borrow { 0.0 } else { limbs_to_f64(&scaled, -128) / self.count as f64 / self.count as f64 };
        Some(variance.sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64]) -> Moments {
        let mut moments = Moments::default();
        values.iter().for_each(|value| moments.record(*value));
        moments
    }

    fn finite() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<f64>().prop_filter("in range", |value| value.abs() < MAGNITUDE_MAX),
            -1e6..1e6f64,
            (-1000i32..1000).prop_map(f64::from)
        ]
    }

    #[test]
    fn a_large_value_does_not_swallow_a_small_one() {
        let moments = of(&[1e18, 0.1, -1e18]);
        assert_eq!(moments.sum(), Some(0.1));
        assert_eq!(of(&[]).sum(), None);
    }

    #[test]
    fn deviation_survives_values_far_from_zero() {
        let moments = of(&[1.7e12 + 1.0, 1.7e12 - 1.0, 1.7e12 + 1.0, 1.7e12 - 1.0]);
        assert_eq!(moments.deviation(), Some(1.0));
        assert_eq!(of(&[42.0]).deviation(), Some(0.0));
        assert_eq!(of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).deviation(), Some(2.0));
    }

    proptest! {
        /// M1, M2
        #[test]
        fn order_and_subtraction_leave_no_trace(mut values in prop::collection::vec(finite(), 0..30), split in 0usize..30) {
            let whole = of(&values);
            let split = split.min(values.len());
            let (left, right) = (of(&values[..split]), of(&values[split..]));
            let mut sum = right;
            sum.add(&left);
            prop_assert_eq!(sum, whole);
            sum.subtract(&right);
            prop_assert_eq!(sum, left);
            values.reverse();
            prop_assert_eq!(of(&values), whole);
        }

        #[test]
        fn whole_numbers_sum_exactly(values in prop::collection::vec(-(1i64 << 52)..1i64 << 52, 1..50)) {
            let floats: Vec<f64> = values.iter().map(|value| *value as f64).collect();
            let exact: i128 = values.iter().map(|value| i128::from(*value)).sum();
            prop_assert_eq!(of(&floats).sum(), Some(exact as f64));
            let squares: i128 = values.iter().map(|value| i128::from(*value).pow(2)).sum();
            let n = values.len() as f64;
            let expected = ((squares as f64 / n) - (exact as f64 / n).powi(2)).max(0.0).sqrt();
            let got = of(&floats).deviation().expect("there are values");
            prop_assert!((got - expected).abs() <= expected.abs() * 1e-6 + 1e9, "{} against {}", got, expected);
        }

        #[test]
        fn bytes_come_back(values in prop::collection::vec(finite(), 0..10)) {
            let mut bytes = Vec::new();
            of(&values).encode(&mut bytes);
            let mut at = 0;
            prop_assert_eq!(Moments::decode(&bytes, &mut at), Some(of(&values)));
            prop_assert_eq!(at, bytes.len());
            for end in 0..bytes.len() {
                prop_assert_eq!(Moments::decode(&bytes[..end], &mut 0), None);
            }
            let mut words = [0; Moments::WORDS];
            of(&values).store(&mut words);
            prop_assert_eq!(Moments::load(&words), of(&values));
        }
    }
}
