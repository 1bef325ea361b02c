//! Two workers of one cluster.

use crate::connect::{Setup, await_one_group, await_quiet_group};
use crate::guardian::Guardian;
use crate::jars::Version;
use crate::jvm;
use crate::scene::scenario;

scenario!(alone the_next_worker_is_asked_when_the_first_is_dead on V3_9 V4_3);

/// First a dead URL before a follower, which must forward the restarts to the leader; then the leader leaves
/// for good.
fn the_next_worker_is_asked_when_the_first_is_dead(version: &'static Version) {
    const NAME: &str = "spread out";
    // A free port might be another test's by the time it is asked; port 1 is given to nobody.
    const DEAD: &str = "http://127.0.0.1:1";
    // Work of a worker that left is handed on at once instead of after 5 minutes.
    let setup = Setup::distributed(version).set("scheduled.rebalance.max.delay.ms", "0");
    let mut workers = [setup.start(), setup.start()];
    let leader = await_one_group(&[&workers[0], &workers[1]]);
    let follower = 1 - leader;
    let home = jvm::new_folder("guardian");

    let flaky = workers[leader].failing(NAME, 2, &["task-0", "task-1"]);
    await_quiet_group(&[&workers[0], &workers[1]]);
    workers[follower].await_failure(NAME, Some(0), 1);
    workers[follower].await_failure(NAME, Some(1), 1);
    let before = [0, 1].map(|task| flaky.starts(&format!("task {task}")));
    flaky.heal("task-0");
    flaky.heal("task-1");
    let urls = format!("{DEAD},{}", workers[follower].url());
    let run = Guardian::new(&urls, &home).once(&[]);
    run.assert_ok();
    assert_eq!(run.count("restarted"), 2, "{}", run.json);
    assert_eq!(run.json["url"], workers[follower].url(), "the worker that answered");
    for task in [0, 1] {
        workers[follower].await_task(NAME, task, "RUNNING");
        assert_eq!(flaky.starts(&format!("task {task}")), before[task] + 1);
    }

    // The leader leaves: its task is started again by the one that stays, which is no work of guardian's.
    let urls = format!("{},{}", workers[leader].url(), workers[follower].url());
    workers[leader].jvm.stop();
    let left = &workers[follower];
    let own_id = format!("127.0.0.1:{}", left.port);
    left.await_status(NAME, "everything on the worker that is left", |status| {
        let instances = [&status["connector"], &status["tasks"][0], &status["tasks"][1]];
        instances.iter().all(|one| one["worker_id"] == own_id.as_str() && one["state"] == "RUNNING")
    });
    flaky.fail("poll-1");
    left.await_task(NAME, 1, "FAILED");
    flaky.heal("poll-1");
    let before = flaky.starts("task 1");
    // The name of the cluster comes from its URLs, which are others now; the state is the same cluster's.
    let home = jvm::new_folder("guardian");
    let run = Guardian::new(&urls, &home).once(&[]);
    run.assert_ok();
    assert_eq!(run.action(NAME, Some(1)), "restarted");
    left.await_task(NAME, 1, "RUNNING");
    assert_eq!(flaky.starts("task 1"), before + 1);
}
