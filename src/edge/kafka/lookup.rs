//! What the cluster says of itself: whether the topics are there, before anything is read, and whom to ask.
//!
//! A consumer that runs waits for a topic that is missing, and shows it as a problem. A rehearsal must not: it would wait
//! for the end of something that never begins.

use std::time::{Duration, Instant};

use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::Metadata;

use super::KafkaError;
use super::context::Context;
use super::native::controller;
use super::settings::KafkaSettings;
use super::topics::{StreamTopics, Subscription};

/// How long to wait between questions.
const POLL: Duration = Duration::from_millis(100);

/// Asks the cluster for its topics and refuses a stream that names one that is missing, or a pattern that matches
/// none. Waits for an answer, `within` at most.
pub fn check_topics(settings: &KafkaSettings, streams: &[StreamTopics], within: Duration) -> Result<(), KafkaError> {
    let subscription = Subscription::new(streams)?;
    let client = settings.consumer()?;
    let consumer: BaseConsumer<Context> = client
        .create_with_context(Context::new(Default::default()))
        .map_err(|error| KafkaError::Client(error.to_string()))?;
    let metadata = ask(&consumer, within).map_err(|reason| KafkaError::NoAnswer {
        brokers: settings.brokers.join(", "),
        within,
        reason,
    })?;
    let there = metadata.topics().iter().filter(|topic| topic.error().is_none()).map(|topic| topic.name());
    match subscription.missing(&there.collect::<Vec<_>>()) {
        None => Ok(()),
        Some((stream, topic)) => {
            let stream = streams[stream].stream.to_string();
            Err(KafkaError::MissingTopic { stream, topic: topic.to_owned() })
        }
    }
}

/// Whether somebody can be asked to make a topic, how topics are kept, and for their ids. The embedded cluster has nobody,
/// and makes a topic when a producer asks for it; such a request would only wait for its time to be over. Asked is for
/// the cluster and one topic, or for all.
pub(super) fn has_controller<C: ClientContext>(client: &Client<C>, topic: Option<&str>, within: Duration) -> bool {
    let Ok(metadata) = client.fetch_metadata(topic, within) else { return true };
    let controller = controller(client, within);
    metadata.brokers().iter().any(|broker| Some(broker.id()) == controller)
}

/// Asks until there is an answer or time is up; then the reason, as the client has told it meanwhile.
fn ask(consumer: &BaseConsumer<Context>, within: Duration) -> Result<Metadata, String> {
    let until = Instant::now() + within;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let error = match consumer.fetch_metadata(None, left.max(POLL)) {
            Ok(metadata) => return Ok(metadata),
            Err(error) => error,
        };
        // Errors come to the context from here.
        let _ = consumer.poll(POLL);
        if left.is_zero() {
            let problems = consumer.context().problems.list(Instant::now());
            let told = problems.first().map(|problem| format!("{} ({})", problem.text, problem.detail));
            return Err(told.unwrap_or_else(|| error.to_string()));
        }
    }
}
