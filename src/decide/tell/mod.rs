//! Telling people, as data: what can be wrong, what each sink has been told of it, and what a message says. Nothing queues:
//! `look` keeps up what was told with what is seen, `digest` says what is true now and was not told yet. How a message
//! reaches anybody is not known here.

pub mod digest;
mod look;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::cause::Cause;
use super::policy::Next;
use super::select::Patterns;
use super::time::Timestamp;
use crate::decide::shared::SharedStr;

/// What is told, the most pressing first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// No run could do its work.
    Unreachable,
    /// A state that could not be understood was set aside.
    StateLost,
    /// No restart is left, and it is failed.
    GaveUp,
    /// It comes back and fails again.
    CrashLoop,
    Failing,
    /// In transition, and no end of it.
    Stuck,
    NoTasks,
    /// What was told is over.
    Recovered,
    /// What was told is no longer guardian's business: paused, stopped, excluded or gone.
    LeftAlone,
}

impl Key {
    pub const ALL: [Self; 9] = [
        Self::Unreachable,
        Self::StateLost,
        Self::GaveUp,
        Self::CrashLoop,
        Self::Failing,
        Self::Stuck,
        Self::NoTasks,
        Self::Recovered,
        Self::LeftAlone,
    ];

    /// As documents, events and the state name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::StateLost => "state_lost",
            Self::GaveUp => "gave_up",
            Self::CrashLoop => "crash_loop",
            Self::Failing => "failing",
            Self::Stuck => "stuck",
            Self::NoTasks => "no_tasks",
            Self::Recovered => "recovered",
            Self::LeftAlone => "left_alone",
        }
    }

    /// The key of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.as_str() == text)
    }

    /// How much it presses.
    pub fn severity(self) -> &'static str {
        match self {
            Self::Unreachable | Self::GaveUp => "error",
            Self::Recovered | Self::LeftAlone => "info",
            _ => "warning",
        }
    }

    /// Whether it is said again while it stays true.
    fn is_said_again(self) -> bool {
        matches!(self, Self::Unreachable | Self::GaveUp | Self::CrashLoop | Self::Stuck | Self::NoTasks)
    }

    /// Whether it ends what was told.
    fn closes(self) -> bool {
        matches!(self, Self::Recovered | Self::LeftAlone)
    }
}

/// What is told, when, whether again, and what ends it: the README's table, in Markdown.
pub fn table() -> String {
    let mut table = String::from("| what | told when | again | ends with |\n|---|---|---|---|\n");
    for key in [
        Key::Failing,
        Key::GaveUp,
        Key::CrashLoop,
        Key::Recovered,
        Key::LeftAlone,
        Key::NoTasks,
        Key::Stuck,
        Key::Unreachable,
        Key::StateLost,
    ] {
        let again = if key.is_said_again() { "`GUARDIAN_NOTIFY_REMIND` (24h)" } else { "no" };
        let _ = writeln!(
            table,
            "| `{}` | {} | {again} | {} |",
            key.as_str(),
            digest::when(key),
            digest::ends(key)
        );
    }
    table
}

/// When people are told, and who.
#[derive(Clone, Debug, Default)]
pub struct TellRules {
    /// So long something fails before it is told.
    pub after: Duration,
    /// What needs a person is told again after this time; `None` is never.
    pub remind: Option<Duration>,
    pub audience: Vec<Audience>,
}

/// One sink, as far as it matters to what it is told.
#[derive(Clone, Debug)]
pub struct Audience {
    pub name: SharedStr,
    /// The connectors that it is told of; `None` is all.
    pub only: Option<Patterns>,
    /// It wants to hear at every run what is still wrong, and reminds people itself.
    pub every_run: bool,
}

/// Instances by connector, `None` for its own.
pub type Members = BTreeMap<SharedStr, Vec<Option<u32>>>;

/// What the sinks have been told and what is still open of it, by the sinks' names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub sinks: BTreeMap<SharedStr, SinkTold>,
}

/// What one sink has been told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkTold {
    pub marks: Vec<Mark>,
    /// When it got the messages of the last hour.
    pub sent: Vec<Timestamp>,
    /// The run that sent a message of which nobody knows whether it arrived.
    pub unsure: Option<Timestamp>,
    /// When somebody was last warned that it cannot be told anything.
    pub warned: Option<Timestamp>,
    /// Messages that arrived, since the state began.
    pub arrived: u64,
    /// Messages that did not, or may not have.
    pub failed: u64,
}

/// What one sink was told of some instances at once, and is still open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub what: Key,
    /// When it was last said.
    pub at: Timestamp,
    /// Since when it has been wrong.
    pub since: Timestamp,
    /// Since when these run again.
    pub back: Option<Timestamp>,
    /// What was said last, where nobody knows whether it arrived.
    pub unsure: Option<Key>,
    /// The most restarts that one of them took; the runs that could not work.
    pub restarts: u32,
    pub cause: Option<Arc<Cause>>,
    /// Shared: in an outage there are a hundred thousand.
    pub members: Arc<Members>,
    /// Why they are left alone, as the last look saw it; not remembered.
    pub(super) left: Option<Why>,
}

impl Mark {
    /// What was surely said of these at a moment.
    pub fn new(what: Key, at: Timestamp, since: Timestamp, members: Arc<Members>) -> Self {
        Self { what, at, since, back: None, unsure: None, restarts: 0, cause: None, members, left: None }
    }
}

/// Why something is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    Paused,
    Excluded,
    Held,
    Gone,
}

impl Why {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused or stopped",
            Self::Excluded => "excluded by --include or --exclude",
            Self::Held => "held",
            Self::Gone => "no longer in Connect",
        }
    }
}

/// No run can do its work: since when, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The `error.kind` of the last of these runs.
    pub kind: Box<str>,
    pub since: Timestamp,
    pub runs: u32,
    /// What the last of them said.
    pub message: Box<str>,
}

/// What one run has to say to one sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    pub run: u64,
    /// The start of the run.
    pub at: Timestamp,
    /// The start of the run that said the same for the first time: what is said again keeps its name.
    pub first_at: Timestamp,
    /// The most pressing first, then the biggest.
    pub bullets: Vec<Bullet>,
    /// How many instances are open after it.
    pub open: BTreeMap<Key, usize>,
}

/// What there is to say of all that has one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bullet {
    pub key: Key,
    /// What is over, where that is another thing than a failure.
    pub of: Option<Key>,
    /// It was said before, and is still true.
    pub repeat: bool,
    pub cause: Option<Arc<Cause>>,
    pub members: Arc<Members>,
    pub since: Timestamp,
    /// How long it lasted, where it is over.
    pub lasted: Option<Duration>,
    /// The most restarts that one of them took; the runs that could not work.
    pub restarts: u32,
    /// When the next restart comes, if one will.
    pub next: Option<Next>,
    /// Why it is left alone, why no run can work.
    pub why: Option<Box<str>>,
}

/// A digest for a sink, and what that sink was told before and will have been told.
#[derive(Clone, Debug)]
pub struct Telling {
    pub sink: SharedStr,
    pub digest: Digest,
    pub before: Vec<Mark>,
    pub after: Vec<Mark>,
    sent_before: Vec<Timestamp>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Arrived,
    /// It surely did not.
    Failed,
    Unknown,
}

impl Digest {
    /// Of its most pressing bullet.
    pub fn severity(&self) -> &'static str {
        self.bullets.iter().map(|bullet| bullet.key).min().map_or("info", Key::severity)
    }

    /// Whether nothing in it is new.
    pub fn is_repeat(&self) -> bool {
        !self.bullets.is_empty() && self.bullets.iter().all(|bullet| bullet.repeat)
    }
}

impl Bullet {
    pub fn instances(&self) -> usize {
        count(&self.members)
    }

    /// Its failed tasks; a connector's own instance is none.
    pub fn tasks(&self) -> usize {
        self.members.values().flatten().flatten().count()
    }
}

/// How many instances they are.
pub(super) fn count(members: &Members) -> usize {
    members.values().map(Vec::len).sum()
}

impl Told {
    /// Whether nothing is open, for nobody.
    pub fn is_empty(&self) -> bool {
        self.sinks.values().all(|sink| sink.marks.is_empty())
    }

    /// The connectors of which somebody was told something that is still open.
    pub fn connectors(&self) -> BTreeSet<SharedStr> {
        let marks = self.sinks.values().flat_map(|sink| &sink.marks);
        marks.flat_map(|mark| mark.members.keys().cloned()).collect()
    }

    /// Writes down what became of a message.
    pub fn conclude(&mut self, telling: &Telling, delivery: Delivery) {
        let sink = self.sinks.entry(SharedStr::clone(&telling.sink)).or_default();
        match delivery {
            Delivery::Arrived => {
                sink.arrived = sink.arrived.saturating_add(1);
                sink.marks.clone_from(&telling.after);
                sink.unsure = None;
            }
            Delivery::Failed => {
                sink.failed = sink.failed.saturating_add(1);
                sink.marks.clone_from(&telling.before);
                sink.sent.clone_from(&telling.sent_before);
                sink.unsure = None;
            }
            Delivery::Unknown => sink.failed = sink.failed.saturating_add(1),
        }
    }

    /// Whether somebody is to be warned, once and then once a day, that this sink cannot be told anything.
    pub fn warns(&mut self, sink: &SharedStr, works: bool, now: Timestamp) -> bool {
        const AGAIN: Duration = Duration::from_secs(24 * 60 * 60);
        if works {
            if let Some(told) = self.sinks.get_mut(sink) {
                told.warned = None;
            }
            return false;
        }
        let told = self.sinks.entry(SharedStr::clone(sink)).or_default();
        let warns = told.warned.is_none_or(|warned| now.since(warned) >= AGAIN);
        if warns {
            told.warned = Some(now);
        }
        warns
    }

    /// Forgets the sinks of which nothing is left to know.
    pub fn tidy(&mut self, now: Timestamp) {
        self.sinks.retain(|_, sink| {
            let counts = sink.arrived > 0 || sink.failed > 0;
            let rests = sink.marks.is_empty() && sink.unsure.is_none() && sink.warned.is_none() && !counts;
            !rests || sink.sent.iter().any(|sent| digest::is_recent(*sent, now))
        });
    }

    /// What both know, where somebody else wrote between two writes of this run (a state without a lock): ours, unless it
    /// is theirs alone that changed.
    pub(super) fn merge(self, base: &Self, theirs: &Self) -> Self {
        if self == *base { theirs.clone() } else { self }
    }
}
