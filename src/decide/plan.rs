//! What one run will do, as a value: a line for every instance that is not simply healthy. `--dry-run` prints the plan,
//! `run` applies it; there is no second path. Two steps make it: *judge* looks at each instance by itself, *ration* at all
//! that are due. A plan changes no record beyond what the listing says (`Ledger::observe`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use super::action::Action;
use super::cause::Cause;
use super::event::Event;
use super::group::Together;
use super::holding::Holding;
use super::ledger::Ledger;
use super::listing::{Listing, Sighting};
use super::model::{Counts, InstanceId, State};
use super::policy::{CRASH_LOOP, LONG_UNWELL, Next, Policy};
use super::record::{Attempt, Episode, Record};
use super::select::{Filter, Patterns};
use super::shared::SharedStr;
use super::table::{ByInstance, OfInstance};
use super::text::{name_some, show_name};
use super::time::Timestamp;

/// Why a task's connector is restarted before it: some tasks get a valid configuration only so (KAFKA-17719).
const CONNECTOR_FIRST: &str = "its connector's own instance is restarted first";
const NOT_TODAY: &str = "it has had its restarts of the day";
const LEFT_BEHIND: &str = "a status that was left behind: Connect has no such task";

/// What the settings say about restarts.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    pub policy: &'a Policy,
    pub filter: &'a Filter,
    /// Connectors of which it is known that they may run without tasks.
    pub no_tasks_ok: &'a Patterns,
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
    pub worker: Option<SharedStr>,
    /// Why it could not be done.
    pub error: Option<SharedStr>,
    /// Why it is done like this, where that is not plain.
    pub reason: Option<SharedStr>,
    /// Its connector's own instance is restarted before it.
    pub connector_first: bool,
    /// By what right it may be restarted, where its action does not say so.
    pub right: Right,
    /// `error` or `reason` means that the run could not do all its work.
    pub incomplete: bool,
    /// What happened to it that somebody may want to be told of.
    pub event: Option<Event>,
    /// In which of the run's charges it was; 0 in none.
    pub wave: u16,
}

/// By what right an instance may be restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    None,
    /// Its own back-off gives it one, and it waits for its group.
    Own,
    /// One beyond its limit (`--keep-trying`).
    BeyondLimit,
    /// A person asked for it: whatever waits, rests and limits say.
    Asked,
    /// It has had its restarts of the day (`--max-restarts-per-day`), whatever becomes of its group.
    NotToday,
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
    /// Failures of one cause that go together.
    pub groups: Vec<Together>,
    /// Of each cause of which nobody has a restart left: who gets one more, once `--keep-trying` is over after this attempt.
    pub next_tries: BTreeMap<InstanceId, Attempt>,
    /// All that it restarts is watched, for somebody who waits for what becomes of it.
    pub stays: bool,
    /// When each of the run's charges was.
    pub waves_at: Vec<Timestamp>,
    /// What a person should know besides, one sentence each.
    pub warnings: Vec<String>,
}

/// Begins the next run: folds the listing into the ledger, and says what to do about each instance.
pub fn plan(ledger: &mut Ledger, mut listing: Listing, rules: Rules<'_>, now: Timestamp) -> Plan {
    listing.no_tasks.retain(|name| !rules.no_tasks_ok.match_any(name));
    let recovered = ledger.observe(&listing, rules.policy, now);
    let illness = listing.illness.clone();
    if illness.is_none() && !listing.nothing_understood() {
        let mut told = std::mem::take(&mut ledger.told);
        told.see(&listing, &ledger.records, (rules.filter, &ledger.holding(now)), now);
        ledger.told = told;
    }
    let proven = ledger.prove(&recovered, rules.policy, now);
    let judge = Judge { ledger, rules, now, recovered, holding: ledger.holding(now) };
    let mut plan = Plan {
        warnings: judge.warnings(&listing),
        counts: Some((listing.connectors.clone(), judge.tasks(&listing))),
        lines: judge.lines(listing),
        groups: Vec::new(),
        next_tries: BTreeMap::new(),
        stays: false,
        waves_at: Vec::new(),
    };
    plan.warn_long_in_transition(ledger, rules);
    if let Some(illness) = illness {
        plan.leave_all(&illness);
        return plan;
    }
    plan.gather(ledger, rules.policy, &proven, now);
    plan.ration(rules.policy, ledger, 0);
    plan
}

impl Plan {
    /// What the next run would do if everything were still as it was last seen: for `status` when Connect cannot be read.
    /// No line has a state.
    pub fn unread(ledger: &Ledger, rules: Rules<'_>, now: Timestamp) -> Self {
        let run = ledger.run.saturating_add(1);
        let holding = ledger.holding(now);
        let lines = ledger.records.iter().filter(|record| !record.is_well()).map(|record| {
            let action = match &record.episode {
                None if record.transition.is_none() => Action::NoTasks,
                None => Action::InTransition,
                Some(episode) if episode.is_phantom() => Action::Gone,
                Some(episode) if episode.healthy.is_some() => Action::Recovered,
                Some(_) => failed(&record.id.connector, Some(record), rules, &holding, run, now),
            };
            let held = holding.of(&record.id.connector).filter(|_| action == Action::Held);
            Line { reason: held.cloned(), ..Line::remembered(record, action) }
        });
        Self { lines: lines.collect(), ..Self::default() }
    }

    /// Adds a line for every other instance that is healthy again but not yet forgiven, or a status that was left behind:
    /// what `status` shows besides.
    pub fn add_remembered(&mut self, ledger: &Ledger) {
        let others = ledger.records.iter().filter(|record| !self.lines.has(&record.id));
        let lines = others.filter_map(|record| match &record.episode {
            Some(episode) if episode.healthy.is_some() => Some(Line {
                state: Some(State::Running),
                worker: None,
                ..Line::remembered(record, Action::Recovered)
            }),
            Some(episode) if episode.is_phantom() => Some(Line {
                state: Some(State::Failed),
                reason: Some(LEFT_BEHIND.into()),
                ..Line::remembered(record, Action::Gone)
            }),
            _ => None,
        });
        let lines = lines.collect();
        self.lines.extend(lines);
    }

    /// The instances that this run restarts.
    pub fn due(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.action == Action::Due)
    }

    /// Begins the next charge of this run: of all that is due.
    pub fn begin_wave(&mut self, now: Timestamp) {
        self.waves_at.push(now);
        let number = u16::try_from(self.waves_at.len()).unwrap_or(u16::MAX);
        for line in self.lines.iter_mut().filter(|line| line.action == Action::Due) {
            line.wave = number;
        }
    }

    /// Adds a line for every instance that is well and forgiven, but in a crash loop: what `status` shows besides.
    pub fn add_crash_loops(&mut self, ledger: &Ledger, now: Timestamp) {
        let loops = |record: &&Record| record.is_well() && record.restarts_24h(now) >= CRASH_LOOP;
        let loops = ledger.records.iter().filter(loops).filter(|record| !self.lines.has(&record.id));
        let lines = loops.map(|record| Line::remembered(record, Action::Recovered)).collect();
        self.lines.extend(lines);
    }

    /// Says of all that was restarted again and again within a day that it is in a crash loop. That is news with the restart
    /// that begins it.
    pub fn tell_crash_loops(&mut self, ledger: &Ledger, now: Timestamp) {
        for line in self.lines.iter_mut() {
            let Some(record) = ledger.records.get(&line.id) else { continue };
            let count = record.restarts_24h(now);
            if count < CRASH_LOOP {
                continue;
            }
            let most = if count == Record::MOST_COUNTED { " or more" } else { "" };
            let says = format!("crash loop: {count}{most} restarts in 24 h");
            line.reason =
                Some(line.reason.as_ref().map_or(says.clone(), |why| format!("{says}; {why}")).into());
            let last = record.episode.as_ref().and_then(|episode| episode.last_attempt);
            let begins = count == CRASH_LOOP && last.is_some_and(|last| last.at == now);
            if begins && line.event.is_some_and(Event::is_restart) {
                line.event = Some(Event::CrashLoop);
            }
        }
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

    /// The instances that have been in transition, or without tasks, for three runs or more, though nothing excuses it.
    pub fn long_unwell(&self, ledger: &Ledger, rules: Rules<'_>) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| {
            let runs = ledger.records.get(&line.id).map_or(0, Record::runs_unwell);
            matches!(line.action, Action::InTransition | Action::NoTasks)
                && runs >= LONG_UNWELL
                && rules.filter.selects(&line.id.connector)
        })
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

    /// Keeps the run within `--max-restarts-per-run`: what Connect refuses goes last, those with the fewest attempts go
    /// first, then those that failed first. `sent` is what earlier waves of this run have used.
    pub fn ration(&mut self, policy: &Policy, ledger: &Ledger, sent: u64) {
        let Some(limit) = policy.max_per_run else { return };
        let left = limit.saturating_sub(sent);
        let mut due: Vec<&mut Line> =
            self.lines.iter_mut().filter(|line| line.action == Action::Due).collect();
        due.sort_by_key(|line| {
            let episode = ledger.episode(&line.id)?;
            Some((episode.not_taken.is_some(), episode.attempts, episode.first_failed_at))
        });
        let reason: SharedStr =
            format!("over the {limit} restarts of one run (--max-restarts-per-run)").into();
        for line in due.into_iter().skip(usize::try_from(left).unwrap_or(usize::MAX)) {
            line.action = Action::Deferred;
            line.error = Some(SharedStr::clone(&reason));
        }
    }

    /// Restarts nothing: Connect is not well.
    pub(super) fn leave_all(&mut self, illness: &str) {
        let error: SharedStr = illness.into();
        for line in self.lines.iter_mut().filter(|line| line.action == Action::Due) {
            line.action = Action::Deferred;
            line.error = Some(SharedStr::clone(&error));
            line.incomplete = true;
        }
    }

    fn warn_long_in_transition(&mut self, ledger: &Ledger, rules: Rules<'_>) {
        let long = self.long_unwell(ledger, rules).filter(|line| line.action == Action::InTransition);
        let long = long.map(|line| &line.id);
        let warning = warning("in transition for three runs or more (see --stuck-after)", long);
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
    holding: Holding<'a>,
}

impl Judge<'_> {
    fn lines(&self, listing: Listing) -> ByInstance<Line> {
        let mut lines = self.absent(&listing);
        let no_tasks: BTreeSet<_> =
            listing.no_tasks.iter().filter(|name| !self.just_recovered(name)).collect();
        // Grown step by step, it would at last take twice the room: in an outage that is a tenth of all memory.
        lines.reserve_exact(listing.sightings.len().saturating_add(no_tasks.len()));
        lines.extend(no_tasks.into_iter().map(|name| {
            let id = InstanceId { connector: SharedStr::clone(name), task: None };
            let event = self.becomes_long_unwell(&id);
            Line { state: Some(State::Running), event, ..Line::bare(id, Action::NoTasks) }
        }));
        let running = self.running_connectors(&listing);
        let nothing_included = listing.nothing_included;
        lines.extend(listing.sightings.into_iter().filter_map(|seen| {
            let action = self.action(&seen)?;
            let mut line = self.line(seen, action, &running);
            if nothing_included && action == Action::Excluded && self.is_new(&line.id) {
                line.event = Some(Event::NothingIncluded);
            }
            Some(line)
        }));
        // Of two lines of a connector without tasks the first stays.
        ByInstance::from(lines)
    }

    fn line(&self, seen: Sighting, action: Action, running: &HashSet<SharedStr>) -> Line {
        let line = Line::seen(seen, action, self.ledger);
        let episode = self.ledger.episode(&line.id);
        if action == Action::Waiting && self.next_day(&line.id).is_some() {
            let most = self.rules.policy.max_per_day.unwrap_or_default();
            let reason = format!("{NOT_TODAY} ({most}, --max-restarts-per-day)");
            return Line { right: Right::NotToday, reason: Some(reason.into()), ..line };
        }
        match action {
            Action::Due if running.contains(&line.id.connector) && self.is_last(&line.id, episode) => {
                Line { connector_first: true, reason: Some(CONNECTOR_FIRST.into()), ..line }
            }
            Action::Waiting => match episode.and_then(|episode| episode.not_taken.as_deref()) {
                Some(not_taken) if not_taken.is_lasting() => {
                    Line { reason: Some(not_taken.to_string().into()), incomplete: true, ..line }
                }
                _ => line,
            },
            Action::InTransition => Line { event: self.becomes_long_unwell(&line.id), ..line },
            Action::Held => Line { reason: self.holding.of(&line.id.connector).cloned(), ..line },
            _ => line,
        }
    }

    /// Whether this would be the last restart of a task's episode, and its connector's was neither restarted for it nor
    /// refused to be. The first of one that may have one only is no last resort.
    fn is_last(&self, id: &InstanceId, episode: Option<&Episode>) -> bool {
        let untried = |episode: &&Episode| !episode.connector_restarted && !episode.is_refused();
        let Some(episode) = episode.filter(untried) else { return false };
        let with_this = episode.attempts.saturating_add(1);
        id.task.is_some() && episode.attempts > 0 && self.rules.policy.limit() == Some(with_this)
    }

    /// The connectors that run while one of their tasks is about to get its last restart.
    fn running_connectors(&self, listing: &Listing) -> HashSet<SharedStr> {
        let running = listing.sightings.iter().filter(|seen| {
            let records = self.ledger.records.of_connector(&seen.id.connector);
            seen.id.task.is_none()
                && seen.state == State::Running
                && records.iter().any(|record| self.is_last(&record.id, record.episode.as_ref()))
        });
        running.map(|seen| SharedStr::clone(&seen.id.connector)).collect()
    }

    fn next_day(&self, id: &InstanceId) -> Option<Timestamp> {
        self.rules.policy.next_day(self.ledger.records.get(id)?, self.now)
    }

    /// This is the run that tells of it.
    fn becomes_long_unwell(&self, id: &InstanceId) -> Option<Event> {
        let runs = self.ledger.records.get(id).map_or(0, Record::runs_unwell);
        (runs == LONG_UNWELL && self.rules.filter.selects(&id.connector)).then_some(Event::Unwell)
    }

    /// This is the run that sees it failed for the first time.
    fn is_new(&self, id: &InstanceId) -> bool {
        self.ledger.episode(id).is_some_and(|episode| episode.first_failed_run == self.ledger.run)
    }

    /// The tasks by state. A status that was left behind is no failed task.
    fn tasks(&self, listing: &Listing) -> Counts {
        let phantoms = listing.sightings.iter().filter(|seen| {
            seen.state == State::Failed && self.ledger.episode(&seen.id).is_some_and(Episode::is_phantom)
        });
        let mut tasks = listing.tasks.clone();
        let count = u64::try_from(phantoms.count()).unwrap_or(u64::MAX);
        tasks.failed = tasks.failed.saturating_sub(count);
        tasks.other = tasks.other.saturating_add(count);
        tasks
    }

    /// What to do about what was seen; `None` is nothing to speak of.
    fn action(&self, seen: &Sighting) -> Option<Action> {
        let record = self.ledger.records.get(&seen.id);
        let failed = || {
            let episode = record.and_then(|record| record.episode.as_ref());
            match failed(&seen.id.connector, record, self.rules, &self.holding, self.ledger.run, self.now) {
                Action::Waiting if episode.is_some_and(Episode::is_phantom) => None,
                action => Some(action),
            }
        };
        match &seen.state {
            State::Failed if seen.paused_or_stopped => Some(Action::Parked),
            _ if seen.paused_or_stopped => None,
            State::Running => self.recovered.contains(&seen.id).then_some(Action::Recovered),
            State::Paused | State::Stopped => None,
            State::Failed => failed(),
            State::Unassigned | State::Restarting | State::Other(_) => {
                let stuck = record.is_some_and(|record| record.is_stuck(self.rules.policy));
                if stuck { failed() } else { Some(Action::InTransition) }
            }
        }
    }

    /// What is remembered, not in the answer, and not excused by it.
    fn absent(&self, listing: &Listing) -> Vec<Line> {
        let absent = self.ledger.records.iter().filter(|record| {
            !listing.paused_or_stopped.contains(&record.id.connector)
                && !listing.not_understood.contains(&record.id.connector)
                && !listing.sightings.has(&record.id)
                && !record.is_well()
        });
        absent.map(|record| Line::remembered(record, Action::Absent)).collect()
    }

    /// Straight after its restart a connector has no tasks yet.
    fn just_recovered(&self, name: &SharedStr) -> bool {
        self.recovered.contains(&InstanceId { connector: SharedStr::clone(name), task: None })
    }

    fn warnings(&self, listing: &Listing) -> Vec<String> {
        let mut warnings = listing.warnings.clone();
        let unwell = self.ledger.records.iter().filter(|record| !record.is_well()).count();
        if listing.connectors.total == 0 && unwell > 0 {
            warnings.push(format!(
                "Connect lists no connectors, but {} remembered: it may still be starting; nothing was changed",
                match unwell {
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
    pub(super) fn bare(id: InstanceId, action: Action) -> Self {
        Self {
            id,
            state: None,
            action,
            cause: None,
            worker: None,
            error: None,
            reason: None,
            connector_first: false,
            right: Right::None,
            incomplete: false,
            event: None,
            wave: 0,
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

    pub(super) fn seen(seen: Sighting, action: Action, ledger: &Ledger) -> Self {
        let remembered = || ledger.episode(&seen.id).and_then(|episode| episode.cause.clone());
        let cause = seen.cause.or_else(remembered);
        Self { state: Some(seen.state), worker: seen.worker, cause, ..Self::bare(seen.id, action) }
    }
}

/// The decision about a failed instance, in the order of the contract.
fn failed(
    connector: &str,
    record: Option<&Record>,
    rules: Rules<'_>,
    holding: &Holding<'_>,
    run: u64,
    now: Timestamp,
) -> Action {
    if !rules.filter.selects(connector) {
        return Action::Excluded;
    }
    if holding.of(connector).is_some() {
        return Action::Held;
    }
    let Some((record, episode)) = record.and_then(|record| Some((record, record.episode.as_ref()?))) else {
        return Action::Due;
    };
    if rules.policy.gives_up(episode) {
        Action::GaveUp
    } else if rules.policy.next_day(record, now).is_some() {
        Action::Waiting
    } else if rules.policy.due(episode, run, now) == Next::Runs(0) {
        Action::Due
    } else {
        Action::Waiting
    }
}

/// One sentence for all of them, a few by name.
fn warning<T: fmt::Display>(what: &str, which: impl Iterator<Item = T>) -> Option<String> {
    const NAMED: usize = 5;
    let mut which = which.peekable();
    which.peek().is_some().then(|| format!("{what}: {}", name_some(which, NAMED)))
}
