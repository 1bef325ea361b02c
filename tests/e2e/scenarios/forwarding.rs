//! What comes back when a worker has to pass a restart on to another one.

use crate::certificates::Authority;
use crate::connect::{Setup, Worker, await_quiet_group, task_of};
use crate::flaky::Flaky;
use crate::guardian::Guardian;
use crate::jars::Version;
use crate::jvm;
use crate::scene::scenario;
use crate::wire::Wire;

scenario!(alone what_another_worker_answers_is_taken_at_its_word on V3_3);

/// A failed start, a 404 and a 409 of the worker behind, of which these releases make a 500 each. The 404 is that of a
/// name that is cut at its semicolon when it is passed on.
fn what_another_worker_answers_is_taken_at_its_word(version: &'static Version) {
    const EACH: usize = 4;
    assert!(version.wraps_forwarded_answers());
    // What a worker had that left is nobody's for a while.
    let setup = Setup::distributed(version).set("scheduled.rebalance.max.delay.ms", "60000");
    let (leader, asked, mut third) = (setup.start(), setup.start(), setup.start());
    assert_eq!(await_quiet_group(&[&leader, &asked, &third]), 0, "the first is the leader");
    let failing = |name: &str, fault: &str| -> Vec<Flaky> {
        (0..EACH).map(|number| leader.failing(&format!("{name}{number}"), 1, &[fault])).collect()
    };
    let (cannot_start, cut) = (failing("cannot-start-", "connector"), failing("cut;", "connector"));
    let lost = failing("lost-", "task-0");
    await_quiet_group(&[&leader, &asked, &third]);
    let status = |flaky: &Flaky| asked.status(&flaky.name).expect("the status of a connector that exists");
    let elsewhere = |flaky: &&Flaky| status(flaky)["connector"]["worker_id"] != asked.id().as_str();
    let cannot_start = cannot_start.iter().find(elsewhere).expect("a connector of four is another worker's");
    let cut = cut.iter().find(elsewhere).expect("a connector of four is another worker's");
    let lost = lost.iter().find(|flaky| task_of(&status(flaky), 0)["worker_id"] == third.id().as_str());
    let lost = lost.expect("each of three workers has one of four tasks");

    let wire = Wire::to(asked.port);
    let guardian = Guardian::new(&wire.url(), &jvm::new_folder("guardian")).env("EXPONENTIAL_RATIO", "1");
    let before = cannot_start.starts("connector");
    let these = ["--include", &cannot_start.name, "--include", &cut.name];
    for (number, code, of_cut) in [(1, 0, "gone"), (2, 1, "failed")] {
        let run = guardian.once(&these);
        assert_eq!(run.code, Some(code), "the second 404 in a row is an error: {}", run.json);
        let line = run.instance(&cannot_start.name, None);
        assert_eq!((&line["action"], &line["attempts"]), (&"failed".into(), &number.into()), "{line}");
        assert_says(line, &format!("Failed to start connector: {}", cannot_start.name));
        assert_eq!(cannot_start.starts("connector"), before + number);
        let line = run.instance(&cut.name, None);
        assert_eq!((&line["action"], &line["attempts"]), (&of_cut.into(), &(number - 1).into()), "{line}");
        assert_says(line, "Unknown connector: cut");
    }

    third.jvm.stop();
    await_quiet_group(&[&leader, &asked]);
    let run = guardian.once(&["--include", &lost.name]);
    let line = run.assert_ok().instance(&lost.name, Some(0));
    assert_eq!((&line["action"], &line["attempts"]), (&"deferred".into(), &0.into()), "{line}");
    let no_leader = "Cannot complete request momentarily due to no known leader URL, likely because a rebalance was underway.";
    assert_says(line, no_leader);
    assert_eq!(wire.restarts().len(), 2 * 2 + 4, "{:?}", wire.restarts());
}

/// This text of the worker behind, in its wrapping: two of them when the leader had to pass it on as well.
fn assert_says(line: &serde_json::Value, text: &str) {
    let error = line["error"].as_str().unwrap_or_default();
    let wrapped = error.strip_prefix("HTTP 500: Error trying to forward REST request: ");
    assert!(wrapped.is_some_and(|behind| behind.ends_with(text)), "{line}");
}

scenario!(alone workers_that_do_not_reach_each_other_are_named on V3_9 V4_3);

/// The leader is asked, and each of the others tells it to call back where it cannot.
fn workers_that_do_not_reach_each_other_are_named(version: &'static Version) {
    let setup = Setup::distributed(version);
    let leader = setup.start();
    let (ours, theirs) = (Authority::new("Private CA"), Authority::new("Another CA"));
    let at = |host: &str| setup.clone().set("rest.advertised.host.name", host);
    let https = setup.clone().set("rest.advertised.listener", "https");
    let keys = https.clone().https(&ours.key_store(), &theirs.trust_store(), "none");
    const ADDRESS: &str = "rest.advertised.host.name";
    const TLS: &str = "listeners.https.ssl";
    let others: [(Setup, &str, &str); 5] = [
        (
            at("no-such-host.invalid"),
            "IO Error trying to forward REST request: java.net.UnknownHostException",
            ADDRESS,
        ),
        // A multicast address has no route for TCP.
        (at("224.0.0.1"), "java.net.SocketException: Could not connect to /224.0.0.1:", ADDRESS),
        // As Docker Compose names a container. Its id is null:-1.
        (at("connect_1"), "HTTP 500: Error trying to forward REST request: Invalid URI host: null", ADDRESS),
        // The leader trusts what its Java trusts.
        (keys, "javax.net.ssl.SSLHandshakeException: PKIX path building failed", TLS),
        // It speaks HTTP there.
        (https, "javax.net.ssl.SSLHandshakeException: Unrecognized SSL message", TLS),
    ];
    let others = others.map(|(setup, says, hint)| (setup.start_without_waiting(), says, hint));
    let workers: Vec<&Worker> =
        std::iter::once(&leader).chain(others.iter().map(|(other, ..)| other)).collect();
    assert_eq!(await_quiet_group(&workers), 0, "the first is the leader");
    // As many as there are workers, so that each gets one of their tasks.
    let failed: Vec<Flaky> =
        (0..workers.len()).map(|number| Flaky::new(&format!("spread-{number}"))).collect();
    for flaky in &failed {
        flaky.fail("task-0");
        leader.create(&flaky.name, flaky.config(1));
    }
    for flaky in &failed {
        leader.await_task(&flaky.name, 0, "FAILED");
    }
    await_quiet_group(&workers);
    let owner = |flaky: &Flaky| {
        let status = leader.status(&flaky.name).expect("the status of a connector that exists");
        task_of(&status, 0)["worker_id"].as_str().expect("a worker's name").to_owned()
    };

    // Each sends four times, so all of them at the same time.
    let runs = others.map(|(other, says, hint)| {
        let id = if other.id().starts_with("connect_1:") { "null:-1".to_owned() } else { other.id() };
        let flaky = failed.iter().find(|flaky| owner(flaky) == id).expect("a task for each worker");
        let guardian = Guardian::new(&leader.url(), &jvm::new_folder("guardian"));
        let guardian = guardian.args(["run", "--once", "--output", "json", "--include", &flaky.name]);
        (other, flaky, flaky.starts("task 0"), guardian.start(), says, hint)
    });
    for (other, flaky, before, run, says, hint) in runs {
        let run = run.finish();
        assert_eq!((run.code, &run.json["error"]["kind"]), (Some(1), &"restart".into()), "{}", run.json);
        let line = run.instance(&flaky.name, Some(0));
        assert_eq!(
            (&line["action"], &line["attempts"]),
            (&"deferred".into(), &0.into()),
            "{}: {line}",
            other.id()
        );
        assert!(
            line["error"].as_str().is_some_and(|error| error.contains(says)),
            "{says:?} is not in {line}"
        );
        let found = run.json["error"]["hint"].as_str().unwrap_or_default();
        assert!(found.contains(hint), "{}: {found:?}", other.id());
        assert_eq!(flaky.starts("task 0"), before);
    }
}
