//! Kill, restart, compare.

use std::time::{Duration, Instant};

use foghorn::checkpoint::CRASH_POINTS;

use crate::load::{Load, PARTITIONS, SERVICES, Spread};
use crate::process::Foghorn;
use crate::receivers::{Receivers, Transcript, wait_until_told};
use crate::support::cluster::{Cluster, Kind, unique};

/// The service whose first bad time comes last. Of it nobody is told: somebody silences it before that at both, and the
/// silence outlives every kill.
const SILENCED: i64 = SERVICES - 1;

fn name_of(service: i64) -> String {
    format!("svc-{service:02}")
}

/// Two Foghorns on one topic: one is killed, the other is left alone.
pub struct Pair {
    pub load: Load,
    pub victim: Foghorn,
    pub told: Receivers,
    twin: Foghorn,
    twin_told: Receivers,
    figures: Figures,
}

/// What a run amounts to.
#[derive(Debug, Default)]
struct Figures {
    kills: usize,
    /// From the start of a process to its first judgement.
    recoveries: Vec<Duration>,
}

impl Pair {
    pub fn start(cluster: &Cluster) -> Pair {
        let topic = unique("crash");
        cluster.create_topic(&topic, PARTITIONS);
        let (told, twin_told) = (Receivers::start(), Receivers::start());
        let mut victim = Foghorn::new(cluster, &topic, &unique("crash-victim"), &told.config());
        let mut twin = Foghorn::new(cluster, &topic, &unique("crash-twin"), &twin_told.config());
        let readers = vec![victim.probe.reader(), twin.probe.reader()];
        let load = Load::start(cluster.producer(), topic, Spread::Everywhere, readers);
        let started = Instant::now();
        victim.start(None);
        twin.start(None);
        victim.wait_until_judging(started);
        twin.wait_until_judging(started);
        [&victim, &twin].iter().for_each(|foghorn| foghorn.silence(&name_of(SILENCED)));
        Pair { load, victim, told, twin, twin_told, figures: Figures::default() }
    }

    /// Kills the victim after a while, and starts it again.
    pub fn kill_after(&mut self, moment: Duration) {
        std::thread::sleep(moment);
        self.kill();
        self.revive();
    }

    pub fn kill(&mut self) {
        self.victim.assert_alive();
        self.victim.kill();
        self.figures.kills += 1;
    }

    /// Starts the victim and waits until it works.
    pub fn revive(&mut self) {
        let started = Instant::now();
        self.victim.start(None);
        self.figures.recoveries.push(self.victim.wait_until_judging(started));
        assert!(self.victim.is_silenced(&name_of(SILENCED)), "{}", self.victim.log());
    }

    /// Kills the victim, lets it kill itself at a crash point, and starts it for good.
    pub fn crash_at(&mut self, point: &str, times: u32) {
        self.kill();
        self.victim.start(Some((point, times)));
        self.victim.wait_until_crashed(point);
        self.figures.kills += 1;
        self.revive();
    }

    /// Lets everything end, and compares.
    pub fn compare(mut self) {
        self.load.end();
        let bad_times = self.load.bad_times() - self.load.clock.bad_times(SILENCED);
        wait_until_told([&self.told, &self.twin_told], 2 * bad_times);
        self.victim.assert_alive();
        self.twin.assert_alive();
        let (victim, twin) = (self.told.transcript(), self.twin_told.transcript());
        assert_same(&twin, &victim, &self.victim.log());
        for service in 0..SERVICES {
            let name = name_of(service);
            let of =
                |status: &str| twin.values().filter(|said| said.status == status && said.alerts[0][1] == name).count();
            let bad = if service == SILENCED { 0 } else { self.load.clock.bad_times(service) };
            assert_eq!((of("firing"), of("resolved")), (bad, bad), "{name}, as the script has it");
        }
        self.assert_bounded();
    }

    /// Without their keys receivers saw at most one more for each kill, and each says so.
    fn assert_bounded(&self) {
        let (repeats, chat) = (self.told.repeats(), self.told.chat_repeats());
        let Figures { kills, recoveries } = &self.figures;
        eprintln!(
            "{kills} kills, {} events, {} notifications; repeated: {} of the webhook's, {} of the chat's; paged twice: {}; \
             from start to first judgement: {:?} at most, {:?} in the mean",
            self.load.clock.events.load(std::sync::atomic::Ordering::Relaxed),
            self.told.transcript().len(),
            repeats.len(),
            chat.len(),
            self.told.paged_twice().len(),
            recoveries.iter().max().unwrap_or(&Duration::ZERO),
            recoveries.iter().sum::<Duration>() / recoveries.len().max(1) as u32,
        );
        assert_eq!(self.told.paged_twice(), Vec::<String>::new());
        assert!(repeats.iter().all(|marked| *marked), "an unmarked repeat at the webhook: {repeats:?}");
        assert!(chat.iter().all(|marked| *marked), "an unmarked repeat in the chat: {chat:?}");
        assert!(chat.len() <= *kills, "{} repeats in the chat by {kills} kills", chat.len());
        assert_eq!(self.twin_told.repeats(), Vec::<bool>::new());
    }
}

pub fn assert_same(twin: &Transcript, victim: &Transcript, log: &str) {
    let only = |these: &Transcript, those: &Transcript| -> Vec<String> {
        let missing = these.iter().filter(|(key, said)| those.get(*key) != Some(said));
        missing.map(|(key, said)| format!("  {key} {said:?}\n")).collect()
    };
    let (lost, made_up) = (only(twin, victim).concat(), only(victim, twin).concat());
    assert!(
        lost.is_empty() && made_up.is_empty(),
        "not told by who was killed:\n{lost}told by nobody else:\n{made_up}\n{log}"
    );
}

/// Kills the victim at crash points, when it passes for the first time or for one of the first `times`, and at random
/// moments, in turns.
fn kill_often(pair: &mut Pair, points: &[&str], times: u64, at_random: usize) {
    let mut chance = Chance(0x5eed);
    for turn in 0..points.len().max(at_random) {
        if let Some(point) = points.get(turn) {
            pair.crash_at(point, 1 + chance.below(times) as u32);
        }
        if turn < at_random {
            pair.kill_after(Duration::from_millis(chance.below(3_000)));
        }
    }
}

/// The embedded broker keeps who was killed in the group for a while, so each kill takes its time.
#[test]
fn killed_it_tells_the_same_on_the_embedded_broker() {
    let cluster = Cluster::start(Kind::Embedded).expect("it is built in");
    let mut pair = Pair::start(&cluster);
    kill_often(&mut pair, &["delivery_answered"], 1, 1);
    pair.compare();
}

/// At each crash point once. (For each the process is killed and started so that it will kill itself.)
#[test]
fn killed_at_every_crash_point_it_tells_the_same_on_apache_kafka() {
    let Some(cluster) = Cluster::start(Kind::Apache) else { return };
    let mut pair = Pair::start(&cluster);
    kill_often(&mut pair, CRASH_POINTS, 1, 0);
    pair.compare();
}

/// Fifty kills, or as many as `FOGHORN_CRASH_KILLS` says.
#[test]
#[ignore = "takes minutes"]
fn killed_for_minutes_it_tells_the_same_on_apache_kafka() {
    let kills = std::env::var("FOGHORN_CRASH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(50);
    let Some(cluster) = Cluster::start(Kind::Apache) else { return };
    let mut pair = Pair::start(&cluster);
    kill_often(&mut pair, CRASH_POINTS, 2, usize::saturating_sub(kills, 2 * CRASH_POINTS.len()));
    pair.compare();
}

/// The same each time.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
