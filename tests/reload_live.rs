//! `foghorn run` while its files are edited: by request, by signal, by the files themselves.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use foghorn::edge::kafka::{Outgoing, Producer};
use foghorn::edge::standins::{WebhookStandin, silent};
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
        annotations: { summary: many errors }
      - alert: Traffic
        from: requests
        window: 2s
        let: { requests: count(*) }
        when: requests > 1000000
";

/// All of an hour, so that what is read twice or not at all is seen.
const COUNTING: &str = "\
groups:
  - name: counting
    interval: 500ms
    rules:
      - alert: AllOfThem
        from: requests
        window: 1h
        let: { requests: count(*) }
        when: requests >= 4000
        annotations: { summary: first }
      - alert: TooMany
        from: requests
        window: 1h
        let: { requests: count(*) }
        when: requests > 4000
";

/// A process that watches a topic, and who hears of it.
struct Live {
    process: Child,
    webhook: WebhookStandin,
    producer: Producer,
    topic: String,
    folder: tempfile::TempDir,
    /// The stand-in lives in it.
    _runtime: tokio::runtime::Runtime,
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Live {
    fn start(cluster: &Cluster, rules: &str, args: &[&str]) -> Live {
        let topic = unique("reload");
        cluster.create_topic(&topic, 2);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let webhook = runtime.block_on(WebhookStandin::start(silent())).expect("loopback has free ports");
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "kafka:\n  brokers: [\"{}\"]\n  group: {}\n  start: earliest\n  properties: {{ fetch.wait.max.ms: 20 }}\n\
             streams:\n  requests:\n    topics: {topic}\n    format: json\n    time: {{ field: ts, format: epoch_ms }}\n    \
             lateness: 200ms\n    idle_timeout: 1s\n    fields: {{ service: string, status: int }}\n\
             rules: rules.yaml\n\
             route: {{ receiver: hook, group_wait: 100ms, group_interval: 1s }}\n\
             receivers:\n  - name: hook\n    webhook_configs: [{{ url: \"{}\" }}]\n",
            cluster.bootstrap(),
            unique("reload-group"),
            webhook.url(),
        );
        fs::write(folder.path().join("foghorn.yaml"), config).expect("written");
        fs::write(folder.path().join("rules.yaml"), rules).expect("written");
        let log = fs::File::create(folder.path().join("log")).expect("made");
        let process = Command::new(env!("CARGO_BIN_EXE_foghorn"))
            .args(["run", "--listen", "127.0.0.1:0", "--shards", "2"])
            .args(args)
            .current_dir(&folder)
            .env_remove("FOGHORN_CONFIG")
            .env("FOGHORN_LOG", "info,foghorn::journal=debug")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program is built");
        Live { process, webhook, producer: cluster.producer(), topic, folder, _runtime: runtime }
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

    fn request(&self, status: u16) {
        let event = format!("{{\"ts\":{},\"service\":\"cart\",\"status\":{status}}}", now());
        for partition in 0..2 {
            let record = Outgoing {
                topic: &self.topic,
                partition: Some(partition),
                payload: event.as_bytes(),
                ..Outgoing::default()
            };
            self.producer.send_patiently(record).expect("a record any broker takes");
        }
    }

    /// Errors come until `done`, or for too long.
    fn errors_until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let started = Instant::now();
        while !done() {
            assert!(started.elapsed() < PATIENCE, "{what}: told {:?}: {}", self.told(), self.log());
            self.request(503);
            std::thread::sleep(BEAT);
        }
    }

    /// Errors go on for a while, of which nobody is to hear.
    fn errors_for(&self, time: Duration) {
        let started = Instant::now();
        self.errors_until("it goes on", || started.elapsed() > time);
    }

    fn write(&self, file: &str, text: &str) {
        // As careful editors do.
        let path = self.folder.path().join(file);
        fs::write(path.with_extension("new"), text).expect("written");
        fs::rename(path.with_extension("new"), path).expect("renamed");
    }

    fn http(&self, request: &str) -> (u16, String) {
        let address = wait_for("the page", || {
            let log = self.log();
            let (_, rest) = log.split_once("http://")?;
            Some(rest.split(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').next()?.to_owned())
        });
        let mut stream = TcpStream::connect(&address).expect("it listens");
        write!(stream, "{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, answer.split_once("\r\n\r\n").expect("a body").1.to_owned())
    }

    fn reload(&self) -> (u16, String) {
        self.http("POST /-/reload")
    }

    /// How often the log says that it was reloaded.
    fn reloads(&self) -> usize {
        self.log().matches("reloaded").count() - self.log().matches("nothing was reloaded").count()
    }
}

/// Between two turns of traffic.
const BEAT: Duration = Duration::from_millis(50);

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

/// An alert fires. Its words are changed, its file is broken, what cannot be changed is changed: nobody hears of it. Its
/// rule is taken away: it is over, and why.
#[rstest]
#[case::with_state(&["--state", "state", "--no-watch"])]
#[case::without_state(&["--no-watch"])]
fn an_edit_pages_nobody_and_a_removed_rule_ends_its_alerts(#[case] args: &[&str]) {
    let cluster = Cluster::start(Kind::Embedded).expect("it is built in");
    let live = Live::start(&cluster, RULES, args);
    live.errors_until("it fires", || !live.told().is_empty());

    live.write("rules.yaml", &RULES.replace("many errors", "far too many errors"));
    let (status, text) = live.reload();
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("0 added, 0 removed, 1 changed, 1 unchanged"), "{text}");
    assert!(text.contains("changed ManyErrors (rules.yaml:5): all state is kept"), "{text}");
    live.errors_for(Duration::from_secs(2));

    live.write("rules.yaml", &RULES.replace("count(*)", "cuont(*)"));
    let (status, text) = live.reload();
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("rules.yaml:") && text.contains("cuont"), "{text}");
    let (_, metrics) = live.http("GET /metrics");
    assert!(metrics.contains("foghorn_config_last_reload_successful{} 0.0"), "{metrics}");
    assert!(metrics.contains("foghorn_config_reloads_total{outcome=\"invalid\"} 1"), "{metrics}");

    live.write("rules.yaml", RULES);
    let config = fs::read_to_string(live.folder.path().join("foghorn.yaml")).expect("it is there");
    live.write(
        "foghorn.yaml",
        &config.replace("group: ", "group: another-").replace("lateness: 200ms", "lateness: 1s"),
    );
    let (status, text) = live.reload();
    assert_eq!(status, 409, "{text}");
    assert!(text.contains("`kafka.group` changed") && text.contains("stream `requests` changed"), "{text}");
    live.write("foghorn.yaml", &config);

    let before = live.reloads();
    // SAFETY: a plain system call; the child is ours and not yet waited for.
    unsafe { libc::kill(live.process.id() as i32, libc::SIGHUP) };
    live.errors_until("SIGHUP reloads", || live.reloads() > before);
    live.errors_for(Duration::from_secs(1));
    assert_eq!(live.told(), ["ManyErrors firing"], "{}", live.log());

    let (head, tail) = RULES.split_once("      - alert: ManyErrors").expect("a rule");
    let (_, traffic) = tail.split_once("      - alert: Traffic").expect("another");
    live.write("rules.yaml", &format!("{head}      - alert: Traffic{traffic}"));
    let (status, text) = live.reload();
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("removed ManyErrors"), "{text}");
    live.errors_until("it is over", || live.told().len() > 1);
    live.errors_for(Duration::from_secs(1));
    assert_eq!(live.told(), ["ManyErrors firing", "ManyErrors resolved"], "{}", live.log());
    assert!(live.log().contains("its rule was removed"), "why it is over: {}", live.log());
    let (_, rules) = live.http("GET /api/v1/rules");
    assert!(rules.contains("Traffic") && !rules.contains("ManyErrors"), "{rules}");
}

/// Requests come as fast as they can while the rules are edited again and again. Every one is counted, once.
#[test]
fn no_event_is_lost_or_counted_twice() {
    let cluster = Cluster::start(Kind::Embedded).expect("it is built in");
    let live = Live::start(&cluster, COUNTING, &["--state", "state"]);
    live.request(200);
    let sent = AtomicUsize::new(1);
    let mut reloads = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while sent.load(Ordering::Relaxed) < 2_000 {
                live.request(200);
                sent.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        while sent.load(Ordering::Relaxed) < 2_000 {
            live.write("rules.yaml", &COUNTING.replace("first", &format!("edition {reloads}")));
            let (status, text) = live.reload();
            assert_eq!(status, 200, "{text}");
            reloads += 1;
            std::thread::sleep(BEAT);
        }
    });
    assert!(reloads >= 5, "{reloads} reloads");
    wait_for("all requests", || {
        std::thread::sleep(BEAT);
        (!live.told().is_empty()).then_some(())
    });
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(live.told(), ["AllOfThem firing"], "after {reloads} reloads: {}", live.log());
}

/// Whoever edits a file need not say so.
#[test]
fn a_file_that_changes_is_gone_by() {
    let cluster = Cluster::start(Kind::Embedded).expect("it is built in");
    let live = Live::start(&cluster, RULES, &[]);
    live.errors_until("it fires", || !live.told().is_empty());
    live.write("rules.yaml", &RULES.replace("errors >= 10", "errors >= 1000000"));
    live.errors_until("it is over", || live.told().len() > 1);
    assert_eq!(live.told(), ["ManyErrors firing", "ManyErrors resolved"], "{}", live.log());
    assert_eq!(live.reloads(), 1, "reading files is no change of them: {}", live.log());
}
