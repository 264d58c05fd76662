//! Who else reads for the group, before we join it.
//!
//! Rules look at all partitions of their streams. Two Foghorns in one group would each see some, and both would be
//! wrong in silence, so the second one is refused at its start, unless all rules of both are `local: true`: then each
//! partition is judged by itself, by whoever reads it. Kafka tells no more of a member than its client id, so a Foghorn
//! whose rules are local says so there ([`local_client_id`]).
//!
//! One that died a moment ago is still listed until its session ends; it is told from a living one by its instance id,
//! which a state directory keeps over restarts and which also lets Kafka hand the partitions back at once instead of
//! waiting for that session.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::KafkaError;
use super::context::Context;
use super::settings::KafkaSettings;

/// How long one question may take.
const ASK_MAX: Duration = Duration::from_secs(5);

/// Between two questions.
const AGAIN: Duration = Duration::from_secs(1);

/// How the client id of a Foghorn begins that may share its group.
const LOCAL: &str = "foghorn-local";

/// With whom a group may be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Company {
    /// Nobody, and why.
    Nobody { because: String },
    /// Foghorns whose rules are all `local: true`.
    Local,
}

/// The client id by which others see that this Foghorn may share its group.
pub fn local_client_id(configured: &str) -> String {
    match configured {
        "foghorn" | LOCAL => LOCAL.to_owned(),
        other => format!("{LOCAL}-{other}"),
    }
}

/// Waits until the group has no member we may not share it with. Our own last life is none.
///
/// A cluster that does not answer, or cannot say, is no reason to stay away: [`Ok`].
///
/// # Errors
/// Somebody else is still there after `patience`.
pub fn check_company(settings: &KafkaSettings, company: &Company, patience: Duration) -> Result<(), KafkaError> {
    let client = settings.consumer()?;
    let consumer: BaseConsumer<Context> = client
        .create_with_context(Context::new(Default::default()))
        .map_err(|error| KafkaError::Client(error.to_string()))?;
    let until = Instant::now() + patience;
    let mut told = false;
    loop {
        let strangers = match others(&consumer, settings) {
            Ok(others) => others.into_iter().filter(|other| !company.admits(other)).collect::<Vec<_>>(),
            Err(error) => {
                tracing::debug!("who else is in the group cannot be found out: {error}");
                return Ok(());
            }
        };
        if strangers.is_empty() {
            return Ok(());
        }
        let names = strangers.iter().map(|other| &*other.name).collect::<Vec<_>>().join(", ");
        if Instant::now() >= until {
            return Err(company.refusal(settings.group.clone(), names));
        }
        if !told {
            told = true;
            tracing::warn!(
                group = &*settings.group,
                "the group has another member ({names}), and may not be shared with it: {}; waiting for it to leave, {} s at most",
                company.why(),
                patience.as_secs()
            );
        }
        std::thread::sleep(AGAIN);
    }
}

impl Company {
    fn admits(&self, other: &Other) -> bool {
        *self == Company::Local && other.local
    }

    fn why(&self) -> &str {
        match self {
            Company::Nobody { because } => because,
            Company::Local => "it is no Foghorn with local rules",
        }
    }

    fn refusal(&self, group: String, others: String) -> KafkaError {
        match self {
            Company::Nobody { because } => KafkaError::NotAlone { group, others, because: because.clone() },
            Company::Local => KafkaError::OtherNotLocal { group, others },
        }
    }
}

/// Another member.
struct Other {
    name: String,
    local: bool,
}

fn others(
    consumer: &BaseConsumer<Context>,
    settings: &KafkaSettings,
) -> Result<Vec<Other>, rdkafka::error::KafkaError> {
    let groups = consumer.fetch_group_list(Some(&settings.group), ASK_MAX)?;
    let members = groups.groups().iter().filter(|group| group.name() == settings.group).flat_map(|g| g.members());
    let ours = |id: &str| settings.instance.as_ref().is_some_and(|instance| id.starts_with(&**instance));
    let other = |member: &rdkafka::groups::GroupMemberInfo| Other {
        name: format!("{} at {}", member.id(), member.client_host()),
        local: member.client_id().starts_with(LOCAL),
    };
    Ok(members.filter(|member| !ours(member.id())).map(other).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foghorn_with_local_rules_says_so_in_its_client_id_and_keeps_the_one_it_was_given() {
        assert_eq!(["foghorn", "alerts"].map(local_client_id), ["foghorn-local", "foghorn-local-alerts"]);
    }

    #[test]
    fn only_local_ones_share_a_group_and_both_others_are_told_why() {
        let member = |local| Other { name: "ada at /10.0.0.7".into(), local };
        let alone = Company::Nobody { because: "the rule `A` (a.yaml:3) is not `local: true`".into() };
        let admitted =
            [&alone, &Company::Local].map(|company| [false, true].map(|local| company.admits(&member(local))));
        assert_eq!(admitted, [[false, false], [false, true]]);
        expect_test::expect![[r#"
            the consumer group `ops` has another member: ada at /10.0.0.7. Two Foghorns in one group would each see half of the events, and the rule `A` (a.yaml:3) is not `local: true`; stop the other, or give this one a `kafka.group` of its own
            the consumer group `ops` has a member that is no Foghorn with local rules: ada at /10.0.0.7. It would see half of the events; stop it, or give this one a `kafka.group` of its own"#]]
        .assert_eq(&[&alone, &Company::Local].map(|company| company.refusal("ops".into(), member(true).name).to_string()).join("\n"));
    }
}
