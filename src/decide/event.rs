//! What happened in a run that somebody may want to be told of, as values: they come out of settling, and every reader
//! (the quiet line now) is fed by them.

use super::model::InstanceId;

/// One thing that happened to one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub id: InstanceId,
    pub what: What,
}

/// What happened, in the order in which it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Connect took its restart.
    Restarted,
    /// Connect restarted it, and it failed again at once.
    FailedAgain,
    /// It had all the restarts that it may have, and this is the first run to say so.
    GaveUp,
    /// Its restart was refused.
    Refused,
    /// Nobody knows whether Connect restarted it.
    Unknown,
}
