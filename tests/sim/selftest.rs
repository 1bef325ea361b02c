//! The simulated Connect is held to what real workers were seen to do, over a bare socket and without guardian.
//!
//! It owns what the tests of guardian take for granted and do not assert themselves. Faults on the wire, TLS and
//! credentials are not among it: guardian names each of them, and a simulation without the fault would fail its test.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::sim::{Answer, Connect, Failure, Huge, Profile, answers};

const LISTING: &str = "/connectors?expand=status";
const ALL: &str = "/connectors/orders/restart?includeTasks=true&onlyFailed=true";
const TASK_0: &str = "/connectors/orders/tasks/0/restart";

struct Got {
    status: u16,
    head: String,
    body: String,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn message(&self) -> String {
        let json = self.json();
        assert_eq!(json["error_code"], self.status);
        json["message"].as_str().unwrap().to_owned()
    }
}

/// One request on a connection of its own, which is read to its end. Chunks stay as they are.
fn ask(url: &str, method: &str, target: &str) -> io::Result<Got> {
    let mut stream = TcpStream::connect(url.split("//").nth(1).unwrap())?;
    let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok(Got { status, head: head.to_owned(), body: body.to_owned() })
}

fn get(connect: &Connect, target: &str) -> Got {
    ask(&connect.url(), "GET", target).unwrap()
}

fn post(connect: &Connect, target: &str) -> Got {
    ask(&connect.url(), "POST", target).unwrap()
}

/// "RUNNING FAILED ..." of the connector and its tasks, by one listing.
fn states(connect: &Connect) -> String {
    let shown = get(connect, LISTING).json()["orders"]["status"].clone();
    let tasks = shown["tasks"].as_array().unwrap().iter();
    let all = std::iter::once(&shown["connector"]).chain(tasks);
    all.map(|it| it["state"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

fn orders(profile: Profile, tasks: u32) -> Connect {
    let connect = Connect::start(profile);
    connect.connector("orders").tasks(tasks);
    connect
}

// === Listings ===

#[test]
fn listing_by_version() {
    let connect = orders(Profile::V3_9, 2);
    connect.connector("new").without_status();
    let id = format!("127.0.0.1:{}", connect.port());
    let instance = json!({"state": "RUNNING", "worker_id": id});
    let task = |number: u32| json!({"id": number, "state": "RUNNING", "worker_id": id});
    let status =
        json!({"name": "orders", "connector": instance, "tasks": [task(0), task(1)], "type": "sink"});
    assert_eq!(get(&connect, LISTING).json(), json!({"orders": {"status": status}}));
    assert_eq!(get(&connect, "/connectors/orders/status").json(), status);
    assert_eq!(get(&connect, "/connectors").json(), json!(["new", "orders"]));
    assert_eq!(get(&connect, "/connectors/new/status").message(), "No status found for connector new");
    assert_eq!(get(&orders(Profile::V2_2, 1), LISTING).json(), json!(["orders"]));
    // Since 4.1 with the plugin's version, which a status has not that no plugin wrote.
    let newer = orders(Profile::V4_3, 1);
    let version = || get(&newer, LISTING).json()["orders"]["status"]["tasks"][0].get("version").cloned();
    assert_eq!(version(), Some("1.0.0".into()));
    newer.set_state("orders", Some(0), "RESTARTING");
    assert_eq!(version(), Some(Value::Null));
}

#[test]
fn broken_connector_fails_the_listing_before_3_4() {
    for (profile, expected) in [(Profile::V3_3, 500), (Profile::V3_9, 200)] {
        let connect = orders(profile, 1);
        connect.connector("broken").plugin_missing();
        assert_eq!(get(&connect, LISTING).status, expected, "{profile:?}");
        assert_eq!(get(&connect, "/connectors/orders/status").status, 200);
    }
}

#[test]
fn starting_worker() {
    let connect = orders(Profile::V3_9, 1);
    connect.starts_up(0, 1, 1, 1);
    let page = get(&connect, LISTING);
    assert!(page.status == 404 && page.head.contains("text/html;charset=iso-8859-1"));
    assert_eq!(get(&connect, LISTING).body, "{}");
    let got = get(&connect, LISTING).json()["orders"]["status"].clone();
    assert_eq!((&got["type"], &got["tasks"][0]["state"]), (&"unknown".into(), &"UNASSIGNED".into()));
    assert_eq!(states(&connect), "RUNNING RUNNING");
}

#[test]
fn huge_listing() {
    let connect = Connect::start(Profile::V3_9);
    connect.huge(Huge::failed(3, 4, 1_000));
    let listing = get(&connect, LISTING).body;
    assert_eq!(
        (listing.matches(r#""state":"FAILED""#).count(), listing.matches(r#""status":"#).count()),
        (12, 3)
    );
    assert!(listing.contains("Caused by: com.example.WriteException: table huge-000002/3 is locked"));
    assert!(listing.len() > 12 * 1_000);
    let restart = format!("/connectors/{}/restart?includeTasks=true&onlyFailed=true", Huge::name(1));
    assert_eq!(post(&connect, &restart).body.matches("RESTARTING").count(), 4);
    assert_eq!(post(&connect, &format!("/connectors/{}/tasks/0/restart", Huge::name(1))).status, 204);
    assert_eq!((connect.count_restarts_of(&Huge::name(1), Some(0)), connect.huge_restarts()), (2, (4, 2)));
    for (huge, state) in [(Huge::healthy(2, 2), "RUNNING"), (Huge::paused(2, 2), "PAUSED")] {
        connect.huge(huge);
        assert_eq!(get(&connect, LISTING).body.matches(state).count(), 6);
    }
}

// === Restarts ===

#[test]
fn task_that_heals_with_the_second_restart() {
    let connect = orders(Profile::V3_9, 1);
    connect.fail_task("orders", 0, Failure::healing_after(2));
    let trace = || get(&connect, LISTING).json()["orders"]["status"]["tasks"][0]["trace"].to_string();
    let first = trace();
    assert_eq!((post(&connect, TASK_0).status, states(&connect)), (204, "RUNNING FAILED".to_owned()));
    let cause = "Caused by: java.net.ConnectException: Connection refused (db1:5432)";
    assert!(first != trace() && first.contains(cause) && trace().contains(cause));
    assert_eq!((post(&connect, TASK_0).status, states(&connect)), (204, "RUNNING RUNNING".to_owned()));
    assert!(connect.restarts_of_unfailed().is_empty());
    post(&connect, TASK_0);
    assert_eq!(connect.restarts_of_unfailed(), ["orders/0 was RUNNING"]);
    assert_eq!((connect.restarts().len(), connect.count_restarts_of("orders", Some(0))), (3, 3));
    assert_eq!([connect.take_restarts().len(), connect.take_restarts().len()], [3, 0]);
}

#[test]
fn all_failed_instances_by_one_call() {
    for profile in [Profile::V3_0, Profile::V3_9, Profile::V4_3] {
        let connect = orders(profile, 3);
        connect.fail_connector("orders", Failure::healing_after(1));
        connect.fail_task("orders", 0, Failure::healing_after(1));
        connect.fail_task("orders", 2, Failure::always());
        let got = post(&connect, ALL);
        let body = got.json();
        let tasks = body["tasks"].as_array().unwrap().iter();
        let mut tasks: Vec<String> = tasks.map(|it| format!("{} {}", it["id"], it["state"])).collect();
        if profile == Profile::V4_3 {
            assert!(tasks[0].starts_with('2'), "unsorted on 4.x");
            tasks.reverse();
        }
        assert_eq!((got.status, &body["connector"]["state"]), (202, &Value::from("RESTARTING")));
        assert_eq!(tasks, [r#"0 "RESTARTING""#, r#"1 "RUNNING""#, r#"2 "RESTARTING""#]);
        assert!(got.body.contains("Caused by: "), "the old trace is kept");
        assert_eq!(states(&connect), "RUNNING RUNNING RUNNING FAILED");
        assert_eq!(connect.restarts(), ["orders?includeTasks&onlyFailed"]);
        let counts = [None, Some(0), Some(1), Some(2)].map(|task| connect.count_restarts_of("orders", task));
        assert_eq!((counts, connect.restarts_of_unfailed().len()), ([1, 1, 0, 1], 0));
    }
}

#[test]
fn only_failed_takes_what_is_restarting_and_never_what_is_unassigned() {
    let connect = orders(Profile::V3_9, 2);
    assert_eq!((post(&connect, ALL).status, connect.executed().len()), (202, 0), "nothing has failed");
    connect.set_state("orders", Some(0), "RESTARTING");
    connect.set_state("orders", Some(1), "UNASSIGNED");
    post(&connect, ALL);
    assert_eq!(states(&connect), "RUNNING RUNNING UNASSIGNED");
}

#[test]
fn restart_parameters_are_ignored_before_3_0() {
    let connect = orders(Profile::V2_8, 1);
    connect.fail_task("orders", 0, Failure::healing_after(1));
    assert_eq!((post(&connect, ALL).status, states(&connect)), (204, "RUNNING FAILED".to_owned()));
    assert_eq!(connect.restarts_of_unfailed(), ["orders was RUNNING"]);
}

#[test]
fn missing_secret_leaves_instances_stuck() {
    let connect = orders(Profile::V3_9, 1);
    connect.connector("orders").secret_missing();
    connect.fail_connector("orders", Failure::healing_after(1));
    connect.fail_task("orders", 0, Failure::healing_after(1));
    assert!(post(&connect, "/connectors/orders/restart").message().starts_with("Could not read properties"));
    assert_eq!((post(&connect, TASK_0).status, states(&connect)), (500, "UNASSIGNED FAILED".to_owned()));
    assert_eq!((post(&connect, ALL).status, states(&connect)), (202, "UNASSIGNED RESTARTING".to_owned()));
}

#[test]
fn task_that_no_worker_has() {
    let connect = orders(Profile::V3_9, 1);
    connect.fail_task("orders", 0, Failure::healing_after(1));
    connect.connector("orders").assigned_to_nobody();
    assert_eq!(post(&connect, ALL).json()["tasks"][0]["state"], "RESTARTING", "a 202 without effect");
    assert!(post(&connect, TASK_0).message().contains("no known leader URL"));
    let stopped = orders(Profile::V3_9, 2);
    stopped.fail_task("orders", 0, Failure::healing_after(1));
    stopped.stop_leaving_failed_tasks("orders");
    assert_eq!((states(&stopped), post(&stopped, TASK_0).status), ("STOPPED FAILED".to_owned(), 409));
    assert_eq!((connect.executed().len(), stopped.executed().len()), (0, 0));
}

// === Several workers ===

#[test]
fn killed_worker_is_refused_and_comes_back() {
    let connect = Connect::with(Profile::V3_9).workers(2).start();
    connect.connector("orders").tasks(2);
    connect.fail_task("orders", 1, Failure::always());
    connect.kill_worker(1);
    assert!(
        ask(&connect.url_of(1), "GET", LISTING).is_err() && ask(&connect.closed_url(), "GET", "/").is_err()
    );
    assert_eq!(post(&connect, ALL).status, 202, "its worker is dead, and nothing happens");
    let refused = post(&connect, "/connectors/orders/tasks/1/restart").message();
    assert!(refused.ends_with("java.net.ConnectException: Connection refused"), "{refused}");
    assert!(connect.executed().is_empty());
    connect.revive_worker(1);
    assert_eq!(ask(&connect.url_of(1), "GET", LISTING).unwrap().status, 200);
}

#[test]
fn names_by_version_and_worker() {
    let table = [
        ("a%20b", "a b", [204, 204, 204, 204]),
        ("a+b", "a+b", [204, 204, 204, 204]),
        ("a%3Fb", "a?b", [204, 204, 204, 204]),
        ("%C3%BC-%E6%97%A5", "ü-日", [204, 204, 204, 204]),
        ("a%2Fb", "a/b", [204, 404, 400, 400]),
        ("a%25b", "a%b", [204, 204, 400, 400]),
        ("a%2520b", "a%20b", [204, 404, 400, 400]),
        ("a%5Cb", "a\\b", [204, 204, 400, 400]),
        ("a%3Bb=c", "a;b=c", [204, 404, 204, 404]),
        ("%7Bx%7D", "{x}", [204, 500, 204, 500]),
        ("%2E%2E", "..", [204, 204, 400, 400]),
    ];
    let clusters = [Profile::V3_9, Profile::V4_3].map(|profile| Connect::with(profile).workers(2).start());
    for (encoded, name, expected) in table {
        let restart = format!("/connectors/{encoded}/restart");
        let answers = clusters.iter().flat_map(|connect| {
            connect.connector(name).on_worker(0);
            [0, 1].map(|worker| ask(&connect.url_of(worker), "POST", &restart).unwrap().status)
        });
        assert_eq!(answers.collect::<Vec<u16>>(), expected, "{name}");
    }
    let page = post(&clusters[1], "/connectors/a%2Fb/restart");
    assert!(page.head.contains("text/html") && page.body.contains("Ambiguous URI path separator"));
}

#[test]
fn forwarded_errors_by_version() {
    let restart = "/connectors/a%3Bb/restart";
    for (profile, status) in [(Profile::V3_3, 500), (Profile::V3_9, 404)] {
        let connect = Connect::with(profile).workers(2).start();
        connect.connector("a;b").on_worker(0);
        connect.fail_connector("a;b", Failure::always());
        assert_eq!(post(&connect, restart).message(), "Failed to start connector: a;b", "not forwarded");
        assert_eq!(ask(&connect.url_of(1), "POST", restart).unwrap().status, status, "{profile:?}");
    }
}

#[test]
fn each_worker_on_the_way_back_wraps_what_it_forwards() {
    // 2.8.2, 3.0.2 and 3.3.2, three workers: "Error ...: Error ...: Failed to start connector: start-0" through the leader.
    const WRAP: &str = "Error trying to forward REST request: ";
    let restart = "/connectors/orders/restart";
    for (profile, wraps) in [(Profile::V2_8, 1), (Profile::V3_3, 1), (Profile::V3_9, 0)] {
        let connect = Connect::with(profile).workers(3).start();
        connect.connector("orders").on_worker(2);
        connect.fail_connector("orders", Failure::always());
        let said = |asked: usize| ask(&connect.url_of(asked), "POST", restart).unwrap().message();
        let started = "Failed to start connector: orders";
        let expected = [1, 2, 0].map(|hops| WRAP.repeat(hops * wraps) + started);
        assert_eq!([0, 1, 2].map(said), expected, "{profile:?}");
        connect.kill_worker(2);
        assert_eq!([0, 1].map(said), [0, 1].map(|hops| WRAP.repeat(hops * wraps) + answers::REFUSED));
        connect.connector("orders").assigned_to_nobody();
        assert_eq!([0, 1].map(said), [0, 1].map(|hops| WRAP.repeat(hops * wraps) + answers::NO_LEADER));
    }
}

#[test]
fn what_is_said_of_a_task_that_is_no_more() {
    let asked = |connect: &Connect| {
        let answer = post(connect, TASK_0);
        (answer.status, answer.message())
    };
    // 2.8.2, 3.3.2, 3.9.1 and 4.3.1 alike; 2.3.1 for the last.
    let connect = orders(Profile::V4_3, 1);
    connect.connector("orders").left_behind(0);
    assert_eq!(asked(&connect), (404, "Unknown task: orders-0".to_owned()));
    connect.connector("orders").scaled_down(0);
    assert_eq!(asked(&connect), (409, answers::NO_LEADER.to_owned()));
    let connect = orders(Profile::V2_2, 1);
    connect.connector("orders").scaled_down(0);
    assert_eq!(asked(&connect), (500, answers::NO_LEADER_OF_OLD.to_owned()));
    // 3.9.1 and 4.3.1: to ask for it makes it up.
    let connect = Connect::with(Profile::V4_3).standalone().start();
    connect.connector("orders");
    for _ in 0..2 {
        assert_eq!(asked(&connect), (404, "Task orders-0 not found".to_owned()));
        assert_eq!(get(&connect, "/connectors/orders/status").json()["tasks"][0]["state"], "FAILED");
    }
}

// === Scripted answers ===

#[test]
fn rules_take_turns_and_count_only_what_was_executed() {
    let connect = orders(Profile::V3_9, 1);
    connect.fail_task("orders", 0, Failure::always());
    let timed_out = || Answer::error(500, "Request timed out");
    connect.on_this_restart("orders/0").answers(409).times(2).then(timed_out()).times(1);
    connect.on_restart("orders").after(1).answers(timed_out().but_executed()).times(1);
    let statuses: Vec<u16> = (0..6).map(|_| post(&connect, TASK_0).status).collect();
    assert_eq!(statuses, [409, 409, 500, 204, 500, 204]);
    assert_eq!((connect.restarts().len(), connect.count_restarts_of("orders", Some(0))), (6, 3));
    connect.on_root().answers(503);
    assert_eq!(get(&connect, "/").status, 503);
    connect.forget_rules();
    assert_eq!(get(&connect, "/").json()["version"], "3.9.1");
}

#[test]
fn everything_ends_with_the_value() {
    let connect = orders(Profile::V3_9, 0);
    connect.on_listing().answers(Answer::hang()).times(1).then(Answer::json(200, "").then_endlessly("x"));
    let url = connect.url();
    let mut open = [0; 3].map(|_| TcpStream::connect(url.trim_start_matches("http://")).unwrap());
    for stream in &mut open[..2] {
        stream.write_all(b"GET /connectors?expand=status HTTP/1.1\r\n\r\n").unwrap();
    }
    connect.wait_for("both requests", |it| it.listings() == 2);
    let begin = Instant::now();
    drop(connect); // one thread hangs, one writes without end, one waits for a request; all are joined
    assert!(begin.elapsed() < Duration::from_secs(5) && ask(&url, "GET", "/").is_err());
}

#[test]
#[should_panic(expected = "a thread of the simulated Connect has panicked")]
fn callback_that_panics_fails_the_test() {
    let connect = orders(Profile::V3_9, 0);
    connect.on_root().runs(|_| panic!("on purpose, as a failed assertion in a callback would"));
    let _ = ask(&connect.url(), "GET", "/");
}
