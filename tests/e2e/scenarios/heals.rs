//! An instance that comes back: restarted, seen running, forgiven, forgotten.

use std::fs;

use crate::scene::{Scene, scenario};

scenario!(a_missing_directory_is_healed_and_forgiven on V2_3 V2_8 V3_0 V3_6 V3_9 V4_3);

/// The example that every user has met: Kafka's own file sink whose folder is not there yet.
fn a_missing_directory_is_healed_and_forgiven(scene: &mut Scene) {
    const SINK: &str = "file-sink";
    let worker = scene.worker();
    let folder = scene.home().join("not-there-yet");
    let file = folder.join("out.txt");
    worker.file_sink(SINK, &file);
    worker.await_task(SINK, 0, "FAILED");

    let run = scene.run(&[]);
    run.assert_ok();
    let line = run.instance(SINK, Some(0));
    assert_eq!(line["action"], "restarted", "{line}");
    assert_eq!((&line["state"], &line["attempts"]), (&"FAILED".into(), &1.into()), "{line}");
    let cause = line["cause"].as_str().expect("a failed task has a cause");
    assert!(cause.contains("NoSuchFileException") && cause.contains("not-there-yet"), "{cause}");

    // The restart came, and failed again: each failure is logged once. Only then is the folder made, so that
    // exactly the next restart heals.
    worker.await_logged(&format!("Couldn't find or create file '{}'", file.display()), 2);
    worker.await_task(SINK, 0, "FAILED");
    fs::create_dir(&folder).expect("make the missing folder");
    let run = scene.run(&[]);
    assert_eq!((run.action(SINK, Some(0)), run.attempts(SINK, Some(0))), ("restarted", Some(2)));
    worker.await_task(SINK, 0, "RUNNING");

    // With ratio 1 the wait is one run, so forgiveness takes the least there is: two healthy runs.
    let run = scene.run(&[]);
    assert_eq!(run.assert_ok().action(SINK, Some(0)), "recovered");
    assert!(scene.state().contains(SINK), "after one healthy run it is still remembered: {}", scene.state());
    let run = scene.run(&[]);
    assert_eq!(run.assert_ok().json["instances"], serde_json::json!([]));
    assert!(
        !scene.state().contains("episode"),
        "of what is forgiven only the restarts are counted: {}",
        scene.state()
    );

    let status = scene.guardian().args(["status", "--output", "json"]).run();
    assert_eq!(status.assert_ok().json["instances"], serde_json::json!([]));
    let restart = format!("/connectors/{SINK}/tasks/0/restart");
    assert_eq!(scene.wire.restarts(), [restart.clone(), restart]);
}
