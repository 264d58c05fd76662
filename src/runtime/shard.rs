//! A shard's thread: channels in, `Shard::handle`, channels out.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, never, select_biased, tick};
use tokio::sync::mpsc;

use crate::edge::clock;
use crate::edge::kafka::SourceEvent;
use crate::engine::cells::Said;
use crate::engine::desk::DeskInput;
use crate::engine::machine::Machine;
use crate::engine::record::{PartitionEvent, PartitionRecord};
use crate::engine::shard::{DeadLetter, Peer, ShardInput, ShardOutput};
use crate::engine::state::{CellCut, ShardCut};
use crate::model::position::SourceId;
use crate::model::signal::Signal;
use crate::model::time::EventTime;
use crate::runtime::desk::DeskMail;
use crate::runtime::homes::Homes;
use crate::runtime::status::Status;

/// How often a shard looks at the wall clock and publishes its counters.
const PULSE: Duration = Duration::from_millis(250);

/// How soon a shard tries again to hand a message to a peer whose channel is full.
const PEER_RETRY: Duration = Duration::from_millis(1);

/// Where undecodable records go.
pub type DeadLetterSink = Arc<dyn Fn(DeadLetter) + Send + Sync>;

pub(super) struct Links {
    pub index: usize,
    pub source: Receiver<SourceEvent>,
    pub peers: Receiver<Peer>,
    /// By shard; the own place is never used.
    pub to_peers: Vec<Sender<Peer>>,
    pub desk: mpsc::Sender<DeskMail>,
    /// Checkpoints to take, shards to go on with; closed by who gives them when there will be none any more.
    pub orders: Receiver<Order>,
    pub cuts: mpsc::UnboundedSender<(u64, Vec<ShardCut>)>,
    pub dead_letters: DeadLetterSink,
    /// How partitions arrive, where they move between members.
    pub homes: Option<Arc<Homes>>,
    pub status: Arc<Status>,
    /// The ends that partitions have now are their ends for good, and the wall clock has no say.
    pub until_end: bool,
}

/// What the keeper wants of a shard.
pub(super) enum Order {
    /// A checkpoint; its number.
    Cut(u64),
    /// The same; a [`Successor`] follows it.
    LastCut(u64),
    Successor(Box<Successor>),
}

/// The shard to go on with, how it began, and how it talks to its peers: what old shards sent each other is over.
pub(super) struct Successor {
    pub machine: Machine,
    pub said: Vec<Said>,
    pub peers: Receiver<Peer>,
    pub to_peers: Vec<Sender<Peer>>,
}

/// Runs until the source and all peers have closed their ends (`R4`).
pub(super) fn run(mut machine: Machine, restored: Vec<Said>, links: Links) {
    let unsent = links.to_peers.iter().map(|_| VecDeque::new()).collect();
    let mut thread = Thread { unsent, links, out: restored, cutting_since: None };
    thread.say();
    if !thread.links.until_end {
        // Without the clock nothing would be too far in the future.
        thread.handle(&mut machine, ShardInput::Wall(clock::now()));
    }
    let pulse = tick(PULSE);
    let (no_events, no_peers, no_orders) = (never(), never(), never());
    let mut orders_open = true;
    let mut source_open = true;
    let mut peers_open = thread.links.to_peers.len() > 1;
    while source_open || orders_open || peers_open {
        let blocked = !thread.send_to_peers();
        if !source_open && !orders_open && !blocked {
            thread.links.to_peers.clear(); // tells the peers that nothing more comes from here
            thread.unsent.clear();
        }
        let reading = source_open && !blocked && !machine.is_cutting() && !machine.is_over();
        let source = if reading { &thread.links.source } else { &no_events };
        let orders = if orders_open { &thread.links.orders } else { &no_orders };
        let peers = if peers_open { &thread.links.peers } else { &no_peers };
        let input = select_biased! {
            recv(peers) -> message => match message {
                Ok(message) => Wake::Input(ShardInput::Peer(message)),
                Err(_) => { peers_open = false; Wake::Nothing }
            },
            recv(orders) -> order => match order {
                Ok(Order::Cut(number)) => Wake::Input(ShardInput::Cut(number)),
                Ok(Order::LastCut(number)) => Wake::Input(ShardInput::LastCut(number)),
                Ok(Order::Successor(next)) => Wake::Successor(next),
                Err(_) => { orders_open = false; Wake::Nothing }
            },
            recv(pulse) -> _ => Wake::Pulse,
            recv(source) -> event => match event {
                Ok(event) => Wake::Event(event),
                Err(_) => { source_open = false; Wake::Nothing }
            },
            default(if blocked { PEER_RETRY } else { PULSE }) => Wake::Nothing,
        };
        match input {
            Wake::Input(input) => thread.handle(&mut machine, input),
            Wake::Event(event) => thread.hear(&mut machine, event),
            Wake::Pulse => {
                if !thread.links.until_end {
                    for reading in thread.links.status.readings(thread.links.index) {
                        thread.handle(&mut machine, reading);
                    }
                    thread.handle(&mut machine, ShardInput::Wall(clock::now()));
                }
                thread.publish(&machine);
            }
            Wake::Successor(next) => {
                peers_open = next.to_peers.len() > 1;
                thread.succeed(&mut machine, *next);
            }
            Wake::Nothing => {}
        }
    }
    thread.publish(&machine);
}

enum Wake {
    Input(ShardInput),
    Event(SourceEvent),
    Successor(Box<Successor>),
    Pulse,
    Nothing,
}

fn inputs(event: SourceEvent, until_end: bool) -> Vec<ShardInput> {
    match event {
        SourceEvent::Records { stream, batch } => vec![ShardInput::Records { stream, batch }],
        SourceEvent::Assigned(sources) => vec![ShardInput::Assigned(sources)],
        SourceEvent::Revoked(sources) | SourceEvent::Lost(sources) => vec![ShardInput::Revoked(sources)],
        SourceEvent::Gap { gap, .. } => {
            vec![ShardInput::Gap { lost: gap.lost().filter(|_| !gap.is_rewind()), source: gap.source }]
        }
        SourceEvent::Topic { source, topic } => vec![ShardInput::Topic { source, topic }],
        SourceEvent::EndOfPartition(ends) if until_end => {
            ends.into_iter().map(|end| ShardInput::Ended(end.source)).collect()
        }
        SourceEvent::EndOfPartition(ends) => ends.into_iter().map(ShardInput::End).collect(),
    }
}

struct Thread {
    links: Links,
    /// By peer: what its channel had no room for, in order.
    unsent: Vec<VecDeque<Peer>>,
    out: Vec<Said>,
    /// Since when no records are taken because of a checkpoint.
    cutting_since: Option<Instant>,
}

impl Thread {
    /// Takes what comes from Kafka.
    fn hear(&mut self, machine: &mut Machine, event: SourceEvent) {
        match (event, self.links.homes.clone()) {
            (SourceEvent::Assigned(sources), Some(homes)) => {
                self.arrive(machine, &homes, &sources);
                self.handle(machine, ShardInput::Assigned(sources));
            }
            (SourceEvent::Revoked(sources), Some(homes)) => self.leave(machine, &homes, sources),
            (SourceEvent::Lost(sources), Some(homes)) => {
                for home in &sources {
                    self.give_up(&homes, home, machine.cells().and_then(|cells| cells.tenure(home)));
                }
                self.handle(machine, ShardInput::Revoked(sources));
            }
            (event, _) => {
                let inputs = inputs(event, self.links.until_end);
                inputs.into_iter().for_each(|input| self.handle(machine, input));
            }
        }
    }

    /// Partitions come, each in its own way. The desk hears of each before anything is said of it.
    fn arrive(&mut self, machine: &mut Machine, homes: &Homes, sources: &[(usize, SourceId)]) {
        let Some(cells) = machine.cells() else { return };
        let (shard, out) = (self.links.index, &mut self.out);
        let homes_here: BTreeSet<&SourceId> = sources.iter().map(|(_, home)| home).collect(); // two streams may read one
        for home in homes_here {
            let Some(arrival) = homes.arrived(home) else { continue };
            if let Some((tenure, left)) = arrival.taken_over()
                && let Err(error) = cells.adopt(home.clone(), tenure, left, out)
            {
                tracing::error!(%home, "what was left of a partition is damaged: {error}");
            }
            self.links.status.moved(arrival.record(home));
            let (input, cell) = arrival.told(home);
            mail(&self.links.desk, DeskMail::Home { shard, input, cell });
        }
    }

    /// Partitions go: with everything that whoever reads them next has to know.
    fn leave(&mut self, machine: &mut Machine, homes: &Homes, sources: Vec<SourceId>) {
        for home in sources {
            let tenure = machine.cells().and_then(|cells| cells.tenure(&home));
            self.forget(homes, &home, tenure, PartitionEvent::Left);
            let left = machine.cells().and_then(|cells| cells.leave(&home, &mut self.out));
            self.say();
            if let Some(cell) = left {
                let cell = Arc::new(cell);
                mail(&self.links.desk, DeskMail::Leaving { shard: self.links.index, home, cell });
            }
        }
        self.publish(machine);
    }

    /// A partition is somebody else's already.
    fn give_up(&self, homes: &Homes, home: &SourceId, tenure: Option<u64>) {
        self.forget(homes, home, tenure, PartitionEvent::Lost);
        let input = DeskInput::HomeReleased { home: home.clone() };
        mail(&self.links.desk, DeskMail::Home { shard: self.links.index, input, cell: None });
    }

    fn forget(&self, homes: &Homes, home: &SourceId, tenure: Option<u64>, what: PartitionEvent) {
        homes.forget(home);
        if let Some(tenure) = tenure {
            self.links.status.moved(PartitionRecord { partition: home.to_string(), tenure, what });
        }
    }

    fn handle(&mut self, machine: &mut Machine, input: ShardInput) {
        let started = Instant::now();
        machine.handle(input, &mut self.out);
        self.links.status.add_busy(self.links.index, started.elapsed());
        self.time_cut(machine, started);
        self.say();
    }

    /// Goes on with another shard.
    fn succeed(&mut self, machine: &mut Machine, next: Successor) {
        let Successor { machine: new, said, peers, to_peers } = next;
        let old = std::mem::replace(machine, new);
        self.unsent = to_peers.iter().map(|_| VecDeque::new()).collect();
        (self.links.peers, self.links.to_peers, self.out) = (peers, to_peers, said);
        self.say();
        machine.succeed(&old, &mut self.out);
        self.say();
        self.publish(machine);
    }

    /// Notes for how long a checkpoint keeps records waiting: from its first word, or a peer's marker, to the cut.
    fn time_cut(&mut self, machine: &Machine, started: Instant) {
        let is_cut = |said: &Said| matches!(said, Said::Cut { .. });
        if machine.is_cutting() {
            self.cutting_since.get_or_insert(started);
        } else if self.out.iter().any(is_cut) {
            self.links.status.state.stalled(self.cutting_since.take().unwrap_or(started).elapsed());
        }
    }

    /// Sends everywhere what the shard said.
    fn say(&mut self) {
        let mut signals = Vec::new();
        let mut judged = EventTime::MIN;
        for said in std::mem::take(&mut self.out) {
            let output = match said {
                Said::Cut { cut, last, states } => {
                    // The mark stands behind everything that was said before. A last cut is the successor's mark.
                    self.judged(std::mem::take(&mut signals), std::mem::replace(&mut judged, EventTime::MIN));
                    if !last {
                        let cells = states.iter().filter(|state| state.cell.is_some());
                        let cells = cells.map(|state| Arc::new(CellCut::of(state))).collect();
                        mail(&self.links.desk, DeskMail::Cut { shard: self.links.index, cut, cells });
                    }
                    let _ = self.links.cuts.send((cut, states)); // nobody keeps it any more
                    continue;
                }
                Said::Unclaimed(home) => {
                    self.links.homes.iter().for_each(|homes| self.give_up(homes, &home, homes.tenure(&home)));
                    continue;
                }
                Said::Shard(output) => output,
            };
            match output {
                ShardOutput::Cut { .. } => unreachable!("told as cuts of whatever is driven"),
                ShardOutput::Lost { stream, source, loss } => {
                    mail(&self.links.desk, DeskMail::Lost { stream, source, loss });
                }
                ShardOutput::Whole { stream } => mail(&self.links.desk, DeskMail::Whole { stream }),
                ShardOutput::Signal(signal) => signals.push(signal),
                ShardOutput::ToPeer { shard, message } => self.unsent[shard].push_back(message),
                ShardOutput::Judged(until) => judged = judged.max(until),
                ShardOutput::DeadLetter(letter) => (self.links.dead_letters)(letter),
                ShardOutput::Limit(news) => {
                    mail(&self.links.desk, DeskMail::Limit { shard: self.links.index, news });
                }
            }
        }
        self.judged(signals, judged);
        self.send_to_peers();
    }

    fn judged(&self, signals: Vec<Signal>, until: EventTime) {
        if !signals.is_empty() || until != EventTime::MIN {
            mail(&self.links.desk, DeskMail::Judged { shard: self.links.index, signals, until });
        }
    }

    /// `false` while some peer has no room (`R1`).
    fn send_to_peers(&mut self) -> bool {
        let mut all = true;
        for (queue, peer) in self.unsent.iter_mut().zip(&self.links.to_peers) {
            while let Some(message) = queue.pop_front() {
                if let Err(TrySendError::Full(message)) = peer.try_send(message) {
                    queue.push_front(message);
                    all = false;
                    break;
                }
            }
        }
        all
    }

    fn publish(&self, machine: &Machine) {
        self.links.status.publish(self.links.index, machine.status(), machine.positions(), machine.held());
    }
}

/// Blocks while the desk's mailbox is full; a desk that is gone has nothing left to hear.
fn mail(desk: &mpsc::Sender<DeskMail>, message: DeskMail) {
    let _ = desk.blocking_send(message);
}
