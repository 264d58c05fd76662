//! The oracle is a generated decoder (prost, serde): requests made of its types are encoded by it, and the rows are
//! worked out a second time from the types, slowly and plainly.

use std::fmt::Write;

use expect_test::{Expect, expect};
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

use super::builtin_fields;
use crate::decode::Decoder;
use crate::decode::testing::{self, Dice, decode, field, stream, time_at};
use crate::model::schema::{FieldSpec, FieldType, Format, OtlpSignal, StreamSchema, TimeFormat};

/// All built-ins, and attributes of every level and type.
fn schema(signal: OtlpSignal) -> StreamSchema {
    let mut fields: Vec<FieldSpec> = builtin_fields(signal).map(|(name, ty)| field(name, ty, &[name])).collect();
    fields.extend([
        field("service", FieldType::String, &["resource", "service.name"]),
        field("shards", FieldType::Int, &["resource", "shards"]),
        field("scope", FieldType::String, &["scope", "name"]),
        field("version", FieldType::String, &["scope", "version"]),
        field("origin", FieldType::String, &["scope", "origin"]),
        field("s", FieldType::String, &["attributes", "s"]),
        field("i", FieldType::Int, &["attributes", "i"]),
        field("f", FieldType::Float, &["attributes", "f"]),
        field("b", FieldType::Bool, &["attributes", "b"]),
    ]);
    if signal == OtlpSignal::Logs {
        fields.push(field("body.s", FieldType::String, &["body", "s"]));
    }
    let time = if signal == OtlpSignal::Spans { "end_time" } else { "time" };
    stream(Format::Otlp(signal), time_at(&[time], TimeFormat::EpochNanos), fields)
}

/// Only what is not null, to keep the stories short.
fn told(schema: &StreamSchema, record: &[u8]) -> String {
    let all = decode(schema, [record]);
    let short = |line: &str| line.split(' ').filter(|part| !part.ends_with("=-")).collect::<Vec<_>>().join(" ");
    all.lines().map(|line| short(line) + "\n").collect()
}

// ---- examples ----

fn check(signal: OtlpSignal, record: &str, expect: Expect) {
    expect.assert_eq(&told(&schema(signal), record.as_bytes()));
}

/// The examples of the OTLP specification, as JSON and, through the oracle, as protobuf.
fn check_example<M: Message + serde::de::DeserializeOwned>(signal: OtlpSignal, name: &str, expect: Expect) {
    let Some(text) = testing::shared(&format!("otlp-proto/{name}")) else { return };
    let schema = schema(signal);
    let from_json = told(&schema, text.as_bytes());
    let message: M = serde_json::from_str(&text).unwrap();
    assert_eq!(told(&schema, &message.encode_to_vec()), from_json);
    expect.assert_eq(&from_json);
}

#[test]
fn the_specification_s_examples() {
    check_example::<ExportTraceServiceRequest>(
        OtlpSignal::Spans,
        "trace.json",
        expect![[r##"
        #0 @1544712661000 trace_id="5b8efff798038103d269b633813fc60c" span_id="eee19b7ec3c1b174" parent_span_id="eee19b7ec3c1b173" name="I'm a server span" kind="server" start_time=1544712660000 end_time=1544712661000 duration_ms=1000.0 status_code="unset" service="my.service" scope="my.library" version="1.0.0"
    "##]],
    );
    check_example::<ExportLogsServiceRequest>(
        OtlpSignal::Logs,
        "logs.json",
        expect![[r##"
        #0 @1544712660300 time=1544712660300 observed_time=1544712660300 severity_number=0 severity_text="Information" body="Example log record" trace_id="5b8efff798038103d269b633813fc60c" span_id="eee19b7ec3c1b174" service="my.service" scope="my.library" version="1.0.0"
    "##]],
    );
    check_example::<ExportMetricsServiceRequest>(
        OtlpSignal::Metrics,
        "metrics.json",
        expect![[r##"
        #0 @1544712660300 metric="my.counter" description="I`m a Counter" unit="1" type="sum" temporality="delta" monotonic=true start_time=1544712660300 time=1544712660300 value=5.0 service="my.service" scope="my.library" version="1.0.0"
        #0 @1544712660300 metric="my.gauge" description="I`m a Gauge" unit="1" type="gauge" time=1544712660300 value=10.0 service="my.service" scope="my.library" version="1.0.0"
        #0 @1544712660300 metric="my.histogram" description="I`m a Histogram" unit="1" type="histogram" temporality="delta" start_time=1544712660300 time=1544712660300 count=3 sum=3.0 min=1.0 max=1.0 service="my.service" scope="my.library" version="1.0.0"
    "##]],
    );
}

/// One span with these members besides its times.
fn span_json(members: &str) -> String {
    format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"startTimeUnixNano":"1000000","endTimeUnixNano":"3500000",{members}}}]}}]}}]}}"#
    )
}

#[test]
fn json_numbers_enums_and_ids_come_in_every_form() {
    let check = |members: &str, expect: Expect| check(OtlpSignal::Spans, &span_json(members), expect);
    check(
        r#""kind":"SPAN_KIND_SERVER","status":{"code":"STATUS_CODE_ERROR","message":"no\tway"}"#,
        expect![[r##"
        #0 @3 kind="server" start_time=1 end_time=3 duration_ms=2.5 status_code="error" status_message="no\tway"
    "##]],
    );
    check(
        r#""kind":3,"status":{"code":1}"#,
        expect![[r##"
        #0 @3 kind="client" start_time=1 end_time=3 duration_ms=2.5 status_code="ok"
    "##]],
    );
    check(
        r#""kind":77,"status":{"code":"2"}"#,
        expect![[r##"
        #0 @3 kind="77" start_time=1 end_time=3 duration_ms=2.5 status_code="error"
    "##]],
    );
    check(
        r#""kind":"SPAN_KIND_NONE""#,
        expect![[r#"
        #0 wrong_type at 43
    "#]],
    );
    check(
        r#""traceId":"5B8EfFF7","spanId":"0000","parentSpanId":"""#,
        expect![[r##"
        #0 @3 trace_id="5b8efff7" kind="unspecified" start_time=1 end_time=3 duration_ms=2.5 status_code="unset"
    "##]],
    );
    check(
        r#""traceId":"W47/95gDgQPSabYzgT/GDA==""#,
        expect![[r#"
        #0 wrong_type at 112
    "#]],
    );
    check(
        r#""name":null,"attributes":null,"status":null"#,
        expect![[r##"
        #0 @3 kind="unspecified" start_time=1 end_time=3 duration_ms=2.5 status_code="unset"
    "##]],
    );
    check(
        r#""name":5"#,
        expect![[r#"
        #0 wrong_type at 109
    "#]],
    );
    check(
        r#""startTimeUnixNano":"yesterday""#,
        expect![[r#"
        #0 bad_time at 122
    "#]],
    );
    check(
        r#""endTimeUnixNano":0"#,
        expect![[r#"
        #0 no_time at 43
    "#]],
    );
}

#[test]
fn attributes_convert_to_the_declared_type() {
    let check = |attributes: &str, expect: Expect| {
        check(OtlpSignal::Spans, &span_json(&format!(r#""attributes":[{attributes}]"#)), expect);
    };
    check(
        r#"{"key":"s","value":{"intValue":"7"}},{"key":"i","value":{"doubleValue":7.0}},{"key":"f","value":{"intValue":7}}"#,
        expect![[r##"
            #0 @3 kind="unspecified" start_time=1 end_time=3 duration_ms=2.5 status_code="unset" s="7" i=7 f=7.0
        "##]],
    );
    check(
        r#"{"key":"s","value":{"doubleValue":0.5}}"#,
        expect![[r##"
        #0 @3 kind="unspecified" start_time=1 end_time=3 duration_ms=2.5 status_code="unset" s="0.5"
    "##]],
    );
    check(
        r#"{"key":"s","value":{"boolValue":true}}"#,
        expect![[r##"
        #0 @3 kind="unspecified" start_time=1 end_time=3 duration_ms=2.5 status_code="unset" s="true"
    "##]],
    );
    check(
        r#"{"key":"s","value":{"bytesValue":"aGk="}}"#,
        expect![[r##"
        #0 @3 kind="unspecified" start_time=1 end_time=3 duration_ms=2.5 status_code="unset" s="aGk="
    "##]],
    );
    check(
        r#"{"key":"s","value":{"stringValue":""}}"#,
        expect![[r##"
        #0 @3 kind="unspecified" start_time=1 end_time=3 duration_ms=2.5 status_code="unset" s=""
    "##]],
    );
    check(
        r#"{"value":{"stringValue":"\u00e9\n"},"key":"\u0073"}"#,
        expect![[r##"
        #0 @3 kind="unspecified" start_time=1 end_time=3 duration_ms=2.5 status_code="unset" s="é\n"
    "##]],
    );
    check(
        r#"{"key":"s","value":{"arrayValue":{"values":[{"stringValue":"a\"b"},{"intValue":"1"},{"doubleValue":"NaN"},{},{"kvlistValue":{"values":[{"key":"k","value":{"boolValue":false}}]}}]}}}"#,
        expect![[r##"
            #0 @3 kind="unspecified" start_time=1 end_time=3 duration_ms=2.5 status_code="unset" s="[\"a\\\"b\",1,\"NaN\",null,{\"k\":false}]"
        "##]],
    );
    check(
        r#"{"key":"f","value":{"doubleValue":"-Infinity"}}"#,
        expect![[r##"
        #0 @3 kind="unspecified" start_time=1 end_time=3 duration_ms=2.5 status_code="unset" f=-inf
    "##]],
    );
    check(
        r#"{"key":"i","value":{"doubleValue":7.5}}"#,
        expect![[r#"
        #0 wrong_type at 135
    "#]],
    );
    check(
        r#"{"key":"i","value":{"stringValue":"7"}}"#,
        expect![[r#"
        #0 wrong_type at 135
    "#]],
    );
    check(
        r#"{"key":"b","value":{"intValue":"1"}}"#,
        expect![[r#"
        #0 wrong_type at 135
    "#]],
    );
    check(
        r#"{"key":"b","value":{"arrayValue":{}}}"#,
        expect![[r#"
        #0 wrong_type at 135
    "#]],
    );
    check(
        r#"{"key":"i","value":{"intValue":"x"}}"#,
        expect![[r#"
        #0 wrong_type at 147
    "#]],
    );
    check(
        r#"{"key":"i"},{"key":"s","value":{}},{"key":"b","value":null}"#,
        expect![[r##"
        #0 @3 kind="unspecified" start_time=1 end_time=3 duration_ms=2.5 status_code="unset"
    "##]],
    );
}

#[test]
fn what_is_carried_is_carried_whatever_the_order() {
    let scope = r#""scope":{"name":"lib","attributes":[{"key":"origin","value":{"stringValue":"o"}}]}"#;
    let spans = r#""spans":[{"endTimeUnixNano":1000000},{"endTimeUnixNano":2000000}]"#;
    let resource = r#""resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]}"#;
    let record = |scope_spans: &str, flip: bool| {
        let scopes = format!(r#""scopeSpans":[{{{scope_spans}}},{{"spans":[{{"endTimeUnixNano":3000000}}]}}]"#);
        let first = if flip { format!("{scopes},{resource}") } else { format!("{resource},{scopes}") };
        let second = r#"{"scopeSpans":[{"spans":[{"endTimeUnixNano":4000000}]}]}"#;
        format!(r#"{{"resourceSpans":[{{{first}}},{second}]}}"#)
    };
    let usual = record(&format!("{scope},{spans}"), false);
    check(
        OtlpSignal::Spans,
        &usual,
        expect![[r##"
        #0 @1 kind="unspecified" end_time=1 status_code="unset" service="shop" scope="lib" origin="o"
        #0 @2 kind="unspecified" end_time=2 status_code="unset" service="shop" scope="lib" origin="o"
        #0 @3 kind="unspecified" end_time=3 status_code="unset" service="shop"
        #0 @4 kind="unspecified" end_time=4 status_code="unset"
    "##]],
    );
    let schema = schema(OtlpSignal::Spans);
    for scope_spans in [format!("{scope},{spans}"), format!("{spans},{scope}")] {
        for flip in [false, true] {
            let other = record(&scope_spans, flip);
            assert_eq!(told(&schema, other.as_bytes()), told(&schema, usual.as_bytes()), "{other}");
        }
    }
}

#[test]
fn a_bad_resource_refuses_the_events_below_it() {
    let resource = |shards: &str| {
        format!(
            r#"{{"resource":{{"attributes":[{{"key":"shards","value":{shards}}}]}},"scopeSpans":[{{"spans":[{{"endTimeUnixNano":1000000}},{{"endTimeUnixNano":1000000}}]}}]}}"#
        )
    };
    check(
        OtlpSignal::Spans,
        &format!(
            r#"{{"resourceSpans":[{},{}]}}"#,
            resource(r#"{"stringValue":"many"}"#),
            resource(r#"{"intValue":"3"}"#)
        ),
        expect![[r##"
            #0 @1 kind="unspecified" end_time=1 status_code="unset" shards=3
            #0 @1 kind="unspecified" end_time=1 status_code="unset" shards=3
            #0 wrong_type at 69
            #0 wrong_type at 69
        "##]],
    );
}

#[test]
fn a_request_is_read_whole_or_not_at_all() {
    let check = |record: &str, expect: Expect| check(OtlpSignal::Spans, record, expect);
    let good = r#"{"endTimeUnixNano":1000000}"#;
    check(
        &format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{good},{{"endTime]}}]}}]}}"#),
        expect![[r#"
        #0 malformed at 86
    "#]],
    );
    check(
        &format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{good}]}}]}}]}} x"#),
        expect![[r#"
        #0 malformed at 77
    "#]],
    );
    check(
        r#"{"resourceSpans":5}"#,
        expect![[r#"
        #0 malformed at 17
    "#]],
    );
    check(
        r#"{"resourceSpans":[]}"#,
        expect![[r#"
        #0 malformed at 0
    "#]],
    );
    check(
        r#"{"resourceLogs":[]}"#,
        expect![[r#"
        #0 malformed at 0
    "#]],
    );
    check(
        "{}",
        expect![[r#"
        #0 malformed at 0
    "#]],
    );
    check(
        "",
        expect![[r#"
        #0 malformed at 0
    "#]],
    );
    check(
        "hello",
        expect![[r#"
        #0 malformed at 2
    "#]],
    );
    check(
        "\n\x02\x12\x05",
        expect![[r#"
        #0 malformed at 2
    "#]],
    );
}

#[test]
fn budgets() {
    let mut schema = schema(OtlpSignal::Spans);
    schema.budgets.events_per_record_max = 2;
    schema.budgets.field_bytes_max = 4;
    schema.budgets.depth_max = 10;
    let span = |name: &str| Span { end_time_unix_nano: 1, name: name.into(), ..Span::default() };
    let request = |spans: Vec<Span>| ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    };
    let mut all = String::new();
    let mut both = |request: ExportTraceServiceRequest| {
        all += &told(&schema, &request.encode_to_vec());
        all += &told(&schema, serde_json::to_string(&request).unwrap().as_bytes());
    };
    both(request(vec![span("a"), span("b"), span("c")]));
    both(request(vec![span("long name")]));
    let mut deep = AnyValue { value: Some(Value::BoolValue(true)) };
    for _ in 0..5 {
        deep = AnyValue { value: Some(Value::ArrayValue(ArrayValue { values: vec![deep] })) };
    }
    let deep = KeyValue { key: "s".into(), value: Some(deep), ..KeyValue::default() };
    both(request(vec![Span { attributes: vec![deep], ..span("a") }]));
    expect![[r#"
        #0 too_many_events at 34
        #0 too_many_events at 596
        #0 field_too_long at 8
        #0 field_too_long at 149
        #0 too_deep at 37
        #0 too_deep at 255
    "#]]
    .assert_eq(&all);
}

#[test]
fn what_check_says() {
    let mut all = String::new();
    for (signal, time, ty, path) in [
        (OtlpSignal::Spans, "end_time", FieldType::String, &["status"][..]),
        (OtlpSignal::Spans, "end_time", FieldType::Int, &["name"]),
        (OtlpSignal::Spans, "end_time", FieldType::Bool, &["duration_ms"]),
        (OtlpSignal::Spans, "end_time", FieldType::String, &["attributes"]),
        (OtlpSignal::Metrics, "end_time", FieldType::Float, &["value"]),
    ] {
        let schema = stream(Format::Otlp(signal), time_at(&[time], TimeFormat::Rfc3339), vec![field("x", ty, path)]);
        all += &Decoder::new(schema.into(), &[0]).err().unwrap().to_string();
        all.push('\n');
    }
    expect![[r#"
        field `x` stands at `status`, which this signal does not have; write one of `trace_id`, `span_id`, `parent_span_id`, `trace_state`, `name`, `kind`, `start_time`, `end_time`, `duration_ms`, `status_code`, `status_message`, or `resource`, `scope` or `attributes` and a key
        field `x` is declared as int, but `name` is string and cannot be read as that
        field `x` is declared as bool, but `duration_ms` is float and cannot be read as that
        field `x` stands at `attributes`, which this signal does not have; write one of `trace_id`, `span_id`, `parent_span_id`, `trace_state`, `name`, `kind`, `start_time`, `end_time`, `duration_ms`, `status_code`, `status_message`, or `resource`, `scope` or `attributes` and a key
        the event time stands at `end_time`, which is no time of this signal; write one of `time`, `start_time`
    "#]].assert_eq(&all);
}

/// Strings that are read must be UTF-8; a generated decoder would refuse the request for any of them.
#[test]
fn protobuf_strings_are_checked_when_they_are_read() {
    let span = |name: &str| Span { end_time_unix_nano: 1_000_000, name: name.into(), ..Span::default() };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans { spans: vec![span("XXXX"), span("good")], ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    };
    let mut bytes = request.encode_to_vec();
    let at = bytes.windows(4).position(|window| window == b"XXXX").unwrap();
    bytes[at + 2] = 0xff;
    expect![[r##"
        #0 @1 name="good" kind="unspecified" end_time=1 status_code="unset"
        #0 not_utf8 at 10
    "##]]
    .assert_eq(&told(&schema(OtlpSignal::Spans), &bytes));
}

/// What stands after a record is not read as if it were part of it.
#[test]
fn a_record_ends_where_it_ends() {
    let schema = schema(OtlpSignal::Spans);
    for (record, next) in [("{", "}"), ("{\"resourceSpans\":[", "]}"), ("{\"resourceSpans\":nul", "l}")] {
        let alone = decode(&schema, [record]);
        assert!(decode(&schema, [record, next]).starts_with(&alone), "{record}");
    }
}

/// Unknown fields, groups among them, are passed over.
#[test]
fn unknown_protobuf_fields() {
    let span = Span { end_time_unix_nano: 1_000_000, ..Span::default() }.encode_to_vec();
    // A group 100 { varint 1; group 2 {} }, a fixed32, and the span's own bytes.
    let mut item = vec![0xa3, 0x06, 0x08, 0x01, 0x13, 0x14, 0xa4, 0x06, 0xad, 0x06, 1, 2, 3, 4];
    item.extend(span);
    let wrap = |field: u8, inner: &[u8]| [&[field << 3 | 2, inner.len() as u8], inner].concat();
    let bytes = wrap(1, &wrap(2, &wrap(2, &item)));
    expect![[r##"
        #0 @1 kind="unspecified" end_time=1 status_code="unset"
    "##]]
    .assert_eq(&told(&schema(OtlpSignal::Spans), &bytes));
}

// ---- the oracle ----

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

/// Rows first, then refusals, as [`testing::describe`] has them, without places.
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
