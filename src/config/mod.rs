//! What people write and what it means.
//!
//! [`raw`] mirrors the file, [`checked`] holds only what is valid.

pub mod check;
pub mod checked;
pub mod defaults;
pub mod files;
pub mod load;
pub mod raw;
pub mod schema;

pub use check::shipped_routes;
