//! The desk speaks: from a group whose moment has come to notifications, and back from what became of them.

use std::sync::Arc;

use super::{Desk, DeskOutput, Entry};
use crate::alert::group::{Flush, LegState, Manner, Shown, WaitReason};
use crate::engine::journal::Decision;
use crate::model::{AlertView, Notification, SendReason, ThreadHandle};
use crate::notify::outbox::{DeadLetter, LaneId, OutboxEvent};

/// A notification written in this flush, and who gets it.
struct Written {
    why: SendReason,
    shown: Shown,
    notification: Arc<Notification>,
    lanes: Vec<LaneId>,
}

impl Desk {
    pub(super) fn manner(&self, entry: &Entry, leg: usize) -> Manner {
        let lane = self.lanes_of[entry.receiver][leg];
        Manner {
            timing: self.config.routes.node(entry.group.route).timing,
            send_resolved: self.lanes[lane.0].send_resolved,
            owed_max: self.config.bounds.owed_max,
        }
    }

    /// What a leg of a group does next.
    pub(super) fn next(&self, entry: &Entry, leg: usize) -> Flush {
        match self.is_doubted(&entry.group.key) {
            true => Flush::Wait(WaitReason::Unconfirmed),
            false => entry.group.judge(leg, self.manner(entry, leg), self.now),
        }
    }

    /// Lets every leg of the group whose moment has come speak or move on. Legs that would say the same share one
    /// notification, so Slack and mail of one receiver carry the same number.
    pub(super) fn flush(&mut self, key: &Arc<str>, out: &mut Vec<DeskOutput>) {
        let Some(mut entry) = self.groups.remove(key) else { return };
        // Its timer is spent; `reschedule` sets the next.
        if let Some(at) = entry.deadline.take() {
            self.timers.remove(&(at, key.clone()));
        }
        let mut written: Vec<Written> = Vec::new();
        for leg in 0..entry.group.legs.len() {
            let lane = self.lanes_of[entry.receiver][leg];
            let manner = self.manner(&entry, leg);
            match entry.group.judge(leg, manner, self.now) {
                Flush::Wait(_) => continue,
                Flush::Skip(why) => {
                    entry.group.skipped(leg, why);
                    *self.suppressed.entry(why.name()).or_default() += 1;
                    let target = self.lanes[lane.0].target.clone();
                    self.enter(Decision::Skip { group: key.clone(), target, why }, out);
                }
                Flush::Send(why) => {
                    let shown =
                        entry.group.show(leg, manner.send_resolved, self.config.bounds.alerts_per_notification_max);
                    let same = written.iter_mut().find(|other| other.why == why && other.shown == shown);
                    let sequence = match same {
                        Some(other) => {
                            other.lanes.push(lane);
                            other.notification.sequence
                        }
                        None => {
                            let notification = Arc::new(self.write(&mut entry, why, &shown));
                            let sequence = notification.sequence;
                            written.push(Written { why, shown, notification, lanes: vec![lane] });
                            sequence
                        }
                    };
                    entry.group.wrote(leg, sequence, manner.send_resolved, self.now);
                }
            }
            self.lanes[lane.0].owed.remove(key);
        }
        self.groups.insert(key.clone(), entry);
        for Written { why, shown, notification, lanes } in written {
            let targets = lanes.iter().map(|lane| self.lanes[lane.0].target.clone()).collect();
            let (firing, ended, truncated) = (shown.firing.len(), shown.ended.len(), shown.truncated);
            let sequence = notification.sequence;
            self.enter(Decision::Flush { group: key.clone(), why, sequence, targets, firing, ended, truncated }, out);
            let mut events = Vec::new();
            for lane in lanes {
                self.outbox.push(self.now, lane, notification.clone(), &mut events);
            }
            self.follow(events, out);
        }
        self.reschedule(key, out);
    }

    fn write(&self, entry: &mut Entry, reason: SendReason, shown: &Shown) -> Notification {
        let view = |id: &_| self.alerts.get(*id).and_then(|alert| alert.view()).expect("what fires is in the table");
        let mut firing: Vec<AlertView> = shown.firing.iter().map(view).collect();
        let mut ended: Vec<AlertView> = entry
            .group
            .ended()
            .filter(|(id, _)| shown.ended.contains(id))
            .map(|(_, view)| AlertView::clone(view))
            .collect();
        let order = |a: &AlertView, b: &AlertView| (&a.labels, &a.rule).cmp(&(&b.labels, &b.rule));
        firing.sort_by(order);
        ended.sort_by(order);
        firing.append(&mut ended);
        Notification {
            receiver: self.config.receivers[entry.receiver].name.clone(),
            group_key: entry.group.key.clone(),
            group_labels: entry.group.labels.clone(),
            group_since: entry.group.since(),
            sequence: entry.group.next_sequence(),
            reason,
            at: self.now,
            alerts: firing,
            truncated: shown.truncated,
            external_url: self.config.external_url.clone(),
        }
    }

    /// Acts on one thing the outbox did.
    pub(super) fn follow_one(&mut self, event: OutboxEvent, out: &mut Vec<DeskOutput>) {
        match event {
            OutboxEvent::Started { lane, mut delivery } => {
                let notification = &delivery.notification;
                let group = notification.group_key.clone();
                let (sequence, attempt, id) = (notification.sequence, delivery.attempt, delivery.id);
                delivery.thread = self.leg(lane, notification).and_then(|leg| leg.thread.clone());
                let receiver = notification.receiver.clone();
                let target = self.lanes[lane.0].target.clone();
                self.enter(Decision::Attempt { group, target, sequence, attempt, id }, out);
                out.push(DeskOutput::Deliver { receiver, delivery });
            }
            OutboxEvent::Delivered { lane, notification, attempt, took, thread, late } => {
                let (group, target) = (notification.group_key.clone(), self.lanes[lane.0].target.clone());
                let sequence = notification.sequence;
                self.enter(Decision::Delivered { group, target, sequence, attempt, took, late }, out);
                self.delivered(lane, &notification, thread, out);
            }
            OutboxEvent::Failed { lane, notification, attempt, reason, next_at } => {
                let (group, target) = (notification.group_key.clone(), self.lanes[lane.0].target.clone());
                let sequence = notification.sequence;
                self.enter(Decision::Failed { group, target, sequence, attempt, reason, next_at }, out);
            }
            OutboxEvent::Throttled { lane, notification, attempt, reason, until } => {
                let (group, target) = (notification.group_key.clone(), self.lanes[lane.0].target.clone());
                let sequence = notification.sequence;
                self.enter(Decision::Throttled { group, target, sequence, attempt, reason, until }, out);
            }
            OutboxEvent::Superseded { lane, older, newer, attempts } => {
                let (group, target) = (older.group_key.clone(), self.lanes[lane.0].target.clone());
                let (sequence, by) = (older.sequence, newer.sequence);
                self.enter(Decision::Superseded { group, target, sequence, by, attempts }, out);
            }
            OutboxEvent::Dead { lane, letter } => self.gave_up(lane, letter, out),
            OutboxEvent::Unneeded { lane, id, outcome } => {
                let target = lane.map(|lane| self.lanes[lane.0].target.clone());
                self.enter(Decision::ReceiptUnneeded { target, id, outcome }, out);
            }
        }
    }

    fn delivered(
        &mut self,
        lane: LaneId,
        notification: &Notification,
        thread: Option<ThreadHandle>,
        out: &mut Vec<DeskOutput>,
    ) {
        let key = notification.group_key.clone();
        let integration = self.lanes[lane.0].integration;
        if let Some(entry) = self.life_of(notification) {
            if thread.is_some() {
                entry.group.legs[integration].thread = thread;
            }
            entry.group.delivered(integration, notification.sequence);
            let still_owed = matches!(entry.group.legs[integration].state, LegState::Owed { .. });
            if !still_owed {
                self.lanes[lane.0].owed.remove(&key);
            }
            self.reschedule(&key, out);
        }
        // No more than the lane takes: the others stay owed, for the next delivery or their own timer.
        let room = self.outbox.room(lane);
        let owed: Vec<Arc<str>> = self.lanes[lane.0].owed.iter().take(room).cloned().collect();
        if owed.is_empty() {
            return;
        }
        let target = self.lanes[lane.0].target.clone();
        self.enter(Decision::ReceiverBack { target, groups: owed.len() }, out);
        for key in owed {
            self.lanes[lane.0].owed.remove(&key);
            if let Some(entry) = self.groups.get_mut(&key) {
                entry.group.receiver_back(integration, self.now);
            }
            self.reschedule(&key, out);
        }
    }

    fn gave_up(&mut self, lane: LaneId, letter: DeadLetter, out: &mut Vec<DeskOutput>) {
        let notification = letter.notification.clone();
        let key = notification.group_key.clone();
        let LaneId(index) = lane;
        let integration = self.lanes[index].integration;
        let now = self.now;
        let interval = |route| self.config.routes.node(route).timing.group_interval;
        let retry_at = self.groups.get(&key).map(|entry| now + interval(entry.group.route));
        let owed_until = retry_at.filter(|at| {
            self.life_of(&notification)
                .is_some_and(|entry| entry.group.gave_up(integration, notification.sequence, *at, now))
        });
        if owed_until.is_some() {
            self.lanes[index].owed.insert(key.clone());
        }
        let decision = Decision::GivenUp {
            group: key.clone(),
            target: self.lanes[index].target.clone(),
            sequence: notification.sequence,
            attempts: letter.attempts,
            why: letter.reason.clone(),
            owed_until,
        };
        self.enter(decision, out);
        if self.dead_letters.len() >= self.config.bounds.dead_letters_max {
            self.dead_letters.pop_front();
        }
        self.dead_letters.push_back(letter.clone());
        out.push(DeskOutput::DeadLetter(letter));
        self.reschedule(&key, out);
    }

    /// The group a notification came from, if it is still in the same life.
    fn life_of(&mut self, notification: &Notification) -> Option<&mut Entry> {
        let entry = self.groups.get_mut(&notification.group_key)?;
        (entry.group.since() == notification.group_since).then_some(entry)
    }

    fn leg(&mut self, lane: LaneId, notification: &Notification) -> Option<&crate::alert::Leg> {
        let integration = self.lanes[lane.0].integration;
        self.life_of(notification).map(|entry| &entry.group.legs[integration])
    }
}
