//! `foghorn storm`: the whole machine against everything that can go wrong, seed by seed.
//!
//! Jobs are threads that take the next seed; a storm itself knows none. What fails is made smaller before it is shown.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::CommandError;
use crate::config::load::load_rules_from_text;
use crate::engine::plan::Plan;
use crate::sim::storm::{self, Options, Report, Stage, stage};

#[derive(Debug, clap::Args)]
pub struct StormArgs {
    /// How many seeds.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 200)]
    pub seeds: u64,
    /// The first one.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub from: u64,
    /// At once.
    #[arg(short, long, value_name = "J", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// Members of the group; with two, all rules are local.
    #[arg(long, value_name = "M", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub members: u8,
    /// One storm instead, as a failure prints it: `seed=7`, or `seed=7 faults=kill,rot`.
    #[arg(long, value_name = "STORM", conflicts_with_all = ["seeds", "from", "jobs", "members"])]
    pub only: Option<Options>,
    /// Say what each storm is made of; with `--only`, everything that happened in it.
    #[arg(short, long)]
    pub verbose: bool,
    /// Do not look for a smaller storm that fails in the same way.
    #[arg(long)]
    pub no_shrink: bool,
}

pub(super) fn run(args: &StormArgs) -> Result<ExitCode, CommandError> {
    let stage = || -> Result<Stage, CommandError> {
        let (rules, edited) = (stage::RULES, stage::edited());
        let local = [plan(&stage::local(rules))?, plan(&stage::local(&edited))?];
        Ok(Stage { plans: [plan(rules)?, plan(&edited)?], local })
    };
    let options = |seed| if args.members == 2 { Options::of(seed).with_two_members() } else { Options::of(seed) };
    if let Some(options) = &args.only {
        let report = storm::run(options, &stage()?, args.verbose);
        print!("{}", text(&report, args.verbose));
        return Ok(ExitCode::from(u8::from(report.broken.is_some())));
    }
    let bar = ProgressBar::with_draw_target(Some(args.seeds), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds  {per_sec}  {eta} left  {msg}");
    bar.set_style(style.expect("the template is right"));
    bar.enable_steady_tick(Duration::from_millis(250));
    let started = Instant::now();
    let (next, failed) = (AtomicU64::new(args.from), Mutex::new(Vec::new()));
    let totals = Mutex::new(Totals::default());
    let work = |stage: &Stage| {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= args.from + args.seeds {
                return;
            }
            let mut report = storm::run(&options(seed), stage, false);
            totals.lock().expect("nobody panics with it").add(&report);
            if args.verbose {
                bar.suspend(|| println!("{}", line(&report)));
            }
            if report.broken.is_some() {
                if !args.no_shrink {
                    report = storm::shrink(&report, stage);
                }
                bar.suspend(|| print!("{}", text(&report, false)));
                failed.lock().expect("nobody panics with it").push(report);
                bar.set_message(format!("{} failed", failed.lock().expect("nobody panics with it").len()));
            }
            bar.inc(1);
        }
    };
    let stages = (0..args.jobs).map(|_| stage()).collect::<Result<Vec<_>, _>>()?;
    std::thread::scope(|scope| stages.iter().for_each(|stage| drop(scope.spawn(|| work(stage)))));
    bar.finish_and_clear();
    let failed = failed.into_inner().expect("nobody panics with it");
    let took = started.elapsed().as_secs_f64();
    println!("{} seeds in {took:.1} s, {:.1} a second", args.seeds, args.seeds as f64 / took);
    println!("{}", totals.into_inner().expect("nobody panics with it").text());
    match failed.len() {
        0 => println!("no invariant was broken"),
        count => println!("{count} failed:"),
    }
    failed.iter().for_each(|report| println!("  {}", line(report)));
    Ok(ExitCode::from(u8::from(!failed.is_empty())))
}

#[derive(Default)]
struct Totals {
    storms: u64,
    exact: u64,
    torn: u64,
    turns: u64,
    records: u64,
    deliveries: u64,
    checkpoints: u64,
    lives: u64,
    episodes: u64,
}

impl Totals {
    fn add(&mut self, report: &Report) {
        self.storms += 1;
        self.exact += u64::from(report.inexact.is_none() && report.torn.is_none());
        self.torn += u64::from(report.inexact.is_none() && report.torn.is_some());
        self.turns += report.turns;
        self.records += report.records;
        self.deliveries += report.deliveries;
        self.checkpoints += report.checkpoints;
        self.lives += u64::from(report.lives);
        self.episodes += report.episodes as u64;
    }

    fn text(&self) -> String {
        let Totals { storms, exact, torn, turns, records, deliveries, checkpoints, lives, episodes } = self;
        let safety = storms - exact - torn;
        format!(
            "{records} records, {episodes} episodes, {deliveries} deliveries, {checkpoints} checkpoints, {lives} processes, \
             {turns} things gone wrong besides receivers; of {storms} compared episode by episode: {exact} wholly, {torn} \
             from when windows were whole again; {safety} for safety alone"
        )
    }
}

fn plan(rules: &str) -> Result<std::sync::Arc<Plan>, CommandError> {
    let loaded = load_rules_from_text("storm.yaml", rules);
    if !loaded.is_valid() {
        bail!("the storm's own rules are wrong:\n{}", loaded.diagnostics.render(false));
    }
    let schemas: Vec<_> = loaded.streams.iter().map(|stream| stream.schema.clone()).collect();
    Ok(std::sync::Arc::new(Plan::build(&schemas, &loaded.rules.rules)))
}

fn line(report: &Report) -> String {
    let Report { options, broken, hash, .. } = report;
    let outcome = match broken {
        Some(broken) => format!("{} {}", broken.id, broken.text),
        None => match (&report.inexact, &report.torn) {
            (Some(why), _) => format!("fine ({why})"),
            (None, Some(why)) => format!("fine (after {why})"),
            (None, None) => "fine".to_owned(),
        },
    };
    format!("{options}  shards={} partitions={}  {hash:016x}  {outcome}", options.shards, options.partitions)
}

fn text(report: &Report, all: bool) -> String {
    let mut text = line(report) + "\n";
    if report.broken.is_some() || all {
        report.lines.iter().for_each(|line| text += &format!("    {line}\n"));
        text += &format!("    again: foghorn storm --verbose --only '{}'\n", report.options);
    }
    text
}
