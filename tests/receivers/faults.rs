//! Deliveries over real sockets to stand-ins that fail, throttle, hang, break off and forget to answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foghorn::edge::senders::Senders;
use foghorn::edge::standins::pagerduty::IncidentState;
use foghorn::edge::standins::{Misbehaviour, Script, Standins, silent};
use foghorn::model::{Delivery, Millis, Notification, Outcome, ThreadHandle, WallTime};
use foghorn::notify::SecretRef;
use foghorn::notify::config::{
    Colour, ConsoleConfig, HttpOptions, Integration, Kind, Receiver, SlackConfig, SlackTarget,
};

use crate::samples;

const NOW: WallTime = WallTime(samples::START);

struct Rig {
    standins: Standins,
    senders: Senders,
}

impl Rig {
    /// All stand-ins, reached with the usual time limits.
    async fn new() -> Rig {
        Rig::with(|_| {}).await
    }

    async fn with(change: impl Fn(&mut Integration)) -> Rig {
        let standins = Standins::start(silent()).await.expect("stand-ins");
        let mut receivers = standins.receivers();
        let webhook = SlackTarget::Webhook { url: SecretRef::given(standins.slack.webhook_url()) };
        receivers.push(Receiver {
            name: "slack-webhook".into(),
            integrations: vec![Integration::new(Kind::Slack(SlackConfig::new(webhook)))],
        });
        for integration in receivers.iter_mut().flat_map(|receiver| &mut receiver.integrations) {
            change(integration);
        }
        let senders = Senders::new(&receivers, |_| None).unwrap_or_else(|errors| panic!("{errors:?}"));
        Rig { standins, senders }
    }

    async fn send(&self, receiver: &str, notification: Notification) -> Outcome {
        self.deliver(receiver, samples::delivery(notification, 1, None)).await
    }

    async fn deliver(&self, receiver: &str, delivery: Delivery) -> Outcome {
        self.senders.send(receiver, delivery, NOW).await
    }

    fn script(&self, receiver: &str) -> &Script {
        match receiver {
            "slack" | "slack-webhook" => self.standins.slack.script(),
            "email" => self.standins.smtp.script(),
            "pagerduty" => self.standins.pagerduty.script(),
            _ => self.standins.webhook.script(),
        }
    }
}

fn hurry(integration: &mut Integration) {
    let fast = HttpOptions { timeout: Millis(1_000), ..HttpOptions::default() };
    match &mut integration.kind {
        Kind::Slack(config) => config.http = fast,
        Kind::PagerDuty(config) => config.http = fast,
        Kind::Webhook(config) => config.http = fast,
        Kind::Email(config) => config.timeout = Millis(1_000),
        Kind::Console(_) => {}
    }
}

const ALL: [&str; 5] = ["slack", "slack-webhook", "email", "pagerduty", "webhook"];

fn reason(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Delivered { .. } => "delivered",
        Outcome::Retry { reason, .. } | Outcome::Rejected { reason } => reason,
    }
}

#[tokio::test]
async fn everything_arrives_when_nothing_goes_wrong() {
    let rig = Rig::new().await;
    for receiver in ALL {
        let outcome = rig.send(receiver, samples::firing()).await;
        assert!(matches!(outcome, Outcome::Delivered { .. }), "{receiver}: {outcome:?}");
    }
    assert_eq!(rig.standins.slack.messages().len(), 2);
    assert_eq!(rig.standins.smtp.mails().len(), 1);
    assert_eq!(rig.standins.pagerduty.incidents().len(), 1);
    assert_eq!(rig.standins.webhook.messages().len(), 1);
}

#[tokio::test]
async fn what_passes_is_tried_again_and_what_does_not_is_rejected() {
    let rig = Rig::new().await;
    for receiver in ALL {
        let (passing, lasting) = if receiver == "email" { (451, 554) } else { (503, 404) };
        rig.script(receiver).push(Misbehaviour::status(passing));
        rig.script(receiver).push(Misbehaviour::status(lasting));
        let outcome = rig.send(receiver, samples::firing()).await;
        assert!(matches!(outcome, Outcome::Retry { after: None, throttled: false, .. }), "{receiver}: {outcome:?}");
        let outcome = rig.send(receiver, samples::firing()).await;
        assert!(matches!(outcome, Outcome::Rejected { .. }), "{receiver}: {outcome:?}");
        let outcome = rig.send(receiver, samples::firing()).await;
        assert!(matches!(outcome, Outcome::Delivered { .. }), "{receiver}: {outcome:?}");
    }
}

#[tokio::test]
async fn throttling_is_passed_on_with_the_time_that_was_asked_for() {
    let rig = Rig::new().await;
    for receiver in ["slack", "slack-webhook", "pagerduty", "webhook"] {
        rig.script(receiver).push(Misbehaviour::throttle(17));
        let outcome = rig.send(receiver, samples::firing()).await;
        let asked = matches!(outcome, Outcome::Retry { after: Some(Millis(17_000)), throttled: true, .. });
        assert!(asked, "{receiver}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_receiver_that_hangs_costs_its_own_time_only() {
    let rig = Rig::with(hurry).await;
    let receivers = ["slack", "email", "pagerduty", "webhook"];
    for receiver in receivers {
        rig.script(receiver).push(Misbehaviour::Hang);
    }
    let started = Instant::now();
    let hanging = receivers.map(|receiver| rig.send(receiver, samples::firing()));
    let outcomes = futures::future::join_all(hanging).await;
    for (receiver, outcome) in receivers.iter().zip(outcomes) {
        assert!(matches!(&outcome, Outcome::Retry { .. }), "{receiver}: {outcome:?}");
        assert!(reason(&outcome).contains("within 1s"), "{receiver}: {outcome:?}");
    }
    // Four limits of a second one after another would take four.
    assert!(started.elapsed() < Duration::from_millis(3_500), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_broken_connection_is_tried_again() {
    let rig = Rig::new().await;
    for receiver in ALL {
        rig.script(receiver).push(Misbehaviour::Reset);
        let outcome = rig.send(receiver, samples::firing()).await;
        assert!(matches!(outcome, Outcome::Retry { throttled: false, .. }), "{receiver}: {outcome:?}");
    }
    assert!(rig.standins.smtp.mails().is_empty() && rig.standins.slack.messages().is_empty());
}

/// Taken, but not said so: the sender must try again, and what can tell repeats apart gets the means to.
#[tokio::test]
async fn what_was_taken_without_an_answer_is_a_repeat_the_second_time() {
    let rig = Rig::new().await;
    for receiver in ALL {
        rig.script(receiver).push(Misbehaviour::TakeThenDrop);
        let outcome = rig.send(receiver, samples::firing()).await;
        assert!(matches!(outcome, Outcome::Retry { .. }), "{receiver}: {outcome:?}");
        assert!(reason(&outcome).contains("may have arrived"), "{receiver}: {outcome:?}");
        let again = rig.deliver(receiver, samples::delivery(samples::firing(), 2, None)).await;
        assert!(matches!(again, Outcome::Delivered { .. }), "{receiver}: {again:?}");
    }
    // PagerDuty pages once.
    let incidents = rig.standins.pagerduty.incidents();
    let pages: Vec<(u32, u32)> = incidents.values().map(|incident| (incident.pages, incident.events)).collect();
    assert_eq!(pages, [(1, 2)]);
    // The webhook sees the same key.
    let repeats: Vec<bool> = rig.standins.webhook.messages().iter().map(|message| message.repeat).collect();
    assert_eq!(repeats, [false, true]);
    // Mail systems see the same Message-ID.
    let ids: Vec<_> = rig.standins.smtp.mails().iter().map(|mail| mail.header("message-id")).collect();
    assert_eq!((ids.len(), &ids[0]), (2, &ids[1]));
    assert!(ids[0].is_some());
    // Slack cannot tell; people can.
    let messages = rig.standins.slack.messages();
    let marked: Vec<bool> = messages
        .iter()
        .map(|message| format!("{:?}", message.attachments).contains("sent again (attempt 2)"))
        .collect();
    assert_eq!(marked, [false, true, false, true]);
}

/// A process whose disk took nothing is followed by one that counts notifications from where it began. What that one says
/// under a number that was used before is news, to those as well who drop repeats.
#[tokio::test]
async fn another_notification_of_the_same_number_is_no_repeat() {
    let rig = Rig::new().await;
    let before = samples::firing();
    let mut alerts = before.alerts.clone();
    alerts.push(samples::slow("/refund", "critical"));
    let after = Notification { alerts, ..before.clone() };
    for receiver in ["webhook", "email"] {
        for notification in [&before, &after, &before] {
            let outcome = rig.send(receiver, notification.clone()).await;
            assert!(matches!(outcome, Outcome::Delivered { .. }), "{receiver}: {outcome:?}");
        }
    }
    let repeats: Vec<bool> = rig.standins.webhook.messages().iter().map(|message| message.repeat).collect();
    assert_eq!(repeats, [false, false, true]);
    let mails = rig.standins.smtp.mails();
    let header = |name| mails.iter().map(|mail| mail.header(name).expect("it is there").to_owned()).collect::<Vec<_>>();
    let ids = header("message-id");
    assert!(ids[0] != ids[1] && ids[0] == ids[2], "{ids:?}");
    let threads = header("references");
    assert!(threads.iter().all(|thread| *thread == threads[0] && !ids.contains(thread)), "{threads:?}");
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_tried_again() {
    let rig = Rig::new().await;
    let Rig { standins, senders } = rig;
    let ports = [standins.smtp.port(), port(&standins.pagerduty.url()), port(&standins.webhook.url())];
    drop(standins);
    for port in ports {
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
    for receiver in ["email", "pagerduty", "webhook"] {
        let outcome = senders.send(receiver, samples::delivery(samples::firing(), 1, None), NOW).await;
        assert!(matches!(&outcome, Outcome::Retry { .. }), "{receiver}: {outcome:?}");
        assert!(reason(&outcome).starts_with("not reached"), "{receiver}: {outcome:?}");
    }
}

fn port(url: &str) -> u16 {
    url.split([':', '/']).find_map(|part| part.parse().ok()).expect("an address with a port")
}

/// One message for the life of the group, on the wire.
#[tokio::test]
async fn slack_keeps_one_message_up_to_date() {
    let rig = Rig::new().await;
    let mut thread: Option<ThreadHandle> = None;
    for notification in [samples::firing(), samples::changed(), samples::resolved()] {
        let delivery = samples::delivery(notification, 1, thread.clone());
        match rig.deliver("slack", delivery).await {
            Outcome::Delivered { thread: handle } => thread = handle,
            other => panic!("{other:?}"),
        }
    }
    let messages = rig.standins.slack.messages();
    let [root, more, over] = messages.as_slice() else { panic!("{messages:#?}") };
    assert_eq!((root.edits, root.thread_ts.as_ref()), (2, None));
    assert!(root.text.contains("[RESOLVED:1]"), "{}", root.text);
    assert_eq!((more.thread_ts.as_ref(), more.broadcast), (Some(&root.ts), true));
    assert!(more.text.contains("1 more firing"), "{}", more.text);
    assert_eq!((over.thread_ts.as_ref(), over.broadcast), (Some(&root.ts), false));
    assert!(over.text.contains("Resolved"), "{}", over.text);
}

#[tokio::test]
async fn pagerduty_opens_and_closes_one_incident() {
    let rig = Rig::new().await;
    for notification in [samples::firing(), samples::changed(), samples::repeated(), samples::resolved()] {
        assert_eq!(rig.send("pagerduty", notification).await, Outcome::Delivered { thread: None });
    }
    let incidents = rig.standins.pagerduty.incidents();
    let incident = incidents.values().next().expect("one incident");
    assert_eq!((incidents.len(), incident.state, incident.pages, incident.events), (1, IncidentState::Resolved, 1, 4));
}

#[tokio::test]
async fn messages_to_one_channel_keep_slacks_pace_and_others_do_not_wait() {
    let rig = Rig::new().await;
    let started = Instant::now();
    let to_channel = async {
        rig.send("slack", samples::firing()).await;
        rig.send("slack", samples::many()).await;
        started.elapsed()
    };
    let to_webhook = async {
        rig.send("slack-webhook", samples::firing()).await;
        started.elapsed()
    };
    let (channel, webhook) = tokio::join!(to_channel, to_webhook);
    assert!(channel >= Duration::from_millis(1_000), "{channel:?}");
    assert!(webhook < channel, "{webhook:?} {channel:?}");
}

#[tokio::test]
async fn a_queue_at_one_channel_is_sent_away_rather_than_kept() {
    let standins = Standins::start(silent()).await.expect("stand-ins");
    let senders = Senders::new(&standins.receivers(), |_| None).unwrap_or_else(|errors| panic!("{errors:?}"));
    let send = || senders.send("slack", samples::delivery(samples::firing(), 1, None), NOW);
    // Turns come a second apart: the first goes at once, five wait, and a wait of more than five seconds is too long.
    let outcomes = futures::future::join_all((0..9).map(|_| send())).await;
    let (gone, back) = outcomes.split_at(6);
    assert!(gone.iter().all(|outcome| matches!(outcome, Outcome::Delivered { .. })), "{gone:?}");
    for outcome in back {
        assert!(matches!(outcome, Outcome::Retry { after: Some(_), throttled: true, .. }), "{outcome:?}");
        assert_eq!(reason(outcome), "the channel's messages are queueing");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let rig = Rig::new().await;
    rig.script("webhook").push(Misbehaviour::refuse(307, rig.standins.webhook.url()));
    let outcome = rig.send("webhook", samples::firing()).await;
    let expect = "HTTP 307: redirects are not followed; configure the final address";
    assert_eq!(outcome, Outcome::Rejected { reason: expect.to_owned() });
    assert!(rig.standins.webhook.messages().is_empty());
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    let rig = Rig::new().await;
    rig.script("webhook").push(Misbehaviour::refuse(500, "x".repeat(10_000_000)));
    let outcome = rig.send("webhook", samples::firing()).await;
    assert!(matches!(&outcome, Outcome::Retry { .. }), "{outcome:?}");
    assert!(reason(&outcome).len() < 400, "{}", reason(&outcome).len());
}

#[tokio::test]
async fn the_console_prints() {
    let printed = Arc::new(parking_lot::Mutex::new(String::new()));
    let sink = printed.clone();
    let console = Integration::new(Kind::Console(ConsoleConfig { colour: Colour::Never }));
    let receivers = [Receiver { name: "screen".into(), integrations: vec![console] }];
    let senders = Senders::new(&receivers, |_| None).unwrap_or_else(|errors| panic!("{errors:?}"));
    let senders = senders.with_console(Arc::new(move |text, _| {
        sink.lock().push_str(text);
        Ok(())
    }));
    let outcome = senders.send("screen", samples::delivery(samples::firing(), 1, None), NOW).await;
    assert_eq!(outcome, Outcome::Delivered { thread: None });
    assert!(printed.lock().starts_with("[FIRING:1] CheckoutSlow"), "{}", printed.lock());
    let outcome = senders.send("nobody", samples::delivery(samples::firing(), 1, None), NOW).await;
    assert_eq!(reason(&outcome), "receiver `nobody` has no integration 1");
}
