//! The receivers: services out there, each with moods by the minute, and each believing what it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::Rng;
use rand::rngs::StdRng;

use super::options::{Fault, Options};
use super::topic::{START, STORM};
use crate::alert::life::AlertName;
use crate::alert::route::home_of;
use crate::model::{
    AlertStatus, AlertView, Delivery, DeliveryId, Millis, Notification, Outcome, SourceId, ThreadHandle,
};

/// How a receiver answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// 429 with Retry-After, in milliseconds.
    Throttles(i64),
    Errors,
    /// It neither takes it nor answers in time.
    Hangs,
    /// The connection is reset before it is read.
    Resets,
    /// It takes it, and nobody hears of that.
    LosesAnswers,
    /// It takes it and says that it did not.
    TakesAndFails,
}

/// Whose word a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    InTurn,
    /// Of a member that stood still, and had not heard yet that the partition is another's.
    OutOfTurn,
    /// It is lost on its way, and answered all the same.
    Unheard,
}

/// One integration's other end.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Whether it knows a repeated request by its key.
    pub deduplicates: bool,
    moods: Vec<(i64, i64, Mood)>,
    dice: StdRng,
    /// Every request it took, in order.
    pub taken: Vec<Taken>,
    /// By life of a group: what it thinks fires.
    pub believes: BTreeMap<String, BTreeSet<String>>,
    /// By life of a group: what it was told to fire, and of which it was told no end, whatever else it was told.
    pub open: BTreeMap<String, BTreeSet<String>>,
    /// Groups of which it was last told by a member that had them no more and could not know.
    pub misled: BTreeSet<Arc<str>>,
}

/// A request that was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    pub at: i64,
    pub key: String,
    /// It was said in words that it may be a repeat.
    pub marked: bool,
    pub notification: Arc<Notification>,
}

/// An answer on its way.
#[derive(Clone, Debug)]
pub struct Answer {
    pub receiver: Arc<str>,
    pub id: DeliveryId,
    pub outcome: Outcome,
    /// The partition that it is about, where partitions move.
    pub home: Option<SourceId>,
}

/// By receiver and place of the integration.
pub type Receivers = BTreeMap<(Arc<str>, usize), Receiver>;

/// Every integration there is, with whether it deduplicates.
pub const TARGETS: [(&str, usize, bool); 3] = [("ops", 0, true), ("ops", 1, false), ("hook", 0, false)];

pub fn receivers(options: &Options) -> Receivers {
    TARGETS
        .iter()
        .map(|(name, integration, deduplicates)| {
            let receiver = Receiver {
                deduplicates: *deduplicates,
                moods: moods(options, &format!("{name} {integration}")),
                dice: options.dice(&format!("answers {name} {integration}")),
                taken: Vec::new(),
                believes: BTreeMap::new(),
                open: BTreeMap::new(),
                misled: BTreeSet::new(),
            };
            (((*name).into(), *integration), receiver)
        })
        .collect()
}

const MOODS: [(Fault, Mood); 6] = [
    (Fault::Throttle, Mood::Throttles(0)),
    (Fault::Errors, Mood::Errors),
    (Fault::Hang, Mood::Hangs),
    (Fault::Reset, Mood::Resets),
    (Fault::LostAnswer, Mood::LosesAnswers),
    (Fault::Twice, Mood::TakesAndFails),
];

fn moods(options: &Options, target: &str) -> Vec<(i64, i64, Mood)> {
    let mut all = Vec::new();
    for (fault, mood) in MOODS {
        let mut dice = options.dice(&format!("{} {target}", fault.name()));
        for _ in 0..dice.random_range(1..=3) {
            let from = START + dice.random_range(0..STORM);
            let to = (from + dice.random_range(1_000..40_000)).min(START + STORM);
            let after = dice.random_range(1_000..20_000);
            let mood = if matches!(mood, Mood::Throttles(_)) { Mood::Throttles(after) } else { mood };
            if options.has(fault) {
                all.push((from, to, mood));
            }
        }
    }
    all
}

impl Receiver {
    fn mood(&self, now: i64) -> Mood {
        let here = self.moods.iter().rev().find(|(from, to, _)| (*from..*to).contains(&now));
        here.map_or(Mood::Well, |(_, _, mood)| *mood)
    }

    /// A request comes in; what is answered, and when.
    pub fn take(&mut self, now: i64, receiver: &Arc<str>, delivery: &Delivery, said: Said) -> Option<(i64, Answer)> {
        let mood = self.mood(now);
        if said != Said::Unheard && matches!(mood, Mood::Well | Mood::LosesAnswers | Mood::TakesAndFails) {
            self.believe(now, delivery);
            let group = delivery.notification.group_key.clone();
            match said {
                Said::OutOfTurn => drop(self.misled.insert(group)),
                _ => drop(self.misled.remove(&group)),
            }
        }
        let retry = |after: Option<i64>, throttled, reason: &str| Outcome::Retry {
            after: after.map(Millis),
            throttled,
            reason: reason.to_owned(),
        };
        let outcome = match mood {
            Mood::Well => Outcome::Delivered { thread: Some(ThreadHandle(vec![delivery.notification.dedup_key()])) },
            Mood::Throttles(after) => retry(Some(after), true, "429"),
            Mood::Errors | Mood::TakesAndFails => retry(None, false, "503"),
            Mood::Resets | Mood::LosesAnswers => retry(None, false, "connection reset"),
            Mood::Hangs => {
                // Late, if at all: the desk has given up waiting.
                let after = self.dice.random_range(8_000..30_000);
                let answer = retry(None, false, "504 after a long time");
                return self.dice.random_bool(0.5).then_some((now + after, answered(receiver, delivery, answer)));
            }
        };
        let delay = self.dice.random_range(5..900);
        Some((now + delay, answered(receiver, delivery, outcome)))
    }

    fn believe(&mut self, now: i64, delivery: &Delivery) {
        let notification = delivery.notification.clone();
        let key = notification.idempotency_key();
        let repeat = self.taken.iter().any(|taken| taken.key == key);
        if !(repeat && self.deduplicates) {
            let of = |status| {
                let alerts = notification.alerts.iter().filter(move |alert| alert.status == status);
                alerts.map(|alert| format!("{} {}", notification.group_key, name(alert)))
            };
            let open = self.open.entry(notification.dedup_key()).or_default();
            open.extend(of(AlertStatus::Firing));
            for ended in of(AlertStatus::Resolved) {
                open.remove(&ended);
            }
            self.believes.insert(notification.dedup_key(), of(AlertStatus::Firing).collect());
        }
        self.taken.push(Taken { at: now, key, marked: delivery.perhaps_repeated, notification });
    }
}

/// What comes back of a delivery.
pub fn answered(receiver: &Arc<str>, delivery: &Delivery, outcome: Outcome) -> Answer {
    let home = home_of(&delivery.notification.group_key);
    Answer { receiver: receiver.clone(), id: delivery.id, outcome, home }
}

pub fn name(alert: &AlertView) -> String {
    AlertName::from(alert).to_string()
}
