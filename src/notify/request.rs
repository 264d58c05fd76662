//! What goes out and what comes back, as values: the border between `notify`, which decides, and `edge`, which carries.

use crate::model::time::WallTime;
use crate::notify::secret::Secret;

/// One thing to carry to a receiver.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Post(Post),
    Mail(Box<Mail>),
    /// Text for standard output.
    Print(String),
}

/// An HTTP POST. Every HTTP receiver we know takes one.
#[derive(Clone, PartialEq)]
pub struct Post {
    /// Often carries a token.
    pub url: Secret,
    /// Names in lower case. Values often carry a token.
    pub headers: Vec<(String, Secret)>,
    /// May carry a token (PagerDuty's routing key).
    pub body: Vec<u8>,
}

/// Prints neither address nor values (`N1`).
impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        write!(f, "Post {{ headers: {names:?}, body: {} bytes }}", self.body.len())
    }
}

/// A mail in parts; `edge::smtp` gives it its form on the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    pub reply_to: Option<String>,
    pub subject: String,
    pub date: WallTime,
    /// With angle brackets.
    pub message_id: String,
    /// What all mails of one thread refer to, with angle brackets. No mail has it for an id.
    pub thread: String,
    pub headers: Vec<(String, String)>,
    pub text: String,
    pub html: String,
}

/// What a receiver, or the way to it, answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Http(HttpAnswer),
    Smtp(SmtpAnswer),
    Printed,
    Failed(Fault),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: u16,
    /// The header `Retry-After` as it came.
    pub retry_after: Option<String>,
    /// Cut at the edge's limit; not UTF-8 is replaced.
    pub body: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpAnswer {
    /// How far the conversation came.
    pub stage: SmtpStage,
    /// The last reply: of the mail as a whole, or of the stage that failed.
    pub reply: SmtpReply,
    /// Recipients the server did not take, though the conversation went on.
    pub refused: Vec<(String, SmtpReply)>,
    /// Recipients it took.
    pub accepted: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpReply {
    pub code: u16,
    pub text: String,
}

impl SmtpReply {
    pub fn is_permanent(&self) -> bool {
        self.code >= 500
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpStage {
    Greeting,
    StartTls,
    Auth,
    Sender,
    Recipients,
    Content,
    /// The server took the mail.
    Taken,
}

impl SmtpStage {
    pub const fn name(self) -> &'static str {
        match self {
            SmtpStage::Greeting => "greeting",
            SmtpStage::StartTls => "STARTTLS",
            SmtpStage::Auth => "AUTH",
            SmtpStage::Sender => "MAIL FROM",
            SmtpStage::Recipients => "RCPT TO",
            SmtpStage::Content => "DATA",
            SmtpStage::Taken => "delivery",
        }
    }
}

/// Why there was no answer. The text carries no address and no secret beyond what the edge could scrub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing was sent: no name, no route, connection refused, no trust.
    Unreachable(String),
    /// It broke off after something may have been sent.
    Broken(String),
    /// No answer in time; it may have arrived all the same.
    TimedOut(String),
    /// The request itself cannot be made; trying again gives the same.
    Unsendable(String),
}
