//! People on call: what they ask for, and what they were promised.
//!
//! A silence counts as promised once its answer was given, which is when it is on disk. What was asked for and not answered,
//! as the process ended over it, may or may not have come about, and nothing is held against either.
//!
//! Each of two hosts has promises of its own, because a silence holds at the member at which it was made. It goes along with
//! each partition that moves from there, and from then on the host to which it came has promised it, too. So what counts is
//! who writes a notification, and not who sends it: what was written where nobody had heard of the silence goes out still,
//! even where the silence holds at the member to which the partition moved.
//!
//! - `V12` a silence that was promised is there after any crash, and while it is in force nothing is written of what it hides
//!   by the host that promised it

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::Rng;
use rand::rngs::StdRng;

use super::plot::Turn;
use crate::alert::matcher::Matcher;
use crate::alert::silence::{Done, Silence, SilenceId, SilenceState, Wish};
use crate::engine::desk::{Desk, Operation, Person};
use crate::model::{Millis, Notification, WallTime};

/// What is silenced.
const SILENCED: [&str; 5] =
    ["svc=a", "alertname=Errors", r#"severity=~"critical|warning",svc!=d"#, "alertname!=Gone,svc=~b|c", "who=~.+"];

/// Longer than a storm.
const FOR_GOOD: i64 = 3_600_000;

/// What somebody asks for.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    /// In how many milliseconds from now, and for how many.
    Silence { what: &'static str, wait: i64, length: i64 },
    /// Of the newest silence: that it ends so many milliseconds from now.
    Prolong(i64),
    /// … that it hides something else.
    Swap(&'static str),
    /// … that it ends.
    Expire,
}

/// Somebody silences something, has second thoughts sometimes, and is hit by a crash at others.
pub(super) fn turns(at: i64, length: i64, dice: &mut StdRng) -> Vec<(i64, Turn)> {
    let mut what = || SILENCED[dice.random_range(0..SILENCED.len())];
    let (first, second) = (what(), what());
    let length = if dice.random_bool(0.2) { FOR_GOOD } else { length };
    let wait = if dice.random_bool(0.3) { dice.random_range(0..10_000) } else { 0 };
    let later = at + dice.random_range(500..20_000);
    let asks = (at, Turn::Ask(Ask::Silence { what: first, wait, length }));
    match dice.random_range(0..7) {
        0 => vec![asks, (later, Turn::Ask(Ask::Expire))],
        1 => vec![asks, (later, Turn::Ask(Ask::Prolong(length)))],
        2 => vec![asks, (later, Turn::Ask(Ask::Swap(second)))],
        3 => vec![asks, (at, Turn::Kill)],
        4 => vec![(at, Turn::Trap("log_written", 1)), asks],
        5 => vec![(at, Turn::Trap("log_synced", 1)), asks],
        _ => vec![asks],
    }
}

/// What people were promised at one host.
#[derive(Debug, Default)]
pub struct Promises {
    kept: BTreeMap<SilenceId, Promise>,
    asked: u128,
    newest: Option<SilenceId>,
}

/// A silence, and what is known of it.
#[derive(Debug)]
pub struct Promise {
    silence: Arc<Silence>,
    /// What is written after that hides what it matches.
    since: WallTime,
    /// It came with a partition. Nobody was told that it is on disk, and power may take both.
    came: bool,
}

impl Promise {
    fn answered(silence: &Arc<Silence>) -> (SilenceId, Promise) {
        (silence.id, Promise { silence: silence.clone(), since: silence.updated_at, came: false })
    }
}

impl Promises {
    /// What the desk of a host is asked for; `None` where there is nothing to change yet.
    pub fn operation(&mut self, ask: Ask, now: WallTime, host: usize) -> Option<Operation> {
        let newest = self.newest.and_then(|id| self.kept.get(&id)).map(|promise| promise.silence.clone());
        let wish =
            |what: &[Matcher], starts_at, ends_at| Wish::new(what.to_vec(), (starts_at, ends_at), "ada", "a storm");
        let list = |what| Matcher::parse_list(what).expect("matchers of ours");
        let wish = match ask {
            Ask::Silence { what, wait, length } => {
                let starts_at = now + Millis(wait);
                wish(&list(what), (wait > 0).then_some(starts_at), starts_at + Millis(length))
            }
            Ask::Prolong(length) => {
                let newest = newest?;
                return self.changing(host, newest.id, wish(&newest.matchers, None, now + Millis(length)).ok()?);
            }
            Ask::Swap(what) => {
                let newest = newest?;
                return self.changing(host, newest.id, wish(&list(what), None, newest.ends_at).ok()?);
            }
            Ask::Expire => {
                return Some(Operation::Expire { person: Person { who: "bob".into(), from: None }, id: newest?.id });
            }
        };
        let fresh = self.fresh(host);
        Some(Operation::Silence { from: None, wish: wish.ok()?, fresh })
    }

    fn changing(&mut self, host: usize, id: SilenceId, wish: Wish) -> Option<Operation> {
        let fresh = self.fresh(host);
        Some(Operation::Silence { from: None, wish: wish.instead_of(id), fresh })
    }

    /// No two hosts have the same, as silences move with partitions.
    fn fresh(&mut self, host: usize) -> SilenceId {
        self.asked += 1;
        SilenceId::of(((host as u128) << 64) + self.asked)
    }

    /// It was answered.
    pub fn promise(&mut self, done: &Done) {
        let silence = done.silence();
        if let Done::Replaced { before, .. } = done {
            self.kept.extend([Promise::answered(before)]);
        }
        self.kept.extend([Promise::answered(silence)]);
        self.newest = Some(silence.id);
    }

    /// These came with a partition, and the desk has taken it in. Where it knows something newer of one, that is what holds.
    /// Gives back one that it did not take.
    pub fn come(&mut self, silences: &[Arc<Silence>], desk: &Desk) -> Option<Arc<Silence>> {
        for silence in silences {
            let held = desk.silences().find(|held| held.id == silence.id);
            if held.is_none_or(|held| held.updated_at < silence.updated_at) {
                return Some(silence.clone());
            }
            let known = self.kept.get(&silence.id).is_some_and(|promise| promise.silence == *silence);
            if held == Some(silence) && !known {
                let promise = Promise { silence: silence.clone(), since: desk.now(), came: true };
                self.kept.insert(silence.id, promise);
            }
        }
        None
    }

    /// It is asked for, and nobody knows what becomes of it. Gives back what was promised before.
    pub fn doubt(&mut self, ask: Ask) -> Option<Promise> {
        match ask {
            Ask::Prolong(_) | Ask::Swap(_) | Ask::Expire => self.kept.remove(&self.newest?),
            Ask::Silence { .. } => None,
        }
    }

    /// It was refused: what was promised before holds.
    pub fn stand_by(&mut self, before: Option<Promise>) {
        self.kept.extend(before.map(|promise| (promise.silence.id, promise)));
    }

    /// A promise that a desk does not keep.
    pub fn broken_by(&self, desk: &Desk) -> Option<&Silence> {
        let answered = self.kept.values().filter(|promise| !promise.came);
        answered.map(|promise| &promise.silence).find(|silence| !holds(desk, silence)).map(Arc::as_ref)
    }

    /// Some of it was lost, as the disk had not kept its word.
    pub fn forget_what_is_lost(&mut self, desk: &Desk) {
        self.kept.retain(|_, promise| holds(desk, &promise.silence));
    }

    /// An alert of a notification that was promised to be hidden when it was written.
    pub fn broken_in(&self, written: &Notification) -> Option<(&Silence, String)> {
        let at = written.at;
        let in_force = |promise: &&Promise| at > promise.since && promise.silence.state(at) == SilenceState::Active;
        let mut in_force = self.kept.values().filter(in_force);
        in_force.find_map(|Promise { silence, .. }| {
            let shown = written.alerts.iter().find(|alert| silence.matches(&alert.labels));
            shown.map(|alert| (&**silence, alert.labels.to_string()))
        })
    }
}

fn holds(desk: &Desk, promised: &Arc<Silence>) -> bool {
    desk.silences().any(|silence| silence == promised)
}
