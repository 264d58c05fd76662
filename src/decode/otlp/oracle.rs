//! The oracle is a generated decoder (prost, serde): requests made of its types are encoded by it, and the rows are
//! worked out a second time from the types, slowly and plainly.

use std::fmt::Write;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
    exponential_histogram_data_point::Buckets, metric::Data, number_data_point, summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use proptest::prelude::*;
use prost::Message;

use super::tests::schema;
use crate::decode::testing::{Dice, decode};
use crate::model::schema::{FieldType, OtlpSignal, StreamSchema};

impl Dice {
    fn text(&mut self) -> String {
        (*self.pick(&["", "a", "GET /cart", "schön", "tab\t \"quoted\" \\", "a somewhat longer text, over a block"]))
            .into()
    }

    fn double(&mut self) -> f64 {
        (self.roll(20_001) as f64 - 10_000.0) / 8.0
    }

    fn int(&mut self) -> i64 {
        *self.pick(&[0, 1, -1, 200, 127, 128, 1 << 40, i64::MAX, i64::MIN])
    }

    fn nanos(&mut self) -> u64 {
        if self.roll(8) == 0 { 0 } else { 1_544_712_660_000_000_000 + self.roll(10_000_000_000) }
    }

    fn id(&mut self, bytes: usize) -> Vec<u8> {
        match self.roll(4) {
            0 => vec![],
            1 => vec![0; bytes],
            _ => (0..bytes).map(|_| self.roll(256) as u8).collect(),
        }
    }

    fn any(&mut self, depth: u64) -> AnyValue {
        let value = match self.roll(if depth == 0 { 6 } else { 9 }) {
            0 | 1 => Value::StringValue(self.text()),
            2 => Value::BoolValue(self.roll(2) == 1),
            3 => Value::IntValue(self.int()),
            4 => Value::DoubleValue(self.double()),
            5 => Value::BytesValue(self.id(5)),
            6 => Value::ArrayValue(ArrayValue { values: self.some(3, |dice| dice.any(depth - 1)) }),
            _ => Value::KvlistValue(KeyValueList { values: self.some(3, |dice| dice.attribute("k", depth - 1)) }),
        };
        AnyValue { value: Some(value) }
    }

    fn attribute(&mut self, key: &str, depth: u64) -> KeyValue {
        KeyValue { key: key.into(), value: Some(self.any(depth)), ..KeyValue::default() }
    }

    /// Mostly of the type that is declared, so that most rows live.
    fn attributes(&mut self) -> Vec<KeyValue> {
        self.some(5, |dice| {
            let key = *dice.pick(&["s", "i", "f", "b", "other", "service.name", "long enough to be looked at"]);
            if dice.roll(8) == 0 {
                return dice.attribute(key, 2);
            }
            let value = match key {
                "i" => Value::IntValue(dice.int()),
                "f" => Value::DoubleValue(dice.double()),
                "b" => Value::BoolValue(dice.roll(2) == 1),
                _ => Value::StringValue(dice.text()),
            };
            KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
        })
    }

    fn resource(&mut self) -> Option<Resource> {
        self.maybe(|dice| Resource {
            attributes: dice.some(2, |dice| match dice.roll(10) {
                0 => dice.attribute("shards", 1),
                1..=4 => KeyValue {
                    key: "shards".into(),
                    value: Some(AnyValue { value: Some(Value::IntValue(dice.int())) }),
                    ..KeyValue::default()
                },
                _ => dice.attribute("service.name", 1),
            }),
            ..Resource::default()
        })
    }

    fn scope(&mut self) -> Option<InstrumentationScope> {
        self.maybe(|dice| InstrumentationScope {
            name: dice.text(),
            version: dice.text(),
            attributes: dice.some(2, |dice| dice.attribute("origin", 1)),
            ..InstrumentationScope::default()
        })
    }

    fn span(&mut self) -> Span {
        Span {
            trace_id: self.id(16),
            span_id: self.id(8),
            parent_span_id: self.id(8),
            trace_state: self.text(),
            name: self.text(),
            kind: self.roll(7) as i32,
            start_time_unix_nano: self.nanos(),
            end_time_unix_nano: self.nanos(),
            attributes: self.attributes(),
            events: self.some(1, |dice| span::Event { name: dice.text(), ..span::Event::default() }),
            status: self.maybe(|dice| Status { code: dice.roll(4) as i32, message: dice.text() }),
            ..Span::default()
        }
    }

    fn log(&mut self) -> LogRecord {
        LogRecord {
            time_unix_nano: self.nanos(),
            observed_time_unix_nano: self.nanos(),
            severity_number: self.roll(25) as i32,
            severity_text: self.text(),
            body: self.maybe(|dice| match dice.roll(2) {
                0 => dice.any(2),
                _ => AnyValue {
                    value: Some(Value::KvlistValue(KeyValueList {
                        values: dice.some(3, |dice| {
                            let key = *dice.pick(&["s", "t"]);
                            dice.attribute(key, 1)
                        }),
                    })),
                },
            }),
            attributes: self.attributes(),
            trace_id: self.id(16),
            span_id: self.id(8),
            event_name: self.text(),
            ..LogRecord::default()
        }
    }

    fn number_point(&mut self) -> NumberDataPoint {
        NumberDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.nanos(),
            time_unix_nano: self.nanos(),
            exemplars: self.some(1, |_| Exemplar::default()),
            flags: u32::from(self.roll(6) == 0),
            value: self.maybe(|dice| match dice.roll(2) {
                0 => number_data_point::Value::AsInt(dice.int()),
                _ => number_data_point::Value::AsDouble(dice.double()),
            }),
        }
    }

    fn data(&mut self) -> Data {
        let aggregation_temporality = self.roll(3) as i32;
        match self.roll(5) {
            0 => Data::Gauge(Gauge { data_points: self.some(3, Dice::number_point) }),
            1 => Data::Sum(Sum {
                data_points: self.some(3, Dice::number_point),
                aggregation_temporality,
                is_monotonic: self.roll(2) == 1,
            }),
            2 => Data::Histogram(Histogram {
                data_points: self.some(3, |dice| HistogramDataPoint {
                    attributes: dice.attributes(),
                    start_time_unix_nano: dice.nanos(),
                    time_unix_nano: dice.nanos(),
                    count: dice.roll(1000),
                    sum: dice.maybe(Dice::double),
                    bucket_counts: (0..4).map(|_| dice.roll(200)).collect(),
                    explicit_bounds: vec![1.0, 2.5, 10.0],
                    min: dice.maybe(|dice| dice.double().abs().min(1.0)),
                    max: dice.maybe(|dice| dice.double().abs().max(10.0)),
                    ..HistogramDataPoint::default()
                }),
                aggregation_temporality,
            }),
            3 => Data::ExponentialHistogram(ExponentialHistogram {
                data_points: self.some(3, |dice| ExponentialHistogramDataPoint {
                    attributes: dice.attributes(),
                    start_time_unix_nano: dice.nanos(),
                    time_unix_nano: dice.nanos(),
                    count: dice.roll(1000),
                    sum: dice.maybe(Dice::double),
                    scale: dice.roll(9) as i32 - 3,
                    zero_count: dice.roll(50),
                    positive: dice.maybe(|dice| Buckets {
                        offset: dice.roll(9) as i32 - 4,
                        bucket_counts: dice.some(4, |dice| dice.roll(200)),
                    }),
                    negative: dice.maybe(|dice| Buckets {
                        offset: dice.roll(9) as i32 - 4,
                        bucket_counts: dice.some(4, |dice| dice.roll(200)),
                    }),
                    ..ExponentialHistogramDataPoint::default()
                }),
                aggregation_temporality,
            }),
            _ => Data::Summary(Summary {
                data_points: self.some(3, |dice| SummaryDataPoint {
                    attributes: dice.attributes(),
                    start_time_unix_nano: dice.nanos(),
                    time_unix_nano: dice.nanos(),
                    count: dice.roll(1000),
                    sum: dice.double(),
                    quantile_values: dice.some(3, |dice| ValueAtQuantile {
                        quantile: *dice.pick(&[0.0, 0.5, 0.75, 0.99, 1.0]),
                        value: dice.double(),
                    }),
                    ..SummaryDataPoint::default()
                }),
            }),
        }
    }
}

/// The value of one field of one row, or that it cannot be had.
type Expected = Result<Option<String>, ()>;

fn text(text: &str) -> Expected {
    Ok((!text.is_empty()).then(|| format!("{text:?}")))
}

fn hex(id: &[u8]) -> Expected {
    let zero = id.iter().all(|byte| *byte == 0);
    Ok((!zero).then(|| format!("{:?}", id.iter().map(|byte| format!("{byte:02x}")).collect::<String>())))
}

fn name(names: &[&str], number: i32) -> Expected {
    Ok(Some(format!("{:?}", names.get(number as usize).map_or(number.to_string(), |name| (*name).to_owned()))))
}

fn millis(nanos: u64) -> Expected {
    Ok((nanos != 0).then(|| (nanos / 1_000_000).to_string()))
}

/// JSON as text, by hand.
fn json(any: &AnyValue) -> String {
    use base64::Engine;
    let list = |items: Vec<String>| items.join(",");
    match any.value.as_ref() {
        None | Some(Value::StringValueStrindex(_)) => "null".into(),
        Some(Value::StringValue(text)) => serde_json::to_string(text).unwrap(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => serde_json::to_string(value).unwrap(),
        Some(Value::BytesValue(bytes)) => format!("\"{}\"", base64::engine::general_purpose::STANDARD.encode(bytes)),
        Some(Value::ArrayValue(array)) => format!("[{}]", list(array.values.iter().map(json).collect())),
        Some(Value::KvlistValue(map)) => {
            let pair = |pair: &KeyValue| format!("{:?}:{}", pair.key, json(pair.value.as_ref().unwrap()));
            format!("{{{}}}", list(map.values.iter().map(pair).collect()))
        }
    }
}

fn converted(any: &AnyValue, ty: FieldType) -> Expected {
    let Some(value) = &any.value else { return Ok(None) };
    match (ty, value) {
        (FieldType::String, Value::StringValue(text)) => Ok(Some(format!("{text:?}"))),
        (FieldType::String, _) => Ok(Some(format!("{:?}", json(any).trim_matches('"')))),
        (FieldType::Int, Value::IntValue(value)) => Ok(Some(value.to_string())),
        (FieldType::Int, Value::DoubleValue(value)) if value.fract() == 0.0 => {
            Ok(Some(format!("{value:.0}").replace("-0", "0")))
        }
        (FieldType::Float, Value::DoubleValue(value)) => Ok(Some(format!("{value:?}"))),
        (FieldType::Float, Value::IntValue(value)) => Ok(Some(format!("{:?}", *value as f64))),
        (FieldType::Bool, Value::BoolValue(value)) => Ok(Some(value.to_string())),
        _ => Err(()),
    }
}

/// The last attribute of that name, as its field has it; a value that cannot be converted counts even when it is
/// overruled by a later one, because the event is refused at the first thing that does not fit.
fn attribute(attributes: &[KeyValue], key: &str, ty: FieldType) -> Expected {
    let mut last = Ok(None);
    for pair in attributes.iter().filter(|pair| pair.key == key) {
        last = Ok(converted(pair.value.as_ref().unwrap(), ty)?);
    }
    last
}

/// What the levels above put into a row: the fields of [`schema`] after the built-ins.
fn around(resource: &Option<Resource>, scope: &Option<InstrumentationScope>, attributes: &[KeyValue]) -> Vec<Expected> {
    let resource = resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
    let none = InstrumentationScope::default();
    let scope = scope.as_ref().unwrap_or(&none);
    vec![
        attribute(resource, "service.name", FieldType::String),
        attribute(resource, "shards", FieldType::Int),
        text(&scope.name),
        text(&scope.version),
        attribute(&scope.attributes, "origin", FieldType::String),
        attribute(attributes, "s", FieldType::String),
        attribute(attributes, "i", FieldType::Int),
        attribute(attributes, "f", FieldType::Float),
        attribute(attributes, "b", FieldType::Bool),
    ]
}

/// Rows first, then refusals, as [`describe`](crate::decode::testing::describe) has them, without places.
fn story(schema: &StreamSchema, rows: Vec<(u64, Vec<Expected>)>) -> String {
    let (mut taken, mut refused) = (String::new(), String::new());
    for (nanos, values) in &rows {
        assert_eq!(values.len(), schema.fields.len());
        if values.iter().any(Result::is_err) {
            refused.push_str("#0 wrong_type\n");
        } else if *nanos == 0 {
            refused.push_str("#0 no_time\n");
        } else {
            write!(taken, "#0 @{}", nanos / 1_000_000).unwrap();
            for (spec, value) in schema.fields.iter().zip(values) {
                write!(taken, " {}={}", spec.name, value.as_ref().unwrap().as_deref().unwrap_or("-")).unwrap();
            }
            taken.push('\n');
        }
    }
    if rows.is_empty() { "#0 malformed\n".into() } else { taken + &refused }
}

fn without_places(told: &str) -> String {
    let short = |line: &str| match line.rsplit_once(" at ") {
        Some((start, _)) if !line.contains('@') => start.to_owned(),
        _ => line.to_owned(),
    };
    told.lines().map(|line| short(line) + "\n").collect()
}

/// Both encodings of a request give the rows that were worked out.
fn agrees<M: Message + serde::Serialize>(signal: OtlpSignal, request: &M, rows: Vec<(u64, Vec<Expected>)>) {
    let schema = schema(signal);
    let expect = story(&schema, rows);
    assert_eq!(without_places(&decode(&schema, [request.encode_to_vec()])), expect, "protobuf");
    let json = serde_json::to_string(request).unwrap();
    assert_eq!(without_places(&decode(&schema, [&json])), expect, "{json}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn spans_equal_the_oracle(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let request = ExportTraceServiceRequest {
            resource_spans: dice.some(3, |dice| ResourceSpans {
                resource: dice.resource(),
                scope_spans: dice.some(3, |dice| ScopeSpans {
                    scope: dice.scope(),
                    spans: dice.some(4, Dice::span),
                    ..ScopeSpans::default()
                }),
                ..ResourceSpans::default()
            }),
        };
        let mut rows = Vec::new();
        for resource in &request.resource_spans {
            for scope in &resource.scope_spans {
                for span in &scope.spans {
                    let status = span.status.clone().unwrap_or_default();
                    let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
                    let took = (end as i64 - start as i64) as f64 / 1e6;
                    let mut values = vec![
                        hex(&span.trace_id),
                        hex(&span.span_id),
                        hex(&span.parent_span_id),
                        text(&span.trace_state),
                        text(&span.name),
                        name(&["unspecified", "internal", "server", "client", "producer", "consumer"], span.kind),
                        millis(start),
                        millis(end),
                        Ok((start != 0 && end != 0).then(|| format!("{took:?}"))),
                        name(&["unset", "ok", "error"], status.code),
                        text(&status.message),
                    ];
                    values.extend(around(&resource.resource, &scope.scope, &span.attributes));
                    rows.push((end, values));
                }
            }
        }
        agrees(OtlpSignal::Spans, &request, rows);
    }

    #[test]
    fn logs_equal_the_oracle(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let request = ExportLogsServiceRequest {
            resource_logs: dice.some(3, |dice| ResourceLogs {
                resource: dice.resource(),
                scope_logs: dice.some(3, |dice| ScopeLogs {
                    scope: dice.scope(),
                    log_records: dice.some(4, Dice::log),
                    ..ScopeLogs::default()
                }),
                ..ResourceLogs::default()
            }),
        };
        let mut rows = Vec::new();
        for resource in &request.resource_logs {
            for scope in &resource.scope_logs {
                for log in &scope.log_records {
                    let members = match log.body.as_ref().and_then(|body| body.value.as_ref()) {
                        Some(Value::KvlistValue(map)) => &map.values[..],
                        _ => &[],
                    };
                    let mut values = vec![
                        millis(log.time_unix_nano),
                        millis(log.observed_time_unix_nano),
                        Ok(Some(log.severity_number.to_string())),
                        text(&log.severity_text),
                        log.body.as_ref().map_or(Ok(None), |body| converted(body, FieldType::String)),
                        hex(&log.trace_id),
                        hex(&log.span_id),
                        text(&log.event_name),
                    ];
                    values.extend(around(&resource.resource, &scope.scope, &log.attributes));
                    values.push(attribute(members, "s", FieldType::String));
                    let seen = if log.time_unix_nano == 0 { log.observed_time_unix_nano } else { log.time_unix_nano };
                    rows.push((seen, values));
                }
            }
        }
        agrees(OtlpSignal::Logs, &request, rows);
    }

    #[test]
    fn metrics_equal_the_oracle(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let request = ExportMetricsServiceRequest {
            resource_metrics: dice.some(2, |dice| ResourceMetrics {
                resource: dice.resource(),
                scope_metrics: dice.some(2, |dice| ScopeMetrics {
                    scope: dice.scope(),
                    metrics: dice.some(4, |dice| Metric {
                        name: dice.text(),
                        description: dice.text(),
                        unit: dice.text(),
                        data: dice.maybe(Dice::data),
                        ..Metric::default()
                    }),
                    ..ScopeMetrics::default()
                }),
                ..ResourceMetrics::default()
            }),
        };
        let mut rows = Vec::new();
        for resource in &request.resource_metrics {
            for scope in &resource.scope_metrics {
                for metric in &scope.metrics {
                    for mut point in points(metric) {
                        point.values.extend(around(&resource.resource, &scope.scope, &point.attributes));
                        rows.push((point.time, point.values));
                    }
                }
            }
        }
        agrees(OtlpSignal::Metrics, &request, rows);
    }

    /// Whatever is done to the bytes, a record ends in rows or one refusal, and nothing panics. What is read depends
    /// on the record's own bytes alone, not on those after it.
    #[test]
    fn broken_requests_are_refused(seed in any::<u64>(), json in any::<bool>(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut dice = Dice(seed);
        let request = ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: dice.resource(),
                scope_logs: vec![ScopeLogs { scope: dice.scope(), log_records: dice.some(3, Dice::log), ..ScopeLogs::default() }],
                ..ResourceLogs::default()
            }],
        };
        let mut bytes = if json { serde_json::to_vec(&request).unwrap() } else { request.encode_to_vec() };
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        let schema = schema(OtlpSignal::Logs);
        let alone = decode(&schema, [&bytes]);
        prop_assert!(!alone.is_empty());
        for next in [&b"\xff\xff\xff"[..], b"}]}\"", b"\x01\x00", b"00000"] {
            let lines = decode(&schema, [&bytes, next]);
            let of_first: String = lines.lines().filter(|line| line.starts_with("#0")).map(|line| line.to_owned() + "\n").collect();
            prop_assert_eq!(&of_first, &alone);
        }
    }
}

struct PointStory {
    time: u64,
    values: Vec<Expected>,
    attributes: Vec<KeyValue>,
}

/// The built-ins of a metric's points, in the order of the schema.
fn points(metric: &Metric) -> Vec<PointStory> {
    const TEMPORALITIES: &[&str] = &["unspecified", "delta", "cumulative"];
    let float = |value: Option<f64>| Ok(value.map(|value| format!("{value:?}")));
    let row =
        |ty: &str, temporality: Option<i32>, monotonic: Option<bool>, start: u64, time: u64, rest: Vec<Expected>| {
            let mut values = vec![
                text(&metric.name),
                text(&metric.description),
                text(&metric.unit),
                text(ty),
                temporality.map_or(Ok(None), |number| name(TEMPORALITIES, number)),
                Ok(monotonic.map(|monotonic| monotonic.to_string())),
                millis(start),
                millis(time),
            ];
            values.extend(rest);
            values
        };
    let number = |ty: &str, temporality, monotonic, point: &NumberDataPoint| {
        let value = match point.value {
            Some(number_data_point::Value::AsInt(value)) => Some(value as f64),
            Some(number_data_point::Value::AsDouble(value)) => Some(value),
            None => None,
        };
        let mut rest = vec![float(value.filter(|_| point.flags & 1 == 0))];
        rest.extend((0..9).map(|_| Ok(None)));
        PointStory {
            time: point.time_unix_nano,
            values: row(ty, temporality, monotonic, point.start_time_unix_nano, point.time_unix_nano, rest),
            attributes: point.attributes.clone(),
        }
    };
    match metric.data.as_ref() {
        None => vec![],
        Some(Data::Gauge(gauge)) => gauge.data_points.iter().map(|point| number("gauge", None, None, point)).collect(),
        Some(Data::Sum(sum)) => {
            let (temporality, monotonic) = (Some(sum.aggregation_temporality), Some(sum.is_monotonic));
            sum.data_points.iter().map(|point| number("sum", temporality, monotonic, point)).collect()
        }
        Some(Data::Histogram(histogram)) => histogram
            .data_points
            .iter()
            .map(|point| {
                let buckets = super::buckets::Buckets {
                    counts: point.bucket_counts.clone(),
                    bounds: point.explicit_bounds.clone(),
                    ..super::buckets::Buckets::default()
                };
                let mut rest = vec![Ok(None), Ok(Some(point.count.to_string()))];
                rest.extend([point.sum, point.min, point.max].map(float));
                rest.extend([0.5, 0.9, 0.95, 0.99, 0.999].map(|q| float(buckets.explicit(q, point.min, point.max))));
                let temporality = Some(histogram.aggregation_temporality);
                let (start, time) = (point.start_time_unix_nano, point.time_unix_nano);
                PointStory {
                    time,
                    values: row("histogram", temporality, None, start, time, rest),
                    attributes: point.attributes.clone(),
                }
            })
            .collect(),
        Some(Data::ExponentialHistogram(histogram)) => histogram
            .data_points
            .iter()
            .map(|point| {
                let range = |range: &Option<Buckets>| {
                    range.as_ref().map_or((0, vec![]), |range| (range.offset, range.bucket_counts.clone()))
                };
                let buckets = super::buckets::Buckets {
                    scale: point.scale,
                    zero_count: point.zero_count,
                    positive: range(&point.positive),
                    negative: range(&point.negative),
                    ..super::buckets::Buckets::default()
                };
                let mut rest = vec![Ok(None), Ok(Some(point.count.to_string()))];
                rest.extend([point.sum, point.min, point.max].map(float));
                rest.extend([0.5, 0.9, 0.95, 0.99, 0.999].map(|q| float(buckets.exponential(q, point.min, point.max))));
                let temporality = Some(histogram.aggregation_temporality);
                let (start, time) = (point.start_time_unix_nano, point.time_unix_nano);
                PointStory {
                    time,
                    values: row("exponential_histogram", temporality, None, start, time, rest),
                    attributes: point.attributes.clone(),
                }
            })
            .collect(),
        Some(Data::Summary(summary)) => summary
            .data_points
            .iter()
            .map(|point| {
                let at =
                    |q: f64| point.quantile_values.iter().rev().find(|pair| pair.quantile == q).map(|pair| pair.value);
                let mut rest = vec![Ok(None), Ok(Some(point.count.to_string())), float(Some(point.sum))];
                rest.extend([0.0, 1.0, 0.5, 0.9, 0.95, 0.99, 0.999].map(|q| float(at(q))));
                let (start, time) = (point.start_time_unix_nano, point.time_unix_nano);
                PointStory {
                    time,
                    values: row("summary", None, None, start, time, rest),
                    attributes: point.attributes.clone(),
                }
            })
            .collect(),
    }
}
