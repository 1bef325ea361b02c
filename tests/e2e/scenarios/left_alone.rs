//! What guardian must not touch: the healthy, the paused, the stopped.

use serde_json::json;

use crate::scene::{Scene, scenario};

scenario!(a_healthy_cluster_costs_one_request_and_no_file on V2_3 V2_8 V3_0 V3_6 V3_9 V4_3);

fn a_healthy_cluster_costs_one_request_and_no_file(scene: &mut Scene) {
    let worker = scene.worker();
    let flaky = worker.flaky("healthy", 2);
    let run = scene.run(&[]);
    run.assert_ok();
    assert_eq!(run.json["instances"], json!([]));
    assert_eq!((&run.json["connectors"]["running"], &run.json["tasks"]["running"]), (&json!(1), &json!(2)));
    assert_eq!(scene.wire.requests(), ["GET /connectors?expand=status"]);
    assert_eq!(scene.state(), "", "nothing to remember, nothing written");
    assert_eq!(flaky.starts("task 0"), 1);

    let quiet = scene.guardian().args(["run", "--once", "--quiet"]).run();
    assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (Some(0), "", ""));
}

scenario!(a_paused_connector_is_left_alone_until_it_is_resumed on V2_3 V2_8 V3_0 V3_6 V3_9 V4_3);

fn a_paused_connector_is_left_alone_until_it_is_resumed(scene: &mut Scene) {
    const NAME: &str = "on-hold";
    let worker = scene.worker();
    let flaky = worker.failing(NAME, 2, &["task-0"]);
    worker.pause(NAME);
    worker.await_connector(NAME, "PAUSED");
    worker.await_task(NAME, 1, "PAUSED");

    for _ in 0..3 {
        let run = scene.run(&[]);
        run.assert_ok();
        assert_eq!(run.action(NAME, Some(0)), "parked", "{}", run.json);
        assert_eq!(run.json["connectors"]["paused"], 1);
        assert_eq!(run.count("restarted"), 0);
    }
    assert!(scene.wire.restarts().is_empty(), "{:?}", scene.wire.restarts());
    assert_eq!(flaky.starts("task 0"), 1);

    worker.resume(NAME);
    worker.await_connector(NAME, "RUNNING");
    flaky.heal("task-0");
    let run = scene.run(&[]);
    assert_eq!(run.assert_ok().action(NAME, Some(0)), "restarted");
    worker.await_task(NAME, 0, "RUNNING");
}

scenario!(a_stopped_connector_is_left_alone on V3_6 V3_9 V4_3);

/// `PUT /stop` came with 3.5. Its tasks vanish with the next rebalance; until then a FAILED one may still be
/// listed.
fn a_stopped_connector_is_left_alone(scene: &mut Scene) {
    const NAME: &str = "shut-down";
    let worker = scene.worker();
    assert!(worker.version.can_stop());
    let flaky = worker.failing(NAME, 1, &["task-0"]);
    worker.stop(NAME);
    worker.await_connector(NAME, "STOPPED");

    // Both the moment in between, if it is still there to be seen, and the end.
    for awaits_the_end in [false, true] {
        if awaits_the_end {
            worker.await_status(NAME, "no task", |status| status["tasks"] == json!([]));
        }
        let run = scene.run(&[]);
        run.assert_ok();
        assert_eq!(run.json["connectors"]["stopped"], 1, "{}", run.json);
        assert_eq!(run.count("restarted"), 0);
        assert_eq!(run.count("no_tasks"), 0, "stopped on purpose is no silent outage: {}", run.json);
    }
    assert!(scene.wire.restarts().is_empty(), "{:?}", scene.wire.restarts());
    assert_eq!(flaky.starts("task 0"), 1);
}
