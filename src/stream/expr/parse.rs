//! Text to syntax tree: caps, places of errors, and the one spelling by which equal expressions know each other.
//!
//! The parser is sqlparser with the dialect DataFusion uses by default. Two things are ours. A parsed tree is capped
//! in depth, because everything behind it (planning, simplification, even dropping it) recurses; a long `a OR b OR c`
//! is a list to a person but a tower to a parser, so such chains are rebuilt as balanced trees first and do not count
//! as depth. And places: sqlparser counts lines and characters, diagnostics want byte ranges.

use std::ops::{ControlFlow, Range};

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    Spanned, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};

use super::ExprError;
use super::plan::{Called, called};

/// Bytes of one expression's text.
pub const TEXT_BYTES_MAX: usize = 4 << 10;

/// Levels of nesting, each of brackets and of calls, `CASE` and chains of operators other than `AND` and `OR`. What
/// planning needs of the stack for it fits the 2 MiB of a thread even in a debug build.
pub const DEPTH_MAX: usize = 10;

/// Parses a scalar expression: a filter, a group-by expression, an argument. Knows nothing of fields yet.
pub fn parse_scalar(sql: &str) -> Result<Expr, ExprError> {
    let tokens = tokenize(sql)?;
    let mut parser =
        Parser::new(&GenericDialect {}).with_recursion_limit(2 * DEPTH_MAX).with_tokens_with_locations(tokens.clone());
    let mut expr = parser.parse_expr().map_err(|error| syntax_error(sql, &tokens, error))?;
    let next = parser.peek_token_ref();
    if next.token != Token::EOF {
        return Err(trailing(sql, next));
    }
    match expr.visit(&mut Balance { depth: 0 }) {
        ControlFlow::Continue(()) => Ok(expr),
        // Not the span of the part: asking a deep tree for its span is as deep.
        ControlFlow::Break(()) => Err(too_deep(sql, 0..sql.len())),
    }
}

/// One call of an aggregate, the text of a `let`: `quantile(latency_ms, 0.99) FILTER (WHERE status >= 500)`.
/// Only syntax; what the names mean is for the rule to say. All spans are bytes in `text`.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateCall {
    pub text: String,
    /// In lower case.
    pub name: String,
    pub name_span: Range<usize>,
    /// Empty where `star` is set.
    pub args: Vec<ArgAst>,
    /// `count(*)`
    pub star: bool,
    /// `count(DISTINCT ip)`
    pub distinct: bool,
    pub filter: Option<FilterAst>,
}

/// One argument of an [`AggregateCall`].
#[derive(Clone, Debug, PartialEq)]
pub struct ArgAst {
    pub expr: Expr,
    pub span: Range<usize>,
}

impl ArgAst {
    /// The number, where the argument is one: `0.99`, `-5`, `5`.
    pub fn number(&self) -> Option<f64> {
        fn read(expr: &Expr) -> Option<f64> {
            match expr {
                Expr::Value(value) => match &value.value {
                    Value::Number(digits, _) => digits.parse().ok(),
                    _ => None,
                },
                Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => read(expr).map(|number| -number),
                Expr::UnaryOp { op: ast::UnaryOperator::Plus, expr } | Expr::Nested(expr) => read(expr),
                _ => None,
            }
        }
        read(&self.expr)
    }

    /// The one spelling of this argument.
    pub fn canonical(&self) -> String {
        canonical(&self.expr)
    }
}

/// The condition of `FILTER (WHERE …)`.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterAst {
    pub expr: Expr,
    pub span: Range<usize>,
}

impl AggregateCall {
    /// The one spelling of the call: equal for calls that differ in case, spaces, brackets or needless quotes only.
    pub fn canonical(&self) -> String {
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        let args = if self.star {
            "*".to_owned()
        } else {
            self.args.iter().map(ArgAst::canonical).collect::<Vec<_>>().join(", ")
        };
        let filter = match &self.filter {
            Some(filter) => format!(" FILTER (WHERE {})", canonical(&filter.expr)),
            None => String::new(),
        };
        format!("{}({distinct}{args}){filter}", self.name)
    }

    /// An error about `span` of this call's text.
    pub fn error(&self, span: Range<usize>, message: impl Into<String>, hint: Option<String>) -> ExprError {
        ExprError { text: self.text.clone(), span, message: message.into(), hint }
    }
}

/// Parses the text of a `let`.
pub fn parse_aggregate(sql: &str) -> Result<AggregateCall, ExprError> {
    const FORM: &str = "a `let` is one call of an aggregate, such as `count(*)`, `p99(latency_ms)` or \
                        `count(*) FILTER (WHERE status >= 500)`; arithmetic between lets belongs into `when`";
    let expr = parse_scalar(sql)?;
    let refuse = |span: Range<usize>, message: String| {
        Err(ExprError { text: sql.to_owned(), span, message, hint: Some(FORM.to_owned()) })
    };
    let span = place(sql, &expr);
    let mut expr = expr;
    while let Expr::Nested(inner) = expr {
        expr = *inner;
    }
    let function = match expr {
        Expr::Function(function) => function,
        Expr::Identifier(name) if called(&name.value) == Called::Aggregate => {
            return refuse(span, format!("`{}` has no brackets with what it is taken of", name.value));
        }
        Expr::Identifier(name) => {
            return refuse(span, format!("`{}` is a field, not an aggregate of one", name.value));
        }
        other => return refuse(span, format!("`{other}` is not a call of an aggregate")),
    };
    let Function { name, args, filter, null_treatment, over, within_group, parameters, .. } = function;
    let name_span = span_of(sql, name.span());
    let name = name.to_string().to_lowercase();
    if over.is_some() {
        return refuse(span, "`OVER` is not supported: the rule's `window` says what is aggregated".to_owned());
    }
    if null_treatment.is_some() || !within_group.is_empty() || parameters != FunctionArguments::None {
        return refuse(span, format!("`{name}` takes plain arguments and an optional FILTER (WHERE …) only"));
    }
    let mut call = AggregateCall {
        text: sql.to_owned(),
        name,
        name_span,
        args: vec![],
        star: false,
        distinct: false,
        filter: None,
    };
    if let Some(filter) = filter {
        call.filter = Some(FilterAst { span: place(sql, &filter), expr: *filter });
    }
    let list = match args {
        FunctionArguments::List(list) => list,
        FunctionArguments::None => return refuse(span, format!("`{}` has no brackets with arguments", call.name)),
        FunctionArguments::Subquery(_) => return refuse(span, "a query inside an expression is not supported".into()),
    };
    call.distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    if let Some(clause) = list.clauses.first() {
        return refuse(span, format!("`{clause}` is not supported inside an aggregate"));
    }
    for arg in list.args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                call.args.push(ArgAst { span: place(sql, &expr), expr });
            }
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => call.star = true,
            other => return refuse(span, format!("`{other}` is not an argument an aggregate takes")),
        }
    }
    if call.star && (!call.args.is_empty() || call.distinct) {
        return refuse(span, "`*` stands alone in the brackets".to_owned());
    }
    Ok(call)
}

/// The one spelling of an expression. Everything that is not a single word or call stands in exactly one pair of
/// brackets, needless quotes and brackets are gone, function names are in lower case. Two texts with the same spelling
/// parse to the same tree; the reverse is only nearly so (`1` and `1.0` differ), and need not be: it is for sharing.
pub fn canonical(expr: &Expr) -> String {
    let mut expr = expr.clone();
    let _ = expr.visit(&mut Respell);
    match expr {
        Expr::Nested(inner) => inner.to_string(),
        other => other.to_string(),
    }
}

struct Respell;

impl VisitorMut for Respell {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            // The inner expression was respelled before: brackets are there already where they are needed.
            Expr::Nested(inner) => {
                let inner = std::mem::replace(&mut **inner, Expr::value(Value::Null));
                *expr = inner;
            }
            Expr::Identifier(name) => *name = plain(name),
            Expr::Value(_) | Expr::CompoundIdentifier(_) | Expr::Wildcard(_) => {}
            Expr::Function(function) => {
                for part in &mut function.name.0 {
                    if let ast::ObjectNamePart::Identifier(name) = part {
                        name.value = name.value.to_lowercase();
                    }
                }
            }
            other => {
                let inner = std::mem::replace(other, Expr::value(Value::Null));
                *other = Expr::Nested(Box::new(inner));
            }
        }
        ControlFlow::Continue(())
    }
}

/// Every name in double quotes: which names could do without depends on the keyword list of the parser.
fn plain(name: &Ident) -> Ident {
    Ident::with_quote('"', &name.value)
}

/// Rebuilds chains of AND and OR as balanced trees, top down, and breaks where what remains is too deep.
struct Balance {
    depth: usize,
}

impl VisitorMut for Balance {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } = expr {
            let op = op.clone();
            balance(expr, &op);
        }
        self.depth += usize::from(counts(expr));
        if self.depth > DEPTH_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.depth -= usize::from(counts(expr));
        ControlFlow::Continue(())
    }
}

/// Whether an expression is a level of nesting. Brackets are counted by the tokens; a balanced chain of a 4 KiB text
/// has ten levels at most; leaves are below every limit.
fn counts(expr: &Expr) -> bool {
    use BinaryOperator::{And, Or};
    !matches!(
        expr,
        Expr::Nested(_)
            | Expr::BinaryOp { op: And | Or, .. }
            | Expr::Identifier(_)
            | Expr::CompoundIdentifier(_)
            | Expr::Value(_)
            | Expr::Wildcard(_)
    )
}

/// `((a op b) op c) op d` → `(a op b) op (c op d)`. AND and OR are associative, in three truth values too.
fn balance(expr: &mut Expr, op: &BinaryOperator) {
    let mut operands = Vec::new();
    let mut pending = vec![std::mem::replace(expr, Expr::value(Value::Null))];
    while let Some(next) = pending.pop() {
        match next {
            Expr::BinaryOp { left, op: inner, right } if inner == *op => pending.extend([*right, *left]),
            operand => operands.push(operand),
        }
    }
    while operands.len() > 1 {
        let mut pairs = Vec::with_capacity(operands.len().div_ceil(2));
        let mut rest = operands.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) },
                None => left,
            });
        }
        operands = pairs;
    }
    *expr = operands.pop().expect("a chain has operands");
}

/// The bytes of `expr` in `sql`, widened to whole brackets. The whole text where the parser kept no place.
pub(super) fn place(sql: &str, expr: &Expr) -> Range<usize> {
    span_of(sql, expr.span())
}

/// Bytes of a parser's span. The parser's spans stop short of closing brackets and keywords that follow, so a span
/// that opens brackets is widened to where they close.
pub(super) fn span_of(sql: &str, span: Span) -> Range<usize> {
    if span.start.line == 0 {
        return 0..sql.len();
    }
    let start = offset(sql, span.start);
    let end = offset(sql, span.end).max(start);
    let mut open = 0i32;
    let mut quote = None;
    let mut last = end;
    for (at, c) in sql[start..].char_indices() {
        let at = start + at;
        if at >= end && open <= 0 {
            break;
        }
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, '(' | '[') => open += 1,
            (None, ')' | ']') => {
                open -= 1;
                if open == 0 && at >= end {
                    last = at + 1;
                }
            }
            _ => {}
        }
    }
    start..last
}

/// A location (1-based line and character) as a byte offset.
fn offset(sql: &str, location: Location) -> usize {
    let mut line_start = 0;
    for _ in 1..location.line {
        match sql[line_start..].find('\n') {
            Some(at) => line_start += at + 1,
            None => return sql.len(),
        }
    }
    let line = &sql[line_start..];
    let column = (location.column.max(1) - 1) as usize;
    line_start + line.char_indices().nth(column).map_or(line.len(), |(at, _)| at)
}

fn tokenize(sql: &str) -> Result<Vec<TokenWithSpan>, ExprError> {
    let refuse = |span, message: String, hint: Option<&str>| {
        Err(ExprError { text: sql.to_owned(), span, message, hint: hint.map(str::to_owned) })
    };
    if sql.len() > TEXT_BYTES_MAX {
        let message = format!("the expression has {} bytes; at most {TEXT_BYTES_MAX} are taken", sql.len());
        return Err(ExprError {
            // A text that is too long to parse is too long to print as well.
            text: sql.chars().take(80).collect(),
            span: 0..0,
            message,
            hint: Some("a long list of values is better kept as a field of the event".to_owned()),
        });
    }
    let tokens = match Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location() {
        Ok(tokens) => tokens,
        Err(error) => {
            let start = offset(sql, error.location);
            let message = error.message.trim().to_lowercase();
            let hint = message.contains("unterminated").then_some("a quote that is opened must be closed");
            return refuse(start..sql.len(), message, hint);
        }
    };
    if tokens.iter().all(|token| matches!(token.token, Token::Whitespace(_) | Token::EOF)) {
        return refuse(0..sql.len(), "the expression is empty".to_owned(), None);
    }
    guard(sql, &tokens)?;
    Ok(tokens)
}

/// Refuses, by their tokens, texts that would take the parser itself too deep, and queries.
fn guard(sql: &str, tokens: &[TokenWithSpan]) -> Result<(), ExprError> {
    let (mut brackets, mut types, mut signs) = (0, 0, 0);
    let mut words = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).peekable();
    while let Some(token) = words.next() {
        let next = words.peek().map(|next| &next.token);
        let word = match &token.token {
            Token::Word(word) if word.quote_style.is_none() => word.keyword,
            _ => Keyword::NoKeyword,
        };
        signs = match token.token {
            _ if word == Keyword::NOT => signs + 1,
            Token::Minus | Token::Plus | Token::Tilde => signs + 1,
            _ => 0,
        };
        match &token.token {
            // The parser counts its own recursion, but not all of it: `array<array<…`, `int[][]…`, `interval interval …`.
            Token::LBracket if next == Some(&Token::RBracket) => {
                types += 1;
                brackets += 1;
            }
            _ if matches!(word, Keyword::INTERVAL | Keyword::SETOF) => types += 1,
            _ if word == Keyword::CASE => brackets += 1,
            _ if word == Keyword::END => brackets -= 1,
            Token::Word(_) if next == Some(&Token::Lt) => types += usize::from(is_type(word)),
            Token::LParen | Token::LBracket | Token::LBrace => brackets += 1,
            Token::RParen | Token::RBracket | Token::RBrace => brackets -= 1,
            _ if word == Keyword::SELECT => {
                return Err(ExprError {
                    text: sql.to_owned(),
                    span: span_of(sql, token.span),
                    message: "a query inside an expression is not supported".to_owned(),
                    hint: Some("an expression sees one event; list the values with IN (…)".to_owned()),
                });
            }
            _ => {}
        }
        if brackets > DEPTH_MAX as i32 || types > DEPTH_MAX || signs > DEPTH_MAX {
            return Err(too_deep(sql, span_of(sql, token.span)));
        }
    }
    Ok(())
}

fn is_type(word: Keyword) -> bool {
    matches!(word, Keyword::ARRAY | Keyword::STRUCT | Keyword::MAP | Keyword::UNION)
}

fn too_deep(sql: &str, span: Range<usize>) -> ExprError {
    ExprError {
        text: sql.to_owned(),
        span,
        message: format!("nested deeper than {DEPTH_MAX} levels"),
        hint: Some("compute parts of it as fields of the event, or use IN (…) for a list of values".to_owned()),
    }
}

fn trailing(sql: &str, next: &TokenWithSpan) -> ExprError {
    let span = span_of(sql, next.span);
    let hint = match &next.token {
        Token::DoubleEq | Token::Assignment => Some("equality is written with one `=`"),
        Token::SemiColon => Some("one expression, without `;`"),
        Token::Ampersand | Token::Overlap => Some("write AND"),
        Token::Pipe => Some("write OR"),
        Token::RParen => Some("there is no bracket open here"),
        Token::Word(word) if word.keyword == Keyword::AS => Some("an expression takes no alias: its name is its key"),
        _ => None,
    };
    let hint = hint.unwrap_or("an operator such as AND, OR or = is missing before it");
    ExprError {
        text: sql.to_owned(),
        message: format!("unexpected `{}` after the expression", &sql[span.clone()]),
        span,
        hint: Some(hint.to_owned()),
    }
}

/// The parser's complaint with its place taken out of the sentence.
fn syntax_error(sql: &str, tokens: &[TokenWithSpan], error: ParserError) -> ExprError {
    let message = match error {
        ParserError::RecursionLimitExceeded => return too_deep(sql, 0..sql.len()),
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
    };
    let (sentence, place) = match message.rsplit_once(" at Line: ") {
        Some((sentence, place)) => (sentence, place),
        None => (message.as_str(), ""),
    };
    let location = place.split_once(", Column: ").and_then(|(line, column)| {
        Some(Location { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? })
    });
    let span = match location {
        Some(location) => match tokens.iter().find(|token| token.span.start == location) {
            Some(token) => span_of(sql, token.span),
            None => offset(sql, location)..sql.len(),
        },
        None => sql.len()..sql.len(),
    };
    let message = sentence
        .trim_start_matches("sql parser error: ")
        .replace("Expected: ", "expected ")
        .replace(", found: EOF", ", but the text ends");
    let message = message.replace("expected ), ", "expected `)`, ").replace("expected (, ", "expected `(`, ");
    let message = match message.split_once(", found: ") {
        Some((expected, found)) => format!("{expected}, found `{found}`"),
        None => message,
    };
    let hint = match &sql[span.clone()] {
        "==" => Some("equality is written with one `=`".to_owned()),
        "&" | "&&" => Some("write AND".to_owned()),
        "|" | "||" => Some("write OR".to_owned()),
        "!" => Some("write NOT".to_owned()),
        _ => None,
    };
    ExprError { text: sql.to_owned(), span, message, hint }
}
