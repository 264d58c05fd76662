//! What is known about events before anything is counted: which of them a rule wants ([`Filter`]), what is computed
//! from their fields ([`Derived`]), which group they belong to ([`GroupIndex`]), how far time has come
//! ([`Watermarks`]), and whether it stands still ([`Stall`]).
//!
//! Everything here works on a batch of rows and a selection of row numbers, and is a pure function of what it was
//! given so far: no clock, no randomness beyond the seed handed in, no output that depends on how events were cut
//! into batches.

pub mod expr;
pub mod group;
pub mod stall;
#[cfg(test)]
mod testing;
pub mod watermark;

pub use expr::{AggregateCall, ArgAst, Derived, ExprError, Filter, FilterAst, parse_aggregate, parse_scalar};
pub use group::{GROUP_OVERFLOW, GroupIndex, KeyPart, decode_key, encode_key, owner};
pub use stall::{Stall, StallChange};
pub use watermark::{Low, SourceReport, SourceState, Timing, Watermarks};
