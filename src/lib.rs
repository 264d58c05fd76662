//! Foghorn: alerts straight off the Kafka stream.

pub mod edge;
pub mod model;
pub mod notify;
