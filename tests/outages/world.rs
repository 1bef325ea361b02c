//! A Kafka Connect cluster in virtual time: tasks that depend on systems, which are down for a while, and tasks that only a
//! person can mend. It draws by a seed when each task fails, answers what state a task shows, and counts what restarts
//! cost. It knows nobody who restarts.

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;

use connector_guardian::decide::cause::Cause;
use connector_guardian::decide::model::State;
use connector_guardian::decide::shared::SharedStr;

/// A moment or a length, in milliseconds.
pub type Millis = u64;
pub const SECOND: Millis = 1000;
pub const MINUTE: Millis = 60 * SECOND;
pub const HOUR: Millis = 60 * MINUTE;
const NEVER: Millis = Millis::MAX;

/// Where the cause is gone, so many restarts in a hundred fail for a reason of their own.
const UNLUCKY_PERCENT: u64 = 3;
/// So long after a system went down a task that needs it fails.
const NOTICED: Range<Millis> = 5 * SECOND..240 * SECOND;
/// So long a start takes that goes well, as seen of real connectors.
const STARTS: Range<Millis> = 50..600;
/// What failures say; `#` is another number each time.
const CAUSES: [(&str, &str); 6] = [
    (
        "db",
        "java.sql.SQLTransientConnectionException: HikariPool-# - Connection is not available, request timed out \
         after 3#ms",
    ),
    (
        "s3",
        "software.amazon.awssdk.core.exception.SdkClientException: Unable to execute HTTP request: Connect to \
         bucket.store.example:443 failed (attempt #)",
    ),
    (
        "registry",
        "io.confluent.kafka.schemaregistry.client.rest.exceptions.RestClientException: Service Unavailable; error \
         code: 503",
    ),
    (POISON, "org.apache.kafka.connect.errors.DataException: Unknown magic byte at offset #"),
    (MEMORY, "java.lang.OutOfMemoryError: Java heap space"),
    (UNLUCKY, "org.apache.kafka.common.errors.TimeoutException: Timed out waiting for a node assignment"),
];
const POISON: &str = "poison";
const MEMORY: &str = "memory";
const UNLUCKY: &str = "unlucky";

/// When a restarted task fails again whose cause is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// After 2 to 90 s, evenly; until then it is `RUNNING`.
    Evenly,
    /// As 149 restarts of real connectors did: two thirds within 0.3 s; a quarter hangs in its start for the 30 s of a
    /// connection pool; the rest runs, and fails after a minute of tries of its own.
    AsMeasured,
}

/// What is wrong with a task, besides the system that it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    Sound,
    /// A record that cannot be read: every start fails.
    Poisoned,
    /// It dies about so long after each start.
    Looping(Millis),
}

/// One task, as it is between two restarts: these moments are drawn when it starts, so that no time has to be played.
#[derive(Default)]
pub struct Task {
    pub connector: usize,
    pub number: u32,
    needs: Option<&'static str>,
    pub kind: Kind,
    /// From here on it runs. It fails in its start where this is no earlier than its failure.
    runs_from: Millis,
    fails_at: Millis,
    /// The system, or another of [`CAUSES`].
    why: &'static str,
    /// Worked out when somebody asks.
    cause: OnceCell<Arc<Cause>>,
    /// Its last restart was the plain call, which shows the old `FAILED` during the start.
    shows_old: bool,
    down_since: Millis,
    /// Time not running since its first failure in which its system was up.
    pub lost: Millis,
    pub restarts: u32,
    /// Those for which the cause was there.
    pub wasted: u32,
}

pub struct World {
    pub dice: Dice,
    again: Again,
    /// When which system is down.
    outages: Vec<(&'static str, Range<Millis>)>,
    pub connectors: Vec<SharedStr>,
    /// In the order of their connectors.
    pub tasks: Vec<Task>,
}

impl World {
    pub fn new(seed: u64, again: Again) -> Self {
        Self { dice: Dice(seed), again, outages: Vec::new(), connectors: Vec::new(), tasks: Vec::new() }
    }

    /// Takes a system down for a time; to be said before the connectors that need it are added. Returns when it is up.
    pub fn outage(&mut self, system: &'static str, start: Millis, length: Millis) -> Millis {
        self.outages.push((system, start..start + length));
        start + length
    }

    /// Adds a connector; its tasks start at 0, and what is poisoned fails at once.
    pub fn connector(&mut self, name: &str, tasks: u32, needs: Option<&'static str>, kind: Kind) {
        let connector = self.connectors.len();
        self.connectors.push(name.into());
        for number in 0..tasks {
            self.tasks.push(Task { connector, number, needs, kind, why: POISON, ..Task::default() });
            if kind != Kind::Poisoned {
                self.starts_well(self.tasks.len() - 1, 0, 0);
            }
        }
    }

    /// The tasks that show `FAILED`.
    pub fn failed(&self, now: Millis) -> Vec<usize> {
        (0..self.tasks.len()).filter(|task| self.tasks[*task].state(now) == State::Failed).collect()
    }

    /// The tasks of a connector.
    pub fn tasks_of(&self, connector: usize) -> Range<usize> {
        let start = self.tasks.partition_point(|task| task.connector < connector);
        start..self.tasks.partition_point(|task| task.connector <= connector)
    }

    /// Restarts this task if it shows `FAILED`; `plain` is the call for a single one.
    pub fn restart(&mut self, task: usize, now: Millis, plain: bool) {
        if self.tasks[task].state(now) != State::Failed {
            return;
        }
        self.count_downtime(task, now);
        let is_down =
            |system: &&str| self.outages.iter().any(|(down, time)| down == system && time.contains(&now));
        let it = &mut self.tasks[task];
        let there = match (it.kind, it.needs) {
            (Kind::Poisoned, _) => Some(POISON),
            (_, needs) => needs.filter(is_down),
        };
        it.restarts += 1;
        it.wasted += u32::from(there.is_some());
        it.shows_old = plain;
        let unlucky = (self.dice.below(100) < UNLUCKY_PERCENT).then_some(UNLUCKY);
        let starts = self.dice.within(STARTS);
        let Some(why) = there.or(unlucky) else { return self.starts_well(task, now, now + starts) };
        let (runs, fails) = match (self.again, self.dice.below(12)) {
            (Again::Evenly, _) => (starts, self.dice.within(2 * SECOND..90 * SECOND)),
            (Again::AsMeasured, 0..8) => [self.dice.below(300); 2].into(),
            (Again::AsMeasured, 8..11) => [self.dice.within(30_070..31_060); 2].into(),
            (Again::AsMeasured, _) => (starts, self.dice.within(60_190..60_360)),
        };
        self.tasks[task].begins(now + runs, now + fails, why);
    }

    /// It runs until it dies by itself or its system goes down for long enough to be noticed.
    fn starts_well(&mut self, task: usize, now: Millis, runs_from: Millis) {
        let it = &mut self.tasks[task];
        let mut next = match it.kind {
            Kind::Looping(every) => (now + every * self.dice.within(80..120) / 100, MEMORY),
            _ => (NEVER, UNLUCKY),
        };
        for (system, time) in
            self.outages.iter().filter(|(down, time)| Some(*down) == it.needs && time.start >= now)
        {
            let noticed = time.start + self.dice.within(NOTICED);
            if noticed < time.end && noticed < next.0 {
                next = (noticed, system);
            }
        }
        it.begins(runs_from, next.0, next.1);
    }

    /// Counts the time for which it was down before it ran.
    pub fn count_downtime(&mut self, task: usize, now: Millis) {
        let it = &mut self.tasks[task];
        if it.runs_from < it.fails_at && it.runs_from <= now {
            let within = |moment: Millis| moment.clamp(it.down_since, it.runs_from);
            let outages = self.outages.iter().filter(|(down, _)| Some(*down) == it.needs);
            let blocked: Millis = outages.map(|(_, time)| within(time.end) - within(time.start)).sum();
            it.lost += it.runs_from - it.down_since - blocked;
            it.down_since = it.fails_at;
        }
    }
}

impl Task {
    fn begins(&mut self, runs_from: Millis, fails_at: Millis, why: &'static str) {
        (self.runs_from, self.fails_at, self.why) = (runs_from, fails_at, why);
        self.cause = OnceCell::new();
    }

    /// Why it failed, out of a trace that names numbers of its own.
    pub fn cause(&self) -> Arc<Cause> {
        let of_trace = || {
            let (_, says) =
                CAUSES.iter().find(|(why, _)| *why == self.why).expect("a cause that says something");
            let says = says.replace('#', &self.fails_at.to_string());
            let trace = format!(
                "org.apache.kafka.connect.errors.ConnectException: Exiting WorkerSinkTask due to unrecoverable \
                 exception.\n\tat org.apache.kafka.connect.runtime.WorkerSinkTask.execute(WorkerSinkTask.java:229)\n\
                 Caused by: {says}\n\tat org.example.Writer.put(Writer.java:77)\n\t... 9 more\n"
            );
            Arc::new(Cause::of(&trace).expect("a trace has a cause"))
        };
        Arc::clone(self.cause.get_or_init(of_trace))
    }

    pub fn state(&self, now: Millis) -> State {
        if now >= self.fails_at {
            State::Failed
        } else if now >= self.runs_from {
            State::Running
        } else if self.shows_old {
            State::Failed
        } else {
            State::Restarting
        }
    }
}

/// The same numbers for the same start (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % end
    }

    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }
}
