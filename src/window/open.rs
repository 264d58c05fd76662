//! Stage 1: panes that may still get events, in the shard that reads them.
//!
//! A slot is what one open pane of one group holds: a header and one field for each accumulator, 64 bytes for counts
//! and a histogram. A group's open panes are a chain of slots, rarely longer than lateness ÷ pane. Batches go through
//! in chunks of [`CHUNK`] rows and several passes, so that the cache misses of one pass overlap: fetch the chains'
//! heads, fetch the slots, find each row's slot, and then, one accumulator after the other, take the values in.
//!
//! - `O1` an event of a known group allocates nothing; slots, logs and counters are used again
//! - `O2` panes are emitted in ascending order, groups in ascending order of id within a pane
//! - `O3` what is emitted depends on which events came, not on how they were batched
//! - `O4` values refused for one accumulator are not refused for another; each is counted where it is refused

use std::sync::Arc;

use super::bits::BitSet;
use super::distinct::{DistinctSet, hash_number, hash_text};
use super::histogram::{Geometry, Placed};
use super::moments::{MAGNITUDE_MAX, Moments};
use super::open_log::{LOG_WORDS, OpenLogs, empty_log};
use super::partial::{PanePartial, PartialWriter, put_extreme, put_last};
use super::plan::{AccInput, AccSpec, AccValues, WindowPlan};
use super::storage::{Pages, Slab};
use super::topk::TopValues;
use crate::model::refusal::{Refusal, RefusalCounts};

/// The group id of rows beyond the limit of groups; they are passed over.
pub const GROUP_OVERFLOW: u32 = u32::MAX;

/// Rows that go through the passes together: their slots fit the first-level cache.
const CHUNK: usize = 256;

/// Groups closed between two looks at the set of those with a slot.
const CLOSING: usize = 1024;

/// No slot.
const NONE: u32 = u32::MAX;

/// Word 0 of a slot: group id, and the next slot of the chain in the upper half. Word 1: the pane.
const HEADER_WORDS: usize = 2;

/// What recording a batch did beyond refusals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordStats {
    /// Histogram values above the highest trackable one; they were recorded as the highest.
    pub saturated: u64,
}

/// Open panes by group and pane.
#[derive(Debug)]
pub struct OpenPanes {
    plan: Arc<WindowPlan>,
    fields: Vec<Field>,
    /// A fresh slot.
    template: Box<[u64]>,
    slots: Slab<u64>,
    /// First slot of each group's chain, plus one.
    chains: Pages<u32>,
    /// Ascending by pane.
    panes: Vec<PaneGroups>,
    spare_panes: Vec<PaneGroups>,
    sets: Pool<DistinctSet>,
    tops: Pool<TopValues>,
    rows: Vec<u32>,
    closing: Vec<u32>,
    writer: PartialWriter,
}

/// One accumulator's place in a slot.
#[derive(Debug)]
struct Field {
    word: usize,
    kind: FieldKind,
}

#[derive(Debug)]
enum FieldKind {
    Count,
    Moments,
    /// Word 0: the bits of the smallest value; +∞ before the first.
    Min,
    /// −∞ before the first.
    Max,
    /// Time, and the value's bits; NaN before the first.
    Last,
    Histogram(Box<OpenLogs>),
    /// Index into the pool plus one; 0 before the first value.
    Distinct,
    TopK,
}

/// Which groups have a slot for one pane.
#[derive(Debug, Default)]
struct PaneGroups {
    pane: i64,
    groups: BitSet,
}

/// Things referred to by index, used again after they are taken out.
#[derive(Debug, Default)]
struct Pool<T> {
    items: Vec<T>,
    free: Vec<u32>,
    heap_bytes: usize,
}

impl<T: Default> Pool<T> {
    /// The item `word` refers to; a new one where it refers to none.
    fn item(&mut self, word: &mut u64) -> &mut T {
        if *word == 0 {
            let id = self.free.pop().unwrap_or_else(|| {
                self.items.push(T::default());
                self.items.len() as u32 - 1
            });
            *word = u64::from(id) + 1;
        }
        &mut self.items[*word as usize - 1]
    }

    fn take(&mut self, word: u64) -> T {
        if word == 0 {
            return T::default();
        }
        self.free.push(word as u32 - 1);
        let item = std::mem::take(&mut self.items[word as usize - 1]);
        if self.free.len() == self.items.len() {
            self.items.clear();
            self.free.clear();
        }
        item
    }

    fn bytes(&self) -> usize {
        self.items.capacity() * size_of::<T>() + self.free.capacity() * 4 + self.heap_bytes
    }
}

impl OpenPanes {
    pub fn new(plan: Arc<WindowPlan>) -> OpenPanes {
        let mut fields = Vec::new();
        let mut template = vec![0u64; HEADER_WORDS];
        for spec in &plan.accs {
            let word = template.len();
            let mut field_words = [0u64; Moments::WORDS];
            let (kind, words) = match spec {
                AccSpec::Count => (FieldKind::Count, 1),
                AccSpec::Moments => (FieldKind::Moments, Moments::WORDS),
                AccSpec::Min => {
                    field_words[0] = f64::INFINITY.to_bits();
                    (FieldKind::Min, 1)
                }
                AccSpec::Max => {
                    field_words[0] = f64::NEG_INFINITY.to_bits();
                    (FieldKind::Max, 1)
                }
                AccSpec::Last => {
                    field_words[1] = f64::NAN.to_bits();
                    (FieldKind::Last, 2)
                }
                AccSpec::Histogram(spec) => {
                    empty_log(&mut field_words);
                    (FieldKind::Histogram(Box::new(OpenLogs::new(Geometry::new(spec)))), LOG_WORDS)
                }
                AccSpec::Distinct => (FieldKind::Distinct, 1),
                AccSpec::TopK(_) => (FieldKind::TopK, 1),
            };
            template.extend_from_slice(&field_words[..words]);
            fields.push(Field { word, kind });
        }
        // Small slots share a line only with themselves.
        template.resize(template.len().next_multiple_of(4), 0);
        OpenPanes {
            plan,
            fields,
            slots: Slab::new(template.len()),
            template: template.into(),
            chains: Pages::new(1),
            panes: Vec::new(),
            spare_panes: Vec::new(),
            sets: Pool::default(),
            tops: Pool::default(),
            rows: Vec::new(),
            closing: Vec::new(),
            writer: PartialWriter::default(),
        }
    }

    pub fn plan(&self) -> &Arc<WindowPlan> {
        &self.plan
    }

    /// Takes rows in: `gids[i]` had an event in pane `panes[i]` at `times[i]`, and `inputs`, one for each accumulator of
    /// the plan, hold its values. Rows of [`GROUP_OVERFLOW`] are passed over. A pane that was closed before opens anew.
    pub fn record(
        &mut self,
        gids: &[u32],
        panes: &[i64],
        times: &[i64],
        inputs: &[AccInput],
        refused: &mut RefusalCounts,
    ) -> RecordStats {
        assert_eq!(inputs.len(), self.fields.len(), "one input for each accumulator");
        let mut stats = RecordStats::default();
        let mut rows = std::mem::take(&mut self.rows);
        for start in (0..gids.len()).step_by(CHUNK) {
            let end = (start + CHUNK).min(gids.len());
            self.find_slots(&gids[start..end], &panes[start..end], &mut rows);
            for (field, input) in self.fields.iter_mut().zip(inputs) {
                let take = Take { slots: &mut self.slots, rows: &rows, mask: input.mask.map(|mask| &mask[start..end]) };
                let word = field.word;
                match (&mut field.kind, narrowed(input.values, start, end)) {
                    (FieldKind::Count, values) => take.count(word, values),
                    (FieldKind::Distinct, values) => take.distinct(word, values, &mut self.sets),
                    (FieldKind::TopK, values) => take.top(word, values, &mut self.tops),
                    (FieldKind::Histogram(logs), AccValues::Numbers(values)) => {
                        stats.saturated += take.histogram(word, values, logs, refused);
                    }
                    (kind, AccValues::Numbers(values)) => {
                        take.scalar(word, kind, values, &times[start..end], refused);
                    }
                    // A text is no number: null for whatever wants numbers.
                    (_, AccValues::None | AccValues::Texts { .. }) => {}
                }
            }
        }
        self.rows = rows;
        stats
    }

    /// The slot of each row, `NONE` for overflow.
    fn find_slots(&mut self, gids: &[u32], panes: &[i64], rows: &mut Vec<u32>) {
        rows.clear();
        gids.iter().for_each(|gid| self.chains.prefetch(*gid));
        for gid in gids {
            if let Some(chain) = self.chains.get(*gid).filter(|chain| **chain != 0) {
                self.slots.prefetch(*chain - 1, 0);
            }
        }
        for (gid, pane) in gids.iter().zip(panes) {
            let row = match *gid {
                GROUP_OVERFLOW => NONE,
                gid => self.find(gid, *pane).unwrap_or_else(|| self.open(gid, *pane)),
            };
            rows.push(row);
        }
    }

    #[inline]
    fn find(&self, gid: u32, pane: i64) -> Option<u32> {
        let mut slot = self.chains.get(gid)?.checked_sub(1)?;
        loop {
            let words = self.slots.get(slot);
            if words[1] as i64 == pane {
                return Some(slot);
            }
            slot = next_of(words).checked_sub(1)?;
        }
    }

    #[cold]
    fn open(&mut self, gid: u32, pane: i64) -> u32 {
        self.chains.ensure(gid);
        let chain = &mut self.chains.row_mut(gid)[0];
        let slot = self.slots.allocate();
        let words = self.slots.get_mut(slot);
        words.copy_from_slice(&self.template);
        words[0] = u64::from(gid) | u64::from(*chain) << 32;
        words[1] = pane as u64;
        *chain = slot + 1;
        let at = match self.panes.binary_search_by_key(&pane, |open| open.pane) {
            Ok(at) => at,
            Err(at) => {
                let spare = self.spare_panes.pop().unwrap_or_default();
                self.panes.insert(at, PaneGroups { pane, ..spare });
                at
            }
        };
        self.panes[at].groups.insert(gid);
        slot
    }

    /// Whether the group has an open pane; its id must not be given to another group before they are closed.
    pub fn is_open(&self, gid: u32) -> bool {
        self.chains.get(gid).is_some_and(|chain| *chain != 0)
    }

    /// The earliest open pane.
    pub fn first_pane(&self) -> Option<i64> {
        self.panes.first().map(|open| open.pane)
    }

    /// Hands out and forgets what panes up to and including `pane` hold (`O2`). Later events may open them again:
    /// what they add is a further partial of the same pane.
    pub fn close_through(&mut self, pane: i64, mut sink: impl FnMut(u32, i64, &PanePartial)) {
        let closed = self.panes.partition_point(|open| open.pane <= pane);
        for pane in self.panes.drain(..closed).collect::<Vec<_>>() {
            self.close(pane, &mut sink);
        }
        self.trim();
    }

    /// Hands out and forgets everything so far.
    pub fn drain(&mut self, sink: impl FnMut(u32, i64, &PanePartial)) {
        self.close_through(i64::MAX, sink);
    }

    fn close(&mut self, mut pane: PaneGroups, sink: &mut impl FnMut(u32, i64, &PanePartial)) {
        let mut closing = std::mem::take(&mut self.closing);
        let mut from = Some(0);
        while let Some(word) = from {
            closing.clear();
            from = pane.groups.take_some(word, CLOSING, &mut closing);
            for (at, gid) in closing.iter().enumerate() {
                if let Some(ahead) = closing.get(at + 8) {
                    let chain = self.chains.row(*ahead)[0];
                    self.slots.prefetch(chain.saturating_sub(1), 0);
                }
                let slot = self.unlink(*gid, pane.pane);
                self.write(slot);
                self.slots.free(slot);
                sink(*gid, pane.pane, &self.writer.partial());
            }
        }
        self.closing = closing;
        self.spare_panes.push(pane);
    }

    /// Takes the slot of `pane` out of the group's chain.
    fn unlink(&mut self, gid: u32, pane: i64) -> u32 {
        let mut before = None;
        let mut slot = self.chains.row(gid)[0] - 1;
        while self.slots.get(slot)[1] as i64 != pane {
            before = Some(slot);
            slot = next_of(self.slots.get(slot)) - 1;
        }
        let next = next_of(self.slots.get(slot));
        match before {
            None => self.chains.row_mut(gid)[0] = next,
            Some(before) => {
                let words = self.slots.get_mut(before);
                words[0] = words[0] & u64::from(u32::MAX) | u64::from(next) << 32;
            }
        }
        slot
    }

    /// Encodes a slot and frees what it holds outside of itself.
    fn write(&mut self, slot: u32) {
        let words = self.slots.get_mut(slot);
        let writer = &mut self.writer;
        writer.start();
        for field in &mut self.fields {
            let words = &mut words[field.word..];
            let out = &mut writer.bytes;
            match &mut field.kind {
                FieldKind::Count => super::codec::put_varint(out, words[0]),
                FieldKind::Moments => Moments::load(words).encode(out),
                FieldKind::Min | FieldKind::Max => {
                    put_extreme(out, Some(f64::from_bits(words[0])).filter(|value| value.is_finite()));
                }
                FieldKind::Last => {
                    let value = f64::from_bits(words[1]);
                    put_last(out, value.is_finite().then_some((words[0] as i64, value)));
                }
                FieldKind::Histogram(logs) => logs.emit(words, out),
                FieldKind::Distinct => {
                    let set = self.sets.take(words[0]);
                    self.sets.heap_bytes -= set.bytes();
                    set.encode(out);
                }
                FieldKind::TopK => {
                    let top = self.tops.take(words[0]);
                    self.tops.heap_bytes -= top.bytes();
                    top.encode(out);
                }
            }
            writer.end_part();
        }
    }

    fn trim(&mut self) {
        self.slots.trim();
        for field in &mut self.fields {
            if let FieldKind::Histogram(logs) = &mut field.kind {
                logs.trim();
            }
        }
        if self.panes.is_empty() {
            self.spare_panes.truncate(1);
        }
    }

    /// Heap bytes held.
    pub fn bytes(&self) -> usize {
        let logs = self.fields.iter().map(|field| match &field.kind {
            FieldKind::Histogram(logs) => size_of::<OpenLogs>() + logs.heap_bytes(),
            _ => 0,
        });
        let bits = self.panes.iter().chain(&self.spare_panes).map(|pane| pane.groups.heap_bytes());
        let scratch = (self.rows.capacity() + self.closing.capacity()) * 4 + self.writer.heap_bytes();
        let pools = self.sets.bytes() + self.tops.bytes();
        self.slots.heap_bytes() + self.chains.heap_bytes() + logs.sum::<usize>() + bits.sum::<usize>() + scratch + pools
    }
}

fn next_of(words: &[u64]) -> u32 {
    (words[0] >> 32) as u32
}

/// The values of some rows of the batch.
fn narrowed<'a>(values: AccValues<'a>, start: usize, end: usize) -> AccValues<'a> {
    match values {
        AccValues::None => AccValues::None,
        AccValues::Numbers(numbers) => AccValues::Numbers(&numbers[start..end]),
        AccValues::Texts { batch, spans } => AccValues::Texts { batch, spans: &spans[start..end] },
    }
}

/// One accumulator taking one chunk in: a tight loop each, because the kind is decided once.
struct Take<'a> {
    slots: &'a mut Slab<u64>,
    /// The slot of each row.
    rows: &'a [u32],
    mask: Option<&'a [bool]>,
}

impl Take<'_> {
    /// Calls `each` with the index of every row to take and the words of its slot from `word` on.
    #[inline(always)]
    fn each(self, word: usize, mut each: impl FnMut(usize, &mut [u64])) {
        match self.mask {
            None => {
                for (row, slot) in self.rows.iter().enumerate() {
                    if *slot != NONE {
                        each(row, &mut self.slots.get_mut(*slot)[word..]);
                    }
                }
            }
            Some(mask) => {
                for (row, (slot, taken)) in self.rows.iter().zip(mask).enumerate() {
                    if *taken && *slot != NONE {
                        each(row, &mut self.slots.get_mut(*slot)[word..]);
                    }
                }
            }
        }
    }

    fn count(self, word: usize, values: AccValues) {
        match values {
            AccValues::None => self.each(word, |_, words| words[0] += 1),
            AccValues::Numbers(numbers) => {
                self.each(word, |row, words| words[0] += u64::from(!numbers[row].is_nan()));
            }
            AccValues::Texts { spans, .. } => {
                self.each(word, |row, words| words[0] += u64::from(!spans[row].is_null()));
            }
        }
    }

    /// Returns how many values saturated.
    fn histogram(self, word: usize, values: &[f64], logs: &mut OpenLogs, refused: &mut RefusalCounts) -> u64 {
        let mut saturated = 0;
        if self.rows.len() == values.len() {
            self.rows
                .iter()
                .filter(|slot| **slot != NONE)
                .for_each(|slot| logs.prefetch(&self.slots.get(*slot)[word..]));
        }
        let geometry = *logs.geometry();
        self.each(word, |row, words| match geometry.place(values[row]) {
            Placed::Bucket(bucket) => logs.push(words, bucket),
            Placed::Saturated(bucket) => {
                saturated += 1;
                logs.push(words, bucket);
            }
            Placed::Null => {}
            Placed::Refused(reason) => refused.add(reason, 1),
        });
        saturated
    }

    fn scalar(self, word: usize, kind: &FieldKind, values: &[f64], times: &[i64], refused: &mut RefusalCounts) {
        // Moments are the only ones with a bound below infinity.
        let bound = if matches!(kind, FieldKind::Moments) { MAGNITUDE_MAX } else { f64::INFINITY };
        self.each(word, |row, words| {
            let value = values[row] + 0.0; // −0 becomes 0
            if !(value.abs() < bound) {
                if !value.is_nan() {
                    refused.add(Refusal::NotANumber, 1);
                }
                return;
            }
            match kind {
                FieldKind::Moments => {
                    let mut moments = Moments::load(words);
                    moments.record(value);
                    moments.store(words);
                }
                FieldKind::Min => words[0] = f64::from_bits(words[0]).min(value).to_bits(),
                FieldKind::Max => words[0] = f64::from_bits(words[0]).max(value).to_bits(),
                FieldKind::Last => {
                    let (time, held) = (words[0] as i64, f64::from_bits(words[1]));
                    let newer = held.is_nan() || times[row] > time || times[row] == time && value > held;
                    if newer {
                        words[0] = times[row] as u64;
                        words[1] = value.to_bits();
                    }
                }
                _ => unreachable!("the other kinds have loops of their own"),
            }
        });
    }

    fn distinct(self, word: usize, values: AccValues, sets: &mut Pool<DistinctSet>) {
        let mut heap_change = 0isize;
        let mut insert = |words: &mut [u64], hash: u64| {
            let set = sets.item(&mut words[0]);
            let before = set.bytes();
            set.insert(hash);
            heap_change += set.bytes() as isize - before as isize;
        };
        match values {
            AccValues::None => {}
            AccValues::Numbers(numbers) => self.each(word, |row, words| {
                if !numbers[row].is_nan() {
                    insert(words, hash_number(numbers[row]));
                }
            }),
            AccValues::Texts { batch, spans } => self.each(word, |row, words| {
                if !spans[row].is_null() {
                    insert(words, hash_text(batch.bytes(spans[row])));
                }
            }),
        }
        sets.heap_bytes = sets.heap_bytes.saturating_add_signed(heap_change);
    }

    fn top(self, word: usize, values: AccValues, tops: &mut Pool<TopValues>) {
        let mut heap_change = 0isize;
        let mut insert = |words: &mut [u64], text: &str| {
            let top = tops.item(&mut words[0]);
            let before = top.bytes();
            top.record(text);
            heap_change += top.bytes() as isize - before as isize;
        };
        match values {
            AccValues::None => {}
            AccValues::Numbers(numbers) => self.each(word, |row, words| {
                if !numbers[row].is_nan() {
                    insert(words, &(numbers[row] + 0.0).to_string());
                }
            }),
            AccValues::Texts { batch, spans } => self.each(word, |row, words| {
                if let Some(text) = batch.text(spans[row]) {
                    insert(words, text);
                }
            }),
        }
        tops.heap_bytes = tops.heap_bytes.saturating_add_signed(heap_change);
    }
}
