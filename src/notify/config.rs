//! Integrations as checked values: where a notification goes and how. The names follow `alertmanager.yml`.
//!
//! Every struct is generic over how a secret is held: `SlackConfig<SecretRef>` is what a configuration says,
//! `SlackConfig<Secret>` can be sent with. [`Integration::resolve`] is the only bridge, so a request can not be built
//! from a configuration whose secrets were not looked up.

use std::path::PathBuf;
use std::sync::Arc;

use crate::model::time::Millis;
use crate::notify::secret::{Secret, SecretRef};

/// Slack's documented pace: one message a second for each channel (and for each incoming webhook).
pub const SLACK_INTERVAL: Millis = Millis(1_000);

/// A named list of integrations. A route names receivers; a delivery names one integration by its index.
#[derive(Clone, Debug, PartialEq)]
pub struct Receiver<S = SecretRef> {
    pub name: Arc<str>,
    pub integrations: Vec<Integration<S>>,
}

/// One way of reaching people.
#[derive(Clone, Debug, PartialEq)]
pub struct Integration<S = SecretRef> {
    /// Whether resolved alerts are told as well.
    pub send_resolved: bool,
    pub kind: Kind<S>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind<S = SecretRef> {
    Slack(SlackConfig<S>),
    Email(EmailConfig<S>),
    PagerDuty(PagerDutyConfig<S>),
    Webhook(WebhookConfig<S>),
    Console(ConsoleConfig),
}

/// How an HTTP receiver is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpOptions {
    /// From the first byte sent to the last byte read, for one request.
    pub timeout: Millis,
    pub connect_timeout: Millis,
    /// PEM certificates trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    pub insecure_skip_verify: bool,
    /// Honour `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`. Loopback addresses are always reached directly.
    pub proxy_from_environment: bool,
}

impl Default for HttpOptions {
    fn default() -> Self {
        HttpOptions {
            timeout: Millis::from_secs(10),
            connect_timeout: Millis::from_secs(5),
            ca_file: None,
            insecure_skip_verify: false,
            proxy_from_environment: true,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct SlackConfig<S = SecretRef> {
    pub target: SlackTarget<S>,
    /// The sender's name and icon, where the workspace lets an app choose them.
    pub username: Option<String>,
    pub icon_emoji: Option<String>,
    /// Whom a message about newly firing alerts calls: `here`, `channel`, a user id (`U…`, `W…`) or a user group id
    /// (`S…`).
    pub mention: Option<String>,
    /// Thread replies about newly firing alerts and reminders are shown in the channel as well: an updated message
    /// and a thread reply alone notify nobody. Bot token only.
    pub broadcast: bool,
    pub http: HttpOptions,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SlackTarget<S = SecretRef> {
    /// An incoming webhook: every notification is a message of its own.
    Webhook { url: S },
    /// A bot token (`chat:write`): one message for the life of a group, kept up to date, with replies in its thread.
    Bot { token: S, channel: String, api_url: String },
}

/// The Web API of Slack proper.
pub const SLACK_API_URL: &str = "https://slack.com/api";

impl<S> SlackConfig<S> {
    pub fn new(target: SlackTarget<S>) -> Self {
        SlackConfig {
            target,
            username: None,
            icon_emoji: None,
            mention: None,
            broadcast: true,
            http: HttpOptions::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct EmailConfig<S = SecretRef> {
    /// Mailboxes: `oncall@example.org` or `On call <oncall@example.org>`. One mail to all of them.
    pub to: Vec<String>,
    pub from: String,
    pub reply_to: Option<String>,
    /// Host and port of the server that takes the mail.
    pub smarthost: (String, u16),
    /// What `EHLO` says; the local host name where absent.
    pub hello: Option<String>,
    pub tls: SmtpTls,
    pub auth: Option<SmtpAuth<S>>,
    /// PEM certificates trusted besides the built-in roots.
    pub ca_file: Option<PathBuf>,
    pub insecure_skip_verify: bool,
    /// Further headers; they replace ours of the same name, except those that make up the thread.
    pub headers: Vec<(String, String)>,
    /// `List-Id`, for people's filters.
    pub list_id: Option<String>,
    /// One subject for the life of a group, without status and counts: Gmail threads by subject as well as by
    /// `References`.
    pub stable_subject: bool,
    /// For the whole conversation with the server.
    pub timeout: Millis,
    /// Conversations with this server at the same time.
    pub connections_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// In the clear. Credentials are refused over it, except to a loopback address.
    Plain,
    /// Upgraded before anything is said; a server that does not offer it is not spoken to.
    StartTls,
    /// From the first byte (port 465).
    Implicit,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SmtpAuth<S = SecretRef> {
    pub username: String,
    pub password: S,
    /// `None` takes what the server offers, PLAIN before LOGIN.
    pub mechanism: Option<SmtpMechanism>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpMechanism {
    Plain,
    Login,
}

impl<S> EmailConfig<S> {
    pub fn new(from: impl Into<String>, to: Vec<String>, host: impl Into<String>, port: u16) -> Self {
        EmailConfig {
            to,
            from: from.into(),
            reply_to: None,
            smarthost: (host.into(), port),
            hello: None,
            tls: if port == 465 { SmtpTls::Implicit } else { SmtpTls::StartTls },
            auth: None,
            ca_file: None,
            insecure_skip_verify: false,
            headers: Vec::new(),
            list_id: None,
            stable_subject: false,
            timeout: Millis::from_secs(30),
            connections_max: 2,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct PagerDutyConfig<S = SecretRef> {
    /// The integration key of an Events API v2 integration.
    pub routing_key: S,
    pub url: String,
    pub client: String,
    /// Where `client` links to; Foghorn's page where absent.
    pub client_url: Option<String>,
    /// The label that says how bad it is.
    pub severity_label: String,
    /// Values of that label, besides the usual spellings that [`PagerDutySeverity::usual`] knows.
    pub severities: Vec<(String, PagerDutySeverity)>,
    /// For alerts without the label or with a value nobody mapped.
    pub severity_default: PagerDutySeverity,
    /// The labels an event's fields are taken from: the first that all firing alerts share.
    pub source: Vec<String>,
    pub component: Vec<String>,
    pub group: Vec<String>,
    pub class: Vec<String>,
    pub http: HttpOptions,
}

/// PagerDuty's four, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PagerDutySeverity {
    Info,
    Warning,
    Error,
    Critical,
}

impl PagerDutySeverity {
    pub const fn name(self) -> &'static str {
        match self {
            PagerDutySeverity::Info => "info",
            PagerDutySeverity::Warning => "warning",
            PagerDutySeverity::Error => "error",
            PagerDutySeverity::Critical => "critical",
        }
    }

    /// The spellings people use, in any case.
    pub fn usual(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "critical" | "crit" | "page" | "fatal" | "emergency" | "disaster" | "p1" | "sev1" => {
                Some(PagerDutySeverity::Critical)
            }
            "error" | "err" | "high" | "major" | "p2" | "sev2" => Some(PagerDutySeverity::Error),
            "warning" | "warn" | "minor" | "medium" | "ticket" | "p3" | "sev3" => Some(PagerDutySeverity::Warning),
            "info" | "information" | "informational" | "notice" | "low" | "none" | "debug" | "p4" | "p5" | "sev4"
            | "sev5" => Some(PagerDutySeverity::Info),
            _ => None,
        }
    }
}

/// The Events API v2 of PagerDuty proper.
pub const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";

impl<S> PagerDutyConfig<S> {
    pub fn new(routing_key: S) -> Self {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        PagerDutyConfig {
            routing_key,
            url: PAGERDUTY_URL.to_owned(),
            client: "Foghorn".to_owned(),
            client_url: None,
            severity_label: "severity".to_owned(),
            severities: Vec::new(),
            severity_default: PagerDutySeverity::Error,
            source: names(&["instance", "host", "service", "job"]),
            component: names(&["component", "service", "endpoint"]),
            group: names(&["cluster", "team", "env"]),
            class: names(&["alertname"]),
            http: HttpOptions::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct WebhookConfig<S = SecretRef> {
    /// May carry a token, so it is treated as a secret.
    pub url: S,
    pub auth: Option<HttpAuth<S>>,
    /// Further headers.
    pub headers: Vec<(String, S)>,
    /// Alerts in one message; 0 for all. The rest is counted in `truncatedAlerts`.
    pub max_alerts: usize,
    /// Adds the field `foghorn` to each alert: rule, value and evidence. Consumers of Alertmanager's format pass
    /// over fields they do not know.
    pub evidence: bool,
    pub http: HttpOptions,
}

impl<S> WebhookConfig<S> {
    pub fn new(url: S) -> Self {
        WebhookConfig {
            url,
            auth: None,
            headers: Vec::new(),
            max_alerts: 0,
            evidence: true,
            http: HttpOptions::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum HttpAuth<S = SecretRef> {
    Basic {
        username: String,
        password: S,
    },
    /// `Authorization: SCHEME CREDENTIALS`, with `Bearer` as the usual scheme.
    Authorization {
        scheme: String,
        credentials: S,
    },
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConsoleConfig {
    pub colour: Colour,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// Where the output is a terminal that wants them.
    #[default]
    Auto,
    Always,
    Never,
}

impl<S> Integration<S> {
    pub fn new(kind: Kind<S>) -> Self {
        Integration { send_resolved: true, kind }
    }

    /// The kind's name in configuration, metrics and logs.
    pub fn kind_name(&self) -> &'static str {
        match &self.kind {
            Kind::Slack(_) => "slack",
            Kind::Email(_) => "email",
            Kind::PagerDuty(_) => "pagerduty",
            Kind::Webhook(_) => "webhook",
            Kind::Console(_) => "console",
        }
    }

    /// The least time between two deliveries to this integration.
    pub fn min_interval(&self) -> Millis {
        match &self.kind {
            Kind::Slack(_) => SLACK_INTERVAL,
            _ => Millis::ZERO,
        }
    }

    /// The same integration with its secrets looked up, or the first failure.
    pub fn resolve<E>(&self, mut look_up: impl FnMut(&S) -> Result<Secret, E>) -> Result<Integration<Secret>, E> {
        let kind = match &self.kind {
            Kind::Slack(config) => Kind::Slack(config.resolve(&mut look_up)?),
            Kind::Email(config) => Kind::Email(config.resolve(&mut look_up)?),
            Kind::PagerDuty(config) => Kind::PagerDuty(config.resolve(&mut look_up)?),
            Kind::Webhook(config) => Kind::Webhook(config.resolve(&mut look_up)?),
            Kind::Console(config) => Kind::Console(config.clone()),
        };
        Ok(Integration { send_resolved: self.send_resolved, kind })
    }

    /// Everything in here that must not be seen.
    pub fn secrets(&self) -> Vec<&S> {
        match &self.kind {
            Kind::Slack(config) => match &config.target {
                SlackTarget::Webhook { url } => vec![url],
                SlackTarget::Bot { token, .. } => vec![token],
            },
            Kind::Email(config) => config.auth.iter().map(|auth| &auth.password).collect(),
            Kind::PagerDuty(config) => vec![&config.routing_key],
            Kind::Webhook(config) => {
                let auth = config.auth.iter().map(|auth| match auth {
                    HttpAuth::Basic { password, .. } => password,
                    HttpAuth::Authorization { credentials, .. } => credentials,
                });
                std::iter::once(&config.url).chain(auth).chain(config.headers.iter().map(|(_, value)| value)).collect()
            }
            Kind::Console(_) => Vec::new(),
        }
    }
}

impl Integration<Secret> {
    /// `text` without any secret of this integration (`N1`).
    pub fn scrub(&self, text: &str) -> String {
        self.secrets().into_iter().fold(text.to_owned(), |text, secret| secret.scrub(&text))
    }
}

impl<S> SlackConfig<S> {
    fn resolve<E>(&self, look_up: &mut impl FnMut(&S) -> Result<Secret, E>) -> Result<SlackConfig<Secret>, E> {
        Ok(SlackConfig {
            target: match &self.target {
                SlackTarget::Webhook { url } => SlackTarget::Webhook { url: look_up(url)? },
                SlackTarget::Bot { token, channel, api_url } => {
                    SlackTarget::Bot { token: look_up(token)?, channel: channel.clone(), api_url: api_url.clone() }
                }
            },
            username: self.username.clone(),
            icon_emoji: self.icon_emoji.clone(),
            mention: self.mention.clone(),
            broadcast: self.broadcast,
            http: self.http.clone(),
        })
    }
}

impl<S> EmailConfig<S> {
    fn resolve<E>(&self, look_up: &mut impl FnMut(&S) -> Result<Secret, E>) -> Result<EmailConfig<Secret>, E> {
        let auth = match &self.auth {
            Some(auth) => Some(SmtpAuth {
                username: auth.username.clone(),
                password: look_up(&auth.password)?,
                mechanism: auth.mechanism,
            }),
            None => None,
        };
        Ok(EmailConfig {
            to: self.to.clone(),
            from: self.from.clone(),
            reply_to: self.reply_to.clone(),
            smarthost: self.smarthost.clone(),
            hello: self.hello.clone(),
            tls: self.tls,
            auth,
            ca_file: self.ca_file.clone(),
            insecure_skip_verify: self.insecure_skip_verify,
            headers: self.headers.clone(),
            list_id: self.list_id.clone(),
            stable_subject: self.stable_subject,
            timeout: self.timeout,
            connections_max: self.connections_max,
        })
    }
}

impl<S> PagerDutyConfig<S> {
    fn resolve<E>(&self, look_up: &mut impl FnMut(&S) -> Result<Secret, E>) -> Result<PagerDutyConfig<Secret>, E> {
        Ok(PagerDutyConfig {
            routing_key: look_up(&self.routing_key)?,
            url: self.url.clone(),
            client: self.client.clone(),
            client_url: self.client_url.clone(),
            severity_label: self.severity_label.clone(),
            severities: self.severities.clone(),
            severity_default: self.severity_default,
            source: self.source.clone(),
            component: self.component.clone(),
            group: self.group.clone(),
            class: self.class.clone(),
            http: self.http.clone(),
        })
    }
}

impl<S> WebhookConfig<S> {
    fn resolve<E>(&self, look_up: &mut impl FnMut(&S) -> Result<Secret, E>) -> Result<WebhookConfig<Secret>, E> {
        let auth = match &self.auth {
            Some(HttpAuth::Basic { username, password }) => {
                Some(HttpAuth::Basic { username: username.clone(), password: look_up(password)? })
            }
            Some(HttpAuth::Authorization { scheme, credentials }) => {
                Some(HttpAuth::Authorization { scheme: scheme.clone(), credentials: look_up(credentials)? })
            }
            None => None,
        };
        let headers =
            self.headers.iter().map(|(name, value)| Ok((name.clone(), look_up(value)?))).collect::<Result<_, E>>()?;
        Ok(WebhookConfig {
            url: look_up(&self.url)?,
            auth,
            headers,
            max_alerts: self.max_alerts,
            evidence: self.evidence,
            http: self.http.clone(),
        })
    }
}
