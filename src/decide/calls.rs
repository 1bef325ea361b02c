//! The restart calls that follow from a plan: which instances go in one request, and whether a call is still wanted when
//! the status is read once more. It proposes KIP-745 wherever that is safe; that Connect cannot is found out by who sends.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ledger::Ledger;
use super::listing::{Listing, Sighting};
use super::model::{InstanceId, State};
use super::outcome::Outcome;
use super::plan::{Line, Plan};

/// The restart calls of one connector, to be sent in this order.
pub type Batch = Vec<Call>;

/// One restart call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// All failed instances of a connector in one request (KIP-745).
    FailedOf {
        connector: Arc<str>,
        /// The instances that the plan wants restarted.
        expected: Vec<InstanceId>,
    },
    /// One instance: the connector's own, or a task.
    One {
        id: InstanceId,
        /// It is due because it was in transition for too long, not because it is `FAILED`.
        stuck: bool,
    },
}

impl Call {
    /// The instances that it is to restart.
    pub fn ids(&self) -> &[InstanceId] {
        match self {
            Self::FailedOf { expected, .. } => expected,
            Self::One { id, .. } => std::slice::from_ref(id),
        }
    }

    pub fn connector(&self) -> &Arc<str> {
        match self {
            Self::FailedOf { connector, .. } => connector,
            Self::One { id, .. } => &id.connector,
        }
    }

    /// This outcome for every instance of the call.
    pub fn all(&self, outcome: &Outcome) -> Vec<(InstanceId, Outcome)> {
        self.ids().iter().map(|id| (id.clone(), outcome.clone())).collect()
    }

    /// Plain calls for these instances, which are `FAILED`.
    pub fn one_by_one(ids: impl IntoIterator<Item = InstanceId>) -> impl Iterator<Item = Self> {
        ids.into_iter().map(|id| Self::One { id, stuck: false })
    }

    /// Why this call is no longer wanted, now that Connect says this of the connector: its instance is no longer what
    /// made it due. A KIP-745 call is always wanted: Connect itself restarts only what is `FAILED` then.
    pub fn no_longer_due(&self, now: &Listing) -> Option<Arc<str>> {
        let Self::One { id, stuck } = self else { return None };
        Some(match now.sightings.get(id) {
            None => "not restarted, Connect lists it no more".into(),
            Some(seen) if seen.paused_or_stopped => {
                "not restarted, the connector is paused or stopped by now".into()
            }
            Some(Sighting { state, .. }) => {
                let still_due = if *stuck { state.is_transition() } else { *state == State::Failed };
                if still_due {
                    return None;
                }
                format!("not restarted, it is {} by now", state.as_str()).into()
            }
        })
    }
}

impl Plan {
    /// The calls that restart what is due, the connectors with the fewest attempts first.
    pub fn batches(&self, ledger: &Ledger) -> Vec<Batch> {
        let mut due: BTreeMap<&Arc<str>, Vec<&Line>> = BTreeMap::new();
        for line in self.due() {
            due.entry(&line.id.connector).or_default().push(line);
        }
        let mut batches: Vec<(u32, Batch)> = Vec::with_capacity(due.len());
        for (connector, lines) in due {
            let fewest = lines.iter().map(|line| ledger.attempts(&line.id)).min().unwrap_or(0);
            batches.push((fewest, calls(connector, &lines, ledger)));
        }
        batches.sort_by_key(|(fewest, _)| *fewest);
        batches.into_iter().map(|(_, batch)| batch).collect()
    }
}

/// One KIP-745 call restarts whatever has failed in a connector by the time it arrives. It is used only where that cannot
/// restart anything else that is remembered: a neighbour that waits, gave up, or only just recovered.
fn calls(connector: &Arc<str>, due: &[&Line], ledger: &Ledger) -> Batch {
    let all_failed = due.iter().all(|line| line.state == Some(State::Failed));
    let remembered = ledger.records.of_connector(connector).len();
    if due.len() > 1 && all_failed && remembered == due.len() {
        let expected = due.iter().map(|line| line.id.clone()).collect();
        return vec![Call::FailedOf { connector: Arc::clone(connector), expected }];
    }
    let one = |line: &&Line| Call::One { id: line.id.clone(), stuck: line.state != Some(State::Failed) };
    due.iter().map(one).collect()
}
