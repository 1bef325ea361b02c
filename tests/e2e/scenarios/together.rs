//! An outage: many failures with one cause. One connector goes first, and the others follow when it runs.

use crate::flaky::Flaky;
use crate::scene::{Scene, scenario};

scenario!(in_an_outage_one_goes_first_and_the_others_follow on V2_8 V3_9 V4_3);

const NAMES: [&str; 5] = ["sink-a", "sink-b", "sink-c", "sink-d", "sink-e"];

fn in_an_outage_one_goes_first_and_the_others_follow(scene: &mut Scene) {
    let worker = scene.worker();
    let all = NAMES.map(|name| {
        let flaky = Flaky::new(name);
        for task in ["task-0", "task-1"] {
            flaky.fail_because(task, "the database of all is away");
        }
        worker.create(name, flaky.config(2));
        flaky
    });
    for name in NAMES {
        worker.await_failure(name, Some(0), 1);
        worker.await_failure(name, Some(1), 1);
    }
    let starts = || all.iter().map(|flaky| flaky.starts("task 0")).collect::<Vec<_>>();
    let guardian = scene
        .guardian()
        .env("GUARDIAN_GROUP_FROM", "3")
        .env("GUARDIAN_WATCH", "3s")
        .env("GUARDIAN_SETTLE", "0s");

    // It fails again, and the others are left alone; then all of them rest for a run.
    let run = guardian.once(&[]);
    run.assert_ok();
    assert_eq!((run.count("restarted"), run.count("waiting")), (2, 8), "{:#}", run.json);
    all[0].await_starts("task 0", 2);
    assert_eq!(guardian.once(&[]).count("waiting"), 10);
    assert_eq!(starts(), [2, 1, 1, 1, 1]);

    // The database is back: another one is tried, and the rest follow in the same run.
    for flaky in &all {
        flaky.heal("task-0");
        flaky.heal("task-1");
    }
    let run = guardian.once(&[]);
    assert_eq!(run.assert_ok().count("restarted"), 10, "{:#}", run.json);
    for name in NAMES {
        worker.await_task(name, 0, "RUNNING");
        worker.await_task(name, 1, "RUNNING");
    }
    assert_eq!(guardian.once(&[]).count("recovered"), 10);
    assert_eq!(starts(), [3, 2, 2, 2, 2]);
}
