//! `foghorn replay`: recorded data through the machine that `run` runs, in event time.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use super::load::World;
use super::{CommandError, GlobalArgs};
use crate::edge::files::{self, LineFile};
use crate::engine::local::{Happening, Local};
use crate::engine::transcript::Paint;
use crate::model::refusal::RefusalCounts;
use crate::model::signal::Transition;

#[derive(Debug, clap::Args)]
pub struct ReplayArgs {
    /// The stream the files are recordings of.
    #[arg(long, value_name = "NAME")]
    pub stream: String,
    /// Files whose lines are records, or folders of them; gzip and zstd are told by their content. Each file is a
    /// partition: its lines are in order, files among each other need not be.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Rule files or folders. Without them, those of the configuration.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub rules: Vec<PathBuf>,
    /// The configuration: streams, routes and receivers. Nothing is sent to them.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print one JSON object a notification.
    #[arg(long)]
    pub json: bool,
    /// Shards. The transcript does not depend on it.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub shards: u16,
    /// Records handed over at a time. The transcript does not depend on it.
    #[arg(long, value_name = "N", default_value_t = 8192, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch: u32,
    /// No progress bar and no summary.
    #[arg(long, short)]
    pub quiet: bool,
}

pub(super) fn run(args: &ReplayArgs, global: &GlobalArgs) -> Result<ExitCode, CommandError> {
    let Some(world) = World::load(args.config.as_deref(), &args.rules, global)? else { return Ok(ExitCode::from(1)) };
    let stream = world.stream(&args.stream)?;
    let files = files::expand(&args.files)?;
    let mut files: Vec<LineFile> = files.iter().map(|path| LineFile::open(path)).collect::<Result<_, _>>()?;
    let paint = if global.colours() { Paint::Ansi } else { Paint::Plain };

    let mut local = Local::new(&world.plan, usize::from(args.shards), world.desk(), 0)?;
    local.assign(&files.iter().map(|file| (stream, file.source().clone())).collect::<Vec<_>>());
    let bar = progress(args, &files);
    let mut tally = Tally::default();
    let line_bytes_max = world.streams[stream].schema.budgets.record_bytes_max;
    // The file that is furthest behind in event time goes next, so that none runs ahead of the others' watermarks.
    while let Some(at) = (0..files.len()).min_by_key(|at| local.reached(files[*at].source())) {
        match files[at].next(args.batch as usize, line_bytes_max)? {
            Some(batch) => local.records(stream, batch),
            None => local.ended(files.remove(at).source()),
        }
        let done: u64 = tally.finished_bytes + files.iter().map(|file| file.progress().0).sum::<u64>();
        bar.set_position(done.min(bar.length().unwrap_or(done)));
        bar.suspend(|| tell(local.take_happened(), args.json, paint, &mut tally))?;
    }
    local.finish();
    bar.finish_and_clear();
    tell(local.take_happened(), args.json, paint, &mut tally)?;
    if !args.quiet && !args.json {
        summary(&local, stream, &tally);
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Default)]
struct Tally {
    finished_bytes: u64,
    fired: u64,
    resolved: u64,
    notifications: u64,
}

fn progress(args: &ReplayArgs, files: &[LineFile]) -> ProgressBar {
    if args.quiet || args.json {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(files.iter().map(|file| file.progress().1).sum());
    let style = "{bar:40} {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("a template that indicatif knows"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Prints what was sent and counts what happened.
fn tell(happened: Vec<Happening>, json: bool, paint: Paint, tally: &mut Tally) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for what in happened {
        match what {
            Happening::Sent(block) => {
                tally.notifications += 1;
                if json { writeln!(out, "{}", block.json())? } else { write!(out, "{}", block.text(paint))? }
            }
            Happening::Signal(signal) => match signal.transition {
                Transition::Firing => tally.fired += 1,
                Transition::Resolved(_) => tally.resolved += 1,
                Transition::Pending | Transition::Dropped | Transition::Refreshed => {}
            },
        }
    }
    out.flush()
}

/// To standard error: standard output is the transcript and nothing else.
fn summary(local: &Local, stream: usize, tally: &Tally) {
    let mut refused = RefusalCounts::default();
    let (mut records, mut bytes, mut events) = (0, 0, 0);
    for status in local.statuses() {
        let stream = &status.streams[stream];
        records += stream.records;
        bytes += stream.record_bytes;
        events += stream.events;
        refused.merge(&stream.refused);
    }
    eprintln!(
        "{} lines ({}), {} events; {} alerts fired, {} resolved, {} notifications",
        HumanCount(records),
        HumanBytes(bytes),
        HumanCount(events),
        tally.fired,
        tally.resolved,
        tally.notifications
    );
    for (reason, count) in refused.iter() {
        eprintln!("refused {count}: {} ({reason})", reason.text());
    }
    for alert in local.desk().alerts().filter(|alert| alert.view().is_some_and(|view| view.ends_at.is_none())) {
        eprintln!("still firing at the end: {}{}", alert.rule.name, alert.labels.with([("alertname", "")]));
    }
}
