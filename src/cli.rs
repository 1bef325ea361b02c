//! The command line: commands, flags, environment names and their help, and
//! nothing else. Every setting stands once, as a constant: `--help` and the
//! README's table are made of them, and `config` says what its values mean.

use std::ffi::OsString;
use std::fmt::Write;
use std::sync::LazyLock;

use clap::{Arg, ArgAction, ArgMatches};

use crate::decide::text::sanitize;

/// A command of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Run,
    Status,
    Retry,
    Reset,
    Hold,
    Release,
    History,
    Schedule,
    Notify,
}

impl Command {
    const ALL: [Self; 9] = [
        Self::Run,
        Self::Status,
        Self::Retry,
        Self::Reset,
        Self::Hold,
        Self::Release,
        Self::History,
        Self::Schedule,
        Self::Notify,
    ];

    /// As it is typed, and as documents name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Status => "status",
            Self::Retry => "retry",
            Self::Reset => "reset",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::History => "history",
            Self::Schedule => "schedule",
            Self::Notify => "notify",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Run => "Read the cluster once, restart what is due, remember, report",
            Self::Status => "Show what Connect says, what is remembered and what comes next; sends nothing",
            Self::Retry => {
                "Restart now what has failed, whatever waits, holds and limits say, and watch what becomes of it"
            }
            Self::Reset => "Forget failures, so that the next run starts afresh with them",
            Self::Hold => "Leave connectors alone for a time, whatever becomes of them",
            Self::Release => "End holds before their time",
            Self::History => "Show what happened: failures, restarts, recoveries, and what persons did",
            Self::Schedule => "Show the timetable that the present settings give; reads and sends nothing",
            Self::Notify => "Send a marked test message to each sink, and say what it answered",
        }
    }
}

/// One setting: a flag, environment names, or both.
#[derive(Debug)]
pub struct Setting {
    /// The flag, without its dashes; none for what must not be on a command line.
    pub flag: Option<&'static str>,
    /// The environment names, the usual one first.
    pub env: &'static [&'static str],
    /// What it takes; empty for a switch.
    pub takes: &'static str,
    pub default: DefaultValue,
    /// What it does.
    pub help: &'static str,
    /// Under which heading `--help` shows it.
    heading: &'static str,
    /// The commands that have a use for it.
    pub commands: &'static [Command],
    occurs: Occurs,
}

/// What a setting is when it is not given.
#[derive(Clone, Copy, Debug)]
pub enum DefaultValue {
    /// This value, read like any other.
    Value(&'static str),
    /// What these words say: `config` makes it of other things. Empty is nothing.
    Told(&'static str),
}

impl DefaultValue {
    /// As help and README show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Value(text) | Self::Told(text) => text,
        }
    }
}

/// How a flag may be typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occurs {
    /// With a value.
    Set,
    /// With a value, as often as one likes.
    Append,
    /// Without one.
    SetTrue,
}

const CONNECT: &str = "Kafka Connect";
const BACKOFF: &str = "Back-off";
const WHICH: &str = "Which and how many";
const RUNS: &str = "Runs";
const TELLING: &str = "Telling people, and metrics";
const OUTPUT_HEADING: &str = "State and output";

const RUN: &[Command] = &[Command::Run];
const RUN_AND_NOTIFY: &[Command] = &[Command::Run, Command::Notify];
const RUN_AND_SCHEDULE: &[Command] = &[Command::Run, Command::Schedule];
const RESTARTING: &[Command] = &[Command::Run, Command::Retry];
const SEEING: &[Command] = &[Command::Run, Command::Status];
const CHOOSING: &[Command] = &[Command::Run, Command::Status, Command::Retry];
const PLANNING: &[Command] = &[Command::Run, Command::Status, Command::Retry, Command::Schedule];
const CONFIGURED: &[Command] = &[
    Command::Run,
    Command::Status,
    Command::Retry,
    Command::Reset,
    Command::Hold,
    Command::Release,
    Command::History,
    Command::Notify,
];
const ALL: &[Command] = &Command::ALL;

/// Makes each setting a constant, so that a misspelt one does not compile, and all of them the table.
macro_rules! settings {
    ($($name:ident: $heading:ident, $commands:ident, $flag:expr, $env:expr, $takes:literal,
        $default:ident($text:literal), $occurs:ident, $help:literal;)*) => {
        $(pub const $name: Setting = Setting {
            flag: $flag,
            env: $env,
            takes: $takes,
            default: DefaultValue::$default($text),
            help: $help,
            heading: $heading,
            commands: $commands,
            occurs: Occurs::$occurs,
        };)*

        /// Every setting of the program.
        pub const SETTINGS: &[Setting] = &[$($name),*];
    };
}

settings! {
    URL: CONNECT, CONFIGURED, Some("url"), &["KAFKA_CONNECT_URL"], "URL,...", Told("from host, port, protocol"), Set,
        "Workers of ONE cluster, tried in turn; a path prefix is kept";
    HOST: CONNECT, CONFIGURED, Some("host"), &["KAFKA_CONNECT_HOST"], "NAME", Value("localhost"), Set,
        "The worker's host, without scheme or port";
    PORT: CONNECT, CONFIGURED, Some("port"), &["KAFKA_CONNECT_PORT"], "NUMBER", Value("8083"), Set,
        "The worker's REST port (a tcp://... of a Kubernetes service link is ignored)";
    PROTOCOL: CONNECT, CONFIGURED, Some("protocol"), &["KAFKA_CONNECT_PROTO", "KAFKA_CONNECT_PROTOCOL"], "http|https", Value("http"), Set,
        "How to talk to the worker";
    USER: CONNECT, CONFIGURED, Some("user"), &["KAFKA_CONNECT_USER"], "NAME", Told(""), Set,
        "User for Basic authentication";
    USER_FILE: CONNECT, CONFIGURED, Some("user-file"), &["KAFKA_CONNECT_USER_FILE"], "FILE", Told(""), Set,
        "File that holds the user's name";
    PASSWORD: CONNECT, CONFIGURED, None, &["KAFKA_CONNECT_PASS"], "TEXT", Told(""), Set,
        "Password for Basic authentication; no flag, because a command line is seen by everybody";
    PASSWORD_FILE: CONNECT, CONFIGURED, Some("password-file"), &["KAFKA_CONNECT_PASS_FILE"], "FILE", Told("$CREDENTIALS_DIRECTORY/connect-password"), Set,
        "File that holds the password";
    TOKEN_FILE: CONNECT, CONFIGURED, Some("token-file"), &["KAFKA_CONNECT_TOKEN_FILE"], "FILE", Told(""), Set,
        "File that holds a bearer token, instead of user and password";
    HEADERS_FILE: CONNECT, CONFIGURED, Some("headers-file"), &["KAFKA_CONNECT_HEADERS_FILE"], "FILE", Told(""), Set,
        "File of headers that a gateway wants, Name: value a line; secret, sent to the workers only";
    CA_FILE: CONNECT, CONFIGURED, Some("ca-file"), &["KAFKA_CONNECT_CA_FILE"], "FILE", Told("the system's CAs"), Set,
        "PEM file of CAs to trust besides the system's";
    CERT_FILE: CONNECT, CONFIGURED, Some("cert-file"), &["KAFKA_CONNECT_CERT_FILE"], "FILE", Told(""), Set,
        "PEM file of the client's certificate (mTLS)";
    KEY_FILE: CONNECT, CONFIGURED, Some("key-file"), &["KAFKA_CONNECT_KEY_FILE"], "FILE", Told(""), Set,
        "PEM file of the client's private key, not encrypted";
    PROXY: CONNECT, CONFIGURED, Some("proxy"), &["GUARDIAN_PROXY"], "none|env|URL", Value("none"), Set,
        "Proxy for requests to Connect; env means HTTP_PROXY, HTTPS_PROXY and NO_PROXY";
    TIMEOUT: CONNECT, CONFIGURED, Some("timeout"), &["GUARDIAN_TIMEOUT"], "DURATION", Value("30s"), Set,
        "Time for the whole answer of one worker when reading";
    MAX_RESTART: BACKOFF, PLANNING, Some("max-restart"), &["MAX_RESTART"], "N|unlimited", Value("7"), Set,
        "Restarts of one connector or task before giving up";
    EXPONENTIAL_RATIO: BACKOFF, PLANNING, Some("exponential-ratio"), &["EXPONENTIAL_RATIO"], "N", Value("1"), Set,
        "The n-th restart is followed by a wait of ratio^n runs; 1 restarts at every run, 2 doubles the wait";
    NO_BACKOFF: BACKOFF, PLANNING, Some("no-backoff"), &["ENABLE_BACKOFF"], "0|1", Value("1"), SetTrue,
        "Restart at every run, without limit (the flag, or 0 in the environment)";
    BACKOFF_STEP: BACKOFF, PLANNING, Some("backoff-step"), &["GUARDIAN_BACKOFF_STEP"], "run|DURATION", Value("run"), Set,
        "What the back-off counts: runs, or the clock in steps of this length";
    BACKOFF_CAP: BACKOFF, PLANNING, Some("backoff-cap"), &["GUARDIAN_BACKOFF_CAP"], "none|N|DURATION", Value("none"), Set,
        "Longest single wait: runs, or a duration when the step is one";
    SETTLE: BACKOFF, PLANNING, Some("settle"), &["GUARDIAN_SETTLE"], "DURATION", Value("60s"), Set,
        "No second restart of an instance within this time, whatever the back-off says";
    STUCK_AFTER: BACKOFF, PLANNING, Some("stuck-after"), &["GUARDIAN_STUCK_AFTER"], "off|RUNS", Value("off"), Set,
        "Restart also what has been UNASSIGNED or RESTARTING for so many runs";
    WATCH: BACKOFF, PLANNING, Some("watch"), &["GUARDIAN_WATCH"], "DURATION", Value("30s"), Set,
        "How long what was restarted must run before more of the same cause follow; 0s sends everything at once";
    GROUP_FROM: BACKOFF, PLANNING, Some("group-from"), &["GUARDIAN_GROUP_FROM"], "N|off", Value("3"), Set,
        "From so many connectors on, failures of one cause go in waves";
    GROUP_REST: BACKOFF, PLANNING, Some("group-rest"), &["GUARDIAN_GROUP_REST"], "RUNS", Value("2"), Set,
        "The longest rest of such a group after a wave that failed again, in runs or steps";
    KEEP_TRYING: BACKOFF, PLANNING, Some("keep-trying"), &["GUARDIAN_KEEP_TRYING"], "off|RUNS|DURATION", Value("off"), Set,
        "When nobody of a cause has a restart left, one gets another this often: in runs or steps, or a duration when the step is one";
    INCLUDE: WHICH, CHOOSING, Some("include"), &["GUARDIAN_INCLUDE"], "PATTERN", Told("all"), Append,
        "Connectors to restart, by name with * and ?; repeatable, commas in the environment";
    EXCLUDE: WHICH, CHOOSING, Some("exclude"), &["GUARDIAN_EXCLUDE"], "PATTERN", Told("none"), Append,
        "Connectors never to restart; wins over --include";
    NO_TASKS_OK: WHICH, SEEING, Some("no-tasks-ok"), &["GUARDIAN_NO_TASKS_OK"], "PATTERN", Told("none"), Append,
        "Connectors that may be RUNNING without a task, as some of MirrorMaker's are";
    MAX_RESTARTS_PER_RUN: WHICH, RUN, Some("max-restarts-per-run"), &["GUARDIAN_MAX_RESTARTS_PER_RUN"], "N|unlimited", Value("unlimited"), Set,
        "Connectors and tasks to restart in one run; 0 sends nothing";
    MAX_RESTARTS_PER_DAY: WHICH, SEEING, Some("max-restarts-per-day"), &["GUARDIAN_MAX_RESTARTS_PER_DAY"], "N|unlimited", Value("unlimited"), Set,
        "Restarts of one connector or task within 24 hours, 32 at most; what recovers and fails again is counted on";
    PARALLEL: WHICH, RESTARTING, Some("parallel"), &["GUARDIAN_PARALLEL"], "N", Value("4"), Set,
        "Connectors restarted at the same time";
    ONCE: RUNS, RUN, Some("once"), &[], "", Told(""), SetTrue,
        "One run (as without --every); overrules --every and GUARDIAN_EVERY";
    WAIT: RUNS, RUN, Some("wait"), &[], "", Told(""), SetTrue,
        "Stay until all that was restarted has run for --watch or failed again";
    EVERY: RUNS, RUN_AND_SCHEDULE, Some("every"), &["GUARDIAN_EVERY"], "DURATION", Told(""), Set,
        "Run again and again at this interval, until SIGTERM";
    DRY_RUN: RUNS, RUN, Some("dry-run"), &["GUARDIAN_DRY_RUN"], "", Value("0"), SetTrue,
        "Show what a run would do; send nothing, write nothing";
    DEADLINE: RUNS, RESTARTING, Some("deadline"), &["GUARDIAN_DEADLINE"], "DURATION", Value("3m30s"), Set,
        "Time for one whole run";
    FAIL_ON: RUNS, SEEING, Some("fail-on"), &["GUARDIAN_FAIL_ON"], "never|gave-up|failed|unhealthy", Value("never"), Set,
        "Exit with 3 when an instance was given up; is failed at all; or is failed, in transition or without tasks for three runs";
    NOTIFY: TELLING, RUN_AND_NOTIFY, None, &["GUARDIAN_NOTIFY"], "LINES", Told(""), Set,
        "Whom to tell what needs a person: a sink a line, KIND NAME WHERE [only=PATTERN,...] [labels=k=v,...] [token-file=FILE]; kinds are slack, teams, alertmanager, webhook and exec";
    NOTIFY_FILE: TELLING, RUN_AND_NOTIFY, None, &["GUARDIAN_NOTIFY_FILE"], "FILE", Told("$CREDENTIALS_DIRECTORY/notify"), Set,
        "File that holds such lines";
    NOTIFY_AFTER: TELLING, RUN_AND_NOTIFY, None, &["GUARDIAN_NOTIFY_AFTER"], "DURATION", Value("15m"), Set,
        "How long something fails, or nothing can be done, before it is told";
    NOTIFY_REMIND: TELLING, RUN_AND_NOTIFY, None, &["GUARDIAN_NOTIFY_REMIND"], "off|DURATION", Value("24h"), Set,
        "When what needs a person is told again";
    NOTIFY_LINK: TELLING, RUN_AND_NOTIFY, None, &["GUARDIAN_NOTIFY_LINK"], "URL", Told(""), Set,
        "Where a person sees a connector, for messages: https://ui.example/connectors/{connector}";
    NOTIFY_CAUSE: TELLING, RUN_AND_NOTIFY, None, &["GUARDIAN_NOTIFY_CAUSE"], "full|class|none", Value("full"), Set,
        "How much of a failure's cause messages show";
    NOTIFY_PROXY: TELLING, RUN_AND_NOTIFY, None, &["GUARDIAN_NOTIFY_PROXY"], "none|env|URL", Value("none"), Set,
        "Proxy for messages and the heartbeat";
    NOTIFY_CA_FILE: TELLING, RUN_AND_NOTIFY, None, &["GUARDIAN_NOTIFY_CA_FILE"], "FILE", Told("the system's CAs"), Set,
        "PEM file of CAs to trust there besides the system's";
    HEARTBEAT_URL: TELLING, RUN, None, &["GUARDIAN_HEARTBEAT_URL"], "URL", Told(""), Set,
        "Called after every run that did its work; with {code} in it after every run, with its exit code";
    HEARTBEAT_URL_FILE: TELLING, RUN, None, &["GUARDIAN_HEARTBEAT_URL_FILE"], "FILE", Told(""), Set,
        "File that holds that URL";
    CLUSTER: OUTPUT_HEADING, CONFIGURED, Some("cluster"), &["GUARDIAN_CLUSTER"], "NAME", Told("from the URL"), Set,
        "The cluster's name in state and output";
    STATE: OUTPUT_HEADING, CONFIGURED, Some("state"), &["GUARDIAN_STATE"], "FILE|configmap:NAME[/NAMESPACE]", Told("CLUSTER.json in $STATE_DIRECTORY, or in the XDG state folder"), Set,
        "Where the back-off is remembered between runs; a ConfigMap from within a Kubernetes pod";
    SERVICEACCOUNT_DIR: OUTPUT_HEADING, CONFIGURED, None, &["GUARDIAN_SERVICEACCOUNT_DIR"], "FOLDER", Value("/var/run/secrets/kubernetes.io/serviceaccount"), Set,
        "Where token, ca.crt and namespace for configmap:... are, when they are projected elsewhere";
    OUTPUT: OUTPUT_HEADING, ALL, Some("output"), &["GUARDIAN_OUTPUT"], "text|json", Value("text"), Set,
        "What to print on stdout";
    FULL: OUTPUT_HEADING, CHOOSING, Some("full"), &["GUARDIAN_FULL"], "", Value("0"), SetTrue,
        "Show every instance in the table, also the many that fail for one cause";
    QUIET: OUTPUT_HEADING, RUN, Some("quiet"), &["GUARDIAN_QUIET"], "", Value("0"), SetTrue,
        "Print nothing unless something changed or went wrong; then one line on stderr (not with --dry-run, nor JSON)";
    LOG_LEVEL: OUTPUT_HEADING, ALL, Some("log-level"), &["LOG_LEVEL"], "error|warn|info|debug|trace", Value("info"), Set,
        "What to log on stderr";
    LOG_FORMAT: OUTPUT_HEADING, ALL, Some("log-format"), &["GUARDIAN_LOG_FORMAT"], "auto|text|json", Value("auto"), Set,
        "How to log; auto is text, without the time on a terminal and in a journal";
    METRICS_FILE: TELLING, RUN, Some("metrics-file"), &["GUARDIAN_METRICS_FILE"], "FILE", Told(""), Set,
        "File of metrics for the textfile collector of node_exporter; its name ends in .prom";
    METRICS_CONNECTORS: TELLING, RUN, Some("metrics-connectors"), &["GUARDIAN_METRICS_CONNECTORS"], "N", Value("100"), Set,
        "So many failing connectors have metrics of their own";
    PUSHGATEWAY_URL: TELLING, RUN, None, &["GUARDIAN_PUSHGATEWAY_URL"], "URL", Told(""), Set,
        "Pushgateway for the metrics; no flag, because it may hold a password";
    PUSHGATEWAY_URL_FILE: TELLING, RUN, None, &["GUARDIAN_PUSHGATEWAY_URL_FILE"], "FILE", Told(""), Set,
        "File that holds this URL";
}

impl Setting {
    /// Whether it is a switch: `--flag`, and `1` or `0` in the environment.
    pub fn is_switch(&self) -> bool {
        self.occurs == Occurs::SetTrue
    }
}

/// The exit codes, as `--help` and the README tell them.
pub const EXIT_CODES: &str = "\
Exit codes:
  0         the run did its work, also when it restarted something or has given something up
  1         the run could not do all its work: Connect unreachable or not understood, a restart
            refused or of unknown fate, the state not readable or writable; or retry, reset or
            release found nothing of a name
  2         wrong usage or settings
  3         the work was done but a person is needed; only with --fail-on, or when something
            that retry was to bring back did not come back
  75        another run holds the state
  130, 143  interrupted by SIGINT or SIGTERM, after saving";

const ABOUT: &str = "Restarts failed Kafka Connect connectors and tasks with an exponential back-off, and knows when to stop trying";

/// What `--version` says: the version, and what the build knows of itself. The commit is known where it was said
/// (`GUARDIAN_COMMIT`): whoever builds from a crate or a tarball has no git to ask.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let version = env!("CARGO_PKG_VERSION");
    let commit = option_env!("GUARDIAN_COMMIT").filter(|commit| !commit.is_empty());
    match commit.map(|commit| commit.chars().take(12).collect::<String>()) {
        Some(commit) => format!("{version} ({commit}, {})", target()),
        None => format!("{version} ({})", target()),
    }
});

/// The target of this build, as cargo spells those that guardian is for. A build script would be told it, and would be
/// one more program to run before anything compiles.
fn target() -> String {
    let (vendor, os) = match std::env::consts::OS {
        "macos" => ("apple", "darwin"),
        os => ("unknown", os),
    };
    let library = match () {
        () if cfg!(target_env = "musl") => "-musl",
        () if cfg!(target_env = "gnu") => "-gnu",
        () => "",
    };
    format!("{}-{vendor}-{os}{library}", std::env::consts::ARCH)
}

/// The whole command line.
pub fn command() -> clap::Command {
    clap::Command::new("guardian")
        .version(VERSION.as_str())
        .about(ABOUT)
        .after_help(EXIT_CODES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(Command::ALL.map(subcommand))
}

fn subcommand(command: Command) -> clap::Command {
    let settings = SETTINGS.iter().filter(|setting| setting.commands.contains(&command));
    let only_env: Vec<String> = settings
        .clone()
        .filter(|setting| setting.flag.is_none())
        .map(|setting| {
            let default = match setting.default.as_str() {
                "" => String::new(),
                default => format!(" [default: {default}]"),
            };
            format!("  {}  {}{default}", setting.env.join(", "), setting.help)
        })
        .collect();
    let environment = if only_env.is_empty() {
        String::new()
    } else {
        format!("Environment only:\n{}\n\n", only_env.join("\n"))
    };
    clap::Command::new(command.as_str())
        .about(command.about())
        .args(settings.filter_map(arg))
        .args(named(command))
        .after_help(format!("{environment}{EXIT_CODES}"))
}

/// What a person's command is about, besides the settings.
fn named(command: Command) -> Vec<Arg> {
    const INSTANCES: (&str, &str) = ("NAME|NAME/TASK", "A connector with all its tasks, or one task");
    const PATTERN: (&str, &str) = ("PATTERN", "Connectors by name, with * and ?");
    let ((takes, what), all) = match command {
        Command::Retry => (INSTANCES, "Everything that has failed"),
        Command::Reset => (INSTANCES, "Forget everything"),
        Command::Hold => (PATTERN, "Hold everything, as '*' does"),
        Command::Release => (PATTERN, "End all holds"),
        Command::History => {
            return vec![
                option(SINCE, "TIME").help(
                    "The first moment: 8h (ago), 02:00 (the last one), or a time such as 2026-11-27T02:00:00Z; in UTC",
                ),
                option(UNTIL, "TIME").help("The last moment, the same way"),
                option(CONNECTOR, "PATTERN").help("Only what happened to these connectors, with * and ?"),
            ];
        }
        Command::Notify => {
            let names = Arg::new(NAMES).value_name("NAME").num_args(0..);
            let test = Arg::new(TEST).long(TEST).action(ArgAction::SetTrue);
            return vec![
                test.help("Send the test: this command does nothing else"),
                names.help("The sinks to test; all of them without"),
            ];
        }
        Command::Run | Command::Status | Command::Schedule => return Vec::new(),
    };
    let switch = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    let names = Arg::new(NAMES).value_name(takes).num_args(0..);
    let mut args = vec![names.help(what), switch(EVERYTHING).conflicts_with(NAMES).help(all)];
    if command == Command::Retry {
        let help = "Restart also what runs, one by one";
        args.push(switch(EVEN_RUNNING).conflicts_with(EVERYTHING).help(help));
    }
    if command == Command::Hold {
        if let Some(all) = args.last_mut() {
            *all = all.clone().visible_alias("hold-all");
        }
        args.push(option(FOR, "DURATION").required(true).help("How long, such as 2h; 30days at most"));
        args.push(option(REASON, "TEXT").help("Why, for whoever finds it"));
    }
    args
}

fn option(name: &'static str, takes: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(takes).action(ArgAction::Set)
}

const NAMES: &str = "name";
const EVERYTHING: &str = "all";
const EVEN_RUNNING: &str = "even-running";
const FOR: &str = "for";
const REASON: &str = "reason";
const SINCE: &str = "since";
const UNTIL: &str = "until";
const CONNECTOR: &str = "connector";
/// The commands, for whoever typed none.
const COMMANDS: &str =
    "a command is needed: run, status, retry, reset, hold, release, history, schedule or notify";
const TEST: &str = "test";

fn arg(setting: &Setting) -> Option<Arg> {
    let flag = setting.flag?;
    let mut help = setting.help.to_owned();
    if !setting.env.is_empty() {
        let _ = write!(help, " [env: {}]", setting.env.join(", "));
    }
    let default = setting.default.as_str();
    if !default.is_empty() && !setting.is_switch() {
        let _ = write!(help, " [default: {default}]");
    }
    let arg = Arg::new(flag).long(flag).help(help).help_heading(setting.heading);
    Some(match setting.occurs {
        Occurs::SetTrue => arg.action(ArgAction::SetTrue),
        // Not any value that begins with a hyphen: an empty variable before it must not swallow a `--dry-run`.
        Occurs::Set => arg.value_name(setting.takes).action(ArgAction::Set).allow_negative_numbers(true),
        Occurs::Append => {
            arg.value_name(setting.takes).action(ArgAction::Append).allow_negative_numbers(true)
        }
    })
}

/// What was typed.
#[derive(Clone, Debug)]
pub struct Typed {
    pub command: Command,
    matches: ArgMatches,
}

/// The result of reading the command line.
pub enum Parsed {
    /// A command.
    Typed(Typed),
    /// `--help` or `--version`: what to print.
    Print(String),
    /// Nothing was typed: the help. It is no success, since a schedule that forgets the command does nothing.
    Nothing(String),
    /// It cannot be understood, in one line.
    Wrong(String),
}

/// Reads the command line; the first argument is the program's own name.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Parsed {
    use clap::error::ErrorKind;
    match command().try_get_matches_from(args) {
        Ok(matches) => typed(&matches).map_or_else(|| Parsed::Wrong(COMMANDS.to_owned()), Parsed::Typed),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Parsed::Print(error.render().ansi().to_string())
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Parsed::Nothing(error.render().ansi().to_string())
        }
        Err(error) => Parsed::Wrong(one_line(&error.render().to_string())),
    }
}

fn typed(matches: &ArgMatches) -> Option<Typed> {
    let (name, matches) = matches.subcommand()?;
    let command = Command::ALL.into_iter().find(|command| command.as_str() == name)?;
    Some(Typed { command, matches: matches.clone() })
}

/// Clap's message up to its usage, on one line: what it quotes is somebody's
/// typing, and may hold what a terminal would obey.
fn one_line(message: &str) -> String {
    let lines =
        message.lines().take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let parts: Vec<&str> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
    sanitize(parts.join("; ").trim_start_matches("error: ")).into_owned()
}

impl Typed {
    /// The values of a flag; none when it was not typed, or is no flag of this command.
    pub fn values(&self, setting: &Setting) -> Vec<String> {
        setting.flag.map_or_else(Vec::new, |flag| self.texts(flag))
    }

    /// Whether a switch was typed.
    pub fn has(&self, setting: &Setting) -> bool {
        setting.flag.is_some_and(|flag| self.is_set(flag))
    }

    /// What a person's command is for: connectors and tasks by name, or patterns.
    pub fn names(&self) -> Vec<String> {
        self.texts(NAMES)
    }

    /// Whether it is for everything.
    pub fn everything(&self) -> bool {
        self.is_set(EVERYTHING)
    }

    /// Whether `retry` restarts also what runs.
    pub fn even_running(&self) -> bool {
        self.is_set(EVEN_RUNNING)
    }

    /// How long a hold is to last, as it was typed.
    pub fn lasting(&self) -> String {
        self.texts(FOR).pop().unwrap_or_default()
    }

    /// Why somebody holds.
    pub fn reason(&self) -> Option<String> {
        self.texts(REASON).pop()
    }

    /// From when on the history is asked for, as it was typed.
    pub fn since(&self) -> Option<String> {
        self.texts(SINCE).pop()
    }

    /// And until when.
    pub fn until(&self) -> Option<String> {
        self.texts(UNTIL).pop()
    }

    /// Of which connectors.
    pub fn connector(&self) -> Option<String> {
        self.texts(CONNECTOR).pop()
    }

    /// Whether `notify` is to send a test.
    pub fn tests(&self) -> bool {
        self.is_set(TEST)
    }

    fn texts(&self, id: &str) -> Vec<String> {
        let values = self.matches.try_get_many::<String>(id).ok().flatten();
        values.map(|values| values.cloned().collect()).unwrap_or_default()
    }

    fn is_set(&self, id: &str) -> bool {
        self.matches.try_get_one::<bool>(id).ok().flatten().copied().unwrap_or(false)
    }
}

/// The README's table of settings, in Markdown.
pub fn settings_table() -> String {
    let mut table = String::from(
        "| environment | flag | takes | default | what it does |\n| --- | --- | --- | --- | --- |\n",
    );
    for setting in SETTINGS {
        let env: Vec<String> = setting.env.iter().map(|name| format!("`{name}`")).collect();
        let code = |text: &str| {
            if text.is_empty() { String::new() } else { format!("`{}`", text.replace('|', "\\|")) }
        };
        let flag = setting.flag.map(|flag| format!("`--{flag}`")).unwrap_or_default();
        let takes = match (setting.is_switch(), setting.env.is_empty()) {
            (true, true) => String::new(),
            (true, false) => code("0|1"),
            _ => code(setting.takes),
        };
        let _ = writeln!(
            table,
            "| {} | {flag} | {takes} | {} | {} |",
            env.join(", "),
            setting.default.as_str().replace('|', "\\|"),
            setting.help.replace('|', "\\|"),
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_finds_no_mistake() {
        command().debug_assert();
    }

    #[test]
    fn every_setting_is_unique_and_run_has_all_flags() {
        let mut names: Vec<_> = SETTINGS.iter().flat_map(|s| s.env.iter().copied().chain(s.flag)).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        let run = command().find_subcommand("run").unwrap().clone();
        let flags: Vec<_> = run.get_arguments().filter_map(clap::Arg::get_long).collect();
        assert!(SETTINGS.iter().filter_map(|s| s.flag).all(|flag| flags.contains(&flag)));
    }

    #[test]
    fn a_wrong_command_line_is_one_line() {
        for args in [
            &["guardian", "rnu"][..],
            &["guardian", "run", "--hots", "x"],
            &["guardian", "run", "--host"],
            &["guardian", "run", "--exclude", "--dry-run"],
            &["guardian", "run", "--cluster", "-x"],
            &["guardian", "run", "--ho\rst\u{1b}[31m"],
        ] {
            let Parsed::Wrong(text) = parse(args.iter().map(OsString::from)) else { panic!("{args:?}") };
            assert!(!text.contains(char::is_control) && !text.is_empty(), "{text:?}");
        }
    }
}
