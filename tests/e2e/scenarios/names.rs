//! Names that a URL would misread.

use crate::connect::Setup;
use crate::flaky::Flaky;
use crate::guardian::Guardian;
use crate::http::segment;
use crate::jars::Version;
use crate::jvm;
use crate::scene::{Scene, scenario};
use crate::wait;

/// Connect 4 takes such a connector, and then no request that names it: Jetty 12 answers 400 with a page.
const UNADDRESSABLE_SINCE_4: [&str; 3] = ["a/b", "a%b", "a\\b"];

scenario!(odd_names_reach_the_connector_they_mean on V2_3 V2_8 V3_0 V3_6 V3_9 V4_3);

/// Every name has a failed task and a neighbour whose name is what a wrong encoding would make of it.
fn odd_names_reach_the_connector_they_mean(scene: &mut Scene) {
    // "a b" and "a+b" are each other's misreading, and "a" is what is left of "a?b" and "a#b" when they are
    // not encoded.
    let mut names = vec!["a b", "a+b", "a?b", "a#b", "a&b=c", "a:b@c", "ü-ñ-日本"];
    let worker = scene.worker();
    if worker.version.takes_any_name_in_a_url() {
        names.extend(UNADDRESSABLE_SINCE_4);
    }
    let neighbour = worker.flaky("a", 1);
    let failing: Vec<Flaky> = names.iter().map(|name| worker.failing(name, 1, &["task-0"])).collect();
    for flaky in &failing {
        flaky.heal("task-0");
    }

    let run = scene.run(&[]);
    run.assert_ok();
    assert_eq!(run.count("restarted"), names.len() as u64, "{}", run.json);
    for flaky in &failing {
        assert_eq!(run.action(&flaky.name, Some(0)), "restarted", "{:?}", flaky.name);
        worker.await_task(&flaky.name, 0, "RUNNING");
        assert_eq!(flaky.starts("task 0"), 2, "{:?}", flaky.name);
    }
    assert_eq!(neighbour.starts("task 0"), 1);
    // Restarts of different connectors go out in parallel, so their order is not fixed.
    let mut sent = scene.wire.restarts();
    let mut expected: Vec<String> =
        names.iter().map(|name| format!("/connectors/{}/tasks/0/restart", segment(name))).collect();
    sent.sort();
    expected.sort();
    assert_eq!(sent, expected);
}

scenario!(alone names_that_connect_4_cannot_address on V4_3);

/// The worker is their own, since nobody can delete them. No request brings them back, so each one counts, and
/// in the end they are given up like anything that stays failed.
fn names_that_connect_4_cannot_address(version: &'static Version) {
    const MAX_RESTART: u64 = 2;
    let worker = Setup::distributed(version).start();
    let neighbour = worker.failing("a", 1, &["task-0"]);
    let unaddressable = UNADDRESSABLE_SINCE_4.map(|name| {
        let flaky = Flaky::new(name);
        flaky.fail("task-0");
        worker.create(name, flaky.config(1));
        flaky
    });
    let guardian = Guardian::new(&worker.url(), &jvm::new_folder("guardian"))
        .env("MAX_RESTART", MAX_RESTART.to_string());
    // Nobody can ask for the status of one of them, so the listing is what says that all have failed.
    wait::until("all of them to be listed as failed", || {
        let status = guardian.clone().args(["status", "--output", "json"]).run();
        let failed = &status.json["tasks"]["failed"];
        if *failed == 1 + unaddressable.len() { Ok(()) } else { Err(failed.to_string()) }
    });
    neighbour.heal("task-0");

    for attempt in 1..=MAX_RESTART {
        let run = guardian.once(&[]);
        assert_eq!(run.code, Some(1), "{}", run.json);
        assert_eq!(run.json["error"]["kind"], "restart", "{}", run.json);
        for name in UNADDRESSABLE_SINCE_4 {
            let line = run.instance(name, Some(0));
            assert_eq!((&line["action"], &line["attempts"]), (&"failed".into(), &attempt.into()), "{line}");
            assert!(line["error"].as_str().is_some_and(|error| error.contains("cannot address")), "{line}");
        }
        worker.await_task("a", 0, "RUNNING");
    }
    for _ in 0..2 {
        let run = guardian.once(&[]);
        assert_eq!(run.assert_ok().count("gave_up"), unaddressable.len() as u64, "{}", run.json);
    }
    assert_eq!(neighbour.starts("task 0"), 2, "what can be addressed was restarted");
    for flaky in &unaddressable {
        assert_eq!(flaky.starts("task 0"), 1, "{:?}", flaky.name);
    }
}
