//! Panes and sliding windows: what rules can ask about, per group.
//!
//! ```text
//!            stage 1, the shard that reads           stage 2, the shard that owns the group
//! rows ──► OpenPanes::record ──► close_through ──► PanePartial ──► Windows::merge ──► advance_to ──► count, sum,
//!          one slot a group and pane               bytes, additive    rings, tiers                    quantile, …
//! ```
//!
//! A sample is recorded once, in the pane of its event time, however many rules look at it. A closed pane is some bytes
//! that add up: partials of one pane, from any number of sources and in any order, make the same pane. A window is a run
//! of panes; what can be subtracted (counts, exact sums, bucket counts) is kept as a running total, added to when a pane
//! enters and taken from when it leaves, so that neither the length of the window nor the fineness of its panes shows in
//! the cost. What cannot (distinct, top k, last) is merged from the panes when a rule asks.
//!
//! A million quiet groups must fit beside a few busy ones, so all state is by how much traffic there is: slots of one
//! cache line with the first samples inside (`open`, `open_log`), rings of bytes for panes (`ring`), logs of 16-bit bucket
//! indexes until a group earns counters of its own (`tiers`). A group with two counts and a histogram, `5m` in panes of
//! `10s`, costs less than 1 KiB at half an event a second; `tests/window_memory.rs` weighs it with a counting allocator.
//!
//! Time is the index of a pane; nothing here knows a clock, a thread or a file.

mod bits;
pub(crate) mod codec;
mod counts;
mod distinct;
mod extremes;
mod histogram;
mod log;
mod moments;
mod open;
mod open_log;
mod partial;
mod plan;
#[cfg(test)]
mod properties;
mod rewrite;
mod ring;
mod storage;
mod strand;
mod strand_step;
mod tiers;
mod topk;
mod wheel;
mod windows;

pub use distinct::DISTINCT_EXACT_MAX;
pub use histogram::{Cmp, Geometry, Placed, QuantileTest};
pub use moments::MAGNITUDE_MAX;
pub use open::{GROUP_OVERFLOW, OpenPanes, RecordStats};
pub use partial::{PARTIAL_VERSION, PanePartial, PartialError, PartialReader};
pub use plan::{AccInput, AccSpec, AccValues, ViewSpec, WindowPlan};
pub use rewrite::PartialRewriter;
pub use topk::{TOPK_VALUE_BYTES_MAX, TOPK_VALUES_MAX, TopK};
pub use windows::Windows;
