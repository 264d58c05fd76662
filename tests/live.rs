//! `foghorn run` as operators have it: a process, a cluster, a receiver, and telemetry that comes as it happens.

mod support;

use std::fs;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foghorn::edge::kafka::{Outgoing, Producer};
use foghorn::edge::standins::{WebhookStandin, silent};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rstest::rstest;
use support::cluster::{Cluster, Kind, unique};
use support::wait::wait_for;

const RULES: &str = "\
groups:
  - name: live
    interval: 500ms
    rules:
      - alert: ManyErrors
        from: requests
        where: status >= 500
        by: [service]
        window: 2s
        let: { errors: count(*) }
        when: errors >= 10
        keep_firing_for: 1s
        labels: { severity: critical }
";

/// The process; killed when a test fails before it is told to stop.
struct Running(Child);

impl Running {
    fn terminate(mut self) -> ExitStatus {
        // SAFETY: a plain system call; the child is ours and not yet waited for.
        unsafe { libc::kill(self.0.id() as i32, libc::SIGTERM) };
        wait_for("the process to end", || self.0.try_wait().expect("a child"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

/// One request to each of two partitions, as of now.
fn request(producer: &Producer, topic: &str, status: u16) {
    for partition in 0..2 {
        let event = format!("{{\"ts\":{},\"service\":\"cart\",\"status\":{status}}}", now());
        send(producer, topic, partition, event.as_bytes());
    }
}

fn send(producer: &Producer, topic: &str, partition: i32, payload: &[u8]) {
    let record = Outgoing { topic, partition: Some(partition), payload, ..Outgoing::default() };
    producer.send_patiently(record).expect("a record any broker takes");
}

/// Errors come, twice each as retried producers send them, among records that are none; then they stop. People hear of
/// it once, and once that it is over. What could not be read is where it can be looked at.
#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn an_alert_fires_and_resolves_once_among_poison_and_duplicates(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let (topic, dead) = (unique("live"), unique("live-dead"));
    cluster.create_topic(&topic, 2);
    cluster.create_topic(&dead, 1);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let webhook = runtime.block_on(WebhookStandin::start(silent())).expect("loopback has free ports");

    let folder = tempfile::tempdir().expect("a folder");
    let config = format!(
        "kafka:\n  brokers: [\"{}\"]\n  group: {}\n  start: earliest\n  properties: {{ fetch.wait.max.ms: 20 }}\n\
         streams:\n  requests:\n    topics: {topic}\n    format: json\n    time: {{ field: ts, format: epoch_ms }}\n    \
         lateness: 200ms\n    idle_timeout: 1s\n    dead_letter: {dead}\n    fields: {{ service: string, status: int }}\n\
         rules: rules.yaml\n\
         state: {{ dir: state }}\n\
         route: {{ receiver: hook, group_wait: 100ms, group_interval: 1s }}\n\
         receivers:\n  - name: hook\n    webhook_configs: [{{ url: \"{}\" }}]\n",
        cluster.bootstrap(),
        unique("live-group"),
        webhook.url(),
    );
    fs::write(folder.path().join("foghorn.yaml"), config).expect("written");
    fs::write(folder.path().join("rules.yaml"), RULES).expect("written");
    let log = fs::File::create(folder.path().join("log")).expect("made");
    let child = Command::new(env!("CARGO_BIN_EXE_foghorn"))
        .args(["run", "--listen", "127.0.0.1:0", "--shards", "2"])
        .current_dir(&folder)
        .env_remove("FOGHORN_CONFIG")
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the program is built");
    let running = Running(child);
    let log = || fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    let told = || -> Vec<String> {
        webhook.messages().iter().map(|message| message.body["status"].as_str().unwrap_or("?").to_owned()).collect()
    };

    let producer = cluster.producer();
    let poison: [&[u8]; 3] = [b"not json at all", b"{\"ts\": 1", b"\xff\xfe\x00"];
    poison.iter().for_each(|bytes| send(&producer, &topic, 0, bytes));
    let fired = std::time::Instant::now();
    wait_for("the alert to fire", || {
        assert!(fired.elapsed() < Duration::from_secs(20), "nothing fires: {}", log());
        request(&producer, &topic, 503);
        request(&producer, &topic, 503);
        request(&producer, &topic, 200);
        std::thread::sleep(Duration::from_millis(50));
        (!told().is_empty()).then_some(())
    });
    // It goes on for a while, which is nothing new; then it is over.
    for turn in 0..60 {
        request(&producer, &topic, if turn < 20 { 503 } else { 200 });
        std::thread::sleep(Duration::from_millis(50));
    }
    wait_for("the alert to resolve", || {
        request(&producer, &topic, 200);
        std::thread::sleep(Duration::from_millis(50));
        (told().len() >= 2).then_some(())
    });
    for _ in 0..20 {
        request(&producer, &topic, 200);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(told(), ["firing", "resolved"], "{}", log());
    let first = &webhook.messages()[0].body["alerts"][0];
    assert_eq!(first["labels"]["alertname"], "ManyErrors");
    assert_eq!(first["labels"]["service"], "cart");
    assert!(webhook.messages().iter().all(|message| !message.repeat));

    let status = running.terminate();
    assert_eq!(status.code(), Some(0), "{}", log());
    assert_eq!(told(), ["firing", "resolved"], "an orderly end says nothing new");

    let history = Command::new(env!("CARGO_BIN_EXE_foghorn"))
        .args(["history", "--ndjson"])
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
