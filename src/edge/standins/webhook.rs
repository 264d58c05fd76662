//! A webhook that takes any JSON and keeps it, once for each idempotency key.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use super::http::{Server, Taken};
use super::{Feed, Script};

/// One message as it came.
#[derive(Clone, Debug)]
pub struct WebhookMessage {
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Value,
    /// The same idempotency key came before.
    pub repeat: bool,
}

impl WebhookMessage {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug)]
pub struct WebhookStandin {
    server: Server,
    messages: Arc<Mutex<Vec<WebhookMessage>>>,
}

impl WebhookStandin {
    pub async fn start(feed: Feed) -> std::io::Result<WebhookStandin> {
        let messages = Arc::new(Mutex::new(Vec::new()));
        let state = messages.clone();
        let server = Server::start(move |request| take(&mut state.lock(), &request, &feed)).await?;
        Ok(WebhookStandin { server, messages })
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook?token=standin-webhook-token", self.server.address)
    }

    pub fn script(&self) -> &Script {
        &self.server.script
    }

    pub fn messages(&self) -> Vec<WebhookMessage> {
        self.messages.lock().clone()
    }
}

fn take(messages: &mut Vec<WebhookMessage>, request: &Taken, feed: &Feed) -> (u16, String) {
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else { return (400, "not JSON".to_owned()) };
    let key = request.header("idempotency-key");
    let repeat = key.is_some() && messages.iter().any(|known| known.header("idempotency-key") == key);
    let alerts = body["alerts"].as_array().map_or(0, Vec::len);
    let status = body["status"].as_str().unwrap_or("?");
    let again = if repeat { " (repeat)" } else { "" };
    feed(format!(
        "webhook    {status:<9} {alerts} alert{} of {}{again}",
        if alerts == 1 { "" } else { "s" },
        body["groupKey"].as_str().unwrap_or("?")
    ));
    messages.push(WebhookMessage { headers: request.headers.clone(), body, repeat });
    (200, String::new())
}
