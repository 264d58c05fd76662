//! A shard: the data plane. Records in, signals out, in event time only.
//!
//! A shard plays two parts. It *takes in* the partitions assigned to it (stage 1) and it *owns* the groups whose key
//! hashes to it (stage 2); what the first part learns about a group of another shard travels there as bytes. Routing
//! records by group before decoding is impossible, and after decoding would move every event between threads; moving
//! closed panes moves one message for many events.
//!
//! - `S1` a shard says how far it is (`Peer::watermark`) only after everything before it has been sent
//! - `S2` a tick of a stream is judged when every shard has said it is past the tick
//! - `S3` the stream's watermark never goes back
//! - `S4` a record at or below the position already taken from its partition is a repeat and is dropped
//! - `S5` between its own marker and the last of its peers' a shard's positions, progress and panes stand still
//! - `S6` a partition that is taken away and comes back within [`AWAY_MAX`] goes on where it stood, and nothing is said
//!   differently; while one is missing for longer, its stream's rules know nothing (`Partial`)
//! - `S7` a shard that was succeeded is in nobody's way: what it would still say, its successor says
//! - `S8` a partition is silent at its end when the shard itself has come to that end: what was read and still waits to be
//!   handed in is no silence
//!
//! A cut, for a checkpoint, is taken between two inputs, and of all shards at one moment (`C1` in
//! [`crate::engine::state`]): a shard that is asked sends what its open panes hold to their owners, then a marker to
//! every peer, and takes no records until it has everybody's marker; what comes behind a marker waits. So panes on
//! their way are in nobody's cut and lost to nobody. Recording the channels instead would let records flow on, at the
//! price of a second form of state; the barrier costs as long as one batch takes.

mod cut;
mod trail;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::decode::Decoder;
/// Why a shard cannot be made: a stream cannot be decoded as it is declared.
pub use crate::decode::DecoderError as ShardError;
use crate::engine::feed::{Book, Intake, SeenSince};
use crate::engine::limit;
use crate::engine::packet::{self, PaneReader, last_closed};
use crate::engine::plan::{FeedPlan, Plan};
use crate::engine::state::{Reread, SourceCut, Step};
use crate::model::batch::{Batch, RawBatch, RefusedRow};
use crate::model::position::{Loss, Position, SourceId, TopicId};
use crate::model::refusal::{Refusal, Scope};
use crate::model::time::{EventTime, Millis, WallTime};
pub use cut::{positions, topics};
pub use words::{
    DeadLetter, Peer, PeerExemplars, PeerPanes, Progress, ShardInput, ShardOutput, ShardStatus, StreamStatus,
};

pub use crate::stream::stall::{Stall, StallChange};
use crate::stream::watermark::{Low, Timing, Watermarks};
pub use crate::stream::watermark::{SourceReport, SourceState};
use crate::window::PartialReader;
use trail::Trail;

/// A shard looks at the clock more often than this. Where two readings are further apart, the clock was set forward or the
/// process stood still, and nobody knows whether there was silence.
pub const LOOKS_APART_MAX: Millis = Millis::from_secs(5);

pub struct Shard {
    index: usize,
    shards: usize,
    plan: Arc<Plan>,
    streams: Vec<StreamState>,
    feeds: Vec<FeedState>,
    now: Option<WallTime>,
    judged: EventTime,
    /// A checkpoint that is being taken, and the number of the last one.
    cutting: Option<cut::Cutting>,
    /// The number of the last one that was begun. They grow.
    last_cut: u64,
    /// Another one goes on from its last cut.
    over: bool,
    stopwatch: fn() -> u64,
    judging_nanos: u64,
}

struct StreamState {
    decoder: Decoder,
    batch: Batch,
    watermarks: Watermarks,
    /// How far each shard is with this stream, this one at its own index.
    progress: Vec<Progress>,
    /// The stream's watermark: the least of `progress`, never going back.
    joined: EventTime,
    /// What was promised by `ShardInput::Until`.
    floor: EventTime,
    /// Since when all events are known to have been seen; fixed when the first pane closes.
    covered_since: Option<EventTime>,
    /// The last offset taken from each partition (`S4`).
    offsets: BTreeMap<SourceId, i64>,
    /// Of which topic the log is, by partition, where that is known.
    topics: BTreeMap<SourceId, TopicId>,
    /// The last end that was come to in order, by partition (`S8`).
    ends: BTreeMap<SourceId, i64>,
    /// Partitions that were read before and may come back: where they go on.
    parked: BTreeMap<SourceId, SourceCut>,
    /// Partitions that were taken away, since when (nothing before the clock was read). They hold time back for
    /// [`AWAY_MAX`], so that a rebalance changes nothing that is said.
    away: BTreeMap<SourceId, Option<WallTime>>,
    /// Partitions that did not come back in time: somebody else's. What is said without them is not known to be so.
    missing: BTreeSet<SourceId>,
    /// Partitions that lost records, before the first event behind these.
    gaps: BTreeSet<SourceId>,
    /// Events before this are known to be missing.
    whole_since: EventTime,
    /// That events are missing was said, and not yet that windows are whole again.
    lossy: bool,
    /// A cell's: where reading can begin again.
    trail: Option<Trail>,
    /// A cell's that reads again what somebody has read before.
    reread: Option<Reread>,
    ended: bool,
    earliest: Option<EventTime>,
    timing: Timing,
    late: Vec<u32>,
    refused_rows: Vec<RefusedRow>,
    status: StreamStatus,
}

struct FeedState {
    intake: Intake,
    book: Book,
    /// Panes sent by peers (and by this shard to itself, when there are several), by pane.
    inbox: BTreeMap<i64, Vec<Vec<u8>>>,
    reader: PartialReader,
    exemplars: BTreeMap<i64, Vec<PeerExemplars>>,
}

impl Shard {
    /// One of `shards` shards. `seed` randomises hashing, never results.
    pub fn new(index: usize, shards: usize, plan: Arc<Plan>, seed: u64) -> Result<Shard, ShardError> {
        assert!(index < shards, "a shard's index is below their number");
        let streams = plan
            .streams
            .iter()
            .map(|stream| {
                Ok(StreamState {
                    decoder: Decoder::new(stream.schema.clone(), &stream.needed)?,
                    batch: Batch::default(),
                    watermarks: Watermarks::new(&stream.schema),
                    progress: vec![Progress::default(); shards],
                    joined: EventTime::MIN,
                    floor: EventTime::MIN,
                    covered_since: None,
                    offsets: BTreeMap::new(),
                    topics: BTreeMap::new(),
                    ends: BTreeMap::new(),
                    parked: BTreeMap::new(),
                    away: BTreeMap::new(),
                    missing: BTreeSet::new(),
                    gaps: BTreeSet::new(),
                    whole_since: EventTime::MIN,
                    lossy: false,
                    trail: None,
                    reread: None,
                    ended: false,
                    earliest: None,
                    timing: Timing::default(),
                    late: Vec::new(),
                    refused_rows: Vec::new(),
                    status: StreamStatus::default(),
                })
            })
            .collect::<Result<_, ShardError>>()?;
        let feeds = plan
            .feeds
            .iter()
            .map(|feed| FeedState {
                intake: Intake::new(feed, seed),
                book: Book::new(feed, seed),
                inbox: BTreeMap::new(),
                reader: PartialReader::new(&feed.windows),
                exemplars: BTreeMap::new(),
            })
            .collect();
        Ok(Shard {
            index,
            shards,
            plan,
            streams,
            feeds,
            now: None,
            judged: EventTime::MIN,
            cutting: None,
            last_cut: 0,
            over: false,
            stopwatch: || 0,
            judging_nanos: 0,
        })
    }

    /// A shard reads no clock; to have its judging timed it is handed one, in nanoseconds, that nothing but
    /// [`ShardStatus::judging`] depends on.
    pub fn with_stopwatch(mut self, stopwatch: fn() -> u64) -> Shard {
        self.stopwatch = stopwatch;
        self
    }

    pub fn handle(&mut self, input: ShardInput, out: &mut Vec<ShardOutput>) {
        if self.over {
            return; // `S7`
        }
        match input {
            // `S5`: time stands still as well, or one shard's cut would be of a later moment. The next look is soon.
            ShardInput::Wall(_) | ShardInput::Reading { .. } if self.is_cutting() => {}
            ShardInput::Records { stream, batch } => {
                self.take(stream, batch, out);
                self.send_progress(stream, out);
            }
            ShardInput::Assigned(sources) => {
                sources.iter().for_each(|(stream, source)| self.streams[*stream].assign(source));
                self.send_all_progress(true, out);
            }
            ShardInput::Revoked(sources) => {
                let now = self.now;
                self.streams.iter_mut().for_each(|s| sources.iter().for_each(|source| s.leave(source, now)));
                self.send_all_progress(true, out);
            }
            ShardInput::End(Position { source, offset }) => {
                for stream in &mut self.streams {
                    stream.ends.insert(source.clone(), offset);
                }
            }
            ShardInput::Reading { source, now, end, lag } => {
                self.streams.iter_mut().for_each(|stream| match end {
                    Some(end) if stream.ends.get(&source) == Some(&end) => stream.at_end(&source, now),
                    _ => stream.watermarks.behind(&source, lag),
                });
            }
            ShardInput::Gap { source, lost } => self.lose(&source, lost, out),
            ShardInput::Topic { source, topic } => {
                for stream in self.streams.iter_mut().filter(|stream| stream.watermarks.mark(&source).is_some()) {
                    stream.topics.insert(source.clone(), topic.clone());
                }
            }
            ShardInput::Cut(cut) => self.begin_cut(cut, false, out),
            ShardInput::LastCut(cut) => self.begin_cut(cut, true, out),
            ShardInput::Ended(source) => {
                self.streams.iter_mut().for_each(|stream| stream.end(&source));
                self.send_all_progress(false, out);
            }
            ShardInput::Until(at) => {
                self.streams.iter_mut().for_each(|stream| stream.floor = stream.floor.max(at));
                self.send_all_progress(false, out);
            }
            ShardInput::Wall(now) => {
                let passed = self.now.replace(now).map_or(Millis::ZERO, |before| now.since(before));
                for (stream, state) in self.streams.iter_mut().enumerate() {
                    let lost = |source| ShardOutput::Lost { stream, source, loss: Loss::TakenAway };
                    out.extend(state.give_up_away(now).into_iter().map(lost));
                    if passed > LOOKS_APART_MAX {
                        state.watermarks.leap(passed);
                    }
                    state.watermarks.tick(now);
                }
                self.send_all_progress(false, out);
            }
            ShardInput::Peer(peer) => self.hear(peer, out),
        }
        self.report_judged(out);
    }

    /// Decodes a batch and records its events into open panes.
    fn take(&mut self, stream: usize, mut raw: RawBatch, out: &mut Vec<ShardOutput>) {
        let state = &mut self.streams[stream];
        state.drop_repeats(&mut raw);
        let place = state.place(&raw);
        state.status.records += raw.records.len() as u64;
        state.status.record_bytes += raw.records.iter().map(|record| u64::from(record.len)).sum::<u64>();
        state.refused_rows.clear();
        state.decoder.decode(raw, &mut state.batch, &mut state.refused_rows);
        state.status.events += state.batch.rows() as u64;
        for refused in &state.refused_rows {
            state.status.refused.add(refused.reason, 1);
            out.extend(state.dead_letter(stream, refused).map(ShardOutput::DeadLetter));
        }
        state.watermarks.observe(&state.batch, self.now, &mut state.timing);
        state.status.refused.add(Refusal::Future, state.timing.future.len() as u64);
        state.end_gaps();
        let times = state.timing.admitted.iter().map(|row| EventTime(state.batch.time[*row as usize]));
        let place = place.map(|step| Step { newest: times.clone().max().unwrap_or(EventTime::MIN), ..step });
        state.earliest = times.min().into_iter().chain(state.earliest).min();

        state.late.clear();
        let exemplar = self.plan.streams[stream].schema.exemplar;
        for feed in &self.plan.streams[stream].feeds {
            let (plan, intake) = (&self.plan.feeds[*feed], &mut self.feeds[*feed].intake);
            let StreamState { batch, timing, late, status, .. } = state;
            late.extend_from_slice(intake.record(plan, batch, timing, exemplar, &mut status.refused));
        }
        // What several feeds refuse is one late event.
        state.late.sort_unstable();
        state.late.dedup();
        state.status.refused.add(Refusal::Late, state.late.len() as u64);
        state.watermarks.count_late(&state.batch, &state.late);
        self.note_step(stream, place);
    }

    fn send_all_progress(&mut self, always: bool, out: &mut Vec<ShardOutput>) {
        for stream in 0..self.streams.len() {
            if always {
                self.streams[stream].progress[self.index].known = true;
            }
            self.send_progress(stream, out);
        }
    }

    /// Closes what this shard's watermark allows, tells the owners, and judges what can be judged (`S1`).
    fn send_progress(&mut self, stream: usize, out: &mut Vec<ShardOutput>) {
        let state = &mut self.streams[stream];
        let (low, mine) = (state.low(), state.progress[self.index]);
        let panes: Vec<i64> =
            self.plan.streams[stream].feeds.iter().map(|feed| self.plan.feeds[*feed].pane.0).collect();
        let closes_more = panes.iter().any(|pane| closed_by(mine.low, *pane) != closed_by(low, *pane));
        let whole_since = state.known_whole_since();
        let news = mine.ended != state.ended
            || mine.whole_since != whole_since
            || !matches!((mine.low, low), (Low::At(_), Low::At(_)));
        if !news && !closes_more {
            return;
        }
        state.progress[self.index] = Progress {
            known: mine.known,
            low,
            ended: state.ended,
            earliest: state.earliest,
            latest: state.watermarks.newest(),
            whole_since,
        };
        if !mine.known {
            return;
        }
        if self.shards > 1 {
            self.send_panes(stream, closed_by, out);
        }
        self.join(stream, out);
    }

    /// Sends panes up to the one `through` says to the shards that own their groups, with how far this shard is.
    fn send_panes(&mut self, stream: usize, through: fn(Low, i64) -> i64, out: &mut Vec<ShardOutput>) {
        let progress = self.streams[stream].progress[self.index];
        let mut messages: Vec<PeerPanes> = (0..self.shards)
            .map(|_| PeerPanes { from: self.index, stream, panes: Vec::new(), exemplars: Vec::new(), progress })
            .collect();
        for feed in &self.plan.streams[stream].feeds {
            let plan = &self.plan.feeds[*feed];
            let target = through(progress.low, plan.pane.0);
            let mut bytes: Vec<Vec<u8>> = vec![Vec::new(); self.shards];
            let shards = self.shards;
            let owner = |key: &[u8]| limit::owner(*feed, plan.group_limit, key, shards);
            let mut exemplars = Vec::new();
            self.feeds[*feed].intake.close_through(
                target,
                |index, gid, pane, partial| {
                    let key = index.key(gid);
                    packet::push(&mut bytes[owner(key)], pane, key, |out| partial.encode(out));
                },
                |index, gid, pane, rule, list| {
                    exemplars.push(PeerExemplars { feed: *feed, pane, rule, key: index.key(gid).to_vec(), list });
                },
            );
            for (message, bytes) in messages.iter_mut().zip(bytes) {
                if !bytes.is_empty() {
                    message.panes.push((*feed, bytes));
                }
            }
            for exemplar in exemplars {
                messages[owner(&exemplar.key)].exemplars.push(exemplar);
            }
        }
        for (shard, message) in messages.into_iter().enumerate() {
            if shard == self.index {
                self.store(message);
            } else {
                out.push(ShardOutput::ToPeer { shard, message: Peer::Panes(message) });
            }
        }
    }

    fn hear(&mut self, peer: Peer, out: &mut Vec<ShardOutput>) {
        match (&mut self.cutting, peer) {
            (Some(cutting), peer) if cutting.has_marked(peer.from()) => cutting.held.push(peer),
            (_, Peer::Cut { from, cut, last }) => self.hear_cut(from, cut, last, out),
            (_, Peer::Panes(panes)) => self.hear_panes(panes, out),
        }
    }

    fn hear_panes(&mut self, peer: PeerPanes, out: &mut Vec<ShardOutput>) {
        let stream = peer.stream;
        self.streams[stream].progress[peer.from] = peer.progress;
        self.store(peer);
        self.join(stream, out);
    }

    /// Keeps panes until the stream's watermark passes them.
    fn store(&mut self, peer: PeerPanes) {
        for (feed, bytes) in peer.panes {
            self.feeds[feed].store_packet(bytes);
        }
        for exemplars in peer.exemplars {
            let inbox = &mut self.feeds[exemplars.feed].exemplars;
            inbox.entry(exemplars.pane).or_default().push(exemplars);
        }
    }

    /// Moves the stream's watermark to the least of all shards' and judges the ticks it passes (`S2`).
    fn join(&mut self, stream: usize, out: &mut Vec<ShardOutput>) {
        let state = &mut self.streams[stream];
        if state.progress.iter().any(|shard| !shard.known) {
            return;
        }
        let joined = state.progress.iter().map(|shard| shard.low).fold(Low::Nothing, Low::join);
        let ended = joined == Low::Nothing && state.progress.iter().any(|shard| shard.ended);
        let settled = state.watermarks.settle(joined);
        let joined = if ended { EventTime::MAX } else { settled };
        state.joined = state.joined.max(joined); // `S3`
        let earliest = state.progress.iter().filter_map(|shard| shard.earliest).min();
        let latest = state.progress.iter().filter_map(|shard| shard.latest).max();
        let joined = state.joined;
        if joined == EventTime::MIN {
            return;
        }
        let covered_since = match (state.covered_since, earliest) {
            (Some(since), _) => since,
            (None, Some(earliest)) => earliest,
            (None, None) if joined == EventTime::MAX => return,
            (None, None) => joined,
        };
        let whole = state.progress.iter().map(|shard| shard.whole_since).max().unwrap_or(EventTime::MIN);
        let seen = SeenSince { first: covered_since, whole };
        for feed in self.plan.streams[stream].feeds.clone() {
            let plan = &self.plan.feeds[feed];
            let target = match (joined, latest) {
                (EventTime::MAX, Some(latest)) => plan.last_tick_after(latest),
                (EventTime::MAX, None) => continue,
                (watermark, _) => last_closed(watermark, plan.pane.0),
            };
            let started = (self.stopwatch)();
            self.advance(stream, feed, target, seen, out);
            self.judging_nanos += (self.stopwatch)().saturating_sub(started);
        }
        self.say_whole(stream, joined, whole, out);
    }

    /// Merges and judges pane by pane up to `target`, skipping stretches in which nothing can happen.
    fn advance(&mut self, stream: usize, feed: usize, target: i64, seen: SeenSince, out: &mut Vec<ShardOutput>) {
        let plan = &self.plan.feeds[feed];
        let state = &mut self.feeds[feed];
        let single = self.shards == 1;
        let mut closed = match state.book.closed() {
            Some(closed) => closed,
            None => {
                let first = seen.first.0.div_euclid(plan.pane.0);
                if target < first {
                    return;
                }
                self.streams[stream].covered_since = Some(seen.first);
                let (index, shards) = (self.index, self.shards);
                state.book.start(plan, first - 1, |key| limit::owner(feed, plan.group_limit, key, shards) == index);
                first - 1
            }
        };
        let (mut signals, mut limits) = (Vec::new(), Vec::new());
        loop {
            let open = if single { state.intake.first_open() } else { None };
            let content = open.into_iter().chain(state.first_stored()).min();
            let next = [content, state.book.next_due()].into_iter().flatten().min();
            let pane = next.unwrap_or(i64::MAX).max(closed + 1);
            if pane > target {
                if content.is_some_and(|content| content <= closed) {
                    state.merge_through(plan, closed, single); // late, but its pane may still be held
                }
                break;
            }
            if pane > closed + 1 {
                state.book.skip_to(pane - 1);
            }
            state.merge_through(plan, pane, single);
            if let Some(change) = state.book.close(plan, pane, seen, &mut signals) {
                limits.extend(plan.limit_news(pane, change));
            }
            closed = pane;
        }
        if target > closed {
            state.book.skip_to(target);
        }
        state.intake.sweep(plan, target);
        out.extend(signals.into_iter().map(ShardOutput::Signal));
        out.extend(limits.into_iter().map(ShardOutput::Limit));
        let refused = std::mem::take(&mut state.book.overflowed);
        self.streams[stream].status.refused.add(Refusal::TooManyGroups, refused);
    }

    fn report_judged(&mut self, out: &mut Vec<ShardOutput>) {
        let with_feeds = self.plan.streams.iter().zip(&self.streams).filter(|(plan, _)| !plan.feeds.is_empty());
        let judged = with_feeds.map(|(_, state)| state.joined).min().unwrap_or(EventTime::MAX);
        if judged > self.judged {
            self.judged = judged;
            out.push(ShardOutput::Judged(judged));
        }
    }

    /// Counters and positions as they stand.
    pub fn status(&self) -> ShardStatus {
        let stream = |(at, state): (usize, &StreamState)| StreamStatus {
            feeds: self.plan.streams[at].feeds.iter().map(|feed| self.feeds[*feed].intake.counts).collect(),
            watermark: (state.joined != EventTime::MIN).then_some(state.joined),
            sources: state.watermarks.report(),
            ..state.status.clone()
        };
        ShardStatus {
            streams: self.streams.iter().enumerate().map(stream).collect(),
            rules: self.plan.feeds.iter().zip(&self.feeds).flat_map(|(p, f)| f.book.statuses(p)).collect(),
            window_bytes: self.feeds.iter().map(|feed| feed.book.windows.bytes()).sum(),
            saturated: self.feeds.iter().map(|feed| feed.intake.counts.saturated).sum(),
            judging: Duration::from_nanos(self.judging_nanos),
        }
    }

    /// How far a source's events have come; before its first, the beginning of time.
    pub fn reached(&self, source: &SourceId) -> Option<EventTime> {
        self.streams.iter().filter_map(|stream| stream.watermarks.own(source)).max()
    }

    /// The position after the last record taken from each partition: where to go on.
    pub fn positions(&self) -> impl Iterator<Item = Position> + '_ {
        let next = |(source, offset): (&SourceId, &i64)| Position { source: source.clone(), offset: offset + 1 };
        self.streams.iter().flat_map(move |stream| stream.offsets.iter().map(next).chain(stream.parked_positions()))
    }
}

impl StreamState {
    /// `S4`
    fn drop_repeats(&mut self, raw: &mut RawBatch) {
        let mut last: Vec<i64> =
            raw.sources.iter().map(|source| self.offsets.get(source).copied().unwrap_or(i64::MIN)).collect();
        let before = raw.records.len();
        raw.records.retain(|record| {
            let last = &mut last[record.source as usize];
            let fresh = record.offset > *last;
            *last = (*last).max(record.offset);
            fresh
        });
        self.status.repeats += (before - raw.records.len()) as u64;
        for (source, last) in raw.sources.iter().zip(last) {
            match self.offsets.get_mut(source) {
                Some(known) => *known = last,
                None => drop(self.offsets.insert(source.clone(), last)),
            }
        }
    }

    fn end(&mut self, source: &SourceId) {
        self.watermarks.finish(source);
        self.ended = self.watermarks.low() == Low::Nothing;
    }

    /// How far this shard lets the stream's time go.
    fn low(&self) -> Low {
        match (self.watermarks.low(), self.floor) {
            (low, EventTime::MIN) => low,
            (Low::Nothing, _) if self.ended => Low::Nothing,
            (low, floor) => Low::At(low.time().unwrap_or(EventTime::MIN).max(floor)),
        }
    }

    fn dead_letter(&self, stream: usize, refused: &RefusedRow) -> Option<DeadLetter> {
        let kept = matches!(refused.reason.scope(), Scope::Record | Scope::Event);
        kept.then(|| {
            let record = &self.batch.records[refused.record as usize];
            DeadLetter {
                stream,
                reason: refused.reason,
                at: refused.at,
                position: Position {
                    source: self.batch.sources[record.source as usize].clone(),
                    offset: record.offset,
                },
                timestamp: record.timestamp,
                bytes: self.batch.record_bytes(refused.record).to_vec(),
            }
        })
    }
}

/// How long a partition that was taken away holds time back: a rebalance is over by then.
pub const AWAY_MAX: Millis = Millis::from_secs(60);

/// The last pane that may be sent: sources that hold nothing back have everything sent, so that nobody waits for them.
fn closed_by(low: Low, pane: i64) -> i64 {
    match low {
        Low::At(watermark) => last_closed(watermark, pane),
        Low::Paced(_) | Low::Wall(_) | Low::Nothing => i64::MAX - 1,
    }
}

impl FeedState {
    /// A packet's panes ascend; it is filed under each pane it holds, cut at the borders.
    fn store_packet(&mut self, bytes: Vec<u8>) {
        let mut start = 0;
        for (pane, range) in packet::runs(&bytes) {
            self.inbox.entry(pane).or_default().push(bytes[start..range].to_vec());
            start = range;
        }
    }

    fn first_stored(&self) -> Option<i64> {
        let panes = self.inbox.first_key_value().map(|(pane, _)| *pane);
        let exemplars = self.exemplars.first_key_value().map(|(pane, _)| *pane);
        panes.into_iter().chain(exemplars).min()
    }

    /// Merges everything of panes up to and including `pane` into the book.
    fn merge_through(&mut self, plan: &FeedPlan, pane: i64, single: bool) {
        if single {
            let FeedState { intake, book, .. } = self;
            let mut found = Vec::new();
            intake.close_through(
                pane,
                |index, gid, pane, partial| {
                    book.merge(plan, index.key(gid), pane, partial);
                },
                |index, gid, pane, rule, list| found.push((index.key(gid).to_vec(), pane, rule, list)),
            );
            for (key, pane, rule, list) in found {
                book.merge_exemplars(&key, pane, rule, list);
            }
        }
        while let Some(entry) = self.inbox.first_entry()
            && *entry.key() <= pane
        {
            for bytes in entry.remove() {
                for (pane, key, partial) in PaneReader(&bytes) {
                    let partial = self.reader.read(partial).expect("packets come from our own shards");
                    self.book.merge(plan, key, pane, &partial);
                }
            }
        }
        while let Some(entry) = self.exemplars.first_entry()
            && *entry.key() <= pane
        {
            for e in entry.remove() {
                self.book.merge_exemplars(&e.key, e.pane, e.rule, e.list);
            }
        }
    }
}
