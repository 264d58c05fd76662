//! The edge: the only place with sockets, files, clocks and the environment. It carries what `notify` made and brings back
//! what was answered; it decides nothing.

pub mod clock;
pub mod commit;
pub mod crash_point;
pub mod disk;
pub mod files;
pub mod history;
pub mod http;
pub mod kafka;
pub mod observe;
pub mod process;
pub mod secrets;
pub mod senders;
pub mod smtp;
pub mod standins;
pub mod watch;
