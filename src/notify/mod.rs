//! Telling people: a notification becomes requests, what comes back becomes an outcome. No sockets.
//!
//! [`outbox`] decides which notification goes to which integration next, and [`retry`] when to try again.

pub mod config;
pub mod outbox;
pub mod retry;
pub mod secret;

pub use config::{Integration, Kind, Receiver};
pub use secret::{Secret, SecretRef};
