//! Crashes for real: the built program on a real broker under load, killed and started again, while another one, its
//! twin, reads the same topic undisturbed. In the end both must have told the same.

#[path = "../support/mod.rs"]
mod support;

mod kills;
mod load;
mod members;
mod process;
mod receivers;
mod trouble;
