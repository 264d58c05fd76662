//! What goes along with a partition when it moves to another member of the group.
//!
//! A checkpoint is of one process; a parcel is of one partition, and is read by another process, perhaps of another version
//! and with other rules. It lies in a compacted topic, whose newest value for a partition counts, so a value must be whole
//! by itself: there is no log beside it that goes on from it.
//!
//! ```text
//! "FOGMOVE" 0x00 | version: u32 | xxh3 of the content: u64 | content: a Parcel as MessagePack with named fields, in zstd
//! ```
//!
//! - `P1` what [`unpack`] gives back is what [`pack`] was given, less what was left out and counted; or there is an error
//! - `P2` a parcel fits into a record: groups that nothing is said of, and then pending holds, newest first, stay out of one
//!   that would not

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{squeezed, unsqueezed};
use crate::engine::desk::HomeCut;
use crate::engine::heard;
use crate::engine::plan::Plan;
use crate::engine::state::CellCut;
use crate::model::WallTime;
use crate::model::position::SourceId;

/// The version written. Read are this and those from [`PARCEL_VERSION_MIN`] on.
///
/// | version | what is new |
/// | --- | --- |
/// | 1 | the first |
pub const PARCEL_VERSION: u32 = 1;

/// The oldest version that can be read.
pub const PARCEL_VERSION_MIN: u32 = 1;

/// Bytes a parcel may have as a record's value: what the topic takes (8 MiB), less what Kafka adds.
pub const PARCEL_BYTES_MAX: usize = (8 << 20) - (64 << 10);

const MAGIC: &[u8; 8] = b"FOGMOVE\0";

const HEAD: usize = 8 + 4 + 8;

/// One partition, as the member that read it leaves it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Parcel {
    pub source: SourceId,
    /// The instance id of the member that wrote it.
    pub member: Arc<str>,
    /// Grows with every parcel of one process.
    pub number: u64,
    pub taken_at: WallTime,
    pub shard: CellCut,
    pub desk: HomeCut,
}

impl Parcel {
    /// Brings what the desk knew into the cell, which is older, as far as the rules of `plan` are still what they were.
    pub fn bring_in_heard(&mut self, plan: &Plan) {
        heard::bring_in(std::slice::from_mut(&mut self.shard.0), plan, self.desk.alerts());
    }
}

/// A parcel's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    pub bytes: Vec<u8>,
    /// Pending holds for which there was no room: their `for` begins anew at the next owner (`P2`).
    pub left_out: usize,
}

/// Why there is no parcel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParcelError {
    #[error("it is no parcel: it does not begin with FOGMOVE")]
    Foreign,
    #[error(
        "it was written by a newer Foghorn (parcel version {found}, this one reads {PARCEL_VERSION_MIN} to \
         {PARCEL_VERSION}); upgrade this member"
    )]
    Newer { found: u32 },
    #[error("its version {found} is too old (this Foghorn reads {PARCEL_VERSION_MIN} to {PARCEL_VERSION})")]
    Older { found: u32 },
    #[error("it is damaged: its checksum is wrong")]
    Damaged,
    #[error("it cannot be understood: {0}")]
    Content(String),
    #[error("it has {bytes} bytes without any pending alert, and {bytes_max} fit into a record")]
    TooLarge { bytes: usize, bytes_max: usize },
}

impl ParcelError {
    /// Whether the partition may begin anew without it: the bytes are broken. A newer Foghorn's are not; who passes over
    /// them tells again what was told.
    pub fn is_broken(&self) -> bool {
        !matches!(self, ParcelError::Newer { .. })
    }
}

/// Writes a parcel in `bytes_max` bytes at most (`P2`).
///
/// # Errors
/// What fires alone is larger.
pub fn pack(parcel: &Parcel, bytes_max: usize) -> Result<Packed, ParcelError> {
    let bytes = encode(parcel)?;
    if bytes.len() <= bytes_max {
        return Ok(Packed { bytes, left_out: 0 });
    }
    let mut small = parcel.clone();
    small.desk.leave_pending(); // the cell's holds bring them back
    small.shard.leave_quiet();
    let pending = small.shard.pending();
    let mut kept = pending;
    loop {
        let bytes = encode(&small)?;
        match kept {
            _ if bytes.len() <= bytes_max => return Ok(Packed { bytes, left_out: pending - kept }),
            0 => return Err(ParcelError::TooLarge { bytes: bytes.len(), bytes_max }),
            _ => kept /= 2,
        }
        small.shard.keep_pending(kept);
    }
}

fn encode(parcel: &Parcel) -> Result<Vec<u8>, ParcelError> {
    let content = squeezed(parcel).map_err(|error| ParcelError::Content(error.to_string()))?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&PARCEL_VERSION.to_le_bytes());
    bytes.extend_from_slice(&xxhash_rust::xxh3::xxh3_64(&content).to_le_bytes());
    bytes.extend_from_slice(&content);
    Ok(bytes)
}

/// Reads a parcel back.
///
/// # Errors
/// See [`ParcelError`].
pub fn unpack(bytes: &[u8]) -> Result<Parcel, ParcelError> {
    let (head, content) = bytes.split_at_checked(HEAD).ok_or(ParcelError::Foreign)?;
    if &head[..8] != MAGIC {
        return Err(ParcelError::Foreign);
    }
    match u32::from_le_bytes(head[8..12].try_into().expect("four bytes")) {
        found if found > PARCEL_VERSION => return Err(ParcelError::Newer { found }),
        found if found < PARCEL_VERSION_MIN => return Err(ParcelError::Older { found }),
        _ => {}
    }
    if xxhash_rust::xxh3::xxh3_64(content).to_le_bytes() != head[12..] {
        return Err(ParcelError::Damaged);
    }
    unsqueezed(content).map_err(ParcelError::Content)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::state::{ActiveCut, FeedCut, RuleCut, RuleMeaning, ShardCut};
    use crate::model::{EventTime, Labels, RuleMeta};
    use crate::rule::hold::Hold;

    /// A cell with as many pending holds, each a second younger than the one before, and one that fires.
    fn parcel(pending: u32) -> Parcel {
        let active = |gid: u32, hold| ActiveCut {
            gid,
            hold,
            labels: Labels::from_pairs([("user", xxhash_rust::xxh3::xxh3_64(&gid.to_le_bytes()).to_string())]),
            last_signal: EventTime(0),
            absent: false,
            annotations: Vec::new(),
        };
        let mut holds: Vec<ActiveCut> =
            (1..=pending).map(|gid| active(gid, Hold::Pending { since: EventTime(i64::from(gid)) })).collect();
        holds.push(active(0, Hold::Firing { since: EventTime(0), fired_at: EventTime(5_000) }));
        let rule = RuleCut {
            meaning: RuleMeaning { id: 1, identity: 2, verdict: 3 },
            meta: Arc::new(RuleMeta { name: "Slow".into(), group: "g".into(), file: "a.yaml".into(), line: 1 }),
            touched: Vec::new(),
            active: holds,
            absent: false,
        };
        let feed = FeedCut { closed: Some(12), rules: vec![rule], ..FeedCut::default() };
        Parcel {
            source: SourceId::new("orders", 3),
            member: "foghorn-1".into(),
            number: 7,
            taken_at: WallTime(1_700_000_000_000),
            shard: CellCut(ShardCut { shards: 1, feeds: vec![feed], ..ShardCut::default() }),
            desk: HomeCut::default(),
        }
    }

    #[test]
    fn what_is_packed_is_unpacked_again() {
        let (before, packed) = (parcel(3), pack(&parcel(3), PARCEL_BYTES_MAX).expect("it is small"));
        let after = unpack(&packed.bytes).expect("it is whole");
        assert_eq!(packed.left_out, 0);
        assert_eq!((after.source, after.member, after.number), (before.source, before.member, before.number));
        assert_eq!((after.taken_at, after.shard), (before.taken_at, before.shard));
    }

    #[test]
    fn the_newest_pending_holds_stay_out_of_what_would_be_too_large() {
        let whole = pack(&parcel(1_000), PARCEL_BYTES_MAX).expect("it is small").bytes.len();
        let packed = pack(&parcel(1_000), whole / 2).expect("there is much to leave out");
        assert!(packed.bytes.len() <= whole / 2 && packed.left_out > 0, "{} left out", packed.left_out);
        let holds: Vec<Hold> = unpack(&packed.bytes)
            .expect("it is whole")
            .shard
            .0
            .feeds
            .iter()
            .flat_map(|feed| &feed.rules[0].active)
            .map(|active| active.hold)
            .collect();
        let oldest = (1..=1_000 - packed.left_out as i64).map(|at| Hold::Pending { since: EventTime(at) });
        let fires = Hold::Firing { since: EventTime(0), fired_at: EventTime(5_000) };
        assert_eq!(holds, oldest.chain([fires]).collect::<Vec<_>>());
        let error = pack(&parcel(1_000), 100).expect_err("what fires does not fit either");
        assert!(matches!(error, ParcelError::TooLarge { bytes_max: 100, .. }), "{error}");
    }

    /// The log brings them back, as a rule; it cannot bring back since when something is pending.
    #[test]
    fn who_is_quiet_stays_out_before_any_pending_hold_does() {
        let mut with_quiet = parcel(10);
        let groups = &mut with_quiet.shard.0.feeds[0].groups;
        for gid in 0..1_000_u32 {
            groups.gids.push(gid);
            groups.keys.0.extend(xxhash_rust::xxh3::xxh3_64(&gid.to_le_bytes()).to_le_bytes());
            groups.ends.push(groups.keys.0.len() as u32);
            groups.last_seen.push(0);
        }
        let whole = pack(&with_quiet, PARCEL_BYTES_MAX).expect("it is small");
        let packed = pack(&with_quiet, whole.bytes.len() - 1).expect("there is much to leave out");
        assert_eq!(unpack(&whole.bytes).expect("it is whole").shard, with_quiet.shard);
        let left = unpack(&packed.bytes).expect("it is whole").shard;
        assert_eq!((packed.left_out, left.pending()), (0, 10));
        assert_eq!(left.0.feeds[0].groups.gids, (0..=10).collect::<Vec<u32>>(), "those that something is said of");
    }

    #[test]
    fn a_newer_foghorns_parcel_is_refused_and_not_passed_over() {
        let mut bytes = pack(&parcel(3), PARCEL_BYTES_MAX).expect("it is small").bytes;
        bytes[8..12].copy_from_slice(&(PARCEL_VERSION + 1).to_le_bytes());
        let error = unpack(&bytes).expect_err("it is newer");
        assert!(!error.is_broken() && error.to_string().contains("newer Foghorn"), "{error}");
    }

    proptest! {
        #[test]
        fn a_flipped_bit_or_an_early_end_is_noticed(at in any::<prop::sample::Index>(), bit in 0..8u32) {
            let whole = pack(&parcel(3), PARCEL_BYTES_MAX).expect("it is small").bytes;
            let at = at.index(whole.len());
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            prop_assert!(unpack(&bytes).is_err(), "byte {at}");
            prop_assert!(unpack(&whole[..at]).is_err(), "ends at {at}");
        }
    }
}
