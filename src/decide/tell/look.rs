//! What a listing makes of what was told: which instances run again, which are left alone. It closes nothing: only a
//! message does.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::holding::Holding;
use super::super::listing::Listing;
use super::super::model::{InstanceId, State};
use super::super::record::{Episode, Record};
use super::super::select::Filter;
use super::super::table::ByInstance;
use super::super::time::Timestamp;
use super::{Key, Mark, Members, Told, Why};
use crate::decide::shared::SharedStr;

/// What was seen of an instance that somebody was told of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// As it was.
    Open,
    Runs,
    Left(Why),
}

struct Look<'a> {
    listing: &'a Listing,
    records: &'a ByInstance<Record>,
    filter: &'a Filter,
    holding: &'a Holding<'a>,
    now: Timestamp,
}

impl Told {
    /// Folds in what a run saw of all that somebody was told of.
    pub(in super::super) fn see(
        &mut self,
        listing: &Listing,
        records: &ByInstance<Record>,
        (filter, holding): (&Filter, &Holding<'_>),
        now: Timestamp,
    ) {
        let look = Look { listing, records, filter, holding, now };
        for sink in self.sinks.values_mut() {
            let marks = std::mem::take(&mut sink.marks);
            for mark in marks.into_iter().flat_map(|mark| look.split(mark)) {
                add(&mut sink.marks, mark);
            }
        }
    }
}

/// Adds a mark; one that says the same of others takes its members in.
pub(super) fn add(marks: &mut Vec<Mark>, mark: Mark) {
    let same = |other: &&mut Mark| {
        let Mark { what, at, since, back, unsure, restarts: _, cause, members: _, left } = other;
        (*what, *at, *since, *back, *unsure, *left)
            == (mark.what, mark.at, mark.since, mark.back, mark.unsure, mark.left)
            && *cause == mark.cause
    };
    match marks.iter_mut().find(same) {
        Some(other) => {
            other.restarts = other.restarts.max(mark.restarts);
            let members = Arc::make_mut(&mut other.members);
            for (connector, instances) in mark.members.iter() {
                let all = members.entry(SharedStr::clone(connector)).or_default();
                all.extend(instances.iter().copied());
                all.sort_unstable();
                all.dedup();
            }
        }
        None => marks.push(mark),
    }
}

impl Look<'_> {
    /// The mark, by what became of its members.
    fn split(&self, mut mark: Mark) -> Vec<Mark> {
        if mark.members.is_empty() {
            return vec![mark];
        }
        // A clock that was set back prolongs nothing.
        mark.at = mark.at.min(self.now);
        mark.since = mark.since.min(self.now);
        mark.back = mark.back.map(|back| back.min(self.now));
        let mut by_fate: BTreeMap<Fate, Members> = BTreeMap::new();
        let mut restarts = mark.restarts;
        for (connector, instances) in mark.members.iter() {
            for task in instances {
                let id = InstanceId { connector: SharedStr::clone(connector), task: *task };
                restarts = restarts.max(self.records.get(&id).map_or(0, Record::attempts));
                let fate = self.fate(&id, &mark);
                by_fate.entry(fate).or_default().entry(SharedStr::clone(connector)).or_default().push(*task);
            }
        }
        mark.restarts = restarts;
        let one = by_fate.len() == 1;
        let members = Arc::clone(&mark.members);
        let parts = by_fate.into_iter().map(|(fate, part)| Mark {
            back: (fate == Fate::Runs).then(|| mark.back.unwrap_or(self.now)),
            left: if let Fate::Left(why) = fate { Some(why) } else { None },
            members: if one { Arc::clone(&members) } else { Arc::new(part) },
            ..mark.clone()
        });
        parts.collect()
    }

    fn fate(&self, id: &InstanceId, mark: &Mark) -> Fate {
        let Self { listing, records, filter, .. } = self;
        if !filter.selects(&id.connector) {
            return Fate::Left(Why::Excluded);
        }
        if listing.paused_or_stopped.contains(&id.connector) {
            return Fate::Left(Why::Paused);
        }
        let record = records.get(id);
        let phantom = record.and_then(|record| record.episode.as_ref()).is_some_and(Episode::is_phantom);
        match listing.sightings.get(id) {
            Some(seen) if seen.paused_or_stopped => Fate::Left(Why::Paused),
            Some(_) if phantom => Fate::Left(Why::Gone),
            Some(seen) if seen.state == State::Running => {
                let has_no_tasks = record.is_some_and(|record| record.no_tasks.is_some());
                if mark.what == Key::NoTasks && has_no_tasks { Fate::Open } else { Fate::Runs }
            }
            Some(_) if self.holding.of(&id.connector).is_some() => Fate::Left(Why::Held),
            Some(_) => Fate::Open,
            // Absence is neither health nor an end, as long as it is remembered.
            None if listing.not_understood.contains(&id.connector) => Fate::Open,
            None if record.is_some_and(|record| !record.is_well()) => Fate::Open,
            None => Fate::Left(Why::Gone),
        }
    }
}
