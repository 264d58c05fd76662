//! Reading from Kafka, each story on the embedded cluster and on Apache Kafka.

mod support;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foghorn::edge::kafka::{
    Arrivals, BatchLimits, ConsumerConfig, Outgoing, ProblemKind, Start, StreamTopics, shard_of,
};
use foghorn::engine::state::CellStart;
use foghorn::model::{Millis, Position, SourceId};
use rstest::rstest;
use support::cluster::{Cluster, Kind, fill, payload, unique};
use support::member::{Member, Seen};
use support::wait::{PATIENCE, wait_for, wait_until};

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
    member.take_until("all ends", |member| member.seen().values().all(Seen::is_at_end));
    for (source, seen) in member.seen() {
        let expect: Vec<(i64, String)> = (0..2_000).map(|n| (n, payload(source.partition, n))).collect();
        assert_eq!(seen.records, expect, "{source}");
        assert_eq!(seen.timestamps, (1_000_000..1_002_000).collect::<Vec<i64>>(), "{source}");
        assert_eq!(seen.story(), ["assigned", "0..2000", "end@2000"], "{source}");
    }
    wait_until("statistics that say the same", || {
        let stats = member.handle.stats();
        let done = |p: &foghorn::edge::kafka::PartitionStats| {
            (p.position, p.high_watermark, p.lag, p.at_end, p.paused)
                == (Some(2_000), Some(2_000), Some(0), true, false)
        };
        stats.records == 10_000 && stats.partitions.len() == 5 && stats.partitions.iter().all(done)
    });
    assert_eq!(member.handle.stats().problems, []);
    member.handle.stop().unwrap();
}

/// A shard that takes nothing holds back its own partitions and no others; when it takes again, all is there, once and
/// in order. One of its partitions is at its end while it is held back: librdkafka's batch call would have lost the
/// next record there.
#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn a_shard_that_cannot_keep_up_holds_back_its_own_partitions_only(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let topic = unique("flood");
    cluster.create_topic(&topic, 4);
    let producer = cluster.producer();
    // Partitions go round the two shards, so two belong to the slow one: a busy and a quiet one.
    let slow = shard_of(&topic, 0, 2);
    let of_shard = |shard: usize| (0..4).filter(|p| shard_of(&topic, *p, 2) == shard).collect::<Vec<i32>>();
    let (busy, quiet) = (of_shard(slow)[0], of_shard(slow)[1]);

    let streams = vec![StreamTopics { stream: "flood".into(), topics: vec![topic.clone()] }];
    let mut config = ConsumerConfig::new(cluster.settings(&unique("group")), streams);
    config.batch = BatchLimits { records: 100, ..BatchLimits::default() };
    let mut member = Member::start(config, 2, 2);
    fill(&producer, &topic, quiet, 0..1);
    member.take_until("the quiet partition's end", |member| {
        member.of(&topic, quiet).story().last() == Some(&"end@1".into())
    });

    fill(&producer, &topic, busy, 0..20_000);
    for partition in of_shard(1 - slow) {
        fill(&producer, &topic, partition, 0..20_000);
    }
    wait_until("the other shard to get everything", || {
        while member.shards[1 - slow].take() {}
        member.shards[1 - slow].seen.values().map(|seen| seen.records.len()).sum::<usize>() == 40_000
    });
    fill(&producer, &topic, quiet, 1..3);
    let stats = wait_for("statistics with the hold", || {
        let stats = member.handle.stats();
        let paused: Vec<i32> = stats.partitions.iter().filter(|p| p.paused).map(|p| p.source.partition).collect();
        (paused == [busy.min(quiet), busy.max(quiet)]).then_some(stats)
    });
    assert!(stats.holds > 0);
    // Two events in the channel, and in the outbox no more than one call of librdkafka gives.
    let read = stats.partitions.iter().filter(|p| p.paused).map(|p| p.records).sum::<u64>();
    assert!(read <= 1_200, "{read} records were read for a shard that takes nothing");

    member.take_until("the rest", |member| member.records() == 60_003);
    let whole = |seen: Seen, count: i64| assert_eq!(seen.offsets(), (0..count).collect::<Vec<i64>>());
    whole(member.of(&topic, busy), 20_000);
    whole(member.of(&topic, quiet), 3);
    wait_until("the hold to end", || member.handle.stats().partitions.iter().all(|p| !p.paused));
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn a_pattern_finds_topics_that_come_later(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let prefix = unique("web");
    let (first, second, other) = (format!("{prefix}.a"), format!("{prefix}.b"), format!("{prefix}x"));
    cluster.create_topic(&first, 2);
    cluster.create_topic(&other, 1);
    let producer = cluster.producer();
    fill(&producer, &first, 1, 0..10);
    fill(&producer, &other, 0, 0..10);
    let mut member = Member::join(cluster.settings(&unique("group")), &[&format!("^{prefix}\\.[a-z]$")], 2);
    member.take_until("the first topic", |member| member.of(&first, 1).records.len() == 10);

    cluster.create_topic(&second, 1);
    fill(&producer, &second, 0, 0..10);
    member.take_until("the second topic", |member| member.of(&second, 0).records.len() == 10);
    fill(&producer, &first, 0, 0..5);
    member.take_until("more of the first", |member| member.of(&first, 0).records.len() == 5);
    assert_eq!(member.of(&first, 1).records.len(), 10, "nothing is read twice");
    assert!(!member.seen().contains_key(&SourceId::new(other, 0)));
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn a_topic_of_two_streams_comes_once_for_each(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let (shared, alone) = (unique("shared"), unique("alone"));
    cluster.create_topic(&shared, 1);
    cluster.create_topic(&alone, 1);
    let producer = cluster.producer();
    fill(&producer, &shared, 0, 0..50);
    fill(&producer, &alone, 0, 0..50);
    let stream = |name: &str, topics: &[&str]| StreamTopics {
        stream: name.into(),
        topics: topics.iter().map(|t| t.to_string()).collect(),
    };
    let streams = vec![stream("one", &[&shared]), stream("two", &[&alone, &shared])];
    let mut member = Member::start(ConsumerConfig::new(cluster.settings(&unique("group")), streams), 2, 4);
    member.take_until("all records", |member| {
        let counts: BTreeMap<usize, usize> = member.by_stream();
        counts == BTreeMap::from([(0, 50), (1, 100)])
    });
    assert_eq!(member.of(&shared, 0).streams, [0, 1]);
    assert_eq!(member.of(&alone, 0).streams, [1]);
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn a_restart_goes_on_at_what_was_committed_and_a_checkpoint_counts_more(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let (topic, group) = (unique("orders"), unique("group"));
    cluster.create_topic(&topic, 2);
    let producer = cluster.producer();
    (0..2).for_each(|partition| fill(&producer, &topic, partition, 0..100));
    let at = |partition: i32, offset: i64| Position { source: SourceId::new(&*topic, partition), offset };

    let mut member = Member::join(cluster.settings(&group), &[&topic], 1);
    member.take_until("all records", |member| member.records() == 200);
    // One that is not ours must not disturb the others.
    let foreign = Position { source: SourceId::new("elsewhere", 0), offset: 7 };
    member.handle.commit(vec![at(0, 60), foreign, at(1, 30)]);
    member.handle.commit(vec![at(1, 40)]);
    wait_until("the commits", || {
        let committed: Vec<Option<i64>> = member.handle.stats().partitions.iter().map(|p| p.committed).collect();
        committed == [Some(60), Some(40)]
    });
    // Given at the last moment, and committed before the end.
    member.handle.commit(vec![at(0, 70)]);
    member.handle.stop().unwrap();

    let mut member = Member::join(cluster.settings(&group), &[&topic], 1);
    member.take_until("the rest", |member| member.records() == 30 + 60);
    assert_eq!(member.of(&topic, 0).offsets(), (70..100).collect::<Vec<i64>>());
    assert_eq!(member.of(&topic, 1).offsets(), (40..100).collect::<Vec<i64>>());
    member.handle.stop().unwrap();

    let streams = vec![StreamTopics { stream: "s".into(), topics: vec![topic.clone()] }];
    let mut config = ConsumerConfig::new(cluster.settings(&group), streams);
    config.resume = [at(0, 95), at(1, 5)].into_iter().collect();
    let mut member = Member::start(config, 1, 4);
    member.take_until("the rest", |member| member.records() == 5 + 95);
    assert_eq!(member.of(&topic, 0).offsets(), (95..100).collect::<Vec<i64>>());
    assert_eq!(member.of(&topic, 1).offsets(), (5..100).collect::<Vec<i64>>());
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn latest_reads_only_what_comes_after(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let topic = unique("orders");
    cluster.create_topic(&topic, 1);
    let producer = cluster.producer();
    fill(&producer, &topic, 0, 0..100);
    let mut settings = cluster.settings(&unique("group"));
    settings.start = Start::Latest;
    let mut member = Member::join(settings, &[&topic], 1);
    member.take_until("the end", |member| member.of(&topic, 0).is_at_end());
    fill(&producer, &topic, 0, 100..110);
    member.take_until("what came after", |member| member.of(&topic, 0).next() == Some(110));
    assert_eq!(member.of(&topic, 0).story()[..3], ["assigned", "end@100", "100..110"]);
}

/// The embedded cluster does not know `offsets_for_times`: to it every timestamp is the end.
#[test]
fn a_timestamp_starts_at_the_first_record_of_that_time_unless_something_was_committed() {
    let Some(cluster) = Cluster::start(Kind::Apache) else { return };
    let (topic, group) = (unique("orders"), unique("group"));
    cluster.create_topic(&topic, 3);
    let producer = cluster.producer();
    // Record n has timestamp 1,000,000 + n.
    fill(&producer, &topic, 0, 0..100);
    fill(&producer, &topic, 1, 0..20);
    fill(&producer, &topic, 2, 0..100);
    let mut settings = cluster.settings(&group);
    settings.start = Start::Timestamp(1_000_050);
    let mut member = Member::join(settings.clone(), &[&topic], 1);
    member.take_until("three ends", |member| member.seen().len() == 3 && member.seen().values().all(Seen::is_at_end));
    assert_eq!(member.of(&topic, 0).offsets(), (50..100).collect::<Vec<i64>>());
    assert_eq!(member.of(&topic, 1).offsets(), [0i64; 0], "all its records are older");
    fill(&producer, &topic, 1, 20..30);
    member.take_until("new records", |member| member.of(&topic, 1).offsets() == (20..30).collect::<Vec<i64>>());
    member.handle.commit(vec![Position { source: SourceId::new(&*topic, 2), offset: 10 }]);
    member.handle.stop().unwrap();

    let mut member = Member::join(settings, &[&topic], 1);
    member.take_until("three ends", |member| member.seen().len() == 3 && member.seen().values().all(Seen::is_at_end));
    assert_eq!(member.of(&topic, 0).offsets(), (50..100).collect::<Vec<i64>>());
    assert_eq!(member.of(&topic, 2).offsets(), (10..100).collect::<Vec<i64>>());
}

/// Of no partition anybody left anything, and windows look ten milliseconds back.
#[derive(Debug, Default)]
struct NobodyKnows(Mutex<BTreeMap<i32, CellStart>>);

impl Arrivals for NobodyKnows {
    fn arrive(&self, sources: &[SourceId]) -> Result<Vec<SourceId>, String> {
        Ok(sources.to_vec())
    }

    fn reach(&self, streams: &[usize]) -> Millis {
        assert_eq!(streams, [0]);
        Millis(10)
    }

    fn begin(&self, source: &SourceId, _: &[usize], at: CellStart) {
        self.0.lock().expect("nobody panicked").insert(source.partition, at);
    }

    fn read(&self, _: &[SourceId]) {}

    fn depart(&self, _: &[SourceId]) {}
}

/// One was committed, one starts at its end, one is behind its end, and one has nothing before its start.
#[rstest]
#[case::embedded(Kind::Embedded, 0..1)]
#[case::apache(Kind::Apache, 12..23)]
fn what_begins_within_its_log_is_read_from_where_its_windows_reach(#[case] kind: Kind, #[case] back: Range<i64>) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let (topic, group) = (unique("orders"), unique("group"));
    cluster.create_topic(&topic, 4);
    let producer = cluster.producer();
    (0..3).for_each(|partition| fill(&producer, &topic, partition, 0..100)); // a millisecond apart
    let first = Member::join(cluster.settings(&group), &[&topic], 1);
    let commit = |partition, offset| Position { source: SourceId::new(&*topic, partition), offset };
    wait_until("the group", || first.handle.stats().partitions.len() == 4);
    first.handle.commit(vec![commit(0, 60), commit(2, 150)]);
    first.handle.stop().expect("in order");

    let begun = Arc::new(NobodyKnows::default());
    let mut settings = cluster.settings(&group);
    settings.start = Start::Latest;
    let streams = vec![StreamTopics { stream: "test".into(), topics: vec![topic.clone()] }];
    let config = ConsumerConfig { arrivals: Some(begun.clone()), ..ConsumerConfig::new(settings, streams) };
    let mut member = Member::start(config, 1, 4);
    member.take_until("the ends", |member| member.seen().len() == 4 && member.seen().values().all(Seen::is_at_end));
    let places = begun.0.lock().expect("nobody panicked");
    assert_eq!(places.values().map(|place| place.judged_from).collect::<Vec<_>>(), [60, 100, 150, 0]);
    for (partition, place) in places.iter() {
        let back = if *partition < 2 { back.clone() } else { 0..1 };
        assert!(back.contains(&(place.judged_from - place.read_from)), "{partition}: {place:?}");
    }
    let read = |partition| (places[&partition].read_from..100).collect::<Vec<i64>>();
    assert_eq!((member.of(&topic, 0).offsets(), member.of(&topic, 1).offsets()), (read(0), read(1)));
    assert_eq!(member.of(&topic, 2).story()[..2], ["assigned", "gap@150..0"], "its log is another one");
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn a_drain_hands_over_what_was_read_and_closes_the_channels(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let (topic, group) = (unique("orders"), unique("group"));
    cluster.create_topic(&topic, 2);
    let producer = cluster.producer();
    (0..2).for_each(|partition| fill(&producer, &topic, partition, 0..5_000));
    let mut config = ConsumerConfig::new(
        cluster.settings(&group),
        vec![StreamTopics { stream: "s".into(), topics: vec![topic.clone()] }],
    );
    config.batch.records = 1_000;
    let mut member = Member::start(config, 2, 1);
    member.take_until("the first records", |member| member.records() > 0);
    member.handle.drain();
    wait_until("closed channels", || {
        member.take();
        member.shards.iter().all(|shard| shard.is_closed())
    });
    // Every record read was handed over, and the group still knows us: positions may be committed now.
    let positions = member.positions();
    member.handle.commit(positions.clone());
    member.handle.stop().unwrap();

    let mut rest = Member::join(cluster.settings(&group), &[&topic], 2);
    rest.take_until("the rest", |rest| rest.seen().len() == 2 && rest.seen().values().all(Seen::is_at_end));
    for partition in 0..2 {
        let source = SourceId::new(&*topic, partition);
        let from = positions.iter().find(|p| p.source == source).map_or(0, |p| p.offset);
        assert_eq!(rest.of(&topic, partition).offsets(), (from..5_000).collect::<Vec<i64>>());
    }
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn records_without_a_payload_are_counted_and_passed_over(#[case] kind: Kind) {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    let Some(cluster) = Cluster::start(kind) else { return };
    let topic = unique("compacted");
    cluster.create_topic(&topic, 1);
    let producer: BaseProducer =
        rdkafka::ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().unwrap();
    for payload in [Some("a"), None, Some(""), Some("b"), None] {
        let mut record: BaseRecord<'_, str, str> = BaseRecord::to(&topic).key("k").partition(0);
        record.payload = payload;
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    let mut member = Member::join(cluster.settings(&unique("group")), &[&topic], 1);
    member.take_until("the end", |member| member.of(&topic, 0).is_at_end());
    let texts: Vec<(i64, String)> = member.of(&topic, 0).records;
    assert_eq!(texts, [(0, "a".into()), (2, String::new()), (3, "b".into())]);
    wait_until("the count", || member.handle.stats().tombstones == 2);
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn a_topic_that_does_not_exist_is_a_problem_until_it_does(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let topic = unique("missing");
    let mut member = Member::join(cluster.settings(&unique("group")), &[&topic], 1);
    if kind == Kind::Apache {
        // The embedded cluster makes what is asked for.
        let problem = wait_for("the problem", || member.handle.stats().problems.into_iter().next());
        assert_eq!(problem.kind, ProblemKind::UnknownTopic);
        assert!(problem.detail.contains(&topic), "{problem:?}");
        cluster.create_topic(&topic, 1);
    }
    fill(&cluster.producer(), &topic, 0, 0..10);
    member.take_until("records", |member| member.of(&topic, 0).records.len() == 10);
    assert_eq!(member.handle.stats().problems, []);
}

/// The topic comes, with one partition, and one of two members gets it. The other hears nothing of it.
#[test]
fn a_topic_that_comes_is_no_problem_any_more_to_members_that_get_none_of_it() {
    let Some(cluster) = Cluster::start(Kind::Apache) else { return };
    let (topic, group) = (unique("missing"), unique("group"));
    let mut members = [(); 2].map(|()| Member::join(cluster.settings(&group), &[&topic], 1));
    for member in &members {
        wait_until("the problem", || !member.handle.stats().problems.is_empty());
    }
    cluster.create_topic(&topic, 1);
    wait_until("one to get it", || {
        members.iter_mut().for_each(Member::take);
        members.iter().any(|member| member.assigned().len() == 1)
    });
    for member in &members {
        wait_until("no problems", || member.handle.stats().problems.is_empty());
    }
}

/// A queue tells only when it ceases to be empty, and one that was left alone while its shard was held never was. It must
/// be read as soon as the shard takes again, not when the reader happens to wake.
#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn what_waits_for_a_shard_that_was_held_comes_at_once(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let topic = unique("flood");
    cluster.create_topic(&topic, 1);
    let producer = cluster.producer();
    (0..100).for_each(|batch| fill(&producer, &topic, 0, batch * 100..(batch + 1) * 100));
    let streams = vec![StreamTopics { stream: "s".into(), topics: vec![topic.clone()] }];
    let mut config = ConsumerConfig::new(cluster.settings(&unique("group")), streams);
    // The queue holds some hundred records, and a turn takes them all and hands them over at once: nothing is left open
    // whose time would end the sleep.
    for (name, value) in [("queued.min.messages", "500"), ("fetch.message.max.bytes", "2000")] {
        config.settings.properties.insert(name.into(), value.into());
    }
    config.batch = BatchLimits { records: 100_000, wait: Duration::ZERO, ..BatchLimits::default() };
    let mut member = Member::start(config, 1, 1);
    member.take_until("the first records", |member| member.records() > 0);
    let begun = std::time::Instant::now();
    wait_until("all records", || {
        // A shard with work to do: it takes one batch each time.
        member.shards[0].take();
        std::thread::sleep(Duration::from_millis(10));
        member.records() == 10_000
    });
    let took = begun.elapsed();
    wait_until("statistics of all", || member.handle.stats().records == 10_000);
    let holds = member.handle.stats().holds as u32;
    assert!(holds > 5 && took / holds < Duration::from_millis(70), "{holds} holds took {took:?}");
}

#[test]
fn a_cluster_that_is_gone_is_a_problem_until_it_is_back_and_nothing_is_lost() {
    let Some(cluster) = Cluster::start(Kind::Embedded) else { return };
    let Cluster::Embedded(embedded) = &cluster else { unreachable!() };
    let topic = unique("orders");
    cluster.create_topic(&topic, 2);
    let producer = cluster.producer();
    (0..2).for_each(|partition| fill(&producer, &topic, partition, 0..100));
    let mut member = Member::join(cluster.settings(&unique("group")), &[&topic], 2);
    member.take_until("the first records", |member| member.records() == 200);

    embedded.broker_down(None).unwrap();
    let problem = wait_for("the problem", || member.handle.stats().problems.into_iter().next());
    assert_eq!(problem.kind, ProblemKind::Unreachable);
    embedded.broker_up(None).unwrap();
    embedded.round_trip(None, Duration::from_millis(50)).unwrap();
    (0..2).for_each(|partition| fill(&producer, &topic, partition, 100..200));
    member.take_until("the rest", |member| member.records() == 400);
    for (source, seen) in member.seen() {
        assert_eq!(seen.offsets(), (0..200).collect::<Vec<i64>>(), "{source}");
    }
    assert_eq!(member.handle.stats().problems, []);
}

#[test]
fn requests_that_fail_are_repeated_without_loss() {
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
    let Some(cluster) = Cluster::start(Kind::Embedded) else { return };
    let Cluster::Embedded(embedded) = &cluster else { unreachable!() };
    let topic = unique("orders");
    cluster.create_topic(&topic, 2);
    let producer = cluster.producer();
    let mut member = Member::join(cluster.settings(&unique("group")), &[&topic], 1);
    for round in 0..5 {
        embedded.fail_requests(
            RDKafkaApiKey::Fetch,
            &[
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            ],
        );
        (0..2).for_each(|partition| fill(&producer, &topic, partition, round * 50..(round + 1) * 50));
    }
    member.take_until("all records", |member| member.records() == 500);
    for (source, seen) in member.seen() {
        assert_eq!(seen.offsets(), (0..250).collect::<Vec<i64>>(), "{source}");
    }
}

#[test]
fn a_consumer_ends_soon_even_when_no_broker_answers() {
    let Some(cluster) = Cluster::start(Kind::Embedded) else { return };
    let Cluster::Embedded(embedded) = &cluster else { unreachable!() };
    let topic = unique("orders");
    cluster.create_topic(&topic, 1);
    fill(&cluster.producer(), &topic, 0, 0..10);
    let mut member = Member::join(cluster.settings(&unique("group")), &[&topic], 1);
    member.take_until("records", |member| member.records() == 10);
    embedded.broker_down(None).unwrap();
    wait_until("the problem", || !member.handle.stats().problems.is_empty());
    // What cannot be committed is tried for five seconds.
    member.handle.commit(member.positions());
    let begun = std::time::Instant::now();
    member.handle.stop().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
}

/// What follows an open record for long: a produced record must reach the shard within the batch's wait, not only when
/// a batch is full.
#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn one_record_alone_does_not_wait_for_company(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let topic = unique("rare");
    cluster.create_topic(&topic, 1);
    let producer = cluster.producer();
    let mut member = Member::join(cluster.settings(&unique("group")), &[&topic], 1);
    member.take_until("the end", |member| member.of(&topic, 0).is_at_end());
    for n in 0..20 {
        let text = payload(0, n);
        let record = Outgoing { topic: &topic, partition: Some(0), payload: text.as_bytes(), ..Outgoing::default() };
        producer.send(record).unwrap();
        member.take_until("the record", |member| member.of(&topic, 0).next() == Some(n + 1));
        member.take_until("the end after it", |member| member.of(&topic, 0).is_at_end());
    }
}
