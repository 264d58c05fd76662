//! What becomes of a rule that is right. What is said of one that is wrong stands in `fixtures/check`.

use std::fmt::Write;
use std::sync::Arc;

use expect_test::{Expect, expect};

use super::*;
use crate::model::schema::{Budgets, FieldSpec, Format, HistogramSpec, TimeFormat, TimeSource, TimeSpec};
use crate::rule::plan::FeedKey;
use crate::rule::syntax;

fn schema() -> Arc<StreamSchema> {
    let field = |name: &str, ty: FieldType| FieldSpec {
        name: name.into(),
        ty,
        path: vec![name.into()],
        numeric_strings: false,
        histogram: HistogramSpec { digits: 3, ..HistogramSpec::FLOAT },
    };
    Arc::new(StreamSchema {
        name: "requests".into(),
        format: Format::Json,
        time: TimeSpec { source: TimeSource::Record, format: TimeFormat::EpochMillis },
        fields: vec![
            field("service", FieldType::String),
            field("status", FieldType::Int),
            field("latency_ms", FieldType::Float),
            field("unread", FieldType::String),
            field("trace_id", FieldType::String),
        ],
        exemplar: Some(4),
        lateness: Millis::ZERO,
        idle_timeout: Millis::ZERO,
        stall_timeout: Millis::ZERO,
        future_max: Millis::ZERO,
        budgets: Budgets::default(),
    })
}

fn rules(text: &str) -> RuleSet {
    let mut log = Diagnostics::new();
    let file = log.add_file("rules.yaml", text);
    let parsed = syntax::parse(file, &mut log).expect("a rule file");
    let inputs = [RuleInput { name: "rules.yaml".into(), file: &parsed }];
    let rules = check_rules(&inputs, &[schema()], &[], 500, &mut log);
    assert!(!log.has_errors(), "{}", log.render(false));
    rules
}

/// Each rule as it was understood.
fn check(text: &str, expect: Expect) {
    let mut out = String::new();
    for rule in rules(text).rules {
        let keys: Vec<String> = rule.by.iter().map(|key| format!("{}={}", key.name, key.source.canonical())).collect();
        writeln!(out, "{} by [{}]", rule.meta, keys.join(", ")).expect("a string");
        writeln!(
            out,
            "  window {} every {} pane {} expire {} limit {} for {} keep {}",
            rule.window,
            rule.every,
            rule.pane,
            rule.expire,
            rule.group_limit,
            rule.hold.for_,
            rule.hold.keep_firing_for
        )
        .expect("a string");
        for let_ in &rule.lets {
            writeln!(
                out,
                "  {} = {:?} over {} back {}, accumulates {}",
                let_.name,
                let_.aggregate,
                let_.window,
                let_.offset,
                let_.accumulated()
            )
            .expect("a string");
        }
        if let Some(absent) = &rule.absent {
            writeln!(out, "  absent {absent:?}").expect("a string");
        }
        let labels: Vec<String> = rule.labels.iter().map(|(name, text)| format!("{name}={}", text.source())).collect();
        writeln!(out, "  labels {labels:?}").expect("a string");
    }
    expect.assert_eq(&out);
}

#[test]
fn every_aggregate_is_understood_and_shares_what_it_can() {
    check(
        r#"
groups:
  - name: g
    interval: 20s
    labels: { team: web, severity: info }
    rules:
      - alert: All
        from: requests
        where: status < 600
        by: [service, "status / 100 AS class"]
        window: 5m
        let:
          n: count(*)
          known: COUNT(latency_ms)
          sum: sum(latency_ms)
          avg: avg( latency_ms )
          dev: stddev(latency_ms)
          low: min(latency_ms)
          high: max(latency_ms)
          rate: rate(*)
          volume: rate(latency_ms)
          p50: quantile(latency_ms, 0.5)
          p99: p99(latency_ms)
          p999: p999(latency_ms) FILTER (WHERE status = 200)
          made: p90(status * 2)
          who: distinct(service)
          whom: count(DISTINCT service)
          top: topk(service, 3)
          last: last(status)
          past: { expr: count(*), window: 10m, offset: 1h }
        when: >-
          n > 1 && known > 1 && sum > 1 && avg > 1 && dev > 1 && low > 1 && high > 1 && rate > 1 && volume > 1
          && p50 > 1 && p99 > 1 && p999 > 1 && made > 1 && who > 1 && whom > 1 && last > 1 && past > 1
        labels: { severity: critical }
"#,
        expect![[r#"
            All (rules.yaml:7) by [service="service", class="status" / 100]
              window 5m every 20s pane 20s expire 2h20m limit 500 for 0s keep 0s
              n = Count over 5m back 0s, accumulates count(*)
              known = Count over 5m back 0s, accumulates count("latency_ms")
              sum = Sum over 5m back 0s, accumulates moments("latency_ms")
              avg = Avg over 5m back 0s, accumulates moments("latency_ms")
              dev = Stddev over 5m back 0s, accumulates moments("latency_ms")
              low = Min over 5m back 0s, accumulates min("latency_ms")
              high = Max over 5m back 0s, accumulates max("latency_ms")
              rate = Rate over 5m back 0s, accumulates count(*)
              volume = Rate over 5m back 0s, accumulates moments("latency_ms")
              p50 = Quantile(0.5) over 5m back 0s, accumulates histogram HistogramSpec { unit: 0.001, highest: 3600000.0, digits: 3 }("latency_ms")
              p99 = Quantile(0.99) over 5m back 0s, accumulates histogram HistogramSpec { unit: 0.001, highest: 3600000.0, digits: 3 }("latency_ms")
              p999 = Quantile(0.999) over 5m back 0s, accumulates histogram HistogramSpec { unit: 0.001, highest: 3600000.0, digits: 3 }("latency_ms") WHERE "status" = 200
              made = Quantile(0.9) over 5m back 0s, accumulates histogram HistogramSpec { unit: 1.0, highest: 3600000000.0, digits: 2 }("status" * 2)
              who = Distinct over 5m back 0s, accumulates distinct("service")
              whom = Distinct over 5m back 0s, accumulates distinct("service")
              top = TopK(3) over 5m back 0s, accumulates topk 3("service")
              last = Last over 5m back 0s, accumulates last("status")
              past = Count over 10m back 1h, accumulates count(*)
              labels ["severity=critical", "team=web"]
        "#]],
    );
}

#[test]
fn defaults_follow_from_what_is_given() {
    check(
        r#"
groups:
  - name: g
    rules:
      - { alert: Plain, from: requests, window: 1m, let: { n: count(*) }, when: n > 1 }
      - { alert: Far, from: requests, window: 1m, let: { n: { expr: count(*), offset: 3h } }, when: n > 1, limit: 7 }
      - alert: Silent
        from: requests
        by: [service, status]
        every: 1m
        absent: 10m
        expect: [{ service: cart, status: 200 }, { status: 500, service: cart }]
        for: 1m
        keep_firing_for: 2m
"#,
        expect![[r#"
            Plain (rules.yaml:5) by []
              window 1m every 10s pane 10s expire 1h limit 500 for 0s keep 0s
              n = Count over 1m back 0s, accumulates count(*)
              labels []
            Far (rules.yaml:6) by []
              window 1m every 10s pane 10s expire 6h2m limit 7 for 0s keep 0s
              n = Count over 1m back 3h, accumulates count(*)
              labels []
            Silent (rules.yaml:7) by [service="service", status="status"]
              window 1m every 1m pane 1m expire 1d limit 500 for 1m keep 2m
              absent AbsentPolicy { after: Millis(600000), expect: [[Text("cart"), Int(200)], [Text("cart"), Int(500)]] }
              labels []
        "#]],
    );
}

#[test]
fn rules_that_look_at_the_same_share_their_feed_and_ids_are_stable() {
    let rules = rules(
        r#"
groups:
  - name: g
    rules:
      - { alert: A, from: requests, where: status >= 500, by: service, window: 1m, let: { n: count(*) }, when: n > 1 }
      - { alert: B, from: requests, where: (status>=500), by: [service], window: 5m, let: { n: count(*) }, when: n > 2 }
      - { alert: C, from: requests, by: service, window: 1m, let: { n: count(*) }, when: n > 1 }
      - { alert: D, from: requests, by: service, every: 30s, window: 1m, let: { n: count(*) }, when: n > 1 }
"#,
    );
    let feeds: Vec<FeedKey> = rules.rules.iter().map(|rule| rule.feed()).collect();
    assert_eq!(feeds[0], feeds[1], "spelling and window do not matter");
    assert_ne!(feeds[1], feeds[2], "the filter does");
    assert_ne!(feeds[2], feeds[3], "and the pane");
    let ids: Vec<u64> = rules.rules.iter().map(|rule| rule.id).collect();
    // Names of things that outlive the process: a change here forgets every pending alert.
    let known = [11721125044727605504, 17394513298805138591, 12823362773265741436, 7652257593719407760];
    assert_eq!(ids, known);
    assert_eq!(rules.needed_fields(0, &schema()), [0, 1, 4], "read ones and the exemplar's");
    assert_eq!(rules.needed_fields(1, &schema()), [0; 0]);
}
