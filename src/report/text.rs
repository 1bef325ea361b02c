//! The table for a person: what is broken and why, what was done, what comes
//! next; what needs the reader first. Colours are styles in the text, which the
//! printer drops where there is no terminal.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{About, RunReport};
use crate::decide::action::Action;
use crate::decide::advice::Advice;
use crate::decide::cause::{Cause, without_package};
use crate::decide::model::{Counts, InstanceId};
use crate::decide::plan::{Line, Plan};
use crate::decide::policy::Next;
use crate::decide::row::{GroupRow, Row, View};
use crate::decide::shared::SharedStr;
use crate::decide::text::{sanitize, show_name};
use crate::decide::time::Timestamp;

/// Two screenfuls; `--full` and the JSON have all.
const MOST_ROWS: usize = 40;
/// Of two lines each: a screenful.
const MOST_GROUPS: usize = 10;
/// So many members of a group have rows of their own, because what went wrong with their restarts is no matter of the group.
const MOST_MEMBERS: usize = 3;
/// A cause that has less room than this in its row stands beneath it.
const NARROWEST_CAUSE: usize = 40;
/// Names are not squeezed below this: one that is longer has a line of its own.
const NARROWEST_NAME: usize = 12;
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
        held(&mut text, report);
        return text;
    }
    header(&mut text, report, about, plan);
    if !plan.lines.is_empty() {
        text.push('\n');
        table(&mut text, report, about, plan, width);
    }
    for warning in report.warnings() {
        let _ = writeln!(text, "{YELLOW}warning:{YELLOW:#} {}", sanitize(warning));
    }
    held(&mut text, report);
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

fn held(text: &mut String, report: &RunReport) {
    for hold in report.holds() {
        let _ = writeln!(text, "{YELLOW}held:{YELLOW:#} {}", sanitize(&hold.to_string()));
    }
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

fn table(text: &mut String, report: &RunReport, about: &About, plan: &Plan, width: Option<usize>) {
    let (groups, now) = (report.groups(), about.started_at);
    let mut lines = plan.for_a_reader(&report.ledger);
    let (mut many, mut most) = (Vec::new(), usize::MAX);
    if !about.full {
        most = MOST_ROWS;
        let mut shown: Vec<&GroupRow<'_>> = groups.iter().collect();
        shown.sort_by_key(|group| (needs_no_person(group), Reverse(group.group.connectors)));
        lines = standing_alone(lines, &shown);
        many.extend(shown.iter().map(|group| of_group(report, group, &lines, now)));
        let alike = take_alike(&mut lines, about.policy.group_from());
        many.extend(alike.iter().map(|alike| of_alike(report, alike, now)));
    }
    let of_lines = lines.iter().take(most).filter_map(|line| report.row(line, &groups));
    let mut rows: Vec<Shown> = of_lines.map(|row| of_instance(&row, now)).collect();
    let more = [
        (lines.len().saturating_sub(rows.len()), ""),
        (many.len().saturating_sub(MOST_GROUPS), " that stand for many"),
    ];
    rows.extend(many.into_iter().take(MOST_GROUPS));
    let mut widths = HEADINGS.map(UnicodeWidthStr::width);
    for shown in &rows {
        for (width, cell) in widths.iter_mut().zip(&shown.cells) {
            *width = (*width).max(cell.as_str().width());
        }
    }
    let narrow = width.is_some_and(|width| squeeze(&mut widths, width));
    let mut headings = HEADINGS.map(str::to_owned);
    if let ([.., last], true) = (&mut headings, narrow) {
        last.clear();
    }
    row(text, BOLD, &headings, &widths, width.is_some());
    for shown in &mut rows {
        // Of two lines one is wide enough for it.
        if let ([.., last], [.., left]) = (&mut shown.cells, &widths)
            && !last.is_empty()
            && (narrow || (width.is_some() && shown.stands_for_many && last.as_str().width() > *left))
        {
            shown.beneath.insert(0, (GAP.to_owned(), std::mem::take(last)));
        }
        row(text, style(shown.action), &shown.cells, &widths, width.is_some());
        for (before, told) in &shown.beneath {
            let left = width.map(|width| width.saturating_sub(before.as_str().width()).max(NARROWEST_CAUSE));
            let told = left.map_or_else(|| told.clone(), |left| fit(told, left));
            let _ = writeln!(text, "{before}{told}");
        }
    }
    for (more, what) in more.into_iter().filter(|(more, _)| *more > 0) {
        let _ = writeln!(text, "{DIM}and {more} more{what} (--full shows every instance){DIM:#}");
    }
}

/// The last column takes what the terminal leaves. Where that is too little it gets nothing, and the first one what the
/// others leave; whether that is so.
fn squeeze(widths: &mut [usize; 7], width: usize) -> bool {
    let [names, others @ .., last] = widths;
    let others =
        others.iter().fold(0_usize, |sum, width| sum.saturating_add(GAP.len()).saturating_add(*width));
    let taken = names.saturating_add(others).saturating_add(GAP.len());
    *last = width.saturating_sub(taken);
    let narrow = *last < NARROWEST_CAUSE;
    if narrow {
        *last = 0;
        *names = (*names).min(width.saturating_sub(others).max(NARROWEST_NAME));
    }
    narrow
}

/// What comes first among the groups.
fn needs_no_person(group: &GroupRow<'_>) -> bool {
    group.next.is_some() && group.group.cause.advice != Advice::NeedsPerson
}

/// The lines that have rows of their own: what belongs to no group, and a few members of each group of which the group's row
/// cannot tell why their restarts went wrong.
fn standing_alone<'a>(mut lines: Vec<&'a Line>, groups: &[&GroupRow<'_>]) -> Vec<&'a Line> {
    let mut members = BTreeMap::new();
    lines.retain(|line| {
        let Some(group) = groups.iter().find(|group| group.has(line)) else { return true };
        let went_wrong = matches!(line.action, Action::Failed | Action::Unknown) || line.incomplete;
        let before = members.entry(group.group.cause.key).or_insert(0_usize);
        let shown = went_wrong && *before < MOST_MEMBERS;
        *before = before.saturating_add(usize::from(shown));
        shown
    });
    lines
}

/// Takes out what came to the same for one cause in enough connectors, and asks for nothing to be read one by one.
fn take_alike<'a>(lines: &mut Vec<&'a Line>, least: Option<usize>) -> Vec<Vec<&'a Line>> {
    let Some(least) = least else { return Vec::new() };
    let alike = |line: &Line| {
        let key = line.cause.as_ref().map(|cause| cause.key);
        let needs_no_trace = line.action == Action::InTransition;
        let asks_for_nothing = matches!(
            line.action,
            Action::GaveUp
                | Action::Waiting
                | Action::Absent
                | Action::Held
                | Action::Excluded
                | Action::Parked
                | Action::Recovered
        );
        (needs_no_trace || (asks_for_nothing && key.is_some())).then_some((line.action, key))
    };
    let mut by_kind: BTreeMap<_, Vec<&Line>> = BTreeMap::new();
    for line in lines.iter() {
        if let Some(kind) = alike(line) {
            by_kind.entry(kind).or_default().push(line);
        }
    }
    let connectors =
        |lines: &[&Line]| lines.iter().map(|line| &line.id.connector).collect::<BTreeSet<_>>().len();
    by_kind.retain(|_, lines| connectors(lines) >= least);
    lines.retain(|line| alike(line).is_none_or(|kind| !by_kind.contains_key(&kind)));
    by_kind.into_values().collect()
}

/// One row of the table.
struct Shown {
    action: Action,
    cells: [String; 7],
    stands_for_many: bool,
    /// Further lines; of each what stands before it, and what may be cut.
    beneath: Vec<(String, String)>,
}

fn row(text: &mut String, style: Style, cells: &[String; 7], widths: &[usize; 7], cut: bool) {
    let mut line = String::new();
    for (number, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let last = number.saturating_add(1) == cells.len();
        if number == 0 && cell.as_str().width() > *width {
            let _ = writeln!(text, "{cell}");
            line.extend(std::iter::repeat_n(' ', width.saturating_add(GAP.len())));
            continue;
        }
        let cell = if last && cut { fit(cell, *width) } else { cell.clone() };
        // Only what was done is coloured: the rest must stay readable anywhere.
        if !cell.is_empty() && (number == 3 || style == BOLD) {
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

fn of_instance(row: &Row<'_>, now: Timestamp) -> Shown {
    let line = row.line;
    let attempts = match (line.action, row.limit) {
        (Action::InTransition | Action::NoTasks | Action::Parked, _) if row.attempts == 0 => String::new(),
        (_, limit) => of_limit(row.attempts.to_string(), limit),
    };
    let text = |cause: &Option<Arc<Cause>>| cause.as_ref().map(|cause| sanitize(&cause.text).into_owned());
    let first = text(&row.first_cause).map(|first| format!("first: {first}"));
    let shown = |text: &Option<SharedStr>| text.as_deref().map(|text| sanitize(text).into_owned());
    let why: Vec<String> =
        [shown(&line.error), shown(&line.reason), text(&line.cause), first].into_iter().flatten().collect();
    let cells = [
        show_name(&line.id.connector).into_owned(),
        line.id.task.map_or_else(String::new, |task| task.to_string()),
        line.state.as_ref().map_or("-", |state| state.as_str()).to_owned(),
        words(line.action).to_owned(),
        attempts,
        next(row, now),
        why.join(BESIDE),
    ];
    Shown { action: line.action, cells, stands_for_many: false, beneath: Vec::new() }
}

/// A group is one row; of the members that have rows of their own it counts only that they are there.
fn of_group(report: &RunReport, group: &GroupRow<'_>, alone: &[&Line], now: Timestamp) -> Shown {
    let mut counts: BTreeMap<Action, usize> = BTreeMap::new();
    let alone: Vec<&InstanceId> = alone.iter().filter(|line| group.has(line)).map(|line| &line.id).collect();
    for line in group.lines.iter().filter(|line| !alone.contains(&&line.id)) {
        let count = counts.entry(line.action).or_default();
        *count = count.saturating_add(1);
    }
    let (action, count) = counts.into_iter().next().unwrap_or((Action::Waiting, 0));
    let done = match words(action) {
        word if count == group.lines.len() => word.to_owned(),
        word => format!("{count} {word}"),
    };
    let next = match (group.next, action) {
        (Some(next), _) => when(next, now),
        (None, action) => nothing_comes(action).to_owned(),
    };
    of_many(report, &group.lines, action, [done, next, group.fate()], now)
}

/// So is what came to the same.
fn of_alike(report: &RunReport, lines: &[&Line], now: Timestamp) -> Shown {
    let action = lines.first().map_or(Action::Waiting, |line| line.action);
    let mut all = lines.iter().filter_map(|line| report.row(line, &[])).map(|row| next(&row, now));
    let next = all.next().filter(|first| all.all(|other| other == *first)).unwrap_or_else(|| "-".to_owned());
    of_many(report, lines, action, [words(action).to_owned(), next, String::new()], now)
}

fn of_many(
    report: &RunReport,
    lines: &[&Line],
    action: Action,
    [done, next, fate]: [String; 3],
    now: Timestamp,
) -> Shown {
    // Made anew for each question: in a big outage they are more than what is remembered.
    let rows = || lines.iter().filter_map(|line| report.row(line, &[]));
    let connectors: BTreeSet<&str> = lines.iter().map(|line| &*line.id.connector).collect();
    let tasks = lines.iter().filter(|line| line.id.task.is_some()).count();
    let mut states: Vec<&str> =
        lines.iter().map(|line| line.state.as_ref().map_or("-", |state| state.as_str())).collect();
    states.dedup();
    let attempts = || rows().map(|row| row.attempts);
    let attempts = match (attempts().min().unwrap_or_default(), attempts().max().unwrap_or_default()) {
        (fewest, most) if fewest == most => most.to_string(),
        (fewest, most) => format!("{fewest}-{most}"),
    };
    let since = rows().filter_map(|row| row.first_failed_at).min();
    let since = since.map(|since| format!("since {}", clock(since, now)));
    let cause = lines.iter().find_map(|line| line.cause.as_ref());
    let no_help = cause.is_some_and(|cause| cause.advice == Advice::NeedsPerson && action.is_failed_now());
    let before = since.into_iter().chain(no_help.then(|| "no restart fixes this".to_owned()));
    let before = match before.collect::<Vec<_>>().join(", ") {
        before if before.is_empty() => GAP.to_owned(),
        before => format!("{GAP}{before}: "),
    };
    let cells = [
        format!("{} connectors", connectors.len()),
        if tasks > 0 { tasks.to_string() } else { String::new() },
        if let [one] = &*states { (*one).to_owned() } else { "FAILED".to_owned() },
        done,
        of_limit(attempts, rows().filter_map(|row| row.limit).max()),
        next,
        fate,
    ];
    let cause = cause.map(|cause| (before, sanitize(&cause.text).into_owned()));
    Shown { action, cells, stands_for_many: true, beneath: cause.into_iter().collect() }
}

fn of_limit(attempts: String, limit: Option<u32>) -> String {
    match limit {
        Some(limit) => format!("{attempts}/{limit}"),
        None => attempts,
    }
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
        Action::Held | Action::Excluded | Action::Parked | Action::Absent => DIM,
        _ => YELLOW,
    }
}

fn next(row: &Row<'_>, now: Timestamp) -> String {
    match (row.line.action, row.next, row.forgiven) {
        (_, Some(next), _) => when(next, now),
        (Action::Recovered, None, Some(forgiven)) => format!("forgiven: {}", when(forgiven, now)),
        (action, None, _) => nothing_comes(action).to_owned(),
    }
}

fn nothing_comes(action: Action) -> &'static str {
    match action {
        Action::GaveUp | Action::Failed | Action::Unknown => "needs you",
        Action::Restarted => "last restart",
        _ => "-",
    }
}

fn when(next: Next, now: Timestamp) -> String {
    match next {
        Next::Runs(0) => "now".to_owned(),
        Next::Runs(1) => "next run".to_owned(),
        Next::Runs(runs) => format!("in {runs} runs"),
        Next::At(moment) => format!("at {}", clock(moment, now)),
    }
}

/// The time of day, within a day; else the whole date.
fn clock(moment: Timestamp, now: Timestamp) -> String {
    let whole = moment.to_string();
    let near = moment.since(now).max(now.since(moment)).as_secs() < 24 * 60 * 60;
    match whole.split_once('T') {
        Some((_, time)) if near => time.to_owned(),
        _ => whole,
    }
}

fn summary(plan: &Plan, dry_run: bool) -> String {
    let counts = plan.summary();
    let parts: Vec<String> = counts
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(action, count)| match action {
            Action::Due if dry_run => format!("{count} would be restarted"),
            Action::GaveUp => format!("{count} gave up (fix the cause, then: guardian retry NAME)"),
            action => format!("{count} {}", words(action)),
        })
        .collect();
    if parts.is_empty() { "nothing failed".to_owned() } else { parts.join(", ") }
}
