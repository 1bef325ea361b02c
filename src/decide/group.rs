//! A group, as data: failures of one cause that use their restarts together. What is remembered of it between runs, and how
//! far it has come in one. How its waves are chosen is told in `waves`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::cause::{Cause, Key};
use super::model::InstanceId;
use super::shared::SharedStr;
use super::time::Timestamp;

/// What is remembered of a group between runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub key: Key,
    /// Bad waves in a row.
    pub bad_waves: u32,
    /// The run of its last wave.
    pub run: u64,
    /// When that run started.
    pub at: Timestamp,
    /// The connector that went first in it.
    pub canary: SharedStr,
}

/// One group in the plan of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Together {
    pub cause: Arc<Cause>,
    /// All that is failed now, neither excluded nor parked.
    pub members: Vec<InstanceId>,
    pub connectors: usize,
    /// A member runs again at a later run than its restart: all may go at once.
    pub proven: bool,
    /// A person asked for it: no rest holds it back.
    pub asked: bool,
    /// What this run has to say of it.
    pub stage: Stage,
    /// Connectors in the next wave.
    pub size: usize,
    /// What was restarted for it in this run.
    pub restarted: BTreeSet<InstanceId>,
    /// The connector that went first in this run.
    pub canary: Option<SharedStr>,
}

/// How far a group has come in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing of it goes in this run: it rests, or nobody is due.
    Rests,
    /// A wave is planned, or under way.
    Goes,
    /// Its last wave was good, and all that may go went.
    Went,
    /// Its last wave was good, but this run has no time for another look.
    OutOfTime,
    /// What was restarted failed again.
    FailedAgain,
    /// Nothing of its last wave was taken.
    NotTaken,
}
