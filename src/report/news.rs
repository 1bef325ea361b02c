//! The one line for whoever reads cron's mail or a journal: what was restarted, newly given up, failed or of unknown fate,
//! and why it had failed. It is empty when there is nothing to say.

use std::fmt::Write;

use super::RunReport;
use crate::decide::event::Event;
use crate::decide::plan::Line;
use crate::decide::text::{cut, name_some};

/// So many are named; the others are counted.
const NAMED: usize = 5;
/// Characters of a cause.
const LONGEST_CAUSE: usize = 120;

/// What there is to say, in the order in which it is told.
const WORDS: [(Event, &str); 8] = [
    (Event::Restarted, "restarted"),
    (Event::FailedAgain, "restarted, but failed again at once:"),
    (Event::GaveUp, "gave up (fix the cause, then: guardian reset NAME) on"),
    (Event::Refused, "could not restart"),
    (Event::Unknown, "does not know the fate of"),
    (Event::Unwell, "sees neither running nor failed, or without tasks, for three runs:"),
    (
        Event::NothingIncluded,
        "restarts nothing, because GUARDIAN_INCLUDE (--include) matches no connector; failed:",
    ),
    (Event::Phantom, "leaves alone (a status that was left behind: Connect has no such task)"),
];

/// The line about this cluster.
pub fn news(report: &RunReport, cluster: &str) -> String {
    let mut text = String::new();
    for (event, words) in WORDS {
        let lines = report.plan.iter().flat_map(|plan| &plan.lines);
        let mut whom = lines.filter(|line| line.event == Some(event)).peekable();
        if whom.peek().is_none() {
            continue;
        }
        let separator = if text.is_empty() { format!("{cluster}: ") } else { "; ".to_owned() };
        let _ = write!(text, "{separator}{words} {}", name_some(whom.map(with_cause), NAMED));
    }
    text
}

fn with_cause(line: &Line) -> String {
    match &line.cause {
        Some(cause) => format!("{} ({})", line.id, cut(&cause.text, LONGEST_CAUSE)),
        None => line.id.to_string(),
    }
}
