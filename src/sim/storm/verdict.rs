//! The end of a storm: what was owed, what was told, and what the oracle says (`V2`, `V10`, and `V5`'s other half).

use std::collections::{BTreeMap, BTreeSet};

use super::Outside;
use super::member::Member;

use super::options::Fault;
use super::oracle::{self, Episode, Rule};
use super::receivers::TARGETS;
use super::topic::SERVICES;
use crate::alert::life::{Alert, AlertName};
use crate::model::{EventTime, WallTime};

/// What changed so lately need not have been told.
const FRESH: i64 = 30_000;

pub(super) fn judge(outside: &mut Outside<'_>, member: &mut Member, was_edited: bool) {
    if outside.watch.broken.is_some() {
        return;
    }
    let judged = member.judged();
    let behind = outside.now - judged.0;
    if judged == EventTime::MIN || behind > 60_000 {
        outside.watch.fail("V11", format!("rules are judged up to {judged}, and it is {}", EventTime(outside.now)));
    }
    if outside.watch.checkpoints == 0 {
        outside.watch.fail("V11", "there never was a checkpoint".to_owned());
    }
    believe(outside, member);
    probe(outside, member);
    if outside.watch.inexact.is_none() {
        compare(outside, judged, was_edited);
    }
}

/// `V2`: what goes wrong when all is well again fires, whatever was before.
fn probe(outside: &mut Outside<'_>, member: &Member) {
    let fooled = [Fault::Future, Fault::Retention, Fault::Recreate].iter().any(|fault| outside.options.has(*fault));
    if outside.options.has(Fault::Clock) && fooled {
        return; // a clock that is an hour ahead lets in what is to come, or dates a gap so
    }
    let is_probe = |alert: &&Alert| &*alert.rule.name == "Errors" && alert.labels.get("svc") == Some("a");
    if !member.desk.alerts().filter(is_probe).any(Alert::is_firing) {
        outside.watch.fail("V2", "errors go on for minutes, and nothing fires".to_owned());
    }
}

/// `V2`: everyone believes what is.
fn believe(outside: &mut Outside<'_>, member: &Member) {
    let mut truth: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut fresh = BTreeSet::new();
    let desk = &member.desk;
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
    let is_fresh = |belief: &String| fresh.iter().any(|name| belief.ends_with(name.as_str()));
    for (receiver, integration, _) in TARGETS {
        let target = &outside.receivers[&(receiver.into(), integration)];
        let believes: BTreeSet<String> = target.believes.values().flatten().cloned().collect();
        let is = truth.get(receiver).cloned().unwrap_or_default();
        // Of what was forgotten for want of a disk nobody can be told the end.
        let forgot = outside.watch.forgot;
        let counts = |belief: &&String| !is_fresh(belief) && (is.contains(*belief) || !forgot);
        if let Some(first) = is.symmetric_difference(&believes).find(counts) {
            let side = if is.contains(first) { "is owed" } else { "still believes" };
            outside.watch.fail("V2", format!("{receiver}/{integration} {side} {first}"));
            return;
        }
    }
}

/// `V10`
fn compare(outside: &mut Outside<'_>, judged: EventTime, was_edited: bool) {
    let all = oracle::episodes(&outside.partitions, judged.0);
    let kept = |rule: Rule| !(was_edited && rule.is_edited());
    let fired: BTreeSet<_> = all.iter().map(|e| (e.rule, e.svc, e.since, e.fired_at)).filter(|e| kept(e.0)).collect();
    let ended = all.iter().filter_map(|e| Some((e.rule, e.svc, e.fired_at, e.ended_at?)));
    let ended: BTreeSet<_> = ended.filter(|e| kept(e.0)).collect();
    let heard: BTreeSet<_> = outside.watch.fired.iter().copied().filter(|e| kept(e.0)).collect();
    let heard_ended: BTreeSet<_> = outside.watch.ended.iter().copied().filter(|e| kept(e.0)).collect();
    let time = |at: i64| EventTime(at).to_string();
    let text = |(rule, svc, a, b): (Rule, usize, i64, i64)| {
        format!("{}{{{}}} {} {}", rule.name(), SERVICES[svc], time(a), time(b))
    };
    // `V5`: `for` began anew while it was running, or was over too soon.
    for heard in heard.difference(&fired) {
        let running = |e: &&(Rule, usize, i64, i64)| (e.0, e.1) == (heard.0, heard.1) && (e.2..=e.3).contains(&heard.2);
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
    told(outside, &all, was_edited);
}

/// No receiver was told of what did not happen.
fn told(outside: &mut Outside<'_>, all: &[Episode], was_edited: bool) {
    let mut wrong = None;
    for taken in outside.receivers.values().flat_map(|receiver| &receiver.taken) {
        for alert in &taken.notification.alerts {
            let svc = SERVICES.iter().position(|svc| alert.labels.get("svc") == Some(svc));
            let (Some(rule), Some(svc)) = (Rule::of(&alert.rule.name), svc) else { continue };
            let known = all.iter().any(|e| (e.rule, e.svc, e.fired_at) == (rule, svc, alert.starts_at.0));
            let edited = was_edited && rule.is_edited();
            if !(known || edited) {
                wrong = Some((WallTime(taken.at), AlertName::from(alert).to_string(), alert.starts_at));
            }
        }
    }
    if let Some((at, name, starts_at)) = wrong {
        outside.watch.fail("V10", format!("at {at} it was told that {name} fires since {starts_at}"));
    }
}
