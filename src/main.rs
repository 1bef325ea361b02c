//! The door: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    connector_guardian::main(std::env::args_os().collect(), std::env::vars_os())
}
