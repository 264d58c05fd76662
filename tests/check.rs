//! What people are told about their files. Each `fixtures/check/NAME.yaml` has its report beside it, `NAME.txt`;
//! `UPDATE=1` writes them anew. Read the difference as someone who has just made that mistake.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use foghorn::config::load::{Loaded, is_config, load_config, load_rules};
use foghorn::config::schema;
use foghorn::rule::diagnostic::{Code, Severity};
use serde_json::Value;

fn load(path: &Path) -> Loaded {
    let loaded = if is_config(path) { load_config(path) } else { load_rules(&[path.to_owned()], None) };
    loaded.expect("the file is there")
}

fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} has no files");
    files
}

#[test]
fn every_mistake_is_told_as_it_was_last_read() {
    let mut differing = Vec::new();
    for path in yaml_files("fixtures/check") {
        let report = load(&path).diagnostics.render(false);
        let expected = path.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expected, &report).expect("written");
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != report {
            differing.push(format!("{}:\n{report}", path.display()));
        }
    }
    assert!(differing.is_empty(), "reports differ; run with UPDATE=1 and read the diff\n{}", differing.join("\n"));
}

#[test]
fn every_kind_of_mistake_has_an_example() {
    let mut seen = BTreeSet::new();
    for path in yaml_files("fixtures/check") {
        let loaded = load(&path);
        seen.extend(loaded.diagnostics.sorted().iter().map(|found| found.code));
    }
    let missing: Vec<&str> = Code::ALL.iter().filter(|code| !seen.contains(code)).map(|code| code.name()).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn every_report_has_a_place_and_no_secret() {
    for path in yaml_files("fixtures/check") {
        let loaded = load(&path);
        let report = loaded.diagnostics.render(false) + &loaded.diagnostics.to_json().to_string();
        for secret in ["hunter2", "s3cr3t", "hooks.slack.com/services", "R0UT1NGK3Y"] {
            assert!(!report.contains(secret), "{} shows `{secret}`", path.display());
        }
        for found in loaded.diagnostics.sorted() {
            assert!(found.place.is_some(), "{}: {}", path.display(), found.message);
            assert!(!found.message.ends_with('.'), "{}", found.message);
        }
    }
}

#[test]
fn the_complete_configuration_is_sound() {
    let loaded = load_config(Path::new("fixtures/config/foghorn.yaml")).expect("the file is there");
    let found: Vec<_> = loaded.diagnostics.sorted().into_iter().filter(|d| d.severity == Severity::Error).collect();
    assert!(found.is_empty(), "{}", loaded.diagnostics.render(false));
    let config = loaded.config.expect("sound");
    let rules: Vec<String> = loaded.rules.rules.iter().map(|rule| rule.meta.to_string()).collect();
    assert_eq!(
        rules,
        [
            "CheckoutSlow (rules/checkout.yaml:6)",
            "ServiceSilent (rules/checkout.yaml:27)",
            "FewOrders (rules/checkout.yaml:38)",
            "FailedLogins (rules/pack.yaml:12)",
        ]
    );
    let desk = config.desk();
    let names: Vec<&str> = desk.receivers().iter().map(|receiver| &*receiver.name).collect();
    assert_eq!(names, ["console", "slack", "payments", "email", "pagerduty", "hook"]);
    let debug = format!("{config:?}");
    assert!(!debug.contains("not-a-real-secret"), "a configuration holds no secrets, only where they are");
}

/// Every key of the fixture is one the schema has there: editors must not underline what Foghorn takes.
#[test]
fn the_schemas_know_every_key_of_the_examples() {
    for (path, schema) in [
        ("fixtures/config/foghorn.yaml", schema::config()),
        ("fixtures/config/rules/checkout.yaml", schema::rules()),
        ("fixtures/config/rules/pack.yaml", schema::rules()),
    ] {
        let text = std::fs::read_to_string(path).expect("the fixture is there");
        let value: Value = serde_saphyr::from_str(&text).expect("valid YAML");
        let mut problems = Vec::new();
        fits(&schema, &schema, &value, path, &mut problems);
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}

/// And the complete example uses every key there is, so that it stays complete.
#[test]
fn the_complete_example_is_complete() {
    // `global.slack_app_token_*` and the `_env` forms exclude what the example shows instead.
    let text = std::fs::read_to_string("fixtures/config/foghorn.yaml").expect("the fixture is there");
    let schema = schema::config();
    let mut keys = BTreeSet::new();
    collect_keys(&schema, &mut keys);
    let absent: Vec<&String> =
        keys.iter().filter(|key| !key.ends_with("_env") && !text.contains(&format!("{key}:"))).collect();
    assert_eq!(absent, ["record", "slack_app_token_file", "year", "zone"]);
}

fn collect_keys(schema: &Value, keys: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            for (keyword, value) in map {
                match (keyword.as_str(), value) {
                    ("properties", Value::Object(properties)) => {
                        keys.extend(properties.keys().cloned());
                        properties.values().for_each(|property| collect_keys(property, keys));
                    }
                    _ => collect_keys(value, keys),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| collect_keys(value, keys)),
        _ => {}
    }
}

/// As much of JSON Schema as ours uses.
fn fits(root: &Value, schema: &Value, value: &Value, at: &str, problems: &mut Vec<String>) {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(target.trim_start_matches('#')).expect("a reference leads somewhere");
        return fits(root, target, value, at, problems);
    }
    if let Some(Value::Array(choices)) = schema.get("anyOf").or(schema.get("oneOf")) {
        let tries: Vec<Vec<String>> = choices
            .iter()
            .map(|choice| {
                let mut problems = Vec::new();
                fits(root, choice, value, at, &mut problems);
                problems
            })
            .collect();
        if !tries.iter().any(Vec::is_empty) {
            problems.extend(tries.into_iter().min_by_key(|problems| problems.len()).unwrap_or_default());
        }
        return;
    }
    if let Some(fixed) = schema.get("const") {
        if fixed != value {
            problems.push(format!("{at}: {value} is not {fixed}"));
        }
        return;
    }
    if let Some(Value::Array(words)) = schema.get("enum")
        && !words.contains(value)
    {
        problems.push(format!("{at}: {value} is none of {words:?}"));
    }
    if let Some(Value::Array(types)) = schema.get("type") {
        let alike = types.iter().any(|ty| match ty.as_str() {
            Some("string") => value.is_string(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            _ => false,
        });
        if !alike {
            problems.push(format!("{at}: {value} is none of {types:?}"));
        }
        return;
    }
    match (schema.get("type").and_then(Value::as_str), value) {
        (Some("object"), Value::Object(map)) => {
            for (key, inner) in map {
                let at = format!("{at}/{key}");
                match (schema["properties"].get(key), schema.get("additionalProperties")) {
                    (Some(known), _) => fits(root, known, inner, &at, problems),
                    (None, Some(Value::Bool(false))) => problems.push(format!("{at}: unknown key")),
                    (None, Some(others)) => fits(root, others, inner, &at, problems),
                    (None, None) => {}
                }
            }
            for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
                if !map.contains_key(required.as_str().expect("a name")) {
                    problems.push(format!("{at}: {required} is missing"));
                }
            }
        }
        (Some("array"), Value::Array(list)) => {
            for (index, item) in list.iter().enumerate() {
                fits(root, &schema["items"], item, &format!("{at}/{index}"), problems);
            }
        }
        (Some("string"), Value::String(_))
        | (Some("boolean"), Value::Bool(_))
        | (Some("number" | "integer"), Value::Number(_))
        | (None, _) => {}
        (Some(ty), other) => problems.push(format!("{at}: {other} is no {ty}")),
    }
}

/// Whatever is typed, there is an answer: no panic, every place within its file, a report that can be drawn.
#[test]
fn no_edit_of_a_file_can_upset_the_check() {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    let folder = tempfile::tempdir().expect("a folder");
    let mut texts: Vec<(bool, String)> = Vec::new();
    for path in yaml_files("fixtures/check").into_iter().chain(yaml_files("fixtures/config/rules")) {
        texts.push((is_config(&path), std::fs::read_to_string(&path).expect("readable")));
    }
    texts.push((true, std::fs::read_to_string("fixtures/config/foghorn.yaml").expect("readable")));
    let pieces =
        ["", "\n", " ", ": ", "- ", "{", "}", "[", "]", "\"", "'", "#", "&a ", "*a", "|\n", "é", "0", "{{", ")", "-"];
    let edit = (0..texts.len(), 0.0..1.0f64, 0usize..12, 0..pieces.len());
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    runner
        .run(&edit, |(file, at, cut, piece)| {
            let (config, text) = &texts[file];
            let at = text.floor_char_boundary((text.len() as f64 * at) as usize);
            let end = text.ceil_char_boundary((at + cut).min(text.len()));
            let edited = format!("{}{}{}", &text[..at], pieces[piece], &text[end..]);
            let path = folder.path().join("edited.yaml");
            std::fs::write(&path, &edited).expect("written");
            let loaded = if *config { load_config(&path) } else { load_rules(&[path], None) }.expect("readable");
            let report = loaded.diagnostics.render(false);
            prop_assert!(report.ends_with('\n'));
            loaded.diagnostics.to_json();
            prop_assert_eq!(loaded.config.is_some(), *config && loaded.is_valid());
            Ok(())
        })
        .expect("holds");
}
