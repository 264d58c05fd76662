//! Whatever a notification holds, what is sent stays within the receivers' limits and cannot be mistaken for markup.

use std::sync::Arc;

use foghorn::edge::smtp::to_message;
use foghorn::edge::standins::{ROUTING_KEY, pagerduty, slack as slack_standin};
use foghorn::model::WallTime;
use foghorn::model::labels::{LABEL_VALUE_BYTES_MAX, Labels};
use foghorn::model::{
    AlertStatus, AlertView, Comparison, Contributor, EventTime, Evidence, Exemplar, Millis, Notification, SendReason,
};
use foghorn::notify::config::{
    Colour, ConsoleConfig, EmailConfig, Kind, PagerDutyConfig, SLACK_API_URL, SlackConfig, SlackTarget, WebhookConfig,
};
use foghorn::notify::pagerduty::EVENT_BYTES_MAX;
use foghorn::notify::present::width;
use foghorn::notify::slack::{MESSAGE_JSON_MAX, Memory};
use foghorn::notify::webhook::BODY_BYTES_MAX;
use foghorn::notify::{Conversation, Integration, Request, Secret, Step};
use proptest::prelude::*;

use crate::golden::good_answer;
use crate::samples;

/// Every request of the delivery of `notification`, with and without a thread from before.
fn requests(kind: &Kind<Secret>, notification: &Notification) -> Vec<Request> {
    let root = Some(("C1".to_owned(), "1.2".to_owned()));
    let before = Memory { firing: Vec::new(), complete: true, sequence: 0, ..Memory::of(notification, root) };
    let mut all = Vec::new();
    for thread in [None, Some(before.to_handle())] {
        let delivery = samples::delivery(notification.clone(), 3, thread);
        let integration = Arc::new(Integration::new(kind.clone()));
        let (mut conversation, mut step) = Conversation::open(integration, &delivery, WallTime(samples::START));
        while let Step::Ask(request) = step {
            step = conversation.answer(good_answer(&request), WallTime(samples::START));
            all.push(request);
        }
    }
    all
}

fn bodies(kind: &Kind<Secret>, notification: &Notification) -> Vec<Vec<u8>> {
    let post = |request| match request {
        Request::Post(post) => post.body,
        other => panic!("not a post: {other:?}"),
    };
    requests(kind, notification).into_iter().map(post).collect()
}

fn json(body: &[u8]) -> serde_json::Value {
    serde_json::from_slice(body).expect("valid JSON")
}

fn check_slack(notification: &Notification) {
    let target = SlackTarget::Bot {
        token: Secret::new("xoxb"),
        channel: "#alerts".to_owned(),
        api_url: SLACK_API_URL.to_owned(),
    };
    let kind = Kind::Slack(SlackConfig { mention: Some("S0123".to_owned()), ..SlackConfig::new(target) });
    for body in bodies(&kind, notification) {
        let value = json(&body);
        assert_eq!(slack_standin::over_limit(&value), None, "S1: {value:#}");
        assert!(width(&value.to_string()) <= MESSAGE_JSON_MAX, "S1: {} characters", width(&value.to_string()));
        check_markup(&value);
    }
}

/// `S2`: every `<` that is sent is one of ours: a link, a date, the mention.
fn check_markup(value: &serde_json::Value) {
    match value {
        serde_json::Value::Object(members) => {
            let plain = members.get("type").is_none();
            for (name, value) in members {
                if name != "fallback" && !(plain && name == "color") {
                    check_markup(value);
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(check_markup),
        serde_json::Value::String(text) => {
            for (at, _) in text.match_indices('<') {
                let rest = &text[at + 1..];
                let ours = [
                    "https://foghorn",
                    "https://x.example/",
                    "https://wiki.shop",
                    "https://grafana.shop",
                    "!date^",
                    "!subteam^S0123>",
                ];
                assert!(ours.iter().any(|start| rest.starts_with(start)), "S2: {text}");
            }
            for (at, _) in text.match_indices('&') {
                let rest = &text[at..];
                assert!(["&amp;", "&lt;", "&gt;"].iter().any(|escape| rest.starts_with(escape)), "S2: {text}");
            }
        }
        _ => {}
    }
}

fn check_pagerduty(notification: &Notification) {
    let kind = Kind::PagerDuty(PagerDutyConfig::new(Secret::new(ROUTING_KEY)));
    for body in bodies(&kind, notification) {
        assert!(body.len() <= EVENT_BYTES_MAX, "{} bytes", body.len());
        assert_eq!(pagerduty::problems(&json(&body), ROUTING_KEY), Vec::<String>::new());
    }
}

fn check_webhook(notification: &Notification) {
    let kind = Kind::Webhook(WebhookConfig::new(Secret::new("https://hooks.example/x")));
    for body in bodies(&kind, notification) {
        assert!(body.len() <= BODY_BYTES_MAX, "{} bytes", body.len());
        let value = json(&body);
        let shown = value["alerts"].as_array().expect("alerts").len() as u64;
        let all = (notification.alerts.len() + notification.truncated) as u64;
        assert_eq!(shown + value["truncatedAlerts"].as_u64().expect("a count"), all);
    }
}

fn check_email(notification: &Notification) {
    let kind = Kind::Email(EmailConfig::new("foghorn@shop.example", vec!["a@shop.example".to_owned()], "mail", 25));
    for request in requests(&kind, notification) {
        let Request::Mail(mail) = request else { panic!("not a mail") };
        let text = String::from_utf8(to_message(&mail).expect("a mail").formatted()).expect("ASCII");
        assert!(text.is_ascii());
        assert!(text.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])), "line length");
        let head = text.split("\r\n\r\n").next().expect("a head");
        let names = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t'])).map(|line| line.split(':').next());
        let known = ["From", "Date", "Subject", "Message-ID", "In-Reply-To", "References", "To", "Auto-Submitted"];
        for name in names.flatten() {
            let ours = known.contains(&name)
                || name.starts_with("X-")
                || ["Importance", "MIME-Version", "Content-Type"].contains(&name);
            assert!(ours, "a header we did not write: {name}\n{head}");
        }
        assert_eq!(mail.html.matches("<script").count() + mail.html.matches("<img").count(), 0);
    }
}

fn check_console(notification: &Notification) {
    for request in requests(&Kind::Console(ConsoleConfig { colour: Colour::Never }), notification) {
        let Request::Print(text) = request else { panic!("not a text") };
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "P2: {text:?}");
        assert!(text.lines().count() < 1_200);
    }
}

fn check(notification: &Notification) {
    check_slack(notification);
    check_pagerduty(notification);
    check_webhook(notification);
    check_email(notification);
    check_console(notification);
}

#[test]
fn the_largest_notification_fits_everywhere() {
    check(&samples::huge());
}

/// The model's bounds keep events far below PagerDuty's; if they ever grow, the event shrinks and says so.
#[test]
fn an_event_too_large_for_pagerduty_says_that_something_is_missing() {
    let kind = Kind::PagerDuty(PagerDutyConfig::new(Secret::new(ROUTING_KEY)));
    let mut notification = samples::firing();
    let alert = &mut notification.alerts[0];
    alert.labels = alert.labels.with((0..600).map(|n| (format!("label_{n}"), "x".repeat(1_024))));
    let details = json(&bodies(&kind, &notification)[0])["payload"]["custom_details"].clone();
    assert!(details["note"].as_str().expect("a note").starts_with("details were left out"), "{details:#}");
    assert_eq!(details["labels"], serde_json::Value::Null);
    assert_eq!(details["why"][0], "p99 > 800: 1,240");
    check(&notification);
}

fn text(max: usize) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z0-9 ./:=-]{0,12}",
        2 => any::<char>().prop_map(|c| c.to_string()),
        2 => prop::sample::select(vec![
            "<", ">", "&", "\"", "'", "`", "*", "_", "|", "\\", "\r\n", "\n", "\t", "\u{0}", "\u{1b}[31m", "\u{202e}",
            "<!channel>", "</td>", "<script>", "{{ x }}", "\r\nBcc: x@y", "😀", "é", "&amp;", ".\r\n", "https://x.example/a?b&c",
        ]).prop_map(str::to_owned),
    ];
    let long = prop_oneof![9 => Just(1usize), 1 => 1usize..400];
    (prop::collection::vec(piece, 0..8), long).prop_map(move |(pieces, times)| {
        let mut text = pieces.concat().repeat(times);
        while text.len() > max {
            text.pop();
        }
        text
    })
}

fn labels() -> impl Strategy<Value = Labels> {
    let name = prop_oneof![3 => Just("service".to_owned()), 1 => Just("severity".to_owned()), 6 => "[a-z_]{1,30}"];
    let severity = prop::sample::select(vec!["critical", "warning", "info", "odd"]);
    (prop::collection::vec((name, text(LABEL_VALUE_BYTES_MAX)), 0..30), severity).prop_map(|(mut pairs, severity)| {
        pairs.push(("severity".to_owned(), severity.to_owned()));
        pairs.push(("alertname".to_owned(), "Any<thing>".to_owned()));
        Labels::from_pairs(pairs)
    })
}

fn number() -> impl Strategy<Value = Option<f64>> {
    prop::option::of(prop_oneof![any::<f64>(), -1e6..1e6f64, Just(f64::NAN), Just(f64::INFINITY)])
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let comparison = (text(300), number(), number(), prop::option::of(any::<bool>()))
        .prop_map(|(text, left, right, holds)| Comparison { text, left, right, holds });
    let contributor = ("[a-c]{1}", text(1_024), any::<u64>()).prop_map(|(name, value, count)| Contributor {
        name: name.as_str().into(),
        value,
        count,
    });
    let sample = samples::firing().alerts[0].evidence.exemplars[0].clone();
    let exemplar = (any::<i64>(), prop::option::of(text(64)), prop::option::of(text(256)))
        .prop_map(move |(at, id, text)| Exemplar { at: EventTime(at), id, text, ..sample.clone() });
    (
        text(2_000),
        prop::collection::vec(comparison, 0..6),
        prop::collection::vec((text(40), number()), 0..25),
        prop::collection::vec(contributor, 0..30),
        prop::collection::vec(exemplar, 0..6),
    )
        .prop_map(|(condition, comparisons, values, contributors, exemplars)| Evidence {
            condition,
            comparisons,
            values: values.into_iter().map(|(name, value)| (name.as_str().into(), value)).collect(),
            contributors,
            exemplars,
            window: Millis::from_secs(300),
        })
}

fn alert() -> impl Strategy<Value = AlertView> {
    let annotation = (prop::sample::select(vec!["summary", "description", "runbook_url", "x"]), text(5_000));
    let annotations = prop::collection::vec(annotation, 0..5);
    (labels(), annotations, evidence(), any::<bool>(), any::<i64>(), prop::option::of(any::<i64>()), number()).prop_map(
        |(labels, annotations, evidence, firing, starts, ends, value)| AlertView {
            fingerprint: labels.fingerprint(),
            status: if firing { AlertStatus::Firing } else { AlertStatus::Resolved },
            rule: samples::rule("Any<thing>", 1),
            labels,
            annotations: annotations.into_iter().map(|(name, text)| (name.into(), text)).collect(),
            starts_at: EventTime(starts),
            active_since: EventTime(starts),
            ends_at: ends.map(EventTime),
            value,
            evidence: Arc::new(evidence),
        },
    )
}

fn notification() -> impl Strategy<Value = Notification> {
    let reason =
        prop::sample::select(vec![SendReason::New, SendReason::Changed, SendReason::Repeat, SendReason::AllResolved]);
    let url =
        prop::sample::select(vec!["https://foghorn.shop.example", "", "not a url", "https://foghorn/\"><script>"]);
    (prop::collection::vec(alert(), 1..12), reason, 1u32..5, 0usize..2_000, url, labels()).prop_map(
        |(alerts, reason, sequence, truncated, url, group_labels)| Notification {
            truncated,
            external_url: url.into(),
            group_labels,
            ..samples::notification(sequence, reason, alerts)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_notification_fits_everywhere(notification in notification()) {
        check(&notification);
    }
}
