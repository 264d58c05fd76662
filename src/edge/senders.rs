//! Sends deliveries: the conversations of `notify`, with real sockets.
//!
//! Everything is per integration: client, connections, secrets, time limits. A receiver that hangs costs its own
//! deliveries their time and nobody else's. The one thing that is shared is Slack's pace, because Slack counts by
//! channel, whoever posts.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::edge::http::{HttpClient, HttpClientError};
use crate::edge::secrets::{self, Environment, SecretError};
use crate::edge::smtp::{SmtpClient, SmtpClientError};
use crate::model::delivery::{Delivery, Outcome};
use crate::model::time::{Millis, WallTime};
use crate::notify::config::{Colour, Integration, Kind, Receiver, SlackTarget};
use crate::notify::conversation::{Conversation, STEPS_MAX, Step};
use crate::notify::request::{Answer, Fault, Request, SmtpStage};
use crate::notify::secret::{Secret, SecretRef};

/// The longest a delivery waits for its turn at a channel; past that it comes back later and holds no memory here.
const TURN_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long standard output may take.
const PRINT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why senders cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("receiver `{receiver}`, {kind} integration {index}")]
pub struct SenderError {
    pub receiver: Arc<str>,
    pub kind: &'static str,
    /// 1-based, as people count.
    pub index: usize,
    #[source]
    pub cause: SenderCause,
}

#[derive(Debug, thiserror::Error)]
pub enum SenderCause {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Http(#[from] HttpClientError),
    #[error(transparent)]
    Smtp(#[from] SmtpClientError),
}

/// Where console notifications go.
pub type Console = Arc<dyn Fn(&str, Colour) -> std::io::Result<()> + Send + Sync>;

/// All integrations of all receivers.
pub struct Senders {
    by_receiver: BTreeMap<Arc<str>, Vec<Sender>>,
    console: Console,
    environment: Environment,
}

struct Sender {
    config: Integration<SecretRef>,
    /// With the secrets as they were read last.
    resolved: Mutex<Arc<Integration<Secret>>>,
    carrier: Carrier,
    turn: Option<Arc<Turn>>,
}

enum Carrier {
    Http(HttpClient),
    Smtp(SmtpClient),
    Console,
}

/// One channel's pace: when the next message may go.
struct Turn(Mutex<Instant>);

impl Senders {
    /// Reads every secret and certificate once, so that what is missing is said at the start, all at once.
    pub fn new(receivers: &[Receiver], environment: Environment) -> Result<Senders, Vec<SenderError>> {
        let mut turns: BTreeMap<String, Arc<Turn>> = BTreeMap::new();
        let mut by_receiver = BTreeMap::new();
        let mut errors = Vec::new();
        for receiver in receivers {
            let mut senders = Vec::new();
            for (index, config) in receiver.integrations.iter().enumerate() {
                match Sender::new(config, environment, &mut turns) {
                    Ok(sender) => senders.push(sender),
                    Err(cause) => errors.push(SenderError {
                        receiver: receiver.name.clone(),
                        kind: config.kind_name(),
                        index: index + 1,
                        cause,
                    }),
                }
            }
            by_receiver.insert(receiver.name.clone(), senders);
        }
        match errors.is_empty() {
            true => Ok(Senders { by_receiver, console: Arc::new(print), environment }),
            false => Err(errors),
        }
    }

    /// The same with another console, for tests and the demo.
    pub fn with_console(mut self, console: Console) -> Senders {
        self.console = console;
        self
    }

    /// Carries one delivery to its end. Call it concurrently: deliveries share nothing but a channel's pace. It always
    /// returns, within the integration's time limits.
    pub async fn send(&self, receiver: &str, delivery: Delivery, now: WallTime) -> Outcome {
        let sender = self.by_receiver.get(receiver).and_then(|senders| senders.get(delivery.integration));
        let Some(sender) = sender else {
            let reason = format!("receiver `{receiver}` has no integration {}", delivery.integration + 1);
            return Outcome::Rejected { reason };
        };
        let integration = sender.fresh(receiver, self.environment).await;
        if let Err(wait) = sender.take_turn().await {
            let reason = "the channel's messages are queueing".to_owned();
            return Outcome::Retry { after: Some(wait), throttled: true, reason };
        }
        let limit = sender.limit();
        match tokio::time::timeout(limit, self.converse(sender, receiver, integration, &delivery, now)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                Outcome::Retry { after: None, throttled: false, reason: format!("not finished within {limit:?}") }
            }
        }
    }

    async fn converse(
        &self,
        sender: &Sender,
        receiver: &str,
        integration: Arc<Integration<Secret>>,
        delivery: &Delivery,
        now: WallTime,
    ) -> Outcome {
        let started = Instant::now();
        let (mut conversation, mut step) = Conversation::open(integration.clone(), delivery, now);
        loop {
            let request = match step {
                Step::Done(outcome) => return outcome,
                Step::Ask(request) => request,
            };
            let answer = self.carry(sender, &integration, request).await;
            if let Answer::Smtp(answer) = &answer
                && answer.stage == SmtpStage::Taken
            {
                for (recipient, reply) in &answer.refused {
                    tracing::warn!(receiver, recipient, code = reply.code, "a recipient of an alert mail was refused");
                }
            }
            let passed = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
            step = conversation.answer(answer, now + Millis(passed));
        }
    }

    async fn carry(&self, sender: &Sender, integration: &Integration<Secret>, request: Request) -> Answer {
        match (request, &sender.carrier, &integration.kind) {
            (Request::Post(post), Carrier::Http(client), _) => client.post(&post).await,
            (Request::Mail(mail), Carrier::Smtp(client), Kind::Email(config)) => {
                client.send(&mail, config.auth.as_ref()).await
            }
            (Request::Print(text), Carrier::Console, Kind::Console(config)) => self.print(text, config.colour).await,
            _ => Answer::Failed(Fault::Unsendable("the request does not belong to the integration".to_owned())),
        }
    }

    /// Standard output may be a pipe that nobody reads; that must hold up nothing else.
    async fn print(&self, text: String, colour: Colour) -> Answer {
        let console = self.console.clone();
        let printed = tokio::task::spawn_blocking(move || console(&text, colour));
        Answer::Failed(match tokio::time::timeout(PRINT_TIMEOUT, printed).await {
            Ok(Ok(Ok(()))) => return Answer::Printed,
            Ok(Ok(Err(error))) => Fault::Broken(format!("standard output: {error}")),
            Ok(Err(_)) => Fault::Broken("standard output: the printer stopped".to_owned()),
            Err(_) => Fault::TimedOut("standard output".to_owned()),
        })
    }
}

impl Sender {
    fn new(
        config: &Integration<SecretRef>,
        environment: Environment,
        turns: &mut BTreeMap<String, Arc<Turn>>,
    ) -> Result<Sender, SenderCause> {
        let resolved = secrets::resolve(config, environment)?;
        let carrier = match &resolved.kind {
            Kind::Slack(slack) => Carrier::Http(match &slack.target {
                SlackTarget::Webhook { url } => HttpClient::new(&slack.http, url)?,
                SlackTarget::Bot { api_url, .. } => HttpClient::new(&slack.http, &Secret::new(api_url.as_str()))?,
            }),
            Kind::PagerDuty(pagerduty) => {
                Carrier::Http(HttpClient::new(&pagerduty.http, &Secret::new(pagerduty.url.as_str()))?)
            }
            Kind::Webhook(webhook) => Carrier::Http(HttpClient::new(&webhook.http, &webhook.url)?),
            Kind::Email(email) => Carrier::Smtp(SmtpClient::new(email)?),
            Kind::Console(_) => Carrier::Console,
        };
        let turn = turn_key(&resolved).map(|key| {
            let turn = turns.entry(key).or_insert_with(|| Arc::new(Turn(Mutex::new(Instant::now()))));
            turn.clone()
        });
        Ok(Sender { config: config.clone(), resolved: Mutex::new(Arc::new(resolved)), carrier, turn })
    }

    /// The integration with its secrets as they are now, or as they were last where they cannot be read.
    async fn fresh(&self, receiver: &str, environment: Environment) -> Arc<Integration<Secret>> {
        let last = self.resolved.lock().clone();
        if !self.config.secrets().into_iter().any(|secret| matches!(secret, SecretRef::File(_))) {
            return last;
        }
        let config = self.config.clone();
        let read = tokio::task::spawn_blocking(move || secrets::resolve(&config, environment)).await;
        match read {
            Ok(Ok(fresh)) if fresh == *last => last,
            Ok(Ok(fresh)) => {
                let fresh = Arc::new(fresh);
                *self.resolved.lock() = fresh.clone();
                tracing::info!(receiver, kind = self.config.kind_name(), "a secret was rotated");
                fresh
            }
            Ok(Err(error)) => {
                tracing::warn!(receiver, kind = self.config.kind_name(), %error, "using the secret read before");
                last
            }
            Err(_) => last,
        }
    }

    /// Waits for the channel's turn, or says how long it would take.
    async fn take_turn(&self) -> Result<(), Millis> {
        let Some(turn) = &self.turn else { return Ok(()) };
        let at = {
            let mut next = turn.0.lock();
            let now = Instant::now();
            let at = (*next).max(now);
            let wait = at.duration_since(now);
            if wait > TURN_WAIT_MAX {
                return Err(Millis(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)));
            }
            *next = at + self.config.min_interval().to_std();
            at
        };
        tokio::time::sleep_until(at).await;
        Ok(())
    }

    /// Time for a whole delivery.
    fn limit(&self) -> Duration {
        let one = match &self.config.kind {
            Kind::Slack(config) => config.http.timeout,
            Kind::PagerDuty(config) => config.http.timeout,
            Kind::Webhook(config) => config.http.timeout,
            Kind::Email(config) => config.timeout,
            Kind::Console(_) => Millis::from_secs(10),
        };
        one.to_std() * STEPS_MAX + Duration::from_secs(1)
    }
}

/// What Slack counts by: the webhook, or the channel as one token sees it.
fn turn_key(integration: &Integration<Secret>) -> Option<String> {
    match &integration.kind {
        Kind::Slack(config) => Some(match &config.target {
            SlackTarget::Webhook { url } => url.expose().to_owned(),
            SlackTarget::Bot { token, channel, api_url } => format!("{api_url} {} {channel}", token.expose()),
        }),
        _ => None,
    }
}

fn print(text: &str, colour: Colour) -> std::io::Result<()> {
    let choice = match colour {
        Colour::Auto => anstream::AutoStream::choice(&std::io::stdout()),
        Colour::Always => anstream::ColorChoice::Always,
        Colour::Never => anstream::ColorChoice::Never,
    };
    let mut out = anstream::AutoStream::new(std::io::stdout(), choice).lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
