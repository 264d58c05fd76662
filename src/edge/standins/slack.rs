//! Slack: `chat.postMessage`, `chat.update` and incoming webhooks, with Slack's limits and its words for refusing.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::http::{Reply, Server, Taken};
use super::{Feed, Script};
use crate::notify::present::width;
use crate::notify::slack::{ATTACHMENTS_MAX, BLOCKS_MAX, FIELD_TEXT_MAX, FIELDS_MAX, SECTION_TEXT_MAX, TEXT_MAX};

/// Where Slack was seen to refuse a message's blocks as a whole, in characters of JSON.
const ALL_BLOCKS_MAX: usize = 16_000;

/// A message as the channel shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct SlackMessage {
    pub channel: String,
    pub ts: String,
    /// The message it replies to.
    pub thread_ts: Option<String>,
    /// Whether a reply is shown in the channel, too.
    pub broadcast: bool,
    pub text: String,
    pub attachments: Vec<Value>,
    /// How often it was changed.
    pub edits: u32,
}

#[derive(Debug, Default)]
struct Workspace {
    messages: Vec<SlackMessage>,
    /// Every call that was answered: method and body.
    calls: Vec<(String, Value)>,
}

#[derive(Debug)]
pub struct SlackStandin {
    server: Server,
    workspace: Arc<Mutex<Workspace>>,
}

impl SlackStandin {
    pub async fn start(token: &str, feed: Feed) -> std::io::Result<SlackStandin> {
        let workspace = Arc::new(Mutex::new(Workspace::default()));
        let (state, bearer) = (workspace.clone(), format!("Bearer {token}"));
        let server = Server::start(move |request| take(&mut state.lock(), &request, &bearer, &feed)).await?;
        Ok(SlackStandin { server, workspace })
    }

    pub fn api_url(&self) -> String {
        format!("http://{}/api", self.server.address)
    }

    pub fn webhook_url(&self) -> String {
        format!("http://{}/services/T000/B000/standin", self.server.address)
    }

    pub fn script(&self) -> &Script {
        &self.server.script
    }

    pub fn messages(&self) -> Vec<SlackMessage> {
        self.workspace.lock().messages.clone()
    }

    pub fn calls(&self) -> Vec<(String, Value)> {
        self.workspace.lock().calls.clone()
    }

    /// As if somebody deleted it.
    pub fn delete(&self, ts: &str) {
        self.workspace.lock().messages.retain(|message| message.ts != ts);
    }
}

fn take(workspace: &mut Workspace, request: &Taken, bearer: &str, feed: &Feed) -> Reply {
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else { return (400, "invalid_payload".to_owned()) };
    let reply = match request.path.as_str() {
        path if path.starts_with("/services/") => by_webhook(workspace, &body, feed),
        "/api/chat.postMessage" | "/api/chat.update" if request.header("authorization") != Some(bearer) => {
            refuse("invalid_auth")
        }
        "/api/chat.postMessage" => post(workspace, &body, feed),
        "/api/chat.update" => update(workspace, &body, feed),
        _ => (404, "unknown_method".to_owned()),
    };
    workspace.calls.push((request.path.trim_start_matches("/api/").to_owned(), body));
    reply
}

fn refuse(error: &str) -> Reply {
    (200, json!({ "ok": false, "error": error }).to_string())
}

fn by_webhook(workspace: &mut Workspace, body: &Value, feed: &Feed) -> Reply {
    if let Some(error) = over_limit(body) {
        return (400, error.to_owned());
    }
    let message = message(workspace, "webhook".to_owned(), body);
    feed(format!("slack      {}", one_line(&message)));
    workspace.messages.push(message);
    (200, "ok".to_owned())
}

fn post(workspace: &mut Workspace, body: &Value, feed: &Feed) -> Reply {
    let Some(name) = body["channel"].as_str().filter(|name| !name.is_empty()) else {
        return refuse("channel_not_found");
    };
    if let Some(error) = over_limit(body) {
        return refuse(error);
    }
    let channel = channel_id(name);
    let thread = body["thread_ts"].as_str();
    if thread.is_some_and(|ts| !workspace.messages.iter().any(|known| known.channel == channel && known.ts == ts)) {
        return refuse("thread_not_found");
    }
    let message = message(workspace, channel, body);
    let arrow = if message.thread_ts.is_some() { "↳ " } else { "" };
    feed(format!("slack      {arrow}{}", one_line(&message)));
    let reply = json!({ "ok": true, "channel": message.channel, "ts": message.ts });
    workspace.messages.push(message);
    (200, reply.to_string())
}

fn update(workspace: &mut Workspace, body: &Value, feed: &Feed) -> Reply {
    if let Some(error) = over_limit(body) {
        return refuse(error);
    }
    let (channel, ts) = (body["channel"].as_str().unwrap_or_default(), body["ts"].as_str().unwrap_or_default());
    let known = workspace.messages.iter_mut().find(|message| message.channel == channel && message.ts == ts);
    let Some(message) = known else { return refuse("message_not_found") };
    message.text = body["text"].as_str().unwrap_or_default().to_owned();
    message.attachments = body["attachments"].as_array().cloned().unwrap_or_default();
    message.edits += 1;
    feed(format!("slack      ✎ {}", one_line(message)));
    (200, json!({ "ok": true, "channel": channel, "ts": ts, "text": message.text }).to_string())
}

/// Slack turns a channel's name into its id and answers with that.
fn channel_id(name: &str) -> String {
    match name.strip_prefix('#') {
        Some(name) => format!("C{:08X}", xxhash_rust::xxh3::xxh3_64(name.as_bytes()) as u32),
        None => name.to_owned(),
    }
}

fn message(workspace: &Workspace, channel: String, body: &Value) -> SlackMessage {
    SlackMessage {
        channel,
        ts: format!("1700000000.{:06}", workspace.calls.len() + 1),
        thread_ts: body["thread_ts"].as_str().map(str::to_owned),
        broadcast: body["reply_broadcast"].as_bool().unwrap_or(false),
        text: body["text"].as_str().unwrap_or_default().to_owned(),
        attachments: body["attachments"].as_array().cloned().unwrap_or_default(),
        edits: 0,
    }
}

/// Slack's word for the first limit a message breaks.
pub fn over_limit(body: &Value) -> Option<&'static str> {
    let text = body["text"].as_str().unwrap_or_default();
    let none = Vec::new();
    let attachments = body["attachments"].as_array().unwrap_or(&none);
    if text.is_empty() && attachments.is_empty() {
        return Some("no_text");
    }
    if width(text) > TEXT_MAX {
        return Some("msg_too_long");
    }
    if attachments.len() > ATTACHMENTS_MAX {
        return Some("too_many_attachments");
    }
    let blocks: Vec<&Value> = attachments.iter().flat_map(|one| one["blocks"].as_array().unwrap_or(&none)).collect();
    if blocks.len() > BLOCKS_MAX || blocks.iter().any(|block| !block_fits(block)) {
        return Some("invalid_blocks");
    }
    let all: usize = attachments.iter().map(|one| width(&one.to_string())).sum();
    (all > ALL_BLOCKS_MAX).then_some("msg_blocks_too_long")
}

fn block_fits(block: &Value) -> bool {
    let text_fits = |text: &Value, max: usize| {
        let words = text["text"].as_str().unwrap_or_default();
        matches!(text["type"].as_str(), Some("mrkdwn" | "plain_text")) && !words.is_empty() && width(words) <= max
    };
    match (block["type"].as_str(), block["text"].is_object(), block["fields"].as_array(), block["elements"].as_array())
    {
        (Some("section"), true, None, _) => text_fits(&block["text"], SECTION_TEXT_MAX),
        (Some("section"), false, Some(fields), _) => {
            (1..=FIELDS_MAX).contains(&fields.len()) && fields.iter().all(|field| text_fits(field, FIELD_TEXT_MAX))
        }
        (Some("context"), _, _, Some(elements)) => {
            (1..=10).contains(&elements.len()) && elements.iter().all(|one| text_fits(one, SECTION_TEXT_MAX))
        }
        _ => false,
    }
}

fn one_line(message: &SlackMessage) -> String {
    message.text.replace('\n', "  ").replace('*', "").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}
