//! Go's `fmt`, as far as templates show it: floats as `%v` writes them (`1e+06`, `0.1`, `+Inf`), `print`, `printf`.
//!
//! gotmpl writes floats as Rust does and knows `%v` and `%d` of floats only that way, so numbers would look different from
//! what the same template gives in Prometheus. The expected texts of the tests were written by Go.

use gotmpl::Value;

use super::value::{self, Bounded, TooLong};

/// Widths and precisions beyond this are cut down to it. Go goes to a million.
const WIDTH_MAX: usize = 1000;

/// A float as `%v` (and `%g`) writes it.
pub(super) fn float(x: f64) -> String {
    plain_sign(general(x, None, false))
}

/// A float as `%.{digits}g` writes it.
pub(super) fn significant(x: f64, digits: usize) -> String {
    plain_sign(general(x, Some(digits), false))
}

/// Without the `+` that all formats below begin with, except before infinity, where Go keeps it.
fn plain_sign(text: String) -> String {
    match text.strip_prefix('+') {
        Some("NaN") => "NaN".to_owned(),
        Some("Inf") | None => text,
        Some(rest) => rest.to_owned(),
    }
}

/// With a sign always. `digits` significant ones, or as many as are needed to tell `x` from its neighbours.
fn general(x: f64, digits: Option<usize>, upper: bool) -> String {
    if let Some(special) = special(x) {
        return special;
    }
    let digits = digits.map(|digits| digits.max(1));
    let (sign, mantissa, exponent) = scientific(x, digits);
    let mantissa = mantissa.trim_end_matches('0');
    let mantissa = if mantissa.is_empty() { "0" } else { mantissa };
    // Where the shortest digits are asked for, Go takes six as the width at which an exponent is easier to read.
    if exponent < -4 || exponent >= digits.map_or(6, |digits| digits as i32) {
        return format!("{sign}{}", exponential(mantissa, exponent, upper));
    }
    let point = exponent + 1;
    let text = match usize::try_from(point) {
        Ok(0) | Err(_) => format!("0.{}{mantissa}", "0".repeat(point.unsigned_abs() as usize)),
        Ok(point) if point >= mantissa.len() => format!("{mantissa}{}", "0".repeat(point - mantissa.len())),
        Ok(point) => format!("{}.{}", &mantissa[..point], &mantissa[point..]),
    };
    format!("{sign}{text}")
}

fn special(x: f64) -> Option<String> {
    match x {
        x if x.is_nan() => Some("+NaN".to_owned()),
        f64::INFINITY => Some("+Inf".to_owned()),
        f64::NEG_INFINITY => Some("-Inf".to_owned()),
        _ => None,
    }
}

/// Sign, digits without a point, and the exponent of the first digit.
fn scientific(x: f64, digits: Option<usize>) -> (char, String, i32) {
    let sign = if x.is_sign_negative() { '-' } else { '+' };
    let text = match digits {
        Some(digits) => format!("{:.*e}", digits - 1, x.abs()),
        None => format!("{:e}", x.abs()),
    };
    let (mantissa, exponent) = text.split_once('e').expect("the e format has an e");
    (sign, mantissa.replace('.', ""), exponent.parse().expect("the e format has an exponent"))
}

/// `d.ddde±dd`.
fn exponential(mantissa: &str, exponent: i32, upper: bool) -> String {
    let (first, rest) = mantissa.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    let e = if upper { 'E' } else { 'e' };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{first}{point}{rest}{e}{sign}{:02}", exponent.abs())
}

/// Go's `fmt.Sprint`: a space between neighbours of which neither is a string.
pub(super) fn sprint(args: &[Value]) -> Result<String, TooLong> {
    let mut out = Bounded::default();
    let is_text = |value: &Value| matches!(value, Value::String(_) | Value::Safe { .. });
    for (index, arg) in args.iter().enumerate() {
        if index > 0 && !is_text(arg) && !is_text(&args[index - 1]) {
            out.push_str(" ")?;
        }
        value::write(arg, &mut out)?;
    }
    Ok(out.into_string())
}

/// Go's `fmt.Sprintln`.
pub(super) fn sprintln(args: &[Value]) -> Result<String, TooLong> {
    let mut out = Bounded::default();
    for (index, arg) in args.iter().enumerate() {
        if index > 0 {
            out.push_str(" ")?;
        }
        value::write(arg, &mut out)?;
    }
    out.push_str("\n")?;
    Ok(out.into_string())
}

/// Flags, width and precision of one directive.
#[derive(Clone, Copy, Default)]
struct Spec {
    minus: bool,
    plus: bool,
    space: bool,
    sharp: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Where a format and its arguments have got to.
struct Directives<'a> {
    rest: &'a str,
    args: &'a [Value],
    next: usize,
    /// An index such as `[2]` was used, so arguments left over are meant to be.
    reordered: bool,
}

/// Go's `fmt.Sprintf`.
pub(super) fn sprintf(format: &str, args: &[Value]) -> Result<String, TooLong> {
    let mut out = Bounded::default();
    let mut directives = Directives { rest: format, args, next: 0, reordered: false };
    while let Some(at) = directives.rest.find('%') {
        out.push_str(&directives.rest[..at])?;
        directives.rest = &directives.rest[at + 1..];
        directives.directive(&mut out)?;
    }
    out.push_str(directives.rest)?;
    if !directives.reordered && directives.next < args.len() {
        out.push_str("%!(EXTRA ")?;
        for (index, arg) in args[directives.next..].iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            out.push_str(&format!("{comma}{}=", type_name(arg)))?;
            value::write(arg, &mut out)?;
        }
        out.push_str(")")?;
    }
    Ok(out.into_string())
}

impl Directives<'_> {
    fn take(&mut self, c: char) -> bool {
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// What follows a `%`.
    fn directive(&mut self, out: &mut Bounded) -> Result<(), TooLong> {
        let mut spec = Spec::default();
        loop {
            match self.rest.chars().next() {
                Some('-') => spec.minus = true,
                Some('+') => spec.plus = true,
                Some(' ') => spec.space = true,
                Some('#') => spec.sharp = true,
                Some('0') => spec.zero = true,
                _ => break,
            }
            self.rest = &self.rest[1..];
        }
        let mut index_fits = self.index();
        if self.take('*') {
            match self.integer() {
                Some(width) => {
                    spec.minus |= width < 0;
                    spec.width = Some(cut(width.unsigned_abs()));
                }
                None => out.push_str("%!(BADWIDTH)")?,
            }
        } else {
            spec.width = self.digits();
        }
        if self.take('.') {
            index_fits &= self.index();
            if self.take('*') {
                spec.precision = self.integer().and_then(|precision| u64::try_from(precision).ok()).map(cut);
                if spec.precision.is_none() {
                    out.push_str("%!(BADPREC)")?;
                }
            } else {
                spec.precision = Some(self.digits().unwrap_or(0));
            }
        }
        index_fits &= self.index();
        let Some(verb) = self.rest.chars().next() else { return out.push_str("%!(NOVERB)") };
        self.rest = &self.rest[verb.len_utf8()..];
        match (verb, self.args.get(self.next)) {
            ('%', _) => out.push_str("%"),
            _ if !index_fits => out.push_str(&format!("%!{verb}(BADINDEX)")),
            (_, None) => out.push_str(&format!("%!{verb}(MISSING)")),
            (_, Some(arg)) => {
                self.next += 1;
                spec.value(verb, arg, out)
            }
        }
    }

    /// `[n]`, where there is one; whether it names an argument.
    fn index(&mut self) -> bool {
        let Some(inner) = self.rest.strip_prefix('[') else { return true };
        self.reordered = true;
        let Some((digits, rest)) = inner.split_once(']') else {
            self.rest = inner;
            return false;
        };
        self.rest = rest;
        match digits.parse::<usize>() {
            Ok(index) if (1..=self.args.len()).contains(&index) => {
                self.next = index - 1;
                true
            }
            _ => false,
        }
    }

    fn digits(&mut self) -> Option<usize> {
        let length = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(length);
        self.rest = rest;
        (length > 0).then(|| cut(digits.parse().unwrap_or(u64::MAX)))
    }

    fn integer(&mut self) -> Option<i64> {
        let arg = self.args.get(self.next)?;
        self.next += 1;
        match arg {
            Value::Int(n) => Some(*n),
            Value::Uint(n) => i64::try_from(*n).ok(),
            _ => None,
        }
    }
}

fn cut(length: u64) -> usize {
    usize::try_from(length).unwrap_or(WIDTH_MAX).min(WIDTH_MAX)
}

impl Spec {
    fn value(self, verb: char, arg: &Value, out: &mut Bounded) -> Result<(), TooLong> {
        if verb == 'T' {
            return self.pad(type_name(arg), out);
        }
        // Go reads `%+v` as "with field names", not as a sign.
        let spec = Spec { plus: self.plus && verb != 'v', ..self };
        spec.formatted(verb, arg, out)
    }

    fn formatted(self, verb: char, arg: &Value, out: &mut Bounded) -> Result<(), TooLong> {
        if let Some(text) = value::special_text(arg) {
            return self.text(verb, &text, arg, out);
        }
        match arg {
            Value::Float(x) => self.float(verb, *x, arg, out),
            Value::Int(n) => self.int(verb, *n < 0, n.unsigned_abs(), arg, out),
            Value::Uint(n) => self.int(verb, false, *n, arg, out),
            Value::String(text) | Value::Safe { s: text, .. } => self.text(verb, text, arg, out),
            Value::Bool(truth) if matches!(verb, 't' | 'v') => self.pad(&truth.to_string(), out),
            Value::Nil if verb == 'v' => self.pad("<nil>", out),
            Value::List(items) => {
                out.push_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { " " } else { "" })?;
                    self.value(verb, item, out)?;
                }
                out.push_str("]")
            }
            Value::Map(entries) => {
                out.push_str("map[")?;
                for (index, (name, item)) in entries.iter().enumerate() {
                    out.push_str(if index > 0 { " " } else { "" })?;
                    self.text(verb, name, &Value::String(name.clone()), out)?;
                    out.push_str(":")?;
                    self.value(verb, item, out)?;
                }
                out.push_str("]")
            }
            _ => self.bad(verb, arg, out),
        }
    }

    fn float(self, verb: char, x: f64, arg: &Value, out: &mut Bounded) -> Result<(), TooLong> {
        let text = match verb {
            'v' | 'g' | 'G' => general(x, self.precision, verb == 'G'),
            'f' | 'F' => special(x).unwrap_or_else(|| {
                let sign = if x.is_sign_negative() { "" } else { "+" };
                format!("{sign}{x:.*}", self.precision.unwrap_or(6))
            }),
            'e' | 'E' => special(x).unwrap_or_else(|| {
                let (sign, mantissa, exponent) = scientific(x, Some(self.precision.unwrap_or(6) + 1));
                format!("{sign}{}", exponential(&mantissa, exponent, verb == 'E'))
            }),
            _ => return self.bad(verb, arg, out),
        };
        let text = match text.strip_prefix('+') {
            Some(rest) if self.space && !self.plus => format!(" {rest}"),
            _ => text,
        };
        if text.ends_with("Inf") || text.ends_with("NaN") {
            let bare = text.ends_with("NaN") && !self.space && !self.plus;
            return Spec { zero: false, ..self }.pad(if bare { &text[1..] } else { &text }, out);
        }
        if self.plus || !text.starts_with('+') {
            return self.signed(&text, out);
        }
        self.pad(&text[1..], out)
    }

    fn int(self, verb: char, negative: bool, magnitude: u64, arg: &Value, out: &mut Bounded) -> Result<(), TooLong> {
        let (prefix, mut digits) = match verb {
            'd' | 'v' => ("", magnitude.to_string()),
            'b' => ("0b", format!("{magnitude:b}")),
            'o' => ("0", format!("{magnitude:o}")),
            'O' => ("0o", format!("{magnitude:o}")),
            'x' => ("0x", format!("{magnitude:x}")),
            'X' => ("0X", format!("{magnitude:X}")),
            'c' | 'q' | 'U' => {
                let letter = u32::try_from(magnitude).ok().filter(|_| !negative).and_then(char::from_u32);
                let letter = letter.unwrap_or(char::REPLACEMENT_CHARACTER);
                return match verb {
                    'c' => self.pad(letter.encode_utf8(&mut [0; 4]), out),
                    'q' => self.pad(&quoted(&letter.to_string(), '\'', self.plus), out),
                    _ => {
                        let code = if negative { magnitude.wrapping_neg() } else { magnitude };
                        self.pad(&format!("U+{code:04X}"), out)
                    }
                };
            }
            _ => return self.bad(verb, arg, out),
        };
        match self.precision {
            Some(0) if magnitude == 0 => return Spec { zero: false, ..self }.pad("", out),
            Some(precision) => digits = format!("{digits:0>precision$}"),
            None => {}
        }
        let sign = match () {
            () if negative => "-",
            () if self.plus => "+",
            () if self.space => " ",
            () => "",
        };
        let shown = (self.sharp && !matches!(verb, 'd' | 'v')) || verb == 'O';
        let text = format!("{sign}{}{digits}", if shown { prefix } else { "" });
        let spec = Spec { zero: self.zero && self.precision.is_none(), ..self };
        if sign.is_empty() { spec.pad(&text, out) } else { spec.signed(&text, out) }
    }

    fn text(self, verb: char, text: &str, arg: &Value, out: &mut Bounded) -> Result<(), TooLong> {
        let shown: &str = match self.precision {
            Some(precision) => text.char_indices().nth(precision).map_or(text, |(end, _)| &text[..end]),
            None => text,
        };
        match verb {
            'v' if self.sharp => self.pad(&quoted(shown, '"', false), out),
            'v' | 's' => self.pad(shown, out),
            'q' if self.sharp && !shown.contains(['`', '\n']) => self.pad(&format!("`{shown}`"), out),
            'q' => self.pad(&quoted(shown, '"', self.plus), out),
            'x' | 'X' => {
                let bytes = &text.as_bytes()[..self.precision.unwrap_or(text.len()).min(text.len())];
                let prefix = if self.sharp { "0x" } else { "" };
                let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                let hex = match self.space {
                    true => hex.iter().map(|byte| format!("{prefix}{byte}")).collect::<Vec<_>>().join(" "),
                    false if hex.is_empty() => String::new(),
                    false => format!("{prefix}{}", hex.concat()),
                };
                self.pad(&if verb == 'X' { hex.to_uppercase() } else { hex }, out)
            }
            _ => self.bad(verb, arg, out),
        }
    }

    /// `%!d(float64=0.5)`.
    fn bad(self, verb: char, arg: &Value, out: &mut Bounded) -> Result<(), TooLong> {
        if matches!(arg, Value::Nil) {
            return out.push_str(&format!("%!{verb}(<nil>)"));
        }
        out.push_str(&format!("%!{verb}({}=", type_name(arg)))?;
        self.formatted('v', arg, out)?;
        out.push_str(")")
    }

    /// Pads with zeros after the sign.
    fn signed(self, text: &str, out: &mut Bounded) -> Result<(), TooLong> {
        let (sign, digits) = text.split_at(1);
        match self.width {
            Some(width) if self.zero && !self.minus && width > text.len() => {
                out.push_str(&format!("{sign}{digits:0>width$}", width = width - 1))
            }
            _ => Spec { zero: false, ..self }.pad(text, out),
        }
    }

    fn pad(self, text: &str, out: &mut Bounded) -> Result<(), TooLong> {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        match () {
            () if self.minus => out.push_str(text).and_then(|()| out.push_str(&" ".repeat(missing))),
            () if self.zero => out.push_str(&"0".repeat(missing)).and_then(|()| out.push_str(text)),
            () => out.push_str(&" ".repeat(missing)).and_then(|()| out.push_str(text)),
        }
    }
}

/// The name of a value's type as Go says it.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Nil => "<nil>",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Uint(_) => "uint64",
        Value::Float(_) => "float64",
        Value::String(_) => "string",
        Value::List(_) => "[]interface {}",
        Value::Map(entries) => value::special_type(value).unwrap_or_else(|| {
            let texts = !entries.is_empty() && entries.values().all(|entry| matches!(entry, Value::String(_)));
            if texts { "map[string]string" } else { "map[string]interface {}" }
        }),
        Value::Function(_) => "func()",
        Value::Safe { .. } => "template.HTML",
    }
}

/// Go's `strconv.Quote` (or its sibling for single letters).
fn quoted(text: &str, quote: char, ascii: bool) -> String {
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if c < ' ' || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() || (ascii && !c.is_ascii()) => match u32::from(c) {
                code @ 0..=0xffff => out.push_str(&format!("\\u{code:04x}")),
                code => out.push_str(&format!("\\U{code:08x}")),
            },
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}
