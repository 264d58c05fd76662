//! Slack conversations without a socket: which requests follow which answers, and what a retry repeats.

use std::sync::Arc;

use expect_test::{Expect, expect};
use foghorn::model::{Notification, Outcome, ThreadHandle, WallTime};
use foghorn::notify::config::{Integration, Kind, SLACK_API_URL, SlackConfig, SlackTarget};
use foghorn::notify::request::{Answer, Fault, HttpAnswer, Post};
use foghorn::notify::slack::Memory;
use foghorn::notify::{Conversation, Request, Secret, Step};

use crate::samples;

fn config() -> SlackConfig<Secret> {
    SlackConfig::new(SlackTarget::Bot {
        token: Secret::new("xoxb-1"),
        channel: "#alerts".to_owned(),
        api_url: SLACK_API_URL.to_owned(),
    })
}

/// What an earlier delivery of `notification` left behind.
fn thread_of(notification: &Notification) -> Option<ThreadHandle> {
    Some(Memory::of(notification, Some(("C1".to_owned(), "100.1".to_owned()))).to_handle())
}

fn ok(ts: &str) -> String {
    format!(r#"{{"ok":true,"channel":"C1","ts":"{ts}"}}"#)
}

fn error(word: &str) -> String {
    format!(r#"{{"ok":false,"error":"{word}"}}"#)
}

/// Plays `answers` to the conversation and writes down what was asked and how it ended. `!` breaks the connection.
fn play(
    config: SlackConfig<Secret>,
    notification: Notification,
    thread: Option<ThreadHandle>,
    answers: &[String],
) -> String {
    let integration = Arc::new(Integration::new(Kind::Slack(config)));
    let delivery = samples::delivery(notification, 1, thread);
    let (mut conversation, mut step) = Conversation::open(integration, &delivery, WallTime(0));
    let mut log = String::new();
    let mut answers = answers.iter();
    loop {
        match step {
            Step::Done(outcome) => return log + &shown(&outcome),
            Step::Ask(Request::Post(post)) => {
                let answer = answers.next().expect("one more request than answers");
                log.push_str(&format!("{}\n   <- {answer}\n", asked(&post)));
                let answer = match answer.as_str() {
                    "!" => Answer::Failed(Fault::Broken("reset".to_owned())),
                    body => Answer::Http(HttpAnswer { status: 200, retry_after: None, body: body.to_owned() }),
                };
                step = conversation.answer(answer, WallTime(0));
            }
            Step::Ask(other) => panic!("not a post: {other:?}"),
        }
    }
}

fn asked(post: &Post) -> String {
    let body: serde_json::Value = serde_json::from_slice(&post.body).expect("JSON");
    let method = post.url.expose().rsplit('/').next().expect("a method");
    let ts = body["ts"].as_str().map(|ts| format!(" ts={ts}")).unwrap_or_default();
    let thread = body["thread_ts"].as_str().map(|ts| format!(" thread={ts}")).unwrap_or_default();
    let broadcast = if body["reply_broadcast"] == true { " to the channel" } else { "" };
    let text = body["text"].as_str().expect("a text").replace('\n', " / ");
    format!("{method} {}{ts}{thread}{broadcast}: {text}", body["channel"].as_str().expect("a channel"))
}

fn shown(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Delivered { thread: Some(thread) } => format!("delivered, remembers {}\n", thread.0[1..].join(" ")),
        other => format!("{other:?}\n"),
    }
}

fn check(notification: Notification, thread: Option<ThreadHandle>, answers: &[String], expect: &Expect) {
    expect.assert_eq(&play(config(), notification, thread, answers));
}

#[test]
fn the_first_message_is_posted() {
    check(
        samples::firing(),
        None,
        &[ok("200.1")],
        &expect![[r#"
        chat.postMessage #alerts: 🔴 *[FIRING:1]* CheckoutSlow · service=checkout, endpoint=/pay, team=payments / checkout answers in 1.24s at the 99th percentile
           <- {"ok":true,"channel":"C1","ts":"200.1"}
        delivered, remembers C1 200.1 1 all e74e2ddc2e97864e
    "#]],
    );
}

#[test]
fn news_change_the_message_and_are_told_in_its_thread() {
    check(
        samples::changed(),
        thread_of(&samples::firing()),
        &[ok("100.1"), ok("200.1")],
        &expect![[r#"
        chat.update C1 ts=100.1: 🔴 *[FIRING:2, RESOLVED:1]* CheckoutSlow · service=checkout, team=payments
           <- {"ok":true,"channel":"C1","ts":"100.1"}
        chat.postMessage C1 thread=100.1 to the channel: 🟠 *1 more firing* / • CheckoutSlow endpoint=/basket, service=checkout, team=payments: checkout answers in 1.24s at the 99th percentile
           <- {"ok":true,"channel":"C1","ts":"200.1"}
        delivered, remembers C1 100.1 2 all 5c729f2c40c41e62 e74e2ddc2e97864e
    "#]],
    );
    check(
        samples::repeated(),
        thread_of(&samples::changed()),
        &[ok("100.1"), ok("200.1")],
        &expect![[r#"
        chat.update C1 ts=100.1: 🔴 *[FIRING:1]* CheckoutSlow · service=checkout, endpoint=/pay, team=payments / checkout answers in 1.24s at the 99th percentile
           <- {"ok":true,"channel":"C1","ts":"100.1"}
        chat.postMessage C1 thread=100.1 to the channel: 🔴 *Still firing* for 23m 30s / • CheckoutSlow endpoint=/pay, service=checkout, team=payments: checkout answers in 1.24s at the 99th percentile
           <- {"ok":true,"channel":"C1","ts":"200.1"}
        delivered, remembers C1 100.1 3 all e74e2ddc2e97864e
    "#]],
    );
    check(
        samples::resolved(),
        thread_of(&samples::repeated()),
        &[ok("100.1"), ok("200.1")],
        &expect![[r#"
        chat.update C1 ts=100.1: 🟢 *[RESOLVED:1]* CheckoutSlow · service=checkout, endpoint=/pay, team=payments / checkout answers in 1.24s at the 99th percentile
           <- {"ok":true,"channel":"C1","ts":"100.1"}
        chat.postMessage C1 thread=100.1: 🟢 *Resolved* after 25m
           <- {"ok":true,"channel":"C1","ts":"200.1"}
        delivered, remembers C1 100.1 4 all
    "#]],
    );
}

#[test]
fn without_broadcast_replies_stay_in_the_thread() {
    let quiet = SlackConfig { broadcast: false, ..config() };
    let log = play(quiet, samples::repeated(), thread_of(&samples::changed()), &[ok("100.1"), ok("200.1")]);
    assert!(!log.contains("to the channel"), "{log}");
}

/// `C1`
#[test]
fn a_retry_repeats_the_harmless_update_first() {
    check(
        samples::changed(),
        thread_of(&samples::firing()),
        &[ok("100.1"), error("ratelimited")],
        &expect![[r#"
        chat.update C1 ts=100.1: 🔴 *[FIRING:2, RESOLVED:1]* CheckoutSlow · service=checkout, team=payments
           <- {"ok":true,"channel":"C1","ts":"100.1"}
        chat.postMessage C1 thread=100.1 to the channel: 🟠 *1 more firing* / • CheckoutSlow endpoint=/basket, service=checkout, team=payments: checkout answers in 1.24s at the 99th percentile
           <- {"ok":false,"error":"ratelimited"}
        Retry { after: None, throttled: true, reason: "Slack: rate limited" }
    "#]],
    );
    check(
        samples::changed(),
        thread_of(&samples::firing()),
        &["!".to_owned()],
        &expect![[r#"
        chat.update C1 ts=100.1: 🔴 *[FIRING:2, RESOLVED:1]* CheckoutSlow · service=checkout, team=payments
           <- !
        Retry { after: None, throttled: false, reason: "connection broke, it may have arrived: reset" }
    "#]],
    );
}

#[test]
fn what_was_told_already_is_not_told_again() {
    check(
        samples::changed(),
        thread_of(&samples::changed()),
        &[ok("100.1")],
        &expect![[r#"
        chat.update C1 ts=100.1: 🔴 *[FIRING:2, RESOLVED:1]* CheckoutSlow · service=checkout, team=payments
           <- {"ok":true,"channel":"C1","ts":"100.1"}
        delivered, remembers C1 100.1 2 all 5c729f2c40c41e62 e74e2ddc2e97864e
    "#]],
    );
}

/// A reminder is told whatever changed, so only the sequence says that it was told before.
#[test]
fn a_reminder_is_told_once() {
    check(
        samples::repeated(),
        thread_of(&samples::repeated()),
        &[ok("100.1")],
        &expect![[r#"
        chat.update C1 ts=100.1: 🔴 *[FIRING:1]* CheckoutSlow · service=checkout, endpoint=/pay, team=payments / checkout answers in 1.24s at the 99th percentile
           <- {"ok":true,"channel":"C1","ts":"100.1"}
        delivered, remembers C1 100.1 3 all e74e2ddc2e97864e
    "#]],
    );
}

#[test]
fn a_deleted_message_is_posted_anew() {
    check(
        samples::changed(),
        thread_of(&samples::firing()),
        &[error("message_not_found"), ok("200.1")],
        &expect![[r#"
            chat.update C1 ts=100.1: 🔴 *[FIRING:2, RESOLVED:1]* CheckoutSlow · service=checkout, team=payments
               <- {"ok":false,"error":"message_not_found"}
            chat.postMessage #alerts: 🔴 *[FIRING:2, RESOLVED:1]* CheckoutSlow · service=checkout, team=payments
               <- {"ok":true,"channel":"C1","ts":"200.1"}
            delivered, remembers C1 200.1 2 all 5c729f2c40c41e62 e74e2ddc2e97864e
        "#]],
    );
}

#[test]
fn a_thread_that_takes_no_reply_does_not_swallow_the_news() {
    let answers = [ok("100.1"), error("restricted_action_thread_locked"), ok("200.1")];
    check(
        samples::changed(),
        thread_of(&samples::firing()),
        &answers,
        &expect![[r#"
        chat.update C1 ts=100.1: 🔴 *[FIRING:2, RESOLVED:1]* CheckoutSlow · service=checkout, team=payments
           <- {"ok":true,"channel":"C1","ts":"100.1"}
        chat.postMessage C1 thread=100.1 to the channel: 🟠 *1 more firing* / • CheckoutSlow endpoint=/basket, service=checkout, team=payments: checkout answers in 1.24s at the 99th percentile
           <- {"ok":false,"error":"restricted_action_thread_locked"}
        chat.postMessage #alerts: 🔴 *[FIRING:2, RESOLVED:1]* CheckoutSlow · service=checkout, team=payments
           <- {"ok":true,"channel":"C1","ts":"200.1"}
        delivered, remembers C1 200.1 2 all 5c729f2c40c41e62 e74e2ddc2e97864e
    "#]],
    );
}

/// `C2`
#[test]
fn a_workspace_that_always_says_gone_is_given_up_on() {
    let answers = [error("message_not_found"), error("message_not_found")];
    check(
        samples::changed(),
        thread_of(&samples::firing()),
        &answers,
        &expect![[r#"
        chat.update C1 ts=100.1: 🔴 *[FIRING:2, RESOLVED:1]* CheckoutSlow · service=checkout, team=payments
           <- {"ok":false,"error":"message_not_found"}
        chat.postMessage #alerts: 🔴 *[FIRING:2, RESOLVED:1]* CheckoutSlow · service=checkout, team=payments
           <- {"ok":false,"error":"message_not_found"}
        Rejected { reason: "Slack refuses the message as one to a lost thread" }
    "#]],
    );
}

#[test]
fn a_new_life_of_the_group_starts_a_new_message() {
    let mut again = samples::firing();
    again.group_since.0 += 86_400_000;
    check(
        again,
        thread_of(&samples::resolved()),
        &[ok("300.1")],
        &expect![[r#"
        chat.postMessage #alerts: 🔴 *[FIRING:1]* CheckoutSlow · service=checkout, endpoint=/pay, team=payments / checkout answers in 1.24s at the 99th percentile
           <- {"ok":true,"channel":"C1","ts":"300.1"}
        delivered, remembers C1 300.1 1 all e74e2ddc2e97864e
    "#]],
    );
}

#[test]
fn a_handle_that_is_not_ours_is_passed_over() {
    let odd = Some(ThreadHandle(vec!["something".to_owned(), "else".to_owned()]));
    check(
        samples::firing(),
        odd,
        &[ok("200.1")],
        &expect![[r#"
        chat.postMessage #alerts: 🔴 *[FIRING:1]* CheckoutSlow · service=checkout, endpoint=/pay, team=payments / checkout answers in 1.24s at the 99th percentile
           <- {"ok":true,"channel":"C1","ts":"200.1"}
        delivered, remembers C1 200.1 1 all e74e2ddc2e97864e
    "#]],
    );
}

#[test]
fn resolved_alerts_are_kept_back_where_nobody_wants_them() {
    let integration = Arc::new(Integration { send_resolved: false, ..Integration::new(Kind::Slack(config())) });
    let thread = thread_of(&samples::firing());
    let delivery = samples::delivery(samples::resolved(), 1, thread.clone());
    let (_, step) = Conversation::open(integration.clone(), &delivery, WallTime(0));
    assert_eq!(step, Step::Done(Outcome::Delivered { thread }));

    let (_, step) = Conversation::open(integration, &samples::delivery(samples::changed(), 1, None), WallTime(0));
    let Step::Ask(Request::Post(post)) = step else { panic!("{step:?}") };
    assert!(asked(&post).contains("[FIRING:2]"), "{}", asked(&post));
}
