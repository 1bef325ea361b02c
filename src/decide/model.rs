//! The words of the domain as types: instances, their states, and how many there are. It owns no decision.

use std::fmt;

use super::shared::SharedStr;
use super::text::{sanitize, show_name};

/// A connector's own instance (`task` is `None`) or one of its tasks: the unit
/// that fails, is restarted and is remembered (the word is KIP-745's).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId {
    /// The connector's name, exactly as the listing's key has it.
    pub connector: SharedStr,
    /// The task's number.
    pub task: Option<u32>,
}

impl InstanceId {
    /// The connector's own instance.
    pub fn connector(name: &str) -> Self {
        Self { connector: name.into(), task: None }
    }

    /// One task of a connector.
    pub fn task(name: &str, task: u32) -> Self {
        Self { connector: name.into(), task: Some(task) }
    }

    /// One task, as NAME/TASK.
    pub fn parse_task(text: &str) -> Option<Self> {
        let (connector, task) = text.rsplit_once('/')?;
        Some(Self::task(connector, task.parse().ok()?))
    }
}

/// `orders` or `orders/3`, as it is shown: a name comes from outside.
impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show_name(&self.connector))?;
        self.task.map_or(Ok(()), |task| write!(f, "/{task}"))
    }
}

/// The state of an instance as Connect's status says it (`AbstractStatus.java`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    Failed,
    Paused,
    /// Since Connect 3.5, connectors only.
    Stopped,
    Unassigned,
    /// Since Connect 3.0.
    Restarting,
    /// Anything that a newer Connect may invent.
    Other(SharedStr),
}

impl State {
    /// The state that Connect spells so.
    pub fn parse(text: &str) -> Self {
        match text {
            "RUNNING" => Self::Running,
            "FAILED" => Self::Failed,
            "PAUSED" => Self::Paused,
            "STOPPED" => Self::Stopped,
            "UNASSIGNED" => Self::Unassigned,
            "RESTARTING" => Self::Restarting,
            other => Self::Other(sanitize(other).into_owned().into()),
        }
    }

    /// Failed or in transition: what has a line even if nothing is remembered of
    /// it. The others are only counted then.
    pub fn is_unwell(&self) -> bool {
        *self == Self::Failed || self.is_transition()
    }

    /// Neither healthy nor failed nor left alone on purpose.
    pub fn is_transition(&self) -> bool {
        matches!(self, Self::Unassigned | Self::Restarting | Self::Other(_))
    }

    /// Connect's spelling.
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
    pub fn is_paused_or_stopped(&self) -> bool {
        matches!(self, Self::Paused | Self::Stopped)
    }
}

/// How many there are, and in which state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub total: u64,
    pub running: u64,
    pub failed: u64,
    pub paused: u64,
    pub stopped: u64,
    pub unassigned: u64,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_prints_without_control_characters() {
        assert_eq!(InstanceId::task("a\u{1b}[31mb", 3).to_string(), r"a\u{1b}[31mb/3");
    }
}
