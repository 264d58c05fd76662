//! A world made of values around a desk: receivers that can fail, throttle and hang, and a clock that jumps from one
//! deadline to the next. Driven by scripts (scenarios) and by generated storms (properties). Where partitions move there
//! are two members with a desk each, and one set of receivers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use crate::alert::life::AlertName;
use crate::alert::matcher::Matcher;
use crate::alert::route::{GroupBy, Route, RouteTree};
use crate::alert::silence::{SilenceId, Wish};
use crate::engine::desk::{
    Desk, DeskBounds, DeskConfig, DeskInput, DeskOutput, HomeCut, Operation, Person, ReceiverPolicy,
};
use crate::engine::journal::{Decision, JournalEntry};
use crate::engine::transcript::Transcript;
use crate::model::signal::ResolvedBecause;
use crate::model::{
    Delivery, DeliveryId, EventTime, Evidence, Labels, Millis, Outcome, RuleMeta, Signal, SourceId, ThreadHandle,
    Transition, WallTime,
};
use crate::notify::outbox::{IntegrationPolicy, LaneId};
use crate::notify::retry::RetryPolicy;

/// How a stand-in receiver answers. All but `Hang` answer after the stand-in's delay.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mood {
    Well,
    Fails {
        after: Option<Millis>,
    },
    Throttles {
        after: Option<Millis>,
    },
    Rejects,
    /// Takes it and never says so.
    Hangs,
}

#[derive(Clone, Debug)]
pub(super) struct StandIn {
    pub mood: Mood,
    pub delay: Millis,
    /// Idempotency keys it said it has, in order.
    pub accepted: Vec<String>,
    /// What it believes fires, by dedup key: what a page made of its messages would show.
    pub believes: BTreeMap<String, BTreeSet<String>>,
}

/// A receipt on its way back to a member.
type Answer = (Member, Arc<str>, DeliveryId, Outcome);

/// `a` is 0, `b` is 1.
pub(super) type Member = usize;

pub(super) struct World {
    /// The desk of the member whose turn it is.
    pub desk: Desk,
    member: Member,
    other: Desk,
    /// How far each member's clock is ahead of the true time.
    ahead: [Millis; 2],
    /// Who has a partition; `a` where nothing is said.
    owners: BTreeMap<SourceId, Member>,
    /// What was last published of a partition.
    parcels: BTreeMap<SourceId, HomeCut>,
    /// Where signals come from.
    home: Option<Arc<SourceId>>,
    seed: u64,
    pub now: WallTime,
    pub stand_ins: BTreeMap<(Arc<str>, usize), StandIn>,
    answers: BTreeMap<(WallTime, u64), Answer>,
    sent: u64,
    /// Idempotency keys by integration for which a receipt said that they arrived (`O2`).
    arrived: BTreeSet<(Arc<str>, usize, String)>,
    keys: BTreeMap<(Member, DeliveryId), (usize, String)>,
    pub deliveries: Vec<(WallTime, Delivery)>,
    pub transcript: Transcript,
    /// Silences asked for so far.
    silences: u128,
    log: String,
    show_all: bool,
}

pub(super) fn rule(name: &str) -> Arc<RuleMeta> {
    Arc::new(RuleMeta { name: name.into(), group: "test".into(), file: "rules/test.yaml".into(), line: 1 })
}

impl World {
    pub(super) fn new(config: DeskConfig, seed: u64) -> World {
        let mut stand_ins = BTreeMap::new();
        for receiver in config.receivers() {
            for integration in 0..receiver.integrations.len() {
                let stand_in =
                    StandIn { mood: Mood::Well, delay: Millis(100), accepted: Vec::new(), believes: BTreeMap::new() };
                stand_ins.insert((receiver.name.clone(), integration), stand_in);
            }
        }
        let transcript = Transcript::new(&config);
        World {
            other: Desk::new(config.clone(), seed),
            desk: Desk::new(config, seed),
            member: 0,
            ahead: [Millis::ZERO; 2],
            owners: BTreeMap::new(),
            parcels: BTreeMap::new(),
            home: None,
            seed,
            now: WallTime(0),
            stand_ins,
            answers: BTreeMap::new(),
            sent: 0,
            arrived: BTreeSet::new(),
            keys: BTreeMap::new(),
            deliveries: Vec::new(),
            transcript,
            silences: 0,
            log: String::new(),
            show_all: false,
        }
    }

    /// Runs deadlines and answers in the order of their time, and stops at `until`.
    pub(super) fn advance(&mut self, until: WallTime) {
        for turn in 0.. {
            assert!(turn < 1_000_000, "the desk keeps itself busy without getting anywhere at {}", self.now);
            let answer = self.answers.first_key_value().map(|((at, _), _)| *at);
            let due = |desk: &Desk, member| Some((desk.next_deadline()? - self.ahead[member], member));
            let deadlines = [due(&self.desk, self.member), due(&self.other, 1 - self.member)];
            let deadline = deadlines.into_iter().flatten().min();
            let times = answer.into_iter().chain(deadline.map(|(at, _)| at));
            let Some(next) = times.min().filter(|at| *at <= until) else { break };
            self.now = self.now.max(next);
            match answer.is_some_and(|at| at <= next) {
                true => {
                    let (_, (member, receiver, id, outcome)) = self.answers.pop_first().expect("there is an answer");
                    self.turn_to(member);
                    self.handle(DeskInput::Receipt { receiver, id, outcome });
                }
                false => {
                    let (_, member) = deadline.expect("it is not an answer");
                    self.turn_to(member);
                    self.handle(DeskInput::Tick);
                }
            }
        }
        self.now = self.now.max(until);
        self.turn_to(0);
    }

    pub(super) fn turn_to(&mut self, member: Member) {
        if member != self.member {
            std::mem::swap(&mut self.desk, &mut self.other);
            self.member = member;
        }
    }

    /// What follows is said of one partition, to the member that has it.
    pub(super) fn at_home(&mut self, home: &SourceId) {
        self.home = Some(Arc::new(home.clone()));
        self.turn_to(self.owners.get(home).copied().unwrap_or(0));
    }

    /// What follows is said of no partition.
    pub(super) fn away(&mut self) {
        self.home = None;
        self.turn_to(0);
    }

    /// A partition goes to another member with all there is of it.
    pub(super) fn move_home(&mut self, home: &SourceId, to: Member) {
        self.at_home(home);
        self.publish(home);
        self.handle(DeskInput::HomeReleased { home: home.clone() });
        assert!(self.desk.home_cut(home).is_empty(), "V3: something of {home} is left");
        self.adopt(home, to);
    }

    fn publish(&mut self, home: &SourceId) {
        let cut = self.desk.home_cut(home);
        let of_all = rmp_serde::to_vec_named(&self.desk.cut().home_cut(home)).expect("memory takes it");
        assert_eq!(of_all, rmp_serde::to_vec_named(&cut).expect("memory takes it"), "a cut's part and the part");
        self.parcels.insert(home.clone(), cut);
    }

    fn adopt(&mut self, home: &SourceId, to: Member) {
        self.turn_to(to);
        self.owners.insert(home.clone(), to);
        let part = Box::new(self.parcels.get(home).cloned().unwrap_or_default());
        self.handle(DeskInput::HomeAdopted { home: home.clone(), part });
        self.away();
    }

    pub(super) fn desks(&self) -> impl Iterator<Item = &Desk> {
        [&self.desk, &self.other].into_iter()
    }

    /// A member starts again and hears at once that what it had is its own still.
    pub(super) fn restart_sure(&mut self, member: Member) {
        self.turn_to(member);
        self.restart();
        for home in self.desk.unconfirmed().cloned().collect::<Vec<_>>() {
            self.handle(DeskInput::HomeConfirmed { home });
        }
        self.away();
    }

    /// The member whose turn it is starts again from what it kept, and does not know what is still its own.
    fn restart(&mut self) {
        let config = self.desk.config.clone();
        let before = std::mem::replace(&mut self.desk, Desk::new(config, self.seed));
        let dropped = self.desk.restore({ before }.cut(), &mut Vec::new());
        assert_eq!(dropped, Default::default());
        let member = self.member;
        self.answers.retain(|_, (of, ..)| *of != member);
        self.handle(DeskInput::RestartedUnconfirmed);
    }

    /// What the clock shows to the member whose turn it is.
    fn clock(&self) -> WallTime {
        self.now + self.ahead[self.member]
    }

    pub(super) fn handle(&mut self, input: DeskInput) {
        let mut out = Vec::new();
        if let DeskInput::Receipt { receiver, id, outcome: Outcome::Delivered { .. } } = &input
            && let Some((integration, key)) = self.keys.get(&(self.member, *id))
        {
            self.arrived.insert((receiver.clone(), *integration, key.clone()));
        }
        self.desk.handle(self.clock(), input, &mut out);
        self.transcript.take(self.now, &out);
        for output in out {
            match output {
                DeskOutput::Journal(entry) => self.show(&entry),
                DeskOutput::Deliver { receiver, delivery } => self.deliver(receiver, delivery),
                DeskOutput::DeadLetter(_) | DeskOutput::Answer(_) => {}
            }
        }
        self.check();
    }

    pub(super) fn signal(&mut self, name: &AlertName, transition: Transition, fired_at: Option<EventTime>) {
        let signal = self.signal_now(name, transition, fired_at);
        self.handle(DeskInput::Signals(vec![signal]));
    }

    pub(super) fn signal_now(&self, name: &AlertName, transition: Transition, fired_at: Option<EventTime>) -> Signal {
        let at = EventTime(self.now.0);
        Signal {
            rule: rule(&name.rule),
            labels: name.labels.clone(),
            transition,
            at,
            active_since: fired_at.unwrap_or(at),
            fired_at,
            annotations: Vec::new(),
            value: Some(1.0),
            evidence: Arc::new(Evidence::default()),
            home: self.home.clone(),
        }
    }

    pub(super) fn fire(&mut self, name: &AlertName) {
        self.signal(name, Transition::Firing, Some(EventTime(self.now.0)));
    }

    pub(super) fn resolve(&mut self, name: &AlertName) {
        self.signal(name, Transition::Resolved(ResolvedBecause::Normal), None);
    }

    /// Asks for a silence, in place of the `nth` (from 1) or a new one.
    pub(super) fn silence(&mut self, matchers: &str, times: (Option<WallTime>, WallTime), nth: Option<u128>) {
        let matchers = Matcher::parse_list(matchers).expect("matchers");
        let wish = Wish::new(matchers, times, "ada", "deploy").expect("in bounds");
        let wish = nth.into_iter().fold(wish, |wish, nth| wish.instead_of(SilenceId::of(nth)));
        self.silences += 1;
        let fresh = SilenceId::of(self.silences);
        self.handle(DeskInput::Operator(Operation::Silence { from: None, wish, fresh }));
    }

    pub(super) fn expire(&mut self, nth: u128) {
        let person = Person { who: "bob".into(), from: Some("192.0.2.7".into()) };
        self.handle(DeskInput::Operator(Operation::Expire { person, id: SilenceId::of(nth) }));
    }

    pub(super) fn stand_in(&mut self, target: &str) -> &mut StandIn {
        let (receiver, kind) = target.split_once('/').expect("receiver/kind");
        let config = &self.desk.config;
        let policy = &config.receivers[config.receiver_index[receiver]];
        let integration = policy.integrations.iter().position(|policy| &*policy.kind == kind).expect("a kind");
        self.stand_ins.get_mut(&(receiver.into(), integration)).expect("every integration has a stand-in")
    }

    fn deliver(&mut self, receiver: Arc<str>, delivery: Delivery) {
        let note = &delivery.notification;
        if delivery.attempt == 1 && note.at == self.clock() {
            let shown = note.alerts.iter().find(|alert| self.desk.silences.hiding(&alert.labels).is_some());
            assert!(shown.is_none(), "G4: {shown:?} is shown");
        }
        let names = |list: Vec<AlertName>| list.iter().map(AlertName::to_string).collect::<Vec<_>>().join(" ");
        let firing = names(note.firing().map(AlertName::from).collect());
        let resolved = names(note.resolved().map(AlertName::from).collect());
        let kind = self.desk.config.receivers[self.desk.config.receiver_index[&receiver]].integrations
            [delivery.integration]
            .kind
            .clone();
        let mut line = format!("→ {receiver}/{kind} #{} {:?}", note.sequence, note.reason);
        if delivery.attempt > 1 {
            let _ = write!(line, " (attempt {})", delivery.attempt);
        }
        for (word, list) in [("firing", &firing), ("resolved", &resolved)] {
            if !list.is_empty() {
                let _ = write!(line, " {word} {list}");
            }
        }
        if note.truncated > 0 {
            let _ = write!(line, " and {} more", note.truncated);
        }
        if delivery.perhaps_repeated {
            line.push_str(" (perhaps repeated)");
        }
        if let Some(thread) = &delivery.thread {
            let _ = write!(line, " in thread {}", thread.0.join("/"));
        }
        self.log(&line);
        let key = note.idempotency_key();
        let known = self.arrived.contains(&(receiver.clone(), delivery.integration, key.clone()));
        // The receipt may have come to the member that had the partition before.
        let moved = delivery.perhaps_repeated && !self.owners.is_empty();
        assert!(!known || moved, "O2: {key} is sent again after it arrived");
        self.keys.insert((self.member, delivery.id), (delivery.integration, key));

        let stand_in = self.stand_ins.get_mut(&(receiver.clone(), delivery.integration)).expect("a stand-in");
        let reason = || "503 from the stand-in".to_owned();
        let outcome = match stand_in.mood.clone() {
            Mood::Well => {
                let thread = Some(ThreadHandle(vec![format!("t{}", note.group_since.0)]));
                Some(Outcome::Delivered { thread })
            }
            Mood::Fails { after } => Some(Outcome::Retry { after, throttled: false, reason: reason() }),
            Mood::Throttles { after } => Some(Outcome::Retry { after, throttled: true, reason: "429".into() }),
            Mood::Rejects => Some(Outcome::Rejected { reason: "400 from the stand-in".into() }),
            Mood::Hangs => None,
        };
        if matches!(outcome, Some(Outcome::Delivered { .. }) | None) {
            let name = |alert| format!("{} {}", note.group_key, AlertName::from(alert));
            let firing: BTreeSet<String> = note.firing().map(name).collect();
            stand_in.believes.insert(note.dedup_key(), firing);
        }
        if matches!(outcome, Some(Outcome::Delivered { .. })) {
            stand_in.accepted.push(note.idempotency_key());
        }
        if let Some(outcome) = outcome {
            self.sent += 1;
            let answer = (self.member, receiver, delivery.id, outcome);
            self.answers.insert((self.now + stand_in.delay, self.sent), answer);
        }
        self.deliveries.push((self.now, delivery));
    }

    /// A receipt for the `nth` delivery to a target (from 1), out of the blue.
    fn late_receipt(&mut self, target: &str, nth: usize) {
        let (receiver, kind) = target.split_once('/').expect("receiver/kind");
        let policy = &self.desk.config.receivers[self.desk.config.receiver_index[receiver]];
        let integration = policy.integrations.iter().position(|policy| &*policy.kind == kind).expect("a kind");
        let (_, delivery) = self
            .deliveries
            .iter()
            .filter(|(_, d)| &*d.notification.receiver == receiver && d.integration == integration)
            .nth(nth - 1)
            .expect("that many were delivered");
        let outcome = Outcome::Delivered { thread: None };
        self.handle(DeskInput::Receipt { receiver: receiver.into(), id: delivery.id, outcome });
    }

    /// What must hold after every input.
    fn check(&self) {
        for (index, lane) in self.desk.lanes().enumerate() {
            let (counts, held) = (lane.counts, self.desk.outbox.held(LaneId(index)) as u64);
            let settled = counts.delivered + counts.superseded + counts.dead + counts.released;
            assert_eq!(counts.pushed, settled + held, "O3 in {lane:?}");
        }
        for alert in self.desk.alerts().filter(|alert| alert.is_firing()) {
            assert!(!alert.groups.is_empty(), "K3: {} fires and is in no group", AlertName::from(alert));
        }
        for (key, entry) in &self.desk.groups {
            let timer = entry.deadline.map(|at| self.desk.timers.contains(&(at, key.clone())));
            assert_ne!(timer, Some(false), "the deadline of {key} has a timer");
            entry.group.check();
        }
        for alert in self.desk.alerts().filter(|alert| alert.is_firing()) {
            let hidden = self.desk.silences.hiding(&alert.labels).is_some();
            let in_groups =
                alert.groups.iter().all(|key| self.desk.groups[key].group.hidden_by(alert.id).is_some() == hidden);
            assert!(in_groups, "K5: {} is hidden: {hidden}", AlertName::from(alert));
        }
    }

    fn show(&mut self, entry: &JournalEntry) {
        let quiet = matches!(
            entry.decision,
            Decision::Attempt { .. }
                | Decision::Flush { .. }
                | Decision::Joined { .. }
                | Decision::GroupOpened { .. }
                | Decision::Alert { .. }
        );
        if self.show_all || !quiet {
            self.log(&entry.decision.to_string());
        }
    }

    fn log(&mut self, line: &str) {
        let line = line.replace("1970-01-01T", "").replace('Z', "").replace("00000000-0000-4000-8000-00000000000", "S");
        let member = match self.member {
            0 => "",
            _ => "b: ",
        };
        let _ = writeln!(self.log, "{:<12}{member}{line}", Millis(self.now.0).to_string());
    }
}

/// `orders/3`
pub(super) fn source(text: &str) -> SourceId {
    SourceId::parse(text).expect("topic/partition")
}

fn member(name: &str) -> Member {
    ["a", "b"].iter().position(|known| *known == name).expect("a member")
}

/// `Slow{host=a, severity=critical}`; the label `alertname` is added.
pub(super) fn alert_name(text: &str) -> AlertName {
    let (rule, labels) = text.split_once('{').unwrap_or((text, ""));
    let pairs = labels.trim_end_matches('}').split(',').filter_map(|pair| pair.trim().split_once('='));
    AlertName { rule: rule.into(), labels: Labels::from_pairs(pairs).with([("alertname", rule)]) }
}

/// Runs a script and gives back what happened. Setup lines first:
///
/// ```text
/// receiver ops slack mail:quiet          # :quiet is send_resolved: false; :pace=1s, :pace=NAME/1s; :hands=1
/// route ops by:alertname wait:30s        # the root; further routes with matchers are its children
/// route pager {severity="critical"} continue
/// bound alerts 3
/// retry 3 attempts 10m
/// show all
/// ```
///
/// then `TIME WORD …` lines, in order of time. `at orders/0 fire …` is a signal of one partition.
pub(super) fn run(script: &str) -> String {
    let (mut receivers, mut root, mut children) = (Vec::new(), None, Vec::new());
    let mut bounds = DeskBounds::default();
    let mut retry = RetryPolicy::default();
    let mut show_all = false;
    let mut world: Option<World> = None;
    for line in script.lines().map(|line| line.split(" # ").next().unwrap_or("").trim()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match &words[..] {
            [] => {}
            ["receiver", name, kinds @ ..] => receivers.push((*name, kinds.to_vec())),
            ["route", receiver, facts @ ..] => {
                let route = script_route(receiver, facts);
                match root {
                    None => root = Some(route),
                    Some(_) => children.push(route),
                }
            }
            ["bound", "alerts", max] => bounds.alerts_max = max.parse().expect("a number"),
            ["bound", "groups", max] => bounds.groups_max = max.parse().expect("a number"),
            ["bound", "shown", max] => bounds.alerts_per_notification_max = max.parse().expect("a number"),
            ["bound", "lane", max] => bounds.lane_queue_max = max.parse().expect("a number"),
            ["bound", "ended", max] => bounds.ended_per_group_max = max.parse().expect("a number"),
            ["bound", "owed", max] => bounds.owed_max = max.parse().expect("a length"),
            ["retry", attempts, "attempts", length] => {
                retry.attempts_max = attempts.parse().expect("a number");
                retry.give_up_after = length.parse().expect("a length");
            }
            ["show", "all"] => show_all = true,
            [at, rest @ ..] => {
                let world = world.get_or_insert_with(|| {
                    let receivers = receivers.iter().map(|(name, kinds)| script_receiver(name, kinds, retry)).collect();
                    let mut root = root.clone().expect("a root route");
                    root.routes = std::mem::take(&mut children);
                    let routes = RouteTree::new(root).expect("valid routes");
                    let config = DeskConfig::new(routes, receivers, "http://foghorn/").expect("valid");
                    let mut world = World::new(config.with_bounds(bounds).expect("valid"), 1);
                    world.show_all = show_all;
                    world
                });
                let at: Millis = at.parse().expect("a time");
                world.advance(WallTime(at.0));
                act(world, rest);
            }
        }
    }
    world.map(|world| world.log).unwrap_or_default()
}

fn script_route(receiver: &str, facts: &[&str]) -> Route {
    let mut route = Route::to(receiver);
    for fact in facts {
        match fact.split_once(':') {
            _ if fact.starts_with('{') => route.matchers = Matcher::parse_list(fact).expect("matchers"),
            None if *fact == "continue" => route.continues = true,
            Some(("by", names)) => {
                let names = names.split(',').filter(|name| !name.is_empty());
                route.group_by = Some(GroupBy::from_names(names).expect("group_by"));
            }
            Some(("wait", length)) => route.group_wait = Some(length.parse().expect("a length")),
            Some(("interval", length)) => route.group_interval = Some(length.parse().expect("a length")),
            Some(("repeat", length)) => route.repeat_interval = Some(length.parse().expect("a length")),
            _ => panic!("what is {fact}"),
        }
    }
    route
}

fn script_receiver(name: &str, kinds: &[&str], retry: RetryPolicy) -> ReceiverPolicy {
    let integration = |text: &&str| {
        let mut facts = text.split(':');
        let mut policy = IntegrationPolicy::new(facts.next().expect("a kind"));
        policy.retry = retry;
        for fact in facts {
            match fact.split_once('=') {
                None if fact == "quiet" => policy.send_resolved = false,
                Some(("hands", count)) => policy.concurrency = count.parse().expect("a number"),
                Some(("pace", pace)) => {
                    let (name, length) = pace.split_once('/').map_or((None, pace), |(n, l)| (Some(n), l));
                    policy.pace = name.map(Into::into);
                    policy.min_interval = length.parse().expect("a length");
                }
                _ => panic!("what is {fact}"),
            }
        }
        policy
    };
    ReceiverPolicy { name: name.into(), integrations: kinds.iter().map(integration).collect() }
}

fn act(world: &mut World, words: &[&str]) {
    match words {
        ["end"] => {}
        ["at", home, rest @ ..] => {
            world.at_home(&source(home));
            act(world, rest);
            world.away();
        }
        ["the", "clock", "of", name, "is", ahead, "ahead"] => {
            world.ahead[member(name)] = ahead.parse().expect("a length");
        }
        [home, "moves", "to", to] => world.move_home(&source(home), member(to)),
        [home, "is", "published"] => {
            world.at_home(&source(home));
            world.publish(&source(home));
            world.away();
        }
        [to, "adopts", home] => world.adopt(&source(home), member(to)),
        [home, "is", "leaving"] => {
            world.at_home(&source(home));
            world.handle(DeskInput::HomeLeaving { home: source(home) });
            world.away();
        }
        [name, "restarts"] => {
            world.turn_to(member(name));
            world.restart();
        }
        [name, "speaks", "of", what] => {
            world.turn_to(member(name));
            world.handle(DeskInput::Speaking { local: *what == "partitions" });
        }
        [name, "keeps", home] => {
            world.turn_to(member(name));
            world.handle(DeskInput::HomeConfirmed { home: source(home) });
        }
        [name, "loses", home] => {
            world.turn_to(member(name));
            world.handle(DeskInput::HomeReleased { home: source(home) });
        }
        ["pending", alerts @ ..] => {
            for alert in alerts {
                world.signal(&alert_name(alert), Transition::Pending, None);
            }
        }
        ["drop", alert] => world.signal(&alert_name(alert), Transition::Dropped, None),
        ["refresh", alert, fired_at] => {
            let fired_at: Millis = fired_at.parse().expect("a time");
            world.signal(&alert_name(alert), Transition::Refreshed, Some(EventTime(fired_at.0)));
        }
        ["fire", alerts @ ..] => alerts.iter().for_each(|alert| world.fire(&alert_name(alert))),
        ["resolve", alerts @ ..] => alerts.iter().for_each(|alert| world.resolve(&alert_name(alert))),
        ["forget", alert] => {
            world.signal(&alert_name(alert), Transition::Resolved(ResolvedBecause::RuleRemoved), None);
        }
        ["silence", matchers, "for", length] => {
            let ends_at = world.now + length.parse().expect("a length");
            world.silence(matchers, (None, ends_at), None);
        }
        ["silence", matchers, range, rest @ ..] => {
            let (from, to) = range.split_once("..").expect("a range of time");
            let time = |text: &str| WallTime(text.parse::<Millis>().expect("a time").0);
            let nth = rest.first().map(|nth| nth.parse().expect("a number"));
            world.silence(matchers, ((from != "now").then(|| time(from)), time(to)), nth);
        }
        ["expire", nth] => world.expire(nth.parse().expect("a number")),
        ["stalled", stream, topic, for_] => world.handle(DeskInput::SourceStalled {
            stream: (*stream).into(),
            source: SourceId::new(*topic, 0),
            watermark: EventTime(0),
            still_for: for_.parse().expect("a length"),
        }),
        ["moves", stream, topic] => {
            world.handle(DeskInput::SourceRecovered { stream: (*stream).into(), source: SourceId::new(*topic, 0) })
        }
        ["degraded", name, groups_max] => world.handle(DeskInput::RuleDegraded {
            rule: rule(name),
            groups_max: groups_max.parse().expect("a number"),
            refused: 7,
        }),
        ["restored", name] => world.handle(DeskInput::RuleRestored { rule: rule(name) }),
        [target, "is", "well"] => world.stand_in(target).mood = Mood::Well,
        [target, "fails"] => world.stand_in(target).mood = Mood::Fails { after: None },
        [target, "fails", after] => {
            world.stand_in(target).mood = Mood::Fails { after: Some(after.parse().expect("a length")) };
        }
        [target, "throttles"] => world.stand_in(target).mood = Mood::Throttles { after: None },
        [target, "throttles", after] => {
            world.stand_in(target).mood = Mood::Throttles { after: Some(after.parse().expect("a length")) };
        }
        [target, "rejects"] => world.stand_in(target).mood = Mood::Rejects,
        [target, "hangs"] => world.stand_in(target).mood = Mood::Hangs,
        [target, "takes", delay] => world.stand_in(target).delay = delay.parse().expect("a length"),
        [target, "answers", "late", "to", nth] => world.late_receipt(target, nth.parse().expect("a number")),
        ["explain", alert] => {
            let name = alert_name(alert);
            let story: Vec<String> = world.desk.journal().explain(&name).iter().map(ToString::to_string).collect();
            story.iter().for_each(|line| world.log(&format!("| {line}")));
        }
        ["groups"] => {
            let lines: Vec<String> = world
                .desk
                .groups()
                .flat_map(|group| {
                    let (key, firing) = (group.key.clone(), group.firing.len());
                    let leg = move |leg: super::super::LegView| {
                        format!("| {key}: {firing} firing, {} {:?}, next {:?}", leg.target, leg.state, leg.next)
                    };
                    group.legs.into_iter().map(leg)
                })
                .collect();
            lines.iter().for_each(|line| world.log(line));
        }
        ["lanes"] => {
            let lines: Vec<String> = world
                .desk
                .lanes()
                .map(|lane| {
                    let last = lane.last.map(|(at, outcome)| format!("{outcome:?} at {at}"));
                    let error = lane.last_error.map(|(_, error)| error).unwrap_or_else(|| "none".into());
                    let paused = lane.throttled_until.map_or(String::new(), |until| format!(", paused until {until}"));
                    format!(
                        "| {}/{}: {} in flight, {} queued, last {}, error {error}{paused}",
                        lane.receiver,
                        lane.kind,
                        lane.in_flight,
                        lane.queued,
                        last.unwrap_or_else(|| "nothing".into()),
                    )
                })
                .collect();
            lines.iter().for_each(|line| world.log(line));
        }
        ["counts"] => world.log(&format!("| {:?}", world.desk.counts())),
        _ => panic!("what is {words:?}"),
    }
}
