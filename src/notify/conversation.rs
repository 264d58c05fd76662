//! One delivery as an exchange of requests and answers, without the sockets.
//!
//! Most receivers take one request. Slack with a bot token takes two: the group's message is brought up to date
//! (`chat.update`, which notifies nobody) and a reply in its thread says what changed. As a state machine the order, the
//! detours and what a retry repeats can be read and tested here; `edge` only carries.
//!
//! ```text
//! first of its group          post ──────────────────────────► delivered
//! later                       update ──► reply ───────────────► delivered
//!                               │ gone     │ gone or refused
//!                               └──────────┴──► post ──────────► delivered
//! ```
//!
//! - `C1` a retry starts from the beginning; the update is harmless to repeat, so it goes first
//! - `C2` at most [`STEPS_MAX`] requests, whatever is answered

use std::sync::Arc;

use crate::model::delivery::{Delivery, Notification, Outcome};
use crate::model::time::WallTime;
use crate::notify::config::{Integration, Kind, SlackConfig, SlackTarget};
use crate::notify::judge::{self, SlackAnswer};
use crate::notify::request::{Answer, Fault, HttpAnswer, Post, Request};
use crate::notify::secret::Secret;
use crate::notify::slack::{self, Memory, News};
use crate::notify::{console, email, pagerduty, present, webhook};

/// Requests one delivery may take (`C2`).
pub const STEPS_MAX: u32 = 3;

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Ask(Request),
    Done(Outcome),
}

/// A delivery under way.
#[derive(Clone, Debug)]
pub struct Conversation {
    integration: Arc<Integration<Secret>>,
    notification: Arc<Notification>,
    attempt: u32,
    /// Said where an earlier attempt may have arrived.
    again: Option<String>,
    /// Whether one was made of which nobody knows.
    perhaps_repeated: bool,
    now: WallTime,
    memory: Option<Memory>,
    /// What the last request was let in with: it may be made from a secret rather than be one (Basic).
    credentials: Option<Secret>,
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// One request, one answer.
    Single,
    SlackPosting,
    SlackUpdating,
    SlackReplying {
        root: (String, String),
    },
    Over,
}

impl Conversation {
    /// The first request, or the outcome where nothing needs to be sent.
    pub fn open(integration: Arc<Integration<Secret>>, delivery: &Delivery, now: WallTime) -> (Conversation, Step) {
        let notification = match integration.send_resolved {
            true => delivery.notification.clone(),
            false => without_resolved(&delivery.notification),
        };
        let memory = delivery.thread.as_ref().and_then(|handle| Memory::from_handle(handle, &notification));
        let mut conversation = Conversation {
            integration,
            notification,
            attempt: delivery.attempt,
            again: present::again(delivery),
            perhaps_repeated: delivery.perhaps_repeated,
            now,
            memory,
            credentials: None,
            state: State::Over,
        };
        let untold = conversation.notification.alerts.is_empty() && !delivery.notification.alerts.is_empty();
        let step = match untold {
            true => Step::Done(Outcome::Delivered { thread: delivery.thread.clone() }),
            false => conversation.begin(),
        };
        conversation.note_credentials(&step);
        (conversation, step)
    }

    /// The next request, or how it ended. `now` is when the answer came.
    pub fn answer(&mut self, answer: Answer, now: WallTime) -> Step {
        self.now = now;
        let step = match (std::mem::replace(&mut self.state, State::Over), self.scrubbed(answer)) {
            (State::Over, _) => Step::Done(Outcome::Rejected { reason: "answered after its end".to_owned() }),
            (_, Answer::Failed(fault)) => Step::Done(judge::fault(&fault)),
            (State::Single, answer) => Step::Done(self.judge(answer)),
            (State::SlackPosting, answer) => self.posted(answer),
            (State::SlackUpdating, answer) => self.updated(answer),
            (State::SlackReplying { root }, answer) => self.replied(root, answer),
        };
        self.note_credentials(&step);
        step
    }

    fn note_credentials(&mut self, step: &Step) {
        if let Step::Ask(Request::Post(post)) = step {
            let found = post.headers.iter().find(|(name, _)| name == "authorization");
            let credentials = found.and_then(|(_, value)| value.expose().split_once(' ')).map(|(_, text)| text);
            self.credentials = credentials.map(Secret::new);
        }
    }

    /// Receivers may quote what they were sent, and what they say ends up in journals and on pages (`N1`). Before it is
    /// judged, since a reason quotes only the beginning and a secret cut in two would not be found.
    fn scrubbed(&self, answer: Answer) -> Answer {
        let scrub = |text: String| {
            let text = self.integration.scrub(&text);
            self.credentials.as_ref().map_or_else(|| text.clone(), |credentials| credentials.scrub(&text))
        };
        match answer {
            Answer::Http(answer) => Answer::Http(HttpAnswer { body: scrub(answer.body), ..answer }),
            Answer::Smtp(mut answer) => {
                answer.reply.text = scrub(answer.reply.text);
                for (_, reply) in &mut answer.refused {
                    reply.text = scrub(std::mem::take(&mut reply.text));
                }
                Answer::Smtp(answer)
            }
            Answer::Printed => Answer::Printed,
            Answer::Failed(fault) => Answer::Failed(match fault {
                Fault::Unreachable(why) => Fault::Unreachable(scrub(why)),
                Fault::Broken(why) => Fault::Broken(scrub(why)),
                Fault::TimedOut(why) => Fault::TimedOut(scrub(why)),
                Fault::Unsendable(why) => Fault::Unsendable(scrub(why)),
            }),
        }
    }

    fn begin(&mut self) -> Step {
        let integration = self.integration.clone();
        self.state = State::Single;
        let request = match &integration.kind {
            Kind::Slack(config) => match &config.target {
                SlackTarget::Webhook { url } => {
                    let message = self.slack_message(config);
                    Request::Post(slack::to_webhook(config, url, &message))
                }
                SlackTarget::Bot { .. } => return self.begin_slack(config),
            },
            Kind::Email(config) => {
                Request::Mail(Box::new(email::mail(config, &self.notification, self.attempt, self.again.as_deref())))
            }
            Kind::PagerDuty(config) => Request::Post(pagerduty::event(config, &self.notification)),
            Kind::Webhook(config) => Request::Post(webhook::message(config, &self.notification, self.perhaps_repeated)),
            Kind::Console(config) => Request::Print(console::text(config, &self.notification, self.again.as_deref())),
        };
        Step::Ask(request)
    }

    fn begin_slack(&mut self, config: &SlackConfig<Secret>) -> Step {
        let root = self.memory.as_ref().and_then(|memory| memory.root.clone());
        match root {
            Some(root) => {
                // Nobody is notified of a changed message: no call for people, and a repeat does no harm.
                let message = slack::message(config, &self.notification, &News::none(), None);
                self.state = State::SlackUpdating;
                Step::Ask(Request::Post(slack::to_update(config, &root, &message, &self.notification)))
            }
            None => self.post(config),
        }
    }

    fn post(&mut self, config: &SlackConfig<Secret>) -> Step {
        let message = self.slack_message(config);
        self.state = State::SlackPosting;
        Step::Ask(Request::Post(slack::to_post(config, &message, &self.notification)))
    }

    fn slack_message(&self, config: &SlackConfig<Secret>) -> slack::Message {
        let news = News::since(self.memory.as_ref(), &self.notification);
        slack::message(config, &self.notification, &news, self.again.as_deref())
    }

    fn judge(&self, answer: Answer) -> Outcome {
        match (&self.integration.kind, answer) {
            (Kind::Slack(_), Answer::Http(answer)) => match judge::slack_webhook(&answer, self.now) {
                Outcome::Delivered { .. } => self.remembered(None),
                other => other,
            },
            (Kind::PagerDuty(_), Answer::Http(answer)) => judge::pagerduty(&answer, self.now),
            (Kind::Webhook(_), Answer::Http(answer)) => judge::http(&answer, self.now),
            (Kind::Email(_), Answer::Smtp(answer)) => judge::smtp(&answer),
            (Kind::Console(_), Answer::Printed) => judge::delivered(),
            _ => misfit(),
        }
    }

    fn posted(&mut self, answer: Answer) -> Step {
        match self.slack_answer(answer) {
            SlackAnswer::Posted { channel, ts } => Step::Done(self.remembered(Some((channel, ts)))),
            SlackAnswer::Gone => {
                Step::Done(Outcome::Rejected { reason: "Slack refuses the message as one to a lost thread".to_owned() })
            }
            SlackAnswer::Refused(outcome) => Step::Done(outcome),
        }
    }

    fn updated(&mut self, answer: Answer) -> Step {
        let integration = self.integration.clone();
        let Kind::Slack(config) = &integration.kind else { return Step::Done(misfit()) };
        match self.slack_answer(answer) {
            SlackAnswer::Posted { channel, ts } => self.reply(config, (channel, ts)),
            SlackAnswer::Gone => self.post(config),
            SlackAnswer::Refused(outcome) => Step::Done(outcome),
        }
    }

    fn reply(&mut self, config: &SlackConfig<Secret>, root: (String, String)) -> Step {
        let told_before = self.memory.as_ref().is_some_and(|memory| memory.sequence >= self.notification.sequence);
        let news = News::since(self.memory.as_ref(), &self.notification);
        let reply = slack::reply(config, &self.notification, &news, self.again.as_deref()).filter(|_| !told_before);
        match reply {
            Some((text, broadcast)) => {
                let request = slack::to_reply(config, &root, &text, broadcast, &self.notification);
                self.state = State::SlackReplying { root };
                Step::Ask(Request::Post(request))
            }
            None => Step::Done(self.remembered(Some(root))),
        }
    }

    /// A thread that takes no replies must not keep the news from people: it goes into a message of its own.
    fn replied(&mut self, root: (String, String), answer: Answer) -> Step {
        let integration = self.integration.clone();
        let Kind::Slack(config) = &integration.kind else { return Step::Done(misfit()) };
        match self.slack_answer(answer) {
            SlackAnswer::Posted { .. } => Step::Done(self.remembered(Some(root))),
            SlackAnswer::Gone | SlackAnswer::Refused(Outcome::Rejected { .. }) => self.post(config),
            SlackAnswer::Refused(outcome) => Step::Done(outcome),
        }
    }

    fn slack_answer(&self, answer: Answer) -> SlackAnswer {
        match answer {
            Answer::Http(answer) => judge::slack_api(&answer, self.now),
            _ => SlackAnswer::Refused(misfit()),
        }
    }

    fn remembered(&self, root: Option<(String, String)>) -> Outcome {
        Outcome::Delivered { thread: Some(Memory::of(&self.notification, root).to_handle()) }
    }
}

fn misfit() -> Outcome {
    judge::fault(&Fault::Unsendable("the answer does not belong to the request".to_owned()))
}

fn without_resolved(notification: &Arc<Notification>) -> Arc<Notification> {
    match notification.resolved().next() {
        None => notification.clone(),
        Some(_) => {
            let alerts = notification.firing().cloned().collect();
            Arc::new(Notification { alerts, ..Notification::clone(notification) })
        }
    }
}

/// A JSON body with the headers every receiver gets.
pub(crate) fn json_post(url: Secret, body: Vec<u8>, headers: Vec<(String, Secret)>) -> Post {
    let own = [("content-type", "application/json; charset=utf-8"), ("user-agent", USER_AGENT)];
    let own = own.map(|(name, value)| (name.to_owned(), Secret::new(value)));
    let unset = own.into_iter().filter(|(name, _)| !headers.iter().any(|(given, _)| given == name));
    let headers = unset.chain(headers.iter().cloned()).collect();
    Post { url, headers, body }
}

const USER_AGENT: &str = concat!("Foghorn/", env!("CARGO_PKG_VERSION"));
