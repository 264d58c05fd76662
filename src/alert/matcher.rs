//! Label matchers in Alertmanager's syntax: `severity="critical"`, `team!=db`, `service=~"cart|pay.*"`, `env!~"dev.*"`.
//!
//! The grammar is small, tolerant and peculiar (bare values, a lone backslash that stands for itself), and it is what
//! people's files hold, so it is written out here and tested form by form. A label that is absent counts as empty.
//! Regular expressions are anchored at both ends.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::model::Labels;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchOp {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

impl MatchOp {
    pub const fn text(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// Why a text is not a matcher.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MatcherError {
    #[error("empty matcher; write `name=\"value\"`")]
    Empty,
    #[error("`{0}` does not start with a label name; write `name=\"value\"`")]
    Name(String),
    #[error("`{0}` has no operator after the label name; use one of =, !=, =~, !~")]
    Operator(String),
    #[error("unescaped double quote in `{0}`; write \\\" inside a quoted value")]
    Quote(String),
    #[error("`{0}` has a quoted value that does not end; add the closing double quote")]
    Unclosed(String),
    #[error("bad regular expression `{text}` for label `{name}`")]
    Regex {
        name: Arc<str>,
        text: Arc<str>,
        #[source]
        cause: regex::Error,
    },
}

/// One condition on one label.
#[derive(Clone, Debug)]
pub struct Matcher {
    name: Arc<str>,
    value: Arc<str>,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Equal,
    NotEqual,
    Regex(Regex),
    NotRegex(Regex),
}

impl Matcher {
    pub fn new(name: impl Into<Arc<str>>, op: MatchOp, value: impl Into<Arc<str>>) -> Result<Matcher, MatcherError> {
        let (name, value) = (name.into(), value.into());
        let anchored = || {
            Regex::new(&format!("^(?:{value})$")).map_err(|cause| MatcherError::Regex {
                name: name.clone(),
                text: value.clone(),
                cause,
            })
        };
        let test = match op {
            MatchOp::Equal => Test::Equal,
            MatchOp::NotEqual => Test::NotEqual,
            MatchOp::Regex => Test::Regex(anchored()?),
            MatchOp::NotRegex => Test::NotRegex(anchored()?),
        };
        Ok(Matcher { name, value, test })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn op(&self) -> MatchOp {
        match self.test {
            Test::Equal => MatchOp::Equal,
            Test::NotEqual => MatchOp::NotEqual,
            Test::Regex(_) => MatchOp::Regex,
            Test::NotRegex(_) => MatchOp::NotRegex,
        }
    }

    pub fn value(&self) -> &str {
        &self.value
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        let found = labels.get(&self.name).unwrap_or("");
        match &self.test {
            Test::Equal => found == &*self.value,
            Test::NotEqual => found != &*self.value,
            Test::Regex(regex) => regex.is_match(found),
            Test::NotRegex(regex) => !regex.is_match(found),
        }
    }

    /// Several matchers with commas between, in braces or without: `{a="b", c=~"d|e"}`.
    pub fn parse_list(text: &str) -> Result<Vec<Matcher>, MatcherError> {
        let trimmed = text.trim();
        let inner = trimmed.strip_prefix('{').unwrap_or(trimmed);
        let inner = inner.strip_suffix('}').unwrap_or(inner);
        let mut parts = split_outside_quotes(inner);
        if parts.last().is_some_and(|last| last.trim().is_empty()) {
            parts.pop();
        }
        parts.into_iter().map(str::parse).collect()
    }

    fn order(&self) -> (&str, &str, MatchOp) {
        (&self.name, &self.value, self.op())
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Matcher {}

impl PartialOrd for Matcher {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// By name, value, operator: the order in which a route's key names its matchers.
impl Ord for Matcher {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

/// `name="value"`, the value always quoted; the name only where it is no plain label name.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.chars().all(is_name_char) && !self.name.starts_with(|c: char| c.is_ascii_digit()) {
            true => f.write_str(&self.name)?,
            false => write_quoted(f, &self.name)?,
        }
        f.write_str(self.op().text())?;
        write_quoted(f, &self.value)
    }
}

/// As it is written.
impl Serialize for Matcher {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Matcher {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '\\' => f.write_str("\\\\")?,
            '"' => f.write_str("\\\"")?,
            '\n' => f.write_str("\\n")?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

/// One matcher. The value may stand bare or in double quotes, with `\"`, `\\` and `\n`; any other backslash is itself.
impl FromStr for Matcher {
    type Err = MatcherError;

    fn from_str(text: &str) -> Result<Matcher, MatcherError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(MatcherError::Empty);
        }
        let (name, rest) = match text.strip_prefix('"') {
            Some(quoted) => {
                let end = closing_quote(quoted).ok_or_else(|| MatcherError::Unclosed(text.to_owned()))?;
                (unescape(&quoted[..end]), &quoted[end + 1..])
            }
            None => {
                let end = text.find(|c| !is_name_char(c)).unwrap_or(text.len());
                (text[..end].to_owned(), &text[end..])
            }
        };
        if name.is_empty() || (!text.starts_with('"') && name.starts_with(|c: char| c.is_ascii_digit())) {
            return Err(MatcherError::Name(text.to_owned()));
        }
        let rest = rest.trim_start();
        // The two-character operators first: `=` alone would leave the `~` to the value.
        let ops = [MatchOp::Regex, MatchOp::NotRegex, MatchOp::NotEqual, MatchOp::Equal];
        let (op, value) = ops
            .into_iter()
            .find_map(|op| rest.strip_prefix(op.text()).map(|value| (op, value.trim())))
            .ok_or_else(|| MatcherError::Operator(text.to_owned()))?;
        let value = match value.strip_prefix('"') {
            Some(quoted) => match closing_quote(quoted) {
                None => return Err(MatcherError::Unclosed(text.to_owned())),
                Some(end) if end + 1 < quoted.len() => return Err(MatcherError::Quote(text.to_owned())),
                Some(end) => unescape(&quoted[..end]),
            },
            None if closing_quote(value).is_some() => return Err(MatcherError::Quote(text.to_owned())),
            None => unescape(value),
        };
        Matcher::new(name, op, value)
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Where the first unescaped double quote stands.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return Some(at),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let known = match (c, chars.peek()) {
            ('\\', Some('n')) => Some('\n'),
            ('\\', Some(&next @ ('"' | '\\'))) => Some(next),
            _ => None,
        };
        match known {
            Some(meant) => {
                chars.next();
                out.push(meant);
            }
            None => out.push(c),
        }
    }
    out
}

fn split_outside_quotes(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            ',' if !quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `text` as it is understood, then for each label value (of label `a`) whether it matches.
    fn check(text: &str, expect: &str) {
        let got = match Matcher::parse_list(text) {
            Err(error) => format!("error: {error}"),
            Ok(list) => {
                let shown: Vec<String> = list.iter().map(Matcher::to_string).collect();
                let hits: Vec<&str> = ["", "b", "bc", "x,y", "q\"q"]
                    .into_iter()
                    .filter(|value| {
                        let labels = Labels::from_pairs([("a", *value)]);
                        list.iter().all(|matcher| matcher.matches(&labels))
                    })
                    .collect();
                format!("{} → {hits:?}", shown.join(" and "))
            }
        };
        assert_eq!(got, expect, "{text}");
    }

    #[test]
    fn every_operator_and_what_absence_means_to_it() {
        check(r#"a="b""#, r#"a="b" → ["b"]"#);
        check("a=b", r#"a="b" → ["b"]"#);
        check(r#"a!="b""#, r#"a!="b" → ["", "bc", "x,y", "q\"q"]"#);
        check(r#"a=~"b|x""#, r#"a=~"b|x" → ["b"]"#);
        check(r#"a=~"b.*""#, r#"a=~"b.*" → ["b", "bc"]"#);
        check(r#"a!~"b.*""#, r#"a!~"b.*" → ["", "x,y", "q\"q"]"#);
        check(r#"a="""#, r#"a="" → [""]"#);
        check("a=", r#"a="" → [""]"#);
        check("a=~.+", r#"a=~".+" → ["b", "bc", "x,y", "q\"q"]"#);
    }

    #[test]
    fn lists_braces_quotes_and_escapes() {
        check(r#"{a=~"b.*", a!=bc,}"#, r#"a=~"b.*" and a!="bc" → ["b"]"#);
        check("{}", r#" → ["", "b", "bc", "x,y", "q\"q"]"#);
        check(r#"a="x,y""#, r#"a="x,y" → ["x,y"]"#);
        check(r#"a="q\"q""#, r#"a="q\"q" → ["q\"q"]"#);
        check(r#" a  =~  "b\\w" "#, r#"a=~"b\\w" → ["bc"]"#);
        check(r#"a=~"b\w""#, r#"a=~"b\\w" → ["bc"]"#);
        check(r#""service.name"="cart""#, r#""service.name"="cart" → []"#);
        check(r#""2xx"="cart""#, r#""2xx"="cart" → []"#);
        check("a=\"x\\ny\"", r#"a="x\ny" → []"#);
    }

    #[test]
    fn what_is_wrong_is_named() {
        check("{a=b,,}", "error: empty matcher; write `name=\"value\"`");
        check("a", "error: `a` has no operator after the label name; use one of =, !=, =~, !~");
        check("=b", "error: `=b` does not start with a label name; write `name=\"value\"`");
        check("1a=b", "error: `1a=b` does not start with a label name; write `name=\"value\"`");
        check(r#"a=q"q"#, "error: unescaped double quote in `a=q\"q`; write \\\" inside a quoted value");
        check(r#"a="q"q""#, "error: unescaped double quote in `a=\"q\"q\"`; write \\\" inside a quoted value");
        check(r#"a="q"#, "error: `a=\"q` has a quoted value that does not end; add the closing double quote");
        check("a=~(", "error: bad regular expression `(` for label `a`");
    }
}
