//! What a run costs and adds up to: all that is due is charged; the outcomes of its restarts are written into the plan's
//! lines and the ledger, what Connect surely did not take is refunded, and what there is to tell comes out as events.

use std::time::Duration;

use super::action::Action;
use super::event::Event;
use super::ledger::{Charge, Ledger};
use super::model::State;
use super::outcome::{Outcome, Verdict};
use super::plan::{Plan, Right};
use super::policy::Policy;
use super::record::{Episode, NotTaken};
use super::shared::SharedStr;
use super::table::ByInstance;
use super::time::Timestamp;
use super::watch::{Fate, Watched};

const FAILED_AGAIN: &str = "failed again";

impl Plan {
    /// Charges an attempt to all that is due.
    pub fn charge(&self, ledger: &mut Ledger, policy: &Policy, now: Timestamp) -> ByInstance<Charge> {
        // In one piece: in an outage these are megabytes, and what grows leaves holes behind.
        let mut charges = Vec::with_capacity(self.due().count());
        charges.extend(self.due().map(|line| {
            let has_none_left = ledger.episode(&line.id).is_some_and(|episode| policy.gives_up(episode));
            let mut charge = ledger.charge(&line.id, now);
            if line.connector_first {
                ledger.charge_connector(&mut charge);
            }
            if line.right == Right::BeyondLimit || (line.right == Right::Asked && has_none_left) {
                ledger.charge_beyond_limit(&charge);
            }
            charge
        }));
        charges.into()
    }

    /// Counts what this run saw: once, after what a person is told was recorded and before anything is charged.
    pub fn count_seen(&self, ledger: &mut Ledger, now: Timestamp) {
        let mut counters = ledger.counters;
        for record in &ledger.records {
            // A look between two runs has the number of the run before it.
            let begins =
                |episode: &Episode| episode.first_failed_at == now && episode.first_failed_run == ledger.run;
            if record.episode.as_ref().is_some_and(begins) {
                counters.failure(&record.id);
            }
        }
        for line in &self.lines {
            if line.event == Some(Event::GaveUp) {
                counters.give_up(&line.id);
            }
            if line.action == Action::Recovered
                && let Some(episode) = ledger.episode(&line.id)
            {
                counters.recovery(&line.id, now.since(episode.failed_since()));
            }
        }
        ledger.counters = counters;
    }

    /// Records what became of the attempts that were charged. `unsent` says why a due instance without an outcome got no
    /// request.
    pub fn record(&mut self, ledger: &mut Ledger, charges: ByInstance<Charge>, unsent: &SharedStr) {
        for charge in charges {
            let outcome =
                charge.outcome.clone().unwrap_or_else(|| Outcome::NotSent(SharedStr::clone(unsent)));
            let verdict = judge(ledger, &charge, &outcome);
            if let Some(line) = self.lines.get_mut(&charge.id) {
                line.action = verdict.action;
                line.incomplete = verdict.incomplete;
                line.event = verdict.event;
                line.error = outcome.text().cloned();
                // What comes back without its restart is none of this run's doing.
                if !verdict.counts && verdict.event != Some(Event::Refused) {
                    line.wave = 0;
                }
            }
            if verdict.counts {
                ledger.counters.attempt(&charge.id, verdict.action);
            } else {
                ledger.refund(&charge);
            }
        }
    }

    /// Writes into the lines what became of the restarts that were watched. The ledger learns it from the next run, which
    /// sees it with everything else.
    pub fn record_watched(&mut self, watched: &ByInstance<Watched>, watch: Duration, now: Timestamp) {
        for one in watched {
            let Some(line) = self.lines.get_mut(&one.id) else { continue };
            match one.fate(watch, now) {
                Fate::Recovered => {
                    line.action = Action::Recovered;
                    line.state = Some(State::Running);
                    (line.incomplete, line.error) = (false, None);
                    let lasting = humantime::format_duration(watch);
                    line.reason = Some(format!("still runs after {lasting}").into());
                }
                Fate::FailedAgain if matches!(line.action, Action::Restarted | Action::Failed) => {
                    line.action = Action::Failed;
                    line.state = Some(State::Failed);
                    line.error = Some(line.error.as_ref().map_or_else(
                        || FAILED_AGAIN.into(),
                        |error| format!("{FAILED_AGAIN}: {error}").into(),
                    ));
                    line.event = Some(Event::FailedAgain);
                    line.cause = one.cause.clone().or(line.cause.take());
                }
                fate if line.action == Action::Restarted => {
                    line.reason = Some(undecided(fate).into());
                }
                _ => {}
            }
        }
    }

    /// Remembers what a person is told of before anything is sent, so that each is told once: what was given up, and what
    /// Connect goes on not taking.
    pub fn record_told(&mut self, ledger: &mut Ledger, now: Timestamp) {
        for line in self.lines.iter_mut() {
            let Some(episode) = ledger.episode_mut(&line.id) else { continue };
            let gave_up = line.action == Action::GaveUp;
            if gave_up && !episode.gave_up {
                line.event = Some(Event::GaveUp);
            }
            // Due again, because it may now have more restarts: to be given up again will be news.
            episode.gave_up = gave_up || (episode.gave_up && line.action != Action::Due);
            if line.incomplete
                && let Some(not_taken) = &mut episode.not_taken
            {
                line.event = Some(if not_taken.tell(now) { Event::Refused } else { Event::RefusedAgain });
            }
        }
    }
}

fn undecided(fate: Fate) -> &'static str {
    match fate {
        Fate::Gone => "paused, stopped or deleted while it was watched",
        Fate::Runs => "it runs, but the time to watch it was too short (GUARDIAN_DEADLINE)",
        _ => "neither running nor failed again",
    }
}

fn judge(ledger: &mut Ledger, charge: &Charge, outcome: &Outcome) -> Verdict {
    let Some(episode) = ledger.episode_mut(&charge.id) else { return outcome.verdict(None) };
    let mut verdict = outcome.verdict(episode.not_taken.as_deref());
    if let Some(last) = &mut episode.last_attempt {
        last.answered = last.answered.max(charge.answered);
    }
    // Connect was not asked.
    if matches!(outcome, Outcome::NoLongerDue(_) | Outcome::NotSent(_)) {
        return verdict;
    }
    episode.not_taken = outcome.reply().zip(episode.last_attempt).map(|(reply, attempt)| {
        let before = episode.not_taken.as_deref();
        let mut not_taken = NotTaken::one_more(before, reply, &attempt, outcome.text());
        let told_before = not_taken.told_at.is_some();
        match verdict.event {
            Some(Event::Refused) if !not_taken.tell(attempt.at) => verdict.event = Some(Event::RefusedAgain),
            Some(Event::Phantom) if told_before || !not_taken.tell(attempt.at) => verdict.event = None,
            _ => {}
        }
        Box::new(not_taken)
    });
    verdict
}
