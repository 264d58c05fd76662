//! Routes: the tree as written, or the one that is shipped; every receiver it names is there, and every receiver that
//! is there is named.
//!
//! A route here may name several receivers, which Alertmanager's may not. It becomes a route with a child for each of
//! them, so that each receiver keeps its own groups, its own pace and its own name in what people read.

use std::sync::Arc;

use super::Checker;
use crate::alert::route::{GroupBy, Route, RouteTree};
use crate::alert::{MatchOp, Matcher, MatcherError};
use crate::config::defaults;
use crate::config::raw::{RawConfig, RawRoute};
use crate::model::time::Millis;
use crate::notify::Receiver;
use crate::rule::diagnostic::{Code, suggest};
use crate::rule::yaml;
use crate::rule::yaml::read::{At, Given};

/// What severities lead to where no `route` is written, by receiver name.
const SHIPPED: [(&str, &[&str]); 3] =
    [("critical", &["slack", "pagerduty", "email"]), ("warning", &["slack", "email"]), ("info", &["slack"])];

impl Checker<'_> {
    /// The tree; `None` where something in it, or a receiver, is wrong.
    pub(super) fn routes(&mut self, raw: &RawConfig, receivers: Option<&[Receiver]>) -> Option<RouteTree> {
        // Names as declared, so that a receiver that is wrong in itself is not called unknown as well.
        let declared: Vec<At<String>> = match raw.receivers.get() {
            Some(list) => list.iter().filter_map(|receiver| receiver.name.get().cloned()).collect(),
            None => Vec::new(),
        };
        let route = match &raw.route {
            Given::Unusable => return None,
            Given::No => shipped(receivers?),
            Given::Yes(root) => {
                let mut names: Vec<&str> = Vec::new();
                for at in declared.iter() {
                    if !names.contains(&at.value.as_str()) {
                        names.push(&at.value);
                    }
                }
                if raw.receivers.is_missing() {
                    names.push(super::notify::DEFAULT_RECEIVER);
                }
                let mut used = Vec::new();
                let route = self.root(root, &names, &mut used)?;
                for unused in declared.iter().filter(|at| !used.contains(&at.value)) {
                    self.log
                        .warning(Code::Unused, unused.place, format!("no route leads to receiver `{}`", unused.value))
                        .hint("add a route to it, or remove it");
                }
                route
            }
        };
        match RouteTree::new(route) {
            Ok(tree) => Some(tree),
            Err(error) => {
                let place = raw.route.get().map(|root| yaml::start(root.place));
                match place {
                    Some(place) => self.log.error(Code::BadValue, place, error.to_string()),
                    None => self.log.error_nowhere(Code::BadValue, error.to_string()),
                };
                None
            }
        }
    }

    fn root(&mut self, raw: &RawRoute, names: &[&str], used: &mut Vec<String>) -> Option<Route> {
        let before = self.log.errors();
        if let Some(at) = raw.matchers.get().and_then(|list| list.0.first()) {
            self.log
                .error(Code::BadMatcher, at.place, "the root route takes every alert; it cannot have matchers")
                .hint("move them to a route under `routes`");
        }
        if let Some(at) = raw.r#continue.get().filter(|at| at.value) {
            self.log
                .error(Code::BadValue, at.place, "the root route has no siblings to continue with")
                .hint("remove it");
        }
        if raw.receiver.is_missing() && raw.receivers.is_missing() {
            self.log
                .error(Code::MissingKey, yaml::start(raw.place), "the root route has no receiver")
                .hint("add `receiver: NAME`: alerts that no other route takes go there");
        }
        let mut route = self.route(raw, names, used);
        if route.group_by.is_none() {
            route.group_by = Some(GroupBy::Labels(vec![defaults::GROUP_BY.into()]));
        }
        (self.log.errors() == before).then_some(route)
    }

    fn route(&mut self, raw: &RawRoute, names: &[&str], used: &mut Vec<String>) -> Route {
        let mut receivers = self.route_receivers(raw, names, used);
        let mut route = Route {
            receiver: (!receivers.is_empty()).then(|| receivers.remove(0)),
            matchers: self.matchers(raw),
            continues: raw.r#continue.or(false),
            group_by: self.group_by(raw),
            group_wait: self.wait(&raw.group_wait, "group_wait", Millis::ZERO),
            group_interval: self.wait(&raw.group_interval, "group_interval", Millis::from_secs(1)),
            repeat_interval: self.wait(&raw.repeat_interval, "repeat_interval", Millis::from_secs(1)),
            routes: raw.routes.get().into_iter().flatten().map(|child| self.route(child, names, used)).collect(),
        };
        if receivers.is_empty() {
            return route;
        }
        // A child that continues leaves the search open, and the children that stand for the receivers would take
        // what it took already.
        for child in raw.routes.get().into_iter().flatten() {
            if let Some(at) = child.r#continue.get().filter(|at| at.value) {
                self.log
                    .error(Code::BadValue, at.place, "a child of a route with several `receivers` cannot `continue`")
                    .hint("give the parent one `receiver`, or name all receivers in the child");
            }
        }
        let first = route.receiver.clone().into_iter();
        let mut fan: Vec<Route> =
            first.chain(receivers).map(|name| Route { continues: true, ..Route::to(name) }).collect();
        if let Some(last) = fan.last_mut() {
            last.continues = false;
        }
        route.routes.extend(fan);
        route
    }

    fn route_receivers(&mut self, raw: &RawRoute, names: &[&str], used: &mut Vec<String>) -> Vec<Arc<str>> {
        if let (Some(one), Some(many)) = (raw.receiver.get(), raw.receivers.get()) {
            let many = many.0.first().map_or(one.place, |at| at.place);
            self.log
                .error(Code::BadValue, one.place, "`receiver` and `receivers` are both given")
                .related(many, "here")
                .hint("keep one");
        }
        let mut out: Vec<Arc<str>> = Vec::new();
        let listed = raw.receivers.get().into_iter().flat_map(|list| &list.0);
        for at in raw.receiver.get().into_iter().chain(listed) {
            if !names.contains(&at.value.as_str()) {
                self.log
                    .error(Code::UnknownReceiver, at.place, format!("there is no receiver `{}`", at.value))
                    .hint(suggest(&at.value, names, "receivers"));
                continue;
            }
            if out.iter().any(|name| **name == *at.value) {
                self.log
                    .error(Code::DuplicateName, at.place, format!("receiver `{}` is named twice", at.value))
                    .hint("keep one");
                continue;
            }
            used.push(at.value.clone());
            out.push(at.value.as_str().into());
        }
        out
    }

    fn matchers(&mut self, raw: &RawRoute) -> Vec<Matcher> {
        let mut out = Vec::new();
        for at in raw.matchers.get().into_iter().flat_map(|list| &list.0) {
            match Matcher::parse_list(&at.value) {
                Ok(list) => out.extend(list),
                Err(error) => {
                    let mut message = error.to_string();
                    if let MatcherError::Regex { cause, .. } = &error {
                        let cause = cause.to_string();
                        message += &format!(": {}", cause.lines().last().unwrap_or("").trim_start_matches("error: "));
                    }
                    self.log
                        .error(Code::BadMatcher, at.place, message)
                        .hint("a matcher is a label, one of = != =~ !~, and a value: `severity=\"critical\"`");
                }
            }
        }
        out
    }

    fn group_by(&mut self, raw: &RawRoute) -> Option<GroupBy> {
        let names = raw.group_by.get()?;
        match GroupBy::from_names(names.iter().map(|at| at.value.as_str())) {
            Ok(group_by) => Some(group_by),
            Err(error) => {
                let place = names.first().map_or(raw.place, |at| at.place);
                self.log.error(Code::BadValue, place, error.to_string());
                None
            }
        }
    }

    fn wait(&mut self, given: &Given<At<Millis>>, key: &str, min: Millis) -> Option<Millis> {
        let at = given.get()?;
        if at.value < min {
            let message = format!("`{key}` is {}; it must be at least {min}", at.value);
            self.log.error(Code::BadDuration, at.place, message);
        }
        Some(at.value)
    }
}

/// The shipped tree over the receivers there are. `receivers` is never empty: there is always the console.
pub fn shipped(receivers: &[Receiver]) -> Route {
    let there = |name: &str| receivers.iter().any(|receiver| &*receiver.name == name);
    let root = receivers.first().map_or(super::notify::DEFAULT_RECEIVER.into(), |receiver| receiver.name.clone());
    let mut routes = Vec::new();
    for (severity, names) in SHIPPED {
        let names: Vec<&str> = names.iter().copied().filter(|name| there(name)).collect();
        let matcher = || Matcher::new("severity", MatchOp::Equal, severity).expect("no regular expression in it");
        for (index, name) in names.iter().enumerate() {
            routes.push(Route { matchers: vec![matcher()], continues: index + 1 < names.len(), ..Route::to(*name) });
        }
    }
    Route { group_by: Some(GroupBy::Labels(vec![defaults::GROUP_BY.into()])), routes, ..Route::to(root) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use expect_test::{Expect, expect};

    use super::*;
    use crate::model::Labels;
    use crate::rule::diagnostic::Diagnostics;
    use crate::rule::yaml::read::Read;

    /// Who is told of alerts of each severity, and of what else `labels` says.
    fn check(text: &str, labels: &[(&str, &str)], expect: Expect) {
        let mut log = Diagnostics::new();
        let file = log.add_file("foghorn.yaml", text);
        let node = crate::rule::yaml::parse(file, &mut log).expect("valid YAML");
        let raw = RawConfig::read(&node, &mut log).expect("a map");
        let config = Checker::new(Path::new(""), &mut log).config(&raw, Vec::new());
        assert!(!log.has_errors(), "{}", log.render(false));
        let config = config.expect("sound");
        config.desk();
        let mut out = String::new();
        for severity in ["critical", "warning", "info", "other"] {
            let alert = Labels::from_pairs(labels.iter().copied()).with([("severity", severity)]);
            let told = config.routes.matching(&alert).into_iter().map(|id| config.routes.node(id));
            let told: Vec<String> = told.map(|node| format!("{} {}", node.receiver, node.key)).collect();
            out += &format!("{severity}: {}\n", told.join(", "));
        }
        expect.assert_eq(&out);
    }

    fn receivers(names: &[&str]) -> String {
        let one = |name: &&str| format!("  - {{ name: {name}, console_configs: [{{}}] }}\n");
        format!("receivers:\n{}", names.iter().map(one).collect::<String>())
    }

    #[test]
    fn without_a_route_severity_decides_among_the_receivers_there_are() {
        check(
            &receivers(&["slack", "email", "pagerduty"]),
            &[],
            expect![[r#"
            critical: slack {}/{severity="critical"}, pagerduty {}/{severity="critical"}#2, email {}/{severity="critical"}#3
            warning: slack {}/{severity="warning"}, email {}/{severity="warning"}#2
            info: slack {}/{severity="info"}
            other: slack {}
        "#]],
        );
        check(
            &receivers(&["team", "email"]),
            &[],
            expect![[r#"
            critical: email {}/{severity="critical"}
            warning: email {}/{severity="warning"}
            info: team {}
            other: team {}
        "#]],
        );
        check(
            "log: { level: info }",
            &[],
            expect![[r#"
            critical: console {}
            warning: console {}
            info: console {}
            other: console {}
        "#]],
        );
    }

    #[test]
    fn several_receivers_of_a_route_are_each_told_once() {
        let text = receivers(&["a", "b", "c"])
            + r#"
route:
  receiver: a
  routes:
    - matchers: [severity="critical"]
      receivers: [b, c]
      routes:
        - { matchers: [team="db"], receiver: a }
    - { matchers: ['severity=~"warning|info"'], receiver: c, continue: true }
    - { matchers: [severity="info"] }
"#;
        check(
            &text,
            &[],
            expect![[r#"
            critical: b {}/{severity="critical"}/{}, c {}/{severity="critical"}/{}#2
            warning: c {}/{severity=~"warning|info"}
            info: c {}/{severity=~"warning|info"}, a {}/{severity="info"}
            other: a {}
        "#]],
        );
        check(
            &text,
            &[("team", "db")],
            expect![[r#"
            critical: a {}/{severity="critical"}/{team="db"}
            warning: c {}/{severity=~"warning|info"}
            info: c {}/{severity=~"warning|info"}, a {}/{severity="info"}
            other: a {}
        "#]],
        );
    }
}
