//! Foghorn: alerts straight off the Kafka stream.

pub mod alert;
pub mod api;
pub mod cli;
pub mod config;
pub mod decode;
pub mod edge;
pub mod engine;
pub mod model;
pub mod notify;
pub mod rule;
pub mod runtime;
pub mod sim;
pub mod stream;
pub mod window;
