//! What guardian remembers between runs: one record for each instance that is
//! in an episode of failure or in transition. It owns how a listing changes the
//! records (`observe`), how attempts are charged before the first request goes
//! out, and how they are refunded. It must not decide what to restart (`plan`).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::model::{InstanceId, Listing, Sighting, State, Timestamp};
use super::policy::{Policy, Wait};

/// Everything remembered of one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The number of the last run that was saved; the first run is number 1.
    pub run: u64,
    /// What is remembered, by instance.
    pub records: BTreeMap<InstanceId, Record>,
}

/// What is remembered of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Its present episode of failure.
    pub episode: Option<Episode>,
    /// Since when it has been in transition, run after run.
    pub transition: Option<Streak>,
    /// Since when it has been absent from the listing, run after run.
    pub absent: Option<Streak>,
}

/// From the first sighting as failed until forgiven, reset or gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    /// When it was first seen failed.
    pub first_failed_at: Timestamp,
    /// In which run it was first seen failed.
    pub first_failed_run: u64,
    /// Restarts that Connect took, or whose fate is unknown.
    pub attempts: u32,
    /// The latest of them; `None` exactly when there were none.
    pub last_attempt: Option<Attempt>,
    /// Since when it has been seen healthy.
    pub healthy: Option<Streak>,
    /// The last restart was answered 404: the next such answer is charged.
    pub not_found: bool,
    /// It was reported as given up.
    pub gave_up: bool,
    /// The root cause of its latest failure.
    pub cause: Option<Arc<str>>,
    /// The worker on which it failed.
    pub worker: Option<Arc<str>>,
}

/// One restart request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The run that made it.
    pub run: u64,
    /// When that run started: what the back-off counts from.
    pub at: Timestamp,
    /// When its answer came: what settling counts from.
    pub answered: Timestamp,
}

/// So many runs in a row, the first of them then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streak {
    /// How many runs.
    pub runs: u64,
    /// When the first of them was.
    pub since: Timestamp,
}

/// What a record was before its attempt was charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncharged {
    id: InstanceId,
    attempts: u32,
    last_attempt: Option<Attempt>,
}

/// Fills a map of records so that its nodes are full: one that grows entry by
/// entry keeps them half empty, and in an outage it is the largest part of all
/// memory. The entries should come in order.
#[derive(Debug, Default)]
pub struct Packer {
    packed: BTreeMap<InstanceId, Record>,
    next: Vec<(InstanceId, Record)>,
}

impl Packer {
    /// So many at a time: every time the whole map is packed anew.
    const AT_ONCE: usize = 4096;

    /// Adds a record.
    pub fn push(&mut self, id: InstanceId, record: Record) {
        self.next.push((id, record));
        if self.next.len() >= Self::AT_ONCE {
            self.pack();
        }
    }

    /// The map.
    #[must_use]
    pub fn finish(mut self) -> BTreeMap<InstanceId, Record> {
        self.pack();
        self.packed
    }

    fn pack(&mut self) {
        self.packed.append(&mut self.next.drain(..).collect());
    }
}

impl Streak {
    fn one_more(streak: Option<Self>, now: Timestamp) -> Self {
        streak.map_or(Self { runs: 1, since: now }, |s| Self { runs: s.runs.saturating_add(1), ..s })
    }

    /// Whether it has lasted for `wait`.
    #[must_use]
    pub fn reaches(&self, wait: Wait, now: Timestamp) -> bool {
        match wait {
            Wait::Runs(runs) => self.runs >= runs,
            Wait::Time(time) => now.since(self.since) >= time,
        }
    }
}

impl Episode {
    /// An episode that begins in this run.
    #[must_use]
    pub fn starting(run: u64, now: Timestamp) -> Self {
        Self {
            first_failed_at: now,
            first_failed_run: run,
            attempts: 0,
            last_attempt: None,
            healthy: None,
            not_found: false,
            gave_up: false,
            cause: None,
            worker: None,
        }
    }
}

impl Ledger {
    /// The records of one connector's instances.
    pub fn of_connector<'a>(
        &'a self,
        name: &Arc<str>,
    ) -> impl Iterator<Item = (&'a InstanceId, &'a Record)> + use<'a> {
        let own = InstanceId { connector: Arc::clone(name), task: None };
        let last = InstanceId { connector: Arc::clone(name), task: Some(u32::MAX) };
        self.records.range((Bound::Included(own), Bound::Included(last)))
    }

    /// The episode that this instance is in.
    #[must_use]
    pub fn episode(&self, id: &InstanceId) -> Option<&Episode> {
        self.records.get(id)?.episode.as_ref()
    }

    /// Folds what the run number `run` saw into the records, and says which
    /// instances are seen healthy for the first time after a failure.
    ///
    /// An answer in which no connector can be understood changes nothing. It is
    /// `{}` from a worker that has not yet read its internal topics.
    pub fn observe(
        &mut self,
        listing: &Listing,
        policy: &Policy,
        run: u64,
        now: Timestamp,
    ) -> Vec<InstanceId> {
        self.run = run;
        self.records.values_mut().for_each(|record| record.forget_the_future(now));
        if listing.nothing_understood() {
            return Vec::new();
        }
        self.age_absent(listing, policy, now);
        self.make_room(listing);
        let seen = listing.sightings.iter().filter(|sighting| !sighting.left_alone);
        seen.filter_map(|sighting| self.fold(sighting, policy, run, now)).collect()
    }

    /// Empty records for what is not well for the first time.
    fn make_room(&mut self, listing: &Listing) {
        let unwell = listing.sightings.iter().filter(|seen| {
            let healthy = matches!(seen.state, State::Running | State::Paused | State::Stopped);
            !healthy && !seen.left_alone && !self.records.contains_key(&seen.id)
        });
        let mut new = Packer::default();
        unwell.for_each(|seen| new.push(seen.id.clone(), Record::default()));
        self.records.append(&mut new.finish());
    }

    fn fold(&mut self, seen: &Sighting, policy: &Policy, run: u64, now: Timestamp) -> Option<InstanceId> {
        let recovered = match seen.state {
            State::Running => self.records.get_mut(&seen.id)?.see_healthy(policy, now),
            State::Failed => {
                self.records.entry(seen.id.clone()).or_default().see_failed(seen, run, now);
                false
            }
            State::Paused | State::Stopped => {
                self.records.get_mut(&seen.id)?.absent = None;
                false
            }
            State::Unassigned | State::Restarting | State::Other(_) => {
                self.records.entry(seen.id.clone()).or_default().see_in_transition(seen, policy, run, now);
                false
            }
        };
        if self.records.get(&seen.id).is_some_and(Record::is_empty) {
            self.records.remove(&seen.id);
        }
        recovered.then(|| seen.id.clone())
    }

    /// Counts one more run for every record whose instance is not in the
    /// answer, and drops those that have been absent for long enough. A stopped
    /// connector has no tasks, and an entry that cannot be understood says
    /// nothing of them: their connector is there, which ends an absence.
    fn age_absent(&mut self, listing: &Listing, policy: &Policy, now: Timestamp) {
        self.records.retain(|id, record| {
            let says_nothing =
                listing.left_alone.contains(&id.connector) || listing.not_understood.contains(&id.connector);
            if says_nothing {
                record.absent = None;
            }
            if says_nothing || listing.sighting(id).is_some() {
                return true;
            }
            let absent = Streak::one_more(record.absent, now);
            record.absent = Some(absent);
            let attempts = record.episode.as_ref().map_or(0, |episode| episode.attempts);
            !policy.forgets(attempts, &absent, now)
        });
    }

    /// Counts an attempt for this instance, before the request goes out.
    pub fn charge(&mut self, id: &InstanceId, run: u64, now: Timestamp) -> Uncharged {
        let episode =
            self.records.entry(id.clone()).or_default().episode.get_or_insert(Episode::starting(run, now));
        let before =
            Uncharged { id: id.clone(), attempts: episode.attempts, last_attempt: episode.last_attempt };
        episode.attempts = episode.attempts.saturating_add(1);
        episode.last_attempt = Some(Attempt { run, at: now, answered: now });
        before
    }

    /// Takes an attempt back that Connect surely did not take.
    pub fn refund(&mut self, before: &Uncharged) {
        if let Some(episode) = self.episode_mut(&before.id) {
            episode.attempts = before.attempts;
            episode.last_attempt = before.last_attempt;
        }
    }

    /// The record of this instance's episode, to be changed.
    pub fn episode_mut(&mut self, id: &InstanceId) -> Option<&mut Episode> {
        self.records.get_mut(id)?.episode.as_mut()
    }
}

impl Uncharged {
    /// Whose attempt was charged.
    #[must_use]
    pub fn id(&self) -> &InstanceId {
        &self.id
    }
}

impl Record {
    fn is_empty(&self) -> bool {
        self.episode.is_none() && self.transition.is_none()
    }

    /// `true` when this is the first healthy sighting after a failure.
    fn see_healthy(&mut self, policy: &Policy, now: Timestamp) -> bool {
        self.transition = None;
        self.absent = None;
        let Some(episode) = &mut self.episode else { return false };
        let first = episode.healthy.is_none();
        let healthy = Streak::one_more(episode.healthy, now);
        episode.healthy = Some(healthy);
        if policy.forgives(episode.attempts, &healthy, now) {
            self.episode = None;
        }
        first
    }

    fn see_failed(&mut self, seen: &Sighting, run: u64, now: Timestamp) {
        self.transition = None;
        self.absent = None;
        self.keep_failing(seen, run, now);
    }

    fn see_in_transition(&mut self, seen: &Sighting, policy: &Policy, run: u64, now: Timestamp) {
        self.absent = None;
        let transition = Streak::one_more(self.transition, now);
        self.transition = Some(transition);
        if policy.stuck_after.is_some_and(|runs| transition.runs >= runs) {
            self.keep_failing(seen, run, now);
        }
    }

    fn keep_failing(&mut self, seen: &Sighting, run: u64, now: Timestamp) {
        let episode = self.episode.get_or_insert_with(|| Episode::starting(run, now));
        episode.healthy = None;
        if seen.cause.is_some() {
            episode.cause.clone_from(&seen.cause);
        }
        if seen.worker.is_some() {
            episode.worker.clone_from(&seen.worker);
        }
    }

    /// A clock that was set back must not prolong a wait: what lies in the
    /// future happened now.
    fn forget_the_future(&mut self, now: Timestamp) {
        let past = |time: &mut Timestamp| *time = (*time).min(now);
        for streak in [&mut self.transition, &mut self.absent].into_iter().flatten() {
            past(&mut streak.since);
        }
        let Some(episode) = &mut self.episode else { return };
        past(&mut episode.first_failed_at);
        if let Some(healthy) = &mut episode.healthy {
            past(&mut healthy.since);
        }
        if let Some(last) = &mut episode.last_attempt {
            past(&mut last.at);
            past(&mut last.answered);
        }
    }
}
