//! What an expression must be before it is planned, said in the words of the person who wrote it.
//!
//! DataFusion coerces generously (`service > 5` becomes a cast that fails for every event) and reports without a place.
//! So names and types are checked here on the syntax tree, which still knows the places, and what DataFusion itself
//! refuses is pinned to the innermost part it refuses.

use std::ops::{ControlFlow, Range};

use arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::common::utils::datafusion_strsim::levenshtein;
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query, Spanned, UnaryOperator, Value,
    Visit, VisitMut, Visitor, VisitorMut,
};

use super::ExprError;
use super::parse::{place, span_of};
use super::plan::{Called, EVENT_TIME, Planner, called, function_names};
use crate::model::schema::{FieldType, StreamSchema};

/// Fields listed in a hint.
const FIELDS_SHOWN_MAX: usize = 20;

/// An expression that holds: its tree with names resolved, and what DataFusion made of it.
pub(super) struct Checked<'a> {
    sql: &'a str,
    pub(super) ast: ast::Expr,
    pub(super) expr: Expr,
}

impl Checked<'_> {
    /// DataFusion cannot make it executable.
    pub(super) fn failed(&self, error: DataFusionError) -> ExprError {
        refused(self.sql, place(self.sql, &self.ast), &error)
    }
}

/// Checks a condition.
pub(super) fn condition<'a>(
    ast: &ast::Expr,
    sql: &'a str,
    schema: &StreamSchema,
    planner: &Planner,
) -> Result<Checked<'a>, ExprError> {
    let (ast, expr, ty) = planned(ast, sql, schema, planner)?;
    let span = place(sql, &ast);
    if family(&ty) != Family::Bool {
        let part = excerpt(sql, &span);
        let hint = match (&ast, family(&ty)) {
            (_, Family::Number) => Some(format!("compare it with something, such as `{part} > 0`")),
            (_, Family::Text) => Some(format!("compare it with something, such as `{part} = 'x'`")),
            (_, Family::List) => Some(format!("write `{part} IS NOT NULL`, or match with `~`")),
            _ => None,
        };
        let message = format!("a condition is true or false, but `{part}` is {}", describe(&ty));
        return Err(ExprError { text: sql.to_owned(), span, message, hint });
    }
    let checked = simplified(ast, expr, sql, planner)?;
    if let Expr::Literal(value, _) = &checked.expr
        && value.is_null()
    {
        let message = "the condition is never true: it is null for every event".to_owned();
        let hint = Some("a comparison with null is null; write IS NULL or IS NOT NULL".to_owned());
        return Err(ExprError { text: sql.to_owned(), span, message, hint });
    }
    Ok(checked)
}

/// Checks a value and says which field type it has.
pub(super) fn value<'a>(
    ast: &ast::Expr,
    sql: &'a str,
    schema: &StreamSchema,
    planner: &Planner,
) -> Result<(Checked<'a>, FieldType), ExprError> {
    let (ast, expr, ty) = planned(ast, sql, schema, planner)?;
    let span = place(sql, &ast);
    let field_type = match family(&ty) {
        Family::Text => FieldType::String,
        Family::Bool => FieldType::Bool,
        Family::Number if ty.is_integer() => FieldType::Int,
        Family::Number => FieldType::Float,
        other => {
            let part = excerpt(sql, &span);
            let hint = match other {
                Family::Time => Some(format!("take a number of it, such as `date_part('hour', {part})`")),
                Family::List => Some(format!("take one of them, such as `({part})[1]`")),
                _ => None,
            };
            let message = format!("`{part}` is {}; a string, a number or a bool is needed", describe(&ty));
            return Err(ExprError { text: sql.to_owned(), span, message, hint });
        }
    };
    let expr = planner.cast(expr, field_type).map_err(|error| refused(sql, span, &error))?;
    Ok((simplified(ast, expr, sql, planner)?, field_type))
}

fn planned(
    ast: &ast::Expr,
    sql: &str,
    schema: &StreamSchema,
    planner: &Planner,
) -> Result<(ast::Expr, Expr, DataType), ExprError> {
    let ast = resolved(ast, sql, schema)?;
    if let ControlFlow::Break(error) = Visit::visit(&ast, &mut Types { sql, planner }) {
        return Err(error);
    }
    let (expr, ty) = typed(&ast, sql, planner)?;
    Ok((ast, expr, ty))
}

/// The tree with the names of fields as the schema has them.
pub(super) fn resolved(ast: &ast::Expr, sql: &str, schema: &StreamSchema) -> Result<ast::Expr, ExprError> {
    let mut ast = ast.clone();
    match VisitMut::visit(&mut ast, &mut Names { sql, schema }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(ast),
    }
}

fn simplified<'a>(ast: ast::Expr, expr: Expr, sql: &'a str, planner: &Planner) -> Result<Checked<'a>, ExprError> {
    let expr = planner.simplified(expr).map_err(|error| {
        let at = innermost(&ast, |part| planner.coerced(part).and_then(|expr| planner.simplified(expr)).is_err());
        refused(sql, at.map_or(0..sql.len(), |part| place(sql, &part)), &error)
    })?;
    Ok(Checked { sql, ast, expr })
}

/// The planned form of a part, or an error at the innermost part that cannot be planned.
fn typed(ast: &ast::Expr, sql: &str, planner: &Planner) -> Result<(Expr, DataType), ExprError> {
    let plan = |part: &ast::Expr| {
        let expr = planner.coerced(part)?;
        let ty = planner.type_of(&expr)?;
        Ok((expr, ty))
    };
    plan(ast).map_err(|error: DataFusionError| {
        let at = innermost(ast, |part| plan(part).is_err());
        let part = at.as_ref().unwrap_or(ast);
        let error = plan(part).err().unwrap_or(error);
        match part {
            ast::Expr::Function(function) => wrong_arguments(function, sql, planner, &error),
            _ => refused(sql, place(sql, part), &error),
        }
    })
}

/// The first part, inner before outer, for which `bad` holds.
fn innermost(ast: &ast::Expr, bad: impl FnMut(&ast::Expr) -> bool) -> Option<ast::Expr> {
    struct Find<F>(F);
    impl<F: FnMut(&ast::Expr) -> bool> Visitor for Find<F> {
        type Break = ast::Expr;
        fn post_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<ast::Expr> {
            if (self.0)(expr) { ControlFlow::Break(expr.clone()) } else { ControlFlow::Continue(()) }
        }
    }
    Visit::visit(ast, &mut Find(bad)).break_value()
}

/// Resolves fields and functions, and refuses what has no meaning for a single event.
struct Names<'a> {
    sql: &'a str,
    schema: &'a StreamSchema,
}

impl VisitorMut for Names<'_> {
    type Break = ExprError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<ExprError> {
        let hint = "an expression sees one event; compare with literals, or list the values with IN (…)";
        self.refuse(query.span(), "a query inside an expression is not supported".into(), Some(hint.into()))
    }

    fn pre_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<ExprError> {
        match expr {
            ast::Expr::Identifier(name) => self.field(name, false),
            ast::Expr::CompoundIdentifier(parts) => {
                let name = parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".");
                let span = parts.iter().skip(1).fold(parts[0].span, |span, part| span.union(&part.span));
                let whole = Ident { value: name, quote_style: None, span };
                self.field(&whole, false)?;
                *expr = ast::Expr::Identifier(whole);
                ControlFlow::Continue(())
            }
            // What stands on the right of a comparison was perhaps meant as a text.
            ast::Expr::BinaryOp { left, op, right } => {
                if let (ast::Expr::Identifier(name), true) = (&**left, is_comparison(op)) {
                    self.field(name, false)?;
                }
                match (&**right, is_comparison(op)) {
                    (ast::Expr::Identifier(name), true) => self.field(name, true),
                    _ => ControlFlow::Continue(()),
                }
            }
            ast::Expr::InList { list, .. } => {
                for item in list {
                    if let ast::Expr::Identifier(name) = item {
                        self.field(name, true)?;
                    }
                }
                ControlFlow::Continue(())
            }
            ast::Expr::Function(function) => self.function(function),
            ast::Expr::Value(value) => match &value.value {
                Value::Placeholder(name) => {
                    let hint = Some("write the value itself".to_owned());
                    self.refuse(value.span, format!("placeholder `{name}`: there is nobody to fill it in"), hint)
                }
                _ => ControlFlow::Continue(()),
            },
            ast::Expr::Wildcard(_) | ast::Expr::QualifiedWildcard(..) => {
                self.refuse(expr.span(), "`*` stands for a value only in `count(*)`".into(), None)
            }
            ast::Expr::Lambda(_) => self.refuse(expr.span(), "functions of functions are not supported".into(), None),
            ast::Expr::Substring { .. } => self.special("substr", expr.span()),
            ast::Expr::Position { .. } => self.special("strpos", expr.span()),
            ast::Expr::Ceil { .. } => self.special("ceil", expr.span()),
            ast::Expr::Floor { .. } => self.special("floor", expr.span()),
            _ => ControlFlow::Continue(()),
        }
    }
}

type Span = datafusion::sql::sqlparser::tokenizer::Span;

impl Names<'_> {
    fn refuse(&self, span: Span, message: String, hint: Option<String>) -> ControlFlow<ExprError> {
        ControlFlow::Break(ExprError { text: self.sql.to_owned(), span: span_of(self.sql, span), message, hint })
    }

    fn field(&self, name: &Ident, perhaps_text: bool) -> ControlFlow<ExprError> {
        if self.schema.field(&name.value).is_some() || name.value == EVENT_TIME {
            return ControlFlow::Continue(());
        }
        let names = || self.schema.fields.iter().map(|field| &*field.name);
        let quoted = |name: &str| if is_word(name) { format!("`{name}`") } else { format!("`\"{name}\"`") };
        let hint = match closest(&name.value, names().chain([EVENT_TIME])) {
            Some(near) => format!("did you mean {}? ", quoted(near)),
            None if perhaps_text && name.quote_style == Some('"') => {
                format!("double quotes are for names of fields, a text is written '{}'; ", name.value)
            }
            None if perhaps_text => format!("a text is written '{}'; ", name.value),
            None => String::new(),
        };
        let shown: Vec<String> = names().take(FIELDS_SHOWN_MAX).map(quoted).collect();
        let hint = match self.schema.fields.len() - shown.len() {
            _ if shown.is_empty() => format!("{hint}the stream `{}` declares no fields", self.schema.name),
            0 => format!("{hint}its fields are {}, `{EVENT_TIME}`", shown.join(", ")),
            more => format!("{hint}its fields are {}, `{EVENT_TIME}` and {more} more", shown.join(", ")),
        };
        let message = format!("unknown field `{}` of the stream `{}`", name.value, self.schema.name);
        self.refuse(name.span, message, Some(hint))
    }

    fn function(&self, function: &ast::Function) -> ControlFlow<ExprError> {
        let name = function.name.to_string();
        let span = function.name.span();
        match called(&name) {
            Called::Scalar => {}
            Called::Aggregate => {
                let hint = "aggregates stand in `let`, and `when` compares them; here each event is looked at alone";
                return self.refuse(span, format!("`{name}` is an aggregate of many events"), Some(hint.into()));
            }
            Called::NotOfTheEvent => {
                let clock = ["now", "current", "today"].iter().any(|start| name.to_lowercase().starts_with(start));
                let hint = clock.then(|| format!("the event's own time is `{EVENT_TIME}`"));
                let message = format!("`{name}` does not depend on the event alone: a replay would give other results");
                return self.refuse(span, message, hint);
            }
            Called::Window => {
                return self.refuse(span, format!("`{name}` looks at other events; that is not supported"), None);
            }
            Called::Unknown => {
                let hint = closest(&name.to_lowercase(), function_names())
                    .map(|near| format!("did you mean `{near}`?"))
                    .or_else(|| Some("the functions are those of DataFusion's SQL".to_owned()));
                return self.refuse(span, format!("unknown function `{name}`"), hint);
            }
        }
        let only = "is for aggregates; this is a function of one event";
        if function.over.is_some() {
            return self.refuse(function.span(), format!("OVER {only}"), None);
        }
        if function.filter.is_some() {
            return self.refuse(function.span(), format!("FILTER (WHERE …) {only}"), None);
        }
        if let FunctionArguments::List(list) = &function.args
            && list.duplicate_treatment.is_some()
        {
            return self.refuse(function.span(), format!("DISTINCT {only}"), None);
        }
        ControlFlow::Continue(())
    }

    /// Syntax that stands for a function.
    fn special(&self, function: &str, span: Span) -> ControlFlow<ExprError> {
        match called(function) {
            Called::Scalar => ControlFlow::Continue(()),
            _ => self.refuse(span, format!("unknown function `{function}`"), None),
        }
    }
}

/// Checks the types of what operators combine, inner parts first.
struct Types<'a> {
    sql: &'a str,
    planner: &'a Planner,
}

impl Visitor for Types<'_> {
    type Break = ExprError;

    fn post_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<ExprError> {
        match self.check(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Types<'_> {
    fn check(&self, expr: &ast::Expr) -> Result<(), ExprError> {
        use BinaryOperator as Op;
        match expr {
            ast::Expr::BinaryOp { left, op, right } => match op {
                op if is_comparison(op) => {
                    self.null(left, op, expr)?;
                    self.null(right, op, expr)?;
                    self.comparable(left, right)
                }
                Op::And | Op::Or => {
                    self.is(left, Family::Bool, &op.to_string())?;
                    self.is(right, Family::Bool, &op.to_string())
                }
                Op::PGRegexMatch | Op::PGRegexIMatch | Op::PGRegexNotMatch | Op::PGRegexNotIMatch => {
                    self.is(left, Family::Text, &op.to_string())?;
                    self.is(right, Family::Text, &op.to_string())?;
                    self.regex(right)
                }
                Op::PGOverlap => {
                    let message = "`&&` is not an operator here".to_owned();
                    Err(self.error(place(self.sql, expr), message, Some("write AND".to_owned())))
                }
                Op::StringConcat => match (self.family(left)?, self.family(right)?) {
                    (Family::Bool, _) | (_, Family::Bool) => {
                        let message = "`||` joins strings".to_owned();
                        Err(self.error(place(self.sql, expr), message, Some("write OR".to_owned())))
                    }
                    _ => Ok(()),
                },
                Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo => {
                    let families = [self.family(left)?, self.family(right)?];
                    if families.contains(&Family::Time) || families.contains(&Family::Other) {
                        return Ok(());
                    }
                    self.is(left, Family::Number, &op.to_string())?;
                    self.is(right, Family::Number, &op.to_string())
                }
                _ => Ok(()),
            },
            ast::Expr::Like { expr, pattern, .. } | ast::Expr::ILike { expr, pattern, .. } => {
                self.is(expr, Family::Text, "LIKE")?;
                self.is(pattern, Family::Text, "LIKE")
            }
            ast::Expr::InList { expr, list, .. } => list.iter().try_for_each(|item| self.comparable(expr, item)),
            ast::Expr::Between { expr, low, high, .. } => {
                self.comparable(expr, low)?;
                self.comparable(expr, high)
            }
            ast::Expr::UnaryOp { op: UnaryOperator::Not, expr } => self.is(expr, Family::Bool, "NOT"),
            ast::Expr::UnaryOp { op: op @ (UnaryOperator::Minus | UnaryOperator::Plus), expr } => {
                match self.family(expr)? {
                    Family::Other => Ok(()),
                    _ => self.is(expr, Family::Number, &op.to_string()),
                }
            }
            ast::Expr::Case { operand: None, conditions, .. } => {
                conditions.iter().try_for_each(|case| self.is(&case.condition, Family::Bool, "WHEN"))
            }
            ast::Expr::Case { operand: Some(operand), conditions, .. } => {
                conditions.iter().try_for_each(|case| self.comparable(operand, &case.condition))
            }
            ast::Expr::Function(function) => self.regex_argument(function),
            _ => Ok(()),
        }
    }

    fn family(&self, part: &ast::Expr) -> Result<Family, ExprError> {
        Ok(family(&self.ty(part)?))
    }

    fn ty(&self, part: &ast::Expr) -> Result<DataType, ExprError> {
        typed(part, self.sql, self.planner).map(|(_, ty)| ty)
    }

    fn error(&self, span: Range<usize>, message: String, hint: Option<String>) -> ExprError {
        ExprError { text: self.sql.to_owned(), span, message, hint }
    }

    /// `= NULL` is always null: never what was meant.
    fn null(&self, part: &ast::Expr, op: &BinaryOperator, whole: &ast::Expr) -> Result<(), ExprError> {
        if !matches!(part, ast::Expr::Value(value) if value.value == Value::Null) {
            return Ok(());
        }
        let hint = match op {
            BinaryOperator::NotEq => "write IS NOT NULL",
            _ => "write IS NULL",
        };
        let message = format!("`{op} NULL` is never true");
        Err(self.error(place(self.sql, whole), message, Some(hint.to_owned())))
    }

    fn is(&self, part: &ast::Expr, wanted: Family, operator: &str) -> Result<(), ExprError> {
        let ty = self.ty(part)?;
        if [wanted, Family::Null].contains(&family(&ty)) {
            return Ok(());
        }
        let span = place(self.sql, part);
        let text = excerpt(self.sql, &span);
        let (takes, hint) = match wanted {
            Family::Bool => ("conditions", Some(format!("compare it with something, such as `{text} = …`"))),
            Family::Text => ("strings", Some(format!("make a string of it: `CAST({text} AS VARCHAR)`"))),
            Family::Number if family(&ty) == Family::Text => match number_in(part) {
                Some(number) => ("numbers", Some(format!("write {number} without quotes"))),
                None => ("numbers", Some(format!("make a number of it: `CAST({text} AS DOUBLE)`"))),
            },
            _ => ("numbers", None),
        };
        let message = format!("`{operator}` takes {takes}, but `{text}` is {}", describe(&ty));
        Err(self.error(span, message, hint))
    }

    fn comparable(&self, left: &ast::Expr, right: &ast::Expr) -> Result<(), ExprError> {
        let (left_type, right_type) = (self.ty(left)?, self.ty(right)?);
        let (a, b) = (family(&left_type), family(&right_type));
        let fine = a == b
            || a == Family::Null
            || b == Family::Null
            || a == Family::Other
            || b == Family::Other
            // Texts are read as times.
            || (a == Family::Time && b == Family::Text)
            || (a == Family::Text && b == Family::Time);
        if fine {
            return Ok(());
        }
        let (left_span, right_span) = (place(self.sql, left), place(self.sql, right));
        let (left_text, right_text) = (excerpt(self.sql, &left_span), excerpt(self.sql, &right_span));
        let hint = hint_literal(left, left_text, b).or_else(|| hint_literal(right, right_text, a)).or_else(|| {
            let number = |part: &ast::Expr, text: &str, other: &str| match text_in(part) {
                Some(_) => format!("compare `{other}` with a number"),
                None => format!("make a number of it: `CAST({text} AS DOUBLE)`"),
            };
            match (a, b) {
                (Family::Text, Family::Number) => Some(number(left, left_text, right_text)),
                (Family::Number, Family::Text) => Some(number(right, right_text, left_text)),
                (Family::Bool, _) => Some(format!("write `{left_text}` or `NOT {left_text}`")),
                (_, Family::Bool) => Some(format!("write `{right_text}` or `NOT {right_text}`")),
                _ => None,
            }
        });
        let message = format!(
            "`{left_text}` is {} and `{right_text}` is {}: they cannot be compared",
            describe(&left_type),
            describe(&right_type)
        );
        let span = left_span.start.min(right_span.start)..left_span.end.max(right_span.end);
        Err(self.error(span, message, hint))
    }

    /// A pattern that cannot be compiled would fail at every event.
    fn regex(&self, pattern: &ast::Expr) -> Result<(), ExprError> {
        let Some(pattern_text) = text_in(pattern) else { return Ok(()) };
        let Err(error) = regex::Regex::new(pattern_text) else { return Ok(()) };
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let message = format!("the regular expression is not valid: {reason}");
        let hint = Some("the syntax is that of Rust's regex crate: no look-around, no back-references".to_owned());
        Err(self.error(place(self.sql, pattern), message, hint))
    }

    fn regex_argument(&self, function: &ast::Function) -> Result<(), ExprError> {
        let name = function.name.to_string().to_lowercase();
        match arguments(function).nth(1) {
            Some(pattern) if name.starts_with("regexp_") => self.regex(pattern),
            _ => Ok(()),
        }
    }
}

/// What to write instead of a literal that is compared with a `wanted`.
fn hint_literal(part: &ast::Expr, text: &str, wanted: Family) -> Option<String> {
    match (part, wanted) {
        (part, Family::Number) => number_in(part).map(|number| format!("write {number} without quotes")),
        (ast::Expr::Value(value), Family::Text) => match &value.value {
            Value::Number(..) | Value::Boolean(_) => Some(format!("write '{text}' in quotes")),
            _ => None,
        },
        (part, Family::Bool) => match text_in(part)?.to_lowercase().as_str() {
            word @ ("true" | "false") => Some(format!("write {word} without quotes")),
            _ => None,
        },
        _ => None,
    }
}

/// The text of a string literal.
fn text_in(part: &ast::Expr) -> Option<&str> {
    match part {
        ast::Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        ast::Expr::Nested(inner) => text_in(inner),
        _ => None,
    }
}

/// The number in a string literal that holds one.
fn number_in(part: &ast::Expr) -> Option<&str> {
    text_in(part).map(str::trim).filter(|text| text.parse::<f64>().is_ok())
}

fn arguments(function: &ast::Function) -> impl Iterator<Item = &ast::Expr> {
    let list: &[FunctionArg] = match &function.args {
        FunctionArguments::List(list) => &list.args,
        _ => &[],
    };
    list.iter().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    })
}

/// Types as far as comparing them goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Bool,
    Number,
    Text,
    Time,
    List,
    Null,
    Other,
}

fn family(ty: &DataType) -> Family {
    match ty {
        DataType::Boolean => Family::Bool,
        ty if ty.is_numeric() => Family::Number,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Family::Text,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) => {
            Family::Time
        }
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => Family::List,
        DataType::Null => Family::Null,
        DataType::Dictionary(_, value) => family(value),
        _ => Family::Other,
    }
}

/// A type with its article.
fn describe(ty: &DataType) -> String {
    match family(ty) {
        Family::Bool => "a bool".to_owned(),
        Family::Number if ty.is_integer() => "an int".to_owned(),
        Family::Number => "a float".to_owned(),
        Family::Text => "a string".to_owned(),
        Family::Time => "a time".to_owned(),
        Family::List => "a list".to_owned(),
        Family::Null => "null".to_owned(),
        Family::Other => match ty {
            DataType::Interval(_) | DataType::Duration(_) => "a length of time".to_owned(),
            other => format!("of the type {other}"),
        },
    }
}

/// A function that does not take what it was given.
fn wrong_arguments(function: &ast::Function, sql: &str, planner: &Planner, error: &DataFusionError) -> ExprError {
    let span = span_of(sql, function.span());
    let name = function.name.to_string().to_lowercase();
    let types = arguments(function).map(|arg| planner.coerced(arg).and_then(|expr| planner.type_of(&expr)));
    let message = match types.collect::<Result<Vec<_>, _>>() {
        Ok(types) if types.is_empty() => format!("`{name}` needs arguments"),
        Ok(types) => {
            let list = types.iter().map(describe).collect::<Vec<_>>().join(", ");
            format!("`{name}` does not take ({list})")
        }
        Err(_) => return refused(sql, span, error),
    };
    ExprError { text: sql.to_owned(), span, message, hint: None }
}

/// An error of DataFusion's at a place.
pub(super) fn refused(sql: &str, span: Range<usize>, error: &DataFusionError) -> ExprError {
    ExprError { text: sql.to_owned(), span, message: sentence(error), hint: None }
}

/// An error of DataFusion's without the names of its own stages.
pub(super) fn sentence(error: &DataFusionError) -> String {
    const STAGES: [&str; 9] = [
        "Error during planning: ",
        "Execution error: ",
        "Arrow error: ",
        "Cast error: ",
        "Parser error: ",
        "Invalid argument error: ",
        "SQL error: ",
        "This feature is not implemented: ",
        "Internal error: ",
    ];
    let message = error.strip_backtrace();
    let message = message.split("Candidate functions").next().unwrap_or_default();
    let mut message = message.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    while let Some(rest) = STAGES.iter().find_map(|stage| message.strip_prefix(stage)) {
        message = rest;
    }
    if message.starts_with("Unsupported ast node") {
        return "this part of SQL is not supported".to_owned();
    }
    let mut chars = message.trim_end_matches('.').chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator as Op;
    matches!(op, Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq)
}

/// The closest name that is close enough to be meant: few letters differ, or it begins with what was written.
fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let length = lower.chars().count();
    let (distance, near) = known.map(|known| (levenshtein(&lower, &known.to_lowercase()), known)).min()?;
    let begins = length >= 3 && near.to_lowercase().starts_with(&lower);
    (distance <= length / 3 || begins).then_some(near)
}

/// Whether a name can be written without quotes.
fn is_word(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
}

/// The text of a part, shortened.
fn excerpt<'a>(sql: &'a str, span: &Range<usize>) -> &'a str {
    let text = &sql[span.clone()];
    match text.char_indices().nth(60) {
        Some((at, _)) => &text[..at],
        None => text,
    }
}
