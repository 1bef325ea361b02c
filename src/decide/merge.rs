//! Two ledgers that grew from one: what this run made of it, and what somebody
//! else wrote meanwhile (another run, a reset). For a state without a lock.

use super::hold;
use super::ledger::Ledger;
use super::record::Record;

impl Ledger {
    /// This ledger and `theirs`, both grown from `base`, as one. For each record:
    ///
    /// - changed on one side only: that change;
    /// - changed on both, gone on theirs: gone, for a person's `reset` must not
    ///   be undone by a run that looked before it;
    /// - changed on both, gone on ours: gone, unless they charged an attempt;
    /// - changed on both: the one with more attempts, ours when they are equal.
    ///
    /// Of the holds a person's word stands, and the histories are joined.
    ///
    /// So an attempt that somebody charged is forgotten only where a person or
    /// the end of its episode forgets it.
    pub fn merge(self, base: &Self, theirs: &Self) -> Self {
        let theirs_only = theirs.records.iter().filter(|record| !self.records.has(&record.id));
        let ids = self.records.iter().chain(theirs_only).map(|record| record.id.clone());
        let told = self.told.clone().merge(&base.told, &theirs.told);
        let merged = ids.filter_map(|id| {
            let (before, ours, theirs) =
                (base.records.get(&id), self.records.get(&id), theirs.records.get(&id));
            match pick(before, ours, theirs) {
                Pick::Ours => ours.cloned(),
                Pick::Theirs => theirs.cloned(),
            }
        });
        Self {
            run: self.run.max(theirs.run),
            records: merged.collect(),
            first_url: self.first_url,
            one_by_one: self.one_by_one,
            careful: self.careful,
            groups: self.groups,
            holds: hold::merge(&self.holds, &base.holds, &theirs.holds),
            history: self.history.merge(&base.history, &theirs.history),
            told,
            trouble: self.trouble,
            counters: self.counters.merge(&theirs.counters),
        }
    }
}

enum Pick {
    Ours,
    Theirs,
}

fn pick(before: Option<&Record>, ours: Option<&Record>, theirs: Option<&Record>) -> Pick {
    if theirs == before {
        return Pick::Ours;
    }
    if ours == before {
        return Pick::Theirs;
    }
    match (ours, theirs) {
        (_, None) => Pick::Theirs,
        (None, theirs) if attempts(theirs) > attempts(before) => Pick::Theirs,
        (Some(_), theirs) if attempts(theirs) > attempts(ours) => Pick::Theirs,
        _ => Pick::Ours,
    }
}

fn attempts(record: Option<&Record>) -> u32 {
    record.map_or(0, Record::attempts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::counters::{Counters, Tally};
    use crate::decide::history::{Entry, Happened};
    use crate::decide::hold::Hold;
    use crate::decide::model::InstanceId;
    use crate::decide::record::{Episode, Streak};
    use crate::decide::time::Timestamp;
    use proptest::prelude::*;

    /// `a2` is a record of the instance `a` with two attempts, `a2h` one that is
    /// healthy again.
    fn ledger(run: u64, records: &str) -> Ledger {
        let records = records.split_whitespace().map(|word| {
            let attempts = word[1..2].parse().unwrap();
            let healthy = word.ends_with('h').then_some(Streak { runs: 1, since: Timestamp::from_millis(9) });
            let episode = Episode {
                attempts,
                healthy: healthy.map(Box::new),
                ..Episode::starting(1, Timestamp::default())
            };
            Record { episode: Some(episode), ..Record::new(InstanceId::connector(&word[..1])) }
        });
        Ledger { run, records: records.collect(), ..Ledger::default() }
    }

    #[test]
    fn what_one_side_changed_is_kept_and_of_two_changes_the_one_that_counts_more() {
        for (base, ours, theirs, merged) in [
            ("", "a1", "b1", "a1 b1"),
            ("a1 b1", "a2 b1", "a1 b1h", "a2 b1h"),
            // A reset of what we only looked at, of what we changed, of all.
            ("a1 b1", "a1 b2", "b1", "b2"),
            ("a1 b1", "a1h b1", "b1", "b1"),
            ("a1 b1", "a2 b1h", "", ""),
            // Forgiven here: there nothing, a look, an attempt.
            ("a1", "", "a1", ""),
            ("a1", "", "a1h", ""),
            ("a1", "", "a2", "a2"),
            // Both looked or charged.
            ("a1", "a1h", "a2", "a2"),
            ("a1", "a2", "a1h", "a2"),
            ("a1", "a2", "a3", "a3"),
            ("a2", "a2h", "a2", "a2h"),
            ("", "a1h", "a1", "a1h"),
            // Charged to 2 and refunded here, charged to 3 there.
            ("a2", "a1", "a3", "a3"),
            ("a2", "a1", "a2h", "a2h"),
        ] {
            let result = ledger(1, ours).merge(&ledger(1, base), &ledger(1, theirs));
            assert_eq!(result, ledger(1, merged), "{base} -> {ours} | {theirs}");
        }
        assert_eq!(ledger(3, "").merge(&ledger(1, ""), &ledger(2, "")).run, 3);
        assert_eq!(ledger(2, "").merge(&ledger(1, ""), &ledger(3, "")).run, 3);
    }

    #[test]
    fn what_both_sides_wrote_down_is_kept_and_what_one_took_back_is_gone() {
        let with = |words: &str| {
            let entry = |word: &str| Entry {
                text: Some(word.into()),
                ..Entry::new(Happened::Told, 1, Timestamp::default())
            };
            let entries: Vec<Entry> = words.split_whitespace().map(entry).collect();
            Ledger { history: entries.into(), ..Ledger::default() }
        };
        for (base, ours, theirs, merged) in [
            ("a", "a b", "a c", "a c b"),
            ("", "a", "a", "a"),
            // A wave of unknown fate whose answers came, while somebody held something.
            ("a wave?", "a wave", "a wave? held", "a held wave"),
            // Their ring had no room for the oldest.
            ("a b", "a b c", "b d", "b d c"),
            ("a", "a", "a b", "a b"),
            ("a", "a b", "a", "a b"),
        ] {
            let result = with(ours).merge(&with(base), &with(theirs));
            assert_eq!(result, with(merged), "{base} -> {ours} | {theirs}");
        }
    }

    #[test]
    fn a_persons_word_on_a_hold_stands() {
        let with = |words: &str| {
            // `a2` is a hold of a for 2 ms.
            let hold = |word: &str| Hold {
                pattern: word[..1].into(),
                by: "anna@ops".into(),
                reason: None,
                since: Timestamp::default(),
                until: Timestamp::from_millis(word[1..].parse().unwrap()),
            };
            Ledger { holds: words.split_whitespace().map(hold).collect(), ..Ledger::default() }
        };
        for (base, ours, theirs, merged) in [
            ("", "", "a1", "a1"),
            ("a1", "a1", "", ""),
            ("a1", "a1", "a2", "a2"),
            // It ended here: there nobody spoke, or somebody prolonged it.
            ("a1", "", "a1", ""),
            ("a1", "", "a2", "a2"),
            ("a1 b1", "a1 b1", "b1 c1", "b1 c1"),
            ("", "a1", "b1", "b1 a1"),
        ] {
            let result = with(ours).merge(&with(base), &with(theirs));
            assert_eq!(result, with(merged), "{base} -> {ours} | {theirs}");
        }
    }

    #[test]
    fn what_the_other_counted_is_kept() {
        let counted = |restarted| {
            let task = Tally { restarted, ..Tally::default() };
            Ledger { counters: Counters { task, ..Counters::default() }, ..Ledger::default() }
        };
        assert_eq!(counted(3).merge(&counted(2), &counted(5)), counted(5));
    }

    fn any_ledger() -> impl Strategy<Value = Ledger> {
        let word = prop::sample::select(vec!["", "0", "1", "1h", "2", "2h", "3"]);
        prop::collection::vec(word, 3).prop_map(|words| {
            let records: Vec<String> = ["a", "b", "c"]
                .iter()
                .zip(words)
                .filter(|(_, word)| !word.is_empty())
                .map(|(id, word)| format!("{id}{word}"))
                .collect();
            ledger(1, &records.join(" "))
        })
    }

    proptest! {
        #[test]
        fn merging_with_nothing_new_changes_nothing(base in any_ledger(), other in any_ledger()) {
            prop_assert_eq!(other.clone().merge(&base, &base), other.clone());
            prop_assert_eq!(base.clone().merge(&base, &other), other.clone());
            prop_assert_eq!(other.clone().merge(&base, &other), other);
        }

        #[test]
        fn no_charged_attempt_is_forgotten_while_both_remember(
            base in any_ledger(), ours in any_ledger(), theirs in any_ledger()
        ) {
            let merged = ours.clone().merge(&base, &theirs);
            for record in &theirs.records {
                let id = &record.id;
                let (before, now) = (attempts(base.records.get(id)), attempts(merged.records.get(id)));
                let charged = attempts(Some(record)) > before;
                prop_assert!(!charged || now >= attempts(Some(record)), "{id}");
            }
        }
    }
}
