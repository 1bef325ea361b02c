//! What a report says of one line of the plan, and of one of its groups: the line or the group itself, what is remembered,
//! and what comes next.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::action::Action;
use super::cause::Cause;
use super::group::{Group, Stage, Together};
use super::ledger::Ledger;
use super::plan::{Line, Plan, Right};
use super::policy::{Next, Policy, Wait};
use super::record::{Attempt, Record};
use super::shared::SharedStr;
use super::text::show_name;
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
    /// Its restarts within the last 24 hours, whatever its episodes; no more are counted than are remembered.
    pub restarts_24h: u32,
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
    pub fn run(self) -> u64 {
        match self {
            Self::Run(run) | Self::Before(run) | Self::After(run) => run,
        }
    }

    /// What this run did not do comes with the next one at the earliest.
    pub fn to_come(self, next: Next) -> Next {
        match next {
            Next::Runs(0) => Next::Runs(1),
            Next::Runs(runs) => Next::Runs(self.away(runs)),
            at @ Next::At(_) => at,
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
        let record = ledger.records.get(&line.id);
        let episode = record.and_then(|record| record.episode.as_ref());
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
                let next_day = record.and_then(|record| policy.next_day(record, now));
                Some(next_day.map_or_else(|| view.to_come(due.or_later(rested)), Next::At))
            }
            _ => None,
        };
        let healthy = episode.and_then(|episode| episode.healthy.as_deref());
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
            restarts_24h: record.map_or(0, |record| record.restarts_24h(now)),
            last_attempt_at: episode.and_then(|episode| episode.last_attempt).map(|last| last.at),
            next,
            forgiven,
        }
    }
}

impl Row<'_> {
    /// The same, of a member of this group: it does not go before its group does.
    #[must_use]
    pub fn not_before(self, group: &GroupRow<'_>) -> Self {
        if self.line.right == Right::NotToday {
            return self;
        }
        let next = self.next.map(|next| match (next, group.next) {
            // By the clock, the next run is too soon.
            (Next::Runs(0 | 1), Some(of_group)) => of_group,
            (next, of_group) => of_group.map_or(next, |of_group| next.or_later(of_group)),
        });
        Self { next, ..self }
    }
}

/// Everything that a report says of one group.
#[derive(Clone, Debug)]
pub struct GroupRow<'a> {
    pub group: &'a Together,
    /// What is said of each of its members.
    pub lines: Vec<&'a Line>,
    /// Its failed tasks. A connector's own instance is none.
    pub tasks: usize,
    /// When the first of its members failed.
    pub since: Option<Timestamp>,
    /// Who went first: in this run, else in the last that sent a wave of it. In a plan that is not carried out: who would.
    pub canary: Option<&'a SharedStr>,
    /// Bad waves in a row.
    pub bad_waves: u32,
    /// When its next wave may go; `None` when nobody has a restart left and none will come.
    pub next: Option<Next>,
}

impl<'a> GroupRow<'a> {
    /// What to say of a group at the moment `now`.
    pub fn new(
        group: &'a Together,
        plan: &'a Plan,
        ledger: &'a Ledger,
        policy: &Policy,
        view: View,
        now: Timestamp,
    ) -> Self {
        let remembered = ledger.group(group.cause.key);
        let lines: Vec<&Line> = group.members.iter().filter_map(|id| plan.lines.get(id)).collect();
        let is_due = lines.iter().any(|line| line.action == Action::Due);
        let records: Vec<Option<&Record>> = group.members.iter().map(|id| ledger.records.get(id)).collect();
        let episodes = || records.iter().filter_map(|record| record.as_ref()?.episode.as_ref());
        Self {
            group,
            lines,
            tasks: group.members.iter().filter(|id| id.task.is_some()).count(),
            since: episodes().map(|episode| episode.first_failed_at).min(),
            canary: group.canary.as_ref().or(remembered.map(|remembered| &remembered.canary)),
            bad_waves: remembered.map_or(0, |remembered| remembered.bad_waves),
            next: if is_due {
                Some(Next::Runs(view.away(0)))
            } else {
                next_wave(group, remembered, &records, policy, view.run(), now).map(|next| view.to_come(next))
            },
        }
    }

    /// Who went first and what became of it; empty when nobody did.
    pub fn fate(&self) -> String {
        let Some(canary) = self.canary.map(|name| show_name(name)) else { return String::new() };
        let restarted: BTreeSet<&str> = self.group.restarted.iter().map(|id| &*id.connector).collect();
        let others = restarted.len().saturating_sub(1);
        match self.group.stage {
            Stage::Goes if self.group.proven => "one of them runs again: all go".to_owned(),
            Stage::Goes => format!("{canary} goes first"),
            Stage::NotTaken => format!("{canary} was to go first: not taken"),
            Stage::FailedAgain if self.group.proven => {
                "one of them ran again, all went: failed again".to_owned()
            }
            Stage::FailedAgain if others > 0 => {
                format!("{canary} went first, then {others} more: failed again")
            }
            Stage::FailedAgain => format!("{canary} went first: failed again"),
            Stage::Rests if self.bad_waves > 0 => format!("{canary} went first: failed again"),
            Stage::Went | Stage::OutOfTime if self.group.proven => {
                "one of them runs again: all went".to_owned()
            }
            Stage::OutOfTime if others == 0 => format!("{canary} went first and runs; more in the next run"),
            Stage::OutOfTime => {
                format!("{canary} went first and runs, then {others} more; more in the next run")
            }
            Stage::Went if others > 0 => format!("{canary} went first and runs, then {others} more"),
            // A wave that nobody waits for is not looked at.
            Stage::Went | Stage::Rests => format!("{canary} went first"),
        }
    }

    /// Whether this line belongs to it.
    pub fn has(&self, line: &Line) -> bool {
        let alike = line.cause.as_ref().is_some_and(|cause| cause.key == self.group.cause.key);
        alike && self.group.members.binary_search(&line.id).is_ok()
    }
}

fn next_wave(
    group: &Together,
    remembered: Option<&Group>,
    records: &[Option<&Record>],
    policy: &Policy,
    run: u64,
    now: Timestamp,
) -> Option<Next> {
    let members = || records.iter().map(|record| record.and_then(|it| Some((it, it.episode.as_ref()?))));
    let left = members().filter(|member| !member.is_some_and(|(_, episode)| policy.gives_up(episode)));
    let due = left.map(|member| {
        member.map_or(Next::Runs(0), |(record, episode)| {
            policy.next_day(record, now).map_or_else(|| policy.due(episode, run, now), Next::At)
        })
    });
    let Some(due) = due.reduce(Next::or_sooner) else {
        let attempts = members().flatten().filter_map(|(_, episode)| episode.last_attempt);
        let last: Attempt = attempts.max_by_key(|attempt| attempt.run)?;
        return policy.next_try(&last, run, now);
    };
    Some(match (group.stage, remembered) {
        // Everybody who has a restart left.
        (Stage::OutOfTime, _) => Next::Runs(0),
        (_, Some(remembered)) => due.or_later(policy.next_wave(remembered, run, now)),
        (_, None) => due,
    })
}
