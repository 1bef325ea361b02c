//! How well it brings a cluster back: outages in virtual time, guardian's real runs beside what others do. It prints a table
//! for each way in which restarted tasks fail again, and asserts nothing (`tests/it/recovery.rs` does).
//! `cargo bench --locked --bench recovery` plays all; names of scenarios behind `--` play only those.
//! Settings of guardian in the environment count: `GUARDIAN_SETTLE=0s cargo bench ...`.

#![allow(
    clippy::pedantic,
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "a measurement stops loudly, and prints"
)]

#[path = "../outages/mod.rs"]
mod outages;

use outages::{Again, Measured, PEERS, SCENARIOS, Who, play};

const SEEDS: u64 = 3;

fn main() {
    let only: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |scenario: &&str| only.is_empty() || only.iter().any(|name| name == scenario);
    let scenarios: Vec<&str> = SCENARIOS.into_iter().filter(is_wanted).collect();
    println!(
        "Restarts sent while the cause was there (of all) / mean minutes of downtime after it was gone (largest) /"
    );
    println!(
        "tasks left for a person / restarts of the poisoned task that got most. Of {SEEDS} seeds: means, and worst."
    );
    table("A restarted task fails again after 2 to 90 s, evenly", Again::Evenly, &scenarios);
    table(
        "It fails again as real ones did: at once, after 30 s, or after 60 s",
        Again::AsMeasured,
        &scenarios,
    );
}

fn table(title: &str, again: Again, scenarios: &[&str]) {
    println!(
        "\n{title}:\n\n| policy | {} |\n|{}",
        scenarios.join(" | "),
        " --- |".repeat(scenarios.len() + 1)
    );
    let row = |name: &str, who: Who<'_>| {
        let row: Vec<_> = scenarios.iter().map(|scenario| play(who, scenario, again, SEEDS)).collect();
        let cells = scenarios.iter().zip(&row).map(|(scenario, measured)| cell(measured, scenario));
        println!("| {name} | {} |", Vec::from_iter(cells).join(" | "));
        row
    };
    let peers = PEERS.map(|peer| (peer.0, row(peer.0, Who::Peer(peer))));
    let guardians = ["1", "2"].map(|ratio| {
        let name = format!("guardian-{ratio}");
        let of_guardian = |name: &str| name.starts_with("GUARDIAN_") || name == "MAX_RESTART";
        let given = std::env::vars().filter(|(name, _)| of_guardian(name));
        let settings = Vec::from_iter(given.chain([("EXPONENTIAL_RATIO".to_owned(), ratio.to_owned())]));
        let row = row(&name, Who::Guardian(&settings));
        (name, row)
    });
    for (name, ours) in guardians {
        let ratios = scenarios.iter().enumerate().map(|(at, scenario)| {
            let come_back = peers.iter().filter(|(_, theirs)| theirs[at].left == 0);
            let sent = come_back.map(|(peer, theirs)| (restarts(&theirs[at], scenario), peer));
            let (fewest, peer) = sent.min().expect("some peer comes back");
            format!("{:.3} of {peer}", restarts(&ours[at], scenario) as f64 / fewest as f64)
        });
        println!("| {name} / thriftiest peer that comes back | {} |", Vec::from_iter(ratios).join(" | "));
    }
}

/// What a policy should spare: of a crash loop all restarts, else those for nothing.
fn restarts(measured: &Measured, scenario: &str) -> u64 {
    if scenario == "loop" { measured.restarts } else { measured.wasted }
}

fn cell(measured: &Measured, scenario: &str) -> String {
    let Measured { plays, restarts, wasted, left, poisoned, downtimes } = measured;
    let (all, wasted) = (restarts / plays, wasted / plays);
    let downtime = if downtimes.is_empty() {
        "-".to_owned()
    } else {
        format!("{:.1} ({:.0})", measured.mean_minutes(), measured.most_minutes())
    };
    match scenario {
        "loop" => format!("{all}"),
        "poison" => format!("{wasted} / {poisoned}"),
        "mix" => format!("{wasted} ({all}) / {downtime} / {left} / {poisoned}"),
        _ => format!("{wasted} ({all}) / {downtime} / {left}"),
    }
}
