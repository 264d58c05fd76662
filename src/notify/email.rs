//! E-mail: one mail for each notification, threaded by group, as text and as HTML.
//!
//! The thread needs no memory: every mail refers to an id that follows from the group's key and is no mail's own, so a
//! restart, a retry or a lost mail does not break it. A retry has the same `Message-ID`, by which mail systems fold repeats.
//! Mail programs build threads by `References`; Gmail wants the subject to stay, too (`stable_subject`).
//!
//! The HTML is tables and inline styles: that is what mail programs show.

use askama::Template;

use crate::model::delivery::{AlertStatus, AlertView, Notification};
use crate::notify::config::EmailConfig;
use crate::notify::present::{self, CUT_MARK, Link, Reason, Tone, cut};
use crate::notify::request::Mail;

/// Characters of a subject; header folding breaks longer ones anyway.
pub const SUBJECT_MAX: usize = 200;

/// Alerts shown with their evidence.
pub const DETAILED_MAX: usize = 20;
/// Alerts shown as one line each after those.
pub const LISTED_MAX: usize = 100;

/// `again` is said where an earlier attempt may have arrived: few mailboxes drop a second mail of the same Message-ID.
pub fn mail<S>(config: &EmailConfig<S>, notification: &Notification, attempt: u32, again: Option<&str>) -> Mail {
    let page = Page::of(notification, again);
    let own = headers(config, notification, attempt);
    let kept = own.into_iter().filter(|(name, _)| !config.headers.iter().any(|(h, _)| h.eq_ignore_ascii_case(name)));
    let (message_id, thread) = message_ids(config, notification);
    Mail {
        from: config.from.clone(),
        to: config.to.clone(),
        reply_to: config.reply_to.clone(),
        subject: subject(config, notification),
        date: notification.at,
        message_id,
        thread,
        headers: kept.chain(config.headers.iter().cloned()).collect(),
        text: TextPage { page: &page }.render().expect("the template takes any text"),
        html: HtmlPage { page: &page }.render().expect("the template takes any text"),
    }
}

fn subject<S>(config: &EmailConfig<S>, notification: &Notification) -> String {
    let text = match config.stable_subject {
        false => present::headline(notification),
        true => {
            let place = present::place(&notification.group_labels);
            let name = notification.group_labels.get("alertname").unwrap_or("Alerts");
            if place.is_empty() { name.to_owned() } else { format!("{name} · {place}") }
        }
    };
    cut(&present::line(&text), SUBJECT_MAX).into_owned()
}

/// The mail's own id, and the one that all mails of the thread refer to.
fn message_ids<S>(config: &EmailConfig<S>, notification: &Notification) -> (String, String) {
    let domain =
        config.from.rsplit_once('@').map_or("foghorn.invalid", |(_, domain)| domain.trim_end_matches('>').trim());
    let id = |key: String| format!("<{key}@{domain}>");
    (id(notification.idempotency_key()), id(notification.dedup_key()))
}

fn headers<S>(config: &EmailConfig<S>, notification: &Notification, attempt: u32) -> Vec<(String, String)> {
    let mut headers = vec![
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("X-Auto-Response-Suppress", "All".to_owned()),
        ("X-Foghorn-Group", notification.dedup_key()),
        ("X-Foghorn-Sequence", notification.sequence.to_string()),
        (
            "X-Foghorn-Status",
            if notification.status() == AlertStatus::Firing { "firing" } else { "resolved" }.to_owned(),
        ),
    ];
    headers.extend(config.list_id.as_ref().map(|id| ("List-Id", bracketed(id))));
    if Tone::worst(notification) == Tone::Critical {
        headers.push(("Importance", "high".to_owned()));
        headers.push(("X-Priority", "1".to_owned()));
    }
    if attempt > 1 {
        headers.push(("X-Foghorn-Attempt", attempt.to_string()));
    }
    headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn bracketed(id: &str) -> String {
    if id.contains('<') { id.to_owned() } else { format!("<{id}>") }
}

/// What both templates show.
struct Page {
    tag: String,
    subject: String,
    colour: &'static str,
    receiver: String,
    at: String,
    alerts: Vec<Entry>,
    listed: Vec<Line>,
    hidden: usize,
    page: Option<String>,
    again: Option<String>,
}

struct Line {
    colour: &'static str,
    firing: bool,
    text: String,
}

struct Entry {
    name: String,
    firing: bool,
    colour: &'static str,
    severity: Option<String>,
    since: String,
    summary: String,
    description: Option<String>,
    measured: Option<String>,
    threshold: Option<String>,
    labels: Vec<(String, String)>,
    reasons: Vec<Reason>,
    values: Vec<(String, String)>,
    contributors: Vec<(String, Vec<(String, String)>)>,
    examples: Vec<String>,
    links: Vec<Link>,
    rule: String,
    window: String,
}

impl Page {
    fn of(notification: &Notification, again: Option<&str>) -> Page {
        let alerts = present::worst_first(notification);
        let listed = alerts.iter().skip(DETAILED_MAX).take(LISTED_MAX);
        Page {
            tag: present::status_tag(notification),
            subject: present::subject(notification),
            colour: Tone::worst(notification).colour(),
            receiver: present::line(&notification.receiver).into_owned(),
            at: present::moment(crate::model::time::EventTime(notification.at.0)),
            alerts: alerts.iter().take(DETAILED_MAX).map(|alert| Entry::of(notification, alert)).collect(),
            listed: listed.map(|alert| Line::of(alert)).collect(),
            hidden: notification.alerts.len().saturating_sub(DETAILED_MAX + LISTED_MAX) + notification.truncated,
            page: present::web_address(&notification.external_url),
            again: again.map(str::to_owned),
        }
    }
}

impl Line {
    fn of(alert: &AlertView) -> Line {
        Line {
            colour: Tone::of(alert).colour(),
            firing: alert.status == AlertStatus::Firing,
            text: cut(&present::one_line(alert), 400).into_owned(),
        }
    }
}

impl Entry {
    fn of(notification: &Notification, alert: &AlertView) -> Entry {
        let firing = alert.status == AlertStatus::Firing;
        let labels = alert.labels.iter().filter(|(name, _)| *name != "alertname");
        Entry {
            name: present::name(alert).into_owned(),
            firing,
            colour: Tone::of(alert).colour(),
            severity: present::severity(alert).map(|text| present::line(text).into_owned()),
            since: present::since(alert, notification.at),
            summary: present::summary(alert),
            description: present::description(alert).map(|text| cut(&text, 4_000).into_owned()),
            measured: present::value(alert).filter(|_| firing),
            threshold: present::threshold(alert).filter(|_| firing),
            labels: labels
                .map(|(n, v)| (present::line(n).into_owned(), cut(&present::line(v), 300).into_owned()))
                .collect(),
            reasons: if firing { present::reasons(alert) } else { Vec::new() },
            values: present::values(alert),
            contributors: if firing { present::contributors(alert) } else { Vec::new() },
            examples: if firing { present::examples(alert) } else { Vec::new() },
            links: present::links(alert, &notification.external_url),
            rule: present::rule_place(alert),
            window: alert.evidence.window.to_string(),
        }
    }

    fn labels_line(&self) -> String {
        self.labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
    }
}

#[derive(Template)]
#[template(path = "email.txt", escape = "none", config = "src/askama.toml")]
struct TextPage<'a> {
    page: &'a Page,
}

#[derive(Template)]
#[template(path = "email.html", config = "src/askama.toml")]
struct HtmlPage<'a> {
    page: &'a Page,
}

impl Page {
    fn more(&self) -> Option<String> {
        (self.hidden > 0).then(|| format!("{CUT_MARK} and {} more", self.hidden))
    }
}
