//! When what goes wrong: the moments of a storm, drawn in advance, fault by fault.

use rand::Rng;
use rand::rngs::StdRng;

use super::operators::{self, Ask};
use super::options::{Fault, Options};
use super::topic::{START, STORM};
use crate::checkpoint::CRASH_POINTS;

/// Something that happens to the world.
#[derive(Clone, Debug)]
pub enum Turn {
    Kill,
    CutPower,
    /// The process ends when it next passes this point.
    Trap(&'static str, u32),
    /// It is stopped in good order.
    Stop,
    /// It goes on with other rules.
    Reload,
    Revoke(Vec<usize>),
    Assign(Vec<usize>),
    Reread(usize, i64),
    /// Nobody reaches the partition until then.
    Away(usize, i64),
    /// Of what the partition holds, this many records are left.
    Retain(usize, usize),
    /// The partition is made anew.
    Anew(usize),
    Full(bool),
    /// The clock is set to be so far off; all clocks, where that is not at all.
    Skew(i64),
    /// A checkpoint is asked for out of turn.
    Checkpoint,
    /// Somebody wants something of the desk, or of both.
    Ask(Ask),
    /// The process stands still for so long.
    StandStill(i64),
    /// Nobody reaches the handover topic until then.
    NoParcels(i64),
}

/// Everything that happens, in order.
pub fn plot(options: &Options) -> Vec<(i64, Turn)> {
    let mut turns = Vec::new();
    for fault in &options.faults {
        let mut dice = options.dice(fault.name());
        for _ in 0..dice.random_range(1..=3) {
            let at = START + dice.random_range(3_000..STORM - 1_000);
            turns.extend(of(*fault, at, options, &mut dice));
        }
    }
    turns.sort_by_key(|(at, _)| *at);
    turns
}

fn of(fault: Fault, at: i64, options: &Options, dice: &mut StdRng) -> Vec<(i64, Turn)> {
    let partition = dice.random_range(0..options.partitions);
    let length = dice.random_range(1_000..30_000);
    match fault {
        Fault::Kill => vec![(at, Turn::Kill)],
        Fault::Power => vec![(at, Turn::CutPower)],
        Fault::Point => {
            let point = CRASH_POINTS[dice.random_range(0..CRASH_POINTS.len())];
            vec![(at, Turn::Trap(point, dice.random_range(1..4)))]
        }
        Fault::Restart => vec![(at, Turn::Stop)],
        Fault::Reload => vec![(at, Turn::Reload)],
        Fault::DiskFull => vec![(at, Turn::Full(true)), (at + length, Turn::Full(false))],
        Fault::Rebalance => {
            let gone: Vec<usize> = (0..options.partitions).filter(|_| dice.random_bool(0.6)).collect();
            vec![(at, Turn::Revoke(gone.clone())), (at + length / 3, Turn::Assign(gone))]
        }
        Fault::Redeliver => vec![(at, Turn::Reread(partition, dice.random_range(1..60)))],
        Fault::Outage => vec![(at, Turn::Away(partition, at + length))],
        Fault::Retention => vec![
            (at, Turn::Away(partition, at + length)),
            (at + length, Turn::Retain(partition, dice.random_range(0..4))),
        ],
        Fault::Recreate => vec![(at, Turn::Anew(partition))],
        Fault::Clock => {
            let skew = [-3_600_000, -20_000, -1_500, 900, 15_000, 120_000, 3_600_000][dice.random_range(0..7)];
            vec![(at, Turn::Skew(skew)), (at + length, Turn::Skew(0))]
        }
        Fault::Slow => vec![(at, Turn::Checkpoint)],
        Fault::Silence => operators::turns(at, length, dice),
        Fault::Freeze => vec![(at, Turn::StandStill(length))],
        Fault::Parcels => vec![(at, Turn::NoParcels(at + length))],
        _ => Vec::new(),
    }
}
