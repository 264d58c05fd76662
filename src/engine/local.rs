//! The whole machine in one thread, in event time: shards, merger, desk.
//!
//! `replay` and `test` run this, with the same `handle` functions `run` has on its threads. The desk's wall follows event
//! time, deliveries succeed at once, and what would have been sent is collected. Nothing here depends on batch sizes
//! or on the number of shards, which is what makes a transcript worth comparing.

use std::sync::Arc;

use crate::engine::desk::{Answer, Desk, DeskConfig, DeskCut, DeskInput, DeskOutput, Operation};
use crate::engine::feed::cut::RestoreError;
use crate::engine::merge::{LimitJoin, Relief, SignalMerger};
use crate::engine::plan::Plan;
use crate::engine::shard::{DeadLetter, Shard, ShardError, ShardInput, ShardOutput, ShardStatus};
use crate::engine::state::ShardCut;
use crate::engine::transcript::{Block, Transcript};
use crate::model::batch::RawBatch;
use crate::model::delivery::Outcome;
use crate::model::position::SourceId;
use crate::model::signal::{Signal, Transition};
use crate::model::time::{EventTime, Millis, WallTime};

/// What the desk still says after the last event: timers that were running may end within this time.
pub const AFTERMATH: Millis = Millis::from_secs(5 * 60);

pub struct Local {
    plan: Arc<Plan>,
    shards: Vec<Shard>,
    inputs: Vec<(usize, ShardInput)>,
    merger: SignalMerger,
    timeline: Timeline,
    dead_letters: u64,
    /// Of a checkpoint that is being taken.
    cuts: Vec<ShardCut>,
    cuts_taken: u64,
}

/// The state of a whole local machine at one moment.
#[derive(Clone, Debug)]
pub struct LocalCut {
    pub shards: Vec<ShardCut>,
    pub desk: DeskCut,
    /// Signals of ticks that are not complete.
    held: Vec<Signal>,
    limits: LimitJoin,
    now: WallTime,
}

impl Local {
    pub fn new(plan: &Arc<Plan>, shards: usize, desk: DeskConfig, seed: u64) -> Result<Local, ShardError> {
        let made = (0..shards).map(|index| Shard::new(index, shards, plan.clone(), seed)).collect::<Result<_, _>>()?;
        Ok(Local {
            plan: plan.clone(),
            shards: made,
            inputs: Vec::new(),
            merger: SignalMerger::new(shards),
            timeline: Timeline::new(desk, seed),
            dead_letters: 0,
            cuts: Vec::new(),
            cuts_taken: 0,
        })
    }

    /// Names all sources there will be, before the first record.
    pub fn assign(&mut self, sources: &[(usize, SourceId)]) {
        for shard in 0..self.shards.len() {
            let mine = sources.iter().filter(|(_, source)| self.shard_of(source) == shard).cloned().collect();
            self.inputs.push((shard, ShardInput::Assigned(mine)));
        }
        self.settle();
    }

    /// `batch` holds records of one source.
    pub fn records(&mut self, stream: usize, batch: RawBatch) {
        let shard = batch.sources.first().map_or(0, |source| self.shard_of(source));
        debug_assert!(batch.sources.iter().all(|source| self.shard_of(source) == shard), "one source a batch");
        self.inputs.push((shard, ShardInput::Records { stream, batch }));
        self.settle();
    }

    /// The source gives nothing more.
    pub fn ended(&mut self, source: &SourceId) {
        self.inputs.push((self.shard_of(source), ShardInput::Ended(source.clone())));
        self.settle();
    }

    /// No source gives an event before this time any more, whatever its lateness: time passes in silence.
    pub fn until(&mut self, at: EventTime) {
        self.inputs.extend((0..self.shards.len()).map(|shard| (shard, ShardInput::Until(at))));
        self.settle();
    }

    /// Does what somebody asks of the desk, at the time it has come to.
    pub fn operate(&mut self, operation: Operation) -> Answer {
        self.timeline.operate(operation)
    }

    /// The desk's time.
    pub fn now(&self) -> WallTime {
        self.timeline.now
    }

    /// Keeps what checkpoints are made of. To be said before the first record.
    pub fn with_cuts(mut self) -> Local {
        self.shards = self.shards.into_iter().map(Shard::with_cuts).collect();
        self
    }

    /// Takes a checkpoint: what [`Local::restore`] goes on from.
    pub fn cut(&mut self) -> LocalCut {
        self.cut_by(ShardInput::Cut)
    }

    fn cut_by(&mut self, input: fn(u64) -> ShardInput) -> LocalCut {
        self.cuts_taken += 1;
        self.inputs.push((0, input(self.cuts_taken)));
        self.settle();
        let mut shards = std::mem::take(&mut self.cuts);
        shards.sort_by_key(|cut| cut.shard);
        LocalCut {
            shards,
            desk: self.timeline.desk.cut(),
            held: self.merger.held().to_vec(),
            limits: self.timeline.limits.clone(),
            now: self.timeline.now,
        }
    }

    /// Goes on from a checkpoint, at this machine's number of shards and under its rules. Sources must be assigned after.
    ///
    /// # Errors
    /// The panes in the checkpoint cannot be read.
    pub fn restore(&mut self, cut: LocalCut) -> Result<(), RestoreError> {
        self.timeline.now = cut.now;
        self.timeline.desk.restore(cut.desk, &mut Vec::new());
        self.timeline.limits = cut.limits.resume(&self.plan);
        cut.held.into_iter().for_each(|signal| self.merger.push(signal));
        let mut said: Vec<Vec<ShardOutput>> = self.shards.iter().map(|_| Vec::new()).collect();
        for (shard, out) in self.shards.iter_mut().zip(&mut said) {
            shard.restore(&cut.shards, out)?;
        }
        let relief = Relief::new(&self.plan, &cut.shards, said.iter().flatten());
        relief.of(self.timeline.desk.degraded()).into_iter().for_each(|input| drop(self.timeline.tell(input)));
        said.iter_mut().enumerate().for_each(|(shard, out)| self.take(shard, out));
        self.settle();
        Ok(())
    }

    /// Goes on under other rules and another desk, as a running engine does: sources stay assigned.
    ///
    /// # Errors
    /// A stream cannot be decoded as the plan has it.
    ///
    /// # Panics
    /// The panes of the machine's own cut cannot be read.
    pub fn reload(self, plan: &Arc<Plan>, desk: DeskConfig, seed: u64) -> Result<Local, ShardError> {
        let mut next = Local::new(plan, self.shards.len(), desk, seed)?.with_cuts();
        let (cut, old) = self.end();
        next.restore(cut).expect("a cut of our own is whole");
        for (shard, old) in old.iter().enumerate() {
            let first = next.shards[shard].succeed(old).into_iter();
            next.inputs.extend(first.map(|input| (shard, input)));
        }
        next.settle();
        Ok(next)
    }

    /// Takes the last cut.
    fn end(mut self) -> (LocalCut, Vec<Shard>) {
        let cut = self.cut_by(ShardInput::LastCut);
        (cut, self.shards)
    }

    /// Lets the desk's running timers end, after all sources have ended.
    pub fn finish(&mut self) {
        self.timeline.aftermath();
    }

    /// What happened since the last call, in order: how rules moved, and what would have been sent.
    pub fn take_happened(&mut self) -> Vec<Happening> {
        self.timeline.take_happened()
    }

    /// How far a source's events have come.
    pub fn reached(&self, source: &SourceId) -> Option<EventTime> {
        self.shards[self.shard_of(source)].reached(source)
    }

    pub fn desk(&self) -> &Desk {
        &self.timeline.desk
    }

    pub fn statuses(&self) -> Vec<ShardStatus> {
        self.shards.iter().map(Shard::status).collect()
    }

    pub fn dead_letters(&self) -> u64 {
        self.dead_letters
    }

    /// Acts on what a shard said.
    fn take(&mut self, from: usize, out: &mut Vec<ShardOutput>) {
        for output in out.drain(..) {
            match output {
                ShardOutput::Signal(signal) => self.merger.push(signal),
                ShardOutput::Judged(until) => self.merger.judged(from, until),
                ShardOutput::ToPeer { shard, message } => self.inputs.push((shard, ShardInput::Peer(message))),
                ShardOutput::DeadLetter(DeadLetter { .. }) => self.dead_letters += 1,
                ShardOutput::Cut { state, .. } => self.cuts.push(*state),
                // Files lose nothing.
                ShardOutput::Lost { .. } | ShardOutput::Whole { .. } => {}
                ShardOutput::Limit(news) => self.timeline.limits.push(from, news),
            }
        }
    }

    fn shard_of(&self, source: &SourceId) -> usize {
        xxhash_rust::xxh3::xxh3_64(source.to_string().as_bytes()) as usize % self.shards.len()
    }

    /// Hands inputs to shards until nobody has anything left to say.
    fn settle(&mut self) {
        let mut out = Vec::new();
        while !self.inputs.is_empty() {
            for (shard, input) in std::mem::take(&mut self.inputs) {
                self.shards[shard].handle(input, &mut out);
                self.take(shard, &mut out);
            }
        }
        let mut signals = Vec::new();
        self.merger.release(&mut signals);
        self.timeline.play(signals, self.merger.complete());
    }
}

/// One thing that happened on a timeline.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A rule moved (refreshed values are no news).
    Signal(Box<Signal>),
    Sent(Box<Block>),
}

/// A desk whose wall clock is event time.
pub struct Timeline {
    pub desk: Desk,
    now: WallTime,
    signals: Vec<Signal>,
    /// What shards say of their limits. Told once a tick is complete: at the moment it is noticed, the wall may stand
    /// far behind, or not have begun.
    pub limits: LimitJoin,
    transcript: Transcript,
}

impl Timeline {
    pub fn new(config: DeskConfig, seed: u64) -> Self {
        let transcript = Transcript::new(&config);
        Timeline {
            desk: Desk::new(config, seed),
            now: WallTime::MIN,
            signals: Vec::new(),
            limits: LimitJoin::default(),
            transcript,
        }
    }

    /// Plays signals, sorted by tick, with the desk's own timers between them, up to and including `until`.
    pub fn play(&mut self, signals: Vec<Signal>, until: EventTime) {
        let mut signals = signals.into_iter().peekable();
        while let Some(at) = signals.peek().map(|signal| signal.at) {
            self.tell_limits(at);
            self.run_timers(WallTime::from_event(at) - Millis(1));
            let mut tick = Vec::new();
            while let Some(signal) = signals.next_if(|signal| signal.at == at) {
                tick.push(signal);
            }
            self.now = self.now.max(WallTime::from_event(at));
            let news = tick.iter().filter(|signal| signal.transition != Transition::Refreshed);
            self.signals.extend(news.cloned());
            self.tell(DeskInput::Signals(tick));
        }
        self.tell_limits(until);
        if until != EventTime::MAX {
            self.run_timers(WallTime::from_event(until));
        }
    }

    fn tell_limits(&mut self, until: EventTime) {
        let mut due = Vec::new();
        self.limits.release(until, &mut due);
        for (at, input) in due {
            self.run_timers(WallTime::from_event(at));
            self.tell(input);
        }
    }

    /// What happened since the last call, in order.
    pub fn take_happened(&mut self) -> Vec<Happening> {
        let signals = std::mem::take(&mut self.signals).into_iter();
        let sent = self.transcript.finished(self.now + Millis(1)).into_iter();
        let mut all: Vec<(i64, Happening)> = signals
            .map(|signal| (signal.at.0, Happening::Signal(Box::new(signal))))
            .chain(sent.map(|block| (block.at.0, Happening::Sent(Box::new(block)))))
            .collect();
        all.sort_by_key(|(at, _)| *at); // stable: signals stand before what they caused at the same instant
        all.into_iter().map(|(_, what)| what).collect()
    }

    /// Lets timers that are running end, within [`AFTERMATH`].
    pub fn aftermath(&mut self) {
        if self.now != WallTime::MIN {
            self.run_timers(self.now + AFTERMATH);
        }
    }

    fn run_timers(&mut self, until: WallTime) {
        while let Some(deadline) = self.desk.next_deadline()
            && deadline <= until
        {
            self.now = self.now.max(deadline);
            self.tell(DeskInput::Tick);
        }
        if until > self.now {
            self.now = until;
        }
    }

    fn operate(&mut self, operation: Operation) -> Answer {
        self.tell(DeskInput::Operator(operation)).expect("what is asked for is answered")
    }

    /// The answer is to an operation.
    fn tell(&mut self, input: DeskInput) -> Option<Answer> {
        let mut inputs = vec![input];
        let mut answer = None;
        let mut out = Vec::new();
        while let Some(input) = inputs.pop() {
            self.desk.handle(self.now, input, &mut out);
            self.transcript.take(self.now, &out);
            for output in out.drain(..) {
                match output {
                    DeskOutput::Deliver { receiver, delivery } => {
                        let outcome = Outcome::Delivered { thread: None };
                        inputs.insert(0, DeskInput::Receipt { receiver, id: delivery.id, outcome });
                    }
                    DeskOutput::Answer(to) => answer = Some(to),
                    DeskOutput::Journal(_) | DeskOutput::DeadLetter(_) => {}
                }
            }
        }
        answer
    }
}
