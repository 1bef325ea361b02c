//! What goes on from run to run: refusals, statuses that were left behind, last restarts, what never comes back, what has
//! no tasks. Each shows what is done, how often, and how often it is told. A single answer's meaning is in `answers`.

use serde_json::Value;

use crate::sim::{Answer, Connect, Failure, Profile};
use crate::support::{Guardian, actions, each, instance};

/// One quiet run, as cron has it: what it mails, and the exit code.
fn mail(guardian: &Guardian) -> (String, i32) {
    let ended = guardian.with(&["run", "--once", "--quiet"]);
    assert_eq!(ended.stdout, "");
    (ended.stderr, ended.code)
}

fn one_failed(profile: Profile) -> Connect {
    let connect = Connect::start(profile);
    connect.connector("orders").tasks(1);
    connect.fail_task("orders", 0, Failure::always());
    connect
}

// === Refused, or not now, run after run ===

/// So many requests in each run, and a mail in some.
struct Story {
    answer: Answer,
    /// Of a request in one run.
    tries: usize,
    /// The runs, from 1, whose quiet line tells of it.
    told: &'static [usize],
    /// From which run on the exit code is 1.
    fails_from: usize,
}

#[test]
fn what_connect_goes_on_not_taking_is_told_once_and_asked_more_and_more_rarely() {
    each(
        vec![
            // A task of a connector whose leader is not known for days (KAFKA-10413), a worker that is always starting.
            Story { answer: Answer::status(409), tries: 4, told: &[3], fails_from: 3 },
            Story { answer: Answer::status(503), tries: 4, told: &[3], fails_from: 3 },
            // An authorizing extension, a gateway that lets only GET through.
            Story { answer: Answer::error(403, "not yours"), tries: 1, told: &[1], fails_from: 1 },
            Story { answer: Answer::html(405, "no"), tries: 1, told: &[1], fails_from: 1 },
            // Workers that do not reach each other.
            Story {
                answer: Answer::error(500, "Failed to start RestClient: no keystore"),
                tries: 4,
                told: &[1],
                fails_from: 1,
            },
        ],
        |story| {
            let connect = one_failed(Profile::V3_9);
            connect.on_any_restart().answers(story.answer.clone());
            let guardian = Guardian::at(&connect.url());
            let mut asked = Vec::new();
            for run in 1..=10 {
                let (text, code) = mail(&guardian);
                assert_eq!(code, i32::from(run >= story.fails_from), "run {run}: {text}");
                let told = story.told.contains(&run);
                assert_eq!(text.lines().count(), usize::from(told), "run {run}: {text}");
                assert_eq!(text.contains("could not restart orders/0"), told, "run {run}: {text}");
                let tries = connect.take_restarts().len();
                assert!([0, story.tries].contains(&tries), "run {run}: {tries}");
                asked.extend((tries > 0).then_some(run));
            }
            // Three in a row, then 2 and 4 runs later: the pace of the back-off.
            assert_eq!(asked, [1, 2, 3, 5, 9]);
            assert_eq!(guardian.attempts("orders", Some(0)), Some(0), "none of it is an attempt");

            let (document, code) = guardian.run_json();
            let line = instance(&document, "orders", Some(0));
            assert_eq!((line["action"].as_str(), code), (Some("waiting"), 1), "{document:#}");
            assert_eq!(line["next"]["runs"], 6, "{line:#}");
            let reason = line["reason"].as_str().unwrap();
            assert!(reason.starts_with("not taken in 5 runs in a row: HTTP "), "{reason}");
            let message = document["error"]["message"].as_str().unwrap();
            assert!(message.starts_with("the restart of orders/0 waits: not taken in 5 runs"), "{message}");

            // A day later it is told again, although it is not asked.
            let told_at =
                guardian.remembered().unwrap()["instances"][0]["episode"]["not_taken"]["told_at"].clone();
            let text = std::fs::read_to_string(guardian.state()).unwrap();
            std::fs::write(
                guardian.state(),
                text.replace(told_at.as_str().unwrap(), "2026-01-01T00:00:00.000Z"),
            )
            .unwrap();
            let (text, _) = mail(&guardian);
            assert!(text.contains("could not restart orders/0"), "{text}");
            assert_eq!((mail(&guardian).0, connect.take_restarts().len()), (String::new(), 0));

            // What is taken at last begins the timetable of the back-off.
            connect.forget_rules();
            let guardian = guardian.env("ENABLE_BACKOFF", "0");
            let (document, code) = guardian.run_json();
            assert_eq!((actions(&document), code), (vec!["orders/0 restarted".to_owned()], 0));
            assert_eq!(guardian.attempts("orders", Some(0)), Some(1));
        },
    );
}

#[test]
fn a_pass_of_two_rebalances_is_no_news() {
    let connect = one_failed(Profile::V3_9);
    connect.on_any_restart().answers(409).times(8);
    let guardian = Guardian::at(&connect.url());
    assert_eq!([mail(&guardian), mail(&guardian)], [(String::new(), 0), (String::new(), 0)]);
    let (text, code) = mail(&guardian);
    assert!(text.contains("restarted orders/0") && code == 0, "{text}");
}

#[test]
fn what_is_refused_goes_behind_the_others() {
    // Connect's own JSON: an authorizer that lets these credentials restart only some connectors.
    let connect = Connect::start(Profile::V3_9);
    for name in ["a", "b"] {
        connect.connector(name).tasks(1);
        connect.fail_task(name, 0, Failure::always());
    }
    connect.on_restart("a").answers(Answer::error(403, "not yours"));
    let guardian = Guardian::at(&connect.url()).env("GUARDIAN_MAX_RESTARTS_PER_RUN", "1");
    let mut story = Vec::new();
    for _ in 0..3 {
        let (document, code) = guardian.run_json();
        story.push((actions(&document).join(", "), code));
    }
    assert_eq!(
        story,
        [
            ("a/0 failed, b/0 deferred".to_owned(), 1),
            ("a/0 deferred, b/0 restarted".to_owned(), 0),
            ("a/0 failed, b/0 waiting".to_owned(), 1),
        ]
    );
    let guardian = Guardian::at(&connect.url()).env("GUARDIAN_PARALLEL", "1");
    connect.take_restarts();
    let (document, code) = guardian.run_json();
    assert_eq!((actions(&document), code), (vec!["a/0 failed".to_owned(), "b/0 restarted".to_owned()], 1));
    assert_eq!(document["error"]["kind"], "restart");
    let guardian = guardian.env("ENABLE_BACKOFF", "0");
    guardian.run_json();
    assert_eq!(connect.take_restarts(), ["a/0", "b/0", "b/0", "a/0"], "refused last in every order");
}

// === Another worker ===

#[test]
fn a_worker_that_does_not_do_what_it_is_asked_for_leaves_it_to_the_next() {
    // 409 for ever by a worker that was fenced out of its group, a herder that is stuck, a proxy that lets only GET through.
    let answers = [(Answer::status(409), 0, true), (Answer::error(500, "Request timed out"), 1, false)];
    let page = (Answer::html(404, "no"), 0, true);
    each(answers.into_iter().chain([page]).collect(), |(answer, code, in_this_run)| {
        let connect = Connect::with(Profile::V3_9).workers(2).start();
        connect.connector("orders").tasks(1).on_worker(1);
        connect.fail_task("orders", 0, Failure::always());
        connect.on_any_restart().at_worker(0).answers(answer.clone());
        let guardian = Guardian::at(&connect.urls()).env("ENABLE_BACKOFF", "0");
        let (document, ended) = guardian.run_json();
        let expected = if *in_this_run { "orders/0 restarted" } else { "orders/0 unknown" };
        assert_eq!((actions(&document), ended), (vec![expected.to_owned()], *code), "{document:#}");
        assert_eq!(guardian.remembered().unwrap()["first_url"], connect.url_of(1));

        let (document, ended) = guardian.run_json();
        assert_eq!((actions(&document), ended), (vec!["orders/0 restarted".to_owned()], 0), "{document:#}");
        assert_eq!(document["url"], connect.url_of(1), "the next run begins with it");
        let at_first = connect
            .requests()
            .iter()
            .filter(|it| it.head.header("host").unwrap().ends_with(&connect.port().to_string()))
            .count();
        assert_eq!(at_first, 3, "one listing, its health, one restart: {:?}", connect.calls());
    });
}

#[test]
fn a_restart_has_a_content_length() {
    // IIS, Azure Application Gateway and strict gateways answer 411 without one.
    let connect = one_failed(Profile::V3_9);
    Guardian::at(&connect.url()).run().exits(0);
    let requests = connect.requests();
    let post = requests.iter().find(|request| request.head.method == "POST").unwrap();
    assert_eq!(post.head.header("content-length"), Some("0"));
    // nginx with a cache before Connect showed statuses of ten minutes ago (Clark#1863).
    assert!(requests.iter().all(|request| request.head.header("cache-control") == Some("no-cache")));
}

// === A status that was left behind ===

#[test]
fn a_status_that_was_left_behind_is_said_once_and_is_no_failed_task() {
    // After a connector was deleted and made anew with fewer tasks, a status of one that it had before may stay (KAFKA-9472).
    let connect = Connect::start(Profile::V2_8);
    connect.connector("orders").tasks(2).left_behind(1);
    connect.fail_task("orders", 1, Failure::always());
    let guardian = Guardian::at(&connect.url()).env("GUARDIAN_FAIL_ON", "failed");
    assert_eq!(mail(&guardian), (String::new(), 0), "it may just have been deleted");
    let (text, code) = mail(&guardian);
    let says = "test: leaves alone (a status that was left behind: Connect has no such task) orders/1";
    assert!(text.contains(says), "{text}");
    assert_eq!((text.lines().count(), code), (1, 0));
    for _ in 0..3 {
        assert_eq!(mail(&guardian), (String::new(), 0));
    }
    assert_eq!(connect.restarts(), ["orders/1"; 2]);

    let (document, code) = guardian.run_json();
    assert_eq!((actions(&document), code), (Vec::new(), 0));
    assert_eq!(
        (&document["tasks"]["failed"], &document["tasks"]["other"]),
        (&Value::from(0), &Value::from(1))
    );
    let (status, _) = guardian.json(&["status"]);
    let line = instance(&status, "orders", Some(1));
    assert_eq!(line["reason"], "a status that was left behind: Connect has no such task");
    assert_eq!((line["action"].as_str(), line["attempts"].as_u64()), (Some("gone"), Some(0)));

    // A new task under its number writes another status.
    connect.show_worker_id("orders", Some(1), "elsewhere:8083");
    let (document, _) = guardian.run_json();
    assert_eq!(actions(&document), ["orders/1 gone"], "it is asked again");
}

// === The last restart ===

#[test]
fn before_its_last_restart_a_tasks_connector_is_restarted() {
    // KAFKA-17719: a task keeps a configuration that cannot work until its connector makes a new one.
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(3);
    connect.fail_task("orders", 0, Failure::always());
    connect.fail_task("orders", 2, Failure::always());
    let guardian = Guardian::at(&connect.url()).env("MAX_RESTART", "3").env("EXPONENTIAL_RATIO", "1");
    let mut calls = Vec::new();
    for _ in 0..4 {
        let (document, code) = guardian.run_json();
        calls.push((connect.take_restarts(), actions(&document), code));
    }
    let both = |action: &str| [0, 2].map(|task| format!("orders/{task} {action}")).to_vec();
    let together = vec!["orders?includeTasks&onlyFailed".to_owned()];
    let last = ["orders", "orders/0", "orders/2"].map(str::to_owned).to_vec();
    assert_eq!(
        calls,
        [
            (together.clone(), both("restarted"), 0),
            (together, both("restarted"), 0),
            (last, both("restarted"), 0),
            (Vec::new(), both("gave_up"), 0),
        ]
    );
    assert_eq!(connect.restarts_of_unfailed(), ["orders was RUNNING"], "no task that runs");
}

/// What the connector's own restart is answered; what follows in that run and in the next, and what is remembered.
type FirstAnswered = (Answer, Vec<&'static str>, &'static str, i32, u64, Vec<&'static str>);

#[test]
fn a_connector_that_is_not_restarted_does_not_cost_its_task_the_last_restart() {
    let rows: Vec<FirstAnswered> = vec![
        (Answer::normal(), vec!["orders", "orders/0"], "restarted", 0, 2, vec![]),
        // It has failed now, and is restarted for its own sake when it is due.
        (
            Answer::error(500, "Failed to start connector: orders").but_executed(),
            vec!["orders", "orders/0"],
            "restarted",
            0,
            2,
            vec![],
        ),
        (Answer::status(409), vec!["orders"; 4], "deferred", 0, 1, vec!["orders", "orders/0"]),
        (Answer::error(403, "no"), vec!["orders", "orders/0"], "restarted", 0, 2, vec![]),
        (Answer::status(404), vec!["orders", "orders/0"], "restarted", 0, 2, vec![]),
        (Answer::error(500, "Request timed out"), vec!["orders"], "unknown", 1, 2, vec![]),
    ];
    each(rows, |(answer, sent, action, code, attempts, next)| {
        let connect = one_failed(Profile::V3_9);
        let guardian = Guardian::at(&connect.url()).env("MAX_RESTART", "2").env("EXPONENTIAL_RATIO", "1");
        guardian.run().exits(0);
        assert_eq!(connect.take_restarts(), ["orders/0"]);
        connect.on_this_restart("orders").answers(answer.clone());
        let (document, ended) = guardian.run_json();
        let line = instance(&document, "orders", Some(0));
        assert_eq!((line["action"].as_str(), ended), (Some(*action), *code), "{document:#}");
        assert_eq!(line["reason"], "its connector's own instance is restarted first");
        assert_eq!(connect.take_restarts(), *sent);
        assert_eq!(guardian.attempts("orders", Some(0)), Some(*attempts));
        connect.forget_rules();
        guardian.run_json();
        assert_eq!(connect.take_restarts(), *next);
        guardian.run_json();
        let tasks: Vec<String> = connect.take_restarts().into_iter().filter(|it| it != "orders").collect();
        assert_eq!(tasks, Vec::<String>::new(), "given up");
    });
}

#[test]
fn a_connectors_own_failure_or_pause_is_no_last_resort_of_its_task() {
    let connect = one_failed(Profile::V3_9);
    let guardian = Guardian::at(&connect.url()).env("MAX_RESTART", "2").env("EXPONENTIAL_RATIO", "1");
    guardian.run().exits(0);
    // It has restarts of its own, and waits for them.
    connect.fail_connector("orders", Failure::always());
    guardian.run().exits(0);
    assert_eq!(connect.restarts(), ["orders/0", "orders?includeTasks&onlyFailed"]);

    // With a limit of one, the first restart is no last resort.
    let connect = one_failed(Profile::V3_9);
    Guardian::at(&connect.url()).env("MAX_RESTART", "1").run().exits(0);
    assert_eq!(connect.restarts(), ["orders/0"]);
}

// === Restarted, and not back ===

#[test]
fn what_guardian_restarted_and_is_in_transition_three_runs_later_counts_as_failed() {
    // A secret store that is away leaves the connector UNASSIGNED and its tasks RESTARTING (KIP-745) for good; so does a
    // class that is missing.
    each(vec![Profile::V3_9, Profile::V4_3], |profile| {
        let connect = Connect::start(*profile);
        connect.connector("orders").tasks(2);
        connect.fail_all_tasks("orders", &Failure::always());
        connect.connector("orders").secret_missing();
        let guardian = Guardian::at(&connect.url()).env("GUARDIAN_FAIL_ON", "failed");
        let mut story = Vec::new();
        for _ in 0..6 {
            let (document, code) = guardian.run_json();
            story.push((actions(&document)[0].clone(), code, connect.take_restarts().len()));
        }
        let expected = [
            ("restarted", 3, 1),
            ("in_transition", 0, 0),
            ("in_transition", 0, 0),
            ("unknown", 1, 2),
            ("waiting", 3, 0),
            ("waiting", 3, 0),
        ];
        assert_eq!(story, expected.map(|(it, code, sent)| (format!("orders/0 {it}"), code, sent)));
    });
}

#[test]
fn what_nobody_restarted_is_left_in_transition() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(1);
    connect.set_state("orders", Some(0), "RESTARTING");
    let guardian = Guardian::at(&connect.url()).env("GUARDIAN_FAIL_ON", "failed");
    for _ in 0..6 {
        let (document, code) = guardian.run_json();
        assert_eq!((actions(&document), code), (vec!["orders/0 in_transition".to_owned()], 0));
    }
    assert_eq!(connect.restarts(), Vec::<String>::new());
}

// === Neither running nor failed ===

#[test]
fn what_is_neither_running_nor_failed_for_three_runs_is_told_once_and_is_unhealthy() {
    let unassigned = |connect: &Connect| connect.set_state("orders", None, "UNASSIGNED");
    let no_tasks = |connect: &Connect| drop(connect.connector("orders").tasks(0));
    each(vec![unassigned as fn(&Connect), no_tasks], |make| {
        let connect = Connect::start(Profile::V3_9);
        connect.connector("orders").tasks(1);
        make(&connect);
        let guardian = Guardian::at(&connect.url()).env("GUARDIAN_FAIL_ON", "unhealthy");
        let mails: Vec<(String, i32)> = (0..5).map(|_| mail(&guardian)).collect();
        let codes: Vec<i32> = mails.iter().map(|(_, code)| *code).collect();
        assert_eq!(codes, [0, 0, 3, 3, 3]);
        let told: Vec<usize> = mails.iter().map(|(text, _)| text.lines().count()).collect();
        assert_eq!(told, [0, 0, 1, 0, 0], "{mails:?}");
        let says = "test: sees neither running nor failed, or without tasks, for three runs: orders";
        assert!(mails[2].0.contains(says), "{mails:?}");
        assert_eq!(guardian.with(&["status"]).code, 3, "status takes it too");
        assert_eq!(guardian.with(&["status", "--fail-on", "failed"]).code, 0);
        assert_eq!(guardian.with(&["status", "--exclude", "ord*"]).code, 0);

        connect.set_state("orders", None, "RUNNING");
        connect.connector("orders").tasks(1);
        assert_eq!([mail(&guardian), mail(&guardian)], [(String::new(), 0), (String::new(), 0)]);
    });
}

#[test]
fn status_takes_fail_on() {
    let connect = one_failed(Profile::V3_9);
    let guardian = Guardian::at(&connect.url());
    for (fail_on, code) in [("never", 0), ("gave-up", 0), ("failed", 3), ("unhealthy", 3)] {
        assert_eq!(guardian.with(&["status", "--fail-on", fail_on]).code, code, "{fail_on}");
    }
}

#[test]
fn a_connector_that_may_be_without_tasks_is_healthy() {
    // MirrorCheckpointConnector without a group to follow.
    let connect = Connect::start(Profile::V3_9);
    connect.connector("mm2-checkpoint");
    let guardian = Guardian::at(&connect.url()).env("GUARDIAN_NO_TASKS_OK", "mm2-*");
    for _ in 0..4 {
        let (document, code) = guardian.json(&["run", "--once", "--fail-on", "unhealthy"]);
        assert_eq!(
            (actions(&document), code, &document["warnings"]),
            (Vec::new(), 0, &Value::from(Vec::<Value>::new()))
        );
    }
    assert_eq!(guardian.remembered(), None, "nothing to remember");
}
