//! Which connectors are held, how holds begin and how they end. It decides nothing about an instance (`plan` does).

use wildmatch::WildMatch;

use super::history::{Entry, Happened};
use super::hold::{Hold, LONGEST_HOLD, Terms};
use super::ledger::Ledger;
use super::shared::SharedStr;
use super::time::Timestamp;

/// The holds in force at a moment, ready to be asked about many connectors.
#[derive(Debug)]
pub(super) struct Holding<'a>(Vec<(&'a Hold, WildMatch, SharedStr)>);

impl Holding<'_> {
    /// Why this connector is held, if it is: of several holds by the one that ends last.
    pub(super) fn of(&self, connector: &str) -> Option<&SharedStr> {
        let matching = self.0.iter().filter(|(_, matcher, _)| matcher.matches(connector));
        matching.max_by_key(|(hold, ..)| hold.until).map(|(_, _, why)| why)
    }
}

impl Ledger {
    /// The holds in force.
    pub fn holds_at(&self, now: Timestamp) -> impl Iterator<Item = &Hold> {
        self.holds.iter().filter(move |hold| hold.until > now)
    }

    pub(super) fn holding(&self, now: Timestamp) -> Holding<'_> {
        let one = |hold| {
            let why: SharedStr = format!("held {}", Terms(hold)).into();
            (hold, WildMatch::new(&hold.pattern), why)
        };
        Holding(self.holds_at(now).map(one).collect())
    }

    /// Drops the holds that have ended, and writes down that they did. A clock that was set back prolongs none beyond what
    /// any may last.
    pub fn end_holds(&mut self, now: Timestamp) {
        let (run, history) = (self.run, &mut self.history);
        self.holds.retain_mut(|hold| {
            hold.until = hold.until.min(now.plus(LONGEST_HOLD));
            let lasts = hold.until > now;
            if !lasts {
                let entry = Entry {
                    by: Some(SharedStr::clone(&hold.by)),
                    text: hold.reason.clone(),
                    ..Entry::of_patterns(Happened::HoldEnded, [&hold.pattern], run, now)
                };
                history.push(entry);
            }
            lasts
        });
    }

    /// Begins these holds; one of the same pattern is replaced by it.
    pub fn hold(&mut self, new: Vec<Hold>) {
        for hold in new {
            let entry = Entry {
                by: Some(SharedStr::clone(&hold.by)),
                text: hold.reason.clone(),
                until: Some(hold.until),
                ..Entry::of_patterns(Happened::Held, [&hold.pattern], self.run, hold.since)
            };
            self.history.push(entry);
            match self.holds.iter_mut().find(|known| known.pattern == hold.pattern) {
                Some(known) => *known = hold,
                None => self.holds.push(hold),
            }
        }
    }

    /// Ends the holds of these patterns, and returns them.
    pub fn release(&mut self, patterns: &[SharedStr], by: &SharedStr, now: Timestamp) -> Vec<Hold> {
        let (released, kept): (Vec<Hold>, Vec<Hold>) =
            std::mem::take(&mut self.holds).into_iter().partition(|hold| patterns.contains(&hold.pattern));
        self.holds = kept;
        if !released.is_empty() {
            let patterns = released.iter().map(|hold| &hold.pattern);
            let entry = Entry::of_patterns(Happened::Released, patterns, self.run, now);
            self.history.push(Entry { by: Some(SharedStr::clone(by)), ..entry });
        }
        released
    }
}
