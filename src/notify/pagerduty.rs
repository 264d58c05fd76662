//! PagerDuty, Events API v2: one alert there for the life of one group here, by `dedup_key`.
//!
//! Every notification of a firing group is a `trigger` with the same key, which PagerDuty folds into one alert with a
//! log; the last is a `resolve`. So repeats and retries never page twice.
//!
//! What does not fit in PagerDuty's 512 KB is left out in order of worth, and the event says so: an event that is
//! refused for its size pages nobody.

use serde::{Serialize, Serializer};

use crate::model::delivery::{AlertStatus, AlertView, Notification};
use crate::model::labels::Labels;
use crate::notify::config::{PagerDutyConfig, PagerDutySeverity};
use crate::notify::conversation::json_post;
use crate::notify::present::{self, CUT_MARK, cut};
use crate::notify::request::Post;
use crate::notify::secret::Secret;

/// PagerDuty's own limits.
pub const EVENT_BYTES_MAX: usize = 512_000;
pub const SUMMARY_MAX: usize = 1_024;
pub const DEDUP_KEY_MAX: usize = 255;

/// Characters of source, component, group and class.
const FIELD_MAX: usize = 255;
/// Further alerts of the group that are named.
const OTHERS_MAX: usize = 50;

#[derive(Serialize)]
struct Event<'a> {
    routing_key: &'a str,
    event_action: &'static str,
    dedup_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Payload>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<EventLink>,
}

#[derive(Serialize)]
struct EventLink {
    href: String,
    text: String,
}

#[derive(Serialize)]
struct Payload {
    summary: String,
    source: String,
    severity: &'static str,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    custom_details: Details,
}

/// `trigger` while anything fires, `resolve` after.
pub fn event(config: &PagerDutyConfig<Secret>, notification: &Notification) -> Post {
    let mut event = Event {
        routing_key: config.routing_key.expose(),
        event_action: "resolve",
        dedup_key: notification.dedup_key(),
        client: None,
        client_url: None,
        payload: None,
        links: Vec::new(),
    };
    let worst = present::worst_first(notification).into_iter().find(|alert| alert.status == AlertStatus::Firing);
    if let Some(first) = worst {
        let page = (!notification.external_url.is_empty()).then_some(&*notification.external_url);
        event.event_action = "trigger";
        event.client = Some(config.client.as_str());
        event.client_url = config.client_url.as_deref().or(page);
        event.links = links(notification);
        event.payload = Some(payload(config, notification, first));
    }
    json_post(Secret::new(config.url.as_str()), fitted(event, notification), Vec::new())
}

fn payload(config: &PagerDutyConfig<Secret>, notification: &Notification, first: &AlertView) -> Payload {
    let firing: Vec<&AlertView> = notification.firing().collect();
    let shared = shared_labels(&firing);
    let field = |names: &[String]| {
        let found = names.iter().find_map(|name| shared.get(name));
        found.map(|value| cut(&present::line(value), FIELD_MAX).into_owned())
    };
    let severity = firing.iter().map(|alert| severity(config, alert)).max().unwrap_or(config.severity_default);
    let oldest = firing.iter().map(|alert| alert.starts_at).min().unwrap_or(first.starts_at);
    Payload {
        summary: summary(notification, first),
        source: field(&config.source).unwrap_or_else(|| cut(&present::name(first), FIELD_MAX).into_owned()),
        severity: severity.name(),
        timestamp: oldest.to_string(),
        component: field(&config.component),
        group: field(&config.group),
        class: field(&config.class),
        custom_details: details(notification, Level::Full),
    }
}

fn shared_labels(alerts: &[&AlertView]) -> Labels {
    let Some(first) = alerts.first() else { return Labels::default() };
    Labels::from_pairs(first.labels.iter().filter(|(n, v)| alerts.iter().all(|alert| alert.labels.get(n) == Some(v))))
}

/// What is read out on the phone: what is wrong, how bad, where, and how many more.
fn summary(notification: &Notification, first: &AlertView) -> String {
    let others = notification.firing().count() - 1 + notification.truncated;
    let others = if others > 0 { format!(" (and {others} more firing)") } else { String::new() };
    let room = SUMMARY_MAX - present::width(&others);
    format!("{}{others}", cut(&present::announcement(first), room))
}

fn severity(config: &PagerDutyConfig<Secret>, alert: &AlertView) -> PagerDutySeverity {
    let Some(text) = alert.labels.get(&config.severity_label) else { return config.severity_default };
    let mapped = config.severities.iter().find(|(from, _)| from.eq_ignore_ascii_case(text)).map(|(_, to)| *to);
    mapped.or_else(|| PagerDutySeverity::usual(text)).unwrap_or(config.severity_default)
}

fn links(notification: &Notification) -> Vec<EventLink> {
    const LINKS_MAX: usize = 20;
    let alone = notification.firing().count() == 1;
    let mut links: Vec<EventLink> = Vec::new();
    for alert in notification.firing().take(LINKS_MAX) {
        for link in present::links(alert, &notification.external_url) {
            if links.len() < LINKS_MAX && links.iter().all(|known| known.href != link.url) {
                let of = format!("{}: {} {}", link.label, present::name(alert), present::place(&alert.labels));
                let text = if alone { link.label } else { cut(&of, 200).into_owned() };
                links.push(EventLink { href: link.url, text });
            }
        }
    }
    links
}

/// From everything to next to nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Full,
    /// Without examples of raw events.
    NoExamples,
    /// The first alert only, and without labels and description.
    Brief,
    None,
}

/// What the incident's page and its mails show, in the order it is read.
struct Details(Vec<(String, Detail)>);

#[derive(Serialize)]
#[serde(untagged)]
enum Detail {
    Text(String),
    List(Vec<String>),
    Table(Details),
}

impl Serialize for Details {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, detail)| (name, detail)))
    }
}

impl Details {
    fn text(&mut self, name: &str, text: impl Into<String>) {
        self.0.push((name.to_owned(), Detail::Text(text.into())));
    }

    fn list(&mut self, name: &str, rows: impl IntoIterator<Item = String>) {
        let rows: Vec<String> = rows.into_iter().collect();
        if !rows.is_empty() {
            self.0.push((name.to_owned(), Detail::List(rows)));
        }
    }

    fn table(&mut self, name: &str, rows: impl IntoIterator<Item = (String, String)>) {
        let rows: Vec<_> = rows.into_iter().map(|(name, text)| (name, Detail::Text(text))).collect();
        if !rows.is_empty() {
            self.0.push((name.to_owned(), Detail::Table(Details(rows))));
        }
    }
}

fn details(notification: &Notification, level: Level) -> Details {
    let mut all = Details(Vec::new());
    all.text("status", present::status_tag(notification));
    if level > Level::Full {
        let page = &notification.external_url;
        all.text("note", format!("details were left out to stay within PagerDuty's size; see {page}"));
    }
    let firing = present::worst_first(notification).into_iter().filter(|alert| alert.status == AlertStatus::Firing);
    let firing: Vec<&AlertView> = firing.collect();
    let Some((first, others)) = firing.split_first().filter(|_| level < Level::None) else { return all };
    alert_details(&mut all, notification, first, level);
    let shown = if level == Level::Brief { 0 } else { OTHERS_MAX };
    let hidden = others.len().saturating_sub(shown) + notification.truncated;
    let more = (hidden > 0).then(|| format!("{CUT_MARK} and {hidden} more"));
    all.list("also firing", others.iter().take(shown).map(|alert| row(alert)).chain(more));
    all.list("resolved", notification.resolved().take(shown).map(row));
    all
}

fn row(alert: &AlertView) -> String {
    cut(&present::one_line(alert), 500).into_owned()
}

fn alert_details(all: &mut Details, notification: &Notification, alert: &AlertView, level: Level) {
    let whole = level < Level::Brief;
    all.text("what", cut(&present::summary(alert), 2_000));
    if let Some(text) = present::description(alert).filter(|_| whole) {
        all.text("description", cut(&text, 4_000));
    }
    all.text("since", present::since(alert, notification.at));
    all.list("why", present::reasons(alert).iter().map(ToString::to_string));
    all.table("values", present::values(alert));
    if whole {
        for (name, top) in present::contributors(alert) {
            all.list(&format!("top {name}"), top.into_iter().map(|(value, count)| format!("{value} ({count})")));
        }
    }
    if level == Level::Full {
        all.list("examples", present::examples(alert));
    }
    if whole {
        let labels = alert.labels.iter();
        all.table("labels", labels.map(|(n, v)| (present::line(n).into_owned(), present::line(v).into_owned())));
    }
    all.text("window", alert.evidence.window.to_string());
    all.text("rule", present::rule_place(alert));
}

/// The event as bytes, with as much detail as fits.
fn fitted(mut event: Event<'_>, notification: &Notification) -> Vec<u8> {
    for level in [Level::NoExamples, Level::Brief, Level::None] {
        let body = encoded(&event);
        if body.len() <= EVENT_BYTES_MAX {
            return body;
        }
        if let Some(payload) = &mut event.payload {
            payload.custom_details = details(notification, level);
        }
    }
    encoded(&event)
}

fn encoded(event: &Event<'_>) -> Vec<u8> {
    serde_json::to_vec(event).expect("an event has string keys only")
}
