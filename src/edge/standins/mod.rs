//! Stand-ins: Slack, PagerDuty, an SMTP server and a webhook on this machine, for tests and for `foghorn demo --sinks`.
//!
//! They take what the real ones take and refuse what the real ones refuse (limits, tokens, missing fields), so a payload
//! that passes here is one that passes there as far as is documented. They misbehave by script: each request takes the
//! next entry of the script, and behaves once the script is over.
//!
//! They are part of the program rather than of its tests because a person who has no Slack at hand wants to see what
//! would be sent, too. They bind `127.0.0.1`, port 0, and stop when dropped.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::notify::config::{
    EmailConfig, Integration, Kind, PagerDutyConfig, Receiver, SlackConfig, SlackTarget, SmtpTls, WebhookConfig,
};
use crate::notify::secret::SecretRef;

mod http;
pub mod pagerduty;
pub mod slack;
pub mod smtp;
pub mod webhook;

pub use pagerduty::PagerDutyStandin;
pub use slack::SlackStandin;
pub use smtp::SmtpStandin;
pub use webhook::WebhookStandin;

/// One way to misbehave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// Answers with this status (SMTP: with this code to `MAIL FROM`) and takes nothing. The body of a redirect is where
    /// it points.
    Refuse { status: u16, retry_after: Option<String>, body: String },
    /// Reads the request and never answers.
    Hang,
    /// Breaks the connection before taking anything.
    Reset,
    /// Takes it as if all were well, then breaks the connection instead of answering: the sender cannot know.
    TakeThenDrop,
}

impl Misbehaviour {
    pub fn status(status: u16) -> Self {
        Misbehaviour::Refuse { status, retry_after: None, body: String::new() }
    }

    pub fn throttle(seconds: u32) -> Self {
        Misbehaviour::Refuse { status: 429, retry_after: Some(seconds.to_string()), body: String::new() }
    }

    pub fn refuse(status: u16, body: impl Into<String>) -> Self {
        Misbehaviour::Refuse { status, retry_after: None, body: body.into() }
    }
}

/// What comes next, request by request.
#[derive(Clone, Debug, Default)]
pub struct Script(Arc<Mutex<VecDeque<Misbehaviour>>>);

impl Script {
    /// The next request gets this, after those already in the script.
    pub fn push(&self, misbehaviour: Misbehaviour) {
        self.0.lock().push_back(misbehaviour);
    }

    pub fn push_times(&self, times: usize, misbehaviour: &Misbehaviour) {
        self.0.lock().extend(std::iter::repeat_n(misbehaviour.clone(), times));
    }

    /// How much of the script is still to come.
    pub fn left(&self) -> usize {
        self.0.lock().len()
    }

    /// It behaves from now on.
    pub fn clear(&self) {
        self.0.lock().clear();
    }

    fn next(&self) -> Option<Misbehaviour> {
        self.0.lock().pop_front()
    }
}

/// Told of everything that arrives, one line each, for a terminal.
pub type Feed = Arc<dyn Fn(String) + Send + Sync>;

/// A feed that tells nobody.
pub fn silent() -> Feed {
    Arc::new(|_| {})
}

/// One of each, with the receivers that reach them.
#[derive(Debug)]
pub struct Standins {
    pub slack: SlackStandin,
    pub smtp: SmtpStandin,
    pub pagerduty: PagerDutyStandin,
    pub webhook: WebhookStandin,
}

/// The routing key the PagerDuty stand-in takes.
pub const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";
/// The bot token the Slack stand-in takes.
pub const BOT_TOKEN: &str = "xoxb-standin-token";

impl Standins {
    pub async fn start(feed: Feed) -> std::io::Result<Standins> {
        Ok(Standins {
            slack: SlackStandin::start(BOT_TOKEN, feed.clone()).await?,
            smtp: SmtpStandin::start(smtp::SmtpOptions::default(), feed.clone()).await?,
            pagerduty: PagerDutyStandin::start(ROUTING_KEY, feed.clone()).await?,
            webhook: WebhookStandin::start(feed).await?,
        })
    }

    /// `slack`, `email`, `pagerduty` and `webhook`, each with one integration that reaches its stand-in.
    pub fn receivers(&self) -> Vec<Receiver> {
        [
            ("slack", Kind::Slack(self.slack_config("#alerts"))),
            ("email", Kind::Email(self.email_config("On call <oncall@shop.example>"))),
            ("pagerduty", Kind::PagerDuty(self.pagerduty_config())),
            ("webhook", Kind::Webhook(self.webhook_config())),
        ]
        .into_iter()
        .map(|(name, kind)| Receiver { name: name.into(), integrations: vec![Integration::new(kind)] })
        .collect()
    }

    pub fn slack_config(&self, channel: &str) -> SlackConfig {
        SlackConfig::new(SlackTarget::Bot {
            token: SecretRef::given(BOT_TOKEN),
            channel: channel.to_owned(),
            api_url: self.slack.api_url(),
        })
    }

    pub fn email_config(&self, to: &str) -> EmailConfig {
        let mut config = EmailConfig::new("foghorn@shop.example", vec![to.to_owned()], "127.0.0.1", self.smtp.port());
        config.tls = SmtpTls::Plain;
        config
    }

    pub fn pagerduty_config(&self) -> PagerDutyConfig {
        let mut config = PagerDutyConfig::new(SecretRef::given(ROUTING_KEY));
        config.url = self.pagerduty.url();
        config
    }

    pub fn webhook_config(&self) -> WebhookConfig {
        WebhookConfig::new(SecretRef::given(self.webhook.url()))
    }
}
