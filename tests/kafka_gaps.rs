//! Positions that Kafka does not hold: what retention deleted, and logs that are shorter than they were. And what looks
//! like it and is not.

mod support;

use std::time::Duration;

use foghorn::edge::kafka::{BatchLimits, ConsumerConfig, Outgoing, ProblemKind, Start, StreamTopics};
use foghorn::model::position::TopicId;
use foghorn::model::{Position, SourceId};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rstest::rstest;
use support::cluster::{Cluster, Kind, fill, unique};
use support::member::Member;
use support::wait::{PATIENCE, wait_until};

/// Where the log of partition 0 starts and ends now.
fn log(cluster: &Cluster, topic: &str) -> (i64, i64) {
    let probe: BaseConsumer = ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().unwrap();
    probe.fetch_watermarks(topic, 0, PATIENCE).unwrap()
}

/// Writes to partition 0 until the log starts somewhere after `offset`. Apache Kafka deletes on demand; the embedded
/// cluster drops what no longer fits.
fn shorten(cluster: &Cluster, topic: &str, offset: i64) {
    match cluster {
        Cluster::Apache(broker) => broker.delete_before(topic, 0, offset + 1),
        Cluster::Own(broker) => broker.delete_before(topic, 0, offset + 1),
        Cluster::Embedded(_) => {
            let producer = cluster.producer();
            // Text that hardly compresses.
            let words = (0..200_000u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let payload: Vec<u8> = words.map(|word| b'0' + (word >> 58) as u8).collect();
            while log(cluster, topic).0 <= offset {
                for _ in 0..40 {
                    let record = Outgoing { topic, partition: Some(0), payload: &payload, ..Outgoing::default() };
                    producer.send_patiently(record).unwrap();
                }
                assert!(producer.flush(PATIENCE));
            }
        }
    }
}

fn config(cluster: &Cluster, group: &str, topic: &str, start: Start) -> ConsumerConfig {
    let mut settings = cluster.settings(group);
    settings.start = start;
    ConsumerConfig::new(settings, vec![StreamTopics { stream: "s".into(), topics: vec![topic.to_owned()] }])
}

fn at(topic: &str, offset: i64) -> Position {
    Position { source: SourceId::new(topic, 0), offset }
}

/// What is told of a gap besides the event itself.
fn assert_told(member: &Member, kind: ProblemKind, topic: &str, counts: (u64, u64, u64)) {
    wait_until("the counts", || {
        let stats = member.handle.stats();
        (stats.gaps, stats.lost_records, stats.rewinds) == counts
    });
    let problems = member.handle.stats().problems;
    assert_eq!(problems.iter().map(|problem| problem.kind).collect::<Vec<_>>(), [kind]);
    assert!(problems[0].detail.contains(topic), "{problems:?}");
}

/// Where reading goes on does not hang on where it would start without a position.
#[rstest]
fn a_checkpoint_that_retention_overtook_is_a_gap(
    #[values(Kind::Embedded, Kind::Apache)] kind: Kind,
    #[values(Start::Earliest, Start::Latest)] start: Start,
) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let topic = unique("short-lived");
    cluster.create_topic(&topic, 1);
    fill(&cluster.producer(), &topic, 0, 0..100);
    shorten(&cluster, &topic, 49);
    let (low, high) = log(&cluster, &topic);
    let config = config(&cluster, &unique("group"), &topic, start);
    config.resume.set([at(&topic, 10)]);
    let mut member = Member::start(config, 1, 4);
    member.take_until("the end", |member| member.of(&topic, 0).is_at_end());
    let story = [format!("gap@10..{low}"), format!("{low}..{high}"), format!("end@{high}")];
    assert_eq!(member.of(&topic, 0).story()[1..], story);
    assert_told(&member, ProblemKind::Retention, &topic, (1, low as u64 - 10, 0));
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn a_committed_position_that_retention_overtook_is_a_gap(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let (topic, group) = (unique("short-lived"), unique("group"));
    cluster.create_topic(&topic, 1);
    fill(&cluster.producer(), &topic, 0, 0..100);
    let mut member = Member::start(config(&cluster, &group, &topic, Start::Latest), 1, 4);
    member.take_until("the end", |member| member.of(&topic, 0).is_at_end());
    member.handle.commit(vec![at(&topic, 20)]);
    member.handle.stop().unwrap();

    shorten(&cluster, &topic, 49);
    let (low, high) = log(&cluster, &topic);
    let mut member = Member::start(config(&cluster, &group, &topic, Start::Latest), 1, 4);
    member.take_until("the end", |member| member.of(&topic, 0).is_at_end());
    let story = [format!("gap@20..{low}"), format!("{low}..{high}"), format!("end@{high}")];
    assert_eq!(member.of(&topic, 0).story()[1..], story);
}

/// Nothing is left to read, so no record can tell of it.
#[test]
fn a_gap_up_to_the_end_is_told_with_the_end() {
    let Some(cluster) = Cluster::start(Kind::Apache) else { return };
    let topic = unique("short-lived");
    cluster.create_topic(&topic, 1);
    fill(&cluster.producer(), &topic, 0, 0..100);
    shorten(&cluster, &topic, 99);
    let config = config(&cluster, &unique("group"), &topic, Start::Earliest);
    config.resume.set([at(&topic, 10)]);
    let mut member = Member::start(config, 1, 4);
    member.take_until("the end", |member| member.of(&topic, 0).is_at_end());
    fill(&cluster.producer(), &topic, 0, 100..105);
    member.take_until("new records", |member| member.of(&topic, 0).next() == Some(105));
    assert_eq!(member.of(&topic, 0).story()[..4], ["assigned", "gap@10..100", "end@100", "100..105"]);
    assert_told(&member, ProblemKind::Retention, &topic, (1, 90, 0));
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn a_log_that_ends_before_the_checkpoint_is_read_from_its_start_and_that_is_told(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let topic = unique("recreated");
    cluster.create_topic(&topic, 1);
    fill(&cluster.producer(), &topic, 0, 0..10);
    let config = config(&cluster, &unique("group"), &topic, Start::Latest);
    config.resume.set([at(&topic, 500)]);
    let mut member = Member::start(config, 1, 4);
    member.take_until("the end", |member| member.of(&topic, 0).is_at_end());
    assert_eq!(member.of(&topic, 0).story(), ["assigned", "gap@500..0", "0..10", "end@10"]);
    assert_told(&member, ProblemKind::Rewind, &topic, (0, 0, 1));
}

/// A topic is deleted and made anew, and its new log is longer by now than the old one was: only its id tells. One that is
/// the same is gone on with.
#[test]
fn a_log_that_is_another_one_is_read_from_its_start_however_long_it_is() {
    let Some(cluster) = Cluster::start(Kind::Apache) else { return };
    let Cluster::Apache(broker) = &cluster else { unreachable!("it is Apache Kafka") };
    let topic = unique("recreated");
    cluster.create_topic(&topic, 1);
    fill(&cluster.producer(), &topic, 0, 0..60);
    let read = |known: Option<&TopicId>| {
        let config = config(&cluster, &unique("group"), &topic, Start::Latest);
        config.resume.set([at(&topic, 50)]);
        config.resume.set_topics(known.map(|known| (SourceId::new(&*topic, 0), known.clone())));
        let mut member = Member::start(config, 1, 4);
        member.take_until("the end", |member| member.of(&topic, 0).is_at_end());
        let seen = member.of(&topic, 0);
        (seen.story(), seen.topic.clone().expect("Apache Kafka tells ids"), member)
    };
    let (story, first, _) = read(None);
    assert_eq!(story, ["assigned", "50..60", "end@60"], "nothing is known of it");
    let (story, again, _) = read(Some(&first));
    assert_eq!((story, &again), (vec!["assigned".to_owned(), "50..60".into(), "end@60".into()], &first));

    broker.delete_topic(&topic);
    cluster.create_topic(&topic, 1);
    fill(&cluster.producer(), &topic, 0, 0..80);
    let (story, other, member) = read(Some(&first));
    assert_eq!(story, ["assigned", "gap@50..0", "0..80", "end@80"]);
    assert_ne!(other, first);
    assert_told(&member, ProblemKind::Rewind, &topic, (0, 0, 1));
}

/// The shard takes nothing, so librdkafka stops fetching; meanwhile retention deletes what comes next. What was fetched
/// before is told first.
#[test]
fn retention_that_overtakes_a_shard_that_is_held_is_a_gap_in_its_place() {
    let Some(cluster) = Cluster::start(Kind::Apache) else { return };
    let topic = unique("short-lived");
    cluster.create_topic(&topic, 1);
    let producer = cluster.producer();
    // A fetch takes whole batches, so they must be small.
    (0..50).for_each(|batch| fill(&producer, &topic, 0, batch * 100..(batch + 1) * 100));
    let mut config = config(&cluster, &unique("group"), &topic, Start::Earliest);
    for (name, value) in [("queued.min.messages", "10"), ("fetch.message.max.bytes", "2000")] {
        config.settings.properties.insert(name.into(), value.into());
    }
    config.batch = BatchLimits { records: 10, wait: Duration::ZERO, ..BatchLimits::default() };
    let mut member = Member::start(config, 1, 1);
    wait_until("the hold", || member.handle.stats().partitions.iter().any(|partition| partition.paused));
    shorten(&cluster, &topic, 3_999);

    member.take_until("the end", |member| member.of(&topic, 0).is_at_end());
    let story = member.of(&topic, 0).story();
    let [assigned, before, gap, after, end] = &story[..] else { panic!("{story:?}") };
    let from: i64 = before.strip_prefix("0..").and_then(|to| to.parse().ok()).expect("records from the start");
    assert!((1..4_000).contains(&from), "{story:?}");
    assert_eq!([assigned, gap, after, end], ["assigned", &format!("gap@{from}..4000"), "4000..5000", "end@5000"]);
    assert_told(&member, ProblemKind::Retention, &topic, (1, 4_000 - from as u64, 0));
}

/// Transactions leave offsets that hold no record for us: their markers, and what was aborted.
#[test]
fn offsets_that_transactions_pass_over_are_no_gaps() {
    let Some(cluster) = Cluster::start(Kind::Apache) else { return };
    let topic = unique("transactions");
    cluster.create_topic(&topic, 1);
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", cluster.bootstrap()).set("transactional.id", &topic);
    let producer: BaseProducer = client.create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    let transaction = |records: i64, commit: bool| {
        producer.begin_transaction().unwrap();
        for _ in 0..records {
            producer.send(BaseRecord::<str, str>::to(&topic).partition(0).payload("x")).map_err(|(e, _)| e).unwrap();
        }
        match commit {
            true => producer.commit_transaction(PATIENCE).unwrap(),
            false => {
                producer.flush(PATIENCE).unwrap();
                producer.abort_transaction(PATIENCE).unwrap();
            }
        }
    };
    transaction(3, true); // 0..3, the marker at 3
    transaction(5, false); // nothing from 4 to 9
    transaction(2, true); // 10..12, the marker at 12
    transaction(1, true); // 13..14, the marker at 14
    let read = |resume: Option<i64>| {
        let config = config(&cluster, &unique("group"), &topic, Start::Earliest);
        config.resume.set(resume.map(|offset| at(&topic, offset)));
        let mut member = Member::start(config, 1, 4);
        member.take_until("the end", |member| member.of(&topic, 0).is_at_end());
        assert_eq!(member.handle.stats().problems, []);
        member.of(&topic, 0).story()
    };
    assert_eq!(read(None), ["assigned", "0..3", "10..12", "13..14", "end@15"]);
    assert_eq!(read(Some(3)), ["assigned", "10..12", "13..14", "end@15"]);
    assert_eq!(read(Some(14)), ["assigned", "end@15"]);
}
