//! What a command found and did, as one value, for its three readers: a person (`text`), a script (`json`), and whoever
//! gets cron's mail (`news`). Nothing here reads a clock or asks anybody; the command does the printing.

pub mod json;
pub mod news;
pub mod text;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::decide::ledger::Ledger;
use crate::decide::plan::{Line, Plan};
use crate::decide::policy::Policy;
use crate::decide::row::{Row, View};
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

    fn row<'a>(&'a self, line: &'a Line) -> Option<Row<'a>> {
        let (about, view) = (self.about.as_ref()?, self.view?);
        let now = about.started_at.plus(about.duration);
        Some(Row::new(line, &self.ledger, &about.policy, view, now))
    }

    /// One row for each line of the plan, by instance.
    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.plan.iter().flat_map(|plan| plan.lines.iter()).filter_map(|line| self.row(line))
    }

    /// The first of them for a reader, and how many there are in all.
    fn rows_for_a_reader(&self, most: usize) -> (Vec<Row<'_>>, usize) {
        let lines = self.plan.as_ref().map_or_else(Vec::new, |plan| plan.for_a_reader(&self.ledger));
        (lines.iter().take(most).filter_map(|line| self.row(line)).collect(), lines.len())
    }

    fn warnings(&self) -> impl Iterator<Item = &String> {
        self.warnings.iter().chain(self.plan.iter().flat_map(|plan| &plan.warnings))
    }
}
