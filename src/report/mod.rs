//! What a command found and did, as one value, for its four readers: a person (`text`), a script (`json`), whoever gets
//! cron's mail (`news`), and a monitoring system (`metrics`). Nothing here reads a clock or asks anybody; the command does the printing.

pub mod history;
pub mod json;
pub mod metrics;
pub mod news;
pub mod text;

#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::time::Duration;

use crate::decide::action::Action;
use crate::decide::hold::Hold;
use crate::decide::ledger::Ledger;
use crate::decide::plan::{Line, Plan, Right};
use crate::decide::policy::Policy;
use crate::decide::row::{GroupRow, Row, View};
use crate::decide::tell::Telling;
use crate::decide::text::sanitize;
use crate::decide::time::Timestamp;
use crate::exit::Failure;

/// What `run` or `status` found and did, or why another command could not do its work.
#[derive(Debug, Default)]
pub struct RunReport {
    /// `None` when it is not known what was typed.
    pub command: Option<&'static str>,
    /// `None` when the command failed before it began.
    pub about: Option<About>,
    /// What was planned, and what became of it.
    pub plan: Option<Plan>,
    /// From where the plan is seen; there whenever the plan is.
    pub view: Option<View>,
    /// What is remembered now.
    pub ledger: Ledger,
    /// What a person should know besides, one sentence each.
    pub warnings: Vec<String>,
    /// Why the work could not all be done.
    pub failure: Option<Failure>,
    /// What is to be told; the state holds it as said.
    pub tellings: Vec<Telling>,
    /// Who was told, and who was not.
    pub told: Vec<ToldOne>,
}

/// What became of a message.
#[derive(Debug)]
pub struct ToldOne {
    /// The sink's name.
    pub sink: String,
    /// Why it was not told, or may not have been.
    pub error: Option<String>,
}

/// What a command was about.
#[derive(Debug)]
pub struct About {
    /// The cluster's name.
    pub cluster: String,
    /// The worker that answered.
    pub url: String,
    /// The state's place; `status` tells it.
    pub state: Option<String>,
    /// Nothing was sent or written.
    pub dry_run: bool,
    /// One of many: the text begins with its time.
    pub repeated: bool,
    /// The text shows every instance.
    pub full: bool,
    pub started_at: Timestamp,
    pub duration: Duration,
    /// The present settings.
    pub policy: Policy,
}

impl RunReport {
    /// A command that failed before it had anything to say.
    pub fn failed(command: Option<&'static str>, failure: Failure) -> Self {
        Self { command, failure: Some(failure), ..Self::default() }
    }

    /// The number of the run; `None` when the cluster's status was not read.
    fn run(&self) -> Option<u64> {
        match self.view? {
            View::Run(run) | View::Before(run) => Some(run),
            View::After(_) => None,
        }
    }

    /// What the run found, on one line and without a cause: for whoever only counts that it ran.
    pub fn summary(&self, cluster: &str) -> String {
        let mut text = sanitize(cluster).into_owned();
        if let Some(failure) = &self.failure {
            let _ = write!(text, ": {}", failure.kind.as_str());
        }
        let Some(plan) = &self.plan else { return text };
        if let Some((connectors, tasks)) = &plan.counts {
            let (connectors, all, failed) = (connectors.total, tasks.total, tasks.failed);
            let _ = write!(text, ": {connectors} connectors, {all} tasks, {failed} failed");
        }
        for (action, count) in plan.summary().into_iter().filter(|(_, count)| *count > 0) {
            let _ = write!(text, ", {} {count}", action.as_str());
        }
        text
    }

    /// The groups of the plan, by key.
    fn groups(&self) -> Vec<GroupRow<'_>> {
        let (Some(about), Some(view), Some(plan)) = (&self.about, self.view, &self.plan) else {
            return Vec::new();
        };
        let row = |group| GroupRow::new(group, plan, &self.ledger, &about.policy, view, about.now());
        plan.groups.iter().map(row).collect()
    }

    fn row<'a>(&'a self, line: &'a Line, groups: &[GroupRow<'_>]) -> Option<Row<'a>> {
        let (about, view) = (self.about.as_ref()?, self.view?);
        let row = Row::new(line, &self.ledger, &about.policy, view, about.now());
        let sent = line.right == Right::BeyondLimit && line.action != Action::Due;
        let last = || self.ledger.episode(&line.id)?.last_attempt.as_ref();
        let tried = self.plan.as_ref().and_then(|plan| plan.next_tries.get(&line.id));
        let tried = tried.or_else(|| last().filter(|_| sent));
        let next_try = tried.and_then(|last| about.policy.next_try(last, view.run(), about.now()));
        let row = Row { next: row.next.or(next_try.map(|next| view.to_come(next))), ..row };
        Some(match groups.iter().find(|group| group.has(line)) {
            Some(group) => row.not_before(group),
            None => row,
        })
    }

    /// One row for each line of the plan, by instance.
    fn rows<'a>(&'a self, groups: &'a [GroupRow<'_>]) -> impl Iterator<Item = Row<'a>> {
        let lines = self.plan.iter().flat_map(|plan| plan.lines.iter());
        lines.filter_map(|line| self.row(line, groups))
    }

    /// What persons hold now.
    fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.about.iter().flat_map(|about| self.ledger.holds_at(about.now()))
    }

    fn warnings(&self) -> impl Iterator<Item = &String> {
        self.warnings.iter().chain(self.plan.iter().flat_map(|plan| &plan.warnings))
    }
}

impl About {
    fn now(&self) -> Timestamp {
        self.started_at.plus(self.duration)
    }
}
