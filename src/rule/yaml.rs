//! YAML with a place for every key and value.
//!
//! serde-saphyr parses; what we keep is a plain tree ([`Node`]) with byte spans, and the readers in [`read`] turn the
//! tree into structs. Deserialising the structs directly would be shorter, but serde stops at the first mistake and
//! a person who fixes a file wants all of them. Scalars keep the text as written, so that `version: 1.10` stays
//! `1.10` where a string is wanted.
//!
//! - `Y1` a file larger than [`FILE_BYTES_MAX`], deeper than [`DEPTH_MAX`] or with more than [`NODES_MAX`] nodes after
//!   aliases are followed is refused by name before it costs memory

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{DuplicateKeyPolicy, Spanned};

use super::diagnostic::{Code, Diagnostics, FileId, Place, Span};

pub mod read;

/// Bytes of one file.
pub const FILE_BYTES_MAX: usize = 4 << 20;

/// Maps and lists within each other.
pub const DEPTH_MAX: usize = 32;

/// Keys and values of one file, aliases followed.
pub const NODES_MAX: usize = 250_000;

/// Aliases (`*name`) of one file.
pub const ALIASES_MAX: usize = 1_000;

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Of a map or list: where it begins. Of a scalar: all of it, quotes included.
    pub place: Place,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    /// Something that was noted already and has no meaning, such as a template without quotes.
    Broken,
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A single value, as written and as YAML understands it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    pub text: String,
    pub kind: ScalarKind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ScalarKind {
    Text,
    Bool(bool),
    Int(i128),
    Float(f64),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub name: String,
    pub place: Place,
}

impl Node {
    /// What it is, in words.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Broken => "something broken",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Scalar(scalar) => match scalar.kind {
                ScalarKind::Text => "text",
                ScalarKind::Bool(_) => "a boolean",
                ScalarKind::Int(_) | ScalarKind::Float(_) => "a number",
            },
        }
    }

    /// The value of `name`, where this is a map that has it.
    pub fn get(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node),
            _ => None,
        }
    }
}

/// Parses one file of `log`. Mistakes are noted there; `None` where nothing can be made of the file.
pub fn parse(file: FileId, log: &mut Diagnostics) -> Option<Node> {
    let text = log.file(file).text.clone();
    let start = Place { file, span: Span { start: 0, end: 0 } };
    if text.len() > FILE_BYTES_MAX {
        log.error(Code::Syntax, start, format!("the file has {} bytes; {FILE_BYTES_MAX} are allowed", text.len()))
            .hint("split it");
        return None;
    }
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(&text, options()) {
        Ok(Spanned { value: Raw::Null, .. }) => {
            log.error(Code::Syntax, start, "there is nothing in the file");
            None
        }
        Ok(raw) => Some(Builder { file, text: &text, log }.node(raw)),
        Err(error) => {
            note_syntax(error, start, &text, log);
            None
        }
    }
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_aliases: ALIASES_MAX,
            max_anchors: ALIASES_MAX,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: NODES_MAX, max_replay_stack_depth: 8, },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        with_snippet: false,
    }
}

fn note_syntax(error: serde_saphyr::Error, start: Place, text: &str, log: &mut Diagnostics) {
    let error = error.without_snippet();
    let place = Place { span: error.location().map_or(Span::default(), |at| spot(text, at)), ..start };
    if let serde_saphyr::Error::Budget { breach, .. } = error {
        let reason = match breach {
            BudgetBreach::Depth { .. } => format!("nested deeper than {DEPTH_MAX}"),
            BudgetBreach::Documents { .. } => "a second document (`---`); one file is one document".to_owned(),
            BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. } => format!("more than {NODES_MAX} values"),
            BudgetBreach::Aliases { .. } | BudgetBreach::Anchors { .. } | BudgetBreach::AliasAnchorRatio { .. } => {
                format!("more than {ALIASES_MAX} anchors or aliases, or too many aliases for few anchors")
            }
            other => format!("too large ({other:?})"),
        };
        log.error(Code::Syntax, place, format!("the file is out of bounds: {reason}"));
        return;
    }
    // The first line is the reason; the library repeats the position behind it, and the frame shows that already.
    let said = error.to_string();
    let reason = said.lines().next().unwrap_or("not valid YAML");
    let reason = reason.split(" at line ").next().unwrap_or(reason).trim_end_matches([':', ',', ' ']);
    let note = log.error(Code::Syntax, place, format!("not valid YAML: {reason}"));
    if reason.contains("tab") {
        note.hint("use spaces for indentation");
    } else if reason.contains("trailing content") {
        note.hint("put the whole value between double quotes");
    } else if reason.contains("mapping values") {
        note.hint("put quotes around a value that contains `: `");
    } else if text[place.span.start as usize..].starts_with(['*', '&', '%', '@', '`', '!']) {
        note.hint("put quotes around a value that begins with one of * & % @ ` !");
    }
}

/// The character an error is at.
fn spot(text: &str, at: serde_saphyr::Location) -> Span {
    let line = text.split_inclusive('\n').take((at.line() as usize).saturating_sub(1)).map(str::len).sum::<usize>();
    let rest = text[line..].lines().next().unwrap_or("");
    let mut chars = rest.char_indices().map(|(n, _)| n).skip((at.column() as usize).saturating_sub(1));
    let from = chars.next().unwrap_or(rest.len());
    let to = chars.next().unwrap_or(rest.len());
    Span { start: (line + from) as u32, end: (line + to) as u32 }
}

/// What serde sees: the shape, and for scalars only their type; texts come from the file by their place.
enum Raw {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Int(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Int(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

struct Builder<'a> {
    file: FileId,
    text: &'a str,
    log: &'a mut Diagnostics,
}

impl Builder<'_> {
    fn node(&mut self, raw: Spanned<Raw>) -> Node {
        let place = self.place(&raw);
        let written = |this: &Self| this.text[place.span.start as usize..place.span.end as usize].trim().to_owned();
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Bool(value) => Value::Scalar(Scalar { text: written(self), kind: ScalarKind::Bool(value) }),
            Raw::Int(value) => Value::Scalar(Scalar { text: written(self), kind: ScalarKind::Int(value) }),
            Raw::Float(value) => Value::Scalar(Scalar { text: written(self), kind: ScalarKind::Float(value) }),
            Raw::Text(text) => Value::Scalar(Scalar { text, kind: ScalarKind::Text }),
            Raw::List(items) => Value::List(self.items(items)),
            Raw::Map(entries) => self.entries(entries).map_or(Value::Broken, Value::Map),
        };
        Node { place, value }
    }

    fn items(&mut self, items: Vec<Spanned<Raw>>) -> Vec<Node> {
        let mut out: Vec<Node> = Vec::with_capacity(items.len());
        let mut open = 0;
        for item in items {
            let item = self.node(item);
            let here = match &item.value {
                Value::Scalar(scalar) if scalar.kind == ScalarKind::Text => brackets(&scalar.text),
                _ => 0,
            };
            let quoted = self.log.text(item.place).starts_with(['"', '\'']);
            if open > 0 && here < 0 && !quoted {
                open += here;
                if let Some(cut) = out.last_mut() {
                    self.cut_by_comma(cut, item.place.span.end, "[ … ]");
                }
                continue;
            }
            open = if quoted { 0 } else { here };
            out.push(item);
        }
        out
    }

    /// Notes that a value goes on behind a comma, up to `end`.
    fn cut_by_comma(&mut self, cut: &mut Node, end: u32, inside: &str) {
        if cut.value == Value::Broken {
            return;
        }
        cut.value = Value::Broken;
        let whole = Place { span: Span { start: cut.place.span.start, end }, ..cut.place };
        self.log
            .error(Code::WrongShape, whole, format!("the comma ends this value, inside `{inside}`"))
            .hint("put quotes around the value, or write each on a line of its own");
    }

    fn entries(&mut self, entries: Vec<(Spanned<Raw>, Spanned<Raw>)>) -> Option<Vec<(Key, Node)>> {
        let mut out: Vec<(Key, Node)> = Vec::with_capacity(entries.len());
        // How many brackets the latest value leaves open, where a comma has cut it short.
        let mut open = 0;
        for (key, value) in entries {
            let key = self.node(key);
            let value = self.node(value);
            if open > 0 && value.value == Value::Null {
                open -= brackets(&self.text[key.place.span.start as usize..key.place.span.end as usize]).abs();
                if let Some((_, cut)) = out.last_mut() {
                    self.cut_by_comma(cut, key.place.span.end, "{ … }");
                }
                continue;
            }
            open = match &value.value {
                Value::Scalar(scalar) => brackets(&scalar.text),
                _ => 0,
            };
            let Value::Scalar(Scalar { text: name, .. }) = key.value else {
                let note =
                    self.log.error(Code::WrongShape, key.place, format!("a key must be a word, not {}", key.kind()));
                if matches!(key.value, Value::Map(_)) {
                    note.hint("put quotes around a template: \"{{ … }}\"");
                    return None;
                }
                continue;
            };
            if let Some((first, _)) = out.iter().find(|(earlier, _)| earlier.name == name) {
                let first = first.place;
                self.log
                    .error(Code::DuplicateKey, key.place, format!("`{name}` is given twice"))
                    .label("again here")
                    .related(first, "first here");
                continue;
            }
            out.push((Key { name, place: key.place }, value));
        }
        Some(out)
    }

    /// The bytes where a value is written. For an alias that is where its anchor stands: the text to fix is there.
    fn place<T>(&self, raw: &Spanned<T>) -> Place {
        let span = raw.defined.span();
        let start = (span.byte_offset().unwrap_or(0) as usize).min(self.text.len());
        let end = (start + span.byte_len().unwrap_or(0) as usize).min(self.text.len());
        let text = self.text.get(start..end).unwrap_or("");
        let end = start + text.trim_end().len();
        let start = if self.text.is_char_boundary(start) { start } else { 0 };
        Place { file: self.file, span: Span { start: start as u32, end: end.max(start) as u32 } }
    }
}

/// Opening brackets without closing ones; below zero the other way round.
fn brackets(text: &str) -> i32 {
    text.chars().map(|c| i32::from(c == '(') - i32::from(c == ')')).sum()
}

/// A map's or list's first character, where a caret says "here" without covering it all.
pub fn start(place: Place) -> Place {
    Place { span: Span { start: place.span.start, end: place.span.start }, ..place }
}

/// The place of some bytes of a scalar's value, for values that are little languages themselves.
///
/// A plain or simply quoted value stands in the file as it is. Escapes, folded lines and block scalars differ from
/// their value, so value and text are walked side by side; where that fails, the whole scalar is meant.
pub fn inside(log: &Diagnostics, place: Place, value: &str, part: Range<usize>) -> Place {
    let written = log.text(place);
    let Some(map) = align(written, value) else { return place };
    let (Some(start), Some(last)) = (map.get(part.start), map.get(part.end.max(part.start + 1) - 1)) else {
        return match map.last() {
            // Past the end, as "unexpected end" is: point behind the last character.
            Some(last) => at(place, last.end..last.end),
            None => place,
        };
    };
    at(place, start.start..last.end.max(start.start))
}

fn at(place: Place, range: Range<usize>) -> Place {
    let start = place.span.start + range.start as u32;
    Place { span: Span { start, end: place.span.start + range.end as u32 }, ..place }
}

/// For each byte of `value`, the bytes of `written` its character comes from.
fn align(written: &str, value: &str) -> Option<Vec<Range<usize>>> {
    let mut map = Vec::with_capacity(value.len());
    // A block scalar's place begins behind its header.
    let quoted = written.len() > 1 && (written.starts_with('"') || written.starts_with('\''));
    let mut from = usize::from(quoted && written.ends_with(&written[..1]));
    for c in value.chars() {
        let found = match c {
            // A line break of the value may be one in the file, an escape, or (the final one) nothing.
            _ if c.is_whitespace() => {
                let rest = &written[from..];
                let blank = rest.len() - rest.trim_start().len();
                if blank > 0 && !rest.starts_with(c) {
                    from..from + blank
                } else if rest.starts_with(c) {
                    from..from + c.len_utf8()
                } else if rest.starts_with("\\n") || rest.starts_with("\\t") {
                    from..from + 2
                } else {
                    from..from
                }
            }
            _ => {
                let skipped = written[from..].find(|s: char| s == c && !s.is_whitespace())?;
                let passed = &written[from..from + skipped];
                if !passed.chars().all(|s| s.is_whitespace() || s == '\\' || s == '\'') {
                    return None;
                }
                from + skipped..from + skipped + c.len_utf8()
            }
        };
        from = found.end;
        map.extend(std::iter::repeat_n(found, c.len_utf8()));
    }
    Some(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    /// Prints each scalar with its place, or what is wrong with the file.
    fn check(text: &str, expect: Expect) {
        let mut log = Diagnostics::new();
        let file = log.add_file("x.yaml", text);
        let mut out = String::new();
        if let Some(node) = parse(file, &mut log) {
            print(&node, "", &log, &mut out);
        }
        for found in log.sorted() {
            let place = found.place.map(|p| log.file(p.file).line_column(p.span.start));
            out.push_str(&format!("{place:?} {}\n", found.message));
        }
        expect.assert_eq(&out);
    }

    fn print(node: &Node, path: &str, log: &Diagnostics, out: &mut String) {
        match &node.value {
            Value::Map(entries) => {
                for (key, value) in entries {
                    assert!(log.text(key.place).contains(&key.name));
                    print(value, &format!("{path}.{}", key.name), log, out);
                }
            }
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    print(item, &format!("{path}[{index}]"), log, out);
                }
            }
            Value::Null | Value::Broken => out.push_str(&format!("{path:?} {:?}\n", node.value)),
            Value::Scalar(scalar) => {
                let (line, column) = log.file(node.place.file).line_column(node.place.span.start);
                let text = log.text(node.place);
                out.push_str(&format!("{path} {}:{} {:?} {:?} = {text:?}\n", line, column, scalar.kind, scalar.text));
            }
        }
    }

    #[test]
    fn every_scalar_knows_where_and_how_it_was_written() {
        check(
            "a: 5m\nb: 1.10\nc: \"é \\\"x\\\"\"\nd: 'it''s'\ne: [yes, true, ~]\nf: |\n  one\n  two\ng: >-\n  three\n  four\nh: plain\n  folded\ni: &x {k: 1}\nj: *x\nk:\n  <<: *x\n  l: 0x10\n",
            expect![[r#"
                .a 1:4 Text "5m" = "5m"
                .b 2:4 Float(1.1) "1.10" = "1.10"
                .c 3:4 Text "é \"x\"" = "\"é \\\"x\\\"\""
                .d 4:4 Text "it's" = "'it''s'"
                .e[0] 5:5 Text "yes" = "yes"
                .e[1] 5:10 Bool(true) "true" = "true"
                ".e[2]" Null
                .f 7:3 Text "one\ntwo\n" = "one\n  two"
                .g 10:3 Text "three four" = "three\n  four"
                .h 12:4 Text "plain folded" = "plain\n  folded"
                .i.k 14:11 Int(1) "1" = "1"
                .j.k 14:11 Int(1) "1" = "1"
                .k.l 18:6 Int(16) "0x10" = "0x10"
                .k.k 14:11 Int(1) "1" = "1"
            "#]],
        );
    }

    #[test]
    fn what_is_no_yaml_is_said_with_its_place() {
        check(
            "a: b: c\n",
            expect![[r#"
                Some((1, 5)) not valid YAML: mapping values are not allowed in this context
            "#]],
        );
        check(
            "a:\n\t- b\n",
            expect![[r#"
                Some((2, 2)) not valid YAML: tabs disallowed within this context (block indentation)
            "#]],
        );
        check(
            "a: *nope\n",
            expect![[r#"
                Some((1, 4)) not valid YAML: alias references unknown anchor
            "#]],
        );
        check(
            "a: 1\na: 2\n",
            expect![[r#"
            .a 1:4 Int(1) "1" = "1"
            Some((2, 1)) `a` is given twice
        "#]],
        );
        check(
            "[1]: 2\n",
            expect![[r#"
            Some((1, 1)) a key must be a word, not a list
        "#]],
        );
        check(
            "a: 1\n---\nb: 2\n",
            expect![[r#"
                Some((2, 1)) the file is out of bounds: a second document (`---`); one file is one document
            "#]],
        );
        check(
            "",
            expect![[r#"
                Some((1, 1)) there is nothing in the file
            "#]],
        );
        check(
            &"[".repeat(100),
            expect![[r#"
                Some((1, 100)) not valid YAML: unclosed bracket '['
            "#]],
        );
        check(
            "a: &a [x, x, x]\nb: &b [*a, *a, *a]\nc: {{ x }}\n",
            expect![[r#"
                .a[0] 1:8 Text "x" = "x"
                .a[1] 1:11 Text "x" = "x"
                .a[2] 1:14 Text "x" = "x"
                .b[0][0] 1:8 Text "x" = "x"
                .b[0][1] 1:11 Text "x" = "x"
                .b[0][2] 1:14 Text "x" = "x"
                .b[1][0] 1:8 Text "x" = "x"
                .b[1][1] 1:11 Text "x" = "x"
                .b[1][2] 1:14 Text "x" = "x"
                .b[2][0] 1:8 Text "x" = "x"
                .b[2][1] 1:11 Text "x" = "x"
                .b[2][2] 1:14 Text "x" = "x"
                ".c" Broken
                Some((3, 5)) a key must be a word, not a map
            "#]],
        );
    }

    #[test]
    fn a_part_of_a_value_is_found_in_the_file() {
        let find = |text: &str, part: &str| {
            let mut log = Diagnostics::new();
            let file = log.add_file("x.yaml", text);
            let node = parse(file, &mut log).expect("valid");
            let node = node.get("a").expect("has a");
            let Value::Scalar(scalar) = &node.value else { panic!("a scalar") };
            let start = scalar.text.find(part).expect("is in the value");
            let place = inside(&log, node.place, &scalar.text, start..start + part.len());
            assert_eq!(log.text(place), part, "{text}");
        };
        find("a: p99 > 800 && x\n", "800");
        find("a: \"p99 > \\\"800\\\" && x\"\n", "&&");
        find("a: 'it''s é > 800'\n", "800");
        find("a: |\n    one > 2\n    && two\n", "two");
        find("a: >-\n    one > 2\n    && two\n", "two");
        find("a: one > 2\n   && two\n", "&&");
    }
}
