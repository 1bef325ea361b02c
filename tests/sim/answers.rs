//! The texts of Kafka Connect: its error messages, its error pages, and the traces of its failures.
//!
//! Every text here is one that a real worker sends. This file must not decide when one is sent.

use super::http::{Body, Response, reason_of};

pub const REBALANCE: &str = "Cannot complete request momentarily due to stale configuration (typically caused by a concurrent config change)";
pub const NO_LEADER: &str = "Cannot complete request momentarily due to no known leader URL, likely because a rebalance was underway.";
/// The same before KAFKA-9883, as a 500.
pub const NO_LEADER_OF_OLD: &str = "\"uriTemplate\" parameter is null.";
/// A `RebalanceNeededException` that was not turned into a 409.
pub const REBALANCE_EXPECTED: &str = "Request cannot be completed because a rebalance is expected";
pub const CONFLICT: &str =
    "Cannot complete request because of a conflicting operation (e.g. worker rebalance)";
pub const REFUSED: &str =
    "IO Error trying to forward REST request: java.net.ConnectException: Connection refused";
pub const IDLE_TIMEOUT: &str =
    "IO Error trying to forward REST request: Idle timeout expired: 30000/30000 ms";
pub const UNRECOGNIZED_VERSION: &str = "IO Error trying to forward REST request: Unrecognized field \"version\" (class \
     org.apache.kafka.connect.runtime.rest.entities.ConnectorStateInfo$ConnectorState), not marked as ignorable (3 known \
     properties: \"worker_id\", \"state\", \"trace\"])";
pub const NO_SECRET: &str = "Could not read properties from file /etc/connect/secrets.properties";
pub const NOT_AUTHENTICATED: &str = "User cannot access the resource.";

pub const HEALTHY: &str =
    r#"{"status":"healthy","message":"Worker has completed startup and is ready to handle requests."}"#;
/// With a 500: its broker is away.
pub const UNHEALTHY: &str = r#"{"status":"unhealthy","message":"Worker was unable to handle this request and may be unable to handle other requests."}"#;
/// With a 503.
pub const STARTING: &str = r#"{"status":"starting","message":"Worker is still starting up."}"#;

/// The most likely message of an answer with this status.
pub fn usual_message(status: u16) -> String {
    match status {
        409 => REBALANCE.to_owned(),
        500 => "Request timed out".to_owned(),
        503 => "This worker is still starting up and has not been able to read a session key from the config topic yet"
            .to_owned(),
        status => format!("HTTP {status} {}", reason_of(status)),
    }
}

pub fn empty(status: u16) -> Response {
    Response { status, reason: None, content_type: None, headers: Vec::new(), body: Body::Bytes(Vec::new()) }
}

pub fn text(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Response {
    Response { content_type: Some(content_type.to_owned()), body: Body::Bytes(body.into()), ..empty(status) }
}

pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Response {
    text(status, "application/json", body)
}

/// Connect's own error body. The code in it is the status.
pub fn error(status: u16, message: &str) -> Response {
    json(status, format!(r#"{{"error_code":{status},"message":{}}}"#, quoted(message)))
}

/// The same for a path that no resource has: Jersey gives it no `Content-Type`.
pub fn unmatched() -> Response {
    Response { content_type: None, ..error(404, "HTTP 404 Not Found") }
}

/// Sent by the Basic authentication extension: plain text under a JSON label, and no `WWW-Authenticate`.
pub fn not_authenticated() -> Response {
    json(401, NOT_AUTHENTICATED)
}

/// Jetty's error page.
pub fn html(status: u16, message: &str) -> Response {
    let body = format!(
        "<html>\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html;charset=ISO-8859-1\"/>\n\
         <title>Error {status} {message}</title>\n</head>\n<body><h2>HTTP ERROR {status} {message}</h2>\n\
         <table>\n<tr><th>STATUS:</th><td>{status}</td></tr>\n<tr><th>MESSAGE:</th><td>{message}</td></tr>\n</table>\n\
         </body>\n</html>\n"
    );
    Response { reason: Some(message.to_owned()), ..text(status, "text/html;charset=iso-8859-1", body) }
}

/// What Jetty says on every path until the REST resources are in place; the status is a string there.
pub fn not_started_yet(target: &str, wants_json: bool) -> Response {
    if wants_json {
        let path = target.split('?').next().unwrap_or(target);
        return json(404, format!(r#"{{"url":{},"status":"404","message":"Not Found"}}"#, quoted(path)));
    }
    html(404, "Not Found")
}

/// A JSON string.
pub fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}

/// `printStackTrace` of a failed instance. The number tells one failure from the next, as thread names and addresses do
/// in real ones; the root cause is the last `Caused by:` and stays the same.
pub fn trace(cause: &str, number: u32, bytes: Option<usize>) -> String {
    let head = format!(
        "org.apache.kafka.connect.errors.ConnectException: Exiting WorkerSinkTask due to unrecoverable exception \
         (failure {number}).\n\
         \tat org.apache.kafka.connect.runtime.WorkerSinkTask.deliverMessages(WorkerSinkTask.java:632)\n\
         \tat org.apache.kafka.connect.runtime.WorkerSinkTask.iteration(WorkerSinkTask.java:237)\n\
         \tat org.apache.kafka.connect.runtime.WorkerTask.doRun(WorkerTask.java:229)\n"
    );
    let tail = format!(
        "\tat java.base/java.util.concurrent.ThreadPoolExecutor.runWorker(ThreadPoolExecutor.java:1136)\n\
         \tat java.base/java.lang.Thread.run(Thread.java:840)\n\
         Caused by: org.apache.kafka.connect.errors.RetriableException: write failed\n\
         \tat com.example.connect.Writer.put(Writer.java:87)\n\t... 10 more\n\
         Caused by: {cause}\n\
         \tat com.example.connect.Connection.open(Connection.java:41)\n\t... 11 more\n"
    );
    let missing = bytes.unwrap_or(0).saturating_sub(head.len() + tail.len());
    head + &frames(missing) + &tail
}

/// Stack frames of exactly so many bytes.
fn frames(bytes: usize) -> String {
    const FRAME: &str =
        "\tat com.example.connect.deeply.nested.Transformation$Chain.apply(Transformation.java:1024)\n";
    let rest = bytes % FRAME.len();
    let last = if rest == 0 { String::new() } else { "x".repeat(rest - 1) + "\n" };
    FRAME.repeat(bytes / FRAME.len()) + &last
}
