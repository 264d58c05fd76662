//! Conditions that are wrong: a text in, carets with reasons and hints out.

use std::fmt::Write;

use expect_test::{Expect, expect};

use super::*;

const NAMES: [&str; 4] = ["p99", "total", "errors", "before"];

fn check(text: &str, expect: Expect) {
    let errors = match Condition::compile(text, &NAMES) {
        Ok(_) => Vec::new(),
        Err(errors) => errors,
    };
    expect.assert_eq(&carets(text, &errors));
}

fn carets(text: &str, errors: &[ConditionError]) -> String {
    let mut out = format!("{}\n", text.lines().next().unwrap_or_default());
    for error in errors {
        let carets = "^".repeat(error.span.len().clamp(1, 60));
        writeln!(out, "{}{carets} {error}", " ".repeat(error.span.start)).unwrap();
        if let Some(hint) = &error.hint {
            writeln!(out, "  hint: {hint}").unwrap();
        }
    }
    out
}

#[test]
fn all_errors_come_at_once_with_their_places() {
    check(
        "p98 > 800 && error / total > 0.05 && sum(total) > 1",
        expect![[r#"
        p98 > 800 && error / total > 0.05 && sum(total) > 1
        ^^^ unknown name `p98`
          hint: did you mean `p99`?
                     ^^^^^ unknown name `error`
          hint: did you mean `errors`?
                                             ^^^ unknown function `sum`
          hint: there are min, max, if, floor, ceil, round, abs, sqrt, cbrt, pow, ln, log, log2, log10, exp, exp2, hypot
    "#]],
    );
}

#[test]
fn names_that_are_not_there() {
    check(
        "latency > 5",
        expect![[r#"
        latency > 5
        ^^^^^^^ unknown name `latency`
          hint: the names of `let` are: `p99`, `total`, `errors`, `before`
    "#]],
    );
    check(
        "abs > 5",
        expect![[r#"
        abs > 5
        ^^^ unknown name `abs`
          hint: `math::abs` is a function: `math::abs(x)`
    "#]],
    );
    check(
        "total(5) > 5",
        expect![[r#"
        total(5) > 5
        ^^^^^ unknown function `total`
          hint: `total` is a name of `let`, not a function; leave the brackets away
    "#]],
    );
    check(
        "math::sin(p99) > 5",
        expect![[r#"
        math::sin(p99) > 5
        ^^^^^^^^^ unknown function `math::sin`
          hint: there are min, max, if, floor, ceil, round, abs, sqrt, cbrt, pow, ln, log, log2, log10, exp, exp2, hypot
    "#]],
    );
}

#[test]
fn what_a_condition_must_not_hold() {
    check(
        "service == \"cart\" && env == 'prod'",
        expect![[r#"
        service == "cart" && env == 'prod'
                   ^^^^^^ a condition compares numbers, not strings
          hint: compare strings in `where`, or in a `FILTER (WHERE …)` of a `let`
    "#]],
    );
    check(
        "env == 'prod'",
        expect![[r#"
        env == 'prod'
        ^^^ unknown name `env`
          hint: the names of `let` are: `p99`, `total`, `errors`, `before`
               ^^^^^^ a condition compares numbers, not strings
          hint: compare strings in `where`, or in a `FILTER (WHERE …)` of a `let`
    "#]],
    );
    check(
        "total = 5",
        expect![[r#"
        total = 5
              ^ `=` assigns; a condition only reads
          hint: write `==` to compare
    "#]],
    );
    check(
        "total += 5; total > 3",
        expect![[r#"
        total += 5; total > 3
              ^^ `+=` assigns; a condition only reads
          hint: compute it as a `let`, or compare with `==`
                  ^ `;` chains statements; a condition is one expression
          hint: join with `&&`
    "#]],
    );
    check(
        "(total, errors) == (1, 2)",
        expect![[r#"
        (total, errors) == (1, 2)
              ^ `,` only separates arguments of a function
          hint: write a decimal point as `.`
    "#]],
    );
    check(
        "total <> 5",
        expect![[r#"
        total <> 5
              ^^ `<>` is not an operator of conditions
          hint: write `!=` for different
    "#]],
    );
    check(
        "total > 5 & errors > 2 | p99 > 1",
        expect![[r#"
        total > 5 & errors > 2 | p99 > 1
                  ^ `&` is not an operator of conditions
          hint: write `&&` for and
                               ^ `|` is not an operator of conditions
          hint: write `||` for or
    "#]],
    );
}

#[test]
fn words_for_operators() {
    check(
        "total > 5 and errors > 2",
        expect![[r#"
        total > 5 and errors > 2
                  ^^^ an operator is missing before `and`
          hint: write `&&` for and
    "#]],
    );
    check(
        "not total > 5",
        expect![[r#"
        not total > 5
            ^^^^^ an operator is missing before `total`
          hint: write `!` for not
    "#]],
    );
}

#[test]
fn types_that_do_not_fit() {
    check(
        "errors / total",
        expect![[r#"
        errors / total
        ^^^^^^^^^^^^^^ the condition is a number; it must be true or false
          hint: compare it with a threshold: `errors / total > 0`
    "#]],
    );
    check(
        "total && errors > 5",
        expect![[r#"
        total && errors > 5
        ^^^^^ `&&` needs something that is true or false on both sides
          hint: compare `total` with a number
    "#]],
    );
    check(
        "!total",
        expect![[r#"
        !total
         ^^^^^ `!` needs something that is true or false, not a number
          hint: compare it: `total == 0`
    "#]],
    );
    check(
        "1 < total < 5",
        expect![[r#"
        1 < total < 5
        ^^^^^^^^^^^^^ `<` compares a truth value with a number
          hint: comparisons do not chain; write `a < b && b < c`
    "#]],
    );
    check(
        "(total > 5) > (errors > 5)",
        expect![[r#"
        (total > 5) > (errors > 5)
        ^^^^^^^^^^^^^^^^^^^^^^^^^^ `>` compares truth values, which have no order
          hint: combine them with `&&` or `||`
    "#]],
    );
    check(
        "(total > 5) + 1 > 0",
        expect![[r#"
        (total > 5) + 1 > 0
        ^^^^^^^^^^^ `+` needs numbers on both sides, and this is true or false
          hint: turn it into a number with `if(…, 1, 0)`
    "#]],
    );
    check(
        "-(total > 5) > 0",
        expect![[r#"
        -(total > 5) > 0
         ^^^^^^^^^^^ `-` needs a number, and this is true or false
          hint: turn it into a number with `if(…, 1, 0)`
    "#]],
    );
    check(
        "if(total, 1, 2) > 0",
        expect![[r#"
        if(total, 1, 2) > 0
           ^^^^^ the first argument of `if` must be true or false
          hint: compare it: `total > 0`
    "#]],
    );
    check(
        "if(total > 1, 1, true)",
        expect![[r#"
        if(total > 1, 1, true)
                      ^^^^^^^ both branches of `if` must be numbers, or both true or false
    "#]],
    );
    check(
        "min(total > 1, 5) > 0",
        expect![[r#"
        min(total > 1, 5) > 0
            ^^^^^^^^^ `min` needs numbers, and this is true or false
          hint: turn it into a number with `if(…, 1, 0)`
    "#]],
    );
    check(
        "total > (errors > 5)",
        expect![[r#"
        total > (errors > 5)
        ^^^^^^^^^^^^^^^^^^^^ `>` compares a number with a truth value
    "#]],
    );
}

#[test]
fn arguments_that_do_not_fit() {
    check(
        "min(total) > 1",
        expect![[r#"
        min(total) > 1
        ^^^ `min` does not take 1 argument
          hint: write `min(a, b)`, of two or more numbers
    "#]],
    );
    check(
        "floor() > 1",
        expect![[r#"
        floor() > 1
        ^^^^^ `floor` does not take 0 arguments
          hint: write `floor(x)`
    "#]],
    );
    check(
        "if(total > 1, 2) > 1",
        expect![[r#"
        if(total > 1, 2) > 1
        ^^ `if` does not take 2 arguments
          hint: write `if(test, then, otherwise)`
    "#]],
    );
    check(
        "math::log(total) > 1",
        expect![[r#"
        math::log(total) > 1
        ^^^^^^^^^ `math::log` does not take 1 argument
          hint: write `math::log(x, base)`
    "#]],
    );
}

#[test]
fn sentences_that_break() {
    check(
        "tot/* */al > 1",
        expect![[r#"
        tot/* */al > 1
                ^^ an operator is missing before `al`
    "#]],
    );
    check(
        "",
        expect![[r#"

        ^ the condition is empty
          hint: write a comparison over the names of `let`, such as `total > 100`
    "#]],
    );
    check(
        " // only a comment",
        expect![[r#"
         // only a comment
        ^^^^^^^^^^^^^^^^^^ the condition is empty
          hint: write a comparison over the names of `let`, such as `total > 100`
    "#]],
    );
    check(
        "total >",
        expect![[r#"
        total >
              ^ `>` has no value on its right
    "#]],
    );
    check(
        "> 5",
        expect![[r#"
        > 5
        ^ `>` has no value on its left
    "#]],
    );
    check(
        "total > > 5",
        expect![[r#"
        total > > 5
                ^ `>` has no value on its left
    "#]],
    );
    check(
        "total 5",
        expect![[r#"
        total 5
              ^ an operator is missing before `5`
    "#]],
    );
    check(
        "(total > 5",
        expect![[r#"
        (total > 5
        ^ this `(` is not closed
    "#]],
    );
    check(
        "total > 5)",
        expect![[r#"
        total > 5)
                 ^ `)` closes nothing
    "#]],
    );
    check(
        "total > 1,5",
        expect![[r#"
        total > 1,5
                 ^ `,` only separates arguments of a function
          hint: write a decimal point as `.`
    "#]],
    );
    check(
        "total > () + 1",
        expect![[r#"
        total > () + 1
                 ^ a value is missing before `)`
    "#]],
    );
    check(
        "total (5) > 1",
        expect![[r#"
        total (5) > 1
        ^^^^^ unknown function `total`
          hint: `total` is a name of `let`, not a function; leave the brackets away
    "#]],
    );
    check(
        "total > +5",
        expect![[r#"
        total > +5
                ^ `+` has no value on its left
          hint: leave the sign away
    "#]],
    );
    check(
        "total! > 5",
        expect![[r#"
        total! > 5
             ^ `!` stands before what it negates
          hint: write `!=` for different
    "#]],
    );
    check(
        "total > 5 /* never closed",
        expect![[r#"
        total > 5 /* never closed
                  ^^^^^^^^^^^^^^^ this comment has no end
          hint: close it with `*/`
    "#]],
    );
    check(
        "math::abs total > 5",
        expect![[r#"
        math::abs total > 5
                  ^^^^^ an operator is missing before `total`
    "#]],
    );
}

#[test]
fn numbers_that_are_none() {
    check(
        "total > 5m",
        expect![[r#"
        total > 5m
                ^^ `5m` is not a number
          hint: write plain numbers, such as `800`, `0.05` or `1e6`; units are not known here
    "#]],
    );
    check(
        "total > 1 / 0",
        expect![[r#"
        total > 1 / 0
                ^^^^^ `1 / 0` is not a finite number
    "#]],
    );
    check(
        "total > inf",
        expect![[r#"
        total > inf
                ^^^ `inf` is not a finite number
    "#]],
    );
    check(
        "total > 1e999",
        expect![[r#"
        total > 1e999
                ^^^^^ `1e999` is not a finite number
    "#]],
    );
}

#[test]
fn bounds_have_names() {
    let message = |text: &str| Condition::compile(text, &NAMES).unwrap_err()[0].message.clone();
    assert_eq!(message(&"1".repeat(5000)), "the condition has 5000 bytes; at most 4096 are allowed");
    let deep = format!("{}total{} > 1", "(".repeat(65), ")".repeat(65));
    assert_eq!(message(&deep), "the condition is nested deeper than 64 levels");
    assert_eq!(message(&format!("{}true", "!".repeat(70))), "the condition is nested deeper than 64 levels");
    assert_eq!(message(&format!("total{} > 1", " + 1".repeat(300))), "the condition has more than 256 operators");
    let fits = format!("{}total{} > 1", "(".repeat(64), ")".repeat(64));
    assert!(Condition::compile(&fits, &NAMES).is_ok());
    let long = format!("total > 0{}", " && total > 0".repeat(120));
    assert!(Condition::compile(&long, &NAMES).is_ok());
}
