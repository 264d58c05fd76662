//! The shape of a rule file, nothing more: keys, values and where they stand. Whether a rule makes sense is for
//! `check`.
//!
//! The shape is Prometheus' (`groups:` with `rules:` in them), so that editors, reviews and habits carry over; what is
//! inside a rule is ours. A file may declare the streams its rules read (`streams:`), which makes a rule pack whole:
//! it can be checked, tested and replayed without a configuration.

use super::diagnostic::{Code, Diagnostics, FileId};
use super::yaml::read::{At, Entries, Given, OneOrMany, Read, ShortOrFull, lists_of_texts, texts, yaml_map};
use super::yaml::{self, Node};
use crate::model::time::Millis;

/// Rule groups one file may hold.
pub const GROUPS_PER_FILE_MAX: usize = 1_000;

/// Rules one file may hold.
pub const RULES_PER_FILE_MAX: usize = 10_000;

/// A rule file as parsed.
#[derive(Clone, Debug)]
pub struct RuleFile {
    pub file: FileId,
    /// Streams the file brings along; `config` reads them.
    pub streams: Given<Node>,
    pub groups: Vec<RawGroup>,
}

yaml_map! {
    /// A rule file.
    pub struct RawRuleFile {
        /// Streams these rules read, as under `streams` of the configuration. With them, the file can be checked and
        /// replayed on its own; a stream of the same name in the configuration takes precedence.
        #[schemars(default, with = "serde_json::Map<String, serde_json::Value>")]
        pub streams: Node,
        /// Groups of rules.
        #[schemars(required)]
        pub groups: Vec<RawGroup>,
    }
    elsewhere {
        "rules" ("groups"): "rules stand in groups: `groups: [{name: …, rules: […]}]`",
    }
}

yaml_map! {
    /// Rules that belong together.
    pub struct RawGroup {
        /// The group's name, unique in its file.
        #[schemars(required)]
        pub name: At<String>,
        /// How often the rules are judged, where a rule has no `every` of its own.
        #[schemars(extend("default" = super::check::EVERY_DEFAULT.to_string()))]
        pub interval: At<Millis>,
        /// Labels for the alerts of all rules; a rule's own labels come first.
        #[schemars(default, schema_with = "texts")]
        pub labels: Entries<At<String>>,
        /// The rules.
        #[schemars(required)]
        pub rules: Vec<RawRule>,
    }
    elsewhere {
        "limit": "`limit` stands in each rule: it bounds the groups that rule watches",
        "query_offset": "events carry their own time here; there is nothing to offset",
    }
}

yaml_map! {
    /// What to watch, when to worry, what to say.
    pub struct RawRule {
        /// The alert's name: the label `alertname`. Unique in its group.
        #[schemars(required)]
        pub alert: At<String>,
        /// The stream whose events are watched.
        #[schemars(required)]
        pub from: At<String>,
        /// Which events count: an SQL expression over the stream's fields. All, where not given.
        pub r#where: At<String>,
        /// What makes a group: fields, or SQL expressions with a name (`lower(host) AS host`). The alert carries each as
        /// a label. One group for everything, where not given.
        pub by: OneOrMany<At<String>>,
        /// How far back the aggregates look, sliding. A multiple of `every`.
        pub window: At<Millis>,
        /// How often the condition is judged.
        pub every: At<Millis>,
        /// Named aggregates, such as `p99: quantile(latency_ms, 0.99)` or
        /// `errors: count(*) FILTER (WHERE status >= 500)`.
        pub r#let: Entries<ShortOrFull<At<String>, RawLet>>,
        /// The condition over the names of `let`, such as `p99 > 800 && errors / total > 0.05`.
        pub when: At<String>,
        /// How long the condition must hold before the alert fires.
        #[schemars(extend("default" = "0s"))]
        pub r#for: At<Millis>,
        /// How long the alert goes on firing after the condition ceased.
        #[schemars(extend("default" = "0s"))]
        pub keep_firing_for: At<Millis>,
        /// Alert on a group that was silent for this long: one that was seen before, or one of `expect`. Told at most one
        /// `every` later, and never earlier; counted in whole steps of `every`, upwards.
        pub absent: At<Millis>,
        /// Groups that must be there from the start, each as `key: value` for every key of `by`.
        #[schemars(default, schema_with = "lists_of_texts")]
        pub expect: Vec<Entries<At<String>>>,
        /// Labels of the alert. Templates may use `$labels`, but no values: an alert's identity must not change while
        /// it fires.
        #[schemars(default, schema_with = "texts")]
        pub labels: Entries<At<String>>,
        /// Texts for people; templates.
        #[schemars(default, schema_with = "texts")]
        pub annotations: Entries<At<String>>,
        /// Groups this rule may watch. More are refused and counted, and the rule is shown as degraded.
        #[schemars(extend("default" = super::check::GROUP_LIMIT_DEFAULT))]
        pub limit: At<u32>,
        /// A promise: all events of a group lie in one Kafka partition. Where every rule makes it, several Foghorns may share
        /// a consumer group. Needs `by`.
        #[schemars(extend("default" = false))]
        pub local: At<bool>,
        /// A group without events for this long is forgotten. Not before its windows are empty.
        #[schemars(extend("default" = super::check::EXPIRE_DEFAULT.to_string()))]
        pub expire: At<Millis>,
    }
    elsewhere {
        "expr" ("from", "when"): "a native rule says `from`, `let` and `when` where Prometheus has `expr`",
        "record" ("alert", "from", "when"): "recording rules are not needed here: `let` names an aggregate",
        "name" ("alert"): "the rule's name is the value of `alert`",
        "stream" ("from"): "the stream stands under `from`",
        "group_by" ("by"): "the keys of a group stand under `by`",
        "having" ("when"): "the condition stands under `when`",
        "condition" ("when"): "the condition stands under `when`",
        "severity": "severity is a label: `labels: { severity: critical }`",
        "description": "texts stand under `annotations`",
        "summary": "texts stand under `annotations`",
        "interval": "a rule says `every`; `interval` is the group's default for it",
    }
}

yaml_map! {
    /// An aggregate with a window of its own.
    pub struct RawLet {
        /// The aggregate, such as `count(*)`.
        #[schemars(required)]
        pub expr: At<String>,
        /// How far back it looks; the rule's `window` where not given.
        pub window: At<Millis>,
        /// How long ago its window ended: `1h` compares with an hour ago.
        #[schemars(extend("default" = "0s"))]
        pub offset: At<Millis>,
    }
}

/// Reads one file of `log`; what is wrong is noted there, and what can be read is given back.
pub fn parse(file: FileId, log: &mut Diagnostics) -> Option<RuleFile> {
    let node = yaml::parse(file, log)?;
    let raw = RawRuleFile::read(&node, log)?;
    let groups = match raw.groups {
        Given::Yes(groups) => groups,
        Given::Unusable => Vec::new(),
        Given::No => {
            let place = yaml::start(raw.place);
            log.warning(Code::NoRules, place, "the file has no `groups`, so it has no rules");
            Vec::new()
        }
    };
    let rules: usize = groups.iter().map(|group| group.rules.get().map_or(0, Vec::len)).sum();
    if groups.len() > GROUPS_PER_FILE_MAX || rules > RULES_PER_FILE_MAX {
        let message = format!(
            "{} groups with {rules} rules in one file; {GROUPS_PER_FILE_MAX} and {RULES_PER_FILE_MAX} are allowed",
            groups.len()
        );
        log.error(Code::Syntax, yaml::start(raw.place), message).hint("split the file");
        return None;
    }
    Some(RuleFile { file, streams: raw.streams, groups })
}
