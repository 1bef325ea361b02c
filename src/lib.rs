//! `guardian` brings failed Kafka Connect connectors and tasks back, and knows
//! when to stop trying. One invocation reads the cluster's status once, decides,
//! restarts what is due, remembers, reports, and exits.
//!
//! The deciding half is pure and lives in [`decide`]: a listing and a ledger go
//! in, a plan comes out, as a value. The other folders are the shell around it:
//!
//! ```text
//! main -> commands -> { decide, connect, store, report }
//!                       connect, store, report -> decide (its types), http
//!                       decide -> nothing
//! ```
//!
//! A run is this story, told in [`commands::run`]:
//!
//! ```text
//! settings -> lock state -> load ledger -> GET /connectors?expand=status -> observe -> plan
//!          -> save (charge) -> restart -> settle -> save -> report -> exit
//! ```
//!
//! Attempts are charged before the first request goes out, so that whatever
//! kills guardian, an instance never gets more restarts than it may have.

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

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use cli::Parsed;
use config::Output;
use exit::{Failure, Kind};

/// The program: `args` as the system gives them, its own name first.
#[must_use]
pub fn main(args: Vec<OsString>, environment: impl Iterator<Item = (OsString, OsString)>) -> ExitCode {
    let environment =
        environment.filter_map(|(name, value)| Some((name.into_string().ok()?, value))).collect();
    let wants_json = wants_json(&args, &environment);
    match cli::parse(args) {
        Parsed::Typed(typed) => commands::main(&typed, &environment),
        Parsed::Print(text) => {
            let _ = anstream::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Parsed::Wrong(text) => {
            logging::start(logging::Settings::default());
            let output = if wants_json { Output::Json } else { Output::Text };
            commands::fail(None, output, Failure::new(Kind::Usage, text)).into()
        }
    }
}

/// Whether JSON was asked for on a command line that cannot be understood.
fn wants_json(args: &[OsString], environment: &config::Environment) -> bool {
    let typed =
        args.windows(2).any(|pair| matches!(pair, [flag, value] if flag == "--output" && value == "json"));
    typed
        || args.iter().any(|arg| arg == "--output=json")
        || environment.get("GUARDIAN_OUTPUT").is_some_and(|value| value == "json")
}
