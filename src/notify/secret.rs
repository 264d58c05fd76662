//! Secrets: values that may be sent and must not be seen.
//!
//! A configuration names where a secret stands ([`SecretRef`]); only `edge::secrets` turns the name into a value
//! ([`Secret`]). The integrations are generic over the two, so the type says whether one has been looked up, and a
//! golden test can build a request without any file.
//!
//! - `N1` a secret never reaches a log, an error, a journal or a page: every way of printing one says `<secret>`, and
//!   what a receiver or a library says of a failure goes through [`Secret::scrub`] first

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

/// What stands for a secret wherever one would be printed.
pub const HIDDEN: &str = "<secret>";

/// Bytes a secret may have; a file that holds more is something else.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;

/// Texts shorter than this are not scrubbed from messages: the message would be unreadable and the secret is none.
const SCRUB_BYTES_MIN: usize = 4;

/// A part of a path as long as this is taken for a token.
const PATH_TOKEN_BYTES_MIN: usize = 16;

/// A value that goes out to a receiver and nowhere else (`N1`).
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The value itself, for the request that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `text` with every occurrence of this secret hidden. Of a web address, what may carry its token is hidden on its
    /// own, too: the path with its query, long parts of the path, the query's values, and the password before the host.
    pub fn scrub(&self, text: &str) -> String {
        let mut parts = vec![self.0.as_str()];
        if let Some((_, rest)) = self.0.split_once("://") {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let (path_only, query) = path.split_once('?').unwrap_or((path, ""));
            parts.push(path.trim_end_matches('/'));
            parts.extend(host.split_once('@').map(|(login, _)| login));
            parts.extend(path_only.split('/').filter(|part| part.len() >= PATH_TOKEN_BYTES_MIN));
            parts.extend(query.split('&').filter_map(|pair| pair.split_once('=')).map(|(_, value)| value));
        }
        // Longer parts first: a shorter one may be a piece of it.
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        let parts = parts.into_iter().filter(|part| part.len() >= SCRUB_BYTES_MIN);
        parts.fold(text.to_owned(), |text, part| text.replace(part, HIDDEN))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

/// Where a secret stands. This is what a configuration holds and what may be printed.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// The file's content without the line break at its end. Read anew for each delivery, so rotation needs no
    /// restart.
    File(PathBuf),
    /// An environment variable, read once.
    Env(String),
    /// Written in the configuration where that is allowed (a webhook's address), or made by Foghorn itself (the
    /// demo's stand-ins). Printed as a secret all the same.
    Given(Secret),
}

impl SecretRef {
    pub fn given(text: impl Into<String>) -> Self {
        SecretRef::Given(Secret::new(text))
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretRef::File(path) => write!(f, "file {}", path.display()),
            SecretRef::Env(name) => write!(f, "environment variable {name}"),
            SecretRef::Given(_) => f.write_str(HIDDEN),
        }
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_of_printing_shows_a_secret() {
        let secret = Secret::new("xoxb-1234");
        assert_eq!(format!("{secret} {secret:?} {:?}", SecretRef::Given(secret.clone())), "<secret> <secret> <secret>");
        assert_eq!(serde_json::to_string(&secret).expect("a string"), "\"<secret>\"");
        assert_eq!(format!("{:?}", SecretRef::File("/run/token".into())), "file /run/token");
    }

    #[test]
    fn scrubbing_hides_a_url_and_the_path_that_carries_its_token() {
        let url = Secret::new("https://hooks.slack.com/services/T0/B0/abc/");
        assert_eq!(url.scrub("POST https://hooks.slack.com/services/T0/B0/abc/ failed"), "POST <secret> failed");
        assert_eq!(url.scrub("no route /services/T0/B0/abc"), "no route /<secret>");
        let hook = Secret::new("http://u:pass@h/x/0123456789abcdef?token=abcdef&n=1");
        assert_eq!(hook.scrub("token abcdef, 0123456789abcdef, u:pass, x"), "token <secret>, <secret>, <secret>, x");
        assert_eq!(Secret::new("a").scrub("a banana"), "a banana");
    }
}
