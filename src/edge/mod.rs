//! The outside world: the only I/O there is.

pub mod clock;
pub mod files;
pub mod http;
pub mod kafka;
pub mod observe;
pub mod process;
pub mod secrets;
pub mod senders;
pub mod smtp;
pub mod standins;
