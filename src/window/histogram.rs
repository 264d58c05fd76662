//! Where a value stands in an HDR histogram: the bucket arithmetic of the `hdrhistogram` crate, without its counters.
//!
//! The crate's `Histogram` owns a dense array of counters, 13 KB at two digits, which no quiet group can afford. Here
//! a sample is its bucket index, 16 bits wide, and what counts them is chosen by how busy the group is (`tiers`). The
//! arithmetic is the crate's to the bit, so a quantile read here equals `Histogram::value_at_quantile` over the same
//! samples.
//!
//! - `H1` bucket ↔ value equals a crate histogram with `low = 1`, `high = max(2, ⌈highest / unit⌉)` and the same digits
//! - `H2` every bucket index fits `u16`: three digits and the largest range make 54 × 1024 buckets
//! - `H3` a value above `high` is recorded as `high`, as `saturating_record(min(value, high))` would, and is counted

use std::cmp::Ordering;

use crate::model::refusal::Refusal;
use crate::model::schema::HistogramSpec;

/// The largest integer a bucket is made for; keeps the arithmetic in 64 bits and indexes in 16 (`H2`).
const HIGH_MAX: u64 = 1 << 62;

/// Bucket arithmetic of one histogram specification.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Geometry {
    unit: f64,
    high: u64,
    /// log2 of half the sub-buckets of a power of two.
    half_bits: u32,
    sub_bucket_mask: u64,
    leading_zeros_base: u32,
    buckets: u32,
    digits: u8,
}

/// What becomes of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    Bucket(u16),
    /// Above the highest trackable value; the bucket is that of the highest (`H3`).
    Saturated(u16),
    /// NaN stands for null.
    Null,
    Refused(Refusal),
}

impl Geometry {
    pub fn new(spec: &HistogramSpec) -> Geometry {
        let digits = spec.digits.clamp(1, 3);
        let largest_exact = 2 * 10u64.pow(u32::from(digits));
        let count_bits = largest_exact.next_power_of_two().trailing_zeros();
        // The cast saturates; NaN and negative bounds become the smallest histogram.
        let high = ((spec.highest / spec.unit).ceil() as u64).clamp(2, HIGH_MAX);
        let mut powers = 1;
        while (1u64 << count_bits) << (powers - 1) <= high {
            powers += 1;
        }
        let half_bits = count_bits - 1;
        Geometry {
            unit: spec.unit,
            high,
            half_bits,
            sub_bucket_mask: (1 << count_bits) - 1,
            leading_zeros_base: 64 - count_bits,
            buckets: (powers + 1) << half_bits,
            digits,
        }
    }

    /// How many buckets there are: one more than the largest index.
    pub fn buckets(&self) -> usize {
        self.buckets as usize
    }

    /// The largest integer told apart.
    pub fn high(&self) -> u64 {
        self.high
    }

    pub fn digits(&self) -> u8 {
        self.digits
    }

    /// The bucket of a field's value.
    #[inline]
    pub fn place(&self, value: f64) -> Placed {
        let scaled = value / self.unit;
        if scaled >= 0.0 && scaled <= self.high as f64 {
            // Half away from zero, as `f64::round`: that is a library call on plain x86-64, this is two conversions.
            let whole = scaled as i64 as u64;
            let rounded = whole + u64::from(scaled - whole as f64 >= 0.5);
            return Placed::Bucket(self.bucket_of(rounded.min(self.high)));
        }
        self.place_odd(value)
    }

    #[cold]
    fn place_odd(&self, value: f64) -> Placed {
        if value.is_nan() {
            Placed::Null
        } else if value.is_infinite() {
            Placed::Refused(Refusal::NotANumber)
        } else if value < 0.0 {
            Placed::Refused(Refusal::Negative)
        } else if (value / self.unit).round() <= self.high as f64 {
            Placed::Bucket(self.bucket_of(self.high))
        } else {
            Placed::Saturated(self.bucket_of(self.high))
        }
    }

    /// The bucket of an integer of at most `high`.
    #[inline]
    pub fn bucket_of(&self, integer: u64) -> u16 {
        let power = self.leading_zeros_base - (integer | self.sub_bucket_mask).leading_zeros();
        ((power << self.half_bits) + (integer >> power) as u32) as u16
    }

    /// The smallest integer of a bucket, and the length of its range.
    #[inline]
    fn range(&self, bucket: u16) -> (u64, u64) {
        let bucket = u32::from(bucket);
        let half = 1u32 << self.half_bits;
        match (bucket >> self.half_bits).checked_sub(1) {
            None => (u64::from(bucket), 1),
            Some(power) => (u64::from((bucket & (half - 1)) + half) << power, 1 << power),
        }
    }

    pub fn lowest_equivalent(&self, bucket: u16) -> u64 {
        self.range(bucket).0
    }

    pub fn highest_equivalent(&self, bucket: u16) -> u64 {
        let (low, length) = self.range(bucket);
        low + (length - 1)
    }

    /// What a quantile that falls into `bucket` reads, in the field's unit.
    #[inline]
    pub fn quantile_value(&self, bucket: u16, quantile: f64) -> f64 {
        let integer = if quantile == 0.0 { self.lowest_equivalent(bucket) } else { self.highest_equivalent(bucket) };
        integer as f64 * self.unit
    }

    /// Compiles `quantile(q) <cmp> threshold` into a question about counts.
    pub fn test(&self, quantile: f64, cmp: Cmp, threshold: f64) -> QuantileTest {
        let inside = |bucket: u32| {
            let value = self.quantile_value(bucket as u16, quantile);
            match cmp {
                Cmp::Gt | Cmp::Le => value <= threshold,
                Cmp::Ge | Cmp::Lt => value < threshold,
            }
        };
        let (mut below, mut above) = (0, self.buckets);
        while below < above {
            let middle = (below + above) / 2;
            match inside(middle) {
                true => below = middle + 1,
                false => above = middle,
            }
        }
        let outcome = match cmp {
            _ if threshold.is_nan() => Outcome::Never,
            Cmp::Gt | Cmp::Ge => Outcome::Above,
            Cmp::Lt | Cmp::Le => Outcome::Below,
        };
        QuantileTest { quantile, cut: below, outcome }
    }
}

/// How many samples must lie at or below the answer: `max(1, ⌈q · n⌉)`, computed as the crate does, in floats.
#[inline]
pub fn rank(quantile: f64, samples: u64) -> u64 {
    let quantile = if quantile > 1.0 { 1.0 } else { quantile };
    ((quantile * samples as f64).ceil() as u64).clamp(1, samples.max(1))
}

/// The comparisons a threshold can be pushed down for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cmp {
    Gt,
    Ge,
    Lt,
    Le,
}

impl Cmp {
    pub const ALL: [Cmp; 4] = [Cmp::Gt, Cmp::Ge, Cmp::Lt, Cmp::Le];

    pub fn holds(self, left: f64, right: f64) -> bool {
        match (self, left.partial_cmp(&right)) {
            (_, None) => false,
            (Cmp::Gt, Some(order)) => order == Ordering::Greater,
            (Cmp::Ge, Some(order)) => order != Ordering::Less,
            (Cmp::Lt, Some(order)) => order == Ordering::Less,
            (Cmp::Le, Some(order)) => order != Ordering::Greater,
        }
    }
}

/// `quantile(q) <cmp> t`, compiled: the quantile lies in a bucket at or above `cut` exactly when fewer than
/// `rank(q, n)` samples lie in the buckets below it, so the rule layer can judge by counting. Make it once a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantileTest {
    quantile: f64,
    cut: u32,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// True where the quantile's bucket is at or above the cut.
    Above,
    /// True where it is below.
    Below,
    /// The threshold is NaN.
    Never,
}

impl QuantileTest {
    pub fn quantile(&self) -> f64 {
        self.quantile
    }

    /// Buckets below this one are on the near side.
    pub fn cut(&self) -> u32 {
        self.cut
    }

    /// Whether the comparison holds, given all samples and those in buckets below the cut.
    #[inline]
    pub fn judge(&self, samples: u64, below: u64) -> bool {
        let above = below < rank(self.quantile, samples);
        match self.outcome {
            Outcome::Above => above,
            Outcome::Below => !above,
            Outcome::Never => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;
    use proptest::prelude::*;

    fn spec() -> impl Strategy<Value = HistogramSpec> {
        (1u8..=3, prop::sample::select(vec![1.0, 0.001, 0.5, 10.0]), 0.0..45.0f64)
            .prop_map(|(digits, unit, bits)| HistogramSpec { unit, highest: unit * bits.exp2(), digits })
    }

    fn oracle(geometry: &Geometry) -> Histogram<u64> {
        Histogram::new_with_bounds(1, geometry.high(), geometry.digits()).expect("bounds are valid")
    }

    #[test]
    fn the_default_for_integers_has_3328_buckets_and_23552_at_three_digits() {
        let two = Geometry::new(&HistogramSpec::INT);
        let three = Geometry::new(&HistogramSpec { digits: 3, ..HistogramSpec::INT });
        assert_eq!((two.buckets(), three.buckets()), (3328, 23_552));
        let widest = HistogramSpec { unit: 1.0, highest: f64::MAX, digits: 3 };
        assert!(Geometry::new(&widest).buckets() <= 1 << 16, "H2");
    }

    #[test]
    fn odd_values_are_named() {
        let geometry = Geometry::new(&HistogramSpec { unit: 0.5, highest: 100.0, digits: 2 });
        assert_eq!(geometry.place(f64::NAN), Placed::Null);
        assert_eq!(geometry.place(-0.1), Placed::Refused(Refusal::Negative));
        assert_eq!(geometry.place(f64::INFINITY), Placed::Refused(Refusal::NotANumber));
        assert_eq!(geometry.place(f64::NEG_INFINITY), Placed::Refused(Refusal::NotANumber));
        assert_eq!(geometry.place(-0.0), Placed::Bucket(0));
        assert_eq!(geometry.place(0.24), Placed::Bucket(0));
        assert_eq!(geometry.place(0.25), Placed::Bucket(1));
        assert_eq!(geometry.place(100.2), Placed::Bucket(200));
        assert_eq!(geometry.place(100.25), Placed::Saturated(200));
        assert_eq!(geometry.place(f64::MAX), Placed::Saturated(200));
    }

    proptest! {
        /// H1, H3
        #[test]
        fn one_sample_reads_as_in_the_crate(spec in spec(), share in 0.0..1.3f64, quantile in 0.0..=1.0f64) {
            let geometry = Geometry::new(&spec);
            let mut crate_histogram = oracle(&geometry);
            prop_assert_eq!(crate_histogram.distinct_values(), geometry.buckets());
            let value = (share * (spec.highest / spec.unit).ln_1p()).exp_m1() * spec.unit;
            let integer = (value / spec.unit).round() as u64;
            crate_histogram.saturating_record(integer.min(geometry.high()));
            let bucket = match geometry.place(value) {
                Placed::Bucket(bucket) => { prop_assert!(integer <= geometry.high()); bucket }
                Placed::Saturated(bucket) => { prop_assert!(integer > geometry.high()); bucket }
                other => panic!("{value} was {other:?}"),
            };
            let expected = crate_histogram.value_at_quantile(quantile) as f64 * spec.unit;
            prop_assert_eq!(geometry.quantile_value(bucket, quantile), expected);
            prop_assert_eq!(geometry.bucket_of(geometry.lowest_equivalent(bucket)), bucket);
        }

        #[test]
        fn a_test_says_what_the_comparison_says(
            spec in spec(), at in 0.0..1.0f64, nudge in -1i8..=1, quantile in prop::sample::select(vec![0.0, 0.5, 0.99])
        ) {
            let geometry = Geometry::new(&spec);
            let bucket = (at * geometry.buckets() as f64) as u16;
            let threshold = geometry.quantile_value(bucket, quantile);
            let threshold = match nudge { -1 => threshold.next_down(), 0 => threshold, _ => threshold.next_up() };
            for cmp in Cmp::ALL {
                let test = geometry.test(quantile, cmp, threshold);
                for other in bucket.saturating_sub(2)..=bucket.saturating_add(2).min(geometry.buckets() as u16 - 1) {
                    let below = u64::from(u32::from(other) < test.cut());
                    let expected = cmp.holds(geometry.quantile_value(other, quantile), threshold);
                    prop_assert_eq!(test.judge(1, below), expected, "{:?} bucket {}", cmp, other);
                }
                prop_assert!(!geometry.test(quantile, cmp, f64::NAN).judge(1, 1));
            }
        }
    }
}
