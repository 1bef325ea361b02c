//! Which restart call is sent, and what it does on a real worker.

use crate::connect::task_of;
use crate::guardian::Guardian;
use crate::http;
use crate::jvm;
use crate::scene::{Scene, scenario};
use crate::wire::{Then, Wire};

scenario!(a_failed_connector_is_restarted on V2_3 V2_8 V3_0 V3_6 V3_9 V4_3);

/// The connector's own instance fails to start, twice; then it heals and its tasks appear.
fn a_failed_connector_is_restarted(scene: &mut Scene) {
    const NAME: &str = "no-connection";
    let worker = scene.worker();
    let flaky = worker.failing(NAME, 2, &["connector"]);

    // Connect answers 500 "Failed to start connector" when the restart was done and failed again: charged, no
    // error. A worker 2.3 says 204 all the same, so the failure shows only in the next run.
    let answered = if worker.version.is_at_least(2, 8) { "failed" } else { "restarted" };
    let run = scene.run(&[]);
    run.assert_ok();
    assert_eq!((run.action(NAME, None), run.attempts(NAME, None)), (answered, Some(1)));
    assert_eq!(flaky.starts("connector"), 2);
    worker.await_failure(NAME, None, 2);

    flaky.heal("connector");
    let run = scene.run(&[]);
    run.assert_ok();
    assert_eq!((run.action(NAME, None), run.attempts(NAME, None)), ("restarted", Some(2)));
    worker.await_connector(NAME, "RUNNING");
    worker.await_task(NAME, 0, "RUNNING");
    worker.await_task(NAME, 1, "RUNNING");
    assert_eq!(flaky.starts("connector"), 3);
    let restart = format!("/connectors/{NAME}/restart");
    assert_eq!(scene.wire.restarts(), [restart.clone(), restart]);

    let run = scene.run(&[]);
    assert_eq!(run.assert_ok().action(NAME, None), "recovered");
}

scenario!(several_failed_tasks_need_one_call_where_connect_can on V2_3 V2_8 V3_0 V3_6 V3_9 V4_3);

/// Tasks 0 and 2 of three have failed: KIP-745's one call from 3.2 on, one call each before. The running
/// neighbour and the connector's own instance are not touched in either case.
fn several_failed_tasks_need_one_call_where_connect_can(scene: &mut Scene) {
    const NAME: &str = "two-of-three";
    let worker = scene.worker();
    let flaky = worker.failing(NAME, 3, &["task-0", "task-2"]);
    worker.await_task(NAME, 1, "RUNNING");
    flaky.heal("task-0");
    flaky.heal("task-2");

    let run = scene.run(&[]);
    run.assert_ok();
    assert_eq!(run.count("restarted"), 2, "{}", run.json);
    for task in [0, 2] {
        assert_eq!(run.action(NAME, Some(task)), "restarted");
        worker.await_task(NAME, task, "RUNNING");
    }
    let expected: &[&str] = if worker.version.restarts_failed_tasks_in_one_call() {
        &["/connectors/two-of-three/restart?includeTasks=true&onlyFailed=true"]
    } else {
        &["/connectors/two-of-three/tasks/0/restart", "/connectors/two-of-three/tasks/2/restart"]
    };
    assert_eq!(scene.wire.restarts(), expected);
    let starts = ["connector", "task 0", "task 1", "task 2"].map(|who| flaky.starts(who));
    assert_eq!(starts, [1, 2, 1, 2], "the connector, then tasks 0, 1, 2");
}

scenario!(a_failed_connector_and_its_failed_task_come_back_together on V2_8 V3_9 V4_3);

/// The connector's own instance and a task fail at the same time, the other task runs on.
fn a_failed_connector_and_its_failed_task_come_back_together(scene: &mut Scene) {
    const NAME: &str = "all-down";
    let worker = scene.worker();
    let flaky = worker.failing(NAME, 2, &["task-1"]);
    worker.await_task(NAME, 0, "RUNNING");
    // A running connector fails only when it is started again: by a person's restart here.
    flaky.fail("connector");
    worker.demand("POST", &format!("/connectors/{NAME}/restart"), "", 500);
    worker.await_failure(NAME, None, 2);
    let status = worker.status(NAME).expect("the status of a connector that exists");
    assert_eq!(task_of(&status, 0)["state"], "RUNNING", "{status}");
    flaky.heal("connector");
    flaky.heal("task-1");

    let run = scene.run(&[]);
    run.assert_ok();
    assert_eq!((run.action(NAME, None), run.action(NAME, Some(1))), ("restarted", "restarted"));
    worker.await_connector(NAME, "RUNNING");
    worker.await_task(NAME, 1, "RUNNING");
    let calls = if worker.version.restarts_failed_tasks_in_one_call() { 1 } else { 2 };
    assert_eq!(scene.wire.restarts().len(), calls, "{:?}", scene.wire.restarts());
    let starts = ["connector", "task 0", "task 1"].map(|who| flaky.starts(who));
    assert_eq!(starts, [3, 1, 2], "the connector, then tasks 0 and 1");
}

scenario!(what_came_back_while_it_was_put_off_is_not_restarted_again on V2_8 V3_9 V4_3);

/// A worker answers 409 to the restart of a task, as in a rebalance, and meanwhile the task is brought back by
/// somebody else. Guardian asks the worker once more before it would send the same again.
fn what_came_back_while_it_was_put_off_is_not_restarted_again(scene: &mut Scene) {
    const NAME: &str = "raced";
    const REBALANCE: &str =
        r#"{"error_code":409,"message":"Cannot complete request momentarily due to a rebalance"}"#;
    let worker = scene.worker();
    let flaky = worker.failing(NAME, 1, &["task-0"]);
    flaky.heal("task-0");
    let (port, mut put_off) = (worker.port, false);
    let wire = Wire::acting(port, move |request| match request.strip_prefix("POST ") {
        Some(target) if !put_off => {
            put_off = true;
            let answer = http::request(port, "POST", target, &[], "").expect("an answer");
            assert_eq!(answer.status, 204, "{answer}");
            Then::Answer(409, REBALANCE)
        }
        _ => Then::PassOn,
    });
    let run = Guardian::new(&wire.url(), &jvm::new_folder("guardian")).once(&[]);
    run.assert_ok();
    let line = run.instance(NAME, Some(0));
    assert_eq!((&line["action"], &line["attempts"]), (&"deferred".into(), &0.into()), "{line}");
    assert_eq!(line["error"], "not restarted, it is RUNNING by now");
    assert_eq!(wire.restarts().len(), 1, "{:?}", wire.requests());
    assert_eq!(flaky.starts("task 0"), 2, "its first start and that of somebody else");
}
