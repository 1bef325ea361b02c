//! A look at what was restarted: whether it runs, as a value that grows with every status that is read. It reads nothing
//! itself, and says nothing of groups.

use std::time::Duration;

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
    /// Its status goes by the restart: `FAILED` is a new failure, not the old one still shown while a slow start is under
    /// way.
    fresh: bool,
    seen: Seen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Nothing yet, or neither running nor failed.
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
        Self { id, since, fresh, seen: Seen::Open }
    }

    /// What failed again within its restart.
    pub fn failed(id: InstanceId, since: Timestamp) -> Self {
        Self { id, since, fresh: true, seen: Seen::Failed }
    }

    /// Whether it runs, as far as was seen.
    pub fn runs(&self) -> bool {
        matches!(self.seen, Seen::Running(_))
    }

    /// Whether it is no more, or paused.
    pub fn is_gone(&self) -> bool {
        self.seen == Seen::Gone
    }

    /// Folds in what Connect says of its connector now.
    pub fn see(&mut self, listing: &Listing, now: Timestamp) {
        let seen = listing.sightings.get(&self.id);
        self.seen = match (seen.map(|seen| &seen.state), self.seen) {
            (Some(_), _) if seen.is_some_and(|seen| seen.paused_or_stopped) => Seen::Gone,
            (Some(State::Running), running @ Seen::Running(_)) => running,
            (Some(State::Running), _) => Seen::Running(now),
            (Some(State::Failed), Seen::Open) if !self.fresh => Seen::Open,
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
            Seen::Open if !self.fresh && now.since(self.since) >= watch => true,
            Seen::Open => now.since(self.since) >= LONGEST_TRANSITION.max(watch),
        }
    }
}

/// Whether all of them are decided.
pub fn all_decided(watched: &ByInstance<Watched>, watch: Duration, now: Timestamp) -> bool {
    watched.iter().all(|one| one.is_decided(watch, now))
}
