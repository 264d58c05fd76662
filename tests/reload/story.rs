//! Stories of a machine whose rules are edited: what passes, what is said.

use std::fmt::Write;
use std::sync::Arc;

use expect_test::Expect;
use foghorn::alert::route::{GroupBy, Route, RouteTree};
use foghorn::config::load::load_rules_from_text;
use foghorn::engine::desk::{DeskConfig, ReceiverPolicy};
use foghorn::engine::local::{Happening, Local};
use foghorn::engine::plan::Plan;
use foghorn::model::batch::RawBatchBuilder;
use foghorn::model::delivery::AlertView;
use foghorn::model::position::SourceId;
use foghorn::model::time::Millis;
use foghorn::model::{AlertStatus, Transition};
use foghorn::notify::outbox::IntegrationPolicy;

pub const STREAMS: &str = "\
streams:
  requests:
    topics: requests
    format: json
    time: { field: ts, format: epoch_ms }
    lateness: 0s
    future_max: 100y
    fields: { service: string, status: int, latency: float }
  orders:
    topics: orders
    format: json
    time: { field: ts, format: epoch_ms }
    lateness: 0s
    future_max: 100y
    fields: { service: string, status: int }
";

const START: i64 = 1_767_225_600_000;
const PARTITIONS: i32 = 2;

/// One machine after the other, with one past.
pub struct Story {
    shards: usize,
    /// The machine goes on, rather than another from its checkpoint.
    running: bool,
    file: &'static str,
    pub text: String,
    local: Local,
    offset: i64,
    second: i64,
    said: String,
}

impl Story {
    fn begin(shards: usize, running: bool, rules: &str) -> Story {
        let (file, text) = ("rules.yaml", format!("{STREAMS}{rules}"));
        let mut local = machine(file, &text, shards).with_cuts();
        local.assign(&sources(&text));
        Story { shards, running, file, text, local, offset: 0, second: 0, said: String::new() }
    }

    /// Seconds pass, up to `until`, with this many errors of a service in each; every partition has some healthy event.
    pub fn pass(&mut self, until: i64, errors: &[(&str, usize)]) -> &mut Story {
        while self.second < until {
            let ts = START + self.second * 1_000;
            for (partition, part) in (0..PARTITIONS).zip([errors, &[]]) {
                let mut batch = RawBatchBuilder::default();
                let source = batch.source(&"requests".into(), partition);
                let failed = part.iter().flat_map(|(service, count)| std::iter::repeat_n((*service, 503), *count));
                for (service, status) in failed.chain([("beat", 200)]) {
                    let event =
                        format!(r#"{{"ts":{ts},"service":"{service}","status":{status},"latency":{}}}"#, status / 100);
                    batch.push(source, self.offset, ts, event.as_bytes());
                    self.offset += 1;
                }
                self.local.records(0, batch.finish());
            }
            self.second += 1;
        }
        self
    }

    pub fn quiet(&mut self, until: i64) -> &mut Story {
        self.pass(until, &[])
    }

    /// Replaces a piece of the rules, which must be there, and goes on with what that makes.
    pub fn edit(&mut self, old: &str, new: &str) -> &mut Story {
        assert!(self.text.contains(old), "`{old}` is not in the rules");
        self.text = self.text.replace(old, new);
        self.reload(&format!("{} -> {}", old.trim(), new.trim()))
    }

    pub fn append(&mut self, rules: &str) -> &mut Story {
        self.text += rules;
        self.reload("more rules")
    }

    pub fn move_to(&mut self, file: &'static str) -> &mut Story {
        self.file = file;
        self.reload(file)
    }

    pub fn reload(&mut self, what: &str) -> &mut Story {
        self.hear();
        let mut next = machine(self.file, &self.text, self.shards).with_cuts();
        if self.running {
            std::mem::swap(&mut self.local, &mut next);
            self.local = next.reload(&plan(self.file, &self.text), desk(), 0).expect("it decodes");
        } else {
            next.restore(self.local.cut()).expect("panes are whole");
            next.assign(&sources(&self.text));
            self.local = next;
        }
        let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(self.said, "{}s -- {what}", self.second).expect("a string");
        self
    }

    /// Notes what was said since the last time.
    fn hear(&mut self) {
        for happening in self.local.take_happened() {
            match happening {
                Happening::Signal(signal) => {
                    let transition = match signal.transition {
                        Transition::Resolved(because) => format!("resolved ({because:?})"),
                        other => format!("{other:?}").to_lowercase(),
                    };
                    writeln!(self.said, "{}s {} {transition}", second(signal.at.0), signal.labels)
                }
                Happening::Sent(block) => {
                    let view = |alert: &AlertView| {
                        let status = if alert.status == AlertStatus::Firing { "firing" } else { "over" };
                        let note = alert.annotations.first().map_or(String::new(), |(_, text)| format!(": {text}"));
                        format!("{} {status}{note}", alert.labels)
                    };
                    let alerts: Vec<_> = block.notification.alerts.iter().map(view).collect();
                    writeln!(self.said, "{}s   told {}", second(block.at.0), alerts.join(", "))
                }
            }
            .expect("a string");
        }
    }
}

fn second(ms: i64) -> i64 {
    (ms - START) / 1_000
}

fn machine(file: &str, text: &str, shards: usize) -> Local {
    Local::new(&plan(file, text), shards, desk(), 0).expect("it decodes")
}

fn plan(file: &str, text: &str) -> Arc<Plan> {
    let loaded = load_rules_from_text(file, text);
    assert!(loaded.is_valid(), "{}", loaded.diagnostics.render(false));
    let schemas: Vec<_> = loaded.streams.iter().map(|stream| stream.schema.clone()).collect();
    Arc::new(Plan::build(&schemas, &loaded.rules.rules))
}

fn desk() -> DeskConfig {
    let route = Route {
        group_by: Some(GroupBy::from_names(["alertname"]).expect("a name")),
        group_wait: Some(Millis::from_secs(1)),
        group_interval: Some(Millis::from_secs(1)),
        ..Route::to("people")
    };
    let receiver = ReceiverPolicy { name: "people".into(), integrations: vec![IntegrationPolicy::new("console")] };
    DeskConfig::new(RouteTree::new(route).expect("a tree"), vec![receiver], "http://foghorn").expect("a desk")
}

/// The partitions of the streams there are; orders are never read.
fn sources(text: &str) -> Vec<(usize, SourceId)> {
    assert!(text.contains("requests:"), "the first stream");
    (0..PARTITIONS).map(|partition| (0, SourceId::new("requests", partition))).collect()
}

/// Tells a story, and that it is the same for any number of shards, and for one process as for one after the other.
pub fn check(rules: &str, story: impl Fn(&mut Story), expect: Expect) {
    let tell = |shards, running| {
        let mut told = Story::begin(shards, running, rules);
        story(&mut told);
        told.hear();
        told.said
    };
    let said = tell(1, true);
    expect.assert_eq(&said);
    for (shards, running) in [(1, false), (2, true), (2, false), (3, true)] {
        assert_eq!(said, tell(shards, running), "with {shards} shards, running: {running}");
    }
}
