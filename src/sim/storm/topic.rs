//! The topic: what happens in the world, as records of a few partitions, and what Kafka does with them.
//!
//! All records are made before the storm begins, each with the moment at which it is produced, so that nothing an engine
//! does can move them: the oracle judges the same events.

use rand::Rng;
use rand::rngs::StdRng;

use super::options::{Fault, Options};
use crate::checkpoint::look_back::Search;
use crate::engine::state::CellStart;
use crate::model::{Millis, SourceId, WallTime};

/// When the storm begins: 2026-01-01T00:00:00Z, on all clocks.
pub const START: i64 = 1_767_225_600_000;
/// How long it rages.
pub const STORM: i64 = 120_000;
/// How long everything is well after it, and all that is owed has to be told.
pub const HEAL: i64 = 200_000;
/// The stream's lateness, as the rules declare it.
pub const LATENESS: i64 = 5_000;

pub const SERVICES: [&str; 4] = ["a", "b", "c", "d"];

/// Whether events of a service, or of any other key, are produced to a partition. Where there are two members, each key lives
/// in one.
pub fn lives(options: &Options, key: usize, partition: usize) -> bool {
    options.members == 1 || key % options.partitions == partition
}

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Event,
    /// No event at all.
    Garbage,
    /// An event of a time that has not come.
    Future,
}

#[derive(Clone, Debug)]
pub struct Record {
    pub produced_at: i64,
    /// Event time.
    pub at: i64,
    pub kind: Kind,
    pub svc: usize,
    pub status: i64,
    pub ms: f64,
    pub who: u32,
}

impl Record {
    pub fn bytes(&self) -> Vec<u8> {
        let Record { at, svc, status, ms, who, .. } = self;
        match self.kind {
            Kind::Garbage => b"{\"ts\":oops".to_vec(),
            _ => {
                let svc = SERVICES[*svc];
                format!(r#"{{"ts":{at},"svc":"{svc}","status":{status},"ms":{ms},"who":"u{who}"}}"#).into_bytes()
            }
        }
    }
}

/// One partition and what the broker holds of it. Places are indexes into `records`; offsets count from `base`.
#[derive(Clone, Debug)]
pub struct Partition {
    pub source: SourceId,
    pub records: Vec<Record>,
    /// The place whose offset is 0, another one once the topic was made anew.
    pub base: usize,
    /// The first place that is still held.
    pub start: usize,
    /// Nobody reaches it before this moment.
    pub away_until: i64,
    /// It was made anew, and the consumer has not noticed.
    pub anew: bool,
    /// The committed offset.
    pub committed: Option<i64>,
}

impl Partition {
    /// The place after the last record there is.
    pub fn end(&self, now: i64) -> usize {
        self.records.partition_point(|record| record.produced_at <= now).max(self.base)
    }

    /// Where it is read from, so that windows which look so far back are whole at an offset.
    pub fn look_back(&self, now: i64, start: i64, reach: Millis) -> CellStart {
        let end = self.end(now);
        let mut search = Search::new(start, (end - self.base) as i64, reach, WallTime(now));
        while let Some(WallTime(at)) = search.question() {
            let first = self.records.partition_point(|record| record.produced_at < at).max(self.start);
            search.answer((first < end).then(|| (first - self.base) as i64));
        }
        CellStart { read_from: search.found(), judged_from: start }
    }
}

/// Something goes wrong with one service for a while.
#[derive(Clone, Copy, Debug)]
struct Incident {
    svc: usize,
    what: Trouble,
    from: i64,
    to: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Errors,
    Slow,
    Burst,
    Silence,
}

/// The partitions with everything that will be produced.
pub fn partitions(options: &Options) -> Vec<Partition> {
    let incidents = incidents(&mut options.dice("incidents"));
    (0..options.partitions)
        .map(|partition| Partition {
            source: SourceId::new("requests", partition as i32),
            records: records(options, partition, &incidents),
            base: 0,
            start: 0,
            away_until: i64::MIN,
            anew: false,
            committed: None,
        })
        .collect()
}

fn incidents(dice: &mut StdRng) -> Vec<Incident> {
    let mut all = Vec::new();
    for svc in 0..SERVICES.len() {
        for _ in 0..dice.random_range(1..=3) {
            let what = [Trouble::Errors, Trouble::Slow, Trouble::Burst, Trouble::Silence][dice.random_range(0..4)];
            let from = START + dice.random_range(0..STORM);
            let least = if what == Trouble::Silence { 45_000 } else { 10_000 };
            all.push(Incident { svc, what, from, to: from + least + dice.random_range(0..40_000) });
        }
    }
    // The last one has to be told, whatever was before.
    let from = START + STORM + HEAL / 3;
    all.push(Incident { svc: 0, what: Trouble::Errors, from, to: i64::MAX });
    all
}

fn records(options: &Options, partition: usize, incidents: &[Incident]) -> Vec<Record> {
    let mut dice = options.dice(&format!("traffic {partition}"));
    // Thrown for every record, whether the fault is on or not, so that it moves nothing else.
    let mut troubles = options.dice(&format!("troubles {partition}"));
    let quiet = quiet(options, partition);
    let every = 450 * options.partitions as i64;
    let mut records = Vec::new();
    let mut now = START + dice.random_range(0..2_000);
    while now < START + STORM + HEAL {
        now += dice.random_range(every / 4..every * 2);
        let record = record(options, partition, now, incidents, &mut dice, &mut troubles);
        let silent = quiet.is_some_and(|(from, to)| (from..to).contains(&now));
        records.extend(record.filter(|_| !silent));
    }
    records
}

fn quiet(options: &Options, partition: usize) -> Option<(i64, i64)> {
    let mut dice = options.dice(&format!("quiet {partition}"));
    let from = START + dice.random_range(0..STORM);
    let length = dice.random_range(15_000..70_000);
    (options.has(Fault::Quiet) && dice.random_bool(0.7)).then_some((from, from + length))
}

fn record(
    options: &Options,
    partition: usize,
    now: i64,
    incidents: &[Incident],
    dice: &mut StdRng,
    troubles: &mut StdRng,
) -> Option<Record> {
    let storm = now < START + STORM;
    let here =
        |svc: usize, what| incidents.iter().any(|i| i.svc == svc && i.what == what && (i.from..i.to).contains(&now));
    let living: Vec<usize> = (0..SERVICES.len()).filter(|svc| lives(options, *svc, partition)).collect();
    let mut svc = living[dice.random_range(0..living.len())];
    let burst = living.into_iter().find(|svc| here(*svc, Trouble::Burst));
    if let Some(busy) = burst
        && dice.random_bool(0.7)
    {
        svc = busy;
    }
    let status = if dice.random_bool(if here(svc, Trouble::Errors) { 0.9 } else { 0.03 }) { 503 } else { 200 };
    let ms = if dice.random_bool(if here(svc, Trouble::Slow) { 0.8 } else { 0.01 }) { 1_500.0 } else { 80.5 };
    let crowd = options.has(Fault::Crowd) && (START + 40_000..START + 75_000).contains(&now);
    let people: Vec<u32> =
        (0..if crowd { 40 } else { 4 }).filter(|who| lives(options, *who as usize, partition)).collect();
    let who = people[dice.random_range(0..people.len())];
    let (swap, late, future, garbage) = (
        troubles.random_range(0..LATENESS - 200),
        troubles.random_range(15_000..40_000),
        troubles.random_ratio(1, 60),
        troubles.random_ratio(1, 40),
    );
    let is_late = troubles.random_ratio(1, 40);
    let delay = match () {
        () if storm && is_late && options.has(Fault::Late) => late,
        () if options.has(Fault::Reorder) => swap,
        () => 0,
    };
    let kind = match () {
        () if storm && garbage && options.has(Fault::Garbage) => Kind::Garbage,
        () if storm && future && options.has(Fault::Future) => Kind::Future,
        () => Kind::Event,
    };
    let at = if kind == Kind::Future { now + 600_000 } else { now - delay };
    (!here(svc, Trouble::Silence)).then_some(Record { produced_at: now, at, kind, svc, status, ms, who })
}
