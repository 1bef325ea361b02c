//! One digest for each sink: the difference between what is true now and what the sink was told. It decides what is worth
//! a message and when; the words are the sinks' business.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::super::action::Action;
use super::super::advice::Advice;
use super::super::cause::{Cause, Key as CauseKey};
use super::super::ledger::Ledger;
use super::super::model::InstanceId;
use super::super::plan::{Line, Plan, Rules};
use super::super::policy::{CRASH_LOOP, Next};
use super::super::row::{GroupRow, Row, View};
use super::super::time::Timestamp;
use super::look::add;
use super::{
    Audience, Bullet, Digest, Key, Mark, Members, SinkTold, TellRules, Telling, Told, Trouble, Why, count,
};
use crate::decide::shared::SharedStr;

/// From so many restarts in its episode on something is told as failing.
const RESTARTS: u32 = 3;
/// What is in transition or without tasks is told after this time.
const UNWELL: Duration = Duration::from_secs(30 * 60);
/// Messages to one sink within [`HOUR`], but for what was given up.
pub const MOST: usize = 6;
const HOUR: Duration = Duration::from_secs(60 * 60);
/// What may have arrived is not said again so soon: the run that sent it may still be waiting.
const PATIENCE: Duration = Duration::from_secs(60);
/// A closing message that could not be delivered for so long is not worth sending any more.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// A schedule jitters: a run that comes so much too early, or by this part, is in time.
const JITTER: (Duration, u32) = (Duration::from_secs(30), 30);

/// What is true now of one instance.
struct Truth<'a> {
    line: &'a Line,
    /// What there is to say of it to somebody who knows nothing.
    key: Key,
    failing: bool,
    loops: bool,
    /// Since when it has been so without a break.
    since: Timestamp,
    restarts: u32,
}

/// What instances have in common of which the same is said.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Topic {
    key: Key,
    cause: Option<CauseKey>,
    /// What ends, where that is another thing than a failure.
    of: Option<Key>,
    why: Option<Why>,
    repeat: bool,
}

type Said = BTreeMap<Topic, Saying>;

struct Saying {
    since: Timestamp,
    back: Option<Timestamp>,
    restarts: u32,
    cause: Option<Arc<Cause>>,
    members: Members,
}

/// What this run has to say, sink by sink. The ledger then holds it as said but unsure: it is to be saved before anything is
/// sent. `plan` is `None` when the run could not do its work, and `lost` says that the state was set aside.
pub fn digests(
    ledger: &mut Ledger,
    plan: Option<&Plan>,
    rules: Rules<'_>,
    tell: &TellRules,
    lost: bool,
    now: Timestamp,
) -> Vec<Telling> {
    let over = if plan.is_some() { ledger.trouble.take() } else { None };
    let mut told = std::mem::take(&mut ledger.told);
    let truths = plan.map_or_else(Vec::new, |plan| truths(plan, ledger, rules, tell, now));
    let seen = Seen { ledger, plan, rules, tell, truths, over, lost, now };
    let tellings = tell.audience.iter().filter_map(|audience| {
        let sink = told.sinks.entry(SharedStr::clone(&audience.name)).or_default();
        seen.telling(audience, sink)
    });
    let tellings = tellings.collect();
    seen.close_for_the_absent(&mut told);
    told.tidy(now);
    ledger.told = told;
    tellings
}

/// When this is told, for the README.
pub(super) fn when(key: Key) -> String {
    let unwell = UNWELL.as_secs() / 60;
    match key {
        Key::Failing => format!(
            "failed without a break for `GUARDIAN_NOTIFY_AFTER` (15m), or with {RESTARTS} restarts in its episode; at once where no restart fixes its cause"
        ),
        Key::GaveUp => "failed, and no restart is left".to_owned(),
        Key::CrashLoop => format!("failed with {CRASH_LOOP} restarts within 24 h, and it ran in between"),
        Key::Recovered => {
            "told before, and it runs in two runs in a row; with how long it was down and the restarts it took".to_owned()
        }
        Key::LeftAlone => "told before, then paused, stopped, excluded or no longer in Connect".to_owned(),
        Key::NoTasks => format!("RUNNING without a task for {unwell} min"),
        Key::Stuck => format!("neither running nor failed for {unwell} min"),
        Key::Unreachable => "no run could do its work for `GUARDIAN_NOTIFY_AFTER`: why, and for how many runs".to_owned(),
        Key::StateLost => "the state could not be understood and was set aside".to_owned(),
    }
}

/// What ends what was told, for the README.
pub(super) fn ends(key: Key) -> &'static str {
    match key {
        Key::Failing | Key::GaveUp | Key::Stuck | Key::NoTasks => "`recovered` or `left_alone`",
        Key::CrashLoop => "`recovered`, after 24 h without a restart; or `left_alone`",
        Key::Unreachable => "the first run that works",
        Key::Recovered | Key::LeftAlone | Key::StateLost => "-",
    }
}

/// Whether a message of then counts for the limit of now.
pub(super) fn is_recent(sent: Timestamp, now: Timestamp) -> bool {
    now.since(sent) < HOUR
}

fn is_over(time: Duration, wait: Duration) -> bool {
    let (most, part) = JITTER;
    time >= wait.saturating_sub(most.min(wait.checked_div(part).unwrap_or_default()))
}

fn truths<'a>(
    plan: &'a Plan,
    ledger: &Ledger,
    rules: Rules<'_>,
    tell: &TellRules,
    now: Timestamp,
) -> Vec<Truth<'a>> {
    let truth = |line: &'a Line| {
        let record = ledger.records.get(&line.id)?;
        let since = |streak: Option<Timestamp>| {
            streak.filter(|since| {
                is_over(now.since(*since), UNWELL) && rules.filter.selects(&line.id.connector)
            })
        };
        let unwell = |key, since| Truth { line, key, failing: false, loops: false, since, restarts: 0 };
        if line.action == Action::NoTasks {
            let streak = record.no_tasks.as_deref().map(|streak| streak.since);
            return since(streak).map(|since| unwell(Key::NoTasks, since));
        }
        if line.action == Action::InTransition {
            let streak = record.transition.as_deref().map(|streak| streak.since);
            return since(streak).map(|since| unwell(Key::Stuck, since));
        }
        let episode = record.episode.as_ref().filter(|_| line.action.is_failed_now())?;
        let since = episode.failed_since().min(now);
        let advised = line.cause.as_ref().is_some_and(|cause| cause.advice == Advice::NeedsPerson);
        let failing = advised || episode.attempts >= RESTARTS || is_over(now.since(since), tell.after);
        let loops = record.restarts_24h(now) >= CRASH_LOOP;
        let key = if line.action == Action::GaveUp {
            Key::GaveUp
        } else if loops {
            Key::CrashLoop
        } else if failing {
            Key::Failing
        } else {
            return None;
        };
        Some(Truth { line, key, failing, loops, since, restarts: episode.attempts })
    };
    plan.lines.iter().filter_map(truth).collect()
}

struct Seen<'a> {
    ledger: &'a Ledger,
    plan: Option<&'a Plan>,
    rules: Rules<'a>,
    tell: &'a TellRules,
    truths: Vec<Truth<'a>>,
    /// The trouble that this run ended.
    over: Option<Trouble>,
    lost: bool,
    now: Timestamp,
}

impl Seen<'_> {
    fn telling(&self, audience: &Audience, sink: &mut SinkTold) -> Option<Telling> {
        let now = self.now;
        sink.sent.retain(|sent| is_recent(*sent, now) && *sent <= now);
        self.note_lost(sink);
        self.forget_stale(sink);
        let waits = sink.unsure.is_some_and(|unsure| unsure <= now && now.since(unsure) < PATIENCE);
        if waits && !audience.every_run {
            return None;
        }
        let before = sink.marks.clone();
        let mut said = Said::new();
        let (mut rest, mut ending) = self.closings(&before, &mut said);
        self.news(audience, &mut rest, &mut said);
        self.about_connect(&mut rest, &mut ending, &mut said);
        if said.is_empty() {
            let refresh = audience.every_run && !before.is_empty();
            return refresh.then(|| self.tell(audience, sink, Said::new(), before.clone(), before, now));
        }
        let presses = said.keys().any(|topic| topic.key == Key::GaveUp && !topic.repeat);
        if sink.sent.len() >= MOST && !presses && !audience.every_run {
            return None;
        }
        let same = sink.unsure.filter(|_| says_the_same(&before, &said));
        let (mut after, mut intents) = (rest.clone(), rest);
        for (topic, saying) in said.iter().filter(|(topic, _)| !topic.key.closes()) {
            let mark = saying.mark(topic.key, now);
            if topic.key != Key::StateLost {
                add(&mut after, mark.clone());
            }
            add(&mut intents, Mark { unsure: Some(topic.key), ..mark });
        }
        for mark in ending {
            add(&mut intents, mark);
        }
        let telling = self.tell(audience, sink, said, before, after, same.unwrap_or(now));
        sink.marks = intents;
        sink.unsure = Some(same.unwrap_or(now));
        sink.sent.push(now);
        Some(telling)
    }

    fn tell(
        &self,
        audience: &Audience,
        sink: &SinkTold,
        said: Said,
        before: Vec<Mark>,
        after: Vec<Mark>,
        first_at: Timestamp,
    ) -> Telling {
        let mut open = BTreeMap::new();
        for mark in after.iter().filter(|mark| mark.back.is_none()) {
            let all: &mut usize = open.entry(mark.what).or_default();
            *all = all.saturating_add(count(&mark.members).max(1));
        }
        let mut bullets: Vec<Bullet> =
            said.into_iter().map(|(topic, saying)| self.bullet(topic, saying)).collect();
        bullets.sort_by_key(|bullet| (bullet.key, std::cmp::Reverse(bullet.instances())));
        let digest = Digest { run: self.ledger.run, at: self.now, first_at, bullets, open };
        let sent_before = sink.sent.clone();
        Telling { sink: SharedStr::clone(&audience.name), digest, before, after, sent_before }
    }

    /// The state was set aside: a mark until that has been said.
    fn note_lost(&self, sink: &mut SinkTold) {
        if self.lost {
            let what = Key::StateLost;
            let mark = Mark { unsure: Some(what), ..Mark::new(what, self.now, self.now, Arc::default()) };
            sink.marks.push(mark);
        }
    }

    /// What is over for so long that nobody wants to hear it.
    fn forget_stale(&self, sink: &mut SinkTold) {
        let stale = |mark: &Mark| {
            let since = if mark.what == Key::StateLost { Some(mark.at) } else { mark.back };
            let stale = if mark.what == Key::CrashLoop { STALE.saturating_mul(2) } else { STALE };
            since.is_some_and(|since| self.now.since(since) >= stale)
        };
        sink.marks.retain(|mark| !stale(mark));
    }

    /// Says of what was told that it is over, where it is. What stays of the marks, and what may end.
    fn closings(&self, before: &[Mark], said: &mut Said) -> (Vec<Mark>, Vec<Mark>) {
        let (mut rest, mut ending) = (Vec::new(), Vec::new());
        for mark in before {
            let ends = match (mark.left, mark.back) {
                _ if self.plan.is_none() => None,
                (Some(why), _) => Some((Key::LeftAlone, Some(why))),
                (None, Some(back)) if back < self.now => Some((Key::Recovered, None)),
                _ => None,
            };
            let Some((key, why)) = ends else {
                rest.push(mark.clone());
                continue;
            };
            let (ended, stays) = part(mark, |id| {
                let loops = mark.what == Key::CrashLoop && key == Key::Recovered;
                let record = self.ledger.records.get(id).filter(|_| loops);
                record.is_none_or(|record| record.restarts_24h(self.now) == 0)
            });
            rest.extend(stays);
            let Some(ended) = ended else { continue };
            let topic = Topic {
                key,
                cause: ended.cause_key(),
                of: mark.ends_otherwise(),
                why,
                repeat: mark.unsure == Some(key),
            };
            said.entry(topic).or_insert_with(|| Saying::of(&ended)).take_in(&ended);
            ending.push(Mark { unsure: Some(key), left: None, ..ended });
        }
        (rest, ending)
    }

    /// What is true and was not told, or is to be told again.
    fn news(&self, audience: &Audience, rest: &mut Vec<Mark>, said: &mut Said) {
        let mut by_instance: HashMap<(&str, Option<u32>), usize> = HashMap::new();
        for (number, mark) in rest.iter().enumerate() {
            for (connector, instances) in mark.members.iter() {
                by_instance.extend(instances.iter().map(|task| ((&**connector, *task), number)));
            }
        }
        let mut moved: HashMap<usize, BTreeSet<InstanceId>> = HashMap::new();
        for truth in &self.truths {
            let id = &truth.line.id;
            if audience.only.as_ref().is_some_and(|only| !only.match_any(&id.connector)) {
                continue;
            }
            let number = by_instance.get(&(&*id.connector, id.task)).copied();
            let mark = number.and_then(|number| rest.get(number));
            let Some((key, repeat)) = self.says(audience, truth, mark) else { continue };
            let cause = truth.line.cause.as_ref();
            let saying = said
                .entry(Topic { cause: cause.map(|cause| cause.key), ..Topic::new(key, repeat) })
                .or_insert_with(|| Saying::new(truth.since, cause));
            saying.since = saying.since.min(mark.map_or(truth.since, |mark| mark.since.min(truth.since)));
            saying.restarts = saying.restarts.max(truth.restarts);
            saying.members.entry(SharedStr::clone(&id.connector)).or_default().push(id.task);
            if let Some(number) = number {
                moved.entry(number).or_default().insert(id.clone());
            }
        }
        drop(by_instance);
        let mut kept = Vec::new();
        for (number, mark) in std::mem::take(rest).into_iter().enumerate() {
            match moved.get(&number) {
                None => kept.push(mark),
                Some(moved) => kept.extend(part(&mark, |id| moved.contains(id)).1),
            }
        }
        *rest = kept;
    }

    /// What there is to say of an instance to a sink that was told this; and whether it said so before.
    fn says(&self, audience: &Audience, truth: &Truth<'_>, mark: Option<&Mark>) -> Option<(Key, bool)> {
        let Some(mark) = mark else { return Some((truth.key, false)) };
        if let Some(unsure) = mark.unsure {
            return Some((truth.key, unsure == truth.key));
        }
        let again = || self.is_time(audience, mark);
        let broke = truth.since > mark.at;
        match (mark.what, truth.key) {
            (Key::GaveUp, Key::GaveUp) => again().then_some((Key::GaveUp, true)),
            (_, Key::GaveUp) => Some((Key::GaveUp, false)),
            (Key::GaveUp, _) => None,
            (Key::CrashLoop, _) => (truth.loops && again()).then_some((Key::CrashLoop, true)),
            (Key::Failing, _) => (truth.loops && broke).then_some((Key::CrashLoop, false)),
            (told, key) if told == key => again().then_some((key, true)),
            (_, key) => (truth.failing || truth.loops).then_some((key, false)),
        }
    }

    fn is_time(&self, audience: &Audience, mark: &Mark) -> bool {
        let remind = self.tell.remind.filter(|_| mark.what.is_said_again() && !audience.every_run);
        remind.is_some_and(|remind| is_over(self.now.since(mark.at), remind))
    }

    /// That no run can do its work, or can again; that the state was set aside.
    fn about_connect(&self, rest: &mut Vec<Mark>, ending: &mut Vec<Mark>, said: &mut Said) {
        if let Some(lost) = rest.iter().position(|mark| mark.what == Key::StateLost) {
            let lost = rest.remove(lost);
            rest.retain(|mark| mark.what != Key::StateLost);
            said.insert(Topic::new(Key::StateLost, false), Saying::of(&lost));
        }
        let told = rest.iter().position(|mark| mark.what == Key::Unreachable);
        if self.plan.is_some() {
            let Some(mut mark) = told.map(|told| rest.remove(told)) else { return };
            mark.restarts = self.over.as_ref().map_or(mark.restarts, |over| over.runs);
            let saying = Saying { back: Some(self.now), ..Saying::of(&mark) };
            let repeat = mark.unsure == Some(Key::Recovered);
            let topic = Topic { of: mark.ends_otherwise(), ..Topic::new(Key::Recovered, repeat) };
            said.insert(topic, saying);
            ending.push(Mark { unsure: Some(Key::Recovered), ..mark });
            return;
        }
        let Some(trouble) = &self.ledger.trouble else { return };
        let mark = told.and_then(|told| rest.get(told));
        let repeat = match mark {
            None if is_over(self.now.since(trouble.since), self.tell.after) => false,
            Some(mark) if mark.unsure.is_some() => mark.unsure == Some(Key::Unreachable),
            Some(mark) if self.tell.remind.is_some_and(|remind| is_over(self.now.since(mark.at), remind)) => {
                true
            }
            _ => return,
        };
        rest.retain(|mark| mark.what != Key::Unreachable);
        let saying = Saying { restarts: trouble.runs, ..Saying::new(trouble.since, None) };
        said.insert(Topic::new(Key::Unreachable, repeat), saying);
    }

    /// Who is not told anything by this run keeps what it was told until that is over, and then forgets it unsaid: what a
    /// person runs by hand without sinks takes nothing away from what the schedule runs with them.
    fn close_for_the_absent(&self, told: &mut Told) {
        let is_there = |name: &SharedStr| self.tell.audience.iter().any(|audience| audience.name == *name);
        for (_, sink) in told.sinks.iter_mut().filter(|(name, _)| !is_there(name)) {
            let mut nothing = Said::new();
            sink.marks = self.closings(&sink.marks, &mut nothing).0;
            if self.plan.is_some() {
                sink.marks.retain(|mark| !matches!(mark.what, Key::Unreachable | Key::StateLost));
            }
        }
    }

    fn bullet(&self, topic: Topic, saying: Saying) -> Bullet {
        let Topic { key, cause: _, of, why, repeat } = topic;
        let Saying { since, back, restarts, cause, mut members } = saying;
        for instances in members.values_mut() {
            instances.sort_unstable();
            instances.dedup();
        }
        let trouble = self.ledger.trouble.as_ref().filter(|_| key == Key::Unreachable);
        Bullet {
            key,
            of,
            repeat,
            since,
            lasted: back.map(|back| back.since(since)),
            restarts,
            next: if key.closes() { None } else { self.next(key, cause.as_ref(), &members) },
            cause,
            members: Arc::new(members),
            why: why.map(|why| why.as_str().into()).or(trouble.map(|trouble| trouble.message.clone())),
        }
    }

    /// When the next restart of one of these comes, if one will.
    fn next(&self, key: Key, cause: Option<&Arc<Cause>>, members: &Members) -> Option<Next> {
        let (ledger, policy, now) = (self.ledger, self.rules.policy, self.now);
        let (plan, view) = (self.plan?, View::Run(ledger.run));
        let together =
            plan.groups.iter().find(|group| cause.is_some_and(|cause| cause.key == group.cause.key));
        let ids = members.iter().flat_map(|(connector, instances)| {
            instances.iter().map(|task| InstanceId { connector: SharedStr::clone(connector), task: *task })
        });
        if key == Key::GaveUp {
            let last = ids.filter_map(|id| ledger.episode(&id)?.last_attempt).max_by_key(|last| last.run)?;
            return policy.next_try(&last, ledger.run, now);
        }
        if let Some(group) = together {
            return GroupRow::new(group, plan, ledger, policy, view, now).next;
        }
        let rows = ids.filter_map(|id| plan.lines.get(&id));
        rows.filter_map(|line| Row::new(line, ledger, policy, view, now).next).reduce(Next::or_sooner)
    }
}

/// The part of a mark that this is true of, and the rest.
fn part(mark: &Mark, ends: impl Fn(&InstanceId) -> bool) -> (Option<Mark>, Option<Mark>) {
    let (mut yes, mut no) = (Members::new(), Members::new());
    for (connector, instances) in mark.members.iter() {
        for task in instances {
            let id = InstanceId { connector: SharedStr::clone(connector), task: *task };
            let part = if ends(&id) { &mut yes } else { &mut no };
            part.entry(id.connector).or_default().push(*task);
        }
    }
    let with =
        |members: Members| (!members.is_empty()).then(|| Mark { members: Arc::new(members), ..mark.clone() });
    if no.is_empty() { (Some(mark.clone()), None) } else { (with(yes), with(no)) }
}

/// Whether all that is said was said before and may not have arrived, and nothing else.
fn says_the_same(before: &[Mark], said: &Said) -> bool {
    let unsure = before.iter().filter_map(|mark| Some((mark.unsure?, mark.cause_key())));
    let unsure: BTreeSet<_> = unsure.collect();
    let all = said.keys().map(|topic| (topic.key, topic.cause));
    !unsure.is_empty() && all.collect::<BTreeSet<_>>() == unsure && {
        let count_of = |members: &Members| count(members);
        let before: usize =
            before.iter().filter(|mark| mark.unsure.is_some()).map(|mark| count_of(&mark.members)).sum();
        let now: usize = said.values().map(|saying| count_of(&saying.members)).sum();
        before == now
    }
}

impl Ledger {
    /// One more run that could not do its work.
    pub fn note_trouble(&mut self, kind: &str, message: &str, now: Timestamp) {
        let (since, runs) = self.trouble.as_ref().map_or((now, 0), |it| (it.since.min(now), it.runs));
        let (kind, message) = (kind.into(), message.into());
        self.trouble = Some(Trouble { kind, since, runs: runs.saturating_add(1), message });
    }
}

impl Topic {
    fn new(key: Key, repeat: bool) -> Self {
        Self { key, cause: None, of: None, why: None, repeat }
    }
}

impl Mark {
    /// What it is about, where its end is told in other words.
    fn ends_otherwise(&self) -> Option<Key> {
        Some(self.what).filter(|what| matches!(what, Key::CrashLoop | Key::Unreachable))
    }

    fn cause_key(&self) -> Option<CauseKey> {
        self.cause.as_ref().map(|cause| cause.key)
    }
}

impl Saying {
    fn new(since: Timestamp, cause: Option<&Arc<Cause>>) -> Self {
        Self { since, back: None, restarts: 0, cause: cause.cloned(), members: Members::new() }
    }

    /// What was told of a mark, without its members.
    fn of(mark: &Mark) -> Self {
        Self { back: mark.back, restarts: mark.restarts, ..Self::new(mark.since, mark.cause.as_ref()) }
    }

    fn take_in(&mut self, mark: &Mark) {
        self.since = self.since.min(mark.since);
        self.back = self.back.max(mark.back);
        self.restarts = self.restarts.max(mark.restarts);
        for (connector, instances) in mark.members.iter() {
            self.members.entry(SharedStr::clone(connector)).or_default().extend(instances);
        }
    }

    fn mark(&self, what: Key, now: Timestamp) -> Mark {
        let mut members = self.members.clone();
        for instances in members.values_mut() {
            instances.sort_unstable();
            instances.dedup();
            instances.shrink_to_fit();
        }
        Mark {
            restarts: self.restarts,
            cause: self.cause.clone(),
            ..Mark::new(what, now, self.since, Arc::new(members))
        }
    }
}
