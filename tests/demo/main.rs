//! The newcomer's first look: a stand-in for Kafka Connect with a few failing
//! connectors, and the real program run against it a number of times, as cron
//! would. It needs nothing but this repository: the example is the program too,
//! when it is started with `AS_GUARDIAN` set. It must not show anything that
//! the program did not print.

#![allow(
    clippy::pedantic,
    unreachable_pub,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    reason = "the stand-in is test code, and the demo talks to a person"
)]

#[path = "../sim/mod.rs"]
mod sim;

use std::path::Path;
use std::process::{Command, ExitCode};

use sim::{Connect, Failure, Profile};

/// Set for the processes that are guardian.
const AS_GUARDIAN: &str = "DEMO_AS_GUARDIAN";

fn main() -> ExitCode {
    if std::env::var_os(AS_GUARDIAN).is_some() {
        return connector_guardian::main(std::env::args_os().collect(), std::env::vars_os());
    }
    let connect = failing_cluster();
    let folder = std::env::temp_dir().join(format!("guardian-demo-{}", std::process::id()));
    let state = folder.join("state.json");
    println!("A stand-in for Kafka Connect listens on {}.", connect.url());
    println!("guardian runs against it as cron would, with EXPONENTIAL_RATIO=2 and MAX_RESTART=2.");

    tell("orders-sink/1 and clicks-sink have just failed; audit-source is paused, with a failed task.");
    guardian(&connect, &state, &["run", "--once"]);
    tell("Five minutes later: orders-sink/1 is well again. clicks-sink is not; its next restart is not due.");
    guardian(&connect, &state, &["run", "--once"]);
    tell("Every run waits longer. The second restart does not help either: clicks-sink is left to a person.");
    guardian(&connect, &state, &["run", "--once", "--quiet"]);
    guardian(&connect, &state, &["run", "--once", "--quiet"]);
    tell("The person repairs the database, and restarts what had been given up:");
    connect.heal("clicks-sink", None);
    guardian(&connect, &state, &["retry", "clicks-sink"]);

    tell("Now an outage: a database is away, and twelve connectors fail for it at once. One is tried.");
    for name in of_crm() {
        connect.fail_all_tasks(&name, &Failure::always().caused_by(REFUSED));
    }
    guardian(&connect, &state, &["run", "--once"]);
    tell("It failed again, so all of them rest. Nobody's restarts are used up:");
    guardian(&connect, &state, &["status"]);
    tell("The database is back. One is tried again, and the others follow as soon as it runs:");
    for name in of_crm() {
        (0..2).for_each(|task| connect.heal(&name, Some(task)));
    }
    while connect.restarts().len() < 8 {
        guardian(&connect, &state, &["run", "--once", "--quiet"]);
    }
    guardian(&connect, &state, &["run", "--once"]);

    println!("\nConnect was asked for {} restarts in all.", connect.restarts().len());
    let _ = std::fs::remove_dir_all(folder);
    ExitCode::SUCCESS
}

const REFUSED: &str = "java.net.ConnectException: Connection refused (crm-db:5432)";

/// The connectors that read from one database.
fn of_crm() -> impl Iterator<Item = String> {
    (1..=12).map(|number| format!("crm-{number:02}"))
}

/// One healthy connector, one whose task heals with its first restart, one that never heals by itself, one that somebody
/// has paused, and twelve whose database will go away.
fn failing_cluster() -> Connect {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("users-source").tasks(2);
    connect.connector("orders-sink").tasks(3);
    connect.connector("clicks-sink").tasks(1);
    connect.connector("audit-source").tasks(1);
    of_crm().for_each(|name| {
        connect.connector(&name).tasks(2);
    });
    let timeout = Failure::healing_after(1).caused_by("java.net.SocketTimeoutException: Read timed out");
    connect.fail_task("orders-sink", 1, timeout);
    let database =
        "java.sql.SQLException: password authentication failed for jdbc:postgresql://app:hunter2@db/clicks";
    connect.fail_connector("clicks-sink", Failure::always().caused_by(database));
    connect.fail_task(
        "audit-source",
        0,
        Failure::always().caused_by("java.io.IOException: No space left on device"),
    );
    connect.pause("audit-source");
    connect
}

fn tell(text: &str) {
    println!("\n== {text}");
}

fn guardian(connect: &Connect, state: &Path, arguments: &[&str]) {
    println!("$ guardian {}", arguments.join(" "));
    let program = std::env::current_exe().expect("this program has a path");
    let status = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(
            std::env::vars_os().filter(|(name, _)| name == "TERM" || name == "NO_COLOR" || name == "COLUMNS"),
        )
        .env(AS_GUARDIAN, "1")
        .env("KAFKA_CONNECT_URL", connect.url())
        .env("GUARDIAN_CLUSTER", "demo")
        .env("GUARDIAN_STATE", state)
        .env("GUARDIAN_SETTLE", "0s")
        .env("EXPONENTIAL_RATIO", "2")
        .env("MAX_RESTART", "2")
        .env("GUARDIAN_WATCH", "1s")
        .env("LOG_LEVEL", "warn")
        .status()
        .expect("the program starts");
    assert!(status.success(), "guardian exited with {status}");
}
