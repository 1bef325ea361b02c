//! What a command found and did, for its two readers: a person (`text`), a
//! script (`json`). A report is written from values; it reads no clock, asks
//! nobody, and the command does the printing.

pub mod json;
pub mod text;

use std::time::Duration;

use crate::decide::ledger::Ledger;
use crate::decide::model::{Counts, Timestamp};
use crate::decide::outcome::{Row, View};
use crate::decide::plan::{Line, Plan, sort_for_a_reader};
use crate::decide::policy::Policy;
use crate::exit::Failure;

/// What `run` or `status` found and did.
#[derive(Debug)]
pub struct Report<'a> {
    /// `run` or `status`.
    pub command: &'static str,
    /// Nothing was sent or written.
    pub dry_run: bool,
    /// One of many: the text begins with its time.
    pub repeated: bool,
    /// The cluster's name.
    pub cluster: &'a str,
    /// The worker that answered.
    pub url: Option<&'a str>,
    /// The state's place; `status` tells it.
    pub state: Option<&'a str>,
    /// The run's number; `None` when the cluster's status was not read.
    pub run: Option<u64>,
    /// When the command started.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// The connectors and the tasks by state.
    pub counts: Option<(&'a Counts, &'a Counts)>,
    /// What was planned, and what became of it.
    pub plan: Option<&'a Plan>,
    /// What is remembered now.
    pub ledger: &'a Ledger,
    /// The present settings.
    pub policy: &'a Policy,
    /// What a person should know besides.
    pub warnings: &'a [String],
    /// Why the work could not all be done.
    pub failure: Option<&'a Failure>,
}

impl<'a> Report<'a> {
    fn row(&self, line: &'a Line) -> Row<'a> {
        let (run, view) = match self.run {
            Some(run) if self.command == "status" => (run, View::Between),
            Some(run) => (run, View::Run),
            None => (self.ledger.run, View::After),
        };
        Row::new(line, self.ledger, self.policy, run, self.started_at.plus(self.duration), view)
    }

    /// One row for each line of the plan, by instance.
    fn rows(&self) -> impl Iterator<Item = Row<'a>> {
        let lines = self.plan.map_or(&[][..], |plan| &plan.lines);
        lines.iter().map(|line| self.row(line))
    }

    /// The same, what needs a reader first.
    fn rows_for_a_reader(&self) -> Vec<Row<'a>> {
        let mut lines: Vec<&Line> = self.plan.map_or_else(Vec::new, |plan| plan.lines.iter().collect());
        sort_for_a_reader(&mut lines, self.ledger);
        lines.into_iter().map(|line| self.row(line)).collect()
    }

    fn warnings(&self) -> impl Iterator<Item = &'a String> {
        self.warnings.iter().chain(self.plan.map_or(&[][..], |plan| &plan.warnings))
    }
}
