//! Dense counters of all buckets, for what is too busy for a log.
//!
//! - `C1` a counter never wraps and never saturates: 32 bits while all samples together fit, 64 bits beyond

use super::codec::{RunWriter, Runs};

#[derive(Clone, Debug)]
pub(super) enum Counts {
    Small(Box<[u32]>),
    Large(Box<[u64]>),
}

impl Counts {
    pub(super) fn new(buckets: usize) -> Counts {
        Counts::Small(vec![0; buckets].into())
    }

    /// Makes room for `samples` samples in all (`C1`).
    #[inline]
    pub(super) fn reserve(&mut self, samples: u64) {
        if let Counts::Small(small) = self
            && samples > u64::from(u32::MAX)
        {
            *self = Counts::Large(small.iter().map(|count| u64::from(*count)).collect());
        }
    }

    #[inline]
    pub(super) fn add_samples(&mut self, samples: impl Iterator<Item = u16>) {
        match self {
            Counts::Small(counts) => samples.for_each(|bucket| counts[usize::from(bucket)] += 1),
            Counts::Large(counts) => samples.for_each(|bucket| counts[usize::from(bucket)] += 1),
        }
    }

    pub(super) fn add_runs(&mut self, runs: Runs) {
        match self {
            Counts::Small(counts) => runs.for_each(|(bucket, count)| counts[usize::from(bucket)] += count as u32),
            Counts::Large(counts) => runs.for_each(|(bucket, count)| counts[usize::from(bucket)] += count),
        }
    }

    pub(super) fn subtract_runs(&mut self, runs: Runs) {
        match self {
            Counts::Small(counts) => runs.for_each(|(bucket, count)| counts[usize::from(bucket)] -= count as u32),
            Counts::Large(counts) => runs.for_each(|(bucket, count)| counts[usize::from(bucket)] -= count),
        }
    }

    /// Samples in the buckets `start..end`.
    #[inline]
    pub(super) fn sum(&self, start: usize, end: usize) -> u64 {
        match self {
            Counts::Small(counts) => counts[start..end].iter().map(|count| u64::from(*count)).sum(),
            Counts::Large(counts) => counts[start..end].iter().sum(),
        }
    }

    /// The bucket from `start` on at which `rank` samples (at least 1) are reached.
    pub(super) fn bucket_at(&self, start: usize, rank: u64) -> u16 {
        let mut left = rank;
        let mut reached = |count: u64| match count < left {
            true => {
                left -= count;
                false
            }
            false => true,
        };
        let found = match self {
            Counts::Small(counts) => counts[start..].iter().position(|count| reached(u64::from(*count))),
            Counts::Large(counts) => counts[start..].iter().position(|count| reached(*count)),
        };
        (start + found.expect("the rank is at most the number of samples")) as u16
    }

    /// Writes all buckets with samples as runs, and empties them.
    pub(super) fn drain_runs(&mut self, out: &mut Vec<u8>) {
        let mut writer = RunWriter::new(out);
        match self {
            Counts::Small(counts) => {
                // Most buckets are empty: look at eight at once.
                for (eighth, chunk) in counts.chunks_mut(8).enumerate() {
                    if chunk.iter().fold(0, |any, count| any | count) == 0 {
                        continue;
                    }
                    for (offset, count) in chunk.iter_mut().enumerate().filter(|(_, count)| **count > 0) {
                        writer.push((eighth * 8 + offset) as u16, u64::from(std::mem::take(count)));
                    }
                }
            }
            Counts::Large(counts) => {
                for (bucket, count) in counts.iter_mut().enumerate().filter(|(_, count)| **count > 0) {
                    writer.push(bucket as u16, std::mem::take(count));
                }
            }
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Counts::Small(counts) => counts.len() * 4,
            Counts::Large(counts) => counts.len() * 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C1
    #[test]
    fn counters_widen_before_they_would_wrap() {
        let mut runs = Vec::new();
        RunWriter::new(&mut runs).push(3, 3_000_000_000);
        let mut counts = Counts::new(8);
        for round in 1..=3u64 {
            counts.reserve(round * 3_000_000_000);
            counts.add_runs(Runs::new(&runs));
        }
        assert_eq!((counts.sum(0, 8), counts.bucket_at(0, 9_000_000_000)), (9_000_000_000, 3));
        counts.subtract_runs(Runs::new(&runs));
        let mut drained = Vec::new();
        counts.drain_runs(&mut drained);
        assert_eq!(Runs::new(&drained).collect::<Vec<_>>(), [(3, 6_000_000_000)]);
        assert_eq!(counts.sum(0, 8), 0);
    }
}
