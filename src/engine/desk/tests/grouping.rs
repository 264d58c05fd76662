//! When which alerts are told together, and when nothing is said.

use expect_test::expect;

use super::{check, ops};

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
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"} Slow{host="b"} Slow{host="c"}
            30s         → ops/mail #1 New firing Slow{host="a"} Slow{host="b"} Slow{host="c"}
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
            2m          {}:{alertname="Slow"} waits: group_interval until 00:05:30
            5m30s       → ops/slack #2 Changed firing Slow{host="c"} resolved Slow{host="a"} Slow{host="b"} in thread t0
            5m30s       → ops/mail #2 Changed firing Slow{host="c"} resolved Slow{host="a"} Slow{host="b"} in thread t0
            5m30s100ms  {}:{alertname="Slow"} #2 arrived at ops/slack, attempt 1, took 100ms
            5m30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:05:30
            5m30s100ms  {}:{alertname="Slow"} #2 arrived at ops/mail, attempt 1, took 100ms
            10m         {}:{alertname="Slow"} waits: group_interval until 00:10:30
            10m30s      → ops/slack #3 AllResolved resolved Slow{host="c"} in thread t0
            10m30s      → ops/mail #3 AllResolved resolved Slow{host="c"} in thread t0
            10m30s100ms {}:{alertname="Slow"} #3 arrived at ops/slack, attempt 1, took 100ms
            10m30s100ms {}:{alertname="Slow"} #3 arrived at ops/mail, attempt 1, took 100ms
            10m30s100ms closed {}:{alertname="Slow"} after 3 notifications
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
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
            1h          | DeskCounts { pending: 0, firing: 1, resolved: 0, refused: 0, groups: 1, owed: 0, dead_letters: 0 }
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
            0s          alert Slow{host="a"} pending at 00:00:00
            0s          alert Slow{host="b"} pending at 00:00:00
            1m          alert Slow{host="a"} dropped before it fired at 00:01:00
            2m          alert Slow{host="b"} firing at 00:02:00
            2m          opened {}:{alertname="Slow"} for ops since 00:02:00
            2m          Slow{host="b"} joins {}:{alertname="Slow"} for ops
            2m          {}:{alertname="Slow"} waits: group_wait until 00:02:30
            2m          | DeskCounts { pending: 0, firing: 1, resolved: 0, refused: 0, groups: 1, owed: 0, dead_letters: 0 }
            2m30s       {}:{alertname="Slow"} #1 to ops/slack, ops/mail: new, 1 firing, 0 resolved
            2m30s       {}:{alertname="Slow"} #1 → ops/slack, attempt 1 (delivery 1)
            2m30s       → ops/slack #1 New firing Slow{host="b"}
            2m30s       {}:{alertname="Slow"} #1 → ops/mail, attempt 1 (delivery 2)
            2m30s       → ops/mail #1 New firing Slow{host="b"}
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
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            10s         nobody hears of Slow{host="a"}: it ended before anyone was told
            30s         {}:{alertname="Slow"} says nothing to ops/slack: everything ended within group_wait
            30s         {}:{alertname="Slow"} says nothing to ops/mail: everything ended within group_wait
            30s         closed {}:{alertname="Slow"} after 0 notifications
            5m          | 00:00:00  alert Slow{host="a"} firing at 00:00:00
            5m          | 00:00:00  opened {}:{alertname="Slow"} for ops since 00:00:00
            5m          | 00:00:00  Slow{host="a"} joins {}:{alertname="Slow"} for ops
            5m          | 00:00:00  {}:{alertname="Slow"} waits: group_wait until 00:00:30
            5m          | 00:00:10  alert Slow{host="a"} resolved at 00:00:10
            5m          | 00:00:10  nobody hears of Slow{host="a"}: it ended before anyone was told
            5m          | 00:00:30  {}:{alertname="Slow"} says nothing to ops/slack: everything ended within group_wait
            5m          | 00:00:30  {}:{alertname="Slow"} says nothing to ops/mail: everything ended within group_wait
            5m          | 00:00:30  closed {}:{alertname="Slow"} after 0 notifications
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
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            10s         nobody hears of Slow{host="a"}: it ended before anyone was told
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
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
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
            1m          {}:{alertname="Slow"} waits: group_interval until 00:05:30
            5m30s       {}:{alertname="Slow"} says nothing to ops/slack: what changed changed back
            5m30s       {}:{alertname="Slow"} says nothing to ops/mail: what changed changed back
            5m30s       {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
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
            0s          alert Slow{host="a"} firing at 00:00:00
            0s          opened {}:{alertname="Slow"} for ops since 00:00:00
            0s          Slow{host="a"} joins {}:{alertname="Slow"} for ops
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         {}:{alertname="Slow"} #1 to ops/slack, ops/mail: new, 1 firing, 0 resolved
            30s         {}:{alertname="Slow"} #1 → ops/slack, attempt 1 (delivery 1)
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         {}:{alertname="Slow"} #1 → ops/mail, attempt 1 (delivery 2)
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
            1m          alert Slow{host="a"} resolved at 00:01:00
            1m          {}:{alertname="Slow"} waits: group_interval until 00:05:30
            5m30s       {}:{alertname="Slow"} #2 to ops/slack, ops/mail: all resolved, 0 firing, 1 resolved
            5m30s       {}:{alertname="Slow"} #2 → ops/slack, attempt 1 (delivery 3)
            5m30s       → ops/slack #2 AllResolved resolved Slow{host="a"} in thread t0
            5m30s       {}:{alertname="Slow"} #2 → ops/mail, attempt 1 (delivery 4)
            5m30s       → ops/mail #2 AllResolved resolved Slow{host="a"} in thread t0
            5m30s100ms  {}:{alertname="Slow"} #2 arrived at ops/slack, attempt 1, took 100ms
            5m30s100ms  {}:{alertname="Slow"} #2 arrived at ops/mail, attempt 1, took 100ms
            5m30s100ms  closed {}:{alertname="Slow"} after 2 notifications
            10m         alert Slow{host="a"} firing at 00:10:00
            10m         opened {}:{alertname="Slow"} for ops since 00:10:00
            10m         Slow{host="a"} joins {}:{alertname="Slow"} for ops
            10m         {}:{alertname="Slow"} waits: group_wait until 00:10:30
            10m30s      {}:{alertname="Slow"} #1 to ops/slack, ops/mail: new, 1 firing, 0 resolved
            10m30s      {}:{alertname="Slow"} #1 → ops/slack, attempt 1 (delivery 5)
            10m30s      → ops/slack #1 New firing Slow{host="a"}
            10m30s      {}:{alertname="Slow"} #1 → ops/mail, attempt 1 (delivery 6)
            10m30s      → ops/mail #1 New firing Slow{host="a"}
            10m30s100ms {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            10m30s100ms {}:{alertname="Slow"} waits: repeat_interval until 04:10:30
            10m30s100ms {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
        "#]],
    );
}

#[test]
fn a_new_life_has_keys_of_its_own_even_if_its_event_time_is_the_old_one() {
    // Two streams, one of which lags: the second alert of the group fired, in event time, when the first did.
    ops(
        "
        0s   fire     Slow{host=a}
        1m   resolve  Slow{host=a}
        10m  refresh  Slow{host=b} 0s
        20m  end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
            1m          {}:{alertname="Slow"} waits: group_interval until 00:05:30
            5m30s       → ops/slack #2 AllResolved resolved Slow{host="a"} in thread t0
            5m30s       → ops/mail #2 AllResolved resolved Slow{host="a"} in thread t0
            5m30s100ms  {}:{alertname="Slow"} #2 arrived at ops/slack, attempt 1, took 100ms
            5m30s100ms  {}:{alertname="Slow"} #2 arrived at ops/mail, attempt 1, took 100ms
            5m30s100ms  closed {}:{alertname="Slow"} after 2 notifications
            10m         {}:{alertname="Slow"} waits: group_wait until 00:10:30
            10m30s      → ops/slack #1 New firing Slow{host="b"}
            10m30s      → ops/mail #1 New firing Slow{host="b"}
            10m30s100ms {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            10m30s100ms {}:{alertname="Slow"} waits: repeat_interval until 04:10:30
            10m30s100ms {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
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
            0s          alert Slow{host="a"} firing at 00:00:00
            0s          opened {}:{alertname="Slow"} for ops since 00:00:00
            0s          Slow{host="a"} joins {}:{alertname="Slow"} for ops
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         {}:{alertname="Slow"} #1 to ops/slack, ops/mail: new, 1 firing, 0 resolved
            30s         {}:{alertname="Slow"} #1 → ops/slack, attempt 1 (delivery 1)
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         {}:{alertname="Slow"} #1 → ops/mail, attempt 1 (delivery 2)
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
            2m          alert Slow{host="a"} firing anew (its episode of 00:00:00 never ended) at 00:02:00
            2m          Slow{host="a"} joins {}:{alertname="Slow"} for ops
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
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} waits: repeat_interval until 01:00:30
            1h30s       → ops/slack #2 Repeat firing Slow{host="a"} in thread t0
            1h30s100ms  {}:{alertname="Slow"} #2 arrived at ops/slack, attempt 1, took 100ms
            1h30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 02:00:30
            1h30m       {}:{alertname="Slow"} waits: group_wait until 01:30:30
            1h30m30s    → ops/slack #3 Changed firing Slow{host="a"} Slow{host="b"} in thread t0
            1h30m30s100ms{}:{alertname="Slow"} #3 arrived at ops/slack, attempt 1, took 100ms
            1h30m30s100ms{}:{alertname="Slow"} waits: repeat_interval until 02:30:30
            2h30m30s    → ops/slack #4 Repeat firing Slow{host="a"} Slow{host="b"} in thread t0
            2h30m30s100ms{}:{alertname="Slow"} #4 arrived at ops/slack, attempt 1, took 100ms
            2h30m30s100ms{}:{alertname="Slow"} waits: repeat_interval until 03:30:30
            3h30m30s    → ops/slack #5 Repeat firing Slow{host="a"} Slow{host="b"} in thread t0
            3h30m30s100ms{}:{alertname="Slow"} #5 arrived at ops/slack, attempt 1, took 100ms
            3h30m30s100ms{}:{alertname="Slow"} waits: repeat_interval until 04:30:30
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
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
            31m         {}:{alertname="Slow"} waits: group_wait until 00:31:30
            31m30s      → ops/slack #2 Changed firing Slow{host="a"} Slow{host="b"} Slow{host="c"} in thread t0
            31m30s      → ops/mail #2 Changed firing Slow{host="a"} Slow{host="b"} Slow{host="c"} in thread t0
            31m30s100ms {}:{alertname="Slow"} #2 arrived at ops/slack, attempt 1, took 100ms
            31m30s100ms {}:{alertname="Slow"} waits: repeat_interval until 04:31:30
            31m30s100ms {}:{alertname="Slow"} #2 arrived at ops/mail, attempt 1, took 100ms
            32m         {}:{alertname="Slow"} waits: group_interval until 00:36:30
            36m30s      → ops/slack #3 Changed firing Slow{host="a"} Slow{host="b"} Slow{host="c"} Slow{host="d"} in thread t0
            36m30s      → ops/mail #3 Changed firing Slow{host="a"} Slow{host="b"} Slow{host="c"} Slow{host="d"} in thread t0
            36m30s100ms {}:{alertname="Slow"} #3 arrived at ops/slack, attempt 1, took 100ms
            36m30s100ms {}:{alertname="Slow"} waits: repeat_interval until 04:36:30
            36m30s100ms {}:{alertname="Slow"} #3 arrived at ops/mail, attempt 1, took 100ms
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
            0s          {}/{team=~"pay.*"}:{alertname="Slow"} waits: group_wait until 00:00:05
            0s          → pager/pagerduty #1 New firing Slow{host="a", severity="critical", team="payments"}
            0s          → pager/pagerduty #1 New firing Slow{host="b", severity="critical", team="shop"}
            100ms       {}/{severity="critical"}:{alertname="Slow", host="a", severity="critical", team="payments"} #1 arrived at pager/pagerduty, attempt 1, took 100ms
            100ms       {}/{severity="critical"}:{alertname="Slow", host="a", severity="critical", team="payments"} waits: repeat_interval until 04:00:00
            100ms       {}/{severity="critical"}:{alertname="Slow", host="b", severity="critical", team="shop"} #1 arrived at pager/pagerduty, attempt 1, took 100ms
            100ms       {}/{severity="critical"}:{alertname="Slow", host="b", severity="critical", team="shop"} waits: repeat_interval until 04:00:00
            5s          → audit/webhook #1 New firing Slow{host="a", severity="critical", team="payments"}
            5s100ms     {}/{team=~"pay.*"}:{alertname="Slow"} #1 arrived at audit/webhook, attempt 1, took 100ms
            5s100ms     {}/{team=~"pay.*"}:{alertname="Slow"} waits: repeat_interval until 04:00:05
            1m          nobody hears of Chatty{severity="info"}: its receiver has no integrations
            2m          {}:{alertname="Slow"} waits: group_wait until 00:02:30
            2m30s       → ops/slack #1 New firing Slow{severity="warning"}
            2m30s100ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            2m30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:02:30
            5m          closed {}/{severity="info"}:{alertname="Chatty"} after 0 notifications
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
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"} Slow{host="b"}
            30s         → ops/mail #1 New firing Slow{host="a"} Slow{host="b"}
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
            1m          {}:{alertname="Slow"} waits: group_interval until 00:05:30
            5m30s       {}:{alertname="Slow"} says nothing to ops/slack: alerts ended, and send_resolved is off
            5m30s       {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            5m30s       → ops/mail #2 Changed firing Slow{host="b"} resolved Slow{host="a"} in thread t0
            5m30s100ms  {}:{alertname="Slow"} #2 arrived at ops/mail, attempt 1, took 100ms
            5m30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:05:30
            6m          {}:{alertname="Slow"} waits: group_wait until 00:06:30
            6m          {}:{alertname="Slow"} waits: group_interval until 00:10:30
            6m30s       → ops/slack #3 Changed firing Slow{host="a"} Slow{host="b"} in thread t0
            6m30s100ms  {}:{alertname="Slow"} #3 arrived at ops/slack, attempt 1, took 100ms
            6m30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:06:30
            10m30s      → ops/mail #4 Changed firing Slow{host="a"} Slow{host="b"} in thread t0
            10m30s100ms {}:{alertname="Slow"} #4 arrived at ops/mail, attempt 1, took 100ms
            10m30s100ms {}:{alertname="Slow"} waits: repeat_interval until 04:10:30
            20m         {}:{alertname="Slow"} waits: group_wait until 00:20:30
            20m30s      {}:{alertname="Slow"} says nothing to ops/slack: alerts ended, and send_resolved is off
            20m30s      → ops/mail #5 AllResolved resolved Slow{host="a"} Slow{host="b"} in thread t0
            20m30s100ms {}:{alertname="Slow"} #5 arrived at ops/mail, attempt 1, took 100ms
            20m30s100ms closed {}:{alertname="Slow"} after 5 notifications
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
            0s          alert FoghornSourceStalled{partition="0", severity="critical", stream="shop", topic="orders"} firing at 00:00:00
            0s          opened {}:{alertname="FoghornSourceStalled", stream="shop"} for ops since 00:00:00
            0s          FoghornSourceStalled{partition="0", severity="critical", stream="shop", topic="orders"} joins {}:{alertname="FoghornSourceStalled", stream="shop"} for ops
            0s          {}:{alertname="FoghornSourceStalled", stream="shop"} waits: group_wait until 00:00:30
            30s         {}:{alertname="FoghornSourceStalled", stream="shop"} #1 to ops/slack: new, 1 firing, 0 resolved
            30s         {}:{alertname="FoghornSourceStalled", stream="shop"} #1 → ops/slack, attempt 1 (delivery 1)
            30s         → ops/slack #1 New firing FoghornSourceStalled{partition="0", severity="critical", stream="shop", topic="orders"}
            30s100ms    {}:{alertname="FoghornSourceStalled", stream="shop"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="FoghornSourceStalled", stream="shop"} waits: repeat_interval until 04:00:30
            2m          alert FoghornRuleDegraded{rule="Slow", rule_file="rules/test.yaml", rule_group="test", severity="warning"} firing at 00:02:00
            2m          opened {}:{alertname="FoghornRuleDegraded"} for ops since 00:02:00
            2m          FoghornRuleDegraded{rule="Slow", rule_file="rules/test.yaml", rule_group="test", severity="warning"} joins {}:{alertname="FoghornRuleDegraded"} for ops
            2m          {}:{alertname="FoghornRuleDegraded"} waits: group_wait until 00:02:30
            2m30s       {}:{alertname="FoghornRuleDegraded"} #1 to ops/slack: new, 1 firing, 0 resolved
            2m30s       {}:{alertname="FoghornRuleDegraded"} #1 → ops/slack, attempt 1 (delivery 2)
            2m30s       → ops/slack #1 New firing FoghornRuleDegraded{rule="Slow", rule_file="rules/test.yaml", rule_group="test", severity="warning"}
            2m30s100ms  {}:{alertname="FoghornRuleDegraded"} #1 arrived at ops/slack, attempt 1, took 100ms
            2m30s100ms  {}:{alertname="FoghornRuleDegraded"} waits: repeat_interval until 04:02:30
            10m         alert FoghornSourceStalled{partition="0", severity="critical", stream="shop", topic="orders"} resolved at 00:10:00
            10m         {}:{alertname="FoghornSourceStalled", stream="shop"} waits: group_wait until 00:10:30
            10m30s      {}:{alertname="FoghornSourceStalled", stream="shop"} #2 to ops/slack: all resolved, 0 firing, 1 resolved
            10m30s      {}:{alertname="FoghornSourceStalled", stream="shop"} #2 → ops/slack, attempt 1 (delivery 3)
            10m30s      → ops/slack #2 AllResolved resolved FoghornSourceStalled{partition="0", severity="critical", stream="shop", topic="orders"} in thread t0
            10m30s100ms {}:{alertname="FoghornSourceStalled", stream="shop"} #2 arrived at ops/slack, attempt 1, took 100ms
            10m30s100ms closed {}:{alertname="FoghornSourceStalled", stream="shop"} after 2 notifications
            11m         alert FoghornRuleDegraded{rule="Slow", rule_file="rules/test.yaml", rule_group="test", severity="warning"} resolved at 00:11:00
            11m         {}:{alertname="FoghornRuleDegraded"} waits: group_wait until 00:11:30
            11m         ignored a signal of FoghornSourceStalled{partition="0", severity="critical", stream="shop", topic="orders"}: it ends what is not known
            11m30s      {}:{alertname="FoghornRuleDegraded"} #2 to ops/slack: all resolved, 0 firing, 1 resolved
            11m30s      {}:{alertname="FoghornRuleDegraded"} #2 → ops/slack, attempt 1 (delivery 4)
            11m30s      → ops/slack #2 AllResolved resolved FoghornRuleDegraded{rule="Slow", rule_file="rules/test.yaml", rule_group="test", severity="warning"} in thread t120000
            11m30s100ms {}:{alertname="FoghornRuleDegraded"} #2 arrived at ops/slack, attempt 1, took 100ms
            11m30s100ms closed {}:{alertname="FoghornRuleDegraded"} after 2 notifications
        "#]],
    );
}
