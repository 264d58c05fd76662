//! The `foghorn` program; see [`foghorn::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    foghorn::cli::main()
}
