//! A restart that is under way: Connect shows the old FAILED until the slow start is over.

use crate::scene::{Scene, scenario};

// A worker 2.3 shows RUNNING before start() has returned, so there this moment cannot be seen.
scenario!(a_slow_start_is_not_restarted_again on V2_8 V3_0 V3_6 V3_9 V4_3);

/// A person presses Enter twice, or the cron entry follows at once: `--settle` keeps the second run from it.
fn a_slow_start_is_not_restarted_again(scene: &mut Scene) {
    const NAME: &str = "slow";
    let worker = scene.worker();
    let flaky = worker.failing(NAME, 1, &["task-0"]);
    flaky.heal("task-0");
    // Longer than three runs of guardian take, so that all of them fall into the start.
    flaky.block("task-0", 4000);
    let guardian = scene.guardian().args(["run", "--once", "--output", "json"]);

    let run = guardian.run();
    assert_eq!(run.assert_ok().action(NAME, Some(0)), "restarted");
    flaky.await_starts("task 0", 2);
    for _ in 0..2 {
        let run = guardian.run();
        let line = run.assert_ok().instance(NAME, Some(0));
        assert_eq!(line["state"], "FAILED", "Connect still shows the failure before the restart: {line}");
        assert_eq!((&line["action"], &line["attempts"]), (&"waiting".into(), &1.into()), "{line}");
    }
    worker.await_task(NAME, 0, "RUNNING");
    assert_eq!(guardian.run().assert_ok().action(NAME, Some(0)), "recovered");
    assert_eq!(flaky.starts("task 0"), 2);
    assert_eq!(scene.wire.restarts().len(), 1);
}
