//! Stories of the file. What a whole alert's life leaves behind is told in `tests/history.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::store::Pending;
use super::*;
use crate::engine::record::{
    AlertEvent, AlertRecord, Before, DeliveryRecord, Entry, Filter, Kind, OperatorRecord, Record, Restored,
    RulesRecord, RunId, RunRecord,
};
use crate::model::{Labels, Millis, SendReason, WallTime};

const FOREVER: Retention = Retention { keep: Millis(i64::MAX / 4), rows_max: 1_000_000 };

fn untold(host: &str) -> Record {
    let labels = Labels::from_pairs([("alertname", "Slow"), ("host", host)]);
    Record::Alert(AlertRecord { alert: "Slow".into(), labels, what: AlertEvent::Untold { reason: "why".into() } })
}

fn started(restored: Restored) -> Record {
    Record::Run(RunRecord::Started { version: "1".into(), pid: 1, restored, before: Before::None })
}

fn pending(number: u64, at: i64, record: Record) -> Pending {
    let number = (number > 0).then_some(number);
    Pending { entry: Entry { run: RunId(1), number, at: WallTime(at), record }, again: false }
}

fn all(path: &Path) -> Vec<Stored> {
    let filter = Filter { limit: 100_000, ..Filter::default() };
    let mut found = Reader::open(path).expect("readable").find(&filter).expect("an answer").records;
    found.reverse();
    found
}

fn hosts(path: &Path) -> Vec<String> {
    let host = |stored: &Stored| Some(stored.entry.record.alert()?.1.get("host")?.to_owned());
    all(path).iter().filter_map(host).collect()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn dropped(recorder: &Recorder, reason: DropReason) -> u64 {
    recorder.health(WallTime(0)).dropped[reason as usize].1
}

#[test]
fn retention_takes_the_old_and_the_many_in_slices() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file_in(folder.path());
    let mut store = Store::open(&path).expect("a new history");
    let batch: Vec<Pending> = (1..=5_000).map(|n| pending(n, n as i64, untold(&n.to_string()))).collect();
    store.write(&batch).expect("written");
    let full = store.pages();
    let old = Retention { keep: Millis(1_000), rows_max: 1_000_000 };
    assert!(store.prune(old, WallTime(4_001)).expect("pruned"), "a slice is not all of it");
    assert_eq!(store.rows(), 4_000);
    while store.prune(old, WallTime(4_001)).expect("pruned") {}
    assert_eq!(hosts(&path).first().map(String::as_str), Some("3001"));
    let few = Retention { keep: Millis(i64::MAX / 4), rows_max: 10 };
    while store.prune(few, WallTime(4_001)).expect("pruned") {}
    assert_eq!(hosts(&path), (4_991..=5_000).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(store.pages() < full, "the file gets smaller: {} pages of {full}", store.pages());
    assert_eq!(store.last_journal_number(), 5_000);
    drop(store);
    let store = Store::open(&path).expect("there");
    assert_eq!((store.rows(), store.last_journal_number()), (10, 5_000));
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file_in(folder.path());
    let newer = rusqlite::Connection::open(&path).expect("made");
    newer.execute_batch("CREATE TABLE records (x); PRAGMA user_version = 99").expect("made");
    let before = std::fs::read(&path).expect("readable");
    let says = format!(
        "{} was written by a newer Foghorn: its schema is version 99, this one knows up to 1; use that version, or name \
         another `state.dir`",
        path.display()
    );
    assert_eq!(Store::open(&path).expect_err("refused").to_string(), says);
    assert_eq!(Reader::open(&path).expect_err("refused").to_string(), says);
    let recorder = Recorder::start(&path, FOREVER, WallTime(1)).expect("paging goes first");
    recorder.record(WallTime(2), untold("a"));
    assert!(!recorder.flush(Duration::from_secs(10)));
    let problem = recorder.health(WallTime(3)).problem.expect("it shows");
    assert!(problem.contains("newer Foghorn") && problem.contains("99"), "{problem}");
    assert!(!recorder.stop(Duration::from_secs(10)));
    assert_eq!(dropped(&recorder, DropReason::NewerSchema), 1);
    assert_eq!(std::fs::read(&path).expect("readable"), before);
}

#[test]
fn what_is_no_history_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file_in(folder.path());
    assert!(Reader::open(&path).expect_err("nothing").to_string().starts_with("there is no history at "));
    std::fs::write(&path, "this is not a database, but long enough to look at for one").expect("written");
    assert_eq!(Reader::open(&path).expect_err("no database").reason(), DropReason::Corrupt);
    assert_eq!(Store::open(&path).expect_err("no database").reason(), DropReason::Corrupt);
    std::fs::remove_file(&path).expect("removed");
    let foreign = rusqlite::Connection::open(&path).expect("made");
    foreign.execute_batch("CREATE TABLE customers (name)").expect("made");
    assert!(Store::open(&path).expect_err("foreign").to_string().contains("not of Foghorn's making"));
}

/// What stands in the way is a folder with the file's name: the one obstacle that stops even root.
#[test]
fn a_place_that_cannot_be_written_is_named_counted_and_recovered_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file_in(folder.path());
    std::fs::create_dir(&path).expect("in the way");
    let recorder = Recorder::start(&path, FOREVER, WallTime(1)).expect("paging goes first");
    let health = || recorder.health(clock_now());
    let problem = health().problem.expect("told from the start");
    assert!(problem.contains("cannot be opened or written") && problem.contains("history.db"), "{problem}");
    let more_than_fits = writer::QUEUE + 2_000;
    let begun = Instant::now();
    (0..more_than_fits).for_each(|n| recorder.record(WallTime(n as i64), untold(&n.to_string())));
    assert!(begun.elapsed() < Duration::from_secs(5), "recording waits for nobody");
    let lost = dropped(&recorder, DropReason::Unwritable);
    assert!((1_000..=2_000).contains(&lost), "{lost} found no room");
    std::fs::remove_dir(&path).expect("out of the way");
    eventually("the history to be written again", || health().problem.is_none_or(|p| p.contains("were dropped")));
    assert!(recorder.flush(Duration::from_secs(10)));
    recorder.record(WallTime(7), untold("after"));
    assert!(recorder.stop(Duration::from_secs(10)));
    let found = hosts(&path);
    assert_eq!(found.len() as u64, more_than_fits as u64 - lost + 1, "what found room was held, in order");
    assert_eq!((found[0].as_str(), found.last().map(String::as_str)), ("0", Some("after")));
    let health = health();
    assert_eq!(health.written[0], (Kind::Alert, found.len() as u64));
    assert!(health.bytes > 0 && health.last_write.is_some());
    assert_eq!(dropped(&recorder, DropReason::Unwritable), lost);
}

#[test]
fn a_file_that_somebody_holds_or_removes_is_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file_in(folder.path());
    let recorder = Recorder::start(&path, FOREVER, WallTime(1)).expect("started");
    recorder.record(WallTime(1), untold("a"));
    assert!(recorder.flush(Duration::from_secs(10)));
    let other = rusqlite::Connection::open(&path).expect("there");
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    recorder.record(WallTime(2), untold("b"));
    eventually("the lock to be noticed", || {
        recorder.health(WallTime(3)).problem.is_some_and(|problem| problem.contains("another program"))
    });
    other.execute_batch("COMMIT").expect("released");
    eventually("the record", || hosts(&path) == ["a", "b"]);
    drop(other);
    std::fs::remove_file(&path).expect("removed");
    let _ = std::fs::remove_file(schema::wal_of(&path));
    recorder.record(WallTime(4), untold("c"));
    assert!(recorder.flush(Duration::from_secs(10)), "{:?}", recorder.health(WallTime(5)));
    assert_eq!(hosts(&path), ["c"], "in a new file of the same name");
    assert!(recorder.stop(Duration::from_secs(10)));
}

#[test]
fn a_full_disk_refuses_the_batch_whole_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file_in(folder.path());
    let mut store = Store::open(&path).expect("a new history");
    store.write(&[pending(1, 1, untold("before"))]).expect("written");
    store.limit_pages(store.pages() + 4);
    let batch: Vec<Pending> = (2..2_000).map(|n| pending(n, 2, untold(&n.to_string()))).collect();
    let error = store.write(&batch).expect_err("it is full");
    assert_eq!((error.reason(), error.reason().name()), (DropReason::DiskFull, "disk_full"));
    assert_eq!((store.rows(), store.last_journal_number()), (1, 1), "nothing of it is there");
    store.limit_pages(1_000_000);
    store.write(&batch).expect("there is room again");
    assert_eq!((hosts(&path).len(), store.last_journal_number()), (1_999, 1_999));
}

#[test]
fn readers_see_whole_batches_while_it_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file_in(folder.path());
    let mut store = Store::open(&path).expect("a new history");
    let done = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (path, done) = (path.clone(), done.clone());
        move || {
            let mut seen = 0;
            while !done.load(Ordering::Relaxed) {
                let found = all(&path);
                assert_eq!(found.len() % 10, 0, "no half batch");
                assert!(found.len() >= seen, "nothing is taken back");
                assert!(found.windows(2).all(|pair| pair[0].entry.number < pair[1].entry.number));
                seen = found.len();
            }
            seen
        }
    });
    for batch in 0..100 {
        let records: Vec<Pending> = (0..10).map(|n| pending(batch * 10 + n + 1, 1, untold("a"))).collect();
        store.write(&records).expect("readers are in nobody's way");
    }
    done.store(true, Ordering::Relaxed);
    reader.join().expect("no reader was surprised");
    assert_eq!(all(&path).len(), 1_000);
}

/// The desk handles its logged inputs again, so it makes the entries again, and some that are new.
#[test]
fn entries_that_are_made_again_after_a_crash_are_there_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file_in(folder.path());
    let restored = || Restored::Checkpoint { taken_at: WallTime(1), inputs: 3 };
    let mut store = Store::open(&path).expect("a new history");
    let again = |number| Pending { again: true, ..pending(number, 1, untold(&number.to_string())) };
    store.write(&[pending(0, 0, started(Restored::Nothing))]).expect("written");
    store.write(&[1, 2, 3].map(|n| pending(n, 1, untold(&n.to_string())))).expect("written");
    drop(store);
    let mut store = Store::open(&path).expect("there");
    assert_eq!(store.last_journal_number(), 3);
    let written = store.write(&[2, 3, 4, 5].map(again)).expect("written");
    assert_eq!((written.kinds[0], written.passed), (2, 2));
    store.write(&[pending(0, 2, started(restored()))]).expect("written");
    store.write(&[pending(6, 3, untold("6"))]).expect("written");
    assert_eq!(hosts(&path), ["1", "2", "3", "4", "5", "6"]);
    // A desk that begins anew counts anew, and what it makes again is not what was there.
    store.write(&[pending(0, 4, started(Restored::Nothing))]).expect("written");
    drop(store);
    let mut store = Store::open(&path).expect("there");
    assert_eq!(store.last_journal_number(), 0);
    assert_eq!(store.write(&[1, 2].map(again)).expect("written").passed, 0);
}

#[test]
fn a_run_knows_how_the_one_before_ended_and_rules_what_they_were() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file_in(folder.path());
    let run = |run: i64, rules: &str, orderly: bool| {
        let recorder = Recorder::start(&path, FOREVER, WallTime(run)).expect("started");
        recorder.record(WallTime(run), started(Restored::Nothing));
        let rules = RulesRecord::of([("a.yaml", rules)], 1, None);
        recorder.record(WallTime(run), Record::Rules(rules.clone()));
        recorder.record(WallTime(run), Record::Rules(rules));
        if orderly {
            recorder.record(WallTime(run), Record::Run(RunRecord::Stopped { why: "told to".into() }));
        }
        assert!(recorder.stop(Duration::from_secs(10)));
    };
    run(1, "one", true);
    run(2, "one", false);
    run(3, "two", true);
    let lines: Vec<String> = all(&path).iter().map(|stored| stored.entry.record.line()).collect();
    let ends: Vec<&str> = lines.iter().filter_map(|line| line.split("; ").nth(1)).collect();
    assert_eq!(ends, ["the run before ended in order", "the run before ended without a word", "edited a.yaml"]);
    let rules = lines.iter().filter(|line| line.starts_with("1 rule in 1 file, ")).count();
    assert_eq!(rules, 2, "the same rules are recorded once: {lines:#?}");
}

fn clock_now() -> WallTime {
    crate::edge::clock::now()
}

/// A small world, so that questions meet answers.
fn any_entry() -> impl Strategy<Value = Entry> {
    let word = || prop::sample::select(vec!["a", "b", "it's", "\"q\"", "5"]);
    let labels = (word(), word()).prop_map(|(host, zone)| Labels::from_pairs([("host", host), ("zone\"'", zone)]));
    let alert = (word(), labels, word(), 0..3).prop_map(|(alert, labels, group, what)| {
        let what = match what {
            0 => AlertEvent::Untold { reason: "r".into() },
            1 => AlertEvent::Displaced { by: "x".into() },
            _ => AlertEvent::Joined { group: group.into(), receiver: "ops".into() },
        };
        Record::Alert(AlertRecord { alert: alert.into(), labels, what })
    });
    let delivery = (word(), 1..9u32, any::<bool>()).prop_map(|(group, sequence, written)| {
        Record::Delivery(match written {
            true => DeliveryRecord::Written {
                group: group.into(),
                sequence,
                why: SendReason::New,
                targets: vec!["t".into()],
                firing: 1,
                ended: 0,
                truncated: 0,
            },
            false => DeliveryRecord::ReceiverBack { target: group.into(), groups: 1 },
        })
    });
    let operator = word().prop_map(|who| {
        Record::Operator(OperatorRecord {
            who: who.into(),
            what: "silence".into(),
            detail: "\u{0}\u{1f}ü".into(),
            from: None,
        })
    });
    let record = prop_oneof![4 => alert, 3 => delivery, 1 => operator];
    (record, -50..50i64, prop::option::of(1..99u64)).prop_map(|(record, at, number)| Entry {
        run: RunId(3),
        number,
        at: WallTime(at),
        record,
    })
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let word = || prop::sample::select(vec!["a", "b", "it's", "\"q\"", "5"]).prop_map(str::to_owned);
    let label = (prop::sample::select(vec!["host", "zone\"'", "none"]).prop_map(str::to_owned), word());
    (
        prop::option::of(-50..50i64),
        prop::option::of(-50..50i64),
        prop::option::of(word()),
        prop::collection::vec(label, 0..2),
        prop::collection::vec(prop::sample::select(Kind::ALL.to_vec()), 0..3),
        1..20usize,
    )
        .prop_map(|(since, until, alert, labels, kinds, limit)| Filter {
            since: since.map(WallTime),
            until: until.map(WallTime),
            alert,
            labels,
            kinds,
            before: None,
            limit,
        })
}

/// The slow answer: look at everything.
fn oracle(entries: &[Entry], filter: &Filter) -> Vec<Entry> {
    let own = |entry: &Entry| {
        entry.record.alert().is_some_and(|(alert, labels)| {
            filter.alert.as_deref().is_none_or(|wanted| wanted == &**alert)
                && filter.labels.iter().all(|(name, value)| labels.get(name) == Some(value))
        })
    };
    let groups: Vec<_> = entries.iter().filter(|entry| own(entry)).filter_map(|entry| entry.record.group()).collect();
    let told = |entry: &Entry| match entry.record.alert() {
        Some(_) => own(entry),
        None => entry.record.group().is_some_and(|group| groups.contains(&group)),
    };
    let asked = |entry: &&Entry| {
        filter.since.is_none_or(|since| entry.at >= since)
            && filter.until.is_none_or(|until| entry.at < until)
            && (filter.kinds.is_empty() || filter.kinds.contains(&entry.record.kind()))
            && (!filter.is_story() || told(entry))
    };
    entries.iter().rev().filter(asked).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// What goes in comes out, in order, whatever is asked for and however it is cut into pages.
    #[test]
    fn every_question_is_answered_as_by_looking_at_everything(
        entries in prop::collection::vec(any_entry(), 0..60),
        filters in prop::collection::vec(any_filter(), 1..8),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = file_in(folder.path());
        let mut store = Store::open(&path).expect("a new history");
        for batch in entries.chunks(7) {
            let batch: Vec<Pending> = batch.iter().map(|e| Pending { entry: e.clone(), again: false }).collect();
            store.write(&batch).expect("written");
        }
        let reader = Reader::open(&path).expect("readable");
        for mut filter in filters {
            let expected = oracle(&entries, &filter);
            let mut found = Vec::new();
            loop {
                let page = reader.find(&filter).expect("an answer");
                prop_assert!(page.records.len() <= filter.limit);
                prop_assert!(page.next.is_none() || page.records.len() == filter.limit);
                found.extend(page.records.into_iter().map(|stored| stored.entry));
                filter.before = page.next;
                if page.next.is_none() {
                    break;
                }
            }
            prop_assert_eq!(found, expected, "{:?}", filter);
        }
    }
}
