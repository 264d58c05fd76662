//! SMTP conversations: in the clear, STARTTLS, implicit TLS; AUTH; several recipients; what is in the mail.

use std::sync::Arc;

use foghorn::edge::senders::{SenderError, Senders};
use foghorn::edge::standins::silent;
use foghorn::edge::standins::smtp::{SmtpOptions, SmtpStandin, Stream, TakenMail, Upgrade};
use foghorn::model::{Notification, Outcome, WallTime};
use foghorn::notify::SecretRef;
use foghorn::notify::config::{EmailConfig, Integration, Kind, Receiver, SmtpAuth, SmtpMechanism, SmtpTls};

use crate::samples;

/// A certificate for `localhost`, and what upgrades a connection with it.
struct Authority {
    pem: String,
    upgrade: Upgrade,
}

fn authority() -> Authority {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = rustls_pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .expect("a server");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let upgrade: Upgrade = Arc::new(move |stream| {
        let acceptor = acceptor.clone();
        Box::pin(async move { Ok(Box::new(acceptor.accept(stream).await?) as Box<dyn Stream>) })
    });
    Authority { pem: certified.cert.pem(), upgrade }
}

struct Office {
    standin: SmtpStandin,
    config: EmailConfig,
    /// Keeps the certificate's file.
    _folder: tempfile::TempDir,
}

impl Office {
    async fn new(tls: SmtpTls, options: SmtpOptions) -> Office {
        let authority = authority();
        let folder = tempfile::tempdir().expect("a folder");
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, &authority.pem).expect("a file");
        let options = match tls {
            SmtpTls::Plain => options,
            SmtpTls::StartTls => SmtpOptions { tls: Some(authority.upgrade), ..options },
            SmtpTls::Implicit => SmtpOptions { tls: Some(authority.upgrade), implicit_tls: true, ..options },
        };
        let standin = SmtpStandin::start(options, silent()).await.expect("a server");
        let to = vec!["On call <oncall@shop.example>".to_owned()];
        let config = EmailConfig::new("Foghorn <foghorn@shop.example>", to, "localhost", standin.port());
        let config =
            EmailConfig { tls, ca_file: Some(ca_file), hello: Some("foghorn.shop.example".to_owned()), ..config };
        Office { standin, config, _folder: folder }
    }

    fn login(mut self, password: &str, mechanism: Option<SmtpMechanism>) -> Office {
        let password = SecretRef::given(password);
        self.config.auth = Some(SmtpAuth { username: "foghorn".to_owned(), password, mechanism });
        self
    }

    async fn send(&self, notification: Notification) -> Outcome {
        let senders = senders(self.config.clone()).unwrap_or_else(|errors| panic!("{errors:?}"));
        senders.send("mail", samples::delivery(notification, 1, None), WallTime(samples::START)).await
    }

    async fn taken(&self, notification: Notification) -> TakenMail {
        let outcome = self.send(notification).await;
        assert_eq!(outcome, Outcome::Delivered { thread: None });
        self.standin.mails().pop().expect("a mail")
    }
}

fn senders(config: EmailConfig) -> Result<Senders, Vec<SenderError>> {
    let integrations = vec![Integration::new(Kind::Email(config))];
    Senders::new(&[Receiver { name: "mail".into(), integrations }], |_| None)
}

fn with_login(mechanisms: &[&str]) -> SmtpOptions {
    SmtpOptions {
        auth: Some(("foghorn".to_owned(), "open sesame".to_owned())),
        mechanisms: mechanisms.iter().map(|name| (*name).to_owned()).collect(),
        ..SmtpOptions::default()
    }
}

#[tokio::test]
async fn in_the_clear() {
    let office = Office::new(SmtpTls::Plain, SmtpOptions::default()).await;
    let mail = office.taken(samples::firing()).await;
    assert_eq!((mail.encrypted, mail.hello.as_str()), (false, "foghorn.shop.example"));
    assert_eq!(
        (mail.from.as_str(), mail.to.as_slice()),
        ("foghorn@shop.example", ["oncall@shop.example".to_owned()].as_slice())
    );
}

#[tokio::test]
async fn with_starttls_and_with_implicit_tls_and_either_login() {
    for tls in [SmtpTls::StartTls, SmtpTls::Implicit] {
        for (offered, wanted, used) in [
            (vec!["PLAIN", "LOGIN"], None, "PLAIN"),
            (vec!["LOGIN"], None, "LOGIN"),
            (vec!["PLAIN", "LOGIN"], Some(SmtpMechanism::Login), "LOGIN"),
        ] {
            let office = Office::new(tls, with_login(&offered)).await.login("open sesame", wanted);
            let mail = office.taken(samples::firing()).await;
            assert!(mail.encrypted);
            assert_eq!(mail.auth, Some(("foghorn".to_owned(), used.to_owned())), "{tls:?} {offered:?}");
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_rejected_and_not_repeated_in_the_reason() {
    let office = Office::new(SmtpTls::StartTls, with_login(&["PLAIN"])).await.login("wrong horse", None);
    let expect = "SMTP 535: authentication failed at AUTH; check user name and password";
    assert_eq!(office.send(samples::firing()).await, Outcome::Rejected { reason: expect.to_owned() });
}

#[tokio::test]
async fn a_server_without_starttls_gets_no_mail_and_no_password() {
    let office = Office::new(SmtpTls::Plain, with_login(&["PLAIN"])).await.login("open sesame", None);
    let office = Office { config: EmailConfig { tls: SmtpTls::StartTls, ..office.config }, ..office };
    match office.send(samples::firing()).await {
        Outcome::Rejected { reason } => assert!(reason.contains("STARTTLS is not supported"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert!(office.standin.mails().is_empty());
}

#[tokio::test]
async fn a_certificate_nobody_vouches_for_is_refused_unless_told_otherwise() {
    let office = Office::new(SmtpTls::StartTls, SmtpOptions::default()).await;
    let strict = Office { config: EmailConfig { ca_file: None, ..office.config.clone() }, ..office };
    match strict.send(samples::firing()).await {
        Outcome::Retry { reason, .. } => assert!(reason.contains("UnknownIssuer"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let config = EmailConfig { insecure_skip_verify: true, ..strict.config.clone() };
    let lax = Office { config, ..strict };
    assert!(lax.taken(samples::firing()).await.encrypted);
}

#[tokio::test]
async fn credentials_never_go_out_in_the_clear() {
    let mut config = EmailConfig::new("a@shop.example", vec!["b@shop.example".to_owned()], "mail.shop.example", 25);
    config.tls = SmtpTls::Plain;
    config.auth = Some(SmtpAuth { username: "u".to_owned(), password: SecretRef::given("p4ssword"), mechanism: None });
    let errors = senders(config).err().expect("refused");
    let text = errors.iter().map(|error| format!("{error}: {}", error.cause)).collect::<String>();
    let expect = "receiver `mail`, email integration 1: credentials would go to mail.shop.example in the clear; use STARTTLS or implicit TLS";
    assert_eq!(text, expect);
}

#[tokio::test]
async fn one_bad_address_does_not_keep_the_mail_from_the_others() {
    let options =
        |code| SmtpOptions { refused: vec![("gone@shop.example".to_owned(), code)], ..SmtpOptions::default() };
    let to = vec!["gone@shop.example".to_owned(), "oncall@shop.example".to_owned(), "lead@shop.example".to_owned()];

    let office = Office::new(SmtpTls::Plain, options(550)).await;
    let office = Office { config: EmailConfig { to: to.clone(), ..office.config }, ..office };
    let mail = office.taken(samples::firing()).await;
    assert_eq!(mail.to, ["oncall@shop.example", "lead@shop.example"]);

    // Refused for now: it may still get it.
    let office = Office::new(SmtpTls::Plain, options(451)).await;
    let office = Office { config: EmailConfig { to, ..office.config }, ..office };
    assert!(matches!(office.send(samples::firing()).await, Outcome::Retry { .. }));
    assert_eq!(office.standin.mails().len(), 1);

    let office = Office::new(SmtpTls::Plain, options(550)).await;
    let config = EmailConfig { to: vec!["gone@shop.example".to_owned()], ..office.config.clone() };
    let office = Office { config, ..office };
    let expect = "gone@shop.example refused: SMTP 550: no mail for gone@shop.example";
    assert_eq!(office.send(samples::firing()).await, Outcome::Rejected { reason: expect.to_owned() });
}

#[tokio::test]
async fn a_group_is_one_thread_however_often_foghorn_restarts() {
    let office = Office::new(SmtpTls::Plain, SmtpOptions::default()).await;
    let first = office.taken(samples::firing()).await;
    let later = office.taken(samples::changed()).await;
    let last = office.taken(samples::resolved()).await;
    let root = first.header("references").expect("a thread");
    for mail in [&first, &later, &last] {
        assert_eq!((mail.header("references"), mail.header("in-reply-to")), (Some(root.clone()), Some(root.clone())));
        assert!(mail.header("message-id").is_some_and(|id| id != root && id.ends_with("@shop.example>")));
    }
    assert_eq!(first.subject(), "[FIRING:1] CheckoutSlow · service=checkout, endpoint=/pay, team=payments");
    assert_eq!(later.subject(), "[FIRING:2, RESOLVED:1] CheckoutSlow · service=checkout, team=payments");

    let config = EmailConfig { stable_subject: true, ..office.config.clone() };
    let office = Office { config, ..office };
    let subjects = [office.taken(samples::firing()).await.subject(), office.taken(samples::changed()).await.subject()];
    assert_eq!(subjects, ["CheckoutSlow · service=checkout", "CheckoutSlow · service=checkout"]);
}

#[tokio::test]
async fn headers_say_that_a_machine_wrote_it_and_can_be_added_to() {
    let office = Office::new(SmtpTls::Plain, SmtpOptions::default()).await;
    let config = EmailConfig {
        list_id: Some("alerts.shop.example".to_owned()),
        reply_to: Some("ops@shop.example".to_owned()),
        headers: vec![
            ("X-Team".to_owned(), "payments\r\nBcc: all@shop.example".to_owned()),
            ("importance".to_owned(), "low".to_owned()),
        ],
        ..office.config.clone()
    };
    let office = Office { config, ..office };
    let mail = office.taken(samples::firing()).await;
    let header = |name: &str| mail.header(name).unwrap_or_default();
    assert_eq!(header("auto-submitted"), "auto-generated");
    assert_eq!(header("list-id"), "<alerts.shop.example>");
    assert_eq!(header("reply-to"), "ops@shop.example");
    assert_eq!(header("date"), "Mon, 30 Mar 2026 15:04:35 +0000");
    assert_eq!(header("x-team"), "payments  Bcc: all@shop.example");
    assert_eq!(mail.header("bcc"), None);
    assert_eq!((header("importance").as_str(), mail.data.matches("mportance:").count()), ("low", 1));
}

/// A line that is a single dot ends a mail on the wire; one that begins with a dot must keep it.
#[tokio::test]
async fn dots_and_long_lines_survive_the_wire() {
    let office = Office::new(SmtpTls::Plain, SmtpOptions::default()).await;
    let mut notification = samples::firing();
    let text = format!(".\n..two\n.\r\n{}", "long ".repeat(700));
    notification.alerts[0].annotations = samples::annotations(&[("summary", "short"), ("description", &text)]);
    let mail = office.taken(notification).await;
    let text = quoted_printable(&mail.data);
    assert!(text.contains("\n.\n..two\n.\n"), "{text}");
    assert!(text.contains(&"long ".repeat(690)), "{text}");
}

fn quoted_printable(text: &str) -> String {
    text.replace("=\r\n", "").replace("=20\r\n", " \r\n").replace("\r\n", "\n")
}
