//! Conditions as stories: a text and numbers in, a verdict with its evidence out.

use std::fmt::Write;

use expect_test::{Expect, expect};

use super::*;
use crate::model::signal::UnknownReason;

const NAMES: [&str; 4] = ["p99", "total", "errors", "before"];

/// The verdict for each row of values (`_` is no data), judged both ways.
fn check(text: &str, rows: &[&str], expect: Expect) {
    let condition = Condition::compile(text, &NAMES).unwrap();
    let mut out = String::new();
    for row in rows {
        let values: Vec<Option<f64>> = row.split_whitespace().map(|value| value.parse().ok()).collect();
        let columns: Vec<Vec<f64>> = values.iter().map(|value| vec![value.unwrap_or(f64::NAN)]).collect();
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        let mut verdicts = Vec::new();
        condition.judge_columns(1, &columns, &mut verdicts);
        let verdict = condition.judge(&mut values.as_slice());
        assert_eq!(verdicts, [verdict], "columns and single rows disagree");
        writeln!(out, "{row:<16} {verdict}").unwrap();
        for comparison in condition.comparisons(&mut values.as_slice()) {
            let side = |value: Option<f64>| value.map_or("?".to_owned(), |value| value.to_string());
            let holds = comparison.holds.map_or("unknown", |holds| if holds { "holds" } else { "does not" });
            let (left, right) = (side(comparison.left), side(comparison.right));
            writeln!(out, "    {}: {left} against {right}, {holds}", comparison.text).unwrap();
        }
    }
    expect.assert_eq(&out);
}

#[test]
fn the_rule_of_the_design_page() {
    check(
        "p99 > 800 && errors / total > 0.05 && total >= 50",
        &["900 100 10 _", "900 100 5 _", "_ 100 10 _", "_ 100 1 _", "900 0 0 _"],
        expect![[r#"
            900 100 10 _     breach
                p99 > 800: 900 against 800, holds
                errors / total > 0.05: 0.1 against 0.05, holds
                total >= 50: 100 against 50, holds
            900 100 5 _      normal
                p99 > 800: 900 against 800, holds
                errors / total > 0.05: 0.05 against 0.05, does not
                total >= 50: 100 against 50, holds
            _ 100 10 _       unknown (no_data)
                p99 > 800: ? against 800, unknown
                errors / total > 0.05: 0.1 against 0.05, holds
                total >= 50: 100 against 50, holds
            _ 100 1 _        normal
                p99 > 800: ? against 800, unknown
                errors / total > 0.05: 0.01 against 0.05, does not
                total >= 50: 100 against 50, holds
            900 0 0 _        normal
                p99 > 800: 900 against 800, holds
                errors / total > 0.05: ? against 0.05, unknown
                total >= 50: 0 against 50, does not
        "#]],
    );
}

#[test]
fn whole_numbers_divide_and_compare_as_floats() {
    check(
        "1 / 2 == 0.5 && 1 == 1.0 && errors / 4 == 2.5",
        &["0 0 10 0"],
        expect![[r#"
        0 0 10 0         breach
            1 / 2 == 0.5: 0.5 against 0.5, holds
            1 == 1.0: 1 against 1, holds
            errors / 4 == 2.5: 2.5 against 2.5, holds
    "#]],
    );
}

#[test]
fn the_spike_against_the_past() {
    check(
        "total > 3 * before && total - before >= 100",
        &["_ 400 _ 100", "_ 400 _ _", "_ 50 _ _"],
        expect![[r#"
        _ 400 _ 100      breach
            total > 3 * before: 400 against 300, holds
            total - before >= 100: 300 against 100, holds
        _ 400 _ _        unknown (no_data)
            total > 3 * before: 400 against ?, unknown
            total - before >= 100: ? against 100, unknown
        _ 50 _ _         unknown (no_data)
            total > 3 * before: 50 against ?, unknown
            total - before >= 100: ? against 100, unknown
    "#]],
    );
}

#[test]
fn functions_work_and_have_short_names() {
    check(
        "max(p99, total, 3) > 10 || abs(errors - before) > math::abs(2) || round(math::sqrt(total)) == 3",
        &["1 9 0 0", "11 _ 0 0", "1 2 5 2"],
        expect![[r#"
            1 9 0 0          breach
                max(p99, total, 3) > 10: 9 against 10, does not
                abs(errors - before) > math::abs(2): 0 against 2, does not
                round(math::sqrt(total)) == 3: 3 against 3, holds
            11 _ 0 0         unknown (no_data)
                max(p99, total, 3) > 10: ? against 10, unknown
                abs(errors - before) > math::abs(2): 0 against 2, does not
                round(math::sqrt(total)) == 3: ? against 3, unknown
            1 2 5 2          breach
                max(p99, total, 3) > 10: 3 against 10, does not
                abs(errors - before) > math::abs(2): 3 against 2, holds
                round(math::sqrt(total)) == 3: 1 against 3, does not
        "#]],
    );
    check(
        "if(total > 100, errors / total, 0) > 0.5",
        &["_ 200 150 _", "_ 10 10 _", "_ _ 10 _"],
        expect![[r#"
        _ 200 150 _      breach
            total > 100: 200 against 100, holds
            if(total > 100, errors / total, 0) > 0.5: 0.75 against 0.5, holds
        _ 10 10 _        normal
            total > 100: 10 against 100, does not
            if(total > 100, errors / total, 0) > 0.5: 0 against 0.5, does not
        _ _ 10 _         unknown (no_data)
            total > 100: ? against 100, unknown
            if(total > 100, errors / total, 0) > 0.5: ? against 0.5, unknown
    "#]],
    );
    check(
        "if(total > 100, errors > 5, errors > 50)",
        &["_ 200 6 _", "_ 10 6 _"],
        expect![[r#"
        _ 200 6 _        breach
            total > 100: 200 against 100, holds
            errors > 5: 6 against 5, holds
            errors > 50: 6 against 50, does not
        _ 10 6 _         normal
            total > 100: 10 against 100, does not
            errors > 5: 6 against 5, holds
            errors > 50: 6 against 50, does not
    "#]],
    );
}

#[test]
fn a_constant_on_the_left_keeps_its_side_in_the_evidence() {
    check(
        "800 < p99",
        &["900 _ _ _"],
        expect![[r#"
        900 _ _ _        breach
            800 < p99: 800 against 900, holds
    "#]],
    );
}

#[test]
fn comments_and_lines_do_not_disturb() {
    check(
        "p99 > 800 // slow\n  && /* and busy */ total > 50",
        &["900 60 _ _"],
        expect![[r#"
        900 60 _ _       breach
            p99 > 800: 900 against 800, holds
            total > 50: 60 against 50, holds
    "#]],
    );
}

#[test]
fn numbers_are_written_in_many_ways() {
    check(
        "total > 1e-3 && total < 2E+2 && total < 0x10",
        &["_ 15 _ _", "_ 17 _ _"],
        expect![[r#"
        _ 15 _ _         breach
            total > 1e-3: 15 against 0.001, holds
            total < 2E+2: 15 against 200, holds
            total < 0x10: 15 against 16, holds
        _ 17 _ _         normal
            total > 1e-3: 17 against 0.001, holds
            total < 2E+2: 17 against 200, holds
            total < 0x10: 17 against 16, does not
    "#]],
    );
}

/// Counts what is asked, and answers thresholds itself.
#[derive(Default)]
struct Window {
    values: Vec<usize>,
    thresholds: Vec<usize>,
}

impl Values for Window {
    fn value(&mut self, slot: usize) -> Option<f64> {
        self.values.push(slot);
        Some([900.0, 10.0, 1.0, 5.0][slot])
    }

    fn compare(&mut self, slot: usize, cmp: Cmp, threshold: f64) -> Option<bool> {
        self.thresholds.push(slot);
        Some(cmp.holds([900.0, 10.0, 1.0, 5.0][slot], threshold))
    }
}

#[test]
fn quantiles_are_asked_last_and_only_as_thresholds() {
    let condition = Condition::compile("p99 > 800 && errors / total > 0.5 && total >= 50", &NAMES).unwrap();
    let condition = condition.with_costs(&[100, 1, 1, 1]);
    let mut window = Window::default();
    assert_eq!(condition.judge(&mut window), Verdict::Normal);
    assert_eq!((window.thresholds, window.values), (vec![1], vec![]), "the cheap `total >= 50` decides");

    let condition = Condition::compile("p99 > 800 && total >= 5", &NAMES).unwrap().with_costs(&[100, 1, 1, 1]);
    let mut window = Window::default();
    assert_eq!(condition.judge(&mut window), Verdict::Breach);
    assert_eq!((window.thresholds, window.values), (vec![1, 0], vec![]), "the quantile itself is never worked out");
    assert_eq!(condition.slots(), [0, 1], "the first let of the text is `$value`, whatever is asked first");
}

#[test]
fn a_value_is_asked_for_once() {
    let condition = Condition::compile("p99 > 2 * before && p99 < 3 * before * 1000 && p99 > 1", &NAMES).unwrap();
    let mut window = Window::default();
    assert_eq!(condition.judge(&mut window), Verdict::Breach);
    assert_eq!((window.thresholds, window.values), (vec![0], vec![0, 3]));
}

/// A window that is still filling: it has counts, but cannot say that one stays below a limit.
struct Filling;

impl Values for Filling {
    fn value(&mut self, _: usize) -> Option<f64> {
        Some(3.0)
    }

    fn compare(&mut self, _: usize, cmp: Cmp, threshold: f64) -> Option<bool> {
        Some(cmp.holds(3.0, threshold)).filter(|holds| *holds == matches!(cmp, Cmp::Gt | Cmp::Ge))
    }

    fn missing(&self, _: usize) -> UnknownReason {
        UnknownReason::Warming
    }
}

#[test]
fn a_window_that_is_filling_says_too_many_but_not_too_few() {
    let judge = |text: &str| Condition::compile(text, &NAMES).unwrap().judge(&mut Filling);
    assert_eq!(judge("total > 2"), Verdict::Breach);
    assert_eq!(judge("total < 5"), Verdict::Unknown(UnknownReason::Warming));
    assert_eq!(judge("errors / total == 1 && total < 5"), Verdict::Unknown(UnknownReason::Warming));
    assert_eq!(judge("total > 2 || total < 5"), Verdict::Breach);
}
