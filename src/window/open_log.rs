//! The samples of open panes: a log of bucket indexes that starts inside the pane's own slot, moves to blocks that
//! double, and in the end is folded into dense counters whenever it is full.
//!
//! The hot path is the same for all three: write one 16-bit number where the log ends. Most panes of most groups never
//! leave the slot, so an event touches one cache line; busy ones touch the slot and the end of their log.

use super::codec::put_samples;
use super::counts::Counts;
use super::histogram::Geometry;
use super::partial::{put_log_head, put_runs};
use super::storage::Slab;

/// 64-bit words of a slot that one histogram takes: the head, and room for samples.
pub(super) const LOG_WORDS: usize = 1 + INLINE_WORDS;
const INLINE_WORDS: usize = 3;
const INLINE_SAMPLES: usize = INLINE_WORDS * 4;

const BLOCK_SAMPLES_MIN: usize = 32;

/// A log longer than this is counted instead: about where one dense array costs less than the log it replaces.
fn log_samples_max(digits: u8) -> usize {
    if digits < 3 { 1024 } else { 4096 }
}

/// The head word: samples in the log, its capacity, its block.
#[derive(Clone, Copy)]
struct Head(u64);

impl Head {
    fn new(len: usize, cap: usize, block: u32) -> Head {
        Head(len as u64 | (cap as u64) << 16 | u64::from(block) << 32)
    }

    fn len(self) -> usize {
        (self.0 & 0xffff) as usize
    }

    fn cap(self) -> usize {
        (self.0 >> 16 & 0xffff) as usize
    }

    fn block(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// What a slot's words are before the first sample.
pub(super) fn empty_log(words: &mut [u64]) {
    words[..LOG_WORDS].fill(0);
    words[0] = Head::new(0, INLINE_SAMPLES, 0).0;
}

/// Blocks and counters of one histogram's open panes.
///
/// Once a log is in a block, the words that were samples are free: word 1 holds the id of its dense counters plus one
/// (zero: none yet), word 2 the samples counted there.
#[derive(Debug)]
pub(super) struct OpenLogs {
    geometry: Geometry,
    log_max: usize,
    /// By doubling: 32 samples a block, 64, …
    classes: Vec<Slab<u16>>,
    dense: Vec<Counts>,
    dense_free: Vec<u32>,
    /// The most counters in use at once since the last trim, and between the two before.
    peaks: [usize; 2],
    runs: Vec<u8>,
}

impl OpenLogs {
    pub(super) fn new(geometry: Geometry) -> OpenLogs {
        let log_max = log_samples_max(geometry.digits());
        let classes = (log_max / BLOCK_SAMPLES_MIN).trailing_zeros() + 1;
        OpenLogs {
            geometry,
            log_max,
            classes: (0..classes).map(|class| Slab::new(BLOCK_SAMPLES_MIN << class)).collect(),
            dense: Vec::new(),
            dense_free: Vec::new(),
            peaks: [0; 2],
            runs: Vec::new(),
        }
    }

    pub(super) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn class(cap: usize) -> usize {
        (cap / BLOCK_SAMPLES_MIN).trailing_zeros() as usize
    }

    /// Asks for the line the next sample goes to, unless it is in the slot.
    #[inline]
    pub(super) fn prefetch(&self, words: &[u64]) {
        let head = Head(words[0]);
        if head.cap() != INLINE_SAMPLES {
            self.classes[Self::class(head.cap())].prefetch(head.block(), head.len());
        }
    }

    #[inline]
    pub(super) fn push(&mut self, words: &mut [u64], bucket: u16) {
        let mut head = Head(words[0]);
        if head.len() == head.cap() {
            self.make_room(words);
            head = Head(words[0]);
        }
        let at = head.len();
        match head.cap() == INLINE_SAMPLES {
            true => words[1 + at / 4] |= u64::from(bucket) << (at % 4 * 16),
            false => self.classes[Self::class(head.cap())].get_mut(head.block())[at] = bucket,
        }
        words[0] = head.0 + 1;
    }

    #[cold]
    fn make_room(&mut self, words: &mut [u64]) {
        let head = Head(words[0]);
        if head.cap() == self.log_max {
            return self.fold(words);
        }
        let inline = head.cap() == INLINE_SAMPLES;
        let cap = if inline { BLOCK_SAMPLES_MIN } else { head.cap() * 2 };
        let block = self.classes[Self::class(cap)].allocate();
        if inline {
            let samples = inline_samples(words);
            self.classes[0].get_mut(block)[..INLINE_SAMPLES].copy_from_slice(&samples);
            words[1..LOG_WORDS].fill(0);
        } else {
            let (lower, upper) = self.classes.split_at_mut(Self::class(cap));
            let from = lower.last_mut().expect("there is a smaller class");
            upper[0].get_mut(block)[..head.len()].copy_from_slice(from.get(head.block()));
            from.free(head.block());
        }
        words[0] = Head::new(head.len(), cap, block).0;
    }

    /// Counts the log's samples in dense counters and empties it.
    fn fold(&mut self, words: &mut [u64]) {
        let head = Head(words[0]);
        if words[1] == 0 {
            words[1] = u64::from(self.take_dense()) + 1;
        }
        words[2] += head.len() as u64;
        let counts = &mut self.dense[words[1] as usize - 1];
        counts.reserve(words[2]);
        let samples = &self.classes[Self::class(head.cap())].get(head.block())[..head.len()];
        counts.add_samples(samples.iter().copied());
        words[0] = Head::new(0, head.cap(), head.block()).0;
    }

    fn take_dense(&mut self) -> u32 {
        let id = self.dense_free.pop().unwrap_or_else(|| {
            self.dense.push(Counts::new(0));
            self.dense.len() as u32 - 1
        });
        if self.dense[id as usize].heap_bytes() == 0 {
            self.dense[id as usize] = Counts::new(self.geometry.buckets());
        }
        self.peaks[0] = self.peaks[0].max(self.dense.len() - self.dense_free.len());
        id
    }

    /// Writes the samples as a part of a partial and frees what they took outside of the slot.
    #[inline]
    pub(super) fn emit(&mut self, words: &mut [u64], out: &mut Vec<u8>) {
        let head = Head(words[0]);
        if head.cap() == INLINE_SAMPLES {
            put_log_head(out, head.len());
            put_samples(out, &inline_samples(words)[..head.len()]);
            return;
        }
        self.emit_block(words, out);
    }

    fn emit_block(&mut self, words: &mut [u64], out: &mut Vec<u8>) {
        let head = Head(words[0]);
        let class = Self::class(head.cap());
        if words[1] != 0 {
            self.fold(words);
            self.runs.clear();
            let id = words[1] as u32 - 1;
            self.dense[id as usize].drain_runs(&mut self.runs);
            put_runs(out, words[2], &self.runs);
            self.dense_free.push(id);
        } else {
            put_log_head(out, head.len());
            put_samples(out, &self.classes[class].get(head.block())[..head.len()]);
        }
        self.classes[class].free(head.block());
    }

    /// See [`Slab::trim`].
    pub(super) fn trim(&mut self) {
        self.classes.iter_mut().for_each(Slab::trim);
        let keep = self.peaks[0].max(self.peaks[1]);
        let used = self.dense.len() - self.dense_free.len();
        self.peaks = [used, self.peaks[0]];
        let spare = keep.saturating_sub(used);
        for id in self.dense_free.iter().rev().skip(spare) {
            self.dense[*id as usize] = Counts::new(0);
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let dense: usize = self.dense.iter().map(Counts::heap_bytes).sum();
        let lists = self.dense.capacity() * size_of::<Counts>() + self.dense_free.capacity() * 4;
        let scratch = self.runs.capacity();
        self.classes.iter().map(Slab::heap_bytes).sum::<usize>() + dense + lists + scratch
    }
}

fn inline_samples(words: &[u64]) -> [u16; INLINE_SAMPLES] {
    let mut samples = [0; INLINE_SAMPLES];
    for (chunk, word) in samples.chunks_exact_mut(4).zip(&words[1..LOG_WORDS]) {
        for (shift, sample) in chunk.iter_mut().enumerate() {
            *sample = (word >> (16 * shift)) as u16;
        }
    }
    samples
}
