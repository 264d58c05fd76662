//! Rules that become local, or cease to be, while the desk is away: what ends.

use expect_test::expect;

use super::ops;

/// Also of partitions of which it was not known whether they are ours still: nobody else is left to tell it.
#[test]
fn where_no_rule_is_local_any_more_what_had_a_home_ends() {
    ops(
        "
        0s at orders/0 fire Slow{host=a}
        0s at orders/0 pending Slow{host=b}
        0s at orders/1 fire Down{host=c}
        0s stalled requests topic 5m
        10s a restarts
        60s a restarts
        61s a speaks of all
        62s fire Slow{host=a}
        5m end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:00:30
            0s          {}:{alertname="Down"}@orders/1 waits: group_wait until 00:00:30
            0s          {}:{alertname="FoghornSourceStalled"} waits: group_wait until 00:00:30
            10s         says nothing of 2 partitions until it is known whose they are
            30s         → ops/slack #1 New firing FoghornSourceStalled{partition="0", severity="critical", stream="requests", topic="topic"}
            30s         → ops/mail #1 New firing FoghornSourceStalled{partition="0", severity="critical", stream="requests", topic="topic"}
            30s100ms    {}:{alertname="FoghornSourceStalled"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="FoghornSourceStalled"} waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="FoghornSourceStalled"} #1 arrived at ops/mail, attempt 1, took 100ms
            1m          says nothing of 2 partitions until it is known whose they are
            1m1s        nobody hears of Slow{host="a"}: it ended before anyone was told
            1m1s        nobody hears of Down{host="c"}: it ended before anyone was told
            1m1s        orders/0 is ours still
            1m1s        orders/1 is ours still
            1m1s        {}:{alertname="Down"}@orders/1 says nothing to ops/slack: everything ended within group_wait
            1m1s        {}:{alertname="Down"}@orders/1 says nothing to ops/mail: everything ended within group_wait
            1m1s        closed {}:{alertname="Down"}@orders/1 after 0 notifications
            1m1s        {}:{alertname="Slow"}@orders/0 says nothing to ops/slack: everything ended within group_wait
            1m1s        {}:{alertname="Slow"}@orders/0 says nothing to ops/mail: everything ended within group_wait
            1m1s        closed {}:{alertname="Slow"}@orders/0 after 0 notifications
            1m2s        {}:{alertname="Slow"} waits: group_wait until 00:01:32
            1m32s       → ops/slack #1 New firing Slow{host="a"}
            1m32s       → ops/mail #1 New firing Slow{host="a"}
            1m32s100ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            1m32s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:01:32
            1m32s100ms  {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
        "#]],
    );
}

#[test]
fn where_all_rules_become_local_what_had_no_home_ends() {
    ops(
        "
        0s fire Slow{host=a}
        0s pending Slow{host=b}
        0s stalled requests topic 5m
        60s a restarts
        61s a speaks of partitions
        62s at orders/0 fire Slow{host=a}
        5m end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            0s          {}:{alertname="FoghornSourceStalled"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing FoghornSourceStalled{partition="0", severity="critical", stream="requests", topic="topic"}
            30s         → ops/mail #1 New firing FoghornSourceStalled{partition="0", severity="critical", stream="requests", topic="topic"}
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="FoghornSourceStalled"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="FoghornSourceStalled"} waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="FoghornSourceStalled"} #1 arrived at ops/mail, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
            1m          says nothing of 0 partitions until it is known whose they are
            1m1s        {}:{alertname="Slow"} waits: group_interval until 00:05:30
            1m2s        {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:01:32
            1m32s       → ops/slack #1 New firing Slow{host="a"}
            1m32s       → ops/mail #1 New firing Slow{host="a"}
            1m32s100ms  {}:{alertname="Slow"}@orders/0 #1 arrived at ops/slack, attempt 1, took 100ms
            1m32s100ms  {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:01:32
            1m32s100ms  {}:{alertname="Slow"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
        "#]],
    );
}
