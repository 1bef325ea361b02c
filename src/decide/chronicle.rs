//! What a run writes down, and when. What it tells of is on the disk together with it: what a run saw goes with its first
//! charge, and so does each wave before it is sent, of unknown fate until its answers are known. So a run that dies leaves
//! nothing to be told twice, and nothing that did not happen.

use std::time::Duration;

use super::action::Action;
use super::event::Event;
use super::history::{Fates, Gather, Happened};
use super::ledger::Ledger;
use super::plan::Plan;
use super::policy::CRASH_LOOP;
use super::shared::SharedStr;
use super::table::ByInstance;
use super::text::one_line;
use super::time::Timestamp;
use super::watch::{Fate, Watched};

impl Ledger {
    /// Writes down whom this run gave up.
    pub fn note_given_up(&mut self, plan: &Plan, now: Timestamp) {
        let mut gather = Gather::new(self.run, now);
        for line in plan.lines.iter().filter(|line| line.event == Some(Event::GaveUp)) {
            let Some(episode) = self.episode(&line.id) else { continue };
            let entry = gather.add_episode(Happened::GaveUp, &line.id, episode);
            let since = entry.since.unwrap_or(episode.first_failed_at);
            entry.since = Some(since.min(episode.first_failed_at));
        }
        self.note(gather);
    }

    /// Writes down what the run whose plan this is has restarted so far, and what is known of its fate, in place of what it
    /// said before: the entries from `begin` on. `by` is the person who asked for it.
    pub fn note_restarts(
        &mut self,
        begin: usize,
        plan: &Plan,
        watched: &ByInstance<Watched>,
        look: (Duration, Timestamp),
        by: Option<&SharedStr>,
    ) {
        self.history.keep_first(begin);
        let event = if by.is_some() { Happened::Retried } else { Happened::Restarted };
        for (number, at) in (1_u16..).zip(plan.waves_at.iter().copied()) {
            let mut gather = Gather::new(self.run, at);
            for line in plan.lines.iter().filter(|line| line.wave == number) {
                let cause = line.cause.as_ref();
                let watched = watched.get(&line.id).map(|one| one.fate(look.0, look.1));
                let Some(fate) = fate_of(line.action, line.event, watched) else {
                    if line.event == Some(Event::Refused) {
                        let entry = gather.add(Happened::Refused, &line.id, cause);
                        let why = || line.error.as_ref().map(|error| one_line(error).into());
                        entry.text = entry.text.take().or_else(why);
                    }
                    continue;
                };
                let entry = gather.add(event, &line.id, cause);
                entry.by = by.cloned();
                let fates = entry.fates.get_or_insert_default();
                let count = fate(fates);
                *count = count.saturating_add(1);
                if let Some(record) = self.records.get(&line.id)
                    && record.restarts_24h(at) == CRASH_LOOP
                {
                    let entry = gather.add(Happened::CrashLoop, &line.id, cause);
                    entry.restarts = Some((CRASH_LOOP, CRASH_LOOP));
                }
            }
            self.note(gather);
        }
    }
}

type Count = fn(&mut Fates) -> &mut u64;

/// What became of a restart; `None` when there was none.
fn fate_of(action: Action, event: Option<Event>, watched: Option<Fate>) -> Option<Count> {
    let taken: Count = |fates| &mut fates.taken;
    let running: Count = |fates| &mut fates.running;
    let failed_again: Count = |fates| &mut fates.failed_again;
    let unknown: Count = |fates| &mut fates.unknown;
    Some(match (action, watched) {
        (Action::Recovered, _)
        | (Action::Restarted | Action::Unknown, Some(Fate::Recovered | Fate::Runs)) => running,
        (Action::Failed, _) if event == Some(Event::FailedAgain) => failed_again,
        (Action::Restarted | Action::Unknown, Some(Fate::FailedAgain)) => failed_again,
        (Action::Restarted, _) => taken,
        // Due is what has just been charged.
        (Action::Unknown | Action::Due, _) => unknown,
        _ => return None,
    })
}
