//! What the run adds up to: the outcomes of its restarts are written into the plan's lines and the ledger, what Connect
//! surely did not take is refunded, and what there is to tell comes out as events.

use std::sync::Arc;

use super::action::Action;
use super::event::Event;
use super::ledger::{Charge, Ledger};
use super::outcome::{Outcome, Verdict};
use super::plan::Plan;
use super::table::ByInstance;

impl Plan {
    /// Records what became of the attempts that were charged. `unsent` says why a due instance without an outcome got no
    /// request.
    pub fn record(&mut self, ledger: &mut Ledger, charges: ByInstance<Charge>, unsent: &Arc<str>) {
        for charge in charges {
            let outcome = charge.outcome.clone().unwrap_or_else(|| Outcome::NotSent(Arc::clone(unsent)));
            let verdict = judge(ledger, &charge, &outcome);
            if let Some(line) = self.lines.get_mut(&charge.id) {
                line.action = verdict.action;
                line.incomplete = verdict.incomplete;
                line.event = verdict.event;
                line.error = outcome.text().cloned();
            }
            if !verdict.counts {
                ledger.refund(&charge);
            }
        }
    }

    /// Remembers which instances were given up, so that each is told only once.
    pub fn record_given_up(&mut self, ledger: &mut Ledger) {
        for line in self.lines.iter_mut() {
            let Some(episode) = ledger.episode_mut(&line.id) else { continue };
            let gave_up = line.action == Action::GaveUp;
            if gave_up && !episode.gave_up {
                line.event = Some(Event::GaveUp);
            }
            // Due again, because it may now have more restarts: to be given up again will be news.
            episode.gave_up = gave_up || (episode.gave_up && line.action != Action::Due);
        }
    }
}

fn judge(ledger: &mut Ledger, charge: &Charge, outcome: &Outcome) -> Verdict {
    let Some(episode) = ledger.episode_mut(&charge.id) else { return outcome.verdict(false) };
    let verdict = outcome.verdict(episode.not_found);
    match outcome {
        Outcome::NotNow(_) | Outcome::NotSent(_) => {}
        _ => episode.not_found = matches!(outcome, Outcome::NotFound(_)),
    }
    if let (Some(last), Some(answered)) = (&mut episode.last_attempt, charge.answered) {
        last.answered = last.answered.max(answered);
    }
    verdict
}
