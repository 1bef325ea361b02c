//! The table of what passed: scenario by version, with the Java that ran it.
//!
//! The test harness has no last word of its own, so the last test of all (by name) prints the table once
//! every other one that was asked for has ended. Output goes past the harness's capture, because a table that
//! only shows on failure is none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::{jars, jvm, wait};

type Outcomes = BTreeMap<&'static str, BTreeMap<&'static str, String>>;

static OUTCOMES: Mutex<Outcomes> = Mutex::new(BTreeMap::new());

pub fn enter(scenario: &'static str, version: &'static str, outcome: String) {
    let mut outcomes = OUTCOMES.lock().unwrap_or_else(PoisonError::into_inner);
    outcomes.entry(scenario).or_default().insert(version, outcome);
}

/// Named to come after all scenarios in the harness's alphabetical order.
#[test]
#[ignore = "prints what the others found: run with --ignored"]
fn of_what_was_tested() {
    let asked_for = scenarios_asked_for();
    // In their order, so what is still to come now is only what other threads have under way.
    wait::until_within(Duration::from_secs(600), "the other tests to end", || {
        let outcomes = OUTCOMES.lock().unwrap_or_else(PoisonError::into_inner);
        let ended: usize = outcomes.values().map(BTreeMap::len).sum();
        if ended == asked_for { Ok(()) } else { Err(format!("{ended} of {asked_for}")) }
    });
    let outcomes = OUTCOMES.lock().unwrap_or_else(PoisonError::into_inner);
    let table = render(&outcomes);
    let _ = std::io::stderr().write_all(table.as_bytes());
}

/// How many scenarios this very command line selects: the harness itself is asked.
fn scenarios_asked_for() -> usize {
    let this = std::env::current_exe().expect("the path of the tests' program");
    let output =
        Command::new(this).args(std::env::args_os().skip(1)).arg("--list").output().expect("list the tests");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| line.starts_with("scenarios::") && line.ends_with(": test"))
        .count()
}

fn render(of: &Outcomes) -> String {
    let tested: BTreeSet<&str> = of.values().flat_map(|row| row.keys().copied()).collect();
    let columns: Vec<&str> =
        jars::ALL.iter().map(|version| version.number).filter(|number| tested.contains(number)).collect();
    let widest = of.keys().map(|name| name.len()).max().unwrap_or(0);
    let mut table = format!(
        "\nConnect workers on Java {}, one broker {}\n\n| {:widest$} |",
        jvm::java_version(),
        jars::BROKER,
        "scenario"
    );
    for column in &columns {
        let _ = write!(table, " {column:>7} |");
    }
    let _ = write!(table, "\n| {:-<widest$} |", "");
    for _ in &columns {
        table.push_str(" ------: |");
    }
    for (scenario, row) in of {
        let _ = write!(table, "\n| {scenario:widest$} |");
        for column in &columns {
            let _ = write!(table, " {:>7} |", row.get(column).map_or("-", String::as_str));
        }
    }
    table.push_str("\n\n");
    table
}
