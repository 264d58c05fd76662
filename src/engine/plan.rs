//! From rules to work: which fields are decoded, which panes are kept, who reads which window.
//!
//! Rules that look at the same events in the same way share the looking. A [`FeedPlan`] is one such way: stream,
//! `where`, `by`, pane length and group limit. Its accumulators are the union of what its rules aggregate; two rules
//! that both want `count(*) FILTER (WHERE status >= 500)` read one counter.
//!
//! - `P1` equal accumulators of a feed stand in its plan once, equal views too
//! - `P2` every field a feed reads is in its stream's `needed`

use std::sync::Arc;

use crate::engine::limit::{LimitChange, LimitNews};
use crate::engine::state::{FeedMeaning, RuleMeaning};
use crate::model::schema::{FieldType, StreamSchema};
use crate::model::time::{EventTime, Millis};
use crate::rule::condition::Cmp;
use crate::rule::plan::{Aggregate, FeedKey, KeyValue, Let, Rule};
use crate::stream::group::{self, KeyPart};
use crate::stream::{Derived, Filter};
use crate::window::{AccSpec, ViewSpec, WindowPlan};

/// Everything the shards need to know, shared between them. Built once for a rule set.
#[derive(Debug)]
pub struct Plan {
    pub streams: Vec<StreamPlan>,
    pub feeds: Vec<FeedPlan>,
    /// In the order of the files: the order signals of one tick are reported in.
    pub rules: Vec<Arc<Rule>>,
}

#[derive(Debug)]
pub struct StreamPlan {
    pub schema: Arc<StreamSchema>,
    /// Field ids that some rule reads, ascending.
    pub needed: Vec<usize>,
    /// Indexes into [`Plan::feeds`].
    pub feeds: Vec<usize>,
}

/// Rules that look at the same events in the same way.
#[derive(Debug)]
pub struct FeedPlan {
    pub stream: usize,
    pub pane: Millis,
    pub filter: Option<Filter>,
    pub derived: Vec<Derived>,
    pub keys: Vec<Source>,
    /// The distinct `FILTER (WHERE …)` of the feed.
    pub masks: Vec<Filter>,
    /// Parallel to `windows.accs`.
    pub inputs: Vec<Input>,
    pub windows: Arc<WindowPlan>,
    /// What it looks at, in words that outlive this plan.
    pub meaning: FeedMeaning,
    /// The spelling of each accumulator, likewise; parallel to `windows.accs`.
    pub acc_texts: Vec<Arc<str>>,
    pub rules: Vec<RulePlan>,
    pub group_limit: usize,
    /// The accumulator that counts all rows, whether a rule asks or not: what a refused group brought.
    pub rows: usize,
    /// A group that saw nothing for this long is forgotten.
    pub expire: Millis,
}

/// Where a value stands: a column of the batch or one the feed computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Field(usize),
    Derived(usize),
}

/// What goes into one accumulator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Input {
    pub mask: Option<usize>,
    pub value: InputValue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputValue {
    /// Rows are counted.
    Rows,
    /// Rows where this is not null are counted.
    NotNull(Source),
    Number(Source),
    Text(Source),
}

#[derive(Debug)]
pub struct RulePlan {
    pub rule: Arc<Rule>,
    /// Index into [`Plan::rules`].
    pub index: usize,
    /// Parallel to `rule.lets`.
    pub lets: Vec<LetPlan>,
    pub suspects: Suspects,
    pub meaning: RuleMeaning,
    /// Keys of the groups named in `expect`.
    pub expected: Vec<Vec<u8>>,
    /// Where the page can be reached: `externalURL` in templates.
    pub external_url: Arc<str>,
}

/// How a `let` is read from the windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LetPlan {
    pub view: usize,
    pub acc: usize,
    pub query: Query,
    /// How far back the window reaches: its length and its offset.
    pub reach: Millis,
    pub offset: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Query {
    Count,
    /// Count per second; the window in seconds.
    CountRate(f64),
    Sum,
    SumRate(f64),
    Avg,
    Stddev,
    Min,
    Max,
    Quantile(f64),
    Distinct,
    TopK,
    Last,
}

impl Query {
    /// Grows with the number of events seen, so it is too small while its window is not yet covered.
    pub fn accumulates(self) -> bool {
        matches!(self, Query::Count | Query::CountRate(_) | Query::Sum | Query::SumRate(_) | Query::Distinct)
    }
}

/// Which events are worth showing as examples of a breach.
#[derive(Clone, Debug, PartialEq)]
pub enum Suspects {
    /// Any event of the rule.
    All,
    /// Events that one of these masks takes, or with a value beyond one of these thresholds.
    Some { masks: Vec<usize>, thresholds: Vec<(Source, Cmp, f64)> },
}

impl Plan {
    /// `streams` in the order the rules' stream indexes mean.
    pub fn build(streams: &[Arc<StreamSchema>], rules: &[Arc<Rule>]) -> Plan {
        let mut plan = Plan {
            streams: streams
                .iter()
                .map(|schema| StreamPlan { schema: schema.clone(), needed: Vec::new(), feeds: Vec::new() })
                .collect(),
            feeds: Vec::new(),
            rules: rules.to_vec(),
        };
        let mut keys: Vec<(FeedKey, u32, Millis)> = Vec::new();
        let mut drafts: Vec<Draft> = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            // A rule that runs over its limit must not take others with it, nor forget their groups.
            let key = (rule.feed(), rule.group_limit, rule.expire);
            let feed = keys.iter().position(|known| *known == key).unwrap_or_else(|| {
                keys.push(key);
                drafts.push(Draft::new(rule, &streams[rule.stream_index]));
                drafts.len() - 1
            });
            drafts[feed].add(index, rule);
        }
        for draft in drafts {
            let feed = draft.finish();
            let stream = &mut plan.streams[feed.stream];
            stream.feeds.push(plan.feeds.len());
            stream.needed.extend(feed.fields());
            plan.feeds.push(feed);
        }
        for stream in &mut plan.streams {
            stream.needed.extend(stream.schema.exemplar);
            stream.needed.sort_unstable();
            stream.needed.dedup();
        }
        plan
    }
}

impl Plan {
    /// Whether each partition may be judged by itself: all rules promise that their groups live in one.
    pub fn is_local(&self) -> bool {
        !self.rules.is_empty() && self.rules.iter().all(|rule| rule.local)
    }

    /// How far back events of a stream may matter to what is said next.
    pub fn memory(&self, stream: usize) -> Millis {
        let feeds = self.streams[stream].feeds.iter().map(|feed| &self.feeds[*feed]);
        let memory = feeds.map(|feed| feed.memory_panes().saturating_mul(feed.pane.0)).max();
        Millis(memory.unwrap_or(0))
    }

    /// How far before the newest record that is not judged any more a stream has to be read, so that windows are whole
    /// behind it: that one may be late, and so may the first to be read.
    pub fn look_back(&self, stream: usize) -> Millis {
        let lateness = self.streams[stream].schema.lateness;
        self.memory(stream) + lateness + lateness
    }

    /// Tells templates where the page can be reached.
    pub fn with_external_url(mut self, url: &Arc<str>) -> Plan {
        self.feeds.iter_mut().flat_map(|feed| &mut feed.rules).for_each(|rule| rule.external_url = url.clone());
        self
    }
}

impl FeedPlan {
    /// How far back any view reaches, in panes.
    pub fn reach_panes(&self) -> u32 {
        self.windows.retention_max()
    }

    /// How many panes back events may matter to what is said next: for a window, or for when a group was last seen.
    pub fn memory_panes(&self) -> i64 {
        let silence = |rule: &RulePlan| rule.rule.absent.as_ref().map(|absent| absent.after + rule.rule.every);
        let silence = self.rules.iter().filter_map(silence).max().unwrap_or(Millis::ZERO);
        i64::from(self.reach_panes()).max(silence.0.div_euclid(self.pane.0) + 1) + 1
    }

    /// The first pane of a rule's window when `last` is the last closed one.
    pub fn first_pane(&self, rule: &Rule, last: i64) -> i64 {
        last - rule.window.0.div_euclid(self.pane.0) + 1
    }

    /// The last pane that must be closed so that every rule has judged an event of this time, when nothing follows.
    pub fn last_tick_after(&self, latest: EventTime) -> i64 {
        let every = self.rules.iter().map(|rule| rule.rule.every.0).max().unwrap_or(self.pane.0);
        let end = (latest.0.div_euclid(every) + 1).saturating_mul(every);
        end.div_euclid(self.pane.0) - 1
    }

    /// What the feed's rules say when their limit changed at the end of `pane`.
    pub fn limit_news(&self, pane: i64, change: LimitChange) -> impl Iterator<Item = LimitNews> + '_ {
        let at = EventTime(pane.saturating_add(1).saturating_mul(self.pane.0));
        self.rules.iter().map(move |rule| LimitNews {
            at,
            rule: rule.rule.meta.clone(),
            groups_max: self.group_limit,
            change,
        })
    }

    /// Field ids the feed reads, in no order, repeats included.
    fn fields(&self) -> Vec<usize> {
        let filters = self.filter.iter().chain(&self.masks).flat_map(|filter| filter.fields().iter().copied());
        let derived = self.derived.iter().flat_map(|derived| derived.fields().iter().copied());
        let sources = self.keys.iter().copied().chain(self.inputs.iter().filter_map(|input| input.value.source()));
        let direct = sources.filter_map(|source| match source {
            Source::Field(id) => Some(id),
            Source::Derived(_) => None,
        });
        filters.chain(derived).chain(direct).collect()
    }
}

impl InputValue {
    pub fn source(self) -> Option<Source> {
        match self {
            InputValue::Rows => None,
            InputValue::NotNull(source) | InputValue::Number(source) | InputValue::Text(source) => Some(source),
        }
    }
}

/// A feed while its rules are gathered.
struct Draft {
    feed: FeedPlan,
    schema: Arc<StreamSchema>,
    accs: Vec<AccSpec>,
    views: Vec<ViewSpec>,
}

impl Draft {
    fn new(rule: &Rule, schema: &Arc<StreamSchema>) -> Self {
        let mut draft = Draft {
            schema: schema.clone(),
            feed: FeedPlan {
                stream: rule.stream_index,
                pane: rule.pane,
                filter: rule.filter.clone(),
                derived: Vec::new(),
                keys: Vec::new(),
                masks: Vec::new(),
                inputs: Vec::new(),
                windows: Arc::new(WindowPlan { pane: rule.pane, accs: Vec::new(), views: Vec::new() }),
                meaning: feed_meaning(rule, schema),
                acc_texts: Vec::new(),
                rules: Vec::new(),
                group_limit: rule.group_limit as usize,
                rows: 0,
                expire: rule.expire,
            },
            accs: Vec::new(),
            views: Vec::new(),
        };
        draft.feed.keys = rule.by.iter().map(|key| draft.source(&key.source)).collect();
        draft
    }

    fn add(&mut self, index: usize, rule: &Arc<Rule>) {
        let mut lets = Vec::with_capacity(rule.lets.len());
        let mut inputs = Vec::with_capacity(rule.lets.len());
        for item in &rule.lets {
            let (acc, query) = self.accumulate(item);
            let view = ViewSpec {
                acc,
                panes: (item.window.0 / rule.pane.0) as u32,
                offset: (item.offset.0 / rule.pane.0) as u32,
            };
            let view = position_or_push(&mut self.views, view);
            inputs.push(self.feed.inputs[acc]);
            lets.push(LetPlan { view, acc, query, reach: item.window + item.offset, offset: item.offset });
        }
        if rule.lets.is_empty() {
            // A rule of `absent` alone still has to see its groups.
            let input = Input { mask: None, value: InputValue::Rows };
            let acc = self.accumulator(AccSpec::Count, input, || "count(*)".into());
            position_or_push(&mut self.views, ViewSpec { acc, panes: 1, offset: 0 });
        }
        let suspects = suspects(rule, &lets, &inputs);
        let expected = rule.absent.iter().flat_map(|absent| &absent.expect).map(|values| encode_key(values)).collect();
        self.feed.rules.push(RulePlan {
            rule: rule.clone(),
            index,
            lets,
            suspects,
            meaning: rule_meaning(rule, &self.schema),
            expected,
            external_url: "".into(),
        });
    }

    /// The accumulator a `let` reads and how it reads it.
    fn accumulate(&mut self, item: &Let) -> (usize, Query) {
        let mask = item.filter.as_ref().map(|filter| {
            let known = self.feed.masks.iter().position(|mask| mask.canonical() == filter.canonical());
            known.unwrap_or_else(|| {
                self.feed.masks.push(filter.clone());
                self.feed.masks.len() - 1
            })
        });
        let source = item.arg.as_ref().map(|arg| (self.source(arg), arg));
        let secs = item.window.as_secs_f64();
        let number = |source: Option<(Source, &Derived)>| {
            InputValue::Number(source.expect("checked: this aggregate has an argument").0)
        };
        let (spec, value, query) = match item.aggregate {
            Aggregate::Count => (AccSpec::Count, rows_or_not_null(source), Query::Count),
            Aggregate::Rate => match source {
                None => (AccSpec::Count, InputValue::Rows, Query::CountRate(secs)),
                some => (AccSpec::Moments, number(some), Query::SumRate(secs)),
            },
            Aggregate::Sum => (AccSpec::Moments, number(source), Query::Sum),
            Aggregate::Avg => (AccSpec::Moments, number(source), Query::Avg),
            Aggregate::Stddev => (AccSpec::Moments, number(source), Query::Stddev),
            Aggregate::Min => (AccSpec::Min, number(source), Query::Min),
            Aggregate::Max => (AccSpec::Max, number(source), Query::Max),
            Aggregate::Last => (AccSpec::Last, number(source), Query::Last),
            Aggregate::Quantile(q) => (AccSpec::Histogram(item.histogram), number(source), Query::Quantile(q)),
            Aggregate::Distinct => (AccSpec::Distinct, text_or_number(source), Query::Distinct),
            Aggregate::TopK(k) => (AccSpec::TopK(k), text_or_number(source), Query::TopK),
        };
        let schema = self.schema.clone();
        (self.accumulator(spec, Input { mask, value }, || acc_text(item, &schema)), query)
    }

    fn accumulator(&mut self, spec: AccSpec, input: Input, text: impl FnOnce() -> String) -> usize {
        let known = (0..self.accs.len()).find(|at| self.accs[*at] == spec && self.feed.inputs[*at] == input);
        known.unwrap_or_else(|| {
            self.accs.push(spec);
            self.feed.inputs.push(input);
            self.feed.acc_texts.push(text().into());
            self.accs.len() - 1
        })
    }

    fn source(&mut self, expression: &Derived) -> Source {
        if let Some(field) = expression.as_field() {
            return Source::Field(field);
        }
        let known = self.feed.derived.iter().position(|d| d.canonical() == expression.canonical());
        Source::Derived(known.unwrap_or_else(|| {
            self.feed.derived.push(expression.clone());
            self.feed.derived.len() - 1
        }))
    }

    fn finish(mut self) -> FeedPlan {
        let rows = Input { mask: None, value: InputValue::Rows };
        self.feed.rows = self.accumulator(AccSpec::Count, rows, || "count(*)".into());
        self.feed.windows = Arc::new(WindowPlan { pane: self.feed.pane, accs: self.accs, views: self.views });
        self.feed
    }
}

fn feed_meaning(rule: &Rule, schema: &StreamSchema) -> FeedMeaning {
    let key = rule.feed();
    let filter = rule.filter.iter().flat_map(|filter| filter.fields().iter().copied());
    let fields: Vec<usize> = filter.chain(rule.by.iter().flat_map(|key| key.source.fields().iter().copied())).collect();
    FeedMeaning {
        stream: schema.name.clone(),
        schema: fingerprint([format!("{:?} {:?}", schema.format, schema.time), schema.meaning_of(fields)]),
        filter: key.filter,
        by: key.by,
        pane: key.pane.0,
    }
}

/// The spelling of what a `let` accumulates, with what the fields in it are.
fn acc_text(item: &Let, schema: &StreamSchema) -> String {
    let arg = item.arg.iter().flat_map(|arg| arg.fields().iter().copied());
    let fields = arg.chain(item.filter.iter().flat_map(|filter| filter.fields().iter().copied())).collect();
    let of = schema.meaning_of(fields);
    let mark = if of.is_empty() { String::new() } else { format!(" of {:016x}", fingerprint([of])) };
    format!("{}{mark}", item.accumulated())
}

fn rule_meaning(rule: &Rule, schema: &StreamSchema) -> RuleMeaning {
    let by = rule.by.iter().map(|key| format!("{}={}", key.name, key.source.canonical()));
    let labels = rule.labels.iter().map(|(name, template)| format!("{name}={}", template.source()));
    let lets = rule.lets.iter().map(|item| {
        let Let { name, aggregate, window, offset, .. } = item;
        format!("{name}={aggregate:?} {} {window} {offset}", acc_text(item, schema))
    });
    // Space is no part of a condition's meaning; it has no strings that could hold any.
    let condition: String =
        rule.condition.iter().flat_map(|c| c.text().chars()).filter(|c| !c.is_whitespace()).collect();
    let feed = feed_meaning(rule, schema);
    RuleMeaning {
        id: rule.id,
        identity: fingerprint(std::iter::once(feed.stream.to_string()).chain(by).chain(labels)),
        verdict: fingerprint(
            [format!("{feed:?} {:?} {} {}", rule.absent, rule.every, condition)].into_iter().chain(lets),
        ),
    }
}

fn fingerprint(parts: impl IntoIterator<Item = String>) -> u64 {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update(&[0xff]);
    }
    hash.digest()
}

fn position_or_push<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter().position(|known| *known == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    })
}

fn rows_or_not_null(source: Option<(Source, &Derived)>) -> InputValue {
    source.map_or(InputValue::Rows, |(source, _)| InputValue::NotNull(source))
}

/// Distinct and top-k count strings as strings, numbers by their text.
fn text_or_number(source: Option<(Source, &Derived)>) -> InputValue {
    let (source, arg) = source.expect("checked: this aggregate has an argument");
    match arg.ty() {
        FieldType::String => InputValue::Text(source),
        FieldType::Int | FieldType::Float | FieldType::Bool => InputValue::Number(source),
    }
}

/// The events that make a rule's condition true, as far as one event can: those its filters single out and those
/// beyond a threshold. A rule with neither shows any event.
fn suspects(rule: &Rule, lets: &[LetPlan], inputs: &[Input]) -> Suspects {
    let masks: Vec<usize> = inputs.iter().filter_map(|input| input.mask).collect();
    let mut thresholds = Vec::new();
    for (slot, cmp, threshold) in rule.condition.iter().flat_map(|condition| condition.thresholds()) {
        let (InputValue::Number(source), query) = (inputs[slot].value, lets[slot].query) else { continue };
        let by_value = matches!(query, Query::Avg | Query::Min | Query::Max | Query::Last | Query::Quantile(_));
        if by_value {
            thresholds.push((source, cmp, threshold));
        }
    }
    if masks.is_empty() && thresholds.is_empty() { Suspects::All } else { Suspects::Some { masks, thresholds } }
}

/// The key of a group as the index writes it.
fn encode_key(values: &[KeyValue]) -> Vec<u8> {
    fn part(value: &KeyValue) -> KeyPart<'_> {
        match value {
            KeyValue::Text(text) => KeyPart::Text(text),
            KeyValue::Int(value) => KeyPart::Int(*value),
            KeyValue::Float(value) => KeyPart::Float(*value),
            KeyValue::Bool(value) => KeyPart::Bool(*value),
        }
    }
    let mut key = Vec::new();
    group::encode_key(&values.iter().map(part).collect::<Vec<_>>(), &mut key);
    key
}
