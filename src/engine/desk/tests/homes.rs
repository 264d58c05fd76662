//! What belongs to one partition, and moves with it.

use std::collections::BTreeSet;

use expect_test::expect;

use super::properties::config;
use super::world::{World, alert_name, source};
use super::{check, ops};
use crate::model::WallTime;

#[test]
fn an_alert_moves_with_its_group_and_nobody_is_told_again() {
    ops(
        "
        0s at orders/0 fire Slow{host=a}
        0s at orders/1 fire Slow{host=b}
        60s orders/0 moves to b
        6m at orders/0 fire Slow{host=c}
        30m end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:00:30
            0s          {}:{alertname="Slow"}@orders/1 waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s         → ops/slack #1 New firing Slow{host="b"}
            30s         → ops/mail #1 New firing Slow{host="b"}
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"}@orders/1 #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"}@orders/1 waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="Slow"}@orders/1 #1 arrived at ops/mail, attempt 1, took 100ms
            1m          orders/0 went with 1 alerts, 1 groups and 0 unsent notifications
            1m          b: orders/0 came with 1 alerts, 1 groups and 0 unsent notifications
            1m          b: {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            6m          b: {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:06:30
            6m30s       b: → ops/slack #2 Changed firing Slow{host="a"} Slow{host="c"} in thread t0
            6m30s       b: → ops/mail #2 Changed firing Slow{host="a"} Slow{host="c"} in thread t0
            6m30s100ms  b: {}:{alertname="Slow"}@orders/0 #2 arrived at ops/slack, attempt 1, took 100ms
            6m30s100ms  b: {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:06:30
            6m30s100ms  b: {}:{alertname="Slow"}@orders/0 #2 arrived at ops/mail, attempt 1, took 100ms
        "#]],
    );
}

#[test]
fn an_end_reaches_whoever_was_told_from_the_new_owner() {
    ops(
        "
        0s at orders/0 fire Slow{host=a}
        60s orders/0 moves to b
        10m at orders/0 resolve Slow{host=a}
        20m orders/0 moves to a
        25m at orders/0 fire Slow{host=a}
        30m end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
            1m          orders/0 went with 1 alerts, 1 groups and 0 unsent notifications
            1m          b: orders/0 came with 1 alerts, 1 groups and 0 unsent notifications
            1m          b: {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            10m         b: {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:10:30
            10m30s      b: → ops/slack #2 AllResolved resolved Slow{host="a"} in thread t0
            10m30s      b: → ops/mail #2 AllResolved resolved Slow{host="a"} in thread t0
            10m30s100ms b: {}:{alertname="Slow"}@orders/0 #2 arrived at ops/slack, attempt 1, took 100ms
            10m30s100ms b: {}:{alertname="Slow"}@orders/0 #2 arrived at ops/mail, attempt 1, took 100ms
            10m30s100ms b: closed {}:{alertname="Slow"}@orders/0 after 2 notifications
            20m         b: orders/0 went with 1 alerts, 0 groups and 0 unsent notifications
            20m         orders/0 came with 1 alerts, 0 groups and 0 unsent notifications
            25m         {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:25:30
            25m30s      → ops/slack #1 New firing Slow{host="a"}
            25m30s      → ops/mail #1 New firing Slow{host="a"}
            25m30s100ms {}:{alertname="Slow"}@orders/0 #1 arrived at ops/slack, attempt 1, took 100ms
            25m30s100ms {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:25:30
            25m30s100ms {}:{alertname="Slow"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
        "#]],
    );
}

#[test]
fn what_was_not_told_yet_is_told_by_the_new_owner_when_it_was_due() {
    ops(
        "
        0s at orders/0 fire Slow{host=a}
        0s at orders/0 pending Down{host=a}
        20s orders/0 moves to b
        2m at orders/0 fire Down{host=a}
        3m end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:00:30
            20s         orders/0 went with 2 alerts, 1 groups and 0 unsent notifications
            20s         b: orders/0 came with 2 alerts, 1 groups and 0 unsent notifications
            20s         b: {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:00:30
            30s         b: → ops/slack #1 New firing Slow{host="a"}
            30s         b: → ops/mail #1 New firing Slow{host="a"}
            30s100ms    b: {}:{alertname="Slow"}@orders/0 #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    b: {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            30s100ms    b: {}:{alertname="Slow"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
            2m          b: {}:{alertname="Down"}@orders/0 waits: group_wait until 00:02:30
            2m30s       b: → ops/slack #1 New firing Down{host="a"}
            2m30s       b: → ops/mail #1 New firing Down{host="a"}
            2m30s100ms  b: {}:{alertname="Down"}@orders/0 #1 arrived at ops/slack, attempt 1, took 100ms
            2m30s100ms  b: {}:{alertname="Down"}@orders/0 waits: repeat_interval until 04:02:30
            2m30s100ms  b: {}:{alertname="Down"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
        "#]],
    );
}

#[test]
fn what_was_due_by_a_clock_that_was_ahead_is_told_on_time_by_the_new_owner() {
    ops(
        "
        0s the clock of a is 1h ahead
        0s ops/slack fails 5m
        0s at orders/0 fire Slow{host=a}
        40s at orders/0 fire Down{host=a}
        1m orders/0 moves to b
        2m ops/slack is well
        10m at orders/0 resolve Slow{host=a}
        20m end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"}@orders/0 waits: group_wait until 01:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 failed at ops/slack, attempt 1: 503 from the stand-in; next at 01:05:30.666
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 05:00:30
            40s         {}:{alertname="Down"}@orders/0 waits: group_wait until 01:01:10
            1m          orders/0 went with 2 alerts, 2 groups and 1 unsent notifications
            1m          b: orders/0 came with 2 alerts, 2 groups and 1 unsent notifications
            1m          b: {}:{alertname="Down"}@orders/0 waits: group_wait until 00:01:30
            1m          b: {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:50
            1m30s       b: → ops/slack #1 New firing Down{host="a"}
            1m30s       b: → ops/mail #1 New firing Down{host="a"}
            1m30s100ms  b: {}:{alertname="Down"}@orders/0 #1 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:06:30.666
            1m30s100ms  b: {}:{alertname="Down"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
            1m30s100ms  b: {}:{alertname="Down"}@orders/0 waits: repeat_interval until 04:01:30
            5m50s666ms  b: → ops/slack #1 New (attempt 2) firing Slow{host="a"}
            5m50s766ms  b: {}:{alertname="Slow"}@orders/0 #1 arrived at ops/slack, attempt 2, took 100ms
            6m30s666ms  b: → ops/slack #1 New (attempt 2) firing Down{host="a"}
            6m30s766ms  b: {}:{alertname="Down"}@orders/0 #1 arrived at ops/slack, attempt 2, took 100ms
            10m         b: {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:10:30
            10m30s      b: → ops/slack #2 AllResolved resolved Slow{host="a"} in thread t0
            10m30s      b: → ops/mail #2 AllResolved resolved Slow{host="a"} in thread t0
            10m30s100ms b: {}:{alertname="Slow"}@orders/0 #2 arrived at ops/slack, attempt 1, took 100ms
            10m30s100ms b: {}:{alertname="Slow"}@orders/0 #2 arrived at ops/mail, attempt 1, took 100ms
            10m30s100ms b: closed {}:{alertname="Slow"}@orders/0 after 2 notifications
        "#]],
    );
}

#[test]
fn a_failed_notification_waits_for_its_next_attempt_at_the_new_owner() {
    ops(
        "
        0s ops/slack fails 5m
        0s at orders/0 fire Slow{host=a}
        2m orders/0 moves to b
        3m ops/slack is well
        30m end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:05:30.666
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            2m          orders/0 went with 1 alerts, 1 groups and 1 unsent notifications
            2m          b: orders/0 came with 1 alerts, 1 groups and 1 unsent notifications
            2m          b: {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            5m30s666ms  b: → ops/slack #1 New (attempt 2) firing Slow{host="a"}
            5m30s766ms  b: {}:{alertname="Slow"}@orders/0 #1 arrived at ops/slack, attempt 2, took 100ms
        "#]],
    );
}

#[test]
fn what_was_given_up_is_owed_by_the_new_owner() {
    ops(
        "
        retry 2 attempts 10m
        0s ops/slack fails
        0s at orders/0 fire Slow{host=a}
        1m orders/0 moves to b
        4m ops/slack is well
        4m at orders/0 fire Down{host=a}
        30m end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:00:30.667
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            30s667ms    → ops/slack #1 New (attempt 2) firing Slow{host="a"}
            30s767ms    {}:{alertname="Slow"}@orders/0 #1 failed at ops/slack, attempt 2: 503 from the stand-in
            30s767ms    {}:{alertname="Slow"}@orders/0 #1 for ops/slack given up after 2 attempts: too many failures, the last: 503 from the stand-in; still owed, anew at 00:05:30.767
            1m          orders/0 went with 1 alerts, 1 groups and 0 unsent notifications
            1m          b: orders/0 came with 1 alerts, 1 groups and 0 unsent notifications
            1m          b: {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            4m          b: {}:{alertname="Down"}@orders/0 waits: group_wait until 00:04:30
            4m30s       b: → ops/slack #1 New firing Down{host="a"}
            4m30s       b: → ops/mail #1 New firing Down{host="a"}
            4m30s100ms  b: {}:{alertname="Down"}@orders/0 #1 arrived at ops/slack, attempt 1, took 100ms
            4m30s100ms  b: {}:{alertname="Down"}@orders/0 waits: repeat_interval until 04:04:30
            4m30s100ms  b: ops/slack is back: 1 groups that are owed to it are due
            4m30s100ms  b: {}:{alertname="Down"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
            4m30s100ms  b: → ops/slack #2 New firing Slow{host="a"}
            4m30s200ms  b: {}:{alertname="Slow"}@orders/0 #2 arrived at ops/slack, attempt 1, took 100ms
            4m30s200ms  b: {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:04:30.1
        "#]],
    );
}

#[test]
fn what_was_under_way_is_sent_again_and_marked() {
    ops(
        "
        0s ops/slack takes 30s
        0s at orders/0 fire Slow{host=a}
        40s orders/0 moves to b
        5m end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            40s         orders/0 went with 1 alerts, 1 groups and 1 unsent notifications
            40s         b: orders/0 came with 1 alerts, 1 groups and 1 unsent notifications
            40s         b: {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            40s         b: → ops/slack #1 New (attempt 2) firing Slow{host="a"} (perhaps repeated)
            1m          receipt `delivered` of an unknown target for delivery 1 changes nothing
            1m10s       b: {}:{alertname="Slow"}@orders/0 #1 arrived at ops/slack, attempt 2, took 30s
        "#]],
    );
}

#[test]
fn what_was_under_way_is_waited_for_where_there_is_time() {
    ops(
        "
        0s ops/slack takes 5s
        0s at orders/0 fire Slow{host=a}
        20s at orders/0 fire Down{host=a}
        31s orders/0 is leaving
        52s orders/0 moves to b
        5m end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:00:30
            20s         {}:{alertname="Down"}@orders/0 waits: group_wait until 00:00:50
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            31s         orders/0 is about to go, with 1 deliveries under way
            35s         {}:{alertname="Slow"}@orders/0 #1 arrived at ops/slack, attempt 1, took 5s
            52s         orders/0 went with 2 alerts, 2 groups and 0 unsent notifications
            52s         b: orders/0 came with 2 alerts, 2 groups and 0 unsent notifications
            52s         b: {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            52s         b: → ops/slack #1 New firing Down{host="a"}
            52s         b: → ops/mail #1 New firing Down{host="a"}
            52s100ms    b: {}:{alertname="Down"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
            52s100ms    b: {}:{alertname="Down"}@orders/0 waits: repeat_interval until 04:00:52
            57s         b: {}:{alertname="Down"}@orders/0 #1 arrived at ops/slack, attempt 1, took 5s
        "#]],
    );
}

#[test]
fn what_fails_while_a_partition_leaves_is_tried_again_by_the_new_owner() {
    ops(
        "
        0s ops/slack takes 5s
        0s ops/slack fails
        0s at orders/0 fire Slow{host=a}
        31s orders/0 is leaving
        52s orders/0 moves to b
        53s ops/slack is well
        5m end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            31s         orders/0 is about to go, with 1 deliveries under way
            35s         {}:{alertname="Slow"}@orders/0 #1 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:00:35.567
            52s         orders/0 went with 1 alerts, 1 groups and 1 unsent notifications
            52s         b: orders/0 came with 1 alerts, 1 groups and 1 unsent notifications
            52s         b: {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            52s         b: → ops/slack #1 New (attempt 2) firing Slow{host="a"}
            57s         b: {}:{alertname="Slow"}@orders/0 #1 failed at ops/slack, attempt 2: 503 from the stand-in; next at 00:00:58.134
            58s134ms    b: → ops/slack #1 New (attempt 3) firing Slow{host="a"}
            1m3s134ms   b: {}:{alertname="Slow"}@orders/0 #1 arrived at ops/slack, attempt 3, took 5s
        "#]],
    );
}

#[test]
fn a_silence_goes_along_and_ends_where_the_partition_is() {
    ops(
        "
        0s at orders/0 fire Slow{host=a}
        0s silence {host=\"a\"} for 10m
        1m orders/0 moves to b
        2m at orders/0 fire Down{host=a}
        3m orders/0 moves to a
        4m expire 1
        5m orders/0 moves to b
        30m end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:00:30
            0s          ada: silence_created S1 {host="a"} until 00:10:00, by ada: deploy
            0s          silence S1 begins: {host="a"} until 00:10:00, by ada: deploy
            0s          Slow{host="a"} is silenced by S1: {host="a"} until 00:10:00, by ada: deploy
            30s         {}:{alertname="Slow"}@orders/0 says nothing to ops/slack: silenced by S1
            30s         {}:{alertname="Slow"}@orders/0 says nothing to ops/mail: silenced by S1
            30s         {}:{alertname="Slow"}@orders/0 waits: silenced by S1
            1m          orders/0 went with 1 alerts, 1 groups and 0 unsent notifications
            1m          b: orders/0 came with 1 alerts, 1 groups and 0 unsent notifications
            1m          b: silence S1 begins: {host="a"} until 00:10:00, by ada: deploy
            1m          b: {}:{alertname="Slow"}@orders/0 waits: silenced by S1
            2m          b: Down{host="a"} is silenced by S1: {host="a"} until 00:10:00, by ada: deploy
            2m          b: {}:{alertname="Down"}@orders/0 waits: group_wait until 00:02:30
            2m30s       b: {}:{alertname="Down"}@orders/0 says nothing to ops/slack: silenced by S1
            2m30s       b: {}:{alertname="Down"}@orders/0 says nothing to ops/mail: silenced by S1
            2m30s       b: {}:{alertname="Down"}@orders/0 waits: silenced by S1
            3m          b: orders/0 went with 2 alerts, 2 groups and 0 unsent notifications
            3m          orders/0 came with 2 alerts, 2 groups and 0 unsent notifications
            3m          {}:{alertname="Down"}@orders/0 waits: silenced by S1
            3m          {}:{alertname="Slow"}@orders/0 waits: silenced by S1
            4m          bob (192.0.2.7): silence_expired S1 {host="a"} until 00:04:00, by ada: deploy
            4m          silence S1 is over
            4m          Slow{host="a"} is not silenced any more: S1 is over
            4m          Down{host="a"} is not silenced any more: S1 is over
            4m          {}:{alertname="Down"}@orders/0 waits: group_wait until 00:04:30
            4m          {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:04:30
            4m30s       → ops/slack #1 New firing Down{host="a"}
            4m30s       → ops/mail #1 New firing Down{host="a"}
            4m30s       → ops/slack #1 New firing Slow{host="a"}
            4m30s       → ops/mail #1 New firing Slow{host="a"}
            4m30s100ms  {}:{alertname="Down"}@orders/0 #1 arrived at ops/slack, attempt 1, took 100ms
            4m30s100ms  {}:{alertname="Down"}@orders/0 waits: repeat_interval until 04:04:30
            4m30s100ms  {}:{alertname="Down"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
            4m30s100ms  {}:{alertname="Slow"}@orders/0 #1 arrived at ops/slack, attempt 1, took 100ms
            4m30s100ms  {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:04:30
            4m30s100ms  {}:{alertname="Slow"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
            5m          orders/0 went with 2 alerts, 2 groups and 0 unsent notifications
            5m          b: orders/0 came with 2 alerts, 2 groups and 0 unsent notifications
            5m          b: silence S1 is over
            5m          b: {}:{alertname="Down"}@orders/0 waits: repeat_interval until 04:04:30
            5m          b: {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:04:30
        "#]],
    );
}

/// Its event time is the same: it may be judged anew after a restart, or say so of long ago.
#[test]
fn a_new_life_of_a_group_has_keys_of_its_own_at_the_new_owner() {
    check(
        "
        receiver ops slack
        route ops by:alertname wait:0s
        show all
        0s at orders/0 refresh Slow{host=a} 0s
        1m at orders/0 resolve Slow{host=a}
        10m orders/0 moves to b
        20m at orders/0 refresh Slow{host=a} 0s
        30m end
        ",
        expect![[r#"
            0s          alert Slow{host="a"} firing at 00:00:00
            0s          opened {}:{alertname="Slow"}@orders/0 for ops since 00:00:00
            0s          Slow{host="a"} joins {}:{alertname="Slow"}@orders/0 for ops
            0s          {}:{alertname="Slow"}@orders/0 #1 to ops/slack: new, 1 firing, 0 resolved
            0s          {}:{alertname="Slow"}@orders/0 #1 → ops/slack, attempt 1 (delivery 1)
            0s          → ops/slack #1 New firing Slow{host="a"}
            100ms       {}:{alertname="Slow"}@orders/0 #1 arrived at ops/slack, attempt 1, took 100ms
            100ms       {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:00
            1m          alert Slow{host="a"} resolved at 00:01:00
            1m          {}:{alertname="Slow"}@orders/0 waits: group_interval until 00:05:00
            5m          {}:{alertname="Slow"}@orders/0 #2 to ops/slack: all resolved, 0 firing, 1 resolved
            5m          {}:{alertname="Slow"}@orders/0 #2 → ops/slack, attempt 1 (delivery 2)
            5m          → ops/slack #2 AllResolved resolved Slow{host="a"} in thread t0
            5m100ms     {}:{alertname="Slow"}@orders/0 #2 arrived at ops/slack, attempt 1, took 100ms
            5m100ms     closed {}:{alertname="Slow"}@orders/0 after 2 notifications
            10m         orders/0 went with 1 alerts, 0 groups and 0 unsent notifications
            10m         b: orders/0 came with 1 alerts, 0 groups and 0 unsent notifications
            20m         b: alert Slow{host="a"} firing at 00:20:00
            20m         b: opened {}:{alertname="Slow"}@orders/0 for ops since 00:00:00.001
            20m         b: Slow{host="a"} joins {}:{alertname="Slow"}@orders/0 for ops
            20m         b: {}:{alertname="Slow"}@orders/0 #1 to ops/slack: new, 1 firing, 0 resolved
            20m         b: {}:{alertname="Slow"}@orders/0 #1 → ops/slack, attempt 1 (delivery 1)
            20m         b: → ops/slack #1 New firing Slow{host="a"}
            20m100ms    b: {}:{alertname="Slow"}@orders/0 #1 arrived at ops/slack, attempt 1, took 100ms
            20m100ms    b: {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:20:00
        "#]],
    );
}

#[test]
fn after_a_restart_a_home_is_silent_until_it_is_confirmed() {
    ops(
        "
        0s ops/slack takes 30s
        0s at orders/0 fire Slow{host=a}
        0s at orders/1 fire Slow{host=b}
        35s a restarts
        40s fire Own
        50s groups
        50s at orders/0 fire Down{host=a}
        2m a keeps orders/0
        3m a loses orders/1
        20m end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:00:30
            0s          {}:{alertname="Slow"}@orders/1 waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s         → ops/slack #1 New firing Slow{host="b"}
            30s         → ops/mail #1 New firing Slow{host="b"}
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="Slow"}@orders/1 #1 arrived at ops/mail, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"}@orders/1 waits: repeat_interval until 04:00:30
            35s         {}:{alertname="Slow"}@orders/0 #1 failed at ops/slack, attempt 1: Foghorn was stopped before there was an answer; next at 00:00:35
            35s         {}:{alertname="Slow"}@orders/1 #1 failed at ops/slack, attempt 1: Foghorn was stopped before there was an answer; next at 00:00:35
            35s         says nothing of 2 partitions until it is known whose they are
            40s         {}:{alertname="Own"} waits: group_wait until 00:01:10
            50s         | {}:{alertname="Own"}: 1 firing, ops/slack Untold { since: WallTime(40000) }, next Wait(GroupWait { until: WallTime(70000) })
            50s         | {}:{alertname="Own"}: 1 firing, ops/mail Untold { since: WallTime(40000) }, next Wait(GroupWait { until: WallTime(70000) })
            50s         | {}:{alertname="Slow"}@orders/0: 1 firing, ops/slack Underway { flushed_at: WallTime(30000), sequence: 1 }, next Wait(Unconfirmed)
            50s         | {}:{alertname="Slow"}@orders/0: 1 firing, ops/mail Told { flushed_at: WallTime(30000), sequence: 1 }, next Wait(Unconfirmed)
            50s         | {}:{alertname="Slow"}@orders/1: 1 firing, ops/slack Underway { flushed_at: WallTime(30000), sequence: 1 }, next Wait(Unconfirmed)
            50s         | {}:{alertname="Slow"}@orders/1: 1 firing, ops/mail Told { flushed_at: WallTime(30000), sequence: 1 }, next Wait(Unconfirmed)
            1m10s       → ops/slack #1 New firing Own
            1m10s       → ops/mail #1 New firing Own
            1m10s100ms  {}:{alertname="Own"} #1 arrived at ops/mail, attempt 1, took 100ms
            1m10s100ms  {}:{alertname="Own"} waits: repeat_interval until 04:01:10
            1m40s       {}:{alertname="Own"} #1 arrived at ops/slack, attempt 1, took 30s
            2m          orders/0 is ours still
            2m          {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            2m          → ops/slack #1 New (attempt 2) firing Slow{host="a"} (perhaps repeated)
            2m          → ops/slack #1 New firing Down{host="a"}
            2m          → ops/mail #1 New firing Down{host="a"}
            2m100ms     {}:{alertname="Down"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
            2m100ms     {}:{alertname="Down"}@orders/0 waits: repeat_interval until 04:02:00
            2m30s       {}:{alertname="Slow"}@orders/0 #1 arrived at ops/slack, attempt 2, took 30s
            2m30s       {}:{alertname="Down"}@orders/0 #1 arrived at ops/slack, attempt 1, took 30s
            3m          orders/1 went with 1 alerts, 1 groups and 1 unsent notifications
        "#]],
    );
}

#[test]
fn a_parcel_takes_the_place_of_what_was_restored() {
    ops(
        "
        0s at orders/0 fire Slow{host=a}
        1m orders/0 is published
        2m at orders/0 fire Slow{host=b}
        5m a restarts
        6m a adopts orders/0
        7m at orders/0 resolve Slow{host=a}
        30m end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
            2m          {}:{alertname="Slow"}@orders/0 waits: group_interval until 00:05:30
            5m          says nothing of 1 partitions until it is known whose they are
            6m          orders/0 came with 1 alerts, 1 groups and 0 unsent notifications
            6m          {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            7m          {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:07:30
            7m30s       → ops/slack #2 AllResolved resolved Slow{host="a"} in thread t0
            7m30s       → ops/mail #2 AllResolved resolved Slow{host="a"} in thread t0
            7m30s100ms  {}:{alertname="Slow"}@orders/0 #2 arrived at ops/slack, attempt 1, took 100ms
            7m30s100ms  {}:{alertname="Slow"}@orders/0 #2 arrived at ops/mail, attempt 1, took 100ms
            7m30s100ms  closed {}:{alertname="Slow"}@orders/0 after 2 notifications
        "#]],
    );
}

#[test]
fn a_member_that_is_killed_leaves_what_it_published() {
    ops(
        "
        0s at orders/0 fire Slow{host=a}
        1m at orders/0 fire Slow{host=b}
        1m orders/0 is published
        2m b adopts orders/0
        2m a loses orders/0
        10m at orders/0 resolve Slow{host=a} Slow{host=b}
        30m end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
            1m          {}:{alertname="Slow"}@orders/0 waits: group_interval until 00:05:30
            2m          b: orders/0 came with 2 alerts, 1 groups and 0 unsent notifications
            2m          b: {}:{alertname="Slow"}@orders/0 waits: group_interval until 00:05:30
            2m          orders/0 went with 2 alerts, 1 groups and 0 unsent notifications
            5m30s       b: → ops/slack #2 Changed firing Slow{host="a"} Slow{host="b"} in thread t0
            5m30s       b: → ops/mail #2 Changed firing Slow{host="a"} Slow{host="b"} in thread t0
            5m30s100ms  b: {}:{alertname="Slow"}@orders/0 #2 arrived at ops/slack, attempt 1, took 100ms
            5m30s100ms  b: {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:05:30
            5m30s100ms  b: {}:{alertname="Slow"}@orders/0 #2 arrived at ops/mail, attempt 1, took 100ms
            10m         b: {}:{alertname="Slow"}@orders/0 waits: group_interval until 00:10:30
            10m30s      b: → ops/slack #3 AllResolved resolved Slow{host="a"} Slow{host="b"} in thread t0
            10m30s      b: → ops/mail #3 AllResolved resolved Slow{host="a"} Slow{host="b"} in thread t0
            10m30s100ms b: {}:{alertname="Slow"}@orders/0 #3 arrived at ops/slack, attempt 1, took 100ms
            10m30s100ms b: {}:{alertname="Slow"}@orders/0 #3 arrived at ops/mail, attempt 1, took 100ms
            10m30s100ms b: closed {}:{alertname="Slow"}@orders/0 after 3 notifications
        "#]],
    );
}

#[test]
fn what_a_desk_has_no_room_for_stays_out_pending_alerts_first() {
    check(
        "
        receiver ops slack
        route ops by:alertname
        bound alerts 2
        0s orders/0 moves to b
        0s at orders/0 pending Down{host=a}
        0s at orders/0 fire Slow{host=b}
        0s at orders/1 fire Slow{host=c}
        10m orders/0 moves to a
        30m counts
        ",
        expect![[r#"
            0s          orders/0 went with 0 alerts, 0 groups and 0 unsent notifications
            0s          b: orders/0 came with 0 alerts, 0 groups and 0 unsent notifications
            0s          b: {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:00:30
            0s          {}:{alertname="Slow"}@orders/1 waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="c"}
            30s         b: → ops/slack #1 New firing Slow{host="b"}
            30s100ms    {}:{alertname="Slow"}@orders/1 #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"}@orders/1 waits: repeat_interval until 04:00:30
            30s100ms    b: {}:{alertname="Slow"}@orders/0 #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    b: {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            10m         b: orders/0 went with 2 alerts, 1 groups and 0 unsent notifications
            10m         orders/0 came with 2 alerts, 1 groups and 0 unsent notifications
            10m         {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            30m         | DeskCounts { pending: 0, firing: 2, resolved: 0, refused: 0, groups: 2, owed: 0, dead_letters: 0 }
        "#]],
    );
}

#[test]
fn what_overflows_stays_with_its_home() {
    check(
        "
        receiver ops slack
        route ops by:alertname
        bound groups 2
        0s at orders/0 fire Slow{host=a}
        0s at orders/1 fire Slow{host=b}
        0s at orders/0 fire Down{host=a}
        0s at orders/1 fire Down{host=b}
        1m orders/0 moves to b
        2m groups
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:00:30
            0s          {}:{alertname="Slow"}@orders/1 waits: group_wait until 00:00:30
            0s          Down{host="a"} goes into {}:{foghorn_overflow="true"}@orders/0 instead of {}:{alertname="Down"}@orders/0: the desk holds 2 groups
            0s          {}:{foghorn_overflow="true"}@orders/0 waits: group_wait until 00:00:30
            0s          Down{host="b"} goes into {}:{foghorn_overflow="true"}@orders/1 instead of {}:{alertname="Down"}@orders/1: the desk holds 2 groups
            0s          {}:{foghorn_overflow="true"}@orders/1 waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/slack #1 New firing Slow{host="b"}
            30s         → ops/slack #1 New firing Down{host="a"}
            30s         → ops/slack #1 New firing Down{host="b"}
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="Slow"}@orders/1 #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"}@orders/1 waits: repeat_interval until 04:00:30
            30s100ms    {}:{foghorn_overflow="true"}@orders/0 #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{foghorn_overflow="true"}@orders/0 waits: repeat_interval until 04:00:30
            30s100ms    {}:{foghorn_overflow="true"}@orders/1 #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{foghorn_overflow="true"}@orders/1 waits: repeat_interval until 04:00:30
            1m          orders/0 went with 2 alerts, 2 groups and 0 unsent notifications
            1m          b: orders/0 came with 2 alerts, 2 groups and 0 unsent notifications
            1m          b: {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            1m          b: {}:{foghorn_overflow="true"}@orders/0 waits: repeat_interval until 04:00:30
            2m          | {}:{alertname="Slow"}@orders/1: 1 firing, ops/slack Told { flushed_at: WallTime(30000), sequence: 1 }, next Wait(RepeatInterval { until: WallTime(14430000) })
            2m          | {}:{foghorn_overflow="true"}@orders/1: 1 firing, ops/slack Told { flushed_at: WallTime(30000), sequence: 1 }, next Wait(RepeatInterval { until: WallTime(14430000) })
        "#]],
    );
}

/// PagerDuty knows an incident by this key, and a repeat by the other.
#[test]
fn a_receivers_keys_are_the_same_from_every_member() {
    let mut world = World::new(config(), 1);
    let home = source("orders/3");
    world.at_home(&home);
    world.fire(&alert_name("Slow{host=a,severity=critical}"));
    world.advance(WallTime(60_000));
    world.move_home(&home, 1);
    world.advance(WallTime(600_000));
    world.at_home(&home);
    world.resolve(&alert_name("Slow{host=a,severity=critical}"));
    world.advance(WallTime(1_200_000));
    let to_pager = || world.deliveries.iter().filter(|(_, delivery)| &*delivery.notification.receiver == "pager");
    let dedup: BTreeSet<String> = to_pager().map(|(_, delivery)| delivery.notification.dedup_key()).collect();
    let sent: BTreeSet<String> = to_pager().map(|(_, delivery)| delivery.notification.idempotency_key()).collect();
    assert_eq!((to_pager().count(), dedup.len(), sent.len()), (2, 1, 2), "{dedup:?} {sent:?}");
}
