//! Connect workers: started, asked, and read.
//!
//! It owns a worker's settings, the real conditions of its readiness, and the worker's side of every
//! assertion: its status, its access log, its plugin. It does not know guardian.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::certificates::STORE_PASSWORD;
use crate::flaky::{self, Flaky};
use crate::http::{self, Answer, segment};
use crate::jars::Version;
use crate::jvm::{self, Jvm, Log};
use crate::kafka;
use crate::wait;

const LOG4J: &str = "log4j.rootLogger=INFO, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{HH:mm:ss.SSS} %p %c{1}: %m%n
log4j.logger.org.apache.kafka.clients=WARN
log4j.logger.org.apache.kafka.common=WARN
log4j.logger.org.reflections=ERROR
";

const LOG4J2: &str = "status=warn
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{HH:mm:ss.SSS} %p %c{1}: %m%n
rootLogger.level=info
rootLogger.appenderRef.out.ref=out
logger.clients.name=org.apache.kafka.clients
logger.clients.level=warn
logger.common.name=org.apache.kafka.common
logger.common.level=warn
";

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Distributed,
    Standalone,
}

/// What to start: a worker of `version` with these settings on top of the harness's own.
#[derive(Clone)]
pub struct Setup {
    version: &'static Version,
    mode: Mode,
    group: String,
    settings: BTreeMap<String, String>,
    jvm_options: Vec<String>,
    headers: Vec<String>,
    https: bool,
}

impl Setup {
    /// A distributed worker of a group of its own; start the same set-up twice for two workers of one
    /// cluster.
    pub fn distributed(version: &'static Version) -> Setup {
        static GROUP: AtomicU32 = AtomicU32::new(0);
        let group = GROUP.fetch_add(1, Ordering::Relaxed);
        Setup {
            version,
            mode: Mode::Distributed,
            group: format!("connect-{}-{group}", version.number),
            settings: BTreeMap::new(),
            jvm_options: Vec::new(),
            headers: Vec::new(),
            https: false,
        }
    }

    pub fn standalone(version: &'static Version) -> Setup {
        Setup { mode: Mode::Standalone, ..Setup::distributed(version) }
    }

    pub fn set(mut self, key: &str, value: impl Into<String>) -> Setup {
        self.settings.insert(key.to_owned(), value.into());
        self
    }

    pub fn jvm_option(mut self, option: impl Into<String>) -> Setup {
        self.jvm_options.push(option.into());
        self
    }

    /// A second listener, for guardian. `client_auth` is Connect's word: "none", "requested", "required".
    pub fn https(mut self, keys: &Path, trusted: &Path, client_auth: &str) -> Setup {
        self.https = true;
        let stores = [("keystore", keys), ("truststore", trusted)];
        stores
            .into_iter()
            .fold(self, |setup, (what, path)| {
                let key = format!("listeners.https.ssl.{what}");
                setup
                    .set(&format!("{key}.location"), path.display().to_string())
                    .set(&format!("{key}.type"), "PKCS12")
                    .set(&format!("{key}.password"), STORE_PASSWORD)
            })
            .set("listeners.https.ssl.key.password", STORE_PASSWORD)
            .set("listeners.https.ssl.client.auth", client_auth)
    }

    /// A header line that the harness itself sends with each request (a worker with authentication).
    pub fn header(mut self, line: impl Into<String>) -> Setup {
        self.headers.push(line.into());
        self
    }

    /// Starts the worker and waits until it can serve.
    pub fn start(&self) -> Worker {
        let mut worker = self.start_without_waiting();
        worker.await_ready();
        worker
    }

    /// Starts the worker and returns as soon as its port is bound or it is known to be free: for tests of the
    /// start itself.
    pub fn start_without_waiting(&self) -> Worker {
        let jars = self.version.jars();
        let plugins = plugins(self.version, &jars);
        let what = format!("a worker {}", self.version.number);
        jvm::with_ports(&what, |ports| self.start_on(ports, &jars, &plugins))
    }

    fn start_on(&self, [port, https_port]: [u16; 2], jars: &Path, plugins: &Path) -> Option<Worker> {
        let folder = jvm::new_folder(&format!("worker-{}", self.version.number));
        let settings = folder.join("worker.properties");
        let properties = self.properties(port, https_port, &folder, plugins);
        let id =
            format!("{}:{}", properties["rest.advertised.host.name"], properties["rest.advertised.port"]);
        let text: String = properties.into_iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        fs::write(&settings, text).expect("write the worker's settings");

        let mut args = self.jvm_options.clone();
        args.push(logging(self.version, &folder));
        args.push(
            match self.mode {
                Mode::Distributed => "org.apache.kafka.connect.cli.ConnectDistributed",
                Mode::Standalone => "org.apache.kafka.connect.cli.ConnectStandalone",
            }
            .to_owned(),
        );
        args.push(settings.display().to_string());
        let mut jvm = Jvm::start(
            &format!("the worker {} on port {port}", self.version.number),
            384,
            jars,
            &args,
            &folder,
        );

        let log = jvm.log.clone();
        let bound = jvm.until("its REST port to be bound", || {
            if log.says_port_taken() {
                return Ok(false);
            }
            std::net::TcpStream::connect(("127.0.0.1", port)).map(|_| true).map_err(|error| error.to_string())
        });
        bound.then(|| Worker {
            version: self.version,
            group: self.group.clone(),
            port,
            https_port,
            id,
            headers: self.headers.clone(),
            jvm,
        })
    }

    fn properties(
        &self,
        port: u16,
        https_port: u16,
        folder: &Path,
        plugins: &Path,
    ) -> BTreeMap<String, String> {
        let group = &self.group;
        let https = if self.https { format!(",https://127.0.0.1:{https_port}") } else { String::new() };
        let mut properties: BTreeMap<String, String> = [
            ("bootstrap.servers", kafka::broker().address.clone()),
            ("key.converter", "org.apache.kafka.connect.storage.StringConverter".to_owned()),
            ("value.converter", "org.apache.kafka.connect.storage.StringConverter".to_owned()),
            ("listeners", format!("http://127.0.0.1:{port}{https}")),
            ("rest.advertised.listener", "http".to_owned()),
            ("rest.advertised.host.name", "127.0.0.1".to_owned()),
            ("rest.advertised.port", port.to_string()),
            ("plugin.path", plugins.display().to_string()),
            // The default 5 s would be spent by each test that stops a blocked task.
            ("task.shutdown.graceful.timeout.ms", "2000".to_owned()),
            // For a connector whose secret is in a file.
            ("config.providers", "file".to_owned()),
            (
                "config.providers.file.class",
                "org.apache.kafka.common.config.provider.FileConfigProvider".to_owned(),
            ),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        let of_the_mode = match self.mode {
            Mode::Standalone => {
                vec![("offset.storage.file.filename", folder.join("offsets").display().to_string())]
            }
            Mode::Distributed => vec![
                ("group.id", group.clone()),
                ("config.storage.topic", format!("{group}-configs")),
                ("offset.storage.topic", format!("{group}-offsets")),
                ("status.storage.topic", format!("{group}-status")),
                ("config.storage.replication.factor", "1".to_owned()),
                ("offset.storage.replication.factor", "1".to_owned()),
                ("status.storage.replication.factor", "1".to_owned()),
                ("offset.storage.partitions", "1".to_owned()),
                ("status.storage.partitions", "1".to_owned()),
                // A lost worker's work is not handed on for this long (default 5 min): as short as it can be
                // while a test can still look at the state in between.
                ("scheduled.rebalance.max.delay.ms", "10000".to_owned()),
                // A worker learns from its heartbeat that the group meets. With the default 3 s a group could
                // look quiet for that long while it is about to meet.
                ("heartbeat.interval.ms", "300".to_owned()),
            ],
        };
        properties.extend(of_the_mode.into_iter().map(|(key, value)| (key.to_owned(), value)));
        properties.extend(self.settings.clone());
        // A worker that advertises its second listener advertises that one's port.
        if self.https && properties["rest.advertised.listener"] == "https" {
            properties.insert("rest.advertised.port".to_owned(), https_port.to_string());
        }
        properties
    }
}

/// The plugin is compiled once per version and run.
fn plugins(version: &Version, jars: &Path) -> PathBuf {
    static COMPILED: Mutex<BTreeMap<&str, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    compiled.entry(version.number).or_insert_with(|| flaky::plugin_path(version.number, jars)).clone()
}

fn logging(version: &Version, folder: &Path) -> String {
    let (file, text, option) = if version.uses_log4j2() {
        ("log4j2.properties", LOG4J2, "log4j2.configurationFile")
    } else {
        ("log4j.properties", LOG4J, "log4j.configuration")
    };
    let file = folder.join(file);
    fs::write(&file, text).expect("write the worker's logging settings");
    format!("-D{option}=file:{}", file.display())
}

pub struct Worker {
    pub version: &'static Version,
    group: String,
    /// The plain listener, which every worker has.
    pub port: u16,
    /// Bound only when the set-up asked for it.
    https_port: u16,
    id: String,
    headers: Vec<String>,
    pub jvm: Jvm,
}

impl Worker {
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn https_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.https_port)
    }

    /// As it calls itself in a status.
    pub fn id(&self) -> String {
        self.id.clone()
    }

    pub fn log(&self) -> &Log {
        &self.jvm.log
    }

    pub fn await_ready(&mut self) {
        let (port, headers) = (self.port, self.headers.clone());
        let has_health = self.version.has_health();
        self.jvm.until("JSON from /connectors and a healthy /health", || {
            let answer = http::request(port, "GET", "/connectors", &headers, "")?;
            if answer.status != 200 || !answer.json()?.is_array() {
                return Err(answer.to_string());
            }
            if has_health {
                let answer = http::request(port, "GET", "/health", &headers, "")?;
                if answer.status != 200 {
                    return Err(answer.to_string());
                }
            }
            Ok(())
        });
    }

    pub fn request(&self, method: &str, path: &str, body: &str) -> Result<Answer, String> {
        http::request(self.port, method, path, &self.headers, body)
    }

    /// A request that must be answered as expected. A 409 is the worker's "a rebalance is under way, ask
    /// again", the one answer that is awaited away.
    pub fn demand(&self, method: &str, path: &str, body: &str, expected: u16) -> Answer {
        wait::until(&format!("{expected} to {method} {path}"), || {
            let answer = self.request(method, path, body)?;
            match answer.status {
                status if status == expected => Ok(answer),
                409 => Err(answer.to_string()),
                _ => panic!("{method} {path}: {answer}\n{}", self.log().tail()),
            }
        })
    }

    pub fn create(&self, name: &str, config: Value) {
        let body = json!({"name": name, "config": config}).to_string();
        self.demand("POST", "/connectors", &body, 201);
    }

    /// A status of a task as only a worker writes it, whether there is such a task or not.
    pub fn write_status(&self, name: &str, task: usize, status: &Value) {
        kafka::write(
            &format!("{}-status", self.group),
            &format!("status-task-{name}-{task}"),
            &status.to_string(),
        );
    }

    /// Creates a connector that fails on demand and waits until its tasks run.
    pub fn flaky(&self, name: &str, tasks: u32) -> Flaky {
        let flaky = self.failing(name, tasks, &[]);
        for task in 0..tasks {
            self.await_task(name, task as usize, "RUNNING");
        }
        flaky
    }

    /// The same with faults ("connector", "task-0") from the first start on; waits until they show.
    pub fn failing(&self, name: &str, tasks: u32, faults: &[&str]) -> Flaky {
        let flaky = Flaky::new(name);
        for fault in faults {
            flaky.fail(fault);
        }
        self.create(name, flaky.config(tasks));
        for fault in faults {
            let task = fault.strip_prefix("task-").map(|id| id.parse().expect("task-N"));
            self.await_failure(name, task, 1);
        }
        flaky
    }

    /// Creates Kafka's own file sink with one task, writing to `file`.
    pub fn file_sink(&self, name: &str, file: &Path) {
        self.create(
            name,
            json!({
                "connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector",
                "tasks.max": "1",
                "topics": "nothing-is-ever-sent-here",
                "file": file.display().to_string(),
            }),
        );
    }

    /// Waits until the worker's log holds a text so many times.
    pub fn await_logged(&self, text: &str, times: usize) {
        wait::until(&format!("{text:?} {times} times in the worker's log"), || {
            match self.log().text().matches(text).count() {
                found if found >= times => Ok(()),
                found => Err(format!("{found} times")),
            }
        });
    }

    pub fn resume(&self, name: &str) {
        self.demand("PUT", &format!("/connectors/{}/resume", segment(name)), "", 202);
    }

    pub fn pause(&self, name: &str) {
        self.demand("PUT", &format!("/connectors/{}/pause", segment(name)), "", 202);
    }

    pub fn stop(&self, name: &str) {
        self.demand("PUT", &format!("/connectors/{}/stop", segment(name)), "", 204);
    }

    pub fn delete_all_connectors(&self) {
        let names = self.demand("GET", "/connectors", "", 200);
        let names: Vec<String> =
            serde_json::from_str(&names.body).unwrap_or_else(|error| panic!("{error} in {names}"));
        for name in &names {
            self.demand("DELETE", &format!("/connectors/{}", segment(name)), "", 204);
        }
        wait::until("no connector to be left", || {
            let answer = self.request("GET", "/connectors", "")?;
            if answer.body == "[]" { Ok(()) } else { Err(answer.to_string()) }
        });
    }

    pub fn status(&self, name: &str) -> Result<Value, String> {
        let answer = self.request("GET", &format!("/connectors/{}/status", segment(name)), "")?;
        match answer.status {
            200 => answer.json(),
            _ => Err(answer.to_string()),
        }
    }

    /// Waits for the state of the connector's own instance.
    pub fn await_connector(&self, name: &str, state: &str) {
        self.await_status(name, &format!("the connector {state}"), |status| {
            status["connector"]["state"] == state
        });
    }

    pub fn await_task(&self, name: &str, task: usize, state: &str) {
        self.await_status(name, &format!("task {task} {state}"), |status| {
            task_of(status, task)["state"] == state
        });
    }

    /// Waits until the failure of this start is what the worker shows, not one before it: a restart leaves
    /// the old FAILED with its old trace in sight for a while. A later start will do: in a group of workers
    /// work is moved, and what is moved is started again.
    pub fn await_failure(&self, name: &str, task: Option<usize>, start: usize) {
        self.await_status(name, &format!("{task:?} FAILED in start #{start}"), |status| {
            let instance = match task {
                None => &status["connector"],
                Some(task) => task_of(status, task),
            };
            instance["state"] == "FAILED" && failed_start(instance).is_some_and(|failed| failed >= start)
        });
    }

    pub fn await_status(&self, name: &str, awaited: &str, holds: impl Fn(&Value) -> bool) -> Value {
        wait::until(&format!("{awaited} in the status of {name:?}"), || {
            let status = self.status(name)?;
            if holds(&status) { Ok(status) } else { Err(status.to_string()) }
        })
    }

    /// The targets of all restart requests in the worker's access log so far, in the order of their answers.
    pub fn restarts(&self) -> Vec<String> {
        assert!(self.version.has_access_log(), "this worker writes no access log");
        // The log is written after the answer. A request of our own, seen in the log, comes after all that
        // were answered before it.
        static MARK: AtomicU32 = AtomicU32::new(0);
        let mark = format!("/?mark={}", MARK.fetch_add(1, Ordering::Relaxed));
        self.demand("GET", &mark, "", 200);
        let text = wait::until(&format!("{mark} in the access log"), || {
            let text = self.log().text();
            if text.contains(&format!("{mark} ")) { Ok(text) } else { Err(self.log().tail()) }
        });
        text.lines()
            .filter_map(|line| line.split_once("\"POST "))
            .filter_map(|(_, rest)| rest.split_once(" HTTP/"))
            .map(|(target, _)| target.to_owned())
            .filter(|target| target.split('?').next().is_some_and(|path| path.ends_with("/restart")))
            .collect()
    }
}

/// Waits until these workers are one group: each has joined the same generation under the same leader, which
/// is returned as its place in `workers`.
pub fn await_one_group(workers: &[&Worker]) -> usize {
    wait::until("the workers to be in one generation of one group", || {
        let joined: Vec<String> =
            workers.iter().filter_map(|worker| last_joined(&worker.log().text())).collect();
        let all_alike = joined.len() == workers.len() && joined.iter().all(|one| *one == joined[0]);
        workers
            .iter()
            .position(|worker| joined.iter().any(|one| one.contains(&format!(":{}/", worker.port))))
            .filter(|_| all_alike)
            .ok_or_else(|| format!("{joined:?}"))
    })
}

/// Waits until these workers are one group that has not met for a second: a new connector makes it meet, and
/// once more when work is handed over.
pub fn await_quiet_group(workers: &[&Worker]) -> usize {
    const QUIET: Duration = Duration::from_secs(1);
    let meetings = || -> usize {
        workers.iter().map(|worker| worker.log().text().matches("Joined group at generation ").count()).sum()
    };
    let (mut last, mut since) = (meetings(), Instant::now());
    wait::until("the group not to meet for a second", || {
        let now = meetings();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        if since.elapsed() >= QUIET { Ok(()) } else { Err(format!("{now} joins, {:?} ago", since.elapsed())) }
    });
    await_one_group(workers)
}

/// "GENERATION LEADER" of the last time that a worker logged having joined.
fn last_joined(log: &str) -> Option<String> {
    let line = log.lines().rfind(|line| line.contains("Joined group at generation "))?;
    let generation = line.split("generation ").nth(1)?.split(' ').next()?;
    let leader = line.split("leaderUrl='").nth(1)?.split('\'').next()?;
    Some(format!("{generation} {leader}"))
}

/// Which start failed, by the trace of a connector that fails on demand.
fn failed_start(instance: &Value) -> Option<usize> {
    let (_, rest) = instance["trace"].as_str()?.split_once(" in start #")?;
    rest.split_once('.')?.0.parse().ok()
}

pub fn task_of(status: &Value, task: usize) -> &Value {
    const ABSENT: &Value = &Value::Null;
    status["tasks"]
        .as_array()
        .and_then(|tasks| tasks.iter().find(|entry| entry["id"] == task))
        .unwrap_or(ABSENT)
}
