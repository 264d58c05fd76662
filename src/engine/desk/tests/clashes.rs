//! Rules that say `local: true` and are not.

use expect_test::expect;

use super::ops;

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

#[test]
fn an_alert_that_comes_along_and_is_anothers_ends_for_those_who_know_it() {
    ops(
        "
        0s at orders/0 fire Slow{host=a}
        0s orders/1 moves to b
        10s at orders/1 fire Slow{host=a} Slow{host=b}
        10m orders/1 moves to a
        10m at orders/1 refresh Slow{host=a} 10s
        30m end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"}@orders/0 waits: group_wait until 00:00:30
            0s          orders/1 went with 0 alerts, 0 groups and 0 unsent notifications
            0s          b: orders/1 came with 0 alerts, 0 groups and 0 unsent notifications
            10s         b: {}:{alertname="Slow"}@orders/1 waits: group_wait until 00:00:40
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"}@orders/0 waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="Slow"}@orders/0 #1 arrived at ops/mail, attempt 1, took 100ms
            40s         b: → ops/slack #1 New firing Slow{host="a"} Slow{host="b"}
            40s         b: → ops/mail #1 New firing Slow{host="a"} Slow{host="b"}
            40s100ms    b: {}:{alertname="Slow"}@orders/1 #1 arrived at ops/slack, attempt 1, took 100ms
            40s100ms    b: {}:{alertname="Slow"}@orders/1 waits: repeat_interval until 04:00:40
            40s100ms    b: {}:{alertname="Slow"}@orders/1 #1 arrived at ops/mail, attempt 1, took 100ms
            10m         b: orders/1 went with 2 alerts, 1 groups and 0 unsent notifications
            10m         orders/1 came with 2 alerts, 1 groups and 0 unsent notifications
            10m         {}:{alertname="Slow"}@orders/1 waits: group_wait until 00:10:30
            10m         Slow{host="a"} of orders/1 is not taken: orders/0 has it, so its rule is not local
            10m         {}:{alertname="FoghornRuleNotLocal"} waits: group_wait until 00:10:30
            10m30s      → ops/slack #1 New firing FoghornRuleNotLocal{rule="Slow", rule_file="rules/test.yaml", rule_group="test", severity="warning"}
            10m30s      → ops/mail #1 New firing FoghornRuleNotLocal{rule="Slow", rule_file="rules/test.yaml", rule_group="test", severity="warning"}
            10m30s      → ops/slack #2 Changed firing Slow{host="b"} resolved Slow{host="a"} in thread t10000
            10m30s      → ops/mail #2 Changed firing Slow{host="b"} resolved Slow{host="a"} in thread t10000
            10m30s100ms {}:{alertname="FoghornRuleNotLocal"} #1 arrived at ops/slack, attempt 1, took 100ms
            10m30s100ms {}:{alertname="FoghornRuleNotLocal"} waits: repeat_interval until 04:10:30
            10m30s100ms {}:{alertname="FoghornRuleNotLocal"} #1 arrived at ops/mail, attempt 1, took 100ms
            10m30s100ms {}:{alertname="Slow"}@orders/1 #2 arrived at ops/slack, attempt 1, took 100ms
            10m30s100ms {}:{alertname="Slow"}@orders/1 waits: repeat_interval until 04:10:30
            10m30s100ms {}:{alertname="Slow"}@orders/1 #2 arrived at ops/mail, attempt 1, took 100ms
        "#]],
    );
}
