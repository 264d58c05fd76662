//! From the file as written ([`raw`](super::raw)) to what is valid ([`checked`](super::checked)), noting everything
//! that is wrong on the way.
//!
//! Each part gives back `None` where it has noted an error, and the others go on: a wrong broker does not hide a wrong
//! receiver. Nothing here touches a disk; files that the configuration names are collected as [`Reference`]s, and
//! `load` looks at them.

pub mod kafka;
mod notify;
mod route;
mod state;
pub mod stream;

pub use route::shipped as shipped_routes;

use std::path::{Path, PathBuf};

use super::checked::{Config, Limits, LogConfig, LogFormat, ServerConfig, StreamConfig};
use super::defaults;
use super::raw::{RawConfig, RawLimits, RawLog, RawLogFormat, RawServer};
use crate::model::time::Millis;
use crate::notify::SecretRef;
use crate::rule::diagnostic::{Code, Diagnostics, Place};
use crate::rule::yaml;
use crate::rule::yaml::read::{At, Given};

/// Something outside that the configuration leans on.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    pub place: Place,
    pub to: SecretRef,
}

/// Goes over one configuration file.
pub struct Checker<'a> {
    pub(super) log: &'a mut Diagnostics,
    /// The configuration's folder; relative paths are meant from here.
    pub(super) folder: &'a Path,
    pub(super) references: Vec<Reference>,
}

impl<'a> Checker<'a> {
    pub fn new(folder: &'a Path, log: &'a mut Diagnostics) -> Self {
        Checker { log, folder, references: Vec::new() }
    }

    /// The whole file. Streams come from [`Checker::streams`], because rule files may bring more.
    pub fn config(&mut self, raw: &RawConfig, streams: Vec<StreamConfig>) -> Option<Config> {
        let before = self.log.errors();
        let kafka = raw.kafka.get().map(|kafka| self.kafka(kafka));
        let server = self.server(raw.server.get());
        let log = self.log_config(raw.log.get());
        let shards = raw.shards.get().and_then(|at| self.shards(at));
        let receivers = self.receivers(raw);
        let routes = self.routes(raw, receivers.as_deref());
        let limits = self.limits(raw.limits.get());
        let state = raw.state.get().map(|state| self.state(state));
        if self.log.errors() > before {
            return None;
        }
        Some(Config {
            kafka: kafka.flatten(),
            streams,
            routes: routes?,
            receivers: receivers?,
            limits,
            server: server?,
            log: log?,
            shards,
            watch: raw.watch.or(true),
            state: state.flatten(),
        })
    }

    fn server(&mut self, raw: Option<&RawServer>) -> Option<ServerConfig> {
        let listen = match raw.and_then(|raw| raw.listen.get()) {
            None => defaults::LISTEN.to_owned(),
            // Port 0 is any that is free.
            Some(at) => match address(&at.value) {
                // `:9477`, as Go has it, means every interface.
                Ok((host, port)) if host.is_empty() => format!("0.0.0.0:{port}"),
                Ok(_) => at.value.clone(),
                Err(reason) => {
                    self.log
                        .error(Code::BadValue, at.place, format!("`{}` is no address to listen on: {reason}", at.value))
                        .hint("write `host:port`, such as `127.0.0.1:9477` or `0.0.0.0:9477`");
                    return None;
                }
            },
        };
        let external_url = match raw.and_then(|raw| raw.external_url.get()) {
            None => format!("http://{}", listen.replace("0.0.0.0:", "localhost:").replace("[::]:", "localhost:")),
            Some(at) => {
                let url = self.url(at)?;
                url.trim_end_matches('/').to_owned()
            }
        };
        Some(ServerConfig { listen, external_url: external_url.into() })
    }

    fn log_config(&mut self, raw: Option<&RawLog>) -> Option<LogConfig> {
        let Some(raw) = raw else {
            return Some(LogConfig { format: LogFormat::Pretty, level: "info".to_owned(), environment: None });
        };
        let format = match raw.format.or(RawLogFormat::Pretty) {
            RawLogFormat::Pretty => LogFormat::Pretty,
            RawLogFormat::Json => LogFormat::Json,
        };
        let level = match raw.level.get() {
            None => "info".to_owned(),
            Some(at) => match log_filter(&at.value) {
                Ok(()) => at.value.clone(),
                Err(word) => {
                    self.log.error(Code::BadValue, at.place, format!("`{word}` is no log level")).hint(
                        "write error, warn, info, debug, trace or off, also by module: `info,foghorn::edge=debug`",
                    );
                    return None;
                }
            },
        };
        Some(LogConfig { format, level, environment: raw.environment.text().map(str::to_owned) })
    }

    fn limits(&mut self, raw: Option<&RawLimits>) -> Limits {
        let mut limits = Limits::default();
        let Some(raw) = raw else { return limits };
        self.bound(&raw.groups_per_rule, &mut limits.groups_per_rule);
        self.bound(&raw.alerts, &mut limits.desk.alerts_max);
        self.bound(&raw.alert_groups, &mut limits.desk.groups_max);
        self.bound(&raw.alerts_per_notification, &mut limits.desk.alerts_per_notification_max);
        limits
    }

    pub(super) fn bound<T: Copy + Default + PartialEq>(&mut self, given: &Given<At<T>>, into: &mut T) {
        let Some(at) = given.get() else { return };
        if at.value == T::default() {
            self.log.error(Code::BadValue, at.place, "a limit of 0 lets nothing through").hint("write at least 1");
        }
        *into = at.value;
    }

    pub(super) fn length(
        &mut self,
        given: &Given<At<Millis>>,
        key: &str,
        default: Millis,
        min: Millis,
        max: Millis,
    ) -> Millis {
        let Some(at) = given.get() else { return default };
        if at.value < min || at.value > max {
            let message = format!("`{key}` is {}; {min} to {max} is possible", at.value);
            self.log.error(Code::BadDuration, at.place, message);
        }
        at.value
    }

    fn shards(&mut self, at: &At<usize>) -> Option<usize> {
        if (1..=defaults::SHARDS_MAX).contains(&at.value) {
            return Some(at.value);
        }
        self.log
            .error(Code::BadValue, at.place, format!("{} shards; 1 to {} are possible", at.value, defaults::SHARDS_MAX))
            .hint("leave `shards` out to use every core");
        None
    }

    /// Notes a key that must be given and is not.
    fn missing(&mut self, place: Place, key: &str, example: &str) {
        self.log
            .error(Code::MissingKey, yaml::start(place), format!("`{key}` is missing"))
            .hint(format!("add `{example}`"));
    }

    /// A path, from the configuration's folder, to a file that should be there.
    fn file(&mut self, at: &At<String>) -> PathBuf {
        let path = self.folder.join(&at.value);
        self.references.push(Reference { place: at.place, to: SecretRef::File(path.clone()) });
        path
    }

    /// A secret given as `NAME_file` or `NAME_env`; `None` where neither is, or both.
    fn secret(&mut self, file: &Given<At<String>>, env: &Given<At<String>>, name: &str) -> Option<SecretRef> {
        let (place, to) = match (file.get(), env.get()) {
            (Some(file), Some(_)) => {
                self.log
                    .error(Code::BadValue, file.place, format!("`{name}_file` and `{name}_env` are both given"))
                    .hint("keep one");
                return None;
            }
            (Some(file), None) => (file.place, SecretRef::File(self.folder.join(&file.value))),
            (None, Some(env)) => {
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
                if env.value.is_empty() || !env.value.chars().all(plain) {
                    // What is no variable's name may well be the secret itself.
                    self.log.redact(env.place);
                    self.log
                        .error(Code::BadName, env.place, format!("the value of `{name}_env` is no variable's name"))
                        .hint("write the name of the environment variable, without `$`");
                    return None;
                }
                (env.place, SecretRef::Env(env.value.clone()))
            }
            (None, None) => return None,
        };
        self.references.push(Reference { place, to: to.clone() });
        Some(to)
    }

    /// An address that begins with `http://` or `https://` and has a host.
    fn url(&mut self, at: &At<String>) -> Option<String> {
        let rest = at.value.strip_prefix("https://").or_else(|| at.value.strip_prefix("http://"));
        let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or(""));
        let fine = host.is_some_and(|host| !host.is_empty()) && !at.value.contains(char::is_whitespace);
        if !fine {
            self.log
                .error(Code::BadValue, at.place, format!("`{}` is not a URL", at.value))
                .hint("write it whole, such as `https://foghorn.example.org`");
            return None;
        }
        Some(at.value.clone())
    }

    /// A text that must not be empty, or what applies without it.
    fn name_or(&mut self, given: &Given<At<String>>, default: &str, key: &str) -> Option<String> {
        match given {
            Given::No => Some(default.to_owned()),
            Given::Unusable => None,
            Given::Yes(at) if at.value.trim().is_empty() => {
                self.log.error(Code::BadValue, at.place, format!("`{key}` is empty"));
                None
            }
            Given::Yes(at) => Some(at.value.clone()),
        }
    }
}

/// `host:port`, also `[::1]:9092`.
pub(super) fn host_port(text: &str) -> Result<(String, u16), String> {
    match address(text)? {
        (_, 0) => Err("`0` is no port".to_owned()),
        address => Ok(address),
    }
}

/// As [`host_port`], with any port, zero included.
fn address(text: &str) -> Result<(String, u16), String> {
    let Some((host, port)) = text.rsplit_once(':') else { return Err("it has no port".to_owned()) };
    if host.contains(char::is_whitespace) || (host.contains(':') && !(host.starts_with('[') && host.ends_with(']'))) {
        return Err(format!("`{host}` is no host"));
    }
    match port.parse::<u16>() {
        Ok(port) => Ok((host.trim_matches(['[', ']']).to_owned(), port)),
        Err(_) => Err(format!("`{port}` is no port")),
    }
}

/// Checks a filter such as `info,foghorn::edge=debug`; the word that is wrong, otherwise.
fn log_filter(text: &str) -> Result<(), String> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    for directive in text.split(',').map(str::trim) {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
        if !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
            return Err(level.to_owned());
        }
    }
    Ok(())
}
