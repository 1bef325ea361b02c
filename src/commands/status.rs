//! `guardian status`: what Connect says now, what is remembered, and what the next run would make of both. It locks, sends
//! and writes nothing.

use tokio::time::Instant;

use super::{connect, exit, fail, publish, system_clock, unwell};
use crate::cli::Command;
use crate::config::Config;
use crate::connect::{Cluster, Connect, Known};
use crate::decide::plan::{Plan, plan};
use crate::decide::row::View;
use crate::exit::{Exit, Failure};
use crate::report::{About, RunReport};
use crate::store::{self, Loaded};

/// Shows the cluster as it is.
pub async fn status(config: &Config) -> Exit {
    match look(config).await {
        Ok(report) => {
            if let Some(failure) = &report.failure {
                tracing::error!("{failure}");
            }
            publish(&report, config.reporting.output, exit(&report, config))
        }
        Err(failure) => fail(Some(Command::Status), config.reporting.output, failure),
    }
}

async fn look(config: &Config) -> Result<RunReport, Failure> {
    let (started, started_at) = (Instant::now(), system_clock());
    let Loaded { mut ledger, warning } = store::peek(&config.state, &config.cluster).await?;
    let client: Connect = connect(config)?;
    client.begin_with(ledger.first_url.as_deref());
    let (plan, view, failure) = match client.listing(&Known::of(&ledger, &config.filter)).await {
        Ok(listing) => {
            let failure = listing.illness.as_deref().map(unwell);
            let mut plan = plan(&mut ledger, listing, config.rules(), started_at);
            plan.explain_waits(&ledger);
            plan.add_remembered(&ledger);
            plan.add_crash_loops(&ledger, started_at);
            plan.tell_crash_loops(&ledger, started_at);
            (plan, View::Before(ledger.run), failure)
        }
        // What is remembered is worth showing also when Connect is away.
        Err(failure) => {
            let mut plan = Plan::unread(&ledger, config.rules(), started_at);
            plan.add_crash_loops(&ledger, started_at);
            plan.tell_crash_loops(&ledger, started_at);
            (plan, View::After(ledger.run), Some(failure))
        }
    };
    let about = About {
        cluster: config.cluster.clone(),
        url: client.url(),
        state: Some(config.state.to_string()),
        dry_run: false,
        repeated: false,
        full: config.reporting.full,
        started_at,
        duration: started.elapsed(),
        policy: config.policy.clone(),
    };
    Ok(RunReport {
        command: Some(Command::Status.as_str()),
        about: Some(about),
        plan: Some(plan),
        view: Some(view),
        ledger,
        warnings: Vec::from_iter(warning),
        failure,
        ..RunReport::default()
    })
}
