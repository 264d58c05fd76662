//! What Prometheus renders, rendered by us. The cases are those of Prometheus' own `template_test.go` that need no query,
//! told anew: where its data is a bare list we write the values into the template.

use rstest::rstest;

use super::*;

/// Renders with the data of Prometheus' tests: nothing but the external URL.
fn render(kind: TemplateKind, source: &str) -> Result<String, String> {
    let template = Template::compile(source, kind).map_err(|errors| errors[0].to_string())?;
    let (labels, evidence) = (Labels::default(), Evidence::default());
    let data = TemplateData {
        labels: &labels,
        external_labels: &labels,
        external_url: "http://testhost:9090/path/prefix",
        value: None,
        evidence: &evidence,
        at: EventTime(0),
    };
    template.render(&data).map_err(|error| error.to_string())
}

fn check(source: &str, expect: &str) {
    assert_eq!(render(TemplateKind::Text, source).as_deref(), Ok(expect), "{source}");
}

#[rstest]
#[case("plain text", "plain text")]
#[case("{{ 1 }}", "1")]
#[case(r#"{{ "<b>" }}"#, "<b>")]
#[case(r#"{{define "x"}}{{.arg0}} {{.arg1}}{{end}}{{template "x" (args 1 "2")}}"#, "1 2")]
#[case(r#"{{ reReplaceAll "(a)b" "x$1" "ab" }}"#, "xa")]
#[case(r#"{{ match "a+" "aa" }} {{ match "a+" "b" }}"#, "true false")]
#[case(r#"{{ "aa bb CC" | title }}"#, "Aa Bb CC")]
#[case(r#"{{ "aa bb CC" | toUpper }}"#, "AA BB CC")]
#[case(r#"{{ "aA bB CC" | toLower }}"#, "aa bb cc")]
#[case(r#"{{ graphLink "up" }}"#, "/graph?g0.expr=up&g0.tab=0")]
#[case(r#"{{ tableLink "up" }}"#, "/graph?g0.expr=up&g0.tab=1")]
#[case("{{ pathPrefix }}", "/path/prefix")]
#[case("{{ externalURL }}", "http://testhost:9090/path/prefix")]
#[case(r#"{{ printf "%0.2f" (parseDuration "1h2m10ms") }}"#, "3720.01")]
#[case(r#"{{ (1435065584.128 | toTime).Format "2006" }}"#, "2015")]
#[case(r#"{{ ("1435065584.128" | toTime).Format "2006" }}"#, "2015")]
#[case("{{ 1435065584.128 | humanizeTimestamp }}", "2015-06-23 13:19:44.128 +0000 UTC")]
#[case(r#"{{ "1435065584.128" | humanizeTimestamp }}"#, "2015-06-23 13:19:44.128 +0000 UTC")]
fn texts(#[case] source: &str, #[case] expect: &str) {
    check(source, expect);
}

#[rstest]
#[case("foo.example.com", "foo.example.com", "foo")]
#[case("foo.example.com:12345", "foo.example.com", "foo:12345")]
#[case("192.0.2.1", "192.0.2.1", "192.0.2.1")]
#[case("192.0.2.1:12345", "192.0.2.1", "192.0.2.1:12345")]
#[case("2001:0DB8::1", "2001:0DB8::1", "2001:0DB8::1")]
#[case("[2001:0DB8::1]:12345", "2001:0DB8::1", "[2001:0DB8::1]:12345")]
#[case("[2001:0DB8::1]::12345", "[2001:0DB8::1]::12345", "[2001:0DB8::1]::12345")]
fn hosts(#[case] host: &str, #[case] without_port: &str, #[case] without_domain: &str) {
    check(&format!("{{{{ {host:?} | stripPort }}}}"), without_port);
    check(&format!("{{{{ {host:?} | stripDomain }}}}"), without_domain);
}

/// `function` of each number, and of each as a text.
#[rstest]
#[case("humanize", "0.0 1.0 1234567.0 .12", "0 1 1.235M 120m")]
#[case("humanize", "0 -1 1 1234567 9223372036854775807", "0 -1 1 1.235M 9.223E")]
#[case("humanize1024", "0.0 1.0 1048576.0 .12", "0 1 1Mi 0.12")]
#[case("humanize1024", "0 -1 1 1234567 9223372036854775807", "0 -1 1 1.177Mi 8Ei")]
#[case(
    "humanizeDuration",
    "0 1 60 3600 86400 90000 -183845 899.99",
    "0s,1s,1m 0s,1h 0m 0s,1d 0h 0m 0s,1d 1h 0m 0s,-2d 3h 4m 5s,14m 59s"
)]
#[case("humanizeDuration", ".1 .0001 .12345 60.1 60.5 1.2345 12.345", "100ms,100us,123.5ms,1m 0s,1m 0s,1.234s,12.35s")]
#[case("humanizeDuration", "0 -1 1 1234567", "0s,-1s,1s,14d 6h 56m 7s")]
#[case("humanizePercentage", "-0.22222 0.0 0.1234567 1.23456", "-22.22% 0% 12.35% 123.5%")]
#[case("humanizePercentage", "0 -1 1 1234567 9223372036854775807", "0% -100% 100% 1.235e+08% 9.223e+20%")]
#[case(
    "humanizeTimestamp",
    "0 -1 1 1234567 9223372036",
    "1970-01-01 00:00:00 +0000 UTC,1969-12-31 23:59:59 +0000 UTC,1970-01-01 00:00:01 +0000 UTC,\
     1970-01-15 06:56:07 +0000 UTC,2262-04-11 23:47:16 +0000 UTC"
)]
fn humane_numbers(#[case] function: &str, #[case] numbers: &str, #[case] expect: &str) {
    let separator = if expect.contains(',') { ',' } else { ' ' };
    let expected: Vec<&str> = expect.split(separator).collect();
    for (number, expect) in numbers.split(' ').zip(&expected) {
        check(&format!("{{{{ {function} {number} }}}}"), expect);
        check(&format!("{{{{ {number} | {function} }}}}"), expect);
        check(&format!("{{{{ {function} \"{number}\" }}}}"), expect);
    }
    assert_eq!(numbers.split(' ').count(), expected.len());
}

#[rstest]
#[case("+Inf", "+Inf")]
#[case("-Inf", "-Inf")]
#[case("NaN", "NaN")]
fn what_is_not_finite(#[case] number: &str, #[case] expect: &str) {
    for function in ["humanize", "humanize1024", "humanizeDuration", "humanizeTimestamp"] {
        check(&format!("{{{{ {function} {number:?} }}}}"), expect);
    }
}

#[rstest]
#[case("{{\u{a0}}}")]
#[case("{{")]
#[case(r#"{{ humanize "one" }}"#)]
#[case(r#"{{ humanize1024 "one" }}"#)]
#[case(r#"{{ humanizeDuration "one" }}"#)]
#[case(r#"{{ "one" | humanizePercentage }}"#)]
#[case("{{ humanizeTimestamp -9223372036854775808 }}")]
#[case("{{ humanizeTimestamp 9223372036854775807 }}")]
#[case("{{ 1.79769313486231570814527423731704356798070e+300 | toTime }}")]
#[case(r#"{{ query "missing" | first }}"#)]
#[case(r#"{{ (query "missing").banana }}"#)]
fn what_fails_in_prometheus_fails_here(#[case] source: &str) {
    assert!(render(TemplateKind::Text, source).is_err(), "{source}");
}

#[rstest]
#[case(r#"{{ "<b>" }}"#, "&lt;b&gt;")]
#[case(r#"{{ "<b>" | safeHtml }}"#, "<b>")]
#[case("{{ .Labels.foo }}", "")]
#[case("{{ .Value }}", "")]
fn html(#[case] source: &str, #[case] expect: &str) {
    assert_eq!(render(TemplateKind::Html, source).as_deref(), Ok(expect), "{source}");
}
