//! The tests' own instruments: before guardian is judged by them, they are held against a real worker.

use crate::http::segment;
use crate::scene::{Scene, scenario};

scenario!(a_fault_shows_and_a_restart_is_counted on V2_3 V2_8 V3_0 V3_6 V3_9 V4_3);

/// A fault on demand becomes FAILED with a trace that names its start; a restart by hand is counted once by
/// the plugin and once by the access log; the healed task runs.
fn a_fault_shows_and_a_restart_is_counted(scene: &mut Scene) {
    let worker = scene.worker();
    let flaky = worker.failing("flaky one", 2, &["task-1"]);
    worker.await_task(&flaky.name, 0, "RUNNING");
    assert_eq!((flaky.starts("task 0"), flaky.starts("task 1")), (1, 1));

    let restart = format!("/connectors/{}/tasks/1/restart", segment(&flaky.name));
    worker.demand("POST", &restart, "", 204);
    worker.await_failure(&flaky.name, Some(1), 2);
    flaky.heal("task-1");
    worker.demand("POST", &restart, "", 204);
    worker.await_task(&flaky.name, 1, "RUNNING");
    assert_eq!((flaky.starts("task 0"), flaky.starts("task 1")), (1, 3));
    if worker.version.has_access_log() {
        let logged = worker.restarts();
        assert_eq!(logged[logged.len() - 2..], [restart.clone(), restart]);
    }
}
