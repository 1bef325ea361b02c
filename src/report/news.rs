//! The one line for whoever reads cron's mail or a journal: what was restarted, newly given up, failed or of unknown fate,
//! and why it had failed. It is empty when there is nothing to say.

use std::fmt::Write;

use super::RunReport;
use crate::decide::event::What;
use crate::decide::model::InstanceId;
use crate::decide::text::{cut, name_some};

/// So many are named; the others are counted.
const NAMED: usize = 5;
/// Characters of a cause.
const LONGEST_CAUSE: usize = 120;

/// What there is to say, in the order in which it is told.
const WORDS: [(What, &str); 5] = [
    (What::Restarted, "restarted"),
    (What::FailedAgain, "restarted, but failed again at once:"),
    (What::GaveUp, "gave up (fix the cause, then: guardian reset NAME) on"),
    (What::Refused, "could not restart"),
    (What::Unknown, "does not know the fate of"),
];

/// The line about this cluster.
pub fn news(report: &RunReport, cluster: &str) -> String {
    let mut text = String::new();
    for (what, words) in WORDS {
        let mut whom = report.events.iter().filter(|event| event.what == what).peekable();
        if whom.peek().is_none() {
            continue;
        }
        let separator = if text.is_empty() { format!("{cluster}: ") } else { "; ".to_owned() };
        let named = name_some(whom.map(|event| with_cause(report, &event.id)), NAMED);
        let _ = write!(text, "{separator}{words} {named}");
    }
    text
}

fn with_cause(report: &RunReport, id: &InstanceId) -> String {
    let line = report.plan.as_ref().and_then(|plan| plan.lines.get(id));
    match line.and_then(|line| line.cause.as_deref()) {
        Some(cause) => format!("{id} ({})", cut(cause, LONGEST_CAUSE)),
        None => id.to_string(),
    }
}
