mod equal;
mod errors;

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
