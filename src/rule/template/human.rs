//! Prometheus' functions for people: numbers with prefixes, lengths of time, host names, letter case, links.
//! The outputs are Prometheus' to the letter; its own test cases are in `prometheus.rs`.

use super::gofmt::significant;
use super::time::instant_text;

/// `1.235M`, `120m`.
pub(super) fn humanize(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return significant(x, 4);
    }
    if x.abs() >= 1.0 {
        return larger(x, 1000.0, ["", "k", "M", "G", "T", "P", "E", "Z", "Y"]);
    }
    let (x, prefix) = smaller(x);
    format!("{}{prefix}", significant(x, 4))
}

/// `1.177Mi`.
pub(super) fn humanize1024(x: f64) -> String {
    if x.abs() <= 1.0 || !x.is_finite() {
        return significant(x, 4);
    }
    larger(x, 1024.0, ["", "ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"])
}

fn larger(mut x: f64, base: f64, prefixes: [&str; 9]) -> String {
    let mut index = 0;
    while x.abs() >= base && index < prefixes.len() - 1 {
        x /= base;
        index += 1;
    }
    format!("{}{}", significant(x, 4), prefixes[index])
}

fn smaller(mut x: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if x.abs() >= 1.0 {
            break;
        }
        prefix = next;
        x *= 1000.0;
    }
    (x, prefix)
}

/// Of seconds: `1d 1h 0m 0s`, `12.35s`, `123.5ms`.
pub(super) fn humanize_duration(x: f64) -> String {
    if !x.is_finite() {
        return significant(x, 4);
    }
    if x == 0.0 {
        return format!("{}s", significant(x, 4));
    }
    if x.abs() < 1.0 {
        let (x, prefix) = smaller(x);
        return format!("{}{prefix}s", significant(x, 4));
    }
    let sign = if x < 0.0 { "-" } else { "" };
    let whole = x.abs() as i64;
    let (days, hours, minutes, seconds) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60, whole % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", significant(x.abs(), 4)),
        (0, 0, _) => format!("{sign}{minutes}m {seconds}s"),
        (0, _, _) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }
}

/// `12.35%` of 0.12345.
pub(super) fn humanize_percentage(x: f64) -> String {
    format!("{}%", significant(x * 100.0, 4))
}

/// Of seconds since the epoch: `2015-06-23 13:19:44.128 +0000 UTC`. `None` where they are too many.
pub(super) fn humanize_timestamp(x: f64) -> Option<String> {
    if !x.is_finite() {
        return Some(significant(x, 4));
    }
    seconds_to_nanos(x).map(instant_text)
}

/// Seconds since the epoch as nanoseconds in steps of a millisecond; `None` outside of the years 1677 to 2262.
pub(super) fn seconds_to_nanos(x: f64) -> Option<i64> {
    let nanos = x * 1e9;
    // The largest i64 is no float; the float above it is out of range already.
    (nanos >= i64::MIN as f64 && nanos < i64::MAX as f64).then_some(nanos as i64 / 1_000_000 * 1_000_000)
}

/// `foo.example.com:80` → `foo.example.com`; what is no host with a port stays.
pub(super) fn strip_port(text: &str) -> &str {
    split_host_port(text).map_or(text, |(host, _)| host)
}

/// `foo.example.com:80` → `foo:80`; addresses stay.
pub(super) fn strip_domain(text: &str) -> String {
    let (host, port) = split_host_port(text).unwrap_or((text, ""));
    if host.parse::<std::net::IpAddr>().is_ok() {
        return text.to_owned();
    }
    let host = host.split('.').next().unwrap_or_default();
    match port {
        "" => host.to_owned(),
        port if host.contains([':', '%']) => format!("[{host}]:{port}"),
        port => format!("{host}:{port}"),
    }
}

/// Go's `net.SplitHostPort`.
fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let (before, port) = text.rsplit_once(':')?;
    let host = match before.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None if before.contains(':') => return None,
        None => before,
    };
    let bare = |part: &str| !part.contains(['[', ']']);
    (bare(host) && bare(port)).then_some((host, port))
}

/// The first letter of each word in upper case; the others stay.
pub(super) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut within = false;
    for c in text.chars() {
        if within {
            out.push(c);
        } else {
            out.extend(c.to_uppercase());
        }
        within = c.is_alphanumeric() || matches!(c, '_' | '\'' | '’');
    }
    out
}

/// Prometheus' link to a graph (`tab` 0) or a table (`tab` 1) of an expression.
pub(super) fn expression_link(expression: &str, tab: u8) -> String {
    format!("/graph?g0.expr={}&g0.tab={tab}", gotmpl::url_encode(expression))
}

/// The path of a URL, without a trailing slash only where it has none.
pub(super) fn url_path(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    path.split(['?', '#']).next().unwrap_or_default()
}
