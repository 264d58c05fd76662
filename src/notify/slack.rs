//! Slack: one message for a group of alerts, with a coloured attachment for each alert.
//!
//! Attachments with blocks inside are the only shape that has both a colour bar and two-column fields. The line above
//! them (`text`) is what a phone shows before it is unlocked, so it says what and where on its own.
//!
//! Slack refuses a message as a whole when one part of it is too long, so every part is cut to its documented limit
//! with a mark, and the message to a sum below what Slack is seen to refuse: alerts that do not fit in full are shown
//! with less, then as one line each, then as a number.
//!
//! - `S1` no payload exceeds the limits below, whatever the notification holds
//! - `S2` text from outside cannot form a mention, a link or markup: `&`, `<`, `>` are escaped, and a cut never splits an
//!   escape

use serde::Serialize;
use serde_json::{Value, json};

use crate::model::delivery::{AlertStatus, AlertView, Notification, SendReason, ThreadHandle};
use crate::model::labels::Fingerprint;
use crate::model::time::{EventTime, WallTime};
use crate::notify::config::{SLACK_API_URL, SlackConfig, SlackTarget};
use crate::notify::conversation::json_post;
use crate::notify::present::{self, CUT_MARK, Tone, cut, width};
use crate::notify::request::Post;
use crate::notify::secret::Secret;

/// Slack's own limits, in characters.
pub const SECTION_TEXT_MAX: usize = 3_000;
pub const FIELDS_MAX: usize = 10;
pub const FIELD_TEXT_MAX: usize = 2_000;
pub const BLOCKS_MAX: usize = 50;
pub const ATTACHMENTS_MAX: usize = 100;
/// Slack splits or cuts longer texts above the attachments.
pub const TEXT_MAX: usize = 4_000;

/// Sum over a message, as JSON. Undocumented; Slack is seen to take 15,500 characters and to refuse 17,700 with
/// `msg_blocks_too_long`.
pub const MESSAGE_JSON_MAX: usize = 13_000;

/// Alerts shown in full; a longer list is not read at night.
const DETAILED_MAX: usize = 6;
/// Alerts shown as one line each after those.
const LISTED_MAX: usize = 10;
/// Room kept for the list and the last line.
const TAIL_ROOM: usize = 4_000;
/// Room kept for what stands around the attachments: text, channel, name, metadata.
const FRAME_ROOM: usize = 2_500;

/// Firing alerts a thread handle remembers, to tell later which are new.
const REMEMBERED_MAX: usize = 200;

/// What a message says, without where it goes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    pub text: String,
    pub attachments: Vec<Value>,
}

/// What is remembered of a group between its notifications: the message to change, and which alerts it showed firing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The life of the group it belongs to; a new life starts a new message.
    pub dedup_key: String,
    /// Channel id and `ts` of the group's message; absent for webhooks, which do not say.
    pub root: Option<(String, String)>,
    pub sequence: u32,
    pub firing: Vec<Fingerprint>,
    /// Whether `firing` is all of them.
    pub complete: bool,
}

impl Memory {
    pub fn of(notification: &Notification, root: Option<(String, String)>) -> Memory {
        let firing: Vec<Fingerprint> = notification.firing().map(|alert| alert.fingerprint).collect();
        let complete = firing.len() <= REMEMBERED_MAX && notification.truncated == 0;
        Memory {
            dedup_key: notification.dedup_key(),
            root,
            sequence: notification.sequence,
            firing: firing.into_iter().take(REMEMBERED_MAX).collect(),
            complete,
        }
    }

    /// `[dedup key, channel, ts, sequence, all|some, fingerprint…]`
    pub fn to_handle(&self) -> ThreadHandle {
        let (channel, ts) = self.root.clone().unwrap_or_default();
        let all = if self.complete { "all" } else { "some" };
        let mut parts = vec![self.dedup_key.clone(), channel, ts, self.sequence.to_string(), all.to_owned()];
        parts.extend(self.firing.iter().map(Fingerprint::to_string));
        ThreadHandle(parts)
    }

    /// The memory of this life of the group, if the handle is one.
    pub fn from_handle(handle: &ThreadHandle, notification: &Notification) -> Option<Memory> {
        let [dedup_key, channel, ts, sequence, all, firing @ ..] = handle.0.as_slice() else { return None };
        if *dedup_key != notification.dedup_key() {
            return None;
        }
        let firing = firing.iter().map(|text| u64::from_str_radix(text, 16).map(Fingerprint));
        Some(Memory {
            dedup_key: dedup_key.clone(),
            root: (!channel.is_empty() && !ts.is_empty()).then(|| (channel.clone(), ts.clone())),
            sequence: sequence.parse().ok()?,
            firing: firing.collect::<Result<_, _>>().ok()?,
            complete: all == "all",
        })
    }
}

/// What happened to a group since its last message.
#[derive(Debug, PartialEq)]
pub struct News<'a> {
    pub fired: Vec<&'a AlertView>,
    pub resolved: Vec<&'a AlertView>,
}

impl<'a> News<'a> {
    /// Nothing that anybody needs to be called for.
    pub fn none() -> News<'a> {
        News { fired: Vec::new(), resolved: Vec::new() }
    }

    pub fn since(memory: Option<&Memory>, notification: &'a Notification) -> News<'a> {
        let was_firing = |alert: &AlertView| memory.is_some_and(|memory| memory.firing.contains(&alert.fingerprint));
        let certain = memory.is_none_or(|memory| memory.complete);
        News {
            fired: match certain {
                true => notification.firing().filter(|alert| !was_firing(alert)).collect(),
                false => Vec::new(),
            },
            resolved: notification.resolved().filter(|alert| memory.is_none() || was_firing(alert)).collect(),
        }
    }
}

/// The group's message. `again` is said where an earlier try may have arrived: Slack shows a repeat as another message.
pub fn message<S>(
    config: &SlackConfig<S>,
    notification: &Notification,
    news: &News<'_>,
    again: Option<&str>,
) -> Message {
    let mut attachments = Vec::new();
    let mut listed: Vec<&AlertView> = Vec::new();
    let mut room = MESSAGE_JSON_MAX - TAIL_ROOM - FRAME_ROOM;
    for alert in present::worst_first(notification) {
        let fits = |value: &Value| json_width(value) <= room;
        let shown = (listed.is_empty() && attachments.len() < DETAILED_MAX)
            .then(|| [Detail::Full, Detail::Lean].into_iter().map(|detail| attachment(notification, alert, detail)))
            .and_then(|mut choices| choices.find(fits));
        match shown {
            Some(value) => {
                room -= json_width(&value);
                attachments.push(value);
            }
            None => listed.push(alert),
        }
    }
    attachments.extend(tail(notification, &listed, again));
    Message { text: headline(config, notification, news), attachments }
}

fn headline<S>(config: &SlackConfig<S>, notification: &Notification, news: &News<'_>) -> String {
    let mark = Tone::worst(notification).mark();
    let tag = present::status_tag(notification);
    let mention = mention(config, news);
    let summary = match notification.alerts.as_slice() {
        [alert] => format!("\n{}", escape(&present::summary(alert), 900)),
        _ => String::new(),
    };
    format!("{mark} *{tag}* {}{mention}{summary}", escape(&present::subject(notification), 600))
}

/// Calls people only when something began to fire.
fn mention<S>(config: &SlackConfig<S>, news: &News<'_>) -> String {
    match config.mention.as_deref() {
        None => String::new(),
        Some(_) if news.fired.is_empty() => String::new(),
        Some(whom @ ("here" | "channel" | "everyone")) => format!(" <!{whom}>"),
        Some(group) if group.starts_with('S') => format!(" <!subteam^{}>", escape(group, 40)),
        Some(user) => format!(" <@{}>", escape(user, 40)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    Full,
    /// Without examples and contributors, and with shorter texts.
    Lean,
}

fn attachment(notification: &Notification, alert: &AlertView, detail: Detail) -> Value {
    let full = detail == Detail::Full;
    let mut blocks = vec![section(&head(notification, alert, if full { 900 } else { 300 }))];
    let fields = fields(alert, if full { FIELDS_MAX } else { 4 });
    if !fields.is_empty() {
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    let why = why(alert, detail);
    if !why.is_empty() {
        blocks.push(section(&why));
    }
    blocks.push(context(&whereabouts(notification, alert, full)));
    json!({
        "color": Tone::of(alert).colour(),
        "fallback": cut(&present::announcement(alert), 300),
        "blocks": blocks,
    })
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
}

fn context(text: &str) -> Value {
    json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": text }] })
}

/// What, since when, and the rule's own words. A message about one alert has its summary above.
fn head(notification: &Notification, alert: &AlertView, words_max: usize) -> String {
    let name = escape(&present::name(alert), 150);
    let name = match present::alert_url(&notification.external_url, alert) {
        Some(url) => format!("*<{}|{name}>*", escape_url(&url)),
        None => format!("*{name}*"),
    };
    let mut text = format!("{name} {}", since(alert, notification.at));
    if notification.alerts.len() > 1 {
        text.push('\n');
        text.push_str(&escape(&present::summary(alert), words_max));
    }
    if let Some(more) = present::description(alert) {
        text.push('\n');
        text.push_str(&escape(&more, words_max));
    }
    text
}

/// Times in the reader's own zone, where the client can.
fn since(alert: &AlertView, at: WallTime) -> String {
    let lasted = present::span(present::lasted(alert, at));
    match (alert.status, alert.ends_at) {
        (AlertStatus::Firing, _) => format!("firing since {} ({lasted})", date(alert.starts_at)),
        (AlertStatus::Resolved, Some(end)) => format!("resolved {} after {lasted}", date(end)),
        (AlertStatus::Resolved, None) => "resolved".to_owned(),
    }
}

fn date(at: EventTime) -> String {
    let words = present::moment(at);
    format!("<!date^{}^{{date_short_pretty}} {{time_secs}}|{words}>", at.0.div_euclid(1_000))
}

/// Service and severity first, then the number and its threshold, then the labels that tell alerts apart.
fn fields(alert: &AlertView, max: usize) -> Vec<Value> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: Option<String>| pairs.extend(value.map(|value| (name.to_owned(), value)));
    let label = |name: &str| alert.labels.get(name).map(|value| present::line(value).into_owned());
    add("Service", label("service"));
    add("Severity", label("severity"));
    if alert.status == AlertStatus::Firing {
        add("Value", present::value(alert));
        add("Threshold", present::threshold(alert));
    }
    let others = alert.labels.iter().filter(|(name, _)| !matches!(*name, "alertname" | "service" | "severity"));
    pairs.extend(others.map(|(name, value)| (present::line(name).into_owned(), present::line(value).into_owned())));
    let hidden = pairs.len().saturating_sub(max);
    if hidden > 0 {
        pairs.truncate(max - 1);
        pairs.push((CUT_MARK.to_string(), format!("{} more labels", hidden + 1)));
    }
    let shown = pairs.iter().map(|(name, value)| format!("*{}*\n{}", escape(name, 60), escape(value, 160)));
    shown.map(|text| json!({ "type": "mrkdwn", "text": text })).collect()
}

/// The comparisons that hold, every value, the top contributors, examples.
fn why(alert: &AlertView, detail: Detail) -> String {
    let full = detail == Detail::Full;
    let mut parts = Vec::new();
    if alert.status == AlertStatus::Firing {
        let reasons = present::reasons(alert);
        let shown = reasons.iter().take(if full { 5 } else { 2 });
        let words = shown.map(|reason| format!("• {} *{}*", code(&reason.condition, 140), escape(&reason.found, 60)));
        parts.extend(words);
    }
    let values = present::values(alert);
    if !values.is_empty() {
        let shown = values.iter().take(if full { 12 } else { 4 });
        let words = shown.map(|(name, value)| format!("{} *{value}*", escape(name, 40)));
        parts.push(words.collect::<Vec<_>>().join(" · "));
    }
    if full && alert.status == AlertStatus::Firing {
        for (name, top) in present::contributors(alert).iter().take(3) {
            let words = top.iter().map(|(value, count)| format!("{} {count}", code(value, 60)));
            parts.push(format!("Top {}: {}", escape(name, 40), words.collect::<Vec<_>>().join(" · ")));
        }
        parts.extend(present::examples(alert).iter().take(3).map(|example| code(example, 180)));
    }
    parts.join("\n")
}

/// The links, and the rule's file and line.
fn whereabouts(notification: &Notification, alert: &AlertView, full: bool) -> String {
    const URL_MAX: usize = 500;
    let links = present::links(alert, &notification.external_url);
    let links = links.iter().filter(|link| link.url.len() <= URL_MAX).take(if full { 5 } else { 2 });
    let links = links.map(|link| format!("<{}|{}>", escape_url(&link.url), escape(&link.label, 40)));
    let rule = format!("rule {}", code(&present::rule_place(alert), 200));
    links.chain([rule]).collect::<Vec<_>>().join(" · ")
}

/// The alerts that are not shown in full, and whether this may be a repeat.
fn tail(notification: &Notification, listed: &[&AlertView], again: Option<&str>) -> Option<Value> {
    let mut blocks = Vec::new();
    let rows = listed.iter().take(LISTED_MAX);
    let mut rows: Vec<String> =
        rows.map(|alert| format!("{} {}", Tone::of(alert).mark(), escape(&present::one_line(alert), 150))).collect();
    let hidden = listed.len().saturating_sub(LISTED_MAX) + notification.truncated;
    if hidden > 0 {
        let page = present::web_address(&notification.external_url);
        let page = page.map(|url| format!(" on <{}|the page>", escape_url(&url))).unwrap_or_default();
        rows.push(format!("{CUT_MARK} and {hidden} more{page}"));
    }
    if !rows.is_empty() {
        blocks.push(section(&rows.join("\n")));
    }
    blocks.extend(again.map(context));
    let worst = listed.iter().map(|alert| Tone::of(alert)).max().unwrap_or_else(|| Tone::worst(notification));
    (!blocks.is_empty()).then(|| json!({ "color": worst.colour(), "fallback": "more alerts", "blocks": blocks }))
}

/// The thread's line on what changed, and whether the channel should see it; `None` where there is nothing to say.
pub fn reply<S>(
    config: &SlackConfig<S>,
    notification: &Notification,
    news: &News<'_>,
    again: Option<&str>,
) -> Option<(String, bool)> {
    let mut rows = Vec::new();
    let mut urgent = false;
    match notification.reason {
        SendReason::AllResolved => {
            let longest = notification.resolved().map(|alert| present::lasted(alert, notification.at)).max();
            let after = longest.map(|length| format!(" after {}", present::span(length))).unwrap_or_default();
            rows.push(format!("🟢 *Resolved*{after}"));
        }
        SendReason::Repeat => {
            urgent = true;
            let oldest = notification.firing().map(|alert| present::lasted(alert, notification.at)).max();
            let since = oldest.map(|length| format!(" for {}", present::span(length))).unwrap_or_default();
            rows.push(format!("{} *Still firing*{since}", Tone::worst(notification).mark()));
            rows.extend(listing(notification.firing()));
        }
        SendReason::New | SendReason::Changed => {
            urgent = !news.fired.is_empty();
            if !news.fired.is_empty() {
                let mention = mention(config, news);
                let tone = news.fired.iter().map(|alert| Tone::of(alert)).max().unwrap_or(Tone::Critical);
                rows.push(format!("{} *{} more firing*{mention}", tone.mark(), news.fired.len()));
                rows.extend(listing(news.fired.iter().copied()));
            }
            if !news.resolved.is_empty() {
                rows.push(format!("🟢 *{} resolved*", news.resolved.len()));
                rows.extend(listing(news.resolved.iter().copied()));
            }
        }
    }
    if rows.is_empty() {
        return None;
    }
    rows.extend(again.map(|again| format!("_{again}_")));
    Some((rows.join("\n"), urgent && config.broadcast))
}

fn listing<'a>(alerts: impl Iterator<Item = &'a AlertView>) -> Vec<String> {
    let alerts: Vec<&AlertView> = alerts.collect();
    let rows = alerts.iter().take(5).map(|alert| format!("• {}", escape(&present::one_line(alert), 220)));
    let more = (alerts.len() > 5).then(|| format!("{CUT_MARK} and {} more", alerts.len() - 5));
    rows.chain(more).collect()
}

/// To an incoming webhook. Its address says which channel.
pub fn to_webhook(config: &SlackConfig<Secret>, url: &Secret, message: &Message) -> Post {
    let mut body = json!({ "text": message.text, "attachments": message.attachments });
    dress(config, &mut body);
    json_post(url.clone(), bytes(&body), Vec::new())
}

/// The group's first message.
pub fn to_post(config: &SlackConfig<Secret>, message: &Message, notification: &Notification) -> Post {
    let mut body = json!({
        "channel": channel(config),
        "text": message.text,
        "attachments": message.attachments,
        "unfurl_links": false,
        "unfurl_media": false,
        "metadata": metadata(notification),
    });
    dress(config, &mut body);
    call(config, "chat.postMessage", &body)
}

/// The same message as it is now. It keeps the name it was posted under.
pub fn to_update(
    config: &SlackConfig<Secret>,
    root: &(String, String),
    message: &Message,
    notification: &Notification,
) -> Post {
    let body = json!({
        "channel": root.0,
        "ts": root.1,
        "text": message.text,
        "attachments": message.attachments,
        "metadata": metadata(notification),
    });
    call(config, "chat.update", &body)
}

/// A line in the thread of the group's message.
pub fn to_reply(
    config: &SlackConfig<Secret>,
    root: &(String, String),
    text: &str,
    broadcast: bool,
    notification: &Notification,
) -> Post {
    let mut body = json!({
        "channel": root.0,
        "thread_ts": root.1,
        "reply_broadcast": broadcast,
        "text": text,
        "unfurl_links": false,
        "unfurl_media": false,
        "metadata": metadata(notification),
    });
    dress(config, &mut body);
    call(config, "chat.postMessage", &body)
}

fn channel<S>(config: &SlackConfig<S>) -> &str {
    match &config.target {
        SlackTarget::Bot { channel, .. } => channel,
        SlackTarget::Webhook { .. } => "",
    }
}

/// Not shown by Slack; lets a tool find repeats of one notification.
fn metadata(notification: &Notification) -> Value {
    json!({
        "event_type": "foghorn_notification",
        "event_payload": {
            "group": notification.dedup_key(),
            "sequence": notification.sequence,
            "idempotency_key": notification.idempotency_key(),
        },
    })
}

fn dress<S>(config: &SlackConfig<S>, body: &mut Value) {
    for (name, value) in [("username", &config.username), ("icon_emoji", &config.icon_emoji)] {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
}

fn call(config: &SlackConfig<Secret>, method: &str, body: &Value) -> Post {
    let (token, api_url) = match &config.target {
        SlackTarget::Bot { token, api_url, .. } => (token.expose(), api_url.as_str()),
        SlackTarget::Webhook { .. } => ("", SLACK_API_URL),
    };
    let url = Secret::new(format!("{}/{method}", api_url.trim_end_matches('/')));
    let authorization = ("authorization".to_owned(), Secret::new(format!("Bearer {token}")));
    json_post(url, bytes(body), vec![authorization])
}

fn bytes(body: &Value) -> Vec<u8> {
    body.to_string().into_bytes()
}

fn json_width(value: &Value) -> usize {
    width(&value.to_string())
}

/// `text` escaped for mrkdwn, at most `max` characters as sent; never splits an escape (`S2`).
pub fn escape(text: &str, max: usize) -> String {
    let text = present::lines(text);
    let escaped = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        c => c.to_string(),
    };
    let full: usize = text.chars().map(|c| width(&escaped(c))).sum();
    let room = if full <= max { max } else { max.saturating_sub(1) };
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let piece = escaped(c);
        used += width(&piece);
        if used > room {
            break;
        }
        out.push_str(&piece);
    }
    if full > max && max > 0 {
        out.push(CUT_MARK);
    }
    out
}

/// `text` in a code span, on one line; a backtick would end it.
fn code(text: &str, max: usize) -> String {
    let text = present::line(text).replace('`', "'");
    format!("`{}`", escape(&text, max))
}

/// A web address within `<…|…>`. [`present::web_address`] lets no bracket or bar through.
fn escape_url(url: &str) -> String {
    url.replace('&', "&amp;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaping_counts_what_is_sent_and_never_splits_an_escape() {
        assert_eq!(escape("a < b & c", 100), "a &lt; b &amp; c");
        assert_eq!(escape("<!channel>", 100), "&lt;!channel&gt;");
        assert_eq!(escape("a<b", 4), "a…");
        assert_eq!(escape("a<b", 6), "a&lt;b");
        assert_eq!(escape("&&&", 11), "&amp;&amp;…");
    }
}
