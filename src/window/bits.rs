//! Sets of group ids as bits: an eighth of a byte a group, and always read in ascending order.

/// A growing set of small numbers.
#[derive(Debug, Default)]
pub(super) struct BitSet {
    words: Vec<u64>,
}

impl BitSet {
    /// Says whether `at` is new.
    #[inline]
    pub(super) fn insert(&mut self, at: u32) -> bool {
        let word = at as usize / 64;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let bit = 1 << (at % 64);
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    /// Says whether `at` was there.
    pub(super) fn remove(&mut self, at: u32) -> bool {
        let bit = 1 << (at % 64);
        match self.words.get_mut(at as usize / 64) {
            Some(word) if *word & bit != 0 => {
                *word &= !bit;
                true
            }
            _ => false,
        }
    }

    /// Moves everything of `other` here.
    pub(super) fn take_all(&mut self, other: &mut BitSet) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (mine, theirs) in self.words.iter_mut().zip(&mut other.words) {
            *mine |= std::mem::take(theirs);
        }
    }

    /// Takes out the numbers of the next words that have any, from word `from` on, until `out` holds about `enough`;
    /// returns where to go on, `None` at the end.
    pub(super) fn take_some(&mut self, from: usize, enough: usize, out: &mut Vec<u32>) -> Option<usize> {
        for word in from..self.words.len() {
            if out.len() >= enough {
                return Some(word);
            }
            let mut bits = std::mem::take(&mut self.words[word]);
            while bits != 0 {
                out.push(word as u32 * 64 + bits.trailing_zeros());
                bits &= bits - 1;
            }
        }
        None
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.words.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_once_in_order_and_in_pieces() {
        let mut set = BitSet::default();
        let mut other = BitSet::default();
        let numbers: Vec<u32> = (0..2000).map(|n| n * 7919 % 5000).collect();
        assert_eq!(numbers.iter().filter(|n| set.insert(**n)).count(), 2000);
        assert!(!set.insert(numbers[5]) && set.remove(numbers[5]) && !set.remove(numbers[5]));
        other.insert(numbers[5]);
        other.insert(70_000);
        set.take_all(&mut other);
        let (mut pieces, mut from) = (Vec::new(), Some(0));
        while let Some(at) = from {
            let mut piece = Vec::new();
            from = set.take_some(at, 100, &mut piece);
            assert!(piece.len() < 164);
            pieces.append(&mut piece);
        }
        let mut expected = numbers;
        expected.push(70_000);
        expected.sort_unstable();
        assert_eq!(pieces, expected);
        assert_eq!(set.take_some(0, 1, &mut Vec::new()), None);
    }
}
