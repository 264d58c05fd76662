//! Random conditions on random events: what a filter keeps is what DataFusion says of each event alone.

use proptest::prelude::*;

use super::super::{Derived, Filter, Planner, check, parse_scalar, program};
use crate::model::batch::Batch;
use crate::stream::testing::{self, Cell, requests};
use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;

fn text() -> impl Strategy<Value = String> {
    let words =
        ["", "web", "we", "webshop", "Web", "Zürich", "日本語のテキスト", "a", "5", "a'b", "w%b", "twelve bytes!"];
    prop::sample::select(words.to_vec()).prop_map(str::to_owned)
}

fn int() -> impl Strategy<Value = i64> {
    prop::sample::select(vec![0, 1, -1, 5, 6, 404, 500, i64::MAX, i64::MIN, (1 << 53) + 1])
}

fn float() -> impl Strategy<Value = f64> {
    let values = [0.0, -0.0, 0.5, 5.0, -5.0, 1e300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -f64::NAN];
    prop::sample::select(values.to_vec())
}

fn or_null(cell: impl Strategy<Value = Cell>) -> impl Strategy<Value = Cell> {
    prop_oneof![1 => Just(Cell::Null), 4 => cell]
}

fn event() -> impl Strategy<Value = Vec<Cell>> {
    (
        or_null(text().prop_map(Cell::Str)),
        or_null(text().prop_map(Cell::Str)),
        or_null(int().prop_map(Cell::Int)),
        or_null(float().prop_map(Cell::Float)),
        or_null(any::<bool>().prop_map(Cell::Bool)),
        or_null(text().prop_map(Cell::Str)),
        or_null(int().prop_map(Cell::Int)),
    )
        .prop_map(|(a, b, c, d, e, f, g)| vec![a, b, c, d, e, f, g])
}

fn events() -> impl Strategy<Value = Vec<Vec<Cell>>> {
    prop::collection::vec(event(), 0..40)
}

fn quoted(text: String) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Literals as SQL writes them. The smallest int cannot be written (its digits alone overflow).
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        int().prop_filter("no literal", |v| *v != i64::MIN).prop_map(|v| v.to_string()),
        prop::sample::select(vec!["0.0", "0.5", "5.0", "-5.0", "1e300", "500.5"]).prop_map(str::to_owned),
    ]
}

fn leaf() -> impl Strategy<Value = String> {
    let cmp = || prop::sample::select(vec!["=", "<>", "<", "<=", ">", ">="]);
    let texts = || prop::sample::select(vec!["service", "env", "http.method"]);
    let numbers = || prop::sample::select(vec!["status", "bytes", "latency_ms"]);
    let not = || prop::sample::select(vec!["", "NOT "]);
    let list = |item: BoxedStrategy<String>| prop::collection::vec(item, 1..7).prop_map(|items| items.join(", "));
    let pattern = prop::sample::select(vec!["w%", "%b", "%e%", "web", "%", "", "w_b", "%ü%", "w\\%b", "%日%", "%%"]);
    let regex = prop::sample::select(vec!["^w", "b$", "e", "^(web|a)$", "", "^web$", "^$", "[ü本]", "(?i)WEB", "a.b"]);
    let matches = prop::sample::select(vec!["~", "!~", "~*", "!~*"]);
    prop_oneof![
        4 => (numbers(), cmp(), number()).prop_map(|(f, op, v)| format!("{f} {op} {v}")),
        1 => (number(), cmp(), numbers()).prop_map(|(v, op, f)| format!("{v} {op} {f}")),
        3 => (texts(), cmp(), text()).prop_map(|(f, op, v)| format!("{f} {op} {}", quoted(v))),
        2 => (numbers(), not(), list(number().boxed())).prop_map(|(f, not, l)| format!("{f} {not}IN ({l})")),
        2 => (texts(), not(), list(text().prop_map(quoted).boxed())).prop_map(|(f, not, l)| format!("{f} {not}IN ({l})")),
        1 => (texts(), not()).prop_map(|(f, not)| format!("{f} {not}IN ('web', NULL)")),
        2 => (prop_oneof![texts(), numbers(), Just("cached")], not()).prop_map(|(f, not)| format!("{f} IS {not}NULL")),
        1 => (numbers(), not(), number(), number()).prop_map(|(f, not, a, b)| format!("{f} {not}BETWEEN {a} AND {b}")),
        2 => (texts(), not(), pattern).prop_map(|(f, not, p)| format!("{f} {not}LIKE '{p}'")),
        2 => (texts(), matches, regex).prop_map(|(f, op, p)| format!("{f} {op} '{p}'")),
        2 => prop::sample::select(vec!["cached", "cached = true", "cached <> true", "cached IS TRUE", "cached IS NOT TRUE",
            "cached IS FALSE", "cached IS NOT FALSE", "cached IS UNKNOWN"]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["10 / bytes > 1", "CAST(service AS BIGINT) = 5", "status % bytes = 0",
            "status < bytes", "status = latency_ms", "service = env", "service IS DISTINCT FROM env", "lower(service) = 'web'",
            "starts_with(service, 'w')", "coalesce(status, 5) = 5", "event_time > '1970-01-01T00:00:10Z'",
            "CASE WHEN cached THEN status ELSE bytes END > 5", "latency_ms / 0 > 1", "nullif(status, 5) IS NULL",
            "length(service) > 3"]).prop_map(str::to_owned),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    leaf().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" AND "))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" OR "))),
            inner.prop_map(|part| format!("NOT ({part})")),
        ]
    })
}

fn value() -> impl Strategy<Value = String> {
    let others = [
        "10 / bytes",
        "status % bytes",
        "CAST(service AS BIGINT)",
        "latency_ms / 0",
        "lower(service)",
        "service || env",
        "coalesce(env, service)",
        "split_part(service, 'b', 1)",
        "CASE WHEN cached THEN 10 / bytes ELSE status END",
        "CASE WHEN bytes <> 0 THEN 10 / bytes END",
        "substr(service, 2)",
        "upper(env) || '…'",
        "-latency_ms",
        "service",
        "nullif(10 / bytes, 10)",
        "coalesce(status, 10 / bytes)",
        "TRY_CAST(env AS INT)",
        "greatest(status, bytes)",
    ];
    prop_oneof![1 => prop::sample::select(others.to_vec()).prop_map(str::to_owned), 1 => condition()]
}

/// Whether DataFusion, given one event and the condition as it was written, says TRUE.
fn truth(sql: &str, batch: &Batch) -> Vec<bool> {
    let schema = requests();
    let planner = Planner::new(&schema);
    let ast = check::resolved(&parse_scalar(sql).expect(sql), sql, &schema).expect(sql);
    let plain = planner.coerced(&ast).expect(sql);
    // `coalesce` only exists before simplification.
    let expr = if sql.contains("coalesce") { planner.simplified(plain).expect(sql) } else { plain };
    let mut program = program(&expr, DataType::Boolean, &schema, &planner).expect(sql);
    let truth = |row| {
        let value = program.run(batch, &[row]);
        value.is_valid(0) && value.as_boolean().value(0)
    };
    (0..batch.rows() as u32).map(truth).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// `E2`, `E3`: a value, and whether it could be computed, is the same alone and among others.
    #[test]
    fn a_computed_value_does_not_depend_on_the_rest_of_the_batch(sql in value(), events in events()) {
        let Ok(mut derived) = Derived::compile(&sql, &requests()) else {
            return Ok(());
        };
        let mut together = testing::batch(&requests(), &events);
        let all: Vec<u32> = (0..events.len() as u32).collect();
        let column = derived.eval(&mut together, &all);
        let (column, failed) = (testing::cells(&together, &column), derived.take_failed());

        let mut alone = Vec::new();
        for row in all {
            let mut batch = testing::batch(&requests(), &events);
            let column = derived.eval(&mut batch, &[row]);
            alone.push(testing::cells(&batch, &column)[row as usize].clone());
        }
        // NaN is not equal to itself; its text is.
        prop_assert_eq!(format!("{:?}", column), format!("{:?}", alone), "{}", sql);
        prop_assert_eq!(failed, derived.take_failed(), "{}", sql);
    }

    /// `E1`, `E2`, `N1`
    #[test]
    fn a_filter_keeps_what_is_true_of_each_event_alone(sql in condition(), events in events(), some in any::<u64>()) {
        let Ok(mut filter) = Filter::compile(&sql, &requests()) else {
            // Always null or failing for every event: refused at load.
            return Ok(());
        };
        let batch = testing::batch(&requests(), &events);
        let truth = truth(&sql, &batch);
        let keep = |rows: &[u32]| rows.iter().copied().filter(|row| truth[*row as usize]).collect::<Vec<_>>();

        let all: Vec<u32> = (0..batch.rows() as u32).collect();
        let mut sel = all.clone();
        filter.select(&batch, &mut sel);
        prop_assert_eq!(&sel, &keep(&all), "{}", sql);

        let part: Vec<u32> = all.iter().copied().filter(|row| some >> (row % 64) & 1 == 1).collect();
        let mut sel = part.clone();
        filter.select(&batch, &mut sel);
        prop_assert_eq!(&sel, &keep(&part), "{} on {:?}", sql, part);

        let mut mask = Vec::new();
        filter.mask(&batch, &part, &mut mask);
        let expect: Vec<bool> = part.iter().map(|row| truth[*row as usize]).collect();
        prop_assert_eq!(mask, expect, "mask of {} on {:?}", sql, part);
    }
}
