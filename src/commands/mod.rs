//! The commands: each file reads as the story of its command. This one starts
//! the right story, and prints what it tells.

mod apply;
mod edit;
pub mod history;
pub mod hold;
mod metrics;
mod notify;
pub mod reset;
pub mod retry;
pub mod run;
pub mod schedule;
pub mod status;
mod tell;
mod watch;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context;
use tokio::runtime::Builder;

use crate::cli::{Command, Typed};
use crate::config::{Config, Environment, FailOn, Output, Reporting};
use crate::connect::{self, Connect, Workers};
use crate::decide::action::Action;
use crate::decide::time::Timestamp;
use crate::exit::{Exit, Failure, Kind, OrFail};
use crate::report::{RunReport, json, text};
use crate::{http, logging, signal};

/// Where the time comes from.
pub type Clock<'a> = dyn Fn() -> Timestamp + 'a;

/// The machine's clock.
pub fn system_clock() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// Runs the command that was typed.
pub fn main(typed: &Typed, environment: &Environment) -> ExitCode {
    let command = typed.command;
    let reporting = Reporting::read(typed, environment);
    logging::start(reporting.log);
    let config = match Config::new(typed, environment) {
        Ok(config) => config,
        Err(failure) => return fail(Some(command), reporting.output, failure).into(),
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let started = Builder::new_current_thread().enable_all().build().context("the runtime cannot be started");
    let runtime = match started.or_fail(Kind::Internal) {
        Ok(runtime) => runtime,
        Err(failure) => return fail(Some(command), reporting.output, failure).into(),
    };
    let exit = runtime.block_on(async {
        match command {
            Command::Run => run_until_done(config, typed, environment).await,
            Command::Status => status::status(&config).await,
            Command::Retry => retry::retry(&config, typed).await,
            Command::Reset => reset::reset(&config, typed).await,
            Command::Hold => hold::hold(&config, typed).await,
            Command::Release => hold::release(&config, typed).await,
            Command::History => history::history(&config, typed).await,
            Command::Schedule => schedule::schedule(&config),
            Command::Notify => notify::notify(&config, typed).await,
        }
    });
    // Not by its drop, which waits for a name resolution under way (`getaddrinfo`), past any deadline and signal.
    runtime.shutdown_background();
    exit.into()
}

async fn run_until_done(config: Config, typed: &Typed, environment: &Environment) -> Exit {
    match signal::listen().context("signals cannot be handled").or_fail(Kind::Internal) {
        // Secrets rotate: every run of a loop reads the settings' files again.
        Ok(interrupt) => run::run(config, || Config::new(typed, environment), interrupt).await,
        Err(failure) => fail(Some(Command::Run), config.reporting.output, failure),
    }
}

/// Reports a command that failed before it had anything to say.
pub(crate) fn fail(command: Option<Command>, output: Output, failure: Failure) -> Exit {
    tracing::error!("{failure}");
    let exit = Exit::Failed(failure.kind);
    publish(&RunReport::failed(command.map(Command::as_str), failure), output, exit)
}

/// No worker is well.
fn unwell(illness: &str) -> Failure {
    let hint =
        "is its broker away, or is it starting? nothing is restarted meanwhile, and what is shown may be old";
    Failure::new(Kind::Unhealthy, format!("Kafka Connect is not well: {illness}")).hint(hint)
}

/// How a command ends that looked at the cluster.
fn exit(report: &RunReport, config: &Config) -> Exit {
    if let Some(failure) = &report.failure {
        return Exit::Failed(failure.kind);
    }
    let Some(plan) = &report.plan else { return Exit::Done };
    let mut actions = plan.lines.iter().map(|line| line.action);
    let needs_person = match config.run.fail_on {
        FailOn::Never => false,
        FailOn::GaveUp => actions.any(|action| action == Action::GaveUp),
        FailOn::Failed => actions.any(Action::is_failed_now),
        FailOn::Unhealthy => {
            let long_unwell = plan.long_unwell(&report.ledger, config.rules()).next().is_some();
            long_unwell || actions.any(Action::is_failed_now)
        }
    };
    if needs_person { Exit::NeedsPerson } else { Exit::Done }
}

/// Prints the report on stdout.
fn publish(report: &RunReport, output: Output, exit: Exit) -> Exit {
    if output == Output::Json {
        // The document is for a script: a person sees only the log.
        for warning in report.plan.iter().flat_map(|plan| &plan.warnings) {
            tracing::warn!("{warning}");
        }
    }
    print(exit, |stdout| match output {
        Output::Json => json::write(report, stdout),
        Output::Text => stdout.write_all(text::render(report, terminal_width()).as_bytes()),
    })
}

/// Writes to stdout, without styles where it is no terminal, and returns `exit`:
/// but a result that nobody got is a failure of the command. A reader that has
/// gone (`| head`) had enough of it.
fn print(exit: Exit, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Exit {
    let mut stdout = anstream::stdout().lock();
    match write(&mut stdout).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            tracing::error!("stdout cannot be written: {error}");
            match exit {
                Exit::Done | Exit::NeedsPerson => Exit::Failed(Kind::Internal),
                failed @ Exit::Failed(_) => failed,
            }
        }
        _ => exit,
    }
}

fn terminal_width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    terminal_size::terminal_size().map(|(terminal_size::Width(width), _)| usize::from(width))
}

/// A client for the configured cluster.
fn connect(config: &Config) -> Result<Connect, Failure> {
    let http = http::client(&http::Settings {
        https: config.connect.urls.iter().any(|url| url.scheme() == "https"),
        trusted: config.connect.trusted.clone(),
        only_trusted: false,
        identity: config.connect.identity.clone(),
        proxy: config.connect.proxy.clone(),
        patience: None,
    });
    let http = http.map_err(|reason| {
        let why = connect::with_setting(&reason);
        Failure::new(Kind::Usage, format!("the HTTP client cannot be set up: {why}"))
    })?;
    Ok(Connect::new(
        http,
        Workers {
            urls: config.connect.urls.clone(),
            authorization: config.connect.credentials.authorization.clone(),
            headers: config.connect.credentials.headers.clone(),
            doubts: config.connect.credentials.doubts.clone(),
            timeout: config.connect.timeout,
            parallel: config.run.parallel,
            proxy: config.connect.proxy.clone(),
            in_container: config.connect.in_container,
        },
    ))
}
