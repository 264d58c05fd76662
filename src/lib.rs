//! Foghorn: alerts straight off the Kafka stream.

pub mod model;
pub mod window;
