//! `foghorn history`: what happened, who was told, which rules were in force, when Foghorn ran.
//!
//! It reads the file itself and not the API, so that it answers when the engine is down: that is when it is asked.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::{Effects, Style};
use anyhow::Context;

use super::{CommandError, GlobalArgs};
use crate::config::load::load_state;
use crate::edge::clock;
use crate::edge::history::{Page, Reader, Stored, file_in};
use crate::engine::record::filter::{self, Filter};

#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    /// The configuration, whose `state.dir` holds the history.
    #[arg(short, long, value_name = "FILE", default_value = "foghorn.yaml", env = "FOGHORN_CONFIG")]
    pub config: PathBuf,
    /// The state directory itself, in place of a configuration.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Not before: RFC 3339, seconds since 1970, or how long ago, such as `2h`.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Before.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<String>,
    /// The story of alerts of this name: what is about them, and about the groups they were in.
    #[arg(long, value_name = "NAME")]
    pub alert: Option<String>,
    /// The story of alerts with this label. May be repeated; all must fit.
    #[arg(long, value_name = "NAME=VALUE")]
    pub label: Vec<String>,
    /// Only these kinds, of: alert, delivery, rules, operator, run, partition.
    #[arg(long, value_name = "KIND,…")]
    pub kind: Option<String>,
    /// The newest so many.
    #[arg(long, short = 'n', value_name = "N", default_value_t = filter::LIMIT_DEFAULT)]
    pub limit: usize,
    /// Print one JSON array.
    #[arg(long, conflicts_with = "ndjson")]
    pub json: bool,
    /// Print one JSON object a line.
    #[arg(long)]
    pub ndjson: bool,
}

pub(super) fn run(args: &HistoryArgs, global: &GlobalArgs) -> Result<ExitCode, CommandError> {
    let filter = question(args)?;
    let state = match &args.state {
        Some(state) => state.clone(),
        None => state_of(&args.config)?,
    };
    let mut page = Reader::open(&file_in(&state))?.find(&filter)?;
    page.records.reverse();
    if page.next.is_some() {
        // To standard error: standard output is records and nothing else.
        eprintln!("the newest {} are shown; there are more: `--limit`, `--since`", page.records.len());
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &page.records.iter().map(Stored::to_json).collect::<Vec<_>>())
            .map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else if args.ndjson {
        for stored in &page.records {
            writeln!(out, "{}", stored.to_json())?;
        }
    } else {
        tell(&mut out, &page, global.colours())?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn question(args: &HistoryArgs) -> Result<Filter, CommandError> {
    let now = clock::now();
    let moment = |text: &Option<String>| text.as_deref().map(|text| filter::moment(text, now)).transpose();
    let mut filter = Filter {
        since: moment(&args.since)?,
        until: moment(&args.until)?,
        alert: args.alert.clone(),
        kinds: args.kind.as_deref().map_or(Ok(Vec::new()), filter::kinds)?,
        limit: args.limit.max(1),
        ..Filter::default()
    };
    for label in &args.label {
        filter.add_label(label)?;
    }
    Ok(filter)
}

/// Where a configuration keeps its state. Mistakes elsewhere in it are nobody's concern here.
fn state_of(config: &Path) -> Result<PathBuf, CommandError> {
    let state = load_state(config)?.with_context(|| {
        format!(
            "{} names no `state.dir`, so no history is kept; add `state: {{ dir: /var/lib/foghorn }}`, or name a \
             directory with `--state`",
            config.display()
        )
    })?;
    Ok(state.dir)
}

fn tell(out: &mut impl Write, page: &Page, colours: bool) -> std::io::Result<()> {
    for stored in &page.records {
        let record = &stored.entry.record;
        let (dim, word) = match colours {
            true => (Style::new().effects(Effects::DIMMED), record.colour().on_default().bold()),
            false => (Style::new(), Style::new()),
        };
        let at = stored.entry.at.to_string(); // padding is for texts
        writeln!(out, "{dim}{at:<24}{dim:#}  {word}{:<13}{word:#}  {}", record.what(), record.line())?;
    }
    if page.records.is_empty() {
        eprintln!("nothing is recorded that answers this");
    }
    Ok(())
}
