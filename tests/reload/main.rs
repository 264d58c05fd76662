//! Rules are edited while they run. What is still the same question keeps all it knows; what is another question says
//! nothing until it knows enough, and ends nothing it cannot vouch for.

mod story;

use expect_test::expect;
use story::{STREAMS, check};

const ERRORS: &str = "
groups:
  - name: g
    interval: 10s
    rules:
      - alert: Errors
        from: requests
        where: status >= 500
        by: [service]
        window: 60s
        let: { errors: count(*) }
        when: errors > 5
        for: 20s
        annotations: { summary: many errors }
";

/// A rule in the same feed as `Errors`.
const BESIDE: &str = "
      - alert: Beside
        from: requests
        where: status >= 500
        by: [service]
        window: 60s
        let: { errors: count(*), slow: avg(latency) }
        when: errors > 5 && slow > 1
";

const ABSENT: &str = "
groups:
  - name: g
    interval: 10s
    rules:
      - alert: Gone
        from: requests
        where: status >= 500
        by: [service]
        window: 10s
        absent: 40s
";

#[test]
fn an_unchanged_rule_goes_on_beside_a_new_one_that_first_has_to_see_its_window() {
    // The new rule's count is known, its average is not: unknown until 90 s, the first tick that has seen all of it.
    check(
        ERRORS,
        |story| {
            story.pass(25, &[("cart", 1)]).append(BESIDE).pass(120, &[("cart", 1)]);
        },
        expect![[r#"
              10s {alertname="Errors", service="cart"} pending
              25s -- more rules
              30s {alertname="Errors", service="cart"} firing
              31s   told {alertname="Errors", service="cart"} firing: many errors
              90s {alertname="Beside", service="cart"} firing
              91s   told {alertname="Beside", service="cart"} firing
        "#]],
    );
}

#[test]
fn a_new_rule_that_asks_what_is_known_is_judged_at_once_and_of_groups_that_are_silent_too() {
    check(
        &ERRORS.replace("for: 20s", "for: 10m"),
        |story| {
            let beside = BESIDE.replace("errors > 5 && slow > 1", "errors > 5");
            story.pass(25, &[("cart", 1)]).quiet(36).append(&beside).quiet(60);
        },
        expect![[r#"
              10s {alertname="Errors", service="cart"} pending
              36s -- more rules
              40s {alertname="Beside", service="cart"} firing
              41s   told {alertname="Beside", service="cart"} firing
        "#]],
    );
}

#[test]
fn comments_and_space_are_no_change() {
    check(
        ERRORS,
        |story| {
            story.pass(25, &[("cart", 1)]);
            story.edit("      - alert: Errors", "      # A comment.\n\n      - alert: Errors");
            story.edit("when: errors > 5", "when: 'errors  >  5'   # still").pass(45, &[("cart", 1)]);
            story.edit("where: status >= 500", "where: status>=500").pass(55, &[("cart", 1)]).quiet(150);
        },
        expect![[r#"
            10s {alertname="Errors", service="cart"} pending
            25s -- - alert: Errors -> # A comment. - alert: Errors
            25s -- when: errors > 5 -> when: 'errors > 5' # still
            30s {alertname="Errors", service="cart"} firing
            31s   told {alertname="Errors", service="cart"} firing: many errors
            45s -- where: status >= 500 -> where: status>=500
            110s {alertname="Errors", service="cart"} resolved (Normal)
            111s   told {alertname="Errors", service="cart"} over: many errors
        "#]],
    );
}

#[test]
fn a_changed_annotation_keeps_timers_and_tells_nobody() {
    check(
        ERRORS,
        |story| {
            story.pass(25, &[("cart", 1)]).edit("many errors", "too many errors").pass(45, &[("cart", 1)]);
            story.edit("too many errors", "far too many").pass(80, &[("cart", 1)]).quiet(155);
        },
        expect![[r#"
            10s {alertname="Errors", service="cart"} pending
            25s -- many errors -> too many errors
            30s {alertname="Errors", service="cart"} firing
            31s   told {alertname="Errors", service="cart"} firing: too many errors
            45s -- too many errors -> far too many
            140s {alertname="Errors", service="cart"} resolved (Normal)
            141s   told {alertname="Errors", service="cart"} over: far too many
        "#]],
    );
}

#[test]
fn a_changed_for_measures_the_time_that_has_passed() {
    check(
        ERRORS,
        |story| {
            story.pass(25, &[("cart", 1)]).edit("for: 20s", "for: 40s").pass(75, &[("cart", 1)]);
        },
        expect![[r#"
              10s {alertname="Errors", service="cart"} pending
              25s -- for: 20s -> for: 40s
              50s {alertname="Errors", service="cart"} firing
              51s   told {alertname="Errors", service="cart"} firing: many errors
        "#]],
    );
    check(
        &ERRORS.replace("for: 20s", "for: 5m"),
        |story| {
            story.pass(45, &[("cart", 1)]).edit("for: 5m", "for: 30s").pass(75, &[("cart", 1)]);
        },
        expect![[r#"
              10s {alertname="Errors", service="cart"} pending
              45s -- for: 5m -> for: 30s
              50s {alertname="Errors", service="cart"} firing
              51s   told {alertname="Errors", service="cart"} firing: many errors
        "#]],
    );
}

#[test]
fn a_changed_threshold_begins_anew_and_ends_what_fires_only_where_it_is_known_to_be_normal() {
    check(
        ERRORS,
        |story| {
            story.pass(25, &[("cart", 1)]).edit("errors > 5", "errors > 8").pass(65, &[("cart", 1)]);
            story.edit("errors > 8", "errors > 20").pass(75, &[("cart", 1)]);
            story.edit("errors > 20", "errors > 90").pass(95, &[("cart", 1)]);
        },
        expect![[r#"
              10s {alertname="Errors", service="cart"} pending
              25s -- errors > 5 -> errors > 8
              20s {alertname="Errors", service="cart"} dropped
              30s {alertname="Errors", service="cart"} pending
              50s {alertname="Errors", service="cart"} firing
              51s   told {alertname="Errors", service="cart"} firing: many errors
              65s -- errors > 8 -> errors > 20
              75s -- errors > 20 -> errors > 90
              80s {alertname="Errors", service="cart"} resolved (Normal)
              81s   told {alertname="Errors", service="cart"} over: many errors
        "#]],
    );
}

#[test]
fn a_longer_window_uses_the_panes_that_are_kept() {
    // What was kept begins at 20 s. The ten errors before can only make the count greater: above 100 at 130 s is certain.
    check(
        &ERRORS.replace("errors > 5", "errors > 100").replace("for: 20s", "for: 0s"),
        |story| {
            story.pass(10, &[]).pass(85, &[("cart", 1)]).edit("window: 60s", "window: 2m").pass(155, &[("cart", 1)]);
        },
        expect![[r#"
            85s -- window: 60s -> window: 2m
            120s {alertname="Errors", service="cart"} firing
            121s   told {alertname="Errors", service="cart"} firing: many errors
        "#]],
    );
    // Less than a limit is what nobody knows before the window is covered.
    check(
        &ERRORS.replace("errors > 5", "errors < 50").replace("for: 20s", "for: 0s"),
        |story| {
            story.pass(125, &[("cart", 1)]);
            story.text = story.text.replace("errors < 50", "errors < 121");
            story.edit("window: 60s", "window: 2m").pass(220, &[("cart", 1)]);
        },
        expect![[r#"
             125s -- window: 60s -> window: 2m
             180s {alertname="Errors", service="cart"} firing
             181s   told {alertname="Errors", service="cart"} firing: many errors
        "#]],
    );
}

#[test]
fn another_filter_is_another_question_and_its_alerts_wait_for_the_answer() {
    // Of the new events nothing is known before 160 s, whatever else is edited; then the window is covered, and all is well.
    check(
        ERRORS,
        |story| {
            story.pass(95, &[("cart", 1)]).edit("status >= 500", "status = 404");
            story.quiet(115).edit("many errors", "many").quiet(200);
        },
        expect![[r#"
            10s {alertname="Errors", service="cart"} pending
            30s {alertname="Errors", service="cart"} firing
            31s   told {alertname="Errors", service="cart"} firing: many errors
            95s -- status >= 500 -> status = 404
            115s -- many errors -> many
            160s {alertname="Errors", service="cart"} resolved (Normal)
            161s   told {alertname="Errors", service="cart"} over: many errors
        "#]],
    );
    // A count that is above its limit already is certain, and it is the same episode.
    check(
        ERRORS,
        |story| {
            story.pass(95, &[("cart", 1)]).edit("status >= 500", "status > 500").pass(180, &[("cart", 1)]).quiet(260);
        },
        expect![[r#"
            10s {alertname="Errors", service="cart"} pending
            30s {alertname="Errors", service="cart"} firing
            31s   told {alertname="Errors", service="cart"} firing: many errors
            95s -- status >= 500 -> status > 500
            240s {alertname="Errors", service="cart"} resolved (Normal)
            241s   told {alertname="Errors", service="cart"} over: many errors
        "#]],
    );
    // What was only pending begins anew: of a partial window nothing but a count that suffices is believed.
    check(
        &ERRORS.replace("count(*)", "avg(latency)").replace("errors > 5", "errors > 2"),
        |story| {
            story.pass(25, &[("cart", 1)]).edit("status >= 500", "status > 500").pass(120, &[("cart", 1)]);
        },
        expect![[r#"
            10s {alertname="Errors", service="cart"} pending
            25s -- status >= 500 -> status > 500
            20s {alertname="Errors", service="cart"} dropped
            90s {alertname="Errors", service="cart"} pending
            110s {alertname="Errors", service="cart"} firing
        "#]],
    );
}

#[test]
fn another_step_makes_other_panes_and_keeps_what_fires() {
    check(
        ERRORS,
        |story| {
            story.pass(95, &[("cart", 1)]).edit("interval: 10s", "interval: 20s").quiet(220);
        },
        expect![[r#"
            10s {alertname="Errors", service="cart"} pending
            30s {alertname="Errors", service="cart"} firing
            31s   told {alertname="Errors", service="cart"} firing: many errors
            95s -- interval: 10s -> interval: 20s
            160s {alertname="Errors", service="cart"} resolved (Normal)
            161s   told {alertname="Errors", service="cart"} over: many errors
        "#]],
    );
}

#[test]
fn another_name_for_the_alerts_ends_those_of_the_old_name() {
    check(
        ERRORS,
        |story| {
            story.pass(65, &[("cart", 1)]).pass(69, &[("cart", 1), ("web", 9)]);
            story.edit("by: [service]", "by: [service AS svc]").pass(95, &[("cart", 1)]);
            story.edit("for: 20s", "for: 20s\n        labels: { team: a }").pass(135, &[("cart", 1)]);
        },
        expect![[r#"
            10s {alertname="Errors", service="cart"} pending
            30s {alertname="Errors", service="cart"} firing
            31s   told {alertname="Errors", service="cart"} firing: many errors
            69s -- by: [service] -> by: [service AS svc]
            60s {alertname="Errors", service="cart"} resolved (RuleRemoved)
            61s   told {alertname="Errors", service="cart"} over: many errors
            70s {alertname="Errors", svc="cart"} pending
            70s {alertname="Errors", svc="web"} pending
            90s {alertname="Errors", svc="cart"} firing
            90s {alertname="Errors", svc="web"} firing
            95s -- for: 20s -> for: 20s labels: { team: a }
            90s {alertname="Errors", svc="cart"} resolved (RuleRemoved)
            90s {alertname="Errors", svc="web"} resolved (RuleRemoved)
            100s {alertname="Errors", svc="cart", team="a"} pending
            100s {alertname="Errors", svc="web", team="a"} pending
            120s {alertname="Errors", svc="cart", team="a"} firing
            120s {alertname="Errors", svc="web", team="a"} firing
            121s   told {alertname="Errors", svc="cart", team="a"} firing: many errors, {alertname="Errors", svc="web", team="a"} firing: many errors
            130s {alertname="Errors", svc="web", team="a"} resolved (Normal)
        "#]],
    );
}

#[test]
fn a_removed_rule_resolves_its_alerts_and_says_so() {
    check(
        &format!("{ERRORS}{}", BESIDE.replace("slow > 1", "slow > 0\n        for: 10m")),
        |story| {
            let text = story.text.clone();
            let (head, tail) = text.split_once("      - alert: Errors").expect("a rule");
            let (_, beside) = tail.split_once("      - alert: Beside").expect("another");
            story.pass(65, &[("cart", 1), ("web", 1)]);
            story.text = format!("{head}      - alert: Beside{beside}");
            story.reload("Errors is gone").pass(95, &[("cart", 1)]);
            story.text = STREAMS.to_owned() + "groups: []\n";
            story.reload("all are gone").pass(125, &[("cart", 1)]);
        },
        expect![[r#"
              10s {alertname="Beside", service="cart"} pending
              10s {alertname="Beside", service="web"} pending
              10s {alertname="Errors", service="cart"} pending
              10s {alertname="Errors", service="web"} pending
              30s {alertname="Errors", service="cart"} firing
              30s {alertname="Errors", service="web"} firing
              31s   told {alertname="Errors", service="cart"} firing: many errors, {alertname="Errors", service="web"} firing: many errors
              65s -- Errors is gone
              60s {alertname="Errors", service="cart"} resolved (RuleRemoved)
              60s {alertname="Errors", service="web"} resolved (RuleRemoved)
              61s   told {alertname="Errors", service="cart"} over: many errors, {alertname="Errors", service="web"} over: many errors
              95s -- all are gone
              90s {alertname="Beside", service="cart"} dropped
              90s {alertname="Beside", service="web"} dropped
        "#]],
    );
}

#[test]
fn a_stream_that_is_gone_takes_its_rules_along() {
    check(
        ERRORS,
        |story| {
            story.pass(65, &[("cart", 1)]);
            // Its place is another's now.
            story.text = story.text.replace("from: requests", "from: orders");
            story.reload("orders are asked").quiet(70);
            let orders = story.text.find("  orders:\n").expect("a stream");
            let groups = story.text.find("\ngroups").expect("rules");
            story.text.replace_range(orders..groups, "");
            story.text = story.text.replace("from: orders", "from: requests");
            story.reload("orders are gone").pass(95, &[("cart", 1)]);
        },
        expect![[r#"
              10s {alertname="Errors", service="cart"} pending
              30s {alertname="Errors", service="cart"} firing
              31s   told {alertname="Errors", service="cart"} firing: many errors
              65s -- orders are asked
              70s -- orders are gone
              60s {alertname="Errors", service="cart"} resolved (RuleRemoved)
              61s   told {alertname="Errors", service="cart"} over: many errors
              80s {alertname="Errors", service="cart"} pending
        "#]],
    );
}

#[test]
fn a_rule_in_another_file_is_another_rule() {
    check(
        ERRORS,
        |story| {
            story.pass(65, &[("cart", 1)]).move_to("others.yaml").pass(105, &[("cart", 1)]);
        },
        expect![[r#"
              10s {alertname="Errors", service="cart"} pending
              30s {alertname="Errors", service="cart"} firing
              31s   told {alertname="Errors", service="cart"} firing: many errors
              65s -- others.yaml
              60s {alertname="Errors", service="cart"} resolved (RuleRemoved)
              61s   told {alertname="Errors", service="cart"} over: many errors
              70s {alertname="Errors", service="cart"} pending
              90s {alertname="Errors", service="cart"} firing
              91s   told {alertname="Errors", service="cart"} firing: many errors
        "#]],
    );
}

#[test]
fn a_raised_limit_lets_others_in_and_ends_the_complaint() {
    let crowd: Vec<(&str, usize)> = ["a", "b", "c", "d"].map(|service| (service, 1)).to_vec();
    check(
        &ERRORS.replace("for: 20s", "for: 20s\n        limit: 2"),
        |story| {
            story.pass(35, &crowd).edit("limit: 2", "limit: 10").pass(75, &crowd);
            story.edit("limit: 10", "limit: 3").pass(95, &crowd).pass(96, &[("e", 1)]).quiet(125);
        },
        expect![[r#"
            10s {alertname="Errors", service="a"} pending
            10s {alertname="Errors", service="b"} pending
            11s   told {alertname="FoghornRuleDegraded", rule="Errors", rule_file="rules.yaml", rule_group="g", severity="warning"} firing: rule Errors (rules.yaml:21) has reached its limit of 2 groups
            30s {alertname="Errors", service="a"} firing
            30s {alertname="Errors", service="b"} firing
            35s -- limit: 2 -> limit: 10
            31s   told {alertname="Errors", service="a"} firing: many errors, {alertname="Errors", service="b"} firing: many errors
            31s   told {alertname="FoghornRuleDegraded", rule="Errors", rule_file="rules.yaml", rule_group="g", severity="warning"} over: rule Errors (rules.yaml:21) has reached its limit of 2 groups
            40s {alertname="Errors", service="c"} pending
            40s {alertname="Errors", service="d"} pending
            60s {alertname="Errors", service="c"} firing
            60s {alertname="Errors", service="d"} firing
            61s   told {alertname="Errors", service="a"} firing: many errors, {alertname="Errors", service="b"} firing: many errors, {alertname="Errors", service="c"} firing: many errors, {alertname="Errors", service="d"} firing: many errors
            75s -- limit: 10 -> limit: 3
            101s   told {alertname="FoghornRuleDegraded", rule="Errors", rule_file="rules.yaml", rule_group="g", severity="warning"} firing: rule Errors (rules.yaml:21) has reached its limit of 3 groups
        "#]],
    );
}

#[test]
fn the_complaint_about_a_rule_ends_with_the_rule() {
    let crowd: Vec<(&str, usize)> = ["a", "b", "c", "d"].map(|service| (service, 1)).to_vec();
    check(
        &ERRORS.replace("for: 20s", "for: 20s\n        limit: 2"),
        |story| {
            story.pass(25, &crowd);
            // Its successor asks the same, so it finds the same crowd.
            story.edit("alert: Errors", "alert: Failures").quiet(35);
            story.edit("alert: Failures", "alert: Others\n        expire: 1m").quiet(45);
        },
        expect![[r#"
              10s {alertname="Errors", service="a"} pending
              10s {alertname="Errors", service="b"} pending
              11s   told {alertname="FoghornRuleDegraded", rule="Errors", rule_file="rules.yaml", rule_group="g", severity="warning"} firing: rule Errors (rules.yaml:21) has reached its limit of 2 groups
              25s -- alert: Errors -> alert: Failures
              20s {alertname="Errors", service="a"} dropped
              20s {alertname="Errors", service="b"} dropped
              21s   told {alertname="FoghornRuleDegraded", rule="Failures", rule_file="rules.yaml", rule_group="g", severity="warning"} firing: rule Failures (rules.yaml:21) has reached its limit of 2 groups, {alertname="FoghornRuleDegraded", rule="Errors", rule_file="rules.yaml", rule_group="g", severity="warning"} over: rule Errors (rules.yaml:21) has reached its limit of 2 groups
              30s {alertname="Failures", service="a"} pending
              30s {alertname="Failures", service="b"} pending
              35s -- alert: Failures -> alert: Others expire: 1m
              30s {alertname="Failures", service="a"} dropped
              30s {alertname="Failures", service="b"} dropped
              31s   told {alertname="FoghornRuleDegraded", rule="Others", rule_file="rules.yaml", rule_group="g", severity="warning"} firing: rule Others (rules.yaml:21) has reached its limit of 2 groups, {alertname="FoghornRuleDegraded", rule="Failures", rule_file="rules.yaml", rule_group="g", severity="warning"} over: rule Failures (rules.yaml:21) has reached its limit of 2 groups
              40s {alertname="Others", service="a"} pending
              40s {alertname="Others", service="b"} pending
        "#]],
    );
}

#[test]
fn rules_that_come_to_share_a_limit_keep_their_holds() {
    // Two feeds become one, and the one that refused nobody knows of all groups.
    check(
        &format!("{}{BESIDE}", ERRORS.replace("for: 20s", "for: 20s\n        limit: 2")),
        |story| {
            story.pass(65, &[("a", 1), ("b", 1), ("c", 1)]);
            story.edit("\n        limit: 2", "").quiet(75).pass(95, &[("c", 1)]).quiet(180);
        },
        expect![[r#"
            10s {alertname="Beside", service="a"} firing
            10s {alertname="Beside", service="b"} firing
            10s {alertname="Beside", service="c"} firing
            10s {alertname="Errors", service="a"} pending
            10s {alertname="Errors", service="b"} pending
            11s   told {alertname="Beside", service="a"} firing, {alertname="Beside", service="b"} firing, {alertname="Beside", service="c"} firing
            11s   told {alertname="FoghornRuleDegraded", rule="Errors", rule_file="rules.yaml", rule_group="g", severity="warning"} firing: rule Errors (rules.yaml:21) has reached its limit of 2 groups
            30s {alertname="Errors", service="a"} firing
            30s {alertname="Errors", service="b"} firing
            31s   told {alertname="Errors", service="a"} firing: many errors, {alertname="Errors", service="b"} firing: many errors
            65s -- limit: 2 ->
            61s   told {alertname="FoghornRuleDegraded", rule="Errors", rule_file="rules.yaml", rule_group="g", severity="warning"} over: rule Errors (rules.yaml:21) has reached its limit of 2 groups
            70s {alertname="Errors", service="c"} pending
            90s {alertname="Errors", service="c"} firing
            91s   told {alertname="Errors", service="a"} firing: many errors, {alertname="Errors", service="b"} firing: many errors, {alertname="Errors", service="c"} firing: many errors
            120s {alertname="Beside", service="a"} resolved (Normal)
            120s {alertname="Beside", service="b"} resolved (Normal)
            120s {alertname="Errors", service="a"} resolved (Normal)
            120s {alertname="Errors", service="b"} resolved (Normal)
            121s   told {alertname="Beside", service="c"} firing, {alertname="Beside", service="a"} over, {alertname="Beside", service="b"} over
            121s   told {alertname="Errors", service="c"} firing: many errors, {alertname="Errors", service="a"} over: many errors, {alertname="Errors", service="b"} over: many errors
            150s {alertname="Beside", service="c"} resolved (Normal)
            150s {alertname="Errors", service="c"} resolved (Normal)
            151s   told {alertname="Beside", service="c"} over
            151s   told {alertname="Errors", service="c"} over: many errors
        "#]],
    );
}

#[test]
fn what_a_feed_had_refused_it_cannot_vouch_for() {
    // `Beside` comes to where a and b are watched and c was turned away: that c is calm is known at 130 s, not before.
    let beside = BESIDE.replace("status >= 500", "status > 500").replace("errors > 5", "errors > 0 && errors > 5");
    check(
        &format!("{}{}", ERRORS.replace("for: 20s", "for: 20s\n        limit: 2"), beside),
        |story| {
            story.pass(65, &[("a", 1), ("b", 1), ("c", 1)]);
            story.text += "        limit: 2\n";
            story.edit("status > 500", "status >= 500").quiet(140);
        },
        expect![[r#"
            10s {alertname="Beside", service="a"} firing
            10s {alertname="Beside", service="b"} firing
            10s {alertname="Beside", service="c"} firing
            10s {alertname="Errors", service="a"} pending
            10s {alertname="Errors", service="b"} pending
            11s   told {alertname="Beside", service="a"} firing, {alertname="Beside", service="b"} firing, {alertname="Beside", service="c"} firing
            11s   told {alertname="FoghornRuleDegraded", rule="Errors", rule_file="rules.yaml", rule_group="g", severity="warning"} firing: rule Errors (rules.yaml:21) has reached its limit of 2 groups
            30s {alertname="Errors", service="a"} firing
            30s {alertname="Errors", service="b"} firing
            31s   told {alertname="Errors", service="a"} firing: many errors, {alertname="Errors", service="b"} firing: many errors
            65s -- status > 500 -> status >= 500
            61s   told {alertname="FoghornRuleDegraded", rule="Beside", rule_file="rules.yaml", rule_group="g", severity="warning"} firing: rule Beside (rules.yaml:32) has reached its limit of 2 groups, {alertname="FoghornRuleDegraded", rule="Errors", rule_file="rules.yaml", rule_group="g", severity="warning"} firing: rule Errors (rules.yaml:21) has reached its limit of 2 groups
            130s {alertname="Beside", service="a"} resolved (Normal)
            130s {alertname="Beside", service="b"} resolved (Normal)
            130s {alertname="Beside", service="c"} resolved (Normal)
            130s {alertname="Errors", service="a"} resolved (Normal)
            130s {alertname="Errors", service="b"} resolved (Normal)
        "#]],
    );
}

#[test]
fn groups_that_a_new_rule_expects_are_given_their_time() {
    check(
        ERRORS,
        |story| {
            let gone = ABSENT.replace("\ngroups:\n  - name: g\n    interval: 10s\n    rules:", "");
            let gone =
                gone.replace("absent: 40s", "absent: 40s\n        expect: [{ service: web }, { service: cart }]");
            story.pass(25, &[("cart", 1)]).quiet(85).append(&gone).quiet(150).pass(155, &[("web", 1)]).quiet(175);
        },
        expect![[r#"
            10s {alertname="Errors", service="cart"} pending
            30s {alertname="Errors", service="cart"} firing
            31s   told {alertname="Errors", service="cart"} firing: many errors
            80s {alertname="Errors", service="cart"} resolved (Normal)
            85s -- more rules
            81s   told {alertname="Errors", service="cart"} over: many errors
            90s {alertname="Gone", service="cart"} firing
            91s   told {alertname="Gone", service="cart"} firing
            120s {alertname="Gone", service="web"} firing
            121s   told {alertname="Gone", service="cart"} firing, {alertname="Gone", service="web"} firing
            160s {alertname="Gone", service="web"} resolved (SeenAgain)
            161s   told {alertname="Gone", service="cart"} firing, {alertname="Gone", service="web"} over
        "#]],
    );
}

#[test]
fn an_absence_is_not_over_because_the_question_changed() {
    check(
        ABSENT,
        |story| {
            story.pass(25, &[("cart", 1)]).quiet(95).edit("status >= 500", "status > 500").quiet(155);
            story.pass(156, &[("cart", 1)]).quiet(175);
        },
        expect![[r#"
            70s {alertname="Gone", service="cart"} firing
            71s   told {alertname="Gone", service="cart"} firing
            95s -- status >= 500 -> status > 500
            160s {alertname="Gone", service="cart"} resolved (SeenAgain)
            161s   told {alertname="Gone", service="cart"} over
        "#]],
    );
    // Known all along, and by the new rule too early to call.
    check(
        ABSENT,
        |story| {
            story.pass(25, &[("cart", 1)]).quiet(75).edit("absent: 40s", "absent: 90s").quiet(130);
        },
        expect![[r#"
            70s {alertname="Gone", service="cart"} firing
            75s -- absent: 40s -> absent: 90s
            71s   told {alertname="Gone", service="cart"} firing
            80s {alertname="Gone", service="cart"} resolved (Normal)
            81s   told {alertname="Gone", service="cart"} over
            120s {alertname="Gone", service="cart"} firing
        "#]],
    );
}
