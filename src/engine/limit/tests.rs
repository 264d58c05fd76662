use super::*;
use expect_test::{Expect, expect};

/// A limit of `limit` groups: `+a:3` a group comes with three events (again: with three more), `-a` one is forgotten,
/// `|` a tick. Says who is in, how many events a tick refused, and what changed.
fn check(limit: usize, script: &str, expect: Expect) {
    let mut judge = Limit::new(limit);
    let mut inside: BTreeMap<String, u32> = BTreeMap::new();
    let mut next = 0;
    let mut out = String::new();
    for step in script.split_whitespace() {
        if let Some(key) = step.strip_prefix('-') {
            inside.remove(key).expect("only who is in can leave");
            judge.leave(key.as_bytes());
        } else if let Some((key, events)) = step.strip_prefix('+').and_then(|step| step.split_once(':')) {
            come(&mut judge, &mut inside, &mut next, key, events.parse().expect("a number"));
        } else {
            judge.settle().for_each(drop);
            let refused = judge.refused();
            let groups: String = inside.keys().map(|key| format!("{key} ")).collect();
            let change = judge.tick().map_or(String::new(), |change| format!(", {change:?}"));
            out.push_str(&format!("{groups}in, {refused} refused{change}\n"));
        }
    }
    expect.assert_eq(&out);
}

/// What a book does with a partial.
fn come(judge: &mut Limit, inside: &mut BTreeMap<String, u32>, next: &mut u32, key: &str, events: u64) {
    if !inside.contains_key(key) {
        match judge.ask(key.as_bytes()) {
            Entry::Refused => return judge.refuse(key.as_bytes(), events),
            Entry::InPlaceOf(other) => inside.retain(|_, gid| *gid != other),
            Entry::Free => {}
        }
        judge.take(key.as_bytes(), *next);
        inside.insert(key.to_owned(), *next);
        *next += 1;
    }
    if judge.brought.contains_key(&inside[key]) {
        judge.bring(inside[key], events);
    }
}

#[test]
fn of_those_who_come_at_once_the_smallest_keys_get_in_whatever_their_order() {
    // `a` may not have the place of `m`, who was there before (`L2`).
    for script in ["+m:1 | +c:2 +a:4 +b:8 +c:16 |", "+m:1 | +a:4 +b:8 +c:18 |", "+m:1 | +c:18 +b:8 +a:4 |"] {
        check(
            3,
            script,
            expect![[r#"
                m in, 0 refused
                a b m in, 18 refused, Reached { refused: 18 }
            "#]],
        );
    }
}

#[test]
fn it_is_told_once_and_ended_once() {
    check(
        2,
        "+a:1 +b:1 | +c:1 | | +c:5 | -a | +c:1 | -b -c |",
        expect![[r#"
            a b in, 0 refused
            a b in, 1 refused, Reached { refused: 1 }
            a b in, 0 refused
            a b in, 5 refused
            b in, 0 refused, Room
            b c in, 0 refused
            in, 0 refused
        "#]],
    );
}

#[test]
fn a_large_limit_has_slices_and_a_small_one_is_exact() {
    let shares = [1, 4, 1_000, 2_047, 2_048, 100_000, 1 << 28].map(|limit| {
        let slices = slices(limit);
        (limit, slices, share_of(limit, slices))
    });
    expect![[r#"
        [(1, 1, 1), (4, 1, 4), (1000, 1, 1000), (2047, 1, 2047), (2048, 2, 1156), (100000, 64, 1723), (268435456, 64, 4202500)]"#]]
    .assert_eq(&format!("{shares:?}"));
    for limit in (2_048..1 << 20).step_by(997) {
        let (slices, most) = (slices(limit), slices(limit) * share_of(limit, slices(limit)));
        assert!(most <= limit + limit / 7, "{limit} groups in {slices} slices may become {most}");
    }
}

#[test]
fn a_slice_is_never_cut_and_every_shard_has_some() {
    let keys: Vec<Vec<u8>> = (0..20_000u32).map(|at| at.to_be_bytes().to_vec()).collect();
    for limit in [10, 5_000, 100_000] {
        for shards in 1..=8 {
            let mut of_slice: BTreeMap<usize, usize> = BTreeMap::new();
            let mut owners: BTreeSet<usize> = BTreeSet::new();
            for key in &keys {
                let shard = owner(3, limit, key, shards);
                owners.insert(shard);
                let first = *of_slice.entry(group::owner(key, slices(limit))).or_insert(shard);
                assert_eq!(first, shard, "a slice lives in one shard");
            }
            assert_eq!(owners.len(), shards.min(slices(limit)), "limit {limit}, {shards} shards");
        }
    }
    let homes: BTreeSet<usize> = (0..4).map(|feed| owner(feed, 10, b"key", 4)).collect();
    assert_eq!(homes.len(), 4, "small feeds do not crowd in one shard");
}
