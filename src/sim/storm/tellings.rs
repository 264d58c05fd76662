//! `V13`: what one member of the group told, another does not tell again, but for the window that is documented: a member
//! that is killed between a notification and the parcel after its receipt. Then the repeat says that it may be one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::handover::Handover;
use super::receivers::Answer;
use crate::alert::life::AlertName;
use crate::alert::route::home_of;
use crate::model::{AlertStatus, Delivery, DeliveryId, EventTime, Outcome};

/// By receiver, place of the integration, and key.
type Key = (Arc<str>, usize, String);

/// A firing of an alert, as a receiver hears of it.
type Episode = (Arc<str>, usize, String, EventTime);

/// What was told of partitions that move.
#[derive(Debug, Default)]
pub struct Tellings {
    told: BTreeMap<Key, Telling>,
    /// Of deliveries that wait for their answers, by host.
    waiting: BTreeMap<(usize, Arc<str>, DeliveryId), Key>,
    /// In which life of a group each firing was told.
    lives: BTreeMap<Episode, (usize, String)>,
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
        (host, now): (usize, i64),
        announced: bool,
        receiver: &Arc<str>,
        delivery: &Delivery,
        handover: &Handover,
    ) -> Option<String> {
        let home = home_of(&delivery.notification.group_key)?;
        let key = (receiver.clone(), delivery.integration, delivery.notification.idempotency_key());
        let before = self.told.get(&key).filter(|before| before.host != host);
        let settled =
            |before: &Telling| before.answered.is_some_and(|from| handover.has(now, before.host, &home, from));
        let wrong = match before {
            Some(before) if settled(before) => Some("after the other member had said that it was told"),
            Some(before) if before.announced && !delivery.perhaps_repeated => Some("without a word of it"),
            _ => None,
        };
        let wrong = wrong.map(|why| format!("{} is sent to {receiver} by another member again {why}", key.2));
        let answered = self.told.get(&key).filter(|before| before.host == host).and_then(|before| before.answered);
        self.waiting.insert((host, receiver.clone(), delivery.id), key.clone());
        self.told.insert(key, Telling { host, announced, answered });
        wrong.or_else(|| self.begins_anew(host, receiver, delivery))
    }

    /// Whether a firing is told as one of a group that the other member did not know of.
    fn begins_anew(&mut self, host: usize, receiver: &Arc<str>, delivery: &Delivery) -> Option<String> {
        let notification = &delivery.notification;
        for alert in notification.alerts.iter().filter(|alert| alert.status == AlertStatus::Firing) {
            let name = AlertName::from(alert).to_string();
            let episode = (receiver.clone(), delivery.integration, name.clone(), alert.starts_at);
            let life = notification.dedup_key();
            let (first, before) = self.lives.entry(episode).or_insert_with(|| (host, life.clone()));
            if *first != host && *before != life {
                return Some(format!("{receiver} is told by two members that {name} fires since {}", alert.starts_at));
            }
        }
        None
    }

    /// A host hears what became of it.
    pub fn answered(&mut self, host: usize, answer: &Answer, handover: &Handover) {
        let (receiver, id) = (&answer.receiver, answer.id);
        let Some(key) = self.waiting.get(&(host, receiver.clone(), id)) else { return };
        if let Some(telling) = self.told.get_mut(key).filter(|telling| telling.host == host) {
            match answer.outcome {
                Outcome::Delivered { .. } => telling.answered = Some(handover.sent()),
                _ => telling.announced = false, // it was not taken, as far as anyone can know
            }
        }
    }
}
