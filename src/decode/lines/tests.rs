use expect_test::{Expect, expect};

use super::{builtin_fields, group_names};
use crate::decode::Decoder;
use crate::decode::testing::{decode, field, stream, time_at};
use crate::model::schema::{FieldType, Format, LinePattern, StreamSchema, TimeFormat};

/// A stream of all the fields that the pattern captures, the time of course among them.
fn schema(pattern: LinePattern, time: TimeFormat) -> StreamSchema {
    let fields = builtin_fields(&pattern).iter().map(|(name, ty)| field(name, *ty, &[*name])).collect();
    stream(Format::Lines(pattern), time_at(&["time"], time), fields)
}

fn check(schema: &StreamSchema, record: &str, expect: Expect) {
    expect.assert_eq(&decode(schema, [record]));
}

fn combined() -> StreamSchema {
    schema(LinePattern::Combined, TimeFormat::Clf)
}

#[test]
fn combined_lines() {
    check(
        &combined(),
        r#"83.149.9.216 - frank [17/May/2015:10:05:03 +0000] "GET /a/b.png?x=1 HTTP/1.1" 200 203023 "http://example.org/" "Mozilla/5.0 (X11)""#,
        expect![[r#"
            #0 @1431857103000 remote="83.149.9.216" ident=- user="frank" time="17/May/2015:10:05:03 +0000" request="GET /a/b.png?x=1 HTTP/1.1" method="GET" path="/a/b.png" query="x=1" protocol="HTTP/1.1" status=200 bytes=203023 referer="http://example.org/" agent="Mozilla/5.0 (X11)"
        "#]],
    );
    // `common`; no bytes; a user with a space; escaped quotes; nginx' forwarded address at the end.
    check(
        &combined(),
        "::1 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.0\" 304 -\r\nh i Jo Doe [17/May/2015:10:05:04 +0000] \"GET /\\\"q HTTP/2\" 200 1 \"-\" \"a \\\"b\\\" c\\\\\" \"10.0.0.1\"\n",
        expect![[r##"
            #0 @1431857103000 remote="::1" ident=- user=- time="17/May/2015:10:05:03 +0000" request="GET / HTTP/1.0" method="GET" path="/" query=- protocol="HTTP/1.0" status=304 bytes=- referer=- agent=-
            #0 @1431857104000 remote="h" ident="i" user="Jo Doe" time="17/May/2015:10:05:04 +0000" request="GET /\\\"q HTTP/2" method="GET" path="/\\\"q" query=- protocol="HTTP/2" status=200 bytes=1 referer=- agent="a \\\"b\\\" c\\\\"
        "##]],
    );
    // What scanners send.
    check(
        &combined(),
        "h - - [17/May/2015:10:05:03 +0000] \"-\" 408 -\nh - - [17/May/2015:10:05:03 +0000] \"\\x16\\x03 \\x01\" 400 0\nh - - [17/May/2015:10:05:03 +0000] \"GET /old style\" 200 0\nh - - [17/May/2015:10:05:03 +0000] \"\" 400 0",
        expect![[r##"
            #0 @1431857103000 remote="h" ident=- user=- time="17/May/2015:10:05:03 +0000" request=- method=- path=- query=- protocol=- status=408 bytes=- referer=- agent=-
            #0 @1431857103000 remote="h" ident=- user=- time="17/May/2015:10:05:03 +0000" request="\\x16\\x03 \\x01" method=- path=- query=- protocol=- status=400 bytes=0 referer=- agent=-
            #0 @1431857103000 remote="h" ident=- user=- time="17/May/2015:10:05:03 +0000" request="GET /old style" method="GET" path="/old style" query=- protocol=- status=200 bytes=0 referer=- agent=-
            #0 @1431857103000 remote="h" ident=- user=- time="17/May/2015:10:05:03 +0000" request="" method=- path=- query=- protocol=- status=400 bytes=0 referer=- agent=-
        "##]],
    );
}

#[test]
fn combined_lines_that_do_not_match() {
    let line = r#"h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 "-" "agent""#;
    // Cut anywhere, a line is either `common` still, or no match; never a panic.
    let cut: Vec<String> = (1..=line.len())
        .filter(|end| decode(&combined(), [&line[..*end]]).contains("@1431857103000"))
        .map(|end| line[..end].to_owned())
        .collect();
    expect![[r#"
        [
            "h - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 5",
            "h - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"agent\"",
        ]
    "#]]
    .assert_debug_eq(&cut);
    check(
        &combined(),
        "",
        expect![[r#"
        #0 no_match at 0
    "#]],
    );
    check(
        &combined(),
        "\n\r\n",
        expect![[r#"
        #0 no_match at 0
    "#]],
    );
    check(
        &combined(),
        "hello\n",
        expect![[r#"
        #0 no_match at 0
    "#]],
    );
    check(
        &combined(),
        "h - - [17/Foo/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 5",
        expect![[r#"
        #0 bad_time at 7
    "#]],
    );
    check(
        &combined(),
        "h - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 99999999999999999999",
        expect![[r#"
        #0 wrong_type at 56
    "#]],
    );
}

fn syslog() -> StreamSchema {
    schema(LinePattern::Syslog3164, TimeFormat::Rfc3164 { year: 2015, zone: "UTC".into() })
}

#[test]
fn syslog_lines() {
    let check = |line: &str, expect: Expect| check(&syslog(), line, expect);
    check(
        "Mar 30 15:04:05 host sshd[1291]: Failed password for root",
        expect![[r##"
        #0 @1427727845000 pri=- facility=- severity=- time="Mar 30 15:04:05" host="host" program="sshd" pid=1291 message="Failed password for root"
    "##]],
    );
    check(
        "<38>Mar  3 15:04:05 host sshd[1291]:Failed",
        expect![[r##"
        #0 @1425395045000 pri=38 facility=4 severity=6 time="Mar  3 15:04:05" host="host" program="sshd" pid=1291 message="Failed"
    "##]],
    );
    check(
        "Mar 3 15:04:05 10.0.0.1 kernel: [   12.3] eth0: up",
        expect![[r##"
        #0 @1425395045000 pri=- facility=- severity=- time="Mar 3 15:04:05" host="10.0.0.1" program="kernel" pid=- message="[   12.3] eth0: up"
    "##]],
    );
    check(
        "Mar 30 15:04:05 host last message repeated 2 times",
        expect![[r##"
        #0 @1427727845000 pri=- facility=- severity=- time="Mar 30 15:04:05" host="host" program=- pid=- message="last message repeated 2 times"
    "##]],
    );
    check(
        "Mar 30 15:04:05 host rsyslogd[a-b]: odd pid",
        expect![[r##"
        #0 @1427727845000 pri=- facility=- severity=- time="Mar 30 15:04:05" host="host" program="rsyslogd" pid=- message="odd pid"
    "##]],
    );
    check(
        "Mar 30 15:04:05 host prog[12] no colon",
        expect![[r##"
        #0 @1427727845000 pri=- facility=- severity=- time="Mar 30 15:04:05" host="host" program=- pid=- message="prog[12] no colon"
    "##]],
    );
    check(
        "Mar 30 15:04:05 host ",
        expect![[r##"
        #0 @1427727845000 pri=- facility=- severity=- time="Mar 30 15:04:05" host="host" program=- pid=- message=""
    "##]],
    );
    check(
        "<192>Mar 30 15:04:05 host x: y",
        expect![[r#"
        #0 no_match at 0
    "#]],
    );
    check(
        "<>Mar 30 15:04:05 host x: y",
        expect![[r#"
        #0 no_match at 0
    "#]],
    );
    check(
        "Mar 30 15:04:05",
        expect![[r#"
        #0 no_match at 0
    "#]],
    );
    check(
        "2015-03-30T15:04:05Z host x: y",
        expect![[r#"
        #0 no_match at 0
    "#]],
    );
    check(
        "Feb 30 15:04:05 host x: y",
        expect![[r#"
        #0 bad_time at 0
    "#]],
    );
    check(
        "Mär 30 15:04:05 host x: y",
        expect![[r#"
        #0 no_match at 0
    "#]],
    );
}

#[test]
fn named_groups() {
    let pattern = r"^(?<time>\S+) (?<level>\w+)(?: took (?<ms>\S*)ms)?(?: ok=(?<ok>\w+))?";
    let schema = stream(
        Format::Lines(LinePattern::Regex(pattern.into())),
        time_at(&["time"], TimeFormat::Rfc3339),
        vec![
            field("level", FieldType::String, &["level"]),
            field("ms", FieldType::Float, &["ms"]),
            field("ok", FieldType::Bool, &["ok"]),
        ],
    );
    check(
        &schema,
        "2015-05-17T10:05:03Z INFO took 1.5ms ok=TRUE\n2015-05-17T10:05:03Z WARN\n2015-05-17T10:05:03Z WARN took ms ok=0",
        expect![[r##"
            #0 @1431857103000 level="INFO" ms=1.5 ok=true
            #0 @1431857103000 level="WARN" ms=- ok=-
            #0 @1431857103000 level="WARN" ms=- ok=false
        "##]],
    );
    check(
        &schema,
        "2015-05-17T10:05:03Z INFO took NaNms",
        expect![[r#"
        #0 wrong_type at 31
    "#]],
    );
    check(
        &schema,
        "2015-05-17T10:05:03Z INFO ok=maybe",
        expect![[r#"
        #0 wrong_type at 29
    "#]],
    );
    check(
        &schema,
        "yesterday INFO",
        expect![[r#"
        #0 bad_time at 0
    "#]],
    );
    check(
        &schema,
        "what?",
        expect![[r#"
        #0 no_match at 0
    "#]],
    );
    assert_eq!(group_names(&LinePattern::Regex(pattern.into())).unwrap(), ["time", "level", "ms", "ok"]);
}

#[test]
fn bytes_that_are_not_utf8_cost_their_line() {
    let record = b"Mar 30 15:04:05 host x: \xff\nMar 30 15:04:05 host x: y";
    expect![[r##"
        #0 @1427727845000 pri=- facility=- severity=- time="Mar 30 15:04:05" host="host" program="x" pid=- message="y"
        #0 not_utf8 at 24
    "##]]
    .assert_eq(&decode(&syslog(), [record]));
}

#[test]
fn budgets() {
    let mut schema = syslog();
    schema.budgets.events_per_record_max = 2;
    schema.budgets.field_bytes_max = 15;
    let line = "Mar 30 15:04:05 host x: y\n";
    check(
        &schema,
        &line.repeat(3),
        expect![[r#"
        #0 too_many_events at 52
    "#]],
    );
    check(
        &schema,
        "Mar 30 15:04:05 host x: longer than fifteen",
        expect![[r#"
        #0 field_too_long at 24
    "#]],
    );
}

#[test]
fn what_check_says() {
    let told = |schema: StreamSchema| {
        let all: Vec<usize> = (0..schema.fields.len()).collect();
        Decoder::new(schema.into(), &all).err().unwrap().to_string()
    };
    let with = |pattern: &str, path: &[&str]| {
        let fields = vec![field("f", FieldType::String, path)];
        stream(Format::Lines(LinePattern::Regex(pattern.into())), time_at(&["time"], TimeFormat::Rfc3339), fields)
    };
    let mut all = String::new();
    for schema in [
        with("(?<time>.)", &["host"]),
        with("(?<host>.)", &["host"]),
        with("(", &["x"]),
        with("(?<time>.)", &["a", "b"]),
    ] {
        all += &told(schema);
        all.push('\n');
    }
    expect![[r#"
        field `f` is read from `host`, which the stream's pattern does not capture; it captures `time`
        the event time is read from `time`, which the stream's pattern does not capture; it captures `host`
        the stream's pattern is no regular expression: regex parse error:
            (
            ^
        error: unclosed group
        field `f` stands at `a.b`; the lines of this stream have no nesting, name one group of the pattern
    "#]]
    .assert_eq(&all);
}

/// The real logs of the issue: every line is read, but for the one that was cut when the file was made.
#[test]
fn real_logs() {
    for (name, schema) in [("auth.log", syslog()), ("apache_access.log", combined())] {
        let Some(text) = crate::decode::testing::shared(&format!("elastic-examples/{name}")) else { continue };
        let told = decode(&schema, text.lines());
        let refused: Vec<&str> = told.lines().filter(|line| !line.contains('@')).collect();
        match name {
            "auth.log" => assert_eq!(refused, Vec::<&str>::new()),
            _ => assert_eq!(refused, ["#8898 no_match at 0"]),
        }
        assert_eq!(told.lines().count(), text.lines().count());
    }
}
