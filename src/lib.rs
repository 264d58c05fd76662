//! Foghorn: alerts straight off the Kafka stream.

pub mod decode;
pub mod edge;
pub mod model;
pub mod stream;
pub mod rule;
