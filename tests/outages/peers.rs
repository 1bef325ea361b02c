//! How others decide when to restart, from what their sources and documents say. Each reads the status at a period of its
//! own; none is told why something failed. None pays for an answer that comes late, or for a start that still shows FAILED.

use std::collections::BTreeMap;

use connector_guardian::decide::model::State;

use super::world::{MINUTE, Millis, SECOND, World};

pub trait Peer {
    fn period(&self) -> Millis {
        5 * MINUTE
    }

    /// What it restarts now, of what shows `FAILED`.
    fn chooses(&mut self, failed: &[usize], world: &World, now: Millis) -> Vec<usize>;
}

/// A name and a beginner of each.
pub type Named = (&'static str, fn() -> Box<dyn Peer>);
pub const PEERS: [Named; 6] = [
    ("naive", || Box::new(Naive)),
    ("origin-2", || Box::<Origin>::default()),
    ("strimzi", || Box::<Strimzi>::default()),
    // Google's managed Kafka Connect: exponentially from 60 s to 30 min, afresh when it runs after that.
    ("google", || Growing::boxed(30 * SECOND, MINUTE, 30 * MINUTE, false)),
    // A console's fixed delay.
    ("fixed-10m", || Growing::boxed(MINUTE, 10 * MINUTE, 10 * MINUTE, false)),
    // kafka-connect-healer: `min(20 s * 2^(n-1), 10 min)`.
    ("healer", || Growing::boxed(20 * SECOND, 20 * SECOND, 10 * MINUTE, true)),
];

/// The script in cron: whatever has failed, each time.
struct Naive;

impl Peer for Naive {
    fn chooses(&mut self, failed: &[usize], _: &World, _: Millis) -> Vec<usize> {
        failed.to_vec()
    }
}

/// connector-guardian 0.3.1, ratio 2: at the sightings 1, 2, 4, 8, ... in a row, seven times; one healthy run forgets. The
/// tasks of one connector overwrite each other, so that only the last of them is remembered.
#[derive(Default)]
struct Origin(BTreeMap<usize, (usize, u32, u32)>);

impl Peer for Origin {
    fn chooses(&mut self, failed: &[usize], world: &World, _: Millis) -> Vec<usize> {
        let (mut chosen, before) = (Vec::new(), std::mem::take(&mut self.0));
        for task in failed.iter().copied() {
            let connector = world.tasks[task].connector;
            let known = before.get(&connector).filter(|(known, ..)| *known == task);
            let (seen, mut restarts) = known.map_or((1, 0), |(_, seen, restarts)| (seen + 1, *restarts));
            if restarts < 7 && seen.is_power_of_two() {
                restarts += 1;
                chosen.push(task);
            }
            self.0.insert(connector, (task, seen, restarts));
        }
        chosen
    }
}

/// Strimzi's `autoRestart`: n restarts of a connector, the next `min(n * n + n, 60)` whole minutes after the last; forgotten
/// when it is well and that is over. All failed tasks of a connector at once.
#[derive(Default)]
struct Strimzi(BTreeMap<usize, (u64, Millis)>);

impl Peer for Strimzi {
    fn period(&self) -> Millis {
        2 * MINUTE
    }

    fn chooses(&mut self, failed: &[usize], world: &World, now: Millis) -> Vec<usize> {
        let mut connectors: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for task in failed.iter().copied() {
            connectors.entry(world.tasks[task].connector).or_default().push(task);
        }
        let wait = |restarts: u64| (restarts * restarts + restarts).min(60);
        self.0.retain(|connector, (restarts, last)| {
            connectors.contains_key(connector) || (now - *last) / MINUTE <= wait(*restarts)
        });
        connectors.retain(|connector, _| {
            let (restarts, last) = self.0.get(connector).copied().unwrap_or_default();
            let is_due = restarts == 0 || (now - last) / MINUTE >= wait(restarts);
            if is_due {
                self.0.insert(*connector, (restarts + 1, now));
            }
            is_due
        });
        connectors.into_values().flatten().collect()
    }
}

/// For each task: after its n-th restart the next comes `base * 2^(n-1)` later, at most `most`.
struct Growing {
    period: Millis,
    base: Millis,
    most: Millis,
    /// Seen `RUNNING` once, a task is forgotten; else only when its wait is over too.
    forgets_at_once: bool,
    /// Restarts of a task, and when the next may come.
    memory: BTreeMap<usize, (u32, Millis)>,
}

impl Growing {
    fn boxed(period: Millis, base: Millis, most: Millis, forgets_at_once: bool) -> Box<dyn Peer> {
        Box::new(Self { period, base, most, forgets_at_once, memory: BTreeMap::new() })
    }
}

impl Peer for Growing {
    fn period(&self) -> Millis {
        self.period
    }

    fn chooses(&mut self, failed: &[usize], world: &World, now: Millis) -> Vec<usize> {
        self.memory.retain(|task, (_, next)| {
            world.tasks[*task].state(now) != State::Running || !self.forgets_at_once && now <= *next
        });
        let is_due = |task: &usize| {
            let (restarts, next) = self.memory.entry(*task).or_default();
            let is_due = now >= *next;
            if is_due {
                *next = now + self.base.saturating_mul(2_u64.saturating_pow(*restarts)).min(self.most);
                *restarts += 1;
            }
            is_due
        };
        failed.iter().copied().filter(is_due).collect()
    }
}
