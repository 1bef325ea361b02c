//! The status machine: connectors and tasks, what they really are, what the status topic shows, what a restart does.
//!
//! It owns the delay until a status is visible, counted in listings, and the record of the restarts that an instance
//! really got. It must not know HTTP codes, sockets or requests.

use std::collections::{BTreeMap, VecDeque};

use super::answers::{quoted, trace};
use super::{Huge, Profile};

pub const RUNNING: &str = "RUNNING";
pub const FAILED: &str = "FAILED";
pub const PAUSED: &str = "PAUSED";
pub const STOPPED: &str = "STOPPED";
pub const UNASSIGNED: &str = "UNASSIGNED";
pub const RESTARTING: &str = "RESTARTING";
/// `start()` has not returned yet. No status ever says so.
const STARTING: &str = "STARTING";

/// Why an instance fails, and what brings it back.
#[derive(Clone, Debug)]
pub struct Failure {
    heals_after: Option<u32>,
    cause: String,
    trace: Option<String>,
}

impl Failure {
    /// Every restart fails again, until the test heals it.
    pub fn always() -> Self {
        let cause = "java.net.ConnectException: Connection refused (db1:5432)".to_owned();
        Self { heals_after: None, cause, trace: None }
    }

    /// The n-th restart brings it back.
    pub fn healing_after(restarts: u32) -> Self {
        Self { heals_after: Some(restarts), ..Self::always() }
    }

    /// The root cause, the last `Caused by:` of the trace.
    pub fn caused_by(self, cause: &str) -> Self {
        Self { cause: cause.to_owned(), ..self }
    }

    /// The same trace every time.
    pub fn with_trace(self, trace: &str) -> Self {
        Self { trace: Some(trace.to_owned()), ..self }
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
    /// What it is on its worker. The status topic may not show it yet.
    truth: String,
    failure: Option<Failure>,
    failures: u32,
    restarts_of_failure: u32,
    steps: VecDeque<Step>,
}

/// What becomes visible after so many more listings.
#[derive(Clone, Debug)]
struct Step {
    listings: u32,
    status: Status,
    truth: String,
}

/// Which call restarts it. Each leaves other traces in the status topic; only that of KIP-745 writes RESTARTING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    Connector,
    Task,
    Full,
}

/// What a connector says about the restarts of its instances.
#[derive(Clone, Copy)]
struct Terms {
    lag: u32,
    slow: u32,
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
        let made = |failure: &Failure| trace(&failure.cause, self.failures, None);
        let text = self.failure.as_ref().map(|it| it.trace.clone().unwrap_or_else(|| made(it)));
        self.status(FAILED, text)
    }

    /// One more listing has shown it.
    fn listed(&mut self) {
        if let Some(step) = self.steps.front_mut() {
            step.listings = step.listings.saturating_sub(1);
        }
        self.show_what_is_due();
    }

    fn show_what_is_due(&mut self) {
        while self.steps.front().is_some_and(|step| step.listings == 0) {
            let Some(step) = self.steps.pop_front() else { return };
            self.shown = step.status;
            self.truth = step.truth;
        }
    }

    /// `false` when `start()` failed within the call.
    fn restart(&mut self, terms: Terms, path: Path) -> bool {
        self.steps.clear();
        let between = match path {
            Path::Connector => self.status(UNASSIGNED, None),
            Path::Full => self.status(RESTARTING, None),
            Path::Task => self.shown.clone(),
        };
        let mut listings = terms.lag;
        if terms.slow > 0 && !terms.no_secret {
            self.then(listings, between.clone(), STARTING);
            listings = terms.slow;
        }
        // Without its secret the old instance is stopped, the new one cannot be configured, and nobody ever writes a
        // status again.
        let (end, started) = if terms.no_secret { (between, false) } else { self.ending(path) };
        let truth = end.state.clone();
        self.then(listings, end, &truth);
        self.truth = self.steps.front().map(|step| step.truth.clone()).unwrap_or_default();
        self.show_what_is_due();
        started
    }

    fn then(&mut self, listings: u32, status: Status, truth: &str) {
        self.steps.push_back(Step { listings, status, truth: truth.to_owned() });
    }

    /// The status after the restart, and whether the call could answer that it worked.
    fn ending(&mut self, path: Path) -> (Status, bool) {
        let Some(failure) = &self.failure else { return (self.status(RUNNING, None), true) };
        self.restarts_of_failure += 1;
        if failure.heals_after.is_some_and(|restarts| self.restarts_of_failure >= restarts) {
            self.failure = None;
            return (self.status(RUNNING, None), true);
        }
        (self.failed_once_more(), path != Path::Connector)
    }
}

/// What Connect has of a task whose status was left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftBehind {
    /// Its connector was deleted and made anew with fewer tasks.
    Nothing,
    /// Its connector was scaled down: the task is configured, and nobody's.
    Configuration,
}

/// A connector with its tasks, and what is special about it.
#[derive(Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is a defect of its own")]
pub struct Connector {
    pub name: String,
    pub instance: Instance,
    pub tasks: BTreeMap<u32, Instance>,
    pub lag: u32,
    pub slow: u32,
    /// `false`: among the names, but without a status record.
    pub has_status: bool,
    pub no_secret: bool,
    pub no_plugin: bool,
    pub unassigned: bool,
    /// Tasks of which only a status is left (KAFKA-9472), and what else.
    pub left_behind: BTreeMap<u32, LeftBehind>,
}

impl Connector {
    fn new(name: &str, worker_id: &str) -> Self {
        Self {
            name: name.to_owned(),
            instance: Instance::new(0, worker_id),
            tasks: BTreeMap::new(),
            lag: 0,
            slow: 0,
            has_status: true,
            no_secret: false,
            no_plugin: false,
            unassigned: false,
            left_behind: BTreeMap::new(),
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

    fn instances_mut(&mut self) -> impl Iterator<Item = &mut Instance> {
        std::iter::once(&mut self.instance).chain(self.tasks.values_mut())
    }

    pub fn is_stopped(&self) -> bool {
        self.instance.shown.state == STOPPED
    }

    /// The instances that a KIP-745 call takes. It goes by the string in the status, so it takes one that is RESTARTING
    /// again, and never one that is UNASSIGNED.
    pub fn restart_plan(&self, include_tasks: bool, only_failed: bool) -> Vec<Option<u32>> {
        let tasks = self.tasks.keys().copied().map(Some).filter(|_| include_tasks);
        let taken = |task: &Option<u32>| {
            self.instance(*task)
                .is_some_and(|it| !only_failed || it.shown.state == FAILED || it.shown.state == RESTARTING)
        };
        std::iter::once(None).chain(tasks).filter(taken).collect()
    }
}

pub struct Worker {
    pub profile: Profile,
    pub id: String,
    /// `false` once it was killed. The others have not noticed (session timeout).
    pub up: bool,
    /// How many more requests it answers with Jetty's 404, with nothing, with UNASSIGNED.
    pub start_up: (u32, u32, u32),
}

/// One restart that an instance really got.
#[derive(Clone, Debug)]
pub struct Executed {
    pub connector: String,
    pub task: Option<u32>,
    /// What the instance really was at that moment.
    pub was: String,
}

/// Everything that the workers of one cluster share. The first worker is the leader.
#[derive(Default)]
pub struct World {
    pub connectors: BTreeMap<String, Connector>,
    pub workers: Vec<Worker>,
    pub executed: Vec<Executed>,
    pub huge: Option<Huge>,
}

impl World {
    /// The connector of this name, made when it is new.
    pub fn connector(&mut self, name: &str) -> &mut Connector {
        let worker_id = &self.workers[0].id;
        self.connectors.entry(name.to_owned()).or_insert_with(|| Connector::new(name, worker_id))
    }

    /// Gives it the tasks 0 to n-1, spread over the workers.
    pub fn set_tasks(&mut self, name: &str, n: u32) {
        let workers = self.workers.iter().enumerate().cycle();
        let instances = workers.map(|(index, worker)| Instance::new(index, &worker.id));
        let tasks = (0..n).zip(instances).collect();
        self.connector(name).tasks = tasks;
    }

    /// Moves a connector with all of its tasks.
    pub fn assign(&mut self, name: &str, worker: usize) {
        let worker_id = self.workers[worker].id.clone();
        for instance in self.connector(name).instances_mut() {
            instance.worker = worker;
            instance.worker_id.clone_from(&worker_id);
            instance.shown.worker_id.clone_from(&worker_id);
        }
    }

    pub fn fail(&mut self, name: &str, task: Option<u32>, failure: Failure) {
        self.known(name, task).fail(failure);
    }

    /// A standalone worker lists a task once it was asked to restart it.
    pub fn make_up_task(&mut self, name: &str, id: u32) {
        let mut made_up = Instance::new(0, &self.workers[0].id);
        made_up.set(FAILED);
        let connector = self.connector(name);
        connector.left_behind.insert(id, LeftBehind::Nothing);
        connector.tasks.insert(id, made_up);
    }

    /// Takes the fault away; the next restart finds it gone.
    pub fn heal(&mut self, name: &str, task: Option<u32>) {
        self.known(name, task).failure = None;
    }

    pub fn set(&mut self, name: &str, task: Option<u32>, state: &str) {
        self.known(name, task).set(state);
    }

    pub fn show_worker_id(&mut self, name: &str, task: Option<u32>, worker_id: &str) {
        worker_id.clone_into(&mut self.known(name, task).shown.worker_id);
    }

    /// A name that is not there is a mistake of the test, not of the client.
    fn known(&mut self, name: &str, task: Option<u32>) -> &mut Instance {
        let instance = self.connectors.get_mut(name).and_then(|connector| connector.instance_mut(task));
        instance.unwrap_or_else(|| panic!("the test names {}, which it has not made", label(name, task)))
    }

    /// A FAILED instance keeps its state: the target is not visible in the status.
    pub fn pause(&mut self, name: &str) {
        let instances = self.connector(name).instances_mut();
        instances.filter(|it| it.truth != FAILED).for_each(|it| it.set(PAUSED));
    }

    /// The tasks go, but those that are FAILED stay in sight until the next rebalance.
    pub fn stop_leaving_failed_tasks(&mut self, name: &str) {
        let connector = self.connector(name);
        connector.instance.set(STOPPED);
        connector.tasks.retain(|_, task| task.truth == FAILED);
    }

    /// A listing has shown this connector.
    pub fn listed(&mut self, name: &str) {
        if let Some(connector) = self.connectors.get_mut(name) {
            connector.instances_mut().for_each(Instance::listed);
        }
    }

    /// Restarts one instance and writes it down; `false` when it failed within the call.
    pub fn restart(&mut self, name: &str, task: Option<u32>, path: Path) -> bool {
        let Some(connector) = self.connectors.get_mut(name) else { return true };
        let terms = Terms { lag: connector.lag, slow: connector.slow, no_secret: connector.no_secret };
        let Some(instance) = connector.instance_mut(task) else { return true };
        if terms.no_secret && path == Path::Task {
            return false; // its configuration is resolved before anything is touched
        }
        let was = instance.truth.clone();
        self.executed.push(Executed { connector: name.to_owned(), task, was });
        instance.restart(terms, path)
    }

    /// Carries out a KIP-745 plan: each living worker restarts its own, and nothing happens for the others.
    pub fn restart_planned(&mut self, name: &str, plan: &[Option<u32>]) {
        for task in plan {
            let connector = self.connectors.get(name);
            let Some((connector, instance)) = connector.and_then(|it| Some((it, it.instance(*task)?))) else {
                continue;
            };
            let is_no_more = task.is_some_and(|id| connector.left_behind.contains_key(&id));
            if self.workers[instance.worker].up && !connector.unassigned && !is_no_more {
                self.restart(name, *task, Path::Full);
            }
        }
    }
}

/// The status of one connector as JSON. Instances in `planned` are shown as the 202 of KIP-745 shows them.
pub fn status_json(connector: &Connector, profile: Profile, planned: &[Option<u32>]) -> String {
    let one = |task: Option<u32>, instance: &Instance| {
        let state = if planned.contains(&task) { RESTARTING } else { instance.shown.state.as_str() };
        instance_json(task, state, &instance.shown, profile)
    };
    let mut tasks: Vec<String> = connector.tasks.iter().map(|(id, task)| one(Some(*id), task)).collect();
    if !planned.is_empty() && profile.is_4() {
        tasks.reverse(); // unsorted on 4.x
    }
    format!(
        r#"{{"name":{},"connector":{},"tasks":[{}],"type":{}}}"#,
        quoted(&connector.name),
        one(None, &connector.instance),
        tasks.join(","),
        quoted(if connector.no_plugin { "unknown" } else { "sink" }),
    )
}

fn instance_json(task: Option<u32>, state: &str, status: &Status, profile: Profile) -> String {
    let trace = status.trace.as_deref().filter(|trace| !trace.is_empty());
    // A status that no plugin wrote has no version.
    let version = if matches!(state, RESTARTING | UNASSIGNED) { "null" } else { r#""1.0.0""# };
    let fields = [
        task.map(|id| format!(r#""id":{id}"#)),
        Some(format!(r#""state":{}"#, quoted(state))),
        Some(format!(r#""worker_id":{}"#, quoted(&status.worker_id))),
        trace.map(|trace| format!(r#""trace":{}"#, quoted(trace))),
        profile.is_4().then(|| format!(r#""version":{version}"#)),
    ];
    let fields: Vec<String> = fields.into_iter().flatten().collect();
    format!("{{{}}}", fields.join(","))
}

/// "orders" or "orders/3".
pub fn label(connector: &str, task: Option<u32>) -> String {
    task.map_or_else(|| connector.to_owned(), |id| format!("{connector}/{id}"))
}
