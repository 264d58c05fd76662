//! The two machines that `run`, `replay`, `test` and the simulator drive: pure, one `handle` each.
//!
//! A [`shard`] is the data plane: records in, signals out, in event time. The [`desk`] is the control plane: signals in,
//! deliveries out, on wall time that is handed in. What the desk decides and why stands in the [`journal`]; what outlives
//! the process of that is a [`record`]. A [`plan`] says what the shards keep; [`local`] is the whole machine in one thread.

pub mod align;
pub mod cells;
pub mod change;
pub mod desk;
pub mod exemplars;
pub mod feed;
pub mod heard;
pub mod journal;
pub mod judge;
pub mod limit;
pub mod local;
pub mod machine;
pub mod merge;
pub mod packet;
pub mod pane_log;
pub mod plan;
pub mod record;
pub mod shard;
pub mod stall;
pub mod state;
pub mod steady;
pub mod transcript;
pub mod visitors;
