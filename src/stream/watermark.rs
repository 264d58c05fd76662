//! How far event time has come: per source (a Kafka partition, a file), and for the stream as a whole.
//!
//! A source's *own* watermark is its newest event time minus the stream's lateness. Whether an event is late is decided
//! by its own source's watermark at its place in the source's order, and by nothing else. The obvious other measure,
//! the stream's watermark, depends on how far the other sources happen to have been read, so two replays would refuse
//! different events. The stream's watermark says when panes may be closed: it is the minimum over the sources that are
//! not idle, so what is not late in its own source never comes after its pane was closed.
//!
//! **Silence.** A source that has been read to its end and then gave nothing for `idle_timeout` of wall time is idle:
//! it no longer holds the others back, and it follows them (its own watermark is at least the stream's), so that its
//! next events are judged by what is closed already. When all sources are idle, time goes on at the *pace* of the wall
//! clock from where it stood; `absent` rules need that. It does not jump to the wall clock's own reading: events of
//! a stream that always comes ten minutes late would all be refused after its first pause. Only a stream that never
//! showed an event takes the wall clock's reading (less lateness and idle timeout), because it has nothing else.
//!
//! **Not reachable is not silent.** "Read to its end" is a statement with a time: the edge repeats it as long as the
//! broker confirms it. Without a fresh one a source is not idle, the watermark stands still, and that is what
//! [`super::stall`] reports. An outage must not look like missing events, nor make the backlog late.
//!
//! Replay never calls [`Watermarks::tick`], so nothing is idle in it, and says [`Watermarks::finish`] at the end of a
//! file. It must assign all its sources before it reads any.
//!
//! - `T1` neither a source's own watermark nor the stream's ever goes back
//! - `T2` which events are late or in the future depends on the order within each source and, live, on the wall clock
//!   only: not on batches, shards or interleaving
//! - `T3` once the stream's watermark has reached the end of a pane and every shard has settled it, no source admits an
//!   event of that pane, but one: a source that was assigned after that starts before all time and is judged by itself

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::model::batch::Batch;
use crate::model::position::SourceId;
use crate::model::schema::StreamSchema;
use crate::model::time::{EventTime, Millis, WallTime};

/// How far one shard's sources let time go. [`Low::join`] makes it the stream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Low {
    /// The least watermark of the sources that are not idle.
    At(EventTime),
    /// All sources are idle: as far as time has come at the pace of the wall clock.
    Paced(EventTime),
    /// All sources are idle and none ever had an event: the wall clock, less lateness and idle timeout.
    Wall(EventTime),
    /// No source, or all finished: no opinion.
    Nothing,
}

impl Low {
    pub fn join(self, other: Low) -> Low {
        match (self, other) {
            (Low::At(a), Low::At(b)) => Low::At(a.min(b)),
            (Low::At(a), _) | (_, Low::At(a)) => Low::At(a),
            // Idle sources hold nobody back, each other neither.
            (Low::Paced(a), Low::Paced(b)) => Low::Paced(a.max(b)),
            (Low::Paced(a), _) | (_, Low::Paced(a)) => Low::Paced(a),
            (Low::Wall(a), Low::Wall(b)) => Low::Wall(a.max(b)),
            (Low::Wall(a), Low::Nothing) | (Low::Nothing, Low::Wall(a)) => Low::Wall(a),
            (Low::Nothing, Low::Nothing) => Low::Nothing,
        }
    }

    /// The time it says; `None` for no opinion.
    pub fn time(self) -> Option<EventTime> {
        match self {
            Low::At(time) | Low::Paced(time) | Low::Wall(time) => Some(time),
            Low::Nothing => None,
        }
    }
}

/// The watermarks of the sources of one stream that one shard reads.
#[derive(Clone, Debug)]
pub struct Watermarks {
    lateness: Millis,
    idle_timeout: Millis,
    future_max: Millis,
    /// In the order of their ids.
    sources: Vec<Source>,
    /// The stream's watermark as it was last settled.
    settled: EventTime,
    /// The wall clock's last reading; nothing before the first tick.
    now: Option<WallTime>,
}

#[derive(Clone, Debug)]
struct Source {
    id: SourceId,
    /// [`EventTime::MIN`] before the first event.
    newest: EventTime,
    /// What the own watermark is at least: known from before, or taken from the others while idle.
    floor: EventTime,
    /// The own watermark when the silence began.
    base: EventTime,
    /// Since when nothing has come.
    quiet_since: Option<WallTime>,
    /// When the broker last confirmed that nothing is left to read.
    end_seen: Option<WallTime>,
    state: SourceState,
    late: u64,
    future: u64,
    lag: Option<u64>,
}

/// What a source does to the stream's watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// No event yet, and not known to be empty: it holds the watermark where it is.
    Waiting,
    /// Its newest event counts.
    Active,
    /// Silent at its end: it holds nothing back.
    Idle,
    /// It will never give anything again.
    Finished,
}

impl SourceState {
    pub const fn name(self) -> &'static str {
        match self {
            SourceState::Waiting => "waiting",
            SourceState::Active => "active",
            SourceState::Idle => "idle",
            SourceState::Finished => "finished",
        }
    }
}

/// How far one source has come. Part of checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its newest event; [`EventTime::MIN`] before the first.
    pub newest: EventTime,
    /// Its own watermark.
    pub own: EventTime,
}

/// One source as the status page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceReport {
    pub source: SourceId,
    pub state: SourceState,
    /// `None` before its first event.
    pub newest: Option<EventTime>,
    /// Its own watermark; `None` before its first event.
    pub watermark: Option<EventTime>,
    /// Whether nothing was left to read when the broker was last heard of.
    pub at_end: bool,
    pub late: u64,
    pub future: u64,
    /// Records left to read, where known.
    pub lag: Option<u64>,
}

/// What [`Watermarks::observe`] found about the rows of one batch. Reused from batch to batch.
#[derive(Clone, Debug, Default)]
pub struct Timing {
    /// By row: its source's own watermark at its place in the order, epoch milliseconds.
    marks: Vec<i64>,
    /// Rows that may be taken, ascending.
    pub admitted: Vec<u32>,
    /// Rows too far ahead of the wall clock, ascending.
    pub future: Vec<u32>,
    /// Whether any row is older than its mark. Where none is, none is late for panes of any length.
    behind: bool,
    /// By index into the batch's sources: index into ours.
    places: Vec<usize>,
}

impl Timing {
    /// Moves the rows of `sel` whose pane is closed for their source from `sel` to `late`. Both ascend.
    pub fn split_late(&self, batch: &Batch, pane: Millis, sel: &mut Vec<u32>, late: &mut Vec<u32>) {
        late.clear();
        if !self.behind {
            return;
        }
        sel.retain(|row| {
            let at = *row as usize;
            let timely = batch.time[at] >= self.marks[at] || pane_end(batch.time[at], pane) > self.marks[at];
            if !timely {
                late.push(*row);
            }
            timely
        });
    }
}

/// The end of the pane that `time` falls into.
fn pane_end(time: i64, pane: Millis) -> i64 {
    time.div_euclid(pane.0).saturating_add(1).saturating_mul(pane.0)
}

impl Source {
    fn own(&self, lateness: Millis) -> EventTime {
        // A source without events is at the beginning of time, whatever the lateness.
        (self.newest - lateness).max(self.floor)
    }

    /// Whether it is silent at its end, going by what the broker confirmed lately.
    fn is_idle(&self, now: WallTime, idle_timeout: Millis) -> bool {
        let (Some(quiet_since), Some(end_seen)) = (self.quiet_since, self.end_seen) else { return false };
        end_seen.since(quiet_since) >= idle_timeout && now.since(end_seen) < idle_timeout.max(END_FRESH_MIN)
    }
}

/// How long a confirmed end is believed, where the idle timeout is shorter.
const END_FRESH_MIN: Millis = Millis(5_000);

impl Watermarks {
    pub fn new(schema: &StreamSchema) -> Self {
        Watermarks {
            lateness: schema.lateness,
            idle_timeout: schema.idle_timeout,
            future_max: schema.future_max,
            sources: Vec::new(),
            settled: EventTime::MIN,
            now: None,
        }
    }

    /// A source will be read from now on. `from` is its own watermark when it was last read, [`EventTime::MIN`] where
    /// that is not known. Until its first event, or until it is known to be empty, it holds the stream's watermark
    /// where it is (and does not drag it back, `T1`).
    pub fn assign(&mut self, id: &SourceId, from: EventTime) {
        if let Err(at) = self.find(id) {
            let source = Source {
                id: id.clone(),
                newest: EventTime::MIN,
                floor: from,
                base: from,
                quiet_since: self.now,
                end_seen: None,
                state: SourceState::Waiting,
                late: 0,
                future: 0,
                lag: None,
            };
            self.sources.insert(at, source);
        }
    }

    pub fn lateness(&self) -> Millis {
        self.lateness
    }

    /// Whether an event of that time would be refused now, because its time has not come.
    pub fn is_future(&self, at: EventTime, now: WallTime) -> bool {
        at.0 > now.0.saturating_add(self.future_max.0)
    }

    /// A source that was read before goes on: `newest` and `own` as [`Watermarks::mark`] gave them. Where it has come to
    /// that place by itself, it is at least that far.
    pub fn resume(&mut self, id: &SourceId, mark: Mark) {
        self.assign(id, mark.own);
        let at = self.find(id).expect("it was assigned");
        let source = &mut self.sources[at];
        source.newest = source.newest.max(mark.newest);
        source.floor = source.floor.max(mark.own);
        source.base = source.own(self.lateness);
        if mark.newest > EventTime::MIN && source.state == SourceState::Waiting {
            source.state = SourceState::Active;
        }
    }

    /// How far a source has come: what [`Watermarks::resume`] goes on from.
    pub fn mark(&self, id: &SourceId) -> Option<Mark> {
        let source = &self.sources[self.find(id).ok()?];
        Some(Mark { newest: source.newest, own: source.own(self.lateness) })
    }

    /// The source is somebody else's now.
    pub fn revoke(&mut self, id: &SourceId) {
        if let Ok(at) = self.find(id) {
            self.sources.remove(at);
        }
    }

    /// The source will never give anything again: the end of a replayed file.
    pub fn finish(&mut self, id: &SourceId) {
        if let Ok(at) = self.find(id) {
            self.sources[at].state = SourceState::Finished;
        }
    }

    /// The broker confirms, now, that nothing is left to read. To be repeated as long as it is so: a confirmation grows
    /// old.
    pub fn at_end(&mut self, id: &SourceId, now: WallTime) {
        if let Ok(at) = self.find(id) {
            let source = &mut self.sources[at];
            source.end_seen = Some(now);
            source.quiet_since.get_or_insert(now);
            source.lag = Some(0);
        }
    }

    /// There is something left to read: `lag` records, where known.
    pub fn behind(&mut self, id: &SourceId, lag: Option<u64>) {
        if let Ok(at) = self.find(id) {
            let source = &mut self.sources[at];
            source.end_seen = None;
            source.lag = lag;
        }
    }

    /// Takes note of the rows of one batch, in their order, and says which of them may be taken. `now` bounds how far
    /// ahead an event may be; replay gives none. A source that was not assigned is, from its first batch on.
    pub fn observe(&mut self, batch: &Batch, now: Option<WallTime>, timing: &mut Timing) {
        let rows = batch.rows();
        timing.marks.clear();
        timing.marks.reserve(rows);
        timing.admitted.clear();
        timing.admitted.reserve(rows);
        timing.future.clear();
        timing.behind = false;
        let latest = now.map_or(i64::MAX, |now| now.0.saturating_add(self.future_max.0));
        batch.sources.iter().for_each(|id| self.assign(id, EventTime::MIN));
        timing.places.clear();
        timing.places.extend(batch.sources.iter().map(|id| self.find(id).expect("it was assigned")));
        let source_of = |row: usize| batch.records[batch.record[row] as usize].source;
        let mut row = 0;
        while row < rows {
            let source = source_of(row);
            let start = row;
            while row < rows && source_of(row) == source {
                row += 1;
            }
            self.observe_run(batch, timing.places[source as usize], start..row, latest, now, timing);
        }
    }

    /// A run of rows of one source, with its state in registers.
    fn observe_run(
        &mut self,
        batch: &Batch,
        place: usize,
        rows: Range<usize>,
        latest: i64,
        now: Option<WallTime>,
        timing: &mut Timing,
    ) {
        let (lateness, now) = (self.lateness, now.or(self.now));
        let source = &mut self.sources[place];
        let mut newest = source.newest.0;
        let mut mark = source.own(lateness).0;
        let admitted = timing.admitted.len();
        for row in rows {
            let time = batch.time[row];
            if time > latest {
                timing.marks.push(i64::MAX);
                timing.future.push(row as u32);
                source.future += 1;
                continue;
            }
            if time > newest {
                newest = time;
                mark = mark.max(time.saturating_sub(lateness.0));
            }
            timing.behind |= time < mark;
            timing.marks.push(mark);
            timing.admitted.push(row as u32);
        }
        // A source that gives nothing but times that cannot be true has told nothing about time.
        if timing.admitted.len() > admitted {
            source.newest = EventTime(newest);
            source.base = source.own(lateness);
            source.quiet_since = now;
            source.state = SourceState::Active;
        }
    }

    /// Counts rows that a feed refused as late with their sources. An event that several feeds refuse counts once if
    /// they are put together first.
    pub fn count_late(&mut self, batch: &Batch, late: &[u32]) {
        for row in late {
            let record = batch.records[batch.record[*row as usize] as usize];
            if let Ok(at) = self.find(&batch.sources[record.source as usize]) {
                self.sources[at].late += 1;
            }
        }
    }

    /// The clock was set forward by so much, or nobody looked at it for so long: that was no silence.
    pub fn leap(&mut self, by: Millis) {
        for source in &mut self.sources {
            source.quiet_since = source.quiet_since.map(|since| since + by);
            source.end_seen = source.end_seen.map(|seen| seen + by);
        }
    }

    /// The wall clock moved: sources may become idle, or stop being it.
    pub fn tick(&mut self, now: WallTime) {
        self.now = Some(now);
        for source in &mut self.sources {
            // A clock that was set back starts the wait anew.
            source.quiet_since = source.quiet_since.map(|since| since.min(now));
            source.end_seen = source.end_seen.map(|seen| seen.min(now));
            // Silence that began before the clock was first read counts from then.
            source.quiet_since.get_or_insert(now);
            source.state = match source.state {
                SourceState::Finished => SourceState::Finished,
                _ if source.is_idle(now, self.idle_timeout) => SourceState::Idle,
                _ if source.newest == EventTime::MIN => SourceState::Waiting,
                _ => SourceState::Active,
            };
        }
    }

    /// How far this shard's sources let time go.
    pub fn low(&self) -> Low {
        self.sources.iter().map(|source| self.low_of(source)).fold(Low::Nothing, Low::join)
    }

    fn low_of(&self, source: &Source) -> Low {
        match (source.state, source.quiet_since, source.end_seen) {
            (SourceState::Finished, ..) => Low::Nothing,
            (SourceState::Idle, Some(_), Some(end_seen)) if source.base == EventTime::MIN => {
                Low::Wall(EventTime(end_seen.0) - self.lateness - self.idle_timeout)
            }
            (SourceState::Idle, Some(quiet_since), Some(end_seen)) => {
                Low::Paced(source.base + (end_seen.since(quiet_since) - self.idle_timeout))
            }
            _ => Low::At(source.own(self.lateness)),
        }
    }

    /// Takes the stream's watermark: what the lows of all shards join to. Gives it back as it stands now (`T1`).
    pub fn settle(&mut self, low: Low) -> EventTime {
        self.settled = self.settled.max(low.time().unwrap_or(EventTime::MIN));
        for source in &mut self.sources {
            if source.state == SourceState::Idle {
                source.floor = source.floor.max(self.settled);
            }
        }
        self.settled
    }

    /// The stream's watermark as it was last settled.
    pub fn watermark(&self) -> EventTime {
        self.settled
    }

    /// The newest event time of all sources; `None` before the first event.
    pub fn newest(&self) -> Option<EventTime> {
        self.sources.iter().map(|source| source.newest).max().filter(|newest| *newest > EventTime::MIN)
    }

    /// A source's own watermark: what to give to [`Watermarks::assign`] when it is read again.
    pub fn own(&self, id: &SourceId) -> Option<EventTime> {
        self.find(id).ok().map(|at| self.sources[at].own(self.lateness))
    }

    /// All sources in the order of their ids.
    pub fn report(&self) -> Vec<SourceReport> {
        let known = |time: EventTime| (time > EventTime::MIN).then_some(time);
        self.sources
            .iter()
            .map(|source| SourceReport {
                source: source.id.clone(),
                state: source.state,
                newest: known(source.newest),
                watermark: known(source.own(self.lateness)),
                at_end: source.end_seen.is_some(),
                late: source.late,
                future: source.future,
                lag: source.lag,
            })
            .collect()
    }

    fn find(&self, id: &SourceId) -> Result<usize, usize> {
        self.sources.binary_search_by(|source| source.id.cmp(id))
    }
}

#[cfg(test)]
mod tests;
