//! What the HTTP stand-ins share: a server that hands each request to one function, after the script had its say.
//!
//! Breaking a connection on purpose is done below HTTP: the connection carries a switch, and once it is thrown every
//! write fails, so the server drops the connection without a byte of an answer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::http::{Request, Response, StatusCode, header};
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{Misbehaviour, Script};

/// Bytes of a request that are taken.
const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A request as a stand-in sees it.
#[derive(Clone, Debug)]
pub struct Taken {
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Taken {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// An answer: status and body.
pub type Reply = (u16, String);

/// A running server; it stops when dropped.
#[derive(Debug)]
pub struct Server {
    pub address: SocketAddr,
    pub script: Script,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start(take: impl Fn(Taken) -> Reply + Send + Sync + 'static) -> io::Result<Server> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let script = Script::default();
        let take: Arc<dyn Fn(Taken) -> Reply + Send + Sync> = Arc::new(take);
        let state = (script.clone(), take);
        let app = Router::new().fallback(move |ConnectInfo(switch): ConnectInfo<Switch>, request: Request<Body>| {
            let (script, take) = state.clone();
            async move { answer(switch, request, &script, &*take).await }
        });
        let service = app.into_make_service_with_connect_info::<Switch>();
        let task = tokio::spawn(async move {
            // Ends only with the task: the listener retries by itself.
            let _ = axum::serve(Breakable(listener), service).await;
        });
        Ok(Server { address, script, task })
    }
}

async fn answer(
    switch: Switch,
    request: Request<Body>,
    script: &Script,
    take: &(dyn Fn(Taken) -> Reply + Send + Sync),
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, REQUEST_BYTES_MAX).await else {
        return respond(413, None, "too large".to_owned());
    };
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let taken = Taken { path: parts.uri.path().to_owned(), headers: headers.collect(), body: body.to_vec() };
    match script.next() {
        None => {
            let (status, body) = take(taken);
            respond(status, None, body)
        }
        Some(Misbehaviour::Refuse { status, retry_after, body }) => respond(status, retry_after, body),
        Some(Misbehaviour::Hang) => std::future::pending().await,
        Some(Misbehaviour::Reset) => switch.broken(),
        Some(Misbehaviour::TakeThenDrop) => {
            take(taken);
            switch.broken()
        }
    }
}

fn respond(status: u16, retry_after: Option<String>, body: String) -> Response<Body> {
    let kind = if body.starts_with('{') { "application/json" } else { "text/plain" };
    let mut named = vec![(header::CONTENT_TYPE, kind.to_owned())];
    named.extend(retry_after.map(|text| (header::RETRY_AFTER, text)));
    if (300..400).contains(&status) {
        named.push((header::LOCATION, body.clone()));
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, text) in named {
        if let Ok(value) = header::HeaderValue::from_str(&text) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Breaks its connection when thrown.
#[derive(Clone, Debug, Default)]
struct Switch(Arc<AtomicBool>);

impl Switch {
    /// A response that never leaves.
    fn broken(&self) -> Response<Body> {
        self.0.store(true, Ordering::Relaxed);
        Response::new(Body::empty())
    }
}

impl Connected<IncomingStream<'_, Breakable>> for Switch {
    fn connect_info(stream: IncomingStream<'_, Breakable>) -> Self {
        stream.io().switch.clone()
    }
}

struct Breakable(TcpListener);

struct Connection {
    stream: TcpStream,
    switch: Switch,
}

impl Listener for Breakable {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        (Connection { stream, switch: Switch::default() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connection {
    fn check(&self) -> io::Result<()> {
        match self.switch.0.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::ConnectionReset.into()),
            false => Ok(()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
