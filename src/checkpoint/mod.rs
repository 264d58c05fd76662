//! A checkpoint as bytes: one framed, checksummed, versioned, compressed file.
//!
//! Everything of one moment stands in one file (design D5), because two files can disagree: positions that are newer than
//! the windows lose events, windows that are newer count them twice. A database would keep them together as well, and
//! write every page twice; here the big part, the pane blocks, is made long before and copied as it is.
//!
//! ```text
//! "FOGHORN" 0x00 | version: u32
//! frame*:  kind: u8 | length: u64 | xxh3 of kind, length and content: u64 | content
//! ```
//!
//! Integers are little-endian. The first frame is the head, the last the end, which holds the number of frames before it: a
//! file without it is torn. Small state is MessagePack with named fields inside zstd, so that a field that is added
//! needs no new version; what does is listed at [`VERSION`].
//!
//! - `W1` what [`read()`] gives back is what [`write()`] was given, or there is an error that says what is wrong where
//! - `W2` no bytes make it panic, or allocate more than they are long times what zstd can unpack

pub mod arrival;
pub mod dir;
pub mod holdings;
pub mod log;
pub mod look_back;
pub mod parcel;

use std::io::{self, Read, Write};
use std::num::NonZeroU32;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::engine::desk::DeskCut;
use crate::engine::pane_log::PaneBlock;
use crate::engine::state::ShardCut;
use crate::model::WallTime;

/// The version written. Read are this and the one before.
///
/// | version | what is new |
/// | --- | --- |
/// | 1 | the first |
/// | 2 | silences, and what they hide: an older Foghorn would forget them without a word. Read from 1, there are none |
/// | 2 | homes, cells: an older Foghorn would take what is one partition's for everybody's. Read from 1, there are none |
///
/// What an older file does not have stands as `#[serde(default)]` at the field, and is what there was then.
pub const VERSION: u32 = 2;

/// The oldest version that can be read.
pub const VERSION_MIN: u32 = 1;

const MAGIC: &[u8; 8] = b"FOGHORN\0";

/// Fast: the bulk is dense already.
const LEVEL: i32 = 1;

/// Bytes that are compressed in one go. MessagePack is written in pieces of a few bytes, and a call for each costs as much as
/// the compression.
const SQUEEZED_AT_ONCE: usize = 128 << 10;

/// The moments that `kill -9` must not spoil, in the order a page and a checkpoint pass them. Tests, and the storm, end a
/// process at each.
pub const CRASH_POINTS: &[&str] = &[
    "log_written",
    "log_synced",
    "delivery_started",
    "delivery_answered",
    "receipt_logged",
    "checkpoint_cut",
    "checkpoint_written",
    "checkpoint_synced",
    "checkpoint_renamed",
    "offsets_committed",
];

/// The state of the whole machine at one moment.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub head: Head,
    pub shards: Vec<ShardCut>,
    pub desk: DeskCut,
}

/// What a checkpoint says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Counts from 1 over all restarts.
    pub number: u64,
    pub taken_at: WallTime,
    /// The Foghorn that wrote it.
    pub program: String,
    /// Taken at a clean stop: nothing happened after it.
    pub clean: bool,
    /// A fingerprint of receivers and routes: who else reads the desk's log must have the same.
    pub desk_meaning: u64,
    /// What makes the desk's decisions repeatable.
    pub seed: u64,
}

/// Why bytes are no checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("it is no checkpoint: it does not begin with FOGHORN")]
    Foreign,
    #[error(
        "it was written by a newer Foghorn (format version {found}, this one reads {VERSION_MIN} to {VERSION}); \
         start that Foghorn, or move the file away to begin without it"
    )]
    Newer { found: u32 },
    #[error("its format version {found} is too old (this Foghorn reads {VERSION_MIN} to {VERSION})")]
    Older { found: u32 },
    #[error("it is torn: it ends within frame {frame}")]
    Torn { frame: u32 },
    #[error("it is damaged: the checksum of frame {frame} (at byte {at}) is wrong")]
    Damaged { frame: u32, at: u64 },
    #[error("frame {frame} cannot be understood: {what}")]
    Content { frame: u32, what: String },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl CheckpointError {
    /// Whether an older checkpoint may be taken instead: the file is broken. A file of a newer Foghorn is not; to pass
    /// over it would throw away what happened since.
    pub fn is_broken(&self) -> bool {
        !matches!(self, CheckpointError::Newer { .. })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Head = 1,
    Shard = 2,
    Panes = 3,
    Desk = 4,
    End = 255,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        [Kind::Head, Kind::Shard, Kind::Panes, Kind::Desk, Kind::End].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Before a pane block's bytes: the last shard's feed, its newest pane, its unpacked length, or 0 where it is not packed.
const PANES_HEAD: usize = 4 + 8 + 4;

/// Writes a checkpoint and says how many bytes.
pub fn write(checkpoint: &Checkpoint, out: impl Write) -> io::Result<u64> {
    let mut out = Writer { out, frames: 0, bytes: 0 };
    out.raw(MAGIC)?;
    out.raw(&VERSION.to_le_bytes())?;
    out.frame(Kind::Head, &[&packed(&checkpoint.head)?])?;
    for shard in &checkpoint.shards {
        out.frame(Kind::Shard, &[&squeezed(shard)?])?;
        for (feed, block) in blocks(shard) {
            let mut head = [0; PANES_HEAD];
            head[..4].copy_from_slice(&feed.to_le_bytes());
            head[4..12].copy_from_slice(&block.last_pane.to_le_bytes());
            head[12..].copy_from_slice(&block.unpacked.map_or(0, NonZeroU32::get).to_le_bytes());
            out.frame(Kind::Panes, &[&head, &block.bytes])?;
        }
    }
    out.frame(Kind::Desk, &[&squeezed(&checkpoint.desk)?])?;
    let frames = out.frames;
    out.frame(Kind::End, &[&frames.to_le_bytes()])?;
    out.out.flush()?;
    Ok(out.bytes)
}

fn blocks(shard: &ShardCut) -> impl Iterator<Item = (u32, &PaneBlock)> {
    shard.feeds.iter().enumerate().flat_map(|(at, feed)| feed.log.iter().map(move |block| (at as u32, block)))
}

struct Writer<W> {
    out: W,
    frames: u32,
    bytes: u64,
}

impl<W: Write> Writer<W> {
    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn frame(&mut self, kind: Kind, parts: &[&[u8]]) -> io::Result<()> {
        let length = parts.iter().map(|part| part.len() as u64).sum::<u64>();
        let mut hash = Frame::hash(kind as u8, length);
        parts.iter().for_each(|part| hash.update(part));
        self.raw(&[kind as u8])?;
        self.raw(&length.to_le_bytes())?;
        self.raw(&hash.digest().to_le_bytes())?;
        self.frames += 1;
        parts.iter().try_for_each(|part| self.raw(part))
    }
}

fn packed(value: &impl Serialize) -> io::Result<Vec<u8>> {
    rmp_serde::to_vec_named(value).map_err(io::Error::other)
}

fn squeezed(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let squeeze = zstd::stream::Encoder::new(Vec::new(), LEVEL)?;
    let mut packer = io::BufWriter::with_capacity(SQUEEZED_AT_ONCE, squeeze);
    rmp_serde::encode::write_named(&mut packer, value).map_err(io::Error::other)?;
    packer.into_inner()?.finish()
}

fn unsqueezed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let unsqueeze = zstd::stream::Decoder::new(bytes).map_err(|error| error.to_string())?;
    rmp_serde::from_read(io::BufReader::new(unsqueeze)).map_err(|error| error.to_string())
}

/// Reads a checkpoint back.
///
/// # Errors
/// See [`CheckpointError`].
pub fn read(input: impl Read) -> Result<Checkpoint, CheckpointError> {
    let mut reader = Reader::open(input)?;
    let mut head = None;
    let mut shards: Vec<ShardCut> = Vec::new();
    let mut desk = None;
    while let Some(frame) = reader.next()? {
        match frame.kind {
            Kind::Head => head = Some(frame.unpack(&frame.content[..])?),
            Kind::Shard => shards.push(frame.unsqueeze()?),
            Kind::Panes => {
                let shard = shards.last_mut().ok_or_else(|| frame.wrong("panes stand before any shard"))?;
                frame.panes(shard)?;
            }
            Kind::Desk => desk = Some(frame.unsqueeze()?),
            Kind::End => {}
        }
    }
    let missing = |what: &str| CheckpointError::Content { frame: reader.frames, what: format!("there is no {what}") };
    Ok(Checkpoint { head: head.ok_or_else(|| missing("head"))?, shards, desk: desk.ok_or_else(|| missing("desk"))? })
}

struct Reader<R> {
    input: R,
    frames: u32,
    at: u64,
    ended: bool,
}

struct Frame {
    number: u32,
    kind: Kind,
    content: Vec<u8>,
}

impl<R: Read> Reader<R> {
    fn open(input: R) -> Result<Self, CheckpointError> {
        let mut reader = Reader { input, frames: 0, at: 0, ended: false };
        let mut magic = [0; 8];
        reader.fill(&mut magic).map_err(|_| CheckpointError::Foreign)?;
        if magic != *MAGIC {
            return Err(CheckpointError::Foreign);
        }
        let mut version = [0; 4];
        reader.fill(&mut version)?;
        match u32::from_le_bytes(version) {
            found if found > VERSION => Err(CheckpointError::Newer { found }),
            found if found < VERSION_MIN => Err(CheckpointError::Older { found }),
            _ => Ok(reader),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), CheckpointError> {
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => CheckpointError::Torn { frame: self.frames },
            _ => CheckpointError::Io(error),
        })?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// The next frame; nothing after the end.
    fn next(&mut self) -> Result<Option<Frame>, CheckpointError> {
        if self.ended {
            return Ok(None);
        }
        let at = self.at;
        let mut head = [0; 17];
        self.fill(&mut head)?;
        let length = u64::from_le_bytes(head[1..9].try_into().expect("eight bytes"));
        let sum = u64::from_le_bytes(head[9..].try_into().expect("eight bytes"));
        let mut content = Vec::new();
        let read = (&mut self.input).take(length).read_to_end(&mut content)?;
        if (read as u64) < length {
            return Err(CheckpointError::Torn { frame: self.frames });
        }
        self.at += length;
        let mut hash = Frame::hash(head[0], length);
        hash.update(&content);
        if hash.digest() != sum {
            return Err(CheckpointError::Damaged { frame: self.frames, at });
        }
        let kind = Kind::of(head[0])
            .ok_or(CheckpointError::Content { frame: self.frames, what: format!("{} is no kind of frame", head[0]) })?;
        self.ended = kind == Kind::End;
        let frame = Frame { number: self.frames, kind, content };
        if self.ended && frame.content != self.frames.to_le_bytes() {
            return Err(frame.wrong("frames are missing before the end"));
        }
        self.frames += 1;
        Ok(Some(frame))
    }
}

impl Frame {
    fn hash(kind: u8, length: u64) -> xxhash_rust::xxh3::Xxh3 {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        hash.update(&[kind]);
        hash.update(&length.to_le_bytes());
        hash
    }

    fn wrong(&self, what: impl ToString) -> CheckpointError {
        CheckpointError::Content { frame: self.number, what: what.to_string() }
    }

    fn unpack<T: DeserializeOwned>(&self, bytes: impl Read) -> Result<T, CheckpointError> {
        rmp_serde::from_read(bytes).map_err(|error| self.wrong(error))
    }

    fn unsqueeze<T: DeserializeOwned>(&self) -> Result<T, CheckpointError> {
        unsqueezed(&self.content).map_err(|error| self.wrong(error))
    }

    fn panes(&self, shard: &mut ShardCut) -> Result<(), CheckpointError> {
        let (head, bytes) = self.content.split_at_checked(PANES_HEAD).ok_or_else(|| self.wrong("it is too short"))?;
        let feed = u32::from_le_bytes(head[..4].try_into().expect("four bytes"));
        let feed = shard.feeds.get_mut(feed as usize).ok_or_else(|| self.wrong(format!("there is no feed {feed}")))?;
        feed.log.push(PaneBlock {
            last_pane: i64::from_le_bytes(head[4..12].try_into().expect("eight bytes")),
            bytes: bytes.into(),
            unpacked: NonZeroU32::new(u32::from_le_bytes(head[12..].try_into().expect("four bytes"))),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
