//! The handover topic: parcels that Kafka takes after a while, and that outlive whoever sent them. What a killed process had
//! on its way arrives or does not, up to some parcel and in order, as its producer sent them.

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

#[derive(Debug)]
pub struct Handover {
    sent: Vec<Sent>,
    dice: StdRng,
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
        Handover { sent: Vec::new(), dice }
    }

    /// Parcels that were sent so far.
    pub fn sent(&self) -> usize {
        self.sent.len()
    }

    /// Sends a parcel; when Kafka has it, unless the sender is known to have been outpaced.
    pub fn publish(
        &mut self,
        now: i64,
        (host, life): (usize, u32),
        source: &SourceId,
        shard: CellCut,
        desk: HomeCut,
    ) -> Option<i64> {
        let tenure = shard.name().map_or(0, |name| name.tenure);
        let newest = self.newest(now - HEARD_AFTER, source);
        if newest.is_some_and(|newest| newest.tenure > tenure && newest.host != host) {
            return None;
        }
        let (number, taken_at) = (self.sent.len() as u64 + 1, WallTime(now));
        let parcel = Parcel { source: source.clone(), member: member_of(host), number, taken_at, shard, desk };
        let bytes = parcel::pack(&parcel, PARCEL_BYTES_MAX).expect("it is small").bytes;
        let before = self.sent.iter().filter(|sent| sent.life == life).map(|sent| sent.at).max();
        let at = (now + self.dice.random_range(5..TAKES_MAX)).max(before.unwrap_or(0));
        self.sent.push(Sent { source: source.clone(), host, life, tenure, at, bytes });
        Some(at)
    }

    /// The newest there is: who was outpaced hides nobody's.
    fn newest(&self, now: i64, source: &SourceId) -> Option<&Sent> {
        let mut taken: Vec<&Sent> = self.sent.iter().filter(|sent| sent.at <= now && sent.source == *source).collect();
        taken.sort_by_key(|sent| sent.at);
        taken.into_iter().reduce(|newest, next| if newest.tenure <= next.tenure { next } else { newest })
    }

    pub fn latest(&self, now: i64, source: &SourceId) -> Option<Parcel> {
        let newest = self.newest(now, source)?;
        Some(parcel::unpack(&newest.bytes).expect("what was packed is unpacked"))
    }

    /// Whether Kafka has a parcel of this partition that the host sent as the `from`th of all or later.
    pub fn has(&self, now: i64, host: usize, source: &SourceId, from: usize) -> bool {
        self.sent[from..].iter().any(|sent| sent.host == host && sent.source == *source && sent.at <= now)
    }

    /// A process ends in good order: it waits for Kafka.
    pub fn flush(&mut self, life: u32, now: i64) {
        self.sent.iter_mut().filter(|sent| sent.life == life).for_each(|sent| sent.at = sent.at.min(now));
    }

    /// A process is gone.
    pub fn dies(&mut self, life: u32, now: i64) {
        let on_its_way = |sent: &Sent| sent.life == life && sent.at > now;
        let arrive = self.dice.random_range(0..=self.sent.iter().filter(|sent| on_its_way(sent)).count());
        let lost = self.sent.iter_mut().filter(|sent| on_its_way(sent)).skip(arrive);
        lost.for_each(|sent| sent.at = i64::MAX);
    }
}
