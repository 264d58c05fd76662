//! What a desk has of one home: the alerts, groups and unsent notifications of one partition, which move with it.
//!
//! Where every rule is `local: true`, each partition speaks for itself, and the desk keeps what it says apart: its groups
//! have keys of their own, which name the partition ([`home_of`]). So a home can be cut out as it stands and taken in by
//! the desk of another member, with what was told, what is owed and when: nobody is told again, and the keys by which
//! receivers deduplicate stay what they were. To merge the homes into common groups would read better in Slack; but a
//! group of which one half moves away has to tell both halves anew.
//!
//! After a restart nobody knows at first whether a home is still ours. Such a home is *unconfirmed*: what its rules say is
//! taken, nothing is told. One that leaves is, too, until what is under way is answered: so a partition that moves in order
//! takes no doubt along.
//!
//! Moments are those of the desk that set them. Where that one's clock was ahead of ours (it was set forward and put
//! right, and time never goes back), they are set back by as much: else what is owed would wait for our clock to come to
//! where the other was. Where it was behind, nothing can be told from the time that the move took.
//!
//! - `V1` a desk that adopts what another cut out goes on where that one stood: same moments, numbers and keys; moments that
//!   lie ahead of its own time by the other's clock are put right
//! - `V2` nothing of an unconfirmed home is told
//! - `V3` of a home that was released nothing is left but what was journalled

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::keep::GroupCut;
use super::meta::is_meta;
use super::{Desk, DeskCut, DeskOutput, PastLives};
use crate::alert::life::{Alert, AlertId, Life};
use crate::alert::route::home_of;
use crate::alert::silence::Silence;
use crate::engine::journal::Decision;
use crate::model::signal::ResolvedBecause;
use crate::model::{AlertStatus, AlertView, EventTime, Evidence, Millis, Signal, SourceId, WallTime};
use crate::notify::outbox::Unsent;

/// Everything a desk holds of one home.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HomeCut {
    /// The desk's time; an older Foghorn left none.
    #[serde(default)]
    now: Option<WallTime>,
    alerts: Vec<Alert>,
    groups: Vec<GroupCut>,
    /// As in [`DeskCut`].
    past: Vec<(Arc<str>, EventTime)>,
    unsent: Vec<Unsent>,
    owed: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    /// All that stand in the desk's book: what is hidden here must not be told there.
    silences: Vec<Arc<Silence>>,
}

/// How much of a home there was.
#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    alerts: usize,
    groups: usize,
    unsent: usize,
}

impl HomeCut {
    /// Whether there is nothing that would have to move.
    pub fn is_empty(&self) -> bool {
        let HomeCut { now: _, alerts, groups, past, unsent, owed: _, silences: _ } = self;
        alerts.is_empty() && groups.is_empty() && past.is_empty() && unsent.is_empty()
    }

    /// Those that hold where it was cut out.
    pub fn silences(&self) -> &[Arc<Silence>] {
        &self.silences
    }

    /// The alerts of the home.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.iter()
    }

    /// Leaves pending alerts out. Nobody was told of them, and their rules say them again with every tick.
    pub fn leave_pending(&mut self) {
        self.alerts.retain(|alert| !alert.is_pending());
    }

    /// As a desk has it whose time is `now`.
    fn put_right(&mut self, now: WallTime) {
        let ahead = self.now.unwrap_or(now).since(now);
        if ahead > Millis::ZERO {
            self.groups.iter_mut().for_each(|cut| cut.group.set_back(ahead));
            self.unsent.iter_mut().for_each(|unsent| unsent.set_back(ahead));
        }
    }

    fn amount(&self) -> Amount {
        Amount { alerts: self.alerts.len(), groups: self.groups.len(), unsent: self.unsent.len() }
    }
}

/// An alert as it moves. What an ended one was seen by is left behind: it is remembered only so that nobody begins it
/// again.
fn packed(alert: &Alert) -> Alert {
    match alert.life {
        Life::Resolved { .. } => Alert { evidence: Arc::new(Evidence::default()), ..alert.clone() },
        Life::Pending { .. } | Life::Firing { .. } => alert.clone(),
    }
}

impl DeskCut {
    /// As [`Desk::home_cut`], of the moment of this cut.
    pub fn home_cut(&self, home: &SourceId) -> HomeCut {
        let here = here(home);
        HomeCut {
            now: Some(self.now),
            alerts: self.alerts.iter().filter(|alert| alert.home.as_deref() == Some(home)).map(packed).collect(),
            groups: self.groups.iter().filter(|cut| here(&cut.group.key)).cloned().collect(),
            past: self.past.iter().filter(|(key, _)| here(key)).cloned().collect(),
            unsent: self.outbox.unsent(&here),
            owed: owed(self.owed.iter().map(|(target, keys)| (target, keys.iter())), &here),
            silences: self.silences.clone(),
        }
    }
}

/// Whether the group of a key is one of `home`, as [`home_of`] has it, without a word of memory for each key.
fn here(home: &SourceId) -> impl Fn(&str) -> bool {
    let tail = format!("}}@{home}");
    move |key| key.ends_with(&tail)
}

/// The groups that are owed something, by target.
fn owed<'a, K: Iterator<Item = &'a Arc<str>>>(
    lanes: impl Iterator<Item = (&'a Arc<str>, K)>,
    which: impl Fn(&str) -> bool,
) -> BTreeMap<Arc<str>, Vec<Arc<str>>> {
    let lanes = lanes.map(|(target, keys)| (target.clone(), keys.filter(|key| which(key)).cloned().collect()));
    lanes.filter(|(_, keys): &(_, Vec<_>)| !keys.is_empty()).collect()
}

impl Desk {
    /// What the desk holds of a home now. What is under way is in it as what may have arrived.
    pub fn home_cut(&self, home: &SourceId) -> HomeCut {
        let here = here(home);
        HomeCut {
            now: Some(self.now),
            alerts: self.alerts.iter().filter(|alert| alert.home.as_deref() == Some(home)).map(packed).collect(),
            groups: self.groups.values().filter(|entry| here(&entry.group.key)).map(|e| self.group_cut(e)).collect(),
            past: self.past.in_order().filter(|(key, _)| here(key)).collect(),
            unsent: self.outbox.unsent(&here),
            owed: owed(self.lanes.iter().map(|lane| (&lane.target, lane.owed.iter())), &here),
            silences: self.silences.iter().cloned().collect(),
        }
    }

    /// Homes of which it is not known whether they are still ours; nothing of them is told.
    pub fn unconfirmed(&self) -> impl Iterator<Item = &SourceId> {
        self.unconfirmed.iter()
    }

    /// Whether nothing may be said of a group (`V2`).
    pub(super) fn is_doubted(&self, key: &str) -> bool {
        !self.unconfirmed.is_empty() && home_of(key).is_some_and(|home| self.unconfirmed.contains(&home))
    }

    /// From here on, whatever has a home is unconfirmed.
    pub(super) fn doubt_homes(&mut self, out: &mut Vec<DeskOutput>) {
        let unsent = self.outbox.unsent(|key| home_of(key).is_some());
        let of_groups = self.groups.keys().chain(unsent.iter().map(Unsent::group)).filter_map(|key| home_of(key));
        let of_alerts = self.alerts.iter().filter_map(|alert| alert.home.as_deref().cloned());
        self.unconfirmed = of_groups.chain(of_alerts).collect();
        let homes = self.unconfirmed.len();
        self.enter(Decision::HomesDoubted { homes }, out);
        for key in self.groups.keys().cloned().collect::<Vec<_>>() {
            self.reschedule(&key, out);
        }
    }

    /// Holds back what was written already of homes that are not confirmed, and what failed since.
    pub(super) fn hush(&mut self) {
        let unconfirmed = &self.unconfirmed;
        if unconfirmed.is_empty() {
            return;
        }
        self.outbox.park(|key| home_of(key).is_some_and(|home| unconfirmed.contains(&home)));
    }

    pub(super) fn confirm_home(&mut self, home: &SourceId, out: &mut Vec<DeskOutput>) {
        if !self.unconfirmed.remove(home) {
            return;
        }
        self.enter(Decision::HomeConfirmed { home: home.clone() }, out);
        self.outbox.unpark(here(home));
        self.reschedule_home(home, out);
    }

    /// Ends the alerts of partitions where rules speak of all of them (`local` is false), and the other way round. Where no
    /// rule is local nobody else may be in the group, so it falls to us to tell the end of whatever had a home.
    pub(super) fn end_others(&mut self, local: bool, out: &mut Vec<DeskOutput>) {
        let other = |alert: &&Alert| alert.home.is_some() != local && !is_meta(&alert.rule);
        let others = self.alerts.iter().filter(other);
        let ends: Vec<Signal> = others.filter_map(|alert| alert.ended(ResolvedBecause::LocalChanged)).collect();
        if !local {
            self.clashes.end();
        }
        self.take_signals(&ends, out);
        if !local {
            let homes: Vec<SourceId> = self.unconfirmed.iter().cloned().collect();
            homes.iter().for_each(|home| self.confirm_home(home, out));
        }
    }

    /// Says nothing new of a home, so that what is under way can come to its end before the home is cut out.
    pub(super) fn leave_home(&mut self, home: SourceId, out: &mut Vec<DeskOutput>) {
        let under_way = self.under_way(&home);
        self.enter(Decision::HomeLeaving { home: home.clone(), under_way }, out);
        self.unconfirmed.insert(home.clone());
        self.reschedule_home(&home, out);
    }

    /// Deliveries of a home that have no receipt yet.
    pub fn under_way(&self, home: &SourceId) -> usize {
        self.outbox.under_way(here(home))
    }

    /// Takes a home in as another desk held it, in place of what is known of it here.
    pub(super) fn adopt_home(&mut self, home: SourceId, mut part: HomeCut, out: &mut Vec<DeskOutput>) {
        self.clear_home(&home);
        part.put_right(self.now);
        let Amount { alerts, groups, unsent } = part.amount();
        let HomeCut { now: _, alerts: mut moved, groups: cuts, past, unsent: letters, owed, silences } = part;
        for (key, since) in past {
            self.past.add(key, since, self.config.bounds.groups_max);
        }
        let mut dropped = 0;
        for cut in cuts {
            let fits = self.groups.len() < self.config.bounds.groups_max && self.restore_group(cut);
            dropped += usize::from(!fits);
        }
        self.restore_owed(&owed);
        moved.sort_by_key(Alert::is_pending); // what fires has a place first
        for alert in moved {
            if let Err(alert) = self.alerts.adopt(alert) {
                self.end_moved(&alert);
            }
        }
        let mut events = Vec::new();
        dropped += self.outbox.adopt(self.now, letters, &mut events).len();
        self.enter(Decision::HomeAdopted { home: home.clone(), alerts, groups, unsent, dropped }, out);
        self.follow(events, out);
        let fires = |alert: &&Alert| alert.is_firing() && alert.home.as_deref() == Some(&home);
        let firing: Vec<AlertId> = self.alerts.iter().filter(fires).map(|alert| alert.id).collect();
        self.rejoin(firing, out);
        self.learn_silences(silences, out);
        self.hide_again(here(&home), out);
        self.reschedule_home(&home, out);
        self.take_signals(&[], out);
    }

    /// An alert that came along and that another home has (`K6`), or for which there is no room: for whoever knows it from
    /// this home, it ends. What its rule says of it from now on is judged as any signal is.
    fn end_moved(&mut self, alert: &Alert) {
        let Some(view) = alert.view() else { return };
        let ended = AlertView { status: AlertStatus::Resolved, ends_at: Some(alert.at), ..view };
        let ended = Arc::new(ended);
        for key in &alert.groups {
            if let Some(entry) = self.groups.get_mut(key) {
                entry.group.resolved(alert.id, &ended, self.now);
            }
        }
    }

    /// Forgets a home (`V3`). Nobody is told: whoever has the home now does that.
    pub(super) fn release_home(&mut self, home: &SourceId, out: &mut Vec<DeskOutput>) {
        let Amount { alerts, groups, unsent } = self.clear_home(home);
        self.enter(Decision::HomeReleased { home: home.clone(), alerts, groups, unsent }, out);
        self.take_signals(&[], out);
    }

    fn clear_home(&mut self, home: &SourceId) -> Amount {
        let here = here(home);
        let keys: Vec<Arc<str>> = self.groups.keys().filter(|key| here(key)).cloned().collect();
        for key in &keys {
            self.remove_group(key);
        }
        self.past.forget(&here);
        self.clashes.forget(home);
        self.unconfirmed.remove(home);
        Amount { alerts: self.alerts.release(home), groups: keys.len(), unsent: self.outbox.release(here) }
    }

    fn reschedule_home(&mut self, home: &SourceId, out: &mut Vec<DeskOutput>) {
        let here = here(home);
        let keys: Vec<Arc<str>> = self.groups.keys().filter(|key| here(key)).cloned().collect();
        for key in keys {
            self.reschedule(&key, out);
        }
    }
}

impl PastLives {
    fn forget(&mut self, which: impl Fn(&str) -> bool) {
        self.order.retain(|_, key| !which(key));
        self.since.retain(|key, _| !which(key));
    }
}
