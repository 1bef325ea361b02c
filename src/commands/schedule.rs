//! `guardian schedule`: the timetable that the present settings give, so that
//! nobody has to compute powers at night. It reads and sends nothing.

use std::time::Duration;

use serde::Serialize;

use super::print;
use crate::cli::Command;
use crate::config::{Config, Output};
use crate::decide::policy::{Policy, Wait};
use crate::exit::Exit;
use crate::report::json;

/// The usual schedule of cron and CronJob.
const EVERY: Duration = Duration::from_secs(5 * 60);
/// More rows help nobody.
const MOST_ROWS: usize = 20;

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Entry {
    attempt: u32,
    /// Runs since the one that first saw the failure.
    run: u64,
    seconds: u64,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u8,
    command: &'static str,
    ok: bool,
    every_seconds: u64,
    max_restart: Option<u32>,
    timetable: &'a [Entry],
    gives_up: Option<&'a Entry>,
    error: Option<()>,
}

/// Prints the timetable.
pub fn schedule(config: &Config) -> Exit {
    let every = config.run.every.unwrap_or(EVERY);
    let mut rows = timetable(&config.policy, every, MOST_ROWS);
    let gives_up = config.policy.limit().and_then(|limit| {
        let after = rows.pop_if(|row| row.attempt > limit)?;
        // It is given up by the first run that sees it failed after the last restart.
        let run = rows.last().map_or(after.run, |last| last.run.saturating_add(1));
        Some(Entry { attempt: limit, run, seconds: seconds(run, every) })
    });
    match config.reporting.output {
        Output::Json => print(Exit::Done, |stdout| {
            let document = Document {
                schema: json::SCHEMA,
                command: Command::Schedule.as_str(),
                ok: true,
                every_seconds: every.as_secs(),
                max_restart: config.policy.limit(),
                timetable: &rows,
                gives_up: gives_up.as_ref(),
                error: None,
            };
            json::finish(stdout, &document)
        }),
        Output::Text => {
            let text = text(&config.policy, every, &rows, gives_up.as_ref());
            print(Exit::Done, |stdout| stdout.write_all(text.as_bytes()))
        }
    }
}

/// The first `most` restarts of an instance that never recovers, and, when the last allowed one is among them, an entry for
/// the run after it.
fn timetable(policy: &Policy, every: Duration, most: usize) -> Vec<Entry> {
    let last = policy.limit().map_or(u32::MAX, |limit| limit.saturating_add(1));
    let mut run = 0_u64;
    let mut rows = Vec::new();
    for attempt in 1..=last {
        if rows.len() > most {
            break;
        }
        rows.push(Entry { attempt, run, seconds: seconds(run, every) });
        run = run.saturating_add(runs_until_due(policy, attempt, every));
    }
    let behind_the_last = |row: &Entry| policy.limit().is_some_and(|limit| row.attempt > limit);
    if !rows.last().is_some_and(behind_the_last) {
        rows.truncate(most);
    }
    rows
}

/// How many runs after the attempt number `attempt` the next one comes.
fn runs_until_due(policy: &Policy, attempt: u32, every: Duration) -> u64 {
    let waited = match policy.wait(attempt) {
        Wait::Runs(runs) => runs,
        Wait::Time(wait) => runs_in(wait.saturating_sub(policy.tolerance()), every),
    };
    waited.max(runs_in(policy.settle, every)).max(1)
}

fn runs_in(wait: Duration, every: Duration) -> u64 {
    let runs = wait.as_millis().div_ceil(every.as_millis().max(1));
    u64::try_from(runs).unwrap_or(u64::MAX)
}

fn seconds(run: u64, every: Duration) -> u64 {
    let millis = every.as_millis().saturating_mul(u128::from(run)).div_euclid(1000);
    u64::try_from(millis).unwrap_or(u64::MAX)
}

fn text(policy: &Policy, every: Duration, rows: &[Entry], gives_up: Option<&Entry>) -> String {
    use std::fmt::Write;
    let mut text =
        format!("a run every {}\n\nATTEMPT  RUN  SINCE THE FAILURE\n", humantime::format_duration(every));
    for row in rows {
        let _ = writeln!(text, "{:<7}  {:<3}  {}", row.attempt, row.run, since(row.seconds));
    }
    text.push('\n');
    let _ = match (gives_up, policy.limit()) {
        (Some(row), _) => writeln!(
            text,
            "gives up at run {} ({} after the failure) if the {} restarts did not help",
            row.run,
            since(row.seconds),
            row.attempt
        ),
        (None, Some(limit)) => writeln!(text, "and so on, up to {limit} restarts; then it gives up"),
        (None, None) => writeln!(text, "and so on: it never gives up"),
    };
    text
}

fn since(seconds: u64) -> String {
    if seconds == 0 {
        "at once".to_owned()
    } else {
        humantime::format_duration(Duration::from_secs(seconds)).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::policy::Pace;
    use crate::decide::policy::tests::doubling;

    fn policy() -> Policy {
        Policy { settle: Duration::from_secs(30), ..doubling() }
    }

    fn runs(policy: &Policy) -> Vec<u64> {
        timetable(policy, EVERY, MOST_ROWS).iter().map(|row| row.run).collect()
    }

    #[test]
    fn the_timetable_follows_the_settings() {
        assert_eq!(runs(&policy())[..7], [0, 2, 6, 14, 30, 62, 126]);
        assert_eq!(runs(&Policy { ratio: 1, ..policy() })[..7], [0, 1, 2, 3, 4, 5, 6]);
        let clock = Pace::Clock { step: EVERY, cap: Some(EVERY * 10) };
        assert_eq!(runs(&Policy { pace: clock, ..policy() })[..7], [0, 2, 6, 14, 24, 34, 44]);
        assert_eq!(runs(&Policy { settle: EVERY * 3, ..policy() })[..3], [0, 3, 7]);
        assert_eq!(runs(&Policy { backoff: false, ..policy() }).len(), MOST_ROWS);
    }

    #[test]
    fn the_end_is_shown_when_all_restarts_are() {
        for (limit, rows) in [(1, 2), (19, 20), (20, 21), (21, 20), (u32::MAX, 20)] {
            let policy = Policy { max_restart: Some(limit), ..policy() };
            let entries = timetable(&policy, EVERY, MOST_ROWS);
            assert_eq!(entries.len(), rows, "{limit}");
            assert_eq!(entries.last().unwrap().attempt > limit, limit <= 20, "{limit}");
        }
    }

    #[test]
    fn huge_settings_neither_overflow_nor_print_for_ever() {
        let huge = Policy { ratio: u64::MAX, max_restart: Some(u32::MAX), ..policy() };
        assert_eq!(timetable(&huge, Duration::MAX, MOST_ROWS).len(), MOST_ROWS);
        assert!(!text(&huge, EVERY, &timetable(&huge, EVERY, MOST_ROWS), None).is_empty());
    }
}
