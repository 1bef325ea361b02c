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
    let recovered = listing
        .as_ref()
        .map_or_else(Vec::new, |listing| ledger.observe(listing, &config.policy, next_run, started_at));
    // What is remembered is worth showing also when Connect is away.
    let seen = listing.unwrap_or_default();
    let mut plan =
        Plan::make(seen, &recovered, &ledger, &config.policy, &config.filter, next_run, started_at);
    if counts.is_some() {
        plan.add_recovering(&ledger);
    } else {
        plan.warnings.clear();
    }
    ledger.run = last_run;
    let (url, state) = (client.url(), config.state.to_string());
    if let Some(failure) = &failure {
        tracing::error!("{failure}");
    }
    publish(
        &Report {
            command: "status",
            dry_run: false,
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
    );
    failure.map_or(Exit::Done, |failure| Exit::Failed(failure.kind))
}
