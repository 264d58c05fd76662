//! Partitions that are judged each by itself: where all rules are `local: true`.
//!
//! A *cell* is a [`Shard`] that reads one partition alone, its *home*. It has its own watermark, windows, holds and ticks, so
//! what it says depends on its partition only: it says the same on whatever member of the group, beside whatever other
//! partitions. That is what lets partitions move between members, each as a whole, without a word between them. The
//! obvious alternative, to let the shards there are take groups in and out, would tie what one partition says to
//! the watermark of the others, which are read elsewhere.
//!
//! [`Cells`] are the cells of one thread. Whose a partition is, a *tenure* says: a number that grows with each owner.
//!
//! - `E1` what a cell says depends on its partition's records alone: not on other partitions, nor on how often it moved
//! - `E2` a cell that goes on from a [`CellCut`] judges no tick that was judged before the cut
//! - `E3` everything a cell says carries its home

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::feed::cut::RestoreError;
use crate::engine::limit::LimitChange;
use crate::engine::plan::Plan;
use crate::engine::shard::{AWAY_MAX, Shard, ShardError, ShardInput, ShardOutput, ShardStatus};
use crate::engine::state::{
    ActiveCut, CellCut, CellName, CellStart, FeedCut, GroupsCut, Reread, RuleCut, ShardCut, SourceCut, StreamCut,
};
use crate::model::batch::RawBatch;
use crate::model::position::{Position, SourceId};
use crate::model::signal::RuleMeta;
use crate::model::time::{EventTime, WallTime};
use crate::rule::hold::Hold;
use crate::stream::watermark::Mark;

/// The cells of one thread.
pub struct Cells {
    making: Making,
    cells: BTreeMap<SourceId, Cell>,
    /// Whether the group has given us partitions, or none, since the beginning.
    joined: bool,
    /// The last look at the clock: a cell that arrives is not to take events of tomorrow until the next.
    now: Option<WallTime>,
    /// By rule: homes that are at its limit of groups.
    limits: BTreeMap<Arc<RuleMeta>, BTreeSet<SourceId>>,
    /// By stream: homes of which events are missing.
    lossy: BTreeMap<usize, BTreeSet<SourceId>>,
    /// What cells counted that are gone: counters never go back.
    retired: ShardStatus,
    last_cut: u64,
    over: bool,
    said: Vec<ShardOutput>,
}

/// How cells are made.
struct Making {
    plan: Arc<Plan>,
    seed: u64,
    cuts: bool,
    stopwatch: fn() -> u64,
}

struct Cell {
    shard: Shard,
    home: Arc<SourceId>,
    tenure: u64,
    reading: Reading,
}

/// Whether a cell's partition is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Ours,
    /// Restored, and not assigned to us yet. Since when the group could have.
    Unclaimed {
        since: Option<WallTime>,
    },
}

/// How many partitions a member has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub ours: usize,
    /// Restored; the group has not said yet that they are still ours.
    pub unclaimed: usize,
}

/// What cells say.
#[derive(Debug)]
pub enum Said {
    /// What a shard says; signals have their home.
    Shard(ShardOutput),
    /// The cells at one moment, after everything said before.
    Cut { cut: u64, last: bool, states: Vec<ShardCut> },
    /// The partition was read by the process before and is somebody else's now: what was restored of it is gone.
    Unclaimed(SourceId),
}

impl Said {
    /// What a shard says as well.
    pub fn of_shard(&self) -> Option<&ShardOutput> {
        match self {
            Said::Shard(output) => Some(output),
            Said::Cut { .. } | Said::Unclaimed(_) => None,
        }
    }
}

impl Cells {
    /// # Errors
    /// A stream cannot be decoded as it is declared.
    pub fn new(plan: Arc<Plan>, seed: u64) -> Result<Cells, ShardError> {
        let retired = Shard::new(0, 1, plan.clone(), seed)?.status();
        Ok(Cells {
            making: Making { plan, seed, cuts: false, stopwatch: || 0 },
            cells: BTreeMap::new(),
            joined: false,
            now: None,
            limits: BTreeMap::new(),
            lossy: BTreeMap::new(),
            retired,
            last_cut: 0,
            over: false,
            said: Vec::new(),
        })
    }

    /// As [`Shard::with_cuts`].
    pub fn with_cuts(mut self) -> Cells {
        self.making.cuts = true;
        self
    }

    /// As [`Shard::with_stopwatch`].
    pub fn with_stopwatch(mut self, stopwatch: fn() -> u64) -> Cells {
        self.making.stopwatch = stopwatch;
        self
    }

    /// Goes on from a checkpoint's cuts of cells. Nobody has said yet that their partitions are still ours.
    ///
    /// # Errors
    /// The panes in a cut cannot be read; the cells are of no use then.
    pub fn restore<'a>(
        &mut self,
        cuts: impl Iterator<Item = &'a ShardCut>,
        out: &mut Vec<Said>,
    ) -> Result<(), RestoreError> {
        for cut in cuts {
            if let Some(CellName { home, tenure }) = cut.cell.clone() {
                self.begin(home, tenure, std::slice::from_ref(cut), out)?;
            }
        }
        Ok(())
    }

    /// Takes a partition over, in place of whatever is there of it: from what its owner before left, or from nothing. To be
    /// said before it is assigned.
    ///
    /// # Errors
    /// What was left cannot be read. Nothing of the partition is there then.
    pub fn adopt(
        &mut self,
        home: SourceId,
        tenure: u64,
        left: Option<&CellCut>,
        out: &mut Vec<Said>,
    ) -> Result<(), RestoreError> {
        self.forget(&home, out);
        let left = left.map(|CellCut(cut)| cut);
        self.begin(home, tenure, left.map(std::slice::from_ref).unwrap_or_default(), out)
    }

    fn begin(
        &mut self,
        home: SourceId,
        tenure: u64,
        cuts: &[ShardCut],
        out: &mut Vec<Said>,
    ) -> Result<(), RestoreError> {
        let mut shard = self.making.shard();
        if !cuts.is_empty() {
            shard.restore(cuts, &mut self.said)?;
        }
        if let Some(now) = self.now {
            shard.handle(ShardInput::Wall(now), &mut self.said);
        }
        for stream in shard.lossy_streams() {
            self.lossy.entry(stream).or_default().insert(home.clone());
        }
        let reading = Reading::Unclaimed { since: None };
        self.cells.insert(home.clone(), Cell { shard, home: Arc::new(home.clone()), tenure, reading });
        self.pass_on(&home, out);
        Ok(())
    }

    /// The tenure of a partition that is here.
    pub fn tenure(&self, home: &SourceId) -> Option<u64> {
        self.cells.get(home).map(|cell| cell.tenure)
    }

    /// Up to when a partition that is here is judged, for tests: its stream's watermark.
    pub fn judged(&self, stream: usize, home: &SourceId) -> Option<EventTime> {
        self.cells.get(home)?.shard.status().streams.get(stream)?.watermark
    }

    /// Whether others go on from the last cut.
    pub fn is_over(&self) -> bool {
        self.over
    }

    pub fn handle(&mut self, input: ShardInput, out: &mut Vec<Said>) {
        if self.over {
            return;
        }
        match input {
            ShardInput::Records { stream, batch } => {
                batch.by_source().into_iter().for_each(|batch| self.records(stream, batch, out));
            }
            ShardInput::Assigned(sources) => self.assign(sources, out),
            ShardInput::Revoked(sources) => sources.iter().for_each(|source| self.forget(source, out)),
            ShardInput::Reading { ref source, .. }
            | ShardInput::Gap { ref source, .. }
            | ShardInput::Topic { ref source, .. } => {
                let source = source.clone();
                self.tell(&source, input, out);
            }
            ShardInput::End(ref end) => self.tell(&end.source.clone(), input, out),
            ShardInput::Ended(source) => self.tell(&source.clone(), ShardInput::Ended(source), out),
            ShardInput::Until(at) => self.tell_all(|| ShardInput::Until(at), out),
            ShardInput::Wall(now) => {
                self.now = Some(now);
                self.give_up_unclaimed(now, out);
                self.tell_all(|| ShardInput::Wall(now), out);
            }
            ShardInput::Cut(cut) => self.cut(cut, false, out),
            ShardInput::LastCut(cut) => self.cut(cut, true, out),
            ShardInput::Peer(_) => unreachable!("cells have no peers"),
        }
    }

    fn records(&mut self, stream: usize, batch: RawBatch, out: &mut Vec<Said>) {
        let Some(source) = batch.sources.first().cloned() else { return };
        self.tell(&source, ShardInput::Records { stream, batch }, out);
    }

    /// These partitions are ours. One that nothing is known of begins.
    fn assign(&mut self, sources: Vec<(usize, SourceId)>, out: &mut Vec<Said>) {
        self.joined = true;
        let mut homes: BTreeMap<SourceId, Vec<(usize, SourceId)>> = BTreeMap::new();
        for (stream, source) in sources {
            homes.entry(source.clone()).or_default().push((stream, source));
        }
        for (home, sources) in homes {
            if !self.cells.contains_key(&home) {
                self.begin(home.clone(), 1, &[], out).expect("there is nothing that could not be read");
            }
            if let Some(cell) = self.cells.get_mut(&home) {
                cell.reading = Reading::Ours;
            }
            self.tell(&home, ShardInput::Assigned(sources), out);
        }
    }

    /// A partition goes to another member: what it is to go on from. Nothing is said of it any more.
    pub fn leave(&mut self, home: &SourceId, out: &mut Vec<Said>) -> Option<CellCut> {
        let cell = self.cells.get_mut(home)?;
        let left = CellCut::of(&cell.cut(self.last_cut + 1, false));
        self.forget(home, out);
        Some(left)
    }

    /// A partition was another member's already: nothing is left of it.
    pub fn forget(&mut self, home: &SourceId, out: &mut Vec<Said>) {
        let Some(cell) = self.cells.remove(home) else { return };
        let retired = std::mem::take(&mut self.retired);
        self.retired = retired.with(cell.shard.status().retired());
        self.settle(home, out);
    }

    fn give_up_unclaimed(&mut self, now: WallTime, out: &mut Vec<Said>) {
        if !self.joined {
            return;
        }
        let mut gone = Vec::new();
        for (home, cell) in &mut self.cells {
            if let Reading::Unclaimed { since } = &mut cell.reading {
                let since = *since.insert(since.map_or(now, |since| since.min(now))); // the clock may have been set back
                gone.extend((now.since(since) >= AWAY_MAX).then(|| home.clone()));
            }
        }
        for home in gone {
            self.forget(&home, out);
            out.push(Said::Unclaimed(home));
        }
    }

    fn cut(&mut self, cut: u64, last: bool, out: &mut Vec<Said>) {
        self.last_cut = cut;
        self.over = last;
        let states = self.cells.values_mut().map(|cell| cell.cut(cut, last)).collect();
        out.push(Said::Cut { cut, last, states });
    }

    fn tell(&mut self, home: &SourceId, input: ShardInput, out: &mut Vec<Said>) {
        let Some(cell) = self.cells.get_mut(home) else { return };
        cell.shard.handle(input, &mut self.said);
        self.pass_on(home, out);
    }

    fn tell_all(&mut self, input: impl Fn() -> ShardInput, out: &mut Vec<Said>) {
        let homes: Vec<SourceId> = self.cells.keys().cloned().collect();
        homes.iter().for_each(|home| self.tell(home, input(), out));
    }

    /// What a cell said, with its home (`E3`), and as one where others say it too.
    fn pass_on(&mut self, home: &SourceId, out: &mut Vec<Said>) {
        for output in std::mem::take(&mut self.said) {
            let news = match &output {
                ShardOutput::Judged(_) => false, // nobody waits for cells to be equally far
                ShardOutput::Limit(news) => {
                    let full = self.limits.entry(news.rule.clone()).or_default();
                    let was = !full.is_empty();
                    match news.change {
                        LimitChange::Room => drop(full.remove(home)),
                        LimitChange::Reached { .. } | LimitChange::StillReached => drop(full.insert(home.clone())),
                    }
                    was == full.is_empty()
                }
                ShardOutput::Lost { stream, .. } => {
                    self.lossy.entry(*stream).or_default().insert(home.clone());
                    true
                }
                ShardOutput::Whole { stream } => {
                    let lossy = self.lossy.entry(*stream).or_default();
                    lossy.remove(home);
                    lossy.is_empty()
                }
                _ => true,
            };
            if news {
                out.push(Said::Shard(self.at_home(home, output)));
            }
        }
    }

    fn at_home(&self, home: &SourceId, output: ShardOutput) -> ShardOutput {
        match output {
            ShardOutput::Signal(mut signal) => {
                signal.home = self.cells.get(home).map(|cell| cell.home.clone());
                ShardOutput::Signal(signal)
            }
            other => other,
        }
    }

    /// A partition that is gone is at no limit and misses nothing.
    fn settle(&mut self, home: &SourceId, out: &mut Vec<Said>) {
        let whole = self.lossy.extract_if(.., |_, lossy| lossy.remove(home) && lossy.is_empty());
        out.extend(whole.map(|(stream, _)| Said::Shard(ShardOutput::Whole { stream })));
        let plan = &self.making.plan;
        let room = self.limits.extract_if(.., |_, full| full.remove(home) && full.is_empty());
        for (rule, _) in room {
            let feed = plan.feeds.iter().find(|feed| feed.rules.iter().any(|known| known.rule.meta == rule));
            let news = feed.into_iter().flat_map(|feed| feed.limit_news(0, LimitChange::Room));
            let of_rule = news.filter(|news| news.rule == rule);
            out.extend(of_rule.map(|news| Said::Shard(ShardOutput::Limit(news))));
        }
    }

    /// Counters and positions of all partitions that are ours, as of one shard.
    pub fn status(&self) -> ShardStatus {
        let ours = self.cells.values().filter(|cell| cell.reading == Reading::Ours);
        ours.fold(self.retired.clone(), |all, cell| all.with(cell.shard.status()))
    }

    /// How many partitions there are.
    pub fn held(&self) -> Held {
        let ours = self.cells.values().filter(|cell| cell.reading == Reading::Ours).count();
        Held { ours, unclaimed: self.cells.len() - ours }
    }

    /// As [`Shard::positions`].
    pub fn positions(&self) -> impl Iterator<Item = Position> + '_ {
        self.cells.values().flat_map(|cell| cell.shard.positions())
    }

    /// Takes over what cuts do not hold from the cells they were taken of. To be called after [`Cells::restore`].
    pub fn succeed(&mut self, old: &Cells, out: &mut Vec<Said>) {
        (self.joined, self.now) = (old.joined, old.now);
        for (home, was) in &old.cells {
            let Some(cell) = self.cells.get_mut(home) else { continue };
            cell.reading = was.reading;
            for input in cell.shard.succeed(&was.shard) {
                self.tell(home, input, out);
            }
        }
        self.lossy.clone_from(&old.lossy);
        self.retired.succeed(&old.retired);
    }
}

impl Making {
    fn shard(&self) -> Shard {
        let shard = Shard::new(0, 1, self.plan.clone(), self.seed).expect("one was made of this plan before");
        let shard = shard.with_stopwatch(self.stopwatch).with_trail();
        if self.cuts { shard.with_cuts() } else { shard }
    }
}

impl Cell {
    fn cut(&mut self, cut: u64, last: bool) -> ShardCut {
        let mut said = Vec::new();
        self.shard.handle(if last { ShardInput::LastCut(cut) } else { ShardInput::Cut(cut) }, &mut said);
        let state = said.into_iter().find_map(|output| match output {
            ShardOutput::Cut { state, .. } => Some(*state),
            _ => None,
        });
        let name = CellName { home: SourceId::clone(&self.home), tenure: self.tenure };
        ShardCut { cell: Some(name), ..state.expect("a shard alone waits for nobody") }
    }
}

impl CellCut {
    /// What of a checkpoint's cut is to go along when the partition moves.
    pub fn of(cut: &ShardCut) -> CellCut {
        let streams = cut.streams.iter().map(leave_stream).collect();
        let feeds = cut.feeds.iter().map(leave_feed).collect();
        CellCut(ShardCut { shard: cut.shard, shards: cut.shards, streams, feeds, cell: cut.cell.clone() })
    }

    /// What a cell begins from where nobody has left anything of its partition: the place to read from, for the windows of
    /// these streams, and the one from which on ticks are judged. Windows that reach back before the former miss events,
    /// unless it is the very beginning.
    pub fn begun(home: &SourceId, streams: impl IntoIterator<Item = Arc<str>>, place: CellStart) -> CellCut {
        let CellStart { read_from, judged_from } = place;
        let stream = |name| StreamCut {
            name,
            joined: EventTime::MIN,
            covered_since: None,
            whole_since: EventTime::MIN,
            earliest: None,
            sources: vec![SourceCut {
                source: home.clone(),
                next: Some(read_from),
                mark: Mark { newest: EventTime::MIN, own: EventTime::MIN },
                live: false,
                gap: read_from > 0,
                year: None,
                topic: None,
            }],
            trail: Vec::new(),
            reread: None,
            judged_from: Some(judged_from),
        };
        CellCut(ShardCut { shards: 1, streams: streams.into_iter().map(stream).collect(), ..ShardCut::default() })
    }

    /// The place at which it begins, if it has not come that far.
    pub fn start(&self) -> Option<CellStart> {
        let stream = self.0.streams.first()?;
        Some(CellStart { read_from: stream.sources.first()?.next?, judged_from: stream.judged_from? })
    }

    /// Holds that are pending.
    pub fn pending(&self) -> usize {
        self.0.feeds.iter().flat_map(|feed| &feed.rules).flat_map(|rule| &rule.active).filter_map(pending_since).count()
    }

    /// Leaves out all pending holds but the `max` oldest.
    pub fn keep_pending(&mut self, max: usize) {
        let rules = || self.0.feeds.iter().flat_map(|feed| &feed.rules);
        let mut since: Vec<EventTime> = rules().flat_map(|rule| &rule.active).filter_map(pending_since).collect();
        since.sort_unstable();
        let Some(first_out) = since.get(max).copied() else { return };
        let mut at_once = max - since.partition_point(|since| *since < first_out); // as many of one tick may stay
        for rule in self.0.feeds.iter_mut().flat_map(|feed| &mut feed.rules) {
            rule.active.retain(|active| match pending_since(active) {
                Some(since) if since == first_out && at_once > 0 => {
                    at_once -= 1;
                    true
                }
                since => since.is_none_or(|since| since < first_out),
            });
        }
    }

    /// Leaves out groups that nothing is said of. The log brings them back, as far as it holds them.
    pub fn leave_quiet(&mut self) {
        for feed in &mut self.0.feeds {
            feed.groups = held_groups(feed);
        }
    }

    /// Whose it was.
    pub fn name(&self) -> Option<&CellName> {
        self.0.cell.as_ref()
    }
}

fn pending_since(active: &ActiveCut) -> Option<EventTime> {
    match active.hold {
        Hold::Pending { since } => Some(since),
        Hold::Clear | Hold::Firing { .. } | Hold::Easing { .. } => None,
    }
}

/// The stream's place, so far back that its panes can be read again. While it is not known how far a gap reaches, what was
/// read before it is of no use: reading goes on where it stood.
fn leave_stream(stream: &StreamCut) -> StreamCut {
    let back = |source: &SourceCut| {
        let now = source.next.map(|next| Reread { next, mark: source.mark });
        let (step, reread) = match stream.trail.first().filter(|_| !source.gap) {
            Some(step) => (Some(step), stream.reread.or(now)),
            None => (None, stream.reread),
        };
        let source = SourceCut { live: false, ..source.clone() };
        match step {
            Some(step) => (SourceCut { next: Some(step.offset), mark: step.mark, year: step.year, ..source }, reread),
            None => (source, reread),
        }
    };
    let (sources, rereads): (Vec<SourceCut>, Vec<_>) = stream.sources.iter().map(back).unzip();
    let reread = rereads.into_iter().flatten().next();
    StreamCut { sources, trail: Vec::new(), reread, name: stream.name.clone(), ..*stream }
}

/// The feed's holds, with the groups they are of; with all, where who there is matters.
fn leave_feed(feed: &FeedCut) -> FeedCut {
    let all = feed.rules.iter().any(|rule| rule.absent);
    let rule = |rule: &RuleCut| RuleCut { touched: Vec::new(), ..rule.clone() };
    FeedCut {
        meaning: feed.meaning.clone(),
        accs: feed.accs.clone(),
        full: feed.full.clone(),
        groups: if all { feed.groups.clone() } else { held_groups(feed) },
        log: Vec::new(),
        stored: Vec::new(),
        exemplars: Vec::new(),
        rules: feed.rules.iter().map(rule).collect(),
        ..*feed
    }
}

/// The groups that something is said of.
fn held_groups(feed: &FeedCut) -> GroupsCut {
    let held: BTreeSet<u32> = feed.rules.iter().flat_map(|rule| &rule.active).map(|active| active.gid).collect();
    let mut groups = GroupsCut::default();
    for (gid, key, last_seen) in feed.groups.iter().filter(|(gid, ..)| held.contains(gid)) {
        groups.gids.push(gid);
        groups.keys.0.extend_from_slice(key);
        groups.ends.push(groups.keys.0.len() as u32);
        groups.last_seen.push(last_seen);
    }
    groups.assumed = feed.groups.assumed.iter().copied().filter(|gid| held.contains(gid)).collect();
    groups
}
