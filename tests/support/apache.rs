//! Apache Kafka: one KRaft node in a process of its own, from Maven Central by way of `mvn`.
//!
//! The jars are kept under `target/`, so only the first run downloads them. Where `java` or `mvn` is missing, or the
//! download fails, tests on Apache Kafka say so on stderr and are passed over; with `FOGHORN_REQUIRE_KAFKA=1` in the
//! environment they fail instead.
//!
//! It keeps records whatever their age, as tests write timestamps of 1970; [`Apache::delete_before`] is its retention.
//!
//! The broker dies with the test binary, however that ends: it runs in a process group of its own which is killed at
//! exit, and the kernel kills it when we are killed (`PR_SET_PDEATHSIG`; that hangs on the *thread* that started it, so
//! one thread starts all brokers and never ends).

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

use super::cluster::quick_settings;
use super::wait::{PATIENCE, wait_until};

const KAFKA: &str = "4.1.0";
const LOG4J: &str = "2.24.3";
const COPY_DEPENDENCIES: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

pub const USER: &str = "ada";
pub const PASSWORD: &str = "correct horse";

/// A running broker. Dropping it kills it and removes its data.
pub struct Apache {
    home: PathBuf,
    jars: PathBuf,
    ports: Ports,
    child: Mutex<Option<Child>>,
    tls: Option<TlsFiles>,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    plain: u16,
    controller: u16,
    /// TLS with SASL, and TLS that asks for a client certificate.
    secure: u16,
    mutual: u16,
}

/// PEM files of a secured broker and of a client it knows.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub ca: PathBuf,
    /// An authority that signed nothing.
    pub wrong_ca: PathBuf,
    pub client_certificate: PathBuf,
    pub client_key: PathBuf,
    broker: PathBuf,
}

impl Apache {
    /// The one all tests of this binary share. `None` where there is none to be had.
    pub fn shared() -> Option<&'static Apache> {
        static SHARED: OnceLock<Option<Apache>> = OnceLock::new();
        SHARED.get_or_init(|| or_say_so(Apache::start(false))).as_ref()
    }

    /// One of one's own, to be stopped and restarted.
    pub fn own() -> Option<Apache> {
        or_say_so(Apache::start(false))
    }

    /// One with listeners for TLS and SASL, shared like [`Apache::shared`].
    pub fn secured() -> Option<&'static Apache> {
        static SECURED: OnceLock<Option<Apache>> = OnceLock::new();
        SECURED.get_or_init(|| or_say_so(Apache::start(true))).as_ref()
    }

    fn start(secured: bool) -> Result<Apache, String> {
        let jars = jars()?;
        let home = new_home().map_err(|error| format!("no folder for the broker: {error}"))?;
        let tls =
            secured.then(|| TlsFiles::make(&home)).transpose().map_err(|error| format!("no certificates: {error}"))?;
        let broker = Apache { jars: jars.to_owned(), ports: Ports::free(), child: Mutex::default(), tls, home };
        broker.format()?;
        broker.launch()?;
        Ok(broker)
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.ports.plain)
    }

    /// The listener with TLS and SASL.
    pub fn secure_bootstrap(&self) -> String {
        format!("localhost:{}", self.ports.secure)
    }

    /// The listener with TLS that asks for a client certificate.
    pub fn mutual_bootstrap(&self) -> String {
        format!("localhost:{}", self.ports.mutual)
    }

    pub fn tls(&self) -> &TlsFiles {
        self.tls.as_ref().expect("a secured broker")
    }

    pub fn create_topic(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let made = wait_for_answer(self.admin().create_topics([&topic], &patient()));
        made[0].as_ref().unwrap_or_else(|(name, error)| panic!("topic {name} was not created: {error}"));
    }

    /// Deletes a topic, and waits until there is none of that name.
    pub fn delete_topic(&self, name: &str) {
        let gone = wait_for_answer(self.admin().delete_topics(&[name], &patient()));
        gone[0].as_ref().unwrap_or_else(|(name, error)| panic!("topic {name} was not deleted: {error}"));
        let admin = self.admin();
        wait_until("the topic to be gone", || {
            let metadata = admin.inner().fetch_metadata(None, PATIENCE).expect("the broker is there");
            !metadata.topics().iter().any(|topic| topic.name() == name)
        });
    }

    /// Deletes the records of a partition before `offset`, as retention would.
    pub fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition_offset(topic, partition, rdkafka::Offset::Offset(offset)).expect("an offset");
        let done = wait_for_answer(self.admin().delete_records(&list, &patient()));
        done.elements()[0].error().expect("the records are deleted");
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap());
        config.create().expect("an admin client")
    }

    /// Asks the broker to end, and waits until it has.
    pub fn stop(&self) {
        self.end(libc::SIGTERM);
    }

    /// Ends the broker at once, as a power cut would.
    pub fn kill(&self) {
        self.end(libc::SIGKILL);
    }

    /// Starts it again, on the same ports with the same data.
    pub fn restart(&self) {
        self.launch().expect("a broker that ran before runs again");
    }

    fn end(&self, signal: i32) {
        let Some(mut child) = self.child.lock().expect("no test panics here").take() else { return };
        signal_group(&child, signal);
        let deadline = Instant::now() + Duration::from_secs(20);
        while child.try_wait().expect("our child").is_none() {
            if Instant::now() > deadline {
                signal_group(&child, libc::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        groups().lock().expect("no test panics here").retain(|group| *group != child.id() as i32);
    }

    fn format(&self) -> Result<(), String> {
        fs::write(self.file("server.properties"), self.properties()).map_err(|error| error.to_string())?;
        fs::write(self.file("log4j2.properties"), LOG4J_PROPERTIES).map_err(|error| error.to_string())?;
        let mut format = self.java("kafka.tools.StorageTool");
        format
            .args(["format", "--cluster-id", "Zm9naG9ybi10ZXN0LTAwMQ", "--config"])
            .arg(self.file("server.properties"));
        if self.tls.is_some() {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                format.arg("--add-scram").arg(format!("{mechanism}=[name={USER},password={PASSWORD}]"));
            }
        }
        let done = format.stdin(Stdio::null()).output().map_err(|error| format!("`java` does not start: {error}"))?;
        match done.status.success() {
            true => Ok(()),
            false => Err(format!("the storage was not formatted: {}", String::from_utf8_lossy(&done.stderr))),
        }
    }

    fn launch(&self) -> Result<(), String> {
        let log = File::options().create(true).append(true).open(self.file("broker.log"));
        let log = log.and_then(|log| Ok((log.try_clone()?, log))).map_err(|error| error.to_string())?;
        let mut command = self.java("kafka.Kafka");
        command.arg(self.file("server.properties")).stdin(Stdio::null()).stdout(log.0).stderr(log.1);
        let child = spawn(command).map_err(|error| format!("`java` does not start: {error}"))?;
        *self.child.lock().expect("no test panics here") = Some(child);
        self.wait_until_it_answers()
    }

    fn wait_until_it_answers(&self) -> Result<(), String> {
        let settings = quick_settings(&self.bootstrap(), "probe");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", settings.brokers.join(",")).set("reconnect.backoff.max.ms", "100");
        config.set("log_level", "0");
        let probe: rdkafka::consumer::BaseConsumer = config.create().map_err(|error| error.to_string())?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            use rdkafka::consumer::Consumer;
            if let Ok(metadata) = probe.fetch_metadata(None, Duration::from_millis(500))
                && !metadata.brokers().is_empty()
            {
                return Ok(());
            }
            let ended = match self.child.lock().expect("no test panics here").as_mut() {
                Some(child) => child.try_wait().map_err(|error| error.to_string())?,
                None => None,
            };
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.file("broker.log")).unwrap_or_default();
                let from = log.len().saturating_sub(4_000);
                let from = (from..=log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(0);
                return Err(format!("the broker does not come up ({ended:?}):\n{}", &log[from..]));
            }
        }
    }

    fn java(&self, main: &str) -> Command {
        let mut command = Command::new("java");
        command
            .args(["-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"])
            .arg(format!("-Dlog4j2.configurationFile={}", self.file("log4j2.properties").display()))
            .arg("-cp")
            .arg(self.jars.join("*"))
            .arg(main)
            .current_dir(&self.home);
        command
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    fn properties(&self) -> String {
        let Ports { plain, controller, secure, mutual } = self.ports;
        let mut text = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             controller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=PLAINTEXT\n\
             log.dirs={}\n\
             num.partitions=1\n\
             auto.create.topics.enable=false\n\
             offsets.topic.num.partitions=1\n\
             offsets.topic.replication.factor=1\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=1\n\
             share.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\n\
             group.min.session.timeout.ms=1000\n\
             controlled.shutdown.enable=false\n\
             num.network.threads=2\n\
             num.io.threads=2\n\
             log.segment.bytes=67108864\n\
             log.retention.ms=-1\n\
             broker.heartbeat.interval.ms=500\n\
             broker.session.timeout.ms=3000\n",
            self.file("data").display()
        );
        let Some(tls) = &self.tls else {
            text += &format!(
                "listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller}\n\
                 advertised.listeners=PLAINTEXT://127.0.0.1:{plain}\n\
                 listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n"
            );
            return text;
        };
        let modules = "org.apache.kafka.common.security";
        text += &format!(
            "listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},\
             SECURE://127.0.0.1:{secure},MUTUAL://127.0.0.1:{mutual}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SECURE://localhost:{secure},MUTUAL://localhost:{mutual}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL,MUTUAL:SSL\n\
             ssl.keystore.type=PEM\n\
             ssl.keystore.location={}\n\
             ssl.truststore.type=PEM\n\
             ssl.truststore.location={}\n\
             listener.name.mutual.ssl.client.auth=required\n\
             listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n\
             listener.name.secure.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";\n\
             listener.name.secure.scram-sha-256.sasl.jaas.config={modules}.scram.ScramLoginModule required;\n\
             listener.name.secure.scram-sha-512.sasl.jaas.config={modules}.scram.ScramLoginModule required;\n",
            tls.broker.display(),
            tls.ca.display(),
        );
        text
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.home);
    }
}

fn patient() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(Duration::from_secs(10))).request_timeout(Some(PATIENCE))
}

fn wait_for_answer<T>(request: impl Future<Output = rdkafka::error::KafkaResult<T>>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(request).expect("the broker answers")
}

const LOG4J_PROPERTIES: &str = "\
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %m (%c)%n
";

fn or_say_so(started: Result<Apache, String>) -> Option<Apache> {
    match started {
        Ok(broker) => Some(broker),
        Err(reason) if std::env::var_os("FOGHORN_REQUIRE_KAFKA").is_some_and(|value| value == "1") => {
            panic!("Apache Kafka is required, and cannot be had: {reason}")
        }
        Err(reason) => {
            // Past the test harness, which keeps what a passing test prints to itself.
            let _ = writeln!(
                io::stderr(),
                "\n*** NOT TESTED ON APACHE KAFKA *** It cannot be had: {reason}\n\
                 *** Set FOGHORN_REQUIRE_KAFKA=1 to make this a failure.\n"
            );
            None
        }
    }
}

/// The folder with Kafka's jars; fetched on the first call on this machine.
fn jars() -> Result<&'static Path, String> {
    static JARS: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    JARS.get_or_init(fetch_jars).as_deref().map_err(Clone::clone)
}

fn fetch_jars() -> Result<PathBuf, String> {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kafka-{KAFKA}"));
    if kept.is_dir() {
        return Ok(kept);
    }
    // Fetched beside and moved into place, so that two binaries may do it at once, and half a download is none.
    let scratch = kept.with_extension(format!("{}.part", std::process::id()));
    fs::create_dir_all(&scratch).map_err(|error| error.to_string())?;
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>"
        )
    };
    let pom = format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>foghorn</groupId><artifactId>test-broker</artifactId><version>1</version><packaging>pom</packaging>\
         <dependencies>{}{}</dependencies></project>",
        dependency("org.apache.kafka", "kafka_2.13", KAFKA),
        dependency("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J),
    );
    fs::write(scratch.join("pom.xml"), pom).map_err(|error| error.to_string())?;
    let fetched = Command::new("mvn")
        .args(["--batch-mode", "--quiet", COPY_DEPENDENCIES, "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", scratch.display()))
        .current_dir(&scratch)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`mvn` does not start: {error}"))?;
    if !fetched.status.success() {
        let said = String::from_utf8_lossy(&fetched.stdout).into_owned();
        let _ = fs::remove_dir_all(&scratch);
        return Err(format!("`mvn` could not fetch it: {}", said.lines().take(5).collect::<Vec<_>>().join("\n")));
    }
    match fs::rename(&scratch, &kept) {
        Ok(()) => Ok(kept),
        // Another binary was first.
        Err(_) if kept.is_dir() => {
            let _ = fs::remove_dir_all(&scratch);
            Ok(kept)
        }
        Err(error) => Err(format!("the jars could not be kept: {error}")),
    }
}

/// A folder for one broker, named after us, and those of binaries that are gone removed.
fn new_home() -> io::Result<PathBuf> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("brokers");
    fs::create_dir_all(&all)?;
    for old in fs::read_dir(&all)?.flatten() {
        let name = old.file_name();
        let pid = name.to_str().and_then(|name| name.split('-').next()).and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(old.path());
        }
    }
    let home = all.join(format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir_all(&home)?;
    Ok(home)
}

/// Process groups to be killed when the test binary ends.
fn groups() -> &'static Mutex<Vec<i32>> {
    static GROUPS: Mutex<Vec<i32>> = Mutex::new(Vec::new());
    &GROUPS
}

extern "C" fn kill_all() {
    if let Ok(groups) = groups().lock() {
        for group in groups.iter() {
            // SAFETY: a plain system call; the groups are those of our children.
            unsafe { libc::killpg(*group, libc::SIGKILL) };
        }
    }
}

fn signal_group(child: &Child, signal: i32) {
    // SAFETY: a plain system call; the child is ours and not yet waited for, so its id is not another's.
    unsafe { libc::killpg(child.id() as i32, signal) };
}

/// Starts the command from the thread that never ends, see above.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static STARTER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        // SAFETY: registers a function that may run at any later time.
        unsafe { libc::atexit(kill_all) };
        let (orders, received) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in received {
                command.process_group(0);
                // SAFETY: `prctl` may be called between fork and exec.
                unsafe {
                    command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                        0 => Ok(()),
                        _ => Err(io::Error::last_os_error()),
                    });
                }
                let child = command.spawn();
                if let Ok(child) = &child {
                    groups().lock().expect("no panic here").push(child.id() as i32);
                }
                let _ = answer.send(child);
            }
        });
        orders
    });
    let (answer, answered) = mpsc::channel();
    starter.send((command, answer)).expect("the starter never ends");
    answered.recv().expect("the starter answers")
}

impl Ports {
    /// Four that were free a moment ago.
    fn free() -> Ports {
        let listeners: Vec<TcpListener> =
            (0..4).map(|_| TcpListener::bind("127.0.0.1:0").expect("loopback has free ports")).collect();
        let port = |n: usize| listeners[n].local_addr().expect("a bound address").port();
        Ports { plain: port(0), controller: port(1), secure: port(2), mutual: port(3) }
    }
}

impl TlsFiles {
    fn make(home: &Path) -> Result<TlsFiles, Box<dyn std::error::Error>> {
        use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
        let authority = |name: &str| {
            let mut params = CertificateParams::new(Vec::new())?;
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, name);
            CertifiedIssuer::self_signed(params, KeyPair::generate()?)
        };
        let ca = authority("test authority")?;
        let wrong = authority("another authority")?;
        let signed = |name: &str| -> Result<(String, String), rcgen::Error> {
            let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate()?;
            Ok((params.signed_by(&key, &ca)?.pem(), key.serialize_pem()))
        };
        let (broker, broker_key) = signed("broker")?;
        let (client, client_key) = signed("client")?;
        let write = |name: &str, text: String| fs::write(home.join(name), text).map(|()| home.join(name));
        Ok(TlsFiles {
            ca: write("ca.pem", ca.pem())?,
            wrong_ca: write("wrong-ca.pem", wrong.pem())?,
            client_certificate: write("client.pem", client)?,
            client_key: write("client-key.pem", client_key)?,
            broker: write("broker.pem", format!("{broker_key}{broker}{}", ca.pem()))?,
        })
    }
}

/// Waits until a port of the broker is closed: what a restart test wants to see before it goes on.
pub fn wait_until_down(bootstrap: &str) {
    wait_until("the broker's port to close", || std::net::TcpStream::connect(bootstrap).is_err());
}
