//! What integration tests share: clusters, members of groups, waiting.
//!
//! A test binary uses the part it needs.
#![allow(dead_code)]

pub mod apache;
pub mod cluster;
pub mod live;
pub mod member;
pub mod wait;
