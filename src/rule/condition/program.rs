//! Many groups at a time: the typed form as a list of steps over columns.
//!
//! Truth is one byte a group (false 0, unknown 1, true 2), which makes Kleene's `&&`, `||` and `!` minimum, maximum
//! and a subtraction; an unknown number is NaN. Each step is one loop over [`ROWS`] rows that the compiler can
//! vectorise; rows that come out unknown (rare) are judged once more, one by one, for their reason. `benches/rule.rs`
//! (`condition/columns`) has the numbers.

use super::typed::{Bool, Cmp, Num, One, Two};
use crate::model::signal::{UnknownReason, Verdict};

/// Rows worked on at a time: a register is 2 KiB, so a condition's registers stay in the first-level cache.
pub(super) const ROWS: usize = 256;

const FALSE: u8 = 0;
pub(super) const UNKNOWN: u8 = 1;
const TRUE: u8 = 2;

/// What each byte of truth says; of an unknown one the reason is still to be found.
pub(super) const VERDICTS: [Verdict; 3] = [Verdict::Normal, Verdict::Unknown(UnknownReason::NoData), Verdict::Breach];

/// Where a step finds a number.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operand {
    Const(f64),
    /// A caller's column, by slot.
    Column(usize),
    Register(usize),
}

/// One loop. Registers are numbered like a stack; numbers and truths have a stack each. A step that makes a number
/// never reads the register it writes.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    One {
        op: One,
        x: Operand,
        to: usize,
    },
    Two {
        op: Two,
        x: Operand,
        y: Operand,
        to: usize,
    },
    /// `truths[test]` decides between `x` and `y`.
    Pick {
        test: usize,
        x: Operand,
        y: Operand,
        to: usize,
    },
    Constant {
        value: bool,
        to: usize,
    },
    Compare {
        cmp: Cmp,
        x: Operand,
        y: Operand,
        to: usize,
    },
    Not {
        to: usize,
    },
    /// `to = to && from`, and so on.
    And {
        from: usize,
        to: usize,
    },
    Or {
        from: usize,
        to: usize,
    },
    Same {
        from: usize,
        to: usize,
        negated: bool,
    },
    /// `to` is the test; `to + 1` and `to + 2` the branches.
    Choose {
        to: usize,
    },
}

/// A condition as steps; its truth ends in truth register 0.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Program {
    steps: Vec<Step>,
    numbers: usize,
    truths: usize,
}

/// The registers of one run. A step takes its target out while it writes, so that it can read the others.
pub(super) struct Registers {
    numbers: Vec<Vec<f64>>,
    truths: Vec<[u8; ROWS]>,
}

impl Program {
    pub fn compile(condition: &Bool) -> Program {
        let mut program = Program { steps: Vec::new(), numbers: 0, truths: 0 };
        program.truth(condition, 0, 0);
        program
    }

    pub fn registers(&self) -> Registers {
        Registers { numbers: vec![vec![0.0; ROWS]; self.numbers], truths: vec![[FALSE; ROWS]; self.truths] }
    }

    /// Emits what leaves `node` in truth register `to`, using number registers from `number` up.
    fn truth(&mut self, node: &Bool, to: usize, number: usize) {
        self.truths = self.truths.max(to + 1);
        match node {
            Bool::Const(value) => self.steps.push(Step::Constant { value: *value, to }),
            Bool::Threshold { slot, cmp, threshold, .. } => {
                let (x, y) = (Operand::Column(*slot), Operand::Const(*threshold));
                self.steps.push(Step::Compare { cmp: *cmp, x, y, to });
            }
            Bool::Compare { cmp, left, right, .. } => {
                let (x, next) = self.number(left, number, to);
                let (y, _) = self.number(right, next, to);
                self.steps.push(Step::Compare { cmp: *cmp, x, y, to });
            }
            Bool::Same { left, right, negated } => {
                self.truth(left, to, number);
                self.truth(right, to + 1, number);
                self.steps.push(Step::Same { from: to + 1, to, negated: *negated });
            }
            Bool::Not(inner) => {
                self.truth(inner, to, number);
                self.steps.push(Step::Not { to });
            }
            Bool::All(parts) | Bool::Any(parts) => {
                let all = matches!(node, Bool::All(_));
                for (index, part) in parts.iter().enumerate() {
                    let at = if index == 0 { to } else { to + 1 };
                    self.truth(part, at, number);
                    if index > 0 {
                        let from = to + 1;
                        self.steps.push(if all { Step::And { from, to } } else { Step::Or { from, to } });
                    }
                }
            }
            Bool::If(test, x, y) => {
                self.truth(test, to, number);
                self.truth(x, to + 1, number);
                self.truth(y, to + 2, number);
                self.steps.push(Step::Choose { to });
            }
        }
    }

    /// Emits what makes `node` available; says where it is and which number register is free after it. Truth registers
    /// from `truth` up may be used on the way.
    fn number(&mut self, node: &Num, to: usize, truth: usize) -> (Operand, usize) {
        let step = match node {
            Num::Const(value) => return (Operand::Const(*value), to),
            Num::Slot(slot) => return (Operand::Column(*slot), to),
            Num::One(op, x) => {
                let (x, _) = self.number(x, to + 1, truth);
                Step::One { op: *op, x, to }
            }
            Num::Two(op, x, y) => {
                let (x, next) = self.number(x, to + 1, truth);
                let (y, _) = self.number(y, next, truth);
                Step::Two { op: *op, x, y, to }
            }
            Num::If(test, x, y) => {
                // The test's truth is used up before the comparison that reads this number writes its own.
                let (x, next) = self.number(x, to + 1, truth);
                let (y, next) = self.number(y, next, truth);
                self.truth(test, truth, next);
                Step::Pick { test: truth, x, y, to }
            }
        };
        self.steps.push(step);
        self.numbers = self.numbers.max(to + 1);
        (Operand::Register(to), to + 1)
    }

    /// Runs over rows `start..start + rows` of the columns; the truths are in the slice returned.
    pub fn run<'r>(&self, columns: &[&[f64]], start: usize, rows: usize, registers: &'r mut Registers) -> &'r [u8] {
        let Registers { numbers, truths } = registers;
        for step in &self.steps {
            match *step {
                Step::One { op, x, to } => {
                    let mut out = std::mem::take(&mut numbers[to]);
                    one(op, lane(x, columns, start, rows, numbers), &mut out[..rows]);
                    numbers[to] = out;
                }
                Step::Two { op, x, y, to } => {
                    let mut out = std::mem::take(&mut numbers[to]);
                    let (x, y) = (lane(x, columns, start, rows, numbers), lane(y, columns, start, rows, numbers));
                    two(op, x, y, &mut out[..rows]);
                    numbers[to] = out;
                }
                Step::Pick { test, x, y, to } => {
                    let mut out = std::mem::take(&mut numbers[to]);
                    let (x, y) = (lane(x, columns, start, rows, numbers), lane(y, columns, start, rows, numbers));
                    for (row, out) in out[..rows].iter_mut().enumerate() {
                        *out = match truths[test][row] {
                            TRUE => x.at(row),
                            FALSE => y.at(row),
                            _ => f64::NAN,
                        };
                    }
                    numbers[to] = out;
                }
                Step::Constant { value, to } => truths[to][..rows].fill(if value { TRUE } else { FALSE }),
                Step::Compare { cmp, x, y, to } => {
                    let (x, y) = (lane(x, columns, start, rows, numbers), lane(y, columns, start, rows, numbers));
                    compare(cmp, x, y, &mut truths[to][..rows]);
                }
                Step::Not { to } => truths[to][..rows].iter_mut().for_each(|truth| *truth = TRUE - *truth),
                Step::And { from, to } => merge(truths, from, to, rows, u8::min),
                Step::Or { from, to } => merge(truths, from, to, rows, u8::max),
                Step::Same { from, to, negated } => merge(truths, from, to, rows, |a, b| match (a, b) {
                    (UNKNOWN, _) | (_, UNKNOWN) => UNKNOWN,
                    (a, b) if (a == b) != negated => TRUE,
                    _ => FALSE,
                }),
                Step::Choose { to } => {
                    for row in 0..rows {
                        truths[to][row] = match truths[to][row] {
                            TRUE => truths[to + 1][row],
                            FALSE => truths[to + 2][row],
                            unknown => unknown,
                        };
                    }
                }
            }
        }
        &registers.truths[0][..rows]
    }
}

/// A column's part, or one number for all rows.
#[derive(Clone, Copy)]
enum Lane<'a> {
    Rows(&'a [f64]),
    Same(f64),
}

impl Lane<'_> {
    fn at(self, row: usize) -> f64 {
        match self {
            Lane::Rows(values) => values[row],
            Lane::Same(value) => value,
        }
    }
}

fn lane<'a>(operand: Operand, columns: &[&'a [f64]], start: usize, rows: usize, numbers: &'a [Vec<f64>]) -> Lane<'a> {
    match operand {
        Operand::Const(value) => Lane::Same(value),
        Operand::Column(slot) => Lane::Rows(&columns[slot][start..start + rows]),
        Operand::Register(register) => Lane::Rows(&numbers[register][..rows]),
    }
}

/// `out = f(x, y)` for each row, with a loop of its own for each kind of operand so that it vectorises.
#[inline(always)]
fn zip<T>(x: Lane<'_>, y: Lane<'_>, out: &mut [T], f: impl Fn(f64, f64) -> T) {
    match (x, y) {
        (Lane::Rows(xs), Lane::Rows(ys)) => {
            for ((out, x), y) in out.iter_mut().zip(xs).zip(ys) {
                *out = f(*x, *y);
            }
        }
        (Lane::Rows(xs), Lane::Same(y)) => out.iter_mut().zip(xs).for_each(|(out, x)| *out = f(*x, y)),
        (Lane::Same(x), Lane::Rows(ys)) => out.iter_mut().zip(ys).for_each(|(out, y)| *out = f(x, *y)),
        (Lane::Same(x), Lane::Same(y)) => out.iter_mut().for_each(|out| *out = f(x, y)),
    }
}

/// NaN for what is not finite or was made of something that is not (`K2`).
#[inline(always)]
fn settled(finite: bool, value: f64) -> f64 {
    if finite & value.is_finite() { value } else { f64::NAN }
}

fn one(op: One, x: Lane<'_>, out: &mut [f64]) {
    let run = |out: &mut [f64], f: fn(f64) -> f64| {
        zip(x, Lane::Same(0.0), out, |x, _| settled(x.is_finite(), f(x)));
    };
    match op {
        One::Neg => zip(x, Lane::Same(0.0), out, |x, _| settled(true, -x)),
        One::Abs => zip(x, Lane::Same(0.0), out, |x, _| settled(true, x.abs())),
        One::Floor => run(out, f64::floor),
        One::Ceil => run(out, f64::ceil),
        One::Round => run(out, f64::round),
        One::Sqrt => run(out, f64::sqrt),
        One::Cbrt => run(out, f64::cbrt),
        One::Ln => run(out, f64::ln),
        One::Log2 => run(out, f64::log2),
        One::Log10 => run(out, f64::log10),
        One::Exp => run(out, f64::exp),
        One::Exp2 => run(out, f64::exp2),
    }
}

fn two(op: Two, x: Lane<'_>, y: Lane<'_>, out: &mut [f64]) {
    // One closure a case: each becomes a loop of its own.
    macro_rules! run {
        ($f:expr) => {
            zip(x, y, out, |x, y| settled(x.is_finite() & y.is_finite(), $f(x, y)))
        };
    }
    match op {
        Two::Add => run!(|x, y| x + y),
        Two::Sub => run!(|x, y| x - y),
        Two::Mul => run!(|x, y| x * y),
        Two::Div => run!(|x, y| x / y),
        Two::Mod => run!(|x, y| x % y),
        Two::Pow => run!(f64::powf),
        Two::Min => run!(f64::min),
        Two::Max => run!(f64::max),
        Two::Log => run!(f64::log),
        Two::Hypot => run!(f64::hypot),
    }
}

fn compare(cmp: Cmp, x: Lane<'_>, y: Lane<'_>, out: &mut [u8]) {
    macro_rules! run {
        ($op:tt) => {
            zip(x, y, out, |x, y| {
                let known = x.is_finite() & y.is_finite();
                if known { u8::from(x $op y) * TRUE } else { UNKNOWN }
            })
        };
    }
    match cmp {
        Cmp::Eq => run!(==),
        Cmp::Ne => run!(!=),
        Cmp::Lt => run!(<),
        Cmp::Le => run!(<=),
        Cmp::Gt => run!(>),
        Cmp::Ge => run!(>=),
    }
}

fn merge(truths: &mut [[u8; ROWS]], from: usize, to: usize, rows: usize, f: impl Fn(u8, u8) -> u8) {
    let (low, high) = truths.split_at_mut(from);
    low[to][..rows].iter_mut().zip(&high[0][..rows]).for_each(|(to, from)| *to = f(*to, *from));
}
