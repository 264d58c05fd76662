//! What goes along with a partition when it moves to another member of the group.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::engine::desk::HomeCut;
use crate::engine::state::CellCut;
use crate::model::WallTime;
use crate::model::position::SourceId;

/// One partition, as the member that read it leaves it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Parcel {
    pub source: SourceId,
    /// The instance id of the member that wrote it.
    pub member: Arc<str>,
    /// Grows with every parcel of this member.
    pub number: u64,
    pub taken_at: WallTime,
    pub shard: CellCut,
    pub desk: HomeCut,
}
