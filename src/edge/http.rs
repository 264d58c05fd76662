//! HTTP out: one client for each integration, so that certificates, time limits and connections of one never touch
//! another's.
//!
//! Redirects are off: following one would send the alert, and the token with it, to an address nobody configured. Answers
//! are read up to a bound. The proxy of the environment is honoured except for loopback addresses, which no proxy can
//! reach as we mean them.

use std::error::Error as _;
use std::net::IpAddr;
use std::path::PathBuf;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Client, Url, redirect};

use crate::notify::config::HttpOptions;
use crate::notify::request::{Answer, Fault, HttpAnswer, Post};
use crate::notify::secret::Secret;

/// Bytes of an answer that are read; receivers say what is wrong in fewer.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum HttpClientError {
    #[error("cannot read the certificates in {}", path.display())]
    CaUnreadable { path: PathBuf, source: std::io::Error },
    #[error("{} holds no PEM certificate", path.display())]
    CaInvalid { path: PathBuf },
    #[error("not a web address: write `https://host/path`")]
    Address,
    #[error("cannot set up HTTPS; install the system's certificates (`ca-certificates`) or set `ca_file`")]
    Tls { source: reqwest::Error },
}

#[derive(Clone, Debug)]
pub struct HttpClient {
    client: Client,
    timeout: std::time::Duration,
}

impl HttpClient {
    /// `address` is where it will send to; its scheme and host decide on certificates and the proxy.
    pub fn new(options: &HttpOptions, address: &Secret) -> Result<HttpClient, HttpClientError> {
        let url = Url::parse(address.expose()).map_err(|_| HttpClientError::Address)?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(HttpClientError::Address);
        }
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(options.connect_timeout.to_std())
            .timeout(options.timeout.to_std())
            .referer(false)
            .pool_max_idle_per_host(2)
            .tls_danger_accept_invalid_certs(options.insecure_skip_verify);
        if !options.proxy_from_environment || url.host_str().is_some_and(is_loopback) {
            builder = builder.no_proxy();
        }
        let extra = match &options.ca_file {
            None => Vec::new(),
            Some(path) => {
                let pem = std::fs::read(path)
                    .map_err(|source| HttpClientError::CaUnreadable { path: path.clone(), source })?;
                let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
                if certificates.is_empty() {
                    return Err(HttpClientError::CaInvalid { path: path.clone() });
                }
                certificates
            }
        };
        // Without TLS the system's certificates are not needed, and a slim container may have none.
        builder = match url.scheme() {
            "https" => builder.tls_certs_merge(extra),
            _ => builder.tls_certs_only(extra),
        };
        let client = builder.build().map_err(|source| HttpClientError::Tls { source: source.without_url() })?;
        Ok(HttpClient { client, timeout: options.timeout.to_std() })
    }

    pub async fn post(&self, post: &Post) -> Answer {
        match self.try_post(post).await {
            Ok(answer) => Answer::Http(answer),
            Err(fault) => Answer::Failed(fault),
        }
    }

    async fn try_post(&self, post: &Post) -> Result<HttpAnswer, Fault> {
        let url = Url::parse(post.url.expose()).map_err(|_| Fault::Unsendable("not a web address".to_owned()))?;
        let request = self.client.post(url).headers(headers(post)?).body(post.body.clone());
        let mut response = request.send().await.map_err(|error| self.fault(error))?;
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.fault(error))? {
            let room = ANSWER_BYTES_MAX - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == ANSWER_BYTES_MAX {
                break;
            }
        }
        Ok(HttpAnswer { status, retry_after, body: String::from_utf8_lossy(&body).into_owned() })
    }

    fn fault(&self, error: reqwest::Error) -> Fault {
        let error = error.without_url();
        let why = with_causes(&error);
        match () {
            () if error.is_builder() => Fault::Unsendable(why),
            () if error.is_connect() => Fault::Unreachable(why),
            () if error.is_timeout() => Fault::TimedOut(format!("no answer within {:?}", self.timeout)),
            () => Fault::Broken(why),
        }
    }
}

fn headers(post: &Post) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    for (name, value) in &post.headers {
        let fault = || Fault::Unsendable(format!("the header `{name}` has a name or value that HTTP does not allow"));
        let key = HeaderName::try_from(name.as_str()).map_err(|_| fault())?;
        let mut value = HeaderValue::try_from(value.expose()).map_err(|_| fault())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

/// An error with what caused it, down to the operating system's words.
fn with_causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

/// `localhost` and the loopback addresses.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
