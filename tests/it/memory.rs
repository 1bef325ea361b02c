//! How much memory a run takes: it must not follow the size of the cluster, nor that of the traces, only what has
//! failed. Measured is `VmHWM`, the peak that the kernel keeps for the process itself, so the machine's other work does
//! not move it; and it is read while the process waits for the next run of its loop, so no moment is missed.
//!
//! The promised figures are those of the program as it is shipped: the tests of them are ignored by default, build the
//! release, and run by `cargo test --test it memory:: -- --ignored`, as `.ci/run` does. The others look at the growth
//! between a small cluster and a larger one, which is the same without optimisation.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::sim::{Answer, Connect, Huge, Profile};
use crate::support::Guardian;

const MIB: u64 = 1024;

/// What one run of a loop took and said.
struct Ran {
    /// `VmHWM`, in KiB.
    peak: u64,
    /// The beginning and the end of its document.
    said: String,
}

/// One run of the loop of `program`, else of the one that the tests are built with.
fn run(program: Option<&PathBuf>, guardian: &Guardian) -> Ran {
    let patient = ["--timeout", "15m", "--deadline", "15m", "--log-level", "error", "--output", "json"];
    let command = guardian.command(&[&["run", "--every", "1h"][..], &patient].concat());
    let mut other = Command::new(program.map_or(command.get_program(), |path| path.as_os_str()));
    other.args(command.get_args()).env_clear();
    other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = other.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program starts");
    let said = ends_of_line(&mut BufReader::new(child.stdout.take().expect("a pipe")));
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it waits for its next run");
    child.kill().expect("it still runs");
    child.wait().expect("it has ended");
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
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

fn against(program: Option<&PathBuf>, huge: Huge) -> u64 {
    let connect = Connect::start(Profile::V4_3);
    connect.huge(huge);
    run(program, &Guardian::at(&connect.url())).peak
}

/// The program as it is shipped.
fn release() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--release", "--locked", "--bin", "guardian"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.expect("cargo").success(), "the release cannot be built");
        let profiles =
            Path::new(env!("CARGO_BIN_EXE_guardian")).ancestors().nth(2).expect("target/PROFILE/guardian");
        profiles.join("release/guardian")
    })
}

// === Growth, as built for the tests ===

#[test]
fn healthy_tasks_take_no_memory() {
    let (few, many) = (against(None, Huge::healthy(1, 1)), against(None, Huge::healthy(200, 100)));
    assert!(many < few + 2 * MIB, "{few} KiB for one task, {many} KiB for 20,000");
}

#[test]
fn paused_connectors_and_their_tasks_take_no_memory() {
    let (few, tasks) = (against(None, Huge::paused(1, 1)), against(None, Huge::paused(40, 1_000)));
    let connectors = against(None, Huge::paused(40_000, 1));
    assert!(tasks < few + 2 * MIB, "{few} KiB for one paused task, {tasks} KiB for 40,000");
    assert!(connectors < few + 2 * MIB, "{few} KiB for one paused connector, {connectors} KiB for 40,000");
}

#[test]
fn a_failed_task_takes_a_kilobyte_at_most_and_the_length_of_its_trace_nothing() {
    let failed = |tasks, bytes| against(None, Huge::failed(10, tasks, bytes));
    let (few, many, long) = (failed(100, 300), failed(1_100, 300), failed(100, 16_000));
    assert!(many < few + 12 * MIB, "{few} KiB for 1,000 failed tasks, {many} KiB for 11,000");
    assert!(long < few + 6 * MIB, "{few} KiB with traces of 300 bytes, {long} KiB with 16 kB");
}

// === The promised figures, as shipped ===

#[test]
#[ignore = "builds the release, and streams gigabytes through it"]
fn a_hundred_thousand_failed_tasks_with_long_traces_fit_into_64_mib() {
    let connect = Connect::start(Profile::V4_3);
    connect.huge(Huge::failed(100, 1_000, 8_192));
    let guardian = Guardian::at(&connect.url());
    let metrics = guardian.folder().join("guardian.prom").display().to_string();
    let guardian = guardian.env("GUARDIAN_METRICS_FILE", &metrics);
    let mut peaks = Vec::new();
    // Restarted, all of them; then waiting, with all of them remembered; then restarted again.
    for action in ["restarted", "waiting", "restarted"] {
        let ran = run(Some(release()), &guardian);
        assert!(ran.said.contains(&format!(r#""{action}":100000"#)), "{}", ran.said);
        peaks.push(ran.peak);
    }
    println!("100,000 failed tasks: {peaks:?} KiB");
    assert!(peaks.iter().all(|peak| *peak < 64 * MIB), "{peaks:?} KiB");
    assert_eq!(connect.huge_restarts(), (100_000, 2));
}

#[test]
#[ignore = "builds the release, and streams gigabytes through it"]
fn a_hundred_thousand_failed_tasks_of_which_somebody_is_told_fit_into_64_mib() {
    let connect = Connect::start(Profile::V4_3);
    connect.huge(Huge::failed(100, 1_000, 8_192));
    let guardian = Guardian::at(&connect.url())
        .env("GUARDIAN_NOTIFY_AFTER", "0s")
        .env("GUARDIAN_NOTIFY", "exec hook /bin/true");
    let mut peaks = Vec::new();
    for action in ["restarted", "waiting"] {
        let ran = run(Some(release()), &guardian);
        assert!(ran.said.contains(&format!(r#""{action}":100000"#)), "{}", ran.said);
        let told = r#""told":[{"sink":"hook","ok":true,"error":null}]"#;
        assert_eq!(ran.said.contains(told), action == "restarted", "{}", ran.said);
        peaks.push(ran.peak);
    }
    println!("100,000 failed tasks, and somebody is told: {peaks:?} KiB");
    assert!(peaks.iter().all(|peak| *peak < 64 * MIB), "{peaks:?} KiB");
}

#[test]
#[ignore = "builds the release, and streams gigabytes through it"]
fn whatever_is_healthy_or_paused_fits_into_12_mib() {
    let healthy = [(1, 1), (100, 1_000), (10_000, 10), (100_000, 10)]
        .map(|(connectors, tasks)| Huge::healthy(connectors, tasks));
    let paused = [(100, 1_000), (100_000, 1)].map(|(connectors, tasks)| Huge::paused(connectors, tasks));
    let peaks: Vec<u64> =
        healthy.into_iter().chain(paused).map(|huge| against(Some(release()), huge)).collect();
    println!("healthy, then paused: {peaks:?} KiB");
    assert!(peaks.iter().all(|peak| *peak < 12 * MIB), "{peaks:?} KiB");
}

#[test]
#[ignore = "builds the release, and streams gigabytes through it"]
fn a_body_without_end_is_refused_at_4_gib_and_takes_no_memory() {
    let connect = Connect::start(Profile::V3_9);
    connect.on_listing().answers(Answer::json(200, "{").then_endlessly(" "));
    let ran = run(Some(release()), &Guardian::at(&connect.url()));
    assert!(
        ran.said.contains("the answer is longer than 4096 MiB, which no cluster's status is"),
        "{}",
        ran.said
    );
    println!("a body without end: {} KiB", ran.peak);
    assert!(ran.peak < 12 * MIB, "{} KiB", ran.peak);
}
