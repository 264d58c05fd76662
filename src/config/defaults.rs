//! What applies where the configuration says nothing. The JSON Schema quotes these, so they stand here once.

use crate::model::time::Millis;

/// The consumer group, and the client id.
pub const GROUP: &str = "foghorn";

/// Enough for partitions that are read at slightly different speeds; late data wants more.
pub const LATENESS: Millis = Millis::from_secs(10);

/// Longer than a rebalance or a broker's restart usually takes.
pub const IDLE_TIMEOUT: Millis = Millis::from_secs(60);

/// A watermark may stand still for this long where `stall_timeout` is not given, or for twice the idle timeout where that
/// is longer: a partition that falls silent holds it for one.
pub const STALL_TIMEOUT_MIN: Millis = Millis::from_secs(60);

/// Clocks that are set by NTP differ by less.
pub const FUTURE_MAX: Millis = Millis::from_secs(300);

/// A week: a `lateness` above it holds more panes than anyone means to.
pub const LATENESS_MAX: Millis = Millis::from_secs(7 * 86_400);

/// The page, the API and the metrics; only reachable from this machine unless told otherwise.
pub const LISTEN: &str = "127.0.0.1:9477";

/// What alerts are grouped by where no route says it: one group for each rule.
pub const GROUP_BY: &str = "alertname";

/// The file `foghorn check` and `foghorn run` look for.
pub const FILE_NAME: &str = "foghorn.yaml";

/// How often a checkpoint is taken, unless that costs too much.
pub const CHECKPOINT_EVERY: Millis = Millis::from_secs(5);

/// More often would be nothing but checkpoints; more rarely would be a long way to read again.
pub const CHECKPOINT_EVERY_MIN: Millis = Millis::from_secs(1);
pub const CHECKPOINT_EVERY_MAX: Millis = Millis::from_secs(600);

/// A quarter: who looks back further does so in what they keep for good.
pub const HISTORY_KEEP: Millis = Millis::from_secs(90 * 86_400);

/// About a gigabyte.
pub const HISTORY_ROWS_MAX: u64 = 1_000_000;

/// Threads for the data plane; more than this on one machine has never paid.
pub const SHARDS_MAX: usize = 64;
