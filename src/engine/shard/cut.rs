//! A shard as data, and data as a shard: see [`crate::engine::state`].

use std::collections::{BTreeMap, BTreeSet};

use super::trail::Trail;
use super::{AWAY_MAX, FeedState, Peer, PeerExemplars, Shard, ShardInput, ShardOutput, StreamState};
use crate::engine::feed::cut::{self as feed_cut, RestoreError, Restoring};
use crate::engine::limit::{self, LimitChange, LimitNews};
use crate::engine::packet::{self, last_closed};
use crate::engine::plan::FeedPlan;
use crate::engine::state::{Bytes, ExemplarsCut, FeedCut, RuleCut, ShardCut, SourceCut, StreamCut};
use crate::model::position::{Loss, Position, SourceId, TopicId};
use crate::model::signal::{ResolvedBecause, RuleMeta, Signal};
use crate::model::time::{EventTime, Millis, WallTime};
use crate::stream::watermark::{Low, Mark};

/// A checkpoint that is being taken.
#[derive(Debug)]
pub(super) struct Cutting {
    cut: u64,
    last: bool,
    /// Peers whose marker is still to come.
    waiting: BTreeSet<usize>,
    /// What came behind a marker, in order: the next checkpoint's marker may be among it.
    pub(super) held: Vec<Peer>,
    /// A later one that was asked for meanwhile.
    next: Option<(u64, bool)>,
}

impl Cutting {
    pub(super) fn has_marked(&self, peer: usize) -> bool {
        !self.waiting.contains(&peer)
    }
}

/// Every pane there is.
const ALL: i64 = i64::MAX - 1;

impl Shard {
    /// Keeps what cuts are made of. To be said before the first record.
    pub fn with_cuts(mut self) -> Shard {
        self.feeds.iter_mut().for_each(|feed| feed.book.keep_log());
        self
    }

    /// Whether another shard goes on from here (`S7`).
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether a checkpoint is being taken: no records may be handed in until it is done (`S5`).
    pub fn is_cutting(&self) -> bool {
        self.cutting.is_some()
    }

    pub(super) fn begin_cut(&mut self, cut: u64, last: bool, out: &mut Vec<ShardOutput>) {
        if cut <= self.last_cut {
            return; // a peer's marker was faster than the word of it
        }
        if let Some(cutting) = &mut self.cutting {
            cutting.next = Some((cut, last));
            return;
        }
        self.last_cut = cut;
        for stream in 0..self.streams.len() {
            if self.shards > 1 {
                self.send_panes(stream, |_, _| ALL, out);
            } else {
                self.store_open(stream);
            }
        }
        let waiting: BTreeSet<usize> = (0..self.shards).filter(|shard| *shard != self.index).collect();
        let marker =
            |shard: &usize| ShardOutput::ToPeer { shard: *shard, message: Peer::Cut { from: self.index, cut, last } };
        out.extend(waiting.iter().map(marker));
        self.cutting = Some(Cutting { cut, last, waiting, held: Vec::new(), next: None });
        self.finish_cut(out);
    }

    pub(super) fn hear_cut(&mut self, from: usize, cut: u64, last: bool, out: &mut Vec<ShardOutput>) {
        self.begin_cut(cut, last, out);
        if let Some(cutting) = &mut self.cutting {
            cutting.waiting.remove(&from);
        }
        self.finish_cut(out);
    }

    /// When all markers are here, everything that was sent before them is too.
    fn finish_cut(&mut self, out: &mut Vec<ShardOutput>) {
        let Some(cutting) = self.cutting.take_if(|cutting| cutting.waiting.is_empty()) else { return };
        let state = Box::new(self.cut());
        out.push(ShardOutput::Cut { cut: cutting.cut, last: cutting.last, state });
        self.over = cutting.last;
        if self.over {
            return; // what is held tells of progress alone, since no records were taken behind any marker (`S5`)
        }
        for peer in cutting.held {
            self.hear(peer, out);
        }
        cutting.next.into_iter().for_each(|(next, last)| self.begin_cut(next, last, out));
    }

    /// One shard alone: what its open panes hold goes where its peers' would stand.
    fn store_open(&mut self, stream: usize) {
        for feed in &self.plan.streams[stream].feeds {
            let FeedState { intake, inbox, exemplars, .. } = &mut self.feeds[*feed];
            intake.close_through(
                ALL,
                |index, gid, pane, partial| {
                    let packets = inbox.entry(pane).or_default();
                    if packets.is_empty() {
                        packets.push(Vec::new());
                    }
                    let packet = packets.last_mut().expect("just made");
                    packet::push(packet, pane, index.key(gid), |out| partial.encode(out));
                },
                |index, gid, pane, rule, list| {
                    let key = index.key(gid).to_vec();
                    let found = PeerExemplars { feed: *feed, pane, rule, key, list };
                    exemplars.entry(pane).or_default().push(found);
                },
            );
        }
    }

    fn cut(&mut self) -> ShardCut {
        let feeds = self.plan.feeds.iter().zip(&mut self.feeds).map(|(plan, feed)| feed.cut(plan)).collect();
        ShardCut {
            shard: self.index,
            shards: self.shards,
            streams: self
                .streams
                .iter_mut()
                .zip(&self.plan.streams)
                .map(|(s, plan)| s.cut(&plan.schema.name))
                .collect(),
            feeds,
            cell: None,
        }
    }

    /// Goes on from a checkpoint's cuts, whatever the number of shards they were taken of, under this shard's plan. To be
    /// called once, before anything is handed in. What it says is to be handled like what [`Shard::handle`] says.
    ///
    /// # Errors
    /// The panes in a cut cannot be read; the shard is of no use then.
    pub fn restore(&mut self, cuts: &[ShardCut], out: &mut Vec<ShardOutput>) -> Result<(), RestoreError> {
        for (stream, plan) in self.streams.iter_mut().zip(&self.plan.streams) {
            stream.restore(cuts.iter().flat_map(|cut| &cut.streams).filter(|cut| cut.name == plan.schema.name));
        }
        let mut signals = Vec::new();
        for feed in 0..self.feeds.len() {
            out.extend(self.restore_feed(feed, cuts, &mut signals)?);
        }
        self.end_removed(cuts, &mut signals);
        out.extend(signals.into_iter().map(ShardOutput::Signal));
        self.report_judged(out);
        Ok(())
    }

    /// Takes over what a cut does not hold from the shard it was taken of, which read the same streams in this process:
    /// its partitions, who is away and for how long, the clock and the counters. To be called after
    /// [`Shard::restore`]; what is returned is to be handled first.
    pub fn succeed(&mut self, old: &Shard) -> Vec<ShardInput> {
        self.now = old.now;
        self.judging_nanos = old.judging_nanos;
        let mut known = false;
        for (stream, old) in self.streams.iter_mut().zip(&old.streams) {
            let progress = old.progress[self.index];
            known |= progress.known;
            old.watermarks.report().iter().for_each(|report| stream.assign(&report.source));
            stream.parked.retain(|source, _| old.parked.contains_key(source)); // the rest is other shards'
            stream.away.clone_from(&old.away);
            stream.missing.clone_from(&old.missing);
            stream.lossy = old.lossy;
            stream.ends.clone_from(&old.ends);
            stream.status = old.status.clone();
        }
        // To know one's partitions is to have been told, of all or none.
        if known { vec![ShardInput::Assigned(Vec::new())] } else { Vec::new() }
    }

    fn restore_feed(
        &mut self,
        at: usize,
        cuts: &[ShardCut],
        signals: &mut Vec<Signal>,
    ) -> Result<Vec<ShardOutput>, RestoreError> {
        let (index, shards) = (self.index, self.shards);
        let plan = &self.plan.feeds[at];
        let stream = &self.streams[plan.stream];
        let feed = &mut self.feeds[at];
        let owned = |key: &[u8]| limit::owner(at, plan.group_limit, key, shards) == index;
        let mut reached = false;
        let fresh_since = stream.fresh_since();
        let old = same_feed(plan, cuts);
        let parts: Vec<&FeedCut> = cuts.iter().filter_map(|cut| cut.feeds.get(old?)).collect();
        let closed = parts.iter().filter_map(|part| part.closed).min();
        match closed {
            Some(closed) => {
                for cut in &parts {
                    feed.book.restore(&Restoring { plan, cut, closed, fresh_since }, owned, signals)?;
                }
            }
            // It begins with its first pane, as it would have.
            None if old.is_some() => parts.iter().for_each(|cut| feed.book.cover(plan, cut, None, fresh_since)),
            None if stream.joined > EventTime::MIN => {
                feed.book.start_fresh(plan, last_closed(stream.joined, plan.pane.0), fresh_since, owned);
            }
            None => {}
        }
        for cut in &parts {
            for packet in feed_cut::restore_stored(plan, cut, owned)? {
                feed.store_packet(packet);
            }
            feed.restore_exemplars(at, plan, cut, closed, owned);
            let owns = |slice| limit::owns_slice(at, plan.group_limit, slice, index, shards);
            reached |= feed.book.restore_limit(plan, cut, owns);
        }
        let moved = feed.adopt_moved(plan, cuts, old, owned, signals);
        if moved && parts.iter().any(|part| !part.full.is_empty()) {
            feed.book.distrust(fresh_since); // it had refused groups that came along now
        }
        feed.book.begin(plan, owned);
        let pane = closed.filter(|_| reached);
        let limits = pane.into_iter().flat_map(|pane| plan.limit_news(pane, LimitChange::StillReached));
        let known =
            |rule: &RuleMeta| parts.iter().flat_map(|part| &part.rules).any(|old| old.meta.names() == rule.names());
        let of_new = |news: LimitNews| match known(&news.rule) {
            true => news,
            false => LimitNews { change: LimitChange::Reached { refused: 0 }, ..news },
        };
        Ok(limits.map(of_new).map(ShardOutput::Limit).collect())
    }

    /// Alerts of rules that are gone, or are called otherwise now: each shard speaks for some of the old ones.
    fn end_removed(&self, cuts: &[ShardCut], signals: &mut Vec<Signal>) {
        let rules = || self.plan.feeds.iter().flat_map(|feed| &feed.rules);
        let stays = |old: &RuleCut| rules().any(|new| new.meaning.continues(old.meaning));
        let mine = cuts.iter().filter(|cut| cut.shard % self.shards == self.index);
        for feed in mine.flat_map(|cut| &cut.feeds) {
            for rule in feed.rules.iter().filter(|rule| !stays(rule)) {
                let end = |active| feed_cut::ended(feed, &rule.meta, active, ResolvedBecause::RuleRemoved);
                signals.extend(rule.active.iter().filter_map(end));
            }
        }
    }
}

/// The feed of the cuts that looks at the same events; of several, one that shares rules and refused nobody.
fn same_feed(plan: &FeedPlan, cuts: &[ShardCut]) -> Option<usize> {
    let shared = |feed: &FeedCut| {
        feed.rules.iter().filter(|old| plan.rules.iter().any(|new| new.meaning.id == old.meaning.id)).count()
    };
    let full = |at: usize| cuts.iter().filter_map(|cut| cut.feeds.get(at)).any(|feed| !feed.full.is_empty());
    let feeds = cuts.first()?.feeds.iter().enumerate();
    let alike = feeds.filter(|(_, feed)| feed.meaning == plan.meaning);
    let rank = |at, shared| (shared > 0, !full(at), shared, std::cmp::Reverse(at));
    alike.max_by_key(|(at, feed)| rank(*at, shared(feed))).map(|(at, _)| at)
}

impl FeedState {
    fn cut(&mut self, plan: &FeedPlan) -> FeedCut {
        let FeedState { book, inbox, exemplars, .. } = self;
        let mut cut = book.cut(plan);
        cut.stored = inbox.values().flatten().map(|packet| Bytes(packet.clone())).collect();
        cut.exemplars.extend(exemplars.values().flatten().map(|stored| ExemplarsCut {
            rule: stored.rule,
            pane: stored.pane,
            key: Bytes(stored.key.clone()),
            list: stored.list.clone(),
        }));
        cut
    }

    fn restore_exemplars(
        &mut self,
        at: usize,
        plan: &FeedPlan,
        cut: &FeedCut,
        closed: Option<i64>,
        owned: impl Fn(&[u8]) -> bool,
    ) {
        let to_come = |e: &&ExemplarsCut| closed.is_none_or(|closed| e.pane > closed) && owned(&e.key.0);
        for ExemplarsCut { rule, pane, key, list } in cut.exemplars.iter().filter(to_come) {
            let id = cut.rules.get(*rule as usize).map(|rule| rule.meaning.id);
            if let Some(rule) = plan.rules.iter().position(|rule| Some(rule.meaning.id) == id) {
                let (pane, rule, key) = (*pane, rule as u32, key.0.clone());
                let found = PeerExemplars { feed: at, pane, rule, key, list: list.clone() };
                self.exemplars.entry(pane).or_default().push(found);
            }
        }
    }

    /// Rules that stood in another feed than `here`. Whether there are any.
    fn adopt_moved(
        &mut self,
        plan: &FeedPlan,
        cuts: &[ShardCut],
        here: Option<usize>,
        owned: impl Fn(&[u8]) -> bool,
        signals: &mut Vec<Signal>,
    ) -> bool {
        let mut moved = false;
        let feeds = || cuts.iter().flat_map(|cut| cut.feeds.iter().enumerate());
        for (at, new) in plan.rules.iter().enumerate() {
            for (_, feed) in feeds().filter(|(index, _)| Some(*index) != here) {
                if let Some(old) = feed.rules.iter().find(|old| new.meaning.continues(old.meaning)) {
                    self.book.adopt(plan, at, (feed, old), &owned, signals);
                    moved = true;
                }
            }
        }
        moved
    }
}

impl StreamState {
    fn cut(&mut self, name: &std::sync::Arc<str>) -> StreamCut {
        let read = self.watermarks.report().into_iter().filter_map(|report| self.source_cut(&report.source));
        let mut sources: Vec<SourceCut> = read.collect();
        let parked = self.parked.values().filter(|parked| self.watermarks.mark(&parked.source).is_none());
        sources.extend(parked.map(|parked| SourceCut { live: false, ..parked.clone() }));
        StreamCut {
            name: name.clone(),
            joined: self.joined,
            covered_since: self.covered_since,
            whole_since: self.whole_since,
            earliest: self.earliest,
            sources,
            trail: self.trail.as_ref().map(Trail::steps).unwrap_or_default(),
            reread: self.reread,
            judged_from: self.judged_from,
        }
    }

    pub(super) fn source_cut(&self, source: &SourceId) -> Option<SourceCut> {
        Some(SourceCut {
            source: source.clone(),
            next: self.offsets.get(source).map(|last| last + 1),
            mark: self.watermarks.mark(source)?,
            live: true,
            gap: self.gaps.contains(source),
            year: self.decoder.years().iter().find(|(known, _)| known == source).map(|(_, year)| *year),
            topic: self.topics.get(source).cloned(),
        })
    }

    fn restore<'a>(&mut self, cuts: impl Iterator<Item = &'a StreamCut>) {
        for cut in cuts {
            // The least: a tick is judged again rather than not at all.
            self.joined = match self.joined {
                EventTime::MIN => cut.joined,
                joined => joined.min(cut.joined),
            };
            self.covered_since = self.covered_since.into_iter().chain(cut.covered_since).min();
            self.earliest = self.earliest.into_iter().chain(cut.earliest).min();
            self.whole_since = self.whole_since.max(cut.whole_since);
            self.trail.iter_mut().for_each(|trail| trail.restore(&cut.trail));
            self.reread = cut.reread;
            self.judged_from = cut.judged_from;
            for source in &cut.sources {
                let known = self.parked.entry(source.source.clone()).or_insert_with(|| source.clone());
                if newer(source, known) {
                    *known = source.clone();
                }
            }
        }
        self.watermarks.settle(Low::At(self.joined));
        self.lossy = self.whole_since > EventTime::MIN || self.parked.values().any(|source| source.gap);
    }

    /// After the newest event that was seen.
    fn fresh_since(&self) -> EventTime {
        let newest = self.parked.values().map(|source| source.mark.newest).max().unwrap_or(EventTime::MIN);
        if newest == EventTime::MIN { self.joined } else { newest + Millis(1) }
    }

    /// A partition is taken away; most come back.
    pub(super) fn leave(&mut self, source: &SourceId, now: Option<WallTime>) {
        if self.watermarks.mark(source).is_some() {
            self.away.entry(source.clone()).or_insert(now);
        }
    }

    /// Partitions that did not come back are somebody else's.
    pub(super) fn give_up_away(&mut self, now: WallTime) -> Vec<SourceId> {
        let gone = |since: &mut Option<WallTime>| now.since(*since.get_or_insert(now)) >= AWAY_MAX;
        let gone: Vec<SourceId> = self.away.extract_if(.., |_, since| gone(since)).map(|(source, _)| source).collect();
        for source in &gone {
            self.parked.extend(self.source_cut(source).map(|cut| (source.clone(), cut)));
            self.watermarks.revoke(source);
            self.offsets.remove(source);
            self.topics.remove(source);
            self.gaps.remove(source);
            self.missing.insert(source.clone());
        }
        gone
    }

    /// A partition is ours; where it was read before, it goes on.
    pub(super) fn assign(&mut self, source: &SourceId) {
        self.missing.remove(source);
        if self.away.remove(source).is_some() {
            return; // it stands where it stood
        }
        let Some(SourceCut { next, mark, year, gap, topic, .. }) = self.parked.remove(source) else {
            self.watermarks.assign(source, EventTime::MIN);
            return;
        };
        self.watermarks.resume(source, mark);
        if gap {
            self.gaps.insert(source.clone());
        }
        if let Some(next) = next {
            self.offsets.insert(source.clone(), next - 1);
        }
        self.topics.extend(topic.map(|topic| (source.clone(), topic)));
        if let Some(year) = year {
            self.decoder.resume_years(&[(source.clone(), year)]);
        }
    }

    /// Where reading goes on for partitions that are not read at the moment.
    pub(super) fn parked_positions(&self) -> impl Iterator<Item = Position> + '_ {
        let position = |parked: &SourceCut| Some(Position { source: parked.source.clone(), offset: parked.next? });
        self.parked.values().filter_map(position)
    }
}

/// Gaps: records that were gone before they could be read, and partitions that are gone themselves.
///
/// Until when events are missing shows only behind the gap: the first event there, less what may come late. A
/// partition that gives nothing more tells it by its end, on the wall clock.
impl StreamState {
    /// Events before this are known to be missing; the end of time while that is not known yet.
    pub(super) fn known_whole_since(&self) -> EventTime {
        if self.gaps.is_empty() && self.missing.is_empty() { self.whole_since } else { EventTime::MAX }
    }

    /// Notes the first event behind each gap.
    pub(super) fn end_gaps(&mut self) {
        if self.gaps.is_empty() {
            return;
        }
        for row in &self.timing.admitted {
            let record = self.batch.records[self.batch.record[*row as usize] as usize];
            let source = &self.batch.sources[record.source as usize];
            if self.gaps.remove(source) {
                let lateness = self.watermarks.lateness();
                self.whole_since = self.whole_since.max(EventTime(self.batch.time[*row as usize]) + lateness);
            }
        }
    }

    /// Nothing is left to read, now.
    pub(super) fn at_end(&mut self, source: &SourceId, now: WallTime) {
        if self.reread.is_some() || self.judged_from.is_some() {
            return; // it may have been its end for who read it before
        }
        self.watermarks.at_end(source, now);
        // The clock may have been set back; events that were seen are no older than those that were not.
        let seen = self.progress.iter().filter_map(|shard| shard.latest).chain(self.watermarks.newest()).max();
        let seen = seen.unwrap_or(EventTime::MIN);
        // Where it is so slow that nothing is taken any more, nobody knows what time it is: the gap stays open.
        if self.watermarks.is_future(seen, now) {
            return;
        }
        if self.gaps.remove(source) {
            self.whole_since = self.whole_since.max(EventTime(now.0)).max(seen + self.watermarks.lateness());
        }
    }
}

impl Shard {
    /// Records of a partition are gone.
    pub(super) fn lose(&mut self, source: &SourceId, lost: Option<u64>, out: &mut Vec<ShardOutput>) {
        let loss = lost.map_or(Loss::Rewound, |records| Loss::Expired { records });
        for (stream, state) in self.streams.iter_mut().enumerate() {
            if state.watermarks.mark(source).is_none() {
                continue;
            }
            state.skip_reread(source, lost);
            state.skip_filling(source, lost);
            if lost.is_none() {
                state.offsets.remove(source); // what is read now was not read before
            }
            state.gaps.insert(source.clone());
            out.push(ShardOutput::Lost { stream, source: source.clone(), loss });
        }
        self.send_all_progress(false, out);
    }

    /// Says once that no window reaches back to what is missing any more. Shard 0 speaks for all.
    pub(super) fn say_whole(&mut self, stream: usize, joined: EventTime, whole: EventTime, out: &mut Vec<ShardOutput>) {
        let feeds = self.plan.streams[stream].feeds.iter().map(|feed| &self.plan.feeds[*feed]);
        let reach = feeds.map(|feed| Millis(i64::from(feed.reach_panes()) * feed.pane.0)).max().unwrap_or(Millis::ZERO);
        let state = &mut self.streams[stream];
        let lossy = whole > EventTime::MIN && joined - reach < whole;
        if state.lossy && !lossy && self.index == 0 {
            out.push(ShardOutput::Whole { stream });
        }
        state.lossy = lossy;
    }

    /// The own watermark of a source that is read, for tests and for the page.
    pub fn mark(&self, source: &SourceId) -> Option<Mark> {
        self.streams.iter().find_map(|stream| stream.watermarks.mark(source))
    }
}

/// Of what two shards say of a partition, the word of the one that read it counts.
fn newer(one: &SourceCut, other: &SourceCut) -> bool {
    (one.live, one.next, one.mark.newest) > (other.live, other.next, other.mark.newest)
}

/// Where reading goes on after a checkpoint: the next record of each partition; the first that any stream has not seen
/// where several streams read it.
pub fn positions(cuts: &[ShardCut]) -> Vec<Position> {
    least(cuts, |_, source| source.next)
}

/// The same for who knows nothing of the checkpoint: what is only read again counts as read.
pub fn committable(cuts: &[ShardCut]) -> Vec<Position> {
    let before = |stream: &StreamCut| stream.reread.map(|reread| reread.next).max(stream.judged_from);
    least(cuts, |stream, source| source.next.map(|next| before(stream).map_or(next, |before| next.max(before))))
}

/// Of what streams say of each partition, the least.
fn least(cuts: &[ShardCut], next_of: impl Fn(&StreamCut, &SourceCut) -> Option<i64>) -> Vec<Position> {
    let mut next: BTreeMap<&SourceId, i64> = BTreeMap::new();
    for ((_, source), offset) in
        newest(cuts).iter().filter_map(|(key, (stream, cut))| Some((key, next_of(stream, cut)?)))
    {
        let known = next.entry(source).or_insert(offset);
        *known = (*known).min(offset);
    }
    next.into_iter().map(|(source, offset)| Position { source: source.clone(), offset }).collect()
}

/// Of which topics the logs are that these are positions in.
pub fn topics(cuts: &[ShardCut]) -> Vec<(SourceId, TopicId)> {
    newest(cuts).into_values().filter_map(|(_, cut)| Some((cut.source.clone(), cut.topic.clone()?))).collect()
}

/// What is known of each partition, by stream.
fn newest(cuts: &[ShardCut]) -> BTreeMap<(&str, &SourceId), (&StreamCut, &SourceCut)> {
    let mut newest: BTreeMap<(&str, &SourceId), (&StreamCut, &SourceCut)> = BTreeMap::new();
    for stream in cuts.iter().flat_map(|cut| &cut.streams) {
        for source in &stream.sources {
            let known = newest.entry((&stream.name, &source.source)).or_insert((stream, source));
            if newer(source, known.1) {
                *known = (stream, source);
            }
        }
    }
    newest
}
