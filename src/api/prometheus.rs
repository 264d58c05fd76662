//! Rules and alerts in the shapes of Prometheus' HTTP API, so that what reads Prometheus reads Foghorn.
//!
//! Shapes: <https://prometheus.io/docs/prometheus/latest/querying/api/#rules>. Additions are `evidence` and
//! `silencedBy` on alerts and `source` on rules; readers of Prometheus pass over what they do not know.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::alert::life::{Alert, Life};
use crate::api::Api;
use crate::edge::clock;
use crate::rule::plan::Rule;
use crate::rule::template::Template;

pub async fn rules(State(api): State<Api>) -> Json<Value> {
    let alerts = alerts_by_rule(&api);
    let mut groups: Vec<((&str, &str), Vec<Value>)> = Vec::new();
    let plan = api.plan.get();
    for rule in &plan.rules {
        let key = (&*rule.meta.file, &*rule.meta.group);
        let active = alerts.get(&*rule.meta.to_string()).cloned().unwrap_or_default();
        let shown = rule_value(rule, &active);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, rules)) => rules.push(shown),
            None => groups.push((key, vec![shown])),
        }
    }
    let groups: Vec<Value> = groups
        .into_iter()
        .map(|((file, name), rules)| {
            let interval = rules.iter().filter_map(|rule| rule["every"].as_f64()).fold(f64::INFINITY, f64::min);
            json!({ "name": name, "file": file, "interval": interval, "limit": 0, "rules": rules })
        })
        .collect();
    Json(json!({ "status": "success", "data": { "groups": groups } }))
}

pub async fn alerts(State(api): State<Api>) -> Json<Value> {
    let mut alerts: Vec<Alert> = api.status.alerts.iter().map(|alert| alert.value().clone()).collect();
    alerts.retain(|alert| !matches!(alert.life, Life::Resolved { .. }));
    alerts.sort_by(|a, b| (&a.rule, &a.labels).cmp(&(&b.rule, &b.labels)));
    let desk = api.status.desk.lock();
    let now = clock::now();
    let value = |alert: &Alert| {
        let mut value = alert_value(alert);
        value["silencedBy"] = json!(desk.hiding(&alert.labels, now).map(|silence| silence.id));
        value
    };
    let alerts: Vec<Value> = alerts.iter().map(value).collect();
    Json(json!({ "status": "success", "data": { "alerts": alerts } }))
}

/// Streams, partitions and receivers.
pub async fn status(State(api): State<Api>) -> Json<Value> {
    Json(json!({ "status": "success", "data": super::page::status_json(&api, clock::now()) }))
}

fn alerts_by_rule(api: &Api) -> BTreeMap<String, Vec<Alert>> {
    let mut found: BTreeMap<String, Vec<Alert>> = BTreeMap::new();
    for alert in api.status.alerts.iter() {
        if !matches!(alert.life, Life::Resolved { .. }) {
            found.entry(alert.rule.to_string()).or_default().push(alert.value().clone());
        }
    }
    found.values_mut().for_each(|alerts| alerts.sort_by(|a, b| a.labels.cmp(&b.labels)));
    found
}

fn rule_value(rule: &Rule, active: &[Alert]) -> Value {
    let firing = active.iter().any(|alert| matches!(alert.life, Life::Firing { .. }));
    let state = match (firing, active.is_empty()) {
        (true, _) => "firing",
        (false, false) => "pending",
        (false, true) => "inactive",
    };
    let texts = |list: &[(Arc<str>, Arc<Template>)]| -> BTreeMap<String, String> {
        list.iter().map(|(name, template)| (name.to_string(), template.source().to_owned())).collect()
    };
    json!({
        "type": "alerting",
        "name": &*rule.meta.name,
        "state": state,
        "query": super::query(rule),
        "duration": rule.hold.for_.as_secs_f64(),
        "keepFiringFor": rule.hold.keep_firing_for.as_secs_f64(),
        "labels": texts(&rule.labels),
        "annotations": texts(&rule.annotations),
        "alerts": active.iter().map(alert_value).collect::<Vec<_>>(),
        "health": "ok",
        "every": rule.every.as_secs_f64(),
        "source": format!("{}:{}", rule.meta.file, rule.meta.line),
    })
}

fn alert_value(alert: &Alert) -> Value {
    let (state, since) = match alert.life {
        Life::Pending { since } => ("pending", since),
        Life::Firing { since, .. } => ("firing", since),
        Life::Resolved { since, .. } => ("resolved", since),
    };
    json!({
        "labels": alert.labels,
        "annotations": alert.annotations.iter().map(|(n, v)| (n.to_string(), v.clone())).collect::<BTreeMap<_, _>>(),
        "state": state,
        "activeAt": since.to_string(),
        "value": alert.value.map_or_else(|| "NaN".to_owned(), |value| format!("{value:e}")),
        "evidence": &*alert.evidence,
    })
}
