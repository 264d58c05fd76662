//! A Kafka cluster inside the process: librdkafka's mock cluster, listening on loopback with the real protocol. For
//! `foghorn demo` and for tests; nothing to install, nothing left behind.
//!
//! What it does: produce and consume with all codecs, idempotent producers, groups (range, cooperative-sticky, KIP-848),
//! commits, and faults on demand. What it does not: admin requests, compaction, `offsets_for_times` (every timestamp is
//! the end), transactions, a backlog. Its bounds, which are librdkafka's and cannot be changed:
//!
//! - 5 MiB or 100,000 batches a partition ([`PARTITION_BYTES_MAX`]); older batches are dropped in silence
//! - one batch a partition and fetch, so producers should linger
//! - a fetch that finds nothing is answered after `fetch.wait.max.ms`, even if a record comes meanwhile
//! - a rebalance of two members takes up to the session timeout: set `session.timeout.ms` to 6000 for it
//!
//! `rdkafka::mocking` wraps the same cluster, but keeps the handle to itself that the initial delay of groups needs.

use std::ffi::{CStr, CString};
use std::fmt;
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr, RDKafkaType};
use rdkafka_sys as sys;

use super::KafkaError;

/// Payload bytes one partition holds, batch headers included. The oldest batches go when there are more.
pub const PARTITION_BYTES_MAX: usize = 5 << 20;

/// Lives until dropped.
pub struct EmbeddedCluster {
    cluster: NonNull<sys::rd_kafka_mock_cluster_t>,
    bootstrap: String,
    /// Owns the threads the cluster runs on; dropped after it.
    _client: Client<DefaultClientContext>,
}

// SAFETY: the cluster has its own lock and is driven by messages to its thread; every call below may come from any
// thread, as librdkafka's documentation says of all its calls.
unsafe impl Send for EmbeddedCluster {}
// SAFETY: as above.
unsafe impl Sync for EmbeddedCluster {}

impl EmbeddedCluster {
    /// One broker with these topics, each with its number of partitions. Topics nobody created come into being, with
    /// four partitions, when a client asks for them.
    pub fn start<'t>(topics: impl IntoIterator<Item = (&'t str, i32)>) -> Result<EmbeddedCluster, KafkaError> {
        EmbeddedCluster::with_brokers(1, topics)
    }

    pub fn with_brokers<'t>(
        brokers: i32,
        topics: impl IntoIterator<Item = (&'t str, i32)>,
    ) -> Result<EmbeddedCluster, KafkaError> {
        let config = ClientConfig::new();
        let client = config
            .create_native_config()
            .and_then(|native| Client::new(&config, native, RDKafkaType::RD_KAFKA_PRODUCER, DefaultClientContext))
            .map_err(|error| KafkaError::Client(error.to_string()))?;
        // SAFETY: the client is alive; null means the cluster could not be made.
        let cluster = unsafe { sys::rd_kafka_mock_cluster_new(client.native_ptr(), brokers) };
        let cluster = NonNull::new(cluster).ok_or_else(|| refused("start", "no port on loopback could be opened"))?;
        // SAFETY: the cluster is alive, and gives a string that lives as long as it.
        let bootstrap = unsafe { CStr::from_ptr(sys::rd_kafka_mock_cluster_bootstraps(cluster.as_ptr())) };
        let bootstrap = bootstrap.to_string_lossy().into_owned();
        let embedded = EmbeddedCluster { cluster, bootstrap, _client: client };
        // librdkafka waits three seconds for more members before a group's first assignment.
        embedded.group_delay(Duration::from_millis(100));
        for (topic, partitions) in topics {
            embedded.create_topic(topic, partitions)?;
        }
        Ok(embedded)
    }

    /// `host:port,…` for clients.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), KafkaError> {
        let what = || format!("create topic `{topic}`");
        let name = CString::new(topic).map_err(|_| refused(&what(), "the name holds a NUL"))?;
        // SAFETY: the cluster is alive, the name valid for the call.
        let error = unsafe { sys::rd_kafka_mock_topic_create(self.cluster.as_ptr(), name.as_ptr(), partitions, 1) };
        done(error, what)
    }

    /// How long a group with no members waits for more of them after the first. 100 ms unless set.
    pub fn group_delay(&self, delay: Duration) {
        // SAFETY: the cluster is alive.
        unsafe { sys::rd_kafka_mock_group_initial_rebalance_delay_ms(self.cluster.as_ptr(), millis(delay)) }
    }

    /// The next requests of this kind fail with these errors, one each. `RD_KAFKA_RESP_ERR__TRANSPORT` disconnects.
    pub fn fail_requests(&self, kind: RDKafkaApiKey, errors: &[RDKafkaRespErr]) {
        // SAFETY: the cluster is alive; the array is copied.
        unsafe {
            sys::rd_kafka_mock_push_request_errors_array(
                self.cluster.as_ptr(),
                kind.into(),
                errors.len(),
                errors.as_ptr(),
            );
        }
    }

    /// Drops all connections and takes no new ones. Broker ids count from 1; `None` means all.
    pub fn broker_down(&self, broker: Option<i32>) -> Result<(), KafkaError> {
        // SAFETY: the cluster is alive.
        let error = unsafe { sys::rd_kafka_mock_broker_set_down(self.cluster.as_ptr(), broker.unwrap_or(-1)) };
        done(error, || "take a broker down".to_owned())
    }

    pub fn broker_up(&self, broker: Option<i32>) -> Result<(), KafkaError> {
        // SAFETY: the cluster is alive.
        let error = unsafe { sys::rd_kafka_mock_broker_set_up(self.cluster.as_ptr(), broker.unwrap_or(-1)) };
        done(error, || "bring a broker up".to_owned())
    }

    /// Delays every answer.
    pub fn round_trip(&self, broker: Option<i32>, delay: Duration) -> Result<(), KafkaError> {
        let broker = broker.unwrap_or(-1);
        // SAFETY: the cluster is alive.
        let error = unsafe { sys::rd_kafka_mock_broker_set_rtt(self.cluster.as_ptr(), broker, millis(delay)) };
        done(error, || "delay a broker".to_owned())
    }

    /// Moves a partition to another broker; `None` leaves it without a leader.
    pub fn leader(&self, topic: &str, partition: i32, broker: Option<i32>) -> Result<(), KafkaError> {
        let what = || format!("move {topic}/{partition}");
        let name = CString::new(topic).map_err(|_| refused(&what(), "the name holds a NUL"))?;
        let broker = broker.unwrap_or(-1);
        // SAFETY: the cluster is alive, the name valid for the call.
        let error =
            unsafe { sys::rd_kafka_mock_partition_set_leader(self.cluster.as_ptr(), name.as_ptr(), partition, broker) };
        done(error, what)
    }
}

impl fmt::Debug for EmbeddedCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedCluster").field("bootstrap", &self.bootstrap).finish()
    }
}

impl Drop for EmbeddedCluster {
    fn drop(&mut self) {
        // SAFETY: ours, made once, destroyed once, before its client.
        unsafe { sys::rd_kafka_mock_cluster_destroy(self.cluster.as_ptr()) }
    }
}

fn millis(delay: Duration) -> i32 {
    i32::try_from(delay.as_millis()).unwrap_or(i32::MAX)
}

fn done(error: RDKafkaRespErr, what: impl Fn() -> String) -> Result<(), KafkaError> {
    match error {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        error => Err(refused(&what(), &RDKafkaErrorCode::from(error).to_string())),
    }
}

fn refused(what: &str, reason: &str) -> KafkaError {
    KafkaError::Embedded { what: what.to_owned(), reason: reason.to_owned() }
}
