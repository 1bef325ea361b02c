//! The restart calls that follow from a plan: which instances go in one request, and whether a call is still wanted when
//! the status is read once more. It proposes KIP-745 wherever that is safe; that Connect cannot is found out by who sends.

use std::collections::BTreeMap;

use super::ledger::Ledger;
use super::listing::{Listing, Sighting};
use super::model::{InstanceId, State};
use super::outcome::Outcome;
use super::plan::{Line, Plan, Right};
use super::shared::SharedStr;

/// The restart calls of one connector, to be sent in this order.
pub type Batch = Vec<Call>;

/// What made an instance due, and is no reason any more when its status says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Failed,
    /// It was in transition for too long.
    Stuck,
    /// A person asked for it, whatever its state.
    Asked,
}

/// One restart call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// All failed instances of a connector in one request (KIP-745).
    FailedOf {
        connector: SharedStr,
        /// The instances that the plan wants restarted.
        expected: Vec<InstanceId>,
    },
    /// One instance: the connector's own, or a task.
    One { id: InstanceId, why: Why },
    /// The own instance of a connector that runs, before the last restart of its tasks; it touches none of them.
    ConnectorFirst {
        connector: SharedStr,
        /// They are due; there is at least one.
        tasks: Vec<InstanceId>,
    },
}

impl Call {
    /// The instances for whose sake it is sent: all that it restarts were charged.
    pub fn ids(&self) -> &[InstanceId] {
        match self {
            Self::FailedOf { expected: ids, .. } | Self::ConnectorFirst { tasks: ids, .. } => ids,
            Self::One { id, .. } => std::slice::from_ref(id),
        }
    }

    pub fn connector(&self) -> &SharedStr {
        match self {
            Self::FailedOf { connector, .. } | Self::ConnectorFirst { connector, .. } => connector,
            Self::One { id, .. } => &id.connector,
        }
    }

    /// This outcome for every instance of the call.
    pub fn all(&self, outcome: &Outcome) -> Vec<(InstanceId, Outcome)> {
        self.ids().iter().map(|id| (id.clone(), outcome.clone())).collect()
    }

    /// Plain calls for these instances, which are `FAILED`.
    pub fn one_by_one(ids: impl IntoIterator<Item = InstanceId>) -> impl Iterator<Item = Self> {
        ids.into_iter().map(|id| Self::One { id, why: Why::Failed })
    }

    /// Why this call is no longer wanted, now that Connect says this of the connector: its instance is no longer what
    /// made it due. A KIP-745 call is always wanted: Connect itself restarts only what is `FAILED` then.
    pub fn no_longer_due(&self, now: &Listing) -> Option<SharedStr> {
        match self {
            Self::FailedOf { .. } => None,
            Self::One { id, why } => {
                let wanted = |state: &State| match why {
                    Why::Failed => *state == State::Failed,
                    Why::Stuck => state.is_transition(),
                    Why::Asked => true,
                };
                other_than(wanted, "it", id, now)
            }
            Self::ConnectorFirst { connector, tasks } => {
                let own = InstanceId { connector: SharedStr::clone(connector), task: None };
                let running = |state: &State| *state == State::Running;
                let first = tasks.first()?;
                let is_well = |id| now.sightings.get(id).is_none_or(|seen| !seen.state.is_unwell());
                let all_well = || tasks.iter().all(is_well);
                other_than(running, "its connector", &own, now)
                    .or_else(|| all_well().then(|| other_than(|_| false, "it", first, now))?)
            }
        }
    }
}

/// Why this instance is not what it was, if it is not.
fn other_than(
    wanted: impl FnOnce(&State) -> bool,
    who: &str,
    id: &InstanceId,
    now: &Listing,
) -> Option<SharedStr> {
    match now.sightings.get(id) {
        None => Some("not restarted, Connect lists it no more".into()),
        Some(seen) if seen.paused_or_stopped => {
            Some("not restarted, the connector is paused or stopped by now".into())
        }
        Some(seen) if wanted(&seen.state) => None,
        Some(Sighting { state, .. }) => {
            Some(format!("not restarted, {who} is {} by now", state.as_str()).into())
        }
    }
}

impl Plan {
    /// The calls that restart what is due: what Connect refuses goes last, the connectors with the fewest attempts first.
    /// Each is made when it is asked for: in a big outage their names alone are megabytes.
    pub fn batches<'a>(&'a self, ledger: &'a Ledger) -> impl Iterator<Item = Batch> + 'a {
        let mut due: BTreeMap<&SharedStr, Vec<&Line>> = BTreeMap::new();
        for line in self.due() {
            due.entry(&line.id.connector).or_default().push(line);
        }
        let order = |line: &&Line| (is_refused(line, ledger), ledger.attempts(&line.id));
        let mut due = Vec::from_iter(due);
        due.sort_by_cached_key(|(_, lines)| lines.iter().map(order).min());
        due.into_iter().map(move |(connector, mut lines)| {
            lines.sort_by_key(|line| is_refused(line, ledger));
            // A plain restart shows the old FAILED for a while: what is watched goes by the call for several.
            let least = if lines.iter().any(|line| self.is_watched(&line.id)) { 1 } else { 2 };
            calls(connector, &lines, least, ledger)
        })
    }
}

fn is_refused(line: &Line, ledger: &Ledger) -> bool {
    ledger.episode(&line.id).is_some_and(|episode| episode.not_taken.is_some())
}

/// One KIP-745 call restarts whatever has failed in a connector by the time it arrives. It is used only where that cannot
/// restart anything else that is remembered: a neighbour that waits, gave up, or only just recovered.
fn calls(connector: &SharedStr, due: &[&Line], least: usize, ledger: &Ledger) -> Batch {
    let all_failed = due.iter().all(|line| line.state == Some(State::Failed));
    let remembered = ledger.records.of_connector(connector).iter().filter(|record| !record.is_well()).count();
    let (behind, others): (Vec<&Line>, Vec<&Line>) = due.iter().partition(|line| line.connector_first);
    let together = !ledger.one_by_one && behind.is_empty() && all_failed;
    if due.len() >= least && together && remembered == due.len() {
        let expected = due.iter().map(|line| line.id.clone()).collect();
        return vec![Call::FailedOf { connector: SharedStr::clone(connector), expected }];
    }
    let why = |line: &Line| match line.state {
        Some(State::Failed) => Why::Failed,
        _ if line.right == Right::Asked => Why::Asked,
        _ => Why::Stuck,
    };
    let one = |line: &Line| Call::One { id: line.id.clone(), why: why(line) };
    let tasks: Vec<InstanceId> = behind.iter().map(|line| line.id.clone()).collect();
    let first =
        (!tasks.is_empty()).then(|| Call::ConnectorFirst { connector: SharedStr::clone(connector), tasks });
    // What depends on it comes behind it, and nothing else does.
    others.into_iter().map(one).chain(first).chain(behind.into_iter().map(one)).collect()
}
