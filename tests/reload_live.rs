//! `foghorn run` while its files are edited: by request, by signal, by the files themselves.

mod support;

use std::fs;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rstest::rstest;
use support::cluster::{Cluster, Kind};
use support::live::{BEAT, Live, MANY_ERRORS};
use support::wait::wait_until;

/// With a rule that asks for more than ever comes.
static RULES: LazyLock<String> = LazyLock::new(|| format!("{MANY_ERRORS}{MORE}"));

const MORE: &str = "        annotations: { summary: many errors }
      - alert: Traffic
        from: requests
        window: 2s
        let: { requests: count(*) }
        when: requests > 1000000
";

/// All of an hour, so that what is read twice or not at all is seen.
const COUNTING: &str = "\
groups:
  - name: counting
    interval: 500ms
    rules:
      - alert: AllOfThem
        from: requests
        window: 1h
        let: { requests: count(*) }
        when: requests >= 4000
        annotations: { summary: first }
      - alert: TooMany
        from: requests
        window: 1h
        let: { requests: count(*) }
        when: requests > 4000
";

/// Errors come until `done`, or for too long.
fn errors_until(live: &Live, what: &str, done: impl FnMut() -> bool) {
    live.until(what, done, || live.request(503));
}

/// Errors go on for a while, of which nobody is to hear.
fn errors_for(live: &Live, time: Duration) {
    live.keep_on(time, || live.request(503));
}

fn reload(live: &Live) -> (u16, String) {
    live.http("POST /-/reload")
}

/// How often the log says that it was reloaded.
fn reloads(live: &Live) -> usize {
    live.log().matches("reloaded").count() - live.log().matches("nothing was reloaded").count()
}

/// An alert fires. Its words are changed, its file is broken, what cannot be changed is changed: nobody hears of it. Its
/// rule is taken away: it is over, and why.
#[rstest]
#[case::with_state(&["--state", "state", "--no-watch"])]
#[case::without_state(&["--no-watch"])]
fn an_edit_pages_nobody_and_a_removed_rule_ends_its_alerts(#[case] args: &[&str]) {
    let cluster = Cluster::start(Kind::Embedded).expect("it is built in");
    let live = Live::start(&cluster, 2, "", &RULES, args);
    errors_until(&live, "it fires", || !live.told().is_empty());

    live.write("rules.yaml", &RULES.replace("many errors", "far too many errors"));
    let (status, text) = reload(&live);
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("0 added, 0 removed, 1 changed, 1 unchanged"), "{text}");
    assert!(text.contains("changed ManyErrors (rules.yaml:5): all state is kept"), "{text}");
    errors_for(&live, Duration::from_secs(2));

    live.write("rules.yaml", &RULES.replace("count(*)", "cuont(*)"));
    let (status, text) = reload(&live);
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("rules.yaml:") && text.contains("cuont"), "{text}");
    let (_, metrics) = live.http("GET /metrics");
    assert!(metrics.contains("foghorn_config_last_reload_successful{} 0.0"), "{metrics}");
    assert!(metrics.contains("foghorn_config_reloads_total{outcome=\"invalid\"} 1"), "{metrics}");

    live.write("rules.yaml", &RULES);
    let config = fs::read_to_string(live.folder.path().join("foghorn.yaml")).expect("it is there");
    live.write(
        "foghorn.yaml",
        &config.replace("group: ", "group: another-").replace("lateness: 200ms", "lateness: 1s"),
    );
    let (status, text) = reload(&live);
    assert_eq!(status, 409, "{text}");
    assert!(text.contains("`kafka.group` changed") && text.contains("stream `requests` changed"), "{text}");
    live.write("foghorn.yaml", &config);

    let before = reloads(&live);
    live.hang_up();
    errors_until(&live, "SIGHUP reloads", || reloads(&live) > before);
    errors_for(&live, Duration::from_secs(1));
    assert_eq!(live.told(), ["ManyErrors firing"], "{}", live.log());

    let (head, tail) = RULES.split_once("      - alert: ManyErrors").expect("a rule");
    let (_, traffic) = tail.split_once("      - alert: Traffic").expect("another");
    live.write("rules.yaml", &format!("{head}      - alert: Traffic{traffic}"));
    let (status, text) = reload(&live);
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("removed ManyErrors"), "{text}");
    errors_until(&live, "it is over", || live.told().len() > 1);
    errors_for(&live, Duration::from_secs(1));
    assert_eq!(live.told(), ["ManyErrors firing", "ManyErrors resolved"], "{}", live.log());
    assert!(live.log().contains("its rule was removed"), "why it is over: {}", live.log());
    let (_, rules) = live.http("GET /api/v1/rules");
    assert!(rules.contains("Traffic") && !rules.contains("ManyErrors"), "{rules}");
}

/// Requests come as fast as they can while the rules are edited again and again. Every one is counted, once.
#[test]
fn no_event_is_lost_or_counted_twice() {
    let cluster = Cluster::start(Kind::Embedded).expect("it is built in");
    let live = Live::start(&cluster, 2, "", COUNTING, &["--state", "state"]);
    live.request(200);
    let sent = AtomicUsize::new(1);
    let mut editions = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while sent.load(Ordering::Relaxed) < 2_000 {
                live.request(200);
                sent.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        while sent.load(Ordering::Relaxed) < 2_000 {
            live.write("rules.yaml", &COUNTING.replace("first", &format!("edition {editions}")));
            let (status, text) = reload(&live);
            assert_eq!(status, 200, "{text}");
            editions += 1;
            std::thread::sleep(BEAT);
        }
    });
    assert!(editions >= 5, "{editions} reloads");
    wait_until("all requests", || !live.told().is_empty());
    live.keep_on(Duration::from_secs(2), || ());
    assert_eq!(live.told(), ["AllOfThem firing"], "after {editions} reloads: {}", live.log());
}

/// Whoever edits a file need not say so.
#[test]
fn a_file_that_changes_is_gone_by() {
    let cluster = Cluster::start(Kind::Embedded).expect("it is built in");
    let live = Live::start(&cluster, 2, "", &RULES, &[]);
    errors_until(&live, "it fires", || !live.told().is_empty());
    live.write("rules.yaml", &RULES.replace("errors >= 10", "errors >= 1000000"));
    errors_until(&live, "it is over", || live.told().len() > 1);
    assert_eq!(live.told(), ["ManyErrors firing", "ManyErrors resolved"], "{}", live.log());
    assert_eq!(reloads(&live), 1, "reading files is no change of them: {}", live.log());
}
