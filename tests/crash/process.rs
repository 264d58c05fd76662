//! The process under test: started, killed, asked how it is, started again.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::load::Reader;
use crate::receivers::Receivers;
use crate::support::cluster::Cluster;
use crate::support::wait::{PATIENCE, wait_for};

/// One Foghorn with a folder of its own: configuration, rules and state. What runs in it may change.
pub struct Foghorn {
    folder: tempfile::TempDir,
    child: Option<Child>,
    pub probe: Probe,
}

/// What can be asked of a Foghorn from any thread, whichever of its lives it is in.
#[derive(Clone, Default)]
pub struct Probe(Arc<Mutex<Log>>);

/// Everything it has written to standard error, over all its lives, and where this life's part begins.
#[derive(Default)]
struct Log {
    text: String,
    born: usize,
}

/// The second rule never fires: every service has four events each tenth of a second. One that is lost, or counted
/// twice, makes it fire.
const RULES: &str = "\
groups:
  - name: crash
    interval: 1s
    rules:
      - alert: ManyErrors
        from: requests
        by: [service]
        window: 5s
        let:
          errors: count(*) FILTER (WHERE status >= 500)
          p99: quantile(latency_ms, 0.99)
        when: errors >= 10 && p99 > 0
        for: 2s
        keep_firing_for: 1s
        labels: { severity: critical }
      - alert: Miscounted
        from: requests
        by: [service]
        window: 5s
        let: { events: count(*) }
        when: events != 200
        labels: { severity: critical }
";

impl Foghorn {
    /// Makes the folder; starts nothing.
    pub fn new(cluster: &Cluster, topic: &str, group: &str, receivers: &str) -> Foghorn {
        let folder = tempfile::tempdir().expect("a folder");
        let bootstrap = cluster.bootstrap();
        // The embedded broker does not know members by name: it waits for who was killed until the session is over.
        let session = match cluster {
            Cluster::Embedded(_) => ", session.timeout.ms: 3000, heartbeat.interval.ms: 300",
            Cluster::Apache(_) | Cluster::Own(_) => "",
        };
        let config = format!(
            "kafka:\n  brokers: [\"{bootstrap}\"]\n  group: {group}\n  start: earliest\n  \
             properties: {{ fetch.wait.max.ms: 20, reconnect.backoff.max.ms: 500{session} }}\n\
             streams:\n  requests:\n    topics: {topic}\n    format: json\n    \
             time: {{ field: ts, format: epoch_ms }}\n    lateness: 200ms\n    idle_timeout: 1h\n    stall_timeout: 1h\n    \
             fields: {{ service: string, status: int, latency_ms: int }}\n\
             rules: rules.yaml\n{receivers}"
        );
        std::fs::write(folder.path().join("foghorn.yaml"), config).expect("written");
        std::fs::write(folder.path().join("rules.yaml"), RULES).expect("written");
        Foghorn { folder, child: None, probe: Probe::default() }
    }

    /// With rules that are local: each service has its partition, so a window holds a fourth of the events. Members that
    /// were killed are missed soon.
    pub fn local(self) -> Foghorn {
        let rules = RULES.replace("by: [service]\n", "by: [service]\n        local: true\n").replace("!= 200", "!= 50");
        std::fs::write(self.folder.path().join("rules.yaml"), rules).expect("written");
        let path = self.folder.path().join("foghorn.yaml");
        let config = std::fs::read_to_string(&path).expect("just written");
        let session = "properties: { session.timeout.ms: 4000, heartbeat.interval.ms: 300, ";
        if !config.contains("session.timeout.ms") {
            std::fs::write(&path, config.replace("properties: { ", session)).expect("written");
        }
        self
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Starts it; `crash_at` is a crash point, and how often it is passed before it kills.
    pub fn start(&mut self, crash_at: Option<(&str, u32)>) {
        assert!(self.child.is_none(), "it runs already");
        let mut command = Command::new(env!("CARGO_BIN_EXE_foghorn"));
        command
            .args(["run", "--listen", "127.0.0.1:0", "--shards", "2", "--state", "state"])
            .current_dir(&self.folder)
            .env_remove("FOGHORN_CONFIG")
            .envs(Receivers::environment())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some((point, times)) = crash_at {
            command.env("FOGHORN_CRASH_AT", format!("{point}:{times}"));
        }
        let mut child = command.spawn().expect("the program is built");
        let (pipe, probe) = (child.stderr.take().expect("piped"), self.probe.clone());
        {
            let mut log = probe.0.lock();
            log.born = log.text.len();
        }
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let text = &mut probe.0.lock().text;
                text.push_str(&line);
                text.push('\n');
            }
        });
        self.child = Some(child);
    }

    pub fn pid(&self) -> i32 {
        self.child.as_ref().expect("it runs").id() as i32
    }

    /// SIGKILL, now.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("ours to kill");
        child.wait().expect("a child");
    }

    /// Waits until it has killed itself at a crash point.
    pub fn wait_until_crashed(&mut self, point: &str) {
        let mut child = self.child.take().expect("it runs");
        let ended = wait_for(&format!("the crash at {point}"), || child.try_wait().expect("a child"));
        assert_eq!(ended.signal(), Some(libc::SIGKILL), "at {point}: {ended}\n{}", self.log());
    }

    /// SIGTERM; how it ended and how long that took.
    pub fn terminate(&mut self) -> (ExitStatus, Duration) {
        let started = Instant::now();
        // SAFETY: a plain system call; the child is ours and not yet waited for.
        unsafe { libc::kill(self.pid(), libc::SIGTERM) };
        let mut child = self.child.take().expect("it runs");
        (wait_for("the process to end", || child.try_wait().expect("a child")), started.elapsed())
    }

    /// Waits until it has ended by itself.
    pub fn wait_until_ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        wait_for("the process to end", || child.try_wait().expect("a child"))
    }

    /// Files of the state whose names end like this, by name: the newest is the last.
    pub fn state_files(&self, end: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.state()).into_iter().flatten().flatten();
        let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(end));
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(named).collect();
        files.sort();
        files
    }

    /// Whether it ended by itself, which it must not.
    pub fn assert_alive(&mut self) {
        let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("a child"));
        assert!(ended.is_none(), "it ended by itself: {ended:?}\n{}", self.log());
    }

    pub fn log(&self) -> String {
        self.probe.log()
    }

    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        self.probe.get(path)
    }

    pub fn metric(&self, name: &str) -> Option<f64> {
        self.probe.metric(name)
    }

    /// Has nobody told of a service for a day, which is on disk by then.
    pub fn silence(&self, service: &str) {
        let wish = format!(r#"{{"matchers":["service={service}"],"for":"1d","createdBy":"ada","comment":"by hand"}}"#);
        let (status, answer) = self.probe.ask("POST /api/v1/silences", &wish).expect("it is there");
        assert!(status == 200 && answer.contains("\"durable\":true"), "{status}: {answer}");
    }

    /// Whether that holds.
    pub fn is_silenced(&self, service: &str) -> bool {
        let (_, active) = self.get("/api/v1/silences?state=active").expect("it is there");
        active.contains(&format!("\"{service}\""))
    }

    /// Waits until something was judged in this life, which says that state, group and partitions are there. How long it
    /// took since `since`.
    pub fn wait_until_judging(&mut self, since: Instant) -> Duration {
        loop {
            if self.metric("foghorn_rule_evaluations_total").is_some_and(|judged| judged > 0.0) {
                return since.elapsed();
            }
            self.assert_alive();
            assert!(since.elapsed() < PATIENCE, "nothing is judged: {:?}\n{}", self.get("/readyz"), self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Probe {
    pub fn log(&self) -> String {
        self.0.lock().text.clone()
    }

    /// What this life has logged so far.
    pub fn log_of_this_life(&self) -> String {
        let log = self.0.lock();
        log.text[log.born..].to_owned()
    }

    /// Status and body of an answer; `None` while nobody answers.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        self.ask(&format!("GET {path}"), "")
    }

    fn ask(&self, request: &str, json: &str) -> Option<(u16, String)> {
        let log = self.log_of_this_life();
        let address = log.split("the page is on http://").nth(1)?;
        let address: String = address.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
        let mut stream = TcpStream::connect(address.trim_end_matches('.')).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let length = json.len();
        write!(
            stream,
            "{request} HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{json}"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
    }

    /// The sum over a metric's series.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics")?;
        let of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let values: Vec<f64> =
            text.lines().filter(of).filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// Tells the load how far it is.
    pub fn reader(&self) -> Reader {
        let probe = self.clone();
        Box::new(move || probe.watermark())
    }

    /// The partitions it reads, and how far each is, in epoch milliseconds.
    pub fn partitions(&self) -> Vec<(String, Option<i64>)> {
        let Some((_, text)) = self.get("/api/v1/status") else { return Vec::new() };
        let status: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let partitions = status["data"]["streams"][0]["partitions"].as_array().cloned().unwrap_or_default();
        let millis = |text: &str| text.parse::<jiff::Timestamp>().ok().map(|at| at.as_millisecond());
        let one = |partition: serde_json::Value| {
            (partition["source"].as_str().unwrap_or("?").to_owned(), partition["watermark"].as_str().and_then(millis))
        };
        partitions.into_iter().map(one).collect()
    }

    /// The stream's watermark, in epoch milliseconds.
    pub fn watermark(&self) -> Option<i64> {
        let delay = self.metric("foghorn_watermark_delay_seconds")?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(((now.as_secs_f64() - delay) * 1e3) as i64)
    }
}

impl Drop for Foghorn {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
