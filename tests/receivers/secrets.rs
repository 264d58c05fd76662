//! Secrets go out to receivers and nowhere else, and can be rotated without a restart.

use std::sync::Arc;

use foghorn::edge::senders::Senders;
use foghorn::edge::standins::{BOT_TOKEN, Misbehaviour, ROUTING_KEY, Standins, silent};
use foghorn::model::{Outcome, WallTime};
use foghorn::notify::config::{HttpAuth, Integration, Kind, Receiver, SlackConfig, SlackTarget, WebhookConfig};
use foghorn::notify::{Conversation, Secret, SecretRef, Step};
use tracing_subscriber::fmt::MakeWriter;

use crate::samples;

const HOOK_TOKEN: &str = "s3cr3t-hook-token";
const PASSWORD: &str = "s3cr3t-password";

/// What is logged, at every level, by us and by the libraries.
#[derive(Clone, Default)]
struct Log(Arc<parking_lot::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Log;

    fn make_writer(&self) -> Log {
        self.clone()
    }
}

fn receiver(name: &str, kind: Kind) -> Receiver {
    Receiver { name: name.into(), integrations: vec![Integration::new(kind)] }
}

/// Every receiver that has a secret, against stand-ins that quote everything they were sent.
fn receivers(standins: &Standins) -> Vec<Receiver> {
    let mut receivers = standins.receivers();
    let url = SecretRef::given(standins.slack.webhook_url());
    receivers.push(receiver("slack-webhook", Kind::Slack(SlackConfig::new(SlackTarget::Webhook { url }))));
    let url = || SecretRef::given(format!("{}&also={HOOK_TOKEN}", standins.webhook.url()));
    let basic = HttpAuth::Basic { username: "u".to_owned(), password: SecretRef::given(PASSWORD) };
    let headers = vec![("X-Key".to_owned(), SecretRef::given("s3cr3t-header"))];
    receivers.push(receiver(
        "basic",
        Kind::Webhook(WebhookConfig { auth: Some(basic), headers, ..WebhookConfig::new(url()) }),
    ));
    receivers
}

const SECRETS: [&str; 9] = [
    BOT_TOKEN,
    ROUTING_KEY,
    HOOK_TOKEN,
    PASSWORD,
    "s3cr3t-header",
    // `u:s3cr3t-password`
    "dTpzM2NyM3QtcGFzc3dvcmQ=",
    "services/T000/B000/standin",
    "standin-webhook-token",
    "/hook?token",
];

fn check_hidden(what: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "N1: {what} shows `{secret}`: {text}");
    }
}

#[tokio::test]
async fn no_outcome_error_or_log_shows_a_secret() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let standins = Standins::start(silent()).await.expect("stand-ins");
    let receivers = receivers(&standins);
    check_hidden("configuration", &format!("{receivers:?}"));
    let senders = Senders::new(&receivers, |_| None).unwrap_or_else(|errors| panic!("{errors:?}"));
    let quoting = SECRETS.join(" ");
    let scripts =
        [standins.slack.script(), standins.pagerduty.script(), standins.webhook.script(), standins.smtp.script()];
    let faults = [
        Misbehaviour::refuse(400, quoting.clone()),
        Misbehaviour::refuse(500, quoting),
        Misbehaviour::Reset,
        Misbehaviour::TakeThenDrop,
    ];
    let mut seen = 0;
    for fault in faults {
        for script in scripts {
            script.push_times(2, &fault);
        }
        for receiver in &receivers {
            let delivery = samples::delivery(samples::firing(), 1, None);
            let outcome = senders.send(&receiver.name, delivery, WallTime(0)).await;
            assert!(!matches!(outcome, Outcome::Delivered { .. }), "{}: {outcome:?}", receiver.name);
            // A receiver may only be kept from quoting its own secrets: it does not know the others'.
            check_own(receiver, &format!("{outcome:?}"));
            seen += 1;
        }
        while scripts.iter().any(|script| script.left() > 0) {
            for receiver in &receivers {
                senders.send(&receiver.name, samples::delivery(samples::firing(), 1, None), WallTime(0)).await;
            }
        }
    }
    assert_eq!(seen, 4 * receivers.len());
    drop(standins);
    for receiver in &receivers {
        let outcome = senders.send(&receiver.name, samples::delivery(samples::firing(), 1, None), WallTime(0)).await;
        check_hidden("an outcome without a receiver", &format!("{outcome:?}"));
    }
    let logged = String::from_utf8(log.0.lock().clone()).expect("text");
    check_hidden("the log", &logged);
}

fn check_own(receiver: &Receiver, text: &str) {
    let own: &[&str] = match &*receiver.name {
        "slack" => &[BOT_TOKEN],
        "slack-webhook" => &["services/T000/B000/standin"],
        "pagerduty" => &[ROUTING_KEY],
        "basic" => &[HOOK_TOKEN, PASSWORD, "s3cr3t-header", "dTpzM2NyM3QtcGFzc3dvcmQ="],
        _ => &[],
    };
    for secret in own {
        assert!(!text.contains(secret), "N1: {} shows `{secret}`: {text}", receiver.name);
    }
}

#[tokio::test]
async fn requests_print_without_what_they_carry() {
    let standins = Standins::start(silent()).await.expect("stand-ins");
    for receiver in receivers(&standins) {
        let resolve = |reference: &SecretRef| match reference {
            SecretRef::Given(secret) => Ok::<Secret, ()>(secret.clone()),
            _ => Err(()),
        };
        let integration = receiver.integrations[0].resolve(resolve).expect("given");
        check_hidden("a resolved integration", &format!("{integration:?}"));
        let delivery = samples::delivery(samples::firing(), 1, None);
        let (conversation, step) = Conversation::open(Arc::new(integration), &delivery, WallTime(0));
        assert!(matches!(step, Step::Ask(_)));
        check_hidden("a conversation", &format!("{conversation:?} {step:?}"));
    }
}

#[tokio::test]
async fn a_rotated_file_works_at_once_and_a_missing_one_does_not_stop_the_mail() {
    let standins = Standins::start(silent()).await.expect("stand-ins");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("routing_key");
    std::fs::write(&path, "ffffffffffffffffffffffffffffffff\n").expect("a file");
    let mut config = standins.pagerduty_config();
    config.routing_key = SecretRef::File(path.clone());
    let senders = Senders::new(&[receiver("pager", Kind::PagerDuty(config))], |_| None);
    let senders = senders.unwrap_or_else(|errors| panic!("{errors:?}"));
    let send = || senders.send("pager", samples::delivery(samples::firing(), 1, None), WallTime(0));

    let expect = "PagerDuty: HTTP 400: Event object is invalid; Invalid routing key";
    assert_eq!(send().await, Outcome::Rejected { reason: expect.to_owned() });
    std::fs::write(&path, ROUTING_KEY).expect("a file");
    assert_eq!(send().await, Outcome::Delivered { thread: None });
    std::fs::remove_file(&path).expect("it was there");
    assert_eq!(send().await, Outcome::Delivered { thread: None });
}

#[test]
fn everything_that_is_missing_is_said_at_the_start_at_once() {
    let mut receivers = vec![
        receiver("a", Kind::Webhook(WebhookConfig::new(SecretRef::Env("NO_SUCH_URL".to_owned())))),
        receiver("b", Kind::Webhook(WebhookConfig::new(SecretRef::given("ftp://x/y")))),
    ];
    let mut with_ca = WebhookConfig::new(SecretRef::given("https://x/y"));
    with_ca.http.ca_file = Some("/no/such/ca.pem".into());
    receivers[1].integrations.push(Integration::new(Kind::Webhook(with_ca)));
    let errors = Senders::new(&receivers, |_| None).err().expect("all wrong");
    let lines: Vec<String> = errors.iter().map(|error| format!("{error}: {}", error.cause)).collect();
    assert_eq!(
        lines,
        [
            "receiver `a`, webhook integration 1: the environment variable NO_SUCH_URL is not set",
            "receiver `b`, webhook integration 1: not a web address: write `https://host/path`",
            "receiver `b`, webhook integration 2: cannot read the certificates in /no/such/ca.pem",
        ]
    );
}
