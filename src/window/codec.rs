//! Bytes of panes: variable-length integers, and bucket counts as runs of (gap, count).

/// Appends `value`, seven bits a byte, least first.
#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads what [`put_varint`] wrote and moves `at` behind it; `None` where the bytes end early or hold more than 64 bits.
#[inline]
pub(crate) fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let first = *bytes.get(*at)?;
    *at += 1;
    match first < 0x80 {
        true => Some(u64::from(first)),
        false => varint_tail(bytes, at, u64::from(first & 0x7f)),
    }
}

fn varint_tail(bytes: &[u8], at: &mut usize, mut value: u64) -> Option<u64> {
    for shift in (7..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The next `length` bytes.
#[inline]
pub(crate) fn take<'a>(bytes: &'a [u8], at: &mut usize, length: usize) -> Option<&'a [u8]> {
    let end = at.checked_add(length)?;
    let taken = bytes.get(*at..end)?;
    *at = end;
    Some(taken)
}

pub(super) fn take_u64(bytes: &[u8], at: &mut usize) -> Option<u64> {
    take(bytes, at, 8).map(|taken| u64::from_le_bytes(taken.try_into().expect("eight bytes were taken")))
}

pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Bucket indexes as little-endian pairs of bytes.
#[inline]
pub(super) fn put_samples(out: &mut Vec<u8>, samples: &[u16]) {
    let start = out.len();
    out.resize(start + samples.len() * 2, 0);
    for (to, sample) in out[start..].chunks_exact_mut(2).zip(samples) {
        to.copy_from_slice(&sample.to_le_bytes());
    }
}

/// Reads what [`put_samples`] wrote.
#[inline]
pub(super) fn samples(bytes: &[u8]) -> impl ExactSizeIterator<Item = u16> + '_ {
    bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
}

/// Appends bucket counts in ascending order of bucket. A bucket with one sample, the common case, costs one byte:
/// the gap to the bucket before, doubled; the low bit says that a count follows.
#[derive(Debug)]
pub(super) struct RunWriter<'a> {
    out: &'a mut Vec<u8>,
    next: u64,
}

impl<'a> RunWriter<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        RunWriter { out, next: 0 }
    }

    /// `count` is at least 1.
    #[inline]
    pub(super) fn push(&mut self, bucket: u16, count: u64) {
        let gap = u64::from(bucket) - self.next;
        self.next = u64::from(bucket) + 1;
        put_varint(self.out, gap << 1 | u64::from(count > 1));
        if count > 1 {
            put_varint(self.out, count - 2);
        }
    }
}

/// Reads runs; ends at the first thing that is not one, so on foreign bytes use [`check_runs`] first.
#[derive(Clone, Debug)]
pub(super) struct Runs<'a> {
    bytes: &'a [u8],
    at: usize,
    next: u64,
}

impl<'a> Runs<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Runs { bytes, at: 0, next: 0 }
    }
}

impl Iterator for Runs<'_> {
    type Item = (u16, u64);

    #[inline]
    fn next(&mut self) -> Option<(u16, u64)> {
        let code = varint(self.bytes, &mut self.at)?;
        let bucket = u16::try_from(self.next.checked_add(code >> 1)?).ok()?;
        self.next = u64::from(bucket) + 1;
        let count = match code & 1 {
            0 => 1,
            _ => varint(self.bytes, &mut self.at)?.checked_add(2)?,
        };
        Some((bucket, count))
    }
}

/// Whether the bytes are runs to their end, with buckets below `buckets` and `samples` samples in all.
pub(super) fn check_runs(bytes: &[u8], buckets: usize, samples: u64) -> bool {
    let mut runs = Runs::new(bytes);
    let mut total = 0u64;
    while runs.at < bytes.len() {
        let Some((bucket, count)) = runs.next() else { return false };
        if usize::from(bucket) >= buckets {
            return false;
        }
        let Some(sum) = total.checked_add(count) else { return false };
        total = sum;
    }
    total == samples
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_come_back(values in prop::collection::vec(any::<u64>().prop_flat_map(|v| (0u32..64).prop_map(move |s| v >> s)), 0..20)) {
            let mut bytes = Vec::new();
            values.iter().for_each(|value| put_varint(&mut bytes, *value));
            let mut at = 0;
            for value in values {
                prop_assert_eq!(varint(&bytes, &mut at), Some(value));
            }
            prop_assert_eq!(at, bytes.len());
            prop_assert_eq!(varint(&bytes, &mut at), None);
        }

        #[test]
        fn runs_come_back(counts in prop::collection::btree_map(any::<u16>(), 1u64..5000, 0..40)) {
            let mut bytes = Vec::new();
            let mut writer = RunWriter::new(&mut bytes);
            counts.iter().for_each(|(bucket, count)| writer.push(*bucket, *count));
            let total = counts.values().sum();
            prop_assert!(check_runs(&bytes, 1 << 16, total));
            prop_assert!(!check_runs(&bytes, 1 << 16, total + 1));
            prop_assert_eq!(Runs::new(&bytes).collect::<Vec<_>>(), counts.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn garbage_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), total in any::<u64>()) {
            check_runs(&bytes, 3328, total);
            Runs::new(&bytes).for_each(drop);
        }

        #[test]
        fn zigzag_is_its_own_way_back(value in any::<i64>()) {
            prop_assert_eq!(unzigzag(zigzag(value)), value);
        }
    }
}
