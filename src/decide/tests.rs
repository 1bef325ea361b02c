//! Decisions as values: a small world is built, runs pass over it, and the plan
//! is read as a whole. Then any history at all: an independent model of the
//! contract says of every run what may and what must happen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::action::Action;
use super::calls::{Call, Why};
use super::cause::Cause;
use super::event::Event;
use super::ledger::Ledger;
use super::listing::{Listing, Sighting};
use super::model::{InstanceId, State};
use super::outcome::{Outcome, Unreached};
use super::plan::{Line, Plan, Rules, plan};
use super::policy::tests::doubling;
use super::policy::{Next, Pace, Policy, Wait};
use super::record::Record;
use super::row::{Row, View};
use super::select::{Filter, Patterns};
use super::shared::SharedStr;
use super::table::ByInstance;
use super::time::Timestamp;
use super::watch::Watched;

/// A cluster as it is, and guardian's memory of it.
struct World {
    connectors: BTreeMap<String, (String, Vec<(u32, String)>)>,
    ledger: Ledger,
    policy: Policy,
    filter: Filter,
    no_tasks_ok: Patterns,
    now: Timestamp,
    /// Of every failure.
    cause: &'static str,
}

const FIVE_MINUTES: Duration = Duration::from_secs(300);

impl World {
    fn new() -> Self {
        Self {
            connectors: BTreeMap::new(),
            ledger: Ledger::default(),
            policy: doubling(),
            filter: Filter::default(),
            no_tasks_ok: Patterns::default(),
            now: Timestamp::from_millis(1_000_000_000),
            cause: "a.B: broken",
        }
    }

    /// A connector in this state, with tasks in these.
    fn with(mut self, name: &str, state: &str, tasks: &[&str]) -> Self {
        self.set(name, state, tasks);
        self
    }

    fn set(&mut self, name: &str, state: &str, tasks: &[&str]) {
        let tasks = (0..).zip(tasks).map(|(id, state)| (id, (*state).to_owned())).collect();
        self.connectors.insert(name.to_owned(), (state.to_owned(), tasks));
    }

    fn policy(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(&mut self.policy);
        self
    }

    fn listing(&self) -> Listing {
        let (mut listing, mut sightings) = (Listing::default(), Vec::new());
        for (name, (state, tasks)) in &self.connectors {
            let own = State::parse(state);
            listing.connectors.add(Some(&own));
            if own.is_paused_or_stopped() {
                listing.paused_or_stopped.insert(name.as_str().into());
            }
            if own == State::Running && tasks.is_empty() {
                listing.no_tasks.insert(name.as_str().into());
            }
            let sighting = |id, state: State| Sighting {
                id,
                paused_or_stopped: own.is_paused_or_stopped(),
                cause: (state == State::Failed).then(|| Cause::of(self.cause).unwrap().into()),
                worker: None,
                state,
            };
            sightings.push(sighting(InstanceId::connector(name), own.clone()));
            for (task, state) in tasks {
                listing.tasks.add(Some(&State::parse(state)));
                sightings.push(sighting(InstanceId::task(name, *task), State::parse(state)));
            }
        }
        listing.sightings = sightings.into();
        listing
    }

    fn rules(&self) -> Rules<'_> {
        Rules { policy: &self.policy, filter: &self.filter, no_tasks_ok: &self.no_tasks_ok }
    }

    /// The plan of the next run; nothing is done about it yet.
    fn plan(&mut self) -> Plan {
        self.now = self.now.plus(FIVE_MINUTES);
        let listing = self.listing();
        let rules = Rules { policy: &self.policy, filter: &self.filter, no_tasks_ok: &self.no_tasks_ok };
        plan(&mut self.ledger, listing, rules, self.now)
    }

    /// Charges what is due, and lets every restart end in `outcome`.
    fn restart(&mut self, plan: &mut Plan, outcome: &Outcome) {
        let mut charges = plan.charge(&mut self.ledger, &self.policy, self.now);
        for charge in charges.iter_mut() {
            charge.connector_restarted = charge.connector_first;
            charge.note(outcome.clone(), self.now);
        }
        plan.record(&mut self.ledger, charges, &"unsent".into());
    }

    /// One run in which every restart ends in `outcome`, as a table.
    fn run_with(&mut self, outcome: &Outcome) -> String {
        let mut plan = self.plan();
        plan.record_told(&mut self.ledger, self.now);
        self.restart(&mut plan, outcome);
        self.show(&plan)
    }

    fn run(&mut self) -> String {
        self.run_with(&Outcome::Taken)
    }

    /// One run in which `back` says what comes back, and everything else fails again: the connectors of its waves.
    fn run_in_waves(&mut self, back: impl Fn(&InstanceId) -> bool) -> String {
        let mut plan = self.plan();
        let (mut waves, mut watched) = (Vec::new(), ByInstance::default());
        while plan.due().next().is_some() {
            waves.push(self.wave(&mut plan, &mut watched, &back));
            plan.next_waves(&self.ledger, &self.policy, self.now);
        }
        waves.join(" | ")
    }

    /// Sends what is due, and judges it.
    fn wave(
        &mut self,
        plan: &mut Plan,
        watched: &mut ByInstance<Watched>,
        back: impl Fn(&InstanceId) -> bool,
    ) -> String {
        let names: BTreeSet<String> = plan.due().map(|line| line.id.connector.to_string()).collect();
        let mut charges = plan.charge(&mut self.ledger, &self.policy, self.now);
        charges.iter_mut().for_each(|charge| charge.note(Outcome::Taken, self.now));
        plan.note_waves(&mut self.ledger, self.now);
        for charge in charges.iter().filter(|charge| back(&charge.id)) {
            let (own, tasks) = self.connectors.get_mut(&*charge.id.connector).unwrap();
            match charge.id.task {
                None => *own = "RUNNING".to_owned(),
                Some(task) => tasks.iter_mut().find(|(id, _)| *id == task).unwrap().1 = "RUNNING".to_owned(),
            }
        }
        watched.extend(plan.to_watch(&charges));
        plan.record(&mut self.ledger, charges, &"unsent".into());
        let listing = self.listing();
        watched.iter_mut().for_each(|one| one.see(&listing, self.now));
        let looks = plan.is_waited_for(watched);
        plan.judge_waves(&mut self.ledger, watched, looks);
        names.into_iter().collect::<Vec<_>>().join(" ")
    }

    fn show(&self, plan: &Plan) -> String {
        let mut text = String::new();
        for line in &plan.lines {
            let row = Row::new(line, &self.ledger, &self.policy, View::Run(self.ledger.run), self.now);
            let state = line.state.as_ref().map_or("-", State::as_str);
            let next = match row.next {
                None => "-".to_owned(),
                Some(Next::Runs(runs)) => format!("{runs} runs"),
                Some(Next::At(moment)) => format!("{} s", moment.since(self.now).as_secs()),
            };
            let _ =
                writeln!(text, "{} {state} {} {} next {next}", line.id, line.action.as_str(), row.attempts);
        }
        for warning in &plan.warnings {
            let _ = writeln!(text, "! {warning}");
        }
        text
    }
}

#[test]
fn healthy_noop() {
    let mut world = World::new().with("orders", "RUNNING", &["RUNNING", "RUNNING"]);
    assert_eq!(world.run(), "");
    assert_eq!(world.ledger.records.len(), 0);
}

#[test]
fn failed_is_due() {
    let mut world =
        World::new().with("orders", "FAILED", &["RUNNING", "FAILED"]).with("pay", "RUNNING", &["FAILED"]);
    let plan = world.plan();
    assert_snapshot!(world.show(&plan), @r"
    orders FAILED due 0 next 0 runs
    orders/1 FAILED due 0 next 0 runs
    pay/0 FAILED due 0 next 0 runs
    ");
    let ids = |call: &Call| call.ids().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let calls: Vec<Vec<String>> =
        plan.batches(&world.ledger).map(|batch| batch.iter().map(ids).collect()).collect();
    assert_eq!(calls, [["orders orders/1"], ["pay/0"]]);
}

#[test]
fn restart_wait_recover_forgive() {
    let mut world = World::new().with("orders", "RUNNING", &["FAILED"]);
    assert_snapshot!(world.run(), @"orders/0 FAILED restarted 1 next 2 runs");
    assert_snapshot!(world.run(), @"orders/0 FAILED waiting 1 next 1 runs");
    assert_snapshot!(world.run(), @"orders/0 FAILED restarted 2 next 4 runs");
    world.set("orders", "RUNNING", &["RUNNING"]);
    assert_snapshot!(world.run(), @"orders/0 RUNNING recovered 2 next -");
    for _ in 0..3 {
        assert!(!world.ledger.is_well());
        assert_eq!(world.run(), "");
    }
    assert!(world.ledger.is_well(), "the fourth healthy run forgives: its wait was four runs");
}

/// What comes at run 5 is one run away for run 4, and also for somebody who looks after run 4.
#[test]
fn a_look_between_two_runs_counts_as_the_run_before_it_did() {
    let mut world = World::new().with("orders", "RUNNING", &["FAILED"]);
    world.run();
    world.ledger.charge(&InstanceId::task("orders", 0), world.now);
    world.set("orders", "RUNNING", &["RUNNING"]);
    let forgiven = |world: &World, plan: &Plan, view| {
        let row = |line| Row::new(line, &world.ledger, &world.policy, view, world.now);
        plan.lines.iter().map(|line| row(line).forgiven).collect::<Vec<_>>()
    };
    let plan = world.plan();
    assert_eq!(
        forgiven(&world, &plan, View::Run(world.ledger.run)),
        [Some(Next::Runs(3))],
        "its wait is four runs"
    );
    let mut look = world.plan();
    look.add_remembered(&world.ledger);
    assert_eq!(forgiven(&world, &look, View::Before(world.ledger.run)), [Some(Next::Runs(3))]);
}

#[test]
fn a_relapse_within_the_wait_climbs_on() {
    let mut world =
        World::new().with("orders", "RUNNING", &["FAILED"]).policy(|policy| policy.max_restart = Some(2));
    world.run();
    world.set("orders", "RUNNING", &["RUNNING"]);
    world.run();
    world.set("orders", "RUNNING", &["FAILED"]);
    assert_snapshot!(world.run(), @"orders/0 FAILED restarted 2 next -");
    assert_snapshot!(world.run(), @"orders/0 FAILED gave_up 2 next -");
    world.policy.max_restart = Some(3);
    assert_snapshot!(world.run(), @"orders/0 FAILED waiting 2 next 2 runs");
}

#[test]
fn paused_and_stopped_are_left_alone() {
    let mut world = World::new().with("a", "RUNNING", &["FAILED"]).with("b", "STOPPED", &["FAILED"]);
    assert_snapshot!(world.run(), @r"
    a/0 FAILED restarted 1 next 2 runs
    b/0 FAILED parked 0 next -
    ");
    let before = world.ledger.records.clone();
    world.set("a", "PAUSED", &["FAILED", "PAUSED"]);
    assert_snapshot!(world.run(), @r"
    a/0 FAILED parked 1 next -
    b/0 FAILED parked 0 next -
    ");
    world.set("a", "STOPPED", &[]);
    assert_snapshot!(world.run(), @"b/0 FAILED parked 0 next -");
    assert_eq!(world.ledger.records, before);
    world.set("a", "RUNNING", &["FAILED"]);
    assert!(world.run().starts_with("a/0 FAILED restarted 2"), "the wait went on meanwhile");
}

#[test]
fn a_failed_connector_with_paused_tasks_is_failed() {
    let mut world = World::new().with("a", "FAILED", &["PAUSED"]);
    assert_snapshot!(world.run(), @"a FAILED restarted 1 next 2 runs");
}

#[test]
fn in_transition_warns_and_may_count_as_failed() {
    let mut world = World::new().with("a", "RUNNING", &["UNASSIGNED"]);
    world.run();
    assert_snapshot!(world.run(), @"a/0 UNASSIGNED in_transition 0 next -");
    assert_snapshot!(world.run(), @r"
    a/0 UNASSIGNED in_transition 0 next -
    ! in transition for three runs or more (see --stuck-after): a/0
    ");
    world.policy.stuck_after = Some(4);
    assert_snapshot!(world.run(), @"a/0 UNASSIGNED restarted 1 next 2 runs");
    world.set("a", "RUNNING", &["RUNNING"]);
    assert_snapshot!(world.run(), @"a/0 RUNNING recovered 1 next -");
}

#[test]
fn a_state_of_a_newer_connect_is_in_transition() {
    let mut world = World::new().with("a", "RUNNING", &["HIBERNATING"]);
    assert_snapshot!(world.run(), @"a/0 HIBERNATING in_transition 0 next -");
}

#[test]
fn running_without_tasks_is_a_warning() {
    let mut world = World::new().with("a", "RUNNING", &[]);
    assert_snapshot!(world.run(), @r"
    a RUNNING no_tasks 0 next -
    ! RUNNING without a single task: a
    ");
}

#[test]
fn absent_is_neither_healthy_nor_deleted() {
    let mut world = World::new().with("a", "RUNNING", &["FAILED"]).with("b", "RUNNING", &["RUNNING"]);
    world.run();
    world.connectors.remove("a");
    for _ in 0..11 {
        assert_eq!(world.run(), "a/0 - absent 1 next -\n");
    }
    assert_eq!(world.run(), "", "twelve runs absent: forgotten");
    assert!(world.ledger.records.is_empty());
}

#[test]
fn a_pause_ends_an_absence() {
    let mut world = World::new().with("a", "RUNNING", &["FAILED"]).with("b", "RUNNING", &[]);
    world.run();
    let absent_for = |world: &World| {
        world.ledger.records.get(&InstanceId::task("a", 0)).unwrap().absent.as_ref().map(|it| it.runs)
    };
    for _ in 0..3 {
        world.connectors.remove("a");
        (0..11).for_each(|_| drop(world.run()));
        assert_eq!(absent_for(&world), Some(11));
        world.set("a", "STOPPED", &[]);
        world.run();
        assert_eq!(absent_for(&world), None);
    }
}

#[test]
fn an_answer_that_tells_nothing_changes_nothing() {
    let mut world = World::new().with("a", "RUNNING", &["FAILED"]);
    world.run();
    let before = world.ledger.records.clone();
    let listing = Listing::not_understood("b", "it is broken");
    for _ in 2..40 {
        world.now = world.now.plus(FIVE_MINUTES);
        world.ledger.observe(&listing, &world.policy, world.now);
    }
    assert_eq!(world.ledger.records, before);
}

#[test]
fn a_connector_without_tasks_has_just_been_restarted() {
    let mut world = World::new().with("a", "FAILED", &[]);
    world.run();
    world.set("a", "RUNNING", &[]);
    assert_snapshot!(world.run(), @"a RUNNING recovered 1 next -");
    assert_snapshot!(world.run(), @r"
    a RUNNING no_tasks 0 next -
    ! RUNNING without a single task: a
    ");
}

#[test]
fn what_cannot_be_read_is_shown_as_it_was_last_seen() {
    let mut world = World::new()
        .with("a", "RUNNING", &["FAILED", "FAILED", "RESTARTING"])
        .policy(|policy| policy.max_restart = Some(1));
    world.run();
    world.set("a", "RUNNING", &["FAILED", "RUNNING", "RESTARTING"]);
    world.run();
    world.policy.max_restart = Some(2);
    let plan = Plan::unread(&world.ledger, world.rules(), world.now);
    let shown: Vec<String> = plan
        .lines
        .iter()
        .map(|line| {
            let row = Row::new(line, &world.ledger, &world.policy, View::After(world.ledger.run), world.now);
            assert_eq!(line.state, None);
            format!("{} {} next {:?} forgiven {:?}", line.id, line.action.as_str(), row.next, row.forgiven)
        })
        .collect();
    assert_eq!(
        shown,
        [
            "a/0 due next Some(Runs(1)) forgiven None",
            "a/1 recovered next None forgiven Some(Runs(1))",
            "a/2 in_transition next None forgiven None",
        ]
    );
}

#[test]
fn an_empty_answer_changes_nothing() {
    let mut world = World::new().with("a", "RUNNING", &["FAILED"]);
    world.run();
    let before = world.ledger.records.clone();
    world.connectors.clear();
    let shown = world.run();
    assert_snapshot!(shown, @r"
    a/0 - absent 1 next -
    ! Connect lists no connectors, but 1 instance is remembered: it may still be starting; nothing was changed
    ");
    (0..40).for_each(|_| assert_eq!(world.run(), shown));
    assert_eq!(world.ledger.records, before);
}

#[test]
fn the_cap_of_a_run_takes_those_with_the_fewest_attempts() {
    let mut world = World::new().with("a", "RUNNING", &["FAILED"]).policy(|policy| {
        policy.ratio = 1;
        policy.max_per_run = Some(2);
    });
    world.run();
    world.set("b", "RUNNING", &["FAILED", "FAILED"]);
    assert_snapshot!(world.run(), @r"
    a/0 FAILED deferred 1 next 1 runs
    b/0 FAILED restarted 1 next 1 runs
    b/1 FAILED restarted 1 next 1 runs
    ");
    world.policy.max_per_run = Some(0);
    assert!(world.run().lines().all(|line| line.contains("deferred")));
}

#[test]
fn excluded_is_shown_and_not_touched() {
    let mut world = World::new().with("a", "FAILED", &[]).with("b", "RUNNING", &["FAILED", "FAILED"]);
    world.filter = Filter::new(Patterns::default(), Patterns::new("--exclude", &["b".to_owned()]));
    assert_snapshot!(world.run(), @r"
    a FAILED restarted 1 next 2 runs
    b/0 FAILED excluded 0 next -
    b/1 FAILED excluded 0 next -
    ");
}

#[test]
fn one_call_only_where_nothing_else_is_remembered() {
    let together = |world: &mut World| {
        let plan = world.plan();
        plan.batches(&world.ledger).any(|batch| matches!(batch[..], [Call::FailedOf { .. }]))
    };
    assert!(together(&mut World::new().with("a", "RUNNING", &["FAILED", "FAILED", "RUNNING"])));
    assert!(!together(&mut World::new().with("a", "RUNNING", &["FAILED"])), "one is one call anyway");
    assert!(!together(&mut World::new().with("a", "RUNNING", &["FAILED", "FAILED", "RESTARTING"])));
    assert!(!together(&mut World::new().with("a", "RUNNING", &["FAILED", "FAILED", "UNASSIGNED"])));
    let mut world = World::new().with("a", "RUNNING", &["FAILED", "RUNNING", "RUNNING"]);
    world.run();
    world.set("a", "RUNNING", &["RUNNING", "FAILED", "FAILED"]);
    assert!(
        !together(&mut world),
        "task 0 has only just recovered: another failure of it would not be charged"
    );
    let mut world = World::new().with("a", "RUNNING", &["FAILED", "FAILED", "RUNNING"]);
    world.run();
    world.set("a", "RUNNING", &["FAILED", "FAILED", "FAILED"]);
    assert!(!together(&mut world), "tasks 0 and 1 wait");
}

#[test]
fn a_plain_call_is_not_sent_when_its_instance_is_no_longer_what_made_it_due() {
    let id = |task| InstanceId::task("a", task);
    let failed = Call::One { id: id(0), why: Why::Failed };
    let stuck = Call::One { id: id(0), why: Why::Stuck };
    let asked = Call::One { id: id(0), why: Why::Asked };
    let together = Call::FailedOf { connector: "a".into(), expected: vec![id(0), id(1)] };
    for (connector, task, of_failed, of_stuck) in [
        ("RUNNING", "FAILED", "", "it is FAILED"),
        ("FAILED", "FAILED", "", "it is FAILED"),
        ("RUNNING", "RUNNING", "it is RUNNING", "it is RUNNING"),
        ("RUNNING", "UNASSIGNED", "it is UNASSIGNED", ""),
        ("RUNNING", "RESTARTING", "it is RESTARTING", ""),
        ("RUNNING", "NEW", "it is NEW", ""),
        ("PAUSED", "FAILED", "paused or stopped", "paused or stopped"),
        ("STOPPED", "UNASSIGNED", "paused or stopped", "paused or stopped"),
    ] {
        let now = World::new().with("a", connector, &[task, "FAILED"]).listing();
        let of_asked =
            if connector.ends_with('D') && connector != "FAILED" { "paused or stopped" } else { "" };
        for (call, expected) in
            [(&failed, of_failed), (&stuck, of_stuck), (&asked, of_asked), (&together, "")]
        {
            let said = call.no_longer_due(&now);
            let as_expected = match said.as_deref() {
                None => expected.is_empty(),
                Some(said) => !expected.is_empty() && said.contains(expected),
            };
            assert!(as_expected, "{call:?} when {connector} {task}: {said:?}, not {expected:?}");
        }
    }
    let first = Call::ConnectorFirst { connector: "a".into(), tasks: vec![id(0), id(1)] };
    for (connector, tasks, expected) in [
        ("RUNNING", ["FAILED", "RUNNING"], None),
        ("RUNNING", ["RUNNING", "RESTARTING"], None),
        ("RUNNING", ["RUNNING", "RUNNING"], Some("not restarted, it is RUNNING by now")),
        ("FAILED", ["FAILED", "FAILED"], Some("not restarted, its connector is FAILED by now")),
        ("PAUSED", ["FAILED", "FAILED"], Some("not restarted, the connector is paused or stopped by now")),
    ] {
        let now = World::new().with("a", connector, &tasks).listing();
        assert_eq!(first.no_longer_due(&now).as_deref(), expected, "{connector} {tasks:?}");
    }
    let gone = World::new().with("a", "RUNNING", &[]).listing();
    assert_eq!(failed.no_longer_due(&gone).as_deref(), Some("not restarted, Connect lists it no more"));
}

#[test]
fn what_connect_did_not_take_is_refunded() {
    let text = || "HTTP".into();
    for (outcome, shows) in [
        (Outcome::Taken, "restarted 1 next 2"),
        (Outcome::FailedAgain(text()), "failed 1 next 2"),
        (Outcome::NotFound(text()), "gone 0 next 1"),
        (Outcome::UnknownTask(text()), "gone 0 next 1"),
        (Outcome::NotNow(text()), "deferred 0 next 1"),
        (Outcome::NotReached(text(), Unreached::NoUpstream), "deferred 0 next 1"),
        (Outcome::NoLongerDue(text()), "deferred 0 next 1"),
        (Outcome::NotSent(text()), "deferred 0 next 1"),
        (Outcome::Unaddressable(text()), "failed 1 next 2"),
        (Outcome::Refused(text()), "failed 0 next 1"),
        (Outcome::Unauthorized(text()), "failed 0 next 1"),
        (Outcome::Unknown(text()), "unknown 1 next 2"),
    ] {
        let mut world = World::new().with("a", "FAILED", &[]);
        assert_eq!(world.run_with(&outcome), format!("a FAILED {shows} runs\n"), "{outcome:?}");
    }
    let mut world = World::new().with("a", "FAILED", &[]);
    world.run_with(&Outcome::NotFound(text()));
    assert_snapshot!(world.run_with(&Outcome::NotFound(text())), @"a FAILED failed 1 next 2 runs");
}

#[test]
fn a_restart_beyond_the_limit_that_connect_did_not_take_is_refunded_with_its_right() {
    let mut world = World::new().with("a", "FAILED", &[]).policy(|policy| {
        policy.max_restart = Some(1);
        policy.together.keep_trying = Some(Wait::Runs(2));
    });
    world.run_with(&Outcome::Taken);
    world.run();
    let own = |world: &World| {
        let episode = world.ledger.records.first().and_then(|record| record.episode.as_ref()).unwrap();
        (episode.attempts, episode.extra)
    };
    for (outcome, left) in [(Outcome::NotNow("HTTP".into()), (1, 0)), (Outcome::Taken, (2, 1))] {
        world.run_with(&outcome);
        assert_eq!(own(&world), left, "{outcome:?}");
    }
}

#[test]
fn a_failure_of_another_cause_after_a_healthy_run_begins_a_new_episode() {
    for (second, attempts) in [("a.B: broken", 2), ("c.D: a bad record", 1)] {
        let mut world = World::new().with("a", "RUNNING", &["FAILED"]).policy(|policy| policy.ratio = 1);
        world.run();
        world.policy.ratio = 8; // not forgiven for long
        world.set("a", "RUNNING", &["RUNNING"]);
        world.run();
        world.policy.ratio = 1;
        world.cause = second;
        world.set("a", "RUNNING", &["FAILED"]);
        world.run();
        assert_eq!(world.ledger.attempts(&InstanceId::task("a", 0)), attempts, "{second}");
    }
    // Without a healthy run between them they are one: a sink that lost its database may start badly.
    let mut world = World::new().with("a", "RUNNING", &["FAILED"]).policy(|policy| policy.ratio = 1);
    world.run();
    world.cause = "c.D: a bad record";
    world.run();
    assert_eq!(world.ledger.attempts(&InstanceId::task("a", 0)), 2);
}

#[test]
fn giving_up_is_news_once() {
    let mut world = World::new().with("a", "FAILED", &[]).policy(|policy| policy.max_restart = Some(1));
    world.run();
    let news = |world: &mut World| {
        let mut plan = world.plan();
        plan.record_told(&mut world.ledger, world.now);
        plan.lines.iter().filter(|line| line.event == Some(Event::GaveUp)).count()
    };
    assert_eq!([news(&mut world), news(&mut world)], [1, 0]);
    world.policy.max_restart = Some(2);
    world.run();
    assert_eq!([news(&mut world), news(&mut world)], [1, 0], "it had one more restart since");
}

#[test]
fn a_clock_set_back_prolongs_no_wait() {
    let mut world = World::new().with("a", "FAILED", &[]).policy(|policy| {
        policy.pace = Pace::Clock { step: FIVE_MINUTES, cap: None };
        policy.ratio = 1;
    });
    world.now = Timestamp::from_millis(100_000_000_000);
    world.run();
    world.now = Timestamp::from_millis(1_000_000_000);
    assert_snapshot!(world.run(), @"a FAILED waiting 1 next 300 s");
    assert_snapshot!(world.run(), @"a FAILED restarted 2 next 300 s");
}

// === Together ===

/// So many connectors a, b, c and so on, of one failed task each, that go in waves.
fn outage(connectors: usize) -> World {
    let mut world = World::new().policy(|policy| {
        policy.ratio = 1;
        policy.together.group_from = Some(3);
    });
    for name in ('a'..='z').take(connectors) {
        world.set(&name.to_string(), "RUNNING", &["FAILED"]);
    }
    world
}

fn nobody(_: &InstanceId) -> bool {
    false
}

fn everybody(_: &InstanceId) -> bool {
    true
}

#[test]
fn in_an_outage_one_goes_and_the_others_rest() {
    let mut world = outage(12);
    let runs: Vec<String> = (0..7).map(|_| world.run_in_waves(nobody)).collect();
    assert_eq!(runs, ["a", "", "b", "", "c", "", "d"], "a bad wave rests for two runs, whatever the ratio");
    let attempts: u32 = world.ledger.records.iter().map(Record::attempts).sum();
    assert_eq!(attempts, 4, "nobody else was charged");
    world.policy.together.rest = 8;
    let runs: Vec<String> = (0..9).map(|_| world.run_in_waves(nobody)).collect();
    assert_eq!(
        runs,
        ["", "", "", "", "", "", "", "e", ""],
        "four bad waves in a row: 16 runs, eight at most"
    );
}

#[test]
fn after_good_waves_three_times_as_many_follow() {
    let mut world = outage(26);
    let waves = world.run_in_waves(everybody);
    assert_eq!(waves, "a | b c d | e f g h i j k l m | n o p q r s t u v w x y z");
    assert_eq!(world.run_in_waves(nobody), "");
}

#[test]
fn a_wave_is_good_while_at_most_a_fifth_fails_again() {
    let poisoned = |names: &'static str| move |id: &InstanceId| !names.contains(&*id.connector);
    assert_eq!(outage(13).run_in_waves(poisoned("b")), "a | b c d", "one of four");
    assert_eq!(outage(13).run_in_waves(poisoned("ef")), "a | b c d | e f g h i j k l m", "two of thirteen");
    assert_eq!(outage(14).run_in_waves(poisoned("ef")), "a | b c d | e f g h i j k l m | n");
    assert_eq!(
        outage(14).run_in_waves(poisoned("efg")),
        "a | b c d | e f g h i j k l m",
        "three of thirteen"
    );
}

#[test]
fn a_proof_frees_everybody_at_once_and_those_given_up_once_more() {
    let mut world = outage(12).policy(|policy| policy.max_restart = Some(2));
    // Each of them in its turn, until nobody has a restart left.
    for _ in 0..60 {
        world.run_in_waves(nobody);
    }
    assert!(world.ledger.records.iter().all(|record| record.attempts() == 2));
    assert_eq!(world.run_in_waves(everybody), "", "given up");
    // A person brings one back.
    world.set("c", "RUNNING", &["RUNNING"]);
    let others = "a b d e f g h i j k l";
    assert_eq!(world.run_in_waves(|id| *id.connector != *"d"), others, "all at once");
    assert!(world.ledger.records.iter().all(|record| record.attempts() <= 3));
    // What failed again is not freed by those that went with it.
    assert_eq!([world.run_in_waves(everybody), world.run_in_waves(everybody)], ["", ""]);
    assert_eq!(world.ledger.attempts(&InstanceId::task("d", 0)), 3);
}

#[test]
fn what_runs_for_too_short_a_time_proves_nothing() {
    let mut world = outage(12).policy(|policy| policy.settle = Duration::from_secs(60));
    let mut plan = world.plan();
    let mut watched = ByInstance::default();
    assert_eq!(world.wave(&mut plan, &mut watched, everybody), "a");
    // Twenty seconds later somebody looks: a pool may still be trying.
    world.now = Timestamp::from_millis(world.now.millis() - 280_000);
    assert_eq!(world.run_in_waves(nobody), "b", "the next canary, not everybody");
}

#[test]
fn the_last_restart_is_kept_for_its_own_time_or_a_proof() {
    let mut world = outage(5).policy(|policy| {
        policy.ratio = 8;
        policy.max_restart = Some(2);
    });
    // All have had one: the wait is eight runs.
    let plan = world.plan();
    for line in &plan.lines.iter().map(|line| line.id.clone()).collect::<Vec<_>>() {
        world.ledger.charge(line, world.now);
    }
    for _ in 0..7 {
        assert_eq!(world.run_in_waves(everybody), "");
    }
    world.ledger.episode_mut(&InstanceId::task("a", 0)).unwrap().last_attempt.as_mut().unwrap().run -= 1;
    world.ledger.run -= 1;
    assert_eq!(world.run_in_waves(everybody), "a", "the others keep theirs");
}

#[test]
fn when_nobody_has_a_restart_left_one_is_tried_now_and_then() {
    for connectors in [1, 2, 5] {
        let mut world = outage(connectors).policy(|policy| {
            policy.max_restart = Some(1);
            policy.together.keep_trying = Some(Wait::Runs(6));
        });
        while world.ledger.records.iter().filter(|record| record.attempts() > 0).count() < connectors {
            world.run_in_waves(nobody);
        }
        let runs: Vec<String> = (0..19).map(|_| world.run_in_waves(nobody)).collect();
        let tried: Vec<usize> = (0..19).filter(|run| !runs[*run].is_empty()).collect();
        assert_eq!(tried, [5, 11, 17], "{connectors}: {runs:?}");
        let tried: Vec<&String> = tried.iter().map(|run| &runs[*run]).collect();
        let longest_untouched = [["a"; 3], ["a", "b", "a"], ["a", "b", "c"]];
        assert_eq!(tried, longest_untouched[connectors.min(3) - 1], "{connectors}");
    }
}

/// The times of day are the clock's: 288 runs every five minutes.
#[test]
fn whoever_had_the_restarts_of_the_day_waits_whatever_its_group_and_its_limit_say() {
    let mut world = outage(5).policy(|policy| {
        policy.max_restart = Some(2);
        policy.together.keep_trying = Some(Wait::Runs(3));
        policy.max_per_day = Some(3);
    });
    let day: Vec<String> = (0..280).map(|_| world.run_in_waves(nobody)).collect();
    let sent: usize = day.iter().map(|run| run.split_whitespace().count()).sum();
    assert_eq!(sent, 15, "three of each: {day:?}");
    // Another proof than the clock's is none.
    world.set("c", "RUNNING", &["RUNNING"]);
    assert_eq!(world.run_in_waves(everybody), "");
    let later: Vec<String> = (0..40).map(|_| world.run_in_waves(nobody)).collect();
    assert!(later.iter().any(|run| !run.is_empty()), "a day later: {later:?}");
}

#[test]
fn a_proof_frees_nobody_who_had_the_restarts_of_the_day() {
    let mut world = outage(4).policy(|policy| {
        policy.ratio = 5;
        policy.max_per_day = Some(1);
        policy.together.rest = 1;
    });
    let waves: Vec<String> = (0..3).map(|_| world.run_in_waves(nobody)).collect();
    assert_eq!(waves, ["a", "b", "c"]);
    world.set("b", "RUNNING", &["RUNNING"]);
    assert_eq!(world.run_in_waves(nobody), "d", "the only one that had none");
    let shown = world.run();
    assert!(shown.contains("a/0 FAILED waiting 1 next 85200 s"), "a day after its restart: {shown}");
}

#[test]
fn restarts_are_counted_over_episodes_and_only_those_that_were_taken() {
    let mut world = World::new().with("a", "RUNNING", &["FAILED"]);
    let id = InstanceId::task("a", 0);
    let count = |world: &World| world.ledger.records.get(&id).map_or(0, |it| it.restarts_24h(world.now));
    for episode in 1..=9 {
        world.set("a", "RUNNING", &["FAILED"]);
        world.run_with(&Outcome::NotNow("409".into()));
        assert_eq!(count(&world), 2 * (episode - 1), "refunded");
        world.run();
        world.run();
        world.run_with(&Outcome::NotNow("409".into()));
        assert_eq!(count(&world), 2 * episode - 1, "refunded, and the one before is the last again");
        world.run();
        assert_eq!(count(&world), 2 * episode);
        world.set("a", "RUNNING", &["RUNNING"]);
        while !world.ledger.is_well() {
            world.run();
        }
        assert_eq!(count(&world), 2 * episode, "forgiven, not forgotten");
    }
    for _ in 0..300 {
        world.run();
    }
    assert!(world.ledger.records.is_empty(), "a day without one");
    // No more are kept than anybody has to count.
    let mut world = World::new().with("a", "RUNNING", &["FAILED"]).policy(|policy| policy.backoff = false);
    for _ in 0..60 {
        world.run();
    }
    let record = world.ledger.records.get(&id).unwrap();
    assert_eq!((record.restarts_24h(world.now), record.earlier.len()), (32, 32));
    // A clock that was set back counts none twice as long.
    world.now = Timestamp::from_millis(world.now.millis() - 10_000_000);
    world.plan();
    let record = world.ledger.records.get(&id).unwrap();
    assert!(record.earlier.iter().all(|seconds| *seconds <= world.now.seconds()));
}

#[test]
fn a_lone_failure_and_a_small_group_do_not_wait_for_each_other() {
    let mut world = outage(2);
    assert_eq!(world.run_in_waves(nobody), "a b");
    assert_eq!(world.run_in_waves(nobody), "a b");
    // One connector is one, however many tasks it has.
    let mut world = outage(0).with("a", "RUNNING", &["FAILED"; 9]);
    assert_eq!(world.run_in_waves(nobody), "a");
    let mut world = outage(9).policy(|policy| policy.backoff = false);
    assert_eq!(world.run_in_waves(nobody), "a b c d e f g h i", "ENABLE_BACKOFF=0");
    let mut world = outage(9).policy(|policy| policy.together.watch = Duration::ZERO);
    assert_eq!(world.run_in_waves(nobody), "a b c d e f g h i", "--watch 0s");
}

#[test]
fn a_run_that_dies_in_a_look_has_its_group_rest_all_the_same() {
    let mut world = outage(12);
    let plan = world.plan();
    for id in plan.due().map(|line| line.id.clone()).collect::<Vec<_>>() {
        world.ledger.charge(&id, world.now);
    }
    plan.note_waves(&mut world.ledger, world.now);
    // What the next run finds: a wave of which nobody knows how it ended.
    assert_eq!([world.run_in_waves(nobody), world.run_in_waves(nobody)], ["b", ""], "one a run at most");
}

#[test]
fn a_canary_that_is_deleted_or_paused_while_it_is_watched_leaves_it_to_the_next() {
    for gone in [true, false] {
        let mut world = outage(6);
        let mut plan = world.plan();
        let mut watched = ByInstance::default();
        assert_eq!(world.wave(&mut plan, &mut watched, everybody), "a");
        assert!(plan.next_waves(&world.ledger, &world.policy, world.now), "the first was good");
        let mut world = outage(6);
        let mut plan = world.plan();
        let mut watched = ByInstance::default();
        if gone {
            world.connectors.remove("a");
        } else {
            world.set("a", "PAUSED", &["PAUSED"]);
        }
        assert_eq!(world.wave(&mut plan, &mut watched, nobody), "a");
        plan.next_waves(&world.ledger, &world.policy, world.now);
        assert_eq!(plan.due().map(|line| line.id.to_string()).collect::<Vec<_>>(), ["b/0"], "one, not three");
    }
}

#[test]
fn what_waits_for_its_group_says_for_whom() {
    let mut world = outage(4);
    let reasons = |world: &mut World| {
        let mut plan = world.plan();
        let mut watched = ByInstance::default();
        if plan.due().next().is_some() {
            world.wave(&mut plan, &mut watched, nobody);
        }
        plan.explain_waits(&world.ledger);
        let reason = |line: &Line| line.reason.as_ref().map(|reason| format!("{}: {reason}", line.id));
        plan.lines.iter().filter_map(reason).collect::<Vec<_>>().join("\n")
    };
    assert_snapshot!(reasons(&mut world), @r"
    b/0: a went first for all 4 connectors of this cause, and failed again
    c/0: a went first for all 4 connectors of this cause, and failed again
    d/0: a went first for all 4 connectors of this cause, and failed again
    ");
    assert_snapshot!(reasons(&mut world), @r"
    a/0: all 4 connectors of this cause rest: a went first, and failed again
    b/0: all 4 connectors of this cause rest: a went first, and failed again
    c/0: all 4 connectors of this cause rest: a went first, and failed again
    d/0: all 4 connectors of this cause rest: a went first, and failed again
    ");
}

/// What the contract says of one instance, told apart from the code under test:
/// counted in runs, without any record.
#[derive(Clone, Debug, Default)]
struct Expected {
    attempts: u32,
    last_attempt: u64,
    last_failed: u64,
    healthy: u64,
    absent: u64,
    in_transition: u64,
    failing: bool,
    /// So many runs in a row were refused, the last of them that one.
    refused: u32,
    last_refused: u64,
    connector_restarted: bool,
}

impl Expected {
    fn wait(&self, ratio: u64) -> u64 {
        (0..self.attempts).fold(1, |wait, _| wait * ratio)
    }

    fn see(&mut self, state: &str, ratio: u64, run: u64) {
        match state {
            "FAILED" => {
                *self = Self { failing: true, healthy: 0, absent: 0, in_transition: 0, ..self.clone() }
            }
            "RUNNING" => {
                (self.absent, self.in_transition, self.refused) = (0, 0, 0);
                self.healthy += u64::from(self.failing);
                // Seen failed after its last restart: somebody else brought it back.
                let mended = self.attempts == 0 || self.last_attempt < self.last_failed;
                let wait = if mended { 2 } else { self.wait(ratio).clamp(2, 288) };
                if self.failing && self.healthy >= wait {
                    *self = Self::default();
                }
            }
            "absent" => {
                self.absent += 1;
                if self.failing && self.absent >= self.wait(ratio).clamp(2, 288).max(12) {
                    *self = Self::default();
                }
            }
            "PAUSED" => self.absent = 0,
            _ => (self.absent, self.in_transition) = (0, self.in_transition + 1),
        }
        if self.counts_as_failed(state) {
            self.last_failed = run;
        }
    }

    /// It is failed, or guardian restarted it and it has not come back in three runs.
    fn counts_as_failed(&self, state: &str) -> bool {
        let stuck = self.attempts > 0 && self.healthy == 0 && self.in_transition >= 3;
        state == "FAILED" || (stuck && matches!(state, "UNASSIGNED" | "RESTARTING"))
    }

    fn is_due(&self, run: u64, ratio: u64) -> bool {
        let restarted = self.attempts == 0 || run >= self.last_attempt + self.wait(ratio);
        let patience = (2..self.refused).fold(1, |wait, _| (wait * ratio.max(2)).min(288));
        restarted && (self.refused < 3 || run >= self.last_refused + patience)
    }
}

fn any_state() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        6 => Just("FAILED"), 6 => Just("RUNNING"), 1 => Just("UNASSIGNED"), 1 => Just("RESTARTING"),
        1 => Just("PAUSED"), 1 => Just("absent"),
    ]
}

/// States that last for a while, as they do.
fn any_history(runs: usize) -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec((any_state(), 1usize..30), 1..40).prop_map(move |stretches| {
        let states = stretches.into_iter().flat_map(|(state, length)| std::iter::repeat_n(state, length));
        states.cycle().take(runs).collect()
    })
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    let text = || SharedStr::from("x");
    prop_oneof![
        6 => Just(Outcome::Taken),
        1 => Just(Outcome::FailedAgain(text())),
        1 => Just(Outcome::Unknown(text())),
        2 => Just(Outcome::NotNow(text())),
        1 => Just(Outcome::NotSent(text())),
        1 => Just(Outcome::Refused(text())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// For any history of three tasks over 300 runs: a restart exactly when the
    /// contract asks for one, never more than allowed in an episode, never of an
    /// instance that is not failed, never before its time, and not later either.
    #[test]
    fn any_history_is_treated_by_the_contract(
        histories in prop::collection::vec(any_history(300), 3),
        outcomes in prop::collection::vec(any_outcome(), 300),
        ratio in 1u64..4,
        max in 1u32..9,
    ) {
        let mut world = World::new().policy(|policy| {
            policy.ratio = ratio;
            policy.max_restart = Some(max);
        });
        let mut expected = vec![Expected::default(); 3];
        for (index, outcome) in outcomes.iter().enumerate() {
            let seen = (0..).zip(&histories).map(|(id, history)| (id, history[index].to_owned()));
            let tasks = seen.filter(|(_, state)| state != "absent").collect();
            world.connectors.insert("c".to_owned(), ("RUNNING".to_owned(), tasks));
            let listing = world.listing();
            let rules =
                Rules { policy: &world.policy, filter: &world.filter, no_tasks_ok: &world.no_tasks_ok };
            let mut plan = plan(&mut world.ledger, listing, rules, world.now);
            let run = world.ledger.run;
            let mut due = Vec::new();
            for (id, (expected, history)) in (0u32..).zip(expected.iter_mut().zip(&histories)) {
                let state = history[index];
                expected.see(state, ratio, run);
                let id = InstanceId::task("c", id);
                let line = plan.lines.iter().find(|line| line.id == id);
                let is_due = line.is_some_and(|line| line.action == Action::Due);
                let may = expected.counts_as_failed(state)
                    && expected.attempts < max
                    && expected.is_due(run, ratio);
                let last = may && expected.attempts > 0 && expected.attempts + 1 == max;
                let connector_first = line.is_some_and(|line| line.connector_first);
                let first = last && !expected.connector_restarted && expected.refused < 3;
                prop_assert_eq!(connector_first, first, "run {} {}", run, id);
                expected.connector_restarted |= connector_first;
                prop_assert_eq!(is_due, may, "run {}, {}, {:?}, {:?}", run, id, expected, line);
                prop_assert_eq!(world.ledger.episode(&id).is_some(), expected.failing, "run {} {}", run, id);
                if is_due {
                    due.push(id);
                }
            }
            world.restart(&mut plan, outcome);
            for (_, expected) in (0..).zip(&mut expected).filter(|(id, _)| due.contains(&InstanceId::task("c", *id))) {
                match outcome {
                    Outcome::Taken | Outcome::FailedAgain(_) | Outcome::Unknown(_) => {
                        expected.attempts += 1;
                        (expected.last_attempt, expected.refused) = (run, 0);
                    }
                    Outcome::NotSent(_) => {}
                    _ => (expected.refused, expected.last_refused) = (expected.refused + 1, run),
                }
                prop_assert!(expected.attempts <= max);
            }
            for (id, expected) in (0..).zip(&expected) {
                let attempts = world.ledger.episode(&InstanceId::task("c", id)).map_or(0, |episode| episode.attempts);
                prop_assert_eq!(attempts, expected.attempts);
            }
        }
    }

    /// Whatever one connector does, the record of another stays as it is.
    #[test]
    fn other_records_are_untouched(history in any_history(60)) {
        let mut world = World::new().with("still", "RUNNING", &["FAILED"]);
        world.run();
        world.set("still", "PAUSED", &["FAILED"]);
        let still = world.ledger.records.clone();
        for state in history {
            world.connectors.remove("c");
            if state != "absent" {
                world.set("c", "RUNNING", &[state, "FAILED"]);
            }
            world.run();
            let now: Vec<_> = world.ledger.records.iter().filter(|record| &*record.id.connector == "still").collect();
            prop_assert_eq!(now, still.iter().collect::<Vec<_>>());
        }
    }
}
