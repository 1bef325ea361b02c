//! The words of the domain as types: instances, their states, one listing of a
//! cluster. It owns no decision; it only says what Connect said.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::text::sanitize;

/// A moment, in milliseconds since 1970 (UTC), at most the year 9999: the last
/// one that RFC 3339 can write.
///
/// Held as one more than that, because a moment that may be missing then takes
/// no more room than one that is there: an outage remembers six of them for
/// each of a hundred thousand tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(NonZeroU64);

/// 1970-01-01T00:00:00Z.
impl Default for Timestamp {
    fn default() -> Self {
        Self(NonZeroU64::MIN)
    }
}

/// 9999-12-31T23:59:59.999Z.
const LAST_MILLI: u64 = 253_402_300_799_999;

impl Timestamp {
    /// The moment this many milliseconds after 1970 began.
    #[must_use]
    pub fn from_millis(millis: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(millis.min(LAST_MILLI)))
    }

    /// Milliseconds since 1970 began.
    #[must_use]
    pub fn millis(self) -> u64 {
        self.0.get().saturating_sub(1)
    }

    /// This moment and `wait` more.
    #[must_use]
    pub fn plus(self, wait: Duration) -> Self {
        Self::from_millis(self.millis().saturating_add(whole_millis(wait)))
    }

    /// The time from `earlier` to this moment; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.millis().saturating_sub(earlier.millis()))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self::from_millis(time.duration_since(UNIX_EPOCH).map_or(0, whole_millis))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH.checked_add(Duration::from_millis(time.millis())).unwrap_or(UNIX_EPOCH)
    }
}

/// RFC 3339 in UTC, whole seconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_seconds((*self).into()).fmt(f)
    }
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A connector's own instance (`task` is `None`) or one of its tasks: the unit
/// that fails, is restarted and is remembered (the word is KIP-745's).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId {
    /// The connector's name, exactly as the listing's key has it.
    pub connector: Arc<str>,
    /// The task's number.
    pub task: Option<u32>,
}

impl InstanceId {
    /// The connector's own instance.
    #[must_use]
    pub fn connector(name: &str) -> Self {
        Self { connector: name.into(), task: None }
    }

    /// One task of a connector.
    #[must_use]
    pub fn task(name: &str, task: u32) -> Self {
        Self { connector: name.into(), task: Some(task) }
    }
}

/// `orders` or `orders/3`, safe to print: a name comes from outside.
impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sanitize(&self.connector))?;
        self.task.map_or(Ok(()), |task| write!(f, "/{task}"))
    }
}

/// The state of an instance as Connect's status says it (`AbstractStatus.java`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// `RUNNING`.
    Running,
    /// `FAILED`.
    Failed,
    /// `PAUSED`.
    Paused,
    /// `STOPPED`: since Connect 3.5, connectors only.
    Stopped,
    /// `UNASSIGNED`.
    Unassigned,
    /// `RESTARTING`: since Connect 3.0.
    Restarting,
    /// Anything that a newer Connect may invent.
    Other(Arc<str>),
}

impl State {
    /// The state that Connect spells so.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "RUNNING" => Self::Running,
            "FAILED" => Self::Failed,
            "PAUSED" => Self::Paused,
            "STOPPED" => Self::Stopped,
            "UNASSIGNED" => Self::Unassigned,
            "RESTARTING" => Self::Restarting,
            other => Self::Other(sanitize(other).as_ref().into()),
        }
    }

    /// Failed or in transition: what has a line even if nothing is remembered of
    /// it. The others are only counted then.
    #[must_use]
    pub fn is_unwell(&self) -> bool {
        *self == Self::Failed || self.is_transition()
    }

    /// Neither healthy nor failed nor left alone on purpose.
    #[must_use]
    pub fn is_transition(&self) -> bool {
        matches!(self, Self::Unassigned | Self::Restarting | Self::Other(_))
    }

    /// Connect's spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Running => "RUNNING",
            Self::Failed => "FAILED",
            Self::Paused => "PAUSED",
            Self::Stopped => "STOPPED",
            Self::Unassigned => "UNASSIGNED",
            Self::Restarting => "RESTARTING",
            Self::Other(text) => text,
        }
    }

    /// Stopped by somebody on purpose.
    #[must_use]
    pub fn is_left_alone(&self) -> bool {
        matches!(self, Self::Paused | Self::Stopped)
    }
}

/// How many there are, and in which state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub total: u64,
    /// `RUNNING`.
    pub running: u64,
    /// `FAILED`.
    pub failed: u64,
    /// `PAUSED`.
    pub paused: u64,
    /// `STOPPED`.
    pub stopped: u64,
    /// `UNASSIGNED`.
    pub unassigned: u64,
    /// `RESTARTING`.
    pub restarting: u64,
    /// Unknown states, and entries that could not be understood.
    pub other: u64,
}

impl Counts {
    /// Counts one more in `state`; `None` is one that could not be understood.
    pub fn add(&mut self, state: Option<&State>) {
        let counter = match state {
            Some(State::Running) => &mut self.running,
            Some(State::Failed) => &mut self.failed,
            Some(State::Paused) => &mut self.paused,
            Some(State::Stopped) => &mut self.stopped,
            Some(State::Unassigned) => &mut self.unassigned,
            Some(State::Restarting) => &mut self.restarting,
            Some(State::Other(_)) | None => &mut self.other,
        };
        *counter = counter.saturating_add(1);
        self.total = self.total.saturating_add(1);
    }

    /// Adds those of a part of the cluster.
    pub fn merge(&mut self, part: &Self) {
        for (sum, more) in [
            (&mut self.total, part.total),
            (&mut self.running, part.running),
            (&mut self.failed, part.failed),
            (&mut self.paused, part.paused),
            (&mut self.stopped, part.stopped),
            (&mut self.unassigned, part.unassigned),
            (&mut self.restarting, part.restarting),
            (&mut self.other, part.other),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    /// The counts by the name of their state, as reports show them.
    #[must_use]
    pub fn by_state(&self) -> [(&'static str, u64); 7] {
        [
            ("running", self.running),
            ("failed", self.failed),
            ("paused", self.paused),
            ("stopped", self.stopped),
            ("unassigned", self.unassigned),
            ("restarting", self.restarting),
            ("other", self.other),
        ]
    }
}

/// What the listing said of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Whose state it is.
    pub id: InstanceId,
    /// The state.
    pub state: State,
    /// Its connector is `PAUSED` or `STOPPED`, so that all of it is left alone.
    pub left_alone: bool,
    /// The root cause out of the trace, if there was a trace.
    pub cause: Option<Arc<str>>,
    /// The worker that wrote the status (`host:port`); it may be dead.
    pub worker: Option<Arc<str>>,
}

/// One answer to `GET /connectors?expand=status`, reduced to what decisions
/// need. Instances that run or are paused are only counted, unless the ledger
/// remembers something of their connector: memory follows what has failed, not
/// the cluster's size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The connectors, by the state of their own instance.
    pub connectors: Counts,
    /// All their tasks.
    pub tasks: Counts,
    /// Every instance that has failed or is in transition, and the others of the
    /// connectors that the ledger remembers; by id, each once.
    pub sightings: Vec<Sighting>,
    /// Connectors that are `RUNNING` without a single task.
    pub no_tasks: Vec<Arc<str>>,
    /// Connectors that are `PAUSED` or `STOPPED`, of those that the ledger
    /// remembers.
    pub left_alone: BTreeSet<Arc<str>>,
    /// Connectors whose entry could not be understood.
    pub not_understood: BTreeSet<Arc<str>>,
    /// What a person should know of this answer, one sentence each.
    pub warnings: Vec<String>,
}

impl Listing {
    /// Puts the sightings in order. A connector that the answer holds twice
    /// (no Connect does that) keeps its first sighting.
    pub fn arrange(&mut self) {
        self.sightings.sort_by(|a, b| a.id.cmp(&b.id));
        self.sightings.dedup_by(|later, earlier| later.id == earlier.id);
        self.no_tasks.sort();
        self.no_tasks.dedup();
    }

    /// It tells of no connector, or of none that can be understood.
    #[must_use]
    pub fn nothing_understood(&self) -> bool {
        let not_understood = u64::try_from(self.not_understood.len()).unwrap_or(u64::MAX);
        self.connectors.total <= not_understood
    }

    /// What the listing said of this instance, if it had to be kept.
    #[must_use]
    pub fn sighting(&self, id: &InstanceId) -> Option<&Sighting> {
        let found = self.sightings.binary_search_by(|seen| seen.id.cmp(id)).ok()?;
        self.sightings.get(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_prints_as_rfc_3339_at_both_ends() {
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_millis(u64::MAX).to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(Timestamp::default().plus(Duration::MAX), Timestamp::from_millis(u64::MAX));
    }

    #[test]
    fn an_instance_prints_without_control_characters() {
        assert_eq!(InstanceId::task("a\u{1b}[31mb", 3).to_string(), "a[31mb/3");
    }
}
