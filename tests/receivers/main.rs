//! Receivers: what is sent, what comes back, and what becomes of it.

mod conversations;
mod faults;
mod golden;
mod limits;
mod mail;
mod samples;
mod secrets;
