//! A program on this machine: without a shell, in an environment of its own (ours holds Connect's password), the event as
//! JSON on its standard input. Exit code 0 is told.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::sleep;

use super::words::LONGEST;
use super::{Answer, Message, event};
use crate::decide::text::{cut, sanitize};

/// What it gets of our environment.
const PASSED_ON: [&str; 5] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR"];
const LOOKED_AT_EVERY: Duration = Duration::from_millis(20);
/// Of what it says, so many bytes are kept.
const KEPT: u64 = 1024;

/// Whoever drops the future kills the program, and all that it started.
pub(super) async fn tell(path: &Path, name: &str, message: Message<'_>) -> Answer {
    let mut command = Command::new(path);
    command.env_clear();
    command.envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.env("GUARDIAN_TITLE", message.title());
    command.env("GUARDIAN_TEXT", message.text(LONGEST, str::to_owned));
    command.env("GUARDIAN_CLUSTER", message.speaker.cluster);
    command.env("GUARDIAN_SEVERITY", message.digest.severity());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => Running(child),
        Err(error) => return Answer::failed(format!("it cannot be started: {error}")),
    };
    let complaint = Arc::new(Mutex::new(Vec::new()));
    if let Some(mut stdin) = child.0.stdin.take() {
        let event = event::of(message, name);
        // It need not read: that is no error, and must not block us.
        thread::spawn(move || stdin.write_all(event.as_bytes()));
    }
    if let Some(stderr) = child.0.stderr.take() {
        let complaint = Arc::clone(&complaint);
        thread::spawn(move || keep(stderr, &complaint));
    }
    // Its exit is waited for, not the end of its output: a child that it leaves behind keeps that open.
    loop {
        match child.0.try_wait() {
            Ok(None) => sleep(LOOKED_AT_EVERY).await,
            Ok(Some(status)) if status.success() => return Answer::arrived("exit code 0"),
            Ok(Some(status)) => {
                sleep(LOOKED_AT_EVERY).await;
                let said = complaint.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let said = sanitize(String::from_utf8_lossy(&said).trim().lines().next().unwrap_or_default())
                    .into_owned();
                let said = if said.is_empty() { said } else { format!(": {}", cut(&said, 100)) };
                let code =
                    status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"));
                return Answer::failed(format!("{code}{said}"));
            }
            Err(error) => return Answer::unknown(format!("it cannot be waited for: {error}")),
        }
    }
}

/// What it complains of, as much as anybody reads; the rest is read so that it is not blocked.
fn keep(mut stderr: impl Read, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 256];
    while let Ok(count) = stderr.read(&mut buffer) {
        if count == 0 {
            return;
        }
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if u64::try_from(kept.len()).is_ok_and(|length| length < KEPT) {
            kept.extend(buffer.iter().take(count));
        }
    }
}

/// A program that does not outlive the wait for it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            // Not yet waited for, so its number is still its own.
            if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = self.0.wait();
        }
    }
}
