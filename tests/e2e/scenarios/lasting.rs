//! What goes on from run to run on a real worker: a status that was left behind, what never comes back, the last
//! restart.

use std::fs;

use serde_json::json;

use crate::flaky::Flaky;
use crate::guardian::Guardian;
use crate::jvm;
use crate::scene::{Scene, scenario};

scenario!(a_status_that_was_left_behind_is_no_failed_task on V2_3 V3_9 V4_3);

/// Written as a late worker would write it. Connect says 404 of a task that the connector never had; of one that it had
/// before it was scaled down Connect keeps the configuration, and says that it is nobody's, for ever.
fn a_status_that_was_left_behind_is_no_failed_task(scene: &mut Scene) {
    const NEW: &str = "made-anew";
    const SCALED: &str = "scaled-down";
    let worker = scene.worker();
    worker.flaky(NEW, 1);
    let trace = "org.apache.kafka.connect.errors.ConnectException: long ago";
    let status = json!({"state": "FAILED", "trace": trace, "worker_id": worker.id(), "generation": 1});
    worker.write_status(NEW, 1, &status);
    worker.await_task(NEW, 1, "FAILED");
    is_said_once_and_then_left_alone(&scene.guardian(), NEW, 1, "HTTP 404: Unknown task: made-anew-1");
    let restart = format!("/connectors/{NEW}/tasks/1/restart");
    assert_eq!(scene.wire.restarts(), [restart.clone(), restart]);

    let flaky = worker.failing(SCALED, 2, &["task-1"]);
    worker.demand("PUT", &format!("/connectors/{SCALED}/config"), &flaky.config(1).to_string(), 200);
    if !worker.version.leaves_statuses_behind() {
        worker.await_status(SCALED, "one task", |status| {
            status["tasks"].as_array().is_some_and(|it| it.len() == 1)
        });
        worker.write_status(SCALED, 1, &status);
    }
    worker.await_task(SCALED, 0, "RUNNING");
    worker.await_task(SCALED, 1, "FAILED");
    let run = scene.run(&["--include", SCALED]);
    let line = run.assert_ok().instance(SCALED, Some(1));
    assert_eq!((&line["action"], &line["attempts"]), (&"deferred".into(), &0.into()), "{line}");
    // The first is how the second was said before KAFKA-9883.
    let says = ["HTTP 500: \"uriTemplate\" parameter is null.", NO_LEADER];
    assert!(line["error"] == says[usize::from(worker.version.is_at_least(2, 8))], "{line}");
    assert_eq!(flaky.starts("task 1"), 1);
}

const NO_LEADER: &str = "HTTP 409: Cannot complete request momentarily due to no known leader URL, likely because a rebalance was underway.";

/// A task that is listed as failed, and that Connect does not know when it is restarted.
pub fn is_said_once_and_then_left_alone(guardian: &Guardian, name: &str, task: usize, answer: &str) {
    let guardian = guardian.clone().env("GUARDIAN_FAIL_ON", "failed");
    let run = guardian.once(&[]);
    let line = run.assert_ok().instance(name, Some(task));
    assert_eq!((&line["action"], &line["attempts"]), (&"gone".into(), &0.into()), "{line}");
    assert_eq!(line["error"], answer, "it may just have been deleted");

    let says =
        format!("leaves alone (a status that was left behind: Connect has no such task) {}/{task}", name);
    for told in [1, 0, 0] {
        let quiet = guardian.clone().args(["run", "--once", "--quiet", "--settle", "0s"]).run();
        assert_eq!((quiet.code, quiet.stderr.matches(&says).count()), (Some(0), told), "{}", quiet.stderr);
        assert_eq!(quiet.stderr.lines().count(), told);
    }
    let run = guardian.once(&[]);
    run.assert_ok();
    assert_eq!((&run.json["tasks"]["failed"], &run.json["tasks"]["other"]), (&json!(0), &json!(1)));
    assert_eq!(run.action(name, Some(task)), "", "{}", run.json);
}

scenario!(what_a_missing_secret_keeps_from_coming_back_counts_as_failed on V3_9 V4_3);

/// The file with a connector's secret is away when it is restarted: the connector stays UNASSIGNED after the plain
/// call, the tasks stay RESTARTING after that of KIP-745, and no status ever says that anything has failed.
fn what_a_missing_secret_keeps_from_coming_back_counts_as_failed(scene: &mut Scene) {
    const OWN: &str = "no-secret-itself";
    const TASKS: &str = "no-secret-for-tasks";
    let worker = scene.worker();
    let secret = jvm::new_folder("secret").join("secret.properties");
    let put_back = || fs::write(&secret, "key=value\n").expect("write the secret");
    put_back();
    let failing = |name: &str, tasks: u32, faults: &[&str]| {
        let flaky = Flaky::new(name);
        faults.iter().for_each(|fault| flaky.fail(fault));
        let mut config = flaky.config(tasks);
        config["secret"] = format!("${{file:{}:key}}", secret.display()).into();
        worker.create(name, config);
        flaky
    };
    let own = failing(OWN, 1, &["connector"]);
    let tasks = failing(TASKS, 2, &["task-0", "task-1"]);
    worker.await_failure(OWN, None, 1);
    worker.await_failure(TASKS, Some(0), 1);
    worker.await_failure(TASKS, Some(1), 1);
    own.heal("connector");
    tasks.heal("task-0");
    tasks.heal("task-1");
    fs::remove_file(&secret).expect("take the secret away");

    let guardian = scene
        .guardian()
        .env("EXPONENTIAL_RATIO", "1")
        .env("GUARDIAN_FAIL_ON", "failed")
        .env("GUARDIAN_PARALLEL", "1");
    let run = guardian.once(&[]);
    assert_eq!((run.action(OWN, None), run.action(TASKS, Some(0))), ("unknown", "restarted"), "{}", run.json);
    worker.await_connector(OWN, "UNASSIGNED");
    worker.await_task(TASKS, 0, "RESTARTING");
    worker.await_task(TASKS, 1, "RESTARTING");
    for _ in 0..2 {
        let run = guardian.once(&[]);
        assert_eq!(run.assert_ok().count("in_transition"), 3, "{}", run.json);
    }
    let sent = scene.wire.restarts().len();
    let run = guardian.once(&[]);
    // Three runs later they are failed. After two answers in a row of unknown fate nothing more is sent.
    assert_eq!((run.code, run.count("unknown"), run.count("deferred")), (Some(1), 2, 1), "{}", run.json);
    for task in [0, 1] {
        let line = run.instance(TASKS, Some(task));
        assert_eq!(line["attempts"], 2, "{line}");
        let says = "HTTP 500: Could not read properties from file ";
        assert!(line["error"].as_str().is_some_and(|error| error.starts_with(says)), "{line}");
    }
    assert_eq!(run.attempts(OWN, None), Some(1), "{}", run.json);
    let restarts = scene.wire.restarts().split_off(sent);
    assert!(restarts.len() == 2 && !restarts.iter().any(|it| it.contains('?')), "{restarts:?}");
    worker.await_connector(OWN, "UNASSIGNED");
    worker.await_task(TASKS, 0, "RESTARTING");
    assert_eq!((own.starts("connector"), tasks.starts("task 0"), tasks.starts("task 1")), (1, 1, 1));

    put_back();
    let run = guardian.once(&[]);
    assert_eq!((run.code, run.count("restarted")), (Some(3), 3), "failed until they are seen: {}", run.json);
    worker.await_task(OWN, 0, "RUNNING");
    worker.await_task(TASKS, 0, "RUNNING");
    worker.await_task(TASKS, 1, "RUNNING");
    assert_eq!((own.starts("connector"), tasks.starts("task 0"), tasks.starts("task 1")), (2, 2, 2));
}

scenario!(before_the_last_restart_of_a_task_its_connector_is_restarted on V2_8 V3_9 V4_3);

/// By the plain call, and no other task is touched. A restart has a `Content-Length`, which Connect does not mind.
fn before_the_last_restart_of_a_task_its_connector_is_restarted(scene: &mut Scene) {
    const NAME: &str = "last-resort";
    let worker = scene.worker();
    let flaky = worker.failing(NAME, 2, &["task-0"]);
    worker.await_task(NAME, 1, "RUNNING");
    let guardian = scene.guardian().env("MAX_RESTART", "2").env("EXPONENTIAL_RATIO", "1");
    let mut story = Vec::new();
    for run in 1..=3 {
        let ended = guardian.once(&[]);
        ended.assert_ok();
        worker.await_failure(NAME, Some(0), (run + 1).min(3));
        let starts = ["connector", "task 0", "task 1"].map(|who| flaky.starts(who));
        story.push((ended.action(NAME, Some(0)).to_owned(), starts));
    }
    let expected = [("restarted", [1, 2, 1]), ("restarted", [2, 3, 1]), ("gave_up", [2, 3, 1])];
    assert_eq!(story, expected.map(|(action, starts)| (action.to_owned(), starts)));
    let task = format!("/connectors/{NAME}/tasks/0/restart");
    assert_eq!(scene.wire.restarts(), [task.clone(), format!("/connectors/{NAME}/restart"), task]);
    assert_eq!(scene.wire.lengths_of_restarts(), ["0"; 3]);
}
