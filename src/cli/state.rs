//! Going on from where the process before left off: the state directory into a desk, shards and the memory to go on with.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::CommandError;
use super::load::World;
use super::run::seed;
use crate::checkpoint::arrival::still_here;
use crate::edge::disk::{Loaded, StateDir};
use crate::edge::history::Recorder;
use crate::edge::{clock, process};
use crate::engine::desk::{Desk, DeskConfig, DeskInput, DeskOutput};
use crate::engine::heard;
use crate::engine::plan::Plan;
use crate::engine::record::Restored;
use crate::engine::state::ShardCut;
use crate::model::WallTime;
use crate::runtime::{Memory, tell_dropped};

/// What a process begins with.
pub(super) struct Beginning {
    pub desk: Desk,
    /// Empty where there is nothing to go on from.
    pub restore: Vec<ShardCut>,
    pub memory: Option<Memory>,
    /// The name of this Foghorn in its consumer group.
    pub instance: Option<String>,
    /// For the log and the history: what it goes on from.
    pub from: Option<From>,
}

/// The checkpoint a process goes on from.
#[derive(Clone, Debug)]
pub(super) struct From {
    pub number: u64,
    pub taken_at: WallTime,
    pub clean: bool,
    /// Inputs of the desk that were logged after it.
    pub logged: usize,
}

impl From {
    /// For the history.
    pub fn restored(&self) -> Restored {
        Restored::Checkpoint { taken_at: self.taken_at, inputs: self.logged as u64 }
    }
}

/// Begins without a past, and leaves none.
pub(super) fn forgetful(world: &World) -> Beginning {
    Beginning { desk: Desk::new(world.desk(), seed()), restore: Vec::new(), memory: None, instance: None, from: None }
}

/// Takes the directory and goes on from what it holds.
pub(super) fn remember(
    dir: &Path,
    every: Duration,
    world: &World,
    history: Option<&Recorder>,
) -> Result<Beginning, CommandError> {
    process::take_file_limits_as_errors();
    let dir = Arc::new(StateDir::open(dir)?);
    let mut loaded = dir.load()?;
    for (path, why) in &loaded.broken {
        tracing::error!(file = path, "a file of the state is broken and set aside: {why}");
    }
    let config = world.desk();
    let meaning = config.meaning();
    let head = loaded.checkpoint.as_ref().map(|checkpoint| checkpoint.head.clone());
    let desk_seed = head.as_ref().map_or_else(seed, |head| head.seed);
    let same_desk = head.as_ref().is_none_or(|head| head.desk_meaning == meaning);
    let (desk, restore) = revive(config, &world.plan, desk_seed, same_desk, &mut loaded, history);
    let from = head.map(|head| From {
        number: head.number,
        taken_at: head.taken_at,
        clean: head.clean,
        logged: loaded.entries.len(),
    });
    tell(from.as_ref(), &loaded, dir.path());
    let log = dir.resume_log(&mut loaded)?;
    let instance = Some(dir.instance()?);
    let (next, begun) = (loaded.next, from.is_some());
    let memory = Memory { next, log, every, desk_meaning: meaning, seed: desk_seed, begun, dir };
    Ok(Beginning { desk, restore, memory: Some(memory), instance, from })
}

/// The desk as it was when the process before ended: the checkpoint, and everything that was logged after it. The shards' part
/// of the checkpoint, with what the desk has heard since.
fn revive(
    config: DeskConfig,
    plan: &Plan,
    seed: u64,
    same_desk: bool,
    loaded: &mut Loaded,
    history: Option<&Recorder>,
) -> (Desk, Vec<ShardCut>) {
    let mut desk = Desk::new(config, seed);
    let Some(checkpoint) = loaded.checkpoint.take() else { return (desk, Vec::new()) };
    let mut out = Vec::new();
    tell_dropped(&desk.restore(checkpoint.desk, &mut out));
    history.inspect(|history| history.made_again(true));
    for entry in &loaded.entries {
        // Under other receivers the same numbers name other deliveries; what has no receipt is sent again, and marked.
        let foreign = !same_desk && matches!(entry.input, DeskInput::Receipt { .. });
        if !foreign {
            desk.handle(entry.at, entry.input.clone(), &mut out);
        }
        // What was to be delivered is done, or under way without an answer. History takes what it missed.
        for output in out.drain(..) {
            if let (Some(history), DeskOutput::Journal(entry)) = (history, output) {
                history.entry(&entry);
            }
        }
    }
    history.inspect(|history| history.made_again(false));
    let mut shards = still_here(checkpoint.shards, loaded.entries.iter().map(|entry| &entry.input));
    heard::bring_in(&mut shards, plan, desk.alerts());
    (desk, shards)
}

fn tell(from: Option<&From>, loaded: &Loaded, dir: &Path) {
    match from {
        Some(From { number, taken_at, clean, logged }) => tracing::info!(
            checkpoint = number,
            age = %clock::now().since(*taken_at),
            clean,
            logged,
            "going on from a checkpoint"
        ),
        None if loaded.broken.is_empty() => {
            tracing::info!(dir = %dir.display(), "no checkpoint yet: beginning without a past");
        }
        None => tracing::error!(dir = %dir.display(), "no checkpoint is whole: beginning without a past"),
    }
}
