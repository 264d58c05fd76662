//! The desk's task: signals, receipts and the clock in, deliveries out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::alert::route::home_of;
use crate::edge::clock;
use crate::edge::crash_point::crash_point;
use crate::edge::senders::Senders;
use crate::engine::desk::{Answer, Desk, DeskConfig, DeskInput, DeskOutput, Dropped};
use crate::engine::journal::Decision;
use crate::engine::limit::LimitNews;
use crate::engine::local::{Happening, Timeline};
use crate::engine::merge::{LimitJoin, Relief, SignalMerger};
use crate::engine::state::CellCut;
use crate::engine::steady::SteadyClock;
use crate::model::delivery::{Delivery, DeliveryId, Outcome};
use crate::model::position::{Loss, SourceId};
use crate::model::signal::Signal;
use crate::model::time::{EventTime, Millis, WallTime};
use crate::runtime::homes::Parcels;
use crate::runtime::memory::DeskMemory;
use crate::runtime::operator::{Answered, Asked, Kept, Operations};
use crate::runtime::status::{DeskSnapshot, Live, Status};

/// How long deliveries that are under way may take when the engine stops.
pub const DRAIN_MAX: Duration = Duration::from_secs(10);

/// How long a partition that leaves waits for the answers to what is under way: what has none by then is told again, and
/// marked.
const ANSWERS_MAX: Millis = Millis::from_secs(3);

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
    Limit {
        shard: usize,
        news: LimitNews,
    },
    /// A source stands still, or moves again.
    Source(DeskInput),
    Lost {
        stream: usize,
        source: SourceId,
        loss: Loss,
    },
    Whole {
        stream: usize,
    },
    /// Another desk goes on from here: what comes before this is the old one's, what comes after is the new one's.
    Successor(Box<DeskSuccessor>),
    /// What this shard sends after this is not in checkpoint `cut`; its cells, where it has any, stand so.
    Cut {
        shard: usize,
        cut: u64,
        cells: Vec<Arc<CellCut>>,
    },
    /// A partition arrived, with its cell where that is news, or is somebody else's.
    Home {
        shard: usize,
        input: DeskInput,
        cell: Option<Arc<CellCut>>,
    },
    /// A partition goes to another member, and waits for its parcel.
    Leaving {
        shard: usize,
        home: SourceId,
        cell: Arc<CellCut>,
    },
}

impl DeskMail {
    /// The shard it comes from, where that matters to a checkpoint.
    fn shard(&self) -> Option<usize> {
        match self {
            DeskMail::Judged { shard, .. } | DeskMail::Limit { shard, .. } | DeskMail::Cut { shard, .. } => {
                Some(*shard)
            }
            DeskMail::Home { shard, .. } | DeskMail::Leaving { shard, .. } => Some(*shard),
            _ => None,
        }
    }
}

/// What a desk gives way to.
pub(super) struct DeskSuccessor {
    /// Of the checkpoint that is taken of it as it begins.
    pub number: u64,
    pub config: DeskConfig,
    pub seed: u64,
    pub senders: Arc<Senders>,
    pub relief: Relief,
}

impl std::fmt::Debug for DeskSuccessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeskSuccessor").field("number", &self.number).finish_non_exhaustive()
    }
}

/// A desk on the real clock, with real receivers.
pub(super) struct WallDesk {
    pub desk: Desk,
    pub senders: Arc<Senders>,
    pub status: Arc<Status>,
    /// The streams' names, by their index in the plan.
    pub streams: Vec<Arc<str>>,
    pub limits: LimitJoin,
    /// What a restart under other rules has to tell first.
    pub relief: Option<Relief>,
    pub clock: SteadyClock,
    /// When the clock that counts began to.
    pub started: Instant,
    /// Where its inputs are logged and its cuts go; without it nothing outlives the process.
    pub memory: Option<DeskMemory>,
    /// Where partitions move; without it, none does.
    pub parcels: Option<Parcels>,
    /// Partitions whose last deliveries are still to be answered.
    pub leaving: Vec<Leaving>,
}

/// A partition that goes to another member.
pub(super) struct Leaving {
    home: SourceId,
    cell: Arc<CellCut>,
    /// When it is no longer waited for answers.
    until: WallTime,
}

struct Receipt {
    receiver: Arc<str>,
    id: DeliveryId,
    outcome: Outcome,
    /// Of the group it told of.
    home: Option<SourceId>,
}

impl WallDesk {
    /// Runs until every shard has closed its end, then waits for what is under way, at most [`DRAIN_MAX`].
    pub async fn run(mut self, mut mail: mpsc::Receiver<DeskMail>, mut operations: Operations) -> Desk {
        let mut flights: JoinSet<Receipt> = JoinSet::new();
        let mut snapshot_at = WallTime::MIN;
        match (&self.memory, &self.parcels) {
            (Some(_), Some(_)) => self.wake_unconfirmed(&mut flights),
            (Some(_), None) => self.tell(DeskInput::Restarted, &mut flights),
            (None, _) => {}
        }
        self.tell(DeskInput::Speaking { local: self.parcels.is_some() }, &mut flights);
        self.relieve(&mut flights);
        loop {
            let now = self.now();
            if now >= snapshot_at {
                self.snapshot();
                snapshot_at = now + SNAPSHOT_EVERY;
            }
            let deadlines =
                self.desk.next_deadline().into_iter().chain(self.leaving.iter().map(|leaving| leaving.until));
            let wake = deadlines.min().map_or(snapshot_at, |at| at.min(snapshot_at));
            tokio::select! {
                biased;
                Some(done) = flights.join_next() => {
                    crash_point("delivery_answered");
                    if let Some((input, home)) = receipt(done) {
                        self.tell(input, &mut flights);
                        self.publish(home.as_ref());
                    }
                    self.let_go(false, &mut flights);
                    crash_point("receipt_logged");
                }
                message = mail.recv() => match message {
                    Some(message) => self.hear(message, &mut flights),
                    None => break,
                },
                Some(asked) = operations.recv(), if self.takes_operations() => self.operate(asked, &mut flights),
                () = tokio::time::sleep(wake.since(now).to_std()) => {
                    self.tell(DeskInput::Tick, &mut flights);
                    self.let_go(false, &mut flights);
                }
            };
        }
        self.drain(&mut flights).await;
        self.let_go(true, &mut flights);
        if let Some(parcels) = &self.parcels {
            parcels.publish_all(&self.desk).await; // whoever comes next goes on from here
        }
        self.snapshot();
        self.desk
    }

    /// Goes on where partitions may be others' by now.
    fn wake_unconfirmed(&mut self, flights: &mut JoinSet<Receipt>) {
        self.tell(DeskInput::RestartedUnconfirmed, flights);
        let missing = self.parcels.as_ref().map(|parcels| parcels.missing(&self.desk));
        for home in missing.into_iter().flatten() {
            self.tell(DeskInput::HomeReleased { home }, flights);
        }
    }

    /// Takes one message; while a checkpoint is taken, those of shards that have marked it wait.
    fn hear(&mut self, message: DeskMail, flights: &mut JoinSet<Receipt>) {
        let Some(memory) = &mut self.memory else {
            return self.act(message, flights);
        };
        // A mark waits, too: it may be of the cut after this one, where this one takes too long for who asked for it.
        let Some(message) = memory.mail.admit(message.shard(), message) else { return };
        let DeskMail::Cut { shard, cut, cells } = message else {
            return self.act(message, flights);
        };
        self.parcels.iter_mut().for_each(|parcels| parcels.take(cells.iter().cloned()));
        if memory.mail.mark(shard) {
            memory.cut(cut, &mut self.desk, &self.status);
            if let Some(parcels) = &mut self.parcels {
                parcels.contest(self.desk.now());
                tokio::spawn(parcels.publish_all(&self.desk));
            }
            for message in memory.mail.release() {
                self.hear(message, flights);
            }
        }
    }

    fn act(&mut self, message: DeskMail, flights: &mut JoinSet<Receipt>) {
        let message = match message {
            DeskMail::Successor(next) => return self.succeed(*next, flights),
            DeskMail::Home { input, cell, .. } => return self.welcome(input, cell, flights),
            DeskMail::Leaving { home, cell, .. } => {
                self.tell(DeskInput::HomeLeaving { home: home.clone() }, flights);
                let until = self.now() + ANSWERS_MAX;
                self.leaving.push(Leaving { home, cell, until });
                return self.let_go(false, flights);
            }
            message => message,
        };
        let input = input(message, &self.streams, &mut self.limits);
        input.into_iter().for_each(|input| self.tell(input, flights));
    }

    /// Before the first checkpoint nothing can be promised, and people wait for it; but not for a disk that fails.
    fn takes_operations(&self) -> bool {
        let kept = self.memory.as_ref().is_none_or(|memory| memory.is_kept(&self.status));
        kept || self.status.state.problem().is_some()
    }

    /// Does what somebody asks for, and says so once it is on disk, or once it is known that it is not.
    fn operate(&mut self, asked: Asked, flights: &mut JoinSet<Receipt>) {
        let Asked { operation, answer: waiting } = asked;
        let Some(answer) = self.ask(DeskInput::Operator(operation), flights) else { return };
        let kept = match &mut self.memory {
            None => Kept::InMemory,
            Some(memory) => {
                memory.sync(&self.status);
                if memory.is_kept(&self.status) { Kept::OnDisk } else { Kept::NotYet }
            }
        };
        self.snapshot();
        let _ = waiting.send(Answered { answer, kept }); // who asked may have hung up
    }

    /// Hears how a partition arrived, or that it is gone, and lets other members know.
    fn welcome(&mut self, input: DeskInput, cell: Option<Arc<CellCut>>, flights: &mut JoinSet<Receipt>) {
        let home = match &input {
            DeskInput::HomeConfirmed { home } | DeskInput::HomeAdopted { home, .. } => home.clone(),
            DeskInput::HomeReleased { home } => {
                self.parcels.iter_mut().for_each(|parcels| parcels.forget(home));
                return self.tell(input, flights);
            }
            _ => unreachable!("partitions come and go in three ways"),
        };
        let is_new = cell.is_some();
        self.parcels.iter_mut().for_each(|parcels| parcels.arrived(&home, cell.clone()));
        self.leaving.retain(|leaving| leaving.home != home); // it is back before it was gone
        self.tell(input, flights);
        if is_new {
            self.publish(Some(&home));
        }
    }

    /// Makes the last parcels of partitions that leave, when what is under way of them is answered, or time is up.
    fn let_go(&mut self, at_once: bool, flights: &mut JoinSet<Receipt>) {
        let now = self.now();
        let ready = |leaving: &mut Leaving| at_once || leaving.until <= now || self.desk.under_way(&leaving.home) == 0;
        let ready: Vec<Leaving> = self.leaving.extract_if(.., ready).collect();
        for Leaving { home, cell, .. } in ready {
            self.parcels.iter_mut().for_each(|parcels| parcels.leave(home.clone(), &cell, &self.desk));
            self.tell(DeskInput::HomeReleased { home }, flights); // `O2`
        }
    }

    /// Writes a partition's parcel, without waiting for Kafka.
    fn publish(&mut self, home: Option<&SourceId>) {
        let parcels = self.parcels.as_ref().zip(home);
        if let Some(sent) = parcels.and_then(|(parcels, home)| parcels.publish(home, &self.desk)) {
            tokio::spawn(sent.before_telling());
        }
    }

    /// Gives way to another desk. Deliveries under way go on, and their receipts are for it.
    fn succeed(&mut self, next: DeskSuccessor, flights: &mut JoinSet<Receipt>) {
        let DeskSuccessor { number, config, seed, senders, relief } = next;
        let old = std::mem::replace(&mut self.desk, Desk::new(config, seed));
        let mut out = Vec::new();
        tell_dropped(&self.desk.restore({ old }.cut(), &mut out));
        self.senders = senders;
        self.limits = LimitJoin::default(); // the new shards say themselves which limits are reached
        self.relief = Some(relief);
        if let Some(memory) = &mut self.memory {
            memory.cut_successor(number, &mut self.desk, &self.status); // `N2`
        }
        self.show(&out);
        self.relieve(flights);
        self.snapshot();
    }

    fn relieve(&mut self, flights: &mut JoinSet<Receipt>) {
        let inputs = self.relief.take().map(|relief| relief.of(self.desk.degraded()));
        inputs.into_iter().flatten().for_each(|input| self.tell(input, flights));
    }

    /// Nobody feeds the desk any more: lets deliveries under way end.
    async fn drain(&mut self, flights: &mut JoinSet<Receipt>) {
        let finish = async {
            while let Some(done) = flights.join_next().await {
                if let Some((input, _)) = receipt(done) {
                    let mut out = Vec::new();
                    let now = self.now();
                    self.step(now, input, &mut out);
                    self.show(&out);
                }
            }
        };
        if tokio::time::timeout(DRAIN_MAX, finish).await.is_err() {
            tracing::warn!("deliveries were still under way when Foghorn stopped; they may or may not have arrived");
        }
        if let Some(memory) = &mut self.memory {
            memory.sync(&self.status);
        }
    }

    /// The desk's time: the wall's, but for when that is set back.
    fn now(&mut self) -> WallTime {
        self.clock.read(clock::now(), Millis(self.started.elapsed().as_millis() as i64))
    }

    /// Logs an input, then acts on it.
    fn step(&mut self, now: WallTime, input: DeskInput, out: &mut Vec<DeskOutput>) {
        if let Some(memory) = &mut self.memory {
            memory.log(now, &input, &self.status);
        }
        self.desk.handle(now, input, out);
    }

    fn tell(&mut self, input: DeskInput, flights: &mut JoinSet<Receipt>) {
        self.ask(input, flights);
    }

    /// Acts on an input; the answer is to an operation.
    fn ask(&mut self, input: DeskInput, flights: &mut JoinSet<Receipt>) -> Option<Answer> {
        let now = self.now();
        let mut out = Vec::new();
        let signals: Vec<_> = match &input {
            DeskInput::Signals(signals) => signals.iter().map(|s| (s.rule.clone(), s.labels.clone())).collect(),
            _ => Vec::new(),
        };
        self.step(now, input, &mut out);
        if self.desk.next_deadline().is_some_and(|at| at <= now) {
            self.step(now, DeskInput::Tick, &mut out);
        }
        self.show(&out);
        for (rule, labels) in signals {
            if let Some(alert) = self.desk.alert(&rule, &labels) {
                self.status.alerts.insert(alert.id, alert.clone());
            }
        }
        let speaks = out.iter().any(|output| matches!(output, DeskOutput::Deliver { .. }));
        if speaks && let Some(memory) = &mut self.memory {
            memory.sync(&self.status); // the intent is durable before the first byte leaves
        }
        let published = self.publish_told(&out);
        let mut answer = None;
        for output in out {
            match output {
                DeskOutput::Deliver { receiver, delivery } => {
                    let home = home_of(&delivery.notification.group_key);
                    let ours = home.and_then(|home| published.get(&home).cloned());
                    self.deliver(receiver, delivery, ours, flights);
                }
                DeskOutput::Answer(to) => answer = Some(to),
                DeskOutput::Journal(_) | DeskOutput::DeadLetter(_) => {}
            }
        }
        answer
    }

    /// Writes the parcels of partitions that something is told of, before it is: who takes one over from here on knows that
    /// it may have been sent. Whether each is ours still, as far as is known.
    fn publish_told(&self, out: &[DeskOutput]) -> BTreeMap<SourceId, Shared<BoxFuture<'static, bool>>> {
        let Some(parcels) = &self.parcels else { return BTreeMap::new() };
        let told = out.iter().filter_map(|output| match output {
            DeskOutput::Deliver { delivery, .. } => home_of(&delivery.notification.group_key),
            _ => None,
        });
        let homes: BTreeSet<SourceId> = told.collect();
        let sent = |home: SourceId| parcels.publish(&home, &self.desk).map(|sent| (home, sent));
        homes.into_iter().filter_map(sent).map(|(home, sent)| (home, sent.before_telling().boxed().shared())).collect()
    }

    fn deliver(
        &self,
        receiver: Arc<str>,
        delivery: Delivery,
        ours: Option<Shared<BoxFuture<'static, bool>>>,
        flights: &mut JoinSet<Receipt>,
    ) {
        let senders = self.senders.clone();
        crash_point("delivery_started");
        flights.spawn(async move {
            let (id, home) = (delivery.id, home_of(&delivery.notification.group_key));
            let ours = match ours {
                Some(ours) => ours.await,
                None => true,
            };
            let outcome = match ours {
                true => senders.send(&receiver, delivery, clock::now()).await,
                false => not_ours(),
            };
            Receipt { receiver, id, outcome, home }
        });
    }

    /// Tells the log and those who watch what the desk decided.
    fn show(&self, out: &[DeskOutput]) {
        for output in out {
            match output {
                DeskOutput::Journal(entry) => {
                    tracing::debug!(target: "foghorn::journal", "{}", entry.decision);
                    self.status.remember(entry);
                    let watched = matches!(
                        entry.decision,
                        Decision::Alert { .. }
                            | Decision::Silenced { .. }
                            | Decision::Unsilenced { .. }
                            | Decision::Operated { .. }
                    );
                    if watched {
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
                DeskOutput::Answer(_) => {}
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

fn input(message: DeskMail, streams: &[Arc<str>], limits: &mut LimitJoin) -> Option<DeskInput> {
    Some(match message {
        // That nothing was said up to some tick is no news to a desk on the wall clock.
        DeskMail::Judged { signals, .. } if signals.is_empty() => return None,
        DeskMail::Judged { signals, .. } => DeskInput::Signals(signals),
        DeskMail::Limit { shard, news } => {
            limits.push(shard, news);
            let mut told = Vec::new();
            limits.release(EventTime::MAX, &mut told);
            return told.pop().map(|(_, input)| input); // one piece of news says one thing at most
        }
        DeskMail::Source(input) => input,
        DeskMail::Lost { stream, source, loss } => {
            DeskInput::InputLost { stream: streams[stream].clone(), source, loss }
        }
        DeskMail::Whole { stream } => DeskInput::InputWhole { stream: streams[stream].clone() },
        DeskMail::Cut { .. } | DeskMail::Successor(_) | DeskMail::Home { .. } | DeskMail::Leaving { .. } => {
            return None;
        }
    })
}

/// Says what of an old desk has no place under the new configuration.
pub fn tell_dropped(dropped: &Dropped) {
    for group in &dropped.groups {
        tracing::warn!(group = &**group, "the route of a group is no more; what fires in it is routed anew");
    }
    for (receiver, kind, group) in &dropped.notifications {
        tracing::warn!(
            receiver = &**receiver,
            integration = &**kind,
            group = &**group,
            "an unsent notification has nowhere to go: its receiver is no longer configured"
        );
    }
}

/// Another member has taken the partition over and tells it. The group will say so as well, and this be forgotten.
fn not_ours() -> Outcome {
    Outcome::Retry { after: None, throttled: false, reason: "another member has the partition".to_owned() }
}

/// A delivery that panicked has no receipt; the desk's timeout for it is the net.
fn receipt(done: Result<Receipt, tokio::task::JoinError>) -> Option<(DeskInput, Option<SourceId>)> {
    match done {
        Ok(Receipt { receiver, id, outcome, home }) => Some((DeskInput::Receipt { receiver, id, outcome }, home)),
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
                DeskMail::Limit { shard, news } => self.timeline.limits.push(shard, news),
                // There is no wall clock to stall against, and nothing is kept.
                DeskMail::Source(_) | DeskMail::Cut { .. } | DeskMail::Successor(_) => {}
                DeskMail::Lost { .. } | DeskMail::Whole { .. } => {}
                DeskMail::Home { .. } | DeskMail::Leaving { .. } => {} // it reads all partitions, alone
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
