//! The invariants of a storm, and who watches them.
//!
//! - `V1` nothing is lost without a name: in = out + held + Σ refused, at every stage that counts
//! - `V2` a breach that is owed is sent once receivers heal, and so is its end: everyone believes what is
//! - `V3` unknown never resolves: no end is said of a time of which events are known to be missing to whoever says it
//! - `V4` what fires never returns to pending
//! - `V5` `for` is never cut short, and never restarted by a crash
//! - `V6` what a receiver said it has is not sent to it again under the same key; where a crash makes that impossible to
//!   know, the repeat says so
//! - `V7` what is committed is never ahead of the newest checkpoint
//! - `V8` watermarks never go back, nor do they over a restart
//! - `V9` every bound holds
//! - `V10` what is said is what happened: exactly the episodes that a slow count over all events gives
//! - `V11` a process that may run does: it starts, gets through what it is given, and takes checkpoints
//! - `V12` a silence that was promised is there after any crash, and nothing is written there of what it hides
//!   ([`super::operators`])
//! - `V13` of two members, one does not tell again what the other told ([`super::tellings`])
//!
//! The first that is broken is kept. `V2` and `V10` are asked at the end ([`super::verdict`]), the others all the time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::operators::Promises;
use super::options::{Options, Sabotage};
use super::oracle::{self, Rule};
use super::stage::{BOUNDS, CROWD_MAX};
use super::topic::{Kind, Partition, SERVICES};
use crate::alert::life::{AlertName, Change};
use crate::alert::route::home_of;
use crate::alert::silence::Silence;
use crate::engine::desk::{Desk, DeskInput, DeskOutput};
use crate::engine::journal::Decision;
use crate::engine::shard::{ShardStatus, StreamStatus};
use crate::engine::state::ShardCut;
use crate::model::refusal::Scope;
use crate::model::signal::ResolvedBecause;
use crate::model::{
    Delivery, DeliveryId, EventTime, Notification, Outcome, Position, RawBatch, Refusal, Signal, SourceId, Transition,
};
use crate::notify::outbox::Unsent;

/// Lines kept of what happened.
const LINES_MAX: usize = 60;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub id: &'static str,
    pub text: String,
}

/// By receiver, place of the integration, group and key.
type Key = (Arc<str>, usize, Arc<str>, String);

#[derive(Default)]
pub struct Watch {
    pub broken: Option<Broken>,
    hash: xxhash_rust::xxh3::Xxh3,
    pub lines: VecDeque<String>,
    pub all_lines: bool,
    /// (rule, service, since, fired at) and (rule, service, fired at, ended at), as the desk came to hear them.
    pub fired: BTreeSet<(Rule, usize, i64, i64)>,
    pub ended: BTreeSet<(Rule, usize, i64, i64)>,
    /// Why the oracle cannot be asked for more than safety.
    pub inexact: Option<String>,
    /// Why it can be asked from some time on alone: events were lost …
    pub torn: Option<String>,
    /// … of these partitions, and from then on no window looks at them any more.
    whole: BTreeMap<SourceId, Option<EventTime>>,
    /// Which places come late, by partition.
    late: Vec<Vec<bool>>,
    firing: BTreeMap<(String, String), EventTime>,
    swallowed: u32,
    /// Partitions move between two members.
    two: bool,
    /// Of the host that acts.
    pub seen: Seen,
    pub deliveries: u64,
    pub checkpoints: u64,
}

/// What was seen of one host's processes.
#[derive(Default)]
pub struct Seen {
    requests: BTreeMap<(Arc<str>, DeliveryId), Key>,
    known: BTreeMap<Key, u32>,
    tried: BTreeMap<Key, u32>,
    /// A process had to begin without something that was done before it: the disk had not taken it.
    pub forgot: bool,
    /// … and which life that was.
    forgot_in_life: u32,
    /// Since which life what was known of keys is kept, and that something was tried.
    forgot_at_life: u32,
    marks_from_life: u32,
    life: u32,
    log_broken: bool,
    saved: BTreeMap<SourceId, i64>,
    floor: Option<EventTime>,
    floors: BTreeMap<SourceId, EventTime>,
    marks: BTreeMap<usize, EventTime>,
    own: BTreeMap<SourceId, EventTime>,
    /// By partition: times of events that were gone before they were read. A member that stood still has read what is gone
    /// by the time another reads it again, so each knows its own, and with a partition it comes to know the other's.
    missed: BTreeMap<SourceId, Vec<i64>>,
    /// The same of partitions that come, and are read, but to which no shard has come.
    missed_to_come: BTreeMap<SourceId, Vec<i64>>,
    /// Of the records handed to shards in this life: the last place by partition, how many came late, from the future.
    fresh: BTreeMap<usize, i64>,
    expected: Expected,
    /// Events that a shard had before it went on with other rules, whose feeds count from there on.
    before_reload: BTreeMap<usize, u64>,
    pub promises: Promises,
}

#[derive(Clone, Copy, Debug, Default)]
struct Expected {
    late: u64,
    future: u64,
    garbage: u64,
}

impl Seen {
    /// Times of a partition's events that were gone before they were read.
    pub fn missed(&self, source: &SourceId) -> Vec<i64> {
        self.missed.get(source).cloned().unwrap_or_default()
    }
}

impl Watch {
    pub fn new(options: &Options, partitions: &[Partition]) -> Watch {
        let late = partitions.iter().map(oracle::late).collect();
        Watch { late, two: options.members == 2, ..Watch::default() }
    }

    pub fn fail(&mut self, id: &'static str, text: String) {
        self.broken.get_or_insert(Broken { id, text });
    }

    pub fn inexact(&mut self, why: impl FnOnce() -> String) {
        self.inexact.get_or_insert_with(why);
    }

    /// Events are lost: until windows are whole again, nobody knows what is to be said.
    pub fn tear(&mut self, source: &SourceId) {
        self.torn.get_or_insert_with(|| format!("{source} lost records"));
        self.whole.insert(source.clone(), None);
    }

    /// A shard says that they are: all windows, where shards judge together …
    pub fn mend(&mut self, shards: impl Iterator<Item = ShardStatus>) {
        let judged = shards.filter_map(|shard| shard.streams[0].watermark).max();
        self.whole.values_mut().for_each(|whole| *whole = judged);
    }

    /// … those of a partition that was judged up to there, where each is judged by itself. A cell that was handed over says so
    /// again, and may stand further back than the one that said it first.
    pub fn mend_own(&mut self, source: &SourceId, judged: EventTime) {
        if let Some(whole) = self.whole.get_mut(source) {
            *whole = Some(whole.map_or(judged, |whole| whole.max(judged)));
        }
    }

    /// From when on the oracle can be asked what is said, if it can.
    pub fn whole(&self) -> Option<EventTime> {
        self.whole.values().copied().try_fold(EventTime::MIN, |all, whole| Some(all.max(whole?)))
    }

    /// … of a partition that is judged by itself.
    pub fn whole_of(&self, source: &SourceId) -> Option<EventTime> {
        self.whole.get(source).copied().unwrap_or(Some(EventTime::MIN))
    }

    pub fn line(&mut self, line: String) {
        self.hash.update(line.as_bytes());
        if self.lines.len() == LINES_MAX && !self.all_lines {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub fn hash(&self) -> u64 {
        self.hash.digest()
    }

    /// A process begins, from these cuts, of which `keeps_synced` says whether what was written before is all there.
    pub fn starts(&mut self, life: u32, cuts: &[ShardCut], power: bool) {
        self.seen.life = life;
        (self.seen.fresh, self.seen.expected) = (BTreeMap::new(), Expected::default());
        (self.seen.marks, self.seen.own) = (BTreeMap::new(), BTreeMap::new());
        self.seen.before_reload.clear();
        self.seen.missed_to_come.clear();
        self.firing.clear();
        self.goes_on(cuts);
        self.seen.floors.clear();
        for source in cuts.iter().flat_map(|cut| &cut.streams).flat_map(|stream| &stream.sources) {
            let floor = self.seen.floors.entry(source.source.clone()).or_insert(EventTime::MIN);
            *floor = source.mark.own.max(*floor);
            let (at, next) = (source.source.partition as usize, source.next.unwrap_or(0) - 1);
            let last = self.seen.fresh.entry(at).or_insert(-1);
            *last = next.max(*last);
        }
        if cuts.is_empty() || self.seen.log_broken {
            self.seen.forgot_in_life = life;
            (self.seen.forgot_at_life, self.seen.marks_from_life) = (life, life);
            self.seen.forgot = life > 1;
        }
        if power {
            self.seen.forgot_at_life = life;
        }
    }

    /// … and under other routes than those by which its log was written. What was sent since the checkpoint may be sent again, and
    /// at another moment, so that nothing is left to be marked.
    pub fn goes_by_other_routes(&mut self) {
        (self.seen.forgot_at_life, self.seen.marks_from_life) = (self.seen.life, self.seen.life);
    }

    /// Whether the process that begins does so without something that was done before it: answers that were heard, and
    /// anything at all.
    pub fn forgets(&self) -> (bool, bool) {
        let Seen { life, forgot_at_life, forgot_in_life, .. } = self.seen;
        (forgot_at_life == life, forgot_in_life == life)
    }

    /// `V12`: a process begins with this desk, of which nothing is lost unless the disk lost it.
    pub fn keeps_promises(&mut self, desk: &Desk) {
        let lost = self.seen.promises.broken_by(desk).map(ToString::to_string);
        if let Some(lost) = lost.filter(|_| self.seen.life > self.seen.forgot_in_life) {
            self.fail("V12", format!("it was confirmed and is not there: {lost}"));
        }
        self.seen.promises.forget_what_is_lost(desk);
    }

    /// `V12`: the desk took in a partition, and these came along.
    pub fn silences_come(&mut self, silences: &[Arc<Silence>], desk: &Desk) {
        if let Some(lost) = self.seen.promises.come(silences, desk) {
            self.fail("V12", format!("it came with a partition and is not there: {lost}"));
        }
    }

    /// `V12`: what the desk wrote in its last step, now or from its log.
    pub fn writes(&mut self, desk: &Desk, out: &[DeskOutput]) {
        let written = out.iter().filter_map(|output| match output {
            DeskOutput::Journal(entry) => match &entry.decision {
                Decision::Flush { group, .. } => Some(&**group),
                _ => None,
            },
            _ => None,
        });
        let groups: BTreeSet<&str> = written.collect();
        if groups.is_empty() {
            return;
        }
        let unsent = desk.unsent(|group| groups.contains(group));
        for written in unsent.iter().map(Unsent::notification).filter(|unsent| unsent.at == desk.now()) {
            if let Some((silence, alert)) = self.seen.promises.broken_in(written) {
                let text = format!("{} is told of {alert}, which is silenced: {silence}", written.receiver);
                return self.fail("V12", text);
            }
        }
    }

    /// As [`super::Outside::adopts_told`].
    pub fn adopts_told(&mut self, home: &SourceId) {
        let here = |key: &Key| home_of(&key.2).as_ref() == Some(home);
        self.seen.requests.retain(|_, key| !here(key));
        self.seen.known.retain(|key, _| !here(key));
        self.seen.tried.retain(|key, _| !here(key));
    }

    /// … and its shard, which stands where the owner before it stood, and has missed what that one had.
    pub fn adopts(&mut self, home: &SourceId) {
        self.firing.clear();
        let missed = self.seen.missed_to_come.remove(home).unwrap_or_default();
        self.seen.missed.insert(home.clone(), missed);
        self.seen.own.remove(home);
        self.seen.floors.remove(home);
    }

    /// The log has a hole: what comes now may be forgotten.
    pub fn log_broke(&mut self) {
        self.seen.log_broken = true;
    }

    /// Who goes on from cuts is where the last of the shards was: what they have heard of each other differs.
    pub fn goes_on(&mut self, cuts: &[ShardCut]) {
        self.seen.floor = cuts.iter().flat_map(|cut| &cut.streams).map(|stream| stream.joined).min();
    }

    /// A shard went on with other rules.
    pub fn succeeded(&mut self, shard: usize, status: &ShardStatus) {
        self.seen.marks.remove(&shard);
        self.seen.before_reload.insert(shard, feed_rows(&status.streams[0]));
    }

    /// What a shard said, on its way to the desk.
    /// `behind`: by a cell that others go on from already, while it has not heard of that.
    pub fn signal(&mut self, options: &Options, mut signal: Signal, behind: bool) -> Option<Signal> {
        if options.sabotaged(Sabotage::Unfire)
            && signal.transition == Transition::Refreshed
            && signal.fired_at.is_some()
        {
            (signal.transition, signal.fired_at) = (Transition::Pending, None);
        }
        if options.sabotaged(Sabotage::LoseSignal) && signal.transition == Transition::Firing {
            self.swallowed += 1;
            if self.swallowed > 2 {
                return None;
            }
        }
        if !behind {
            self.check_pending(&signal);
        }
        self.check_for(&signal);
        self.check_end(options, &signal);
        Some(signal)
    }

    /// `V4`
    fn check_pending(&mut self, signal: &Signal) {
        let alert = (signal.rule.name.to_string(), signal.labels.to_string());
        match signal.transition {
            Transition::Firing => drop(self.firing.insert(alert, signal.at)),
            Transition::Resolved(_) | Transition::Dropped => drop(self.firing.remove(&alert)),
            Transition::Pending if self.firing.contains_key(&alert) => {
                self.fail("V4", format!("{} fires, and is pending at {}", alert.1, signal.at));
            }
            Transition::Pending | Transition::Refreshed => {}
        }
    }

    /// `V5`, first half.
    fn check_for(&mut self, signal: &Signal) {
        let Some(rule) = Rule::of(&signal.rule.name) else { return };
        if signal.transition == Transition::Firing && signal.at.since(signal.active_since).0 < rule.for_() {
            self.fail(
                "V5",
                format!("{} fires at {} although it began at {}", signal.labels, signal.at, signal.active_since),
            );
        }
    }

    /// `V3`
    fn check_end(&mut self, options: &Options, signal: &Signal) {
        let Some(rule) = Rule::of(&signal.rule.name).filter(|rule| *rule != Rule::Gone) else { return };
        let ends = matches!(signal.transition, Transition::Resolved(ResolvedBecause::Normal));
        let window = signal.at.0 - rule.window()..signal.at.0;
        let looks_at = |source: &SourceId| signal.home.as_deref().is_none_or(|home| home == source);
        let mut missed = self.seen.missed.iter().filter(|(source, _)| looks_at(source)).flat_map(|(_, times)| times);
        // What comes late says nothing of where a gap ended.
        let told = !options.has(super::options::Fault::Late);
        if ends
            && told
            && let Some(at) = missed.find(|at| window.contains(at)).copied().map(EventTime)
        {
            self.fail("V3", format!("{} ends at {}, but an event of {at} was never read", signal.labels, signal.at));
        }
    }

    /// What the desk decided.
    pub fn decided(&mut self, now: i64, life: u32, out: &[DeskOutput]) {
        for output in out {
            if let DeskOutput::Journal(entry) = output {
                self.line(format!("{} [{life}] {entry}", EventTime(now)));
            }
        }
    }

    /// What the desk made of signals, now or from its log.
    pub fn hears(&mut self, signals: &[Signal], out: &[DeskOutput]) {
        for output in out {
            let DeskOutput::Journal(entry) = output else { continue };
            if let Decision::Alert { alert, change, at, because, .. } = &entry.decision {
                let of = |signal: &&Signal| signal.at == *at && AlertName::new(&signal.rule, &signal.labels) == *alert;
                let removed = *because == Some(ResolvedBecause::RuleRemoved);
                signals.iter().filter(of).filter(|_| !removed).for_each(|signal| self.heard(*change, signal));
            }
        }
    }

    fn heard(&mut self, change: Change, signal: &Signal) {
        let svc = SERVICES.iter().position(|svc| signal.labels.get("svc") == Some(svc));
        let (Some(rule), Some(svc)) = (Rule::of(&signal.rule.name), svc) else { return };
        let fired_at = signal.fired_at.unwrap_or(signal.at).0;
        match change {
            Change::Fired | Change::FiredAgain { .. } => {
                self.fired.insert((rule, svc, signal.active_since.0, fired_at));
            }
            Change::Resolved => drop(self.ended.insert((rule, svc, fired_at, signal.at.0))),
            _ => {}
        }
    }

    /// An input on its way to the desk.
    pub fn input(&mut self, input: &DeskInput) {
        if let DeskInput::Receipt { receiver, id, outcome: Outcome::Delivered { .. } } = input
            && let Some(key) = self.seen.requests.get(&(receiver.clone(), *id))
        {
            self.seen.known.insert(key.clone(), self.seen.life);
        }
        if let DeskInput::Receipt { receiver, id, .. } = input
            && let Some(key) = self.seen.requests.get(&(receiver.clone(), *id))
        {
            self.seen.tried.remove(key);
        }
    }

    /// `V6`, when it is decided: an answer that comes while the notification waits for its parcel is too late for it.
    pub fn delivers(&mut self, receiver: &Arc<str>, delivery: &Delivery) {
        self.deliveries += 1;
        let Notification { group_key, .. } = &*delivery.notification;
        let of = delivery.notification.idempotency_key();
        let key = (receiver.clone(), delivery.integration, group_key.clone(), of);
        let known = self.seen.known.get(&key).copied();
        if known.is_some_and(|life| life == self.seen.life || life >= self.seen.forgot_at_life) {
            self.fail("V6", format!("{} is sent to {receiver} again after it said it has it", key.3));
        }
        let tried = self.seen.tried.get(&key).copied();
        if tried.is_some_and(|life| life < self.seen.life && life >= self.seen.marks_from_life)
            && !delivery.perhaps_repeated
        {
            self.fail("V6", format!("{} is sent to {receiver} again after a crash without a word of it", key.3));
        }
        self.seen.tried.insert(key.clone(), self.seen.life);
        self.seen.requests.insert((receiver.clone(), delivery.id), key);
    }

    /// Records are handed to a shard.
    pub fn handed(&mut self, batch: &RawBatch, base: usize, partitions: &[Partition]) {
        for record in &batch.records {
            let at = batch.sources[record.source as usize].partition as usize;
            let last = self.seen.fresh.entry(at).or_insert(-1);
            if record.offset <= *last {
                continue;
            }
            *last = record.offset;
            let place = base + record.offset as usize;
            self.seen.expected.late += u64::from(self.late[at][place]);
            self.seen.expected.future += u64::from(partitions[at].records[place].kind == Kind::Future);
            self.seen.expected.garbage += u64::from(partitions[at].records[place].kind == Kind::Garbage);
        }
    }

    /// Records are gone before they were read.
    pub fn lost(&mut self, partition: &Partition, from: i64) {
        self.tear(&partition.source);
        let gone = partition.records[..partition.start].iter().skip(partition.base + from as usize);
        let gone = gone.filter(|record| record.kind == Kind::Event);
        let gone = gone.map(|record| record.at);
        match self.seen.missed_to_come.get_mut(&partition.source) {
            Some(missed) => missed.extend(gone),
            None => self.seen.missed.entry(partition.source.clone()).or_default().extend(gone),
        }
    }

    /// A partition comes from who had missed this of it.
    pub fn comes(&mut self, source: &SourceId, missed: Vec<i64>) {
        self.seen.missed_to_come.insert(source.clone(), missed);
    }

    /// A shard is told that a log was made anew: offsets begin again.
    pub fn rewinds(&mut self, source: &SourceId) {
        self.seen.fresh.remove(&(source.partition as usize));
    }

    /// A partition is read from where its log begins, because nobody knows of any position, or from some place in it,
    /// because nobody left anything else: what is not there any more is missed by nobody.
    pub fn begins(&mut self, source: &SourceId) {
        self.seen.missed.remove(source);
        self.seen.missed_to_come.remove(source);
        self.seen.own.remove(source);
        self.seen.floors.remove(source);
    }

    /// A partition comes, and is read from there: anew, where it was read before.
    pub fn reads_from(&mut self, partition: &Partition, next: i64) {
        self.seen.fresh.insert(partition.source.partition as usize, next - 1);
        if partition.base > 0 {
            // Where the new log is longer than an old position, nobody can tell that it is another one.
            self.inexact(|| format!("{} was made anew before it moved", partition.source));
        }
    }

    pub fn saved(&mut self, positions: &[Position]) {
        self.checkpoints += 1;
        self.seen.log_broken = false;
        self.seen.saved = positions.iter().map(|p| (p.source.clone(), p.offset)).collect();
    }

    /// `V7`
    pub fn commits(&mut self, positions: &[Position]) {
        for Position { source, offset } in positions {
            let saved = self.seen.saved.get(source).copied().unwrap_or(0);
            if *offset > saved {
                self.fail("V7", format!("{source}@{offset} is committed, and the newest checkpoint is at {saved}"));
            }
        }
    }

    /// What can be seen of a process from outside: `V1`, `V8`, `V9`.
    pub fn look(&mut self, shards: &[ShardStatus], desk: &Desk, handed: u64) {
        self.check_marks(shards);
        self.check_bounds(shards, desk);
        self.check_books(shards, desk, handed);
    }

    fn check_marks(&mut self, shards: &[ShardStatus]) {
        for (index, shard) in shards.iter().enumerate() {
            let stream = &shard.streams[0];
            let mark = stream.watermark.unwrap_or(EventTime::MIN);
            let before = self.seen.marks.insert(index, mark).or(self.seen.floor).unwrap_or(EventTime::MIN);
            if mark < before && !self.two {
                self.fail("V8", format!("the watermark of shard {index} went from {before} back to {mark}"));
            }
            for report in &stream.sources {
                let own = report.watermark.unwrap_or(EventTime::MIN);
                let floor = self.seen.floors.get(&report.source).copied();
                let before = self.seen.own.insert(report.source.clone(), own).or(floor).unwrap_or(EventTime::MIN);
                if own < before {
                    self.fail("V8", format!("the watermark of {} went from {before} back to {own}", report.source));
                }
            }
        }
    }

    fn check_bounds(&mut self, shards: &[ShardStatus], desk: &Desk) {
        let counts = desk.counts();
        let held = [
            ("alerts", counts.pending + counts.firing, BOUNDS.alerts_max + 3), // its own have a place in a full table
            ("groups", counts.groups, BOUNDS.groups_max + 2),                  // and so has the overflow of each route
            ("dead letters", counts.dead_letters, BOUNDS.dead_letters_max),
            ("ended alerts", counts.resolved, BOUNDS.resolved_max),
            ("journal entries", desk.journal().entries().count(), BOUNDS.journal_max),
        ];
        let lanes =
            desk.lanes().map(|lane| ("queued notifications", lane.queued, BOUNDS.lane_queue_max + lane.in_flight));
        for (what, held, bound) in held.into_iter().chain(lanes.collect::<Vec<_>>()) {
            if held > bound {
                self.fail("V9", format!("the desk holds {held} {what}, and may hold {bound}"));
            }
        }
        let crowd =
            shards.iter().filter_map(|shard| shard.rules.iter().find(|status| status.rule == 4)).map(|s| s.groups);
        let crowd: usize = crowd.sum();
        let apart: usize = shards.iter().map(|shard| shard.streams[0].sources.len()).sum();
        let crowd_max = if self.two { apart * CROWD_MAX } else { CROWD_MAX };
        if shards.iter().all(|shard| shard.streams[0].feeds.len() == 2) && crowd > crowd_max {
            self.fail("V9", format!("a rule watches {crowd} groups, and may watch {crowd_max}"));
        }
    }

    /// `V1`
    fn check_books(&mut self, shards: &[ShardStatus], desk: &Desk, handed: u64) {
        let streams = || shards.iter().map(|shard| &shard.streams[0]);
        let refused = |reason| streams().map(|stream| stream.refused.get(reason)).sum::<u64>();
        let (records, repeats): (u64, u64) = (streams().map(|s| s.records).sum(), streams().map(|s| s.repeats).sum());
        let before_reload = self.seen.before_reload.clone();
        let mut same = |what: &str, a: u64, b: u64| {
            if a != b {
                self.fail("V1", format!("{what}: {a} and {b}"));
            }
        };
        same("records handed in, and taken or known as repeats", handed, records + repeats);
        let undecoded = Refusal::ALL.iter().filter(|reason| matches!(reason.scope(), Scope::Record | Scope::Event));
        let undecoded: u64 = undecoded.map(|reason| refused(*reason)).sum();
        let events: u64 = streams().map(|stream| stream.events).sum();
        same("records, and events with what was refused", records, events + undecoded);
        for (shard, stream) in streams().enumerate() {
            for feed in &stream.feeds {
                let before = before_reload.get(&shard).copied().unwrap_or(0);
                same("rows of a feed, and events", feed.rows + before, feed_rows(stream));
                let out = feed.filtered + feed.late + feed.overflowed + feed.recorded;
                same("rows of a feed, and where they went", feed.rows, out);
            }
        }
        for lane in desk.lanes() {
            let counts = lane.counts;
            let settled = counts.delivered + counts.superseded + counts.dead + counts.released;
            let out = settled + lane.held as u64;
            same("notifications pushed, and where they went", counts.pushed, out);
        }
        let expected = self.seen.expected;
        let late = refused(Refusal::Late);
        if self.inexact.is_none() {
            if refused(Refusal::Malformed) != expected.garbage {
                let found = refused(Refusal::Malformed);
                self.fail("V1", format!("{} records are garbage, and {found} were refused", expected.garbage));
            }
            if (late, refused(Refusal::Future)) != (expected.late, expected.future) {
                let future = refused(Refusal::Future);
                let Expected { late: by_itself, future: ahead, .. } = expected;
                self.inexact(|| {
                    format!("{late} events came late and {future} early; by themselves {by_itself} and {ahead}")
                });
            }
        }
    }
}

/// Events that come to every feed of a stream.
fn feed_rows(stream: &StreamStatus) -> u64 {
    stream.events - stream.refused.get(Refusal::Future)
}
