//! Where group keys stand: blocks of memory, cut into multiples of eight bytes.
//!
//! One allocation per key would cost more than the key; one growing vector would copy all keys each time it grows. So
//! there are blocks, of which only the last one grows. The room of a removed key is kept for the next key of the same
//! size, which with labels that churn (pods, addresses) soon comes.

use std::collections::BTreeMap;

use super::prefetch;

/// Bytes in a unit: what places count in, so 32 bits reach 32 GiB.
const UNIT: usize = 8;
const BLOCK_UNITS: usize = 1 << 15;

/// Bytes of the longest key: more than 64 values of a kibibyte.
pub(super) const KEY_BYTES_MAX: usize = BLOCK_UNITS * UNIT;

/// Where a key stands, and its length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    unit: u32,
    len: u32,
}

impl Place {
    pub(super) const NONE: Place = Place { unit: u32::MAX, len: u32::MAX };

    /// Bytes of the key.
    pub(super) fn len(self) -> usize {
        self.len as usize
    }

    /// Units taken: an empty key takes one, too, so that no two keys share a place.
    fn units(self) -> u32 {
        self.len.div_ceil(UNIT as u32).max(1)
    }
}

#[derive(Debug, Default)]
pub(super) struct Arena {
    /// All but the last are full, or nearly.
    blocks: Vec<Vec<u8>>,
    /// First units of free rooms, by their size in units.
    rooms: BTreeMap<u32, Vec<u32>>,
}

impl Arena {
    #[inline]
    pub(super) fn get(&self, place: Place) -> &[u8] {
        let (block, start) = (place.unit as usize / BLOCK_UNITS, place.unit as usize % BLOCK_UNITS * UNIT);
        &self.blocks[block][start..start + place.len as usize]
    }

    #[inline]
    pub(super) fn prefetch(&self, place: Place) {
        let (block, start) = (place.unit as usize / BLOCK_UNITS, place.unit as usize % BLOCK_UNITS * UNIT);
        prefetch(&self.blocks[block][start]);
    }

    pub(super) fn insert(&mut self, key: &[u8]) -> Place {
        assert!(key.len() <= KEY_BYTES_MAX, "a group key has at most {KEY_BYTES_MAX} bytes");
        let mut place = Place { unit: 0, len: key.len() as u32 };
        place.unit = match self.rooms.get_mut(&place.units()).and_then(Vec::pop) {
            Some(unit) => unit,
            None => self.extend(place.units() as usize),
        };
        let (block, start) = (place.unit as usize / BLOCK_UNITS, place.unit as usize % BLOCK_UNITS * UNIT);
        self.blocks[block][start..start + key.len()].copy_from_slice(key);
        place
    }

    pub(super) fn remove(&mut self, place: Place) {
        self.rooms.entry(place.units()).or_default().push(place.unit);
    }

    /// New units at the end, in one block.
    fn extend(&mut self, units: usize) -> u32 {
        if self.blocks.last().is_none_or(|block| block.len() / UNIT + units > BLOCK_UNITS) {
            self.blocks.push(Vec::new());
        }
        let last = self.blocks.len() - 1;
        let block = &mut self.blocks[last];
        let start = block.len() / UNIT;
        block.resize(block.len() + units * UNIT, 0);
        (last * BLOCK_UNITS + start) as u32
    }

    pub(super) fn bytes(&self) -> usize {
        let rooms: usize = self.rooms.values().map(|rooms| rooms.capacity() * size_of::<u32>()).sum();
        self.blocks.iter().map(Vec::capacity).sum::<usize>() + rooms
    }
}
