//! What a person and a script see, whole: the table at each width, every document, the quiet line. One small cluster goes
//! through the real decisions; a change of what is shown is a change of a snapshot here.

use std::time::Duration;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::metrics::{Metrics, Told};
use super::news::news;
use super::{About, RunReport, json, text};
use crate::decide::cause::Cause;
use crate::decide::ledger::Ledger;
use crate::decide::listing::{Listing, Sighting};
use crate::decide::model::{InstanceId, State};
use crate::decide::outcome::Outcome;
use crate::decide::plan::{Plan, Rules, plan};
use crate::decide::policy::tests::doubling;
use crate::decide::policy::{Pace, Policy, Wait};
use crate::decide::row::View;
use crate::decide::select::{Filter, Patterns};
use crate::decide::shared::SharedStr;
use crate::decide::table::ByInstance;
use crate::decide::text::show_name;
use crate::decide::time::Timestamp;
use crate::decide::watch::Watched;
use crate::exit::{Exit, Failure, Kind};

const REFUSED: &str = "java.net.ConnectException: Connection refused (db1.example:5432)";
const LONG: &str = "org.postgresql.util.PSQLException: FATAL: password authentication failed for user \"connect\" at db2.example:5432, which is a long sentence";

/// A cluster, guardian's memory of it, and what its restarts come to.
struct World {
    listing: Listing,
    sightings: Vec<Sighting>,
    ledger: Ledger,
    policy: Policy,
    filter: Filter,
    now: Timestamp,
    outcomes: Vec<(InstanceId, Outcome)>,
    repeated: bool,
    full: bool,
    /// What is restarted fails again where the connector's name begins so.
    ill: &'static str,
    /// The run has time for so many waves.
    waves: Option<u32>,
}

impl World {
    fn new() -> Self {
        Self {
            listing: Listing::default(),
            sightings: Vec::new(),
            ledger: Ledger { run: 160, ..Ledger::default() },
            policy: doubling(),
            filter: Filter::default(),
            // 2026-11-22T10:00:00Z
            now: Timestamp::from_millis(1_795_341_600_000),
            outcomes: Vec::new(),
            repeated: false,
            full: false,
            ill: "ill",
            waves: None,
        }
    }

    /// Adds a connector in this state, with tasks in these; what is unwell has this cause.
    fn with(mut self, name: &str, own: &str, tasks: &[&str], cause: &str) -> Self {
        let own = State::parse(own);
        let paused_or_stopped = own.is_paused_or_stopped();
        self.listing.connectors.add(Some(&own));
        if own == State::Running && tasks.is_empty() {
            self.listing.no_tasks.insert(name.into());
        }
        let known = !self.ledger.records.of_connector(name).is_empty();
        let mut see = |id: InstanceId, state: State| {
            if state.is_unwell() || known || tasks.is_empty() {
                let cause = (state == State::Failed).then(|| Cause::of(cause).unwrap().into());
                let worker = Some("10.0.0.7:8083".into());
                self.sightings.push(Sighting { id, state, paused_or_stopped, cause, worker });
            }
        };
        see(InstanceId::connector(name), own);
        for (number, state) in (0..).zip(tasks) {
            let state = State::parse(state);
            self.listing.tasks.add(Some(&state));
            see(InstanceId::task(name, number), state);
        }
        self
    }

    /// Remembers so many attempts, the last of them so many runs ago.
    fn remembers(mut self, id: &InstanceId, attempts: u32, runs_ago: u64) -> Self {
        let minutes = |runs: u64| Timestamp::from_millis(self.now.millis() - runs * 300_000);
        let run = std::mem::replace(&mut self.ledger.run, 161 - runs_ago);
        for _ in 0..attempts {
            self.ledger.charge(id, minutes(runs_ago));
        }
        self.ledger.run = run;
        let episode = self.ledger.episode_mut(id).unwrap();
        episode.first_failed_at = minutes(runs_ago + 4);
        episode.cause = Some(Cause::of(REFUSED).unwrap().into());
        self
    }

    /// The restart of this instance comes to this; all others are taken.
    fn answers(mut self, id: InstanceId, outcome: Outcome) -> Self {
        self.outcomes.push((id, outcome));
        self
    }

    fn plan(&mut self) -> Plan {
        let listing =
            Listing { sightings: std::mem::take(&mut self.sightings).into(), ..self.listing.clone() };
        let rules = Rules { policy: &self.policy, filter: &self.filter, no_tasks_ok: &Patterns::default() };
        plan(&mut self.ledger, listing, rules, self.now)
    }

    fn report(self, command: &'static str, plan: Plan, view: View) -> RunReport {
        RunReport {
            command: Some(command),
            about: Some(About {
                cluster: "prod".to_owned(),
                url: "http://connect.example:8083".to_owned(),
                state: (command == "status").then(|| "/var/lib/guardian/prod.json".to_owned()),
                dry_run: false,
                repeated: self.repeated,
                full: self.full,
                started_at: self.now,
                duration: Duration::from_millis(12),
                policy: self.policy,
            }),
            plan: Some(plan),
            view: Some(view),
            ledger: self.ledger,
            warnings: Vec::new(),
            failure: None,
            ..RunReport::default()
        }
    }

    fn run(mut self) -> RunReport {
        let mut plan = self.plan();
        plan.record_told(&mut self.ledger, self.now);
        plan.count_seen(&mut self.ledger, self.now);
        let mut watched: ByInstance<Watched> = ByInstance::default();
        while plan.due().next().is_some() {
            let mut charges = plan.charge(&mut self.ledger, &self.policy, self.now);
            for charge in charges.iter_mut() {
                let found = self.outcomes.iter().find(|(id, _)| *id == charge.id);
                charge.note(found.map_or(Outcome::Taken, |(_, outcome)| outcome.clone()), self.now);
            }
            plan.note_waves(&mut self.ledger, self.now);
            watched.extend(plan.to_watch(&charges));
            plan.record(&mut self.ledger, charges, &"not sent".into());
            let looks = plan.is_waited_for(&watched);
            let shown = self.show(&watched);
            watched.iter_mut().for_each(|one| one.see(&shown, self.now));
            plan.judge_waves(&mut self.ledger, &watched, looks);
            if self.waves == Some(1) {
                plan.leave_waves();
            }
            self.waves = self.waves.map(|left| left - 1);
            plan.next_waves(&self.ledger, &self.policy, self.now);
        }
        plan.explain_waits(&self.ledger);
        let run = self.ledger.run;
        self.report("run", plan, View::Run(run))
    }

    /// What a look at these shows.
    fn show(&self, watched: &ByInstance<Watched>) -> Listing {
        let seen = watched.iter().map(|one| Sighting {
            id: one.id.clone(),
            state: if one.id.connector.starts_with(self.ill) { State::Failed } else { State::Running },
            paused_or_stopped: false,
            cause: None,
            worker: None,
        });
        Listing { sightings: seen.collect(), ..Listing::default() }
    }

    fn dry_run(mut self) -> RunReport {
        let plan = self.plan();
        let run = self.ledger.run;
        let mut report = self.report("run", plan, View::Run(run));
        report.about.as_mut().unwrap().dry_run = true;
        report
    }

    fn status(mut self) -> RunReport {
        let mut plan = self.plan();
        plan.add_remembered(&self.ledger);
        let run = self.ledger.run;
        self.report("status", plan, View::Before(run))
    }
}

fn task(name: &str, number: u32) -> InstanceId {
    InstanceId::task(name, number)
}

fn why(text: &str) -> SharedStr {
    text.into()
}

/// Every action at once.
fn everything() -> World {
    World::new()
        .remembers(&task("absent", 0), 1, 3)
        .remembers(&task("given-up", 0), 7, 9)
        .remembers(&task("last", 0), 6, 70)
        .remembers(&task("recovered", 1), 2, 2)
        .remembers(&task("waits", 0), 2, 1)
        .with("deferred", "RUNNING", &["FAILED"], REFUSED)
        .with("excluded", "FAILED", &[], REFUSED)
        .with("failed-again", "FAILED", &["RUNNING"], LONG)
        .with("given-up", "RUNNING", &["FAILED", "RUNNING"], LONG)
        .with("gone", "RUNNING", &["FAILED"], REFUSED)
        .with("last", "RUNNING", &["FAILED"], REFUSED)
        .with("no-tasks", "RUNNING", &[], "")
        .with("parked", "PAUSED", &["FAILED", "PAUSED"], REFUSED)
        .with("recovered", "RUNNING", &["RUNNING", "RUNNING"], "")
        .with("refused", "RUNNING", &["FAILED"], REFUSED)
        .with("restarted", "RUNNING", &["FAILED", "FAILED", "RUNNING"], REFUSED)
        .with("transition", "RUNNING", &["RESTARTING"], "")
        .with("unknown", "RUNNING", &["FAILED"], REFUSED)
        .with("waits", "RUNNING", &["FAILED"], REFUSED)
        .with("日本-sink", "RUNNING", &["FAILED"], "java.io.IOException: 接続が拒否されました")
        .answers(task("deferred", 0), Outcome::NotNow(why("HTTP 409: a rebalance is under way")))
        .answers(
            InstanceId::connector("failed-again"),
            Outcome::FailedAgain(why("HTTP 500: Failed to start connector: failed-again")),
        )
        .answers(task("gone", 0), Outcome::UnknownTask(why("HTTP 404: Unknown task: gone-0")))
        .answers(task("refused", 0), Outcome::Refused(why("HTTP 405")))
        .answers(task("unknown", 0), Outcome::Unknown(why("no answer within 95s")))
}

fn with_filter(mut world: World) -> World {
    world.filter = Filter::new(Patterns::default(), Patterns::new("--exclude", &["excluded".to_owned()]));
    world
}

/// As it is on a terminal of this width, without its colours.
fn table(report: &RunReport, width: impl Into<Option<usize>>) -> String {
    anstream::adapter::strip_str(&text::render(report, width.into())).to_string()
}

fn document(report: &RunReport) -> String {
    let mut bytes = Vec::new();
    json::write(report, &mut bytes).unwrap();
    readable(&bytes)
}

/// One key of the outermost object a line, one instance a line; in the order in which they are written.
fn readable(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).unwrap();
    let _: serde_json::Value = serde_json::from_str(text).unwrap();
    let (mut open, mut quoted, mut escaped, mut lines) = (String::new(), false, false, String::new());
    for c in text.chars() {
        lines.push(c);
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => open.push(c),
            '}' | ']' if !quoted => drop(open.pop()),
            ',' if !quoted && ["{", "{["].contains(&open.as_str()) => lines.push('\n'),
            _ => {}
        }
    }
    lines
}

#[test]
fn nothing_failed() {
    let mut world =
        World::new().with("orders", "RUNNING", &["RUNNING"; 3], "").with("old", "PAUSED", &["PAUSED"], "");
    world.repeated = true;
    let report = world.run();
    assert_snapshot!(table(&report, 80), @"2026-11-22T10:00:00Z  prod: nothing failed: 2 connectors (1 paused or stopped), 4 tasks");
    assert_snapshot!(document(&report), @r#"
    {"schema":1,
    "command":"run",
    "ok":true,
    "dry_run":false,
    "cluster":"prod",
    "url":"http://connect.example:8083",
    "run":161,
    "started_at":"2026-11-22T10:00:00Z",
    "duration_ms":12,
    "connectors":{"total":2,"running":1,"failed":0,"paused":1,"stopped":0,"unassigned":0,"restarting":0,"other":0},
    "tasks":{"total":4,"running":3,"failed":0,"paused":1,"stopped":0,"unassigned":0,"restarting":0,"other":0},
    "instances":[],
    "groups":[],
    "holds":[],
    "summary":{"failed":0,"unknown":0,"gave_up":0,"due":0,"restarted":0,"deferred":0,"gone":0,"waiting":0,"no_tasks":0,"in_transition":0,"absent":0,"held":0,"excluded":0,"parked":0,"recovered":0},
    "warnings":[],
    "told":[],
    "error":null}
    "#);
    assert_snapshot!(news(&report, "prod"), @"");
}

#[test]
fn one_row() {
    let report = World::new().with("orders-sink", "RUNNING", &["RUNNING", "FAILED"], REFUSED).run();
    assert_snapshot!(table(&report, None), @r"
    prod  http://connect.example:8083  run 161
    1 connector: 1 running
    2 tasks: 1 running, 1 failed

    CONNECTOR    TASK  STATE   ACTION     ATTEMPTS  NEXT       ROOT CAUSE
    orders-sink  1     FAILED  restarted  1/7       in 2 runs  java.net.ConnectException: Connection refused (db1.example:5432)

    1 restarted
    ");
    assert_snapshot!(table(&report, 120), @r"
    prod  http://connect.example:8083  run 161
    1 connector: 1 running
    2 tasks: 1 running, 1 failed

    CONNECTOR    TASK  STATE   ACTION     ATTEMPTS  NEXT       ROOT CAUSE
    orders-sink  1     FAILED  restarted  1/7       in 2 runs  ConnectException: Connection refused (db1.example:5432)

    1 restarted
    ");
    assert_snapshot!(table(&report, 80), @r#"
    prod  http://connect.example:8083  run 161
    1 connector: 1 running
    2 tasks: 1 running, 1 failed

    CONNECTOR    TASK  STATE   ACTION     ATTEMPTS  NEXT
    orders-sink  1     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)

    1 restarted
    "#);
    assert_snapshot!(document(&report), @r#"
    {"schema":1,
    "command":"run",
    "ok":true,
    "dry_run":false,
    "cluster":"prod",
    "url":"http://connect.example:8083",
    "run":161,
    "started_at":"2026-11-22T10:00:00Z",
    "duration_ms":12,
    "connectors":{"total":1,"running":1,"failed":0,"paused":0,"stopped":0,"unassigned":0,"restarting":0,"other":0},
    "tasks":{"total":2,"running":1,"failed":1,"paused":0,"stopped":0,"unassigned":0,"restarting":0,"other":0},
    "instances":[{"connector":"orders-sink","task":1,"state":"FAILED","action":"restarted","attempts":1,"max_restart":7,"first_failed_at":"2026-11-22T10:00:00Z","last_attempt_at":"2026-11-22T10:00:00Z","restarts_24h":1,"next":{"runs":2,"at":null},"forgiven":null,"cause":"java.net.ConnectException: Connection refused (db1.example:5432)","first_cause":null,"group":"07844966","advice":"passes","worker_id":"10.0.0.7:8083","reason":null,"error":null}],
    "groups":[],
    "holds":[],
    "summary":{"failed":0,"unknown":0,"gave_up":0,"due":0,"restarted":1,"deferred":0,"gone":0,"waiting":0,"no_tasks":0,"in_transition":0,"absent":0,"held":0,"excluded":0,"parked":0,"recovered":0},
    "warnings":[],
    "told":[],
    "error":null}
    "#);
    assert_snapshot!(news(&report, "prod"), @"prod: restarted orders-sink/1 (java.net.ConnectException: Connection refused (db1.example:5432))");
}

#[test]
fn every_action() {
    let report = with_filter(everything()).run();
    assert_snapshot!(table(&report, None), @r#"
    prod  http://connect.example:8083  run 161
    15 connectors: 12 running, 2 failed, 1 paused
    18 tasks: 5 running, 11 failed, 1 paused, 1 restarting

    CONNECTOR     TASK  STATE       ACTION          ATTEMPTS  NEXT                 ROOT CAUSE
    failed-again        FAILED      restart failed  1/7       in 2 runs            HTTP 500: Failed to start connector: failed-again | org.postgresql.util.PSQLException: FATAL: password authentication failed for user "connect" at db2.example:5432, which is a long sentence
    refused       0     FAILED      restart failed  0/7       next run             HTTP 405 | java.net.ConnectException: Connection refused (db1.example:5432)
    unknown       0     FAILED      fate unknown    1/7       in 2 runs            no answer within 95s | java.net.ConnectException: Connection refused (db1.example:5432)
    given-up      0     FAILED      gave up         7/7       needs you            org.postgresql.util.PSQLException: FATAL: password authentication failed for user "connect" at db2.example:5432, which is a long sentence | first: java.net.ConnectException: Connection refused (db1.example:5432)
    last          0     FAILED      restarted       7/7       last restart         its connector's own instance is restarted first | java.net.ConnectException: Connection refused (db1.example:5432)
    restarted     0     FAILED      restarted       1/7       in 2 runs            java.net.ConnectException: Connection refused (db1.example:5432)
    restarted     1     FAILED      restarted       1/7       in 2 runs            java.net.ConnectException: Connection refused (db1.example:5432)
    日本-sink     0     FAILED      restarted       1/7       in 2 runs            java.io.IOException: 接続が拒否されました
    deferred      0     FAILED      deferred        0/7       next run             HTTP 409: a rebalance is under way | java.net.ConnectException: Connection refused (db1.example:5432)
    gone          0     FAILED      gone            0/7       next run             HTTP 404: Unknown task: gone-0 | java.net.ConnectException: Connection refused (db1.example:5432)
    waits         0     FAILED      waiting         2/7       in 3 runs            java.net.ConnectException: Connection refused (db1.example:5432)
    no-tasks            RUNNING     no tasks                  -
    transition    0     RESTARTING  in transition             -
    absent        0     -           absent          1/7       -                    java.net.ConnectException: Connection refused (db1.example:5432)
    excluded            FAILED      excluded        0/7       -                    java.net.ConnectException: Connection refused (db1.example:5432)
    parked        0     FAILED      parked                    -                    java.net.ConnectException: Connection refused (db1.example:5432)
    recovered     1     RUNNING     recovered       2/7       forgiven: in 3 runs  java.net.ConnectException: Connection refused (db1.example:5432)
    warning: RUNNING without a single task: no-tasks

    2 restart failed, 1 fate unknown, 1 gave up (fix the cause, then: guardian retry NAME), 4 restarted, 1 deferred, 1 gone, 1 waiting, 1 no tasks, 1 in transition, 1 absent, 1 excluded, 1 parked, 1 recovered
    "#);
    assert_snapshot!(table(&report, 120), @r#"
    prod  http://connect.example:8083  run 161
    15 connectors: 12 running, 2 failed, 1 paused
    18 tasks: 5 running, 11 failed, 1 paused, 1 restarting

    CONNECTOR     TASK  STATE       ACTION          ATTEMPTS  NEXT                 ROOT CAUSE
    failed-again        FAILED      restart failed  1/7       in 2 runs            HTTP 500: Failed to …h is a long sentence
    refused       0     FAILED      restart failed  0/7       next run             HTTP 405 | ConnectEx…d (db1.example:5432)
    unknown       0     FAILED      fate unknown    1/7       in 2 runs            no answer within 95s…d (db1.example:5432)
    given-up      0     FAILED      gave up         7/7       needs you            PSQLException: FATAL…d (db1.example:5432)
    last          0     FAILED      restarted       7/7       last restart         its connector's own …d (db1.example:5432)
    restarted     0     FAILED      restarted       1/7       in 2 runs            ConnectException: Co…d (db1.example:5432)
    restarted     1     FAILED      restarted       1/7       in 2 runs            ConnectException: Co…d (db1.example:5432)
    日本-sink     0     FAILED      restarted       1/7       in 2 runs            java.io.IOException: 接続が拒否されました
    deferred      0     FAILED      deferred        0/7       next run             HTTP 409: a rebalanc…d (db1.example:5432)
    gone          0     FAILED      gone            0/7       next run             HTTP 404: Unknown ta…d (db1.example:5432)
    waits         0     FAILED      waiting         2/7       in 3 runs            ConnectException: Co…d (db1.example:5432)
    no-tasks            RUNNING     no tasks                  -
    transition    0     RESTARTING  in transition             -
    absent        0     -           absent          1/7       -                    ConnectException: Co…d (db1.example:5432)
    excluded            FAILED      excluded        0/7       -                    ConnectException: Co…d (db1.example:5432)
    parked        0     FAILED      parked                    -                    ConnectException: Co…d (db1.example:5432)
    recovered     1     RUNNING     recovered       2/7       forgiven: in 3 runs  ConnectException: Co…d (db1.example:5432)
    warning: RUNNING without a single task: no-tasks

    2 restart failed, 1 fate unknown, 1 gave up (fix the cause, then: guardian retry NAME), 4 restarted, 1 deferred, 1 gone, 1 waiting, 1 no tasks, 1 in transition, 1 absent, 1 excluded, 1 parked, 1 recovered
    "#);
    assert_snapshot!(table(&report, 80), @r#"
    prod  http://connect.example:8083  run 161
    15 connectors: 12 running, 2 failed, 1 paused
    18 tasks: 5 running, 11 failed, 1 paused, 1 restarting

    CONNECTOR     TASK  STATE       ACTION          ATTEMPTS  NEXT
    failed-again        FAILED      restart failed  1/7       in 2 runs
      HTTP 500: Failed to start connector: f….example:5432, which is a long sentence
    refused       0     FAILED      restart failed  0/7       next run
      HTTP 405 | java.net.ConnectException: Connection refused (db1.example:5432)
    unknown       0     FAILED      fate unknown    1/7       in 2 runs
      no answer within 95s | ConnectException: Connection refused (db1.example:5432)
    given-up      0     FAILED      gave up         7/7       needs you
      PSQLException: FATAL: password authent…: Connection refused (db1.example:5432)
    last          0     FAILED      restarted       7/7       last restart
      its connector's own instance is restar…: Connection refused (db1.example:5432)
    restarted     0     FAILED      restarted       1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    restarted     1     FAILED      restarted       1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    日本-sink     0     FAILED      restarted       1/7       in 2 runs
      java.io.IOException: 接続が拒否されました
    deferred      0     FAILED      deferred        0/7       next run
      HTTP 409: a rebalance is under way | C…: Connection refused (db1.example:5432)
    gone          0     FAILED      gone            0/7       next run
      HTTP 404: Unknown task: gone-0 | Conne…: Connection refused (db1.example:5432)
    waits         0     FAILED      waiting         2/7       in 3 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    no-tasks            RUNNING     no tasks                  -
    transition    0     RESTARTING  in transition             -
    absent        0     -           absent          1/7       -
      java.net.ConnectException: Connection refused (db1.example:5432)
    excluded            FAILED      excluded        0/7       -
      java.net.ConnectException: Connection refused (db1.example:5432)
    parked        0     FAILED      parked                    -
      java.net.ConnectException: Connection refused (db1.example:5432)
    recovered     1     RUNNING     recovered       2/7       forgiven: in 3 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    warning: RUNNING without a single task: no-tasks

    2 restart failed, 1 fate unknown, 1 gave up (fix the cause, then: guardian retry NAME), 4 restarted, 1 deferred, 1 gone, 1 waiting, 1 no tasks, 1 in transition, 1 absent, 1 excluded, 1 parked, 1 recovered
    "#);
}

#[test]
fn every_action_in_json_and_in_the_quiet_line() {
    let report = with_filter(everything()).run();
    assert_snapshot!(document(&report), @r#"
    {"schema":1,
    "command":"run",
    "ok":true,
    "dry_run":false,
    "cluster":"prod",
    "url":"http://connect.example:8083",
    "run":161,
    "started_at":"2026-11-22T10:00:00Z",
    "duration_ms":12,
    "connectors":{"total":15,"running":12,"failed":2,"paused":1,"stopped":0,"unassigned":0,"restarting":0,"other":0},
    "tasks":{"total":18,"running":5,"failed":11,"paused":1,"stopped":0,"unassigned":0,"restarting":1,"other":0},
    "instances":[{"connector":"absent","task":0,"state":null,"action":"absent","attempts":1,"max_restart":7,"first_failed_at":"2026-11-22T09:25:00Z","last_attempt_at":"2026-11-22T09:45:00Z","restarts_24h":1,"next":null,"forgiven":null,"cause":"java.net.ConnectException: Connection refused (db1.example:5432)","first_cause":null,"group":"07844966","advice":"passes","worker_id":null,"reason":null,"error":null},
    {"connector":"deferred","task":0,"state":"FAILED","action":"deferred","attempts":0,"max_restart":7,"first_failed_at":"2026-11-22T10:00:00Z","last_attempt_at":null,"restarts_24h":0,"next":{"runs":1,"at":null},"forgiven":null,"cause":"java.net.ConnectException: Connection refused (db1.example:5432)","first_cause":null,"group":"07844966","advice":"passes","worker_id":"10.0.0.7:8083","reason":null,"error":"HTTP 409: a rebalance is under way"},
    {"connector":"excluded","task":null,"state":"FAILED","action":"excluded","attempts":0,"max_restart":7,"first_failed_at":"2026-11-22T10:00:00Z","last_attempt_at":null,"restarts_24h":0,"next":null,"forgiven":null,"cause":"java.net.ConnectException: Connection refused (db1.example:5432)","first_cause":null,"group":"07844966","advice":"passes","worker_id":"10.0.0.7:8083","reason":null,"error":null},
    {"connector":"failed-again","task":null,"state":"FAILED","action":"failed","attempts":1,"max_restart":7,"first_failed_at":"2026-11-22T10:00:00Z","last_attempt_at":"2026-11-22T10:00:00Z","restarts_24h":1,"next":{"runs":2,"at":null},"forgiven":null,"cause":"org.postgresql.util.PSQLException: FATAL: password authentication failed for user \"connect\" at db2.example:5432, which is a long sentence","first_cause":null,"group":"19edf73b","advice":"needs_person","worker_id":"10.0.0.7:8083","reason":null,"error":"HTTP 500: Failed to start connector: failed-again"},
    {"connector":"given-up","task":0,"state":"FAILED","action":"gave_up","attempts":7,"max_restart":7,"first_failed_at":"2026-11-22T08:55:00Z","last_attempt_at":"2026-11-22T09:15:00Z","restarts_24h":7,"next":null,"forgiven":null,"cause":"org.postgresql.util.PSQLException: FATAL: password authentication failed for user \"connect\" at db2.example:5432, which is a long sentence","first_cause":"java.net.ConnectException: Connection refused (db1.example:5432)","group":"19edf73b","advice":"needs_person","worker_id":"10.0.0.7:8083","reason":null,"error":null},
    {"connector":"gone","task":0,"state":"FAILED","action":"gone","attempts":0,"max_restart":7,"first_failed_at":"2026-11-22T10:00:00Z","last_attempt_at":null,"restarts_24h":0,"next":{"runs":1,"at":null},"forgiven":null,"cause":"java.net.ConnectException: Connection refused (db1.example:5432)","first_cause":null,"group":"07844966","advice":"passes","worker_id":"10.0.0.7:8083","reason":null,"error":"HTTP 404: Unknown task: gone-0"},
    {"connector":"last","task":0,"state":"FAILED","action":"restarted","attempts":7,"max_restart":7,"first_failed_at":"2026-11-22T03:50:00Z","last_attempt_at":"2026-11-22T10:00:00Z","restarts_24h":7,"next":null,"forgiven":null,"cause":"java.net.ConnectException: Connection refused (db1.example:5432)","first_cause":null,"group":"07844966","advice":"passes","worker_id":"10.0.0.7:8083","reason":"its connector's own instance is restarted first","error":null},
    {"connector":"no-tasks","task":null,"state":"RUNNING","action":"no_tasks","attempts":0,"max_restart":7,"first_failed_at":null,"last_attempt_at":null,"restarts_24h":0,"next":null,"forgiven":null,"cause":null,"first_cause":null,"group":null,"advice":null,"worker_id":null,"reason":null,"error":null},
    {"connector":"parked","task":0,"state":"FAILED","action":"parked","attempts":0,"max_restart":7,"first_failed_at":null,"last_attempt_at":null,"restarts_24h":0,"next":null,"forgiven":null,"cause":"java.net.ConnectException: Connection refused (db1.example:5432)","first_cause":null,"group":"07844966","advice":"passes","worker_id":"10.0.0.7:8083","reason":null,"error":null},
    {"connector":"recovered","task":1,"state":"RUNNING","action":"recovered","attempts":2,"max_restart":7,"first_failed_at":"2026-11-22T09:30:00Z","last_attempt_at":"2026-11-22T09:50:00Z","restarts_24h":2,"next":null,"forgiven":{"runs":3,"at":null},"cause":"java.net.ConnectException: Connection refused (db1.example:5432)","first_cause":null,"group":"07844966","advice":"passes","worker_id":"10.0.0.7:8083","reason":null,"error":null},
    {"connector":"refused","task":0,"state":"FAILED","action":"failed","attempts":0,"max_restart":7,"first_failed_at":"2026-11-22T10:00:00Z","last_attempt_at":null,"restarts_24h":0,"next":{"runs":1,"at":null},"forgiven":null,"cause":"java.net.ConnectException: Connection refused (db1.example:5432)","first_cause":null,"group":"07844966","advice":"passes","worker_id":"10.0.0.7:8083","reason":null,"error":"HTTP 405"},
    {"connector":"restarted","task":0,"state":"FAILED","action":"restarted","attempts":1,"max_restart":7,"first_failed_at":"2026-11-22T10:00:00Z","last_attempt_at":"2026-11-22T10:00:00Z","restarts_24h":1,"next":{"runs":2,"at":null},"forgiven":null,"cause":"java.net.ConnectException: Connection refused (db1.example:5432)","first_cause":null,"group":"07844966","advice":"passes","worker_id":"10.0.0.7:8083","reason":null,"error":null},
    {"connector":"restarted","task":1,"state":"FAILED","action":"restarted","attempts":1,"max_restart":7,"first_failed_at":"2026-11-22T10:00:00Z","last_attempt_at":"2026-11-22T10:00:00Z","restarts_24h":1,"next":{"runs":2,"at":null},"forgiven":null,"cause":"java.net.ConnectException: Connection refused (db1.example:5432)","first_cause":null,"group":"07844966","advice":"passes","worker_id":"10.0.0.7:8083","reason":null,"error":null},
    {"connector":"transition","task":0,"state":"RESTARTING","action":"in_transition","attempts":0,"max_restart":7,"first_failed_at":null,"last_attempt_at":null,"restarts_24h":0,"next":null,"forgiven":null,"cause":null,"first_cause":null,"group":null,"advice":null,"worker_id":"10.0.0.7:8083","reason":null,"error":null},
    {"connector":"unknown","task":0,"state":"FAILED","action":"unknown","attempts":1,"max_restart":7,"first_failed_at":"2026-11-22T10:00:00Z","last_attempt_at":"2026-11-22T10:00:00Z","restarts_24h":1,"next":{"runs":2,"at":null},"forgiven":null,"cause":"java.net.ConnectException: Connection refused (db1.example:5432)","first_cause":null,"group":"07844966","advice":"passes","worker_id":"10.0.0.7:8083","reason":null,"error":"no answer within 95s"},
    {"connector":"waits","task":0,"state":"FAILED","action":"waiting","attempts":2,"max_restart":7,"first_failed_at":"2026-11-22T09:35:00Z","last_attempt_at":"2026-11-22T09:55:00Z","restarts_24h":2,"next":{"runs":3,"at":null},"forgiven":null,"cause":"java.net.ConnectException: Connection refused (db1.example:5432)","first_cause":null,"group":"07844966","advice":"passes","worker_id":"10.0.0.7:8083","reason":null,"error":null},
    {"connector":"日本-sink","task":0,"state":"FAILED","action":"restarted","attempts":1,"max_restart":7,"first_failed_at":"2026-11-22T10:00:00Z","last_attempt_at":"2026-11-22T10:00:00Z","restarts_24h":1,"next":{"runs":2,"at":null},"forgiven":null,"cause":"java.io.IOException: 接続が拒否されました","first_cause":null,"group":"44e4bde1","advice":"unknown","worker_id":"10.0.0.7:8083","reason":null,"error":null}],
    "groups":[],
    "holds":[],
    "summary":{"failed":2,"unknown":1,"gave_up":1,"due":0,"restarted":4,"deferred":1,"gone":1,"waiting":1,"no_tasks":1,"in_transition":1,"absent":1,"held":0,"excluded":1,"parked":1,"recovered":1},
    "warnings":["RUNNING without a single task: no-tasks"],
    "told":[],
    "error":null}
    "#);
    assert_snapshot!(news(&report, "prod"), @r#"prod: restarted last/0 (java.net.ConnectException: Connection refused (db1.example:5432)), restarted/0 (java.net.ConnectException: Connection refused (db1.example:5432)), restarted/1 (java.net.ConnectException: Connection refused (db1.example:5432)), 日本-sink/0 (java.io.IOException: 接続が拒否されました); restarted, but failed again at once: failed-again (org.postgresql.util.PSQLException: FATAL: password authentication failed for user "connect" at db2.example:5432, which …); gave up (fix the cause, then: guardian retry NAME) on given-up/0 (org.postgresql.util.PSQLException: FATAL: password authentication failed for user "connect" at db2.example:5432, which …); could not restart refused/0 (java.net.ConnectException: Connection refused (db1.example:5432)); does not know the fate of unknown/0 (java.net.ConnectException: Connection refused (db1.example:5432))"#);
}

#[test]
fn a_dry_run_and_a_look_between_two_runs() {
    assert_snapshot!(table(&with_filter(everything()).dry_run(), 80), @r#"
    prod  http://connect.example:8083  run 161  dry run: nothing is sent or written
    15 connectors: 12 running, 2 failed, 1 paused
    18 tasks: 5 running, 11 failed, 1 paused, 1 restarting

    CONNECTOR     TASK  STATE       ACTION         ATTEMPTS  NEXT
    given-up      0     FAILED      gave up        7/7       needs you
      PSQLException: FATAL: password authent…: Connection refused (db1.example:5432)
    last          0     FAILED      due            6/7       now
      its connector's own instance is restar…: Connection refused (db1.example:5432)
    deferred      0     FAILED      due            0/7       now
      java.net.ConnectException: Connection refused (db1.example:5432)
    failed-again        FAILED      due            0/7       now
      PSQLException: FATAL: password authent….example:5432, which is a long sentence
    gone          0     FAILED      due            0/7       now
      java.net.ConnectException: Connection refused (db1.example:5432)
    refused       0     FAILED      due            0/7       now
      java.net.ConnectException: Connection refused (db1.example:5432)
    restarted     0     FAILED      due            0/7       now
      java.net.ConnectException: Connection refused (db1.example:5432)
    restarted     1     FAILED      due            0/7       now
      java.net.ConnectException: Connection refused (db1.example:5432)
    unknown       0     FAILED      due            0/7       now
      java.net.ConnectException: Connection refused (db1.example:5432)
    日本-sink     0     FAILED      due            0/7       now
      java.io.IOException: 接続が拒否されました
    waits         0     FAILED      waiting        2/7       in 3 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    no-tasks            RUNNING     no tasks                 -
    transition    0     RESTARTING  in transition            -
    absent        0     -           absent         1/7       -
      java.net.ConnectException: Connection refused (db1.example:5432)
    excluded            FAILED      excluded       0/7       -
      java.net.ConnectException: Connection refused (db1.example:5432)
    parked        0     FAILED      parked                   -
      java.net.ConnectException: Connection refused (db1.example:5432)
    recovered     1     RUNNING     recovered      2/7       forgiven: in 3 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    warning: RUNNING without a single task: no-tasks

    1 gave up (fix the cause, then: guardian retry NAME), 9 would be restarted, 1 waiting, 1 no tasks, 1 in transition, 1 absent, 1 excluded, 1 parked, 1 recovered
    "#);
    let status = with_filter(everything()).status();
    assert_snapshot!(table(&status, 80), @r#"
    prod  http://connect.example:8083  after run 160
    state /var/lib/guardian/prod.json
    15 connectors: 12 running, 2 failed, 1 paused
    18 tasks: 5 running, 11 failed, 1 paused, 1 restarting

    CONNECTOR     TASK  STATE       ACTION         ATTEMPTS  NEXT
    given-up      0     FAILED      gave up        7/7       needs you
      PSQLException: FATAL: password authent…: Connection refused (db1.example:5432)
    last          0     FAILED      due            6/7       next run
      its connector's own instance is restar…: Connection refused (db1.example:5432)
    deferred      0     FAILED      due            0/7       next run
      java.net.ConnectException: Connection refused (db1.example:5432)
    failed-again        FAILED      due            0/7       next run
      PSQLException: FATAL: password authent….example:5432, which is a long sentence
    gone          0     FAILED      due            0/7       next run
      java.net.ConnectException: Connection refused (db1.example:5432)
    refused       0     FAILED      due            0/7       next run
      java.net.ConnectException: Connection refused (db1.example:5432)
    restarted     0     FAILED      due            0/7       next run
      java.net.ConnectException: Connection refused (db1.example:5432)
    restarted     1     FAILED      due            0/7       next run
      java.net.ConnectException: Connection refused (db1.example:5432)
    unknown       0     FAILED      due            0/7       next run
      java.net.ConnectException: Connection refused (db1.example:5432)
    日本-sink     0     FAILED      due            0/7       next run
      java.io.IOException: 接続が拒否されました
    waits         0     FAILED      waiting        2/7       in 4 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    no-tasks            RUNNING     no tasks                 -
    transition    0     RESTARTING  in transition            -
    absent        0     -           absent         1/7       -
      java.net.ConnectException: Connection refused (db1.example:5432)
    excluded            FAILED      excluded       0/7       -
      java.net.ConnectException: Connection refused (db1.example:5432)
    parked        0     FAILED      parked                   -
      java.net.ConnectException: Connection refused (db1.example:5432)
    recovered     1     RUNNING     recovered      2/7       forgiven: in 4 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    warning: RUNNING without a single task: no-tasks

    1 gave up (fix the cause, then: guardian retry NAME), 9 due, 1 waiting, 1 no tasks, 1 in transition, 1 absent, 1 excluded, 1 parked, 1 recovered
    "#);
    assert_snapshot!(document(&status).lines().take(12).collect::<Vec<_>>().join("\n"), @r#"
    {"schema":1,
    "command":"status",
    "ok":true,
    "dry_run":false,
    "cluster":"prod",
    "url":"http://connect.example:8083",
    "state":"/var/lib/guardian/prod.json",
    "run":161,
    "started_at":"2026-11-22T10:00:00Z",
    "duration_ms":12,
    "connectors":{"total":15,"running":12,"failed":2,"paused":1,"stopped":0,"unassigned":0,"restarting":0,"other":0},
    "tasks":{"total":18,"running":5,"failed":11,"paused":1,"stopped":0,"unassigned":0,"restarting":1,"other":0},
    "#);
}

#[test]
fn rows_by_the_clock_tell_the_time() {
    let mut world = World::new()
        .remembers(&task("soon", 0), 2, 1)
        .remembers(&task("tomorrow", 0), 9, 1)
        .remembers(&task("well", 0), 2, 2)
        .with("soon", "RUNNING", &["FAILED"], REFUSED)
        .with("tomorrow", "RUNNING", &["FAILED"], REFUSED)
        .with("well", "RUNNING", &["RUNNING"], "");
    world.policy.pace = Pace::Clock { step: Duration::from_secs(300), cap: None };
    world.policy.max_restart = None;
    let report = world.run();
    assert_snapshot!(table(&report, 80), @r#"
    prod  http://connect.example:8083  run 161
    3 connectors: 3 running
    3 tasks: 1 running, 2 failed

    CONNECTOR  TASK  STATE    ACTION     ATTEMPTS  NEXT
    tomorrow   0     FAILED   waiting    9         at 2026-11-24T04:35:00Z
      java.net.ConnectException: Connection refused (db1.example:5432)
    soon       0     FAILED   waiting    2         at 10:15:00Z
      java.net.ConnectException: Connection refused (db1.example:5432)
    well       0     RUNNING  recovered  2         forgiven: at 10:20:00Z
      java.net.ConnectException: Connection refused (db1.example:5432)

    2 waiting, 1 recovered
    "#);
    let document = document(&report);
    assert_snapshot!(document.lines().filter(|line| line.contains("next")).collect::<Vec<_>>().join("\n"), @r#"
    "instances":[{"connector":"soon","task":0,"state":"FAILED","action":"waiting","attempts":2,"max_restart":null,"first_failed_at":"2026-11-22T09:35:00Z","last_attempt_at":"2026-11-22T09:55:00Z","restarts_24h":2,"next":{"runs":null,"at":"2026-11-22T10:15:00Z"},"forgiven":null,"cause":"java.net.ConnectException: Connection refused (db1.example:5432)","first_cause":null,"group":"07844966","advice":"passes","worker_id":"10.0.0.7:8083","reason":null,"error":null},
    {"connector":"tomorrow","task":0,"state":"FAILED","action":"waiting","attempts":9,"max_restart":null,"first_failed_at":"2026-11-22T09:35:00Z","last_attempt_at":"2026-11-22T09:55:00Z","restarts_24h":9,"next":{"runs":null,"at":"2026-11-24T04:35:00Z"},"forgiven":null,"cause":"java.net.ConnectException: Connection refused (db1.example:5432)","first_cause":null,"group":"07844966","advice":"passes","worker_id":"10.0.0.7:8083","reason":null,"error":null},
    {"connector":"well","task":0,"state":"RUNNING","action":"recovered","attempts":2,"max_restart":null,"first_failed_at":"2026-11-22T09:30:00Z","last_attempt_at":"2026-11-22T09:50:00Z","restarts_24h":2,"next":null,"forgiven":{"runs":null,"at":"2026-11-22T10:20:00Z"},"cause":"java.net.ConnectException: Connection refused (db1.example:5432)","first_cause":null,"group":"07844966","advice":"passes","worker_id":"10.0.0.7:8083","reason":null,"error":null}],
    "#);
}

#[test]
fn many_rows_are_cut_after_two_screens() {
    let many = |count: u32| {
        let mut world = World::new().remembers(&task("poisoned", 0), 3, 1);
        for number in 0..count - 1 {
            world = world.with(&format!("sink-{number:03}"), "RUNNING", &["FAILED"], REFUSED);
        }
        world.with("poisoned", "RUNNING", &["FAILED"], LONG).run()
    };
    let thirty = table(&many(30), 80);
    assert_eq!(thirty.lines().filter(|line| line.contains("FAILED")).count(), 30, "{thirty}");
    let four_hundred = table(&many(400), 80);
    assert_eq!(four_hundred.lines().filter(|line| line.contains("FAILED")).count(), 40);
    let (head, tail) = (four_hundred.lines().take(8), four_hundred.lines().skip(43));
    assert_snapshot!(head.chain(["..."]).chain(tail).collect::<Vec<_>>().join("\n"), @r#"
    prod  http://connect.example:8083  run 161
    400 connectors: 400 running
    400 tasks: 400 failed

    CONNECTOR  TASK  STATE   ACTION     ATTEMPTS  NEXT
    sink-000   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    sink-001   0     FAILED  restarted  1/7       in 2 runs
    ...
    sink-019   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    sink-020   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    sink-021   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    sink-022   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    sink-023   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    sink-024   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    sink-025   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    sink-026   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    sink-027   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    sink-028   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    sink-029   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    sink-030   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    sink-031   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    sink-032   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    sink-033   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    sink-034   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    sink-035   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    sink-036   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    sink-037   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    sink-038   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    sink-039   0     FAILED  restarted  1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    and 360 more (--full shows every instance)

    399 restarted, 1 waiting
    "#);
    assert_snapshot!(news(&many(400), "prod"), @"prod: restarted sink-000/0 (java.net.ConnectException: Connection refused (db1.example:5432)), sink-001/0 (java.net.ConnectException: Connection refused (db1.example:5432)), sink-002/0 (java.net.ConnectException: Connection refused (db1.example:5432)), sink-003/0 (java.net.ConnectException: Connection refused (db1.example:5432)), sink-004/0 (java.net.ConnectException: Connection refused (db1.example:5432)) and 394 more");
}

#[test]
fn what_could_not_be_read() {
    let world = World::new().remembers(&task("orders", 0), 2, 1).remembers(&task("pay", 0), 7, 9);
    let rules = Rules { policy: &world.policy, filter: &world.filter, no_tasks_ok: &Patterns::default() };
    let plan = Plan::unread(&world.ledger, rules, world.now);
    let mut status = world.report("status", plan, View::After(160));
    let failure =
        Failure::new(Kind::Unreachable, "no answer from Kafka Connect at http://connect.example:8083");
    status.failure = Some(failure.hint("check KAFKA_CONNECT_URL"));
    status.warnings.push("a warning with \u{1b}[31mcolour".to_owned());
    assert_snapshot!(table(&status, 80), @r#"
    prod  http://connect.example:8083  after run 160
    state /var/lib/guardian/prod.json

    CONNECTOR  TASK  STATE  ACTION   ATTEMPTS  NEXT
    pay        0     -      gave up  7/7       needs you
      java.net.ConnectException: Connection refused (db1.example:5432)
    orders     0     -      waiting  2/7       in 4 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    warning: a warning with [31mcolour

    Connect's status could not be read; 2 remembered
    "#);
    assert_snapshot!(document(&status), @r#"
    {"schema":1,
    "command":"status",
    "ok":false,
    "dry_run":false,
    "cluster":"prod",
    "url":"http://connect.example:8083",
    "state":"/var/lib/guardian/prod.json",
    "run":null,
    "started_at":"2026-11-22T10:00:00Z",
    "duration_ms":12,
    "connectors":null,
    "tasks":null,
    "instances":[{"connector":"orders","task":0,"state":null,"action":"waiting","attempts":2,"max_restart":7,"first_failed_at":"2026-11-22T09:35:00Z","last_attempt_at":"2026-11-22T09:55:00Z","restarts_24h":2,"next":{"runs":4,"at":null},"forgiven":null,"cause":"java.net.ConnectException: Connection refused (db1.example:5432)","first_cause":null,"group":"07844966","advice":"passes","worker_id":null,"reason":null,"error":null},
    {"connector":"pay","task":0,"state":null,"action":"gave_up","attempts":7,"max_restart":7,"first_failed_at":"2026-11-22T08:55:00Z","last_attempt_at":"2026-11-22T09:15:00Z","restarts_24h":7,"next":null,"forgiven":null,"cause":"java.net.ConnectException: Connection refused (db1.example:5432)","first_cause":null,"group":"07844966","advice":"passes","worker_id":null,"reason":null,"error":null}],
    "groups":[],
    "holds":[],
    "summary":{"failed":0,"unknown":0,"gave_up":1,"due":0,"restarted":0,"deferred":0,"gone":0,"waiting":1,"no_tasks":0,"in_transition":0,"absent":0,"held":0,"excluded":0,"parked":0,"recovered":0},
    "warnings":["a warning with \u001b[31mcolour"],
    "error":{"kind":"unreachable","message":"no answer from Kafka Connect at http://connect.example:8083","hint":"check KAFKA_CONNECT_URL"}}
    "#);
}

#[test]
fn the_documents_of_a_failure_and_of_reset() {
    let failure = || Failure::new(Kind::Locked, "another run holds the state").hint("it ends by itself");
    assert_snapshot!(document(&RunReport::failed(Some("run"), failure())), @r#"
    {"schema":1,
    "command":"run",
    "ok":false,
    "dry_run":null,
    "cluster":null,
    "url":null,
    "run":null,
    "started_at":null,
    "duration_ms":null,
    "connectors":null,
    "tasks":null,
    "instances":[],
    "groups":[],
    "holds":[],
    "summary":null,
    "warnings":[],
    "told":[],
    "error":{"kind":"locked","message":"another run holds the state","hint":"it ends by itself"}}
    "#);
    assert_eq!(table(&RunReport::failed(Some("run"), failure()), 80), "", "the log tells");
    let mut bytes = Vec::new();
    let forgotten = [InstanceId::connector("orders"), task("pay", 3)];
    json::write_reset("prod", "/state.json", &forgotten, Some(&failure()), &mut bytes).unwrap();
    assert_snapshot!(readable(&bytes), @r#"
    {"schema":1,
    "command":"reset",
    "ok":false,
    "cluster":"prod",
    "state":"/state.json",
    "forgotten":[{"connector":"orders","task":null},
    {"connector":"pay","task":3}],
    "error":{"kind":"locked","message":"another run holds the state","hint":"it ends by itself"}}
    "#);
}

#[test]
fn only_what_was_done_is_coloured() {
    let text = text::render(&with_filter(everything()).run(), None);
    let coloured = |words: &str, code: &str| text.contains(&format!("\u{1b}[{code}m{words}\u{1b}[0m"));
    for (words, code) in [
        ("restart failed", "31"),
        ("gave up", "31"),
        ("restarted", "33"),
        ("recovered", "32"),
        ("parked", "2"),
    ] {
        assert!(coloured(words, code), "{words} in {text:?}");
    }
    assert_eq!(text.matches("\u{1b}[31m").count(), 5, "{text:?}");
}

#[test]
fn the_first_cause_of_an_episode_is_shown_where_the_last_is_another() {
    const LAST: &str = "java.lang.IllegalStateException: no dialect for 'db1'";
    let world = World::new().remembers(&task("orders", 0), 2, 1);
    let mut world = world.with("orders", "RUNNING", &["FAILED"], LAST);
    world.ledger.episode_mut(&task("orders", 0)).unwrap().first_cause =
        Some(Cause::of(REFUSED).unwrap().into());
    let report = world.run();
    assert!(table(&report, None).contains(&format!("{LAST} | first: {REFUSED}")), "{}", table(&report, None));
    assert!(document(&report).contains(&format!(r#""first_cause":"{REFUSED}""#)));
}

const POOL: &str = "java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms (db1.example)";

/// So many connectors of this kind that fail for one cause, with two tasks each, and a lone one.
fn outages(kinds: &[(&str, u32, &str)]) -> World {
    let mut world = World::new();
    world.policy.together.group_from = Some(3);
    for (kind, count, cause) in kinds {
        for number in 0..*count {
            world = world.with(&format!("{kind}-{number:03}"), "RUNNING", &["FAILED", "FAILED"], cause);
        }
    }
    world.with("orders", "RUNNING", &["FAILED"], REFUSED)
}

const TWO_OUTAGES: [(&str, u32, &str); 2] = [("ill-lake", 100, LONG), ("ill-sink", 200, POOL)];

#[test]
fn each_group_is_one_row() {
    let report = outages(&TWO_OUTAGES).run();
    assert_snapshot!(table(&report, None), @r#"
    prod  http://connect.example:8083  run 161
    301 connectors: 301 running
    601 tasks: 601 failed

    CONNECTOR       TASK  STATE   ACTION       ATTEMPTS  NEXT       ROOT CAUSE
    orders          0     FAILED  restarted    1/7       in 2 runs  java.net.ConnectException: Connection refused (db1.example:5432)
    100 connectors  200   FAILED  2 restarted  0-1/7     in 2 runs  ill-lake-000 went first: failed again
      since 10:00:00Z, no restart fixes this: org.postgresql.util.PSQLException: FATAL: password authentication failed for user "connect" at db2.example:5432, which is a long sentence
    200 connectors  400   FAILED  2 restarted  0-1/7     in 2 runs  ill-sink-000 went first: failed again
      since 10:00:00Z: java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms (db1.example)

    5 restarted, 596 waiting
    "#);
    assert_snapshot!(table(&report, 120), @r#"
    prod  http://connect.example:8083  run 161
    301 connectors: 301 running
    601 tasks: 601 failed

    CONNECTOR       TASK  STATE   ACTION       ATTEMPTS  NEXT       ROOT CAUSE
    orders          0     FAILED  restarted    1/7       in 2 runs  ConnectException: Connection refused (db1.example:5432)
    100 connectors  200   FAILED  2 restarted  0-1/7     in 2 runs  ill-lake-000 went first: failed again
      since 10:00:00Z, no restart fixes this: PSQLException: FATAL: password authent….example:5432, which is a long sentence
    200 connectors  400   FAILED  2 restarted  0-1/7     in 2 runs  ill-sink-000 went first: failed again
      since 10:00:00Z: SQLTransientConnectionException: HikariPool-1 - Co…ble, request timed out after 30000ms (db1.example)

    5 restarted, 596 waiting
    "#);
    let table = table(&report, 80);
    assert!(table.lines().count() <= 24, "both are on the first screen: {table}");
    assert_snapshot!(table, @r#"
    prod  http://connect.example:8083  run 161
    301 connectors: 301 running
    601 tasks: 601 failed

    CONNECTOR       TASK  STATE   ACTION       ATTEMPTS  NEXT
    orders          0     FAILED  restarted    1/7       in 2 runs
      java.net.ConnectException: Connection refused (db1.example:5432)
    100 connectors  200   FAILED  2 restarted  0-1/7     in 2 runs
      ill-lake-000 went first: failed again
      since 10:00:00Z, no restart fixes this: PSQLException: FATA…h is a long sentence
    200 connectors  400   FAILED  2 restarted  0-1/7     in 2 runs
      ill-sink-000 went first: failed again
      since 10:00:00Z: SQLTransientConnectionExceptio…ut after 30000ms (db1.example)

    5 restarted, 596 waiting
    "#);
    assert_snapshot!(news(&report, "prod"), @r#"prod: restarted orders/0 (java.net.ConnectException: Connection refused (db1.example:5432)); restarted 1 of 100 connectors that fail for one cause (org.postgresql.util.PSQLException: FATAL: password authentication failed for user "connect" at db2.example:5432, which …): ill-lake-000 went first: failed again; restarted 1 of 200 connectors that fail for one cause (java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms (…): ill-sink-000 went first: failed again"#);
    let document = document(&report);
    let groups = document.lines().skip_while(|line| !line.starts_with(r#""groups":"#));
    assert_snapshot!(groups.take(2).collect::<Vec<_>>().join("\n"), @r#"
    "groups":[{"key":"19edf73b","cause":"org.postgresql.util.PSQLException: FATAL: password authentication failed for user \"connect\" at db2.example:5432, which is a long sentence","advice":"needs_person","connectors":100,"tasks":200,"since":"2026-11-22T10:00:00Z","canaries":["ill-lake-000"],"bad_waves":1,"next":{"runs":2,"at":null}},
    {"key":"6c3c103f","cause":"java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms (db1.example)","advice":"passes","connectors":200,"tasks":400,"since":"2026-11-22T10:00:00Z","canaries":["ill-sink-000"],"bad_waves":1,"next":{"runs":2,"at":null}}],
    "#);
}

#[test]
fn all_of_a_group_on_demand() {
    let mut world = outages(&TWO_OUTAGES);
    world.full = true;
    let table = table(&world.run(), 120);
    assert_eq!(table.lines().filter(|line| line.contains("FAILED")).count(), 601);
    let (head, tail) = (table.lines().take(8), table.lines().skip(604));
    assert_snapshot!(head.chain(["..."]).chain(tail).collect::<Vec<_>>().join("\n"), @r#"
    prod  http://connect.example:8083  run 161
    301 connectors: 301 running
    601 tasks: 601 failed

    CONNECTOR     TASK  STATE   ACTION     ATTEMPTS  NEXT       ROOT CAUSE
    ill-lake-000  0     FAILED  restarted  1/7       in 2 runs  PSQLException: FATAL: passwor…5432, which is a long sentence
    ill-lake-000  1     FAILED  restarted  1/7       in 2 runs  PSQLException: FATAL: passwor…5432, which is a long sentence
    ill-sink-000  0     FAILED  restarted  1/7       in 2 runs  SQLTransientConnectionExcepti…ut after 30000ms (db1.example)
    ...
    ill-sink-199  0     FAILED  waiting    0/7       in 2 runs  ill-sink-000 went first for a…ut after 30000ms (db1.example)
    ill-sink-199  1     FAILED  waiting    0/7       in 2 runs  ill-sink-000 went first for a…ut after 30000ms (db1.example)

    5 restarted, 596 waiting
    "#);
}

/// The rows of the groups, and the quiet line.
fn told(report: &RunReport) -> String {
    let table = table(report, None);
    let rows = table.lines().skip_while(|line| !line.starts_with("CONNECTOR")).skip(1);
    format!("{}\n{}", rows.collect::<Vec<_>>().join("\n"), news(report, "prod"))
}

#[test]
fn what_became_of_a_group() {
    let one = |count| outages(&[("sink", count, POOL)]);
    assert_snapshot!(told(&one(50).run()), @r#"
    orders         0     FAILED  restarted  1/7       in 2 runs  java.net.ConnectException: Connection refused (db1.example:5432)
    50 connectors  100   FAILED  restarted  1/7       in 2 runs  sink-000 went first and runs, then 49 more
      since 10:00:00Z: java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms (db1.example)

    101 restarted
    prod: restarted orders/0 (java.net.ConnectException: Connection refused (db1.example:5432)); restarted 50 of 50 connectors that fail for one cause (java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms (…): sink-000 went first and runs, then 49 more
    "#);
    let mut no_time = one(50);
    no_time.waves = Some(2);
    assert_snapshot!(told(&no_time.run()), @r#"
    orders         0     FAILED  restarted    1/7       in 2 runs  java.net.ConnectException: Connection refused (db1.example:5432)
    50 connectors  100   FAILED  8 restarted  0-1/7     next run   sink-000 went first and runs, then 3 more; more in the next run
      since 10:00:00Z: java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms (db1.example)

    9 restarted, 92 waiting
    prod: restarted orders/0 (java.net.ConnectException: Connection refused (db1.example:5432)); restarted 4 of 50 connectors that fail for one cause (java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms (…): sink-000 went first and runs, then 3 more; more in the next run
    "#);
    assert_snapshot!(told(&one(50).dry_run()), @r#"
    orders         0     FAILED  due     0/7       now   java.net.ConnectException: Connection refused (db1.example:5432)
    50 connectors  100   FAILED  2 due   0/7       now   sink-000 goes first
      since 10:00:00Z: java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms (db1.example)

    3 would be restarted, 98 waiting
    "#);
    assert_snapshot!(told(&one(50).status()), @r#"
    orders         0     FAILED  due     0/7       next run  java.net.ConnectException: Connection refused (db1.example:5432)
    50 connectors  100   FAILED  2 due   0/7       next run  sink-000 goes first
      since 10:00:00Z: java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms (db1.example)

    3 due, 98 waiting
    "#);
}

#[test]
fn a_group_in_which_restarts_go_wrong() {
    let world = outages(&[("ill", 50, POOL)]);
    let failed =
        |number| Outcome::FailedAgain(why(&format!("HTTP 500: Failed to start task ill-000-{number}")));
    assert_snapshot!(told(&world.answers(task("ill-000", 0), failed(0)).answers(task("ill-000", 1), failed(1)).run()), @r#"
    ill-000        0     FAILED  restart failed  1/7       in 2 runs  HTTP 500: Failed to start task ill-000-0 | java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms (db1.example)
    ill-000        1     FAILED  restart failed  1/7       in 2 runs  HTTP 500: Failed to start task ill-000-1 | java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms (db1.example)
    orders         0     FAILED  restarted       1/7       in 2 runs  java.net.ConnectException: Connection refused (db1.example:5432)
    50 connectors  100   FAILED  98 waiting      0-1/7     in 2 runs  ill-000 went first: failed again
      since 10:00:00Z: java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms (db1.example)

    2 restart failed, 1 restarted, 98 waiting
    prod: restarted orders/0 (java.net.ConnectException: Connection refused (db1.example:5432)); restarted, but failed again at once: 1 of 50 connectors that fail for one cause (java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms (…): ill-000 went first: failed again
    "#);
    let refused = || Outcome::NotNow(why("HTTP 409: a rebalance is under way"));
    let world = outages(&[("sink", 50, POOL)]);
    assert_snapshot!(told(&world.answers(task("sink-000", 0), refused()).answers(task("sink-000", 1), refused()).run()), @r#"
    orders         0     FAILED  restarted   1/7       in 2 runs  java.net.ConnectException: Connection refused (db1.example:5432)
    50 connectors  100   FAILED  2 deferred  0/7       next run   sink-000 was to go first: not taken
      since 10:00:00Z: java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms (db1.example)

    1 restarted, 2 deferred, 98 waiting
    prod: restarted orders/0 (java.net.ConnectException: Connection refused (db1.example:5432))
    "#);
    // However many were refused, one screen has all that failed.
    let mut world = outages(&[("sink", 50, POOL)]);
    for number in 0..50 {
        for of_two in 0..2 {
            world = world.answers(
                task(&format!("sink-{number:03}"), of_two),
                Outcome::Unknown(why("no answer within 95s")),
            );
        }
    }
    assert_snapshot!(told(&world.run()), @r#"
    sink-000       0     FAILED  fate unknown     1/7       in 2 runs  no answer within 95s | java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms (db1.example)
    sink-000       1     FAILED  fate unknown     1/7       in 2 runs  no answer within 95s | java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms (db1.example)
    sink-001       0     FAILED  fate unknown     1/7       in 2 runs  no answer within 95s | java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms (db1.example)
    orders         0     FAILED  restarted        1/7       in 2 runs  java.net.ConnectException: Connection refused (db1.example:5432)
    50 connectors  100   FAILED  97 fate unknown  1/7       in 2 runs  sink-000 went first and runs, then 49 more
      since 10:00:00Z: java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms (db1.example)

    100 fate unknown, 1 restarted
    prod: restarted orders/0 (java.net.ConnectException: Connection refused (db1.example:5432)); does not know the fate of 50 of 50 connectors that fail for one cause (java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms (…): sink-000 went first and runs, then 49 more
    "#);
}

#[test]
fn a_group_without_a_restart_left() {
    let given_up = |keep_trying| {
        let mut world = World::new();
        world.policy.together.group_from = Some(3);
        world.policy.together.keep_trying = keep_trying;
        for number in 0..4_u32 {
            let id = task(&format!("sink-{number}"), 0);
            let attempts = if number == 0 && keep_trying.is_none() { 6 } else { 7 };
            world = world.remembers(&id, attempts, u64::from(number) + 3);
        }
        for number in 0..4 {
            world = world.with(&format!("sink-{number}"), "RUNNING", &["FAILED"], REFUSED);
        }
        world
    };
    assert_snapshot!(told(&given_up(None).run()), @r#"
    4 connectors  4     FAILED  3 gave up  6-7/7     in 61 runs
      since 09:10:00Z: java.net.ConnectException: Connection refused (db1.example:5432)

    3 gave up (fix the cause, then: guardian retry NAME), 1 waiting
    prod: gave up (fix the cause, then: guardian retry NAME) on 3 of 4 connectors that fail for one cause (java.net.ConnectException: Connection refused (db1.example:5432))
    "#);
    assert_snapshot!(told(&given_up(Some(Wait::Runs(36))).run()), @r#"
    4 connectors  4     FAILED  gave up  7/7       in 33 runs
      since 09:10:00Z: java.net.ConnectException: Connection refused (db1.example:5432)

    4 gave up (fix the cause, then: guardian retry NAME)
    prod: gave up (fix the cause, then: guardian retry NAME) on 4 of 4 connectors that fail for one cause (java.net.ConnectException: Connection refused (db1.example:5432))
    "#);
    let mut none_left = given_up(None);
    none_left.policy.max_restart = Some(5);
    assert_snapshot!(told(&none_left.run()), @r#"
    4 connectors  4     FAILED  gave up  6-7/5     needs you
      since 09:10:00Z: java.net.ConnectException: Connection refused (db1.example:5432)

    4 gave up (fix the cause, then: guardian retry NAME)
    prod: gave up (fix the cause, then: guardian retry NAME) on 4 of 4 connectors that fail for one cause (java.net.ConnectException: Connection refused (db1.example:5432))
    "#);
}

#[test]
fn what_recovers_together_is_one_row() {
    let mut world = World::new();
    world.policy.together.group_from = Some(3);
    for number in 0..40 {
        let name = format!("sink-{number:02}");
        world = world.remembers(&task(&name, 0), 1 + number / 30, 2).with(&name, "RUNNING", &["RUNNING"], "");
    }
    let report = world.remembers(&task("orders", 0), 2, 2).with("orders", "RUNNING", &["RUNNING"], "").run();
    assert_snapshot!(table(&report, 80), @r#"
    prod  http://connect.example:8083  run 161
    41 connectors: 41 running
    41 tasks: 41 running

    CONNECTOR      TASK  STATE    ACTION     ATTEMPTS  NEXT
    41 connectors  41    RUNNING  recovered  1-2/7     -
      since 09:30:00Z: ConnectException: Connection refused (db1.example:5432)

    41 recovered
    "#);
}

#[test]
fn what_is_remembered_of_many_is_one_row_while_connect_is_away() {
    let mut world = World::new();
    world.policy.together.group_from = Some(3);
    for number in 0..40 {
        world = world.remembers(&task(&format!("sink-{number:02}"), 0), 1, 1);
    }
    let rules = Rules { policy: &world.policy, filter: &world.filter, no_tasks_ok: &Patterns::default() };
    let plan = Plan::unread(&world.ledger, rules, world.now);
    assert_snapshot!(table(&world.report("status", plan, View::After(160)), 80), @r#"
    prod  http://connect.example:8083  after run 160
    state /var/lib/guardian/prod.json

    CONNECTOR      TASK  STATE  ACTION   ATTEMPTS  NEXT
    40 connectors  40    -      waiting  1/7       in 2 runs
      since 09:35:00Z: ConnectException: Connection refused (db1.example:5432)

    Connect's status could not be read; 40 remembered
    "#);
}

// === Metrics ===

/// The metrics of this report, whose command ended well unless it has a failure.
fn metrics(report: &RunReport, most: usize) -> Metrics {
    let exit = report.failure.as_ref().map_or(Exit::Done, |failure| Exit::Failed(failure.kind));
    let told = [Told { sink: "team \"a\"", sent: 3, failed: 1, pending: 2 }];
    Metrics::new(report, exit, most, &told).unwrap()
}

/// The lines of these families, without their help.
fn samples(text: &str, family: &str) -> String {
    let lines = text.lines().filter(|line| line.starts_with(family));
    let lines = lines.collect::<Vec<_>>().join("\n").replace("connect_cluster=\"prod\"", "");
    lines.replace(env!("CARGO_PKG_VERSION"), "VERSION")
}

#[test]
fn metrics_have_all_their_values_from_the_first_run_on() {
    let report = World::new().with("orders", "RUNNING", &["RUNNING"; 3], "").run();
    assert_snapshot!(metrics(&report, 100).as_text().replace(env!("CARGO_PKG_VERSION"), "VERSION"), @r#"
    # HELP guardian_build_info 1, with the version of guardian.
    # TYPE guardian_build_info gauge
    guardian_build_info{connect_cluster="prod",version="VERSION"} 1
    # HELP guardian_last_run_timestamp_seconds When the last run ended, whatever came of it.
    # TYPE guardian_last_run_timestamp_seconds gauge
    guardian_last_run_timestamp_seconds{connect_cluster="prod"} 1795341600.012
    # HELP guardian_last_run_success 1 if the last run could do its work (exit code 0 or 3), else 0.
    # TYPE guardian_last_run_success gauge
    guardian_last_run_success{connect_cluster="prod"} 1
    # HELP guardian_last_run_duration_seconds How long the last run took.
    # TYPE guardian_last_run_duration_seconds gauge
    guardian_last_run_duration_seconds{connect_cluster="prod"} 0.012
    # HELP guardian_last_success_timestamp_seconds When the last run ended that could do its work; not written by one that could not.
    # TYPE guardian_last_success_timestamp_seconds gauge
    guardian_last_success_timestamp_seconds{connect_cluster="prod"} 1795341600.012
    # HELP guardian_connectors Connectors by the state of their own instance, as Connect listed them.
    # TYPE guardian_connectors gauge
    guardian_connectors{connect_cluster="prod",state="running"} 1
    guardian_connectors{connect_cluster="prod",state="failed"} 0
    guardian_connectors{connect_cluster="prod",state="paused"} 0
    guardian_connectors{connect_cluster="prod",state="stopped"} 0
    guardian_connectors{connect_cluster="prod",state="unassigned"} 0
    guardian_connectors{connect_cluster="prod",state="restarting"} 0
    guardian_connectors{connect_cluster="prod",state="other"} 0
    # HELP guardian_tasks Tasks by state, as Connect listed them.
    # TYPE guardian_tasks gauge
    guardian_tasks{connect_cluster="prod",state="running"} 3
    guardian_tasks{connect_cluster="prod",state="failed"} 0
    guardian_tasks{connect_cluster="prod",state="paused"} 0
    guardian_tasks{connect_cluster="prod",state="stopped"} 0
    guardian_tasks{connect_cluster="prod",state="unassigned"} 0
    guardian_tasks{connect_cluster="prod",state="restarting"} 0
    guardian_tasks{connect_cluster="prod",state="other"} 0
    # HELP guardian_instances Connectors and tasks that are not well, by what the last run made of them.
    # TYPE guardian_instances gauge
    guardian_instances{connect_cluster="prod",action="waiting"} 0
    guardian_instances{connect_cluster="prod",action="deferred"} 0
    guardian_instances{connect_cluster="prod",action="gave_up"} 0
    guardian_instances{connect_cluster="prod",action="held"} 0
    guardian_instances{connect_cluster="prod",action="excluded"} 0
    guardian_instances{connect_cluster="prod",action="parked"} 0
    guardian_instances{connect_cluster="prod",action="in_transition"} 0
    guardian_instances{connect_cluster="prod",action="absent"} 0
    guardian_instances{connect_cluster="prod",action="no_tasks"} 0
    # HELP guardian_failures_total Failures that began.
    # TYPE guardian_failures_total counter
    guardian_failures_total{connect_cluster="prod",kind="connector"} 0
    guardian_failures_total{connect_cluster="prod",kind="task"} 0
    # HELP guardian_restarts_total Restarts that Connect took, that failed again at once, or of unknown fate.
    # TYPE guardian_restarts_total counter
    guardian_restarts_total{connect_cluster="prod",kind="connector",result="restarted"} 0
    guardian_restarts_total{connect_cluster="prod",kind="connector",result="failed"} 0
    guardian_restarts_total{connect_cluster="prod",kind="connector",result="unknown"} 0
    guardian_restarts_total{connect_cluster="prod",kind="task",result="restarted"} 0
    guardian_restarts_total{connect_cluster="prod",kind="task",result="failed"} 0
    guardian_restarts_total{connect_cluster="prod",kind="task",result="unknown"} 0
    # HELP guardian_gave_up_total Times that a connector or task had no restart left.
    # TYPE guardian_gave_up_total counter
    guardian_gave_up_total{connect_cluster="prod",kind="connector"} 0
    guardian_gave_up_total{connect_cluster="prod",kind="task"} 0
    # HELP guardian_recovery_seconds Time from the beginning of a failure to the run that saw it running again.
    # TYPE guardian_recovery_seconds summary
    guardian_recovery_seconds_sum{connect_cluster="prod",kind="connector"} 0.000
    guardian_recovery_seconds_count{connect_cluster="prod",kind="connector"} 0
    guardian_recovery_seconds_sum{connect_cluster="prod",kind="task"} 0.000
    guardian_recovery_seconds_count{connect_cluster="prod",kind="task"} 0
    # HELP guardian_connectors_unlisted Failing connectors without series of their own, because there are too many.
    # TYPE guardian_connectors_unlisted gauge
    guardian_connectors_unlisted{connect_cluster="prod"} 0
    # HELP guardian_notifications_total Messages to this sink, by what became of them.
    # TYPE guardian_notifications_total counter
    guardian_notifications_total{connect_cluster="prod",sink="team \"a\"",result="sent"} 3
    guardian_notifications_total{connect_cluster="prod",sink="team \"a\"",result="failed"} 1
    # HELP guardian_notifications_pending Messages that this sink has still to get.
    # TYPE guardian_notifications_pending gauge
    guardian_notifications_pending{connect_cluster="prod",sink="team \"a\""} 2
    "#);
}

#[test]
fn metrics_of_what_fails_name_connectors_and_nothing_else() {
    let report = with_filter(everything()).run();
    let metrics = metrics(&report, 4);
    let text = metrics.as_text();
    assert_snapshot!(samples(text, "guardian_"), @r#"
    guardian_build_info{,version="VERSION"} 1
    guardian_last_run_timestamp_seconds{} 1795341600.012
    guardian_last_run_success{} 1
    guardian_last_run_duration_seconds{} 0.012
    guardian_last_success_timestamp_seconds{} 1795341600.012
    guardian_connectors{,state="running"} 12
    guardian_connectors{,state="failed"} 2
    guardian_connectors{,state="paused"} 1
    guardian_connectors{,state="stopped"} 0
    guardian_connectors{,state="unassigned"} 0
    guardian_connectors{,state="restarting"} 0
    guardian_connectors{,state="other"} 0
    guardian_tasks{,state="running"} 5
    guardian_tasks{,state="failed"} 11
    guardian_tasks{,state="paused"} 1
    guardian_tasks{,state="stopped"} 0
    guardian_tasks{,state="unassigned"} 0
    guardian_tasks{,state="restarting"} 1
    guardian_tasks{,state="other"} 0
    guardian_instances{,action="waiting"} 1
    guardian_instances{,action="deferred"} 1
    guardian_instances{,action="gave_up"} 1
    guardian_instances{,action="held"} 0
    guardian_instances{,action="excluded"} 1
    guardian_instances{,action="parked"} 1
    guardian_instances{,action="in_transition"} 1
    guardian_instances{,action="absent"} 1
    guardian_instances{,action="no_tasks"} 1
    guardian_failures_total{,kind="connector"} 2
    guardian_failures_total{,kind="task"} 7
    guardian_restarts_total{,kind="connector",result="restarted"} 0
    guardian_restarts_total{,kind="connector",result="failed"} 1
    guardian_restarts_total{,kind="connector",result="unknown"} 0
    guardian_restarts_total{,kind="task",result="restarted"} 4
    guardian_restarts_total{,kind="task",result="failed"} 0
    guardian_restarts_total{,kind="task",result="unknown"} 1
    guardian_gave_up_total{,kind="connector"} 0
    guardian_gave_up_total{,kind="task"} 1
    guardian_recovery_seconds_sum{,kind="connector"} 0.000
    guardian_recovery_seconds_count{,kind="connector"} 0
    guardian_recovery_seconds_sum{,kind="task"} 1800.000
    guardian_recovery_seconds_count{,kind="task"} 1
    guardian_connector_gave_up{,connector="last"} 0
    guardian_connector_gave_up{,connector="given-up"} 1
    guardian_connector_gave_up{,connector="waits"} 0
    guardian_connector_gave_up{,connector="failed-again"} 0
    guardian_connector_attempts{,connector="last"} 7
    guardian_connector_attempts{,connector="given-up"} 7
    guardian_connector_attempts{,connector="waits"} 2
    guardian_connector_attempts{,connector="failed-again"} 1
    guardian_connector_failed_timestamp_seconds{,connector="last"} 1795319400.000
    guardian_connector_failed_timestamp_seconds{,connector="given-up"} 1795337700.000
    guardian_connector_failed_timestamp_seconds{,connector="waits"} 1795340100.000
    guardian_connector_failed_timestamp_seconds{,connector="failed-again"} 1795341600.000
    guardian_connectors_unlisted{} 5
    guardian_notifications_total{,sink="team \"a\"",result="sent"} 3
    guardian_notifications_total{,sink="team \"a\"",result="failed"} 1
    guardian_notifications_pending{,sink="team \"a\""} 2
    "#);
    assert!(!text.contains("refused") && !text.contains("10.0.0.7"), "{text}");
}

#[test]
fn a_run_that_could_not_look_replaces_only_its_own_metrics() {
    let before = metrics(&with_filter(everything()).run(), 100).over("");
    let failed = |kind| {
        let mut world = World::new();
        world.now = world.now.plus(Duration::from_secs(300));
        let plan = Plan::default();
        RunReport { failure: Some(Failure::new(kind, "")), ..world.report("run", plan, View::Run(162)) }
    };
    let after = metrics(&failed(Kind::Unreachable), 100);
    assert!(!after.replaces_all());
    assert_snapshot!(samples(&after.over(""), "guardian_"), @r#"
    guardian_build_info{,version="VERSION"} 1
    guardian_last_run_timestamp_seconds{} 1795341900.012
    guardian_last_run_success{} 0
    guardian_last_run_duration_seconds{} 0.012
    "#);
    let text = after.over(&before);
    let others = |text: &str| {
        let own = ["guardian_last_run", "guardian_build"];
        let is_own = |line: &&str| {
            own.iter()
                .any(|own| line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ").starts_with(own))
        };
        text.lines().filter(|line| !is_own(line)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(others(&text), others(&before));
    assert_eq!(text.matches("guardian_last_run_success{").count(), 1);
    // What is not all there, not of this cluster, or not guardian's is no better than nothing.
    for broken in [
        before[..before.len() - 1].to_owned(),
        before[1..].to_owned(),
        before.replace("\"prod\"", "\"other\""),
        before.replace("guardian_tasks{", "guardian_task{"),
        before.clone()
            + "# HELP other_metric x\n# TYPE other_metric gauge\nother_metric{connect_cluster=\"prod\"} 1\n",
        "\u{0}".to_owned(),
    ] {
        assert_eq!(after.over(&broken), after.over(""));
    }
    // An older version said it in other words.
    let older = before.replace("Tasks by state,", "Tasks,");
    assert_eq!(after.over(&older).matches("Tasks, as Connect").count(), 1);
}

#[test]
fn a_run_that_looked_and_failed_keeps_when_the_last_one_worked() {
    let before = metrics(&World::new().with("orders", "RUNNING", &["RUNNING"], "").run(), 100).over("");
    let mut report = World::new().with("orders", "RUNNING", &["FAILED"], REFUSED).run();
    report.failure = Some(Failure::new(Kind::Restart, ""));
    let after = metrics(&report, 100);
    // In a Pushgateway too: every family with names in it is replaced.
    assert!(!after.replaces_all());
    let text = after.over(&before);
    assert_snapshot!(samples(&text, "guardian_last_"), @r#"
    guardian_last_run_timestamp_seconds{} 1795341600.012
    guardian_last_run_success{} 0
    guardian_last_run_duration_seconds{} 0.012
    guardian_last_success_timestamp_seconds{} 1795341600.012
    "#);
    assert_eq!(text.matches("guardian_tasks{").count(), 7);
    assert_eq!(text.matches("guardian_connector_gave_up{").count(), 1);
    // Nothing is left that would replace what was there of connectors.
    assert!(metrics(&report, 0).replaces_all());
}

#[test]
fn a_worker_that_is_not_well_says_nothing_new() {
    let mut report = World::new().with("orders", "RUNNING", &["RUNNING"], "").run();
    report.failure = Some(Failure::new(Kind::Unhealthy, ""));
    assert!(!metrics(&report, 100).replaces_all());
}

proptest! {
    /// The format's own rule for label values, read back.
    #[test]
    fn any_name_is_one_label_on_one_line(name in "\\PC{1,12}|[\\x00-\\x20\"\\\\{},=]{1,6}") {
        let report = World::new().with(&name, "FAILED", &[], REFUSED).run();
        let metrics = metrics(&report, 100);
        let text = metrics.as_text();
        let line = text.lines().find(|line| line.starts_with("guardian_connector_attempts")).unwrap();
        let value = line.strip_prefix("guardian_connector_attempts{connect_cluster=\"prod\",connector=\"").unwrap();
        let value = value.strip_suffix("\"} 1").unwrap();
        let (mut read, mut chars) = (String::new(), value.chars());
        while let Some(c) = chars.next() {
            read.push(match c {
                '\\' => match chars.next() {
                    Some('n') => '\n',
                    Some(c @ ('\\' | '"')) => c,
                    other => panic!("{other:?} in {line}"),
                },
                '"' => panic!("{line}"),
                c => c,
            });
        }
        prop_assert_eq!(read, show_name(&name));
        prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
        // What was written is what is read.
        prop_assert_eq!(metrics.over(text), text.to_owned());
    }
}
