//! Rules that say `local: true` and are not.
//!
//! Every partition raises its own alerts, so two of them that raise the same one show that its group does not live in one
//! partition: each sees a part of it, and each would tell. The first keeps the alert; the other is not taken, and stands
//! here until it ends, or until the alert is free for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::life::AlertId;
use crate::model::{RuleMeta, Signal, SourceId};

/// Clashes known at once; a further one is journalled and not kept.
const CLASHES_MAX: usize = 1_000;

/// An alert that one home raises while it is another's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Clash {
    alert: AlertId,
    home: Arc<SourceId>,
    rule: Arc<RuleMeta>,
}

#[derive(Debug, Default)]
pub(super) struct Clashes {
    of: BTreeMap<(AlertId, Arc<SourceId>), Arc<RuleMeta>>,
    /// Rules of which a clash ended since anyone asked.
    ended: Vec<Arc<RuleMeta>>,
}

impl Clashes {
    /// Whether it is a new one.
    pub(super) fn note(&mut self, alert: AlertId, signal: &Signal) -> bool {
        let Some(home) = &signal.home else { return false };
        let key = (alert, home.clone());
        let new = !self.of.contains_key(&key);
        if new && self.of.len() < CLASHES_MAX {
            self.of.insert(key, signal.rule.clone());
        }
        new
    }

    pub(super) fn over(&mut self, alert: AlertId, home: Option<&Arc<SourceId>>) {
        let gone = home.and_then(|home| self.of.remove(&(alert, home.clone())));
        self.ended.extend(gone);
    }

    /// A home is no longer ours to speak of.
    pub(super) fn forget(&mut self, home: &SourceId) {
        let Clashes { of, ended } = self;
        of.retain(|(_, other), rule| {
            let stays = &**other != home;
            ended.extend((!stays).then(|| rule.clone()));
            stays
        });
    }

    /// No rule says of itself that it is local any more.
    pub(super) fn end(&mut self) {
        self.ended.extend(std::mem::take(&mut self.of).into_values());
    }

    /// Rules that clashed and do not any more.
    pub(super) fn settled(&mut self) -> Vec<Arc<RuleMeta>> {
        if self.ended.is_empty() {
            return Vec::new();
        }
        let clashing: BTreeSet<_> = self.of.values().map(|rule| rule.names()).collect();
        let mut settled = std::mem::take(&mut self.ended);
        settled.sort();
        settled.dedup();
        settled.retain(|rule| !clashing.contains(&rule.names()));
        settled
    }

    pub(super) fn cut(&self) -> Vec<Clash> {
        let clash = |((alert, home), rule): (&(AlertId, Arc<SourceId>), &Arc<RuleMeta>)| Clash {
            alert: *alert,
            home: home.clone(),
            rule: rule.clone(),
        };
        self.of.iter().map(clash).collect()
    }

    pub(super) fn restore(&mut self, clashes: Vec<Clash>) {
        self.of = clashes.into_iter().map(|Clash { alert, home, rule }| ((alert, home), rule)).collect();
    }
}
