//! What a report says of one line of the plan: the line itself, what is remembered, and what comes next.

use std::sync::Arc;

use super::action::Action;
use super::cause::Cause;
use super::ledger::Ledger;
use super::plan::Line;
use super::policy::{Next, Policy, Wait};
use super::time::Timestamp;

/// Everything that a report says of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    pub line: &'a Line,
    /// Its attempts in this episode, after settling.
    pub attempts: u32,
    /// The attempts that it may have; `None` is without limit.
    pub limit: Option<u32>,
    pub first_failed_at: Option<Timestamp>,
    /// The first cause of its episode, where the last one is another: it may say more.
    pub first_cause: Option<Arc<Cause>>,
    pub last_attempt_at: Option<Timestamp>,
    /// When the next restart comes, if one will.
    pub next: Option<Next>,
    /// For an instance that is healthy again: when it is forgiven.
    pub forgiven: Option<Next>,
}

/// From where a report looks at the future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// From within this run: the next one is one run away.
    Run(u64),
    /// From between two runs. The plan is the one of the next run, which has this number and is one run away.
    Before(u64),
    /// From after this run, nothing having been seen since.
    After(u64),
}

impl View {
    /// The run from which the plan was made.
    fn run(self) -> u64 {
        match self {
            Self::Run(run) | Self::Before(run) | Self::After(run) => run,
        }
    }

    /// So many runs from the plan's own run, as the reader counts them.
    fn away(self, runs: u64) -> u64 {
        match self {
            Self::Run(_) => runs,
            Self::Before(_) => runs.saturating_add(1),
            Self::After(_) => runs.max(1),
        }
    }
}

impl<'a> Row<'a> {
    /// What to say of a line at the moment `now`.
    pub fn new(line: &'a Line, ledger: &Ledger, policy: &Policy, view: View, now: Timestamp) -> Self {
        let episode = ledger.episode(&line.id);
        let attempts = episode.map_or(0, |episode| episode.attempts);
        let next = match line.action {
            Action::Due => Some(Next::Runs(view.away(0))),
            Action::Waiting
            | Action::Restarted
            | Action::Unknown
            | Action::Failed
            | Action::Deferred
            | Action::Gone
                if !episode.is_some_and(|episode| policy.gives_up(episode)) =>
            {
                let due = episode.map_or(Next::Runs(0), |episode| policy.due(episode, view.run(), now));
                let group = line.cause.as_ref().and_then(|cause| ledger.group(cause.key));
                let group = group.filter(|_| line.action == Action::Waiting);
                let rested = group.map_or(Next::Runs(0), |group| policy.next_wave(group, view.run(), now));
                let due = due.or_later(rested);
                Some(match due {
                    // What this run did not restart comes with the next one.
                    Next::Runs(0) => Next::Runs(1),
                    Next::Runs(runs) => Next::Runs(view.away(runs)),
                    at @ Next::At(_) => at,
                })
            }
            _ => None,
        };
        let healthy = episode.and_then(|episode| episode.healthy);
        let forgiven = healthy.map(|healthy| {
            match episode.map_or(Wait::Runs(0), |episode| policy.forgiveness_of(episode)) {
                Wait::Runs(runs) => Next::Runs(view.away(runs.saturating_sub(healthy.runs)).max(1)),
                Wait::Time(time) => Next::At(healthy.since.plus(time)),
            }
        });
        Self {
            line,
            attempts,
            limit: policy
                .limit()
                .map(|limit| limit.saturating_add(episode.map_or(0, |episode| episode.extra))),
            first_failed_at: episode.map(|episode| episode.first_failed_at),
            first_cause: episode
                .and_then(|episode| episode.first_cause.clone())
                .filter(|first| line.cause.as_ref().is_none_or(|cause| cause.key != first.key)),
            last_attempt_at: episode.and_then(|episode| episode.last_attempt).map(|last| last.at),
            next,
            forgiven,
        }
    }
}
