//! A webhook in Alertmanager's format, version 4: what speaks to Alertmanager understands Foghorn.
//!
//! The evidence goes into one further field of each alert, `foghorn`, because consumers of this format pass over fields
//! they do not know, while further annotations would show up in their templates as text:
//!
//! ```json
//! "foghorn": {
//!   "rule": { "name": "CheckoutSlow", "group": "checkout", "file": "rules/shop.yaml", "line": 12 },
//!   "value": 1240.0,
//!   "activeSince": "2026-03-30T15:02:05Z",
//!   "condition": "p99 > 800",
//!   "window": "5m",
//!   "comparisons": [{ "text": "p99 > 800", "left": 1240.0, "right": 800.0, "holds": true }],
//!   "values": [{ "name": "p99", "value": 1240.0 }],
//!   "contributors": [{ "name": "by_client", "value": "10.4.0.17", "count": 411 }],
//!   "exemplars": [{ "at": "2026-03-30T15:04:01Z", "topic": "shop.requests", "partition": 3, "offset": 1042,
//!                   "id": "4bf92f3577b34da6", "text": "…" }]
//! }
//! ```
//!
//! Numbers that JSON does not have (NaN, infinite) are `null`.
//!
//! A consumer that refuses unknown fields gets the plain format with `evidence: false`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::delivery::{AlertStatus, AlertView, Notification};
use crate::model::labels::Labels;
use crate::notify::config::{HttpAuth, WebhookConfig};
use crate::notify::conversation::json_post;
use crate::notify::present;
use crate::notify::request::Post;
use crate::notify::secret::Secret;

/// Bytes of one message: what web servers take unless they are told otherwise. A larger one is sent without evidence,
/// then with fewer alerts, counted in `truncatedAlerts`.
pub const BODY_BYTES_MAX: usize = 1_000_000;

/// Characters of one annotation; a longer one ends in `…`.
pub const ANNOTATION_MAX: usize = 16_000;

/// Go's zero time, which Alertmanager writes for an alert that has not ended.
const NOT_ENDED: &str = "0001-01-01T00:00:00Z";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    receiver: &'a str,
    status: &'static str,
    alerts: Vec<Alert<'a>>,
    group_labels: &'a Labels,
    common_labels: Labels,
    common_annotations: BTreeMap<&'a str, Cow<'a, str>>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    version: &'static str,
    group_key: &'a str,
    truncated_alerts: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    status: &'static str,
    labels: &'a Labels,
    annotations: BTreeMap<&'a str, Cow<'a, str>>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    foghorn: Option<Foghorn<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Foghorn<'a> {
    rule: Rule<'a>,
    value: Option<f64>,
    active_since: String,
    condition: &'a str,
    window: String,
    comparisons: Vec<Compared<'a>>,
    values: Vec<Named<'a>>,
    contributors: Vec<Top<'a>>,
    exemplars: Vec<Example<'a>>,
}

#[derive(Serialize)]
struct Rule<'a> {
    name: &'a str,
    group: &'a str,
    file: &'a str,
    line: u32,
}

#[derive(Serialize)]
struct Compared<'a> {
    text: &'a str,
    left: Option<f64>,
    right: Option<f64>,
    holds: Option<bool>,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    value: Option<f64>,
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
    topic: &'a str,
    partition: i32,
    offset: i64,
    id: Option<&'a str>,
    text: Option<&'a str>,
}

/// Says that an earlier attempt may have arrived, in case who takes it does not look at keys.
pub const PERHAPS_REPEATED: &str = "foghorn-perhaps-repeated";

pub fn message(config: &WebhookConfig<Secret>, notification: &Notification, perhaps_repeated: bool) -> Post {
    let mut headers: Vec<(String, Secret)> =
        config.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    headers.push(("idempotency-key".to_owned(), Secret::new(notification.idempotency_key())));
    headers.extend(perhaps_repeated.then(|| (PERHAPS_REPEATED.to_owned(), Secret::new("true"))));
    headers.extend(config.auth.as_ref().map(|auth| ("authorization".to_owned(), authorization(auth))));
    json_post(config.url.clone(), fitted(config, notification), headers)
}

fn authorization(auth: &HttpAuth<Secret>) -> Secret {
    use base64::Engine as _;
    match auth {
        HttpAuth::Basic { username, password } => {
            let pair = format!("{username}:{}", password.expose());
            Secret::new(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))
        }
        HttpAuth::Authorization { scheme, credentials } => Secret::new(format!("{scheme} {}", credentials.expose())),
    }
}

fn fitted(config: &WebhookConfig<Secret>, notification: &Notification) -> Vec<u8> {
    let wanted = if config.max_alerts == 0 { usize::MAX } else { config.max_alerts };
    let mut shown = notification.alerts.len().min(wanted);
    let mut evidence = config.evidence;
    loop {
        let body = encoded(notification, shown, evidence);
        if body.len() <= BODY_BYTES_MAX || shown == 0 {
            return body;
        }
        match evidence {
            true => evidence = false,
            false => shown /= 2,
        }
    }
}

fn encoded(notification: &Notification, shown: usize, evidence: bool) -> Vec<u8> {
    let alerts = &notification.alerts[..shown];
    let message = Message {
        receiver: &notification.receiver,
        status: status(notification.status()),
        alerts: alerts.iter().map(|alert| one(notification, alert, evidence)).collect(),
        group_labels: &notification.group_labels,
        common_labels: common(alerts),
        common_annotations: common_annotations(alerts),
        external_url: &notification.external_url,
        version: "4",
        group_key: &notification.group_key,
        truncated_alerts: notification.truncated + (notification.alerts.len() - shown),
    };
    serde_json::to_vec(&message).expect("a message has string keys only")
}

fn one<'a>(notification: &Notification, alert: &'a AlertView, evidence: bool) -> Alert<'a> {
    Alert {
        status: status(alert.status),
        labels: &alert.labels,
        annotations: annotations(alert),
        starts_at: alert.starts_at.to_string(),
        ends_at: alert.ends_at.map_or_else(|| NOT_ENDED.to_owned(), |end| end.to_string()),
        generator_url: present::alert_url(&notification.external_url, alert).unwrap_or_default(),
        fingerprint: alert.fingerprint.to_string(),
        foghorn: evidence.then(|| foghorn(alert)),
    }
}

fn foghorn(alert: &AlertView) -> Foghorn<'_> {
    let (rule, evidence) = (&alert.rule, &alert.evidence);
    let comparisons = evidence.comparisons.iter();
    let exemplars = evidence.exemplars.iter();
    Foghorn {
        rule: Rule { name: &rule.name, group: &rule.group, file: &rule.file, line: rule.line },
        value: alert.value,
        active_since: alert.active_since.to_string(),
        condition: &evidence.condition,
        window: evidence.window.to_string(),
        comparisons: comparisons
            .map(|c| Compared { text: &c.text, left: c.left, right: c.right, holds: c.holds })
            .collect(),
        values: evidence.values.iter().map(|(name, value)| Named { name, value: *value }).collect(),
        contributors: evidence
            .contributors
            .iter()
            .map(|c| Top { name: &c.name, value: &c.value, count: c.count })
            .collect(),
        exemplars: exemplars
            .map(|e| Example {
                at: e.at.to_string(),
                topic: &e.position.source.topic,
                partition: e.position.source.partition,
                offset: e.position.offset,
                id: e.id.as_deref(),
                text: e.text.as_deref(),
            })
            .collect(),
    }
}

const fn status(status: AlertStatus) -> &'static str {
    match status {
        AlertStatus::Firing => "firing",
        AlertStatus::Resolved => "resolved",
    }
}

fn annotations(alert: &AlertView) -> BTreeMap<&str, Cow<'_, str>> {
    alert.annotations.iter().map(|(name, text)| (&**name, present::cut(text, ANNOTATION_MAX))).collect()
}

fn common(alerts: &[AlertView]) -> Labels {
    let Some(first) = alerts.first() else { return Labels::default() };
    Labels::from_pairs(first.labels.iter().filter(|(n, v)| alerts.iter().all(|alert| alert.labels.get(n) == Some(v))))
}

fn common_annotations(alerts: &[AlertView]) -> BTreeMap<&str, Cow<'_, str>> {
    let Some(first) = alerts.first() else { return BTreeMap::new() };
    let mut shared = annotations(first);
    for alert in alerts {
        let theirs = annotations(alert);
        shared.retain(|name, text| theirs.get(name) == Some(text));
    }
    shared
}
