//! The desk's behaviour as scripts and what they say. `UPDATE_EXPECT=1` rewrites the answers; read the diff.

use expect_test::{Expect, expect};

use super::world::run;

fn check(script: &str, expect: Expect) {
    let story = run(script);
    assert_eq!(story, run(script), "the same inputs give the same story");
    expect.assert_eq(&story);
}

/// One receiver with two integrations, everything by alert name.
const OPS: &str = "receiver ops slack mail\nroute ops by:alertname\n";

fn ops(script: &str, expect: Expect) {
    check(&format!("{OPS}{script}"), expect);
}

#[test]
fn a_burst_is_one_message_and_its_end_another() {
    ops(
        "
        0s   fire     Slow{host=a}
        10s  fire     Slow{host=b}
        29s  fire     Slow{host=c}
        2m   resolve  Slow{host=a} Slow{host=b}
        10m  resolve  Slow{host=c}
        20m  end
        ",
        expect![[r#"
                   0s  {}:{alertname="Slow"} waits: group_wait until 00:00:30
                  30s  → ops/slack #1 New firing Slow{host="a"} Slow{host="b"} Slow{host="c"}
                  30s  → ops/mail #1 New firing Slow{host="a"} Slow{host="b"} Slow{host="c"}
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
             30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
                   2m  {}:{alertname="Slow"} waits: group_interval until 00:05:30
                5m30s  → ops/slack #2 Changed firing Slow{host="c"} resolved Slow{host="a"} Slow{host="b"} in thread t0
                5m30s  → ops/mail #2 Changed firing Slow{host="c"} resolved Slow{host="a"} Slow{host="b"} in thread t0
            5m30s100ms  {}:{alertname="Slow"} #2 arrived at ops/slack, attempt 1, took 100ms
            5m30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:05:30
            5m30s100ms  {}:{alertname="Slow"} #2 arrived at ops/mail, attempt 1, took 100ms
                  10m  {}:{alertname="Slow"} waits: group_interval until 00:10:30
               10m30s  → ops/slack #3 AllResolved resolved Slow{host="c"} in thread t0
               10m30s  → ops/mail #3 AllResolved resolved Slow{host="c"} in thread t0
            10m30s100ms  {}:{alertname="Slow"} #3 arrived at ops/slack, attempt 1, took 100ms
            10m30s100ms  {}:{alertname="Slow"} #3 arrived at ops/mail, attempt 1, took 100ms
            10m30s100ms  closed {}:{alertname="Slow"} after 3 notifications
        "#]],
    );
}

#[test]
fn the_same_signal_twice_is_one_alert() {
    ops(
        "
        0s   fire     Slow{host=a}
        0s   fire     Slow{host=a}
        5s   refresh  Slow{host=a} 0s
        2m   refresh  Slow{host=a} 0s
        1h   counts
        ",
        expect![[r#"
                   0s  {}:{alertname="Slow"} waits: group_wait until 00:00:30
                  30s  → ops/slack #1 New firing Slow{host="a"}
                  30s  → ops/mail #1 New firing Slow{host="a"}
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
             30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
                   1h  | DeskCounts { pending: 0, firing: 1, resolved: 0, refused: 0, groups: 1, owed: 0, dead_letters: 0 }
        "#]],
    );
}

#[test]
fn pending_alerts_are_known_and_told_to_nobody() {
    ops(
        "
        show all
        0s   pending  Slow{host=a} Slow{host=b}
        1m   drop     Slow{host=a}
        2m   fire     Slow{host=b}
        2m   counts
        10m  end
        ",
        expect![[r#"
                   0s  alert Slow{host="a"} pending at 00:00:00
                   0s  alert Slow{host="b"} pending at 00:00:00
                   1m  alert Slow{host="a"} dropped before it fired at 00:01:00
                   2m  alert Slow{host="b"} firing at 00:02:00
                   2m  opened {}:{alertname="Slow"} for ops since 00:02:00
                   2m  Slow{host="b"} joins {}:{alertname="Slow"} for ops
                   2m  {}:{alertname="Slow"} waits: group_wait until 00:02:30
                   2m  | DeskCounts { pending: 0, firing: 1, resolved: 0, refused: 0, groups: 1, owed: 0, dead_letters: 0 }
                2m30s  {}:{alertname="Slow"} #1 to ops/slack, ops/mail: new, 1 firing, 0 resolved
                2m30s  {}:{alertname="Slow"} #1 → ops/slack, attempt 1 (delivery 1)
                2m30s  → ops/slack #1 New firing Slow{host="b"}
                2m30s  {}:{alertname="Slow"} #1 → ops/mail, attempt 1 (delivery 2)
                2m30s  → ops/mail #1 New firing Slow{host="b"}
            2m30s100ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            2m30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:02:30
            2m30s100ms  {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
        "#]],
    );
}

#[test]
fn what_ends_before_anyone_was_told_is_told_to_nobody_and_the_journal_says_so() {
    ops(
        "
        0s   fire     Slow{host=a}
        10s  resolve  Slow{host=a}
        5m   explain  Slow{host=a}
        ",
        expect![[r#"
                   0s  {}:{alertname="Slow"} waits: group_wait until 00:00:30
                  10s  nobody hears of Slow{host="a"}: it ended before anyone was told
                  30s  {}:{alertname="Slow"} says nothing to ops/slack: everything ended within group_wait
                  30s  {}:{alertname="Slow"} says nothing to ops/mail: everything ended within group_wait
                  30s  closed {}:{alertname="Slow"} after 0 notifications
                   5m  | 00:00:00  alert Slow{host="a"} firing at 00:00:00
                   5m  | 00:00:00  opened {}:{alertname="Slow"} for ops since 00:00:00
                   5m  | 00:00:00  Slow{host="a"} joins {}:{alertname="Slow"} for ops
                   5m  | 00:00:00  {}:{alertname="Slow"} waits: group_wait until 00:00:30
                   5m  | 00:00:10  alert Slow{host="a"} resolved at 00:00:10
                   5m  | 00:00:10  nobody hears of Slow{host="a"}: it ended before anyone was told
                   5m  | 00:00:30  {}:{alertname="Slow"} says nothing to ops/slack: everything ended within group_wait
                   5m  | 00:00:30  {}:{alertname="Slow"} says nothing to ops/mail: everything ended within group_wait
                   5m  | 00:00:30  closed {}:{alertname="Slow"} after 0 notifications
        "#]],
    );
}

#[test]
fn an_alert_that_flaps_within_group_wait_does_not_escape() {
    ops(
        "
        0s   fire     Slow{host=a}
        10s  resolve  Slow{host=a}
        25s  fire     Slow{host=a}
        1m   end
        ",
        expect![[r#"
                   0s  {}:{alertname="Slow"} waits: group_wait until 00:00:30
                  10s  nobody hears of Slow{host="a"}: it ended before anyone was told
                  30s  → ops/slack #1 New firing Slow{host="a"}
                  30s  → ops/mail #1 New firing Slow{host="a"}
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
             30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
        "#]],
    );
}

#[test]
fn flapping_between_two_notifications_is_no_news() {
    ops(
        "
        0s   fire     Slow{host=a}
        1m   resolve  Slow{host=a}
        2m   fire     Slow{host=a}
        3m   resolve  Slow{host=a}
        4m   fire     Slow{host=a}
        10m  end
        ",
        expect![[r#"
                   0s  {}:{alertname="Slow"} waits: group_wait until 00:00:30
                  30s  → ops/slack #1 New firing Slow{host="a"}
                  30s  → ops/mail #1 New firing Slow{host="a"}
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
             30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
                   1m  {}:{alertname="Slow"} waits: group_interval until 00:05:30
                5m30s  {}:{alertname="Slow"} says nothing to ops/slack: what changed changed back
                5m30s  {}:{alertname="Slow"} says nothing to ops/mail: what changed changed back
                5m30s  {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
        "#]],
    );
}

#[test]
fn an_alert_that_fires_again_after_its_end_was_told_starts_a_new_life_with_new_keys() {
    ops(
        "
        show all
        0s   fire     Slow{host=a}
        1m   resolve  Slow{host=a}
        10m  fire     Slow{host=a}
        20m  end
        ",
        expect![[r#"
                   0s  alert Slow{host="a"} firing at 00:00:00
                   0s  opened {}:{alertname="Slow"} for ops since 00:00:00
                   0s  Slow{host="a"} joins {}:{alertname="Slow"} for ops
                   0s  {}:{alertname="Slow"} waits: group_wait until 00:00:30
                  30s  {}:{alertname="Slow"} #1 to ops/slack, ops/mail: new, 1 firing, 0 resolved
                  30s  {}:{alertname="Slow"} #1 → ops/slack, attempt 1 (delivery 1)
                  30s  → ops/slack #1 New firing Slow{host="a"}
                  30s  {}:{alertname="Slow"} #1 → ops/mail, attempt 1 (delivery 2)
                  30s  → ops/mail #1 New firing Slow{host="a"}
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
             30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
                   1m  alert Slow{host="a"} resolved at 00:01:00
                   1m  {}:{alertname="Slow"} waits: group_interval until 00:05:30
                5m30s  {}:{alertname="Slow"} #2 to ops/slack, ops/mail: all resolved, 0 firing, 1 resolved
                5m30s  {}:{alertname="Slow"} #2 → ops/slack, attempt 1 (delivery 3)
                5m30s  → ops/slack #2 AllResolved resolved Slow{host="a"} in thread t0
                5m30s  {}:{alertname="Slow"} #2 → ops/mail, attempt 1 (delivery 4)
                5m30s  → ops/mail #2 AllResolved resolved Slow{host="a"} in thread t0
            5m30s100ms  {}:{alertname="Slow"} #2 arrived at ops/slack, attempt 1, took 100ms
            5m30s100ms  {}:{alertname="Slow"} #2 arrived at ops/mail, attempt 1, took 100ms
            5m30s100ms  closed {}:{alertname="Slow"} after 2 notifications
                  10m  alert Slow{host="a"} firing at 00:10:00
                  10m  opened {}:{alertname="Slow"} for ops since 00:10:00
                  10m  Slow{host="a"} joins {}:{alertname="Slow"} for ops
                  10m  {}:{alertname="Slow"} waits: group_wait until 00:10:30
               10m30s  {}:{alertname="Slow"} #1 to ops/slack, ops/mail: new, 1 firing, 0 resolved
               10m30s  {}:{alertname="Slow"} #1 → ops/slack, attempt 1 (delivery 5)
               10m30s  → ops/slack #1 New firing Slow{host="a"}
               10m30s  {}:{alertname="Slow"} #1 → ops/mail, attempt 1 (delivery 6)
               10m30s  → ops/mail #1 New firing Slow{host="a"}
            10m30s100ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            10m30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:10:30
            10m30s100ms  {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
        "#]],
    );
}

#[test]
fn an_episode_whose_end_got_lost_is_journalled_and_no_news() {
    ops(
        "
        show all
        0s   fire     Slow{host=a}
        2m   fire     Slow{host=a}
        10m  end
        ",
        expect![[r#"
                   0s  alert Slow{host="a"} firing at 00:00:00
                   0s  opened {}:{alertname="Slow"} for ops since 00:00:00
                   0s  Slow{host="a"} joins {}:{alertname="Slow"} for ops
                   0s  {}:{alertname="Slow"} waits: group_wait until 00:00:30
                  30s  {}:{alertname="Slow"} #1 to ops/slack, ops/mail: new, 1 firing, 0 resolved
                  30s  {}:{alertname="Slow"} #1 → ops/slack, attempt 1 (delivery 1)
                  30s  → ops/slack #1 New firing Slow{host="a"}
                  30s  {}:{alertname="Slow"} #1 → ops/mail, attempt 1 (delivery 2)
                  30s  → ops/mail #1 New firing Slow{host="a"}
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
             30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
                   2m  alert Slow{host="a"} firing anew (its episode of 00:00:00 never ended) at 00:02:00
                   2m  Slow{host="a"} joins {}:{alertname="Slow"} for ops
        "#]],
    );
}

#[test]
fn nothing_new_is_repeated_after_repeat_interval_only() {
    check(
        "
        receiver ops slack
        route ops by:alertname repeat:1h
        0s   fire     Slow{host=a}
        90m  fire     Slow{host=b}
        4h   end
        ",
        expect![[r#"
                   0s  {}:{alertname="Slow"} waits: group_wait until 00:00:30
                  30s  → ops/slack #1 New firing Slow{host="a"}
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
             30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 01:00:30
                1h30s  → ops/slack #2 Repeat firing Slow{host="a"} in thread t0
            1h30s100ms  {}:{alertname="Slow"} #2 arrived at ops/slack, attempt 1, took 100ms
            1h30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 02:00:30
                1h30m  {}:{alertname="Slow"} waits: group_wait until 01:30:30
             1h30m30s  → ops/slack #3 Changed firing Slow{host="a"} Slow{host="b"} in thread t0
            1h30m30s100ms  {}:{alertname="Slow"} #3 arrived at ops/slack, attempt 1, took 100ms
            1h30m30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 02:30:30
             2h30m30s  → ops/slack #4 Repeat firing Slow{host="a"} Slow{host="b"} in thread t0
            2h30m30s100ms  {}:{alertname="Slow"} #4 arrived at ops/slack, attempt 1, took 100ms
            2h30m30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 03:30:30
             3h30m30s  → ops/slack #5 Repeat firing Slow{host="a"} Slow{host="b"} in thread t0
            3h30m30s100ms  {}:{alertname="Slow"} #5 arrived at ops/slack, attempt 1, took 100ms
            3h30m30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:30:30
        "#]],
    );
}

#[test]
fn news_of_a_quiet_group_waits_for_company_not_for_the_clock() {
    ops(
        "
        0s      fire  Slow{host=a}
        31m     fire  Slow{host=b}
        31m10s  fire  Slow{host=c}
        32m     fire  Slow{host=d}
        40m     end
        ",
        expect![[r#"
                   0s  {}:{alertname="Slow"} waits: group_wait until 00:00:30
                  30s  → ops/slack #1 New firing Slow{host="a"}
                  30s  → ops/mail #1 New firing Slow{host="a"}
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
             30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
                  31m  {}:{alertname="Slow"} waits: group_wait until 00:31:30
               31m30s  → ops/slack #2 Changed firing Slow{host="a"} Slow{host="b"} Slow{host="c"} in thread t0
               31m30s  → ops/mail #2 Changed firing Slow{host="a"} Slow{host="b"} Slow{host="c"} in thread t0
            31m30s100ms  {}:{alertname="Slow"} #2 arrived at ops/slack, attempt 1, took 100ms
            31m30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:31:30
            31m30s100ms  {}:{alertname="Slow"} #2 arrived at ops/mail, attempt 1, took 100ms
                  32m  {}:{alertname="Slow"} waits: group_interval until 00:36:30
               36m30s  → ops/slack #3 Changed firing Slow{host="a"} Slow{host="b"} Slow{host="c"} Slow{host="d"} in thread t0
               36m30s  → ops/mail #3 Changed firing Slow{host="a"} Slow{host="b"} Slow{host="c"} Slow{host="d"} in thread t0
            36m30s100ms  {}:{alertname="Slow"} #3 arrived at ops/slack, attempt 1, took 100ms
            36m30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:36:30
            36m30s100ms  {}:{alertname="Slow"} #3 arrived at ops/mail, attempt 1, took 100ms
        "#]],
    );
}

#[test]
fn routes_decide_who_hears_and_continue_lets_several() {
    check(
        r#"
        receiver ops    slack
        receiver pager  pagerduty
        receiver audit  webhook
        receiver null
        route ops by:alertname
        route pager {severity="critical"} wait:0s by:... continue
        route audit {team=~"pay.*"} wait:5s
        route null  {severity="info"}
        0s   fire  Slow{severity=critical,team=payments,host=a} Slow{severity=critical,team=shop,host=b}
        1m   fire  Chatty{severity=info}
        2m   fire  Slow{severity=warning}
        5m   resolve  Chatty{severity=info}
        10m  end
        "#,
        expect![[r#"
                   0s  {}/{team=~"pay.*"}:{alertname="Slow"} waits: group_wait until 00:00:05
                   0s  → pager/pagerduty #1 New firing Slow{host="a", severity="critical", team="payments"}
                   0s  → pager/pagerduty #1 New firing Slow{host="b", severity="critical", team="shop"}
                100ms  {}/{severity="critical"}:{alertname="Slow", host="a", severity="critical", team="payments"} #1 arrived at pager/pagerduty, attempt 1, took 100ms
                100ms  {}/{severity="critical"}:{alertname="Slow", host="a", severity="critical", team="payments"} waits: repeat_interval until 04:00:00
                100ms  {}/{severity="critical"}:{alertname="Slow", host="b", severity="critical", team="shop"} #1 arrived at pager/pagerduty, attempt 1, took 100ms
                100ms  {}/{severity="critical"}:{alertname="Slow", host="b", severity="critical", team="shop"} waits: repeat_interval until 04:00:00
                   5s  → audit/webhook #1 New firing Slow{host="a", severity="critical", team="payments"}
              5s100ms  {}/{team=~"pay.*"}:{alertname="Slow"} #1 arrived at audit/webhook, attempt 1, took 100ms
              5s100ms  {}/{team=~"pay.*"}:{alertname="Slow"} waits: repeat_interval until 04:00:05
                   1m  nobody hears of Chatty{severity="info"}: its receiver has no integrations
                   2m  {}:{alertname="Slow"} waits: group_wait until 00:02:30
                2m30s  → ops/slack #1 New firing Slow{severity="warning"}
            2m30s100ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            2m30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:02:30
                   5m  closed {}/{severity="info"}:{alertname="Chatty"} after 0 notifications
        "#]],
    );
}

#[test]
fn an_integration_that_wants_no_ends_gets_none_and_stays_right() {
    check(
        "
        receiver ops slack:quiet mail
        route ops by:alertname
        0s   fire     Slow{host=a} Slow{host=b}
        1m   resolve  Slow{host=a}
        6m   fire     Slow{host=a}
        20m  resolve  Slow{host=a} Slow{host=b}
        40m  end
        ",
        expect![[r#"
                   0s  {}:{alertname="Slow"} waits: group_wait until 00:00:30
                  30s  → ops/slack #1 New firing Slow{host="a"} Slow{host="b"}
                  30s  → ops/mail #1 New firing Slow{host="a"} Slow{host="b"}
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
             30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
                   1m  {}:{alertname="Slow"} waits: group_interval until 00:05:30
                5m30s  {}:{alertname="Slow"} says nothing to ops/slack: alerts ended, and send_resolved is off
                5m30s  {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
                5m30s  → ops/mail #2 Changed firing Slow{host="b"} resolved Slow{host="a"} in thread t0
            5m30s100ms  {}:{alertname="Slow"} #2 arrived at ops/mail, attempt 1, took 100ms
            5m30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:05:30
                   6m  {}:{alertname="Slow"} waits: group_wait until 00:06:30
                   6m  {}:{alertname="Slow"} waits: group_interval until 00:10:30
                6m30s  → ops/slack #3 Changed firing Slow{host="a"} Slow{host="b"} in thread t0
            6m30s100ms  {}:{alertname="Slow"} #3 arrived at ops/slack, attempt 1, took 100ms
            6m30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:06:30
               10m30s  → ops/mail #4 Changed firing Slow{host="a"} Slow{host="b"} in thread t0
            10m30s100ms  {}:{alertname="Slow"} #4 arrived at ops/mail, attempt 1, took 100ms
            10m30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:10:30
                  20m  {}:{alertname="Slow"} waits: group_wait until 00:20:30
               20m30s  {}:{alertname="Slow"} says nothing to ops/slack: alerts ended, and send_resolved is off
               20m30s  → ops/mail #5 AllResolved resolved Slow{host="a"} Slow{host="b"} in thread t0
            20m30s100ms  {}:{alertname="Slow"} #5 arrived at ops/mail, attempt 1, took 100ms
            20m30s100ms  closed {}:{alertname="Slow"} after 5 notifications
        "#]],
    );
}

#[test]
fn a_receiver_that_fails_is_tried_again_and_the_other_one_does_not_notice() {
    ops(
        "
        0s   ops/slack fails
        0s   fire     Slow{host=a}
        33s  ops/slack is well
        2m   lanes
        ",
        expect![[r#"
                   0s  {}:{alertname="Slow"} waits: group_wait until 00:00:30
                  30s  → ops/slack #1 New firing Slow{host="a"}
                  30s  → ops/mail #1 New firing Slow{host="a"}
             30s100ms  {}:{alertname="Slow"} #1 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:00:30.667
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
             30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
             30s667ms  → ops/slack #1 New (attempt 2) firing Slow{host="a"}
             30s767ms  {}:{alertname="Slow"} #1 failed at ops/slack, attempt 2: 503 from the stand-in; next at 00:00:32.259
             32s259ms  → ops/slack #1 New (attempt 3) firing Slow{host="a"}
             32s359ms  {}:{alertname="Slow"} #1 failed at ops/slack, attempt 3: 503 from the stand-in; next at 00:00:36.244
             36s244ms  → ops/slack #1 New (attempt 4) firing Slow{host="a"}
             36s344ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 4, took 100ms
                   2m  | ops/slack: 0 in flight, 0 queued, last Delivered at 00:00:36.344, error 503 from the stand-in
                   2m  | ops/mail: 0 in flight, 0 queued, last Delivered at 00:00:30.1, error none
        "#]],
    );
}

#[test]
fn retry_after_is_honoured() {
    ops(
        "
        0s   ops/slack fails 20s
        0s   fire     Slow{host=a}
        40s  ops/slack is well
        2m   end
        ",
        expect![[r#"
                   0s  {}:{alertname="Slow"} waits: group_wait until 00:00:30
                  30s  → ops/slack #1 New firing Slow{host="a"}
                  30s  → ops/mail #1 New firing Slow{host="a"}
             30s100ms  {}:{alertname="Slow"} #1 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:00:50.666
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
             30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
             50s666ms  → ops/slack #1 New (attempt 2) firing Slow{host="a"}
             50s766ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 2, took 100ms
        "#]],
    );
}

#[test]
fn throttling_pauses_the_lane_and_every_lane_of_the_same_pace() {
    check(
        "
        receiver ops   slack:pace=alerts/1s
        receiver shop  slack:pace=alerts/1s webhook
        route ops by:alertname
        route shop {team=shop}
        0s   ops/slack throttles 1m
        0s   fire  A B C{team=shop}
        40s  ops/slack is well
        40s  lanes
        2m   end
        ",
        expect![[r#"
                   0s  {}:{alertname="A"} waits: group_wait until 00:00:30
                   0s  {}:{alertname="B"} waits: group_wait until 00:00:30
                   0s  {}/{team="shop"}:{alertname="C"} waits: group_wait until 00:00:30
                  30s  → shop/slack #1 New firing C{team="shop"}
                  30s  → shop/webhook #1 New firing C{team="shop"}
             30s100ms  {}/{team="shop"}:{alertname="C"} #1 arrived at shop/slack, attempt 1, took 100ms
             30s100ms  {}/{team="shop"}:{alertname="C"} waits: repeat_interval until 04:00:30
             30s100ms  {}/{team="shop"}:{alertname="C"} #1 arrived at shop/webhook, attempt 1, took 100ms
                  31s  → ops/slack #1 New firing A
             31s100ms  {}:{alertname="A"} #1 throttled by ops/slack, attempt 1: 429; paused until 00:01:31.1
                  40s  | ops/slack: 0 in flight, 2 queued, last Throttled at 00:00:31.1, error 429, paused until 00:01:31.1
                  40s  | shop/slack: 0 in flight, 0 queued, last Delivered at 00:00:30.1, error none, paused until 00:01:31.1
                  40s  | shop/webhook: 0 in flight, 0 queued, last Delivered at 00:00:30.1, error none
            1m31s100ms  → ops/slack #1 New firing B
            1m31s200ms  {}:{alertname="B"} #1 arrived at ops/slack, attempt 1, took 100ms
            1m31s200ms  {}:{alertname="B"} waits: repeat_interval until 04:00:30
            1m32s100ms  → ops/slack #1 New (attempt 2) firing A
            1m32s200ms  {}:{alertname="A"} #1 arrived at ops/slack, attempt 2, took 100ms
            1m32s200ms  {}:{alertname="A"} waits: repeat_interval until 04:00:30
        "#]],
    );
}

#[test]
fn one_message_a_second_into_one_channel() {
    check(
        "
        receiver ops slack:pace=1s:hands=1
        route ops by:...
        0s   fire  A B C D
        1m   end
        ",
        expect![[r#"
                   0s  {}:{alertname="A"} waits: group_wait until 00:00:30
                   0s  {}:{alertname="B"} waits: group_wait until 00:00:30
                   0s  {}:{alertname="C"} waits: group_wait until 00:00:30
                   0s  {}:{alertname="D"} waits: group_wait until 00:00:30
                  30s  → ops/slack #1 New firing A
             30s100ms  {}:{alertname="A"} #1 arrived at ops/slack, attempt 1, took 100ms
             30s100ms  {}:{alertname="A"} waits: repeat_interval until 04:00:30
                  31s  → ops/slack #1 New firing B
             31s100ms  {}:{alertname="B"} #1 arrived at ops/slack, attempt 1, took 100ms
             31s100ms  {}:{alertname="B"} waits: repeat_interval until 04:00:30
                  32s  → ops/slack #1 New firing C
             32s100ms  {}:{alertname="C"} #1 arrived at ops/slack, attempt 1, took 100ms
             32s100ms  {}:{alertname="C"} waits: repeat_interval until 04:00:30
                  33s  → ops/slack #1 New firing D
             33s100ms  {}:{alertname="D"} #1 arrived at ops/slack, attempt 1, took 100ms
             33s100ms  {}:{alertname="D"} waits: repeat_interval until 04:00:30
        "#]],
    );
}

#[test]
fn a_receiver_that_hangs_is_tried_again_and_delays_nobody() {
    ops(
        "
        0s     ops/slack hangs
        0s     fire  Slow{host=a}
        10s    fire  Other
        1m20s  lanes
        1m20s  ops/slack is well
        4m     end
        ",
        expect![[r#"
                   0s  {}:{alertname="Slow"} waits: group_wait until 00:00:30
                  10s  {}:{alertname="Other"} waits: group_wait until 00:00:40
                  30s  → ops/slack #1 New firing Slow{host="a"}
                  30s  → ops/mail #1 New firing Slow{host="a"}
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
             30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
                  40s  → ops/slack #1 New firing Other
                  40s  → ops/mail #1 New firing Other
             40s100ms  {}:{alertname="Other"} #1 arrived at ops/mail, attempt 1, took 100ms
             40s100ms  {}:{alertname="Other"} waits: repeat_interval until 04:00:40
                1m20s  | ops/slack: 2 in flight, 0 queued, last nothing, error none
                1m20s  | ops/mail: 0 in flight, 0 queued, last Delivered at 00:00:40.1, error none
                1m30s  {}:{alertname="Slow"} #1 failed at ops/slack, attempt 1: no receipt within 1m; next at 00:01:30.567
            1m30s567ms  → ops/slack #1 New (attempt 2) firing Slow{host="a"}
            1m30s667ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 2, took 100ms
                1m40s  {}:{alertname="Other"} #1 failed at ops/slack, attempt 1: no receipt within 1m; next at 00:01:40.746
            1m40s746ms  → ops/slack #1 New (attempt 2) firing Other
            1m40s846ms  {}:{alertname="Other"} #1 arrived at ops/slack, attempt 2, took 100ms
        "#]],
    );
}

#[test]
fn a_late_receipt_ends_the_trying() {
    check(
        "
        receiver ops slack
        route ops by:alertname
        0s     ops/slack hangs
        0s     fire  Slow{host=a}
        1m30s  ops/slack answers late
        1m30s  ops/slack answers late
        10m    groups
        ",
        expect![[r#"
                   0s  {}:{alertname="Slow"} waits: group_wait until 00:00:30
                  30s  → ops/slack #1 New firing Slow{host="a"}
                1m30s  {}:{alertname="Slow"} #1 failed at ops/slack, attempt 1: no receipt within 1m; next at 00:01:30.567
                1m30s  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 1m, reported late
                1m30s  {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
                1m30s  receipt `delivered` of an unknown target for delivery 1 changes nothing
                  10m  | {}:{alertname="Slow"}: 1 firing, ops/slack Told { flushed_at: WallTime(30000), sequence: 1 }, next Wait(RepeatInterval { until: WallTime(14430000) })
        "#]],
    );
}

#[test]
fn a_late_receipt_during_the_next_attempt_still_counts() {
    check(
        "
        receiver ops slack
        route ops by:alertname
        0s       ops/slack hangs
        0s       fire  Slow{host=a}
        1m30s    ops/slack takes 10s
        1m30s    ops/slack is well
        1m31s    end
        10m      groups
        ",
        expect![[r#"
                   0s  {}:{alertname="Slow"} waits: group_wait until 00:00:30
                  30s  → ops/slack #1 New firing Slow{host="a"}
                1m30s  {}:{alertname="Slow"} #1 failed at ops/slack, attempt 1: no receipt within 1m; next at 00:01:30.567
            1m30s567ms  → ops/slack #1 New (attempt 2) firing Slow{host="a"}
            1m40s567ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 2, took 10s
            1m40s567ms  {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
                  10m  | {}:{alertname="Slow"}: 1 firing, ops/slack Told { flushed_at: WallTime(30000), sequence: 1 }, next Wait(RepeatInterval { until: WallTime(14430000) })
        "#]],
    );
}

#[test]
fn what_is_given_up_stays_owed_and_is_due_when_the_receiver_is_back() {
    check(
        "
        receiver ops slack
        route ops by:alertname
        retry 3 attempts 10m
        0s    ops/slack fails
        0s    fire  Slow
        10s   fire  Other
        4m    ops/slack is well
        4m    fire  Third
        10m   counts
        ",
        expect![[r#"
                   0s  {}:{alertname="Slow"} waits: group_wait until 00:00:30
                  10s  {}:{alertname="Other"} waits: group_wait until 00:00:40
                  30s  → ops/slack #1 New firing Slow
             30s100ms  {}:{alertname="Slow"} #1 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:00:30.667
             30s667ms  → ops/slack #1 New (attempt 2) firing Slow
             30s767ms  {}:{alertname="Slow"} #1 failed at ops/slack, attempt 2: 503 from the stand-in; next at 00:00:32.259
             32s259ms  → ops/slack #1 New (attempt 3) firing Slow
             32s359ms  {}:{alertname="Slow"} #1 failed at ops/slack, attempt 3: 503 from the stand-in; next at 00:00:36.244
             32s359ms  {}:{alertname="Slow"} #1 for ops/slack given up after 3 attempts: too many failures, the last: 503 from the stand-in; still owed, anew at 00:05:32.359
                  40s  → ops/slack #1 New firing Other
             40s100ms  {}:{alertname="Other"} #1 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:00:40.545
             40s545ms  → ops/slack #1 New (attempt 2) firing Other
             40s645ms  {}:{alertname="Other"} #1 failed at ops/slack, attempt 2: 503 from the stand-in; next at 00:00:41.534
             41s534ms  → ops/slack #1 New (attempt 3) firing Other
             41s634ms  {}:{alertname="Other"} #1 failed at ops/slack, attempt 3: 503 from the stand-in; next at 00:00:44.686
             41s634ms  {}:{alertname="Other"} #1 for ops/slack given up after 3 attempts: too many failures, the last: 503 from the stand-in; still owed, anew at 00:05:41.634
                   4m  {}:{alertname="Third"} waits: group_wait until 00:04:30
                4m30s  → ops/slack #1 New firing Third
            4m30s100ms  {}:{alertname="Third"} #1 arrived at ops/slack, attempt 1, took 100ms
            4m30s100ms  {}:{alertname="Third"} waits: repeat_interval until 04:04:30
            4m30s100ms  ops/slack is back: 2 groups that are owed to it are due
            4m30s100ms  → ops/slack #2 New firing Other
            4m30s100ms  → ops/slack #2 New firing Slow
            4m30s200ms  {}:{alertname="Other"} #2 arrived at ops/slack, attempt 1, took 100ms
            4m30s200ms  {}:{alertname="Other"} waits: repeat_interval until 04:04:30.1
            4m30s200ms  {}:{alertname="Slow"} #2 arrived at ops/slack, attempt 1, took 100ms
            4m30s200ms  {}:{alertname="Slow"} waits: repeat_interval until 04:04:30.1
                  10m  | DeskCounts { pending: 0, firing: 3, resolved: 0, refused: 0, groups: 3, owed: 0, dead_letters: 2 }
        "#]],
    );
}

#[test]
fn what_is_rejected_is_not_tried_again_but_written_anew_later() {
    check(
        "
        receiver ops slack
        route ops by:alertname
        0s     ops/slack rejects
        0s     fire  Slow{host=a}
        6m     ops/slack is well
        15m    end
        ",
        expect![[r#"
                   0s  {}:{alertname="Slow"} waits: group_wait until 00:00:30
                  30s  → ops/slack #1 New firing Slow{host="a"}
             30s100ms  {}:{alertname="Slow"} #1 for ops/slack given up after 1 attempts: rejected: 400 from the stand-in; still owed, anew at 00:05:30.1
            5m30s100ms  → ops/slack #2 New firing Slow{host="a"}
            5m30s200ms  {}:{alertname="Slow"} #2 for ops/slack given up after 1 attempts: rejected: 400 from the stand-in; still owed, anew at 00:10:30.2
            10m30s200ms  → ops/slack #3 New firing Slow{host="a"}
            10m30s300ms  {}:{alertname="Slow"} #3 arrived at ops/slack, attempt 1, took 100ms
            10m30s300ms  {}:{alertname="Slow"} waits: repeat_interval until 04:10:30.2
        "#]],
    );
}

#[test]
fn the_end_of_an_alert_that_could_not_be_told_is_told_when_the_receiver_is_back() {
    check(
        "
        receiver ops slack
        route ops by:alertname
        retry 2 attempts 10m
        0s     ops/slack fails
        0s     fire     Slow{host=a}
        2m     resolve  Slow{host=a}
        20m    ops/slack is well
        30m    counts
        ",
        expect![[r#"
                   0s  {}:{alertname="Slow"} waits: group_wait until 00:00:30
                  30s  → ops/slack #1 New firing Slow{host="a"}
             30s100ms  {}:{alertname="Slow"} #1 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:00:30.667
             30s667ms  → ops/slack #1 New (attempt 2) firing Slow{host="a"}
             30s767ms  {}:{alertname="Slow"} #1 failed at ops/slack, attempt 2: 503 from the stand-in; next at 00:00:32.259
             30s767ms  {}:{alertname="Slow"} #1 for ops/slack given up after 2 attempts: too many failures, the last: 503 from the stand-in; still owed, anew at 00:05:30.767
                5m30s  → ops/slack #2 AllResolved resolved Slow{host="a"}
            5m30s100ms  {}:{alertname="Slow"} #2 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:05:31.072
            5m31s72ms  → ops/slack #2 AllResolved (attempt 2) resolved Slow{host="a"}
            5m31s172ms  {}:{alertname="Slow"} #2 failed at ops/slack, attempt 2: 503 from the stand-in; next at 00:05:32.061
            5m31s172ms  {}:{alertname="Slow"} #2 for ops/slack given up after 2 attempts: too many failures, the last: 503 from the stand-in; still owed, anew at 00:10:31.172
            10m31s172ms  → ops/slack #3 AllResolved resolved Slow{host="a"}
            10m31s272ms  {}:{alertname="Slow"} #3 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:10:31.717
            10m31s717ms  → ops/slack #3 AllResolved (attempt 2) resolved Slow{host="a"}
            10m31s817ms  {}:{alertname="Slow"} #3 failed at ops/slack, attempt 2: 503 from the stand-in; next at 00:10:33.343
            10m31s817ms  {}:{alertname="Slow"} #3 for ops/slack given up after 2 attempts: too many failures, the last: 503 from the stand-in; still owed, anew at 00:15:31.817
            15m31s817ms  → ops/slack #4 AllResolved resolved Slow{host="a"}
            15m31s917ms  {}:{alertname="Slow"} #4 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:15:32.795
            15m32s795ms  → ops/slack #4 AllResolved (attempt 2) resolved Slow{host="a"}
            15m32s895ms  {}:{alertname="Slow"} #4 failed at ops/slack, attempt 2: 503 from the stand-in; next at 00:15:33.942
            15m32s895ms  {}:{alertname="Slow"} #4 for ops/slack given up after 2 attempts: too many failures, the last: 503 from the stand-in; still owed, anew at 00:20:32.895
            20m32s895ms  → ops/slack #5 AllResolved resolved Slow{host="a"}
            20m32s995ms  {}:{alertname="Slow"} #5 arrived at ops/slack, attempt 1, took 100ms
            20m32s995ms  closed {}:{alertname="Slow"} after 5 notifications
                  30m  | DeskCounts { pending: 0, firing: 0, resolved: 1, refused: 0, groups: 0, owed: 0, dead_letters: 4 }
        "#]],
    );
}

#[test]
fn an_end_is_owed_for_a_day_and_not_for_ever() {
    check(
        "
        receiver ops slack
        route ops by:alertname interval:1h
        retry 1 attempts 10m
        bound owed 3h
        0s     fire     Slow{host=a}
        1m     ops/slack fails
        1m     resolve  Slow{host=a}
        1d     counts
        ",
        expect![[r#"
                   0s  {}:{alertname="Slow"} waits: group_wait until 00:00:30
                  30s  → ops/slack #1 New firing Slow{host="a"}
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
             30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
                   1m  {}:{alertname="Slow"} waits: group_interval until 01:00:30
                1h30s  → ops/slack #2 AllResolved resolved Slow{host="a"} in thread t0
            1h30s100ms  {}:{alertname="Slow"} #2 failed at ops/slack, attempt 1: 503 from the stand-in; next at 01:00:30.667
            1h30s100ms  {}:{alertname="Slow"} #2 for ops/slack given up after 1 attempts: too many failures, the last: 503 from the stand-in; still owed, anew at 02:00:30.1
            2h30s100ms  → ops/slack #3 AllResolved resolved Slow{host="a"} in thread t0
            2h30s200ms  {}:{alertname="Slow"} #3 failed at ops/slack, attempt 1: 503 from the stand-in; next at 02:00:30.946
            2h30s200ms  {}:{alertname="Slow"} #3 for ops/slack given up after 1 attempts: too many failures, the last: 503 from the stand-in; still owed, anew at 03:00:30.2
            3h30s200ms  → ops/slack #4 AllResolved resolved Slow{host="a"} in thread t0
            3h30s300ms  {}:{alertname="Slow"} #4 failed at ops/slack, attempt 1: 503 from the stand-in; next at 03:00:31.272
            3h30s300ms  {}:{alertname="Slow"} #4 for ops/slack given up after 1 attempts: too many failures, the last: 503 from the stand-in; still owed, anew at 04:00:30.3
            4h30s300ms  {}:{alertname="Slow"} says nothing to ops/slack: its end could not be delivered since 01:00:30.1
            4h30s300ms  {}:{alertname="Slow"} waits: group_wait until 04:01:00.3
            4h1m300ms  {}:{alertname="Slow"} says nothing to ops/slack: everything ended within group_wait
            4h1m300ms  closed {}:{alertname="Slow"} after 4 notifications
                   1d  | DeskCounts { pending: 0, firing: 0, resolved: 1, refused: 0, groups: 0, owed: 0, dead_letters: 3 }
        "#]],
    );
}

#[test]
fn a_newer_notification_takes_the_place_of_an_unsent_one_and_no_end_is_lost() {
    check(
        "
        receiver ops slack
        route ops by:alertname interval:1m
        0s     fire     Slow{host=a} Slow{host=b}
        40s    ops/slack fails
        40s    resolve  Slow{host=a}
        2m     fire     Slow{host=c}
        3m     resolve  Slow{host=b}
        6m     ops/slack is well
        20m    end
        ",
        expect![[r#"
                   0s  {}:{alertname="Slow"} waits: group_wait until 00:00:30
                  30s  → ops/slack #1 New firing Slow{host="a"} Slow{host="b"}
             30s100ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
             30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
                  40s  {}:{alertname="Slow"} waits: group_interval until 00:01:30
                1m30s  → ops/slack #2 Changed firing Slow{host="b"} resolved Slow{host="a"} in thread t0
            1m30s100ms  {}:{alertname="Slow"} #2 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:01:30.667
            1m30s667ms  → ops/slack #2 Changed (attempt 2) firing Slow{host="b"} resolved Slow{host="a"} in thread t0
            1m30s767ms  {}:{alertname="Slow"} #2 failed at ops/slack, attempt 2: 503 from the stand-in; next at 00:01:32.259
            1m32s259ms  → ops/slack #2 Changed (attempt 3) firing Slow{host="b"} resolved Slow{host="a"} in thread t0
            1m32s359ms  {}:{alertname="Slow"} #2 failed at ops/slack, attempt 3: 503 from the stand-in; next at 00:01:36.244
            1m36s244ms  → ops/slack #2 Changed (attempt 4) firing Slow{host="b"} resolved Slow{host="a"} in thread t0
            1m36s344ms  {}:{alertname="Slow"} #2 failed at ops/slack, attempt 4: 503 from the stand-in; next at 00:01:39.899
            1m39s899ms  → ops/slack #2 Changed (attempt 5) firing Slow{host="b"} resolved Slow{host="a"} in thread t0
            1m39s999ms  {}:{alertname="Slow"} #2 failed at ops/slack, attempt 5: 503 from the stand-in; next at 00:01:47.108
            1m47s108ms  → ops/slack #2 Changed (attempt 6) firing Slow{host="b"} resolved Slow{host="a"} in thread t0
            1m47s208ms  {}:{alertname="Slow"} #2 failed at ops/slack, attempt 6: 503 from the stand-in; next at 00:02:11.621
                   2m  {}:{alertname="Slow"} waits: group_interval until 00:02:30
            2m11s621ms  → ops/slack #2 Changed (attempt 7) firing Slow{host="b"} resolved Slow{host="a"} in thread t0
            2m11s721ms  {}:{alertname="Slow"} #2 failed at ops/slack, attempt 7: 503 from the stand-in; next at 00:03:04.362
                2m30s  {}:{alertname="Slow"} #2 for ops/slack gives way to #3 after 7 attempts
                   3m  {}:{alertname="Slow"} waits: group_interval until 00:03:30
            3m4s362ms  → ops/slack #3 Changed firing Slow{host="b"} Slow{host="c"} resolved Slow{host="a"} in thread t0
            3m4s462ms  {}:{alertname="Slow"} #3 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:03:35.847
                3m30s  {}:{alertname="Slow"} #3 for ops/slack gives way to #4 after 1 attempts
            3m35s847ms  → ops/slack #4 Changed firing Slow{host="c"} resolved Slow{host="a"} Slow{host="b"} in thread t0
            3m35s947ms  {}:{alertname="Slow"} #4 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:03:53.078
            3m53s78ms  → ops/slack #4 Changed (attempt 2) firing Slow{host="c"} resolved Slow{host="a"} Slow{host="b"} in thread t0
            3m53s178ms  {}:{alertname="Slow"} #4 failed at ops/slack, attempt 2: 503 from the stand-in; next at 00:04:40.818
            4m40s818ms  → ops/slack #4 Changed (attempt 3) firing Slow{host="c"} resolved Slow{host="a"} Slow{host="b"} in thread t0
            4m40s918ms  {}:{alertname="Slow"} #4 failed at ops/slack, attempt 3: 503 from the stand-in; next at 00:05:05.167
            5m5s167ms  → ops/slack #4 Changed (attempt 4) firing Slow{host="c"} resolved Slow{host="a"} Slow{host="b"} in thread t0
            5m5s267ms  {}:{alertname="Slow"} #4 failed at ops/slack, attempt 4: 503 from the stand-in; next at 00:05:41.593
            5m41s593ms  → ops/slack #4 Changed (attempt 5) firing Slow{host="c"} resolved Slow{host="a"} Slow{host="b"} in thread t0
            5m41s693ms  {}:{alertname="Slow"} #4 failed at ops/slack, attempt 5: 503 from the stand-in; next at 00:06:08.99
            6m8s990ms  → ops/slack #4 Changed (attempt 6) firing Slow{host="c"} resolved Slow{host="a"} Slow{host="b"} in thread t0
             6m9s90ms  {}:{alertname="Slow"} #4 arrived at ops/slack, attempt 6, took 100ms
             6m9s90ms  {}:{alertname="Slow"} waits: repeat_interval until 04:03:30
        "#]],
    );
}

#[test]
fn a_newer_notification_waits_for_the_attempt_that_is_under_way() {
    check(
        "
        receiver ops slack
        route ops by:alertname interval:10s wait:0s
        0s     ops/slack takes 50s
        0s     fire     Slow{host=a}
        15s    fire     Slow{host=b}
        30s    resolve  Slow{host=a}
        5m     end
        ",
        expect![[r#"
                   0s  → ops/slack #1 New firing Slow{host="a"}
                  30s  {}:{alertname="Slow"} #2 for ops/slack gives way to #3 after 0 attempts
                  50s  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 50s
                  50s  → ops/slack #3 Changed firing Slow{host="b"} resolved Slow{host="a"} in thread t0
                1m40s  {}:{alertname="Slow"} #3 arrived at ops/slack, attempt 1, took 50s
                1m40s  {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
        "#]],
    );
}

#[test]
fn a_large_group_shows_what_changed_and_counts_the_rest() {
    check(
        "
        receiver ops slack
        route ops by:alertname
        bound shown 3
        0s   fire     S{h=a} S{h=b} S{h=c} S{h=d} S{h=e}
        2m   fire     S{h=f}
        2m   resolve  S{h=a} S{h=b} S{h=c}
        10m  resolve  S{h=d} S{h=e} S{h=f}
        20m  end
        ",
        expect![[r#"
                   0s  {}:{alertname="S"} waits: group_wait until 00:00:30
                  30s  → ops/slack #1 New firing S{h="b"} S{h="c"} S{h="e"} and 2 more
             30s100ms  {}:{alertname="S"} #1 arrived at ops/slack, attempt 1, took 100ms
             30s100ms  {}:{alertname="S"} waits: repeat_interval until 04:00:30
                   2m  {}:{alertname="S"} waits: group_interval until 00:05:30
                5m30s  → ops/slack #2 Changed firing S{h="f"} resolved S{h="b"} S{h="c"} and 3 more in thread t0
            5m30s100ms  {}:{alertname="S"} #2 arrived at ops/slack, attempt 1, took 100ms
            5m30s100ms  {}:{alertname="S"} waits: repeat_interval until 04:05:30
                  10m  {}:{alertname="S"} waits: group_interval until 00:10:30
               10m30s  → ops/slack #3 AllResolved resolved S{h="d"} S{h="e"} S{h="f"} in thread t0
            10m30s100ms  {}:{alertname="S"} #3 arrived at ops/slack, attempt 1, took 100ms
            10m30s100ms  closed {}:{alertname="S"} after 3 notifications
        "#]],
    );
}

#[test]
fn a_full_desk_prefers_what_fires_and_says_that_it_is_full() {
    check(
        "
        receiver ops slack
        route ops by:alertname
        bound alerts 2
        show all
        0s   pending  A B C
        1s   fire     D
        2s   fire     E F
        60s  resolve  D
        61s  refresh  F 2s
        10m  counts
        ",
        expect![[r#"
                   0s  alert A pending at 00:00:00
                   0s  alert B pending at 00:00:00
                   0s  refused pending C: the desk holds 2 alerts
                   1s  dropped pending A to make room for D
                   1s  alert D firing at 00:00:01
                   1s  opened {}:{alertname="D"} for ops since 00:00:01
                   1s  D joins {}:{alertname="D"} for ops
                   1s  {}:{alertname="D"} waits: group_wait until 00:00:31
                   2s  dropped pending B to make room for E
                   2s  alert E firing at 00:00:02
                   2s  opened {}:{alertname="E"} for ops since 00:00:02
                   2s  E joins {}:{alertname="E"} for ops
                   2s  {}:{alertname="E"} waits: group_wait until 00:00:32
                   2s  refused firing F: the desk holds 2 alerts
                   2s  alert FoghornDeskFull{severity="warning"} firing at 00:00:02
                   2s  opened {}:{alertname="FoghornDeskFull"} for ops since 00:00:02
                   2s  FoghornDeskFull{severity="warning"} joins {}:{alertname="FoghornDeskFull"} for ops
                   2s  {}:{alertname="FoghornDeskFull"} waits: group_wait until 00:00:32
                  31s  {}:{alertname="D"} #1 to ops/slack: new, 1 firing, 0 resolved
                  31s  {}:{alertname="D"} #1 → ops/slack, attempt 1 (delivery 1)
                  31s  → ops/slack #1 New firing D
             31s100ms  {}:{alertname="D"} #1 arrived at ops/slack, attempt 1, took 100ms
             31s100ms  {}:{alertname="D"} waits: repeat_interval until 04:00:31
                  32s  {}:{alertname="E"} #1 to ops/slack: new, 1 firing, 0 resolved
                  32s  {}:{alertname="FoghornDeskFull"} #1 to ops/slack: new, 1 firing, 0 resolved
                  32s  {}:{alertname="E"} #1 → ops/slack, attempt 1 (delivery 2)
                  32s  → ops/slack #1 New firing E
                  32s  {}:{alertname="FoghornDeskFull"} #1 → ops/slack, attempt 1 (delivery 3)
                  32s  → ops/slack #1 New firing FoghornDeskFull{severity="warning"}
             32s100ms  {}:{alertname="E"} #1 arrived at ops/slack, attempt 1, took 100ms
             32s100ms  {}:{alertname="E"} waits: repeat_interval until 04:00:32
             32s100ms  {}:{alertname="FoghornDeskFull"} #1 arrived at ops/slack, attempt 1, took 100ms
             32s100ms  {}:{alertname="FoghornDeskFull"} waits: repeat_interval until 04:00:32
                   1m  alert D resolved at 00:01:00
                   1m  {}:{alertname="D"} waits: group_interval until 00:05:31
                 1m1s  refused firing F: the desk holds 2 alerts
                5m31s  {}:{alertname="D"} #2 to ops/slack: all resolved, 0 firing, 1 resolved
                5m31s  {}:{alertname="D"} #2 → ops/slack, attempt 1 (delivery 4)
                5m31s  → ops/slack #2 AllResolved resolved D in thread t1000
            5m31s100ms  {}:{alertname="D"} #2 arrived at ops/slack, attempt 1, took 100ms
            5m31s100ms  closed {}:{alertname="D"} after 2 notifications
                  10m  | DeskCounts { pending: 0, firing: 2, resolved: 1, refused: 3, groups: 2, owed: 0, dead_letters: 0 }
        "#]],
    );
}

#[test]
fn too_many_groups_share_one() {
    check(
        "
        receiver ops slack
        route ops by:host
        bound groups 2
        0s   fire     S{host=a} S{host=b} S{host=c} S{host=d}
        2m   resolve  S{host=c} S{host=a}
        3m   resolve  S{host=d} S{host=b}
        20m  fire     S{host=c}
        21m  end
        ",
        expect![[r#"
                   0s  {}:{host="a"} waits: group_wait until 00:00:30
                   0s  {}:{host="b"} waits: group_wait until 00:00:30
                   0s  S{host="c"} goes into {}:{foghorn_overflow="true"} instead of {}:{host="c"}: the desk holds 2 groups
                   0s  {}:{foghorn_overflow="true"} waits: group_wait until 00:00:30
                   0s  S{host="d"} goes into {}:{foghorn_overflow="true"} instead of {}:{host="d"}: the desk holds 2 groups
                  30s  → ops/slack #1 New firing S{host="c"} S{host="d"}
                  30s  → ops/slack #1 New firing S{host="a"}
                  30s  → ops/slack #1 New firing S{host="b"}
             30s100ms  {}:{foghorn_overflow="true"} #1 arrived at ops/slack, attempt 1, took 100ms
             30s100ms  {}:{foghorn_overflow="true"} waits: repeat_interval until 04:00:30
             30s100ms  {}:{host="a"} #1 arrived at ops/slack, attempt 1, took 100ms
             30s100ms  {}:{host="a"} waits: repeat_interval until 04:00:30
             30s100ms  {}:{host="b"} #1 arrived at ops/slack, attempt 1, took 100ms
             30s100ms  {}:{host="b"} waits: repeat_interval until 04:00:30
                   2m  {}:{foghorn_overflow="true"} waits: group_interval until 00:05:30
                   2m  {}:{host="a"} waits: group_interval until 00:05:30
                   3m  {}:{host="b"} waits: group_interval until 00:05:30
                5m30s  → ops/slack #2 AllResolved resolved S{host="c"} S{host="d"} in thread t0
                5m30s  → ops/slack #2 AllResolved resolved S{host="a"} in thread t0
                5m30s  → ops/slack #2 AllResolved resolved S{host="b"} in thread t0
            5m30s100ms  {}:{foghorn_overflow="true"} #2 arrived at ops/slack, attempt 1, took 100ms
            5m30s100ms  closed {}:{foghorn_overflow="true"} after 2 notifications
            5m30s100ms  {}:{host="a"} #2 arrived at ops/slack, attempt 1, took 100ms
            5m30s100ms  closed {}:{host="a"} after 2 notifications
            5m30s100ms  {}:{host="b"} #2 arrived at ops/slack, attempt 1, took 100ms
            5m30s100ms  closed {}:{host="b"} after 2 notifications
                  20m  {}:{host="c"} waits: group_wait until 00:20:30
               20m30s  → ops/slack #1 New firing S{host="c"}
            20m30s100ms  {}:{host="c"} #1 arrived at ops/slack, attempt 1, took 100ms
            20m30s100ms  {}:{host="c"} waits: repeat_interval until 04:20:30
        "#]],
    );
}

#[test]
fn a_full_lane_refuses_and_stays_owed() {
    check(
        "
        receiver ops slack:hands=1
        route ops by:...
        bound lane 1
        0s   fire  A B C
        20m  end
        ",
        expect![[r#"
                   0s  {}:{alertname="A"} waits: group_wait until 00:00:30
                   0s  {}:{alertname="B"} waits: group_wait until 00:00:30
                   0s  {}:{alertname="C"} waits: group_wait until 00:00:30
                  30s  {}:{alertname="B"} #1 for ops/slack given up after 0 attempts: the lane is full with 1 notifications; still owed, anew at 00:05:30
                  30s  {}:{alertname="C"} #1 for ops/slack given up after 0 attempts: the lane is full with 1 notifications; still owed, anew at 00:05:30
                  30s  → ops/slack #1 New firing A
             30s100ms  {}:{alertname="A"} #1 arrived at ops/slack, attempt 1, took 100ms
             30s100ms  {}:{alertname="A"} waits: repeat_interval until 04:00:30
             30s100ms  ops/slack is back: 2 groups that are owed to it are due
             30s100ms  {}:{alertname="C"} #2 for ops/slack given up after 0 attempts: the lane is full with 1 notifications; still owed, anew at 00:05:30.1
             30s100ms  → ops/slack #2 New firing B
             30s200ms  {}:{alertname="B"} #2 arrived at ops/slack, attempt 1, took 100ms
             30s200ms  {}:{alertname="B"} waits: repeat_interval until 04:00:30.1
             30s200ms  ops/slack is back: 1 groups that are owed to it are due
             30s200ms  → ops/slack #3 New firing C
             30s300ms  {}:{alertname="C"} #3 arrived at ops/slack, attempt 1, took 100ms
             30s300ms  {}:{alertname="C"} waits: repeat_interval until 04:00:30.2
        "#]],
    );
}

#[test]
fn a_source_that_stands_still_pages_and_recovers() {
    check(
        r#"
        receiver ops slack
        route ops by:alertname,stream
        show all
        0s    stalled  shop orders 1m
        60s   stalled  shop orders 2m
        2m    degraded Slow 1000
        10m   moves    shop orders
        11m   restored Slow
        11m   moves    shop orders
        30m   end
        "#,
        expect![[r#"
                   0s  alert FoghornSourceStalled{partition="0", severity="critical", stream="shop", topic="orders"} firing at 00:00:00
                   0s  opened {}:{alertname="FoghornSourceStalled", stream="shop"} for ops since 00:00:00
                   0s  FoghornSourceStalled{partition="0", severity="critical", stream="shop", topic="orders"} joins {}:{alertname="FoghornSourceStalled", stream="shop"} for ops
                   0s  {}:{alertname="FoghornSourceStalled", stream="shop"} waits: group_wait until 00:00:30
                  30s  {}:{alertname="FoghornSourceStalled", stream="shop"} #1 to ops/slack: new, 1 firing, 0 resolved
                  30s  {}:{alertname="FoghornSourceStalled", stream="shop"} #1 → ops/slack, attempt 1 (delivery 1)
                  30s  → ops/slack #1 New firing FoghornSourceStalled{partition="0", severity="critical", stream="shop", topic="orders"}
             30s100ms  {}:{alertname="FoghornSourceStalled", stream="shop"} #1 arrived at ops/slack, attempt 1, took 100ms
             30s100ms  {}:{alertname="FoghornSourceStalled", stream="shop"} waits: repeat_interval until 04:00:30
                   2m  alert FoghornRuleDegraded{rule="Slow", rule_file="rules/test.yaml", rule_group="test", severity="warning"} firing at 00:02:00
                   2m  opened {}:{alertname="FoghornRuleDegraded"} for ops since 00:02:00
                   2m  FoghornRuleDegraded{rule="Slow", rule_file="rules/test.yaml", rule_group="test", severity="warning"} joins {}:{alertname="FoghornRuleDegraded"} for ops
                   2m  {}:{alertname="FoghornRuleDegraded"} waits: group_wait until 00:02:30
                2m30s  {}:{alertname="FoghornRuleDegraded"} #1 to ops/slack: new, 1 firing, 0 resolved
                2m30s  {}:{alertname="FoghornRuleDegraded"} #1 → ops/slack, attempt 1 (delivery 2)
                2m30s  → ops/slack #1 New firing FoghornRuleDegraded{rule="Slow", rule_file="rules/test.yaml", rule_group="test", severity="warning"}
            2m30s100ms  {}:{alertname="FoghornRuleDegraded"} #1 arrived at ops/slack, attempt 1, took 100ms
            2m30s100ms  {}:{alertname="FoghornRuleDegraded"} waits: repeat_interval until 04:02:30
                  10m  alert FoghornSourceStalled{partition="0", severity="critical", stream="shop", topic="orders"} resolved at 00:10:00
                  10m  {}:{alertname="FoghornSourceStalled", stream="shop"} waits: group_wait until 00:10:30
               10m30s  {}:{alertname="FoghornSourceStalled", stream="shop"} #2 to ops/slack: all resolved, 0 firing, 1 resolved
               10m30s  {}:{alertname="FoghornSourceStalled", stream="shop"} #2 → ops/slack, attempt 1 (delivery 3)
               10m30s  → ops/slack #2 AllResolved resolved FoghornSourceStalled{partition="0", severity="critical", stream="shop", topic="orders"} in thread t0
            10m30s100ms  {}:{alertname="FoghornSourceStalled", stream="shop"} #2 arrived at ops/slack, attempt 1, took 100ms
            10m30s100ms  closed {}:{alertname="FoghornSourceStalled", stream="shop"} after 2 notifications
                  11m  alert FoghornRuleDegraded{rule="Slow", rule_file="rules/test.yaml", rule_group="test", severity="warning"} resolved at 00:11:00
                  11m  {}:{alertname="FoghornRuleDegraded"} waits: group_wait until 00:11:30
                  11m  ignored a signal of FoghornSourceStalled{partition="0", severity="critical", stream="shop", topic="orders"}: it ends what is not known
               11m30s  {}:{alertname="FoghornRuleDegraded"} #2 to ops/slack: all resolved, 0 firing, 1 resolved
               11m30s  {}:{alertname="FoghornRuleDegraded"} #2 → ops/slack, attempt 1 (delivery 4)
               11m30s  → ops/slack #2 AllResolved resolved FoghornRuleDegraded{rule="Slow", rule_file="rules/test.yaml", rule_group="test", severity="warning"} in thread t120000
            11m30s100ms  {}:{alertname="FoghornRuleDegraded"} #2 arrived at ops/slack, attempt 1, took 100ms
            11m30s100ms  closed {}:{alertname="FoghornRuleDegraded"} after 2 notifications
        "#]],
    );
}
