//! Panes on their way from one shard to another: a flat run of (pane, key, partial) entries.
//!
//! One buffer holds what one shard has for another out of one feed and one close. Lengths are fixed-width: entries are
//! small, and reading must be able to skip.

use crate::model::time::EventTime;

/// Appends one entry; `write` appends the partial's bytes.
pub fn push(out: &mut Vec<u8>, pane: i64, key: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&pane.to_le_bytes());
    out.extend_from_slice(&(key.len() as u32).to_le_bytes());
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(key);
    let start = out.len();
    write(out);
    let length = (out.len() - start) as u32;
    out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
}

/// Reads entries back.
pub struct PaneReader<'a>(pub &'a [u8]);

impl<'a> Iterator for PaneReader<'a> {
    /// (pane, key, partial)
    type Item = (i64, &'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.0.split_at_checked(16)?;
        let pane = i64::from_le_bytes(head[..8].try_into().expect("eight bytes"));
        let key = u32::from_le_bytes(head[8..12].try_into().expect("four bytes")) as usize;
        let partial = u32::from_le_bytes(head[12..].try_into().expect("four bytes")) as usize;
        let (key, rest) = rest.split_at_checked(key)?;
        let (partial, rest) = rest.split_at_checked(partial)?;
        self.0 = rest;
        Some((pane, key, partial))
    }
}

/// The end (in bytes) of each run of entries with the same pane.
pub fn runs(bytes: &[u8]) -> Vec<(i64, usize)> {
    let mut runs: Vec<(i64, usize)> = Vec::new();
    let mut reader = PaneReader(bytes);
    while let Some((pane, ..)) = reader.next() {
        let end = bytes.len() - reader.0.len();
        match runs.last_mut() {
            Some((last, at)) if *last == pane => *at = end,
            _ => runs.push((pane, end)),
        }
    }
    runs
}

/// The last pane of length `pane` milliseconds that ends at or before `watermark`.
pub fn last_closed(watermark: EventTime, pane: i64) -> i64 {
    watermark.0.div_euclid(pane).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_as_they_went_in() {
        let mut bytes = Vec::new();
        push(&mut bytes, -3, b"key", |out| out.extend_from_slice(b"content"));
        push(&mut bytes, 9, b"", |_| {});
        let read: Vec<_> = PaneReader(&bytes).collect();
        assert_eq!(read, [(-3, &b"key"[..], &b"content"[..]), (9, &b""[..], &b""[..])]);
        assert_eq!(PaneReader(&bytes[..bytes.len() - 1]).count(), 1, "a cut packet ends early and does not panic");
    }
}
