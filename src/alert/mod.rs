//! Alerts and whom they concern: one alert's life, the routing tree, notification groups.
//!
//! Everything here is a value and a function over values. What a group still owes to whom, and whether the moment has
//! come to say it, is decided by [`group::judge`], which returns the decision with its reason; the desk
//! ([`crate::engine::desk`]) owns the tables and the clockwork, and hands `now` in.
//!
//! In the order data meets them: a signal moves an alert's life ([`life`]), its labels are matched ([`matcher`])
//! against the routing tree ([`route`]), and each matching route puts the alert into a group ([`group`]), in which a silence
//! may hide it ([`silence`]).

pub mod group;
pub mod life;
pub mod matcher;
pub mod route;
pub mod silence;

pub use group::{Flush, Group, Leg, SkipReason, WaitReason};
pub use life::{Alert, AlertId, AlertName, Life};
pub use matcher::{MatchOp, Matcher, MatcherError};
pub use route::{GroupBy, Route, RouteError, RouteId, RouteNode, RouteTree, Timing};
pub use silence::{Silence, SilenceId, SilenceState, Silences};
