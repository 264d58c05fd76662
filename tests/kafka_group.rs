//! Members that share partitions, and brokers that go away, while records keep coming.

mod support;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use foghorn::edge::kafka::{ConsumerConfig, KafkaSettings, Outgoing, Producer, StreamTopics};
use foghorn::model::{Position, SourceId};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};
use rstest::rstest;
use support::apache::{Apache, wait_until_down};
use support::cluster::{Cluster, Kind, fill, payload, quick_settings, unique};
use support::member::{Member, Seen, Shard};
use support::wait::{PATIENCE, wait_until};

const PARTITIONS: i32 = 6;

/// Writes to all partitions in turn until told to end.
struct Load {
    ending: Arc<AtomicBool>,
    written: Arc<AtomicI64>,
    thread: std::thread::JoinHandle<()>,
}

impl Load {
    fn start(producer: Producer, topic: &str) -> Load {
        let (ending, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
        let thread = std::thread::spawn({
            let (ending, written, topic) = (ending.clone(), written.clone(), topic.to_owned());
            move || {
                let mut n = 0;
                while !ending.load(Ordering::Relaxed) {
                    for partition in 0..PARTITIONS {
                        let text = payload(partition, n);
                        let record = Outgoing {
                            topic: &topic,
                            partition: Some(partition),
                            payload: text.as_bytes(),
                            ..Outgoing::default()
                        };
                        producer.send_patiently(record).expect("a record any broker takes");
                    }
                    n += 1;
                    written.store(n, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(1));
                }
                assert!(producer.flush(PATIENCE), "{:?}", producer.counts());
                assert_eq!(producer.counts().failed, 0);
            }
        });
        Load { ending, written, thread }
    }

    fn written(&self) -> i64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Ends, waits for the last confirmation, and says how many records each partition got.
    fn end(self) -> i64 {
        self.ending.store(true, Ordering::Relaxed);
        self.thread.join().expect("the load ends well");
        self.written.load(Ordering::Relaxed)
    }
}

/// The runs of offsets one assignment after the other.
fn runs(seen: &Seen) -> Vec<Vec<Range<i64>>> {
    let mut assignments: Vec<Vec<Range<i64>>> = Vec::new();
    for step in seen.story() {
        if step == "assigned" {
            assignments.push(Vec::new());
        } else if let Some((from, to)) = step.split_once("..") {
            let run = from.parse().unwrap()..to.parse().unwrap();
            assignments.last_mut().expect("records come after an assignment").push(run);
        }
    }
    assignments
}

/// Everything written was seen, and each assignment saw its part without gap or repeat: what was seen twice was seen by
/// different assignments. Returns how many records were seen more than once.
fn check(members: &[&Vec<Shard>], topic: &str, count: i64) -> usize {
    let mut repeats = 0;
    for partition in 0..PARTITIONS {
        let mut times: BTreeMap<i64, usize> = BTreeMap::new();
        for member in members {
            let source = SourceId::new(topic, partition);
            let Some(seen) = member.iter().find_map(|shard| shard.seen.get(&source)) else { continue };
            for run in runs(seen) {
                assert!(
                    run.windows(2).all(|pair| pair[0].end == pair[1].start),
                    "{topic}/{partition}: {:?}",
                    seen.story()
                );
            }
            for (offset, text) in &seen.records {
                assert_eq!(*text, payload(partition, *offset));
                *times.entry(*offset).or_default() += 1;
            }
        }
        let missing: Vec<i64> = (0..count).filter(|offset| !times.contains_key(offset)).collect();
        assert!(missing.is_empty(), "{topic}/{partition} lost {missing:?}");
        repeats += times.values().filter(|times| **times > 1).count();
    }
    repeats
}

fn protocol(mut settings: KafkaSettings, name: &str) -> KafkaSettings {
    let set = |settings: &mut KafkaSettings, name: &str, value: &str| {
        settings.properties.insert(name.to_owned(), value.to_owned());
    };
    match name {
        "cooperative" => {}
        "eager" => set(&mut settings, "partition.assignment.strategy", "range"),
        "broker" => {
            set(&mut settings, "group.protocol", "consumer");
            settings.properties.remove("session.timeout.ms");
            settings.properties.remove("heartbeat.interval.ms");
        }
        other => unreachable!("{other}"),
    }
    settings
}

/// Two members: the second comes and goes while records are written. With every protocol Kafka has for it.
#[rstest]
#[case::embedded_cooperative(Kind::Embedded, "cooperative")]
#[case::embedded_eager(Kind::Embedded, "eager")]
#[case::apache_cooperative(Kind::Apache, "cooperative")]
#[case::apache_eager(Kind::Apache, "eager")]
#[case::apache_broker(Kind::Apache, "broker")]
fn two_members_share_partitions_and_lose_nothing_when_one_comes_and_goes(#[case] kind: Kind, #[case] name: &str) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let (topic, group) = (unique("orders"), unique("group"));
    cluster.create_topic(&topic, PARTITIONS);
    let settings = protocol(cluster.settings(&group), name);
    let load = Load::start(cluster.producer(), &topic);

    let mut first = Member::join(settings.clone(), &[&topic], 2);
    first.take_until("the first records", |first| first.seen().values().filter(|s| !s.records.is_empty()).count() == 6);
    let mut second = Member::join(settings, &[&topic], 2);
    let mut committed = Instant::now();
    let mut both = |what: &str, first: &mut Member, second: &mut Member, done: &dyn Fn(&Member, &Member) -> bool| {
        wait_until(what, || {
            for member in [&mut *first, &mut *second] {
                member.take();
            }
            if committed.elapsed() > Duration::from_millis(100) {
                committed = Instant::now();
                first.handle.commit(first.positions());
                second.handle.commit(second.positions());
            }
            done(first, second)
        });
    };
    let shared = |first: &Member, second: &Member| first.assigned().len() == 3 && second.assigned().len() == 3;
    both("three partitions each", &mut first, &mut second, &shared);
    let mark = load.written() + 100;
    let beyond = |member: &Member| {
        member.seen().values().filter(|seen| seen.assigned).all(|seen| seen.next().is_some_and(|next| next > mark))
    };
    both("records of both", &mut first, &mut second, &|a, b| beyond(a) && beyond(b));

    // It leaves without a word about what it read last: the first reads that again.
    second.handle.stop().unwrap();
    let second = second.shards;
    first.take_until("all partitions again", |first| first.assigned().len() == 6);
    let count = load.end();
    first.take_until("everything", |first| first.seen().values().all(|seen| seen.next() == Some(count)));
    check(&[&first.shards, &second], &topic, count);
    assert!(first.handle.stats().rebalances >= 2);
}

/// Partitions that stay are paused by librdkafka during a cooperative rebalance, and its batch call has a wrong idea of
/// where they are when they are at their ends. The next record must come, and come once.
#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn partitions_at_their_ends_go_on_after_a_rebalance(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let topic = unique("quiet");
    cluster.create_topic(&topic, 4);
    let producer = cluster.producer();
    (0..4).for_each(|partition| fill(&producer, &topic, partition, 0..1));
    let settings = cluster.settings(&unique("group"));
    let mut first = Member::join(settings.clone(), &[&topic], 1);
    let at_ends = |member: &Member, count: usize| {
        member.seen().values().filter(|seen| seen.assigned && seen.is_at_end()).count() == count
    };
    first.take_until("four ends", |first| at_ends(first, 4));
    first.handle.commit(first.positions());
    let mut second = Member::join(settings, &[&topic], 1);
    wait_until("two partitions each", || {
        first.take();
        second.take();
        first.assigned().len() == 2 && second.assigned().len() == 2
    });
    (0..4).for_each(|partition| fill(&producer, &topic, partition, 1..3));
    wait_until("the new records", || {
        first.take();
        second.take();
        let next = |member: &Member| member.seen().into_values().filter(|s| s.assigned).all(|s| s.next() == Some(3));
        next(&first) && next(&second)
    });
    for (source, seen) in first.seen().into_iter().filter(|(_, seen)| seen.assigned) {
        assert_eq!(seen.offsets(), [0, 1, 2], "{source}: {:?}", seen.story());
    }
}

/// With a grace, revoked partitions wait until their shard has committed what it took: the next owner repeats nothing. On
/// Apache Kafka alone, which takes commits of the generation that goes; the embedded cluster refuses them while a group
/// rebalances, and members there wait out the grace and lose their session over it.
#[test]
fn a_handover_with_grace_repeats_nothing() {
    let Some(cluster) = Cluster::start(Kind::Apache) else { return };
    let (topic, group) = (unique("orders"), unique("group"));
    cluster.create_topic(&topic, PARTITIONS);
    let load = Load::start(cluster.producer(), &topic);
    let member = || {
        let streams = vec![StreamTopics { stream: "s".into(), topics: vec![topic.clone()] }];
        let mut config = ConsumerConfig::new(cluster.settings(&group), streams);
        config.revoke_grace = Duration::from_secs(20);
        Member::start(config, 2, 4)
    };
    let mut first = member();
    first.take_until("the first records", |first| first.seen().values().filter(|s| !s.records.is_empty()).count() == 6);
    let mut second = member();
    let mut released: Vec<SourceId> = Vec::new();
    wait_until("three partitions each", || {
        second.take();
        first.take();
        for (source, seen) in first.seen() {
            if seen.assigned {
                released.retain(|other| *other != source);
            } else if !released.contains(&source) {
                let next = seen.next().expect("it was read");
                first.handle.commit(vec![Position { source: source.clone(), offset: next }]);
                first.handle.release(vec![source.clone()]);
                released.push(source);
            }
        }
        first.assigned().len() == 3 && second.assigned().len() == 3
    });
    assert_eq!(released.len(), 3);
    let count = load.end();
    let done =
        |member: &Member| member.seen().values().filter(|seen| seen.assigned).all(|seen| seen.next() == Some(count));
    wait_until("everything", || {
        first.take();
        second.take();
        done(&first) && done(&second)
    });
    assert_eq!(check(&[&first.shards, &second.shards], &topic, count), 0, "records were read twice");
}

/// A member with an instance id has its partitions kept for it until its session ends. Where others are to go on with them,
/// one that stops says that it leaves. (The embedded broker waits for a session in every rebalance.)
#[test]
fn a_member_that_gives_up_its_partitions_is_not_waited_for() {
    let Some(cluster) = Cluster::start(Kind::Apache) else { return };
    let (topic, group) = (unique("orders"), unique("group"));
    cluster.create_topic(&topic, 4);
    let member = |instance: &str| {
        let streams = vec![StreamTopics { stream: "s".into(), topics: vec![topic.clone()] }];
        let mut settings = cluster.settings(&group);
        settings.instance = Some(instance.into());
        settings.properties.insert("session.timeout.ms".into(), "200000".into());
        Member::start(ConsumerConfig { gives_up: true, ..ConsumerConfig::new(settings, streams) }, 1, 4)
    };
    let (mut first, mut second) = (member("a"), member("b"));
    wait_until("two partitions each", || {
        first.take();
        second.take();
        first.assigned().len() == 2 && second.assigned().len() == 2
    });
    second.handle.stop().expect("it ends well");
    first.take_until("all partitions", |first| first.assigned().len() == 4);
}

/// The broker is killed, and later asked to end, while records are written; each time it comes back with its data.
#[test]
fn a_broker_that_restarts_under_load_costs_nothing() {
    let Some(broker) = Apache::own() else { return };
    let topic = unique("orders");
    broker.create_topic(&topic, PARTITIONS);
    let settings = quick_settings(&broker.bootstrap(), &unique("group"));
    let producer = Producer::new(&settings, &foghorn::edge::kafka::ProducerOptions::safe()).unwrap();
    let load = Load::start(producer, &topic);
    let mut member = Member::join(settings, &[&topic], 2);
    member.take_until("the first records", |member| {
        member.seen().values().filter(|s| !s.records.is_empty()).count() == 6
    });
    for cut in [true, false] {
        if cut {
            broker.kill()
        } else {
            broker.stop()
        }
        wait_until_down(&broker.bootstrap());
        wait_until("the problem", || {
            member.take();
            !member.handle.stats().problems.is_empty()
        });
        broker.restart();
        let mark = load.written();
        member.take_until("new records of all partitions", |member| {
            member.seen().values().all(|seen| seen.next().is_some_and(|next| next > mark))
        });
        member.handle.commit(member.positions());
    }
    let count = load.end();
    member.take_until("everything", |member| member.seen().values().all(|seen| seen.next() == Some(count)));
    check(&[&member.shards], &topic, count);
    assert_eq!(member.handle.stats().problems, []);
}

/// What the group has committed for the topic's partitions, as anyone can ask.
fn committed(settings: &KafkaSettings, topic: &str, partitions: i32) -> Vec<Option<i64>> {
    let mut client = rdkafka::ClientConfig::new();
    client.set("bootstrap.servers", settings.brokers.join(",")).set("group.id", &settings.group);
    let probe: BaseConsumer = client.create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition(topic, partition);
    }
    let answer = probe.committed_offsets(list, PATIENCE).unwrap();
    let offset_of = |element: &TopicPartitionListElem<'_>| match element.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    };
    answer.elements().iter().map(offset_of).collect()
}

/// However long the engine takes to say how far it is, and whatever the group has committed.
#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn a_partition_that_comes_back_to_the_only_engine_is_read_on_from_where_reading_ended(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let (topic, group) = (unique("orders"), unique("group"));
    cluster.create_topic(&topic, 2);
    let producer = cluster.producer();
    (0..2).for_each(|partition| fill(&producer, &topic, partition, 0..100));
    let settings = cluster.settings(&group);
    let at_ends = |member: &Member, count: usize| {
        member.seen().values().filter(|seen| seen.assigned && seen.is_at_end()).count() == count
    };

    let streams = vec![StreamTopics { stream: "s".into(), topics: vec![topic.clone()] }];
    let mut config = ConsumerConfig::new(settings.clone(), streams);
    config.is_alone = true;
    config.resume.set((0..2).map(|partition| Position { source: SourceId::new(&*topic, partition), offset: 20 }));
    let mut first = Member::start(config, 1, 4);
    first.take_until("two ends", |first| at_ends(first, 2));
    let mut other = Member::join(settings, &[&topic], 1);
    wait_until("one partition each", || {
        first.take();
        other.take();
        at_ends(&first, 1) && at_ends(&other, 1)
    });
    let moved = other.assigned()[0].partition;
    other.handle.stop().unwrap();
    first.take_until("two ends again", |first| first.assigned().len() == 2 && at_ends(first, 2));
    let story = ["assigned", "20..100", "end@100", "revoked", "assigned", "end@100"];
    assert_eq!(first.of(&topic, moved).story(), story);
    first.handle.stop().unwrap();
}

/// The engine's own positions count at every assignment, not only the first, and more than the group's. What the group
/// has moves only when a member is told to commit: not by reading, nor by a rebalance, nor by leaving.
#[rstest]
#[case::embedded_cooperative(Kind::Embedded, "cooperative")]
#[case::apache_cooperative(Kind::Apache, "cooperative")]
#[case::apache_eager(Kind::Apache, "eager")]
#[case::apache_broker(Kind::Apache, "broker")]
fn a_partition_that_comes_back_is_read_from_where_the_engine_says(#[case] kind: Kind, #[case] name: &str) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let (topic, group) = (unique("orders"), unique("group"));
    cluster.create_topic(&topic, 2);
    let producer = cluster.producer();
    (0..2).for_each(|partition| fill(&producer, &topic, partition, 0..100));
    let settings = protocol(cluster.settings(&group), name);
    let at = |partition: i32, offset: i64| Position { source: SourceId::new(&*topic, partition), offset };
    let at_ends = |member: &Member, count: usize| {
        member.seen().values().filter(|seen| seen.assigned && seen.is_at_end()).count() == count
    };

    let streams = vec![StreamTopics { stream: "s".into(), topics: vec![topic.clone()] }];
    let config = ConsumerConfig::new(settings.clone(), streams);
    let resume = config.resume.clone();
    resume.set([at(0, 20), at(1, 20)]);
    let mut first = Member::start(config, 1, 4);
    first.take_until("two ends", |first| at_ends(first, 2));
    assert_eq!(committed(&settings, &topic, 2), [None, None], "reading commits nothing");

    let mut second = Member::join(settings.clone(), &[&topic], 1);
    wait_until("one partition each", || {
        first.take();
        second.take();
        at_ends(&first, 1) && at_ends(&second, 1)
    });
    let moved = second.assigned()[0].partition;
    let stays = 1 - moved;
    assert_eq!(committed(&settings, &topic, 2), [None, None], "a rebalance commits nothing");
    second.handle.commit(vec![at(moved, 90)]);
    wait_until("the commit", || committed(&settings, &topic, 2)[moved as usize] == Some(90));

    // It comes back from a member that has committed, and had read further.
    resume.set([at(moved, 50)]);
    second.handle.stop().unwrap();
    first.take_until("two ends again", |first| first.assigned().len() == 2 && at_ends(first, 2));
    let story = ["assigned", "20..100", "end@100", "revoked", "assigned", "50..100", "end@100"];
    assert_eq!(first.of(&topic, moved).story(), story);

    // It comes back once more, and this time the engine has nothing to say.
    let mut third = Member::join(settings.clone(), &[&topic], 1);
    wait_until("one partition each", || {
        first.take();
        third.take();
        at_ends(&first, 1) && at_ends(&third, 1)
    });
    resume.forget(&[SourceId::new(&*topic, 0), SourceId::new(&*topic, 1)]);
    third.handle.stop().unwrap();
    first.take_until("two ends again", |first| first.assigned().len() == 2 && at_ends(first, 2));
    first.handle.stop().unwrap();
    let mut expect = vec![None, None];
    expect[moved as usize] = Some(90);
    assert_eq!(committed(&settings, &topic, 2), expect, "leaving commits nothing");

    let mut last = Member::join(settings, &[&topic], 1);
    last.take_until("two ends", |last| at_ends(last, 2));
    assert_eq!(last.of(&topic, moved).offsets(), (90..100).collect::<Vec<i64>>());
    assert_eq!(last.of(&topic, stays).offsets(), (0..100).collect::<Vec<i64>>());
}
