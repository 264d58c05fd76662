//! Templates: the words of labels and annotations, in Go's template language as Prometheus' rule files use it.
//!
//! ```text
//! {{ $labels.service }} p99 is {{ $values.p99 | humanizeDuration }} ({{ .Value }} of {{ $values.total }} requests)
//! ```
//!
//! gotmpl parses and runs them; between the two `lower` rewrites the tree so that it means what Go means and cannot run away.
//!
//! **Data.** `.Labels` (`$labels`), `.ExternalLabels`, `.ExternalURL`, `.Value` (`$value`: the first `let` that `when` reads) as
//! in Prometheus; and of a native rule `.Values` (`$values.p99`: each `let`), `.Evidence` (`$evidence`: a list with `.Text`,
//! `.Left`, `.Right`, `.Holds` of each comparison) and `.Contributors` (`$contributors`: a list with `.Name`, `.Value`, `.Count`,
//! largest first). A missing label is an empty text; a `let` without samples is `<no value>`.
//!
//! **Functions.** Go's (but for `call`) and Prometheus' that need no query: `humanize`, `humanize1024`, `humanizeDuration`,
//! `humanizePercentage`, `humanizeTimestamp`, `toTime`, `toDuration`, `now` (the tick), `parseDuration`, `title`, `toUpper`, `toLower`, `match`,
//! `reReplaceAll`, `stripPort`, `stripDomain`, `graphLink`, `tableLink`, `urlQueryEscape`, `externalURL`, `pathPrefix`, `args`, `safeHtml`.
//!
//! Kinder than Go where Go only fails: integers compare with floats (`gt $value 100`), no value compares as false, and
//! the humanize functions pass it on. Stricter in one thing: a template must not call itself. In HTML, numbers within
//! `<script>` are written as texts.
//!
//! - `T1` a text that compiles renders in bounded time and space, or says which bound it met: [`TEXT_BYTES_MAX`],
//!   [`OUTPUT_BYTES_MAX`], [`FUEL_MAX`], [`ITERATIONS_MAX`]
//! - `T2` rendering depends on the data only: no clock, no order of hashing

mod blocks;
mod functions;
mod gofmt;
mod human;
mod lower;
mod time;
mod value;

#[cfg(test)]
mod mistakes;
#[cfg(test)]
mod prometheus;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gotmpl::Value;
use gotmpl::parse::Parser;

use crate::model::labels::Labels;
use crate::model::signal::{Comparison, Contributor, Evidence};
use crate::model::time::EventTime;
use crate::rule::suggest;

pub use value::OUTPUT_BYTES_MAX;

use functions::{Call, Fault, Regexes, Style};
use value::{Bounded, map, number, text};

/// Bytes a template may have.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;

/// What one rendering may spend: a call costs 1, and each 64 bytes read or made another 1.
pub const FUEL_MAX: usize = 50_000;

/// Passes of all `{{range}}` of one rendering together.
pub const ITERATIONS_MAX: u64 = 2_000;

/// What a template makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateKind {
    Text,
    /// Values are escaped for the place in the HTML they stand in.
    Html,
}

/// What sort of fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The text is wrong, whatever the data.
    Syntax,
    /// Values of types that do not go together.
    Types,
    /// The data was not as expected: a text that is no number, an index that is not there.
    Data,
    /// A bound was met.
    Budget,
}

/// What is wrong with a template, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (line {line})")]
pub struct TemplateError {
    /// Bytes of the template's text.
    pub span: Range<usize>,
    /// 1-based line of the template's text.
    pub line: usize,
    pub kind: FaultKind,
    pub message: String,
    pub hint: Option<String>,
}

impl TemplateError {
    fn new(
        source: &str,
        span: Range<usize>,
        kind: FaultKind,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> TemplateError {
        let line = 1 + source.as_bytes()[..span.start.min(source.len())].iter().filter(|byte| **byte == b'\n').count();
        TemplateError { span, line, kind, message: message.into(), hint }
    }
}

/// What a template is rendered with.
#[derive(Clone, Copy, Debug)]
pub struct TemplateData<'a> {
    pub labels: &'a Labels,
    pub external_labels: &'a Labels,
    /// Where Foghorn's page can be reached, without a trailing slash.
    pub external_url: &'a str,
    /// The first `let` the condition reads.
    pub value: Option<f64>,
    /// Its `values` are what `.Values` are.
    pub evidence: &'a Evidence,
    /// The tick.
    pub at: EventTime,
}

/// What a template names of the data, as far as it can be told without running it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Access {
    kind: AccessKind,
    name: String,
    span: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AccessKind {
    Label,
    ExternalLabel,
    Value,
}

/// A compiled template.
pub struct Template {
    source: Arc<str>,
    engine: Engine,
    accesses: Vec<Access>,
    value_use: Option<Range<usize>>,
}

enum Engine {
    /// No actions: the text itself.
    Literal,
    Text(gotmpl::Template),
    Html(gotmpl::html::Template),
}

/// The name of the lowered tree.
const MAIN: &str = "main";

impl Template {
    /// Says all that can be told to be wrong without the names of labels and lets; for those see [`Template::check`].
    pub fn compile(source: &str, kind: TemplateKind) -> Result<Template, Vec<TemplateError>> {
        let fail = |span: Range<usize>, message: String, hint: Option<String>| {
            Err(vec![TemplateError::new(source, span, FaultKind::Syntax, message, hint)])
        };
        if source.len() > TEXT_BYTES_MAX {
            let message = format!("the template has {} bytes; at most {TEXT_BYTES_MAX} are allowed", source.len());
            return fail(0..0, message, None);
        }
        if kind == TemplateKind::Text && !source.contains("{{") {
            let (accesses, value_use) = (Vec::new(), None);
            return Ok(Template { source: source.into(), engine: Engine::Literal, accesses, value_use });
        }
        if let Err(error) = blocks::check(source) {
            let hint = (!error.hint.is_empty()).then(|| error.hint.to_owned());
            return fail(error.span, error.message, hint);
        }
        let parsed = Parser::new(source, "{{", "}}").and_then(Parser::parse);
        let (tree, defines) = parsed.map_err(|error| vec![syntax_error(source, &error)])?;
        let lowered = lower::lower(source, kind, &tree, defines)?;
        let engine =
            Engine::build(kind, lowered.main, lowered.regexes).map_err(|error| vec![syntax_error(source, &error)])?;
        let (accesses, value_use) = (lowered.accesses, lowered.value_use);
        let template = Template { source: source.into(), engine, accesses, value_use };
        // Escaping is worked out at the first rendering; better now than when somebody is paged.
        match template.trial(&[], &[]) {
            Err(error) if error.kind == FaultKind::Syntax => Err(vec![error]),
            _ => Ok(template),
        }
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// Where the template depends on numbers of the rule, if it does. A label must not: it is part of what the alert is
    /// called, and would make a new alert of each new value.
    pub fn value_use(&self) -> Option<Range<usize>> {
        self.value_use.clone()
    }

    /// Names of the labels the template reads, as far as they are written out.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        self.accesses.iter().filter(|access| access.kind == AccessKind::Label).map(|access| access.name.as_str())
    }

    /// What is wrong given the names there will be: those that are not among them, and values of types that do not go
    /// together, found by rendering once with made-up data. `labels` is `None` where they cannot be known.
    pub fn check(&self, labels: Option<&[&str]>, lets: &[&str]) -> Vec<TemplateError> {
        let mut errors = Vec::new();
        for access in &self.accesses {
            let (known, what, all) = match access.kind {
                AccessKind::Label => (labels, "label", "the labels are"),
                AccessKind::Value => (Some(lets), "value", "the names of `let` are"),
                AccessKind::ExternalLabel => (None, "", ""),
            };
            let Some(known) = known.filter(|known| !known.contains(&access.name.as_str())) else { continue };
            let other = match access.kind {
                AccessKind::Label if lets.contains(&access.name.as_str()) => Some("values"),
                AccessKind::Value if labels.is_some_and(|labels| labels.contains(&access.name.as_str())) => {
                    Some("labels")
                }
                _ => None,
            };
            let hint = match other {
                Some(other) => Some(format!("did you mean `${other}.{}`?", access.name)),
                None => suggest::hint(&access.name, known.iter().copied(), all),
            };
            let message = format!("unknown {what} `{}`", access.name);
            errors.push(TemplateError::new(&self.source, access.span.clone(), FaultKind::Syntax, message, hint));
        }
        if errors.is_empty() {
            let read: Vec<&str> = self.label_names().collect();
            errors
                .extend(self.trial(labels.unwrap_or(&read), lets).err().filter(|error| error.kind != FaultKind::Data));
        }
        errors
    }

    pub fn render(&self, data: &TemplateData) -> Result<String, TemplateError> {
        if let Engine::Literal = self.engine {
            return Ok(self.source.to_string());
        }
        let fuel = Arc::new(AtomicUsize::new(FUEL_MAX));
        let spend = move |args: &[Value]| {
            let cost = args.first().and_then(Value::as_int).and_then(|cost| usize::try_from(cost).ok()).unwrap_or(1);
            let spent = fuel.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(cost));
            Ok(Value::Bool(spent.is_ok()))
        };
        let data = map([
            ("fuel", Value::Function(Arc::new(spend))),
            ("dot", root(data)),
            ("url", text(data.external_url)),
            ("at", Value::Float(data.at.0 as f64 / 1000.0)),
        ]);
        let mut out = Bounded::default();
        let rendered = match &self.engine {
            Engine::Literal => Ok(()),
            Engine::Text(engine) => engine.execute_template_fmt(&mut out, MAIN, &data),
            Engine::Html(engine) => engine.execute_fmt(&mut out, &data),
        };
        match rendered {
            Ok(()) => Ok(out.into_string()),
            Err(error) => Err(self.failure(&error, out.overflowed)),
        }
    }

    /// As [`Template::render`], with the error in place of the text: a broken annotation must not stop a page.
    pub fn render_or_explain(&self, data: &TemplateData) -> String {
        self.render(data).unwrap_or_else(|error| format!("<error in template: {error}>"))
    }

    fn trial(&self, labels: &[&str], lets: &[&str]) -> Result<String, TemplateError> {
        let labels = Labels::from_pairs(labels.iter().map(|name| (*name, *name)));
        let evidence = Evidence {
            condition: "value > 1".to_owned(),
            comparisons: vec![Comparison {
                text: "value > 1".to_owned(),
                left: Some(1.5),
                right: Some(1.0),
                holds: Some(true),
            }],
            values: lets.iter().map(|name| (Arc::from(*name), Some(1.5))).collect(),
            contributors: vec![Contributor { name: "top".into(), value: "value".to_owned(), count: 1 }],
            ..Evidence::default()
        };
        self.render(&TemplateData {
            labels: &labels,
            external_labels: &Labels::default(),
            external_url: "http://localhost:9477",
            value: Some(1.5),
            evidence: &evidence,
            at: EventTime(0),
        })
    }

    /// gotmpl's error in our words.
    fn failure(&self, error: &gotmpl::TemplateError, overflowed: bool) -> TemplateError {
        let whole = 0..self.source.len();
        let budget =
            |message: String| TemplateError::new(&self.source, whole.clone(), FaultKind::Budget, message, None);
        match error {
            _ if overflowed => budget(format!("the text grows longer than {OUTPUT_BYTES_MAX} bytes")),
            gotmpl::TemplateError::RangeIterLimit => {
                budget(format!("`{{{{range}}}}` makes more than {ITERATIONS_MAX} passes"))
            }
            gotmpl::TemplateError::RecursionLimit => budget("the template is nested too deeply".to_owned()),
            gotmpl::TemplateError::Exec(message) => decode(&self.source, message)
                .unwrap_or_else(|| TemplateError::new(&self.source, whole, FaultKind::Types, message, None)),
            gotmpl::TemplateError::Escape { .. } => syntax_error(&self.source, error),
            other => TemplateError::new(&self.source, whole, FaultKind::Types, other.to_string(), None),
        }
    }
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Template").field(&self.source).finish()
    }
}

/// Compiled from the same text.
impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && matches!(self.engine, Engine::Html(_)) == matches!(other.engine, Engine::Html(_))
    }
}

impl Engine {
    fn build(
        kind: TemplateKind,
        main: gotmpl::parse::ListNode,
        regexes: Regexes,
    ) -> Result<Engine, gotmpl::TemplateError> {
        let entry = format!("{{{{template {MAIN:?} .}}}}");
        let regexes = Arc::new(regexes);
        let functions = functions::FUNCTIONS.iter().filter_map(|function| match function.style {
            Style::Ours(run) => Some((function.name, run)),
            _ => None,
        });
        let wrap = |name: &'static str, run: fn(&Call) -> Result<Value, Fault>| {
            let regexes = regexes.clone();
            move |args: &[Value]| invoke(name, run, args, &regexes)
        };
        Ok(match kind {
            TemplateKind::Text => {
                let mut engine = gotmpl::Template::new("").max_range_iters(ITERATIONS_MAX);
                for (name, run) in functions {
                    engine = engine.func(name, wrap(name, run));
                }
                Engine::Text(engine.parse(&entry)?.add_parse_tree(MAIN, main))
            }
            TemplateKind::Html => {
                let mut engine = gotmpl::html::Template::new("").max_range_iters(ITERATIONS_MAX);
                for (name, run) in functions {
                    engine = engine.func(name, wrap(name, run));
                }
                Engine::Html(engine.parse(&entry)?.add_parse_tree(MAIN, main)?)
            }
        })
    }
}

/// Runs one of our functions on what lowering hands it: fuel, place, arguments.
fn invoke(
    name: &'static str,
    run: fn(&Call) -> Result<Value, Fault>,
    args: &[Value],
    regexes: &Regexes,
) -> gotmpl::Result<Value> {
    let [Value::Function(fuel), Value::Int(place), args @ ..] = args else {
        return Err(gotmpl::TemplateError::Exec(format!("`{name}` was called without its place")));
    };
    let spend = |cost: usize| match fuel(&[Value::Int(cost as i64)]) {
        Ok(Value::Bool(true)) => Ok(()),
        _ => Err(Fault::budget("rendering takes too many steps")),
    };
    Call { name, args, regexes }.run(run, &spend).map_err(|fault| encode(*place, &fault))
}

/// gotmpl passes on a text: a place, a kind, a message and a hint become one, set apart by a letter nobody writes.
const APART: char = '\u{1f}';

fn encode(place: i64, fault: &Fault) -> gotmpl::TemplateError {
    let clean = |text: &str| text.replace(APART, " ");
    let kind = match fault.kind {
        FaultKind::Syntax => "syntax",
        FaultKind::Types => "types",
        FaultKind::Data => "data",
        FaultKind::Budget => "budget",
    };
    let hint = fault.hint.as_deref().map(clean).unwrap_or_default();
    let message = clean(&fault.message);
    gotmpl::TemplateError::Exec(format!("{place}{APART}{kind}{APART}{message}{APART}{hint}"))
}

fn decode(source: &str, text: &str) -> Option<TemplateError> {
    let mut parts = text.split(APART);
    let place: usize = parts.next()?.parse().ok()?;
    let kind = match parts.next()? {
        "types" => FaultKind::Types,
        "data" => FaultKind::Data,
        "budget" => FaultKind::Budget,
        _ => FaultKind::Syntax,
    };
    let (message, hint) = (parts.next()?, parts.next()?);
    let hint = (!hint.is_empty()).then(|| hint.to_owned());
    Some(TemplateError::new(source, lower::word(source, place), kind, message, hint))
}

/// An error of gotmpl's lexer, parser or escaper.
fn syntax_error(source: &str, error: &gotmpl::TemplateError) -> TemplateError {
    let (line, column, message) = match error {
        gotmpl::TemplateError::Parse { line, col, message, .. }
        | gotmpl::TemplateError::Lex { line, col, message, .. } => (*line, *col, message.clone()),
        gotmpl::TemplateError::Escape { line, description, .. } => (*line, 1, description.clone()),
        other => (1, 1, other.to_string()),
    };
    let start = source.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>();
    let rest = &source[start..];
    let at = start + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at);
    // Of what the end of an action cuts short the parser says where the action ended.
    let at = if source[..at].ends_with("}}") && at > 1 { at - 2 } else { at };
    let message = match message.as_str() {
        "empty command" => "a value is missing here".to_owned(),
        cut if cut.starts_with("expected RightParen") => "a `)` is missing here".to_owned(),
        _ => message,
    };
    let hint = message
        .contains("predefined escaper")
        .then(|| "leave the escaper away: in HTML, values are escaped for the place they stand in".to_owned());
    TemplateError::new(source, lower::word(source, at), FaultKind::Syntax, message, hint)
}

/// The data as templates see it.
fn root(data: &TemplateData) -> Value {
    let labels = |labels: &Labels| map(labels.iter().map(|(name, value)| (name, text(value))));
    let comparison = |comparison: &Comparison| {
        map([
            ("Text", text(comparison.text.as_str())),
            ("Left", number(comparison.left)),
            ("Right", number(comparison.right)),
            ("Holds", comparison.holds.map_or(Value::Nil, Value::Bool)),
        ])
    };
    let contributor = |contributor: &Contributor| {
        map([
            ("Name", text(contributor.name.clone())),
            ("Value", text(contributor.value.as_str())),
            ("Count", Value::Int(i64::try_from(contributor.count).unwrap_or(i64::MAX))),
        ])
    };
    map([
        ("Labels", labels(data.labels)),
        ("ExternalLabels", labels(data.external_labels)),
        ("ExternalURL", text(data.external_url)),
        ("Value", number(data.value)),
        ("Values", map(data.evidence.values.iter().map(|(name, value)| (name.clone(), number(*value))))),
        ("Evidence", Value::List(data.evidence.comparisons.iter().map(comparison).collect())),
        ("Contributors", Value::List(data.evidence.contributors.iter().map(contributor).collect())),
    ])
}
