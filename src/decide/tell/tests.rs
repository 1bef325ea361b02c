//! What people hear, over nights that go wrong in every way: the real decisions, a world in virtual time, deaths at every
//! write, and a receiver that keeps book of what it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::super::cause::Cause;
use super::super::ledger::Ledger;
use super::super::listing::{Listing, Sighting};
use super::super::model::{InstanceId, State};
use super::super::outcome::Outcome;
use super::super::plan::{Rules, plan};
use super::super::policy::Policy;
use super::super::policy::tests::doubling;
use super::super::record::Record;
use super::super::select::{Filter, Patterns};
use super::super::time::Timestamp;
use super::digest::{MOST, digests};
use super::*;
use crate::decide::shared::SharedStr;

const MINUTE: Duration = Duration::from_secs(60);
const RUN: Duration = Duration::from_secs(5 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

struct World {
    /// What is there: its state, and why it fails.
    instances: BTreeMap<InstanceId, (&'static str, &'static str)>,
    paused: BTreeSet<SharedStr>,
    reachable: bool,
    /// What the state holds.
    disk: Ledger,
    policy: Policy,
    filter: Filter,
    tell: TellRules,
    now: Timestamp,
    /// Whether a restart cures.
    cures: bool,
    lost: bool,
}

/// Where a run ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    Never,
    /// Its attempts are written down.
    Charged,
    /// What it will say is written down.
    Intended,
    /// What it said was heard.
    Said,
}

const REFUSED: &str = "java.net.ConnectException: Connection refused (db1:5432)";
const POISON: &str = "org.apache.kafka.connect.errors.DataException: bad record";

impl World {
    fn new(audience: &[&str]) -> Self {
        let audience = audience
            .iter()
            .map(|name| Audience { name: SharedStr::from(*name), only: None, every_run: false })
            .collect();
        Self {
            instances: BTreeMap::new(),
            paused: BTreeSet::new(),
            reachable: true,
            disk: Ledger::default(),
            policy: doubling(),
            filter: Filter::default(),
            tell: TellRules { after: MINUTE * 15, remind: Some(DAY), audience },
            now: Timestamp::from_millis(1_000_000_000_000),
            cures: false,
            lost: false,
        }
    }

    fn connector(&mut self, name: &str, tasks: u32) {
        self.instances.insert(InstanceId::connector(name), ("RUNNING", ""));
        for task in 0..tasks {
            self.instances.insert(InstanceId::task(name, task), ("RUNNING", ""));
        }
    }

    fn set(&mut self, name: &str, task: u32, state: &'static str, cause: &'static str) {
        self.instances.insert(InstanceId::task(name, task), (state, cause));
    }

    fn listing(&self) -> Listing {
        let (mut listing, mut sightings) = (Listing::default(), Vec::new());
        for (id, (state, cause)) in &self.instances {
            let paused_or_stopped = self.paused.contains(&id.connector);
            if paused_or_stopped {
                listing.paused_or_stopped.insert(SharedStr::clone(&id.connector));
            }
            let state = State::parse(if id.task.is_none() && paused_or_stopped { "PAUSED" } else { state });
            let counts = if id.task.is_none() { &mut listing.connectors } else { &mut listing.tasks };
            counts.add(Some(&state));
            let tasks = self.instances.keys().filter(|other| other.connector == id.connector).count();
            if id.task.is_none() && tasks == 1 && state == State::Running {
                listing.no_tasks.insert(SharedStr::clone(&id.connector));
            }
            let cause = (state == State::Failed).then(|| Cause::of(cause).map(Arc::new)).flatten();
            sightings.push(Sighting { id: id.clone(), state, paused_or_stopped, cause, worker: None });
        }
        listing.sightings = sightings.into();
        listing
    }

    /// One run, five minutes after the last: what it sent, sink by sink. `fate` says what becomes of a message: whether
    /// it is heard, and what the run learns of that.
    fn run_until(&mut self, death: Death, fate: impl Fn(&str) -> (bool, Delivery)) -> Vec<(String, Digest)> {
        self.now = self.now.plus(RUN);
        let (now, mut ledger) = (self.now, self.disk.clone());
        let listing = self.listing();
        let rules = Rules { policy: &self.policy, filter: &self.filter, no_tasks_ok: &Patterns::default() };
        let mut planned = None;
        if self.reachable {
            let mut plan = plan(&mut ledger, listing, rules, now);
            plan.record_told(&mut ledger, now);
            let due: Vec<InstanceId> = plan.due().map(|line| line.id.clone()).collect();
            let charges = due.iter().map(|id| {
                let mut charge = ledger.charge(id, now);
                charge.note(Outcome::Taken, now);
                charge
            });
            let charges = charges.collect();
            if death == Death::Charged {
                self.disk = ledger;
                return Vec::new();
            }
            plan.record(&mut ledger, charges, &"unsent".into());
            if self.cures {
                for id in due {
                    self.instances.insert(id, ("RUNNING", ""));
                }
            }
            planned = Some(plan);
        } else {
            ledger.note_trouble("unreachable", "no answer", now);
        }
        let lost = std::mem::take(&mut self.lost);
        let tellings = digests(&mut ledger, planned.as_ref(), rules, &self.tell, lost, now);
        self.disk = ledger.clone();
        if death == Death::Intended {
            return Vec::new();
        }
        let mut heard = Vec::new();
        for telling in &tellings {
            let (arrives, known) = fate(&telling.sink);
            if arrives {
                heard.push((telling.sink.to_string(), telling.digest.clone()));
            }
            ledger.told.conclude(telling, known);
        }
        if death != Death::Said {
            self.disk = ledger;
        }
        heard
    }

    fn run(&mut self) -> String {
        let heard = self.run_until(Death::Never, |_| (true, Delivery::Arrived));
        heard.iter().map(|(_, digest)| show(digest)).collect::<Vec<_>>().join(" | ")
    }

    fn runs(&mut self, count: usize) -> String {
        let mut heard = String::new();
        for number in 1..=count {
            let said = self.run();
            if !said.is_empty() {
                let _ = writeln!(heard, "{number}: {said}");
            }
        }
        heard
    }
}

/// `failing 3 of 2 (db1)`.
fn show(digest: &Digest) -> String {
    let bullets = digest.bullets.iter().map(|bullet| {
        let again = if bullet.repeat { " again" } else { "" };
        let lasted = bullet.lasted.map(|it| format!(" after {} min", it.as_secs() / 60)).unwrap_or_default();
        let why = bullet.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        let (key, all, of) = (bullet.key.as_str(), bullet.instances(), bullet.members.len());
        let restarts = bullet.restarts;
        format!("{key}{again} {all} of {of}{lasted}, {restarts} restarts{why}")
    });
    bullets.collect::<Vec<_>>().join("; ")
}

#[test]
fn a_blip_is_not_told_and_a_failure_is_told_once_and_closed() {
    let mut world = World::new(&["chat"]);
    world.connector("a", 2);
    world.set("a", 0, "FAILED", REFUSED);
    assert_eq!(world.runs(3), "");
    world.set("a", 0, "RUNNING", "");
    assert_eq!(world.runs(10), "");
    assert!(world.disk.told.sinks.is_empty() && world.disk.records.iter().all(Record::is_well));
    world.set("a", 0, "FAILED", REFUSED);
    // Seen at 0, 5, 10 and 15 minutes.
    assert_eq!(world.runs(12), "4: failing 1 of 1, 2 restarts\n");
    world.set("a", 0, "RUNNING", "");
    assert_eq!(world.runs(12), "2: recovered 1 of 1 after 60 min, 3 restarts\n");
}

#[test]
fn what_a_person_must_mend_is_told_at_once_and_what_was_given_up_every_day() {
    let mut world = World::new(&["chat"]);
    world.policy.ratio = 1;
    world.connector("a", 1);
    world.set("a", 0, "FAILED", "java.sql.SQLException: password authentication failed for user x");
    assert_eq!(world.runs(1), "1: failing 1 of 1, 1 restarts\n");
    // The 6th restart is no news to who knows that it never came back.
    assert_eq!(world.runs(10), "7: gave_up 1 of 1, 7 restarts\n");
    assert_eq!(world.runs(288), "285: gave_up again 1 of 1, 7 restarts\n");
    world.tell.remind = None;
    assert_eq!(world.runs(600), "");
    world.paused.insert("a".into());
    assert_eq!(world.runs(3), "1: left_alone 1 of 1, 7 restarts (paused or stopped)\n");
}

#[test]
fn what_is_left_alone_by_whatever_is_closed() {
    for (way, said) in [
        ("excluded", "1: left_alone 1 of 1, 2 restarts (excluded by --include or --exclude)\n"),
        // As long as it is remembered: twelve runs.
        ("gone", "12: left_alone 1 of 1, 2 restarts (no longer in Connect)\n"),
    ] {
        let mut world = World::new(&["chat"]);
        world.connector("a", 1);
        world.connector("b", 1);
        world.set("a", 0, "FAILED", REFUSED);
        assert_eq!(world.runs(4), "4: failing 1 of 1, 2 restarts\n");
        if way == "gone" {
            world.instances.retain(|id, _| &*id.connector != "a");
        } else {
            world.filter = Filter::new(Patterns::default(), Patterns::new("--exclude", &["a".to_owned()]));
        }
        assert_eq!(world.runs(20), said, "{way}");
    }
}

#[test]
fn what_comes_back_and_fails_again_is_a_crash_loop_and_floods_nobody() {
    let mut world = World::new(&["chat"]);
    world.policy.ratio = 1;
    world.cures = true;
    world.connector("a", 1);
    let mut heard = String::new();
    // It runs for two runs after each restart, all day long.
    for hour in 0..24 {
        for _ in 0..4 {
            world.set("a", 0, "FAILED", REFUSED);
            for said in world.runs(3).lines() {
                let _ = writeln!(heard, "hour {hour}: {said}");
            }
        }
    }
    assert_eq!(heard, "hour 1: 1: crash_loop 1 of 1, 1 restarts\n");
    // 24 hours after the last restart.
    assert_eq!(world.runs(400), "286: recovered 1 of 1 after 1355 min, 1 restarts\n");
}

#[test]
fn an_outage_of_a_hundred_and_fifty_tasks_with_twenty_blips_is_at_most_eight_messages() {
    let mut world = World::new(&["chat"]);
    for number in 0..50 {
        world.connector(&format!("sink-{number}"), 3);
    }
    world.connector("poisoned", 1);
    let mut heard = Vec::new();
    for run in 0..144 {
        if run == 20 {
            world.cures = false;
            for number in 0..50 {
                for task in 0..3 {
                    world.set(&format!("sink-{number}"), task, "FAILED", REFUSED);
                }
            }
        }
        if run == 27 {
            world.cures = true;
        }
        if run % 7 == 0 && !(20..30).contains(&run) {
            world.set(&format!("sink-{}", run % 50), 0, "FAILED", REFUSED);
            world.cures = true;
        }
        world.set("poisoned", 0, "FAILED", POISON);
        let said = world.run();
        if !said.is_empty() {
            heard.push(format!("{run}: {said}"));
        }
    }
    assert!(heard.len() <= 8, "{}", heard.join("\n"));
    assert!(heard.iter().any(|said| said.contains("failing 150 of 50")), "{}", heard.join("\n"));
}

#[test]
fn that_nothing_can_be_done_is_told_and_that_it_can_again() {
    let mut world = World::new(&["chat"]);
    world.connector("a", 1);
    world.reachable = false;
    assert_eq!(world.runs(2), "");
    world.reachable = true;
    assert_eq!(world.runs(2), "");
    assert_eq!(world.disk.trouble, None);
    world.reachable = false;
    assert_eq!(
        world.runs(300),
        "4: unreachable 0 of 0, 4 restarts (no answer)\n292: unreachable again 0 of 0, 292 restarts (no answer)\n"
    );
    world.reachable = true;
    assert_eq!(world.runs(2), "1: recovered 0 of 0 after 1500 min, 300 restarts\n");
    world.lost = true;
    assert_eq!(world.runs(2), "1: state_lost 0 of 0, 0 restarts\n");
    assert!(world.disk.told.is_empty());
}

#[test]
fn what_is_stuck_or_without_tasks_is_told_after_half_an_hour() {
    let mut world = World::new(&["chat"]);
    world.connector("none", 0);
    world.connector("a", 1);
    world.set("a", 0, "UNASSIGNED", "");
    assert_eq!(world.runs(8), "7: stuck 1 of 1, 0 restarts; no_tasks 1 of 1, 0 restarts\n");
    world.set("a", 0, "RUNNING", "");
    assert_eq!(world.runs(3), "2: recovered 1 of 1 after 40 min, 0 restarts\n");
    world.set("none", 0, "RUNNING", "");
    assert_eq!(world.runs(3), "2: recovered 1 of 1 after 55 min, 0 restarts\n");
}

#[test]
fn who_is_not_there_keeps_his_marks_until_they_are_over_and_a_sink_hears_of_its_own_only() {
    let mut world = World::new(&["chat"]);
    world.tell.audience.push(Audience {
        name: "team".into(),
        only: Some(Patterns::new("only", &["b*".to_owned()])),
        every_run: false,
    });
    world.connector("a", 1);
    world.connector("b", 1);
    world.set("a", 0, "FAILED", REFUSED);
    assert_eq!(world.runs(4), "4: failing 1 of 1, 2 restarts\n");
    let audience = std::mem::take(&mut world.tell.audience);
    assert_eq!(world.runs(4), "");
    assert!(!world.disk.told.is_empty());
    world.tell.audience = audience;
    assert_eq!(world.runs(1), "");
    world.tell.audience.clear();
    world.set("a", 0, "RUNNING", "");
    assert_eq!(world.runs(3), "");
    assert!(world.disk.told.is_empty());
}

#[test]
fn six_an_hour_and_what_is_given_up() {
    let mut world = World::new(&["chat"]);
    let mut heard = 0;
    for number in 0..24 {
        let name = format!("c{number}");
        world.connector(&name, 1);
        world.set(&name, 0, "FAILED", "java.sql.SQLException: password authentication failed for user x");
        heard += usize::from(!world.run().is_empty());
    }
    assert_eq!(heard, MOST * 2, "two hours");
}

#[test]
fn a_sure_failure_is_as_if_nothing_had_been_said_and_an_unsure_one_is_said_again_by_the_same_name() {
    let mut world = World::new(&["chat"]);
    world.connector("a", 1);
    world.set("a", 0, "FAILED", REFUSED);
    world.runs(3);
    let before = world.disk.told.clone();
    let tried = world.run_until(Death::Never, |_| (true, Delivery::Failed));
    assert_eq!((tried.len(), &world.disk.told.is_empty()), (1, &true), "{before:?}");
    let first = world.run_until(Death::Never, |_| (true, Delivery::Unknown));
    let second = world.run_until(Death::Never, |_| (true, Delivery::Arrived));
    assert_eq!(first[0].1.first_at, second[0].1.first_at);
    assert_eq!(show(&second[0].1), "failing again 1 of 1, 2 restarts");
    assert_eq!(world.runs(2), "");
    // An end that may not have been heard, too.
    world.set("a", 0, "RUNNING", "");
    world.run();
    let first = world.run_until(Death::Said, |_| (true, Delivery::Arrived));
    let second = world.run_until(Death::Never, |_| (true, Delivery::Arrived));
    assert_eq!(first[0].1.first_at, second[0].1.first_at);
    assert_eq!(world.runs(2), "");
}

struct Dice(u64);

impl Dice {
    fn one_in(&mut self, sides: u64) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)).is_multiple_of(sides)
    }
}

/// What a receiver knows.
#[derive(Default)]
struct Book {
    open: BTreeMap<InstanceId, (Key, Timestamp)>,
    /// Messages with something that was known already, or an end of what was not.
    repeats: u64,
}

impl Book {
    fn hear(&mut self, digest: &Digest) {
        let mut known = false;
        for bullet in &digest.bullets {
            let connect = (SharedStr::from("(connect)"), vec![None]);
            let members: Vec<_> =
                bullet.members.iter().map(|(name, all)| (SharedStr::clone(name), all.clone())).collect();
            let members = if members.is_empty() { vec![connect] } else { members };
            for (connector, instances) in members {
                for task in instances {
                    let id = InstanceId { connector: SharedStr::clone(&connector), task };
                    let before = if bullet.key.closes() {
                        known |= !self.open.contains_key(&id);
                        self.open.remove(&id);
                        continue;
                    } else {
                        self.open.insert(id, (bullet.key, digest.at))
                    };
                    known |= before.is_some_and(|(key, at)| {
                        key == bullet.key && digest.at.since(at) < DAY.saturating_sub(MINUTE)
                    });
                }
            }
        }
        self.repeats += u64::from(known);
    }
}

fn any_night(seed: u64, runs: usize) {
    let mut dice = Dice(seed);
    let mut world = World::new(&["chat", "bus"]);
    for name in ["a", "b", "c", "d"] {
        world.connector(name, 3);
    }
    let mut books: BTreeMap<String, Book> = BTreeMap::new();
    let mut deaths = 0;
    let mut live = |world: &mut World, dice: &mut Dice, calm: bool| {
        let death = match () {
            () if calm => Death::Never,
            () if dice.one_in(20) => Death::Charged,
            () if dice.one_in(10) => Death::Intended,
            () if dice.one_in(10) => Death::Said,
            () => Death::Never,
        };
        let fate = match () {
            () if calm => (true, Delivery::Arrived),
            () if dice.one_in(5) => (false, Delivery::Failed),
            () if dice.one_in(10) => (false, Delivery::Unknown),
            () if dice.one_in(10) => (true, Delivery::Unknown),
            () => (true, Delivery::Arrived),
        };
        deaths += u64::from(death != Death::Never || fate.1 == Delivery::Unknown);
        for (sink, digest) in world.run_until(death, |_| fate) {
            books.entry(sink).or_default().hear(&digest);
        }
    };
    for _ in 0..runs {
        let ids: Vec<InstanceId> = world.instances.keys().filter(|id| id.task.is_some()).cloned().collect();
        let outage = dice.one_in(25);
        for id in ids {
            if outage && &*id.connector != "d" || dice.one_in(60) {
                world.instances.insert(id, ("FAILED", if outage { REFUSED } else { POISON }));
            } else if dice.one_in(12) {
                world.instances.insert(id, ("RUNNING", ""));
            } else if dice.one_in(200) {
                world.instances.insert(id, ("UNASSIGNED", ""));
            }
        }
        world.cures = dice.one_in(4);
        if dice.one_in(40) {
            world.paused.insert("b".into());
        } else if dice.one_in(10) {
            world.paused.clear();
        }
        world.reachable = if world.reachable { !dice.one_in(30) } else { dice.one_in(6) };
        world.lost = dice.one_in(200);
        live(&mut world, &mut dice, false);
    }
    // Then all is well for two days.
    world.paused.clear();
    world.reachable = true;
    world.lost = false;
    world.instances.values_mut().for_each(|state| *state = ("RUNNING", ""));
    for _ in 0..600 {
        live(&mut world, &mut dice, true);
    }
    for (sink, book) in &books {
        let open: Vec<_> = book.open.iter().filter(|(_, (key, _))| *key != Key::StateLost).collect();
        assert!(open.is_empty(), "{sink} was never told the end of {open:?} (seed {seed})");
        assert!(book.repeats <= deaths, "{sink}: {} repeats, {deaths} deaths (seed {seed})", book.repeats);
    }
    assert!(world.disk.told.is_empty(), "{:?}", world.disk.told);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn whatever_happens_all_that_was_told_is_closed_and_little_is_said_twice(seed in any::<u64>()) {
        any_night(seed, 120);
    }
}

#[test]
fn what_ran_in_between_has_not_failed_since_its_first_failure() {
    let mut world = World::new(&["chat"]);
    world.policy.ratio = 4;
    world.connector("a", 1);
    world.set("a", 0, "FAILED", REFUSED);
    assert_eq!(world.runs(1), "");
    world.set("a", 0, "RUNNING", "");
    assert_eq!(world.runs(2), "");
    world.set("a", 0, "FAILED", REFUSED);
    // Seen at 0, 5, 10 and 15 minutes of this failure, in the same episode.
    assert_eq!(world.runs(6), "4: failing 1 of 1, 2 restarts\n");
}
