//! One group at a time, asking for as little as the verdict needs.

use smallvec::SmallVec;

use super::typed::{Bool, Cmp, Num};
use crate::model::signal::{UnknownReason, Verdict};

/// Where the numbers of one group come from. A condition asks only for what it needs to know, so an answer that costs
/// something (a quantile) should be worked out when asked, not before.
pub trait Values {
    /// The value of the `let` at `slot`; `None` where its window has no samples. What is not finite counts as `None`.
    fn value(&mut self, slot: usize) -> Option<f64>;

    /// Whether `value CMP threshold`. A window can answer this for a quantile from two counters, without looking for
    /// the value. It must answer as the value would, or not at all: of a window that is still filling, that a count is
    /// above a limit can be said, that it is below cannot.
    fn compare(&mut self, slot: usize, cmp: Cmp, threshold: f64) -> Option<bool> {
        self.value(slot).filter(|value| value.is_finite()).map(|value| cmp.holds(value, threshold))
    }

    /// Why there was no answer about `slot`.
    fn missing(&self, _slot: usize) -> UnknownReason {
        UnknownReason::NoData
    }
}

/// Values that are all known already; `None` and NaN for no data.
impl Values for &[Option<f64>] {
    fn value(&mut self, slot: usize) -> Option<f64> {
        self.get(slot).copied().flatten()
    }
}

/// Three-valued truth. Unknown carries why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    False,
    True,
    Unknown(UnknownReason),
}

impl Truth {
    fn of(value: bool) -> Truth {
        if value { Truth::True } else { Truth::False }
    }

    pub fn verdict(self) -> Verdict {
        match self {
            Truth::True => Verdict::Breach,
            Truth::False => Verdict::Normal,
            Truth::Unknown(reason) => Verdict::Unknown(reason),
        }
    }
}

/// A number, or why there is none.
pub(super) type Known = Result<f64, UnknownReason>;

/// Keeps the values asked for, so that each is worked out once however often the text names it.
pub(super) struct Memo<'v, V: Values> {
    values: &'v mut V,
    asked: SmallVec<[(usize, Option<f64>); 8]>,
}

impl<'v, V: Values> Memo<'v, V> {
    pub fn new(values: &'v mut V) -> Self {
        Memo { values, asked: SmallVec::new() }
    }

    fn remembered(&self, slot: usize) -> Option<Option<f64>> {
        self.asked.iter().find(|(known, _)| *known == slot).map(|(_, value)| *value)
    }

    fn value(&mut self, slot: usize) -> Known {
        let value = self.remembered(slot).unwrap_or_else(|| {
            let value = self.values.value(slot).filter(|value| value.is_finite());
            self.asked.push((slot, value));
            value
        });
        value.ok_or_else(|| self.values.missing(slot))
    }

    fn threshold(&mut self, slot: usize, cmp: Cmp, threshold: f64) -> Truth {
        // Asked even where the value is remembered: it may be known, and yet not say whether the comparison will hold.
        let answer = match self.remembered(slot) {
            Some(None) => None,
            _ => self.values.compare(slot, cmp, threshold),
        };
        answer.map_or_else(|| Truth::Unknown(self.values.missing(slot)), Truth::of)
    }

    pub fn number(&mut self, node: &Num) -> Known {
        let result = match node {
            Num::Const(value) => return Ok(*value),
            Num::Slot(slot) => return self.value(*slot),
            Num::One(op, x) => op.apply(self.number(x)?),
            Num::Two(op, x, y) => {
                let (x, y) = both(self.number(x), self.number(y))?;
                op.apply(x, y)
            }
            Num::If(test, x, y) => match self.truth(test) {
                Truth::True => return self.number(x),
                Truth::False => return self.number(y),
                Truth::Unknown(reason) => return Err(reason),
            },
        };
        if result.is_finite() { Ok(result) } else { Err(UnknownReason::NotANumber) }
    }

    pub fn truth(&mut self, node: &Bool) -> Truth {
        match node {
            Bool::Const(value) => Truth::of(*value),
            Bool::Threshold { slot, cmp, threshold, .. } => self.threshold(*slot, *cmp, *threshold),
            Bool::Compare { cmp, left, right, .. } => match both(self.number(left), self.number(right)) {
                Ok((x, y)) => Truth::of(cmp.holds(x, y)),
                Err(reason) => Truth::Unknown(reason),
            },
            Bool::Same { left, right, negated } => match (self.truth(left), self.truth(right)) {
                (Truth::Unknown(a), Truth::Unknown(b)) => Truth::Unknown(a.min(b)),
                (Truth::Unknown(reason), _) | (_, Truth::Unknown(reason)) => Truth::Unknown(reason),
                (a, b) => Truth::of((a == b) != *negated),
            },
            Bool::Not(inner) => match self.truth(inner) {
                Truth::True => Truth::False,
                Truth::False => Truth::True,
                unknown => unknown,
            },
            Bool::All(parts) => self.junction(parts, Truth::False, Truth::True),
            Bool::Any(parts) => self.junction(parts, Truth::True, Truth::False),
            Bool::If(test, x, y) => match self.truth(test) {
                Truth::True => self.truth(x),
                Truth::False => self.truth(y),
                unknown => unknown,
            },
        }
    }

    /// `decisive` at the first part that is; otherwise unknown where any part is; otherwise `neutral`.
    fn junction(&mut self, parts: &[Bool], decisive: Truth, neutral: Truth) -> Truth {
        let mut unknown: Option<UnknownReason> = None;
        for part in parts {
            match self.truth(part) {
                Truth::Unknown(reason) => unknown = Some(unknown.map_or(reason, |first| first.min(reason))),
                truth if truth == decisive => return decisive,
                _ => {}
            }
        }
        unknown.map_or(neutral, Truth::Unknown)
    }
}

/// Both numbers; where both are unknown the lesser reason, so that the answer does not depend on the side.
fn both(x: Known, y: Known) -> Result<(f64, f64), UnknownReason> {
    match (x, y) {
        (Ok(x), Ok(y)) => Ok((x, y)),
        (Err(x), Err(y)) => Err(x.min(y)),
        (Err(reason), _) | (_, Err(reason)) => Err(reason),
    }
}
