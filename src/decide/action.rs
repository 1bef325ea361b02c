//! What can be done about an instance: the keys of the summary, and which of them still are failures.

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
    /// Failed, and a person holds it.
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

    /// Whether somebody who asked for `--fail-on failed` means it: failed now, and neither excluded, held nor parked.
    pub fn is_failed_now(self) -> bool {
        matches!(
            self,
            Self::Failed
                | Self::Unknown
                | Self::GaveUp
                | Self::Due
                | Self::Restarted
                | Self::Deferred
                | Self::Waiting
        )
    }
}
