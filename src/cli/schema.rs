//! `foghorn schema`: what editors complete and check against.

use std::io::Write;
use std::process::ExitCode;

use clap::ValueEnum;

use super::CommandError;
use crate::config::schema;

#[derive(Debug, clap::Args)]
pub struct SchemaArgs {
    /// Which files it is for.
    #[arg(value_enum, default_value_t = SchemaOf::Config)]
    pub of: SchemaOf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// foghorn.yaml
    Config,
    /// Rule files.
    Rules,
}

pub(super) fn run(args: &SchemaArgs) -> Result<ExitCode, CommandError> {
    let schema = match args.of {
        SchemaOf::Config => schema::config(),
        SchemaOf::Rules => schema::rules(),
    };
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &schema).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(ExitCode::SUCCESS)
}
