use expect_test::{Expect, expect};

use crate::decode::testing::{decode, field, stream, time_at};
use crate::model::schema::{FieldType, Format, StreamSchema, TimeFormat};

/// Fields of every type, one nested, one that takes numbers as strings.
fn schema() -> StreamSchema {
    let mut numeric = field("n", FieldType::Int, &["n"]);
    numeric.numeric_strings = true;
    stream(
        Format::Json,
        time_at(&["t"], TimeFormat::EpochMillis),
        vec![
            field("s", FieldType::String, &["s"]),
            field("i", FieldType::Int, &["i"]),
            field("f", FieldType::Float, &["f"]),
            field("b", FieldType::Bool, &["b"]),
            numeric,
            field("ms", FieldType::Float, &["http", "ms"]),
        ],
    )
}

/// One record, with the budgets of the tests: 4 levels, 20 bytes a field, 5 events.
fn check(record: &str, expect: Expect) {
    check_bytes(record.as_bytes(), expect);
}

fn check_bytes(record: &[u8], expect: Expect) {
    let mut schema = schema();
    schema.budgets.depth_max = 4;
    schema.budgets.field_bytes_max = 20;
    schema.budgets.events_per_record_max = 5;
    schema.budgets.record_bytes_max = 200;
    expect.assert_eq(&decode(&schema, [record]));
}

#[test]
fn one_object() {
    check(
        r#"{"t":1,"s":"a","i":-2,"f":0.5,"b":true,"n":3,"http":{"ms":1.5}}"#,
        expect![[r#"
            #0 @1 s="a" i=-2 f=0.5 b=true n=3 ms=1.5
        "#]],
    );
}

#[test]
fn missing_and_null_are_null() {
    check(
        r#"{"t":1,"s":null,"i":null,"f":null,"b":null,"http":null}"#,
        expect![[r#"
            #0 @1 s=- i=- f=- b=- n=- ms=-
        "#]],
    );
    check(
        r#"{"t":1,"http":{"other":[1,{"ms":2}]}}"#,
        expect![[r#"
            #0 @1 s=- i=- f=- b=- n=- ms=-
        "#]],
    );
}

#[test]
fn an_array_of_objects() {
    check(
        r#" [ {"t":1,"i":1} , {"t":2,"i":2} ] "#,
        expect![[r#"
            #0 @1 s=- i=1 f=- b=- n=- ms=-
            #0 @2 s=- i=2 f=- b=- n=- ms=-
        "#]],
    );
    // What is no object is refused; the others go on.
    check(
        r#"[{"t":1},5,[{}],{"t":2}]"#,
        expect![[r#"
            #0 @1 s=- i=- f=- b=- n=- ms=-
            #0 @2 s=- i=- f=- b=- n=- ms=-
            #0 malformed at 9
            #0 malformed at 11
        "#]],
    );
    // A broken document is refused as a whole.
    check(
        r#"[{"t":1},{"t":2}"#,
        expect![[r#"
        #0 malformed at 16
    "#]],
    );
    check(
        r#"[{"t":1},]"#,
        expect![[r#"
        #0 malformed at 9
    "#]],
    );
    check(
        r#"[{"t":1}] x"#,
        expect![[r#"
        #0 malformed at 10
    "#]],
    );
    check(
        "[]",
        expect![[r#"
        #0 malformed at 1
    "#]],
    );
}

#[test]
fn lines_of_objects() {
    check(
        "{\"t\":1}\n\n  {\"t\":2} \r\n{\"t\":3}\n",
        expect![[r#"
            #0 @1 s=- i=- f=- b=- n=- ms=-
            #0 @2 s=- i=- f=- b=- n=- ms=-
            #0 @3 s=- i=- f=- b=- n=- ms=-
        "#]],
    );
    // A bad line costs itself: cut short, no JSON, two objects, no object.
    check(
        "{\"t\":1,\n{\"t\":2}\nnope\n{\"t\":3}",
        expect![[r#"
        #0 @2 s=- i=- f=- b=- n=- ms=-
        #0 @3 s=- i=- f=- b=- n=- ms=-
        #0 malformed at 8
        #0 malformed at 16
    "#]],
    );
    check(
        "{\"t\":1} {\"t\":2}\n7\n{\"t\":3}",
        expect![[r#"
        #0 @3 s=- i=- f=- b=- n=- ms=-
        #0 malformed at 8
        #0 malformed at 16
    "#]],
    );
    // An object may span lines; when it is bad, its lines are not taken for events.
    check(
        "{\n \"t\": 1,\n \"i\":\n  2\n}\n{\"t\":2}",
        expect![[r#"
        #0 @1 s=- i=2 f=- b=- n=- ms=-
        #0 @2 s=- i=- f=- b=- n=- ms=-
    "#]],
    );
    check(
        "{\n \"t\": 1,\n \"i\": tru,\n \"x\":\n  {\"t\":9}\n}\n{\"t\":2}",
        expect![[r#"
        #0 @2 s=- i=- f=- b=- n=- ms=-
        #0 malformed at 17
    "#]],
    );
}

#[test]
fn empty_records_hold_no_event() {
    check(
        "",
        expect![[r#"
        #0 malformed at 0
    "#]],
    );
    check(
        " \n ",
        expect![[r#"
        #0 malformed at 0
    "#]],
    );
}

#[test]
fn values_of_the_wrong_type() {
    check(
        r#"{"t":1,"s":1}"#,
        expect![[r#"
        #0 wrong_type at 11
    "#]],
    );
    check(
        r#"{"t":1,"i":"1"}"#,
        expect![[r#"
        #0 wrong_type at 11
    "#]],
    );
    check(
        r#"{"t":1,"i":true}"#,
        expect![[r#"
        #0 wrong_type at 11
    "#]],
    );
    check(
        r#"{"t":1,"f":[1]}"#,
        expect![[r#"
        #0 wrong_type at 11
    "#]],
    );
    check(
        r#"{"t":1,"b":1}"#,
        expect![[r#"
        #0 wrong_type at 11
    "#]],
    );
    check(
        r#"{"t":1,"http":7}"#,
        expect![[r#"
        #0 wrong_type at 14
    "#]],
    );
    check(
        r#"{"t":1,"n":"x"}"#,
        expect![[r#"
        #0 wrong_type at 11
    "#]],
    );
    // The first misfit in the text is told, unless the event is not JSON at all.
    check(
        r#"{"t":"x","s":1}"#,
        expect![[r#"
        #0 bad_time at 5
    "#]],
    );
    check(
        r#"{"t":1,"s":1,"x":tru}"#,
        expect![[r#"
        #0 malformed at 17
    "#]],
    );
}

#[test]
fn numbers() {
    check(
        r#"{"t":1,"i":3.0,"f":3}"#,
        expect![[r#"
        #0 @1 s=- i=3 f=3.0 b=- n=- ms=-
    "#]],
    );
    check(
        r#"{"t":1,"i":3e2,"f":1E-2}"#,
        expect![[r#"
        #0 @1 s=- i=300 f=0.01 b=- n=- ms=-
    "#]],
    );
    check(
        r#"{"t":1,"i":3.5}"#,
        expect![[r#"
        #0 wrong_type at 11
    "#]],
    );
    check(
        r#"{"t":1,"i":-9223372036854775808,"f":12345678901234567890}"#,
        expect![[r#"
        #0 @1 s=- i=-9223372036854775808 f=1.2345678901234567e19 b=- n=- ms=-
    "#]],
    );
    check(
        r#"{"t":1,"i":9223372036854775808}"#,
        expect![[r#"
        #0 wrong_type at 11
    "#]],
    );
    check(
        r#"{"t":1,"f":1e309}"#,
        expect![[r#"
        #0 wrong_type at 11
    "#]],
    );
    check(
        r#"{"t":1,"f":-0}"#,
        expect![[r#"
        #0 @1 s=- i=- f=-0.0 b=- n=- ms=-
    "#]],
    );
    check(
        r#"{"t":1,"f":NaN}"#,
        expect![[r#"
        #0 malformed at 11
    "#]],
    );
    check(
        r#"{"t":1,"n":"42"}"#,
        expect![[r#"
        #0 @1 s=- i=- f=- b=- n=42 ms=-
    "#]],
    );
    check(
        r#"{"t":1,"i":01}"#,
        expect![[r#"
        #0 malformed at 12
    "#]],
    );
}

#[test]
fn strings() {
    check(
        r#"{"t":1,"s":"a\"b\u00e9\ud83d\ude00"}"#,
        expect![[r#"
        #0 @1 s="a\"bé😀" i=- f=- b=- n=- ms=-
    "#]],
    );
    check(
        r#"{"t":1,"s":"exactly twenty bytes"}"#,
        expect![[r#"
        #0 @1 s="exactly twenty bytes" i=- f=- b=- n=- ms=-
    "#]],
    );
    check(
        r#"{"t":1,"s":"one more: twenty-one!"}"#,
        expect![[r#"
        #0 field_too_long at 11
    "#]],
    );
    check(
        r#"{"t":1,"s":"\ud83d"}"#,
        expect![[r#"
        #0 malformed at 14
    "#]],
    );
    check(
        r#"{"t":1,"x":"\ud83d"}"#,
        expect![[r#"
        #0 @1 s=- i=- f=- b=- n=- ms=-
    "#]],
    );
    // Keys may be escaped, and may come twice.
    check(
        r#"{"t":1,"\u0073":"a","s":"b","i":1,"i":null}"#,
        expect![[r#"
        #0 @1 s="b" i=- f=- b=- n=- ms=-
    "#]],
    );
}

#[test]
fn text_that_is_not_utf8() {
    check_bytes(
        b"{\"t\":1,\"s\":\"\xff\"}\n{\"t\":2}",
        expect![[r#"
        #0 @2 s=- i=- f=- b=- n=- ms=-
        #0 not_utf8 at 12
    "#]],
    );
    check_bytes(
        b"\x00\x9f\x92",
        expect![[r#"
        #0 not_utf8 at 1
    "#]],
    );
    check_bytes(
        b"[{\"t\":1},{\"t\":2,\"x\":\"\xff\"}]",
        expect![[r#"
        #0 @1 s=- i=- f=- b=- n=- ms=-
        #0 not_utf8 at 21
    "#]],
    );
}

/// What stands after a record is not read as if it were part of it.
#[test]
fn a_record_ends_where_it_ends() {
    let whole = r#"{"t":12,"x":[true,null,-1.5e3,"\u00e9"],"http":{"ms":7},"s":"text","i":123}"#;
    let schema = schema();
    for cut in 1..whole.len() {
        let (record, next) = whole.split_at(cut);
        let alone = decode(&schema, [record]);
        assert_eq!(alone, format!("#0 malformed at {}\n", alone.rsplit(' ').next().unwrap().trim_end()));
        assert!(decode(&schema, [record, next]).starts_with(&alone), "{record} | {next}");
    }
}

#[test]
fn a_character_cut_between_two_records_is_in_neither() {
    let text = "{\"t\":1,\"s\":\"é\"}".as_bytes();
    expect![[r#"
        #0 not_utf8 at 12
        #1 not_utf8 at 0
    "#]]
    .assert_eq(&decode(&schema(), [&text[..13], &text[13..]]));
}

#[test]
fn budgets() {
    check(
        r#"{"t":1,"x":[[[1]]]}"#,
        expect![[r#"
        #0 @1 s=- i=- f=- b=- n=- ms=-
    "#]],
    );
    check(
        r#"{"t":1,"x":[[[[1]]]]}"#,
        expect![[r#"
        #0 too_deep at 14
    "#]],
    );
    check(
        r#"{"t":1,"http":{"x":[[1]]}}"#,
        expect![[r#"
        #0 @1 s=- i=- f=- b=- n=- ms=-
    "#]],
    );
    check(
        r#"{"t":1,"http":{"x":[[{}]]}}"#,
        expect![[r#"
        #0 too_deep at 21
    "#]],
    );
    check(
        &"{\"t\":1}\n".repeat(5),
        expect![[r#"
        #0 @1 s=- i=- f=- b=- n=- ms=-
        #0 @1 s=- i=- f=- b=- n=- ms=-
        #0 @1 s=- i=- f=- b=- n=- ms=-
        #0 @1 s=- i=- f=- b=- n=- ms=-
        #0 @1 s=- i=- f=- b=- n=- ms=-
    "#]],
    );
    check(
        &"{\"t\":1}\n".repeat(6),
        expect![[r#"
        #0 too_many_events at 40
    "#]],
    );
    check(
        r#"[{"t":1},{"t":1},{"t":1},{"t":1},{"t":1},{"t":1}]"#,
        expect![[r#"
        #0 too_many_events at 41
    "#]],
    );
    check(
        &format!("{{\"t\":1,\"x\":\"{}\"}}", "y".repeat(200)),
        expect![[r#"
        #0 record_too_large at 0
    "#]],
    );
}

#[test]
fn the_time() {
    check(
        r#"{"s":"no time"}"#,
        expect![[r#"
        #0 no_time at 0
    "#]],
    );
    check(
        r#"{"t":null}"#,
        expect![[r#"
        #0 no_time at 0
    "#]],
    );
    check(
        r#"{"t":[]}"#,
        expect![[r#"
        #0 bad_time at 5
    "#]],
    );
    check(
        r#"{"t":"1700000000123"}"#,
        expect![[r#"
        #0 @1700000000123 s=- i=- f=- b=- n=- ms=-
    "#]],
    );
    check(
        r#"{"t":1.7000000001239e12}"#,
        expect![[r#"
        #0 @1700000000123 s=- i=- f=- b=- n=- ms=-
    "#]],
    );
    check(
        r#"{"t":-0.5}"#,
        expect![[r#"
        #0 @-1 s=- i=- f=- b=- n=- ms=-
    "#]],
    );
    check(
        r#"{"t":999999999999999999}"#,
        expect![[r#"
        #0 bad_time at 5
    "#]],
    );
}

#[test]
fn the_time_may_be_a_field_too() {
    let schema =
        stream(Format::Json, time_at(&["at"], TimeFormat::Rfc3339), vec![field("at", FieldType::String, &["at"])]);
    expect![[r#"
        #0 @1431857103123 at="2015-05-17T10:05:03.123Z"
        #1 wrong_type at 6
    "#]]
    .assert_eq(&decode(&schema, [r#"{"at":"2015-05-17T10:05:03.123Z"}"#, r#"{"at":5}"#]));
}
