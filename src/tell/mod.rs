//! The sinks: where people are told, one file a kind. What there is to say is decided in `decide::tell`; here it gets its
//! words and its way. An address is a secret: of a URL at most its scheme and host are ever shown.

mod alertmanager;
mod event;
mod exec;
pub mod heartbeat;
mod post;
pub mod push;
mod slack;
mod teams;
pub mod textfile;
mod webhook;
mod words;

use std::fmt;
use std::path::PathBuf;

use reqwest::{Client, Url};

use crate::decide::select::Patterns;
use crate::decide::shared::SharedStr;
use crate::decide::tell::{Delivery, Digest, Mark};
use crate::http::Secret;

/// One place where people are told.
#[derive(Clone, Debug)]
pub struct Sink {
    pub name: SharedStr,
    /// The connectors that it is told of; `None` is all.
    pub only: Option<Patterns>,
    pub place: Place,
}

/// What kind it is, and where.
#[derive(Clone, Debug)]
pub enum Place {
    /// Slack and what takes the same: Mattermost, Rocket.Chat, Google Chat, Discord's `/slack`.
    Slack(Address),
    /// A Workflows URL of Microsoft Teams.
    Teams(Address),
    /// All of these; one that takes it is enough.
    Alertmanager { urls: Vec<Address>, labels: Vec<(String, String)>, token: Option<Secret> },
    /// Whatever takes CloudEvents.
    Webhook { url: Address, token: Option<Secret> },
    /// A program on this machine.
    Exec(PathBuf),
}

/// A URL that is a secret but for its scheme and host.
#[derive(Clone)]
pub struct Address(Url);

impl Address {
    /// `None` when it is no URL of HTTP.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(Self(url))
    }

    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The URL itself, for the one place that sends to it.
    fn expose(&self) -> &Url {
        &self.0
    }

    /// What in an answer would give it away.
    fn secrets(&self) -> Vec<String> {
        let path = self.0.path_segments().into_iter().flatten().map(str::to_owned);
        let query = self.0.query_pairs().flat_map(|(name, value)| [name.into_owned(), value.into_owned()]);
        let rest = [self.0.username(), self.0.password().unwrap_or_default()].map(str::to_owned);
        path.chain(query).chain(rest).filter(|part| part.len() >= 6).collect()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.host_str().unwrap_or_default();
        let port = self.0.port().map(|port| format!(":{port}")).unwrap_or_default();
        write!(f, "{}://{host}{port}", self.0.scheme())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} (the rest is not shown)")
    }
}

/// How much of a cause leaves this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShowCause {
    #[default]
    Full,
    /// The exception's class.
    Class,
    None,
}

/// Who speaks, of what, and how.
#[derive(Clone, Copy, Debug)]
pub struct Speaker<'a> {
    pub cluster: &'a str,
    /// Connect's.
    pub url: &'a str,
    /// Where a person sees a connector; `{connector}` stands for its name.
    pub link: Option<&'a str>,
    pub show: ShowCause,
    /// It is only a test.
    pub test: bool,
}

/// One message to one sink.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub speaker: Speaker<'a>,
    pub digest: &'a Digest,
    /// What the sink was told before it, and will have been told after it.
    pub before: &'a [Mark],
    pub after: &'a [Mark],
}

/// What became of a message, and what was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub delivery: Delivery,
    pub text: String,
}

impl Sink {
    /// The word of the setting.
    pub fn kind(&self) -> &'static str {
        match self.place {
            Place::Slack(_) => "slack",
            Place::Teams(_) => "teams",
            Place::Alertmanager { .. } => "alertmanager",
            Place::Webhook { .. } => "webhook",
            Place::Exec(_) => "exec",
        }
    }

    /// Where it is, as far as that may be shown.
    pub fn shown(&self) -> String {
        match &self.place {
            Place::Slack(url) | Place::Teams(url) | Place::Webhook { url, .. } => url.to_string(),
            Place::Alertmanager { urls, .. } => {
                urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            }
            Place::Exec(path) => path.display().to_string(),
        }
    }

    /// Whether it wants to hear at every run what is still wrong, and reminds people itself.
    pub fn wants_every_run(&self) -> bool {
        matches!(self.place, Place::Alertmanager { .. })
    }

    /// Whether it is told over HTTPS.
    pub fn is_https(&self) -> bool {
        match &self.place {
            Place::Slack(url) | Place::Teams(url) | Place::Webhook { url, .. } => url.is_https(),
            Place::Alertmanager { urls, .. } => urls.iter().any(Address::is_https),
            Place::Exec(_) => false,
        }
    }

    /// Tells it.
    pub async fn tell(&self, message: Message<'_>, http: &Client) -> Answer {
        match &self.place {
            Place::Slack(url) => slack::tell(url, message, http).await,
            Place::Teams(url) => teams::tell(url, message, http).await,
            Place::Alertmanager { urls, labels, token } => {
                alertmanager::tell(urls, labels, token.as_ref(), message, http).await
            }
            Place::Webhook { url, token } => {
                webhook::tell(url, token.as_ref(), &self.name, message, http).await
            }
            Place::Exec(path) => exec::tell(path, &self.name, message).await,
        }
    }
}

impl Answer {
    fn arrived(text: impl Into<String>) -> Self {
        Self { delivery: Delivery::Arrived, text: text.into() }
    }

    fn failed(text: impl Into<String>) -> Self {
        Self { delivery: Delivery::Failed, text: text.into() }
    }

    /// Nobody was even asked.
    pub fn nobody(why: &str) -> Self {
        Self::failed(why)
    }

    /// Nobody knows.
    pub fn unknown(text: impl Into<String>) -> Self {
        Self { delivery: Delivery::Unknown, text: text.into() }
    }

    pub fn is_ok(&self) -> bool {
        self.delivery == Delivery::Arrived
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_only_scheme_and_host_are_shown() {
        let address = Address::parse("https://u:p@hooks.example:8443/services/T000/SECRET?k=v").unwrap();
        for shown in [address.to_string(), format!("{address:?}")] {
            assert!(shown.starts_with("https://hooks.example:8443"), "{shown}");
            assert!(!shown.contains("SECRET") && !shown.contains("u:p") && !shown.contains("k=v"), "{shown}");
        }
        for wrong in ["", "x", "/path", "ftp://h/", "slack://token", "http://"] {
            assert!(Address::parse(wrong).is_none(), "{wrong}");
        }
    }
}
