//! The configuration file as it is written: a mirror, with nothing decided. Documentation of the keys stands here and
//! only here; `foghorn schema` and the README's reference are made from it.

mod notify;
mod stream;

pub use notify::*;
pub use stream::*;

use crate::config::defaults;
use crate::engine::desk::DeskBounds;
use crate::model::time::Millis;
use crate::rule::yaml::read::{At, Entries, OneOrMany, texts, yaml_choice, yaml_map};

yaml_map! {
    /// Foghorn's configuration. Relative paths are meant from this file's folder.
    pub struct RawConfig {
        /// The Kafka cluster that is read. May be left out where nothing is run against one (`check`, `replay`).
        pub kafka: RawKafka,
        /// Sources of events, by name.
        pub streams: Entries<RawStream>,
        /// Rule files: paths, folders (every `*.yaml` and `*.yml` in them and below), or patterns with `*`, `?` and `**`.
        pub rules: OneOrMany<At<String>>,
        /// Who is told what. Left out, alerts are routed by their label `severity`: critical to the receivers named
        /// `slack`, `pagerduty` and `email`, warning to `slack` and `email`, info to `slack`, as far as there are
        /// receivers with these names; everything else to the first receiver.
        pub route: RawRoute,
        /// Where notifications go. Left out, there is one named `console` that prints them.
        pub receivers: Vec<RawReceiver>,
        /// What all receivers share.
        pub global: RawGlobal,
        /// The page, the API and the metrics.
        pub server: RawServer,
        /// Foghorn's own log.
        pub log: RawLog,
        /// Threads that decode, aggregate and judge. The number of cores where not given.
        #[schemars(range(min = 1, max = 64))]
        pub shards: At<usize>,
        /// Bounds on memory.
        pub limits: RawLimits,
        /// Go by changes of this file and of rule files as they are made. SIGHUP and `POST /-/reload` work either way.
        #[schemars(extend("default" = true))]
        pub watch: At<bool>,
        /// What outlives the process. Left out, nothing does: there is no history.
        pub state: RawState,
    }
    elsewhere {
        "groups" ("rules"): "rules stand in files of their own, listed under `rules`",
        "rule_files" ("rules"): "rule files are listed under `rules`",
        "templates": "notification templates are built in",
        "inhibit_rules": "inhibition is not supported yet",
        "mute_time_intervals": "mute times are not supported yet",
        "time_intervals": "mute times are not supported yet",
        "brokers": "brokers stand under `kafka`",
        "topics": "topics stand under a stream: `streams: { NAME: { topics: … } }`",
        "history": "it stands under `state`: `state: { dir: …, history: { keep: 90d } }`",
    }
}

yaml_map! {
    /// A Kafka cluster.
    pub struct RawKafka {
        /// `host:port` of one or more brokers to begin with.
        #[schemars(required)]
        pub brokers: OneOrMany<At<String>>,
        /// The consumer group. Foghorn processes with the same group share the partitions.
        #[schemars(extend("default" = defaults::GROUP))]
        pub group: At<String>,
        /// The name under which brokers log and limit this client.
        #[schemars(extend("default" = defaults::GROUP))]
        pub client_id: At<String>,
        /// The topic through which partitions move from one Foghorn of the group to another, where all rules are `local`. It
        /// is compacted, and created where it is missing. `foghorn-handover-GROUP`, where not given.
        pub handover_topic: At<String>,
        /// Encrypt the connection. `tls: {}` is enough where the brokers' certificate is signed by a CA the system trusts.
        pub tls: RawTls,
        /// Log in.
        pub sasl: RawSasl,
        /// Where to begin on a partition without a committed position: `earliest`, `latest`, or a point in time such
        /// as `2026-03-01T00:00:00Z`.
        #[schemars(extend("default" = "latest"))]
        pub start: At<String>,
        /// Further settings for librdkafka, by its own names. Those that Foghorn's correctness hangs on are refused.
        #[schemars(default, schema_with = "texts")]
        pub properties: Entries<At<String>>,
    }
    elsewhere {
        "group_id": "the consumer group stands under `group`",
        "bootstrap_servers" ("brokers"): "brokers stand under `brokers`",
        "topics": "topics stand under a stream: `streams: { NAME: { topics: … } }`",
    }
}

yaml_map! {
    /// TLS towards the brokers.
    pub struct RawTls {
        /// PEM certificates of the CA that signed the brokers' certificates; the system's CAs where not given.
        pub ca_file: At<String>,
        /// PEM certificate that shows who we are.
        pub cert_file: At<String>,
        /// PEM private key of `cert_file`.
        pub key_file: At<String>,
        /// File with the password of `key_file`.
        pub key_password_file: At<String>,
        /// Environment variable with the password of `key_file`.
        pub key_password_env: At<String>,
        /// Whether a broker's certificate must name the host that was connected to.
        #[schemars(extend("default" = true))]
        pub verify_host: At<bool>,
    }
    elsewhere {
        "skip_verify": "name the CA in `ca_file`; where certificates name other hosts, say `verify_host: false`",
        "insecure_skip_verify": "name the CA in `ca_file`; where certificates name other hosts, say `verify_host: false`",
        "enabled": "`tls: {}` encrypts; leave `tls` out for plain text",
    }
    secrets {
        "key_password",
    }
}

yaml_map! {
    /// SASL log-in.
    pub struct RawSasl {
        /// How the password is proved.
        #[schemars(required)]
        pub mechanism: At<RawMechanism>,
        /// The user.
        #[schemars(required)]
        pub username: At<String>,
        /// File with the password.
        pub password_file: At<String>,
        /// Environment variable with the password.
        pub password_env: At<String>,
    }
    secrets {
        "password",
    }
}

yaml_choice! {
    /// How the password is proved.
    pub enum RawMechanism {
        Plain = "PLAIN",
        ScramSha256 = "SCRAM-SHA-256",
        ScramSha512 = "SCRAM-SHA-512",
    }
}

yaml_map! {
    /// The page, the API and the metrics.
    pub struct RawServer {
        /// Address and port; `0.0.0.0:9477` to be reachable from other machines. Port 0 is any free one, told in the log.
        #[schemars(extend("default" = defaults::LISTEN))]
        pub listen: At<String>,
        /// How people reach the page; notifications link there. `http://` and `listen` where not given.
        pub external_url: At<String>,
    }
}

yaml_map! {
    /// Foghorn's own log, on standard error.
    pub struct RawLog {
        /// `pretty` for people, `json` for machines.
        #[schemars(extend("default" = "pretty"))]
        pub format: At<RawLogFormat>,
        /// `error`, `warn`, `info`, `debug` or `trace`, also by module: `info,foghorn::edge=debug`.
        #[schemars(extend("default" = "info"))]
        pub level: At<String>,
        /// The value of `environment` in every line, such as `production`.
        pub environment: At<String>,
    }
}

yaml_choice! {
    pub enum RawLogFormat {
        Pretty = "pretty",
        Json = "json",
    }
}

yaml_map! {
    /// Bounds on memory.
    pub struct RawLimits {
        /// Groups one rule may watch, where the rule has no `limit` of its own.
        #[schemars(extend("default" = crate::rule::check::GROUP_LIMIT_DEFAULT))]
        pub groups_per_rule: At<u32>,
        /// Alerts known at once, pending ones included. Beyond it, a firing alert takes the place of a pending one.
        #[schemars(extend("default" = DeskBounds::default().alerts_max))]
        pub alerts: At<usize>,
        /// Groups of alerts at once. Beyond it, alerts go into one overflow group for each route.
        #[schemars(extend("default" = DeskBounds::default().groups_max))]
        pub alert_groups: At<usize>,
        /// Alerts shown in one notification. Beyond it, the changed ones are shown first and the rest is counted.
        #[schemars(extend("default" = DeskBounds::default().alerts_per_notification_max))]
        pub alerts_per_notification: At<usize>,
    }
}

yaml_map! {
    /// What outlives the process.
    pub struct RawState {
        /// A directory of Foghorn's own, on a disk of this machine. It is made where it is missing.
        #[schemars(required)]
        pub dir: At<String>,
        /// How often everything is written to a checkpoint, 1s to 10m; less often where that takes longer than a fortieth of
        /// the time. What came since is read again after a crash.
        #[schemars(extend("default" = defaults::CHECKPOINT_EVERY))]
        pub checkpoint_every: At<Millis>,
        /// Alerts, notifications, rule sets and operators' actions, for looking back.
        pub history: RawHistory,
    }
    elsewhere {
        "path" ("dir"): "the directory stands under `dir`",
        "checkpoint_interval" ("checkpoint_every"): "how often a checkpoint is taken stands under `checkpoint_every`",
    }
}

yaml_map! {
    /// How long and how much is remembered.
    pub struct RawHistory {
        /// Older records are removed.
        #[schemars(extend("default" = defaults::HISTORY_KEEP))]
        pub keep: At<Millis>,
        /// Beyond it, the oldest records are removed, however young. A record takes about a kilobyte.
        #[schemars(extend("default" = defaults::HISTORY_ROWS_MAX), range(min = 1))]
        pub max_rows: At<u64>,
    }
    elsewhere {
        "retention" ("keep"): "how long records are kept stands under `keep`",
        "max_age" ("keep"): "how long records are kept stands under `keep`",
    }
}
