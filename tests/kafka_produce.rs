//! Dead letters and the bounded queue they wait in.

mod support;

use foghorn::edge::kafka::{DeadLetter, DeadLetterProducer, Outgoing, Producer, ProducerOptions, SendError};
use foghorn::model::{Position, Refusal, SourceId};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Headers;
use rstest::rstest;
use support::cluster::{Cluster, Kind, unique};
use support::wait::{PATIENCE, wait_for};

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn a_dead_letter_carries_the_original_bytes_and_says_where_and_why(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let topic = unique("dead-letters");
    cluster.create_topic(&topic, 1);
    let dead = DeadLetterProducer::new(&cluster.settings("g"), &topic).unwrap();
    let payload = b"{\"a\": \xff\x00 not json";
    dead.send(DeadLetter {
        payload,
        reason: Refusal::Malformed.name(),
        stream: "requests",
        position: &Position { source: SourceId::new("orders", 3), offset: 1_042 },
        at: 6,
        timestamp: 1_700_000_000_123,
    })
    .unwrap();
    assert!(dead.flush(PATIENCE), "{:?}", dead.problems());
    assert_eq!((dead.counts().sent, dead.counts().delivered), (1, 1));

    let mut config = cluster.settings(&unique("group")).consumer().unwrap();
    let reader: BaseConsumer = config.set("enable.partition.eof", "false").create().unwrap();
    reader.subscribe(&[&topic]).unwrap();
    let letter = wait_for("the letter", || reader.poll(std::time::Duration::from_millis(50))).unwrap();
    assert_eq!(letter.payload(), Some(&payload[..]));
    assert_eq!(letter.timestamp().to_millis(), Some(1_700_000_000_123));
    let headers: Vec<(String, String)> = letter
        .headers()
        .expect("headers")
        .iter()
        .map(|header| (header.key.to_owned(), String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned()))
        .collect();
    let expect = [
        ("foghorn.reason", "malformed"),
        ("foghorn.stream", "requests"),
        ("foghorn.topic", "orders"),
        ("foghorn.partition", "3"),
        ("foghorn.offset", "1042"),
        ("foghorn.at", "6"),
    ];
    assert_eq!(headers, expect.map(|(key, value)| (key.to_owned(), value.to_owned())));
}

/// Nobody answers, so nothing leaves the queue: it fills to its bound, and the rest is refused and counted.
#[test]
fn a_full_queue_refuses_and_counts() {
    let cluster = Cluster::start(Kind::Embedded).expect("always there");
    let Cluster::Embedded(embedded) = &cluster else { unreachable!() };
    embedded.broker_down(None).unwrap();
    let options = ProducerOptions { queue_records: 100, ..ProducerOptions::safe() };
    let producer = Producer::new(&cluster.settings("g"), &options).unwrap();
    let record = Outgoing { topic: "any", payload: b"x", ..Outgoing::default() };
    let refused = (0..150).filter(|_| producer.send(record) == Err(SendError::Full)).count();
    assert_eq!(refused, 50);
    assert_eq!((producer.counts().sent, producer.counts().refused), (100, 50));
    embedded.broker_up(None).unwrap();
    assert!(producer.flush(PATIENCE), "{:?}", producer.problems());
    assert_eq!(producer.counts().delivered, 100);

    let large = vec![0; 2 << 20];
    let record = Outgoing { payload: &large, ..record };
    assert!(matches!(producer.send(record), Err(SendError::Refused(reason)) if reason.contains("too large")));
}
