//! The one line for whoever reads cron's mail or a journal: what was restarted, newly given up, failed or of unknown fate,
//! and why it had failed. It is empty when there is nothing to say.

use std::collections::BTreeSet;

use super::RunReport;
use crate::decide::event::Event;
use crate::decide::plan::Line;
use crate::decide::row::GroupRow;
use crate::decide::text::{cut, name_some};

/// So many are named; the others are counted.
const NAMED: usize = 5;
/// Characters of a cause.
const LONGEST_CAUSE: usize = 120;

/// What there is to say, in the order in which it is told.
const WORDS: [(Event, &str); 9] = [
    (Event::Restarted, "restarted"),
    (Event::CrashLoop, "restarted, for the 6th time within 24 h (a crash loop):"),
    (Event::FailedAgain, "restarted, but failed again at once:"),
    (Event::GaveUp, "gave up (fix the cause, then: guardian retry NAME) on"),
    (Event::Refused, "could not restart"),
    (Event::Unknown, "does not know the fate of"),
    (Event::Unwell, "sees neither running nor failed, or without tasks, for three runs:"),
    (
        Event::NothingIncluded,
        "restarts nothing, because GUARDIAN_INCLUDE (--include) matches no connector; failed:",
    ),
    (Event::Phantom, "leaves alone (a status that was left behind: Connect has no such task)"),
];

/// The line about this cluster. What happened to many of one group is one phrase.
pub fn news(report: &RunReport, cluster: &str) -> String {
    let groups = report.groups();
    let mut phrases = Vec::new();
    for (event, words) in WORDS {
        let lines = report.plan.iter().flat_map(|plan| &plan.lines);
        let whom = lines.filter(|line| line.event == Some(event));
        let mut alone = whom.filter(|line| !groups.iter().any(|group| group.has(line))).peekable();
        if alone.peek().is_some() {
            phrases.push(format!("{words} {}", name_some(alone.map(with_cause), NAMED)));
        }
    }
    phrases.extend(groups.iter().filter_map(together));
    if phrases.is_empty() { String::new() } else { format!("{cluster}: {}", phrases.join("; ")) }
}

/// What happened to the members of a group.
fn together(group: &GroupRow<'_>) -> Option<String> {
    let happened = WORDS.iter().filter_map(|(event, words)| {
        let whom = group.lines.iter().filter(|line| line.event == Some(*event));
        let connectors: BTreeSet<&str> = whom.map(|line| &*line.id.connector).collect();
        (!connectors.is_empty()).then(|| format!("{words} {}", connectors.len()))
    });
    let happened = happened.collect::<Vec<_>>().join(", ");
    if happened.is_empty() {
        return None;
    }
    let (all, cause) = (group.group.connectors, cut(&group.group.cause.text, LONGEST_CAUSE));
    let fate = match group.fate() {
        fate if fate.is_empty() => fate,
        fate => format!(": {fate}"),
    };
    Some(format!("{happened} of {all} connectors that fail for one cause ({cause}){fate}"))
}

fn with_cause(line: &Line) -> String {
    match &line.cause {
        Some(cause) => format!("{} ({})", line.id, cut(&cause.text, LONGEST_CAUSE)),
        None => line.id.to_string(),
    }
}
