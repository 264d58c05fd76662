//! Reading from Kafka, each story on the embedded cluster and on Apache Kafka.

mod support;

use rstest::rstest;
use support::cluster::{Cluster, Kind, fill, payload, unique};
use support::member::Member;

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn several_partitions_are_read_completely_and_in_order(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let topic = unique("orders");
    cluster.create_topic(&topic, 5);
    let producer = cluster.producer();
    (0..5).for_each(|partition| fill(&producer, &topic, partition, 0..2_000));

    let mut member = Member::join(cluster.settings(&unique("group")), &[&topic], 3);
    member.take_until("10,000 records", |member| member.records() == 10_000);
    member.take_until("all ends", |member| {
        member.seen().values().all(|s| s.story.last().is_some_and(|s| s == "end@2000"))
    });
    for (source, seen) in member.seen() {
        let expect: Vec<(i64, String)> = (0..2_000).map(|n| (n, payload(source.partition, n))).collect();
        assert_eq!(seen.records, expect, "{source}");
        assert_eq!(seen.timestamps, (1_000_000..1_002_000).collect::<Vec<i64>>(), "{source}");
        assert_eq!(seen.story, ["assigned", "0..2000", "end@2000"], "{source}");
    }
}
