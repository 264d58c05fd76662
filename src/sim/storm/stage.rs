//! What a storm plays on: rules, routes and receivers. The rules come as text, because reading rule files is `config`'s.

use std::sync::Arc;

use super::options::{Options, Sabotage};
use crate::alert::matcher::Matcher;
use crate::alert::route::{GroupBy, Route, RouteTree};
use crate::engine::desk::{DeskBounds, DeskConfig, ReceiverPolicy};
use crate::engine::plan::Plan;
use crate::model::Millis;
use crate::notify::outbox::IntegrationPolicy;
use crate::notify::retry::RetryPolicy;

/// The rules of every storm. [`super::oracle`] knows them by heart.
pub const RULES: &str = r#"
streams:
  requests:
    topics: requests
    format: json
    time: { field: ts, format: epoch_ms }
    lateness: 5s
    idle_timeout: 20s
    stall_timeout: 40s
    future_max: 1m
    fields: { svc: string, status: int, ms: float, who: string }
groups:
  - name: storm
    interval: 10s
    rules:
      - alert: Busy
        from: requests
        by: [svc]
        window: 20s
        let: { n: count(*) }
        when: n > 14
        labels: { severity: warning }
      - alert: Errors
        from: requests
        by: [svc]
        window: 30s
        let: { total: count(*), errors: count(*) FILTER (WHERE status >= 500) }
        when: errors / total > 0.4 && total >= 4
        for: 20s
        keep_firing_for: 20s
        labels: { severity: critical }
      - alert: Slow
        from: requests
        by: [svc]
        window: 20s
        let: { worst: max(ms) }
        when: worst > 900
        for: 10s
        labels: { severity: warning }
      - alert: Gone
        from: requests
        by: [svc]
        window: 10s
        absent: 40s
        labels: { severity: warning }
      - alert: Crowd
        from: requests
        where: status < 500
        by: [who]
        window: 20s
        let: { n: count(*) }
        when: n > 2
        limit: 8
        expire: 40s
        labels: { severity: info }
"#;

/// The rules after an edit: one says something else, one is gone, one is new.
pub fn edited() -> String {
    let (kept, _) = RULES.split_once("      - alert: Crowd").expect("the rule stands there");
    let other = "      - alert: Quick\n        from: requests\n        by: [svc]\n        window: 30s\n        let: { best: min(ms), n: count(*) }\n        when: best < 50 && n > 3\n        labels: { severity: info }\n";
    format!("{}{other}", kept.replace("n > 14", "n > 17"))
}

/// Rules as they are where two members share the topic.
pub fn local(rules: &str) -> String {
    rules.replace("        by: [", "        local: true\n        by: [")
}

/// Groups of `Crowd` at most, as its text says; of each partition, where rules are local.
pub const CROWD_MAX: usize = 8;

/// What the desk may hold.
pub const BOUNDS: DeskBounds = DeskBounds {
    alerts_max: 200,
    groups_max: 60,
    ended_per_group_max: 50,
    alerts_per_notification_max: 50,
    lane_queue_max: 50,
    journal_max: 100,
    dead_letters_max: 20,
    resolved_max: 20,
    // By the desk's clock, and that leaps by an hour.
    owed_max: Millis::from_secs(7_200),
};

pub struct Stage {
    /// The rules as they are and as they are edited, with routes to match ([`Stage::desk`]).
    pub plans: [Arc<Plan>; 2],
    /// The same, each `local: true`.
    pub local: [Arc<Plan>; 2],
}

impl Stage {
    /// Receivers and routes as they stand beside the rules of a plan: edited rules come with edited routes.
    pub fn desk(&self, options: &Options, plan: &Arc<Plan>) -> DeskConfig {
        let edited = Arc::ptr_eq(plan, &self.plans[1]);
        let retry = RetryPolicy {
            backoff_max: Millis::from_secs(8),
            give_up_after: Millis::from_secs(60),
            retry_after_max: Millis::from_secs(30),
            ..RetryPolicy::default()
        };
        let integration =
            |kind: &str| IntegrationPolicy { timeout: Millis::from_secs(10), retry, ..IntegrationPolicy::new(kind) };
        let slack = IntegrationPolicy { min_interval: Millis(1_000), ..integration("slack") };
        let receivers = vec![
            ReceiverPolicy { name: "ops".into(), integrations: vec![integration("pagerduty"), slack] },
            ReceiverPolicy { name: "hook".into(), integrations: vec![integration("webhook")] },
        ];
        let by = |name: &str| Some(GroupBy::from_names([name]).expect("a name"));
        let hook = Route {
            matchers: Matcher::parse_list(r#"severity="critical""#).expect("matchers"),
            continues: true,
            group_by: by("..."),
            group_wait: Some(Millis::ZERO),
            ..Route::to("hook")
        };
        let group_interval = edited.then_some(Millis::from_secs(5));
        let all = Route { group_by: by("alertname"), group_interval, ..Route::to("ops") };
        let root = Route {
            group_wait: Some(Millis::from_secs(2)),
            group_interval: Some(Millis::from_secs(10)),
            repeat_interval: Some(Millis::from_secs(120)),
            routes: vec![hook, all],
            ..Route::to("ops")
        };
        let journal_max = if options.sabotaged(Sabotage::Overfill) { 10_000 } else { BOUNDS.journal_max };
        let config = DeskConfig::new(RouteTree::new(root).expect("routes"), receivers, "http://foghorn");
        config.and_then(|config| config.with_bounds(DeskBounds { journal_max, ..BOUNDS })).expect("a desk")
    }
}
