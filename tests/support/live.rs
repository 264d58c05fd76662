//! `foghorn run` as operators have it: a process on a topic of its own, and a receiver that hears of it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use foghorn::edge::kafka::{Outgoing, Producer};
use foghorn::edge::standins::{WebhookStandin, silent};

use super::cluster::{Cluster, unique};
use super::wait::{PATIENCE, wait_for};

/// Between two turns of traffic.
pub const BEAT: Duration = Duration::from_millis(50);

/// A rule file with one rule: ten errors of a service within two seconds. More keys of it, and more rules, may follow.
pub const MANY_ERRORS: &str = "\
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
";

/// The process; killed when a test fails before it is told to stop.
struct Running(Child);

impl Running {
    fn signal(&self, signal: libc::c_int) {
        // SAFETY: a plain system call; the child is ours and not yet waited for.
        unsafe { libc::kill(self.0.id() as i32, signal) };
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that watches a topic, and who hears of it.
pub struct Live {
    running: Running,
    pub webhook: WebhookStandin,
    pub producer: Producer,
    pub topic: String,
    pub folder: tempfile::TempDir,
    args: Vec<String>,
    /// The stand-in lives in it.
    _runtime: tokio::runtime::Runtime,
}

impl Live {
    /// Starts Foghorn on a new topic; `keys` are added to the stream, `rules` is the rule file, `args` come behind `run`.
    pub fn start(cluster: &Cluster, partitions: i32, keys: &str, rules: &str, args: &[&str]) -> Live {
        let topic = unique("live");
        cluster.create_topic(&topic, partitions);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let webhook = runtime.block_on(WebhookStandin::start(silent())).expect("loopback has free ports");
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "kafka:\n  brokers: [\"{}\"]\n  group: {}\n  start: earliest\n  properties: {{ fetch.wait.max.ms: 20, session.timeout.ms: 3000, heartbeat.interval.ms: 300 }}\n\
             streams:\n  requests:\n    topics: {topic}\n    format: json\n    time: {{ field: ts, format: epoch_ms }}\n    \
             lateness: 200ms\n    idle_timeout: 1s\n    fields: {{ service: string, status: int }}\n{keys}\
             rules: rules.yaml\n\
             server: {{ listen: \"127.0.0.1:0\" }}\n\
             route: {{ receiver: hook, group_wait: 100ms, group_interval: 1s }}\n\
             receivers:\n  - name: hook\n    webhook_configs: [{{ url: \"{}\" }}]\n",
            cluster.bootstrap(),
            unique("live-group"),
            webhook.url(),
        );
        fs::write(folder.path().join("foghorn.yaml"), config).expect("written");
        fs::write(folder.path().join("rules.yaml"), rules).expect("written");
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let running = run(folder.path(), &args);
        let producer = cluster.producer();
        Live { running, webhook, producer, topic, folder, args, _runtime: runtime }
    }

    /// Kills it, and starts it again in the same folder. What it said before is not in the log any more.
    pub fn kill_and_start(&mut self) {
        let _ = self.running.0.kill();
        let _ = self.running.0.wait();
        self.start_again();
    }

    /// Starts it in the same folder, after it has ended.
    pub fn start_again(&mut self) {
        self.running = run(self.folder.path(), &self.args);
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The alerts of which the receiver was told, with how they stood.
    pub fn told(&self) -> Vec<String> {
        let messages = self.webhook.messages();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or("?").to_owned();
        let alerts = messages.iter().flat_map(|message| message.body["alerts"].as_array().expect("alerts"));
        alerts.map(|alert| format!("{} {}", text(&alert["labels"]["alertname"]), text(&alert["status"]))).collect()
    }

    /// One request to a partition.
    pub fn send(&self, partition: i32, ts: i64, status: u16) {
        self.send_of("cart", partition, ts, status);
    }

    fn send_of(&self, service: &str, partition: i32, ts: i64, status: u16) {
        let event = format!("{{\"ts\":{ts},\"service\":\"{service}\",\"status\":{status}}}");
        send(&self.producer, &self.topic, partition, event.as_bytes());
    }

    /// Requests as of now go to the first two partitions.
    pub fn request(&self, status: u16) {
        (0..2).for_each(|partition| self.send(partition, now(), status));
    }

    /// As [`Live::request`], where each service has a partition of its own.
    pub fn keyed_request(&self, status: u16) {
        ["cart", "till"].iter().zip(0..).for_each(|(service, partition)| {
            self.send_of(service, partition, now(), status);
        });
    }

    /// Sends what `traffic` sends, again and again, until `done`.
    pub fn until(&self, what: &str, mut done: impl FnMut() -> bool, mut traffic: impl FnMut()) {
        let started = Instant::now();
        while !done() {
            assert!(started.elapsed() < PATIENCE, "{what}: told {:?}: {}", self.told(), self.log());
            traffic();
            std::thread::sleep(BEAT);
        }
    }

    /// Sends what `traffic` sends until the receiver was told `count` times.
    pub fn until_told(&self, count: usize, traffic: impl FnMut()) {
        self.until(&format!("{count} alerts"), || self.told().len() >= count, traffic);
    }

    /// Sends what `traffic` sends for a while.
    pub fn keep_on(&self, time: Duration, traffic: impl FnMut()) {
        let started = Instant::now();
        self.until("it goes on", || started.elapsed() > time, traffic);
    }

    /// Puts a file in place of another at once, as careful editors do.
    pub fn write(&self, file: &str, text: &str) {
        let path = self.folder.path().join(file);
        fs::write(path.with_extension("new"), text).expect("written");
        fs::rename(path.with_extension("new"), path).expect("renamed");
    }

    /// Where the page is, as the log tells.
    pub fn address(&self) -> String {
        wait_for("the page", || {
            let log = self.log();
            let (_, rest) = log.split_once("the page is on http://")?;
            rest.split_once(|c: char| !c.is_ascii_digit() && c != '.' && c != ':')
                .map(|(address, _)| address.to_owned())
        })
    }

    /// Status and body.
    pub fn http(&self, request: &str) -> (u16, String) {
        let address = self.address();
        let mut stream = TcpStream::connect(&address).expect("it listens");
        write!(stream, "{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, answer.split_once("\r\n\r\n").expect("a body").1.to_owned())
    }

    pub fn hang_up(&self) {
        self.running.signal(libc::SIGHUP);
    }

    /// Asks it to end, and waits for that. Nothing about an orderly end is worth a warning.
    pub fn stop(&mut self) -> ExitStatus {
        let before = self.log().len();
        self.running.signal(libc::SIGTERM);
        let status = wait_for("the process to end", || self.running.0.try_wait().expect("a child"));
        let log = self.log();
        let complaint = |line: &&str| [" WARN ", " ERROR "].iter().any(|level| line.contains(level));
        assert_eq!(log[before..].lines().find(complaint), None, "{log}");
        status
    }

    /// As [`Live::stop`], for good.
    pub fn terminate(mut self) -> (ExitStatus, WebhookStandin, tempfile::TempDir) {
        (self.stop(), self.webhook, self.folder)
    }
}

/// The program, with a log of its own.
fn run(folder: &Path, args: &[String]) -> Running {
    let log = fs::File::create(folder.join("log")).expect("made");
    let process = Command::new(env!("CARGO_BIN_EXE_foghorn"))
        .args(["run", "--shards", "2"])
        .args(args)
        .current_dir(folder)
        .env_remove("FOGHORN_CONFIG")
        .env("FOGHORN_LOG", "info,foghorn::journal=debug")
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    Running(process.expect("the program is built"))
}

/// Milliseconds since the epoch.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

pub fn send(producer: &Producer, topic: &str, partition: i32, payload: &[u8]) {
    let record = Outgoing { topic, partition: Some(partition), payload, ..Outgoing::default() };
    producer.send_patiently(record).expect("a record any broker takes");
}
