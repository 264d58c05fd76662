//! What a checked rule is: everything compiled, resolved and within bounds. `check` makes these; the engine only reads
//! them.
//!
//! - `P1` `every` divides every window and offset of the rule, so windows are whole runs of panes
//! - `P2` every field id refers to the rule's stream, every condition slot to the rule's lets
//! - `P3` nothing in a label depends on values: two alerts of a rule differ by their group alone

use std::sync::Arc;

use crate::model::schema::{HistogramSpec, StreamSchema};
use crate::model::signal::RuleMeta;
use crate::model::time::Millis;
use crate::rule::condition::Condition;
use crate::rule::hold::HoldPolicy;
use crate::rule::template::Template;
use crate::stream::{Derived, Filter};

/// All rules, in the order of their files and within them.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    pub rules: Vec<Arc<Rule>>,
}

impl RuleSet {
    /// The fields of a stream that some rule reads, and the one that names events to people; ascending. What a decoder
    /// is asked for.
    pub fn needed_fields(&self, stream: usize, schema: &StreamSchema) -> Vec<usize> {
        let rules = || self.rules.iter().filter(|rule| rule.stream_index == stream);
        let mut fields: Vec<usize> = rules().flat_map(|rule| rule.fields()).collect();
        if rules().next().is_some() {
            fields.extend(schema.exemplar);
        }
        fields.sort_unstable();
        fields.dedup();
        fields
    }
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    pub meta: Arc<RuleMeta>,
    /// Stable over restarts and edits: made from the file's name, the group's and the alert's.
    pub id: u64,
    /// Index into the streams the rules were checked against.
    pub stream_index: usize,
    pub stream: Arc<str>,
    pub filter: Option<Filter>,
    pub by: Vec<Key>,
    pub lets: Vec<Let>,
    /// What `when` compiles to; its slots are indexes into `lets`.
    pub condition: Option<Condition>,
    pub absent: Option<AbsentPolicy>,
    /// The rule's own window, shown in evidence; that of the longest let where the rule gives none.
    pub window: Millis,
    pub every: Millis,
    /// The greatest common divisor of `every` and all windows and offsets.
    pub pane: Millis,
    pub hold: HoldPolicy,
    /// `alertname` and the keys of `by` not included.
    pub labels: Vec<(Arc<str>, Arc<Template>)>,
    pub annotations: Vec<(Arc<str>, Arc<Template>)>,
    pub group_limit: u32,
    pub expire: Millis,
    /// Every group of it lives in one partition.
    pub local: bool,
}

impl Rule {
    /// Rules with equal feeds can share panes.
    pub fn feed(&self) -> FeedKey {
        FeedKey {
            stream: self.stream_index,
            filter: self.filter.as_ref().map(|filter| filter.canonical().into()),
            by: self.by.iter().map(|key| key.source.canonical().into()).collect(),
            pane: self.pane,
        }
    }

    /// Ids of the fields it reads, some perhaps twice.
    pub fn fields(&self) -> Vec<usize> {
        let mut out = Vec::new();
        out.extend(self.filter.iter().flat_map(Filter::fields));
        out.extend(self.by.iter().flat_map(|key| key.source.fields()));
        out.extend(self.lets.iter().filter_map(|let_| let_.arg.as_ref()).flat_map(Derived::fields));
        out.extend(self.lets.iter().filter_map(|let_| let_.filter.as_ref()).flat_map(Filter::fields));
        out
    }

    /// The farthest any of its windows looks back.
    pub fn reach(&self) -> Millis {
        self.lets.iter().map(|let_| let_.window + let_.offset).max().unwrap_or(Millis::ZERO)
    }
}

/// What rules must agree on to share panes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedKey {
    pub stream: usize,
    /// The canonical text of `where`.
    pub filter: Option<Arc<str>>,
    /// The canonical text of each key of `by`, in order.
    pub by: Vec<Arc<str>>,
    pub pane: Millis,
}

/// One key of `by`.
#[derive(Clone, Debug)]
pub struct Key {
    /// The label that carries it.
    pub name: Arc<str>,
    /// A field ([`Derived::as_field`]), or computed.
    pub source: Derived,
}

/// One aggregate.
#[derive(Clone, Debug)]
pub struct Let {
    pub name: Arc<str>,
    /// As written.
    pub text: Arc<str>,
    pub aggregate: Aggregate,
    /// What is aggregated; `None` for whole events (`count(*)`).
    pub arg: Option<Derived>,
    /// How a quantile's values are laid into its histogram.
    pub histogram: HistogramSpec,
    pub filter: Option<Filter>,
    pub window: Millis,
    pub offset: Millis,
}

impl Let {
    /// The one spelling of what is accumulated in panes; lets with equal ones share it, whatever their windows and
    /// quantiles.
    pub fn accumulated(&self) -> String {
        let arg = self.arg.as_ref().map_or("*", Derived::canonical);
        let filter = self.filter.as_ref().map_or(String::new(), |filter| format!(" WHERE {}", filter.canonical()));
        let kind = match self.aggregate {
            Aggregate::Count => "count".to_owned(),
            // Sums of whole events are counts.
            Aggregate::Rate if self.arg.is_none() => "count".to_owned(),
            Aggregate::Sum | Aggregate::Avg | Aggregate::Stddev | Aggregate::Rate => "moments".to_owned(),
            Aggregate::Min => "min".to_owned(),
            Aggregate::Max => "max".to_owned(),
            Aggregate::Quantile(_) => format!("histogram {:?}", self.histogram),
            Aggregate::Distinct => "distinct".to_owned(),
            Aggregate::TopK(k) => format!("topk {k}"),
            Aggregate::Last => "last".to_owned(),
        };
        format!("{kind}({arg}){filter}")
    }
}

/// What is made of a window's values. All but `topk` give one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aggregate {
    /// `count(*)`: events. `count(x)`: events whose `x` is not null.
    Count,
    Sum,
    Avg,
    Min,
    Max,
    /// Of the values as a whole (population).
    Stddev,
    /// Per second of the window. `rate(*)`: events. `rate(x)`: the sum of `x`.
    Rate,
    /// 0 < q <= 1.
    Quantile(f64),
    /// How many different values, estimated above a few hundred.
    Distinct,
    /// The most frequent values, for evidence; it has no number, so `when` cannot use it.
    TopK(usize),
    /// The newest value.
    Last,
}

impl Aggregate {
    /// Whether it stands for a number that `when` can use.
    pub fn is_number(self) -> bool {
        !matches!(self, Aggregate::TopK(_))
    }

    /// How dear its value is to a condition: 0 is at hand.
    pub fn cost(self) -> u32 {
        match self {
            Aggregate::Count | Aggregate::Sum | Aggregate::Avg | Aggregate::Rate | Aggregate::Last => 0,
            Aggregate::Min | Aggregate::Max | Aggregate::Stddev => 1,
            Aggregate::Distinct => 4,
            Aggregate::Quantile(_) => 8,
            Aggregate::TopK(_) => 16,
        }
    }
}

/// `absent`, and the groups that must be there.
#[derive(Clone, Debug, PartialEq)]
pub struct AbsentPolicy {
    pub after: Millis,
    /// Values in the order of `by`.
    pub expect: Vec<Vec<KeyValue>>,
}

/// A value of a group-by key, of the key's type.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyValue {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
}
