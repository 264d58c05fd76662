//! The cluster: brokers, TLS, SASL, where to begin, and librdkafka's own settings, which librdkafka itself is asked about.

use std::collections::BTreeMap;

use super::{Checker, host_port};
use crate::config::checked::{KafkaConfig, SaslConfig, TlsConfig, TlsIdentity};
use crate::config::defaults;
use crate::config::raw::{RawKafka, RawMechanism, RawSasl, RawTls};
use crate::edge::kafka::{KafkaError, KafkaSettings, SaslMechanism, Start};
use crate::rule::diagnostic::{Code, Place};
use crate::rule::yaml::read::{At, Given};

/// Names that hold secrets wherever they turn up.
const SECRET_WORDS: [&str; 3] = ["password", "secret", ".pem"];

impl Checker<'_> {
    pub(super) fn kafka(&mut self, raw: &RawKafka) -> Option<KafkaConfig> {
        let brokers = self.brokers(raw);
        let group = self.name_or(&raw.group, defaults::GROUP, "group");
        let client_id = self.name_or(&raw.client_id, defaults::GROUP, "client_id");
        let handover_topic = raw.handover_topic.get().map(|at| self.topic_name(at));
        let tls = raw.tls.get().map(|tls| self.tls(tls));
        let sasl = raw.sasl.get().map(|sasl| self.sasl(sasl));
        let start = match raw.start.get() {
            Some(start) => self.start(start),
            None => Some(Start::Latest),
        };
        let properties = raw.properties.get().map_or(BTreeMap::new(), |properties| self.properties(&properties.list));
        if let (Some(sasl), None) = (raw.sasl.get(), raw.tls.get())
            && sasl.mechanism.get().is_some_and(|at| at.value == RawMechanism::Plain)
        {
            self.log
                .warning(Code::BadValue, sasl.place, "the password goes over the wire in the clear")
                .label("PLAIN without TLS")
                .hint("add `tls: {}` beside `sasl`, or use SCRAM-SHA-512");
        }
        Some(KafkaConfig {
            brokers: brokers?,
            group: group?,
            client_id: client_id?,
            handover_topic: transpose(handover_topic)?,
            tls: transpose(tls)?,
            sasl: transpose(sasl)?,
            start: start?,
            properties,
        })
    }

    fn brokers(&mut self, raw: &RawKafka) -> Option<Vec<String>> {
        match &raw.brokers {
            Given::Unusable => return None,
            Given::Yes(list) if !list.0.is_empty() => {}
            _ => {
                self.missing(raw.place, "brokers", "brokers: [localhost:9092]");
                return None;
            }
        }
        let mut out = Vec::new();
        let listed = raw.brokers.get().into_iter().flat_map(|list| &list.0);
        let before = self.log.errors();
        for broker in listed {
            // librdkafka takes lists with commas, so people have them.
            for part in broker.value.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                match host_port(part.rsplit("://").next().unwrap_or(part)) {
                    Ok(_) => out.push(part.to_owned()),
                    Err(reason) => {
                        self.log
                            .error(Code::BadValue, broker.place, format!("`{part}` is not a broker: {reason}"))
                            .hint("write `host:port`, such as `localhost:9092`");
                    }
                }
            }
        }
        (self.log.errors() == before).then_some(out)
    }

    fn tls(&mut self, raw: &RawTls) -> Option<TlsConfig> {
        let ca_file = raw.ca_file.get().map(|at| self.file(at));
        let password = self.secret(&raw.key_password_file, &raw.key_password_env, "key_password");
        let identity = match (raw.cert_file.get(), raw.key_file.get()) {
            (Some(cert), Some(key)) => {
                let (cert_file, key_file) = (self.file(cert), self.file(key));
                Some(TlsIdentity { cert_file, key_file, key_password: password })
            }
            (None, None) => {
                if let Some(at) = raw.key_password_file.get().or(raw.key_password_env.get()) {
                    self.log.error(Code::MissingKey, at.place, "a password without a `key_file` it belongs to");
                }
                None
            }
            (Some(at), None) | (None, Some(at)) => {
                if !matches!((&raw.cert_file, &raw.key_file), (Given::Unusable, _) | (_, Given::Unusable)) {
                    self.log
                        .error(Code::MissingKey, at.place, "`cert_file` and `key_file` come together")
                        .hint("give both, or neither");
                }
                return None;
            }
        };
        Some(TlsConfig { ca_file, identity, verify_host: raw.verify_host.or(true) })
    }

    fn sasl(&mut self, raw: &RawSasl) -> Option<SaslConfig> {
        let mechanism = match raw.mechanism.get().map(|at| at.value) {
            Some(RawMechanism::Plain) => Some(SaslMechanism::Plain),
            Some(RawMechanism::ScramSha256) => Some(SaslMechanism::ScramSha256),
            Some(RawMechanism::ScramSha512) => Some(SaslMechanism::ScramSha512),
            None => None,
        };
        if raw.mechanism.is_missing() {
            self.missing(raw.place, "mechanism", "mechanism: SCRAM-SHA-512");
        }
        if raw.username.is_missing() {
            self.missing(raw.place, "username", "username: NAME");
        }
        let password = self.secret(&raw.password_file, &raw.password_env, "password");
        if raw.password_file.is_missing() && raw.password_env.is_missing() {
            self.missing(raw.place, "password_file", "password_file: PATH, or password_env: NAME");
        }
        Some(SaslConfig { mechanism: mechanism?, username: raw.username.text()?.to_owned(), password: password? })
    }

    fn start(&mut self, start: &At<String>) -> Option<Start> {
        match start.value.as_str() {
            "earliest" => return Some(Start::Earliest),
            "latest" => return Some(Start::Latest),
            _ => {}
        }
        match start.value.parse::<jiff::Timestamp>() {
            Ok(stamp) => Some(Start::Timestamp(stamp.as_millisecond())),
            Err(_) => {
                self.log
                    .error(Code::BadValue, start.place, format!("`{}` is no place to start", start.value))
                    .hint("write `earliest`, `latest`, or a time with its zone such as `2026-03-01T00:00:00Z`");
                None
            }
        }
    }

    fn properties(&mut self, raw: &[(At<String>, At<String>)]) -> BTreeMap<String, String> {
        let mut out = BTreeMap::new();
        for (name, value) in raw {
            let key = name.value.as_str();
            let secret = SECRET_WORDS.iter().any(|word| key.contains(word));
            if secret {
                self.log.redact(value.place);
            }
            // One at a time, so that each is judged; the cluster does not matter for that.
            let mut probe = KafkaSettings::new(["localhost:9092"], defaults::GROUP);
            probe.properties.insert(key.to_owned(), value.value.clone());
            match probe.consumer() {
                Err(KafkaError::OwnedProperty { reason, .. }) => {
                    self.log.error(Code::BadValue, name.place, format!("`{key}` is not yours to set")).hint(reason);
                }
                _ if secret => self.literal_secret(name.place, key),
                Err(KafkaError::Property { reason, .. }) => {
                    self.log
                        .error(Code::BadValue, name.place, format!("librdkafka does not take `{key}`: {reason}"))
                        .hint("its CONFIGURATION.md lists the names and values");
                }
                Err(error) => {
                    self.log.error(Code::BadValue, name.place, format!("`{key}` cannot be set: {error}"));
                }
                Ok(_) => {
                    out.insert(key.to_owned(), value.value.clone());
                }
            }
        }
        out
    }

    fn literal_secret(&mut self, place: Place, key: &str) {
        self.log.error(Code::LiteralSecret, place, format!("`{key}` would put a secret into this file")).hint(
            "secrets of the connection go through `sasl: { password_file: … }` and `tls: { key_password_file: … }`",
        );
    }
}

/// `None` for "given, but wrong".
fn transpose<T>(given: Option<Option<T>>) -> Option<Option<T>> {
    match given {
        None => Some(None),
        Some(Some(value)) => Some(Some(value)),
        Some(None) => None,
    }
}
