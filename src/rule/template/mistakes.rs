//! Templates that are wrong, and templates that mean harm: carets with reasons, and bounds that hold.

use std::fmt::Write;

use expect_test::{Expect, expect};

use super::*;

/// The errors of compiling; failing those, of checking against the labels `service` and `host` and the lets `p99` and
/// `total`.
fn check(source: &str, expect: Expect) {
    let errors = match Template::compile(source, TemplateKind::Text) {
        Ok(template) => template.check(Some(&["service", "host"]), &["p99", "total"]),
        Err(errors) => errors,
    };
    let mut out = format!("{source}\n");
    for error in &errors {
        let start = source[..error.span.start].rfind('\n').map_or(0, |at| at + 1);
        let indent = " ".repeat(error.span.start - start);
        writeln!(out, "{indent}{} {error}", "^".repeat(error.span.len().clamp(1, 60))).unwrap();
        if let Some(hint) = &error.hint {
            writeln!(out, "  hint: {hint}").unwrap();
        }
    }
    if errors.is_empty() {
        out.push_str("fine\n");
    }
    expect.assert_eq(&out);
}

#[test]
fn names_that_are_not_there() {
    check(
        "{{ $labels.servise }} {{ $labels.region }} {{ .Values.p98 }} {{ $values.service }} {{ $labels.total }}",
        expect![[r#"
        {{ $labels.servise }} {{ $labels.region }} {{ .Values.p98 }} {{ $values.service }} {{ $labels.total }}
                  ^^^^^^^^ unknown label `servise` (line 1)
          hint: did you mean `service`?
                                        ^^^^^^^ unknown label `region` (line 1)
          hint: the labels are: `service`, `host`
                                                             ^^^^ unknown value `p98` (line 1)
          hint: did you mean `p99`?
                                                                               ^^^^^^^^ unknown value `service` (line 1)
          hint: did you mean `$labels.service`?
                                                                                                     ^^^^^^ unknown label `total` (line 1)
          hint: did you mean `$values.total`?
    "#]],
    );
    check(
        "{{ index $labels \"sevice\" }} {{ index .Values \"x\" }}",
        expect![[r#"
        {{ index $labels "sevice" }} {{ index .Values "x" }}
                         ^^^^^^^^ unknown label `sevice` (line 1)
          hint: did you mean `service`?
                                                      ^^^ unknown value `x` (line 1)
          hint: the names of `let` are: `p99`, `total`
    "#]],
    );
    check(
        "{{ $label.service }} {{ $v }} {{ .Label }} {{ .Foo.bar }} {{ humanise $value }} {{ labels }}",
        expect![[r#"
        {{ $label.service }} {{ $v }} {{ .Label }} {{ .Foo.bar }} {{ humanise $value }} {{ labels }}
           ^^^^^^^^^^^^^^ unknown variable `$label` (line 1)
          hint: did you mean `$labels`?
                                ^^ unknown variable `$v` (line 1)
          hint: the variables are: `$labels`, `$externalLabels`, `$externalURL`, `$value`, `$values`, `$evidence`, `$contributors`
                                         ^^^^^^ unknown field `.Label` (line 1)
          hint: did you mean `.Labels`?
                                                      ^^^^^^^^ unknown field `.Foo` (line 1)
          hint: there are `.Labels`, `.ExternalLabels`, `.ExternalURL`, `.Value`, `.Values`, `.Evidence`, `.Contributors`
                                                                     ^^^^^^^^ unknown function `humanise` (line 1)
          hint: did you mean `humanize`?
                                                                                           ^^^^^^ unknown function `labels` (line 1)
          hint: did you mean `$labels`?
    "#]],
    );
    check(
        "{{ query \"up\" | first | value }}",
        expect![[r#"
        {{ query "up" | first | value }}
           ^^^^^ `query` works on the results of queries, which there are none of here (line 1)
          hint: templates cannot query; name what is needed in `let` and write `$values.name`
                        ^^^^^ `first` works on the results of queries, which there are none of here (line 1)
          hint: templates cannot query; name what is needed in `let` and write `$values.name`
                                ^^^^^ `value` works on the results of queries, which there are none of here (line 1)
          hint: templates cannot query; name what is needed in `let` and write `$values.name`
    "#]],
    );
    check(
        "{{ tmpl \"x\" . }} {{ call . }}",
        expect![[r#"
        {{ tmpl "x" . }} {{ call . }}
           ^^^^ unknown function `tmpl` (line 1)
          hint: write `{{template "name" .}}`
                            ^^^^ unknown function `call` (line 1)
    "#]],
    );
    check(
        "{{ template \"footr\" . }}{{ define \"footer\" }}x{{ end }}",
        expect![[r#"
        {{ template "footr" . }}{{ define "footer" }}x{{ end }}
           ^^^^^^^^ unknown template `footr` (line 1)
          hint: did you mean `footer`?
    "#]],
    );
    check(
        "{{ define \"x\" }}{{ nope }}{{ end }}{{ define \"x\" }}{{ end }}",
        expect![[r#"
        {{ define "x" }}{{ nope }}{{ end }}{{ define "x" }}{{ end }}
                                              ^^^^^^ a second template `x` (line 1)
    "#]],
    );
    check(
        "{{ define \"x\" }}{{ $labels.service }}{{ end }}{{ template \"x\" . }}",
        expect![[r#"
        {{ define "x" }}{{ $labels.service }}{{ end }}{{ template "x" . }}
                           ^^^^^^^^^^^^^^^ `$labels` is not visible within `{{define}}` (line 1)
          hint: hand it in: `{{template "x" $labels}}`, and read it as `.`
    "#]],
    );
    check(
        "{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}{{ $y = 1 }}",
        expect![[r#"
        {{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}{{ $y = 1 }}
                                              ^^ unknown variable `$x` (line 1)
          hint: the variables are: `$labels`, `$externalLabels`, `$externalURL`, `$value`, `$values`, `$evidence`, `$contributors`
                                                      ^^ unknown variable `$y` (line 1)
          hint: the variables are: `$labels`, `$externalLabels`, `$externalURL`, `$value`, `$values`, `$evidence`, `$contributors`
    "#]],
    );
}

#[test]
fn blocks_that_do_not_close() {
    check(
        "{{ if $labels.service }}yes",
        expect![[r#"
        {{ if $labels.service }}yes
        ^^^^^^^^^^^^^^^^^^^^^^^^ this `{{if}}` has no `{{end}}` (line 1)
          hint: close it with `{{end}}`
    "#]],
    );
    check(
        "a{{ end }}b",
        expect![[r#"
        a{{ end }}b
         ^^^^^^^^^ this `{{end}}` belongs to no block (line 1)
    "#]],
    );
    check(
        "a{{ else }}b",
        expect![[r#"
        a{{ else }}b
         ^^^^^^^^^^ this `{{else}}` belongs to no block (line 1)
    "#]],
    );
    check(
        "{{ if true }}a{{ else }}b{{ else }}c{{ end }}",
        expect![[r#"
        {{ if true }}a{{ else }}b{{ else }}c{{ end }}
                                 ^^^^^^^^^^ a second `{{else}}` of the same block (line 1)
    "#]],
    );
    check(
        "{{ range $labels }}{{ define \"x\" }}{{ end }}{{ end }}",
        expect![[r#"
        {{ range $labels }}{{ define "x" }}{{ end }}{{ end }}
                           ^^^^^^^^^^^^^^^^ a `{{define}}` must not stand within another block (line 1)
          hint: move it to the beginning
    "#]],
    );
    check(
        "{{ break }}",
        expect![[r#"
        {{ break }}
        ^^^^^^^^^^^ `{{break}}` stands outside of a `{{range}}` (line 1)
    "#]],
    );
    check(
        "one\ntwo {{ if true }}\nthree",
        expect![[r#"
        one
        two {{ if true }}
        three
            ^^^^^^^^^^^^^ this `{{if}}` has no `{{end}}` (line 2)
          hint: close it with `{{end}}`
    "#]],
    );
}

#[test]
fn actions_that_do_not_parse() {
    check(
        "{{ $labels.service",
        expect![[r#"
            {{ $labels.service
            ^^ this action is not closed (line 1)
        "#]],
    );
    check(
        "{{ \"open }}",
        expect![[r#"
            {{ "open }}
               ^^ this string is not closed (line 1)
        "#]],
    );
    check(
        "{{ (1 }}",
        expect![[r#"
            {{ (1 }}
                  ^ a `)` is missing here (line 1)
        "#]],
    );
    check(
        "{{ printf \"%d\n\" 1 }} {{/* never",
        expect![[r#"
        {{ printf "%d
        " 1 }} {{/* never
                  ^^ this string is not closed (line 1)
    "#]],
    );
    check(
        "{{ 'ab' }}",
        expect![[r#"
        {{ 'ab' }}
              ^^^^ unterminated character literal (line 1)
    "#]],
    );
    check(
        "{{ 1 }} {{ @ }}",
        expect![[r#"
        {{ 1 }} {{ @ }}
                   ^ unexpected character: '@' (line 1)
    "#]],
    );
    check(
        "{{ \"a\nb\" }} {{ 1 }}",
        expect![[r#"
            {{ "a
            b" }} {{ 1 }}
               ^^ this string is not closed (line 1)
        "#]],
    );
    check(
        "{{ }}",
        expect![[r#"
            {{ }}
               ^ a value is missing here (line 1)
        "#]],
    );
    check(
        "line one\n{{ ) }}",
        expect![[r#"
            line one
            {{ ) }}
               ^ a value is missing here (line 2)
        "#]],
    );
    check(
        "{{ 1 | }}",
        expect![[r#"
            {{ 1 | }}
                   ^ a value is missing here (line 1)
        "#]],
    );
    check(
        "{{ nil }} {{ 1 2 }} {{ \"a\" | \"b\" }}",
        expect![[r#"
        {{ nil }} {{ 1 2 }} {{ "a" | "b" }}
           ^^^ `nil` cannot stand alone (line 1)
                     ^ `1` is no function, so it cannot be given arguments (line 1)
                                     ^^^ `"b"` is no function, so it cannot be given arguments (line 1)
    "#]],
    );
}

#[test]
fn arguments_that_do_not_fit() {
    check(
        "{{ humanize }} {{ 1 | humanize 2 }} {{ externalURL 1 }} {{ match \"a\" }} {{ slice }}",
        expect![[r#"
        {{ humanize }} {{ 1 | humanize 2 }} {{ externalURL 1 }} {{ match "a" }} {{ slice }}
           ^^^^^^^^ `humanize` takes 1 argument, not 0 (line 1)
          hint: a value piped in counts as the last argument
                              ^^^^^^^^ `humanize` takes 1 argument, not 2 (line 1)
          hint: a value piped in counts as the last argument
                                               ^^^^^^^^^^^ `externalURL` takes 0 arguments, not 1 (line 1)
          hint: a value piped in counts as the last argument
                                                                   ^^^^^ `match` takes 2 arguments, not 1 (line 1)
          hint: a value piped in counts as the last argument
                                                                                   ^^^^^ `slice` takes 1 to 3 arguments, not 0 (line 1)
          hint: a value piped in counts as the last argument
    "#]],
    );
    check(
        "{{ match \"a(\" $labels.service }}",
        expect![[r#"
        {{ match "a(" $labels.service }}
                 ^^^^ `a(` is no regular expression: unclosed group (line 1)
    "#]],
    );
}

#[test]
fn types_that_do_not_fit_are_found_by_a_trial() {
    check(
        "{{ if gt $labels.service 5 }}x{{ end }}",
        expect![[r#"
        {{ if gt $labels.service 5 }}x{{ end }}
              ^^ string and int cannot be compared (line 1)
          hint: labels are texts; compare with a text in quotes
    "#]],
    );
    check(
        "{{ $labels.service.name }}",
        expect![[r#"
        {{ $labels.service.name }}
           ^^^^^^^^^^^^^^^^^^^^ there is no `.name` in a value of type string (line 1)
    "#]],
    );
    check(
        "{{ range $value }}x{{ end }}",
        expect![[r#"
        {{ range $value }}x{{ end }}
                 ^^^^^^ a value of type float64 cannot be ranged over (line 1)
    "#]],
    );
    check(
        "{{ toUpper $value }}",
        expect![[r#"
        {{ toUpper $value }}
           ^^^^^^^ `toUpper` needs a text, not a value of type float64 (line 1)
          hint: make it a text with `print`
    "#]],
    );
    check(
        "{{ len $value }}",
        expect![[r#"
        {{ len $value }}
           ^^^ a value of type float64 has no length (line 1)
    "#]],
    );
    check(
        "{{ (toTime 0).Foo }} {{ $labels.service.Format \"x\" }}",
        expect![[r#"
        {{ (toTime 0).Foo }} {{ $labels.service.Format "x" }}
           ^ a time has no method `.Foo` with 0 arguments (line 1)
    "#]],
    );
}

#[test]
fn what_depends_on_the_data_is_no_mistake() {
    check(
        "{{ parseDuration $labels.service }}",
        expect![[r#"
        {{ parseDuration $labels.service }}
        fine
    "#]],
    );
    check(
        "{{ (index $contributors 5).Value }}",
        expect![[r#"
        {{ (index $contributors 5).Value }}
        fine
    "#]],
    );
    check(
        "{{ match $labels.service \"x\" }} {{ $labels.host | humanize }}",
        expect![[r#"
        {{ match $labels.service "x" }} {{ $labels.host | humanize }}
        fine
    "#]],
    );
}

#[test]
fn html_that_cannot_be_escaped_is_found_when_compiled() {
    let error = |source: &str| {
        let error = Template::compile(source, TemplateKind::Html).unwrap_err().remove(0);
        format!("{error}: {}", &source[error.span.clone()])
    };
    expect!["{{if}} branches end in different contexts: {stateTag delimNone urlPartNone jsCtxRegexp [] attrNone elementNone <nil>}, {stateURL delimSingleQuote urlPartNone jsCtxRegexp [] attrURL elementNone <nil>} (line 1): <"].assert_eq(&error("<a href='{{ if $value }}x'{{ end }}>"));
    expect!["ends in a non-text context: {stateJS delimNone urlPartNone jsCtxDivOp [] attrNone elementScript <nil>} (line 1): <"].assert_eq(&error("<script>{{ $value }}"));
}

/// Renders with the largest data there can be; the bound that was met. As HTML too, which must come to an end as well.
fn bound(source: &str) -> String {
    bound_of(source, TemplateKind::Html);
    bound_of(source, TemplateKind::Text)
}

fn bound_of(source: &str, kind: TemplateKind) -> String {
    let errors = match Template::compile(source, kind) {
        Err(errors) => errors,
        Ok(template) => {
            let labels = Labels::from_pairs((0..64).map(|n| (format!("l{n:02}"), "x".repeat(1024))));
            let rendered = template.render(&TemplateData {
                labels: &labels,
                external_labels: &labels,
                external_url: "http://x",
                value: Some(1.0),
                evidence: &Evidence::default(),
                at: EventTime(0),
            });
            match rendered {
                Ok(text) => return format!("{} bytes", text.len()),
                Err(error) => vec![error],
            }
        }
    };
    format!("{:?}: {}", errors[0].kind, errors[0])
}

#[test]
fn harm_meets_a_bound() {
    // Texts that double.
    expect!["Budget: the text grows longer than 65536 bytes (line 1)"]
        .assert_eq(&bound("{{ $x := \"ab\" }}{{ range 100 }}{{ $x = print $x $x }}{{ end }}"));
    expect!["Budget: the text grows longer than 65536 bytes (line 1)"]
        .assert_eq(&bound("{{ $x := \"ab\" }}{{ range 100 }}{{ $x = printf \"%s%s\" $x $x }}{{ end }}"));
    expect!["Budget: the text grows longer than 65536 bytes (line 1)"].assert_eq(&bound(
        "{{ $x := $labels.l00 }}{{ range 9 }}{{ $x = reReplaceAll \".\" \"$0$0$0$0\" $x }}{{ end }}",
    ));
    // Output without end.
    expect!["Budget: the text grows longer than 65536 bytes (line 1)"]
        .assert_eq(&bound("{{ range 1000 }}{{ $labels }}{{ end }}"));
    expect!["Budget: `{{range}}` makes more than 2000 passes (line 1)"]
        .assert_eq(&bound("{{ range 1500 }}{{ range 1500 }}x{{ end }}{{ end }}"));
    // Loops without end and without output.
    expect!["Budget: `{{range}}` makes more than 2000 passes (line 1)"]
        .assert_eq(&bound("{{ range 1000000000000 }}{{ end }}"));
    expect!["Budget: rendering takes too many steps (line 1)"].assert_eq(&bound("{{ range 40 }}{{ range 40 }}{{ $x := toUpper $labels.l00 }}{{ $y := match \"(x+x+)+y\" $labels.l01 }}{{ end }}{{ end }}"));
    // Templates that call themselves, or each other twice.
    expect!["Syntax: the template `a` calls itself (line 1)"].assert_eq(&bound("{{ define \"a\" }}{{ template \"b\" }}{{ end }}{{ define \"b\" }}{{ template \"a\" }}{{ end }}{{ template \"a\" }}"));
    let doubling: String = (0..40)
        .map(|n| {
            format!(
                "{{{{ define \"t{n}\" }}}}{{{{ template \"t{m}\" }}}}{{{{ template \"t{m}\" }}}}{{{{ end }}}}",
                m = n + 1
            )
        })
        .collect();
    expect!["Syntax: templates call templates deeper than 16 levels (line 1)"]
        .assert_eq(&bound(&format!("{doubling}{{{{ define \"t40\" }}}}x{{{{ end }}}}{{{{ template \"t0\" }}}}")));
    expect!["Syntax: the template has more than 4096 parts (line 1)"]
        .assert_eq(&bound(&format!("{doubling}{{{{ define \"t40\" }}}}x{{{{ end }}}}{{{{ template \"t27\" }}}}")));
    // Widths.
    expect!["4 bytes"].assert_eq(&bound("{{ len (printf \"%1000000000d %.999999999f\" 1 1.0) }}"));
    // Nested data.
    expect!["Types: `args` cannot hold what `args` made (line 1)"]
        .assert_eq(&bound("{{ $a := args 1 }}{{ range 1000 }}{{ $a = args $a $a }}{{ end }}"));
    // Regular expressions that take long to compile, or come from data.
    expect![[r#"Syntax: `(\pL{100}){100}` is no regular expression: Compiled regex exceeds size limit of 262144 bytes. (line 1)"#]].assert_eq(&bound("{{ match \"(\\\\pL{100}){100}\" \"x\" }}"));
    expect!["Budget: a regular expression from data may have 256 bytes (line 1)"]
        .assert_eq(&bound("{{ match $labels.l00 \"x\" }}"));
    expect!["Budget: rendering takes too many steps (line 1)"]
        .assert_eq(&bound("{{ range 1000 }}{{ match (print \"a\" .) \"x\" }}{{ end }}"));
    // Texts beyond the bound.
    expect!["Syntax: the template has 21000 bytes; at most 16384 are allowed (line 1)"]
        .assert_eq(&bound(&"{{ 1 }}".repeat(3000)));
}

/// On a thread with a small stack, as tests have: the deepest of everything that is let through.
#[test]
fn depth_meets_a_bound_before_the_stack_does() {
    let nest = |open: &str, inner: &str, close: &str, times: usize| {
        format!("{}{inner}{}", open.repeat(times), close.repeat(times))
    };
    expect!["Syntax: the template has 44001 bytes; at most 16384 are allowed (line 1)"].assert_eq(&bound(&nest(
        "{{ if true }}",
        "x",
        "{{ end }}",
        2000,
    )));
    expect!["1 bytes"].assert_eq(&bound(&nest("{{ if true }}", "x", "{{ end }}", 50)));
    expect!["Syntax: `{{range}}` is nested deeper than 6 levels (line 1)"].assert_eq(&bound(&nest(
        "{{ range $labels }}",
        "x",
        "{{ end }}",
        50,
    )));
    expect!["Syntax: the template has 24024 bytes; at most 16384 are allowed (line 1)"]
        .assert_eq(&bound(&format!("{{{{ if false }}}}{}y{{{{ end }}}}", "{{ else if false }}x".repeat(1200))));
    expect!["0 bytes"]
        .assert_eq(&bound(&format!("{{{{ if false }}}}{}y{{{{ end }}}}", "{{ else if false }}x".repeat(49))));
    expect!["Syntax: template nesting depth exceeded 100 (line 1)"]
        .assert_eq(&bound(&format!("{{{{ {} }}}}", nest("(", "1", ")", 5000))));
    expect!["1 bytes"].assert_eq(&bound(&format!("{{{{ {} }}}}", nest("(print ", "1", ")", 90))));
    expect!["Types: there is no `.a` in a value of type string (line 1)"]
        .assert_eq(&bound(&format!("{{{{ $labels{} }}}}", ".a".repeat(5000))));
    expect!["1 bytes"].assert_eq(&bound(&format!("{{{{ 1{} }}}}", " | print".repeat(1500))));
    expect!["Syntax: `{{range}}` is nested deeper than 6 levels (line 1)"].assert_eq(&bound(&nest(
        "{{ range $labels }}",
        "x",
        "{{ end }}",
        7,
    )));
    expect!["Budget: the text grows longer than 65536 bytes (line 1)"].assert_eq(&bound(&nest(
        "{{ range $labels }}{{ range $labels }}",
        "{{ . }}",
        "{{ end }}{{ end }}",
        3,
    )));
    let inner = nest("(print ", "1", ")", 40);
    expect!["1 bytes"].assert_eq(&bound(&nest("{{ with 1 }}", &format!("{{{{ {inner} }}}}"), "{{ end }}", 50)));
}
