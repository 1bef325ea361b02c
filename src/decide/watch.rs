//! A look at what was restarted: whether it runs, as a value that grows with every status that is read. It reads nothing
//! itself, and says nothing of groups.

use std::sync::Arc;
use std::time::Duration;

use super::cause::Cause;
use super::listing::Listing;
use super::model::{InstanceId, State};
use super::table::{ByInstance, OfInstance};
use super::time::Timestamp;

/// What is in transition is waited for as long after its restart: a connection pool tries for 30 s before it fails, and two
/// of them may do so one after the other.
pub const LONGEST_TRANSITION: Duration = Duration::from_secs(65);

/// One restarted instance under observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    pub id: InstanceId,
    /// When its restart was answered.
    since: Timestamp,
    seen: Seen,
    /// Why it failed again.
    pub cause: Option<Arc<Cause>>,
}

/// What is known in the end of one that was watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has run for as long as it was to be watched.
    Recovered,
    FailedAgain,
    /// It is no more, or paused.
    Gone,
    /// It runs, but the time was too short.
    Runs,
    /// Neither running nor failed, or never looked at.
    Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Nothing that goes by the restart: nothing at all yet, or `FAILED`, which may be the old failure that is still shown
    /// while a slow start is under way.
    Nothing,
    /// Neither running nor failed.
    Open,
    /// It has been running since then.
    Running(Timestamp),
    Failed,
    /// It is no more, or paused.
    Gone,
}

impl OfInstance for Watched {
    fn id(&self) -> &InstanceId {
        &self.id
    }
}

impl Watched {
    /// What was restarted at this moment; `fresh` by the call for several, which shows `RESTARTING` in between.
    pub fn new(id: InstanceId, since: Timestamp, fresh: bool) -> Self {
        Self { id, since, seen: if fresh { Seen::Open } else { Seen::Nothing }, cause: None }
    }

    /// What failed again within its restart.
    pub fn failed(id: InstanceId, since: Timestamp) -> Self {
        Self { id, since, seen: Seen::Failed, cause: None }
    }

    /// Whether it runs, as far as was seen.
    pub fn runs(&self) -> bool {
        matches!(self.seen, Seen::Running(_))
    }

    /// Whether it is no more, or paused.
    pub fn is_gone(&self) -> bool {
        self.seen == Seen::Gone
    }

    /// What became of it, as far as was seen.
    pub fn fate(&self, watch: Duration, now: Timestamp) -> Fate {
        match self.seen {
            Seen::Running(_) if self.is_decided(watch, now) => Fate::Recovered,
            Seen::Running(_) => Fate::Runs,
            Seen::Nothing if self.is_decided(watch, now) => Fate::FailedAgain,
            Seen::Failed => Fate::FailedAgain,
            Seen::Gone => Fate::Gone,
            Seen::Open | Seen::Nothing => Fate::Open,
        }
    }

    /// Folds in what Connect says of its connector now.
    pub fn see(&mut self, listing: &Listing, now: Timestamp) {
        let seen = listing.sightings.get(&self.id);
        self.cause = seen.and_then(|seen| seen.cause.clone());
        self.seen = match (seen.map(|seen| &seen.state), self.seen) {
            (Some(_), _) if seen.is_some_and(|seen| seen.paused_or_stopped) => Seen::Gone,
            (Some(State::Running), running @ Seen::Running(_)) => running,
            (Some(State::Running), _) => Seen::Running(now),
            (Some(State::Failed), Seen::Nothing) => Seen::Nothing,
            (Some(State::Failed), _) => Seen::Failed,
            (Some(_), _) => Seen::Open,
            (None, _) => Seen::Gone,
        };
    }

    /// Whether it may still change: it has neither failed nor gone. What was restarted in an earlier wave is looked at again.
    pub fn is_open(&self) -> bool {
        !matches!(self.seen, Seen::Failed | Seen::Gone)
    }

    /// Whether another look could change anything: it has failed, or run for `watch`, or had the time to do so.
    pub fn is_decided(&self, watch: Duration, now: Timestamp) -> bool {
        match self.seen {
            Seen::Failed | Seen::Gone => true,
            Seen::Running(since) => now.since(since) >= watch,
            // An old FAILED that is still shown after this time is a new one.
            Seen::Nothing => now.since(self.since) >= watch,
            Seen::Open => now.since(self.since) >= LONGEST_TRANSITION.max(watch),
        }
    }
}

/// Whether all of them are decided.
pub fn all_decided(watched: &ByInstance<Watched>, watch: Duration, now: Timestamp) -> bool {
    watched.iter().all(|one| one.is_decided(watch, now))
}
