//! The metrics of a run, once it is over: into a file, to a Pushgateway, or both. Whatever goes wrong here costs one
//! warning, and never changes how the run ended.

use crate::config::{Config, Metrics as Settings};
use crate::exit::{Exit, Kind};
use crate::http;
use crate::report::RunReport;
use crate::report::metrics::{Metrics, Told};
use crate::signal::{Interrupt, interrupted};
use crate::tell::{Sink, textfile};

/// Writes and pushes the metrics of a run that ended so, if it was one: neither a dry run nor one that found the state
/// held by another.
pub(super) async fn write(report: &RunReport, config: &Config, exit: Exit, interrupt: &mut Interrupt) {
    let Settings { file, pushgateway, connectors } = &config.metrics;
    let is_set = file.is_some() || pushgateway.is_some();
    if !is_set || config.run.dry_run || exit == Exit::Failed(Kind::Locked) {
        return;
    }
    let Some(metrics) = Metrics::new(report, exit, *connectors, &told(report, config)) else { return };
    if let Some(path) = file
        && let Err(error) = textfile::replace(path, &metrics.over(&textfile::read(path)))
    {
        let (path, hint) = (path.display(), "its folder must be there, and writable by guardian's user");
        tracing::warn!("the metrics could not be written to {path}: {error} (GUARDIAN_METRICS_FILE; {hint})");
    }
    // Whoever asked guardian to end does not wait for a gateway.
    if let Some(pushgateway) = pushgateway
        && !matches!(exit, Exit::Failed(Kind::Interrupted(_)))
    {
        let text = metrics.as_text().to_owned();
        let http =
            http::client(&http::Settings { https: pushgateway.is_https(), ..http::Settings::default() });
        let pushed = match http {
            Ok(client) => tokio::select! {
                pushed = pushgateway.push(&client, &config.cluster, text, metrics.replaces_all()) => pushed,
                _ = interrupted(interrupt) => Err("interrupted".to_owned()),
            },
            Err(reason) => Err(reason.what),
        };
        if let Err(why) = pushed {
            tracing::warn!(
                "the metrics could not be pushed to {pushgateway}: {why} (GUARDIAN_PUSHGATEWAY_URL)"
            );
        }
    }
}

/// What became of the messages to each sink.
fn told<'a>(report: &RunReport, config: &'a Config) -> Vec<Told<'a>> {
    let known = &report.ledger.told.sinks;
    let one = |sink: &'a Sink| {
        let (sent, failed) = known.get(&sink.name).map_or((0, 0), |told| (told.arrived, told.failed));
        let waits = report.told.iter().any(|told| *told.sink == *sink.name && told.error.is_some());
        Told { sink: &sink.name, sent, failed, pending: u64::from(waits) }
    };
    config.notify.sinks.iter().map(one).collect()
}
