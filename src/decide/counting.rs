//! What a run saw, counted. What becomes of its restarts is counted where it is recorded.

use super::action::Action;
use super::counters::one_more;
use super::event::Event;
use super::ledger::Ledger;
use super::plan::Plan;
use super::time::Timestamp;

impl Ledger {
    /// Counts what this run saw: once, after it planned and before it charges anything.
    pub fn count_seen(&mut self, plan: &Plan, now: Timestamp) {
        let mut counters = self.counters;
        for record in &self.records {
            // A look between two runs has the number of the run before it.
            let begins = |at: Timestamp, run: u64| at == now && run == self.run;
            if record.episode.as_ref().is_some_and(|it| begins(it.first_failed_at, it.first_failed_run)) {
                one_more(&mut counters.of(&record.id).failures);
            }
        }
        for line in &plan.lines {
            let tally = counters.of(&line.id);
            if line.event == Some(Event::GaveUp) {
                one_more(&mut tally.gave_up);
            }
            if line.action == Action::Recovered
                && let Some(episode) = self.episode(&line.id)
            {
                one_more(&mut tally.recovered);
                let down = now.millis().saturating_sub(episode.failed_since().millis());
                tally.down_millis = tally.down_millis.saturating_add(down);
            }
        }
        self.counters = counters;
    }
}
