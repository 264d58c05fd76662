//! Diagnostics as a report for people (miette draws the frames) and as JSON for editors and CI.

use std::fmt;
use std::sync::Arc;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceSpan, ThemeStyles};
use serde::Serialize;

use super::{Diagnostic, Diagnostics, Place, Severity, Span};

/// Columns a report is wrapped at.
const WIDTH: usize = 120;

impl Diagnostics {
    /// All mistakes with their lines and carets, and one line of summary. No colours unless asked for.
    pub fn render(&self, colours: bool) -> String {
        let mut theme = GraphicalTheme::unicode_nocolor();
        if colours {
            theme.styles = ThemeStyles::ansi();
        }
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(WIDTH)
            .with_context_lines(1)
            .with_wrap_lines(true)
            .with_break_words(false)
            .without_syntax_highlighting()
            .with_links(false);
        let mut out = String::new();
        for diagnostic in self.sorted() {
            handler.render_report(&mut out, &Report::new(self, diagnostic)).expect("writing to a string");
            out.push('\n');
        }
        out.push_str(&self.summary());
        out.push('\n');
        out
    }

    /// The same for machines: one object with counts and a list.
    pub fn to_json(&self) -> serde_json::Value {
        let list: Vec<JsonDiagnostic> = self.sorted().into_iter().map(|d| JsonDiagnostic::new(self, d)).collect();
        let errors = list.iter().filter(|d| d.severity == Severity::Error).count();
        serde_json::json!({ "errors": errors, "warnings": list.len() - errors, "diagnostics": list })
    }
}

/// One diagnostic in miette's terms.
#[derive(Debug)]
struct Report<'a> {
    diagnostic: &'a Diagnostic,
    source: Option<NamedSource<Arc<str>>>,
    labels: Vec<LabeledSpan>,
    elsewhere: Vec<Elsewhere<'a>>,
}

impl<'a> Report<'a> {
    fn new(all: &'a Diagnostics, diagnostic: &'a Diagnostic) -> Self {
        let Some(place) = diagnostic.place else {
            return Report { diagnostic, source: None, labels: Vec::new(), elsewhere: Vec::new() };
        };
        let (near, far): (Vec<_>, Vec<_>) = diagnostic.related.iter().partition(|r| r.place.file == place.file);
        let mut labels = vec![LabeledSpan::new_primary_with_span(diagnostic.label.clone(), visible(all, place))];
        labels.extend(near.iter().map(|r| LabeledSpan::new_with_span(Some(r.message.clone()), visible(all, r.place))));
        let elsewhere = far
            .iter()
            .map(|r| Elsewhere {
                message: &r.message,
                source: source(all, r.place),
                label: LabeledSpan::new_with_span(None, visible(all, r.place)),
            })
            .collect();
        Report { diagnostic, source: Some(source(all, place)), labels, elsewhere }
    }
}

fn source(all: &Diagnostics, place: Place) -> NamedSource<Arc<str>> {
    let file = all.file(place.file);
    NamedSource::new(&*file.name, file.text.clone())
}

/// A span a caret can be drawn under: the first line of it only, so that a frame never shows a whole rule.
fn visible(all: &Diagnostics, place: Place) -> SourceSpan {
    let text = all.text(place);
    let first = text.lines().next().unwrap_or("").trim_end();
    (place.span.start as usize, first.len()).into()
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn code<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        let severity = match self.diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        Some(Box::new(format!("{severity}: {}", self.diagnostic.code.name())))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.diagnostic.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.source.as_ref().map(|source| source as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn related<'b>(&'b self) -> Option<Box<dyn Iterator<Item = &'b dyn miette::Diagnostic> + 'b>> {
        if self.elsewhere.is_empty() {
            return None;
        }
        Some(Box::new(self.elsewhere.iter().map(|e| e as &dyn miette::Diagnostic)))
    }
}

/// A related place in another file.
#[derive(Debug)]
struct Elsewhere<'a> {
    message: &'a str,
    source: NamedSource<Arc<str>>,
    label: LabeledSpan,
}

impl fmt::Display for Elsewhere<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message)
    }
}

impl std::error::Error for Elsewhere<'_> {}

impl miette::Diagnostic for Elsewhere<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(miette::Severity::Advice)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(self.label.clone())))
    }
}

/// A diagnostic as `check --json` prints it. Lines and columns are 1-based, columns count characters, ends exclude.
#[derive(Serialize)]
struct JsonDiagnostic<'a> {
    severity: Severity,
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(flatten)]
    place: Option<JsonPlace<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related: Vec<JsonRelated<'a>>,
}

#[derive(Serialize)]
struct JsonPlace<'a> {
    file: &'a str,
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
}

#[derive(Serialize)]
struct JsonRelated<'a> {
    message: &'a str,
    #[serde(flatten)]
    place: JsonPlace<'a>,
}

impl<'a> JsonDiagnostic<'a> {
    fn new(all: &'a Diagnostics, diagnostic: &'a Diagnostic) -> Self {
        let related = diagnostic
            .related
            .iter()
            .map(|related| JsonRelated { message: &related.message, place: JsonPlace::new(all, related.place) })
            .collect();
        JsonDiagnostic {
            severity: diagnostic.severity,
            code: diagnostic.code.name(),
            message: &diagnostic.message,
            label: diagnostic.label.as_deref(),
            hint: diagnostic.hint.as_deref(),
            place: diagnostic.place.map(|place| JsonPlace::new(all, place)),
            related,
        }
    }
}

impl<'a> JsonPlace<'a> {
    fn new(all: &'a Diagnostics, place: Place) -> Self {
        let file = all.file(place.file);
        let Span { start, end } = place.span;
        let ((line, column), (end_line, end_column)) = (file.line_column(start), file.line_column(end));
        JsonPlace { file: &file.name, line, column, end_line, end_column }
    }
}
