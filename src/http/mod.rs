//! The HTTP client that `connect` and `store` share: how it is set up, and what
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
}

/// A client that follows no redirect, repeats nothing, and gives up on a
/// connection after ten seconds.
///
/// # Errors
/// In words, when TLS or the proxy cannot be set up: for example no CA
/// certificates on this machine.
pub fn client(settings: &Settings) -> Result<Client, Reason> {
    tls::install_provider();
    let builder = Client::builder()
        .user_agent(concat!("connector-guardian/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
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
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Why this request failed.
pub fn explain(error: &reqwest::Error) -> Reason {
    if let Some(reason) = tls::explain(error) {
        return reason;
    }
    let host = error.url().and_then(|url| url.host_str()).unwrap_or("host");
    let text = causes(error);
    if error.is_dns() {
        Reason { what: format!("the name {host} cannot be resolved"), remedy: None }
    } else if error.is_timeout() {
        let doing = if error.is_connect() { "connecting" } else { "waiting for the answer" };
        Reason { what: format!("timed out while {doing}"), remedy: None }
    } else if text.contains("invalid HTTP version") || text.contains("invalid HTTP status-line") {
        Reason { what: "the answer is not HTTP".to_owned(), remedy: Some(Remedy::UseHttps) }
    } else {
        Reason { what: text, remedy: None }
    }
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
