//! Examples. Random requests are in [`super::oracle`].

use expect_test::{Expect, expect};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use super::builtin_fields;
use crate::decode::Decoder;
use crate::decode::testing::{self, decode, field, stream, time_at};
use crate::model::schema::{FieldSpec, FieldType, Format, OtlpSignal, StreamSchema, TimeFormat};

/// All built-ins, and attributes of every level and type.
pub(super) fn schema(signal: OtlpSignal) -> StreamSchema {
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
