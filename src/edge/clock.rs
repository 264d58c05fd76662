//! The one place that asks the operating system what time it is.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::time::WallTime;

/// Milliseconds since the Unix epoch. A clock before 1970 reads as 1970.
pub fn now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
