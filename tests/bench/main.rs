//! How fast and how small one run is, beside what people use today: `curl` piped
//! into `jq`, which only reads and filters. Whole processes in turn, A B A B;
//! medians, and the ratio pair by pair. It asserts nothing: a machine's noise
//! must not fail a test. `cargo bench --locked` prints the table.

#![allow(
    clippy::pedantic,
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a measurement stops loudly, and prints"
)]

#[path = "../sim/mod.rs"]
mod sim;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sim::{Connect, Huge, Profile};

const ROUNDS: usize = 11;
/// What a script needs to know: the failed tasks of every connector.
const FILTER: &str =
    r#"to_entries[] | .key as $c | .value.status.tasks[] | select(.state == "FAILED") | "\($c)/\(.id)""#;

fn main() {
    println!("| cluster | guardian run | curl and jq | time, guardian / curl and jq | memory |");
    println!("| --- | --- | --- | --- | --- |");
    measure("50 connectors, 250 tasks, healthy", &Huge::healthy(50, 5));
    measure("10,000 connectors, 100,000 tasks, healthy", &Huge::healthy(10_000, 10));
    measure("1,000 connectors, 10,000 tasks, all failed with 8 kB traces", &Huge::failed(1000, 10, 8192));
}

fn measure(name: &str, huge: &Huge) {
    let connect = Connect::start(Profile::V3_9);
    connect.huge(huge.clone());
    let url = format!("{}/connectors?expand=status", connect.url());
    let guardian = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guardian"));
        command.args(["run", "--dry-run", "--output", "json"]).env_clear();
        command.envs([
            ("KAFKA_CONNECT_URL", connect.url()),
            ("GUARDIAN_STATE", "/nonexistent/state.json".to_owned()),
        ]);
        command
    };
    let script = || {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("curl -s '{url}' | jq -r '{FILTER}'")]);
        command
    };
    let mut rounds: Vec<[Measured; 2]> = (0..=ROUNDS).map(|_| [run(guardian()), run(script())]).collect();
    rounds.remove(0); // the first warms the caches
    let median = |value: &dyn Fn(&[Measured; 2]) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!(
        "| {name} | {:.1} ms | {:.1} ms | {:.2} | {:.1} MiB |",
        median(&|round| round[0].millis),
        median(&|round| round[1].millis),
        median(&|round| round[0].millis / round[1].millis),
        median(&|round| round[0].mebibytes),
    );
}

struct Measured {
    millis: f64,
    mebibytes: f64,
}

fn run(mut command: Command) -> Measured {
    let started = Instant::now();
    let mut child =
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("curl, jq and a shell are needed");
    let mut peak = 0.0_f64;
    while child.try_wait().expect("a child").is_none() {
        peak = peak.max(resident(&child).unwrap_or(0.0));
        std::thread::sleep(Duration::from_micros(300));
    }
    Measured { millis: started.elapsed().as_secs_f64() * 1000.0, mebibytes: peak }
}

/// The most that the process has had in memory so far (`VmHWM`).
fn resident(child: &Child) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
}
