//! Real data down both roads: from files with `replay`, and out of Kafka with `run --rehearse`. They must tell the same
//! story, to the byte, whatever the batches, shards, compression, and partitions are.
//!
//! The data are logs of real machines, kept outside the repository; where they are not there, this is said loudly.

mod support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use foghorn::edge::kafka::Outgoing;
use rstest::rstest;
use support::cluster::{Cluster, Kind, unique};
use support::wait::PATIENCE;

/// A log, and the pack that reads it.
#[derive(Clone, Copy, Debug)]
struct Road {
    stream: &'static str,
    log: &'static str,
    pack: &'static str,
}

const AUTH: Road = Road { stream: "auth", log: "auth.log", pack: "rules/ssh" };
const ACCESS: Road = Road { stream: "access", log: "apache_access.log", pack: "rules/http" };

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The recorded file; `None`, said loudly, where it is not.
fn recorded(road: Road) -> Option<PathBuf> {
    let places = ["../shared/data", "../../shared/data"].map(|place| home().join(place).join("elastic-examples"));
    let found = places.iter().map(|place| place.join(road.log)).find(|path| path.is_file());
    if found.is_none() {
        // Past the test harness, which keeps what a passing test prints to itself.
        let _ = writeln!(std::io::stderr(), "\n*** NOT TESTED *** `{}` is not there: {places:?}\n", road.log);
    }
    found
}

/// Standard output of `foghorn` with these arguments, which ends well.
fn foghorn(args: &[&str]) -> String {
    let (code, out, err) = answer(args);
    assert_eq!(code, 0, "{args:?}: {err}");
    out
}

fn answer(args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foghorn"));
    command.current_dir(home()).env_remove("FOGHORN_CONFIG").env_remove("FOGHORN_LOG_FORMAT").args(args);
    let output = command.output().expect("the program is built");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("not killed"), text(output.stdout), text(output.stderr))
}

fn replay(road: Road, file: &Path, more: &[&str]) -> String {
    let file = file.to_str().expect("UTF-8");
    foghorn(&[&["replay", "--quiet", "--stream", road.stream, file, "--rules", road.pack], more].concat())
}

#[test]
fn the_burst_of_failed_logins_fires_once_resolves_and_names_the_address() {
    let Some(file) = recorded(AUTH) else { return };
    let lines: Vec<serde_json::Value> = replay(AUTH, &file, &["--json"])
        .lines()
        .map(|line| serde_json::from_str(line).expect("one object a line"))
        .collect();
    let burst = |line: &&serde_json::Value| line["alerts"][0]["rule"] == "SshFailedLoginBurst";
    let bursts: Vec<&serde_json::Value> = lines.iter().filter(burst).collect();
    let told: Vec<(&str, &str)> = bursts
        .iter()
        .map(|line| (line["at"].as_str().expect("a time"), line["status"].as_str().expect("a status")))
        .collect();
    assert_eq!(told, [("2017-03-30T15:57:30Z", "firing"), ("2017-03-30T16:15:30Z", "resolved")]);

    let alert = &bursts[0]["alerts"][0];
    assert_eq!(alert["labels"]["host"], "ip-10-77-20-248");
    let top = &alert["evidence"]["contributors"][0];
    assert_eq!((&top["name"], &top["value"]), (&"address".into(), &"24.151.103.17".into()));
    let counted = fs::read_to_string(&file).expect("read");
    let within =
        |line: &&str| line.contains("Failed password for") && line.starts_with("Mar 30 15:5") && line < &"Mar 30 15:57";
    assert_eq!(top["count"].as_u64(), Some(counted.lines().filter(within).count() as u64), "as grep counts");
    assert!(alert["evidence"]["exemplars"][0]["text"].as_str().is_some_and(|text| text.contains("24.151.103.17")));

    // Every firing has its end, and nothing is told twice.
    let of = |status: &str| lines.iter().filter(|line| line["status"] == status && line["reason"] != "repeat").count();
    assert_eq!(of("firing"), of("resolved"));
    let mut keys: Vec<&str> = lines.iter().filter_map(|line| line["idempotency_key"].as_str()).collect();
    keys.sort_unstable();
    let all = keys.len();
    keys.dedup();
    assert_eq!((keys.len(), all), (lines.len(), lines.len()));
}

#[rstest]
fn a_replay_is_the_same_whatever_the_batches_shards_and_compression(#[values(AUTH, ACCESS)] road: Road) {
    let Some(file) = recorded(road) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = fs::read(&file).expect("read");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&bytes).expect("compressed");
    let packed = [gzip.finish().expect("compressed"), zstd::encode_all(&bytes[..], 1).expect("compressed")];
    let text = replay(road, &file, &[]);
    let json = replay(road, &file, &["--json"]);
    assert!(text.contains("  FIRING  ") && text.contains("  RESOLVED  "), "{text}");
    assert_eq!(json.lines().count(), text.lines().filter(|line| line.starts_with("20")).count());

    for (batch, shards) in [("1", "2"), ("100", "1"), ("100", "8"), ("8192", "2"), ("8192", "8")] {
        let cut = ["--batch", batch, "--shards", shards];
        assert_eq!(replay(road, &file, &cut), text, "{cut:?}");
        assert_eq!(replay(road, &file, &[&cut[..], &["--json"]].concat()), json, "{cut:?}");
    }
    for (name, bytes) in ["log.1", "log.2"].iter().zip(packed) {
        // Told by the content, not by the name.
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("written");
        assert_eq!(replay(road, &path, &[]), text, "{name}");
    }
}

/// A configuration for `cluster`, with the packs as they are shipped.
fn config(cluster: &Cluster, more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "kafka:\n  brokers: [\"{}\"]\n  group: {}\n  properties: {{ fetch.wait.max.ms: 20 }}\n\
         log: {{ level: error }}\n{more}",
        cluster.bootstrap(),
        unique("roads"),
    );
    fs::write(folder.path().join("foghorn.yaml"), text).expect("written");
    folder
}

fn rehearse(folder: &Path, shards: &str) -> String {
    let config = folder.join("foghorn.yaml");
    let config = config.to_str().expect("UTF-8");
    foghorn(&["run", "-c", config, "--rehearse", "--shards", shards])
}

/// Line by line, dealt out to the topic's partitions in turn.
fn produce(cluster: &Cluster, topic: &str, partitions: i32, file: &Path) {
    cluster.create_topic(topic, partitions);
    let producer = cluster.producer();
    let text = fs::read(file).expect("read");
    for (partition, line) in (0..partitions).cycle().zip(text.split(|byte| *byte == b'\n')) {
        let record = Outgoing { topic, partition: Some(partition), payload: line, ..Outgoing::default() };
        if !line.is_empty() {
            producer.send_patiently(record).expect("a record any broker takes");
        }
    }
    assert!(producer.flush(PATIENCE), "{:?}", producer.problems());
}

#[rstest]
#[case::embedded(Kind::Embedded)]
#[case::apache(Kind::Apache)]
fn both_roads_tell_the_same_story(#[case] kind: Kind) {
    let (Some(auth), Some(access)) = (recorded(AUTH), recorded(ACCESS)) else { return };
    let Some(cluster) = Cluster::start(kind) else { return };
    for (road, file) in [(AUTH, &auth), (ACCESS, &access)] {
        produce(&cluster, road.stream, 1, file);
        let pack = home().join(road.pack);
        let folder = config(&cluster, &format!("rules: [\"{}\"]\n", pack.display()));
        // Files are named from the configuration's folder on one road and from here on the other.
        let name = |text: &str| text.replace(&format!("{}/", home().display()), "");
        let expect = replay(road, file, &[]);
        for shards in ["1", "3"] {
            assert_eq!(name(&rehearse(folder.path(), shards)), expect, "{road:?} with {shards} shards");
        }
    }

    // The same lines dealt out to four partitions: each is in order, and the slowest sets the pace.
    let topic = unique("auth");
    produce(&cluster, &topic, 4, &auth);
    let pack = fs::read_to_string(home().join("rules/ssh/ssh.yaml")).expect("read");
    let folder = config(&cluster, "rules: [ssh.yaml]\n");
    let dealt = pack.replace("topics: auth\n", &format!("topics: {topic}\n"));
    fs::write(folder.path().join("ssh.yaml"), dealt).expect("written");
    let heads = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| line.starts_with("20"))
            .map(|line| line.split("  (").next().unwrap_or(line).to_owned())
            .collect()
    };
    let expect = heads(&replay(AUTH, &auth, &[]));
    for shards in ["1", "3"] {
        assert_eq!(heads(&rehearse(folder.path(), shards)), expect, "four partitions, {shards} shards");
    }
}

/// It would wait for the end of what never begins.
#[rstest]
#[case::a_name(Some(Kind::Embedded), "nowhere", "there is no topic `nowhere` of stream `auth`")]
#[case::a_name_on_apache(Some(Kind::Apache), "nowhere", "there is no topic `nowhere` of stream `auth`")]
#[case::a_pattern(Some(Kind::Apache), "^no-such-[0-9]$", "there is no topic `^no-such-[0-9]$` of stream `auth`")]
#[case::no_broker(None, "auth", "Kafka at 127.0.0.1:9 did not say within 15 s which topics it has: a broker cannot be")]
fn a_rehearsal_of_what_is_not_there_fails_soon(#[case] kind: Option<Kind>, #[case] topic: &str, #[case] expect: &str) {
    let cluster = match kind.map(Cluster::start) {
        Some(None) => return,
        cluster => cluster.flatten(),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let brokers = cluster.as_ref().map_or_else(|| "127.0.0.1:9".to_owned(), Cluster::bootstrap);
    let text = format!("kafka: {{ brokers: [\"{brokers}\"], group: g }}\nrules: [ssh.yaml]\n");
    fs::write(folder.path().join("foghorn.yaml"), text).expect("written");
    let pack = fs::read_to_string(home().join("rules/ssh/ssh.yaml")).expect("read");
    let pack = pack.replace("topics: auth\n", &format!("topics: {topic}\n"));
    fs::write(folder.path().join("ssh.yaml"), pack).expect("written");
    let output = assert_cmd::Command::cargo_bin("foghorn")
        .expect("the program is built")
        .current_dir(&folder)
        .args(["run", "--rehearse"])
        .timeout(PATIENCE)
        .output()
        .expect("it ends by itself");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(expect), "{said}");
}

#[test]
fn what_cannot_be_done_is_said_with_a_reason_and_a_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let write = |name: &str, text: &str| fs::write(path(name), text).expect("written");
    write("log", "Mar 30 15:56:01 a sshd[1]: hello\n");
    write("none.scn", "rules none.yaml\n");
    write(
        "bad.yaml",
        "groups:\n  - name: g\n    rules:\n      - { alert: A, from: nothing, window: 1m, let: { n: count(*) }, when: n > 1 }\n",
    );
    write("bad.scn", "rules bad.yaml\n");
    write("verb.scn", "rules bad.yaml\nwait 5m\n");
    write("no-kafka.yaml", "rules: []\n");
    fs::create_dir(path("empty")).expect("made");
    let (log, rules) = (path("log"), "rules/ssh");

    let check = |args: &[&str], code: i32, says: &str| {
        let (got, out, err) = answer(args);
        assert_eq!(got, code, "{args:?}\n{out}\n{err}");
        let all = format!("{out}{err}");
        assert!(all.contains(says), "{args:?} should say `{says}`:\n{all}");
        assert!(!all.contains("panicked"), "{all}");
    };
    check(&["replay", "--stream", "nope", &log, "--rules", rules], 2, "there is no stream `nope`; there are: auth");
    check(&["replay", "--stream", "auth", &path("gone"), "--rules", rules], 2, "gone");
    check(&["replay", "--stream", "auth", &path("empty"), "--rules", rules], 2, "holds no files");
    check(&["replay", "--stream", "auth", &log, "--rules", &path("gone.yaml")], 2, "gone.yaml");
    check(&["replay", "--stream", "auth", &log, "--rules", &path("bad.yaml")], 1, "there is no stream `nothing`");
    check(&["replay", "--stream", "auth", &log, "-c", &path("gone.yaml")], 2, "gone.yaml");
    check(&["replay", &log, "--rules", rules], 2, "--stream");
    check(&["replay", "--stream", "auth", &log, "--rules", rules, "--shards", "0"], 2, "--shards");
    check(&["replay", "--stream", "auth", &log, "--rules", rules, "--batch", "0"], 2, "--batch");
    check(&["replay", "--stream", "auth", &log, "--rules", rules], 0, "1 lines");
    check(&["test", &path("gone.scn")], 2, "gone.scn");
    check(&["test", &path("empty")], 2, "no `.scn` files were found");
    check(&["test", &path("none.scn")], 1, "none.yaml");
    check(&["test", &path("bad.scn")], 1, "there is no stream `nothing`");
    check(&["test", &path("verb.scn")], 1, "line 2: `wait` is no word of a scenario");
    check(&["run", "-c", &path("gone.yaml")], 2, "gone.yaml");
    check(&["run", "-c", &path("no-kafka.yaml")], 2, "names no Kafka cluster");
    check(&["run", "-c", &path("bad.yaml")], 1, "error");
}
