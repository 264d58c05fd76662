//! Checkpoints and logs that Foghorns of the past wrote: kept files, read by the Foghorn of today.
//!
//! `UPDATE=1 cargo test --test state_format` writes the files of the current version anew; those of older versions stay as
//! they are, for nobody can write them any more.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use foghorn::alert::route::{GroupBy, Route, RouteTree};
use foghorn::checkpoint::{self, Checkpoint, Head, log};
use foghorn::config::load::load_rules_from_text;
use foghorn::engine::desk::{DeskConfig, DeskInput, ReceiverPolicy};
use foghorn::engine::local::{Happening, Local};
use foghorn::engine::plan::Plan;
use foghorn::engine::transcript::Paint;
use foghorn::model::batch::RawBatchBuilder;
use foghorn::model::position::SourceId;
use foghorn::model::{DeliveryId, Millis, Outcome, ThreadHandle, WallTime};
use foghorn::notify::outbox::IntegrationPolicy;

const RULES: &str = r#"
streams:
  requests:
    topics: requests
    format: json
    time: { field: ts, format: epoch_ms }
    lateness: 5s
    future_max: 100y
    exemplar: trace
    fields: { service: string, status: int, ms: float, ip: string, trace: string }
groups:
  - name: all
    interval: 5s
    rules:
      - alert: Errors
        from: requests
        by: [service]
        window: 30s
        let:
          total: count(*)
          errors: count(*) FILTER (WHERE status >= 500)
          p99: p99(ms)
          mean: avg(ms)
          least: min(ms)
          newest: last(ms)
          clients: distinct(ip)
          top: topk(ip, 3)
        when: errors / total > 0.3
        for: 10s
        keep_firing_for: 10s
        annotations: { summary: "{{ $labels.service }} {{ $value }}" }
      - alert: Gone
        from: requests
        by: [service]
        window: 10s
        absent: 30s
"#;

const START: i64 = 1_767_225_600_000;

fn kept(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/checkpoint").join(name)
}

fn local() -> Local {
    let loaded = load_rules_from_text("all.yaml", RULES);
    assert!(loaded.is_valid(), "{}", loaded.diagnostics.render(false));
    let schemas: Vec<_> = loaded.streams.iter().map(|stream| stream.schema.clone()).collect();
    let plan = Arc::new(Plan::build(&schemas, &loaded.rules.rules));
    let route = Route { group_by: Some(GroupBy::from_names(["alertname"]).expect("a name")), ..Route::to("people") };
    let receiver = ReceiverPolicy { name: "people".into(), integrations: vec![IntegrationPolicy::new("console")] };
    let desk = DeskConfig::new(RouteTree::new(route).expect("a tree"), vec![receiver], "http://foghorn");
    let mut local = Local::new(&plan, 2, desk.expect("a desk"), 0).expect("it decodes").with_cuts();
    local.assign(&[(0, SourceId::new("requests", 0)), (0, SourceId::new("requests", 1))]);
    local
}

/// Two services, one of which fails for a while and then falls silent.
fn play(local: &mut Local, seconds: std::ops::Range<i64>) -> String {
    for second in seconds {
        for partition in 0..2i64 {
            let service = match partition {
                0 => "cart",
                _ if second <= 70 => "web",
                _ => "search",
            };
            let status = if service == "cart" && (20..80).contains(&second) { 503 } else { 200 };
            let (at, ms, ip) = (START + second * 1000, (second * 7 + partition) % 90, second % 5);
            let record = format!(
                r#"{{"ts":{at},"service":"{service}","status":{status},"ms":{ms}.5,"ip":"10.0.0.{ip}","trace":"t{second}"}}"#
            );
            let mut batch = RawBatchBuilder::default();
            let source = batch.source(&"requests".into(), partition as i32);
            batch.push(source, second, at, record.as_bytes());
            local.records(0, batch.finish());
        }
    }
    let said = |what| match what {
        Happening::Sent(block) => Some(block.text(Paint::Plain)),
        Happening::Signal(_) => None,
    };
    local.take_happened().into_iter().filter_map(said).collect()
}

/// In the middle of a firing alert, with another about to come.
const CUT_AT: i64 = 60;

#[test]
fn a_checkpoint_of_each_version_is_gone_on_from() {
    let mut undisturbed = local();
    play(&mut undisturbed, 0..CUT_AT);
    let cut = undisturbed.cut();
    if std::env::var_os("UPDATE").is_some() {
        let head = Head {
            number: 3,
            taken_at: WallTime(START),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            clean: false,
            desk_meaning: 1,
            seed: 2,
        };
        let mut bytes = Vec::new();
        let written = Checkpoint { head, shards: cut.shards.clone(), desk: cut.desk.clone() };
        checkpoint::write(&written, &mut bytes).expect("memory takes it");
        fs::create_dir_all(kept("")).expect("a folder");
        fs::write(kept(&format!("v{}.fog", checkpoint::VERSION)), bytes).expect("written");
    }
    let expected = play(&mut undisturbed, CUT_AT..160);
    assert!(expected.contains("Errors") && expected.contains("Gone"), "{expected}");
    for version in checkpoint::VERSION_MIN..=checkpoint::VERSION {
        let bytes =
            fs::read(kept(&format!("v{version}.fog"))).expect("a file of each version that can be read is kept");
        let old = checkpoint::read(&bytes[..]).unwrap_or_else(|error| panic!("version {version}: {error}"));
        let mut again = local();
        let mut cut = cut.clone();
        (cut.shards, cut.desk) = (old.shards, old.desk);
        again.restore(cut).expect("its panes are whole");
        again.assign(&[(0, SourceId::new("requests", 0)), (0, SourceId::new("requests", 1))]);
        assert_eq!(expected, play(&mut again, CUT_AT..160), "version {version}");
    }
}

#[test]
fn a_desks_log_of_each_version_is_read() {
    let thread = Some(ThreadHandle(vec!["C1".into(), "17.5".into()]));
    let inputs = [
        DeskInput::Restarted,
        DeskInput::Tick,
        DeskInput::Receipt { receiver: "people".into(), id: DeliveryId(4), outcome: Outcome::Delivered { thread } },
        DeskInput::Receipt {
            receiver: "people".into(),
            id: DeliveryId(5),
            outcome: Outcome::Retry { after: Some(Millis(3)), throttled: true, reason: "slowly".into() },
        },
    ];
    if std::env::var_os("UPDATE").is_some() {
        let mut bytes = log::head(3);
        inputs.iter().zip(1..).for_each(|(input, at)| log::push(&mut bytes, WallTime(at), input));
        log::seal(&mut bytes);
        fs::create_dir_all(kept("")).expect("a folder");
        fs::write(kept(&format!("v{}.log", log::LOG_VERSION)), bytes).expect("written");
    }
    let bytes = fs::read(kept(&format!("v{}.log", log::LOG_VERSION))).expect("it is kept");
    let read = log::read(&bytes).expect("it is whole");
    let entries: Vec<String> = read.entries.iter().map(|entry| format!("{:?}", entry.input)).collect();
    assert_eq!((read.number, read.sealed, read.torn), (3, true, 0));
    assert_eq!(entries, inputs.map(|input| format!("{input:?}")));
}
