//! Outages in virtual time: what each way of restarting costs. `world` is the cluster, `guardian` the real run logic in it,
//! `peers` what others do; here are the scenarios and what is measured. The same seed gives the same outage to everybody.

#![allow(dead_code, reason = "each program that includes it needs another part")]

mod guardian;
mod peers;
mod world;

use connector_guardian::decide::model::State;
use world::{Dice, HOUR, Kind, MINUTE, Millis, SECOND, World};

pub use peers::PEERS;
pub use world::Again;

/// `out-LENGTH-N`: one system is down for about that long, N connectors of two tasks need it. `mix`: three systems, a
/// poisoned task, two crash loops. `flaky`: up and down for six hours. `loop`: seven tasks that die every 2 to 300 minutes.
/// `poison`: ten tasks that only a person can cure.
pub const SCENARIOS: [&str; 11] = [
    "out-3m-20",
    "out-30m-1",
    "out-30m-20",
    "out-2h-100",
    "out-8h-100",
    "out-24h-250",
    "out-24h-5",
    "mix",
    "flaky",
    "loop",
    "poison",
];

/// Who restarts.
#[derive(Clone, Copy)]
pub enum Who<'a> {
    /// guardian, with these settings.
    Guardian(&'a [(String, String)]),
    Peer(peers::Named),
}

/// What it cost, in one play or several.
#[derive(Debug, Default)]
pub struct Measured {
    pub plays: u64,
    pub restarts: u64,
    /// Those sent while the cause was there.
    pub wasted: u64,
    /// For each sound task that runs at the end: how long it was down with nothing outside to keep it from running.
    pub downtimes: Vec<Millis>,
    /// Sound tasks that are not running at the end, in the worst play.
    pub left: usize,
    /// Restarts of the poisoned task that got most.
    pub poisoned: u32,
}

impl Measured {
    pub fn mean_minutes(&self) -> f64 {
        let sum: Millis = self.downtimes.iter().sum();
        minutes(sum) / self.downtimes.len() as f64
    }

    pub fn most_minutes(&self) -> f64 {
        minutes(self.downtimes.iter().copied().max().unwrap_or_default())
    }

    fn add(&mut self, mut world: World, stop: Millis) {
        let mut left = 0;
        for index in 0..world.tasks.len() {
            world.count_downtime(index, stop);
            let task = &world.tasks[index];
            self.restarts += u64::from(task.restarts);
            self.wasted += u64::from(task.wasted);
            match task.kind {
                Kind::Sound if task.state(stop) == State::Running => self.downtimes.push(task.lost),
                Kind::Sound => left += 1,
                Kind::Poisoned => self.poisoned = self.poisoned.max(task.restarts),
                Kind::Looping(_) => {}
            }
        }
        self.left = self.left.max(left);
        self.plays += 1;
    }
}

fn minutes(time: Millis) -> f64 {
    time as f64 / MINUTE as f64
}

/// Plays a scenario once for each of the seeds from 1 on.
pub fn play(who: Who<'_>, scenario: &str, again: Again, seeds: u64) -> Measured {
    let mut measured = Measured::default();
    for seed in 1..=seeds {
        let (mut world, stop) = world_of(scenario, seed, again);
        let phase = Dice(seed ^ 0x5eed).below(HOUR);
        match who {
            Who::Guardian(settings) => world = guardian::play(world, stop, phase, settings),
            Who::Peer((_, beginner)) => {
                let mut peer = beginner();
                let mut now = phase % peer.period();
                while now < stop {
                    for task in peer.chooses(&world.failed(now), &world, now) {
                        world.restart(task, now, false);
                    }
                    now += peer.period();
                }
            }
        }
        measured.add(world, stop);
    }
    measured
}

/// The world of a scenario, and when it ends.
fn world_of(scenario: &str, seed: u64, again: Again) -> (World, Millis) {
    let mut world = World::new(scenario.bytes().fold(seed, |sum, byte| sum * 31 + u64::from(byte)), again);
    let start = 20 * MINUTE + world.dice.below(5 * MINUTE);
    let parts: Vec<&str> = scenario.split('-').collect();
    let end = match parts[..] {
        ["out", length, connectors] => {
            let about = humantime::parse_duration(length).expect("a length").as_millis() as Millis;
            // Never a whole number of anybody's periods: nobody must win by a phase.
            let length = about * world.dice.within(85_000..115_000) / 100_000;
            let end = world.outage("db", start, length);
            add(&mut world, connectors.parse().expect("a number"), &["db"]);
            end + if about > 4 * HOUR { 26 * HOUR } else { 14 * HOUR }
        }
        ["mix"] => {
            world.outage("db", start, 2 * HOUR);
            world.outage("s3", start + 30 * MINUTE, 20 * MINUTE);
            world.outage("registry", start + 5 * HOUR, 4 * HOUR);
            add(&mut world, 30, &["db", "s3", "registry"]);
            world.connector("loop", 1, Some("s3"), Kind::Looping(20 * MINUTE));
            world.connector("loop2", 1, Some("s3"), Kind::Looping(3 * HOUR));
            world.connector("poison", 1, Some("db"), Kind::Poisoned);
            start + 24 * HOUR
        }
        ["flaky"] => {
            let (mut up, mut next) = (start, start);
            while next < start + 6 * HOUR {
                let [down, well] = [(); 2].map(|()| world.dice.within(400 * SECOND..1400 * SECOND));
                up = world.outage("db", next, down);
                next = up + well;
            }
            add(&mut world, 20, &["db"]);
            up + 12 * HOUR
        }
        ["loop"] => {
            for every in [2, 6, 12, 20, 45, 100, 300] {
                world.connector(&format!("l{every:03}"), 1, None, Kind::Looping(every * MINUTE));
            }
            24 * HOUR
        }
        ["poison"] => {
            (0..5).for_each(|number| world.connector(&format!("p{number}"), 2, None, Kind::Poisoned));
            24 * HOUR
        }
        _ => panic!("no scenario is called {scenario}"),
    };
    (world, end)
}

/// Connectors of two tasks, which need these systems in turn.
fn add(world: &mut World, connectors: usize, systems: &[&'static str]) {
    for number in 0..connectors {
        let system = systems[number % systems.len()];
        world.connector(&format!("c{number:03}"), 2, Some(system), Kind::Sound);
    }
}
