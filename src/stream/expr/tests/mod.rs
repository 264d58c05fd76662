mod equal;

use expect_test::{Expect, expect};

use super::*;
use crate::stream::testing::{self, Cell, cells, requests};

/// The events all examples are tried on, one a line: service env status latency_ms cached http.method bytes.
fn events() -> Batch {
    let n = Cell::Null;
    testing::batch(
        &requests(),
        &[
            vec!["web".into(), "prod".into(), 200.into(), 12.5.into(), true.into(), "GET".into(), 2048.into()],
            vec!["web".into(), "prod".into(), 503.into(), 900.0.into(), false.into(), "POST".into(), 0.into()],
            vec!["auth".into(), "stage".into(), 404.into(), 0.0.into(), n.clone(), "GET".into(), n.clone()],
            vec!["Zürich-cart".into(), n.clone(), 500.into(), n.clone(), false.into(), "HEAD".into(), 1.into()],
            vec![n.clone(), n.clone(), n.clone(), n.clone(), n.clone(), n.clone(), n.clone()],
        ],
    )
}

fn report(error: &ExprError) -> String {
    let mut out = format!("{}\n{}\n", error.message, error.text);
    let before = error.text[..error.span.start].chars().count();
    let marked = error.text[error.span.clone()].chars().count().max(1);
    out.push_str(&format!("{}{}\n", " ".repeat(before), "^".repeat(marked)));
    if let Some(hint) = &error.hint {
        out.push_str(&format!("hint: {hint}\n"));
    }
    out
}

/// The rows a filter keeps.
fn kept(sql: &str) -> String {
    match Filter::compile(sql, &requests()) {
        Ok(mut filter) => {
            let mut rows = vec![0, 1, 2, 3, 4];
            filter.select(&events(), &mut rows);
            let how = match (filter.native.len(), filter.rest.is_some()) {
                (_, false) => "native",
                (0, true) => "datafusion",
                (_, true) => "both",
            };
            let failed = match filter.take_failed() {
                0 => String::new(),
                failed => format!(", {failed} failed: {}", filter.failure().unwrap_or_default()),
            };
            format!("{rows:?} {how}{failed}")
        }
        Err(error) => report(&error),
    }
}

fn check(sqls: &[&str], expect: Expect) {
    let lines: Vec<String> = sqls.iter().map(|sql| format!("{sql}  →  {}\n", kept(sql))).collect();
    expect.assert_eq(&lines.concat());
}

fn refused(sqls: &[&str], expect: Expect) {
    expect.assert_eq(&sqls.iter().map(|sql| kept(sql) + "\n").collect::<String>());
}

#[test]
fn comparisons() {
    check(
        &[
            "status >= 500",
            "500 <= status",
            "status <> 404",
            "status != 404",
            "status > 403.5",
            "latency_ms > 10",
            "latency_ms = 0",
            "latency_ms = -0.0",
            "latency_ms IN (-0.0, 12.5, 3, 4)",
            "service = 'web'",
            "service > 'b'",
            "service = 'Zürich-cart'",
            "\"http.method\" = 'GET'",
            "http.method = 'GET'",
            "cached",
            "NOT cached",
            "cached = true",
            "cached IS NOT TRUE",
            "cached IS NULL",
            "cached IS NOT NULL",
            "status BETWEEN 400 AND 499",
            "status NOT BETWEEN 400 AND 499",
            "status IN (200, 404)",
            "status NOT IN (200, 404)",
            "status IN (1, 2, 3, 200, 500)",
            "service IN ('web', 'auth')",
            "service NOT IN ('a', 'b', 'web', 'c', 'auth')",
            "service IN ('web', NULL)",
            "service NOT IN ('web', NULL)",
            "service LIKE 'w%'",
            "service NOT LIKE 'w%'",
            "service LIKE '%cart'",
            "service LIKE '%ür%'",
            "service LIKE '_eb'",
            "service ILIKE 'WEB'",
            "service ~ '^(web|auth)$'",
            "service !~ 'e'",
            "service ~* 'ZÜRICH'",
            "env = 'prod' AND http.method <> 'HEAD'",
            "env = 'prod' OR status = 404",
            "NOT (env = 'prod' OR status = 404)",
            "env = 'prod' OR env = 'stage' OR cached",
            // DataFusion's own simplification would keep the event without a service.
            "NOT (service IN ('a', 'b') AND service IN ('c'))",
            "status >= 500 AND lower(service) = 'web'",
            "status % 100 = 4",
            "env IS DISTINCT FROM 'prod'",
            "true",
            "1 = 2",
        ],
        expect![[r#"
            status >= 500  →  [1, 3] native
            500 <= status  →  [1, 3] native
            status <> 404  →  [0, 1, 3] native
            status != 404  →  [0, 1, 3] native
            status > 403.5  →  [1, 2, 3] native
            latency_ms > 10  →  [0, 1] native
            latency_ms = 0  →  [2] native
            latency_ms = -0.0  →  [2] native
            latency_ms IN (-0.0, 12.5, 3, 4)  →  [0, 2] datafusion
            service = 'web'  →  [0, 1] native
            service > 'b'  →  [0, 1] native
            service = 'Zürich-cart'  →  [3] native
            "http.method" = 'GET'  →  [0, 2] native
            http.method = 'GET'  →  [0, 2] native
            cached  →  [0] native
            NOT cached  →  [1, 3] native
            cached = true  →  [0] native
            cached IS NOT TRUE  →  [1, 2, 3, 4] datafusion
            cached IS NULL  →  [2, 4] native
            cached IS NOT NULL  →  [0, 1, 3] native
            status BETWEEN 400 AND 499  →  [2] native
            status NOT BETWEEN 400 AND 499  →  [0, 1, 3] native
            status IN (200, 404)  →  [0, 2] native
            status NOT IN (200, 404)  →  [1, 3] native
            status IN (1, 2, 3, 200, 500)  →  [0, 3] native
            service IN ('web', 'auth')  →  [0, 1, 2] native
            service NOT IN ('a', 'b', 'web', 'c', 'auth')  →  [3] native
            service IN ('web', NULL)  →  [0, 1] datafusion
            service NOT IN ('web', NULL)  →  [] both
            service LIKE 'w%'  →  [0, 1] native
            service NOT LIKE 'w%'  →  [2, 3] native
            service LIKE '%cart'  →  [3] native
            service LIKE '%ür%'  →  [3] native
            service LIKE '_eb'  →  [0, 1] datafusion
            service ILIKE 'WEB'  →  [0, 1] datafusion
            service ~ '^(web|auth)$'  →  [0, 1, 2] native
            service !~ 'e'  →  [2, 3] native
            service ~* 'ZÜRICH'  →  [3] datafusion
            env = 'prod' AND http.method <> 'HEAD'  →  [0, 1] native
            env = 'prod' OR status = 404  →  [0, 1, 2] native
            NOT (env = 'prod' OR status = 404)  →  [] native
            env = 'prod' OR env = 'stage' OR cached  →  [0, 1, 2] native
            NOT (service IN ('a', 'b') AND service IN ('c'))  →  [0, 1, 2, 3] native
            status >= 500 AND lower(service) = 'web'  →  [1] both
            status % 100 = 4  →  [2] datafusion
            env IS DISTINCT FROM 'prod'  →  [2, 3, 4] datafusion
            true  →  [0, 1, 2, 3, 4] native
            1 = 2  →  [] native
        "#]],
    );
}

/// The type and values of a computed column for the five events.
fn computed(sql: &str) -> String {
    let mut derived = match Derived::compile(sql, &requests()) {
        Ok(derived) => derived,
        Err(error) => return report(&error),
    };
    let mut batch = events();
    let column = derived.eval(&mut batch, &[0, 1, 3, 4]);
    let values: Vec<String> = cells(&batch, &column)
        .iter()
        .map(|cell| match cell {
            Cell::Null => "null".to_owned(),
            Cell::Str(text) => format!("'{text}'"),
            Cell::Int(value) => value.to_string(),
            Cell::Float(value) => format!("{value:?}"),
            Cell::Bool(value) => value.to_string(),
        })
        .collect();
    assert_eq!(values[2], "null", "row 2 was not selected");
    let failed = match derived.take_failed() {
        0 => String::new(),
        failed => format!("  ({failed} failed: {})", derived.failure().unwrap_or_default()),
    };
    format!("{} {}{failed}", derived.ty().name(), values.join(" "))
}

fn values(sqls: &[&str], expect: Expect) {
    let lines: Vec<String> = sqls.iter().map(|sql| format!("{sql}  →  {}\n", computed(sql))).collect();
    expect.assert_eq(&lines.concat());
}

#[test]
fn functions_and_casts() {
    values(
        &[
            "latency_ms",
            "service",
            "bytes / 1024",
            "bytes / 1024.0",
            "latency_ms / 1000",
            "lower(service)",
            "UPPER(service)",
            "split_part(service, '-', 2)",
            "regexp_match(service, '^([a-z]+)$')[1]",
            "regexp_replace(service, '[aeiou]', '*', 'g')",
            "CASE WHEN status >= 500 THEN 'error' WHEN status >= 400 THEN 'client' ELSE 'ok' END",
            "CASE env WHEN 'prod' THEN 1 ELSE 0 END",
            "CAST(status AS VARCHAR)",
            "status::text",
            "CAST(status / 100 AS VARCHAR) || 'xx'",
            "coalesce(env, 'none')",
            "coalesce(service, 'a longer text than twelve bytes')",
            "nullif(bytes, 0)",
            "greatest(latency_ms, 100)",
            "concat(service, '/', env)",
            "service || '/' || env",
            "trim('  x ' || service)",
            "btrim(service, 'w')",
            "starts_with(service, 'w')",
            "contains(service, 'eb')",
            "replace(service, 'web', 'WEB')",
            "octet_length(service)",
            "date_part('second', event_time)",
            "extract(second FROM event_time)",
            "date_trunc('minute', event_time)",
            "event_time >= '1970-01-01T00:00:01Z'",
            "array_length(string_to_array(service, '-'))",
            "status >= 500",
            "-latency_ms",
            "TRY_CAST(service AS BIGINT)",
            "CAST(service AS BIGINT)",
            "10 / bytes",
            "10.0 / bytes",
            "status + 9223372036854775807",
            "CAST(latency_ms AS BIGINT)",
            "CAST('5' AS INT)",
            "'constant'",
            "interval '1 hour'",
            "NULL",
            "length(service)",
            "substring(service, 1, 2)",
            "substring(service FROM 2 FOR 2)",
            "position('e' IN service)",
            "\"service\"",
            "floor(latency_ms / 100)",
            "date_part('dow', event_time)",
            "to_timestamp(bytes) > event_time",
            "event_time - interval '1 second' < '1970-01-01T00:00:01'",
            "map {'a': 1}['a']",
            "round(latency_ms)",
            "abs(latency_ms)",
        ],
        expect![[r#"
            latency_ms  →  float 12.5 900.0 null null null
            service  →  string 'web' 'web' null 'Zürich-cart' null
            bytes / 1024  →  int 2 0 null 0 null
            bytes / 1024.0  →  float 2.0 0.0 null 0.0009765625 null
            latency_ms / 1000  →  float 0.0125 0.9 null null null
            lower(service)  →  string 'web' 'web' null 'zürich-cart' null
            UPPER(service)  →  string 'WEB' 'WEB' null 'ZÜRICH-CART' null
            split_part(service, '-', 2)  →  string '' '' null 'cart' null
            regexp_match(service, '^([a-z]+)$')[1]  →  string 'web' 'web' null null null
            regexp_replace(service, '[aeiou]', '*', 'g')  →  string 'w*b' 'w*b' null 'Zür*ch-c*rt' null
            CASE WHEN status >= 500 THEN 'error' WHEN status >= 400 THEN 'client' ELSE 'ok' END  →  string 'ok' 'error' null 'error' 'ok'
            CASE env WHEN 'prod' THEN 1 ELSE 0 END  →  int 1 1 null 0 0
            CAST(status AS VARCHAR)  →  string '200' '503' null '500' null
            status::text  →  string '200' '503' null '500' null
            CAST(status / 100 AS VARCHAR) || 'xx'  →  string '2xx' '5xx' null '5xx' null
            coalesce(env, 'none')  →  string 'prod' 'prod' null 'none' 'none'
            coalesce(service, 'a longer text than twelve bytes')  →  string 'web' 'web' null 'Zürich-cart' 'a longer text than twelve bytes'
            nullif(bytes, 0)  →  int 2048 null null 1 null
            greatest(latency_ms, 100)  →  float 100.0 900.0 null 100.0 100.0
            concat(service, '/', env)  →  string 'web/prod' 'web/prod' null 'Zürich-cart/' '/'
            service || '/' || env  →  string 'web/prod' 'web/prod' null null null
            trim('  x ' || service)  →  string 'x web' 'x web' null 'x Zürich-cart' null
            btrim(service, 'w')  →  string 'eb' 'eb' null 'Zürich-cart' null
            starts_with(service, 'w')  →  bool true true null false null
            contains(service, 'eb')  →  bool true true null false null
            replace(service, 'web', 'WEB')  →  string 'WEB' 'WEB' null 'Zürich-cart' null
            octet_length(service)  →  int 3 3 null 12 null
            date_part('second', event_time)  →  int 0 1 null 3 4
            extract(second FROM event_time)  →  int 0 1 null 3 4
            date_trunc('minute', event_time)  →  `date_trunc('minute', event_time)` is a time; a string, a number or a bool is needed
            date_trunc('minute', event_time)
            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
            hint: take a number of it, such as `date_part('hour', date_trunc('minute', event_time))`

            event_time >= '1970-01-01T00:00:01Z'  →  bool false true null true true
            array_length(string_to_array(service, '-'))  →  int 1 1 null 2 null
            status >= 500  →  bool false true null true null
            -latency_ms  →  float -12.5 -900.0 null null null
            TRY_CAST(service AS BIGINT)  →  int null null null null null
            CAST(service AS BIGINT)  →  int null null null null null  (3 failed: cannot cast string 'Zürich-cart' to value of Int64 type)
            10 / bytes  →  int 0 null null 10 null  (1 failed: divide by zero error)
            10.0 / bytes  →  float 0.0048828125 inf null 10.0 null
            status + 9223372036854775807  →  int -9223372036854775609 -9223372036854775306 null -9223372036854775309 null
            CAST(latency_ms AS BIGINT)  →  int 12 900 null null null
            CAST('5' AS INT)  →  int 5 5 null 5 5
            'constant'  →  string 'constant' 'constant' null 'constant' 'constant'
            interval '1 hour'  →  `'1 hour'` is a length of time; a string, a number or a bool is needed
            interval '1 hour'
                     ^^^^^^^^

            NULL  →  `NULL` is null; a string, a number or a bool is needed
            NULL
            ^^^^

            length(service)  →  int 3 3 null 11 null
            substring(service, 1, 2)  →  string 'we' 'we' null 'Zü' null
            substring(service FROM 2 FOR 2)  →  string 'eb' 'eb' null 'ür' null
            position('e' IN service)  →  int 2 2 null 0 null
            "service"  →  string 'web' 'web' null 'Zürich-cart' null
            floor(latency_ms / 100)  →  float 0.0 9.0 null null null
            date_part('dow', event_time)  →  int 4 4 null 4 4
            to_timestamp(bytes) > event_time  →  bool true false null false null
            event_time - interval '1 second' < '1970-01-01T00:00:01'  →  bool true true null false false
            map {'a': 1}['a']  →  int 1 1 null 1 1
            round(latency_ms)  →  float 13.0 900.0 null null null
            abs(latency_ms)  →  float 12.5 900.0 null null null
        "#]],
    );
}

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

/// What `sql` is as a `let`.
fn aggregate(sql: &str) -> String {
    let call = match parse_aggregate(sql) {
        Ok(call) => call,
        Err(error) => return report(&error),
    };
    let args: Vec<String> =
        call.args.iter().map(|arg| format!("{} {:?}", &sql[arg.span.clone()], arg.number())).collect();
    let filter = call.filter.as_ref().map(|filter| &sql[filter.span.clone()]);
    format!(
        "{} {} args {args:?} star {} distinct {} filter {filter:?}\n  = {}\n",
        call.name,
        &sql[call.name_span.clone()],
        call.star,
        call.distinct,
        call.canonical()
    )
}

#[test]
fn aggregates_are_single_calls() {
    let sqls = [
        "count(*)",
        "COUNT(*) FILTER (WHERE status >= 500 AND (env = 'prod'))",
        "quantile(latency_ms, 0.99)",
        "quantile(latency_ms, -1)",
        "topk(ip, 5)",
        "avg(bytes / 1024)",
        "count(DISTINCT ip)",
        "distinct(ip)",
        "last(\"http.method\")",
        "min((latency_ms))",
        "max(latency_ms)",
        "rate(*)",
        "p99( latency_ms )  filter( where lower(service) = 'x' )",
        "rate()",
        "count",
        "errors / total",
        "count(*) / 5",
        "count(*, 5)",
        "sum(x) OVER (PARTITION BY y)",
        "array_agg(x ORDER BY y)",
        "(count(*))",
        "count(*) AS c",
        "sum(SELECT 1)",
    ];
    expect![[r#"
        count(*)
          count count args [] star true distinct false filter None
          = count(*)
        COUNT(*) FILTER (WHERE status >= 500 AND (env = 'prod'))
          count COUNT args [] star true distinct false filter Some("status >= 500 AND (env = 'prod')")
          = count(*) FILTER (WHERE ("status" >= 500) AND ("env" = 'prod'))
        quantile(latency_ms, 0.99)
          quantile quantile args ["latency_ms None", "0.99 Some(0.99)"] star false distinct false filter None
          = quantile("latency_ms", 0.99)
        quantile(latency_ms, -1)
          quantile quantile args ["latency_ms None", "1 Some(-1.0)"] star false distinct false filter None
          = quantile("latency_ms", -1)
        topk(ip, 5)
          topk topk args ["ip None", "5 Some(5.0)"] star false distinct false filter None
          = topk("ip", 5)
        avg(bytes / 1024)
          avg avg args ["bytes / 1024 None"] star false distinct false filter None
          = avg("bytes" / 1024)
        count(DISTINCT ip)
          count count args ["ip None"] star false distinct true filter None
          = count(DISTINCT "ip")
        distinct(ip)
          distinct distinct args ["ip None"] star false distinct false filter None
          = distinct("ip")
        last("http.method")
          last last args ["\"http.method\" None"] star false distinct false filter None
          = last("http.method")
        min((latency_ms))
          min min args ["latency_ms None"] star false distinct false filter None
          = min("latency_ms")
        max(latency_ms)
          max max args ["latency_ms None"] star false distinct false filter None
          = max("latency_ms")
        rate(*)
          rate rate args [] star true distinct false filter None
          = rate(*)
        p99( latency_ms )  filter( where lower(service) = 'x' )
          p99 p99 args ["latency_ms None"] star false distinct false filter Some("lower(service) = 'x'")
          = p99("latency_ms") FILTER (WHERE lower("service") = 'x')
        rate()
          rate rate args [] star false distinct false filter None
          = rate()
        count
          `count` has no brackets with what it is taken of
        count
        ^^^^^
        hint: a `let` is one call of an aggregate, such as `count(*)`, `p99(latency_ms)` or `count(*) FILTER (WHERE status >= 500)`; arithmetic between lets belongs into `when`
        errors / total
          `errors / total` is not a call of an aggregate
        errors / total
        ^^^^^^^^^^^^^^
        hint: a `let` is one call of an aggregate, such as `count(*)`, `p99(latency_ms)` or `count(*) FILTER (WHERE status >= 500)`; arithmetic between lets belongs into `when`
        count(*) / 5
          `count(*) / 5` is not a call of an aggregate
        count(*) / 5
        ^^^^^^^^^^^^
        hint: a `let` is one call of an aggregate, such as `count(*)`, `p99(latency_ms)` or `count(*) FILTER (WHERE status >= 500)`; arithmetic between lets belongs into `when`
        count(*, 5)
          `*` stands alone in the brackets
        count(*, 5)
        ^^^^^^^^^^^
        hint: a `let` is one call of an aggregate, such as `count(*)`, `p99(latency_ms)` or `count(*) FILTER (WHERE status >= 500)`; arithmetic between lets belongs into `when`
        sum(x) OVER (PARTITION BY y)
          `OVER` is not supported: the rule's `window` says what is aggregated
        sum(x) OVER (PARTITION BY y)
        ^^^^^^
        hint: a `let` is one call of an aggregate, such as `count(*)`, `p99(latency_ms)` or `count(*) FILTER (WHERE status >= 500)`; arithmetic between lets belongs into `when`
        array_agg(x ORDER BY y)
          `ORDER BY y` is not supported inside an aggregate
        array_agg(x ORDER BY y)
        ^^^^^^^^^^^^^^^^^^^^^^^
        hint: a `let` is one call of an aggregate, such as `count(*)`, `p99(latency_ms)` or `count(*) FILTER (WHERE status >= 500)`; arithmetic between lets belongs into `when`
        (count(*))
          count count args [] star true distinct false filter None
          = count(*)
        count(*) AS c
          unexpected `AS` after the expression
        count(*) AS c
                 ^^
        hint: an expression takes no alias: its name is its key
        sum(SELECT 1)
          a query inside an expression is not supported
        sum(SELECT 1)
            ^^^^^^
        hint: an expression sees one event; list the values with IN (…)
    "#]].assert_eq(&sqls.map(|sql| format!("{sql}\n  {}", aggregate(sql))).concat());
}

#[test]
fn equal_expressions_are_spelled_the_same() {
    let same = |a: &str, b: &str| {
        let spell = |sql: &str| Filter::compile(sql, &requests()).expect(sql).canonical().to_owned();
        assert_eq!(spell(a), spell(b));
    };
    same("status>=500 and env='prod'", "(status >= 500)\n AND ((env) = 'prod')");
    same("\"status\" >= 500", "status >= 500");
    same("http.method = 'GET'", "\"http.method\" = 'GET'");
    same("LOWER(service) = 'x'", "lower( service ) = 'x'");
    same("status != 5", "status <> 5");
    let spelled = |sql: &str| Filter::compile(sql, &requests()).expect(sql).canonical().to_owned();
    assert_ne!(spelled("cached OR cached AND status = 1"), spelled("(cached OR cached) AND status = 1"));
    assert_ne!(spelled("service = 'a'"), spelled("service = 'A'"));
    expect![[r#"("status" >= 500) AND (("env" = 'prod') OR (NOT "cached"))"#]]
        .assert_eq(&spelled("status >= 500 AND (env = 'prod' OR NOT cached)"));
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
