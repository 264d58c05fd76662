//! Looks secrets up: files and the environment.
//!
//! Files are read anew for each delivery: they are tiny, deliveries are rare, and a rotated secret works at once, without a
//! watcher that could miss it or a failure that has to happen first. While a file cannot be read (it is being replaced),
//! the value it had last goes on working and the log says so. The environment cannot change under a process, so it is read
//! once.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::notify::config::Integration;
use crate::notify::secret::{SECRET_BYTES_MAX, Secret, SecretRef};

/// Why a secret cannot be had. Never shows it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("cannot read the secret file {}; check that it exists and that Foghorn may read it", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("the secret file {} holds more than {SECRET_BYTES_MAX} bytes; it must hold the secret alone", path.display())]
    TooLong { path: PathBuf },
    #[error("the secret file {} is not UTF-8 text; it must hold the secret alone", path.display())]
    NotText { path: PathBuf },
    #[error("{place} is empty")]
    Empty { place: String },
    #[error("the environment variable {name} is not set")]
    Unset { name: String },
    #[error("the {place} holds a line break or another control character; it must hold the secret alone")]
    Control { place: String },
}

/// Where environment variables are looked up; a test gives its own.
pub type Environment = fn(&str) -> Option<String>;

/// The process's own environment.
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

pub fn look_up(reference: &SecretRef, environment: Environment) -> Result<Secret, SecretError> {
    let text = match reference {
        SecretRef::File(path) => read(path)?,
        SecretRef::Env(name) => environment(name).ok_or_else(|| SecretError::Unset { name: name.clone() })?,
        SecretRef::Given(secret) => return Ok(secret.clone()),
    };
    let text = text.trim();
    match text {
        "" => Err(SecretError::Empty { place: reference.to_string() }),
        text if text.contains(char::is_control) => Err(SecretError::Control { place: reference.to_string() }),
        text => Ok(Secret::new(text)),
    }
}

/// All secrets of one integration.
pub fn resolve(
    integration: &Integration<SecretRef>,
    environment: Environment,
) -> Result<Integration<Secret>, SecretError> {
    integration.resolve(|reference| look_up(reference, environment))
}

fn read(path: &Path) -> Result<String, SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(SECRET_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > SECRET_BYTES_MAX {
        return Err(SecretError::TooLong { path: path.to_owned() });
    }
    String::from_utf8(bytes).map_err(|_| SecretError::NotText { path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reference: &SecretRef, expect: &str) {
        let environment: Environment = |name| match name {
            "TOKEN" => Some("from-env".to_owned()),
            "BLANK" => Some("  ".to_owned()),
            _ => None,
        };
        let got = match look_up(reference, environment) {
            Ok(secret) => secret.expose().to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expect);
    }

    #[test]
    fn secrets_come_from_files_and_the_environment_or_say_why_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).expect("a file");
            SecretRef::File(path)
        };
        let at = folder.path().display();
        check(&file("token", b"from-file\n"), "from-file");
        check(&file("empty", b"\n"), &format!("file {at}/empty is empty"));
        check(
            &file("two", b"one\ntwo\n"),
            &format!(
                "the file {at}/two holds a line break or another control character; it must hold the secret alone"
            ),
        );
        check(
            &file("long", &vec![b'x'; SECRET_BYTES_MAX + 1]),
            &format!("the secret file {at}/long holds more than 65536 bytes; it must hold the secret alone"),
        );
        check(
            &file("bytes", &[0xff, 0xfe]),
            &format!("the secret file {at}/bytes is not UTF-8 text; it must hold the secret alone"),
        );
        check(
            &SecretRef::File(folder.path().join("none")),
            &format!("cannot read the secret file {at}/none; check that it exists and that Foghorn may read it"),
        );
        check(&SecretRef::Env("TOKEN".to_owned()), "from-env");
        check(&SecretRef::Env("BLANK".to_owned()), "environment variable BLANK is empty");
        check(&SecretRef::Env("NONE".to_owned()), "the environment variable NONE is not set");
    }
}
