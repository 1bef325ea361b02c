//! The command line: commands, flags, environment names and their help, and
//! nothing else. Every setting stands once, in `SETTINGS`: `--help` and the
//! README's table are made of it, and `config` says what its values mean.

use std::ffi::OsString;
use std::fmt::Write;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::decide::text::sanitize;

/// One setting: a flag, environment names, or both.
#[derive(Debug)]
pub struct Setting {
    /// The flag, without its dashes; none for what must not be on a command line.
    pub flag: Option<&'static str>,
    /// The environment names, the usual one first.
    pub env: &'static [&'static str],
    /// What it takes; empty for a switch.
    pub takes: &'static str,
    /// What it is when it is not given.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Under which heading `--help` shows it.
    heading: &'static str,
    /// The flag may be repeated.
    repeats: bool,
}

const CONNECT: &str = "Kafka Connect";
const BACKOFF: &str = "Back-off";
const WHICH: &str = "Which and how many";
const RUNS: &str = "Runs";
const OUTPUT: &str = "State and output";

const fn setting(
    heading: &'static str,
    flag: &'static str,
    env: &'static [&'static str],
    takes: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { flag: Some(flag), env, takes, default, help, heading, repeats: false }
}

/// Every setting of the program.
#[rustfmt::skip]
pub const SETTINGS: &[Setting] = &[
    setting(CONNECT, "url", &["KAFKA_CONNECT_URL"], "URL,...", "from host, port, protocol",
        "Workers of ONE cluster, tried in turn; a path prefix is kept"),
    setting(CONNECT, "host", &["KAFKA_CONNECT_HOST"], "NAME", "localhost",
        "The worker's host, without scheme or port"),
    setting(CONNECT, "port", &["KAFKA_CONNECT_PORT"], "NUMBER", "8083",
        "The worker's REST port (a tcp://... of a Kubernetes service link is ignored)"),
    setting(CONNECT, "protocol", &["KAFKA_CONNECT_PROTO", "KAFKA_CONNECT_PROTOCOL"], "http|https", "http",
        "How to talk to the worker"),
    setting(CONNECT, "user", &["KAFKA_CONNECT_USER"], "NAME", "",
        "User for Basic authentication"),
    setting(CONNECT, "user-file", &["KAFKA_CONNECT_USER_FILE"], "FILE", "",
        "File that holds the user's name"),
    Setting { flag: None, ..setting(CONNECT, "", &["KAFKA_CONNECT_PASS"], "TEXT", "",
        "Password for Basic authentication; no flag, because a command line is seen by everybody") },
    setting(CONNECT, "password-file", &["KAFKA_CONNECT_PASS_FILE"], "FILE", "$CREDENTIALS_DIRECTORY/connect-password",
        "File that holds the password"),
    setting(CONNECT, "token-file", &["KAFKA_CONNECT_TOKEN_FILE"], "FILE", "",
        "File that holds a bearer token, instead of user and password"),
    setting(CONNECT, "ca-file", &["KAFKA_CONNECT_CA_FILE"], "FILE", "the system's CAs",
        "PEM file of CAs to trust besides the system's"),
    setting(CONNECT, "cert-file", &["KAFKA_CONNECT_CERT_FILE"], "FILE", "",
        "PEM file of the client's certificate (mTLS)"),
    setting(CONNECT, "key-file", &["KAFKA_CONNECT_KEY_FILE"], "FILE", "",
        "PEM file of the client's private key, not encrypted"),
    setting(CONNECT, "proxy", &["GUARDIAN_PROXY"], "none|env|URL", "none",
        "Proxy for requests to Connect; env means HTTP_PROXY, HTTPS_PROXY and NO_PROXY"),
    setting(CONNECT, "timeout", &["GUARDIAN_TIMEOUT"], "DURATION", "30s",
        "Time for the whole answer of one worker when reading"),

    setting(BACKOFF, "max-restart", &["MAX_RESTART"], "N|unlimited", "7",
        "Restarts of one connector or task before giving up"),
    setting(BACKOFF, "exponential-ratio", &["EXPONENTIAL_RATIO"], "N", "1",
        "The n-th restart is followed by a wait of ratio^n runs; 1 restarts at every run, 2 doubles the wait"),
    Setting { takes: "0|1", ..setting(BACKOFF, "no-backoff", &["ENABLE_BACKOFF"], "", "1",
        "Restart at every run, without limit (the flag, or 0 in the environment)") },
    setting(BACKOFF, "backoff-step", &["GUARDIAN_BACKOFF_STEP"], "run|DURATION", "run",
        "What the back-off counts: runs, or the clock in steps of this length"),
    setting(BACKOFF, "backoff-cap", &["GUARDIAN_BACKOFF_CAP"], "none|N|DURATION", "none",
        "Longest single wait: runs, or a duration when the step is one"),
    setting(BACKOFF, "settle", &["GUARDIAN_SETTLE"], "DURATION", "30s",
        "No second restart of an instance within this time, whatever the back-off says"),
    setting(BACKOFF, "stuck-after", &["GUARDIAN_STUCK_AFTER"], "off|RUNS", "off",
        "Restart also what has been UNASSIGNED or RESTARTING for so many runs"),

    Setting { repeats: true, ..setting(WHICH, "include", &["GUARDIAN_INCLUDE"], "PATTERN", "all",
        "Connectors to restart, by name with * and ?; repeatable, commas in the environment") },
    Setting { repeats: true, ..setting(WHICH, "exclude", &["GUARDIAN_EXCLUDE"], "PATTERN", "none",
        "Connectors never to restart; wins over --include") },
    setting(WHICH, "max-restarts-per-run", &["GUARDIAN_MAX_RESTARTS_PER_RUN"], "N|unlimited", "unlimited",
        "Connectors and tasks to restart in one run; 0 sends nothing"),
    setting(WHICH, "parallel", &["GUARDIAN_PARALLEL"], "N", "4",
        "Connectors restarted at the same time"),

    setting(RUNS, "once", &[], "", "",
        "One run (as without --every); overrules --every and GUARDIAN_EVERY"),
    setting(RUNS, "every", &["GUARDIAN_EVERY"], "DURATION", "",
        "Run again and again at this interval, until SIGTERM"),
    setting(RUNS, "dry-run", &["GUARDIAN_DRY_RUN"], "", "0",
        "Show what a run would do; send nothing, write nothing"),
    setting(RUNS, "deadline", &["GUARDIAN_DEADLINE"], "DURATION", "3m30s",
        "Time for one whole run"),
    setting(RUNS, "fail-on", &["GUARDIAN_FAIL_ON"], "never|gave-up|failed", "never",
        "Exit with 3 when an instance was given up, or is failed at all"),

    setting(OUTPUT, "cluster", &["GUARDIAN_CLUSTER"], "NAME", "from the URL",
        "The cluster's name in state and output"),
    setting(OUTPUT, "state", &["GUARDIAN_STATE"], "FILE|configmap:NAME[/NAMESPACE]", "CLUSTER.json in $STATE_DIRECTORY, or in the XDG state folder",
        "Where the back-off is remembered between runs; a ConfigMap from within a Kubernetes pod"),
    Setting { flag: None, ..setting(OUTPUT, "", &["GUARDIAN_SERVICEACCOUNT_DIR"], "FOLDER", "/var/run/secrets/kubernetes.io/serviceaccount",
        "Where token, ca.crt and namespace for configmap:... are, when they are projected elsewhere") },
    setting(OUTPUT, "output", &["GUARDIAN_OUTPUT"], "text|json", "text",
        "What to print on stdout"),
    setting(OUTPUT, "quiet", &["GUARDIAN_QUIET"], "", "0",
        "Print nothing unless something changed or went wrong; then one line on stderr (not with --dry-run, nor JSON)"),
    setting(OUTPUT, "log-level", &["LOG_LEVEL"], "error|warn|info|debug|trace", "info",
        "What to log on stderr"),
    setting(OUTPUT, "log-format", &["GUARDIAN_LOG_FORMAT"], "auto|text|json", "auto",
        "How to log; auto is text, without the time on a terminal and in a journal"),
];

impl Setting {
    /// Whether it is a switch: `--flag`, and `1` or `0` in the environment.
    #[must_use]
    pub fn is_switch(&self) -> bool {
        self.takes.is_empty() || self.takes == "0|1"
    }

    /// Whether only `run` has a use for it.
    fn only_runs(&self) -> bool {
        self.heading == RUNS || matches!(self.flag, Some("parallel" | "quiet" | "max-restarts-per-run"))
    }
}

/// The exit codes, as `--help` and the README tell them.
pub const EXIT_CODES: &str = "\
Exit codes:
  0         the run did its work, also when it restarted something or has given something up
  1         the run could not do all its work: Connect unreachable or not understood, a restart
            refused or of unknown fate, the state not readable or writable
  2         wrong usage or settings
  3         the work was done but a person is needed; only with --fail-on
  75        another run holds the state
  130, 143  interrupted by SIGINT or SIGTERM, after saving";

const ABOUT: &str = "Restarts failed Kafka Connect connectors and tasks with an exponential back-off, and knows when to stop trying";

/// The whole command line.
#[must_use]
pub fn command() -> Command {
    let run = subcommand("run", "Read the cluster once, restart what is due, remember, report", |_| true);
    let status = subcommand(
        "status",
        "Show what Connect says, what is remembered and what comes next; sends nothing",
        |s| !s.only_runs(),
    );
    let reset = subcommand("reset", "Forget failures, so that the next run starts afresh with them", |s| {
        !s.only_runs() && s.heading != BACKOFF && s.heading != WHICH
    })
    .arg(
        Arg::new("name")
            .value_name("NAME|NAME/TASK")
            .num_args(0..)
            .help("A connector with all its tasks, or one task"),
    )
    .arg(
        Arg::new("all")
            .long("all")
            .action(ArgAction::SetTrue)
            .conflicts_with("name")
            .help("Forget everything"),
    );
    let schedule = subcommand(
        "schedule",
        "Show the timetable that the present settings give; reads and sends nothing",
        |s| s.heading == BACKOFF || matches!(s.flag, Some("every" | "output" | "log-level" | "log-format")),
    );
    Command::new("guardian")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(EXIT_CODES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([run, status, reset, schedule])
}

fn subcommand(name: &'static str, about: &'static str, has: impl Fn(&Setting) -> bool) -> Command {
    let settings = SETTINGS.iter().filter(|setting| has(setting));
    let command = Command::new(name).about(about).args(settings.clone().filter_map(arg));
    let only_env: Vec<String> = settings
        .filter(|setting| setting.flag.is_none())
        .map(|setting| format!("  {}  {}", setting.env.join(", "), setting.help))
        .collect();
    let environment = if only_env.is_empty() {
        String::new()
    } else {
        format!("Environment only:\n{}\n\n", only_env.join("\n"))
    };
    command.after_help(format!("{environment}{EXIT_CODES}"))
}

fn arg(setting: &Setting) -> Option<Arg> {
    let flag = setting.flag?;
    let mut help = setting.help.to_owned();
    if !setting.env.is_empty() {
        let _ = write!(help, " [env: {}]", setting.env.join(", "));
    }
    if !setting.default.is_empty() && !setting.is_switch() {
        let _ = write!(help, " [default: {}]", setting.default);
    }
    let arg = Arg::new(flag).long(flag).help(help).help_heading(setting.heading);
    Some(if setting.is_switch() {
        arg.action(ArgAction::SetTrue)
    } else {
        let action = if setting.repeats { ArgAction::Append } else { ArgAction::Set };
        // Not any value that begins with a hyphen: an empty variable before it must not swallow a `--dry-run`.
        arg.value_name(setting.takes).action(action).allow_negative_numbers(true)
    })
}

/// What was typed.
#[derive(Clone, Debug)]
pub struct Typed {
    /// The command's name.
    pub command: String,
    matches: ArgMatches,
}

/// What came of reading the command line.
pub enum Parsed {
    /// A command.
    Typed(Typed),
    /// `--help` or `--version`: what to print.
    Print(String),
    /// It cannot be understood, in one line.
    Wrong(String),
}

/// Reads the command line; the first argument is the program's own name.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Parsed {
    use clap::error::ErrorKind;
    match command().try_get_matches_from(args) {
        Ok(matches) => match matches.subcommand() {
            Some((name, matches)) => {
                Parsed::Typed(Typed { command: name.to_owned(), matches: matches.clone() })
            }
            None => Parsed::Wrong("a command is needed: run, status, reset or schedule".to_owned()),
        },
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Parsed::Print(error.render().ansi().to_string())
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Parsed::Wrong(
            "a command is needed: run, status, reset or schedule (see guardian --help)".to_owned(),
        ),
        Err(error) => Parsed::Wrong(one_line(&error.render().to_string())),
    }
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
    /// The values of a flag; none when it was not typed, or is no flag of this
    /// command.
    #[must_use]
    pub fn values(&self, flag: &str) -> Vec<String> {
        let values = self.matches.try_get_many::<String>(flag).ok().flatten();
        values.map(|values| values.cloned().collect()).unwrap_or_default()
    }

    /// Whether a switch was typed.
    #[must_use]
    pub fn has(&self, flag: &str) -> bool {
        self.matches.try_get_one::<bool>(flag).ok().flatten().copied().unwrap_or(false)
    }
}

/// The README's table of settings, in Markdown.
#[must_use]
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
            setting.default.replace('|', "\\|"),
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
            &["guardian"][..],
            &["guardian", "rnu"],
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
