//! One listing of a cluster, reduced to what decisions need. It says what Connect said, and decides nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::cause::Cause;
use super::model::{Counts, InstanceId, State};
use super::select::Unmatched;
use super::shared::SharedStr;
use super::table::{ByInstance, OfInstance};
use super::text::show_name;

/// What the listing said of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    pub id: InstanceId,
    pub state: State,
    /// Its connector is `PAUSED` or `STOPPED`, so that all of it is left alone.
    pub paused_or_stopped: bool,
    /// The root cause out of the trace, if there was a trace.
    pub cause: Option<Arc<Cause>>,
    /// The worker that wrote the status (`host:port`); it may be dead.
    pub worker: Option<SharedStr>,
}

/// One answer to `GET /connectors?expand=status`, reduced to what decisions
/// need. Instances that run or are paused are only counted, unless the ledger
/// remembers something of their connector: memory follows what has failed, not
/// the cluster's size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The connectors, by the state of their own instance.
    pub connectors: Counts,
    pub tasks: Counts,
    /// Every instance that has failed or is in transition, the connectors without tasks, and the others of the connectors
    /// that the ledger remembers.
    pub sightings: ByInstance<Sighting>,
    /// Connectors that are `RUNNING` without a single task.
    pub no_tasks: BTreeSet<SharedStr>,
    /// Connectors that are `PAUSED` or `STOPPED`, of those that the ledger
    /// remembers.
    pub paused_or_stopped: BTreeSet<SharedStr>,
    /// Connectors whose entry could not be understood.
    pub not_understood: BTreeSet<SharedStr>,
    /// `--include` matches none of the connectors.
    pub nothing_included: bool,
    /// What a person should know of this answer, one sentence each.
    pub warnings: Vec<String>,
    /// What is wrong with every worker: the statuses may be those of yesterday, and no restart would be done.
    pub illness: Option<String>,
}

impl OfInstance for Sighting {
    fn id(&self) -> &InstanceId {
        &self.id
    }
}

impl Listing {
    /// The listing in which only this connector is, and cannot be understood.
    pub fn not_understood(name: &str, problem: &str) -> Self {
        let mut listing = Self::default();
        listing.add_not_understood(name, problem);
        listing
    }

    /// Counts a connector whose entry cannot be understood.
    pub fn add_not_understood(&mut self, name: &str, problem: &str) {
        self.connectors.add(None);
        self.warnings.push(format!(
            "connector {}: its status cannot be understood ({problem}); it was left alone",
            show_name(name)
        ));
        self.not_understood.insert(name.into());
    }

    /// One listing of many, each of another connector.
    pub fn join(parts: Vec<Self>) -> Self {
        let mut all = Self::default();
        let mut sightings = Vec::new();
        for part in parts {
            all.connectors.merge(&part.connectors);
            all.tasks.merge(&part.tasks);
            sightings.extend(part.sightings);
            all.no_tasks.extend(part.no_tasks);
            all.paused_or_stopped.extend(part.paused_or_stopped);
            all.not_understood.extend(part.not_understood);
            all.warnings.extend(part.warnings);
        }
        all.sightings = sightings.into();
        all
    }

    /// Warns of the patterns that match none of its connectors: unless they may match some that it does not tell of.
    pub fn warn_of(&mut self, unmatched: Unmatched<'_>) {
        if self.connectors.total > 0 && self.not_understood.is_empty() {
            self.nothing_included = unmatched.nothing_included();
            self.warnings.extend(unmatched.warnings());
        }
    }

    /// It says something of this connector.
    pub fn speaks_of(&self, connector: &str) -> bool {
        !self.sightings.of_connector(connector).is_empty()
    }

    /// It tells of no connector, or of none that can be understood.
    pub fn nothing_understood(&self) -> bool {
        let not_understood = u64::try_from(self.not_understood.len()).unwrap_or(u64::MAX);
        self.connectors.total <= not_understood
    }
}
