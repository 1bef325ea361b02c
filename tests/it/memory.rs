//! How much memory a run takes: it must not follow the size of the cluster, nor that of the traces, only what has
//! failed. Measured is `VmHWM`, the peak that the kernel keeps for the process itself, so the machine's other work does
//! not move it; and it is read while the process waits for the next run of its loop, so no moment is missed.
//!
//! The promised figures are those of the program as it is shipped: the tests that need them are ignored by default,
//! build the release, and run by `cargo test --test it memory:: -- --ignored`, as `.ci/run` does. The others look at
//! the growth between a small cluster and a large one, which is the same with and without optimisation.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use crate::sim::{Answer, Connect, Failure, Profile, Huge};
use crate::support::Guardian;

const MIB: u64 = 1024;

/// What one run of a loop took and said.
struct Ran {
    /// `VmHWM`, in KiB.
    peak: u64,
    /// The beginning and the end of its document.
    said: String,
}

/// One run of `program` against a Connect with this listing.
fn run(program: Option<&PathBuf>, connect: &Connect) -> Ran {
    let guardian = Guardian::at(&connect.url()).env("GUARDIAN_OUTPUT", "json").env("GUARDIAN_TIMEOUT", "10m");
    let command = guardian.env("GUARDIAN_DEADLINE", "10m").env("LOG_LEVEL", "error").command(&["run", "--every", "1h"]);
    let mut other = Command::new(program.map_or(command.get_program(), |path| path.as_os_str()));
    other.args(command.get_args()).env_clear();
    other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = other.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program starts");
    let said = ends_of_line(&mut BufReader::new(child.stdout.take().expect("a pipe")));
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it waits for its next run");
    child.kill().expect("it still runs");
    child.wait().expect("it has ended");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    Ran { peak: peak.unwrap_or_else(|| panic!("no VmHWM in {status}")), said }
}

/// A line that may be too long to be held.
fn ends_of_line(reader: &mut impl BufRead) -> String {
    let mut kept = Vec::new();
    loop {
        let piece = reader.fill_buf().expect("a pipe");
        let end = piece.iter().position(|byte| *byte == b'\n');
        let length = end.unwrap_or(piece.len());
        assert!(length > 0 || end.is_some(), "it ended without a word");
        kept.extend_from_slice(&piece[..length]);
        if kept.len() > 8192 {
            kept.drain(2048..kept.len() - 2048);
        }
        reader.consume(length + usize::from(end.is_some()));
        if end.is_some() {
            return String::from_utf8_lossy(&kept).into_owned();
        }
    }
}

fn against(program: Option<&PathBuf>, huge: Huge) -> Ran {
    let connect = Connect::start(Profile::V4_3);
    connect.huge(huge);
    run(program, &connect)
}

#[test]
fn measure() {
    let release = PathBuf::from("/tmp/ans-rel/release/guardian");
    let connect = Connect::start(Profile::V4_3);
    connect.huge(Huge::failed(100, 1000, 100));
    let guardian = Guardian::at(&connect.url()).env("GUARDIAN_OUTPUT", "json").env("GUARDIAN_TIMEOUT", "10m").env("LOG_LEVEL", "error");
    for round in 0..2 {
    let command = guardian.command(&["run", "--every", "1h"]);
    let mut other = Command::new(&release);
    other.args(command.get_args()).env_clear();
    other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = other.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let done = std::thread::spawn(move || ends_of_line(&mut out));
    let mut last = 0;
    let mut n = 0;
    while !done.is_finished() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let get = |k: &str| status.lines().find_map(|line| line.strip_prefix(k)?.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap();
        let (rss, hwm) = (get("VmRSS:"), get("VmHWM:"));
        n += 1;
        if rss.abs_diff(last) > 1500 || n % 200 == 0 {
            last = rss;
            let tmp = std::fs::metadata(guardian.folder().join("state.json.tmp")).map(|m| m.len());
            let fin = std::fs::metadata(guardian.folder().join("state.json")).map(|m| m.len());
            eprintln!("{round} rss {rss} hwm {hwm} requests {} tmp {:?} state {:?}", connect.calls().len(), tmp.ok(), fin.ok());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    eprintln!("done");
    }
}
