use expect_test::expect;

use super::filter::{kinds, moment};
use super::*;
use crate::alert::group::SkipReason;
use crate::alert::matcher::Matcher;
use crate::alert::silence::{Done, Silence};
use crate::engine::journal::{Journal, UntoldReason};
use crate::model::{Contributor, DeliveryId, Exemplar, Position, RuleMeta, SourceId};
use crate::notify::outbox::DeadReason;

fn name() -> AlertName {
    AlertName { rule: "Slow".into(), labels: Labels::from_pairs([("alertname", "Slow"), ("host", "a\u{1b}[31m")]) }
}

fn moved(change: Change) -> Decision {
    let source = SourceId::new("requests", 3);
    let evidence = Evidence {
        condition: "p99 > 800".into(),
        comparisons: vec![Comparison {
            text: "p99 > 800".into(),
            left: Some(1240.5),
            right: Some(800.0),
            holds: Some(true),
        }],
        values: vec![("p99".into(), Some(1240.5)), ("ratio".into(), Some(f64::NAN))],
        contributors: (0..5)
            .map(|n| Contributor { name: "top".into(), value: format!("ip{n}"), count: 9 - n })
            .collect(),
        exemplars: vec![Exemplar {
            at: EventTime(5),
            position: Position { source, offset: 42 },
            id: Some("trace".into()),
            text: Some("card number 4711".into()),
        }],
        window: Millis(60_000),
    };
    let rule = RuleMeta { name: "Slow".into(), group: "g".into(), file: "rules/a.yaml".into(), line: 3 };
    let fired_at = (change != Change::Began).then_some(EventTime(60_000));
    let seen = Seen { rule: Arc::new(rule), fired_at, value: Some(f64::INFINITY), evidence: Arc::new(evidence) };
    Decision::Alert {
        alert: name(),
        change,
        at: EventTime(120_000),
        because: (change == Change::Resolved).then_some(ResolvedBecause::Expired),
        seen: Some(Arc::new(seen)),
    }
}

/// Everything that can be recorded, one of each.
fn everything() -> Vec<Decision> {
    let (group, target): (Arc<str>, Arc<str>) = ("{}:{host=\"a\"}".into(), "ops/slack".into());
    let g = || group.clone();
    let t = || target.clone();
    vec![
        moved(Change::Began),
        moved(Change::Dropped),
        moved(Change::Fired),
        moved(Change::FiredAgain { before: EventTime::MIN }),
        moved(Change::Resolved),
        Decision::Joined { alert: name(), group: g(), receiver: "ops".into() },
        Decision::GroupOverflow { alert: name(), wanted: g(), into: "overflow".into(), groups_max: 3 },
        Decision::Untold { alert: name(), why: UntoldReason::NoIntegrations },
        Decision::AlertDisplaced { alert: name(), by: name() },
        Decision::EndForgotten { alert: name(), group: g(), ended_max: 1 },
        Decision::Flush {
            group: g(),
            why: SendReason::New,
            sequence: 1,
            targets: vec![t()],
            firing: 2,
            ended: 1,
            truncated: 4,
        },
        Decision::Skip { group: g(), target: t(), why: SkipReason::CancelledOut },
        Decision::Delivered { group: g(), target: t(), sequence: 1, attempt: 2, took: Millis(90), late: true },
        Decision::Failed {
            group: g(),
            target: t(),
            sequence: 1,
            attempt: 1,
            reason: "500 oops\nnext".into(),
            next_at: Some(WallTime(5_000)),
        },
        Decision::Throttled {
            group: g(),
            target: t(),
            sequence: 1,
            attempt: 1,
            reason: "429".into(),
            until: WallTime(9_000),
        },
        Decision::Superseded { group: g(), target: t(), sequence: 1, by: 2, attempts: 1 },
        Decision::GivenUp {
            group: g(),
            target: t(),
            sequence: 1,
            attempts: 5,
            why: DeadReason::Rejected { answer: "no".into() },
            owed_until: None,
        },
        Decision::ReceiverBack { target: t(), groups: 2 },
        Decision::Silenced { alert: name(), silence: silence(60_000) },
        Decision::Unsilenced { alert: name(), silence: silence(60_000) },
        operated("192.0.2.7", Done::Created { silence: silence(60_000) }),
        operated("192.0.2.7", Done::Changed { before: silence(60_000), silence: silence(120_000) }),
        operated("192.0.2.7", Done::Replaced { before: silence(1_000), silence: silence(120_000) }),
        operated("fe80::1", Done::Expired { silence: silence(1_000) }),
    ]
}

fn silence(ends_at: i64) -> Arc<Silence> {
    Arc::new(Silence {
        id: SilenceId::of(7),
        matchers: Matcher::parse_list("host=~a|b").expect("a matcher"),
        starts_at: WallTime(1_000),
        ends_at: WallTime(ends_at),
        created_by: "ada".into(),
        comment: "deploy\u{1b}[31m".into(),
        updated_at: WallTime(1_000),
    })
}

fn operated(from: &str, done: Done) -> Decision {
    Decision::Operated { person: Person { who: "bob".into(), from: Some(from.into()) }, done }
}

#[test]
fn every_record_is_one_line_for_people_and_reads_back_as_it_was() {
    let mut journal = Journal::new(0);
    let mut lines = String::new();
    for decision in everything() {
        let entry = journal.enter(WallTime(1_000), decision);
        let record = Record::of(&entry).expect("one of those that are recorded");
        lines += &format!("{:<13} {}\n", record.what(), record.line());
        let json = serde_json::to_string(&record).expect("serialises");
        assert_eq!(serde_json::from_str::<Record>(&json).expect(&json), record, "{json}");
        let whole = Entry { run: RunId(7), number: Some(entry.number), at: entry.at, record };
        let json = serde_json::to_string(&whole).expect("serialises");
        assert_eq!(serde_json::from_str::<Entry>(&json).expect(&json), whole, "{json}");
        assert!(!json.contains("4711"), "the text of events stays out: {json}");
    }
    assert!(!lines.contains('\u{1b}'), "nothing from outside reaches the terminal");
    expect![[r#"
        began         Slow{host="a\u{1b}[31m"}  p99 > 800 (1240)  (rules/a.yaml:3)
        dropped       Slow{host="a\u{1b}[31m"}  p99 > 800 (1240)  (rules/a.yaml:3)
        fired         Slow{host="a\u{1b}[31m"}  p99 > 800 (1240)  (rules/a.yaml:3)
        fired_again   Slow{host="a\u{1b}[31m"} (its episode of -∞ never ended)  p99 > 800 (1240)  (rules/a.yaml:3)
        resolved      Slow{host="a\u{1b}[31m"}, its group was forgotten after 1m  p99 > 800 (1240)  (rules/a.yaml:3)
        joined        Slow{host="a\u{1b}[31m"} → ops, in {}:{host="a"}
        overflowed    Slow{host="a\u{1b}[31m"}: no room for {}:{host="a"}, in overflow
        untold        Slow{host="a\u{1b}[31m"}: its receiver has no integrations
        displaced     Slow{host="a\u{1b}[31m"}: made room for Slow{host="a\u{1b}[31m"}
        end_forgotten Slow{host="a\u{1b}[31m"}: {}:{host="a"} is owed too many ends
        written       {}:{host="a"} #1 → ops/slack: new, 2 firing, 1 resolved, 4 not shown
        skipped       {}:{host="a"} → ops/slack: what changed changed back
        delivered     {}:{host="a"} #1 → ops/slack, attempt 2, took 90ms, reported late
        failed        {}:{host="a"} #1 → ops/slack, attempt 1: 500 oops\nnext; next at 1970-01-01T00:00:05Z
        throttled     {}:{host="a"} #1 → ops/slack, attempt 1: 429; paused until 1970-01-01T00:00:09Z
        superseded    {}:{host="a"} #1 → ops/slack gives way to #2 after 1 attempt
        given_up      {}:{host="a"} #1 → ops/slack after 5 attempts: rejected: no
        receiver_back ops/slack: 2 groups owed to it are due
        silenced      Slow{host="a\u{1b}[31m"} by ada until 1970-01-01T00:01:00Z (00000000-0000-4000-8000-000000000007): deploy\u{1b}[31m
        unsilenced    Slow{host="a\u{1b}[31m"}: that of ada is over (00000000-0000-4000-8000-000000000007)
        silence_created bob (192.0.2.7): 00000000-0000-4000-8000-000000000007 {host=~"a|b"} until 1970-01-01T00:01:00Z, by ada: deploy\u{1b}[31m
        silence_changed bob (192.0.2.7): 00000000-0000-4000-8000-000000000007 {host=~"a|b"} until 1970-01-01T00:02:00Z, by ada: deploy\u{1b}[31m (before: {host=~"a|b"} until 1970-01-01T00:01:00Z, by ada: deploy\u{1b}[31m)
        silence_replaced bob (192.0.2.7): 00000000-0000-4000-8000-000000000007 {host=~"a|b"} until 1970-01-01T00:02:00Z, by ada: deploy\u{1b}[31m (in place of 00000000-0000-4000-8000-000000000007 {host=~"a|b"} until 1970-01-01T00:00:01Z, by ada: d…
        silence_expired bob (fe80::1): 00000000-0000-4000-8000-000000000007 {host=~"a|b"} until 1970-01-01T00:00:01Z, by ada: deploy\u{1b}[31m
    "#]]
    .assert_eq(&lines);
}

#[test]
fn partitions_that_come_and_go_are_records() {
    let events = [
        PartitionEvent::Begun { read_from: Some(20), judged_from: Some(50) },
        PartitionEvent::Begun { read_from: None, judged_from: None },
        PartitionEvent::Left,
        PartitionEvent::Adopted { from: "foghorn-\u{1b}7".into() },
        PartitionEvent::Confirmed,
        PartitionEvent::Lost,
    ];
    let mut lines = String::new();
    for (what, tenure) in events.into_iter().zip(1..) {
        let record = Record::Partition(PartitionRecord { partition: "orders/3".into(), tenure, what });
        let json = serde_json::to_string(&record).expect("serialises");
        assert_eq!(serde_json::from_str::<Record>(&json).expect(&json), record, "{json}");
        lines += &format!("{:<9} {}   {json}\n", record.what(), record.line());
    }
    expect![[r#"
        begun     orders/3, tenure 1, at offset 50, read from 20   {"kind":"partition","partition":"orders/3","tenure":1,"what":"begun","read_from":20,"judged_from":50}
        begun     orders/3, tenure 2   {"kind":"partition","partition":"orders/3","tenure":2,"what":"begun"}
        left      orders/3, tenure 3   {"kind":"partition","partition":"orders/3","tenure":3,"what":"left"}
        adopted   orders/3, tenure 4, from foghorn-\u{1b}7   {"kind":"partition","partition":"orders/3","tenure":4,"what":"adopted","from":"foghorn-\u001b7"}
        confirmed orders/3, tenure 5   {"kind":"partition","partition":"orders/3","tenure":5,"what":"confirmed"}
        lost      orders/3, tenure 6   {"kind":"partition","partition":"orders/3","tenure":6,"what":"lost"}
    "#]].assert_eq(&lines);
}

#[test]
fn the_record_of_a_firing_alert_says_why() {
    let entry = JournalEntry { number: 1, at: WallTime(0), decision: moved(Change::Fired) };
    let json = serde_json::to_string_pretty(&Record::of(&entry)).expect("serialises");
    expect![[r#"
        {
          "kind": "alert",
          "alert": "Slow",
          "labels": {
            "alertname": "Slow",
            "host": "a\u001b[31m"
          },
          "what": "fired",
          "facts": {
            "event_time": "1970-01-01T00:02:00Z",
            "fired_at": "1970-01-01T00:01:00Z",
            "rule": "rules/a.yaml:3",
            "rule_group": "g",
            "evidence": {
              "condition": "p99 > 800",
              "comparisons": [
                {
                  "text": "p99 > 800",
                  "left": 1240.5,
                  "right": 800.0,
                  "holds": true
                }
              ],
              "values": {
                "p99": 1240.5,
                "ratio": null
              },
              "contributors": {
                "top": [
                  [
                    "ip0",
                    9
                  ],
                  [
                    "ip1",
                    8
                  ],
                  [
                    "ip2",
                    7
                  ]
                ]
              },
              "examples": [
                [
                  "requests/3@42",
                  "trace"
                ]
              ],
              "window": "1m"
            }
          }
        }"#]]
    .assert_eq(&json);
}

#[test]
fn what_only_says_that_nothing_happened_is_no_record() {
    let quiet = [
        moved(Change::Refreshed),
        Decision::GroupClosed { group: "g".into(), notifications: 1 },
        Decision::AlertRefused { alert: name(), firing: true, alerts_max: 3 },
        Decision::Attempt { group: "g".into(), target: "t".into(), sequence: 1, attempt: 1, id: DeliveryId(1) },
    ];
    for decision in quiet {
        let entry = JournalEntry { number: 1, at: WallTime(0), decision };
        assert_eq!(Record::of(&entry), None, "{entry}");
    }
}

#[test]
fn the_journal_itself_holds_no_evidence_and_tells_the_record_keeper_all() {
    let mut journal = Journal::new(10);
    let told = journal.enter(WallTime(0), moved(Change::Fired));
    assert!(matches!(told.decision, Decision::Alert { seen: Some(_), .. }));
    let kept = journal.entries().next().expect("kept");
    assert!(matches!(kept.decision, Decision::Alert { seen: None, .. }));
    assert_eq!(kept.to_string(), told.to_string());
}

#[test]
fn rules_are_recorded_when_they_differ_and_say_how() {
    let one = RulesRecord::of([("b.yaml", "2"), ("a.yaml", "1")], 2, Some("c0ffee".into()));
    let same = RulesRecord::of([("a.yaml", "1"), ("b.yaml", "2")], 2, Some("c0ffee".into()));
    assert_eq!(one, same, "whatever the order of the files");
    assert_eq!(same.clone().after(Some(&one)), None);
    assert_eq!(one.clone().after(None), Some(one.clone()));
    let next = RulesRecord::of([("a.yaml", "1 "), ("c.yaml", "2")], 2, None).after(Some(&one)).expect("it differs");
    let changed = next.changed.as_ref().expect("against the last");
    assert_eq!((&changed.was, &changed.added[..]), (&one.hash, &["c.yaml".to_owned()][..]));
    assert_eq!((&changed.edited[..], &changed.removed[..]), (&["a.yaml".to_owned()][..], &["b.yaml".to_owned()][..]));
    assert!(next.to_string().ends_with("; added c.yaml; edited a.yaml; removed b.yaml"), "{next}");
    let moved = RulesRecord::of([("ab.yaml", "1")], 1, None).hash;
    assert_ne!(moved, RulesRecord::of([("a", "b.yaml1")], 1, None).hash, "names end where contents begin");
}

#[test]
fn a_question_is_read_from_words() {
    let now = WallTime(10_000_000_000);
    assert_eq!(moment("2h", now), Ok(now - Millis(7_200_000)));
    assert_eq!(moment("1970-01-01T00:00:01.5Z", now), Ok(WallTime(1_500)));
    assert_eq!(moment("12.5", now), Ok(WallTime(12_500)));
    for nonsense in ["yesterday", "2026-13-01T00:00:00Z", "nan", "-3h", "1e99"] {
        assert_eq!(moment(nonsense, now), Err(FilterError::Moment(nonsense.into())));
    }
    assert_eq!(kinds("alert, run"), Ok(vec![Kind::Alert, Kind::Run]));
    let pairs =
        [("alert", "Slow"), ("label", "a=b=c"), ("label", "x="), ("kind", "alert"), ("limit", "5"), ("until", "")];
    let filter = Filter::from_pairs(pairs, now).expect("it makes sense");
    assert_eq!(filter.labels, [("a".to_owned(), "b=c".to_owned()), ("x".to_owned(), String::new())]);
    assert_eq!((filter.limit, filter.kinds.len(), filter.until), (5, 1, None));
    for (name, value, says) in [
        ("limit", "0", "is no limit"),
        ("limit", "1001", "is no limit"),
        ("label", "host", "is no label"),
        ("kind", "alerts", "unknown kind"),
        ("cursor", "x", "is no cursor"),
        ("alerts", "x", "unknown parameter"),
    ] {
        let error = Filter::from_pairs([(name, value)], now).expect_err("nonsense").to_string();
        assert!(error.contains(says), "{error}");
    }
    assert!(matches!(Filter::from_pairs(vec![("label", "a=b"); 17], now), Err(FilterError::TooManyLabels)));
}
