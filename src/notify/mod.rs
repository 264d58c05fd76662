//! Telling people: a notification becomes requests, what comes back becomes an outcome. No sockets.
//!
//! ```text
//! Delivery ──► Conversation ──► Request ──► edge ──► receiver
//!                   ▲                                  │
//!                   └──────────── Answer ◄─────────────┘
//!              judge ──► Outcome ──► desk
//! ```
//!
//! [`outbox`] decides which notification goes to which integration next, and [`retry`] when to try again. Each receiver
//! is a pure function from a notification to a payload, so a golden file is the whole test of what people see;
//! [`conversation`] orders the requests of a delivery; [`judge`] is the one place that decides what may be tried again.

pub mod check;
pub mod config;
pub mod console;
pub mod conversation;
pub mod email;
pub mod judge;
pub mod outbox;
pub mod pagerduty;
pub mod present;
pub mod request;
pub mod retry;
pub mod secret;
pub mod slack;
pub mod webhook;

pub use config::{Integration, Kind, Receiver};
pub use conversation::{Conversation, Step};
pub use request::{Answer, Request};
pub use secret::{Secret, SecretRef};
