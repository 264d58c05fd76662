//! Waiting for something to become true, with a deadline: no test sleeps and hopes.

use std::time::{Duration, Instant};

/// How long anything may take before a test fails. Generous, because machines are slow and shared; never waited out
/// where things work.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Calls `step` until it gives a value. Fails with `what` when that takes too long.
pub fn wait_for<T>(what: &str, mut step: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = step() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// As [`wait_for`], for a condition.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}
