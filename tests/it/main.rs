//! The integration tests: the real program, as a process, against a simulated
//! Kafka Connect that can stall, cut, reset and refuse. One binary, because
//! linking a dozen takes longer than running them.

#[path = "../sim/mod.rs"]
mod sim;
#[path = "../sim/selftest.rs"]
mod sim_selftest;
mod support;

mod death;
mod run;
mod tidy;
