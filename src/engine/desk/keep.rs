//! A desk as data, and data as a desk: see [`crate::engine::state`].
//!
//! What was told to whom is kept by names that outlive a configuration: routes by their keys, integrations by receiver,
//! kind and place. A desk that is restored under another configuration keeps its alerts and everything that still has a
//! place; alerts that fire are routed anew, and join the groups they are not in yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::clashes::Clash;
use super::{Desk, DeskOutput, Entry};
use crate::alert::group::{Group, Leg};
use crate::alert::life::{Alert, AlertId};
use crate::alert::silence::{Silence, Silences};
use crate::model::{EventTime, SourceId, WallTime};
use crate::notify::outbox::{DeadLetter, OutboxCut};

/// Everything a desk holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeskCut {
    pub now: WallTime,
    pub alerts: Vec<Alert>,
    pub(super) groups: Vec<GroupCut>,
    /// When groups that are over began, oldest first.
    pub(super) past: Vec<(Arc<str>, EventTime)>,
    pub outbox: OutboxCut,
    /// Groups owed what was given up, by target.
    pub(super) owed: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    dead_letters: Vec<DeadLetter>,
    /// Journal entries made so far.
    pub journal_total: u64,
    full: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    clashes: Vec<Clash>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    unconfirmed: BTreeSet<SourceId>,
    /// Since version 2 of the format.
    #[serde(default)]
    pub(super) silences: Vec<Arc<Silence>>,
}

/// One group, by names that outlive a configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct GroupCut {
    /// The route's key.
    route: Arc<str>,
    receiver: Arc<str>,
    /// The targets of the legs, in their order.
    targets: Vec<Arc<str>>,
    not_before: EventTime,
    pub(super) group: Group,
}

/// What of a cut had no place in the desk that was restored from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Groups whose route or receiver is no more.
    pub groups: Vec<Arc<str>>,
    /// Unsent notifications to integrations that are no more: (receiver, kind, group).
    pub notifications: Vec<(Arc<str>, Arc<str>, Arc<str>)>,
}

impl Desk {
    /// What the desk holds now. From here on it remembers what it forgets, so that shards that start again from this
    /// moment bring nothing back.
    pub fn cut(&mut self) -> DeskCut {
        self.alerts.cut();
        let owed = self.lanes.iter().filter(|lane| !lane.owed.is_empty());
        DeskCut {
            now: self.now,
            alerts: self.alerts.iter().cloned().collect(),
            groups: self.groups.values().map(|entry| self.group_cut(entry)).collect(),
            past: self.past.in_order().collect(),
            outbox: self.outbox.cut(),
            owed: owed.map(|lane| (lane.target.clone(), lane.owed.iter().cloned().collect())).collect(),
            dead_letters: self.dead_letters.iter().cloned().collect(),
            journal_total: self.journal.total(),
            full: self.alerts.full,
            silences: self.silences.iter().cloned().collect(),
            clashes: self.clashes.cut(),
            unconfirmed: self.unconfirmed.clone(),
        }
    }

    pub(super) fn group_cut(&self, entry: &Entry) -> GroupCut {
        GroupCut {
            route: self.config.routes.node(entry.group.route).key.clone(),
            receiver: self.config.receivers[entry.receiver].name.clone(),
            targets: self.lanes_of[entry.receiver].iter().map(|lane| self.lanes[lane.0].target.clone()).collect(),
            not_before: entry.not_before,
            group: entry.group.clone(),
        }
    }

    /// Goes on from a cut. To be called once, before any input.
    pub fn restore(&mut self, cut: DeskCut, out: &mut Vec<DeskOutput>) -> Dropped {
        let mut dropped = Dropped::default();
        self.now = self.now.max(cut.now);
        self.journal.resume(cut.journal_total);
        self.silences = Silences::restore(cut.silences, cut.now);
        self.alerts.cut();
        self.alerts.full = cut.full;
        self.alerts.restore(cut.alerts);
        for (key, since) in cut.past {
            self.past.add(key, since, self.config.bounds.groups_max);
        }
        for group in cut.groups {
            let key = group.group.key.clone();
            if !self.restore_group(group) {
                dropped.groups.push(key);
            }
        }
        self.restore_owed(&cut.owed);
        let gone = self.outbox.restore(cut.outbox).into_iter();
        let each = |(receiver, kind, groups): (Arc<str>, Arc<str>, Vec<Arc<str>>)| {
            groups.into_iter().map(move |group| (receiver.clone(), kind.clone(), group))
        };
        dropped.notifications = gone.flat_map(each).collect();
        self.dead_letters = cut.dead_letters.into();
        self.clashes.restore(cut.clashes);
        self.unconfirmed = cut.unconfirmed;
        let firing = self.alerts.iter().filter(|alert| alert.is_firing()).map(|alert| alert.id).collect();
        self.rejoin(firing, out);
        for key in self.groups.keys().cloned().collect::<Vec<_>>() {
            self.reschedule(&key, out);
        }
        dropped
    }

    pub(super) fn restore_owed(&mut self, owed: &BTreeMap<Arc<str>, Vec<Arc<str>>>) {
        for lane in &mut self.lanes {
            let owed = owed.get(&lane.target).into_iter().flatten();
            lane.owed.extend(owed.filter(|key| self.groups.contains_key(*key)).cloned());
        }
    }

    /// Whether the group has a place under this configuration.
    pub(super) fn restore_group(&mut self, cut: GroupCut) -> bool {
        let route = self.config.routes.nodes().find(|(_, node)| node.key == cut.route).map(|(id, _)| id);
        let receiver = self.config.receiver_index.get(&cut.receiver).copied();
        let (Some(route), Some(receiver)) = (route, receiver) else { return false };
        if self.config.routes.node(route).receiver != cut.receiver {
            return false;
        }
        let mut group = cut.group;
        group.route = route;
        let targets = self.lanes_of[receiver].iter().map(|lane| &self.lanes[lane.0].target);
        let old: BTreeMap<&Arc<str>, &Leg> = cut.targets.iter().zip(&group.legs).collect();
        let legs: Vec<Option<Leg>> = targets.map(|target| old.get(target).map(|leg| Leg::clone(leg))).collect();
        group.take_legs(legs, self.now);
        let entry = Entry { group, receiver, not_before: cut.not_before, deadline: None, waits: Vec::new() };
        self.groups.insert(entry.group.key.clone(), entry);
        true
    }

    /// Routes what fires as if it had just begun; where it is in the groups already, nothing happens.
    pub(super) fn rejoin(&mut self, firing: Vec<AlertId>, out: &mut Vec<DeskOutput>) {
        for id in firing {
            let alert = self.alerts.get(id).expect("it was just there");
            let wanted: Vec<Arc<str>> = self
                .config
                .routes
                .matching(&alert.labels)
                .into_iter()
                .map(|route| {
                    let node = self.config.routes.node(route);
                    node.group_key(&node.group_by.labels_of(&alert.labels), alert.home.as_deref())
                })
                .collect();
            let kept = |key: &&Arc<str>| self.groups.get(*key).is_some_and(|entry| entry.group.fires(id));
            let settled = alert.groups.iter().filter(kept).count() == alert.groups.len()
                && (alert.groups == wanted || alert.groups.iter().any(|key| key.contains(super::OVERFLOW_LABEL)));
            if settled {
                continue;
            }
            let left: Vec<Arc<str>> = alert.groups.iter().filter(|key| !wanted.contains(key)).cloned().collect();
            for key in left {
                if let Some(entry) = self.groups.get_mut(&key) {
                    entry.group.leave(id);
                }
            }
            self.join_groups(id, &mut Default::default(), out);
        }
    }
}
