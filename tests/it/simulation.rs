//! The real run logic over a virtual cluster, by a seed: random failures and
//! healings, rebalances, lost answers, deaths of guardian at any point, clock
//! jumps in both directions. After every run the contract's invariants are
//! checked against what the cluster saw. A failing seed is printed;
//! `GUARDIAN_SEED=N cargo test --locked --test it simulation` replays it alone.
//! Time is virtual (tokio's paused clock), so that ten thousand runs take
//! seconds.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use connector_guardian::commands::Clock;
use connector_guardian::commands::run::{RunOptions, one_run};
use connector_guardian::connect::{Cluster, Known, Sent};
use connector_guardian::decide::calls::Call;
use connector_guardian::decide::cause::Cause;
use connector_guardian::decide::history::Happened;
use connector_guardian::decide::hold::Hold;
use connector_guardian::decide::ledger::Ledger;
use connector_guardian::decide::listing::{Listing, Sighting};
use connector_guardian::decide::model::{InstanceId, State};
use connector_guardian::decide::outcome::Outcome;
use connector_guardian::decide::plan::Rules;
use connector_guardian::decide::policy::{Pace, Policy, TogetherPolicy, Wait};
use connector_guardian::decide::record::Episode;
use connector_guardian::decide::select::{Filter, Patterns};
use connector_guardian::decide::shared::SharedStr;
use connector_guardian::decide::time::Timestamp;
use connector_guardian::exit::{Failure, Kind};
use connector_guardian::report::RunReport;
use connector_guardian::store::{Loaded, Store};
use tokio::time::Instant;

use crate::support::{Dice, told};

const SEEDS: u64 = 60;
const RUNS: u64 = 200;

/// One instance as it really is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Truth {
    Running,
    Failed,
    Restarting { then_fails: bool },
    Unassigned,
}

#[derive(Debug, Default)]
struct Connector {
    paused: bool,
    deleted: bool,
    instances: BTreeMap<Option<u32>, Truth>,
}

/// The cluster, guardian's disk, and what a referee writes down.
struct World {
    dice: Dice,
    connectors: BTreeMap<String, Connector>,
    rebalancing: bool,
    /// The database that all depend on is away: what is restarted fails again.
    outage: bool,
    unreachable: bool,
    understands_745: bool,
    /// Interactions until guardian dies; `None` lets it live.
    dies_after: Option<u64>,
    disk: Ledger,
    /// Restarts of each instance since guardian first could have seen it failed
    /// in its present episode; the referee's count, not guardian's.
    restarts: BTreeMap<InstanceId, u32>,
    /// When each was restarted within the last 24 hours.
    day: BTreeMap<InstanceId, Vec<Timestamp>>,
    /// When the present run began.
    began: Instant,
    /// What it has restarted, and how long after its beginning.
    restarted_now: Vec<(InstanceId, Duration)>,
    /// The tasks for whose sake their connector was restarted in the present run.
    connector_first_now: Vec<InstanceId>,
    /// What a person holds during the present run.
    held: Vec<SharedStr>,
    /// When a rebalance healed it.
    healed_at: BTreeMap<InstanceId, Instant>,
    breaches: Vec<String>,
}

type Shared = Arc<Mutex<World>>;

/// Every touch of the outside world goes through here: guardian may die before
/// it. A dead guardian simply never goes on.
async fn touch(world: &Shared) {
    let dead = {
        let mut world = world.lock().unwrap();
        match &mut world.dies_after {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    };
    if dead {
        std::future::pending::<()>().await;
    }
}

struct Virtual(Shared);

impl Cluster for Virtual {
    async fn listing(&self, known: &Known) -> Result<Listing, Failure> {
        touch(&self.0).await;
        let world = self.0.lock().unwrap();
        if world.unreachable {
            return Err(Failure::new(Kind::Unreachable, "away"));
        }
        Ok(world.listing(known))
    }

    async fn supports_kip_745(&self) -> bool {
        touch(&self.0).await;
        self.0.lock().unwrap().understands_745
    }

    async fn status(&self, call: &Call) -> Result<Listing, Sent> {
        touch(&self.0).await;
        let mut world = self.0.lock().unwrap();
        if world.unreachable {
            return Err(Sent::Done(call.all(&Outcome::NotSent("away".into()))));
        }
        world.go_on();
        if world.dice.one_in(20) {
            return Err(Sent::Retry(Outcome::NotNow("no status".into())));
        }
        let mut listing = world.listing(&Known::connectors(&[call.connector()]));
        listing.sightings.retain(|seen| seen.id.connector == *call.connector());
        Ok(listing)
    }

    fn begin_with(&self, _: Option<&str>) {}

    fn begin_next_with(&self) -> Option<SharedStr> {
        None
    }

    async fn restart(&self, call: &Call) -> Sent {
        touch(&self.0).await;
        let (reply, delay, answer_lost) = {
            let mut world = self.0.lock().unwrap();
            let reply = world.restart(call);
            (reply, world.dice.below(3000), world.dice.one_in(12))
        };
        tokio::time::sleep(Duration::from_millis(delay)).await;
        touch(&self.0).await;
        match reply {
            Sent::Done(outcomes) if answer_lost => {
                let unknown = |(id, _)| (id, Outcome::Unknown("the answer was lost".into()));
                Sent::Done(outcomes.into_iter().map(unknown).collect())
            }
            reply => reply,
        }
    }
}

struct Disk(Shared);

impl Disk {
    async fn write(&self, ledger: &Ledger) -> Result<(), Failure> {
        touch(&self.0).await;
        let full = {
            let mut world = self.0.lock().unwrap();
            let full = world.dice.one_in(40);
            if !full {
                world.disk = ledger.clone();
            }
            full
        };
        touch(&self.0).await;
        if full {
            return Err(Failure::new(Kind::State, "no space left"));
        }
        Ok(())
    }
}

impl Store for Disk {
    async fn load(&mut self) -> Result<Loaded, Failure> {
        touch(&self.0).await;
        Ok(Loaded { ledger: self.0.lock().unwrap().disk.clone(), warning: None })
    }

    async fn charge(&mut self, ledger: &Ledger, _: Timestamp) -> Result<(), Failure> {
        self.write(ledger).await
    }

    async fn save(&mut self, ledger: &Ledger) -> Result<(), Failure> {
        self.write(ledger).await
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let mut connectors = BTreeMap::new();
        for number in 0..dice.between(1, 5) {
            let tasks = u32::try_from(dice.between(0, 5)).unwrap();
            let ids = std::iter::once(None).chain((0..tasks).map(Some));
            let instances = ids.map(|id| (id, Truth::Running)).collect();
            connectors.insert(format!("c{number}"), Connector { instances, ..Connector::default() });
        }
        let understands_745 = !dice.one_in(3);
        Self {
            dice,
            connectors,
            rebalancing: false,
            outage: false,
            unreachable: false,
            understands_745,
            dies_after: None,
            disk: Ledger::default(),
            restarts: BTreeMap::new(),
            day: BTreeMap::new(),
            began: Instant::now(),
            restarted_now: Vec::new(),
            connector_first_now: Vec::new(),
            held: Vec::new(),
            healed_at: BTreeMap::new(),
            breaches: Vec::new(),
        }
    }

    /// What happens between two runs.
    fn live(&mut self) {
        let dice = &mut self.dice;
        self.unreachable = dice.one_in(25);
        self.rebalancing = dice.one_in(12);
        self.outage = if self.outage { !dice.one_in(12) } else { dice.one_in(20) };
        for connector in self.connectors.values_mut() {
            if dice.one_in(40) {
                connector.paused = !connector.paused;
            }
            if dice.one_in(60) {
                connector.deleted = !connector.deleted;
            }
            for truth in connector.instances.values_mut() {
                *truth = match &*truth {
                    Truth::Restarting { then_fails: true } => Truth::Failed,
                    Truth::Restarting { then_fails: false } => Truth::Running,
                    Truth::Running if dice.one_in(if self.outage { 3 } else { 15 }) => Truth::Failed,
                    Truth::Running if dice.one_in(80) => Truth::Unassigned,
                    // A reassignment heals without any call.
                    Truth::Failed if dice.one_in(40) => Truth::Running,
                    Truth::Unassigned if dice.one_in(5) => Truth::Running,
                    same => same.clone(),
                };
            }
        }
    }

    /// Now and then a person holds a connector for some hours, and releases one.
    fn hold(&mut self, now: Timestamp) {
        let by: SharedStr = "anna@ops".into();
        if self.dice.one_in(15) {
            let pattern = format!("c{}", self.dice.below(5)).into();
            let until = now.plus(Duration::from_secs(60 * self.dice.between(1, 500)));
            let by = SharedStr::clone(&by);
            self.disk.hold(vec![Hold { pattern, by, reason: None, since: now, until }]);
        }
        if self.dice.one_in(40) {
            self.disk.release(&[format!("c{}", self.dice.below(5)).into()], &by, now);
        }
        self.held = self.disk.holds_at(now).map(|hold| SharedStr::clone(&hold.pattern)).collect();
    }

    /// While guardian looks, what was restarted comes back or fails again.
    fn go_on(&mut self) {
        for truth in self.connectors.values_mut().flat_map(|connector| connector.instances.values_mut()) {
            if let Truth::Restarting { then_fails } = truth
                && self.dice.one_in(3)
            {
                *truth = if *then_fails { Truth::Failed } else { Truth::Running };
            }
        }
    }

    /// As it is read from the wire: what is well is kept only of a connector that is remembered.
    fn listing(&self, known: &Known) -> Listing {
        let (mut listing, mut sightings) = (Listing::default(), Vec::new());
        for (name, connector) in self.connectors.iter().filter(|(_, connector)| !connector.deleted) {
            for (task, truth) in &connector.instances {
                let state = connector.shown(*task, truth);
                let counts = if task.is_some() { &mut listing.tasks } else { &mut listing.connectors };
                counts.add(Some(&state));
                let id = InstanceId { connector: name.as_str().into(), task: *task };
                let paused_or_stopped = connector.paused;
                if state.is_unwell() || known.has(name) {
                    // Most fail for the database, some of them for a reason of their own.
                    let text = if name.ends_with('3') { "b.C: a bad record" } else { "a.B: no database" };
                    let cause = (state == State::Failed).then(|| Cause::of(text)).flatten().map(Arc::new);
                    sightings.push(Sighting { id, state, paused_or_stopped, cause, worker: None });
                }
            }
            if connector.paused && known.has(name) {
                listing.paused_or_stopped.insert(name.as_str().into());
            }
        }
        listing.sightings = sightings.into();
        listing
    }

    fn restart(&mut self, call: &Call) -> Sent {
        let (name, ids) = match call {
            Call::FailedOf { connector, expected } => (SharedStr::clone(connector), expected.clone()),
            Call::One { id, .. } => (SharedStr::clone(&id.connector), vec![id.clone()]),
            Call::ConnectorFirst { connector, tasks } => (SharedStr::clone(connector), tasks.clone()),
        };
        let all = |outcome: Outcome| Sent::Done(ids.iter().map(|id| (id.clone(), outcome.clone())).collect());
        if self.unreachable || self.dice.one_in(40) {
            return all(Outcome::NotSent("refused".into()));
        }
        if self.rebalancing && self.dice.one_in(2) {
            self.reassign();
            return Sent::Retry(Outcome::NotNow("rebalance".into()));
        }
        if self.dice.one_in(50) {
            return all(Outcome::Refused("405".into()));
        }
        let Some(connector) = self.connectors.get::<str>(&name).filter(|connector| !connector.deleted) else {
            return all(Outcome::NotFound("404".into()));
        };
        if connector.paused {
            self.breaches.push(format!("{name} is paused and was asked to restart"));
        }
        match call {
            Call::One { id, .. } => {
                self.do_restart(id);
                all(Outcome::Taken)
            }
            Call::ConnectorFirst { tasks, .. } => {
                self.restart_connector_first(&name, tasks);
                all(Outcome::Taken)
            }
            Call::FailedOf { .. } if !self.understands_745 => {
                self.breaches.push(format!("{name}: KIP-745 on a Connect that cannot"));
                Sent::OldWorker
            }
            Call::FailedOf { .. } => {
                let failed = self.failed_of(&name);
                for id in &failed {
                    self.do_restart(id);
                }
                let outcome = |id: &InstanceId| {
                    if failed.contains(id) { Outcome::Taken } else { Outcome::NotNow("left out".into()) }
                };
                Sent::Done(ids.iter().map(|id| (id.clone(), outcome(id))).collect())
            }
        }
    }

    /// A rebalance starts some of what has failed on another worker.
    fn reassign(&mut self) {
        for (name, connector) in &mut self.connectors {
            for (task, truth) in &mut connector.instances {
                if *truth == Truth::Failed && self.dice.one_in(4) {
                    *truth = Truth::Running;
                    let id = InstanceId { connector: name.as_str().into(), task: *task };
                    self.healed_at.insert(id, Instant::now());
                }
            }
        }
    }

    fn failed_of(&self, name: &SharedStr) -> Vec<InstanceId> {
        let instances = self.connectors.get(&**name).map(|connector| &connector.instances);
        let failed = instances.into_iter().flatten().filter(|(_, truth)| **truth == Truth::Failed);
        failed.map(|(task, _)| InstanceId { connector: SharedStr::clone(name), task: *task }).collect()
    }

    fn do_restart(&mut self, id: &InstanceId) {
        let then_fails = self.outage || !self.dice.one_in(3);
        let Some(connector) = self.connectors.get_mut(&*id.connector) else { return };
        let Some(truth) = connector.instances.get_mut(&id.task) else { return };
        // What healed within the last second, nobody could have known.
        let just_healed = self.healed_at.get(id).is_some_and(|at| at.elapsed() <= Duration::from_secs(1));
        // Restarted before, and three runs later still in transition: the charge is on the disk by now.
        let record = self.disk.records.get(id);
        let stuck = matches!(truth, Truth::Unassigned | Truth::Restarting { .. })
            && record.is_some_and(|record| record.runs_unwell() >= 3 && record.attempts() >= 2);
        if *truth != Truth::Failed && !just_healed && !stuck {
            self.breaches.push(format!("{id} was restarted while {truth:?}"));
        }
        if self.held.contains(&id.connector) {
            self.breaches.push(format!("{id} was restarted, and it is held"));
        }
        *truth = Truth::Restarting { then_fails };
        *self.restarts.entry(id.clone()).or_default() += 1;
        self.restarted_now.push((id.clone(), self.began.elapsed()));
    }

    /// The plain call for a connector that runs, which touches no task.
    fn restart_connector_first(&mut self, name: &SharedStr, tasks: &[InstanceId]) {
        let Some(connector) = self.connectors.get_mut(&**name) else { return };
        let Some(own) = connector.instances.get_mut(&None) else { return };
        if *own != Truth::Running {
            self.breaches.push(format!("{name} was restarted before its tasks while {own:?}"));
        }
        *own = Truth::Restarting { then_fails: self.dice.one_in(4) };
        self.connector_first_now.extend(tasks.iter().cloned());
    }

    /// Of each instance the restarts of the last 24 hours stay, whatever was forgiven since; by a clock that was set back, what
    /// lies in the future happened now. What was deleted is forgotten after a while.
    fn day_goes_on(&mut self, started: Timestamp) {
        let connectors = &self.connectors;
        self.day.retain(|id, _| !connectors[&*id.connector].deleted);
        for times in self.day.values_mut() {
            times.iter_mut().for_each(|time| *time = started.min(*time));
            times.retain(|time| started.since(*time) < Duration::from_secs(24 * 60 * 60));
        }
    }

    /// The contract, seen from outside, after a run that ended or died.
    fn check(&mut self, policy: &Policy, before: &Ledger, started: Timestamp, ran: Option<&RunReport>) {
        let after = self.disk.clone();
        self.day_goes_on(started);
        for (id, after_start) in std::mem::take(&mut self.restarted_now) {
            let now = told(&after, Happened::Restarted, &id).filter(|entry| entry.run == after.run);
            let now = now.count();
            if now != 1 {
                self.breaches.push(format!("{id} was restarted, which is told {now} times"));
            }
            let today = self.day.entry(id.clone()).or_default();
            today.push(started);
            if policy.max_per_day.is_some_and(|most| today.len() > most as usize) {
                self.breaches.push(format!("{id} was restarted {} times within a day", today.len()));
            }
            if let Some(was) = before.episode(&id)
                && let Some(early) = too_early(was, policy, before.run + 1, started)
                && (!may_come_early(was, policy) || too_soon(was, policy, started.plus(after_start)))
            {
                self.breaches.push(format!("{id} was restarted {early} too early"));
            }
        }
        for id in std::mem::take(&mut self.connector_first_now) {
            let was = before.episode(&id);
            let last = was.is_some_and(|was| policy.restarts_left(was).is_none_or(|left| left <= 1));
            if !last || was.is_some_and(|was| was.connector_restarted) {
                self.breaches.push(format!("{id}: its connector was restarted before {was:?}"));
            }
        }
        for record in &after.records {
            let Some(episode) = &record.episode else { continue };
            let failed = told(&after, Happened::Failed, &record.id);
            let begun = failed.filter(|entry| entry.run == episode.first_failed_run).count();
            let restarts = told(&after, Happened::Restarted, &record.id);
            let restarts = restarts.filter(|entry| entry.run >= episode.first_failed_run).count();
            if begun != 1 || restarts != episode.attempts as usize {
                self.breaches.push(format!(
                    "{}: {begun} beginnings and {restarts} restarts are told of {episode:?}",
                    record.id
                ));
            }
        }
        if self.held.iter().any(|held| !after.holds.iter().any(|hold| hold.pattern == *held)) {
            self.breaches.push(format!("a hold is gone before its time: {:?}", self.held));
        }
        // An episode that is no longer remembered is over.
        self.restarts.retain(|id, _| after.episode(id).is_some());
        for (id, restarts) in &self.restarts {
            // One more for a proof, and one now and then where nobody has any left.
            let extra = after.episode(id).map_or(0, |episode| episode.extra);
            if policy.limit().is_some_and(|limit| *restarts > limit + extra) {
                self.breaches.push(format!("{id} got {restarts} restarts in one episode"));
            }
            let charged = after.episode(id).map_or(0, |episode| episode.attempts);
            if charged < *restarts {
                self.breaches.push(format!("{id} got {restarts} restarts, only {charged} are remembered"));
            }
        }
        for record in &before.records {
            let id = &record.id;
            let (Some(was), Some(is)) = (&record.episode, after.episode(id)) else { continue };
            if is.extra > was.extra + 1 && is.first_failed_run == was.first_failed_run {
                self.breaches.push(format!("{id} was given {} at once", is.extra - was.extra));
            }
            if is.attempts > was.attempts + 1 {
                self.breaches.push(format!("{id} was charged {} at once", is.attempts - was.attempts));
            }
        }
        let (ended_well, run) = (ran.is_some_and(|ran| ran.failure.is_none()), after.run);
        if ended_well && run > before.run + 1 {
            self.breaches.push(format!("run {} followed run {}", run, before.run));
        }
    }
}

/// Whether its own wait may be cut short: by its group, or because it was given up and is tried now and then.
fn may_come_early(was: &Episode, policy: &Policy) -> bool {
    policy.group_from().is_some() || policy.together.keep_trying.is_some() && policy.gives_up(was)
}

/// Whether it was restarted before Connect could have shown what became of its last restart; with a group only this is
/// too early, for its members need not wait for their own turn.
fn too_soon(was: &Episode, policy: &Policy, started: Timestamp) -> bool {
    was.last_attempt.is_some_and(|last| last.at <= started && started.since(last.at) < policy.settle)
}

/// How much too early an attempt in this run is, by the formula of the contract.
fn too_early(was: &Episode, policy: &Policy, run: u64, started: Timestamp) -> Option<String> {
    let last = was.last_attempt?;
    let factor = (0..was.attempts).fold(1_u64, |factor, _| factor.saturating_mul(policy.ratio));
    // A clock that was set back: the attempt counts as made now.
    let since = started.since(last.at.min(started));
    if since < policy.settle && last.at <= started {
        return Some(format!("{since:?} after the last attempt"));
    }
    match policy.pace {
        Pace::Runs { cap } => {
            let due = last.run.saturating_add(factor.min(cap.unwrap_or(u64::MAX)));
            (run < due).then(|| format!("{} runs", due - run))
        }
        Pace::Clock { step, cap } => {
            let wait = step
                .saturating_mul(u32::try_from(factor).unwrap_or(u32::MAX))
                .min(cap.unwrap_or(Duration::MAX));
            let wait = wait.saturating_sub(step / 10);
            (since < wait).then(|| format!("{:?}", wait.saturating_sub(since)))
        }
    }
}

impl Connector {
    fn shown(&self, task: Option<u32>, truth: &Truth) -> State {
        match truth {
            Truth::Running if self.paused => State::Paused,
            _ if self.paused && task.is_none() => State::Paused,
            Truth::Running => State::Running,
            Truth::Failed => State::Failed,
            Truth::Restarting { .. } => State::Restarting,
            Truth::Unassigned => State::Unassigned,
        }
    }
}

fn any_policy(dice: &mut Dice) -> Policy {
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let pace = match dice.below(4) {
        0 => Pace::Clock { step: minutes(5), cap: None },
        1 => Pace::Clock { step: minutes(1), cap: Some(minutes(30)) },
        2 => Pace::Runs { cap: Some(dice.between(1, 20)) },
        _ => Pace::Runs { cap: None },
    };
    Policy {
        backoff: true,
        max_restart: (!dice.one_in(10)).then(|| u32::try_from(dice.between(1, 6)).unwrap()),
        ratio: dice.between(1, 4),
        pace,
        settle: Duration::from_secs(dice.between(0, 60)),
        stuck_after: None,
        max_per_run: dice.one_in(3).then(|| dice.below(4)),
        max_per_day: dice.one_in(3).then(|| u32::try_from(dice.between(1, 8)).unwrap()),
        together: TogetherPolicy {
            group_from: (!dice.one_in(5)).then(|| usize::try_from(dice.between(2, 4)).unwrap()),
            watch: Duration::from_secs(dice.between(5, 60)),
            rest: dice.between(1, 5),
            keep_trying: dice.one_in(3).then(|| match pace {
                Pace::Runs { .. } => Wait::Runs(dice.between(3, 20)),
                Pace::Clock { .. } => Wait::Time(minutes(dice.between(15, 100))),
            }),
        },
    }
}

/// Plays one seed; returns the breaches of the contract and how many runs there were.
async fn play(seed: u64) -> (Vec<String>, u64) {
    let world = Arc::new(Mutex::new(World::new(seed)));
    let mut dice = Dice(seed ^ 0x5eed);
    let policy = any_policy(&mut dice);
    let filter = Filter::default();
    let (time, start) = (Cell::new(1_800_000_000_000_u64), Instant::now());
    let clock = || Timestamp::from_millis(time.get() + u64::try_from(start.elapsed().as_millis()).unwrap());
    for run in 1..=RUNS {
        {
            let mut world = world.lock().unwrap();
            world.live();
            world.dies_after = dice.one_in(4).then(|| dice.below(14));
            world.hold(clock());
            world.began = Instant::now();
        }
        let (before, started) = (world.lock().unwrap().disk.clone(), clock());
        let ran = one_virtual_run(&world, &policy, &filter, &clock, dice.one_in(15)).await;
        let mut world = world.lock().unwrap();
        world.check(&policy, &before, started, ran.as_ref());
        if !world.breaches.is_empty() {
            let breaches = std::mem::take(&mut world.breaches);
            return (breaches.into_iter().map(|text| format!("run {run}: {text}")).collect(), run);
        }
        // Cron's five minutes, or a clock that jumps: a day on, an hour back.
        time.set(match dice.below(20) {
            0 => time.get() + 86_400_000,
            1 => time.get() - 3_600_000,
            2 => time.get() + 1000,
            _ => time.get() + 300_000 + dice.below(2000),
        });
    }
    (Vec::new(), RUNS)
}

/// One run; `None` when guardian died in it.
async fn one_virtual_run(
    world: &Shared,
    policy: &Policy,
    filter: &Filter,
    clock: &Clock<'_>,
    short: bool,
) -> Option<RunReport> {
    let (_sender, mut interrupt) = tokio::sync::watch::channel(None);
    let deadline = Duration::from_secs(if short { 2 } else { 210 });
    let options = RunOptions {
        rules: Rules { policy, filter, no_tasks_ok: &Patterns::default() },
        deadline,
        parallel: 2,
        asked: None,
        stays: false,
        tell: None,
    };
    let cluster = Virtual(Arc::clone(world));
    let mut disk = Disk(Arc::clone(world));
    let run = one_run(&cluster, &mut disk, &options, clock, &mut interrupt);
    // With the clock paused, whoever waits for ever loses to this limit at once.
    let ended = tokio::time::timeout(Duration::from_secs(3600), run).await.ok()?;
    Some(ended.unwrap_or_else(|failure| RunReport::failed(None, failure)))
}

#[tokio::test(start_paused = true)]
async fn no_seed_breaks_the_contract() {
    let seeds: Vec<u64> = match std::env::var("GUARDIAN_SEED") {
        Ok(seed) => vec![seed.parse().expect("GUARDIAN_SEED is a number")],
        Err(_) => (1..=SEEDS).collect(),
    };
    let asked_for_all = seeds.len() > 1;
    let mut runs = 0;
    for seed in seeds {
        let (breaches, played) = play(seed).await;
        runs += played;
        assert!(breaches.is_empty(), "GUARDIAN_SEED={seed} breaks the contract: {breaches:#?}");
    }
    assert!(runs >= 10_000 || !asked_for_all, "only {runs} runs were played");
}
