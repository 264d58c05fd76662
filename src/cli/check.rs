//! `foghorn check`: reads everything, runs nothing, says all that is wrong.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{CommandError, GlobalArgs};
use crate::config::defaults;
use crate::config::load::{Loaded, is_config, load_config, load_rules};

#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// The configuration. Without it and without PATH, `foghorn.yaml` in this folder.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Rule files or folders to check, in place of those the configuration lists. Their streams come from the
    /// configuration, or a `foghorn.yaml` beside or above them, or stand in the files themselves.
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Print one JSON object, for editors and pipelines.
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(args: &CheckArgs, global: &GlobalArgs) -> Result<ExitCode, CommandError> {
    let loaded = load(args)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &loaded.diagnostics.to_json()).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        let report = loaded.diagnostics.render(global.colours());
        // The report ends with its summary; what was looked at belongs beside it.
        writeln!(out, "{} in {}", report.trim_end(), scope(&loaded))?;
    }
    out.flush()?;
    Ok(ExitCode::from(u8::from(!loaded.is_valid())))
}

fn load(args: &CheckArgs) -> Result<Loaded, CommandError> {
    match (args.config.as_deref(), args.paths.as_slice()) {
        (config, []) => {
            let path = config.unwrap_or(Path::new(defaults::FILE_NAME));
            if config.is_none() && !path.exists() {
                anyhow::bail!(
                    "there is no {0} here; name one with `-c {0}`, or rule files: `foghorn check rules/`",
                    path.display()
                );
            }
            Ok(load_config(path)?)
        }
        // `foghorn check foghorn.yaml` is what people type.
        (None, [one]) if is_config(one) => Ok(load_config(one)?),
        (config, paths) => Ok(load_rules(paths, config)?),
    }
}

/// `3 files, 12 rules, 2 streams`
fn scope(loaded: &Loaded) -> String {
    let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let sound = if loaded.is_valid() { "" } else { "sound " };
    format!(
        "{}: {}, {}",
        count(loaded.diagnostics.files(), "file"),
        count(loaded.rules.rules.len(), &format!("{sound}rule")),
        count(loaded.streams.len(), &format!("{sound}stream")),
    )
}
