//! The heartbeat: one URL that is called after a run, so that somebody notices when guardian itself is no more. What the
//! service makes of it (healthchecks.io, Better Stack, Uptime Kuma, Dead Man's Snitch, Cronitor) is its own business.

use reqwest::{Client, StatusCode};

use super::post::send;
use super::{Address, Answer};

/// Stands for the exit code.
pub const CODE: &str = "{code}";

/// Where to.
#[derive(Clone)]
pub struct Heartbeat(String);

impl std::fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Heartbeat(not shown)")
    }
}

impl Heartbeat {
    /// `None` when it is no URL of HTTP.
    pub fn parse(text: &str) -> Option<Self> {
        Address::parse(&text.replace(CODE, "0")).map(|_| Self(text.to_owned()))
    }

    /// Whether it is called after a run that ended with this exit code: with a place for the code after every run but one
    /// that found another at work, else after those that did their work.
    pub fn beats(&self, code: u8) -> bool {
        if self.0.contains(CODE) { code != 75 } else { matches!(code, 0 | 3) }
    }

    fn address(&self, code: u8) -> Option<Address> {
        Address::parse(&self.0.replace(CODE, &code.to_string()))
    }

    pub fn is_https(&self) -> bool {
        self.address(0).is_some_and(|address| address.is_https())
    }

    /// As far as it may be shown.
    pub fn shown(&self) -> String {
        self.address(0).map(|address| address.to_string()).unwrap_or_default()
    }

    /// Calls it, with a line on what the run found.
    pub async fn beat(&self, code: u8, summary: &str, http: &Client) -> Answer {
        let Some(address) = self.address(code) else { return Answer::failed("it is no URL") };
        let url = address.expose();
        let post = http.post(url.clone()).header("Content-Type", "text/plain; charset=utf-8");
        let answer = send(post.body(summary.to_owned()), &address, &[]).await;
        // Some take nothing but a GET (Uptime Kuma before 2.0).
        let only_get = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
        if only_get.iter().any(|status| answer.text.starts_with(status.as_str())) {
            return send(http.get(url.clone()), &address, &[]).await;
        }
        answer
    }
}
