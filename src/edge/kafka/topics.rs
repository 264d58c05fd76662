//! Which topics belong to which stream, and which partition to which shard.
//!
//! Patterns are matched twice: by librdkafka (the C library's POSIX expressions), which subscribes, and by us, to learn
//! which stream a topic belongs to. So a pattern may only use what means the same in both; the rest is refused with
//! what to write instead. Asking the cluster for all topics and matching alone would need a poller of our own.

use std::collections::BTreeSet;
use std::sync::Arc;

use regex::Regex;

use super::KafkaError;

/// The topics of one stream. A stream's number is its place in the list the consumer is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamTopics {
    /// For messages.
    pub stream: Arc<str>,
    /// Names, and patterns that begin with `^`.
    pub topics: Vec<String>,
}

/// A topic name's bytes; Kafka's own limit.
pub const TOPIC_BYTES_MAX: usize = 249;

/// Bytes of one pattern.
pub const PATTERN_BYTES_MAX: usize = 1024;

/// The shard that reads a partition: the same on every machine and in every version. Partitions of one topic go round.
pub fn shard_of(topic: &str, partition: i32, shards: usize) -> usize {
    let start = xxhash_rust::xxh3::xxh3_64(topic.as_bytes());
    (start.wrapping_add(partition as u64) % shards as u64) as usize
}

/// What is subscribed, and how a topic finds its streams.
#[derive(Debug)]
pub(super) struct Subscription {
    streams: Vec<Selectors>,
}

#[derive(Debug)]
struct Selectors {
    names: Vec<String>,
    patterns: Vec<Regex>,
}

impl Subscription {
    pub fn new(streams: &[StreamTopics]) -> Result<Subscription, KafkaError> {
        let selectors = |stream: &StreamTopics| {
            if stream.topics.is_empty() {
                return Err(KafkaError::NoTopics { stream: stream.stream.to_string() });
            }
            let mut selectors = Selectors { names: Vec::new(), patterns: Vec::new() };
            for topic in &stream.topics {
                let refused =
                    |reason| KafkaError::Topic { stream: stream.stream.to_string(), topic: topic.clone(), reason };
                match topic.starts_with('^') {
                    true => selectors.patterns.push(pattern(topic).map_err(refused)?),
                    false => selectors.names.push(name(topic).map_err(refused)?),
                }
            }
            Ok(selectors)
        };
        Ok(Subscription { streams: streams.iter().map(selectors).collect::<Result<_, _>>()? })
    }

    /// What librdkafka is told: each name and pattern once, as it refuses repeats.
    pub fn topics(&self) -> Vec<&str> {
        let names = self.streams.iter().flat_map(|s| s.names.iter().map(String::as_str));
        let patterns = self.streams.iter().flat_map(|s| s.patterns.iter().map(Regex::as_str));
        names.chain(patterns).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The first stream with a name that is not among `topics`, or a pattern that matches none of them.
    pub fn missing(&self, topics: &[&str]) -> Option<(usize, &str)> {
        self.streams.iter().enumerate().find_map(|(stream, selectors)| {
            let name = selectors.names.iter().map(String::as_str).find(|name| !topics.contains(name));
            let idle = |pattern: &&Regex| !topics.iter().any(|topic| pattern.is_match(topic));
            let missing = name.or_else(|| selectors.patterns.iter().find(idle).map(Regex::as_str));
            missing.map(|topic| (stream, topic))
        })
    }

    /// The streams that read `topic`, in order.
    pub fn streams_of(&self, topic: &str) -> Vec<usize> {
        let wants =
            |s: &Selectors| s.names.iter().any(|name| name == topic) || s.patterns.iter().any(|p| p.is_match(topic));
        self.streams.iter().enumerate().filter(|(_, s)| wants(s)).map(|(index, _)| index).collect()
    }
}

/// Whether `text` can be subscribed to: a name, or a pattern that begins with `^`. The reason, where not.
pub fn check(text: &str) -> Result<(), String> {
    match text.starts_with('^') {
        true => pattern(text).map(|_| ()),
        false => name(text).map(|_| ()),
    }
}

fn name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.is_empty() || text == "." || text == ".." {
        return Err("it is no name".to_owned());
    }
    if text.len() > TOPIC_BYTES_MAX {
        return Err(format!("it has {} characters, and Kafka allows {TOPIC_BYTES_MAX}", text.len()));
    }
    match text.chars().find(|c| !legal(*c)) {
        None => Ok(text.to_owned()),
        Some(c) if "*+?[](){}|^$\\".contains(c) => {
            Err(format!("`{c}` is not allowed in a name; a pattern begins with `^`"))
        }
        Some(c) => Err(format!("`{c}` is not allowed in a name; Kafka allows letters, digits, `.`, `_` and `-`")),
    }
}

fn pattern(text: &str) -> Result<Regex, String> {
    if text.len() > PATTERN_BYTES_MAX {
        return Err(format!("the pattern has {} bytes, and {PATTERN_BYTES_MAX} are allowed", text.len()));
    }
    common_to_both(text)?;
    Regex::new(text).map_err(|error| {
        // The last line says what is wrong; those before draw the place with more than one line.
        let text = error.to_string();
        text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}

/// Refuses what POSIX extended expressions and Rust's read differently.
fn common_to_both(text: &str) -> Result<(), String> {
    let chars: Vec<char> = text.chars().collect();
    let mut in_class = false;
    for (at, &c) in chars.iter().enumerate() {
        let next = chars.get(at + 1).copied();
        let escaped = at > 0 && chars[at - 1] == '\\';
        match (c, next) {
            (c, _) if !c.is_ascii() || c.is_ascii_control() => {
                return Err("topic names are ASCII, so patterns are".into());
            }
            ('\\', _) if in_class => return Err("`\\` inside `[…]` is not understood everywhere; leave it out".into()),
            ('\\', Some('d')) => return Err("`\\d` is not understood by the Kafka client; write `[0-9]`".into()),
            ('\\', Some('w')) => return Err("`\\w` is not understood everywhere; write `[A-Za-z0-9_]`".into()),
            ('\\', Some(c)) if c.is_ascii_alphanumeric() => {
                return Err(format!("`\\{c}` is not understood by the Kafka client"));
            }
            ('(', Some('?')) if !escaped => {
                return Err("`(?…)` is not understood by the Kafka client; use a plain group".into());
            }
            ('*' | '+' | '?' | '}', Some('?' | '+' | '*')) if !escaped && !in_class => {
                return Err("a repeat of a repeat (`*?`, `++`) does not mean the same everywhere; leave it out".into());
            }
            ('[', Some(c)) if in_class && c != ':' => {
                return Err("`[` inside `[…]` must be written `\\[` outside of it".into());
            }
            ('&' | '~' | '-', Some(n)) if in_class && n == c => {
                return Err(format!("`{c}{c}` inside `[…]` does not mean the same everywhere"));
            }
            ('[', _) if !in_class && !escaped => in_class = true,
            (']', _) if in_class && chars[at - 1] != ':' => in_class = false,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(topics: &[&str], expect: &str) {
        let streams = [StreamTopics { stream: "s".into(), topics: topics.iter().map(|t| t.to_string()).collect() }];
        let got = match Subscription::new(&streams) {
            Ok(subscription) => subscription.topics().join(" "),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expect);
    }

    #[test]
    fn names_and_patterns_are_taken_once_each_and_the_rest_is_refused_with_a_hint() {
        check(&["logs", "audit", "logs", "^web-[a-z]+$"], "^web-[a-z]+$ audit logs");
        check(&["^logs\\.[0-9]{2,4}(-a|-b)?"], "^logs\\.[0-9]{2,4}(-a|-b)?");
        check(&[], "stream `s` has no topics; name at least one, or a pattern that begins with `^`");
        check(
            &["logs.*"],
            "`logs.*` of stream `s` cannot be a topic: `*` is not allowed in a name; a pattern begins with `^`",
        );
        check(
            &["^logs-\\d+"],
            "`^logs-\\d+` of stream `s` cannot be a topic: `\\d` is not understood by the Kafka client; write `[0-9]`",
        );
        check(
            &["^(?i)logs"],
            "`^(?i)logs` of stream `s` cannot be a topic: `(?…)` is not understood by the Kafka client; use a plain group",
        );
        check(&["^logs("], "`^logs(` of stream `s` cannot be a topic: unclosed group");
        check(
            &["^a*?"],
            "`^a*?` of stream `s` cannot be a topic: a repeat of a repeat (`*?`, `++`) does not mean the same everywhere; \
             leave it out",
        );
    }

    #[test]
    fn a_topic_may_belong_to_two_streams() {
        let stream = |topics: &[&str]| StreamTopics {
            stream: "s".into(),
            topics: topics.iter().map(|t| t.to_string()).collect(),
        };
        let subscription = Subscription::new(&[stream(&["a"]), stream(&["^a", "b"])]).unwrap();
        assert_eq!(subscription.streams_of("a"), [0, 1]);
        assert_eq!(subscription.streams_of("ab"), [1]);
        assert_eq!(subscription.streams_of("c"), [0usize; 0]);
    }

    #[test]
    fn a_name_that_is_not_there_is_missing_and_so_is_a_pattern_that_matches_nothing() {
        let stream = |topics: &[&str]| StreamTopics {
            stream: "s".into(),
            topics: topics.iter().map(|t| t.to_string()).collect(),
        };
        let subscription = Subscription::new(&[stream(&["a", "^b"]), stream(&["c"])]).unwrap();
        assert_eq!(subscription.missing(&["a", "bb", "c", "d"]), None);
        assert_eq!(subscription.missing(&["bb", "c"]), Some((0, "a")));
        assert_eq!(subscription.missing(&["a", "c"]), Some((0, "^b")));
        assert_eq!(subscription.missing(&["a", "b"]), Some((1, "c")));
    }

    #[test]
    fn the_shard_of_a_partition_never_changes_and_partitions_go_round() {
        let shards: Vec<usize> = (0..8).map(|partition| shard_of("requests", partition, 4)).collect();
        assert_eq!(shards, [3, 0, 1, 2, 3, 0, 1, 2]);
        assert_eq!(shard_of("auth", 0, 4), 0);
    }
}
