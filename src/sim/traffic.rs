//! Telemetry for measuring: 200-byte JSON events of a fleet of services, groups as unevenly busy as in life.
//!
//! Used by `foghorn bench` and by the `pipeline` bench, so that both measure the same work. The first `groups` events
//! visit every group once; after that a group's share follows Zipf's law with exponent 1.

use std::io::Write;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The stream and the rule that are measured: two group-by keys, five-minute windows in steps of ten seconds, a count, a
/// filtered count and three quantiles.
pub const RULES: &str = r"
streams:
  bench:
    topics: foghorn-bench
    format: json
    time: { field: ts, format: epoch_ms }
    lateness: 1s
    future_max: 10y
    fields:
      service: string
      endpoint: string
      status: int
      latency_ms: float
groups:
  - name: bench
    interval: 10s
    rules:
      - alert: Bench
        from: bench
        by: [service, endpoint]
        window: 5m
        let:
          total: count(*)
          errors: count(*) FILTER (WHERE status >= 500)
          p50: p50(latency_ms)
          p95: p95(latency_ms)
          p99: p99(latency_ms)
        when: total >= 100 && errors / total > 0.5 && p99 > 60000 && p95 > 30000 && p50 > 10000
        limit: 4000000
        labels: { severity: info }
";

/// Group numbers drawn in advance; drawing costs more than writing an event.
const DRAWN: usize = 1 << 20;

/// An endless supply of events.
pub struct Traffic {
    rng: StdRng,
    groups: usize,
    drawn: Vec<u32>,
    sent: u64,
    /// Event time of the next event, in microseconds.
    now_us: u64,
    step_us: u64,
}

impl Traffic {
    /// `groups` different (service, endpoint) pairs, `rate` events a second of event time, from `start_ms` on.
    pub fn new(seed: u64, groups: usize, rate: u64, start_ms: i64) -> Traffic {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut sums = Vec::with_capacity(groups);
        let mut sum = 0.0;
        for rank in 0..groups {
            sum += 1.0 / (rank + 1) as f64;
            sums.push(sum);
        }
        // Ranks are scattered over numbers, as busy groups do not come first in life.
        let scatter = |rank: usize| (rank as u64 * 2_654_435_761 % groups as u64) as u32;
        let draw = |rng: &mut StdRng| scatter(sums.partition_point(|s| *s < rng.random::<f64>() * sum).min(groups - 1));
        let drawn = (0..DRAWN).map(|_| draw(&mut rng)).collect();
        Traffic { rng, groups, drawn, sent: 0, now_us: start_ms as u64 * 1_000, step_us: (1_000_000 / rate).max(1) }
    }

    /// Appends the next event, about 200 bytes, without a line feed. Returns its event time in milliseconds.
    pub fn event(&mut self, out: &mut Vec<u8>) -> i64 {
        let group = match self.sent < self.groups as u64 {
            true => self.sent as u32,
            false => self.drawn[self.sent as usize % DRAWN],
        };
        self.sent += 1;
        self.now_us += self.step_us;
        let ms = self.now_us / 1_000;
        let dice: u64 = self.rng.random();
        let status = if dice & 0xff < 4 { 503 } else { 200 };
        // Roughly lognormal: the product of three uniform factors.
        let factor = |shift: u32| f64::from((dice >> shift) as u16 & 0x3ff) / 1024.0 + 0.05;
        let latency = 400.0 * factor(8) * factor(18) * factor(28);
        let (service, endpoint) = (group / 50, group % 50);
        write!(
            out,
            r#"{{"ts":{ms},"service":"service-{service:05}","endpoint":"/api/v2/endpoint-{endpoint:02}","method":"GET","status":{status},"latency_ms":{latency:.3},"region":"eu-central-1","host":"node-{host:04}.eu.internal","trace":"{dice:016x}"}}"#,
            host = dice >> 52,
        )
        .expect("writing to memory");
        ms as i64
    }
}
