//! The alerts a desk knows: by identity, within a bound, with the ended ones kept a while for the page.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::alert::life::{Alert, AlertId, AlertName, Change, Ignored, Life};
use crate::engine::desk::meta;
use crate::engine::journal::Seen;
use crate::model::{EventTime, Signal, SourceId, WallTime};

/// A signal found no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub firing: bool,
    pub alerts_max: usize,
}

/// What became of a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Changed {
        id: AlertId,
        change: Change,
        displaced: Option<AlertName>,
    },
    Nothing(Ignored),
    /// Another home has it, and it is not over there.
    Elsewhere {
        id: AlertId,
        home: Option<Arc<SourceId>>,
    },
    Refused(Refused),
}

/// An alert that was forgotten: by whom it was last spoken of, and when.
#[derive(Debug)]
struct Gone {
    home: Option<Arc<SourceId>>,
    at: EventTime,
}

#[derive(Debug)]
pub(super) struct AlertTable {
    alerts: BTreeMap<AlertId, Alert>,
    pending: BTreeSet<AlertId>,
    /// The ended ones, oldest first.
    resolved: BTreeSet<(WallTime, AlertId)>,
    alerts_max: usize,
    resolved_max: usize,
    /// Firing alerts refused since anyone asked.
    pub(super) firing_refused: u64,
    /// Firing alerts were refused, and there is not much room yet.
    pub(super) full: bool,
    /// Firing and pending alerts refused ever.
    pub(super) refused: u64,
    /// Alerts that were forgotten since the last cut, with their last signal: what shards say again after a restart from
    /// that cut must not bring them back. Kept only where cuts are taken.
    gone: Option<BTreeMap<AlertId, Gone>>,
}

impl AlertTable {
    pub(super) fn new(alerts_max: usize, resolved_max: usize) -> AlertTable {
        AlertTable {
            alerts: BTreeMap::new(),
            pending: BTreeSet::new(),
            resolved: BTreeSet::new(),
            alerts_max,
            resolved_max,
            firing_refused: 0,
            full: false,
            refused: 0,
            gone: None,
        }
    }

    pub(super) fn get(&self, id: AlertId) -> Option<&Alert> {
        self.alerts.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: AlertId) -> Option<&mut Alert> {
        self.alerts.get_mut(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.values()
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn resolved(&self) -> usize {
        self.resolved.len()
    }

    /// Alerts that count against the bound: all but the ended ones.
    pub(super) fn live(&self) -> usize {
        self.alerts.len() - self.resolved.len()
    }

    pub(super) fn alerts_max(&self) -> usize {
        self.alerts_max
    }

    pub(super) fn take(&mut self, now: WallTime, signal: &Signal) -> Taken {
        let id = AlertId::of(&signal.rule, &signal.labels);
        let replayed = |gone: &Gone| gone.home == signal.home && signal.at <= gone.at;
        if self.gone.as_ref().and_then(|gone| gone.get(&id)).is_some_and(replayed) {
            return Taken::Nothing(Ignored::Stale);
        }
        let known = self.alerts.get(&id).map(|alert| (alert.life, alert.changed_at));
        let lively = known.is_some_and(|(life, _)| !matches!(life, Life::Resolved { .. }));
        if let Some(home) = self.held_elsewhere(id, &signal.home) {
            return Taken::Elsewhere { id, home: home.clone() };
        }
        let mut displaced = None;
        if !lively && self.live() >= self.alerts_max && !meta::is_meta(&signal.rule) {
            let (would_be, change) = match self.alerts.get(&id) {
                Some(alert) => {
                    let mut alert = alert.clone();
                    let change = alert.take(now, signal);
                    (Some(alert), change)
                }
                None => Alert::first(now, signal),
            };
            if let (Some(alert), false) = (would_be, matches!(change, Change::Ignored(_))) {
                match self.make_room(alert.is_firing()) {
                    Ok(name) => displaced = name,
                    Err(refused) => return Taken::Refused(refused),
                }
            }
        }
        if let Some((Life::Resolved { .. }, changed_at)) = known {
            self.resolved.remove(&(changed_at, id));
        }
        let change = match self.alerts.get_mut(&id) {
            Some(alert) => alert.take(now, signal),
            None => {
                let (alert, change) = Alert::first(now, signal);
                self.alerts.extend(alert.map(|alert| (id, alert)));
                change
            }
        };
        if change == Change::Dropped {
            self.forget(id, signal.home.clone(), signal.at);
        }
        self.file(id);
        match change {
            Change::Ignored(why) => Taken::Nothing(why),
            change => Taken::Changed { id, change, displaced },
        }
    }

    /// What a signal showed of the alert it moved: what the alert keeps (its end may have nothing to show), or the signal
    /// itself where the alert is gone.
    pub(super) fn seen(&self, id: AlertId, signal: &Signal) -> Arc<Seen> {
        let rule = signal.rule.clone();
        Arc::new(match self.alerts.get(&id) {
            Some(alert) => {
                Seen { rule, fired_at: alert.life.fired_at(), value: alert.value, evidence: alert.evidence.clone() }
            }
            None => Seen { rule, fired_at: None, value: signal.value, evidence: signal.evidence.clone() },
        })
    }

    /// A firing alert takes the place of a pending one; a pending one takes no place but a free one.
    fn make_room(&mut self, firing: bool) -> Result<Option<AlertName>, Refused> {
        let victim = if firing { self.pending.pop_last() } else { None };
        match victim {
            Some(victim) => {
                let alert = self.alerts.remove(&victim).expect("what is pending is known");
                Ok(Some(AlertName::from(&alert)))
            }
            None => {
                self.refused += 1;
                self.firing_refused += u64::from(firing);
                Err(Refused { firing, alerts_max: self.alerts_max })
            }
        }
    }

    fn forget(&mut self, id: AlertId, home: Option<Arc<SourceId>>, at: EventTime) {
        self.alerts.remove(&id);
        if let Some(gone) = &mut self.gone {
            gone.insert(id, Gone { home, at });
        }
    }

    /// The home that has the alert while it is not over, where that is not `home`.
    fn held_elsewhere(&self, id: AlertId, home: &Option<Arc<SourceId>>) -> Option<&Option<Arc<SourceId>>> {
        let alert = self.alerts.get(&id)?;
        (!matches!(alert.life, Life::Resolved { .. }) && alert.home != *home).then_some(&alert.home)
    }

    /// Takes an alert as another desk knew it. Gives it back where another home has it, or there is no room.
    pub(super) fn adopt(&mut self, alert: Alert) -> Result<(), Box<Alert>> {
        let live = !matches!(alert.life, Life::Resolved { .. });
        if self.held_elsewhere(alert.id, &alert.home).is_some() || (live && self.live() >= self.alerts_max) {
            return Err(Box::new(alert));
        }
        let id = alert.id;
        if let Some(Alert { life: Life::Resolved { .. }, changed_at, .. }) = self.alerts.get(&id) {
            self.resolved.remove(&(*changed_at, id));
        }
        self.alerts.insert(id, alert);
        self.file(id);
        Ok(())
    }

    /// Forgets the alerts of a home. How many.
    pub(super) fn release(&mut self, home: &SourceId) -> usize {
        let of_home = |alert: &&Alert| alert.home.as_deref() == Some(home);
        let ids: Vec<AlertId> = self.alerts.values().filter(of_home).map(|alert| alert.id).collect();
        for id in &ids {
            let alert = self.alerts.remove(id).expect("it was just there");
            self.resolved.remove(&(alert.changed_at, *id));
            self.pending.remove(id);
        }
        ids.len()
    }

    /// From here on, what is forgotten is remembered until the next cut.
    pub(super) fn cut(&mut self) {
        self.gone = Some(BTreeMap::new());
    }

    /// The alerts of a cut.
    pub(super) fn restore(&mut self, alerts: Vec<Alert>) {
        for alert in alerts {
            let id = alert.id;
            self.alerts.insert(id, alert);
            self.file(id);
        }
    }

    /// Keeps the indexes right.
    fn file(&mut self, id: AlertId) {
        self.pending.remove(&id);
        match self.alerts.get(&id) {
            Some(alert) if alert.is_pending() => {
                self.pending.insert(id);
            }
            Some(Alert { life: Life::Resolved { .. }, changed_at, .. }) => {
                self.resolved.insert((*changed_at, id));
            }
            _ => {}
        }
    }

    /// Forgets the oldest ended alerts beyond the bound. Not part of [`AlertTable::take`]: who resolved an alert may
    /// still want to look at it.
    pub(super) fn trim(&mut self) {
        while self.resolved.len() > self.resolved_max {
            let (_, oldest) = self.resolved.pop_first().expect("longer than the bound");
            let (home, at) = (self.alerts[&oldest].home.clone(), self.alerts[&oldest].at);
            self.forget(oldest, home, at);
        }
    }
}
