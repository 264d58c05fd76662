//! The storm in small: a fixed set of seeds, the seeds that once found something, and one fault of Foghorn's own made on
//! purpose for every invariant, to see that it would be found. `foghorn storm --seeds 2000` runs more.

use std::path::Path;
use std::sync::Arc;

use foghorn::config::load::load_rules_from_text;
use foghorn::engine::plan::Plan;
use foghorn::sim::storm::{self, Fault, Options, Report, Sabotage, Stage, stage};

fn plan(rules: &str) -> Arc<Plan> {
    let loaded = load_rules_from_text("storm.yaml", rules);
    assert!(loaded.is_valid(), "{}", loaded.diagnostics.render(false));
    let schemas: Vec<_> = loaded.streams.iter().map(|stream| stream.schema.clone()).collect();
    Arc::new(Plan::build(&schemas, &loaded.rules.rules))
}

fn stage() -> Stage {
    let (rules, edited) = (stage::RULES, stage::edited());
    let local = [plan(&stage::local(rules)), plan(&stage::local(&edited))];
    Stage { plans: [plan(rules), plan(&edited)], local }
}

fn show(report: &Report) -> String {
    let Report { options, broken, lines, .. } = report;
    format!("{}\n  again: foghorn storm --verbose --only '{options}'\n  {broken:?}\n", lines.join("\n"))
}

fn check(seeds: std::ops::Range<u64>) {
    let stage = stage();
    for seed in seeds {
        let report = storm::run(&Options::of(seed), &stage, false);
        assert!(report.broken.is_none(), "{}", show(&storm::shrink(&report, &stage)));
        assert!(report.records > 200 && report.deliveries > 0 && report.checkpoints > 0, "{}", show(&report));
    }
}

#[test]
fn the_first_seeds() {
    check(0..8);
}

#[test]
fn the_seeds_after_them() {
    check(8..16);
}

#[test]
fn in_fair_weather_every_event_is_accounted_for() {
    let stage = stage();
    for seed in 0..4 {
        let report = storm::run(&Options::of(seed).with_faults([]), &stage, false);
        assert_eq!((&report.broken, &report.inexact, &report.torn), (&None, &None, &None), "{}", show(&report));
        assert!(report.episodes > 3, "{} episodes", report.episodes);
    }
}

/// Crashes, a disk and receivers that fail: nothing of that makes the oracle's answer inexact.
#[test]
fn crashes_and_bad_receivers_change_nothing_of_what_is_said() {
    let stage = stage();
    let faults = [Fault::Kill, Fault::Power, Fault::Point, Fault::Reshard, Fault::Errors, Fault::Hang, Fault::Slow];
    for seed in 20..26 {
        let report = storm::run(&Options::of(seed).with_faults(faults), &stage, false);
        assert!(report.broken.is_none(), "{}", show(&report));
        assert!(report.lives > 1, "{}", show(&report));
    }
}

/// Other rules in a running process, with and without restarts: what is not edited says what it would have said.
#[test]
fn reloads_change_nothing_of_what_other_rules_say() {
    let stage = stage();
    for seed in 30..36 {
        let faults = [Fault::Reload, Fault::Kill, Fault::Slow].into_iter().take(1 + seed as usize % 3);
        let report = storm::run(&Options::of(seed).with_faults(faults), &stage, true);
        assert_eq!((&report.broken, &report.inexact), (&None, &None), "{}", show(&report));
        assert!(report.lines.iter().any(|line| line.ends_with("---- Reload")), "{}", show(&report));
    }
}

/// People silence what fires while the process is killed: what is promised is kept, and what is owed is told after.
#[test]
fn silences_hold_through_crashes() {
    let stage = stage();
    let mut silenced = 0;
    for seed in 40..48 {
        let options = Options::of(seed).with_faults([Fault::Silence, Fault::Kill, Fault::Power, Fault::Errors]);
        let report = storm::run(&options, &stage, true);
        assert!(report.broken.is_none(), "{}", show(&report));
        silenced += usize::from(report.lines.iter().any(|line| line.contains("silence_created")));
    }
    assert!(silenced >= 6, "in {silenced} of 8 somebody was there to be asked");
}

/// Two members share the topic, are killed and restarted, and partitions move between them: everything is told, and nothing
/// twice.
#[test]
fn two_members_tell_everything_once() {
    let stage = stage();
    let mut moves = 0;
    for seed in 50..58 {
        let report = storm::run(&Options::of(seed).with_two_members(), &stage, false);
        assert!(report.broken.is_none(), "{}", show(&report));
        moves += report.moves;
    }
    assert!(moves > 40, "{moves} partitions moved");
}

/// Kills and moves change nothing of what is said, to the last episode; unless a partition's first parcel was lost with its
/// first owner, and it begins anew.
#[test]
fn moves_between_two_members_change_nothing_of_what_is_said() {
    let stage = stage();
    let faults = [Fault::Kill, Fault::Rebalance, Fault::Errors, Fault::LostAnswer];
    let mut exact = 0;
    for seed in 60..66 {
        let report = storm::run(&of_two(seed, &faults[..1 + seed as usize % 4]), &stage, false);
        assert!(report.broken.is_none() && report.lives > 2, "{}", show(&report));
        exact += usize::from((&report.inexact, &report.torn) == (&None, &None));
    }
    assert!(exact >= 5, "{exact} of 6 are compared wholly");
}

/// Standstills and a handover topic that is away cost what is documented and no more: nothing of what is said, and of what is
/// told a repeat.
#[test]
fn standstills_and_missing_parcels_change_nothing_of_what_is_said() {
    let stage = stage();
    let faults = [Fault::Freeze, Fault::Parcels, Fault::Kill, Fault::Rebalance];
    for seed in 70..76 {
        let report = storm::run(&of_two(seed, &faults[..1 + seed as usize % 4]), &stage, true);
        assert_eq!((&report.broken, &report.torn), (&None, &None), "{}", show(&report));
        assert!(report.lines.iter().any(|line| line.contains("StandStill(")), "{}", show(&report));
    }
}

/// What happens to a log, a disk, a clock or the rules happens to two members as to one.
#[test]
fn two_members_bear_what_one_bears() {
    let stage = stage();
    let (disks, clocks) = ([Fault::DiskFull, Fault::Rot, Fault::Kill], [Fault::Clock, Fault::Future, Fault::Rebalance]);
    let (logs, people) =
        ([Fault::Retention, Fault::Recreate, Fault::Freeze], [Fault::Silence, Fault::Reload, Fault::Crowd]);
    for (seed, faults) in (80..).zip([disks, clocks, logs, people]) {
        let report = storm::run(&of_two(seed, &faults), &stage, false);
        assert!(report.broken.is_none(), "{}", show(&report));
    }
}

/// What one has read is gone when the other, which takes the partition over, reads it again: one may say an end of which the
/// other knows nothing. And a gap of which one said that it is over is said to be over once more where the partition goes.
#[test]
fn what_one_member_has_missed_is_not_held_against_the_other() {
    let stage = stage();
    for storm in
        ["seed=77 members=2 faults=outage,retention,freeze", "seed=486 members=2 faults=retention,reset,slow,freeze"]
    {
        let report = storm::run(&storm.parse().expect("a storm"), &stage, false);
        assert!(report.broken.is_none(), "{}", show(&report));
        assert!(report.torn.is_some(), "{}", show(&report));
    }
}

#[test]
fn the_same_seed_gives_the_same_storm() {
    let stage = stage();
    for seed in [3, 15] {
        let [one, two] = [(); 2].map(|()| storm::run(&Options::of(seed).with_two_members(), &stage, false));
        assert_eq!((one.hash, &one.lines), (two.hash, &two.lines), "two members, seed {seed}");
        let [one, two] = [(); 2].map(|()| storm::run(&Options::of(seed), &stage, false));
        assert_eq!((one.hash, &one.lines), (two.hash, &two.lines), "seed {seed}");
        let other = storm::run(&Options::of(seed + 100), &stage, false);
        assert_ne!(one.hash, other.hash);
    }
}

/// What once found something: a line as the command takes it, below comments that say what it found.
#[test]
fn kept_seeds_stay_fine() {
    let stage = stage();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/seeds");
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= 5, "seeds are kept");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("readable");
        let line = text.lines().find(|line| !line.starts_with('#') && !line.is_empty()).expect("a line with a seed");
        let report = storm::run(&line.parse().expect("a storm"), &stage, false);
        assert!(report.broken.is_none(), "{}: {}", file.display(), show(&report));
    }
}

/// Breaks something on purpose; some seed notices, by the invariant's name.
fn caught(sabotage: Sabotage, faults: &[Fault], id: &str) {
    caught_in(|seed| Options::of(seed).with_faults(faults.iter().copied()), sabotage, id);
}

fn caught_in(storm: impl Fn(u64) -> Options, sabotage: Sabotage, id: &str) {
    let stage = stage();
    let mut seen = Vec::new();
    for seed in 0..24 {
        let options = storm(seed);
        let fine = Options { sabotage: Some(sabotage), ..options.clone() };
        let report = storm::run(&fine, &stage, false);
        let Some(broken) = report.broken else { continue };
        if broken.id == id {
            let without = storm::run(&options, &stage, false);
            assert!(without.broken.is_none(), "{}", show(&without));
            return;
        }
        seen.push(broken);
    }
    panic!("{} is not caught by {id}, but by {seen:?}", sabotage.name());
}

#[test]
fn v1_a_record_that_is_lost_is_missed() {
    caught(Sabotage::LoseRecord, &[], "V1");
}

#[test]
fn v2_a_receiver_that_was_never_told_is_noticed() {
    caught(Sabotage::Mute, &[], "V2");
}

#[test]
fn v2_an_end_that_was_never_told_is_noticed() {
    caught(Sabotage::OmitEnds, &[], "V2");
}

#[test]
fn v3_an_end_that_nobody_can_know_of_is_noticed() {
    caught(Sabotage::HideGap, &[Fault::Retention], "V3");
}

#[test]
fn v4_what_fires_and_is_said_to_be_pending_is_noticed() {
    caught(Sabotage::Unfire, &[], "V4");
}

#[test]
fn v5_a_wait_that_begins_anew_with_the_process_is_noticed() {
    caught(Sabotage::ForgetHolds, &[Fault::Kill, Fault::Restart], "V5");
}

#[test]
fn v5_a_wait_that_begins_anew_with_other_rules_is_noticed() {
    caught(Sabotage::ForgetHolds, &[Fault::Reload], "V5");
}

#[test]
fn v6_what_is_sent_again_without_a_word_is_noticed() {
    caught(Sabotage::ForgetLog, &[Fault::Kill, Fault::Point, Fault::Hang], "V6");
}

#[test]
fn v7_positions_that_run_ahead_are_noticed() {
    caught(Sabotage::CommitEarly, &[], "V7");
}

#[test]
fn v8_watermarks_that_go_back_are_noticed() {
    caught(Sabotage::ForgetMarks, &[Fault::Kill], "V8");
}

#[test]
fn v9_a_bound_that_does_not_hold_is_noticed() {
    caught(Sabotage::Overfill, &[], "V9");
}

#[test]
fn v10_an_episode_that_nobody_hears_of_is_missed() {
    caught(Sabotage::LoseSignal, &[], "V10");
}

#[test]
fn v11_a_process_that_takes_no_checkpoints_is_noticed() {
    caught(Sabotage::LoseCut, &[], "V11");
}

#[test]
fn v12_a_silence_that_was_confirmed_and_is_forgotten_is_noticed() {
    caught(Sabotage::ForgetAsked, &[Fault::Kill, Fault::Silence], "V12");
}

fn of_two(seed: u64, faults: &[Fault]) -> Options {
    Options::of(seed).with_faults(faults.iter().copied()).with_two_members()
}

#[test]
fn v3_an_end_that_neither_of_two_can_know_of_is_noticed() {
    caught_in(|seed| of_two(seed, &[Fault::Retention, Fault::Freeze]), Sabotage::HideGap, "V3");
}

#[test]
fn v4_what_fires_and_begins_anew_without_its_parcel_is_noticed() {
    caught_in(|seed| of_two(seed, &[Fault::Rebalance]), Sabotage::LoseParcel, "V4");
}

#[test]
fn v13_what_was_told_and_is_told_anew_without_its_parcel_is_noticed() {
    caught_in(|seed| of_two(seed, &[Fault::Rebalance]), Sabotage::LoseParcel, "V13");
}

#[test]
fn v13_a_partition_that_left_and_is_gone_on_with_is_noticed() {
    let faults = [Fault::Kill, Fault::Rebalance, Fault::Errors, Fault::LostAnswer];
    caught_in(|seed| of_two(100 + seed, &faults), Sabotage::KeepHome, "V13");
}
