//! Counters by bucket, as wide as they must be.
//!
//! - `C1` a counter never wraps and never saturates: 16 bits while all samples together fit, then 32, then 64
//!
//! Half of the memory and of the cache misses of a dense array are its width, and few groups have more than 65,535
//! samples in a window.

use super::codec::{RunWriter, Runs};
use super::storage::prefetch;

/// A counter of some width.
pub(super) trait Counter: Copy + Default + PartialEq {
    fn get(self) -> u64;
    fn add(&mut self, count: u64);
    fn subtract(&mut self, count: u64);
}

macro_rules! counters {
    ($($width:ty),*) => {$(
        impl Counter for $width {
            #[inline(always)]
            fn get(self) -> u64 {
                self.into()
            }

            #[inline(always)]
            fn add(&mut self, count: u64) {
                *self += count as $width;
            }

            #[inline(always)]
            fn subtract(&mut self, count: u64) {
                *self -= count as $width;
            }
        }
    )*};
}

counters!(u16, u32, u64);

#[derive(Clone, Debug)]
pub(super) enum Counts {
    Narrow(Box<[u16]>),
    Middle(Box<[u32]>),
    Wide(Box<[u64]>),
}

/// Runs `$body` with `$counts` as the slice of counters, whatever their width.
macro_rules! with_counts {
    ($self:expr, $counts:ident => $body:expr) => {
        match $self {
            Counts::Narrow($counts) => $body,
            Counts::Middle($counts) => $body,
            Counts::Wide($counts) => $body,
        }
    };
}

impl Counts {
    pub(super) fn new(buckets: usize) -> Counts {
        Counts::Narrow(vec![0; buckets].into())
    }

    /// Makes the counters wide enough for `samples` samples in all (`C1`).
    #[inline]
    pub(super) fn reserve(&mut self, samples: u64) {
        let enough = match self {
            Counts::Narrow(_) => samples <= u64::from(u16::MAX),
            Counts::Middle(_) => samples <= u64::from(u32::MAX),
            Counts::Wide(_) => true,
        };
        if !enough {
            self.widen(samples);
        }
    }

    #[cold]
    fn widen(&mut self, samples: u64) {
        *self = match samples <= u64::from(u32::MAX) {
            true => Counts::Middle(with_counts!(&*self, counts => counts.iter().map(|c| c.get() as u32).collect())),
            false => Counts::Wide(with_counts!(&*self, counts => counts.iter().map(|c| c.get()).collect())),
        };
    }

    pub(super) fn len(&self) -> usize {
        with_counts!(self, counts => counts.len())
    }

    fn truncate(&mut self, len: usize) {
        with_counts!(self, counts => *counts = counts[..len].into());
    }

    #[inline]
    pub(super) fn add_samples(&mut self, samples: impl Iterator<Item = u16>) {
        with_counts!(self, counts => samples.for_each(|bucket| counts[usize::from(bucket)].add(1)));
    }

    /// Samples in the buckets `start..end`.
    #[inline]
    pub(super) fn sum(&self, start: usize, end: usize) -> u64 {
        with_counts!(self, counts => counts[start..end].iter().map(|count| count.get()).sum())
    }

    /// The bucket of `start..end` at which `rank` samples (at least 1) are reached, counted from `start`, and how many of
    /// them lie in it.
    pub(super) fn reach(&self, start: usize, end: usize, rank: u64) -> (usize, u64) {
        let mut left = rank;
        let found = with_counts!(self, counts => counts[start..end].iter().position(|count| {
            let here = count.get() >= left;
            if !here {
                left -= count.get();
            }
            here
        }));
        (found.expect("the rank is at most the number of samples"), left)
    }

    /// Writes all buckets with samples as runs, and empties them.
    pub(super) fn drain_runs(&mut self, out: &mut Vec<u8>) {
        with_counts!(self, counts => drain_runs(counts, out));
    }

    pub(super) fn heap_bytes(&self) -> usize {
        with_counts!(self, counts => size_of_val::<[_]>(counts))
    }
}

fn drain_runs<T: Counter>(counts: &mut [T], out: &mut Vec<u8>) {
    let mut writer = RunWriter::new(out);
    let zero = T::default();
    // Most buckets are empty: look at eight at once.
    for (eighth, chunk) in counts.chunks_mut(8).enumerate() {
        if chunk.iter().all(|count| *count == zero) {
            continue;
        }
        for (offset, count) in chunk.iter_mut().enumerate().filter(|(_, count)| **count != zero) {
            writer.push((eighth * 8 + offset) as u16, std::mem::take(count).get());
        }
    }
}

/// What one window counts of a histogram: coarse buckets, a power of two of buckets each, and, where it pays, each bucket.
/// Both stand in one array, so that they are as wide as each other and one allocation.
#[derive(Clone, Debug)]
pub(super) struct Total {
    samples: u64,
    shift: u32,
    /// Where the counters of single buckets begin; there may be none.
    coarse: u32,
    counts: Counts,
}

impl Total {
    /// For so many buckets, `2^shift` of which share a coarse bucket.
    pub(super) fn new(buckets: usize, shift: u32, fine: bool) -> Total {
        let coarse = (buckets >> shift) + 1;
        let counts = Counts::new(if fine { coarse + buckets } else { coarse });
        Total { samples: 0, shift, coarse: coarse as u32, counts }
    }

    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    /// Asks for the coarse counters.
    #[inline]
    pub(super) fn prefetch(&self) {
        with_counts!(&self.counts, counts => {
            let coarse = &counts[..self.coarse as usize];
            let line = 64 / size_of_val(&coarse[0]);
            coarse.iter().step_by(line).for_each(|counter| prefetch(counter));
        });
    }

    pub(super) fn is_fine(&self) -> bool {
        self.counts.len() > self.coarse as usize
    }

    /// Counts coarse buckets only, from here on.
    pub(super) fn forget_fine(&mut self) {
        self.counts.truncate(self.coarse as usize);
    }

    pub(super) fn add_log(&mut self, log: &[u16]) {
        self.samples += log.len() as u64;
        self.counts.reserve(self.samples);
        let (shift, fine) = (self.shift, self.is_fine());
        with_counts!(&mut self.counts, counts => {
            let (coarse, buckets) = counts.split_at_mut(self.coarse as usize);
            log.iter().for_each(|bucket| coarse[usize::from(bucket >> shift)].add(1));
            if fine {
                log.iter().for_each(|bucket| buckets[usize::from(*bucket)].add(1));
            }
        });
    }

    pub(super) fn subtract_log(&mut self, log: &[u16]) {
        self.samples -= log.len() as u64;
        let (shift, fine) = (self.shift, self.is_fine());
        with_counts!(&mut self.counts, counts => {
            let (coarse, buckets) = counts.split_at_mut(self.coarse as usize);
            log.iter().for_each(|bucket| coarse[usize::from(bucket >> shift)].subtract(1));
            if fine {
                log.iter().for_each(|bucket| buckets[usize::from(*bucket)].subtract(1));
            }
        });
    }

    /// Only where single buckets are counted.
    pub(super) fn add_runs(&mut self, samples: u64, runs: &[u8]) {
        self.samples += samples;
        self.counts.reserve(self.samples);
        let shift = self.shift;
        with_counts!(&mut self.counts, counts => {
            let (coarse, buckets) = counts.split_at_mut(self.coarse as usize);
            Runs::new(runs).for_each(|(bucket, count)| {
                coarse[usize::from(bucket >> shift)].add(count);
                buckets[usize::from(bucket)].add(count);
            });
        });
    }

    pub(super) fn subtract_runs(&mut self, samples: u64, runs: &[u8]) {
        self.samples -= samples;
        let shift = self.shift;
        with_counts!(&mut self.counts, counts => {
            let (coarse, buckets) = counts.split_at_mut(self.coarse as usize);
            Runs::new(runs).for_each(|(bucket, count)| {
                coarse[usize::from(bucket >> shift)].subtract(count);
                buckets[usize::from(bucket)].subtract(count);
            });
        });
    }

    /// Samples in coarse buckets before `coarse`, and in that one.
    #[inline]
    pub(super) fn around(&self, coarse: usize) -> (u64, u64) {
        let end = self.coarse as usize;
        (self.counts.sum(0, coarse.min(end)), self.counts.sum(coarse.min(end), (coarse + 1).min(end)))
    }

    /// Samples in the buckets `start..end`, where single buckets are counted.
    pub(super) fn between(&self, start: usize, end: usize) -> u64 {
        let fine = self.coarse as usize;
        self.counts.sum(fine + start, fine + end)
    }

    /// The coarse bucket at which `rank` samples are reached, and how many of them lie in it.
    pub(super) fn reach_coarse(&self, rank: u64) -> (usize, u64) {
        self.counts.reach(0, self.coarse as usize, rank)
    }

    /// The bucket from `start` on at which `rank` samples are reached, where single buckets are counted.
    pub(super) fn reach(&self, start: usize, rank: u64) -> u16 {
        let fine = self.coarse as usize;
        (start + self.counts.reach(fine + start, self.counts.len(), rank).0) as u16
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.counts.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C1
    #[test]
    fn counters_widen_before_they_would_wrap() {
        let mut total = Total::new(8, 2, true);
        total.add_log(&[1; 60_000]);
        assert_eq!(total.heap_bytes(), 11 * 2);
        total.add_log(&[1; 60_000]);
        assert_eq!(total.heap_bytes(), 11 * 4);
        let mut runs = Vec::new();
        RunWriter::new(&mut runs).push(5, 3_000_000_000);
        (0..3).for_each(|_| total.add_runs(3_000_000_000, &runs));
        assert_eq!(total.heap_bytes(), 11 * 8);
        assert_eq!((total.around(1), total.between(1, 2)), ((120_000, 9_000_000_000), 120_000));
        assert_eq!((total.reach_coarse(120_001), total.reach(4, 9_000_000_000)), ((1, 1), 5));
        (0..3).for_each(|_| total.subtract_runs(3_000_000_000, &runs));
        total.subtract_log(&[1; 60_000]);
        assert_eq!((total.samples(), total.around(0)), (60_000, (0, 60_000)));
    }

    #[test]
    fn drained_counts_are_empty() {
        let mut counts = Counts::new(20);
        counts.add_samples([3, 19, 3, 8].into_iter());
        let mut drained = Vec::new();
        counts.drain_runs(&mut drained);
        assert_eq!(Runs::new(&drained).collect::<Vec<_>>(), [(3, 2), (8, 1), (19, 1)]);
        assert_eq!(counts.sum(0, 20), 0);
    }
}
