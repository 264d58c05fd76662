//! Conditions: a rule's `when`, such as `p99 > 800 && errors / total > 0.05`.
//!
//! The language is evalexpr's: its parser reads the text and its evaluator is the reference in tests. It does not run
//! in production, where it would cost half a microsecond and seven allocations for each group and tick; instead its tree
//! is checked, and compiled into two forms that mean the same:
//!
//! - [`Condition::judge`] for one group: asks for values lazily, the cheap ones first, and hands `quantile > constant`
//!   down to the window as a question that needs no quantile;
//! - [`Condition::judge_columns`] for many: loops over columns, a few nanoseconds a group.
//!
//! Where we differ from evalexpr, on purpose: every number is a float (`1 == 1.0` holds and `errors / total` is a ratio),
//! names and types are settled when the rule is loaded, nothing assigns, there are no strings, and values may be unknown:
//!
//! - `K1` a comparison with an unknown number is unknown. `&&`, `||` and `!` are Kleene's: `unknown && false` is false,
//!   `unknown || true` is true. `if` with an unknown test is unknown. The whole is a breach, normal or unknown.
//! - `K2` a number is unknown for want of data where a `let` it is made of has no value, and otherwise not a number where
//!   a step towards it came out infinite or NaN (`errors / total` with `total` = 0).
//! - `K3` the verdict, its reason included, does not depend on the order in which parts are asked, nor on the form.
//! - `K4` where no part is unknown the verdict is evalexpr's.
//!
//! Functions: `min` and `max` (of two or more), `if(test, a, b)`, `floor`, `ceil`, `round`, and, with or without their
//! `math::`, `abs`, `sqrt`, `cbrt`, `pow`, `ln`, `log(x, base)`, `log2`, `log10`, `exp`, `exp2`, `hypot`.

mod judge;
mod lex;
mod program;
mod resolve;
mod typed;

#[cfg(test)]
mod equivalence;
#[cfg(test)]
mod mistakes;
#[cfg(test)]
mod tests;

use std::ops::Range;

pub use judge::Values;
pub use lex::{DEPTH_MAX, OPERATORS_MAX, TEXT_BYTES_MAX};
pub use resolve::Function;
pub use typed::Cmp;

use judge::Memo;
use program::Program;
use typed::{Bool, Num};

use crate::model::signal::{Comparison, Verdict};

/// The functions of conditions, for documentation.
pub const FUNCTIONS: &[Function] = resolve::ALL;

/// What is wrong with a condition, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConditionError {
    /// Bytes of the condition's text.
    pub span: Range<usize>,
    pub message: String,
    pub hint: Option<String>,
}

impl ConditionError {
    fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        ConditionError { span, message: message.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        ConditionError { hint: Some(hint.into()), ..self }
    }
}

/// A compiled `when`.
#[derive(Clone, Debug)]
pub struct Condition {
    text: String,
    /// As the text has it, for evidence.
    source: Bool,
    /// As it is judged: cheapest first.
    ordered: Bool,
    program: Program,
    slots: Vec<usize>,
}

impl Condition {
    /// Compiles `text` over the names of `let`, which become slots in this order. Says all that is wrong at once, in
    /// the order of the text.
    pub fn compile(text: &str, names: &[&str]) -> Result<Condition, Vec<ConditionError>> {
        let lexed = lex::lex(text)?;
        let tree = parse(&lexed.text).map_err(|error| vec![error])?;
        let source = resolve::resolve(&tree, &lexed, names).map_err(|mut errors| {
            errors.sort_by_key(|error| (error.span.start, error.span.end));
            errors
        })?;
        let mut slots = Vec::new();
        source.slots(&mut |slot| {
            if !slots.contains(&slot) {
                slots.push(slot);
            }
        });
        let program = Program::compile(&source);
        Ok(Condition { text: text.to_owned(), ordered: source.clone(), source, program, slots })
    }

    /// Judges cheap parts before dear ones. `cost` is by slot: 0 for what is at hand (the threshold comparison of a
    /// count), more for what has to be worked out (a quantile). The verdict stays the same (`K3`).
    pub fn with_costs(mut self, cost: &[u32]) -> Condition {
        self.ordered.cheapest_first(cost);
        self
    }

    /// The text of `when`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The lets the condition reads, each once, in the order of the text. The first is `$value` in templates.
    pub fn slots(&self) -> &[usize] {
        &self.slots
    }

    /// Every comparison of a slot with a constant, in the order of the text: (slot, comparison, constant).
    pub fn thresholds(&self) -> Vec<(usize, Cmp, f64)> {
        let mut found = Vec::new();
        each_comparison(&self.source, &mut |cmp, left, right, _| match (left, right) {
            (Num::Slot(slot), Num::Const(threshold)) => found.push((*slot, cmp, *threshold)),
            (Num::Const(threshold), Num::Slot(slot)) => found.push((*slot, cmp.flipped(), *threshold)),
            _ => {}
        });
        found
    }

    /// What the condition says of one group.
    pub fn judge(&self, values: &mut impl Values) -> Verdict {
        Memo::new(values).truth(&self.ordered).verdict()
    }

    /// What the condition says of `rows` groups, appended to `out` in their order. `columns` is by slot, NaN where
    /// there is no value; columns of slots the condition does not read may be empty.
    pub fn judge_columns(&self, rows: usize, columns: &[&[f64]], out: &mut Vec<Verdict>) {
        let mut registers = self.program.registers();
        out.reserve(rows);
        for start in (0..rows).step_by(program::ROWS) {
            let count = program::ROWS.min(rows - start);
            let truths = self.program.run(columns, start, count, &mut registers);
            let first = out.len();
            out.extend(truths.iter().map(|truth| program::VERDICTS[usize::from(*truth)]));
            for (row, truth) in truths.iter().enumerate() {
                if *truth == program::UNKNOWN {
                    out[first + row] = self.judge(&mut Row { columns, row: start + row });
                }
            }
        }
    }

    /// Each comparison of the text with the numbers it compares, in the order of the text: the evidence of an alert.
    pub fn comparisons(&self, values: &mut impl Values) -> Vec<Comparison> {
        let mut memo = Memo::new(values);
        let mut found = Vec::new();
        each_comparison(&self.source, &mut |cmp, left, right, span| {
            let (left, right) = (memo.number(left).ok(), memo.number(right).ok());
            let holds = left.zip(right).map(|(left, right)| cmp.holds(left, right));
            found.push(Comparison { text: tidy(&self.text[span]), left, right, holds });
        });
        found
    }
}

/// The texts are compared: they determine the rest, given the names.
impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.source == other.source
    }
}

/// evalexpr's tree with every integer made a float. The lexer has seen to depth, length and the order of tokens, so
/// an error here is not expected; it is passed on in evalexpr's words.
fn parse(text: &str) -> Result<evalexpr::Node, ConditionError> {
    let mut tree = evalexpr::build_operator_tree(text)
        .map_err(|error| ConditionError::new(0..text.len(), format!("the condition cannot be parsed: {error}")))?;
    for operator in tree.iter_operators_mut() {
        if let evalexpr::Operator::Const { value: value @ evalexpr::Value::Int(_) } = operator {
            let number = value.as_number().expect("an integer is a number");
            *value = evalexpr::Value::Float(number);
        }
    }
    Ok(tree)
}

/// One row of columns.
struct Row<'a> {
    columns: &'a [&'a [f64]],
    row: usize,
}

impl Values for Row<'_> {
    fn value(&mut self, slot: usize) -> Option<f64> {
        self.columns.get(slot).and_then(|column| column.get(self.row)).copied()
    }
}

/// Calls `found` with each comparison in the order of the text, those in the tests of `if` included.
fn each_comparison(node: &Bool, found: &mut impl FnMut(Cmp, &Num, &Num, Range<usize>)) {
    match node {
        Bool::Const(_) => {}
        Bool::Threshold { slot, cmp, threshold, flipped, span } => {
            let (slot, threshold) = (Num::Slot(*slot), Num::Const(*threshold));
            match flipped {
                false => found(*cmp, &slot, &threshold, span.clone()),
                true => found(cmp.flipped(), &threshold, &slot, span.clone()),
            }
        }
        Bool::Compare { cmp, left, right, span } => {
            each_test(left, found);
            each_test(right, found);
            found(*cmp, left, right, span.clone());
        }
        Bool::Same { left, right, .. } => {
            each_comparison(left, found);
            each_comparison(right, found);
        }
        Bool::Not(inner) => each_comparison(inner, found),
        Bool::All(parts) | Bool::Any(parts) => parts.iter().for_each(|part| each_comparison(part, &mut *found)),
        Bool::If(test, x, y) => [test, x, y].into_iter().for_each(|part| each_comparison(part, &mut *found)),
    }
}

fn each_test(node: &Num, found: &mut impl FnMut(Cmp, &Num, &Num, Range<usize>)) {
    match node {
        Num::Const(_) | Num::Slot(_) => {}
        Num::One(_, x) => each_test(x, found),
        Num::Two(_, x, y) => {
            each_test(x, found);
            each_test(y, found);
        }
        Num::If(test, x, y) => {
            each_comparison(test, found);
            each_test(x, found);
            each_test(y, found);
        }
    }
}

/// A part of the text on one line.
fn tidy(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
