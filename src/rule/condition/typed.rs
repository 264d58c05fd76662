//! The checked form of a condition: numbers and truth values told apart, names resolved to slots, constants folded.
//! Everything else in this module (lazy judging, the column program, evidence) is made from it.

use std::ops::Range;

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cmp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Cmp {
    #[inline]
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Cmp::Eq => left == right,
            Cmp::Ne => left != right,
            Cmp::Lt => left < right,
            Cmp::Le => left <= right,
            Cmp::Gt => left > right,
            Cmp::Ge => left >= right,
        }
    }

    /// The comparison with its sides exchanged: `5 < x` is `x > 5`.
    pub fn flipped(self) -> Cmp {
        match self {
            Cmp::Eq | Cmp::Ne => self,
            Cmp::Lt => Cmp::Gt,
            Cmp::Le => Cmp::Ge,
            Cmp::Gt => Cmp::Lt,
            Cmp::Ge => Cmp::Le,
        }
    }
}

/// A function or operator of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum One {
    Neg,
    Abs,
    Floor,
    Ceil,
    Round,
    Sqrt,
    Cbrt,
    Ln,
    Log2,
    Log10,
    Exp,
    Exp2,
}

impl One {
    #[inline]
    pub fn apply(self, x: f64) -> f64 {
        match self {
            One::Neg => -x,
            One::Abs => x.abs(),
            One::Floor => x.floor(),
            One::Ceil => x.ceil(),
            One::Round => x.round(),
            One::Sqrt => x.sqrt(),
            One::Cbrt => x.cbrt(),
            One::Ln => x.ln(),
            One::Log2 => x.log2(),
            One::Log10 => x.log10(),
            One::Exp => x.exp(),
            One::Exp2 => x.exp2(),
        }
    }
}

/// A function or operator of two numbers. `min` and `max` of more are chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Two {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Min,
    Max,
    Log,
    Hypot,
}

impl Two {
    #[inline]
    pub fn apply(self, x: f64, y: f64) -> f64 {
        match self {
            Two::Add => x + y,
            Two::Sub => x - y,
            Two::Mul => x * y,
            Two::Div => x / y,
            Two::Mod => x % y,
            Two::Pow => x.powf(y),
            Two::Min => x.min(y),
            Two::Max => x.max(y),
            Two::Log => x.log(y),
            Two::Hypot => x.hypot(y),
        }
    }
}

/// What has a number as its value. A result that is not finite is not a number (`K2` of the module).
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Num {
    Const(f64),
    Slot(usize),
    One(One, Box<Num>),
    Two(Two, Box<Num>, Box<Num>),
    If(Box<Bool>, Box<Num>, Box<Num>),
}

/// What is true, false or unknown.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Bool {
    Const(bool),
    /// `slot CMP constant`: can be answered without knowing the number.
    Threshold {
        slot: usize,
        cmp: Cmp,
        threshold: f64,
        /// The source has the constant on the left.
        flipped: bool,
        span: Range<usize>,
    },
    Compare {
        cmp: Cmp,
        left: Num,
        right: Num,
        span: Range<usize>,
    },
    /// `==` (or `!=`, where `negated`) of two truth values.
    Same {
        left: Box<Bool>,
        right: Box<Bool>,
        negated: bool,
    },
    Not(Box<Bool>),
    All(Vec<Bool>),
    Any(Vec<Bool>),
    If(Box<Bool>, Box<Bool>, Box<Bool>),
}

impl Num {
    /// Calls `found` with each slot read, in the order of the text.
    pub fn slots(&self, found: &mut impl FnMut(usize)) {
        match self {
            Num::Const(_) => {}
            Num::Slot(slot) => found(*slot),
            Num::One(_, x) => x.slots(found),
            Num::Two(_, x, y) => {
                x.slots(found);
                y.slots(found);
            }
            Num::If(test, x, y) => {
                test.slots(found);
                x.slots(found);
                y.slots(found);
            }
        }
    }
}

impl Bool {
    /// Calls `found` with each slot read, in the order of the text (until [`Bool::cheapest_first`] changes it).
    pub fn slots(&self, found: &mut impl FnMut(usize)) {
        match self {
            Bool::Const(_) => {}
            Bool::Threshold { slot, .. } => found(*slot),
            Bool::Compare { left, right, .. } => {
                left.slots(found);
                right.slots(found);
            }
            Bool::Same { left, right, .. } => {
                left.slots(found);
                right.slots(found);
            }
            Bool::Not(inner) => inner.slots(found),
            Bool::All(parts) | Bool::Any(parts) => parts.iter().for_each(|part| part.slots(&mut *found)),
            Bool::If(test, x, y) => {
                test.slots(found);
                x.slots(found);
                y.slots(found);
            }
        }
    }

    /// Sorts what stands between `&&` (and between `||`) by cost, so that what is dear is asked last. The verdict does
    /// not depend on the order (`K3` of the module). `cost` is by slot; slots without one cost 1.
    pub fn cheapest_first(&mut self, cost: &[u32]) {
        match self {
            Bool::All(parts) | Bool::Any(parts) => {
                parts.iter_mut().for_each(|part| part.cheapest_first(cost));
                parts.sort_by_cached_key(|part| part.cost(cost));
            }
            Bool::Not(inner) => inner.cheapest_first(cost),
            Bool::Same { left, right, .. } => {
                left.cheapest_first(cost);
                right.cheapest_first(cost);
            }
            Bool::If(test, x, y) => [test, x, y].into_iter().for_each(|part| part.cheapest_first(cost)),
            Bool::Const(_) | Bool::Threshold { .. } | Bool::Compare { .. } => {}
        }
    }

    fn cost(&self, cost: &[u32]) -> u64 {
        let mut total = 0;
        self.slots(&mut |slot| total += u64::from(cost.get(slot).copied().unwrap_or(1)));
        total
    }
}
