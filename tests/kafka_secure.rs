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
use support::wait::wait_until;

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

/// What a consumer with `settings` complains of, once that is of this kind: at first all it knows is that nothing answers.
fn problem(settings: KafkaSettings, kind: ProblemKind) -> Problem {
    let member = Member::join(settings, &["any"], 1);
    let mut last = Vec::new();
    let deadline = std::time::Instant::now() + support::wait::PATIENCE;
    while std::time::Instant::now() < deadline {
        last = member.handle.stats().problems;
        if let [only] = &last[..]
            && only.kind == kind
        {
            return only.clone();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("no problem of {kind:?} but {last:?}");
}

#[rstest]
#[case(SaslMechanism::Plain)]
#[case(SaslMechanism::ScramSha256)]
#[case(SaslMechanism::ScramSha512)]
fn sasl_over_tls_works_and_a_wrong_password_is_named(#[case] mechanism: SaslMechanism) {
    let Some(broker) = Apache::secured() else { return };
    round_trip(broker, settings(broker, mechanism, PASSWORD));
    let problem = problem(settings(broker, mechanism, "wrong horse"), ProblemKind::Authentication);
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
    problem(settings, ProblemKind::Tls);
}

#[test]
fn a_broker_signed_by_a_stranger_or_named_otherwise_is_not_trusted() {
    let Some(broker) = Apache::secured() else { return };
    let mut stranger = settings(broker, SaslMechanism::Plain, PASSWORD);
    stranger.tls = Some(Tls { ca: Some(broker.tls().wrong_ca.clone()), ..Tls::default() });
    problem(stranger, ProblemKind::Tls);

    // The authorities of the operating system do not know our broker either.
    let mut public = settings(broker, SaslMechanism::Plain, PASSWORD);
    public.tls = Some(Tls::default());
    problem(public, ProblemKind::Tls);

    // The certificate names `localhost` only.
    let mut elsewhere = settings(broker, SaslMechanism::Plain, PASSWORD);
    elsewhere.brokers = vec![broker.secure_bootstrap().replace("localhost", "127.0.0.1")];
    problem(elsewhere, ProblemKind::Tls);
}

#[test]
fn plain_text_to_a_tls_port_and_the_other_way_round_do_not_hang_in_silence() {
    let Some(broker) = Apache::secured() else { return };
    // All a client without TLS sees is that the broker hangs up.
    problem(quick_settings(&broker.secure_bootstrap(), &unique("group")), ProblemKind::Unreachable);

    let mut tls = quick_settings(&broker.bootstrap(), &unique("group"));
    tls.tls = Some(Tls { ca: Some(broker.tls().ca.clone()), ..Tls::default() });
    problem(tls, ProblemKind::Tls);
}

#[test]
fn a_producer_with_a_wrong_password_says_so_and_a_flush_does_not_wait_for_ever() {
    let Some(broker) = Apache::secured() else { return };
    let producer =
        Producer::new(&settings(broker, SaslMechanism::ScramSha256, "wrong horse"), &ProducerOptions::safe()).unwrap();
    producer.send(foghorn::edge::kafka::Outgoing { topic: "any", payload: b"x", ..Default::default() }).unwrap();
    wait_until("the problem", || producer.problems().iter().any(|problem| problem.kind == ProblemKind::Authentication));
    assert!(!producer.flush(Duration::from_millis(50)));
}
