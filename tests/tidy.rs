//! The architecture as a test: who may use whom, what the pure part must not touch, what must be documented.
//!
//! The table is the one in `src/lib.rs`. It is checked against the text of the sources, because that is what people
//! change; a module that is not in the table fails, so the table cannot go stale.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Module → the modules it may use. Everything may use `model` and itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("decode", &[]),
    ("stream", &[]),
    ("window", &[]),
    ("rule", &["stream", "window", "decode"]),
    ("alert", &[]),
    ("notify", &["alert"]),
    ("engine", &["decode", "stream", "window", "rule", "alert", "notify"]),
    ("checkpoint", &["engine"]),
    ("sim", &["engine", "checkpoint", "rule", "stream", "window", "alert", "notify", "decode"]),
    ("edge", &["notify", "engine", "checkpoint"]),
    ("runtime", &["engine", "checkpoint", "edge", "notify", "alert"]),
    ("config", &["rule", "stream", "decode", "alert", "notify", "engine", "edge", "sim"]),
    ("api", &["runtime", "engine", "edge", "rule", "alert", "notify", "config"]),
    (
        "cli",
        &[
            "api",
            "config",
            "runtime",
            "engine",
            "checkpoint",
            "edge",
            "rule",
            "stream",
            "decode",
            "alert",
            "notify",
            "sim",
            "window",
        ],
    ),
];

/// The modules with no I/O, no clock, no threads, no ambient randomness.
const PURE: &[&str] = &[
    "model",
    "decode",
    "stream",
    "window",
    "rule",
    "alert",
    "notify",
    "engine",
    "sim",
    "promql",
    "slo",
    "incident",
    "checkpoint",
];

/// What a pure module must not name, and why.
const BANNED: &[(&str, &str)] = &[
    ("tokio", "threads and sockets live in edge/ and runtime/"),
    ("rdkafka", "Kafka lives in edge/kafka"),
    ("reqwest", "HTTP lives in edge/http.rs"),
    ("std::fs", "files live in edge/"),
    ("std::net::Tcp", "sockets live in edge/"),
    ("std::net::Udp", "sockets live in edge/"),
    ("std::thread", "threads live in runtime/"),
    ("thread::spawn", "threads live in runtime/"),
    ("Instant::now", "time is an argument"),
    ("SystemTime::now", "time is an argument"),
    ("Timestamp::now", "time is an argument"),
    ("Zoned::now", "time is an argument"),
    ("rand::rng(", "randomness comes from a seed that is handed in"),
    ("thread_rng", "randomness comes from a seed that is handed in"),
    ("RandomState", "an order that differs from run to run must not reach a result"),
    ("std::env", "the environment is read in cli/ and edge/"),
    ("println!", "only cli/ and edge/ print"),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the project") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Every source file under `src` with its module and the lines that are code outside tests.
fn code() -> Vec<(String, PathBuf, Vec<(usize, String)>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(&root).expect("under src");
            let first = inside.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
            let module = first.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).expect("readable");
            let is_test_file =
                inside.to_string_lossy().contains("tests") || inside.file_stem().is_some_and(|stem| stem == "testing");
            let code = if is_test_file { Vec::new() } else { code_lines(&text) };
            (module, inside.to_owned(), code)
        })
        .collect()
}

/// Lines before the file's test module, without comments.
fn code_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut after_cfg_test = false;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        if after_cfg_test && trimmed.starts_with("mod ") && trimmed.ends_with('{') {
            break;
        }
        after_cfg_test = trimmed.starts_with("#[cfg(test)]");
        if !trimmed.starts_with("//") {
            let code = line.split(" // ").next().unwrap_or(line);
            lines.push((index + 1, code.to_owned()));
        }
    }
    lines
}

#[test]
fn modules_use_only_what_the_table_allows() {
    let table: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for (module, path, code) in code() {
        if matches!(&*module, "lib" | "main") {
            continue;
        }
        let Some(allowed) = table.get(&*module) else {
            wrong.push(format!("{}: module `{module}` is not in the table", path.display()));
            continue;
        };
        for (line, text) in code {
            for used in text.match_indices("crate::").map(|(at, _)| &text[at + 7..]) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let known = table.contains_key(&*used);
                if known && used != module && used != "model" && !allowed.contains(&&*used) {
                    wrong.push(format!("src/{}:{line}: `{module}` must not use `{used}`", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "arrows against the table in tests/tidy.rs:\n{}", wrong.join("\n"));
}

#[test]
fn the_table_has_no_circles() {
    let table: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    fn reach<'a>(from: &'a str, table: &BTreeMap<&'a str, &'a [&'a str]>, seen: &mut BTreeSet<&'a str>) {
        for next in table.get(from).copied().unwrap_or_default() {
            if seen.insert(next) {
                reach(next, table, seen);
            }
        }
    }
    for (module, _) in MAY_USE {
        let mut seen = BTreeSet::new();
        reach(module, &table, &mut seen);
        assert!(!seen.contains(module), "`{module}` reaches itself");
    }
}

#[test]
fn the_pure_part_has_no_clock_socket_file_thread_or_dice() {
    let mut wrong = Vec::new();
    for (module, path, code) in code() {
        if !PURE.contains(&&*module) {
            continue;
        }
        for (line, text) in code {
            for (word, why) in BANNED {
                if text.contains(word) {
                    wrong.push(format!("src/{}:{line}: `{word}`: {why}", path.display()));
                }
            }
            let std_map = text.contains("std::collections::HashMap") || text.contains("std::collections::HashSet");
            if std_map || (text.contains("use std::collections") && text.contains("Hash")) {
                wrong.push(format!(
                    "src/{}:{line}: std's HashMap is randomly ordered: use BTreeMap, or hashbrown without iterating",
                    path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "bans of the pure part:\n{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_unfinished() {
    let mut wrong = Vec::new();
    for (_, path, code) in code() {
        for (line, text) in code {
            for word in ["todo!(", "unimplemented!(", "dbg!(", "FIXME", "XXX"] {
                if text.contains(word) {
                    wrong.push(format!("src/{}:{line}: `{word}`", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "unfinished:\n{}", wrong.join("\n"));
}

/// What one file may have: more is more than one thing.
const LINES_MAX: usize = 700;

#[test]
fn no_file_is_more_than_one_can_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    ["src", "tests", "benches"].iter().for_each(|folder| sources(&root.join(folder), &mut files));
    let lines = |path: &PathBuf| fs::read_to_string(path).expect("readable").lines().count();
    let long: Vec<String> = files
        .iter()
        .map(|path| (path, lines(path)))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{} has {lines}", path.strip_prefix(root).expect("inside").display()))
        .collect();
    assert!(long.is_empty(), "files of more than {LINES_MAX} lines:\n{}", long.join("\n"));
}

#[test]
fn every_refusal_and_metric_is_in_the_readme() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("a README");
    let refusals = foghorn::model::Refusal::ALL.iter().map(|refusal| refusal.name().to_owned());
    let metrics = foghorn::api::metrics::NAMES.iter().map(|name| (*name).to_owned());
    let drops = foghorn::edge::history::DropReason::ALL.iter().map(|reason| reason.name().to_owned());
    let skips = foghorn::alert::SkipReason::NAMES.iter().map(|name| (*name).to_owned());
    let missing: Vec<String> = refusals
        .chain(metrics)
        .chain(drops)
        .chain(skips)
        .filter(|name| !readme.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "the README does not explain: {missing:?}");
}
