//! How patient guardian is: the arithmetic of the back-off, of giving up, of
//! forgiveness and of the memory for what is absent. Exact integers that
//! saturate; no floating point. It owns no record and changes nothing.

use std::time::Duration;

use super::group::Group;
use super::record::{Attempt, Episode, NotTaken, Record, Streak};
use super::time::Timestamp;

/// Forgiveness takes at least this many healthy runs (or steps of the clock), so that one good sighting never ends an
/// episode.
const LEAST_HEALTHY: u64 = 2;
/// Forgiveness takes at most this many runs: a day of runs every five minutes.
const MOST_HEALTHY_RUNS: u64 = 288;
/// Forgiveness takes at most this long where the back-off counts the clock.
const MOST_HEALTHY_TIME: Duration = Duration::from_secs(24 * 60 * 60);
/// From this many runs in transition, or without tasks, on a person should know.
pub const LONG_UNWELL: u64 = 3;
/// So many restarts within 24 hours are a crash loop: a person should know that restarts do not help for long.
pub const CRASH_LOOP: u32 = 6;
/// What is absent from the listing is remembered for at least this many runs: an hour of runs every five minutes (a
/// rebalance takes five minutes by default).
const LEAST_ABSENT_RUNS: u64 = 12;
/// What is absent is remembered for at least this long where the back-off counts the clock.
const LEAST_ABSENT_TIME: Duration = Duration::from_secs(60 * 60);

/// The settings that decide about restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `false` (`ENABLE_BACKOFF=0`): restart at every run, never give up.
    pub backoff: bool,
    /// Restarts within one episode; `None` is without limit.
    pub max_restart: Option<u32>,
    /// What one wait is multiplied with to get the next; at least 1.
    pub ratio: u64,
    /// What a wait counts.
    pub pace: Pace,
    /// No second restart of an instance within this time, whatever the back-off
    /// says: Connect shows the old `FAILED` while a slow start is under way.
    pub settle: Duration,
    /// After this many runs in transition an instance counts as failed.
    pub stuck_after: Option<u64>,
    /// Restarts within one run, counted in instances.
    pub max_per_run: Option<u64>,
    /// Restarts of one instance within 24 hours, whatever its episodes.
    pub max_per_day: Option<u32>,
    /// How failures of one cause go together.
    pub together: TogetherPolicy,
}

/// How failures of one cause go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TogetherPolicy {
    /// From so many connectors on they go in waves; `None` is never.
    pub group_from: Option<usize>,
    /// What was restarted must run for so long before the next wave; zero sends everything at once.
    pub watch: Duration,
    /// The longest rest after a bad wave, in runs or steps.
    pub rest: u64,
    /// When nobody of a cause has a restart left, one gets another after this wait.
    pub keep_trying: Option<Wait>,
}

/// What the back-off counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Runs; `cap` bounds one wait.
    Runs {
        /// The longest wait, in runs.
        cap: Option<u64>,
    },
    /// The clock; one wait is `step` times a power of the ratio.
    Clock {
        /// The unit of a wait.
        step: Duration,
        /// The longest wait.
        cap: Option<Duration>,
    },
}

/// How long to wait. Waits of one policy are all of the same kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// So many runs.
    Runs(u64),
    /// So long.
    Time(Duration),
}

/// When something comes next: in so many runs, or at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// So many runs from the present one; 0 is the present one.
    Runs(u64),
    /// At the first run from this moment on.
    At(Timestamp),
}

impl Next {
    /// The later of two that both must have come.
    pub(super) fn or_later(self, other: Self) -> Self {
        match (self, other) {
            (Self::Runs(0), later) | (later, Self::Runs(0)) => later,
            (Self::Runs(one), Self::Runs(two)) => Self::Runs(one.max(two)),
            (Self::At(one), Self::At(two)) => Self::At(one.max(two)),
            (runs @ Self::Runs(_), Self::At(_)) | (Self::At(_), runs @ Self::Runs(_)) => runs,
        }
    }

    /// The sooner of two of which one must have come. Where runs are counted, the only moments are those at which an attempt
    /// has settled: soon.
    pub fn or_sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::Runs(one), Self::Runs(two)) => Self::Runs(one.min(two)),
            (Self::At(one), Self::At(two)) => Self::At(one.min(two)),
            (now @ Self::Runs(0), Self::At(_)) | (Self::At(_), now @ Self::Runs(0)) => now,
            (at @ Self::At(_), Self::Runs(_)) | (Self::Runs(_), at @ Self::At(_)) => at,
        }
    }
}

impl Policy {
    /// The restarts that an episode may have; `None` is without limit.
    pub fn limit(&self) -> Option<u32> {
        self.max_restart.filter(|_| self.backoff)
    }

    /// The restarts that this episode may still have; `None` is without limit.
    pub fn restarts_left(&self, episode: &Episode) -> Option<u32> {
        let limit = self.limit()?.saturating_add(episode.extra);
        Some(limit.saturating_sub(episode.attempts))
    }

    /// Whether this episode gets no more restarts.
    pub fn gives_up(&self, episode: &Episode) -> bool {
        self.restarts_left(episode) == Some(0)
    }

    /// From how many connectors on failures of one cause go in waves, if ever.
    pub fn group_from(&self) -> Option<usize> {
        self.together.group_from.filter(|_| self.backoff && !self.together.watch.is_zero())
    }

    /// How long what was restarted must run, after so many looks in this run. The first look is half as long again: nothing
    /// but the canary speaks for its group yet, and where it is wrong the wave after it is lost. (Played with failures after
    /// 2 to 90 s it saves a quarter of the restarts, and costs no wave of a run.)
    pub fn look(&self, looks: u32) -> Duration {
        let watch = self.together.watch;
        if looks == 0 { watch.saturating_mul(3).checked_div(2).unwrap_or(watch) } else { watch }
    }

    /// When the next wave of this group may go: after k bad waves in a row 2^k runs later, within bounds.
    pub fn next_wave(&self, group: &Group, run: u64, now: Timestamp) -> Next {
        let rest = 2_u64.saturating_pow(group.bad_waves).min(self.together.rest);
        let wait = match self.pace {
            _ if group.bad_waves == 0 => return Next::Runs(0),
            Pace::Runs { .. } => Wait::Runs(rest),
            Pace::Clock { step, .. } => Wait::Time(times(step, rest)),
        };
        self.after(group.run, group.at, wait, run, now)
    }

    /// Whether this wait since an attempt is over.
    pub fn is_over(&self, last: &Attempt, wait: Wait, run: u64, now: Timestamp) -> bool {
        self.after(last.run, last.at, wait, run, now) == Next::Runs(0)
    }

    /// When one of those gets another restart of whom nobody has one left, if any does: the last attempt of all counts.
    pub fn next_try(&self, last: &Attempt, run: u64, now: Timestamp) -> Option<Next> {
        let interval = self.together.keep_trying.filter(|_| self.backoff)?;
        Some(self.after(last.run, last.at, interval, run, now))
    }

    /// Whether Connect has had the time to show what became of the last attempt.
    pub fn has_settled(&self, episode: &Episode, now: Timestamp) -> bool {
        episode.last_attempt.as_ref().is_none_or(|last| now >= self.settled(last))
    }

    /// Whether what was restarted then, and runs now, has run for longer than it takes to fail again.
    pub fn has_run_long(&self, last: &Attempt, now: Timestamp) -> bool {
        now.since(last.answered) >= self.settle.max(self.together.watch)
    }

    /// The wait after the n-th attempt: ratio to the power of n, in runs or steps.
    pub fn wait(&self, attempts: u32) -> Wait {
        self.growing(self.ratio, attempts)
    }

    fn growing(&self, ratio: u64, times_waited: u32) -> Wait {
        let factor = if self.backoff { ratio.saturating_pow(times_waited) } else { 1 };
        match self.pace {
            Pace::Runs { cap } => Wait::Runs(factor.min(cap.unwrap_or(u64::MAX))),
            // Without a back-off every run restarts, however soon it comes.
            Pace::Clock { .. } if !self.backoff => Wait::Time(Duration::ZERO),
            Pace::Clock { step, cap } => Wait::Time(times(step, factor).min(cap.unwrap_or(Duration::MAX))),
        }
    }

    /// When an instance may be restarted again that has had its restarts of the day.
    pub fn next_day(&self, record: &Record, now: Timestamp) -> Option<Timestamp> {
        record.below(self.max_per_day?, now)
    }

    /// When the next attempt of this episode is due, seen from the run number `run` at the moment `now`.
    pub fn due(&self, episode: &Episode, run: u64, now: Timestamp) -> Next {
        let restart = self.restarted_again(episode, run, now);
        let not_taken = episode.not_taken.as_deref();
        restart.or_later(not_taken.map_or(Next::Runs(0), |not_taken| self.asked_again(not_taken, run, now)))
    }

    fn restarted_again(&self, episode: &Episode, run: u64, now: Timestamp) -> Next {
        let Some(last) = &episode.last_attempt else { return Next::Runs(0) };
        let settled = self.settled(last);
        match self.after(last.run, last.at, self.wait(episode.attempts), run, now) {
            Next::Runs(0) if now < settled => Next::At(settled),
            Next::At(moment) => Next::At(moment.max(settled)),
            runs @ Next::Runs(_) => runs,
        }
    }

    /// When Connect is asked again for what it does not take. What passes is asked at every run; what lasts after 2, 4, 8
    /// runs and so on, at a higher ratio more rarely; a status that was left behind once a day, for a new task may come
    /// under its number.
    fn asked_again(&self, not_taken: &NotTaken, run: u64, now: Timestamp) -> Next {
        let longest = match self.pace {
            Pace::Runs { .. } => Wait::Runs(MOST_HEALTHY_RUNS),
            Pace::Clock { .. } => Wait::Time(MOST_HEALTHY_TIME),
        };
        let wait = if not_taken.is_phantom() {
            longest
        } else if not_taken.is_lasting() {
            self.growing(self.ratio.max(2), not_taken.runs.saturating_sub(2)).min(longest)
        } else {
            return Next::Runs(0);
        };
        self.after(not_taken.run, not_taken.at, wait, run, now)
    }

    /// When this wait is over that began in the run number `since` at that moment.
    fn after(&self, since: u64, at: Timestamp, wait: Wait, run: u64, now: Timestamp) -> Next {
        match wait {
            Wait::Runs(runs) => Next::Runs(since.saturating_add(runs).saturating_sub(run)),
            Wait::Time(wait) => {
                let moment = at.plus(wait);
                let soon = now.plus(self.tolerance()) >= moment;
                if soon { Next::Runs(0) } else { Next::At(moment) }
            }
        }
    }

    /// Cron starts a run a little early or late: a tenth of a step early counts as due.
    pub fn tolerance(&self) -> Duration {
        self.step().checked_div(10).unwrap_or_default()
    }

    /// The unit of a wait by the clock; zero where the back-off counts runs.
    fn step(&self) -> Duration {
        match self.pace {
            Pace::Runs { .. } => Duration::ZERO,
            Pace::Clock { step, .. } => step,
        }
    }

    /// Whether an instance that was in transition for so many runs counts as failed. What guardian restarted does after
    /// three, whatever the setting: nobody else will look after it.
    pub fn is_stuck(&self, runs: u64, restarted: bool) -> bool {
        self.stuck_after.is_some_and(|limit| runs >= limit) || (restarted && runs >= LONG_UNWELL)
    }

    fn settled(&self, last: &Attempt) -> Timestamp {
        last.at.max(last.answered).plus(self.settle)
    }

    /// How long an instance must be seen healthy for its episode to end.
    pub fn forgiveness(&self, attempts: u32) -> Wait {
        match self.wait(attempts) {
            Wait::Runs(runs) => Wait::Runs(runs.clamp(LEAST_HEALTHY, MOST_HEALTHY_RUNS)),
            Wait::Time(wait) => {
                Wait::Time(wait.max(times(self.step(), LEAST_HEALTHY)).min(MOST_HEALTHY_TIME))
            }
        }
    }

    /// How long this episode must be seen healthy to end. Where a person mended it, nothing is left to be proven.
    pub fn forgiveness_of(&self, episode: &Episode) -> Wait {
        self.forgiveness(if episode.was_mended() { 0 } else { episode.attempts })
    }

    /// Whether an episode is over that has been healthy for this long.
    pub fn forgives(&self, episode: &Episode, healthy: &Streak, now: Timestamp) -> bool {
        reaches(healthy, self.forgiveness_of(episode), now)
    }

    /// Whether an instance has been absent for so long that it is forgotten.
    pub fn forgets(&self, attempts: u32, absent: &Streak, now: Timestamp) -> bool {
        let wait = match self.forgiveness(attempts) {
            Wait::Runs(runs) => Wait::Runs(runs.max(LEAST_ABSENT_RUNS)),
            Wait::Time(time) => Wait::Time(time.max(LEAST_ABSENT_TIME)),
        };
        reaches(absent, wait, now)
    }
}

fn reaches(streak: &Streak, wait: Wait, now: Timestamp) -> bool {
    match wait {
        Wait::Runs(runs) => streak.runs >= runs,
        Wait::Time(time) => now.since(streak.since) >= time,
    }
}

fn times(step: Duration, factor: u64) -> Duration {
    let nanos = step.as_nanos().saturating_mul(u128::from(factor));
    u64::try_from(nanos.div_euclid(1_000_000)).map_or(Duration::MAX, Duration::from_millis)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The documented defaults, with a ratio of 2.
    pub(crate) fn doubling() -> Policy {
        Policy {
            backoff: true,
            max_restart: Some(7),
            ratio: 2,
            pace: Pace::Runs { cap: None },
            settle: Duration::ZERO,
            stuck_after: None,
            max_per_run: None,
            max_per_day: None,
            together: TogetherPolicy {
                group_from: None,
                watch: Duration::from_secs(30),
                rest: 2,
                keep_trying: None,
            },
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    fn by_clock() -> Policy {
        Policy { pace: Pace::Clock { step: 5 * MINUTE, cap: None }, ..doubling() }
    }

    fn episode(attempts: u32, run: u64, at: Timestamp) -> Episode {
        let last_attempt = (attempts > 0).then_some(Attempt { run, at, answered: at });
        Episode { attempts, last_attempt, ..Episode::starting(run, at) }
    }

    #[test]
    fn with_ratio_2_restarts_come_at_runs_0_2_6_14_30_62_126() {
        let policy = doubling();
        let mut runs = Vec::new();
        let mut episode = episode(0, 0, Timestamp::default());
        for run in 0..200 {
            if !policy.gives_up(&episode) && policy.due(&episode, run, Timestamp::default()) == Next::Runs(0)
            {
                runs.push(run);
                episode.attempts += 1;
                episode.last_attempt =
                    Some(Attempt { run, at: Timestamp::default(), answered: Timestamp::default() });
            }
        }
        assert_eq!(runs, [0, 2, 6, 14, 30, 62, 126]);
    }

    #[test]
    fn with_ratio_1_every_run_is_due() {
        let policy = Policy { ratio: 1, ..doubling() };
        assert_eq!(
            policy.due(&episode(6, 10, Timestamp::default()), 11, Timestamp::default()),
            Next::Runs(0)
        );
        assert_eq!(policy.forgiveness(6), Wait::Runs(2));
    }

    #[test]
    fn without_back_off_there_is_no_limit() {
        let policy = Policy { backoff: false, ..doubling() };
        assert_eq!(policy.limit(), None);
        assert_eq!(
            policy.due(&episode(900, 10, Timestamp::default()), 11, Timestamp::default()),
            Next::Runs(0)
        );
        let clock = Policy { backoff: false, ..by_clock() };
        assert_eq!(
            clock.due(&episode(900, 10, Timestamp::default()), 10, Timestamp::default()),
            Next::Runs(0)
        );
        assert_eq!(clock.forgiveness(3), Wait::Time(10 * MINUTE));
    }

    #[test]
    fn by_the_clock_a_tenth_of_a_step_early_is_due() {
        let policy = by_clock();
        let at = Timestamp::from_millis(1_000_000);
        let first = episode(1, 1, at);
        assert_eq!(policy.due(&first, 9, at.plus(9 * MINUTE)), Next::At(at.plus(10 * MINUTE)));
        assert_eq!(policy.due(&first, 9, at.plus(9 * MINUTE + MINUTE / 2)), Next::Runs(0));
    }

    #[test]
    fn an_attempt_settles_whatever_the_back_off_says() {
        let policy = Policy { ratio: 1, settle: MINUTE / 2, ..doubling() };
        let at = Timestamp::from_millis(1_000_000);
        let mut first = episode(1, 1, at);
        first.last_attempt = Some(Attempt { run: 1, at, answered: at.plus(MINUTE) });
        assert_eq!(policy.due(&first, 2, at.plus(MINUTE)), Next::At(at.plus(MINUTE + MINUTE / 2)));
        assert_eq!(policy.due(&first, 2, at.plus(MINUTE + MINUTE / 2)), Next::Runs(0));
        assert_eq!(policy.due(&first, 1, at.plus(5 * MINUTE)), Next::Runs(1));
    }

    #[test]
    fn caps_bound_one_wait() {
        let runs = Policy { pace: Pace::Runs { cap: Some(10) }, ..doubling() };
        assert_eq!(runs.wait(3), Wait::Runs(8));
        assert_eq!(runs.wait(60), Wait::Runs(10));
        let clock = Policy { pace: Pace::Clock { step: 5 * MINUTE, cap: Some(60 * MINUTE) }, ..doubling() };
        assert_eq!(clock.wait(3), Wait::Time(40 * MINUTE));
        assert_eq!(clock.wait(4), Wait::Time(60 * MINUTE));
    }

    #[test]
    fn forgiveness_is_the_wait_between_its_bounds() {
        let policy = doubling();
        let runs: Vec<_> = [0, 1, 2, 8, 9, 64].map(|n| policy.forgiveness(n)).to_vec();
        assert_eq!(runs, [2, 2, 4, 256, 288, 288].map(Wait::Runs));
        assert_eq!(by_clock().forgiveness(0), Wait::Time(10 * MINUTE));
        assert_eq!(by_clock().forgiveness(3), Wait::Time(40 * MINUTE));
        assert_eq!(by_clock().forgiveness(20), Wait::Time(MOST_HEALTHY_TIME));
    }

    proptest! {
        #[test]
        fn waits_never_shrink_and_never_overflow(ratio in 1u64.., n in 0u32.., step in 1u64.., clock: bool) {
            let pace = if clock { Pace::Clock { step: Duration::from_millis(step), cap: None } } else { Pace::Runs { cap: None } };
            let policy = Policy { ratio, pace, ..doubling() };
            let longer = |a: Wait, b: Wait| match (a, b) {
                (Wait::Runs(a), Wait::Runs(b)) => a <= b,
                (Wait::Time(a), Wait::Time(b)) => a <= b,
                _ => false,
            };
            prop_assert!(longer(policy.wait(n), policy.wait(n.saturating_add(1))));
            let _ = policy.due(&episode(n, u64::MAX, Timestamp::from_millis(u64::MAX)), 0, Timestamp::default());
        }
    }
}
