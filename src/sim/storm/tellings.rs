//! `V13`: what one member of the group told, another does not tell again, but for the windows that are documented. A member
//! is killed between a notification and the parcel after its receipt: then the repeat says that it may be one. Kafka did not
//! take the parcel before the notification within a second. A member stood still for longer than its session, or waited so
//! long for Kafka to give it parcels: until it hears of that, or of the newer parcel, each notification may come from it once,
//! and again, marked, where it heard nothing of it; nobody can know. Members need not go by the same rules: what one ended as
//! its rule was removed fires at another that has the rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::handover::Handover;
use super::receivers::Answer;
use crate::alert::life::AlertName;
use crate::alert::route::home_of;
use crate::engine::desk::DeskOutput;
use crate::engine::journal::Decision;
use crate::model::signal::ResolvedBecause;
use crate::model::{AlertStatus, Delivery, DeliveryId, EventTime, Outcome, SourceId};

/// By receiver, place of the integration, and key.
type Key = (Arc<str>, usize, String);

/// By receiver, place of the integration, and name of an alert.
type Told = (Arc<str>, usize, String);

/// What was told of partitions that move.
#[derive(Debug, Default)]
pub struct Tellings {
    told: BTreeMap<Key, Telling>,
    /// Of deliveries that wait for their answers, by host, with the partition they are of.
    waiting: BTreeMap<(usize, Arc<str>, DeliveryId), (Key, SourceId)>,
    firings: BTreeMap<Told, Firing>,
    /// What hosts sent that did not know yet that the partition was another's.
    out_of_turn: BTreeSet<(usize, Key)>,
}

/// Who sends something.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    pub host: usize,
    /// Kafka has a parcel that says so.
    pub announced: bool,
    /// The partition is another member's, and the host stood still, or waits for parcels, and cannot know that.
    pub out_of_turn: bool,
}

/// What was told last of an alert.
#[derive(Debug)]
struct Firing {
    host: usize,
    /// Of its group.
    life: String,
    since: EventTime,
    announced: bool,
    fires: bool,
    /// It ended as its rule was removed.
    removed: bool,
}

#[derive(Debug)]
struct Telling {
    host: usize,
    /// Kafka had a parcel that says so before it was sent, and nobody heard that it failed.
    announced: bool,
    /// Parcels that had been sent by anyone when the receiver was heard to have it.
    answered: Option<usize>,
}

impl Tellings {
    /// A host sends this. Why it may not.
    pub fn sends(
        &mut self,
        sender: Sender,
        receiver: &Arc<str>,
        delivery: &Delivery,
        handover: &Handover,
    ) -> Option<String> {
        let Sender { host, announced, out_of_turn } = sender;
        let home = home_of(&delivery.notification.group_key)?;
        let key = (receiver.clone(), delivery.integration, delivery.notification.idempotency_key());
        self.waiting.insert((host, receiver.clone(), delivery.id), (key.clone(), home.clone()));
        let group = &delivery.notification.group_key;
        let repeated = |why: &str| format!("{group} ({}) is sent to {receiver} by another member again {why}", key.2);
        if out_of_turn {
            let once = self.out_of_turn.insert((host, key.clone()));
            let unexplained = !once && !delivery.perhaps_repeated;
            return unexplained.then(|| repeated("and again, although it is another's"));
        }
        let before = self.told.get(&key).filter(|before| before.host != host);
        let settled = |before: &Telling| before.answered.is_some_and(|from| handover.knows_of(host, &home, from));
        let wrong = match before {
            Some(before) if settled(before) => Some(repeated("after the other member had said that it was told")),
            Some(before) if before.announced && !delivery.perhaps_repeated => Some(repeated("without a word of it")),
            _ => None,
        };
        let answered = self.told.get(&key).filter(|before| before.host == host).and_then(|before| before.answered);
        self.told.insert(key, Telling { host, announced, answered });
        wrong.or_else(|| self.begins_anew(sender, receiver, delivery))
    }

    /// Whether a firing is told as one of a group that the other member did not know of, although Kafka had its parcel.
    fn begins_anew(&mut self, sender: Sender, receiver: &Arc<str>, delivery: &Delivery) -> Option<String> {
        let Sender { host, announced, .. } = sender;
        let notification = &delivery.notification;
        let life = notification.dedup_key();
        for alert in &notification.alerts {
            let name = AlertName::from(alert).to_string();
            let key = (receiver.clone(), delivery.integration, name);
            let fires = alert.status == AlertStatus::Firing;
            let removed = self.firings.get(&key).is_some_and(|before| before.removed && !fires);
            let firing = Firing { host, life: life.clone(), since: alert.starts_at, announced, fires, removed };
            let Some(before) = self.firings.insert(key.clone(), firing) else { continue };
            let same = before.fires || before.since == alert.starts_at && !before.removed;
            if fires && same && before.announced && before.host != host && before.life != life {
                let (name, since) = (key.2, alert.starts_at);
                return Some(format!("{receiver} is told by two members that {name} fires since {since}"));
            }
        }
        None
    }

    /// What a desk decided.
    pub fn decided(&mut self, out: &[DeskOutput]) {
        for output in out {
            let DeskOutput::Journal(entry) = output else { continue };
            if let Decision::Alert { alert, because: Some(ResolvedBecause::RuleRemoved), .. } = &entry.decision {
                let name = alert.to_string();
                let told = self.firings.iter_mut().filter(|((_, _, of), _)| *of == name);
                told.for_each(|(_, firing)| firing.removed = true);
            }
        }
    }

    /// A host takes a partition over: answers to what it sent of it before tell its desk nothing.
    pub fn adopts(&mut self, host: usize, home: &SourceId) {
        self.waiting.retain(|(of, ..), (_, other)| *of != host || other != home);
    }

    /// A process begins: answers to what the one before it on this host sent are for nobody. It may begin without something
    /// that one had done: what became of requests, and, where the log has a hole, that there were any. What its parcels say is
    /// no more than it knows.
    pub fn starts(&mut self, host: usize, (answers, all): (bool, bool)) {
        self.waiting.retain(|(of, ..), _| *of != host);
        for telling in self.told.values_mut().filter(|telling| answers && telling.host == host) {
            telling.answered = None;
            telling.announced &= !all;
        }
        let firings = self.firings.values_mut().filter(|firing| all && firing.host == host);
        firings.for_each(|firing| firing.announced = false);
    }

    /// A host hears what became of it.
    pub fn answered(&mut self, host: usize, answer: &Answer, handover: &Handover) {
        let (receiver, id) = (&answer.receiver, answer.id);
        let Some((key, _)) = self.waiting.get(&(host, receiver.clone(), id)) else { return };
        if !matches!(answer.outcome, Outcome::Delivered { .. }) {
            self.out_of_turn.remove(&(host, key.clone())); // it may be tried again
        }
        if let Some(telling) = self.told.get_mut(key).filter(|telling| telling.host == host) {
            match answer.outcome {
                Outcome::Delivered { .. } => telling.answered = Some(handover.sent()),
                _ => telling.announced = false, // it was not taken, as far as anyone can know
            }
        }
    }
}
