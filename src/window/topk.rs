//! The most frequent values of a field, as evidence: which address, which user, which path.
//!
//! One pane keeps every value with its exact count up to [`TOPK_VALUES_MAX`] different values. Beyond that it thins out
//! as a frequent-items sketch does: it takes the middle count off all values, forgets those that reach zero, and adds
//! what it took to `error`. Counts are then lower bounds that miss at most `error`, and every value with more than
//! `error` events is still there.
//!
//! No bounded sketch that keeps names can be independent of the order of events, so the promise has two halves:
//!
//! - `T1` while no pane saw more than [`TOPK_VALUES_MAX`] values, counts are exact, whatever the grouping and order
//! - `T2` beyond, `error > 0` says so; the same events in the same order and grouping give the same answer
//!
//! Values longer than [`TOPK_VALUE_BYTES_MAX`] are cut there, at a character: those that share that much count as one.

use hashbrown::HashMap;

use super::codec::{put_varint, take, varint};

/// Different values one pane of one group counts exactly.
pub const TOPK_VALUES_MAX: usize = 1024;

/// Bytes of one value; the rest is cut off.
pub const TOPK_VALUE_BYTES_MAX: usize = 256;

type Counts = HashMap<Box<str>, u64, foldhash::fast::FixedState>;

/// Values with their counts, in no order: whatever leaves here is sorted.
#[derive(Clone, Debug, Default)]
pub(super) struct TopValues {
    counts: Counts,
    error: u64,
    text_bytes: usize,
}

/// What a window knows of its most frequent values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopK {
    /// Largest count first, equal counts in order of value.
    pub entries: Vec<(String, u64)>,
    /// How much each count may be too small, and how frequent a missing value may be; zero means exact.
    pub error: u64,
}

fn cut(value: &str) -> &str {
    &value[..value.floor_char_boundary(TOPK_VALUE_BYTES_MAX)]
}

impl TopValues {
    pub(super) fn record(&mut self, value: &str) {
        self.add(cut(value), 1);
        self.thin_out(TOPK_VALUES_MAX);
    }

    fn add(&mut self, value: &str, count: u64) {
        match self.counts.get_mut(value) {
            Some(known) => *known = known.saturating_add(count),
            None => {
                self.text_bytes += value.len();
                self.counts.insert(value.into(), count);
            }
        }
    }

    fn thin_out(&mut self, values_max: usize) {
        if self.counts.len() <= values_max {
            return;
        }
        // The order of a hash map reaches this list, but not the number picked from it.
        let mut counts: Vec<u64> = self.counts.values().copied().collect();
        let middle = *counts.select_nth_unstable_by(values_max / 2, |a, b| b.cmp(a)).1;
        self.error = self.error.saturating_add(middle);
        self.counts.retain(|_, count| {
            *count = count.saturating_sub(middle);
            *count > 0
        });
        self.text_bytes = self.counts.keys().map(|value| value.len()).sum();
    }

    /// Two partials of one pane become one, as bounded as either.
    pub(super) fn merge(&mut self, other: &TopValues) {
        self.absorb(other);
        self.thin_out(TOPK_VALUES_MAX);
    }

    /// Adds another pane of the same window; not bounded, because the panes are.
    pub(super) fn absorb(&mut self, other: &TopValues) {
        for (value, count) in other.sorted() {
            self.add(value, count);
        }
        self.error = self.error.saturating_add(other.error);
    }

    fn sorted(&self) -> Vec<(&str, u64)> {
        let mut entries: Vec<(&str, u64)> = self.counts.iter().map(|(value, count)| (&**value, *count)).collect();
        entries.sort_unstable();
        entries
    }

    pub(super) fn top(&self, k: usize) -> TopK {
        let mut entries = self.sorted();
        entries.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        entries.truncate(k);
        let entries = entries.into_iter().map(|(value, count)| (value.to_owned(), count)).collect();
        TopK { entries, error: self.error }
    }

    pub(super) fn bytes(&self) -> usize {
        self.counts.allocation_size() + self.text_bytes
    }

    /// Byte length; then error, number of values, and each value's count, length and text in order of value.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut body = Vec::with_capacity(16 + self.text_bytes + 3 * self.counts.len());
        put_varint(&mut body, self.error);
        put_varint(&mut body, self.counts.len() as u64);
        for (value, count) in self.sorted() {
            put_varint(&mut body, count);
            put_varint(&mut body, value.len() as u64);
            body.extend_from_slice(value.as_bytes());
        }
        put_varint(out, body.len() as u64);
        out.extend_from_slice(&body);
    }

    pub(super) fn decode(bytes: &[u8], at: &mut usize) -> Option<TopValues> {
        let length = usize::try_from(varint(bytes, at)?).ok()?;
        let body = take(bytes, at, length)?;
        let mut at = 0;
        let error = varint(body, &mut at)?;
        let values = usize::try_from(varint(body, &mut at)?).ok().filter(|values| *values <= TOPK_VALUES_MAX)?;
        let mut top = TopValues { error, ..TopValues::default() };
        let mut previous: Option<&str> = None;
        for _ in 0..values {
            let count = varint(body, &mut at)?;
            let length = usize::try_from(varint(body, &mut at)?).ok().filter(|l| *l <= TOPK_VALUE_BYTES_MAX)?;
            let value = std::str::from_utf8(take(body, &mut at, length)?).ok()?;
            if count == 0 || previous.is_some_and(|previous| previous >= value) {
                return None;
            }
            previous = Some(value);
            top.add(value, count);
        }
        (at == body.len()).then_some(top)
    }

    /// Moves `at` behind one encoded set of values.
    pub(super) fn skip(bytes: &[u8], at: &mut usize) -> Option<()> {
        let length = usize::try_from(varint(bytes, at)?).ok()?;
        take(bytes, at, length).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[u32]) -> TopValues {
        let mut top = TopValues::default();
        values.iter().for_each(|value| top.record(&format!("v{value}")));
        top
    }

    fn through_bytes(top: &TopValues) -> TopValues {
        let mut bytes = Vec::new();
        top.encode(&mut bytes);
        let (mut at, mut skipped) = (0, 0);
        let back = TopValues::decode(&bytes, &mut at).expect("it is whole");
        TopValues::skip(&bytes, &mut skipped).expect("it is whole");
        assert_eq!((at, skipped), (bytes.len(), bytes.len()));
        back
    }

    #[test]
    fn equal_counts_stand_in_order_of_value() {
        let top = of(&[3, 1, 2, 2, 3, 9]).top(3);
        assert_eq!(top.entries, [("v2".to_owned(), 2), ("v3".to_owned(), 2), ("v1".to_owned(), 1)]);
        assert_eq!(top.error, 0);
    }

    #[test]
    fn long_values_are_cut_at_a_character() {
        let long = "ü".repeat(200);
        let mut top = TopValues::default();
        top.record(&long);
        top.record(&format!("{long}x"));
        assert_eq!(top.top(1).entries, [("ü".repeat(128), 2)]);
    }

    /// T2: one address in a storm of others is still found, and its count is off by no more than is said.
    #[test]
    fn beyond_the_bound_the_heavy_ones_stay() {
        let mut top = TopValues::default();
        for event in 0..20_000u32 {
            top.record(&format!("noise {event}"));
            if event % 10 == 0 {
                top.record("culprit");
            }
        }
        let found = top.top(1);
        assert_eq!(found.entries[0].0, "culprit");
        assert!(found.error > 0 && found.entries[0].1 + found.error >= 2000, "{found:?}");
        assert!(top.counts.len() <= TOPK_VALUES_MAX);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// T1
        #[test]
        fn grouping_and_order_do_not_matter(values in prop::collection::vec(0u32..200, 0..600), split in 0usize..600, merged in any::<bool>()) {
            let whole = of(&values).top(20);
            let (left, right) = values.split_at(split.min(values.len()));
            let mut sum = through_bytes(&of(right));
            match merged {
                true => sum.merge(&of(left)),
                false => sum.absorb(&through_bytes(&of(left))),
            }
            prop_assert_eq!(through_bytes(&sum).top(20), whole);
        }

        #[test]
        fn garbage_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            TopValues::decode(&bytes, &mut 0);
            TopValues::skip(&bytes, &mut 0);
        }
    }
}
