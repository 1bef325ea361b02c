//! What the answers of Kafka Connect mean: the table of restart answers, and
//! why a listing could not be had, in words. Pure functions of status and body;
//! sending is `mod`'s business.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::{StatusCode, Url};
use serde::Deserialize;

use super::body::BodyError;
use crate::decide::outcome::{Outcome, Unreached};
use crate::decide::shared::SharedStr;
use crate::decide::text::one_line;
use crate::exit::{Failure, Kind};
use crate::http::{Reason, Remedy};

/// No answer, and what may be done about it where the reason does not say it already.
pub(super) fn unreachable(url: &Url, reason: &Reason, in_container: bool) -> Failure {
    let failure = failure(Kind::Unreachable, url, super::with_setting(reason));
    match reason.remedy {
        Some(Remedy::CheckAddress) if in_container && is_localhost(url) => failure.hint(
            "in a container localhost is the container or pod itself: KAFKA_CONNECT_URL must name the worker's host",
        ),
        Some(Remedy::CheckAddress) => {
            failure.hint("check KAFKA_CONNECT_URL (or _HOST, _PORT, _PROTO) and that the worker runs")
        }
        Some(Remedy::LetThrough) => failure.hint(
            "does a firewall or a NetworkPolicy drop it? Strimzi's lets only its operator and the Connect pods in: add one that lets in guardian's pod",
        ),
        Some(Remedy::SeeWhoListens) => failure
            .hint("something listens there: a worker that is starting or stopping, or a proxy without one"),
        _ => failure,
    }
}

fn is_localhost(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host.parse().is_ok_and(|address: IpAddr| address.is_loopback() || address.is_unspecified())
}

pub(super) fn timed_out(url: &Url, timeout: Duration) -> Failure {
    let text = format!("no complete answer within {}", humantime::format_duration(timeout));
    failure(Kind::Unreachable, url, text)
        .hint("the worker may be overloaded; GUARDIAN_TIMEOUT gives it longer")
}

pub(super) fn bad_body(url: &Url, error: &BodyError) -> Failure {
    match error {
        BodyError::Cut(_) => failure(Kind::Unreachable, url, error),
        BodyError::TooLong(_) | BodyError::NotJson { .. } => not_connect(url, error),
        BodyError::Encoded(_) => failure(Kind::NotConnect, url, error)
            .hint("whatever stands between guardian and the worker must not compress its answers"),
    }
}

pub(super) fn not_connect(url: &Url, text: impl fmt::Display) -> Failure {
    failure(Kind::NotConnect, url, text)
        .hint("is this the REST port of a Kafka Connect worker, with the right path?")
}

/// What the answer to a listing means that is no listing.
pub(super) fn bad_status(url: &Url, status: StatusCode, text: &str, doubts: &[String]) -> Failure {
    let code = status.as_u16();
    let said = message_suffix(text);
    let not_connect_at = |text: String, hint: &str| failure(Kind::NotConnect, url, text).hint(hint);
    match status {
        StatusCode::UNAUTHORIZED => {
            failure(Kind::Unauthorized, url, format!("HTTP 401: not allowed without other credentials{said}"))
                .hint(other_credentials(doubts))
        }
        StatusCode::FORBIDDEN => failure(Kind::Unauthorized, url, format!("HTTP 403: forbidden{said}"))
            .hint("these credentials, or none, do not suffice for this: ask who runs Connect or its proxy"),
        StatusCode::NOT_FOUND => not_connect_at(
            if is_page(text) { "HTTP 404 as a web page" } else { "HTTP 404" }.to_owned(),
            "a worker that is still starting answers so; otherwise check the port and path",
        ),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => not_connect_at(
            format!("HTTP {code}: the proxy wants a user and a password, or others than it got"),
            "they go into the URL of GUARDIAN_PROXY",
        ),
        _ if status.is_redirection() => not_connect_at(
            format!("HTTP {code}{said}"),
            "redirects are not followed: set KAFKA_CONNECT_URL to where it leads, if that is Connect and no login page",
        ),
        _ if connect_message(text).is_some() => {
            not_connect_at(format!("HTTP {code}{said}"), "Connect itself says so: its log may say more")
        }
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            not_connect_at(
                format!("HTTP {code}{said}"),
                "a proxy answers in Connect's place: is the worker behind it up?",
            )
        }
        _ => not_connect(url, format!("HTTP {code}{said}")),
    }
}

fn other_credentials(doubts: &[String]) -> String {
    const CHECK: &str = "check KAFKA_CONNECT_USER and KAFKA_CONNECT_PASS (or their _FILE), KAFKA_CONNECT_TOKEN_FILE or KAFKA_CONNECT_HEADERS_FILE";
    match doubts {
        [] => CHECK.to_owned(),
        doubts => format!("{}; all of it is sent. If that is right, {CHECK}", doubts.join(", ")),
    }
}

/// One failure for all workers that were tried.
pub(super) fn no_listing(mut failures: Vec<Failure>) -> Failure {
    let each: Vec<String> = failures.iter().map(Failure::message).collect();
    let worst = failures.iter().position(|failure| failure.kind == Kind::NotConnect).unwrap_or(0);
    let message = match each.as_slice() {
        [] => return Failure::new(Kind::Unreachable, "no worker is configured"),
        [one] => format!("no answer from Kafka Connect at {one}"),
        many => format!("no answer from any of the {} workers: {}", many.len(), many.join("; ")),
    };
    let mut worst = failures.swap_remove(worst);
    worst.error = anyhow::Error::msg(message);
    worst
}

fn failure(kind: Kind, url: &Url, text: impl fmt::Display) -> Failure {
    Failure::new(kind, format!("{}: {text}", display_url(url)))
}

/// The URL as a person writes it.
pub(super) fn display_url(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

/// The table of restart answers. The 202 and 204 to a KIP-745 call are not here: what was taken is in the body, or nowhere.
pub(super) fn outcome(status: StatusCode, text: &str) -> Outcome {
    let code = status.as_u16();
    let told: SharedStr = format!("HTTP {code}{}", message_suffix(text)).into();
    let Some(message) = connect_message(text) else { return answer_of_another(code, text, told) };
    match code {
        401 => Outcome::Unauthorized(told),
        404 => not_found(&message, told),
        409 | 429 | 503 => Outcome::NotNow(told),
        500 => server_error(&message, told),
        300..=499 => Outcome::Refused(told),
        _ => Outcome::Unknown(told),
    }
}

/// An answer that is not Connect's error: a success, Jetty's, or that of something in front of the worker.
fn answer_of_another(code: u16, text: &str, told: SharedStr) -> Outcome {
    match code {
        204 => Outcome::Taken,
        // A gateway may leave out the body or make up another one; a page is one to log in.
        200..=299 if !is_page(text) && !names_an_error(text) => Outcome::Taken,
        // Jetty 12's words; nginx says with a 400 that it wants a client certificate.
        400 if text.contains("Ambiguous URI") || text.contains("Path Character") => Outcome::Unaddressable(
            "HTTP 400: Connect cannot address this name (Connect 4 refuses / % and \\ in it); only a connector with another name can be restarted".into(),
        ),
        401 | 403 => Outcome::Unauthorized(told),
        409 | 429 => Outcome::NotNow(told),
        503 if was_not_proxied(text) => Outcome::NotReached(told, Unreached::NoUpstream),
        300..=499 => Outcome::Refused(told),
        _ => Outcome::Unknown(told),
    }
}

fn not_found(message: &str, told: SharedStr) -> Outcome {
    // The second is a standalone worker's way to say it.
    let of_task = message.starts_with("Unknown task") || message.starts_with("Task ");
    if of_task { Outcome::UnknownTask(told) } else { Outcome::NotFound(told) }
}

/// What 2.8.1, 3.0.1 and 3.1 to 3.3.2 put in front of any answer of the worker to which they passed a request on, and make
/// a 500 of it (KAFKA-9747 brought it, KAFKA-13702 ended it). Twice, where that worker had to pass it on too. Every version
/// puts it in front of a URL that cannot be asked.
const FORWARDED: &str = "Error trying to forward REST request: ";
/// What every version puts in front of a failure to talk to that worker.
const NOT_FORWARDED: &str = "IO Error trying to forward REST request: ";

/// What "no known leader URL" was before KAFKA-9883 (2.5.1).
const NO_KNOWN_LEADER: &str = "\"uriTemplate\" parameter is null.";

/// A 500 of Connect's own.
fn server_error(message: &str, told: SharedStr) -> Outcome {
    let mut said = message;
    while let Some(behind) = said.strip_prefix(FORWARDED) {
        said = behind;
    }
    let was_forwarded = said.len() < message.len();
    if let Some(why) = said.strip_prefix(NOT_FORWARDED) {
        broken_transport(why, told)
    } else if was_forwarded && is_no_url(said) {
        Outcome::NotReached(told, Unreached::Advertised)
    } else if said.starts_with("Failed to start RestClient") {
        Outcome::NotReached(told, Unreached::WorkerTls)
    } else if said.starts_with("Failed to start") || said.starts_with("Failed to transition") {
        // The second is a standalone worker's way to say it.
        Outcome::FailedAgain(told)
    } else if said.contains("rebalance is expected")
        || said.contains("no known leader")
        || said == NO_KNOWN_LEADER
        // A 409 there.
        || (was_forwarded && said.starts_with("Cannot complete request"))
    {
        Outcome::NotNow(told)
    } else if was_forwarded && is_not_found(said) {
        not_found(said, told)
    } else {
        Outcome::Unknown(told)
    }
}

/// Whether Connect says this with a 404 (`NotFoundException` in `AbstractHerder`, `DistributedHerder` and Jersey).
fn is_not_found(message: &str) -> bool {
    let named = message.starts_with("Connector ") && message.ends_with(" not found");
    named || ["Unknown task", "Unknown connector", "HTTP 404"].iter().any(|it| message.starts_with(it))
}

/// What a failure to talk to another worker says: whether that worker may have got the request. A worker that has just died
/// refuses connections until its tasks are somebody else's, which passes; the others need a person.
fn broken_transport(why: &str, told: SharedStr) -> Outcome {
    let says = |words: &[&str]| words.iter().any(|word| why.contains(word));
    if says(&["Connection refused"]) {
        Outcome::NotNow(told)
    } else if says(&[
        "UnknownHostException",
        "NoRouteToHostException",
        "Network is unreachable",
        // Jetty's word for that.
        "Could not connect to",
        "UnresolvedAddress",
    ]) || is_no_url(why)
    {
        Outcome::NotReached(told, Unreached::Advertised)
    } else if says(&[
        "SSLHandshakeException",
        "PKIX path",
        "SSLPeerUnverifiedException",
        "No subject alternative",
        "Received fatal alert",
        "unrecognized SSL message",
    ]) {
        Outcome::NotReached(told, Unreached::WorkerTls)
    } else if was_not_proxied(why) {
        Outcome::NotReached(told, Unreached::NoUpstream)
    } else {
        Outcome::Unknown(told)
    }
}

/// Whether another worker advertises what no URL can have: a host name with an underscore, as Docker Compose makes them.
fn is_no_url(why: &str) -> bool {
    ["Invalid URI host", "URISyntaxException", "Illegal character in"].iter().any(|word| why.contains(word))
}

/// Whether a proxy says in its 503 that it passed nothing on: a service mesh (Envoy, whose "connection termination" came
/// after the request was sent), `HAProxy`, nginx (no endpoint, or its limit of requests).
fn was_not_proxied(text: &str) -> bool {
    let nginx = text.contains("503 Service Temporarily Unavailable") && text.contains("nginx");
    let words = [
        "no healthy upstream",
        "connection failure",
        "connection timeout",
        "No server is available to handle this request",
    ];
    nginx || words.iter().any(|it| text.contains(it))
}

/// A JSON object that speaks of an error, whatever the status.
fn names_an_error(text: &str) -> bool {
    let object: Option<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(text).ok();
    object.is_some_and(|keys| ["error", "errors", "error_code"].iter().any(|key| keys.contains_key(*key)))
}

#[derive(Deserialize)]
struct ErrorMessage {
    #[serde(rename = "error_code")]
    _code: u64,
    message: Option<String>,
}

/// The message of Connect's own error body, `{"error_code":N,"message":...}`
/// (`ConnectExceptionMapper`); `None` for any other body.
pub(super) fn connect_message(text: &str) -> Option<String> {
    let body: ErrorMessage = serde_json::from_str(text).ok()?;
    Some(body.message.unwrap_or_default())
}

#[derive(Deserialize)]
struct Root {
    version: String,
}

/// The version in the answer to `GET /`.
pub(super) fn root_version(text: &str) -> Option<String> {
    serde_json::from_str::<Root>(text).ok().map(|root| root.version)
}

fn is_page(text: &str) -> bool {
    text.trim_start().starts_with('<')
}

/// The title of a page, without the code that a server puts before it, if it says more than that code.
fn title(page: &str) -> Option<&str> {
    let (_, behind) = page.split_once("<title>")?;
    let (title, _) = behind.split_once("</title>")?;
    let title = title.trim();
    let said = title.strip_prefix("Error ").unwrap_or(title);
    let said = said.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
    let repeated = ["Bad Gateway", "Forbidden", "Gateway Time-out", "Not Found", "Unauthorized"];
    Some(said).filter(|said| !repeated.contains(said))
}

/// What the body says, behind a colon and safe to print; of a page its title.
pub(super) fn message_suffix(text: &str) -> String {
    let plain = || if is_page(text) { title(text).unwrap_or_default() } else { text }.to_owned();
    let text = connect_message(text).unwrap_or_else(plain);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    if line.is_empty() { String::new() } else { format!(": {}", one_line(line)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTML: &str = "<html><title>Error 400 Ambiguous URI path separator</title></html>";

    fn json(message: &str) -> String {
        format!(r#"{{"error_code":1,"message":"{message}"}}"#)
    }

    #[test]
    fn localhost_is_doubted_only_in_a_container() {
        let refused = Reason { what: "refused".to_owned(), remedy: Some(Remedy::CheckAddress) };
        let hint = |url: &str, in_container: bool| {
            let url = Url::parse(url).unwrap();
            unreachable(&url, &refused, in_container).hint.unwrap()
        };
        assert!(hint("http://localhost:8083", true).starts_with("in a container"));
        for (url, in_container) in [("http://localhost:8083", false), ("http://connect:8083", true)] {
            assert!(hint(url, in_container).starts_with("check KAFKA_CONNECT_URL"), "{url}");
        }
    }

    #[test]
    fn what_a_body_says_is_one_line_without_secrets() {
        assert_eq!(message_suffix(&json("password=x\\nmore")), ": password=***");
        assert_eq!(message_suffix(HTML), ": Ambiguous URI path separator");
        assert_eq!(
            message_suffix("<html><head><title>400 The SSL certificate error</title>"),
            ": The SSL certificate error"
        );
        assert_eq!(message_suffix("<h1>no title</h1>"), "");
        assert_eq!(message_suffix("\n plain \u{1b}[1m"), ": plain [1m");
    }
}
