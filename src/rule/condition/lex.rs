//! Tokens with their places. evalexpr's tree has no spans, so this small lexer walks the same text, finds where each
//! name and number stands, and refuses what a condition must not hold before evalexpr sees it.
//!
//! It also checks the order of tokens (a value, an operator, a value …). evalexpr accepts `a >` and fails only when it
//! evaluates; here that is an error with a caret.
//!
//! - `C1` what passes [`lex`] has at most [`TEXT_BYTES_MAX`] bytes, [`OPERATORS_MAX`] operators and [`DEPTH_MAX`] levels, so
//!   neither evalexpr's parser nor anything that walks its tree can run out of stack
//! - `C2` comments are blanked, not skipped: evalexpr would join `a/* */b` into the name `ab`

use std::ops::Range;

use super::ConditionError;

/// Bytes a condition may have.
pub const TEXT_BYTES_MAX: usize = 4096;

/// Levels of brackets, signs and negations a condition may have.
pub const DEPTH_MAX: usize = 64;

/// Operators a condition may have. A chain of operators is a tree as deep as the chain is long.
pub const OPERATORS_MAX: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name, a function, a number or a truth value: what is a leaf of evalexpr's tree.
    Word,
    /// A name before an opening bracket.
    Function,
    /// `-` or `!` before a value.
    Prefix,
    /// Between two values.
    Infix,
    Open,
    Close,
    Comma,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    pub span: Range<usize>,
}

/// A text that evalexpr will parse into a tree of the shape the tokens say.
#[derive(Clone, Debug)]
pub(super) struct Lexed {
    /// The text with comments blanked; same length, so spans hold for both.
    pub text: String,
    pub tokens: Vec<Token>,
}

/// Reads `source`, or says all that is wrong with its tokens.
pub(super) fn lex(source: &str) -> Result<Lexed, Vec<ConditionError>> {
    if source.len() > TEXT_BYTES_MAX {
        let message = format!("the condition has {} bytes; at most {TEXT_BYTES_MAX} are allowed", source.len());
        return Err(vec![ConditionError::new(0..source.len(), message).hint("compute parts of it in `let`")]);
    }
    let text = blank_comments(source).map_err(|error| vec![error])?;
    let raw = split(&text)?;
    if raw.is_empty() {
        let error = ConditionError::new(0..source.len(), "the condition is empty");
        return Err(vec![error.hint("write a comparison over the names of `let`, such as `total > 100`")]);
    }
    let tokens = order(&text, raw)?;
    Ok(Lexed { text, tokens })
}

/// Puts spaces where comments are (`C2`). Strings are left to [`split`], which refuses them.
fn blank_comments(source: &str) -> Result<String, ConditionError> {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    let mut in_string = false;
    while let Some(c) = rest.chars().next() {
        let length = match () {
            () if in_string && c == '\\' => c.len_utf8() + rest[1..].chars().next().map_or(0, char::len_utf8),
            () if in_string || c == '"' => {
                in_string ^= c == '"';
                c.len_utf8()
            }
            () if rest.starts_with("//") => {
                let length = rest.find('\n').unwrap_or(rest.len());
                text.extend(std::iter::repeat_n(' ', length));
                rest = &rest[length..];
                continue;
            }
            () if rest.starts_with("/*") => {
                let start = text.len();
                let Some(end) = rest[2..].find("*/") else {
                    let error = ConditionError::new(start..source.len(), "this comment has no end");
                    return Err(error.hint("close it with `*/`"));
                };
                text.extend(std::iter::repeat_n(' ', end + 4));
                rest = &rest[end + 4..];
                continue;
            }
            () => c.len_utf8(),
        };
        text.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    Ok(text)
}

/// A piece of text before its part in the sentence is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Word,
    Minus,
    Bang,
    Operator,
    Open,
    Close,
    Comma,
}

/// Pieces of text, without spaces; refuses what conditions must not hold.
fn split(text: &str) -> Result<Vec<(Piece, Range<usize>)>, Vec<ConditionError>> {
    let mut pieces = Vec::new();
    let mut errors = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let (length, piece) = match c {
            c if c.is_whitespace() => (c.len_utf8(), None),
            '(' => (1, Some(Piece::Open)),
            ')' => (1, Some(Piece::Close)),
            ',' => (1, Some(Piece::Comma)),
            '"' => {
                let length = string_length(rest);
                let error = ConditionError::new(at..at + length, "a condition compares numbers, not strings");
                errors.push(error.hint("compare strings in `where`, or in a `FILTER (WHERE …)` of a `let`"));
                // It stands for a value, so that the order of tokens is not reported as well.
                (length, Some(Piece::Word))
            }
            _ if is_operator(c) => {
                let (length, piece, error) = operator(rest);
                errors.extend(error.map(|(message, hint)| ConditionError::new(at..at + length, message).hint(hint)));
                (length, Some(piece))
            }
            _ => (word_length(rest), Some(Piece::Word)),
        };
        pieces.extend(piece.map(|piece| (piece, at..at + length)));
        at += length;
    }
    if errors.is_empty() { Ok(pieces) } else { Err(errors) }
}

fn is_operator(c: char) -> bool {
    "+-*/%^=!<>&|;".contains(c)
}

/// The operator `rest` begins with; with an error where it is none of ours.
#[allow(clippy::type_complexity)]
fn operator(rest: &str) -> (usize, Piece, Option<(String, &'static str)>) {
    const ASSIGNMENTS: [&str; 8] = ["&&=", "||=", "+=", "-=", "*=", "/=", "%=", "^="];
    const TWO: [&str; 6] = ["==", "!=", "<=", ">=", "&&", "||"];
    if let Some(found) = ASSIGNMENTS.iter().find(|op| rest.starts_with(**op)) {
        let message = format!("`{found}` assigns; a condition only reads");
        return (found.len(), Piece::Operator, Some((message, "compute it as a `let`, or compare with `==`")));
    }
    if let Some(found) = TWO.iter().find(|op| rest.starts_with(**op)) {
        return (found.len(), Piece::Operator, None);
    }
    if rest.starts_with("<>") {
        let message = "`<>` is not an operator of conditions".to_owned();
        return (2, Piece::Operator, Some((message, "write `!=` for different")));
    }
    let (piece, error) = match rest.as_bytes()[0] {
        b'-' => (Piece::Minus, None),
        b'!' => (Piece::Bang, None),
        b'=' => (Piece::Operator, Some(("`=` assigns; a condition only reads", "write `==` to compare"))),
        b'&' => (Piece::Operator, Some(("`&` is not an operator of conditions", "write `&&` for and"))),
        b'|' => (Piece::Operator, Some(("`|` is not an operator of conditions", "write `||` for or"))),
        b';' => (Piece::Operator, Some(("`;` chains statements; a condition is one expression", "join with `&&`"))),
        _ => (Piece::Operator, None),
    };
    (1, piece, error.map(|(message, hint)| (message.to_owned(), hint)))
}

/// From a `"` to its partner, or to the end.
fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A name or number: everything up to a space, bracket, comma, quote or operator, as evalexpr reads it, and the sign of
/// an exponent (`1e-3`).
fn word_length(rest: &str) -> usize {
    let plain = |text: &str| {
        let end = |c: char| c.is_whitespace() || "(),\"".contains(c) || is_operator(c);
        text.find(end).unwrap_or(text.len())
    };
    let length = plain(rest);
    let word = &rest[..length];
    let signed = word.ends_with(['e', 'E']) && rest[length..].starts_with(['+', '-']);
    if signed && word.parse::<f64>().is_err() {
        let exponent = plain(&rest[length + 1..]);
        if rest[..length + 1 + exponent].parse::<f64>().is_ok() {
            return length + 1 + exponent;
        }
    }
    length
}

/// Gives each piece its part in the sentence, or says where the sentence breaks.
fn order(text: &str, pieces: Vec<(Piece, Range<usize>)>) -> Result<Vec<Token>, Vec<ConditionError>> {
    let mut tokens: Vec<Token> = Vec::with_capacity(pieces.len());
    let mut open: Vec<(Range<usize>, bool)> = Vec::new();
    let mut prefixes = 0;
    let mut operators = 0;
    let fail = |span: Range<usize>, message: String, hint: &str| {
        let error = ConditionError::new(span, message);
        Err(vec![if hint.is_empty() { error } else { error.hint(hint) }])
    };
    for (index, (piece, span)) in pieces.iter().enumerate() {
        let word = &text[span.clone()];
        let after_value = tokens.last().is_some_and(|token| matches!(token.kind, Kind::Word | Kind::Close));
        let next = pieces.get(index + 1).map(|(piece, _)| *piece);
        let kind = match (piece, after_value) {
            (Piece::Word, true) => {
                return fail(
                    span.clone(),
                    format!("an operator is missing before `{word}`"),
                    joiner(text, &tokens, word),
                );
            }
            (Piece::Open, true) => return fail(span.clone(), "an operator is missing before `(`".into(), ""),
            (Piece::Word, false) if next == Some(Piece::Open) && !is_literal(word) => Kind::Function,
            (Piece::Word, false) => Kind::Word,
            (Piece::Open, false) => Kind::Open,
            (Piece::Minus | Piece::Bang, false) => Kind::Prefix,
            (Piece::Minus | Piece::Operator, true) => Kind::Infix,
            (Piece::Bang, true) => {
                return fail(span.clone(), "`!` stands before what it negates".into(), "write `!=` for different");
            }
            (Piece::Operator, false) => {
                let hint = if word == "+" { "leave the sign away" } else { "" };
                return fail(span.clone(), format!("`{word}` has no value on its left"), hint);
            }
            (Piece::Close | Piece::Comma, false) if !call_without_arguments(&tokens, *piece) => {
                return fail(span.clone(), format!("a value is missing before `{word}`"), "");
            }
            (Piece::Close, _) => match open.pop() {
                Some(_) => Kind::Close,
                None => return fail(span.clone(), "`)` closes nothing".into(), ""),
            },
            (Piece::Comma, _) if open.last().is_some_and(|(_, call)| *call) => Kind::Comma,
            (Piece::Comma, _) => {
                return fail(
                    span.clone(),
                    "`,` only separates arguments of a function".into(),
                    "write a decimal point as `.`",
                );
            }
        };
        if kind == Kind::Open {
            open.push((span.clone(), tokens.last().is_some_and(|token| token.kind == Kind::Function)));
        }
        prefixes = if kind == Kind::Prefix { prefixes + 1 } else { 0 };
        operators += usize::from(matches!(kind, Kind::Prefix | Kind::Infix));
        if open.len() + prefixes > DEPTH_MAX {
            let hint = "compute parts of it in `let`";
            return fail(span.clone(), format!("the condition is nested deeper than {DEPTH_MAX} levels"), hint);
        }
        if operators > OPERATORS_MAX {
            let hint = "compute parts of it in `let`";
            return fail(span.clone(), format!("the condition has more than {OPERATORS_MAX} operators"), hint);
        }
        tokens.push(Token { kind, span: span.clone() });
    }
    let last = tokens.last().expect("an empty text was refused");
    if !matches!(last.kind, Kind::Word | Kind::Close) {
        let message = format!("`{}` has no value on its right", &text[last.span.clone()]);
        return fail(last.span.clone(), message, "");
    }
    match open.pop() {
        Some((span, _)) => fail(span, "this `(` is not closed".into(), ""),
        None => Ok(tokens),
    }
}

/// What evalexpr takes for a number or a truth value rather than for a name.
fn is_literal(word: &str) -> bool {
    let hex = word.strip_prefix("0x").is_some_and(|digits| i64::from_str_radix(digits, 16).is_ok());
    hex || word.parse::<f64>().is_ok() || word.parse::<bool>().is_ok()
}

/// `f()`: its closing bracket needs no value before it; the number of arguments is judged later, by name.
fn call_without_arguments(tokens: &[Token], piece: Piece) -> bool {
    let [.., function, open] = tokens else { return false };
    piece == Piece::Close && open.kind == Kind::Open && function.kind == Kind::Function
}

/// What may have been meant by two values side by side.
fn joiner(text: &str, tokens: &[Token], word: &str) -> &'static str {
    let before = tokens.last().map_or("", |token| &text[token.span.clone()]);
    let is = |name: &str| word.eq_ignore_ascii_case(name) || before.eq_ignore_ascii_case(name);
    match () {
        () if is("and") => "write `&&` for and",
        () if is("or") => "write `||` for or",
        () if is("not") => "write `!` for not",
        () if is("is") => "write `==` to compare",
        () => "",
    }
}
