//! The stand-in is held to what real workers were seen to do, over a bare socket and without the program under test.
//!
//! It owns one test for each thing that the stand-in can do. Whoever includes it names the stand-in `crate::sim`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::arithmetic_side_effects, reason = "tests")]

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::sim::{Answer, Authority, Cluster, Connect, Failure, Huge, Leaf, Profile};

const LISTING: &str = "/connectors?expand=status";
const ALL: &str = "/connectors/orders/restart?includeTasks=true&onlyFailed=true";

/// What came back, taken apart as far as it could be.
struct Got {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Got {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    fn message(&self) -> String {
        let json = self.json();
        assert_eq!(json["error_code"], self.status);
        json["message"].as_str().unwrap().to_owned()
    }
}

/// One request on a connection of its own, which is read to its end.
fn exchange(
    stream: &mut (impl Read + Write),
    method: &str,
    target: &str,
    headers: &str,
) -> io::Result<Vec<u8>> {
    let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn taken_apart(bytes: &[u8]) -> Got {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut body = bytes[head..].to_vec();
    if text.contains("Transfer-Encoding: chunked") {
        body = unchunked(&body);
    }
    Got { status: text.split(' ').nth(1).unwrap().parse().unwrap(), head: text, body }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        let chunk = &rest[end + 2..];
        body.extend_from_slice(&chunk[..size.min(chunk.len())]);
        rest = chunk.get(size + 2..).unwrap_or_default();
    }
    body
}

fn dial(url: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(url.split("//").nth(1).unwrap())?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

fn raw(url: &str, method: &str, target: &str) -> io::Result<Vec<u8>> {
    exchange(&mut dial(url)?, method, target, "")
}

fn ask(url: &str, method: &str, target: &str) -> Got {
    taken_apart(&raw(url, method, target).unwrap())
}

fn get(connect: &Cluster, target: &str) -> Got {
    ask(&connect.url(), "GET", target)
}

fn post(connect: &Cluster, target: &str) -> Got {
    ask(&connect.url(), "POST", target)
}

fn with_header(connect: &Cluster, method: &str, target: &str, header: &str) -> Got {
    let mut stream = dial(&connect.url()).unwrap();
    taken_apart(&exchange(&mut stream, method, target, &format!("{header}\r\n")).unwrap())
}

/// "RUNNING FAILED ..." of the connector and its tasks, by one listing.
fn states(connect: &Cluster) -> String {
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

// --- profiles, listing -----------------------------------------------------------------------------------------

#[test]
fn listing_of_a_healthy_cluster() {
    let connect = orders(Profile::V3_9, 2);
    let got = get(&connect, LISTING);
    let id = format!("127.0.0.1:{}", connect.port());
    let expected = serde_json::json!({"orders": {"status": {"name": "orders",
        "connector": {"state": "RUNNING", "worker_id": id},
        "tasks": [{"id": 0, "state": "RUNNING", "worker_id": id}, {"id": 1, "state": "RUNNING", "worker_id": id}],
        "type": "sink"}}});
    assert_eq!((got.status, got.json()), (200, expected));
    assert!(got.head.contains("Content-Type: application/json\r\n"));
    assert_eq!(get(&connect, "/connectors/?expand=status").json(), got.json());
    assert_eq!(connect.calls(), ["GET /connectors?expand=status", "GET /connectors/?expand=status"]);
    assert_eq!((connect.listings(), connect.restarts().len()), (2, 0));
}

#[test]
fn listing_by_expansion() {
    let connect = orders(Profile::V3_9, 1);
    let info = serde_json::json!({"name": "orders", "config": {"name": "orders"},
        "tasks": [{"connector": "orders", "task": 0}], "type": "sink"});
    assert_eq!(get(&connect, "/connectors").json(), serde_json::json!(["orders"]));
    assert_eq!(get(&connect, "/connectors?expand=info").json()["orders"]["info"], info);
    let both = get(&connect, "/connectors?expand=info&expand=status").json();
    assert!(both["orders"]["info"].is_object() && both["orders"]["status"].is_object());
    for unknown in ["/connectors?expand=status,info", "/connectors?expand=", "/connectors?expand=bogus"] {
        assert_eq!(get(&connect, unknown).json(), serde_json::json!({"orders": {}}), "{unknown}");
    }
}

#[test]
fn root_and_health_by_version() {
    for profile in Profile::ALL {
        let connect = Connect::start(profile);
        assert_eq!(get(&connect, "/").json()["version"], profile.version());
        let health = get(&connect, "/health");
        let expected = if profile >= Profile::V3_9 { 200 } else { 404 };
        assert_eq!(health.status, expected, "{profile:?}");
    }
    let confluent = Connect::with(Profile::V3_3).version("7.3.0-ccs").start();
    assert_eq!(get(&confluent, "/").json()["version"], "7.3.0-ccs");
}

#[test]
fn listing_before_2_3_is_an_array() {
    let connect = orders(Profile::V2_2, 1);
    assert_eq!(get(&connect, LISTING).json(), serde_json::json!(["orders"]));
    assert_eq!(get(&connect, "/connectors/orders/status").json()["name"], "orders");
}

#[test]
fn versions_in_the_status_since_4_1() {
    let connect = orders(Profile::V4_3, 1);
    let task = |connect: &Connect| get(connect, LISTING).json()["orders"]["status"]["tasks"][0].clone();
    assert_eq!(task(&connect)["version"], "1.0.0");
    connect.set_state("orders", Some(0), "RESTARTING");
    assert!(task(&connect).as_object().unwrap()["version"].is_null());
    assert!(task(&orders(Profile::V4_0, 1)).get("version").is_none());
}

#[test]
fn connector_that_the_listing_leaves_out() {
    let connect = orders(Profile::V3_9, 1);
    connect.connector("new").without_status();
    assert_eq!(get(&connect, "/connectors").json(), serde_json::json!(["new", "orders"]));
    assert!(get(&connect, LISTING).json().get("new").is_none());
    assert_eq!(get(&connect, "/connectors/new/status").message(), "No status found for connector new");
    let got = post(&connect, "/connectors/new/restart?onlyFailed=true");
    assert_eq!((got.status, got.message().as_str()), (404, "Status for connector new not found"));
}

#[test]
fn broken_connector_fails_the_listing_before_3_4() {
    for (profile, expected) in [(Profile::V3_3, 500), (Profile::V3_6, 200)] {
        let connect = orders(profile, 1);
        connect.connector("broken").plugin_missing();
        assert_eq!(get(&connect, LISTING).status, expected, "{profile:?}");
        assert_eq!(get(&connect, "/connectors/orders/status").status, 200);
    }
}

#[test]
fn odd_entries() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").task_ids([0, 3]).of_type("mirror");
    connect.set_state("orders", Some(3), "DREAMING");
    connect.show_worker_id("orders", Some(3), "10.9.9.9:8083");
    let status = get(&connect, "/connectors/orders/status").json();
    assert_eq!((&status["type"], &status["tasks"][1]["id"]), (&Value::from("mirror"), &Value::from(3)));
    assert_eq!(status["tasks"][1]["worker_id"], "10.9.9.9:8083");
    assert_eq!(get(&connect, "/connectors/orders/tasks/3/status").json()["state"], "DREAMING");
    let unknown = get(&connect, "/connectors/orders/tasks/9/status");
    assert_eq!(unknown.message(), "No status found for task orders-9");
}

#[test]
fn large_bodies_are_chunked_and_small_ones_are_not() {
    let connect = orders(Profile::V3_9, 1);
    assert!(get(&connect, LISTING).head.contains("Content-Length"));
    connect.fail_task("orders", 0, Failure::always().trace_of_bytes(9_000));
    let got = get(&connect, LISTING);
    assert!(got.head.contains("Transfer-Encoding: chunked"));
    let trace = got.json()["orders"]["status"]["tasks"][0]["trace"].as_str().unwrap().to_owned();
    assert_eq!(trace.len(), 9_000);
    let cause = trace.lines().rfind(|line| line.starts_with("Caused by: ")).unwrap();
    assert_eq!(cause, "Caused by: java.net.ConnectException: Connection refused (db1:5432)");
}

#[test]
fn several_requests_on_one_connection() {
    let connect = orders(Profile::V3_9, 1);
    let length = raw(&connect.url(), "GET", "/connectors").unwrap().len();
    let mut stream = dial(&connect.url()).unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /connectors HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer).unwrap();
        assert!(answer.ends_with(br#"["orders"]"#));
    }
    let connections: Vec<usize> = connect.requests().iter().map(|request| request.head.connection).collect();
    assert_eq!((connections, connect.connections()), (vec![1, 2, 2, 2], 2));
}

#[test]
fn wrong_methods_paths_and_types() {
    let connect = orders(Profile::V3_9, 1);
    for (method, target, header, status) in [
        ("POST", "/connectors/orders/status", "X: y", 405),
        ("GET", "/nonsense", "X: y", 404),
        ("GET", LISTING, "Accept: text/html", 406),
        ("POST", "/connectors/orders/restart", "Content-Type: text/plain", 415),
        ("POST", "/connectors/orders/tasks/one/restart", "X: y", 404),
    ] {
        let got = with_header(&connect, method, target, header);
        assert_eq!(got.status, status, "{method} {target}");
        assert!(got.message().starts_with(&format!("HTTP {status} ")) && !got.head.contains("Content-Type"));
    }
}

// --- status machine, restarts ----------------------------------------------------------------------------------

#[test]
fn task_that_heals_after_two_restarts() {
    let connect = orders(Profile::V3_9, 3);
    connect.fail_task("orders", 2, Failure::healing_after(2));
    let trace =
        |connect: &Connect| get(connect, LISTING).json()["orders"]["status"]["tasks"][2]["trace"].clone();
    let first = trace(&connect);
    assert_eq!(post(&connect, "/connectors/orders/tasks/2/restart").status, 204);
    assert_eq!(states(&connect), "RUNNING RUNNING RUNNING FAILED");
    assert_ne!(trace(&connect), first);
    assert_eq!(post(&connect, "/connectors/orders/tasks/2/restart").status, 204);
    assert_eq!(states(&connect), "RUNNING RUNNING RUNNING RUNNING");
    assert_eq!(connect.restarts(), ["orders/2"; 2]);
    assert_eq!((connect.count_restarts_of("orders", Some(2)), connect.restarts_of_unfailed().len()), (2, 0));
}

#[test]
fn connector_whose_start_fails_answers_500() {
    let connect = orders(Profile::V3_9, 1);
    connect.fail_connector("orders", Failure::healing_after(2));
    let got = post(&connect, "/connectors/orders/restart");
    assert_eq!((got.status, got.message().as_str()), (500, "Failed to start connector: orders"));
    assert_eq!(states(&connect), "FAILED RUNNING");
    assert_eq!(post(&connect, "/connectors/orders/restart").status, 204);
    assert_eq!(states(&connect), "RUNNING RUNNING");
    connect.fail_task("orders", 0, Failure::always().at_instantiation());
    assert_eq!(
        post(&connect, "/connectors/orders/tasks/0/restart").message(),
        "Failed to start task: orders-0"
    );
}

#[test]
fn all_failed_instances_by_one_call() {
    for profile in [Profile::V3_0, Profile::V3_9, Profile::V4_0, Profile::V4_3] {
        let connect = orders(profile, 3);
        connect.fail_connector("orders", Failure::healing_after(1));
        connect.fail_task("orders", 0, Failure::healing_after(1));
        connect.fail_task("orders", 2, Failure::always());
        let got = post(&connect, ALL);
        let body = got.json();
        let mut tasks: Vec<String> = body["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| format!("{} {}", it["id"], it["state"]))
            .collect();
        if profile >= Profile::V4_0 {
            assert!(tasks[0].starts_with('2'), "unsorted on 4.x");
            tasks.reverse();
        }
        assert_eq!((got.status, &body["connector"]["state"]), (202, &Value::from("RESTARTING")));
        assert_eq!(tasks, [r#"0 "RESTARTING""#, r#"1 "RUNNING""#, r#"2 "RESTARTING""#]);
        assert!(got.text().contains("Caused by: "), "the old trace is kept");
        assert_eq!(states(&connect), "RUNNING RUNNING RUNNING FAILED");
        assert_eq!(connect.restarts(), ["orders?includeTasks&onlyFailed"]);
        let counts = [None, Some(0), Some(1), Some(2)].map(|task| connect.count_restarts_of("orders", task));
        assert_eq!((counts, connect.restarts_of_unfailed().len()), ([1, 1, 0, 1], 0));
    }
}

#[test]
fn nothing_failed_is_a_202_without_effect() {
    let connect = orders(Profile::V3_9, 1);
    let got = post(&connect, ALL);
    assert_eq!((got.status, got.json()["connector"]["state"].clone()), (202, "RUNNING".into()));
    assert!(connect.executed().is_empty());
    assert_eq!(post(&connect, "/connectors/orders/restart?includeTasks=TRUE").status, 202);
    assert_eq!(post(&connect, "/connectors/orders/restart?includeTasks=yes").status, 204);
    assert_eq!(
        connect.restarts_of_unfailed(),
        ["orders was RUNNING", "orders/0 was RUNNING", "orders was RUNNING"]
    );
}

#[test]
fn restart_parameters_are_ignored_before_3_0() {
    let connect = orders(Profile::V2_8, 1);
    connect.fail_task("orders", 0, Failure::healing_after(1));
    assert_eq!(post(&connect, ALL).status, 204);
    assert_eq!(states(&connect), "RUNNING FAILED");
    assert_eq!(connect.restarts_of_unfailed(), ["orders was RUNNING"]);
}

#[test]
fn unknown_connectors_and_tasks() {
    let connect = orders(Profile::V3_9, 1);
    for (target, message) in [
        ("/connectors/nope/restart", "Unknown connector: nope"),
        ("/connectors/nope/restart?onlyFailed=true", "Unknown connector: nope"),
        ("/connectors/nope/tasks/0/restart", "Unknown connector: nope"),
        ("/connectors/orders/tasks/7/restart", "Unknown task: orders-7"),
        ("/connectors/orders/tasks/-1/restart", "Unknown task: orders--1"),
    ] {
        let got = post(&connect, target);
        assert_eq!((got.status, got.message().as_str()), (404, message));
    }
}

#[test]
fn status_lags_behind_the_restart() {
    let connect = orders(Profile::V3_9, 1);
    connect.connector("orders").status_lag(2);
    connect.fail_task("orders", 0, Failure::healing_after(1));
    post(&connect, "/connectors/orders/tasks/0/restart");
    assert_eq!([states(&connect), states(&connect)], ["RUNNING FAILED"; 2]);
    assert_eq!(states(&connect), "RUNNING RUNNING");
    connect.connector("orders").status_lag(Duration::from_millis(400));
    connect.fail_task("orders", 0, Failure::healing_after(1));
    post(&connect, "/connectors/orders/tasks/0/restart");
    assert_eq!(states(&connect), "RUNNING FAILED");
    connect.wait_for("the lag to pass", |it| it.shown_state("orders", Some(0)) == "RUNNING");
}

#[test]
fn slow_start_shows_what_the_call_leaves_behind() {
    let connect = orders(Profile::V3_9, 1);
    connect.connector("orders").slow_start(1);
    for (target, task, between) in [
        ("/connectors/orders/tasks/0/restart", Some(0), "FAILED"),
        ("/connectors/orders/restart", None, "UNASSIGNED"),
        (ALL, Some(0), "RESTARTING"),
    ] {
        match task {
            Some(task) => connect.fail_task("orders", task, Failure::healing_after(1)),
            None => connect.fail_connector("orders", Failure::healing_after(1)),
        }
        post(&connect, target);
        assert_eq!(connect.shown_state("orders", task), between, "{target}");
        states(&connect);
        assert_eq!(states(&connect), "RUNNING RUNNING", "{target}");
    }
}

#[test]
fn restart_while_starting_is_noticed() {
    let connect = orders(Profile::V3_9, 1);
    connect.connector("orders").slow_start(1);
    connect.fail_task("orders", 0, Failure::healing_after(1));
    post(&connect, "/connectors/orders/tasks/0/restart");
    post(&connect, "/connectors/orders/tasks/0/restart");
    assert_eq!(connect.restarts_of_unfailed(), ["orders/0 was STARTING"]);
}

#[test]
fn plain_restart_answers_after_a_slow_start() {
    let connect = orders(Profile::V3_9, 0);
    connect.connector("orders").slow_start(Duration::from_millis(80));
    connect.fail_connector("orders", Failure::healing_after(1));
    let begin = Instant::now();
    assert_eq!(post(&connect, "/connectors/orders/restart").status, 204);
    assert!(begin.elapsed() >= Duration::from_millis(80));
    assert_eq!(states(&connect), "RUNNING");
}

#[test]
fn failure_that_comes_back() {
    let connect = orders(Profile::V3_9, 1);
    connect.fail_task("orders", 0, Failure::healing_after(1).again_after(2));
    for _ in 0..2 {
        assert_eq!(states(&connect), "RUNNING FAILED");
        post(&connect, "/connectors/orders/tasks/0/restart");
        assert_eq!([states(&connect), states(&connect)], ["RUNNING RUNNING"; 2]);
    }
    connect.fail_connector("orders", Failure::always().after_running(1));
    assert_eq!(post(&connect, "/connectors/orders/restart").status, 204);
    assert_eq!([states(&connect), states(&connect)], ["RUNNING FAILED", "FAILED FAILED"]);
    assert!(connect.restarts_of_unfailed().is_empty());
}

#[test]
fn healing_by_the_test() {
    let connect = orders(Profile::V3_9, 1);
    connect.fail_task("orders", 0, Failure::always());
    connect.heal("orders", Some(0));
    assert_eq!(states(&connect), "RUNNING FAILED");
    post(&connect, ALL);
    assert_eq!(states(&connect), "RUNNING RUNNING");
}

#[test]
fn paused_connector_keeps_its_target() {
    let connect = orders(Profile::V3_9, 2);
    connect.fail_task("orders", 0, Failure::always());
    connect.pause("orders");
    assert_eq!(states(&connect), "PAUSED FAILED PAUSED");
    post(&connect, "/connectors/orders/tasks/0/restart");
    assert_eq!(states(&connect), "PAUSED PAUSED PAUSED");
    assert_eq!(ask(&connect.url(), "PUT", "/connectors/orders/resume").status, 202);
    assert_eq!(states(&connect), "RUNNING FAILED RUNNING");
}

#[test]
fn stopped_connector_and_its_stale_task() {
    let connect = orders(Profile::V3_9, 2);
    connect.fail_task("orders", 1, Failure::always());
    connect.stop_leaving_failed_tasks("orders");
    assert_eq!(states(&connect), "STOPPED FAILED");
    for _ in 0..3 {
        let got = post(&connect, "/connectors/orders/tasks/1/restart");
        assert_eq!(got.status, 409);
        assert!(got.message().contains("no known leader URL"));
    }
    assert_eq!(post(&connect, "/connectors/orders/restart").status, 204);
    assert_eq!(post(&connect, ALL).json()["tasks"][0]["state"], "RESTARTING");
    assert_eq!(states(&connect), "STOPPED");
    connect.resume("orders");
    assert_eq!(states(&connect), "RUNNING RUNNING FAILED");
}

#[test]
fn missing_secret_leaves_instances_stuck() {
    let connect = orders(Profile::V3_9, 1);
    connect.connector("orders").secret_missing();
    connect.fail_connector("orders", Failure::healing_after(1));
    connect.fail_task("orders", 0, Failure::healing_after(1));
    assert!(post(&connect, "/connectors/orders/restart").message().starts_with("Could not read properties"));
    assert_eq!(post(&connect, "/connectors/orders/tasks/0/restart").status, 500);
    assert_eq!(states(&connect), "UNASSIGNED FAILED");
    assert_eq!(post(&connect, ALL).status, 202);
    assert_eq!(states(&connect), "UNASSIGNED RESTARTING");
    connect.connector("orders").secret_back();
    post(&connect, ALL);
    assert_eq!(states(&connect), "UNASSIGNED RUNNING", "onlyFailed takes RESTARTING, never UNASSIGNED");
    post(&connect, "/connectors/orders/restart");
    assert_eq!(states(&connect), "RUNNING RUNNING");
}

#[test]
fn restart_of_what_is_assigned_to_nobody() {
    let connect = orders(Profile::V3_9, 1);
    connect.fail_task("orders", 0, Failure::healing_after(1));
    connect.connector("orders").assigned_to_nobody();
    assert_eq!(post(&connect, ALL).json()["tasks"][0]["state"], "RESTARTING");
    assert_eq!(states(&connect), "RUNNING FAILED");
    assert_eq!(post(&connect, "/connectors/orders/tasks/0/restart").status, 409);
    assert!(connect.executed().is_empty());
}

#[test]
fn standalone_mode() {
    let connect = Connect::with(Profile::V3_9).standalone().start();
    connect.connector("orders").tasks(1);
    connect.fail_connector("orders", Failure::always());
    let got = post(&connect, "/connectors/orders/tasks/7/restart");
    assert_eq!((got.status, got.message().as_str()), (404, "Task orders-7 not found"));
    assert_eq!(states(&connect), "FAILED RUNNING FAILED", "a phantom");
    let got = post(&connect, "/connectors/orders/restart");
    assert_eq!(got.message(), "Failed to transition connector orders to state STARTED");
    assert_eq!(post(&connect, "/connectors/nope/restart").status, 500);
    connect.heal("orders", None);
    assert_eq!(post(&connect, ALL).json()["connector"]["state"], "RUNNING", "answered once it is done");
}

#[test]
fn busy_worker_answers_500_and_does_it_later() {
    let connect = orders(Profile::V3_9, 1);
    connect.fail_task("orders", 0, Failure::healing_after(1));
    connect.time_limits(Duration::from_millis(30), Duration::from_secs(30));
    connect.busy_for(Duration::from_millis(600));
    let got = post(&connect, "/connectors/orders/tasks/0/restart");
    assert!(got.message().starts_with("Request timed out. The worker is currently "));
    assert_eq!(states(&connect), "RUNNING FAILED", "the listing is served from memory");
    connect.wait_for("the late restart", |it| it.count_restarts_of("orders", Some(0)) == 1);
    assert_eq!(states(&connect), "RUNNING RUNNING");
    connect.busy_for(Duration::from_millis(20));
    assert_eq!(post(&connect, "/connectors/orders/tasks/0/restart").status, 204, "short enough to wait for");
}

// --- several workers -------------------------------------------------------------------------------------------

#[test]
fn killed_worker_is_refused_and_comes_back() {
    let connect = Connect::with(Profile::V3_9).workers(2).start();
    connect.connector("orders").tasks(2);
    connect.fail_task("orders", 1, Failure::always());
    connect.kill_worker(1);
    assert!(dial(&connect.url_of(1)).is_err());
    let restart = "/connectors/orders/tasks/1/restart";
    assert_eq!(post(&connect, ALL).status, 202, "hollow: its worker is dead");
    assert!(post(&connect, restart).message().ends_with("java.net.ConnectException: Connection refused"));
    connect.notice_death_of(1);
    assert!(post(&connect, restart).message().contains("no known leader URL"));
    assert_eq!((states(&connect), connect.executed().len()), ("RUNNING RUNNING FAILED".to_owned(), 0));
    connect.reassign_from(1);
    assert_eq!(states(&connect), "RUNNING RUNNING RUNNING");
    connect.revive_worker(1);
    assert_eq!(ask(&connect.url_of(1), "GET", LISTING).status, 200);
    assert!(dial(&connect.closed_url()).is_err());
}

#[test]
fn dead_leader_and_its_follower() {
    let connect = Connect::with(Profile::V3_9).workers(2).start();
    connect.connector("orders").tasks(1).on_worker(1);
    connect.fail_task("orders", 0, Failure::healing_after(1));
    connect.kill_worker(0);
    assert!(ask(&connect.url_of(1), "POST", ALL).message().ends_with("Connection refused"));
    connect.notice_death_of(0);
    assert_eq!(ask(&connect.url_of(1), "POST", ALL).status, 202);
    assert_eq!(connect.shown_state("orders", Some(0)), "RUNNING");
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
        let answers: Vec<u16> = (clusters.iter())
            .flat_map(|connect| {
                connect.connector(name).on_worker(0);
                [0, 1].map(|worker| {
                    ask(&connect.url_of(worker), "POST", &format!("/connectors/{encoded}/restart")).status
                })
            })
            .collect();
        assert_eq!(answers, expected, "{name}");
    }
    assert!(clusters[1].restarts().contains(&"a/b".to_owned()), "logged by its name, also when refused");
    let page = ask(&clusters[1].url(), "POST", "/connectors/a%2Fb/restart");
    assert!(page.head.contains("text/html") && page.text().contains("Ambiguous URI path separator"));
}

#[test]
fn forwarded_errors_by_version() {
    let restart = "/connectors/a;b/restart".replace(';', "%3B");
    for (profile, status) in [(Profile::V3_3, 500), (Profile::V3_6, 404)] {
        let connect = Connect::with(profile).workers(2).start();
        connect.connector("a;b").on_worker(0);
        connect.fail_connector("a;b", Failure::always());
        assert_eq!(post(&connect, &restart).message(), "Failed to start connector: a;b", "not forwarded");
        assert_eq!(ask(&connect.url_of(1), "POST", &restart).status, status, "{profile:?}");
    }
    let connect = Connect::with(Profile::V3_9).workers(2).start();
    connect.connector("orders").on_worker(0);
    let got = ask(&connect.url_of(1), "POST", "/connectors/orders/restart?forward=false");
    assert!(got.message().contains("conflicting operation"));
}

#[test]
fn forwarded_call_is_cut_since_4_0_but_executed() {
    for (profile, status) in [(Profile::V3_9, 204), (Profile::V4_3, 500)] {
        let connect = Connect::with(profile).workers(2).start();
        connect.time_limits(Duration::from_secs(90), Duration::from_millis(40));
        connect.connector("orders").on_worker(0).slow_start(Duration::from_millis(120));
        connect.fail_connector("orders", Failure::healing_after(1));
        let got = ask(&connect.url_of(1), "POST", "/connectors/orders/restart");
        assert_eq!(got.status, status, "{profile:?}: {}", got.text());
        connect.wait_for("the start", |it| it.shown_state("orders", None) == "RUNNING");
    }
}

#[test]
fn old_follower_cannot_read_its_leaders_answer() {
    let connect = Connect::with(Profile::V4_3).and_worker(Profile::V3_9).start();
    connect.connector("orders").tasks(2);
    connect.fail_task("orders", 0, Failure::healing_after(1));
    let got = ask(&connect.url_of(1), "POST", ALL);
    assert!(got.status == 500 && got.message().contains(r#"Unrecognized field "version""#));
    assert_eq!(connect.count_restarts_of("orders", Some(0)), 1);
}

#[test]
fn starting_worker() {
    let connect = orders(Profile::V3_9, 1);
    connect.starts_up(0, 2, 1, 1);
    let page = get(&connect, LISTING);
    assert!(page.status == 404 && page.head.contains("text/html;charset=iso-8859-1"));
    let json = with_header(&connect, "GET", LISTING, "Accept: application/json");
    assert_eq!((json.status, json.json()["status"].clone()), (404, "404".into()));
    assert_eq!(get(&connect, LISTING).text(), "{}");
    let got = get(&connect, LISTING).json()["orders"]["status"].clone();
    assert_eq!((&got["type"], &got["tasks"][0]["state"]), (&"unknown".into(), &"UNASSIGNED".into()));
    assert_eq!(states(&connect), "RUNNING RUNNING");
}

// --- scripted answers ------------------------------------------------------------------------------------------

#[test]
fn rules_take_turns() {
    let connect = orders(Profile::V3_9, 1);
    connect.fail_task("orders", 0, Failure::healing_after(1));
    connect.on_restart("orders").answers(409).times(2).then(Answer::error(500, "Failed")).times(1);
    let statuses: Vec<u16> =
        (0..4).map(|_| post(&connect, "/connectors/orders/tasks/0/restart").status).collect();
    assert_eq!(statuses, [409, 409, 500, 204]);
    assert_eq!((connect.restarts().len(), connect.count_restarts_of("orders", Some(0))), (4, 1));
    assert_eq!([connect.take_restarts().len(), connect.take_restarts().len()], [4, 0]);
    let answered: Vec<Option<u16>> = connect.requests().iter().map(|request| request.answered).collect();
    assert_eq!(answered, [Some(409), Some(409), Some(500), Some(204)]);
}

#[test]
fn rules_choose_their_requests() {
    let connect = Connect::with(Profile::V3_9).workers(2).start();
    connect.connector("orders").tasks(2);
    connect.on_request("GET", "/connectors/*/status").answers(403);
    connect.on_this_restart("orders/1").after(1).answers(429);
    connect.on_root().at_worker(1).answers(503);
    assert_eq!(get(&connect, "/connectors/orders/status").status, 403);
    assert_eq!(post(&connect, "/connectors/orders/tasks/0/restart").status, 204);
    let second: Vec<u16> =
        (0..2).map(|_| post(&connect, "/connectors/orders/tasks/1/restart").status).collect();
    assert_eq!(second, [204, 429]);
    assert_eq!(
        [ask(&connect.url(), "GET", "/").status, ask(&connect.url_of(1), "GET", "/").status],
        [200, 503]
    );
    connect.forget_rules();
    assert_eq!(get(&connect, "/connectors/orders/status").status, 200);
}

#[test]
fn answers_of_every_kind() {
    let connect = orders(Profile::V3_9, 1);
    for (answer, status, part) in [
        (Answer::from(401), 401, "User cannot access the resource."),
        (Answer::from(503), 503, r#""error_code":503"#),
        (Answer::html(503, "Service Unavailable"), 503, "<h2>HTTP ERROR 503"),
        (Answer::html(200, "Please log in"), 200, "<html>"),
        (Answer::json(200, "{}"), 200, "{}"),
        (Answer::text(502, "text/plain", "no upstream"), 502, "no upstream"),
        (Answer::normal().replacing("RUNNING", "ODD"), 200, r#""state":"ODD""#),
        (Answer::normal().chunked(), 200, "RUNNING"),
        (Answer::redirect(302, "http://elsewhere.example/"), 302, ""),
    ] {
        connect.on_listing().answers(answer).times(1);
        let got = get(&connect, LISTING);
        assert!(got.status == status && got.text().contains(part), "{status} {part}: {}", got.text());
    }
    connect.on_listing().answers(Answer::redirect(302, "http://elsewhere.example/")).times(1);
    assert!(get(&connect, LISTING).head.contains("Location: http://elsewhere.example/\r\n"));
    connect.on_listing().answers(Answer::normal().edited(|body| [&body[..], b"\xff\xfe"].concat())).times(1);
    assert!(get(&connect, LISTING).body.ends_with(b"\xff\xfe"));
}

#[test]
fn executed_in_spite_of_the_answer() {
    let connect = orders(Profile::V3_9, 1);
    connect.fail_task("orders", 0, Failure::healing_after(1));
    connect.on_restart("orders").answers(Answer::error(500, "Request timed out").but_executed());
    assert_eq!(post(&connect, ALL).status, 500);
    assert_eq!(connect.count_restarts_of("orders", Some(0)), 1);
    connect.on_restart("sales").answers(Answer::reset().but_executed());
    connect.connector("sales").tasks(0);
    connect.fail_connector("sales", Failure::healing_after(1));
    assert!(raw(&connect.url(), "POST", "/connectors/sales/restart").is_err());
    assert_eq!(connect.count_restarts_of("sales", None), 1);
}

#[test]
fn stories_told_when_a_rule_is_hit() {
    let connect = Connect::with(Profile::V3_9).workers(2).start();
    connect.connector("orders").tasks(1);
    connect.on_restart("orders").runs(|cluster| cluster.delete("orders"));
    assert_eq!(post(&connect, "/connectors/orders/tasks/0/restart").message(), "Unknown connector: orders");
    connect.on_listing().runs(|cluster| cluster.kill_worker(0));
    assert!(raw(&connect.url(), "GET", LISTING).unwrap_or_default().is_empty(), "killed by its own request");
    assert!(dial(&connect.url()).is_err());
}

#[test]
fn answers_that_are_cut_or_reset() {
    let connect = orders(Profile::V3_9, 1);
    let whole = raw(&connect.url(), "GET", LISTING).unwrap();
    connect.on_listing().answers(Answer::normal().cut_after(10)).times(1);
    let cut = raw(&connect.url(), "GET", LISTING).unwrap();
    assert!(cut.len() < whole.len() && whole.starts_with(&cut), "the whole length is promised");
    connect.on_listing().answers(Answer::close()).times(1);
    assert_eq!(raw(&connect.url(), "GET", LISTING).unwrap(), b"");
    for reset in [Answer::reset(), Answer::normal().reset_after(10)] {
        connect.on_listing().answers(reset).times(1);
        let error = raw(&connect.url(), "GET", LISTING).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
    connect.on_listing().answers(Answer::raw("SSH-2.0-OpenSSH_9.6\r\n")).times(1);
    assert_eq!(raw(&connect.url(), "GET", LISTING).unwrap(), b"SSH-2.0-OpenSSH_9.6\r\n");
    connect.fail_task("orders", 0, Failure::always().trace_of_bytes(20_000));
    connect.on_listing().answers(Answer::normal().cut_after(9_000)).times(1);
    let cut = raw(&connect.url(), "GET", LISTING).unwrap();
    assert!(!cut.ends_with(b"0\r\n\r\n"), "a chunked body may be cut too");
}

#[test]
fn answers_that_take_their_time() {
    let connect = orders(Profile::V3_9, 0);
    connect.on_root().answers(Answer::json(200, "{}").byte_every(Duration::from_millis(20)));
    connect.on_names().answers(Answer::normal().delayed(Duration::from_millis(40)));
    for (target, body) in [("/", "{}"), ("/connectors", "[\"orders\"]")] {
        let begin = Instant::now();
        assert_eq!(get(&connect, target).text(), body);
        assert!(begin.elapsed() >= Duration::from_millis(40), "{target}");
    }
    let slow_head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]";
    connect.on_status("slow").answers(Answer::raw(slow_head).byte_every(Duration::from_millis(2)));
    assert_eq!(get(&connect, "/connectors/slow/status").text(), "[]");
    connect.on_listing().answers(Answer::hang());
    let mut stream = dial(&connect.url()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let error = exchange(&mut stream, "GET", LISTING, "").unwrap_err();
    assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
}

#[test]
fn body_without_end() {
    let connect = orders(Profile::V3_9, 0);
    connect.on_listing().answers(Answer::json(200, r#"{"orders":"#).then_endlessly(" "));
    let mut stream = dial(&connect.url()).unwrap();
    stream.write_all(b"GET /connectors?expand=status HTTP/1.1\r\n\r\n").unwrap();
    let read = io::copy(&mut stream.take(5_000_000), &mut io::sink()).unwrap();
    assert_eq!(read, 5_000_000);
}

#[test]
fn everything_ends_with_the_value() {
    let connect = orders(Profile::V3_9, 0);
    connect.on_listing().answers(Answer::hang()).times(1).then(Answer::json(200, "").then_endlessly("x"));
    let url = connect.url();
    let mut open: Vec<TcpStream> = (0..3).map(|_| dial(&url).unwrap()).collect();
    for stream in &mut open[..2] {
        stream.write_all(b"GET /connectors?expand=status HTTP/1.1\r\n\r\n").unwrap();
    }
    connect.wait_for("both requests", |it| it.listings() == 2);
    let begin = Instant::now();
    drop(connect); // one thread hangs, one writes without end, one waits for a request; all are joined
    assert!(begin.elapsed() < Duration::from_secs(5) && dial(&url).is_err());
}

#[test]
#[should_panic(expected = "a thread of the simulated Connect has panicked")]
fn story_that_panics_fails_the_test() {
    let connect = orders(Profile::V3_9, 0);
    connect.on_root().runs(|_| panic!("on purpose, as a failed assertion in a story would"));
    let _ = raw(&connect.url(), "GET", "/");
}

// --- security --------------------------------------------------------------------------------------------------

#[test]
fn basic_authentication() {
    let connect = Connect::with(Profile::V3_9).basic_auth("alice", "s3cret").start();
    for header in ["X: y", "Authorization: Basic YWxpY2U6d3Jvbmc=", "Authorization: Bearer s3cret"] {
        let got = with_header(&connect, "GET", "/connectors", header);
        assert_eq!((got.status, got.text().as_str()), (401, "User cannot access the resource."));
        assert!(
            got.head.contains("Content-Type: application/json") && !got.head.contains("WWW-Authenticate")
        );
    }
    assert_eq!(get(&connect, "/nonsense").status, 404, "the filter comes after the matching");
    let right = "Authorization: Basic YWxpY2U6czNjcmV0";
    assert_eq!(with_header(&connect, "GET", "/connectors", right).status, 200);
    let authorized: Vec<bool> = connect.requests().iter().map(|request| request.authorized).collect();
    assert_eq!(authorized, [false, false, false, false, true]);
    let guarded = Connect::with(Profile::V3_9).bearer_token("t0ken").start();
    assert_eq!(with_header(&guarded, "GET", "/connectors", "Authorization: Bearer t0ken").status, 200);
}

/// A TLS exchange as a client that trusts this authority, with or without a certificate of its own.
fn tls_exchange(connect: &Connect, trusts: &Authority, client: Option<&Authority>) -> io::Result<Vec<u8>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusts.ca_pem().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => config.with_no_client_auth(),
        Some(client) => {
            let (certificate, key) = client.client_pem();
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            config.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    exchange(&mut StreamOwned::new(session, dial(&connect.url())?), "GET", "/connectors", "")
}

#[test]
fn certificates_right_and_wrong() {
    let (ours, other) = (Authority::new(), Authority::named("Another CA"));
    let good = Connect::with(Profile::V3_9).tls(&ours, Leaf::Good).start();
    assert!(good.url().starts_with("https://"));
    assert_eq!(taken_apart(&tls_exchange(&good, &ours, None).unwrap()).text(), "[]");
    let refused = |connect: &Connect, trusts| tls_exchange(connect, trusts, None).unwrap_err().to_string();
    assert!(refused(&good, &other).contains("UnknownIssuer"), "{}", refused(&good, &other));
    for (leaf, reason) in [
        (Leaf::WrongHost, "not valid for name"),
        (Leaf::Expired, "expired"),
        (Leaf::NotYetValid, "not valid yet"),
    ] {
        let connect = Connect::with(Profile::V3_9).tls(&ours, leaf).start();
        assert!(refused(&connect, &ours).contains(reason), "{}", refused(&connect, &ours));
        assert!(connect.requests().is_empty() && connect.connections() > 0);
    }
}

#[test]
fn client_certificate_required() {
    let (ours, other) = (Authority::new(), Authority::named("Another CA"));
    let connect = Connect::with(Profile::V3_9).mutual_tls(&ours, &ours).start();
    assert_eq!(taken_apart(&tls_exchange(&connect, &ours, Some(&ours)).unwrap()).status, 200);
    for client in [None, Some(&other)] {
        assert!(tls_exchange(&connect, &ours, client).is_err());
    }
    assert_eq!(connect.requests().len(), 1);
}

#[test]
fn slow_handshake() {
    let ours = Authority::new();
    let delay = Duration::from_millis(60);
    let connect = Connect::with(Profile::V3_9).tls(&ours, Leaf::Good).handshake_delay(delay).start();
    let begin = Instant::now();
    assert_eq!(taken_apart(&tls_exchange(&connect, &ours, None).unwrap()).status, 200);
    assert!(begin.elapsed() >= delay);
}

#[test]
fn handshake_that_never_ends_does_not_outlive_the_value() {
    let ours = Authority::new();
    let connect = Connect::with(Profile::V3_9).tls(&ours, Leaf::Good).handshake_delay(Duration::MAX).start();
    let mut stream = dial(&connect.url()).unwrap();
    connect.wait_for("the connection", |it| it.connections() == 1);
    drop(connect);
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn faults_under_tls() {
    let ours = Authority::new();
    let connect = Connect::with(Profile::V3_9).tls(&ours, Leaf::Good).start();
    connect.on_names().answers(Answer::reset()).times(1).then(Answer::json(200, "[1,2,3]").cut_after(3));
    assert_eq!(tls_exchange(&connect, &ours, None).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert!(tls_exchange(&connect, &ours, None).unwrap().ends_with(b"[1,"));
}

// --- a huge cluster --------------------------------------------------------------------------------------------

#[test]
fn huge_listing_is_streamed() {
    let connect = Connect::start(Profile::V3_9);
    connect.huge(Huge::failed(3, 4, 1_000));
    let listing = get(&connect, LISTING).json();
    let task = &listing[Huge::name(2)]["status"]["tasks"][3];
    assert_eq!((&task["id"], &task["state"]), (&3.into(), &"FAILED".into()));
    let trace = task["trace"].as_str().unwrap();
    assert!(
        trace.len() >= 1_000
            && trace.contains("Caused by: com.example.WriteException: table huge-000002/3 is locked")
    );
    let all = format!("/connectors/{}/restart?includeTasks=true&onlyFailed=true", Huge::name(1));
    let got = post(&connect, &all);
    assert_eq!((got.status, got.json()["tasks"][0]["state"].clone()), (202, "RESTARTING".into()));
    assert_eq!(post(&connect, &format!("/connectors/{}/tasks/0/restart", Huge::name(1))).status, 204);
    assert_eq!((connect.count_restarts_of(&Huge::name(1), Some(0)), connect.huge_restarts()), (2, (4, 2)));
    assert_eq!(get(&connect, "/connectors").json().as_array().unwrap().len(), 3);
    assert_eq!(get(&connect, "/connectors/huge-000000/status").json()["tasks"][0]["state"], "FAILED");
    connect.huge(Huge::healthy(2, 2));
    assert!(!get(&connect, LISTING).text().contains("FAILED"));
}
