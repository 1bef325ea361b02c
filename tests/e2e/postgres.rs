//! A real PostgreSQL, as Debezium wants it: logical replication, passwords over TCP.
//!
//! It owns the server's folder and its life. What is in the database is for the scenario to say. The server refuses to run
//! as root, so everything of it runs as Debian's user `postgres`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::jvm;

pub struct Postgres {
    folder: PathBuf,
    pub port: u16,
}

impl Postgres {
    /// Starts a server with an empty database `src`.
    pub fn start() -> Postgres {
        let folder = jvm::new_folder("postgres");
        for folder in [folder.as_path(), jvm::run_folder()] {
            // The other user has to pass through.
            let _ = Command::new("chmod").arg("a+rx").arg(folder).status();
        }
        let owned = Command::new("chown").arg("postgres").arg(&folder).status();
        assert!(
            owned.is_ok_and(|status| status.success()),
            "no user `postgres`: install PostgreSQL (Debian: apt-get install postgresql), and run this as root"
        );
        let data = folder.join("data");
        ok(as_postgres(&program("initdb")).arg("-D").arg(&data).args([
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
            "--auth-local=trust",
            "--no-sync",
        ]));
        let [port] = jvm::free_ports();
        let postgres = Postgres { folder, port };
        let settings = data.join("postgresql.conf");
        let text = fs::read_to_string(&settings).expect("initdb wrote its settings");
        let more = format!(
            "\nport={port}\nlisten_addresses='127.0.0.1'\nunix_socket_directories='{}'\nwal_level=logical\nfsync=off\n",
            postgres.folder.display()
        );
        fs::write(settings, text + &more).expect("write the server's settings");
        postgres.up();
        postgres.sql("postgres", "create database src");
        postgres
    }

    /// Starts the server on its folder again.
    pub fn up(&self) {
        ok(self.control("start").arg("-w").arg("-l").arg(self.folder.join("log")));
    }

    /// Stops it without a word to anybody, as a crash would.
    pub fn down(&self) {
        ok(self.control("stop").args(["-m", "immediate"]));
    }

    /// What a statement answers, in one column.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let output = ok(as_postgres("psql")
            .args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-h"])
            .arg(&self.folder)
            .args(["-p", &self.port.to_string(), "-c", statement]));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn control(&self, what: &str) -> Command {
        let mut command = as_postgres(&program("pg_ctl"));
        command.arg(what).arg("-D").arg(self.folder.join("data"));
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.control("stop").args(["-m", "immediate"]).output();
    }
}

fn as_postgres(program: &str) -> Command {
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--", program]).current_dir("/");
    command
}

/// Debian keeps the server's programs in a folder for each version, off the PATH.
fn program(name: &str) -> String {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.is_file()).collect();
    found.sort();
    let found = found.pop().unwrap_or_else(|| {
        panic!("no PostgreSQL server here (`{name}`): install it (Debian: apt-get install postgresql)")
    });
    found.display().to_string()
}

fn ok(command: &mut Command) -> Output {
    // Not piped for `pg_ctl start`: the server it leaves behind would keep the pipe open.
    let log = tempfile::NamedTempFile::new().expect("a file for what it says");
    let status = command
        .stdin(std::process::Stdio::null())
        .stdout(log.reopen().expect("its output"))
        .stderr(log.reopen().expect("its errors"))
        .status()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = fs::read(log.path()).unwrap_or_default();
    assert!(status.success(), "{command:?}: {status}\n{}", String::from_utf8_lossy(&stdout));
    Output { status, stdout, stderr: Vec::new() }
}

/// A folder of plugins for `plugin.path`, without the jars that the worker brings itself: a second Jackson breaks
/// Hibernate.
pub fn plugins(folders: &[PathBuf], to: &Path) {
    for folder in folders {
        let plugin = to.join(folder.file_name().expect("a folder of the cache has a name"));
        fs::create_dir_all(&plugin).expect("make the plugin's folder");
        for jar in fs::read_dir(folder).expect("the plugin's jars").flatten() {
            let name = jar.file_name().to_string_lossy().into_owned();
            let brought = ["jackson-annotations-", "jackson-core-", "jackson-databind-", "slf4j-api-"];
            if name.ends_with(".jar") && !brought.iter().any(|prefix| name.starts_with(prefix)) {
                std::os::unix::fs::symlink(jar.path(), plugin.join(&name)).expect("link a jar");
            }
        }
    }
}
