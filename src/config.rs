//! From what was typed and what the environment holds to one validated, typed
//! configuration: a flag beats the environment, which beats the default. Here,
//! and only here, precedence is decided and secrets are read. Every refusal is
//! one line that names the setting and says what it takes; it never repeats a
//! secret.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use tracing::Level;

use crate::cli::{SETTINGS, Setting, Typed};
use crate::decide::policy::{Pace, Policy};
use crate::decide::secrets::mask_secrets;
use crate::decide::select::Filter;
use crate::decide::text::{cut, sanitize};
use crate::http::{Authorization, Identity, Proxy, Secret, TrustedCas};
use crate::logging;
use crate::store::{ConfigMap, Place, ServiceAccount};

/// Everything that a command needs to know.
#[derive(Debug)]
pub struct Config {
    /// How to reach Connect.
    pub connect: Connect,
    /// The cluster's name in state and output.
    pub cluster: String,
    /// Where the ledger is kept.
    pub state: Place,
    /// How patient to be.
    pub policy: Policy,
    /// Which connectors to touch.
    pub filter: Filter,
    /// How to run.
    pub run: Run,
    /// What to print on stdout.
    pub output: Output,
    /// Print nothing unless something changed.
    pub quiet: bool,
    /// What to log.
    pub log: logging::Settings,
    /// What a person should know of the settings, one sentence each.
    pub warnings: Vec<String>,
}

/// How to reach Connect.
#[derive(Debug)]
pub struct Connect {
    /// Its workers.
    pub urls: Vec<Url>,
    /// Who we are.
    pub authorization: Authorization,
    /// Which CAs are trusted besides the system's.
    pub trusted: Option<TrustedCas>,
    /// The client's certificate.
    pub identity: Option<Identity>,
    /// Through what.
    pub proxy: Proxy,
    /// For the whole answer of one worker.
    pub timeout: Duration,
}

/// How to run.
#[derive(Debug)]
pub struct Run {
    /// The interval of a loop; `None` is one run.
    pub every: Option<Duration>,
    /// Show the plan, and nothing else.
    pub dry_run: bool,
    /// For one whole run.
    pub deadline: Duration,
    /// Connectors restarted at the same time.
    pub parallel: usize,
    /// What exits with 3.
    pub fail_on: FailOn,
}

/// What exits with 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailOn {
    /// Nothing.
    Never,
    /// An instance that was given up.
    GaveUp,
    /// An instance that is failed.
    Failed,
}

/// What to print on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// For a person.
    Text,
    /// For a script.
    Json,
}

/// The environment as this program sees it.
pub type Environment = BTreeMap<String, OsString>;

/// A setting that cannot be used, in one line.
type Refused = String;

/// One value and where it comes from.
struct Given {
    /// `--flag` or the environment's name.
    name: String,
    value: String,
    typed: bool,
}

impl Given {
    /// The line that refuses this value.
    fn refuse(&self, takes: &str) -> Refused {
        let shown = cut(&mask_secrets(&sanitize(&self.value)), 60);
        // Whatever holds an @ may hold a password in front of it.
        let shown = if shown.contains('@') { String::new() } else { format!(", not {shown:?}") };
        format!("{} takes {takes}{shown}", self.name)
    }

    fn parse<T>(&self, takes: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Refused> {
        parse(self.value.trim()).ok_or_else(|| self.refuse(takes))
    }
}

/// Where values come from.
struct Sources<'a> {
    typed: &'a Typed,
    environment: &'a Environment,
}

impl Sources<'_> {
    /// The value of a setting, by its flag.
    fn get(&self, flag: &str) -> Result<Option<Given>, Refused> {
        if let Some(value) = self.typed.values(flag).pop() {
            let name = format!("--{flag}");
            if value.is_empty() {
                return Err(format!("{name} is empty"));
            }
            return Ok(Some(Given { name, value, typed: true }));
        }
        let mut found: Option<Given> = None;
        for name in setting(flag).map_or(&[][..], |setting| setting.env) {
            let Some(next) = self.variable(name)? else { continue };
            match &found {
                Some(first) if first.value != next.value => {
                    return Err(format!("{} and {name} differ: set one of them", first.name));
                }
                Some(_) => {}
                None => found = Some(next),
            }
        }
        Ok(found)
    }

    fn variable(&self, name: &str) -> Result<Option<Given>, Refused> {
        match self.environment.get(name) {
            None => Ok(None),
            Some(value) if value.is_empty() => Ok(None),
            Some(value) => match value.to_str() {
                Some(text) => Ok(Some(Given { name: name.to_owned(), value: text.to_owned(), typed: false })),
                None => Err(format!("{name} is not valid UTF-8")),
            },
        }
    }

    fn parsed<T>(
        &self,
        flag: &str,
        default: T,
        takes: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Refused> {
        self.get(flag)?.map_or(Ok(default), |given| given.parse(takes, parse))
    }

    fn duration(&self, flag: &str, default: Duration) -> Result<Duration, Refused> {
        self.parsed(flag, default, DURATION, positive_duration)
    }

    fn switch(&self, flag: &str) -> Result<bool, Refused> {
        if self.typed.has(flag) {
            return Ok(true);
        }
        self.parsed(flag, false, "0 or 1", zero_or_one)
    }

    /// A list: the flag as often as it was typed, or the environment's commas.
    fn list(&self, flag: &str) -> Result<Vec<String>, Refused> {
        let typed = self.typed.values(flag);
        if typed.iter().any(String::is_empty) {
            return Err(format!("--{flag} is empty"));
        }
        if !typed.is_empty() {
            return Ok(typed);
        }
        let Some(given) = self.get(flag)? else { return Ok(Vec::new()) };
        let listed = commas(&given.value);
        if listed.is_empty() { Err(format!("{} is empty", given.name)) } else { Ok(listed) }
    }

    /// The contents of a file that a setting names; one newline at its end is
    /// not part of it.
    fn file(&self, flag: &str) -> Result<Option<(Given, Vec<u8>)>, Refused> {
        let Some(given) = self.get(flag)? else { return Ok(None) };
        let bytes = read_file(&given.name, Path::new(&given.value))?;
        Ok(Some((given, bytes)))
    }
}

const DURATION: &str = "a duration such as 30s, 5m or 3m30s";

fn setting(flag: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.flag == Some(flag))
}

fn commas(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn positive_duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|duration| !duration.is_zero())
}

fn zero_or_one(text: &str) -> Option<bool> {
    match text {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

fn at_least<T: std::str::FromStr + PartialOrd>(least: T) -> impl FnOnce(&str) -> Option<T> {
    move |text| text.parse().ok().filter(|number| *number >= least)
}

/// `None` for the word, `Some` number otherwise.
fn or_word<T>(word: &str, number: impl FnOnce(&str) -> Option<T>) -> impl FnOnce(&str) -> Option<Option<T>> {
    move |text| if text == word { Some(None) } else { number(text).map(Some) }
}

fn read_file(name: &str, path: &Path) -> Result<Vec<u8>, Refused> {
    let mut bytes =
        std::fs::read(path).map_err(|error| format!("{name}: {} cannot be read: {error}", path.display()))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    Ok(bytes)
}

impl Config {
    /// The configuration that was typed and set.
    ///
    /// # Errors
    /// One line that names the setting that cannot be used and what it takes.
    pub fn new(typed: &Typed, environment: &Environment) -> Result<Self, Refused> {
        // A path that is shown may hold what a terminal would obey.
        Self::understood(&Sources { typed, environment }).map_err(|refused| sanitize(&refused).into_owned())
    }

    fn understood(sources: &Sources<'_>) -> Result<Self, Refused> {
        let mut warnings = unknown_settings(sources.environment);
        let urls = urls(sources, &mut warnings)?;
        let cluster = cluster(sources, &urls)?;
        Ok(Self {
            state: state(sources, &cluster)?,
            cluster,
            connect: connect(sources, urls)?,
            policy: policy(sources)?,
            filter: Filter::new(&sources.list("include")?, &sources.list("exclude")?),
            run: run(sources)?,
            output: output(sources)?,
            quiet: sources.switch("quiet")?,
            log: log(sources)?,
            warnings,
        })
    }
}

/// A misspelt `GUARDIAN_DRYRUN` must not go unnoticed.
fn unknown_settings(environment: &Environment) -> Vec<String> {
    let known = |name: &str| SETTINGS.iter().any(|setting| setting.env.contains(&name));
    // What Kubernetes injects for a Service called guardian.
    let service_link = |name: &str| name.contains("_SERVICE_") || name.contains("_PORT");
    let ours = environment.keys().filter(|name| name.starts_with("GUARDIAN_"));
    let unknown = ours.filter(|name| !known(name) && !service_link(name));
    unknown.map(|name| format!("{} is no setting and is ignored (see --help)", sanitize(name))).collect()
}

/// How to report a failure before there is a configuration: as far as those two
/// settings can be understood.
#[must_use]
pub fn reporting(typed: &Typed, environment: &Environment) -> (Output, logging::Settings) {
    let sources = Sources { typed, environment };
    (output(&sources).unwrap_or(Output::Text), log(&sources).unwrap_or_default())
}

fn output(sources: &Sources<'_>) -> Result<Output, Refused> {
    sources.parsed("output", Output::Text, "text or json", |text| match text {
        "text" => Some(Output::Text),
        "json" => Some(Output::Json),
        _ => None,
    })
}

fn log(sources: &Sources<'_>) -> Result<logging::Settings, Refused> {
    let level = sources.parsed("log-level", Level::INFO, "error, warn, info, debug or trace", |text| {
        match text.to_ascii_lowercase().as_str() {
            // The origin's names for the same.
            "error" | "critical" => Some(Level::ERROR),
            "warn" | "warning" => Some(Level::WARN),
            "info" => Some(Level::INFO),
            "debug" => Some(Level::DEBUG),
            "trace" => Some(Level::TRACE),
            _ => None,
        }
    })?;
    let format =
        sources.parsed("log-format", logging::Format::Auto, "auto, text or json", |text| match text {
            "auto" => Some(logging::Format::Auto),
            "text" => Some(logging::Format::Text),
            "json" => Some(logging::Format::Json),
            _ => None,
        })?;
    let journal = sources.environment.get("JOURNAL_STREAM").is_some_and(|stream| logging::is_stderr(stream));
    Ok(logging::Settings { level, format, quiet: sources.switch("quiet")?, journal })
}

/// `KAFKA_CONNECT_URL`, or the URL that host, port and protocol make. A typed
/// flag of either kind beats the environment's of the other.
fn urls(sources: &Sources<'_>, warnings: &mut Vec<String>) -> Result<Vec<Url>, Refused> {
    let list = sources.get("url")?;
    let parts = [sources.get("host")?, sources.get("port")?, sources.get("protocol")?];
    let part_typed = parts.iter().flatten().find(|part| part.typed);
    match (list, part_typed) {
        (Some(list), Some(part)) if list.typed => Err(format!("--url and {} exclude each other", part.name)),
        (Some(list), None) => listed_urls(&list),
        (_, _) => built_url(parts, warnings).map(|url| vec![url]),
    }
}

fn listed_urls(given: &Given) -> Result<Vec<Url>, Refused> {
    const TAKES: &str = "worker URLs such as http://connect:8083, separated by commas";
    let urls: Result<Vec<Url>, Refused> = commas(&given.value)
        .iter()
        .map(|text| {
            let url = Url::parse(text).map_err(|_| given.refuse(TAKES))?;
            if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
                return Err(given.refuse(TAKES));
            }
            if !url.username().is_empty() || url.password().is_some() {
                return Err(format!(
                    "{}: no user or password in a URL; use KAFKA_CONNECT_USER and KAFKA_CONNECT_PASS_FILE",
                    given.name
                ));
            }
            if url.query().is_some() || url.fragment().is_some() {
                return Err(format!("{} takes worker URLs without ? and #", given.name));
            }
            Ok(url)
        })
        .collect();
    urls.and_then(|urls| if urls.is_empty() { Err(given.refuse(TAKES)) } else { Ok(urls) })
}

fn built_url([host, port, protocol]: [Option<Given>; 3], warnings: &mut Vec<String>) -> Result<Url, Refused> {
    let scheme = match &protocol {
        None => "http",
        Some(given) => given.parse("http or https", |text| match text.to_ascii_lowercase().as_str() {
            "http" => Some("http"),
            "https" => Some("https"),
            _ => None,
        })?,
    };
    let number = match &port {
        None => 8083,
        Some(given) if !given.typed && given.value.starts_with("tcp://") => {
            warnings.push(format!(
                "{} is {:?}, which Kubernetes sets for a Service of that name: 8083 is used (enableServiceLinks: false avoids this)",
                given.name,
                sanitize(&given.value)
            ));
            8083
        }
        Some(given) => given.parse("a port number from 1 to 65535", at_least(1_u16))?,
    };
    let text = host.as_ref().map_or("localhost", |given| given.value.trim());
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
    url.filter(|url| only_host(url) && !text.contains(['/', '@', '?', '#', '\\'])).ok_or_else(
        || match &host {
            Some(given) => given.refuse("a host name or address, without scheme, port or path"),
            None => "the URL cannot be built".to_owned(),
        },
    )
}

fn cluster(sources: &Sources<'_>, urls: &[Url]) -> Result<String, Refused> {
    if let Some(given) = sources.get("cluster")? {
        return given.parse("a name of 1 to 100 characters without control characters", |text| {
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

/// The state's place; by default a file that is named after the cluster.
fn state(sources: &Sources<'_>, cluster: &str) -> Result<Place, Refused> {
    if let Some(given) = sources.get("state")? {
        return match given.value.strip_prefix("configmap:") {
            Some(map) => config_map(sources, &given, map),
            None => Ok(Place::File(PathBuf::from(given.value))),
        };
    }
    let variable = |name| Ok::<_, Refused>(sources.variable(name)?.map(|given| given.value));
    let safe = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let file = format!("{}.json", cluster.chars().map(safe).collect::<String>());
    // systemd separates several folders by colons.
    if let Some(folder) =
        variable("STATE_DIRECTORY")?.and_then(|list| list.split(':').next().map(PathBuf::from))
    {
        return Ok(Place::File(folder.join(file)));
    }
    let xdg = match (variable("XDG_STATE_HOME")?, variable("HOME")?) {
        (Some(folder), _) => PathBuf::from(folder),
        (None, Some(home)) => Path::new(&home).join(".local/state"),
        (None, None) => {
            return Err(
                "GUARDIAN_STATE must name a file here: neither HOME nor STATE_DIRECTORY is set".to_owned()
            );
        }
    };
    Ok(Place::File(xdg.join("connector-guardian").join(file)))
}

/// A ConfigMap by its name, and the pod's service account to reach it with: the
/// environment and files that every pod has.
fn config_map(sources: &Sources<'_>, given: &Given, map: &str) -> Result<Place, Refused> {
    let (name, namespace) = match map.split_once('/') {
        Some((name, namespace)) => (name, Some(namespace)),
        None => (map, None),
    };
    // DNS-1123, as Kubernetes has it: nothing else can be an object's name.
    let is_name = |text: &str, longest: usize, dots: bool| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        (1..=longest).contains(&text.len())
            && text.chars().all(|c| inner(c) || c == '-' || (dots && c == '.'))
            && text.starts_with(inner)
            && text.ends_with(inner)
    };
    if !is_name(name, 253, true) || namespace.is_some_and(|text| !is_name(text, 63, false)) {
        return Err(
            given.refuse("a file's path, or configmap:NAME[/NAMESPACE] with names as Kubernetes has them")
        );
    }
    let variable = |name| Ok::<_, Refused>(sources.variable(name)?.map(|given| given.value));
    let Some(host) = variable("KUBERNETES_SERVICE_HOST")? else {
        return Err(format!(
            "{}: a ConfigMap is reached from a Kubernetes pod, and this is none (KUBERNETES_SERVICE_HOST is not set); name a file",
            given.name
        ));
    };
    let port = variable("KUBERNETES_SERVICE_PORT")?.unwrap_or_else(|| "443".to_owned());
    let bracketed = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    let server = Url::parse(&format!("https://{bracketed}:{port}"))
        .ok()
        .filter(|url| {
            url.username().is_empty()
                && url.path() == "/"
                && url.query().is_none()
                && url.fragment().is_none()
        })
        .ok_or("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT make no address of an API server")?;
    let folder = variable("GUARDIAN_SERVICEACCOUNT_DIR")?
        .map_or_else(|| PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount"), PathBuf::from);
    let file = |file: &str| {
        let bytes = read_file(&given.name, &folder.join(file)).map_err(|refused| {
            format!("{refused} (automountServiceAccountToken: true mounts it, GUARDIAN_SERVICEACCOUNT_DIR says where)")
        })?;
        Ok::<_, Refused>(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    let unusable = |file: &str, why: &str| format!("{}: {} {why}", given.name, folder.join(file).display());
    let namespace = match namespace {
        Some(namespace) => namespace.to_owned(),
        None => file("namespace")?,
    };
    if !is_name(&namespace, 63, false) {
        return Err(unusable("namespace", "holds no namespace"));
    }
    let token = file("token")?;
    if token.is_empty() || !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(unusable("token", "holds no token"));
    }
    let trusted =
        TrustedCas::from_pem(file("ca.crt")?.as_bytes()).map_err(|text| unusable("ca.crt", &text))?;
    // The name of the pod, unless it has its node's network.
    let host = match variable("HOSTNAME")? {
        Some(name) => name,
        None => std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default(),
    };
    Ok(Place::ConfigMap(Box::new(ConfigMap {
        name: name.to_owned(),
        namespace,
        account: ServiceAccount {
            server,
            authorization: Authorization::Bearer(Secret::from(token)),
            trusted,
            holder: format!("{} (pid {})", cut(&sanitize(host.trim()), 100), std::process::id()),
            folder,
        },
    })))
}

fn connect(sources: &Sources<'_>, urls: Vec<Url>) -> Result<Connect, Refused> {
    let trusted = match sources.file("ca-file")? {
        Some((given, pem)) => Some(
            TrustedCas::from_pem(&pem).map_err(|text| format!("{}: {} {text}", given.name, given.value))?,
        ),
        None => None,
    };
    let identity = match (sources.file("cert-file")?, sources.file("key-file")?) {
        (Some((cert, certificate)), Some((key, private))) => Some(
            Identity::from_pem(&certificate, &private)
                .map_err(|text| format!("{} and {}: {text}", cert.name, key.name))?,
        ),
        (None, None) => None,
        (Some((given, _)), None) => return Err(format!("{} needs KAFKA_CONNECT_KEY_FILE too", given.name)),
        (None, Some((given, _))) => return Err(format!("{} needs KAFKA_CONNECT_CERT_FILE too", given.name)),
    };
    Ok(Connect {
        authorization: authorization(sources)?,
        trusted,
        identity,
        proxy: proxy(sources)?,
        timeout: sources.duration("timeout", Duration::from_secs(30))?,
        urls,
    })
}

fn proxy(sources: &Sources<'_>) -> Result<Proxy, Refused> {
    let Some(given) = sources.get("proxy")? else { return Ok(Proxy::None) };
    match given.value.trim() {
        "none" => Ok(Proxy::None),
        "env" => Ok(Proxy::Environment),
        text => {
            let url = Url::parse(text)
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            let url = url.ok_or_else(|| given.refuse("none, env or a URL such as http://proxy:3128"))?;
            if given.typed && (!url.username().is_empty() || url.password().is_some()) {
                return Err(
                    "--proxy: no password on a command line, where everybody sees it; use GUARDIAN_PROXY"
                        .to_owned(),
                );
            }
            Ok(Proxy::Url(text.to_owned()))
        }
    }
}

/// Who we are. Two ways given in the same place exclude each other; a flag
/// beats the environment.
fn authorization(sources: &Sources<'_>) -> Result<Authorization, Refused> {
    let token = sources.file("token-file")?;
    let user = user(sources)?;
    let password = password(sources, user.is_some() || token.is_none())?;
    let basic_typed = user.as_ref().is_some_and(|(given, _)| given.typed);
    if let Some((given, bytes)) = token {
        match &user {
            Some((user, _)) if given.typed == user.typed => {
                return Err(format!("{} and {} exclude each other", given.name, user.name));
            }
            _ if basic_typed && !given.typed => {}
            _ => return bearer(&given, bytes),
        }
    }
    match (user, password) {
        (None, None) => Ok(Authorization::None),
        (Some((given, _)), None) => {
            Err(format!("{} needs a password: KAFKA_CONNECT_PASS or KAFKA_CONNECT_PASS_FILE", given.name))
        }
        (None, Some((name, _))) => Err(format!("{name} needs a user: KAFKA_CONNECT_USER")),
        (Some((given, user)), Some(_)) if user.contains(':') => {
            Err(format!("{}: a user of Basic authentication has no colon in it", given.name))
        }
        (Some((_, user)), Some((_, password))) => Ok(Authorization::Basic { user, password }),
    }
}

fn bearer(given: &Given, bytes: Vec<u8>) -> Result<Authorization, Refused> {
    let token = String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic()));
    token
        .map(|token| Authorization::Bearer(Secret::from(token)))
        .ok_or_else(|| format!("{}: {} holds no bearer token", given.name, given.value))
}

fn user(sources: &Sources<'_>) -> Result<Option<(Given, String)>, Refused> {
    let (plain, file) = (sources.get("user")?, sources.get("user-file")?);
    match (plain, file) {
        (Some(plain), Some(file)) if plain.typed == file.typed => {
            Err(format!("{} and {} exclude each other", plain.name, file.name))
        }
        (Some(plain), file) if plain.typed || file.is_none() => {
            let value = plain.value.clone();
            Ok(Some((plain, value)))
        }
        (_, Some(file)) => {
            let text = text_of(&file.name, read_file(&file.name, Path::new(&file.value))?)?;
            Ok(Some((file, text)))
        }
        (_, None) => Ok(None),
    }
}

/// The password and the name of where it came from. The credential of systemd
/// is read only when nothing else is set and `wanted`.
fn password(sources: &Sources<'_>, wanted: bool) -> Result<Option<(String, Secret)>, Refused> {
    let plain = sources.variable("KAFKA_CONNECT_PASS")?;
    let file = sources.get("password-file")?;
    match (plain, file) {
        (Some(plain), Some(file)) if !file.typed => {
            Err(format!("{} and {} exclude each other", plain.name, file.name))
        }
        (_, Some(file)) => {
            let text = text_of(&file.name, read_file(&file.name, Path::new(&file.value))?)?;
            Ok(Some((file.name, Secret::from(text))))
        }
        (Some(plain), None) => Ok(Some((plain.name, Secret::from(plain.value)))),
        (None, None) => {
            let folder = sources.variable("CREDENTIALS_DIRECTORY")?.filter(|_| wanted);
            let path = folder
                .map(|given| Path::new(&given.value).join("connect-password"))
                .filter(|path| path.exists());
            let Some(path) = path else { return Ok(None) };
            let name = "CREDENTIALS_DIRECTORY/connect-password";
            Ok(Some((name.to_owned(), Secret::from(text_of(name, read_file(name, &path)?)?))))
        }
    }
}

fn text_of(name: &str, bytes: Vec<u8>) -> Result<String, Refused> {
    match String::from_utf8(bytes) {
        Ok(text) if text.is_empty() => Err(format!("{name}: the file is empty")),
        Ok(text) => Ok(text),
        Err(_) => Err(format!("{name}: the file is not valid UTF-8")),
    }
}

fn policy(sources: &Sources<'_>) -> Result<Policy, Refused> {
    let or_number = "a whole number from 1, or ";
    Ok(Policy {
        backoff: !sources.typed.has("no-backoff")
            && sources.parsed("no-backoff", true, "0 or 1", zero_or_one)?,
        max_restart: sources.parsed(
            "max-restart",
            Some(7),
            &format!("{or_number}unlimited"),
            or_word("unlimited", at_least(1)),
        )?,
        ratio: sources.parsed("exponential-ratio", 1, "a whole number from 1", at_least(1))?,
        pace: pace(sources)?,
        settle: sources.parsed("settle", Duration::from_secs(30), DURATION, |text| {
            humantime::parse_duration(text).ok()
        })?,
        stuck_after: sources.parsed(
            "stuck-after",
            None,
            &format!("{or_number}off"),
            or_word("off", at_least(1)),
        )?,
        max_per_run: sources.parsed(
            "max-restarts-per-run",
            None,
            "a whole number, or unlimited",
            or_word("unlimited", at_least(0)),
        )?,
    })
}

fn pace(sources: &Sources<'_>) -> Result<Pace, Refused> {
    let takes = "run, or a duration such as 5m";
    let step = sources.parsed("backoff-step", None, takes, or_word("run", positive_duration))?;
    let cap = sources.get("backoff-cap")?.filter(|given| given.value.trim() != "none");
    Ok(match (step, cap) {
        (None, None) => Pace::Runs { cap: None },
        (None, Some(given)) => {
            let takes = "none or a whole number of runs, because --backoff-step counts runs";
            Pace::Runs { cap: Some(given.parse(takes, at_least(1))?) }
        }
        (Some(step), None) => Pace::Clock { step, cap: None },
        (Some(step), Some(given)) => {
            let takes = "none or a duration such as 1h, because --backoff-step counts the clock";
            Pace::Clock { step, cap: Some(given.parse(takes, positive_duration)?) }
        }
    })
}

fn run(sources: &Sources<'_>) -> Result<Run, Refused> {
    let every = match sources.get("every")? {
        Some(given) => Some(given.parse(DURATION, positive_duration)?),
        None => None,
    };
    Ok(Run {
        every: every.filter(|_| !sources.typed.has("once")),
        dry_run: sources.switch("dry-run")?,
        deadline: sources.duration("deadline", Duration::from_secs(210))?,
        parallel: sources.parsed("parallel", 4, "a whole number from 1 to 100", |text| {
            text.parse().ok().filter(|number| (1..=100).contains(number))
        })?,
        fail_on: sources.parsed("fail-on", FailOn::Never, "never, gave-up or failed", |text| match text {
            "never" => Some(FailOn::Never),
            "gave-up" => Some(FailOn::GaveUp),
            "failed" => Some(FailOn::Failed),
            _ => None,
        })?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{self, Parsed};

    fn config(args: &[&str], environment: &[(&str, &str)]) -> Result<Config, Refused> {
        let args = ["guardian", "run"].iter().chain(args).map(OsString::from);
        let Parsed::Typed(typed) = cli::parse(args) else { panic!("wrong command line") };
        let home = [("HOME", "/h")];
        let environment =
            home.iter().chain(environment).map(|(name, value)| ((*name).to_owned(), OsString::from(value)));
        Config::new(&typed, &environment.collect())
    }

    fn url(args: &[&str], environment: &[(&str, &str)]) -> String {
        let urls = config(args, environment).unwrap().connect.urls;
        urls.iter().map(Url::as_str).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let config = config(&[], &[]).unwrap();
        assert_eq!(config.connect.urls, [Url::parse("http://localhost:8083").unwrap()]);
        assert_eq!(config.cluster, "localhost_8083");
        assert_eq!(config.state.to_string(), "/h/.local/state/connector-guardian/localhost_8083.json");
        assert_eq!(
            (config.policy.max_restart, config.policy.ratio, config.policy.backoff),
            (Some(7), 1, true)
        );
        assert_eq!(
            (config.policy.settle, config.policy.pace),
            (Duration::from_secs(30), Pace::Runs { cap: None })
        );
        assert_eq!((config.run.deadline, config.run.parallel), (Duration::from_secs(210), 4));
        assert!(config.run.every.is_none() && config.warnings.is_empty());
    }

    #[test]
    fn the_names_of_the_origin_keep_working() {
        let config = config(
            &[],
            &[
                ("KAFKA_CONNECT_HOST", "connect.example"),
                ("KAFKA_CONNECT_PORT", "18083"),
                ("KAFKA_CONNECT_PROTOCOL", "https"),
                ("KAFKA_CONNECT_PROTO", "https"),
                ("KAFKA_CONNECT_USER", "u"),
                ("KAFKA_CONNECT_PASS", "p"),
                ("MAX_RESTART", "3"),
                ("EXPONENTIAL_RATIO", "2"),
                ("ENABLE_BACKOFF", "0"),
                ("LOG_LEVEL", "CRITICAL"),
            ],
        )
        .unwrap();
        assert_eq!(config.connect.urls[0].as_str(), "https://connect.example:18083/");
        assert!(matches!(&config.connect.authorization, Authorization::Basic { user, .. } if user == "u"));
        assert_eq!(
            (config.policy.max_restart, config.policy.ratio, config.policy.backoff),
            (Some(3), 2, false)
        );
        assert_eq!(config.log.level, Level::ERROR);
        assert!(!format!("{config:?}").contains("\"p\""), "{config:?}");
    }

    #[test]
    fn a_flag_beats_the_environment_also_of_the_other_kind() {
        let environment = [("KAFKA_CONNECT_URL", "https://a:1/x, http://b:2"), ("KAFKA_CONNECT_HOST", "c")];
        assert_eq!(url(&[], &environment), "https://a:1/x http://b:2/");
        assert_eq!(url(&["--host", "d"], &environment), "http://d:8083/");
        assert_eq!(url(&["--url", "http://e"], &environment), "http://e/");
        assert_eq!(url(&["--host", "::1"], &[]), "http://[::1]:8083/");
        assert_eq!(url(&[], &[("KAFKA_CONNECT_HOST", "")]), "http://localhost:8083/");
    }

    #[test]
    fn a_port_of_a_service_link_is_ignored_with_a_warning() {
        let config = config(&[], &[("KAFKA_CONNECT_PORT", "tcp://10.0.0.1:8083")]).unwrap();
        assert_eq!(config.connect.urls[0].as_str(), "http://localhost:8083/");
        assert!(config.warnings[0].contains("KAFKA_CONNECT_PORT"), "{:?}", config.warnings);
    }

    #[test]
    fn once_overrules_every() {
        assert!(config(&["--every", "5m"], &[]).unwrap().run.every.is_some());
        assert!(
            config(&["--every", "5m", "--once"], &[("GUARDIAN_EVERY", "1m")]).unwrap().run.every.is_none()
        );
        assert!(config(&["--once"], &[("GUARDIAN_EVERY", "1m")]).unwrap().run.every.is_none());
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_name() {
        for (args, environment, says) in [
            (
                &[][..],
                &[("MAX_RESTART", "0")][..],
                "MAX_RESTART takes a whole number from 1, or unlimited, not \"0\"",
            ),
            (
                &[],
                &[("EXPONENTIAL_RATIO", "abc")],
                "EXPONENTIAL_RATIO takes a whole number from 1, not \"abc\"",
            ),
            (
                &["--exponential-ratio", "1.5"],
                &[],
                "--exponential-ratio takes a whole number from 1, not \"1.5\"",
            ),
            (&[], &[("KAFKA_CONNECT_PROTO", "ftp")], "KAFKA_CONNECT_PROTO takes http or https, not \"ftp\""),
            (
                &[],
                &[("KAFKA_CONNECT_HOST", "http://x")],
                "KAFKA_CONNECT_HOST takes a host name or address, without scheme, port or path, not \"http://x\"",
            ),
            (&[], &[("KAFKA_CONNECT_HOST", "x:8083")], "KAFKA_CONNECT_HOST takes a host name"),
            (
                &[],
                &[("KAFKA_CONNECT_HOST", "u:secret@x")],
                "KAFKA_CONNECT_HOST takes a host name or address, without scheme, port or path",
            ),
            (&[], &[("KAFKA_CONNECT_PORT", "0")], "KAFKA_CONNECT_PORT takes a port number from 1 to 65535"),
            (&[], &[("KAFKA_CONNECT_USER", "u")], "KAFKA_CONNECT_USER needs a password"),
            (&[], &[("KAFKA_CONNECT_PASS", "p")], "KAFKA_CONNECT_PASS needs a user"),
            (&[], &[("KAFKA_CONNECT_PASS", "p"), ("KAFKA_CONNECT_PASS_FILE", "/x")], "exclude each other"),
            (&[], &[("KAFKA_CONNECT_PROTO", "http"), ("KAFKA_CONNECT_PROTOCOL", "https")], "differ"),
            (
                &[],
                &[("KAFKA_CONNECT_URL", "http://u:secret@x")],
                "KAFKA_CONNECT_URL: no user or password in a URL",
            ),
            (&[], &[("KAFKA_CONNECT_URL", "connect:8083")], "KAFKA_CONNECT_URL takes worker URLs"),
            (&[], &[("KAFKA_CONNECT_URL", ",")], "KAFKA_CONNECT_URL takes worker URLs"),
            (&["--url", "http://a", "--host", "b"], &[], "--url and --host exclude each other"),
            (&["--backoff-cap", "1h"], &[], "--backoff-cap takes none or a whole number of runs"),
            (&["--backoff-step", "5m", "--backoff-cap", "12"], &[], "--backoff-cap takes none or a duration"),
            (&["--backoff-step", "0s"], &[], "--backoff-step takes run, or a duration"),
            (&["--parallel", "0"], &[], "--parallel takes a whole number from 1 to 100"),
            (&["--proxy", "http://u:p@h"], &[], "no password on a command line"),
            (&["--host", ""], &[], "--host is empty"),
            (&["--include", "a", "--include", ""], &[], "--include is empty"),
            (&["--exclude", ""], &[], "--exclude is empty"),
            (&[], &[("GUARDIAN_INCLUDE", " ,")], "GUARDIAN_INCLUDE is empty"),
            (&[], &[("LOG_LEVEL", "loud")], "LOG_LEVEL takes error, warn, info, debug or trace"),
            (&[], &[("ENABLE_BACKOFF", "yes")], "ENABLE_BACKOFF takes 0 or 1"),
            (&[], &[("GUARDIAN_DEADLINE", "5")], "GUARDIAN_DEADLINE takes a duration"),
            (
                &[],
                &[("KAFKA_CONNECT_CA_FILE", "/nowhere/ca.pem")],
                "KAFKA_CONNECT_CA_FILE: /nowhere/ca.pem cannot be read",
            ),
            (&[], &[("KAFKA_CONNECT_CA_FILE", "/a\n\u{1b}[31mb")], "/a[31mb cannot be read"),
            (
                &[],
                &[("KAFKA_CONNECT_CERT_FILE", "/dev/null")],
                "KAFKA_CONNECT_CERT_FILE needs KAFKA_CONNECT_KEY_FILE too",
            ),
        ] {
            let refused = config(args, environment).expect_err(says);
            assert!(refused.contains(says), "{refused:?} does not say {says:?}");
            assert!(!refused.contains('\n') && !refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn a_variable_that_is_no_setting_is_not_ignored_in_silence() {
        let names =
            ["GUARDIAN_DRYRUN", "GUARDIAN_SERVICE_HOST", "GUARDIAN_PORT_80_TCP", "GUARDIAN_QUIET", "HOME"];
        let warnings = config(&[], &names.map(|name| (name, "1"))).unwrap().warnings;
        assert_eq!(warnings, ["GUARDIAN_DRYRUN is no setting and is ignored (see --help)"]);
    }

    #[test]
    fn secrets_come_from_files_without_their_newline() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (user, password, token) =
            (file("u", "bob\n"), file("connect-password", "p w\n\n"), file("t", "abc\n"));
        let basic =
            |environment: &[(&str, &str)]| match config(&[], environment).unwrap().connect.authorization {
                Authorization::Basic { user, password } => (user, password.expose().to_owned()),
                other => panic!("{other:?}"),
            };
        let expected = ("bob".to_owned(), "p w\n".to_owned());
        assert_eq!(
            basic(&[("KAFKA_CONNECT_USER_FILE", &user), ("KAFKA_CONNECT_PASS_FILE", &password)]),
            expected
        );
        let credentials = folder.path().to_str().unwrap();
        assert_eq!(basic(&[("KAFKA_CONNECT_USER", "bob"), ("CREDENTIALS_DIRECTORY", credentials)]), expected);
        let both = [
            ("KAFKA_CONNECT_TOKEN_FILE", token.as_str()),
            ("KAFKA_CONNECT_USER", "bob"),
            ("KAFKA_CONNECT_PASS", "p"),
        ];
        assert!(config(&[], &both).unwrap_err().contains("exclude each other"));
        let typed = config(&["--token-file", &token], &both[1..]).unwrap();
        assert!(
            matches!(typed.connect.authorization, Authorization::Bearer(token) if token.expose() == "abc")
        );
        let typed = config(&["--user", "bob"], &[both[0], ("KAFKA_CONNECT_PASS", "p")]).unwrap();
        assert!(matches!(typed.connect.authorization, Authorization::Basic { .. }));
    }

    #[test]
    fn a_configmap_is_reached_as_the_pod_s_service_account() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = rcgen::generate_simple_self_signed(vec!["kubernetes".to_owned()]).unwrap().cert;
        for (file, text) in
            [("token", "abc\n"), ("namespace", "connect\n"), ("ca.crt", certificate.pem().as_str())]
        {
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        let pod = [
            ("GUARDIAN_SERVICEACCOUNT_DIR", folder.path().to_str().unwrap()),
            ("KUBERNETES_SERVICE_HOST", "fd00::1"),
            ("HOSTNAME", "guardian-1"),
        ];
        let map = |args: &[&str], more: &[(&str, &str)]| {
            let environment: Vec<_> = pod.iter().chain(more).copied().collect();
            match config(args, &environment).unwrap().state {
                Place::ConfigMap(map) => map,
                Place::File(path) => panic!("{}", path.display()),
            }
        };
        let own = map(&["--state", "configmap:guardian-state"], &[]);
        assert_eq!(own.to_string(), "guardian-state/connect");
        assert_eq!(own.account.server.as_str(), "https://[fd00::1]/");
        assert_eq!(own.account.holder, format!("guardian-1 (pid {})", std::process::id()));
        assert!(
            matches!(&own.account.authorization, Authorization::Bearer(token) if token.expose() == "abc")
        );
        assert!(!format!("{own:?}").contains("abc"));
        let other =
            map(&[], &[("GUARDIAN_STATE", "configmap:a.b-c/d-9"), ("KUBERNETES_SERVICE_PORT", "6443")]);
        assert_eq!(other.to_string(), "a.b-c/d-9");
        assert_eq!(other.account.server.as_str(), "https://[fd00::1]:6443/");
        assert_eq!(
            config(&["--state", "./configmap:x"], &[]).unwrap().state.to_string(),
            "./configmap:x",
            "a file of such a name"
        );
    }

    #[test]
    fn the_state_follows_the_cluster() {
        let state = |args: &[&str], environment: &[(&str, &str)]| {
            config(args, environment).unwrap().state.to_string()
        };
        assert_eq!(state(&[], &[("STATE_DIRECTORY", "/var/lib/a:/b")]), "/var/lib/a/localhost_8083.json");
        assert_eq!(
            state(&["--cluster", "a/b c"], &[("XDG_STATE_HOME", "/x")]),
            "/x/connector-guardian/a_b_c.json"
        );
        assert_eq!(
            state(&["--url", "https://[::1]/connect"], &[("XDG_STATE_HOME", "/x")]),
            "/x/connector-guardian/--1_443_connect.json"
        );
        assert_eq!(state(&["--state", "s.json"], &[("STATE_DIRECTORY", "/a")]), "s.json");
        assert!(config(&[], &[("HOME", "")]).unwrap_err().contains("GUARDIAN_STATE"));
    }
}
