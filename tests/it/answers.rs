//! Every answer that Connect can give to a restart, and what guardian makes of it: the action, the exit code, the
//! charge, what was really sent, and what the next run does. The other ways in which a run ends are in `endings`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::sim::{Answer, Cluster, Connect, Failure, Profile, answers as words};
use crate::support::{Guardian, actions, each, instance};

/// One row of the table of restart answers.
struct Row {
    answer: Answer,
    /// How often the call is sent within one run.
    sent: usize,
    action: &'static str,
    /// Part of the instance's `error`; nothing for none.
    says: &'static str,
    charged: bool,
    /// The document's `error.kind`; nothing for exit code 0.
    kind: &'static str,
}

fn row(answer: impl Into<Answer>, action: &'static str, says: &'static str) -> Row {
    Row { answer: answer.into(), sent: 1, action, says, charged: false, kind: "" }
}

impl Row {
    fn charged(self) -> Self {
        Self { charged: true, ..self }
    }

    fn error(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }

    fn sent(self, sent: usize) -> Self {
        Self { sent, ..self }
    }
}

/// Connect took it.
fn taken(answer: impl Into<Answer>) -> Row {
    row(answer, "restarted", "").charged()
}

/// The worker that has to do it was not reached: as "not now", but the run has not done its work.
fn not_reached(answer: impl Into<Answer>, says: &'static str) -> Row {
    not_now(answer, says).error("restart")
}

/// Surely not taken: sent four times, never charged.
fn not_now(answer: impl Into<Answer>, says: &'static str) -> Row {
    row(answer, "deferred", says).sent(4)
}

fn refused(answer: impl Into<Answer>, says: &'static str) -> Row {
    row(answer, "failed", says).error("restart")
}

/// Connect may have done it: charged, and never sent twice.
fn unknown(answer: impl Into<Answer>, says: &'static str) -> Row {
    row(answer, "unknown", says).charged().error("restart")
}

fn page(status: u16) -> Answer {
    Answer::html(status, "Somebody else")
}

fn rows() -> Vec<Row> {
    let connect = Answer::error;
    // What 2.8.1, 3.0.1 and 3.1 to 3.3.2 make of any answer of the worker behind (KAFKA-9747, KAFKA-13702).
    let forwarded = |text: &str| connect(500, &format!("Error trying to forward REST request: {text}"));
    let twice = |text: &str| forwarded(&format!("Error trying to forward REST request: {text}"));
    // What every version says of broken transport between workers.
    let broken = |text: &str| connect(500, &format!("IO Error trying to forward REST request: {text}"));
    let mesh = |status, text: &str| Answer::text(status, "text/plain", text);
    vec![
        taken(Answer::normal()),
        taken(Answer::normal().delayed(Duration::from_secs(2))),
        // Confluent Cloud and gateways that keep the status and lose the rest.
        taken(200),
        taken(201),
        taken(202),
        taken(Answer::json(200, "{}")),
        taken(Answer::json(202, r#"{"name": "orders"}"#)),
        row(connect(500, "Failed to start task: orders-0").but_executed(), "failed", "Failed to start task")
            .charged(),
        row(forwarded("Failed to start task: orders-0").but_executed(), "failed", "Failed to start task")
            .charged(),
        row(404, "gone", "HTTP 404"),
        row(connect(404, "Unknown task: orders-0"), "gone", "Unknown task"),
        row(forwarded("Unknown task: orders-0"), "gone", "Unknown task"),
        row(forwarded("Unknown connector: orders"), "gone", "Unknown connector"),
        row(twice("Connector orders not found"), "gone", "Connector orders not found"),
        row(forwarded("HTTP 404 Not Found"), "gone", "HTTP 404 Not Found"),
        // Not now.
        not_now(409, words::REBALANCE),
        not_now(connect(409, words::NO_LEADER), words::NO_LEADER),
        not_now(page(429), "HTTP 429"),
        not_now(connect(500, words::REBALANCE_EXPECTED), words::REBALANCE_EXPECTED),
        not_now(connect(500, words::REFUSED), words::REFUSED),
        not_now(503, "HTTP 503: This worker is still starting up"),
        not_now(forwarded(words::REFUSED), words::REFUSED),
        not_now(twice(words::REBALANCE), words::REBALANCE),
        not_now(forwarded(words::REBALANCE_EXPECTED), words::REBALANCE_EXPECTED),
        not_now(forwarded(words::REBALANCE), words::REBALANCE),
        not_now(forwarded(words::NO_LEADER), words::NO_LEADER),
        not_now(forwarded(words::CONFLICT), words::CONFLICT),
        // "No known leader URL" before KAFKA-9883: a worker 2.3.1 says it of a task whose connector was scaled down.
        not_now(connect(500, "\"uriTemplate\" parameter is null."), "uriTemplate"),
        // The workers, or a mesh before them, do not reach each other: rest.advertised.host.name that only a container
        // knows (cp-docker-images#436), a NetworkPolicy, listeners.https with a private CA.
        not_reached(broken("java.net.UnknownHostException: connect-1: Name or service not known"), "connect-1"),
        not_reached(broken("java.net.NoRouteToHostException: No route to host"), "No route to host"),
        not_reached(broken("java.net.SocketException: Could not connect to /224.0.0.1:8083"), "224.0.0.1"),
        not_reached(broken("javax.net.ssl.SSLHandshakeException: PKIX path building failed"), "PKIX"),
        not_reached(
            broken("javax.net.ssl.SSLHandshakeException: Unrecognized SSL message, plaintext connection?"),
            "plaintext connection",
        ),
        // Not an "IO Error", in any version.
        not_reached(forwarded("Invalid URI host: null (authority: connect_1:8083)"), "Invalid URI host"),
        not_reached(connect(500, "Failed to start RestClient: keystore.jks"), "Failed to start RestClient"),
        not_reached(forwarded("Failed to start RestClient: keystore.jks"), "Failed to start RestClient"),
        not_reached(mesh(503, "no healthy upstream"), "no healthy upstream"),
        not_reached(
            mesh(503, "upstream connect error or disconnect/reset before headers. reset reason: connection failure"),
            "connection failure",
        ),
        // HAProxy without a live server, ingress-nginx without an endpoint or at its limit of requests (ingress-nginx#2250).
        not_reached(
            Answer::text(503, "text/html", "<h1>503 Service Unavailable</h1>\nNo server is available to handle this request."),
            "HTTP 503",
        ),
        not_reached(
            Answer::text(
                503,
                "text/html",
                "<head><title>503 Service Temporarily Unavailable</title></head><hr><center>nginx</center>",
            ),
            "HTTP 503",
        ),
        // Refused.
        row(400, "failed", "cannot address this name").charged().error("restart"),
        refused(connect(400, "bad"), "HTTP 400: bad"),
        // ingress-nginx#7176: no word on the name.
        refused(
            Answer::text(400, "text/html", "<html><head><title>400 No required SSL certificate was sent</title>"),
            "HTTP 400: No required SSL certificate was sent",
        ),
        row(401, "failed", "HTTP 401: User cannot access the resource.").error("unauthorized"),
        row(page(401), "failed", "HTTP 401").error("unauthorized"),
        row(page(403), "failed", "HTTP 403").error("unauthorized"),
        // As Connect's own JSON it is a word on this connector (an authorizing REST extension).
        refused(connect(403, "not yours"), "HTTP 403: not yours"),
        refused(page(404), "HTTP 404"),
        refused(405, "HTTP 405"),
        refused(page(407), "HTTP 407"),
        refused(
            Answer::redirect(302, "http://localhost:1/login"),
            "HTTP 302: redirects to http://localhost:1",
        ),
        refused(
            Answer::redirect(308, "/elsewhere"),
            "HTTP 308: redirects to another path of the same server",
        ),
        // Unknown.
        unknown(page(200), "HTTP 200"),
        unknown(Answer::json(200, r#"{"error": "upstream"}"#), "HTTP 200"),
        unknown(connect(202, "not really"), "HTTP 202: not really"),
        unknown(forwarded("Request timed out").but_executed(), "Request timed out"),
        unknown(broken("java.io.EOFException: HttpConnectionOverHTTP"), "EOFException"),
        unknown(
            mesh(503, "upstream connect error or disconnect/reset before headers. reset reason: connection termination")
                .but_executed(),
            "connection termination",
        ),
        unknown(
            connect(500, "Request timed out. The worker is currently starting the connector").but_executed(),
            "Request timed out",
        ),
        unknown(words_500(words::IDLE_TIMEOUT).but_executed(), "Idle timeout expired"),
        unknown(words_500(words::UNRECOGNIZED_VERSION).but_executed(), "Unrecognized field"),
        unknown(words_500(words::NO_SECRET), words::NO_SECRET),
        // It is a config provider of the connector that was refused, so Connect has tried the restart.
        unknown(words_500("java.net.ConnectException: Connection refused (vault:8200)"), "vault:8200"),
        unknown(Answer::json(500, r#"{"error_code":500,"message":null}"#), "HTTP 500"),
        unknown(page(500), "HTTP 500"),
        unknown(page(502), "HTTP 502"),
        unknown(page(503), "HTTP 503"),
        unknown(page(504).but_executed(), "HTTP 504"),
        unknown(Answer::json(503, r#"{"error_code":5"#), "HTTP 503"),
        unknown(connect(503, "starting").cut_after(10), "HTTP 503"),
        unknown(Answer::reset(), "Connect may have done it"),
        unknown(Answer::reset().but_executed(), "Connect may have done it"),
        unknown(Answer::close(), "Connect may have done it"),
        unknown(Answer::raw("SSH-2.0-OpenSSH_9.6\r\n"), "Connect may have done it"),
        unknown(Answer::raw("HTTP/1.1 204"), "Connect may have done it"),
        unknown(Answer::hang(), "under way when the run ended"),
    ]
}

fn words_500(message: &str) -> Answer {
    Answer::error(500, message)
}

#[test]
fn each_answer_to_a_task_restart_has_its_action_charge_and_exit_code() {
    each(rows(), |row| {
        let connect = Connect::start(Profile::V3_9);
        connect.connector("orders").tasks(2);
        connect.fail_task("orders", 0, Failure::always());
        connect.on_this_restart("orders/0").answers(row.answer.clone());
        let guardian = Guardian::at(&connect.url()).env("GUARDIAN_DEADLINE", "30s");
        let guardian =
            if row.says.contains("under way") { guardian.env("GUARDIAN_DEADLINE", "3s") } else { guardian };
        let (document, code) = guardian.run_json();
        let attempts = u64::from(row.charged);

        let line = instance(&document, "orders", Some(0));
        assert_eq!(actions(&document), [format!("orders/0 {}", row.action)], "{document:#}");
        assert!(line["error"].as_str().unwrap_or_default().contains(row.says), "{:?} in {line:#}", row.says);
        assert_eq!(line["error"].is_null(), row.says.is_empty(), "{line:#}");
        assert_eq!(document["error"]["kind"].as_str().unwrap_or_default(), row.kind, "{document:#}");
        assert_eq!((code, &document["ok"]), (i32::from(!row.kind.is_empty()), &json!(row.kind.is_empty())));
        assert_eq!(line["attempts"], attempts, "{line:#}");
        assert_eq!(guardian.attempts("orders", Some(0)), Some(attempts), "{line:#}");
        assert_eq!(connect.take_restarts(), vec!["orders/0"; row.sent], "{line:#}");
        within_ten_seconds(&connect);

        // The next run: what was charged waits for two runs (the ratio is 2), what was not is due at once.
        connect.forget_rules();
        let (next, code) = guardian.run_json();
        let then = if row.charged { "orders/0 waiting" } else { "orders/0 restarted" };
        assert_eq!((actions(&next), code), (vec![then.to_owned()], 0), "after {line:#}");
        assert_eq!(connect.take_restarts().len(), usize::from(!row.charged));
        assert_eq!(guardian.attempts("orders", Some(0)), Some(1));
        assert_eq!(connect.restarts_of_unfailed(), Vec::<String>::new());
    });
}

/// Asserts that all tries of the one call were made within ten seconds.
fn within_ten_seconds(connect: &Connect) {
    let tries: Vec<_> =
        connect.requests().into_iter().filter(|request| request.head.method == "POST").collect();
    let (first, last) = (tries.first().expect("a try"), tries.last().expect("a try"));
    assert!(last.at - first.at < Duration::from_secs(10), "{:?}", last.at - first.at);
}

#[test]
fn a_refusal_that_passes_is_retried_within_the_run() {
    for answer in [Answer::status(409), Answer::status(503), Answer::error(500, words::REFUSED)] {
        let connect = Connect::start(Profile::V3_9);
        connect.connector("orders").tasks(1);
        connect.fail_task("orders", 0, Failure::healing_after(1));
        connect.on_restart("orders").answers(answer).times(1);
        let guardian = Guardian::at(&connect.url());
        let (document, code) = guardian.run_json();
        assert_eq!((actions(&document), code), (vec!["orders/0 restarted".to_owned()], 0));
        assert_eq!(connect.restarts(), ["orders/0"; 2]);
        assert_eq!(guardian.attempts("orders", Some(0)), Some(1));
        assert_eq!(actions(&guardian.run_json().0), ["orders/0 recovered"]);
        assert_eq!(connect.restarts_of_unfailed(), Vec::<String>::new());
    }
}

#[test]
fn the_second_404_in_a_row_is_charged() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("a;b").tasks(1);
    connect.fail_task("a;b", 0, Failure::always());
    connect.on_restart("a;b").answers(404);
    let guardian = Guardian::at(&connect.url()).env("MAX_RESTART", "2").env("EXPONENTIAL_RATIO", "1");
    let mut story = Vec::new();
    for _ in 0..4 {
        let (document, code) = guardian.run_json();
        story.push((actions(&document).concat(), code, guardian.attempts("a;b", Some(0)).unwrap()));
    }
    let expected = [("gone", 0, 0), ("failed", 1, 1), ("failed", 1, 2), ("gave_up", 0, 2)];
    assert_eq!(story, expected.map(|(action, code, attempts)| (format!("a;b/0 {action}"), code, attempts)));
    // Before the last its connector's own instance is tried, which is not found either.
    assert_eq!(connect.restarts(), ["a;b/0", "a;b/0", "a;b", "a;b/0"]);
}

const TOGETHER: &str = "orders?includeTasks&onlyFailed";

/// A row: the answer; action and attempts of the tasks 0 and 2; the exit code; how often the call was sent.
#[test]
fn each_answer_to_the_call_for_all_failed_has_its_action_charge_and_exit_code() {
    let body = |tasks: Value| {
        let connector = json!({"state": "RUNNING", "worker_id": "w:1", "version": null});
        Answer::json(
            202,
            json!({"name": "orders", "connector": connector, "tasks": tasks, "type": "sink"}).to_string(),
        )
    };
    let task = |id: u32, state: &str| json!({"id": id, "state": state, "worker_id": "w:1", "version": null});
    let [restarted, deferred, unknown] = ["restarted 1", "deferred 0", "unknown 1"];
    let rows: Vec<(Answer, [&str; 2], i32, usize)> = vec![
        (Answer::normal(), [restarted; 2], 0, 1),
        (body(json!([task(2, "RESTARTING"), task(1, "RUNNING"), task(0, "RUNNING")])), [restarted; 2], 0, 1),
        // What the body does not show as restarting was not in Connect's plan.
        (
            body(json!([task(0, "RESTARTING"), task(1, "RUNNING"), task(2, "FAILED")])),
            [restarted, deferred],
            0,
            1,
        ),
        (body(json!([task(0, "UNASSIGNED"), task(2, "RESTARTING")])), [deferred, restarted], 0, 1),
        (body(json!([])), [deferred; 2], 0, 1),
        (body(json!([task(0, "RESTARTING"), task(0, "FAILED"), task(2, "RESTARTING")])), [unknown; 2], 1, 1),
        (body(json!(null)), [unknown; 2], 1, 1),
        (Answer::status(202), [unknown; 2], 1, 1),
        (Answer::json(202, "{}").but_executed(), [unknown; 2], 1, 1),
        (Answer::json(202, "[1]"), [unknown; 2], 1, 1),
        (page(202), [unknown; 2], 1, 1),
        (Answer::normal().cut_after(20), [unknown; 2], 1, 1),
        (Answer::normal().reset_after(20), [unknown; 2], 1, 1),
        (words_500(words::UNRECOGNIZED_VERSION).but_executed(), [unknown; 2], 1, 1),
        (words_500("Request timed out").but_executed(), [unknown; 2], 1, 1),
        (Answer::status(200), [unknown; 2], 1, 1),
        (Answer::reset().but_executed(), [unknown; 2], 1, 1),
        (Answer::status(404), ["gone 0"; 2], 0, 1),
        (Answer::status(400), ["failed 1"; 2], 1, 1),
        (Answer::status(401), ["failed 0"; 2], 1, 1),
        (page(302), ["failed 0"; 2], 1, 1),
        (Answer::status(409), [deferred; 2], 0, 4),
    ];
    each(rows, |(answer, becomes, exit, sent)| {
        let connect = Connect::start(Profile::V4_3);
        connect.connector("orders").tasks(3);
        connect.fail_task("orders", 0, Failure::always());
        connect.fail_task("orders", 2, Failure::always());
        connect.on_this_restart(TOGETHER).answers(answer.clone());
        let guardian = Guardian::at(&connect.url());
        let (document, code) = guardian.run_json();
        let found = [0, 2].map(|task| {
            let line = instance(&document, "orders", Some(task));
            assert_eq!(guardian.attempts("orders", Some(task)), line["attempts"].as_u64());
            format!("{} {}", line["action"].as_str().unwrap(), line["attempts"])
        });
        assert_eq!((&found, code), (&becomes.map(str::to_owned), *exit), "{document:#}");
        assert_eq!(connect.take_restarts(), vec![TOGETHER; *sent]);

        connect.forget_rules();
        let (next, code) = guardian.run_json();
        let due: Vec<&str> =
            becomes.iter().map(|was| if was.ends_with('0') { "restarted" } else { "waiting" }).collect();
        let expected: Vec<String> =
            [0, 2].iter().zip(&due).map(|(task, action)| format!("orders/{task} {action}")).collect();
        assert_eq!((actions(&next), code), (expected, 0), "after {document:#}");
        assert_eq!(connect.restarts_of_unfailed(), Vec::<String>::new());
    });
}

#[test]
fn a_202_without_effect_is_charged_and_ends_in_giving_up() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(2);
    connect.fail_all_tasks("orders", &Failure::always());
    connect.connector("orders").assigned_to_nobody();
    let guardian = Guardian::at(&connect.url()).env("MAX_RESTART", "1");
    for expected in ["restarted", "gave_up", "gave_up"] {
        let (document, code) = guardian.run_json();
        assert_eq!(
            (actions(&document), code),
            ([0, 1].map(|task| format!("orders/{task} {expected}")).to_vec(), 0)
        );
    }
    assert_eq!(connect.restarts(), [TOGETHER]);
}

#[test]
fn after_a_204_to_the_call_for_all_tasks_are_restarted_one_by_one() {
    // The worker says 3.9 but is 2.8: it ignores the query and restarts the connector's own instance only.
    let connect = Connect::with(Profile::V2_8).version("3.9.0").start();
    connect.connector("orders").tasks(3);
    connect.fail_connector("orders", Failure::healing_after(1));
    connect.fail_task("orders", 0, Failure::healing_after(1));
    connect.fail_task("orders", 2, Failure::always());
    connect.on_this_restart("orders/2").answers(Answer::error(500, "Failed to start task: orders-2"));
    let guardian = Guardian::at(&connect.url());
    let (document, code) = guardian.run_json();
    assert_eq!(actions(&document), ["orders restarted", "orders/0 restarted", "orders/2 failed"]);
    assert_eq!(
        (code, connect.restarts()),
        (0, [TOGETHER, "orders/0", "orders/2"].map(str::to_owned).to_vec())
    );
    assert_eq!([None, Some(0), Some(2)].map(|task| guardian.attempts("orders", task)), [Some(1); 3]);
    assert_eq!(connect.restarts_of_unfailed(), Vec::<String>::new());
    let (next, code) = guardian.run_json();
    assert_eq!(actions(&next), ["orders recovered", "orders/0 recovered", "orders/2 waiting"]);
    assert_eq!(code, 0);
}

#[test]
fn a_worker_that_does_not_know_the_call_for_several_is_found_out_once() {
    // An old worker that says it is new, or a proxy that drops the query (askdarcel-web#40).
    let connect = Connect::with(Profile::V2_8).version("3.9.0").start();
    for name in ["a", "b", "c"] {
        connect.connector(name).tasks(2);
        connect.fail_all_tasks(name, &Failure::healing_after(1));
    }
    let guardian = Guardian::at(&connect.url()).env("GUARDIAN_PARALLEL", "1").env("EXPONENTIAL_RATIO", "1");
    let (document, code) = guardian.run_json();
    assert_eq!((document["summary"]["restarted"].as_u64(), code), (Some(6), 0));
    let first = TOGETHER.replace("orders", "a");
    assert_eq!(connect.restarts(), [first.as_str(), "a/0", "a/1", "b/0", "b/1", "c/0", "c/1"]);
    assert_eq!(connect.restarts_of_unfailed(), ["a was RUNNING"], "which nobody could know before");
    let warning = document["warnings"][0].as_str().unwrap();
    assert!(warning.contains("a proxy drop the query"), "{warning}");

    connect.fail_all_tasks("b", &Failure::healing_after(1));
    connect.take_restarts();
    let (document, code) = guardian.run_json();
    assert_eq!((connect.take_restarts(), code), (vec!["b/0".to_owned(), "b/1".to_owned()], 0));
    assert_eq!(document["warnings"].as_array().unwrap().len(), 0, "said once: {document:#}");
    assert_eq!(connect.restarts_of_unfailed(), ["a was RUNNING"]);
}

#[test]
fn a_connector_that_fails_to_start_again_is_failed_or_unknown() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("a").tasks(1);
    connect.connector("b").tasks(1).secret_missing();
    connect.fail_connector("a", Failure::always());
    connect.fail_connector("b", Failure::always());
    let guardian = Guardian::at(&connect.url());
    let (document, code) = guardian.run_json();
    assert_eq!((actions(&document), code), (vec!["a failed".to_owned(), "b unknown".to_owned()], 1));
    assert!(
        instance(&document, "a", None)["error"].as_str().unwrap().contains("Failed to start connector: a")
    );
    assert_eq!(connect.restarts_of_unfailed(), Vec::<String>::new());
    let (next, code) = guardian.run_json();
    assert_eq!((actions(&next), code), (vec!["a waiting".to_owned(), "b in_transition".to_owned()], 0));
    assert_eq!(connect.restarts().len(), 2);
}

#[test]
fn a_task_of_a_stopped_connector_is_not_asked_for() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(2);
    connect.fail_all_tasks("orders", &Failure::always());
    connect.stop_leaving_failed_tasks("orders");
    let (document, code) = Guardian::at(&connect.url()).run_json();
    assert_eq!(
        (actions(&document), code),
        (vec!["orders/0 parked".to_owned(), "orders/1 parked".to_owned()], 0)
    );
    assert_eq!(connect.restarts(), Vec::<String>::new());
}

// === Names ===

/// Runs once against a connector of this name with a failed task: the action, the exit code, the attempts.
fn named(name: &str, profile: Profile) -> (Connect, Guardian, (String, i32, u64)) {
    let connect = Connect::start(profile);
    connect.connector(name).tasks(1);
    connect.fail_task(name, 0, Failure::always());
    let guardian = Guardian::at(&connect.url());
    let (document, code) = guardian.run_json();
    let line = &document["instances"][0];
    let action = line["action"].as_str().unwrap().to_owned();
    let attempts =
        guardian.attempts(name, Some(0)).expect("not restarted, it is remembered by its real name");
    (connect, guardian, (action, code, attempts))
}

#[test]
fn every_name_that_connect_can_address_is_addressed() {
    let long = "n".repeat(250);
    let long_in_bytes = "\u{1f600}".repeat(250);
    let names = [
        "a b",
        "a+b",
        "a?b",
        "a#b",
        "a:b@c",
        "ü-ñ-日本",
        "a&b=c",
        "\"'`$(x)",
        "{x}",
        "a;b=c",
        "*",
        "-",
        "...",
        "~",
        "%",
        "a%20b",
        "a/b",
        "a\\b",
        "\u{1b}[31mred\u{7}\n\u{202e}",
        &long,
        &long_in_bytes,
    ];
    each(names.to_vec(), |name| {
        for profile in [Profile::V2_8, Profile::V4_3] {
            let refused_by_jetty_12 = profile == Profile::V4_3 && name.contains(['/', '%', '\\']);
            let (connect, _guardian, became) = named(name, profile);
            if refused_by_jetty_12 {
                assert_eq!(became, ("failed".into(), 1, 1), "{name}");
            } else if !name.contains(';') {
                // The simulated Connect cuts a name at `;` as Jersey does.
                assert_eq!(became, ("restarted".into(), 0, 1), "{name}");
                assert_eq!(connect.restarts(), [format!("{name}/0")]);
            }
            assert_eq!(connect.restarts_of_unfailed(), Vec::<String>::new());
        }
    });
}

#[test]
fn names_of_dots_are_never_sent() {
    for name in [".", ".."] {
        let (connect, guardian, became) = named(name, Profile::V3_9);
        assert_eq!(became, ("failed".into(), 1, 1), "{name}");
        assert_eq!(connect.calls(), ["GET /connectors?expand=status", "GET /health"], "{name}");
        let (next, code) = guardian.run_json();
        assert_eq!((actions(&next), code), (vec![format!("{name}/0 waiting")], 0));
    }
}

#[test]
fn a_name_that_cannot_be_addressed_is_given_up_like_any_other() {
    let connect = Connect::start(Profile::V4_3);
    connect.connector("a/b").tasks(1);
    connect.fail_task("a/b", 0, Failure::always());
    let guardian = Guardian::at(&connect.url()).env("MAX_RESTART", "2").env("EXPONENTIAL_RATIO", "1");
    let story: Vec<(Vec<String>, i32)> =
        (0..3).map(|_| guardian.run_json()).map(|(it, code)| (actions(&it), code)).collect();
    assert_eq!(
        story,
        [("failed", 1), ("failed", 1), ("gave_up", 0)].map(|(it, code)| (vec![format!("a/b/0 {it}")], code))
    );
    assert_eq!(connect.calls().iter().filter(|call| call.starts_with("POST")).count(), 2);
}

// === More than one connector, more than one worker ===

fn three_failed(connect: &Connect) {
    for name in ["a", "b", "c"] {
        connect.connector(name).tasks(1);
        connect.fail_task(name, 0, Failure::always());
    }
}

fn attempts_of_three(guardian: &Guardian) -> [Option<u64>; 3] {
    ["a", "b", "c"].map(|name| guardian.attempts(name, Some(0)))
}

#[test]
fn after_a_401_nothing_further_is_sent() {
    each(vec![Answer::status(401), page(401), page(403)], |answer| {
        let connect = Connect::start(Profile::V3_9);
        three_failed(&connect);
        connect.on_restart("b").answers(answer.clone());
        let guardian = Guardian::at(&connect.url()).env("GUARDIAN_PARALLEL", "1");
        let (document, code) = guardian.run_json();
        assert_eq!(actions(&document), ["a/0 restarted", "b/0 failed", "c/0 deferred"]);
        assert_eq!((code, document["error"]["kind"].as_str()), (1, Some("unauthorized")));
        let message = document["error"]["message"].as_str().unwrap();
        assert!(
            message.starts_with("the restart of b/0 was refused: HTTP 40"),
            "not \"and 1 more\": {message}"
        );
        assert_eq!(connect.take_restarts(), ["a/0", "b/0"]);
        assert_eq!(attempts_of_three(&guardian), [Some(1), Some(0), Some(0)]);
        connect.forget_rules();
        let (next, code) = guardian.run_json();
        assert_eq!(actions(&next), ["a/0 waiting", "b/0 restarted", "c/0 restarted"]);
        assert_eq!((code, connect.restarts_of_unfailed()), (0, Vec::new()));
    });
}

/// What happens to a failed task while guardian waits after a "not now", and what guardian says then.
type Meanwhile = (fn(&Cluster), &'static str);

#[test]
fn a_retry_is_not_sent_to_what_is_no_longer_failed() {
    let cases: Vec<Meanwhile> = vec![
        (|connect| connect.set_state("orders", Some(0), "RUNNING"), "not restarted, it is RUNNING by now"),
        (
            |connect| connect.set_state("orders", Some(0), "UNASSIGNED"),
            "not restarted, it is UNASSIGNED by now",
        ),
        (
            |connect| connect.set_state("orders", Some(0), "RESTARTING"),
            "not restarted, it is RESTARTING by now",
        ),
        (|connect| connect.pause("orders"), "not restarted, the connector is paused or stopped by now"),
        (
            |connect| connect.stop_leaving_failed_tasks("orders"),
            "not restarted, the connector is paused or stopped by now",
        ),
        (|connect| connect.delete("orders"), "not restarted, Connect lists it no more"),
    ];
    each(cases, |(meanwhile, said)| {
        let connect = Connect::start(Profile::V3_9);
        connect.connector("orders").tasks(1);
        connect.fail_task("orders", 0, Failure::always());
        connect.on_restart("orders").answers(409).runs(*meanwhile);
        let guardian = Guardian::at(&connect.url());
        let (document, code) = guardian.run_json();
        assert_eq!((actions(&document), code), (vec!["orders/0 deferred".to_owned()], 0));
        assert_eq!(instance(&document, "orders", Some(0))["error"], *said);
        assert_eq!(guardian.attempts("orders", Some(0)), Some(0));
        assert_eq!(connect.restarts(), ["orders/0"], "asked once, and not again");
        assert_eq!(connect.calls().last().unwrap(), "GET /connectors/orders/status");
    });
}

#[test]
fn a_call_that_waited_for_others_is_not_sent_to_what_is_no_longer_failed() {
    let connect = Connect::start(Profile::V3_9);
    three_failed(&connect);
    connect.connector("d").tasks(2);
    connect.fail_all_tasks("d", &Failure::always());
    connect.on_restart("a").answers(Answer::normal().delayed(Duration::from_millis(1500))).runs(|connect| {
        connect.set_state("b", Some(0), "RUNNING");
        connect.set_state("d", Some(0), "RUNNING");
    });
    let guardian = Guardian::at(&connect.url()).env("GUARDIAN_PARALLEL", "1");
    let (document, code) = guardian.run_json();
    assert_eq!(
        (actions(&document).join(", "), code),
        ("a/0 restarted, b/0 deferred, c/0 restarted, d/0 restarted, d/1 restarted".into(), 0)
    );
    // Connect does not restart d/0, but shows it RUNNING in its answer to the one call.
    assert_eq!(connect.restarts(), ["a/0", "c/0", "d?includeTasks&onlyFailed"]);
    assert_eq!((connect.executed().len(), connect.restarts_of_unfailed()), (3, Vec::new()));
}

#[test]
fn a_retry_is_not_sent_when_the_status_cannot_be_read_again() {
    let cases = vec![
        (page(500), "deferred", "HTTP 500", 0),
        (Answer::text(200, "application/json", "{\"name\":1"), "deferred", "not JSON", 0),
        (Answer::json(200, "[]"), "deferred", "cannot be understood", 0),
        (Answer::reset(), "deferred", "could not be read again", 0),
        (Answer::hang(), "deferred", "could not be read again", 0),
        (Answer::status(401), "failed", "HTTP 401", 1),
    ];
    each(cases, |(answer, action, said, code)| {
        let connect = Connect::start(Profile::V3_9);
        connect.connector("orders").tasks(1);
        connect.fail_task("orders", 0, Failure::always());
        connect.on_restart("orders").answers(409);
        connect.on_status("orders").answers(answer.clone());
        let guardian = Guardian::at(&connect.url()).env("GUARDIAN_TIMEOUT", "1s");
        let (document, exit) = guardian.run_json();
        assert_eq!((actions(&document), exit), (vec![format!("orders/0 {action}")], *code));
        let error = instance(&document, "orders", Some(0))["error"].as_str().unwrap().to_owned();
        assert!(error.contains(said), "{error}");
        assert_eq!(guardian.attempts("orders", Some(0)), Some(0));
        assert_eq!(connect.restarts(), ["orders/0"]);
    });
}

#[test]
fn one_bad_answer_does_not_stop_the_restarts_of_others() {
    let connect = Connect::start(Profile::V3_9);
    three_failed(&connect);
    connect.on_restart("a").answers(Answer::reset());
    connect.on_restart("b").answers(405);
    let guardian = Guardian::at(&connect.url()).env("GUARDIAN_PARALLEL", "1");
    let (document, code) = guardian.run_json();
    assert_eq!(actions(&document), ["a/0 unknown", "b/0 failed", "c/0 restarted"]);
    assert_eq!((code, document["error"]["kind"].as_str()), (1, Some("restart")));
    assert_eq!(connect.restarts(), ["a/0", "b/0", "c/0"]);
}

#[test]
fn a_run_restarts_no_more_than_it_may() {
    let connect = Connect::start(Profile::V3_9);
    three_failed(&connect);
    let guardian = Guardian::at(&connect.url()).env("EXPONENTIAL_RATIO", "1");
    let none = guardian.json(&["run", "--once", "--max-restarts-per-run", "0"]);
    assert_eq!(
        (actions(&none.0), none.1),
        (["a", "b", "c"].map(|name| format!("{name}/0 deferred")).to_vec(), 0)
    );
    assert_eq!(connect.restarts(), Vec::<String>::new());
    // Those with the fewest attempts go first.
    for (sent, attempts) in
        [(["a/0", "b/0"], [1, 1, 0]), (["c/0", "a/0"], [2, 1, 1]), (["b/0", "c/0"], [2, 2, 2])]
    {
        let (_, code) = guardian.json(&["run", "--once", "--max-restarts-per-run", "2"]);
        let mut expected = sent.map(str::to_owned);
        let mut really = connect.take_restarts();
        expected.sort();
        really.sort();
        assert_eq!((really, code), (expected.to_vec(), 0));
        assert_eq!(attempts_of_three(&guardian), attempts.map(Some));
    }
}

#[test]
fn the_next_worker_is_asked_when_one_dies_before_the_restart() {
    let connect = Connect::with(Profile::V3_9).workers(2).start();
    connect.connector("orders").tasks(2).on_worker(1);
    connect.fail_all_tasks("orders", &Failure::always());
    connect.on_root().runs(|connect| connect.kill_worker(0)); // asked between the listing and the restart
    let guardian = Guardian::at(&connect.urls());
    let (document, code) = guardian.run_json();
    assert_eq!(
        (actions(&document), code),
        (vec!["orders/0 restarted".into(), "orders/1 restarted".into()], 0)
    );
    assert_eq!(connect.restarts(), ["orders/0", "orders/1"]);
    assert_eq!(document["url"], connect.url_of(1));
    assert_eq!(connect.restarts_of_unfailed(), Vec::<String>::new());
}

#[test]
fn without_any_worker_nothing_is_charged() {
    let connect = Connect::start(Profile::V3_9);
    connect.connector("orders").tasks(2);
    connect.fail_all_tasks("orders", &Failure::always());
    connect.on_root().runs(|connect| connect.kill_worker(0));
    let guardian = Guardian::at(&format!("{},{}", connect.url(), connect.closed_url()));
    let (document, code) = guardian.run_json();
    assert_eq!(actions(&document), ["orders/0 deferred", "orders/1 deferred"]);
    assert_eq!((code, document["error"]["kind"].as_str()), (1, Some("restart")));
    assert_eq!([0, 1].map(|task| guardian.attempts("orders", Some(task))), [Some(0); 2]);
    assert_eq!(connect.take_restarts(), Vec::<String>::new());
    connect.forget_rules();
    connect.revive_worker(0);
    let (next, code) = guardian.run_json();
    assert_eq!((actions(&next), code), (vec!["orders/0 restarted".into(), "orders/1 restarted".into()], 0));
}

#[test]
fn a_restart_of_unknown_fate_is_not_repeated_at_another_worker() {
    each(vec![Answer::reset(), Answer::close(), page(502), words_500("Request timed out")], |answer| {
        let connect = Connect::with(Profile::V3_9).workers(3).start();
        connect.connector("orders").tasks(1).on_worker(1);
        connect.fail_task("orders", 0, Failure::always());
        connect.on_restart("orders").at_worker(0).answers(answer.clone());
        let guardian = Guardian::at(&connect.urls());
        let (document, code) = guardian.run_json();
        assert_eq!((actions(&document), code), (vec!["orders/0 unknown".to_owned()], 1));
        assert_eq!((connect.restarts().len(), connect.executed().len()), (1, 0));
    });
}

#[test]
fn a_refused_forwarding_by_an_old_worker_is_not_charged() {
    let connect = Connect::with(Profile::V3_3).workers(2).start();
    connect.connector("orders").tasks(1).on_worker(1);
    connect.fail_task("orders", 0, Failure::always());
    connect.kill_worker(1);
    connect.on_restart("orders").after(1).runs(|connect| connect.revive_worker(1));
    let guardian = Guardian::at(&connect.url());
    let (document, code) = guardian.run_json();
    assert_eq!((actions(&document), code), (vec!["orders/0 restarted".to_owned()], 0), "{document:#}");
    assert_eq!((guardian.attempts("orders", Some(0)), connect.restarts().len()), (Some(1), 2));
    assert_eq!(connect.restarts_of_unfailed(), Vec::<String>::new());
}

// === Credentials ===

#[test]
fn credentials_do_not_follow_a_redirect() {
    let elsewhere = Connect::start(Profile::V3_9);
    elsewhere.connector("orders").tasks(1);
    let targets = [elsewhere.url(), elsewhere.url().replace("127.0.0.1", "localhost")];
    let cases = [301, 302, 303, 307, 308]
        .into_iter()
        .flat_map(|status| targets.clone().map(|target| (status, target)));
    each(cases.collect(), |(status, target)| {
        let connect = Connect::with(Profile::V3_9).authorization("Basic YWxpY2U6czNjcmV0").start();
        connect.connector("orders").tasks(1);
        connect.fail_task("orders", 0, Failure::always());
        let guardian = Guardian::at(&connect.url())
            .env("KAFKA_CONNECT_USER", "alice")
            .env("KAFKA_CONNECT_PASS", "s3cret");
        connect
            .on_restart("orders")
            .answers(Answer::redirect(*status, &format!("{target}/connectors/orders/tasks/0/restart")));
        let (document, code) = guardian.run_json();
        assert_eq!((actions(&document), code), (vec!["orders/0 failed".to_owned()], 1));
        assert_eq!(connect.take_restarts(), ["orders/0"]);

        connect
            .on_listing()
            .answers(Answer::redirect(*status, &format!("{target}/connectors?expand=status")));
        let (document, code) = guardian.run_json();
        assert_eq!((document["error"]["kind"].as_str(), code), (Some("not_connect"), 1));
        assert!(document["error"]["hint"].as_str().unwrap().contains("redirects are not followed"));
        assert!(connect.requests().iter().all(|request| request.authorized));
    });
    assert_eq!(elsewhere.connections(), 0, "{:?}", elsewhere.calls());
}
