//! `guardian retry`: restart now what a person names, whatever waits, rests and limits say, and stay until it is known what
//! became of it. It is a run of these instances only; it waits for a run that is under way.

use tokio::time::Instant;

use super::edit::free;
use super::run::{RunOptions, one_run};
use super::{connect, fail, publish, system_clock};
use crate::cli::{Command, Typed};
use crate::config::Config;
use crate::connect::Connect;
use crate::decide::action::Action;
use crate::decide::retry::Asked;
use crate::decide::shared::SharedStr;
use crate::exit::{Exit, Failure, Kind, OrFail};
use crate::report::{About, RunReport};
use crate::signal::{self, Interrupt};

/// Restarts what was named, and says whether it came back.
pub async fn retry(config: &Config, typed: &Typed) -> Exit {
    match begin(config, typed) {
        Ok((asked, client, interrupt)) => restart_and_report(config, &asked, &client, interrupt).await,
        Err(failure) => fail(Some(Command::Retry), config.reporting.output, failure),
    }
}

fn begin(config: &Config, typed: &Typed) -> Result<(Asked, Connect, Interrupt), Failure> {
    let asked = Asked {
        names: typed.names(),
        even_running: typed.even_running(),
        by: SharedStr::clone(&config.person),
    };
    if asked.names.is_empty() && !typed.everything() {
        return Err(Failure::new(Kind::Usage, "retry takes NAME, NAME/TASK or --all"));
    }
    let interrupt = signal::listen().or_fail(Kind::Internal)?;
    Ok((asked, connect(config)?, interrupt))
}

async fn restart_and_report(
    config: &Config,
    asked: &Asked,
    client: &Connect,
    mut interrupt: Interrupt,
) -> Exit {
    let (started, started_at) = (Instant::now(), system_clock());
    let ran = Box::pin(restart(config, asked, client, &mut interrupt)).await;
    let about = About {
        cluster: config.cluster.clone(),
        url: client.url(),
        state: None,
        dry_run: false,
        repeated: false,
        full: config.reporting.full,
        started_at,
        duration: started.elapsed(),
        policy: config.policy.clone(),
    };
    let report = RunReport {
        command: Some(Command::Retry.as_str()),
        about: Some(about),
        ..ran.unwrap_or_else(|failure| RunReport::failed(None, failure))
    };
    let exit = match &report.failure {
        Some(failure) => {
            tracing::error!("{failure}");
            Exit::Failed(failure.kind)
        }
        None if all_came_back(&report) => Exit::Done,
        None => Exit::NeedsPerson,
    };
    publish(&report, config.reporting.output, exit)
}

fn all_came_back(report: &RunReport) -> bool {
    report.plan.iter().flat_map(|plan| &plan.lines).all(|line| line.action == Action::Recovered)
}

/// Once the state is free.
async fn restart(
    config: &Config,
    asked: &Asked,
    client: &Connect,
    interrupt: &mut Interrupt,
) -> Result<RunReport, Failure> {
    let mut told = false;
    loop {
        let mut store = free(config, interrupt, &mut told).await?;
        let options = RunOptions {
            rules: config.rules(),
            deadline: config.run.deadline,
            parallel: config.run.parallel,
            asked: Some(asked),
            stays: true,
            tell: None,
        };
        let report = one_run(client, &mut store, &options, &system_clock, interrupt).await?;
        match &report.failure {
            // A run began after the state was read, and nothing was sent.
            Some(failure) if failure.kind == Kind::Locked => {}
            // Of what was asked for there is nothing, and nothing else to show.
            Some(_) if report.plan.as_ref().is_some_and(|plan| plan.lines.is_empty()) => {
                return Ok(RunReport { plan: None, ..report });
            }
            _ => return Ok(report),
        }
    }
}
