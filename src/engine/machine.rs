//! What a shard's thread drives: one shard of several, or, where all rules are local, the cells of its partitions.

use crate::engine::cells::{Cells, Held, Said};
use crate::engine::feed::cut::RestoreError;
use crate::engine::shard::{Shard, ShardInput, ShardOutput, ShardStatus};
use crate::engine::state::ShardCut;
use crate::model::position::{Position, SourceId};

/// See the module.
pub enum Machine {
    Shard(Box<Shard>),
    Cells(Box<Cells>),
}

impl Machine {
    pub fn handle(&mut self, input: ShardInput, out: &mut Vec<Said>) {
        match self {
            Machine::Shard(shard) => {
                let mut said = Vec::new();
                shard.handle(input, &mut said);
                out.extend(said.into_iter().map(one));
            }
            Machine::Cells(cells) => cells.handle(input, out),
        }
    }

    /// Goes on from a checkpoint: a shard from its share of all cuts, cells from the cuts of partitions that are `mine`.
    pub fn restore(
        &mut self,
        cuts: &[ShardCut],
        mine: impl Fn(&SourceId) -> bool,
        out: &mut Vec<Said>,
    ) -> Result<(), RestoreError> {
        match self {
            Machine::Shard(shard) => {
                let mut said = Vec::new();
                if !cuts.is_empty() {
                    shard.restore(cuts, &mut said)?;
                }
                out.extend(said.into_iter().map(one));
                Ok(())
            }
            Machine::Cells(cells) => {
                let mine = |cut: &&ShardCut| cut.cell.as_ref().is_some_and(|name| mine(&name.home));
                cells.restore(cuts.iter().filter(mine), out)
            }
        }
    }

    /// Takes over what cuts do not hold from the one they were taken of.
    pub fn succeed(&mut self, old: &Machine, out: &mut Vec<Said>) {
        match (self, old) {
            (Machine::Shard(new), Machine::Shard(old)) => {
                let mut said = Vec::new();
                for input in new.succeed(old) {
                    new.handle(input, &mut said);
                }
                out.extend(said.into_iter().map(one));
            }
            (Machine::Cells(new), Machine::Cells(old)) => new.succeed(old, out),
            _ => unreachable!("rules that cease to be local, or become it, need a restart"),
        }
    }

    pub fn is_over(&self) -> bool {
        match self {
            Machine::Shard(shard) => shard.is_over(),
            Machine::Cells(cells) => cells.is_over(),
        }
    }

    /// As [`Shard::is_cutting`]; cells wait for nobody.
    pub fn is_cutting(&self) -> bool {
        match self {
            Machine::Shard(shard) => shard.is_cutting(),
            Machine::Cells(_) => false,
        }
    }

    pub fn status(&self) -> ShardStatus {
        match self {
            Machine::Shard(shard) => shard.status(),
            Machine::Cells(cells) => cells.status(),
        }
    }

    pub fn positions(&self) -> Vec<Position> {
        match self {
            Machine::Shard(shard) => shard.positions().collect(),
            Machine::Cells(cells) => cells.positions().collect(),
        }
    }

    /// How many partitions there are, where they move.
    pub fn held(&self) -> Option<Held> {
        match self {
            Machine::Shard(_) => None,
            Machine::Cells(cells) => Some(cells.held()),
        }
    }

    pub fn cells(&mut self) -> Option<&mut Cells> {
        match self {
            Machine::Shard(_) => None,
            Machine::Cells(cells) => Some(cells),
        }
    }
}

fn one(output: ShardOutput) -> Said {
    match output {
        ShardOutput::Cut { cut, last, state } => Said::Cut { cut, last, states: vec![*state] },
        other => Said::Shard(other),
    }
}
