//! The configuration with every value valid, resolved and defaulted. Nothing in here says "not given" where a default
//! applies, and nothing can be in here that would fail later for being nonsense.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::alert::route::RouteTree;
use crate::edge::history::Retention;
use crate::edge::kafka::{self, KafkaSettings, SaslMechanism, Start};
use crate::engine::desk::{DeskBounds, DeskConfig, ReceiverPolicy};
use crate::model::schema::StreamSchema;
use crate::model::time::Millis;
use crate::notify::config::SlackTarget;
use crate::notify::outbox::IntegrationPolicy;
use crate::notify::{Integration, Kind, Receiver, Secret, SecretRef};
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
    /// Whether changes of files are gone by as they are made.
    pub watch: bool,
    /// `None` where nothing outlives the process.
    pub state: Option<StateConfig>,
}

/// What outlives the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateConfig {
    pub dir: PathBuf,
    pub checkpoint_every: Millis,
    pub history: Retention,
}

impl Config {
    /// What the desk is told.
    pub fn desk(&self) -> DeskConfig {
        desk_config(self.routes.clone(), &self.receivers, &self.server.external_url, self.limits.desk)
    }
}

/// What a desk with these receivers is told. They must have been checked against the routes.
pub fn desk_config(routes: RouteTree, receivers: &[Receiver], external_url: &str, bounds: DeskBounds) -> DeskConfig {
    DeskConfig::new(routes, receivers.iter().map(policy).collect(), external_url)
        .and_then(|desk| desk.with_bounds(bounds))
        .expect("receivers, routes and limits were checked")
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
    /// Where partitions are handed over between members, where all rules are local; see [`KafkaConfig::handover`].
    pub handover_topic: Option<Arc<str>>,
    pub tls: Option<TlsConfig>,
    pub sasl: Option<SaslConfig>,
    /// Where to begin on a partition without a committed position.
    pub start: Start,
    /// librdkafka's own settings, known to it and none of those that are ours.
    pub properties: BTreeMap<String, String>,
}

impl KafkaConfig {
    /// The topic through which partitions move: the one that is named, or one after the group.
    ///
    /// # Errors
    /// None is named, and a topic cannot be called like the group.
    pub fn handover(&self) -> Result<Arc<str>, String> {
        if let Some(topic) = &self.handover_topic {
            return Ok(topic.clone());
        }
        let topic = format!("foghorn-handover-{}", self.group);
        match kafka::topics::check(&topic) {
            Ok(()) => Ok(topic.into()),
            Err(why) => Err(format!(
                "partitions cannot be handed over through a topic `{topic}`, called after the group: {why}; name another in \
                 `kafka.handover_topic`"
            )),
        }
    }

    /// What the Kafka client is told, with its secrets looked up, or the first failure.
    pub fn settings<E>(&self, mut look_up: impl FnMut(&SecretRef) -> Result<Secret, E>) -> Result<KafkaSettings, E> {
        let mut reveal = |secret: &SecretRef| Ok(kafka::Secret::new(look_up(secret)?.expose()));
        let mut settings = KafkaSettings::new(self.brokers.iter().cloned(), self.group.clone());
        settings.client_id = self.client_id.clone();
        settings.start = self.start;
        settings.properties = self.properties.clone();
        if let Some(tls) = &self.tls {
            let identity = match &tls.identity {
                None => None,
                Some(identity) => Some(kafka::TlsIdentity {
                    certificate: identity.cert_file.clone(),
                    key: identity.key_file.clone(),
                    key_password: identity.key_password.as_ref().map(&mut reveal).transpose()?,
                }),
            };
            settings.tls = Some(kafka::Tls { ca: tls.ca_file.clone(), identity, verify_host: tls.verify_host });
        }
        if let Some(sasl) = &self.sasl {
            settings.sasl = Some(kafka::Sasl {
                mechanism: sasl.mechanism,
                username: sasl.username.clone(),
                password: reveal(&sasl.password)?,
            });
        }
        Ok(settings)
    }
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

/// A stream and where it is read from.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamConfig {
    pub schema: Arc<StreamSchema>,
    /// Names, and regular expressions that begin with `^`. Empty where the stream is only replayed.
    pub topics: Vec<String>,
    /// The topic for what cannot be decoded.
    pub dead_letter: Option<Arc<str>>,
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
