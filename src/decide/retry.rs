//! The plan of a retry: what a person asked to restart now, by name or all that has failed, whatever waits, rests and limits
//! say. It finds who is meant, and says why somebody is not restarted; what a restart is, is told where a run's are.

use std::collections::BTreeSet;

use super::action::Action;
use super::ledger::Ledger;
use super::listing::{Listing, Sighting};
use super::model::{InstanceId, State};
use super::plan::{Line, Plan, Right, Rules};
use super::shared::SharedStr;
use super::text::{name_some, read_name, show_name};
use super::time::Timestamp;

/// So many that have failed are named where nobody that was asked for has.
const NAMED: usize = 10;
const PAUSED: &str = "not restarted, because its connector is paused or stopped";
const EXCLUDED: &str = "not restarted, because --include or --exclude leaves it out";

/// What a person asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Connectors and tasks, as they were typed; none is all that has failed.
    pub names: Vec<String>,
    /// Restart also what runs.
    pub even_running: bool,
    /// Who asked: `user@host`.
    pub by: SharedStr,
}

/// A name for which nothing is restarted, and why.
type Unmet = String;

impl Asked {
    /// Every connector that may be meant.
    pub fn connectors(&self) -> BTreeSet<String> {
        let spellings = self.names.iter().flat_map(|name| [read_name(name).into_owned(), name.clone()]);
        let of_task = |name: &String| Some(InstanceId::parse_task(name)?.connector.to_string());
        spellings.flat_map(|name| of_task(&name).into_iter().chain([name])).collect()
    }

    /// The plan that restarts what was asked for, and says what could not be found. Of everything else it has no line, and
    /// the ledger learns nothing.
    pub fn plan(
        &self,
        ledger: &mut Ledger,
        listing: Listing,
        rules: Rules<'_>,
        now: Timestamp,
    ) -> (Plan, Option<String>) {
        let (wanted, unmet) = self.find(&listing, ledger, rules);
        let failed = |seen: &&Sighting| seen.state == State::Failed && !seen.paused_or_stopped;
        let seen: Vec<&Sighting> =
            listing.sightings.iter().filter(|seen| wanted.contains(&seen.id)).filter(failed).collect();
        ledger.observe_failed(&seen, rules.policy, now);
        let message = (!unmet.is_empty()).then(|| format!("{}; {}", unmet.join("; "), what_failed(&listing)));
        let illness = listing.illness.clone();
        let mut warnings = listing.warnings;
        warnings.extend(overridden(&wanted, ledger, rules, now));
        let mut plan =
            Plan { counts: Some((listing.connectors, listing.tasks)), warnings, ..Plan::default() };
        let lines = listing.sightings.into_iter().filter(|seen| wanted.contains(&seen.id));
        plan.lines = lines.map(|seen| line(seen, ledger, rules)).collect();
        match illness {
            Some(illness) => plan.leave_all(&illness),
            None => plan.gather_asked(ledger, rules.policy, now),
        }
        (plan, message)
    }

    /// The instances that are meant, and the names of which none is to be restarted.
    fn find(
        &self,
        listing: &Listing,
        ledger: &Ledger,
        rules: Rules<'_>,
    ) -> (BTreeSet<InstanceId>, Vec<Unmet>) {
        let counts_as_failed = |seen: &&Sighting| {
            let stuck = || ledger.records.get(&seen.id).is_some_and(|record| record.is_stuck(rules.policy));
            seen.state == State::Failed || seen.state.is_transition() && !seen.paused_or_stopped && stuck()
        };
        if self.names.is_empty() {
            let all = listing.sightings.iter().filter(counts_as_failed);
            let all = all.filter(|seen| !seen.paused_or_stopped && rules.filter.selects(&seen.id.connector));
            return (all.map(|seen| seen.id.clone()).collect(), Vec::new());
        }
        let (mut wanted, mut unmet) = (BTreeSet::new(), Vec::new());
        for name in &self.names {
            let meant = listing.sightings.named(name);
            if meant.is_empty() {
                unmet.push(format!("Connect lists no {}", show_name(&read_name(name))));
                continue;
            }
            let is_wanted =
                |seen: &&Sighting| counts_as_failed(seen) || self.even_running && !seen.paused_or_stopped;
            let found: Vec<InstanceId> = meant.iter().filter(is_wanted).map(|seen| seen.id.clone()).collect();
            if found.is_empty() {
                unmet.push(has_not_failed(name, meant));
            }
            wanted.extend(found);
        }
        (wanted, unmet)
    }
}

fn has_not_failed(name: &str, meant: &[Sighting]) -> Unmet {
    let name = show_name(&read_name(name)).into_owned();
    let states: BTreeSet<&str> = meant.iter().map(|seen| seen.state.as_str()).collect();
    let states = Vec::from_iter(states).join(", ");
    if meant.iter().any(|seen| seen.paused_or_stopped) {
        return format!("{name} is not restarted, because it is paused or stopped ({states})");
    }
    format!("nothing of {name} has failed ({states}; --even-running restarts it all the same)")
}

fn what_failed(listing: &Listing) -> String {
    let failed =
        listing.sightings.iter().filter(|seen| seen.state == State::Failed && !seen.paused_or_stopped);
    let mut failed = failed.map(|seen| &seen.id).peekable();
    if failed.peek().is_none() {
        return "nothing has failed".to_owned();
    }
    format!("failed: {}", name_some(failed, NAMED))
}

/// Which holds do not hold back what is restarted.
fn overridden(
    wanted: &BTreeSet<InstanceId>,
    ledger: &Ledger,
    rules: Rules<'_>,
    now: Timestamp,
) -> Option<String> {
    let holding = ledger.holding(now);
    let restarted = wanted.iter().map(|id| &id.connector).filter(|name| rules.filter.selects(name));
    let held: BTreeSet<(&SharedStr, &SharedStr)> =
        restarted.filter_map(|name| Some((name, holding.of(name)?))).collect();
    let held = held.iter().map(|(name, why)| format!("{} ({why})", show_name(name)));
    let mut held = held.peekable();
    held.peek().is_some().then(|| format!("restarted all the same: {}", name_some(held, NAMED)))
}

fn line(seen: Sighting, ledger: &Ledger, rules: Rules<'_>) -> Line {
    let left_out = if seen.paused_or_stopped {
        Some((Action::Parked, PAUSED))
    } else if rules.filter.selects(&seen.id.connector) {
        None
    } else {
        Some((Action::Excluded, EXCLUDED))
    };
    // What runs has no cause, and goes with nobody.
    let runs = seen.state == State::Running;
    let line = Line::seen(seen, Action::Due, ledger);
    let line = Line { right: Right::Asked, cause: line.cause.filter(|_| !runs), ..line };
    match left_out {
        Some((action, why)) => Line { action, error: Some(SharedStr::from(why)), ..line },
        None => line,
    }
}
