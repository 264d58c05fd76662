//! What rules say: verdicts, and the signals they become.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::labels::Labels;
use crate::model::position::{Position, SourceId};
use crate::model::time::{EventTime, Millis};

/// What a condition says of one group at one tick. Unknown never fires and never resolves (design D6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    Breach,
    Normal,
    Unknown(UnknownReason),
}

/// Why nothing can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownReason {
    /// A value the condition needs has no samples in its window.
    NoData,
    /// The condition divided by zero or got NaN otherwise.
    NotANumber,
    /// The window reaches back before the first event Foghorn has seen.
    Warming,
    /// Part of the input is known to be missing.
    Partial,
}

impl UnknownReason {
    pub const fn name(self) -> &'static str {
        match self {
            UnknownReason::NoData => "no_data",
            UnknownReason::NotANumber => "not_a_number",
            UnknownReason::Warming => "warming",
            UnknownReason::Partial => "partial",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Breach => f.write_str("breach"),
            Verdict::Normal => f.write_str("normal"),
            Verdict::Unknown(reason) => write!(f, "unknown ({})", reason.name()),
        }
    }
}

/// What stays the same for all alerts of one rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RuleMeta {
    /// The rule's name, the value of the label `alertname`.
    pub name: Arc<str>,
    /// The rule group it stands in.
    pub group: Arc<str>,
    /// The rule file as it was named to us.
    pub file: Arc<str>,
    /// 1-based line of the rule in its file.
    pub line: u32,
}

impl RuleMeta {
    /// What it is called: file, group and name. Its line is no part of it.
    pub fn names(&self) -> (&str, &str, &str) {
        (&self.file, &self.group, &self.name)
    }
}

impl fmt::Display for RuleMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}:{})", self.name, self.file, self.line)
    }
}

/// How one group of a rule moved. Times are event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "reason")]
pub enum Transition {
    /// inactive → pending: the condition holds, `for` is running.
    Pending,
    /// pending → inactive: the condition ceased before `for` was over. Nobody is told.
    Dropped,
    /// → firing.
    Firing,
    /// Still pending or firing; values and evidence are fresher.
    Refreshed,
    /// firing → inactive.
    Resolved(ResolvedBecause),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolvedBecause {
    /// The condition was normal (for `keep_firing_for`, where set).
    Normal,
    /// An `absent` group was seen again.
    SeenAgain,
    /// The group saw no events for so long that it was forgotten.
    Expired,
    /// The rule was taken away.
    RuleRemoved,
    /// Rules became `local: true`, or ceased to be: who spoke of it does not any more.
    LocalChanged,
}

/// What a rule tells the desk about one group at one tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    pub rule: Arc<RuleMeta>,
    /// The alert's identity within the rule: group-by values and the rule's labels, `alertname` included.
    pub labels: Labels,
    pub transition: Transition,
    /// The tick.
    pub at: EventTime,
    /// Since when the condition holds without a break: when pending began, or firing where `for` is zero.
    pub active_since: EventTime,
    /// When this episode began to fire; `None` while pending and for what never fired. It names the firing
    /// episode in notification keys.
    pub fired_at: Option<EventTime>,
    /// Rendered templates.
    pub annotations: Vec<(Arc<str>, String)>,
    /// The first `let` the condition reads: `$value` in templates.
    pub value: Option<f64>,
    pub evidence: Arc<Evidence>,
    /// The partition whose events alone it speaks of, where every rule is `local: true`; the alert moves with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<Arc<SourceId>>,
}

/// Why a rule says what it says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The text of `when` (or `absent: 5m`).
    pub condition: String,
    /// Each comparison of the condition with the numbers it compared.
    pub comparisons: Vec<Comparison>,
    /// Each numeric `let` in the rule's order; `None` where its window has no samples.
    pub values: Vec<(Arc<str>, Option<f64>)>,
    /// What `topk` found, largest first.
    pub contributors: Vec<Contributor>,
    /// Up to five events that breached.
    pub exemplars: Vec<Exemplar>,
    /// The window that was judged.
    pub window: Millis,
}

impl Evidence {
    /// The value of a `let`, by its name.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(known, _)| &**known == name).and_then(|(_, value)| *value)
    }
}

/// `p99 > 800` with `left` = 1240.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    pub text: String,
    pub left: Option<f64>,
    /// The threshold.
    pub right: Option<f64>,
    pub holds: Option<bool>,
}

/// One of the most frequent values of a field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contributor {
    /// The `let` it comes from.
    pub name: Arc<str>,
    pub value: String,
    pub count: u64,
}

/// One event that helped the condition to hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exemplar {
    pub at: EventTime,
    pub position: Position,
    /// The stream's exemplar field (a trace id), where it has one.
    pub id: Option<String>,
    /// The raw line or JSON object, cut at [`EXEMPLAR_TEXT_BYTES_MAX`].
    pub text: Option<String>,
}

/// Exemplars shown with one alert.
pub const EXEMPLARS_MAX: usize = 5;

/// Bytes of an exemplar's raw text; a longer one is cut at a character boundary and marked with `…`.
pub const EXEMPLAR_TEXT_BYTES_MAX: usize = 256;
