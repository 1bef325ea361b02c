//! Java processes that cannot outlive the tests.
//!
//! It owns how a JVM is started, where its output goes, how it is ended, and the watchdog that ends it when
//! the test run itself is killed. It knows nothing of Kafka. A JVM gets a process group of its own, so that
//! Ctrl-C in a terminal ends the tests first and the watchdog then ends the rest.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::wait;

/// Kafka 4 needs 17; the older releases start on it too.
const OLDEST_JAVA: u32 = 17;

/// Small and quick to start: one compiler tier and one collector thread halve a worker's start on two cores.
const FRUGAL: [&str; 4] =
    ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Djava.awt.headless=true"];

/// Reads "+ PID" and "- PID". When the tests end, however they end, its input closes: it kills every JVM that
/// is left and removes their folder (unless told to keep it).
const WATCHDOG: &str = r#"
live=" "
while read -r sign pid; do
  case $sign in
    +) live="$live$pid " ;;
    -) live="${live%% "$pid" *} ${live#* "$pid" }" ;;
  esac
done
for pid in $live; do kill -9 "$pid"; done
# A killed process is gone at once, but what it was writing may still come into being.
[ -n "$2" ] || rm -rf "$1" || { sleep 1; rm -rf "$1"; }
"#;

/// The folder of this test run: logs, topics, plugins, states. `GUARDIAN_E2E_KEEP=1` keeps it.
pub fn run_folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = tempfile::Builder::new().prefix("guardian-e2e-").tempdir();
        // The watchdog removes it, after the last JVM.
        folder.expect("a folder for this test run").keep()
    })
}

/// A new folder within the run's; the number keeps two of one name apart.
pub fn new_folder(name: &str) -> PathBuf {
    static NUMBER: Mutex<u32> = Mutex::new(0);
    let mut number = NUMBER.lock().unwrap_or_else(PoisonError::into_inner);
    *number += 1;
    let folder = run_folder().join(format!("{number:03}-{name}"));
    fs::create_dir_all(&folder).expect("a folder within the run's");
    folder
}

#[expect(clippy::zombie_processes, reason = "the watchdog must outlive these tests, so nobody waits for it")]
fn tell_watchdog(sign: char, pid: u32) {
    static WATCHDOG_INPUT: OnceLock<Mutex<ChildStdin>> = OnceLock::new();
    let input = WATCHDOG_INPUT.get_or_init(|| {
        let mut watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "guardian-e2e-watchdog"])
            .arg(run_folder())
            .arg(std::env::var_os("GUARDIAN_E2E_KEEP").unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("start the watchdog (sh)");
        Mutex::new(watchdog.stdin.take().expect("its input is a pipe"))
    });
    let mut input = input.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(input, "{sign} {pid}").expect("the watchdog lives as long as the tests");
}

/// The version line of the `java` on the path, or a failure that says what is missing.
pub fn java_version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let get = format!(
            "These tests run real Apache Kafka: install a JDK {OLDEST_JAVA} or newer \
             (Debian: apt-get install openjdk-17-jdk-headless) and put it first on the PATH"
        );
        for tool in ["java", "javac"] {
            let found = Command::new(tool).arg("-version").output();
            let output = found.unwrap_or_else(|error| panic!("cannot start `{tool}`: {error}. {get}"));
            assert!(output.status.success(), "`{tool} -version` failed. {get}");
        }
        let output = Command::new("java")
            .args(["-XshowSettings:properties", "-version"])
            .output()
            .expect("it was there a moment ago");
        let settings = String::from_utf8_lossy(&output.stderr).into_owned();
        let property = |name: &str| {
            settings
                .lines()
                .filter_map(|line| line.trim().split_once(" = "))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
                .unwrap_or_else(|| panic!("`java` does not say its {name}:\n{settings}"))
        };
        let feature: u32 = property("java.specification.version").parse().unwrap_or(8); // "1.8"
        assert!(feature >= OLDEST_JAVA, "this Java is version {feature}. {get}");
        property("java.version")
    })
}

/// A process of another kind, to be ended with the tests as well.
pub fn leave_to_watchdog(pid: u32) {
    tell_watchdog('+', pid);
}

pub fn take_from_watchdog(pid: u32) {
    tell_watchdog('-', pid);
}

/// What a JVM has printed so far.
#[derive(Clone)]
pub struct Log(PathBuf);

impl Log {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.0).unwrap_or_default()).into_owned()
    }

    pub fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(40)..].join("\n");
        format!("--- the last lines of {} ---\n{tail}\n---", self.0.display())
    }

    /// What Kafka and Jetty both say when a port is taken.
    pub fn says_port_taken(&self) -> bool {
        self.text().contains("Address already in use")
    }
}

pub struct Jvm {
    name: String,
    child: Child,
    pub log: Log,
}

impl Jvm {
    /// `heap` in megabytes; `args` are options, the main class and its arguments.
    pub fn start(name: &str, heap: u32, jars: &Path, args: &[String], folder: &Path) -> Jvm {
        java_version();
        let log = folder.join("log");
        let output = File::create(&log).expect("create the log");
        let child = Command::new("java")
            .arg(format!("-Xmx{heap}m"))
            .args(FRUGAL)
            .arg("-cp")
            .arg(jars.join("*"))
            .args(args)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("one file for both"))
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("start {name}: {error}"));
        tell_watchdog('+', child.id());
        Jvm { name: name.to_owned(), child, log: Log(log) }
    }

    /// Waits for a condition while it runs; a JVM that ends meanwhile is a failure at once, with its log.
    pub fn until<T>(&mut self, awaited: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
        let log = self.log.clone();
        wait::until(awaited, || {
            let ended = self.child.try_wait().expect("ask for a child of ours");
            // Asked before looking: what it did last, before it ended, still counts.
            match (look(), ended) {
                (Err(seen), Some(status)) => panic!(
                    "{} ended ({status}) before: {awaited}\nlast seen: {seen}\n{}",
                    self.name,
                    log.tail()
                ),
                (Err(seen), None) => Err(format!("{seen}\n{}", log.tail())),
                (found, _) => found,
            }
        })
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("ask for a child of ours").is_some()
    }

    /// What ends it with SIGKILL: it writes nothing, tells nobody, and its port refuses connections afterwards.
    /// For a moment that only another thread sees come.
    pub fn killer(&self) -> impl Fn() + Send + Clone + 'static {
        let (pid, name) = (self.child.id().to_string(), self.name.clone());
        move || {
            // Not yet waited for, so the number is still its own.
            let killed = Command::new("sh").args(["-c", &format!("kill -9 {pid}")]).status();
            assert!(killed.expect("run kill").success(), "kill -9 {name}");
        }
    }

    /// Ends it as its service manager would, and waits: a worker leaves its group and writes UNASSIGNED.
    pub fn stop(&mut self) {
        let asked = Command::new("sh").args(["-c", &format!("kill {}", self.child.id())]).status();
        assert!(asked.expect("run kill").success(), "kill {}", self.name);
        let awaited = format!("{} to end after SIGTERM", self.name);
        let child = &mut self.child;
        wait::until(&awaited, || match child.try_wait() {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
}

impl Drop for Jvm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        tell_watchdog('-', self.child.id());
    }
}

/// Ports that were free a moment ago. Another process may take one before the JVM does, so a start that fails
/// with "Address already in use" is made again with others: see `with_ports`.
pub fn free_ports<const N: usize>() -> [u16; N] {
    // All are held until all are known, so that they differ.
    let held =
        [(); N].map(|()| std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port on loopback"));
    held.map(|listener| listener.local_addr().expect("a bound port").port())
}

/// Starts something on free ports; `start` returns `None` when one of them was taken meanwhile.
pub fn with_ports<T, const N: usize>(what: &str, mut start: impl FnMut([u16; N]) -> Option<T>) -> T {
    // Two clashes in a row on a machine with thousands of free ports are no accident.
    let mut tried = BTreeSet::new();
    for _ in 0..5 {
        let ports = free_ports();
        if let Some(started) = start(ports) {
            return started;
        }
        tried.extend(ports);
    }
    panic!("{what}: every one of the ports {tried:?} was taken between asking and binding");
}
