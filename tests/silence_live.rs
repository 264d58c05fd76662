//! What people on call ask of a running Foghorn: silences over the command line and the API, through `kill -9`, and what
//! is on record of it.

mod support;

use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;
use support::cluster::{Cluster, Kind};
use support::live::{Live, MANY_ERRORS};

/// `foghorn silence …` against the process: exit code, standard output, standard error.
fn silence(live: &Live, args: &[&str]) -> (i32, String, String) {
    let output = Command::cargo_bin("foghorn")
        .expect("the program is built")
        .args(["silence", "--url", &format!("http://{}", live.address())])
        .args(args)
        .env("USER", "ada")
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8").trim_end().to_owned();
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}

fn post(live: &Live, body: &Value) -> (u16, Value) {
    ask(live, |client, url| client.post(url).json(body))
}

fn ask(live: &Live, how: impl FnOnce(reqwest::Client, String) -> reqwest::RequestBuilder) -> (u16, Value) {
    let url = format!("http://{}/api/v1/silences", live.address());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let answer = how(reqwest::Client::new(), url).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    })
}

fn get(live: &Live, path: &str) -> String {
    live.http(&format!("GET {path}")).1
}

/// Errors come for a while, and go on coming.
fn errors_for(live: &Live, time: Duration) {
    live.keep_on(time, || live.request(503));
}

fn fires(live: &Live) -> bool {
    get(live, "/api/v1/alerts").contains("\"state\":\"firing\"")
}

/// What fires under a silence is told to nobody, though the process is killed right after it has confirmed the silence;
/// when the silence is ended, it is told. Who did what is on record.
#[test]
fn a_silence_that_was_confirmed_outlives_the_process() {
    let cluster = Cluster::start(Kind::Embedded).expect("it is built in");
    let mut live = Live::start(&cluster, 2, "", MANY_ERRORS, &["--state", "state", "--no-watch"]);
    let add = ["add", "service=\"cart\"", "--for", "2h", "--comment", "deploy 42"];
    let (code, id, err) = silence(&live, &add);
    assert_eq!((code, id.len(), &*err), (0, 36, ""), "{id}: {}", live.log());
    live.kill_and_start();
    let (_, listed, _) = silence(&live, &["list"]);
    assert!(listed.starts_with(&format!("{id}  active ")), "{listed}");
    assert!(listed.ends_with("service=\"cart\"  ada: deploy 42"), "{listed}");

    live.until("it fires", || fires(&live), || live.request(503));
    errors_for(&live, Duration::from_secs(2));
    assert!(live.told().is_empty(), "{}", live.log());
    assert!(get(&live, "/api/v1/alerts").contains(&format!("\"silencedBy\":\"{id}\"")));
    let page = get(&live, "/live");
    assert!(page.contains("nobody: silenced by ada until") && page.contains("<h2>Silences"), "{page}");
    let metrics = get(&live, "/metrics");
    assert!(metrics.contains("foghorn_silences{state=\"active\"} 1.0"), "{metrics}");
    assert!(metrics.contains("foghorn_notifications_suppressed_total{reason=\"silenced\"} 1"), "{metrics}");

    live.kill_and_start();
    live.until("it still fires", || fires(&live), || live.request(503));
    errors_for(&live, Duration::from_secs(2));
    assert!(live.told().is_empty(), "{}", live.log());
    let (code, said, err) = silence(&live, &["expire", &id, "--by", "bob"]);
    assert_eq!((code, &*said, &*err), (0, &*format!("{id} is over"), ""));
    live.until_told(1, || live.request(503));
    assert_eq!(live.told(), ["ManyErrors firing"], "{}", live.log());
    assert_eq!(silence(&live, &["expire", &id]).1, format!("{id} was over already"));
    assert_eq!(live.http("POST /-/reload").0, 200);
    live.hang_up();

    let operators = || {
        let history: Value = serde_json::from_str(&get(&live, "/api/v1/history?kind=operator")).expect("JSON");
        let records = history["data"]["records"].as_array().expect("records").clone();
        let text = |record: &Value, field: &str| record[field].as_str().unwrap_or("-").to_owned();
        let line = |r: &Value| format!("{} {} {}", text(r, "what"), text(r, "who"), text(r, "from"));
        records.iter().rev().map(line).collect::<Vec<_>>()
    };
    live.until("all is on record", || operators().len() >= 5, || ());
    assert_eq!(
        operators(),
        [
            "silence_created ada 127.0.0.1",
            "silence_expired bob 127.0.0.1",
            "silence_expired_before ada 127.0.0.1",
            "reload a request 127.0.0.1",
            "reload SIGHUP -",
        ]
    );
    let (_, _, folder) = live.terminate();
    let history = Command::cargo_bin("foghorn").expect("built");
    let output = { history }.args(["history", "--kind", "operator", "--state", "state"]).current_dir(&folder).output();
    let text = String::from_utf8(output.expect("it runs").stdout).expect("UTF-8");
    let created = format!("silence_created  ada (127.0.0.1): {id} {{service=\"cart\"}} until ");
    assert!(text.contains(&created) && text.contains("by ada: deploy 42"), "{text}");
    assert!(text.contains("reload         a request (127.0.0.1): applied; "), "{text}");
}

/// Body, status, and a part of the reason.
const REFUSED: &[(&str, u16, &str)] = &[
    (r#"{"matchers":["a=b"],"createdBy":"ada"}"#, 400, "nothing says when it ends"),
    (
        r#"{"matchers":["a=b"],"createdBy":"ada","for":"1h","endsAt":"2100-01-01T00:00:00Z"}"#,
        400,
        "both say when it ends",
    ),
    (r#"{"matchers":["a=b"],"createdBy":"ada","endsAt":"2020-01-01T00:00:00Z"}"#, 400, "it would end at 2020"),
    (r#"{"matchers":["a=b"],"createdBy":"ada","endsAt":"soon"}"#, 400, "which is not a time"),
    (r#"{"matchers":["a=b"],"createdBy":" ","for":"1h"}"#, 400, "say who wants this"),
    (r#"{"matchers":["a=~.*"],"createdBy":"ada","for":"1h"}"#, 400, "would hide everything"),
    (r#"{"matchers":["a"],"createdBy":"ada","for":"1h"}"#, 400, "has no operator"),
    (r#"{"matchers":[{"name":"","value":"b"}],"createdBy":"ada","for":"1h"}"#, 400, "does not start with a label"),
    (
        r#"{"matchers":[{"name":"a","value":"(","isRegex":true}],"createdBy":"ada","for":"1h"}"#,
        400,
        "bad regular expression",
    ),
    (r#"{"matchers":["a=b"],"createdBy":"ada","for":"1h","untill":"x"}"#, 422, "untill"),
    (r#"{"id":"7","matchers":["a=b"],"createdBy":"ada","for":"1h"}"#, 400, "is not the id of a silence"),
    (
        r#"{"id":"01234567-89ab-4def-8123-456789abcdef","matchers":["a=b"],"createdBy":"ada","for":"1h"}"#,
        404,
        "there is no silence",
    ),
];

/// Without a state directory it is done all the same, and said that a restart forgets it. What cannot be had says why.
#[test]
fn where_no_state_is_kept_the_answer_says_so() {
    let cluster = Cluster::start(Kind::Embedded).expect("it is built in");
    let live = Live::start(&cluster, 1, "", MANY_ERRORS, &[]);
    let (code, id, err) = silence(&live, &["add", "a=b", "c!~d", "--for", "1h", "--comment", ""]);
    assert_eq!((code, id.len()), (0, 36));
    assert!(err.contains("a restart forgets it"), "{err}");
    let matchers = serde_json::json!([
        { "name": "a", "value": "b" },
        { "name": "c", "value": "d", "isRegex": true, "isEqual": false },
    ]);
    let body = serde_json::json!({ "id": id, "matchers": matchers, "createdBy": "bob", "for": "2h" });
    let (status, answer) = post(&live, &body);
    assert_eq!((status, &answer["data"]["done"]), (200, &"silence_changed".into()), "{answer}");
    assert_eq!((&answer["data"]["silenceID"], &answer["data"]["durable"]), (&id.clone().into(), &false.into()));
    let (_, all) = ask(&live, |client, url| client.get(url + "?state=active"));
    let silence_by: Vec<&Value> =
        all["data"]["silences"].as_array().expect("a list").iter().map(|silence| &silence["createdBy"]).collect();
    assert_eq!(silence_by, ["bob"]);
    assert_eq!(ask(&live, |client, url| client.get(url + "?state=gone")).0, 400);
    for (body, status, text) in REFUSED {
        let (found, answer) = post(&live, &serde_json::from_str(body).expect("JSON"));
        let error = answer["error"].as_str().unwrap_or("none");
        assert_eq!((found, error.contains(text)), (*status, true), "{body}: {answer}");
    }
    let (code, _, err) = silence(&live, &["expire", "01234567-89ab-4def-8123-456789abcdef"]);
    assert_eq!((code, err.contains("there is no silence")), (2, true), "{err}");
    let (code, _, err) = silence(&live, &["add", "a", "--for", "1h", "--comment", "x"]);
    assert_eq!((code, err.contains("`a` is no matcher")), (2, true), "{err}");
}
