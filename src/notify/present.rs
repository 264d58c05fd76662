//! What an engineer woken at three needs, in words: what, where, how bad, since when, why, and where to look.
//!
//! All receivers draw on these, so a fact is worded once and reads the same in a chat, in a mail and in a pager. They
//! return plain text: each receiver escapes for its own wire.
//!
//! - `P1` nothing here depends on when it is called: ages count to the notification's own time, so a retry says the same
//! - `P2` text from events and labels comes out without control and direction characters, which could forge lines in a
//!   terminal, a header or a message

use std::borrow::Cow;

use crate::model::delivery::{AlertStatus, AlertView, Delivery, Notification};
use crate::model::labels::Labels;
use crate::model::signal::{Comparison, EXEMPLARS_MAX, Exemplar};
use crate::model::time::{EventTime, Millis, WallTime};

/// Values of one `topk` that are shown, and lists of them.
pub const CONTRIBUTORS_SHOWN_MAX: usize = 5;
pub const TOP_LISTS_SHOWN_MAX: usize = 8;

/// Comparisons and `let` values that are shown.
pub const REASONS_SHOWN_MAX: usize = 16;
pub const VALUES_SHOWN_MAX: usize = 40;

/// Characters of a name, a value or a comparison from an alert's evidence that are shown.
const WORDS_SHOWN_MAX: usize = 300;

/// Characters of a rendered annotation that are shown anywhere. A template can write any amount.
pub const ANNOTATION_SHOWN_MAX: usize = 4_000;

/// Stands where text was cut.
pub const CUT_MARK: char = '…';

/// How bad it is, for colours and order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    Resolved,
    Info,
    Warning,
    Critical,
}

impl Tone {
    pub fn of(alert: &AlertView) -> Tone {
        match (alert.status, severity(alert).map(str::to_ascii_lowercase).as_deref()) {
            (AlertStatus::Resolved, _) => Tone::Resolved,
            (_, Some("info" | "information" | "notice" | "low" | "none" | "debug")) => Tone::Info,
            (_, Some("warning" | "warn" | "minor" | "medium" | "ticket")) => Tone::Warning,
            _ => Tone::Critical,
        }
    }

    /// The worst of a notification.
    pub fn worst(notification: &Notification) -> Tone {
        notification.alerts.iter().map(Tone::of).max().unwrap_or(Tone::Resolved)
    }

    pub const fn colour(self) -> &'static str {
        match self {
            Tone::Critical => "#d1242f",
            Tone::Warning => "#d99000",
            Tone::Info => "#2f6fd0",
            Tone::Resolved => "#1a9a55",
        }
    }

    pub const fn mark(self) -> &'static str {
        match self {
            Tone::Critical => "🔴",
            Tone::Warning => "🟠",
            Tone::Info => "🔵",
            Tone::Resolved => "🟢",
        }
    }
}

/// `[FIRING:2]`, `[FIRING:2, RESOLVED:1]`, `[RESOLVED:3]`. Alerts beyond the bound count as what the group is.
pub fn status_tag(notification: &Notification) -> String {
    let (firing, resolved) = (notification.firing().count(), notification.resolved().count());
    match (firing, resolved) {
        (0, resolved) => format!("[RESOLVED:{}]", resolved + notification.truncated),
        (firing, 0) => format!("[FIRING:{}]", firing + notification.truncated),
        (firing, resolved) => format!("[FIRING:{}, RESOLVED:{resolved}]", firing + notification.truncated),
    }
}

/// What and where, without status: `CheckoutSlow · service=checkout`. Stable while the group's labels are.
pub fn subject(notification: &Notification) -> String {
    let shared = notification.common_labels();
    let grouped = &notification.group_labels;
    let what = shared.get("alertname").or_else(|| grouped.get("alertname")).map_or_else(
        || format!("{} alerts", notification.alerts.len() + notification.truncated),
        |name| line(name).into_owned(),
    );
    // The group labels are what the operator chose to tell groups apart; what else all alerts share narrows it down.
    let shared = shared.iter().filter(|(name, _)| grouped.get(name).is_none());
    let pairs = grouped.iter().chain(shared).filter(|(name, _)| !matches!(*name, "alertname" | "severity"));
    let place = pairs.take(4).map(|(name, value)| pair(name, value)).collect::<Vec<_>>().join(", ");
    if place.is_empty() { what } else { format!("{what} · {place}") }
}

/// `[FIRING:2] CheckoutSlow · service=checkout`
pub fn headline(notification: &Notification) -> String {
    format!("{} {}", status_tag(notification), subject(notification))
}

pub fn name(alert: &AlertView) -> Cow<'_, str> {
    line(alert.labels.get("alertname").unwrap_or(&alert.rule.name))
}

pub fn severity(alert: &AlertView) -> Option<&str> {
    alert.labels.get("severity")
}

fn annotation<'a>(alert: &'a AlertView, wanted: &str) -> Option<Cow<'a, str>> {
    let found = alert.annotations.iter().find(|(name, _)| **name == *wanted);
    let text = found.map(|(_, text)| text.trim()).filter(|text| !text.is_empty())?;
    Some(cut(text, ANNOTATION_SHOWN_MAX))
}

/// One line on what is wrong: the rule's own words, or the numbers where it has none.
pub fn summary(alert: &AlertView) -> String {
    let written = ["summary", "title", "message"].iter().find_map(|name| annotation(alert, name));
    let first_line = || annotation(alert, "description").map(|text| text.lines().next().unwrap_or_default().to_owned());
    match written.or_else(|| first_line().map(Cow::Owned)) {
        Some(text) => line(&text).into_owned(),
        None => match reasons(alert).first() {
            Some(reason) => reason.to_string(),
            None => words(&alert.evidence.condition),
        },
    }
}

/// The longer text, where there is one besides the summary.
pub fn description(alert: &AlertView) -> Option<String> {
    let text = annotation(alert, "description")?;
    let text = lines(&text).into_owned();
    (text != summary(alert)).then_some(text)
}

/// `service=checkout, endpoint=/pay`: the labels that tell this alert from others.
pub fn place(labels: &Labels) -> String {
    let told = |(name, value): &(&str, &str)| !matches!(*name, "alertname" | "severity") && !value.trim().is_empty();
    labels.iter().filter(told).map(|(name, value)| pair(name, value)).collect::<Vec<_>>().join(", ")
}

fn pair(name: &str, value: &str) -> String {
    format!("{}={}", line(name), cut(&line(value), 120))
}

/// The comparison that `$value` is about, else the first that holds, else the first.
fn main_comparison(alert: &AlertView) -> Option<&Comparison> {
    let all = &alert.evidence.comparisons;
    let about_value = all.iter().find(|c| c.left.is_some() && c.left == alert.value);
    about_value.or_else(|| all.iter().find(|c| c.holds == Some(true))).or_else(|| all.first())
}

/// The measured value.
pub fn value(alert: &AlertView) -> Option<String> {
    main_comparison(alert).and_then(|c| c.left).or(alert.value).map(number)
}

/// `> 800`: the side of the threshold it must not be on.
pub fn threshold(alert: &AlertView) -> Option<String> {
    let comparison = main_comparison(alert)?;
    let limit = comparison.right?;
    Some(format!("{} {}", operator(&comparison.text).unwrap_or("against"), number(limit)))
}

/// One comparison of the condition and the numbers it compared.
///
/// `p99 > 800: 1,240` where the threshold is written down, `total > 3 * before: 912 against 300` where it is worked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub condition: String,
    pub found: String,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.condition, self.found)
    }
}

/// Why it fires: each comparison, those that hold first.
pub fn reasons(alert: &AlertView) -> Vec<Reason> {
    let (holding, others): (Vec<&Comparison>, Vec<&Comparison>) =
        alert.evidence.comparisons.iter().partition(|c| c.holds == Some(true));
    holding.into_iter().chain(others).take(REASONS_SHOWN_MAX).map(reason).collect()
}

fn reason(comparison: &Comparison) -> Reason {
    let found = comparison.left.map_or_else(|| "no value".to_owned(), number);
    let limit = operator(&comparison.text).and_then(|op| comparison.text.split_once(op)).map(|(_, right)| right.trim());
    let written_down = limit.is_some_and(|limit| limit.parse::<f64>().ok() == comparison.right);
    let against = match comparison.right {
        Some(right) if !written_down => format!(" against {}", number(right)),
        _ => String::new(),
    };
    let held = if comparison.holds == Some(false) { " (does not hold)" } else { "" };
    Reason { condition: words(&comparison.text), found: format!("{found}{against}{held}") }
}

fn operator(text: &str) -> Option<&'static str> {
    const OPERATORS: [&str; 6] = [">=", "<=", "==", "!=", ">", "<"];
    let found = OPERATORS.iter().filter_map(|op| text.find(op).map(|at| (at, *op)));
    found.min_by_key(|(at, op)| (*at, std::cmp::Reverse(op.len()))).map(|(_, op)| op)
}

/// Every `let` of the rule with its value; `–` where its window had no samples.
pub fn values(alert: &AlertView) -> Vec<(String, String)> {
    let all = alert.evidence.values.iter().take(VALUES_SHOWN_MAX);
    all.map(|(name, value)| (words(name), value.map_or_else(|| "–".to_owned(), number))).collect()
}

/// The top contributors, one entry for each `topk`: its name, and its values with their counts.
pub fn contributors(alert: &AlertView) -> Vec<(String, Vec<(String, String)>)> {
    let mut all: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for contributor in &alert.evidence.contributors {
        let name = words(&contributor.name);
        let at = all.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            all.push((name, Vec::new()));
            all.len() - 1
        });
        if all[at].1.len() < CONTRIBUTORS_SHOWN_MAX {
            all[at].1.push((words(&contributor.value), group_digits(contributor.count)));
        }
    }
    all.truncate(TOP_LISTS_SHOWN_MAX);
    all
}

/// Events that breached, as [`example`] words them.
pub fn examples(alert: &AlertView) -> Vec<String> {
    alert.evidence.exemplars.iter().take(EXEMPLARS_MAX).map(example).collect()
}

/// `shop.requests/3@1042 02:41:10 trace 4bf92f35`, or the raw line in place of the trace.
fn example(exemplar: &Exemplar) -> String {
    let what = match (&exemplar.id, &exemplar.text) {
        (Some(id), Some(text)) => format!("{} {}", words(id), words(text)),
        (Some(id), None) => words(id),
        (None, Some(text)) => words(text),
        (None, None) => words(&exemplar.position.to_string()),
    };
    format!("{} {what}", clock(exemplar.at))
}

/// The rule's place: `rules/shop.yaml:12`.
pub fn rule_place(alert: &AlertView) -> String {
    format!("{}:{}", line(&alert.rule.file), alert.rule.line)
}

/// `2026-03-30 15:04:05 UTC`
pub fn moment(at: EventTime) -> String {
    match jiff::Timestamp::from_millisecond(at.0) {
        Ok(stamp) => stamp.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => at.to_string(),
    }
}

fn clock(at: EventTime) -> String {
    jiff::Timestamp::from_millisecond(at.0)
        .map_or_else(|_| at.to_string(), |stamp| stamp.strftime("%H:%M:%S").to_string())
}

/// How long it has been firing, or how long it did.
pub fn lasted(alert: &AlertView, at: WallTime) -> Millis {
    let end = match (alert.status, alert.ends_at) {
        (AlertStatus::Resolved, Some(end)) => end.0,
        _ => at.0,
    };
    Millis(end.saturating_sub(alert.starts_at.0).max(0))
}

/// `45s`, `12m`, `1h 5m`, `3d 4h`: the two largest units.
pub fn span(length: Millis) -> String {
    let seconds = length.0.max(0) / 1_000;
    let parts = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let Some(first) = parts.iter().position(|(count, _)| *count > 0) else { return "0s".to_owned() };
    let shown = parts[first..].iter().take(2).filter(|(count, _)| *count > 0);
    shown.map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}

/// `firing since 2026-03-30 15:04:05 UTC (12m)` or `resolved 2026-… after 12m`.
pub fn since(alert: &AlertView, at: WallTime) -> String {
    let lasted = span(lasted(alert, at));
    match (alert.status, alert.ends_at) {
        (AlertStatus::Firing, _) => format!("firing since {} ({lasted})", moment(alert.starts_at)),
        (AlertStatus::Resolved, Some(end)) => format!("resolved {} after {lasted}", moment(end)),
        (AlertStatus::Resolved, None) => format!("resolved; fired {}", moment(alert.starts_at)),
    }
}

/// All alerts, the worst first and resolved ones last; as the desk ordered them where they are equally bad.
pub fn worst_first(notification: &Notification) -> Vec<&AlertView> {
    let mut alerts: Vec<&AlertView> = notification.alerts.iter().collect();
    alerts.sort_by_key(|alert| std::cmp::Reverse(Tone::of(alert)));
    alerts
}

/// One alert on its own: `CheckoutSlow: p99 is 1.24s (service=checkout)`. What and how bad come first, since a phone shows
/// little more.
pub fn announcement(alert: &AlertView) -> String {
    let place = place(&alert.labels);
    let place = if place.is_empty() { place } else { format!(" ({place})") };
    format!("{}: {}{place}", name(alert), summary(alert))
}

/// One alert of a list: `CheckoutSlow service=checkout: p99 is 1.24s`. Neighbours differ in place, so that comes first.
pub fn one_line(alert: &AlertView) -> String {
    let place = place(&alert.labels);
    let space = if place.is_empty() { "" } else { " " };
    format!("{}{space}{place}: {}", name(alert), summary(alert))
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub label: String,
    pub url: String,
}

/// Where to look: Foghorn's page first, then every annotation that is a web address (`runbook_url` is "Runbook").
pub fn links(alert: &AlertView, external_url: &str) -> Vec<Link> {
    let page = alert_url(external_url, alert).map(|url| Link { label: "Alert".to_owned(), url });
    let written = alert.annotations.iter().filter_map(|(name, text)| {
        let url = web_address(text)?;
        let base = name.strip_suffix("_url").or_else(|| name.strip_suffix("_link")).unwrap_or(name);
        let label = match base.to_ascii_lowercase().as_str() {
            "source" | "generator" => "Source".to_owned(),
            base => capitalised(&base.replace(['_', '-'], " ")),
        };
        Some(Link { label, url })
    });
    page.into_iter().chain(written).collect()
}

/// The alert on Foghorn's page.
pub fn alert_url(external_url: &str, alert: &AlertView) -> Option<String> {
    web_address(external_url).map(|base| format!("{}/#alert-{}", base.trim_end_matches('/'), alert.fingerprint))
}

/// Only plain web addresses become links: nothing that runs (`javascript:`), nothing with blanks, quotes or brackets
/// that could end the place it is written into.
pub fn web_address(text: &str) -> Option<String> {
    const LENGTH_MAX: usize = 2_000;
    let text = text.trim();
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let fits = !rest.is_empty() && text.len() <= LENGTH_MAX;
    let odd = |c: char| c.is_whitespace() || is_odd(c) || matches!(c, '<' | '>' | '"' | '\'' | '`' | '|' | '\\' | '^');
    (fits && !text.contains(odd)).then(|| text.to_owned())
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A number as people read it: whole numbers with their digits grouped, others to four significant digits.
pub fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "∞" } else { "-∞" }.to_owned();
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let size = value.abs();
    if size >= 1e15 || (size > 0.0 && size < 1e-4) {
        return format!("{value:.3e}");
    }
    if size.fract() == 0.0 || size >= 1_000.0 {
        return format!("{sign}{}", group_digits(size.round() as u64));
    }
    let before_point = if size >= 1.0 { size.log10() as usize + 1 } else { 1 };
    let decimals = if size >= 0.1 { 4 - before_point.min(4) } else { 5 };
    let text = format!("{size:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{sign}{text}")
}

fn group_digits(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Control characters, and those that turn or hide text (`P2`).
fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// As [`line()`], and no longer than anybody reads.
fn words(text: &str) -> String {
    line(&cut(text, WORDS_SHOWN_MAX)).into_owned()
}

/// `text` on one line, without odd characters (`P2`).
pub fn line(text: &str) -> Cow<'_, str> {
    match text.contains(is_odd) {
        true => Cow::Owned(text.chars().map(|c| if is_odd(c) { ' ' } else { c }).collect()),
        false => Cow::Borrowed(text),
    }
}

/// As [`line()`], but line breaks stay.
pub fn lines(text: &str) -> Cow<'_, str> {
    match text.contains(|c| is_odd(c) && c != '\n') {
        true => Cow::Owned(
            text.replace("\r\n", "\n").chars().map(|c| if is_odd(c) && c != '\n' { ' ' } else { c }).collect(),
        ),
        false => Cow::Borrowed(text),
    }
}

/// At most `max` characters; a longer text ends in [`CUT_MARK`]. Counts UTF-16 units, the largest count a receiver
/// that says "characters" may mean.
pub fn cut(text: &str, max: usize) -> Cow<'_, str> {
    let room = max.saturating_sub(CUT_MARK.len_utf16());
    let mut used = 0;
    let mut end = 0;
    for (at, c) in text.char_indices() {
        used += c.len_utf16();
        if used <= room {
            end = at + c.len_utf8();
        }
        if used > max {
            let mark = if max > 0 { CUT_MARK.to_string() } else { String::new() };
            return Cow::Owned(format!("{}{mark}", &text[..end]));
        }
    }
    Cow::Borrowed(text)
}

/// Length as [`cut`] counts it.
pub fn width(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// What is said of an attempt that may not be the first to arrive: for people whose receiver cannot tell by a key.
pub fn again(delivery: &Delivery) -> Option<String> {
    match (delivery.perhaps_repeated, delivery.attempt) {
        (true, attempt) => Some(format!(
            "perhaps a repeat (attempt {attempt}): there was no answer to an earlier try, which may have arrived"
        )),
        (false, 0 | 1) => None,
        (false, attempt) => Some(format!("sent again (attempt {attempt}): an earlier try may have arrived")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Into<String>>(got: T, expect: &str) {
        assert_eq!(got.into(), expect);
    }

    #[test]
    fn numbers_read_at_a_glance() {
        check(number(0.0), "0");
        check(number(800.0), "800");
        check(number(1_240.4), "1,240");
        check(number(1_234_567.0), "1,234,567");
        check(number(12.345_6), "12.35");
        check(number(999.96), "1000");
        check(number(0.073_12), "0.07312");
        check(number(-0.5), "-0.5");
        check(number(3.2e-7), "3.200e-7");
        check(number(f64::NAN), "NaN");
        check(number(f64::NEG_INFINITY), "-∞");
    }

    #[test]
    fn a_span_names_its_two_largest_units() {
        check(span(Millis(999)), "0s");
        check(span(Millis::from_secs(45)), "45s");
        check(span(Millis::from_secs(720)), "12m");
        check(span(Millis::from_secs(3_905)), "1h 5m");
        check(span(Millis::from_secs(86_400 + 59)), "1d");
        check(span(Millis(-5)), "0s");
    }

    #[test]
    fn a_comparison_shows_what_was_found_and_the_limit_only_where_it_is_worked_out() {
        let compare = |text: &str, left, right, holds| {
            reason(&Comparison { text: text.to_owned(), left, right, holds }).to_string()
        };
        check(compare("p99 > 800", Some(1_240.0), Some(800.0), Some(true)), "p99 > 800: 1,240");
        check(
            compare("total >= 3 * before", Some(912.0), Some(300.0), Some(true)),
            "total >= 3 * before: 912 against 300",
        );
        check(compare("errors / total > 0.05", None, Some(0.05), None), "errors / total > 0.05: no value");
        check(compare("total >= 50", Some(7.0), Some(50.0), Some(false)), "total >= 50: 7 (does not hold)");
    }

    #[test]
    fn cutting_keeps_whole_characters_and_says_so() {
        check(cut("short", 5), "short");
        check(cut("longer", 5), "long…");
        check(cut("😀😀😀", 5), "😀😀…");
        check(cut("ab", 0), "");
    }

    #[test]
    fn text_from_outside_cannot_forge_lines_or_links() {
        check(line("a\nb\u{1b}[31m\u{202e}c"), "a b [31m c");
        check(lines("a\r\nb\tc"), "a\nb c");
        assert_eq!(web_address("javascript:alert(1)"), None);
        assert_eq!(web_address("https://x/\"><script>"), None);
        assert_eq!(web_address(" https://wiki/run?x=1 ").as_deref(), Some("https://wiki/run?x=1"));
    }
}
