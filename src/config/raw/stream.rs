//! A stream as it is written.

use crate::config::defaults;
use crate::model::schema::Budgets;
use crate::model::time::Millis;
use crate::rule::yaml::read::{At, Entries, OneOrMany, ShortOrFull, yaml_choice, yaml_map};

yaml_map! {
    /// A source of events: where they come from, what they look like, how their time works.
    pub struct RawStream {
        /// Kafka topics: one or a list, where a regular expression begins with `^`; or `{ pattern: ^… }`. A stream without
        /// topics can be replayed from files.
        pub topics: ShortOrFull<OneOrMany<At<String>>, RawTopicPattern>,
        /// What a record's bytes are.
        #[schemars(required)]
        pub format: At<RawFormat>,
        /// For `format: lines`: `combined` (Apache, nginx), `syslog3164`, or a regular expression with named groups.
        pub pattern: At<String>,
        /// Where an event's time comes from: a field's place, or `record` for the Kafka record's own timestamp.
        pub time: ShortOrFull<At<String>, RawTime>,
        /// The fields rules may use: `name: type`, or `name: { type: …, path: … }`.
        #[schemars(required)]
        pub fields: Entries<ShortOrFull<At<RawFieldType>, RawField>>,
        /// How far behind the newest event of its partition an event may be and still count.
        #[schemars(extend("default" = defaults::LATENESS.to_string()))]
        pub lateness: At<Millis>,
        /// A partition that is read to its end and silent for this long no longer holds the others back.
        #[schemars(extend("default" = defaults::IDLE_TIMEOUT.to_string()))]
        pub idle_timeout: At<Millis>,
        /// How long the watermark may stand still at a partition that is not idle before `FoghornSourceStalled` fires.
        /// One minute, or twice `idle_timeout` where that is longer, unless it is given.
        pub stall_timeout: At<Millis>,
        /// An event further ahead of the clock than this is refused: one bad clock must not move time for all.
        #[schemars(extend("default" = defaults::FUTURE_MAX.to_string()))]
        pub future_max: At<Millis>,
        /// What one record may cost.
        pub budgets: RawBudgets,
        /// Topic for records that cannot be decoded, with reason, position and the original bytes.
        pub dead_letter: At<String>,
        /// The field that identifies one event to a person, such as a trace id; shown in alerts.
        pub exemplar: At<String>,
    }
    elsewhere {
        "topic" ("topics"): "topics stand under `topics`",
        "schema" ("fields"): "fields stand under `fields`",
        "timestamp" ("time"): "the event time stands under `time`",
        "window": "windows belong to rules",
    }
}

yaml_map! {
    /// Topics by regular expression; new topics that match are found while running.
    pub struct RawTopicPattern {
        /// A regular expression that begins with `^`.
        #[schemars(required)]
        pub pattern: At<String>,
    }
}

yaml_choice! {
    pub enum RawFormat {
        /// One object, an array of objects, or newline-delimited objects in a message.
        Json = "json",
        /// Traces as the OpenTelemetry Collector's Kafka exporter writes them, protobuf or JSON.
        OtlpSpans = "otlp_spans",
        /// Logs, likewise.
        OtlpLogs = "otlp_logs",
        /// Metrics, likewise.
        OtlpMetrics = "otlp_metrics",
        /// Text lines, with a `pattern`.
        Lines = "lines",
    }
}

yaml_map! {
    /// Where an event's time comes from. The shorthand `time: ts` is `time: { field: ts, format: rfc3339 }`.
    pub struct RawTime {
        /// JSON: the key, or a path (`meta.ts`, or a list of keys). Lines: the pattern's group. OTLP: `start_time`,
        /// `end_time`, `time` or `observed_time`.
        pub field: OneOrMany<At<String>>,
        /// `true` takes the Kafka record's own timestamp.
        pub record: At<bool>,
        /// How it is written.
        #[schemars(extend("default" = "rfc3339"))]
        pub format: At<RawTimeFormat>,
        /// For `rfc3164`, whose stamps have no year: the year of the first month seen.
        #[schemars(range(min = 1970, max = 9999))]
        pub year: At<i16>,
        /// For `rfc3164`, whose stamps have no zone: an IANA name such as `Europe/Berlin`, or an offset such as `+02:00`.
        pub zone: At<String>,
    }
}

yaml_choice! {
    pub enum RawTimeFormat {
        /// `2026-03-30T15:04:05.123Z`
        Rfc3339 = "rfc3339",
        /// Seconds since 1970, with or without a fraction.
        EpochSeconds = "epoch_s",
        /// Milliseconds since 1970.
        EpochMillis = "epoch_ms",
        /// Microseconds since 1970.
        EpochMicros = "epoch_us",
        /// Nanoseconds since 1970.
        EpochNanos = "epoch_ns",
        /// `Mar 30 15:04:05`
        Rfc3164 = "rfc3164",
        /// `17/May/2015:10:05:03 +0000`
        Clf = "clf",
    }
}

yaml_choice! {
    pub enum RawFieldType {
        String = "string",
        Int = "int",
        Float = "float",
        Bool = "bool",
    }
}

yaml_map! {
    /// A field in full.
    pub struct RawField {
        /// What its values are.
        #[schemars(required)]
        pub r#type: At<RawFieldType>,
        /// Where the value stands; the field's name where not given. JSON: keys from the outside in, `http.status` or
        /// `[http, status]`. Lines: the pattern's group. OTLP: a built-in name such as `name`, or `resource`, `scope`
        /// or `attributes` and then the attribute's whole key: `resource.service.name`.
        pub path: OneOrMany<At<String>>,
        /// For quantiles: the smallest difference that is told apart, in the field's own unit. 0.001 for floats,
        /// 1 for ints, where not given.
        pub unit: At<f64>,
        /// For quantiles: the largest value told apart; larger ones count as this and are counted as saturated.
        /// 3.6e9 times `unit` where not given: with floats in milliseconds, an hour.
        pub highest: At<f64>,
        /// For quantiles: significant decimal digits.
        #[schemars(range(min = 1, max = 3), extend("default" = 2))]
        pub digits: At<u8>,
        /// JSON numbers may also come as strings.
        #[schemars(extend("default" = false))]
        pub numeric_strings: At<bool>,
    }
}

yaml_map! {
    /// What one record may cost. More is refused by name and counted, never cut in silence.
    pub struct RawBudgets {
        /// Bytes of one record, or of one line of a file.
        #[schemars(extend("default" = Budgets::default().record_bytes_max))]
        pub record_bytes_max: At<usize>,
        /// Objects and arrays within each other.
        #[schemars(extend("default" = Budgets::default().depth_max))]
        pub depth_max: At<usize>,
        /// Bytes of one string field.
        #[schemars(extend("default" = Budgets::default().field_bytes_max))]
        pub field_bytes_max: At<usize>,
        /// Events in one record.
        #[schemars(extend("default" = Budgets::default().events_per_record_max))]
        pub events_per_record_max: At<usize>,
    }
}
