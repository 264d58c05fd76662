//! Other rules and receivers for an engine that runs.
//!
//! A reload goes round like a checkpoint. The keeper makes the new shards first, so that what cannot be made stops
//! nothing; then it asks the old ones for a last cut, which they take at one barrier, and stand still. The new shards go
//! on from the cuts, all at once, while Kafka's records wait in their channels and the desk does its work. Then the desk
//! gives way to its successor, at a mark behind everything the old shards said, and each thread goes on with another
//! shard. Nothing is read twice, nothing is missed, and for whoever produces it is one long batch.
//!
//! The obvious alternative, to change a running shard's plan in place, would be a second way to get from one plan to
//! another, and the one of them that checkpoints do not exercise.
//!
//! - `N1` what a shard says after its last cut, its successor says: nobody hears it twice
//! - `N2` the successor of a desk begins a log of its own, and a checkpoint that belongs to it: no log holds inputs of two
//!   configurations, as their deliveries have the same numbers
//! - `N3` a reload that fails leaves the engine as it was

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::edge::kafka::{ConsumerHandle, shard_of};
use crate::edge::senders::Senders;
use crate::engine::cells::{Cells, Said};
use crate::engine::desk::DeskConfig;
use crate::engine::feed::cut::RestoreError;
use crate::engine::machine::Machine;
use crate::engine::merge::Relief;
use crate::engine::plan::Plan;
use crate::engine::shard::{Shard, ShardError};
use crate::engine::state::ShardCut;
use crate::model::position::SourceId;
use crate::runtime::desk::{DeskMail, DeskSuccessor};
use crate::runtime::memory::Keeper;
use crate::runtime::shard::{Order, Successor};
use crate::runtime::status::Status;
use crate::runtime::{peer_channels, stopwatch};

/// What an engine is to go on with. Its streams must be those it runs with, in their order.
pub struct Next {
    pub plan: Arc<Plan>,
    pub desk: DeskConfig,
    pub senders: Arc<Senders>,
}

/// What a reload cost.
#[derive(Clone, Copy, Debug)]
pub struct Reloaded {
    /// For how long no records were taken.
    pub stall: Duration,
}

/// Why an engine goes on as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error(transparent)]
    Decoder(#[from] ShardError),
    #[error("the state cannot be gone on from: {0}")]
    Restore(#[from] RestoreError),
    #[error("the engine is stopping")]
    Stopping,
}

/// Asks an engine to go on with something else.
#[derive(Clone, Debug)]
pub struct Reloader(mpsc::Sender<Reload>);

/// An engine's end of it.
pub type Reloads = mpsc::Receiver<Reload>;

/// One request.
pub struct Reload {
    next: Next,
    done: oneshot::Sender<Result<Reloaded, ReloadError>>,
}

/// Both ends.
pub fn reloads() -> (Reloader, Reloads) {
    let (ask, asked) = mpsc::channel(1);
    (Reloader(ask), asked)
}

impl Reloader {
    /// # Errors
    /// Nothing has changed; why.
    pub async fn reload(&self, next: Next) -> Result<Reloaded, ReloadError> {
        let (done, answer) = oneshot::channel();
        self.0.send(Reload { next, done }).await.map_err(|_| ReloadError::Stopping)?;
        answer.await.unwrap_or(Err(ReloadError::Stopping))
    }
}

/// What goes on, and what it said as it did.
pub(super) type Restored = (Machine, Vec<Said>);

/// How an engine's shards are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shards {
    pub count: usize,
    pub seed: u64,
    /// Whether cuts are taken of them.
    pub cuts: bool,
    /// Whether each partition is judged by itself.
    pub local: bool,
}

impl Shards {
    pub fn make(self, plan: &Arc<Plan>) -> Result<Vec<Machine>, ShardError> {
        (0..self.count).map(|index| if self.local { self.cells(plan) } else { self.shard(index, plan) }).collect()
    }

    fn shard(self, index: usize, plan: &Arc<Plan>) -> Result<Machine, ShardError> {
        let shard = Shard::new(index, self.count, plan.clone(), self.seed)?.with_stopwatch(stopwatch);
        Ok(Machine::Shard(Box::new(if self.cuts { shard.with_cuts() } else { shard })))
    }

    fn cells(self, plan: &Arc<Plan>) -> Result<Machine, ShardError> {
        let cells = Cells::new(plan.clone(), self.seed)?.with_stopwatch(stopwatch);
        Ok(Machine::Cells(Box::new(if self.cuts { cells.with_cuts() } else { cells })))
    }
}

/// Lets each take its part of the cuts, all at once.
pub(super) fn restore(machines: Vec<Machine>, cuts: &[ShardCut]) -> Result<Vec<Restored>, RestoreError> {
    let count = machines.len();
    let one = |index: usize, mut machine: Machine| {
        let mut said = Vec::new();
        let mine = |home: &SourceId| shard_of(&home.topic, home.partition, count) == index;
        machine.restore(cuts, mine, &mut said)?;
        Ok((machine, said))
    };
    std::thread::scope(|scope| {
        let machines = machines.into_iter().enumerate();
        let threads: Vec<_> = machines.map(|(index, machine)| scope.spawn(move || one(index, machine))).collect();
        threads.into_iter().map(|thread| thread.join().expect("restoring does not panic")).collect()
    })
}

/// As [`restore`], off the threads that must not wait.
async fn restore_aside(shards: Vec<Machine>, cuts: &Arc<Vec<ShardCut>>) -> Result<Vec<Restored>, RestoreError> {
    let cuts = cuts.clone();
    tokio::task::spawn_blocking(move || restore(shards, &cuts)).await.expect("restoring does not panic")
}

impl Keeper {
    /// Goes on with something else, says so, and makes a checkpoint of it where checkpoints are taken.
    pub(super) async fn reload(&mut self, reload: Reload, consumer: &ConsumerHandle, status: &Status) {
        let Reload { next, done } = reload;
        let number = self.number();
        match self.go_on_with(next, number, status).await {
            Ok((reloaded, cuts)) => {
                let _ = done.send(Ok(reloaded)); // who asked may be gone
                self.keep(number, cuts, consumer, status).await; // `N2`
            }
            Err(error) => drop(done.send(Err(error))),
        }
    }

    async fn go_on_with(
        &mut self,
        next: Next,
        number: u64,
        status: &Status,
    ) -> Result<(Reloaded, Vec<ShardCut>), ReloadError> {
        let shards = self.making.make(&next.plan)?;
        let started = Instant::now();
        let cuts = Arc::new(self.ask(Order::LastCut, number).await.ok_or(ReloadError::Stopping)?);
        let restored = match restore_aside(shards, &cuts).await {
            Ok(restored) => restored,
            Err(error) => {
                let old = self.making.make(&self.plan)?;
                self.replace(restore_aside(old, &cuts).await?); // `N3`
                return Err(error.into());
            }
        };
        let said = restored.iter().flat_map(|(_, said)| said).filter_map(Said::of_shard);
        let relief = Relief::new(&next.plan, &cuts, said);
        let Next { plan, desk: config, senders } = next;
        self.begin_desk(config.meaning());
        let desk = DeskSuccessor { number, config, seed: self.desk_seed(), senders, relief };
        let _ = self.to_desk.send(DeskMail::Successor(Box::new(desk))).await; // it outlives the keeper
        self.replace(restored);
        self.homes.iter().for_each(|homes| homes.go_by(plan.clone()));
        self.plan = plan;
        let stall = started.elapsed();
        status.state.stalled(stall);
        Ok((Reloaded { stall }, Arc::unwrap_or_clone(cuts)))
    }

    /// Each thread goes on with another shard.
    fn replace(&self, shards: Vec<Restored>) {
        let links = peer_channels(self.making.count);
        for ((orders, (machine, said)), (peers, to_peers)) in self.shards.iter().zip(shards).zip(links) {
            let successor = Successor { machine, said, peers, to_peers };
            let _ = orders.send(Order::Successor(Box::new(successor))); // a thread that is gone goes on with nothing
        }
    }
}
