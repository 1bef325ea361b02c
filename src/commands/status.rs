//! `guardian status`: what Connect says now, what is remembered, and what the
//! next run would make of both. It locks, sends and writes nothing.

use tokio::time::Instant;

use super::run::remembered;
use super::{connect, fail, publish, system_clock};
use crate::config::Config;
use crate::decide::plan::Plan;
use crate::exit::{Exit, Failure};
use crate::report::Report;
use crate::store::{self, Loaded};

/// Shows the cluster as it is.
pub async fn status(config: &Config) -> Exit {
    let (started, started_at) = (Instant::now(), system_clock()());
    let found = store::peek(&config.state, &config.cluster).await.map_err(Failure::from);
    let Loaded { mut ledger, warning } = match found {
        Ok(loaded) => loaded,
        Err(failure) => return fail(Some("status"), config.output, &failure),
    };
    let client = match connect(config) {
        Ok(client) => client,
        Err(failure) => return fail(Some("status"), config.output, &failure),
    };
    let last_run = ledger.run;
    let next_run = last_run.saturating_add(1);
    let (listing, failure) = match client.listing(&remembered(&ledger)).await {
        Ok(listing) => (Some(listing), None),
        Err(trouble) => (None, Some(Failure::from(trouble))),
    };
    let counts = listing.as_ref().map(|listing| (listing.connectors.clone(), listing.tasks.clone()));
    let plan = match listing {
        Some(listing) => {
            let recovered = ledger.observe(&listing, &config.policy, next_run, started_at);
            let (policy, filter) = (&config.policy, &config.filter);
            let mut plan = Plan::make(listing, &recovered, &ledger, policy, filter, next_run, started_at);
            plan.add_recovering(&ledger);
            plan
        }
        // What is remembered is worth showing also when Connect is away.
        None => Plan::unread(&ledger, &config.policy, &config.filter, next_run, started_at),
    };
    ledger.run = last_run;
    let (url, state) = (client.url(), config.state.to_string());
    if let Some(failure) = &failure {
        tracing::error!("{failure}");
    }
    let exit = failure.as_ref().map_or(Exit::Done, |failure| Exit::Failed(failure.kind));
    publish(
        &Report {
            command: "status",
            dry_run: false,
            repeated: false,
            cluster: &config.cluster,
            url: Some(&url),
            state: Some(&state),
            run: Some(next_run).filter(|_| counts.is_some()),
            started_at,
            duration: started.elapsed(),
            counts: counts.as_ref().map(|(connectors, tasks)| (connectors, tasks)),
            plan: Some(&plan),
            ledger: &ledger,
            policy: &config.policy,
            warnings: &Vec::from_iter(warning),
            failure: failure.as_ref(),
        },
        config.output,
        exit,
    )
}
