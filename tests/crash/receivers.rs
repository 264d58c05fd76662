//! Who is told, and what they saw. The stand-ins live in the test's process, so no kill reaches them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use foghorn::edge::standins::{
    BOT_TOKEN, PagerDutyStandin, ROUTING_KEY, SlackStandin, Standins, WebhookStandin, silent,
};
use foghorn::notify::webhook::PERHAPS_REPEATED;
use serde_json::Value;

use crate::support::wait::PATIENCE;

pub struct Receivers {
    standins: Standins,
    /// The stand-ins live in it.
    _runtime: tokio::runtime::Runtime,
}

/// What one notification said: status, and of each alert its rule and service, when it began and when it ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    pub status: String,
    pub alerts: Vec<[String; 4]>,
}

/// Notifications by their idempotency key.
pub type Transcript = BTreeMap<String, Said>;

/// Waits until all were told so many notifications as the script asks for. When patience ends, the comparison that follows says
/// what is missing.
pub fn wait_until_told(all: [&Receivers; 2], expected: usize) {
    let started = Instant::now();
    let told = || all.map(|receivers| receivers.transcript().len());
    while told().iter().any(|told| *told < expected) {
        if started.elapsed() > PATIENCE {
            eprintln!("told {:?} of {expected}", told());
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Receivers {
    pub fn start() -> Receivers {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let standins = runtime.block_on(Standins::start(silent())).expect("loopback has free ports");
        Receivers { standins, _runtime: runtime }
    }

    pub fn webhook(&self) -> &WebhookStandin {
        &self.standins.webhook
    }

    pub fn pagerduty(&self) -> &PagerDutyStandin {
        &self.standins.pagerduty
    }

    pub fn slack(&self) -> &SlackStandin {
        &self.standins.slack
    }

    /// For the configuration. Slack takes a message a second, so it is told of a few services only.
    pub fn config(&self) -> String {
        format!(
            "route:\n  receivers: [hook, pager]\n  group_by: ['...']\n  group_wait: 0s\n  group_interval: 1s\n  \
             repeat_interval: 1d\n  routes:\n    - matchers: ['service=~\"svc-0[0-2]\"']\n      receivers: [hook, pager, chat]\n\
             receivers:\n  - name: hook\n    webhook_configs: [{{ url: \"{}\" }}]\n  - name: pager\n    \
             pagerduty_configs: [{{ routing_key_env: PAGER_KEY, url: \"{}\" }}]\n  - name: chat\n    \
             slack_configs: [{{ app_token_env: CHAT_TOKEN, channel: '#alerts', app_url: \"{}\" }}]\n",
            self.webhook().url(),
            self.pagerduty().url(),
            self.slack().api_url(),
        )
    }

    pub fn environment() -> [(&'static str, &'static str); 2] {
        [("PAGER_KEY", ROUTING_KEY), ("CHAT_TOKEN", BOT_TOKEN)]
    }

    /// What the webhook was told, each notification once. Two that share a key and differ are a fault.
    pub fn transcript(&self) -> Transcript {
        let mut said = Transcript::new();
        for message in self.webhook().messages() {
            let key = message.header("idempotency-key").expect("every notification has its key").to_owned();
            let this = said_by(&message.body);
            let known = said.entry(key.clone()).or_insert_with(|| this.clone());
            assert_eq!(*known, this, "one key, two notifications: {key}");
        }
        said
    }

    /// Requests of the webhook that came before with the same key, and whether each says that it may be a repeat.
    pub fn repeats(&self) -> Vec<bool> {
        let messages = self.webhook().messages();
        let repeats = messages.iter().filter(|message| message.repeat);
        repeats.map(|message| message.header(PERHAPS_REPEATED).is_some()).collect()
    }

    /// Pages by incident that were more than one.
    pub fn paged_twice(&self) -> Vec<String> {
        let incidents = self.pagerduty().incidents();
        incidents.into_iter().filter(|(_, incident)| incident.pages != 1).map(|(key, _)| key).collect()
    }

    /// Messages in the channel that say what one before them said, and whether each is marked.
    pub fn chat_repeats(&self) -> Vec<bool> {
        let mut seen = BTreeMap::<String, u32>::new();
        let calls = self.slack().calls();
        let posts = calls.iter().filter(|(method, _)| method == "chat.postMessage");
        let mut repeats = Vec::new();
        for (_, body) in posts {
            let key = body["metadata"]["event_payload"]["idempotency_key"].as_str().expect("a key").to_owned();
            let times = seen.entry(format!("{key} {}", body["thread_ts"].is_string())).or_default();
            *times += 1;
            if *times > 1 {
                repeats.push(body.to_string().contains("may have arrived"));
            }
        }
        repeats
    }
}

fn said_by(body: &Value) -> Said {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let label = |alert: &Value, name: &str| text(&alert["labels"][name]);
    let alert = |alert: &Value| {
        [label(alert, "alertname"), label(alert, "service"), text(&alert["startsAt"]), text(&alert["endsAt"])]
    };
    let alerts = body["alerts"].as_array().expect("alerts");
    Said { status: text(&body["status"]), alerts: alerts.iter().map(alert).collect() }
}
