//! What people write, and what it means.
//!
//! ```text
//! foghorn.yaml ─► rule::yaml ─► raw ─► check ─► checked ─► desk, edge, server
//! rules/*.yaml ─► rule::yaml ─► rule::syntax ─► rule::check ─► rule::plan
//! ```
//!
//! [`raw`] mirrors the file and documents its keys; [`checked`] holds only what is valid. They are separate types so
//! that the file can keep its shape while the program changes, and so that nothing behind [`check`] ever asks whether a
//! value makes sense. [`load`] reads the files and puts it all together: one call says everything that is wrong with a
//! configuration and all its rules.
//!
//! - `F1` a configuration that has been checked starts, as far as that can be told without the network: names resolve,
//!   expressions compile, templates render, the Kafka client takes its properties, decoders their schemas
//! - `F2` secrets are named here and never read; a secret written into a file is refused, and blotted out of the report

pub mod check;
pub mod checked;
pub mod defaults;
pub mod files;
pub mod load;
pub mod raw;
pub mod schema;

pub use check::shipped_routes;
