//! The handover topic: parcels that Kafka takes after a while, and that outlive whoever sent them. What a killed process had
//! on its way arrives or does not, up to some parcel and in order, as its producer sent them. Where nobody reaches the topic,
//! parcels wait, and those that wait too long are given up.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::Rng;
use rand::rngs::StdRng;

use crate::checkpoint::parcel::{self, PARCEL_BYTES_MAX, Parcel};
use crate::engine::desk::HomeCut;
use crate::engine::state::CellCut;
use crate::model::{SourceId, WallTime};

/// How long Kafka may take for a parcel.
const TAKES_MAX: i64 = 800;

/// How long who follows the topic may be behind it.
const HEARD_AFTER: i64 = 200;

/// How long a parcel waits for Kafka before it is given up.
const GIVEN_UP_AFTER: i64 = 10_000;

/// When Kafka has what never comes to it.
const NEVER: i64 = i64::MAX;

#[derive(Debug)]
pub struct Handover {
    sent: Vec<Sent>,
    dice: StdRng,
    /// Nobody reaches the topic before this moment.
    pub away_until: i64,
    /// The place of the parcel from which a host took a partition over for a tenure.
    taken_over: BTreeMap<(SourceId, usize, u64), usize>,
    /// By host: since when it stood still, and until when it does not know what came meanwhile.
    behind: [(i64, i64); 2],
}

#[derive(Debug)]
struct Sent {
    source: SourceId,
    host: usize,
    life: u32,
    tenure: u64,
    /// When Kafka has it.
    at: i64,
    bytes: Vec<u8>,
}

/// The instance id of a host's member.
pub fn member_of(host: usize) -> Arc<str> {
    format!("member-{host}").into()
}

impl Handover {
    pub fn new(dice: StdRng) -> Handover {
        let (away_until, behind) = (i64::MIN, [(i64::MIN, i64::MIN); 2]);
        Handover { sent: Vec::new(), dice, away_until, taken_over: BTreeMap::new(), behind }
    }

    /// Parcels that were sent so far.
    pub fn sent(&self) -> usize {
        self.sent.len()
    }

    /// Sends a parcel; when Kafka has it, unless the sender is known to have been outpaced.
    pub fn publish(
        &mut self,
        (now, taken_at): (i64, WallTime),
        (host, life): (usize, u32),
        source: &SourceId,
        shard: CellCut,
        desk: HomeCut,
    ) -> Option<i64> {
        let tenure = shard.name().map_or(0, |name| name.tenure);
        if self.outpaced(now, host, source, tenure).is_some() {
            return None;
        }
        let number = self.sent.len() as u64 + 1;
        let parcel = Parcel { source: source.clone(), member: member_of(host), number, taken_at, shard, desk };
        let bytes = parcel::pack(&parcel, PARCEL_BYTES_MAX).expect("it is small").bytes;
        let before = self.sent.iter().filter(|sent| sent.life == life && sent.at < NEVER).map(|sent| sent.at).max();
        let (takes, reached) = (self.dice.random_range(5..TAKES_MAX), self.away_until.max(now));
        let given_up = reached - now > GIVEN_UP_AFTER;
        let at = if given_up { NEVER } else { (reached + takes).max(before.unwrap_or(0)) };
        self.sent.push(Sent { source: source.clone(), host, life, tenure, at, bytes });
        Some(at)
    }

    /// For which tenure somebody has taken the partition over from whoever has it for this one, as far as the host knows.
    pub fn outpaced(&self, now: i64, host: usize, source: &SourceId, tenure: u64) -> Option<u64> {
        let heard = if self.is_behind(host, now) { self.behind[host].0 } else { now };
        let newest = self.newest(heard - HEARD_AFTER, source).map(|place| &self.sent[place]);
        newest.filter(|newest| newest.tenure > tenure && newest.host != host).map(|newest| newest.tenure)
    }

    /// Whether a host stood still, and does not know what came meanwhile.
    pub fn is_behind(&self, host: usize, now: i64) -> bool {
        now < self.behind[host].1
    }

    /// A host stood still since then, and hears again.
    pub fn wakes(&mut self, host: usize, since: i64, now: i64) {
        self.behind[host] = (since, now + HEARD_AFTER);
    }

    /// The place of the newest there is: who was outpaced hides nobody's.
    fn newest(&self, now: i64, source: &SourceId) -> Option<usize> {
        let taken = |place: &usize| self.sent[*place].at <= now && self.sent[*place].source == *source;
        let mut taken: Vec<usize> = (0..self.sent.len()).filter(taken).collect();
        taken.sort_by_key(|place| self.sent[*place].at);
        let newer = |newest: usize, next: usize| self.sent[newest].tenure <= self.sent[next].tenure;
        taken.into_iter().reduce(|newest, next| if newer(newest, next) { next } else { newest })
    }

    pub fn latest(&self, now: i64, source: &SourceId) -> Option<Parcel> {
        let newest = &self.sent[self.newest(now, source)?];
        Some(parcel::unpack(&newest.bytes).expect("what was packed is unpacked"))
    }

    /// A host takes a partition over for this tenure, from the newest parcel there is.
    pub fn takes_over(&mut self, now: i64, host: usize, source: &SourceId, tenure: u64) {
        if let Some(place) = self.newest(now, source) {
            self.taken_over.insert((source.clone(), host, tenure), place);
        }
    }

    /// Whether the host goes on from what another one knew when it sent the parcel `from` of all, or later in that tenure.
    pub fn knows_of(&self, host: usize, source: &SourceId, from: usize) -> bool {
        let of_others = |sent: &&Sent| sent.host != host && sent.source == *source;
        let Some(then) = self.sent[..from].iter().rfind(of_others) else { return false };
        let (mut host, mut tenure) = (host, u64::MAX);
        while let Some(place) = self.taken_over_from(source, host, tenure) {
            let parcel = &self.sent[place];
            if (parcel.host, parcel.tenure) == (then.host, then.tenure) {
                return place >= from;
            }
            (host, tenure) = (parcel.host, parcel.tenure);
        }
        false
    }

    /// The place of the parcel from which a host had a partition in this tenure; one that was contested since is higher.
    fn taken_over_from(&self, source: &SourceId, host: usize, tenure: u64) -> Option<usize> {
        let here = (source.clone(), host, 0)..=(source.clone(), host, tenure);
        self.taken_over.range(here).next_back().map(|(_, place)| *place)
    }

    /// A process ends in good order: it waits for Kafka, if that can be reached.
    pub fn flush(&mut self, life: u32, now: i64) {
        if now >= self.away_until {
            let of_it = self.sent.iter_mut().filter(|sent| sent.life == life && sent.at < NEVER);
            of_it.for_each(|sent| sent.at = sent.at.min(now));
        }
    }

    /// A process is gone.
    pub fn dies(&mut self, life: u32, now: i64) {
        let on_its_way = |sent: &Sent| sent.life == life && sent.at > now && sent.at < NEVER;
        let arrive = self.dice.random_range(0..=self.sent.iter().filter(|sent| on_its_way(sent)).count());
        let lost = self.sent.iter_mut().filter(|sent| on_its_way(sent)).skip(arrive);
        lost.for_each(|sent| sent.at = NEVER);
    }
}
