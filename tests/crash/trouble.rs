//! A broker that is away, a disk that takes nothing, a receiver that is down, an orderly end.

use std::io::Write as _;
use std::time::{Duration, Instant};

use foghorn::edge::standins::Misbehaviour;
use rstest::rstest;

use crate::kills::Pair;
use crate::load::{Load, PARTITIONS, Spread};
use crate::process::Foghorn;
use crate::receivers::Receivers;
use crate::support::apache::Apache;
use crate::support::cluster::{Cluster, Kind, unique};
use crate::support::wait::wait_until;

/// The broker is killed, Foghorn too, and it comes back to a broker that is not there yet.
fn outage(away: Duration) {
    let Some(cluster) = Cluster::own_apache() else { return };
    let mut pair = Pair::start(&cluster);
    pair.kill_after(Duration::from_millis(700));
    wait_until("pages before the outage", || pair.told.transcript().len() > 10);
    let broker = apache(&cluster);
    broker.kill();
    let since = Instant::now();
    let not_reached = |victim: &Foghorn| {
        victim.get("/readyz").is_some_and(|(status, text)| status == 503 && text.contains("cannot be reached"))
    };
    wait_until("/readyz to say that no broker answers", || not_reached(&pair.victim));
    pair.kill();
    pair.victim.start(None);
    wait_until("/readyz to say it after a restart, too", || not_reached(&pair.victim));
    std::thread::sleep(away.saturating_sub(since.elapsed()));
    broker.restart();
    let back = Instant::now();
    let again = pair.victim.wait_until_judging(back);
    let _ = writeln!(std::io::stderr(), "a broker was away for {away:?}; judging again {again:?} after it came back");
    pair.kill_after(Duration::from_secs(2));
    pair.compare();
}

fn apache(cluster: &Cluster) -> &Apache {
    match cluster {
        Cluster::Own(broker) => broker,
        Cluster::Embedded(_) | Cluster::Apache(_) => unreachable!("it was asked for"),
    }
}

#[test]
fn a_broker_that_dies_for_ten_seconds_changes_nothing() {
    outage(Duration::from_secs(10));
}

#[test]
#[ignore = "takes minutes"]
fn a_broker_that_dies_for_a_minute_changes_nothing() {
    outage(Duration::from_secs(60));
}

/// A Foghorn at work, alone.
struct Alone {
    load: Load,
    foghorn: Foghorn,
    told: Receivers,
}

impl Alone {
    fn start(cluster: &Cluster) -> Alone {
        let topic = unique("trouble");
        cluster.create_topic(&topic, PARTITIONS);
        let told = Receivers::start();
        let mut foghorn = Foghorn::new(cluster, &topic, &unique("trouble"), &told.config());
        let load = Load::start(cluster.producer(), topic, Spread::Everywhere, vec![foghorn.probe.reader()]);
        let started = Instant::now();
        foghorn.start(None);
        foghorn.wait_until_judging(started);
        Alone { load, foghorn, told }
    }

    fn wait_for_checkpoint_after(&self, number: f64) -> f64 {
        let mut newest = number;
        wait_until("a new checkpoint", || {
            newest = self.foghorn.metric("foghorn_checkpoint_number").unwrap_or(number);
            newest > number
        });
        newest
    }

    fn wait_until_told_more(&self) {
        let before = self.told.webhook().messages().len();
        wait_until("another page", || self.told.webhook().messages().len() > before);
    }

    /// What `/readyz` says against it; nothing when it is ready.
    fn trouble(&self) -> Option<String> {
        let (status, text) = self.foghorn.get("/readyz")?;
        (status == 503).then_some(text)
    }

    /// State cannot be written while `broken`: that is said and counted, pages go out, and it mends by itself.
    fn survive(&mut self, says: &[&str], break_it: impl FnOnce(&Foghorn), mend: impl FnOnce(&Foghorn)) {
        let before = self.wait_for_checkpoint_after(0.0);
        assert_eq!(self.foghorn.metric("foghorn_checkpoint_failures_total"), Some(0.0));
        wait_until("/readyz to be content", || self.trouble().is_none());
        break_it(&self.foghorn);
        wait_until("/readyz to say what is wrong with the disk", || {
            self.trouble().is_some_and(|text| says.iter().all(|word| text.contains(word)))
        });
        self.wait_until_told_more();
        assert!(self.foghorn.metric("foghorn_checkpoint_failures_total").is_some_and(|failures| failures > 0.0));
        mend(&self.foghorn);
        self.wait_for_checkpoint_after(before);
        wait_until("/readyz to be content again", || self.trouble().is_none());
        self.foghorn.assert_alive();
    }

    /// Started again, it goes on; what it logs.
    fn restart(&mut self) -> String {
        let started = Instant::now();
        self.foghorn.start(None);
        self.foghorn.wait_until_judging(started);
        let log = self.foghorn.probe.log_of_this_life();
        assert!(log.contains("going on from a checkpoint"), "{log}");
        log
    }

    /// Everything the script holds was told, by its key once, and nothing else.
    fn assert_all_told(&mut self) {
        self.load.end();
        let all = 2 * self.load.bad_times();
        wait_until("the end to be told", || self.told.transcript().len() >= all);
        assert_eq!(self.told.transcript().len(), all);
        assert_eq!(self.told.paged_twice(), Vec::<String>::new());
        assert!(self.told.repeats().iter().all(|marked| *marked), "{:?}", self.told.repeats());
    }

    /// The state that was written since is whole: a kill, and nothing is told twice.
    fn come_back(mut self) {
        self.foghorn.kill();
        let log = self.restart();
        assert!(!log.contains("broken"), "{log}");
        self.assert_all_told();
    }
}

/// Files may not grow, which is what a full disk is to a process; unlike a disk it can be had by everybody.
#[test]
fn a_full_disk_is_said_pages_go_out_and_it_mends_by_itself() {
    let cluster = Cluster::start(Kind::Embedded).expect("it is built in");
    let mut alone = Alone::start(&cluster);
    let state = alone.foghorn.state();
    let says = ["too large", state.file_name().and_then(|name| name.to_str()).expect("a name"), "pages still go out"];
    alone.survive(&says, |foghorn| limit_files(foghorn.pid(), 1), |foghorn| limit_files(foghorn.pid(), u64::MAX));
    alone.come_back();
}

fn limit_files(pid: i32, bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: a plain system call on our own child; the new limit is read, and the old one not asked for.
    let set = unsafe { libc::prlimit(pid, libc::RLIMIT_FSIZE, &limit, std::ptr::null_mut()) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

/// The directory is gone and a file stands in its place: nothing can be written there, whoever one is.
#[test]
fn a_directory_that_cannot_be_written_is_said_pages_go_out_and_it_mends_by_itself() {
    let cluster = Cluster::start(Kind::Embedded).expect("it is built in");
    let mut alone = Alone::start(&cluster);
    let aside = |foghorn: &Foghorn| foghorn.state().with_extension("aside");
    let take_away = |foghorn: &Foghorn| {
        std::fs::rename(foghorn.state(), aside(foghorn)).expect("moved");
        std::fs::write(foghorn.state(), "no directory").expect("written");
    };
    let give_back = |foghorn: &Foghorn| {
        std::fs::remove_file(foghorn.state()).expect("removed");
        std::fs::rename(aside(foghorn), foghorn.state()).expect("moved");
    };
    alone.survive(&["in state:", "Not a directory"], take_away, give_back);
    alone.come_back();
}

/// How long an orderly end may take while a receiver hangs: the deliveries under way have ten seconds.
const END_MAX: Duration = Duration::from_secs(20);

/// The receiver refuses everything, or never answers; then SIGTERM: what is unsent is kept and sent after the restart,
/// once.
#[rstest]
#[case::refused(Misbehaviour::status(503))]
#[case::unanswered(Misbehaviour::Hang)]
fn a_stop_in_good_order_keeps_what_is_unsent(#[case] trouble: Misbehaviour) {
    let cluster = Cluster::start(Kind::Embedded).expect("it is built in");
    let mut alone = Alone::start(&cluster);
    alone.wait_until_told_more();
    let before = alone.told.transcript().len();
    let script = alone.told.webhook().script();
    script.push_times(10_000, &trouble);
    wait_until("pages that do not arrive", || script.left() < 9_998);
    let told = alone.told.transcript().len();
    assert!(told <= before + 1, "it takes nothing");

    let (status, took) = alone.foghorn.terminate();
    assert_eq!(status.code(), Some(0), "{}", alone.foghorn.log());
    assert!(took < END_MAX, "the end took {took:?}");
    script.clear();
    assert_eq!(alone.told.transcript().len(), told, "nobody is told by a process that has ended");

    let log = alone.restart();
    assert!(log.contains("clean=true"), "it goes on from the checkpoint of its end: {log}");
    alone.assert_all_told();
    assert_eq!(alone.told.repeats(), Vec::<bool>::new(), "nothing is sent twice");
}

/// A checkpoint of a newer Foghorn is not passed over: that would throw away what happened since. One that is torn is, and
/// that is said; the one before it and the logs since say the same.
#[test]
fn a_newer_checkpoint_is_refused_and_a_torn_one_falls_back_to_the_one_before() {
    let cluster = Cluster::start(Kind::Embedded).expect("it is built in");
    let mut alone = Alone::start(&cluster);
    let first = alone.wait_for_checkpoint_after(0.0);
    let second = alone.wait_for_checkpoint_after(first);
    alone.wait_for_checkpoint_after(second);
    alone.foghorn.kill();
    let checkpoints = alone.foghorn.state_files(".fog");
    let (newest, before) = (&checkpoints[checkpoints.len() - 1], &checkpoints[checkpoints.len() - 2]);
    let whole = std::fs::read(newest).expect("read");

    let mut newer = whole.clone();
    newer[8..12].copy_from_slice(&u32::MAX.to_le_bytes()); // behind the magic word
    std::fs::write(newest, &newer).expect("written");
    alone.foghorn.start(None);
    assert_eq!(alone.foghorn.wait_until_ended().code(), Some(2));
    wait_until("the reason", || alone.foghorn.probe.log_of_this_life().contains("written by a newer Foghorn"));
    assert_eq!(std::fs::read(newest).expect("read"), newer, "it is left as it is");

    std::fs::write(newest, &whole[..whole.len() / 2]).expect("written");
    let log = alone.restart();
    let name = |path: &std::path::Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(log.contains("broken and set aside: it is torn") && log.contains(&name(newest)), "{log}");
    let number: u64 = name(before).trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number");
    assert!(log.contains(&format!("checkpoint={number} ")), "not from {}: {log}", before.display());
    assert_eq!(alone.foghorn.state_files(".fog.broken").len(), 1);
    alone.assert_all_told();
}
