//! What people ask of the desk: silences.
//!
//! An operation is an input like any other. It is logged before it is acted on, so that a silence that was confirmed is in
//! force after any crash, and what is random about it, the id of a new silence, comes with it, so that a log that is read
//! again makes the same one.
//!
//! A silence begins and ends at the first input at or after its time, before anything else is done with that input; its
//! times are among the desk's deadlines. So at any one moment it does not matter whether a signal or a `Tick` came first.
//!
//! - `K5` an alert of a group is hidden in it exactly while a silence in force matches it

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Desk, DeskOutput};
use crate::alert::life::{AlertId, AlertName};
use crate::alert::silence::{Done, Silence, SilenceId, SilenceRefused, SilenceState, Turn, Wish};
use crate::engine::journal::Decision;

/// Who wants something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// As they call themselves.
    pub who: Arc<str>,
    /// Where they asked from: the address of the other end.
    pub from: Option<Arc<str>>,
}

/// `ada (192.0.2.7)`
impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.who)?;
        self.from.as_ref().map_or(Ok(()), |from| write!(f, " ({from})"))
    }
}

/// What somebody wants.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Operation {
    /// A silence made or changed. `fresh` is its id where one has to be made: nobody else's, so random.
    Silence { from: Option<Arc<str>>, wish: Wish, fresh: SilenceId },
    /// A silence ended before its time.
    Expire { person: Person, id: SilenceId },
}

/// What became of an operation.
pub type Answer = Result<Done, SilenceRefused>;

impl Desk {
    pub(super) fn operate(&mut self, operation: Operation, out: &mut Vec<DeskOutput>) {
        let (person, answer) = match operation {
            Operation::Silence { from, wish, fresh } => {
                let person = Person { who: wish.created_by().clone(), from };
                (person, self.silences.set(wish, fresh, self.now))
            }
            Operation::Expire { person, id } => (person, self.silences.expire(id, self.now)),
        };
        let decision = match &answer {
            Ok(done) => Decision::Operated { person, done: done.clone() },
            Err(why) => Decision::OperationRefused { person, why: why.clone() },
        };
        self.enter(decision, out);
        out.push(DeskOutput::Answer(answer));
        self.turn_silences(out);
    }

    /// Lets silences begin and end whose time has come.
    pub(super) fn turn_silences(&mut self, out: &mut Vec<DeskOutput>) {
        let mut touched = BTreeSet::new();
        for turn in self.silences.settle(self.now) {
            match turn {
                Turn::Began(silence) => {
                    self.enter(Decision::SilenceBegan { silence: silence.clone() }, out);
                    self.hide_matching(&silence, &mut touched, out);
                }
                Turn::Ended(silence) => {
                    self.enter(Decision::SilenceEnded { silence: silence.clone() }, out);
                    self.reveal_hidden(&silence, &mut touched, out);
                }
            }
        }
        for key in touched {
            self.reschedule(&key, out);
        }
    }

    /// Hides an alert that just came to fire in these groups, if it is to be.
    pub(super) fn silence_alert(
        &mut self,
        id: AlertId,
        name: &AlertName,
        groups: &[Arc<str>],
        out: &mut Vec<DeskOutput>,
    ) {
        let Some(silence) = self.silences.hiding(&name.labels).cloned() else { return };
        self.hide(id, name, groups, &silence, out);
    }

    fn hide(
        &mut self,
        id: AlertId,
        name: &AlertName,
        groups: &[Arc<str>],
        silence: &Arc<Silence>,
        out: &mut Vec<DeskOutput>,
    ) {
        for key in groups {
            self.groups.get_mut(key).expect("a group lives while an alert is in it").group.hide(id, silence.id);
        }
        self.enter(Decision::Silenced { alert: name.clone(), silence: silence.clone() }, out);
    }

    /// A silence is in force now. What another one hides already is left to that one.
    fn hide_matching(&mut self, silence: &Arc<Silence>, touched: &mut BTreeSet<Arc<str>>, out: &mut Vec<DeskOutput>) {
        let hidden = |of: &Desk, id, key: &Arc<str>| of.groups[key].group.hidden_by(id).is_some();
        for (id, name, groups) in self.in_groups(|name| silence.matches(&name.labels)) {
            if !groups.iter().any(|key| hidden(self, id, key)) {
                self.hide(id, &name, &groups, silence, out);
                touched.extend(groups);
            }
        }
    }

    /// A silence is over. What another one hides as well stays hidden.
    fn reveal_hidden(&mut self, silence: &Arc<Silence>, touched: &mut BTreeSet<Arc<str>>, out: &mut Vec<DeskOutput>) {
        for (id, name, groups) in self.in_groups(|name| silence.matches(&name.labels)) {
            if !groups.iter().any(|key| self.groups[key].group.hidden_by(id) == Some(silence.id)) {
                continue;
            }
            match self.silences.hiding(&name.labels).cloned() {
                Some(other) => self.hide(id, &name, &groups, &other, out),
                None => self.reveal(id, name, &groups, Some(silence.clone()), out),
            }
            touched.extend(groups);
        }
    }

    /// Silences that were made at another desk, whose alerts came here.
    pub(super) fn learn_silences(&mut self, silences: Vec<Arc<Silence>>, out: &mut Vec<DeskOutput>) {
        silences.iter().for_each(|silence| self.silences.learn(silence, self.now));
        self.turn_silences(out);
    }

    /// Sees to `K5` in groups that were hidden in by another desk.
    pub(super) fn hide_again(&mut self, which: impl Fn(&str) -> bool, out: &mut Vec<DeskOutput>) {
        for (id, name, mut groups) in self.in_groups(|_| true) {
            groups.retain(|key| which(key));
            let hidden = groups.iter().find_map(|key| self.groups[key].group.hidden_by(id));
            let by = hidden.and_then(|by| self.silences.get(by)).cloned();
            match (hidden, self.silences.hiding(&name.labels).cloned()) {
                _ if by.as_ref().is_some_and(|by| by.state(self.now) == SilenceState::Active) => {}
                (_, Some(silence)) if !groups.is_empty() => self.hide(id, &name, &groups, &silence, out),
                (Some(_), None) => self.reveal(id, name, &groups, by, out),
                _ => {}
            }
        }
    }

    fn reveal(
        &mut self,
        id: AlertId,
        alert: AlertName,
        groups: &[Arc<str>],
        silence: Option<Arc<Silence>>,
        out: &mut Vec<DeskOutput>,
    ) {
        for key in groups {
            self.groups.get_mut(key).expect("a group lives while an alert is in it").group.reveal(id, self.now);
        }
        if let Some(silence) = silence {
            self.enter(Decision::Unsilenced { alert, silence }, out);
        }
    }

    /// Alerts that fire, or whose end is still owed, with the groups they are in.
    fn in_groups(&self, wanted: impl Fn(&AlertName) -> bool) -> Vec<(AlertId, AlertName, Vec<Arc<str>>)> {
        let mut found: BTreeMap<AlertId, (AlertName, Vec<Arc<str>>)> = BTreeMap::new();
        for (key, entry) in &self.groups {
            let name = |id| AlertName::from(self.alerts.get(id).expect("what fires is in the table"));
            let firing = entry.group.firing().map(|id| (id, name(id)));
            let ended = entry.group.ended().map(|(id, view)| (id, AlertName::from(&**view)));
            for (id, name) in firing.chain(ended).filter(|(_, name)| wanted(name)) {
                found.entry(id).or_insert((name, Vec::new())).1.push(key.clone());
            }
        }
        found.into_iter().map(|(id, (name, groups))| (id, name, groups)).collect()
    }
}
