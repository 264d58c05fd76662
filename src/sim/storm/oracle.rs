//! The oracle: what the rules must have said, worked out the slow and obvious way from the whole list of events.
//!
//! It shares nothing with the engine but the text of the rules, and that by hand: windows are filters over all events,
//! ticks are judged one by one, holds are four lines.

use super::topic::{Kind, LATENESS, Partition, SERVICES};

/// Length of panes, and how often rules are judged.
const TICK: i64 = 10_000;

/// The rules that are judged again here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    Busy,
    Errors,
    Slow,
    Gone,
}

impl Rule {
    pub const ALL: [Rule; 4] = [Rule::Busy, Rule::Errors, Rule::Slow, Rule::Gone];

    pub const fn name(self) -> &'static str {
        match self {
            Rule::Busy => "Busy",
            Rule::Errors => "Errors",
            Rule::Slow => "Slow",
            Rule::Gone => "Gone",
        }
    }

    pub fn of(name: &str) -> Option<Rule> {
        Rule::ALL.into_iter().find(|rule| rule.name() == name)
    }

    pub const fn window(self) -> i64 {
        match self {
            Rule::Busy | Rule::Slow => 20_000,
            Rule::Errors => 30_000,
            Rule::Gone => 40_000,
        }
    }

    pub const fn for_(self) -> i64 {
        match self {
            Rule::Busy | Rule::Gone => 0,
            Rule::Errors => 20_000,
            Rule::Slow => 10_000,
        }
    }

    const fn keep_firing_for(self) -> i64 {
        match self {
            Rule::Errors => 20_000,
            _ => 0,
        }
    }

    /// Whether an edit of the rules ([`super::stage::EDITED`]) changes what it says.
    pub const fn is_edited(self) -> bool {
        matches!(self, Rule::Busy)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Breach,
    Normal,
    Unknown,
}

/// One firing of one rule for one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Episode {
    pub rule: Rule,
    pub svc: usize,
    pub since: i64,
    pub fired_at: i64,
    pub ended_at: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Event {
    at: i64,
    svc: usize,
    status: i64,
    ms: f64,
}

/// Places of a partition whose pane was over before they came, by the order within the partition alone.
pub fn late(partition: &Partition) -> Vec<bool> {
    let mut newest = i64::MIN;
    let mut late = Vec::new();
    for record in &partition.records {
        if record.kind != Kind::Event {
            late.push(false);
            continue;
        }
        newest = newest.max(record.at);
        late.push((record.at.div_euclid(TICK) + 1) * TICK <= newest.saturating_sub(LATENESS));
    }
    late
}

/// What is known of one rule for one service.
#[derive(Clone, Debug)]
pub struct Course {
    pub rule: Rule,
    pub svc: usize,
    /// From when on it is known; what fires then was not firing before.
    pub from: i64,
    pub episodes: Vec<Episode>,
}

/// Everything that fired up to `until`. Where events were lost, windows are whole again at `whole`, and each course is known
/// from when it has been calm since.
pub fn courses(partitions: &[Partition], whole: i64, until: i64) -> Vec<Course> {
    let mut events = Vec::new();
    for partition in partitions {
        let late = late(partition);
        let taken = partition.records.iter().zip(late).filter(|(record, late)| record.kind == Kind::Event && !late);
        events.extend(taken.map(|(r, _)| Event { at: r.at, svc: r.svc, status: r.status, ms: r.ms }));
    }
    let Some(first) = events.iter().map(|event| event.at).min() else { return Vec::new() };
    let first = (first.div_euclid(TICK) + 1) * TICK;
    let mut courses = Vec::new();
    for rule in Rule::ALL {
        for svc in 0..SERVICES.len() {
            let own: Vec<Event> = events.iter().filter(|event| event.svc == svc).copied().collect();
            let from = if whole > first { calm_since(rule, &own, whole, until) } else { first };
            let episodes = follow(rule, svc, &own, from, until);
            courses.push(Course { rule, svc, from, episodes });
        }
    }
    courses
}

/// The first tick at which nothing can pend or fire any more, whatever was before `whole`.
fn calm_since(rule: Rule, events: &[Event], whole: i64, until: i64) -> i64 {
    let mut quiet = None;
    let mut tick = (whole.div_euclid(TICK) + 1) * TICK;
    while tick <= until {
        match judge(rule, events, tick) {
            Verdict::Normal if tick - *quiet.get_or_insert(tick) >= rule.keep_firing_for() => return tick,
            Verdict::Normal | Verdict::Unknown => {}
            Verdict::Breach => quiet = None,
        }
        tick += TICK;
    }
    i64::MAX
}

fn follow(rule: Rule, svc: usize, events: &[Event], from: i64, until: i64) -> Vec<Episode> {
    let (mut pending, mut firing, mut quiet): (Option<i64>, Option<Episode>, Option<i64>) = (None, None, None);
    let mut found = Vec::new();
    let mut tick = from;
    while tick <= until {
        match judge(rule, events, tick) {
            Verdict::Unknown => {}
            Verdict::Breach => {
                quiet = None;
                let since = *pending.get_or_insert(tick);
                if firing.is_none() && tick - since >= rule.for_() {
                    firing = Some(Episode { rule, svc, since, fired_at: tick, ended_at: None });
                }
            }
            Verdict::Normal => {
                let since = *quiet.get_or_insert(tick);
                match firing {
                    Some(mut episode) if tick - since >= rule.keep_firing_for() => {
                        episode.ended_at = Some(tick);
                        found.push(episode);
                        (pending, firing, quiet) = (None, None, None);
                    }
                    Some(_) => {}
                    None => (pending, quiet) = (None, None),
                }
            }
        }
        tick += TICK;
    }
    found.extend(firing);
    found
}

fn judge(rule: Rule, events: &[Event], tick: i64) -> Verdict {
    let truth = |holds| if holds { Verdict::Breach } else { Verdict::Normal };
    let Some(last_seen) =
        events.iter().map(|event| (event.at.div_euclid(TICK) + 1) * TICK).filter(|end| *end <= tick).max()
    else {
        return Verdict::Unknown; // nobody knows of it yet
    };
    let window = || events.iter().filter(|event| (tick - rule.window()..tick).contains(&event.at));
    match rule {
        Rule::Busy => truth(window().count() > 14),
        Rule::Errors => {
            let (all, bad) = (window().count(), window().filter(|event| event.status >= 500).count());
            truth(all >= 4 && bad as f64 / all as f64 > 0.4)
        }
        Rule::Slow => match window().map(|event| event.ms).reduce(f64::max) {
            Some(worst) => truth(worst > 900.0),
            None => Verdict::Unknown,
        },
        Rule::Gone => truth(tick - last_seen >= rule.window()),
    }
}
