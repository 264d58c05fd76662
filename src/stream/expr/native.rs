//! Predicates that run straight on our columns: a comparison with a literal, a list, a prefix, a null test, and ANDs
//! and ORs of them. They are what most filters are made of, and cost 1–2 ns a row where laying out an Arrow batch for
//! DataFusion costs 20 or more.
//!
//! A filter keeps rows where its condition is TRUE. So a predicate here has two outcomes, TRUE and not; null is not.
//! That is right under AND and OR at any depth, and NOT never stands above one: simplification has pushed it down to
//! the comparisons (`NOT a > 5` is `a <= 5`, null in both where `a` is null). Whatever does not fit is left to
//! DataFusion, and a property test holds the two against each other.
//!
//! - `N1` for every row, `hit` is TRUE exactly if DataFusion's value of the same expression is TRUE

use std::cmp::Ordering;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{InList, Like};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use memchr::memmem;

use crate::model::batch::{Batch, Column, StrSpan};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cmp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

#[derive(Clone, Debug)]
pub(super) enum Native {
    Const(bool),
    Null {
        field: usize,
        is: bool,
    },
    Bool {
        field: usize,
        is: bool,
    },
    Int {
        field: usize,
        cmp: Cmp,
        than: i64,
    },
    IntIn {
        field: usize,
        list: Vec<i64>,
        negated: bool,
    },
    /// The field may be an int: it is compared as a float then.
    Float {
        field: usize,
        cmp: Cmp,
        than: f64,
    },
    Text {
        field: usize,
        cmp: Cmp,
        than: Box<[u8]>,
    },
    TextIn {
        field: usize,
        list: TextList,
        negated: bool,
    },
    TextLike {
        field: usize,
        pattern: Pattern,
        negated: bool,
    },
    All(Vec<Native>),
    Any(Vec<Native>),
}

/// A LIKE pattern without `_`, or a regular expression.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    Contains(Box<memmem::Finder<'static>>),
    Regex(regex::bytes::Regex),
}

/// Texts sorted by length and content. Most texts are told apart by their length alone.
#[derive(Clone, Debug)]
pub(super) struct TextList(Vec<Box<[u8]>>);

impl TextList {
    fn new(mut texts: Vec<Box<[u8]>>) -> Self {
        texts.sort_by(|a, b| TextList::order(a, b));
        texts.dedup();
        TextList(texts)
    }

    fn order(a: &[u8], b: &[u8]) -> Ordering {
        a.len().cmp(&b.len()).then_with(|| a.cmp(b))
    }

    fn contains(&self, text: &[u8]) -> bool {
        if self.0.len() <= 4 {
            return self.0.iter().any(|known| **known == *text);
        }
        self.0.binary_search_by(|known| TextList::order(known, text)).is_ok()
    }
}

/// What a compiler needs to know of the schema: the id of a field by its name.
pub(super) type FieldId<'a> = dyn Fn(&str) -> Option<usize> + 'a;

impl Native {
    /// The predicate that says the same as the simplified expression `expr`; `None` where there is none.
    pub(super) fn compile(expr: &Expr, field: &FieldId) -> Option<Native> {
        match expr {
            Expr::Literal(ScalarValue::Boolean(value), _) => Some(Native::Const(*value == Some(true))),
            Expr::Column(column) => Some(Native::Bool { field: field(&column.name)?, is: true }),
            Expr::Not(inner) => match &**inner {
                Expr::Column(column) => Some(Native::Bool { field: field(&column.name)?, is: false }),
                _ => None,
            },
            Expr::IsTrue(inner) => Native::compile(inner, field),
            Expr::IsNull(inner) => Some(Native::Null { field: field(&inner.try_as_col()?.name)?, is: true }),
            Expr::IsNotNull(inner) => Some(Native::Null { field: field(&inner.try_as_col()?.name)?, is: false }),
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                Some(Native::all(vec![Native::compile(left, field)?, Native::compile(right, field)?]))
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
                Some(Native::any(vec![Native::compile(left, field)?, Native::compile(right, field)?]))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => Native::comparison(left, *op, right, field),
            Expr::Between(between) => {
                let range = vec![
                    Native::comparison(&between.expr, Operator::GtEq, &between.low, field)?,
                    Native::comparison(&between.expr, Operator::LtEq, &between.high, field)?,
                ];
                (!between.negated).then(|| Native::all(range))
            }
            Expr::InList(list) => Native::list(list, field),
            Expr::Like(like) => Native::like(like, field),
            _ => None,
        }
    }

    fn comparison(left: &Expr, op: Operator, right: &Expr, field: &FieldId) -> Option<Native> {
        let (target, op, literal) = match (left, right) {
            (target, Expr::Literal(literal, _)) => (target, op, literal),
            (Expr::Literal(literal, _), target) => (target, op.swap()?, literal),
            _ => return None,
        };
        if let (Operator::RegexMatch | Operator::RegexNotMatch, Expr::Column(column)) = (op, target) {
            let pattern = Pattern::Regex(regex::bytes::Regex::new(literal.try_as_str()??).ok()?);
            return Some(Native::TextLike {
                field: field(&column.name)?,
                pattern,
                negated: op == Operator::RegexNotMatch,
            });
        }
        let cmp = match op {
            Operator::Eq => Cmp::Eq,
            Operator::NotEq => Cmp::Ne,
            Operator::Lt => Cmp::Lt,
            Operator::LtEq => Cmp::Le,
            Operator::Gt => Cmp::Gt,
            Operator::GtEq => Cmp::Ge,
            _ => return None,
        };
        // An int compared with a float is cast to float by coercion.
        let column = match target {
            Expr::Column(column) => column,
            Expr::Cast(cast) if matches!(literal, ScalarValue::Float64(_)) => cast.expr.try_as_col()?,
            _ => return None,
        };
        let id = field(&column.name)?;
        match literal {
            ScalarValue::Int64(Some(than)) if matches!(target, Expr::Column(_)) => {
                Some(Native::Int { field: id, cmp, than: *than })
            }
            // A NaN is no literal anybody writes; total order makes it awkward, so it is not ours.
            ScalarValue::Float64(Some(than)) if !than.is_nan() => {
                Some(Native::Float { field: id, cmp, than: *than + 0.0 })
            }
            _ => {
                let than = literal.try_as_str()??.as_bytes().into();
                matches!(target, Expr::Column(_)).then_some(Native::Text { field: id, cmp, than })
            }
        }
    }

    fn list(list: &InList, field: &FieldId) -> Option<Native> {
        let id = field(&list.expr.try_as_col()?.name)?;
        let literals = list.list.iter().map(|item| match item {
            Expr::Literal(literal, _) => Some(literal),
            _ => None,
        });
        let literals: Vec<&ScalarValue> = literals.collect::<Option<_>>()?;
        let ints = literals.iter().map(|literal| match literal {
            ScalarValue::Int64(value) => *value,
            _ => None,
        });
        if let Some(list_of_ints) = ints.collect::<Option<Vec<i64>>>() {
            return Some(Native::int_in(id, list_of_ints, list.negated));
        }
        // A null in the list makes the outcome null where nothing else matches: left to DataFusion.
        let texts = literals.iter().map(|literal| Some(literal.try_as_str()??.as_bytes().into()));
        let texts = texts.collect::<Option<Vec<Box<[u8]>>>>()?;
        Some(Native::TextIn { field: id, list: TextList::new(texts), negated: list.negated })
    }

    fn int_in(field: usize, mut list: Vec<i64>, negated: bool) -> Native {
        list.sort_unstable();
        list.dedup();
        Native::IntIn { field, list, negated }
    }

    fn like(like: &Like, field: &FieldId) -> Option<Native> {
        let Expr::Literal(pattern, _) = &*like.pattern else { return None };
        let pattern = pattern.try_as_str()??;
        if like.case_insensitive || like.escape_char.is_some() || pattern.contains(['_', '\\']) {
            return None;
        }
        let id = field(&like.expr.try_as_col()?.name)?;
        let body = pattern.trim_matches('%');
        if body.contains('%') || body.is_empty() {
            return None;
        }
        let bytes: Box<[u8]> = body.as_bytes().into();
        let pattern = match (pattern.starts_with('%'), pattern.ends_with('%')) {
            (false, true) => Pattern::Prefix(bytes),
            (true, false) => Pattern::Suffix(bytes),
            (true, true) => Pattern::Contains(Box::new(memmem::Finder::new(&bytes).into_owned())),
            (false, false) => {
                let cmp = if like.negated { Cmp::Ne } else { Cmp::Eq };
                return Some(Native::Text { field: id, cmp, than: bytes });
            }
        };
        Some(Native::TextLike { field: id, pattern, negated: like.negated })
    }

    /// AND, flattened, cheap parts first.
    fn all(parts: Vec<Native>) -> Native {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Native::All(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        flat.sort_by_key(Native::cost);
        Native::All(flat)
    }

    /// OR, flattened, equalities with one field gathered into a list, cheap parts first.
    fn any(parts: Vec<Native>) -> Native {
        let mut flat: Vec<Native> = Vec::new();
        for part in parts {
            let inner = match part {
                Native::Any(inner) => inner,
                other => vec![other],
            };
            for part in inner {
                Native::gather(&mut flat, part);
            }
        }
        flat.sort_by_key(Native::cost);
        if flat.len() == 1 { flat.remove(0) } else { Native::Any(flat) }
    }

    fn gather(flat: &mut Vec<Native>, part: Native) {
        match &part {
            Native::Text { field, cmp: Cmp::Eq, than } => {
                for known in flat.iter_mut() {
                    match known {
                        Native::Text { field: f, cmp: Cmp::Eq, than: other } if f == field => {
                            let list = TextList::new(vec![other.clone(), than.clone()]);
                            *known = Native::TextIn { field: *field, list, negated: false };
                            return;
                        }
                        Native::TextIn { field: f, list, negated: false } if f == field => {
                            let mut texts = std::mem::take(&mut list.0);
                            texts.push(than.clone());
                            *list = TextList::new(texts);
                            return;
                        }
                        _ => {}
                    }
                }
            }
            Native::Int { field, cmp: Cmp::Eq, than } => {
                for known in flat.iter_mut() {
                    match known {
                        Native::Int { field: f, cmp: Cmp::Eq, than: other } if f == field => {
                            *known = Native::int_in(*field, vec![*other, *than], false);
                            return;
                        }
                        Native::IntIn { field: f, list, negated: false } if f == field => {
                            let mut ints = std::mem::take(list);
                            ints.push(*than);
                            *known = Native::int_in(*field, ints, false);
                            return;
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        flat.push(part);
    }

    /// About how many tenths of a nanosecond a row costs; only the order matters.
    pub(super) fn cost(&self) -> u32 {
        match self {
            Native::Const(_) => 0,
            Native::Null { .. } | Native::Bool { .. } | Native::Int { .. } | Native::Float { .. } => 10,
            Native::Text { cmp: Cmp::Eq | Cmp::Ne, .. } => 15,
            Native::IntIn { .. } | Native::Text { .. } => 20,
            Native::TextIn { .. } => 30,
            Native::TextLike { pattern: Pattern::Prefix(_) | Pattern::Suffix(_), .. } => 20,
            Native::TextLike { pattern: Pattern::Contains(_), .. } => 200,
            Native::TextLike { pattern: Pattern::Regex(_), .. } => 500,
            Native::All(parts) | Native::Any(parts) => parts.iter().map(Native::cost).sum(),
        }
    }

    /// Keeps the rows of `sel` where the predicate is TRUE.
    pub(super) fn select(&self, batch: &Batch, sel: &mut Vec<u32>) {
        match self {
            Native::Const(true) => {}
            Native::Const(false) => sel.clear(),
            Native::All(parts) => parts.iter().for_each(|part| part.select(batch, sel)),
            Native::Any(parts) => {
                let mut hits = vec![false; sel.len()];
                any(parts, batch, sel, &mut hits);
                keep(sel, |at, _| hits[at]);
            }
            leaf => leaf.test(batch, Keep(sel)),
        }
    }

    /// `hits[at]` becomes whether row `rows[at]` is TRUE.
    pub(super) fn hits(&self, batch: &Batch, rows: &[u32], hits: &mut [bool]) {
        match self {
            Native::Const(value) => hits.fill(*value),
            Native::All(parts) => {
                let mut kept = rows.to_vec();
                parts.iter().for_each(|part| part.select(batch, &mut kept));
                hits.fill(false);
                let mut kept = kept.into_iter().peekable();
                for (hit, row) in hits.iter_mut().zip(rows) {
                    *hit = kept.next_if_eq(row).is_some();
                }
            }
            Native::Any(parts) => any(parts, batch, rows, hits),
            leaf => leaf.test(batch, Mark { rows, hits }),
        }
    }

    /// Runs a leaf over `sink`'s rows, one loop per kind of test so that each loop is tight.
    fn test(&self, batch: &Batch, sink: impl Sink) {
        match self {
            Native::Null { field, is } => match &batch.columns[*field] {
                Column::Absent => sink.each(|_| *is),
                Column::Str(spans) => sink.each(|row| spans[row].is_null() == *is),
                Column::Int { nulls, .. } | Column::Float { nulls, .. } | Column::Bool { nulls, .. } => {
                    sink.each(|row| nulls[row] == *is)
                }
            },
            Native::Bool { field, is } => match &batch.columns[*field] {
                Column::Bool { values, nulls } => sink.each(|row| (values[row] == *is) & !nulls[row]),
                _ => sink.each(|_| false),
            },
            Native::Int { field, cmp, than } => match &batch.columns[*field] {
                Column::Int { values, nulls } => {
                    let (than, value) = (*than, |row: usize| values[row]);
                    match cmp {
                        Cmp::Eq => sink.each(|row| (value(row) == than) & !nulls[row]),
                        Cmp::Ne => sink.each(|row| (value(row) != than) & !nulls[row]),
                        Cmp::Lt => sink.each(|row| (value(row) < than) & !nulls[row]),
                        Cmp::Le => sink.each(|row| (value(row) <= than) & !nulls[row]),
                        Cmp::Gt => sink.each(|row| (value(row) > than) & !nulls[row]),
                        Cmp::Ge => sink.each(|row| (value(row) >= than) & !nulls[row]),
                    }
                }
                _ => sink.each(|_| false),
            },
            Native::IntIn { field, list, negated } => match &batch.columns[*field] {
                Column::Int { values, nulls } => match list.len() {
                    0..=8 => sink.each(|row| {
                        let found = list.iter().fold(false, |found, known| found | (*known == values[row]));
                        (found != *negated) & !nulls[row]
                    }),
                    _ => sink.each(|row| (list.binary_search(&values[row]).is_ok() != *negated) & !nulls[row]),
                },
                _ => sink.each(|_| false),
            },
            Native::Float { field, cmp, than } => match &batch.columns[*field] {
                Column::Float { values, nulls } => float(sink, *cmp, *than, |row| values[row], nulls),
                Column::Int { values, nulls } => float(sink, *cmp, *than, |row| values[row] as f64, nulls),
                _ => sink.each(|_| false),
            },
            Native::Text { field, cmp, than } => match &batch.columns[*field] {
                Column::Str(spans) => {
                    let text = Text { batch, spans };
                    match cmp {
                        // A null is as long as no text is, so the length says it all.
                        Cmp::Eq => sink.each(|row| text.equals(row, than)),
                        Cmp::Ne => sink.each(|row| !spans[row].is_null() && !text.equals(row, than)),
                        Cmp::Lt => sink.each(|row| text.is(row, |text| text < &**than)),
                        Cmp::Le => sink.each(|row| text.is(row, |text| text <= &**than)),
                        Cmp::Gt => sink.each(|row| text.is(row, |text| text > &**than)),
                        Cmp::Ge => sink.each(|row| text.is(row, |text| text >= &**than)),
                    }
                }
                _ => sink.each(|_| false),
            },
            Native::TextIn { field, list, negated } => match &batch.columns[*field] {
                Column::Str(spans) => {
                    let text = Text { batch, spans };
                    sink.each(|row| text.is(row, |text| list.contains(text) != *negated))
                }
                _ => sink.each(|_| false),
            },
            Native::TextLike { field, pattern, negated } => match &batch.columns[*field] {
                Column::Str(spans) => {
                    let text = Text { batch, spans };
                    let not = *negated;
                    match pattern {
                        Pattern::Prefix(part) => sink.each(|row| text.is(row, |text| text.starts_with(part) != not)),
                        Pattern::Suffix(part) => sink.each(|row| text.is(row, |text| text.ends_with(part) != not)),
                        Pattern::Contains(part) => {
                            sink.each(|row| text.is(row, |text| part.find(text).is_some() != not))
                        }
                        Pattern::Regex(regex) => sink.each(|row| text.is(row, |text| regex.is_match(text) != not)),
                    }
                }
                _ => sink.each(|_| false),
            },
            Native::Const(_) | Native::All(_) | Native::Any(_) => unreachable!("not a leaf"),
        }
    }
}

/// OR: each part looks only at the rows no part before it has taken.
fn any(parts: &[Native], batch: &Batch, rows: &[u32], hits: &mut [bool]) {
    hits.fill(false);
    let mut rest: Vec<u32> = rows.to_vec();
    let mut places: Vec<u32> = (0..rows.len() as u32).collect();
    let mut found = vec![false; rows.len()];
    for part in parts {
        let found = &mut found[..rest.len()];
        part.hits(batch, &rest, found);
        let mut open = 0;
        for at in 0..rest.len() {
            hits[places[at] as usize] |= found[at];
            rest[open] = rest[at];
            places[open] = places[at];
            open += usize::from(!found[at]);
        }
        rest.truncate(open);
        places.truncate(open);
    }
}

/// Where a leaf's outcomes go.
trait Sink {
    fn each(self, test: impl FnMut(usize) -> bool);
}

/// Drops the rows that are not TRUE.
struct Keep<'a>(&'a mut Vec<u32>);

impl Sink for Keep<'_> {
    fn each(self, mut test: impl FnMut(usize) -> bool) {
        keep(self.0, |_, row| test(row as usize));
    }
}

/// Writes down the outcome of each row.
struct Mark<'a> {
    rows: &'a [u32],
    hits: &'a mut [bool],
}

impl Sink for Mark<'_> {
    fn each(self, mut test: impl FnMut(usize) -> bool) {
        for (hit, row) in self.hits.iter_mut().zip(self.rows) {
            *hit = test(*row as usize);
        }
    }
}

/// Keeps what passes, in order, without a branch on the outcome.
fn keep(sel: &mut Vec<u32>, mut test: impl FnMut(usize, u32) -> bool) {
    let mut kept = 0;
    for at in 0..sel.len() {
        let row = sel[at];
        sel[kept] = row;
        kept += usize::from(test(at, row));
    }
    sel.truncate(kept);
}

/// Numbers in their order and NaN above them, as `columns` hands them to DataFusion: so `>` is "not at most".
#[expect(clippy::neg_cmp_op_on_partial_ord, reason = "NaN is above every number")]
fn float(sink: impl Sink, cmp: Cmp, than: f64, value: impl Fn(usize) -> f64, nulls: &[bool]) {
    match cmp {
        Cmp::Eq => sink.each(|row| (value(row) == than) & !nulls[row]),
        Cmp::Ne => sink.each(|row| (value(row) != than) & !nulls[row]),
        Cmp::Lt => sink.each(|row| (value(row) < than) & !nulls[row]),
        Cmp::Le => sink.each(|row| (value(row) <= than) & !nulls[row]),
        Cmp::Gt => sink.each(|row| !(value(row) <= than) & !nulls[row]),
        Cmp::Ge => sink.each(|row| !(value(row) < than) & !nulls[row]),
    }
}

#[derive(Clone, Copy)]
struct Text<'a> {
    batch: &'a Batch,
    spans: &'a [StrSpan],
}

impl Text<'_> {
    fn equals(self, row: usize, literal: &[u8]) -> bool {
        let span = self.spans[row];
        span.len as usize == literal.len() && self.batch.bytes(span) == literal
    }

    /// False for null.
    fn is(self, row: usize, test: impl FnOnce(&[u8]) -> bool) -> bool {
        let span = self.spans[row];
        !span.is_null() && test(self.batch.bytes(span))
    }
}
