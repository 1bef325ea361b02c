//! The command line and the environment that somebody mistyped.

#![no_main]

#[path = "../promises.rs"]
#[allow(dead_code, reason = "each target keeps its own")]
mod promises;

libfuzzer_sys::fuzz_target!(|data: &[u8]| promises::settings(data));
