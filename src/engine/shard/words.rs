//! What a shard is told and what it says.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::feed::{FeedCounts, RuleStatus};
use crate::engine::limit::LimitNews;
use crate::engine::state::ShardCut;
use crate::model::batch::RawBatch;
use crate::model::position::{Loss, Position, SourceId, TopicId};
use crate::model::refusal::{Refusal, RefusalCounts};
use crate::model::signal::{Exemplar, Signal};
use crate::model::time::{EventTime, WallTime};
use crate::stream::watermark::{Low, SourceReport};

/// What a shard is told.
#[derive(Debug)]
pub enum ShardInput {
    /// Records of one stream, from partitions that were assigned to this shard.
    Records {
        stream: usize,
        batch: RawBatch,
    },
    /// These partitions, with their streams, are this shard's from now on. A shard that gets none is told so with an
    /// empty list: until it knows, it holds every stream back.
    Assigned(Vec<(usize, SourceId)>),
    /// These partitions are no longer ours.
    Revoked(Vec<SourceId>),
    /// The partition was read to its end, which stands at this offset. In order: everything before it was handed in.
    End(Position),
    /// How far the reading of a partition is, as the broker says now: at its end, which stands at this offset; or so many
    /// records before it, where that is known. To be repeated, since a confirmed end grows old. It may overtake records
    /// that were read and are not handed in yet (`S8`).
    Reading {
        source: SourceId,
        now: WallTime,
        end: Option<i64>,
        lag: Option<u64>,
    },
    /// The partition will give nothing more, ever: it holds nothing back any longer.
    Ended(SourceId),
    /// Records of this partition are gone before they could be read: so many; nobody knows how many where the log was made
    /// anew and its offsets begin again. To be said before the first record behind them.
    Gap {
        source: SourceId,
        lost: Option<u64>,
    },
    /// What is read of this partition is the log of this topic.
    Topic {
        source: SourceId,
        topic: TopicId,
    },
    /// A checkpoint is taken; its number.
    Cut(u64),
    /// The same, and another shard goes on from it: after it, this one takes nothing and says nothing (`S7`).
    LastCut(u64),
    /// No partition gives an event before this time any more, whatever its lateness.
    Until(EventTime),
    /// The wall clock: idle partitions, and the bound on the future. Replay sends none.
    Wall(WallTime),
    Peer(Peer),
}

/// From shard to shard.
#[derive(Clone, Debug)]
pub enum Peer {
    Panes(PeerPanes),
    /// Everything the sender sent before its cut for this checkpoint has been sent.
    Cut {
        from: usize,
        cut: u64,
        last: bool,
    },
}

/// What a shard says.
#[derive(Debug)]
pub enum ShardOutput {
    Signal(Signal),
    ToPeer {
        shard: usize,
        message: Peer,
    },
    /// All ticks before this time are judged, for all streams.
    Judged(EventTime),
    /// What the shard holds, after everything it said before this and before everything it says after.
    Cut {
        cut: u64,
        last: bool,
        state: Box<ShardCut>,
    },
    /// Events of a stream are known to be missing: rules that look at them know nothing until the windows are whole.
    Lost {
        stream: usize,
        source: SourceId,
        loss: Loss,
    },
    /// … and no window looks at what is missing any more.
    Whole {
        stream: usize,
    },
    DeadLetter(DeadLetter),
    /// A rule reached its limit of groups in this shard, or has room in it again.
    Limit(LimitNews),
}

impl Peer {
    pub(super) fn from(&self) -> usize {
        match self {
            Peer::Panes(panes) => panes.from,
            Peer::Cut { from, .. } => *from,
        }
    }
}

/// Panes, exemplars and progress of one shard.
#[derive(Clone, Debug)]
pub struct PeerPanes {
    pub from: usize,
    pub stream: usize,
    /// Panes for groups the receiver owns: (feed, bytes as `packet` writes them).
    pub panes: Vec<(usize, Vec<u8>)>,
    pub exemplars: Vec<PeerExemplars>,
    pub progress: Progress,
}

/// How far one shard is with one stream.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Whether the shard knows its partitions yet.
    pub known: bool,
    /// How far its partitions let time go. Everything before it has been sent; where they hold nothing back, everything.
    pub low: Low,
    /// All its partitions have given everything they ever will.
    pub ended: bool,
    /// The earliest and the latest event the shard has taken.
    pub earliest: Option<EventTime>,
    pub latest: Option<EventTime>,
    /// Events before this are known to be missing.
    pub whole_since: EventTime,
}

impl Default for Progress {
    fn default() -> Self {
        Progress {
            known: false,
            low: Low::Nothing,
            ended: false,
            earliest: None,
            latest: None,
            whole_since: EventTime::MIN,
        }
    }
}

#[derive(Clone, Debug)]
pub struct PeerExemplars {
    pub feed: usize,
    pub pane: i64,
    pub rule: u32,
    pub key: Vec<u8>,
    pub list: Arc<Vec<Exemplar>>,
}

/// A record that could not be decoded, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    pub stream: usize,
    pub reason: Refusal,
    /// Byte offset in the record.
    pub at: u32,
    pub position: Position,
    /// The record's own, in epoch milliseconds; negative when it has none.
    pub timestamp: i64,
    pub bytes: Vec<u8>,
}

/// One shard's counters and positions, for the page and for metrics.
#[derive(Clone, Debug, Default)]
pub struct ShardStatus {
    pub streams: Vec<StreamStatus>,
    pub rules: Vec<RuleStatus>,
    /// Heap bytes of windows.
    pub window_bytes: usize,
    /// Values above a histogram's range; they count as its highest.
    pub saturated: u64,
    /// Time spent closing panes and judging rules.
    pub judging: Duration,
}

#[derive(Clone, Debug, Default)]
pub struct StreamStatus {
    pub records: u64,
    pub record_bytes: u64,
    pub events: u64,
    pub repeats: u64,
    pub refused: RefusalCounts,
    pub feeds: Vec<FeedCounts>,
    pub watermark: Option<EventTime>,
    pub sources: Vec<SourceReport>,
}

impl ShardStatus {
    /// With what another shard of the same plan has.
    pub fn with(mut self, other: ShardStatus) -> ShardStatus {
        self.streams.iter_mut().zip(other.streams).for_each(|(mine, theirs)| mine.add(theirs));
        for (mine, theirs) in self.rules.iter_mut().zip(other.rules) {
            mine.groups += theirs.groups;
            mine.active += theirs.active;
            mine.evaluations += theirs.evaluations;
        }
        self.window_bytes += other.window_bytes;
        self.saturated += other.saturated;
        self.judging += other.judging;
        self
    }

    /// Its counters alone: the shard is gone, and what it held with it.
    pub fn retired(mut self) -> ShardStatus {
        for stream in &mut self.streams {
            (stream.watermark, stream.sources) = (None, Vec::new());
        }
        self.rules.iter_mut().for_each(|rule| (rule.groups, rule.active) = (0, 0));
        self.window_bytes = 0;
        self
    }

    /// Goes on counting under another plan: streams are the same there, feeds and rules begin anew.
    pub fn succeed(&mut self, old: &ShardStatus) {
        for (stream, old) in self.streams.iter_mut().zip(&old.streams) {
            let feeds = std::mem::take(&mut stream.feeds);
            *stream = StreamStatus { feeds, ..old.clone() };
        }
        self.judging = old.judging;
    }
}

impl StreamStatus {
    fn add(&mut self, other: StreamStatus) {
        self.records += other.records;
        self.record_bytes += other.record_bytes;
        self.events += other.events;
        self.repeats += other.repeats;
        self.refused.merge(&other.refused);
        self.feeds.iter_mut().zip(other.feeds).for_each(|(mine, theirs)| mine.add(theirs));
        self.watermark = self.watermark.into_iter().chain(other.watermark).min();
        self.sources.extend(other.sources);
    }
}
