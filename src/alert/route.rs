//! The routing tree: which receivers hear of an alert, how alerts are grouped for them, and at what pace.
//!
//! Semantics are Alertmanager's, because that is what people's files mean: depth first, a child that matches ends the
//! search among its siblings unless it says `continue`, a node none of whose children match takes the alert itself,
//! and what a node does not say it inherits from its parent.
//!
//! [`Route`] is what was written (with gaps); [`RouteTree`] is what it means (no gaps, flat, indexed).
//!
//! - `R1` every node's key is unique, so a group key names one node; where two siblings have the same matchers, the
//!   later ones carry `#2`, `#3` … after theirs
//! - `R2` every label set matches at least one node: the root has no matchers

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::matcher::Matcher;
use crate::model::{Labels, Millis, SourceId};

/// Nodes in one tree. A tree with more is refused as [`RouteError::TooManyRoutes`].
pub const ROUTES_MAX: usize = 10_000;

/// Nesting of a tree. A deeper one is refused as [`RouteError::TooDeep`].
pub const ROUTE_DEPTH_MAX: usize = 64;

/// What alerts of a route are put together by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// `...`: every label set is its own group.
    All,
    /// Alerts that agree on these labels; none means one group for the whole route.
    Labels(Vec<Arc<str>>),
}

impl GroupBy {
    /// From a file's list; `...` must stand alone.
    pub fn from_names<N: Into<Arc<str>>>(names: impl IntoIterator<Item = N>) -> Result<GroupBy, RouteError> {
        let names: Vec<Arc<str>> = names.into_iter().map(Into::into).collect();
        let mut seen = BTreeSet::new();
        for name in &names {
            if &**name == "..." && names.len() > 1 {
                return Err(RouteError::AllAndMore);
            }
            if !seen.insert(name) {
                return Err(RouteError::GroupByTwice(name.clone()));
            }
        }
        match names.first() {
            Some(first) if &**first == "..." => Ok(GroupBy::All),
            _ => Ok(GroupBy::Labels(names)),
        }
    }

    pub fn labels_of(&self, labels: &Labels) -> Labels {
        match self {
            GroupBy::All => labels.clone(),
            GroupBy::Labels(names) => labels.only(names.iter().map(|name| &**name)),
        }
    }
}

/// The pace of a route's notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a new group, or news of an old one, waits for company.
    pub group_wait: Millis,
    /// The least time between two notifications of one group. Greater than zero.
    pub group_interval: Millis,
    /// After how long a group in which nothing changes is told again. Greater than zero.
    pub repeat_interval: Millis,
}

impl Timing {
    pub const DEFAULT: Timing = Timing {
        group_wait: Millis::from_secs(30),
        group_interval: Millis::from_secs(5 * 60),
        repeat_interval: Millis::from_secs(4 * 60 * 60),
    };
}

/// One node as it is written; `None` is inherited.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Route {
    pub receiver: Option<Arc<str>>,
    pub matchers: Vec<Matcher>,
    /// `continue`: after a match here, later siblings are tried too.
    pub continues: bool,
    pub group_by: Option<GroupBy>,
    pub group_wait: Option<Millis>,
    pub group_interval: Option<Millis>,
    pub repeat_interval: Option<Millis>,
    pub routes: Vec<Route>,
}

impl Route {
    /// Everything to one receiver, all defaults.
    pub fn to(receiver: impl Into<Arc<str>>) -> Route {
        Route { receiver: Some(receiver.into()), ..Route::default() }
    }
}

/// Why a tree is not accepted. `at` is the key of the node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    #[error("the root route names no receiver; add `receiver: NAME`")]
    NoReceiver,
    #[error("the root route has matchers, so some alerts would go nowhere; move them to a child route")]
    RootMatchers,
    #[error("the root route says `continue`, but has no siblings; remove it")]
    RootContinues,
    #[error("`group_by` holds `...` and other labels; `...` already means all of them")]
    AllAndMore,
    #[error("`group_by` names label `{0}` twice; remove one")]
    GroupByTwice(Arc<str>),
    #[error("`{field}` is {value} in route `{at}`; it must be longer than zero")]
    NotPositive { field: &'static str, value: Millis, at: Arc<str> },
    #[error("the routing tree has more than {ROUTES_MAX} routes; merge some, for instance with `=~` matchers")]
    TooManyRoutes,
    #[error("the routing tree is nested deeper than {ROUTE_DEPTH_MAX} routes at `{at}`; flatten it")]
    TooDeep { at: Arc<str> },
}

/// Index of a node in its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RouteId(pub usize);

/// One node with everything inherited.
#[derive(Clone, Debug)]
pub struct RouteNode {
    /// `{}/{severity="critical"}`: the matchers from the root down. Stable over restarts: it is part of group keys.
    pub key: Arc<str>,
    pub receiver: Arc<str>,
    pub matchers: Vec<Matcher>,
    pub continues: bool,
    pub group_by: GroupBy,
    pub timing: Timing,
    pub children: Vec<RouteId>,
}

impl RouteNode {
    /// `{}/{severity="critical"}:{alertname="X"}`, and `…@orders/3` for the alerts of one partition ([`home_of`]): the keys
    /// are the same on whatever member the partition is.
    pub fn group_key(&self, group_labels: &Labels, home: Option<&SourceId>) -> Arc<str> {
        match home {
            Some(home) => format!("{}:{group_labels}@{home}", self.key).into(),
            None => format!("{}:{group_labels}", self.key).into(),
        }
    }

    fn matches(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(labels))
    }
}

/// The partition whose alerts a group holds, by the group's key; `None` for a group of alerts that have no home. Labels
/// end with a brace, and the name of a topic has none, so no label can look like a home.
pub fn home_of(group_key: &str) -> Option<SourceId> {
    let (_, home) = group_key.rsplit_once("}@")?;
    SourceId::parse(home)
}

/// The tree, root first.
#[derive(Clone, Debug)]
pub struct RouteTree {
    nodes: Vec<RouteNode>,
}

impl RouteTree {
    pub const ROOT: RouteId = RouteId(0);

    pub fn new(root: Route) -> Result<RouteTree, RouteError> {
        let receiver = root.receiver.clone().ok_or(RouteError::NoReceiver)?;
        if !root.matchers.is_empty() {
            return Err(RouteError::RootMatchers);
        }
        if root.continues {
            return Err(RouteError::RootContinues);
        }
        let above = RouteNode {
            key: "".into(),
            receiver,
            matchers: Vec::new(),
            continues: false,
            group_by: GroupBy::Labels(Vec::new()),
            timing: Timing::DEFAULT,
            children: Vec::new(),
        };
        let mut tree = RouteTree { nodes: Vec::new() };
        tree.add(root, &above, &mut BTreeMap::new(), 0)?;
        Ok(tree)
    }

    pub fn node(&self, id: RouteId) -> &RouteNode {
        &self.nodes[id.0]
    }

    /// All nodes, each before its children.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (RouteId, &RouteNode)> {
        self.nodes.iter().enumerate().map(|(index, node)| (RouteId(index), node))
    }

    /// The nodes that take an alert with these labels, in the tree's order. Never empty (`R2`).
    pub fn matching(&self, labels: &Labels) -> Vec<RouteId> {
        let mut found = Vec::new();
        self.search(Self::ROOT, labels, &mut found);
        found
    }

    /// Adds what `id` or its children take; whether they took it.
    fn search(&self, id: RouteId, labels: &Labels, found: &mut Vec<RouteId>) -> bool {
        let node = self.node(id);
        if !node.matches(labels) {
            return false;
        }
        let before = found.len();
        for &child in &node.children {
            if self.search(child, labels, found) && !self.node(child).continues {
                break;
            }
        }
        if found.len() == before {
            found.push(id);
        }
        true
    }

    fn add(
        &mut self,
        route: Route,
        parent: &RouteNode,
        keys: &mut BTreeMap<String, usize>,
        depth: usize,
    ) -> Result<RouteId, RouteError> {
        let mut matchers = route.matchers;
        matchers.sort();
        let key = unique_key(&parent.key, &matchers, keys);
        if depth > ROUTE_DEPTH_MAX {
            return Err(RouteError::TooDeep { at: key });
        }
        if self.nodes.len() == ROUTES_MAX {
            return Err(RouteError::TooManyRoutes);
        }
        let positive = |field: &'static str, value: Millis| match value > Millis::ZERO {
            true => Ok(value),
            false => Err(RouteError::NotPositive { field, value, at: key.clone() }),
        };
        let inherited = parent.timing;
        let timing = Timing {
            group_wait: route.group_wait.unwrap_or(inherited.group_wait),
            group_interval: positive("group_interval", route.group_interval.unwrap_or(inherited.group_interval))?,
            repeat_interval: positive("repeat_interval", route.repeat_interval.unwrap_or(inherited.repeat_interval))?,
        };
        let id = RouteId(self.nodes.len());
        let node = RouteNode {
            key,
            receiver: route.receiver.unwrap_or_else(|| parent.receiver.clone()),
            matchers,
            continues: route.continues,
            group_by: route.group_by.unwrap_or_else(|| parent.group_by.clone()),
            timing,
            children: Vec::new(),
        };
        self.nodes.push(node.clone());
        let mut children = Vec::with_capacity(route.routes.len());
        for child in route.routes {
            children.push(self.add(child, &node, keys, depth + 1)?);
        }
        self.nodes[id.0].children = children;
        Ok(id)
    }
}

/// The parent's key, a slash, the matchers; numbered from the second of its kind on (`R1`: a plain key ends in `}`).
fn unique_key(parent: &str, matchers: &[Matcher], keys: &mut BTreeMap<String, usize>) -> Arc<str> {
    let list: Vec<String> = matchers.iter().map(Matcher::to_string).collect();
    let slash = if parent.is_empty() { "" } else { "/" };
    let plain = format!("{parent}{slash}{{{}}}", list.join(","));
    let count = keys.entry(plain.clone()).or_insert(0);
    *count += 1;
    match *count {
        1 => plain.into(),
        count => format!("{plain}#{count}").into(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// A tree in a line a node: indentation, matchers (`*` for none), then what the node says itself.
    fn tree(text: &str) -> Result<RouteTree, RouteError> {
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let (mut roots, rest) = parse(&lines, 0);
        assert!(rest.is_empty() && roots.len() == 1, "one root");
        RouteTree::new(roots.remove(0))
    }

    fn parse<'a>(mut lines: &'a [&'a str], indent: usize) -> (Vec<Route>, &'a [&'a str]) {
        let mut routes: Vec<Route> = Vec::new();
        while let Some(line) = lines.first() {
            let depth = line.len() - line.trim_start().len();
            if depth < indent {
                break;
            }
            if depth > indent {
                let (children, rest) = parse(lines, depth);
                routes.last_mut().expect("a parent above").routes = children;
                lines = rest;
                continue;
            }
            let mut words = line.split_whitespace();
            let mut route = Route::default();
            match words.next() {
                Some("*") | None => {}
                Some(list) => route.matchers = Matcher::parse_list(list).expect("matchers"),
            }
            for word in words {
                match word.split_once(':') {
                    Some(("to", name)) => route.receiver = Some(name.into()),
                    Some(("by", names)) => {
                        let names = names.split(',').filter(|name| !name.is_empty());
                        route.group_by = Some(GroupBy::from_names(names).expect("group_by"));
                    }
                    Some(("wait", length)) => route.group_wait = Some(length.parse().expect("length")),
                    Some(("interval", length)) => route.group_interval = Some(length.parse().expect("length")),
                    Some(("repeat", length)) => route.repeat_interval = Some(length.parse().expect("length")),
                    None if word == "continue" => route.continues = true,
                    _ => panic!("what is {word}"),
                }
            }
            routes.push(route);
            lines = &lines[1..];
        }
        (routes, lines)
    }

    const TREE: &str = r#"
*  to:default by:alertname
  {severity="critical"}  to:pager wait:10s continue
    {team=~"db|dba"}  to:dba by:... repeat:1h
  {severity=~"critical|warning",team!="qa"}  to:slack interval:1m
    *  by:
  {severity="critical"}  to:audit
"#;

    fn check(labels: &[(&str, &str)], expect: Expect) {
        let tree = tree(TREE).expect("valid");
        let labels = Labels::from_pairs(labels.iter().copied());
        let lines: Vec<String> = tree
            .matching(&labels)
            .into_iter()
            .map(|id| {
                let node = tree.node(id);
                let Timing { group_wait, group_interval, repeat_interval } = node.timing;
                let key = node.group_key(&node.group_by.labels_of(&labels), None);
                format!("{}  {key}  {group_wait} {group_interval} {repeat_interval}\n", node.receiver)
            })
            .collect();
        expect.assert_eq(&lines.concat());
    }

    #[test]
    fn the_deepest_match_takes_the_alert_and_continue_lets_siblings_have_it_too() {
        check(
            &[("alertname", "Slow"), ("severity", "critical"), ("team", "db")],
            expect![[r#"
                dba  {}/{severity="critical"}/{team=~"db|dba"}:{alertname="Slow", severity="critical", team="db"}  10s 5m 1h
                slack  {}/{severity=~"critical|warning",team!="qa"}/{}:{}  30s 1m 4h
            "#]],
        );
        check(
            &[("alertname", "Slow"), ("severity", "critical"), ("team", "qa")],
            expect![[r#"
                pager  {}/{severity="critical"}:{alertname="Slow"}  10s 5m 4h
                audit  {}/{severity="critical"}#2:{alertname="Slow"}  30s 5m 4h
            "#]],
        );
        check(
            &[("alertname", "Slow"), ("severity", "info")],
            expect![[r#"
                default  {}:{alertname="Slow"}  30s 5m 4h
            "#]],
        );
        check(
            &[("alertname", "Slow"), ("severity", "warning")],
            expect![[r#"
                slack  {}/{severity=~"critical|warning",team!="qa"}/{}:{}  30s 1m 4h
            "#]],
        );
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_place() {
        let refused = |text: &str| tree(text).expect_err("refused").to_string();
        assert_eq!(refused("*"), "the root route names no receiver; add `receiver: NAME`");
        assert!(refused("{a=b} to:x").starts_with("the root route has matchers"));
        assert!(refused("* to:x continue").starts_with("the root route says `continue`"));
        assert_eq!(
            refused("* to:x\n  {a=b} interval:0"),
            "`group_interval` is 0s in route `{}/{a=\"b\"}`; it must be longer than zero"
        );
        assert_eq!(GroupBy::from_names(["...", "a"]), Err(RouteError::AllAndMore));
        assert_eq!(GroupBy::from_names(["a", "a"]), Err(RouteError::GroupByTwice("a".into())));
        let mut deep = Route::to("x");
        for _ in 0..=ROUTE_DEPTH_MAX {
            deep = Route { receiver: Some("x".into()), routes: vec![deep], ..Route::default() };
        }
        assert!(matches!(RouteTree::new(deep), Err(RouteError::TooDeep { .. })));
        let wide = Route { routes: vec![Route::default(); ROUTES_MAX], ..Route::to("x") };
        assert_eq!(RouteTree::new(wide).err(), Some(RouteError::TooManyRoutes));
    }
}
