//! What became of each restart, and what the run adds up to: how outcomes
//! settle the records that were charged before, and the rows and counts that
//! the reports are made of. It sends and prints nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ledger::{Ledger, Uncharged};
use super::model::{InstanceId, Timestamp};
use super::plan::{Action, Call, Line, Plan};
use super::policy::{Due, Policy, Wait};

/// What became of the restart of one instance. The text says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Connect took it (202 or 204); that is not yet a recovery.
    Taken,
    /// Connect did it, and it failed again at once (500 "Failed to start").
    FailedAgain(Arc<str>),
    /// 404 as Connect's JSON: deleted meanwhile, or a name that the worker
    /// cannot forward. The second in a row is charged.
    NotFound(Arc<str>),
    /// Not now: a rebalance, a busy worker. Surely not taken.
    NotNow(Arc<str>),
    /// No worker got the request.
    NotSent(Arc<str>),
    /// Connect cannot address this name, ever.
    Unaddressable(Arc<str>),
    /// Refused.
    Refused(Arc<str>),
    /// 401 or 403: nothing else will be allowed either.
    Unauthorized(Arc<str>),
    /// Sent; Connect may have done it, or do it later.
    Unknown(Arc<str>),
}

impl Outcome {
    /// This outcome for every instance of a call.
    #[must_use]
    pub fn of(&self, call: &Call) -> Vec<(InstanceId, Self)> {
        call.ids().iter().map(|id| (id.clone(), self.clone())).collect()
    }

    /// What the outcome makes of an instance whose last restart was answered
    /// 404 or not: its action, whether the attempt counts, and whether the run
    /// could not do all its work.
    fn settles(&self, not_found_before: bool) -> (Action, bool, bool) {
        match self {
            Self::Taken => (Action::Restarted, true, false),
            Self::FailedAgain(_) => (Action::Failed, true, false),
            Self::NotFound(_) if not_found_before => (Action::Failed, true, true),
            Self::NotFound(_) => (Action::Gone, false, false),
            Self::NotNow(_) => (Action::Deferred, false, false),
            Self::NotSent(_) => (Action::Deferred, false, true),
            Self::Unaddressable(_) => (Action::Failed, true, true),
            Self::Refused(_) | Self::Unauthorized(_) => (Action::Failed, false, true),
            Self::Unknown(_) => (Action::Unknown, true, true),
        }
    }

    fn text(&self) -> Option<&Arc<str>> {
        match self {
            Self::Taken => None,
            Self::FailedAgain(text)
            | Self::NotFound(text)
            | Self::NotNow(text)
            | Self::NotSent(text)
            | Self::Unaddressable(text)
            | Self::Refused(text)
            | Self::Unauthorized(text)
            | Self::Unknown(text) => Some(text),
        }
    }
}

/// The outcomes of a run, and when each was known: by connector a list in the
/// order of the tasks, which takes half the room of a map of all instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes(BTreeMap<Arc<str>, Vec<OfTask>>);

/// The task's number, what became of its restart, and when that was known.
type OfTask = (Option<u32>, Outcome, Timestamp);

impl Outcomes {
    /// Notes outcomes that are known since `when`; a later one of an instance
    /// replaces an earlier one.
    pub fn note(&mut self, outcomes: impl IntoIterator<Item = (InstanceId, Outcome)>, when: Timestamp) {
        let outcomes = outcomes.into_iter();
        // They are those of one call, and so of one connector.
        let count = outcomes.size_hint().0;
        for (InstanceId { connector, task }, outcome) in outcomes {
            let known = self.0.entry(connector).or_insert_with(|| Vec::with_capacity(count));
            match known.binary_search_by_key(&task, |(task, ..)| *task) {
                Ok(found) => {
                    if let Some(entry) = known.get_mut(found) {
                        *entry = (task, outcome, when);
                    }
                }
                Err(gap) => known.insert(gap, (task, outcome, when)),
            }
        }
    }

    /// As if nothing had become known of these.
    pub fn forget(&mut self, ids: &[InstanceId]) {
        for id in ids {
            if let Some(known) = self.0.get_mut(&id.connector)
                && let Ok(found) = known.binary_search_by_key(&id.task, |(task, ..)| *task)
            {
                known.remove(found);
            }
        }
    }

    /// What became of this instance, and when that was known.
    #[must_use]
    pub fn get(&self, id: &InstanceId) -> Option<(&Outcome, Timestamp)> {
        let known = self.0.get(&id.connector)?;
        let found = known.binary_search_by_key(&id.task, |(task, ..)| *task).ok()?;
        known.get(found).map(|(_, outcome, when)| (outcome, *when))
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Outcome> {
        self.0.values().flatten().map(|(_, outcome, _)| outcome)
    }
}

impl Plan {
    /// Writes the outcomes into the lines and the ledger: what Connect surely
    /// did not take is refunded. `unsent` says why a due instance without an
    /// outcome got no request.
    pub fn settle(
        &mut self,
        ledger: &mut Ledger,
        charged: &[Uncharged],
        outcomes: &Outcomes,
        unsent: &Arc<str>,
    ) {
        let not_sent = Outcome::NotSent(Arc::clone(unsent));
        for before in charged {
            let id = before.id();
            let (outcome, when) = match outcomes.get(id) {
                Some((outcome, when)) => (outcome, Some(when)),
                None => (&not_sent, None),
            };
            let (action, counts, trouble) = settle_record(ledger, before, outcome, when);
            if let Ok(found) = self.lines.binary_search_by(|line| line.id.cmp(id))
                && let Some(line) = self.lines.get_mut(found)
            {
                line.action = action;
                line.trouble = trouble;
                line.error = outcome.text().cloned();
            }
            if !counts {
                ledger.refund(before);
            }
        }
    }

    /// Remembers which instances were given up, so that it is news only once.
    /// Returns those for which it is news.
    pub fn note_given_up(&self, ledger: &mut Ledger) -> Vec<InstanceId> {
        let mut news = Vec::new();
        for line in &self.lines {
            let Some(episode) = ledger.episode_mut(&line.id) else { continue };
            let gave_up = line.action == Action::GaveUp;
            if gave_up && !episode.gave_up {
                news.push(line.id.clone());
            }
            // Due again, because it may now have more restarts: to be given up again will be news.
            episode.gave_up = gave_up || (episode.gave_up && line.action != Action::Due);
        }
        news
    }

    /// How many lines there are of each action.
    #[must_use]
    pub fn summary(&self) -> BTreeMap<Action, u64> {
        let mut summary: BTreeMap<Action, u64> = Action::ALL.iter().map(|action| (*action, 0)).collect();
        for line in &self.lines {
            let count = summary.entry(line.action).or_default();
            *count = count.saturating_add(1);
        }
        summary
    }

    /// Lines that tell why the run could not do all its work.
    pub fn troubles(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.trouble)
    }
}

fn settle_record(
    ledger: &mut Ledger,
    before: &Uncharged,
    outcome: &Outcome,
    when: Option<Timestamp>,
) -> (Action, bool, bool) {
    let Some(episode) = ledger.episode_mut(before.id()) else { return outcome.settles(false) };
    let settled = outcome.settles(episode.not_found);
    match outcome {
        Outcome::NotNow(_) | Outcome::NotSent(_) => {}
        _ => episode.not_found = matches!(outcome, Outcome::NotFound(_)),
    }
    if let (Some(last), Some(when)) = (&mut episode.last_attempt, when) {
        last.answered = last.answered.max(when);
    }
    settled
}

/// When something comes next: in so many runs, or at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// So many runs from the present one.
    Runs(u64),
    /// At the first run from this moment on.
    At(Timestamp),
}

/// Everything that a report says of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// Its line in the plan.
    pub line: &'a Line,
    /// Its attempts in this episode, after settling.
    pub attempts: u32,
    /// The attempts that it may have; `None` is without limit.
    pub limit: Option<u32>,
    /// When its episode began.
    pub first_failed_at: Option<Timestamp>,
    /// When it was last restarted.
    pub last_attempt_at: Option<Timestamp>,
    /// When the next restart comes, if one will.
    pub next: Option<Next>,
    /// For an instance that is healthy again: when it is forgiven.
    pub forgiven: Option<Next>,
}

/// From where a report looks at the future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// From within the run itself: the next one is one run away.
    Run,
    /// From between two runs, by what the next one would see: what the plan has
    /// for "now" is one run away.
    Between,
    /// From after the last run, nothing having been seen since.
    After,
}

impl<'a> Row<'a> {
    /// What to say of a line, seen from the run number `run` at the moment `now`.
    #[must_use]
    pub fn new(
        line: &'a Line,
        ledger: &Ledger,
        policy: &Policy,
        run: u64,
        now: Timestamp,
        view: View,
    ) -> Self {
        let episode = ledger.episode(&line.id);
        let attempts = episode.map_or(0, |episode| episode.attempts);
        let away = |runs: u64| match view {
            View::Run => runs,
            View::Between => runs.saturating_add(1),
            View::After => runs.max(1),
        };
        let next = match line.action {
            Action::Due => Some(Next::Runs(away(0))),
            Action::Waiting
            | Action::Restarted
            | Action::Unknown
            | Action::Failed
            | Action::Deferred
            | Action::Gone
                if !policy.gives_up(attempts) =>
            {
                Some(match episode.map_or(Due::Now, |episode| policy.due(episode, run, now)) {
                    Due::InRuns(runs) => Next::Runs(away(runs)),
                    Due::At(moment) => Next::At(moment),
                    Due::Now => Next::Runs(1),
                })
            }
            _ => None,
        };
        let healthy = episode.and_then(|episode| episode.healthy);
        let forgiven = healthy.map(|healthy| match policy.forgiveness(attempts) {
            Wait::Runs(runs) => Next::Runs(away(runs.saturating_sub(healthy.runs)).max(1)),
            Wait::Time(time) => Next::At(healthy.since.plus(time)),
        });
        Self {
            line,
            attempts,
            limit: policy.limit(),
            first_failed_at: episode.map(|episode| episode.first_failed_at),
            last_attempt_at: episode.and_then(|episode| episode.last_attempt).map(|last| last.at),
            next,
            forgiven,
        }
    }
}

/// Whether somebody who asked for `--fail-on failed` means this line: failed
/// now, and neither excluded, held nor parked.
#[must_use]
pub fn is_failed_now(line: &Line) -> bool {
    matches!(
        line.action,
        Action::Failed
            | Action::Unknown
            | Action::GaveUp
            | Action::Due
            | Action::Restarted
            | Action::Deferred
            | Action::Gone
            | Action::Waiting
    )
}
