//! What the page, the API and the metrics may see of a desk. Everything here only reads.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::Serialize;

use super::{Desk, meta};
use crate::alert::group::{Flush, LegState};
use crate::alert::life::{Alert, AlertId, AlertName};
use crate::alert::silence::Silence;
use crate::engine::journal::Journal;
use crate::model::{EventTime, Labels, RuleMeta, SourceId, WallTime};
use crate::notify::outbox::{DeadLetter, LaneHealth, LaneId, Unsent};

/// A notification group as the page shows it.
#[derive(Clone, Debug)]
pub struct GroupView {
    pub key: Arc<str>,
    pub receiver: Arc<str>,
    pub labels: Labels,
    pub since: EventTime,
    pub opened_at: WallTime,
    /// Notifications written in this life of the group.
    pub notifications: u32,
    pub firing: Vec<AlertId>,
    /// Ended alerts whose end is still owed to someone.
    pub ended: Vec<AlertName>,
    pub legs: Vec<LegView>,
}

/// What one integration was told of a group, and what happens next.
#[derive(Clone, Debug)]
pub struct LegView {
    /// `ops/slack`
    pub target: Arc<str>,
    pub state: LegState,
    pub next: Flush,
}

/// How full the desk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeskCounts {
    pub pending: usize,
    pub firing: usize,
    /// Ended alerts that are still shown.
    pub resolved: usize,
    /// Signals of alerts for which there was no room, ever.
    pub refused: u64,
    pub groups: usize,
    /// Groups with a receiver that is owed what had to be given up.
    pub owed: usize,
    pub dead_letters: usize,
}

impl Desk {
    /// All alerts in the order of their identity: pending, firing, and recently resolved.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.iter()
    }

    pub fn alert(&self, rule: &RuleMeta, labels: &Labels) -> Option<&Alert> {
        self.alerts.get(AlertId::of(rule, labels))
    }

    /// Rules that are called degraded.
    pub fn degraded(&self) -> Vec<RuleMeta> {
        self.alerts.iter().filter_map(meta::degraded_rule).collect()
    }

    /// Sources of which it was told that they stand still, and not yet that they move again: (stream, source).
    pub fn stalled(&self) -> impl Iterator<Item = (Arc<str>, SourceId)> + '_ {
        self.alerts().filter(|alert| alert.is_firing()).filter_map(meta::stalled_source)
    }

    /// All groups by key.
    pub fn groups(&self) -> impl Iterator<Item = GroupView> + '_ {
        self.groups.values().map(|entry| {
            let group = &entry.group;
            let leg = |(index, lane): (usize, &LaneId)| LegView {
                target: self.lanes[lane.0].target.clone(),
                state: group.legs[index].state,
                next: self.next(entry, index),
            };
            GroupView {
                key: group.key.clone(),
                receiver: self.config.receivers[entry.receiver].name.clone(),
                labels: group.labels.clone(),
                since: group.since(),
                opened_at: group.opened_at,
                notifications: group.notifications(),
                firing: group.firing().collect(),
                ended: group.ended().map(|(_, view)| AlertName::from(&**view)).collect(),
                legs: self.lanes_of[entry.receiver].iter().enumerate().map(leg).collect(),
            }
        })
    }

    /// Every integration of every receiver: what it is doing, how it went, and the counters for metrics.
    pub fn lanes(&self) -> impl Iterator<Item = LaneHealth> + '_ {
        self.outbox.health(self.now)
    }

    /// Notifications to these groups that no receipt was seen of, in the order in which they were written.
    pub fn unsent(&self, which: impl Fn(&str) -> bool) -> Vec<Unsent> {
        self.outbox.unsent(which)
    }

    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// All silences by id, expired ones for a while.
    pub fn silences(&self) -> impl ExactSizeIterator<Item = &Arc<Silence>> {
        self.silences.iter()
    }

    /// Whether a silence in force hides alerts of these labels.
    pub fn hides(&self, labels: &Labels) -> bool {
        self.silences.hiding(labels).is_some()
    }

    /// Moments that passed without a word since the desk was made, by [`SkipReason::name`](crate::alert::SkipReason::name).
    pub fn suppressed(&self) -> &BTreeMap<&'static str, u64> {
        &self.suppressed
    }

    /// What had to be given up, oldest first.
    pub fn dead_letters(&self) -> &VecDeque<DeadLetter> {
        &self.dead_letters
    }

    pub fn counts(&self) -> DeskCounts {
        DeskCounts {
            pending: self.alerts.pending(),
            firing: self.alerts.live() - self.alerts.pending(),
            resolved: self.alerts.resolved(),
            refused: self.alerts.refused,
            groups: self.groups.len(),
            owed: self.lanes.iter().map(|lane| lane.owed.len()).sum(),
            dead_letters: self.dead_letters.len(),
        }
    }
}
