//! Every answer to the request for the listing: what is no listing fails the run and changes nothing, what is odd
//! within one costs a warning at most, and an old worker is asked for each connector by itself.

use std::time::Duration;

use serde_json::{Value, json};

use crate::sim::{Answer, Connect, Failure, Profile};
use crate::support::{Ended, Guardian, actions, each, instance};

/// A cluster with one failed task that was restarted once, so that the state has a record to look at.
fn after_one_restart(profile: Profile) -> (Connect, Guardian) {
    let connect = Connect::start(profile);
    connect.connector("orders").tasks(2);
    connect.fail_task("orders", 0, Failure::always());
    let guardian = Guardian::at(&connect.url());
    assert_eq!(actions(&guardian.run_json().0), ["orders/0 restarted"]);
    assert_eq!(connect.take_restarts().len(), 1);
    (connect, guardian)
}

/// A listing with these entries, as `name -> status`.
fn listing(entries: Value) -> Answer {
    let entries = entries.as_object().expect("an object").iter();
    let wrapped: serde_json::Map<String, Value> =
        entries.map(|(name, status)| (name.clone(), json!({ "status": status }))).collect();
    Answer::json(200, Value::from(wrapped).to_string())
}

fn status(connector: &str, tasks: Value) -> Value {
    json!({"name": "x", "connector": {"state": connector, "worker_id": "w:1"}, "tasks": tasks, "type": "sink"})
}

fn failed_task(id: u32) -> Value {
    json!({"id": id, "state": "FAILED", "worker_id": "w:1", "trace": "a.B: x\nCaused by: c.D: y\n"})
}

/// `{}`.
const GZIP: [u8; 22] = [
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xab, 0xae, 0x05, 0x00, 0x43, 0xbf, 0xa6,
    0xa3, 0x02, 0x00, 0x00, 0x00,
];

#[test]
fn an_answer_that_is_no_listing_fails_the_run_and_changes_nothing() {
    let body = |text: &str| Answer::json(200, text);
    let slow = |answer: Answer| answer.header("X-Slow", "1");
    let rows: Vec<(Answer, &str, &str)> = vec![
        (
            Answer::html(404, "Not Found"),
            "not_connect",
            "HTTP 404 as a web page (a worker that is still starting answers so",
        ),
        (
            Answer::json(404, r#"{"url":"/connectors","status":"404","message":"Not Found"}"#),
            "not_connect",
            "HTTP 404",
        ),
        (Answer::html(200, "Sign in"), "not_connect", "the answer is a web page, not JSON"),
        (Answer::text(200, "text/plain", "It works!"), "not_connect", "the answer is not JSON"),
        (Answer::status(200), "not_connect", "the answer is empty"),
        (Answer::status(204), "not_connect", "HTTP 204"),
        (body("17"), "not_connect", "its JSON is not a listing of connectors"),
        (body("\"x\""), "not_connect", "its JSON is not a listing of connectors"),
        (body("null"), "not_connect", "its JSON is not a listing of connectors"),
        (
            body(r#"{"error_code":500,"message":"x"}"#),
            "not_connect",
            "its JSON is not a listing of connectors",
        ),
        (
            body(r#"{"error":{"code":502,"message":"x"}}"#),
            "not_connect",
            "its JSON is not a listing of connectors",
        ),
        (body("{} {}"), "not_connect", "the answer is not JSON"),
        (
            Answer::normal().edited(|body| body[..body.len() - 9].to_vec()),
            "not_connect",
            "the answer is not JSON (EOF",
        ),
        (body(&"[".repeat(100_000)), "not_connect", "the answer is not JSON (EOF"),
        (body("{\"orders\":").then_endlessly(","), "not_connect", "the answer is not JSON"),
        (Answer::error(400, "bad"), "not_connect", "HTTP 400: bad (Connect itself says so"),
        (Answer::status(409), "not_connect", "HTTP 409: Cannot complete request"),
        (Answer::html(500, "Oops"), "not_connect", "HTTP 500"),
        (Answer::html(502, "Bad Gateway"), "not_connect", "HTTP 502 (a proxy answers"),
        (Answer::status(503), "not_connect", "HTTP 503: This worker is still starting up"),
        // A login page of oauth2-proxy, Keycloak or Cloudflare Access: its address holds a state or a token.
        (
            Answer::redirect(302, "https://bob:s3cret@sso.example:8443/s3cret?state=s3cret#s3cret"),
            "not_connect",
            "HTTP 302: redirects to https://sso.example:8443 (redirects are not followed: set KAFKA_CONNECT_URL to",
        ),
        // Express says it in the body too.
        (
            Answer::text(302, "text/plain", "Found. Redirecting to /login?s3cret")
                .header("Location", "/login?s3cret"),
            "not_connect",
            "HTTP 302: redirects to another path of the same server (redirects",
        ),
        (
            Answer::text(301, "text/plain", "s3cret").header("Location", "javascript:s3cret"),
            "not_connect",
            "HTTP 301: redirects to no address (redirects",
        ),
        (
            Answer::html(407, "Proxy"),
            "not_connect",
            "HTTP 407: the proxy wants a user and a password, or others than it got (they go into the URL of GUARDIAN_PROXY)",
        ),
        // nginx with `gunzip off; gzip_static always`, and gateways that compress whatever was asked for.
        (
            Answer::json(200, GZIP).header("Content-Encoding", "gzip"),
            "not_connect",
            "the answer is compressed (gzip), though guardian asks for it plain (whatever stands between guardian and the worker must not compress its answers)",
        ),
        (
            Answer::json(503, GZIP).header("Content-Encoding", "gzip"),
            "not_connect",
            "HTTP 503: the answer is compressed (gzip)",
        ),
        (
            Answer::status(401),
            "unauthorized",
            "HTTP 401: not allowed without other credentials: User cannot access",
        ),
        (Answer::html(403, "Forbidden"), "unauthorized", "HTTP 403: forbidden"),
        (Answer::raw("SSH-2.0-OpenSSH_9.6\r\n"), "unreachable", "the answer is not HTTP"),
        (
            Answer::raw([0x15, 3, 3, 0, 2, 2, 40]),
            "unreachable",
            "the answer is not HTTP (is this port https?",
        ),
        (Answer::normal().cut_after(60), "unreachable", "the answer was cut off"),
        (
            Answer::normal().chunked().edited(|body| body).cut_after(60),
            "unreachable",
            "the answer was cut off",
        ),
        (
            Answer::normal().reset_after(60),
            "unreachable",
            "the answer was cut off (error reading a body from connection: Connection reset",
        ),
        (
            Answer::reset(),
            "unreachable",
            "Connection reset by peer (os error 104) (something listens there: a worker that is starting",
        ),
        (
            Answer::close(),
            "unreachable",
            "connection closed before message completed (something listens there: a worker that is starting",
        ),
        (slow(Answer::hang()), "unreachable", "no complete answer within 1s"),
        (
            slow(Answer::normal().byte_every(Duration::from_secs(1))),
            "unreachable",
            "no complete answer within 1s",
        ),
        (slow(Answer::json(200, "{}").then_endlessly(" ")), "unreachable", "no complete answer within 1s"),
        (slow(Answer::html(500, "x").then_endlessly("x")), "not_connect", "HTTP 500"),
        (
            slow(Answer::normal().delayed(Duration::from_secs(60))),
            "unreachable",
            "(the worker may be overloaded",
        ),
    ];
    each(rows, |(answer, kind, says)| {
        let (connect, guardian) = after_one_restart(Profile::V3_9);
        let before = std::fs::read(guardian.state()).unwrap();
        connect.on_listing().answers(answer.clone());
        let patience = if says.contains("1s") || says.contains("overloaded") { "1s" } else { "30s" };
        let (document, code) = guardian.json(&["run", "--once", "--timeout", patience]);
        let error = &document["error"];
        let text = format!(
            "{} ({})",
            error["message"].as_str().unwrap(),
            error["hint"].as_str().unwrap_or_default()
        );
        assert!(text.contains(says) && text.contains(&connect.url()), "{says}: {text}");
        assert!(!text.contains("that the worker runs") && !text.contains("s3cret"), "{text}");
        assert_eq!((error["kind"].as_str(), code), (Some(*kind), 1), "{text}");
        assert_eq!(
            [&document["connectors"], &document["summary"], &document["run"]],
            [&Value::Null; 3],
            "{text}"
        );
        assert_eq!((document["ok"].as_bool(), &document["instances"]), (Some(false), &json!([])));
        assert!(std::fs::read(guardian.state()).unwrap() == before, "{text}");

        let status = guardian.json(&["status", "--timeout", patience]);
        assert_eq!((status.0["error"]["kind"].as_str(), status.1), (Some(*kind), 1), "{text}");
        assert_eq!(status.0["instances"][0]["attempts"], 1, "what is remembered is shown all the same");

        // The failed run does not count: the task waits for the run after the next, as before.
        connect.forget_rules();
        for expected in ["orders/0 waiting", "orders/0 restarted"] {
            let (next, code) = guardian.run_json();
            assert_eq!((actions(&next), code), (vec![expected.to_owned()], 0), "after {text}");
        }
        assert_eq!(connect.take_restarts(), ["orders/0"]);
    });
}

#[test]
fn a_text_run_says_the_same_on_stderr_and_nothing_on_stdout() {
    let connect = Connect::start(Profile::V3_9);
    connect.on_listing().answers(Answer::html(404, "Not Found"));
    let ended = Guardian::at(&connect.url()).run().exits(1);
    assert_eq!((ended.stdout.as_str(), ended.stderr.lines().count()), ("", 3), "{ended:?}");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert!(lines[0].ends_with(": HTTP 404 as a web page; asking again in 2s"), "{ended:?}");
    assert!(lines[1].ends_with("INFO still no answer; asking again in 5s"), "{ended:?}");
    assert!(lines[2].contains("HTTP 404 as a web page (a worker that is still starting"), "{ended:?}");
}

#[test]
fn a_connector_that_cannot_be_understood_costs_a_warning_and_no_other_anything() {
    let running = |tasks: Value| status("RUNNING", tasks);
    let rows: Vec<(Value, &str)> = vec![
        (json!(null), "its status is not an object"),
        (json!(7), "its status is not an object"),
        (json!({}), "it has no connector state"),
        (json!({"connector": {}, "tasks": []}), "it has no connector state"),
        (json!({"connector": {"state": null}, "tasks": []}), "it has no connector state"),
        (json!({"connector": {"state": "FAILED"}}), "it has no tasks"),
        (running(json!(null)), "its tasks are not an array"),
        (running(json!([{"state": "FAILED"}])), "a task has no number or no state"),
        (running(json!([{"id": 1}])), "a task has no number or no state"),
        (running(json!([{"id": "1", "state": "FAILED"}])), "a task has no number or no state"),
        (running(json!([{"id": -1, "state": "FAILED"}])), "a task has no number or no state"),
        (running(json!([{"id": 1.5, "state": "FAILED"}])), "a task has no number or no state"),
        (running(json!([{"id": 1u64 << 40, "state": "FAILED"}])), "a task has no number or no state"),
        (running(json!([failed_task(1), failed_task(1)])), "two tasks have the same number"),
        (running(json!([7])), "a task has no number or no state"),
    ];
    each(rows, |(entry, problem)| {
        let (connect, guardian) = after_one_restart(Profile::V3_9);
        let good = status("RUNNING", json!([failed_task(3)]));
        connect.connector("good").tasks(4);
        connect.fail_task("good", 3, Failure::always());
        connect.on_listing().answers(listing(json!({"orders": entry, "good": good})));
        let (document, code) = guardian.run_json();
        assert_eq!((actions(&document), code), (vec!["good/3 restarted".to_owned()], 0), "{entry}");
        let warnings = document["warnings"].to_string();
        assert!(warnings.contains("connector orders") && warnings.contains(problem), "{entry}: {warnings}");
        assert_eq!(
            (&document["connectors"]["total"], &document["connectors"]["other"]),
            (&json!(2), &json!(1))
        );
        assert_eq!(guardian.attempts("orders", Some(0)), Some(1), "its record stays");
        assert_eq!(connect.take_restarts(), ["good/3"]);
        assert_eq!(connect.restarts_of_unfailed(), Vec::<String>::new());
    });
}

#[test]
fn missing_and_unknown_fields_are_accepted() {
    let full = json!({"id": 1, "state": "FAILED", "worker_id": "w:1", "version": "1.0"});
    let rows: Vec<(Value, &str)> = vec![
        (json!([{"id": 1, "state": "FAILED"}]), "x/1 restarted"),
        (
            json!([{"id": 1, "state": "FAILED", "trace": null, "worker_id": null, "version": null}]),
            "x/1 restarted",
        ),
        (
            json!([{"id": 1, "state": "FAILED", "trace": 3, "worker_id": {}, "version": [1], "new": {"a": [true]}}]),
            "x/1 restarted",
        ),
        (json!([{"id": 1, "state": "FAILED", "trace": ""}]), "x/1 restarted"),
        (json!([full, {"id": 7, "state": "RUNNING"}, {"id": 3, "state": "RUNNING"}]), "x/1 restarted"),
        (json!([{"id": 1, "state": "UNASSIGNED"}]), "x/1 in_transition"),
        (json!([{"id": 1, "state": "RESTARTING"}]), "x/1 in_transition"),
        (json!([{"id": 1, "state": "HIBERNATING"}]), "x/1 in_transition"),
        (json!([{"id": 1, "state": "failed"}]), "x/1 in_transition"),
        (json!([{"id": 1, "state": "PAUSED"}]), ""),
        (json!([]), "x no_tasks"),
    ];
    each(rows, |(tasks, expected)| {
        let connect = Connect::start(Profile::V4_3);
        connect.connector("x").tasks(8);
        connect.fail_task("x", 1, Failure::always());
        // The type, the name and the rest of the entry may be anything, too.
        let part = json!({"state": "RUNNING", "version": null, "worker_id": null});
        let entry =
            json!({"name": "y", "connector": part, "tasks": tasks, "type": null, "newer": {"k": [[]]}});
        connect.on_listing().answers(listing(json!({ "x": entry })));
        let (document, code) = Guardian::at(&connect.url()).run_json();
        assert_eq!((actions(&document).concat(), code), ((*expected).to_owned(), 0), "{tasks}");
        assert_eq!(
            connect.restarts(),
            if expected.ends_with("restarted") { vec!["x/1"] } else { vec![] },
            "{tasks}"
        );
    });
}

#[test]
fn absence_is_neither_health_nor_deletion() {
    let present = status("RUNNING", json!([{"id": 0, "state": "RUNNING"}]));
    for (answer, says) in [
        (Answer::json(200, "{}"), "Connect lists no connectors, but 1 instance is remembered"),
        (listing(json!({ "other": present })), ""),
        (listing(json!({ "orders": present })).replacing("\"id\":0", "\"id\":1"), ""),
    ] {
        let (connect, guardian) = after_one_restart(Profile::V3_9);
        connect.on_listing().answers(answer).times(3);
        for _ in 0..3 {
            let (document, code) = guardian.run_json();
            assert_eq!((actions(&document), code), (vec!["orders/0 absent".to_owned()], 0));
            assert!(document["warnings"].to_string().contains(says), "{document:#}");
        }
        assert_eq!(guardian.attempts("orders", Some(0)), Some(1));
        assert_eq!(actions(&guardian.run_json().0), ["orders/0 restarted"], "it is due by now");
    }
}

#[test]
fn a_worker_that_starts_up_is_waited_for() {
    let (connect, guardian) = after_one_restart(Profile::V3_9);
    connect.starts_up(0, 1, 1, 1);
    let story: Vec<(String, i32)> =
        (0..3).map(|_| guardian.run_json()).map(|(it, code)| (actions(&it).concat(), code)).collect();
    let unassigned = "orders in_transitionorders/0 in_transitionorders/1 in_transition";
    let expected = [("orders/0 absent", 0), (unassigned, 0), ("orders/0 restarted", 0)];
    assert_eq!(story, expected.map(|(it, code)| (it.to_owned(), code)));
    assert_eq!(connect.restarts_of_unfailed(), Vec::<String>::new());
}

// === One by one ===

#[test]
fn a_worker_that_cannot_list_all_is_asked_for_each() {
    let tell = |profile: Profile, spoil: &dyn Fn(&Connect)| {
        let connect = Connect::start(profile);
        for name in ["a", "b c", "d"] {
            connect.connector(name).tasks(2);
            connect.fail_task(name, 1, Failure::always());
        }
        spoil(&connect);
        let guardian = Guardian::at(&connect.url());
        let (document, code) = guardian.run_json();
        assert_eq!(connect.restarts_of_unfailed(), Vec::<String>::new());
        let mut restarts = connect.restarts();
        restarts.sort();
        (restarts.join(", "), document["warnings"].to_string(), code)
    };
    let all = ("a/1, b c/1, d/1".to_owned(), "[]".to_owned(), 0);
    // Connect < 2.3 answers with an array of names; before 3.4 one broken connector fails the whole listing.
    assert_eq!(tell(Profile::V2_2, &|_| {}), all);
    let message = "Failed to find any class that implements Connector";
    assert_eq!(
        tell(Profile::V3_9, &|connect| drop(connect.on_listing().answers(Answer::error(500, message)))),
        all
    );
    let (restarts, warnings, code) =
        tell(Profile::V3_3, &|connect| drop(connect.connector("a").plugin_missing()));
    assert_eq!((restarts.as_str(), code), ("b c/1, d/1", 0));
    assert!(warnings.contains("connector a: its status cannot be understood (HTTP 500)"), "{warnings}");
    // No status record yet: absent, as in the whole listing.
    let without = tell(Profile::V2_2, &|connect| drop(connect.connector("a").without_status()));
    assert_eq!(without, ("b c/1, d/1".to_owned(), "[]".to_owned(), 0));
    for (answer, says) in [
        (Answer::html(404, "x"), "HTTP 404"),
        (Answer::html(200, "x"), "a web page"),
        (Answer::json(200, "{}"), "it has no connector state"),
        (Answer::json(200, "[]"), "its status is not an object"),
        (Answer::normal().cut_after(30), "cut off"),
    ] {
        let (restarts, warnings, code) =
            tell(Profile::V2_2, &|connect| drop(connect.on_status("a").answers(answer.clone())));
        assert_eq!((restarts.as_str(), code), ("b c/1, d/1", 0), "{says}");
        assert!(warnings.contains("connector a:") && warnings.contains(says), "{says}: {warnings}");
    }
    assert!(
        tell(Profile::V2_2, &|connect| drop(connect.connector("..").tasks(1)))
            .1
            .contains("a URL cannot hold")
    );
}

#[test]
fn one_by_one_a_401_or_a_dead_worker_ends_the_run() {
    each(vec![(Answer::status(401), "unauthorized"), (Answer::reset(), "unreachable")], |(answer, kind)| {
        let connect = Connect::start(Profile::V2_2);
        connect.connector("a").tasks(1);
        connect.connector("b").tasks(1);
        connect.fail_task("a", 0, Failure::always());
        connect.on_status("b").answers(answer.clone());
        let guardian = Guardian::at(&connect.url());
        let (document, code) = guardian.run_json();
        assert_eq!((document["error"]["kind"].as_str(), code), (Some(*kind), 1));
        assert_eq!((connect.restarts(), guardian.remembered()), (Vec::new(), None));
    });
    let rows = vec![(Answer::html(200, "x"), "a web page"), (Answer::json(200, "{}"), "not a list of names")];
    each(rows, |(answer, says)| {
        let connect = Connect::start(Profile::V3_3);
        connect.on_listing().answers(Answer::error(500, "broken"));
        connect.on_names().answers(answer.clone());
        let (document, code) = Guardian::at(&connect.url()).run_json();
        assert_eq!((document["error"]["kind"].as_str(), code), (Some("not_connect"), 1));
        assert!(document["error"]["message"].as_str().unwrap().contains(says), "{document:#}");
    });
}

#[test]
fn one_by_one_a_run_needs_one_status_at_least() {
    each(vec![Profile::V2_2, Profile::V3_3], |profile| {
        let (connect, guardian) = after_one_restart(*profile);
        connect.on_listing().answers(if *profile == Profile::V2_2 {
            Answer::normal()
        } else {
            Answer::error(500, "Failed to find any class")
        });
        connect.on_status("orders").answers(Answer::html(503, "Service Unavailable"));
        let before = std::fs::read(guardian.state()).unwrap();
        let (document, code) = guardian.run_json();
        let error = &document["error"];
        assert_eq!((error["kind"].as_str(), code), (Some("not_connect"), 1), "{document:#}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("no connector's status can be read (orders: HTTP 503)"), "{message}");
        assert!(std::fs::read(guardian.state()).unwrap() == before);
    });
}

#[test]
fn one_by_one_the_time_out_is_for_the_whole_worker() {
    let connect = Connect::start(Profile::V2_2);
    for name in ["a", "b", "c", "d"] {
        connect.connector(name).tasks(1);
        connect.on_status(name).answers(Answer::normal().delayed(Duration::from_millis(600)));
    }
    let guardian = Guardian::at(&connect.url()).env("GUARDIAN_PARALLEL", "1").env("GUARDIAN_TIMEOUT", "1s");
    let (document, code) = guardian.run_json();
    assert_eq!((document["error"]["kind"].as_str(), code), (Some("unreachable"), 1));
    assert!(document["error"]["message"].as_str().unwrap().contains("no complete answer within 1s"));
}

// === More than one worker ===

#[test]
fn the_next_worker_is_asked_when_one_gives_no_listing() {
    let answers = vec![
        Answer::html(404, "Not Found"),
        Answer::html(200, "Sign in"),
        Answer::status(503),
        Answer::close(),
        Answer::normal().cut_after(40),
        Answer::redirect(307, "/"),
        Answer::hang(),
    ];
    each(answers, |answer| {
        let connect = Connect::with(Profile::V3_9).workers(2).start();
        connect.connector("orders").tasks(1);
        connect.fail_task("orders", 0, Failure::always());
        connect.on_any().at_worker(0).answers(answer.clone());
        let guardian = Guardian::at(&connect.urls()).env("GUARDIAN_TIMEOUT", "1s");
        let (document, code) = guardian.run_json();
        assert_eq!((actions(&document), code), (vec!["orders/0 restarted".to_owned()], 0), "{document:#}");
        assert_eq!(
            (document["url"].as_str(), connect.restarts()),
            (Some(connect.url_of(1).as_str()), vec!["orders/0".into()])
        );
        assert_eq!(document["warnings"], json!([]));
    });
}

#[test]
fn a_worker_that_lists_nothing_counts_only_where_no_other_lists_anything() {
    // A worker whose herder has not read the config topic yet, or a stray one with a group.id of its own, lists nothing.
    // What each worker says; whether anything is restarted, the worker that the run took, and how often a listing was asked for.
    type Spoil = fn(&Connect, usize);
    let lists: Spoil = |_, _| {};
    let empty: Spoil = |connect, worker| {
        connect.on_listing().at_worker(worker).answers(Answer::json(200, "{}"));
    };
    // Connect < 2.3 lists no names.
    let no_names: Spoil = |connect, worker| {
        connect.on_listing().at_worker(worker).answers(Answer::json(200, "[]"));
    };
    let dead: Spoil = |connect, worker| connect.kill_worker(worker);
    let rows: Vec<(Vec<Spoil>, bool, usize, usize)> = vec![
        (vec![empty, lists], true, 1, 2),
        (vec![no_names, lists], true, 1, 2),
        (vec![dead, empty, lists], true, 2, 2),
        (vec![lists, empty], true, 0, 1),
        (vec![empty], false, 0, 1),
        (vec![empty, empty], false, 0, 2),
        (vec![empty, dead], false, 0, 1),
        (vec![dead, empty], false, 1, 1),
    ];
    each(rows, |(workers, listed, taken, asked)| {
        let connect = Connect::with(Profile::V3_9).workers(workers.len()).start();
        connect.connector("orders").tasks(1).on_worker(*taken);
        connect.fail_task("orders", 0, Failure::always());
        for (worker, spoil) in workers.iter().enumerate() {
            spoil(&connect, worker);
        }
        let (document, code) = Guardian::at(&connect.urls()).run_json();
        let restarted = actions(&document) == ["orders/0 restarted"];
        assert_eq!((restarted, code), (*listed, 0), "{document:#}");
        assert_eq!(
            (document["url"].as_str(), connect.listings()),
            (Some(connect.url_of(*taken).as_str()), *asked)
        );
    });
}

// === Asking again ===

#[test]
fn all_workers_are_asked_twice_more_before_a_run_gives_up() {
    // A sidecar's proxy that is not up yet, a worker that rolls, a name server: what is over within seconds.
    let cut = || Answer::reset();
    let busy = || Answer::html(503, "Service Unavailable");
    type Spoil = Box<dyn Fn(&Connect) + Send + Sync>;
    let rows: Vec<(Spoil, usize)> = vec![
        (Box::new(move |it| drop(it.on_listing().answers(cut()).times(1))), 2),
        (Box::new(move |it| drop(it.on_listing().answers(busy()).times(1))), 2),
        (Box::new(move |it| drop(it.on_listing().answers(cut()).times(1).then(busy()).times(1))), 3),
        (Box::new(|it| drop(it.on_listing().answers(Answer::hang()).times(1))), 2),
    ];
    let cases = rows.iter().flat_map(|row| ["run", "status"].map(|command| (row, command)));
    each(cases.collect(), |((spoil, asked), command)| {
        let connect = Connect::start(Profile::V3_9);
        connect.connector("orders").tasks(1);
        connect.fail_task("orders", 0, Failure::always());
        spoil(&connect);
        let guardian = Guardian::at(&connect.url()).env("GUARDIAN_TIMEOUT", "1s");
        let ended = guardian.with(&[command]).exits(0);
        assert_eq!(connect.listings(), *asked, "{ended:#?}");
        assert!(ended.stderr.contains("asking again in 2s"), "{ended:#?}");
    });
}

#[test]
fn a_port_that_opens_late_is_waited_for() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(1);
    connect.fail_task("orders", 0, Failure::always());
    connect.kill_worker(0);
    let guardian = Guardian::at(&connect.url());
    let child = guardian.start(&["run", "--once", "--output", "json"]);
    std::thread::sleep(Duration::from_secs(1));
    connect.revive_worker(0);
    Ended::of(child).exits(0);
    assert_eq!(connect.restarts(), ["orders/0"]);
}

#[test]
fn what_stays_away_is_told_as_it_was_seen_last() {
    let page = |status: u16| Answer::html(status, "x");
    let connect = Connect::start(Profile::V3_9);
    connect.on_listing().answers(page(502)).times(1).then(page(503)).times(1).then(page(404));
    let (document, code) = Guardian::at(&connect.url()).run_json();
    assert_eq!((document["error"]["kind"].as_str(), code, connect.listings()), (Some("not_connect"), 1, 3));
    assert!(
        document["error"]["message"].as_str().unwrap().contains("HTTP 404 as a web page"),
        "{document:#}"
    );
}

#[test]
fn no_look_begins_later_than_ten_seconds_after_the_first() {
    let connect = Connect::start(Profile::V3_9);
    connect.on_listing().answers(Answer::hang());
    let guardian = Guardian::at(&connect.url());
    // 9 s, and the wait of 2 s would end at 11.
    assert_eq!((guardian.json(&["run", "--once", "--timeout", "9s"]).1, connect.listings()), (1, 1));
}

#[test]
fn the_deadline_ends_the_wait_for_another_look() {
    let connect = Connect::start(Profile::V3_9);
    connect.on_listing().answers(Answer::reset());
    let (document, code) = Guardian::at(&connect.url()).json(&["run", "--once", "--deadline", "1s"]);
    assert_eq!((document["error"]["kind"].as_str(), code, connect.listings()), (Some("unreachable"), 1, 1));
}

#[test]
fn every_request_asks_for_no_compression() {
    let (connect, _) = after_one_restart(Profile::V3_3);
    connect.fail_task("orders", 1, Failure::always());
    connect.on_listing().answers(Answer::error(500, "broken"));
    Guardian::at(&connect.url()).run_json();
    let calls = connect.calls().join(" ");
    assert!(calls.contains("/status") && calls.contains("GET / ") && calls.contains("POST"), "{calls}");
    for request in connect.requests() {
        assert_eq!(request.head.header("accept-encoding"), Some("identity"), "{:?}", request.head);
    }
}

#[test]
fn a_401_is_not_taken_to_the_next_worker() {
    let connect = Connect::with(Profile::V3_9).workers(2).start();
    connect.on_listing().at_worker(0).answers(401);
    let (document, code) = Guardian::at(&connect.urls()).run_json();
    assert_eq!((document["error"]["kind"].as_str(), code, connect.listings()), (Some("unauthorized"), 1, 1));
}

#[test]
fn every_worker_that_was_tried_is_named_with_its_reason() {
    let connect = Connect::with(Profile::V3_9).workers(2).start();
    connect.on_listing().at_worker(0).answers(Answer::html(502, "Bad Gateway"));
    connect.on_listing().at_worker(1).answers(Answer::close());
    let url = format!("{},{},http://connect.invalid:8083", connect.urls(), connect.closed_url());
    let (document, code) = Guardian::at(&url).run_json();
    assert_eq!(
        (document["error"]["kind"].as_str(), code),
        (Some("not_connect"), 1),
        "one of them did answer"
    );
    let message = document["error"]["message"].as_str().unwrap();
    for part in [
        "no answer from any of the 4 workers",
        &format!("{}: HTTP 502", connect.url_of(0)),
        &format!("{}: connection closed", connect.url_of(1)),
        &format!("{}: tcp connect error: Connection refused", connect.closed_url()),
        "http://connect.invalid:8083: the name connect.invalid cannot be resolved",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

// === Texts from outside ===

#[test]
fn no_control_character_from_outside_reaches_a_terminal() {
    // A colour, a title, a carriage return, a forged line of the log, C1, right-to-left text, invisible characters.
    let evil = "\u{1b}[31mred\u{1b}]0;title\u{7}\rback\nERROR forged\u{9b}2J\u{202e}\u{200b}\u{feff}end";
    let connect = |listing: &Answer| {
        let connect = Connect::start(Profile::V3_3);
        connect.connector(evil).tasks(4);
        connect.fail_connector(evil, Failure::always().caused_by(evil));
        connect.fail_task(evil, 0, Failure::always().with_trace(&format!("{evil}\nCaused by: {evil}\n")));
        connect.fail_task(evil, 1, Failure::always().caused_by(evil));
        connect.show_worker_id(evil, Some(1), evil);
        connect.set_state(evil, Some(2), evil);
        connect.connector(&format!("empty{evil}"));
        connect.on_restart(evil).answers(Answer::error(405, evil));
        connect.on_listing().answers(listing.clone());
        connect
    };
    // Every command is run against each of these listings.
    let listings = [
        Answer::normal().edited(|body| [&body[..body.len() - 1], b",\"bad\xff\x1b[1m\":{}}"].concat()),
        Answer::error(500, evil),
        Answer::error(409, evil),
        Answer::error(401, evil),
        Answer::text(200, "text/html", format!("<html>{evil}")),
        Answer::text(404, "text/html", format!("<html>{evil}")),
        Answer::text(502, "text/plain", evil),
    ];
    let commands: [&[&[&str]]; 10] = [
        &[&["run", "--once"], &["run", "--once"]],
        &[&["run", "--once", "--output", "json"]],
        &[&["run", "--once", "--quiet"]],
        &[&["status"]],
        &[&["status", "--output", "json"]],
        &[&["run", "--once", "--dry-run"]],
        &[&["run", "--once", "--log-format", "json"]],
        &[&["run", "--once"], &["reset", "nothing"], &["reset", "--all", "--output", "json"]],
        &[&["run", "--once"], &["reset", "--all"]],
        &[&["run", "--once"], &["history"], &["history", "--output", "json"]],
    ];
    let cases = listings.iter().flat_map(|listing| commands.map(|commands| (listing.clone(), commands)));
    each(cases.collect(), |(listing, commands)| {
        let connect = connect(listing);
        let guardian = Guardian::at(&connect.url()).arg("--log-level").arg("trace");
        for arguments in *commands {
            let ended = guardian.with(arguments);
            for text in [&ended.stdout, &ended.stderr] {
                let raw: Vec<char> = text.chars().filter(|c| is_raw(*c)).collect();
                assert_eq!(raw, Vec::<char>::new(), "{arguments:?}: {text}");
                assert!(text.lines().all(|line| !line.starts_with("ERROR forged")), "{arguments:?}: {text}");
                assert!(
                    !text.to_lowercase().contains("\\u001b") && !text.contains("\\x1b"),
                    "{arguments:?}: {text}"
                );
            }
        }
    });
}

fn is_raw(c: char) -> bool {
    (c.is_control() && c != '\n') || matches!(c, '\u{200b}' | '\u{202e}' | '\u{feff}')
}

#[test]
fn broken_utf_8_is_replaced() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(1);
    connect.fail_task("orders", 0, Failure::always().caused_by("java.io.IOException: MARK"));
    connect.on_listing().answers(Answer::normal().edited(|body| {
        let at = body.windows(4).position(|window| window == b"MARK").expect("the mark");
        [&body[..at], b"caf\xe9", &body[at + 4..]].concat()
    }));
    let (document, code) = Guardian::at(&connect.url()).run_json();
    assert_eq!((actions(&document), code), (vec!["orders/0 restarted".to_owned()], 0));
    assert_eq!(
        instance(&document, "orders", Some(0))["cause"],
        "org.apache.kafka.connect.errors.RetriableException: write failed (IOException: caf\u{fffd})"
    );
}

#[test]
fn a_lone_surrogate_escape_is_replaced() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(1);
    connect.fail_task("orders", 0, Failure::always());
    let status = |trace: &str, worker: &str| {
        format!(
            r#"{{"status":{{"connector":{{"state":"RUNNING","worker_id":"{worker}"}},
                "tasks":[{{"id":0,"state":"FAILED","trace":"{trace}","worker_id":"{worker}"}}]}}}}"#
        )
    };
    let good = status(r"java.io.IOException: \ud83d \ud83d\udca5 \udca5", r"w\udca5:1");
    connect
        .on_listing()
        .answers(Answer::json(200, format!(r#"{{"orders":{good},"half\ud83d":{}}}"#, status("x", "w:1"))));
    let refused = r#"{"error_code":500,"message":"Failed to start task: \udca5"}"#;
    connect.on_restart("orders").answers(Answer::json(500, refused));
    let (document, code) = Guardian::at(&connect.url()).arg("--exclude").arg("half*").run_json();
    assert_eq!(
        (actions(&document), code),
        (vec!["half\u{fffd}/0 excluded".to_owned(), "orders/0 failed".into()], 0)
    );
    let orders = instance(&document, "orders", Some(0));
    assert_eq!(orders["cause"], "java.io.IOException: \u{fffd} \u{1f4a5} \u{fffd}");
    assert_eq!(orders["worker_id"], "w\u{fffd}:1");
    assert_eq!(document["warnings"], json!([]));
}

#[test]
fn a_connector_that_is_listed_twice_is_restarted_once() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(1);
    connect.fail_task("orders", 0, Failure::always());
    let entry = json!({ "status": status("RUNNING", json!([failed_task(0)])) }).to_string();
    connect.on_listing().answers(Answer::json(200, format!(r#"{{"orders":{entry},"orders":{entry}}}"#)));
    let guardian = Guardian::at(&connect.url());
    let (document, code) = guardian.run_json();
    assert_eq!((actions(&document), code), (vec!["orders/0 restarted".to_owned()], 0));
    assert_eq!(
        (connect.restarts(), guardian.attempts("orders", Some(0))),
        (vec!["orders/0".to_owned()], Some(1))
    );
}
