//! Looking back: the life of an alert, as `foghorn history` and `/api/v1/history` tell it afterwards.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use assert_cmd::Command;
use expect_test::{Expect, expect};
use foghorn::alert::route::{GroupBy, Route, RouteTree};
use foghorn::api::Api;
use foghorn::edge::history::{Recorder, Retention, file_in};
use foghorn::engine::desk::{Desk, DeskConfig, DeskInput, DeskOutput, ReceiverPolicy};
use foghorn::engine::plan::Plan;
use foghorn::engine::record::{Before, OperatorRecord, Record, Restored, RulesRecord, RunRecord};
use foghorn::model::signal::ResolvedBecause;
use foghorn::model::{
    Comparison, EventTime, Evidence, Labels, Millis, Outcome, RuleMeta, Signal, Transition, WallTime,
};
use foghorn::notify::outbox::IntegrationPolicy;
use foghorn::runtime::{PlanInUse, Status};
use serde_json::Value;

const RETENTION: Retention = Retention { keep: Millis::from_secs(90 * 86_400), rows_max: 10_000 };

/// 2026-03-01T12:00:00Z
const NOON: i64 = 1_772_366_400_000;

/// A desk with one receiver, whose every decision is recorded.
struct Story {
    desk: Desk,
    recorder: Arc<Recorder>,
    now: WallTime,
}

impl Story {
    fn begin(state: &Path) -> Story {
        let started = WallTime(NOON);
        let recorder = Recorder::start(&file_in(state), RETENTION, started).expect("started");
        let run =
            RunRecord::Started { version: "1.2.3".into(), pid: 7, restored: Restored::Nothing, before: Before::None };
        recorder.record(started, Record::Run(run));
        let rules = RulesRecord::of([("rules/shop.yaml", "groups: []")], 1, Some("c0ffee".repeat(7)));
        recorder.record(started, Record::Rules(rules));
        let by = GroupBy::from_names(["alertname"]).expect("one name");
        let route = Route { group_by: Some(by), group_wait: Some(Millis::from_secs(10)), ..Route::to("ops") };
        let ops = ReceiverPolicy { name: "ops".into(), integrations: vec![IntegrationPolicy::new("webhook")] };
        let tree = RouteTree::new(route).expect("one route is a tree");
        let config = DeskConfig::new(tree, vec![ops], "http://foghorn").expect("the receiver exists");
        Story { desk: Desk::new(config, 1), recorder: Arc::new(recorder), now: started }
    }

    fn later(&mut self, seconds: i64) {
        self.now = self.now + Millis::from_secs(seconds);
    }

    /// Hands an input to the desk; attempts that follow have these outcomes.
    fn hand(&mut self, input: DeskInput, outcomes: &mut Vec<Outcome>) {
        let mut out = Vec::new();
        self.desk.handle(self.now, input, &mut out);
        for output in out {
            match output {
                DeskOutput::Journal(entry) => self.recorder.entry(&entry),
                DeskOutput::Deliver { receiver, delivery } => {
                    let (id, outcome) = (delivery.id, outcomes.remove(0));
                    self.hand(DeskInput::Receipt { receiver, id, outcome }, outcomes);
                }
                DeskOutput::DeadLetter(_) | DeskOutput::Answer(_) => {}
            }
        }
    }

    fn signal(&mut self, host: &str, transition: Transition, p99: f64) {
        let meta = RuleMeta { name: "Slow".into(), group: "shop".into(), file: "rules/shop.yaml".into(), line: 3 };
        let at = EventTime(self.now.0 - 2_000);
        let fired = !matches!(transition, Transition::Pending | Transition::Dropped);
        let signal = Signal {
            rule: Arc::new(meta),
            labels: Labels::from_pairs([("alertname", "Slow"), ("host", host), ("severity", "critical")]),
            transition,
            at,
            active_since: EventTime(NOON),
            fired_at: fired.then_some(EventTime(NOON + 58_000)),
            annotations: Vec::new(),
            value: Some(p99),
            evidence: Arc::new(Evidence {
                condition: "p99 > 800".into(),
                comparisons: vec![Comparison {
                    text: "p99 > 800".into(),
                    left: Some(p99),
                    right: Some(800.0),
                    holds: Some(p99 > 800.0),
                }],
                ..Evidence::default()
            }),
            home: None,
        };
        self.hand(DeskInput::Signals(vec![signal]), &mut Vec::new());
    }

    fn tick(&mut self, outcomes: &[Outcome]) {
        self.hand(DeskInput::Tick, &mut outcomes.to_vec());
    }
}

/// One alert fires, its page fails at first and arrives then; another one never gets that far; an operator acts.
fn tell(state: &Path) -> Arc<Recorder> {
    let mut story = Story::begin(state);
    let delivered = || Outcome::Delivered { thread: None };
    story.later(10);
    story.signal("a", Transition::Pending, 900.0);
    story.signal("b", Transition::Pending, 850.0);
    story.later(50);
    story.signal("a", Transition::Firing, 1240.5);
    story.signal("b", Transition::Dropped, 300.0);
    story.later(10);
    story.tick(&[Outcome::Retry { after: Some(Millis(1)), throttled: false, reason: "502 bad gateway".into() }]);
    story.later(60);
    story.tick(&[delivered()]);
    story.later(300);
    let operator = OperatorRecord {
        who: "ada@example.org".into(),
        what: "acknowledge".into(),
        detail: "Slow on a".into(),
        from: None,
    };
    story.recorder.record(story.now, Record::Operator(operator));
    story.signal("a", Transition::Resolved(ResolvedBecause::Normal), 120.0);
    story.later(10);
    story.tick(&[delivered()]);
    assert!(story.recorder.flush(Duration::from_secs(10)));
    story.recorder
}

/// Runs `foghorn history` in a folder: exit code, standard output, standard error.
fn history(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::cargo_bin("foghorn")
        .expect("the program is built")
        .current_dir(folder)
        .env_remove("FOGHORN_CONFIG")
        .arg("history")
        .args(args)
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

fn check(folder: &Path, args: &[&str], expected: Expect) {
    let (code, out, err) = history(folder, args);
    assert_eq!(code, 0, "{err}");
    expected.assert_eq(&out);
}

#[test]
fn the_command_line_tells_the_whole_life_of_an_alert() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = "streams:\n  s: { format: json, time: ts, fields: { a: string } }\nstate: { dir: state }\n\
                  rules: nowhere/*.yaml\nreceivers: this is wrong, and of no concern here\n";
    std::fs::write(folder.path().join("foghorn.yaml"), config).expect("written");
    let (code, _, err) = history(folder.path(), &[]);
    assert_eq!((code, err.contains("there is no history at state/history.db")), (2, true), "{err}");
    let recorder = tell(&folder.path().join("state"));

    // The engine has it open still.
    check(
        folder.path(),
        &[],
        expect![[r#"
            2026-03-01T12:00:00Z      started        foghorn 1.2.3, process 7, with nothing restored
            2026-03-01T12:00:00Z      rules          1 rule in 1 file, 35399697d270, commit c0ffeec0ffee
            2026-03-01T12:00:10Z      began          Slow{host="a", severity="critical"}  p99 > 800 (900)  (rules/shop.yaml:3)
            2026-03-01T12:00:10Z      began          Slow{host="b", severity="critical"}  p99 > 800 (850)  (rules/shop.yaml:3)
            2026-03-01T12:01:00Z      fired          Slow{host="a", severity="critical"}  p99 > 800 (1240)  (rules/shop.yaml:3)
            2026-03-01T12:01:00Z      joined         Slow{host="a", severity="critical"} → ops, in {}:{alertname="Slow"}
            2026-03-01T12:01:00Z      dropped        Slow{host="b", severity="critical"}  p99 > 800 (300)  (rules/shop.yaml:3)
            2026-03-01T12:01:10Z      written        {}:{alertname="Slow"} #1 → ops/webhook: new, 1 firing, 0 resolved
            2026-03-01T12:01:10Z      failed         {}:{alertname="Slow"} #1 → ops/webhook, attempt 1: 502 bad gateway; next at 2026-03-01T12:01:10.567Z
            2026-03-01T12:02:10Z      delivered      {}:{alertname="Slow"} #1 → ops/webhook, attempt 2, took 0s
            2026-03-01T12:07:10Z      acknowledge    ada@example.org: Slow on a
            2026-03-01T12:07:10Z      resolved       Slow{host="a", severity="critical"} after 6m10s  p99 > 800 (120)  (rules/shop.yaml:3)
            2026-03-01T12:07:20Z      written        {}:{alertname="Slow"} #2 → ops/webhook: all resolved, 0 firing, 1 resolved
            2026-03-01T12:07:20Z      delivered      {}:{alertname="Slow"} #2 → ops/webhook, attempt 1, took 0s
        "#]],
    );
    check(
        folder.path(),
        &["--alert", "Slow", "--label", "host=b"],
        expect![[r#"
            2026-03-01T12:00:10Z      began          Slow{host="b", severity="critical"}  p99 > 800 (850)  (rules/shop.yaml:3)
            2026-03-01T12:01:00Z      dropped        Slow{host="b", severity="critical"}  p99 > 800 (300)  (rules/shop.yaml:3)
        "#]],
    );
    check(
        folder.path(),
        &["--since", "2026-03-01T12:01:05Z", "--until", "1772366500", "--kind", "delivery"],
        expect![[r#"
            2026-03-01T12:01:10Z      written        {}:{alertname="Slow"} #1 → ops/webhook: new, 1 firing, 0 resolved
            2026-03-01T12:01:10Z      failed         {}:{alertname="Slow"} #1 → ops/webhook, attempt 1: 502 bad gateway; next at 2026-03-01T12:01:10.567Z
        "#]],
    );
    assert!(recorder.stop(Duration::from_secs(10)));
    let (_, out, err) = history(folder.path(), &["--state", "state", "--ndjson", "-n", "2"]);
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[1]["what"], &lines[1]["at"]), (&"delivered".into(), &"2026-03-01T12:07:20Z".into()));
    assert!(err.contains("the newest 2 are shown"), "{err}");
    let (_, out, _) = history(folder.path(), &["--json", "--kind", "operator,run"]);
    let list: Value = serde_json::from_str(&out).expect("one array");
    assert_eq!((&list[0]["what"], &list[1]["who"]), (&"started".into(), &"ada@example.org".into()));
    assert_eq!(history(folder.path(), &["--alert", "Fast"]).1, "");
}

#[test]
fn questions_that_make_no_sense_get_an_answer_that_does() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("foghorn.yaml"), "rules: []\n").expect("written");
    for (args, says) in [
        (&[][..], "names no `state.dir`, so no history is kept"),
        (&["-c", "nope.yaml"], "cannot read nope.yaml"),
        (&["--state", "nowhere"], "there is no history at nowhere/history.db"),
        (&["--state", ".", "--since", "yesterday"], "`yesterday` is no point in time"),
        (&["--state", ".", "--label", "host"], "write `name=value`"),
        (&["--state", ".", "--kind", "alerts"], "unknown kind `alerts`"),
    ] {
        let (code, out, err) = history(folder.path(), args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(err.contains(says), "{args:?}: {err}");
    }
}

#[test]
fn a_history_of_a_newer_foghorn_is_refused_by_name_and_version() {
    let folder = tempfile::tempdir().expect("a folder");
    let newer = rusqlite::Connection::open(file_in(folder.path())).expect("made");
    newer.execute_batch("CREATE TABLE records (x); PRAGMA user_version = 99").expect("made");
    let (code, out, err) = history(folder.path(), &["--state", "."]);
    assert_eq!((code, out.as_str()), (2, ""));
    let says = "foghorn: ./history.db was written by a newer Foghorn: its schema is version 99, this one knows up to 1";
    assert!(err.starts_with(says), "{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_tells_the_same_a_page_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let recorder = tell(folder.path());
    let status = Arc::new(Status::new(1, WallTime(NOON)).with_history(Some(recorder.clone())));
    let address = serve(status).await;
    let all = get(&address, "/api/v1/history").await;
    assert_eq!((all.0, &all.1["status"], &all.1["data"]["next"]), (200, &"success".into(), &Value::Null));
    let all = all.1["data"]["records"].as_array().expect("a list").clone();
    assert!(all.is_sorted_by_key(|record| -record["id"].as_i64().expect("a number")), "newest first");

    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let (code, page) = get(&address, &format!("/api/v1/history?limit=4&cursor={cursor}")).await;
        assert_eq!(code, 200);
        paged.extend(page["data"]["records"].as_array().expect("a list").iter().cloned());
        match page["data"]["next"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(paged, all);
    let (_, story) = get(&address, "/api/v1/history?alert=Slow&label=host%3Da&label=severity%3Dcritical").await;
    let story: Vec<&str> =
        story["data"]["records"].as_array().expect("a list").iter().rev().filter_map(|r| r["what"].as_str()).collect();
    assert_eq!(
        story,
        ["began", "fired", "joined", "written", "failed", "delivered", "resolved", "written", "delivered"]
    );
    let (_, fired) =
        get(&address, "/api/v1/history?kind=alert&label=host%3Da&until=2026-03-01T12:01:01Z&limit=2").await;
    let fired = &fired["data"]["records"][1];
    assert_eq!((&fired["facts"]["value"], &fired["facts"]["rule"]), (&1240.5.into(), &"rules/shop.yaml:3".into()));
    let (code, error) = get(&address, "/api/v1/history?limit=5000").await;
    assert_eq!((code, &error["errorType"]), (400, &"bad_data".into()));

    let text = reqwest::get(format!("{address}/metrics")).await.expect("an answer").text().await.expect("text");
    for line in [
        "foghorn_history_records_total{kind=\"alert\"} 6.0",
        "foghorn_history_dropped_total{reason=\"disk_full\"} 0.0",
        "foghorn_history_last_write_age_seconds ",
        "foghorn_history_bytes ",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let page = reqwest::get(format!("{address}/live")).await.expect("an answer").text().await.expect("text");
    assert!(page.contains("<h2>History</h2>") && page.contains("p99 &#62; 800 (1240)"), "{page}");

    let none = serve(Arc::new(Status::new(1, WallTime(NOON)))).await;
    let (code, error) = get(&none, "/api/v1/history").await;
    assert_eq!((code, &error["error"]), (404, &"no history is kept; name a `state.dir` in the configuration".into()));
}

async fn serve(status: Arc<Status>) -> String {
    let listener = Api::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    let plan = PlanInUse::new(Arc::new(Plan::build(&[], &[])));
    let api = Api { plan, reload: None, operators: None, status, title: "test".into() };
    tokio::spawn(api.serve(listener));
    address
}

async fn get(address: &str, path: &str) -> (u16, Value) {
    let answer = reqwest::get(format!("{address}{path}")).await.expect("an answer");
    let code = answer.status().as_u16();
    (code, serde_json::from_str(&answer.text().await.expect("text")).expect("JSON"))
}
