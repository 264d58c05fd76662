//! What is silenced, what is said of it, and what is owed when the silence is over.

use expect_test::expect;

use super::{check, ops};

/// One receiver with one integration, everything by alert name.
fn slack(script: &str, expect: expect_test::Expect) {
    check(&format!("receiver ops slack\nroute ops by:alertname\n{script}"), expect);
}

#[test]
fn what_fires_under_a_silence_is_told_when_it_is_over() {
    slack(
        "
        0s   silence  host=a for 20m
        1m   fire     Slow{host=a}
        30m  explain  Slow{host=a}
        ",
        expect![[r#"
            0s          ada: silence_created S1 {host="a"} until 00:20:00, by ada: deploy
            0s          silence S1 begins: {host="a"} until 00:20:00, by ada: deploy
            1m          Slow{host="a"} is silenced by S1: {host="a"} until 00:20:00, by ada: deploy
            1m          {}:{alertname="Slow"} waits: group_wait until 00:01:30
            1m30s       {}:{alertname="Slow"} says nothing to ops/slack: silenced by S1
            1m30s       {}:{alertname="Slow"} waits: silenced by S1
            20m         silence S1 is over
            20m         Slow{host="a"} is not silenced any more: S1 is over
            20m         {}:{alertname="Slow"} waits: group_wait until 00:20:30
            20m30s      → ops/slack #1 New firing Slow{host="a"}
            20m30s100ms {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            20m30s100ms {}:{alertname="Slow"} waits: repeat_interval until 04:20:30
            30m         | 00:01:00  alert Slow{host="a"} firing at 00:01:00
            30m         | 00:01:00  opened {}:{alertname="Slow"} for ops since 00:01:00
            30m         | 00:01:00  Slow{host="a"} joins {}:{alertname="Slow"} for ops
            30m         | 00:01:00  Slow{host="a"} is silenced by S1: {host="a"} until 00:20:00, by ada: deploy
            30m         | 00:01:00  {}:{alertname="Slow"} waits: group_wait until 00:01:30
            30m         | 00:01:30  {}:{alertname="Slow"} says nothing to ops/slack: silenced by S1
            30m         | 00:01:30  {}:{alertname="Slow"} waits: silenced by S1
            30m         | 00:20:00  Slow{host="a"} is not silenced any more: S1 is over
            30m         | 00:20:00  {}:{alertname="Slow"} waits: group_wait until 00:20:30
            30m         | 00:20:30  {}:{alertname="Slow"} #1 to ops/slack: new, 1 firing, 0 resolved
            30m         | 00:20:30  {}:{alertname="Slow"} #1 → ops/slack, attempt 1 (delivery 1)
            30m         | 00:20:30.1  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            30m         | 00:20:30.1  {}:{alertname="Slow"} waits: repeat_interval until 04:20:30
        "#]],
    );
}

#[test]
fn what_ends_under_the_silence_it_fired_under_is_told_to_nobody() {
    slack(
        "
        0s   silence  host=a for 20m
        1m   fire     Slow{host=a}
        10m  resolve  Slow{host=a}
        30m  counts
        ",
        expect![[r#"
            0s          ada: silence_created S1 {host="a"} until 00:20:00, by ada: deploy
            0s          silence S1 begins: {host="a"} until 00:20:00, by ada: deploy
            1m          Slow{host="a"} is silenced by S1: {host="a"} until 00:20:00, by ada: deploy
            1m          {}:{alertname="Slow"} waits: group_wait until 00:01:30
            1m30s       {}:{alertname="Slow"} says nothing to ops/slack: silenced by S1
            1m30s       {}:{alertname="Slow"} waits: silenced by S1
            10m         nobody hears of Slow{host="a"}: it was silenced until it ended
            10m         closed {}:{alertname="Slow"} after 0 notifications
            20m         silence S1 is over
            30m         | DeskCounts { pending: 0, firing: 0, resolved: 1, refused: 0, groups: 0, owed: 0, dead_letters: 0 }
        "#]],
    );
}

#[test]
fn to_be_silenced_is_no_news_and_neither_is_to_be_heard_of_again() {
    slack(
        "
        0s   fire     Slow{host=a}
        1m   silence  host=a for 1h
        2h   groups
        5h   end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            1m          ada: silence_created S1 {host="a"} until 01:01:00, by ada: deploy
            1m          silence S1 begins: {host="a"} until 01:01:00, by ada: deploy
            1m          Slow{host="a"} is silenced by S1: {host="a"} until 01:01:00, by ada: deploy
            1m          {}:{alertname="Slow"} waits: silenced by S1
            1h1m        silence S1 is over
            1h1m        Slow{host="a"} is not silenced any more: S1 is over
            1h1m        {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            2h          | {}:{alertname="Slow"}: 1 firing, ops/slack Told { flushed_at: WallTime(30000), sequence: 1 }, next Wait(RepeatInterval { until: WallTime(14430000) })
            4h30s       → ops/slack #2 Repeat firing Slow{host="a"} in thread t0
            4h30s100ms  {}:{alertname="Slow"} #2 arrived at ops/slack, attempt 1, took 100ms
            4h30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 08:00:30
        "#]],
    );
}

#[test]
fn an_end_under_a_silence_is_told_when_the_silence_is_over() {
    ops(
        "
        0s   fire     Slow{host=a}
        1m   silence  host=a for 1h
        10m  resolve  Slow{host=a}
        30m  groups
        2h   end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s         → ops/mail #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/mail, attempt 1, took 100ms
            1m          ada: silence_created S1 {host="a"} until 01:01:00, by ada: deploy
            1m          silence S1 begins: {host="a"} until 01:01:00, by ada: deploy
            1m          Slow{host="a"} is silenced by S1: {host="a"} until 01:01:00, by ada: deploy
            1m          {}:{alertname="Slow"} waits: silenced by S1
            10m         {}:{alertname="Slow"} waits: group_wait until 00:10:30
            10m30s      {}:{alertname="Slow"} says nothing to ops/slack: silenced by S1
            10m30s      {}:{alertname="Slow"} says nothing to ops/mail: silenced by S1
            10m30s      {}:{alertname="Slow"} waits: silenced by S1
            30m         | {}:{alertname="Slow"}: 0 firing, ops/slack Told { flushed_at: WallTime(30000), sequence: 1 }, next Wait(Silenced { by: S1 })
            30m         | {}:{alertname="Slow"}: 0 firing, ops/mail Told { flushed_at: WallTime(30000), sequence: 1 }, next Wait(Silenced { by: S1 })
            1h1m        silence S1 is over
            1h1m        Slow{host="a"} is not silenced any more: S1 is over
            1h1m        {}:{alertname="Slow"} waits: group_wait until 01:01:30
            1h1m30s     → ops/slack #2 AllResolved resolved Slow{host="a"} in thread t0
            1h1m30s     → ops/mail #2 AllResolved resolved Slow{host="a"} in thread t0
            1h1m30s100ms{}:{alertname="Slow"} #2 arrived at ops/slack, attempt 1, took 100ms
            1h1m30s100ms{}:{alertname="Slow"} #2 arrived at ops/mail, attempt 1, took 100ms
            1h1m30s100msclosed {}:{alertname="Slow"} after 2 notifications
        "#]],
    );
}

#[test]
fn others_of_the_group_are_told_without_those_that_are_silenced() {
    slack(
        "
        0s   fire     Slow{host=a} Slow{host=b}
        1m   silence  host=a for 1h
        10m  fire     Slow{host=c}
        20m  resolve  Slow{host=a}
        30m  resolve  Slow{host=b}
        40m  fire     Slow{host=d}
        2h   end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"} Slow{host="b"}
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            1m          ada: silence_created S1 {host="a"} until 01:01:00, by ada: deploy
            1m          silence S1 begins: {host="a"} until 01:01:00, by ada: deploy
            1m          Slow{host="a"} is silenced by S1: {host="a"} until 01:01:00, by ada: deploy
            10m         {}:{alertname="Slow"} waits: group_wait until 00:10:30
            10m30s      → ops/slack #2 Changed firing Slow{host="b"} Slow{host="c"} in thread t0
            10m30s100ms {}:{alertname="Slow"} #2 arrived at ops/slack, attempt 1, took 100ms
            10m30s100ms {}:{alertname="Slow"} waits: repeat_interval until 04:10:30
            20m         {}:{alertname="Slow"} waits: group_wait until 00:20:30
            20m30s      {}:{alertname="Slow"} says nothing to ops/slack: silenced by S1
            20m30s      {}:{alertname="Slow"} waits: repeat_interval until 04:10:30
            30m         {}:{alertname="Slow"} waits: group_wait until 00:30:30
            30m30s      → ops/slack #3 Changed firing Slow{host="c"} resolved Slow{host="b"} in thread t0
            30m30s100ms {}:{alertname="Slow"} #3 arrived at ops/slack, attempt 1, took 100ms
            30m30s100ms {}:{alertname="Slow"} waits: repeat_interval until 04:30:30
            40m         {}:{alertname="Slow"} waits: group_wait until 00:40:30
            40m30s      → ops/slack #4 Changed firing Slow{host="c"} Slow{host="d"} in thread t0
            40m30s100ms {}:{alertname="Slow"} #4 arrived at ops/slack, attempt 1, took 100ms
            40m30s100ms {}:{alertname="Slow"} waits: repeat_interval until 04:40:30
            1h1m        silence S1 is over
            1h1m        Slow{host="a"} is not silenced any more: S1 is over
            1h1m        {}:{alertname="Slow"} waits: group_wait until 01:01:30
            1h1m30s     → ops/slack #5 Changed firing Slow{host="c"} Slow{host="d"} resolved Slow{host="a"} in thread t0
            1h1m30s100ms{}:{alertname="Slow"} #5 arrived at ops/slack, attempt 1, took 100ms
            1h1m30s100ms{}:{alertname="Slow"} waits: repeat_interval until 05:01:30
        "#]],
    );
}

/// What was told of the others meanwhile said nothing of the one that was hidden. It fires still when the silence is over, so
/// that is news, and ends before anyone was told.
#[test]
fn an_end_just_after_the_silence_is_told_to_whoever_was_told_before_it() {
    slack(
        "
        0s      fire     Slow{host=a} Slow{host=b}
        1m      silence  host=a for 20m
        10m     resolve  Slow{host=b}
        21m10s  resolve  Slow{host=a}
        30m     counts
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"} Slow{host="b"}
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            1m          ada: silence_created S1 {host="a"} until 00:21:00, by ada: deploy
            1m          silence S1 begins: {host="a"} until 00:21:00, by ada: deploy
            1m          Slow{host="a"} is silenced by S1: {host="a"} until 00:21:00, by ada: deploy
            10m         {}:{alertname="Slow"} waits: group_wait until 00:10:30
            10m30s      → ops/slack #2 AllResolved resolved Slow{host="b"} in thread t0
            10m30s100ms {}:{alertname="Slow"} #2 arrived at ops/slack, attempt 1, took 100ms
            10m30s100ms {}:{alertname="Slow"} waits: silenced by S1
            21m         silence S1 is over
            21m         Slow{host="a"} is not silenced any more: S1 is over
            21m         {}:{alertname="Slow"} waits: group_wait until 00:21:30
            21m30s      → ops/slack #3 AllResolved resolved Slow{host="a"} in thread t0
            21m30s100ms {}:{alertname="Slow"} #3 arrived at ops/slack, attempt 1, took 100ms
            21m30s100ms closed {}:{alertname="Slow"} after 3 notifications
            30m         | DeskCounts { pending: 0, firing: 0, resolved: 2, refused: 0, groups: 0, owed: 0, dead_letters: 0 }
        "#]],
    );
}

/// The same, and it ends and fires again: who heard that all was well with the others is told.
#[test]
fn what_ends_and_fires_again_just_after_the_silence_is_told() {
    slack(
        "
        0s      fire     Slow{host=a} Slow{host=b}
        1m      silence  host=a for 20m
        10m     resolve  Slow{host=b}
        21m10s  resolve  Slow{host=a}
        21m20s  fire     Slow{host=a}
        30m     counts
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"} Slow{host="b"}
            30s100ms    {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            30s100ms    {}:{alertname="Slow"} waits: repeat_interval until 04:00:30
            1m          ada: silence_created S1 {host="a"} until 00:21:00, by ada: deploy
            1m          silence S1 begins: {host="a"} until 00:21:00, by ada: deploy
            1m          Slow{host="a"} is silenced by S1: {host="a"} until 00:21:00, by ada: deploy
            10m         {}:{alertname="Slow"} waits: group_wait until 00:10:30
            10m30s      → ops/slack #2 AllResolved resolved Slow{host="b"} in thread t0
            10m30s100ms {}:{alertname="Slow"} #2 arrived at ops/slack, attempt 1, took 100ms
            10m30s100ms {}:{alertname="Slow"} waits: silenced by S1
            21m         silence S1 is over
            21m         Slow{host="a"} is not silenced any more: S1 is over
            21m         {}:{alertname="Slow"} waits: group_wait until 00:21:30
            21m30s      → ops/slack #3 Changed firing Slow{host="a"} in thread t0
            21m30s100ms {}:{alertname="Slow"} #3 arrived at ops/slack, attempt 1, took 100ms
            21m30s100ms {}:{alertname="Slow"} waits: repeat_interval until 04:21:30
            30m         | DeskCounts { pending: 0, firing: 1, resolved: 1, refused: 0, groups: 1, owed: 0, dead_letters: 0 }
        "#]],
    );
}

#[test]
fn a_silence_that_ends_early_or_lasts_longer() {
    slack(
        "
        0s   silence  host=a for 20m
        1m   fire     Slow{host=a}
        10m  silence  host=a now..2h 1
        30m  expire   1
        31m  expire   1
        32m  expire   2
        40m  end
        ",
        expect![[r#"
            0s          ada: silence_created S1 {host="a"} until 00:20:00, by ada: deploy
            0s          silence S1 begins: {host="a"} until 00:20:00, by ada: deploy
            1m          Slow{host="a"} is silenced by S1: {host="a"} until 00:20:00, by ada: deploy
            1m          {}:{alertname="Slow"} waits: group_wait until 00:01:30
            1m30s       {}:{alertname="Slow"} says nothing to ops/slack: silenced by S1
            1m30s       {}:{alertname="Slow"} waits: silenced by S1
            10m         ada: silence_changed S1 {host="a"} until 02:00:00, by ada: deploy (before: {host="a"} until 00:20:00, by ada: deploy)
            30m         bob (192.0.2.7): silence_expired S1 {host="a"} until 00:30:00, by ada: deploy
            30m         silence S1 is over
            30m         Slow{host="a"} is not silenced any more: S1 is over
            30m         {}:{alertname="Slow"} waits: group_wait until 00:30:30
            30m30s      → ops/slack #1 New firing Slow{host="a"}
            30m30s100ms {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            30m30s100ms {}:{alertname="Slow"} waits: repeat_interval until 04:30:30
            31m         bob (192.0.2.7): silence_expired_before S1 {host="a"} until 00:30:00, by ada: deploy
            32m         bob (192.0.2.7) is refused: there is no silence S2; expired ones are forgotten after 5d
        "#]],
    );
}

#[test]
fn other_matchers_make_another_silence_and_show_what_only_the_old_one_hid() {
    slack(
        "
        0s   silence  host=~a|b for 2h
        1m   fire     Slow{host=a} Slow{host=b}
        10m  silence  host=a now..2h 1
        20m  end
        ",
        expect![[r#"
            0s          ada: silence_created S1 {host=~"a|b"} until 02:00:00, by ada: deploy
            0s          silence S1 begins: {host=~"a|b"} until 02:00:00, by ada: deploy
            1m          Slow{host="a"} is silenced by S1: {host=~"a|b"} until 02:00:00, by ada: deploy
            1m          {}:{alertname="Slow"} waits: group_wait until 00:01:30
            1m          Slow{host="b"} is silenced by S1: {host=~"a|b"} until 02:00:00, by ada: deploy
            1m30s       {}:{alertname="Slow"} says nothing to ops/slack: silenced by S1
            1m30s       {}:{alertname="Slow"} waits: silenced by S1
            10m         ada: silence_replaced S2 {host="a"} until 02:00:00, by ada: deploy (in place of S1 {host=~"a|b"} until 00:10:00, by ada: deploy)
            10m         silence S2 begins: {host="a"} until 02:00:00, by ada: deploy
            10m         silence S1 is over
            10m         Slow{host="a"} is silenced by S2: {host="a"} until 02:00:00, by ada: deploy
            10m         Slow{host="b"} is not silenced any more: S1 is over
            10m         {}:{alertname="Slow"} waits: group_wait until 00:10:30
            10m30s      → ops/slack #1 New firing Slow{host="b"}
            10m30s100ms {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            10m30s100ms {}:{alertname="Slow"} waits: repeat_interval until 04:10:30
        "#]],
    );
}

#[test]
fn a_silence_to_come_hides_nothing_yet() {
    slack(
        "
        0s   silence  host=a 10m..20m
        1m   fire     Slow{host=a}
        11m  resolve  Slow{host=a}
        30m  end
        ",
        expect![[r#"
            0s          ada: silence_created S1 {host="a"} from 00:10:00 until 00:20:00, by ada: deploy
            1m          {}:{alertname="Slow"} waits: group_wait until 00:01:30
            1m30s       → ops/slack #1 New firing Slow{host="a"}
            1m30s100ms  {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            1m30s100ms  {}:{alertname="Slow"} waits: repeat_interval until 04:01:30
            10m         silence S1 begins: {host="a"} from 00:10:00 until 00:20:00, by ada: deploy
            10m         Slow{host="a"} is silenced by S1: {host="a"} from 00:10:00 until 00:20:00, by ada: deploy
            10m         {}:{alertname="Slow"} waits: silenced by S1
            11m         {}:{alertname="Slow"} waits: group_wait until 00:11:30
            11m30s      {}:{alertname="Slow"} says nothing to ops/slack: silenced by S1
            11m30s      {}:{alertname="Slow"} waits: silenced by S1
            20m         silence S1 is over
            20m         Slow{host="a"} is not silenced any more: S1 is over
            20m         {}:{alertname="Slow"} waits: group_wait until 00:20:30
            20m30s      → ops/slack #2 AllResolved resolved Slow{host="a"} in thread t60000
            20m30s100ms {}:{alertname="Slow"} #2 arrived at ops/slack, attempt 1, took 100ms
            20m30s100ms closed {}:{alertname="Slow"} after 2 notifications
        "#]],
    );
}

#[test]
fn what_two_silences_hide_is_heard_of_after_both() {
    slack(
        "
        0s   silence  host=a for 20m
        0s   silence  alertname=Slow for 10m
        1m   fire     Slow{host=a}
        30m  end
        ",
        expect![[r#"
            0s          ada: silence_created S1 {host="a"} until 00:20:00, by ada: deploy
            0s          silence S1 begins: {host="a"} until 00:20:00, by ada: deploy
            0s          ada: silence_created S2 {alertname="Slow"} until 00:10:00, by ada: deploy
            0s          silence S2 begins: {alertname="Slow"} until 00:10:00, by ada: deploy
            1m          Slow{host="a"} is silenced by S1: {host="a"} until 00:20:00, by ada: deploy
            1m          {}:{alertname="Slow"} waits: group_wait until 00:01:30
            1m30s       {}:{alertname="Slow"} says nothing to ops/slack: silenced by S1
            1m30s       {}:{alertname="Slow"} waits: silenced by S1
            10m         silence S2 is over
            20m         silence S1 is over
            20m         Slow{host="a"} is not silenced any more: S1 is over
            20m         {}:{alertname="Slow"} waits: group_wait until 00:20:30
            20m30s      → ops/slack #1 New firing Slow{host="a"}
            20m30s100ms {}:{alertname="Slow"} #1 arrived at ops/slack, attempt 1, took 100ms
            20m30s100ms {}:{alertname="Slow"} waits: repeat_interval until 04:20:30
        "#]],
    );
}

#[test]
fn what_could_not_be_delivered_and_is_silenced_then_is_owed_when_the_silence_is_over() {
    slack(
        "
        retry 2 attempts 1m
        0s   ops/slack fails
        0s   fire     Slow{host=a}
        2m   silence  host=a for 1h
        3m   ops/slack is well
        30m  groups
        2h   end
        ",
        expect![[r#"
            0s          {}:{alertname="Slow"} waits: group_wait until 00:00:30
            30s         → ops/slack #1 New firing Slow{host="a"}
            30s100ms    {}:{alertname="Slow"} #1 failed at ops/slack, attempt 1: 503 from the stand-in; next at 00:00:30.667
            30s667ms    → ops/slack #1 New (attempt 2) firing Slow{host="a"}
            30s767ms    {}:{alertname="Slow"} #1 failed at ops/slack, attempt 2: 503 from the stand-in
            30s767ms    {}:{alertname="Slow"} #1 for ops/slack given up after 2 attempts: too many failures, the last: 503 from the stand-in; still owed, anew at 00:05:30.767
            2m          ada: silence_created S1 {host="a"} until 01:02:00, by ada: deploy
            2m          silence S1 begins: {host="a"} until 01:02:00, by ada: deploy
            2m          Slow{host="a"} is silenced by S1: {host="a"} until 01:02:00, by ada: deploy
            5m30s767ms  {}:{alertname="Slow"} waits: silenced by S1
            30m         | {}:{alertname="Slow"}: 1 firing, ops/slack Owed { flushed_at: WallTime(30000), sequence: 1, retry_at: WallTime(330767) }, next Wait(Silenced { by: S1 })
            1h2m        silence S1 is over
            1h2m        Slow{host="a"} is not silenced any more: S1 is over
            1h2m        → ops/slack #2 New firing Slow{host="a"}
            1h2m100ms   {}:{alertname="Slow"} #2 arrived at ops/slack, attempt 1, took 100ms
            1h2m100ms   {}:{alertname="Slow"} waits: repeat_interval until 05:02:00
        "#]],
    );
}
