//! How a partition comes to a member of the group, and what it may tell others of those it has.
//!
//! A partition that is assigned to a member is *confirmed* where the member holds its cell and nobody has taken it over
//! since: after a restart, mostly. Else it is *adopted* from its newest parcel, whoever wrote that; where there is none, or
//! only one of a time before rules that were not local told what was to be told, it begins, under the next tenure. Where it
//! begins within its log, it is read from further back, for its windows ([`super::look_back`]).
//!
//! - `O1` a cell goes on only under the tenure it has; a higher one in the newest parcel says that somebody took over

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::parcel::Parcel;
use crate::engine::desk::{Desk, DeskInput};
use crate::engine::state::{CellCut, CellName, CellStart, ShardCut};
use crate::model::WallTime;
use crate::model::position::SourceId;

/// The tenure of a partition's first owner.
pub const FIRST: u64 = 1;

/// How a partition comes to a member.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// It holds it, and nobody took it over since.
    Confirmed { tenure: u64 },
    /// Somebody left it.
    Adopted { tenure: u64, parcel: Box<Parcel> },
    /// Nobody has left anything of it that matters; what its cell begins from, where that is not the log's beginning.
    Begun { tenure: u64, cell: Option<Box<CellCut>> },
}

impl Arrival {
    /// Of a partition whose cell `member` holds for the tenure `held`, if it does, and whose newest parcel this is. Parcels
    /// up to `void_until` tell nothing of how things are.
    pub fn of(member: &str, held: Option<u64>, newest: Option<Parcel>, void_until: WallTime) -> Arrival {
        match (held, newest) {
            (Some(held), Some(parcel)) if is_newer(&parcel, held, member) => adopted(parcel),
            (Some(tenure), _) => Arrival::Confirmed { tenure },
            (None, Some(parcel)) if parcel.taken_at <= void_until => {
                Arrival::Begun { tenure: tenure(&parcel.shard) + 1, cell: None }
            }
            (None, Some(parcel)) => adopted(parcel),
            (None, None) => Arrival::Begun { tenure: FIRST, cell: None },
        }
    }

    /// A partition that begins does so within its log, and is read for these streams.
    pub fn begin_at(&mut self, home: &SourceId, streams: impl IntoIterator<Item = Arc<str>>, place: CellStart) {
        if let Arrival::Begun { cell, .. } = self {
            *cell = Some(Box::new(CellCut::begun(home, streams, place)));
        }
    }

    pub fn tenure(&self) -> u64 {
        match self {
            Arrival::Confirmed { tenure } | Arrival::Adopted { tenure, .. } | Arrival::Begun { tenure, .. } => *tenure,
        }
    }

    /// What a cell that is new here goes on from, with its tenure; none where the cell is here already.
    pub fn taken_over(&self) -> Option<(u64, Option<&CellCut>)> {
        match self {
            Arrival::Confirmed { .. } => None,
            Arrival::Begun { tenure, cell } => Some((*tenure, cell.as_deref())),
            Arrival::Adopted { tenure, parcel } => Some((*tenure, Some(&parcel.shard))),
        }
    }

    /// What the desk hears, and the cell where that is news to it.
    pub fn told(self, home: &SourceId) -> (DeskInput, Option<Arc<CellCut>>) {
        let confirmed = || DeskInput::HomeConfirmed { home: home.clone() };
        match self {
            Arrival::Confirmed { .. } => (confirmed(), None),
            Arrival::Begun { tenure, cell } => {
                let nothing = || CellCut(ShardCut { shards: 1, ..ShardCut::default() });
                (confirmed(), Some(named(cell.map_or_else(nothing, |cell| *cell).0, home, tenure)))
            }
            Arrival::Adopted { tenure, parcel } => {
                let Parcel { shard: CellCut(shard), desk, .. } = *parcel;
                let adopted = DeskInput::HomeAdopted { home: home.clone(), part: Box::new(desk) };
                (adopted, Some(named(shard, home, tenure)))
            }
        }
    }
}

/// The cuts of a checkpoint without partitions that went, or came from elsewhere, after it was taken: what it holds of them
/// is not what the desk knows, which went on by these inputs.
pub fn still_here<'a>(mut cuts: Vec<ShardCut>, logged: impl Iterator<Item = &'a DeskInput>) -> Vec<ShardCut> {
    let moved = logged.filter_map(|input| match input {
        DeskInput::HomeReleased { home } | DeskInput::HomeAdopted { home, .. } => Some(home),
        _ => None,
    });
    let moved: BTreeSet<&SourceId> = moved.collect();
    cuts.retain(|cut| cut.cell.as_ref().is_none_or(|name| !moved.contains(&name.home)));
    cuts
}

/// `O1`
fn is_newer(parcel: &Parcel, held: u64, member: &str) -> bool {
    let tenure = tenure(&parcel.shard);
    tenure > held || (tenure == held && *parcel.member != *member)
}

fn tenure(cell: &CellCut) -> u64 {
    cell.name().map_or(FIRST, |name| name.tenure)
}

fn adopted(parcel: Parcel) -> Arrival {
    Arrival::Adopted { tenure: tenure(&parcel.shard) + 1, parcel: Box::new(parcel) }
}

fn named(shard: ShardCut, home: &SourceId, tenure: u64) -> Arc<CellCut> {
    Arc::new(CellCut(ShardCut { cell: Some(CellName { home: home.clone(), tenure }), ..shard }))
}

/// The newest cut of each cell, to go into parcels.
#[derive(Debug, Default)]
pub struct KnownCells(BTreeMap<SourceId, Known>);

/// What is known of one cell.
#[derive(Debug)]
struct Known {
    cell: Arc<CellCut>,
    /// The group has given us its partition since this process began. Else a parcel of it might hide its owner's.
    ours: bool,
}

impl KnownCells {
    /// From now on this is what is known of these cells.
    pub fn take(&mut self, cells: impl IntoIterator<Item = Arc<CellCut>>) {
        for cell in cells {
            if let Some(name) = cell.name() {
                let ours = self.0.get(&name.home).is_some_and(|known| known.ours);
                self.0.insert(name.home.clone(), Known { cell, ours });
            }
        }
    }

    /// A partition is ours; with its cell, where that is another one than was known.
    pub fn arrived(&mut self, home: &SourceId, cell: Option<Arc<CellCut>>) {
        self.take(cell);
        if let Some(known) = self.0.get_mut(home) {
            known.ours = true;
        }
    }

    pub fn forget(&mut self, home: &SourceId) {
        self.0.remove(home);
    }

    /// A cell whose partition is ours.
    pub fn ours(&self, home: &SourceId) -> Option<&Arc<CellCut>> {
        self.0.get(home).filter(|known| known.ours).map(|known| &known.cell)
    }

    /// What the desk remembers of partitions of which there is no cell: it was adopted after the last checkpoint. It is of no
    /// use, for whoever gets such a partition takes it over from its newest parcel, and it would never be told.
    pub fn missing(&self, desk: &Desk) -> Vec<SourceId> {
        desk.unconfirmed().filter(|home| !self.0.contains_key(home)).cloned().collect()
    }

    /// All that are known.
    pub fn homes(&self) -> impl Iterator<Item = &SourceId> {
        self.0.keys()
    }
}
