//! `foghorn run` where all rules are `local: true`: each partition is judged by itself, through reloads, and through
//! restarts after which rules are local that were not, or the other way round.

mod support;

use std::sync::LazyLock;
use std::time::Duration;

use support::cluster::{Cluster, Kind};
use support::live::{Live, MANY_ERRORS};
use support::wait::wait_until;

/// With a rule that stays pending.
static RULES: LazyLock<String> = LazyLock::new(|| format!("{MANY_ERRORS}{MORE}"));

const MORE: &str = "        annotations: { summary: many errors }
        local: true
      - alert: ForLong
        from: requests
        by: [service]
        window: 2s
        let: { requests: count(*) }
        when: requests > 0
        for: 1h
        annotations: { summary: first words }
        local: true
";

const STATE: &[&str] = &["--state", "state", "--no-watch"];

fn start(cluster: &Cluster) -> Live {
    Live::start(cluster, 2, "", &RULES, STATE)
}

/// Asks for a reload of these rules.
fn reload(live: &Live, rules: &str) -> (u16, String) {
    live.write("rules.yaml", rules);
    live.http("POST /-/reload")
}

fn errors_until_told(live: &Live, count: usize) {
    live.until_told(count, || live.keyed_request(503));
}

/// Requests of which nobody is to hear.
fn keep_on(live: &Live, status: u16) {
    live.keep_on(Duration::from_secs(2), || live.keyed_request(status));
}

/// When the timers of pending alerts began.
fn timers(live: &Live) -> Vec<String> {
    let (_, alerts) = live.http("GET /api/v1/alerts");
    let alerts: serde_json::Value = serde_json::from_str(&alerts).expect("JSON");
    let alerts = alerts["data"]["alerts"].as_array().expect("alerts").clone();
    let pending = alerts.into_iter().filter(|alert| alert["state"] == "pending");
    let mut since: Vec<String> = pending.map(|alert| format!("{} {}", alert["labels"], alert["activeAt"])).collect();
    since.sort();
    since
}

/// Two partitions fire, each for itself. What is edited after that is as it is for rules that are not local; only that
/// they are cannot be.
#[test]
fn a_reload_keeps_what_partitions_have() {
    let cluster = Cluster::start(Kind::Embedded).expect("it is built in");
    let live = start(&cluster);
    errors_until_told(&live, 2);
    let began = timers(&live);
    assert_eq!(began.len(), 2, "{began:?}");

    let (status, text) = reload(&live, &RULES.replace("many errors", "far too many").replace("first", "other"));
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("0 added, 0 removed, 2 changed, 0 unchanged"), "{text}");
    keep_on(&live, 503);
    assert_eq!(timers(&live), began, "`for` goes on: {}", live.log());

    let (status, text) = reload(&live, &RULES.replacen("        local: true\n", "", 1));
    assert_eq!(status, 409, "{text}");
    assert!(text.contains("ManyErrors (rules.yaml:5) is not `local: true`, and all rules were"), "{text}");

    let warming = RULES.replace("status >= 500", "status >= 501");
    let (status, text) = reload(&live, &warming);
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("ManyErrors (rules.yaml:5): it looks at other events"), "{text}");
    keep_on(&live, 503);
    assert_eq!(live.told(), ["ManyErrors firing"; 2], "{}", live.log());
    assert_eq!(timers(&live), began, "of the rule that is as it was: {}", live.log());

    let (head, tail) = RULES.split_once("      - alert: ManyErrors").expect("a rule");
    let (_, other) = tail.split_once("      - alert: ForLong").expect("another");
    let (status, text) = reload(&live, &format!("{head}      - alert: ForLong{other}"));
    assert_eq!(status, 200, "{text}");
    errors_until_told(&live, 4);
    keep_on(&live, 503);
    assert_eq!(&live.told()[2..], ["ManyErrors resolved"; 2], "{}", live.log());
    assert_eq!(live.log().matches("resolved, its rule was removed").count(), 2, "{}", live.log());
    assert_eq!(timers(&live), began);
    let (_, records) = live.http("GET /metrics");
    assert!(!records.contains("FoghornRuleNotLocal"), "{records}");
    assert_eq!(live.terminate().0.code(), Some(0));
}

/// What fires ends when nobody is left who would speak of it, and is told once, though the topic through which partitions
/// move still holds what was when rules were local first.
#[test]
fn rules_that_cease_to_be_local_and_become_it_again_end_what_fires() {
    let cluster = Cluster::start(Kind::Embedded).expect("it is built in");
    let mut live = start(&cluster);
    for (switches, rules) in [(1, &*RULES.replace("        local: true\n", "")), (2, &RULES)] {
        errors_until_told(&live, 4 * switches - 2);
        keep_on(&live, 503); // what is killed before it knows the answer tells again
        live.write("rules.yaml", rules);
        live.kill_and_start();
        live.until_told(4 * switches, || live.keyed_request(200));
        keep_on(&live, 200);
        let episodes = [["ManyErrors firing"; 2], ["ManyErrors resolved"; 2]].concat();
        assert_eq!(live.told(), episodes.repeat(switches), "{}", live.log());
        let ended =
            |line: &&str| line.contains("ManyErrors") && line.contains("resolved, `local` of the rules changed");
        assert_eq!(live.log().lines().filter(ended).count(), 2, "{}", live.log());
    }
    errors_until_told(&live, 10);
    assert_eq!(&live.told()[8..], ["ManyErrors firing"; 2], "{}", live.log());
}

/// Whoever watches it learns what it waits for.
#[test]
fn while_kafka_is_away_it_says_what_it_waits_for() {
    let cluster = Cluster::start(Kind::Embedded).expect("it is built in");
    let Cluster::Embedded(embedded) = &cluster else { unreachable!() };
    let mut live = start(&cluster);
    wait_until("the first start", || live.http("GET /readyz").0 == 200);
    embedded.broker_down(None).expect("a broker");
    live.kill_and_start();
    wait_until("the reason", || {
        let (status, text) = live.http("GET /readyz");
        assert_eq!(status, 503, "{text}");
        text.contains("through which partitions move") && text.contains("keeps trying")
    });
    embedded.broker_up(None).expect("a broker");
    wait_until("Kafka", || live.http("GET /readyz").0 == 200);
}
