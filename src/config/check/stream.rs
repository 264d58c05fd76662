//! Streams: from what is written to a [`StreamSchema`] and the topics it is read from.

use std::sync::Arc;

use super::Checker;
use crate::config::checked::StreamConfig;
use crate::config::defaults;
use crate::config::raw::{RawBudgets, RawField, RawFieldType, RawFormat, RawStream, RawTime, RawTimeFormat};
use crate::edge::kafka::topics;
use crate::model::schema::{
    Budgets, FieldSpec, FieldType, Format, HistogramSpec, LinePattern, OtlpSignal, StreamSchema, TimeFormat,
    TimeSource, TimeSpec,
};
use crate::model::time::Millis;
use crate::rule::diagnostic::{Code, suggest};
use crate::rule::yaml::read::{At, Entries, Given, OneOrMany, ShortOrFull};

/// Fields one stream may declare.
pub const FIELDS_MAX: usize = 1_000;

/// `highest / unit` of a field: what a histogram can index without losing whole numbers.
pub const HISTOGRAM_RANGE_MAX: f64 = 9e15;

/// Where a stream is declared decides what it must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// In a configuration that names a cluster: topics are wanted.
    Cluster,
    /// In a rule file, or without a cluster.
    Pack,
}

impl Checker<'_> {
    /// All streams of one map, in its order, without those that cannot be used.
    pub fn streams(&mut self, raw: &Entries<RawStream>, home: Home) -> Vec<(At<String>, StreamConfig)> {
        let mut out: Vec<(At<String>, StreamConfig)> = Vec::new();
        for (name, stream) in &raw.list {
            if let Some(stream) = self.stream(name, stream, home) {
                out.push((name.clone(), stream));
            }
        }
        out
    }

    fn stream(&mut self, name: &At<String>, raw: &RawStream, home: Home) -> Option<StreamConfig> {
        let before = self.log.errors();
        let wordlike = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.value.is_empty() || !name.value.chars().all(wordlike) {
            self.log
                .error(Code::BadName, name.place, format!("`{}` cannot be a stream's name", name.value))
                .hint("letters, digits, `_`, `-` and `.` can be in it");
        }
        let topics = self.topics(name, raw, home);
        let format = self.format(name, raw);
        let fields = self.fields(name, raw);
        let time = match &format {
            Some(format) => self.time(name, raw, format),
            None => None,
        };
        let exemplar = raw.exemplar.get().and_then(|at| self.exemplar(at, &fields));
        let lateness = self.length(&raw.lateness, "lateness", defaults::LATENESS, Millis::ZERO, defaults::LATENESS_MAX);
        let idle_timeout =
            self.length(&raw.idle_timeout, "idle_timeout", defaults::IDLE_TIMEOUT, Millis(1), defaults::LATENESS_MAX);
        let stalled = defaults::STALL_TIMEOUT_MIN.max(idle_timeout + idle_timeout);
        let stall_timeout =
            self.length(&raw.stall_timeout, "stall_timeout", stalled, idle_timeout, defaults::LATENESS_MAX);
        let future_max =
            self.length(&raw.future_max, "future_max", defaults::FUTURE_MAX, Millis::ZERO, Millis(i64::MAX / 4));
        let budgets = raw.budgets.get().map_or(Budgets::default(), |budgets| self.budgets(budgets));
        let dead_letter = raw.dead_letter.get().and_then(|at| self.topic_name(at));
        if self.log.errors() > before {
            return None;
        }
        let schema = StreamSchema {
            name: name.value.as_str().into(),
            format: format?,
            time: time?,
            fields,
            exemplar,
            lateness,
            idle_timeout,
            stall_timeout,
            future_max,
            budgets,
        };
        Some(StreamConfig { schema: Arc::new(schema), topics: topics?, dead_letter })
    }

    /// Names, and regular expressions that begin with `^`.
    fn topics(&mut self, name: &At<String>, raw: &RawStream, home: Home) -> Option<Vec<String>> {
        let none = |this: &mut Self| {
            this.log
                .error(Code::BadStream, name.place, format!("stream `{}` has no topics", name.value))
                .hint("add `topics: [NAME]`, or `topics: { pattern: ^prefix- }`");
            None
        };
        let listed: &[At<String>] = match &raw.topics {
            Given::Unusable => return None,
            Given::No if home == Home::Pack => return Some(Vec::new()),
            Given::No => return none(self),
            Given::Yes(ShortOrFull::Short(names)) if names.0.is_empty() => return none(self),
            Given::Yes(ShortOrFull::Short(names)) => &names.0,
            Given::Yes(ShortOrFull::Full(full)) => match full.pattern.get() {
                Some(at) if !at.value.starts_with('^') => {
                    let text = &at.value;
                    self.log
                        .error(Code::BadStream, at.place, format!("the topic pattern `{text}` does not begin with `^`"))
                        .hint(format!(
                            "write `^{text}` for topics that begin so, `^.*{text}` for those that contain it"
                        ));
                    return None;
                }
                Some(at) => std::slice::from_ref(at),
                None => {
                    if full.pattern.is_missing() {
                        self.missing(full.place, "pattern", "pattern: ^prefix-");
                    }
                    return None;
                }
            },
        };
        let found: Vec<String> = listed.iter().filter_map(|at| self.topic(at)).collect();
        (found.len() == listed.len()).then_some(found)
    }

    fn topic(&mut self, at: &At<String>) -> Option<String> {
        match topics::check(&at.value) {
            Ok(()) => Some(at.value.clone()),
            Err(reason) => {
                self.log.error(Code::BadStream, at.place, format!("`{}` cannot be a topic: {reason}", at.value));
                None
            }
        }
    }

    /// A topic that is written to, so no pattern.
    pub(super) fn topic_name(&mut self, at: &At<String>) -> Option<Arc<str>> {
        if at.value.starts_with('^') {
            self.log.error(Code::BadStream, at.place, "a pattern is no topic to write to").hint("name one topic");
            return None;
        }
        self.topic(at).map(Arc::from)
    }

    fn format(&mut self, name: &At<String>, raw: &RawStream) -> Option<Format> {
        let Some(format) = raw.format.get() else {
            if raw.format.is_missing() {
                self.log
                    .error(Code::MissingKey, name.place, format!("stream `{}` has no `format`", name.value))
                    .hint("say what its records are: json, otlp_spans, otlp_logs, otlp_metrics or lines");
            }
            return None;
        };
        if let (Some(pattern), false) = (raw.pattern.get(), format.value == RawFormat::Lines) {
            self.log
                .error(Code::BadStream, pattern.place, "only `format: lines` has a `pattern`")
                .related(format.place, "the format is this");
            return None;
        }
        match format.value {
            RawFormat::Json => Some(Format::Json),
            RawFormat::OtlpSpans => Some(Format::Otlp(OtlpSignal::Spans)),
            RawFormat::OtlpLogs => Some(Format::Otlp(OtlpSignal::Logs)),
            RawFormat::OtlpMetrics => Some(Format::Otlp(OtlpSignal::Metrics)),
            RawFormat::Lines => match &raw.pattern {
                Given::Unusable => None,
                Given::No => {
                    self.log
                        .error(Code::MissingKey, format.place, "`format: lines` needs a `pattern`")
                        .hint("`combined` (Apache, nginx), `syslog3164`, or a regular expression with named groups");
                    None
                }
                Given::Yes(at) => Some(Format::Lines(match at.value.as_str() {
                    "combined" => LinePattern::Combined,
                    "syslog3164" => LinePattern::Syslog3164,
                    _ => LinePattern::Regex(at.value.clone()),
                })),
            },
        }
    }

    fn fields(&mut self, name: &At<String>, raw: &RawStream) -> Vec<FieldSpec> {
        let Some(fields) = raw.fields.get() else {
            if raw.fields.is_missing() {
                self.log
                    .error(Code::MissingKey, name.place, format!("stream `{}` has no `fields`", name.value))
                    .hint("rules see only declared fields: `fields: { service: string, latency_ms: float }`");
            }
            return Vec::new();
        };
        if fields.list.len() > FIELDS_MAX {
            let message = format!("{} fields; {FIELDS_MAX} are possible", fields.list.len());
            self.log.error(Code::BadStream, name.place, message);
        }
        fields.list.iter().filter_map(|(name, field)| self.field(name, field, raw)).collect()
    }

    fn field(
        &mut self,
        name: &At<String>,
        raw: &ShortOrFull<At<RawFieldType>, RawField>,
        stream: &RawStream,
    ) -> Option<FieldSpec> {
        self.field_name(name);
        let format = stream.format.get().map(|at| at.value);
        let spec = |ty: FieldType, path: Vec<Arc<str>>| FieldSpec {
            name: name.value.as_str().into(),
            ty,
            path,
            numeric_strings: false,
            histogram: if ty == FieldType::Int { HistogramSpec::INT } else { HistogramSpec::FLOAT },
        };
        let own_name = || vec![Arc::from(name.value.as_str())];
        let full = match raw {
            ShortOrFull::Short(ty) => return Some(spec(field_type(ty.value), own_name())),
            ShortOrFull::Full(full) => full,
        };
        let Some(ty) = full.r#type.get() else {
            if full.r#type.is_missing() {
                self.log
                    .error(Code::MissingKey, name.place, format!("field `{}` has no `type`", name.value))
                    .hint("string, int, float or bool");
            }
            return None;
        };
        let ty = At { value: field_type(ty.value), place: ty.place };
        let path = match full.path.get() {
            Some(path) => self.path(path, format)?,
            None => own_name(),
        };
        let mut field = spec(ty.value, path);
        self.histogram(full, &ty, &mut field.histogram);
        if let Some(at) = full.numeric_strings.get().filter(|at| at.value) {
            if format != Some(RawFormat::Json) || !ty.value.is_numeric() {
                self.log
                    .error(Code::BadStream, at.place, "`numeric_strings` is for int and float fields of `format: json`")
                    .hint("remove it");
            }
            field.numeric_strings = true;
        }
        Some(field)
    }

    fn field_name(&mut self, name: &At<String>) {
        let text = name.value.as_str();
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if text.is_empty() || text.starts_with(|c: char| c.is_ascii_digit()) || !text.chars().all(plain) {
            let better: String = text.chars().map(|c| if plain(c) { c } else { '_' }).collect();
            self.log
                .error(Code::BadName, name.place, format!("`{text}` cannot be a field's name"))
                .label("letters, digits and `_`, no digit first")
                .hint(format!("call it `{better}` and say where it stands: `{better}: {{ type: …, path: {text} }}`"));
        }
    }

    fn histogram(&mut self, raw: &RawField, ty: &At<FieldType>, spec: &mut HistogramSpec) {
        let given = [
            raw.unit.get().map(|at| at.place),
            raw.highest.get().map(|at| at.place),
            raw.digits.get().map(|at| at.place),
        ];
        if let (Some(place), false) = (given.into_iter().flatten().next(), ty.value.is_numeric()) {
            self.log
                .error(Code::BadStream, place, format!("a {} has no histogram", ty.value.name()))
                .related(ty.place, "the type is this");
            return;
        }
        if let Some(unit) = raw.unit.get() {
            if unit.value <= 0.0 {
                self.log.error(Code::BadStream, unit.place, format!("`unit` is {}; it must be above 0", unit.value));
                return;
            }
            // The default upper end moves along, so that a unit alone is enough.
            spec.highest *= unit.value / spec.unit;
            spec.unit = unit.value;
        }
        if let Some(highest) = raw.highest.get() {
            spec.highest = highest.value;
        }
        let place = raw.highest.get().map(|at| at.place).or(raw.unit.get().map(|at| at.place));
        let range = spec.highest / spec.unit;
        if let Some(place) = place.filter(|_| !(2.0..=HISTOGRAM_RANGE_MAX).contains(&range)) {
            self.log
                .error(
                    Code::BadStream,
                    place,
                    format!("`highest` is {range:.0} times `unit`; 2 to 9e15 times is possible"),
                )
                .hint("`unit` is the smallest difference that matters, `highest` the largest value that does");
        }
        if let Some(digits) = raw.digits.get() {
            if !(1..=3).contains(&digits.value) {
                self.log
                    .error(Code::BadStream, digits.place, format!("{} digits; 1, 2 or 3 are possible", digits.value))
                    .hint("2 keeps quantiles within 1 %, 3 within 0.1 % at seven times the memory");
            } else {
                spec.digits = digits.value;
            }
        }
    }

    /// Keys from the outside in. A single text is split at its dots; OTLP's attribute keys keep theirs.
    fn path(&mut self, raw: &OneOrMany<At<String>>, format: Option<RawFormat>) -> Option<Vec<Arc<str>>> {
        let place = raw.0.first().map(|at| at.place)?;
        let keys: Vec<Arc<str>> = match (raw.0.as_slice(), format) {
            ([one], Some(RawFormat::OtlpSpans | RawFormat::OtlpLogs | RawFormat::OtlpMetrics)) => {
                match one.value.split_once('.') {
                    Some((place, key)) if matches!(place, "resource" | "scope" | "attributes") => {
                        vec![place.into(), key.into()]
                    }
                    _ => vec![one.value.as_str().into()],
                }
            }
            ([one], Some(RawFormat::Json)) => one.value.split('.').map(Arc::from).collect(),
            (many, _) => many.iter().map(|at| Arc::from(at.value.as_str())).collect(),
        };
        if keys.iter().any(|key| key.is_empty()) {
            self.log
                .error(Code::BadStream, place, "the path has an empty key")
                .hint("write `outer.inner`, or `[outer, \"key.with.dots\"]`");
            return None;
        }
        if keys.len() > 1 && format == Some(RawFormat::Lines) {
            self.log.error(
                Code::BadStream,
                place,
                "a line's fields are the pattern's groups; a path has one name here",
            );
            return None;
        }
        Some(keys)
    }

    fn time(&mut self, name: &At<String>, raw: &RawStream, format: &Format) -> Option<TimeSpec> {
        let default = default_time(format);
        let full = match (&raw.time, default) {
            (Given::Unusable, _) => return None,
            (Given::No, Some((field, format))) if format != DefaultFormat::Rfc3164 => {
                let format = if format == DefaultFormat::Clf { TimeFormat::Clf } else { TimeFormat::EpochNanos };
                return Some(TimeSpec { source: TimeSource::Path(vec![field.into()]), format });
            }
            (Given::No, Some(_)) => {
                self.log
                    .error(
                        Code::MissingKey,
                        name.place,
                        format!("stream `{}` does not say its year and zone", name.value),
                    )
                    .label("syslog's stamps have neither")
                    .hint("add `time: { format: rfc3164, year: 2026, zone: Europe/Berlin }`, or `time: record`");
                return None;
            }
            (Given::No, None) => {
                self.log
                    .error(
                        Code::MissingKey,
                        name.place,
                        format!("stream `{}` does not say where its time is", name.value),
                    )
                    .hint(
                        "add `time: FIELD` (RFC 3339), `time: { field: FIELD, format: epoch_ms }`, or `time: record`",
                    );
                return None;
            }
            (Given::Yes(ShortOrFull::Short(at)), _) if at.value == "record" => return Some(record_time()),
            (Given::Yes(ShortOrFull::Short(at)), _) => {
                let place = at.place;
                let format_given = Given::No;
                let field = Given::Yes(OneOrMany(vec![at.clone()]));
                RawTime {
                    place,
                    keys: Vec::new(),
                    field,
                    record: Given::No,
                    format: format_given,
                    year: Given::No,
                    zone: Given::No,
                }
            }
            (Given::Yes(ShortOrFull::Full(full)), _) => full.clone(),
        };
        if full.record.or(false) {
            if let Some(place) = full.field.get().and_then(|field| field.0.first()).map(|at| at.place) {
                self.log.error(Code::BadStream, place, "the time is either the record's or a field's").hint("keep one");
                return None;
            }
            return Some(record_time());
        }
        let path = match (full.field.get(), default) {
            (Some(field), _) => self.path(field, raw.format.get().map(|at| at.value))?,
            (None, Some((field, _))) => vec![field.into()],
            (None, None) => {
                if full.field.is_missing() {
                    self.missing(full.place, "field", "field: NAME");
                }
                return None;
            }
        };
        let format = self.time_format(&full, format)?;
        Some(TimeSpec { source: TimeSource::Path(path), format })
    }

    fn time_format(&mut self, raw: &RawTime, format: &Format) -> Option<TimeFormat> {
        if matches!(raw.format, Given::Unusable) {
            return None;
        }
        if let (Format::Otlp(_), Some(at)) = (format, raw.format.get()) {
            self.log
                .error(Code::BadStream, at.place, "OTLP says itself how its times are written")
                .hint("remove `format`");
            return None;
        }
        let default = match default_time(format) {
            Some((_, DefaultFormat::Clf)) => RawTimeFormat::Clf,
            Some((_, DefaultFormat::Rfc3164)) => RawTimeFormat::Rfc3164,
            Some((_, DefaultFormat::Nanos)) => RawTimeFormat::EpochNanos,
            None => RawTimeFormat::Rfc3339,
        };
        let chosen = raw.format.or(default);
        let stray = raw.year.get().map(|at| at.place).or(raw.zone.get().map(|at| at.place));
        if let (Some(place), false) = (stray, chosen == RawTimeFormat::Rfc3164) {
            self.log
                .error(Code::BadStream, place, "only `format: rfc3164` needs a year and a zone")
                .hint("remove it, or say `format: rfc3164`");
            return None;
        }
        Some(match chosen {
            RawTimeFormat::Rfc3339 => TimeFormat::Rfc3339,
            RawTimeFormat::EpochSeconds => TimeFormat::EpochSeconds,
            RawTimeFormat::EpochMillis => TimeFormat::EpochMillis,
            RawTimeFormat::EpochMicros => TimeFormat::EpochMicros,
            RawTimeFormat::EpochNanos => TimeFormat::EpochNanos,
            RawTimeFormat::Clf => TimeFormat::Clf,
            RawTimeFormat::Rfc3164 => {
                let (Some(year), Some(zone)) = (raw.year.get(), raw.zone.get()) else {
                    if raw.year.is_missing() || raw.zone.is_missing() {
                        self.log
                            .error(Code::MissingKey, raw.place, "`rfc3164` needs `year` and `zone`")
                            .label("its stamps have neither")
                            .hint("add `year: 2026` (of the first event) and `zone: Europe/Berlin` (or `UTC`, or `+02:00`)");
                    }
                    return None;
                };
                TimeFormat::Rfc3164 { year: year.value, zone: zone.value.clone() }
            }
        })
    }

    fn exemplar(&mut self, at: &At<String>, fields: &[FieldSpec]) -> Option<usize> {
        let found = fields.iter().position(|field| *field.name == *at.value);
        if found.is_none() {
            let names: Vec<&str> = fields.iter().map(|field| &*field.name).collect();
            self.log
                .error(Code::BadStream, at.place, format!("the stream has no field `{}`", at.value))
                .hint(suggest(&at.value, &names, "fields"));
        }
        found
    }

    fn budgets(&mut self, raw: &RawBudgets) -> Budgets {
        let default = Budgets::default();
        Budgets {
            // Above, a batch's arena could not hold two of them (model::batch, B3).
            record_bytes_max: self.budget(&raw.record_bytes_max, default.record_bytes_max, 256 << 20),
            depth_max: self.budget(&raw.depth_max, default.depth_max, 128),
            field_bytes_max: self.budget(&raw.field_bytes_max, default.field_bytes_max, 16 << 20),
            events_per_record_max: self.budget(&raw.events_per_record_max, default.events_per_record_max, 10_000_000),
        }
    }

    fn budget(&mut self, given: &Given<At<usize>>, default: usize, max: usize) -> usize {
        let Some(at) = given.get() else { return default };
        if at.value == 0 || at.value > max {
            self.log.error(Code::BadValue, at.place, format!("{} is out of bounds; 1 to {max} is possible", at.value));
        }
        at.value
    }
}

fn field_type(raw: RawFieldType) -> FieldType {
    match raw {
        RawFieldType::String => FieldType::String,
        RawFieldType::Int => FieldType::Int,
        RawFieldType::Float => FieldType::Float,
        RawFieldType::Bool => FieldType::Bool,
    }
}

fn record_time() -> TimeSpec {
    TimeSpec { source: TimeSource::Record, format: TimeFormat::EpochMillis }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum DefaultFormat {
    Nanos,
    Clf,
    Rfc3164,
}

/// Where formats that define a time have it.
fn default_time(format: &Format) -> Option<(&'static str, DefaultFormat)> {
    match format {
        Format::Json | Format::Lines(LinePattern::Regex(_)) => None,
        Format::Otlp(OtlpSignal::Spans) => Some(("end_time", DefaultFormat::Nanos)),
        Format::Otlp(OtlpSignal::Logs | OtlpSignal::Metrics) => Some(("time", DefaultFormat::Nanos)),
        Format::Lines(LinePattern::Combined) => Some(("time", DefaultFormat::Clf)),
        Format::Lines(LinePattern::Syslog3164) => Some(("time", DefaultFormat::Rfc3164)),
    }
}
