//! The outbox: which notification goes to which integration next.
//!
//! One lane per integration of each receiver. Lanes share nothing but, on request, a pace, so a receiver that hangs
//! delays no other. Within a lane each group has one slot: one attempt under way and at most one newer notification
//! behind it. A newer notification takes the place of an unsent older one; that loses nothing, because a notification
//! shows its group as it stands and is measured against what was *delivered* ([`crate::alert::group`]), and it keeps
//! the older one's place in the queue, so a busy group does not push itself back.
//!
//! A queue of closures or tasks would have been less code; but then what is owed could not be looked at, written to
//! disk, or replayed.
//!
//! - `O1` of one group at most one attempt is under way in a lane
//! - `O2` nothing is attempted again after a receipt said it arrived
//! - `O3` every notification pushed is delivered, superseded, given up, gone with its partition, or still held:
//!   [`LaneCounts`] adds up
//! - `O4` an attempt that has no receipt in time counts as failed, and its late receipt is still understood

mod keep;
mod moving;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use keep::OutboxCut;
pub use moving::Unsent;
pub use words::{
    DeadLetter, DeadReason, IntegrationPolicy, LaneCounts, LaneHealth, LaneId, LastOutcome, OutboxEvent,
    REASON_BYTES_MAX,
};

use serde::{Deserialize, Serialize};

use crate::model::{Delivery, DeliveryId, Millis, Notification, Outcome, WallTime};
use crate::notify::retry::Jitter;

/// Attempts without a receipt that a lane remembers. An older one's late receipt is reported as unknown.
pub const OVERDUE_MAX: usize = 1_000;

/// When an attempt may start, and who was first.
type Place = (WallTime, u64);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Letter {
    notification: Arc<Notification>,
    attempts: u32,
    failures: u32,
    first_attempt: Option<WallTime>,
    /// An attempt was made of which nobody knows whether it arrived.
    #[serde(default)]
    unanswered: bool,
}

impl Letter {
    fn new(notification: Arc<Notification>) -> Letter {
        Letter { notification, attempts: 0, failures: 0, first_attempt: None, unanswered: false }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Flight {
    letter: Letter,
    /// Where it waited.
    place: Place,
    started: WallTime,
    deadline: WallTime,
    newer: Option<Arc<Notification>>,
    /// A late receipt of an earlier attempt said that it arrived; this one only has to end.
    arrived: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum State {
    Waiting { letter: Letter, place: Place },
    InFlight(Flight),
}

/// One group's place in a lane.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Slot {
    state: State,
    ticket: u64,
    /// Failures in a row, over supersession: a newer notification does not make a broken receiver well.
    streak: u32,
}

impl Slot {
    fn held(&self) -> usize {
        match &self.state {
            State::Waiting { .. } => 1,
            State::InFlight(flight) => usize::from(!flight.arrived) + usize::from(flight.newer.is_some()),
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Overdue {
    notification: Arc<Notification>,
    attempt: u32,
    started: WallTime,
}

#[derive(Debug)]
struct Lane {
    receiver: Arc<str>,
    integration: usize,
    policy: IntegrationPolicy,
    pace: usize,
    /// By group key.
    slots: BTreeMap<Arc<str>, Slot>,
    ready: BTreeMap<Place, Arc<str>>,
    in_flight: BTreeMap<DeliveryId, Arc<str>>,
    overdue: BTreeMap<DeliveryId, Overdue>,
    /// Its own, so that the failures of one lane do not move the retries of another.
    jitter: Jitter,
    last: Option<(WallTime, LastOutcome)>,
    last_error: Option<(WallTime, Arc<str>)>,
    counts: LaneCounts,
}

#[derive(Debug)]
struct Pace {
    name: Option<Arc<str>>,
    /// The last attempt and `min_interval` allow no earlier one.
    free_at: WallTime,
    paused_until: WallTime,
}

#[derive(Debug)]
pub struct Outbox {
    lanes: Vec<Lane>,
    paces: Vec<Pace>,
    lane_queue_max: usize,
    seed: u64,
    next_id: u64,
    next_ticket: u64,
}

impl Outbox {
    pub fn new(lane_queue_max: usize, seed: u64) -> Outbox {
        Outbox { lanes: Vec::new(), paces: Vec::new(), lane_queue_max, seed, next_id: 1, next_ticket: 0 }
    }

    pub fn add_lane(&mut self, receiver: Arc<str>, integration: usize, policy: IntegrationPolicy) -> LaneId {
        let shared =
            policy.pace.as_ref().and_then(|name| self.paces.iter().position(|p| p.name.as_ref() == Some(name)));
        let pace = shared.unwrap_or_else(|| {
            let name = policy.pace.clone();
            self.paces.push(Pace { name, free_at: WallTime::MIN, paused_until: WallTime::MIN });
            self.paces.len() - 1
        });
        self.lanes.push(Lane {
            receiver,
            integration,
            policy,
            pace,
            slots: BTreeMap::new(),
            ready: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            overdue: BTreeMap::new(),
            jitter: Jitter::new(self.seed.wrapping_add(self.lanes.len() as u64)),
            last: None,
            last_error: None,
            counts: LaneCounts::default(),
        });
        LaneId(self.lanes.len() - 1)
    }

    /// Takes a notification for a lane.
    pub fn push(&mut self, now: WallTime, id: LaneId, notification: Arc<Notification>, events: &mut Vec<OutboxEvent>) {
        let lane = &mut self.lanes[id.0];
        lane.counts.pushed += 1;
        let older = match lane.slots.get_mut(&notification.group_key) {
            None => {
                let queued = lane.ready.len();
                if queued >= self.lane_queue_max {
                    lane.bury(id, now, Letter::new(notification), DeadReason::LaneFull { queued }, events);
                    return;
                }
                self.next_ticket += 1;
                let place = (now, self.next_ticket);
                let (letter, key) = (Letter::new(notification.clone()), notification.group_key.clone());
                lane.ready.insert(place, key.clone());
                let state = State::Waiting { letter, place };
                lane.slots.insert(key, Slot { state, ticket: self.next_ticket, streak: 0 });
                None
            }
            Some(Slot { state: State::Waiting { letter, .. }, .. }) => {
                Some(std::mem::replace(letter, Letter::new(notification.clone())))
            }
            Some(Slot { state: State::InFlight(flight), .. }) => {
                flight.newer.replace(notification.clone()).map(Letter::new)
            }
        };
        if let Some(older) = older {
            lane.superseded(id, older, notification, events);
        }
    }

    /// Counts attempts without a receipt in time as failed.
    pub fn expire(&mut self, now: WallTime, events: &mut Vec<OutboxEvent>) {
        for index in 0..self.lanes.len() {
            for id in self.lanes[index].late_flights(now) {
                self.time_out(now, LaneId(index), id, events);
            }
        }
    }

    /// Starts whatever may start, in the order of arrival over all lanes, so that lanes of one pace take turns.
    pub fn start(&mut self, now: WallTime, events: &mut Vec<OutboxEvent>) {
        while let Some(index) = self.next_start(now) {
            self.attempt(now, LaneId(index), events);
        }
    }

    /// What became of an attempt, whenever the answer comes.
    pub fn receipt(
        &mut self,
        now: WallTime,
        receiver: &str,
        id: DeliveryId,
        outcome: Outcome,
        events: &mut Vec<OutboxEvent>,
    ) {
        let mut lanes = self.lanes.iter().enumerate().filter(|(_, lane)| &*lane.receiver == receiver);
        let found = lanes.find(|(_, lane)| lane.in_flight.contains_key(&id) || lane.overdue.contains_key(&id));
        let Some(lane) = found.map(|(index, _)| LaneId(index)) else {
            events.push(OutboxEvent::Unneeded { lane: None, id, outcome: outcome_name(&outcome) });
            return;
        };
        match self.lanes[lane.0].overdue.remove(&id) {
            Some(overdue) => self.late_receipt(now, lane, id, overdue, outcome, events),
            None => self.settle(now, lane, id, outcome, events),
        }
    }

    /// When [`Outbox::expire`] or [`Outbox::start`] next have something to do.
    pub fn next_deadline(&self) -> Option<WallTime> {
        let deadlines = self.lanes.iter().flat_map(|lane| {
            let flights = lane.in_flight.values().filter_map(|key| match &lane.slots[key].state {
                State::InFlight(flight) => Some(flight.deadline),
                State::Waiting { .. } => None,
            });
            flights.chain(self.start_at(lane).map(|(at, _)| at))
        });
        deadlines.min()
    }

    pub fn health(&self, now: WallTime) -> impl Iterator<Item = LaneHealth> + '_ {
        self.lanes.iter().enumerate().map(move |(index, lane)| {
            let paused_until = self.paces[lane.pace].paused_until;
            LaneHealth {
                receiver: lane.receiver.clone(),
                integration: lane.integration,
                kind: lane.policy.kind.clone(),
                in_flight: lane.in_flight.len(),
                queued: lane.ready.len(),
                held: self.held(LaneId(index)),
                last: lane.last,
                last_error: lane.last_error.clone(),
                throttled_until: (paused_until > now).then_some(paused_until),
                counts: lane.counts,
            }
        })
    }

    /// How many more notifications of groups that have none in the lane it takes.
    pub fn room(&self, lane: LaneId) -> usize {
        self.lane_queue_max.saturating_sub(self.lanes[lane.0].ready.len())
    }

    /// Notifications held in a lane: waiting, or under way and not known to have arrived (`O3`).
    pub fn held(&self, lane: LaneId) -> usize {
        self.lanes[lane.0].slots.values().map(Slot::held).sum()
    }

    pub fn counts(&self, lane: LaneId) -> LaneCounts {
        self.lanes[lane.0].counts
    }

    /// When the first in the lane's queue may start; `None` while nothing waits or all hands are full.
    fn start_at(&self, lane: &Lane) -> Option<Place> {
        let pace = &self.paces[lane.pace];
        let (place, _) = lane.ready.first_key_value()?;
        let free = lane.in_flight.len() < lane.policy.concurrency;
        free.then(|| (place.0.max(pace.free_at).max(pace.paused_until), place.1))
    }

    fn next_start(&self, now: WallTime) -> Option<usize> {
        let starts = self.lanes.iter().enumerate().filter_map(|(index, lane)| Some((index, self.start_at(lane)?)));
        let due = starts.filter(|(_, (at, _))| *at <= now);
        due.min_by_key(|(_, (_, ticket))| *ticket).map(|(index, _)| index)
    }

    fn attempt(&mut self, now: WallTime, id: LaneId, events: &mut Vec<OutboxEvent>) {
        let lane = &mut self.lanes[id.0];
        let (place, key) = lane.ready.pop_first().expect("a lane that may start has something ready");
        let slot = lane.slots.get_mut(&key).expect("what is ready has a slot");
        let State::Waiting { letter, .. } = &slot.state else { unreachable!("what is ready is waiting") };
        let mut letter = letter.clone();
        letter.attempts += 1;
        letter.first_attempt.get_or_insert(now);
        let delivery = Delivery {
            id: DeliveryId(self.next_id),
            integration: lane.integration,
            attempt: letter.attempts,
            notification: letter.notification.clone(),
            thread: None,
            perhaps_repeated: letter.unanswered,
        };
        self.next_id += 1;
        let deadline = now + lane.policy.timeout;
        let flight = Flight { letter, place, started: now, deadline, newer: None, arrived: false };
        slot.state = State::InFlight(flight);
        lane.in_flight.insert(delivery.id, key);
        lane.counts.attempts += 1;
        self.paces[lane.pace].free_at = now + lane.policy.min_interval;
        events.push(OutboxEvent::Started { lane: id, delivery });
    }

    fn time_out(&mut self, now: WallTime, id: LaneId, delivery: DeliveryId, events: &mut Vec<OutboxEvent>) {
        let lane = &mut self.lanes[id.0];
        let Landed { slot, mut flight } = lane.land(delivery);
        flight.letter.unanswered = true;
        lane.counts.timed_out += 1;
        let (notification, attempt) = (flight.letter.notification.clone(), flight.letter.attempts);
        if lane.overdue.len() == OVERDUE_MAX {
            lane.overdue.pop_first();
        }
        lane.overdue.insert(delivery, Overdue { notification, attempt, started: flight.started });
        let reason: Arc<str> = format!("no receipt within {}", lane.policy.timeout).into();
        lane.note(now, LastOutcome::TimedOut, Some(&reason));
        self.failed(now, id, Landed { slot, flight }, Failure::Error(None), reason, events);
    }

    /// The receipt of an attempt that is under way.
    fn settle(
        &mut self,
        now: WallTime,
        id: LaneId,
        delivery: DeliveryId,
        outcome: Outcome,
        events: &mut Vec<OutboxEvent>,
    ) {
        let lane = &mut self.lanes[id.0];
        let Landed { slot, flight } = lane.land(delivery);
        match outcome {
            Outcome::Delivered { thread } => {
                lane.note(now, LastOutcome::Delivered, None);
                if flight.arrived {
                    events.push(OutboxEvent::Unneeded { lane: Some(id), id: delivery, outcome: "delivered" });
                } else {
                    lane.counts.delivered += 1;
                    events.push(OutboxEvent::Delivered {
                        lane: id,
                        notification: flight.letter.notification,
                        attempt: flight.letter.attempts,
                        took: now.since(flight.started),
                        thread,
                        late: false,
                    });
                }
                let place = (now, slot.ticket);
                lane.go_on(Slot { streak: 0, ..slot }, flight.newer, place);
            }
            Outcome::Retry { after, throttled, reason } => {
                let reason = bounded(reason);
                let (last, failure) = match throttled {
                    true => (LastOutcome::Throttled, Failure::Throttled(after)),
                    false => (LastOutcome::Failed, Failure::Error(after)),
                };
                match throttled {
                    true => lane.counts.throttled += 1,
                    false => lane.counts.failed += 1,
                }
                lane.note(now, last, Some(&reason));
                self.failed(now, id, Landed { slot, flight }, failure, reason, events);
            }
            Outcome::Rejected { reason } => {
                let answer = bounded(reason);
                lane.counts.rejected += 1;
                lane.note(now, LastOutcome::Rejected, Some(&answer));
                if !flight.arrived {
                    lane.bury(id, now, flight.letter, DeadReason::Rejected { answer }, events);
                }
                let place = (now, slot.ticket);
                lane.go_on(slot, flight.newer, place);
            }
        }
    }

    /// Decides between another attempt, a newer notification in its place, and giving up.
    fn failed(
        &mut self,
        now: WallTime,
        id: LaneId,
        Landed { mut slot, mut flight }: Landed,
        failure: Failure,
        reason: Arc<str>,
        events: &mut Vec<OutboxEvent>,
    ) {
        let lane = &mut self.lanes[id.0];
        let policy = lane.policy.retry;
        let faulty = !matches!(failure, Failure::Stopped);
        slot.streak = slot.streak.saturating_add(u32::from(faulty));
        let (notification, attempt) = (flight.letter.notification.clone(), flight.letter.attempts);
        let next_at = match failure {
            Failure::Stopped => now,
            Failure::Error(None) => now + policy.backoff(slot.streak, &mut lane.jitter),
            Failure::Error(Some(after)) => now + policy.asked(after, &mut lane.jitter),
            Failure::Throttled(after) => {
                let pause = match after {
                    Some(after) => policy.honoured(after),
                    None => policy.backoff(slot.streak, &mut lane.jitter),
                };
                let until = &mut self.paces[lane.pace].paused_until;
                *until = (*until).max(now + pause);
                *until
            }
        };
        // A paused lane starts nothing anyway, so who was throttled keeps its place.
        let (place, throttled) = match failure {
            Failure::Error(_) | Failure::Stopped => ((next_at, slot.ticket), false),
            Failure::Throttled(_) => (flight.place, true),
        };
        flight.letter.failures += u32::from(faulty && !throttled);
        let tried_for = next_at.since(flight.letter.first_attempt.unwrap_or(now));
        let dead = match &flight {
            _ if !faulty => None,
            Flight { arrived: true, .. } | Flight { newer: Some(_), .. } => None,
            _ if flight.letter.failures >= policy.attempts_max => Some(DeadReason::Attempts { last: reason.clone() }),
            _ if tried_for > policy.give_up_after => Some(DeadReason::TooOld { last: reason.clone() }),
            _ => None,
        };
        events.push(match throttled {
            true => OutboxEvent::Throttled { lane: id, notification, attempt, reason, until: next_at },
            false => {
                let goes_on = dead.is_none() && !flight.arrived;
                OutboxEvent::Failed { lane: id, notification, attempt, reason, next_at: goes_on.then_some(next_at) }
            }
        });
        match (dead, flight.newer) {
            (Some(reason), _) => lane.bury(id, now, flight.letter, reason, events),
            (None, newer) if flight.arrived => lane.go_on(slot, newer, place),
            (None, Some(newer)) => {
                lane.superseded(id, flight.letter, newer.clone(), events);
                lane.go_on(slot, Some(newer), place);
            }
            (None, None) => lane.wait(slot, flight.letter, place),
        }
    }

    /// An attempt counted as failed has an answer after all.
    fn late_receipt(
        &mut self,
        now: WallTime,
        id: LaneId,
        delivery: DeliveryId,
        overdue: Overdue,
        outcome: Outcome,
        events: &mut Vec<OutboxEvent>,
    ) {
        let lane = &mut self.lanes[id.0];
        lane.counts.late += 1;
        let thread = match outcome {
            Outcome::Delivered { thread } => thread,
            Outcome::Retry { .. } | Outcome::Rejected { .. } => {
                let outcome = outcome_name(&outcome);
                events.push(OutboxEvent::Unneeded { lane: Some(id), id: delivery, outcome });
                return;
            }
        };
        lane.note(now, LastOutcome::Delivered, None);
        let same = |letter: &Letter| {
            let (theirs, ours) = (&letter.notification, &overdue.notification);
            (theirs.group_since, theirs.sequence) == (ours.group_since, ours.sequence)
        };
        let key = overdue.notification.group_key.clone();
        match lane.slots.get_mut(&key).map(|slot| &mut slot.state) {
            Some(State::Waiting { letter, place }) if same(letter) => {
                let place = *place;
                lane.ready.remove(&place);
                lane.slots.remove(&key);
                lane.counts.delivered += 1;
            }
            Some(State::InFlight(flight)) if same(&flight.letter) && !flight.arrived => {
                flight.arrived = true;
                lane.counts.delivered += 1;
            }
            Some(State::InFlight(flight)) if same(&flight.letter) => {
                events.push(OutboxEvent::Unneeded { lane: Some(id), id: delivery, outcome: "delivered" });
                return;
            }
            // Given up or superseded since: the desk still wants to know what the receiver has.
            _ => {}
        }
        events.push(OutboxEvent::Delivered {
            lane: id,
            notification: overdue.notification,
            attempt: overdue.attempt,
            took: now.since(overdue.started),
            thread,
            late: true,
        });
    }
}

/// An attempt that ended, and the slot it flew from.
#[derive(Debug)]
struct Landed {
    slot: Slot,
    flight: Flight,
}

/// How an attempt failed, with what the receiver asked for.
#[derive(Clone, Copy, Debug)]
enum Failure {
    /// The process that tried is gone: no fault of the receiver's, so it neither waits nor counts.
    Stopped,
    Error(Option<Millis>),
    Throttled(Option<Millis>),
}

impl Lane {
    fn late_flights(&self, now: WallTime) -> Vec<DeliveryId> {
        let late = |key: &Arc<str>| match &self.slots[key].state {
            State::InFlight(flight) => flight.deadline <= now,
            State::Waiting { .. } => false,
        };
        self.in_flight.iter().filter(|(_, key)| late(key)).map(|(id, _)| *id).collect()
    }

    /// Ends a flight: its slot is out of the lane until it is put back.
    fn land(&mut self, id: DeliveryId) -> Landed {
        let key = self.in_flight.remove(&id).expect("only what flies lands");
        let slot = self.slots.remove(&key).expect("what flies has a slot");
        let State::InFlight(flight) = &slot.state else { unreachable!("`in_flight` holds what flies") };
        let flight = flight.clone();
        Landed { slot, flight }
    }

    /// Puts a slot back to wait.
    fn wait(&mut self, mut slot: Slot, letter: Letter, place: Place) {
        let key = letter.notification.group_key.clone();
        self.ready.insert(place, key.clone());
        slot.state = State::Waiting { letter, place };
        self.slots.insert(key, slot);
    }

    /// The slot's next notification, if there is one, waits at `place`.
    fn go_on(&mut self, slot: Slot, newer: Option<Arc<Notification>>, place: Place) {
        if let Some(newer) = newer {
            self.wait(slot, Letter::new(newer), place);
        }
    }

    fn superseded(&mut self, id: LaneId, older: Letter, newer: Arc<Notification>, events: &mut Vec<OutboxEvent>) {
        self.counts.superseded += 1;
        let (older, attempts) = (older.notification, older.attempts);
        events.push(OutboxEvent::Superseded { lane: id, older, newer, attempts });
    }

    fn bury(&mut self, id: LaneId, now: WallTime, letter: Letter, reason: DeadReason, events: &mut Vec<OutboxEvent>) {
        self.counts.dead += 1;
        let letter = DeadLetter {
            at: now,
            receiver: self.receiver.clone(),
            integration: self.integration,
            kind: self.policy.kind.clone(),
            notification: letter.notification,
            attempts: letter.attempts,
            reason,
        };
        events.push(OutboxEvent::Dead { lane: id, letter });
    }

    fn note(&mut self, now: WallTime, outcome: LastOutcome, error: Option<&Arc<str>>) {
        self.last = Some((now, outcome));
        if let Some(error) = error {
            self.last_error = Some((now, error.clone()));
        }
    }
}

const fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered { .. } => "delivered",
        Outcome::Retry { throttled: true, .. } => "throttled",
        Outcome::Retry { .. } => "retry",
        Outcome::Rejected { .. } => "rejected",
    }
}

fn bounded(reason: String) -> Arc<str> {
    if reason.len() <= REASON_BYTES_MAX {
        return reason.into();
    }
    format!("{}…", &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)]).into()
}
