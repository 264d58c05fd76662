//! What one storm is made of: everything is drawn from the seed, and each fault from dice of its own, so that a fault can
//! be taken away without moving the others.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $( $(#[$text:meta])* $variant:ident = $word:literal, )* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $( $(#[$text])* $variant, )* }

        impl $name {
            pub const ALL: &'static [$name] = &[$( $name::$variant, )*];

            pub const fn name(self) -> &'static str {
                match self { $( $name::$variant => $word, )* }
            }
        }

        impl FromStr for $name {
            type Err = OptionsError;

            fn from_str(text: &str) -> Result<Self, OptionsError> {
                let known = || $name::ALL.iter().map(|one| one.name()).collect::<Vec<_>>().join(", ");
                let found = $name::ALL.iter().find(|one| one.name() == text);
                found.copied().ok_or_else(|| OptionsError::Word { word: text.to_owned(), known: known() })
            }
        }
    };
}

words! {
    /// A kind of trouble.
    Fault {
        /// `kill -9`: the system keeps what was written.
        Kill = "kill",
        /// What was not synced is gone, the last write is torn.
        Power = "power",
        /// The process ends between two steps that belong together.
        Point = "point",
        /// A clean stop and a start.
        Restart = "restart",
        /// Another number of shards at each start.
        Reshard = "reshard",
        /// Other rules, while it runs; where it is restarted as well, also at some starts.
        Reload = "reload",
        /// The disk takes nothing for a while.
        DiskFull = "disk_full",
        /// The newest checkpoint is damaged when the process comes back.
        Rot = "rot",
        /// Partitions go and come back.
        Rebalance = "rebalance",
        /// Records come again, after a leader was lost.
        Redeliver = "redeliver",
        /// Kafka cannot be reached for a while.
        Outage = "outage",
        /// Records are gone before they are read.
        Retention = "retention",
        /// The topic is made anew.
        Recreate = "recreate",
        /// Events swap places, within the lateness.
        Reorder = "reorder",
        /// Some events come later than that.
        Late = "late",
        /// Some events are from the future.
        Future = "future",
        /// Some records are no events.
        Garbage = "garbage",
        /// A partition falls silent.
        Quiet = "quiet",
        /// More groups than a rule may have.
        Crowd = "crowd",
        /// 429 with Retry-After.
        Throttle = "throttle",
        /// 5xx.
        Errors = "errors",
        /// No answer in time.
        Hang = "hang",
        /// The connection is reset before anything is taken.
        Reset = "reset",
        /// It is taken, and the answer is lost.
        LostAnswer = "lost_answer",
        /// It is taken, and the answer is an error.
        Twice = "twice",
        /// The clock is set forward and back.
        Clock = "clock",
        /// Channels and threads are slow.
        Slow = "slow",
        /// People silence alerts, change their minds, and are hit by crashes.
        Silence = "silence",
        /// A process stands still for a while, and wakes.
        Freeze = "freeze",
        /// Kafka takes no parcels for a while, and gives none.
        Parcels = "parcels",
    }
}

words! {
    /// A fault of Foghorn's own, made on purpose, to see that it is found.
    Sabotage {
        /// A record is lost on its way to its shard.
        LoseRecord = "lose_record",
        /// A firing signal is lost on its way to the desk.
        LoseSignal = "lose_signal",
        /// That records are gone is not told.
        HideGap = "hide_gap",
        /// An alert that fires is said to be pending.
        Unfire = "unfire",
        /// Holds do not survive a restart.
        ForgetHolds = "forget_holds",
        /// The desk's log is not read at a restart.
        ForgetLog = "forget_log",
        /// Positions are committed before the checkpoint is written.
        CommitEarly = "commit_early",
        /// Watermarks do not survive a restart.
        ForgetMarks = "forget_marks",
        /// The desk holds more groups than it says.
        Overfill = "overfill",
        /// A receiver is said to have what it was never sent.
        Mute = "mute",
        /// A receiver is told which alerts of a group fire, and of none that it ended.
        OmitEnds = "omit_ends",
        /// The desk's part of a checkpoint is lost on its way to the keeper.
        LoseCut = "lose_cut",
        /// What people ask for is done and confirmed, and not logged.
        ForgetAsked = "forget_asked",
        /// A partition that comes from another member begins as if nobody had left anything.
        LoseParcel = "lose_parcel",
        /// What a checkpoint holds of partitions that left after it is gone on with.
        KeepHome = "keep_home",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    #[error("`{word}` is not known; there are {known}")]
    Word { word: String, known: String },
    #[error("`{0}` is not written as `seed=7 faults=kill,rot`")]
    Form(String),
}

/// One storm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub seed: u64,
    pub faults: BTreeSet<Fault>,
    pub sabotage: Option<Sabotage>,
    pub shards: usize,
    pub partitions: usize,
    /// Members of the group, 1 or 2. Where there are two, all rules are local: partitions move between them.
    pub members: usize,
}

impl Options {
    /// Everything drawn from the seed.
    pub fn of(seed: u64) -> Options {
        let mut dice = dice(seed, "options");
        let share = [0.1, 0.25, 0.5][dice.random_range(0..3)];
        let (shards, partitions) = (dice.random_range(1..=4), dice.random_range(1..=4));
        let faults = Fault::ALL.iter().copied().filter(|_| dice.random_bool(share)).collect();
        Options { seed, faults, sabotage: None, shards, partitions, members: 1 }
    }

    /// The same with two members, which share at least two partitions.
    pub fn with_two_members(mut self) -> Options {
        self.members = 2;
        self.partitions = self.partitions.max(2);
        self
    }

    pub fn with_faults(mut self, faults: impl IntoIterator<Item = Fault>) -> Options {
        self.faults = faults.into_iter().collect();
        self
    }

    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    pub fn sabotaged(&self, by: Sabotage) -> bool {
        self.sabotage == Some(by)
    }

    /// Dice for one purpose, which nothing else throws.
    pub fn dice(&self, purpose: &str) -> StdRng {
        dice(self.seed, purpose)
    }
}

fn dice(seed: u64, purpose: &str) -> StdRng {
    StdRng::seed_from_u64(xxhash_rust::xxh3::xxh3_64_with_seed(purpose.as_bytes(), seed))
}

/// `seed=7 faults=kill,rot`, or `seed=7 members=2 faults=kill`: what the command and the files of kept seeds take.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<&str> = self.faults.iter().map(|fault| fault.name()).collect();
        let members = if self.members == 2 { " members=2" } else { "" };
        write!(f, "seed={}{members} faults={}", self.seed, faults.join(","))?;
        self.sabotage.map_or(Ok(()), |sabotage| write!(f, " sabotage={}", sabotage.name()))
    }
}

impl FromStr for Options {
    type Err = OptionsError;

    /// Without `faults=` they are drawn from the seed.
    fn from_str(text: &str) -> Result<Options, OptionsError> {
        let wrong = || OptionsError::Form(text.to_owned());
        let mut options: Option<Options> = None;
        for word in text.split_whitespace() {
            let (name, value) = word.split_once('=').ok_or_else(wrong)?;
            match (name, &mut options) {
                ("seed", None) => options = Some(Options::of(value.parse().map_err(|_| wrong())?)),
                ("members", Some(_)) if value == "2" => options = options.map(Options::with_two_members),
                ("faults", Some(options)) => {
                    let faults = value.split(',').filter(|word| !word.is_empty()).map(str::parse);
                    options.faults = faults.collect::<Result<_, _>>()?;
                }
                ("sabotage", Some(options)) => options.sabotage = Some(value.parse()?),
                _ => return Err(wrong()),
            }
        }
        options.ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_they_are_written() {
        for seed in 0..50 {
            let options = Options::of(seed);
            let two = options.clone().with_two_members();
            assert_eq!(options.to_string().parse(), Ok(options));
            assert_eq!(two.to_string().parse(), Ok(two));
        }
        assert_eq!("seed=7".parse(), Ok(Options::of(7)));
        assert!("seed=7 faults=rain".parse::<Options>().is_err());
        assert!("faults=kill seed=7".parse::<Options>().is_err());
    }
}
