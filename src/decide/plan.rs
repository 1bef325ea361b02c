//! What one run will do, as a value: a line for every instance that is not
//! simply healthy, and the restart calls that follow from the lines. `--dry-run`
//! prints the plan, `run` applies it; there is no second path. It must not
//! change a record: charging and settling do (`ledger`, `outcome`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ledger::{Episode, Ledger, Record};
use super::model::{InstanceId, Listing, Sighting, State, Timestamp};
use super::policy::{Due, Policy};
use super::select::Filter;

/// From this many runs in transition on, a person is warned.
const LONG_IN_TRANSITION: u64 = 3;

/// What is, or was, done about an instance: a key of the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Its restart failed, or was refused.
    Failed,
    /// Its restart was sent, and nobody knows whether Connect did it.
    Unknown,
    /// It had all the restarts that it may have.
    GaveUp,
    /// It would be restarted now: only in a dry run.
    Due,
    /// Connect took its restart. That it recovers shows in a later run.
    Restarted,
    /// It is due, but not in this run.
    Deferred,
    /// Connect answered 404 to its restart.
    Gone,
    /// It is not due yet.
    Waiting,
    /// A `RUNNING` connector without tasks.
    NoTasks,
    /// Neither healthy nor failed.
    InTransition,
    /// Remembered, but not in the listing.
    Absent,
    /// A person holds it back.
    Held,
    /// `--include` or `--exclude` leaves it out.
    Excluded,
    /// Failed within a connector that is paused or stopped.
    Parked,
    /// The first healthy sighting after a failure.
    Recovered,
}

impl Action {
    /// All of them, those that need a reader first.
    pub const ALL: [Self; 15] = [
        Self::Failed,
        Self::Unknown,
        Self::GaveUp,
        Self::Due,
        Self::Restarted,
        Self::Deferred,
        Self::Gone,
        Self::Waiting,
        Self::NoTasks,
        Self::InTransition,
        Self::Absent,
        Self::Held,
        Self::Excluded,
        Self::Parked,
        Self::Recovered,
    ];

    /// The key in the summary.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::GaveUp => "gave_up",
            Self::Due => "due",
            Self::Restarted => "restarted",
            Self::Deferred => "deferred",
            Self::Gone => "gone",
            Self::Waiting => "waiting",
            Self::NoTasks => "no_tasks",
            Self::InTransition => "in_transition",
            Self::Absent => "absent",
            Self::Held => "held",
            Self::Excluded => "excluded",
            Self::Parked => "parked",
            Self::Recovered => "recovered",
        }
    }
}

/// One instance's line in the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Whose line it is.
    pub id: InstanceId,
    /// Its state in the listing; `None` when it is absent.
    pub state: Option<State>,
    /// What is done about it.
    pub action: Action,
    /// The root cause of its failure.
    pub cause: Option<Arc<str>>,
    /// The worker that reported its state.
    pub worker: Option<Arc<str>>,
    /// Why it could not be done.
    pub error: Option<Arc<str>>,
    /// What `error` tells means that the run could not do all its work.
    pub trouble: bool,
}

/// What one run will do, and then what it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// By instance, one line each.
    pub lines: Vec<Line>,
    /// What a person should know besides, one sentence each.
    pub warnings: Vec<String>,
    /// Connectors whose due instances may be restarted by one KIP-745 call,
    /// because they are all that is wrong or remembered in that connector.
    together: BTreeSet<Arc<str>>,
}

/// The restart calls of one connector, to be sent in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The connector.
    pub connector: Arc<str>,
    /// Its calls.
    pub calls: Vec<Call>,
}

/// One restart call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// All failed instances of a connector in one request (KIP-745).
    Together {
        /// The connector.
        connector: Arc<str>,
        /// The instances that the plan wants restarted.
        expected: Vec<InstanceId>,
    },
    /// One instance: the connector's own, or a task.
    One {
        /// Which one.
        id: InstanceId,
        /// It is due because it was in transition for too long, not because it
        /// is `FAILED`.
        stuck: bool,
    },
}

impl Call {
    /// The instances that it is to restart.
    #[must_use]
    pub fn ids(&self) -> &[InstanceId] {
        match self {
            Self::Together { expected, .. } => expected,
            Self::One { id, .. } => std::slice::from_ref(id),
        }
    }

    /// The connector that it is for.
    #[must_use]
    pub fn connector(&self) -> &Arc<str> {
        match self {
            Self::Together { connector, .. } => connector,
            Self::One { id, .. } => &id.connector,
        }
    }

    /// Why this call is no longer wanted, now that Connect says this of the
    /// connector: its instance is no longer what made it due. A KIP-745 call is
    /// always wanted: Connect itself restarts only what is `FAILED` then.
    #[must_use]
    pub fn overtaken(&self, now: &Listing) -> Option<Arc<str>> {
        let Self::One { id, stuck } = self else { return None };
        Some(match now.sighting(id) {
            None => "not restarted, Connect lists it no more".into(),
            Some(seen) if seen.left_alone => {
                "not restarted, the connector is paused or stopped by now".into()
            }
            Some(Sighting { state, .. }) => {
                let still_due = if *stuck { state.is_transition() } else { *state == State::Failed };
                if still_due {
                    return None;
                }
                format!("not restarted, it is {} by now", state.as_str()).into()
            }
        })
    }
}

impl Plan {
    /// What the run number `run` does about this listing, given what the ledger
    /// remembers after observing it. `recovered` is what `observe` returned.
    #[must_use]
    pub fn make(
        listing: Listing,
        recovered: &[InstanceId],
        ledger: &Ledger,
        policy: &Policy,
        filter: &Filter,
        run: u64,
        now: Timestamp,
    ) -> Self {
        let mut lines = absent_lines(&listing, ledger);
        let recovered: BTreeSet<&InstanceId> = recovered.iter().collect();
        let mut warnings = listing.warnings;
        let nothing_listed = listing.connectors.total == 0 && !ledger.records.is_empty();
        let decide = |seen: &Sighting| match &seen.state {
            State::Failed if seen.left_alone => Some(Action::Parked),
            _ if seen.left_alone => None,
            State::Running => recovered.contains(&seen.id).then_some(Action::Recovered),
            State::Paused | State::Stopped => None,
            State::Failed => Some(failed(&seen.id, ledger, policy, filter, run, now)),
            State::Unassigned | State::Restarting | State::Other(_) => {
                if is_stuck(&seen.id, ledger, policy) {
                    Some(failed(&seen.id, ledger, policy, filter, run, now))
                } else {
                    Some(Action::InTransition)
                }
            }
        };
        // Grown step by step, it would at last take twice the room: in an outage that is a tenth of all memory.
        lines.reserve_exact(listing.sightings.len());
        lines.extend(listing.sightings.into_iter().filter_map(|seen| {
            let action = decide(&seen)?;
            Some(Line::seen(seen, action, ledger))
        }));
        // Straight after its restart a connector has no tasks yet.
        let just_recovered =
            |name: &Arc<str>| recovered.contains(&InstanceId { connector: Arc::clone(name), task: None });
        let no_tasks: BTreeSet<_> =
            listing.no_tasks.into_iter().filter(|name| !just_recovered(name)).collect();
        lines.retain(|line| line.id.task.is_some() || !no_tasks.contains(&line.id.connector));
        lines.extend(no_tasks.iter().map(|name| Line {
            state: Some(State::Running),
            ..Line::bare(InstanceId { connector: Arc::clone(name), task: None }, Action::NoTasks)
        }));
        lines.sort_by(|a, b| a.id.cmp(&b.id));

        if nothing_listed {
            warnings.push(format!(
                "Connect lists no connectors, but {} remembered: it may still be starting; nothing was changed",
                match ledger.records.len() {
                    1 => "1 instance is".to_owned(),
                    count => format!("{count} instances are"),
                }
            ));
        }
        warn(
            &mut warnings,
            "RUNNING without a single task",
            no_tasks.iter().filter(|name| filter.selects(name)),
        );
        let long = lines.iter().filter(|line| {
            line.action == Action::InTransition
                && filter.selects(&line.id.connector)
                && transition_runs(&line.id, ledger) >= LONG_IN_TRANSITION
        });
        warn(
            &mut warnings,
            "in transition for three runs or more (see --stuck-after)",
            long.map(|line| &line.id),
        );

        let mut plan = Self { lines, warnings, together: BTreeSet::new() };
        plan.defer_over(policy, ledger);
        plan.find_together(ledger);
        plan
    }

    /// What the run number `run` would do if everything were still as it was last
    /// seen: for `status` when Connect cannot be read. No line has a state.
    #[must_use]
    pub fn unread(ledger: &Ledger, policy: &Policy, filter: &Filter, run: u64, now: Timestamp) -> Self {
        let lines = ledger.records.iter().map(|(id, record)| {
            let action = match &record.episode {
                None => Action::InTransition,
                Some(episode) if episode.healthy.is_some() => Action::Recovered,
                Some(_) => failed(id, ledger, policy, filter, run, now),
            };
            Line::remembered(id, record, action)
        });
        Self { lines: lines.collect(), ..Self::default() }
    }

    /// Adds a line for every other instance that is healthy again but not yet
    /// forgiven: what `status` shows besides.
    pub fn add_recovering(&mut self, ledger: &Ledger) {
        let shown: BTreeSet<InstanceId> = self.lines.iter().map(|line| line.id.clone()).collect();
        let healthy = ledger.records.iter().filter(|(id, record)| {
            !shown.contains(*id) && record.episode.as_ref().is_some_and(|episode| episode.healthy.is_some())
        });
        self.lines.extend(healthy.map(|(id, record)| Line {
            state: Some(State::Running),
            cause: record.episode.as_ref().and_then(|episode| episode.cause.clone()),
            ..Line::bare(id.clone(), Action::Recovered)
        }));
        self.lines.sort_by(|a, b| a.id.cmp(&b.id));
    }

    /// The instances that this run restarts.
    pub fn due(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.action == Action::Due)
    }

    /// Whether a KIP-745 call would be used if Connect can.
    #[must_use]
    pub fn wants_together(&self) -> bool {
        !self.together.is_empty()
    }

    /// The calls that restart what is due, those with the fewest attempts first;
    /// `can_together` says whether Connect understands KIP-745.
    #[must_use]
    pub fn batches(&self, ledger: &Ledger, can_together: bool) -> Vec<Batch> {
        let mut batches: Vec<(u32, Batch)> = Vec::new();
        for (connector, due) in by_connector(self.due()) {
            let fewest = due.iter().map(|line| attempts(&line.id, ledger)).min().unwrap_or(0);
            let calls = if can_together && self.together.contains(connector) {
                let expected = due.iter().map(|line| line.id.clone()).collect();
                vec![Call::Together { connector: Arc::clone(connector), expected }]
            } else {
                let one = |line: &&Line| Call::One {
                    id: line.id.clone(),
                    stuck: line.state != Some(State::Failed),
                };
                due.iter().map(one).collect()
            };
            batches.push((fewest, Batch { connector: Arc::clone(connector), calls }));
        }
        batches.sort_by_key(|(fewest, _)| *fewest);
        batches.into_iter().map(|(_, batch)| batch).collect()
    }

    /// Keeps the run within `--max-restarts-per-run`: those with the fewest
    /// attempts go first, then those that failed first.
    fn defer_over(&mut self, policy: &Policy, ledger: &Ledger) {
        let Some(limit) = policy.max_per_run else { return };
        let mut due: Vec<&mut Line> =
            self.lines.iter_mut().filter(|line| line.action == Action::Due).collect();
        due.sort_by_key(|line| {
            ledger.episode(&line.id).map(|episode| (episode.attempts, episode.first_failed_at))
        });
        let limit_reached = usize::try_from(limit).unwrap_or(usize::MAX);
        let reason: Arc<str> =
            format!("over the {limit} restarts of one run (--max-restarts-per-run)").into();
        for line in due.into_iter().skip(limit_reached) {
            line.action = Action::Deferred;
            line.error = Some(Arc::clone(&reason));
        }
    }

    /// One KIP-745 call restarts whatever has failed in a connector by the time
    /// it arrives. It is used only where that cannot restart anything else that
    /// is remembered: a neighbour that waits, gave up, or only just recovered.
    fn find_together(&mut self, ledger: &Ledger) {
        let mut together = BTreeSet::new();
        for (connector, due) in by_connector(self.due()) {
            let all_failed = due.iter().all(|line| line.state == Some(State::Failed));
            if due.len() > 1 && all_failed && ledger.of_connector(connector).count() == due.len() {
                together.insert(Arc::clone(connector));
            }
        }
        self.together = together;
    }
}

impl Line {
    fn bare(id: InstanceId, action: Action) -> Self {
        Self { id, state: None, action, cause: None, worker: None, error: None, trouble: false }
    }

    fn remembered(id: &InstanceId, record: &Record, action: Action) -> Self {
        let of_episode = |get: fn(&Episode) -> Option<Arc<str>>| record.episode.as_ref().and_then(get);
        Self {
            cause: of_episode(|episode| episode.cause.clone()),
            worker: of_episode(|episode| episode.worker.clone()),
            ..Self::bare(id.clone(), action)
        }
    }

    fn seen(seen: Sighting, action: Action, ledger: &Ledger) -> Self {
        let remembered = || ledger.episode(&seen.id).and_then(|episode| episode.cause.clone());
        let cause = seen.cause.or_else(remembered);
        Self { state: Some(seen.state), worker: seen.worker, cause, ..Self::bare(seen.id, action) }
    }
}

/// The decision about a failed instance, in the order of the contract.
fn failed(
    id: &InstanceId,
    ledger: &Ledger,
    policy: &Policy,
    filter: &Filter,
    run: u64,
    now: Timestamp,
) -> Action {
    if !filter.selects(&id.connector) {
        return Action::Excluded;
    }
    let Some(episode) = ledger.episode(id) else { return Action::Due };
    if policy.gives_up(episode.attempts) {
        Action::GaveUp
    } else if policy.due(episode, run, now) == Due::Now {
        Action::Due
    } else {
        Action::Waiting
    }
}

fn is_stuck(id: &InstanceId, ledger: &Ledger, policy: &Policy) -> bool {
    policy.stuck_after.is_some_and(|runs| transition_runs(id, ledger) >= runs)
}

fn transition_runs(id: &InstanceId, ledger: &Ledger) -> u64 {
    ledger.records.get(id).and_then(|record| record.transition).map_or(0, |streak| streak.runs)
}

fn attempts(id: &InstanceId, ledger: &Ledger) -> u32 {
    ledger.episode(id).map_or(0, |episode| episode.attempts)
}

/// What is remembered, not in the answer, and not excused by it.
fn absent_lines(listing: &Listing, ledger: &Ledger) -> Vec<Line> {
    let absent = ledger.records.iter().filter(|(id, _)| {
        !listing.left_alone.contains(&id.connector)
            && !listing.not_understood.contains(&id.connector)
            && listing.sighting(id).is_none()
    });
    absent.map(|(id, record)| Line::remembered(id, record, Action::Absent)).collect()
}

fn by_connector<'a>(lines: impl Iterator<Item = &'a Line>) -> BTreeMap<&'a Arc<str>, Vec<&'a Line>> {
    let mut groups: BTreeMap<&Arc<str>, Vec<&Line>> = BTreeMap::new();
    for line in lines {
        groups.entry(&line.id.connector).or_default().push(line);
    }
    groups
}

/// One sentence for all of them, a few by name.
fn warn<T: std::fmt::Display>(warnings: &mut Vec<String>, what: &str, which: impl Iterator<Item = T>) {
    const NAMED: usize = 5;
    let mut names: Vec<T> = which.collect();
    if names.is_empty() {
        return;
    }
    let count = names.len();
    names.truncate(NAMED);
    let shown: Vec<String> =
        names.iter().map(|name| super::text::sanitize(&name.to_string()).into_owned()).collect();
    let more = match count.saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    warnings.push(format!("{what}: {}{more}", shown.join(", ")));
}

/// The order in which a person reads the lines: what needs them first, then
/// what was tried most often.
pub fn sort_for_a_reader(lines: &mut [&Line], ledger: &Ledger) {
    lines.sort_by(|a, b| {
        let key = |line: &Line| (line.action, Reverse(attempts(&line.id, ledger)));
        key(a).cmp(&key(b)).then_with(|| a.id.cmp(&b.id))
    });
}
