//! `foghorn test`: scenarios, yours and ours.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use super::load::World;
use super::{CommandError, GlobalArgs};
use crate::edge::files::LineFile;
use crate::sim::scenario::{self, Outcome, Stage};
use crate::sim::script::Script;

#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// Scenario files (`.scn`), or folders, which are searched for them.
    #[arg(required = true, value_name = "FILE")]
    pub paths: Vec<PathBuf>,
    /// Write what came into the `expect` blocks. The variable `UPDATE=1` does the same.
    #[arg(long, env = "UPDATE", value_parser = clap::builder::BoolishValueParser::new(), num_args = 0..=1, require_equals = true,
          default_missing_value = "true", default_value = "false")]
    pub update: bool,
    /// Shards. What comes does not depend on it.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub shards: u16,
}

pub(super) fn run(args: &TestArgs, global: &GlobalArgs) -> Result<ExitCode, CommandError> {
    let mut files = Vec::new();
    for path in &args.paths {
        find(path, &mut files)?;
    }
    anyhow::ensure!(!files.is_empty(), "no `.scn` files were found");
    let (mut passed, mut failed) = (0, 0);
    for file in &files {
        match play(file, args, global) {
            Ok(true) => passed += 1,
            Ok(false) => failed += 1,
            Err(error) => {
                failed += 1;
                eprintln!("{}: {error:#}", file.display());
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(ExitCode::from(u8::from(failed > 0)))
}

fn find(path: &Path, found: &mut Vec<PathBuf>) -> Result<(), CommandError> {
    let cannot = || format!("cannot read `{}`", path.display());
    if !path.metadata().with_context(cannot)?.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    let mut inside: Vec<PathBuf> =
        path.read_dir().with_context(cannot)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    inside.sort();
    for path in inside {
        if path.is_dir() {
            find(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "scn") {
            found.push(path);
        }
    }
    Ok(())
}

fn play(file: &Path, args: &TestArgs, global: &GlobalArgs) -> Result<bool, CommandError> {
    let text = fs::read_to_string(file).with_context(|| "cannot read it".to_owned())?;
    let script = Script::parse(&text)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let rules: Vec<PathBuf> = script.rules.iter().map(|name| folder.join(name)).collect();
    let Some(world) = World::load(None, &rules, global)? else { anyhow::bail!("its rules have errors") };
    let lines = |name: &str| recorded(&folder.join(name));
    let stage = Stage { plan: &world.plan, desk: world.desk(), shards: usize::from(args.shards), lines: &lines };
    let outcomes = scenario::run(&script, stage)?;
    if args.update {
        let rewritten = scenario::rewritten(&text, &outcomes);
        if rewritten != text {
            fs::write(file, rewritten).with_context(|| "cannot write it".to_owned())?;
            println!("{}: rewritten", file.display());
        }
        return Ok(true);
    }
    let wrong: Vec<&Outcome> = outcomes.iter().filter(|outcome| !outcome.is_met()).collect();
    for outcome in &wrong {
        explain(file, outcome)?;
    }
    Ok(wrong.is_empty())
}

/// The lines of a recorded file.
fn recorded(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let read = || -> Result<Vec<Vec<u8>>, crate::edge::files::FilesError> {
        let mut file = LineFile::open(path)?;
        let mut lines = Vec::new();
        while let Some(batch) = file.next(usize::MAX, 4 << 20)? {
            lines.extend(batch.records.iter().map(|record| batch.bytes(record).to_vec()));
        }
        Ok(lines)
    };
    read().map_err(|error| format!("{:#}", anyhow::Error::from(error)))
}

/// Expected and actual lines side by side, as a diff.
fn explain(file: &Path, outcome: &Outcome) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}:{}: what came is not what was expected", file.display(), outcome.line)?;
    let folded = |line: &String| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let actual: Vec<String> = outcome.actual.iter().map(folded).collect();
    let expected: Vec<String> = outcome.expected.iter().map(folded).collect();
    for line in &expected {
        let sign = if actual.contains(line) { ' ' } else { '-' };
        writeln!(out, "  {sign} {line}")?;
    }
    for line in actual.iter().filter(|line| !expected.contains(line)) {
        writeln!(out, "  + {line}")?;
    }
    writeln!(out, "  (run with --update to write what came into the file)")
}
