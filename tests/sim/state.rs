//! The status machine: connectors and tasks, what they really are, what the status topic shows, what a restart does.
//!
//! It owns time as the listings see it (lag, slow starts, failures that come back) and the count of restarts that an
//! instance really got. It must not know HTTP codes, sockets or requests.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::answers::{quoted, trace};
use super::{Huge, Profile};

pub const RUNNING: &str = "RUNNING";
pub const FAILED: &str = "FAILED";
pub const PAUSED: &str = "PAUSED";
pub const STOPPED: &str = "STOPPED";
pub const UNASSIGNED: &str = "UNASSIGNED";
pub const RESTARTING: &str = "RESTARTING";
/// Never shown: `start()` has not returned yet. Until then the task path leaves the old status in place.
pub const STARTING: &str = "STARTING";

/// When something becomes visible: after so many listings that still showed the old, or after a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Now,
    Listings(u32),
    Time(Duration),
}

impl From<u32> for After {
    fn from(listings: u32) -> Self {
        Self::Listings(listings)
    }
}

impl From<Duration> for After {
    fn from(time: Duration) -> Self {
        Self::Time(time)
    }
}

/// Why an instance fails, and what brings it back.
#[derive(Clone, Debug)]
pub struct Failure {
    heals_after: Option<u32>,
    again_after: Option<u32>,
    runs_first: Option<u32>,
    at_instantiation: bool,
    cause: String,
    trace: Option<String>,
    bytes: Option<usize>,
}

impl Failure {
    /// Every restart fails again, until the test heals it.
    pub fn always() -> Self {
        Self {
            heals_after: None,
            again_after: None,
            runs_first: None,
            at_instantiation: false,
            cause: "java.net.ConnectException: Connection refused (db1:5432)".to_owned(),
            trace: None,
            bytes: None,
        }
    }

    /// The n-th restart brings it back.
    pub fn healing_after(restarts: u32) -> Self {
        Self { heals_after: Some(restarts), ..Self::always() }
    }

    /// Once healed it fails again after so many listings that showed it RUNNING, and the script starts over.
    pub fn again_after(self, listings: u32) -> Self {
        Self { again_after: Some(listings), ..self }
    }

    /// `start()` works, the fault strikes later: RUNNING for so many listings, then FAILED.
    pub fn after_running(self, listings: u32) -> Self {
        Self { runs_first: Some(listings), ..self }
    }

    /// The class cannot be made, so that the restart of a task answers 500 too, not only that of a connector.
    pub fn at_instantiation(self) -> Self {
        Self { at_instantiation: true, ..self }
    }

    /// The root cause, the last `Caused by:` of the trace.
    pub fn caused_by(self, cause: &str) -> Self {
        Self { cause: cause.to_owned(), ..self }
    }

    /// This very trace, every time.
    pub fn with_trace(self, trace: &str) -> Self {
        Self { trace: Some(trace.to_owned()), ..self }
    }

    /// A trace of this many bytes, with the root cause at its end.
    pub fn trace_of_bytes(self, bytes: usize) -> Self {
        Self { bytes: Some(bytes), ..self }
    }
}

/// One record of the status topic.
#[derive(Clone, Debug)]
pub struct Status {
    pub state: String,
    pub trace: Option<String>,
    pub worker_id: String,
}

/// A connector's own instance, or one of its tasks.
#[derive(Clone, Debug)]
pub struct Instance {
    pub worker: usize,
    worker_id: String,
    pub shown: Status,
    /// What it is on its worker, which the status topic may not show yet.
    truth: String,
    failure: Option<Failure>,
    failures: u32,
    restarts_of_failure: u32,
    steps: VecDeque<Step>,
    since: Instant,
}

#[derive(Clone, Debug)]
struct Step {
    after: After,
    status: Status,
    truth: String,
}

/// Which call restarts it: each leaves other traces in the status topic (the KIP-745 one alone writes RESTARTING).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    Connector,
    Task,
    Full,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Running,
    Paused,
    Stopped,
}

#[derive(Clone, Copy)]
struct Terms {
    target: Target,
    lag: After,
    slow: After,
    no_secret: bool,
}

impl Instance {
    fn new(worker: usize, worker_id: &str) -> Self {
        let shown = Status { state: RUNNING.to_owned(), trace: None, worker_id: worker_id.to_owned() };
        Self {
            worker,
            worker_id: worker_id.to_owned(),
            shown,
            truth: RUNNING.to_owned(),
            failure: None,
            failures: 0,
            restarts_of_failure: 0,
            steps: VecDeque::new(),
            since: Instant::now(),
        }
    }

    fn status(&self, state: &str, trace: Option<String>) -> Status {
        Status { state: state.to_owned(), trace, worker_id: self.worker_id.clone() }
    }

    fn set(&mut self, state: &str) {
        self.steps.clear();
        self.shown = self.status(state, None);
        state.clone_into(&mut self.truth);
    }

    fn fail(&mut self, failure: Failure) {
        self.failure = Some(failure);
        self.restarts_of_failure = 0;
        self.set(FAILED);
        self.shown = self.failed_once_more();
    }

    fn failed_once_more(&mut self) -> Status {
        self.failures += 1;
        let text = self.failure.as_ref().map(|failure| {
            let made = || trace(&failure.cause, self.failures, failure.bytes);
            failure.trace.clone().unwrap_or_else(made)
        });
        self.status(FAILED, text)
    }

    /// Shows what is due by now.
    fn advance(&mut self, now: Instant) {
        while let Some(step) = self.steps.front() {
            let due = match step.after {
                After::Now | After::Listings(0) => now,
                After::Listings(_) => return,
                After::Time(time) => self.since + time,
            };
            if due > now {
                return;
            }
            self.since = due;
            if let Some(step) = self.steps.pop_front() {
                self.shown = step.status;
                self.truth = step.truth;
            }
        }
    }

    /// One more listing has shown it.
    fn listed(&mut self) {
        if let Some(Step { after: After::Listings(left), .. }) = self.steps.front_mut() {
            *left = left.saturating_sub(1);
        }
    }

    /// `false` when `start()` (or, for a task, its construction) failed within the call.
    fn restart(&mut self, terms: Terms, path: Path, now: Instant) -> bool {
        self.steps.clear();
        self.since = now;
        let between = match path {
            Path::Connector => self.status(UNASSIGNED, None),
            Path::Full => self.status(RESTARTING, None),
            Path::Task => self.shown.clone(),
        };
        if terms.no_secret {
            // The old instance is stopped, the new one cannot be configured, and nobody ever writes a status again.
            self.then(terms.lag, between.clone(), &between.state);
            self.truth = between.state;
            self.advance(now);
            return false;
        }
        let (endings, started) = self.endings(terms.target, path);
        let slow = terms.slow != After::Now;
        if slow {
            self.then(terms.lag, between, STARTING);
        }
        let mut after = if slow { terms.slow } else { terms.lag };
        for (listings, status) in endings {
            let truth = status.state.clone();
            if listings > 0 {
                after = After::Listings(listings);
            }
            self.then(after, status, &truth);
        }
        let first = self.steps.front().map(|step| step.truth.clone());
        self.truth = first.unwrap_or_default();
        self.advance(now);
        started
    }

    fn then(&mut self, after: After, status: Status, truth: &str) {
        self.steps.push_back(Step { after, status, truth: truth.to_owned() });
    }

    /// How a restart ends, each ending after so many listings that showed the one before it.
    fn endings(&mut self, target: Target, path: Path) -> (Vec<(u32, Status)>, bool) {
        match target {
            // The target state is kept and `start()` is not called: the fault hides until resumed.
            Target::Paused => return (vec![(0, self.status(PAUSED, None))], true),
            Target::Stopped => return (vec![(0, self.status(STOPPED, None))], true),
            Target::Running => {}
        }
        let running = self.status(RUNNING, None);
        let Some(failure) = self.failure.clone() else { return (vec![(0, running)], true) };
        self.restarts_of_failure += 1;
        if failure.heals_after.is_some_and(|restarts| self.restarts_of_failure >= restarts) {
            let Some(again) = failure.again_after else {
                self.failure = None;
                return (vec![(0, running)], true);
            };
            self.restarts_of_failure = 0;
            return (vec![(0, running), (again.max(1), self.failed_once_more())], true);
        }
        let failed = self.failed_once_more();
        match failure.runs_first {
            Some(listings) => (vec![(0, running), (listings.max(1), failed)], true),
            None => {
                (vec![(0, failed)], path == Path::Full || (path == Path::Task && !failure.at_instantiation))
            }
        }
    }
}

/// A connector with its tasks, and what is special about it.
#[derive(Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is a defect of its own")]
pub struct Connector {
    pub name: String,
    pub kind: String,
    pub target: Target,
    pub instance: Instance,
    pub tasks: BTreeMap<u32, Instance>,
    put_away: BTreeMap<u32, Instance>,
    pub lag: After,
    pub slow: After,
    /// `false`: among the names, but without a status record.
    pub has_status: bool,
    pub no_secret: bool,
    pub no_plugin: bool,
    pub unassigned: bool,
    pub version: Option<String>,
    pub config: BTreeMap<String, String>,
}

impl Connector {
    fn new(name: &str, worker_id: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: "sink".to_owned(),
            target: Target::Running,
            instance: Instance::new(0, worker_id),
            tasks: BTreeMap::new(),
            put_away: BTreeMap::new(),
            lag: After::Now,
            slow: After::Now,
            has_status: true,
            no_secret: false,
            no_plugin: false,
            unassigned: false,
            version: Some("1.0.0".to_owned()),
            config: BTreeMap::new(),
        }
    }

    pub fn instance(&self, task: Option<u32>) -> Option<&Instance> {
        task.map_or(Some(&self.instance), |id| self.tasks.get(&id))
    }

    fn instance_mut(&mut self, task: Option<u32>) -> Option<&mut Instance> {
        match task {
            None => Some(&mut self.instance),
            Some(id) => self.tasks.get_mut(&id),
        }
    }

    /// Also when it was put away by a stop: the configuration still knows it.
    pub fn has_task(&self, id: u32) -> bool {
        self.tasks.contains_key(&id) || self.put_away.contains_key(&id)
    }

    fn instances_mut(&mut self) -> impl Iterator<Item = &mut Instance> {
        std::iter::once(&mut self.instance).chain(self.tasks.values_mut())
    }

    fn terms(&self) -> Terms {
        Terms { target: self.target, lag: self.lag, slow: self.slow, no_secret: self.no_secret }
    }

    /// The instances that a KIP-745 call takes: by the string in the status, so one that is RESTARTING is taken again,
    /// and one that is UNASSIGNED never.
    pub fn restart_plan(&self, include_tasks: bool, only_failed: bool) -> Vec<Option<u32>> {
        let tasks = self.tasks.keys().copied().map(Some).filter(|_| include_tasks);
        let taken = |task: &Option<u32>| {
            self.instance(*task)
                .is_some_and(|it| !only_failed || it.shown.state == FAILED || it.shown.state == RESTARTING)
        };
        std::iter::once(None).chain(tasks).filter(taken).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alive {
    Up,
    /// Killed, and the others have not missed it yet (session timeout).
    Missed,
    /// Killed, and its instances wait for `scheduled.rebalance.max.delay.ms`.
    Gone,
}

pub struct Worker {
    pub profile: Profile,
    pub id: String,
    pub alive: Alive,
    /// How many more requests it answers with Jetty's 404, with nothing, with UNASSIGNED.
    pub start_up: (u32, u32, u32),
}

/// One restart that an instance really got.
#[derive(Clone, Debug)]
pub struct Executed {
    pub connector: String,
    pub task: Option<u32>,
    pub at: Instant,
    /// What the instance really was at that moment.
    pub was: String,
}

/// A restart request that a busy worker will take when it is free.
pub type Late = Box<dyn FnOnce(&mut World) + Send>;

/// Everything that the workers of one cluster share.
#[derive(Default)]
pub struct World {
    pub connectors: BTreeMap<String, Connector>,
    pub workers: Vec<Worker>,
    pub executed: Vec<Executed>,
    pub huge: Option<Huge>,
    pub busy_until: Option<Instant>,
    pub late: Vec<(Instant, Late)>,
}

impl World {
    /// The connector of this name, made when it is new.
    pub fn connector(&mut self, name: &str) -> &mut Connector {
        let worker_id = &self.workers[0].id;
        self.connectors.entry(name.to_owned()).or_insert_with(|| Connector::new(name, worker_id))
    }

    /// Gives it exactly these tasks, spread over the workers.
    pub fn set_tasks(&mut self, name: &str, ids: impl IntoIterator<Item = u32>) {
        self.connector(name).tasks.clear();
        for id in ids {
            self.add_task(name, id);
        }
    }

    pub fn add_task(&mut self, name: &str, id: u32) {
        let worker = id as usize % self.workers.len();
        let instance = Instance::new(worker, &self.workers[worker].id);
        self.connector(name).tasks.insert(id, instance);
    }

    pub fn assign(&mut self, name: &str, task: Option<u32>, worker: usize) {
        let worker_id = self.workers[worker].id.clone();
        let instance = self.known(name, task);
        instance.worker = worker;
        instance.worker_id.clone_from(&worker_id);
        instance.shown.worker_id = worker_id;
    }

    pub fn fail(&mut self, name: &str, task: Option<u32>, failure: Failure) {
        self.known(name, task).fail(failure);
    }

    /// Takes the fault away; the next restart finds it gone.
    pub fn heal(&mut self, name: &str, task: Option<u32>) {
        let instance = self.known(name, task);
        instance.failure = None;
        instance.steps.retain(|step| step.truth != FAILED);
    }

    pub fn set(&mut self, name: &str, task: Option<u32>, state: &str) {
        self.known(name, task).set(state);
    }

    pub fn show_worker_id(&mut self, name: &str, task: Option<u32>, worker_id: &str) {
        worker_id.clone_into(&mut self.known(name, task).shown.worker_id);
    }

    /// A mistake of the test, not of the client.
    fn known(&mut self, name: &str, task: Option<u32>) -> &mut Instance {
        let instance = self.connectors.get_mut(name).and_then(|connector| connector.instance_mut(task));
        instance.unwrap_or_else(|| panic!("the test names {}, which it has not made", label(name, task)))
    }

    /// A FAILED instance keeps its state: the target is not visible in the status.
    pub fn pause(&mut self, name: &str) {
        let connector = self.connector(name);
        connector.target = Target::Paused;
        connector.instances_mut().filter(|it| it.truth != FAILED).for_each(|it| it.set(PAUSED));
    }

    /// The tasks go; with `stale`, those that are FAILED stay in sight, as until the next rebalance.
    pub fn stop(&mut self, name: &str, stale: bool) {
        let connector = self.connector(name);
        connector.target = Target::Stopped;
        if connector.instance.truth != FAILED {
            connector.instance.set(STOPPED);
        }
        connector.put_away.append(&mut connector.tasks.clone());
        connector.tasks.retain(|_, task| stale && task.truth == FAILED);
    }

    pub fn resume(&mut self, name: &str) {
        let connector = self.connector(name);
        connector.target = Target::Running;
        let mut tasks = std::mem::take(&mut connector.put_away);
        connector.tasks.append(&mut tasks);
        for instance in connector.instances_mut() {
            match instance.failure.clone() {
                Some(_) => {
                    instance.set(FAILED);
                    instance.shown = instance.failed_once_more();
                }
                None => instance.set(RUNNING),
            }
        }
    }

    /// What a rebalance does with the instances of a dead worker: they start elsewhere, also the FAILED ones.
    pub fn reassign(&mut self, from: usize) {
        let up: Vec<(usize, String)> = (self.workers.iter().enumerate())
            .filter(|(_, worker)| worker.alive == Alive::Up)
            .map(|(index, worker)| (index, worker.id.clone()))
            .collect();
        let Some((worker, worker_id)) = up.first() else { return };
        for connector in self.connectors.values_mut() {
            let state = match connector.target {
                Target::Running => RUNNING,
                Target::Paused => PAUSED,
                Target::Stopped => STOPPED,
            };
            for instance in connector.instances_mut().filter(|it| it.worker == from) {
                instance.worker = *worker;
                instance.worker_id.clone_from(worker_id);
                instance.failure = None;
                instance.set(state);
            }
        }
    }

    /// Brings everything up to the present moment, also what a busy worker still had to do.
    pub fn catch_up(&mut self, now: Instant) {
        let (due, later) = std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= now);
        self.late = later;
        for (_, late) in due {
            late(self);
        }
        for connector in self.connectors.values_mut() {
            connector.instances_mut().for_each(|it| it.advance(now));
        }
    }

    /// A listing has shown this connector.
    pub fn listed(&mut self, name: &str) {
        if let Some(connector) = self.connectors.get_mut(name) {
            connector.instances_mut().for_each(Instance::listed);
        }
    }

    /// Restarts one instance and writes it down; `false` when it failed within the call.
    pub fn restart(&mut self, name: &str, task: Option<u32>, path: Path, now: Instant) -> bool {
        let Some(connector) = self.connectors.get_mut(name) else { return true };
        let terms = connector.terms();
        let Some(instance) = connector.instance_mut(task) else { return true };
        if terms.no_secret && path == Path::Task {
            return false; // its configuration is resolved before anything is touched
        }
        instance.advance(now);
        let was = instance.truth.clone();
        self.executed.push(Executed { connector: name.to_owned(), task, at: now, was });
        instance.restart(terms, path, now)
    }

    /// Carries out a KIP-745 plan: each living worker restarts its own, for the others nothing happens.
    pub fn restart_planned(&mut self, name: &str, plan: &[Option<u32>], now: Instant) {
        for task in plan {
            let Some(connector) = self.connectors.get_mut(name) else { return };
            let Some(instance) = connector.instance(*task) else { continue };
            let alive = self.workers[instance.worker].alive == Alive::Up && !connector.unassigned;
            if connector.target == Target::Stopped && task.is_some() {
                connector.tasks.retain(|id, _| Some(*id) != *task); // a stale one only vanishes
            } else if alive {
                self.restart(name, *task, Path::Full, now);
            }
        }
    }

    /// The worker that the others take for the leader; it may be dead without their knowing.
    pub fn leader(&self) -> usize {
        self.workers.iter().position(|worker| worker.alive != Alive::Gone).unwrap_or(0)
    }
}

/// The status of one connector as JSON. Instances in `planned` are shown as the 202 of KIP-745 shows them.
pub fn status_json(connector: &Connector, profile: Profile, planned: &[Option<u32>]) -> String {
    let version = |state: &str| {
        // A status that no plugin wrote has none.
        let version = connector.version.as_deref().filter(|_| !matches!(state, RESTARTING | UNASSIGNED));
        profile.status_has_version().then(|| version.map_or("null".to_owned(), quoted))
    };
    let one = |task: Option<u32>, instance: &Instance| {
        let state = if planned.contains(&task) { RESTARTING } else { instance.shown.state.as_str() };
        instance_json(task, state, &instance.shown, version(state))
    };
    let mut tasks: Vec<String> = connector.tasks.iter().map(|(id, task)| one(Some(*id), task)).collect();
    if !planned.is_empty() && profile.is_jetty_12() {
        tasks.reverse(); // unsorted on 4.x
    }
    format!(
        r#"{{"name":{},"connector":{},"tasks":[{}],"type":{}}}"#,
        quoted(&connector.name),
        one(None, &connector.instance),
        tasks.join(","),
        quoted(if connector.no_plugin { "unknown" } else { &connector.kind }),
    )
}

pub fn instance_json(task: Option<u32>, state: &str, status: &Status, version: Option<String>) -> String {
    let trace = status.trace.as_deref().filter(|trace| !trace.is_empty());
    let fields = [
        task.map(|id| format!(r#""id":{id}"#)),
        Some(format!(r#""state":{}"#, quoted(state))),
        Some(format!(r#""worker_id":{}"#, quoted(&status.worker_id))),
        trace.map(|trace| format!(r#""trace":{}"#, quoted(trace))),
        version.map(|version| format!(r#""version":{version}"#)),
    ];
    let fields: Vec<String> = fields.into_iter().flatten().collect();
    format!("{{{}}}", fields.join(","))
}

/// "orders" or "orders/3".
pub fn label(connector: &str, task: Option<u32>) -> String {
    task.map_or_else(|| connector.to_owned(), |id| format!("{connector}/{id}"))
}
