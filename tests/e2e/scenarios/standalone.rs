//! A standalone worker: no group, no forwarding, statuses in memory.

use crate::connect::{Setup, Worker};
use crate::guardian::Guardian;
use crate::http::segment;
use crate::jars::Version;
use crate::jvm;
use crate::scenarios::lasting::is_said_once_and_then_left_alone;
use crate::scene::scenario;

scenario!(alone a_standalone_worker_is_served_too on V3_9 V4_3);

fn a_standalone_worker_is_served_too(version: &'static Version) {
    const NAME: &str = "alone";
    let worker = Setup::standalone(version).start();
    let guardian = Guardian::new(&worker.url(), &jvm::new_folder("guardian"));
    let flaky = worker.failing(NAME, 3, &["task-0", "task-2"]);
    worker.await_task(NAME, 1, "RUNNING");
    flaky.heal("task-0");
    flaky.heal("task-2");

    let run = guardian.once(&[]);
    run.assert_ok();
    for task in [0, 2] {
        assert_eq!(run.action(NAME, Some(task)), "restarted");
        worker.await_task(NAME, task, "RUNNING");
    }
    let starts = ["connector", "task 0", "task 1", "task 2"].map(|who| flaky.starts(who));
    assert_eq!(starts, [1, 2, 1, 2], "the connector, then tasks 0, 1, 2");

    let run = guardian.once(&[]);
    assert_eq!(run.assert_ok().count("recovered"), 2, "{}", run.json);

    a_connector_that_cannot_start_has_failed_again(&worker);

    // Its restart is what makes a standalone worker list a task that is not there, as failed and for good.
    worker.demand("POST", &format!("/connectors/{NAME}/tasks/7/restart"), "", 404);
    worker.await_task(NAME, 7, "FAILED");
    let guardian = Guardian::new(&worker.url(), &jvm::new_folder("guardian"));
    is_said_once_and_then_left_alone(&guardian, NAME, 7, "HTTP 404: Task alone-7 not found");
}

/// A standalone worker has words of its own for it: 500 "Failed to transition connector ...". It is the same
/// answer to the same restart: done, and failed again.
fn a_connector_that_cannot_start_has_failed_again(worker: &Worker) {
    const NAME: &str = "no connection";
    let guardian = Guardian::new(&worker.url(), &jvm::new_folder("guardian"));
    let flaky = worker.flaky(NAME, 1);
    // A running connector fails only when it is started again: by a person's restart here.
    flaky.fail("connector");
    worker.demand("POST", &format!("/connectors/{}/restart", segment(NAME)), "", 500);
    worker.await_failure(NAME, None, 2);

    let run = guardian.once(&[]);
    let line = run.assert_ok().instance(NAME, None);
    assert_eq!((&line["action"], &line["attempts"]), (&"failed".into(), &1.into()), "{line}");
    assert!(line["error"].as_str().is_some_and(|error| error.contains("Failed to transition")), "{line}");
    worker.await_failure(NAME, None, 3);

    flaky.heal("connector");
    let run = guardian.once(&[]);
    assert_eq!((run.assert_ok().action(NAME, None), run.attempts(NAME, None)), ("restarted", Some(2)));
    worker.await_connector(NAME, "RUNNING");
    assert_eq!((flaky.starts("connector"), flaky.starts("task 0")), (4, 1));
}
