//! Failures of one cause use their restarts together. One outage is one failure, so one connector goes first (the canary),
//! and the others follow in waves only as long as what was restarted runs. This file owns the choice of each wave, what a
//! look at it means, and what proves that a cause is gone; it sends nothing and waits for nothing. The measurements behind
//! its numbers are printed by `cargo bench --bench recovery`.

use std::collections::{BTreeMap, BTreeSet};

use super::action::Action;
use super::cause::Key;
use super::group::{Group, Stage, Together};
use super::ledger::{Charge, Ledger};
use super::model::InstanceId;
use super::outcome::Outcome;
use super::plan::{Line, Plan, Right};
use super::policy::{Next, Policy};
use super::record::Episode;
use super::shared::SharedStr;
use super::table::ByInstance;
use super::text::show_name;
use super::time::Timestamp;
use super::watch::Watched;

/// After a good wave the next has so many times as many connectors. A look of half a minute proves little, so that a large
/// step would cost much where it is wrong.
const GROWTH: usize = 3;

impl Ledger {
    pub fn group(&self, key: Key) -> Option<&Group> {
        self.groups.iter().find(|group| group.key == key)
    }

    /// Ends the rest of every group of which a member runs again, and gives those that were given up before that one more
    /// restart. Says which groups these are.
    pub(super) fn prove(
        &mut self,
        recovered: &BTreeSet<InstanceId>,
        policy: &Policy,
        now: Timestamp,
    ) -> BTreeSet<Key> {
        // Of each group the latest restart that holds; one that a person brought back holds as of now.
        let mut proven: BTreeMap<Key, u64> = BTreeMap::new();
        for episode in recovered.iter().filter_map(|id| self.episode(id)) {
            let Some(cause) = &episode.cause else { continue };
            // A lone failure proves nothing of others.
            if self.group(cause.key).is_none() {
                continue;
            }
            let run = match &episode.last_attempt {
                Some(last) if last.run >= episode.last_failed_run => {
                    if !policy.has_run_long(last, now) {
                        continue;
                    }
                    last.run
                }
                _ => self.run,
            };
            let latest = proven.entry(cause.key).or_default();
            *latest = run.max(*latest);
        }
        for group in &mut self.groups {
            if proven.contains_key(&group.key) {
                group.bad_waves = 0;
            }
        }
        for record in self.records.iter_mut() {
            let Some(episode) = &mut record.episode else { continue };
            let run = episode.cause.as_ref().and_then(|cause| proven.get(&cause.key));
            let before = |run: &u64| episode.last_attempt.is_some_and(|last| last.run < *run);
            if episode.healthy.is_none() && policy.gives_up(episode) && run.is_some_and(before) {
                episode.extra = episode.extra.saturating_add(1);
            }
        }
        proven.into_keys().collect()
    }

    /// Remembers that this run sent a wave of a group.
    pub(super) fn note_wave(&mut self, key: Key, canary: &SharedStr, now: Timestamp) {
        let run = self.run;
        let remembered = self.groups.iter_mut().find(|group| group.key == key);
        let bad_waves = remembered.as_ref().map_or(0, |group| group.bad_waves);
        let group = Group { key, bad_waves, run, at: now, canary: SharedStr::clone(canary) };
        if let Some(remembered) = remembered {
            *remembered = group;
        } else {
            self.groups.push(group);
        }
    }
}

impl Plan {
    /// Finds the groups among what is failed, and leaves due of each only its first wave.
    pub(super) fn gather(
        &mut self,
        ledger: &mut Ledger,
        policy: &Policy,
        proven: &BTreeSet<Key>,
        now: Timestamp,
    ) {
        let members = self.lines.iter().filter(|line| is_member(line));
        let keys: BTreeSet<Key> = members.filter_map(|line| Some(line.cause.as_ref()?.key)).collect();
        ledger.groups.retain(|group| keys.contains(&group.key));
        self.groups = self.groups_of(policy, proven, false);
        self.next_waves(ledger, policy, now);
        self.keep_trying(ledger, policy, now);
    }

    /// The same for what a person asked for: no group rests, and those of which nothing was asked are as they were.
    pub(super) fn gather_asked(&mut self, ledger: &Ledger, policy: &Policy, now: Timestamp) {
        self.groups = self.groups_of(policy, &BTreeSet::new(), true);
        self.next_waves(ledger, policy, now);
    }

    fn groups_of(&self, policy: &Policy, proven: &BTreeSet<Key>, asked: bool) -> Vec<Together> {
        let Some(least) = policy.group_from() else { return Vec::new() };
        let mut by_key: BTreeMap<Key, Vec<&Line>> = BTreeMap::new();
        for line in self.lines.iter().filter(|line| is_member(line)) {
            if let Some(cause) = &line.cause {
                by_key.entry(cause.key).or_default().push(line);
            }
        }
        let groups = by_key.into_iter().filter_map(|(key, lines)| {
            let connectors = lines.iter().map(|line| &line.id.connector).collect::<BTreeSet<_>>().len();
            let cause = lines.first()?.cause.clone()?;
            (connectors >= least).then(|| Together {
                cause,
                members: lines.iter().map(|line| line.id.clone()).collect(),
                connectors,
                proven: proven.contains(&key),
                asked,
                stage: Stage::Goes,
                size: if proven.contains(&key) { usize::MAX } else { 1 },
                restarted: BTreeSet::new(),
                canary: None,
            })
        });
        groups.collect()
    }

    /// Makes due the next wave of every group that goes on. Whether there is any.
    pub fn next_waves(&mut self, ledger: &Ledger, policy: &Policy, now: Timestamp) -> bool {
        let mut groups = std::mem::take(&mut self.groups);
        for group in groups.iter_mut().filter(|group| group.stage == Stage::Goes) {
            group.next_wave(&mut self.lines, ledger, policy, now);
        }
        self.groups = groups;
        self.due().next().is_some()
    }

    /// What a look at the last waves says of each group that went on, if there was one.
    pub fn judge_waves(&mut self, ledger: &mut Ledger, watched: &ByInstance<Watched>, looked: bool) {
        for group in self.groups.iter_mut().filter(|group| group.stage == Stage::Goes) {
            let before = group.restarted.len();
            let mine = group.members.iter().filter(|id| watched.has(id));
            group.restarted.extend(mine.cloned());
            if group.restarted.len() == before {
                group.stage = Stage::NotTaken;
                continue;
            }
            if !looked {
                group.stage = Stage::Went;
                continue;
            }
            // What was deleted or paused meanwhile says nothing: another one goes.
            let there =
                || group.restarted.iter().filter_map(|id| watched.get(id)).filter(|one| !one.is_gone());
            let (all, bad) = (there().count(), there().filter(|one| !one.runs()).count());
            if all == 0 {
                continue;
            }
            // At most a fifth: what is poisoned must not hold back the others for ever.
            if bad.saturating_mul(5) <= all {
                group.size = group.size.saturating_mul(GROWTH);
                continue;
            }
            group.stage = Stage::FailedAgain;
            let key = group.cause.key;
            if let Some(remembered) = ledger.groups.iter_mut().find(|group| group.key == key) {
                remembered.bad_waves = remembered.bad_waves.saturating_add(1);
            }
        }
    }

    /// The connectors of each wave that is due.
    pub fn waves(&self) -> impl Iterator<Item = (&Together, BTreeSet<&str>)> {
        let due = |id: &&InstanceId| self.lines.get(id).is_some_and(|line| line.action == Action::Due);
        let waves = self.groups.iter().filter(|group| group.stage == Stage::Goes).map(move |group| {
            (group, group.members.iter().filter(due).map(|id| &*id.connector).collect::<BTreeSet<_>>())
        });
        waves.filter(|(_, wave)| !wave.is_empty())
    }

    /// Remembers the waves that are due, before they are sent: whatever ends this run, their group rests after them.
    pub fn note_waves(&self, ledger: &mut Ledger, now: Timestamp) {
        for (group, _) in self.waves() {
            if let Some(canary) = &group.canary {
                ledger.note_wave(group.cause.key, canary, now);
            }
        }
    }

    /// Whether its restart is looked at.
    pub fn is_watched(&self, id: &InstanceId) -> bool {
        self.stays || self.goes_in_wave(id)
    }

    /// Whether this instance goes in a wave.
    pub fn goes_in_wave(&self, id: &InstanceId) -> bool {
        self.groups.iter().any(|group| group.stage == Stage::Goes && group.members.binary_search(id).is_ok())
    }

    /// What these restarts did, to be looked at: for groups, or for somebody who waits.
    pub fn to_watch(&self, charges: &ByInstance<Charge>) -> Vec<Watched> {
        let members = charges.iter().filter(|charge| self.is_watched(&charge.id));
        let watched = members.filter_map(|charge| {
            let (id, since) = (charge.id.clone(), charge.answered);
            match charge.outcome.as_ref()? {
                Outcome::Taken | Outcome::Unknown(_) => Some(Watched::new(id, since, charge.by_several)),
                Outcome::FailedAgain(_) => Some(Watched::failed(id, since)),
                // It may have come back by itself.
                Outcome::NoLongerDue(_) if self.stays => Some(Watched::new(id, since, true)),
                _ => None,
            }
        });
        watched.collect()
    }

    /// Whether somebody waits for what a look at these would say.
    pub fn is_waited_for(&self, watched: &ByInstance<Watched>) -> bool {
        let waits = |id: &InstanceId| self.lines.get(id).is_some_and(|line| line.action == Action::Waiting);
        let went = |group: &&Together| group.members.iter().any(|id| watched.has(id));
        self.groups.iter().filter(went).any(|group| group.members.iter().any(waits))
    }

    /// This run has no time for another look.
    pub fn leave_waves(&mut self) {
        for group in self.groups.iter_mut().filter(|group| group.stage == Stage::Goes) {
            group.stage = Stage::OutOfTime;
        }
    }

    /// Says of all that wait with their group why they do.
    pub fn explain_waits(&mut self, ledger: &Ledger) {
        for group in &self.groups {
            let canary = || {
                let first = group.canary.as_ref();
                first.or(ledger.group(group.cause.key).map(|group| &group.canary))
            };
            let who = canary().map_or_else(|| "another".into(), |name| show_name(name));
            let all = group.connectors;
            let reason: SharedStr = match group.stage {
                Stage::Goes => format!("{who} goes first for all {all} connectors of this cause"),
                Stage::NotTaken => format!("{who} was to go first for all {all} connectors of this cause"),
                Stage::FailedAgain => {
                    format!("{who} went first for all {all} connectors of this cause, and failed again")
                }
                Stage::Rests => {
                    format!("all {all} connectors of this cause rest: {who} went first, and failed again")
                }
                Stage::Went | Stage::OutOfTime => {
                    "follows in the next run, if what went first runs".to_owned()
                }
            }
            .into();
            for id in &group.members {
                if let Some(line) = self.lines.get_mut(id)
                    && line.action == Action::Waiting
                    && (line.reason.is_none() || line.connector_first)
                {
                    line.reason = Some(SharedStr::clone(&reason));
                }
            }
        }
    }

    /// When nobody of one cause has a restart left, the longest untouched gets one more, once in a while.
    fn keep_trying(&mut self, ledger: &Ledger, policy: &Policy, now: Timestamp) {
        let Some(interval) = policy.together.keep_trying.filter(|_| policy.backoff) else { return };
        let mut alike: BTreeMap<(Option<Key>, Option<&InstanceId>), Vec<&Line>> = BTreeMap::new();
        for line in self.lines.iter().filter(|line| is_member(line)) {
            let key = line.cause.as_ref().map(|cause| cause.key);
            // Without a cause nobody knows who is alike.
            let alone = key.is_none().then_some(&line.id);
            alike.entry((key, alone)).or_default().push(line);
        }
        let (mut chosen, mut next_tries) = (Vec::new(), BTreeMap::new());
        for lines in alike.values().filter(|lines| lines.iter().all(|line| line.action == Action::GaveUp)) {
            let last = |line: &&&Line| ledger.episode(&line.id).and_then(|episode| episode.last_attempt);
            let latest = lines.iter().filter_map(|line| last(&line)).max_by_key(|last| last.run);
            let over = latest.is_some_and(|last| policy.is_over(&last, interval, ledger.run, now));
            let not_today = |line: &&&Line| {
                ledger.records.get(&line.id).is_some_and(|record| policy.next_day(record, now).is_some())
            };
            let oldest = lines
                .iter()
                .filter(|line| !not_today(line))
                .min_by_key(|line| last(line).map(|last| (last.run, line.id.clone())));
            match (oldest, latest) {
                (Some(line), _) if over => chosen.push(line.id.clone()),
                (Some(line), Some(latest)) => {
                    next_tries.insert(line.id.clone(), latest);
                }
                _ => {}
            }
        }
        self.next_tries = next_tries;
        for id in chosen {
            let key = self.lines.get(&id).and_then(|line| line.cause.as_ref()).map(|cause| cause.key);
            if let Some(line) = self.lines.get_mut(&id) {
                line.action = Action::Due;
                line.right = Right::BeyondLimit;
                line.reason =
                    Some("nobody of this cause has a restart left: one more is tried (--keep-trying)".into());
            }
            if let Some(group) = self.groups.iter_mut().find(|group| Some(group.cause.key) == key) {
                group.stage = Stage::Goes;
                group.canary = Some(SharedStr::clone(&id.connector));
            }
        }
    }
}

/// Failed now, and nothing but its back-off or its group holds it back.
fn is_member(line: &Line) -> bool {
    matches!(line.action, Action::Due | Action::Waiting | Action::GaveUp)
}

impl Together {
    /// Leaves due what goes in the next wave; nothing when the group rests or nobody may go.
    fn next_wave(&mut self, lines: &mut ByInstance<Line>, ledger: &Ledger, policy: &Policy, now: Timestamp) {
        let is_first = self.restarted.is_empty();
        let resting = is_first && !self.proven && !self.asked && self.rests(ledger, policy, now);
        let mut candidates: BTreeMap<SharedStr, Vec<InstanceId>> = BTreeMap::new();
        for id in &self.members {
            let Some(line) = lines.get(id) else { continue };
            if !resting && self.may_go(line, ledger.episode(id), is_first, policy, now) {
                candidates.entry(SharedStr::clone(&id.connector)).or_default().push(id.clone());
            }
        }
        let order = |ids: &[InstanceId]| {
            let episodes = || ids.iter().filter_map(|id| ledger.episode(id));
            let last = |episode: &Episode| episode.last_attempt.map_or(0, |last| last.run);
            let refused = episodes().any(|episode| episode.not_taken.is_some());
            let attempts = episodes().map(|episode| episode.attempts).min();
            (refused, attempts, episodes().map(last).min())
        };
        let mut connectors: Vec<(SharedStr, Vec<InstanceId>)> = candidates.into_iter().collect();
        connectors.sort_by_cached_key(|(name, ids)| (order(ids), SharedStr::clone(name)));
        let wave: BTreeSet<&InstanceId> =
            connectors.iter().take(self.size).flat_map(|(_, ids)| ids).collect();
        for id in &self.members {
            let Some(line) = lines.get_mut(id) else { continue };
            if wave.contains(id) {
                line.action = Action::Due;
            } else if line.action == Action::Due {
                line.action = Action::Waiting;
                if line.right == Right::None {
                    line.right = Right::Own;
                }
            }
        }
        if is_first && self.canary.is_none() {
            self.canary = connectors.first().map(|(name, _)| SharedStr::clone(name));
        }
        if wave.is_empty() {
            self.stage = if is_first { Stage::Rests } else { Stage::Went };
        }
    }

    fn rests(&self, ledger: &Ledger, policy: &Policy, now: Timestamp) -> bool {
        ledger
            .group(self.cause.key)
            .is_some_and(|group| policy.next_wave(group, ledger.run, now) != Next::Runs(0))
    }

    /// Whether a member may go in the next wave. Its own back-off gives it the right; after a good wave nobody waits for
    /// it any more, but keeps the last restart; a proof frees that too.
    fn may_go(
        &self,
        line: &Line,
        episode: Option<&Episode>,
        is_first: bool,
        policy: &Policy,
        now: Timestamp,
    ) -> bool {
        let waits = line.action == Action::Waiting;
        let due = line.action == Action::Due
            || waits && matches!(line.right, Right::Own | Right::BeyondLimit | Right::Asked);
        if due || !waits || line.incomplete || line.right == Right::NotToday {
            return due;
        }
        let Some(episode) = episode else { return false };
        let settled = policy.has_settled(episode, now);
        let left = policy.restarts_left(episode);
        settled && (self.proven || !is_first) && left.is_none_or(|left| left > u32::from(!self.proven))
    }
}
