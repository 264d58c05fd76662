//! Partitions that move between two members, in the order of `runtime/homes`: what a partition arrives with is known before
//! it is read, the cell is there before the first record, and the desk has the home before the first signal. Parcels are
//! written when a partition leaves, when it is adopted or begins, with every checkpoint, and around every notification.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Mail, Member};
use crate::alert::route::home_of;
use crate::checkpoint::arrival::{Arrival, KnownCells};
use crate::checkpoint::holdings::Holdings;
use crate::engine::desk::{DeskInput, DeskOutput};
use crate::engine::shard::{ShardInput, positions};
use crate::engine::state::{CellCut, ShardCut};
use crate::model::{Delivery, Millis, Outcome, Position, SourceId, WallTime};
use crate::sim::storm::receivers::answered;
use crate::sim::storm::{Outside, Sabotage, handover};

/// How long a partition that leaves waits for the answers to what is under way.
const ANSWERS_MAX: Millis = Millis::from_secs(3);

/// How long a notification waits for Kafka to have its parcel.
const PUBLISH_MAX: i64 = 1_000;

/// How long a partition that leaves waits for Kafka to have its parcel.
const LEAVE_MAX: i64 = 5_000;

/// How long partitions that are taken away wait for all that.
const LEAVING_MAX: i64 = 10_000;

/// What a member has of partitions that move.
#[derive(Default)]
pub struct Homes {
    holdings: Holdings,
    cells: KnownCells,
    leaving: Vec<Leaving>,
    outgoing: Vec<Outgoing>,
    /// Partitions to be let go of, and when.
    releases: Vec<(i64, SourceId)>,
    /// Partitions that were taken away, and until when they may wait for their shards, their parcels and Kafka.
    departing: BTreeMap<SourceId, i64>,
}

struct Leaving {
    home: SourceId,
    cell: CellCut,
    until: WallTime,
}

/// What waits for its parcel before it is sent.
struct Outgoing {
    at: i64,
    receiver: Arc<str>,
    delivery: Delivery,
    parcel: Before,
}

/// What became of the parcel before a notification.
#[derive(Clone, Copy, Debug)]
enum Before {
    /// There is none to be written: the partition is not known to be ours.
    Unknown,
    /// Kafka has it at that moment; and the tenure in which it was written.
    Taken(i64, u64),
    /// Another member has the partition.
    Outpaced,
}

impl Homes {
    pub fn new(cuts: &[ShardCut]) -> Homes {
        let mut homes = Homes { holdings: Holdings::restored(cuts), ..Homes::default() };
        homes.cells.take(cuts.iter().map(CellCut::of).map(Arc::new));
        homes
    }

    pub fn take(&mut self, cells: impl IntoIterator<Item = Arc<CellCut>>) {
        self.cells.take(cells);
    }
}

impl Member {
    /// What the desk remembers of partitions without a cell is of no use.
    pub(super) fn forget_missing(&mut self, outside: &mut Outside<'_>) {
        let missing = self.homes.as_ref().map(|homes| homes.cells.missing(&self.desk));
        for home in missing.into_iter().flatten() {
            self.tell(outside, DeskInput::HomeReleased { home });
        }
    }

    /// Partitions are assigned: what they arrive with decides where they are read on.
    pub(super) fn find_out(&mut self, outside: &mut Outside<'_>, partitions: &[usize]) {
        let Some(homes) = &mut self.homes else { return };
        for partition in partitions {
            let home = outside.partitions[*partition].source.clone();
            let lost = outside.options.sabotaged(Sabotage::LoseParcel);
            let newest = outside.handover.latest(outside.now, &home).filter(|_| !lost);
            let member = handover::member_of(outside.host);
            let arrival = homes.holdings.find_out(&member, &home, newest, WallTime::MIN, &self.plan);
            match &arrival {
                Arrival::Adopted { parcel, .. } => {
                    outside.comes_from(&parcel.member, &home);
                    self.consumer.forget(&home);
                    self.consumer.resume_at(positions(std::slice::from_ref(&parcel.shard.0)));
                }
                Arrival::Begun { .. } => {
                    let of = &outside.partitions[*partition];
                    let start = self.consumer.start(of).unwrap_or((of.start - of.base) as i64);
                    let at = of.look_back(outside.now, start, self.plan.look_back(0));
                    arrival.begin_at(&home, [self.plan.streams[0].schema.name.clone()], at);
                    self.consumer.resume_at([Position { source: home.clone(), offset: at.read_from }]);
                    outside.watch.begins(&home);
                    if start > 0 {
                        outside.watch.inexact(|| format!("{home} begins within its log, and its timers with it"));
                    }
                }
                Arrival::Confirmed { .. } => {}
            }
            if !matches!(arrival, Arrival::Confirmed { .. }) {
                outside.handover.takes_over(outside.now, outside.host, &home, arrival.tenure());
            }
            let how = match &*arrival {
                Arrival::Confirmed { tenure } => format!("confirmed in tenure {tenure}"),
                Arrival::Adopted { tenure, parcel } => format!("adopted from {} in tenure {tenure}", parcel.member),
                Arrival::Begun { tenure, .. } => format!("begun in tenure {tenure}"),
            };
            outside.say(format!("{home} comes to host {}: {how}", outside.host));
            homes.holdings.arrive(&home);
        }
    }

    /// The group takes a partition away.
    pub(super) fn part_with(&mut self, home: &SourceId) {
        if let Some(homes) = &mut self.homes {
            homes.holdings.depart(home);
            self.consumer.forget(home);
        }
    }

    /// … and waits for it to be let go of.
    pub(super) fn lets_go(&mut self, outside: &Outside<'_>, home: SourceId) {
        if let Some(homes) = &mut self.homes {
            homes.departing.insert(home, outside.now + LEAVING_MAX);
        }
    }

    /// Whether what the group says next has to wait for partitions that are let go of.
    pub fn is_letting_go(&self, outside: &Outside<'_>) -> bool {
        self.homes.iter().flat_map(|homes| homes.departing.values()).any(|until| outside.now < *until)
    }

    /// The shard's thread comes to partitions that were assigned, and are read from there.
    pub(super) fn arrive(&mut self, outside: &mut Outside<'_>, shard: usize, sources: &[(SourceId, i64)]) {
        let Some(homes) = &mut self.homes else { return };
        let mut said = Vec::new();
        for (home, next) in sources {
            let Some(arrival) = homes.holdings.arrived(home) else { continue };
            outside.watch.reads_from(&outside.partitions[home.partition as usize], *next);
            if let Arrival::Adopted { .. } = arrival {
                outside.watch.adopts(home);
            }
            let cells = self.shards[shard].cells().expect("where partitions move there are cells");
            if let Some((tenure, left)) = arrival.taken_over() {
                let adopted = cells.adopt(home.clone(), tenure, left, &mut said);
                adopted.expect("what passed its checksum is read");
            }
            let (input, cell) = arrival.told(home);
            self.mail.push_back(Mail::Home { shard, input, cell });
        }
        self.say(outside, shard, said);
    }

    /// Whether the partition of a cell is another's, or has come again, and its shard has not come to that.
    pub(super) fn is_behind(&mut self, outside: &Outside<'_>, shard: usize, home: &SourceId) -> bool {
        let held = self.homes.as_ref().and_then(|homes| homes.holdings.tenure(home));
        let here = self.shards[shard].cells().and_then(|cells| cells.tenure(home));
        !outside.group.is_of(outside.host, home.partition as usize) || held.is_some_and(|held| Some(held) != here)
    }

    /// … or to those that were revoked.
    pub(super) fn depart(&mut self, outside: &mut Outside<'_>, shard: usize, sources: Vec<SourceId>) {
        for home in sources {
            let mut said = Vec::new();
            let left = self.shards[shard].cells().and_then(|cells| cells.leave(&home, &mut said));
            self.say(outside, shard, said);
            self.forget(&home);
            self.mail.extend(left.map(|cell| Mail::Leaving { shard, home, cell: Box::new(cell) }));
        }
    }

    /// … or that are another's already.
    pub(super) fn lose(&mut self, outside: &mut Outside<'_>, shard: usize, sources: Vec<SourceId>) {
        sources.iter().for_each(|home| self.give_up(shard, home));
        self.handle(outside, shard, ShardInput::Revoked(sources));
    }

    pub(super) fn give_up(&mut self, shard: usize, home: &SourceId) {
        self.forget(home);
        let input = DeskInput::HomeReleased { home: home.clone() };
        self.mail.push_back(Mail::Home { shard, input, cell: None });
    }

    fn forget(&mut self, home: &SourceId) {
        if self.homes.as_mut().is_some_and(|homes| homes.holdings.forget(home)) {
            self.consumer.forget(home);
        }
    }

    /// A shard says that its windows are whole: those of its partitions that are the host's.
    pub(super) fn mend_own(&mut self, outside: &mut Outside<'_>, shard: usize) {
        for report in self.shards[shard].status().streams.swap_remove(0).sources {
            let judged = self.shards[shard].cells().and_then(|cells| cells.judged(0, &report.source));
            if let Some(judged) = judged.filter(|_| !self.is_behind(outside, shard, &report.source)) {
                outside.watch.mend_own(&report.source, judged);
            }
        }
    }

    /// The desk hears how a partition arrived, or that it is gone, and lets the other member know.
    pub(super) fn welcome(&mut self, outside: &mut Outside<'_>, input: DeskInput, cell: Option<Arc<CellCut>>) {
        let Some(homes) = &mut self.homes else { return };
        let silences = match &input {
            DeskInput::HomeAdopted { part, .. } => part.silences().to_vec(),
            _ => Vec::new(),
        };
        let new = match &input {
            DeskInput::HomeReleased { home } => {
                homes.cells.forget(home);
                return self.tell(outside, input);
            }
            DeskInput::HomeConfirmed { home } | DeskInput::HomeAdopted { home, .. } => {
                let new = cell.as_ref().map(|_| home.clone());
                homes.cells.arrived(home, cell);
                homes.leaving.retain(|leaving| leaving.home != *home); // it is back before it was gone
                if matches!(input, DeskInput::HomeAdopted { .. }) {
                    outside.adopts_told(home);
                }
                new
            }
            _ => unreachable!("partitions come and go in three ways"),
        };
        self.tell(outside, input);
        if !outside.disk.is_dead() {
            outside.watch.silences_come(&silences, &self.desk);
        }
        if let Some(home) = new {
            self.publish(outside, &home);
        }
    }

    /// The desk hears that a partition is to leave.
    pub(super) fn see_off(&mut self, outside: &mut Outside<'_>, home: SourceId, cell: CellCut) {
        self.tell(outside, DeskInput::HomeLeaving { home: home.clone() });
        let until = self.now(outside) + ANSWERS_MAX;
        self.homes
            .iter_mut()
            .for_each(|homes| homes.leaving.push(Leaving { home: home.clone(), cell: cell.clone(), until }));
        self.let_go(outside, false);
    }

    /// Makes the last parcels of partitions that leave, when what is under way of them is answered, or time is up.
    pub(super) fn let_go(&mut self, outside: &mut Outside<'_>, at_once: bool) {
        let now = self.now(outside);
        let Some(homes) = &mut self.homes else { return };
        let ready = |l: &mut Leaving| at_once || l.until <= now || self.desk.under_way(&l.home) == 0;
        let ready: Vec<Leaving> = homes.leaving.extract_if(.., ready).collect();
        for Leaving { home, cell, .. } in ready {
            let Some(homes) = &mut self.homes else { return };
            let cell = homes.cells.last(&home, &cell);
            homes.cells.forget(&home);
            let at = self.send(outside, &home, cell).unwrap_or(outside.now).min(outside.now + LEAVE_MAX);
            self.homes.iter_mut().for_each(|homes| homes.releases.push((at, home.clone())));
            self.tell(outside, DeskInput::HomeReleased { home });
        }
    }

    /// Sends a parcel, unless the process has ended: its threads are gone, whatever they were about to do.
    fn send(&self, outside: &mut Outside<'_>, home: &SourceId, cell: CellCut) -> Option<i64> {
        if outside.disk.is_dead() {
            return None;
        }
        let (now, part) = ((outside.now, outside.wall()), self.desk.home_cut(home));
        outside.handover.publish(now, (outside.host, self.life), home, cell, part)
    }

    /// Writes a partition's parcel, if it is ours.
    fn publish(&self, outside: &mut Outside<'_>, home: &SourceId) -> Before {
        let ours = self.homes.as_ref().and_then(|homes| homes.cells.ours(home));
        let Some(cell) = ours else { return Before::Unknown };
        let tenure = cell.name().map_or(0, |name| name.tenure);
        let sent = self.send(outside, home, cell);
        sent.map_or(Before::Outpaced, |at| Before::Taken(at, tenure))
    }

    /// Looks whether the other member took over what the group has given to this one.
    pub(super) fn contest(&mut self, outside: &mut Outside<'_>) {
        let (now, Some(homes)) = (self.desk.now(), &mut self.homes) else { return };
        let (host, handover) = (outside.host, &outside.handover);
        let contested = homes.cells.contest(now, |home, tenure| handover.outpaced(outside.now, host, home, tenure));
        contested.iter().for_each(|home| outside.say(format!("host {host} contests {home}")));
    }

    pub(super) fn publish_all(&self, outside: &mut Outside<'_>) {
        for home in self.homes.iter().flat_map(|homes| homes.cells.homes()) {
            self.publish(outside, home);
        }
    }

    /// Writes the parcels of partitions that something is told of, before it is.
    pub(super) fn announce(&self, outside: &mut Outside<'_>, out: &[DeskOutput]) -> Announced {
        let told = out.iter().filter_map(|output| match output {
            DeskOutput::Deliver { delivery, .. } if self.homes.is_some() => home_of(&delivery.notification.group_key),
            _ => None,
        });
        let homes: BTreeSet<SourceId> = told.collect();
        Announced(homes.into_iter().map(|home| (home.clone(), self.publish(outside, &home))).collect())
    }

    /// Sends it, or lets it wait for its parcel.
    pub(super) fn post(
        &mut self,
        outside: &mut Outside<'_>,
        receiver: Arc<str>,
        delivery: Delivery,
        announced: &Announced,
    ) {
        outside.watch.delivers(&receiver, &delivery);
        let Some(homes) = &mut self.homes else { return outside.deliver(self.life, receiver, delivery, false) };
        let home = home_of(&delivery.notification.group_key);
        let parcel = home.and_then(|home| announced.0.get(&home).copied()).unwrap_or(Before::Unknown);
        let at = if let Before::Taken(at, _) = parcel { at.min(outside.now + PUBLISH_MAX) } else { outside.now };
        homes.outgoing.push(Outgoing { at, receiver, delivery, parcel });
    }

    /// The clock moved: what waited for Kafka goes on. Partitions that are let go of.
    pub(super) fn go_out(&mut self, outside: &mut Outside<'_>) {
        let Some(homes) = &mut self.homes else { return };
        let due: Vec<Outgoing> = homes.outgoing.extract_if(.., |outgoing| outgoing.at <= outside.now).collect();
        for (_, home) in homes.releases.extract_if(.., |(at, _)| *at <= outside.now) {
            homes.departing.remove(&home);
            outside.group.releases(outside.host, home.partition as usize);
        }
        for Outgoing { receiver, delivery, parcel, .. } in due {
            match self.still_ours(outside, &delivery, parcel) {
                Before::Unknown => outside.deliver(self.life, receiver, delivery, false),
                Before::Taken(at, _) => outside.deliver(self.life, receiver, delivery, at <= outside.now),
                Before::Outpaced => {
                    let reason = "another member has the partition".to_owned();
                    let outcome = Outcome::Retry { after: None, throttled: false, reason };
                    self.answers.push_back(answered(&receiver, &delivery, outcome));
                }
            }
        }
    }

    /// Looks again, now that Kafka has the parcel.
    fn still_ours(&self, outside: &Outside<'_>, delivery: &Delivery, parcel: Before) -> Before {
        let Before::Taken(_, tenure) = parcel else { return parcel };
        let Some((home, homes)) = home_of(&delivery.notification.group_key).zip(self.homes.as_ref()) else {
            return parcel;
        };
        let outpaced = outside.handover.outpaced(outside.now, outside.host, &home, tenure).is_some();
        if outpaced || !homes.holdings.is_of(&home, tenure) { Before::Outpaced } else { parcel }
    }

    /// After a receipt: whoever comes next need not tell it.
    pub(super) fn publish_after(&mut self, outside: &mut Outside<'_>, home: Option<SourceId>) {
        if let Some(home) = home {
            self.publish(outside, &home);
        }
        self.let_go(outside, false);
    }

    /// The process ends in good order, and Kafka has its last parcels.
    pub fn close(&mut self, outside: &mut Outside<'_>) {
        self.let_go(outside, true);
        self.publish_all(outside);
        outside.handover.flush(self.life, outside.now);
    }
}

/// By partition: the parcels written before something was told.
pub struct Announced(BTreeMap<SourceId, Before>);
