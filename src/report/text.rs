//! The table for a person: what is broken and why, what was done, what comes
//! next; what needs the reader first. Colours are styles in the text, which the
//! printer drops where there is no terminal.

use std::fmt::Write;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{About, RunReport};
use crate::decide::action::Action;
use crate::decide::cause::{Cause, without_package};
use crate::decide::model::Counts;
use crate::decide::plan::Plan;
use crate::decide::policy::Next;
use crate::decide::row::{Row, View};
use crate::decide::text::{sanitize, show_name};
use crate::decide::time::Timestamp;

/// Two screenfuls; the JSON has all.
const MOST_ROWS: usize = 40;
/// A cause is not squeezed below this, however narrow the terminal.
const NARROWEST_CAUSE: usize = 20;
/// Between the reasons in one cell.
const BESIDE: &str = " | ";
const GAP: &str = "  ";

const BOLD: Style = Style::new().bold();
const RED: Style = AnsiColor::Red.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const GREEN: Style = AnsiColor::Green.on_default();
const DIM: Style = Style::new().dimmed();

/// The report as text. `width` is the terminal's; without one nothing is cut. Empty when nothing was found out: then the
/// log tells why.
pub fn render(report: &RunReport, width: Option<usize>) -> String {
    let (Some(about), Some(plan)) = (&report.about, &report.plan) else { return String::new() };
    let mut text = String::new();
    if about.repeated {
        let _ = write!(text, "{DIM}{}{DIM:#}{GAP}", about.started_at);
    }
    if let Some((connectors, tasks)) = &plan.counts
        && is_healthy(report, plan)
    {
        healthy(&mut text, &about.cluster, connectors, tasks);
        return text;
    }
    header(&mut text, report, about, plan);
    let (rows, count) = report.rows_for_a_reader(MOST_ROWS);
    if !rows.is_empty() {
        text.push('\n');
        table(&mut text, &rows, count, about.started_at, width);
    }
    for warning in report.warnings() {
        let _ = writeln!(text, "{YELLOW}warning:{YELLOW:#} {}", sanitize(warning));
    }
    let end = if plan.counts.is_some() { summary(plan, about.dry_run) } else { unread(plan) };
    let _ = writeln!(text, "\n{end}");
    text
}

/// Connect was not read: the rows are what is remembered.
fn unread(plan: &Plan) -> String {
    match plan.lines.len() {
        0 => "Connect's status could not be read; nothing is remembered".to_owned(),
        count => format!("Connect's status could not be read; {count} remembered"),
    }
}

/// Nothing to tell. `status` looks from between two runs, and tells anyway.
fn is_healthy(report: &RunReport, plan: &Plan) -> bool {
    plan.lines.is_empty()
        && report.warnings().next().is_none()
        && report.failure.is_none()
        && !matches!(report.view, Some(View::Before(_) | View::After(_)))
}

fn healthy(text: &mut String, cluster: &str, connectors: &Counts, tasks: &Counts) {
    let paused = connectors.paused.saturating_add(connectors.stopped);
    let aside = if paused > 0 { format!(" ({paused} paused or stopped)") } else { String::new() };
    let _ = writeln!(
        text,
        "{}: {GREEN}nothing failed{GREEN:#}: {}{aside}, {}",
        sanitize(cluster),
        number(connectors.total, "connector"),
        number(tasks.total, "task")
    );
}

fn header(text: &mut String, report: &RunReport, about: &About, plan: &Plan) {
    let _ = write!(text, "{BOLD}{}{BOLD:#}", sanitize(&about.cluster));
    if !about.url.is_empty() {
        let _ = write!(text, "{GAP}{}", sanitize(&about.url));
    }
    let _ = match report.view {
        Some(View::Run(run)) => write!(text, "{GAP}run {run}"),
        Some(View::Before(next)) => write!(text, "{GAP}after run {}", next.saturating_sub(1)),
        Some(View::After(run)) => write!(text, "{GAP}after run {run}"),
        None => Ok(()),
    };
    if about.dry_run {
        text.push_str("  dry run: nothing is sent or written");
    }
    text.push('\n');
    if let Some(state) = &about.state {
        let _ = writeln!(text, "state {}", sanitize(state));
    }
    if let Some((connectors, tasks)) = &plan.counts {
        let _ = writeln!(text, "{}\n{}", counted("connector", connectors), counted("task", tasks));
    }
}

fn counted(what: &str, counts: &Counts) -> String {
    let there = counts.by_state().into_iter().filter(|(_, count)| *count > 0);
    let parts: Vec<String> = there.map(|(state, count)| format!("{count} {state}")).collect();
    let parts = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    format!("{}{parts}", number(counts.total, what))
}

fn number(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

const HEADINGS: [&str; 7] = ["CONNECTOR", "TASK", "STATE", "ACTION", "ATTEMPTS", "NEXT", "ROOT CAUSE"];

fn table(text: &mut String, rows: &[Row<'_>], count: usize, now: Timestamp, width: Option<usize>) {
    let shown: Vec<(Style, [String; 7])> =
        rows.iter().map(|row| (style(row.line.action), cells(row, now))).collect();
    let mut widths = HEADINGS.map(UnicodeWidthStr::width);
    for (_, cells) in &shown {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.as_str().width());
        }
    }
    // The last column takes what the terminal leaves.
    if let ([before @ .., last], Some(width)) = (&mut widths, width) {
        let taken =
            before.iter().fold(0_usize, |sum, width| sum.saturating_add(*width).saturating_add(GAP.len()));
        *last = width.saturating_sub(taken).max(NARROWEST_CAUSE);
    }
    row(text, BOLD, &HEADINGS.map(str::to_owned), &widths, width.is_some());
    for (style, cells) in &shown {
        row(text, *style, cells, &widths, width.is_some());
    }
    let more = count.saturating_sub(rows.len());
    if more > 0 {
        let _ = writeln!(text, "{DIM}and {more} more (--output json shows all){DIM:#}");
    }
}

fn row(text: &mut String, style: Style, cells: &[String; 7], widths: &[usize; 7], cut: bool) {
    let mut line = String::new();
    for (number, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let last = number.saturating_add(1) == cells.len();
        let cell = if last && cut { fit(cell, *width) } else { cell.clone() };
        // Only what was done is coloured: the rest must stay readable anywhere.
        if number == 3 || style == BOLD {
            let _ = write!(line, "{style}{cell}{style:#}");
        } else {
            line.push_str(&cell);
        }
        if !last {
            let padding = width.saturating_sub(cell.as_str().width()).saturating_add(GAP.len());
            line.extend(std::iter::repeat_n(' ', padding));
        }
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

/// What does not fit loses the packages of its classes, then its middle: what to do stands at the end.
fn fit(cell: &str, width: usize) -> String {
    if cell.width() <= width {
        return cell.to_owned();
    }
    let cell = cell.split(BESIDE).map(without_package).collect::<Vec<_>>().join(BESIDE);
    if cell.as_str().width() <= width {
        return cell;
    }
    let left = width.saturating_sub(1);
    let head = within(cell.chars(), left / 2);
    let tail: Vec<char> = within(cell.chars().rev(), left.saturating_sub(left / 2)).collect();
    head.chain(['…']).chain(tail.into_iter().rev()).collect()
}

/// As many characters as are together at most so wide.
fn within(chars: impl Iterator<Item = char>, width: usize) -> impl Iterator<Item = char> {
    let mut taken = 0_usize;
    chars.take_while(move |c| {
        taken = taken.saturating_add(c.width().unwrap_or_default());
        taken <= width
    })
}

fn cells(row: &Row<'_>, now: Timestamp) -> [String; 7] {
    let line = row.line;
    let attempts = match (line.action, row.limit) {
        (Action::InTransition | Action::NoTasks | Action::Parked, _) if row.attempts == 0 => String::new(),
        (_, Some(limit)) => format!("{}/{limit}", row.attempts),
        (_, None) => row.attempts.to_string(),
    };
    let text = |cause: &Option<Arc<Cause>>| cause.as_ref().map(|cause| sanitize(&cause.text).into_owned());
    let first = text(&row.first_cause).map(|first| format!("first: {first}"));
    let shown = |text: &Option<Arc<str>>| text.as_deref().map(|text| sanitize(text).into_owned());
    let why: Vec<String> =
        [shown(&line.error), shown(&line.reason), text(&line.cause), first].into_iter().flatten().collect();
    let why = why.join(BESIDE);
    [
        show_name(&line.id.connector).into_owned(),
        line.id.task.map_or_else(String::new, |task| task.to_string()),
        line.state.as_ref().map_or("-", |state| state.as_str()).to_owned(),
        words(line.action).to_owned(),
        attempts,
        next(row, now),
        why,
    ]
}

fn words(action: Action) -> &'static str {
    match action {
        Action::Failed => "restart failed",
        Action::Unknown => "fate unknown",
        Action::GaveUp => "gave up",
        Action::NoTasks => "no tasks",
        Action::InTransition => "in transition",
        other => other.as_str(),
    }
}

fn style(action: Action) -> Style {
    match action {
        Action::Failed | Action::Unknown | Action::GaveUp | Action::NoTasks => RED,
        Action::Recovered => GREEN,
        Action::Excluded | Action::Parked | Action::Absent => DIM,
        _ => YELLOW,
    }
}

fn next(row: &Row<'_>, now: Timestamp) -> String {
    let when = |next: Next| match next {
        Next::Runs(0) => "now".to_owned(),
        Next::Runs(1) => "next run".to_owned(),
        Next::Runs(runs) => format!("in {runs} runs"),
        Next::At(moment) => clock(moment, now),
    };
    match (row.line.action, row.next, row.forgiven) {
        (_, Some(next), _) => when(next),
        (Action::Recovered, None, Some(forgiven)) => format!("forgiven: {}", when(forgiven)),
        (Action::GaveUp | Action::Failed | Action::Unknown, None, _) => "needs you".to_owned(),
        (Action::Restarted, None, _) => "last restart".to_owned(),
        _ => "-".to_owned(),
    }
}

/// The time of day, within a day; else the whole date.
fn clock(moment: Timestamp, now: Timestamp) -> String {
    let whole = moment.to_string();
    let soon = moment.since(now).as_secs() < 24 * 60 * 60;
    match whole.split_once('T') {
        Some((_, time)) if soon => format!("at {time}"),
        _ => format!("at {whole}"),
    }
}

fn summary(plan: &Plan, dry_run: bool) -> String {
    let counts = plan.summary();
    let parts: Vec<String> = counts
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(action, count)| match action {
            Action::Due if dry_run => format!("{count} would be restarted"),
            Action::GaveUp => format!("{count} gave up (fix the cause, then: guardian reset NAME)"),
            action => format!("{count} {}", words(action)),
        })
        .collect();
    if parts.is_empty() { "nothing failed".to_owned() } else { parts.join(", ") }
}
