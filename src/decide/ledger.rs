//! What guardian remembers between runs: one record for each instance that is in an episode of failure or in transition.
//! It owns how a listing changes the records (`observe`), how attempts are charged before the first request goes out, and
//! how they are refunded. It must not decide what to restart (`plan`).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::cause::Cause;
use super::counters::Counters;
use super::group::Group;
use super::history::{Gather, Happened, History};
use super::hold::Hold;
use super::listing::{Listing, Sighting};
use super::model::{InstanceId, State};
use super::outcome::Outcome;
use super::policy::Policy;
use super::record::{Attempt, Episode, Record, Streak};
use super::shared::SharedStr;
use super::table::{ByInstance, OfInstance};
use super::tell::{Told, Trouble};
use super::time::Timestamp;

/// Everything remembered of one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The last run that was saved; from `observe` on, the run that it began. The first is number 1.
    pub run: u64,
    pub records: ByInstance<Record>,
    /// The worker's URL that the next run asks first, because the one before it did not do what it was asked for.
    pub first_url: Option<SharedStr>,
    /// The call for several (KIP-745) is not understood, whatever Connect says of its version: a proxy drops the query. It
    /// restarted a connector's own instance that was well.
    pub one_by_one: bool,
    /// Connect itself looked sick: the next run begins with a single connector.
    pub careful: bool,
    /// The groups of which a wave was sent.
    pub groups: Vec<Group>,
    /// What persons hold.
    pub holds: Vec<Hold>,
    /// What happened.
    pub history: History,
    /// What people have been told.
    pub told: Told,
    /// No run can do its work; only remembered where somebody is told.
    pub trouble: Option<Trouble>,
    /// What has happened since the state began.
    pub counters: Counters,
}

/// The receipt of one attempt that was charged: what the record was before, and what became of the restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    pub id: InstanceId,
    /// `None` when it began the episode: nothing had failed.
    attempts_before: Option<u32>,
    extra_before: u32,
    last_attempt_before: Option<Attempt>,
    /// Its connector's own instance is to be restarted before it.
    pub connector_first: bool,
    /// It was.
    pub connector_restarted: bool,
    /// It went with the call for several (KIP-745), which shows `RESTARTING` in between.
    pub by_several: bool,
    /// `None` as long as no request was sent.
    pub outcome: Option<Outcome>,
    /// When the outcome was known; without one, when it was charged.
    pub answered: Timestamp,
}

impl OfInstance for Charge {
    fn id(&self) -> &InstanceId {
        &self.id
    }
}

impl Ledger {
    /// The episode that this instance is in.
    pub fn episode(&self, id: &InstanceId) -> Option<&Episode> {
        self.records.get(id)?.episode.as_ref()
    }

    pub fn episode_mut(&mut self, id: &InstanceId) -> Option<&mut Episode> {
        self.records.get_mut(id)?.episode.as_mut()
    }

    /// The attempts of this instance in its present episode.
    pub fn attempts(&self, id: &InstanceId) -> u32 {
        self.records.get(id).map_or(0, Record::attempts)
    }

    /// Whether nothing is wrong with anything that it remembers: some restarts are counted at most, which need no new write.
    pub fn is_well(&self) -> bool {
        self.records.iter().all(Record::is_well)
    }

    /// Begins the next run: folds what it saw into the records, and says which instances are seen healthy for the first
    /// time after a failure.
    ///
    /// An answer in which no connector can be understood, or of a worker that is not well, changes nothing. It is `{}` from a worker that has not yet read
    /// its internal topics.
    pub fn observe(&mut self, listing: &Listing, policy: &Policy, now: Timestamp) -> BTreeSet<InstanceId> {
        self.run = self.run.saturating_add(1);
        self.mind_the_clock(now);
        if listing.nothing_understood() || listing.illness.is_some() {
            return BTreeSet::new();
        }
        let mut happened = Gather::new(self.run, now);
        self.age_absent(listing, policy, &mut happened, now);
        self.insert_unwell(listing);
        let run = self.run;
        let mut recovered = BTreeSet::new();
        for seen in listing.sightings.iter().filter(|seen| !seen.paused_or_stopped) {
            let Some(record) = self.records.get_mut(&seen.id) else { continue };
            if record.see(seen, policy, &mut happened, run, now) {
                recovered.insert(seen.id.clone());
            }
        }
        self.note(happened);
        self.see_no_tasks(&listing.no_tasks, now);
        self.records.retain(|record| !record.is_well() || !record.earlier.is_empty());
        recovered
    }

    /// Folds in what a look between two runs saw of these instances, which have failed. To everything else the look is none,
    /// and no run begins: what is counted in runs goes on as if nobody had looked.
    pub fn observe_failed(&mut self, seen: &[&Sighting], policy: &Policy, now: Timestamp) {
        self.run = self.run.max(1);
        self.mind_the_clock(now);
        let new = seen.iter().filter(|seen| !self.records.has(&seen.id));
        let new = new.map(|seen| Record::new(seen.id.clone())).collect();
        self.records.extend(new);
        let mut happened = Gather::new(self.run, now);
        for seen in seen {
            if let Some(record) = self.records.get_mut(&seen.id) {
                record.see(seen, policy, &mut happened, self.run, now);
            }
        }
        self.note(happened);
    }

    fn mind_the_clock(&mut self, now: Timestamp) {
        self.end_holds(now);
        for record in self.records.iter_mut() {
            record.forget_the_future(now);
            record.forget_old_restarts(now);
        }
    }

    /// Counts one more run for every connector that runs without a task, and none for the others.
    fn see_no_tasks(&mut self, names: &BTreeSet<SharedStr>, now: Timestamp) {
        let ids = names.iter().map(|name| InstanceId { connector: SharedStr::clone(name), task: None });
        let new = ids.filter(|id| !self.records.has(id)).map(Record::new).collect();
        self.records.extend(new);
        for record in self.records.iter_mut().filter(|record| record.absent.is_none()) {
            let has_none = record.id.task.is_none() && names.contains(&record.id.connector);
            let streak = record.no_tasks.as_deref().copied();
            record.no_tasks = has_none.then(|| Box::new(Streak::one_more(streak, now)));
        }
    }

    /// Empty records for what is not well for the first time.
    fn insert_unwell(&mut self, listing: &Listing) {
        let is_new = |seen: &&Sighting| {
            seen.state.is_unwell() && !seen.paused_or_stopped && !self.records.has(&seen.id)
        };
        let count = listing.sightings.iter().filter(is_new).count();
        let mut new = Vec::with_capacity(count);
        new.extend(listing.sightings.iter().filter(is_new).map(|seen| Record::new(seen.id.clone())));
        self.records.extend(new);
    }

    /// Counts one more run for every record whose instance is not in the answer, and drops those that have been absent
    /// for long enough. A stopped connector has no tasks, and an entry that cannot be understood says nothing of them:
    /// their connector is there, which ends an absence.
    fn age_absent(&mut self, listing: &Listing, policy: &Policy, happened: &mut Gather, now: Timestamp) {
        self.records.retain(|record| {
            let connector = &record.id.connector;
            let says_nothing =
                listing.paused_or_stopped.contains(connector) || listing.not_understood.contains(connector);
            if says_nothing {
                record.absent = None;
            }
            if says_nothing
                || listing.sightings.has(&record.id)
                || !record.earlier.is_empty() && record.is_well()
            {
                return true;
            }
            // It was never ill: nothing of it would be lost.
            if record.episode.is_none() && record.transition.is_none() {
                return false;
            }
            let absent = Streak::one_more(record.absent.as_deref().copied(), now);
            record.absent = Some(Box::new(absent));
            let forgets = policy.forgets(record.attempts(), &absent, now);
            if let Some(episode) = record.episode.as_ref().filter(|_| forgets) {
                happened.add_episode(Happened::Gone, &record.id, episode);
            }
            !forgets
        });
    }

    /// Writes down what was just found.
    pub(super) fn note(&mut self, happened: Gather) {
        happened.entries().for_each(|entry| self.history.push(entry));
    }

    /// Forgets these instances, in their order, because a person said so.
    pub fn forget(&mut self, forgotten: &[InstanceId], by: &SharedStr, now: Timestamp) {
        let mut happened = Gather::new(self.run, now);
        for id in forgotten {
            happened.add(Happened::Reset, id, None).by = Some(SharedStr::clone(by));
        }
        self.note(happened);
        self.records.retain(|record| forgotten.binary_search(&record.id).is_err());
    }

    /// Counts an attempt of the present run for this instance, before the request goes out.
    pub fn charge(&mut self, id: &InstanceId, now: Timestamp) -> Charge {
        let run = self.run;
        if !self.records.has(id) {
            self.records.insert(Record::new(id.clone()));
        }
        let mut charge = Charge {
            id: id.clone(),
            attempts_before: None,
            extra_before: 0,
            last_attempt_before: None,
            connector_first: false,
            connector_restarted: false,
            by_several: false,
            outcome: None,
            answered: now,
        };
        if let Some(record) = self.records.get_mut(id) {
            charge.attempts_before = record.episode.as_ref().map(|episode| episode.attempts);
            if let Some(last) = record.episode.as_ref().and_then(|episode| episode.last_attempt) {
                record.count(&last);
            }
            let episode = record.episode.get_or_insert(Episode::starting(run, now));
            charge.extra_before = episode.extra;
            charge.last_attempt_before = episode.last_attempt;
            episode.attempts = episode.attempts.saturating_add(1);
            episode.last_attempt = Some(Attempt { run, at: now, answered: now });
        }
        charge
    }

    /// Lets this attempt be one beyond the limit.
    pub fn charge_beyond_limit(&mut self, charge: &Charge) {
        if let Some(episode) = self.episode_mut(&charge.id) {
            episode.extra = episode.extra.saturating_add(1);
        }
    }

    /// Charges this attempt also the restart of its connector's own instance before it.
    pub fn charge_connector(&mut self, charge: &mut Charge) {
        charge.connector_first = true;
        if let Some(episode) = self.episode_mut(&charge.id) {
            episode.connector_restarted = true;
        }
    }

    /// Takes back an attempt that Connect surely did not take. What was done before it stays done.
    pub fn refund(&mut self, charge: &Charge) {
        let Some(record) = self.records.get_mut(&charge.id) else { return };
        if let Some(last) = &charge.last_attempt_before {
            record.uncount(last);
        }
        let Some(attempts) = charge.attempts_before else {
            record.episode = None;
            return;
        };
        if let Some(episode) = &mut record.episode {
            episode.attempts = attempts;
            episode.extra = charge.extra_before;
            episode.last_attempt = charge.last_attempt_before;
            if charge.connector_first {
                episode.connector_restarted = charge.connector_restarted;
            }
        }
    }
}

impl Charge {
    /// As if nothing had been sent.
    pub fn forget(&mut self) {
        self.outcome = None;
    }

    /// Notes what became of the restart; a later word replaces an earlier one.
    pub fn note(&mut self, outcome: Outcome, when: Timestamp) {
        self.outcome = Some(outcome);
        self.answered = when;
    }
}

impl Record {
    /// Folds one sighting in. `true` when it is the first healthy one after a failure.
    fn see(
        &mut self,
        seen: &Sighting,
        policy: &Policy,
        happened: &mut Gather,
        run: u64,
        now: Timestamp,
    ) -> bool {
        self.absent = None;
        match seen.state {
            State::Running => return self.see_healthy(policy, happened, now),
            State::Failed => {
                self.transition = None;
                self.see_failed(seen, happened, run, now);
            }
            State::Paused | State::Stopped => {}
            State::Unassigned | State::Restarting | State::Other(_) => {
                let transition = Streak::one_more(self.transition.as_deref().copied(), now);
                self.transition = Some(Box::new(transition));
                if self.is_stuck(policy) {
                    self.see_failed(seen, happened, run, now);
                }
            }
        }
        false
    }

    fn see_healthy(&mut self, policy: &Policy, happened: &mut Gather, now: Timestamp) -> bool {
        self.transition = None;
        let Some(episode) = &mut self.episode else { return false };
        let first = episode.healthy.is_none();
        episode.not_taken = None;
        let healthy = Streak::one_more(episode.healthy.as_deref().copied(), now);
        if first {
            let entry = happened.add_episode(Happened::Recovered, &self.id, episode);
            let down = now.since(episode.failed_since()).as_secs();
            let (shortest, longest) = entry.down.unwrap_or((down, down));
            entry.down = Some((shortest.min(down), longest.max(down)));
        }
        episode.healthy = Some(Box::new(healthy));
        if policy.forgives(episode, &healthy, now) {
            happened.add_episode(Happened::Forgiven, &self.id, episode);
            self.end_episode();
        }
        first
    }

    /// Whether it has been in transition for so long that it counts as failed.
    pub fn is_stuck(&self, policy: &Policy) -> bool {
        let Some(transition) = &self.transition else { return false };
        let since_failed = self.episode.as_ref().filter(|episode| episode.healthy.is_none());
        let restarted = since_failed.is_some_and(|episode| episode.attempts > 0);
        policy.is_stuck(transition.runs, restarted)
    }

    fn see_failed(&mut self, seen: &Sighting, happened: &mut Gather, run: u64, now: Timestamp) {
        let another = |episode: &Episode| episode.healthy.is_some() && episode.is_of_another_cause(seen);
        if self.episode.as_ref().is_some_and(another) {
            // The database last night and a bad record today do not add up.
            self.end_episode();
        }
        let begins = self.episode.is_none();
        let episode = self.episode.get_or_insert_with(|| Episode::starting(run, now));
        let comes_back = episode.healthy.take().is_some();
        if comes_back {
            episode.failed_again_at = now.seconds();
        }
        episode.last_failed_run = run;
        if episode.is_phantom() && episode.has_news(seen) {
            episode.not_taken = None;
        }
        if let Some(cause) = &seen.cause {
            if episode.first_cause.is_none()
                && episode.cause.as_ref().is_some_and(|last| last.key != cause.key)
            {
                episode.first_cause = episode.cause.take();
            }
            episode.cause = Some(Arc::clone(cause));
        }
        if seen.worker.is_some() {
            episode.worker.clone_from(&seen.worker);
        }
        if begins {
            happened.add(Happened::Failed, &self.id, episode.cause.as_ref());
        } else if comes_back {
            happened.add_episode(Happened::FailedAgain, &self.id, episode);
        }
    }

    /// A clock that was set back must not prolong a wait: what lies in the future happened now.
    fn forget_the_future(&mut self, now: Timestamp) {
        let past = |time: &mut Timestamp| *time = (*time).min(now);
        for streak in [&mut self.transition, &mut self.absent].into_iter().flatten() {
            past(&mut streak.since);
        }
        let Some(episode) = &mut self.episode else { return };
        past(&mut episode.first_failed_at);
        episode.failed_again_at = episode.failed_again_at.min(now.seconds());
        if let Some(healthy) = &mut episode.healthy {
            past(&mut healthy.since);
        }
        if let Some(last) = &mut episode.last_attempt {
            past(&mut last.at);
            past(&mut last.answered);
        }
        if let Some(not_taken) = &mut episode.not_taken {
            past(&mut not_taken.at);
            not_taken.told_at.iter_mut().for_each(past);
        }
    }
}

impl Episode {
    /// Whether it has failed for another reason than the last time.
    fn is_of_another_cause(&self, seen: &Sighting) -> bool {
        let causes = self.cause.as_ref().zip(seen.cause.as_ref());
        causes.is_some_and(|(last, now)| last.key != now.key)
    }

    /// Whether somebody wrote another status than the one that was seen last. A status that was left behind never changes.
    fn has_news(&self, seen: &Sighting) -> bool {
        let key = |cause: &Option<Arc<Cause>>| cause.as_ref().map(|cause| cause.key);
        key(&self.cause) != key(&seen.cause) || self.worker != seen.worker
    }
}
