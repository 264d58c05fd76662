//! What makes a group: the keys of `by`, and the groups that must be there.

use super::{Clock, EXPECT_MAX, RuleChecker, a_type, label_name};
use crate::model::schema::FieldType;
use crate::model::time::Millis;
use crate::rule::diagnostic::{Code, Place, suggest};
use crate::rule::plan::{AbsentPolicy, Key, KeyValue};
use crate::rule::yaml::read::{At, Entries, Given};
use crate::stream::Derived;

impl RuleChecker<'_> {
    /// The keys, each with its place.
    pub(super) fn by(&mut self) -> Vec<(Key, Place)> {
        let Some(raw) = self.raw.by.get() else { return Vec::new() };
        let mut out: Vec<(Key, Place)> = Vec::new();
        for at in &raw.0 {
            let (expr, name) = split_alias(&at.value);
            if let Some(key) = self.key(at, expr, name) {
                if let Some((_, first)) = out.iter().find(|(other, _)| other.name == key.name) {
                    let first = *first;
                    self.log
                        .error(Code::DuplicateName, at.place, format!("two keys of `by` are called `{}`", key.name))
                        .label("again here")
                        .related(first, "first here");
                    continue;
                }
                out.push((key, at.place));
            }
        }
        out
    }

    fn key(&mut self, at: &At<String>, expr: &str, name: Option<&str>) -> Option<Key> {
        let (_, schema) = self.stream.clone()?;
        let source = match Derived::compile(expr, &schema) {
            Ok(source) => source,
            Err(error) => {
                self.expression(at, error);
                return None;
            }
        };
        let name = match (name, source.as_field()) {
            (Some(name), _) => name.to_owned(),
            (None, Some(field)) => schema.fields[field].name.to_string(),
            (None, None) => {
                self.log
                    .error(Code::MissingKey, at.place, format!("`{expr}` needs a name"))
                    .label("alerts carry it as a label")
                    .hint(format!("write `{expr} AS name`"));
                return None;
            }
        };
        if let Err(reason) = label_name(&name) {
            self.log
                .error(Code::BadName, at.place, format!("`{name}` cannot be a label: {reason}"))
                .hint(format!("write `{expr} AS another_name`"));
            return None;
        }
        if source.ty() == FieldType::Float {
            self.log
                .warning(
                    Code::BadExpression,
                    at.place,
                    format!("`{expr}` is a float: nearly every event is a group of its own"),
                )
                .hint(format!("group by `floor({expr}) AS {name}`, or by something else"));
        }
        Some(Key { name: name.into(), source })
    }

    pub(super) fn absent(&mut self, by: &[(Key, Place)], clock: Clock) -> Option<AbsentPolicy> {
        let Some(absent) = self.raw.absent.get() else {
            if let (true, Some(expect)) = (self.raw.absent.is_missing(), self.raw.expect.get()) {
                let place =
                    expect.first().and_then(|group| group.list.first()).map_or(self.raw.place, |(at, _)| at.place);
                self.log
                    .error(Code::MissingKey, place, "`expect` lists groups for `absent`, which is not there")
                    .hint("add `absent: 5m`");
            }
            return None;
        };
        if absent.value < clock.every && clock.every_is_known {
            self.log
                .error(
                    Code::BadDuration,
                    absent.place,
                    format!("silence of {} is shorter than the step of {}", absent.value, clock.every),
                )
                .hint(format!("write at least `absent: {}`", clock.every));
        }
        Some(AbsentPolicy { after: absent.value.max(Millis(1)), expect: self.expected(by) })
    }

    /// Whether every group lives in one partition. Only who made the topic knows; what cannot be so is told.
    pub(super) fn local(&mut self) -> bool {
        let Some(at) = self.raw.local.get().filter(|at| at.value) else { return false };
        if self.raw.by.is_missing() || self.raw.by.get().is_some_and(|by| by.0.is_empty()) {
            self.log
                .error(Code::BadValue, at.place, "a rule without `by` has one group, of the events of all partitions")
                .hint("group `by` what the records are keyed by, or leave `local` out");
        }
        if let Some(group) = self.raw.expect.get().and_then(|expect| expect.first()) {
            let place = group.list.first().map_or(at.place, |(name, _)| name.place);
            self.log
                .error(Code::BadValue, place, "a local rule cannot `expect` groups: most partitions never see them")
                .related(at.place, "local here")
                .hint("leave `expect` out: a group that was seen is missed all the same; or leave `local` out");
        }
        true
    }

    fn expected(&mut self, by: &[(Key, Place)]) -> Vec<Vec<KeyValue>> {
        let Some(raw) = self.raw.expect.get() else { return Vec::new() };
        if raw.len() > EXPECT_MAX {
            let message = format!("{} groups are expected; {EXPECT_MAX} are possible", raw.len());
            self.log.error(Code::BadValue, self.raw.place, message);
            return Vec::new();
        }
        // Where a key is broken, or the stream, nobody knows what a group looks like.
        let listed = self.raw.by.get().map_or(0, |by| by.0.len());
        if self.stream.is_none() || listed != by.len() || matches!(self.raw.by, Given::Unusable) {
            return Vec::new();
        }
        let mut out: Vec<Vec<KeyValue>> = Vec::new();
        for group in raw {
            if let Some(values) = self.expected_group(group, by) {
                if out.contains(&values) {
                    let place = group.list.first().map_or(self.raw.place, |(at, _)| at.place);
                    self.log.warning(Code::DuplicateName, place, "this group is expected twice").hint("remove one");
                    continue;
                }
                out.push(values);
            }
        }
        out
    }

    fn expected_group(&mut self, group: &Entries<At<String>>, by: &[(Key, Place)]) -> Option<Vec<KeyValue>> {
        let before = self.log.errors();
        let names: Vec<&str> = by.iter().map(|(key, _)| &*key.name).collect();
        for (name, _) in group.list.iter().filter(|(name, _)| !names.contains(&name.value.as_str())) {
            let hint = match names.is_empty() {
                true => "the rule has no `by`, so there is one group only".to_owned(),
                false => suggest(&name.value, &names, "keys of `by`"),
            };
            self.log.error(Code::UnknownKey, name.place, format!("`{}` is no key of `by`", name.value)).hint(hint);
        }
        let mut values = Vec::with_capacity(by.len());
        for (key, _) in by {
            let Some((_, at)) = group.list.iter().find(|(name, _)| *name.value == *key.name) else {
                let place = group.list.first().map_or(self.raw.place, |(at, _)| at.place);
                self.log
                    .error(Code::MissingKey, place, format!("the expected group has no `{}`", key.name))
                    .hint("a group has a value for every key of `by`");
                continue;
            };
            match key_value(&at.value, key.source.ty()) {
                Some(value) => values.push(value),
                None => {
                    let message = format!(
                        "`{}` is not a value of `{}`, which is {}",
                        at.value,
                        key.name,
                        a_type(key.source.ty())
                    );
                    self.log.error(Code::BadValue, at.place, message);
                }
            }
        }
        (self.log.errors() == before).then_some(values)
    }
}

fn key_value(text: &str, ty: FieldType) -> Option<KeyValue> {
    match ty {
        FieldType::String => Some(KeyValue::Text(text.to_owned())),
        FieldType::Int => text.parse().ok().map(KeyValue::Int),
        FieldType::Float => text.parse().ok().filter(|value: &f64| value.is_finite()).map(KeyValue::Float),
        FieldType::Bool => text.parse().ok().map(KeyValue::Bool),
    }
}

/// `lower(host) AS host` → the expression and the name. Only a plain word at the very end is a name, so that
/// `CAST(x AS int)` and `'a AS b'` stay whole.
fn split_alias(text: &str) -> (&str, Option<&str>) {
    let trimmed = text.trim_end();
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name_at = trimmed.trim_end_matches(word).len();
    let (head, name) = trimmed.split_at(name_at);
    let head = head.trim_end();
    let Some(expr) = head.get(..head.len().saturating_sub(2)) else { return (text, None) };
    let is_as = head.len() > 2 && head[expr.len()..].eq_ignore_ascii_case("as") && expr.ends_with(char::is_whitespace);
    match is_as && !name.is_empty() {
        true => (expr.trim_end(), Some(name)),
        false => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_at_the_end_and_nowhere_else() {
        let check = |text: &'static str, expr: &str, name: Option<&str>| {
            assert_eq!(split_alias(text), (expr, name), "{text}");
        };
        check("service", "service", None);
        check("lower(host) AS host", "lower(host)", Some("host"));
        check("lower(host)\n  as  host ", "lower(host)", Some("host"));
        check("CAST(x AS int)", "CAST(x AS int)", None);
        check("'a AS b'", "'a AS b'", None);
        check("has", "has", None);
        check("AS x", "AS x", None);
        check("é", "é", None);
    }
}
