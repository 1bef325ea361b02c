//! What is remembered of one instance, as data. How a listing changes it is the ledger's business (`ledger`), how long a
//! wait is the policy's (`policy`).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::cause::Cause;
use super::model::InstanceId;
use super::shared::SharedStr;
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
    /// Since when it has been a `RUNNING` connector without tasks, run after run.
    pub no_tasks: Option<Box<Streak>>,
    /// Its restarts of the last day, in whole seconds since 1970, the oldest first; but for the last one of its present
    /// episode, which is there.
    pub earlier: Box<[u32]>,
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
    /// Restarts that it may have beyond the limit: one for a proof that its group is well, or one now and then where nobody
    /// of its cause has any left.
    pub extra: u32,
    /// The last run that saw it failed.
    pub last_failed_run: u64,
    /// When it was first seen failed after it had run within its episode, in whole seconds since 1970; 0 when it never had.
    pub failed_again_at: u32,
    /// Since when it has been seen healthy.
    pub healthy: Option<Box<Streak>>,
    /// What Connect answered to the last restarts, if it took none of them.
    pub not_taken: Option<Box<NotTaken>>,
    /// Its connector's own instance was restarted before its last restart: that happens once.
    pub connector_restarted: bool,
    /// It was reported as given up.
    pub gave_up: bool,
    /// The first cause of the episode, once there was another one, which may say less.
    pub first_cause: Option<Arc<Cause>>,
    /// The cause of its latest failure.
    pub cause: Option<Arc<Cause>>,
    /// The worker on which it failed.
    pub worker: Option<SharedStr>,
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

/// The same reply to an instance's restart, run after run; none of them is an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotTaken {
    pub reply: Reply,
    /// How many runs in a row got it.
    pub runs: u32,
    /// The last of them.
    pub run: u64,
    /// When that run started.
    pub at: Timestamp,
    /// When a person was last told.
    pub told_at: Option<Timestamp>,
    /// What Connect said last; kept once it is lasting.
    pub text: Option<SharedStr>,
}

/// How Connect did not take a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Refused, or not now.
    No,
    /// 404 as Connect's JSON.
    NotFound,
    /// 404 "Unknown task".
    UnknownTask,
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
    /// So many restarts are counted: more than anybody needs to know, and few enough for an outage of a hundred thousand.
    pub const MOST_COUNTED: u32 = 32;
    /// Restarts are counted for so long.
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// A record that remembers nothing yet.
    pub fn new(id: InstanceId) -> Self {
        Self { id, episode: None, transition: None, absent: None, no_tasks: None, earlier: Box::default() }
    }

    /// Whether it is neither in an episode, nor in transition, nor without tasks: at most its restarts are still counted.
    pub fn is_well(&self) -> bool {
        self.episode.is_none() && self.transition.is_none() && self.no_tasks.is_none()
    }

    /// How many restarts it had within the last day, [`Record::MOST_COUNTED`] at most.
    pub fn restarts_24h(&self, now: Timestamp) -> u32 {
        u32::try_from(self.restarts_today(now).count()).unwrap_or(u32::MAX).min(Self::MOST_COUNTED)
    }

    /// When it has had fewer restarts than this within a day, if it has not now.
    pub fn below(&self, most: u32, now: Timestamp) -> Option<Timestamp> {
        let count = self.restarts_today(now).count();
        let leaves = count.checked_sub(usize::try_from(most).unwrap_or(usize::MAX))?;
        self.restarts_today(now).nth(leaves).map(|at| at.plus(Self::DAY))
    }

    /// When they were, the oldest first.
    fn restarts_today(&self, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        let last = self.episode.as_ref().and_then(|episode| episode.last_attempt).map(|last| last.at);
        let earlier = self.earlier.iter().map(|seconds| Timestamp::from_seconds(*seconds));
        earlier.chain(last).filter(move |at| now.since(*at) < Self::DAY)
    }

    /// Ends its episode. Its restarts stay counted.
    pub(super) fn end_episode(&mut self) {
        if let Some(last) = self.episode.take().and_then(|episode| episode.last_attempt) {
            self.count(&last);
        }
    }

    /// Counts a restart that is no longer the last of its episode.
    pub(super) fn count(&mut self, attempt: &Attempt) {
        let mut earlier = std::mem::take(&mut self.earlier).into_vec();
        earlier.push(attempt.at.seconds());
        let over = earlier.len().saturating_sub(usize::try_from(Self::MOST_COUNTED).unwrap_or(usize::MAX));
        earlier.drain(..over);
        self.earlier = earlier.into();
    }

    /// Takes back that it was counted, because it is the last of its episode again.
    pub(super) fn uncount(&mut self, attempt: &Attempt) {
        if self.earlier.last() == Some(&attempt.at.seconds()) {
            let mut earlier = std::mem::take(&mut self.earlier).into_vec();
            earlier.pop();
            self.earlier = earlier.into();
        }
    }

    /// Forgets the restarts of more than a day ago; those in the future, by a clock that was set back, were now.
    pub(super) fn forget_old_restarts(&mut self, now: Timestamp) {
        let is_now = |seconds: u32| Timestamp::from_seconds(seconds).min(now).seconds();
        let is_old = |seconds: u32| now.since(Timestamp::from_seconds(seconds)) >= Self::DAY;
        if self.earlier.iter().any(|seconds| is_old(*seconds) || is_now(*seconds) != *seconds) {
            self.earlier =
                self.earlier.iter().copied().filter(|seconds| !is_old(*seconds)).map(is_now).collect();
        }
    }

    /// How many runs in a row it has been in transition, or a connector without tasks.
    pub fn runs_unwell(&self) -> u64 {
        let runs = |streak: &Option<Box<Streak>>| streak.as_ref().map_or(0, |streak| streak.runs);
        runs(&self.transition).max(runs(&self.no_tasks))
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
            extra: 0,
            last_failed_run: run,
            failed_again_at: 0,
            healthy: None,
            not_taken: None,
            connector_restarted: false,
            gave_up: false,
            first_cause: None,
            cause: None,
            worker: None,
        }
    }
}

impl Episode {
    /// Since when it has failed without a break, or had when it came back.
    pub fn failed_since(&self) -> Timestamp {
        Timestamp::from_seconds(self.failed_again_at).max(self.first_failed_at)
    }

    /// Whether it came back by somebody else's hand: it was seen failed after its last restart.
    pub fn was_mended(&self) -> bool {
        self.healthy.is_some() && self.last_attempt.is_none_or(|last| last.run < self.last_failed_run)
    }

    /// Whether Connect refuses its restarts run after run.
    pub fn is_refused(&self) -> bool {
        self.not_taken.as_ref().is_some_and(|not_taken| not_taken.is_lasting())
    }

    /// Whether it is only a status that was left behind, which no restart can cure.
    pub fn is_phantom(&self) -> bool {
        self.not_taken.as_ref().is_some_and(|not_taken| not_taken.is_phantom())
    }
}

impl NotTaken {
    /// A person is told again after this time.
    const TOLD_AGAIN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
    /// "Not now" passes within two runs (a rebalance takes seconds, a lost worker five minutes); from the third on somebody
    /// has to know, and it is asked more and more rarely.
    const LASTING: u32 = 3;

    /// One more run with this reply, to the attempt of that run.
    pub fn one_more(
        before: Option<&Self>,
        reply: Reply,
        attempt: &Attempt,
        text: Option<&SharedStr>,
    ) -> Self {
        let before = before.filter(|before| before.reply == reply);
        let more = Self {
            reply,
            runs: before.map_or(0, |before| before.runs).saturating_add(1),
            run: attempt.run,
            at: attempt.at,
            told_at: before.and_then(|before| before.told_at),
            text: None,
        };
        // In a rebalance every instance of an outage is answered so, once.
        Self { text: text.filter(|_| more.is_lasting()).cloned(), ..more }
    }

    /// Whether it is time to tell a person, who is told then.
    pub fn tell(&mut self, now: Timestamp) -> bool {
        let told = self.told_at.is_some_and(|told| now.since(told) < Self::TOLD_AGAIN_AFTER);
        if !told {
            self.told_at = Some(now);
        }
        !told
    }

    /// Whether a restart is refused run after run, so that it is asked at the pace of a back-off.
    pub fn is_lasting(&self) -> bool {
        self.reply == Reply::No && self.runs >= Self::LASTING
    }

    /// Whether the same reply once more makes it lasting, or finds it so.
    pub fn becomes_lasting(&self) -> bool {
        self.reply == Reply::No && self.runs.saturating_add(1) >= Self::LASTING
    }

    /// Whether the task is only a status that was left behind, which no restart can cure: it was listed, and yet unknown,
    /// in two runs (KAFKA-9472).
    pub fn is_phantom(&self) -> bool {
        self.reply == Reply::UnknownTask && self.runs >= 2
    }
}

/// For a person.
impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not taken in {} runs in a row", self.runs)?;
        self.text.as_ref().map_or(Ok(()), |text| write!(f, ": {text}"))
    }
}

impl Streak {
    /// The streak with one more run, or its first.
    pub fn one_more(streak: Option<Self>, now: Timestamp) -> Self {
        streak.map_or(Self { runs: 1, since: now }, |s| Self { runs: s.runs.saturating_add(1), ..s })
    }
}
