//! A shard's thread: channels in, `Shard::handle`, channels out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, never, select_biased, tick};
use tokio::sync::mpsc;

use crate::edge::clock;
use crate::edge::kafka::SourceEvent;
use crate::engine::shard::{DeadLetter, Peer, Shard, ShardInput, ShardOutput};
use crate::model::time::EventTime;
use crate::runtime::desk::DeskMail;
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
    pub dead_letters: DeadLetterSink,
    pub status: Arc<Status>,
    /// The ends that partitions have now are their ends for good, and the wall clock has no say.
    pub until_end: bool,
}

/// Runs until the source and all peers have closed their ends (`R4`).
pub(super) fn run(mut shard: Shard, links: Links) {
    let mut thread =
        Thread { unsent: links.to_peers.iter().map(|_| VecDeque::new()).collect(), links, out: Vec::new() };
    let pulse = tick(PULSE);
    let (no_events, no_peers) = (never(), never());
    let mut source_open = true;
    let mut peers_open = thread.links.to_peers.len() > 1;
    while source_open || peers_open {
        let blocked = !thread.send_to_peers();
        if !source_open && !blocked {
            thread.links.to_peers.clear(); // tells the peers that nothing more comes from here
            thread.unsent.clear();
        }
        let source = if source_open && !blocked { &thread.links.source } else { &no_events };
        let peers = if peers_open { &thread.links.peers } else { &no_peers };
        let input = select_biased! {
            recv(peers) -> message => match message {
                Ok(message) => Wake::Inputs(vec![ShardInput::Peer(message)]),
                Err(_) => { peers_open = false; Wake::Nothing }
            },
            recv(pulse) -> _ => Wake::Pulse,
            recv(source) -> event => match event {
                Ok(event) => Wake::Inputs(inputs(event, thread.links.until_end)),
                Err(_) => { source_open = false; Wake::Nothing }
            },
            default(if blocked { PEER_RETRY } else { PULSE }) => Wake::Nothing,
        };
        match input {
            Wake::Inputs(inputs) => inputs.into_iter().for_each(|input| thread.handle(&mut shard, input)),
            Wake::Pulse => {
                if !thread.links.until_end {
                    for reading in thread.links.status.readings(thread.links.index) {
                        thread.handle(&mut shard, reading);
                    }
                    thread.handle(&mut shard, ShardInput::Wall(clock::now()));
                }
                thread.publish(&shard);
            }
            Wake::Nothing => {}
        }
    }
    thread.publish(&shard);
}

enum Wake {
    Inputs(Vec<ShardInput>),
    Pulse,
    Nothing,
}

fn inputs(event: SourceEvent, until_end: bool) -> Vec<ShardInput> {
    match event {
        SourceEvent::Records { stream, batch } => vec![ShardInput::Records { stream, batch }],
        SourceEvent::Assigned(sources) => vec![ShardInput::Assigned(sources)],
        SourceEvent::Revoked(sources) | SourceEvent::Lost(sources) => vec![ShardInput::Revoked(sources)],
        // The offsets begin anew, so the partition does: what is read now was not read before.
        SourceEvent::Gap { gap, streams } if gap.is_rewind() => {
            let again = streams.into_iter().map(|stream| (stream, gap.source.clone())).collect();
            vec![ShardInput::Revoked(vec![gap.source]), ShardInput::Assigned(again)]
        }
        SourceEvent::Gap { .. } => Vec::new(), // told by the consumer's status and counters
        SourceEvent::EndOfPartition(ends) if until_end => {
            ends.into_iter().map(|end| ShardInput::Ended(end.source)).collect()
        }
        SourceEvent::EndOfPartition(ends) => {
            let now = clock::now();
            ends.into_iter().map(|end| ShardInput::Reading { source: end.source, now, lag: Some(0) }).collect()
        }
    }
}

struct Thread {
    links: Links,
    /// By peer: what its channel had no room for, in order.
    unsent: Vec<VecDeque<Peer>>,
    out: Vec<ShardOutput>,
}

impl Thread {
    fn handle(&mut self, shard: &mut Shard, input: ShardInput) {
        let started = Instant::now();
        shard.handle(input, &mut self.out);
        self.links.status.add_busy(self.links.index, started.elapsed());
        let mut signals = Vec::new();
        let mut judged = EventTime::MIN;
        for output in self.out.drain(..) {
            match output {
                ShardOutput::Signal(signal) => signals.push(signal),
                ShardOutput::ToPeer { shard, message } => self.unsent[shard].push_back(message),
                ShardOutput::Judged(until) => judged = judged.max(until),
                ShardOutput::DeadLetter(letter) => (self.links.dead_letters)(letter),
                ShardOutput::Degraded { at, rule, groups_max, refused } => {
                    mail(&self.links.desk, DeskMail::Degraded { at, rule, groups_max, refused });
                }
            }
        }
        if !signals.is_empty() || judged != EventTime::MIN {
            mail(&self.links.desk, DeskMail::Judged { shard: self.links.index, signals, until: judged });
        }
        self.send_to_peers();
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

    fn publish(&self, shard: &Shard) {
        self.links.status.publish(self.links.index, shard.status(), shard.positions().collect());
    }
}

/// Blocks while the desk's mailbox is full; a desk that is gone has nothing left to hear.
fn mail(desk: &mpsc::Sender<DeskMail>, message: DeskMail) {
    let _ = desk.blocking_send(message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::position::{Gap, SourceId};

    #[test]
    fn after_a_rewind_the_partition_begins_anew_for_all_its_streams_and_after_a_gap_it_goes_on() {
        let source = SourceId::new("t", 3);
        let told = |from, to| {
            let gap = Gap { source: source.clone(), from, to };
            let inputs = inputs(SourceEvent::Gap { gap, streams: vec![0, 2] }, false);
            inputs.iter().map(|input| format!("{input:?}")).collect::<Vec<_>>()
        };
        let assigned = ShardInput::Assigned(vec![(0, source.clone()), (2, source.clone())]);
        let revoked = ShardInput::Revoked(vec![source.clone()]);
        assert_eq!(told(100, 0), [format!("{revoked:?}"), format!("{assigned:?}")]);
        assert!(told(10, 50).is_empty());
    }
}
