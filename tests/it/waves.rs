//! Outages: many failures of one cause, seen from outside. What goes when, what is charged, how a run that watches ends,
//! and how a sick Connect is left alone. The choice of each wave is tested in `src/decide`.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::sim::{Answer, Connect, Failure, Profile, answers};
use crate::support::{Ended, Guardian, each, instance};

/// So many connectors of two tasks that fail for one cause.
fn outage(connectors: u32, failure: &Failure) -> Connect {
    let connect = Connect::start(Profile::V3_9);
    for number in 0..connectors {
        let name = format!("c{number:02}");
        connect.connector(&name).tasks(2);
        connect.fail_all_tasks(&name, failure);
    }
    connect
}

/// In waves, with a short look.
fn guardian(connect: &Connect) -> Guardian {
    Guardian::at(&connect.url())
        .env("GUARDIAN_GROUP_FROM", "3")
        .env("GUARDIAN_WATCH", "500ms")
        .env("EXPONENTIAL_RATIO", "1")
}

/// The connectors that were restarted, in order.
fn restarted(connect: &Connect) -> Vec<String> {
    let name = |call: String| call.split(['?', '/']).next().unwrap_or_default().to_owned();
    connect.take_restarts().into_iter().map(name).collect()
}

fn count(document: &Value, action: &str) -> u64 {
    document["summary"][action].as_u64().unwrap()
}

#[test]
fn in_an_outage_one_connector_is_tried_and_everybody_comes_back_when_it_does() {
    let connect = outage(12, &Failure::always());
    let guardian = guardian(&connect);
    let (document, code) = guardian.run_json();
    assert_eq!((restarted(&connect), code), (vec!["c00".to_owned()], 0));
    assert_eq!((count(&document, "restarted"), count(&document, "waiting")), (2, 22));
    let reason = &instance(&document, "c07", Some(1))["reason"];
    assert_eq!(reason, "c00 went first for all 12 connectors of this cause, and failed again");
    assert_eq!(guardian.attempts("c00", Some(1)), Some(1));
    assert_eq!(guardian.attempts("c07", Some(1)), Some(0), "who waits is not charged");
    let runs: Vec<Vec<String>> = (0..4)
        .map(|_| {
            guardian.run().exits(0);
            restarted(&connect)
        })
        .collect();
    assert_eq!(runs, [vec![], vec!["c01".to_owned()], vec![], vec!["c02".to_owned()]]);

    // The cause is gone: one, three, and all that are left, in one run.
    for number in 0..12 {
        let name = format!("c{number:02}");
        connect.heal(&name, Some(0));
        connect.heal(&name, Some(1));
    }
    guardian.run().exits(0);
    let (document, code) = guardian.run_json();
    assert_eq!((restarted(&connect).len(), code), (12, 0));
    assert_eq!(count(&document, "restarted"), 24, "{document:#}");
    let (document, _) = guardian.run_json();
    assert_eq!((count(&document, "recovered"), restarted(&connect)), (24, vec![]));
    assert_eq!(connect.restarts_of_unfailed(), Vec::<String>::new());
}

#[test]
fn a_dry_run_and_status_show_who_goes_first() {
    let connect = outage(5, &Failure::always());
    let guardian = guardian(&connect);
    for arguments in [&["run", "--dry-run"][..], &["status"]] {
        let (document, code) = guardian.json(arguments);
        assert_eq!((count(&document, "due"), count(&document, "waiting"), code), (2, 8, 0), "{arguments:?}");
        let reason = &instance(&document, "c03", Some(0))["reason"];
        assert_eq!(reason, "c00 goes first for all 5 connectors of this cause");
    }
    assert_eq!((restarted(&connect), guardian.remembered()), (vec![], None));
}

#[test]
fn waves_keep_within_the_cap_of_a_run_and_its_deadline() {
    let connect = outage(12, &Failure::healing_after(1));
    let guardian = guardian(&connect);
    let capped = guardian.with(&["run", "--once", "--max-restarts-per-run", "5"]).exits(0);
    assert_eq!(restarted(&connect).len(), 3, "five tasks of three connectors: {}", capped.stdout);
    // A deadline that leaves no room for a second look.
    let connect = outage(12, &Failure::healing_after(1));
    let short = self::guardian(&connect).env("GUARDIAN_DEADLINE", "30s");
    let (document, code) = short.run_json();
    assert_eq!((restarted(&connect).len(), code), (1, 0));
    let reason = &instance(&document, "c05", Some(0))["reason"];
    assert_eq!(reason, "follows in the next run, if what went first runs");
    let (document, code) = short.run_json();
    assert_eq!((restarted(&connect).len(), code), (11, 0), "the proof holds: {document:#}");
}

#[test]
fn a_signal_within_a_look_ends_the_run_at_once_and_keeps_the_charge() {
    let connect = outage(4, &Failure::healing_after(1));
    let guardian = guardian(&connect).env("GUARDIAN_WATCH", "60s");
    let child = guardian.start(&["run", "--once", "--output", "json"]);
    while connect.restarts().is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    let killed = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
    let ended = Ended::of(child).exits(143);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let document: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(document["groups"][0]["bad_waves"], 0, "nobody has seen it fail: {document:#}");
    assert_eq!((restarted(&connect).len(), guardian.attempts("c00", Some(0))), (1, Some(1)));
}

#[test]
fn old_workers_are_watched_too() {
    for profile in [Profile::V2_8, Profile::V4_3] {
        let connect = Connect::start(profile);
        for name in ["a", "b", "c"] {
            connect.connector(name).tasks(1);
            connect.fail_task(name, 0, Failure::healing_after(1));
        }
        guardian(&connect).run().exits(0);
        let mut names = restarted(&connect);
        assert_eq!(names.remove(0), "a");
        names.sort();
        assert_eq!(names, ["b", "c"]);
    }
}

#[test]
fn what_was_given_up_says_when_it_is_tried_again() {
    // Of two with one cause the one that was left alone for longer is next, and they take turns.
    let connect = outage(1, &Failure::always());
    let guardian = Guardian::at(&connect.url())
        .env("MAX_RESTART", "1")
        .env("EXPONENTIAL_RATIO", "1")
        .env("GUARDIAN_KEEP_TRYING", "2");
    let next = || {
        let (document, _) = guardian.run_json();
        [0, 1].map(|task| {
            let line = instance(&document, "c00", Some(task));
            format!("{} {}", line["action"].as_str().unwrap(), line["next"]["runs"])
        })
    };
    assert_eq!(next(), ["restarted null", "restarted null"]);
    assert_eq!(next(), ["gave_up 1", "gave_up null"]);
    let table = guardian.with(&["status"]).exits(0).stdout;
    assert!(table.contains("in 1 run") || table.contains("next run"), "{table}");
    assert_eq!(next(), ["restarted 2", "gave_up null"]);
    assert_eq!(next(), ["gave_up null", "gave_up 1"]);
    assert_eq!(next(), ["gave_up null", "restarted 2"]);
}

// === Connect itself is sick ===

#[test]
fn a_connect_that_does_not_do_what_it_is_asked_for_is_left_alone() {
    // A herder that is stuck answers each call with 500 after 90 s; a group that cannot settle answers each with 409.
    each(vec![(Answer::error(500, "Request timed out"), 2, 2), (Answer::status(409), 3, 0)], |row| {
        let (answer, asked, charged) = row;
        let connect = outage(8, &Failure::always());
        connect.on_any_restart().answers(answer.clone());
        let guardian = Guardian::at(&connect.url()).env("GUARDIAN_PARALLEL", "1");
        let (document, code) = guardian.run_json();
        let mut names = restarted(&connect);
        names.dedup();
        assert_eq!((names.len(), code), (*asked, 1), "{document:#}");
        let line = instance(&document, "c07", Some(0));
        assert_eq!(line["error"], "not sent, because Connect does not do what it is asked for");
        assert_eq!((line["action"].as_str(), line["attempts"].as_u64()), (Some("deferred"), Some(0)));
        assert_eq!(count(&document, "unknown"), charged * 2);

        // The next run begins with one, and asks no other when that one is not served.
        let (_, code) = guardian.run_json();
        let mut names = restarted(&connect);
        names.dedup();
        assert_eq!((names.len(), code), (1, 1));
        // It is well again: one, and then the others.
        connect.forget_rules();
        let (_, code) = guardian.run_json();
        assert!(restarted(&connect).len() > 4 && code == 0);
    });
}

// === Health ===

#[test]
fn a_worker_that_says_it_is_not_well_restarts_nothing() {
    // KIP-1017. A worker whose broker is away goes on serving what it knew, and hangs on every restart for 90 s.
    let sick = [
        (Answer::json(500, answers::UNHEALTHY), "unhealthy: Worker was unable to handle this request"),
        (Answer::json(503, answers::STARTING), "starting: Worker is still starting up"),
        (Answer::hang(), "it does not answer GET /health within 15s, and GET / at once"),
    ];
    each(sick.to_vec(), |(answer, says)| {
        let connect = outage(1, &Failure::always());
        let guardian = Guardian::at(&connect.url());
        guardian.run().exits(0);
        assert_eq!(restarted(&connect), ["c00"]);
        let before = std::fs::read(guardian.state()).unwrap();
        connect.on_health().answers(answer.clone());
        connect.set_state("c00", Some(0), "RUNNING");
        for command in [&["run", "--once"][..], &["status"]] {
            let (document, code) = guardian.json(command);
            assert_eq!((code, document["error"]["kind"].as_str()), (1, Some("unhealthy")), "{document:#}");
            let message = document["error"]["message"].as_str().unwrap();
            assert!(message.contains(says) && message.contains(&connect.url()), "{message}");
            assert_eq!(document["tasks"]["failed"], 1, "what it says is shown all the same");
        }
        assert_eq!(restarted(&connect), Vec::<String>::new());
        assert!(std::fs::read(guardian.state()).unwrap() == before, "nothing is learnt from it");
    });
}

#[test]
fn the_next_worker_is_asked_when_one_is_not_well() {
    let connect = Connect::with(Profile::V3_9).workers(2).start();
    connect.connector("orders").tasks(1).on_worker(1);
    connect.fail_task("orders", 0, Failure::always());
    connect.on_health().at_worker(0).answers(Answer::json(500, answers::UNHEALTHY));
    let (document, code) = Guardian::at(&connect.urls()).run_json();
    assert_eq!((count(&document, "restarted"), code), (1, 0), "{document:#}");
    assert_eq!(document["url"], connect.url_of(1));
}

#[test]
fn only_connects_own_word_counts_against_its_health() {
    let others = [
        Answer::status(404),
        Answer::html(404, "Not Found"),
        Answer::status(401),
        Answer::html(403, "Forbidden"),
        Answer::html(503, "Somebody else"),
        Answer::text(500, "text/plain", "upstream error"),
        Answer::json(500, r#"{"error_code":500,"message":"HTTP 500"}"#),
        Answer::reset(),
    ];
    each(others.to_vec(), |answer| {
        let connect = outage(1, &Failure::always());
        connect.on_health().answers(answer.clone());
        Guardian::at(&connect.url()).run().exits(0);
        assert_eq!(restarted(&connect), ["c00"]);
    });
}

#[test]
fn a_healthy_cluster_is_asked_once_and_for_nothing_else() {
    let connect = Connect::start(Profile::V4_3);
    connect.connector("orders").tasks(3);
    Guardian::at(&connect.url()).run().exits(0);
    assert_eq!(connect.calls(), ["GET /connectors?expand=status"]);
}
