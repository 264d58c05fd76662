//! The desk's log: every input of the desk since a checkpoint, in order.
//!
//! A checkpoint is taken every few seconds, but a page must not wait for one, and a page that went out must not be
//! forgotten with the seconds after it. The desk is a function of its inputs, so its inputs are logged before it acts on
//! them, and synced before the first byte of what follows leaves. To log what it decided instead would be shorter and
//! would need a second way to apply it; the inputs go through the one `handle`.
//!
//! ```text
//! "FOGDESK" 0x00 | version: u32 | checkpoint: u64 | xxh3 of the 20 bytes before: u64
//! entry*:  length: u32 | low half of xxh3 of the content: u32 | content: (WallTime, DeskInput) as MessagePack
//! seal:    0: u32 | SEAL: u32
//! ```
//!
//! - `L3` a sealed log has no gap before the log after it; one that is not may have lost what its disk did not take
//! - `L1` an entry that is read is one that was written whole, and all before it are too
//! - `L2` what comes after the first entry that is not whole is not read: it was never acted on

use serde::{Deserialize, Serialize};

use crate::engine::desk::DeskInput;
use crate::model::WallTime;

const MAGIC: &[u8; 8] = b"FOGDESK\0";

/// As [`super::VERSION`], for the log's frames and the kinds of inputs in it; those are named fields.
///
/// | version | what is new |
/// | --- | --- |
/// | 1 | the first |
/// | 2 | what people ask for, and homes that come and go: to an older Foghorn the log would seem to end there |
pub const LOG_VERSION: u32 = 2;

/// The oldest version that can be read.
pub const LOG_VERSION_MIN: u32 = 1;

/// In place of an entry: the next log goes on from here.
const SEAL: u32 = 0x5ea1_ed00;

const HEAD: usize = 8 + 4 + 8 + 8;

/// One thing that happened to the desk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogEntry {
    pub at: WallTime,
    pub input: DeskInput,
}

/// The first bytes of the log that begins with checkpoint `number`.
pub fn head(number: u64) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.extend_from_slice(&LOG_VERSION.to_le_bytes());
    head.extend_from_slice(&number.to_le_bytes());
    let sum = xxhash_rust::xxh3::xxh3_64(&head);
    head.extend_from_slice(&sum.to_le_bytes());
    head
}

/// Appends one entry's bytes.
pub fn push(out: &mut Vec<u8>, at: WallTime, input: &DeskInput) {
    #[derive(Serialize)]
    struct Borrowed<'a> {
        at: WallTime,
        input: &'a DeskInput,
    }
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    rmp_serde::encode::write_named(out, &Borrowed { at, input }).expect("inputs are written to memory");
    let content = &out[start + 8..];
    let (length, sum) = (content.len() as u32, xxhash_rust::xxh3::xxh3_64(content) as u32);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
}

/// Appends the seal (`L3`).
pub fn seal(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&SEAL.to_le_bytes());
}

/// What a log holds.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// The version it was begun in. What goes on from it in another one begins another log.
    pub version: u32,
    /// The checkpoint it begins with.
    pub number: u64,
    pub entries: Vec<LogEntry>,
    /// Bytes up to the end of the last whole entry.
    pub whole: u64,
    /// Bytes behind it, of an entry that was not written to its end.
    pub torn: u64,
    pub sealed: bool,
}

/// Why a log is of no use at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    #[error("it is no log of a desk")]
    Foreign,
    #[error(
        "it was written by a newer Foghorn (log version {found}, this one reads {LOG_VERSION_MIN} to {LOG_VERSION})"
    )]
    Newer { found: u32 },
    #[error("its log version {found} is too old (this Foghorn reads {LOG_VERSION_MIN} to {LOG_VERSION})")]
    Older { found: u32 },
}

/// Reads as far as entries are whole (`L1`, `L2`).
///
/// # Errors
/// Not even the head is whole, or it is of a version that cannot be read.
pub fn read(bytes: &[u8]) -> Result<Read, LogError> {
    let (head, mut rest) = bytes.split_at_checked(HEAD).ok_or(LogError::Foreign)?;
    let sum = u64::from_le_bytes(head[20..].try_into().expect("eight bytes"));
    if &head[..8] != MAGIC || xxhash_rust::xxh3::xxh3_64(&head[..20]) != sum {
        return Err(LogError::Foreign);
    }
    let version = match u32::from_le_bytes(head[8..12].try_into().expect("four bytes")) {
        found if found > LOG_VERSION => return Err(LogError::Newer { found }),
        found if found < LOG_VERSION_MIN => return Err(LogError::Older { found }),
        version => version,
    };
    let mut read = Read {
        version,
        number: u64::from_le_bytes(head[12..20].try_into().expect("eight bytes")),
        whole: HEAD as u64,
        ..Read::default()
    };
    while let Some((entry, after)) = next(rest) {
        let Some(entry) = entry else {
            (read.sealed, rest) = (true, &[]);
            break;
        };
        read.whole += (rest.len() - after.len()) as u64;
        read.entries.push(entry);
        rest = after;
    }
    read.torn = rest.len() as u64;
    Ok(read)
}

/// An entry, or the seal.
fn next(bytes: &[u8]) -> Option<(Option<LogEntry>, &[u8])> {
    let (head, rest) = bytes.split_at_checked(8)?;
    let length = u32::from_le_bytes(head[..4].try_into().expect("four bytes"));
    let sum = u32::from_le_bytes(head[4..].try_into().expect("four bytes"));
    if (length, sum) == (0, SEAL) {
        return Some((None, rest));
    }
    let (content, rest) = rest.split_at_checked(length as usize)?;
    if xxhash_rust::xxh3::xxh3_64(content) as u32 != sum {
        return None;
    }
    Some((Some(rmp_serde::from_slice(content).ok()?), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DeliveryId, Outcome};

    fn log() -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (head(7), Vec::new());
        let outcome = Outcome::Retry { after: None, throttled: true, reason: "slow down".into() };
        let receipt = DeskInput::Receipt { receiver: "ops".into(), id: DeliveryId(3), outcome };
        for (at, input) in [(1, DeskInput::Tick), (2, receipt), (3, DeskInput::Restarted)] {
            push(&mut bytes, WallTime(at), &input);
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    #[test]
    fn a_log_cut_anywhere_gives_the_entries_before_the_cut() {
        let (bytes, ends) = log();
        for cut in HEAD..=bytes.len() {
            let read = read(&bytes[..cut]).expect("the head is whole");
            let whole = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!((read.number, read.entries.len()), (7, whole), "cut at {cut}");
            assert_eq!(read.whole + read.torn, cut as u64);
        }
        assert_eq!(read(&bytes[..HEAD - 1]).err(), Some(LogError::Foreign));
    }

    #[test]
    fn a_newer_foghorns_log_is_refused_by_its_version() {
        let (mut bytes, _) = log();
        bytes[8..12].copy_from_slice(&(LOG_VERSION + 1).to_le_bytes());
        let sum = xxhash_rust::xxh3::xxh3_64(&bytes[..20]);
        bytes[20..28].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(read(&bytes).err(), Some(LogError::Newer { found: LOG_VERSION + 1 }));
    }

    #[test]
    fn a_seal_ends_a_log() {
        let (mut bytes, _) = log();
        seal(&mut bytes);
        bytes.extend_from_slice(b"whatever");
        let read = read(&bytes).expect("the head is whole");
        assert_eq!((read.entries.len(), read.sealed, read.torn), (3, true, 0));
    }

    #[test]
    fn nothing_behind_a_damaged_entry_is_believed() {
        let (whole, ends) = log();
        for at in HEAD..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            let before = ends.iter().filter(|end| **end <= at).count();
            assert_eq!(read(&bytes).expect("the head is whole").entries.len(), before, "damaged at {at}");
        }
    }
}
