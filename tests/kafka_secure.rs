//! TLS and SASL against a real broker, and what is said when they fail. The embedded cluster has neither.

mod support;

use std::time::Duration;

use foghorn::edge::kafka::{
    KafkaSettings, Problem, ProblemKind, Producer, ProducerOptions, Sasl, SaslMechanism, Secret, Tls, TlsIdentity,
};
use rstest::rstest;
use support::apache::{Apache, PASSWORD, USER};
use support::cluster::{fill, quick_settings, unique};
use support::member::Member;
use support::wait::wait_for;

fn settings(broker: &Apache, mechanism: SaslMechanism, password: &str) -> KafkaSettings {
    let mut settings = quick_settings(&broker.secure_bootstrap(), &unique("group"));
    settings.tls = Some(Tls { ca: Some(broker.tls().ca.clone()), ..Tls::default() });
    settings.sasl = Some(Sasl { mechanism, username: USER.into(), password: Secret::new(password) });
    settings
}

/// Written and read through `settings`.
fn round_trip(broker: &Apache, settings: KafkaSettings) {
    let topic = unique("secret-orders");
    broker.create_topic(&topic, 1);
    fill(&Producer::new(&settings, &ProducerOptions::safe()).unwrap(), &topic, 0, 0..100);
    let mut member = Member::join(settings, &[&topic], 1);
    member.take_until("the records", |member| member.records() == 100);
    assert_eq!(member.handle.stats().problems, []);
}

/// The first problem of a consumer with `settings`.
fn problem(settings: KafkaSettings) -> Problem {
    let member = Member::join(settings, &["any"], 1);
    wait_for("a problem", || member.handle.stats().problems.into_iter().next())
}

#[rstest]
#[case(SaslMechanism::Plain)]
#[case(SaslMechanism::ScramSha256)]
#[case(SaslMechanism::ScramSha512)]
fn sasl_over_tls_works_and_a_wrong_password_is_named(#[case] mechanism: SaslMechanism) {
    let Some(broker) = Apache::secured() else { return };
    round_trip(broker, settings(broker, mechanism, PASSWORD));
    let problem = problem(settings(broker, mechanism, "wrong horse"));
    assert_eq!(problem.kind, ProblemKind::Authentication, "{problem:?}");
    assert!(problem.text.contains("the user name and the password"), "{problem:?}");
    assert!(!format!("{problem:?}").contains("wrong horse"));
}

#[test]
fn a_client_certificate_works_and_its_absence_is_a_matter_of_tls() {
    let Some(broker) = Apache::secured() else { return };
    let mut settings = quick_settings(&broker.mutual_bootstrap(), &unique("group"));
    let identity = TlsIdentity {
        certificate: broker.tls().client_certificate.clone(),
        key: broker.tls().client_key.clone(),
        key_password: None,
    };
    settings.tls = Some(Tls { ca: Some(broker.tls().ca.clone()), identity: Some(identity), verify_host: true });
    round_trip(broker, settings.clone());
    settings.tls = Some(Tls { ca: Some(broker.tls().ca.clone()), ..Tls::default() });
    let problem = problem(settings);
    assert_eq!(problem.kind, ProblemKind::Tls, "{problem:?}");
}

#[test]
fn a_broker_signed_by_a_stranger_or_named_otherwise_is_not_trusted() {
    let Some(broker) = Apache::secured() else { return };
    let mut stranger = settings(broker, SaslMechanism::Plain, PASSWORD);
    stranger.tls = Some(Tls { ca: Some(broker.tls().wrong_ca.clone()), ..Tls::default() });
    let told = problem(stranger);
    assert_eq!(told.kind, ProblemKind::Tls, "{told:?}");

    // The authorities of the operating system do not know our broker either.
    let mut public = settings(broker, SaslMechanism::Plain, PASSWORD);
    public.tls = Some(Tls::default());
    let told = problem(public);
    assert_eq!(told.kind, ProblemKind::Tls, "{told:?}");

    // The certificate names `localhost` only.
    let mut elsewhere = settings(broker, SaslMechanism::Plain, PASSWORD);
    elsewhere.brokers = vec![broker.secure_bootstrap().replace("localhost", "127.0.0.1")];
    let told = problem(elsewhere.clone());
    assert_eq!(told.kind, ProblemKind::Tls, "{told:?}");
}

#[test]
fn plain_text_to_a_tls_port_and_the_other_way_round_do_not_hang_in_silence() {
    let Some(broker) = Apache::secured() else { return };
    let told = problem(quick_settings(&broker.secure_bootstrap(), &unique("group")));
    assert!(matches!(told.kind, ProblemKind::Tls | ProblemKind::Unreachable), "{told:?}");

    let mut tls = quick_settings(&broker.bootstrap(), &unique("group"));
    tls.tls = Some(Tls { ca: Some(broker.tls().ca.clone()), ..Tls::default() });
    let told = problem(tls);
    assert_eq!(told.kind, ProblemKind::Tls, "{told:?}");
}

/// The one thing that is a problem at once: files that cannot be read, before any broker is asked.
#[test]
fn a_producer_with_a_wrong_password_says_so_and_gives_up_in_time() {
    let Some(broker) = Apache::secured() else { return };
    let producer =
        Producer::new(&settings(broker, SaslMechanism::ScramSha256, "wrong horse"), &ProducerOptions::safe()).unwrap();
    producer.send(foghorn::edge::kafka::Outgoing { topic: "any", payload: b"x", ..Default::default() }).unwrap();
    let told = wait_for("a problem", || producer.problems().into_iter().next());
    assert_eq!(told.kind, ProblemKind::Authentication, "{told:?}");
    assert!(!producer.flush(Duration::from_millis(50)));
}
