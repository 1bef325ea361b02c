//! From what was typed and what the environment holds to one validated, typed configuration: precedence in `sources`, and a
//! file for each subject. Every refusal is one line that names the setting and says what it takes; none repeats a secret.

mod connect;
mod credentials;
mod meant;
mod metrics;
mod notify;
mod person;
mod policy;
mod sources;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use anyhow::Result;
use tracing::Level;

use self::sources::{DURATION, Inputs, positive_duration};
use crate::cli::{self, Command, Setting, Typed};
use crate::decide::plan::Rules;
use crate::decide::policy::Policy;
use crate::decide::select::{Filter, Patterns};
use crate::decide::shared::SharedStr;
use crate::decide::text::sanitize;
use crate::exit::{Failure, Kind};
use crate::logging;
use crate::store::Place;

pub use self::connect::Connect;
pub use self::credentials::Credentials;
pub use self::metrics::Metrics;
pub use self::notify::Notify;

/// Everything that a command needs to know.
#[derive(Debug)]
pub struct Config {
    /// How to reach Connect.
    pub connect: Connect,
    /// The cluster's name in state and output.
    pub cluster: String,
    /// Where the ledger is kept.
    pub state: Place,
    /// Who calls: `user@host`.
    pub person: SharedStr,
    pub policy: Policy,
    /// Which connectors to touch.
    pub filter: Filter,
    /// Which connectors may run without tasks.
    pub no_tasks_ok: Patterns,
    pub run: Run,
    /// Whom to tell; nobody, for a command that tells nobody.
    pub notify: Notify,
    pub metrics: Metrics,
    pub reporting: Reporting,
    /// What a person should know of the settings, one sentence each.
    pub warnings: Vec<String>,
}

/// How to run.
#[derive(Debug)]
pub struct Run {
    /// The interval of a loop; `None` is one run.
    pub every: Option<Duration>,
    /// Stay until it is known what became of the restarts.
    pub wait: bool,
    /// Show the plan, and nothing else.
    pub dry_run: bool,
    /// For one whole run.
    pub deadline: Duration,
    /// Connectors restarted at the same time.
    pub parallel: usize,
    pub fail_on: FailOn,
}

/// What exits with 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailOn {
    Never,
    /// An instance that was given up.
    GaveUp,
    /// An instance that is failed.
    Failed,
    /// An instance that is failed, or has been in transition or without tasks for three runs.
    Unhealthy,
}

/// What to print on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// For a person.
    Text,
    /// For a script.
    Json,
}

/// How to report: known also where the other settings cannot be used.
#[derive(Clone, Copy, Debug)]
pub struct Reporting {
    pub output: Output,
    /// Show every instance in the table.
    pub full: bool,
    pub log: logging::Settings,
}

/// The environment as this program sees it.
pub type Environment = BTreeMap<String, OsString>;

impl Config {
    /// The configuration that was typed and set.
    ///
    /// # Errors
    /// One line that names the setting that cannot be used and what it takes.
    pub fn new(typed: &Typed, environment: &Environment) -> Result<Self, Failure> {
        Self::read(&Inputs { typed, environment }).map_err(|refused| {
            // A path that is shown may hold what a terminal would obey.
            Failure::new(Kind::Usage, sanitize(&format!("{refused:#}")))
        })
    }

    fn read(inputs: &Inputs<'_>) -> Result<Self> {
        let mut warnings = unknown_settings(inputs.environment);
        let urls = connect::urls(inputs, &mut warnings)?;
        let cluster = connect::cluster(inputs, &urls)?;
        Ok(Self {
            state: state::place(inputs, &cluster)?,
            cluster,
            person: person::person(inputs.environment),
            connect: Connect::read(inputs, urls)?,
            policy: policy::read(inputs)?,
            filter: Filter::new(patterns(inputs, &cli::INCLUDE)?, patterns(inputs, &cli::EXCLUDE)?),
            no_tasks_ok: patterns(inputs, &cli::NO_TASKS_OK)?,
            run: Run::read(inputs)?,
            notify: match inputs.typed.command {
                Command::Run | Command::Notify => notify::read(inputs)?,
                _ => Notify::default(),
            },
            metrics: Metrics::read(inputs)?,
            reporting: Reporting {
                output: output(inputs)?,
                full: inputs.switch(&cli::FULL)?,
                log: log(inputs)?,
            },
            warnings,
        })
    }

    /// What the settings say about restarts.
    pub fn rules(&self) -> Rules<'_> {
        Rules { policy: &self.policy, filter: &self.filter, no_tasks_ok: &self.no_tasks_ok }
    }

    /// Print nothing on stdout unless something changed: text only, and not the plan that somebody asked for.
    pub fn is_silent(&self) -> bool {
        self.reporting.log.quiet && !self.run.dry_run && self.reporting.output == Output::Text
    }
}

impl Reporting {
    /// As far as those settings can be used.
    pub fn read(typed: &Typed, environment: &Environment) -> Self {
        let inputs = Inputs { typed, environment };
        Self {
            output: output(&inputs).unwrap_or(Output::Text),
            full: inputs.switch(&cli::FULL).unwrap_or_default(),
            log: log(&inputs).unwrap_or_default(),
        }
    }
}

impl Run {
    fn read(inputs: &Inputs<'_>) -> Result<Self> {
        let every = match inputs.get(&cli::EVERY)? {
            Some(value) => Some(value.parse(DURATION, positive_duration)?),
            None => None,
        };
        Ok(Self {
            every: every.filter(|_| !inputs.typed.has(&cli::ONCE)),
            wait: inputs.typed.has(&cli::WAIT),
            dry_run: inputs.switch(&cli::DRY_RUN)?,
            deadline: inputs.duration(&cli::DEADLINE)?,
            parallel: inputs.parsed(&cli::PARALLEL, "a whole number from 1 to 100", |text| {
                text.parse().ok().filter(|number| (1..=100).contains(number))
            })?,
            fail_on: inputs.parsed(
                &cli::FAIL_ON,
                "never, gave-up, failed or unhealthy",
                |text| match text {
                    "never" => Some(FailOn::Never),
                    "gave-up" => Some(FailOn::GaveUp),
                    "failed" => Some(FailOn::Failed),
                    "unhealthy" => Some(FailOn::Unhealthy),
                    _ => None,
                },
            )?,
        })
    }
}

/// A misspelt `GUARDIAN_DRYRUN` or `MAX_RESTARTS` must not go unnoticed. Its value is not shown: it may be a password.
fn unknown_settings(environment: &Environment) -> Vec<String> {
    // What Kubernetes injects for Services called guardian or kafka-connect.
    let service_link = |name: &str, value: &OsString| {
        let of_a_port = ["tcp://", "udp://", "sctp://"];
        let value = value.to_string_lossy();
        name.contains("_SERVICE_")
            || name.contains("_PORT_")
            || of_a_port.iter().any(|scheme| value.starts_with(scheme))
    };
    let set = environment.iter().filter(|(name, value)| !value.is_empty() && !service_link(name, value));
    let unknown = set.filter_map(|(name, value)| match meant::setting(name) {
        Some(meant) if meant == name => None,
        // Set for two programs that name it differently.
        Some(meant) if environment.get(meant) == Some(value) => None,
        Some(meant) => Some((name, format!("did you mean {meant}?"))),
        None => name.starts_with(meant::OURS).then(|| (name, "see --help".to_owned())),
    });
    unknown.map(|(name, hint)| format!("{} is no setting and is ignored ({hint})", sanitize(name))).collect()
}

fn patterns(inputs: &Inputs<'_>, setting: &Setting) -> Result<Patterns> {
    let (name, listed) = inputs.list(setting)?;
    Ok(Patterns::new(&name, &listed))
}

fn output(inputs: &Inputs<'_>) -> Result<Output> {
    inputs.parsed(&cli::OUTPUT, "text or json", |text| match text {
        "text" => Some(Output::Text),
        "json" => Some(Output::Json),
        _ => None,
    })
}

fn log(inputs: &Inputs<'_>) -> Result<logging::Settings> {
    let level = inputs.parsed(&cli::LOG_LEVEL, "error, warn, info, debug or trace", |text| {
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
    let format = inputs.parsed(&cli::LOG_FORMAT, "auto, text or json", |text| match text {
        "auto" => Some(logging::Format::Auto),
        "text" => Some(logging::Format::Text),
        "json" => Some(logging::Format::Json),
        _ => None,
    })?;
    let journal = inputs.environment.get("JOURNAL_STREAM").is_some_and(|stream| logging::is_stderr(stream));
    Ok(logging::Settings { level, format, quiet: inputs.switch(&cli::QUIET)?, journal })
}
