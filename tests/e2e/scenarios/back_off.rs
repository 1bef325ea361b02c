//! The timetable and the giving up, counted by the connector itself.

use crate::scene::{Scene, scenario};

scenario!(what_never_heals_follows_the_timetable_and_is_given_up on V2_3 V2_8 V3_0 V3_6 V3_9 V4_3);

/// Ratio 2 and 4 attempts: restarts at runs 0, 2, 6 and 14 of the failure, then none.
fn what_never_heals_follows_the_timetable_and_is_given_up(scene: &mut Scene) {
    const NAME: &str = "never-heals";
    const TASK: Option<usize> = Some(0);
    const RESTARTS_AT: [u64; 4] = [0, 2, 6, 14];
    let worker = scene.worker();
    let flaky = worker.failing(NAME, 1, &["task-0"]);
    let guardian = scene.guardian().env("EXPONENTIAL_RATIO", "2").env("MAX_RESTART", "4");

    for run_of_failure in 0..20 {
        let run = guardian.once(&[]);
        run.assert_ok();
        let due = RESTARTS_AT.contains(&run_of_failure);
        let attempts = RESTARTS_AT.iter().filter(|&&at| at <= run_of_failure).count();
        let given_up = attempts == RESTARTS_AT.len();
        let expected = match (due, given_up) {
            (true, _) => "restarted",
            (false, false) => "waiting",
            (false, true) => "gave_up",
        };
        let line = run.instance(NAME, TASK);
        assert_eq!(line["action"], expected, "run {run_of_failure} of the failure: {line}");
        assert_eq!(line["attempts"], attempts, "run {run_of_failure} of the failure: {line}");
        match RESTARTS_AT.get(attempts) {
            Some(next) => assert_eq!(line["next"]["runs"], next - run_of_failure, "{line}"),
            None => assert!(line["next"].is_null(), "nothing comes after the last: {line}"),
        }
        // The failure after this very restart is awaited, so the next run judges nothing stale.
        worker.await_failure(NAME, TASK, 1 + attempts);
    }
    assert_eq!(
        flaky.starts("task 0"),
        1 + RESTARTS_AT.len(),
        "started once by creation, then by guardian only"
    );
    assert_eq!(flaky.starts("connector"), 2, "once by creation, once before the last restart of its task");
    assert_eq!(scene.wire.restarts().len(), RESTARTS_AT.len() + 1);
    if worker.version.has_access_log() {
        let logged = worker.restarts();
        let ours = logged.iter().filter(|target| target.contains(NAME)).count();
        assert_eq!(ours, RESTARTS_AT.len() + 1, "{logged:?}");
    }

    let run = guardian.once(&["--fail-on", "gave-up"]);
    assert_eq!((run.code, run.count("gave_up")), (Some(3), 1));

    // A person repaired it and says so: the count starts afresh.
    flaky.heal("task-0");
    let reset = guardian.clone().args(["reset", NAME]).run();
    assert_eq!(reset.code, Some(0), "{}{}", reset.stdout, reset.stderr);
    let run = guardian.once(&[]);
    assert_eq!((run.action(NAME, TASK), run.attempts(NAME, TASK)), ("restarted", Some(1)));
    worker.await_task(NAME, 0, "RUNNING");
}
