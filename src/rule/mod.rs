//! Rules: what to watch, when to worry, what to say.

pub mod diagnostic;
pub mod yaml;
