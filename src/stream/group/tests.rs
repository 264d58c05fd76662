use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::model::schema::FieldType;
use crate::stream::testing::{self, Cell, requests, schema};

fn check(rows: &[Vec<Cell>], expect: Expect) {
    let by = [FieldType::String, FieldType::Int, FieldType::Float, FieldType::Bool];
    let names = ["a", "b", "c", "d"];
    let fields: Vec<_> = names.into_iter().zip(by).collect();
    let batch = testing::batch(&schema("s", &fields), rows);
    let keys: Vec<&Column> = batch.columns.iter().collect();
    let sel: Vec<u32> = (0..rows.len() as u32).collect();
    let mut index = GroupIndex::new(4, 7);
    let mut gids = Vec::new();
    index.lookup(&batch, &keys, &sel, &mut gids);
    let line = |gid: &u32| match *gid {
        GROUP_OVERFLOW => "over the limit\n".to_owned(),
        gid => format!("{gid} {:?}\n", index.values(gid)),
    };
    expect.assert_eq(&gids.iter().map(line).collect::<String>());
}

#[test]
fn values_become_labels_and_only_equal_keys_share_a_group() {
    let n = || Cell::Null;
    check(
        &[
            vec!["web".into(), 5.into(), 1.5.into(), true.into()],
            vec![n(), n(), n(), n()],
            vec!["".into(), n(), n(), n()],
            vec!["web".into(), 5.into(), 1.5.into(), true.into()],
            vec!["Zürich".into(), i64::MIN.into(), (-0.0).into(), false.into()],
            vec!["fifth".into(), n(), n(), n()],
            vec!["Zürich".into(), i64::MIN.into(), 0.0.into(), false.into()],
        ],
        expect![[r#"
            0 [Some("web"), Some("5"), Some("1.5"), Some("true")]
            1 [None, None, None, None]
            1 [None, None, None, None]
            0 [Some("web"), Some("5"), Some("1.5"), Some("true")]
            2 [Some("Zürich"), Some("-9223372036854775808"), Some("0"), Some("false")]
            3 [Some("fifth"), None, None, None]
            2 [Some("Zürich"), Some("-9223372036854775808"), Some("0"), Some("false")]
        "#]],
    );
}

#[test]
fn floats_as_labels() {
    let texts = [0.0, -1.0, 3.0, 0.1, 1e14, 1e15, 1e300, -2.5e-7, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    let texts = texts.map(|value| {
        let mut key = Vec::new();
        encode_key(&[KeyPart::Float(value)], &mut key);
        decode_key(&key).expect("a key")[0].clone().expect("not null")
    });
    expect!["0 -1 3 0.1 100000000000000 1000000000000000 1e300 -2.5e-7 +Inf -Inf NaN"].assert_eq(&texts.join(" "));
}

#[test]
fn a_text_too_long_for_a_label_is_cut_between_characters() {
    let mut key = Vec::new();
    encode_key(&[KeyPart::Text(&"ü".repeat(600)), KeyPart::Int(-1)], &mut key);
    let values = decode_key(&key).expect("a key");
    let text = values[0].as_deref().expect("a text");
    assert!(text.len() <= crate::model::labels::LABEL_VALUE_BYTES_MAX && text.ends_with("ü…"), "{}", text.len());
    assert_eq!(values[1].as_deref(), Some("-1"));
}

/// Keys cross machines later on: a corrupt one is refused, not believed.
#[test]
fn bytes_that_are_no_key_are_refused() {
    let mut key = Vec::new();
    encode_key(&[KeyPart::Text("abc"), KeyPart::Int(5)], &mut key);
    assert_eq!(decode_key(&key[..key.len() - 1]), None);
    assert_eq!(decode_key(&key[..5]), None);
    assert_eq!(decode_key(&[9]), None);
    assert_eq!(decode_key(&[5, 1, 0, 0xFF]), None);
    assert_eq!(decode_key(&[]), Some(vec![]));
}

#[test]
fn owners_never_change() {
    let owners: Vec<usize> = ["a", "b", "c", "web", "auth", ""]
        .iter()
        .map(|text| {
            let mut key = Vec::new();
            encode_key(&[KeyPart::Text(text)], &mut key);
            owner(&key, 8)
        })
        .collect();
    // Written down once; a change would send groups to shards that do not have their state.
    expect!["[7, 2, 3, 1, 6, 6]"].assert_eq(&format!("{owners:?}"));
    assert_eq!(owner(b"anything", 1), 0);
}

#[test]
fn no_group_by_is_one_group() {
    let batch = testing::batch(&requests(), &vec![vec![Cell::Null; 7]; 3]);
    let mut index = GroupIndex::new(1, 7);
    let mut gids = Vec::new();
    index.lookup(&batch, &[], &[0, 2], &mut gids);
    assert_eq!((gids, index.values(0)), (vec![0, 0], vec![]));
}

/// Every hash collides when all keys share their place: with 16 slots and 12 keys, runs wrap around the end.
#[test]
fn gaps_close_across_the_end_of_the_table() {
    for seed in 0..200 {
        let mut index = GroupIndex::new(12, seed);
        let keys: Vec<[u8; 1]> = (0..12).map(|key| [key]).collect();
        let gids: Vec<u32> = keys.iter().map(|key| index.lookup_key(key)).collect();
        for (at, gid) in gids.iter().enumerate() {
            index.remove(*gid);
            for (later, key) in keys.iter().enumerate() {
                assert_eq!(index.find(key), (later > at).then_some(gids[later]), "seed {seed}");
            }
        }
        assert!(index.is_empty());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Look(Vec<u16>),
    Remove(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let look = prop::collection::vec(0u16..300, 0..60).prop_map(Step::Look);
    prop::collection::vec(prop_oneof![2 => look, 1 => (0u16..300).prop_map(Step::Remove)], 0..60)
}

/// Keys of very different lengths, so that rooms of the arena are used again.
fn name(key: u16) -> String {
    format!("{key}{}", "x".repeat(key as usize % 40))
}

proptest! {
    /// `G1`, `G2`: against a map from names to ids.
    #[test]
    fn the_index_is_a_map_with_a_limit(steps in steps(), limit in 1usize..200, seed in any::<u64>()) {
        let schema = schema("s", &[("key", FieldType::String)]);
        let mut index = GroupIndex::new(limit, seed);
        let mut oracle: BTreeMap<String, u32> = BTreeMap::new();
        let mut gids = Vec::new();
        for step in steps {
            match step {
                Step::Look(keys) => {
                    let rows: Vec<Vec<Cell>> = keys.iter().map(|key| vec![Cell::Str(name(*key))]).collect();
                    let batch = testing::batch(&schema, &rows);
                    let sel: Vec<u32> = (0..rows.len() as u32).collect();
                    index.lookup(&batch, &[&batch.columns[0]], &sel, &mut gids);
                    for (key, gid) in keys.iter().zip(&gids) {
                        let name = name(*key);
                        match oracle.get(&name) {
                            Some(known) => prop_assert_eq!(gid, known),
                            None if oracle.len() == limit => prop_assert_eq!(*gid, GROUP_OVERFLOW),
                            None => {
                                prop_assert!(oracle.values().all(|taken| taken != gid), "{} is taken", gid);
                                prop_assert_eq!(index.values(*gid), vec![Some(name.clone())]);
                                oracle.insert(name, *gid);
                            }
                        }
                    }
                }
                Step::Remove(key) => {
                    if let Some(gid) = oracle.remove(&name(key)) {
                        index.remove(gid);
                        prop_assert!(!index.is_live(gid));
                    }
                }
            }
            prop_assert_eq!(index.len(), oracle.len());
            prop_assert!(index.ids() <= limit, "ids are used again");
        }
        let names: Vec<u32> = index.sorted();
        let mut by_key: Vec<(&[u8], u32)> = oracle.values().map(|gid| (index.key(*gid), *gid)).collect();
        by_key.sort_unstable();
        prop_assert_eq!(names, by_key.into_iter().map(|(_, gid)| gid).collect::<Vec<_>>());
    }

    /// `G3`: batches and seeds leave no trace.
    #[test]
    fn neither_batches_nor_seeds_show(keys in prop::collection::vec(0u16..500, 0..2000), cut in 1usize..1500, seed in any::<u64>()) {
        let schema = schema("s", &[("key", FieldType::String)]);
        let rows: Vec<Vec<Cell>> = keys.iter().map(|key| vec![Cell::Str(name(*key))]).collect();
        let batch = testing::batch(&schema, &rows);
        let sel: Vec<u32> = (0..rows.len() as u32).collect();
        let run = |cut: usize, seed: u64| {
            let mut index = GroupIndex::new(1000, seed);
            let (mut all, mut gids) = (Vec::new(), Vec::new());
            for part in sel.chunks(cut) {
                index.lookup(&batch, &[&batch.columns[0]], part, &mut gids);
                all.extend_from_slice(&gids);
            }
            (all, index.sorted())
        };
        prop_assert_eq!(run(cut, seed), run(usize::MAX, 1));
    }

    #[test]
    fn a_row_has_the_key_of_its_values(
        texts in prop::collection::vec(prop_oneof!["[a-zü本]{0,40}", "[ü本]{330,420}"], 1..20), int in any::<i64>(), float in any::<f64>()
    ) {
        let schema = schema("s", &[("a", FieldType::String), ("b", FieldType::Int), ("c", FieldType::Float), ("d", FieldType::String)]);
        let rows: Vec<Vec<Cell>> = texts
            .iter()
            .map(|text| vec![Cell::Str(text.clone()), Cell::Int(int), Cell::Float(float), Cell::Str(text.clone())])
            .collect();
        let batch = testing::batch(&schema, &rows);
        let keys: Vec<&Column> = batch.columns.iter().collect();
        let sel: Vec<u32> = (0..rows.len() as u32).collect();
        let (mut index, mut gids) = (GroupIndex::new(100, 1), Vec::new());
        index.lookup(&batch, &keys, &sel, &mut gids);
        for (text, gid) in texts.iter().zip(gids) {
            let mut key = Vec::new();
            let text = KeyPart::Text(text);
            encode_key(&[text, KeyPart::Int(int), KeyPart::Float(float), text], &mut key);
            prop_assert_eq!(index.key(gid), &key);
        }
    }

    #[test]
    fn keys_sort_as_their_numbers_do(a in any::<i64>(), b in any::<i64>(), x in any::<f64>(), y in any::<f64>()) {
        let key = |part| {
            let mut key = Vec::new();
            encode_key(&[part], &mut key);
            key
        };
        prop_assert_eq!(key(KeyPart::Int(a)).cmp(&key(KeyPart::Int(b))), a.cmp(&b));
        if !x.is_nan() && !y.is_nan() {
            let order = (x + 0.0).total_cmp(&(y + 0.0));
            prop_assert_eq!(key(KeyPart::Float(x)).cmp(&key(KeyPart::Float(y))), order);
        }
    }
}
