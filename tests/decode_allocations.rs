//! `C3`: once a stream's shape is known, decoding allocates nothing, however many events there are.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use foghorn::decode::Decoder;
use foghorn::model::batch::{Batch, RawBatch, RawBatchBuilder};
use foghorn::model::schema::{
    Budgets, FieldSpec, FieldType, Format, HistogramSpec, LinePattern, OtlpSignal, StreamSchema, TimeFormat,
    TimeSource, TimeSpec,
};
use foghorn::model::time::Millis;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting per thread.
struct Counting;

// SAFETY: every call is handed to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promised.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn field(name: &str, ty: FieldType, path: &[&str]) -> FieldSpec {
    FieldSpec {
        name: name.into(),
        ty,
        path: path.iter().map(|key| Arc::from(*key)).collect(),
        numeric_strings: false,
        histogram: HistogramSpec::INT,
    }
}

fn raw(records: &[Vec<u8>]) -> RawBatch {
    let mut builder = RawBatchBuilder::default();
    let source = builder.source(&Arc::from("topic"), 0);
    for (offset, record) in records.iter().enumerate() {
        builder.push(source, offset as i64, 0, record);
    }
    builder.finish()
}

/// Decodes two batches to learn, and counts what a third costs.
fn check(format: Format, time: (&str, TimeFormat), fields: Vec<FieldSpec>, make: impl Fn(usize) -> Vec<u8>) {
    let needed: Vec<usize> = (0..fields.len()).collect();
    let schema = StreamSchema {
        name: "events".into(),
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
    let mut decoder = Decoder::new(schema.into(), &needed).unwrap();
    let (mut out, mut refused) = (Batch::default(), Vec::new());
    for round in 0..3 {
        let records: Vec<Vec<u8>> = (0..500).map(|index| make(round * 500 + index)).collect();
        let raw = raw(&records);
        let before = ALLOCATIONS.with(Cell::get);
        decoder.decode(raw, &mut out, &mut refused);
        let after = ALLOCATIONS.with(Cell::get);
        assert!(out.rows() >= 500 && refused.is_empty());
        if round == 2 {
            assert_eq!(after - before, 0, "allocations for {} events", out.rows());
        } else {
            assert!(round > 0 || after > before, "the counter counts");
        }
    }
}

#[test]
fn json_of_two_shapes_with_escapes_and_nesting() {
    let fields = vec![
        field("service", FieldType::String, &["service"]),
        field("ms", FieldType::Float, &["http", "ms"]),
        field("status", FieldType::Int, &["status"]),
        field("ok", FieldType::Bool, &["ok"]),
    ];
    check(Format::Json, ("t", TimeFormat::Rfc3339), fields, |i| {
        let time = format!("2015-05-17T10:{:02}:{:02}.123Z", i / 60 % 60, i % 60);
        match i % 2 {
            0 => format!(
                r#"{{"t":"{time}","service":"check\u006fut","http":{{"url":[1,{{}}],"ms":{i}.5}},"status":200,"ok":true}}"#
            ),
            _ => format!(r#"{{"status":{i}, "t":"{time}", "trace":null, "http":{{"ms":1e3}}}}"#),
        }
        .into_bytes()
    });
}

#[test]
fn access_logs_and_syslog() {
    let fields = vec![
        field("path", FieldType::String, &["path"]),
        field("status", FieldType::Int, &["status"]),
        field("bytes", FieldType::Float, &["bytes"]),
    ];
    check(Format::Lines(LinePattern::Combined), ("time", TimeFormat::Clf), fields, |i| {
        let line = format!("h - - [17/May/2015:10:{:02}:00 +0000] \"GET /{i} HTTP/1.1\" 200 {i}\n", i % 60);
        line.repeat(3).into_bytes()
    });
    let fields = vec![field("program", FieldType::String, &["program"]), field("pid", FieldType::Int, &["pid"])];
    let time = TimeFormat::Rfc3164 { year: 2015, zone: "Europe/Berlin".into() };
    check(Format::Lines(LinePattern::Syslog3164), ("time", time), fields, |i| {
        format!("<38>Mar 30 {:02}:00:00 host sshd[{i}]: hello", i % 24).into_bytes()
    });
}

#[test]
fn spans_in_both_encodings() {
    let request = |i: usize| {
        let attribute = |key: &str, value| KeyValue {
            key: key.into(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        };
        let span = Span {
            trace_id: vec![0xab; 16],
            name: format!("GET /{i}"),
            kind: 2,
            start_time_unix_nano: 1_000_000,
            end_time_unix_nano: 2_000_000 + i as u64,
            attributes: vec![
                attribute("route", Value::StringValue("/cart".into())),
                attribute("status", Value::IntValue(200)),
            ],
            ..Span::default()
        };
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                scope_spans: vec![ScopeSpans { spans: vec![span; 4], ..ScopeSpans::default() }],
                ..ResourceSpans::default()
            }],
        }
    };
    let fields = || {
        vec![
            field("trace", FieldType::String, &["trace_id"]),
            field("name", FieldType::String, &["name"]),
            field("kind", FieldType::String, &["kind"]),
            field("ms", FieldType::Float, &["duration_ms"]),
            field("route", FieldType::String, &["attributes", "route"]),
            field("status as text", FieldType::String, &["attributes", "status"]),
        ]
    };
    let spans = || Format::Otlp(OtlpSignal::Spans);
    check(spans(), ("end_time", TimeFormat::EpochNanos), fields(), |i| request(i).encode_to_vec());
    check(spans(), ("end_time", TimeFormat::EpochNanos), fields(), |i| serde_json::to_vec(&request(i)).unwrap());
}
