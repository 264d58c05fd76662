//! The functions of templates: Go's built-in ones, Prometheus', and those that lowering puts in.
//!
//! All of them are ours, but for `and`, `or`, `not` (which gotmpl evaluates lazily) and the escapers. Each call is handed the
//! render's fuel and its own place in the text before its arguments: so every call is paid for, and every failure
//! says where it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotmpl::{SafeKind, Value};
use regex::{Regex, RegexBuilder};

use super::value::{self, Bounded, OUTPUT_BYTES_MAX, TooLong, text};
use super::{FaultKind, gofmt, human, time};
use crate::model::time::Millis;

/// Compiled size a regular expression of a template may have.
const REGEX_BYTES_MAX: usize = 256 * 1024;

/// Bytes of a regular expression that is not written in the template but comes from data.
const DYNAMIC_REGEX_BYTES_MAX: usize = 256;

/// What a call costs, at least; long results and regular expressions cost more.
const CALL_COST: usize = 1;
const DYNAMIC_REGEX_COST: usize = 500;
const REGEX_BYTES_PER_COST: usize = 8;

/// Regular expressions written in the template, compiled with it.
pub(super) type Regexes = BTreeMap<Arc<str>, Regex>;

/// Why a call failed.
pub(super) struct Fault {
    pub kind: FaultKind,
    pub message: String,
    pub hint: Option<String>,
}

impl Fault {
    fn types(message: impl Into<String>) -> Fault {
        Fault { kind: FaultKind::Types, message: message.into(), hint: None }
    }

    fn data(message: impl Into<String>) -> Fault {
        Fault { kind: FaultKind::Data, message: message.into(), hint: None }
    }

    pub fn budget(message: impl Into<String>) -> Fault {
        Fault { kind: FaultKind::Budget, message: message.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Fault {
        Fault { hint: Some(hint.into()), ..self }
    }
}

impl From<TooLong> for Fault {
    fn from(_: TooLong) -> Self {
        Fault::budget(format!("the text grows longer than {OUTPUT_BYTES_MAX} bytes"))
    }
}

/// One call.
pub(super) struct Call<'a> {
    pub name: &'static str,
    pub args: &'a [Value],
    pub regexes: &'a Regexes,
}

type Run = fn(&Call) -> Result<Value, Fault>;

/// How lowering writes a call.
#[derive(Clone, Copy)]
pub(super) enum Style {
    /// One of ours: fuel and place first.
    Ours(Run),
    /// gotmpl's, called as written.
    Native,
    /// gotmpl's, with its arguments made texts first.
    Escaper,
    /// No call but a variable of the render.
    Variable(&'static str),
    /// A call of the first on the variable.
    OfVariable(&'static str, &'static str),
}

pub(super) struct Function {
    pub name: &'static str,
    /// Arguments, the piped one included.
    pub min: usize,
    pub max: usize,
    pub style: Style,
}

const fn ours(name: &'static str, min: usize, max: usize, run: Run) -> Function {
    Function { name, min, max, style: Style::Ours(run) }
}

/// As many as are given.
const MANY: usize = usize::MAX;

/// The names lowering uses cannot be written in a template: they have a space.
pub(super) const GET: &str = " get";
pub(super) const METHOD: &str = " method";
pub(super) const SHOW: &str = " show";
pub(super) const RANGE: &str = " range";
pub(super) const NIL: &str = " nil";
pub(super) const PATH: &str = " path";

pub(super) const FUNCTIONS: &[Function] = &[
    ours(GET, 1, MANY, get),
    ours(METHOD, 2, MANY, method),
    ours(SHOW, 1, 1, |call| show(&call.args[0])),
    ours(RANGE, 1, 1, range),
    ours(NIL, 0, 0, |_| Ok(Value::Nil)),
    ours(PATH, 1, 1, |call| Ok(text(human::url_path(call.text(0)?)))),
    Function { name: "and", min: 1, max: MANY, style: Style::Native },
    Function { name: "or", min: 1, max: MANY, style: Style::Native },
    Function { name: "not", min: 1, max: 1, style: Style::Native },
    Function { name: "html", min: 1, max: 1, style: Style::Escaper },
    Function { name: "js", min: 1, max: 1, style: Style::Escaper },
    Function { name: "urlquery", min: 1, max: 1, style: Style::Escaper },
    Function { name: "externalURL", min: 0, max: 0, style: Style::Variable("$ url") },
    Function { name: "pathPrefix", min: 0, max: 0, style: Style::OfVariable(PATH, "$ url") },
    Function { name: "now", min: 0, max: 0, style: Style::Variable("$ at") },
    ours("eq", 2, MANY, equal),
    ours("ne", 2, 2, |call| Ok(Value::Bool(!same(&call.args[0], &call.args[1])?))),
    ours("lt", 2, 2, |call| ordered(call, |order| order.is_lt())),
    ours("le", 2, 2, |call| ordered(call, |order| order.is_le())),
    ours("gt", 2, 2, |call| ordered(call, |order| order.is_gt())),
    ours("ge", 2, 2, |call| ordered(call, |order| order.is_ge())),
    ours("print", 0, MANY, |call| Ok(text(gofmt::sprint(call.args)?))),
    ours("println", 0, MANY, |call| Ok(text(gofmt::sprintln(call.args)?))),
    ours("printf", 1, MANY, |call| Ok(text(gofmt::sprintf(call.text(0)?, &call.args[1..])?))),
    ours("len", 1, 1, length),
    ours("index", 1, MANY, index),
    ours("slice", 1, 3, slice),
    ours("args", 0, MANY, arguments),
    ours("humanize", 1, 1, |call| number(call, |x| Some(human::humanize(x)))),
    ours("humanize1024", 1, 1, |call| number(call, |x| Some(human::humanize1024(x)))),
    ours("humanizeDuration", 1, 1, |call| number(call, |x| Some(human::humanize_duration(x)))),
    ours("humanizePercentage", 1, 1, |call| number(call, |x| Some(human::humanize_percentage(x)))),
    ours("humanizeTimestamp", 1, 1, |call| number(call, human::humanize_timestamp)),
    ours("toTime", 1, 1, to_time),
    ours("toDuration", 1, 1, to_duration),
    ours("parseDuration", 1, 1, parse_duration),
    ours("title", 1, 1, |call| Ok(text(human::title(call.text(0)?)))),
    ours("toUpper", 1, 1, |call| Ok(text(call.text(0)?.to_uppercase()))),
    ours("toLower", 1, 1, |call| Ok(text(call.text(0)?.to_lowercase()))),
    ours("stripPort", 1, 1, |call| Ok(text(human::strip_port(call.text(0)?)))),
    ours("stripDomain", 1, 1, |call| Ok(text(human::strip_domain(call.text(0)?)))),
    ours("match", 2, 2, |call| Ok(Value::Bool(call.regex(0)?.is_match(call.text(1)?)))),
    ours("reReplaceAll", 3, 3, replace_all),
    ours("graphLink", 1, 1, |call| Ok(text(human::expression_link(call.text(0)?, 0)))),
    ours("tableLink", 1, 1, |call| Ok(text(human::expression_link(call.text(0)?, 1)))),
    ours("urlQueryEscape", 1, 1, |call| Ok(text(gotmpl::url_encode(call.text(0)?)))),
    ours("safeHtml", 1, 1, |call| Ok(Value::Safe { kind: SafeKind::Html, s: call.text(0)?.into() })),
];

/// Functions of Prometheus that work on the results of queries.
pub(super) const OF_QUERIES: [&str; 6] = ["query", "first", "label", "value", "strvalue", "sortByLabel"];

pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// The names people can write.
pub(super) fn names() -> impl Iterator<Item = &'static str> + Clone {
    FUNCTIONS.iter().map(|function| function.name).filter(|name| !name.starts_with(' '))
}

/// Compiles a regular expression within the bounds; the message of what is wrong with it otherwise.
pub(super) fn compile_regex(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).dfa_size_limit(REGEX_BYTES_MAX).build().map_err(|error| {
        let message = error.to_string();
        let last = message.lines().last().unwrap_or_default();
        format!("`{pattern}` is no regular expression: {}", last.trim_start_matches("error: "))
    })
}

impl Call<'_> {
    /// Runs the call of `run`; `spend` is told what it costs and may refuse.
    pub fn run(&self, run: Run, spend: &dyn Fn(usize) -> Result<(), Fault>) -> Result<Value, Fault> {
        let read: usize = self.args.iter().map(|arg| arg.as_str().map_or(0, str::len)).sum();
        spend(CALL_COST + read / 64)?;
        if matches!(self.name, "match" | "reReplaceAll") {
            let written = self.args[0].as_str().is_some_and(|pattern| self.regexes.contains_key(pattern));
            spend(read / REGEX_BYTES_PER_COST + if written { 0 } else { DYNAMIC_REGEX_COST })?;
        }
        let result = run(self)?;
        if let Value::String(text) | Value::Safe { s: text, .. } = &result {
            if text.len() > OUTPUT_BYTES_MAX {
                return Err(TooLong.into());
            }
            spend(text.len() / 64)?;
        }
        Ok(result)
    }

    fn text(&self, at: usize) -> Result<&str, Fault> {
        match &self.args[at] {
            Value::String(text) | Value::Safe { s: text, .. } => Ok(text),
            Value::Nil => Ok("<no value>"),
            other => {
                let kind = gofmt::type_name(other);
                let fault = Fault::types(format!("`{}` needs a text, not a value of type {kind}", self.name));
                Err(fault.hint("make it a text with `print`"))
            }
        }
    }

    fn regex(&self, at: usize) -> Result<Regex, Fault> {
        let pattern = self.text(at)?;
        match self.regexes.get(pattern) {
            Some(regex) => Ok(regex.clone()),
            None if pattern.len() > DYNAMIC_REGEX_BYTES_MAX => {
                let message = format!("a regular expression from data may have {DYNAMIC_REGEX_BYTES_MAX} bytes");
                Err(Fault::budget(message))
            }
            None => compile_regex(pattern).map_err(Fault::data),
        }
    }
}

/// Fields, one within the other, of the last argument.
fn get(call: &Call) -> Result<Value, Fault> {
    let (receiver, names) = call.args.split_last().expect("lowering gives a receiver");
    let mut value = receiver.clone();
    for name in names {
        value = field(&value, name.as_str().unwrap_or_default())?;
    }
    Ok(value)
}

fn field(value: &Value, name: &str) -> Result<Value, Fault> {
    if let Some(found) = special_method(value, name, &[]) {
        return found;
    }
    match value {
        Value::Map(entries) => Ok(value::entry(entries, name)),
        Value::Nil => Ok(Value::Nil),
        other => Err(Fault::types(format!("there is no `.{name}` in a value of type {}", gofmt::type_name(other)))),
    }
}

/// A method with arguments: its name, the receiver, the arguments.
fn method(call: &Call) -> Result<Value, Fault> {
    let (name, receiver) = (call.text(0)?, &call.args[1]);
    let message = format!("`.{name}` takes no arguments");
    special_method(receiver, name, &call.args[2..]).unwrap_or(Err(Fault::types(message)))
}

/// `None` where the value has no methods at all.
fn special_method(value: &Value, name: &str, args: &[Value]) -> Option<Result<Value, Fault>> {
    let (kind, found) = match (value::as_instant(value), value::as_length(value)) {
        (Some(nanos), _) => ("time", time::instant_method(nanos, name, args)),
        (_, Some(nanos)) => ("duration", time::length_method(nanos, name, args)),
        (None, None) => return None,
    };
    let fault = || Fault::types(format!("a {kind} has no method `.{name}` with {} arguments", args.len()));
    Some(found.ok_or_else(fault))
}

/// What an action prints: numbers and lists as Go prints them.
fn show(value: &Value) -> Result<Value, Fault> {
    match value {
        Value::Float(_) | Value::List(_) | Value::Map(_) => {
            let mut out = Bounded::default();
            value::write(value, &mut out)?;
            Ok(text(out.into_string()))
        }
        other => Ok(other.clone()),
    }
}

fn range(call: &Call) -> Result<Value, Fault> {
    match &call.args[0] {
        value if value::special_text(value).is_some() => Err(Fault::types("a time cannot be ranged over")),
        value @ (Value::List(_) | Value::Map(_) | Value::Int(_) | Value::Nil) => Ok(value.clone()),
        other => Err(Fault::types(format!("a value of type {} cannot be ranged over", gofmt::type_name(other)))),
    }
}

fn equal(call: &Call) -> Result<Value, Fault> {
    for other in &call.args[1..] {
        if same(&call.args[0], other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

/// Go compares only values of one type; we let an integer written in a template compare with a float, which is what
/// `eq $value 5` means. Nothing is equal to no value but no value.
fn same(a: &Value, b: &Value) -> Result<bool, Fault> {
    match (a, b) {
        (Value::Nil, other) | (other, Value::Nil) => Ok(matches!(other, Value::Nil)),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        _ => match (a.as_float(), b.as_float(), words(a, b)) {
            (Some(a), Some(b), _) => Ok(a == b),
            (_, _, Some((a, b))) => Ok(a == b),
            _ => Err(incomparable(a, b)),
        },
    }
}

/// Where a side has no value, no order holds.
fn ordered(call: &Call, holds: fn(std::cmp::Ordering) -> bool) -> Result<Value, Fault> {
    let (a, b) = (&call.args[0], &call.args[1]);
    let order = match (a, b) {
        (Value::Nil, _) | (_, Value::Nil) => None,
        _ => match (a.as_float(), b.as_float(), words(a, b)) {
            (Some(a), Some(b), _) => a.partial_cmp(&b),
            (_, _, Some((a, b))) => Some(a.cmp(b)),
            _ => return Err(incomparable(a, b)),
        },
    };
    Ok(Value::Bool(order.is_some_and(holds)))
}

fn words<'a>(a: &'a Value, b: &'a Value) -> Option<(&'a str, &'a str)> {
    let word = |value: &'a Value| match value {
        Value::String(text) | Value::Safe { s: text, .. } => Some(&**text),
        _ => None,
    };
    word(a).zip(word(b))
}

fn incomparable(a: &Value, b: &Value) -> Fault {
    let fault = Fault::types(format!("{} and {} cannot be compared", gofmt::type_name(a), gofmt::type_name(b)));
    match (a, b) {
        (Value::String(_), other) | (other, Value::String(_)) if other.as_float().is_some() => {
            fault.hint("labels are texts; compare with a text in quotes")
        }
        _ => fault,
    }
}

fn length(call: &Call) -> Result<Value, Fault> {
    let value = &call.args[0];
    let length = match value {
        Value::Safe { s, .. } => Some(s.len()),
        value if value::special_text(value).is_some() => None,
        value => value.len(),
    };
    let fault = || Fault::types(format!("a value of type {} has no length", gofmt::type_name(value)));
    length.map(|length| Value::Int(length as i64)).ok_or_else(fault)
}

fn index(call: &Call) -> Result<Value, Fault> {
    let mut value = call.args[0].clone();
    for key in &call.args[1..] {
        value = match (&value, key) {
            (Value::Map(entries), Value::String(name)) => value::entry(entries, name),
            (Value::Nil, _) => Value::Nil,
            _ => value.index(key).map_err(|error| {
                let kind = if matches!(error, gotmpl::TemplateError::IndexOutOfRange { .. }) {
                    Fault::data
                } else {
                    Fault::types
                };
                kind(format!("`index`: {error}"))
            })?,
        };
    }
    Ok(value)
}

fn slice(call: &Call) -> Result<Value, Fault> {
    let bound = |at: usize| match call.args.get(at) {
        None => Ok(None),
        Some(Value::Int(n)) => Ok(Some(*n)),
        Some(other) => Err(Fault::types(format!("`slice` needs integers, not {}", gofmt::type_name(other)))),
    };
    call.args[0].slice(bound(1)?, bound(2)?).map_err(|error| Fault::data(error.to_string()))
}

/// A map of `arg0`, `arg1` … for `{{template}}`. Not of such maps: they would nest without bound.
fn arguments(call: &Call) -> Result<Value, Fault> {
    if call.args.iter().any(|arg| arg.field("arg0").is_some()) {
        return Err(Fault::types("`args` cannot hold what `args` made"));
    }
    Ok(value::map(call.args.iter().enumerate().map(|(index, arg)| (format!("arg{index}"), arg.clone()))))
}

/// What stands for a number: a number, a text that reads as one, a length of time in seconds.
fn as_number(call: &Call) -> Result<f64, Fault> {
    let value = &call.args[0];
    if let Some(nanos) = value::as_length(value) {
        return Ok(nanos as f64 / 1e9);
    }
    match value {
        Value::String(text) => {
            text.parse().map_err(|_| Fault::data(format!("`{}` needs a number, not {text:?}", call.name)))
        }
        value => value.as_float().ok_or_else(|| {
            let kind = gofmt::type_name(value);
            Fault::types(format!("`{}` needs a number, not a value of type {kind}", call.name))
        }),
    }
}

/// The humanize functions. Without a value they show that there is none, where Go's would fail: an annotation with a gap
/// is worth more to the one who is paged than an error.
fn number(call: &Call, f: fn(f64) -> Option<String>) -> Result<Value, Fault> {
    if matches!(call.args[0], Value::Nil) {
        return Ok(Value::Nil);
    }
    let x = as_number(call)?;
    f(x).map(text).ok_or_else(|| beyond_time(x))
}

fn beyond_time(x: f64) -> Fault {
    Fault::data(format!("{} seconds are no instant between the years 1677 and 2262", gofmt::float(x)))
}

fn to_time(call: &Call) -> Result<Value, Fault> {
    let x = as_number(call)?;
    human::seconds_to_nanos(x).map(value::instant).ok_or_else(|| beyond_time(x))
}

fn to_duration(call: &Call) -> Result<Value, Fault> {
    let x = as_number(call)?;
    let nanos = x * 1e9;
    let fits = nanos >= i64::MIN as f64 && nanos < i64::MAX as f64;
    let fault = || Fault::data(format!("{} seconds are too long for a duration", gofmt::float(x)));
    fits.then_some(value::length(nanos as i64)).ok_or_else(fault)
}

fn parse_duration(call: &Call) -> Result<Value, Fault> {
    let length: Millis = call.text(0)?.parse().map_err(|error| Fault::data(format!("{error}")))?;
    Ok(Value::Float(length.as_secs_f64()))
}

/// Each replacement is measured before it is made: `$0` repeated could make a gigabyte of a label.
fn replace_all(call: &Call) -> Result<Value, Fault> {
    let (regex, replacement, source) = (call.regex(0)?, call.text(1)?, call.text(2)?);
    let references = replacement.matches('$').count();
    let mut out = Bounded::default();
    let mut last = 0;
    for captures in regex.captures_iter(source) {
        let whole = captures.get(0).expect("group 0 is the match");
        if replacement.len() + references * whole.len() > OUTPUT_BYTES_MAX {
            return Err(TooLong.into());
        }
        let mut expanded = String::new();
        captures.expand(replacement, &mut expanded);
        out.push_str(&source[last..whole.start()])?;
        out.push_str(&expanded)?;
        last = whole.end();
    }
    out.push_str(&source[last..])?;
    Ok(text(out.into_string()))
}
