//! The configuration with every value valid, resolved and defaulted. Nothing in here says "not given" where a default
//! applies, and nothing can be in here that would fail later for being nonsense.

use std::path::PathBuf;
use std::sync::Arc;

use crate::alert::route::RouteTree;
use crate::engine::desk::{DeskBounds, DeskConfig, ReceiverPolicy};
use crate::model::schema::StreamSchema;
use crate::model::time::WallTime;
use crate::notify::config::SlackTarget;
use crate::notify::outbox::IntegrationPolicy;
use crate::notify::{Integration, Kind, Receiver, SecretRef};
use crate::rule::check::GROUP_LIMIT_DEFAULT;

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `None` where the configuration names no cluster: good for `check`, `replay` and `test`.
    pub kafka: Option<KafkaConfig>,
    /// In the order of the file, then those that rule files bring along.
    pub streams: Vec<StreamConfig>,
    pub routes: RouteTree,
    pub receivers: Vec<Receiver>,
    pub limits: Limits,
    pub server: ServerConfig,
    pub log: LogConfig,
    /// `None` for the number of cores.
    pub shards: Option<usize>,
}

impl Config {
    /// What the desk is told.
    pub fn desk(&self) -> DeskConfig {
        let receivers = self.receivers.iter().map(policy).collect();
        DeskConfig::new(self.routes.clone(), receivers, &self.server.external_url)
            .and_then(|desk| desk.with_bounds(self.limits.desk))
            .expect("receivers, routes and limits were checked")
    }
}

fn policy(receiver: &Receiver) -> ReceiverPolicy {
    let integrations = receiver.integrations.iter().map(integration_policy).collect();
    ReceiverPolicy { name: receiver.name.clone(), integrations }
}

fn integration_policy(integration: &Integration) -> IntegrationPolicy {
    let pace = match &integration.kind {
        // Slack counts by channel, whichever receiver posts there.
        Kind::Slack(slack) => Some(match &slack.target {
            SlackTarget::Webhook { url } => format!("slack {url}"),
            SlackTarget::Bot { token, channel, .. } => format!("slack {token} {channel}"),
        }),
        _ => None,
    };
    IntegrationPolicy {
        send_resolved: integration.send_resolved,
        min_interval: integration.min_interval(),
        pace: pace.map(Arc::from),
        concurrency: match &integration.kind {
            Kind::Email(email) => email.connections_max,
            Kind::Slack(_) | Kind::Console(_) => 1,
            Kind::PagerDuty(_) | Kind::Webhook(_) => IntegrationPolicy::new("").concurrency,
        },
        ..IntegrationPolicy::new(integration.kind_name())
    }
}

/// Bounds on memory that people may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Where a rule has no `limit` of its own.
    pub groups_per_rule: u32,
    pub desk: DeskBounds,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { groups_per_rule: GROUP_LIMIT_DEFAULT, desk: DeskBounds::default() }
    }
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
    /// Whether a broker's certificate must name the host that was connected to.
    pub verify_host: bool,
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
