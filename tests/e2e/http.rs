//! The test's own view of a worker: one plain HTTP/1.0 request per connection, written out by hand.
//!
//! It shares no code with the program under test, so a mistake in guardian's client cannot hide here.
//! HTTP/1.0 makes the server close the connection after an unchunked body, which is all the parsing that a
//! test needs. No TLS: a worker that serves HTTPS gets a second, plain listener for the tests.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Result<Value, String> {
        serde_json::from_str(&self.body).map_err(|error| format!("{error} in {self}"))
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {} {}", self.status, self.content_type, self.body)
    }
}

/// Sends one request. `headers` are whole lines without their ends. `Err` means that no complete answer came.
pub fn request(
    port: u16,
    method: &str,
    path: &str,
    headers: &[String],
    body: &str,
) -> Result<Answer, String> {
    exchange(port, method, path, headers, body)
        .map_err(|error| format!("{method} {path} on port {port}: {error}"))
}

fn exchange(port: u16, method: &str, path: &str, headers: &[String], body: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    // Connect itself answers within 90 s (RestServer.DEFAULT_REST_REQUEST_TIMEOUT_MS).
    stream.set_read_timeout(Some(Duration::from_secs(95)))?;
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw)?;
    parse(&String::from_utf8_lossy(&raw))
        .ok_or_else(|| std::io::Error::other(format!("not an HTTP answer: {raw:?}")))
}

fn parse(raw: &str) -> Option<Answer> {
    let (head, body) = raw.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let content_type = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default();
    Some(Answer { status, content_type, body: body.to_owned() })
}

/// A name as one path segment: every byte but the unreserved ones as %XX.
pub fn segment(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'.' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
