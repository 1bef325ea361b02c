//! Whom to tell, and when. The text of the sinks is a secret as a whole: what is wrong with it is told by its line, never
//! by what stands there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::connect::{proxy_of, trusted_by};
use super::sources::{Inputs, commas, or_word, positive_duration, read_file, text_of};
use crate::cli;
use crate::decide::select::Patterns;
use crate::decide::shared::SharedStr;
use crate::decide::tell::{Audience, TellRules};
use crate::http::{Proxy, Secret, TrustedCas};
use crate::tell::heartbeat::Heartbeat;
use crate::tell::{Address, Place, ShowCause, Sink};

/// Whom to tell, and when.
#[derive(Debug, Default)]
pub struct Notify {
    pub sinks: Vec<Sink>,
    pub rules: TellRules,
    /// Where a person sees a connector.
    pub link: Option<String>,
    pub show: ShowCause,
    pub proxy: Proxy,
    /// Which CAs are trusted besides the system's.
    pub trusted: Option<TrustedCas>,
    pub heartbeat: Option<Heartbeat>,
}

/// Longer than any program's name for a chat.
const LONGEST_NAME: usize = 64;
const KINDS: &str = "slack, teams, alertmanager, webhook or exec";
/// What an alert's labels are made of; the operator's own are others.
const OUR_LABELS: [&str; 5] = ["alertname", "connect_cluster", "connector", "severity", "source"];

pub(super) fn read(inputs: &Inputs<'_>) -> Result<Notify> {
    let sinks = sinks(inputs)?;
    let audience = sinks.iter().map(|sink| Audience {
        name: SharedStr::clone(&sink.name),
        only: sink.only.clone(),
        every_run: sink.wants_every_run(),
    });
    let rules = TellRules {
        after: inputs.parsed(&cli::NOTIFY_AFTER, "a duration such as 15m, or 0s", |text| {
            humantime::parse_duration(text).ok()
        })?,
        remind: inputs.parsed(
            &cli::NOTIFY_REMIND,
            "off, or a duration such as 24h",
            or_word("off", positive_duration),
        )?,
        audience: audience.collect(),
    };
    Ok(Notify {
        sinks,
        rules,
        link: link(inputs)?,
        show: inputs.parsed(&cli::NOTIFY_CAUSE, "full, class or none", |text| match text {
            "full" => Some(ShowCause::Full),
            "class" => Some(ShowCause::Class),
            "none" => Some(ShowCause::None),
            _ => None,
        })?,
        proxy: proxy_of(inputs, &cli::NOTIFY_PROXY)?,
        trusted: trusted_by(inputs, &cli::NOTIFY_CA_FILE)?,
        heartbeat: heartbeat(inputs)?,
    })
}

fn link(inputs: &Inputs<'_>) -> Result<Option<String>> {
    let Some(value) = inputs.get(&cli::NOTIFY_LINK)? else { return Ok(None) };
    let link = value.text.trim();
    let takes = "a URL such as https://ui.example/connectors/{connector}";
    ensure!(Address::parse(&link.replace("{connector}", "x")).is_some(), value.refuse(takes));
    Ok(Some(link.to_owned()))
}

fn heartbeat(inputs: &Inputs<'_>) -> Result<Option<Heartbeat>> {
    let plain = inputs.get(&cli::HEARTBEAT_URL)?.map(|value| (value.name, value.text));
    let file = inputs.file(&cli::HEARTBEAT_URL_FILE)?;
    let (name, text) = match (plain, file) {
        (None, None) => return Ok(None),
        (Some((name, _)), Some((file, _))) => bail!("{name} and {} exclude each other", file.name),
        (Some(plain), None) => plain,
        (None, Some((value, bytes))) => (value.name.clone(), text_of(&value.name, bytes)?),
    };
    // Without the value: whoever knows it can say that all is well.
    let url = Heartbeat::parse(text.trim());
    Ok(Some(
        url.with_context(|| format!("{name} takes a URL (http:// or https://), with {{code}} or without"))?,
    ))
}

/// The text of the sinks and the name of where it came from. The credential of systemd is read only when nothing else is
/// set.
fn text(inputs: &Inputs<'_>) -> Result<Option<(String, String)>> {
    match (inputs.verbatim(&cli::NOTIFY)?, inputs.file(&cli::NOTIFY_FILE)?) {
        (Some(plain), Some((file, _))) => bail!("{} and {} exclude each other", plain.name, file.name),
        (Some(plain), None) => Ok(Some((plain.name, plain.text))),
        (None, Some((file, bytes))) => Ok(Some((file.name.clone(), text_of(&file.name, bytes)?))),
        (None, None) => {
            let folder = inputs.variable("CREDENTIALS_DIRECTORY")?;
            let path = folder.map(|value| Path::new(&value.text).join("notify")).filter(|path| path.exists());
            let Some(path) = path else { return Ok(None) };
            let name = "CREDENTIALS_DIRECTORY/notify";
            Ok(Some((name.to_owned(), text_of(name, read_file(name, &path)?)?)))
        }
    }
}

fn sinks(inputs: &Inputs<'_>) -> Result<Vec<Sink>> {
    let Some((setting, text)) = text(inputs)? else { return Ok(Vec::new()) };
    let mut sinks: Vec<Sink> = Vec::new();
    for (number, line) in (1_u32..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| anyhow!("{setting}: line {number} {what}");
        let sink = sink(line, &wrong)?;
        ensure!(
            !sinks.iter().any(|other| other.name == sink.name),
            wrong("has the name of a line before it: each sink needs its own")
        );
        sinks.push(sink);
    }
    ensure!(!sinks.is_empty(), "{setting} holds no sink (KIND NAME WHERE a line)");
    Ok(sinks)
}

/// `KIND NAME WHERE [only=PATTERN,...] [labels=k=v,...] [token-file=...]`.
fn sink(line: &str, wrong: &dyn Fn(&str) -> anyhow::Error) -> Result<Sink> {
    ensure!(
        !line.contains(['"', '\'']),
        wrong("has quotes in it, which would be part of what they stand around: write it without")
    );
    let mut words = line.split_whitespace();
    let (Some(kind), Some(name), Some(place)) = (words.next(), words.next(), words.next()) else {
        return Err(wrong("is not of the form KIND NAME WHERE"));
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    ensure!(
        name.len() <= LONGEST_NAME && name.chars().all(is_name),
        wrong("has no name behind its kind (letters, digits, - _ and .)")
    );
    let (mut only, mut labels, mut token) = (None, Vec::new(), None);
    for word in words {
        match word.split_once('=') {
            Some(("only", patterns)) => {
                let patterns = commas(patterns);
                ensure!(!patterns.is_empty(), wrong("has an empty only="));
                only = Some(Patterns::new("only", &patterns));
            }
            Some(("labels", all)) if kind == "alertmanager" => labels = labels_of(all, wrong)?,
            Some(("token-file", path)) if ["alertmanager", "webhook"].contains(&kind) => {
                token = Some(token_of(path, wrong)?);
            }
            Some(("labels" | "token-file", _)) => {
                return Err(wrong(
                    "has an option that its kind does not take (labels= is for alertmanager, token-file= for alertmanager and webhook)",
                ));
            }
            _ => {
                return Err(wrong(
                    "has something behind its address that is neither only=, labels= nor token-file=",
                ));
            }
        }
    }
    let url =
        || Address::parse(place).ok_or_else(|| wrong("has no URL (http:// or https://) behind its name"));
    let place = match kind {
        "slack" => Place::Slack(url()?),
        "teams" => Place::Teams(url()?),
        "webhook" => Place::Webhook { url: url()?, token },
        "alertmanager" => {
            let urls: Option<Vec<Address>> = commas(place).iter().map(|url| Address::parse(url)).collect();
            let urls = urls.filter(|urls| !urls.is_empty());
            let urls = urls.ok_or_else(|| {
                wrong(
                    "has something else than URLs (http:// or https://, separated by commas) behind its name",
                )
            })?;
            Place::Alertmanager { urls, labels, token }
        }
        "exec" => {
            let path = PathBuf::from(place);
            ensure!(
                path.is_absolute(),
                wrong("names a program by a relative path: an absolute one is needed")
            );
            Place::Exec(path)
        }
        _ => return Err(wrong(&format!("begins with no kind of sink: it takes {KINDS}"))),
    };
    Ok(Sink { name: name.into(), only, place })
}

fn labels_of(all: &str, wrong: &dyn Fn(&str) -> anyhow::Error) -> Result<Vec<(String, String)>> {
    let mut labels: Vec<(String, String)> = Vec::new();
    for label in commas(all) {
        let (name, value) =
            label.split_once('=').ok_or_else(|| wrong("has labels that are not of the form k=v,k=v"))?;
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        ensure!(is_name && !value.is_empty(), wrong("has a label whose name or value cannot be one"));
        ensure!(!OUR_LABELS.contains(&name), wrong("sets a label that guardian sets itself"));
        ensure!(!labels.iter().any(|(other, _)| other == name), wrong("sets a label twice"));
        labels.push((name.to_owned(), value.to_owned()));
    }
    Ok(labels)
}

fn token_of(path: &str, wrong: &dyn Fn(&str) -> anyhow::Error) -> Result<Secret> {
    let read = read_file("token-file", Path::new(path)).and_then(|bytes| text_of("token-file", bytes));
    let token = read.map_err(|error| wrong(&format!("has a {error:#}")))?;
    ensure!(
        token.chars().all(|c| c.is_ascii_graphic()),
        wrong("has a token-file that holds no bearer token")
    );
    Ok(Secret::from(token))
}

impl Notify {
    /// For how long all of them together may be told.
    pub const TIME: Duration = Duration::from_secs(15);
}
