//! Whether the brokers we read from still answer.
//!
//! That a partition is read to its end is told once, and is true for as long as its broker goes on saying that nothing came.
//! librdkafka asks all the time and passes on no answer without records, so its statistics are asked instead: they tell for
//! each broker how long ago anything came from it. The obvious other sign, an error, comes when a connection breaks, and
//! not for a minute when a network just swallows packets.
//!
//! - `B1` of a partition whose broker has not been heard for [`SILENT_MAX`] nobody says that it is read to its end: an
//!   outage is no silence

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;

/// How often librdkafka tells, in milliseconds.
pub const STATISTICS_EVERY: &str = "1000";

/// For how long a broker may say nothing, beside the time that it may take over an answer (`fetch.wait.max.ms`).
pub const SILENT_MAX: Duration = Duration::from_secs(5);

/// What the last statistics said.
#[derive(Debug, Default)]
pub struct Leaders {
    told: Option<(Instant, Told)>,
}

/// The part of librdkafka's statistics that is read: its `STATISTICS.md` has them all.
#[derive(Debug, Deserialize)]
struct Told {
    brokers: BTreeMap<String, Broker>,
    topics: BTreeMap<String, Topic>,
}

#[derive(Debug, Deserialize)]
struct Broker {
    nodeid: i32,
    /// `logical` is another connection to one of the others, for the group.
    source: String,
    state: String,
    /// Microseconds since something came; -1 where nothing ever did.
    rxidle: i64,
}

#[derive(Debug, Deserialize)]
struct Topic {
    partitions: BTreeMap<String, Partition>,
}

#[derive(Debug, Deserialize)]
struct Partition {
    /// Who is asked for records; -1 where nobody is.
    broker: i32,
}

impl Leaders {
    /// Takes statistics in place of the last ones.
    ///
    /// # Errors
    /// They are not of the form that is known; the last ones stay, and grow old.
    pub fn take(&mut self, now: Instant, statistics: &[u8]) -> Result<(), serde_json::Error> {
        self.told = Some((now, serde_json::from_slice(statistics)?));
        Ok(())
    }

    /// Whether the broker of a partition was heard from lately; `wait` is how long it may take over an answer.
    pub fn answers(&self, now: Instant, topic: &str, partition: i32, wait: Duration) -> bool {
        let Some((at, told)) = &self.told else { return false };
        let since_told = now.saturating_duration_since(*at);
        let broker = told.topics.get(topic).and_then(|topic| topic.partitions.get(&partition.to_string()));
        let heard = |broker: &Broker| {
            let idle = u64::try_from(broker.rxidle).ok().map(Duration::from_micros);
            broker.state == "UP" && idle.is_some_and(|idle| idle + since_told <= SILENT_MAX + wait)
        };
        let node = broker.map(|partition| partition.broker).filter(|node| *node >= 0);
        node.is_some_and(|node| {
            told.brokers.values().any(|broker| broker.nodeid == node && broker.source != "logical" && heard(broker))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_at_its_end_while_its_broker_answers() {
        let statistics = br#"{
            "name": "foghorn", "ts": 1,
            "brokers": {
                "a:9092/1": {"nodeid": 1, "source": "learned", "state": "UP", "rxidle": 20000, "tx": 7},
                "b:9092/2": {"nodeid": 2, "source": "learned", "state": "UP", "rxidle": 4000000},
                "c:9092/3": {"nodeid": 3, "source": "learned", "state": "DOWN", "rxidle": 1000},
                "d:9092/4": {"nodeid": 4, "source": "learned", "state": "UP", "rxidle": -1},
                "GroupCoordinator": {"nodeid": 3, "source": "logical", "state": "UP", "rxidle": 100}
            },
            "topics": {"orders": {"topic": "orders", "partitions": {
                "0": {"partition": 0, "broker": 1, "leader": 1}, "1": {"broker": 2}, "2": {"broker": 3},
                "3": {"broker": 4}, "4": {"broker": 5}, "-1": {"broker": -1}
            }}}
        }"#;
        let now = Instant::now();
        let mut leaders = Leaders::default();
        let check = |leaders: &Leaders, seconds| {
            let now = now + Duration::from_secs(seconds);
            (0..6).filter(|partition| leaders.answers(now, "orders", *partition, Duration::ZERO)).collect::<Vec<i32>>()
        };
        assert_eq!(check(&leaders, 0), [0; 0], "nothing was told yet");
        leaders.take(now, statistics).expect("statistics");
        leaders.take(now, b"{}").expect_err("no statistics");
        assert_eq!(check(&leaders, 0), [0, 1]);
        assert_eq!(check(&leaders, 2), [0], "broker 2 said nothing for six seconds");
        assert_eq!(check(&leaders, 6), [0; 0], "what was told grows old");
        assert!(leaders.answers(now + Duration::from_secs(6), "orders", 0, Duration::from_secs(2)));
        assert!(!leaders.answers(now, "payments", 0, Duration::ZERO));
    }
}
