//! The two machines that `run`, `replay`, `test` and the simulator drive: pure, one `handle` each.
//!
//! The desk ([`desk`]) is the control plane: signals in, deliveries out, on wall time that is handed in. What it
//! decides and why stands in the [`journal`]; what people would read stands in the [`transcript`].

pub mod desk;
pub mod journal;
pub mod transcript;
