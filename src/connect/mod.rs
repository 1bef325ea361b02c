//! Kafka Connect over HTTP: one client for the workers of a cluster, and the restart of one call of the plan. It says what
//! Connect answered, in the words of `decide`; whether to ask again, and what to remember, is not decided here.

mod answers;
mod body;
mod health;
mod listing;
pub mod wire;

use std::cell::Cell;
use std::cmp::Reverse;
use std::time::Duration;

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_LENGTH, HeaderMap};
use reqwest::{Client, Method, Response, StatusCode, Url};

use crate::decide::calls::Call;
use crate::decide::listing::Listing;
use crate::decide::model::{InstanceId, State};
use crate::decide::outcome::Outcome;
use crate::exit::Failure;
use crate::http::{self, Authorization, Proxy, Reason, Remedy, Secret};

use crate::decide::shared::SharedStr;
use body::{BodyError, read_json, read_text};
pub use wire::Known;

/// A body longer than this is no status of any cluster.
const LONGEST_BODY: u64 = 4 << 30;
/// Connect's own limit for one request is 90 s (`DEFAULT_REST_REQUEST_TIMEOUT_MS`): a little more, to see its answer.
const RESTART_TIMEOUT: Duration = Duration::from_secs(95);

/// What a run asks of Kafka Connect. The tests have a cluster of their own behind it.
#[expect(async_fn_in_trait, reason = "everything runs on one thread, so that no future has to be Send")]
pub trait Cluster {
    /// What Connect says of every connector: from the first worker that gives a valid answer.
    ///
    /// # Errors
    /// When no worker gives one, or a worker says that this is not allowed.
    async fn listing(&self, known: &Known) -> Result<Listing, Failure>;

    /// What Connect says now of the connector of this call, every instance of it; empty when it says that there is no such
    /// connector.
    ///
    /// # Errors
    /// When its status cannot be read: the call is not to be sent then, and this is its result.
    async fn status(&self, call: &Call) -> Result<Listing, Sent>;

    /// Whether Connect may be asked to restart all failed instances of a connector in one call (KIP-745). No answer means
    /// that it may not.
    async fn supports_kip_745(&self) -> bool;

    /// Sends one restart call.
    async fn restart(&self, call: &Call) -> Sent;

    /// Begins with this worker, if it is one of the cluster's.
    fn begin_with(&self, url: Option<&str>);

    /// The worker with which the next run should begin: another than the first of the settings, when that one looks well
    /// but does not do what it is asked for.
    fn begin_next_with(&self) -> Option<SharedStr>;
}

/// The result of a restart call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// An outcome for every instance of the call.
    Done(Vec<(InstanceId, Outcome)>),
    /// Surely not taken, with this outcome. The same call may be sent again.
    Retry(Outcome),
    /// A 204 to a KIP-745 call: an old worker ignored the query and restarted the connector's own instance only; its tasks
    /// must be restarted one by one.
    OldWorker,
}

/// The workers of one cluster, and how to talk to them.
#[derive(Clone)]
pub struct Workers {
    /// Without user or password; tried in turn.
    pub urls: Vec<Url>,
    pub authorization: Authorization,
    /// More headers of every request, each value marked as sensitive.
    pub headers: HeaderMap,
    /// What is odd about these credentials, a part of a sentence each.
    pub doubts: Vec<String>,
    /// The time for the whole answer of one worker when reading.
    pub timeout: Duration,
    /// Requests in flight when every connector is asked by itself.
    pub parallel: usize,
    /// The one that the client was made with.
    pub proxy: Proxy,
    /// This process runs in a container, where `localhost` is seldom what is meant.
    pub in_container: bool,
}

impl Workers {
    /// The credentials in every form in which they go out. What is shorter than three characters would be found anywhere.
    fn as_sent(&self, http: &Client) -> Vec<Secret> {
        let Some(url) = self.urls.first() else { return Vec::new() };
        let request = http.get(url.clone()).headers(self.headers.clone());
        let Ok(request) = self.authorization.authorize(request).build() else { return Vec::new() };
        let values = request.headers().values().filter(|value| value.is_sensitive());
        // Basic and Bearer stand before the secret.
        let values = values.filter_map(|value| value.to_str().ok());
        let values = values.flat_map(|value| {
            let bare = value.split_once(' ').map(|(_, secret)| secret);
            std::iter::once(value).chain(bare)
        });
        let password = match &self.authorization {
            Authorization::Basic { password, .. } => Some(password.expose()),
            _ => None,
        };
        let all = values.chain(password).filter(|secret| secret.chars().count() >= 3);
        let mut all: Vec<Secret> = all.map(|secret| Secret::from(secret.to_owned())).collect();
        // A whole one before its parts.
        all.sort_by_key(|secret| Reverse(secret.expose().len()));
        all
    }
}

/// A client for one Kafka Connect cluster.
pub struct Connect {
    http: Client,
    workers: Workers,
    /// Every form in which the credentials go out.
    credentials: Vec<Secret>,
    /// The worker that answered last, or is to be asked next: an index into the URLs.
    current: Cell<usize>,
    /// The worker with which a run begins.
    first: Cell<usize>,
}

impl Connect {
    /// A client for these workers. Nothing is sent.
    pub fn new(http: Client, workers: Workers) -> Self {
        let credentials = workers.as_sent(&http);
        Self { http, workers, credentials, current: Cell::new(0), first: Cell::new(0) }
    }

    async fn text(&self, response: Response) -> String {
        self.mask(&read_text(response).await)
    }

    /// A text of somebody else's without the credentials that it was sent: a gateway may quote them in its error (AWS API
    /// Gateway does).
    fn mask(&self, text: &str) -> String {
        self.credentials.iter().fold(text.to_owned(), |text, secret| text.replace(secret.expose(), "***"))
    }

    /// The worker that answered last, or the first.
    pub fn url(&self) -> String {
        let current = self.workers.urls.get(self.current.get());
        current.map_or_else(String::new, |url| answers::display_url(url).to_owned())
    }

    async fn within_timeout<T>(
        &self,
        url: &Url,
        answer: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(self.workers.timeout, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(answers::timed_out(url, self.workers.timeout)),
        }
    }

    /// Why a request to a worker failed, and which setting may help.
    fn explain(&self, error: &reqwest::Error) -> String {
        with_setting(&http::explain_through(&self.workers.proxy, error))
    }

    fn unreachable(&self, url: &Url, error: &reqwest::Error) -> Failure {
        answers::unreachable(
            url,
            &http::explain_through(&self.workers.proxy, error),
            self.workers.in_container,
        )
    }

    async fn get(&self, url: &Url, path: &str) -> Result<Response, Failure> {
        let sent = self.request(Method::GET, url, path).send().await;
        sent.map_err(|error| self.unreachable(url, &error))
    }

    /// What the answer to a listing means that is no listing.
    fn bad_status(&self, url: &Url, status: StatusCode, text: &str) -> Failure {
        answers::bad_status(url, status, text, &self.workers.doubts)
    }

    fn request(&self, method: Method, url: &Url, path: &str) -> reqwest::RequestBuilder {
        let address = format!("{}{path}", answers::display_url(url));
        let is_post = method == Method::POST;
        let mut request = self.http.request(method, address).headers(self.workers.headers.clone());
        // Nothing here can decompress, and a proxy may take silence for consent. A cached status would have what runs again
        // restarted.
        for (name, value) in
            [(ACCEPT, "application/json"), (ACCEPT_ENCODING, "identity"), (CACHE_CONTROL, "no-cache")]
        {
            request = request.header(name, value);
        }
        if is_post {
            // Without it IIS, Azure's gateways and others answer 411 (RFC 9110, 15.5.12).
            request = request.header(CONTENT_LENGTH, "0");
        }
        self.workers.authorization.authorize(request)
    }

    /// All workers, this one first.
    fn in_turn(&self, first: usize) -> impl Iterator<Item = (usize, &Url)> {
        let all = self.workers.urls.iter().enumerate();
        all.clone().skip(first).chain(all.take(first))
    }

    /// This worker answers, but does not do what it is asked for: the next one is asked, in the next run too.
    fn leave(&self, index: usize) {
        // Of several calls to one worker only the first moves on.
        if self.current.get() == index {
            let next = self.in_turn(index).nth(1).map_or(index, |(next, _)| next);
            self.current.set(next);
            self.first.set(next);
        }
    }

    /// Sends to the worker that answered last. One that does not accept the connection leaves it to the next. Says which
    /// one answered.
    async fn send(&self, method: Method, path: &str, timeout: Duration) -> Result<(usize, Response), Lost> {
        let mut last = String::new();
        for (index, url) in self.in_turn(self.current.get()) {
            match self.request(method.clone(), url, path).timeout(timeout).send().await {
                Ok(response) => {
                    self.current.set(index);
                    return Ok((index, response));
                }
                Err(error) if error.is_connect() || error.is_builder() => {
                    last = format!("{}: {}", answers::display_url(url), self.explain(&error));
                    tracing::debug!("{last}");
                }
                Err(error) => {
                    self.current.set(index);
                    self.leave(index);
                    return Err(Lost::Unanswered(self.explain(&error)));
                }
            }
        }
        Err(Lost::NotSent(format!("no worker could be reached ({last})").into()))
    }

    /// What this answer means, and whether it is Connect's own word.
    async fn read_reply(&self, call: &Call, response: Response) -> (Sent, bool) {
        let status = response.status();
        if status == StatusCode::ACCEPTED
            && let Call::FailedOf { connector, expected } = call
        {
            let unknown =
                |error: BodyError| call.all(&Outcome::Unknown(format!("HTTP 202, but {error}").into()));
            let listing = read_status(response, connector, Known::connectors(&[connector])).await;
            let outcomes = listing.map_or_else(unknown, |listing| accepted(expected, &listing));
            return (Sent::Done(outcomes), true);
        }
        let text = self.text(response).await;
        let sent = match answers::outcome(status, &text) {
            Outcome::Taken if matches!(call, Call::FailedOf { .. }) => match status {
                StatusCode::NO_CONTENT => Sent::OldWorker,
                // Which of them it took, it does not say.
                _ => Sent::Done(call.all(&Outcome::Unknown(format!("HTTP {}", status.as_u16()).into()))),
            },
            outcome @ (Outcome::NotNow(_) | Outcome::NotReached(..)) => Sent::Retry(outcome),
            outcome => Sent::Done(call.all(&outcome)),
        };
        (sent, answers::connect_message(&text).is_some())
    }
}

impl Sent {
    /// Whether all of it ended like this.
    fn is(&self, like: impl Fn(&Outcome) -> bool) -> bool {
        matches!(self, Self::Done(outcomes) if outcomes.iter().all(|(_, outcome)| like(outcome)))
    }
}

impl Cluster for Connect {
    async fn listing(&self, known: &Known) -> Result<Listing, Failure> {
        self.first_listing(known).await.map_err(|failure| Failure {
            error: anyhow::Error::msg(self.mask(&failure.message())),
            ..failure
        })
    }

    async fn status(&self, call: &Call) -> Result<Listing, Sent> {
        let connector = call.connector();
        let not_now = |text: &dyn std::fmt::Display| {
            let text = format!("not sent, because its status could not be read again: {text}");
            Sent::Retry(Outcome::NotNow(text.into()))
        };
        let done = |outcome: Outcome| Sent::Done(call.all(&outcome));
        let path = format!("{}/status", address(connector).map_err(done)?);
        let (index, response) = match self.send(Method::GET, &path, self.workers.timeout).await {
            Ok(answered) => answered,
            Err(Lost::NotSent(text)) => return Err(done(Outcome::NotSent(text))),
            Err(Lost::Unanswered(text)) => return Err(not_now(&text)),
        };
        let status = response.status();
        if status == StatusCode::OK {
            let listing = read_status(response, connector, Known::connectors(&[connector])).await;
            return match listing {
                Ok(listing) if listing.not_understood.is_empty() => Ok(listing),
                Ok(_) => Err(not_now(&"it cannot be understood")),
                Err(error) => Err(not_now(&error)),
            };
        }
        match answers::outcome(status, &self.text(response).await) {
            Outcome::NotFound(_) => Ok(Listing::default()),
            outcome @ (Outcome::Unauthorized(_) | Outcome::Unaddressable(_)) => Err(done(outcome)),
            _ => {
                self.leave(index);
                Err(not_now(&format_args!("HTTP {}", status.as_u16())))
            }
        }
    }

    async fn supports_kip_745(&self) -> bool {
        let Some(url) = self.workers.urls.get(self.current.get()) else { return false };
        let version = async {
            let response = self.get(url, "/").await?;
            Ok(self.text(response).await)
        };
        match self.within_timeout(url, version).await {
            Ok(text) => answers::root_version(&text).is_some_and(|version| understands_kip_745(&version)),
            Err(failure) => {
                tracing::debug!("the version of Connect is not known: {failure}");
                false
            }
        }
    }

    async fn restart(&self, call: &Call) -> Sent {
        let what = match call {
            Call::FailedOf { .. } => "/restart?includeTasks=true&onlyFailed=true".to_owned(),
            Call::One { id: InstanceId { task: None, .. }, .. } | Call::ConnectorFirst { .. } => {
                "/restart".to_owned()
            }
            Call::One { id: InstanceId { task: Some(task), .. }, .. } => format!("/tasks/{task}/restart"),
        };
        let path = match address(call.connector()) {
            Ok(address) => format!("{address}{what}"),
            Err(outcome) => return Sent::Done(call.all(&outcome)),
        };
        let mut others = self.workers.urls.len().saturating_sub(1);
        loop {
            let (index, response) = match self.send(Method::POST, &path, RESTART_TIMEOUT).await {
                Ok(answered) => answered,
                Err(Lost::NotSent(text)) => return Sent::Done(call.all(&Outcome::NotSent(text))),
                Err(Lost::Unanswered(text)) => {
                    let text = format!("{text}; Connect may have done it all the same");
                    return Sent::Done(call.all(&Outcome::Unknown(text.into())));
                }
            };
            let (sent, is_connects_own) = self.read_reply(call, response).await;
            let refused_in_its_place = !is_connects_own && sent.is(|it| matches!(it, Outcome::Refused(_)));
            let unknown = sent.is(|it| matches!(it, Outcome::Unknown(_)));
            if refused_in_its_place || unknown || matches!(sent, Sent::Retry(_)) {
                self.leave(index);
            }
            if !refused_in_its_place || others == 0 {
                return sent;
            }
            others = others.saturating_sub(1);
        }
    }

    fn begin_with(&self, url: Option<&str>) {
        let known = |url| self.in_turn(0).find(|(_, known)| answers::display_url(known) == url);
        let first = url.and_then(known).map_or(0, |(index, _)| index);
        self.first.set(first);
        self.current.set(first);
    }

    fn begin_next_with(&self) -> Option<SharedStr> {
        let first = self.first.get();
        let url = self.workers.urls.get(first).filter(|_| first > 0);
        url.map(|url| answers::display_url(url).into())
    }
}

/// The reason, and which setting may help.
pub fn with_setting(reason: &Reason) -> String {
    let setting = match reason.remedy {
        None | Some(Remedy::CheckAddress | Remedy::LetThrough | Remedy::SeeWhoListens) => {
            return reason.what.clone();
        }
        Some(Remedy::UseHttps) => {
            "is this port https? then KAFKA_CONNECT_PROTO=https, or https in KAFKA_CONNECT_URL"
        }
        Some(Remedy::UseHttp) => "is it http? then KAFKA_CONNECT_PROTO=http, or http in KAFKA_CONNECT_URL",
        Some(Remedy::TrustCa) => "KAFKA_CONNECT_CA_FILE adds one",
        Some(Remedy::ShowCertificate) => "KAFKA_CONNECT_CERT_FILE and KAFKA_CONNECT_KEY_FILE",
        Some(Remedy::ShowOtherCertificate) => "that of KAFKA_CONNECT_CERT_FILE",
        Some(Remedy::CheckProxy) => "GUARDIAN_PROXY",
        Some(Remedy::ShowProxyCredentials) => "they go into the URL of GUARDIAN_PROXY",
    };
    format!("{} ({setting})", reason.what)
}

/// Why a request got no answer.
enum Lost {
    /// No worker accepted the connection.
    NotSent(SharedStr),
    /// One did; it may have got the request.
    Unanswered(String),
}

/// The status of one connector out of an answer that holds nothing else.
async fn read_status(response: Response, connector: &str, known: Known) -> Result<Listing, BodyError> {
    let name = connector.to_owned();
    read_json(response, LONGEST_BODY, move |body| wire::read_status(body, &name, &known)).await
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
    let outcome = |id: &InstanceId| match listing.sightings.get(id).map(|seen| &seen.state) {
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
