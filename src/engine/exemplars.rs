//! Exemplars: a few real events behind an alert, so that a page can show what breached and not only how much.
//!
//! Events are gone once they are counted, so exemplars must be picked before anybody knows whether an alert will come
//! of them. Only *suspect* events are candidates (those a rule's filters or thresholds single out), and of each rule,
//! group and pane the earliest [`EXEMPLARS_MAX`] stay, by event time and then by position. That choice does not depend on
//! the order in which partitions arrive, so a replay shows the same examples as the live run did.
//!
//! - `X1` at most [`PANES_GROUPS_MAX`] (rule, group, pane) triples hold exemplars; beyond it new ones go without
//! - `X2` a triple holds at most [`EXEMPLARS_MAX`], sorted

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::batch::{Batch, Column};
use crate::model::position::Position;
use crate::model::signal::{EXEMPLAR_TEXT_BYTES_MAX, EXEMPLARS_MAX, Exemplar};
use crate::model::time::EventTime;

/// (rule, group, pane) triples of one feed that may hold exemplars at a time, about 1 KiB each at the most.
pub const PANES_GROUPS_MAX: usize = 16_384;

/// Candidates of one feed by (pane, rule, group). Rules are numbered within the feed. Checkpoints share the lists: those of
/// panes that are over never change again.
#[derive(Debug, Default)]
pub struct Exemplars(BTreeMap<(i64, u32, u32), Arc<Vec<Exemplar>>>);

impl Exemplars {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them by (pane, rule, group).
    pub fn iter(&self) -> impl Iterator<Item = (&(i64, u32, u32), &Arc<Vec<Exemplar>>)> {
        self.0.iter()
    }

    /// Whether an event of this time could still get in: cheap, so that most suspects cost one look-up.
    fn wants(&self, key: &(i64, u32, u32), at: EventTime) -> bool {
        match self.0.get(key) {
            Some(list) => list.len() < EXEMPLARS_MAX || list.last().is_some_and(|last| at <= last.at),
            None => self.0.len() < PANES_GROUPS_MAX,
        }
    }

    /// Offers row `row` of `batch`.
    pub fn offer(&mut self, pane: i64, rule: u32, gid: u32, batch: &Batch, row: usize, id_field: Option<usize>) {
        let at = batch.event_time(row);
        if self.wants(&(pane, rule, gid), at) {
            self.put(pane, rule, gid, exemplar(batch, row, id_field));
        }
    }

    /// Puts an exemplar in its place, if it is among the first.
    pub fn put(&mut self, pane: i64, rule: u32, gid: u32, exemplar: Exemplar) {
        if !self.wants(&(pane, rule, gid), exemplar.at) {
            return;
        }
        let list = Arc::make_mut(self.0.entry((pane, rule, gid)).or_default());
        let rank = |e: &Exemplar| (e.at, e.position.clone());
        let at = list.partition_point(|known| rank(known) <= rank(&exemplar));
        let repeated = at > 0 && list[at - 1] == exemplar;
        if !repeated {
            list.insert(at, exemplar);
            list.truncate(EXEMPLARS_MAX);
        }
    }

    /// Puts a whole list in its place.
    pub fn put_all(&mut self, pane: i64, rule: u32, gid: u32, list: Arc<Vec<Exemplar>>) {
        let key = (pane, rule, gid);
        if !self.0.contains_key(&key) && self.0.len() < PANES_GROUPS_MAX {
            self.0.insert(key, list);
            return;
        }
        list.iter().for_each(|exemplar| self.put(pane, rule, gid, exemplar.clone()));
    }

    /// Takes out all of panes up to and including `pane`, in order.
    pub fn take_through(&mut self, pane: i64) -> impl Iterator<Item = ((i64, u32, u32), Arc<Vec<Exemplar>>)> + use<> {
        let later = self.0.split_off(&(pane + 1, 0, 0));
        std::mem::replace(&mut self.0, later).into_iter()
    }

    /// Forgets all of panes before `pane`.
    pub fn drop_before(&mut self, pane: i64) {
        if self.0.first_key_value().is_some_and(|((first, ..), _)| *first < pane) {
            self.0 = self.0.split_off(&(pane, 0, 0));
        }
    }

    /// The newest panes' exemplars of a group within `first..=last`, at most [`EXEMPLARS_MAX`], oldest first.
    pub fn of(&self, rule: u32, gid: u32, first: i64, last: i64) -> Vec<Exemplar> {
        let mut found: Vec<Exemplar> = Vec::new();
        for pane in (first..=last).rev() {
            if let Some(list) = self.0.get(&(pane, rule, gid)) {
                found.splice(0..0, list.iter().cloned());
            }
            if found.len() >= EXEMPLARS_MAX {
                found.drain(..found.len() - EXEMPLARS_MAX);
                break;
            }
        }
        found
    }
}

fn exemplar(batch: &Batch, row: usize, id_field: Option<usize>) -> Exemplar {
    let id = id_field.and_then(|field| match &batch.columns[field] {
        Column::Str(spans) => batch.text(spans[row]).map(cut),
        Column::Int { values, nulls } => (!nulls[row]).then(|| values[row].to_string()),
        _ => None,
    });
    let text = batch.raw.get(row).and_then(|span| batch.text(*span)).map(cut);
    let Position { source, offset } = batch.position(row);
    Exemplar { at: batch.event_time(row), position: Position { source, offset }, id, text }
}

fn cut(text: &str) -> String {
    if text.len() <= EXEMPLAR_TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let mut end = EXEMPLAR_TEXT_BYTES_MAX;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::position::SourceId;

    fn event(at: i64, partition: i32, offset: i64) -> Exemplar {
        Exemplar {
            at: EventTime(at),
            position: Position { source: SourceId::new("t", partition), offset },
            id: None,
            text: Some(format!("{at}/{partition}@{offset}")),
        }
    }

    #[test]
    fn the_same_examples_are_shown_whatever_order_partitions_arrive_in() {
        let events: Vec<Exemplar> = (0..20).map(|n| event(n / 3, (n % 3) as i32, n)).collect();
        let shown = |order: &[usize]| {
            let mut exemplars = Exemplars::default();
            for index in order {
                exemplars.put(0, 0, 7, events[*index].clone());
            }
            exemplars.of(0, 7, 0, 0)
        };
        let forwards: Vec<usize> = (0..20).collect();
        let backwards: Vec<usize> = (0..20).rev().collect();
        let mixed: Vec<usize> = (0..20).map(|n| n * 7 % 20).collect();
        assert_eq!(shown(&forwards), shown(&backwards));
        assert_eq!(shown(&forwards), shown(&mixed));
        assert_eq!(shown(&forwards), events[..5], "the earliest five");
    }

    #[test]
    fn newer_panes_are_shown_before_older_ones() {
        let mut exemplars = Exemplars::default();
        (0..4).for_each(|n| exemplars.put(1, 0, 7, event(10 + n, 0, n)));
        (0..4).for_each(|n| exemplars.put(2, 0, 7, event(20 + n, 0, 10 + n)));
        let times: Vec<i64> = exemplars.of(0, 7, 0, 2).iter().map(|e| e.at.0).collect();
        assert_eq!(times, [13, 20, 21, 22, 23]);
        exemplars.drop_before(2);
        assert_eq!(exemplars.of(0, 7, 0, 2).len(), 4);
    }
}
