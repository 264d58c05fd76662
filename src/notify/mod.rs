//! Telling people: a notification becomes requests, what comes back becomes an outcome. No sockets.

pub mod config;
pub mod secret;

pub use config::{Kind, Integration, Receiver};
pub use secret::{Secret, SecretRef};
