//! The pane log: the bytes of every partial that was merged into a book, for as long as a window can reach them.
//!
//! Windows are sums of panes, so the panes are the state: a checkpoint writes the log, and a restart merges it again. The
//! obvious other way, to walk all windows and write what they hold, costs the whole state at every checkpoint and
//! stalls the shard for it. The log costs one copy of some twenty bytes when a pane is merged, and is then shared with
//! whoever writes it to disk. It is not compressed: partials are dense. zstd at level 1 takes off a quarter, and costs the
//! thread that reads records as much as all the rest of a checkpoint; at its fastest level it takes off nothing.
//!
//! - `B1` replaying the log in order, into windows that are advanced to the pane that was closed last, makes the windows
//!   the book has
//! - `B2` a block is dropped when no window reaches any of its panes
//!
//! An entry is `varint(2·gid)`, the pane as zigzag varint of its distance from the entry before, the length of the partial
//! as varint, the partial. `varint(2·gid + 1)` alone says that the group was forgotten: its id may come back for another.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::window::codec::{put_varint, take, unzigzag, varint, zigzag};

/// Bytes after which a block is closed.
const BLOCK_BYTES: usize = 256 << 10;

#[derive(Debug, Default)]
pub struct PaneLog {
    blocks: VecDeque<PaneBlock>,
    open: Vec<u8>,
    open_last: i64,
    before: i64,
}

/// Some entries of the log. They never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaneBlock {
    /// The newest pane in it.
    pub last_pane: i64,
    pub bytes: Arc<[u8]>,
    /// Bytes when unpacked, where the block is compressed with zstd: an older Foghorn's are.
    pub unpacked: Option<NonZeroU32>,
}

impl PaneLog {
    pub fn push(&mut self, gid: u32, pane: i64, partial: &[u8]) {
        self.append(Entry::Partial { gid, pane, partial });
        if self.open.len() >= BLOCK_BYTES {
            self.seal();
        }
    }

    pub fn forget(&mut self, gid: u32) {
        if !self.open.is_empty() || !self.blocks.is_empty() {
            self.append(Entry::Forgotten { gid });
        }
    }

    fn append(&mut self, entry: Entry<'_>) {
        if self.open.is_empty() {
            (self.before, self.open_last) = (0, i64::MIN);
        }
        match entry {
            Entry::Partial { gid, pane, partial } => {
                put_varint(&mut self.open, u64::from(gid) << 1);
                put_varint(&mut self.open, zigzag(pane.wrapping_sub(self.before)));
                put_varint(&mut self.open, partial.len() as u64);
                self.open.extend_from_slice(partial);
                self.before = pane;
                self.open_last = self.open_last.max(pane);
            }
            Entry::Forgotten { gid } => put_varint(&mut self.open, u64::from(gid) << 1 | 1),
        }
    }

    /// No window reaches panes before `pane` any more (`B2`).
    pub fn drop_before(&mut self, pane: i64) {
        while self.blocks.front().is_some_and(|block| block.last_pane < pane) {
            self.blocks.pop_front();
        }
        if self.blocks.is_empty() && !self.open.is_empty() && self.open_last < pane {
            self.open.clear();
        }
    }

    /// All of it, oldest first; what is closed already is shared, not copied.
    pub fn blocks(&mut self) -> Vec<PaneBlock> {
        self.seal();
        self.blocks.iter().cloned().collect()
    }

    /// Closes what is open. A block that is still small is opened again for it, so that many checkpoints do not
    /// leave many small blocks.
    fn seal(&mut self) {
        if self.open.is_empty() {
            return;
        }
        if let Some(last) = self.blocks.pop_back_if(|last| last.bytes.len() < BLOCK_BYTES / 4) {
            // Entries are written as distances, so blocks are joined entry by entry.
            let open = std::mem::take(&mut self.open);
            for entries in [&*last.bytes, &open] {
                Entries::new(entries).for_each(|entry| self.append(entry));
            }
        }
        self.blocks.push_back(PaneBlock {
            last_pane: self.open_last,
            bytes: self.open.as_slice().into(),
            unpacked: None,
        });
        self.open.clear();
    }

    /// Heap bytes held.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.bytes.len() + size_of::<PaneBlock>()).sum::<usize>() + self.open.capacity()
    }
}

impl PaneBlock {
    /// The entries' bytes, for [`Entries`]; `None` where they are damaged.
    pub fn unpack(&self) -> Option<Cow<'_, [u8]>> {
        match self.unpacked {
            None => Some(Cow::Borrowed(&self.bytes)),
            Some(length) => zstd::bulk::decompress(&self.bytes, length.get() as usize).ok().map(Cow::Owned),
        }
    }
}

/// One entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    Partial { gid: u32, pane: i64, partial: &'a [u8] },
    Forgotten { gid: u32 },
}

/// Reads entries back; ends at the first thing that is none.
#[derive(Debug)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    before: i64,
}

impl<'a> Entries<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Entries { bytes, before: 0 }
    }

    /// What could not be read.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let (bytes, mut at) = (self.bytes, 0);
        let head = varint(bytes, &mut at)?;
        let gid = u32::try_from(head >> 1).ok()?;
        if head & 1 == 1 {
            self.bytes = &bytes[at..];
            return Some(Entry::Forgotten { gid });
        }
        let pane = self.before.wrapping_add(unzigzag(varint(bytes, &mut at)?));
        let length = usize::try_from(varint(bytes, &mut at)?).ok()?;
        let partial = take(bytes, &mut at, length)?;
        (self.bytes, self.before) = (&bytes[at..], pane);
        Some(Entry::Partial { gid, pane, partial })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(log: &mut PaneLog) -> Vec<(u32, Option<(i64, Vec<u8>)>)> {
        let mut out = Vec::new();
        for block in log.blocks() {
            let bytes = block.unpack().expect("whole");
            let mut entries = Entries::new(&bytes);
            for entry in &mut entries {
                out.push(match entry {
                    Entry::Partial { gid, pane, partial } => (gid, Some((pane, partial.to_vec()))),
                    Entry::Forgotten { gid } => (gid, None),
                });
            }
            assert_eq!(entries.rest(), b"");
        }
        out
    }

    proptest! {
        #[test]
        fn entries_come_back_in_order_however_often_a_checkpoint_is_taken(
            entries in prop::collection::vec((any::<u32>(), any::<i64>(), prop::collection::vec(any::<u8>(), 0..40)), 1..200),
            cuts in prop::collection::vec(any::<bool>(), 200),
        ) {
            let mut log = PaneLog::default();
            for ((gid, pane, partial), cut) in entries.iter().zip(cuts) {
                log.push(*gid, *pane, partial);
                if cut {
                    log.forget(*gid);
                    log.blocks();
                }
            }
            let read: Vec<_> = read(&mut log).into_iter().filter_map(|(gid, e)| e.map(|(p, b)| (gid, p, b))).collect();
            prop_assert_eq!(read, entries);
        }

        #[test]
        fn garbage_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            Entries::new(&bytes).for_each(drop);
        }
    }

    #[test]
    fn what_no_window_reaches_is_dropped_and_the_rest_stays() {
        let mut log = PaneLog::default();
        let partial = vec![7; 4096];
        for pane in 0..200 {
            log.push(1, pane, &partial);
        }
        log.drop_before(150);
        let left = read(&mut log);
        let first = left.iter().filter_map(|(_, entry)| entry.as_ref().map(|(pane, _)| *pane)).min();
        assert!(
            (86..=150).contains(&first.expect("there is some")),
            "{first:?}: whole blocks go, no reachable one does"
        );
        assert_eq!(left.last().and_then(|(_, entry)| entry.as_ref().map(|(pane, _)| *pane)), Some(199));
        log.drop_before(10_000);
        assert!(read(&mut log).is_empty());
    }

    #[test]
    fn many_checkpoints_of_a_quiet_feed_leave_few_blocks() {
        let mut log = PaneLog::default();
        for pane in 0..5_000 {
            log.push(3, pane, b"twenty bytes of pane");
            log.blocks();
        }
        assert!(log.blocks().len() <= 4, "{} blocks", log.blocks().len());
    }
}
