//! The two compiled forms against their oracles, on random conditions and values: evalexpr itself where everything is
//! known (`K4`), and a slow evaluator of the text's meaning where it is not (`K1`–`K3`).

use evalexpr::{
    ContextWithMutableFunctions, ContextWithMutableVariables, Function, HashMapContext, Node, Operator, Value,
};
use proptest::prelude::*;

use super::*;
use crate::model::signal::UnknownReason;

const NAMES: [&str; 5] = ["a", "b", "total", "p99", "x_1"];

/// A random number-valued text.
fn number() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => prop::sample::select(&NAMES[..]).prop_map(str::to_owned),
        1 => (-20i64..20).prop_map(|n| if n < 0 { format!("({n})") } else { n.to_string() }),
        1 => prop::sample::select(vec!["0.5", "1e3", "2.5e-3", "0x1F", "7.", "1E+2"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let pair = (inner.clone(), inner.clone());
        let op = prop::sample::select(vec!["+", "-", "*", "/", "%", "^", " + ", " - ", " * ", " / "]);
        let one = prop::sample::select(vec![
            "math::abs", "floor", "ceil", "round", "math::sqrt", "math::cbrt", "math::ln", "math::log2", "math::log10",
            "math::exp", "math::exp2",
        ]);
        let two = prop::sample::select(vec!["min", "max", "math::pow", "math::log", "math::hypot"]);
        prop_oneof![
            4 => (pair.clone(), op).prop_map(|((a, b), op)| format!("{a}{op}{b}")),
            2 => (pair.clone(), prop::sample::select(vec!["+", "*", "/", "-"])).prop_map(|((a, b), op)| format!("({a} {op} {b})")),
            1 => inner.clone().prop_map(|a| format!("-{a}")),
            1 => (inner.clone(), one).prop_map(|(a, f)| format!("{f}({a})")),
            1 => (pair.clone(), two).prop_map(|((a, b), f)| format!("{f}({a}, {b})")),
            1 => (pair.clone(), inner.clone()).prop_map(|((a, b), c)| format!("max({a},{b}, {c})")),
            1 => (pair, inner.clone(), inner).prop_map(|((a, b), c, d)| format!("if({a} > {b}, {c}, {d})")),
        ]
    })
}

/// A random condition.
fn condition() -> impl Strategy<Value = String> {
    let cmp = prop::sample::select(vec![">", "<", ">=", "<=", "==", "!=", " > ", " == "]);
    let leaf = prop_oneof![
        6 => (number(), cmp.clone(), number()).prop_map(|(a, op, b)| format!("{a}{op}{b}")),
        3 => (prop::sample::select(&NAMES[..]), cmp.clone(), -5i64..20).prop_map(|(a, op, b)| format!("{a}{op}{b}")),
        3 => (0i64..20, cmp.clone(), prop::sample::select(&NAMES[..])).prop_map(|(a, op, b)| format!("{a}{op}{b}")),
        1 => prop::sample::select(vec!["true", "false"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            3 => pair.clone().prop_map(|(a, b)| format!("{a} && {b}")),
            3 => pair.clone().prop_map(|(a, b)| format!("{a} || {b}")),
            2 => pair.clone().prop_map(|(a, b)| format!("({a} || {b})")),
            2 => inner.clone().prop_map(|a| format!("!({a})")),
            1 => pair.clone().prop_map(|(a, b)| format!("({a}) == ({b})")),
            1 => pair.clone().prop_map(|(a, b)| format!("({a}) != ({b})")),
            1 => (pair, inner).prop_map(|((a, b), c)| format!("if({a}, {b}, {c})")),
        ]
    })
}

fn value() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        6 => (-10i32..40).prop_map(|n| Some(f64::from(n))),
        4 => (-50.0f64..2000.0).prop_map(Some),
        1 => Just(Some(0.0)),
        2 => Just(None),
    ]
}

fn row() -> impl Strategy<Value = [Option<f64>; 5]> {
    prop::array::uniform5(value())
}

/// What evalexpr says, with its own library of functions; but for `min` and `max`, which in it never go beyond the
/// largest integer.
fn evalexpr(text: &str, row: &[Option<f64>; 5]) -> Option<bool> {
    let fold = |start: f64, f: fn(f64, f64) -> f64| {
        Function::new(move |argument| {
            let values =
                argument.as_tuple()?.into_iter().map(|value| value.as_number()).collect::<Result<Vec<_>, _>>()?;
            Ok(Value::Float(values.into_iter().fold(start, f)))
        })
    };
    let mut context = HashMapContext::new();
    context.set_function("min".into(), fold(f64::INFINITY, f64::min)).unwrap();
    context.set_function("max".into(), fold(f64::NEG_INFINITY, f64::max)).unwrap();
    for (name, value) in NAMES.iter().zip(row) {
        context.set_value((*name).into(), Value::Float((*value)?)).unwrap();
    }
    parse(text).unwrap().eval_boolean_with_context(&context).ok()
}

/// Meaning by the book: each part in full, no order, no laziness, nothing folded.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meaning {
    Number(f64),
    Truth(bool),
    Unknown(UnknownReason),
}

fn meaning(node: &Node, row: &[Option<f64>; 5]) -> Meaning {
    use Meaning::{Number, Truth, Unknown};
    let parts: Vec<Meaning> = match (node.operator(), node.children()) {
        (Operator::FunctionIdentifier { .. }, [arguments]) => match arguments.children() {
            [tuple] if matches!(tuple.operator(), Operator::Tuple) => tuple.children(),
            _ => std::slice::from_ref(arguments),
        },
        (_, children) => children,
    }
    .iter()
    .map(|child| meaning(child, row))
    .collect();
    let reason = parts.iter().filter_map(|part| if let Unknown(reason) = part { Some(*reason) } else { None }).min();
    let settle = |x: f64| if x.is_finite() { Number(x) } else { Unknown(UnknownReason::NotANumber) };
    let number = |at: usize| if let Number(x) = parts[at] { x } else { panic!("{node:?} has {:?}", parts[at]) };
    match node.operator() {
        Operator::RootNode => parts[0],
        Operator::Const { value: Value::Float(x) } => Number(*x),
        Operator::Const { value: Value::Boolean(x) } => Truth(*x),
        Operator::VariableIdentifierRead { identifier } => {
            let slot = NAMES.iter().position(|name| name == identifier).unwrap();
            row[slot].map_or(Unknown(UnknownReason::NoData), Number)
        }
        Operator::FunctionIdentifier { identifier } if identifier == "if" => match parts[0] {
            Truth(true) => parts[1],
            Truth(false) => parts[2],
            unknown => unknown,
        },
        Operator::And if parts.contains(&Truth(false)) => Truth(false),
        Operator::Or if parts.contains(&Truth(true)) => Truth(true),
        _ if reason.is_some() => Unknown(reason.unwrap()),
        Operator::And => Truth(true),
        Operator::Or => Truth(false),
        Operator::Not => Truth(parts[0] == Truth(false)),
        Operator::Eq => Truth(parts[0] == parts[1]),
        Operator::Neq => Truth(parts[0] != parts[1]),
        Operator::Lt => Truth(number(0) < number(1)),
        Operator::Leq => Truth(number(0) <= number(1)),
        Operator::Gt => Truth(number(0) > number(1)),
        Operator::Geq => Truth(number(0) >= number(1)),
        Operator::Neg => Number(-number(0)),
        Operator::Add => settle(number(0) + number(1)),
        Operator::Sub => settle(number(0) - number(1)),
        Operator::Mul => settle(number(0) * number(1)),
        Operator::Div => settle(number(0) / number(1)),
        Operator::Mod => settle(number(0) % number(1)),
        Operator::Exp => settle(number(0).powf(number(1))),
        Operator::FunctionIdentifier { identifier } => settle(match identifier.as_str() {
            "math::abs" => number(0).abs(),
            "floor" => number(0).floor(),
            "ceil" => number(0).ceil(),
            "round" => number(0).round(),
            "math::sqrt" => number(0).sqrt(),
            "math::cbrt" => number(0).cbrt(),
            "math::ln" => number(0).ln(),
            "math::log2" => number(0).log2(),
            "math::log10" => number(0).log10(),
            "math::exp" => number(0).exp(),
            "math::exp2" => number(0).exp2(),
            "math::pow" => number(0).powf(number(1)),
            "math::log" => number(0).log(number(1)),
            "math::hypot" => number(0).hypot(number(1)),
            "min" => (0..parts.len()).map(number).fold(f64::INFINITY, f64::min),
            "max" => (0..parts.len()).map(number).fold(f64::NEG_INFINITY, f64::max),
            other => panic!("{other}"),
        }),
        other => panic!("{other:?}"),
    }
}

/// A text whose every constant is finite; the others are errors, which [`super::tests`] covers.
fn compiled(text: &str) -> Option<Condition> {
    match Condition::compile(text, &NAMES) {
        Ok(condition) => Some(condition),
        Err(errors) => {
            let expected = |error: &ConditionError| {
                error.message.ends_with("is not a finite number") || error.message.contains("more than")
            };
            assert!(errors.iter().all(expected), "{text}\n{errors:?}");
            None
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// `K4`.
    #[test]
    fn where_all_is_known_the_verdict_is_evalexprs(text in condition(), row in row()) {
        let Some(condition) = compiled(&text) else { return Ok(()) };
        let known = match condition.judge(&mut &row[..]) {
            Verdict::Breach => true,
            Verdict::Normal => false,
            Verdict::Unknown(_) => return Ok(()),
        };
        if let Some(said) = evalexpr(&text, &row) {
            prop_assert_eq!(known, said, "{}", text);
        }
    }

    /// `K1`, `K2`, `K3`: both forms, any order of asking, against the meaning.
    #[test]
    fn both_forms_mean_what_the_text_means(
        text in condition(),
        rows in prop::collection::vec(row(), 1..6),
        costs in prop::array::uniform5(0u32..5),
    ) {
        let Some(condition) = compiled(&text) else { return Ok(()) };
        let ordered = condition.clone().with_costs(&costs);
        let columns: Vec<Vec<f64>> =
            (0..5).map(|slot| rows.iter().map(|row| row[slot].unwrap_or(f64::NAN)).collect()).collect();
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        let mut verdicts = Vec::new();
        ordered.judge_columns(rows.len(), &columns, &mut verdicts);
        for (row, by_column) in rows.iter().zip(verdicts) {
            let meant = match meaning(&parse(&text).unwrap(), row) {
                Meaning::Truth(true) => Verdict::Breach,
                Meaning::Truth(false) => Verdict::Normal,
                Meaning::Unknown(reason) => Verdict::Unknown(reason),
                Meaning::Number(_) => unreachable!(),
            };
            prop_assert_eq!(condition.judge(&mut &row[..]), meant, "as written: {}", text);
            prop_assert_eq!(ordered.judge(&mut &row[..]), meant, "reordered: {}", text);
            prop_assert_eq!(by_column, meant, "columns: {}", text);
        }
    }

    /// Whatever the text, compiling ends with a condition or with errors whose spans lie in the text.
    #[test]
    fn any_text_compiles_or_says_where_it_is_wrong(text in "[a-z0-9 ()<>=!&|+*/%^,;.\"'-]{0,60}") {
        if let Err(errors) = Condition::compile(&text, &NAMES) {
            prop_assert!(!errors.is_empty());
            for error in errors {
                prop_assert!(text.get(error.span.clone()).is_some(), "{:?} in {:?}", error, text);
            }
        }
    }

    /// Token soup of our own words: what passes the lexer evalexpr parses into the shape we expect.
    #[test]
    fn what_the_lexer_passes_is_understood(words in prop::collection::vec(
        prop::sample::select(vec!["a", "b", "1", "(", ")", "-", "!", ">", "&&", "||", "==", "+", "^", "min", ",", "true", "/**/"]), 0..14)
    ) {
        let text = words.join(" ");
        if let Err(errors) = Condition::compile(&text, &NAMES) {
            for error in errors {
                prop_assert!(!error.message.contains("cannot be"), "{}: {}", text, error);
            }
        }
    }
}

/// More rows than one step holds, with the last step partly filled.
#[test]
fn long_columns_are_judged_to_the_last_row() {
    let condition = Condition::compile("a > 500 || b / a > 1", &NAMES).unwrap();
    let a: Vec<f64> = (0..1000).map(f64::from).collect();
    let b: Vec<f64> = (0..1000).map(|n| if n % 7 == 0 { f64::NAN } else { 30.0 }).collect();
    let mut verdicts = vec![Verdict::Normal];
    condition.judge_columns(1000, &[&a, &b], &mut verdicts);
    assert_eq!(verdicts.len(), 1001, "appended to what was there");
    for (n, verdict) in verdicts[1..].iter().enumerate() {
        let row = [Some(a[n]), Some(b[n]).filter(|b| !b.is_nan())];
        assert_eq!(*verdict, condition.judge(&mut &row[..]), "row {n}");
    }
}
