//! The program under test: the real binary, in an environment that holds nothing but what the test says.
//!
//! It owns how guardian is started and how its answer is taken apart. Every run is printed, which the test
//! harness shows when the test fails.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than guardian's own default deadline for a run (3 min 30 s): a guardian that hangs is a failure,
/// not a wait.
const HANGS: Duration = Duration::from_secs(240);

#[derive(Clone)]
pub struct Guardian {
    home: PathBuf,
    args: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
}

impl Guardian {
    /// `home` also holds the state; two guardians with one home share their memory. Every failure is treated as a lone one.
    pub fn new(url: &str, home: &Path) -> Guardian {
        Guardian { home: home.to_owned(), args: Vec::new(), envs: Vec::new() }
            .env("GUARDIAN_GROUP_FROM", "off")
            .env("KAFKA_CONNECT_URL", url)
            .env("HOME", home)
            .env("GUARDIAN_STATE", home.join("state.json"))
    }

    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Guardian {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// A later value replaces an earlier one.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Guardian {
        self.envs.push((name.into(), value.into()));
        self
    }

    pub fn state_file(&self) -> PathBuf {
        self.home.join("state.json")
    }

    pub fn start(&self) -> Started {
        let mut child = Command::new(env!("CARGO_BIN_EXE_guardian"))
            .args(&self.args)
            .env_clear()
            .envs(self.envs.clone())
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start guardian");
        Started {
            stdout: read_in_background(child.stdout.take().expect("a pipe")),
            stderr: read_in_background(child.stderr.take().expect("a pipe")),
            command: format!("guardian {}", self.args.join(" ".as_ref()).display()),
            child,
        }
    }

    pub fn run(&self) -> Run {
        self.start().finish()
    }

    /// One `guardian run` as most scenarios want it: back to back, so without the pause between two restarts.
    pub fn once(&self, args: &[&str]) -> Run {
        self.clone().args(["run", "--once", "--output", "json", "--settle", "0s"]).args(args).run()
    }
}

/// A pipe that nobody reads would stop guardian once it is full.
fn read_in_background(mut pipe: impl std::io::Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("read from guardian");
        String::from_utf8(bytes).expect("guardian prints UTF-8")
    })
}

/// A guardian under way.
pub struct Started {
    command: String,
    child: Child,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
}

impl Started {
    pub fn finish(mut self) -> Run {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("ask for a child of ours") {
                break status;
            }
            if started.elapsed() > HANGS {
                let _ = self.child.kill();
                let _ = self.child.wait();
                panic!("{} did not end within {} s", self.command, HANGS.as_secs());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let stdout = self.stdout.join().expect("guardian's output");
        let stderr = self.stderr.join().expect("guardian's log");
        println!("$ {}\n{stdout}{stderr}[{status}]\n", self.command);
        Run {
            json: serde_json::from_str(&stdout).unwrap_or(Value::Null),
            code: status.code(),
            stdout,
            stderr,
        }
    }
}

pub struct Run {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// `Null` when stdout is not one JSON document.
    pub json: Value,
}

impl Run {
    /// The line of an instance, `Null` when it has none.
    pub fn instance(&self, connector: &str, task: Option<usize>) -> &Value {
        const ABSENT: &Value = &Value::Null;
        self.json["instances"]
            .as_array()
            .and_then(|all| {
                all.iter().find(|entry| entry["connector"] == connector && entry["task"] == Value::from(task))
            })
            .unwrap_or(ABSENT)
    }

    /// What was done about an instance, "" when it has no line.
    pub fn action(&self, connector: &str, task: Option<usize>) -> &str {
        self.instance(connector, task)["action"].as_str().unwrap_or("")
    }

    pub fn attempts(&self, connector: &str, task: Option<usize>) -> Option<u64> {
        self.instance(connector, task)["attempts"].as_u64()
    }

    /// How many instances the summary counts under this action.
    pub fn count(&self, action: &str) -> u64 {
        self.json["summary"][action]
            .as_u64()
            .unwrap_or_else(|| panic!("no {action} in the summary of {}", self.json))
    }

    /// The run did its work.
    pub fn assert_ok(&self) -> &Run {
        assert_eq!(self.code, Some(0), "guardian's exit code");
        assert_eq!(self.json["ok"], true, "guardian's own word: {}", self.json);
        assert_eq!(self.json["error"], Value::Null, "{}", self.json);
        self
    }
}
