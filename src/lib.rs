//! Foghorn: alerts straight off the Kafka stream.

pub mod model;
pub mod alert;
pub mod rule;
pub mod notify;
pub mod engine;
pub mod config;
