//! Foghorn: alerts straight off the Kafka stream.

pub mod model;
pub mod rule;
pub mod notify;
pub mod config;
