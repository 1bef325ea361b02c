//! What a scenario gets: a worker of its version with no connectors on it, an empty home for guardian, and a
//! verdict.
//!
//! It owns the sharing: one worker per version for the whole run, lent to one scenario at a time, so that
//! guardian's counts are exact and two versions can be tested side by side.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::cluster::{self, Cluster};
use crate::connect::{Setup, Worker};
use crate::guardian::{Guardian, Run};
use crate::jars::{self, Version};
use crate::jvm;
use crate::table;
use crate::wire::Wire;

/// Declares one test per version for a scenario function of the same name: one that takes a `Scene`; as
/// "clustered", a `Cluster`; as "alone", a `Version`, to start workers of its own.
macro_rules! scenario {
    (clustered $name:ident on $($version:ident)+) => {
        $crate::scene::scenario!(@ play_clustered $name $($version)+);
    };
    (alone $name:ident on $($version:ident)+) => {
        $crate::scene::scenario!(@ play_alone $name $($version)+);
    };
    ($name:ident on $($version:ident)+) => {
        $crate::scene::scenario!(@ play $name $($version)+);
    };
    (@ $play:ident $name:ident $($version:ident)+) => {
        mod $name {
            $(
                #[test]
                #[ignore = "starts real Apache Kafka: run with --ignored"]
                #[allow(non_snake_case, reason = "a release is named as its label is")]
                fn $version() {
                    $crate::scene::$play(&$crate::jars::$version, stringify!($name), super::$name);
                }
            )+
        }
    };
}
pub(crate) use scenario;

pub struct Scene {
    worker: MutexGuard<'static, Option<Worker>>,
    /// Between guardian and the worker.
    pub wire: Wire,
    home: PathBuf,
}

/// Plays one scenario on the shared worker of a version and enters the outcome into the table.
pub fn play(version: &'static Version, name: &'static str, scenario: impl FnOnce(&mut Scene)) {
    let mut verdict = Verdict::awaited(version, name);
    let worker = lend_worker(version);
    let port = worker.as_ref().map(|worker| worker.port).expect("lent with a worker in it");
    let mut scene = Scene { worker, wire: Wire::to(port), home: jvm::new_folder("guardian") };
    // The wait for the worker, or its start, is not the scenario's.
    verdict.started = Instant::now();
    let tail = ShowOnPanic(scene.worker().log().clone());
    scenario(&mut scene);
    drop(tail);
}

/// Plays one scenario that starts workers of its own.
pub fn play_alone(version: &'static Version, name: &'static str, scenario: impl FnOnce(&'static Version)) {
    let _verdict = Verdict::awaited(version, name);
    scenario(version);
}

/// Plays one scenario on the two shared workers of a version.
pub fn play_clustered(version: &'static Version, name: &'static str, scenario: impl FnOnce(&mut Cluster)) {
    let mut verdict = Verdict::awaited(version, name);
    let mut lent = cluster::lend(version);
    let cluster = lent.as_mut().expect("lent with a cluster in it");
    verdict.started = Instant::now();
    let tails = [&cluster.leader, &cluster.follower].map(|worker| ShowOnPanic(worker.log().clone()));
    scenario(cluster);
    drop(tails);
}

fn lend_worker(version: &'static Version) -> MutexGuard<'static, Option<Worker>> {
    static WORKERS: [Mutex<Option<Worker>>; jars::ALL.len()] = [const { Mutex::new(None) }; jars::ALL.len()];
    let index =
        jars::ALL.iter().position(|known| known.number == version.number).expect("a version of the table");
    // A scenario that failed on this worker does not spoil it for the next: its connectors are deleted now.
    let mut lent = WORKERS[index].lock().unwrap_or_else(PoisonError::into_inner);
    lent.get_or_insert_with(|| Setup::distributed(version).start()).delete_all_connectors();
    lent
}

impl Scene {
    pub fn worker(&self) -> &Worker {
        self.worker.as_ref().expect("lent with a worker in it")
    }

    /// A guardian of this scenario: its state is empty at first and stays from run to run.
    pub fn guardian(&self) -> Guardian {
        Guardian::new(&self.wire.url(), &self.home)
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The text of guardian's state, "" when there is none.
    pub fn state(&self) -> String {
        std::fs::read_to_string(self.guardian().state_file()).unwrap_or_default()
    }

    /// One run of it: see `Guardian::once`.
    pub fn run(&self, args: &[&str]) -> Run {
        self.guardian().once(args)
    }
}

struct ShowOnPanic(jvm::Log);

impl Drop for ShowOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.0.tail());
        }
    }
}

struct Verdict {
    version: &'static Version,
    scenario: &'static str,
    started: Instant,
}

impl Verdict {
    fn awaited(version: &'static Version, scenario: &'static str) -> Verdict {
        Verdict { version, scenario, started: Instant::now() }
    }
}

impl Drop for Verdict {
    fn drop(&mut self) {
        let outcome = if std::thread::panicking() {
            "FAILED".to_owned()
        } else {
            format!("{:.1} s", self.started.elapsed().as_secs_f64())
        };
        table::enter(self.scenario, self.version.number, outcome);
    }
}
