//! `foghorn run` as operators have it: a process, a cluster, a receiver, and telemetry that comes as it happens.

mod support;

use std::fs;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use foghorn::edge::kafka::{Outgoing, Producer};
use foghorn::edge::standins::{WebhookStandin, silent};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rstest::rstest;
use support::cluster::{Cluster, Kind, unique};
use support::wait::{PATIENCE, wait_for};

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

/// A process that watches a topic, and who hears of it.
struct Live {
    running: Running,
    webhook: WebhookStandin,
    producer: Producer,
    topic: String,
    folder: tempfile::TempDir,
    /// The stand-in lives in it.
    _runtime: tokio::runtime::Runtime,
}

impl Live {
    /// Starts Foghorn on a new topic; `keys` are added to the stream, `rules` is the rule file.
    fn start(cluster: &Cluster, partitions: i32, keys: &str, rules: &str) -> Live {
        let topic = unique("live");
        cluster.create_topic(&topic, partitions);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let webhook = runtime.block_on(WebhookStandin::start(silent())).expect("loopback has free ports");
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "kafka:\n  brokers: [\"{}\"]\n  group: {}\n  start: earliest\n  properties: {{ fetch.wait.max.ms: 20 }}\n\
             streams:\n  requests:\n    topics: {topic}\n    format: json\n    time: {{ field: ts, format: epoch_ms }}\n    \
             lateness: 200ms\n    idle_timeout: 1s\n    fields: {{ service: string, status: int }}\n{keys}\
             rules: rules.yaml\n\
             state: {{ dir: state }}\n\
             server: {{ listen: \"127.0.0.1:0\" }}\n\
             route: {{ receiver: hook, group_wait: 100ms, group_interval: 1s }}\n\
             receivers:\n  - name: hook\n    webhook_configs: [{{ url: \"{}\" }}]\n",
            cluster.bootstrap(),
            unique("live-group"),
            webhook.url(),
        );
        fs::write(folder.path().join("foghorn.yaml"), config).expect("written");
        fs::write(folder.path().join("rules.yaml"), rules).expect("written");
        let log = fs::File::create(folder.path().join("log")).expect("made");
        let child = Command::new(env!("CARGO_BIN_EXE_foghorn"))
            .args(["run", "--shards", "2"])
            .current_dir(&folder)
            .env_remove("FOGHORN_CONFIG")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program is built");
        let log = || fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        let port = wait_for("the page", || {
            let log = log();
            let port = log.split("the page is on http://127.0.0.1:").nth(1)?;
            port.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u16>().ok()
        });
        std::net::TcpStream::connect(("127.0.0.1", port)).expect("port 0 is a free one, and the log tells which");
        Live { running: Running(child), webhook, producer: cluster.producer(), topic, folder, _runtime: runtime }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The alerts of which the receiver was told, with how they stood.
    fn told(&self) -> Vec<String> {
        let messages = self.webhook.messages();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or("?").to_owned();
        let alerts = messages.iter().flat_map(|message| message.body["alerts"].as_array().expect("alerts"));
        alerts.map(|alert| format!("{} {}", text(&alert["labels"]["alertname"]), text(&alert["status"]))).collect()
    }

    /// One request to a partition.
    fn send(&self, partition: i32, ts: i64, status: u16) {
        let event = format!("{{\"ts\":{ts},\"service\":\"cart\",\"status\":{status}}}");
        send(&self.producer, &self.topic, partition, event.as_bytes());
    }

    /// Requests as of now go to both partitions.
    fn request(&self, status: u16) {
        (0..2).for_each(|partition| self.send(partition, now(), status));
    }

    /// Sends what `traffic` sends, again and again, until the receiver was told `count` times.
    fn until_told(&self, count: usize, mut traffic: impl FnMut()) {
        let started = Instant::now();
        while self.told().len() < count {
            assert!(started.elapsed() < PATIENCE, "told {:?}, not {count}: {}", self.told(), self.log());
            traffic();
            std::thread::sleep(BEAT);
        }
    }

    fn terminate(self) -> (ExitStatus, WebhookStandin, tempfile::TempDir) {
        (self.running.terminate(), self.webhook, self.folder)
    }
}

/// Between two turns of traffic.
const BEAT: Duration = Duration::from_millis(50);

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
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
    let dead = unique("live-dead");
    cluster.create_topic(&dead, 1);
    let live = Live::start(&cluster, 2, &format!("    dead_letter: {dead}\n"), RULES);

    let poison: [&[u8]; 3] = [b"not json at all", b"{\"ts\": 1", b"\xff\xfe\x00"];
    poison.iter().for_each(|bytes| send(&live.producer, &live.topic, 0, bytes));
    live.until_told(1, || [503, 503, 200].into_iter().for_each(|status| live.request(status)));
    // It goes on for a while, which is nothing new; then it is over.
    for turn in 0..60 {
        live.request(if turn < 20 { 503 } else { 200 });
        std::thread::sleep(BEAT);
    }
    live.until_told(2, || live.request(200));
    for _ in 0..20 {
        live.request(200);
        std::thread::sleep(BEAT);
    }
    assert_eq!(live.told(), ["ManyErrors firing", "ManyErrors resolved"], "{}", live.log());
    assert_eq!(live.webhook.messages()[0].body["alerts"][0]["labels"]["service"], "cart");
    assert!(live.webhook.messages().iter().all(|message| !message.repeat));

    let log = live.log();
    let (status, webhook, folder) = live.terminate();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(webhook.messages().len(), 2, "an orderly end says nothing new");

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

/// One partition goes on giving events whose time does not advance, so that no rule sees anything newer. That is said, of
/// that partition, and that it is over. The third partition has nothing, and is no trouble; nor is a rule that is judged
/// once in half an hour, in all of which time moves by a pane at most.
#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn a_partition_that_stands_still_is_an_alert_until_it_moves(#[case] kind: Kind) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let rarely = RULES.replace("interval: 500ms", "interval: 30m").replace("window: 2s", "window: 30m");
    let live = Live::start(&cluster, 3, "    stall_timeout: 5s\n", &rarely);
    let healthy = Instant::now();
    while healthy.elapsed() < Duration::from_secs(8) {
        live.request(200);
        std::thread::sleep(BEAT);
    }
    assert_eq!(live.told(), [""; 0], "all is well: {}", live.log());

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
