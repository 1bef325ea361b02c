//! The integration tests: the real program, as a process, against a simulated
//! Kafka Connect that can stall, cut, reset and refuse. One binary, because
//! linking a dozen takes longer than running them.

#![allow(
    clippy::pedantic,
    clippy::drop_non_drop,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    reason = "a test says what is wrong by failing, and is read once"
)]

#[path = "../outages/mod.rs"]
mod outages;
#[path = "../sim/mod.rs"]
mod sim;
#[path = "../sim/selftest.rs"]
mod sim_selftest;
mod support;

mod answers;
mod causes;
mod clusters;
mod configmap;
mod death;
mod disk;
mod endings;
mod fuzzed;
mod history;
mod hold;
mod incident;
mod kubernetes;
mod lasting;
mod listing;
mod memory;
mod metrics;
mod names;
mod readme;
mod receiver;
mod recovery;
mod run;
mod schema;
mod secrets;
mod settings;
mod shipped;
mod simulation;
mod store;
mod tell;
mod tidy;
mod tls;
mod waves;
