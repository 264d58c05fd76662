//! How a partition comes to a member of the group, and what it may tell others of those it has.
//!
//! A partition that is assigned to a member is *confirmed* where the member holds its cell and nobody has taken it over
//! since: after a restart, mostly. Else it is *adopted* from its newest parcel, whoever wrote that; where there is none, or
//! only one of a time before rules that were not local told what was to be told, it begins, under the next tenure. Where it
//! begins within its log, it is read from further back, for its windows ([`super::look_back`]).
//!
//! Who stood still may adopt a partition that the group has given to another meanwhile, before it hears of that; its parcel
//! then has a higher tenure than those of the owner. It hears of the group within seconds. So whoever is outpaced for longer
//! and hears nothing of the kind is the owner, and contests: its parcels have a higher tenure still. Without that it would say
//! nothing until the partition moves.
//!
//! - `O1` a cell goes on only under the tenure it has; a higher one in the newest parcel says that somebody took over
//! - `O4` the owner of a partition, as the group has it, is not outpaced for long

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::parcel::Parcel;
use crate::engine::desk::{Desk, DeskInput};
use crate::engine::record::{PartitionEvent, PartitionRecord};
use crate::engine::state::{CellCut, CellName, CellStart, ShardCut};
use crate::model::position::SourceId;
use crate::model::{Millis, WallTime};

/// The tenure of a partition's first owner.
pub const FIRST: u64 = 1;

/// How long an owner is outpaced before it contests: longer than it takes to hear that one is no owner any more.
const CONTEST_AFTER: Millis = Millis::from_secs(10);

/// How a partition comes to a member.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// It holds it, and nobody took it over since.
    Confirmed { tenure: u64 },
    /// Somebody left it.
    Adopted { tenure: u64, parcel: Box<Parcel> },
    /// Nobody has left anything of it that matters; what its cell begins from, once that is known.
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

    /// A partition that begins does so at this place, and is read for these streams.
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

    /// As history tells of it.
    pub fn record(&self, home: &SourceId) -> PartitionRecord {
        let what = match self {
            Arrival::Confirmed { .. } => PartitionEvent::Confirmed,
            Arrival::Adopted { parcel, .. } => PartitionEvent::Adopted { from: parcel.member.clone() },
            Arrival::Begun { cell, .. } => {
                let place = cell.as_ref().and_then(|cell| cell.start());
                let (read_from, judged_from) = place.map(|place| (place.read_from, place.judged_from)).unzip();
                PartitionEvent::Begun { read_from, judged_from }
            }
        };
        PartitionRecord { partition: home.to_string(), tenure: self.tenure(), what }
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
    /// Since when somebody else's parcel has a higher tenure.
    outpaced: Option<WallTime>,
    /// The tenure that parcels have at least.
    least: u64,
}

impl KnownCells {
    /// From now on this is what is known of these cells.
    pub fn take(&mut self, cells: impl IntoIterator<Item = Arc<CellCut>>) {
        for cell in cells {
            if let Some(name) = cell.name() {
                let home = name.home.clone();
                let (ours, outpaced, least) = match self.0.remove(&home) {
                    Some(Known { ours, outpaced, least, .. }) => (ours, outpaced, least),
                    None => (false, None, FIRST),
                };
                self.0.insert(home, Known { cell, ours, outpaced, least });
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

    /// A cell whose partition is ours, as it goes into a parcel.
    pub fn ours(&self, home: &SourceId) -> Option<CellCut> {
        self.0.get(home).filter(|known| known.ours).map(|known| known.in_tenure(&known.cell))
    }

    /// The cell of a partition that leaves, as it goes into its last parcel.
    pub fn last(&self, home: &SourceId, cell: &CellCut) -> CellCut {
        self.0.get(home).map_or_else(|| cell.clone(), |known| known.in_tenure(cell))
    }

    /// Looks who is outpaced (`O4`), where `outpacing` is the higher tenure that somebody else has of a partition. To be called
    /// every few seconds. Returns the partitions that are contested from now on.
    pub fn contest(&mut self, now: WallTime, outpacing: impl Fn(&SourceId, u64) -> Option<u64>) -> Vec<SourceId> {
        let mut contested = Vec::new();
        for (home, known) in self.0.iter_mut().filter(|(_, known)| known.ours) {
            let higher = outpacing(home, known.tenure());
            known.outpaced = higher.map(|_| known.outpaced.unwrap_or(now));
            if let (Some(higher), Some(since)) = (higher, known.outpaced)
                && now.since(since) >= CONTEST_AFTER
            {
                (known.least, known.outpaced) = (higher + 1, None);
                contested.push(home.clone());
            }
        }
        contested
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

impl Known {
    fn tenure(&self) -> u64 {
        tenure(&self.cell).max(self.least)
    }

    fn in_tenure(&self, cell: &CellCut) -> CellCut {
        let name = cell.name().map(|name| CellName { tenure: name.tenure.max(self.least), ..name.clone() });
        CellCut(ShardCut { cell: name, ..cell.0.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::desk::HomeCut;
    use crate::engine::shard::{committable, positions};
    use crate::model::Position;

    fn home() -> SourceId {
        SourceId::new("orders", 3)
    }

    /// What a member leaves of the partition in its `tenure`th hands.
    fn parcel(member: &str, tenure: u64, taken_at: i64) -> Parcel {
        let place = CellStart { read_from: 20, judged_from: 50 };
        let CellCut(shard) = CellCut::begun(&home(), ["orders".into()], place);
        let shard = CellCut::clone(&named(shard, &home(), tenure));
        let (member, taken_at) = (member.into(), WallTime(taken_at));
        Parcel { source: home(), member, number: 1, taken_at, shard, desk: HomeCut::default() }
    }

    /// Who comes, with the tenure that it holds and the newest parcel: how it arrives.
    fn check(member: &str, held: Option<u64>, newest: Option<(&str, u64)>, expect: &str) {
        let newest = newest.map(|(member, tenure)| parcel(member, tenure, 10));
        let told = match Arrival::of(member, held, newest, WallTime(5)) {
            Arrival::Confirmed { tenure } => format!("confirmed in {tenure}"),
            Arrival::Adopted { tenure, parcel } => format!("adopted from {} in {tenure}", parcel.member),
            Arrival::Begun { tenure, .. } => format!("begun in {tenure}"),
        };
        assert_eq!(told, expect, "{member} comes, holds {held:?}");
    }

    #[test]
    fn who_holds_a_partition_goes_on_unless_somebody_took_it_over() {
        check("a", Some(4), None, "confirmed in 4");
        check("a", Some(4), Some(("a", 4)), "confirmed in 4");
        check("a", Some(4), Some(("b", 3)), "confirmed in 4"); // who was outpaced and has not heard of it
        check("a", Some(4), Some(("b", 5)), "adopted from b in 6");
        check("a", Some(4), Some(("a", 5)), "adopted from a in 6"); // it knows less than it once did
        check("a", None, Some(("a", 4)), "adopted from a in 5");
    }

    /// The first parcel of `a`, which began, never came to Kafka: so `b` began as well, in the same tenure.
    #[test]
    fn of_two_that_began_one_takes_over_from_the_other() {
        check("a", None, None, "begun in 1");
        check("b", None, None, "begun in 1");
        check("b", Some(FIRST), Some(("b", 1)), "confirmed in 1");
        check("a", Some(FIRST), Some(("b", 1)), "adopted from b in 2");
        check("b", Some(FIRST), Some(("a", 2)), "adopted from a in 3");
        check("c", None, Some(("b", 1)), "adopted from b in 2");
    }

    /// Rules were not local meanwhile; what stands in a parcel of before was told by others.
    #[test]
    fn what_a_parcel_of_another_time_says_does_not_count_but_its_tenure_does() {
        let arrival = Arrival::of("a", None, Some(parcel("b", 7, 5)), WallTime(5));
        assert!(matches!(arrival, Arrival::Begun { tenure: 8, .. }), "{arrival:?}");
    }

    /// Who takes over what was begun and not read yet begins at the same place, whatever the group has committed since.
    #[test]
    fn what_was_begun_moves_with_its_place() {
        let mut begun = Arrival::of("a", None, None, WallTime::MIN);
        begun.begin_at(&home(), ["orders".into()], CellStart { read_from: 20, judged_from: 50 });
        assert_eq!(begun.record(&home()).to_string(), "orders/3, tenure 1, at offset 50, read from 20");
        let (_, cell) = begun.told(&home());
        let cell = CellCut::clone(&cell.expect("it is news to the desk"));
        assert_eq!(cell, parcel("a", FIRST, 10).shard);
        let cuts = [cell.0];
        let offset = |found: Vec<Position>| found.into_iter().map(|position| position.offset).collect::<Vec<_>>();
        assert_eq!((offset(positions(&cuts)), offset(committable(&cuts))), (vec![20], vec![50]));
    }

    /// Somebody stood still, woke, and took over what the group had given to us meanwhile.
    #[test]
    fn who_is_outpaced_and_hears_nothing_from_the_group_has_the_partition() {
        let home = SourceId::new("requests", 0);
        let mut cells = KnownCells::default();
        cells.arrived(&home, Some(named(ShardCut::default(), &home, 4)));
        let tenure = |cells: &KnownCells| cells.ours(&home).and_then(|cell| Some(cell.name()?.tenure));
        let look = |cells: &mut KnownCells, at| cells.contest(WallTime(at), |_, ours| (ours < 5).then_some(5)).len();
        assert_eq!((look(&mut cells, 0), look(&mut cells, 9_999), tenure(&cells)), (0, 0, Some(4)));
        cells.take([named(ShardCut::default(), &home, 4)]);
        assert_eq!((look(&mut cells, 10_000), tenure(&cells)), (1, Some(6)));
        cells.take([named(ShardCut::default(), &home, 4)]);
        assert_eq!(
            (look(&mut cells, 60_000), tenure(&cells)),
            (0, Some(6)),
            "a newer checkpoint changes nothing of that"
        );
        let left = cells.last(
            &home,
            &CellCut(ShardCut { cell: Some(CellName { home: home.clone(), tenure: 4 }), ..ShardCut::default() }),
        );
        assert_eq!(left.name().map(|name| name.tenure), Some(6), "nor does its leaving");
    }
}
