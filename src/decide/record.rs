//! What is remembered of one instance, as data. How a listing changes it is the ledger's business (`ledger`), how long a
//! wait is the policy's (`policy`).

use std::sync::Arc;

use super::cause::Cause;
use super::model::InstanceId;
use super::table::OfInstance;
use super::time::Timestamp;

/// What is remembered of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub id: InstanceId,
    /// Its present episode of failure.
    pub episode: Option<Episode>,
    /// Since when it has been in transition, run after run. Boxed, as is what follows, because few records have it: an
    /// outage has a hundred thousand.
    pub transition: Option<Box<Streak>>,
    /// Since when it has been absent from the listing, run after run.
    pub absent: Option<Box<Streak>>,
}

/// From the first sighting as failed until forgiven, reset or gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    pub first_failed_at: Timestamp,
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
    /// The first cause of the episode, once there was another one, which may say less.
    pub first_cause: Option<Arc<Cause>>,
    /// The cause of its latest failure.
    pub cause: Option<Arc<Cause>>,
    /// The worker on which it failed.
    pub worker: Option<Arc<str>>,
}

/// One restart request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub run: u64,
    /// When that run started: what the back-off counts from.
    pub at: Timestamp,
    /// When its answer came: what `--settle` counts from.
    pub answered: Timestamp,
}

/// So many runs in a row, the first of them then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streak {
    pub runs: u64,
    /// When the first of them was.
    pub since: Timestamp,
}

impl OfInstance for Record {
    fn id(&self) -> &InstanceId {
        &self.id
    }
}

impl Record {
    /// A record that remembers nothing yet.
    pub fn new(id: InstanceId) -> Self {
        Self { id, episode: None, transition: None, absent: None }
    }

    pub fn attempts(&self) -> u32 {
        self.episode.as_ref().map_or(0, |episode| episode.attempts)
    }
}

impl Episode {
    /// An episode that begins in this run.
    pub fn starting(run: u64, now: Timestamp) -> Self {
        Self {
            first_failed_at: now,
            first_failed_run: run,
            attempts: 0,
            last_attempt: None,
            healthy: None,
            not_found: false,
            gave_up: false,
            first_cause: None,
            cause: None,
            worker: None,
        }
    }
}

impl Streak {
    /// The streak with one more run, or its first.
    pub fn one_more(streak: Option<Self>, now: Timestamp) -> Self {
        streak.map_or(Self { runs: 1, since: now }, |s| Self { runs: s.runs.saturating_add(1), ..s })
    }
}
