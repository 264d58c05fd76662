//! SMTP out: one conversation for each mail, through lettre's connection.
//!
//! The steps are ours rather than lettre's `send`, for two reasons. A server decides about each recipient, and one
//! misspelt address must not keep a page from the others. And a failure must say how far the conversation came: before
//! `DATA` nothing was sent, after it the mail may have arrived.
//!
//! Each mail has a connection of its own. Alert mails are rare, and a pooled connection the server closed meanwhile
//! fails exactly the first mail after a quiet night.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use lettre::{Address, Message};
use tokio::sync::Semaphore;

use crate::edge::http::is_loopback;
use crate::notify::config::{EmailConfig, SmtpAuth, SmtpMechanism, SmtpTls};
use crate::notify::request::{Answer, Fault, Mail, SmtpAnswer, SmtpReply, SmtpStage};
use crate::notify::secret::Secret;

/// How long a server may take to say goodbye after it took the mail.
const FAREWELL: Duration = Duration::from_millis(500);

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SmtpClientError {
    #[error("cannot read the certificates in {}", path.display())]
    CaUnreadable { path: PathBuf, source: std::io::Error },
    #[error("{} holds no PEM certificate", path.display())]
    CaInvalid { path: PathBuf },
    #[error("cannot set up TLS for {host}")]
    Tls { host: String, source: lettre::transport::smtp::Error },
    #[error("credentials would go to {host} in the clear; use STARTTLS or implicit TLS")]
    ClearCredentials { host: String },
}

pub struct SmtpClient {
    host: String,
    port: u16,
    hello: ClientId,
    tls: Tls,
    timeout: Duration,
    slots: Semaphore,
}

enum Tls {
    Plain,
    Upgraded(Box<TlsParameters>),
    Implicit(Box<TlsParameters>),
}

/// What went wrong, and where.
struct Failure {
    stage: SmtpStage,
    error: lettre::transport::smtp::Error,
}

impl SmtpClient {
    pub fn new<S>(config: &EmailConfig<S>) -> Result<SmtpClient, SmtpClientError> {
        let (host, port) = config.smarthost.clone();
        let tls = match config.tls {
            SmtpTls::Plain if config.auth.is_some() && !is_loopback(&host) => {
                return Err(SmtpClientError::ClearCredentials { host });
            }
            SmtpTls::Plain => Tls::Plain,
            SmtpTls::StartTls => Tls::Upgraded(Box::new(tls_parameters(config)?)),
            SmtpTls::Implicit => Tls::Implicit(Box::new(tls_parameters(config)?)),
        };
        let hello = ClientId::Domain(config.hello.clone().unwrap_or_else(host_name));
        let slots = Semaphore::new(config.connections_max.max(1));
        Ok(SmtpClient { host, port, hello, tls, timeout: config.timeout.to_std(), slots })
    }

    pub async fn send(&self, mail: &Mail, auth: Option<&SmtpAuth<Secret>>) -> Answer {
        let (envelope, bytes) = match (envelope(mail), to_message(mail)) {
            (Ok(envelope), Ok(message)) => (envelope, message.formatted()),
            (Err(why), _) | (_, Err(why)) => return Answer::Failed(Fault::Unsendable(why)),
        };
        let stage = StageCell::new();
        let talk = async {
            let _slot = self.slots.acquire().await.expect("the semaphore is never closed");
            self.converse(&envelope, &bytes, auth, &stage).await
        };
        match tokio::time::timeout(self.timeout, talk).await {
            Ok(Ok(answer)) => Answer::Smtp(answer),
            Ok(Err(failure)) => failed(failure),
            Err(_) => {
                let why = format!("no answer at {} within {:?}", stage.get().name(), self.timeout);
                Answer::Failed(match stage.get() {
                    SmtpStage::Content => Fault::TimedOut(why),
                    _ => Fault::Unreachable(why),
                })
            }
        }
    }

    async fn converse(
        &self,
        (from, to): &(Address, Vec<Address>),
        bytes: &[u8],
        auth: Option<&SmtpAuth<Secret>>,
        at: &StageCell,
    ) -> Result<SmtpAnswer, Failure> {
        let mut connection = at.step(SmtpStage::Greeting, self.connect()).await?;
        if let Tls::Upgraded(parameters) = &self.tls {
            at.step(SmtpStage::StartTls, connection.starttls(parameters.as_ref().clone(), &self.hello)).await?;
        }
        if let Some(auth) = auth {
            let credentials = Credentials::new(auth.username.clone(), auth.password.expose().to_owned());
            at.step(SmtpStage::Auth, connection.auth(mechanisms(auth), &credentials)).await?;
        }
        let international = std::iter::once(from).chain(to).any(|address| !address.to_string().is_ascii());
        let offered = connection.server_info().supports_feature(Extension::SmtpUtfEight);
        let options = if international && offered { vec![MailParameter::SmtpUtfEight] } else { Vec::new() };
        at.step(SmtpStage::Sender, connection.command(MailFrom::new(Some(from.clone()), options))).await?;
        let mut answer = SmtpAnswer {
            stage: SmtpStage::Recipients,
            reply: SmtpReply { code: 0, text: String::new() },
            refused: Vec::new(),
            accepted: 0,
        };
        for address in to {
            match at.step(SmtpStage::Recipients, connection.command(Rcpt::new(address.clone(), Vec::new()))).await {
                Ok(_) => answer.accepted += 1,
                Err(failure) => match refusal(&failure.error) {
                    Some(reply) => answer.refused.push((address.to_string(), reply)),
                    None => return Err(failure),
                },
            }
        }
        if answer.accepted > 0 {
            at.step(SmtpStage::Content, connection.command(Data)).await?;
            let taken = at.step(SmtpStage::Content, connection.message(bytes)).await?;
            let text = taken.message().collect::<Vec<_>>().join(" ");
            answer.reply = SmtpReply { code: taken.code().into(), text };
            answer.stage = SmtpStage::Taken;
        }
        // Whatever becomes of the farewell, what was said before stands.
        let _ = tokio::time::timeout(FAREWELL, connection.quit()).await;
        Ok(answer)
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, lettre::transport::smtp::Error> {
        let implicit = match &self.tls {
            Tls::Implicit(parameters) => Some(parameters.as_ref().clone()),
            Tls::Plain | Tls::Upgraded(_) => None,
        };
        let server = (self.host.as_str(), self.port);
        AsyncSmtpConnection::connect_tokio1(server, Some(self.timeout), &self.hello, implicit, None).await
    }
}

/// How far the conversation came, readable when it is cut off.
struct StageCell(AtomicU8);

const STAGES: [SmtpStage; 6] = [
    SmtpStage::Greeting,
    SmtpStage::StartTls,
    SmtpStage::Auth,
    SmtpStage::Sender,
    SmtpStage::Recipients,
    SmtpStage::Content,
];

impl StageCell {
    fn new() -> Self {
        StageCell(AtomicU8::new(0))
    }

    fn get(&self) -> SmtpStage {
        STAGES[usize::from(self.0.load(Ordering::Relaxed))]
    }

    async fn step<T>(
        &self,
        stage: SmtpStage,
        work: impl Future<Output = Result<T, lettre::transport::smtp::Error>>,
    ) -> Result<T, Failure> {
        let index = STAGES.iter().position(|known| *known == stage).expect("the last stage is not a step");
        self.0.store(index as u8, Ordering::Relaxed);
        work.await.map_err(|error| Failure { stage, error })
    }
}

fn failed(Failure { stage, error }: Failure) -> Answer {
    if let Some(reply) = refusal(&error) {
        return Answer::Smtp(SmtpAnswer { stage, reply, refused: Vec::new(), accepted: 0 });
    }
    let why = format!("{error} at {}", stage.name());
    // Not offered by the server: STARTTLS, an authentication we know, addresses in other scripts.
    if error.is_client() {
        return Answer::Failed(Fault::Unsendable(why));
    }
    Answer::Failed(match stage {
        SmtpStage::Content => Fault::Broken(why),
        _ => Fault::Unreachable(why),
    })
}

/// The server's own no, if that is what the error is.
fn refusal(error: &lettre::transport::smtp::Error) -> Option<SmtpReply> {
    use std::error::Error as _;
    let code = error.status()?;
    Some(SmtpReply { code: code.into(), text: error.source().map(ToString::to_string).unwrap_or_default() })
}

fn mechanisms(auth: &SmtpAuth<Secret>) -> &'static [Mechanism] {
    match auth.mechanism {
        None => &[Mechanism::Plain, Mechanism::Login],
        Some(SmtpMechanism::Plain) => &[Mechanism::Plain],
        Some(SmtpMechanism::Login) => &[Mechanism::Login],
    }
}

fn tls_parameters<S>(config: &EmailConfig<S>) -> Result<TlsParameters, SmtpClientError> {
    let host = config.smarthost.0.clone();
    let mut builder = TlsParameters::builder(host.clone())
        .dangerous_accept_invalid_certs(config.insecure_skip_verify)
        .dangerous_accept_invalid_hostnames(config.insecure_skip_verify);
    if let Some(path) = &config.ca_file {
        let pem = std::fs::read(path).map_err(|source| SmtpClientError::CaUnreadable { path: path.clone(), source })?;
        let invalid = || SmtpClientError::CaInvalid { path: path.clone() };
        if !pem.windows(5).any(|part| part == b"BEGIN") {
            return Err(invalid());
        }
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(|_| invalid())?);
    }
    builder.build().map_err(|source| SmtpClientError::Tls { host, source })
}

/// What this machine calls itself.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if !name.is_empty() && name.chars().all(plain) { name.to_owned() } else { "localhost".to_owned() }
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    text.parse().map_err(|_| format!("`{text}` is not a mail address"))
}

fn envelope(mail: &Mail) -> Result<(Address, Vec<Address>), String> {
    let to = mail.to.iter().map(|text| Ok(mailbox(text)?.email)).collect::<Result<Vec<_>, String>>()?;
    match to.is_empty() {
        true => Err("the mail has no recipient".to_owned()),
        false => Ok((mailbox(&mail.from)?.email, to)),
    }
}

/// The mail in its form on the wire. The same parts give the same bytes.
pub fn to_message(mail: &Mail) -> Result<Message, String> {
    let date = UNIX_EPOCH + Duration::from_millis(u64::try_from(mail.date.0).unwrap_or(0));
    let mut builder = Message::builder()
        .from(mailbox(&mail.from)?)
        .date(SystemTime::min(date, UNIX_EPOCH + Duration::from_secs(253_402_300_799)))
        .subject(mail.subject.as_str())
        .message_id(Some(mail.message_id.clone()))
        .in_reply_to(mail.thread.clone())
        .references(mail.thread.clone());
    for text in &mail.to {
        builder = builder.to(mailbox(text)?);
    }
    if let Some(text) = &mail.reply_to {
        builder = builder.reply_to(mailbox(text)?);
    }
    for (name, value) in &mail.headers {
        let key = HeaderName::new_from_ascii(name.clone()).map_err(|_| format!("`{name}` is not a header's name"))?;
        let line: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        builder = builder.raw_header(HeaderValue::new(key, line));
    }
    let boundary = format!("foghorn-{:016x}", xxhash_rust::xxh3::xxh3_64(mail.message_id.as_bytes()));
    let parts = MultiPart::alternative().boundary(boundary);
    let parts = parts.singlepart(SinglePart::plain(mail.text.clone())).singlepart(SinglePart::html(mail.html.clone()));
    builder.multipart(parts).map_err(|error| format!("the mail cannot be put together: {error}"))
}
