//! The desk's tests: a small world around it ([`world`]), scenarios as scripts, properties.

mod properties;
mod scenarios;
mod world;
