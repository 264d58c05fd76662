//! The only input and output: sockets, disks, clocks and the threads that wait for them. Everything here turns the
//! world into values for the engine, or values of the engine into the world; none of it decides anything.

pub mod kafka;
