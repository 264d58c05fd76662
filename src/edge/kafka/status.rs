//! What can be said of a running consumer: numbers for the metrics, and what is wrong in words that say what to do.
//!
//! librdkafka reports an error when something begins to fail and nothing when it works again. So a problem stands until
//! something happens that could not have happened with it: a record read clears "no broker answers".

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::error::RDKafkaErrorCode as Code;

use crate::model::position::SourceId;

/// How long a problem that nothing clears is shown after it was last seen.
pub const PROBLEM_SHOWN: Duration = Duration::from_secs(120);

/// Problems kept at one time; more of them are only logged.
pub const PROBLEMS_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// No broker answers, or a connection broke.
    Unreachable,
    Tls,
    Authentication,
    /// We may not read the topic, or may not use the group.
    Authorization,
    UnknownTopic,
    /// The start position could not be found out.
    Start,
    /// Records were deleted before they were read.
    Retention,
    /// A log ended before the position to read at.
    Rewind,
    Commit,
    Group,
    /// A fault the client cannot recover from by itself.
    Fatal,
    Other,
}

impl ProblemKind {
    /// The stable name, a label of metrics.
    pub const fn name(self) -> &'static str {
        match self {
            ProblemKind::Unreachable => "unreachable",
            ProblemKind::Tls => "tls",
            ProblemKind::Authentication => "authentication",
            ProblemKind::Authorization => "authorization",
            ProblemKind::UnknownTopic => "unknown_topic",
            ProblemKind::Start => "start",
            ProblemKind::Retention => "retention",
            ProblemKind::Rewind => "rewind",
            ProblemKind::Commit => "commit",
            ProblemKind::Group => "group",
            ProblemKind::Fatal => "fatal",
            ProblemKind::Other => "other",
        }
    }

    fn of(code: Code, detail: &str) -> ProblemKind {
        match code {
            Code::SSL => ProblemKind::Tls,
            // A certificate the broker does not like is a connection that breaks; only the text says why.
            _ if ["SSL handshake", "SSL routines", "SSL alert"].iter().any(|t| detail.contains(t)) => ProblemKind::Tls,
            Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism => {
                ProblemKind::Authentication
            }
            Code::AllBrokersDown | Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut => {
                ProblemKind::Unreachable
            }
            Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::ClusterAuthorizationFailed => {
                ProblemKind::Authorization
            }
            Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => ProblemKind::UnknownTopic,
            Code::PollExceeded | Code::FencedInstanceId | Code::InconsistentGroupProtocol => ProblemKind::Group,
            Code::Fatal => ProblemKind::Fatal,
            _ => ProblemKind::Other,
        }
    }

    /// What to look at.
    const fn advice(self) -> &'static str {
        match self {
            ProblemKind::Unreachable => {
                "a broker cannot be reached; check that it runs, the addresses in `brokers`, that the addresses the brokers \
                 advertise can be reached from here, and that the port speaks TLS if and only if `tls` is set. Foghorn \
                 keeps trying"
            }
            ProblemKind::Tls => {
                "no TLS connection comes about; check that the port speaks TLS, that `ca` holds the authority that \
                 signed the broker's certificate, that the certificate names the host, and our own certificate if the \
                 broker asks for one"
            }
            ProblemKind::Authentication => {
                "the broker does not accept who we are; check the SASL mechanism, the user name and the password"
            }
            ProblemKind::Authorization => {
                "the broker does not allow it; give this user Read and Describe on the topic and Read on the group"
            }
            ProblemKind::UnknownTopic => {
                "a topic does not exist; create it or correct the name in the stream's `topics`. Foghorn keeps looking"
            }
            ProblemKind::Start => "the position to start at cannot be found out; Foghorn keeps trying",
            ProblemKind::Retention => {
                "records were deleted before they were read, so reading went on with what was left; keep records for \
                 longer than Foghorn may stand still, or let it catch up faster"
            }
            ProblemKind::Rewind => {
                "a partition ended before the position to go on at, so it was made anew or cut; reading went on at its \
                 start. Where a topic was recreated on purpose there is nothing to do"
            }
            ProblemKind::Commit => {
                "positions could not be committed; nothing is lost, but more is read again after a restart. Foghorn \
                 keeps trying"
            }
            ProblemKind::Group => {
                "the group does not keep us as a member; check that members of the group share one configuration, and \
                 that this machine is not so busy that it stands still"
            }
            ProblemKind::Fatal => "the Kafka client cannot go on; restart Foghorn",
            ProblemKind::Other => "the Kafka client reports an error",
        }
    }

    /// Something that happened and is over; it is shown so that people see it.
    pub fn is_past(self) -> bool {
        matches!(self, ProblemKind::Retention | ProblemKind::Rewind)
    }

    fn clears_by_reading(self) -> bool {
        matches!(self, ProblemKind::Unreachable | ProblemKind::Tls | ProblemKind::Authentication)
    }
}

/// Something that is wrong now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub kind: ProblemKind,
    /// What is wrong and what to look at.
    pub text: String,
    /// The client's own words.
    pub detail: String,
    pub count: u64,
    pub since: Instant,
    pub last: Instant,
}

/// The problems of one client. Shared, because librdkafka's callbacks report here, too.
#[derive(Debug, Default)]
pub(super) struct Problems(Mutex<BTreeMap<(ProblemKind, String), Problem>>);

impl Problems {
    pub fn report(&self, code: Code, detail: &str) {
        self.add(ProblemKind::of(code, detail), detail);
    }

    pub fn add(&self, kind: ProblemKind, detail: &str) {
        // Connection errors name the connection and its age; one of the kind says it all.
        self.add_of(kind, if kind.clears_by_reading() { "" } else { detail }, detail);
    }

    /// A problem of `subject`, of which there is one of a kind, however its details change.
    pub fn add_of(&self, kind: ProblemKind, subject: &str, detail: &str) {
        let now = Instant::now();
        let mut known = self.0.lock();
        let key = (kind, subject.to_owned());
        if let Some(problem) = known.get_mut(&key) {
            problem.count += 1;
            problem.last = now;
            if !is_vague(detail) {
                detail.clone_into(&mut problem.detail);
            }
            tracing::debug!(kind = kind.name(), detail, "Kafka: again");
            return;
        }
        tracing::warn!(kind = kind.name(), detail, "Kafka: {}", kind.advice());
        if known.len() < PROBLEMS_MAX {
            let problem = Problem {
                kind,
                text: kind.advice().to_owned(),
                detail: detail.to_owned(),
                count: 1,
                since: now,
                last: now,
            };
            known.insert(key, problem);
        }
    }

    /// Something was read: connections work.
    pub fn clear_by_reading(&self) {
        self.clear(|kind| kind.clears_by_reading());
    }

    pub fn clear(&self, over: impl Fn(ProblemKind) -> bool) {
        let mut known = self.0.lock();
        if known.keys().any(|(kind, _)| over(*kind)) {
            known.retain(|(kind, _), _| !over(*kind));
        }
    }

    pub fn list(&self) -> Vec<Problem> {
        let mut known = self.0.lock();
        known.retain(|(kind, _), problem| {
            kind.clears_by_reading() || *kind == ProblemKind::Fatal || problem.last.elapsed() < PROBLEM_SHOWN
        });
        // "All brokers are down" comes with every failure to connect, and first. Where more is known it says nothing.
        let causes = [ProblemKind::Tls, ProblemKind::Authentication];
        let explained = known.keys().any(|(kind, _)| causes.contains(kind));
        known.values().filter(|p| !(explained && p.kind == ProblemKind::Unreachable)).cloned().collect()
    }
}

/// "1/1 brokers are down": follows each error that says more.
fn is_vague(detail: &str) -> bool {
    detail.ends_with("brokers are down")
}

/// A consumer at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConsumerStats {
    pub records: u64,
    pub payload_bytes: u64,
    /// Records without a payload: counted and passed over.
    pub tombstones: u64,
    /// Of the last second.
    pub records_per_second: f64,
    pub bytes_per_second: f64,
    /// Assignments and revocations.
    pub rebalances: u64,
    pub commits: u64,
    pub commit_failures: u64,
    /// Times a shard's channel was found full.
    pub holds: u64,
    /// Times that records were deleted before they were read.
    pub gaps: u64,
    /// How many records that were, at most: some of the offsets may never have held one.
    pub lost_records: u64,
    /// Times that a partition ended before the position to go on at.
    pub rewinds: u64,
    /// In order of topic and partition.
    pub partitions: Vec<PartitionStats>,
    pub problems: Vec<Problem>,
}

/// A partition that is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStats {
    pub source: SourceId,
    pub shard: usize,
    pub streams: Vec<usize>,
    pub records: u64,
    /// The next offset to be read; `None` before the first record or end.
    pub position: Option<i64>,
    /// The last that Kafka confirmed to us in this assignment.
    pub committed: Option<i64>,
    /// The offset of the next record that will be written, as of the last fetch.
    pub high_watermark: Option<i64>,
    /// Records between the two.
    pub lag: Option<i64>,
    /// Nothing was left to read when last we looked.
    pub at_end: bool,
    /// Not read now, because its shard has not taken what was read before.
    pub paused: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(problems: &Problems) -> Vec<(&'static str, u64)> {
        problems.list().iter().map(|problem| (problem.kind.name(), problem.count)).collect()
    }

    #[test]
    fn a_problem_stands_until_something_shows_that_it_is_over() {
        let problems = Problems::default();
        problems.report(Code::AllBrokersDown, "1/1 brokers are down");
        problems.report(Code::BrokerTransportFailure, "k:9092: connection refused");
        problems.report(Code::UnknownTopicOrPartition, "Subscribed topic not available: a");
        problems.report(Code::UnknownTopicOrPartition, "Subscribed topic not available: b");
        assert_eq!(kinds(&problems), [("unreachable", 2), ("unknown_topic", 1), ("unknown_topic", 1)]);
        problems.clear_by_reading();
        assert_eq!(kinds(&problems), [("unknown_topic", 1), ("unknown_topic", 1)]);
        problems.clear(|kind| kind == ProblemKind::UnknownTopic);
        assert_eq!(kinds(&problems), []);
    }

    #[test]
    fn a_handshake_that_fails_is_a_matter_of_tls_whatever_the_code() {
        let problems = Problems::default();
        problems.report(Code::AllBrokersDown, "1/1 brokers are down");
        problems.report(Code::BrokerTransportFailure, "sasl_ssl://k:9093/1: SSL handshake failed: certificate expired");
        problems.report(Code::Authentication, "SASL authentication error");
        assert_eq!(kinds(&problems), [("tls", 1), ("authentication", 1)]);
        assert!(problems.list()[0].detail.contains("certificate expired"));
    }

    #[test]
    fn no_more_than_the_bound_is_kept() {
        let problems = Problems::default();
        (0..2 * PROBLEMS_MAX).for_each(|n| problems.add(ProblemKind::Other, &n.to_string()));
        assert_eq!(problems.list().len(), PROBLEMS_MAX);
    }
}
