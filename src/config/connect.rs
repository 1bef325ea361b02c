//! How to reach Connect: its workers' URLs, the cluster's name that follows from them, certificates, proxy.

use std::net::Ipv6Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use reqwest::Url;

use super::Environment;
use super::credentials::{self, Credentials};
use super::sources::{Inputs, Value, at_least, commas};
use crate::cli::{self, Setting};
use crate::decide::text::sanitize;
use crate::http::{Identity, Proxy, TrustedCas};

/// How to reach Connect.
#[derive(Debug)]
pub struct Connect {
    /// Its workers.
    pub urls: Vec<Url>,
    pub credentials: Credentials,
    /// Which CAs are trusted besides the system's.
    pub trusted: Option<TrustedCas>,
    /// The client's certificate.
    pub identity: Option<Identity>,
    pub proxy: Proxy,
    /// For the whole answer of one worker.
    pub timeout: Duration,
    /// Whether this process runs in a container.
    pub in_container: bool,
}

impl Connect {
    pub(super) fn read(inputs: &Inputs<'_>, urls: Vec<Url>) -> Result<Self> {
        Ok(Self {
            credentials: credentials::read(inputs)?,
            trusted: trusted_by(inputs, &cli::CA_FILE)?,
            identity: identity(inputs)?,
            proxy: proxy_of(inputs, &cli::PROXY)?,
            timeout: inputs.duration(&cli::TIMEOUT)?,
            in_container: in_container(inputs.environment, Path::new("/")),
            urls,
        })
    }
}

/// Docker and podman leave a file, Kubernetes a variable.
pub(super) fn in_container(environment: &Environment, root: &Path) -> bool {
    environment.contains_key("KUBERNETES_SERVICE_HOST")
        || [".dockerenv", "run/.containerenv"].iter().any(|file| root.join(file).exists())
}

/// `KAFKA_CONNECT_URL`, or the URL that host, port and protocol make. A typed flag of either kind beats the environment's
/// of the other.
pub(super) fn urls(inputs: &Inputs<'_>, warnings: &mut Vec<String>) -> Result<Vec<Url>> {
    let list = inputs.get(&cli::URL)?;
    let parts = [inputs.value(&cli::HOST)?, inputs.value(&cli::PORT)?, inputs.value(&cli::PROTOCOL)?];
    match (list, parts.iter().find(|part| part.typed)) {
        (Some(list), Some(part)) if list.typed => bail!("--url and {} exclude each other", part.name),
        (Some(list), None) => listed_urls(&list),
        (_, _) => Ok(vec![built_url(&parts, warnings)?]),
    }
}

fn listed_urls(value: &Value) -> Result<Vec<Url>> {
    const TAKES: &str = "worker URLs such as http://connect:8083, separated by commas";
    let urls = commas(&value.text).into_iter().map(|text| {
        without_zone(value, &text)?;
        let url = Url::parse(&text).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
        let url = url.ok_or_else(|| value.refuse(TAKES))?;
        let name = &value.name;
        ensure!(
            url.username().is_empty() && url.password().is_none(),
            "{name}: no user or password in a URL; use KAFKA_CONNECT_USER and KAFKA_CONNECT_PASS_FILE"
        );
        ensure!(
            !url.path().trim_end_matches('/').ends_with("/connectors"),
            "{name}: leave /connectors out of the URL: guardian adds it itself"
        );
        ensure!(
            url.query().is_none() && url.fragment().is_none(),
            "{name} takes worker URLs without ? and #"
        );
        Ok(url)
    });
    let urls = urls.collect::<Result<Vec<Url>>>()?;
    if urls.is_empty() { Err(value.refuse(TAKES)) } else { Ok(urls) }
}

/// No URL holds the zone of a link-local address (RFC 6874 is obsolete, and the URL Standard knows none).
fn without_zone(value: &Value, text: &str) -> Result<()> {
    let zone = text.split_once('%').is_some_and(|(before, _)| {
        let address = before.rsplit('[').next().unwrap_or_default();
        address.parse::<Ipv6Addr>().is_ok()
    });
    ensure!(
        !zone,
        "{}: an IPv6 address cannot have a zone (%...) here: use the worker's name, or an address without a zone that is not link-local (fe80:...)",
        value.name
    );
    Ok(())
}

fn built_url([host, port, protocol]: &[Value; 3], warnings: &mut Vec<String>) -> Result<Url> {
    let scheme = protocol.parse("http or https", |text| match text.to_ascii_lowercase().as_str() {
        "http" => Some("http"),
        "https" => Some("https"),
        _ => None,
    })?;
    let parse_port = |port: &Value| port.parse("a port number from 1 to 65535", at_least(1_u16));
    let number = if !port.typed && port.text.starts_with("tcp://") {
        let default = parse_port(&Value::default_of(&cli::PORT)?)?;
        warnings.push(format!(
            "{} is {:?}, which Kubernetes sets for a Service of that name: {default} is used (enableServiceLinks: false avoids this)",
            port.name,
            sanitize(&port.text)
        ));
        default
    } else {
        parse_port(port)?
    };
    let text = host.text.trim();
    without_zone(host, text)?;
    let bracketed =
        if text.contains(':') && !text.starts_with('[') { format!("[{text}]") } else { text.to_owned() };
    let url = Url::parse(&format!("{scheme}://{bracketed}:{number}")).ok();
    // Anything but a host would end up elsewhere in the URL.
    let only_host = |url: &Url| {
        url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
    };
    url.filter(|url| only_host(url) && !text.contains(['/', '@', '?', '#', '\\']))
        .ok_or_else(|| host.refuse("a host name or address, without scheme, port or path"))
}

/// The cluster's name, by default made of the first worker's URL.
pub(super) fn cluster(inputs: &Inputs<'_>, urls: &[Url]) -> Result<String> {
    if let Some(value) = inputs.get(&cli::CLUSTER)? {
        return value.parse("a name of 1 to 100 characters without control characters", |text| {
            let fine = (1..=100).contains(&text.chars().count()) && !text.contains(char::is_control);
            fine.then(|| text.to_owned())
        });
    }
    let Some(url) = urls.first() else { return Ok("connect".to_owned()) };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).replace(':', "-");
    let port = url.port_or_known_default().unwrap_or_default();
    let path = url.path().trim_matches('/').replace('/', "_");
    Ok(if path.is_empty() { format!("{host}_{port}") } else { format!("{host}_{port}_{path}") })
}

/// The CAs that a setting names.
pub(super) fn trusted_by(inputs: &Inputs<'_>, setting: &Setting) -> Result<Option<TrustedCas>> {
    let Some((value, pem)) = inputs.file(setting)? else { return Ok(None) };
    TrustedCas::from_pem(&pem).map(Some).map_err(|why| anyhow!("{}: {} {why}", value.name, value.text))
}

fn identity(inputs: &Inputs<'_>) -> Result<Option<Identity>> {
    match (inputs.file(&cli::CERT_FILE)?, inputs.file(&cli::KEY_FILE)?) {
        (Some((cert, certificate)), Some((key, private))) => Identity::from_pem(&certificate, &private)
            .map(Some)
            .with_context(|| format!("{} and {}", cert.name, key.name)),
        (None, None) => Ok(None),
        (Some((value, _)), None) => bail!("{} needs KAFKA_CONNECT_KEY_FILE too", value.name),
        (None, Some((value, _))) => bail!("{} needs KAFKA_CONNECT_CERT_FILE too", value.name),
    }
}

/// What a setting says of a proxy.
pub(super) fn proxy_of(inputs: &Inputs<'_>, setting: &Setting) -> Result<Proxy> {
    let value = inputs.value(setting)?;
    match value.text.trim() {
        "none" => Ok(Proxy::None),
        "env" => Ok(Proxy::Environment),
        text => {
            without_zone(&value, text)?;
            let url = Url::parse(text)
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            let url = url.ok_or_else(|| value.refuse("none, env or a URL such as http://proxy:3128"))?;
            ensure!(
                !value.typed || (url.username().is_empty() && url.password().is_none()),
                "--proxy: no password on a command line, where everybody sees it; use GUARDIAN_PROXY"
            );
            Ok(Proxy::Url(text.to_owned()))
        }
    }
}
