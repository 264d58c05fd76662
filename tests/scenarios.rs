//! Every scenario there is, through the program itself: those beside the shipped rules, and those that show one promise
//! each. What comes must not depend on the number of shards.

use std::path::Path;

use assert_cmd::Command;
use rstest::rstest;

#[rstest]
fn every_scenario_comes_out_as_it_is_written(
    #[values("rules", "fixtures/scenarios")] folder: &str,
    #[values("1", "3")] shards: &str,
) {
    let output = Command::cargo_bin("foghorn")
        .expect("the program is built")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("UPDATE")
        .args(["test", folder, "--shards", shards])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let trouble = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "with {shards} shards\n{said}\n{trouble}");
    assert_eq!(
        said.trim(),
        format!("{} passed, 0 failed", scenarios(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)))
    );
    assert_eq!(trouble, "", "a scenario's rules have no warnings");
}

/// A pack without a scenario is not shipped.
#[test]
fn every_pack_has_a_scenario() {
    let packs = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    for pack in packs.read_dir().expect("there are packs").flatten() {
        assert!(scenarios(pack.path()) > 0, "{} has none", pack.path().display());
    }
}

fn scenarios(folder: impl AsRef<Path>) -> usize {
    let inside = folder.as_ref().read_dir().expect("a folder").flatten().map(|entry| entry.path());
    inside
        .map(|path| match path.is_dir() {
            true => scenarios(path),
            false => usize::from(path.extension().is_some_and(|extension| extension == "scn")),
        })
        .sum()
}

/// The test of the test: a scenario that says something else fails, shows the difference, and `--update` mends it.
#[test]
fn a_scenario_that_does_not_hold_shows_the_difference() {
    let folder = tempfile::tempdir().expect("a folder");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scenarios");
    std::fs::copy(from.join("for.yaml"), folder.path().join("for.yaml")).expect("copied");
    let text = std::fs::read_to_string(from.join("for.scn")).expect("read");
    let wrong = text.replacen("1m20s", "1m30s", 1);
    let file = folder.path().join("for.scn");
    std::fs::write(&file, &wrong).expect("written");
    let run = |args: &[&str]| {
        let mut command = Command::cargo_bin("foghorn").expect("the program is built");
        let output = command.current_dir(&folder).env_remove("UPDATE").args(args).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = run(&["test", "for.scn"]);
    assert_eq!(code, Some(1));
    assert!(said.starts_with("for.scn:9: what came is not what was expected\n"), "{said}");
    assert!(said.contains("  - 1m30s pending") && said.contains("  + 1m20s pending"), "{said}");
    assert!(said.ends_with("0 passed, 1 failed\n"), "{said}");
    assert_eq!(run(&["test", "--update", "for.scn"]).0, Some(0));
    assert_eq!(std::fs::read_to_string(&file).expect("read"), text);
    assert_eq!(run(&["test", "."]), (Some(0), "1 passed, 0 failed\n".to_owned()));
}
