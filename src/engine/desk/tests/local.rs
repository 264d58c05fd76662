//! Rules that say that they are local: what shows that they are not, and what ends where they become it, or cease to be, while
//! the desk is away.

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

#[test]
fn two_homes_that_raise_one_alert_show_that_its_rule_is_not_local() {
    ops(
        "
        0s at orders/0 fire Slow{host=a}
        10s at orders/1 fire Slow{host=a}
        20s at orders/1 refresh Slow{host=a} 10s
        5m at orders/0 resolve Slow{host=a}
        6m at orders/1 refresh Slow{host=a} 10s
        20m at orders/1 resolve Slow{host=a}
        30m end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:00:30
            10s         Slow{host="a"} of orders/1 is not taken: orders/0 has it, so its rule is not local
            10s         {}:{alertname="FoghornRuleNotLocal"} waits: group_wait until 00:00:40
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
            40s         → ops/slack #1 New firing FoghornRuleNotLocal{rule="Slow", rule_file="rules/test.yaml", rule_group="test", severity="warning"}
            40s         → ops/mail #1 New firing FoghornRuleNotLocal{rule="Slow", rule_file="rules/test.yaml", rule_group="test", severity="warning"}
            40s100ms    {}:{alertname="FoghornRuleNotLocal"} #1 arrived at ops/slack, attempt 1, took 100ms
            40s100ms    {}:{alertname="FoghornRuleNotLocal"} waits: repeat_interval until 04:00:40
            40s100ms    {}:{alertname="FoghornRuleNotLocal"} #1 arrived at ops/mail, attempt 1, took 100ms
            5m          {}:{alertname="Slow"}@orders/0 waits: group_interval until 00:05:30
            5m30s       → ops/slack #2 AllResolved resolved Slow{host="a"} in thread t0
            5m30s       → ops/mail #2 AllResolved resolved Slow{host="a"} in thread t0
            5m30s100ms  {}:{alertname="Slow"}@orders/0 #2 arrived at ops/slack, attempt 1, took 100ms
            5m30s100ms  {}:{alertname="Slow"}@orders/0 #2 arrived at ops/mail, attempt 1, took 100ms
            5m30s100ms  closed {}:{alertname="Slow"}@orders/0 after 2 notifications
            6m          {}:{alertname="FoghornRuleNotLocal"} waits: group_wait until 00:06:30
            6m          {}:{alertname="Slow"}@orders/1 waits: group_wait until 00:06:30
            6m30s       → ops/slack #2 AllResolved resolved FoghornRuleNotLocal{rule="Slow", rule_file="rules/test.yaml", rule_group="test", severity="warning"} in thread t10000
            6m30s       → ops/mail #2 AllResolved resolved FoghornRuleNotLocal{rule="Slow", rule_file="rules/test.yaml", rule_group="test", severity="warning"} in thread t10000
            6m30s       → ops/slack #1 New firing Slow{host="a"}
            6m30s       → ops/mail #1 New firing Slow{host="a"}
            6m30s100ms  {}:{alertname="FoghornRuleNotLocal"} #2 arrived at ops/slack, attempt 1, took 100ms
            6m30s100ms  {}:{alertname="FoghornRuleNotLocal"} #2 arrived at ops/mail, attempt 1, took 100ms
            6m30s100ms  closed {}:{alertname="FoghornRuleNotLocal"} after 2 notifications
            6m30s100ms  {}:{alertname="Slow"}@orders/1 #1 arrived at ops/slack, attempt 1, took 100ms
            6m30s100ms  {}:{alertname="Slow"}@orders/1 waits: repeat_interval until 04:06:30
            6m30s100ms  {}:{alertname="Slow"}@orders/1 #1 arrived at ops/mail, attempt 1, took 100ms
            20m         {}:{alertname="Slow"}@orders/1 waits: group_wait until 00:20:30
            20m30s      → ops/slack #2 AllResolved resolved Slow{host="a"} in thread t10000
            20m30s      → ops/mail #2 AllResolved resolved Slow{host="a"} in thread t10000
            20m30s100ms {}:{alertname="Slow"}@orders/1 #2 arrived at ops/slack, attempt 1, took 100ms
            20m30s100ms {}:{alertname="Slow"}@orders/1 #2 arrived at ops/mail, attempt 1, took 100ms
            20m30s100ms closed {}:{alertname="Slow"}@orders/1 after 2 notifications
        "#]],
    );
}

#[test]
fn a_clash_ends_with_the_home_that_caused_it() {
    ops(
        "
        0s at orders/0 fire Slow{host=a}
        10s at orders/1 fire Slow{host=a}
        20s at orders/1 fire Slow{host=b}
        10m at orders/1 resolve Slow{host=a}
        15m orders/1 moves to b
        30m end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:00:30
            10s         Slow{host="a"} of orders/1 is not taken: orders/0 has it, so its rule is not local
            10s         {}:{alertname="FoghornRuleNotLocal"} waits: group_wait until 00:00:40
            20s         {}:{alertname="Slow"}@orders/1 waits: group_wait until 00:00:50
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
            40s         → ops/slack #1 New firing FoghornRuleNotLocal{rule="Slow", rule_file="rules/test.yaml", rule_group="test", severity="warning"}
            40s         → ops/mail #1 New firing FoghornRuleNotLocal{rule="Slow", rule_file="rules/test.yaml", rule_group="test", severity="warning"}
            40s100ms    {}:{alertname="FoghornRuleNotLocal"} #1 arrived at ops/slack, attempt 1, took 100ms
            40s100ms    {}:{alertname="FoghornRuleNotLocal"} waits: repeat_interval until 04:00:40
            40s100ms    {}:{alertname="FoghornRuleNotLocal"} #1 arrived at ops/mail, attempt 1, took 100ms
            50s         → ops/slack #1 New firing Slow{host="b"}
            50s         → ops/mail #1 New firing Slow{host="b"}
            50s100ms    {}:{alertname="Slow"}@orders/1 #1 arrived at ops/slack, attempt 1, took 100ms
            50s100ms    {}:{alertname="Slow"}@orders/1 waits: repeat_interval until 04:00:50
            50s100ms    {}:{alertname="Slow"}@orders/1 #1 arrived at ops/mail, attempt 1, took 100ms
            10m         {}:{alertname="FoghornRuleNotLocal"} waits: group_wait until 00:10:30
            10m30s      → ops/slack #2 AllResolved resolved FoghornRuleNotLocal{rule="Slow", rule_file="rules/test.yaml", rule_group="test", severity="warning"} in thread t10000
            10m30s      → ops/mail #2 AllResolved resolved FoghornRuleNotLocal{rule="Slow", rule_file="rules/test.yaml", rule_group="test", severity="warning"} in thread t10000
            10m30s100ms {}:{alertname="FoghornRuleNotLocal"} #2 arrived at ops/slack, attempt 1, took 100ms
            10m30s100ms {}:{alertname="FoghornRuleNotLocal"} #2 arrived at ops/mail, attempt 1, took 100ms
            10m30s100ms closed {}:{alertname="FoghornRuleNotLocal"} after 2 notifications
            15m         orders/1 went with 1 alerts, 1 groups and 0 unsent notifications
            15m         b: orders/1 came with 1 alerts, 1 groups and 0 unsent notifications
            15m         b: {}:{alertname="Slow"}@orders/1 waits: repeat_interval until 04:00:50
        "#]],
    );
}
