//! Foghorn: alerts straight off the Kafka stream.

pub mod config;
pub mod model;
pub mod notify;
pub mod rule;
