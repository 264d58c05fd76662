use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;
use crate::alert::route::{Route, RouteTree};
use crate::engine::desk::{Desk, DeskConfig, ReceiverPolicy};
use crate::engine::state::{Bytes, FeedCut, FeedMeaning, GroupsCut};

fn checkpoint() -> Checkpoint {
    let routes = RouteTree::new(Route::to("ops")).expect("a tree");
    let receivers = vec![ReceiverPolicy { name: "ops".into(), integrations: Vec::new() }];
    let mut desk = Desk::new(DeskConfig::new(routes, receivers, "http://foghorn").expect("a desk"), 7);
    let feed = FeedCut {
        meaning: FeedMeaning { stream: "s".into(), schema: 3, filter: None, by: vec!["host".into()], pane: 10_000 },
        accs: Vec::new(),
        reach: 6,
        closed: Some(12),
        last_merged: 11,
        group_limit: 100,
        full: vec![0],
        groups: GroupsCut {
            gids: vec![0, 4],
            ends: vec![2, 5],
            keys: Bytes(b"aabbb".to_vec()),
            last_seen: vec![3, -4],
            assumed: vec![4],
        },
        log: (0..3)
            .map(|n| PaneBlock { last_pane: n, bytes: vec![n as u8; 40].into(), unpacked: NonZeroU32::new(n as u32) })
            .collect(),
        stored: vec![Bytes(vec![0xff; 20])],
        exemplars: Vec::new(),
        rules: Vec::new(),
    };
    let shard = |shard| ShardCut { shard, shards: 2, streams: Vec::new(), feeds: vec![feed.clone()], cell: None };
    Checkpoint {
        head: Head {
            number: 9,
            taken_at: WallTime(1_700_000_000_000),
            program: "0.1.0".into(),
            clean: true,
            desk_meaning: 5,
            seed: 6,
        },
        shards: vec![shard(0), shard(1)],
        desk: desk.cut(),
    }
}

fn bytes() -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&checkpoint(), &mut bytes).expect("memory takes everything");
    bytes
}

#[test]
fn what_is_written_is_read_again() {
    let (before, bytes) = (checkpoint(), bytes());
    let after = read(&bytes[..]).expect("it is whole");
    assert_eq!((after.head, after.shards), (before.head, before.shards));
}

#[test]
fn a_file_that_ends_anywhere_is_told_from_a_whole_one() {
    let bytes = bytes();
    for end in 0..bytes.len() {
        let error = read(&bytes[..end]).expect_err("it is torn");
        assert!(error.is_broken(), "{end}: {error}");
    }
}

#[test]
fn a_newer_foghorns_file_is_refused_and_not_passed_over() {
    let mut bytes = bytes();
    bytes[8..12].copy_from_slice(&(VERSION + 1).to_le_bytes());
    let error = read(&bytes[..]).expect_err("it is newer");
    assert!(!error.is_broken() && error.to_string().contains("newer Foghorn"), "{error}");
}

proptest! {
    #[test]
    fn a_flipped_bit_is_noticed(at in any::<prop::sample::Index>(), bit in 0..8u32) {
        let mut bytes = bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(read(&bytes[..]).is_err(), "byte {at}");
    }

    #[test]
    fn garbage_is_refused_without_a_panic(garbage in prop::collection::vec(any::<u8>(), 0..300)) {
        let whole = bytes();
        let mut bytes = whole[..12].to_vec();
        bytes.extend(garbage);
        prop_assert!(read(&bytes[..]).is_err());
    }
}
