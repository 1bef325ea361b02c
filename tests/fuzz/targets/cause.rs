//! The Java trace that an exception's message may have any text in.

#![no_main]

#[path = "../promises.rs"]
#[allow(dead_code, reason = "each target keeps its own")]
mod promises;

libfuzzer_sys::fuzz_target!(|data: &[u8]| promises::cause(data));
