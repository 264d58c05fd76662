//! How many different values: an exact set while it is small, a HyperLogLog sketch beyond.
//!
//! Sets union, they do not subtract, so a window is the union of its panes, made when it is asked for. The answer must
//! not depend on how events were grouped into partials. An exact set does not; the sketch's registers do not either,
//! only its running estimator does, so the estimate is read from the registers alone (`composite_estimate`). And
//! which of the two answers is decided by the union: exact if and only if it has at most [`DISTINCT_EXACT_MAX`] values.
//!
//! - `D1` the estimate is a function of the set of values
//! - `D2` up to [`DISTINCT_EXACT_MAX`] values it is exact, but for collisions of a 64-bit hash

use datasketches::hll::{HllSketch, HllType, HllUnion};

use super::codec::{put_varint, take, take_u64, varint};

/// Values counted exactly; more become a sketch with a standard error of 1.6 %.
pub const DISTINCT_EXACT_MAX: usize = 128;

/// 4096 registers.
const LG_REGISTERS: u8 = 12;

#[derive(Clone, Debug)]
pub(super) enum DistinctSet {
    /// Hashes in ascending order.
    Exact(Vec<u64>),
    Sketch(Box<HllSketch>),
}

impl Default for DistinctSet {
    fn default() -> Self {
        DistinctSet::Exact(Vec::new())
    }
}

/// Stable across processes: partials of one group may be made on different machines.
pub(super) fn hash_text(text: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(text)
}

/// Zero has one hash, whatever its sign.
pub(super) fn hash_number(number: f64) -> u64 {
    xxhash_rust::xxh3::xxh3_64(&(number + 0.0).to_bits().to_le_bytes())
}

fn new_sketch() -> HllSketch {
    HllSketch::new(LG_REGISTERS, HllType::Hll4).expect("the register count is in range")
}

impl DistinctSet {
    pub(super) fn insert(&mut self, hash: u64) {
        match self {
            DistinctSet::Exact(hashes) => {
                let Err(at) = hashes.binary_search(&hash) else { return };
                hashes.insert(at, hash);
                if hashes.len() > DISTINCT_EXACT_MAX {
                    let mut sketch = new_sketch();
                    hashes.iter().for_each(|hash| sketch.update(*hash));
                    *self = DistinctSet::Sketch(Box::new(sketch));
                }
            }
            DistinctSet::Sketch(sketch) => sketch.update(hash),
        }
    }

    pub(super) fn merge(&mut self, other: DistinctSet) {
        if let (DistinctSet::Exact(_), DistinctSet::Exact(theirs)) = (&*self, &other) {
            theirs.iter().for_each(|hash| self.insert(*hash));
            return;
        }
        let mut union = DistinctUnion::default();
        union.add(std::mem::take(self));
        union.add(other);
        *self = union.into_set();
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            DistinctSet::Exact(hashes) => hashes.capacity() * 8,
            DistinctSet::Sketch(sketch) => sketch.estimated_size(),
        }
    }

    /// Length or size doubled, low bit 1 for a sketch; then the hashes, or the sketch in its library's format.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            DistinctSet::Exact(hashes) => {
                put_varint(out, (hashes.len() as u64) << 1);
                hashes.iter().for_each(|hash| out.extend_from_slice(&hash.to_le_bytes()));
            }
            DistinctSet::Sketch(sketch) => {
                let bytes = sketch.serialize();
                put_varint(out, (bytes.len() as u64) << 1 | 1);
                out.extend_from_slice(&bytes);
            }
        }
    }

    pub(super) fn decode(bytes: &[u8], at: &mut usize) -> Option<DistinctSet> {
        let head = varint(bytes, at)?;
        let length = usize::try_from(head >> 1).ok()?;
        if head & 1 == 1 {
            let sketch = HllSketch::deserialize(take(bytes, at, length)?).ok()?;
            return (sketch.lg_config_k() == LG_REGISTERS).then(|| DistinctSet::Sketch(Box::new(sketch)));
        }
        if length > DISTINCT_EXACT_MAX {
            return None;
        }
        let hashes: Option<Vec<u64>> = (0..length).map(|_| take_u64(bytes, at)).collect();
        hashes.filter(|hashes| hashes.is_sorted_by(|a, b| a < b)).map(DistinctSet::Exact)
    }

    /// Moves `at` behind one encoded set.
    pub(super) fn skip(bytes: &[u8], at: &mut usize) -> Option<()> {
        let head = varint(bytes, at)?;
        let length = usize::try_from(head >> 1).ok()?;
        let length = if head & 1 == 1 { length } else { length.checked_mul(8)? };
        take(bytes, at, length).map(drop)
    }
}

/// The union of many sets.
#[derive(Debug, Default)]
pub(super) struct DistinctUnion {
    exact: DistinctSet,
    sketches: Option<HllUnion>,
}

impl DistinctUnion {
    pub(super) fn add(&mut self, set: DistinctSet) {
        match (set, &mut self.sketches) {
            (DistinctSet::Exact(hashes), None) => {
                hashes.iter().for_each(|hash| self.exact.insert(*hash));
                if let DistinctSet::Sketch(sketch) = &self.exact {
                    self.sketches = Some(union_of(sketch));
                }
            }
            (DistinctSet::Exact(hashes), Some(union)) => hashes.iter().for_each(|hash| union.update_value(*hash)),
            (DistinctSet::Sketch(sketch), Some(union)) => union.update(&sketch),
            (DistinctSet::Sketch(sketch), None) => {
                let mut union = union_of(&sketch);
                if let DistinctSet::Exact(hashes) = &self.exact {
                    hashes.iter().for_each(|hash| union.update_value(*hash));
                }
                self.sketches = Some(union);
            }
        }
    }

    fn into_set(self) -> DistinctSet {
        match self.sketches {
            None => self.exact,
            Some(union) => DistinctSet::Sketch(Box::new(union.to_sketch(HllType::Hll4))),
        }
    }

    pub(super) fn estimate(&self) -> f64 {
        match (&self.sketches, &self.exact) {
            (Some(union), _) => union.composite_estimate(),
            (None, DistinctSet::Exact(hashes)) => hashes.len() as f64,
            (None, DistinctSet::Sketch(sketch)) => sketch.composite_estimate(),
        }
    }
}

fn union_of(sketch: &HllSketch) -> HllUnion {
    let mut union = HllUnion::new(LG_REGISTERS).expect("the register count is in range");
    union.update(sketch);
    union
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(values: impl IntoIterator<Item = u32>) -> DistinctSet {
        let mut set = DistinctSet::default();
        values.into_iter().for_each(|value| set.insert(hash_number(f64::from(value))));
        set
    }

    fn estimate(sets: Vec<DistinctSet>) -> f64 {
        let mut union = DistinctUnion::default();
        sets.into_iter().for_each(|set| union.add(set));
        union.estimate()
    }

    #[test]
    fn small_sets_are_exact_and_large_ones_near() {
        assert_eq!(estimate(vec![set(0..100), set(28..128)]), 128.0);
        let near = estimate(vec![set(0..6000), set(3000..9000), set(8990..10_000)]);
        assert!((near / 10_000.0 - 1.0).abs() < 0.05, "{near}");
        assert_eq!(hash_number(0.0), hash_number(-0.0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// D1
        #[test]
        fn grouping_and_order_do_not_matter(
            values in prop::collection::vec(0u32..3000, 1..900), cuts in prop::collection::vec(0usize..900, 0..5), merged in any::<bool>()
        ) {
            let whole = estimate(vec![set(values.clone())]);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(values.len())).chain([0, values.len()]).collect();
            cuts.sort_unstable();
            let mut parts: Vec<DistinctSet> = cuts.windows(2).map(|pair| set(values[pair[0]..pair[1]].to_vec())).collect();
            parts.reverse();
            if merged {
                let first = parts.remove(0);
                parts = vec![parts.into_iter().fold(first, |mut all, part| { all.merge(part); all })];
            }
            let through_bytes = parts.iter().map(|part| {
                let mut bytes = Vec::new();
                part.encode(&mut bytes);
                let (mut at, mut skipped) = (0, 0);
                DistinctSet::skip(&bytes, &mut skipped).expect("it is whole");
                let back = DistinctSet::decode(&bytes, &mut at).expect("it is whole");
                assert_eq!((at, skipped), (bytes.len(), bytes.len()));
                back
            });
            prop_assert_eq!(estimate(through_bytes.collect()), whole);
            prop_assert_eq!(estimate(parts), whole);
        }

        #[test]
        fn garbage_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(set) = DistinctSet::decode(&bytes, &mut 0) {
                estimate(vec![set]);
            }
            DistinctSet::skip(&bytes, &mut 0);
        }
    }
}
