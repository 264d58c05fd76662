//! Places at which a test may have the process killed.
//!
//! What is promised about `kill -9` is promised about every moment; the moments that matter most lie between two
//! steps that belong together, too close for a test to hit by chance. `FOGHORN_CRASH_AT=log_synced:3` kills the
//! process the third time it passes there. Without the variable a point costs one look at a static.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::checkpoint::CRASH_POINTS;

static WANTED: OnceLock<Option<(String, u32)>> = OnceLock::new();
static PASSED: AtomicU32 = AtomicU32::new(0);

/// Ends the process here, as SIGKILL does, if this is the place and the time.
pub fn crash_point(name: &'static str) {
    debug_assert!(CRASH_POINTS.contains(&name), "{name} is not in the list");
    let Some((wanted, times)) = WANTED.get_or_init(wanted) else { return };
    if wanted == name && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *times {
        // SAFETY: sends a signal to this very process; no memory is touched.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
}

fn wanted() -> Option<(String, u32)> {
    let text = std::env::var("FOGHORN_CRASH_AT").ok()?;
    let (name, times) = text.split_once(':').unwrap_or((&text, "1"));
    Some((name.to_owned(), times.parse().ok()?))
}
