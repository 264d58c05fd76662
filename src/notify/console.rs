//! The console: a notification as a few lines of text, in colour where wanted.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use crate::model::delivery::{AlertStatus, AlertView, Notification};
use crate::notify::config::{Colour, ConsoleConfig};
use crate::notify::present::{self, Tone, cut};

/// Alerts shown with their evidence.
const DETAILED_MAX: usize = 10;
/// Columns one line may take.
const LINE_MAX: usize = 200;

/// `Auto` writes colours and leaves it to the edge to strip them where nobody sees them.
pub fn text(config: &ConsoleConfig, notification: &Notification, again: Option<&str>) -> String {
    let paint = Paint { colours: config.colour != Colour::Never };
    let mut out = String::new();
    let tone = Tone::worst(notification);
    let head = paint.bold(tone, &present::status_tag(notification));
    let at = present::moment(crate::model::time::EventTime(notification.at.0));
    push(
        &mut out,
        &format!(
            "{head} {}  {}",
            present::subject(notification),
            paint.dim(&format!("{at} → {}", notification.receiver))
        ),
    );
    if let Some(again) = again {
        push(&mut out, &paint.dim(&format!("  {again}")));
    }
    let alerts = present::worst_first(notification);
    for alert in alerts.iter().take(DETAILED_MAX) {
        detailed(&mut out, &paint, notification, alert);
    }
    for alert in alerts.iter().skip(DETAILED_MAX).take(DETAILED_MAX) {
        push(&mut out, &format!("  {} {}", paint.dot(Tone::of(alert)), cut(&present::one_line(alert), LINE_MAX)));
    }
    let hidden = notification.alerts.len().saturating_sub(2 * DETAILED_MAX) + notification.truncated;
    if hidden > 0 {
        push(&mut out, &paint.dim(&format!("  … and {hidden} more")));
    }
    out
}

fn detailed(out: &mut String, paint: &Paint, notification: &Notification, alert: &AlertView) {
    let severity = present::severity(alert).map(|text| format!(" [{}]", present::line(text))).unwrap_or_default();
    let name = paint.bold(Tone::of(alert), &present::name(alert));
    push(
        out,
        &format!("  {} {name}{severity} {}", paint.dot(Tone::of(alert)), cut(&present::place(&alert.labels), LINE_MAX)),
    );
    push(out, &format!("    {}", cut(&present::summary(alert), LINE_MAX)));
    push(
        out,
        &paint.dim(&format!("    {}, rule {}", present::since(alert, notification.at), present::rule_place(alert))),
    );
    if alert.status == AlertStatus::Resolved {
        return;
    }
    let reasons = present::reasons(alert);
    row(out, paint, "why", &reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
    let values = present::values(alert).into_iter().map(|(name, value)| format!("{name} {value}"));
    row(out, paint, "values", &values.collect::<Vec<_>>().join(", "));
    for (name, top) in present::contributors(alert) {
        let shown = top.into_iter().map(|(value, count)| format!("{value} ({count})"));
        row(out, paint, &format!("top {name}"), &shown.collect::<Vec<_>>().join(", "));
    }
    for example in present::examples(alert) {
        row(out, paint, "event", &example);
    }
    for link in present::links(alert, &notification.external_url) {
        row(out, paint, &link.label.to_lowercase(), &link.url);
    }
}

fn row(out: &mut String, paint: &Paint, name: &str, text: &str) {
    if !text.is_empty() {
        push(out, &format!("    {} {}", paint.dim(&format!("{name}:")), cut(text, LINE_MAX)));
    }
}

fn push(out: &mut String, line: &str) {
    writeln!(out, "{line}").expect("a string takes any text");
}

struct Paint {
    colours: bool,
}

impl Paint {
    fn bold(&self, tone: Tone, text: &str) -> String {
        self.styled(Style::new().bold().fg_color(Some(colour(tone).into())), text)
    }

    fn dim(&self, text: &str) -> String {
        self.styled(Style::new().dimmed(), text)
    }

    fn dot(&self, tone: Tone) -> String {
        self.styled(Style::new().fg_color(Some(colour(tone).into())), if tone == Tone::Resolved { "✓" } else { "●" })
    }

    fn styled(&self, style: Style, text: &str) -> String {
        match self.colours {
            true => format!("{style}{text}{style:#}"),
            false => text.to_owned(),
        }
    }
}

const fn colour(tone: Tone) -> AnsiColor {
    match tone {
        Tone::Critical => AnsiColor::Red,
        Tone::Warning => AnsiColor::Yellow,
        Tone::Info => AnsiColor::Blue,
        Tone::Resolved => AnsiColor::Green,
    }
}
