//! Labels: what an alert is called. A small sorted list, cheap to clone, with a stable fingerprint.
//!
//! A sorted slice beats a map at this size and makes equality, order and hashing the same on every machine: the
//! fingerprint (XXH3 over `name 0xff value 0xff …`) goes into keys that outlive the process.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Labels one alert may carry, group-by values included.
pub const LABELS_MAX: usize = 64;

/// Bytes of one label value; a longer one is cut at a character boundary and marked with `…`.
pub const LABEL_VALUE_BYTES_MAX: usize = 1024;

/// A stable 64-bit name of a label set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A sorted list of distinct names with their values. An empty value is the same as no label, as in Prometheus.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

impl Labels {
    /// Sorts, drops empty values, and keeps the last of two equal names.
    pub fn from_pairs<N: Into<Arc<str>>, V: Into<Arc<str>>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut list: Vec<(Arc<str>, Arc<str>)> = pairs.into_iter().map(|(n, v)| (n.into(), v.into())).collect();
        list.reverse();
        list.sort_by(|a, b| a.0.cmp(&b.0));
        list.dedup_by(|later, kept| later.0 == kept.0);
        list.retain(|(_, value)| !value.is_empty());
        Labels(list.into())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.binary_search_by(|(n, _)| (**n).cmp(name)).ok().map(|at| &*self.0[at].1)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (&**n, &**v))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These labels with `others` laid over them.
    pub fn with<N: Into<Arc<str>>, V: Into<Arc<str>>>(&self, others: impl IntoIterator<Item = (N, V)>) -> Self {
        Labels::from_pairs(
            self.0.iter().cloned().chain(others.into_iter().map(|(n, v)| (n.into(), v.into())).collect::<Vec<_>>()),
        )
    }

    /// Only the named labels.
    pub fn only<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<&str> = names.into_iter().collect();
        Labels(self.0.iter().filter(|(n, _)| names.contains(&&**n)).cloned().collect())
    }

    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for (name, value) in self.0.iter() {
            hash.update(name.as_bytes());
            hash.update(&[0xff]);
            hash.update(value.as_bytes());
            hash.update(&[0xff]);
        }
        Fingerprint(hash.digest())
    }
}

/// `{a="b", c="d"}` with Prometheus' escapes.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{name}=\"")?;
            for c in value.chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    '"' => f.write_str("\\\"")?,
                    '\n' => f.write_str("\\n")?,
                    c => write!(f, "{c}")?,
                }
            }
            f.write_str("\"")?;
        }
        f.write_str("}")
    }
}

/// As a JSON object, names in order.
impl Serialize for Labels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = std::collections::BTreeMap::<String, String>::deserialize(deserializer)?;
        Ok(Labels::from_pairs(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_repeats_do_not_change_what_an_alert_is_called() {
        let one = Labels::from_pairs([("b", "2"), ("a", "1"), ("gone", "")]);
        let two = Labels::from_pairs([("a", "0"), ("a", "1"), ("b", "2")]);
        assert_eq!(one, two);
        assert_eq!(one.fingerprint(), two.fingerprint());
        assert_eq!(one.to_string(), r#"{a="1", b="2"}"#);
        assert_eq!(one.get("b"), Some("2"));
        assert_eq!(one.with([("a", "9")]).to_string(), r#"{a="9", b="2"}"#);
        assert_ne!(one.fingerprint(), Labels::from_pairs([("a", "1b"), ("", "2")]).fingerprint());
    }
}
