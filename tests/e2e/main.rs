//! End-to-end tests: the real `guardian` against real Apache Kafka, a `KRaft` broker and Connect workers of seven
//! releases.
//!
//! ```text
//! cargo test --locked --test e2e -- --ignored                    # all releases
//! cargo test --locked --test e2e -- --ignored V3_9 V4_3 table::    # two of them, and the table
//! ```
//!
//! Every test is `#[ignore]`d, because it needs a JDK 17 (`java`, `javac`, `keytool`), openssl, nginx,
//! PostgreSQL and, the
//! first time, Maven and a repository that serves Kafka's jars; run on a machine without them, it fails and says
//! what to install. The jars are kept in `$GUARDIAN_E2E_CACHE`, else `connector-guardian/e2e` in the user's cache folder.
//! `GUARDIAN_E2E_KEEP=1` keeps logs and topics of the run in the temporary folder; without it nothing is
//! left, neither files nor processes.
//!
//! What guardian says (exit code, `--output json`) is always held against others: the worker (its status, its
//! access log), the wire between them, and the connector, which counts its own starts in a file.

#![allow(
    clippy::pedantic,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what is wrong by failing, and is read once"
)]

mod certificates;
mod cluster;
mod connect;
mod flaky;
mod gate;
mod guardian;
mod http;
mod jars;
mod jvm;
mod kafka;
mod nginx;
mod postgres;
mod scenarios;
mod scene;
mod table;
mod wait;
mod wire;
