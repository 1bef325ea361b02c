//! `guardian` brings failed Kafka Connect connectors and tasks back, and knows when to stop trying. One invocation reads the
//! cluster's status once, decides, restarts what is due, remembers, reports, and exits.
//!
//! # Architecture
//!
//! The deciding half is pure and lives in [`decide`]: a listing and a ledger go in, a plan comes out, as a value. The other
//! folders are the shell around it. An arrow is "may name"; no two files import each other.
//!
//! ```text
//! main -> commands -> { config, decide, connect, store, report, tell }
//! connect, store, report, tell -> decide (its types), http, exit
//! decide -> nothing
//! ```
//!
//! A run is this story, told in [`commands::run`]:
//!
//! ```text
//! settings -> lock state -> load ledger -> GET /connectors?expand=status -> observe -> plan
//!          -> charge -> save -> restart -> record -> save -> report -> tell -> save -> exit
//! ```
//!
//! Attempts are charged before the first request goes out, so that whatever kills guardian, an instance never gets more
//! restarts than it may have.
//!
//! # Vocabulary
//!
//! - **Instance**: a connector's own instance, or one of its tasks (the word of KIP-745).
//! - **Run**: one `guardian run` that read the cluster's status. Runs are numbered; `status` and `--dry-run` count none.
//! - **Retry**: a restart of what a person names, now. To everything else it is no run.
//! - **Episode**: from the first time that an instance is seen failed until it is forgiven, reset, or gone for long enough.
//! - **Attempt**: a restart request that Connect took, or whose fate is unknown.
//! - **Charge**: to count an attempt before its request goes out. **Refund**: to take back one that Connect surely did not
//!   take.
//! - **Ledger**: what is remembered between runs: a record for each instance in an episode or in transition.
//! - **Plan**: what one run will do; one line for each instance that is not simply healthy.
//! - **Due**: its restart is to be sent in this run. **Waiting**: not yet. **Deferred**: due, but not in this run.
//! - **In transition**: `UNASSIGNED`, `RESTARTING` or a state that is not known: neither healthy nor failed.
//! - **Parked**: failed within a connector that somebody paused or stopped.
//! - **Settle**: the time after an attempt in which Connect may still show the old state (`--settle`).
//! - **Forgiven**: an instance has been healthy for long enough that its episode is over.
//! - **Crash loop**: an instance that was restarted six times within a day, whatever was forgiven.
//! - **Hold**: a person's word that some connectors are not to be touched for a time.
//! - **History**: what happened, as entries of many instances each; a ring in the state.
//! - **Sink**: where people are told. **Digest**: what one run has to say to one sink. **Mark**: what a sink was told and is
//!   still open.
//! - **Lease**: a run's word that a state without a lock is its own for a while.

#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::string_slice,
        reason = "a test that overflows fails, as it should"
    )
)]

pub mod cli;
pub mod commands;
pub mod config;
pub mod connect;
pub mod decide;
pub mod exit;
pub mod http;
pub mod logging;
pub mod report;
pub mod signal;
pub mod store;
pub mod tell;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use cli::Parsed;
use config::Output;
use exit::{Exit, Failure, Kind};

/// The program: `args` as the system gives them, its own name first.
pub fn main(args: Vec<OsString>, environment: impl Iterator<Item = (OsString, OsString)>) -> ExitCode {
    let environment =
        environment.filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
    let wants_json = wants_json(&args, &environment);
    match cli::parse(args) {
        Parsed::Typed(typed) => commands::main(&typed, &environment),
        Parsed::Print(text) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Parsed::Nothing(help) if !wants_json => {
            print(&help);
            Exit::Failed(Kind::Usage).into()
        }
        Parsed::Nothing(_) => refuse("a command is needed (see guardian --help)".to_owned(), wants_json),
        Parsed::Wrong(text) => refuse(text, wants_json),
    }
}

fn print(text: &str) {
    let _ = anstream::stdout().write_all(text.as_bytes());
}

fn refuse(text: String, wants_json: bool) -> ExitCode {
    logging::start(logging::Settings::default());
    let output = if wants_json { Output::Json } else { Output::Text };
    commands::fail(None, output, Failure::new(Kind::Usage, text)).into()
}

/// Whether JSON was asked for on a command line that cannot be understood.
fn wants_json(args: &[OsString], environment: &config::Environment) -> bool {
    let typed =
        args.windows(2).any(|pair| matches!(pair, [flag, value] if flag == "--output" && value == "json"));
    typed
        || args.iter().any(|arg| arg == "--output=json")
        || environment.get("GUARDIAN_OUTPUT").is_some_and(|value| value == "json")
}
