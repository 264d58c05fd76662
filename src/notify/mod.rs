//! From a notification to a receiver that has it.
//!
//! [`outbox`] decides which notification goes to which integration next, and [`retry`] when to try again.

pub mod outbox;
pub mod retry;
