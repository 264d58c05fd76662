//! `foghorn run` as operators have it: a process, a cluster, a receiver, and telemetry that comes as it happens.

mod support;

use std::process::Command;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rstest::rstest;
use support::cluster::{Cluster, Kind, unique};
use support::live::{Live, MANY_ERRORS, now, send};
use support::wait::wait_for;

/// Where it keeps what outlives it.
const STATE: &[&str] = &["--state", "state"];

/// The number of the newest checkpoint.
fn checkpoints(live: &Live) -> u64 {
    let (_, metrics) = live.http("GET /metrics");
    let number = metrics.lines().find_map(|line| line.strip_prefix("foghorn_checkpoint_number{} "));
    number.and_then(|number| number.parse::<f64>().ok()).unwrap_or_else(|| panic!("{metrics}")) as u64
}

/// Errors come, twice each as retried producers send them, among records that are none; then they stop. People hear of
/// it once, and once that it is over. What could not be read is where it can be looked at.
#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn an_alert_fires_and_resolves_once_among_poison_and_duplicates(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let dead = unique("live-dead");
    cluster.create_topic(&dead, 1);
    let live = Live::start(&cluster, 2, &format!("    dead_letter: {dead}\n"), MANY_ERRORS, STATE);

    let poison: [&[u8]; 3] = [b"not json at all", b"{\"ts\": 1", b"\xff\xfe\x00"];
    poison.iter().for_each(|bytes| send(&live.producer, &live.topic, 0, bytes));
    live.until_told(1, || [503, 503, 200].into_iter().for_each(|status| live.request(status)));
    // It goes on for a while, which is nothing new; then it is over.
    live.keep_on(Duration::from_secs(1), || live.request(503));
    live.until_told(2, || live.request(200));
    live.keep_on(Duration::from_secs(1), || live.request(200));
    assert_eq!(live.told(), ["ManyErrors firing", "ManyErrors resolved"], "{}", live.log());
    assert_eq!(live.webhook.messages()[0].body["alerts"][0]["labels"]["service"], "cart");
    assert!(live.webhook.messages().iter().all(|message| !message.repeat));

    let log = live.log();
    let (status, webhook, folder) = live.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(webhook.messages().len(), 2, "an orderly end says nothing new");

    let history = Command::new(env!("CARGO_BIN_EXE_foghorn"))
        .args(["history", "--ndjson"])
        .args(STATE)
        .current_dir(&folder)
        .env_remove("FOGHORN_CONFIG")
        .output()
        .expect("the program is built");
    let history = String::from_utf8(history.stdout).expect("UTF-8");
    let records: Vec<serde_json::Value> =
        history.lines().map(|line| serde_json::from_str(line).expect("a record a line")).collect();
    let first = |what: &str| records.iter().position(|record| record["what"] == what || record["kind"] == what);
    let story = ["started", "rules", "fired", "joined", "written", "delivered", "resolved", "stopped"].map(first);
    assert!(story.is_sorted() && story[0] == Some(0), "{story:?} in {history}");
    assert_eq!(story[7], Some(records.len() - 1), "the end is the last word: {history}");

    let mut letters = Vec::new();
    let mut config = cluster.settings(&unique("reader")).consumer().expect("valid settings");
    let reader: BaseConsumer = config.set("enable.partition.eof", "false").create().expect("a consumer");
    reader.subscribe(&[&dead]).expect("subscribed");
    wait_for("the dead letters", || {
        let letter = reader.poll(Duration::from_millis(50))?.expect("a record");
        letters.push(letter.payload().unwrap_or_default().to_vec());
        (letters.len() == poison.len()).then_some(())
    });
    assert_eq!(letters, poison.map(<[u8]>::to_vec), "all were flushed before the end");
}

/// One partition goes on giving events whose time does not advance, so that no rule sees anything newer. That is said, of
/// that partition, and that it is over. The third partition has nothing, and is no trouble; nor is a rule that is judged
/// once in half an hour, in all of which time moves by a pane at most.
#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn a_partition_that_stands_still_is_an_alert_until_it_moves(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let rarely = MANY_ERRORS.replace("interval: 500ms", "interval: 30m").replace("window: 2s", "window: 30m");
    let keys = "    stall_timeout: 5s\nstate: { dir: state, checkpoint_every: 1s }\n";
    let live = Live::start(&cluster, 3, keys, &rarely, &[]);
    live.keep_on(Duration::from_secs(8), || live.request(200));
    assert_eq!(live.told(), [""; 0], "all is well: {}", live.log());
    assert!(checkpoints(&live) >= 4, "one a second is asked for: {}", live.log());

    let stuck = now();
    let one_stands_still = || {
        live.send(0, now(), 200);
        live.send(1, stuck, 200);
    };
    live.until_told(1, one_stands_still);
    let alert = live.webhook.messages()[0].body["alerts"][0].clone();
    assert_eq!((&*live.told()[0], &alert["labels"]["partition"]), ("FoghornSourceStalled firing", &"1".into()));
    assert_eq!(alert["labels"]["topic"], *live.topic);
    assert!(now() - stuck >= 5_000, "told after {} ms", now() - stuck);

    live.until_told(2, || live.request(200));
    assert_eq!(live.told(), ["FoghornSourceStalled firing", "FoghornSourceStalled resolved"], "{}", live.log());
    assert_eq!(live.terminate().0.code(), Some(0));
}

/// While it is stopped the topic is deleted and made anew, and is longer than it was before it goes on. The checkpoint says whose
/// log it had read.
#[test]
fn a_topic_that_was_made_anew_meanwhile_is_told() {
    let Some(cluster) = Cluster::start(Kind::Apache) else { return };
    let Cluster::Apache(broker) = &cluster else { unreachable!("it is Apache Kafka") };
    let mut live = Live::start(&cluster, 2, "", MANY_ERRORS, STATE);
    live.until_told(1, || live.request(503));
    assert_eq!(live.stop().code(), Some(0));
    broker.delete_topic(&live.topic);
    cluster.create_topic(&live.topic, 2);
    (0..2_000).for_each(|_| live.request(200));
    live.start_again();
    let lost = || live.told().iter().any(|told| told == "FoghornInputLost firing");
    live.until("it is told", lost, || live.request(200));
}

/// Kafka goes away for much longer than a quiet partition counts as idle. What is not read is no silence: the alert that
/// fires goes on, and nobody hears anything.
#[test]
fn a_broker_that_is_away_is_no_silence() {
    let cluster = Cluster::start(Kind::Embedded).expect("it is built in");
    let Cluster::Embedded(broker) = &cluster else { unreachable!("it is the embedded one") };
    let mut live = Live::start(&cluster, 2, "", MANY_ERRORS, STATE);
    // The group does not take the partitions away meanwhile.
    let config = std::fs::read_to_string(live.folder.path().join("foghorn.yaml")).expect("it is there");
    live.write("foghorn.yaml", &config.replace("session.timeout.ms: 3000", "session.timeout.ms: 60000"));
    live.kill_and_start();
    live.until_told(1, || live.request(503));
    live.keep_on(Duration::from_millis(300), || ()); // it is read to its end
    broker.broker_down(None).expect("a broker");
    live.keep_on(Duration::from_secs(10), || ());
    assert_eq!(live.told(), ["ManyErrors firing"], "{}", live.log());
    broker.broker_up(None).expect("a broker");
    live.until_told(2, || live.request(200));
    assert_eq!(live.told(), ["ManyErrors firing", "ManyErrors resolved"], "{}", live.log());
}
