//! What a desk holds of one home, as data: it moves with its partition.

use serde::{Deserialize, Serialize};

/// The alerts, groups and unsent notifications of one home.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HomeCut {}
