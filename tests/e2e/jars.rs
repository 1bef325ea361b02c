//! Kafka's jars: fetched once per version by Maven into a cache outside the tree.
//!
//! It owns the exact versions and where they are kept. It must not name a registry: which one to ask is for
//! the machine's Maven settings to say. A folder in the cache is complete or not there (written beside it,
//! then renamed).

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// One Connect release under test.
#[derive(Debug)]
pub struct Version {
    pub number: &'static str,
    /// Major and minor, for "since".
    since: (u32, u32),
    /// What `connect-runtime` needs beside itself to log at all: the binding is left to the distribution's
    /// tarball.
    logging: &'static [&'static str],
}

// The newest patch release of each line for which Maven Central has both connect-runtime and connect-file
// (2026-11-22: connect-runtime 3.9.2 is there, connect-file and the Basic authentication extension only up to
// 3.9.1; of 4.4.0 the clients, connect-api and the broker are there, connect-runtime only up to 4.3.1).
// connect-test-plugins, the home of MockSink and MockSource since 3.6, is published for too few of them to be
// used.
pub const V2_3: Version = version("2.3.1", (2, 3), &[]);
pub const V2_8: Version = version("2.8.2", (2, 8), &[]);
pub const V3_0: Version = version("3.0.2", (3, 0), &[]);
pub const V3_3: Version = version("3.3.2", (3, 3), &["org.slf4j:slf4j-reload4j:1.7.36"]);
pub const V3_6: Version = version("3.6.2", (3, 6), &["org.slf4j:slf4j-reload4j:1.7.36"]);
pub const V3_9: Version = version("3.9.1", (3, 9), &["org.slf4j:slf4j-reload4j:1.7.36"]);
pub const V4_3: Version = version(
    "4.3.1",
    (4, 3),
    &[
        "org.apache.logging.log4j:log4j-api:2.25.2",
        "org.apache.logging.log4j:log4j-core:2.25.2",
        "org.apache.logging.log4j:log4j-slf4j-impl:2.25.2",
    ],
);

/// All of them, oldest first: the columns of the table.
pub const ALL: [&Version; 7] = [&V2_3, &V2_8, &V3_0, &V3_3, &V3_6, &V3_9, &V4_3];

/// One broker serves every worker: since KIP-896 a 4.x broker takes clients from 2.1 on.
pub const BROKER: &str = "4.4.0";

/// Pinned so that Maven's own default for its release does not decide.
const COPY_DEPENDENCIES: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";

const fn version(number: &'static str, since: (u32, u32), logging: &'static [&'static str]) -> Version {
    Version { number, since, logging }
}

impl Version {
    pub fn is_at_least(&self, major: u32, minor: u32) -> bool {
        self.since >= (major, minor)
    }

    /// Where guardian may use `restart?includeTasks=true&onlyFailed=true`: in Connect since 3.0 (KIP-745),
    /// but 3.0 and 3.1 could start a task twice with it (KAFKA-13719).
    pub fn restarts_failed_tasks_in_one_call(&self) -> bool {
        self.is_at_least(3, 2)
    }

    /// `PUT /connectors/{name}/stop`, KIP-875.
    pub fn can_stop(&self) -> bool {
        self.is_at_least(3, 5)
    }

    /// The statuses of tasks that a connector no longer has, KAFKA-9472.
    pub fn leaves_statuses_behind(&self) -> bool {
        !self.is_at_least(2, 6)
    }

    /// From any answer of the worker behind a 500, KAFKA-9747 until KAFKA-13702: of the releases here these.
    pub fn wraps_forwarded_answers(&self) -> bool {
        self.is_at_least(2, 8) && !self.is_at_least(3, 4)
    }

    /// `GET /health`, KIP-1017.
    pub fn has_health(&self) -> bool {
        self.is_at_least(3, 9)
    }

    /// Before 3.3 the request log was set up but never written (KAFKA-14099).
    pub fn has_access_log(&self) -> bool {
        self.is_at_least(3, 3)
    }

    /// Jetty 12 refuses `%2F`, `%25` and `%5C` in a path.
    pub fn takes_any_name_in_a_url(&self) -> bool {
        !self.is_at_least(4, 0)
    }

    pub fn uses_log4j2(&self) -> bool {
        self.is_at_least(4, 0)
    }

    /// The folder with the worker's jars, fetched when it is not in the cache.
    pub fn jars(&self) -> PathBuf {
        let connect = [
            "connect-runtime",
            "connect-json",
            "connect-file",
            "connect-transforms",
            "connect-basic-auth-extension",
        ];
        let mut wanted: Vec<String> =
            connect.iter().map(|artifact| format!("org.apache.kafka:{artifact}:{}", self.number)).collect();
        wanted.extend(self.logging.iter().map(|&artifact| artifact.to_owned()));
        fetched(&format!("connect-{}", self.number), &wanted)
    }
}

pub fn broker_jars() -> PathBuf {
    fetched(
        &format!("broker-{BROKER}"),
        &[format!("org.apache.kafka:kafka_2.13:{BROKER}"), "org.slf4j:slf4j-simple:1.7.36".to_owned()],
    )
}

/// Debezium's PostgreSQL source and its JDBC sink, a folder each: connectors that people run.
pub fn debezium() -> [PathBuf; 2] {
    let of = |what: &str| format!("io.debezium:debezium-{what}:3.2.0.Final");
    let driver = "org.postgresql:postgresql:42.7.7".to_owned();
    [
        fetched("debezium-postgres", &[of("connector-postgres")]),
        fetched("debezium-jdbc", &[of("connector-jdbc"), of("core"), driver]),
    ]
}

fn fetched(name: &str, artifacts: &[String]) -> PathBuf {
    let pom = pom(name, artifacts);
    // A changed list of artifacts is another folder, so nothing stale is ever used.
    let mut hasher = DefaultHasher::new();
    pom.hash(&mut hasher);
    let home = cache().join(format!("{name}-{:08x}", hasher.finish() as u32));
    // One at a time: two Mavens that fill one local repository get in each other's way.
    static FETCHING: Mutex<()> = Mutex::new(());
    let _one = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
    if !home.is_dir() {
        fetch(&pom, &home);
    }
    home
}

fn cache() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("GUARDIAN_E2E_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|home| home.join("connector-guardian/e2e")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/connector-guardian/e2e")))
        .expect("nowhere to keep Kafka's jars: set GUARDIAN_E2E_CACHE to a folder (HOME is not set)")
}

fn pom(name: &str, artifacts: &[String]) -> String {
    let dependencies: String = artifacts
        .iter()
        .map(|artifact| {
            let part: Vec<&str> = artifact.split(':').collect();
            format!(
                "    <dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>\n",
                part[0], part[1], part[2]
            )
        })
        .collect();
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  <modelVersion>4.0.0</modelVersion>\n  \
         <groupId>guardian.e2e</groupId>\n  <artifactId>{name}</artifactId>\n  <version>1</version>\n  \
         <packaging>pom</packaging>\n  <dependencies>\n{dependencies}  </dependencies>\n</project>\n"
    )
}

fn fetch(pom: &str, home: &Path) {
    let parent = home.parent().expect("a folder in the cache has a parent");
    fs::create_dir_all(parent).unwrap_or_else(|error| panic!("{}: {error}", parent.display()));
    let half_done = tempfile::Builder::new()
        .prefix(".fetching-")
        .tempdir_in(parent)
        .unwrap_or_else(|error| panic!("{}: {error}", parent.display()));
    let pom_file = half_done.path().join("pom.xml");
    fs::write(&pom_file, pom).expect("write the pom");

    let output = Command::new("mvn")
        .args(["-q", "-B", "-C", "-f"]) // -C: a jar whose checksum is wrong fails the fetch
        .arg(&pom_file)
        .arg(COPY_DEPENDENCIES)
        .arg("-DincludeScope=runtime")
        .arg(format!("-DoutputDirectory={}", half_done.path().display()))
        .output()
        .unwrap_or_else(|error| {
            panic!(
                "cannot start Maven (`mvn`: {error}). These tests run real Apache Kafka and fetch its jars with Maven: \
                 install Maven 3.6 or newer (Debian: apt-get install maven), or set GUARDIAN_E2E_CACHE to a folder in \
                 which another machine already fetched them"
            )
        });
    assert!(
        output.status.success(),
        "Maven could not fetch Kafka's jars ({}). It needs a repository that serves org.apache.kafka, as its settings \
         name it (~/.m2/settings.xml); without one set GUARDIAN_E2E_CACHE to a folder in which another machine already \
         fetched them. Maven said:\n{}{}\nThe pom:\n{pom}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );

    match fs::rename(half_done.path(), home) {
        // What is renamed is no longer there to be removed.
        Ok(()) => drop(half_done.keep()),
        // Another test run was faster; its folder is as good.
        Err(_) if home.is_dir() => {}
        Err(error) => panic!("{}: {error}", home.display()),
    }
}
