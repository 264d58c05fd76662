//! The desk's task: signals, receipts and the clock in, deliveries out.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::edge::clock;
use crate::edge::senders::Senders;
use crate::engine::desk::{Desk, DeskInput, DeskOutput};
use crate::engine::journal::Decision;
use crate::engine::local::{Happening, Timeline};
use crate::engine::merge::SignalMerger;
use crate::model::delivery::{DeliveryId, Outcome};
use crate::model::position::SourceId;
use crate::model::signal::{RuleMeta, Signal};
use crate::model::time::{EventTime, Millis, WallTime};
use crate::runtime::status::{DeskSnapshot, Live, Status};

/// How long deliveries that are under way may take when the engine stops.
pub const DRAIN_MAX: Duration = Duration::from_secs(10);

/// How often the read model gets the desk's counters, and is rid of alerts the desk has forgotten.
const SNAPSHOT_EVERY: Millis = Millis(500);

/// What shards (and the source) tell the desk.
#[derive(Debug)]
pub(super) enum DeskMail {
    /// Signals of a shard, and how far it has judged (`EventTime::MIN`: nothing new).
    Judged {
        shard: usize,
        signals: Vec<Signal>,
        until: EventTime,
    },
    Degraded {
        at: EventTime,
        rule: Arc<RuleMeta>,
        groups_max: usize,
        refused: Option<u64>,
    },
    Stalled {
        stream: Arc<str>,
        source: SourceId,
        watermark: EventTime,
        still_for: Millis,
    },
    Recovered {
        stream: Arc<str>,
        source: SourceId,
    },
}

/// A desk on the real clock, with real receivers.
pub(super) struct WallDesk {
    pub desk: Desk,
    pub senders: Arc<Senders>,
    pub status: Arc<Status>,
}

struct Receipt {
    receiver: Arc<str>,
    id: DeliveryId,
    outcome: Outcome,
}

impl WallDesk {
    /// Runs until every shard has closed its end, then waits for what is under way, at most [`DRAIN_MAX`].
    pub async fn run(mut self, mut mail: mpsc::Receiver<DeskMail>) -> Desk {
        let mut flights: JoinSet<Receipt> = JoinSet::new();
        let mut snapshot_at = WallTime::MIN;
        loop {
            let now = clock::now();
            if now >= snapshot_at {
                self.snapshot();
                snapshot_at = now + SNAPSHOT_EVERY;
            }
            let wake = self.desk.next_deadline().map_or(snapshot_at, |at| at.min(snapshot_at));
            let input = tokio::select! {
                biased;
                Some(done) = flights.join_next() => receipt(done),
                message = mail.recv() => match message {
                    Some(message) => Some(input(message)),
                    None => break,
                },
                () = tokio::time::sleep(wake.since(now).to_std()) => Some(DeskInput::Tick),
            };
            if let Some(input) = input {
                self.tell(input, &mut flights);
            }
        }
        self.drain(&mut flights).await;
        self.snapshot();
        self.desk
    }

    /// Nobody feeds the desk any more: lets deliveries under way end.
    async fn drain(&mut self, flights: &mut JoinSet<Receipt>) {
        let finish = async {
            while let Some(done) = flights.join_next().await {
                if let Some(input) = receipt(done) {
                    let mut out = Vec::new();
                    self.desk.handle(clock::now(), input, &mut out);
                    self.show(&out);
                }
            }
        };
        if tokio::time::timeout(DRAIN_MAX, finish).await.is_err() {
            tracing::warn!("deliveries were still under way when Foghorn stopped; they may or may not have arrived");
        }
    }

    fn tell(&mut self, input: DeskInput, flights: &mut JoinSet<Receipt>) {
        let now = clock::now();
        let mut out = Vec::new();
        let signals: Vec<_> = match &input {
            DeskInput::Signals(signals) => signals.iter().map(|s| (s.rule.clone(), s.labels.clone())).collect(),
            _ => Vec::new(),
        };
        self.desk.handle(now, input, &mut out);
        if self.desk.next_deadline().is_some_and(|at| at <= now) {
            self.desk.handle(now, DeskInput::Tick, &mut out);
        }
        self.show(&out);
        for (rule, labels) in signals {
            if let Some(alert) = self.desk.alert(&rule, &labels) {
                self.status.alerts.insert(alert.id, alert.clone());
            }
        }
        for output in out {
            if let DeskOutput::Deliver { receiver, delivery } = output {
                let senders = self.senders.clone();
                flights.spawn(async move {
                    let id = delivery.id;
                    let outcome = senders.send(&receiver, delivery, clock::now()).await;
                    Receipt { receiver, id, outcome }
                });
            }
        }
    }

    /// Tells the log and those who watch what the desk decided.
    fn show(&self, out: &[DeskOutput]) {
        for output in out {
            match output {
                DeskOutput::Journal(entry) => {
                    tracing::debug!(target: "foghorn::journal", "{}", entry.decision);
                    self.status.remember(entry);
                    if let Decision::Alert { .. } = &entry.decision {
                        self.status.tell(Live::Journal(Arc::new(entry.clone())));
                    }
                }
                DeskOutput::DeadLetter(letter) => {
                    tracing::error!(
                        target: "foghorn::notify",
                        receiver = &*letter.receiver,
                        integration = &*letter.kind,
                        group = &*letter.notification.group_key,
                        attempts = letter.attempts,
                        reason = ?letter.reason,
                        "gave up a notification"
                    );
                }
                DeskOutput::Deliver { receiver, delivery } => {
                    self.status
                        .tell(Live::Sent { receiver: receiver.clone(), notification: delivery.notification.clone() });
                }
            }
        }
    }

    fn snapshot(&self) {
        let known = |id| self.desk.alerts().any(|alert| alert.id == id);
        let stale: Vec<_> = match self.status.alerts.len() > self.desk.alerts().count() {
            true => self.status.alerts.iter().map(|alert| *alert.key()).filter(|id| !known(*id)).collect(),
            false => Vec::new(),
        };
        stale.iter().for_each(|id| drop(self.status.alerts.remove(id)));
        for alert in self.desk.alerts() {
            let fresh =
                self.status.alerts.get(&alert.id).is_some_and(|known| known.at == alert.at && known.life == alert.life);
            if !fresh {
                self.status.alerts.insert(alert.id, alert.clone());
            }
        }
        *self.status.desk.lock() = DeskSnapshot::of(&self.desk);
    }
}

fn input(message: DeskMail) -> DeskInput {
    match message {
        DeskMail::Judged { signals, .. } => DeskInput::Signals(signals),
        DeskMail::Degraded { rule, groups_max, refused: Some(refused), .. } => {
            DeskInput::RuleDegraded { rule, groups_max, refused }
        }
        DeskMail::Degraded { rule, refused: None, .. } => DeskInput::RuleRestored { rule },
        DeskMail::Stalled { stream, source, watermark, still_for } => {
            DeskInput::SourceStalled { stream, source, watermark, still_for }
        }
        DeskMail::Recovered { stream, source } => DeskInput::SourceRecovered { stream, source },
    }
}

/// A delivery that panicked has no receipt; the desk's timeout for it is the net.
fn receipt(done: Result<Receipt, tokio::task::JoinError>) -> Option<DeskInput> {
    match done {
        Ok(Receipt { receiver, id, outcome }) => Some(DeskInput::Receipt { receiver, id, outcome }),
        Err(error) => {
            tracing::error!("a delivery ended by a fault of Foghorn's own: {error}");
            None
        }
    }
}

/// A desk in event time: what would be said of what Kafka holds, up to its end. Sends nothing.
pub(super) struct EventDesk {
    pub timeline: Timeline,
    pub merger: SignalMerger,
}

impl EventDesk {
    /// Runs until every shard has judged everything; `done` is told then. Returns what happened, in order.
    pub async fn run(mut self, mut mail: mpsc::Receiver<DeskMail>, done: impl FnOnce()) -> Vec<Happening> {
        let mut done = Some(done);
        while let Some(message) = mail.recv().await {
            match message {
                DeskMail::Judged { shard, signals, until } => {
                    signals.into_iter().for_each(|signal| self.merger.push(signal));
                    self.merger.judged(shard, until);
                    let mut released = Vec::new();
                    self.merger.release(&mut released);
                    self.timeline.play(released, self.merger.complete());
                }
                DeskMail::Degraded { at, rule, groups_max, refused } => {
                    self.timeline.degraded(at, rule, groups_max, refused);
                }
                DeskMail::Stalled { .. } | DeskMail::Recovered { .. } => {} // there is no wall clock to stall against
            }
            if self.merger.complete() == EventTime::MAX
                && let Some(done) = done.take()
            {
                done();
            }
        }
        self.timeline.aftermath();
        self.timeline.take_happened()
    }
}
