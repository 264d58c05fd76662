//! Telling people: a notification becomes requests, what comes back becomes an outcome. No sockets.

pub mod config;
pub mod secret;

pub use config::{Integration, Kind, Receiver};
pub use secret::{Secret, SecretRef};
