//! Checkpoints and logs that Foghorns of the past wrote: kept files, read by the Foghorn of today.
//!
//! `UPDATE=1 cargo test --test state_format` writes the files of the current version anew; those of older versions stay as
//! they are, for nobody can write them any more.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use foghorn::alert::matcher::Matcher;
use foghorn::alert::route::{GroupBy, Route, RouteTree};
use foghorn::alert::silence::{SilenceId, Wish};
use foghorn::checkpoint::parcel::{self, PARCEL_BYTES_MAX, PARCEL_VERSION, PARCEL_VERSION_MIN, Parcel};
use foghorn::checkpoint::{self, Checkpoint, Head, log};
use foghorn::config::load::load_rules_from_text;
use foghorn::edge::disk::StateDir;
use foghorn::engine::desk::{Desk, DeskConfig, DeskInput, DeskOutput, Operation, Person, ReceiverPolicy};
use foghorn::engine::local::{Happening, Local};
use foghorn::engine::plan::Plan;
use foghorn::engine::state::{CellCut, CellName, ShardCut};
use foghorn::engine::transcript::Paint;
use foghorn::model::batch::RawBatchBuilder;
use foghorn::model::position::SourceId;
use foghorn::model::{
    DeliveryId, EventTime, Evidence, Labels, Millis, Outcome, RuleMeta, Signal, ThreadHandle, Transition, WallTime,
};
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
    let mut local = Local::new(&plan, 2, desk(), 0).expect("it decodes").with_cuts();
    local.assign(&[(0, SourceId::new("requests", 0)), (0, SourceId::new("requests", 1))]);
    local
}

fn desk() -> DeskConfig {
    let route = Route { group_by: Some(GroupBy::from_names(["alertname"]).expect("a name")), ..Route::to("people") };
    let receiver = ReceiverPolicy { name: "people".into(), integrations: vec![IntegrationPolicy::new("console")] };
    DeskConfig::new(RouteTree::new(route).expect("a tree"), vec![receiver], "http://foghorn").expect("a desk")
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

/// The machine at the moment of the cut, as far as a version of the format can hold it: since 2 somebody silences things.
fn begun(version: u32) -> Local {
    let mut local = local();
    play(&mut local, 0..CUT_AT);
    if version >= 2 {
        let now = local.now();
        for (matchers, length) in [("alertname=Errors", 25), ("alertname=Gone,service=web", 90)] {
            let matchers = Matcher::parse_list(matchers).expect("matchers");
            let wish =
                Wish::new(matchers, (None, now + Millis::from_secs(length)), "ada", "a deploy").expect("in bounds");
            let fresh = SilenceId::of(length as u128);
            local.operate(Operation::Silence { from: None, wish, fresh }).expect("there is room");
        }
    }
    local
}

/// Gone on from a kept file.
fn gone_on_from(version: u32) -> Local {
    let bytes = fs::read(kept(&format!("v{version}.fog"))).expect("a file of each version that can be read is kept");
    let old = checkpoint::read(&bytes[..]).unwrap_or_else(|error| panic!("version {version}: {error}"));
    let mut cut = begun(version).cut();
    (cut.shards, cut.desk) = (old.shards, old.desk);
    let mut again = local();
    again.restore(cut).expect("its panes are whole");
    again.assign(&[(0, SourceId::new("requests", 0)), (0, SourceId::new("requests", 1))]);
    again
}

#[test]
fn a_checkpoint_of_each_version_is_gone_on_from() {
    let cut = begun(checkpoint::VERSION).cut();
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
    let mut told = Vec::new();
    for version in checkpoint::VERSION_MIN..=checkpoint::VERSION {
        let expected = play(&mut begun(version), CUT_AT..160);
        assert!(expected.contains("Errors"), "{expected}");
        assert_eq!(expected, play(&mut gone_on_from(version), CUT_AT..160), "version {version}");
        told.push(expected);
    }
    assert_ne!(told[0], told[1], "a silence makes a difference");
    assert!(told[0].contains("Gone") && !told[1].contains("Gone"), "{}", told[1]);
}

#[test]
fn a_log_of_an_older_version_is_ended_and_not_written_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = ["checkpoint-0000000003.fog", "desk-0000000003.log"];
    for (name, old) in names.iter().zip(["v1.fog", "v1.log"]) {
        let bytes = fs::read(kept(old)).expect("it is kept");
        // As it is while it is written: not sealed yet.
        fs::write(folder.path().join(name), &bytes[..bytes.len() - if old == "v1.log" { 8 } else { 0 }])
            .expect("written");
    }
    let dir = StateDir::open(folder.path()).expect("a directory");
    let mut loaded = dir.load().expect("version 1 is read");
    assert_eq!((loaded.entries.len(), loaded.next), (4, 4));
    let mut log = dir.resume_log(&mut loaded).expect("there is room");
    log.append(WallTime(9), &DeskInput::Tick).expect("there is room");
    drop((log, dir));
    let heads = ["desk-0000000003.log", "desk-0000000004.log"].map(|name| {
        let read = log::read(&fs::read(folder.path().join(name)).expect("it is there")).expect("it is whole");
        (read.version, read.entries.len(), read.sealed)
    });
    assert_eq!(heads, [(1, 4, true), (log::LOG_VERSION, 1, false)]);
    let again = StateDir::open(folder.path()).and_then(|dir| dir.load()).expect("both are read");
    assert_eq!((again.entries.len(), again.broken.len()), (5, 0));
}

/// Receipts in a log are believed under the same configuration only, so that its fingerprint must outlive the program.
#[test]
fn the_fingerprint_of_a_configuration_does_not_change() {
    assert_eq!(desk().meaning(), 3_891_396_341_342_659_147);
}

#[test]
fn a_desks_log_of_each_version_is_read() {
    let thread = Some(ThreadHandle(vec!["C1".into(), "17.5".into()]));
    let matchers = Matcher::parse_list(r#"service=~"cart|web", "a b"!="1""#).expect("matchers");
    let wish = Wish::new(matchers, (Some(WallTime(5)), WallTime(9)), "ada", "a deploy").expect("in bounds");
    let person = Person { who: "bob".into(), from: Some("192.0.2.7".into()) };
    // Each version has what the ones before it had, and more behind.
    let since = [(1, 4), (2, 11)];
    let home = || SourceId::new("requests", 3);
    let inputs = [
        DeskInput::Restarted,
        DeskInput::Tick,
        DeskInput::Receipt { receiver: "people".into(), id: DeliveryId(4), outcome: Outcome::Delivered { thread } },
        DeskInput::Receipt {
            receiver: "people".into(),
            id: DeliveryId(5),
            outcome: Outcome::Retry { after: Some(Millis(3)), throttled: true, reason: "slowly".into() },
        },
        DeskInput::Operator(Operation::Silence { from: None, wish, fresh: SilenceId::of(1) }),
        DeskInput::Operator(Operation::Expire { person, id: SilenceId::of(1) }),
        DeskInput::RestartedUnconfirmed,
        DeskInput::HomeConfirmed { home: home() },
        DeskInput::HomeAdopted { home: home(), part: Box::default() },
        DeskInput::HomeLeaving { home: home() },
        DeskInput::HomeReleased { home: home() },
    ];
    if std::env::var_os("UPDATE").is_some() {
        let mut bytes = log::head(3);
        inputs.iter().zip(1..).for_each(|(input, at)| log::push(&mut bytes, WallTime(at), input));
        log::seal(&mut bytes);
        fs::create_dir_all(kept("")).expect("a folder");
        fs::write(kept(&format!("v{}.log", log::LOG_VERSION)), bytes).expect("written");
    }
    let inputs = inputs.map(|input| format!("{input:?}"));
    for (version, count) in since {
        let bytes = fs::read(kept(&format!("v{version}.log"))).expect("it is kept");
        let read = log::read(&bytes).expect("it is whole");
        let entries: Vec<String> = read.entries.iter().map(|entry| format!("{:?}", entry.input)).collect();
        assert_eq!((read.version, read.number, read.sealed, read.torn), (version, 3, true, 0));
        assert_eq!(entries, inputs[..count], "version {version}");
    }
    assert_eq!(since.map(|(version, _)| version), [log::LOG_VERSION_MIN, log::LOG_VERSION]);
}

/// A member's desk: what it says of a partition up to `until`, where everything arrives.
fn tell(desk: &mut Desk, until: WallTime) -> Vec<String> {
    let (mut told, mut out) = (Vec::new(), Vec::new());
    while let Some(at) = desk.next_deadline().filter(|at| *at <= until) {
        desk.handle(at, DeskInput::Tick, &mut out);
        for output in std::mem::take(&mut out) {
            let DeskOutput::Deliver { receiver, delivery } = output else { continue };
            told.push(format!("{at} {:?} {:?}", delivery.notification, delivery.thread));
            let outcome = Outcome::Delivered { thread: Some(ThreadHandle(vec!["C1".into()])) };
            desk.handle(at, DeskInput::Receipt { receiver, id: delivery.id, outcome }, &mut out);
        }
        out.clear();
    }
    told
}

/// What a rule says of one service, in a partition.
fn signal(service: &str, at: WallTime, transition: Transition) -> DeskInput {
    let rule = RuleMeta { name: "Errors".into(), group: "all".into(), file: "all.yaml".into(), line: 12 };
    let at = EventTime(at.0);
    DeskInput::Signals(vec![Signal {
        rule: Arc::new(rule),
        labels: Labels::from_pairs([("alertname", "Errors"), ("service", service)]),
        transition,
        at,
        active_since: at,
        fired_at: (transition == Transition::Firing).then_some(at),
        annotations: vec![("summary".into(), format!("{service} fails"))],
        value: Some(0.5),
        evidence: Arc::new(Evidence { condition: "errors / total > 0.3".into(), ..Evidence::default() }),
        home: Some(Arc::new(SourceId::new("requests", 3))),
    }])
}

/// One alert that was told, one that waits, one that is pending, and a silence.
fn a_members_desk() -> (Desk, WallTime) {
    let (mut member, mut out, at) = (Desk::new(desk(), 0), Vec::new(), WallTime(START));
    let matchers = Matcher::parse_list("service=search").expect("matchers");
    let wish = Wish::new(matchers, (Some(at), at + Millis::from_secs(900)), "ada", "a deploy").expect("in bounds");
    let silence = Operation::Silence { from: None, wish, fresh: SilenceId::of(1) };
    member.handle(at, DeskInput::Operator(silence), &mut out);
    member.handle(at, signal("cart", at, Transition::Firing), &mut out);
    assert_eq!(tell(&mut member, at + Millis::from_secs(60)).len(), 1);
    let now = at + Millis::from_secs(70);
    member.handle(now, signal("web", now, Transition::Firing), &mut out);
    member.handle(now, signal("search", now, Transition::Firing), &mut out);
    member.handle(now, signal("pay", now, Transition::Pending), &mut out);
    (member, now)
}

#[test]
fn a_parcel_of_each_version_is_adopted() {
    let home = SourceId::new("requests", 3);
    let (mut old, now) = a_members_desk();
    if std::env::var_os("UPDATE").is_some() {
        let name = CellName { home: home.clone(), tenure: 4 };
        let parcel = Parcel {
            source: home.clone(),
            member: "foghorn-0123456789abcdef".into(),
            number: 7,
            taken_at: now,
            shard: CellCut(ShardCut { shards: 1, cell: Some(name), ..ShardCut::default() }),
            desk: old.home_cut(&home),
        };
        let packed = parcel::pack(&parcel, PARCEL_BYTES_MAX).expect("it is small");
        fs::write(kept(&format!("parcel-v{PARCEL_VERSION}.fog")), packed.bytes).expect("written");
    }
    let end = now + Millis::from_secs(3_600);
    let expected = tell(&mut old, end);
    assert_eq!(expected.len(), 2, "{expected:#?}");
    for version in PARCEL_VERSION_MIN..=PARCEL_VERSION {
        let bytes = fs::read(kept(&format!("parcel-v{version}.fog"))).expect("a file of each version is kept");
        let parcel = parcel::unpack(&bytes).unwrap_or_else(|error| panic!("version {version}: {error}"));
        assert_eq!(
            (&*parcel.member, parcel.shard.name().map(|name| name.tenure)),
            ("foghorn-0123456789abcdef", Some(4))
        );
        let mut new = Desk::new(desk(), 9);
        let part = Box::new(parcel.desk);
        new.handle(now, DeskInput::HomeAdopted { home: home.clone(), part }, &mut Vec::new());
        assert_eq!(expected, tell(&mut new, end), "version {version}");
        assert_eq!(new.counts().pending, 1, "version {version}");
    }
}
