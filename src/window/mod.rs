//! Panes and sliding windows: what rules can ask about, per group.
mod codec;
mod counts;
mod distinct;
mod extremes;
mod histogram;
mod moments;
mod open;
mod open_log;
mod partial;
mod plan;
#[cfg(test)]
mod properties;
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
pub use topk::{TOPK_VALUE_BYTES_MAX, TOPK_VALUES_MAX, TopK};
pub use windows::Windows;
