//! What one run will do, as a value: a line for every instance that is not simply healthy. `--dry-run` prints the plan,
//! `run` applies it; there is no second path. Two steps make it: *judge* looks at each instance by itself, *ration* at all
//! that are due. A plan changes no record beyond what the listing says (`Ledger::observe`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::action::Action;
use super::cause::Cause;
use super::event::Event;
use super::ledger::Ledger;
use super::listing::{Listing, Sighting};
use super::model::{Counts, InstanceId, State};
use super::policy::{Next, Policy};
use super::record::{Episode, Record};
use super::select::Filter;
use super::table::{ByInstance, OfInstance};
use super::text::{name_some, show_name};
use super::time::Timestamp;

/// From this many runs in transition on, a person is warned.
const LONG_IN_TRANSITION: u64 = 3;

/// What the settings say about restarts.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    pub policy: &'a Policy,
    pub filter: &'a Filter,
}

/// One instance's line in the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub id: InstanceId,
    /// Its state in the listing; `None` when it is absent.
    pub state: Option<State>,
    /// What is done about it.
    pub action: Action,
    /// The cause of its failure.
    pub cause: Option<Arc<Cause>>,
    /// The worker that reported its state.
    pub worker: Option<Arc<str>>,
    /// Why it could not be done.
    pub error: Option<Arc<str>>,
    /// `error` means that the run could not do all its work.
    pub incomplete: bool,
    /// What happened to it that somebody may want to be told of.
    pub event: Option<Event>,
}

impl OfInstance for Line {
    fn id(&self) -> &InstanceId {
        &self.id
    }
}

/// What one run will do, and then what it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Connectors and tasks by state; `None` when Connect was not read.
    pub counts: Option<(Counts, Counts)>,
    pub lines: ByInstance<Line>,
    /// What a person should know besides, one sentence each.
    pub warnings: Vec<String>,
}

/// Begins the next run: folds the listing into the ledger, and says what to do about each instance.
pub fn plan(ledger: &mut Ledger, listing: Listing, rules: Rules<'_>, now: Timestamp) -> Plan {
    let recovered = ledger.observe(&listing, rules.policy, now);
    let judge = Judge { ledger, rules, now, recovered };
    let mut plan = Plan {
        warnings: judge.warnings(&listing),
        counts: Some((listing.connectors.clone(), listing.tasks.clone())),
        lines: judge.lines(listing),
    };
    plan.warn_long_in_transition(ledger, rules.filter);
    plan.ration(rules.policy, ledger);
    plan
}

impl Plan {
    /// What the next run would do if everything were still as it was last seen: for `status` when Connect cannot be read.
    /// No line has a state.
    pub fn unread(ledger: &Ledger, rules: Rules<'_>, now: Timestamp) -> Self {
        let run = ledger.run.saturating_add(1);
        let lines = ledger.records.iter().map(|record| {
            let action = match &record.episode {
                None => Action::InTransition,
                Some(episode) if episode.healthy.is_some() => Action::Recovered,
                Some(episode) => failed(&record.id.connector, Some(episode), rules, run, now),
            };
            Line::remembered(record, action)
        });
        Self { lines: lines.collect(), ..Self::default() }
    }

    /// Adds a line for every other instance that is healthy again but not yet forgiven: what `status` shows besides.
    pub fn add_recovering(&mut self, ledger: &Ledger) {
        let recovering = ledger.records.iter().filter(|record| {
            let healthy = record.episode.as_ref().is_some_and(|episode| episode.healthy.is_some());
            healthy && !self.lines.has(&record.id)
        });
        let lines = recovering.map(|record| Line {
            state: Some(State::Running),
            worker: None,
            ..Line::remembered(record, Action::Recovered)
        });
        self.lines.extend(lines.collect());
    }

    /// The instances that this run restarts.
    pub fn due(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.action == Action::Due)
    }

    /// How many lines there are of each action.
    pub fn summary(&self) -> BTreeMap<Action, u64> {
        let mut summary: BTreeMap<Action, u64> = Action::ALL.iter().map(|action| (*action, 0)).collect();
        for line in &self.lines {
            let count = summary.entry(line.action).or_default();
            *count = count.saturating_add(1);
        }
        summary
    }

    /// The lines that tell why the run could not do all its work.
    pub fn incomplete(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.incomplete)
    }

    /// The lines in the order in which a person reads them: what needs a person first, then what was tried most often.
    pub fn for_a_reader(&self, ledger: &Ledger) -> Vec<&Line> {
        let mut lines: Vec<&Line> = self.lines.iter().collect();
        lines.sort_by_cached_key(|line| (line.action, Reverse(ledger.attempts(&line.id))));
        lines
    }

    /// Keeps the run within `--max-restarts-per-run`: those with the fewest attempts go first, then those that failed
    /// first.
    fn ration(&mut self, policy: &Policy, ledger: &Ledger) {
        let Some(limit) = policy.max_per_run else { return };
        let mut due: Vec<&mut Line> =
            self.lines.iter_mut().filter(|line| line.action == Action::Due).collect();
        due.sort_by_key(|line| {
            ledger.episode(&line.id).map(|episode| (episode.attempts, episode.first_failed_at))
        });
        let reason: Arc<str> =
            format!("over the {limit} restarts of one run (--max-restarts-per-run)").into();
        for line in due.into_iter().skip(usize::try_from(limit).unwrap_or(usize::MAX)) {
            line.action = Action::Deferred;
            line.error = Some(Arc::clone(&reason));
        }
    }

    fn warn_long_in_transition(&mut self, ledger: &Ledger, filter: &Filter) {
        let long = self.lines.iter().filter(|line| {
            line.action == Action::InTransition
                && filter.selects(&line.id.connector)
                && ledger
                    .records
                    .get(&line.id)
                    .is_some_and(|record| transition_runs(record) >= LONG_IN_TRANSITION)
        });
        let warning =
            warning("in transition for three runs or more (see --stuck-after)", long.map(|line| &line.id));
        self.warnings.extend(warning);
    }
}

/// What the judgement of one instance depends on.
struct Judge<'a> {
    ledger: &'a Ledger,
    rules: Rules<'a>,
    now: Timestamp,
    /// What this run sees healthy for the first time after a failure.
    recovered: BTreeSet<InstanceId>,
}

impl Judge<'_> {
    fn lines(&self, listing: Listing) -> ByInstance<Line> {
        let mut lines = self.absent(&listing);
        let no_tasks: BTreeSet<_> =
            listing.no_tasks.iter().filter(|name| !self.just_recovered(name)).collect();
        // Grown step by step, it would at last take twice the room: in an outage that is a tenth of all memory.
        lines.reserve_exact(listing.sightings.len().saturating_add(no_tasks.len()));
        lines.extend(no_tasks.into_iter().map(|name| Line {
            state: Some(State::Running),
            ..Line::bare(InstanceId { connector: Arc::clone(name), task: None }, Action::NoTasks)
        }));
        lines.extend(listing.sightings.into_iter().filter_map(|seen| {
            let action = self.action(&seen)?;
            Some(Line::seen(seen, action, self.ledger))
        }));
        // Of two lines of a connector without tasks the first stays.
        ByInstance::from(lines)
    }

    /// What to do about what was seen; `None` is nothing to speak of.
    fn action(&self, seen: &Sighting) -> Option<Action> {
        let record = self.ledger.records.get(&seen.id);
        let failed = || {
            let episode = record.and_then(|record| record.episode.as_ref());
            failed(&seen.id.connector, episode, self.rules, self.ledger.run, self.now)
        };
        match &seen.state {
            State::Failed if seen.paused_or_stopped => Some(Action::Parked),
            _ if seen.paused_or_stopped => None,
            State::Running => self.recovered.contains(&seen.id).then_some(Action::Recovered),
            State::Paused | State::Stopped => None,
            State::Failed => Some(failed()),
            State::Unassigned | State::Restarting | State::Other(_) => {
                let stuck = record.is_some_and(|record| self.rules.policy.is_stuck(transition_runs(record)));
                Some(if stuck { failed() } else { Action::InTransition })
            }
        }
    }

    /// What is remembered, not in the answer, and not excused by it.
    fn absent(&self, listing: &Listing) -> Vec<Line> {
        let absent = self.ledger.records.iter().filter(|record| {
            !listing.paused_or_stopped.contains(&record.id.connector)
                && !listing.not_understood.contains(&record.id.connector)
                && !listing.sightings.has(&record.id)
        });
        absent.map(|record| Line::remembered(record, Action::Absent)).collect()
    }

    /// Straight after its restart a connector has no tasks yet.
    fn just_recovered(&self, name: &Arc<str>) -> bool {
        self.recovered.contains(&InstanceId { connector: Arc::clone(name), task: None })
    }

    fn warnings(&self, listing: &Listing) -> Vec<String> {
        let mut warnings = listing.warnings.clone();
        if listing.connectors.total == 0 && !self.ledger.records.is_empty() {
            warnings.push(format!(
                "Connect lists no connectors, but {} remembered: it may still be starting; nothing was changed",
                match self.ledger.records.len() {
                    1 => "1 instance is".to_owned(),
                    count => format!("{count} instances are"),
                }
            ));
        }
        let no_tasks = listing
            .no_tasks
            .iter()
            .filter(|name| !self.just_recovered(name) && self.rules.filter.selects(name));
        warnings.extend(warning("RUNNING without a single task", no_tasks.map(|name| show_name(name))));
        warnings
    }
}

impl Line {
    fn bare(id: InstanceId, action: Action) -> Self {
        Self {
            id,
            state: None,
            action,
            cause: None,
            worker: None,
            error: None,
            incomplete: false,
            event: None,
        }
    }

    fn remembered(record: &Record, action: Action) -> Self {
        let episode = record.episode.as_ref();
        Self {
            cause: episode.and_then(|episode| episode.cause.clone()),
            worker: episode.and_then(|episode| episode.worker.clone()),
            ..Self::bare(record.id.clone(), action)
        }
    }

    fn seen(seen: Sighting, action: Action, ledger: &Ledger) -> Self {
        let remembered = || ledger.episode(&seen.id).and_then(|episode| episode.cause.clone());
        let cause = seen.cause.or_else(remembered);
        Self { state: Some(seen.state), worker: seen.worker, cause, ..Self::bare(seen.id, action) }
    }
}

/// The decision about a failed instance, in the order of the contract.
fn failed(connector: &str, episode: Option<&Episode>, rules: Rules<'_>, run: u64, now: Timestamp) -> Action {
    if !rules.filter.selects(connector) {
        return Action::Excluded;
    }
    let Some(episode) = episode else { return Action::Due };
    if rules.policy.gives_up(episode.attempts) {
        Action::GaveUp
    } else if rules.policy.due(episode, run, now) == Next::Runs(0) {
        Action::Due
    } else {
        Action::Waiting
    }
}

fn transition_runs(record: &Record) -> u64 {
    record.transition.as_ref().map_or(0, |streak| streak.runs)
}

/// One sentence for all of them, a few by name.
fn warning<T: fmt::Display>(what: &str, which: impl Iterator<Item = T>) -> Option<String> {
    const NAMED: usize = 5;
    let mut which = which.peekable();
    which.peek().is_some().then(|| format!("{what}: {}", name_some(which, NAMED)))
}
