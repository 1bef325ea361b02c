//! Names that a URL would misread.

use crate::http::segment;
use crate::scene::{Scene, scenario};

scenario!(odd_names_reach_the_connector_they_mean on V2_3 V2_8 V3_0 V3_6 V3_9 V4_3);

/// Every name has a failed task and a neighbour whose name is what a wrong encoding would make of it.
fn odd_names_reach_the_connector_they_mean(scene: &mut Scene) {
    // "a b" and "a+b" are each other's misreading, and "a" is what is left of "a?b" and "a#b" when they are
    // not encoded.
    const NAMES: [&str; 7] = ["a b", "a+b", "a?b", "a#b", "a&b=c", "a:b@c", "ü-ñ-日本"];
    let worker = scene.worker();
    let neighbour = worker.flaky("a", 1);
    let failing = NAMES.map(|name| worker.failing(name, 1, &["task-0"]));
    for flaky in &failing {
        flaky.heal("task-0");
    }

    let run = scene.run(&[]);
    run.assert_ok();
    assert_eq!(run.count("restarted"), NAMES.len() as u64, "{}", run.json);
    for flaky in &failing {
        assert_eq!(run.action(&flaky.name, Some(0)), "restarted", "{:?}", flaky.name);
        worker.await_task(&flaky.name, 0, "RUNNING");
        assert_eq!(flaky.starts("task 0"), 2, "{:?}", flaky.name);
    }
    assert_eq!(neighbour.starts("task 0"), 1);
    // Restarts of different connectors go out in parallel, so their order is not fixed.
    let mut sent = scene.wire.restarts();
    let mut expected = NAMES.map(|name| format!("/connectors/{}/tasks/0/restart", segment(name)));
    sent.sort();
    expected.sort();
    assert_eq!(sent, expected);
}
