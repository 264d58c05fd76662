//! Rules: what is asked of the windows, for how long it must hold, and how it is said.
//!
//! A rule's `when` is a [`condition`]: text compiled once into a program that answers breach, normal or unknown for a
//! group at a tick. [`hold`] turns the sequence of those verdicts into pending, firing and resolved; [`absence`] makes
//! verdicts out of silence. [`template`] renders labels and annotations.
//!
//! All of it is plain functions over values: the engine brings the numbers and the ticks.

pub mod absence;
pub mod condition;
pub mod hold;
pub mod suggest;
pub mod template;
