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
    /// Its restart was refused, or not taken for the third run in a row; once when that begins, and once a day.
    Refused,
    /// Its restart was refused again, which somebody was told within the last day.
    RefusedAgain,
    /// It fails for the first time, and is left alone because `--include` matches no connector at all; once.
    NothingIncluded,
    /// It is listed as failed but Connect has no such task; once.
    Phantom,
    /// It has been in transition for three runs, or a connector without tasks; once.
    Unwell,
    /// Nobody knows whether Connect restarted it.
    Unknown,
    /// It was restarted, and with that restart it is in a crash loop.
    CrashLoop,
}

impl Event {
    /// Whether it is that of a restart which counts.
    pub fn is_restart(self) -> bool {
        matches!(self, Self::Restarted | Self::FailedAgain | Self::Unknown)
    }
}
