//! PagerDuty, Events API v2: one alert there for the life of one group here, by `dedup_key`.
//!
//! Every notification of a firing group is a `trigger` with the same key, which PagerDuty folds into one alert with a
//! log; the last is a `resolve`. So repeats and retries never page twice.
//!
//! What does not fit in PagerDuty's 512 KB is left out in order of worth, and the event says so: an event that is
//! refused for its size pages nobody.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::model::delivery::{AlertStatus, AlertView, Notification};
use crate::model::labels::Labels;
use crate::notify::config::{PagerDutyConfig, PagerDutySeverity};
use crate::notify::conversation::json_post;
use crate::notify::present::{self, cut};
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
    links: Vec<Value>,
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
    custom_details: Value,
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
    if let Some(first) = notification.firing().next() {
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
        custom_details: details(notification, Detail::Full),
    }
}

fn shared_labels(alerts: &[&AlertView]) -> Labels {
    let Some(first) = alerts.first() else { return Labels::default() };
    Labels::from_pairs(first.labels.iter().filter(|(n, v)| alerts.iter().all(|alert| alert.labels.get(n) == Some(v))))
}

/// What is read out on the phone: what is wrong, then where, then how many.
fn summary(notification: &Notification, first: &AlertView) -> String {
    let others = notification.firing().count() - 1 + notification.truncated;
    let others = if others > 0 { format!(" (and {others} more firing)") } else { String::new() };
    let room = SUMMARY_MAX - present::width(&others);
    format!("{}{others}", cut(&present::one_line(first), room))
}

fn severity(config: &PagerDutyConfig<Secret>, alert: &AlertView) -> PagerDutySeverity {
    let Some(text) = alert.labels.get(&config.severity_label) else { return config.severity_default };
    let mapped = config.severities.iter().find(|(from, _)| from.eq_ignore_ascii_case(text)).map(|(_, to)| *to);
    mapped.or_else(|| PagerDutySeverity::usual(text)).unwrap_or(config.severity_default)
}

fn links(notification: &Notification) -> Vec<Value> {
    const LINKS_MAX: usize = 20;
    let mut seen: Vec<String> = Vec::new();
    let mut links = Vec::new();
    for alert in notification.firing().take(LINKS_MAX) {
        for link in present::links(alert, &notification.external_url) {
            if links.len() < LINKS_MAX && !seen.contains(&link.url) {
                let text = format!("{}: {}", link.label, present::one_line(alert));
                links.push(json!({ "href": link.url, "text": cut(&text, 200) }));
                seen.push(link.url);
            }
        }
    }
    links
}

/// From everything to next to nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Detail {
    Full,
    /// Without examples of raw events.
    NoExamples,
    /// The first alert's reasons and values only.
    Brief,
    None,
}

/// What the page's body shows: flat names first, since PagerDuty's list and its mails read from the top.
fn details(notification: &Notification, detail: Detail) -> Value {
    let mut all = Map::new();
    let page = &*notification.external_url;
    let left_out = || json!(format!("details were left out to stay within PagerDuty's size; see {page}"));
    let firing: Vec<&AlertView> = notification.firing().collect();
    all.insert("status".to_owned(), json!(present::status_tag(notification)));
    let Some((first, others)) = firing.split_first().filter(|_| detail < Detail::None) else {
        all.insert("note".to_owned(), left_out());
        return Value::Object(all);
    };
    all.extend(alert_details(notification, first, detail));
    if detail > Detail::Full {
        all.insert("note".to_owned(), left_out());
    }
    let shown = if detail == Detail::Brief { 0 } else { OTHERS_MAX };
    let mut rows: Vec<String> = others.iter().take(shown).map(|alert| row(alert)).collect();
    let hidden = others.len().saturating_sub(shown) + notification.truncated;
    if hidden > 0 {
        rows.push(format!("… and {hidden} more"));
    }
    if !rows.is_empty() {
        all.insert("also firing".to_owned(), json!(rows));
    }
    let resolved: Vec<String> =
        notification.alerts.iter().filter(|a| a.status == AlertStatus::Resolved).take(shown).map(row).collect();
    if !resolved.is_empty() {
        all.insert("resolved".to_owned(), json!(resolved));
    }
    Value::Object(all)
}

fn row(alert: &AlertView) -> String {
    cut(&present::one_line(alert), 500).into_owned()
}

fn alert_details(notification: &Notification, alert: &AlertView, detail: Detail) -> Map<String, Value> {
    let mut all = Map::new();
    let mut add = |name: &str, value: Value| all.insert(name.to_owned(), value);
    add("what", json!(present::summary(alert)));
    if let Some(text) = present::description(alert) {
        add("description", json!(cut(&text, 4_000)));
    }
    add("since", json!(present::since(alert, notification.at)));
    add("why", json!(present::reasons(alert)));
    let values = present::values(alert).into_iter().map(|(name, value)| (name, json!(value)));
    add("values", Value::Object(values.collect()));
    for (name, top) in present::contributors(alert) {
        let rows = top.into_iter().map(|(value, count)| format!("{value} ({count})"));
        add(&format!("top {name}"), json!(rows.collect::<Vec<_>>()));
    }
    if detail == Detail::Full && !alert.evidence.exemplars.is_empty() {
        let examples: Vec<String> = alert.evidence.exemplars.iter().map(present::example).collect();
        add("examples", json!(examples));
    }
    let labels =
        alert.labels.iter().map(|(name, value)| (present::line(name).into_owned(), json!(present::line(value))));
    add("labels", Value::Object(labels.collect()));
    add("window", json!(alert.evidence.window.to_string()));
    add("rule", json!(present::rule_place(alert)));
    all
}

/// The event as bytes, with as much detail as fits.
fn fitted(mut event: Event<'_>, notification: &Notification) -> Vec<u8> {
    for detail in [Detail::NoExamples, Detail::Brief, Detail::None] {
        let body = encoded(&event);
        if body.len() <= EVENT_BYTES_MAX {
            return body;
        }
        if let Some(payload) = &mut event.payload {
            payload.custom_details = details(notification, detail);
        }
    }
    encoded(&event)
}

fn encoded(event: &Event<'_>) -> Vec<u8> {
    serde_json::to_vec(event).expect("an event has string keys only")
}
