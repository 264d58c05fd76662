//! The only input and output: sockets, disks, clocks and the threads that wait for them. Everything here turns the
//! world into values for the engine, or values of the engine into the world; none of it decides anything.

pub mod kafka;
//! The edge: the only place with sockets, files, clocks and the environment. It carries what `notify` made and brings back
//! what was answered; it decides nothing.

pub mod http;
pub mod secrets;
pub mod senders;
pub mod smtp;
pub mod standins;
