//! The notifications of some groups leave an outbox for another one, or wait until it is known whether they do.
//!
//! Which groups is the caller's to say, by their keys. What goes along is what a receiver is still to get: an attempt that
//! is under way cannot be called back, so its notification goes along as one that may have arrived, as after a restart.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::keep::waiting;
use super::{DeadReason, Lane, LaneId, Letter, Outbox, OutboxCut, OutboxEvent, Place, Slot, State};
use crate::model::{Millis, Notification, WallTime};

/// A notification that no receipt was seen of, for whom, and how it went so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unsent {
    pub receiver: Arc<str>,
    pub kind: Arc<str>,
    integration: usize,
    letter: Letter,
    not_before: WallTime,
    streak: u32,
}

impl Unsent {
    pub fn notification(&self) -> &Notification {
        &self.letter.notification
    }

    pub fn group(&self) -> &Arc<str> {
        &self.notification().group_key
    }

    /// Its moments were set by a clock that was ahead by this much.
    pub fn set_back(&mut self, by: Millis) {
        self.not_before = self.not_before - by;
        self.letter.first_attempt = self.letter.first_attempt.map(|at| at - by);
    }
}

/// In the order in which they came.
fn unsent<'a>(lanes: impl Iterator<Item = Held<'a>>, which: impl Fn(&str) -> bool) -> Vec<Unsent> {
    let mut found: Vec<(u64, Unsent)> = Vec::new();
    for Held { receiver, kind, integration, slots } in lanes {
        for (_, slot) in slots.iter().filter(|(key, _)| which(key)) {
            let Some(((not_before, ticket), letter)) = slot.unsent() else { continue };
            let (receiver, kind, streak) = (receiver.clone(), kind.clone(), slot.streak);
            found.push((ticket, Unsent { receiver, kind, integration, letter, not_before, streak }));
        }
    }
    found.sort_by_key(|(ticket, _)| *ticket);
    found.into_iter().map(|(_, unsent)| unsent).collect()
}

/// What a lane holds, and its name.
struct Held<'a> {
    receiver: &'a Arc<str>,
    kind: &'a Arc<str>,
    integration: usize,
    slots: &'a BTreeMap<Arc<str>, Slot>,
}

impl Slot {
    /// What of it is still to be sent by somebody else.
    fn unsent(&self) -> Option<(Place, Letter)> {
        match &self.state {
            State::Waiting { letter, place } => Some((*place, letter.clone())),
            State::InFlight(flight) => match &flight.newer {
                Some(newer) => Some((flight.place, Letter::new(newer.clone()))),
                None if flight.arrived => None,
                None => Some((flight.place, Letter { unanswered: true, ..flight.letter.clone() })),
            },
        }
    }
}

impl OutboxCut {
    /// As [`Outbox::unsent`].
    pub fn unsent(&self, which: impl Fn(&str) -> bool) -> Vec<Unsent> {
        let lanes = self.lanes.iter().map(|lane| Held {
            receiver: &lane.receiver,
            kind: &lane.kind,
            integration: lane.integration,
            slots: &lane.slots,
        });
        unsent(lanes, which)
    }
}

impl Outbox {
    /// What is held of these groups, in the order in which it came.
    pub fn unsent(&self, which: impl Fn(&str) -> bool) -> Vec<Unsent> {
        let lanes = self.lanes.iter().map(|lane| Held {
            receiver: &lane.receiver,
            kind: &lane.policy.kind,
            integration: lane.integration,
            slots: &lane.slots,
        });
        unsent(lanes, which)
    }

    /// Attempts of these groups that have no receipt yet.
    pub fn under_way(&self, which: impl Fn(&str) -> bool) -> usize {
        self.lanes.iter().flat_map(|lane| lane.in_flight.values()).filter(|key| which(key)).count()
    }

    /// Forgets what is held of these groups; a receipt for any of it changes nothing any more. How many notifications.
    pub fn release(&mut self, which: impl Fn(&str) -> bool) -> usize {
        let mut released = 0;
        for lane in &mut self.lanes {
            let held: usize = lane.slots.iter().filter(|(key, _)| which(key)).map(|(_, slot)| slot.held()).sum();
            lane.slots.retain(|key, _| !which(key));
            lane.ready.retain(|_, key| !which(key));
            lane.in_flight.retain(|_, key| !which(key));
            lane.overdue.retain(|_, overdue| !which(&overdue.notification.group_key));
            lane.counts.released += held as u64;
            released += held;
        }
        released
    }

    /// Takes what another outbox held. Returns what there is no lane for; what a lane has no room for is given up, and
    /// `events` says so.
    pub fn adopt(&mut self, now: WallTime, unsent: Vec<Unsent>, events: &mut Vec<OutboxEvent>) -> Vec<Unsent> {
        let mut homeless = Vec::new();
        for unsent in unsent {
            let same = |lane: &Lane| {
                lane.receiver == unsent.receiver
                    && lane.policy.kind == unsent.kind
                    && lane.integration == unsent.integration
            };
            match self.lanes.iter().position(same) {
                Some(lane) => self.adopt_one(now, LaneId(lane), unsent, events),
                None => homeless.push(unsent),
            }
        }
        homeless
    }

    fn adopt_one(&mut self, now: WallTime, id: LaneId, unsent: Unsent, events: &mut Vec<OutboxEvent>) {
        let lane = &mut self.lanes[id.0];
        let Unsent { letter, not_before, streak, .. } = unsent;
        lane.counts.pushed += 1;
        let queued = lane.ready.len();
        if queued >= self.lane_queue_max {
            lane.bury(id, now, letter, DeadReason::LaneFull { queued }, events);
            return;
        }
        self.next_ticket += 1;
        let (ticket, place) = (self.next_ticket, (not_before, self.next_ticket));
        let key = letter.notification.group_key.clone();
        lane.ready.insert(place, key.clone());
        lane.slots.insert(key, Slot { state: State::Waiting { letter, place }, ticket, streak });
    }

    /// Starts nothing of these groups until [`Outbox::unpark`].
    pub fn park(&mut self, which: impl Fn(&str) -> bool) {
        self.lanes.iter_mut().for_each(|lane| lane.ready.retain(|_, key| !which(key)));
    }

    pub fn unpark(&mut self, which: impl Fn(&str) -> bool) {
        for lane in &mut self.lanes {
            let waiting = lane.slots.iter().filter(|(key, _)| which(key)).filter_map(waiting);
            lane.ready.extend(waiting);
        }
    }
}
