//! Rules: what to watch, when to worry, what to say.

pub mod check;
pub mod diagnostic;
pub mod syntax;
pub mod yaml;
