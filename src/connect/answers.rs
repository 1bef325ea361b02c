//! What the answers of Kafka Connect mean: the table of restart answers, and
//! why a listing could not be had, in words. Pure functions of status and body;
//! sending is `mod`'s business.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{StatusCode, Url};
use serde::Deserialize;

use super::body::BodyError;
use crate::decide::outcome::Outcome;
use crate::decide::text::one_line;
use crate::exit::{Failure, Kind};

pub(super) fn unreachable(url: &Url, error: &reqwest::Error) -> Failure {
    failure(Kind::Unreachable, url, super::explain(error))
        .hint("check KAFKA_CONNECT_URL (or _HOST, _PORT, _PROTO) and that the worker runs")
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
        _ if status.is_redirection() => not_connect_at(
            format!("HTTP {code}: redirects are not followed"),
            "set KAFKA_CONNECT_URL to where it redirects, if that is Connect",
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

/// What a worker puts in front of the error of the worker to which it passed
/// a request on (`RestClient`).
const FORWARDED: &str = "IO Error trying to forward REST request: ";

/// Whether this error of forwarding says that the other worker did nothing: it
/// did not accept the connection, or answered 409, which is a 500 with this
/// text before KAFKA-13702 (3.4.0). A config provider whose own server refuses
/// a connection says so too, but without [`FORWARDED`] in front: that restart
/// was tried.
fn was_not_forwarded(error: &str) -> bool {
    error.contains("Connection refused") || error.starts_with("Cannot complete request")
}

/// The table of restart answers. 202 to a KIP-745 call is not here: its body says what was taken.
pub(super) fn outcome(status: StatusCode, text: &str) -> Outcome {
    let code = status.as_u16();
    let json = connect_message(text);
    let told: Arc<str> = format!("HTTP {code}{}", message_suffix(text)).into();
    match (code, json.as_deref()) {
        (204, _) => Outcome::Taken,
        (400, None) if is_page(text) => Outcome::Unaddressable(
            "HTTP 400: Connect cannot address this name (Connect 4 refuses / % and \\ in it); only a connector with another name can be restarted".into(),
        ),
        (401 | 403, _) => Outcome::Unauthorized(told),
        (404, Some(_)) => Outcome::NotFound(told),
        (409 | 429, _) | (503, Some(_)) => Outcome::NotNow(told),
        (500, Some(message)) => {
            let forwarded = message.strip_prefix(FORWARDED);
            let said = forwarded.unwrap_or(message);
            // The second is a standalone worker's way to say it.
            if said.starts_with("Failed to start") || said.starts_with("Failed to transition") {
                Outcome::FailedAgain(told)
            } else if message.contains("rebalance is expected") || forwarded.is_some_and(was_not_forwarded) {
                Outcome::NotNow(told)
            } else {
                Outcome::Unknown(told)
            }
        }
        (300..=499, _) => Outcome::Refused(told),
        _ => Outcome::Unknown(told),
    }
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

/// What the body says, behind a colon and safe to print; nothing for a page or
/// nothing.
pub(super) fn message_suffix(text: &str) -> String {
    let text =
        connect_message(text).unwrap_or_else(|| if is_page(text) { String::new() } else { text.to_owned() });
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
    fn what_a_body_says_is_one_line_without_secrets() {
        assert_eq!(message_suffix(&json("password=x\\nmore")), ": password=***");
        assert_eq!(message_suffix(HTML), "");
        assert_eq!(message_suffix("\n plain \u{1b}[1m"), ": plain [1m");
    }
}
