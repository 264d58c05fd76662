//! The transcript: what people would read, and when. One block a notification.
//!
//! `foghorn replay` prints it and tests compare it, so its plain form is deterministic to the byte: no attempt numbers,
//! no delivery ids, no colour, nothing that depends on how the input was cut into batches. Colour is for terminals and
//! adds nothing but colour.
//!
//! ```text
//! 2015-03-30T15:07:10Z  ops/slack  FIRING  SshFailedLoginBurst{host="a"}  failures=41 > 30 for 2m  (rules/ssh/ssh.yaml:12)
//!       top_ip: 218.2.0.1  157
//!       example: Mar 30 15:07:02 a sshd[4711]: Failed password for root from 218.2.0.1 port 1034 ssh2
//! ```
//!
//! Values, labels and log lines come from outside: control characters are shown, never sent to a terminal.
//!
//! - `T1` a notification stands once for each moment at which it was first attempted, however often it was tried

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::alert::life::AlertName;
use crate::engine::desk::{DeskConfig, DeskOutput};
use crate::model::{
    AlertStatus, AlertView, Comparison, Delivery, Evidence, Labels, Notification, SendReason, WallTime,
};

/// Contributors shown of one alert, for each `let` that ranks.
pub const CONTRIBUTORS_SHOWN_MAX: usize = 3;

/// Exemplars shown of one alert.
pub const EXEMPLARS_SHOWN_MAX: usize = 2;

/// Characters of one shown text; a longer one is cut and marked with `…`.
pub const TEXT_SHOWN_MAX: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    Plain,
    Ansi,
}

/// One notification, and which integrations were first sent it at that moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    pub at: WallTime,
    pub kinds: Vec<Arc<str>>,
    pub notification: Arc<Notification>,
}

/// Collects blocks from what a desk puts out.
#[derive(Clone, Debug)]
pub struct Transcript {
    kinds: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    blocks: Vec<Block>,
}

impl Transcript {
    /// The configuration says what kind each integration is.
    pub fn new(config: &DeskConfig) -> Transcript {
        let kinds = config.receivers().iter().map(|receiver| {
            let kinds = receiver.integrations.iter().map(|policy| policy.kind.clone()).collect();
            (receiver.name.clone(), kinds)
        });
        Transcript { kinds: kinds.collect(), blocks: Vec::new() }
    }

    /// Takes whatever a desk puts out at `at`, and keeps first attempts (`T1`).
    pub fn take<'a>(&mut self, at: WallTime, outputs: impl IntoIterator<Item = &'a DeskOutput>) {
        for output in outputs {
            if let DeskOutput::Deliver { receiver, delivery } = output
                && delivery.attempt == 1
            {
                self.add(at, receiver, delivery);
            }
        }
    }

    fn add(&mut self, at: WallTime, receiver: &Arc<str>, delivery: &Delivery) {
        let kind = self.kinds.get(receiver).and_then(|kinds| kinds.get(delivery.integration));
        let kind = kind.cloned().unwrap_or_else(|| "unknown".into());
        let now = self.blocks.iter_mut().rev().take_while(|block| block.at == at);
        for block in now {
            if Arc::ptr_eq(&block.notification, &delivery.notification) {
                block.kinds.push(kind);
                return;
            }
        }
        self.blocks.push(Block { at, kinds: vec![kind], notification: delivery.notification.clone() });
    }

    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Blocks that nothing can be added to once the clock shows `now`; they leave the transcript.
    pub fn finished(&mut self, now: WallTime) -> Vec<Block> {
        let open = self.blocks.partition_point(|block| block.at < now);
        self.blocks.drain(..open).collect()
    }

    /// All blocks as text.
    pub fn text(&self, paint: Paint) -> String {
        self.blocks.iter().map(|block| block.text(paint)).collect()
    }

    /// All blocks as JSON, one a line.
    pub fn json_lines(&self) -> String {
        self.blocks.iter().map(|block| block.json() + "\n").collect()
    }
}

impl Block {
    /// `ops/slack+email`; just `slack` where receiver and kind have the same name.
    pub fn target(&self) -> String {
        let kinds = self.kinds.join("+");
        match *kinds == *self.notification.receiver {
            true => kinds,
            false => format!("{}/{kinds}", self.notification.receiver),
        }
    }

    /// The block as text, with a line feed at its end.
    pub fn text(&self, paint: Paint) -> String {
        let mut text = String::new();
        let note = &self.notification;
        let target = clean(&self.target());
        paint.put(&mut text, DIM, &self.at.to_string());
        let _ = write!(text, "  {target}  ");
        match &note.alerts[..] {
            [alert] if note.truncated == 0 => alert_lines(&mut text, paint, alert, note.reason, 6),
            alerts => {
                paint.status(&mut text, note.status(), note.reason);
                let (firing, resolved) = (note.firing().count(), note.resolved().count());
                let _ = write!(text, "  {}", counted(firing, resolved));
                if !note.group_labels.is_empty() {
                    let _ = write!(text, "  {}", clean(&note.group_labels.to_string()));
                }
                text.push('\n');
                for alert in alerts {
                    text.push_str("    ");
                    alert_lines(&mut text, paint, alert, SendReason::Changed, 10);
                }
                if note.truncated > 0 {
                    let _ = writeln!(text, "    … and {} more", note.truncated);
                }
            }
        }
        text
    }

    /// The block as one line of JSON, without a line feed.
    pub fn json(&self) -> String {
        serde_json::to_string(&json::Line::of(self)).expect("a block is plain data")
    }
}

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

impl Paint {
    fn put(self, out: &mut String, style: Style, text: &str) {
        let _ = match self {
            Paint::Plain => out.write_str(text),
            Paint::Ansi => write!(out, "{style}{text}{style:#}"),
        };
    }

    fn status(self, out: &mut String, status: AlertStatus, reason: SendReason) {
        let (word, colour) = match (status, reason) {
            (AlertStatus::Firing, SendReason::Repeat) => ("STILL FIRING", AnsiColor::Red),
            (AlertStatus::Firing, _) => ("FIRING", AnsiColor::Red),
            (AlertStatus::Resolved, _) => ("RESOLVED", AnsiColor::Green),
        };
        self.put(out, BOLD.fg_color(Some(colour.into())), word);
    }
}

fn counted(firing: usize, resolved: usize) -> String {
    match (firing, resolved) {
        (_, 0) => format!("{firing} firing"),
        (0, _) => format!("{resolved} resolved"),
        _ => format!("{firing} firing, {resolved} resolved"),
    }
}

/// The alert's own line, then its details `indent` spaces in.
fn alert_lines(out: &mut String, paint: Paint, alert: &AlertView, reason: SendReason, indent: usize) {
    paint.status(out, alert.status, reason);
    out.push_str("  ");
    paint.put(out, BOLD, &clean(&AlertName::from(alert).to_string()));
    let _ = write!(out, "  {}", clean(&why(alert)));
    if !alert.rule.file.is_empty() {
        out.push_str("  ");
        paint.put(out, DIM, &clean(&format!("({}:{})", alert.rule.file, alert.rule.line)));
    }
    out.push('\n');
    let mut detail = |name: &str, value: &str| {
        let _ = write!(out, "{:indent$}", "");
        paint.put(out, DIM, &format!("{}:", clean(name)));
        let _ = writeln!(out, " {}", clean(value));
    };
    for (name, value) in alert.annotations.iter().filter(|(name, _)| &**name == "summary") {
        detail(name, value);
    }
    if alert.status == AlertStatus::Resolved {
        return;
    }
    let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
    for top in &alert.evidence.contributors {
        let count = shown.entry(&top.name).or_insert(0);
        *count += 1;
        if *count <= CONTRIBUTORS_SHOWN_MAX {
            detail(&top.name, &format!("{}  {}", top.value, top.count));
        }
    }
    for exemplar in alert.evidence.exemplars.iter().take(EXEMPLARS_SHOWN_MAX) {
        let text = match (&exemplar.id, &exemplar.text) {
            (Some(id), Some(text)) => format!("{id}  {text}"),
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (None, None) => exemplar.position.to_string(),
        };
        detail("example", &text);
    }
}

/// `failures=41 > 30 for 2m`, or `after 12m, failures=3`.
fn why(alert: &AlertView) -> String {
    match alert.ends_at {
        Some(ends_at) => {
            let now: Vec<String> = alert.evidence.comparisons.iter().filter_map(left_side).collect();
            let comma = if now.is_empty() { "" } else { ", " };
            format!("after {}{comma}{}", ends_at.since(alert.starts_at), now.join(", "))
        }
        None => {
            let held = alert.starts_at.since(alert.active_since);
            let since = if held.0 > 0 { format!(" for {held}") } else { String::new() };
            format!("{}{since}", because(&alert.evidence))
        }
    }
}

/// The comparisons that hold, with their numbers; the condition's own text where there are none.
fn because(evidence: &Evidence) -> String {
    let holding = evidence.comparisons.iter().filter(|comparison| comparison.holds == Some(true));
    let said: Vec<String> = holding.map(with_numbers).collect();
    match said.is_empty() {
        true => evidence.condition.clone(),
        false => said.join(" and "),
    }
}

/// `p99 > 800` with 1240 → `p99=1240 > 800`
fn with_numbers(comparison: &Comparison) -> String {
    let Some((left, op, right)) = split_comparison(&comparison.text) else { return comparison.text.clone() };
    let side = |text: &str, value: Option<f64>| match value {
        Some(value) if text.parse::<f64>().is_err() => named(text, value),
        _ => text.to_owned(),
    };
    format!("{} {op} {}", side(left, comparison.left), side(right, comparison.right))
}

fn left_side(comparison: &Comparison) -> Option<String> {
    let (left, _, _) = split_comparison(&comparison.text)?;
    left.parse::<f64>().is_err().then_some(())?;
    Some(named(left, comparison.left?))
}

/// `p99=1240`, `(errors / total)=0.06`
fn named(text: &str, value: f64) -> String {
    match text.chars().all(|c| c.is_alphanumeric() || c == '_') {
        true => format!("{text}={}", number(value)),
        false => format!("({text})={}", number(value)),
    }
}

/// At the first comparison operator that is in no brackets.
fn split_comparison(text: &str) -> Option<(&str, &str, &str)> {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '<' | '>' | '=' | '!' if depth == 0 => {
                let len = if text[at + 1..].starts_with('=') { 2 } else { 1 };
                return Some((text[..at].trim(), &text[at..at + len], text[at + len..].trim()));
            }
            _ => {}
        }
    }
    None
}

/// Whole where it is whole or large, else four significant digits.
pub fn number(value: f64) -> String {
    if !value.is_finite() || value.fract() == 0.0 || value.abs() >= 1_000.0 {
        return format!("{value:.0}");
    }
    let rounded: f64 = format!("{value:.3e}").parse().expect("a printed float is a float");
    rounded.to_string()
}

/// Characters that change the order in which a terminal shows the others.
const REORDERS: [char; 11] = [
    '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}',
    '\u{2068}', '\u{2069}',
];

/// One line, no control characters, not too long.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (count, c) in text.chars().enumerate() {
        match c {
            _ if count == TEXT_SHOWN_MAX => {
                out.push('…');
                break;
            }
            c if c.is_control() || REORDERS.contains(&c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// The JSON form, apart from the model so that either can change.
mod json {
    use super::*;

    #[derive(Serialize)]
    pub(super) struct Line<'a> {
        at: String,
        receiver: &'a str,
        integrations: &'a [Arc<str>],
        status: AlertStatus,
        reason: SendReason,
        group_key: &'a str,
        group_labels: &'a Labels,
        group_since: String,
        sequence: u32,
        dedup_key: String,
        idempotency_key: String,
        alerts: Vec<Alert<'a>>,
        truncated: usize,
    }

    #[derive(Serialize)]
    struct Alert<'a> {
        status: AlertStatus,
        rule: &'a str,
        rule_group: &'a str,
        file: &'a str,
        line: u32,
        fingerprint: String,
        labels: &'a Labels,
        annotations: BTreeMap<&'a str, &'a str>,
        active_since: String,
        starts_at: String,
        ends_at: Option<String>,
        value: Option<f64>,
        evidence: Proof<'a>,
    }

    #[derive(Serialize)]
    struct Proof<'a> {
        condition: &'a str,
        window: String,
        comparisons: &'a [Comparison],
        values: BTreeMap<&'a str, Option<f64>>,
        contributors: Vec<Top<'a>>,
        exemplars: Vec<Example<'a>>,
    }

    #[derive(Serialize)]
    struct Top<'a> {
        name: &'a str,
        value: &'a str,
        count: u64,
    }

    #[derive(Serialize)]
    struct Example<'a> {
        at: String,
        position: String,
        id: Option<&'a str>,
        text: Option<&'a str>,
    }

    impl<'a> Line<'a> {
        pub(super) fn of(block: &'a Block) -> Line<'a> {
            let note = &block.notification;
            Line {
                at: block.at.to_string(),
                receiver: &note.receiver,
                integrations: &block.kinds,
                status: note.status(),
                reason: note.reason,
                group_key: &note.group_key,
                group_labels: &note.group_labels,
                group_since: note.group_since.to_string(),
                sequence: note.sequence,
                dedup_key: note.dedup_key(),
                idempotency_key: note.idempotency_key(),
                alerts: note.alerts.iter().map(Alert::of).collect(),
                truncated: note.truncated,
            }
        }
    }

    impl<'a> Alert<'a> {
        fn of(view: &'a AlertView) -> Alert<'a> {
            Alert {
                status: view.status,
                rule: &view.rule.name,
                rule_group: &view.rule.group,
                file: &view.rule.file,
                line: view.rule.line,
                fingerprint: view.fingerprint.to_string(),
                labels: &view.labels,
                annotations: view.annotations.iter().map(|(name, value)| (&**name, &**value)).collect(),
                active_since: view.active_since.to_string(),
                starts_at: view.starts_at.to_string(),
                ends_at: view.ends_at.map(|at| at.to_string()),
                value: view.value,
                evidence: Proof::of(&view.evidence),
            }
        }
    }

    impl<'a> Proof<'a> {
        fn of(evidence: &'a Evidence) -> Proof<'a> {
            let contributors = evidence.contributors.iter();
            let exemplars = evidence.exemplars.iter();
            Proof {
                condition: &evidence.condition,
                window: evidence.window.to_string(),
                comparisons: &evidence.comparisons,
                values: evidence.values.iter().map(|(name, value)| (&**name, *value)).collect(),
                contributors: contributors
                    .map(|top| Top { name: &top.name, value: &top.value, count: top.count })
                    .collect(),
                exemplars: exemplars
                    .map(|example| Example {
                        at: example.at.to_string(),
                        position: example.position.to_string(),
                        id: example.id.as_deref(),
                        text: example.text.as_deref(),
                    })
                    .collect(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::model::{Contributor, EventTime, Exemplar, Millis, Position, RuleMeta, SourceId};

    /// 2015-03-30T15:07:00Z
    const T: i64 = 1_427_728_020_000;

    fn burst(host: &str, ended: bool) -> AlertView {
        let failures = if ended { 3.0 } else { 41.0 };
        let top = |value: &str, count| Contributor { name: "top_ip".into(), value: value.into(), count };
        AlertView {
            fingerprint: Labels::from_pairs([("host", host)]).fingerprint(),
            status: if ended { AlertStatus::Resolved } else { AlertStatus::Firing },
            rule: Arc::new(RuleMeta {
                name: "SshFailedLoginBurst".into(),
                group: "ssh".into(),
                file: "rules/ssh/ssh.yaml".into(),
                line: 12,
            }),
            labels: Labels::from_pairs([("alertname", "SshFailedLoginBurst"), ("host", host)]),
            annotations: vec![("summary".into(), format!("failed logins on {host}")), ("runbook".into(), "r".into())],
            active_since: EventTime(T - 120_000),
            starts_at: EventTime(T),
            ends_at: ended.then_some(EventTime(T + 720_000)),
            value: Some(failures),
            evidence: Arc::new(Evidence {
                condition: "failures > 30 && share > limit".into(),
                comparisons: vec![
                    Comparison {
                        text: "failures > 30".into(),
                        left: Some(failures),
                        right: Some(30.0),
                        holds: Some(!ended),
                    },
                    Comparison {
                        text: "errors / total > min(limit, 1)".into(),
                        left: Some(0.123_456),
                        right: Some(0.05),
                        holds: Some(!ended),
                    },
                    Comparison { text: "total >= 50".into(), left: Some(9.0), right: Some(50.0), holds: Some(false) },
                ],
                values: vec![("failures".into(), Some(failures)), ("p99".into(), None)],
                contributors: vec![top("218.2.0.1", 157), top("10.0.0.1", 4), top("10.0.0.2", 2), top("10.0.0.3", 1)],
                exemplars: vec![Exemplar {
                    at: EventTime(T),
                    position: Position { source: SourceId::new("auth.log", 0), offset: 77 },
                    id: None,
                    text: Some("Failed password for root from 218.2.0.1".into()),
                }],
                window: Millis(300_000),
            }),
        }
    }

    fn block(alerts: Vec<AlertView>, reason: SendReason, truncated: usize) -> Block {
        let notification = Notification {
            receiver: "ops".into(),
            group_key: "{}:{}".into(),
            group_labels: Labels::from_pairs([("alertname", "SshFailedLoginBurst")]),
            group_since: EventTime(T),
            sequence: 1,
            reason,
            at: WallTime(T + 30_000),
            alerts,
            truncated,
            external_url: "".into(),
        };
        Block {
            at: WallTime(T + 30_000),
            kinds: vec!["slack".into(), "email".into()],
            notification: Arc::new(notification),
        }
    }

    fn check(block: &Block, expect: Expect) {
        expect.assert_eq(&block.text(Paint::Plain));
        let stripped = anstream::adapter::strip_str(&block.text(Paint::Ansi)).to_string();
        assert_eq!(stripped, block.text(Paint::Plain), "colour adds nothing but colour");
    }

    #[test]
    fn one_alert_reads_on_one_line_with_its_evidence_below() {
        check(
            &block(vec![burst("a", false)], SendReason::New, 0),
            expect![[r#"
                2015-03-30T15:07:30Z  ops/slack+email  FIRING  SshFailedLoginBurst{host="a"}  failures=41 > 30 and (errors / total)=0.1235 > (min(limit, 1))=0.05 for 2m  (rules/ssh/ssh.yaml:12)
                      summary: failed logins on a
                      top_ip: 218.2.0.1  157
                      top_ip: 10.0.0.1  4
                      top_ip: 10.0.0.2  2
                      example: Failed password for root from 218.2.0.1
            "#]],
        );
        check(
            &block(vec![burst("a", false)], SendReason::Repeat, 0),
            expect![[r#"
                2015-03-30T15:07:30Z  ops/slack+email  STILL FIRING  SshFailedLoginBurst{host="a"}  failures=41 > 30 and (errors / total)=0.1235 > (min(limit, 1))=0.05 for 2m  (rules/ssh/ssh.yaml:12)
                      summary: failed logins on a
                      top_ip: 218.2.0.1  157
                      top_ip: 10.0.0.1  4
                      top_ip: 10.0.0.2  2
                      example: Failed password for root from 218.2.0.1
            "#]],
        );
        check(
            &block(vec![burst("a", true)], SendReason::AllResolved, 0),
            expect![[r#"
                2015-03-30T15:07:30Z  ops/slack+email  RESOLVED  SshFailedLoginBurst{host="a"}  after 12m, failures=3, (errors / total)=0.1235, total=9  (rules/ssh/ssh.yaml:12)
                      summary: failed logins on a
            "#]],
        );
    }

    #[test]
    fn several_alerts_read_as_a_list() {
        let alerts = vec![burst("a", false), burst("b", false), burst("c", true)];
        check(
            &block(alerts, SendReason::Changed, 7),
            expect![[r#"
                2015-03-30T15:07:30Z  ops/slack+email  FIRING  2 firing, 1 resolved  {alertname="SshFailedLoginBurst"}
                    FIRING  SshFailedLoginBurst{host="a"}  failures=41 > 30 and (errors / total)=0.1235 > (min(limit, 1))=0.05 for 2m  (rules/ssh/ssh.yaml:12)
                          summary: failed logins on a
                          top_ip: 218.2.0.1  157
                          top_ip: 10.0.0.1  4
                          top_ip: 10.0.0.2  2
                          example: Failed password for root from 218.2.0.1
                    FIRING  SshFailedLoginBurst{host="b"}  failures=41 > 30 and (errors / total)=0.1235 > (min(limit, 1))=0.05 for 2m  (rules/ssh/ssh.yaml:12)
                          summary: failed logins on b
                          top_ip: 218.2.0.1  157
                          top_ip: 10.0.0.1  4
                          top_ip: 10.0.0.2  2
                          example: Failed password for root from 218.2.0.1
                    RESOLVED  SshFailedLoginBurst{host="c"}  after 12m, failures=3, (errors / total)=0.1235, total=9  (rules/ssh/ssh.yaml:12)
                          summary: failed logins on c
                    … and 7 more
            "#]],
        );
    }

    #[test]
    fn machines_read_one_line_of_json() {
        let json = block(vec![burst("a", true)], SendReason::AllResolved, 0).json();
        expect![[r#"{"at":"2015-03-30T15:07:30Z","receiver":"ops","integrations":["slack","email"],"status":"resolved","reason":"all_resolved","group_key":"{}:{}","group_labels":{"alertname":"SshFailedLoginBurst"},"group_since":"2015-03-30T15:07:00Z","sequence":1,"dedup_key":"foghorn-e2090d35990e41630ecf4818a8fb538a","idempotency_key":"foghorn-e2090d35990e41630ecf4818a8fb538a-1-f9216ddf","alerts":[{"status":"resolved","rule":"SshFailedLoginBurst","rule_group":"ssh","file":"rules/ssh/ssh.yaml","line":12,"fingerprint":"42605a6d096c1e2f","labels":{"alertname":"SshFailedLoginBurst","host":"a"},"annotations":{"runbook":"r","summary":"failed logins on a"},"active_since":"2015-03-30T15:05:00Z","starts_at":"2015-03-30T15:07:00Z","ends_at":"2015-03-30T15:19:00Z","value":3.0,"evidence":{"condition":"failures > 30 && share > limit","window":"5m","comparisons":[{"text":"failures > 30","left":3.0,"right":30.0,"holds":false},{"text":"errors / total > min(limit, 1)","left":0.123456,"right":0.05,"holds":false},{"text":"total >= 50","left":9.0,"right":50.0,"holds":false}],"values":{"failures":3.0,"p99":null},"contributors":[{"name":"top_ip","value":"218.2.0.1","count":157},{"name":"top_ip","value":"10.0.0.1","count":4},{"name":"top_ip","value":"10.0.0.2","count":2},{"name":"top_ip","value":"10.0.0.3","count":1}],"exemplars":[{"at":"2015-03-30T15:07:00Z","position":"auth.log/0@77","id":null,"text":"Failed password for root from 218.2.0.1"}]}}],"truncated":0}"#]].assert_eq(&json);
    }

    #[test]
    fn what_comes_from_outside_cannot_move_the_cursor_or_turn_the_text_around() {
        assert_eq!(clean("a\u{1b}[2J b\nc \u{202e}d é"), r"a\u{1b}[2J b\nc \u{202e}d é");
        assert_eq!(clean(&"é".repeat(300)).chars().count(), TEXT_SHOWN_MAX + 1);
    }

    #[test]
    fn numbers_are_short() {
        let shown: Vec<String> = [0.0, 41.0, 0.123_456, 99.949, 1_234.56, -0.5, 1e-7, f64::NAN].map(number).into();
        assert_eq!(shown, ["0", "41", "0.1235", "99.95", "1235", "-0.5", "0.0000001", "NaN"]);
    }
}
