//! What happened, for a person who asks afterwards: a ring of entries in the state, each for many instances at once. It owns
//! what an entry is, and how the instances of a run become few entries of few names. When something is written down is told
//! in `chronicle`, and how much is kept is the store's business.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::cause::{Cause, Key};
use super::model::InstanceId;
use super::record::Episode;
use super::shared::SharedStr;
use super::text::{one_line, show_name};
use super::time::Timestamp;

/// So many connectors of an entry are named, and so many runs of numbers of each one's tasks.
const MOST_NAMES: usize = 20;
const MOST_RANGES: usize = 8;
/// Names of an entry are at most so long together: Connect sets no limit to a name.
const MOST_BYTES: usize = 2 * 1024;
/// So many causes of one run have entries of their own; a storm of which each says something else is one more.
const MOST_CAUSES: usize = 50;

/// What happened, in the order in which a run tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happened {
    /// Seen failed for the first time.
    Failed,
    /// Seen failed again in the same episode, after it had been seen running.
    FailedAgain,
    /// Seen running for the first time after a failure.
    Recovered,
    /// It ran for so long that its failure is forgotten.
    Forgiven,
    /// It was not listed for so long that it is forgotten.
    Gone,
    GaveUp,
    /// A run restarted it.
    Restarted,
    /// A person restarted it.
    Retried,
    /// Connect refuses its restart; said once a day.
    Refused,
    CrashLoop,
    /// A person's words.
    Reset,
    Held,
    Released,
    HoldEnded,
    /// No run could do its work.
    Unreachable,
    /// A sink was told, or could not be.
    Told,
}

impl Happened {
    pub const ALL: [Self; 16] = [
        Self::Failed,
        Self::FailedAgain,
        Self::Recovered,
        Self::Forgiven,
        Self::Gone,
        Self::GaveUp,
        Self::Restarted,
        Self::Retried,
        Self::Refused,
        Self::CrashLoop,
        Self::Reset,
        Self::Held,
        Self::Released,
        Self::HoldEnded,
        Self::Unreachable,
        Self::Told,
    ];

    /// As state and documents spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::FailedAgain => "failed_again",
            Self::Recovered => "recovered",
            Self::Forgiven => "forgiven",
            Self::Gone => "gone",
            Self::GaveUp => "gave_up",
            Self::Restarted => "restarted",
            Self::Retried => "retried",
            Self::Refused => "refused",
            Self::CrashLoop => "crash_loop",
            Self::Reset => "reset",
            Self::Held => "held",
            Self::Released => "released",
            Self::HoldEnded => "hold_ended",
            Self::Unreachable => "unreachable",
            Self::Told => "told",
        }
    }

    /// What is spelt so.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }
}

/// Everything remembered of the past, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    entries: Vec<Entry>,
}

/// One event of one run, with all whom it happened to for one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub at: Timestamp,
    /// The run, or the last one before it.
    pub run: u64,
    pub event: Happened,
    pub connectors: u64,
    /// Connectors' own instances and tasks; none where only patterns are known.
    pub instances: u64,
    pub tasks: u64,
    /// Some of the connectors; a hold's patterns.
    pub names: Vec<Name>,
    pub cause: Option<Arc<Cause>>,
    /// The person, or the sink.
    pub by: Option<SharedStr>,
    /// When it had begun.
    pub since: Option<Timestamp>,
    /// When it ends, or ended.
    pub until: Option<Timestamp>,
    /// How many runs it took.
    pub runs: Option<u64>,
    /// The restarts of the fewest and of the most.
    pub restarts: Option<(u32, u32)>,
    /// The seconds for which it had failed: the shortest and the longest.
    pub down: Option<(u64, u64)>,
    pub fates: Option<Fates>,
    /// A sink took the message.
    pub delivered: Option<bool>,
    /// A person's reason, or what was answered.
    pub text: Option<SharedStr>,
}

/// A connector in an entry, and which of its instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub connector: SharedStr,
    /// Its own instance is among them.
    pub own: bool,
    /// Its tasks, from and to.
    pub tasks: Vec<(u32, u32)>,
    /// There are more tasks than are named.
    pub more: bool,
}

/// What became of restarts, as far as the run could see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    /// Connect took them, and nobody looked.
    pub taken: u64,
    /// It was seen to run again.
    pub running: u64,
    pub failed_again: u64,
    /// No answer, or none when the run died.
    pub unknown: u64,
}

impl History {
    /// Takes back what was written down after the first `count` entries.
    pub(super) fn keep_first(&mut self, count: usize) {
        self.entries.truncate(count);
    }

    pub fn push(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// The entries, the oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// This history and `theirs`, both grown from `base`: what each side added, and without what it took back.
    pub(super) fn merge(self, base: &Self, theirs: &Self) -> Self {
        let has = |side: &Self, entry: &Entry| side.entries.contains(entry);
        let taken_back = |entry: &&Entry| has(base, entry) && !has(&self, entry);
        let mut merged: Vec<Entry> =
            theirs.entries.iter().filter(|entry| !taken_back(entry)).cloned().collect();
        let added = |entry: &Entry| !has(base, entry) && !has(theirs, entry);
        merged.extend(self.entries.iter().filter(|entry| added(entry)).cloned());
        Self { entries: merged }
    }
}

impl From<Vec<Entry>> for History {
    fn from(entries: Vec<Entry>) -> Self {
        Self { entries }
    }
}

impl Entry {
    /// An entry of nobody yet.
    pub fn new(event: Happened, run: u64, at: Timestamp) -> Self {
        Self {
            at,
            run,
            event,
            connectors: 0,
            instances: 0,
            tasks: 0,
            names: Vec::new(),
            cause: None,
            by: None,
            since: None,
            until: None,
            runs: None,
            restarts: None,
            down: None,
            fates: None,
            delivered: None,
            text: None,
        }
    }

    /// No run could do its work from `since` on, for so many runs and this reason; the one at `until` could again.
    pub fn unreachable(why: &str, since: Timestamp, until: Timestamp, runs: u64, run: u64) -> Self {
        Self {
            since: Some(since),
            until: Some(until),
            runs: Some(runs),
            text: Some(one_line(why).into()),
            ..Self::new(Happened::Unreachable, run, since)
        }
    }

    /// This sink was told, or could not be.
    pub fn told(sink: &str, what: &str, delivered: bool, run: u64, at: Timestamp) -> Self {
        Self {
            by: Some(sink.into()),
            delivered: Some(delivered),
            text: Some(one_line(what).into()),
            ..Self::new(Happened::Told, run, at)
        }
    }

    pub(super) fn of_patterns<'a>(
        event: Happened,
        patterns: impl IntoIterator<Item = &'a SharedStr>,
        run: u64,
        at: Timestamp,
    ) -> Self {
        let mut gather = Gather::new(run, at);
        for pattern in patterns {
            let id = InstanceId { connector: SharedStr::clone(pattern), task: None };
            gather.add(event, &id, None);
        }
        let mut entry = gather.entries().next().unwrap_or_else(|| Self::new(event, run, at));
        // How many connectors a pattern means is not known.
        entry.instances = 0;
        entry.names.iter_mut().for_each(|name| name.own = false);
        entry
    }

    /// How many connectors are not named.
    pub fn left_out(&self) -> u64 {
        self.connectors.saturating_sub(u64::try_from(self.names.len()).unwrap_or(u64::MAX))
    }
}

impl Name {
    fn add(&mut self, task: Option<u32>) {
        let Some(task) = task else {
            self.own = true;
            return;
        };
        let count = self.tasks.len();
        match self.tasks.last_mut() {
            Some((_, last)) if last.saturating_add(1) == task => *last = task,
            _ if count < MOST_RANGES => self.tasks.push((task, task)),
            _ => self.more = true,
        }
    }

    /// Its tasks as they are shown: `0-2,5`; empty without one.
    pub fn tasks(&self) -> String {
        let range = |(first, last): &(u32, u32)| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        };
        let mut ranges: Vec<String> = self.tasks.iter().map(range).collect();
        if self.more {
            ranges.push("…".to_owned());
        }
        ranges.join(",")
    }
}

/// `orders`, `orders/0-2`, `orders and /0-2`.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show_name(&self.connector))?;
        match (self.own, self.tasks.is_empty()) {
            (_, true) => Ok(()),
            (true, false) => write!(f, " and /{}", self.tasks()),
            (false, false) => write!(f, "/{}", self.tasks()),
        }
    }
}

/// The instances of one run as few entries: one for each event and cause. It takes them in their order, and holds no more
/// than what it names.
pub(super) struct Gather {
    run: u64,
    at: Timestamp,
    all: BTreeMap<(Happened, Option<Key>), Gathered>,
}

struct Gathered {
    entry: Entry,
    last: Option<SharedStr>,
    named: usize,
}

impl Gather {
    pub(super) fn new(run: u64, at: Timestamp) -> Self {
        Self { run, at, all: BTreeMap::new() }
    }

    /// It happened to one more.
    pub(super) fn add(&mut self, event: Happened, id: &InstanceId, cause: Option<&Arc<Cause>>) -> &mut Entry {
        let key = cause.map(|cause| cause.key);
        let is_one_too_many = self.all.len() >= MOST_CAUSES && !self.all.contains_key(&(event, key));
        let cause = cause.filter(|_| !is_one_too_many);
        let key = key.filter(|_| !is_one_too_many);
        let Self { run, at, all } = self;
        let gathered = all.entry((event, key)).or_insert_with(|| {
            let entry = Entry { cause: cause.cloned(), ..Entry::new(event, *run, *at) };
            Gathered { entry, last: None, named: 0 }
        });
        gathered.add(id);
        &mut gathered.entry
    }

    /// The same, with what is remembered of its episode.
    pub(super) fn add_episode(&mut self, event: Happened, id: &InstanceId, episode: &Episode) -> &mut Entry {
        let entry = self.add(event, id, episode.cause.as_ref());
        let attempts = episode.attempts;
        let (fewest, most) = entry.restarts.unwrap_or((attempts, attempts));
        entry.restarts = Some((fewest.min(attempts), most.max(attempts)));
        entry
    }

    pub(super) fn entries(self) -> impl Iterator<Item = Entry> {
        self.all.into_values().map(|gathered| gathered.entry)
    }
}

impl Gathered {
    fn add(&mut self, id: &InstanceId) {
        let entry = &mut self.entry;
        entry.instances = entry.instances.saturating_add(1);
        entry.tasks = entry.tasks.saturating_add(u64::from(id.task.is_some()));
        if self.last.as_ref() != Some(&id.connector) {
            entry.connectors = entry.connectors.saturating_add(1);
            self.last = Some(SharedStr::clone(&id.connector));
            let named = self.named.saturating_add(id.connector.len());
            if entry.names.len() < MOST_NAMES && named <= MOST_BYTES {
                self.named = named;
                let connector = SharedStr::clone(&id.connector);
                entry.names.push(Name { connector, own: false, tasks: Vec::new(), more: false });
            }
        }
        if let Some(name) = entry.names.last_mut()
            && name.connector == id.connector
        {
            name.add(id.task);
        }
    }
}
