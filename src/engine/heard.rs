//! What the desk heard of alerts after the shards' last cut, brought into that cut: at a restart, and where a partition comes
//! from another member.
//!
//! A process that is killed leaves a desk that is newer than its shards: the desk's log holds every signal, the shards' state
//! is that of the checkpoint. As a rule the shards read the same records again and say the same again. Where the log has
//! lost these records they cannot, and what they know is older than what people were told: a shard that knows as pending
//! what fires would end it without `keep_firing_for`, and of an alert that began after the cut nobody would ever speak
//! again. An end that was told would be forgotten, and the alert would come back in its old episode. So each alert that was
//! heard of after the cut stands in it as it was heard.
//!
//! A parcel is no different: its desk's part is as the desk was when it was sent, and its cell as it was at the checkpoint
//! before, unless the partition left in order. What fired in between was told, for that is what parcels are sent for.
//!
//! To say this only where something was lost would need to know that before anything is read. It need not be known: the
//! last word on an alert was said at a breach or at its end, and says all there is to know of the hold at that tick. So ticks up to that
//! one are not judged again for it. Were they, an alert of absence would end at the first, at which the silence was not long
//! enough; the desk would take that for stale (`L2` in [`crate::alert::life`]), and behind a gap nobody would find out
//! again that the silence had been long enough, or that it is over.
//!
//! - `D1` a shard that goes on from such a cut and reads what it read before has the holds it would have had, from the last
//!   word on each alert on
//! - `D2` what fires at the desk fires in the cut, and what has ended there does not, unless its group cannot be told from its
//!   labels, or its feed had judged nothing yet

use std::collections::{BTreeMap, BTreeSet};

use crate::alert::life::{Alert, Life};
use crate::engine::plan::{Plan, RulePlan};
use crate::engine::state::{ActiveCut, FeedCut, RuleMeaning, ShardCut};
use crate::model::labels::Labels;
use crate::model::schema::FieldType;
use crate::rule::hold::Hold;
use crate::rule::plan::Rule;
use crate::stream::group::{KeyPart, encode_key};

/// One alert as the desk knows it.
struct Heard<'a> {
    alert: &'a Alert,
    hold: Hold,
    /// Of its group.
    key: Vec<u8>,
}

/// Brings the alerts of a desk into the cuts of one checkpoint, as far as they are newer. `plan` is that of the rules as they
/// are now: those that are not what they were find nothing here, nor at a restart.
pub fn bring_in<'a>(cuts: &mut [ShardCut], plan: &Plan, alerts: impl Iterator<Item = &'a Alert>) {
    let rules: BTreeMap<_, &RulePlan> =
        plan.feeds.iter().flat_map(|feed| &feed.rules).map(|rule| (rule.rule.meta.names(), rule)).collect();
    let mut of_rules: BTreeMap<_, Vec<Heard<'a>>> = BTreeMap::new();
    for alert in alerts {
        let Some(rule) = rules.get(&alert.rule.names()) else { continue };
        if let Some(key) = key_of(&rule.rule, &alert.labels) {
            let heard = Heard { alert, hold: hold_of(alert.life), key };
            of_rules.entry((alert.home.as_deref(), alert.rule.names())).or_default().push(heard);
        }
    }
    for ((home, names), heard) in of_rules {
        let here = cuts.iter_mut().filter(|cut| cut.cell.as_ref().map(|cell| &cell.home) == home);
        bring_in_rule(here, rules[&names], heard);
    }
}

/// The alerts of one rule: each into the cut that has its group; into any, where none has.
fn bring_in_rule<'c>(cuts: impl Iterator<Item = &'c mut ShardCut>, rule: &RulePlan, mut heard: Vec<Heard<'_>>) {
    let absent = rule.rule.condition.is_none();
    let mut feeds: Vec<(&mut FeedCut, usize)> = Vec::new();
    for feed in cuts.flat_map(|cut| &mut cut.feeds) {
        let Some(at) = place_of(feed, rule.meaning) else { continue };
        let known = groups_of(feed, heard.iter().map(|heard| &*heard.key).collect());
        heard.retain(|heard| match known.get(&heard.key) {
            Some(gid) => {
                put(feed, at, *gid, heard, absent);
                false
            }
            None => true,
        });
        feeds.push((feed, at));
    }
    if let Some((feed, at)) = feeds.first_mut() {
        for heard in heard.iter().filter(|heard| heard.hold != Hold::Clear) {
            let gid = add_group(feed, &heard.key);
            put(feed, *at, gid, heard, absent);
        }
    }
}

/// Where the rule stands in a feed that has judged anything.
fn place_of(feed: &FeedCut, meaning: RuleMeaning) -> Option<usize> {
    feed.judged()?;
    feed.rules.iter().position(|old| meaning.continues(old.meaning))
}

/// The groups of these keys.
fn groups_of(feed: &FeedCut, keys: BTreeSet<&[u8]>) -> BTreeMap<Vec<u8>, u32> {
    let known = feed.groups.iter().filter(|(_, key, _)| keys.contains(key));
    known.map(|(gid, key, _)| (key.to_vec(), gid)).collect()
}

/// A group that was not known before the cut: what is known of it is its alert.
fn add_group(feed: &mut FeedCut, key: &[u8]) -> u32 {
    let gid = feed.groups.gids.iter().max().map_or(0, |gid| gid + 1);
    feed.groups.gids.push(gid);
    feed.groups.keys.0.extend_from_slice(key);
    feed.groups.ends.push(feed.groups.keys.0.len() as u32);
    feed.groups.last_seen.push(feed.closed.unwrap_or(0));
    feed.groups.assumed.push(gid);
    gid
}

fn put(feed: &mut FeedCut, rule: usize, gid: u32, heard: &Heard<'_>, absent: bool) {
    let Heard { alert, hold, .. } = heard;
    if feed.judged().is_some_and(|judged| alert.at <= judged) {
        return; // what is in the cut is newer
    }
    let active = &mut feed.rules[rule].active;
    let (at, absent) = match active.binary_search_by_key(&gid, |active| active.gid) {
        Ok(at) => (at, active.remove(at).absent),
        Err(_) if *hold == Hold::Clear => return, // so it is in the cut
        Err(at) => (at, absent),
    };
    active.insert(
        at,
        ActiveCut {
            gid,
            hold: *hold,
            labels: alert.labels.clone(),
            last_signal: alert.at,
            absent,
            annotations: alert.annotations.clone(),
        },
    );
}

/// As its shard has it at the last word on it, which was said at a breach or at its end.
fn hold_of(life: Life) -> Hold {
    match life {
        Life::Pending { since } => Hold::Pending { since },
        Life::Firing { since, fired_at } => Hold::Firing { since, fired_at },
        Life::Resolved { .. } => Hold::Clear,
    }
}

/// The key of the group that has these labels; `None` where they do not tell.
fn key_of(rule: &Rule, labels: &Labels) -> Option<Vec<u8>> {
    let mut parts = Vec::with_capacity(rule.by.len());
    for key in &rule.by {
        if rule.labels.iter().any(|(own, _)| *own == key.name) {
            return None; // the rule's own label hides it
        }
        parts.push(match (labels.get(&key.name), key.source.ty()) {
            (None, _) => KeyPart::Null,
            (Some(text), FieldType::String) => KeyPart::Text(text),
            (Some(text), FieldType::Int) => KeyPart::Int(text.parse().ok()?),
            (Some(text), FieldType::Float) => KeyPart::Float(text.parse().ok()?),
            (Some(text), FieldType::Bool) => KeyPart::Bool(text.parse().ok()?),
        });
    }
    let mut key = Vec::new();
    encode_key(&parts, &mut key);
    Some(key)
}
