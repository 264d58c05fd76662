//! The command line: arguments in, exit code out. What a command does stands in its own file.
//!
//! Exit codes are part of the interface: 0 fine, 1 the answer is no (errors found), 2 the question could not be asked
//! (wrong usage, a file that is not there).

mod bench;
mod check;
mod completions;
mod demo;
mod history;
mod keep;
mod load;
mod reload;
mod replay;
mod run;
mod schema;
mod silence;
mod state;
mod storm;
mod test;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

pub use bench::{BenchArgs, BrokerArgs};
pub use check::CheckArgs;
pub use completions::CompletionsArgs;
pub use demo::DemoArgs;
pub use history::HistoryArgs;
pub use replay::ReplayArgs;
pub use run::RunArgs;
pub use schema::SchemaArgs;
pub use silence::SilenceArgs;
pub use storm::StormArgs;
pub use test::TestArgs;

/// Alerts straight off the Kafka stream.
#[derive(Debug, Parser)]
#[command(name = "foghorn", version, about, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct GlobalArgs {
    /// How Foghorn's own log is written, in place of what the configuration says.
    #[arg(long, global = true, value_enum, value_name = "FORMAT", env = "FOGHORN_LOG_FORMAT")]
    pub log_format: Option<LogFormatArg>,
    /// No colours, whatever the terminal can do. `NO_COLOR` in the environment does the same.
    #[arg(long, global = true)]
    pub no_color: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormatArg {
    Pretty,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// A broker, a web shop with an incident in it, the engine and the page, with nothing installed.
    Demo(DemoArgs),
    /// Watch a Kafka cluster.
    Run(RunArgs),
    /// Recorded data through the same machine: what would have been sent, and when.
    Replay(ReplayArgs),
    /// What happened: alerts, notifications, rule sets, operators' actions, runs.
    History(HistoryArgs),
    /// Hear nothing of some alerts for a while: made, listed and ended at a running Foghorn.
    Silence(SilenceArgs),
    /// Run scenarios: what is loaded, what must come of it.
    Test(TestArgs),
    /// The whole machine in a simulated world in which everything goes wrong, seed by seed.
    Storm(StormArgs),
    /// Measure what this machine can do.
    Bench(BenchArgs),
    #[command(hide = true)]
    BenchBroker(BrokerArgs),
    /// Check a configuration, or rule files, and say everything that is wrong.
    Check(CheckArgs),
    /// Print the JSON Schema of the configuration or of rule files, for editors.
    Schema(SchemaArgs),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
}

impl GlobalArgs {
    /// Whether to colour what goes to standard output.
    pub fn colours(&self) -> bool {
        let refused = self.no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        !refused && std::env::var_os("TERM").is_none_or(|term| term != "dumb") && std::io::stdout().is_terminal()
    }
}

/// Why a command could not do its work at all: exit code 2.
pub type CommandError = anyhow::Error;

/// Reads the arguments of the process and does what they say.
pub fn main() -> ExitCode {
    // Wrong usage prints its message and ends here, with code 2.
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Demo(args) => demo::run(args, &cli.global),
        Command::Run(args) => run::run(args, &cli.global),
        Command::Replay(args) => replay::run(args, &cli.global),
        Command::History(args) => history::run(args, &cli.global),
        Command::Silence(args) => silence::run(args),
        Command::Test(args) => test::run(args, &cli.global),
        Command::Storm(args) => storm::run(args),
        Command::Bench(args) => bench::run(args, &cli.global),
        Command::BenchBroker(args) => bench::run_broker(args),
        Command::Check(args) => check::run(args, &cli.global),
        Command::Schema(args) => schema::run(args),
        Command::Completions(args) => completions::run(args),
    };
    match done {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("foghorn: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// `foghorn schema | head`: the reader has seen enough.
fn is_closed_pipe(error: &CommandError) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
