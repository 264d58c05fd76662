//! What a rule costs: judging a group's condition three ways, and rendering an annotation.
//!
//! `cargo bench --bench rule`; throughput is verdicts a second. `condition/evalexpr` is what the language would cost if its
//! own evaluator ran; `condition/lazy` asks for one group's values as the engine does; `condition/columns` takes groups by
//! the hundred thousand.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use evalexpr::{ContextWithMutableVariables, HashMapContext, Value};
use foghorn::model::signal::Evidence;
use foghorn::model::time::EventTime;
use foghorn::model::{Labels, Verdict};
use foghorn::rule::condition::Condition;
use foghorn::rule::template::{Template, TemplateData, TemplateKind};

const WHEN: &str = "p99 > 250.0 && count >= 100.0 && errors / count > 0.05";
const NAMES: [&str; 3] = ["p99", "count", "errors"];
const GROUPS: usize = 100_000;

/// A third of the groups decided by each comparison, one in fifty without data.
fn columns() -> [Vec<f64>; 3] {
    let spread = |n: usize, salt: usize| ((n * 7919 + salt * 104_729) % 1000) as f64;
    let p99 = (0..GROUPS).map(|n| if n % 50 == 0 { f64::NAN } else { spread(n, 1) }).collect();
    let count: Vec<f64> = (0..GROUPS).map(|n| spread(n, 2)).collect();
    let errors = (0..GROUPS).map(|n| (count[n] * spread(n, 3) / 8000.0).floor()).collect();
    [p99, count, errors]
}

fn conditions(c: &mut Criterion) {
    let condition = Condition::compile(WHEN, &NAMES).expect("the condition is right").with_costs(&[100, 1, 1]);
    let columns = columns();
    let slices: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    let rows: Vec<[Option<f64>; 3]> = (0..GROUPS)
        .map(|n| [0, 1, 2].map(|slot| Some(columns[slot][n]).filter(|value: &f64| value.is_finite())))
        .collect();
    let mut group = c.benchmark_group("condition");
    group.throughput(Throughput::Elements(GROUPS as u64));
    group.bench_function("columns", |b| {
        let mut verdicts = Vec::with_capacity(GROUPS);
        b.iter(|| {
            verdicts.clear();
            condition.judge_columns(GROUPS, black_box(&slices), &mut verdicts);
            verdicts.len()
        });
    });
    group.bench_function("lazy", |b| {
        b.iter(|| rows.iter().filter(|row| condition.judge(&mut black_box(&row[..])) == Verdict::Breach).count());
    });
    group.throughput(Throughput::Elements(1000));
    group.bench_function("evalexpr", |b| {
        let tree = evalexpr::build_operator_tree(WHEN).expect("the condition is right");
        let mut context = HashMapContext::new();
        b.iter(|| {
            let mut breaches = 0;
            for n in 0..1000 {
                for (name, column) in NAMES.iter().zip(&columns) {
                    context.set_value((*name).into(), Value::Float(column[n])).expect("floats stay floats");
                }
                breaches += usize::from(tree.eval_boolean_with_context(&context) == Ok(true));
            }
            breaches
        });
    });
    group.finish();
    c.bench_function("condition/compile", |b| b.iter(|| Condition::compile(black_box(WHEN), &NAMES)));
}

fn templates(c: &mut Criterion) {
    let source = "{{ $labels.service }} p99 is {{ $value | humanizeDuration }}, {{ printf \"%.1f\" $values.errors }} errors \
                  of {{ $values.total | humanize }}{{ if eq $labels.env \"prod\" }} in production{{ end }}";
    let labels = Labels::from_pairs([("service", "cart"), ("env", "prod"), ("severity", "critical")]);
    let evidence = Evidence {
        values: vec![
            (Arc::from("p99"), Some(1.24)),
            (Arc::from("total"), Some(48_211.0)),
            (Arc::from("errors"), Some(97.0)),
        ],
        ..Evidence::default()
    };
    let data = TemplateData {
        labels: &labels,
        external_labels: &Labels::default(),
        external_url: "https://foghorn.example.com",
        value: Some(1.24),
        evidence: &evidence,
        at: EventTime(0),
    };
    for (name, kind) in [("text", TemplateKind::Text), ("html", TemplateKind::Html)] {
        let template = Template::compile(source, kind).expect("the template is right");
        c.bench_function(&format!("template/render/{name}"), |b| b.iter(|| template.render(black_box(&data))));
    }
    c.bench_function("template/compile", |b| b.iter(|| Template::compile(black_box(source), TemplateKind::Text)));
}

criterion_group!(rule, conditions, templates);
criterion_main!(rule);
