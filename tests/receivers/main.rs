//! Receivers: what is sent, what comes back, and what becomes of it.

mod conversations;
mod faults;
mod golden;
mod https;
mod limits;
mod mail;
mod samples;
mod secrets;
mod sinks;
