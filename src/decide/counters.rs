//! What has happened since the state began, as numbers that only grow: a monitoring system takes their differences. They
//! are counted where it happens, and hold nothing of a single instance. They must not decide anything.
//!
//! Whatever kills a run, nothing is counted twice: a count is written together with what it counts. Of a run that died
//! after its charge the results of its last restarts are missing.

use super::action::Action;
use super::event::Event;
use super::ledger::Ledger;
use super::model::InstanceId;
use super::plan::Plan;
use super::time::Timestamp;

/// All of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Of connectors' own instances.
    pub connector: Tally,
    /// Of tasks.
    pub task: Tally,
}

/// Those of one kind of instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Episodes that began.
    pub failures: u64,
    /// Attempts that Connect took.
    pub restarted: u64,
    /// Attempts after which it failed at once, or that Connect will never take.
    pub failed: u64,
    /// Attempts of unknown fate.
    pub unknown: u64,
    /// Once for each time that restarts ran out.
    pub gave_up: u64,
    /// First healthy sightings after a failure.
    pub recovered: u64,
    /// For how long they had been failed without a break until that sighting, of all of them together.
    pub down_millis: u64,
}

impl Counters {
    fn of(&mut self, id: &InstanceId) -> &mut Tally {
        if id.task.is_some() { &mut self.task } else { &mut self.connector }
    }

    /// Counts one attempt that counts, by what became of it.
    pub(super) fn attempt(&mut self, id: &InstanceId, action: Action) {
        let tally = self.of(id);
        match action {
            Action::Restarted => one_more(&mut tally.restarted),
            Action::Failed => one_more(&mut tally.failed),
            Action::Unknown => one_more(&mut tally.unknown),
            _ => {}
        }
    }

    /// What two that grew from `base` count together.
    pub(super) fn merge(&self, base: &Self, theirs: &Self) -> Self {
        let each = |ours: &Tally, base: &Tally, theirs: &Tally| ours.merge(base, theirs);
        Self {
            connector: each(&self.connector, &base.connector, &theirs.connector),
            task: each(&self.task, &base.task, &theirs.task),
        }
    }
}

impl Tally {
    fn merge(&self, base: &Self, theirs: &Self) -> Self {
        let sum = |of: fn(&Self) -> u64| of(self).saturating_add(of(theirs).saturating_sub(of(base)));
        Self {
            failures: sum(|tally| tally.failures),
            restarted: sum(|tally| tally.restarted),
            failed: sum(|tally| tally.failed),
            unknown: sum(|tally| tally.unknown),
            gave_up: sum(|tally| tally.gave_up),
            recovered: sum(|tally| tally.recovered),
            down_millis: sum(|tally| tally.down_millis),
        }
    }
}

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

fn one_more(count: &mut u64) {
    *count = count.saturating_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_was_attempted_is_counted_and_by_kind() {
        let (mut counters, task) = (Counters::default(), InstanceId::task("a", 0));
        for action in Action::ALL {
            counters.attempt(&task, action);
        }
        counters.attempt(&InstanceId::connector("a"), Action::Unknown);
        let expected = Counters {
            connector: Tally { unknown: 1, ..Tally::default() },
            task: Tally { restarted: 1, failed: 1, unknown: 1, ..Tally::default() },
        };
        assert_eq!(counters, expected);
    }

    fn any_counters() -> impl Strategy<Value = Counters> {
        prop::collection::vec(0_u64..100, 14).prop_map(|n| {
            let tally = |n: &[u64]| Tally {
                failures: n[0],
                restarted: n[1],
                failed: n[2],
                unknown: n[3],
                gave_up: n[4],
                recovered: n[5],
                down_millis: n[6],
            };
            Counters { connector: tally(&n[..7]), task: tally(&n[7..]) }
        })
    }

    proptest! {
        #[test]
        fn two_that_grew_from_one_add_up(base in any_counters(), ours in any_counters(), theirs in any_counters()) {
            let zero = Counters::default();
            let grown = |more: &Counters| base.merge(&zero, more);
            prop_assert_eq!(grown(&ours).merge(&base, &grown(&theirs)), grown(&ours).merge(&zero, &theirs));
        }
    }
}
