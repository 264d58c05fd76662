//! What is wrong with a file, said to the person who wrote it.
//!
//! A stage that reads files never stops at the first mistake: it notes a [`Diagnostic`] and goes on, and the caller
//! shows them all, sorted by file and place. That is why this is a list that is handed around and not an error type
//! with `?`. Each has a place (file and bytes), a reason, and where possible a hint that says what to write instead.
//!
//! - `G1` a place always lies within its file's text, on character boundaries
//! - `G2` the order shown does not depend on the order found: file, then place, then code

use std::fmt::Write as _;
use std::sync::Arc;

use serde::Serialize;

use super::suggest;

mod render;

/// A file that is being read, by its number in [`Diagnostics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u32);

/// Bytes of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

/// Bytes of one of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub file: FileId,
    pub span: Span,
}

/// A file's name as the user gave it, and its text.
#[derive(Clone, Debug)]
pub struct SourceFile {
    pub name: Arc<str>,
    pub text: Arc<str>,
    /// Where each line begins.
    lines: Vec<u32>,
}

impl SourceFile {
    fn new(name: Arc<str>, text: Arc<str>) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(breaks.map(|(at, _)| at as u32 + 1)).collect();
        SourceFile { name, text, lines }
    }

    /// 1-based line and column (in characters) of a byte.
    pub fn line_column(&self, byte: u32) -> (u32, u32) {
        let line = self.lines.partition_point(|start| *start <= byte);
        let start = self.lines[line - 1];
        (line as u32, self.text[start as usize..byte as usize].chars().count() as u32 + 1)
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// It can, but probably does not do what was meant.
    Warning,
}

macro_rules! codes {
    ($( $variant:ident, $name:literal, $text:literal; )*) => {
        /// The kind of a mistake. A closed list: names are stable, so that tools can filter by them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $( #[doc = $text] $variant, )*
        }

        impl Code {
            pub const ALL: &'static [Code] = &[$( Code::$variant, )*];

            /// The stable name.
            pub const fn name(self) -> &'static str {
                match self { $( Code::$variant => $name, )* }
            }

            /// What it means, for people.
            pub const fn text(self) -> &'static str {
                match self { $( Code::$variant => $text, )* }
            }
        }
    };
}

codes! {
    Unreadable, "unreadable", "a file cannot be read";
    Syntax, "syntax", "the file is not valid YAML, or is too large or too deep";
    UnknownKey, "unknown_key", "a key that this place does not have";
    DuplicateKey, "duplicate_key", "a key is given twice";
    MissingKey, "missing_key", "a key that must be given is not";
    WrongShape, "wrong_shape", "a map, a list or a single value was expected and something else found";
    BadValue, "bad_value", "a value that cannot be used here";
    BadDuration, "bad_duration", "a length of time that cannot be read, or out of range";
    BadName, "bad_name", "a name with characters it cannot have, or a reserved one";
    DuplicateName, "duplicate_name", "two things of one kind with the same name";
    Unused, "unused", "something is declared that nothing uses";
    LiteralSecret, "literal_secret", "a secret stands in the file itself";
    UnknownStream, "unknown_stream", "a rule reads a stream that is not declared";
    BadStream, "bad_stream", "a stream's declaration cannot work";
    BadExpression, "bad_expression", "a `where`, `by` or `let` expression that cannot be compiled";
    BadCondition, "bad_condition", "a `when` that cannot be compiled";
    WindowNotMultiple, "window_not_multiple", "a window, or an offset, that is not a multiple of the step";
    BadTemplate, "bad_template", "a template that cannot render";
    LabelNotStable, "label_not_stable", "a label that depends on values: an alert's identity must not";
    NoCondition, "no_condition", "a rule with neither `when` nor `absent`";
    UnknownReceiver, "unknown_receiver", "a route leads to a receiver that is not declared";
    BadMatcher, "bad_matcher", "a matcher that cannot be read";
    NoRules, "no_rules", "there is nothing to check";
}

/// Another place that belongs to the story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    pub place: Place,
    pub message: String,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub code: Code,
    /// Where; `None` only where there is no text to point at (a file that cannot be opened).
    pub place: Option<Place>,
    /// One sentence, lower case, no full stop: the value, what is wrong with it.
    pub message: String,
    /// A few words beside the caret.
    pub label: Option<String>,
    /// What to write instead.
    pub hint: Option<String>,
    pub related: Vec<Related>,
}

impl Diagnostic {
    pub fn label(&mut self, text: impl Into<String>) -> &mut Self {
        self.label = Some(text.into());
        self
    }

    pub fn hint(&mut self, text: impl Into<String>) -> &mut Self {
        self.hint = Some(text.into());
        self
    }

    pub fn related(&mut self, place: Place, message: impl Into<String>) -> &mut Self {
        self.related.push(Related { place, message: message.into() });
        self
    }
}

/// The files that were read and everything that is wrong with them.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    files: Vec<SourceFile>,
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    pub fn new() -> Self {
        Diagnostics::default()
    }

    /// Makes a file known, so that places can refer to it.
    pub fn add_file(&mut self, name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> FileId {
        self.files.push(SourceFile::new(name.into(), text.into()));
        FileId(self.files.len() as u32 - 1)
    }

    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// The files themselves, in the order in which they were read.
    pub fn sources(&self) -> &[SourceFile] {
        &self.files
    }

    /// The text a place covers.
    pub fn text(&self, place: Place) -> &str {
        &self.file(place.file).text[place.span.start as usize..place.span.end as usize]
    }

    /// 1-based line of a place's start.
    pub fn line(&self, place: Place) -> u32 {
        self.file(place.file).line_column(place.span.start).0
    }

    /// Blots out what stands at `place`, for every later report: reports go to terminals and logs, secrets must not.
    /// Lengths and lines stay.
    pub fn redact(&mut self, place: Place) {
        let file = &mut self.files[place.file.0 as usize];
        let blot = |(at, byte): (usize, u8)| {
            let inside = (place.span.start as usize..place.span.end as usize).contains(&at);
            if inside && byte != b'\n' { b'*' } else { byte }
        };
        let blotted: Vec<u8> = file.text.bytes().enumerate().map(blot).collect();
        file.text = String::from_utf8(blotted).expect("a place lies on character boundaries (G1)").into();
    }

    pub fn error(&mut self, code: Code, place: Place, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Error, code, Some(place), message.into())
    }

    pub fn warning(&mut self, code: Code, place: Place, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Warning, code, Some(place), message.into())
    }

    /// A mistake without a text to point at.
    pub fn error_nowhere(&mut self, code: Code, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Error, code, None, message.into())
    }

    fn push(&mut self, severity: Severity, code: Code, place: Option<Place>, message: String) -> &mut Diagnostic {
        self.list.push(Diagnostic { severity, code, place, message, label: None, hint: None, related: Vec::new() });
        self.list.last_mut().expect("just pushed")
    }

    pub fn errors(&self) -> usize {
        self.list.iter().filter(|d| d.severity == Severity::Error).count()
    }

    pub fn warnings(&self) -> usize {
        self.list.len() - self.errors()
    }

    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// Everything found, in the order of `G2`. What was said twice (an alias used twice) stands once.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut list: Vec<&Diagnostic> = self.list.iter().collect();
        let key = |d: &Diagnostic| (d.place.map(|p| (&*self.file(p.file).name, p.span.start)), d.code);
        list.sort_by(|a, b| key(a).cmp(&key(b)));
        list.dedup();
        list
    }

    /// `3 errors, 1 warning`, or `no errors`.
    pub fn summary(&self) -> String {
        let sorted = self.sorted();
        let errors = sorted.iter().filter(|d| d.severity == Severity::Error).count();
        let warnings = sorted.len() - errors;
        let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        let mut out = if errors == 0 { "no errors".to_owned() } else { count(errors, "error") };
        if warnings > 0 {
            write!(out, ", {}", count(warnings, "warning")).expect("writing to a string");
        }
        out
    }
}

/// ``did you mean `service`?``, or the list of what there is.
pub fn suggest(word: &str, known: &[&str], kind: &str) -> String {
    suggest::hint(word, known.iter().copied(), kind).unwrap_or_else(|| format!("there are no {kind} here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_summary_do_not_depend_on_the_order_found() {
        let mut log = Diagnostics::new();
        let file = log.add_file("a.yaml", "one\ntwo\n");
        let at = |start, end| Place { file, span: Span { start, end } };
        log.warning(Code::Unused, at(4, 7), "second");
        log.error(Code::BadName, at(0, 3), "first");
        log.error(Code::BadName, at(0, 3), "first");
        let found: Vec<&str> = log.sorted().iter().map(|d| d.message.as_str()).collect();
        assert_eq!(found, ["first", "second"]);
        assert_eq!(log.summary(), "1 error, 1 warning");
        assert_eq!(log.file(file).line_column(5), (2, 2));
    }
}
