//! What happens when something is full (design D8).

use expect_test::expect;

use super::check;

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
            0s          {}:{alertname="S"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing S{h="b"} S{h="c"} S{h="e"} and 2 more
            30s100ms    {}:{alertname="S"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="S"} waits: repeat_interval until 04:00:30
            2m          {}:{alertname="S"} waits: group_interval until 00:05:30
            5m30s       → ops/slack #2 Changed firing S{h="f"} resolved S{h="b"} S{h="c"} and 3 more in thread t0
            5m30s100ms  {}:{alertname="S"} #2 arrived at ops/slack, attempt 1, took 100ms
            5m30s100ms  {}:{alertname="S"} waits: repeat_interval until 04:05:30
            10m         {}:{alertname="S"} waits: group_interval until 00:10:30
            10m30s      → ops/slack #3 AllResolved resolved S{h="d"} S{h="e"} S{h="f"} in thread t0
            10m30s100ms {}:{alertname="S"} #3 arrived at ops/slack, attempt 1, took 100ms
            10m30s100ms closed {}:{alertname="S"} after 3 notifications
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
            0s          alert A pending at 00:00:00
            0s          alert B pending at 00:00:00
            0s          refused pending C: the desk holds 2 alerts
            1s          dropped pending A to make room for D
            1s          alert D firing at 00:00:01
            1s          opened {}:{alertname="D"} for ops since 00:00:01
            1s          D joins {}:{alertname="D"} for ops
            1s          {}:{alertname="D"} waits: group_wait until 00:00:31
            2s          dropped pending B to make room for E
            2s          alert E firing at 00:00:02
            2s          opened {}:{alertname="E"} for ops since 00:00:02
            2s          E joins {}:{alertname="E"} for ops
            2s          {}:{alertname="E"} waits: group_wait until 00:00:32
            2s          refused firing F: the desk holds 2 alerts
            2s          alert FoghornDeskFull{severity="warning"} firing at 00:00:02
            2s          opened {}:{alertname="FoghornDeskFull"} for ops since 00:00:02
            2s          FoghornDeskFull{severity="warning"} joins {}:{alertname="FoghornDeskFull"} for ops
            2s          {}:{alertname="FoghornDeskFull"} waits: group_wait until 00:00:32
            31s         {}:{alertname="D"} #1 to ops/slack: new, 1 firing, 0 resolved
            31s         {}:{alertname="D"} #1 → ops/slack, attempt 1 (delivery 1)
            31s         → ops/slack #1 New firing D
            31s100ms    {}:{alertname="D"} #1 arrived at ops/slack, attempt 1, took 100ms
            31s100ms    {}:{alertname="D"} waits: repeat_interval until 04:00:31
            32s         {}:{alertname="E"} #1 to ops/slack: new, 1 firing, 0 resolved
            32s         {}:{alertname="FoghornDeskFull"} #1 to ops/slack: new, 1 firing, 0 resolved
            32s         {}:{alertname="E"} #1 → ops/slack, attempt 1 (delivery 2)
            32s         → ops/slack #1 New firing E
            32s         {}:{alertname="FoghornDeskFull"} #1 → ops/slack, attempt 1 (delivery 3)
            32s         → ops/slack #1 New firing FoghornDeskFull{severity="warning"}
            32s100ms    {}:{alertname="E"} #1 arrived at ops/slack, attempt 1, took 100ms
            32s100ms    {}:{alertname="E"} waits: repeat_interval until 04:00:32
            32s100ms    {}:{alertname="FoghornDeskFull"} #1 arrived at ops/slack, attempt 1, took 100ms
            32s100ms    {}:{alertname="FoghornDeskFull"} waits: repeat_interval until 04:00:32
            1m          alert D resolved at 00:01:00
            1m          {}:{alertname="D"} waits: group_interval until 00:05:31
            1m1s        refused firing F: the desk holds 2 alerts
            5m31s       {}:{alertname="D"} #2 to ops/slack: all resolved, 0 firing, 1 resolved
            5m31s       {}:{alertname="D"} #2 → ops/slack, attempt 1 (delivery 4)
            5m31s       → ops/slack #2 AllResolved resolved D in thread t1000
            5m31s100ms  {}:{alertname="D"} #2 arrived at ops/slack, attempt 1, took 100ms
            5m31s100ms  closed {}:{alertname="D"} after 2 notifications
            10m         | DeskCounts { pending: 0, firing: 2, resolved: 1, refused: 3, groups: 2, owed: 0, dead_letters: 0 }
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
            0s          {}:{host="a"} waits: group_wait until 00:00:30
            0s          {}:{host="b"} waits: group_wait until 00:00:30
            0s          S{host="c"} goes into {}:{foghorn_overflow="true"} instead of {}:{host="c"}: the desk holds 2 groups
            0s          {}:{foghorn_overflow="true"} waits: group_wait until 00:00:30
            0s          S{host="d"} goes into {}:{foghorn_overflow="true"} instead of {}:{host="d"}: the desk holds 2 groups
            30s         → ops/slack #1 New firing S{host="c"} S{host="d"}
            30s         → ops/slack #1 New firing S{host="a"}
            30s         → ops/slack #1 New firing S{host="b"}
            30s100ms    {}:{foghorn_overflow="true"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{foghorn_overflow="true"} waits: repeat_interval until 04:00:30
            30s100ms    {}:{host="a"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{host="a"} waits: repeat_interval until 04:00:30
            30s100ms    {}:{host="b"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{host="b"} waits: repeat_interval until 04:00:30
            2m          {}:{foghorn_overflow="true"} waits: group_interval until 00:05:30
            2m          {}:{host="a"} waits: group_interval until 00:05:30
            3m          {}:{host="b"} waits: group_interval until 00:05:30
            5m30s       → ops/slack #2 AllResolved resolved S{host="c"} S{host="d"} in thread t0
            5m30s       → ops/slack #2 AllResolved resolved S{host="a"} in thread t0
            5m30s       → ops/slack #2 AllResolved resolved S{host="b"} in thread t0
            5m30s100ms  {}:{foghorn_overflow="true"} #2 arrived at ops/slack, attempt 1, took 100ms
            5m30s100ms  closed {}:{foghorn_overflow="true"} after 2 notifications
            5m30s100ms  {}:{host="a"} #2 arrived at ops/slack, attempt 1, took 100ms
            5m30s100ms  closed {}:{host="a"} after 2 notifications
            5m30s100ms  {}:{host="b"} #2 arrived at ops/slack, attempt 1, took 100ms
            5m30s100ms  closed {}:{host="b"} after 2 notifications
            20m         {}:{host="c"} waits: group_wait until 00:20:30
            20m30s      → ops/slack #1 New firing S{host="c"}
            20m30s100ms {}:{host="c"} #1 arrived at ops/slack, attempt 1, took 100ms
            20m30s100ms {}:{host="c"} waits: repeat_interval until 04:20:30
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
            0s          {}:{alertname="A"} waits: group_wait until 00:00:30
            0s          {}:{alertname="B"} waits: group_wait until 00:00:30
            0s          {}:{alertname="C"} waits: group_wait until 00:00:30
            30s         {}:{alertname="B"} #1 for ops/slack given up after 0 attempts: the lane is full with 1 notifications; still owed, anew at 00:05:30
            30s         {}:{alertname="C"} #1 for ops/slack given up after 0 attempts: the lane is full with 1 notifications; still owed, anew at 00:05:30
            30s         → ops/slack #1 New firing A
            30s100ms    {}:{alertname="A"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="A"} waits: repeat_interval until 04:00:30
            30s100ms    ops/slack is back: 1 groups that are owed to it are due
            30s100ms    → ops/slack #2 New firing B
            30s200ms    {}:{alertname="B"} #2 arrived at ops/slack, attempt 1, took 100ms
            30s200ms    {}:{alertname="B"} waits: repeat_interval until 04:00:30.1
            30s200ms    ops/slack is back: 1 groups that are owed to it are due
            30s200ms    → ops/slack #2 New firing C
            30s300ms    {}:{alertname="C"} #2 arrived at ops/slack, attempt 1, took 100ms
            30s300ms    {}:{alertname="C"} waits: repeat_interval until 04:00:30.2
        "#]],
    );
}

#[test]
fn a_group_that_is_owed_too_many_ends_forgets_the_oldest() {
    check(
        "
        receiver ops slack
        route ops by:alertname
        bound ended 2
        0s   fire     S{h=a} S{h=b} S{h=c} S{h=d}
        1m   resolve  S{h=c}
        2m   resolve  S{h=b} S{h=a}
        10m  end
        ",
        expect![[r#"
            0s          {}:{alertname="S"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing S{h="a"} S{h="b"} S{h="c"} S{h="d"}
            30s100ms    {}:{alertname="S"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="S"} waits: repeat_interval until 04:00:30
            1m          {}:{alertname="S"} waits: group_interval until 00:05:30
            2m          {}:{alertname="S"} forgets the end of S{h="c"}: it is owed 2 others
            5m30s       → ops/slack #2 Changed firing S{h="d"} resolved S{h="a"} S{h="b"} in thread t0
            5m30s100ms  {}:{alertname="S"} #2 arrived at ops/slack, attempt 1, took 100ms
            5m30s100ms  {}:{alertname="S"} waits: repeat_interval until 04:05:30
        "#]],
    );
}
