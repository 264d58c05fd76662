//! The telemetry of a small web shop with a bad half minute in it.
//!
//! A pure function of a seed and of time since the start: the demo plays it at the pace of the clock, tests play it at
//! once. Five services answer requests; one of them, `checkout`, gets slow and fails while its payment gateway hangs,
//! and at the same time somebody tries passwords. One event in twenty is up to two seconds late, as in life.

use std::fmt::Write;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::model::time::{Millis, WallTime};

/// Topics and how many partitions each has.
pub const TOPICS: [(&str, i32); 4] = [("shop.requests", 6), ("shop.auth", 2), ("shop.logs", 2), ("shop.spans", 3)];

/// When the gateway hangs and when it recovers, from the start of the story.
pub const INCIDENT: (Millis, Millis) = (Millis::from_secs(12), Millis::from_secs(34));

/// When somebody tries passwords.
pub const BURST: (Millis, Millis) = (Millis::from_secs(18), Millis::from_secs(28));

/// After this everything has been said.
pub const STORY: Millis = Millis::from_secs(58);

/// Requests a second over all services.
const REQUESTS_PER_SECOND: f64 = 600.0;

/// name, share of the traffic, typical latency in ms, endpoints
const SERVICES: [(&str, f64, f64, [&str; 3]); 5] = [
    ("web", 0.40, 35.0, ["/", "/product/:id", "/search"]),
    ("catalog", 0.25, 18.0, ["/items", "/items/:id", "/categories"]),
    ("cart", 0.15, 22.0, ["/cart", "/cart/items", "/cart/coupon"]),
    ("checkout", 0.12, 80.0, ["/checkout", "/checkout/pay", "/checkout/confirm"]),
    ("account", 0.08, 40.0, ["/login", "/profile", "/orders"]),
];

const ATTACKER: &str = "203.0.113.66";

/// One record to produce.
#[derive(Clone, Debug, PartialEq)]
pub struct Produced {
    pub topic: &'static str,
    pub partition: i32,
    pub payload: Vec<u8>,
}

/// The shop, told in slices of time.
pub struct Shop {
    rng: StdRng,
    started: WallTime,
    told: Millis,
}

impl Shop {
    pub fn new(seed: u64, started: WallTime) -> Self {
        Shop { rng: StdRng::seed_from_u64(seed), started, told: Millis::ZERO }
    }

    /// Everything that is produced up to `now`, in order. The first call tells what came since the start.
    pub fn until(&mut self, now: WallTime, out: &mut Vec<Produced>) {
        const SLICE: Millis = Millis(100);
        while self.started + self.told + SLICE <= now {
            self.slice(self.told, SLICE, out);
            self.told = self.told + SLICE;
        }
    }

    fn slice(&mut self, from: Millis, length: Millis, out: &mut Vec<Produced>) {
        let requests = self.count(REQUESTS_PER_SECOND * length.as_secs_f64());
        for _ in 0..requests {
            let at = self.moment(from, length);
            self.request(at, out);
        }
        let logins = self.count(4.0 * length.as_secs_f64());
        for _ in 0..logins {
            let at = self.moment(from, length);
            self.login(at, false, out);
        }
        if within(from, BURST) {
            for _ in 0..self.count(25.0 * length.as_secs_f64()) {
                let at = self.moment(from, length);
                self.login(at, true, out);
            }
        }
    }

    /// A whole number whose mean is `expected`.
    fn count(&mut self, expected: f64) -> usize {
        expected.trunc() as usize + usize::from(self.rng.random_bool(expected.fract()))
    }

    /// An instant of the slice, one in twenty up to two seconds earlier.
    fn moment(&mut self, from: Millis, length: Millis) -> Millis {
        let late = if self.rng.random_ratio(1, 20) { self.rng.random_range(0..2_000) } else { 0 };
        Millis((from.0 + self.rng.random_range(0..length.0) - late).max(0))
    }

    fn request(&mut self, at: Millis, out: &mut Vec<Produced>) {
        let pick: f64 = self.rng.random();
        let mut sum = 0.0;
        let (service, _, typical, endpoints) = SERVICES
            .into_iter()
            .find(|(_, share, ..)| {
                sum += share;
                pick < sum
            })
            .unwrap_or(SERVICES[0]);
        let endpoint = endpoints[self.rng.random_range(0..endpoints.len())];
        let suffering = service == "checkout" && within(at, INCIDENT);
        let mut latency = typical * (0.4 + 0.35 * self.exponential());
        let mut status = if self.rng.random_ratio(1, 400) { 500 } else { 200 };
        if status == 200 && self.rng.random_ratio(1, 40) {
            status = 404;
        }
        if suffering {
            latency = latency * 6.0 + 600.0 * self.exponential();
            if self.rng.random_ratio(1, 6) {
                (status, latency) = (504, 3_000.0 + 40.0 * self.exponential());
            }
        }
        let trace: u128 = self.rng.random();
        let stamp = (self.started + at).0;
        let partition = self.rng.random_range(0..TOPICS[0].1);
        let method = if endpoint.ends_with("pay") || endpoint.ends_with("login") { "POST" } else { "GET" };
        let mut json = String::with_capacity(224);
        write!(
            json,
            r#"{{"ts":{stamp},"service":"{service}","endpoint":"{endpoint}","method":"{method}","status":{status},"latency_ms":{latency:.2},"env":"prod","trace_id":"{trace:032x}"}}"#
        )
        .expect("writing to a string");
        out.push(Produced { topic: "shop.requests", partition, payload: json.into_bytes() });

        let sampled = self.rng.random_ratio(1, 10) || status >= 500;
        if sampled {
            self.span(service, endpoint, stamp, latency, status, trace, out);
        }
        if status >= 500 || self.rng.random_ratio(1, 50) {
            self.log(service, stamp, status, trace, out);
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn span(
        &mut self,
        service: &str,
        endpoint: &str,
        stamp: i64,
        latency: f64,
        status: i32,
        trace: u128,
        out: &mut Vec<Produced>,
    ) {
        let end = stamp as u64 * 1_000_000;
        let span = Span {
            trace_id: trace.to_be_bytes().to_vec(),
            span_id: self.rng.random::<u64>().to_be_bytes().to_vec(),
            name: format!("HTTP {endpoint}"),
            kind: 2,
            start_time_unix_nano: end - (latency * 1e6) as u64,
            end_time_unix_nano: end,
            attributes: vec![attribute("http.response.status_code", Value::IntValue(status.into()))],
            status: Some(Status { message: String::new(), code: if status >= 500 { 2 } else { 0 } }),
            ..Span::default()
        };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: resource(service),
                scope_spans: vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }],
                ..ResourceSpans::default()
            }],
        };
        let partition = self.rng.random_range(0..TOPICS[3].1);
        out.push(Produced { topic: "shop.spans", partition, payload: request.encode_to_vec() });
    }

    fn log(&mut self, service: &str, stamp: i64, status: i32, trace: u128, out: &mut Vec<Produced>) {
        let (severity_number, severity_text, body) = match status {
            504 => (17, "ERROR", "payment gateway: no answer within 3000 ms"),
            500.. => (17, "ERROR", "unhandled exception while rendering"),
            _ => (9, "INFO", "request served"),
        };
        let record = LogRecord {
            time_unix_nano: stamp as u64 * 1_000_000,
            severity_number,
            severity_text: severity_text.to_owned(),
            body: Some(AnyValue { value: Some(Value::StringValue(body.to_owned())) }),
            trace_id: trace.to_be_bytes().to_vec(),
            ..LogRecord::default()
        };
        let request = ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: resource(service),
                scope_logs: vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }],
                ..ResourceLogs::default()
            }],
        };
        let partition = self.rng.random_range(0..TOPICS[2].1);
        out.push(Produced { topic: "shop.logs", partition, payload: request.encode_to_vec() });
    }

    fn login(&mut self, at: Millis, attack: bool, out: &mut Vec<Produced>) {
        const USERS: [&str; 6] = ["ada", "grace", "linus", "ken", "barbara", "root"];
        let user = USERS[self.rng.random_range(0..USERS.len())];
        let (ip, ok) = match attack {
            true => (ATTACKER.to_owned(), false),
            false => (format!("198.51.100.{}", self.rng.random_range(1..120)), self.rng.random_ratio(9, 10)),
        };
        let stamp = self.started + at;
        let outcome = if ok { "success" } else { "failure" };
        let partition = self.rng.random_range(0..TOPICS[1].1);
        let json = format!(r#"{{"time":"{stamp}","user":"{user}","ip":"{ip}","outcome":"{outcome}","app":"account"}}"#);
        out.push(Produced { topic: "shop.auth", partition, payload: json.into_bytes() });
    }

    /// Exponentially distributed with mean 1.
    fn exponential(&mut self) -> f64 {
        -(1.0 - self.rng.random::<f64>()).ln()
    }
}

fn within(at: Millis, (from, to): (Millis, Millis)) -> bool {
    (from..to).contains(&at)
}

fn resource(service: &str) -> Option<Resource> {
    Some(Resource {
        attributes: vec![attribute("service.name", Value::StringValue(service.to_owned()))],
        ..Resource::default()
    })
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_story_is_the_same_for_the_same_seed_however_it_is_sliced() {
        let start = WallTime(1_700_000_000_000);
        let (mut at_once, mut in_steps) = (Vec::new(), Vec::new());
        Shop::new(7, start).until(start + Millis::from_secs(5), &mut at_once);
        let mut shop = Shop::new(7, start);
        (0..50).for_each(|step| shop.until(start + Millis(step * 100 + 100), &mut in_steps));
        assert_eq!(at_once, in_steps);
        assert!(at_once.len() > 2_000, "{} records in five seconds", at_once.len());
    }

    #[test]
    fn checkout_suffers_during_the_incident_only() {
        let start = WallTime(1_700_000_000_000);
        let mut out = Vec::new();
        Shop::new(1, start).until(start + STORY, &mut out);
        let timeouts = |from: i64, to: i64| {
            let is_timeout = |p: &&Produced| {
                let text = String::from_utf8_lossy(&p.payload);
                let at = text.strip_prefix(r#"{"ts":"#).and_then(|t| t.split(',').next()).and_then(|t| t.parse().ok());
                text.contains("\"status\":504") && at.is_some_and(|at: i64| (from..to).contains(&(at - start.0)))
            };
            out.iter().filter(|p| p.topic == "shop.requests").filter(is_timeout).count()
        };
        assert_eq!(timeouts(0, INCIDENT.0.0), 0);
        assert!(timeouts(INCIDENT.0.0, INCIDENT.1.0) > 100);
        assert_eq!(timeouts(INCIDENT.1.0, STORY.0), 0);
    }
}
