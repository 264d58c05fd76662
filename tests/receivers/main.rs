//! Receivers: what is sent, what comes back, and what becomes of it.

mod conversations;
mod golden;
mod limits;
mod mail;
mod rehearsal;
mod samples;
mod secrets;
