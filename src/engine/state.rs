//! What a checkpoint holds of the two machines: plain data, named by meaning.
//!
//! A shard gives a [`ShardCut`], the desk a [`DeskCut`](crate::engine::desk::DeskCut). Nothing in them is an index into a
//! plan: streams, feeds, accumulators and rules are found again by what they mean, so the same bytes serve a restart, a
//! restart with edited rules, and a reload of a running engine, at any number of shards.
//!
//! - `C1` all cuts of one checkpoint are of one moment: what a shard sent before its cut is in the receiver's, what it
//!   sent after is in none (the barrier is in [`crate::engine::shard`])
//! - `C2` positions and everything that records before them contributed stand in the same cut
//! - `C3` a cut that is taken and restored, and the machine it was taken of, say the same from then on

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::decode::time::Year;
use crate::engine::pane_log::PaneBlock;
use crate::model::labels::Labels;
use crate::model::position::{SourceId, TopicId};
use crate::model::signal::{Exemplar, RuleMeta};
use crate::model::time::EventTime;
use crate::rule::hold::Hold;
use crate::stream::watermark::Mark;
use crate::window::AccSpec;

/// One shard at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShardCut {
    pub shard: usize,
    /// Of how many.
    pub shards: usize,
    pub streams: Vec<StreamCut>,
    pub feeds: Vec<FeedCut>,
    /// What a cell is called ([`crate::engine::cells`]); `None` for a shard that is one of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<CellName>,
}

/// One partition in the hands of one member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellName {
    pub home: SourceId,
    /// Grows by one each time that somebody takes the partition over. Who holds a lower one than the newest parcel tells
    /// is its owner no more.
    pub tenure: u64,
}

/// What a cell cannot find again in its partition's log: it goes to whoever reads the partition next. A [`ShardCut`]
/// without panes, and a position so far back that panes can be read again. Groups that nothing is said of stay out of it,
/// unless a rule says who is gone: the log may hold nothing any more of who will be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CellCut(pub ShardCut);

/// Where a partition begins of which nobody has left anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellStart {
    /// The first offset to be read, for windows.
    pub read_from: i64,
    /// The first offset that ticks are judged from: what came before it was told by others, or is not to be told.
    pub judged_from: i64,
}

/// One stream as one shard has read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StreamCut {
    pub name: Arc<str>,
    /// The stream's watermark.
    pub joined: EventTime,
    pub covered_since: Option<EventTime>,
    /// Windows that reach back before this miss events.
    pub whole_since: EventTime,
    pub earliest: Option<EventTime>,
    pub sources: Vec<SourceCut>,
    /// A cell's: where reading can begin again, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trail: Vec<Step>,
    /// A cell's that reads again what was read before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reread: Option<Reread>,
    /// A cell's that begins within its log: records before this offset fill windows, and no tick is judged by them alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged_from: Option<i64>,
}

/// A place in a partition where reading can begin again, and say the same from there on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Of the first record.
    pub offset: i64,
    /// How far the partition had come before that.
    pub mark: Mark,
    pub year: Option<Year>,
    /// The newest event from there up to the next step.
    pub newest: EventTime,
}

/// How far a partition was read before, and its mark there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reread {
    /// The first record that was not read yet.
    pub next: i64,
    pub mark: Mark,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceCut {
    pub source: SourceId,
    /// The next record to read; `None` where none was read.
    pub next: Option<i64>,
    pub mark: Mark,
    /// The shard read it at the moment of the cut. Otherwise it only remembers it: after a restart every shard knows of
    /// every partition, and most are another's.
    #[serde(default)]
    pub live: bool,
    /// Records were lost of which it is not known yet how far they reached in event time.
    #[serde(default)]
    pub gap: bool,
    /// Where the year of its stamps stands, if they have none of their own.
    pub year: Option<Year>,
    /// Of which topic the log is in which `next` is a place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<TopicId>,
}

/// What makes two feeds the same: they look at the same events in the same way.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FeedMeaning {
    pub stream: Arc<str>,
    /// A fingerprint of the stream's schema: another field behind a name is another stream.
    pub schema: u64,
    /// The canonical text of `where`.
    pub filter: Option<Arc<str>>,
    /// The canonical text of each key of `by`.
    pub by: Vec<Arc<str>>,
    /// Milliseconds.
    pub pane: i64,
}

/// One feed of one shard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeedCut {
    pub meaning: FeedMeaning,
    pub accs: Vec<AccCut>,
    /// Panes that a window may look at.
    pub reach: u32,
    /// The last pane that is merged and judged; `None` before the first.
    pub closed: Option<i64>,
    pub last_merged: i64,
    /// The limit of groups, and the slices of it that are full.
    pub group_limit: usize,
    pub full: Vec<usize>,
    pub groups: GroupsCut,
    /// Panes that are complete, or hold something already, by group id. Written beside the rest.
    #[serde(skip)]
    pub log: Vec<PaneBlock>,
    /// Panes that are not complete yet, as `packet` writes them.
    pub stored: Vec<Bytes>,
    pub exemplars: Vec<ExemplarsCut>,
    pub rules: Vec<RuleCut>,
}

impl FeedCut {
    /// The end of the last pane that is judged; `None` before the first.
    pub fn judged(&self) -> Option<EventTime> {
        self.closed.map(|closed| EventTime((closed + 1).saturating_mul(self.meaning.pane)))
    }
}

/// One accumulator: its spelling, and how its parts are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccCut {
    pub text: Arc<str>,
    pub spec: AccSpec,
    /// Nothing before this went into it although there were events.
    pub whole_since: EventTime,
}

/// The groups of a feed, column by column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupsCut {
    pub gids: Vec<u32>,
    /// Where each key ends in `keys`.
    pub ends: Vec<u32>,
    pub keys: Bytes,
    pub last_seen: Vec<i64>,
    /// Known only for an alert that was brought along, and not seen in this feed yet; ascending gids.
    #[serde(default)]
    pub assumed: Vec<u32>,
}

impl GroupsCut {
    /// (gid, key, last seen)
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8], i64)> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let keys = starts.zip(&self.ends).map(|(start, end)| self.keys.0.get(start as usize..*end as usize));
        let rows = self.gids.iter().zip(keys).zip(&self.last_seen);
        rows.map_while(|((gid, key), seen)| Some((*gid, key?, *seen)))
    }
}

/// Exemplars of one rule, group and pane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExemplarsCut {
    /// Index into [`FeedCut::rules`].
    pub rule: u32,
    pub pane: i64,
    pub key: Bytes,
    pub list: Arc<Vec<Exemplar>>,
}

/// What makes a rule the one it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleMeaning {
    /// File, group and name.
    pub id: u64,
    /// What its alerts are called: keys and labels. Another one makes other alerts.
    pub identity: u64,
    /// What its verdicts depend on: events, windows, condition, step.
    pub verdict: u64,
}

impl RuleMeaning {
    /// Whether the alerts of `old` are this rule's.
    pub fn continues(self, old: RuleMeaning) -> bool {
        (self.id, self.identity) == (old.id, old.identity)
    }
}

/// One rule's memory in one shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleCut {
    pub meaning: RuleMeaning,
    pub meta: Arc<RuleMeta>,
    /// Groups whose window changed since the rule's last tick.
    pub touched: Vec<u32>,
    pub active: Vec<ActiveCut>,
    /// It says who is gone (`absent`), so who there is matters although nothing is said of them.
    #[serde(default)]
    pub absent: bool,
}

/// One group of a rule that is not clear, or was heard to have ended since ([`super::heard`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActiveCut {
    pub gid: u32,
    pub hold: Hold,
    pub labels: Labels,
    pub last_signal: EventTime,
    pub absent: bool,
    pub annotations: Vec<(Arc<str>, String)>,
}

/// Bytes that are written as bytes, not as a list of numbers.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}
