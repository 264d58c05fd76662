//! Who else reads for the group, before we join it.
//!
//! Rules look at all partitions of their streams. Two Foghorns in one group would each see some, and both would be
//! wrong in silence, so the second one is refused at its start. One that died a moment ago is still listed until its
//! session ends; it is told from a living one by its instance id, which a state directory keeps over restarts and which
//! also lets Kafka hand the partitions back at once instead of waiting for that session.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::KafkaError;
use super::context::Context;
use super::settings::KafkaSettings;

/// How long one question may take.
const ASK_MAX: Duration = Duration::from_secs(5);

/// Between two questions.
const AGAIN: Duration = Duration::from_secs(1);

/// Waits until the group has no member but, at most, our own last life.
///
/// A cluster that does not answer, or cannot say, is no reason to stay away: [`Ok`].
///
/// # Errors
/// Somebody else is still there after `patience`.
pub fn check_alone(settings: &KafkaSettings, patience: Duration) -> Result<(), KafkaError> {
    let client = settings.consumer()?;
    let consumer: BaseConsumer<Context> = client
        .create_with_context(Context::new(Default::default()))
        .map_err(|error| KafkaError::Client(error.to_string()))?;
    let until = Instant::now() + patience;
    let mut told = false;
    loop {
        let others = match others(&consumer, settings) {
            Ok(others) => others,
            Err(error) => {
                tracing::debug!("who else is in the group cannot be found out: {error}");
                return Ok(());
            }
        };
        if others.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until {
            return Err(KafkaError::NotAlone { group: settings.group.clone(), others: others.join(", ") });
        }
        if !told {
            told = true;
            tracing::warn!(
                group = &*settings.group,
                "the group has another member ({}); waiting for it to leave, {} s at most",
                others.join(", "),
                patience.as_secs()
            );
        }
        std::thread::sleep(AGAIN);
    }
}

fn others(
    consumer: &BaseConsumer<Context>,
    settings: &KafkaSettings,
) -> Result<Vec<String>, rdkafka::error::KafkaError> {
    let groups = consumer.fetch_group_list(Some(&settings.group), ASK_MAX)?;
    let members = groups.groups().iter().filter(|group| group.name() == settings.group).flat_map(|g| g.members());
    let ours = |id: &str| settings.instance.as_ref().is_some_and(|instance| id.starts_with(&**instance));
    let name = |member: &rdkafka::groups::GroupMemberInfo| format!("{} at {}", member.id(), member.client_host());
    Ok(members.filter(|member| !ours(member.id())).map(name).collect())
}
