//! The end of a storm: what was owed, what was told, and what the oracle says (`V2`, `V10`, and `V5`'s other half).

use std::collections::{BTreeMap, BTreeSet};

use super::Outside;
use super::member::Member;

use super::options::Fault;
use super::oracle::{self, Course, Episode, Rule};
use super::receivers::TARGETS;
use super::topic::{SERVICES, lives};
use crate::alert::life::{Alert, AlertName};
use crate::model::{EventTime, WallTime};

/// What changed so lately need not have been told.
const FRESH: i64 = 30_000;

pub(super) fn judge(outside: &mut Outside<'_>, members: &[&mut Member], was_edited: bool) {
    if outside.watch.broken.is_some() {
        return;
    }
    let judged = members.iter().filter_map(|member| member.judged(outside.options)).min().unwrap_or(EventTime::MIN);
    if judged.0 < outside.now - 60_000 {
        outside.watch.fail("V11", format!("rules are judged up to {judged}, and it is {}", EventTime(outside.now)));
    }
    if outside.watch.checkpoints == 0 {
        outside.watch.fail("V11", "there never was a checkpoint".to_owned());
    }
    believe(outside, members);
    probe(outside, members);
    if outside.watch.inexact.is_none() {
        compare(outside, judged, was_edited);
    }
}

/// `V2`: what goes wrong when all is well again fires, whatever was before.
fn probe(outside: &mut Outside<'_>, members: &[&mut Member]) {
    let fooled = [Fault::Future, Fault::Retention, Fault::Recreate].iter().any(|fault| outside.options.has(*fault));
    if outside.options.has(Fault::Clock) && fooled {
        return; // a clock that is an hour ahead lets in what is to come, or dates a gap so
    }
    let is_probe = |alert: &&Alert| &*alert.rule.name == "Errors" && alert.labels.get("svc") == Some("a");
    if !members.iter().flat_map(|member| member.desk.alerts()).filter(is_probe).any(Alert::is_firing) {
        outside.watch.fail("V2", "errors go on for minutes, and nothing fires".to_owned());
    }
}

/// `V2`: everyone believes what is, and has heard the end of whatever it was told of.
fn believe(outside: &mut Outside<'_>, members: &[&mut Member]) {
    let mut truth: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut fresh = BTreeSet::new();
    for desk in members.iter().map(|member| &member.desk) {
        for alert in desk.alerts().filter(|alert| desk.now().since(alert.changed_at).0 < FRESH) {
            fresh.insert(AlertName::from(alert).to_string());
        }
        // Of what is silenced nothing is owed, one way or the other.
        let ended = desk.groups().flat_map(|group| group.ended).collect::<Vec<_>>();
        let names = desk.alerts().map(AlertName::from).chain(ended);
        fresh.extend(names.filter(|name| desk.hides(&name.labels)).map(|name| name.to_string()));
        for group in desk.groups() {
            let of = truth.entry(if &*group.receiver == "ops" { "ops" } else { "hook" }).or_default();
            for id in &group.firing {
                let alert = desk.alerts().find(|alert| alert.id == *id).expect("what fires is known");
                of.insert(format!("{} {}", group.key, AlertName::from(alert)));
            }
        }
    }
    let is_fresh = |belief: &String| fresh.iter().any(|name| belief.ends_with(name.as_str()));
    for (receiver, integration, _) in TARGETS {
        let target = &outside.receivers[&(receiver.into(), integration)];
        let believes: BTreeSet<String> = target.believes.values().flatten().cloned().collect();
        let is = truth.get(receiver).cloned().unwrap_or_default();
        // Of what was forgotten for want of a disk nobody can be told the end.
        let forgot = outside.watch.seen.forgot || outside.other.seen.forgot;
        // Who was told last by a member that could not know better hears nothing of it until there is news.
        let is_misled = |belief: &str| target.misled.iter().any(|group| belief.starts_with(&**group));
        let counts = |belief: &&String| !is_fresh(belief) && !is_misled(belief) && (is.contains(*belief) || !forgot);
        if let Some(first) = is.symmetric_difference(&believes).find(counts) {
            let side = if is.contains(first) { "is owed" } else { "still believes" };
            outside.watch.fail("V2", format!("{receiver}/{integration} {side} {first}"));
            return;
        }
        let open: BTreeSet<String> = target.open.values().flatten().cloned().collect();
        if let Some(first) = open.difference(&is).find(counts) {
            outside.watch.fail("V2", format!("{receiver}/{integration} is owed the end of {first}"));
            return;
        }
    }
}

/// What one rule says of one service at a time, and since when.
type Said = (Rule, usize, i64, i64);

/// What the oracle says, as far as it is to be believed.
struct Known {
    courses: Vec<Course>,
    /// Up to when.
    until: i64,
}

impl Known {
    /// Whether what fired then is known.
    fn covers(&self, rule: Rule, svc: usize, fired_at: i64) -> bool {
        let known = |course: &Course| (course.from..=self.until).contains(&fired_at);
        self.courses.iter().any(|course| (course.rule, course.svc) == (rule, svc) && known(course))
    }

    fn episodes(&self) -> impl Iterator<Item = &Episode> {
        self.courses.iter().flat_map(|course| &course.episodes)
    }
}

/// `V10`
fn compare(outside: &mut Outside<'_>, judged: EventTime, was_edited: bool) {
    let mut courses = courses(outside, judged.0);
    courses.retain(|course| !(was_edited && course.rule.is_edited()));
    let known = Known { courses, until: judged.0 };
    let fired: BTreeSet<Said> = known.episodes().map(|e| (e.rule, e.svc, e.since, e.fired_at)).collect();
    let ended: BTreeSet<Said> =
        known.episodes().filter_map(|e| Some((e.rule, e.svc, e.fired_at, e.ended_at?))).collect();
    let heard = &outside.watch.fired;
    let heard: BTreeSet<Said> = heard.iter().copied().filter(|e| known.covers(e.0, e.1, e.3)).collect();
    let heard_ended = &outside.watch.ended;
    let heard_ended: BTreeSet<Said> =
        heard_ended.iter().copied().filter(|e| known.covers(e.0, e.1, e.2) && e.3 <= judged.0).collect();
    let time = |at: i64| EventTime(at).to_string();
    let text = |(rule, svc, a, b): Said| format!("{}{{{}}} {} {}", rule.name(), SERVICES[svc], time(a), time(b));
    // `V5`: `for` began anew while it was running, or was over too soon.
    for heard in heard.difference(&fired) {
        let running = |e: &&Said| (e.0, e.1) == (heard.0, heard.1) && (e.2..=e.3).contains(&heard.2);
        let id = if fired.iter().any(|e| running(&e)) { "V5" } else { "V10" };
        outside.watch.fail(id, format!("fired, and should not have: {} (since, fired)", text(*heard)));
    }
    if let Some(missing) = fired.difference(&heard).next() {
        outside.watch.fail("V10", format!("should have fired: {} (since, fired)", text(*missing)));
    }
    if let Some(wrong) = heard_ended.difference(&ended).next() {
        outside.watch.fail("V10", format!("ended, and should not have: {} (fired, ended)", text(*wrong)));
    }
    if let Some(missing) = ended.difference(&heard_ended).next() {
        outside.watch.fail("V10", format!("should have ended: {} (fired, ended)", text(*missing)));
    }
    told(outside, &known);
}

/// Where there are two members each partition is judged by itself.
fn courses(outside: &Outside<'_>, until: i64) -> Vec<Course> {
    let mut all = Vec::new();
    if outside.options.members == 1 {
        let whole = outside.watch.whole();
        return whole.map_or(all, |whole| oracle::courses(&outside.partitions, whole.0, until));
    }
    for (at, partition) in outside.partitions.iter().enumerate() {
        let Some(whole) = outside.watch.whole_of(&partition.source) else { continue };
        let courses = oracle::courses(std::slice::from_ref(partition), whole.0, until).into_iter();
        all.extend(courses.filter(|course| lives(outside.options, course.svc, at)));
    }
    all
}

/// No receiver was told of what did not happen.
fn told(outside: &mut Outside<'_>, known: &Known) {
    let mut wrong = None;
    for taken in outside.receivers.values().flat_map(|receiver| &receiver.taken) {
        for alert in &taken.notification.alerts {
            let svc = SERVICES.iter().position(|svc| alert.labels.get("svc") == Some(svc));
            let (Some(rule), Some(svc)) = (Rule::of(&alert.rule.name), svc) else { continue };
            let happened = known.episodes().any(|e| (e.rule, e.svc, e.fired_at) == (rule, svc, alert.starts_at.0));
            if known.covers(rule, svc, alert.starts_at.0) && !happened {
                wrong = Some((WallTime(taken.at), AlertName::from(alert).to_string(), alert.starts_at));
            }
        }
    }
    if let Some((at, name, starts_at)) = wrong {
        outside.watch.fail("V10", format!("at {at} it was told that {name} fires since {starts_at}"));
    }
}
