//! How to reach a cluster, and what of librdkafka's configuration Foghorn keeps to itself.
//!
//! Defaults were measured, not guessed. The one that surprises is `fetch.queue.backoff.ms`: a partition whose queue is
//! full is looked at again only after that time, and librdkafka's default is a whole second.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rdkafka::ClientConfig;

use super::KafkaError;
use super::leaders::STATISTICS_EVERY;

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Secret(value.into())
    }

    /// The value itself, for the client library alone.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// A cluster and how Foghorn presents itself to it.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `host:port` each; the first that answers tells of the others.
    pub brokers: Vec<String>,
    /// Members of one group share the partitions.
    pub group: String,
    pub client_id: String,
    /// The name of this member over restarts (`group.instance.id`): Kafka gives its partitions back at once, instead of
    /// waiting for the session of the process before to end. `None` for a member that leaves with its process.
    pub instance: Option<String>,
    /// TLS where set, plain text otherwise.
    pub tls: Option<Tls>,
    pub sasl: Option<Sasl>,
    /// Where to begin in a partition for which the group has committed nothing. Where it has, and Kafka does not hold that
    /// any more, reading goes on at what is left, whatever this says.
    pub start: Start,
    /// librdkafka properties by name, on top of ours. Those of [`OWNED_PROPERTIES`] are refused.
    pub properties: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of the authorities to trust; `None` trusts those of the operating system.
    pub ca: Option<PathBuf>,
    /// Who we are, where brokers ask for a client certificate.
    pub identity: Option<TlsIdentity>,
    /// Whether the broker's certificate must name the host we connected to.
    pub verify_host: bool,
}

impl Default for Tls {
    fn default() -> Self {
        Tls { ca: None, identity: None, verify_host: true }
    }
}

/// A client certificate with its key, PEM files both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsIdentity {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub key_password: Option<Secret>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sasl {
    pub mechanism: SaslMechanism,
    pub username: String,
    pub password: Secret,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

impl SaslMechanism {
    /// Kafka's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            SaslMechanism::Plain => "PLAIN",
            SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
            SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    Earliest,
    /// Only what is written from now on.
    #[default]
    Latest,
    /// The first record whose timestamp is this or later, epoch milliseconds.
    Timestamp(i64),
}

/// Properties that are not for the configuration, each with the reason told to whoever tries.
pub const OWNED_PROPERTIES: &[(&str, &str)] = &[
    ("bootstrap.servers", "name the brokers in `brokers`"),
    ("metadata.broker.list", "name the brokers in `brokers`"),
    ("group.id", "name the group in `group`"),
    ("client.id", "name the client in `client_id`"),
    ("statistics.interval.ms", "Foghorn reads the statistics itself, once a second"),
    ("security.protocol", "it follows from `tls` and `sasl`"),
    ("ssl.ca.location", "name the file in `tls`"),
    ("ssl.certificate.location", "name the file in `tls`"),
    ("ssl.key.location", "name the file in `tls`"),
    ("ssl.key.password", "give it in `tls`, where it is kept secret"),
    ("ssl.endpoint.identification.algorithm", "say so in `tls`"),
    ("sasl.mechanism", "name it in `sasl`"),
    ("sasl.mechanisms", "name it in `sasl`"),
    ("sasl.username", "give it in `sasl`"),
    ("sasl.password", "give it in `sasl`, where it is kept secret"),
    ("auto.offset.reset", "say where to begin in `start`"),
    ("enable.auto.commit", "positions are committed after the state that holds them is safe, never by a timer"),
    ("auto.commit.enable", "positions are committed after the state that holds them is safe, never by a timer"),
    ("enable.auto.offset.store", "positions are committed after the state that holds them is safe, never by a timer"),
    ("enable.partition.eof", "Foghorn must know when a partition is read to its end, for watermarks"),
    ("plugin.library.paths", "Foghorn loads no code at run time"),
    ("test.mock.num.brokers", "use `foghorn demo` for a cluster inside the process"),
];

/// Properties whose names begin like this reach producers too; the others are a consumer's business.
const CONNECTION_PREFIXES: &[&str] = &[
    "socket.",
    "ssl.",
    "enable.ssl",
    "sasl.",
    "broker.",
    "reconnect.",
    "client.",
    "connections.",
    "metadata.",
    "debug",
    "api.",
];

/// Topics that brokers keep for themselves: a pattern such as `^.*` does not mean them.
const INTERNAL_TOPICS: &str = "^__consumer_offsets$,^__transaction_state$,^__share_group_state$,^__cluster_metadata$";

const FETCH_WAIT: &str = "fetch.wait.max.ms";

const CONSUMER_DEFAULTS: &[(&str, &str)] = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    // A fetch queue that was full is looked at again after this; librdkafka's 1000 idles the fetcher.
    ("fetch.queue.backoff.ms", "5"),
    // The bound that counts is the one in bytes: 10,000 messages here is ten times slower.
    ("queued.min.messages", "1000000"),
    // Prefetched payload bytes a shard; with small records librdkafka needs two or three times as much memory for them.
    // More does not make it faster, nor does a larger `fetch.message.max.bytes` than its default of 1 MiB (4 MiB is
    // slower: it leaves the cache).
    ("queued.max.messages.kbytes", "16384"),
    (FETCH_WAIT, "50"),
    // A damaged record must not become a wrong alert; costs about 10 % of the client's CPU.
    ("check.crcs", "true"),
    // How soon a new topic that a pattern matches, or a new partition, is seen.
    ("topic.metadata.refresh.interval.ms", "30000"),
    ("topic.blacklist", INTERNAL_TOPICS),
    ("statistics.interval.ms", STATISTICS_EVERY),
];

impl KafkaSettings {
    /// Plain text, no authentication.
    pub fn new(brokers: impl IntoIterator<Item = impl Into<String>>, group: impl Into<String>) -> Self {
        KafkaSettings {
            brokers: brokers.into_iter().map(Into::into).collect(),
            group: group.into(),
            client_id: "foghorn".into(),
            instance: None,
            tls: None,
            sasl: None,
            start: Start::default(),
            properties: BTreeMap::new(),
        }
    }

    /// The configuration of a consumer, with every property checked.
    pub fn consumer(&self) -> Result<ClientConfig, KafkaError> {
        if self.group.trim().is_empty() {
            return Err(KafkaError::NoGroup);
        }
        let mut config = self.connection()?;
        set_all(&mut config, CONSUMER_DEFAULTS);
        // The group protocol of KIP-848 leaves the assignment to the broker, and refuses to hear of an assignor.
        if self.properties.get("group.protocol").is_none_or(|protocol| protocol != "consumer") {
            config.set("partition.assignment.strategy", "cooperative-sticky");
        }
        config.set("group.id", &self.group);
        if let Some(instance) = &self.instance {
            config.set("group.instance.id", instance);
        }
        // Where to start is resolved by us; this is for a position that Kafka does not hold (`gaps`).
        config.set("auto.offset.reset", "earliest");
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        checked(config)
    }

    /// How long a broker may take over an answer where there is nothing to read.
    pub fn fetch_wait(&self) -> Duration {
        let of_ours = CONSUMER_DEFAULTS.iter().find(|(name, _)| *name == FETCH_WAIT).map(|(_, value)| *value);
        let value = self.properties.get(FETCH_WAIT).map(String::as_str).or(of_ours);
        value.and_then(|value| value.parse().ok()).map_or(Duration::ZERO, Duration::from_millis)
    }

    /// The configuration of a producer: the connection and `extra`.
    pub fn producer(&self, extra: &[(&str, &str)]) -> Result<ClientConfig, KafkaError> {
        let mut config = self.connection()?;
        set_all(&mut config, extra);
        let connects = |name: &str| CONNECTION_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        for (name, value) in self.properties.iter().filter(|(name, _)| connects(name)) {
            config.set(name, value);
        }
        checked(config)
    }

    /// Brokers, TLS and SASL.
    pub(super) fn connection(&self) -> Result<ClientConfig, KafkaError> {
        let brokers: Vec<&str> = self.brokers.iter().map(|broker| broker.trim()).filter(|b| !b.is_empty()).collect();
        if brokers.is_empty() {
            return Err(KafkaError::NoBrokers);
        }
        for (name, reason) in OWNED_PROPERTIES {
            if self.properties.contains_key(*name) {
                return Err(KafkaError::OwnedProperty { name: (*name).to_owned(), reason });
            }
        }
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers.join(","));
        config.set("client.id", &self.client_id);
        // librdkafka reports dropped connections as errors; idle ones are none.
        config.set("log.connection.close", "false");
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            tls.apply(&mut config)?;
        }
        if let Some(sasl) = &self.sasl {
            config.set("sasl.mechanisms", sasl.mechanism.name());
            config.set("sasl.username", &sasl.username);
            config.set("sasl.password", sasl.password.reveal());
        }
        Ok(config)
    }
}

impl Tls {
    fn apply(&self, config: &mut ClientConfig) -> Result<(), KafkaError> {
        match &self.ca {
            Some(path) => config.set("ssl.ca.location", readable("CA file", path)?),
            // A vendored OpenSSL does not know where the system keeps its authorities.
            None => config.set("ssl.ca.location", "probe"),
        };
        config.set("ssl.endpoint.identification.algorithm", if self.verify_host { "https" } else { "none" });
        let Some(identity) = &self.identity else { return Ok(()) };
        config.set("ssl.certificate.location", readable("client certificate", &identity.certificate)?);
        config.set("ssl.key.location", readable("client key", &identity.key)?);
        if let Some(password) = &identity.key_password {
            config.set("ssl.key.password", password.reveal());
        }
        Ok(())
    }
}

/// The path as librdkafka wants it, once we know the file can be opened: its own words for that are hard to read.
fn readable(what: &'static str, path: &Path) -> Result<String, KafkaError> {
    let file = |source| KafkaError::File { what, path: path.to_owned(), source };
    std::fs::File::open(path).map_err(file)?;
    let text = path.to_str().ok_or_else(|| file(std::io::Error::other("the path is not valid UTF-8")))?;
    Ok(text.to_owned())
}

fn set_all(config: &mut ClientConfig, properties: &[(&str, &str)]) {
    for (name, value) in properties {
        config.set(*name, *value);
    }
}

/// Lets librdkafka look at every name and value.
fn checked(config: ClientConfig) -> Result<ClientConfig, KafkaError> {
    match config.create_native_config() {
        Ok(_) => Ok(config),
        Err(rdkafka::error::KafkaError::ClientConfig(_, reason, name, _)) => {
            // librdkafka quotes the value.
            let reason = if is_secret(&name) { "its value is not valid".to_owned() } else { reason };
            Err(KafkaError::Property { name, reason })
        }
        Err(other) => Err(KafkaError::Client(other.to_string())),
    }
}

fn is_secret(name: &str) -> bool {
    ["password", "secret", "key", "pem", "token", "jaas"].iter().any(|word| name.contains(word))
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: BTreeMap<&str, &str> = self
            .properties
            .iter()
            .map(|(name, value)| (name.as_str(), if is_secret(name) { "(secret)" } else { value.as_str() }))
            .collect();
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("group", &self.group)
            .field("client_id", &self.client_id)
            .field("instance", &self.instance)
            .field("tls", &self.tls)
            .field("sasl", &self.sasl)
            .field("start", &self.start)
            .field("properties", &shown)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: &KafkaSettings, expect: &str) {
        let got = match settings.consumer() {
            Ok(config) => {
                let shown = |(name, value): (&str, &str)| {
                    let default = CONSUMER_DEFAULTS.contains(&(name, value));
                    (!default).then(|| format!("{name}={value}"))
                };
                config.config_map().into_iter().filter_map(shown).collect::<Vec<_>>().join("\n")
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expect);
    }

    fn with(name: &str, value: &str) -> KafkaSettings {
        let mut settings = KafkaSettings::new(["k:9092"], "g");
        settings.properties.insert(name.into(), value.into());
        settings
    }

    #[test]
    fn settings_become_properties_and_what_we_own_is_refused_with_the_reason() {
        check(
            &KafkaSettings { start: Start::Timestamp(5), ..with("max.poll.interval.ms", "60000") },
            "auto.offset.reset=earliest\nbootstrap.servers=k:9092\nclient.id=foghorn\ngroup.id=g\n\
             log.connection.close=false\nmax.poll.interval.ms=60000\n\
             partition.assignment.strategy=cooperative-sticky\nsecurity.protocol=plaintext",
        );
        check(&KafkaSettings::new([" "], "g"), "no brokers are given; name at least one as `host:port`");
        check(
            &KafkaSettings::new(["k:1"], ""),
            "no consumer group is given; name one, so that positions can be kept and partitions shared",
        );
        check(
            &with("enable.auto.commit", "true"),
            "the Kafka property `enable.auto.commit` is not yours to set: positions are committed after the state that \
             holds them is safe, never by a timer",
        );
        check(
            &with("no.such.thing", "1"),
            "the Kafka client does not take the property `no.such.thing`: No such configuration property: \
             \"no.such.thing\"",
        );
        check(
            &KafkaSettings {
                tls: Some(Tls { ca: Some("/no/such/ca.pem".into()), ..Tls::default() }),
                ..with("a", "b")
            },
            "cannot read the CA file `/no/such/ca.pem`; check the path and its permissions",
        );
    }

    #[test]
    fn every_owned_property_is_one_librdkafka_knows_and_is_refused() {
        for (name, _) in OWNED_PROPERTIES {
            assert!(matches!(with(name, "x").consumer(), Err(KafkaError::OwnedProperty { .. })), "{name}");
            let mut config = ClientConfig::new();
            config.set(*name, "x");
            let unknown = matches!(config.create_native_config(),
                Err(rdkafka::error::KafkaError::ClientConfig(_, reason, _, _)) if reason.starts_with("No such configuration"));
            assert!(!unknown, "{name} is not a property of librdkafka any more");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut settings = with("ssl.keystore.password", "hunter2");
        settings.sasl = Some(Sasl {
            mechanism: SaslMechanism::ScramSha256,
            username: "ada".into(),
            password: Secret::new("hunter2"),
        });
        settings.tls = Some(Tls {
            identity: Some(TlsIdentity {
                certificate: "c".into(),
                key: "k".into(),
                key_password: Some(Secret::new("hunter2")),
            }),
            ..Tls::default()
        });
        let printed = format!("{settings:?} {settings:#?}");
        assert!(printed.contains("ada") && !printed.contains("hunter2"), "{printed}");
        let bad = with("sasl.oauthbearer.client.secret", "hunter2").consumer().map(|_| ()).map_err(|e| e.to_string());
        assert!(!format!("{bad:?}").contains("hunter2"), "{bad:?}");
    }
}
