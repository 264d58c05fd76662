//! A record in one line, for people.

use std::fmt;

use anstyle::AnsiColor;

use super::{
    AlertEvent, AlertRecord, Before, DeliveryRecord, Facts, PartitionEvent, PartitionRecord, Record, Restored,
    RulesRecord, RunRecord,
};
use crate::alert::life::AlertName;
use crate::engine::transcript::{clean, number};
use crate::model::signal::ResolvedBecause;

impl Record {
    /// What happened, in one stable word: the column `what` of the table.
    pub fn what(&self) -> &str {
        match self {
            Record::Alert(record) => match record.what {
                AlertEvent::Began { .. } => "began",
                AlertEvent::Dropped { .. } => "dropped",
                AlertEvent::Fired { .. } => "fired",
                AlertEvent::FiredAgain { .. } => "fired_again",
                AlertEvent::Resolved { .. } => "resolved",
                AlertEvent::Joined { .. } => "joined",
                AlertEvent::Overflowed { .. } => "overflowed",
                AlertEvent::Untold { .. } => "untold",
                AlertEvent::Displaced { .. } => "displaced",
                AlertEvent::EndForgotten { .. } => "end_forgotten",
                AlertEvent::Silenced { .. } => "silenced",
                AlertEvent::Unsilenced { .. } => "unsilenced",
            },
            Record::Delivery(record) => match record {
                DeliveryRecord::Written { .. } => "written",
                DeliveryRecord::Skipped { .. } => "skipped",
                DeliveryRecord::Delivered { .. } => "delivered",
                DeliveryRecord::Failed { .. } => "failed",
                DeliveryRecord::Throttled { .. } => "throttled",
                DeliveryRecord::Superseded { .. } => "superseded",
                DeliveryRecord::GivenUp { .. } => "given_up",
                DeliveryRecord::ReceiverBack { .. } => "receiver_back",
            },
            Record::Rules(_) => "rules",
            Record::Operator(record) => &record.what,
            Record::Run(RunRecord::Started { .. }) => "started",
            Record::Run(RunRecord::Stopped { .. }) => "stopped",
            Record::Partition(record) => record.what.name(),
        }
    }

    /// The colour of that word, as in the demo and the transcript.
    pub fn colour(&self) -> AnsiColor {
        match self.what() {
            "fired" | "fired_again" | "given_up" | "failed" => AnsiColor::Red,
            "began" | "untold" | "displaced" | "overflowed" | "end_forgotten" | "throttled" | "silenced" => {
                AnsiColor::Yellow
            }
            "resolved" | "delivered" | "receiver_back" => AnsiColor::Green,
            "written" => AnsiColor::Cyan,
            "dropped" | "joined" | "skipped" | "superseded" => AnsiColor::BrightBlack,
            _ => AnsiColor::Blue,
        }
    }

    /// Everything else in one line, fit for a terminal.
    pub fn line(&self) -> String {
        match self {
            Record::Alert(record) => record.to_string(),
            Record::Delivery(record) => record.to_string(),
            Record::Rules(record) => record.to_string(),
            Record::Operator(record) => {
                let from = record.from.as_ref().map_or(String::new(), |from| format!(" ({})", clean(from)));
                format!("{}{from}: {}", clean(&record.who), clean(&record.detail))
            }
            Record::Run(record) => record.to_string(),
            Record::Partition(record) => record.to_string(),
        }
    }
}

impl fmt::Display for AlertRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = AlertName { rule: self.alert.clone(), labels: self.labels.clone() }.to_string();
        f.write_str(&clean(&name))?;
        match &self.what {
            AlertEvent::Began { facts } | AlertEvent::Dropped { facts } | AlertEvent::Fired { facts } => {
                write!(f, "{facts}")
            }
            AlertEvent::FiredAgain { before, facts } => write!(f, " (its episode of {before} never ended){facts}"),
            AlertEvent::Resolved { because, facts } => {
                match because {
                    ResolvedBecause::Normal => {}
                    ResolvedBecause::SeenAgain => f.write_str(", seen again")?,
                    ResolvedBecause::Expired => f.write_str(", its group was forgotten")?,
                    ResolvedBecause::RuleRemoved => f.write_str(", its rule was removed")?,
                    ResolvedBecause::LocalChanged => f.write_str(", `local` of the rules changed")?,
                }
                match facts.fired_at {
                    Some(fired_at) => write!(f, " after {}{facts}", facts.event_time.since(fired_at)),
                    None => write!(f, "{facts}"),
                }
            }
            AlertEvent::Joined { group, receiver } => write!(f, " → {receiver}, in {}", clean(group)),
            AlertEvent::Overflowed { group, wanted } => {
                write!(f, ": no room for {}, in {}", clean(wanted), clean(group))
            }
            AlertEvent::Untold { reason } => write!(f, ": {reason}"),
            AlertEvent::Displaced { by } => write!(f, ": made room for {}", clean(by)),
            AlertEvent::EndForgotten { group } => write!(f, ": {} is owed too many ends", clean(group)),
            AlertEvent::Silenced { silence, by, comment, until } => {
                write!(f, " by {} until {until} ({silence})", clean(by))?;
                match comment.is_empty() {
                    true => Ok(()),
                    false => write!(f, ": {}", clean(comment)),
                }
            }
            AlertEvent::Unsilenced { silence, by } => write!(f, ": that of {} is over ({silence})", clean(by)),
        }
    }
}

/// ` p99=1240 > 800 (rules/a.yaml:3)`, each part as far as it is known.
impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "  ";
        for comparison in &self.evidence.comparisons {
            write!(f, "{comma}{}", clean(&comparison.text))?;
            if let Some(left) = comparison.left {
                write!(f, " ({})", number(left))?;
            }
            comma = ", ";
        }
        match self.rule.is_empty() {
            true => Ok(()),
            false => write!(f, "  ({})", clean(&self.rule)),
        }
    }
}

impl fmt::Display for DeliveryRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeliveryRecord::Written { group, sequence, why, targets, firing, ended, truncated } => {
                let why = why.text();
                let targets = targets.join(", ");
                write!(f, "{} #{sequence} → {targets}: {why}, {firing} firing, {ended} resolved", clean(group))?;
                match truncated {
                    0 => Ok(()),
                    _ => write!(f, ", {truncated} not shown"),
                }
            }
            DeliveryRecord::Skipped { group, target, reason } => {
                write!(f, "{} → {target}: {}", clean(group), clean(reason))
            }
            DeliveryRecord::Delivered { group, target, sequence, attempt, took, late } => {
                let late = if *late { ", reported late" } else { "" };
                write!(f, "{} #{sequence} → {target}, attempt {attempt}, took {took}{late}", clean(group))
            }
            DeliveryRecord::Failed { group, target, sequence, attempt, reason, next_at } => {
                write!(f, "{} #{sequence} → {target}, attempt {attempt}: {}", clean(group), clean(reason))?;
                match next_at {
                    Some(at) => write!(f, "; next at {at}"),
                    None => Ok(()),
                }
            }
            DeliveryRecord::Throttled { group, target, sequence, attempt, reason, until } => {
                write!(f, "{} #{sequence} → {target}, attempt {attempt}: ", clean(group))?;
                write!(f, "{}; paused until {until}", clean(reason))
            }
            DeliveryRecord::Superseded { group, target, sequence, by, attempts } => {
                write!(f, "{} #{sequence} → {target} gives way to #{by}", clean(group))?;
                write!(f, " after {}", plural(*attempts as usize, "attempt"))
            }
            DeliveryRecord::GivenUp { group, target, sequence, attempts, reason, owed_until } => {
                let attempts = plural(*attempts as usize, "attempt");
                write!(f, "{} #{sequence} → {target} after {attempts}: {}", clean(group), clean(reason))?;
                match owed_until {
                    Some(until) => write!(f, "; still owed, anew at {until}"),
                    None => Ok(()),
                }
            }
            DeliveryRecord::ReceiverBack { target, groups } => {
                write!(f, "{target}: {} owed to it are due", plural(*groups, "group"))
            }
        }
    }
}

/// `2 groups`
fn plural(n: usize, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}

/// Enough of a hash to tell it from its neighbours.
fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

impl fmt::Display for RulesRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rules, files) = (plural(self.rules, "rule"), plural(self.files.len(), "file"));
        write!(f, "{rules} in {files}, {}", short(&self.hash))?;
        if let Some(commit) = &self.commit {
            write!(f, ", commit {}", short(commit))?;
        }
        let Some(changed) = &self.changed else { return Ok(()) };
        for (word, files) in [("added", &changed.added), ("edited", &changed.edited), ("removed", &changed.removed)] {
            if !files.is_empty() {
                write!(f, "; {word} {}", clean(&files.join(", ")))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for RunRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunRecord::Started { version, pid, restored, before } => {
                write!(f, "foghorn {version}, process {pid}")?;
                match restored {
                    Restored::Nothing => f.write_str(", with nothing restored")?,
                    Restored::Checkpoint { taken_at, inputs } => {
                        let inputs = plural(*inputs as usize, "input");
                        write!(f, ", from the checkpoint of {taken_at} and {inputs} after it")?;
                    }
                }
                match before {
                    Before::None => Ok(()),
                    Before::Cleanly { .. } => f.write_str("; the run before ended in order"),
                    Before::Uncleanly { .. } => f.write_str("; the run before ended without a word"),
                }
            }
            RunRecord::Stopped { why } => f.write_str(&clean(why)),
        }
    }
}

impl fmt::Display for PartitionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, tenure {}", clean(&self.partition), self.tenure)?;
        match &self.what {
            PartitionEvent::Adopted { from } => write!(f, ", from {}", clean(from)),
            PartitionEvent::Begun { read_from: Some(read), judged_from: Some(judged) } => {
                write!(f, ", at offset {judged}, read from {read}")
            }
            PartitionEvent::Confirmed | PartitionEvent::Begun { .. } | PartitionEvent::Left | PartitionEvent::Lost => {
                Ok(())
            }
        }
    }
}
