//! What happened to an instance in a run that somebody may want to be told of, as a value: it comes out of recording the
//! outcomes, and every reader is fed by it.

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
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
