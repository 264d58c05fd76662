//! The program as people and pipelines meet it: what is printed, and the exit code.

use std::path::Path;

use assert_cmd::Command;

/// Runs `foghorn` with these arguments in `folder`: exit code, standard output, standard error.
fn run(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::cargo_bin("foghorn")
        .expect("the program is built")
        .current_dir(folder)
        .env_remove("NO_COLOR")
        .env_remove("FOGHORN_LOG_FORMAT")
        .args(args)
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

const GOOD: &str = "streams:\n  s: { format: json, time: ts, fields: { a: string } }\n";
const RULES: &str = "groups:\n  - name: g\n    rules:\n      - { alert: A, from: s, window: 1m, let: { n: count(*) }, \
                     when: n > 1 }\n";

#[test]
fn check_says_0_for_sound_1_for_mistakes_2_for_no_answer() {
    let (code, out, err) = run(here(), &["check", "fixtures/check/names.yaml"]);
    assert_eq!((code, err.as_str()), (1, ""));
    assert!(out.contains("did you mean `service`?"), "{out}");
    assert!(!out.contains('\u{1b}'), "no colours where nobody looks");
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let (code, _, err) = run(folder, &["check"]);
    assert_eq!(code, 2);
    assert!(err.contains("there is no foghorn.yaml here"), "{err}");
    let (code, _, err) = run(folder, &["check", "-c", "nope.yaml"]);
    assert_eq!(code, 2);
    assert!(err.contains("nope.yaml"), "{err}");
    let (code, _, err) = run(folder, &["check", "nope/"]);
    assert_eq!((code, err.contains("nope/")), (2, true));
    assert_eq!(run(folder, &["check", "--nope"]).0, 2);
    assert_eq!(run(folder, &["chekc"]).0, 2);
    std::fs::write(folder.join("foghorn.yaml"), GOOD.to_owned() + "rules: rules\n").expect("written");
    std::fs::create_dir(folder.join("rules")).expect("made");
    std::fs::write(folder.join("rules/a.yaml"), RULES).expect("written");
    for args in [&["check"][..], &["check", "rules/"], &["check", "foghorn.yaml"], &["check", "rules/a.yaml"]] {
        let (code, out, err) = run(folder, args);
        assert_eq!((code, err.as_str()), (0, ""), "{args:?}: {out}");
        assert_eq!(out, "no errors in 2 files: 1 rule, 1 stream\n", "{args:?}");
    }
    let (code, out, _) = run(&folder.join("rules"), &["check", "a.yaml"]);
    assert_eq!((code, out.contains("no errors")), (0, true), "a configuration above is found: {out}");
}

#[test]
fn a_pack_is_checked_on_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("pack.yaml"), GOOD.to_owned() + RULES).expect("written");
    let (code, out, _) = run(folder.path(), &["check", "pack.yaml"]);
    assert_eq!((code, out.as_str()), (0, "no errors in 1 file: 1 rule, 1 stream\n"));
    std::fs::write(folder.path().join("alone.yaml"), RULES).expect("written");
    let (code, out, _) = run(folder.path(), &["check", "alone.yaml"]);
    assert_eq!(code, 1);
    assert!(out.contains("there is no stream `s`") && out.contains("declare it"), "{out}");
}

#[test]
fn check_speaks_json() {
    let (code, out, _) = run(here(), &["check", "--json", "fixtures/check/names.yaml"]);
    assert_eq!(code, 1);
    let value: serde_json::Value = serde_json::from_str(&out).expect("one object");
    assert_eq!(
        value["errors"].as_u64().expect("a count") as usize + value["warnings"].as_u64().expect("a count") as usize,
        value["diagnostics"].as_array().expect("a list").len()
    );
    let first = &value["diagnostics"][0];
    assert_eq!(first["severity"], "error");
    assert_eq!(first["code"], "bad_expression");
    assert_eq!(first["file"], "fixtures/check/names.yaml");
    assert_eq!((first["line"].as_u64(), first["column"].as_u64()), (Some(11), Some(16)));
    assert_eq!((first["end_line"].as_u64(), first["end_column"].as_u64()), (Some(11), Some(26)));
}

#[test]
fn schema_and_completions_print_and_help_names_every_command() {
    for (args, title) in [(&["schema"][..], "Foghorn configuration"), (&["schema", "rules"], "Foghorn rules")] {
        let (code, out, _) = run(here(), args);
        let schema: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!((code, schema["title"].as_str()), (0, Some(title)));
    }
    let (code, out, _) = run(here(), &["completions", "bash"]);
    assert_eq!(code, 0);
    assert!(out.contains("_foghorn"));
    assert_eq!(run(here(), &["completions", "tcsh"]).0, 2);
    let (code, out, _) = run(here(), &["--help"]);
    assert_eq!(code, 0);
    for word in ["check", "schema", "completions", "--log-format", "--no-color"] {
        assert!(out.contains(word), "{word}: {out}");
    }
}

/// `externalURL` in an annotation is where the page can be reached, with a configuration as without one.
#[test]
fn templates_know_where_the_page_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = "streams:\n  s:\n    format: json\n    time: { field: t, format: epoch_s }\n    fields: { a: int }\n\
                 groups:\n  - name: g\n    interval: 10s\n    rules:\n      - alert: A\n        from: s\n        window: 10s\n        \
                 let: { n: count(*) }\n        when: n >= 1\n        annotations: { summary: \"see {{ externalURL }}/a\" }\n";
    std::fs::write(folder.path().join("r.yaml"), rules).expect("written");
    std::fs::write(folder.path().join("in"), "{\"t\":100,\"a\":1}\n").expect("written");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_foghorn"))
        .args(["replay", "--quiet", "--stream", "s", "in", "--rules", "r.yaml"])
        .current_dir(&folder)
        .output()
        .expect("the program is built");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("see http://127.0.0.1:9477/a"), "{told}{}", String::from_utf8_lossy(&output.stderr));
}
