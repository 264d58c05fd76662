//! Group ids: which group of a rule's group-by an event belongs to, as a small dense number.
//!
//! Everything downstream (open panes, windows, hold states) indexes arrays by that number, so this is the one place
//! where an event's text is looked up. It is looked up for every event, and with many groups nearly every look is a
//! cache miss. A hash map takes the misses of one event after those of another. Here a block of rows goes through in
//! passes: keys are encoded; hashed, and their slots prefetched; slots are read, and the keys they point at
//! prefetched; keys are compared. The misses of a block overlap: against a map with owned keys that is a third faster
//! at ten thousand groups, three times at a hundred thousand, five times at a million.
//!
//! The index is open addressing with linear probing over 16-byte slots that hold 32 bits of the hash, the group id and
//! where the key stands. The place of a slot is the *top* bits of those same 32, so growing and closing gaps never
//! have to read a key. A removed group closes its gap at once (no tombstones), and its id and the room of its key are
//! used again.
//!
//! - `G1` equal keys have equal ids for as long as the group lives, whatever batch they come in
//! - `G2` a group that is known is found without allocation, and also when the limit is reached
//! - `G3` what can be observed does not depend on hashes: listings go by key

mod arena;
mod key;

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;
use std::hash::Hasher;

use crate::model::batch::{Batch, Column};
use arena::{Arena, Place};
pub use key::{KeyPart, decode_key, encode_key, owner};

/// The id of an event whose group is new and over the limit.
pub const GROUP_OVERFLOW: u32 = u32::MAX;

/// Groups one index may hold, whatever its limit: ids and hashes have 32 bits, and probing wants spare bits.
pub const GROUPS_MAX: usize = 1 << 28;

/// Rows that are looked up together: enough to overlap their cache misses, few enough for their keys to stay in cache.
const BLOCK: usize = 512;

const SLOTS_MIN: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    /// [`GROUP_OVERFLOW`] where the slot is free.
    gid: u32,
    place: Place,
}

const FREE: Slot = Slot { hash: 0, gid: GROUP_OVERFLOW, place: Place::NONE };

/// The groups of one group-by.
#[derive(Debug)]
pub struct GroupIndex {
    limit: usize,
    seed: u64,
    shared: SharedSeed,
    /// A power of two, at most three quarters full.
    slots: Vec<Slot>,
    /// `hash >> shift` is where a slot wants to be.
    shift: u32,
    live: usize,
    /// By id; [`Place::NONE`] for ids that are not in use.
    places: Vec<Place>,
    free: Vec<u32>,
    arena: Arena,
    scratch: Scratch,
}

/// The keys of one block.
#[derive(Debug, Default)]
struct Scratch {
    /// One after the other, with room behind them.
    keys: Vec<u8>,
    /// Where each key ends in `keys`.
    ends: Vec<u32>,
    hashes: Vec<u32>,
}

impl GroupIndex {
    /// An index of at most `limit` groups. `seed` keeps others from choosing keys that collide; nothing that can be
    /// observed depends on it (`G3`).
    pub fn new(limit: usize, seed: u64) -> Self {
        GroupIndex {
            limit: limit.min(GROUPS_MAX),
            seed,
            shared: SharedSeed::from_u64(seed),
            slots: vec![FREE; SLOTS_MIN],
            shift: 32 - SLOTS_MIN.trailing_zeros(),
            live: 0,
            places: Vec::new(),
            free: Vec::new(),
            arena: Arena::default(),
            scratch: Scratch::default(),
        }
    }

    /// `gids[at]` becomes the group of row `sel[at]`, whose key is the values of `keys`, or [`GROUP_OVERFLOW`].
    pub fn lookup(&mut self, batch: &Batch, keys: &[&Column], sel: &[u32], gids: &mut Vec<u32>) {
        gids.clear();
        gids.reserve(sel.len());
        if keys.is_empty() {
            // One group, and nothing to encode.
            let gid = if sel.is_empty() { GROUP_OVERFLOW } else { self.lookup_key(&[]) };
            gids.resize(sel.len(), gid);
            return;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let room = keys.len() * key::VALUE_BYTES_MAX;
        for block in sel.chunks(BLOCK) {
            scratch.ends.clear();
            scratch.hashes.clear();
            let mut end = 0;
            for row in block {
                if scratch.keys.len() < end + room {
                    scratch.keys.resize((end + room) * 2, 0);
                }
                end += key::encode_row(batch, keys, *row as usize, &mut scratch.keys[end..end + room]);
                scratch.ends.push(end as u32);
            }
            // Not in the loop above: to read what was written a moment ago in other pieces stalls the processor.
            let mut start = 0;
            for end in &scratch.ends {
                let hash = self.hash(&scratch.keys[start..*end as usize]);
                start = *end as usize;
                prefetch(&self.slots[self.home(hash)]);
                scratch.hashes.push(hash);
            }
            for hash in &scratch.hashes {
                let slot = self.slots[self.home(*hash)];
                if slot.hash == *hash && slot.gid != GROUP_OVERFLOW {
                    self.arena.prefetch(slot.place);
                }
            }
            let mut start = 0;
            for (end, hash) in scratch.ends.iter().zip(&scratch.hashes) {
                let key = &scratch.keys[start..*end as usize];
                start = *end as usize;
                gids.push(self.find_or_add(key, *hash));
            }
        }
        self.scratch = scratch;
    }

    /// The group of an encoded key, which may come from another shard.
    pub fn lookup_key(&mut self, key: &[u8]) -> u32 {
        self.find_or_add(key, self.hash(key))
    }

    /// The group of an encoded key, where it is known.
    pub fn find(&self, key: &[u8]) -> Option<u32> {
        self.probe(key, self.hash(key)).ok().map(|at| self.slots[at].gid)
    }

    /// The encoded key of a live group.
    pub fn key(&self, gid: u32) -> &[u8] {
        self.arena.get(self.places[gid as usize])
    }

    /// The group's values as labels have them, in group-by order; `None` for null.
    pub fn values(&self, gid: u32) -> Vec<Option<String>> {
        decode_key(self.key(gid)).expect("keys in the index were encoded by it")
    }

    /// Forgets a live group. Its id may come back for another one.
    pub fn remove(&mut self, gid: u32) {
        let place = std::mem::replace(&mut self.places[gid as usize], Place::NONE);
        assert!(place != Place::NONE, "group {gid} is not live");
        let hash = self.hash(self.arena.get(place));
        let mask = self.slots.len() - 1;
        let mut gap = self.home(hash);
        while self.slots[gap].gid != gid {
            gap = (gap + 1) & mask;
        }
        // Whatever stands behind the gap and wants to be at or before it moves up.
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let slot = self.slots[at];
            if slot.gid == GROUP_OVERFLOW {
                break;
            }
            let home = self.home(slot.hash);
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(gap) & mask) {
                self.slots[gap] = slot;
                gap = at;
            }
        }
        self.slots[gap] = FREE;
        self.arena.remove(place);
        self.free.push(gid);
        self.live -= 1;
    }

    /// Groups it may hold.
    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn len(&self) -> usize {
        self.live
    }

    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Bytes of all live groups' keys.
    pub fn key_bytes(&self) -> usize {
        self.places.iter().filter(|place| **place != Place::NONE).map(|place| place.len()).sum()
    }

    /// One more than the largest id ever given: what arrays by id need.
    pub fn ids(&self) -> usize {
        self.places.len()
    }

    pub fn is_live(&self, gid: u32) -> bool {
        self.places.get(gid as usize).is_some_and(|place| *place != Place::NONE)
    }

    /// All live groups in the order of their keys (`G3`).
    pub fn sorted(&self) -> Vec<u32> {
        let mut gids: Vec<u32> = (0..self.places.len() as u32).filter(|gid| self.is_live(*gid)).collect();
        gids.sort_unstable_by(|a, b| self.key(*a).cmp(self.key(*b)));
        gids
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
            + self.places.capacity() * size_of::<Place>()
            + self.free.capacity() * size_of::<u32>()
            + self.arena.bytes()
            + self.scratch.keys.capacity()
            + (self.scratch.ends.capacity() + self.scratch.hashes.capacity()) * size_of::<u32>()
    }

    fn hash(&self, key: &[u8]) -> u32 {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        hasher.write(key);
        (hasher.finish() >> 32) as u32
    }

    fn home(&self, hash: u32) -> usize {
        (hash >> self.shift) as usize
    }

    /// Where the key's slot is, or the free slot where it would go.
    fn probe(&self, key: &[u8], hash: u32) -> Result<usize, usize> {
        let mask = self.slots.len() - 1;
        let mut at = self.home(hash);
        loop {
            let slot = &self.slots[at];
            if slot.gid == GROUP_OVERFLOW {
                return Err(at);
            }
            if slot.hash == hash && self.arena.get(slot.place) == key {
                return Ok(at);
            }
            at = (at + 1) & mask;
        }
    }

    fn find_or_add(&mut self, key: &[u8], hash: u32) -> u32 {
        match self.probe(key, hash) {
            Ok(at) => self.slots[at].gid,
            Err(_) if self.live >= self.limit => GROUP_OVERFLOW,
            Err(at) => self.add(key, hash, at),
        }
    }

    #[cold]
    fn add(&mut self, key: &[u8], hash: u32, mut at: usize) -> u32 {
        if (self.live + 1) * 4 > self.slots.len() * 3 {
            self.grow();
            at = self.vacancy(hash);
        }
        let place = self.arena.insert(key);
        let gid = match self.free.pop() {
            Some(gid) => {
                self.places[gid as usize] = place;
                gid
            }
            None => {
                self.places.push(place);
                self.places.len() as u32 - 1
            }
        };
        self.slots[at] = Slot { hash, gid, place };
        self.live += 1;
        gid
    }

    fn grow(&mut self) {
        let doubled = vec![FREE; self.slots.len() * 2];
        let slots = std::mem::replace(&mut self.slots, doubled);
        self.shift -= 1;
        for slot in slots.into_iter().filter(|slot| slot.gid != GROUP_OVERFLOW) {
            let at = self.vacancy(slot.hash);
            self.slots[at] = slot;
        }
    }

    /// The first free slot from `hash`'s home on.
    fn vacancy(&self, hash: u32) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = self.home(hash);
        while self.slots[at].gid != GROUP_OVERFLOW {
            at = (at + 1) & mask;
        }
        at
    }
}

/// Asks for the cache line of `target` without waiting for it.
#[inline(always)]
fn prefetch<T>(target: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing; any address will do, and this one is even valid.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(target).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = target;
}

#[cfg(test)]
mod tests;
