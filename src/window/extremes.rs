//! The smallest or largest value of a sliding window, without subtraction and without looking at all panes again.
//!
//! Only panes that can still become the answer are kept: each is better than every later one. The first is the answer
//! now. A pane is put in and taken out once, so the cost of a step does not depend on the window's length, not even for
//! values that rise or fall all the time, which defeats "merge again when the extreme leaves".

use std::collections::VecDeque;

#[derive(Clone, Debug, Default)]
pub(super) struct Extremes {
    /// Ascending in pane, each value worse than the one before.
    kept: VecDeque<(i64, f64)>,
}

impl Extremes {
    /// A pane (or more of a pane already here) with this best value joins, wherever in time. `better(a, b)`: a beats b.
    pub(super) fn join(&mut self, pane: i64, value: f64, better: impl Fn(f64, f64) -> bool) {
        let at = self.kept.partition_point(|(other, _)| *other < pane);
        if self.kept.get(at).is_some_and(|(_, later)| !better(value, *later)) {
            return;
        }
        let same = self.kept.get(at).is_some_and(|(other, _)| *other == pane);
        let beaten_from = self.kept.partition_point(|(other, earlier)| *other < pane && better(*earlier, value));
        self.kept.drain(beaten_from..at + usize::from(same));
        self.kept.insert(beaten_from, (pane, value));
    }

    /// Panes up to and including this one leave.
    pub(super) fn leave_through(&mut self, pane: i64) {
        while self.kept.front().is_some_and(|(first, _)| *first <= pane) {
            self.kept.pop_front();
        }
    }

    pub(super) fn best(&self) -> Option<f64> {
        self.kept.front().map(|(_, value)| *value)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.kept.capacity() * size_of::<(i64, f64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_best_is_that_of_all_panes(steps in prop::collection::vec((0i64..12, -5i32..5), 1..80)) {
            let (mut extremes, mut panes, mut now) = (Extremes::default(), Vec::new(), 0);
            for (back, value) in steps {
                match back {
                    // The window of ten panes moves on.
                    10.. => {
                        now += 1;
                        extremes.leave_through(now - 10);
                    }
                    _ => {
                        extremes.join(now - back, f64::from(value), |a, b| a < b);
                        panes.push((now - back, f64::from(value)));
                    }
                }
                panes.retain(|(pane, _)| *pane > now - 10);
                let expected = panes.iter().map(|(_, value)| *value).reduce(f64::min);
                prop_assert_eq!(extremes.best(), expected);
                prop_assert_eq!(extremes.is_empty(), panes.is_empty());
            }
        }
    }
}
