//! Whether each `{{if}}`, `{{range}}`, `{{with}}`, `{{define}}`, `{{block}}` has its `{{end}}`.
//!
//! gotmpl's parser stops at the first `{{end}}` too many and drops the rest of the template without a word, and takes a
//! missing one at the end of the text as given; Go refuses both. This scan runs before it, and bounds the depth: the
//! parser's own bound does not count `{{else if}}`, which nest as well.

use std::ops::Range;

/// Blocks within blocks, each `{{else if}}` counted as one.
pub(super) const DEPTH_MAX: usize = 50;

/// What is wrong with the blocks, and where.
pub(super) struct BlockError {
    pub span: Range<usize>,
    pub message: String,
    pub hint: &'static str,
}

struct Open<'a> {
    keyword: &'a str,
    span: Range<usize>,
    /// `{{else if}}` so far.
    chained: usize,
    /// The plain `{{else}}` was there.
    closed: bool,
}

pub(super) fn check(text: &str) -> Result<(), BlockError> {
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    while let Some(action) = next_action(text, at)? {
        let Action { span, keyword, second } = action;
        at = span.end;
        let fail = |message: String, hint: &'static str| Err(BlockError { span: span.clone(), message, hint });
        match keyword {
            "if" | "range" | "with" | "define" | "block" => {
                if keyword == "define" && !open.is_empty() {
                    return fail(
                        "a `{{define}}` must not stand within another block".into(),
                        "move it to the beginning",
                    );
                }
                open.push(Open { keyword, span: span.clone(), chained: 0, closed: false });
                if open.iter().map(|block| 1 + block.chained).sum::<usize>() > DEPTH_MAX {
                    return fail(format!("blocks are nested deeper than {DEPTH_MAX} levels"), "");
                }
            }
            "else" => match open.last_mut() {
                Some(block) if block.closed => return fail("a second `{{else}}` of the same block".into(), ""),
                Some(block) if matches!(block.keyword, "if" | "range" | "with") => {
                    block.chained += usize::from(!second.is_empty());
                    block.closed = second.is_empty();
                    if open.iter().map(|block| 1 + block.chained).sum::<usize>() > DEPTH_MAX {
                        return fail(format!("blocks are nested deeper than {DEPTH_MAX} levels"), "");
                    }
                }
                _ => return fail("this `{{else}}` belongs to no block".into(), ""),
            },
            "end" => match open.pop() {
                Some(_) => {}
                None => return fail("this `{{end}}` belongs to no block".into(), ""),
            },
            "break" | "continue" if !open.iter().any(|block| block.keyword == "range") => {
                return fail(format!("`{{{{{keyword}}}}}` stands outside of a `{{{{range}}}}`"), "");
            }
            _ => {}
        }
    }
    match open.pop() {
        Some(block) => {
            let message = format!("this `{{{{{}}}}}` has no `{{{{end}}}}`", block.keyword);
            Err(BlockError { span: block.span, message, hint: "close it with `{{end}}`" })
        }
        None => Ok(()),
    }
}

struct Action<'a> {
    span: Range<usize>,
    /// The first word; empty where the action does not begin with one.
    keyword: &'a str,
    second: &'a str,
}

/// The first action from `at` on.
fn next_action(text: &str, at: usize) -> Result<Option<Action<'_>>, BlockError> {
    let Some(start) = text[at..].find("{{").map(|offset| at + offset) else { return Ok(None) };
    let length = action_length(&text[start..]).map_err(|(offset, what)| {
        let span = start + offset..text.len().min(start + offset + 2);
        let span = if text.is_char_boundary(span.end) { span } else { start + offset..start + offset + 1 };
        BlockError { span, message: format!("this {what} is not closed"), hint: "" }
    })?;
    let inner = &text[start + 2..start + length - 2];
    let inner = inner.strip_prefix("- ").unwrap_or(inner).trim_start();
    let mut words = inner.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    let (keyword, second) = match inner.starts_with(char::is_alphabetic) {
        true => (words.next().unwrap_or_default(), words.next().unwrap_or_default()),
        false => ("", ""),
    };
    Ok(Some(Action { span: start..start + length, keyword, second }))
}

/// From `{{` to its `}}`, past strings and comments; or what is not closed, and where it begins.
fn action_length(text: &str) -> Result<usize, (usize, &'static str)> {
    let inner = text[2..].strip_prefix("- ").unwrap_or(&text[2..]).trim_start();
    if inner.starts_with("/*") {
        let close = inner.find("*/").and_then(|close| inner[close..].find("}}").map(|end| close + end + 2));
        return close.map(|end| text.len() - inner.len() + end).ok_or((0, "comment"));
    }
    let mut open: Option<(usize, char)> = None;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(2) {
        match open {
            Some(_) if escaped => escaped = false,
            Some((_, quote)) if c == '\\' && quote != '`' => escaped = true,
            Some((_, quote)) if c == quote => open = None,
            Some((begin, quote)) if c == '\n' && quote != '`' => return Err((begin, "string")),
            Some(_) => {}
            None if matches!(c, '"' | '\'' | '`') => open = Some((at, c)),
            None if text[at..].starts_with("}}") => return Ok(at + 2),
            None => {}
        }
    }
    Err(open.map_or((0, "action"), |(begin, _)| (begin, "string")))
}
