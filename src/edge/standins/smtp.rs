//! An SMTP server small enough to read: EHLO, STARTTLS, AUTH PLAIN and LOGIN, MAIL, RCPT, DATA, RSET, NOOP, QUIT.
//!
//! TLS is handed in as a function that upgrades a connection, so that the program itself carries no server certificate.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::{Feed, Misbehaviour, Script};

/// Bytes one command line may have (RFC 5321 asks for 512; AUTH needs more).
const LINE_BYTES_MAX: u64 = 16 * 1024;
/// Bytes one line of a mail may have, its end included (RFC 5321).
const DATA_LINE_BYTES_MAX: usize = 1_000;

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

type Upgrading = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// Turns a plain connection into an encrypted one.
pub type Upgrade = Arc<dyn Fn(TcpStream) -> Upgrading + Send + Sync>;

#[derive(Clone, Default)]
pub struct SmtpOptions {
    /// Offered as STARTTLS, or used from the first byte with `implicit_tls`.
    pub tls: Option<Upgrade>,
    pub implicit_tls: bool,
    /// User name and password that are asked for.
    pub auth: Option<(String, String)>,
    /// `PLAIN`, `LOGIN`; both where empty.
    pub mechanisms: Vec<String>,
    /// Recipients that are refused, with the code.
    pub refused: Vec<(String, u16)>,
}

/// A mail as it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenMail {
    pub hello: String,
    pub encrypted: bool,
    /// The user name it was sent under and the mechanism.
    pub auth: Option<(String, String)>,
    pub from: String,
    pub to: Vec<String>,
    /// Without the dots that were added for the wire.
    pub data: String,
}

impl TakenMail {
    /// A header's value, unfolded.
    pub fn header(&self, name: &str) -> Option<String> {
        let head = self.data.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n ", " ").replace("\r\n\t", " ");
        let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    }

    /// The subject as people see it.
    pub fn subject(&self) -> String {
        decoded_words(&self.header("subject").unwrap_or_default())
    }
}

#[derive(Debug)]
pub struct SmtpStandin {
    address: std::net::SocketAddr,
    script: Script,
    mails: Arc<Mutex<Vec<TakenMail>>>,
    task: JoinHandle<()>,
}

impl Drop for SmtpStandin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SmtpStandin {
    pub async fn start(options: SmtpOptions, feed: Feed) -> io::Result<SmtpStandin> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let script = Script::default();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let post = Arc::new(PostOffice { options, script: script.clone(), mails: mails.clone(), feed });
        let task = tokio::spawn(async move {
            let mut guests = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let post = post.clone();
                guests.spawn(async move { post.serve(stream).await });
                while guests.try_join_next().is_some() {}
            }
        });
        Ok(SmtpStandin { address, script, mails, task })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn script(&self) -> &Script {
        &self.script
    }

    pub fn mails(&self) -> Vec<TakenMail> {
        self.mails.lock().clone()
    }
}

struct PostOffice {
    options: SmtpOptions,
    script: Script,
    mails: Arc<Mutex<Vec<TakenMail>>>,
    feed: Feed,
}

/// How a conversation goes on after a command.
enum Next {
    On,
    Upgrade,
    End,
}

/// What is known of one conversation.
#[derive(Default)]
struct Guest {
    hello: String,
    encrypted: bool,
    auth: Option<(String, String)>,
    from: Option<String>,
    to: Vec<String>,
    misbehaviour: Option<Misbehaviour>,
}

impl PostOffice {
    async fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut guest = Guest::default();
        if self.options.implicit_tls
            && let Some(upgrade) = &self.options.tls
        {
            guest.encrypted = true;
            let mut stream = BufReader::new(upgrade(stream).await?);
            return self.greet(&mut stream, &mut guest).await.map(|_| ());
        }
        let mut stream = BufReader::new(stream);
        if matches!(self.greet(&mut stream, &mut guest).await?, Next::Upgrade)
            && let Some(upgrade) = &self.options.tls
        {
            // Anything sent before the handshake is dropped with the buffer, as it should be.
            let mut stream = BufReader::new(upgrade(stream.into_inner()).await?);
            guest = Guest { encrypted: true, ..Guest::default() };
            self.converse(&mut stream, &mut guest).await?;
        }
        Ok(())
    }

    async fn greet<S: Stream>(&self, stream: &mut BufReader<S>, guest: &mut Guest) -> io::Result<Next> {
        say(stream, "220 standin ESMTP").await?;
        self.converse(stream, guest).await
    }

    async fn converse<S: Stream>(&self, stream: &mut BufReader<S>, guest: &mut Guest) -> io::Result<Next> {
        loop {
            let Some(line) = hear(stream).await? else { return Ok(Next::End) };
            match self.command(stream, guest, &line).await? {
                Next::On => {}
                end => return Ok(end),
            }
        }
    }

    async fn command<S: Stream>(&self, stream: &mut BufReader<S>, guest: &mut Guest, line: &str) -> io::Result<Next> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" => {
                guest.hello = rest.to_owned();
                say(stream, &self.abilities(guest)).await?;
            }
            "STARTTLS" if self.options.tls.is_some() && !guest.encrypted => {
                say(stream, "220 go ahead").await?;
                return Ok(Next::Upgrade);
            }
            "AUTH" => self.auth(stream, guest, rest).await?,
            "MAIL" => return self.mail(stream, guest, rest).await,
            "RCPT" => self.recipient(stream, guest, rest).await?,
            "DATA" if guest.from.is_some() && !guest.to.is_empty() => return self.data(stream, guest).await,
            "DATA" => say(stream, "503 who to?").await?,
            "RSET" => {
                (guest.from, guest.to) = (None, Vec::new());
                say(stream, "250 forgotten").await?;
            }
            "NOOP" => say(stream, "250 here").await?,
            "QUIT" => {
                say(stream, "221 bye").await?;
                return Ok(Next::End);
            }
            _ => say(stream, "502 not known here").await?,
        }
        Ok(Next::On)
    }

    fn abilities(&self, guest: &Guest) -> String {
        let mut lines = vec!["standin".to_owned(), "8BITMIME".to_owned()];
        if self.options.tls.is_some() && !guest.encrypted {
            lines.push("STARTTLS".to_owned());
        }
        if self.options.auth.is_some() {
            lines.push(format!("AUTH {}", self.mechanisms().join(" ")));
        }
        let last = lines.len() - 1;
        let rows =
            lines.iter().enumerate().map(|(at, line)| format!("250{}{line}", if at == last { ' ' } else { '-' }));
        rows.collect::<Vec<_>>().join("\r\n")
    }

    fn mechanisms(&self) -> Vec<String> {
        match self.options.mechanisms.is_empty() {
            true => vec!["PLAIN".to_owned(), "LOGIN".to_owned()],
            false => self.options.mechanisms.clone(),
        }
    }

    async fn auth<S: Stream>(&self, stream: &mut BufReader<S>, guest: &mut Guest, rest: &str) -> io::Result<()> {
        let (mechanism, first) = rest.split_once(' ').unwrap_or((rest, ""));
        let mechanism = mechanism.to_ascii_uppercase();
        if !self.mechanisms().contains(&mechanism) {
            return say(stream, "504 not that way").await;
        }
        let (user, password) = if mechanism == "PLAIN" {
            let text = decoded(first);
            let mut parts = text.split('\0').skip(1).map(str::to_owned);
            (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
        } else {
            say(stream, &format!("334 {}", STANDARD.encode("Username:"))).await?;
            let user = decoded(&hear(stream).await?.unwrap_or_default());
            say(stream, &format!("334 {}", STANDARD.encode("Password:"))).await?;
            (user, decoded(&hear(stream).await?.unwrap_or_default()))
        };
        match &self.options.auth {
            Some((known, secret)) if *known == user && *secret == password => {
                guest.auth = Some((user, mechanism));
                say(stream, "235 welcome").await
            }
            _ => say(stream, "535 authentication failed").await,
        }
    }

    async fn mail<S: Stream>(&self, stream: &mut BufReader<S>, guest: &mut Guest, rest: &str) -> io::Result<Next> {
        if self.options.auth.is_some() && guest.auth.is_none() {
            say(stream, "530 authentication required").await?;
            return Ok(Next::On);
        }
        guest.misbehaviour = self.script.next();
        match &guest.misbehaviour {
            Some(Misbehaviour::Refuse { status, body, .. }) => {
                say(stream, &format!("{status} {}", if body.is_empty() { "not now" } else { body })).await?;
                return Ok(Next::On);
            }
            Some(Misbehaviour::Reset) => return Ok(Next::End),
            Some(Misbehaviour::Hang) => std::future::pending().await,
            Some(Misbehaviour::TakeThenDrop) | None => {}
        }
        guest.from = Some(address(rest));
        guest.to.clear();
        say(stream, "250 sender taken").await?;
        Ok(Next::On)
    }

    async fn recipient<S: Stream>(&self, stream: &mut BufReader<S>, guest: &mut Guest, rest: &str) -> io::Result<()> {
        let to = address(rest);
        match self.options.refused.iter().find(|(refused, _)| *refused == to) {
            Some((_, code)) => say(stream, &format!("{code} no mail for {to}")).await,
            None => {
                guest.to.push(to);
                say(stream, "250 recipient taken").await
            }
        }
    }

    async fn data<S: Stream>(&self, stream: &mut BufReader<S>, guest: &mut Guest) -> io::Result<Next> {
        say(stream, "354 go ahead").await?;
        let mut data = String::new();
        loop {
            let Some(line) = hear(stream).await? else { return Ok(Next::End) };
            if line == "." {
                break;
            }
            if line.len() + 2 > DATA_LINE_BYTES_MAX {
                say(stream, "554 line too long").await?;
                return Ok(Next::On);
            }
            data.push_str(line.strip_prefix('.').unwrap_or(&line));
            data.push_str("\r\n");
        }
        let mail = TakenMail {
            hello: guest.hello.clone(),
            encrypted: guest.encrypted,
            auth: guest.auth.clone(),
            from: guest.from.take().unwrap_or_default(),
            to: std::mem::take(&mut guest.to),
            data,
        };
        (self.feed)(format!("mail       {}  {}", mail.to.join(", "), mail.subject()));
        self.mails.lock().push(mail);
        if guest.misbehaviour == Some(Misbehaviour::TakeThenDrop) {
            return Ok(Next::End);
        }
        say(stream, "250 taken").await?;
        Ok(Next::On)
    }
}

async fn say<S: Stream>(stream: &mut BufReader<S>, text: &str) -> io::Result<()> {
    stream.write_all(format!("{text}\r\n").as_bytes()).await?;
    stream.flush().await
}

/// One line without its end; `None` at the end of the connection.
async fn hear<S: Stream>(stream: &mut BufReader<S>) -> io::Result<Option<String>> {
    let mut line = String::new();
    let count = stream.take(LINE_BYTES_MAX).read_line(&mut line).await?;
    Ok((count > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// `FROM:<a@b> SIZE=1` → `a@b`
fn address(text: &str) -> String {
    let inner = text.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or(text, |(address, _)| address).to_owned()
}

fn decoded(text: &str) -> String {
    STANDARD.decode(text.trim()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// `=?utf-8?b?…?=` as text (RFC 2047, base64 only: what lettre writes). Blanks between two such words do not count.
fn decoded_words(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    let mut after_word = false;
    while let Some((before, tail)) = rest.split_once("=?utf-8?b?") {
        let Some((word, next)) = tail.split_once("?=") else { break };
        if !(after_word && before.trim().is_empty()) {
            out.push_str(before);
        }
        out.push_str(&decoded(word));
        rest = next;
        after_word = true;
    }
    out + rest
}
