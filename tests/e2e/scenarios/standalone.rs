//! A standalone worker: no group, no forwarding, statuses in memory.

use crate::connect::Setup;
use crate::guardian::Guardian;
use crate::jars::Version;
use crate::jvm;
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
}
