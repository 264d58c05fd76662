//! Two members of one group, whose rules are local: they are killed, stopped and started again, and partitions move between
//! them. Beside them their twin reads the same topic alone, in a group of its own, undisturbed.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::kills::{Chance, assert_same};
use crate::load::{Load, PARTITIONS, Reader, Spread};
use crate::process::{Foghorn, Probe};
use crate::receivers::{Receivers, wait_until_told};
use crate::support::cluster::{Cluster, Kind, unique};
use crate::support::wait::PATIENCE;

struct Team {
    load: Load,
    members: [Foghorn; 2],
    told: Receivers,
    twin: Foghorn,
    twin_told: Receivers,
    kills: usize,
}

impl Team {
    fn start(cluster: &Cluster) -> Team {
        let topic = unique("team");
        cluster.create_topic(&topic, PARTITIONS);
        let (told, twin_told) = (Receivers::start(), Receivers::start());
        let group = unique("team");
        let mut members = [(); 2].map(|()| Foghorn::new(cluster, &topic, &group, &told.config()).local());
        let mut twin = Foghorn::new(cluster, &topic, &unique("team-twin"), &twin_told.config()).local();
        let probes = members.each_ref().map(|member| member.probe.clone());
        let readers = vec![together(probes), twin.probe.reader()];
        let load = Load::start(cluster.producer(), topic, Spread::Keyed, readers);
        let started = Instant::now();
        twin.start(None);
        members[0].start(None);
        members[0].wait_until_judging(started);
        twin.wait_until_judging(started);
        members[1].start(None);
        let team = Team { load, members, told, twin, twin_told, kills: 0 };
        team.wait_until_shared();
        team
    }

    /// Waits until both read, and all is read.
    fn wait_until_shared(&self) {
        self.wait_until("both members to have partitions", |held| {
            held.iter().all(|held| *held > 0) && held.iter().sum::<i32>() == PARTITIONS
        });
    }

    /// Waits until one has taken over what the other had.
    fn wait_until_taken_over(&self, by: usize) {
        self.wait_until("the other to take over", |held| held[by] == PARTITIONS);
    }

    /// Waits until the members hold so many partitions.
    fn wait_until(&self, what: &str, condition: impl Fn([i32; 2]) -> bool) {
        let started = Instant::now();
        loop {
            let held = self.members.each_ref().map(|member| member.probe.partitions());
            if condition(held.each_ref().map(|held| held.len() as i32)) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "waited in vain for {what}: {held:?}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn logs(&self) -> String {
        self.members.each_ref().map(Foghorn::log).join("\n\nthe other:\n")
    }

    fn kill(&mut self, member: usize) {
        self.members[member].assert_alive();
        self.members[member].kill();
        self.kills += 1;
    }

    /// Lets everything end, and compares.
    fn compare(mut self) {
        self.load.end();
        let expected = 2 * self.load.bad_times();
        wait_until_told([&self.told, &self.twin_told], expected);
        let (team, twin) = (self.told.transcript(), self.twin_told.transcript());
        let (repeats, chat) = (self.told.repeats(), self.told.chat_repeats());
        eprintln!(
            "{} kills, {} notifications of {expected}; repeated: {} of the webhook's, {} of the chat's; paged twice: {}",
            self.kills,
            team.len(),
            repeats.len(),
            chat.len(),
            self.told.paged_twice().len()
        );
        assert_same(&twin, &team, &self.logs());
        assert_eq!(twin.len(), expected, "as the script has it: {}", self.twin.log());
        assert_eq!(self.told.paged_twice(), Vec::<String>::new());
        assert!(repeats.iter().all(|marked| *marked), "an unmarked repeat at the webhook: {repeats:?}");
        assert!(chat.iter().all(|marked| *marked), "an unmarked repeat in the chat: {chat:?}");
        assert!(chat.len() <= self.kills, "{} repeats in the chat by {} kills", chat.len(), self.kills);
    }
}

/// How far members are together: a partition is as far as whoever was farthest with it.
fn together(probes: [Probe; 2]) -> Reader {
    let reached = Mutex::new(BTreeMap::new());
    Box::new(move || {
        let mut reached = reached.lock().expect("no reader panics");
        for (partition, watermark) in probes.iter().flat_map(Probe::partitions) {
            let Some(watermark) = watermark else { continue };
            let known = reached.entry(partition).or_insert(watermark);
            *known = watermark.max(*known);
        }
        let all = reached.len() == usize::try_from(PARTITIONS).expect("a few");
        reached.values().copied().min().filter(|_| all)
    })
}

/// One is killed and stays away until the other has its partitions, and comes back; `rounds` times, in turns. Then one is
/// told to stop, and starts again.
fn in_turns(kind: Kind, rounds: usize) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let mut team = Team::start(&cluster);
    let mut chance = Chance(0x5eed);
    for round in 0..rounds {
        let (victim, other) = (round % 2, 1 - round % 2);
        std::thread::sleep(Duration::from_millis(500 + chance.below(3_000)));
        team.kill(victim);
        team.wait_until_taken_over(other);
        std::thread::sleep(Duration::from_millis(chance.below(2_000)));
        team.members[victim].start(None);
        team.wait_until_shared();
    }
    let (status, _) = team.members[0].terminate();
    assert_eq!(status.code(), Some(0), "{}", team.members[0].log());
    team.wait_until_taken_over(1);
    team.members[0].start(None);
    team.wait_until_shared();
    team.compare();
}

#[test]
fn two_members_that_are_killed_in_turns_tell_what_one_tells_on_the_embedded_broker() {
    in_turns(Kind::Embedded, 2);
}

#[test]
fn two_members_that_are_killed_in_turns_tell_what_one_tells_on_apache_kafka() {
    in_turns(Kind::Apache, 3);
}

/// Who comes back before its session is over finds its partitions as it left them; each is killed where a notification may
/// have gone out of which nobody knows.
#[test]
fn a_member_that_comes_back_at_once_goes_on_with_its_partitions() {
    let Some(cluster) = Cluster::start(Kind::Apache) else { return };
    let mut team = Team::start(&cluster);
    for (victim, point) in [(0, "delivery_answered"), (1, "delivery_started"), (0, "checkpoint_renamed")] {
        team.kill(victim);
        team.members[victim].start(Some((point, 1)));
        team.members[victim].wait_until_crashed(point);
        team.kills += 1;
        team.members[victim].start(None);
        team.wait_until_shared();
    }
    team.compare();
}
