//! From evalexpr's tree to the typed form: names become slots, integers become floats, types are checked, constants are
//! folded. Says all that is wrong at once.
//!
//! evalexpr's tree has its leaves in the order of the text, so a cursor over our own tokens, moved along with the
//! walk, gives each node its span.

use std::ops::Range;

use evalexpr::{Node, Operator, Value};

use super::lex::{Kind, Lexed};
use super::typed::{Bool, Cmp, Num, One, Two};
use super::{ConditionError, FUNCTIONS};
use crate::rule::suggest;

/// What a part of the text turned out to be. `Broken` was reported already and is not reported again further up.
enum Typed {
    Num(Num),
    Bool(Bool),
    Broken,
}

struct Part {
    typed: Typed,
    /// First and last token.
    tokens: Range<usize>,
}

struct Resolver<'a> {
    lexed: &'a Lexed,
    names: &'a [&'a str],
    /// The next token not walked over yet.
    cursor: usize,
    errors: Vec<ConditionError>,
}

/// The typed form of the tree evalexpr made of `lexed`.
pub(super) fn resolve(root: &Node, lexed: &Lexed, names: &[&str]) -> Result<Bool, Vec<ConditionError>> {
    let mut resolver = Resolver { lexed, names, cursor: 0, errors: Vec::new() };
    let part = resolver.root(root, false);
    let span = resolver.span(&part);
    let typed = resolver.truth(part, |text| {
        let error = ConditionError::new(span.clone(), "the condition is a number; it must be true or false");
        error.hint(format!("compare it with a threshold: `{text} > 0`"))
    });
    match typed {
        Some(typed) if resolver.errors.is_empty() => Ok(typed),
        _ => Err(resolver.errors),
    }
}

impl Resolver<'_> {
    fn text(&self, span: Range<usize>) -> &str {
        &self.lexed.text[span]
    }

    fn span(&self, part: &Part) -> Range<usize> {
        let tokens = &self.lexed.tokens[part.tokens.clone()];
        match (tokens.first(), tokens.last()) {
            (Some(first), Some(last)) => first.span.start..last.span.end,
            _ => 0..self.lexed.text.len(),
        }
    }

    fn report(&mut self, error: ConditionError) -> Typed {
        self.errors.push(error);
        Typed::Broken
    }

    /// Moves past the next token of one of `kinds` and gives its index.
    fn take(&mut self, kinds: &[Kind]) -> usize {
        let rest = self.lexed.tokens.get(self.cursor..).unwrap_or_default();
        let found = rest.iter().position(|token| kinds.contains(&token.kind)).unwrap_or(0);
        let index = (self.cursor + found).min(self.lexed.tokens.len() - 1);
        self.cursor = index + 1;
        index
    }

    /// A tree whose shape does not fit our tokens: a fault of ours rather than of the text, so it must not pass.
    fn mismatch(&mut self) -> Part {
        let all = 0..self.lexed.tokens.len();
        let error = ConditionError::new(0..self.lexed.text.len(), "the condition cannot be understood");
        Part { typed: self.report(error.hint("use brackets to say what belongs together")), tokens: all }
    }

    /// A root node: a pair of brackets where `brackets`, otherwise only evalexpr's wrapping.
    fn root(&mut self, node: &Node, brackets: bool) -> Part {
        if !matches!(node.operator(), Operator::RootNode) {
            return self.walk(node);
        }
        let [child] = node.children() else { return self.mismatch() };
        if !brackets {
            return self.walk(child);
        }
        let open = self.take(&[Kind::Open]);
        let inner = self.walk(child);
        let close = self.take(&[Kind::Close]);
        Part { typed: inner.typed, tokens: open..close + 1 }
    }

    fn walk(&mut self, node: &Node) -> Part {
        match (node.operator(), node.children()) {
            (Operator::RootNode, _) => self.root(node, true),
            (Operator::Const { value }, []) => {
                let token = self.take(&[Kind::Word]);
                Part { typed: self.constant(value, token), tokens: token..token + 1 }
            }
            (Operator::VariableIdentifierRead { identifier }, []) => {
                let token = self.take(&[Kind::Word]);
                Part { typed: self.name(identifier, token), tokens: token..token + 1 }
            }
            (Operator::FunctionIdentifier { identifier }, [argument]) => self.call(identifier, argument),
            (Operator::Neg, [child]) => {
                let sign = self.take(&[Kind::Prefix]);
                let part = self.walk(child);
                let end = part.tokens.end;
                let typed =
                    self.number(part, "`-` needs a number").map_or(Typed::Broken, |x| Typed::Num(one(One::Neg, x)));
                Part { typed, tokens: sign..end }
            }
            (Operator::Not, [child]) => {
                let sign = self.take(&[Kind::Prefix]);
                let part = self.walk(child);
                let (span, end) = (self.span(&part), part.tokens.end);
                let typed = self.truth(part, |text| {
                    let error = ConditionError::new(span, "`!` needs something that is true or false, not a number");
                    error.hint(format!("compare it: `{text} == 0`"))
                });
                Part { typed: typed.map_or(Typed::Broken, |x| Typed::Bool(not(x))), tokens: sign..end }
            }
            (operator, [left, right]) => self.infix(operator, left, right),
            _ => self.mismatch(),
        }
    }

    fn constant(&mut self, value: &Value, token: usize) -> Typed {
        let span = self.lexed.tokens[token].span.clone();
        let number = match value {
            Value::Boolean(value) => return Typed::Bool(Bool::Const(*value)),
            Value::Int(value) => *value as f64,
            Value::Float(value) => *value,
            _ => return self.mismatch().typed,
        };
        if number.is_finite() {
            return Typed::Num(Num::Const(number));
        }
        let message = format!("`{}` is not a finite number", self.text(span.clone()));
        self.report(ConditionError::new(span, message))
    }

    fn name(&mut self, name: &str, token: usize) -> Typed {
        if let Some(slot) = self.names.iter().position(|known| *known == name) {
            return Typed::Num(Num::Slot(slot));
        }
        let span = self.lexed.tokens[token].span.clone();
        if name.starts_with(['\'', '`']) {
            let error = ConditionError::new(span, "a condition compares numbers, not strings");
            return self.report(error.hint("compare strings in `where`, or in a `FILTER (WHERE …)` of a `let`"));
        }
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            let error = ConditionError::new(span, format!("`{name}` is not a number"));
            return self
                .report(error.hint("write plain numbers, such as `800`, `0.05` or `1e6`; units are not known here"));
        }
        let error = ConditionError::new(span, format!("unknown name `{name}`"));
        let hint = match function(name) {
            Some(known) => Some(format!("`{}` is a function: {}", known.name, known.usage)),
            None if self.names.is_empty() => {
                Some("the rule has no `let`; name there what is to be compared".to_owned())
            }
            None => suggest::hint(name, self.names.iter().copied(), "the names of `let` are"),
        };
        self.report(ConditionError { hint, ..error })
    }

    fn call(&mut self, name: &str, argument: &Node) -> Part {
        let token = self.take(&[Kind::Function]);
        let span = self.lexed.tokens[token].span.clone();
        let parts = self.arguments(argument);
        let tokens = token..self.cursor;
        let Some(known) = function(name) else {
            let hint = match self.names.contains(&name) {
                true => Some(format!("`{name}` is a name of `let`, not a function; leave the brackets away")),
                false => {
                    let all: Vec<&str> = FUNCTIONS.iter().map(|function| function.short()).collect();
                    Some(format!("there are {}", all.join(", ")))
                }
            };
            let error = ConditionError::new(span, format!("unknown function `{name}`"));
            return Part { typed: self.report(ConditionError { hint, ..error }), tokens };
        };
        if !known.arguments.contains(&parts.len()) {
            let message =
                format!("`{name}` does not take {} argument{}", parts.len(), if parts.len() == 1 { "" } else { "s" });
            let error = ConditionError::new(span, message).hint(format!("write {}", known.usage));
            return Part { typed: self.report(error), tokens };
        }
        let typed = match known.what {
            What::If => self.choice(parts),
            What::One(op) => self.numbers(name, parts).map(|mut xs| one(op, xs.remove(0))).map(Typed::Num),
            What::Two(op) => {
                self.numbers(name, parts).and_then(|xs| xs.into_iter().reduce(|x, y| two(op, x, y))).map(Typed::Num)
            }
        };
        let part = Part { typed: typed.unwrap_or(Typed::Broken), tokens };
        self.finite(part)
    }

    /// The arguments within the brackets of a call.
    fn arguments(&mut self, argument: &Node) -> Vec<Part> {
        self.take(&[Kind::Open]);
        let parts = match argument.children() {
            [tuple] if matches!(tuple.operator(), Operator::Tuple) => {
                tuple.children().iter().map(|part| self.root(part, false)).collect()
            }
            [_] => vec![self.root(argument, false)],
            _ => Vec::new(),
        };
        self.take(&[Kind::Close]);
        parts
    }

    fn numbers(&mut self, function: &str, parts: Vec<Part>) -> Option<Vec<Num>> {
        let message = format!("`{function}` needs numbers");
        let numbers: Vec<Option<Num>> = parts.into_iter().map(|part| self.number(part, &message)).collect();
        numbers.into_iter().collect()
    }

    /// `if(test, a, b)` with both branches of one type.
    fn choice(&mut self, parts: Vec<Part>) -> Option<Typed> {
        let spans: Vec<Range<usize>> = parts.iter().map(|part| self.span(part)).collect();
        let mut parts = parts.into_iter();
        let (test, left, right) = (parts.next()?, parts.next()?, parts.next()?);
        let test = self.truth(test, |text| {
            let error = ConditionError::new(spans[0].clone(), "the first argument of `if` must be true or false");
            error.hint(format!("compare it: `{text} > 0`"))
        });
        match (left.typed, right.typed) {
            (Typed::Num(x), Typed::Num(y)) => Some(Typed::Num(Num::If(Box::new(test?), Box::new(x), Box::new(y)))),
            (Typed::Bool(x), Typed::Bool(y)) => Some(Typed::Bool(Bool::If(Box::new(test?), Box::new(x), Box::new(y)))),
            (Typed::Broken, _) | (_, Typed::Broken) => None,
            (Typed::Num(_), Typed::Bool(_)) | (Typed::Bool(_), Typed::Num(_)) => {
                let message = "both branches of `if` must be numbers, or both true or false";
                self.report(ConditionError::new(spans[1].start..spans[2].end, message));
                None
            }
        }
    }

    fn infix(&mut self, operator: &Operator, left: &Node, right: &Node) -> Part {
        let left = self.walk(left);
        let token = self.take(&[Kind::Infix]);
        let right = self.walk(right);
        let tokens = left.tokens.start..right.tokens.end;
        let sign = self.lexed.text[self.lexed.tokens[token].span.clone()].to_owned();
        let arithmetic = match operator {
            Operator::Add => Some(Two::Add),
            Operator::Sub => Some(Two::Sub),
            Operator::Mul => Some(Two::Mul),
            Operator::Div => Some(Two::Div),
            Operator::Mod => Some(Two::Mod),
            Operator::Exp => Some(Two::Pow),
            _ => None,
        };
        if let Some(op) = arithmetic {
            let message = format!("`{sign}` needs numbers on both sides");
            let (x, y) = (self.number(left, &message), self.number(right, &message));
            let typed = x.zip(y).map_or(Typed::Broken, |(x, y)| Typed::Num(two(op, x, y)));
            return self.finite(Part { typed, tokens });
        }
        let cmp = match operator {
            Operator::Eq => Some(Cmp::Eq),
            Operator::Neq => Some(Cmp::Ne),
            Operator::Lt => Some(Cmp::Lt),
            Operator::Leq => Some(Cmp::Le),
            Operator::Gt => Some(Cmp::Gt),
            Operator::Geq => Some(Cmp::Ge),
            _ => None,
        };
        let typed = match (cmp, operator) {
            (Some(cmp), _) => self.compare(cmp, &sign, left, right),
            (None, Operator::And | Operator::Or) => {
                self.junction(matches!(operator, Operator::And), &sign, left, right)
            }
            _ => return self.mismatch(),
        };
        Part { typed: typed.unwrap_or(Typed::Broken), tokens }
    }

    fn compare(&mut self, cmp: Cmp, sign: &str, left: Part, right: Part) -> Option<Typed> {
        let (from, to) = (self.span(&left), self.span(&right));
        let span = from.start..to.end;
        match (left.typed, right.typed) {
            (Typed::Num(x), Typed::Num(y)) => Some(Typed::Bool(comparison(cmp, x, y, span))),
            (Typed::Bool(x), Typed::Bool(y)) if matches!(cmp, Cmp::Eq | Cmp::Ne) => {
                Some(Typed::Bool(Bool::Same { left: Box::new(x), right: Box::new(y), negated: cmp == Cmp::Ne }))
            }
            (Typed::Broken, _) | (_, Typed::Broken) => None,
            (Typed::Bool(inner), Typed::Num(_)) => {
                let error = ConditionError::new(span, format!("`{sign}` compares a truth value with a number"));
                let chained = match &inner {
                    Bool::Compare { .. } | Bool::Threshold { .. } => {
                        Some("comparisons do not chain; write `a < b && b < c`")
                    }
                    _ => None,
                };
                self.report(ConditionError { hint: chained.map(str::to_owned), ..error });
                None
            }
            (Typed::Num(_), Typed::Bool(_)) => {
                self.report(ConditionError::new(span, format!("`{sign}` compares a number with a truth value")));
                None
            }
            (Typed::Bool(_), Typed::Bool(_)) => {
                let error = ConditionError::new(span, format!("`{sign}` compares truth values, which have no order"));
                self.report(error.hint("combine them with `&&` or `||`"));
                None
            }
        }
    }

    /// `&&` and `||`; chains become flat lists so that their parts can be ordered by cost.
    fn junction(&mut self, all: bool, sign: &str, left: Part, right: Part) -> Option<Typed> {
        let mut sides = Vec::with_capacity(2);
        for part in [left, right] {
            let span = self.span(&part);
            sides.push(self.truth(part, |text| {
                let error =
                    ConditionError::new(span, format!("`{sign}` needs something that is true or false on both sides"));
                error.hint(format!("compare `{text}` with a number"))
            }));
        }
        let mut parts = Vec::new();
        for side in sides {
            match side? {
                Bool::All(inner) if all => parts.extend(inner),
                Bool::Any(inner) if !all => parts.extend(inner),
                other => parts.push(other),
            }
        }
        Some(Typed::Bool(if all { Bool::All(parts) } else { Bool::Any(parts) }))
    }

    fn number(&mut self, part: Part, message: &str) -> Option<Num> {
        match part.typed {
            Typed::Num(number) => Some(number),
            Typed::Broken => None,
            Typed::Bool(_) => {
                let error = ConditionError::new(self.span(&part), format!("{message}, and this is true or false"));
                self.report(error.hint("turn it into a number with `if(…, 1, 0)`"));
                None
            }
        }
    }

    /// `otherwise` makes the error of the text of a part that is a number.
    fn truth(&mut self, part: Part, otherwise: impl FnOnce(&str) -> ConditionError) -> Option<Bool> {
        let span = self.span(&part);
        match part.typed {
            Typed::Bool(truth) => Some(truth),
            Typed::Broken => None,
            Typed::Num(_) => {
                let error = otherwise(&self.lexed.text[span]);
                self.report(error);
                None
            }
        }
    }

    /// Refuses constants that came out as infinity or not a number, such as `1 / 0`: they would make the condition
    /// unknown for ever.
    fn finite(&mut self, part: Part) -> Part {
        if !matches!(part.typed, Typed::Num(Num::Const(value)) if !value.is_finite()) {
            return part;
        }
        let span = self.span(&part);
        let message = format!("`{}` is not a finite number", self.text(span.clone()));
        Part { typed: self.report(ConditionError::new(span, message)), tokens: part.tokens }
    }
}

fn one(op: One, x: Num) -> Num {
    match x {
        Num::Const(x) => Num::Const(op.apply(x)),
        x => Num::One(op, Box::new(x)),
    }
}

fn two(op: Two, x: Num, y: Num) -> Num {
    match (x, y) {
        (Num::Const(x), Num::Const(y)) => Num::Const(op.apply(x, y)),
        (x, y) => Num::Two(op, Box::new(x), Box::new(y)),
    }
}

fn not(inner: Bool) -> Bool {
    match inner {
        Bool::Const(value) => Bool::Const(!value),
        inner => Bool::Not(Box::new(inner)),
    }
}

fn comparison(cmp: Cmp, left: Num, right: Num, span: Range<usize>) -> Bool {
    match (left, right) {
        (Num::Slot(slot), Num::Const(threshold)) => Bool::Threshold { slot, cmp, threshold, flipped: false, span },
        (Num::Const(threshold), Num::Slot(slot)) => {
            Bool::Threshold { slot, cmp: cmp.flipped(), threshold, flipped: true, span }
        }
        (left, right) => Bool::Compare { cmp, left, right, span },
    }
}

/// A function of conditions.
pub struct Function {
    pub name: &'static str,
    /// How it is written, for hints and documentation.
    pub usage: &'static str,
    arguments: std::ops::RangeInclusive<usize>,
    what: What,
}

impl Function {
    /// The name without `math::`.
    pub fn short(&self) -> &'static str {
        self.name.strip_prefix("math::").unwrap_or(self.name)
    }
}

#[derive(Clone, Copy)]
enum What {
    One(One),
    Two(Two),
    If,
}

const fn of_one(name: &'static str, usage: &'static str, op: One) -> Function {
    Function { name, usage, arguments: 1..=1, what: What::One(op) }
}

const fn of_two(name: &'static str, usage: &'static str, op: Two) -> Function {
    Function { name, usage, arguments: 2..=2, what: What::Two(op) }
}

const fn of_many(name: &'static str, usage: &'static str, op: Two) -> Function {
    Function { name, usage, arguments: 2..=super::lex::OPERATORS_MAX, what: What::Two(op) }
}

/// evalexpr's names for what of its library makes sense over windows of numbers.
pub(super) const ALL: &[Function] = &[
    of_many("min", "`min(a, b)`, of two or more numbers", Two::Min),
    of_many("max", "`max(a, b)`, of two or more numbers", Two::Max),
    Function { name: "if", usage: "`if(test, then, otherwise)`", arguments: 3..=3, what: What::If },
    of_one("floor", "`floor(x)`", One::Floor),
    of_one("ceil", "`ceil(x)`", One::Ceil),
    of_one("round", "`round(x)`", One::Round),
    of_one("math::abs", "`math::abs(x)`", One::Abs),
    of_one("math::sqrt", "`math::sqrt(x)`", One::Sqrt),
    of_one("math::cbrt", "`math::cbrt(x)`", One::Cbrt),
    of_two("math::pow", "`math::pow(x, exponent)`", Two::Pow),
    of_one("math::ln", "`math::ln(x)`", One::Ln),
    of_two("math::log", "`math::log(x, base)`", Two::Log),
    of_one("math::log2", "`math::log2(x)`", One::Log2),
    of_one("math::log10", "`math::log10(x)`", One::Log10),
    of_one("math::exp", "`math::exp(x)`", One::Exp),
    of_one("math::exp2", "`math::exp2(x)`", One::Exp2),
    of_two("math::hypot", "`math::hypot(x, y)`", Two::Hypot),
];

/// A function by its name; those of `math::` by their short names as well.
fn function(name: &str) -> Option<&'static Function> {
    ALL.iter().find(|function| function.name == name || function.short() == name)
}
