//! From what was written to what is meant, with everything that is wrong at once.
//!
//! A rule is checked part by part, and a part that is wrong leaves the others to be checked: a misspelt field in `by`
//! does not hide a misspelt name in `when`. A part that leans on a broken one is passed over in silence, so that one
//! mistake is told once.
//!
//! What is a mistake here and not a warning: everything that would make an alert wrong, late or silent. An unused
//! `let` only costs memory, so it is a warning.

mod aggregate;
mod groups;
mod templates;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::templates::Templates;
use super::condition::Condition;
use super::diagnostic::{Code, Diagnostics, Place, suggest};
use super::hold::HoldPolicy;
use super::plan::{Key, Let, Rule, RuleSet};
use super::syntax::{RawGroup, RawLet, RawRule, RuleFile};
use super::yaml::read::{At, Entries, Given, ShortOrFull};
use super::yaml::{inside, start};
use crate::model::labels::LABELS_MAX;
use crate::model::schema::{FieldType, StreamSchema};
use crate::model::signal::RuleMeta;
use crate::model::time::Millis;
use crate::stream::{ExprError, Filter};

/// `every`, where neither rule nor group says it.
pub const EVERY_DEFAULT: Millis = Millis::from_secs(10);

/// The least `every`: below it, ticks cost more than events.
pub const EVERY_MIN: Millis = Millis(100);

/// Groups a rule may watch, where it does not say.
pub const GROUP_LIMIT_DEFAULT: u32 = 100_000;

/// How long a group without events is kept, where the rule does not say and its windows need no longer.
pub const EXPIRE_DEFAULT: Millis = Millis::from_secs(3_600);

/// The same for rules with `absent`, whose alerts end when the group is forgotten.
pub const EXPIRE_ABSENT_DEFAULT: Millis = Millis::from_secs(24 * 3_600);

/// Panes from the oldest that a `let` looks at to now.
pub const PANES_MAX: i64 = 20_000;

/// Aggregates of one rule.
pub const LETS_MAX: usize = 64;

/// Groups one rule may expect.
pub const EXPECT_MAX: usize = 10_000;

/// One file of rules.
#[derive(Clone, Debug)]
pub struct RuleInput<'a> {
    /// The file's stable name: it stands in what people read, and in the rules' ids.
    pub name: Arc<str>,
    pub file: &'a RuleFile,
}

/// Checks all rules of all files. `broken` names streams that are declared but wrong; rules that read them are checked
/// as far as that goes. Rules with errors are not in the result.
pub fn check_rules(
    inputs: &[RuleInput<'_>],
    streams: &[Arc<StreamSchema>],
    broken: &[String],
    group_limit: u32,
    log: &mut Diagnostics,
) -> RuleSet {
    let mut rules = Vec::new();
    for input in inputs {
        let mut groups: Vec<&At<String>> = Vec::new();
        for raw in &input.file.groups {
            let Some(name) = named(&raw.name, raw.place, "group", "name", log) else { continue };
            if let Some(first) = groups.iter().find(|first| first.value == name.value) {
                duplicate("rule group", name, first, "give it another name, or put the rules together", log);
            }
            groups.push(name);
            let group = GroupChecker { input, streams, broken, group_limit, raw, name };
            group.rules(log, &mut rules);
        }
    }
    RuleSet { rules }
}

struct GroupChecker<'a> {
    input: &'a RuleInput<'a>,
    streams: &'a [Arc<StreamSchema>],
    broken: &'a [String],
    group_limit: u32,
    raw: &'a RawGroup,
    name: &'a At<String>,
}

impl GroupChecker<'_> {
    fn rules(&self, log: &mut Diagnostics, out: &mut Vec<Arc<Rule>>) {
        let Some(rules) = self.raw.rules.get() else {
            if self.raw.rules.is_missing() {
                log.warning(Code::NoRules, self.name.place, format!("group `{}` has no rules", self.name.value));
            }
            return;
        };
        let mut names: Vec<&At<String>> = Vec::new();
        for raw in rules {
            if let Some(name) = named(&raw.alert, raw.place, "rule", "alert", log) {
                if let Some(first) = names.iter().find(|first| first.value == name.value) {
                    let advice = "two alerts of one name in a group cannot be told apart; rename one";
                    duplicate("alert", name, first, advice, log);
                }
                names.push(name);
            }
            let before = log.errors();
            let rule = RuleChecker::new(self, raw, log).rule();
            if let Some(rule) = rule.filter(|_| log.errors() == before) {
                out.push(Arc::new(rule));
            }
        }
    }
}

/// The name of a thing that must have one.
fn named<'a>(
    given: &'a Given<At<String>>,
    place: Place,
    what: &str,
    key: &str,
    log: &mut Diagnostics,
) -> Option<&'a At<String>> {
    match given {
        Given::Unusable => None,
        Given::No => {
            log.error(Code::MissingKey, start(place), format!("the {what} has no name"))
                .hint(format!("add `{key}: NAME`"));
            None
        }
        Given::Yes(at) if at.value.trim().is_empty() => {
            log.error(Code::BadName, at.place, format!("the {what}'s name is empty"));
            None
        }
        Given::Yes(at) => Some(at),
    }
}

fn duplicate(what: &str, again: &At<String>, first: &At<String>, advice: &str, log: &mut Diagnostics) {
    log.error(Code::DuplicateName, again.place, format!("{what} `{}` is there already", again.value))
        .label("again here")
        .related(first.place, "first here")
        .hint(advice);
}

/// The steps and windows of a rule.
#[derive(Clone, Copy)]
struct Clock {
    every: Millis,
    /// Whether `every` is right, so that windows can be held against it.
    every_is_known: bool,
    window: Option<Millis>,
}

struct RuleChecker<'a> {
    group: &'a GroupChecker<'a>,
    raw: &'a RawRule,
    log: &'a mut Diagnostics,
    /// The stream, where it is known and sound.
    stream: Option<(usize, Arc<StreamSchema>)>,
}

impl<'a> RuleChecker<'a> {
    fn new(group: &'a GroupChecker<'a>, raw: &'a RawRule, log: &'a mut Diagnostics) -> Self {
        RuleChecker { group, raw, log, stream: None }
    }

    fn rule(mut self) -> Option<Rule> {
        let before = self.log.errors();
        self.stream = self.find_stream();
        let filter = self.filter();
        let by = self.by();
        let clock = self.clock();
        let (lets, names) = self.lets(clock);
        let condition = self.condition(&lets, &names);
        let absent = self.absent(&by, clock);
        let local = self.local();
        let hold = HoldPolicy {
            for_: self.raw.r#for.or(Millis::ZERO),
            keep_firing_for: self.raw.keep_firing_for.or(Millis::ZERO),
        };
        if self.raw.when.is_missing() && self.raw.absent.is_missing() {
            let place = self.raw.alert.get().map_or(start(self.raw.place), |at| at.place);
            self.log
                .error(Code::NoCondition, place, "the rule has neither `when` nor `absent`, so it can never fire")
                .hint("add `when: total > 0` over a name of `let`, or `absent: 5m`");
        }
        let labels = self.labels(&by);
        let annotations = self.annotations(&by, &labels, &lets);
        if self.log.errors() == before {
            self.note_unused(&lets, condition.as_ref(), &annotations);
        }
        let (stream_index, schema) = self.stream.clone()?;
        let reach = lets.iter().map(|let_| let_.window + let_.offset).max().unwrap_or(Millis::ZERO);
        let expire = self.expire(reach, absent.as_ref().map(|absent| absent.after));
        let lengths = lets.iter().flat_map(|let_| [let_.window, let_.offset]);
        let pane = lengths.fold(clock.every, |pane, length| Millis(gcd(pane.0, length.0)));
        let window = clock.window.or(lets.iter().map(|let_| let_.window).max()).unwrap_or(clock.every);
        let limit = self.limit();
        let alert = self.raw.alert.get()?;
        let meta = RuleMeta {
            name: alert.value.as_str().into(),
            group: self.group.name.value.as_str().into(),
            file: self.group.input.name.clone(),
            line: self.log.line(alert.place),
        };
        Some(Rule {
            id: rule_id(&meta),
            meta: Arc::new(meta),
            stream_index,
            stream: schema.name.clone(),
            filter,
            by: by.into_iter().map(|(key, _)| key).collect(),
            lets,
            condition,
            absent,
            window,
            every: clock.every,
            pane,
            hold,
            labels,
            annotations,
            group_limit: limit,
            expire,
            local,
        })
    }

    fn find_stream(&mut self) -> Option<(usize, Arc<StreamSchema>)> {
        let Some(from) = self.raw.from.get() else {
            if self.raw.from.is_missing() {
                let names = self.stream_names();
                let place = self.raw.alert.get().map_or(start(self.raw.place), |at| at.place);
                let known = if names.is_empty() { String::new() } else { format!("; streams: {}", names.join(", ")) };
                self.log
                    .error(Code::MissingKey, place, "the rule does not say what it watches")
                    .hint(format!("add `from: STREAM`{known}"));
            }
            return None;
        };
        let found = self.group.streams.iter().position(|schema| *schema.name == *from.value);
        if found.is_none() && !self.group.broken.contains(&from.value) {
            let names = self.stream_names();
            let hint = match names.is_empty() {
                true => {
                    "declare it: `streams: { NAME: { format: json, time: ts, fields: {…} } }`, in foghorn.yaml or at \
                         the top of this file"
                        .to_owned()
                }
                false => suggest(&from.value, &names, "streams"),
            };
            self.log.error(Code::UnknownStream, from.place, format!("there is no stream `{}`", from.value)).hint(hint);
        }
        found.map(|index| (index, self.group.streams[index].clone()))
    }

    fn stream_names(&self) -> Vec<&'a str> {
        self.group.streams.iter().map(|schema| &*schema.name).collect()
    }

    fn filter(&mut self) -> Option<Filter> {
        let at = self.raw.r#where.get()?;
        let (_, schema) = self.stream.as_ref()?;
        match Filter::compile(&at.value, schema) {
            Ok(filter) => Some(filter),
            Err(error) => {
                self.expression(at, error);
                None
            }
        }
    }

    /// Notes what is wrong with an expression, at the part of the text that is meant.
    fn expression(&mut self, at: &At<String>, error: ExprError) {
        let place = inside(self.log, at.place, &at.value, error.span);
        let note = self.log.error(Code::BadExpression, place, error.message);
        note.hint = error.hint;
    }

    fn clock(&mut self) -> Clock {
        let given = self.raw.every.get().or(self.group.raw.interval.get());
        let every = given.map_or(EVERY_DEFAULT, |at| at.value);
        let unusable = matches!(self.raw.every, Given::Unusable)
            || (self.raw.every.is_missing() && matches!(self.group.raw.interval, Given::Unusable));
        let mut every_is_known = !unusable;
        if let Some(at) = given.filter(|at| at.value < EVERY_MIN) {
            let message = format!("a step of {}; {EVERY_MIN} is the least", at.value);
            self.log.error(Code::BadDuration, at.place, message).hint("a rule is judged once every step");
            every_is_known = false;
        }
        let window = self.raw.window.get().map(|at| at.value);
        let clock = Clock { every: every.max(EVERY_MIN), every_is_known, window };
        if let Some(at) = self.raw.window.get() {
            self.multiple(at, "window", clock);
        }
        clock
    }

    /// A window must be a whole number of steps, and not zero.
    fn multiple(&mut self, at: &At<Millis>, key: &str, clock: Clock) {
        let step = clock.every;
        if at.value.is_zero() && key == "window" {
            self.log
                .error(Code::BadDuration, at.place, "a window of no length holds nothing")
                .hint("write `window: 5m`");
            return;
        }
        if !clock.every_is_known || at.value.0 % step.0 == 0 {
            return;
        }
        let below = Millis(at.value.0 / step.0 * step.0);
        let above = Millis(below.0 + step.0);
        let near = if below.is_zero() { format!("`{key}: {above}`") } else { format!("`{key}: {below}` or `{above}`") };
        let shared = Millis(gcd(step.0, at.value.0));
        let smaller = if shared >= EVERY_MIN { format!(", or `every: {shared}`") } else { String::new() };
        let from = match (self.raw.every.get(), self.group.raw.interval.get()) {
            (Some(at), _) => Some((at.place, "the step is this")),
            (None, Some(at)) => Some((at.place, "the step is the group's interval")),
            (None, None) => None,
        };
        let default = if from.is_none() { " (the default)" } else { "" };
        let article = if key == "offset" { "an" } else { "a" };
        let message = format!("{article} {key} of {} is not a multiple of the step of {step}{default}", at.value);
        let note = self.log.error(Code::WindowNotMultiple, at.place, message);
        note.hint(format!("write {near}{smaller}"));
        if let Some((place, text)) = from {
            note.related(place, text);
        }
    }

    /// The lets that are sound, and the names of all.
    fn lets(&mut self, clock: Clock) -> (Vec<Let>, Vec<At<String>>) {
        let Some(Entries { list: raw, unusable }) = self.raw.r#let.get() else { return (Vec::new(), Vec::new()) };
        if raw.len() > LETS_MAX {
            let message = format!("{} aggregates in one rule; {LETS_MAX} are possible", raw.len());
            self.log.error(Code::BadValue, raw[LETS_MAX].0.place, message);
        }
        let mut lets = Vec::new();
        let mut window_missed = false;
        for (name, value) in raw {
            self.let_name(name);
            let (expr, own) = match value {
                ShortOrFull::Short(at) => (Some(at), None),
                ShortOrFull::Full(full) => {
                    if full.expr.is_missing() {
                        self.log
                            .error(Code::MissingKey, name.place, format!("`{}` has no `expr`", name.value))
                            .hint("add `expr: count(*)`");
                    }
                    (full.expr.get(), Some(full))
                }
            };
            let window = self.let_window(own, clock);
            if window.is_none() && !window_missed {
                window_missed = true;
                self.note_no_window(name);
            }
            let offset = own.map_or(Millis::ZERO, |own| own.offset.or(Millis::ZERO));
            if let Some(at) = own.and_then(|own| own.offset.get()) {
                self.multiple(at, "offset", clock);
            }
            if let (Some(window), Some(expr)) = (window, expr) {
                self.reach(own, expr, window, offset, clock);
            }
            let compiled = expr.and_then(|expr| self.aggregate(expr));
            if let (Some((aggregate, arg, filter, histogram)), Some(expr)) = (compiled, expr) {
                let window = window.unwrap_or(clock.every);
                let (name, text) = (name.value.as_str().into(), expr.value.as_str().into());
                lets.push(Let { name, text, aggregate, arg, histogram, filter, window, offset });
            }
        }
        (lets, raw.iter().map(|(name, _)| name).chain(unusable).cloned().collect())
    }

    fn let_name(&mut self, name: &At<String>) {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let text = name.value.as_str();
        if text.is_empty() || text.starts_with(|c: char| c.is_ascii_digit()) || !text.chars().all(plain) {
            self.log
                .error(Code::BadName, name.place, format!("`{text}` cannot be the name of a let"))
                .hint("letters, digits and `_`, no digit first: `when` must be able to read it");
        } else if matches!(text, "true" | "false" | "if" | "value" | "labels") {
            self.log
                .error(Code::BadName, name.place, format!("`{text}` means something else already"))
                .hint("choose another name");
        }
    }

    fn let_window(&mut self, own: Option<&RawLet>, clock: Clock) -> Option<Millis> {
        if let Some(at) = own.and_then(|own| own.window.get()) {
            self.multiple(at, "window", clock);
            return Some(at.value);
        }
        let unusable =
            matches!(self.raw.window, Given::Unusable) || own.is_some_and(|own| matches!(own.window, Given::Unusable));
        if unusable { Some(clock.every) } else { clock.window }
    }

    fn note_no_window(&mut self, name: &At<String>) {
        self.log
            .error(Code::MissingKey, name.place, format!("`{}` has no window to look at", name.value))
            .hint("add `window: 5m` to the rule");
    }

    /// How many panes a let makes the rule keep.
    fn reach(&mut self, own: Option<&RawLet>, expr: &At<String>, window: Millis, offset: Millis, clock: Clock) {
        let panes = (window + offset).0 / clock.every.0;
        if panes <= PANES_MAX || !clock.every_is_known {
            return;
        }
        let place = own
            .and_then(|own| own.offset.get().or(own.window.get()))
            .or(self.raw.window.get())
            .map_or(expr.place, |at| at.place);
        let step = Millis((((window + offset).0 + PANES_MAX - 1) / PANES_MAX + 999) / 1_000 * 1_000);
        let message = format!("it looks back {} steps of {}; {PANES_MAX} are kept", panes, clock.every);
        self.log
            .error(Code::BadDuration, place, message)
            .hint(format!("a longer step would do: `every: {step}` or more"));
    }

    fn condition(&mut self, lets: &[Let], names: &[At<String>]) -> Option<Condition> {
        let at = self.raw.when.get()?;
        if matches!(self.raw.r#let, Given::Unusable) {
            return None;
        }
        let known: Vec<&str> = names.iter().map(|at| at.value.as_str()).collect();
        let condition = match Condition::compile(&at.value, &known) {
            Ok(condition) => condition,
            Err(errors) => {
                for error in errors {
                    let place = inside(self.log, at.place, &at.value, error.span);
                    let note = self.log.error(Code::BadCondition, place, error.message);
                    note.hint = error.hint;
                }
                return None;
            }
        };
        for slot in condition.slots() {
            let Some(let_) = lets.iter().find(|let_| *let_.name == *known[*slot]) else { continue };
            if !let_.aggregate.is_number() {
                let place = word(self.log, at, &let_.name);
                self.log
                    .error(
                        Code::BadCondition,
                        place,
                        format!("`{}` is a list of the most frequent values, not a number", let_.name),
                    )
                    .hint("`topk` is evidence, shown in the alert; compare a count instead");
            }
        }
        if condition.slots().is_empty() {
            self.log
                .error(Code::BadCondition, at.place, "the condition reads no `let`, so it is always the same")
                .hint("compare an aggregate: `let: { total: count(*) }`, `when: total > 100`");
            return None;
        }
        // Slots follow the names; with a broken let the rule is not made, so they follow the lets as well.
        let costs: Vec<u32> = lets.iter().map(|let_| let_.aggregate.cost()).collect();
        if costs.len() == known.len() { Some(condition.with_costs(&costs)) } else { None }
    }

    /// A let that nothing reads. `topk` is evidence by nature.
    fn note_unused(&mut self, lets: &[Let], condition: Option<&Condition>, annotations: &Templates) {
        let Some(condition) = condition else { return };
        let Some(Entries { list: raw, .. }) = self.raw.r#let.get() else { return };
        for (slot, let_) in lets.iter().enumerate() {
            let read = condition.slots().contains(&slot) || !let_.aggregate.is_number();
            let told = annotations.iter().any(|(_, template)| template.source().contains(&*let_.name));
            if read || told {
                continue;
            }
            if let Some((name, _)) = raw.iter().find(|(name, _)| *name.value == *let_.name) {
                self.log
                    .warning(Code::Unused, name.place, format!("`when` does not use `{}`", name.value))
                    .hint("it is worked out all the same, and shown as evidence; remove it if it is not meant to be");
            }
        }
    }

    fn expire(&mut self, reach: Millis, absent: Option<Millis>) -> Millis {
        let keep = self.raw.keep_firing_for.or(Millis::ZERO);
        let least = reach.max(absent.unwrap_or(Millis::ZERO)) + keep;
        let Some(at) = self.raw.expire.get() else {
            let default = if absent.is_some() { EXPIRE_ABSENT_DEFAULT } else { EXPIRE_DEFAULT };
            return default.max(least + least);
        };
        if at.value < least {
            self.log
                .error(
                    Code::BadDuration,
                    at.place,
                    format!("a group would be forgotten after {}, before its alert can end", at.value),
                )
                .hint(format!("its windows, `absent` and `keep_firing_for` need {least}"));
        }
        at.value
    }

    fn limit(&mut self) -> u32 {
        let Some(at) = self.raw.limit.get() else { return self.group.group_limit };
        if at.value == 0 {
            self.log
                .error(Code::BadValue, at.place, "a rule with a limit of 0 watches nothing")
                .hint("write at least 1");
        }
        at.value
    }

    /// How many labels its alerts carry at most.
    fn count_labels(&mut self, by: &[(Key, Place)], own: usize) {
        let count = by.len() + own + 1;
        if count > LABELS_MAX {
            let place = self.raw.alert.get().map_or(start(self.raw.place), |at| at.place);
            let message = format!("its alerts would carry {count} labels; {LABELS_MAX} are possible");
            self.log.error(Code::BadValue, place, message);
        }
    }
}

/// Where `name` stands as a word in a value; the whole value where it does not.
fn word(log: &Diagnostics, at: &At<String>, name: &str) -> Place {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let text = at.value.as_str();
    let found = text.match_indices(name).find(|(from, _)| {
        let (before, after) = (&text[..*from], &text[from + name.len()..]);
        !before.ends_with(part) && !after.starts_with(part)
    });
    found.map_or(at.place, |(from, _)| inside(log, at.place, text, from..from + name.len()))
}

fn rule_id(meta: &RuleMeta) -> u64 {
    xxhash_rust::xxh3::xxh3_64(format!("{}\u{ff}{}\u{ff}{}", meta.file, meta.group, meta.name).as_bytes())
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A label's name, as Prometheus has it.
fn label_name(name: &str) -> Result<(), &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(plain) {
        return Err("letters, digits and `_`, no digit first");
    }
    if name == "alertname" {
        return Err("`alertname` is the rule's name, and set by Foghorn");
    }
    if name.starts_with("__") {
        return Err("names that begin with `__` are reserved");
    }
    Ok(())
}

/// `a string`, `an int`
fn a_type(ty: FieldType) -> String {
    let article = if ty == FieldType::Int { "an" } else { "a" };
    format!("{article} {}", ty.name())
}
