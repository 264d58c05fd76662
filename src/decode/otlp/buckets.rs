//! Percentiles of the histograms that metrics carry.
//!
//! A data point of a histogram is one row, with its `count`, `sum`, `min` and `max`. Its buckets are reachable as
//! estimates `p50`, `p90`, `p95`, `p99` and `p999`: a bucket per row would multiply the rows, and a list has no place in
//! a typed column. The estimates are Prometheus': linear within an explicit bucket (the lowest starts at 0 when its
//! bound is positive, the last open one gives its lower bound), exponential within an exponential bucket. `min` and
//! `max` narrow them when the producer sends them. A summary gives the percentiles it holds, no others.

/// The percentiles of the columns, in the order of their slots.
pub(super) const PERCENTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];

/// The buckets of one data point, in the order of their values. Reused from point to point.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    /// Explicit: counts of `..=bounds[0]`, …, `bounds[n-1]..`.
    pub counts: Vec<u64>,
    pub bounds: Vec<f64>,
    /// Exponential: bucket i of the positive range holds `base^(offset+i) .. base^(offset+i+1)`, base = 2^(2^-scale).
    pub scale: i32,
    pub zero_count: u64,
    pub positive: (i32, Vec<u64>),
    pub negative: (i32, Vec<u64>),
}

impl Buckets {
    pub fn clear(&mut self) {
        self.counts.clear();
        self.bounds.clear();
        self.scale = 0;
        self.zero_count = 0;
        self.positive = (0, std::mem::take(&mut self.positive.1));
        self.positive.1.clear();
        self.negative = (0, std::mem::take(&mut self.negative.1));
        self.negative.1.clear();
    }

    /// The estimate for `q` in 0..=1; `None` when there is nothing to estimate from.
    pub fn explicit(&self, q: f64, min: Option<f64>, max: Option<f64>) -> Option<f64> {
        let total: u64 = self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count));
        if total == 0 || self.counts.len() != self.bounds.len() + 1 || self.bounds.is_empty() {
            return None;
        }
        let (index, within) = locate(self.counts.iter().copied(), q * total as f64)?;
        let estimate = match (index.checked_sub(1).map(|below| self.bounds[below]), self.bounds.get(index)) {
            (_, None) => max.unwrap_or(self.bounds[index - 1]),
            (Some(lower), Some(upper)) => lower + (upper - lower) * within,
            (None, Some(upper)) => match min {
                Some(lower) if lower <= *upper => lower + (upper - lower) * within,
                _ if *upper > 0.0 => upper * within,
                _ => *upper,
            },
        };
        Some(narrowed(estimate, min, max))
    }

    /// As [`Buckets::explicit`], for an exponential histogram.
    pub fn exponential(&self, q: f64, min: Option<f64>, max: Option<f64>) -> Option<f64> {
        let (negative, positive) = (&self.negative.1, &self.positive.1);
        // In the order of values: negative buckets from the far end, the zeros, positive buckets.
        let counts =
            || negative.iter().rev().copied().chain(std::iter::once(self.zero_count)).chain(positive.iter().copied());
        let total = counts().fold(0u64, u64::saturating_add);
        if total == 0 {
            return None;
        }
        let (index, within) = locate(counts(), q * total as f64)?;
        let width = (-f64::from(self.scale)).exp2();
        let bound = |offset: i32, bucket: f64| ((f64::from(offset) + bucket) * width).exp2();
        let estimate = match index.checked_sub(negative.len() + 1) {
            Some(bucket) => bound(self.positive.0, bucket as f64 + within),
            None if index == negative.len() => 0.0,
            // Within a negative bucket values grow towards zero.
            None => -bound(self.negative.0, (negative.len() - 1 - index) as f64 + 1.0 - within),
        };
        // Offsets near the ends of their range are beyond any float.
        Some(narrowed(estimate, min, max)).filter(|estimate| estimate.is_finite())
    }
}

/// The bucket in which the `rank`-th value lies, and how far into it (0..=1).
fn locate(counts: impl Iterator<Item = u64>, rank: f64) -> Option<(usize, f64)> {
    let mut below = 0.0;
    let mut last = None;
    for (index, count) in counts.enumerate().filter(|(_, count)| *count > 0) {
        let count = count as f64;
        if below + count >= rank {
            return Some((index, ((rank - below) / count).clamp(0.0, 1.0)));
        }
        below += count;
        last = Some((index, 1.0));
    }
    last
}

fn narrowed(estimate: f64, min: Option<f64>, max: Option<f64>) -> f64 {
    let estimate = min.map_or(estimate, |min| estimate.max(min));
    max.map_or(estimate, |max| estimate.min(max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(estimates: impl Iterator<Item = Option<f64>>) -> String {
        estimates.map(|value| value.map_or("-".into(), |value| format!("{value:.3}"))).collect::<Vec<_>>().join(" ")
    }

    fn check(bounds: &[f64], counts: &[u64], min: Option<f64>, max: Option<f64>, expect: &str) {
        let buckets = Buckets { bounds: bounds.to_vec(), counts: counts.to_vec(), ..Buckets::default() };
        assert_eq!(shown(PERCENTILES.iter().map(|q| buckets.explicit(*q, min, max))), expect);
    }

    #[test]
    fn explicit_buckets_are_linear_inside() {
        // Hand-computed as Prometheus' histogram_quantile does it.
        check(&[1.0, 2.0, 4.0], &[10, 80, 10, 0], None, None, "1.500 2.000 3.000 3.800 3.980");
        check(&[1.0, 2.0, 4.0], &[10, 80, 10, 0], Some(0.5), Some(3.5), "1.500 2.000 3.000 3.500 3.500");
        // The lowest bucket starts at zero, or at the minimum; the highest ends at the maximum, if that is known.
        check(&[10.0], &[100, 0], None, None, "5.000 9.000 9.500 9.900 9.990");
        check(&[10.0], &[100, 0], Some(9.0), None, "9.500 9.900 9.950 9.990 9.999");
        check(&[-10.0], &[100, 0], None, None, "-10.000 -10.000 -10.000 -10.000 -10.000");
        check(&[10.0], &[0, 100], None, None, "10.000 10.000 10.000 10.000 10.000");
        check(&[10.0], &[0, 100], None, Some(70.0), "70.000 70.000 70.000 70.000 70.000");
        // Nothing, or nonsense, gives nothing.
        check(&[10.0], &[0, 0], None, None, "- - - - -");
        check(&[], &[5], None, None, "- - - - -");
        check(&[1.0], &[1, 1, 1], None, None, "- - - - -");
    }

    fn check_exponential(buckets: Buckets, expect: &str) {
        assert_eq!(shown(PERCENTILES.iter().map(|q| buckets.exponential(*q, None, None))), expect);
    }

    #[test]
    fn exponential_buckets_are_exponential_inside() {
        // Scale 0: powers of two. One bucket from 4 to 8.
        let positive = |scale, offset, counts: &[u64]| Buckets {
            scale,
            positive: (offset, counts.to_vec()),
            ..Buckets::default()
        };
        check_exponential(positive(0, 2, &[100]), "5.657 7.464 7.727 7.945 7.994");
        // A finer scale: eight buckets an octave.
        check_exponential(positive(3, 0, &[50, 50]), "1.091 1.169 1.179 1.187 1.189");
        // Half zeros, half below zero.
        check_exponential(
            Buckets { zero_count: 50, negative: (0, vec![50]), ..Buckets::default() },
            "-1.000 0.000 0.000 0.000 0.000",
        );
        check_exponential(Buckets::default(), "- - - - -");
    }
}
