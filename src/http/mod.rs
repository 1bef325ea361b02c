//! The HTTP client that `connect`, `store` and `tell` share: how it is set up, and what
//! went wrong with a request in words. It knows no service's paths or answers.
//! Redirects are never followed and nothing is ever sent twice: who gets a
//! request, and how often, is decided by its caller.

pub mod tls;

use std::error::Error;
use std::fmt;
use std::fmt::Write;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, redirect};

pub use tls::{Identity, TrustedCas};

/// A worker that does not accept a connection within this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The proxy for requests.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Proxy {
    /// Straight to the server: proxy variables of a pod are a trap.
    #[default]
    None,
    /// As `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` say.
    Environment,
    /// Through this one; its URL may hold a password.
    Url(String),
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Environment => "env",
            Self::Url(_) => "a URL (not shown)",
        })
    }
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Secret {
    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(not shown)")
    }
}

/// The credentials that every request carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authorization {
    #[default]
    None,
    /// RFC 7617.
    Basic {
        user: String,
        /// Its password.
        password: Secret,
    },
    /// RFC 6750.
    Bearer(Secret),
}

impl Authorization {
    /// Adds the header, which is marked as sensitive, to a request.
    pub fn authorize(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self {
            Self::None => request,
            Self::Basic { user, password } => request.basic_auth(user, Some(password.expose())),
            Self::Bearer(token) => request.bearer_auth(token.expose()),
        }
    }
}

/// What a client is made of.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whether any URL is https: only then are the system's CAs loaded, which
    /// costs 2 ms and fails on a machine that has none.
    pub https: bool,
    /// CAs to trust besides the system's.
    pub trusted: Option<TrustedCas>,
    /// Whether those are trusted alone, without the system's.
    pub only_trusted: bool,
    /// The client's own certificate and key.
    pub identity: Option<Identity>,
    pub proxy: Proxy,
    /// How long a connection may take; ten seconds unless it says otherwise.
    pub patience: Option<Duration>,
}

/// A client that follows no redirect, repeats nothing, and gives up on a
/// connection in time.
///
/// # Errors
/// In words, when TLS or the proxy cannot be set up: for example no CA
/// certificates on this machine.
pub fn client(settings: &Settings) -> Result<Client, Reason> {
    tls::install_provider();
    let builder = Client::builder()
        .user_agent(concat!("connector-guardian/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(settings.patience.unwrap_or(CONNECT_TIMEOUT))
        .redirect(redirect::Policy::none())
        // On a kept connection that the server is just closing a request may be lost or not: the restart would be of
        // unknown fate and charged. A new one is either accepted or not.
        .pool_max_idle_per_host(0)
        .retry(reqwest::retry::never())
        .referer(false);
    let builder = through(builder, &settings.proxy)?;
    tls::secure(builder, settings).build().map_err(|error| match causes(&error) {
        text if text.contains("No CA certificates") => Reason {
            what: "this machine has no CA certificates: install them".to_owned(),
            remedy: Some(Remedy::TrustCa),
        },
        text => Reason { what: text, remedy: None },
    })
}

fn through(builder: ClientBuilder, proxy: &Proxy) -> Result<ClientBuilder, Reason> {
    match proxy {
        Proxy::None => Ok(builder.no_proxy()),
        Proxy::Environment => Ok(builder),
        // The error would repeat the URL, and with it a password.
        Proxy::Url(url) => {
            let proxy = reqwest::Proxy::all(url);
            let not_a_url = |_| Reason { what: "the proxy's address is no URL".to_owned(), remedy: None };
            proxy.map(|proxy| builder.proxy(proxy)).map_err(not_a_url)
        }
    }
}

/// Why a request failed, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub what: String,
    /// What would have helped; which setting that is, the caller knows.
    pub remedy: Option<Remedy>,
}

/// What may help against a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Speak TLS to this port.
    UseHttps,
    /// Speak plain HTTP to this port.
    UseHttp,
    /// Trust the CA of the server.
    TrustCa,
    /// Show a client certificate.
    ShowCertificate,
    /// Show another client certificate than the present one.
    ShowOtherCertificate,
    /// Name another host or port, or start what should listen there.
    CheckAddress,
    /// Open a firewall.
    LetThrough,
    /// Find out who accepted the connection and then ended it.
    SeeWhoListens,
    /// Use another proxy, or mend this one.
    CheckProxy,
    /// Show the proxy a user and a password, or others.
    ShowProxyCredentials,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Why this request failed that was sent straight to the server.
pub fn explain(error: &reqwest::Error) -> Reason {
    if let Some(reason) = tls::explain(error) {
        return reason;
    }
    let host = error.url().and_then(|url| url.host_str()).unwrap_or("host");
    let text = causes(error);
    let (what, remedy) = if error.is_dns() {
        (format!("the name {host} cannot be resolved"), Some(Remedy::CheckAddress))
    } else if error.is_timeout() && error.is_connect() {
        ("timed out while connecting".to_owned(), Some(Remedy::LetThrough))
    } else if error.is_timeout() {
        ("timed out while waiting for the answer".to_owned(), None)
    } else if text.contains("invalid HTTP version") || text.contains("invalid HTTP status-line") {
        ("the answer is not HTTP".to_owned(), Some(Remedy::UseHttps))
    } else if text.contains("tls handshake eof") {
        let what = "TLS: the server ended the connection within the handshake".to_owned();
        (what, Some(Remedy::SeeWhoListens))
    } else if text.starts_with("tcp ") {
        (text, Some(Remedy::CheckAddress))
    } else {
        (text, Some(Remedy::SeeWhoListens))
    };
    Reason { what, remedy }
}

/// Why this request failed that was sent through the proxy, if there is one: a fault of the proxy is called the proxy's.
pub fn explain_through(proxy: &Proxy, error: &reqwest::Error) -> Reason {
    let reason = explain(error);
    let text = causes(error);
    // The types of these errors are private to hyper-util: only their texts tell them apart.
    if let Some(refusal) = text.strip_prefix("tunnel error: ") {
        let (what, remedy) = if refusal.starts_with("proxy authorization required") {
            ("the proxy wants a user and a password, or others than it got", Remedy::ShowProxyCredentials)
        } else if refusal.starts_with("unsuccessful") {
            ("the proxy refused to connect to the worker", Remedy::CheckProxy)
        } else if refusal.starts_with(NO_PROXY) {
            return unreachable_proxy(error, &reason);
        } else {
            ("the proxy ended the connection", Remedy::CheckProxy)
        };
        return Reason { what: what.to_owned(), remedy: Some(remedy) };
    }
    // Through a tunnel only time can run out for the proxy and the server alike.
    let perhaps =
        error.is_connect() && (error.is_timeout() || error.url().is_some_and(|url| url.scheme() == "http"));
    match proxy {
        Proxy::Url(_) if perhaps => unreachable_proxy(error, &reason),
        Proxy::Environment if perhaps => Reason {
            what: format!("{}; it may be the proxy that the environment names", reason.what),
            remedy: Some(Remedy::CheckProxy),
        },
        _ => reason,
    }
}

const NO_PROXY: &str = "failed to create underlying connection: ";

fn unreachable_proxy(error: &reqwest::Error, reason: &Reason) -> Reason {
    let why = reason.what.rsplit_once(NO_PROXY).map_or(reason.what.as_str(), |(_, why)| why);
    let why = if error.is_dns() { "its name cannot be resolved" } else { why };
    Reason { what: format!("the proxy cannot be reached: {why}"), remedy: Some(Remedy::CheckProxy) }
}

/// The innermost causes of an error; the outer ones only repeat the URL.
fn causes(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        source = cause.source();
        let line = cause.to_string();
        let repeats = source.is_some_and(|inner| line.contains(&inner.to_string()));
        if !repeats && !line.starts_with("client error") && !text.contains(&line) {
            let separator = if text.is_empty() { "" } else { ": " };
            let _ = write!(text, "{separator}{line}");
        }
    }
    if text.is_empty() { "the request failed".to_owned() } else { text }
}
