//! What an event costs until it stands in columns. Throughput is in events; `cargo bench --bench decode`.
//!
//! - `json/*`: events of about 200 bytes, five of nine fields wanted, one event a record. One shape, two in turn, keys in
//!   any order; `serde_json` into a borrowed struct for comparison (it leaves no columns behind).
//! - `otlp/*`: requests of 500 spans, log records, data points; `prost` builds its messages for comparison.
//! - `lines/*`: access log and syslog lines.

use std::borrow::Cow;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use foghorn::decode::Decoder;
use foghorn::model::batch::{Batch, RawBatch, RawBatchBuilder};
use foghorn::model::schema::{
    Budgets, FieldSpec, FieldType, Format, HistogramSpec, LinePattern, OtlpSignal, StreamSchema, TimeFormat,
    TimeSource, TimeSpec,
};
use foghorn::model::time::Millis;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use serde::Deserialize;

/// Records of one batch: what the shards are fed with.
const EVENTS: usize = 4096;
/// Items of one OTLP request.
const ITEMS: usize = 500;

/// A small seeded generator: the same input on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn pick(&mut self, of: &[&'static str]) -> &'static str {
        of[self.roll(of.len())]
    }
}

const SERVICES: &[&str] = &["checkout", "cart", "auth", "search", "payments", "catalogue", "shipping", "frontend"];
const ENDPOINTS: &[&str] =
    &["/api/v1/cart", "/api/v1/checkout", "/login", "/api/v1/products/42", "/search", "/health", "/api/v1/orders"];
const REGIONS: &[&str] = &["eu-central-1", "us-east-1", "ap-south-1"];

/// The nine members of an event, about 200 bytes together.
fn members(dice: &mut Dice, index: usize) -> Vec<String> {
    vec![
        format!("\"ts\":{}", 1_700_000_000_000u64 + index as u64),
        format!("\"service\":\"{}\"", dice.pick(SERVICES)),
        format!("\"host\":\"ip-10-0-{}-{}\"", dice.roll(256), dice.roll(256)),
        format!("\"region\":\"{}\"", dice.pick(REGIONS)),
        format!("\"endpoint\":\"{}\"", dice.pick(ENDPOINTS)),
        format!("\"method\":\"{}\"", dice.pick(&["GET", "POST", "PUT"])),
        format!("\"status\":{}", [200, 200, 200, 204, 302, 404, 500][dice.roll(7)]),
        format!("\"latency_ms\":{}.{:03}", dice.roll(900), dice.roll(1000)),
        format!("\"trace_id\":\"{:016x}{:016x}\"", dice.roll(1 << 31) as u64 * 77_777_777_777, dice.roll(1 << 31)),
    ]
}

fn object(members: &[String]) -> String {
    format!("{{{}}}", members.join(","))
}

fn one_shape(dice: &mut Dice, index: usize) -> String {
    object(&members(dice, index))
}

/// Two producers in turn: the second has its keys the other way round.
fn two_shapes(dice: &mut Dice, index: usize) -> String {
    let mut members = members(dice, index);
    if index % 2 == 1 {
        members.reverse();
    }
    object(&members)
}

fn any_order(dice: &mut Dice, index: usize) -> String {
    let mut members = members(dice, index);
    for place in (1..members.len()).rev() {
        members.swap(place, dice.roll(place + 1));
    }
    object(&members)
}

fn field(name: &str, ty: FieldType, path: &[&str]) -> FieldSpec {
    FieldSpec {
        name: name.into(),
        ty,
        path: path.iter().map(|key| Arc::from(*key)).collect(),
        numeric_strings: false,
        histogram: HistogramSpec::FLOAT,
    }
}

fn decoder(format: Format, time: (&str, TimeFormat), fields: Vec<FieldSpec>) -> Decoder {
    let needed: Vec<usize> = (0..fields.len()).collect();
    let schema = StreamSchema {
        name: "bench".into(),
        format,
        time: TimeSpec { source: TimeSource::Path(vec![time.0.into()]), format: time.1 },
        fields,
        exemplar: None,
        lateness: Millis(0),
        idle_timeout: Millis(0),
        stall_timeout: Millis(0),
        future_max: Millis(0),
        budgets: Budgets::default(),
    };
    Decoder::new(schema.into(), &needed).expect("a valid schema")
}

fn json_decoder() -> Decoder {
    decoder(
        Format::Json,
        ("ts", TimeFormat::EpochMillis),
        vec![
            field("service", FieldType::String, &["service"]),
            field("endpoint", FieldType::String, &["endpoint"]),
            field("status", FieldType::Int, &["status"]),
            field("latency_ms", FieldType::Float, &["latency_ms"]),
        ],
    )
}

fn raw(records: impl IntoIterator<Item = impl AsRef<[u8]>>) -> RawBatch {
    let mut builder = RawBatchBuilder::default();
    let source = builder.source(&Arc::from("bench"), 0);
    for (offset, record) in records.into_iter().enumerate() {
        builder.push(source, offset as i64, 0, record.as_ref());
    }
    builder.finish()
}

/// Decodes the same batch over and over, as a shard does: one decoder, one batch to fill. The raw batch is cloned
/// outside the measurement (its arena is shared).
fn bench_decoder(c: &mut Criterion, name: &str, mut decoder: Decoder, raw: &RawBatch, events: usize) {
    let mut out = Batch::default();
    let mut refused = Vec::new();
    decoder.decode(raw.clone(), &mut out, &mut refused);
    assert_eq!((out.rows(), refused.len()), (events, 0), "{name}: every event becomes a row");
    let (group, case) = name.split_once('/').expect("group/case");
    let mut group = c.benchmark_group(group);
    group.throughput(Throughput::Elements(events as u64));
    group.bench_function(case, |b| {
        b.iter_batched(|| raw.clone(), |raw| decoder.decode(raw, &mut out, &mut refused), BatchSize::PerIteration)
    });
    group.finish();
}

#[derive(Deserialize)]
struct Event<'a> {
    ts: i64,
    #[serde(borrow)]
    service: Cow<'a, str>,
    #[serde(borrow)]
    endpoint: Cow<'a, str>,
    status: i64,
    latency_ms: f64,
}

/// The text of one event.
type Make = fn(&mut Dice, usize) -> String;

fn json(c: &mut Criterion) {
    let cases: [(&str, Make); 3] =
        [("json/one shape", one_shape), ("json/two shapes in turn", two_shapes), ("json/any order", any_order)];
    for (name, make) in cases {
        let mut dice = Dice(1);
        let texts: Vec<String> = (0..EVENTS).map(|index| make(&mut dice, index)).collect();
        bench_decoder(c, name, json_decoder(), &raw(&texts), EVENTS);
    }

    let mut dice = Dice(1);
    let texts: Vec<String> = (0..EVENTS).map(|index| one_shape(&mut dice, index)).collect();
    let packed = texts.chunks(100).map(|chunk| chunk.join("\n"));
    bench_decoder(c, "json/lines, 100 a record", json_decoder(), &raw(packed), EVENTS);

    let mut group = c.benchmark_group("json");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("serde_json, one shape", |b| {
        b.iter(|| {
            for text in &texts {
                let event: Event = serde_json::from_str(text).expect("an event");
                black_box((event.ts, event.service.len(), event.endpoint.len(), event.status, event.latency_ms));
            }
        })
    });
    group.finish();
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(value: &str) -> Value {
    Value::StringValue(value.into())
}

fn resource() -> Option<Resource> {
    let attributes = vec![
        attribute("service.name", text("checkout")),
        attribute("service.version", text("1.42.0")),
        attribute("deployment.environment", text("prod")),
        attribute("host.name", text("ip-10-0-3-7")),
        attribute("cloud.region", text("eu-central-1")),
    ];
    Some(Resource { attributes, ..Resource::default() })
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope { name: "http".into(), version: "1.0.0".into(), ..InstrumentationScope::default() })
}

fn attributes(dice: &mut Dice) -> Vec<KeyValue> {
    vec![
        attribute("http.request.method", text(dice.pick(&["GET", "POST"]))),
        attribute("http.route", text(dice.pick(ENDPOINTS))),
        attribute("http.response.status_code", Value::IntValue([200, 404, 500][dice.roll(3)])),
        attribute("server.address", text("shop.example.org")),
        attribute("network.protocol.version", text("1.1")),
    ]
}

const NANOS: u64 = 1_700_000_000_000_000_000;

fn id(dice: &mut Dice, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|_| dice.roll(256) as u8).collect()
}

fn spans(dice: &mut Dice) -> ExportTraceServiceRequest {
    let span = |dice: &mut Dice| Span {
        trace_id: id(dice, 16),
        span_id: id(dice, 8),
        parent_span_id: id(dice, 8),
        name: format!("GET {}", dice.pick(ENDPOINTS)),
        kind: 2,
        start_time_unix_nano: NANOS,
        end_time_unix_nano: NANOS + dice.roll(1 << 30) as u64,
        attributes: attributes(dice),
        status: Some(Status { code: 1, message: String::new() }),
        ..Span::default()
    };
    let spans = (0..ITEMS).map(|_| span(dice)).collect();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: resource(),
            scope_spans: vec![ScopeSpans { scope: scope(), spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

fn logs(dice: &mut Dice) -> ExportLogsServiceRequest {
    let record = |dice: &mut Dice| LogRecord {
        time_unix_nano: NANOS,
        observed_time_unix_nano: NANOS,
        severity_number: 9,
        severity_text: "INFO".into(),
        body: Some(AnyValue { value: Some(text("order placed, 3 items, shipping to the usual address")) }),
        attributes: attributes(dice),
        trace_id: id(dice, 16),
        span_id: id(dice, 8),
        ..LogRecord::default()
    };
    let log_records = (0..ITEMS).map(|_| record(dice)).collect();
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: resource(),
            scope_logs: vec![ScopeLogs { scope: scope(), log_records, ..ScopeLogs::default() }],
            ..ResourceLogs::default()
        }],
    }
}

fn metrics(dice: &mut Dice) -> ExportMetricsServiceRequest {
    let point = |dice: &mut Dice| NumberDataPoint {
        attributes: attributes(dice),
        start_time_unix_nano: NANOS,
        time_unix_nano: NANOS + 1,
        value: Some(number_data_point::Value::AsInt(dice.roll(1000) as i64)),
        ..NumberDataPoint::default()
    };
    let metric = |dice: &mut Dice| Metric {
        name: "http.server.requests".into(),
        unit: "1".into(),
        data: Some(Data::Sum(Sum {
            data_points: (0..10).map(|_| point(dice)).collect(),
            aggregation_temporality: 2,
            is_monotonic: true,
        })),
        ..Metric::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: resource(),
            scope_metrics: vec![ScopeMetrics {
                scope: scope(),
                metrics: (0..ITEMS / 10).map(|_| metric(dice)).collect(),
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

/// The walker on protobuf and on JSON, and `prost` on the same bytes.
fn bench_otlp<M: Message + Default + serde::Serialize>(
    c: &mut Criterion,
    signal: OtlpSignal,
    make: fn(&mut Dice) -> M,
    time: &str,
    own: &[(&str, FieldType)],
) {
    let name = format!("{signal:?}").to_lowercase();
    let mut dice = Dice(1);
    let requests: Vec<M> = (0..8).map(|_| make(&mut dice)).collect();
    let protobuf: Vec<Vec<u8>> = requests.iter().map(M::encode_to_vec).collect();
    let json: Vec<String> =
        requests.iter().map(|request| serde_json::to_string(request).expect("a request as JSON")).collect();
    let fields = || {
        let mut fields: Vec<FieldSpec> = own.iter().map(|(name, ty)| field(name, *ty, &[*name])).collect();
        fields.push(field("service", FieldType::String, &["resource", "service.name"]));
        fields.push(field("route", FieldType::String, &["attributes", "http.route"]));
        fields.push(field("status", FieldType::Int, &["attributes", "http.response.status_code"]));
        fields
    };
    let decoder = || decoder(Format::Otlp(signal), (time, TimeFormat::EpochNanos), fields());
    let items = ITEMS * requests.len();
    bench_decoder(c, &format!("otlp/{name}, protobuf"), decoder(), &raw(&protobuf), items);
    bench_decoder(c, &format!("otlp/{name}, json"), decoder(), &raw(&json), items);

    let mut group = c.benchmark_group("otlp");
    group.throughput(Throughput::Elements(items as u64));
    group.bench_function(format!("{name}, prost"), |b| {
        b.iter(|| {
            for bytes in &protobuf {
                black_box(M::decode(&bytes[..]).expect("a request"));
            }
        })
    });
    group.finish();
}

fn otlp(c: &mut Criterion) {
    let spans_own =
        [("duration_ms", FieldType::Float), ("name", FieldType::String), ("status_code", FieldType::String)];
    bench_otlp(c, OtlpSignal::Spans, spans, "end_time", &spans_own);
    bench_otlp(c, OtlpSignal::Logs, logs, "time", &[("severity_number", FieldType::Int), ("body", FieldType::String)]);
    bench_otlp(c, OtlpSignal::Metrics, metrics, "time", &[("metric", FieldType::String), ("value", FieldType::Float)]);
}

fn lines(c: &mut Criterion) {
    let mut dice = Dice(1);
    let access: Vec<String> = (0..EVENTS)
        .map(|index| {
            format!(
                "10.0.{}.{} - - [17/May/2015:10:{:02}:{:02} +0000] \"GET {} HTTP/1.1\" {} {} \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\"",
                dice.roll(256),
                dice.roll(256),
                index / 600,
                index / 10 % 60,
                dice.pick(ENDPOINTS),
                [200, 404, 500][dice.roll(3)],
                dice.roll(100_000),
            )
        })
        .collect();
    let combined = |pattern| {
        decoder(
            Format::Lines(pattern),
            ("time", TimeFormat::Clf),
            vec![
                field("remote", FieldType::String, &["remote"]),
                field("path", FieldType::String, &["path"]),
                field("status", FieldType::Int, &["status"]),
                field("bytes", FieldType::Int, &["bytes"]),
            ],
        )
    };
    bench_decoder(c, "lines/combined", combined(LinePattern::Combined), &raw(&access), EVENTS);
    let expression =
        r#"^(?<remote>\S+) \S+ \S+ \[(?<time>[^\]]+)\] "\S+ (?<path>\S+) [^"]*" (?<status>\d+) (?<bytes>\d+)"#;
    let regex = combined(LinePattern::Regex(expression.into()));
    bench_decoder(c, "lines/combined as a regular expression", regex, &raw(&access), EVENTS);

    let auth: Vec<String> = (0..EVENTS)
        .map(|index| {
            format!(
                "Mar 30 15:{:02}:{:02} ip-10-77-20-248 sshd[{}]: Failed password for root from 10.0.{}.{} port 22 ssh2",
                index / 600,
                index / 10 % 60,
                dice.roll(30_000),
                dice.roll(256),
                dice.roll(256),
            )
        })
        .collect();
    let syslog = decoder(
        Format::Lines(LinePattern::Syslog3164),
        ("time", TimeFormat::Rfc3164 { year: 2015, zone: "Europe/Berlin".into() }),
        vec![
            field("host", FieldType::String, &["host"]),
            field("program", FieldType::String, &["program"]),
            field("message", FieldType::String, &["message"]),
        ],
    );
    bench_decoder(c, "lines/syslog3164", syslog, &raw(&auth), EVENTS);
}

criterion_group!(benches, json, otlp, lines);
criterion_main!(benches);
