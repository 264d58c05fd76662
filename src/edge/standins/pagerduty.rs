//! PagerDuty's Events API v2: takes events, refuses what it documents to refuse, and keeps one incident for each
//! `dedup_key`.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::http::{Reply, Server, Taken};
use super::{Feed, Script};
use crate::notify::pagerduty::{DEDUP_KEY_MAX, EVENT_BYTES_MAX, SUMMARY_MAX};
use crate::notify::present::width;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentState {
    Triggered,
    Resolved,
}

/// What one `dedup_key` amounts to.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    pub state: IncidentState,
    pub summary: String,
    pub severity: String,
    /// How often it paged: once for each time it was triggered while not open.
    pub pages: u32,
    /// All events with its key.
    pub events: u32,
}

#[derive(Debug, Default)]
struct Service {
    incidents: BTreeMap<String, Incident>,
    events: Vec<Value>,
}

#[derive(Debug)]
pub struct PagerDutyStandin {
    server: Server,
    service: Arc<Mutex<Service>>,
}

impl PagerDutyStandin {
    pub async fn start(routing_key: &str, feed: Feed) -> std::io::Result<PagerDutyStandin> {
        let service = Arc::new(Mutex::new(Service::default()));
        let (state, key) = (service.clone(), routing_key.to_owned());
        let server = Server::start(move |request| take(&mut state.lock(), &request, &key, &feed)).await?;
        Ok(PagerDutyStandin { server, service })
    }

    pub fn url(&self) -> String {
        format!("http://{}/v2/enqueue", self.server.address)
    }

    pub fn script(&self) -> &Script {
        &self.server.script
    }

    pub fn incidents(&self) -> BTreeMap<String, Incident> {
        self.service.lock().incidents.clone()
    }

    pub fn events(&self) -> Vec<Value> {
        self.service.lock().events.clone()
    }
}

fn take(service: &mut Service, request: &Taken, routing_key: &str, feed: &Feed) -> Reply {
    if request.path != "/v2/enqueue" {
        return (404, String::new());
    }
    if request.body.len() > EVENT_BYTES_MAX {
        return (413, "event too large".to_owned());
    }
    let Ok(event) = serde_json::from_slice::<Value>(&request.body) else {
        return invalid(&["JSON parse error".to_owned()]);
    };
    let problems = problems(&event, routing_key);
    if !problems.is_empty() {
        return invalid(&problems);
    }
    let key = event["dedup_key"].as_str().unwrap_or_default().to_owned();
    let resolve = event["event_action"] == "resolve";
    let payload = &event["payload"];
    let text = |name: &str| payload[name].as_str().unwrap_or_default().to_owned();
    match (service.incidents.get_mut(&key), resolve) {
        (Some(incident), true) => {
            incident.state = IncidentState::Resolved;
            incident.events += 1;
            feed(format!("pagerduty  resolve   {}", incident.summary));
        }
        // Nothing is open under that key: taken, and without effect.
        (None, true) => feed("pagerduty  resolve   (nothing open)".to_owned()),
        (known, false) => {
            let open = known.as_ref().is_some_and(|incident| incident.state == IncidentState::Triggered);
            let (pages, events) = known.map_or((0, 0), |incident| (incident.pages, incident.events));
            feed(format!("pagerduty  {:<9} {}", text("severity"), text("summary")));
            let incident = Incident {
                state: IncidentState::Triggered,
                summary: text("summary"),
                severity: text("severity"),
                pages: pages + u32::from(!open),
                events: events + 1,
            };
            service.incidents.insert(key.clone(), incident);
        }
    }
    service.events.push(event);
    (202, json!({ "status": "success", "message": "Event processed", "dedup_key": key }).to_string())
}

fn invalid(errors: &[String]) -> Reply {
    (400, json!({ "status": "invalid event", "message": "Event object is invalid", "errors": errors }).to_string())
}

/// In PagerDuty's words where they are known.
pub fn problems(event: &Value, routing_key: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match text(&event["routing_key"]) {
        key if key.len() != 32 => {
            problems.push("Length of 'routing_key' is incorrect (should be 32 characters)".to_owned());
        }
        key if key != routing_key => problems.push("Invalid routing key".to_owned()),
        _ => {}
    }
    let key = text(&event["dedup_key"]);
    if key.len() > DEDUP_KEY_MAX {
        problems.push(format!("'dedup_key' is too long (maximum {DEDUP_KEY_MAX})"));
    }
    match text(&event["event_action"]).as_str() {
        "trigger" => {
            let payload = &event["payload"];
            for name in ["summary", "source", "severity"] {
                if text(&payload[name]).is_empty() {
                    problems.push(format!("'payload.{name}' is missing or blank"));
                }
            }
            if width(&text(&payload["summary"])) > SUMMARY_MAX {
                problems.push(format!("'payload.summary' is too long (maximum {SUMMARY_MAX})"));
            }
            if !["critical", "error", "warning", "info"].contains(&text(&payload["severity"]).as_str()) {
                problems.push("'payload.severity' is invalid (must be one of the following: 'critical', 'warning', 'error' or 'info')".to_owned());
            }
        }
        "resolve" | "acknowledge" if key.is_empty() => problems.push("'dedup_key' is missing or blank".to_owned()),
        "resolve" | "acknowledge" => {}
        _ => problems.push("'event_action' is missing or invalid".to_owned()),
    }
    problems
}
