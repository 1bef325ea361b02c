//! The connector that fails on demand: compiled by the tests, told what to do by files, counting its own
//! starts.
//!
//! It owns the plugin's build and its control folder. What the files mean is said in plugin/*.java.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::jvm;
use crate::wait;

const CLASS: &str = "guardian.e2e.FlakySource";

const SOURCES: [(&str, &str); 3] = [
    ("FlakySource.java", include_str!("plugin/FlakySource.java")),
    ("FlakyTask.java", include_str!("plugin/FlakyTask.java")),
    ("Control.java", include_str!("plugin/Control.java")),
];

/// A `plugin.path` with the plugin in it, compiled against the very jars that the worker will run.
pub fn plugin_path(version: &str, jars: &Path) -> PathBuf {
    jvm::java_version();
    let sources = jvm::new_folder(&format!("plugin-source-{version}"));
    let plugins = jvm::new_folder(&format!("plugins-{version}"));
    let home = plugins.join("flaky");
    let services = home.join("META-INF/services");
    fs::create_dir_all(&services).expect("create the plugin's folder");
    fs::write(services.join("org.apache.kafka.connect.source.SourceConnector"), CLASS)
        .expect("name the plugin's class");

    let mut javac = Command::new("javac");
    // Java 8's class files: what a 2.3 worker expects to find in a plugin. -options silences "release 8 is
    // old".
    javac.args(["--release", "8", "-Xlint:-options", "-cp"]).arg(jars.join("*")).arg("-d").arg(&home);
    for (name, text) in SOURCES {
        let file = sources.join(name);
        fs::write(&file, text).expect("write the plugin's source");
        javac.arg(file);
    }
    let output = javac.output().expect("run javac");
    assert!(
        output.status.success(),
        "the test's own connector does not compile against Connect {version}:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    plugins
}

/// One such connector and its control folder.
pub struct Flaky {
    pub name: String,
    control: PathBuf,
}

impl Flaky {
    pub fn new(name: &str) -> Flaky {
        Flaky { name: name.to_owned(), control: jvm::new_folder("control") }
    }

    pub fn config(&self, tasks: u32) -> Value {
        json!({
            "connector.class": CLASS,
            "tasks.max": tasks.to_string(),
            "ctl": self.control.display().to_string(),
        })
    }

    /// From now on `what` ("connector", "task-0", "poll-0") fails.
    pub fn fail(&self, what: &str) {
        self.fail_because(what, "");
    }

    /// The same with the message of the root cause.
    pub fn fail_because(&self, what: &str, cause: &str) {
        fs::write(self.control.join(format!("{what}.fail")), cause).expect("write to the control folder");
    }

    pub fn heal(&self, what: &str) {
        fs::remove_file(self.control.join(format!("{what}.fail"))).expect("heal only what was made to fail");
    }

    /// From now on `what` ("connector", "taskconfigs", "task-0") takes this long.
    pub fn block(&self, what: &str, millis: u64) {
        fs::write(self.control.join(format!("{what}.block")), millis.to_string())
            .expect("write to the control folder");
    }

    /// How often the worker has started `who` ("connector", "task 0"), by the plugin's own count.
    pub fn starts(&self, who: &str) -> usize {
        fs::read_to_string(self.control.join("starts"))
            .unwrap_or_default()
            .lines()
            .filter(|line| *line == who)
            .count()
    }

    pub fn await_starts(&self, who: &str, count: usize) {
        wait::until(&format!("start number {count} of {who} of {:?}", self.name), || {
            match self.starts(who) {
                started if started >= count => Ok(()),
                started => Err(format!("{started} starts")),
            }
        });
    }
}
