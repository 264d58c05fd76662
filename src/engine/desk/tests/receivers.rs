//! Receivers that fail, throttle, hang, reject and come back.

use expect_test::expect;

use super::{check, ops};

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
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"} #1 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:00:30.667
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            30s667ms    → ops/slack #1 New (attempt 2) firing Slow{host="a"}
            30s767ms    {}:{alertname="Slow"} #1 failed at ops/slack, attempt 2: 503 from the stand-in; next at 00:00:32.259
            32s259ms    → ops/slack #1 New (attempt 3) firing Slow{host="a"}
            32s359ms    {}:{alertname="Slow"} #1 failed at ops/slack, attempt 3: 503 from the stand-in; next at 00:00:36.244
            36s244ms    → ops/slack #1 New (attempt 4) firing Slow{host="a"}
            36s344ms    {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 4, took 100ms
            2m          | ops/slack: 0 in flight, 0 queued, last Delivered at 00:00:36.344, error 503 from the stand-in
            2m          | ops/mail: 0 in flight, 0 queued, last Delivered at 00:00:30.1, error none
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
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"} #1 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:00:50.666
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            50s666ms    → ops/slack #1 New (attempt 2) firing Slow{host="a"}
            50s766ms    {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 2, took 100ms
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
            0s          {}:{alertname="A"} waits: group_wait until 00:00:30
            0s          {}:{alertname="B"} waits: group_wait until 00:00:30
            0s          {}/{team="shop"}:{alertname="C"} waits: group_wait until 00:00:30
            30s         → shop/slack #1 New firing C{team="shop"}
            30s         → shop/webhook #1 New firing C{team="shop"}
            30s100ms    {}/{team="shop"}:{alertname="C"} #1 arrived at shop/slack, attempt 1, took 100ms
            30s100ms    {}/{team="shop"}:{alertname="C"} waits: repeat_interval until 04:00:30
            30s100ms    {}/{team="shop"}:{alertname="C"} #1 arrived at shop/webhook, attempt 1, took 100ms
            31s         → ops/slack #1 New firing A
            31s100ms    {}:{alertname="A"} #1 throttled by ops/slack, attempt 1: 429; paused until 00:01:31.1
            40s         | ops/slack: 0 in flight, 2 queued, last Throttled at 00:00:31.1, error 429, paused until 00:01:31.1
            40s         | shop/slack: 0 in flight, 0 queued, last Delivered at 00:00:30.1, error none, paused until 00:01:31.1
            40s         | shop/webhook: 0 in flight, 0 queued, last Delivered at 00:00:30.1, error none
            1m31s100ms  → ops/slack #1 New (attempt 2) firing A
            1m31s200ms  {}:{alertname="A"} #1 arrived at ops/slack, attempt 2, took 100ms
            1m31s200ms  {}:{alertname="A"} waits: repeat_interval until 04:00:30
            1m32s100ms  → ops/slack #1 New firing B
            1m32s200ms  {}:{alertname="B"} #1 arrived at ops/slack, attempt 1, took 100ms
            1m32s200ms  {}:{alertname="B"} waits: repeat_interval until 04:00:30
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
            0s          {}:{alertname="A"} waits: group_wait until 00:00:30
            0s          {}:{alertname="B"} waits: group_wait until 00:00:30
            0s          {}:{alertname="C"} waits: group_wait until 00:00:30
            0s          {}:{alertname="D"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing A
            30s100ms    {}:{alertname="A"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="A"} waits: repeat_interval until 04:00:30
            31s         → ops/slack #1 New firing B
            31s100ms    {}:{alertname="B"} #1 arrived at ops/slack, attempt 1, took 100ms
            31s100ms    {}:{alertname="B"} waits: repeat_interval until 04:00:30
            32s         → ops/slack #1 New firing C
            32s100ms    {}:{alertname="C"} #1 arrived at ops/slack, attempt 1, took 100ms
            32s100ms    {}:{alertname="C"} waits: repeat_interval until 04:00:30
            33s         → ops/slack #1 New firing D
            33s100ms    {}:{alertname="D"} #1 arrived at ops/slack, attempt 1, took 100ms
            33s100ms    {}:{alertname="D"} waits: repeat_interval until 04:00:30
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
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            10s         {}:{alertname="Other"} waits: group_wait until 00:00:40
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            40s         → ops/slack #1 New firing Other
            40s         → ops/mail #1 New firing Other
            40s100ms    {}:{alertname="Other"} #1 arrived at ops/mail, attempt 1, took 100ms
            40s100ms    {}:{alertname="Other"} waits: repeat_interval until 04:00:40
            1m20s       | ops/slack: 2 in flight, 0 queued, last nothing, error none
            1m20s       | ops/mail: 0 in flight, 0 queued, last Delivered at 00:00:40.1, error none
            1m30s       {}:{alertname="Slow"} #1 failed at ops/slack, attempt 1: no receipt within 1m; next at 00:01:30.567
            1m30s567ms  → ops/slack #1 New (attempt 2) firing Slow{host="a"} (perhaps repeated)
            1m30s667ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 2, took 100ms
            1m40s       {}:{alertname="Other"} #1 failed at ops/slack, attempt 1: no receipt within 1m; next at 00:01:40.746
            1m40s746ms  → ops/slack #1 New (attempt 2) firing Other (perhaps repeated)
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
        1m30s  ops/slack answers late to 1
        1m30s  ops/slack answers late to 1
        10m    groups
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            1m30s       {}:{alertname="Slow"} #1 failed at ops/slack, attempt 1: no receipt within 1m; next at 00:01:30.567
            1m30s       {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 1m, reported late
            1m30s       {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            1m30s       receipt `delivered` of an unknown target for delivery 1 changes nothing
            10m         | {}:{alertname="Slow"}: 1 firing, ops/slack Told { flushed_at: WallTime(30000), sequence: 1 }, next Wait(RepeatInterval { until: WallTime(14430000) })
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
        1m35s    ops/slack answers late to 1
        2m       groups
        10m      end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            1m30s       {}:{alertname="Slow"} #1 failed at ops/slack, attempt 1: no receipt within 1m; next at 00:01:30.567
            1m30s567ms  → ops/slack #1 New (attempt 2) firing Slow{host="a"} (perhaps repeated)
            1m35s       {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 1m5s, reported late
            1m35s       {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            2m          | {}:{alertname="Slow"}: 1 firing, ops/slack Told { flushed_at: WallTime(30000), sequence: 1 }, next Wait(RepeatInterval { until: WallTime(14430000) })
            2m30s567ms  {}:{alertname="Slow"} #1 failed at ops/slack, attempt 2: no receipt within 1m
        "#]],
    );
}

#[test]
fn a_late_receipt_of_what_was_given_up_settles_it() {
    check(
        "
        receiver ops slack
        route ops by:alertname
        retry 1 attempts 10m
        0s     ops/slack hangs
        0s     fire  Slow{host=a}
        2m     ops/slack answers late to 1
        10m    counts
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            1m30s       {}:{alertname="Slow"} #1 failed at ops/slack, attempt 1: no receipt within 1m
            1m30s       {}:{alertname="Slow"} #1 for ops/slack given up after 1 attempts: too many failures, the last: no receipt within 1m; still owed, anew at 00:06:30
            2m          {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 1m30s, reported late
            2m          {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            10m         | DeskCounts { pending: 0, firing: 1, resolved: 0, refused: 0, groups: 1, owed: 0, dead_letters: 1 }
        "#]],
    );
}

#[test]
fn a_late_receipt_of_an_older_notification_does_not_settle_the_newer() {
    check(
        "
        receiver ops slack
        route ops by:alertname interval:40s
        0s     ops/slack hangs
        0s     fire  Slow{host=a}
        50s    fire  Slow{host=b}
        1m40s  ops/slack answers late to 1
        1m40s  groups
        1m50s  ops/slack is well
        10m    end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            50s         {}:{alertname="Slow"} waits: group_wait until 00:01:20
            1m30s       {}:{alertname="Slow"} #1 failed at ops/slack, attempt 1: no receipt within 1m; next at 00:01:30.567
            1m30s       {}:{alertname="Slow"} #1 for ops/slack gives way to #2 after 1 attempts
            1m30s567ms  → ops/slack #2 Changed firing Slow{host="a"} Slow{host="b"}
            1m40s       {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 1m10s, reported late
            1m40s       | {}:{alertname="Slow"}: 2 firing, ops/slack Underway { flushed_at: WallTime(80000), sequence: 2 }, next Wait(Underway { sequence: 2 })
            2m30s567ms  {}:{alertname="Slow"} #2 failed at ops/slack, attempt 1: no receipt within 1m; next at 00:02:32.059
            2m32s59ms   → ops/slack #2 Changed (attempt 2) firing Slow{host="a"} Slow{host="b"} (perhaps repeated)
            2m32s159ms  {}:{alertname="Slow"} #2 arrived at ops/slack, attempt 2, took 100ms
            2m32s159ms  {}:{alertname="Slow"} waits: repeat_interval until 04:01:20
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
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            10s         {}:{alertname="Other"} waits: group_wait until 00:00:40
            30s         → ops/slack #1 New firing Slow
            30s100ms    {}:{alertname="Slow"} #1 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:00:30.667
            30s667ms    → ops/slack #1 New (attempt 2) firing Slow
            30s767ms    {}:{alertname="Slow"} #1 failed at ops/slack, attempt 2: 503 from the stand-in; next at 00:00:32.259
            32s259ms    → ops/slack #1 New (attempt 3) firing Slow
            32s359ms    {}:{alertname="Slow"} #1 failed at ops/slack, attempt 3: 503 from the stand-in
            32s359ms    {}:{alertname="Slow"} #1 for ops/slack given up after 3 attempts: too many failures, the last: 503 from the stand-in; still owed, anew at 00:05:32.359
            40s         → ops/slack #1 New firing Other
            40s100ms    {}:{alertname="Other"} #1 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:00:40.545
            40s545ms    → ops/slack #1 New (attempt 2) firing Other
            40s645ms    {}:{alertname="Other"} #1 failed at ops/slack, attempt 2: 503 from the stand-in; next at 00:00:41.534
            41s534ms    → ops/slack #1 New (attempt 3) firing Other
            41s634ms    {}:{alertname="Other"} #1 failed at ops/slack, attempt 3: 503 from the stand-in
            41s634ms    {}:{alertname="Other"} #1 for ops/slack given up after 3 attempts: too many failures, the last: 503 from the stand-in; still owed, anew at 00:05:41.634
            4m          {}:{alertname="Third"} waits: group_wait until 00:04:30
            4m30s       → ops/slack #1 New firing Third
            4m30s100ms  {}:{alertname="Third"} #1 arrived at ops/slack, attempt 1, took 100ms
            4m30s100ms  {}:{alertname="Third"} waits: repeat_interval until 04:04:30
            4m30s100ms  ops/slack is back: 2 groups that are owed to it are due
            4m30s100ms  → ops/slack #2 New firing Other
            4m30s100ms  → ops/slack #2 New firing Slow
            4m30s200ms  {}:{alertname="Other"} #2 arrived at ops/slack, attempt 1, took 100ms
            4m30s200ms  {}:{alertname="Other"} waits: repeat_interval until 04:04:30.1
            4m30s200ms  {}:{alertname="Slow"} #2 arrived at ops/slack, attempt 1, took 100ms
            4m30s200ms  {}:{alertname="Slow"} waits: repeat_interval until 04:04:30.1
            10m         | DeskCounts { pending: 0, firing: 3, resolved: 0, refused: 0, groups: 3, owed: 0, dead_letters: 2 }
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
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"} #1 for ops/slack given up after 1 attempts: rejected: 400 from the stand-in; still owed, anew at 00:05:30.1
            5m30s100ms  → ops/slack #2 New firing Slow{host="a"}
            5m30s200ms  {}:{alertname="Slow"} #2 for ops/slack given up after 1 attempts: rejected: 400 from the stand-in; still owed, anew at 00:10:30.2
            10m30s200ms → ops/slack #3 New firing Slow{host="a"}
            10m30s300ms {}:{alertname="Slow"} #3 arrived at ops/slack, attempt 1, took 100ms
            10m30s300ms {}:{alertname="Slow"} waits: repeat_interval until 04:10:30.2
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
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"} #1 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:00:30.667
            30s667ms    → ops/slack #1 New (attempt 2) firing Slow{host="a"}
            30s767ms    {}:{alertname="Slow"} #1 failed at ops/slack, attempt 2: 503 from the stand-in
            30s767ms    {}:{alertname="Slow"} #1 for ops/slack given up after 2 attempts: too many failures, the last: 503 from the stand-in; still owed, anew at 00:05:30.767
            5m30s       → ops/slack #2 AllResolved resolved Slow{host="a"}
            5m30s100ms  {}:{alertname="Slow"} #2 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:05:31.072
            5m31s72ms   → ops/slack #2 AllResolved (attempt 2) resolved Slow{host="a"}
            5m31s172ms  {}:{alertname="Slow"} #2 failed at ops/slack, attempt 2: 503 from the stand-in
            5m31s172ms  {}:{alertname="Slow"} #2 for ops/slack given up after 2 attempts: too many failures, the last: 503 from the stand-in; still owed, anew at 00:10:31.172
            10m31s172ms → ops/slack #3 AllResolved resolved Slow{host="a"}
            10m31s272ms {}:{alertname="Slow"} #3 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:10:31.717
            10m31s717ms → ops/slack #3 AllResolved (attempt 2) resolved Slow{host="a"}
            10m31s817ms {}:{alertname="Slow"} #3 failed at ops/slack, attempt 2: 503 from the stand-in
            10m31s817ms {}:{alertname="Slow"} #3 for ops/slack given up after 2 attempts: too many failures, the last: 503 from the stand-in; still owed, anew at 00:15:31.817
            15m31s817ms → ops/slack #4 AllResolved resolved Slow{host="a"}
            15m31s917ms {}:{alertname="Slow"} #4 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:15:32.795
            15m32s795ms → ops/slack #4 AllResolved (attempt 2) resolved Slow{host="a"}
            15m32s895ms {}:{alertname="Slow"} #4 failed at ops/slack, attempt 2: 503 from the stand-in
            15m32s895ms {}:{alertname="Slow"} #4 for ops/slack given up after 2 attempts: too many failures, the last: 503 from the stand-in; still owed, anew at 00:20:32.895
            20m32s895ms → ops/slack #5 AllResolved resolved Slow{host="a"}
            20m32s995ms {}:{alertname="Slow"} #5 arrived at ops/slack, attempt 1, took 100ms
            20m32s995ms closed {}:{alertname="Slow"} after 5 notifications
            30m         | DeskCounts { pending: 0, firing: 0, resolved: 1, refused: 0, groups: 0, owed: 0, dead_letters: 4 }
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
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            1m          {}:{alertname="Slow"} waits: group_interval until 01:00:30
            1h30s       → ops/slack #2 AllResolved resolved Slow{host="a"} in thread t0
            1h30s100ms  {}:{alertname="Slow"} #2 failed at ops/slack, attempt 1: 503 from the stand-in
            1h30s100ms  {}:{alertname="Slow"} #2 for ops/slack given up after 1 attempts: too many failures, the last: 503 from the stand-in; still owed, anew at 02:00:30.1
            2h30s100ms  → ops/slack #3 AllResolved resolved Slow{host="a"} in thread t0
            2h30s200ms  {}:{alertname="Slow"} #3 failed at ops/slack, attempt 1: 503 from the stand-in
            2h30s200ms  {}:{alertname="Slow"} #3 for ops/slack given up after 1 attempts: too many failures, the last: 503 from the stand-in; still owed, anew at 03:00:30.2
            3h30s200ms  → ops/slack #4 AllResolved resolved Slow{host="a"} in thread t0
            3h30s300ms  {}:{alertname="Slow"} #4 failed at ops/slack, attempt 1: 503 from the stand-in
            3h30s300ms  {}:{alertname="Slow"} #4 for ops/slack given up after 1 attempts: too many failures, the last: 503 from the stand-in; still owed, anew at 04:00:30.3
            4h30s300ms  {}:{alertname="Slow"} says nothing to ops/slack: its end could not be delivered since 01:00:30.1
            4h30s300ms  closed {}:{alertname="Slow"} after 4 notifications
            1d          | DeskCounts { pending: 0, firing: 0, resolved: 1, refused: 0, groups: 0, owed: 0, dead_letters: 3 }
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
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"} Slow{host="b"}
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            40s         {}:{alertname="Slow"} waits: group_interval until 00:01:30
            1m30s       → ops/slack #2 Changed firing Slow{host="b"} resolved Slow{host="a"} in thread t0
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
            2m          {}:{alertname="Slow"} waits: group_interval until 00:02:30
            2m11s621ms  → ops/slack #2 Changed (attempt 7) firing Slow{host="b"} resolved Slow{host="a"} in thread t0
            2m11s721ms  {}:{alertname="Slow"} #2 failed at ops/slack, attempt 7: 503 from the stand-in; next at 00:03:04.362
            2m30s       {}:{alertname="Slow"} #2 for ops/slack gives way to #3 after 7 attempts
            3m          {}:{alertname="Slow"} waits: group_interval until 00:03:30
            3m4s362ms   → ops/slack #3 Changed firing Slow{host="b"} Slow{host="c"} resolved Slow{host="a"} in thread t0
            3m4s462ms   {}:{alertname="Slow"} #3 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:03:35.847
            3m30s       {}:{alertname="Slow"} #3 for ops/slack gives way to #4 after 1 attempts
            3m35s847ms  → ops/slack #4 Changed firing Slow{host="c"} resolved Slow{host="a"} Slow{host="b"} in thread t0
            3m35s947ms  {}:{alertname="Slow"} #4 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:03:53.078
            3m53s78ms   → ops/slack #4 Changed (attempt 2) firing Slow{host="c"} resolved Slow{host="a"} Slow{host="b"} in thread t0
            3m53s178ms  {}:{alertname="Slow"} #4 failed at ops/slack, attempt 2: 503 from the stand-in; next at 00:04:40.818
            4m40s818ms  → ops/slack #4 Changed (attempt 3) firing Slow{host="c"} resolved Slow{host="a"} Slow{host="b"} in thread t0
            4m40s918ms  {}:{alertname="Slow"} #4 failed at ops/slack, attempt 3: 503 from the stand-in; next at 00:05:05.167
            5m5s167ms   → ops/slack #4 Changed (attempt 4) firing Slow{host="c"} resolved Slow{host="a"} Slow{host="b"} in thread t0
            5m5s267ms   {}:{alertname="Slow"} #4 failed at ops/slack, attempt 4: 503 from the stand-in; next at 00:05:41.593
            5m41s593ms  → ops/slack #4 Changed (attempt 5) firing Slow{host="c"} resolved Slow{host="a"} Slow{host="b"} in thread t0
            5m41s693ms  {}:{alertname="Slow"} #4 failed at ops/slack, attempt 5: 503 from the stand-in; next at 00:06:08.99
            6m8s990ms   → ops/slack #4 Changed (attempt 6) firing Slow{host="c"} resolved Slow{host="a"} Slow{host="b"} in thread t0
            6m9s90ms    {}:{alertname="Slow"} #4 arrived at ops/slack, attempt 6, took 100ms
            6m9s90ms    {}:{alertname="Slow"} waits: repeat_interval until 04:03:30
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
            0s          → ops/slack #1 New firing Slow{host="a"}
            30s         {}:{alertname="Slow"} #2 for ops/slack gives way to #3 after 0 attempts
            50s         {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 50s
            50s         → ops/slack #3 Changed firing Slow{host="b"} resolved Slow{host="a"} in thread t0
            1m40s       {}:{alertname="Slow"} #3 arrived at ops/slack, attempt 1, took 50s
            1m40s       {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
        "#]],
    );
}
