//! What can be said of a running consumer: numbers for the metrics, and what is wrong in words that say what to do.
//!
//! librdkafka reports an error when something begins to fail and nothing when it works again. So a problem stands until
//! something happens that could not have happened with it: a record read clears "no broker answers". What it reports
//! once only, such as a topic that does not exist, may end without a word to this member, when another gets the
//! partitions; so the reader asks Kafka now and then whether the topic is there. Only what is reported again and again
//! while it lasts may fade.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::error::RDKafkaErrorCode as Code;

use crate::model::position::SourceId;

/// How long a problem that nothing clears is shown after it was last seen.
pub const PROBLEM_SHOWN: Duration = Duration::from_secs(120);

/// How often the log is told again of a problem that stands.
pub const REMIND_EVERY: Duration = Duration::from_secs(600);

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
pub(super) struct Problems(Mutex<BTreeMap<(ProblemKind, String), Known>>);

#[derive(Debug)]
struct Known {
    problem: Problem,
    over: Over,
    /// When the log was last told.
    told: Instant,
}

/// What shows that a problem is over.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Over {
    /// It is not reported any more: while it lasts, it is.
    Silence,
    /// A record is read, of any partition: connections work.
    Reading,
    /// A record or the end of this partition is read.
    Partition,
    /// The group gives us an assignment.
    Assignment,
    /// This topic is in our assignment, or Kafka says that it is there.
    Topic(String),
    /// Nothing does.
    Never,
}

impl Over {
    fn of(kind: ProblemKind, detail: &str) -> Over {
        match kind {
            ProblemKind::Unreachable | ProblemKind::Tls | ProblemKind::Authentication => Over::Reading,
            ProblemKind::UnknownTopic | ProblemKind::Authorization => match topic_of(detail) {
                Some(topic) => Over::Topic(topic.to_owned()),
                None => Over::Assignment,
            },
            ProblemKind::Group => Over::Assignment,
            ProblemKind::Fatal => Over::Never,
            ProblemKind::Start
            | ProblemKind::Retention
            | ProblemKind::Rewind
            | ProblemKind::Commit
            | ProblemKind::Other => Over::Silence,
        }
    }
}

/// The topic of librdkafka's `Subscribed topic not available: topic: why`, which it says once.
fn topic_of(detail: &str) -> Option<&str> {
    let rest = detail.strip_prefix("Subscribed topic not available: ")?;
    rest.split(':').next().filter(|topic| !topic.is_empty())
}

impl Problems {
    pub fn report(&self, code: Code, detail: &str) {
        self.add(ProblemKind::of(code, detail), detail);
    }

    /// A fetch of this partition was refused. librdkafka says so once and goes on trying.
    pub fn report_of(&self, code: Code, source: &SourceId, detail: &str) {
        match ProblemKind::of(code, detail) {
            kind @ (ProblemKind::Authorization | ProblemKind::UnknownTopic) => {
                self.note(kind, &source.to_string(), detail, Over::Partition);
            }
            kind => self.add(kind, detail),
        }
    }

    pub fn add(&self, kind: ProblemKind, detail: &str) {
        let over = Over::of(kind, detail);
        // Connection errors name the connection and its age; one of the kind says it all.
        self.note(kind, if over == Over::Reading { "" } else { detail }, detail, over);
    }

    /// A problem of `subject`, of which there is one of a kind, however its details change.
    pub fn add_of(&self, kind: ProblemKind, subject: &str, detail: &str) {
        self.note(kind, subject, detail, Over::of(kind, detail));
    }

    fn note(&self, kind: ProblemKind, subject: &str, detail: &str, over: Over) {
        let now = Instant::now();
        let mut known = self.0.lock();
        let key = (kind, subject.to_owned());
        if let Some(Known { problem, .. }) = known.get_mut(&key) {
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
            known.insert(key, Known { problem, over, told: now });
        }
    }

    /// Something was read: connections work.
    pub fn clear_by_reading(&self) {
        self.retain(|_, known| known.over != Over::Reading);
    }

    /// Something was read of this partition, or it is not ours any more.
    pub fn clear_partition(&self, source: &SourceId) {
        let subject = source.to_string();
        self.retain(|(_, of), known| known.over != Over::Partition || *of != subject);
    }

    /// The group takes us as a member, and gives us partitions of these topics.
    pub fn clear_by_assignment(&self, sources: &[SourceId]) {
        self.retain(|_, known| match &known.over {
            Over::Assignment => false,
            Over::Topic(topic) => !sources.iter().any(|source| *source.topic == **topic),
            _ => true,
        });
    }

    pub fn clear_topic(&self, topic: &str) {
        self.retain(|_, known| !matches!(&known.over, Over::Topic(of) if of == topic));
    }

    pub fn clear(&self, over: impl Fn(ProblemKind) -> bool) {
        self.retain(|(kind, _), _| !over(*kind));
    }

    fn retain(&self, keep: impl Fn(&(ProblemKind, String), &Known) -> bool) {
        self.0.lock().retain(|key, known| keep(key, known));
    }

    /// The next topic after `last`, going round, that was not there when last heard of.
    pub fn next_topic(&self, last: &str) -> Option<String> {
        let known = self.0.lock();
        let topics = known.values().filter_map(|known| match &known.over {
            Over::Topic(topic) => Some(topic),
            _ => None,
        });
        topics.min_by_key(|topic| (topic.as_str() <= last, topic.as_str())).cloned()
    }

    /// Tells the log again of what still stands since it was last told.
    pub fn remind(&self, now: Instant) {
        for known in self.0.lock().values_mut() {
            if known.over == Over::Silence || now.saturating_duration_since(known.told) < REMIND_EVERY {
                continue;
            }
            known.told = now;
            let Problem { kind, detail, count, since, .. } = &known.problem;
            let for_s = now.saturating_duration_since(*since).as_secs();
            tracing::warn!(kind = kind.name(), detail, count, for_s, "Kafka, still: {}", kind.advice());
        }
    }

    pub fn list(&self, now: Instant) -> Vec<Problem> {
        let mut known = self.0.lock();
        known.retain(|_, known| {
            known.over != Over::Silence || now.saturating_duration_since(known.problem.last) < PROBLEM_SHOWN
        });
        // "All brokers are down" comes with every failure to connect, and first. Where more is known it says nothing.
        let causes = [ProblemKind::Tls, ProblemKind::Authentication];
        let explained = known.keys().any(|(kind, _)| causes.contains(kind));
        let told = known.values().map(|known| &known.problem);
        told.filter(|problem| !(explained && problem.kind == ProblemKind::Unreachable)).cloned().collect()
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
    /// Nothing was left to read when last we looked, and its broker answers.
    pub at_end: bool,
    /// Not read now, because its shard has not taken what was read before.
    pub paused: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(problems: &Problems) -> Vec<(&'static str, u64)> {
        problems.list(Instant::now()).iter().map(|problem| (problem.kind.name(), problem.count)).collect()
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
        problems.clear_by_assignment(&[SourceId::new("b", 0)]);
        assert_eq!(kinds(&problems), [("unknown_topic", 1)]);
        problems.clear_by_assignment(&[SourceId::new("a", 1)]);
        assert_eq!(kinds(&problems), []);
    }

    #[test]
    fn what_is_reported_once_is_shown_for_as_long_as_it_stands_and_what_is_repeated_fades() {
        let problems = Problems::default();
        problems.report(Code::UnknownTopicOrPartition, "Subscribed topic not available: a: Broker: Unknown topic");
        problems.report(Code::TopicAuthorizationFailed, "Subscribed topic not available: b: Broker: not allowed");
        problems.report(Code::GroupAuthorizationFailed, "FindCoordinator: Broker: Group authorization failed");
        problems.report_of(Code::TopicAuthorizationFailed, &SourceId::new("c", 1), "c/1: not allowed");
        problems.report(Code::Fatal, "fenced");
        problems.add(ProblemKind::Commit, "no answer");
        let later = Instant::now() + Duration::from_secs(3_600);
        let stand = |problems: &Problems| problems.list(later).iter().map(|p| p.detail.clone()).collect::<Vec<_>>();
        assert_eq!(stand(&problems).len(), 5);

        assert_eq!(problems.next_topic("").as_deref(), Some("a"));
        assert_eq!(problems.next_topic("a").as_deref(), Some("b"));
        assert_eq!(problems.next_topic("b").as_deref(), Some("a"));
        problems.clear_topic("a");
        problems.clear_by_assignment(&[]);
        problems.clear_partition(&SourceId::new("c", 0));
        assert_eq!(stand(&problems).len(), 3, "b, the fetch of c/1 and the fatal one: {:?}", stand(&problems));
        problems.clear_partition(&SourceId::new("c", 1));
        problems.clear_topic("b");
        assert_eq!(stand(&problems), ["fenced"]);
        assert_eq!(problems.next_topic(""), None);
    }

    #[test]
    fn what_stands_is_told_again_at_a_rate_and_what_fades_is_not() {
        let problems = Problems::default();
        problems.report(Code::UnknownTopicOrPartition, "Subscribed topic not available: a: Broker: Unknown topic");
        problems.add(ProblemKind::Commit, "no answer");
        let begun = Instant::now();
        let told = || problems.0.lock().values().map(|known| known.told > begun).collect::<Vec<_>>();
        problems.remind(begun + REMIND_EVERY / 2);
        assert_eq!(told(), [false, false]);
        problems.remind(begun + REMIND_EVERY);
        assert_eq!(told(), [true, false]);
    }

    #[test]
    fn a_handshake_that_fails_is_a_matter_of_tls_whatever_the_code() {
        let problems = Problems::default();
        problems.report(Code::AllBrokersDown, "1/1 brokers are down");
        problems.report(Code::BrokerTransportFailure, "sasl_ssl://k:9093/1: SSL handshake failed: certificate expired");
        problems.report(Code::Authentication, "SASL authentication error");
        assert_eq!(kinds(&problems), [("tls", 1), ("authentication", 1)]);
        assert!(problems.list(Instant::now())[0].detail.contains("certificate expired"));
    }

    #[test]
    fn no_more_than_the_bound_is_kept() {
        let problems = Problems::default();
        (0..2 * PROBLEMS_MAX).for_each(|n| problems.add(ProblemKind::Other, &n.to_string()));
        assert_eq!(problems.list(Instant::now()).len(), PROBLEMS_MAX);
    }
}
