//! The body of an answer: read as a stream into a parser on a thread of its
//! own, or as the first few kilobytes of text. It bounds what is read and makes
//! broken characters readable; what the bytes mean is the parser's business.

use std::fmt;
use std::io::{self, Read};

use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, LOCATION};
use tokio::sync::mpsc;

use crate::decide::secrets::mask_secrets;
use crate::decide::text::{cut, sanitize};
use crate::http;

/// Error texts are short; what comes after this is not read.
const LONGEST_TEXT: usize = 64 * 1024;
/// Chunks between the socket and the parser: one is enough for both to be busy,
/// and when many tasks have failed a chunk is 400 kB on each of the connections.
const IN_FLIGHT: usize = 1;

/// Why a body could not be read.
#[derive(Debug)]
pub(super) enum BodyError {
    /// The connection ended or failed within the body.
    Cut(String),
    /// It is longer than the limit, in bytes.
    TooLong(u64),
    /// It is not the JSON that was expected; the body's beginning.
    NotJson { error: serde_json::Error, beginning: String },
    /// It is compressed, though `identity` was asked for: as what.
    Encoded(String),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut(text) => write!(f, "the answer was cut off ({text})"),
            Self::TooLong(limit) => {
                write!(f, "the answer is longer than {} MiB, which no cluster's status is", limit >> 20)
            }
            Self::NotJson { beginning, .. } if beginning.trim_start().starts_with('<') => {
                write!(f, "the answer is a web page, not JSON: {}", cut(&mask_secrets(beginning.trim()), 80))
            }
            Self::NotJson { beginning, .. } if beginning.trim().is_empty() => {
                f.write_str("the answer is empty")
            }
            Self::NotJson { error, .. } => write!(f, "the answer is not JSON ({error})"),
            Self::Encoded(encoding) => {
                write!(f, "the answer is compressed ({encoding}), though guardian asks for it plain")
            }
        }
    }
}

/// Reads the body, chunk by chunk, through `parse`.
pub(super) async fn read_json<T: Send + 'static>(
    mut response: Response,
    limit: u64,
    parse: impl FnOnce(Body) -> serde_json::Result<T> + Send + 'static,
) -> Result<T, BodyError> {
    if let Some(encoded) = encoded(&response) {
        return Err(encoded);
    }
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    let parser = tokio::task::spawn_blocking(move || parse(Body::new(receiver)));
    let mut beginning = Vec::new();
    let mut length = 0_u64;
    let fed = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                length = length.saturating_add(chunk.len() as u64);
                if length > limit {
                    break Err(BodyError::TooLong(limit));
                }
                if beginning.len() < 256 {
                    beginning.extend(chunk.iter().take(256));
                }
                // A parser that stopped has found an error; it tells.
                if sender.send(Ok(Vec::from(chunk))).await.is_err() {
                    break Ok(());
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(BodyError::Cut(super::with_setting(&http::explain(&error)))),
        }
    };
    if fed.is_err() {
        let _ = sender.send(Err(())).await;
    }
    drop(sender);
    let parsed = parser.await;
    fed?;
    match parsed {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(BodyError::NotJson {
            error,
            beginning: sanitize(&String::from_utf8_lossy(&beginning)).into_owned(),
        }),
        Err(_) => Err(BodyError::Cut("the parser stopped".to_owned())),
    }
}

fn encoded(response: &Response) -> Option<BodyError> {
    let encoding = response.headers().get(CONTENT_ENCODING)?.to_str().ok()?;
    let unchanged = encoding.is_empty() || encoding.eq_ignore_ascii_case("identity");
    (!unchanged).then(|| BodyError::Encoded(cut(encoding, 20)))
}

/// Where a redirect leads, as far as it may be shown: path, query and user may hold a secret.
fn leads_to(response: &Response) -> Option<String> {
    let from = response.url();
    let location = response.headers().get(LOCATION).filter(|_| response.status().is_redirection())?;
    let to = location.to_str().ok().and_then(|text| from.join(text).ok()).map(|url| url.origin());
    Some(match to {
        Some(to) if to == from.origin() => "redirects to another path of the same server".to_owned(),
        Some(to) if to.is_tuple() => format!("redirects to {}", to.ascii_serialization()),
        _ => "redirects to no address".to_owned(),
    })
}

/// The first part of the body as text; a body that breaks off gives what came. Of a redirect, and of a body that cannot be
/// read, what its head says.
pub(super) async fn read_text(mut response: Response) -> String {
    if let Some(text) = leads_to(&response).or_else(|| Some(encoded(&response)?.to_string())) {
        return text;
    }
    let mut text = Vec::new();
    while text.len() < LONGEST_TEXT
        && let Ok(Some(chunk)) = response.chunk().await
    {
        text.extend_from_slice(&chunk);
    }
    text.truncate(LONGEST_TEXT);
    let mut text = String::from_utf8_lossy(&text).into_owned();
    mend_escapes(&mut text, true);
    text
}

/// The bytes of a body as a parser reads them: valid UTF-8, also where JSON
/// escapes it, because one broken character in one trace must not cost the whole
/// listing.
#[derive(Debug)]
pub(super) struct Body {
    chunks: mpsc::Receiver<Result<Vec<u8>, ()>>,
    /// Valid, and not yet read.
    ready: io::Cursor<Vec<u8>>,
    /// The beginning of a character, or of an escape, whose rest is in the next
    /// chunk.
    partial: Vec<u8>,
}

impl Body {
    fn new(chunks: mpsc::Receiver<Result<Vec<u8>, ()>>) -> Self {
        Self { chunks, ready: io::Cursor::default(), partial: Vec::new() }
    }

    /// Makes the next chunk ready; `false` at the end.
    fn refill(&mut self) -> io::Result<bool> {
        let mut bytes = std::mem::take(&mut self.partial);
        let last = match self.chunks.blocking_recv() {
            Some(Ok(chunk)) => {
                if bytes.is_empty() {
                    bytes = chunk;
                } else {
                    bytes.extend(chunk);
                }
                false
            }
            Some(Err(())) => return Err(io::ErrorKind::ConnectionAborted.into()),
            None if bytes.is_empty() => return Ok(false),
            None => true,
        };
        let mut text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => self.repair(error.as_bytes(), last),
        };
        let end = mend_escapes(&mut text, last);
        self.partial.splice(..0, text.split_off(end).into_bytes());
        self.ready = io::Cursor::new(text.into_bytes());
        Ok(true)
    }

    /// Replaces what is no UTF-8; the beginning of a character at the end of
    /// the chunk is kept for later.
    fn repair(&mut self, bytes: &[u8], last: bool) -> String {
        let mut repaired = String::with_capacity(bytes.len());
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            repaired.push_str(chunk.valid());
            let invalid = chunk.invalid();
            let unfinished = chunks.peek().is_none()
                && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if unfinished && !last {
                self.partial = invalid.to_vec();
            } else if !invalid.is_empty() {
                repaired.push(char::REPLACEMENT_CHARACTER);
            }
        }
        repaired
    }
}

/// Replaces, in place, each escape of half a character (`\ud83d` without its
/// `\udca5`), which parsers refuse. Jackson writes every character beyond the
/// BMP as two escapes (jackson-core #223) and checks that they are a pair only
/// since 2.21 (#1500), so that a trace that was cut within one reaches us so. Returns where the text ends, or where an
/// escape begins of which more may follow.
fn mend_escapes(text: &mut String, last: bool) -> usize {
    const BOTH_HALVES: usize = 12;
    let mut at = 0_usize;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find('\\')) {
        at = at.saturating_add(found);
        let rest = text.get(at..).unwrap_or_default();
        if rest.len() < BOTH_HALVES && !last {
            return at;
        }
        let length = match (escaped(rest), rest.get(6..).and_then(escaped)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => BOTH_HALVES,
            (Some(0xd800..=0xdfff), _) => {
                text.replace_range(at..at.saturating_add(6), "\\ufffd");
                6
            }
            _ => 2,
        };
        at = at.saturating_add(length);
    }
    text.len()
}

/// The number in the escape with which the text begins: `\u000a`.
fn escaped(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.ready.read(buffer)?;
            if count > 0 || buffer.is_empty() || !self.refill()? {
                return Ok(count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn through(chunks: &[&[u8]]) -> String {
        let (sender, receiver) = mpsc::channel(64);
        for chunk in chunks {
            sender.try_send(Ok(chunk.to_vec())).unwrap();
        }
        drop(sender);
        let mut text = String::new();
        Body::new(receiver).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn broken_utf_8_is_replaced_and_a_split_character_is_not() {
        assert_eq!(through(&[b"a\xc3", b"\xbcb"]), "aüb");
        assert_eq!(through(&[b"a\xff", b"b\xc3"]), "a\u{fffd}b\u{fffd}");
        assert_eq!(through(&[b"\xe6", b"\x97", b"\xa5"]), "日");
        assert_eq!(through(&[b"\xe6", b"x"]), "\u{fffd}x");
        assert_eq!(through(&[b"", b"x", b""]), "x");
    }

    #[test]
    fn an_escape_of_half_a_character_is_replaced_and_a_split_pair_is_not() {
        for (sent, read) in [
            (r#"["\ud83d"]"#, r#"["\ufffd"]"#),
            (r#"["\uDCA5 and more text"]"#, r#"["\ufffd and more text"]"#),
            (r#"["\ud83d\ud83d\udca5\udca5\n"]"#, r#"["\ufffd\ud83d\udca5\ufffd\n"]"#),
            (r#"["\ud83d\u00e9 \\ud83d \\\ud83d"]"#, r#"["\ufffd\u00e9 \\ud83d \\\ufffd"]"#),
            (r#"{"\udfffüü":"\ud83d日日"}"#, r#"{"\ufffdüü":"\ufffd日日"}"#),
            (r"\", r"\"),
            (r"\ud83", r"\ud83"),
            (r"\ud83d\ud", r"\ufffd\ud"),
            (r"\uüüd83d", r"\uüüd83d"),
        ] {
            for size in 1..=sent.len() {
                let chunks: Vec<&[u8]> = sent.as_bytes().chunks(size).collect();
                assert_eq!(through(&chunks), read, "in pieces of {size}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_chunks_read_as_the_lossy_text(bytes: Vec<u8>, size in 1usize..9) {
            let chunks: Vec<&[u8]> = bytes.chunks(size).take(60).collect();
            let whole = chunks.concat();
            prop_assert_eq!(through(&chunks), String::from_utf8_lossy(&whole).into_owned());
        }
    }
}
