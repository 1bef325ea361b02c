//! Kafka Connect over HTTP: the listing, and the restart of one call of the
//! plan. It says what Connect answered, in the words of `decide`; whether to
//! ask again, and what to remember, is not decided here.

mod body;
pub mod error;
pub mod wire;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Client, Method, Response, StatusCode, Url};
use tokio::task::JoinSet;

use crate::decide::model::{InstanceId, Listing, State};
use crate::decide::outcome::Outcome;
use crate::decide::plan::Call;
use crate::decide::text::sanitize;
use crate::http::{self, Authorization};

use body::{read_json, read_text};
use error::Answer;
pub use error::{Kind, Trouble};
pub use wire::Remembered;
use wire::{Collector, Document};

/// A body longer than this is no status of any cluster.
const LONGEST_BODY: u64 = 4 << 30;
/// Connect's own limit for one request is 90 s (`DEFAULT_REST_REQUEST_TIMEOUT_MS`):
/// a little more, to see its answer.
const RESTART_TIMEOUT: Duration = Duration::from_secs(95);

/// The workers of one cluster, and how to talk to them.
#[derive(Clone)]
pub struct Workers {
    /// Without user or password; tried in turn.
    pub urls: Vec<Url>,
    /// Who we are.
    pub authorization: Authorization,
    /// The time for the whole answer of one worker when reading.
    pub timeout: Duration,
    /// Requests in flight when every connector is asked by itself.
    pub parallel: usize,
}

/// What came of a restart call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An outcome for every instance of the call.
    Done(Vec<(InstanceId, Outcome)>),
    /// Not now; surely not taken. The same call may be sent again.
    NotNow(Arc<str>),
    /// A 204 to a KIP-745 call: an old worker ignored the query and restarted
    /// the connector's own instance only; its tasks must be restarted one by one.
    ConnectorOnly,
}

/// A client for one Kafka Connect cluster.
pub struct Connect {
    http: Client,
    workers: Workers,
    /// The worker that answered last: an index into the URLs.
    current: AtomicUsize,
}

impl Connect {
    /// A client for these workers. Nothing is sent.
    #[must_use]
    pub fn new(http: Client, workers: Workers) -> Self {
        Self { http, workers, current: AtomicUsize::new(0) }
    }

    /// The worker that answered last, or the first.
    #[must_use]
    pub fn url(&self) -> String {
        let current = self.workers.urls.get(self.current.load(Ordering::Relaxed));
        current.map_or_else(String::new, |url| url.as_str().trim_end_matches('/').to_owned())
    }

    /// What Connect says of every connector: from the first worker that gives a
    /// valid answer.
    ///
    /// # Errors
    /// When no worker gives one, or a worker says that this is not allowed.
    pub async fn listing(&self, remembered: &Remembered) -> Result<Listing, Trouble> {
        let mut troubles: Vec<Trouble> = Vec::new();
        for (index, url) in self.workers.urls.iter().enumerate() {
            self.current.store(index, Ordering::Relaxed);
            match self.within_timeout(url, self.listing_from(url, remembered)).await {
                Ok(listing) => return Ok(listing),
                Err(trouble) if trouble.kind == Kind::Unauthorized => return Err(trouble),
                Err(trouble) => {
                    tracing::debug!("{trouble}");
                    troubles.push(trouble);
                }
            }
        }
        self.current.store(0, Ordering::Relaxed);
        Err(Trouble::all(&troubles))
    }

    async fn listing_from(&self, url: &Url, remembered: &Remembered) -> Result<Listing, Trouble> {
        let response = self.get(url, "/connectors?expand=status").await?;
        let names = match response.status() {
            StatusCode::OK => {
                let remembered = Arc::clone(remembered);
                let document =
                    read_json(response, LONGEST_BODY, move |body| wire::read_document(body, &remembered))
                        .await;
                match document.map_err(|error| Trouble::body(url, &error))? {
                    Document::Listing(listing) => return Ok(*listing),
                    Document::Foreign => {
                        return Err(Trouble::not_connect(url, "its JSON is not a listing of connectors"));
                    }
                    Document::Names(names) => {
                        tracing::debug!(
                            "{url} does not know expand=status (Connect < 2.3); asking for each connector by itself"
                        );
                        names
                    }
                }
            }
            // Up to Connect 3.3 one broken connector fails the whole listing.
            status @ StatusCode::INTERNAL_SERVER_ERROR => {
                let text = read_text(response).await;
                if error::connect_message(&text).is_none() {
                    return Err(Trouble::status(url, status, &text));
                }
                tracing::warn!(
                    "{} cannot list all statuses at once{}; asking for each connector by itself",
                    error::shown(url),
                    error::said(&text)
                );
                self.names(url).await?
            }
            status => return Err(Trouble::status(url, status, &read_text(response).await)),
        };
        self.one_by_one(url, names, remembered).await
    }

    async fn names(&self, url: &Url) -> Result<Vec<String>, Trouble> {
        let response = self.get(url, "/connectors").await?;
        if response.status() != StatusCode::OK {
            let status = response.status();
            return Err(Trouble::status(url, status, &read_text(response).await));
        }
        let nothing = BTreeSet::new();
        let document =
            read_json(response, LONGEST_BODY, move |body| wire::read_document(body, &nothing)).await;
        match document.map_err(|error| Trouble::body(url, &error))? {
            Document::Names(names) => Ok(names),
            _ => Err(Trouble::not_connect(url, "its JSON is not a list of names")),
        }
    }

    /// Asks for each connector's status by itself. One that answers badly costs
    /// itself a warning; no answer at all, or none that is a status, ends the
    /// attempt with this worker.
    async fn one_by_one(
        &self,
        url: &Url,
        names: Vec<String>,
        remembered: &Remembered,
    ) -> Result<Listing, Trouble> {
        let mut collector = Collector::new(remembered);
        let (mut understood, mut problems) = (false, None);
        let mut names = names.into_iter();
        let mut asked = JoinSet::new();
        loop {
            while asked.len() < self.workers.parallel.max(1)
                && let Some(name) = names.next()
            {
                let status = self.one_status(url.clone(), name, Arc::clone(remembered));
                asked.spawn(status);
            }
            let Some(answer) = asked.join_next().await else { break };
            let Ok(answer) = answer else { return Err(Trouble::not_connect(url, "reading a status failed")) };
            let (name, listing) = answer?;
            if let Err(problem) = &listing {
                problems.get_or_insert_with(|| format!("{}: {problem}", sanitize(&name)));
            } else {
                understood = true;
            }
            collector.merge(&name, listing);
        }
        match problems {
            Some(first) if !understood => {
                Err(Trouble::not_connect(url, format_args!("no connector's status can be read ({first})")))
            }
            _ => Ok(collector.finish()),
        }
    }

    fn one_status(
        &self,
        url: Url,
        name: String,
        remembered: Remembered,
    ) -> impl Future<Output = Result<(String, Result<Option<Listing>, String>), Trouble>> + Send + use<> {
        let path = format!("/connectors/{}/status", encode(&name));
        let request = self.request(Method::GET, &url, &path).timeout(self.workers.timeout);
        async move {
            if is_dots(&name) {
                return Ok((name, Err("a URL cannot hold this name".to_owned())));
            }
            let response = request.send().await.map_err(|error| Trouble::unreachable(&url, &error))?;
            let status = response.status();
            let answer = match status {
                StatusCode::OK => {
                    let read = read_status(response, &name, remembered);
                    read.await.map(Some).map_err(|error| error.to_string())
                }
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    return Err(Trouble::status(&url, status, &read_text(response).await));
                }
                // No status record yet, or deleted meanwhile: the listing omits such a connector too.
                StatusCode::NOT_FOUND if error::connect_message(&read_text(response).await).is_some() => {
                    Ok(None)
                }
                _ => Err(format!("HTTP {}", status.as_u16())),
            };
            Ok((name, answer))
        }
    }

    async fn within_timeout<T>(
        &self,
        url: &Url,
        answer: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        match tokio::time::timeout(self.workers.timeout, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Trouble::timed_out(url, self.workers.timeout)),
        }
    }

    async fn get(&self, url: &Url, path: &str) -> Result<Response, Trouble> {
        let sent = self.request(Method::GET, url, path).send().await;
        sent.map_err(|error| Trouble::unreachable(url, &error))
    }

    fn request(&self, method: Method, url: &Url, path: &str) -> reqwest::RequestBuilder {
        let address = format!("{}{path}", url.as_str().trim_end_matches('/'));
        let request = self.http.request(method, address).header(ACCEPT, "application/json");
        self.workers.authorization.authorize(request)
    }

    /// Whether Connect may be asked to restart all failed instances of a
    /// connector in one call (KIP-745). No answer means that it may not.
    pub async fn can_restart_together(&self) -> bool {
        let Some(url) = self.workers.urls.get(self.current.load(Ordering::Relaxed)) else { return false };
        let version = async {
            let response = self.get(url, "/").await?;
            Ok(read_text(response).await)
        };
        match self.within_timeout(url, version).await {
            Ok(text) => error::root_version(&text).is_some_and(|version| understands_kip_745(&version)),
            Err(trouble) => {
                tracing::debug!("the version of Connect is not known: {trouble}");
                false
            }
        }
    }

    /// What Connect says of one connector now, every instance of it; empty when
    /// it says that there is no such connector.
    ///
    /// # Errors
    /// When its status cannot be had or not be understood: what this makes of a
    /// restart that was to follow, which is never sent then.
    pub async fn status(&self, connector: &Arc<str>) -> Result<Listing, Outcome> {
        let not_now = |text: &dyn fmt::Display| {
            Outcome::NotNow(format!("not sent, because its status could not be read again: {text}").into())
        };
        let path = format!("{}/status", address(connector)?);
        let response = match self.send(Method::GET, &path, self.workers.timeout).await {
            Ok(response) => response,
            Err(Lost::NotSent(text)) => return Err(Outcome::NotSent(text)),
            Err(Lost::Unanswered(text)) => return Err(not_now(&text)),
        };
        let status = response.status();
        if status == StatusCode::OK {
            let remembered = Arc::new(BTreeSet::from([Arc::clone(connector)]));
            let listing = read_status(response, connector.as_ref(), remembered)
                .await
                .map_err(|error| not_now(&error))?;
            return if listing.not_understood.is_empty() {
                Ok(listing)
            } else {
                Err(not_now(&"it cannot be understood"))
            };
        }
        match error::answer(status, &read_text(response).await) {
            Answer::Is(Outcome::NotFound(_)) => Ok(Listing::default()),
            Answer::Is(outcome @ (Outcome::Unauthorized(_) | Outcome::Unaddressable(_))) => Err(outcome),
            _ => Err(not_now(&format_args!("HTTP {}", status.as_u16()))),
        }
    }

    /// Sends one restart call.
    pub async fn restart(&self, call: &Call) -> Reply {
        let what = match call {
            Call::Together { .. } => "/restart?includeTasks=true&onlyFailed=true".to_owned(),
            Call::One { id: InstanceId { task: None, .. }, .. } => "/restart".to_owned(),
            Call::One { id: InstanceId { task: Some(task), .. }, .. } => format!("/tasks/{task}/restart"),
        };
        let path = match address(call.connector()) {
            Ok(address) => format!("{address}{what}"),
            Err(outcome) => return Reply::Done(outcome.of(call)),
        };
        match self.send(Method::POST, &path, RESTART_TIMEOUT).await {
            Ok(response) => self.read_reply(call, response).await,
            Err(Lost::NotSent(text)) => Reply::Done(Outcome::NotSent(text).of(call)),
            Err(Lost::Unanswered(text)) => {
                let text = format!("{text}; Connect may have done it all the same");
                Reply::Done(Outcome::Unknown(text.into()).of(call))
            }
        }
    }

    /// Sends to the worker that answered last. One that does not accept the
    /// connection leaves it to the next.
    async fn send(&self, method: Method, path: &str, timeout: Duration) -> Result<Response, Lost> {
        let count = self.workers.urls.len();
        let first = self.current.load(Ordering::Relaxed);
        let mut last = String::new();
        for index in (0..count).filter_map(|step| first.checked_add(step)?.checked_rem(count)) {
            let Some(url) = self.workers.urls.get(index) else { continue };
            match self.request(method.clone(), url, path).timeout(timeout).send().await {
                Ok(response) => {
                    self.current.store(index, Ordering::Relaxed);
                    return Ok(response);
                }
                Err(error) if error.is_connect() || error.is_builder() => {
                    last = format!("{}: {}", error::shown(url), http::explain(&error));
                    tracing::debug!("{last}");
                }
                Err(error) => return Err(Lost::Unanswered(http::explain(&error))),
            }
        }
        Err(Lost::NotSent(format!("no worker could be reached ({last})").into()))
    }

    async fn read_reply(&self, call: &Call, response: Response) -> Reply {
        let status = response.status();
        if status == StatusCode::ACCEPTED
            && let Call::Together { connector, expected } = call
        {
            let remembered = Arc::new(BTreeSet::from([Arc::clone(connector)]));
            return match read_status(response, connector, remembered).await {
                Ok(listing) => Reply::Done(accepted(expected, &listing)),
                Err(error) => Reply::Done(Outcome::Unknown(format!("HTTP 202, but {error}").into()).of(call)),
            };
        }
        let text = read_text(response).await;
        match error::answer(status, &text) {
            Answer::Taken if matches!(call, Call::Together { .. }) => Reply::ConnectorOnly,
            Answer::Taken => Reply::Done(Outcome::Taken.of(call)),
            Answer::NotNow(text) => Reply::NotNow(text),
            Answer::Is(outcome) => Reply::Done(outcome.of(call)),
        }
    }
}

/// Why a request got no answer.
enum Lost {
    /// No worker accepted the connection.
    NotSent(Arc<str>),
    /// One did; it may have got the request.
    Unanswered(String),
}

/// The status of one connector out of an answer that holds nothing else.
async fn read_status(
    response: Response,
    connector: &str,
    remembered: Remembered,
) -> Result<Listing, body::BodyError> {
    let name = connector.to_owned();
    let read = move |body| {
        let mut collector = Collector::new(&remembered);
        wire::read_status(body, &name, &mut collector).map(|()| collector.finish())
    };
    read_json(response, LONGEST_BODY, read).await
}

/// The path of a connector.
fn address(connector: &str) -> Result<String, Outcome> {
    if is_dots(connector) {
        return Err(Outcome::Unaddressable("a URL cannot hold this connector's name".into()));
    }
    Ok(format!("/connectors/{}", encode(connector)))
}

/// A 202 is a plan of Connect's: what its body does not show as restarting was
/// not in it.
fn accepted(expected: &[InstanceId], listing: &Listing) -> Vec<(InstanceId, Outcome)> {
    let outcome = |id: &InstanceId| match listing.sighting(id).map(|seen| &seen.state) {
        Some(State::Restarting | State::Running) => Outcome::Taken,
        Some(other) => Outcome::NotNow(format!("Connect left it {}", other.as_str()).into()),
        None if listing.not_understood.is_empty() => {
            Outcome::NotNow("Connect left it out of the restart".into())
        }
        None => Outcome::Unknown("HTTP 202 without a status that can be understood".into()),
    };
    expected.iter().map(|id| (id.clone(), outcome(id))).collect()
}

/// `Apache Kafka` >= 3.2; from major version 5 on, or with `-ccs`/`-ce`, it is
/// Confluent Platform and must be >= 7.2. Before 3.0 the query is ignored, and
/// 3.0 and 3.1 could start a task twice (KAFKA-13719).
fn understands_kip_745(version: &str) -> bool {
    let mut numbers = version.split(['.', '-', '+']).map(|part| part.parse::<u64>().ok());
    let (Some(Some(major)), Some(Some(minor))) = (numbers.next(), numbers.next()) else { return false };
    let confluent = major >= 5 || version.contains("-ccs") || version.contains("-ce");
    (major, minor) >= if confluent { (7, 2) } else { (3, 2) }
}

/// One path segment: every byte but `A-Z a-z 0-9 - _ ~ .` is percent-encoded.
fn encode(name: &str) -> String {
    use std::fmt::Write;
    name.bytes().fold(String::with_capacity(name.len()), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || b"-_~.".contains(&byte) {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
        path
    })
}

/// RFC 3986 takes these segments out of a path, also when they are encoded.
fn is_dots(name: &str) -> bool {
    matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_path_segment() {
        assert_eq!(encode("a b+c?d#e/f%g"), "a%20b%2Bc%3Fd%23e%2Ff%25g");
        assert_eq!(encode("ü-日._~"), "%C3%BC-%E6%97%A5._~");
    }

    #[test]
    fn kip_745_is_used_from_3_2_and_from_confluent_7_2() {
        for (version, can) in [
            ("2.8.2", false),
            ("3.0.0", false),
            ("3.1.2", false),
            ("3.2.0", true),
            ("3.10.0-SNAPSHOT", true),
            ("4.3.0", true),
            ("5.5.9", false),
            ("7.1.0-ccs", false),
            ("7.2.0-ccs", true),
            ("6.2.1-ce", false),
            ("8.1.0-ce", true),
            ("4.1.0-ccs", false),
            ("", false),
            ("unknown", false),
            ("3", false),
        ] {
            assert_eq!(understands_kip_745(version), can, "{version}");
        }
    }
}
