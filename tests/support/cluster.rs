//! The two clusters every Kafka test runs on: the embedded one, always, and Apache Kafka, where it can be had.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use foghorn::edge::kafka::{EmbeddedCluster, KafkaSettings, Outgoing, Producer, ProducerOptions, Start};

use super::apache::Apache;
use super::wait::PATIENCE;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Embedded,
    Apache,
}

/// A cluster with topics of its own names: Apache Kafka is shared by the tests of one binary.
pub enum Cluster {
    Embedded(EmbeddedCluster),
    Apache(&'static Apache),
    /// To be killed and restarted.
    Own(Box<Apache>),
}

impl Cluster {
    /// `None` where Apache Kafka cannot be had; it has been said loudly by then.
    pub fn start(kind: Kind) -> Option<Cluster> {
        match kind {
            Kind::Embedded => Some(Cluster::Embedded(EmbeddedCluster::start([]).expect("loopback has free ports"))),
            Kind::Apache => Apache::shared().map(Cluster::Apache),
        }
    }

    /// An Apache Kafka for one test alone, which may kill it.
    pub fn own_apache() -> Option<Cluster> {
        Apache::own().map(|broker| Cluster::Own(Box::new(broker)))
    }

    pub fn bootstrap(&self) -> String {
        match self {
            Cluster::Embedded(cluster) => cluster.bootstrap().to_owned(),
            Cluster::Apache(broker) => broker.bootstrap(),
            Cluster::Own(broker) => broker.bootstrap(),
        }
    }

    pub fn create_topic(&self, name: &str, partitions: i32) {
        match self {
            Cluster::Embedded(cluster) => cluster.create_topic(name, partitions).expect("a new topic"),
            Cluster::Apache(broker) => broker.create_topic(name, partitions),
            Cluster::Own(broker) => broker.create_topic(name, partitions),
        }
    }

    /// Settings that find things out sooner than production should: start at the earliest, refresh metadata each second,
    /// short sessions.
    pub fn settings(&self, group: &str) -> KafkaSettings {
        quick_settings(&self.bootstrap(), group)
    }

    pub fn producer(&self) -> Producer {
        Producer::new(&self.settings("producer"), &ProducerOptions { safe: true, ..ProducerOptions::load() })
            .expect("valid settings")
    }
}

pub fn quick_settings(bootstrap: &str, group: &str) -> KafkaSettings {
    let mut settings = KafkaSettings::new([bootstrap], group);
    settings.start = Start::Earliest;
    let properties = [
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "300"),
        ("topic.metadata.refresh.interval.ms", "500"),
        ("fetch.wait.max.ms", "20"),
        ("reconnect.backoff.max.ms", "500"),
    ];
    settings.properties.extend(properties.map(|(name, value)| (name.to_owned(), value.to_owned())));
    settings
}

/// `prefix` with a number no other call in this process gets.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The payload of the n-th record of a partition, so that a reader can tell what it got.
pub fn payload(partition: i32, n: i64) -> String {
    format!("{partition}:{n}")
}

/// Writes records `from..to` to a partition and waits until the broker has them.
pub fn fill(producer: &Producer, topic: &str, partition: i32, numbers: std::ops::Range<i64>) {
    for n in numbers {
        let payload = payload(partition, n);
        let record = Outgoing {
            topic,
            partition: Some(partition),
            payload: payload.as_bytes(),
            timestamp: Some(1_000_000 + n),
            ..Outgoing::default()
        };
        producer.send_patiently(record).expect("a record any broker takes");
    }
    let flushed = producer.flush(PATIENCE);
    assert!(
        flushed,
        "records of {topic}/{partition} were not delivered: {:?} {:?}",
        producer.counts(),
        producer.problems()
    );
}

pub const SOON: Duration = Duration::from_millis(200);
