//! Rules: what is asked of the windows, for how long it must hold, and how it is said.
//!
//! A rule file becomes a tree with places ([`yaml`]), then what was written ([`syntax`]), then what is meant
//! ([`check`], [`plan`]); mistakes on the way are [`diagnostic`]s, all of them at once.
//!
//! A rule's `when` is a [`condition`]: text compiled once into a program that answers breach, normal or unknown for a
//! group at a tick. [`hold`] turns the sequence of those verdicts into pending, firing and resolved. [`template`]
//! renders labels and annotations.
//!
//! All of it is plain functions over values: the engine brings the numbers and the ticks.

pub mod check;
pub mod condition;
pub mod diagnostic;
pub mod hold;
pub mod plan;
pub mod suggest;
pub mod syntax;
pub mod template;
pub mod yaml;
