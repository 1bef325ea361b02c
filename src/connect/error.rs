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
use crate::http;

/// Why a listing could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No HTTP answer.
    Unreachable,
    /// HTTP, but not a listing of Kafka Connect's.
    NotConnect,
    /// 401 or 403.
    Unauthorized,
}

/// Why a listing could not be had, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Which sort of trouble.
    pub kind: Kind,
    /// What happened, and where.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Trouble {
    fn new(kind: Kind, url: &Url, text: impl fmt::Display, hint: Option<&str>) -> Self {
        Self { kind, message: format!("{}: {text}", shown(url)), hint: hint.map(str::to_owned) }
    }

    pub(super) fn unreachable(url: &Url, error: &reqwest::Error) -> Self {
        Self::new(
            Kind::Unreachable,
            url,
            http::explain(error),
            Some("check KAFKA_CONNECT_URL (or _HOST, _PORT, _PROTO) and that the worker runs"),
        )
    }

    pub(super) fn timed_out(url: &Url, timeout: Duration) -> Self {
        let text = format!("no complete answer within {}", humantime::format_duration(timeout));
        Self::new(
            Kind::Unreachable,
            url,
            text,
            Some("the worker may be overloaded; GUARDIAN_TIMEOUT gives it longer"),
        )
    }

    pub(super) fn body(url: &Url, error: &BodyError) -> Self {
        match error {
            BodyError::Cut(_) => Self::new(Kind::Unreachable, url, error, None),
            BodyError::TooLong(_) | BodyError::NotJson { .. } => Self::not_connect(url, error),
        }
    }

    pub(super) fn not_connect(url: &Url, text: impl fmt::Display) -> Self {
        Self::new(
            Kind::NotConnect,
            url,
            text,
            Some("is this the REST port of a Kafka Connect worker, with the right path?"),
        )
    }

    pub(super) fn status(url: &Url, status: StatusCode, text: &str) -> Self {
        let code = status.as_u16();
        let said = said(text);
        match status {
            StatusCode::UNAUTHORIZED => {
                let hint = "check KAFKA_CONNECT_USER and KAFKA_CONNECT_PASS (or their _FILE), or KAFKA_CONNECT_TOKEN_FILE";
                Self::new(
                    Kind::Unauthorized,
                    url,
                    format!("HTTP 401: not allowed without other credentials{said}"),
                    Some(hint),
                )
            }
            StatusCode::FORBIDDEN => {
                let hint =
                    "these credentials, or none, do not suffice for this: ask who runs Connect or its proxy";
                Self::new(Kind::Unauthorized, url, format!("HTTP 403: forbidden{said}"), Some(hint))
            }
            StatusCode::NOT_FOUND => Self::new(
                Kind::NotConnect,
                url,
                if is_page(text) { "HTTP 404 as a web page" } else { "HTTP 404" },
                Some("a worker that is still starting answers so; otherwise check the port and path"),
            ),
            _ if status.is_redirection() => Self::new(
                Kind::NotConnect,
                url,
                format!("HTTP {code}: redirects are not followed"),
                Some("set KAFKA_CONNECT_URL to where it redirects, if that is Connect"),
            ),
            _ if connect_message(text).is_some() => {
                let hint = "Connect itself says so: its log may say more";
                Self::new(Kind::NotConnect, url, format!("HTTP {code}{said}"), Some(hint))
            }
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                let hint = "a proxy answers in Connect's place: is the worker behind it up?";
                Self::new(Kind::NotConnect, url, format!("HTTP {code}{said}"), Some(hint))
            }
            _ => Self::not_connect(url, format!("HTTP {code}{said}")),
        }
    }

    /// One trouble for all workers that were tried.
    pub(super) fn all(troubles: &[Self]) -> Self {
        let worst = troubles.iter().find(|trouble| trouble.kind == Kind::NotConnect).or(troubles.first());
        let Some(worst) = worst else {
            return Self {
                kind: Kind::Unreachable,
                message: "no worker is configured".to_owned(),
                hint: None,
            };
        };
        let (kind, hint) = (worst.kind, worst.hint.clone());
        let message = match troubles {
            [one] => format!("no answer from Kafka Connect at {one}"),
            many => {
                let each: Vec<String> = many.iter().map(ToString::to_string).collect();
                format!("no answer from any of the {} workers: {}", many.len(), each.join("; "))
            }
        };
        Self { kind, message, hint }
    }
}

/// The URL as a person writes it.
pub(super) fn shown(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

/// What one answer to a restart means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Taken,
    NotNow(Arc<str>),
    Is(Outcome),
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

/// The table of restart answers. 202 to a KIP-745 call is not here: its body
/// says what was taken.
pub(super) fn answer(status: StatusCode, text: &str) -> Answer {
    let code = status.as_u16();
    let json = connect_message(text);
    let told: Arc<str> = format!("HTTP {code}{}", said(text)).into();
    match (code, json.as_deref()) {
        (204, _) => Answer::Taken,
        (400, None) if is_page(text) => Answer::Is(Outcome::Unaddressable(
            "HTTP 400: Connect cannot address this name (Connect 4 refuses / % and \\ in it); only a connector with another name can be restarted".into(),
        )),
        (401 | 403, _) => Answer::Is(Outcome::Unauthorized(told)),
        (404, Some(_)) => Answer::Is(Outcome::NotFound(told)),
        (409 | 429, _) | (503, Some(_)) => Answer::NotNow(told),
        (500, Some(message)) => {
            let forwarded = message.strip_prefix(FORWARDED);
            let said = forwarded.unwrap_or(message);
            // The second is a standalone worker's way to say it.
            if said.starts_with("Failed to start") || said.starts_with("Failed to transition") {
                Answer::Is(Outcome::FailedAgain(told))
            } else if message.contains("rebalance is expected") || forwarded.is_some_and(was_not_forwarded) {
                Answer::NotNow(told)
            } else {
                Answer::Is(Outcome::Unknown(told))
            }
        }
        (300..=499, _) => Answer::Is(Outcome::Refused(told)),
        _ => Answer::Is(Outcome::Unknown(told)),
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
pub(super) fn said(text: &str) -> String {
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
    fn every_answer_to_a_restart_has_its_meaning() {
        let forwarding = "IO Error trying to forward REST request: ";
        for (code, body, meaning) in [
            (204, String::new(), "Taken"),
            (200, String::new(), "Unknown"),
            (202, String::new(), "Unknown"),
            (302, String::new(), "Refused"),
            (400, HTML.into(), "Unaddressable"),
            (400, json("bad"), "Refused"),
            (401, "User cannot access the resource.".into(), "Unauthorized"),
            (403, HTML.into(), "Unauthorized"),
            (404, json("Unknown connector: x"), "NotFound"),
            (404, HTML.into(), "Refused"),
            (405, json("HTTP 405 Method Not Allowed"), "Refused"),
            (409, json("Cannot complete request momentarily due to stale configuration"), "NotNow"),
            (429, String::new(), "NotNow"),
            (500, json("Failed to start connector: x"), "FailedAgain"),
            (500, json("Failed to start task: x-0"), "FailedAgain"),
            (500, json("Failed to transition connector x to state STARTED"), "FailedAgain"),
            (500, json("Request cannot be completed because a rebalance is expected"), "NotNow"),
            (500, json(&format!("{forwarding}java.net.ConnectException: Connection refused")), "NotNow"),
            (500, json("java.net.ConnectException: Connection refused (vault:8200)"), "Unknown"),
            (500, json(&format!("{forwarding}Cannot complete request momentarily due to")), "NotNow"),
            (500, json(&format!("{forwarding}Failed to start task: x-0")), "FailedAgain"),
            (500, json(&format!("{forwarding}Idle timeout expired: 30000/30000 ms")), "Unknown"),
            (500, json(&format!("{forwarding}Unrecognized field \\\"version\\\"")), "Unknown"),
            (500, json("Request timed out. The worker is currently starting the connector"), "Unknown"),
            (500, r#"{"error_code":500,"message":null}"#.into(), "Unknown"),
            (500, HTML.into(), "Unknown"),
            (502, HTML.into(), "Unknown"),
            (503, json("This worker is still starting up"), "NotNow"),
            (503, HTML.into(), "Unknown"),
        ] {
            let answer = format!("{:?}", answer(StatusCode::from_u16(code).unwrap(), &body));
            let inner = answer.trim_start_matches("Is(");
            assert!(inner.starts_with(meaning), "{code} {body} is {answer}, not {meaning}");
        }
    }

    #[test]
    fn what_a_body_says_is_one_line_without_secrets() {
        assert_eq!(said(&json("password=x\\nmore")), ": password=***");
        assert_eq!(said(HTML), "");
        assert_eq!(said("\n plain \u{1b}[1m"), ": plain [1m");
    }
}
