//! What the tests share: `Guardian`, the program with a state of its own, run as
//! often as a test needs. It clears the environment, so that the machine's
//! cannot leak in, and it knows nothing of Connect.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use connector_guardian::decide::history::{Entry, Happened};
use connector_guardian::decide::ledger::Ledger;
use connector_guardian::decide::model::InstanceId;
use serde_json::Value;

use crate::schema::hold;

/// The program, its settings and its state.
pub(crate) struct Guardian {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
}

/// How it ended and what it printed.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code, or minus the signal's number.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Guardian {
    /// Against the Connect at this URL, with an empty state, a ratio of 2, and
    /// no settling, so that runs can follow each other at once. Every failure
    /// is treated as a lone one.
    pub(crate) fn at(url: &str) -> Self {
        let folder = quick_folder();
        let guardian = Self { folder, environment: Vec::new(), arguments: Vec::new() };
        let state = guardian.state().display().to_string();
        guardian
            .env("HOME", "/nowhere")
            .env("GUARDIAN_STATE", &state)
            .env("GUARDIAN_CLUSTER", "test")
            .env("GUARDIAN_SETTLE", "0s")
            .env("GUARDIAN_GROUP_FROM", "off")
            .env("EXPONENTIAL_RATIO", "2")
            .env("KAFKA_CONNECT_URL", url)
    }

    /// Sets a variable from now on.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds an argument to every command from now on.
    pub(crate) fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Where the state is.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state.json")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The state's document; `None` when there is none.
    pub(crate) fn remembered(&self) -> Option<Value> {
        let text = std::fs::read_to_string(self.state()).ok()?;
        Some(serde_json::from_str(&text).expect("the state is JSON"))
    }

    /// Attempts of an instance that the state holds; `None` when it holds none.
    pub(crate) fn attempts(&self, connector: &str, task: Option<u64>) -> Option<u64> {
        let state = self.remembered()?;
        let instances = state["instances"].as_array().expect("instances").clone();
        let found =
            instances.iter().find(|line| line["connector"] == connector && line["task"].as_u64() == task)?;
        found["episode"]["attempts"].as_u64()
    }

    /// The command, not yet started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guardian"));
        command.args(arguments).args(&self.arguments).env_clear().envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts a command and returns without waiting for it.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().expect("the program starts")
    }

    /// Runs a command to its end.
    pub(crate) fn with(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.start(arguments))
    }

    /// `guardian run --once`, in text.
    pub(crate) fn run(&self) -> Ended {
        self.with(&["run", "--once"])
    }

    /// `guardian run --once --output json`: the document and the exit code.
    pub(crate) fn run_json(&self) -> (Value, i32) {
        self.json(&["run", "--once"])
    }

    /// A command with `--output json`: its one document and the exit code.
    pub(crate) fn json(&self, arguments: &[&str]) -> (Value, i32) {
        let ended = self.with(&[arguments, &["--output", "json"]].concat());
        let document = serde_json::from_str(&ended.stdout)
            .unwrap_or_else(|error| panic!("stdout is not one JSON document ({error}): {ended:#?}"));
        (document, ended.code)
    }
}

/// A folder for a state, in memory where there is such a place: waiting for a disk would take most of a run's time.
pub(crate) fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder for the state")
}

impl Ended {
    pub(crate) fn of(child: Child) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let output = child.wait_with_output().expect("the program ends");
        let status = output.status;
        let ended = Self {
            code: status.code().unwrap_or_else(|| -status.signal().unwrap_or(0)),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
        };
        // Whatever it prints for scripts is what its schema says.
        for document in ended.stdout.lines().filter(|line| line.starts_with("{\"schema\":")) {
            hold(&serde_json::from_str(document).expect("JSON"));
        }
        ended
    }

    /// Fails unless it exited with this code.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

/// The lines of a run's document as `connector/task action`, in order.
pub(crate) fn actions(document: &Value) -> Vec<String> {
    let line = |instance: &Value| {
        let task = instance["task"].as_u64().map(|task| format!("/{task}")).unwrap_or_default();
        format!(
            "{}{task} {}",
            instance["connector"].as_str().unwrap_or("?"),
            instance["action"].as_str().unwrap_or("?")
        )
    };
    document["instances"].as_array().map(|all| all.iter().map(line).collect()).unwrap_or_default()
}

/// The entries of a history that tell this of an instance by name.
pub(crate) fn told<'a>(
    ledger: &'a Ledger,
    event: Happened,
    id: &'a InstanceId,
) -> impl Iterator<Item = &'a Entry> {
    ledger.history.entries().iter().filter(move |entry| {
        let mut names = entry.names.iter().filter(|name| name.connector == id.connector);
        entry.event == event
            && names.any(|name| match id.task {
                None => name.own,
                Some(task) => name.tasks.iter().any(|(first, last)| (*first..=*last).contains(&task)),
            })
    })
}

/// One instance's entry in a document.
pub(crate) fn instance<'a>(document: &'a Value, connector: &str, task: Option<u64>) -> &'a Value {
    let all = document["instances"].as_array().expect("instances");
    let found = all.iter().find(|line| line["connector"] == connector && line["task"].as_u64() == task);
    found.unwrap_or_else(|| panic!("{connector} {task:?} has no entry in {document:#}"))
}

/// The same numbers for the same start (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    pub(crate) fn one_in(&mut self, sides: u64) -> bool {
        self.below(sides) == 0
    }

    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low)
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}

/// Runs the test on each case in a thread of its own: most of the time is waiting. An assertion must name its case.
pub(crate) fn each<T: Send + Sync>(cases: Vec<T>, test: impl Fn(&T) + Sync) {
    std::thread::scope(|scope| {
        for case in &cases {
            scope.spawn(|| test(case));
        }
    });
}
