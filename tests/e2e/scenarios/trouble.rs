//! An outage of a real cluster: everything failed, work on the move, a worker that starts, one that dies.
//!
//! Each time: no healthy instance is restarted, nothing is charged for a request that was surely not taken,
//! and the next run picks up where it should. The scenarios that kill come last in the alphabet, so that the
//! others need no new worker.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::connect::{Worker, task_of};
use crate::flaky::Flaky;
use crate::gate::Gate;
use crate::guardian::{Guardian, Run};
use crate::http;
use crate::jvm;
use crate::kafka;
use crate::scene::scenario;
use crate::wait;
use crate::wire::{Then, Wire};

scenario!(clustered all_connectors_failed_at_once on V3_9 V4_3);

/// 36 tasks of 12 connectors, as after an outage of what they all write to: one run, one call each, through a
/// follower that must forward all of them.
fn all_connectors_failed_at_once(cluster: &mut Cluster) {
    const CONNECTORS: usize = 12;
    const TASKS: usize = 3;
    let healthy = cluster.leader.flaky("healthy", 2);
    let failed: Vec<Flaky> = (0..CONNECTORS)
        .map(|number| {
            let flaky = Flaky::new(&format!("sink-{number:02}"));
            for task in 0..TASKS {
                flaky.fail(&format!("task-{task}"));
            }
            cluster.leader.create(&flaky.name, flaky.config(TASKS as u32));
            flaky
        })
        .collect();
    for flaky in &failed {
        for task in 0..TASKS {
            cluster.follower.await_task(&flaky.name, task, "FAILED");
        }
    }
    cluster.await_quiet();
    for flaky in &failed {
        for task in 0..TASKS {
            flaky.heal(&format!("task-{task}"));
        }
    }
    let (before, healthy_before) = (starts_of(&failed, TASKS), starts_of([&healthy], 2));

    let wire = Wire::to(cluster.follower.port);
    let guardian = Guardian::new(&wire.url(), &jvm::new_folder("guardian"));
    let run = guardian.once(&[]);
    run.assert_ok();
    assert_eq!(run.count("restarted"), (CONNECTORS * TASKS) as u64, "{}", run.json["summary"]);
    assert_eq!(wire.restarts().len(), CONNECTORS, "one call for each connector: {:?}", wire.restarts());
    for flaky in &failed {
        for task in 0..TASKS {
            cluster.follower.await_task(&flaky.name, task, "RUNNING");
        }
    }
    let once_more: Vec<usize> =
        before.iter().enumerate().map(|(who, starts)| starts + usize::from(who % (TASKS + 1) != 0)).collect();
    assert_eq!(starts_of(&failed, TASKS), once_more, "every task once more, no connector");
    assert_eq!(starts_of([&healthy], 2), healthy_before);

    let run = guardian.once(&[]);
    assert_eq!(run.assert_ok().count("recovered"), (CONNECTORS * TASKS) as u64);
    assert_eq!(wire.restarts().len(), CONNECTORS);
}

/// How often each was started: the connector, then its tasks, connector after connector.
fn starts_of<'a>(all: impl IntoIterator<Item = &'a Flaky>, tasks: usize) -> Vec<usize> {
    all.into_iter()
        .flat_map(|flaky| {
            let tasks = (0..tasks).map(|task| flaky.starts(&format!("task {task}")));
            std::iter::once(flaky.starts("connector")).chain(tasks).collect::<Vec<usize>>()
        })
        .collect()
}

scenario!(clustered rebalance_during_the_restarts on V3_9 V4_3);

/// The first restart is on its way when somebody creates a connector: the group meets again, and work moves.
fn rebalance_during_the_restarts(cluster: &mut Cluster) {
    const CONNECTORS: usize = 5;
    let failed: Vec<Flaky> = (0..CONNECTORS)
        .map(|number| cluster.leader.failing(&format!("moved-{number}"), 2, &["task-0"]))
        .collect();
    for flaky in &failed {
        cluster.follower.await_task(&flaky.name, 0, "FAILED");
        cluster.follower.await_task(&flaky.name, 1, "RUNNING");
    }
    cluster.await_quiet();
    for flaky in &failed {
        flaky.heal("task-0");
    }

    let late = Flaky::new("late");
    let body = serde_json::json!({"name": late.name, "config": late.config(4)}).to_string();
    let leader = cluster.leader.port;
    let mut created = false;
    let wire = Wire::acting(cluster.follower.port, move |request| {
        if request.starts_with("POST ") && !created {
            created = true;
            let answer = http::request(leader, "POST", "/connectors", &[], &body).expect("an answer");
            assert_eq!(answer.status, 201, "{answer}");
        }
        Then::PassOn
    });
    let guardian = Guardian::new(&wire.url(), &jvm::new_folder("guardian"));
    for number in 0.. {
        let run = guardian.once(&[]);
        run.assert_ok();
        for flaky in &failed {
            match run.action(&flaky.name, Some(0)) {
                "restarted" => cluster.follower.await_task(&flaky.name, 0, "RUNNING"),
                "deferred" => {
                    assert_eq!(run.attempts(&flaky.name, Some(0)), Some(0), "not taken, not charged")
                }
                "recovered" | "in_transition" | "" => {}
                other => panic!("{other} in run {number}: {}", run.json),
            }
        }
        if run.json["tasks"]["failed"] == 0 {
            break;
        }
        assert!(number < 5, "restarts are put off again and again: {}", run.json);
    }
    cluster.follower.await_task("late", 3, "RUNNING");
    let failed: BTreeSet<String> =
        failed.iter().map(|flaky| format!("/connectors/{}/tasks/0/restart", flaky.name)).collect();
    let sent: BTreeSet<String> = wire.restarts().into_iter().collect();
    assert!(sent.is_subset(&failed), "nothing healthy was restarted, wherever it was moved: {sent:?}");
    let most = wire.restarts().len();
    assert!(most <= CONNECTORS * 4, "at most four tries each: {most}");
}

scenario!(clustered starting_worker_loses_no_record on V3_9 V4_3);

/// A third worker starts, and guardian is pointed at it alone: a page with 404, then `{}`, then connectors as
/// the worker comes to know them. Whatever it says, what is remembered stays, and nothing is sent.
fn starting_worker_loses_no_record(cluster: &mut Cluster) {
    const CONNECTORS: usize = 4;
    let home = jvm::new_folder("guardian");
    let guardian = |worker: &str| {
        // The cluster's name comes from the URL unless it is given, and this is one cluster.
        Guardian::new(worker, &home).env("GUARDIAN_CLUSTER", "the-cluster").env("MAX_RESTART", "1")
    };
    let failed: Vec<Flaky> = (0..CONNECTORS)
        .map(|number| cluster.leader.failing(&format!("given-up-{number}"), 1, &["task-0"]))
        .collect();
    cluster.await_quiet();
    let starts: Vec<usize> = failed.iter().map(|flaky| flaky.starts("task 0")).collect();
    let run = guardian(&cluster.leader.url()).once(&[]);
    assert_eq!(run.assert_ok().count("restarted"), CONNECTORS as u64, "{}", run.json);
    for (flaky, before) in failed.iter().zip(starts) {
        cluster.leader.await_failure(&flaky.name, Some(0), before + 1);
    }
    let run = guardian(&cluster.leader.url()).once(&[]);
    assert_eq!(run.assert_ok().count("gave_up"), CONNECTORS as u64, "{}", run.json);

    let gate = Gate::before(&kafka::broker().address);
    let mut third = cluster.setup.clone().set("bootstrap.servers", gate.address()).start_without_waiting();
    let wire = Wire::to(third.port);
    let mut seen = BTreeSet::new();
    wait::until("the third worker to list every connector as given up", || {
        let run = guardian(&wire.url()).once(&[]);
        let said = what_a_starting_worker_said(&run);
        for flaky in &failed {
            assert_eq!(attempts_remembered(&home, &flaky.name), Some(1), "after {said}");
        }
        if said == "{}" {
            gate.open();
        }
        // A run looks more than once, so that it may end well after a page.
        if run.stderr.contains(": HTTP 404") {
            seen.insert("not Connect".to_owned());
        }
        seen.insert(said);
        match run.json["summary"]["gave_up"].as_u64() {
            Some(given_up) if given_up == CONNECTORS as u64 => Ok(()),
            _ => Err(format!("{seen:?}")),
        }
    });
    println!("a starting worker {} was seen to say: {seen:?}", third.version.number);
    assert!(seen.contains("{}") && seen.contains("not Connect"), "too slow to see the start: {seen:?}");
    assert!(wire.restarts().is_empty(), "{:?}", wire.restarts());
    third.await_ready();
    // So that nothing of the third one's has to be handed on, which would move work in the next scenario.
    cluster.leader.delete_all_connectors();
    third.jvm.stop();
}

/// What the listing was, by guardian's report; its exit code must fit.
fn what_a_starting_worker_said(run: &Run) -> String {
    match run.code {
        Some(1) => {
            assert_eq!(run.json["error"]["kind"], "not_connect", "{}", run.json);
            assert_eq!(run.json["instances"].as_array().map_or(0, Vec::len), 0, "{}", run.json);
            "not Connect".to_owned()
        }
        Some(0) if run.json["connectors"]["total"] == 0 => {
            assert_ne!(run.json["warnings"], serde_json::json!([]), "the ledger is not empty: {}", run.json);
            "{}".to_owned()
        }
        Some(0) => format!("{} connectors", run.json["connectors"]["total"]),
        other => panic!("exit code {other:?}: {}", run.json),
    }
}

/// The attempts in the state's record of task 0, `None` when there is no record.
fn attempts_remembered(home: &Path, connector: &str) -> Option<u64> {
    let text = std::fs::read_to_string(home.join("state.json")).expect("the state");
    let state: Value = serde_json::from_str(&text).expect("JSON");
    let records = state["instances"].as_array().expect("a list of records");
    let record = records.iter().find(|one| one["connector"] == connector && one["task"] == 0)?;
    record["episode"]["attempts"].as_u64()
}

scenario!(clustered worker_killed_between_the_read_and_the_restart on V3_9 V4_3);

/// The worker that owns some of the failed tasks dies when guardian has read their status and sends the first
/// restart to the other one.
fn worker_killed_between_the_read_and_the_restart(cluster: &mut Cluster) {
    const CONNECTORS: usize = 4;
    let (leader, follower) = (&cluster.leader, &cluster.follower);
    let healthy = leader.flaky("healthy", 2);
    let failed: Vec<Flaky> =
        (0..CONNECTORS).map(|number| leader.failing(&format!("owned-{number}"), 1, &["task-0"])).collect();
    cluster.await_quiet();
    for flaky in &failed {
        leader.await_task(&flaky.name, 0, "FAILED");
    }
    let (lost, kept): (Vec<&Flaky>, Vec<&Flaky>) =
        failed.iter().partition(|flaky| owner_of_task_0(leader, flaky) == follower.id());
    assert!(!lost.is_empty() && !kept.is_empty(), "both workers have failed tasks");
    for flaky in &kept {
        flaky.heal("task-0");
    }
    let starts = |flaky: &Flaky| flaky.starts("task 0");
    let before: Vec<usize> = failed.iter().map(starts).collect();

    let (kill, dead_port) = (follower.jvm.killer(), follower.port);
    let mut killed = false;
    let wire = Wire::acting(leader.port, move |request| {
        if request.starts_with("POST ") && !killed {
            killed = true;
            kill();
            await_refusal(dead_port);
        }
        Then::PassOn
    });
    let guardian = Guardian::new(&wire.url(), &jvm::new_folder("guardian"));
    let run = guardian.once(&[]);
    run.assert_ok();
    for flaky in &kept {
        assert_eq!(run.action(&flaky.name, Some(0)), "restarted", "{}", run.json);
        leader.await_task(&flaky.name, 0, "RUNNING");
    }
    for flaky in &lost {
        let line = run.instance(&flaky.name, Some(0));
        assert_eq!((&line["action"], &line["attempts"]), (&"deferred".into(), &0.into()), "{line}");
        assert!(line["error"].as_str().is_some_and(|error| error.contains("Connection refused")), "{line}");
    }
    for (flaky, before) in failed.iter().zip(before) {
        let expected = before + usize::from(kept.iter().any(|one| one.name == flaky.name));
        assert_eq!(starts(flaky), expected, "{}", flaky.name);
    }

    // Connect hands the dead worker's tasks to the one that is left, where they fail again: no work of
    // guardian's, which then has all its attempts left.
    for flaky in &lost {
        leader.await_status(&flaky.name, "failed again on the worker that is left", |status| {
            let task = task_of(status, 0);
            task["worker_id"] == leader.id().as_str() && task["state"] == "FAILED"
        });
        flaky.heal("task-0");
    }
    let before: Vec<usize> = lost.iter().map(|flaky| starts(flaky)).collect();
    let run = guardian.once(&[]);
    run.assert_ok();
    for (flaky, before) in lost.iter().zip(before) {
        let line = run.instance(&flaky.name, Some(0));
        assert_eq!((&line["action"], &line["attempts"]), (&"restarted".into(), &1.into()), "{line}");
        leader.await_task(&flaky.name, 0, "RUNNING");
        assert_eq!(starts(flaky), before + 1);
    }
    let touched = wire.restarts().iter().any(|target| target.contains(&healthy.name));
    assert!(!touched, "{:?}", wire.restarts());
}

scenario!(clustered worker_killed_in_the_middle_of_a_restart on V3_9 V4_3);

/// Guardian's own worker dies with a restart in flight: that one is of unknown fate, charged and not repeated;
/// what comes after it goes to the next worker.
fn worker_killed_in_the_middle_of_a_restart(cluster: &mut Cluster) {
    const CONNECTORS: usize = 4;
    let (leader, follower) = (&cluster.leader, &cluster.follower);
    let slow: Vec<Flaky> = (0..CONNECTORS)
        .map(|number| leader.failing(&format!("1-slow-{number}"), 1, &["connector"]))
        .collect();
    let quick: Vec<Flaky> =
        (0..CONNECTORS).map(|number| leader.failing(&format!("2-quick-{number}"), 1, &["task-0"])).collect();
    cluster.await_quiet();
    for flaky in &quick {
        follower.await_task(&flaky.name, 0, "FAILED");
    }
    // Both are the survivor's, so that Connect could do them.
    let status = |flaky: &Flaky| leader.status(&flaky.name).expect("the status of a connector that exists");
    let slow = slow
        .iter()
        .find(|flaky| status(flaky)["connector"]["worker_id"] == leader.id().as_str())
        .expect("a connector of four is the leader's");
    let quick = quick
        .iter()
        .find(|flaky| owner_of_task_0(leader, flaky) == leader.id())
        .expect("a task of four is the leader's");
    slow.heal("connector");
    slow.block("connector", 4000);
    quick.heal("task-0");
    let before = (slow.starts("connector"), quick.starts("task 0"));

    let wire = Wire::to(follower.port);
    let urls = format!("{},{}", wire.url(), leader.url());
    let home = jvm::new_folder("guardian");
    let args = ["--parallel", "1", "--include", &slow.name, "--include", &quick.name];
    let guardian = Guardian::new(&urls, &home).args(["run", "--once", "--output", "json", "--settle", "0s"]);
    let guardian = guardian.args(args);
    let under_way = guardian.start();
    slow.await_starts("connector", before.0 + 1);
    wire.die();
    follower.jvm.killer()();
    let run = under_way.finish();
    assert_eq!(run.code, Some(1), "{}", run.json);
    assert_eq!(run.json["error"]["kind"], "restart", "{}", run.json);
    assert_eq!((run.action(&slow.name, None), run.attempts(&slow.name, None)), ("unknown", Some(1)));
    let line = run.instance(&quick.name, Some(0));
    assert_eq!((&line["action"], &line["attempts"]), (&"restarted".into(), &1.into()), "{line}");

    // Connect did what was in flight, so the next run finds both healthy.
    leader.await_connector(&slow.name, "RUNNING");
    leader.await_task(&slow.name, 0, "RUNNING");
    leader.await_task(&quick.name, 0, "RUNNING");
    let run = guardian.run();
    run.assert_ok();
    assert_eq!(run.json["url"], leader.url(), "the worker that is left");
    assert_eq!(run.action(&slow.name, None), "recovered", "{}", run.json);
    assert_eq!(run.action(&quick.name, Some(0)), "recovered", "{}", run.json);
    assert_eq!((slow.starts("connector"), quick.starts("task 0")), (before.0 + 1, before.1 + 1));
}

fn owner_of_task_0(asked: &Worker, flaky: &Flaky) -> String {
    let status = asked.status(&flaky.name).expect("the status of a connector that exists");
    task_of(&status, 0)["worker_id"].as_str().expect("a worker's name").to_owned()
}

fn await_refusal(port: u16) {
    wait::until("a killed worker's port to refuse", || {
        match std::net::TcpStream::connect(("127.0.0.1", port)) {
            Ok(_) => Err("it accepts".to_owned()),
            Err(_) => Ok(()),
        }
    });
}
