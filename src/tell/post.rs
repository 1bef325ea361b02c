//! One request to a sink: how long it may take, when it is sent once more, and what an answer means. Redirects are not
//! followed, and no error shows more of a URL than its host.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::time::{sleep, timeout};

use super::{Address, Answer};
use crate::decide::secrets::mask_secrets;
use crate::decide::text::{cut, sanitize};
use crate::http::explain;

/// For one request and its answer.
const WHOLE: Duration = Duration::from_secs(10);
/// Before a request is sent once more.
const PAUSE: Duration = Duration::from_secs(1);
/// A `Retry-After` up to this is kept; beyond it the next run comes.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Of an answer's text, so much is looked at, and for so long.
const LOOKED_AT: usize = 1024;
const LOOKED_FOR: Duration = Duration::from_secs(1);
/// Clocks that differ by more are worth a word.
const CLOCKS: Duration = Duration::from_secs(5 * 60);

/// Sends a request, and once more where it was surely not taken and may be soon. `secret` is what no word may repeat.
pub(super) async fn send(request: RequestBuilder, address: &Address, secret: &[String]) -> Answer {
    let secret = [&address.secrets(), secret].concat();
    let again = request.try_clone();
    let (answer, pause) = once(request, &secret).await;
    let (Some(again), Some(pause)) = (again, pause) else { return answer };
    sleep(pause).await;
    once(again, &secret).await.0
}

/// What became of it, and after what time it may be sent once more.
async fn once(request: RequestBuilder, secret: &[String]) -> (Answer, Option<Duration>) {
    let response = match request.timeout(WHOLE).send().await {
        Ok(response) => response,
        Err(error) => {
            let why = hide(&explain(&error).what, secret);
            return if error.is_connect() {
                (Answer::failed(why), Some(PAUSE))
            } else if error.is_builder() {
                (Answer::failed(why), None)
            } else {
                // It may have been heard.
                (Answer::unknown(why), None)
            };
        }
    };
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (retry_after, date) = (header(RETRY_AFTER), header(DATE));
    let said = said(response, secret).await;
    let mut text = status.as_u16().to_string();
    if !said.is_empty() {
        text = format!("{text} {said}");
    }
    if let Some(off) = date.and_then(|date| clock_is_off(&date)) {
        text = format!("{text}; its clock and this one differ by {} min", off.as_secs() / 60);
    }
    if status.is_success() {
        return (Answer::arrived(text), None);
    }
    if status.is_redirection() {
        return (
            Answer::failed(format!(
                "{text}: it redirects, which is not followed: set the address that it leads to"
            )),
            None,
        );
    }
    let pause = match retry_after.map(|text| text.trim().parse().map(Duration::from_secs)) {
        Some(Ok(pause)) if pause <= LONGEST_PAUSE => Some(pause.max(PAUSE)),
        // Too long for this run, or a date.
        Some(_) => None,
        None => Some(PAUSE),
    };
    let may_pass = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    (Answer::failed(text), pause.filter(|_| may_pass))
}

/// The beginning of an answer, where it is made for people: `channel_not_found`.
async fn said(mut response: Response, secret: &[String]) -> String {
    let mut bytes = Vec::new();
    let reading = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > LOOKED_AT {
                break;
            }
        }
    };
    // What was taken was taken, whatever becomes of the rest of the answer.
    let _ = timeout(LOOKED_FOR, reading).await;
    bytes.truncate(LOOKED_AT);
    let text = String::from_utf8_lossy(&bytes);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.starts_with('<') { String::new() } else { cut(&hide(&text, secret), 100) }
}

/// The text without what it must not show.
fn hide(text: &str, secret: &[String]) -> String {
    let text = secret.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"));
    mask_secrets(&sanitize(&text))
}

/// By how much the clock of who answered differs from this one, if that is worth a word (`Sun, 06 Nov 1994 08:49:37 GMT`).
fn clock_is_off(date: &str) -> Option<Duration> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = date.split_whitespace().skip(1);
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = (1_u32..).zip(MONTHS).find(|(_, name)| *name == month)?.0;
    let theirs = humantime::parse_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z")).ok()?;
    let ours = SystemTime::now();
    let off = ours.duration_since(theirs).or_else(|_| theirs.duration_since(ours)).ok()?;
    (off > CLOCKS).then_some(off)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_seen() {
        assert_eq!(clock_is_off("never"), None);
        assert!(clock_is_off("Sun, 06 Nov 1994 08:49:37 GMT").is_some());
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let (date, time) = now.trim_end_matches('Z').split_once('T').unwrap();
        let parts: Vec<&str> = date.split('-').collect();
        let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let month = month[parts[1].parse::<usize>().unwrap() - 1];
        assert_eq!(clock_is_off(&format!("Sun, {} {month} {} {time} GMT", parts[2], parts[0])), None);
    }

    #[test]
    fn an_echo_gives_nothing_away() {
        let secret = ["T0000000".to_owned(), "SECRETSECRET".to_owned()];
        assert_eq!(
            hide("no such hook: /T0000000/SECRETSECRET\u{1b}[31m", &secret),
            "no such hook: /***/***[31m"
        );
    }
}
