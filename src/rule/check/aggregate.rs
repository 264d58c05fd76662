//! The text of a `let`: which aggregate, of what, under which filter.

use super::{RuleChecker, a_type};
use crate::model::schema::{FieldType, HistogramSpec, StreamSchema};
use crate::rule::diagnostic::suggest;
use crate::rule::plan::Aggregate;
use crate::rule::yaml::read::At;
use crate::stream::{AggregateCall, ArgAst, Derived, ExprError, Filter, parse_aggregate};

/// The most values `topk` may list.
pub const TOPK_MAX: usize = 100;

/// The names people write, each with its form, for hints.
pub const AGGREGATES: [(&str, &str); 16] = [
    ("count", "count(*)"),
    ("sum", "sum(x)"),
    ("avg", "avg(x)"),
    ("min", "min(x)"),
    ("max", "max(x)"),
    ("stddev", "stddev(x)"),
    ("rate", "rate(*)"),
    ("quantile", "quantile(x, 0.99)"),
    ("p50", "p50(x)"),
    ("p90", "p90(x)"),
    ("p95", "p95(x)"),
    ("p99", "p99(x)"),
    ("p999", "p999(x)"),
    ("distinct", "distinct(x)"),
    ("topk", "topk(x, 5)"),
    ("last", "last(x)"),
];

/// Names other tools have.
const OTHERS: [(&str, &str); 17] = [
    ("average", "write `avg(x)`"),
    ("mean", "write `avg(x)`"),
    ("median", "write `p50(x)`"),
    ("percentile", "write `quantile(x, 0.99)`"),
    ("percentile_cont", "write `quantile(x, 0.99)`"),
    ("approx_percentile_cont", "write `quantile(x, 0.99)`"),
    ("histogram_quantile", "write `quantile(x, 0.99)`: values go into a histogram by themselves"),
    ("stdev", "write `stddev(x)`"),
    ("stddev_pop", "write `stddev(x)`"),
    ("uniq", "write `distinct(x)`"),
    ("count_distinct", "write `distinct(x)`"),
    ("approx_distinct", "write `distinct(x)`"),
    ("cardinality", "write `distinct(x)`"),
    ("increase", "write `count(*)` or `sum(x)`: a window holds what happened in it"),
    ("irate", "write `rate(*)` or `rate(x)`"),
    ("first", "write `last(x)`; there is no first"),
    ("top", "write `topk(x, 5)`"),
];

/// What a `let` compiles to.
pub(super) type Compiled = (Aggregate, Option<Derived>, Option<Filter>, HistogramSpec);

impl RuleChecker<'_> {
    /// Compiles a let; what is wrong with its parts is noted, all of it.
    pub(super) fn aggregate(&mut self, at: &At<String>) -> Option<Compiled> {
        let call = match parse_aggregate(&at.value) {
            Ok(call) => call,
            Err(error) => {
                self.expression(at, error);
                return None;
            }
        };
        let aggregate = match which(&call) {
            Ok(aggregate) => Some(aggregate),
            Err(error) => {
                self.expression(at, error);
                None
            }
        };
        let (_, schema) = self.stream.clone()?;
        let filter = match &call.filter {
            None => None,
            Some(filter) => match Filter::from_ast(&filter.expr, &call.text, &schema) {
                Ok(filter) => Some(Some(filter)),
                Err(error) => {
                    self.expression(at, error);
                    Some(None)
                }
            },
        };
        let arg = match (call.star, call.args.first()) {
            (false, Some(arg)) => match argument(&call, aggregate, arg, &schema) {
                Ok(arg) => Some(Some(arg)),
                Err(error) => {
                    self.expression(at, error);
                    Some(None)
                }
            },
            _ => None,
        };
        let filter = lift(filter)?;
        let arg = lift(arg)?;
        let histogram = histogram(arg.as_ref(), &schema);
        Some((aggregate?, arg, filter, histogram))
    }
}

/// `None` for "there, but wrong".
fn lift<T>(part: Option<Option<T>>) -> Option<Option<T>> {
    match part {
        None => Some(None),
        Some(None) => None,
        Some(some) => Some(some),
    }
}

fn which(call: &AggregateCall) -> Result<Aggregate, ExprError> {
    let simple = |aggregate| arity(call, 1).map(|()| aggregate);
    if call.distinct {
        return match call.name.as_str() {
            "count" => simple(Aggregate::Distinct),
            name => Err(call.error(
                call.name_span.clone(),
                format!("`{name}` of distinct values is not supported"),
                Some("`count(DISTINCT x)`, or `distinct(x)`, counts them".to_owned()),
            )),
        };
    }
    if call.star && !matches!(call.name.as_str(), "count" | "rate") && known(&call.name) {
        let form = form(&call.name);
        return Err(call.error(
            call.name_span.clone(),
            format!("`{}` wants a field, not `*`", call.name),
            Some(format!("write `{form}`")),
        ));
    }
    match call.name.as_str() {
        "count" | "rate" => {
            if !call.star {
                arity(call, 1)?;
            }
            Ok(if call.name == "count" { Aggregate::Count } else { Aggregate::Rate })
        }
        "sum" => simple(Aggregate::Sum),
        "avg" => simple(Aggregate::Avg),
        "min" => simple(Aggregate::Min),
        "max" => simple(Aggregate::Max),
        "stddev" => simple(Aggregate::Stddev),
        "last" => simple(Aggregate::Last),
        "distinct" => simple(Aggregate::Distinct),
        "p50" => simple(Aggregate::Quantile(0.5)),
        "p90" => simple(Aggregate::Quantile(0.9)),
        "p95" => simple(Aggregate::Quantile(0.95)),
        "p99" => simple(Aggregate::Quantile(0.99)),
        "p999" => simple(Aggregate::Quantile(0.999)),
        "quantile" => {
            arity(call, 2)?;
            quantile(call)
        }
        "topk" => {
            arity(call, 2)?;
            topk(call)
        }
        name => Err(unknown(call, name)),
    }
}

fn known(name: &str) -> bool {
    AGGREGATES.iter().any(|(known, _)| *known == name)
}

fn form(name: &str) -> &'static str {
    AGGREGATES.iter().find(|(known, _)| *known == name).map_or("count(*)", |(_, form)| form)
}

fn arity(call: &AggregateCall, wanted: usize) -> Result<(), ExprError> {
    if call.args.len() == wanted {
        return Ok(());
    }
    let span = call.args.get(wanted).map_or(call.name_span.clone(), |extra| extra.span.clone());
    let plural = if wanted == 1 { "" } else { "s" };
    let got = call.args.len();
    let message = format!("`{}` takes {wanted} argument{plural}, not {got}", call.name);
    Err(call.error(span, message, Some(format!("write `{}`", form(&call.name)))))
}

fn quantile(call: &AggregateCall) -> Result<Aggregate, ExprError> {
    let arg = &call.args[1];
    let text = &call.text[arg.span.clone()];
    match arg.number() {
        Some(q) if q > 0.0 && q <= 1.0 => Ok(Aggregate::Quantile(q)),
        Some(q) if q > 1.0 && q <= 100.0 => Err(call.error(
            arg.span.clone(),
            format!("the quantile {text} is above 1"),
            Some(format!("write {} for the {text}th percentile", q / 100.0)),
        )),
        Some(_) => Err(call.error(
            arg.span.clone(),
            format!("the quantile {text} is out of range"),
            Some("above 0 and up to 1, such as 0.99; `min(x)` is the lowest value".to_owned()),
        )),
        None => Err(call.error(
            arg.span.clone(),
            format!("`{text}` is not a number"),
            Some("the second argument is the quantile, such as 0.99".to_owned()),
        )),
    }
}

fn topk(call: &AggregateCall) -> Result<Aggregate, ExprError> {
    let arg = &call.args[1];
    match arg.number() {
        Some(k) if k.fract() == 0.0 && (1.0..=TOPK_MAX as f64).contains(&k) => Ok(Aggregate::TopK(k as usize)),
        _ => Err(call.error(
            arg.span.clone(),
            format!("`{}` is not how many values to list", &call.text[arg.span.clone()]),
            Some(format!("a whole number from 1 to {TOPK_MAX}, such as `topk(x, 5)`")),
        )),
    }
}

fn unknown(call: &AggregateCall, name: &str) -> ExprError {
    let other = OTHERS.iter().find(|(other, _)| *other == name).map(|(_, advice)| (*advice).to_owned());
    let percentile = name.strip_prefix('p').and_then(|digits| digits.parse::<u32>().ok().map(|_| digits));
    let percentile = percentile.map(|digits| format!("write `quantile(x, 0.{digits})`"));
    let over_time = name.strip_suffix("_over_time").filter(|name| known(name));
    let over_time = over_time.map(|name| format!("write `{}`: the rule's `window` is the time", form(name)));
    let hint = other.or(percentile).or(over_time).unwrap_or_else(|| {
        let names: Vec<&str> = AGGREGATES.iter().map(|(name, _)| *name).collect();
        suggest(name, &names, "aggregates")
    });
    call.error(call.name_span.clone(), format!("there is no aggregate `{name}`"), Some(hint))
}

/// The first argument, of a type the aggregate can use.
fn argument(
    call: &AggregateCall,
    aggregate: Option<Aggregate>,
    arg: &ArgAst,
    schema: &StreamSchema,
) -> Result<Derived, ExprError> {
    let derived = Derived::from_ast(&arg.expr, &call.text, schema)?;
    let numeric = !matches!(aggregate, None | Some(Aggregate::Count | Aggregate::Distinct | Aggregate::TopK(_)));
    if numeric && !derived.ty().is_numeric() {
        let text = &call.text[arg.span.clone()];
        let hint = match derived.ty() {
            FieldType::Bool => format!("count where it is true: `count(*) FILTER (WHERE {text})`"),
            _ => format!("`distinct({text})` counts its values, `topk({text}, 5)` lists the most frequent"),
        };
        let message = format!("`{}` wants numbers, and `{text}` is {}", call.name, a_type(derived.ty()));
        return Err(call.error(arg.span.clone(), message, Some(hint)));
    }
    Ok(derived)
}

/// A field's own histogram; for what is computed, the default of its type.
fn histogram(arg: Option<&Derived>, schema: &StreamSchema) -> HistogramSpec {
    match arg {
        Some(derived) => match derived.as_field() {
            Some(field) => schema.fields[field].histogram,
            None if derived.ty() == FieldType::Int => HistogramSpec::INT,
            None => HistogramSpec::FLOAT,
        },
        None => HistogramSpec::FLOAT,
    }
}
