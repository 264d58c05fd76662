//! Payloads as files in `fixtures/receivers`, one for each receiver and story. `UPDATE=1` rewrites them.

use std::path::PathBuf;
use std::sync::Arc;

use foghorn::edge::smtp::to_message;
use foghorn::model::{Delivery, Notification, ThreadHandle, WallTime};
use foghorn::notify::config::{
    Colour, ConsoleConfig, EmailConfig, HttpAuth, Integration, Kind, PagerDutyConfig, SLACK_API_URL, SlackConfig,
    SlackTarget, WebhookConfig,
};
use foghorn::notify::request::{Answer, HttpAnswer, Post};
use foghorn::notify::{Conversation, Request, Secret, Step};

use crate::samples;

/// What the conversation sends when everything goes well, as one text.
pub fn transcript(kind: Kind<Secret>, delivery: &Delivery) -> String {
    let integration = Arc::new(Integration::new(kind));
    let (mut conversation, mut step) = Conversation::open(integration, delivery, WallTime(samples::START));
    let mut parts = Vec::new();
    loop {
        match step {
            Step::Done(outcome) => {
                parts.push(format!("=> {outcome:#?}\n"));
                return parts.join("\n");
            }
            Step::Ask(request) => {
                parts.push(shown(&request));
                step = conversation.answer(good_answer(&request), WallTime(samples::START));
            }
        }
    }
}

fn shown(request: &Request) -> String {
    match request {
        Request::Post(post) => shown_post(post),
        Request::Mail(mail) => {
            let bytes = to_message(mail).expect("a mail").formatted();
            String::from_utf8(bytes).expect("a mail is ASCII").replace("\r\n", "\n")
        }
        Request::Print(text) => text.clone(),
    }
}

fn shown_post(post: &Post) -> String {
    let headers = post.headers.iter().map(|(name, value)| format!("{name}: {}\n", value.expose())).collect::<String>();
    let body = std::str::from_utf8(&post.body).expect("JSON is UTF-8");
    serde_json::from_str::<serde_json::Value>(body).expect("JSON");
    format!("POST {}\n{headers}\n{}\n", post.url.expose(), indented(body))
}

/// Compact JSON with line breaks, members in the order they are sent.
fn indented(json: &str) -> String {
    let mut out = String::new();
    let mut depth = 0;
    let (mut quoted, mut escaped, mut last) = (false, false, ' ');
    for c in json.chars() {
        let next_line = |out: &mut String, depth: usize| {
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
        };
        match c {
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => {
                depth -= 1;
                if !matches!(last, '{' | '[') {
                    next_line(&mut out, depth);
                }
            }
            _ => {}
        }
        let opened = !quoted && matches!(last, '{' | '[') && !matches!(c, '}' | ']');
        if opened {
            next_line(&mut out, if matches!(c, '{' | '[') { depth - 1 } else { depth });
        }
        out.push(c);
        match c {
            '"' if !escaped => quoted = !quoted,
            ',' if !quoted => next_line(&mut out, depth),
            ':' if !quoted => out.push(' '),
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
        last = if quoted { '"' } else { c };
    }
    out
}

pub fn good_answer(request: &Request) -> Answer {
    let http = |status, body: &str| Answer::Http(HttpAnswer { status, retry_after: None, body: body.to_owned() });
    match request {
        Request::Post(post) if post.url.expose().contains("/api/chat.") => {
            http(200, r#"{"ok":true,"channel":"C0ALERTS","ts":"1774883076.000100"}"#)
        }
        Request::Post(post) if post.url.expose().contains("pagerduty") => http(202, r#"{"status":"success"}"#),
        Request::Post(_) => http(200, "ok"),
        Request::Mail(_) => Answer::Smtp(foghorn::notify::request::SmtpAnswer {
            stage: foghorn::notify::request::SmtpStage::Taken,
            reply: foghorn::notify::request::SmtpReply { code: 250, text: "taken".to_owned() },
            refused: Vec::new(),
            accepted: 1,
        }),
        Request::Print(_) => Answer::Printed,
    }
}

fn check(file: &str, got: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/receivers").join(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, got).expect("the fixture can be written");
        return;
    }
    let expect = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run with UPDATE=1 to write it", path.display()));
    assert!(expect == got, "{file} differs; run with UPDATE=1 and read the diff\n{}", difference(&expect, got));
}

fn difference(expect: &str, got: &str) -> String {
    let at = expect.lines().zip(got.lines()).position(|(a, b)| a != b);
    let at = at.unwrap_or_else(|| expect.lines().count().min(got.lines().count()));
    format!("line {}\n  expected {:?}\n  got      {:?}", at + 1, expect.lines().nth(at), got.lines().nth(at))
}

fn slack_bot() -> Kind<Secret> {
    let target = SlackTarget::Bot {
        token: Secret::new("xoxb-golden"),
        channel: "#alerts".to_owned(),
        api_url: SLACK_API_URL.to_owned(),
    };
    Kind::Slack(SlackConfig {
        username: Some("Foghorn".to_owned()),
        mention: Some("here".to_owned()),
        ..SlackConfig::new(target)
    })
}

fn slack_webhook() -> Kind<Secret> {
    Kind::Slack(SlackConfig::new(SlackTarget::Webhook { url: Secret::new("https://hooks.slack.com/services/T0/B0/x") }))
}

fn email() -> Kind<Secret> {
    let to = vec!["On call <oncall@shop.example>".to_owned(), "lead@shop.example".to_owned()];
    let config = EmailConfig::new("Foghorn <foghorn@shop.example>", to, "mail.shop.example", 587);
    Kind::Email(EmailConfig { list_id: Some("alerts.shop.example".to_owned()), ..config })
}

fn pagerduty() -> Kind<Secret> {
    Kind::PagerDuty(PagerDutyConfig::new(Secret::new("0123456789abcdef0123456789abcdef")))
}

fn webhook() -> Kind<Secret> {
    let auth = HttpAuth::Authorization { scheme: "Bearer".to_owned(), credentials: Secret::new("hook-token") };
    Kind::Webhook(WebhookConfig {
        auth: Some(auth),
        max_alerts: 5,
        ..WebhookConfig::new(Secret::new("https://hooks.shop.example/alerts"))
    })
}

fn console() -> Kind<Secret> {
    Kind::Console(ConsoleConfig { colour: Colour::Never })
}

fn stories() -> [(&'static str, Notification); 6] {
    [
        ("firing", samples::firing()),
        ("changed", samples::changed()),
        ("resolved", samples::resolved()),
        ("many", samples::many()),
        ("weird", samples::weird()),
        ("bare", samples::bare()),
    ]
}

fn check_all(receiver: &str, extension: &str, kind: &Kind<Secret>) {
    for (story, notification) in stories() {
        let text = transcript(kind.clone(), &samples::delivery(notification, 1, None));
        check(&format!("{receiver}.{story}.{extension}"), &text);
    }
}

#[test]
fn slack_by_incoming_webhook() {
    check_all("slack-webhook", "txt", &slack_webhook());
}

/// The life of one group: posted, brought up to date with a reply, reminded, resolved. Each delivery gets the handle the
/// one before gave back.
#[test]
fn slack_by_bot_token_keeps_one_message_for_the_life_of_a_group() {
    let mut text = String::new();
    let mut thread: Option<ThreadHandle> = None;
    for notification in [samples::firing(), samples::changed(), samples::repeated(), samples::resolved()] {
        let delivery = samples::delivery(notification, 1, thread.clone());
        text.push_str(&format!("##### {:?}\n\n", delivery.notification.reason));
        text.push_str(&transcript(slack_bot(), &delivery));
        text.push('\n');
        thread = handle_after(&delivery);
    }
    check("slack-bot.life.txt", &text);
}

fn handle_after(delivery: &Delivery) -> Option<ThreadHandle> {
    let memory = foghorn::notify::slack::Memory::of(
        &delivery.notification,
        Some(("C0ALERTS".to_owned(), "1774883076.000100".to_owned())),
    );
    Some(memory.to_handle())
}

#[test]
fn a_second_attempt_says_that_it_may_be_a_repeat() {
    let text = transcript(slack_bot(), &samples::delivery(samples::firing(), 2, None));
    assert!(text.contains("sent again (attempt 2): an earlier try may have arrived"), "{text}");
}

/// An attempt that was never answered, as after a crash: whoever cannot tell a repeat by its key is told.
#[test]
fn what_may_be_a_repeat_is_marked_for_each_receiver() {
    let kinds = [
        ("slack-bot", slack_bot()),
        ("slack-webhook", slack_webhook()),
        ("email", email()),
        ("webhook", webhook()),
        ("console", console()),
        ("pagerduty", pagerduty()),
    ];
    for (receiver, kind) in kinds {
        let repeated = Delivery { perhaps_repeated: true, ..samples::delivery(samples::firing(), 2, None) };
        check(&format!("{receiver}.perhaps-repeated.txt"), &transcript(kind, &repeated));
    }
    // In the thread of a group that was told before, the reply says so; the message above it is only brought up to date.
    let known = handle_after(&samples::delivery(samples::firing(), 1, None));
    let repeated = Delivery { perhaps_repeated: true, ..samples::delivery(samples::resolved(), 2, known) };
    check("slack-bot.perhaps-repeated-reply.txt", &transcript(slack_bot(), &repeated));
}

#[test]
fn emails() {
    check_all("email", "eml", &email());
}

#[test]
fn pagerduty_events() {
    check_all("pagerduty", "txt", &pagerduty());
}

#[test]
fn webhooks_in_alertmanagers_format() {
    check_all("webhook", "txt", &webhook());
}

#[test]
fn console_texts() {
    check_all("console", "txt", &console());
}

#[test]
fn console_colours_are_there_unless_switched_off() {
    let coloured = transcript(
        Kind::Console(ConsoleConfig { colour: Colour::Always }),
        &samples::delivery(samples::firing(), 1, None),
    );
    let plain = transcript(console(), &samples::delivery(samples::firing(), 1, None));
    assert!(coloured.contains("\u{1b}[1m\u{1b}[31m[FIRING:1]\u{1b}[0m"), "{coloured:?}");
    assert!(!plain.contains('\u{1b}'));
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
}
