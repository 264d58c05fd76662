//! What is said of expressions that are none.

use super::*;

#[test]
fn errors_tell_what_to_write_instead() {
    refused(
        &[
            "",
            "-- nothing",
            "statsu >= 500",
            "Status >= 500",
            "http.methd = 'GET'",
            "env = prod",
            "env = \"prod\"",
            "flavour = 'mild'",
            "status >= 'abc'",
            "status = '500'",
            "env = 5",
            "cached = 'true'",
            "cached > 1",
            "status IN (200, 'abc')",
            "status BETWEEN '4' AND '5'",
            "status",
            "service",
            "status AND cached",
            "NOT status",
            "status = NULL",
            "status <> NULL",
            "NULL",
            "status LIKE '5%'",
            "status ~ '5..'",
            "service ~ '('",
            "regexp_like(service, '[')",
            "service + 1 > 2",
            "lowr(service) = 'x'",
            "frobnicate(service) = 'x'",
            "lower(status, 1) = 'x'",
            "split_part(service) = 'x'",
            "count(*) > 5",
            "sum(bytes) > 5",
            "p99(latency_ms) > 5",
            "row_number() OVER () > 5",
            "event_time > now()",
            "current_date > event_time",
            "uuid() = service",
            "random() > 0.5",
            "status = $1",
            "status = ?",
            "status IN (SELECT 1)",
            "EXISTS (SELECT 1)",
            "status = (SELECT 1)",
            "status == 500",
            "status = 500 && cached",
            "status = 500 and",
            "(status = 500",
            "status = 500)",
            "status = 500; DROP TABLE x",
            "status >= 500 AS bad",
            "service = 'web",
            "status = 500 status",
            "* = 5",
            "1 / 0 = status",
            "CAST('abc' AS INT) = status",
            "lower(DISTINCT service) = 'x'",
            "status = 500 AND service IN (lower(env), upper(5))",
            "sum(x -> x) = 1",
            "array_filter([1,2], x -> x > 1) = [2]",
            "CASE WHEN status THEN true ELSE false END",
            "service = 'Zürich' AND stat = 5",
            "status >=\n  500 AND\n  enw = 'x'",
            "event_time > 'yesterday'",
            "regexp_match(service, 'x')",
            "cached || status = 500",
            "service COLLATE \"C\" = 'x'",
            "length(service, 1) > 2",
            "a.b.c = 1",
            "status in (200 404)",
            "latency_ms > 500ms",
            "status >= 500 AND # bad",
            "status >= 500 ? 1 : 2",
        ],
        expect![[r#"
            the expression is empty

            ^

            the expression is empty
            -- nothing
            ^^^^^^^^^^

            unknown field `statsu` of the stream `requests`
            statsu >= 500
            ^^^^^^
            hint: did you mean `status`? its fields are `service`, `env`, `status`, `latency_ms`, `cached`, `http.method`, `bytes`, `event_time`

            unknown field `Status` of the stream `requests`
            Status >= 500
            ^^^^^^
            hint: did you mean `status`? its fields are `service`, `env`, `status`, `latency_ms`, `cached`, `http.method`, `bytes`, `event_time`

            unknown field `http.methd` of the stream `requests`
            http.methd = 'GET'
            ^^^^^^^^^^
            hint: did you mean `http.method`? its fields are `service`, `env`, `status`, `latency_ms`, `cached`, `http.method`, `bytes`, `event_time`

            unknown field `prod` of the stream `requests`
            env = prod
                  ^^^^
            hint: a text is written 'prod'; its fields are `service`, `env`, `status`, `latency_ms`, `cached`, `http.method`, `bytes`, `event_time`

            unknown field `prod` of the stream `requests`
            env = "prod"
                  ^^^^^^
            hint: double quotes are for names of fields, a text is written 'prod'; its fields are `service`, `env`, `status`, `latency_ms`, `cached`, `http.method`, `bytes`, `event_time`

            unknown field `flavour` of the stream `requests`
            flavour = 'mild'
            ^^^^^^^
            hint: its fields are `service`, `env`, `status`, `latency_ms`, `cached`, `http.method`, `bytes`, `event_time`

            `status` is an int and `'abc'` is a string: they cannot be compared
            status >= 'abc'
            ^^^^^^^^^^^^^^^
            hint: compare `status` with a number

            `status` is an int and `'500'` is a string: they cannot be compared
            status = '500'
            ^^^^^^^^^^^^^^
            hint: write 500 without quotes

            `env` is a string and `5` is an int: they cannot be compared
            env = 5
            ^^^^^^^
            hint: write '5' in quotes

            `cached` is a bool and `'true'` is a string: they cannot be compared
            cached = 'true'
            ^^^^^^^^^^^^^^^
            hint: write true without quotes

            `cached` is a bool and `1` is an int: they cannot be compared
            cached > 1
            ^^^^^^^^^^
            hint: write `cached` or `NOT cached`

            `status` is an int and `'abc'` is a string: they cannot be compared
            status IN (200, 'abc')
            ^^^^^^^^^^^^^^^^^^^^^
            hint: compare `status` with a number

            `status` is an int and `'4'` is a string: they cannot be compared
            status BETWEEN '4' AND '5'
            ^^^^^^^^^^^^^^^^^^
            hint: write 4 without quotes

            a condition is true or false, but `status` is an int
            status
            ^^^^^^
            hint: compare it with something, such as `status > 0`

            a condition is true or false, but `service` is a string
            service
            ^^^^^^^
            hint: compare it with something, such as `service = 'x'`

            `AND` takes conditions, but `status` is an int
            status AND cached
            ^^^^^^
            hint: compare it with something, such as `status = …`

            `NOT` takes conditions, but `status` is an int
            NOT status
                ^^^^^^
            hint: compare it with something, such as `status = …`

            `= NULL` is never true
            status = NULL
            ^^^^^^^^^^^^^
            hint: write IS NULL

            `<> NULL` is never true
            status <> NULL
            ^^^^^^^^^^^^^^
            hint: write IS NOT NULL

            a condition is true or false, but `NULL` is null
            NULL
            ^^^^

            `LIKE` takes strings, but `status` is an int
            status LIKE '5%'
            ^^^^^^
            hint: make a string of it: `CAST(status AS VARCHAR)`

            `~` takes strings, but `status` is an int
            status ~ '5..'
            ^^^^^^
            hint: make a string of it: `CAST(status AS VARCHAR)`

            the regular expression is not valid: unclosed group
            service ~ '('
                      ^^^
            hint: the syntax is that of Rust's regex crate: no look-around, no back-references

            the regular expression is not valid: unclosed character class
            regexp_like(service, '[')
                                 ^^^
            hint: the syntax is that of Rust's regex crate: no look-around, no back-references

            `+` takes numbers, but `service` is a string
            service + 1 > 2
            ^^^^^^^
            hint: make a number of it: `CAST(service AS DOUBLE)`

            unknown function `lowr`
            lowr(service) = 'x'
            ^^^^
            hint: did you mean `lower`?

            unknown function `frobnicate`
            frobnicate(service) = 'x'
            ^^^^^^^^^^
            hint: the functions are those of DataFusion's SQL

            `lower` does not take (an int, an int)
            lower(status, 1) = 'x'
            ^^^^^^^^^^^^^^^^

            `split_part` does not take (a string)
            split_part(service) = 'x'
            ^^^^^^^^^^^^^^^^^^^

            `count` is an aggregate of many events
            count(*) > 5
            ^^^^^
            hint: aggregates stand in `let`, and `when` compares them; here each event is looked at alone

            `sum` is an aggregate of many events
            sum(bytes) > 5
            ^^^
            hint: aggregates stand in `let`, and `when` compares them; here each event is looked at alone

            `p99` is an aggregate of many events
            p99(latency_ms) > 5
            ^^^
            hint: aggregates stand in `let`, and `when` compares them; here each event is looked at alone

            `row_number` looks at other events; that is not supported
            row_number() OVER () > 5
            ^^^^^^^^^^

            `now` does not depend on the event alone: a replay would give other results
            event_time > now()
                         ^^^
            hint: the event's own time is `event_time`

            `current_date` does not depend on the event alone: a replay would give other results
            current_date > event_time
            ^^^^^^^^^^^^
            hint: the event's own time is `event_time`

            `uuid` does not depend on the event alone: a replay would give other results
            uuid() = service
            ^^^^

            `random` does not depend on the event alone: a replay would give other results
            random() > 0.5
            ^^^^^^

            placeholder `$1`: there is nobody to fill it in
            status = $1
                     ^^
            hint: write the value itself

            placeholder `?`: there is nobody to fill it in
            status = ?
                     ^
            hint: write the value itself

            a query inside an expression is not supported
            status IN (SELECT 1)
                       ^^^^^^
            hint: an expression sees one event; list the values with IN (…)

            a query inside an expression is not supported
            EXISTS (SELECT 1)
                    ^^^^^^
            hint: an expression sees one event; list the values with IN (…)

            a query inside an expression is not supported
            status = (SELECT 1)
                      ^^^^^^
            hint: an expression sees one event; list the values with IN (…)

            [3] native
            `&&` is not an operator here
            status = 500 && cached
                     ^^^^^^^^^^^^^
            hint: write AND

            expected an expression, but the text ends
            status = 500 and
                            ^

            expected `)`, but the text ends
            (status = 500
                         ^

            unexpected `)` after the expression
            status = 500)
                        ^
            hint: there is no bracket open here

            unexpected `;` after the expression
            status = 500; DROP TABLE x
                        ^
            hint: one expression, without `;`

            unexpected `AS` after the expression
            status >= 500 AS bad
                          ^^
            hint: an expression takes no alias: its name is its key

            unterminated string literal
            service = 'web
                      ^^^^
            hint: a quote that is opened must be closed

            unexpected `status` after the expression
            status = 500 status
                         ^^^^^^
            hint: an operator such as AND, OR or = is missing before it

            expected an expression, found `*`
            * = 5
            ^

            divide by zero error
            1 / 0 = status
            ^^^^^^^^^^^^^^

            cannot cast string 'abc' to value of Int32 type
            CAST('abc' AS INT) = status
                 ^^^^^

            DISTINCT is for aggregates; this is a function of one event
            lower(DISTINCT service) = 'x'
            ^^^^^^^^^^^^^^^^^^^^^^^

            `upper` does not take (an int)
            status = 500 AND service IN (lower(env), upper(5))
                                                     ^^^^^^^^

            `sum` is an aggregate of many events
            sum(x -> x) = 1
            ^^^
            hint: aggregates stand in `let`, and `when` compares them; here each event is looked at alone

            unknown function `array_filter`
            array_filter([1,2], x -> x > 1) = [2]
            ^^^^^^^^^^^^
            hint: the functions are those of DataFusion's SQL

            `WHEN` takes conditions, but `status` is an int
            CASE WHEN status THEN true ELSE false END
                      ^^^^^^
            hint: compare it with something, such as `status = …`

            unknown field `stat` of the stream `requests`
            service = 'Zürich' AND stat = 5
                                   ^^^^
            hint: did you mean `status`? its fields are `service`, `env`, `status`, `latency_ms`, `cached`, `http.method`, `bytes`, `event_time`

            unknown field `enw` of the stream `requests`
            status >=
              500 AND
              enw = 'x'
                                  ^^^
            hint: did you mean `env`? its fields are `service`, `env`, `status`, `latency_ms`, `cached`, `http.method`, `bytes`, `event_time`

            error parsing timestamp from 'yesterday': timestamp must contain at least 10 characters
            event_time > 'yesterday'
            ^^^^^^^^^^^^^^^^^^^^^^^^

            a condition is true or false, but `regexp_match(service, 'x')` is a list
            regexp_match(service, 'x')
            ^^^^^^^^^^^^^^^^^^^^^^^^^^
            hint: write `regexp_match(service, 'x') IS NOT NULL`, or match with `~`

            `||` joins strings
            cached || status = 500
            ^^^^^^^^^^^^^^^^
            hint: write OR

            this part of SQL is not supported
            service COLLATE "C" = 'x'
            ^^^^^^^^^^^^^^^^^^^

            `length` does not take (a string, an int)
            length(service, 1) > 2
            ^^^^^^^^^^^^^^^^^^

            unknown field `a.b.c` of the stream `requests`
            a.b.c = 1
            ^^^^^
            hint: its fields are `service`, `env`, `status`, `latency_ms`, `cached`, `http.method`, `bytes`, `event_time`

            expected `)`, found `404`
            status in (200 404)
                           ^^^

            unexpected `ms` after the expression
            latency_ms > 500ms
                            ^^
            hint: an operator such as AND, OR or = is missing before it

            expected an expression, found `#`
            status >= 500 AND # bad
                              ^

            unexpected `?` after the expression
            status >= 500 ? 1 : 2
                          ^
            hint: an operator such as AND, OR or = is missing before it

        "#]],
    );
}

/// Deep or long texts end in an answer, quickly and without eating the stack (2 MiB in a test's thread).
#[test]
fn hostile_texts_are_answered() {
    let outcome = |sql: String| match Filter::compile(&sql, &requests()) {
        Ok(_) => "compiled".to_owned(),
        Err(error) => error.message,
    };
    let many = |part: &str, joint: &str, times: usize| vec![part; times].join(joint);
    let nested = |open: &str, inner: &str, close: &str, depth: usize| open.repeat(depth) + inner + &close.repeat(depth);
    let mut lines = Vec::new();
    for (name, sql) in [
        ("400 ORs", many("status=1", " OR ", 340)),
        ("400 ANDs", many("status=1", " AND ", 310)),
        ("mixed", many("status=1 OR env='a' AND cached", " OR ", 110)),
        ("IN list", format!("status IN ({})", many("1", ",", 2000))),
        ("10 brackets", nested("(", "cached", ")", 10)),
        ("11 brackets", nested("(", "cached", ")", 11)),
        ("2000 brackets", nested("(", "cached", ")", 2000)),
        ("open brackets", "(".repeat(4000)),
        ("9 calls", nested("lower(", "service", ")", 9) + " = 'x'"),
        ("11 calls", nested("lower(", "service", ")", 11) + " = 'x'"),
        ("alternating", nested("(cached OR cached AND ", "cached", ")", 9)),
        ("coalesces", nested("coalesce(env, lower(", "service", "))", 4) + " = 'x'"),
        ("four of both", nested("(status = 1 AND CASE WHEN ", "cached", " THEN cached END)", 4)),
        ("NOTs", "NOT ".repeat(900) + "cached"),
        ("10 NOTs", "NOT ".repeat(10) + "cached"),
        ("minus", format!("{}status > 1", "- ".repeat(1500))),
        ("pluses", format!("{} > 1", many("status", "+", 500))),
        ("9 pluses", format!("{} > 1", many("status", "+", 9))),
        ("concat", format!("{} > 'a'", many("service", "||", 400))),
        ("CASE", nested("CASE WHEN cached THEN ", "cached", " END", 140)),
        ("9 CASE", nested("CASE WHEN cached THEN ", "cached", " END", 9)),
        ("casts", format!("status{} > 1", "::int".repeat(700))),
        ("arrays", nested("[", "1", "]", 1900) + " = 1"),
        ("types", format!("CAST(status AS {}) > 1", nested("ARRAY<", "INT", ">", 500))),
        ("subscripts", format!("service{} = 1", "[1]".repeat(1300))),
        ("IS NULL", format!("cached{}", " IS NULL".repeat(500))),
        ("IS TRUEs", format!("cached{}", " IS TRUE".repeat(10))),
        ("comparisons", format!("cached{}", " = cached".repeat(400))),
        ("lambdas", "(x -> ".repeat(30) + "1" + &")".repeat(30)),
        ("betweens", format!("status{}", " BETWEEN 1 AND 2".repeat(200))),
        ("too long", "x".repeat(5000)),
        ("intervals", "interval ".repeat(400)),
        ("struct", nested("struct(", "1", ")", 32) + " = 1"),
        ("exists", "EXISTS (SELECT ".repeat(30)),
        ("maps", nested("{'a': ", "1", "}", 30) + " = 1"),
    ] {
        lines.push(format!("{name}: {}\n", outcome(sql)));
    }
    expect![[r#"
        400 ORs: compiled
        400 ANDs: compiled
        mixed: compiled
        IN list: compiled
        10 brackets: compiled
        11 brackets: nested deeper than 10 levels
        2000 brackets: nested deeper than 10 levels
        open brackets: nested deeper than 10 levels
        9 calls: compiled
        11 calls: nested deeper than 10 levels
        alternating: nested deeper than 10 levels
        coalesces: compiled
        four of both: compiled
        NOTs: nested deeper than 10 levels
        10 NOTs: compiled
        minus: nested deeper than 10 levels
        pluses: nested deeper than 10 levels
        9 pluses: compiled
        concat: nested deeper than 10 levels
        CASE: nested deeper than 10 levels
        9 CASE: compiled
        casts: nested deeper than 10 levels
        arrays: nested deeper than 10 levels
        types: nested deeper than 10 levels
        subscripts: array_element does not support type Utf8View. No function matches the given name and argument types 'array_element(Utf8View, Int64)'. You might need to add explicit type casts
        IS NULL: nested deeper than 10 levels
        IS TRUEs: compiled
        comparisons: nested deeper than 10 levels
        lambdas: nested deeper than 10 levels
        betweens: nested deeper than 10 levels
        too long: the expression has 5000 bytes; at most 4096 are taken
        intervals: nested deeper than 10 levels
        struct: nested deeper than 10 levels
        exists: a query inside an expression is not supported
        maps: nested deeper than 10 levels
    "#]].assert_eq(&lines.concat());
}
