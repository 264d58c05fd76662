//! The `foghorn` program; see [`foghorn::cli`].

use std::process::ExitCode;

/// The engine allocates in bursts and frees from other threads; the system allocator would keep twice the memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    foghorn::cli::main()
}
