//! What has happened since the state began, as numbers that only grow: a monitoring system takes their differences. They
//! are counted where it happens, and hold nothing of a single instance. They must not decide anything.
//!
//! Whatever kills a run, nothing is counted twice: a count is written together with what it counts. Of a run that died
//! after its charge the results of its last restarts are missing.

use std::time::Duration;

use super::action::Action;
use super::model::InstanceId;

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
    pub(super) fn of(&mut self, id: &InstanceId) -> &mut Tally {
        if id.task.is_some() { &mut self.task } else { &mut self.connector }
    }

    /// Counts an episode that began.
    pub(super) fn failure(&mut self, id: &InstanceId) {
        one_more(&mut self.of(id).failures);
    }

    /// Counts that it had no restart left.
    pub(super) fn give_up(&mut self, id: &InstanceId) {
        one_more(&mut self.of(id).gave_up);
    }

    /// Counts that it came back after so long.
    pub(super) fn recovery(&mut self, id: &InstanceId, down: Duration) {
        let tally = self.of(id);
        one_more(&mut tally.recovered);
        let millis = u64::try_from(down.as_millis()).unwrap_or(u64::MAX);
        tally.down_millis = tally.down_millis.saturating_add(millis);
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

    /// What two count together that were written side by side. What one of them did not see is missing, since nothing may
    /// be counted twice: a write that was not answered may have been this one's own.
    pub(super) fn merge(&self, theirs: &Self) -> Self {
        Self { connector: self.connector.merge(&theirs.connector), task: self.task.merge(&theirs.task) }
    }
}

impl Tally {
    fn merge(&self, theirs: &Self) -> Self {
        let more = |of: fn(&Self) -> u64| of(self).max(of(theirs));
        Self {
            failures: more(|tally| tally.failures),
            restarted: more(|tally| tally.restarted),
            failed: more(|tally| tally.failed),
            unknown: more(|tally| tally.unknown),
            gave_up: more(|tally| tally.gave_up),
            recovered: more(|tally| tally.recovered),
            down_millis: more(|tally| tally.down_millis),
        }
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
        fn the_same_is_not_counted_twice(ours in any_counters(), theirs in any_counters()) {
            let both = ours.merge(&theirs);
            prop_assert_eq!(both.merge(&ours), both);
            prop_assert_eq!(ours.merge(&ours), ours);
        }
    }
}
