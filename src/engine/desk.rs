//! The desk.

mod config;

pub use config::{DeskBounds, DeskConfig, DeskConfigError, ReceiverPolicy};
