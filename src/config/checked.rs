//! The configuration with every value valid, resolved and defaulted. Nothing in here says "not given" where a default
//! applies, and nothing can be in here that would fail later for being nonsense.

use std::path::PathBuf;
use std::sync::Arc;

use crate::model::schema::StreamSchema;
use crate::model::time::WallTime;
use crate::notify::{Receiver, SecretRef};

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `None` where the configuration names no cluster: good for `check`, `replay` and `test`.
    pub kafka: Option<KafkaConfig>,
    /// In the order of the file, then those that rule files bring along.
    pub streams: Vec<StreamConfig>,
    pub receivers: Vec<Receiver>,
    pub server: ServerConfig,
    pub log: LogConfig,
    /// `None` for the number of cores.
    pub shards: Option<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct KafkaConfig {
    /// `host:port`, at least one.
    pub brokers: Vec<String>,
    pub group: String,
    pub client_id: String,
    pub tls: Option<TlsConfig>,
    pub sasl: Option<SaslConfig>,
    pub start: StartAt,
    /// librdkafka's own settings, none of those that are ours ([`super::check::kafka::OWNED`]).
    pub properties: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TlsConfig {
    /// `None` for the system's CAs.
    pub ca_file: Option<PathBuf>,
    pub identity: Option<TlsIdentity>,
    pub skip_verify: bool,
}

/// A client certificate.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsIdentity {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    pub key_password: Option<SecretRef>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SaslConfig {
    pub mechanism: SaslMechanism,
    pub username: String,
    pub password: SecretRef,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

impl SaslMechanism {
    /// librdkafka's name.
    pub const fn name(self) -> &'static str {
        match self {
            SaslMechanism::Plain => "PLAIN",
            SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
            SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Where to begin on a partition without a committed position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    Earliest,
    Latest,
    /// The first record with this timestamp or a later one.
    Time(WallTime),
}

/// A stream and where it is read from.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamConfig {
    pub schema: Arc<StreamSchema>,
    pub topics: Topics,
    /// The topic for what cannot be decoded.
    pub dead_letter: Option<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topics {
    /// Not read from Kafka: the stream is only replayed.
    None,
    Names(Vec<Arc<str>>),
    /// A regular expression that begins with `^`.
    Pattern(Arc<str>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// `host:port`.
    pub listen: String,
    /// Without a trailing slash.
    pub external_url: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub format: LogFormat,
    /// A filter in `tracing`'s syntax, valid.
    pub level: String,
    pub environment: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Pretty,
    Json,
}
