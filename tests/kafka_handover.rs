//! Partitions handed over through a topic: what one member publishes, another finds.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use foghorn::checkpoint::parcel::{PARCEL_VERSION, ParcelError};
use foghorn::edge::kafka::{Handover, KafkaError, Outgoing, PublishError};
use foghorn::engine::desk::HomeCut;
use foghorn::engine::state::{Bytes, CellCut, CellName, FeedCut, ShardCut};
use foghorn::model::{SourceId, WallTime};
use rstest::rstest;
use support::cluster::{Cluster, Kind, unique};
use support::wait::{PATIENCE, wait_until};

/// Generous, as machines are shared.
const BEGIN_MAX: Duration = Duration::from_secs(8);

fn source(partition: i32) -> SourceId {
    SourceId::new("orders", partition)
}

/// A cell in its `tenure`th hands, with so many bytes that do not get smaller.
fn cell(partition: i32, tenure: u64, bytes: usize) -> CellCut {
    let noise = |n: usize| xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes()) as u8;
    let stored = vec![Bytes((0..bytes).map(noise).collect())];
    let feed = FeedCut { closed: Some(12), stored, ..FeedCut::default() };
    let name = CellName { home: source(partition), tenure };
    CellCut(ShardCut { shards: 1, feeds: vec![feed], cell: Some(name), ..ShardCut::default() })
}

/// A topic to hand over through: members make it where the cluster knows how.
fn topic(cluster: &Cluster) -> String {
    let topic = unique("handover");
    if let Cluster::Embedded(embedded) = cluster {
        embedded.create_topic(&topic, 2).expect("a new topic");
    }
    topic
}

fn member(cluster: &Cluster, topic: &str, name: &str) -> Handover {
    Handover::start(&cluster.settings("g"), topic, name.into(), PATIENCE).expect("the topic is there, or comes")
}

fn publish(member: &Handover, partition: i32, tenure: u64, at: i64) {
    let sent = member.publish(&source(partition), WallTime(at), cell(partition, tenure, 100), HomeCut::default());
    sent.expect("nobody else has it").wait().expect("Kafka takes it");
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn the_newest_parcel_of_each_partition_is_found_by_another_member(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let topic = topic(&cluster);
    let (a, b) = (member(&cluster, &topic, "a"), member(&cluster, &topic, "b"));
    for at in 0..20 {
        for partition in 0..3 {
            publish(&a, partition, 1, at);
        }
        // Asked at once, after the answer to `a`.
        let latest = b.latest(&[source(0), source(2), source(9)], PATIENCE).expect("Kafka answers");
        let found: Vec<_> = latest.values().map(|p| (p.source.partition, &*p.member, p.taken_at.0, p.number)).collect();
        assert_eq!(found, [(0, "a", at, at as u64 * 3 + 1), (2, "a", at, at as u64 * 3 + 3)]);
    }
    publish(&b, 2, 2, 30);
    drop((a, b));
    let late = member(&cluster, &topic, "c").latest(&[source(1), source(2)], PATIENCE).expect("Kafka answers");
    let found: Vec<_> = late.into_values().map(|parcel| (parcel.member, parcel.shard)).collect();
    assert_eq!(found, [(Arc::from("a"), cell(1, 1, 100)), (Arc::from("b"), cell(2, 2, 100))]);
}

/// People wait for it at every start. The first creates the topic, as far as the cluster knows how.
#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn a_member_begins_within_seconds(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let topic = unique("handover");
    for name in ["a", "b"] {
        let started = Instant::now();
        let member = member(&cluster, &topic, name);
        let begun = started.elapsed();
        assert!(member.latest(&[source(0)], PATIENCE).expect("Kafka answers").is_empty());
        eprintln!("{name} began in {begun:?}, and knew the topic after {:?}", started.elapsed());
        assert!(started.elapsed() < BEGIN_MAX, "{name} began in {begun:?}");
    }
}

/// … which is known before anything is sent, and so before anybody is told twice.
#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn who_was_outpaced_is_told_by_whom(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let topic = topic(&cluster);
    let (a, b) = (member(&cluster, &topic, "a"), member(&cluster, &topic, "b"));
    publish(&a, 0, 1, 1);
    publish(&b, 0, 2, 2);
    wait_until("a to hear of it", || a.outpaced(&source(0), 1).is_some());
    let error = a.publish(&source(0), WallTime(3), cell(0, 1, 100), HomeCut::default()).expect_err("it is b's");
    assert_eq!(error, PublishError::Outpaced { by: "b".into() });
    publish(&a, 0, 3, 4);
    let latest = b.latest(&[source(0)], PATIENCE).expect("Kafka answers");
    assert_eq!(latest[&source(0)].taken_at, WallTime(4));
}

#[rstest]
#[case::embedded(Kind::Embedded, 1 << 20)]
#[case::apache(Kind::Apache, 7 << 20)]
fn a_large_parcel_passes_and_one_that_no_record_holds_does_not(#[case] kind: Kind, #[case] bytes: usize) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let topic = topic(&cluster);
    let (a, b) = (member(&cluster, &topic, "a"), member(&cluster, &topic, "b"));
    let sent = a.publish(&source(0), WallTime(1), cell(0, 1, bytes), HomeCut::default()).expect("it fits");
    assert_eq!(sent.left_out, 0);
    sent.wait().expect("Kafka takes it");
    let latest = b.latest(&[source(0)], PATIENCE).expect("Kafka answers");
    assert_eq!(latest[&source(0)].shard, cell(0, 1, bytes));
    let error = a.publish(&source(0), WallTime(2), cell(0, 1, 9 << 20), HomeCut::default()).expect_err("too large");
    assert!(matches!(error, PublishError::Parcel(ParcelError::TooLarge { .. })), "{error}");
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn a_newer_foghorns_parcel_is_not_passed_over_and_a_broken_one_is(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let topic = topic(&cluster);
    let a = member(&cluster, &topic, "a");
    publish(&a, 1, 1, 1);
    let producer = cluster.producer();
    let newer = [b"FOGMOVE\0", &(PARCEL_VERSION + 1).to_le_bytes()[..], &[0; 40]].concat();
    for (key, payload) in [("orders/0", &newer[..]), ("orders/2", b"broken"), ("what is this", b"?")] {
        let record = Outgoing { topic: &topic, key: Some(key.as_bytes()), payload, ..Outgoing::default() };
        producer.send_patiently(record).expect("a record any broker takes");
    }
    assert!(producer.flush(PATIENCE), "{:?}", producer.problems());
    let latest = a.latest(&[source(1), source(2)], PATIENCE).expect("Kafka answers");
    assert_eq!(latest.into_keys().collect::<Vec<_>>(), [source(1)]);
    let error = a.latest(&[source(0), source(1)], PATIENCE).expect_err("it is newer").to_string();
    assert!(error.starts_with("what the member (unknown) left of orders/0 cannot be taken over"), "{error}");
    assert!(error.contains("newer Foghorn"), "{error}");
}

/// Kafka away costs a page a second at most, and a question its patience; then it goes on by itself.
#[test]
fn a_broker_that_is_away_is_not_waited_for() {
    let cluster = Cluster::start(Kind::Embedded).expect("always there");
    let Cluster::Embedded(embedded) = &cluster else { unreachable!() };
    let topic = topic(&cluster);
    let a = member(&cluster, &topic, "a");
    publish(&a, 0, 1, 1);
    embedded.broker_down(None).expect("a broker");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let sent = a.publish(&source(0), WallTime(2), cell(0, 1, 100), HomeCut::default()).expect("it is queued");
    let limit = Duration::from_millis(200);
    assert_eq!(runtime.block_on(async { sent.within(limit).await }), Err(PublishError::Slow));
    let error = a.latest(&[source(0)], limit).expect_err("nobody answers").to_string();
    assert!(error.contains("could not be read to its end"), "{error}");
    embedded.broker_up(None).expect("a broker");
    publish(&a, 0, 1, 3);
    let latest = a.latest(&[source(0)], PATIENCE).expect("Kafka answers");
    assert_eq!(latest[&source(0)].taken_at, WallTime(3));
}

/// The topic is made so that Kafka keeps the newest parcel of each partition for good, however old it is.
#[test]
fn a_topic_that_would_forget_is_refused() {
    let Some(cluster) = Cluster::start(Kind::Apache) else { return };
    let (ours, theirs) = (unique("handover"), unique("handover"));
    drop(member(&cluster, &ours, "a"));
    drop(member(&cluster, &ours, "b")); // finds it as it was made
    cluster.create_topic(&theirs, 1);
    let error = Handover::start(&cluster.settings("g"), &theirs, "a".into(), PATIENCE).err().expect("it is refused");
    assert!(matches!(error, KafkaError::Handover(_)), "{error}");
    let error = error.to_string();
    assert!(error.contains("cleanup.policy=delete") && error.contains("`kafka.handover_topic`"), "{error}");
}
