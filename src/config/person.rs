//! Who and where this process is, as far as the environment says: for a person who reads a claim, a hold or the history. It
//! is no proof of anything.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::Environment;
use crate::decide::shared::SharedStr;
use crate::decide::text::{cut, sanitize};

/// Longer ones are cut.
const LONGEST: usize = 100;

/// The name of the pod, unless it has its node's network; else of the machine.
pub(super) fn host(environment: &Environment) -> String {
    let name = variable(environment, "HOSTNAME");
    let name = name.or_else(|| fs::read_to_string("/proc/sys/kernel/hostname").ok());
    cut(&sanitize(name.unwrap_or_default().trim()), LONGEST)
}

/// `user@host`: by whom `sudo` was called, where it was.
pub(super) fn person(environment: &Environment) -> SharedStr {
    let user = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| variable(environment, name));
    let user = user.or_else(|| fs::metadata("/proc/self").ok().map(|own| format!("uid {}", own.uid())));
    let user = cut(&sanitize(user.unwrap_or_default().trim()), LONGEST);
    format!("{user}@{}", host(environment)).into()
}

fn variable(environment: &Environment, name: &str) -> Option<String> {
    environment.get(name).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}
