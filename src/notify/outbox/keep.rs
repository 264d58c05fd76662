//! An outbox as data, and data as an outbox: what is owed survives the process.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Failure, Landed, Lane, LaneCounts, LastOutcome, Outbox, OutboxEvent, Overdue, Slot, State};
use crate::model::{DeliveryId, WallTime};
use crate::notify::outbox::LaneId;
use crate::notify::retry::Jitter;

/// Everything an outbox holds; lanes are named by `receiver/integration`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OutboxCut {
    next_id: u64,
    next_ticket: u64,
    pub(super) lanes: Vec<LaneCut>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LaneCut {
    pub(super) receiver: Arc<str>,
    pub(super) kind: Arc<str>,
    pub(super) integration: usize,
    free_at: WallTime,
    paused_until: WallTime,
    pub(super) slots: BTreeMap<Arc<str>, Slot>,
    in_flight: BTreeMap<DeliveryId, Arc<str>>,
    overdue: BTreeMap<DeliveryId, Overdue>,
    jitter: Jitter,
    last: Option<(WallTime, LastOutcome)>,
    last_error: Option<(WallTime, Arc<str>)>,
    counts: LaneCounts,
}

impl OutboxCut {
    /// Notifications that are held, and for whom: (receiver, integration, notifications).
    pub fn held(&self) -> impl Iterator<Item = (&Arc<str>, usize, usize)> {
        self.lanes.iter().map(|lane| (&lane.receiver, lane.integration, lane.slots.len()))
    }
}

impl Outbox {
    pub fn cut(&self) -> OutboxCut {
        let lane = |lane: &Lane| LaneCut {
            receiver: lane.receiver.clone(),
            kind: lane.policy.kind.clone(),
            integration: lane.integration,
            free_at: self.paces[lane.pace].free_at,
            paused_until: self.paces[lane.pace].paused_until,
            slots: lane.slots.clone(),
            in_flight: lane.in_flight.clone(),
            overdue: lane.overdue.clone(),
            jitter: lane.jitter,
            last: lane.last,
            last_error: lane.last_error.clone(),
            counts: lane.counts,
        };
        OutboxCut { next_id: self.next_id, next_ticket: self.next_ticket, lanes: self.lanes.iter().map(lane).collect() }
    }

    /// Goes on from a cut, lane by lane. Returns the lanes of the cut that are no more, with the groups that had
    /// something in them: (receiver, kind, group keys).
    pub fn restore(&mut self, cut: OutboxCut) -> Vec<(Arc<str>, Arc<str>, Vec<Arc<str>>)> {
        self.next_id = self.next_id.max(cut.next_id);
        self.next_ticket = self.next_ticket.max(cut.next_ticket);
        let mut gone = Vec::new();
        for old in cut.lanes {
            let same = |lane: &&mut Lane| {
                lane.receiver == old.receiver && lane.policy.kind == old.kind && lane.integration == old.integration
            };
            let Some(lane) = self.lanes.iter_mut().find(same) else {
                if !old.slots.is_empty() {
                    gone.push((old.receiver, old.kind, old.slots.into_keys().collect()));
                }
                continue;
            };
            let pace = &mut self.paces[lane.pace];
            pace.free_at = pace.free_at.max(old.free_at);
            pace.paused_until = pace.paused_until.max(old.paused_until);
            lane.ready = old.slots.iter().filter_map(waiting).collect();
            lane.slots = old.slots;
            lane.in_flight = old.in_flight;
            lane.overdue = old.overdue;
            lane.jitter = old.jitter;
            (lane.last, lane.last_error, lane.counts) = (old.last, old.last_error, old.counts);
        }
        gone
    }

    /// Nobody will answer for what is under way: the process that started it is gone. It is tried again at once, and marked,
    /// because it may have arrived.
    pub fn restarted(&mut self, now: WallTime, events: &mut Vec<OutboxEvent>) {
        for index in 0..self.lanes.len() {
            let flying: Vec<DeliveryId> = self.lanes[index].in_flight.keys().copied().collect();
            for id in flying {
                let lane = &mut self.lanes[index];
                let Landed { slot, mut flight } = lane.land(id);
                flight.letter.unanswered = true;
                lane.counts.timed_out += 1;
                let reason: Arc<str> = "Foghorn was stopped before there was an answer".into();
                lane.note(now, LastOutcome::TimedOut, Some(&reason));
                self.failed(now, LaneId(index), Landed { slot, flight }, Failure::Stopped, reason, events);
            }
        }
    }
}

pub(super) fn waiting((key, slot): (&Arc<str>, &Slot)) -> Option<(super::Place, Arc<str>)> {
    match &slot.state {
        State::Waiting { place, .. } => Some((*place, key.clone())),
        State::InFlight(_) => None,
    }
}
