//! Templates as stories: a text in, what people read out. Texts of numbers, `print` and `printf` were written by Go.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn evidence() -> Evidence {
    Evidence {
        condition: "p99 > 800 && errors / total > 0.05".to_owned(),
        comparisons: vec![
            Comparison { text: "p99 > 800".into(), left: Some(1240.5), right: Some(800.0), holds: Some(true) },
            Comparison { text: "errors / total > 0.05".into(), left: None, right: Some(0.05), holds: None },
        ],
        values: vec![("p99".into(), Some(1240.5)), ("total".into(), Some(1e6)), ("errors".into(), None)],
        contributors: vec![
            Contributor { name: "addresses".into(), value: "183.62.140.253".into(), count: 157 },
            Contributor { name: "addresses".into(), value: "10.0.0.<7>".into(), count: 3 },
        ],
        ..Evidence::default()
    }
}

fn render(kind: TemplateKind, source: &str) -> Result<String, TemplateError> {
    let template = Template::compile(source, kind).map_err(|mut errors| errors.remove(0))?;
    let labels = Labels::from_pairs([("service", "cart"), ("severity", "critical"), ("host", "db-1.example.com:5432")]);
    let external = Labels::from_pairs([("region", "eu")]);
    template.render(&TemplateData {
        labels: &labels,
        external_labels: &external,
        external_url: "https://foghorn.example.com/ops",
        value: Some(1240.5),
        evidence: &evidence(),
        at: EventTime(1_435_065_584_128),
    })
}

fn check(source: &str, expect: Expect) {
    expect.assert_eq(&render(TemplateKind::Text, source).unwrap());
}

#[test]
fn a_summary_and_a_description() {
    check(
        "{{ $labels.service }} p99 is {{ $value | humanizeDuration }}, {{ $values.total | humanize }} requests",
        expect!["cart p99 is 20m 40s, 1M requests"],
    );
    check(
        "{{ with $labels.severity }}[{{ . | toUpper }}] {{ end }}{{ .Labels.host | stripPort | stripDomain }} in \
         {{ $externalLabels.region }}: {{ printf \"%.1f\" .Value }} at {{ now | humanizeTimestamp }}",
        expect!["[CRITICAL] db-1 in eu: 1240.5 at 2015-06-23 13:19:44.128 +0000 UTC"],
    );
    check(
        "{{ range $evidence }}{{ .Text }}: {{ .Left }}{{ if .Holds }} holds{{ end }}; {{ end }}\
         {{ range $i, $c := .Contributors }}{{ if $i }}, {{ end }}{{ $c.Value }} ({{ .Count }}){{ else }}nobody{{ end }}",
        expect!["p99 > 800: 1240.5 holds; errors / total > 0.05: <no value>; 183.62.140.253 (157), 10.0.0.<7> (3)"],
    );
    check(
        "{{ externalURL }}{{ pathPrefix }} {{ $externalURL }} {{ .ExternalURL }}/alerts?q={{ $labels.host | urlQueryEscape }}",
        expect![
            "https://foghorn.example.com/ops/ops https://foghorn.example.com/ops https://foghorn.example.com/ops/alerts?q=db-1.example.com%3A5432"
        ],
    );
}

#[test]
fn what_is_missing() {
    check("[{{ $labels.nope }}] [{{ index $labels \"nope\" }}] [{{ .ExternalLabels.nope }}]", expect!["[] [] []"]);
    check(
        "{{ $values.errors }} {{ $values.errors | humanize }} {{ .Values.errors | humanizePercentage }}",
        expect!["<no value> <no value> <no value>"],
    );
    check(
        "{{ if $labels.nope }}a{{ else }}b{{ end }}{{ if gt $values.errors 1.0 }}c{{ else }}d{{ end }}",
        expect!["bd"],
    );
    check("{{ printf \"%v %.2f\" $values.errors $values.errors }}", expect!["<nil> %!f(<nil>)"]);
}

#[test]
fn comparisons_are_kinder_than_gos() {
    check(
        "{{ gt $value 100 }} {{ eq $values.total 1e6 }} {{ eq $values.total 1000000 }} {{ lt 1 2.5 }} \
         {{ eq $labels.service \"a\" \"cart\" }} {{ ne 1 1.0 }} {{ ge \"b\" \"a\" }} {{ le $value $value }} {{ eq nil $values.errors }}",
        expect!["true true true true true false true true true"],
    );
    check(
        "{{ and $value 0 }} {{ or 0 \"z\" }} {{ not $value }} {{ if and (gt $value 1) (lt $value 2) }}a{{ else }}b{{ end }}",
        expect!["0 z false b"],
    );
}

#[test]
fn templates_within_templates() {
    check(
        r#"{{ define "who" }}{{ $x := .Labels.service }}{{ $x }}/{{ $.Value }}{{ end }}{{ $x := "mine" }}{{ template "who" . }} {{ $x }}"#,
        expect!["cart/1240.5 mine"],
    );
    check(
        r#"{{ define "a" }}<{{ . }}{{ template "b" . }}>{{ end }}{{ define "b" }}({{ . }}{{ externalURL }}){{ end }}{{ range $labels }}{{ template "a" . }}{{ end }}"#,
        expect![
            "<db-1.example.com:5432(db-1.example.com:5432https://foghorn.example.com/ops)><cart(carthttps://foghorn.example.com/ops)><critical(criticalhttps://foghorn.example.com/ops)>"
        ],
    );
    check(
        r#"{{ define "x" }}{{ . }}{{ end }}{{ template "x" }}{{ block "y" $value }}y{{ . }}{{ end }}"#,
        expect!["<no value>y1240.5"],
    );
}

#[test]
fn variables_have_scopes() {
    check("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $y := 3 }}{{ $y }}{{ end }}{{ $x }}", expect!["32"]);
    check("{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ $x }}{{ end }}{{ $x }}", expect!["21"]);
    check(
        "{{ range $k, $v := .Labels }}{{ $k }}={{ $v }} {{ end }}{{ range 3 }}{{ . }}{{ end }}",
        expect!["host=db-1.example.com:5432 service=cart severity=critical 012"],
    );
    check(
        "{{ range $i, $x := $evidence }}{{ if $i }}{{ break }}{{ end }}{{ $x.Text }}{{ continue }}never{{ end }}",
        expect!["p99 > 800"],
    );
    check(
        "{{ $l := $labels }}{{ $l.service }}{{ $l.nope }}|{{ with $labels }}{{ .service }}{{ .nope }}{{ end }}|",
        expect!["cart|cart|"],
    );
}

#[test]
fn white_space_and_comments() {
    check("a {{- /* no }} */ -}} b {{- 1 }} c {{ 2 -}} d", expect!["ab1 c 2d"]);
    check("{{ \"}}\" }}{{ `{{` }}{{ '}' }}", expect!["}}{{125"]);
}

#[test]
fn times_and_lengths() {
    check(
        "{{ now }} {{ (toTime now).Year }} {{ (now | toTime).UTC.Format \"15:04\" }} {{ $t := toTime 0 }}{{ $t.Unix }} {{ $t }}",
        expect!["1.435065584128e+09 2015 13:19 0 1970-01-01 00:00:00 +0000 UTC"],
    );
    check(
        "{{ toDuration 3723.5 }} {{ (toDuration 90).Minutes }} {{ toDuration 90 | humanizeDuration }} {{ parseDuration \"1h30m\" }}",
        expect!["1h2m3.5s 1.5 1m 30s 5400"],
    );
}

#[test]
fn data_as_a_whole() {
    check(
        "{{ .Labels }} {{ $values }} {{ .Value }}",
        expect![
            "map[host:db-1.example.com:5432 service:cart severity:critical] map[errors:<nil> p99:1240.5 total:1e+06] 1240.5"
        ],
    );
    check(
        "{{ . }}",
        expect![
            "map[Contributors:[map[Count:157 Name:addresses Value:183.62.140.253] map[Count:3 Name:addresses Value:10.0.0.<7>]] Evidence:[map[Holds:true Left:1240.5 Right:800 Text:p99 > 800] map[Holds:<nil> Left:<nil> Right:0.05 Text:errors / total > 0.05]] ExternalLabels:map[region:eu] ExternalURL:https://foghorn.example.com/ops Labels:map[host:db-1.example.com:5432 service:cart severity:critical] Value:1240.5 Values:map[errors:<nil> p99:1240.5 total:1e+06]]"
        ],
    );
}

#[test]
fn lists_and_texts_are_cut_and_counted() {
    check(
        "{{ len $labels }} {{ len \"äb\" }} {{ slice \"abcdef\" 1 3 }} {{ len $contributors }} {{ (index $contributors 0).Value }} {{ index $values \"total\" }}",
        expect!["3 3 bc 2 183.62.140.253 1e+06"],
    );
}

/// Expected texts by Go 1.26.
#[rstest]
#[case("0.0", "0", "0", "0.000", "0.000000e+00")]
#[case("1.0", "1", "1", "1.000", "1.000000e+00")]
#[case("0.1", "0.1", "0.1", "0.100", "1.000000e-01")]
#[case("100000.0", "100000", "1e+05", "100000.000", "1.000000e+05")]
#[case("999999.0", "999999", "1e+06", "999999.000", "9.999990e+05")]
#[case("1e6", "1e+06", "1e+06", "1000000.000", "1.000000e+06")]
#[case("1234567.0", "1.234567e+06", "1.235e+06", "1234567.000", "1.234567e+06")]
#[case("1e20", "1e+20", "1e+20", "100000000000000000000.000", "1.000000e+20")]
#[case("0.0001", "0.0001", "0.0001", "0.000", "1.000000e-04")]
#[case("0.00001", "1e-05", "1e-05", "0.000", "1.000000e-05")]
#[case("0.00012345", "0.00012345", "0.0001234", "0.000", "1.234500e-04")]
#[case("100000.5", "100000.5", "1e+05", "100000.500", "1.000005e+05")]
#[case("1234567.89", "1.23456789e+06", "1.235e+06", "1234567.890", "1.234568e+06")]
#[case("-2.5", "-2.5", "-2.5", "-2.500", "-2.500000e+00")]
fn floats_print_as_in_go(#[case] x: &str, #[case] v: &str, #[case] g: &str, #[case] f: &str, #[case] e: &str) {
    let got =
        render(TemplateKind::Text, &format!("{{{{ {x} }}}}|{{{{ printf \"%v|%.4g|%.3f|%e\" {x} {x} {x} {x} }}}}"));
    assert_eq!(got.unwrap(), format!("{v}|{v}|{g}|{f}|{e}"));
}

#[rstest]
#[case(r#"printf "%6.2f|%-8.1f|%08.3f|%+v|% v|%5v" 1.0 1.0 1.0 1.0 1.0 1.0"#, "  1.00|1.0     |0001.000|1| 1|    1")]
#[case(
    r#"printf "%d|%s|%+d|%q|%t" 1e6 1e6 1e6 0.1 0.5"#,
    "%!d(float64=1e+06)|%!s(float64=1e+06)|%!d(float64=+1e+06)|%!q(float64=0.1)|%!t(float64=0.5)"
)]
#[case(
    r#"printf "%5.1f|%-6s|%6s|%06d|%x|%X|%t|%c|%U" 1e6 "ab" "cd" 42 255 "hi" true 65 66"#,
    "1000000.0|ab    |    cd|000042|ff|6869|true|A|U+0042"
)]
#[case(r#"printf "%d""#, "%!d(MISSING)")]
#[case(r#"printf "%d" 1 2"#, "1%!(EXTRA int=2)")]
#[case(r#"printf "%z" 1"#, "%!z(int=1)")]
#[case(r#"printf "%%|%*d|%[2]v %[1]v" 5 42"#, "%|   42|42 5")]
#[case(r#"printf "%.*f" 2 3.14159"#, "3.14")]
#[case(r#"printf "%.3s|%5.1s|%-5q|%v|%#v|%T" "hello" "xyz" "q" true "s" 1.5"#, r#"hel|    x|"q"  |true|"s"|float64"#)]
#[case(r#"printf "%s %v" 5 5"#, "%!s(int=5) 5")]
#[case(r#"printf "%f" 5"#, "%!f(int=5)")]
#[case(r#"printf "%e %g %G" 123456.789 1e-7 1e-7"#, "1.234568e+05 1e-07 1E-07")]
#[case(r#"printf "%#x %o %b" 255 8 5"#, "0xff 10 101")]
#[case(r#"printf "%+.2e|%+d|% d|%+q" 12345.678 5 5 "é""#, r#"+1.23e+04|+5| 5|"\u00e9""#)]
#[case(r#"printf "% x|%#x|%.0d|%3.0d|%+v" "abc" "abc" 0 0 5"#, "61 62 63|0x616263||   |5")]
#[case(r#"printf "% 5.2e|%U" -0.0 -3"#, "-0.00e+00|U+FFFFFFFFFFFFFFFD")]
#[case(r#"printf "%v %s" nil nil"#, "<nil> %!s(<nil>)")]
#[case(r#"print 1e6 1 2 "a" "b" 3.5"#, "1e+06 1 2ab3.5")]
#[case(r#"println 1e6 "x" 1"#, "1e+06 x 1\n")]
#[case("html 1e6", "1e+06")]
#[case("urlquery 1e6", "1e%2B06")]
#[case("1e6 | js", "1e+06")]
fn printing_is_gos(#[case] call: &str, #[case] expect: &str) {
    assert_eq!(render(TemplateKind::Text, &format!("{{{{{call}}}}}")).unwrap(), expect, "{call}");
}

#[test]
fn html_is_escaped_for_the_place_it_stands_in() {
    let source = r#"<a href="{{ $externalURL }}?q={{ (index $contributors 1).Value }}" title='{{ $values.total }}'>{{ range $contributors }}{{ .Value }} {{ end }}</a>{{ $values.errors }}{{ "<b>x</b>" | safeHtml }}{{ define "t" }}<i>{{ . }}</i>{{ end }}{{ template "t" "a&b" }}"#;
    let expected = expect![[
        r#"<a href="https://foghorn.example.com/ops?q=10.0.0.%3c7%3e" title='1e&#43;06'>183.62.140.253 10.0.0.&lt;7&gt; </a><b>x</b><i>a&amp;b</i>"#
    ]];
    expected.assert_eq(&render(TemplateKind::Html, source).unwrap());
}

#[test]
fn html_is_escaped_once_where_the_template_does_it_too() {
    let html = |source: &str| render(TemplateKind::Html, source).unwrap();
    assert_eq!(html("{{ range $contributors }}{{ .Value | html }},{{ end }}"), "183.62.140.253,10.0.0.&lt;7&gt;,");
    assert_eq!(
        html(r#"{{ if html false }}yes{{ end }}<a href="/?q={{ urlquery "a b" }}">"#),
        r#"yes<a href="/?q=a+b">"#
    );
}

#[test]
fn what_a_template_reads_is_known_before_it_runs() {
    let value_use = |source: &str| {
        let template = Template::compile(source, TemplateKind::Text).unwrap();
        template.value_use().map(|span| source[span].to_owned())
    };
    assert_eq!(value_use("{{ $labels.service }} {{ .ExternalURL }}"), None);
    assert_eq!(value_use("{{ $labels.service }} {{ if gt $value 5.0 }}a{{ end }}").as_deref(), Some("$value"));
    assert_eq!(value_use("{{ .Values.p99 }}").as_deref(), Some(".Values.p99"));
    assert_eq!(value_use(r#"{{ define "x" }}{{ .Value }}{{ end }}{{ template "x" . }}"#).as_deref(), Some(".Value"));
    assert_eq!(value_use("{{ . }}").as_deref(), Some("."));
    assert_eq!(value_use(r#"{{ define "x" }}{{ .Labels.a }}{{ end }}{{ template "x" . }}"#), None);
    assert_eq!(value_use(r#"{{ define "x" }}{{ . }}{{ end }}{{ template "x" $value }}"#).as_deref(), Some("$value"));
    assert_eq!(value_use("{{ range .Contributors }}{{ .Count }}{{ end }}").as_deref(), Some(".Contributors"));
    let template =
        Template::compile(r#"{{ $labels.a }}{{ .Labels.b }}{{ index $labels "c" }}"#, TemplateKind::Text).unwrap();
    assert_eq!(template.label_names().collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn a_template_can_be_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Template>();
}

#[test]
fn a_broken_annotation_says_so_and_stops_nothing() {
    let template = Template::compile("{{ $labels.x | humanize }}", TemplateKind::Text).unwrap();
    let labels = Labels::from_pairs([("x", "many")]);
    let data = TemplateData {
        labels: &labels,
        external_labels: &Labels::default(),
        external_url: "",
        value: None,
        evidence: &Evidence::default(),
        at: EventTime(0),
    };
    expect![[r#"<error in template: `humanize` needs a number, not "many" (line 1)>"#]]
        .assert_eq(&template.render_or_explain(&data));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever the text, it compiles and renders, or says what is wrong within the text; nothing panics.
    #[test]
    fn any_text_compiles_and_renders_or_says_why(parts in prop::collection::vec(prop::sample::select(vec![
        "{{", "}}", "{{-", "-}}", " ", "if ", "else", "end", "range ", "with ", "define \"a\"", "template \"a\" .", "block \"b\" .",
        "$labels", "$x", ":=", "=", ".Labels", ".service", ".", "$", "|", "(", ")", "\"s\"", "`r`", "'c'", "1", "2.5", "humanize",
        "printf \"%v\"", "index", "nil", "true", "break", "\n", "ä", "/*", "*/", ",", "range $i, $v := $labels", "and", "not", "html",
    ]), 0..16)) {
        let source = parts.concat();
        for kind in [TemplateKind::Text, TemplateKind::Html] {
            match Template::compile(&source, kind) {
                Ok(template) => {
                    let _ = template.render_or_explain(&TemplateData {
                        labels: &Labels::default(),
                        external_labels: &Labels::default(),
                        external_url: "",
                        value: None,
                        evidence: &Evidence::default(),
                        at: EventTime(0),
                    });
                    template.check(Some(&["service"]), &["p99"]);
                }
                Err(errors) => {
                    prop_assert!(!errors.is_empty());
                    for error in errors {
                        prop_assert!(source.get(error.span.clone()).is_some(), "{:?} in {:?}", error, source);
                    }
                }
            }
        }
    }

    /// What people write into labels comes out as it is in text, and never as markup in HTML.
    #[test]
    fn values_come_out_whole(value in "\\PC{0,40}") {
        let labels = Labels::from_pairs([("x", value.as_str())]);
        let data = TemplateData {
            labels: &labels,
            external_labels: &Labels::default(),
            external_url: "",
            value: None,
            evidence: &Evidence::default(),
            at: EventTime(0),
        };
        let plain = Template::compile("{{ $labels.x }}", TemplateKind::Text).unwrap();
        prop_assert_eq!(plain.render(&data).unwrap(), labels.get("x").unwrap_or_default());
        let html = Template::compile("<p>{{ $labels.x }}</p>", TemplateKind::Html).unwrap().render(&data).unwrap();
        let inner = html.strip_prefix("<p>").unwrap().strip_suffix("</p>").unwrap();
        prop_assert!(!inner.contains(['<', '>', '"']), "{}", html);
    }
}
