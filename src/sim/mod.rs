//! A world made of values: scenarios that play telemetry to the whole machine and say what must come of it.
//!
//! A scenario is a text a person reads from top to bottom: which rules, what happens, what is expected. It runs on
//! [`crate::engine::local::Local`], so it goes through the `handle` functions that `run` goes through, in no time at all.

pub mod load;
pub mod scenario;
pub mod script;
pub mod storm;
pub mod traffic;
